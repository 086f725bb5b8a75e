/** What one container uses: now, and in the last hour. */

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useMemo, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { ApiError, get, serverNow } from "../../api/client";
import type { ContainerUsage } from "../../api/types";
import type { LineChartProps } from "../../components/line-chart";
import { Prose } from "../../components/prose";
import { Awaited, Empty } from "../../components/states";
import { RelativeTime } from "../../components/time";
import { formatBytes, formatCount, formatRate, formatShare } from "../../lib/format";
import { newest } from "../../lib/series";

const LineChart = lazy(() => import("../../components/line-chart"));

const HOUR_MS = 3_600_000;
const HEIGHT = 170;

export function ContainerUsageView({ id }: { id: string }) {
  const { t, i18n } = useTranslation();
  const language = i18n.language;
  const usage = useQuery({
    queryKey: ["container-usage", id],
    queryFn: ({ signal }) => get<ContainerUsage>(`/api/containers/${encodeURIComponent(id)}/usage`, {}, signal),
    refetchInterval: 10_000,
    placeholderData: keepPreviousData,
    // A server from before this page has no such route; asking again does not help.
    retry: (count, error) => !(error instanceof ApiError && error.status === 404) && count < 2,
  });
  const data = usage.data;
  const read = usage.dataUpdatedAt;
  const charts = useMemo(() => (data ? chartsOf(data, t, language) : []), [data, t, language]);
  const frame = useMemo(() => {
    const times = (data?.history.times ?? []).map((time) => Date.parse(time));
    const end = Math.max(serverNow(), times.at(-1) ?? 0);
    // A young history is drawn over what there is, and at least ten minutes.
    const first = times[0] ?? end;
    const start = Math.max(end - HOUR_MS, Math.min(first, end - HOUR_MS / 6));
    return { times, start, end, gap: (data?.interval_seconds ?? 10) * 2_500 };
    // `read` moves the axis with the clock even when nothing new was read.
  }, [data, read]); // eslint-disable-line react-hooks/exhaustive-deps

  if (!data) {
    return (
      <section className="panel">
        <Awaited error={usage.error} rows={8} onRetry={() => void usage.refetch()} />
      </section>
    );
  }
  const { current, history } = data;
  if (!current && history.times.length === 0) {
    return (
      <section className="panel">
        <Empty title={t(data.interval_seconds === null ? "usage.off" : "usage.nothing")} text={<Prose text={data.why} />} />
      </section>
    );
  }
  return (
    <div className="usage">
      {!current && (
        <p className="usage-note" role="status">
          {t("usage.past")} <Prose text={data.why} />
        </p>
      )}
      <div className="usage-grid">
        {charts.map((chart) => (
          <section key={chart.name} className="panel usage-panel">
            <div className="panel-head">
              <h2>{t(`usage.${chart.name}`)}</h2>
              <span className="spacer" />
              {current && <span className="usage-now nums">{chart.now}</span>}
            </div>
            <Legend names={chart.series.map(({ name }) => name)} />
            <div className="panel-chart">
              {chart.empty ? (
                <div className="usage-empty" style={{ height: HEIGHT }}>
                  {chart.empty}
                </div>
              ) : (
                <Suspense fallback={<div className="chart-place" style={{ height: HEIGHT }} />}>
                  <LineChart {...frame} series={chart.series} limit={chart.limit} least={chart.least} most={chart.most} format={chart.format} height={HEIGHT} label={chart.label} />
                </Suspense>
              )}
            </div>
          </section>
        ))}
      </div>
      <p className="usage-source muted">
        {t("usage.source", { way: t(`usage.way.${data.way}`), seconds: data.interval_seconds })} {current && <RelativeTime time={current.time} />}
        <span className="usage-why">
          <Prose text={data.why} />
        </span>
      </p>
    </div>
  );
}

interface Chart {
  name: string;
  now: ReactNode;
  series: LineChartProps["series"];
  limit?: LineChartProps["limit"];
  least: number;
  most?: number;
  format: (value: number) => string;
  label: string;
  /** Why there is nothing to draw. */
  empty?: string;
}

type Translate = (key: string, values?: Record<string, unknown>) => string;

