/** One container: what it is, and what it did. */

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Link, useNavigate, useParams, useSearchParams } from "react-router";
import { ApiError, get } from "../../api/client";
import type { AlertPage, Container, EventPage, Histogram } from "../../api/types";
import { AlertStateMark } from "../../components/alert-state";
import { HistogramPlot, PriorityLegend } from "../../components/chart";
import { CopyButton } from "../../components/code";
import { Icon } from "../../components/icon";
import { PriorityMark } from "../../components/priority";
import { Prose } from "../../components/prose";
import { Awaited, Empty, ErrorBox, Loading, TestEventButton } from "../../components/states";
import { ExactTime, RelativeTime } from "../../components/time";
import { formatCount, formatRate } from "../../lib/format";
import { containerQuery, eventsLink } from "../../lib/links";
import { absoluteRange } from "../../lib/range";
import { BehaviourView } from "../behaviour/behaviour-view";
import { plainOutput } from "../events/columns";
import { ContainerLogs } from "../logs/container-logs";
import { ContainerState } from "./container-state";
import { ContainerUsageView } from "./container-usage";
import "./containers.css";

const SPANS = ["1h", "24h", "7d"] as const;
const TABS = ["activity", "alerts", "logs", "usage", "behaviour"] as const;
const NEWEST = 25;
const ALERTS = 200;

