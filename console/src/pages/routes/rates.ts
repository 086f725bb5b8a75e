/** How much goes through a route, from what its counters were at each look. Pure: time comes in as an argument. */

import type { ForwardingRoute } from "../../api/types";

/** How far back looks are kept. */
export const KEPT_MS = 300_000;
/** Two looks that are closer say too little about a second. */
const LEAST_MS = 1_000;

/** Counters of a route at one look; `at` is in milliseconds of a clock that never goes back. */
export interface Look {
  at: number;
  records: number;
  bytes: number;
}

/** The looks at each route, by its name; oldest first. */
export type Looks = Readonly<Record<string, readonly Look[]>>;

/** A stretch between two looks, and what went through in each of its seconds. */
export interface Stretch {
  from: number;
  to: number;
  records: number;
  bytes: number;
}

type Counted = Pick<ForwardingRoute, "name" | "sent_total" | "sent_bytes_total">;

/** `before` with another look at each of `routes`; what is gone or too long ago goes. */
export function looked(before: Looks, routes: readonly Counted[], at: number): Looks {
  return Object.fromEntries(
    routes.map(({ name, sent_total: records, sent_bytes_total: bytes }) => {
      const kept = (before[name] ?? []).filter((look) => at - look.at <= KEPT_MS);
      const last = kept.at(-1);
      // A server that was started anew counts from zero.
      if (last && (records < last.records || bytes < last.bytes)) return [name, [{ at, records, bytes }]];
      if (last && at - last.at < LEAST_MS) return [name, kept];
      return [name, [...kept, { at, records, bytes }]];
    }),
  );
}

/** What went through between each two neighbours. */
export function stretches(looks: readonly Look[]): Stretch[] {
  return looks.slice(1).map((look, index) => {
    const before = looks[index]!;
    const seconds = (look.at - before.at) / 1_000;
    return { from: before.at, to: look.at, records: (look.records - before.records) / seconds, bytes: (look.bytes - before.bytes) / seconds };
  });
}
