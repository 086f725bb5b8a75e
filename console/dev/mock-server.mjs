/**
 * A stand-in for `quaywatch` while working on the console: same contract, deterministic data, no state kept.
 *
 *   node dev/mock-server.mjs [--port 18080] [--scenario full|empty|million|failing|setup] [--role viewer] [--demo]
 *
 * Serves `dist/` too when it is there, with the real server's content security policy. User `admin`, password
 * `admin-password`. Not part of any release.
 */

import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { createBehaviour, permissionsOf } from "./mock-behaviour.mjs";
import { asLine, logSource } from "./mock-logs.mjs";
import { createRoutes } from "./mock-routes.mjs";
import { receiverSources } from "./mock-receivers.mjs";
import { usageOf } from "./mock-usage.mjs";

const { values: options } = parseArgs({
  options: {
    port: { type: "string", default: "18080" },
    scenario: { type: "string", default: "full" },
    role: { type: "string", default: "admin" },
    demo: { type: "boolean", default: false },
  },
});
const SCENARIO = options.scenario;
const EMPTY = SCENARIO === "empty" || SCENARIO === "setup";
const STEP_MS = SCENARIO === "million" ? 80 : 900;
const BACKFILL_MS = 24 * 3_600_000;
const DIST = join(fileURLToPath(new URL(".", import.meta.url)), "../dist");
const STARTED = Date.now();
const FIRST = STARTED - BACKFILL_MS;

const PRIORITIES = ["Emergency", "Alert", "Critical", "Error", "Warning", "Notice", "Informational", "Debug"];

const RULES = [
  ["Terminal shell in container", "Notice", "process", 14, "bash", ["container", "mitre_execution", "shell", "T1059"], (v) => `A shell was spawned in a container with an attached terminal (user=root user_loginuid=-1 process=bash parent=runc cmdline=bash -i terminal=34816 container_id=${v.id} container_name=${v.name})`],
  ["Read sensitive file untrusted", "Warning", "file", 18, "cat", ["filesystem", "mitre_credential_access", "T1555"], (v) => `Sensitive file opened for reading by non-trusted program (file=/etc/shadow gparent=sh ggparent=runc gggparent=containerd-shim user=root process=cat command=cat /etc/shadow container_name=${v.name})`],
  ["Write below etc", "Error", "file", 7, "sed", ["filesystem", "mitre_persistence"], (v) => `File below /etc opened for writing (file=/etc/ld.so.preload process=sed command=sed -i s/a/b/ /etc/ld.so.preload container_name=${v.name})`],
  ["Contact K8S API Server From Container", "Notice", "network", 25, "curl", ["network", "k8s", "mitre_discovery"], (v) => `Unexpected connection to K8s API Server from container (connection=10.42.0.${v.pid % 250}:41922->10.43.0.1:443 process=curl container_name=${v.name})`],
  ["Drop and execute new binary in container", "Critical", "process", 3, "kdevtmpfsi", ["process", "mitre_persistence", "TA0003"], (v) => `Executing binary not part of base image (proc_exe=/tmp/kdevtmpfsi proc_sname=sh evt_type=execve process=kdevtmpfsi container_name=${v.name})`],
  ["Outbound connection to C2 server", "Alert", "network", 1, "sh", ["network", "mitre_command_and_control"], (v) => `Outbound connection to a known C2 address (command=sh -i connection=10.42.0.9:51220->203.0.113.66:4444 container_name=${v.name})`],
  ["Container escape attempt via release_agent", "Emergency", "process", 0.3, "unshare", ["container", "mitre_privilege_escalation", "T1611"], (v) => `Possible container escape through cgroup release_agent (file=/tmp/cgrp/release_agent process=unshare container_name=${v.name})`],
  ["Unexpected UDP traffic", "Notice", "network", 22, "dig", ["network"], (v) => `Unexpected UDP traffic seen (connection=10.42.0.14:${v.pid + 2000}->192.0.2.53:5353 lport=5353 process=dig container_name=${v.name})`],
  ["Package management process launched", "Error", "process", 5, "apt-get", ["process", "software_mgmt"], (v) => `Package management process launched in container (command=apt-get update container_name=${v.name})`],
  ["Container image pull observed", "Informational", "unknown", 12, "dockerd", ["audit"], (v) => `Image pulled (image=${v.image} container_name=${v.name})`],
  ["Process started", "Debug", "process", 30, "node", [], (v) => `Process started (pid=${v.pid} command=node server.js container_name=${v.name})`],
];

