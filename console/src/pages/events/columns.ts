/** Fields of an event by the names the query language gives them. */

import type { QwEvent } from "../../api/types";

/** The value of `field` as text; empty when the event has none. */
export function fieldText(event: QwEvent, field: string): string {
  const value = fieldValue(event, field);
  if (value === null || value === undefined) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

export function fieldValue(event: QwEvent, field: string): unknown {
  switch (field) {
    case "time":
    case "source":
    case "rule":
    case "priority":
    case "category":
    case "hostname":
    case "output":
    case "id":
      return event[field];
    case "tags":
      return event.tags.join(", ");
    case "proc.name":
      return event.process_name || event.output_fields["proc.name"];
    case "container":
      return event.container.name || event.container.id;
    case "container.id":
      return event.container.id || event.output_fields[field];
    case "container.name":
      return event.container.name || event.output_fields[field];
    case "container.image":
      return event.container.image || event.output_fields[field];
    case "container.image.repository":
      return event.container.image_repository || event.output_fields[field];
    case "container.image.tag":
      return event.container.image_tag || event.output_fields[field];
    case "container.image.digest":
      return event.container.image_digest || event.output_fields[field];
    case "compose.project":
      return event.container.compose_project;
    case "compose.service":
      return event.container.compose_service;
    case "k8s.ns.name":
      return event.container.k8s_namespace || event.output_fields[field];
    case "k8s.pod.name":
      return event.container.k8s_pod || event.output_fields[field];
    default:
      return event.output_fields[field];
  }
}

/** Falco's message without the time and priority it begins with, which stand in columns of their own. */
export function plainOutput(output: string): string {
  return output.replace(/^\d{1,2}:\d{2}:\d{2}\.\d+: (?:Emergency|Alert|Critical|Error|Warning|Notice|Informational|Debug) /, "");
}

/** Every field of the event that has a value: its own first, then Falco's, by name. */
export function allFields(event: QwEvent): { name: string; text: string }[] {
  const own = [
    "time",
    "priority",
    "rule",
    "category",
    "source",
    "hostname",
    "tags",
    "container.id",
    "container.name",
    "container.image",
    "container.image.repository",
    "container.image.tag",
    "container.image.digest",
    "compose.project",
    "compose.service",
    "k8s.ns.name",
    "k8s.pod.name",
    "proc.name",
  ];
  const rest = Object.keys(event.output_fields)
    .filter((name) => !own.includes(name))
    .sort();
  return [...own, ...rest].map((name) => ({ name, text: fieldText(event, name) })).filter(({ text }) => text !== "");
}

/** Least and greatest width a column can be drawn to, in pixels. */
export const NARROWEST = 48;
export const WIDEST = 1_600;

/** `width` within what a column may have. */
export const widthWithin = (width: number) => Math.round(Math.min(Math.max(width, NARROWEST), WIDEST));

/** The columns as CSS grid tracks. `widths` are those that were drawn by hand, in pixels. */
export function tracksOf(columns: readonly string[], widths: Readonly<Record<string, number>>): string {
  return columns.map((column) => (widths[column] === undefined ? trackOf(column) : `${widths[column]}px`)).join(" ");
}

/** Width of a column as a CSS grid track. */
export function trackOf(column: string): string {
  switch (column) {
    case "time":
      return "142px";
    case "priority":
      return "124px";
    case "category":
      return "92px";
    case "rule":
      return "minmax(226px, 1.1fr)";
    case "output":
      return "minmax(320px, 3fr)";
    case "container.name":
      return "minmax(146px, 0.7fr)";
    case "proc.name":
    case "hostname":
    case "source":
      return "108px";
    default:
      return "minmax(140px, 0.7fr)";
  }
}

/** Least width the columns need, in pixels. */
export function minimumWidth(columns: readonly string[], widths: Readonly<Record<string, number>> = {}): number {
  return columns.reduce((sum, column) => sum + (widths[column] ?? Number(/\d+/.exec(trackOf(column))?.[0] ?? 140)), 0) + 24;
}
