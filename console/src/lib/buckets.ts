/** Histogram buckets as a chart and a screen reader need them. Pure. */

import { PRIORITIES, type Bucket, type ByPriority, type Priority } from "../api/types";
import { formatClock, formatDate } from "./format";
import { labelStep } from "./range";

/** Text under the axis for every bucket; `null` where none belongs. Labels stand on round local times. */
export function axisLabels(buckets: Bucket[], stepSeconds: number, wanted: number): (string | null)[] {
  const span = buckets.length * stepSeconds;
  const every = Math.max(labelStep(span, wanted), stepSeconds);
  let lastDay = "";
  return buckets.map((bucket) => {
    const date = new Date(bucket.start);
    const local = date.getTime() / 1000 - date.getTimezoneOffset() * 60;
    if (local % every >= stepSeconds) return null;
    const day = formatDate(date);
    const isNewDay = span > 43_200 && day !== lastDay;
    lastDay = day;
    if (every >= 86_400) return day.slice(5);
    const clock = every < 60 ? formatClock(date) : formatClock(date).slice(0, 5);
    return isNewDay && clock === "00:00" ? day.slice(5) : clock;
  });
}

/** Sum of all buckets by priority. */
export function totals(buckets: Bucket[]): Record<Priority, number> {
  const sum = Object.fromEntries(PRIORITIES.map((priority) => [priority, 0])) as Record<Priority, number>;
  for (const bucket of buckets) for (const priority of PRIORITIES) sum[priority] += bucket.by_priority[priority] ?? 0;
  return sum;
}

/** Events in all priorities. */
export function sumOf(counts: ByPriority): number {
  return PRIORITIES.reduce((sum, priority) => sum + (counts[priority] ?? 0), 0);
}