const CONTAINERS = [
  ["web-frontend-1", "registry.example/shop/web:2.14.3", "shop", "web"],
  ["web-frontend-2", "registry.example/shop/web:2.14.3", "shop", "web"],
  ["checkout-api-1", "registry.example/shop/checkout:5.1.0", "shop", "checkout"],
  ["payments-worker-1", "registry.example/shop/payments:1.9.2", "shop", "payments"],
  ["orders-db-1", "postgres:17.2", "shop", "orders-db"],
  ["cache-1", "redis:7.4-alpine", "shop", "cache"],
  ["edge-proxy-1", "nginx:1.27", "edge", "proxy"],
  ["ci-runner-a41f", "registry.example/ci/runner:2026.11", "ci", "runner"],
  ["log-shipper-1", "fluent-bit:3.2", "ops", "shipper"],
  ["metrics-agent-1", "prom/node-exporter:v1.8.2", "ops", "node-exporter"],
  ["legacy-batch-with-a-rather-long-container-name-2024", "registry.example/legacy/batch-processing-suite:4.0.0-SNAPSHOT-20241130", "", ""],
  ["jupyter-lab", "jupyter/scipy-notebook:latest", "research", "lab"],
].map(([name, image, project, service], index) => {
  const [repository, tag] = image.split(/:(?=[^/]*$)/);
  return {
    id: hex(index + 1, 64),
    name,
    image,
    image_repository: repository,
    image_tag: tag ?? "",
    image_digest: `sha256:${hex(index + 77, 64)}`,
    compose_project: project,
    compose_service: service,
    k8s_namespace: "",
    k8s_pod: "",
    host: `node-${(index % 3) + 1}`,
    stopped: index === 11 || index === 7,
  };
});

