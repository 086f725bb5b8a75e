/** What the HTTP API says and hears, as the server's contract (`/api/openapi.json`) has it. */

export const PRIORITIES = [
  "Emergency",
  "Alert",
  "Critical",
  "Error",
  "Warning",
  "Notice",
  "Informational",
  "Debug",
] as const;

/** Falco's eight priorities, most urgent first. */
export type Priority = (typeof PRIORITIES)[number];

export const CATEGORIES = ["process", "network", "file", "unknown"] as const;
export type Category = (typeof CATEGORIES)[number];

/** RFC 3339 in UTC. */
export type Time = string;

export type ByPriority = Partial<Record<Priority, number>>;

export interface ContainerRef {
  id: string;
  name: string;
  image: string;
  image_repository: string;
  image_tag: string;
  image_digest: string;
  compose_project: string;
  compose_service: string;
  k8s_namespace: string;
  k8s_pod: string;
}

export interface QwEvent {
  id: string;
  kind: "event" | "log";
  time: Time;
  source: string;
  rule: string;
  priority: Priority;
  category: Category;
  hostname: string;
  container: ContainerRef;
  process_name: string;
  tags: string[];
  output: string;
  output_fields: Record<string, unknown>;
  /** Of a line of a log: `stdout` or `stderr`. */
  stream?: string | null;
  /** Of a line of a log: its level; empty when it does not tell. */
  severity_text?: string | null;
}

export interface Page<T> {
  items: T[];
  next_cursor?: string | null;
}

export interface EventPage extends Page<QwEvent> {
  complete: boolean;
  /** Absent for users who see only some containers. */
  scanned?: number;
}

export interface Bucket {
  start: Time;
  total: number;
  by_priority: ByPriority;
}

export interface Histogram {
  step_seconds: number;
  buckets: Bucket[];
  total?: number;
  complete?: boolean;
}

export interface FacetValue {
  value: string;
  count: number;
}

export interface Facet {
  field: string;
  values: FacetValue[];
  other: number;
}

export interface Facets {
  facets: Facet[];
  complete: boolean;
  /** Absent for users who see only some containers. */
  scanned?: number;
}

export interface Setup {
  required: boolean;
  demo: boolean;
  version: string;
  /** A provider through which people may sign in. */
  sign_in_with?: { name: string; url: string } | null;
}

export const ROLES = ["log_reader", "viewer", "analyst", "admin"] as const;
/** Each role may do what the one before may. */
export type Role = (typeof ROLES)[number];

export type Permission =
  | "view_events"
  | "view"
  | "view_system"
  | "save_views"
  | "triage"
  | "manage_profiles"
  | "ingest"
  | "metrics"
  | "manage_notifications"
  | "own_tokens"
  | "manage_access"
  | "read_audit";

/** Whose data somebody sees: containers of one of these namespaces or with one of these labels (`key=value`). */
export interface DataScope {
  namespaces: string[];
  labels: string[];
}

export interface Session {
  username: string;
  csrf_token: string;
  expires: Time;
  role: Role;
  permissions: Permission[];
  /** `null` for everything. */
  scope: DataScope | null;
  has_password: boolean;
  /** Where the browser goes after signing out, to end the session at the provider too. */
  sign_out_url: string | null;
  demo: boolean;
}

export const SCOPES = ["read", "triage", "ingest", "metrics", "admin"] as const;
export type Scope = (typeof SCOPES)[number];

export interface Token {
  id: string;
  name: string;
  scopes: Scope[];
  created: Time;
  expires: Time | null;
  last_used: Time | null;
  created_by: string;
  /** It belongs to the process itself. */
  system?: boolean;
}

export interface NewToken extends Token {
  token: string;
}

export interface QueryCheck {
  valid: boolean;
  message?: string;
  position?: number;
  length?: number;
}

export interface QueryField {
  name: string;
  type: string;
  description: string;
}

export interface Container {
  id: string;
  name: string;
  image: string;
  image_id?: string;
  image_digest?: string;
  state: string;
  status?: string | null;
  created?: Time | null;
  started?: Time | null;
  finished?: Time | null;
  host?: string;
  compose_project?: string;
  compose_service?: string;
  k8s_namespace?: string;
  k8s_pod?: string;
  labels?: Record<string, string>;
  events: { total: number; by_priority: ByPriority };
  first_event: Time | null;
  last_event: Time | null;
  event_rate_per_second?: number;
  command?: string;
  ports?: { address: string; private: number; public: number | null; protocol: string }[];
  mounts?: { kind: string; source: string; destination: string; writable: boolean }[];
  networks?: { name: string; address: string }[];
}

