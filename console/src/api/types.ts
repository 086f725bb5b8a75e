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
}

export interface Page<T> {
  items: T[];
  next_cursor?: string | null;
}

export interface EventPage extends Page<QwEvent> {
  complete: boolean;
  scanned: number;
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
  scanned: number;
}

export interface Setup {
  required: boolean;
  demo: boolean;
  version: string;
}

export interface Session {
  username: string;
  csrf_token: string;
  expires: Time;
  role: string;
  demo: boolean;
}

export const SCOPES = ["read", "ingest", "metrics", "admin"] as const;
export type Scope = (typeof SCOPES)[number];

export interface Token {
  id: string;
  name: string;
  scopes: Scope[];
  created: Time;
  expires: Time | null;
  last_used: Time | null;
  created_by: string;
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
  notices: Notice[];
  demo: boolean;
  version: string;
}

export interface Outcomes {
  stored?: number;
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

/** One message of `/api/stream`. */
export type StreamMessage =
  | { type: "event"; ts: Time; container: string; payload: { events: QwEvent[] } }
  | { type: "heartbeat"; ts: Time; container: string; payload: { last_event_id?: string } }
  | { type: "gap"; ts: Time; container: string; payload: { missed: number; from?: string; to?: string } }
  | { type: "alert"; ts: Time; container: string; payload: unknown };

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
