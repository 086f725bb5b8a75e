/** Alerts, before everything else: what is open, what came today, the newest with the next step beside them. */

import { keepPreviousData, useQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { ApiError, get } from "../../api/client";
import { PRIORITIES, type AlertPage, type Overview as OverviewData } from "../../api/types";
import { Icon } from "../../components/icon";
import { PriorityMark, PriorityShape } from "../../components/priority";
import { plainProse, Prose } from "../../components/prose";
import { ErrorBox, Loading } from "../../components/states";
import { RelativeTime } from "../../components/time";
import { formatCompact } from "../../lib/format";
import { recount, replaceAlerts, useAlertStream } from "../alerts/cache";
import { useDesk } from "../alerts/desk";
import { Score } from "../alerts/score";
import "../alerts/alerts.css";

const NEWEST = 6;
const RULES = 6;
const REFRESH_MS = 15_000;

interface AlertsTodayProps {
  /** How many there are; the rows alone are asked for here. */
  counts: OverviewData["alerts"];
  /** The counts are old. */
  onCounts: () => void;
}

export function AlertsToday({ counts, onCounts }: AlertsTodayProps) {
  const { t, i18n } = useTranslation();
  const client = useQueryClient();
  const open = useQuery({
    queryKey: ["alerts-newest", "open"],
    queryFn: ({ signal }) => get<AlertPage>("/api/alerts", { state: "open", silenced: false, limit: NEWEST }, signal),
    refetchInterval: REFRESH_MS,
    placeholderData: keepPreviousData,
  });
  const again = useCallback(() => {
    void client.invalidateQueries({ queryKey: ["alerts-newest"] });
    recount(client);
    onCounts();
  }, [client, onCounts]);
  useAlertStream((alerts) => {
    replaceAlerts(client, alerts);
    const known = new Set(open.data?.items.map(({ id }) => id));
    if (alerts.some((alert) => !known.has(alert.id))) again();
  }, again);
  const desk = useDesk(() => window.setTimeout(again, 600));

  if (open.error && !open.data) {
    // Nobody keeps alerts here.
    if (open.error instanceof ApiError && open.error.status === 404) return null;
    return <ErrorBox error={open.error} onRetry={() => void open.refetch()} />;
  }
  if (!open.data) {
    return (
      <div className="panel">
        <Loading rows={4} />
      </div>
    );
  }
  const { aggregates, items } = open.data;
  const language = i18n.language;
  const openNow = counts.open.new + counts.open.acknowledged + counts.open.in_progress;
  const urgent = PRIORITIES.filter((priority) => (aggregates.by_priority[priority] ?? 0) > 0);
  return (
    <section className="panel alerts-today" aria-label={t("nav.alerts")}>
      <div className="panel-head">
        <h2>{t("nav.alerts")}</h2>
        <span className="spacer" />
        <Link to="/alerts" className="panel-link" aria-label={`${t("nav.alerts")}: ${t("common.viewAll")}`}>
          {t("common.viewAll")}
        </Link>
      </div>
      <div className="alerts-today-body">
        <div className="alerts-today-figures">
          <Link to="/alerts" className={openNow > 0 ? "figure figure-urgent" : "figure"}>
            <span className="figure-label">{t("overview.openAlerts")}</span>
            <span className="figure-value nums">{formatCompact(openNow, language)}</span>
            <span className="figure-note">{t("overview.newOnes", { count: counts.open.new, shown: formatCompact(counts.open.new, language) })}</span>
          </Link>
          <Link to="/alerts?state=all" className="figure">
            <span className="figure-label">{t("overview.activeAlerts")}</span>
            <span className="figure-value nums">{formatCompact(counts.total, language)}</span>
            <span className="figure-note">{counts.silenced > 0 ? t("overview.silencedAlerts", { count: counts.silenced, shown: formatCompact(counts.silenced, language) }) : t("overview.inRange")}</span>
          </Link>
          {urgent.length > 0 && (
            <ul className="alerts-today-priorities" aria-label={t("overview.priorities")}>
              {urgent.map((priority) => (
                <li key={priority}>
                  <Link to={`/alerts?priority=${priority}`}>
                    <PriorityShape priority={priority} />
                    <span>{t(`priority.${priority}`)}</span>
                    <span className="num">{formatCompact(aggregates.by_priority[priority]!, language)}</span>
                  </Link>
                </li>
              ))}
            </ul>
          )}
        </div>
        {items.length === 0 ? (
          <p className="alerts-today-none">
            <Icon name="check" />
            <span>
              <strong>{t("alerts.allDone")}</strong>
              <span className="block muted">{t("overview.noAlertsText")}</span>
            </span>
          </p>
        ) : (
          <ul className="alerts-today-list" aria-label={t("overview.newestAlerts")}>
            {items.map((alert) => (
              <li key={alert.id} data-alert={alert.id}>
                <PriorityMark priority={alert.priority} />
                <span className="alerts-today-what">
                  <Link to={`/alerts?alert=${alert.id}`} className="truncate cell-strong" title={plainProse(alert.title)}>
                    <Prose text={alert.title} />
                  </Link>
                  <span className="truncate muted small">
                    {alert.container.name || alert.workload} · {t("alerts.times", { count: alert.count, shown: formatCompact(alert.count, language) })} · <RelativeTime time={alert.last_seen} />
                    {alert.assignee && ` · ${alert.assignee}`}
                  </span>
                </span>
                {alert.score !== null ? <Score score={alert.score} /> : <span />}
                {desk.allowed && (
                  <span className="alerts-today-actions">
                    {alert.state === "new" ? (
                      <button type="button" className="btn btn-small" onClick={() => desk.act([alert], { action: "acknowledge" })}>
                        {t("triage.acknowledge")}
                      </button>
                    ) : (
                      <span className="muted small nowrap">{t(`alertState.${alert.state}`)}</span>
                    )}
                    <button type="button" className="icon-btn icon-btn-small" aria-label={t("overview.closeAlert", { id: alert.id })} title={t("triage.close")} onClick={() => desk.ask("close", [alert])}>
                      <Icon name="close" size={13} />
                    </button>
                  </span>
                )}
              </li>
            ))}
          </ul>
        )}
        <div className="alerts-today-rules">
          <h3>{t("overview.topAlertRules")}</h3>
          {aggregates.by_rule.length === 0 && <p className="muted">{t("common.nothing")}</p>}
          <ul>
            {aggregates.by_rule.slice(0, RULES).map(({ rule, count }) => (
              <li key={rule}>
                <Link to={`/alerts?${new URLSearchParams({ rule }).toString()}`}>
                  <span className="truncate" title={rule}>
                    {rule}
                  </span>
                  <span className="num">{formatCompact(count, language)}</span>
                </Link>
              </li>
            ))}
          </ul>
        </div>
      </div>
      {desk.dialog}
    </section>
  );
}
