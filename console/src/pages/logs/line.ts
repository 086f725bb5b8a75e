/** What a row of the Logs page is made of. Pure. */

import type { QwEvent } from "../../api/types";
import { resolveTime } from "../../lib/range";
import { tokenize } from "../../query/tokens";

export const LEVELS = ["FATAL", "ERROR", "WARN", "INFO", "DEBUG", "TRACE"] as const;
export type Level = (typeof LEVELS)[number];

/** Colours that names of containers take turns in. */
export const NAME_COLORS = 8;

/** The colour of a container's name: the same wherever the name stands. */
export function nameColor(name: string): number {
  let hash = 2_166_136_261;
  for (let at = 0; at < name.length; at += 1) hash = Math.imul(hash ^ name.charCodeAt(at), 16_777_619);
  return ((hash ^ (hash >>> 15)) >>> 0) % NAME_COLORS;
}

/** `time` to the nanosecond, so that texts are in the order of times. */
export function timeKey(time: string): string {
  const fraction = /\.(\d{1,9})/.exec(time)?.[1] ?? "";
  return `${time.slice(0, 19)}.${fraction.padEnd(9, "0")}`;
}

/** A nanosecond after `time`, which is RFC 3339 in UTC. */
export function justAfter(time: string): string {
  const [seconds, fraction] = timeKey(time).split(".") as [string, string];
  const next = Number(fraction) + 1;
  if (next < 1_000_000_000) return `${seconds}.${String(next).padStart(9, "0")}Z`;
  return `${new Date(Date.parse(`${seconds}Z`) + 1_000).toISOString().slice(0, 19)}.000000000Z`;
}

/** The point in time that `text` tells, to the nanosecond and in UTC; `now` for one that cannot be read. */
export function pointAt(text: string, now: number): string {
  if (/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?Z$/.test(text)) return text;
  return new Date(resolveTime(text, now) ?? now).toISOString();
}

/** What is missing at the place of a record that tells of a gap. */
export interface LineGap {
  reason: string;
  bytes: number | null;
  files: number | null;
  after: string | null;
  before: string | null;
}

/** The gap that `event` tells of; `null` for an ordinary line. */
export function gapOf(event: QwEvent): LineGap | null {
  if (!event.tags.includes("gap")) return null;
  const fields = event.output_fields;
  const count = (name: string) => (typeof fields[name] === "number" ? fields[name] : null);
  const time = (name: string) => (typeof fields[name] === "string" ? fields[name] : null);
  const reason = fields["log.gap.reason"];
  return {
    reason: typeof reason === "string" ? reason : "",
    bytes: count("log.gap.bytes"),
    files: count("log.gap.files"),
    after: time("log.gap.after"),
    before: time("log.gap.before"),
  };
}

const TEXT_FIELDS = new Set([undefined, "body", "output"]);

/** The words of `query` that are looked for in the text of lines, to be marked there. */
export function wordsOf(query: string): string[] {
  const words = new Set<string>();
  let negated = false;
  for (const token of tokenize(query)) {
    if (token.kind === "space") continue;
    if (token.kind === "negation" || (token.kind === "keyword" && token.text.toLowerCase() === "not")) {
      negated = true;
      continue;
    }
    if (["word", "string", "value"].includes(token.kind)) {
      const text = token.text.replace(/^"|"$/g, "").replace(/\\(.)/g, "$1").replace(/^\*+|\*+$/g, "");
      if (!negated && text.length > 1 && TEXT_FIELDS.has(token.field)) words.add(text.toLowerCase());
    } else if (token.kind === "field" || token.kind === "operator") continue;
    negated = false;
  }
  return [...words].slice(0, 16);
}

/** Stretches of `text` that are one of `words`, in order and not overlapping. */
export function hitsIn(text: string, words: readonly string[]): [number, number][] {
  if (words.length === 0) return [];
  const lower = text.toLowerCase();
  // A few letters change their length with their case: places would be off.
  if (lower.length !== text.length) return [];
  const found: [number, number][] = [];
  for (const word of words) {
    for (let at = lower.indexOf(word); at >= 0 && found.length < 200; at = lower.indexOf(word, at + word.length)) found.push([at, at + word.length]);
  }
  found.sort(([a], [b]) => a - b);
  let end = 0;
  return found.filter(([from, to]) => {
    if (from < end) return false;
    end = to;
    return true;
  });
}