function chartsOf(data: ContainerUsage, t: Translate, language: string): Chart[] {
  const { current, history, limits } = data;
  const cores = (value: number) => formatRate(value, language);
  const bytes = (value: number) => formatBytes(value, language);
  const perSecond = (value: number) => t("usage.perSecond", { value: bytes(value) });
  const share = (value: number) => formatShare(value, language);
  const count = (value: number) => formatCount(value, language);
  const shown = (values: (number | null)[], format: (value: number) => string) => {
    const value = newest(values);
    return value === null ? "–" : format(value);
  };
  const of = (used: string, limit: string | null) => (limit === null ? used : t("usage.of", { used, limit }));
  const none = (values: (number | null)[]) => values.every((value) => value === null);
  const chart = (name: string, now: string, rest: Omit<Chart, "name" | "now" | "label">): Chart => ({
    name,
    now,
    label: t("usage.chart", { name: t(`usage.${name}`), now }),
    ...rest,
  });
  const charts = [
    chart("cpu", t("usage.cores", { value: of(shown(history.cpu_cores, cores), limits?.cpu_cores ? cores(limits.cpu_cores) : null) }), {
      series: [
        { name: t("usage.total"), values: history.cpu_cores },
        { name: t("usage.system"), values: history.cpu_system_cores },
      ],
      limit: limits?.cpu_cores ? { value: limits.cpu_cores, text: t("usage.limit") } : undefined,
      least: 0.05,
      format: cores,
      empty: none(history.cpu_cores) ? t("usage.soon") : undefined,
    }),
    chart("memory", of(shown(history.memory_working_set_bytes, bytes), limits?.memory_bytes ? bytes(limits.memory_bytes) : null), {
      series: [
        { name: t("usage.workingSet"), values: history.memory_working_set_bytes },
        { name: t("usage.withCache"), values: history.memory_usage_bytes },
      ],
      limit: limits?.memory_bytes ? { value: limits.memory_bytes, text: t("usage.limit") } : undefined,
      least: 1 << 20,
      format: bytes,
    }),
  ];
  if (limits?.cpu_cores || !none(history.cpu_throttled_ratio)) {
    charts.push(
      chart("throttled", shown(history.cpu_throttled_ratio, share), {
        series: [{ name: t("usage.throttledShare"), values: history.cpu_throttled_ratio }],
        least: 1,
        most: 1,
        format: share,
        empty: none(history.cpu_throttled_ratio) ? t("usage.soon") : undefined,
      }),
    );
  }
  charts.push(
    chart("network", t("usage.both", { in: shown(history.network_receive_bytes_per_second, perSecond), out: shown(history.network_transmit_bytes_per_second, perSecond) }), {
      series: [
        { name: t("usage.received"), values: history.network_receive_bytes_per_second },
        { name: t("usage.transmitted"), values: history.network_transmit_bytes_per_second },
      ],
      least: 1024,
      format: perSecond,
      empty: none(history.network_receive_bytes_per_second) ? t(current && current.interfaces === null ? "usage.noNetwork" : "usage.soon") : undefined,
    }),
    chart("block", t("usage.bothBlock", { in: shown(history.block_read_bytes_per_second, perSecond), out: shown(history.block_write_bytes_per_second, perSecond) }), {
      series: [
        { name: t("usage.readBytes"), values: history.block_read_bytes_per_second },
        { name: t("usage.written"), values: history.block_write_bytes_per_second },
      ],
      least: 1024,
      format: perSecond,
      empty: none(history.block_read_bytes_per_second) ? t("usage.soon") : undefined,
    }),
    chart("tasks", of(shown(history.threads, count), limits?.threads ? count(limits.threads) : null), {
      series: [
        { name: t("usage.threads"), values: history.threads },
        { name: t("usage.processes"), values: history.processes },
      ],
      limit: limits?.threads ? { value: limits.threads, text: t("usage.limit") } : undefined,
      least: 4,
      format: count,
    }),
  );
  return charts;
}

/** Which line is which: the first is drawn through, the second broken. */
function Legend({ names }: { names: string[] }) {
  return (
    <ul className="usage-legend">
      {names.map((name, index) => (
        <li key={name}>
          <span className={`usage-key usage-key-${index}`} aria-hidden="true" />
          {name}
        </li>
      ))}
    </ul>
  );
}
