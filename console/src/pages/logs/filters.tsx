/** Which levels and which stream of the lines are shown. */

import { useTranslation } from "react-i18next";
import type { Priority } from "../../api/types";
import { PriorityShape } from "../../components/priority";
import { LEVELS, type Level } from "./line";
import { STREAMS, type LogsState } from "./url-state";

/** The priority that the server gives lines of a level: they share its shape. */
const PRIORITY_OF: Record<Level, Priority> = { FATAL: "Critical", ERROR: "Error", WARN: "Warning", INFO: "Informational", DEBUG: "Debug", TRACE: "Debug" };

interface FiltersProps {
  state: LogsState;
  onChange: (change: Pick<Partial<LogsState>, "levels" | "stream">) => void;
}

export function LogFilters({ state, onChange }: FiltersProps) {
  const { t } = useTranslation();
  const toggle = (level: Level | "none") => {
    const levels = state.levels.includes(level) ? state.levels.filter((other) => other !== level) : [...state.levels, level];
    onChange({ levels: [...LEVELS, "none" as const].filter((other) => levels.includes(other)) });
  };
  return (
    <div className="log-filters">
      <div className="log-choice" role="group" aria-label={t("logs.levels")}>
        {LEVELS.map((level) => (
          <button key={level} type="button" className="log-chip" aria-pressed={state.levels.includes(level)} onClick={() => toggle(level)}>
            <PriorityShape priority={PRIORITY_OF[level]} />
            {level}
          </button>
        ))}
        <button type="button" className="log-chip" aria-pressed={state.levels.includes("none")} title={t("logs.noLevelHint")} onClick={() => toggle("none")}>
          {t("logs.noLevel")}
        </button>
      </div>
      <div className="log-choice" role="group" aria-label={t("logs.streams")}>
        {STREAMS.map((stream) => (
          <button key={stream} type="button" className="log-chip" aria-pressed={state.stream === stream} onClick={() => onChange({ stream: state.stream === stream ? null : stream })}>
            {stream}
          </button>
        ))}
      </div>
    </div>
  );
}
