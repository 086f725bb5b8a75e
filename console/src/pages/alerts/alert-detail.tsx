/** One alert in full: its story, its evidence, what was done about it. */

import { useQueries, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { ApiError, get } from "../../api/client";
import type { Alert, AlertChange, AlertDetail as Detail, QwEvent } from "../../api/types";
import { useCanWhole } from "../../app/session";
import { AlertStateMark } from "../../components/alert-state";
import { Icon, type IconName } from "../../components/icon";
import { PriorityMark } from "../../components/priority";
import { Prose } from "../../components/prose";
import { Empty, ErrorBox, Loading } from "../../components/states";
import { ExactTime, RelativeTime } from "../../components/time";
import { formatClock, formatCount } from "../../lib/format";
import { behaviourLink, containerLink, containerQuery, eventsLink } from "../../lib/links";
import { absoluteRange, type Range } from "../../lib/range";
import { nodeId } from "../behaviour/tree-model";
import { plainOutput } from "../events/columns";
import type { Desk } from "./desk";
import { MAX_NOTE } from "./dialogs";
import { Score } from "./score";

const AROUND_MS = 300_000;
/** A longer alert is looked at where it ends. */
const WHOLE_MS = 1_800_000;
const EVIDENCE_SHOWN = 10;
const STORY_SHOWN = 12;
const STORY_END = 4;
const BEHAVIOUR_SHOWN = 8;
const CONTAINERS_SHOWN = 8;

/** The stretch of time around an alert: five minutes before and after. */
export function aroundOf(alert: Alert): Range {
  const last = Date.parse(alert.last_seen);
  const first = Date.parse(alert.first_seen);
  return absoluteRange((last - first <= WHOLE_MS ? first : last) - AROUND_MS, last + AROUND_MS);
}

interface AlertDetailProps {
  id: number;
  /** The alert, when a list has it already. */
  known?: Alert;
  desk: Desk;
}

/** Asks for an alert and its history. */
export function useAlert(id: number) {
  return useQuery({
    queryKey: ["alert", id],
    queryFn: ({ signal }) => get<Detail>(`/api/alerts/${id}`, {}, signal),
    enabled: Number.isSafeInteger(id) && id > 0,
    refetchInterval: 15_000,
  });
}

export function AlertDetail({ id, known, desk }: AlertDetailProps) {
  const { t, i18n } = useTranslation();
  const { data, error, refetch } = useAlert(id);
  const alert: Alert | undefined = data ?? known;
  if (!alert) {
    const gone = !Number.isSafeInteger(id) || (error instanceof ApiError && error.status === 404);
    if (gone) return <Empty title={t("alerts.unknown")} text={t("alerts.unknownText")} />;
    return error ? <ErrorBox error={error} onRetry={() => void refetch()} /> : <Loading rows={10} />;
  }
  const { container } = alert;
  const query = container.id || container.name ? containerQuery(container) : "";
  const isHost = container.id === "host" || !container.id;
  return (
    <div className="alert-detail">
      <div className="alert-detail-marks">
        <PriorityMark priority={alert.priority} />
        <AlertStateMark state={alert.state} />
        {alert.close_reason && <span className="muted">{t(`closeReason.${alert.close_reason}`)}</span>}
        {alert.taught > 0 && <span className="state state-good">{t("alerts.taught", { count: alert.taught })}</span>}
        <span className="tag">{t(`alertSource.${alert.source}`)}</span>
        {alert.silenced_by !== null && (
          <Link to="/alerts/silences" className="alert-silenced">
            <Icon name="silence" size={13} />
            {t("alerts.silencedBy", { id: alert.silenced_by })}
          </Link>
        )}
        <span className="spacer" />
        <span className="muted">{alert.assignee ? t("alerts.assignedTo", { name: alert.assignee }) : t("alerts.unassigned")}</span>
      </div>
      <h2 className="alert-detail-title">
        <Prose text={alert.title} />
      </h2>
      {desk.allowed && <Actions alert={alert} desk={desk} />}
      <div className="alert-detail-links">
        <Link className="btn btn-primary" to={eventsLink({ query, ...aroundOf(alert) })}>
          <Icon name="clock" />
          {t("alerts.around")}
        </Link>
        {!isHost && (
          <Link className="btn" to={containerLink(container.id || container.name)}>
            <Icon name="containers" />
            {t("event.openContainer")}
          </Link>
        )}
        {!isHost && (
          <Link className="btn" to={behaviourLink(container.id || container.name, alert.source === "profile" ? { show: "deviating" } : {})}>
            <Icon name="profiles" />
            {t(alert.source === "profile" ? "alerts.deviatingNodes" : "alerts.behaviour")}
          </Link>
        )}
      </div>

      <section aria-label={t("alerts.story")}>
        <h3>{t("alerts.story")}</h3>
        {alert.score !== null && (
          <div className="alert-detail-score">
            <span className="muted">{t("alerts.scoreLong")}</span>
            <Score score={alert.score} wide />
          </div>
        )}
        {alert.reasons.length === 0 ? (
          <p className="muted">{t("alerts.noStory", { rule: alert.rule, count: alert.count, times: formatCount(alert.count, i18n.language) })}</p>
        ) : (
          <Story alert={alert} />
        )}
      </section>

      {data && data.behaviour.length > 0 && <Behaviour alert={data} />}

      <Evidence alert={alert} />

      <section aria-label={t("alerts.facts")}>
        <h3>{t("alerts.facts")}</h3>
        <dl className="facts">
          <dt>{t("field.rule")}</dt>
          <dd>
            <Link to={`/alerts?${new URLSearchParams({ rule: alert.rule, state: "all" }).toString()}`}>{alert.rule}</Link>
          </dd>
          <dt>{t("alerts.workload")}</dt>
          <dd className="mono">{alert.workload || "–"}</dd>
          <dt>{t("field.container.name")}</dt>
          <dd className="mono">{container.name || container.id.slice(0, 12) || "–"}</dd>
          {alert.containers.length > 1 && (
            <>
              <dt>{t("alerts.containers")}</dt>
              <dd className="alert-containers">
                {alert.containers.slice(1, 1 + CONTAINERS_SHOWN).map(({ id, name }) => (
                  <Link key={id || name} className="mono" to={containerLink(id || name)}>
                    {name || id.slice(0, 12)}
                  </Link>
                ))}
                {(alert.more_containers || alert.containers.length > 1 + CONTAINERS_SHOWN) && <span className="muted">…</span>}
              </dd>
            </>
          )}
          {container.image && (
            <>
              <dt>{t("event.image")}</dt>
              <dd className="mono">{container.image}</dd>
            </>
          )}
          {container.k8s_pod && (
            <>
              <dt>{t("event.pod")}</dt>
              <dd className="mono">
                {container.k8s_namespace} / {container.k8s_pod}
              </dd>
            </>
          )}
          <dt>{t("field.hostname")}</dt>
          <dd className="mono">{alert.hostname || "–"}</dd>
          <dt>{t("alerts.firstSeen")}</dt>
          <dd>
            <ExactTime time={alert.first_seen} />
          </dd>
          <dt>{t("alerts.lastSeen")}</dt>
          <dd>
            <ExactTime time={alert.last_seen} /> <span className="muted">(<RelativeTime time={alert.last_seen} />)</span>
          </dd>
          <dt>{t("alerts.count")}</dt>
          <dd className="nums">{formatCount(alert.count, i18n.language)}</dd>
        </dl>
      </section>

      <section aria-label={t("alerts.history")}>
        <h3>{t("alerts.history")}</h3>
        {!data && !error && <Loading rows={3} />}
        {error && !data && <ErrorBox error={error} onRetry={() => void refetch()} />}
        {desk.allowed && <NoteField alert={alert} desk={desk} />}
        {data && (
          <ol className="history">
            {[...data.history].reverse().map((change) => (
              <li key={change.sequence} className={change.action === "note" ? "history-note" : undefined}>
                <Icon name={HISTORY_ICONS[change.action]} size={14} />
                <span className="history-text">
                  <ChangeText change={change} />
                  {change.action === "note" && <span className="history-quote">{change.text}</span>}
                </span>
                <span className="muted small nowrap">
                  <RelativeTime time={change.time} />
                </span>
              </li>
            ))}
          </ol>
        )}
      </section>
    </div>
  );
}

/** The reasons in order of time; a long story begins and ends, and has its middle behind a click. */
function Story({ alert }: { alert: Alert }) {
  const { t } = useTranslation();
  const [whole, setWhole] = useState(false);
  const hidden = whole ? 0 : Math.max(0, alert.reasons.length - STORY_SHOWN);
  const shown = hidden > 0 ? [...alert.reasons.slice(0, STORY_SHOWN - STORY_END), ...alert.reasons.slice(-STORY_END)] : alert.reasons;
  return (
    <>
      <ol className="story">
        {shown.map((reason, index) => (
          <li key={`${reason.code}${index}`} className={hidden > 0 && index === STORY_SHOWN - STORY_END ? "story-gap" : undefined}>
            <time className="nums muted mono" dateTime={reason.time} title={reason.time}>
              {formatClock(new Date(reason.time))}
            </time>
            <span className="story-text">
              <Prose text={reason.text} />
            </span>
            {reason.weight > 0 ? (
              <span className="story-weight nums" title={t("alerts.weight")}>
                +{Math.round(reason.weight * 100)}
              </span>
            ) : (
              <span />
            )}
          </li>
        ))}
      </ol>
      {hidden > 0 && (
        <button type="button" className="btn btn-small story-more" onClick={() => setWhole(true)}>
          {t("alerts.wholeStory", { count: hidden })}
        </button>
      )}
    </>
  );
}

const HISTORY_ICONS: Record<AlertChange["action"], IconName> = {
  raised: "alerts",
  escalated: "up",
  state: "check",
  assigned: "user",
  note: "note",
  silenced: "silence",
};

function ChangeText({ change }: { change: AlertChange }) {
  const { t } = useTranslation();
  const who = change.who || t("history.nobody");
  switch (change.action) {
    case "raised":
      return t("history.raised");
    case "escalated":
      return t("history.escalated", { priority: t(`priority.${change.priority}`) });
    case "state": {
      const what = change.reason
        ? t("history.closed", { who, reason: t(`closeReason.${change.reason}`) })
        : t("history.state", { who, state: t(`alertState.${change.state}`) });
      if (change.taught) return `${what} · ${t("history.taught", { count: change.taught })}`;
      return change.untaught ? `${what} · ${t("history.untaught", { count: change.untaught })}` : what;
    }
    case "assigned":
      return change.assignee ? t("history.assigned", { who, name: change.assignee }) : t("history.unassigned", { who });
    case "note":
      return t("history.note", { who });
    case "silenced":
      return change.silence ? t("history.silenced", { id: change.silence }) : t("history.unsilenced");
  }
}

function Actions({ alert, desk }: { alert: Alert; desk: Desk }) {
  const { t } = useTranslation();
  const mayTeach = useCanWhole("manage_profiles");
  const one = [alert];
  const closed = alert.state === "closed";
  return (
    <div className="alert-actions" role="group" aria-label={t("alerts.actions")}>
      {closed ? (
        <>
          <Action icon="refresh" label={t("triage.reopen")} onClick={() => desk.act(one, { action: "reopen" })} />
          {mayTeach && alert.teachable > 0 && alert.taught === 0 && (
            <Action icon="profiles" label={t("triage.remember")} onClick={() => desk.act(one, { action: "close", reason: alert.close_reason ?? "expected", teach: true })} />
          )}
        </>
      ) : (
        <>
          {alert.state === "acknowledged" ? (
            <Action icon="refresh" label={t("triage.unacknowledge")} onClick={() => desk.act(one, { action: "unacknowledge" })} />
          ) : (
            <Action icon="check" keyName="e" label={t("triage.acknowledge")} onClick={() => desk.act(one, { action: "acknowledge" })} />
          )}
          <Action icon="play" keyName="i" label={t("triage.start")} disabled={alert.state === "in_progress"} onClick={() => desk.act(one, { action: "start" })} />
          <Action icon="close" keyName="c" label={t("triage.close")} onClick={() => desk.ask("close", one)} />
        </>
      )}
      <Action icon="user" keyName="a" label={t("triage.assign")} onClick={() => desk.ask("assign", one)} />
      {desk.maySilence && <Action icon="silence" keyName="s" label={t("triage.silence")} onClick={() => desk.ask("silence", one)} />}
    </div>
  );
}

export function Action({ icon, label, keyName, disabled, onClick }: { icon: IconName; label: string; keyName?: string; disabled?: boolean; onClick: () => void }) {
  return (
    <button type="button" className="btn" disabled={disabled} title={keyName ? `${label} (${keyName})` : label} aria-keyshortcuts={keyName} onClick={onClick}>
      <Icon name={icon} size={14} />
      {label}
    </button>
  );
}

function NoteField({ alert, desk }: { alert: Alert; desk: Desk }) {
  const { t } = useTranslation();
  const [text, setText] = useState("");
  const send = () => {
    if (text.trim() === "") return;
    desk.act([alert], { action: "note", text: text.trim() });
    setText("");
  };
  return (
    <form
      className="note-field"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <textarea
        className="input area"
        rows={text ? 3 : 1}
        maxLength={MAX_NOTE}
        placeholder={t("triage.notePlaceholder")}
        aria-label={t("triage.note")}
        value={text}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) send();
        }}
      />
      <button type="submit" className="btn" disabled={text.trim() === ""}>
        {t("triage.addNote")}
      </button>
    </form>
  );
}

