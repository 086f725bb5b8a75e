/** Routes for the mock server: their counters grow with the clock, and dead letters go when they are sent again. */

const STARTED = Date.now();
const iso = (agoMs) => new Date(Date.now() - agoMs).toISOString();
const LONG = "the destination answered 503 Service Unavailable: {\"error\":{\"root_cause\":[{\"type\":\"cluster_block_exception\",\"reason\":\"index [quaywatch-2026.11.21] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark, index has read-only-allow-delete block];\"}],\"type\":\"cluster_block_exception\"},\"status\":429}; trying again in 32 s";

const route = (name, type, place, rest = {}) => ({
  name, type, place, match: "", kinds: ["log"], min_priority: "debug", state: "running", rate: 12, sent: 184_000, filtered_total: 512_003,
  failed_total: 0, retried_total: 0, lost_total: 0, dead_letters: 0, lag: 0, last_success: 900, last_error: null, last_error_time: null, ...rest,
});

const FEW = [
  route("siem", "syslog", "tls://logs.example:6514", { match: "level:ERROR", retried_total: 1, last_error: "connection reset by peer (os error 104)", last_error_time: 5_400_000 }),
  route("search", "elasticsearch", "https://search.example:9200/quaywatch-%Y.%m.%d", { kinds: ["log", "event"], state: "failing", rate: 0, sent: 9_124_331, failed_total: 3, retried_total: 128, dead_letters: 3, lag: 48_112, last_success: 420_000, last_error: "connection refused (os error 111)", last_error_time: 4_000 }),
  route("archive", "file", "/var/log/quaywatch/all.ndjson", { rate: 431, sent: 32_000_113, kinds: ["log", "event"], min_priority: "notice" }),
];

const MANY = Array.from({ length: 20 }, (_, index) => {
  const [type, place] = [
    ["syslog", "tls://logs.example:6514"], ["gelf", "udp://graylog.example:12201"], ["fluentd", "tcp://fluentd.example:24224"], ["splunk_hec", "https://splunk.example:8088/services/collector"],
    ["loki", "https://loki.observability.eu-central-1.example.internal:3100/loki/api/v1/push"], ["elasticsearch", "https://search.example:9200/quaywatch"], ["otlp", "https://collector.example:4318/v1/logs"], ["tcp_json", "tcp://10.0.0.7:5170"], ["file", "/var/log/quaywatch/payments-and-checkout-and-everything-else/all.ndjson"],
  ][index % 9];
  return route(index === 4 ? "payments-and-checkout-and-everything-else-of-the-shop-in-europe-1" : `route-${String(index + 1).padStart(2, "0")}`, type, place, {
    match: index % 3 === 0 ? "" : index % 5 === 1 ? 'container.name:checkout-* and (level:ERROR or level:FATAL or output:"out of memory") and -k8s.namespace:staging and http.status>=500' : "level:ERROR",
    kinds: index % 4 === 0 ? ["event"] : index % 4 === 1 ? ["log", "event"] : ["log"],
    min_priority: index % 4 === 0 ? "warning" : "debug",
    state: index === 5 || index === 14 ? "failing" : index % 7 === 3 ? "waiting" : index === 11 ? "disabled" : "running",
    rate: [0.4, 12, 250, 18_400, 3][index % 5],
    sent: 10 ** (index % 10) * 3,
    lag: index === 5 ? 12_345_678 : index === 14 ? 881 : index === 3 ? 5_000 : 0,
    failed_total: index === 5 ? 1_204 : 0, retried_total: index % 6 === 2 ? 40_211 : 0, lost_total: index === 5 ? 88_412 : 0, dead_letters: index === 5 ? 1_204 : index === 14 ? 1 : 0,
    last_success: index === 11 ? null : 1_000 + index * 700,
    last_error: index === 5 ? LONG : index === 14 ? "the certificate of logs.example is not valid: certificate has expired on 2026-11-20" : index === 2 ? "connection reset by peer (os error 104)" : null,
    last_error_time: 12_000,
  });
});

/** Answers what is asked of `/api/routes`. */
export function createRoutes(amount) {
  const routes = { none: [], few: FEW, many: MANY }[amount];
  return function handle(call, parts, search, send, problem) {
    if (parts[0] !== "routes") return false;
    const elapsed = (Date.now() - STARTED) / 1_000;
    const status = ({ rate, sent, ...one }) => {
      const passed = Math.round(sent + rate * (elapsed + 6 * Math.sin(elapsed / 9)));
      const ago = (ms) => (ms === null ? null : iso(ms));
      return { ...one, sent_total: passed, sent_bytes_total: passed * 412, last_success: ago(one.last_success), last_error_time: one.last_error ? ago(one.last_error_time) : null };
    };
    if (call === "GET /api/routes") return send(200, { items: routes.map(status), next_cursor: null }), true;
    const found = routes.find(({ name }) => name === parts[1]);
    if (!found) return problem(404, "not_found", `there is no route \`${parts[1]}\``), true;
    if (parts[2] === "test") return send(200, found.state === "failing" ? { ok: false, detail: found.last_error } : { ok: true, detail: `${found.place} took it in 12 ms` }), true;
    if (parts[3] === "replay") {
      const replayed = found.dead_letters;
      found.dead_letters = 0;
      return send(200, { replayed }), true;
    }
    const from = Number(search.get("cursor") ?? 0);
    const items = Array.from({ length: Math.min(100, found.dead_letters - from) }, (_, index) => ({ id: String(700_000 + from + index), reason: index % 4 === 1 ? "mapper_parsing_exception: object mapping for [labels.app] tried to parse field [app] as object, but found a concrete value" : "400 Bad Request: the document is larger than 10 MiB" }));
    return send(200, { items, next_cursor: from + 100 < found.dead_letters ? String(from + 100) : null }), true;
  };
}