/** How a container's use is read. */
export type UsageWay = "cgroup_v1" | "cgroup_v2" | "engine" | "none";

/** `GET /api/containers/{id}/usage`: the lists of `history` are as long as its `times`. */
export interface ContainerUsage {
  container_id: string;
  container_name: string;
  way: UsageWay;
  why: string;
  interval_seconds: number | null;
  current: { time: Time; interfaces: { name: string }[] | null } | null;
  limits: { cpu_cores: number | null; cpu_shares: number; memory_bytes: number | null; threads: number | null } | null;
  history: { times: Time[] } & Record<UsageSeries, (number | null)[]>;
}

export type UsageSeries =
  | "cpu_cores"
  | "cpu_system_cores"
  | "cpu_throttled_ratio"
  | "memory_usage_bytes"
  | "memory_working_set_bytes"
  | "memory_rss_bytes"
  | "memory_cache_bytes"
  | "network_receive_bytes_per_second"
  | "network_transmit_bytes_per_second"
  | "block_read_bytes_per_second"
  | "block_write_bytes_per_second"
  | "processes"
  | "threads";

export interface Notice {
  time: Time;
  level: "warning" | "error" | "info";
  text: string;
  source: string;
}

export interface Overview {
  events_total: number;
  event_rate_per_second: number;
  last_event: Time | null;
  by_priority: ByPriority;
  by_category: Partial<Record<Category, number>>;
  top_rules: { rule: string; priority: Priority; category: Category; count: number }[];
  top_containers: { id: string; name: string; image: string; count: number; last_event: Time | null }[];
  containers: { running: number; total: number };
  hosts: number;
  images: number;
  sources: { total: number; healthy: number; failing: number };
  histogram: Histogram;
  store: { events: number; bytes: number; oldest: Time | null; newest: Time | null };
  /** Silenced alerts are counted in `silenced` alone. */
  alerts: {
    /** With events in the range that was asked for. */
    total: number;
    by_priority: ByPriority;
    /** Open now, whatever the range. */
    open: Record<Exclude<AlertState, "closed">, number>;
    silenced: number;
  };
  notices: Notice[];
  demo: boolean;
  version: string;
}

export interface Outcomes {
  stored?: number;
  forwarded?: number;
  observed?: number;
  filtered?: number;
  duplicate?: number;
  invalid?: Record<string, number>;
  dropped?: Record<string, number>;
}

export interface Source {
  id: string;
  kind: string;
  description: string;
  state: string;
  since: Time | null;
  last_error: { time: Time; text: string } | null;
  /** Reason and beginning of the newest line that was no event. */
  last_rejected?: string | null;
  last_received: Time | null;
  lag_seconds: number | null;
  received_total: number;
  received_bytes_total: number;
  outcomes: Outcomes;
  /** Events on their way, and the bytes that all sources together may have on their way. */
  queue: { length: number; capacity: number };
  position: string | null;
  /** How each of the things it reads is read, such as the log of each container. */
  readers: SourceReader[];
}

export interface SourceReader {
  container_id: string;
  container_name: string;
  way: "file" | "api" | "archive" | "journal" | "none";
  /** Why it is read that way, or not at all. */
  why: string;
  /** Bytes that are there and not yet read; `null` when that cannot be told. */
  lag_bytes?: number | null;
  gaps: number;
  lines: number;
  last_error?: string | null;
}

export interface View {
  id: string;
  name: string;
  page: string;
  state: string;
  shared: boolean;
  owner: string;
  created: Time;
}

export const ALERT_STATES = ["new", "acknowledged", "in_progress", "closed"] as const;
export type AlertState = (typeof ALERT_STATES)[number];

export const ALERT_SOURCES = ["falco", "profile", "engine"] as const;
export type AlertSource = (typeof ALERT_SOURCES)[number];

export const CLOSE_REASONS = ["resolved", "false_positive", "expected", "duplicate", "accepted"] as const;
export type CloseReason = (typeof CLOSE_REASONS)[number];