function hash(value) {
  let h = (value ^ 0x9e3779b9) >>> 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

function hex(seed, length) {
  let text = "";
  for (let round = 0; text.length < length; round += 1) text += hash(seed * 1000 + round).toString(16).padStart(8, "0");
  return text.slice(0, length);
}

/** Every kind of event there is: a query is decided once per kind, not per event. */
const KINDS = CONTAINERS.flatMap((container, c) =>
  RULES.map(([rule, priority, category, weight, process, tags, output], r) => ({
    container,
    rule,
    priority,
    category,
    weight: weight * (1 + (hash(c * 31 + r) % 5)) * (container.stopped ? 0.15 : 1),
    process,
    tags,
    output,
  })),
);
const SLOTS = (() => {
  const total = KINDS.reduce((sum, kind) => sum + kind.weight, 0);
  const slots = new Uint16Array(8192);
  let kind = 0;
  let reached = KINDS[0].weight;
  for (let slot = 0; slot < slots.length; slot += 1) {
    while ((slot / slots.length) * total > reached && kind < KINDS.length - 1) reached += KINDS[++kind].weight;
    slots[slot] = kind;
  }
  return slots;
})();

const kindOf = (n) => SLOTS[hash(n) & 8191];
const timeOf = (n) => FIRST + n * STEP_MS + (hash(n + 5) % STEP_MS);
/** A day is not even: nights are quiet, and one burst stands out. */
function exists(n) {
  const hours = (n * STEP_MS) / 3_600_000;
  const burst = hours > 20.6 && hours < 20.9 ? 1 : 0;
  const density = 0.45 + 0.3 * Math.sin(hours / 3.8) + burst;
  return (hash(n + 99) & 1023) / 1023 < density;
}
const numberAt = (time) => Math.max(0, Math.floor((time - FIRST) / STEP_MS));

function eventOf(n) {
  const kind = KINDS[kindOf(n)];
  const { host, stopped: _, ...container } = kind.container;
  const pid = 1000 + (hash(n) % 30000);
  const v = { id: container.id.slice(0, 12), name: container.name, image: container.image, pid };
  return {
    id: String(n + 1),
    time: new Date(timeOf(n)).toISOString().replace("Z", "123456Z"),
    source: "syscall",
    rule: kind.rule,
    priority: kind.priority,
    category: kind.category,
    hostname: host,
    container,
    process_name: kind.process,
    tags: kind.tags,
    output: kind.output(v),
    output_fields: {
      "container.id": v.id,
      "container.name": container.name,
      "container.image.repository": container.image_repository,
      "container.image.tag": container.image_tag,
      "evt.time": timeOf(n) * 1_000_000,
      "evt.type": kind.category === "network" ? "connect" : kind.category === "file" ? "openat" : "execve",
      "fd.name": kind.category === "file" ? "/etc/shadow" : null,
      "proc.cmdline": `${kind.process} --config /etc/app/config.yaml --level debug`,
      "proc.exepath": `/usr/bin/${kind.process}`,
      "proc.name": kind.process,
      "proc.pid": pid,
      "proc.pname": "runc",
      "proc.tty": 34816,
      "user.name": "root",
      "user.uid": 0,
    },
  };
}

// --- queries -------------------------------------------------------------------------------------

class QueryError extends Error {
  constructor(message, position, length = 1) {
    super(message);
    Object.assign(this, { position: Buffer.byteLength(currentQuery.slice(0, position)), length });
  }
}
let currentQuery = "";

function parse(query) {
  currentQuery = query;
  const tokens = [...query.matchAll(/\s+|"(?:[^"\\]|\\.)*"?|[()]|!=|:~|>=|<=|[:=<>]|[^\s()":<>=!]+|!/g)]
    .map((match) => ({ text: match[0], at: match.index }))
    .filter((token) => token.text.trim());
  let i = 0;
  const end = { text: "", at: query.length };
  const peek = () => tokens[i] ?? end;
  const isWord = (word) => peek().text.toLowerCase() === word;
  const or = () => {
    const parts = [and()];
    while (isWord("or")) (i++, parts.push(and()));
    return parts.length === 1 ? parts[0] : (e) => parts.some((part) => part(e));
  };
  const and = () => {
    const parts = [not()];
    while (i < tokens.length && !isWord("or") && peek().text !== ")") {
      if (isWord("and")) i++;
      parts.push(not());
    }
    return (e) => parts.every((part) => part(e));
  };
  const not = () => {
    if (isWord("not")) {
      i++;
      const part = not();
      return (e) => !part(e);
    }
    if (peek().text.startsWith("-") && peek().text.length > 1) {
      tokens[i] = { text: peek().text.slice(1), at: peek().at + 1 };
      const part = not();
      return (e) => !part(e);
    }
    return term();
  };
  const value = () => {
    const token = peek();
    if (token === end || token.text === ")") throw new QueryError("expected a value here", token.at, 0);
    i++;
    let text = token.text;
    if (text.startsWith('"')) {
      if (text.length < 2 || !text.endsWith('"')) throw new QueryError('expected a `"` that closes this text', token.at, text.length);
      return exact(text.slice(1, -1).replace(/\\(.)/g, "$1"));
    }
    while (tokens[i] && tokens[i].at === token.at + text.length && tokens[i].text !== ")") text += tokens[i++].text;
    return pattern(text);
  };
  const term = () => {
    const token = peek();
    if (token === end) throw new QueryError("expected a term", token.at, 0);
    if (token.text === ")") throw new QueryError("this `)` closes nothing; remove it or write it in quotes", token.at);
    if (token.text === "(") {
      i++;
      const inner = or();
      if (peek().text !== ")") throw new QueryError("expected a `)` that closes this `(`", token.at);
      i++;
      return inner;
    }
    i++;
    const operator = peek();
    if (/^(?:!=|:~|>=|<=|[:=<>])$/.test(operator.text)) {
      i++;
      const field = token.text;
      if (/^[<>]/.test(operator.text)) {
        const wanted = peek();
        if (wanted === end) throw new QueryError(`expected a value after \`${field}${operator.text}\``, wanted.at, 0);
        i++;
        const rank = PRIORITIES.findIndex((p) => p.toLowerCase() === wanted.text.toLowerCase());
        if (field === "priority" && rank < 0) throw new QueryError(`\`${wanted.text}\` is no priority; the nearest is \`Warning\``, wanted.at, wanted.text.length);
        const compare = (a, b) => (operator.text === ">=" ? a >= b : operator.text === "<=" ? a <= b : operator.text === ">" ? a > b : a < b);
        return (e) => (field === "priority" ? compare(-PRIORITIES.indexOf(e.priority), -rank) : compare(Number(fieldOf(e, field)), Number(wanted.text)));
      }
      if (peek().text === "(") {
        i++;
        const set = [value()];
        while (isWord("or")) (i++, set.push(value()));
        if (peek().text !== ")") throw new QueryError("expected `or` or `)` in the set", peek().at, peek().text.length);
        i++;
        return (e) => set.some((test) => test(fieldOf(e, field)));
      }
      const test = value();
      return (e) => test(fieldOf(e, field)) !== (operator.text === "!=");
    }
    i--;
    const test = value();
    const word = token.text.replace(/^"|"$/g, "").toLowerCase();
    return (e) => (word.includes("*") ? test(e.output) : `${e.rule} ${e.output} ${e.container.name}`.toLowerCase().includes(word));
  };
  if (tokens.length === 0) return () => true;
  const expression = or();
  if (i < tokens.length) throw new QueryError("this `)` closes nothing; remove it or write it in quotes", peek().at);
  return expression;
}

const exact = (wanted) => (value) => String(value ?? "").toLowerCase() === wanted.toLowerCase();
function pattern(text) {
  if (text === "*") return (value) => value !== undefined && value !== null && value !== "";
  const regex = new RegExp(`^${text.split("*").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join(".*")}$`, "i");
  return (value) => regex.test(String(value ?? ""));
}

