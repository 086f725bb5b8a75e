/** One event in full, beside the list. */

import { useQuery } from "@tanstack/react-query";
import { Drawer, Tabs } from "antd";
import { useMemo, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { get } from "../../api/client";
import type { QwEvent } from "../../api/types";
import { CopyButton } from "../../components/code";
import { Icon } from "../../components/icon";
import { PriorityMark } from "../../components/priority";
import { ErrorBox, Loading } from "../../components/states";
import { fullTime, RelativeTime } from "../../components/time";
import { formatDateTime, formatZone } from "../../lib/format";
import { containerLink, eventsLink, fieldQuery, logsLink } from "../../lib/links";
import { absoluteRange } from "../../lib/range";
import type { FilterMode } from "../../query/edit";
import { allFields } from "./columns";
import { FilterButtons } from "./filter-buttons";
import type { Tab } from "./url-state";

/** How far before and after an event its container's log is looked at. */
const LOGS_AROUND_MS = 1_800_000;

interface EventDrawerProps {
  id: string | null;
  /** The event, when the list has it already. */
  known: QwEvent | undefined;
  tab: Tab;
  query: string;
  columns: string[];
  narrow: boolean;
  onTab: (tab: Tab) => void;
  onClose: () => void;
  onFilter: (field: string, value: string, mode: FilterMode) => void;
  onColumn: (field: string) => void;
  /** Steps to a neighbour in the list. */
  onStep?: (step: 1 | -1) => void;
}

export function EventDrawer(props: EventDrawerProps) {
  const { id, known, narrow, onClose, onStep } = props;
  const { t } = useTranslation();
  const { data, error, refetch } = useQuery({
    queryKey: ["event", id],
    queryFn: ({ signal }) => get<QwEvent>(`/api/events/${encodeURIComponent(id!)}`, {}, signal),
    enabled: id !== null && known === undefined,
    staleTime: Infinity,
  });
  const event = known ?? data;
  return (
    <Drawer
      open={id !== null}
      onClose={onClose}
      placement="right"
      size={narrow ? "100%" : 560}
      mask={narrow ? { closable: true } : false}
      closable={false}
      rootClassName="event-drawer"
      aria-label={t("event.title")}
      title={
        <div className="drawer-head">
          <span className="truncate">{event ? <PriorityMark priority={event.priority} /> : t("event.title")}</span>
          <span className="spacer" />
          {onStep && (
            <>
              <button type="button" className="icon-btn" aria-label={t("event.previous")} title={`${t("event.previous")} (k)`} onClick={() => onStep(-1)}>
                <Icon name="up" />
              </button>
              <button type="button" className="icon-btn" aria-label={t("event.next")} title={`${t("event.next")} (j)`} onClick={() => onStep(1)}>
                <Icon name="down" />
              </button>
            </>
          )}
          <CopyButton text={() => linkTo(id!)} label={t("event.copyLink")} />
          <button type="button" className="icon-btn" aria-label={t("common.close")} title={`${t("common.close")} (Esc)`} onClick={onClose}>
            <Icon name="close" />
          </button>
        </div>
      }
    >
      {error && !event && <ErrorBox error={error} onRetry={() => void refetch()} />}
      {!event && !error && <Loading rows={10} />}
      {event && <EventDetail {...props} event={event} />}
    </Drawer>
  );
}

/** An address that finds this event for anybody, whatever the list shows then. */
function linkTo(id: string): string {
  return new URL(eventsLink({ event: id }), window.location.origin).toString();
}

function EventDetail(props: EventDrawerProps & { event: QwEvent }) {
  const { event, tab, onTab } = props;
  const { t } = useTranslation();
  const json = useMemo(() => JSON.stringify(event, null, 2), [event]);
  return (
    <>
      <h2 className="event-rule">{event.rule}</h2>
      <p className="muted nums event-when" title={fullTime(event.time)}>
        {formatDateTime(new Date(event.time), true)} {formatZone(new Date(event.time))} · <RelativeTime time={event.time} />
      </p>
      <Tabs
        activeKey={tab}
        onChange={(key) => onTab(key as Tab)}
        items={[
          { key: "summary", label: t("event.summary"), children: <Summary {...props} /> },
          { key: "fields", label: t("event.fields"), children: <Fields {...props} /> },
          {
            key: "json",
            label: "JSON",
            children: (
              <div className="event-json">
                <CopyButton text={json} label={t("event.copyJson")} small={false} />
                <pre tabIndex={0}>
                  <JsonText text={json} />
                </pre>
              </div>
            ),
          },
        ]}
      />
    </>
  );
}

function Summary({ event, query, onFilter }: EventDrawerProps & { event: QwEvent }) {
  const { t } = useTranslation();
  const { container } = event;
  const at = Date.parse(event.time);
  const around = absoluteRange(at - 300_000, at + 300_000);
  const facts: [string, string, string, ReactNode?][] = [
    [t("field.container.name"), "container.name", container.name, container.id && container.id !== "host" && (
      <Link key="page" to={containerLink(container.id)}>
        {t("event.openContainer")}
      </Link>
    )],
    [t("event.containerId"), "container.id", container.id],
    [t("event.image"), "container.image", container.image],
    [t("event.digest"), "container.image.digest", container.image_digest],
    [t("event.composeProject"), "compose.project", container.compose_project],
    [t("event.composeService"), "compose.service", container.compose_service],
    [t("event.namespace"), "k8s.ns.name", container.k8s_namespace],
    [t("event.pod"), "k8s.pod.name", container.k8s_pod],
    [t("field.proc.name"), "proc.name", event.process_name],
    [t("event.command"), "proc.cmdline", String(event.output_fields["proc.cmdline"] ?? "")],
    [t("event.user"), "user.name", String(event.output_fields["user.name"] ?? "")],
    [t("field.hostname"), "hostname", event.hostname],
    [t("field.category"), "category", event.category],
    [t("field.source"), "source", event.source],
  ];
  return (
    <div className="event-summary">
      <p className="event-output mono">{event.output}</p>
      <dl className="event-facts">
        {facts
          .filter(([, , value]) => value !== "")
          .map(([label, field, value, extra]) => (
            <div key={field} className="event-fact">
              <dt>{label}</dt>
              <dd>
                <span className="fact-text">
                  <span className="mono">{field === "category" ? t(`category.${value}`) : value}</span>
                  {extra && <span className="event-extra">{extra}</span>}
                </span>
                <FilterButtons field={field} value={value} query={query} onFilter={onFilter} />
              </dd>
            </div>
          ))}
        {event.tags.length > 0 && (
          <div className="event-fact">
            <dt>{t("event.tags")}</dt>
            <dd className="event-tags">
              {event.tags.map((tag) => (
                <Link key={tag} className="tag" to={eventsLink({ query: fieldQuery("tags", tag) })}>
                  {tag}
                </Link>
              ))}
            </dd>
          </div>
        )}
      </dl>
      <div className="event-around">
        {container.name && (
          <Link className="btn" to={eventsLink({ query: fieldQuery("container.name", container.name), ...around })}>
            <Icon name="clock" />
            {t("event.around")}
          </Link>
        )}
        {container.name && container.id !== "host" && (
          <Link className="btn" to={logsLink({ containers: [container.name], at: event.time, ...absoluteRange(at - LOGS_AROUND_MS, at + LOGS_AROUND_MS) })}>
            <Icon name="logs" />
            {t("event.logs")}
          </Link>
        )}
        <Link className="btn" to={eventsLink({ query: fieldQuery("rule", event.rule), from: "now-24h", to: "now" })}>
          <Icon name="filter" />
          {t("event.sameRule")}
        </Link>
      </div>
    </div>
  );
}

function Fields({ event, query, columns, onFilter, onColumn }: EventDrawerProps & { event: QwEvent }) {
  const { t } = useTranslation();
  const [wanted, setWanted] = useState("");
  const fields = useMemo(() => allFields(event), [event]);
  const text = wanted.toLowerCase();
  const found = fields.filter((field) => field.name.toLowerCase().includes(text) || field.text.toLowerCase().includes(text));
  return (
    <>
      <label className="search-input event-field-search">
        <Icon name="search" />
        <input className="input" value={wanted} placeholder={t("event.searchFields")} aria-label={t("event.searchFields")} onChange={(change) => setWanted(change.target.value)} />
      </label>
      <dl className="event-facts event-facts-all">
        {found.map(({ name, text: value }) => (
          <div key={name} className="event-fact">
            <dt className="mono">{name}</dt>
            <dd>
              <span className="mono fact-text">{value}</span>
              <span className="fact-actions">
              {name !== "time" && name !== "tags" && <FilterButtons field={name} value={value} query={query} onFilter={onFilter} />}
              <button
                type="button"
                className="icon-btn icon-btn-small"
                aria-pressed={columns.includes(name)}
                aria-label={t(columns.includes(name) ? "event.removeColumn" : "event.addColumn", { field: name })}
                title={t(columns.includes(name) ? "event.removeColumn" : "event.addColumn", { field: name })}
                onClick={() => onColumn(name)}
              >
                <Icon name="columns" size={13} />
              </button>
              </span>
            </dd>
          </div>
        ))}
        {found.length === 0 && <p className="muted">{t("common.nothing")}</p>}
      </dl>
    </>
  );
}

/** JSON with keys, texts and numbers told apart. */
function JsonText({ text }: { text: string }) {
  const pieces = text.split(/("(?:[^"\\]|\\.)*"(?:\s*:)?|-?\b\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\b|\b(?:true|false|null)\b)/);
  return pieces.map((piece, index) => {
    if (index % 2 === 0) return piece;
    const kind = piece.endsWith(":") ? "key" : piece.startsWith('"') ? "string" : "literal";
    return (
      <span key={index} className={`json-${kind}`}>
        {piece}
      </span>
    );
  });
}