export interface AlertReason {
  code: string;
  text: string;
  time: Time;
  /** What it adds to the score; 0 where nothing is graded. */
  weight: number;
}

/** What needs somebody's attention: events of one rule in one workload, folded. */
export interface Alert {
  id: number;
  source: AlertSource;
  rule: string;
  priority: Priority;
  workload: string;
  /** The newest one. */
  container: ContainerRef;
  /** All that it was seen in, newest first. */
  containers: { id: string; name: string; image: string; last_seen: Time }[];
  more_containers: boolean;
  hostname: string;
  title: string;
  score: number | null;
  reasons: AlertReason[];
  /** Ids of the events that caused it: the first and the newest. */
  evidence: string[];
  first_seen: Time;
  last_seen: Time;
  count: number;
  state: AlertState;
  close_reason: CloseReason | null;
  assignee: string | null;
  silenced_by: number | null;
  /** Behaviours that its profile would learn from closing it, and those it has learned. */
  teachable: number;
  taught: number;
  changed: Time;
}

export interface AlertChange {
  sequence: number;
  time: Time;
  /** Empty when nobody did it. */
  who: string;
  action: "raised" | "escalated" | "state" | "assigned" | "note" | "silenced";
  priority?: Priority;
  state?: AlertState;
  reason?: CloseReason | null;
  assignee?: string | null;
  text?: string;
  silence?: number | null;
  /** Behaviours that the profile learned from this, or forgot again. */
  taught?: number;
  untaught?: number;
}

export interface AlertDetail extends Alert {
  history: AlertChange[];
  /** Where it stands in the tree of its workload. */
  behaviour: AlertBehaviour[];
}

export interface AlertBehaviour {
  branch: Branch;
  operation: string;
  process: string;
  /** Kind of attribute, the `type` of its node. */
  kind: string;
  token: string;
}

/** Somebody who can be given alerts. */
export interface Assignee {
  username: string;
  role: Role;
}

export interface AlertAggregates {
  total: number;
  /** Whatever states were asked for. */
  by_state: Record<AlertState, number>;
  by_priority: ByPriority;
  by_rule: { rule: string; count: number }[];
}

export interface AlertPage extends Page<Alert> {
  aggregates: AlertAggregates;
}

/** Only the intervals that are not empty. */
export interface AlertTrend {
  step_seconds: number;
  items: Bucket[];
}

export interface AlertTop {
  name: string;
  occurrences: number;
  alerts: number;
  priority: Priority;
}

export const MATCHER_FIELDS = ["rule", "source", "priority", "workload", "container", "image", "namespace", "hostname"] as const;
export type MatcherField = (typeof MATCHER_FIELDS)[number];

export const MATCHER_OPERATORS = ["equal", "not_equal", "glob", "not_glob"] as const;
export type MatcherOperator = (typeof MATCHER_OPERATORS)[number];

export interface Matcher {
  field: MatcherField;
  operator: MatcherOperator;
  value: string;
}

export interface Silence {
  id: number;
  matchers: Matcher[];
  starts: Time;
  ends: Time;
  created_by: string;
  created: Time;
  comment: string;
  state: "pending" | "active" | "expired";
}

export interface NotificationSink {
  name: string;
  type: "webhook" | "alertmanager" | "syslog" | "smtp";
  description: string;
  state: "disabled" | "idle" | "sending" | "paced" | "retrying";
  last_success: Time | null;
  last_error: string | null;
  last_error_time?: Time | null;
  sent: number;
  failed: number;
  retried: number;
  /** Changes that are not yet handled. */
  lag: number;
}

/** Where records are forwarded to, and how that goes. Counts begin anew with the server. */
export interface ForwardingRoute {
  name: string;
  /** Kind of the destination, such as `syslog`. */
  type: string;
  place: string;
  /** Query that a record has to match; empty for all. */
  match: string;
  kinds: ("log" | "event")[];
  min_priority: string;
  state: "running" | "waiting" | "failing" | "disabled";
  sent_total: number;
  sent_bytes_total: number;
  /** Not for this route. */
  filtered_total: number;
  /** Refused for good: dead letters. */
  failed_total: number;
  retried_total: number;
  /** Dropped by retention before they could be sent. */
  lost_total: number;
  dead_letters: number;
  /** Records that are not yet handled. */
  lag: number;
  last_success: Time | null;
  last_error: string | null;
  last_error_time: Time | null;
  /** What was lost, in words. */
  notice?: string | null;
}

