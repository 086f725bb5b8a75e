/** One look at the last hour, day or week: what came, how urgent, from where. Everything leads to its events. */

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useCallback, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Link, useNavigate, useSearchParams } from "react-router";
import { get } from "../../api/client";
import { CATEGORIES, PRIORITIES, type Overview as OverviewData, type Page, type Source } from "../../api/types";
import { useCan } from "../../app/session";
import { HistogramPlot, PriorityLegend } from "../../components/chart";
import { Icon } from "../../components/icon";
import { PriorityShape } from "../../components/priority";
import { Empty, ErrorBox, Loading, TestEventButton } from "../../components/states";
import { ExactTime, RelativeTime } from "../../components/time";
import { formatBytes, formatCompact, formatCount, formatRate, formatShare } from "../../lib/format";
import { containerLink, containerQuery, eventsLink, fieldQuery } from "../../lib/links";
import { absoluteRange } from "../../lib/range";
import { falcoDockerCommand } from "../sources/connect";
import { SourceState } from "../sources/source-state";
import { AlertsToday } from "./alerts-today";
import "./overview.css";

const SPANS = ["1h", "24h", "7d"] as const;

export function Overview() {
  const { t, i18n } = useTranslation();
  const navigate = useNavigate();
  const [search, setSearch] = useSearchParams();
  const asked = search.get("range");
  const span = SPANS.find((choice) => choice === asked) ?? "24h";
  const from = `now-${span}`;
  const { data, error, refetch } = useQuery({
    queryKey: ["overview", span],
    queryFn: ({ signal }) => get<OverviewData>("/api/overview", { start: from, end: "now" }, signal),
    refetchInterval: 5_000,
    placeholderData: keepPreviousData,
  });
  const onCounts = useCallback(() => void refetch(), [refetch]);
  const language = i18n.language;
  const seesSystem = useCan("view_system");
  const link = (query?: string) => eventsLink({ query, from, to: "now" });

  return (
    <div className="page">
      <div className="page-head">
        <h1>{t("nav.overview")}</h1>
        <span className="spacer" />
        <div className="segmented" role="group" aria-label={t("time.range")}>
          {SPANS.map((choice) => (
            <button
              key={choice}
              type="button"
              aria-pressed={choice === span}
              onClick={() => setSearch(choice === "24h" ? {} : { range: choice }, { replace: true })}
            >
              {t(`time.short.${choice}`)}
            </button>
          ))}
        </div>
      </div>
      {error && <ErrorBox error={error} onRetry={() => void refetch()} />}
      {!data && !error && (
        <div className="panel">
          <Loading rows={10} />
        </div>
      )}
      {data && (
        <>
          <Notices data={data} />
          <AlertsToday counts={data.alerts} onCounts={onCounts} />
          <Figures data={data} link={link} />
          {data.events_total === 0 && data.store.events === 0 ? (
            <div className="panel">
              <Empty title={t("overview.emptyTitle")} text={t("overview.emptyText")} command={falcoDockerCommand()} commandLabel={t("sources.connect.dockerLabel")}>
                <TestEventButton primary onSent={() => window.setTimeout(() => void refetch(), 1_000)} />
                <Link className="btn" to="/sources">
                  {t("overview.connect")}
                </Link>
              </Empty>
            </div>
          ) : (
            <div className="overview-grid">
              <section className="panel span-2">
                <div className="panel-head">
                  <h2>{t("overview.overTime")}</h2>
                  <span className="spacer" />
                  <PriorityLegend histogram={data.histogram} />
                </div>
                <div className="panel-chart">
                  <HistogramPlot
                    histogram={data.histogram}
                    height={214}
                    onSelect={(start, end) => void navigate(eventsLink(absoluteRange(start, end)))}
                  />
                </div>
              </section>
              <Card title={t("overview.priorities")} to={link()}>
                <Bars
                  rows={PRIORITIES.map((priority) => ({
                    key: priority,
                    label: (
                      <>
                        <PriorityShape priority={priority} />
                        {t(`priority.${priority}`)}
                      </>
                    ),
                    count: data.by_priority[priority] ?? 0,
                    color: `var(--qw-priority-${priority.toLowerCase()})`,
                    to: link(`priority:${priority}`),
                  }))}
                />
              </Card>
              <Card title={t("overview.topRules")} to={link()} className="span-rules">
                <Bars
                  wide
                  rows={data.top_rules.slice(0, 8).map((row) => ({
                    key: row.rule,
                    label: (
                      <>
                        <PriorityShape priority={row.priority} />
                        <span className="truncate" title={`${row.rule} (${t(`priority.${row.priority}`)})`}>
                          {row.rule}
                        </span>
                      </>
                    ),
                    count: row.count,
                    color: `var(--qw-priority-${row.priority.toLowerCase()})`,
                    to: link(fieldQuery("rule", row.rule)),
                  }))}
                />
              </Card>
              <Card title={t("overview.topContainers")} to="/containers" className="span-containers">
                <table className="table table-plain">
                  <tbody>
                    {data.top_containers.slice(0, 7).map((row) => (
                      <tr key={row.id || row.name}>
                        <td className="cell-main">
                          <Link to={containerLink(row.id || row.name)} className="truncate block">
                            {row.name || row.id.slice(0, 12)}
                          </Link>
                          <span className="truncate block muted small mono" title={row.image}>
                            {row.image || "–"}
                          </span>
                        </td>
                        <td className="muted small nowrap">
                          <RelativeTime time={row.last_event} />
                        </td>
                        <td className="num">
                          <Link to={link(containerQuery(row))}>{formatCount(row.count, language)}</Link>
                        </td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </Card>
              <Card title={t("overview.categories")} to={link()}>
                <Bars
                  rows={CATEGORIES.map((category) => ({
                    key: category,
                    label: t(`category.${category}`),
                    count: data.by_category[category] ?? 0,
                    color: "var(--qw-accent)",
                    to: link(`category:${category}`),
                  }))}
                />
              </Card>
              {seesSystem && <SourcesCard />}
              <Card title={t("overview.store")}>
                <dl className="facts panel-body">
                  <dt>{t("overview.storeEvents")}</dt>
                  <dd className="nums">{formatCount(data.store.events, language)}</dd>
                  <dt>{t("overview.storeSize")}</dt>
                  <dd className="nums">
                    {formatBytes(data.store.bytes, language)}
                    {data.store.events >= 10_000 && (
                      <span className="muted"> · {t("overview.bytesPerEvent", { bytes: Math.round(data.store.bytes / data.store.events) })}</span>
                    )}
                  </dd>
                  <dt>{t("overview.storeOldest")}</dt>
                  <dd>
                    <ExactTime time={data.store.oldest} />
                  </dd>
                  <dt>{t("overview.storeNewest")}</dt>
                  <dd>
                    <ExactTime time={data.store.newest} />
                  </dd>
                </dl>
              </Card>
            </div>
          )}
        </>
      )}
    </div>
  );
}

function Notices({ data }: { data: OverviewData }) {
  const { t } = useTranslation();
  return data.notices.map((notice) => (
    <div key={`${notice.time}${notice.text}`} className={`notice notice-${notice.level}`} role={notice.level === "error" ? "alert" : "note"}>
      <Icon name={notice.level === "info" ? "help" : "warning"} />
      <span className="notice-text">
        <strong>{t(`notice.${notice.level}`)}</strong> {notice.text}
      </span>
      {notice.source && (
        <Link to="/sources" className="mono small nowrap hide-narrow">
          {notice.source}
        </Link>
      )}
      <span className="muted small nowrap">
        <RelativeTime time={notice.time} />
      </span>
    </div>
  ));
}

function Figures({ data, link }: { data: OverviewData; link: (query?: string) => string }) {
  const { t, i18n } = useTranslation();
  const language = i18n.language;
  const urgent = PRIORITIES.slice(0, 3).reduce((sum, priority) => sum + (data.by_priority[priority] ?? 0), 0);
  return (
    <div className="figures panel">
      <Figure to={link()} label={t("overview.events")} value={formatCompact(data.events_total, language)} />
      <Figure
        to={link("priority>=Critical")}
        label={t("overview.urgent")}
        value={formatCompact(urgent, language)}
        tone={urgent > 0 ? "urgent" : undefined}
        note={data.events_total > 0 ? t("overview.ofAll", { share: formatShare(urgent / data.events_total, language) }) : undefined}
      />
      <Figure
        to={eventsLink({ live: true })}
        label={t("overview.rate")}
        value={formatRate(data.event_rate_per_second, language)}
        unit={t("overview.perSecond")}
        note={t("overview.lastMinute")}
      />
      <Figure to={link()} label={t("overview.lastEvent")} value={<RelativeTime time={data.last_event} />} />
      <Figure
        to="/containers"
        label={t("nav.containers")}
        value={formatCount(data.containers.running, language)}
        unit={t("overview.running")}
        note={t("overview.known", { count: data.containers.total })}
      />
      <Figure
        to="/containers"
        label={t("overview.hosts")}
        value={formatCount(data.hosts, language)}
        note={t("overview.images", { count: data.images })}
      />
      <Figure
        to="/sources"
        label={t("nav.sources")}
        value={formatCount(data.sources.healthy, language)}
        unit={t("overview.ofSources", { count: data.sources.total })}
        tone={data.sources.failing > 0 ? "bad" : undefined}
        note={
          data.sources.failing > 0
            ? t("overview.failing", { count: data.sources.failing })
            : t(data.sources.total === 0 ? "health.none" : "overview.healthy")
        }
      />
    </div>
  );
}

interface FigureProps {
  to: string;
  label: string;
  value: ReactNode;
  unit?: string;
  note?: string;
  tone?: "urgent" | "bad";
}

function Figure({ to, label, value, unit, note, tone }: FigureProps) {
  return (
    <Link to={to} className={tone ? `figure figure-${tone}` : "figure"}>
      <span className="figure-label">{label}</span>
      <span className="figure-value nums">
        {value}
        {unit && <span className="figure-unit">{unit}</span>}
      </span>
      <span className="figure-note">{note ?? "\u00a0"}</span>
    </Link>
  );
}

function Card({ title, to, className, children }: { title: string; to?: string; className?: string; children: ReactNode }) {
  const { t } = useTranslation();
  return (
    <section className={className ? `panel ${className}` : "panel"}>
      <div className="panel-head">
        <h2>{title}</h2>
        <span className="spacer" />
        {to && (
          <Link to={to} className="panel-link" aria-label={`${title}: ${t("common.viewAll")}`}>
            {t("common.viewAll")}
          </Link>
        )}
      </div>
      {children}
    </section>
  );
}

interface BarRow {
  key: string;
  label: ReactNode;
  count: number;
  color: string;
  to: string;
}

function Bars({ rows, wide }: { rows: BarRow[]; wide?: boolean }) {
  const { t, i18n } = useTranslation();
  const max = Math.max(1, ...rows.map((row) => row.count));
  if (rows.length === 0) return <p className="panel-body muted">{t("common.nothing")}</p>;
  return (
    <ul className={wide ? "bars bars-wide" : "bars"}>
      {rows.map((row) => (
        <li key={row.key}>
          <Link to={row.to} className="bar-row">
            <span className="bar-label">{row.label}</span>
            <span className="bar-track" aria-hidden="true">
              <span style={{ width: `${Math.max((row.count / max) * 100, row.count > 0 ? 1 : 0)}%`, background: row.color }} />
            </span>
            <span className="bar-count nums">{formatCount(row.count, i18n.language)}</span>
          </Link>
        </li>
      ))}
    </ul>
  );
}

function SourcesCard() {
  const { t } = useTranslation();
  const { data } = useQuery({
    queryKey: ["sources"],
    queryFn: ({ signal }) => get<Page<Source>>("/api/sources", {}, signal),
    refetchInterval: 10_000,
  });
  return (
    <Card title={t("overview.sourceHealth")} to="/sources">
      {data && data.items.length === 0 && <p className="panel-body muted">{t("sources.none")}</p>}
      <table className="table table-plain">
        <tbody>
          {data?.items.map((source) => (
            <tr key={source.id}>
              <td className="cell-main">
                <span className="truncate block mono" title={source.description}>
                  {source.id}
                </span>
              </td>
              <td className="nowrap">
                <SourceState state={source.state} />
              </td>
              <td className="muted small nowrap num">
                <RelativeTime time={source.last_received} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Card>
  );
}
