/** How many there are over time, above a list of them; a stretch drawn over it becomes the range. */

import type { UseQueryResult } from "@tanstack/react-query";
import { useCallback } from "react";
import { useTranslation } from "react-i18next";
import { ApiError, serverNow } from "../../api/client";
import type { Histogram } from "../../api/types";
import { HistogramPlot, PriorityLegend } from "../../components/chart";
import { ErrorBox } from "../../components/states";
import { formatCount } from "../../lib/format";
import { absoluteRange, widened, type FixedRange, type Range } from "../../lib/range";

interface HistogramPanelProps {
  histogram: UseQueryResult<Histogram>;
  fixed: FixedRange;
  narrow: boolean;
  /** It counts lines of logs, by their levels. */
  levels?: boolean;
  onRange: (range: Range) => void;
}

export function HistogramPanel({ histogram, fixed, narrow, levels, onRange }: HistogramPanelProps) {
  const { t, i18n } = useTranslation();
  const total = histogramTotal(histogram.data);
  const zoom = useCallback((start: number, end: number) => onRange(absoluteRange(start, end)), [onRange]);
  return (
    <section className="panel events-histogram" aria-label={t(levels ? "logs.histogram" : "events.histogram")}>
      <div className="histogram-head">
        <span className="histogram-total nums">
          {total === undefined ? "…" : t(levels ? "logs.total" : "events.total", { count: total, shown: formatCount(total, i18n.language) })}
          {histogram.data?.complete === false && <span className="muted"> {t("events.estimated")}</span>}
        </span>
        <span className="spacer" />
        {!narrow && <PriorityLegend histogram={histogram.data} levels={levels} />}
        <button type="button" className="btn btn-small btn-quiet" onClick={() => onRange(widened(fixed, serverNow()))}>
          {t("events.zoomOut")}
        </button>
      </div>
      {histogram.error && !histogram.data ? (
        isSyntax(histogram.error) ? null : <ErrorBox error={histogram.error} onRetry={() => void histogram.refetch()} />
      ) : (
        <HistogramPlot histogram={histogram.data} height={narrow ? 76 : 104} levels={levels} onSelect={zoom} />
      )}
    </section>
  );
}

/** Everything that is counted in it. */
export function histogramTotal(histogram: Histogram | undefined): number | undefined {
  return histogram?.total ?? histogram?.buckets.reduce((sum, bucket) => sum + bucket.total, 0);
}

const isSyntax = (error: unknown) => error instanceof ApiError && error.code === "query_syntax";