function fieldOf(event, field) {
  switch (field) {
    case "container.name": return event.container.name;
    case "container.id": return event.container.id;
    case "container.image": return event.container.image;
    case "container.image.repository": return event.container.image_repository;
    case "container.image.tag": return event.container.image_tag;
    case "proc.name": return event.process_name;
    case "rule": case "priority": case "category": case "hostname": case "source": case "output": return event[field];
    default: return event.output_fields[field];
  }
}

/** For every kind of event, whether `query` wants it. */
function wanted(query) {
  const test = parse(query ?? "");
  return KINDS.map((_, kind) => test(sampleOf(kind)));
}
const samples = new Map();
function sampleOf(kind) {
  if (!samples.has(kind)) {
    let n = 0;
    while (kindOf(n) !== kind && n < 200_000) n += 1;
    samples.set(kind, eventOf(n));
  }
  return samples.get(kind);
}

function time(text, fallback) {
  if (!text) return fallback;
  const relative = /^now(?:-(\d+)([smhd]))?$/.exec(text);
  if (relative) return Date.now() - (relative[1] ? Number(relative[1]) * { s: 1e3, m: 6e4, h: 36e5, d: 864e5 }[relative[2]] : 0);
  return Date.parse(text);
}
const rangeOf = (search, hours = 1) => [time(search.get("start"), Date.now() - hours * 3_600_000), time(search.get("end"), Date.now())];

function* numbers(search, hours) {
  if (EMPTY) return;
  const [start, end] = rangeOf(search, hours);
  const accept = wanted(search.get("query"));
  const last = numberAt(Math.min(end, Date.now()));
  for (let n = numberAt(start); n <= last; n += 1) {
    const at = timeOf(n);
    if (at >= start && at < end && exists(n) && accept[kindOf(n)]) yield n;
  }
}

function histogram(search, hours) {
  const [start, end] = rangeOf(search, hours);
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];
  const step = Number(/^\d+/.exec(search.get("step") ?? "")?.[0]) || steps.find((s) => (end - start) / 1000 / s <= 118) || 86400;
  const first = Math.floor(start / 1000 / step) * step;
  const buckets = [];
  for (let at = first; at < end / 1000; at += step) {
    buckets.push({ start: new Date(at * 1000).toISOString(), total: 0, by_priority: Object.fromEntries(PRIORITIES.map((p) => [p, 0])) });
  }
  let total = 0;
  for (const n of numbers(search, hours)) {
    const bucket = buckets[Math.floor((timeOf(n) / 1000 - first) / step)];
    if (!bucket) continue;
    bucket.total += 1;
    bucket.by_priority[KINDS[kindOf(n)].priority] += 1;
    total += 1;
  }
  return { step_seconds: step, buckets, total, complete: true };
}

function countKinds(search, hours) {
  const counts = new Map();
  let newest = -1;
  for (const n of numbers(search, hours)) {
    counts.set(kindOf(n), (counts.get(kindOf(n)) ?? 0) + 1);
    newest = n;
  }
  return { counts, newest };
}

function tally(counts, key) {
  const result = new Map();
  for (const [kind, count] of counts) {
    const value = key(KINDS[kind], sampleOf(kind));
    if (value !== undefined && value !== null && value !== "") result.set(value, (result.get(value) ?? 0) + count);
  }
  return [...result].sort((a, b) => b[1] - a[1]);
}

function events(search) {
  const limit = Math.min(Number(search.get("limit") ?? 100), 1000);
  const ascending = search.get("order") === "asc";
  const [start, end] = rangeOf(search);
  const accept = wanted(search.get("query"));
  const items = [];
  const step = ascending ? 1 : -1;
  const lowest = numberAt(start);
  const highest = numberAt(Math.min(end, Date.now()));
  let n = search.get("cursor") ? Number(search.get("cursor")) : ascending ? lowest : highest;
  if (EMPTY) return { items, next_cursor: null, complete: true, scanned: 0 };
  for (; n >= lowest && n <= highest && items.length < limit; n += step) {
    if (timeOf(n) >= start && timeOf(n) < end && exists(n) && accept[kindOf(n)]) items.push(eventOf(n));
  }
  const more = n >= lowest && n <= highest;
  return { items, next_cursor: more ? String(n) : null, complete: true, scanned: Math.abs(highest - lowest) };
}

// --- other answers --------------------------------------------------------------------------------

const iso = (ago) => new Date(Date.now() - ago).toISOString();

