/**
 * Time ranges as the URL carries them: each end is `now`, `now-15m`, or an RFC 3339 time.
 *
 * A range is fixed to absolute times when a search starts, so that list, histogram, facets and every
 * further page speak of the same stretch of time.
 */

export interface Range {
  from: string;
  to: string;
}

export interface FixedRange {
  /** Milliseconds since 1970. */
  start: number;
  end: number;
}

export const DEFAULT_RANGE: Range = { from: "now-1h", to: "now" };

/** The ranges the time picker offers. */
export const PRESETS = ["15m", "30m", "1h", "3h", "6h", "12h", "24h", "2d", "7d"] as const;

const UNIT_MS: Record<string, number> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/** One end of a range in milliseconds; `null` when the text is neither relative nor a time. */
export function resolveTime(text: string, now: number): number | null {
  const relative = /^now(?:-(\d{1,6})([smhdw]))?$/.exec(text);
  if (relative) {
    const [, count, unit] = relative;
    return count && unit ? now - Number(count) * UNIT_MS[unit]! : now;
  }
  if (!/^\d{4}-\d{2}-\d{2}T/.test(text)) return null;
  const time = Date.parse(text);
  return Number.isNaN(time) ? null : time;
}

/** Both ends fixed at `now`; a range that cannot be read or is empty becomes the default. */
export function fixRange(range: Range, now: number): FixedRange {
  const start = resolveTime(range.from, now);
  const end = resolveTime(range.to, now);
  if (start === null || end === null || start >= end) {
    return { start: resolveTime(DEFAULT_RANGE.from, now)!, end: now };
  }
  return { start, end };
}

/** True when the range moves with the clock. */
export function isRelative(range: Range): boolean {
  return range.to === "now" && range.from.startsWith("now");
}

/** The preset a range is, such as `15m`; `null` for others. */
export function presetOf(range: Range): string | null {
  if (range.to !== "now") return null;
  const match = /^now-(\d+[smhdw])$/.exec(range.from);
  return match ? match[1]! : null;
}

/** Twice the stretch, around the same middle, not beyond `latest`. */
export function widened({ start, end }: FixedRange, latest: number): Range {
  const half = (end - start) / 2;
  const last = Math.min(end + half, latest);
  return absoluteRange(last - 4 * half, last);
}

/** The range between two times. */
export function absoluteRange(start: number, end: number): Range {
  return { from: new Date(start).toISOString(), to: new Date(end).toISOString() };
}

const NICE_SECONDS = [
  1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800,
];

/** A step between axis labels that gives at most `wanted` labels, in seconds. */
export function labelStep(spanSeconds: number, wanted: number): number {
  return NICE_SECONDS.find((step) => spanSeconds / step <= wanted) ?? NICE_SECONDS[NICE_SECONDS.length - 1]!;
}
