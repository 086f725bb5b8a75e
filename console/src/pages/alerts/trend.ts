/** The trend of alerts as the charts want it. Pure. */

import type { AlertTrend, Histogram } from "../../api/types";

/** `trend` between two times in milliseconds, with the intervals in which nothing happened. */
export function filledTrend(trend: AlertTrend, start: number, end: number): Histogram {
  const step = trend.step_seconds * 1_000;
  const known = new Map(trend.items.map((bucket) => [Date.parse(bucket.start), bucket]));
  const buckets = [];
  for (let at = Math.floor(start / step) * step; at < end; at += step) {
    buckets.push(known.get(at) ?? { start: new Date(at).toISOString(), total: 0, by_priority: {} });
  }
  return { step_seconds: trend.step_seconds, buckets };
}
