/** The whole state of the Logs page is its address: back, reload and a copied link show the same. */

import { isRelative, DEFAULT_RANGE, resolveTime, type Range } from "../../lib/range";
import { andClause, conjuncts, quoteValue } from "../../query/edit";
import { tokenize } from "../../query/tokens";
import { LEVELS, type Level } from "./line";

export const MAX_PANES = 4;
export const STREAMS = ["stdout", "stderr"] as const;
export type OutputStream = (typeof STREAMS)[number];

export interface LogsState {
  query: string;
  /** Names of containers by pane; a pane without names shows all. */
  panes: string[][];
  levels: (Level | "none")[];
  stream: OutputStream | null;
  range: Range;
  /** A point in time: what was around it is shown, and nothing live. */
  at: string | null;
  /** Id of the line that is marked. */
  line: string | null;
}

export function readState(search: URLSearchParams): LogsState {
  const panes = search.getAll("c").slice(0, MAX_PANES).map((names) => names.split(",").filter(Boolean));
  const levels = (search.get("level") ?? "").split(",");
  const stream = search.get("stream");
  const at = search.get("at");
  const line = search.get("line");
  return {
    query: search.get("q") ?? "",
    panes: panes.length > 0 ? panes : [[]],
    levels: [...LEVELS, "none" as const].filter((level) => levels.includes(level)),
    stream: STREAMS.find((name) => name === stream) ?? null,
    range: { from: search.get("from") || DEFAULT_RANGE.from, to: search.get("to") || DEFAULT_RANGE.to },
    at: at !== null && resolveTime(at, 0) !== null ? at : null,
    line: line !== null && /^\d{1,20}$/.test(line) ? line : null,
  };
}

export function writeState(state: LogsState): URLSearchParams {
  const search = new URLSearchParams();
  if (state.query) search.set("q", state.query);
  if (state.panes.length > 1 || state.panes[0]!.length > 0) for (const names of state.panes) search.append("c", names.join(","));
  if (state.levels.length > 0) search.set("level", state.levels.join(","));
  if (state.stream) search.set("stream", state.stream);
  if (state.range.from !== DEFAULT_RANGE.from || state.range.to !== DEFAULT_RANGE.to) {
    search.set("from", state.range.from);
    search.set("to", state.range.to);
  }
  if (state.at) search.set("at", state.at);
  if (state.line) search.set("line", state.line);
  return search;
}

/** True while new lines are shown as they come. */
export const isLive = (state: LogsState) => state.at === null && isRelative(state.range);

/** `field:value` or `field:(a or b)`. */
function oneOf(field: string, values: readonly string[]): string {
  const quoted = values.map(quoteValue);
  return `${field}:${quoted.length === 1 ? quoted[0] : `(${quoted.join(" or ")})`}`;
}

/** The query for lines of `containers` (all when empty) that pass the filters of `state`: what is counted and downloaded. */
export function filterQuery(state: Pick<LogsState, "query" | "levels" | "stream">, containers: readonly string[]): string {
  let query = conjuncts(state.query).join(" and ");
  const told = state.levels.filter((level) => level !== "none");
  const levels = told.length > 0 ? [oneOf("severity_text", told)] : [];
  if (state.levels.includes("none")) levels.push("-severity_text:*");
  if (levels.length > 0) query = andClause(query, levels.length === 1 ? levels[0]! : `(${levels.join(" or ")})`);
  if (state.stream) query = andClause(query, `log.iostream:${state.stream}`);
  return containers.length > 0 ? andClause(query, oneOf("container.name", containers)) : query;
}

const OF_PLACE = /^(?:container|compose\.|k8s\.|hostname$)/;

/** True for a part of a query that says where lines come from, and nothing about them. */
function isPlace(part: string): boolean {
  const tokens = tokenize(part);
  const named = tokens.filter(({ kind }) => kind === "field");
  return named.length > 0 && named.every(({ text }) => OF_PLACE.test(text)) && tokens.every(({ kind, field }) => kind !== "word" && (kind !== "string" || field !== undefined));
}

/** The same, and the gaps of these containers whatever the filters say: who reads must see that something is missing. */
export function listQuery(state: Pick<LogsState, "query" | "levels" | "stream">, containers: readonly string[]): string {
  const parts = conjuncts(state.query);
  const filtered = filterQuery({ ...state, query: parts.filter((part) => !isPlace(part)).join(" and ") }, []);
  const places = parts.filter(isPlace);
  if (containers.length > 0) places.push(oneOf("container.name", containers));
  return [...(filtered === "" ? [] : [`((${filtered}) or tags:gap)`]), ...places].join(" and ");
}

/** The containers of all panes; none when one of them shows all. */
export function allContainers(panes: readonly string[][]): string[] {
  return panes.some((names) => names.length === 0) ? [] : [...new Set(panes.flat())].sort();
}
