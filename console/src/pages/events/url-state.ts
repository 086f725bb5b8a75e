/** The whole state of the Events page is its address: back, reload and a copied link show the same. */

import { DEFAULT_RANGE, type Range } from "../../lib/range";

export type Order = "desc" | "asc";
export const TABS = ["summary", "fields", "json"] as const;
export type Tab = (typeof TABS)[number];

export interface EventsState {
  query: string;
  range: Range;
  /** `null`: the person's own choice. */
  columns: string[] | null;
  order: Order;
  live: boolean;
  /** Id of the event in the drawer. */
  event: string | null;
  tab: Tab;
}

export function readState(search: URLSearchParams): EventsState {
  const columns = (search.get("cols") ?? "").split(",").filter((column) => /^[\w.[\]/-]{1,200}$/.test(column));
  const tab = search.get("tab");
  return {
    query: search.get("q") ?? "",
    range: { from: search.get("from") || DEFAULT_RANGE.from, to: search.get("to") || DEFAULT_RANGE.to },
    columns: columns.length > 0 ? columns : null,
    order: search.get("order") === "asc" ? "asc" : "desc",
    live: search.get("live") === "1",
    event: search.get("event"),
    tab: TABS.find((name) => name === tab) ?? "summary",
  };
}

export function writeState(state: EventsState): URLSearchParams {
  const search = new URLSearchParams();
  if (state.query) search.set("q", state.query);
  if (state.range.from !== DEFAULT_RANGE.from || state.range.to !== DEFAULT_RANGE.to) {
    search.set("from", state.range.from);
    search.set("to", state.range.to);
  }
  if (state.columns) search.set("cols", state.columns.join(","));
  if (state.order === "asc") search.set("order", "asc");
  if (state.live) search.set("live", "1");
  if (state.event) search.set("event", state.event);
  if (state.event && state.tab !== "summary") search.set("tab", state.tab);
  return search;
}

/** What a saved view keeps: the question, not the event that happens to be open. */
export function viewState(state: EventsState, columns: string[]): string {
  return writeState({ ...state, columns, event: null, live: false, tab: "summary" }).toString();
}
