/** What can be done with alerts, what that makes of them, and how it is undone. Pure. */

import type { Alert, AlertState, CloseReason, Matcher } from "../../api/types";

export type Triage =
  | { action: "acknowledge" | "unacknowledge" | "start" | "reopen" }
  /** With `teach`, what deviated in it becomes part of its profile. */
  | { action: "close"; reason: CloseReason; teach?: boolean }
  | { action: "assign"; assignee: string | null }
  | { action: "note"; text: string };

export type TriageName = Triage["action"];

/** `alert` after `triage`, as far as can be told before the server answers. */
export function applied(alert: Alert, triage: Triage): Alert {
  const to = (state: AlertState, close_reason: CloseReason | null = null): Alert => ({ ...alert, state, close_reason });
  switch (triage.action) {
    case "acknowledge":
      return to("acknowledged");
    case "start":
      return to("in_progress");
    case "close":
      return to("closed", triage.reason);
    case "unacknowledge":
    case "reopen":
      return to("new");
    case "assign":
      return { ...alert, assignee: triage.assignee };
    case "note":
      return alert;
  }
}

/** True where the server would refuse: closed ones are reopened first, open ones cannot be. */
export function refuses(alert: Alert, { action }: Triage): boolean {
  if (action === "acknowledge" || action === "unacknowledge" || action === "start") return alert.state === "closed";
  return action === "reopen" && alert.state !== "closed";
}

export interface UndoStep {
  ids: number[];
  triage: Triage;
}

/** What brings `before` back after `triage`, in this order; empty when nothing does: a note stays. */
export function undoOf(before: readonly Alert[], triage: Triage): UndoStep[] {
  const steps: UndoStep[] = [];
  const add = (id: number, step: Triage) => {
    const same = steps.find((other) => JSON.stringify(other.triage) === JSON.stringify(step));
    if (same) same.ids.push(id);
    else steps.push({ ids: [id], triage: step });
  };
  for (const alert of before) {
    if (triage.action === "note") return [];
    if (triage.action === "assign") {
      add(alert.id, { action: "assign", assignee: alert.assignee });
      continue;
    }
    const after = applied(alert, triage);
    if (after.state === alert.state && after.close_reason === alert.close_reason) {
      // Closed once more, for its profile to learn from it.
      if (triage.action === "close" && triage.teach && alert.taught === 0 && alert.teachable > 0) {
        add(alert.id, { action: "reopen" });
        add(alert.id, { action: "close", reason: triage.reason, teach: false });
      }
      continue;
    }
    if (alert.state === "closed") {
      add(alert.id, { action: "close", reason: alert.close_reason ?? "resolved", teach: alert.taught > 0 });
      continue;
    }
    if (after.state === "closed") add(alert.id, { action: "reopen" });
    else if (alert.state === "new") add(alert.id, { action: "unacknowledge" });
    if (alert.state === "acknowledged") add(alert.id, { action: "acknowledge" });
    if (alert.state === "in_progress") add(alert.id, { action: "start" });
  }
  const order: TriageName[] = ["reopen", "unacknowledge", "acknowledge", "start", "close", "assign", "note"];
  return steps.sort((a, b) => order.indexOf(a.triage.action) - order.indexOf(b.triage.action));
}

/** Matchers that silence what these alerts have in common. */
export function matchersFor(alerts: readonly Alert[]): Matcher[] {
  const equal = (field: Matcher["field"], of: (alert: Alert) => string): Matcher[] => {
    const values = new Set(alerts.map(of));
    const [value] = values;
    return values.size === 1 && value ? [{ field, operator: "equal", value }] : [];
  };
  return [...equal("rule", (alert) => alert.rule), ...equal("workload", (alert) => alert.workload)];
}
