/** What the inbox shows is its address: state, filters, order, the alert that is open. Pure. */

import { ALERT_SOURCES, ALERT_STATES, PRIORITIES, type Alert, type AlertSource, type AlertState, type Priority } from "../../api/types";
import type { Parameters } from "../../api/client";

export const TABS = ["open", ...ALERT_STATES, "all"] as const;
export type Tab = (typeof TABS)[number];

export const SORTS = ["last_seen", "priority", "count", "first_seen"] as const;
export type Sort = (typeof SORTS)[number];

export interface InboxFilter {
  tab: Tab;
  /** Least urgent priority that is wanted. */
  priority: Priority | null;
  source: AlertSource | null;
  text: string;
  /** Show those too that a silence keeps quiet. */
  silenced: boolean;
  rule: string;
  workload: string;
  container: string;
  /** Repository, with or without its tag. */
  image: string;
  namespace: string;
  /** User; `none` for nobody. */
  assignee: string;
  sort: Sort;
}

/** The filters that are single values, with the parameter that carries each. */
export const EXACT = ["rule", "workload", "container", "image", "namespace", "assignee"] as const;

export function readFilter(search: URLSearchParams): InboxFilter {
  const one = <T extends string>(name: string, choices: readonly T[]) => choices.find((choice) => choice === search.get(name));
  return {
    tab: one("state", TABS) ?? "open",
    priority: one("priority", PRIORITIES) ?? null,
    source: one("source", ALERT_SOURCES) ?? null,
    text: search.get("q") ?? "",
    silenced: search.get("silenced") === "1",
    rule: search.get("rule") ?? "",
    workload: search.get("workload") ?? "",
    container: search.get("container") ?? "",
    image: search.get("image") ?? "",
    namespace: search.get("namespace") ?? "",
    assignee: search.get("assignee") ?? "",
    sort: one("sort", SORTS) ?? "last_seen",
  };
}

/** Parameters of `/api/alerts`. */
export function parametersOf(filter: InboxFilter): Parameters {
  return { ...withoutState(filter), state: filter.tab === "all" ? "" : filter.tab, sort: filter.sort === "last_seen" ? "" : filter.sort };
}

/** The same for the counts of all states. */
export function withoutState(filter: InboxFilter): Parameters {
  return {
    priority: filter.priority,
    source: filter.source,
    search: filter.text.trim(),
    silenced: filter.silenced ? null : false,
    rule: filter.rule,
    workload: filter.workload,
    container: filter.container,
    image: filter.image,
    namespace: filter.namespace,
    assignee: filter.assignee,
  };
}

/** Parameters of the trend and of what is most active: what concerns the alerts' origin, but not `without`. */
export function originOf(filter: InboxFilter, without = ""): Parameters {
  const { rule, workload, container, image, namespace, priority, source } = filter;
  return { rule, workload, container, image, namespace, priority, source, ...(without ? { [without]: "" } : {}) };
}

export function inTab(state: AlertState, tab: Tab): boolean {
  return tab === "all" || (tab === "open" ? state !== "closed" : state === tab);
}

/** Whether the server would list `alert` under `filter`. */
export function belongs(alert: Alert, filter: InboxFilter): boolean {
  const text = filter.text.trim().toLowerCase();
  const { container } = alert;
  return (
    inTab(alert.state, filter.tab) &&
    (!filter.priority || PRIORITIES.indexOf(alert.priority) <= PRIORITIES.indexOf(filter.priority)) &&
    (!filter.source || alert.source === filter.source) &&
    (filter.silenced || alert.silenced_by === null) &&
    (!filter.rule || alert.rule === filter.rule) &&
    (!filter.workload || alert.workload === filter.workload) &&
    (!filter.container || alert.containers.some(({ id, name }) => filter.container === id || filter.container === name)) &&
    (!filter.image || alert.containers.some(({ image }) => isOfImage(image, filter.image))) &&
    (!filter.namespace || filter.namespace === container.k8s_namespace) &&
    (!filter.assignee || (filter.assignee === "none" ? alert.assignee === null : alert.assignee === filter.assignee)) &&
    (text === "" || [alert.title, alert.rule, alert.workload, container.name, container.id].some((part) => part.toLowerCase().includes(text)))
  );
}

const isOfImage = (image: string, wanted: string) => image === wanted || image.startsWith(`${wanted}:`) || image.startsWith(`${wanted}@`);

/** How many filters beside the state narrow the list. */
export function narrowed(filter: InboxFilter): boolean {
  return Boolean(filter.priority || filter.source || filter.text || EXACT.some((name) => filter[name]));
}
