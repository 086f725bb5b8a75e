/** Addresses of pages with what they should show. */

import { changed } from "./address";
import { quoteValue } from "../query/edit";

export interface EventsLink {
  query?: string;
  from?: string;
  to?: string;
  event?: string;
  live?: boolean;
}

export function eventsLink({ query, from, to, event, live }: EventsLink): string {
  const search = new URLSearchParams();
  if (query) search.set("q", query);
  if (from) search.set("from", from);
  if (to) search.set("to", to);
  if (live) search.set("live", "1");
  if (event) search.set("event", event);
  const text = search.toString();
  return text ? `/events?${text}` : "/events";
}

export interface LogsLink {
  /** Names of containers; all when empty. */
  containers?: readonly string[];
  query?: string;
  from?: string;
  to?: string;
  /** Point in time around which lines are shown. */
  at?: string;
  /** Id of the line to mark. */
  line?: string;
}

export function logsLink({ containers = [], query = "", from = "", to = "", at = "", line = "" }: LogsLink): string {
  const search = changed(new URLSearchParams(), { q: query, c: containers.join(","), from, to, at, line }).toString();
  return search ? `/logs?${search}` : "/logs";
}

/** A query for one value of one field. */
export const fieldQuery = (field: string, value: string) => `${field}:${quoteValue(value)}`;

/** A query for the events of one container. */
export function containerQuery({ id, name }: { id: string; name: string }): string {
  return name ? fieldQuery("container.name", name) : fieldQuery("container.id", id);
}

export const containerLink = (id: string) => `/containers/${encodeURIComponent(id)}`;

/** The behaviour of a container or of the profile with this key, with what of it is to be shown. */
export function behaviourLink(id: string, state: Record<string, string> = {}): string {
  const search = new URLSearchParams(state).toString();
  return `/behaviour/${encodeURIComponent(id)}${search ? `?${search}` : ""}`;
}
