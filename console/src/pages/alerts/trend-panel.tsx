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
import { formatCompact } from "../../lib/format";
import { eventsLink } from "../../lib/links";
import { absoluteRange } from "../../lib/range";
import { filledTrend } from "./trend";

const SPANS = { "6h": 6, "24h": 24 } as const;
const WINDOWS = ["5m", "15m"] as const;
const GROUPS = ["rule", "container", "image"] as const;
const REFRESH_MS = 15_000;
const TOP = 5;

export function AlertTrendPanel({ narrow }: { narrow: boolean }) {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const [search, setSearch] = useSearchParams();
  const span = search.get("trend") === "24h" ? "24h" : "6h";
  const { data, error, refetch } = useQuery({
    queryKey: ["alerts-trend", span],
    queryFn: ({ signal }) => get<AlertTrend>("/api/alerts/trend", { start: `now-${span}`, end: "now", step: "5m" }, signal),
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
            <button key={choice} type="button" aria-pressed={choice === span} onClick={() => setSearch(changed(search, { trend: choice === "6h" ? "" : choice }), { replace: true })}>
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

export function AlertTopPanel() {
  const { t, i18n } = useTranslation();
  const [search, setSearch] = useSearchParams();
  const window = WINDOWS.find((choice) => choice === search.get("window")) ?? "15m";
  const by = GROUPS.find((choice) => choice === search.get("by")) ?? "rule";
  const { data, error, refetch } = useQuery({
    queryKey: ["alerts-top", window, by],
    queryFn: ({ signal }) => get<Page<AlertTop>>("/api/alerts/top", { window, by, limit: TOP }, signal),
    refetchInterval: REFRESH_MS,
    placeholderData: keepPreviousData,
  });
  const set = (change: Record<string, string>) => setSearch(changed(search, change), { replace: true });
  const max = Math.max(1, ...(data?.items.map((item) => item.occurrences) ?? []));
  return (
    <section className="panel" aria-label={t("alerts.top")}>
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
          // The list can be narrowed to a rule or a container, not to an image: its name finds it.
          const filter: Record<string, string> = by === "image" ? { q: item.name } : { [by]: item.name };
          return (
            <li key={item.name}>
              <Link className="alert-top-row" to={{ pathname: "/alerts", search: changed(search, { ...filter, state: "all" }).toString() }}>
                {row}
              </Link>
            </li>
          );
        })}
      </ul>
    </section>
  );
}

/** `search` with these parameters; empty ones go. */
export function changed(search: URLSearchParams, change: Record<string, string>): URLSearchParams {
  const next = new URLSearchParams(search);
  for (const [name, value] of Object.entries(change)) {
    if (value) next.set(name, value);
    else next.delete(name);
  }
  return next;
}
