/** What alerts noticed lately: over time, and by rule, container or image in the last minutes. */

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { useTranslation } from "react-i18next";
import { Link, useNavigate, useSearchParams } from "react-router";
import { get, serverNow } from "../../api/client";
import type { AlertTop, AlertTrend, Page } from "../../api/types";
import { HistogramPlot, PriorityLegend } from "../../components/chart";
import { PriorityShape } from "../../components/priority";
import { ErrorBox, Loading } from "../../components/states";
import { addressNow, changed } from "../../lib/address";
import { formatCompact } from "../../lib/format";
import { eventsLink } from "../../lib/links";
import { absoluteRange } from "../../lib/range";
import { originOf, type InboxFilter } from "./inbox-state";
import { filledTrend } from "./trend";

const SPANS = { "6h": 6, "24h": 24 } as const;
const WINDOWS = ["5m", "15m"] as const;
const GROUPS = ["rule", "container", "image", "workload"] as const;
const REFRESH_MS = 15_000;
const TOP = 5;

interface LatelyProps {
  /** Only alerts of this origin count. */
  filter: InboxFilter;
}

export function AlertTrendPanel({ filter, narrow }: LatelyProps & { narrow: boolean }) {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const [search, setSearch] = useSearchParams();
  const span = search.get("trend") === "24h" ? "24h" : "6h";
  const origin = originOf(filter);
  const { data, error, refetch } = useQuery({
    queryKey: ["alerts-trend", span, origin],
    queryFn: ({ signal }) => get<AlertTrend>("/api/alerts/trend", { ...origin, start: `now-${span}`, end: "now", step: "5m" }, signal),
    refetchInterval: REFRESH_MS,
    placeholderData: keepPreviousData,
  });
  const histogram = useMemo(() => {
    if (!data) return undefined;
    const end = serverNow();
    return filledTrend(data, end - SPANS[span] * 3_600_000, end);
  }, [data, span]);
  return (
    <section className="panel" aria-label={t("alerts.trend")}>
      <div className="panel-head">
        <h2>{t("alerts.trend")}</h2>
        <span className="spacer" />
        {!narrow && <PriorityLegend histogram={histogram} />}
        <div className="segmented" role="group" aria-label={t("time.range")}>
          {(Object.keys(SPANS) as (keyof typeof SPANS)[]).map((choice) => (
            <button key={choice} type="button" aria-pressed={choice === span} onClick={() => setSearch(changed(addressNow(), { trend: choice === "6h" ? "" : choice }), { replace: true })}>
              {t(`alerts.span.${choice}`)}
            </button>
          ))}
        </div>
      </div>
      {error && !data ? (
        <div className="panel-body">
          <ErrorBox error={error} onRetry={() => void refetch()} />
        </div>
      ) : (
        <div className="panel-chart">
          <HistogramPlot histogram={histogram} height={narrow ? 96 : 132} onSelect={(start, end) => void navigate(eventsLink(absoluteRange(start, end)))} />
        </div>
      )}
    </section>
  );
}

export function AlertTopPanel({ filter }: LatelyProps) {
  const { t, i18n } = useTranslation();
  const [search, setSearch] = useSearchParams();
  const window = WINDOWS.find((choice) => choice === search.get("window")) ?? "15m";
  const by = GROUPS.find((choice) => choice === search.get("by")) ?? "rule";
  // What it is grouped by stays open: one row alone would say nothing.
  const origin = originOf(filter, by);
  const { data, error, refetch } = useQuery({
    queryKey: ["alerts-top", window, by, origin],
    queryFn: ({ signal }) => get<Page<AlertTop>>("/api/alerts/top", { ...origin, window, by, limit: TOP }, signal),
    refetchInterval: REFRESH_MS,
    placeholderData: keepPreviousData,
  });
  const set = (change: Record<string, string>) => setSearch(changed(addressNow(), change), { replace: true });
  const max = Math.max(1, ...(data?.items.map((item) => item.occurrences) ?? []));
  return (
    <section className="panel alerts-top" aria-label={t("alerts.top")}>
      <div className="panel-head">
        <h2>{t("alerts.top")}</h2>
        <span className="spacer" />
        <div className="segmented" role="group" aria-label={t("alerts.topBy")}>
          {GROUPS.map((choice) => (
            <button key={choice} type="button" aria-pressed={choice === by} onClick={() => set({ by: choice === "rule" ? "" : choice })}>
              {t(`alerts.by.${choice}`)}
            </button>
          ))}
        </div>
        <div className="segmented" role="group" aria-label={t("time.range")}>
          {WINDOWS.map((choice) => (
            <button key={choice} type="button" aria-pressed={choice === window} onClick={() => set({ window: choice === "15m" ? "" : choice })}>
              {t(`alerts.window.${choice}`)}
            </button>
          ))}
        </div>
      </div>
      {error && !data && (
        <div className="panel-body">
          <ErrorBox error={error} onRetry={() => void refetch()} />
        </div>
      )}
      {!data && !error && <Loading rows={4} />}
      {data?.items.length === 0 && <p className="panel-body muted">{t("alerts.topNone")}</p>}
      <ul className="alert-top">
        {data?.items.map((item) => {
          const row = (
            <>
              <PriorityShape priority={item.priority} />
              <span className="sr-only">{t(`priority.${item.priority}`)}</span>
              <span className="truncate" title={item.name}>
                {item.name}
              </span>
              <span className="bar-track" aria-hidden="true">
                <span style={{ width: `${(item.occurrences / max) * 100}%`, background: `var(--qw-priority-${item.priority.toLowerCase()})` }} />
              </span>
              <span className="num">{formatCompact(item.occurrences, i18n.language)}</span>
            </>
          );
          return (
            <li key={item.name}>
              <Link className="alert-top-row" to={{ pathname: "/alerts", search: changed(search, { [by]: item.name, state: "all" }).toString() }} aria-current={filter[by] === item.name ? "true" : undefined}>
                {row}
              </Link>
            </li>
          );
        })}
      </ul>
    </section>
  );
}
