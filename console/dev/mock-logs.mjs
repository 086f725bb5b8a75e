/** Lines of logs for the mock server: each of its events stands for one. Queries still see the event behind the line. */

const TEXTS = [
  (n) => `{"level":"info","msg":"request served","http":{"method":"GET","path":"/items/${n % 900}","status":200},"duration_ms":${n % 240}}`,
  (n) => `level=info msg="job finished" job=thumbnail attempt=${1 + (n % 3)} took=${n % 900}ms`,
  (n) => `10.0.3.${n % 250} - - "GET /items/${n} HTTP/1.1" 200 ${n % 9000}`,
  (n) => `\u001b[1;34m::\u001b[0m compiling \u001b[1munit-${n}\u001b[0m … \u001b[32mok\u001b[0m`,
  (n) => `java.lang.IllegalStateException: balance is negative: -${n % 90}.50\n\tat com.example.ledger.Account.withdraw(Account.java:88)\n\tat com.example.ledger.Book.post(Book.java:41)`,
];
const LEVELS = { Emergency: "FATAL", Alert: "FATAL", Critical: "FATAL", Error: "ERROR", Warning: "WARN", Notice: "INFO", Informational: "", Debug: "DEBUG" };
/** One record in so many tells of a gap. */
const GAP_EVERY = 211;

/** `event` as a line of the log of its container. */
export function asLine(event) {
  const n = Number(event.id);
  const severity = LEVELS[event.priority];
  const line = { ...event, kind: "log", source: "stdout", stream: severity === "ERROR" ? "stderr" : "stdout", rule: severity, severity_text: severity, process_name: "", tags: [], output_fields: {} };
  if (n % GAP_EVERY !== 0) return { ...line, output: TEXTS[severity === "ERROR" ? 4 : n % 4](n) };
  const before = new Date(Date.parse(event.time) + 2_000).toISOString();
  return { ...line, rule: "", severity_text: "", tags: ["gap"], output: "log files were thrown away by rotation", output_fields: { "log.gap.reason": "rotated", "log.gap.files": 2, "log.gap.bytes": 4096, "log.gap.after": event.time, "log.gap.before": before } };
}

/** The source that reads the logs of `containers`. */
export function logSource(containers, since) {
  const readers = containers.map(({ id, name }, index) => ({
    container_id: id,
    container_name: name,
    way: index === 3 ? "none" : index === 5 ? "api" : "file",
    why: index === 3 ? "its log driver `none` keeps nothing" : index === 5 ? "the engine's files cannot be read: permission denied" : "its file can be read",
    lag_bytes: index === 5 ? null : index * 120,
    gaps: index === 1 ? 2 : 0,
    lines: 1_000 * (index + 1),
    last_error: index === 5 ? "the engine closed the stream; trying again in 4 s" : null,
  }));
  const lines = readers.reduce((sum, reader) => sum + reader.lines, 0);
  return {
    id: "logs:docker", kind: "logs", description: "logs of all containers of unix:///var/run/docker.sock", state: "running", since, last_error: null, last_received: since, lag_seconds: 0.08,
    received_total: lines, received_bytes_total: lines * 118, outcomes: { stored: lines, invalid: {}, dropped: {}, filtered: 0, duplicate: 0, observed: 0 }, queue: { length: 0, capacity: 33554432 }, position: null, readers,
  };
}
