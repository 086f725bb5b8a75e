/** What a route takes, as the pages that show the same records understand it. */

import { PRIORITIES, type ForwardingRoute, type Priority } from "../../api/types";
import { eventsLink, logsLink } from "../../lib/links";
import { conjuncts } from "../../query/edit";

/** How far back the links look. */
const RANGE = { from: "now-24h", to: "now" };

/** The least urgency of a record; `null` when every one will do. */
export function leastPriority({ min_priority }: Pick<ForwardingRoute, "min_priority">): Priority | null {
  const found = PRIORITIES.find((priority) => priority.toLowerCase() === min_priority.toLowerCase());
  return !found || found === "Debug" ? null : found;
}

/** The query that finds what a route takes. */
export function takenQuery(route: Pick<ForwardingRoute, "match" | "min_priority">): string {
  const least = leastPriority(route);
  return least ? [...conjuncts(route.match), `priority>=${least}`].join(" and ") : route.match;
}

/** The page that shows what of `kind` a route takes. */
export function takenLink(route: Pick<ForwardingRoute, "match" | "min_priority">, kind: ForwardingRoute["kinds"][number]): string {
  const query = takenQuery(route);
  return kind === "log" ? logsLink({ query, ...RANGE }) : eventsLink({ query, ...RANGE });
}
