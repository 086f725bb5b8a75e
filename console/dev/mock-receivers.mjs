/** Receivers for the mock server, as the sources that they are. */

const RECEIVERS = [
  ["syslog", "syslog", "udp://127.0.0.1:5514, tcp://127.0.0.1:5514", 41_203],
  ["syslog:fleet-of-the-warehouses", "syslog", "tls://[2001:db8:85a3:8d3:1319:8a2e:370:7348]:6514, tcp://0.0.0.0:1514, udp://0.0.0.0:1514, unix:///run/quaywatch/receivers/syslog-of-the-warehouses.sock", 1_204_331],
  ["gelf", "gelf", "udp://0.0.0.0:12201, tcp://0.0.0.0:12201", 882],
  ["fluentd", "fluentd", "tcp://127.0.0.1:24224", 0],
  ["splunk_hec", "splunk_hec", "http://127.0.0.1:8088", 12],
  ["loki", "loki", "http://127.0.0.1:3100", 0],
  ["otlp", "otlp", "http://127.0.0.1:4318, http://127.0.0.1:4317", 90_112],
  ["elasticsearch", "elasticsearch", "http://127.0.0.1:9200", 0],
  ["cloudwatch", "cloudwatch", "http://127.0.0.1:4586", 0],
];

export function receiverSources(since) {
  return RECEIVERS.map(([id, kind, description, lines]) => ({
    id, kind, description, state: "running", since, last_error: null, last_received: lines ? since : null, lag_seconds: lines ? 0.02 : null, received_total: lines, received_bytes_total: lines * 180,
    outcomes: { stored: lines, invalid: {}, dropped: {}, filtered: 0, duplicate: 0, observed: 0 }, queue: { length: 0, capacity: 33554432 }, position: null, readers: [],
  }));
}
