/** The histogram, loaded when it is first shown, with a place held for it. */

import { lazy, memo, Suspense } from "react";
import { useTranslation } from "react-i18next";
import { PRIORITIES, type Histogram } from "../api/types";
import { usePreferences } from "../app/preferences";
import { totals } from "../lib/buckets";
import { formatCompact } from "../lib/format";
import { priorityName, PriorityShape } from "./priority";
import type { HistogramChartProps } from "./histogram-chart";
import "./chart.css";

const Lazy = lazy(() => import("./histogram-chart"));

export const HistogramPlot = memo(function HistogramPlot(props: Omit<HistogramChartProps, "histogram"> & { histogram: Histogram | undefined }) {
  const place = <div className="chart-place" style={{ height: props.height }} />;
  if (!props.histogram) return place;
  return (
    <Suspense fallback={place}>
      <Lazy {...props} histogram={props.histogram} />
    </Suspense>
  );
});

/** Which shape and colour is which priority, with its count; a click takes a priority out of the charts or back. */
export function PriorityLegend({ histogram, levels }: { histogram: Histogram | undefined; levels?: boolean }) {
  const { t, i18n } = useTranslation();
  const hidden = usePreferences((state) => state.hiddenPriorities);
  const toggle = usePreferences((state) => state.togglePriority);
  if (!histogram) return null;
  const sums = totals(histogram.buckets);
  return (
    <ul className="legend" aria-label={t("chart.legend")}>
      {PRIORITIES.filter((priority) => sums[priority] > 0).map((priority) => {
        const shown = !hidden.includes(priority);
        const name = priorityName(priority, levels, t);
        return (
          <li key={priority}>
            <button
              type="button"
              className={shown ? "legend-entry" : "legend-entry legend-hidden"}
              aria-pressed={shown}
              title={t(shown ? "chart.hide" : "chart.show", { priority: name })}
              onClick={() => toggle(priority)}
            >
              <PriorityShape priority={priority} />
              <span className="legend-name">{name}</span>
              <span className="nums legend-count">{formatCompact(sums[priority], i18n.language)}</span>
            </button>
          </li>
        );
      })}
    </ul>
  );
}
