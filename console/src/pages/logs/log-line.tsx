/** One record in a list of logs: a line or several that belong together, or the place where lines are missing. */

import { memo, type ReactNode, type Ref } from "react";
import type { QwEvent } from "../../api/types";
import type { ThemeName } from "../../app/palette";
import type { LogTimes } from "../../app/preferences";
import { Icon } from "../../components/icon";
import { PriorityShape } from "../../components/priority";
import { fullTime } from "../../components/time";
import { formatClock, formatCount, formatDateTime } from "../../lib/format";
import { gapParts } from "./gap-text";
import { gapOf, nameColor } from "./line";
import { LineText } from "./line-text";

/** As much of one record stands in the list; the rest opens with it. */
const SHOWN_LINES = 24;
const SHOWN_CHARACTERS = 3_000;
/** As much as is drawn at all. */
const MOST_CHARACTERS = 100_000;

export type Translate = (key: string, values?: Record<string, unknown>) => string;

export interface LogLook {
  t: Translate;
  language: string;
  theme: ThemeName;
  times: LogTimes;
  /** Names of containers stand beside the lines. */
  named: boolean;
  words: readonly string[];
}

interface LogLineProps {
  event: QwEvent;
  look: LogLook;
  open?: boolean;
  active?: boolean;
  /** The line that the address names. */
  marked?: boolean;
  index?: number;
  /** Where it stands in a list, in pixels. */
  top?: number;
  measure?: Ref<HTMLDivElement>;
  onToggle?: (id: string) => void;
  /** What is below the line while it is open. */
  detail?: ReactNode;
}

export const LogLine = memo(function LogLine(props: LogLineProps) {
  const { event, look, open, active, marked, index, top, measure, onToggle, detail } = props;
  const { t } = look;
  const gap = gapOf(event);
  const classes = ["log-row", gap && "log-gap", !gap && event.stream === "stderr" && "log-err", active && "log-active", marked && "log-marked", open && "log-open"].filter(Boolean).join(" ");
  return (
    <div className={classes} style={top === undefined ? undefined : { transform: `translateY(${top}px)` }} ref={measure} data-index={index} data-line={event.id} role="listitem">
      <div
        className="log-line"
        onClick={() => {
          // Dragging over text selects it; that is no click.
          if (!gap && !window.getSelection()?.toString()) onToggle?.(event.id);
        }}
      >
        {onToggle && !gap && (
          <button type="button" className={open ? "log-toggle log-toggle-open" : "log-toggle"} aria-expanded={open ?? false} aria-label={t("logs.details")} title={t("logs.details")} tabIndex={-1}>
            <Icon name={marked ? "bookmark" : "chevron"} size={11} />
          </button>
        )}
        {gap && <Icon name="warning" size={13} />}
        <LineTime time={event.time} times={look.times} />
        {!gap && <LineLevel event={event} />}
        {look.named && (
          <span className="log-name truncate" style={{ color: `var(--qw-name-${nameColor(event.container.name)})` }} title={event.container.name}>
            {event.container.name || event.container.id.slice(0, 12)}
          </span>
        )}
        {gap ? (
          <span className="log-text">
            <strong>{t("logs.gap.title")}</strong> {gapParts(gap, t, look.language).join(" · ")}
          </span>
        ) : (
          <Text text={event.output} look={look} whole={open ?? false} />
        )}
      </div>
      {open && detail}
    </div>
  );
});

function Text({ text, look, whole }: { text: string; look: LogLook; whole: boolean }) {
  const limit = whole ? MOST_CHARACTERS : SHOWN_CHARACTERS;
  let shown = text.length > limit ? text.slice(0, limit) : text;
  if (!whole) {
    const lines = shown.split("\n");
    if (lines.length > SHOWN_LINES) shown = lines.slice(0, SHOWN_LINES).join("\n");
  }
  const rest = text.length - shown.length;
  return (
    <span className="log-text">
      <LineText text={shown} words={look.words} theme={look.theme} />
      {rest > 0 && <span className="log-rest"> … {look.t(whole ? "logs.cut" : "logs.more", { count: rest, shown: formatCount(rest, look.language) })}</span>}
    </span>
  );
}

function LineTime({ time, times }: { time: string; times: LogTimes }) {
  if (times === "none") return null;
  const date = new Date(time);
  return (
    <time className="log-time nums" dateTime={time} title={fullTime(time)}>
      {times === "date" ? formatDateTime(date, true) : formatClock(date, true)}
    </time>
  );
}

/** Shape and word of the level; of a line without one the stream when it is not the usual one. */
function LineLevel({ event }: { event: QwEvent }) {
  return (
    <span className="log-level">
      {event.severity_text ? (
        <>
          <PriorityShape priority={event.priority} />
          {event.severity_text}
        </>
      ) : (
        event.stream === "stderr" && <span className="log-stream">stderr</span>
      )}
    </span>
  );
}