function containers(search) {
  const { counts } = countKinds(new URLSearchParams(), 24);
  const wantedText = (search.get("search") ?? "").toLowerCase();
  if (EMPTY) return [];
  return CONTAINERS.filter((c) => (search.get("state") === "running" ? !c.stopped : true))
    .filter((c) => `${c.name} ${c.image} ${c.id}`.toLowerCase().includes(wantedText))
    .map((c) => {
      const by = Object.fromEntries(PRIORITIES.map((p) => [p, 0]));
      let total = 0;
      for (const [kind, count] of counts) {
        if (KINDS[kind].container !== c) continue;
        by[KINDS[kind].priority] += count;
        total += count;
      }
      return {
        id: c.id,
        name: c.name,
        image: c.image,
        image_id: `sha256:${hex(c.name.length + 9, 64)}`,
        image_digest: c.image_digest,
        state: c.stopped ? "exited" : "running",
        status: c.stopped ? "Exited (137) 3 hours ago" : "Up 2 days",
        created: iso(3 * 86_400_000),
        started: iso(2 * 86_400_000),
        finished: c.stopped ? iso(3 * 3_600_000) : null,
        host: c.host,
        compose_project: c.compose_project,
        compose_service: c.compose_service,
        k8s_namespace: "",
        k8s_pod: "",
        labels: c.compose_project
          ? {
              "com.docker.compose.project": c.compose_project,
              "com.docker.compose.service": c.compose_service,
              "com.docker.compose.config-hash": hex(5, 64),
              "org.opencontainers.image.source": "https://git.example/shop/web",
              "org.opencontainers.image.revision": hex(8, 40),
            }
          : {},
        events: { total, by_priority: by },
        first_event: total ? iso(BACKFILL_MS) : null,
        last_event: total ? iso((hash(c.name.length) % 400) * 1000) : null,
        event_rate_per_second: total / 86_400,
      };
    });
}

function overview() {
  const day = new URLSearchParams();
  const { counts, newest } = countKinds(day, 24);
  const all = containers(new URLSearchParams());
  const total = [...counts.values()].reduce((a, b) => a + b, 0);
  const rules = tally(counts, (kind) => kind.rule).slice(0, 8);
  return {
    events_total: total,
    event_rate_per_second: EMPTY ? 0 : 1000 / STEP_MS / 2 + (Date.now() % 7) / 10,
    last_event: newest < 0 ? null : new Date(timeOf(newest)).toISOString(),
    by_priority: Object.fromEntries(PRIORITIES.map((p) => [p, tally(counts, (k) => k.priority).find(([name]) => name === p)?.[1] ?? 0])),
    by_category: Object.fromEntries(["process", "network", "file", "unknown"].map((c) => [c, tally(counts, (k) => k.category).find(([name]) => name === c)?.[1] ?? 0])),
    top_rules: rules.map(([rule, count]) => ({ rule, count, priority: KINDS.find((k) => k.rule === rule).priority, category: KINDS.find((k) => k.rule === rule).category })),
    top_containers: [...all].sort((a, b) => b.events.total - a.events.total).slice(0, 8).map((c) => ({ id: c.id, name: c.name, image: c.image, count: c.events.total, last_event: c.last_event })),
    containers: { running: all.filter((c) => c.state === "running").length, total: all.length },
    hosts: EMPTY ? 0 : 3,
    images: EMPTY ? 0 : 11,
    sources: { total: sources().length, healthy: sources().filter((s) => s.state !== "failed").length, failing: sources().filter((s) => s.state === "failed").length },
    histogram: histogram(day, 24),
    store: { events: total, bytes: total * 118, oldest: EMPTY ? null : new Date(FIRST).toISOString(), newest: newest < 0 ? null : iso(900) },
    alerts: behaviour.counts(),
    notices:
      SCENARIO === "failing"
        ? [
            { time: iso(180_000), level: "error", text: "source `docker:falco`: the engine closed the stream: connection reset by peer; trying again in 8 s", source: "docker:falco" },
            { time: iso(1_200_000), level: "warning", text: "Falco dropped 1,204 of 98,331 system calls in the last minute; its buffers are too small for this host", source: "docker:falco" },
          ]
        : [],
    demo: options.demo,
    version: "0.1.0",
  };
}