/** The nodes of the workload's tree that it is about. */
function Behaviour({ alert }: { alert: Detail }) {
  const { t } = useTranslation();
  const [whole, setWhole] = useState(false);
  const shown = whole ? alert.behaviour : alert.behaviour.slice(0, BEHAVIOUR_SHOWN);
  return (
    <section aria-label={t("alerts.inTree")}>
      <h3>{t("alerts.inTree")}</h3>
      <ul className="alert-behaviour">
        {shown.map(({ branch, operation, process, kind, token }) => {
          const path = [branch, operation, process, token];
          return (
            <li key={`${path.join("\0")}\0${kind}`}>
              <Link to={behaviourLink(alert.workload, { node: nodeId(path, kind) })}>
                <span className="muted small nowrap">
                  {t(`branch.${branch}`)} · {operation} · {process}
                </span>
                <span className="mono truncate" title={token}>
                  {token || t("events.emptyValue")}
                </span>
              </Link>
            </li>
          );
        })}
      </ul>
      {shown.length < alert.behaviour.length && (
        <button type="button" className="btn btn-small" onClick={() => setWhole(true)}>
          {t("alerts.moreBehaviour", { count: alert.behaviour.length - shown.length })}
        </button>
      )}
    </section>
  );
}

/** The events that caused it, fetched by their ids. */
function Evidence({ alert }: { alert: Alert }) {
  const { t } = useTranslation();
  const ids = alert.evidence.length > EVIDENCE_SHOWN ? [...alert.evidence.slice(0, 1), ...alert.evidence.slice(1 - EVIDENCE_SHOWN)] : alert.evidence;
  const events = useQueries({
    queries: ids.map((id) => ({
      queryKey: ["event", id],
      queryFn: ({ signal }: { signal: AbortSignal }) => get<QwEvent>(`/api/events/${encodeURIComponent(id)}`, {}, signal),
      staleTime: Infinity,
      retry: false,
    })),
  });
  const range = aroundOf(alert);
  const query = alert.container.id || alert.container.name ? containerQuery(alert.container) : "";
  return (
    <section aria-label={t("alerts.evidence")}>
      <h3>
        {t("alerts.evidence")} <span className="nums">({t("alerts.evidenceOf", { shown: ids.length, count: Math.max(alert.count, ids.length) })})</span>
      </h3>
      <ul className="evidence">
        {ids.map((id, index) => {
          const { data, error } = events[index]!;
          if (error) {
            return (
              <li key={id} className="evidence-gone muted">
                {t("alerts.evidenceGone", { id })}
              </li>
            );
          }
          return (
            <li key={id}>
              <Link to={eventsLink({ query, ...range, event: id })}>
                <span className="evidence-head">
                  <span className="nums mono muted">{data ? formatClock(new Date(data.time), true) : "…"}</span>
                  <strong className="truncate">{data?.rule}</strong>
                  <span className="spacer" />
                  <span className="muted small">#{id}</span>
                </span>
                <span className="evidence-text mono">{data ? plainOutput(data.output) : "\u00a0"}</span>
              </Link>
            </li>
          );
        })}
      </ul>
    </section>
  );
}
