/** How urgent an event is: always a shape and a word, the colour only helps. */

import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { PRIORITIES, type ByPriority, type Priority } from "../api/types";

const SHAPES: Record<Priority, ReactNode> = {
  Emergency: (
    <>
      <path d="M4 .8h4L11.2 4v4L8 11.2H4L.8 8V4z" fill="currentColor" />
      <path d="M6 3v3.6M6 8.7v.1" stroke="var(--qw-surface)" strokeWidth="1.6" strokeLinecap="round" />
    </>
  ),
  Alert: <path d="M6 .5 11.5 6 6 11.5.5 6z" fill="currentColor" />,
  Critical: <path d="M6 1 11.6 11H.4z" fill="currentColor" />,
  Error: <rect x="1.3" y="1.3" width="9.4" height="9.4" rx="1" fill="currentColor" />,
  Warning: <path d="M6 2 10.8 10.3H1.2z" fill="none" stroke="currentColor" strokeWidth="1.7" strokeLinejoin="round" />,
  Notice: <circle cx="6" cy="6" r="4.3" fill="currentColor" />,
  Informational: <circle cx="6" cy="6" r="3.8" fill="none" stroke="currentColor" strokeWidth="1.7" />,
  Debug: <path d="M2.5 6h7" stroke="currentColor" strokeWidth="2" strokeLinecap="round" />,
};

/** The shape alone; give it a word nearby. */
export function PriorityShape({ priority }: { priority: Priority }) {
  return (
    <svg
      className="priority-shape"
      width="12"
      height="12"
      viewBox="0 0 12 12"
      aria-hidden="true"
      style={{ color: `var(--qw-priority-${priority.toLowerCase()})` }}
    >
      {SHAPES[priority] ?? SHAPES.Debug}
    </svg>
  );
}

/** What a priority is called; `levels` by the words of logs. */
export function priorityName(priority: Priority, levels: boolean | undefined, t: (key: string) => string): string {
  return levels ? t(`level.${priority}`) : t(`priority.${priority}`);
}

/** Shape and name. */
export function PriorityMark({ priority }: { priority: Priority }) {
  const { t } = useTranslation();
  return <PriorityText priority={priority} t={t} />;
}

/** Shape and name where there are many, so that each does not set up its own translation. */
export function PriorityText({ priority, t }: { priority: Priority; t: (key: string) => string }) {
  const urgent = PRIORITIES.indexOf(priority) < 3;
  return (
    <span className={urgent ? "priority priority-urgent" : "priority"}>
      <PriorityShape priority={priority} />
      {t(`priority.${priority}`)}
    </span>
  );
}

/** A small bar of counts by priority, most urgent first; its length is relative to `max`. */
export function PriorityBar({ counts, max, label }: { counts: ByPriority; max: number; label: string }) {
  const { t } = useTranslation();
  const present = PRIORITIES.filter((priority) => (counts[priority] ?? 0) > 0);
  const total = present.reduce((sum, priority) => sum + counts[priority]!, 0);
  const detail = present.map((priority) => `${t(`priority.${priority}`)} ${counts[priority]}`).join(", ");
  const width = max > 0 ? Math.max((total / max) * 100, total > 0 ? 3 : 0) : 0;
  return (
    <span className="priority-bar" role="img" aria-label={detail ? `${label}: ${detail}` : label} title={detail}>
      <span className="priority-bar-fill" style={{ width: `${width}%` }}>
        {present.map((priority) => (
          <span
            key={priority}
            style={{ flexGrow: counts[priority], background: `var(--qw-priority-${priority.toLowerCase()})` }}
          />
        ))}
      </span>
    </span>
  );
}