export function ContainerPage() {
  const { t, i18n } = useTranslation();
  const navigate = useNavigate();
  const { id = "" } = useParams();
  const [search, setSearch] = useSearchParams();
  const asked = search.get("range");
  const span = SPANS.find((choice) => choice === asked) ?? "24h";
  const from = `now-${span}`;
  const container = useQuery({
    queryKey: ["container", id],
    queryFn: ({ signal }) => get<Container>(`/api/containers/${encodeURIComponent(id)}`, {}, signal),
    refetchInterval: 10_000,
  });
  const data = container.data;
  const query = data ? containerQuery(data) : "";
  const histogram = useQuery({
    queryKey: ["histogram", query, from],
    queryFn: ({ signal }) => get<Histogram>("/api/events/histogram", { query, start: from, end: "now" }, signal),
    enabled: data !== undefined,
    refetchInterval: 10_000,
    placeholderData: keepPreviousData,
  });
  const newest = useQuery({
    queryKey: ["container-events", id, from],
    queryFn: ({ signal }) =>
      get<EventPage>(`/api/containers/${encodeURIComponent(id)}/logs`, { start: from, end: "now", limit: NEWEST }, signal),
    enabled: data !== undefined,
    refetchInterval: 10_000,
    placeholderData: keepPreviousData,
  });

  const alerts = useQuery({
    queryKey: ["container-alerts", id],
    queryFn: ({ signal }) => get<AlertPage>(`/api/containers/${encodeURIComponent(id)}/alerts`, { limit: ALERTS }, signal),
    enabled: data !== undefined,
    refetchInterval: 15_000,
  });
  const byState = alerts.data?.aggregates.by_state;
  const openAlerts = byState ? byState.new + byState.acknowledged + byState.in_progress : 0;
  const tab = TABS.find((name) => name === search.get("tab")) ?? "activity";
  const keep = (name: string): Record<string, string> => (search.get(name) ? { [name]: search.get(name)! } : {});

  if (container.error && !data) {
    const gone = container.error instanceof ApiError && container.error.status === 404;
    return (
      <div className="page">
        {gone ? (
          <div className="panel">
            <Empty title={t("container.unknown")} text={t("container.unknownText", { id })}>
              <Link className="btn" to="/containers">
                {t("container.back")}
              </Link>
            </Empty>
          </div>
        ) : (
          <ErrorBox error={container.error} onRetry={() => void container.refetch()} />
        )}
      </div>
    );
  }
  if (!data) {
    return (
      <div className="page">
        <div className="panel">
          <Loading rows={10} />
        </div>
      </div>
    );
  }

  const all = eventsLink({ query, from, to: "now" });
  const labels = Object.entries(data.labels ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  return (
    <div className="page">
      <div className="page-head">
        <Link to="/containers" className="muted">
          {t("nav.containers")}
        </Link>
        <span className="muted">/</span>
        <h1 className="container-title">{data.name || data.id.slice(0, 12)}</h1>
        <ContainerState state={data.state} />
        {data.status && <span className="muted">{data.status}</span>}
        <span className="spacer" />
        {tab === "activity" && <div className="segmented" role="group" aria-label={t("time.range")}>
          {SPANS.map((choice) => (
            <button key={choice} type="button" aria-pressed={choice === span} onClick={() => setSearch(choice === "24h" ? keep("tab") : { ...keep("tab"), range: choice }, { replace: true })}>
              {t(`time.short.${choice}`)}
            </button>
          ))}
        </div>}
        <Link className="btn" to={eventsLink({ query, live: true })}>
          {t("live.title")}
        </Link>
        <Link className="btn btn-primary" to={all}>
          <Icon name="events" />
          {t("container.openEvents")}
        </Link>
      </div>
      <div className="tabs page-tabs" role="group" aria-label={t("container.parts")}>
        {TABS.map((name) => (
          <button key={name} type="button" className="tab" aria-pressed={tab === name} onClick={() => setSearch(name === "activity" ? keep("range") : { ...keep("range"), tab: name }, { replace: true })}>
            {t(`container.tab.${name}`)}
            {name === "alerts" && alerts.data && <span className="tab-count nums">{formatCount(openAlerts, i18n.language)}</span>}
          </button>
        ))}
      </div>
      {tab === "behaviour" && <BehaviourView id={data.id || data.name} container={query} />}
      {tab === "logs" && <ContainerLogs name={data.name} />}
      {tab === "usage" && <ContainerUsageView id={data.id || data.name} />}
      {tab === "alerts" && <ContainerAlerts data={alerts.data} error={alerts.error} onRetry={() => void alerts.refetch()} />}
      {tab === "activity" && <div className="container-grid">
        <div className="container-main">
          <section className="panel">
            <div className="panel-head">
              <h2>{t("overview.overTime")}</h2>
              <span className="spacer" />
              <PriorityLegend histogram={histogram.data} />
            </div>
            <div className="panel-chart">
              <HistogramPlot
                histogram={histogram.data}
                height={150}
                onSelect={(start, end) => void navigate(eventsLink({ query, ...absoluteRange(start, end) }))}
              />
            </div>
          </section>
          <section className="panel">
            <div className="panel-head">
              <h2>{t("container.newest")}</h2>
              <span className="spacer" />
              <Link to={all} className="panel-link">
                {t("common.viewAll")}
              </Link>
            </div>
            {newest.error && <ErrorBox error={newest.error} onRetry={() => void newest.refetch()} />}
            {!newest.data && !newest.error && <Loading />}
            {newest.data?.items.length === 0 && (
              <Empty title={t("container.quiet")} text={t("container.quietText")}>
                <TestEventButton container={data.name || data.id} onSent={() => window.setTimeout(() => void newest.refetch(), 1_000)} />
              </Empty>
            )}
            <ul className="container-newest">
              {newest.data?.items.map((event) => (
                <li key={event.id}>
                  <Link to={eventsLink({ query, from, to: "now", event: event.id })}>
                    <span className="nums muted mono">
                      <RelativeTime time={event.time} />
                    </span>
                    <PriorityMark priority={event.priority} />
                    <span className="container-newest-text">
                      <span className="truncate cell-strong">{event.rule}</span>
                      <span className="truncate muted mono">{plainOutput(event.output)}</span>
                    </span>
                  </Link>
                </li>
              ))}
            </ul>
          </section>
        </div>
        <aside className="container-side">
          <section className="panel">
            <div className="panel-head">
              <h2>{t("container.about")}</h2>
            </div>
            <dl className="facts panel-body">
              <Fact label={t("event.containerId")} copy={data.id}>
                <span className="mono">{data.id.length > 24 ? `${data.id.slice(0, 12)}…` : data.id}</span>
              </Fact>
              <Fact label={t("event.image")} copy={data.image}>
                <span className="mono">{data.image}</span>
              </Fact>
              <Fact label={t("event.digest")} copy={data.image_digest}>
                {data.image_digest && <span className="mono">{data.image_digest.slice(0, 26)}…</span>}
              </Fact>
              <Fact label={t("containers.host")}>{data.host}</Fact>
              <Fact label={t("event.composeProject")}>{data.compose_project}</Fact>
              <Fact label={t("event.composeService")}>{data.compose_service}</Fact>
              <Fact label={t("event.namespace")}>{data.k8s_namespace}</Fact>
              <Fact label={t("event.pod")}>{data.k8s_pod}</Fact>
              <Fact label={t("container.created")}>{data.created && <ExactTime time={data.created} />}</Fact>
              <Fact label={t("container.started")}>{data.started && <ExactTime time={data.started} />}</Fact>
              <Fact label={t("container.finished")}>{data.finished && <ExactTime time={data.finished} />}</Fact>
              <Fact label={t("event.command")}>
                {data.command && <span className="mono">{data.command}</span>}
              </Fact>
              <Fact label={t("container.ports")}>
                {lines(data.ports?.map((port) => `${port.public ? `${port.address ? `${port.address}:` : ""}${port.public} → ` : ""}${port.private}/${port.protocol}`))}
              </Fact>
              <Fact label={t("container.mounts")}>
                {lines(data.mounts?.map((mount) => `${mount.source || mount.kind} → ${mount.destination}${mount.writable ? "" : ` (${t("container.readOnly")})`}`))}
              </Fact>
              <Fact label={t("container.networks")}>
                {lines(data.networks?.map((network) => (network.address ? `${network.name} ${network.address}` : network.name)))}
              </Fact>
            </dl>
          </section>
          <section className="panel">
            <div className="panel-head">
              <h2>{t("container.activity")}</h2>
            </div>
            <dl className="facts panel-body">
              <Fact label={t("containers.events")}>
                <Link to={eventsLink({ query, from: "now-24h", to: "now" })} className="nums">
                  {formatCount(data.events.total, i18n.language)}
                </Link>
              </Fact>
              <Fact label={t("overview.rate")}>
                {data.event_rate_per_second !== undefined && (
                  <span className="nums">
                    {formatRate(data.event_rate_per_second, i18n.language)} {t("overview.perSecond")}
                  </span>
                )}
              </Fact>
              <Fact label={t("container.firstEvent")}>
                <ExactTime time={data.first_event} />
              </Fact>
              <Fact label={t("overview.lastEvent")}>
                <RelativeTime time={data.last_event} />
              </Fact>
            </dl>
          </section>
          {labels.length > 0 && (
            <section className="panel">
              <div className="panel-head">
                <h2>{t("container.labels")}</h2>
                <span className="muted nums">{labels.length}</span>
              </div>
              <dl className="labels panel-body">
                {labels.map(([name, value]) => (
                  <div key={name}>
                    <dt className="mono muted">{name}</dt>
                    <dd className="mono">{value || "–"}</dd>
                  </div>
                ))}
              </dl>
            </section>
          )}
        </aside>
      </div>}
    </div>
  );
}

/** The alerts of the container, open ones first. */
function ContainerAlerts({ data, error, onRetry }: { data: AlertPage | undefined; error: unknown; onRetry: () => void }) {
  const { t, i18n } = useTranslation();
  const items = [...(data?.items ?? [])].sort((a, b) => Number(a.state === "closed") - Number(b.state === "closed"));
  return (
    <section className="panel" aria-label={t("nav.alerts")}>
      {!data && <Awaited error={error} rows={5} onRetry={onRetry} />}
      {data && items.length === 0 && <Empty title={t("container.noAlerts")} text={t("container.noAlertsText")} />}
      <ul className="container-newest">
        {items.map((alert) => (
          <li key={alert.id}>
            <Link to={`/alerts/${alert.id}`} className="container-alert">
              <PriorityMark priority={alert.priority} />
              <span className="truncate cell-strong">
                <Prose text={alert.title} />
              </span>
              <AlertStateMark state={alert.state} />
              <span className="num muted">{t("alerts.times", { count: alert.count, shown: formatCount(alert.count, i18n.language) })}</span>
              <span className="num muted">
                <RelativeTime time={alert.last_seen} />
              </span>
            </Link>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Fact({ label, copy, children }: { label: string; copy?: string; children: ReactNode }) {
  if (!children) return null;
  return (
    <>
      <dt>{label}</dt>
      <dd className="fact-value">
        <span>{children}</span>
        {copy && <CopyButton text={copy} />}
      </dd>
    </>
  );
}

function lines(entries: string[] | undefined): ReactNode {
  if (!entries || entries.length === 0) return null;
  return (
    <span className="mono listed">
      {entries.map((entry) => (
        <span key={entry}>{entry}</span>
      ))}
    </span>
  );
}
