/** What a gap in a log says to a person. Pure. */

import { formatBytes, formatDateTime } from "../../lib/format";
import type { LineGap } from "./line";

type Translate = (key: string, values?: Record<string, unknown>) => string;

/** What became of the lines, how much it was, and between which times: as far as it is known. */
export function gapParts(gap: LineGap, t: Translate, language: string): string[] {
  const time = (text: string) => formatDateTime(new Date(text), true);
  const parts = [t([`logs.gap.reason.${gap.reason}`, "logs.gap.reason.other"] as unknown as string, { reason: gap.reason })];
  if (gap.files) parts.push(t("logs.gap.files", { count: gap.files }));
  parts.push(gap.bytes === null ? t("logs.gap.unknown") : formatBytes(gap.bytes, language));
  if (gap.after && gap.before && time(gap.after) === time(gap.before)) parts.push(t("logs.gap.at", { time: time(gap.after) }));
  else if (gap.after && gap.before) parts.push(t("logs.gap.between", { after: time(gap.after), before: time(gap.before) }));
  else if (gap.after) parts.push(t("logs.gap.after", { after: time(gap.after) }));
  else if (gap.before) parts.push(t("logs.gap.before", { before: time(gap.before) }));
  return parts;
}