function sources() {
  if (EMPTY) return [];
  const received = numberAt(Date.now());
  const failing = SCENARIO === "failing";
  return [
    {
      id: "docker:falco", kind: "docker", description: "container falco, via unix:///var/run/docker.sock", state: failing ? "failed" : "running", since: iso(5 * 3_600_000),
      last_error: failing ? { time: iso(180_000), text: "the engine closed the stream: connection reset by peer (os error 104); trying again in 8 s" } : null,
      last_received: iso(failing ? 181_000 : 700), lag_seconds: failing ? null : 0.21, received_total: received, received_bytes_total: received * 910,
      outcomes: { stored: received - 57, observed: 0, filtered: 0, duplicate: 0, invalid: { not_json: 41, not_an_event: failing ? 12 : 0 }, dropped: failing ? { queue_full: 4 } : {} },
      queue: { length: failing ? 8192 : 12, capacity: 33554432 }, last_rejected: "not_json: Fri Nov 21 05:17:44 2026: Falco version: 0.42.0 (x86_64)", position: "since=1763719200.482112934,n=18",
    },
    { id: "falco_http", kind: "falco_http", description: "POST /falco on 127.0.0.1:18000", state: "waiting", since: iso(5 * 3_600_000), last_error: null, last_received: null, lag_seconds: null, received_total: 0, received_bytes_total: 0, outcomes: { stored: 0, invalid: {}, dropped: {}, filtered: 0, duplicate: 0, observed: 0 }, queue: { length: 0, capacity: 33554432 }, position: null },
    { id: "file:events", kind: "file", description: "/var/log/falco/events.json", state: "running", since: iso(86_400_000), last_error: null, last_received: iso(64_000), lag_seconds: 1.4, received_total: 20_311, received_bytes_total: 18_900_112, outcomes: { stored: 20_011, invalid: { not_json: 0 }, dropped: {}, filtered: 0, duplicate: 300, observed: 0 }, queue: { length: 0, capacity: 33554432 }, position: "inode=1181,offset=18900112" },
    logSource(CONTAINERS, iso(5 * 3_600_000)),
    ...receiverSources(iso(5 * 3_600_000)),
  ];
}

const FIELDS = [
  ["time", "time", "When it happened, by the sender's clock"],
  ["priority", "priority", "Urgency; priority>=Warning means Warning or more urgent"],
  ["category", "category", "Kind of activity: process, network, file, unknown"],
  ["rule", "text", "Falco rule that matched"],
  ["source", "text", "Falco's event source"],
  ["hostname", "text", "Host Falco ran on"],
  ["output", "text", "Falco's rendered message"],
  ["tags", "text", "Tags of the rule"],
  ["container.id", "text", "Container id, or a prefix of it"],
  ["container.name", "text", "Container name"],
  ["container.image", "text", "Image reference"],
  ["container.image.repository", "text", "Repository of the image"],
  ["container.image.tag", "text", "Tag of the image"],
  ["proc.name", "text", "Name of the process"],
  ["proc.cmdline", "text", "Seen in output_fields"],
  ["proc.exepath", "text", "Seen in output_fields"],
  ["proc.pid", "number", "Seen in output_fields"],
  ["proc.pname", "text", "Seen in output_fields"],
  ["evt.type", "text", "Seen in output_fields"],
  ["fd.name", "text", "Seen in output_fields"],
  ["user.name", "text", "Seen in output_fields"],
  ["user.uid", "number", "Seen in output_fields"],
].map(([name, type, description]) => ({ name, type, description }));

const routes = createRoutes(EMPTY ? "none" : SCENARIO === "million" || SCENARIO === "failing" ? "many" : "few");
let signedIn = false;
const tokens = [
  { id: "1", name: "prometheus", scopes: ["metrics"], created: iso(20 * 86_400_000), expires: null, last_used: iso(12_000), created_by: "admin" },
  { id: "2", name: "falco on node-2", scopes: ["ingest"], created: iso(9 * 86_400_000), expires: iso(-81 * 86_400_000), last_used: iso(4_000), created_by: "admin" },
  { id: "3", name: "old laptop", scopes: ["read"], created: iso(200 * 86_400_000), expires: iso(20 * 86_400_000), last_used: null, created_by: "admin" },
];
const views = [
  { id: "1", name: "Urgent, last day", page: "events", state: "q=priority%3E%3DError&from=now-24h&to=now", shared: true, owner: "admin", created: iso(86_400_000) },
  { id: "2", name: "Shells", page: "events", state: "q=rule%3A%22Terminal%20shell%20in%20container%22&from=now-6h&to=now", shared: false, owner: "admin", created: iso(86_400_000) },
];

const behaviour = createBehaviour({
  amount: EMPTY ? "none" : SCENARIO === "million" ? "a lot" : "little",
  role: options.role,
  hash,
  hex,
  containers: CONTAINERS,
  newestEvent: () => numberAt(Date.now()),
});
const RAISE_MS = 9_000;
setInterval(behaviour.raise, RAISE_MS).unref();

// --- HTTP -----------------------------------------------------------------------------------------

const CSP = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };

createServer(async (request, response) => {
  const url = new URL(request.url, "http://mock");
  const send = (status, body, headers = {}) => {
    response.writeHead(status, { "Content-Type": "application/json", ...headers });
    response.end(body === undefined ? undefined : JSON.stringify(body));
  };
  const problem = (status, code, detail, extra = {}) => {
    response.writeHead(status, { "Content-Type": "application/problem+json" });
    response.end(JSON.stringify({ type: "about:blank", title: detail, status, code, detail, request_id: "mock-1", ...extra }));
  };
  try {
    await route(request, response, url, send, problem);
  } catch (error) {
    if (error instanceof QueryError) problem(400, "query_syntax", error.message, { position: error.position, length: error.length });
    else problem(500, "internal", String(error));
  }
}).listen(Number(options.port), "127.0.0.1", () => console.log(`mock of quaywatch on http://127.0.0.1:${options.port} (scenario ${SCENARIO})`));

async function bodyOf(request) {
  let text = "";
  for await (const chunk of request) text += chunk;
  return text ? JSON.parse(text) : {};
}

async function route(request, response, url, send, problem) {
  const path = url.pathname;
  const search = url.searchParams;
  const session = () => ({ username: "admin", csrf_token: "csrf-mock", expires: iso(-43_200_000), role: options.role, permissions: permissionsOf(options.role), scope: null, has_password: true, sign_out_url: null, demo: options.demo });

  if (!path.startsWith("/api/")) return file(path, response);
  const call = `${request.method} ${path}`;
  const body = request.method === "GET" ? {} : await bodyOf(request);

  if (call === "GET /api/setup") return send(200, { required: SCENARIO === "setup", demo: options.demo, version: "0.1.0", sign_in_with: SCENARIO === "failing" ? { name: "Example ID", url: "/api/auth/oidc/login" } : null });
  if (call === "POST /api/setup") {
    if (body.token !== "setup-token") return problem(401, "unauthenticated", "the setup token is not the one printed at start");
    signedIn = true;
    return send(201, session(), { "Set-Cookie": "quaywatch_session=mock; HttpOnly; SameSite=Strict; Path=/" });
  }
  if (call === "POST /api/session") {
    if (body.username !== "admin" || body.password !== "admin-password") return problem(401, "unauthenticated", "user name or password is wrong");
    signedIn = true;
    return send(200, session(), { "Set-Cookie": "quaywatch_session=mock; HttpOnly; SameSite=Strict; Path=/" });
  }
  const authenticated = signedIn && /quaywatch_session=mock/.test(request.headers.cookie ?? "");
  if (!authenticated) return problem(401, "unauthenticated", "sign in first");
  if (request.method !== "GET" && request.headers["x-quaywatch-csrf"] !== "csrf-mock") return problem(403, "csrf", "the CSRF header is missing or wrong");

  if (behaviour.handle(call, path, search, body, send, problem)) return undefined;
  if (routes(call, path.split("/").slice(2).map(decodeURIComponent), search, send, problem)) return undefined;
  switch (call) {
    case "GET /api/session": return send(200, session());
    case "DELETE /api/session": return send(204, undefined, { "Set-Cookie": "quaywatch_session=; Max-Age=0; Path=/" });
    case "POST /api/session/password":
      return body.current === "admin-password" ? send(204) : problem(403, "forbidden", "the current password is wrong");
    case "GET /api/tokens": return send(200, { items: tokens, next_cursor: null });
    case "POST /api/tokens": {
      const token = { id: String(tokens.length + 1), name: body.name, scopes: body.scopes, created: iso(0), expires: body.expires, last_used: null, created_by: "admin" };
      tokens.push(token);
      return send(201, { ...token, token: "qw_3kQ9vXb7RtY2mZc8NfHs5LwPdGj4TaUe" });
    }
    case "GET /api/views": return send(200, { items: views, next_cursor: null });
    case "POST /api/views": {
      const view = { ...body, id: String(views.length + 1), owner: "admin", created: iso(0) };
      views.push(view);
      return send(201, view);
    }
    case "GET /api/events": {
      const page = events(search);
      return send(200, search.get("kind") === "log" ? { ...page, items: page.items.map(asLine) } : page);
    }
    case "GET /api/events/histogram": return send(200, histogram(search));
    case "GET /api/events/facets": {
      const { counts } = countKinds(search);
      const fields = (search.get("fields") ?? "priority,category,rule,container.name,container.image.repository,proc.name,hostname,source").split(",");
      const limit = Number(search.get("limit") ?? 10);
      return send(200, {
        facets: fields.map((field) => {
          const all = tally(counts, (_, sample) => fieldOf(sample, field));
          return { field, values: all.slice(0, limit).map(([value, count]) => ({ value: String(value), count })), other: all.slice(limit).reduce((sum, [, count]) => sum + count, 0) };
        }),
        complete: true,
        scanned: 1,
      });
    }
    case "GET /api/events/export": {
      response.writeHead(200, { "Content-Type": "text/csv", "Content-Disposition": 'attachment; filename="events.csv"' });
      return response.end("time,priority\n");
    }
    case "POST /api/events/test": return send(202, { id: "1" });
    case "GET /api/query/check":
      try {
        parse(search.get("query") ?? "");
        return send(200, { valid: true });
      } catch (error) {
        return send(200, { valid: false, message: error.message, position: error.position, length: error.length });
      }
    case "GET /api/query/fields": return send(200, { items: FIELDS });
    case "GET /api/query/values": {
      const prefix = (search.get("prefix") ?? "").toLowerCase();
      const found = [...new Set(KINDS.map((_, kind) => String(fieldOf(sampleOf(kind), search.get("field")) ?? "")))];
      return send(200, { items: found.filter((value) => value && value.toLowerCase().startsWith(prefix)).sort().slice(0, 20) });
    }
    case "GET /api/containers": return send(200, { items: containers(search), next_cursor: null });
    case "GET /api/overview": return send(200, overview());
    case "GET /api/sources": return send(200, { items: sources(), next_cursor: null });
  }

  const match = /^\/api\/(\w+)\/([^/]+)(\/logs|\/usage)?$/.exec(path);
  const id = match ? decodeURIComponent(match[2]) : "";
  if (request.method === "DELETE" && match && (match[1] === "tokens" || match[1] === "views")) {
    const list = match[1] === "tokens" ? tokens : views;
    const index = list.findIndex((entry) => entry.id === id);
    if (index >= 0) list.splice(index, 1);
    return send(204);
  }
  if (request.method === "PATCH" && match?.[1] === "views") {
    const view = views.find((entry) => entry.id === id);
    return view ? send(200, Object.assign(view, body)) : problem(404, "not_found", `no view \`${id}\``);
  }
  if (match?.[1] === "events") return Number(id) > 0 ? send(200, eventOf(Number(id) - 1)) : problem(404, "not_found", `no event \`${id}\``);
  if (match?.[1] === "containers") {
    const found = containers(new URLSearchParams()).find((c) => c.id === id || c.name === id || (id.length >= 12 && c.id.startsWith(id)));
    if (!found) return problem(404, "not_found", `no container \`${id}\``);
    if (match[3] === "/usage") return send(200, usageOf(found, containers(new URLSearchParams()).findIndex((c) => c.id === found.id)));
    if (match[3]) {
      search.set("query", `container.id:${found.id}`);
      return send(200, events(search));
    }
    return send(200, { ...found, command: "/docker-entrypoint.sh nginx -g 'daemon off;'", ports: [{ address: "127.0.0.1", private: 8080, public: 80, protocol: "tcp" }], mounts: [{ kind: "bind", source: "/srv/web", destination: "/usr/share/nginx/html", writable: false }], networks: [{ name: "shop_default", address: "172.18.0.4" }] });
  }
  if (path === "/api/stream" || path.startsWith("/api/stream/")) return stream(request, response, search);
  return problem(404, "not_found", `no route \`${path}\``);
}