/** A record that a destination refused for good. */
export interface DeadLetter {
  id: string;
  reason: string;
}

export const BRANCHES = ["process", "network", "file", "lineage"] as const;
export type Branch = (typeof BRANCHES)[number];

export interface ProfileBranch {
  state: "learning" | "detecting";
  since: Time;
  /** 0 to 1. */
  progress: number;
  /** Why it is in this state, or what is missing. */
  reason: string;
  events: number;
  nodes: number;
  deviating_nodes: number;
  unseen_mass: number;
  new_nodes_per_hour: number;
}

export interface Profile {
  key: string;
  images: string[];
  state: "learning" | "detecting";
  frozen: boolean;
  progress: number;
  /** How many containers are known to run under it. */
  containers: number;
  events: number;
  deviations: number;
  nodes: number;
  deviating_nodes: number;
  /** Nodes that somebody has said to belong to it. */
  accepted: number;
  refused: number;
  bytes: number;
  first_seen: Time;
  last_seen: Time;
  branches: Record<Branch, ProfileBranch>;
}

export interface ProfileSnapshot {
  time: Time;
  kind: "daily" | "learned" | "command" | "imported";
}

export interface ProfileDetail extends Profile {
  /** Oldest first. */
  snapshots: ProfileSnapshot[];
}

export interface ProfilePage extends Page<Profile> {
  aggregates: { total: number; learning: number; detecting: number; frozen: number };
}

export interface ProfilePath {
  /** Branch, operation, process, attribute. */
  path: [string, string, string, string];
  type: string;
  events_count: number;
  deviating: boolean;
}

export interface ProfileDiff {
  added: ProfilePath[];
  removed: ProfilePath[];
  common: number;
  not_listed: number;
  at: Time | null;
}

export const NODE_STATES = ["learned", "accepted", "seen", "deviating"] as const;
export type NodeState = (typeof NODE_STATES)[number];

/** A node of `/api/hbt/{id}`: profile, branch, operation, process, attribute. */
export interface TreeNode {
  name: string;
  type: string;
  events_count: number;
  metadata: {
    state: NodeState;
    first_seen?: Time;
    last_seen?: Time;
    wildcard?: boolean;
    similar?: boolean;
    sensitive?: boolean;
    /** Who said that it belongs to the workload; `alert` when that was by closing one. */
    accepted?: { by: string; time: Time; alert?: number };
    /** Attributes below by state. */
    states?: Partial<Record<NodeState, number>>;
  };
  children: TreeNode[];
}

export interface User {
  username: string;
  role: Role;
  scope: DataScope | null;
  origin: "local" | "oidc";
  disabled: boolean;
  created: Time;
  last_sign_in: Time | null;
}

export interface NewUser extends User {
  /** Made up by the server, and told once. */
  password?: string;
}

export interface SessionInfo {
  id: string;
  username: string;
  created: Time;
  last_used: Time;
  expires: Time;
  address: string;
  agent: string;
  current: boolean;
}

export const AUDIT_OUTCOMES = ["done", "refused", "failed"] as const;

export interface AuditEntry {
  sequence: number;
  time: Time;
  user: string;
  by: "session" | "token" | "system" | "nobody";
  token: string;
  address: string;
  action: string;
  target: string;
  outcome: (typeof AUDIT_OUTCOMES)[number];
  detail: string;
  request_id: string;
}

/** What checking the audit log has shown. */
export interface AuditState {
  whole: boolean;
  problem: string | null;
  entries: number;
  newest: number;
  newest_hash: string;
}

/** One message of `/api/stream`. */
export type StreamMessage =
  | { type: "event"; ts: Time; container: string; payload: { events: QwEvent[] } }
  | { type: "heartbeat"; ts: Time; container: string; payload: { last_event_id?: string } }
  | { type: "gap"; ts: Time; container: string; payload: { missed: number; from?: string; to?: string } }
  | { type: "alert"; ts: Time; container: string; payload: { alerts: Alert[] } };

/** `application/problem+json`. */
export interface Problem {
  type?: string;
  title: string;
  status: number;
  code: string;
  detail?: string;
  request_id?: string;
  position?: number;
  length?: number;
}