function stream(request, response, search) {
  const accept = wanted(search.get("query"));
  response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-cache, no-transform" });
  const message = (type, payload, id) => response.write(`${id ? `id: ${id}\n` : ""}data: ${JSON.stringify({ type, ts: iso(0), container: "", payload })}\n\n`);
  response.write(": hello\n\n");
  let next = Number(search.get("last_event_id") ?? numberAt(Date.now()));
  message("heartbeat", { last_event_id: String(next) });
  if (SCENARIO === "failing") message("gap", { missed: 1532, from: "1", to: "2" });
  const timer = setInterval(() => {
    const batch = [];
    for (const last = numberAt(Date.now()); !EMPTY && next < last; next += 1) if (exists(next) && accept[kindOf(next)]) batch.push(eventOf(next));
    if (batch.length > 0 && /event|log/.test(types)) message("event", { events: types.includes("log") ? batch.map(asLine) : batch }, batch[batch.length - 1].id);
  }, 500);
  const types = search.get("types") || "alert,event";
  const deaf = types.includes("alert") ? behaviour.listen((alerts) => message("alert", { alerts })) : () => undefined;
  const beat = setInterval(() => message("heartbeat", { last_event_id: String(next) }), 30_000);
  request.on("close", () => (clearInterval(timer), clearInterval(beat), deaf()));
}

async function file(path, response) {
  const wantedPath = normalize(path).replace(/^([.][.][/\\])+/, "");
  for (const candidate of [wantedPath, "/index.html"]) {
    try {
      const content = await readFile(join(DIST, candidate));
      response.writeHead(200, { "Content-Type": TYPES[extname(candidate)] ?? "application/octet-stream", "Content-Security-Policy": CSP });
      return response.end(content);
    } catch {
      // The page of the app answers for every path that is no file.
    }
  }
  response.writeHead(404).end();
}
