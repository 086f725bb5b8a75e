/** What is below a line that was opened: what can be done from here, and its fields. */

import { useMemo } from "react";
import { Link } from "react-router";
import type { QwEvent } from "../../api/types";
import { useCan } from "../../app/session";
import { CopyButton } from "../../components/code";
import { Icon } from "../../components/icon";
import { fullTime } from "../../components/time";
import { containerLink, containerQuery, eventsLink, logsLink } from "../../lib/links";
import { absoluteRange } from "../../lib/range";
import type { FilterMode } from "../../query/edit";
import { FilterButtons } from "../events/filter-buttons";
import { plainText } from "./ansi";
import { isFieldName, lineFields } from "./line-fields";
import type { Translate } from "./log-line";

/** How far before and after a line others are looked for. */
const AROUND_MS = 1_800_000;
const EVENTS_AROUND_MS = 300_000;
/** Longer values are no filter that somebody means. */
const FILTER_CHARACTERS = 400;

interface LineDetailProps {
  event: QwEvent;
  query: string;
  t: Translate;
  onFilter: (field: string, value: string, mode: FilterMode) => void;
}

/** The same container's lines around `event`, unfiltered, with its own marked. */
export function contextLink(event: QwEvent): string {
  const at = Date.parse(event.time);
  return logsLink({ containers: [event.container.name], at: event.time, line: event.id, ...absoluteRange(at - AROUND_MS, at + AROUND_MS) });
}

export function LineDetail({ event, query, t, onFilter }: LineDetailProps) {
  const mayView = useCan("view");
  const { container } = event;
  const at = Date.parse(event.time);
  const found = useMemo(() => lineFields(plainText(event.output)), [event.output]);
  const own = [
    { name: "container.name", value: container.name },
    { name: "container.image", value: container.image },
    { name: "log.iostream", value: event.stream ?? "" },
    { name: "severity_text", value: event.severity_text ?? "" },
    { name: "compose.project", value: container.compose_project },
    { name: "compose.service", value: container.compose_service },
    { name: "k8s.ns.name", value: container.k8s_namespace },
    { name: "k8s.pod.name", value: container.k8s_pod },
    { name: "hostname", value: event.hostname },
  ].filter(({ value }) => value !== "");
  return (
    <div className="log-detail">
      <div className="log-actions">
        <Link className="btn btn-small" to={contextLink(event)}>
          <Icon name="logs" size={14} />
          {t("logs.context")}
        </Link>
        <Link className="btn btn-small" to={eventsLink({ query: containerQuery(container), ...absoluteRange(at - EVENTS_AROUND_MS, at + EVENTS_AROUND_MS) })}>
          <Icon name="events" size={14} />
          {t("logs.eventsAround")}
        </Link>
        {mayView && (
          <Link className="btn btn-small" to={containerLink(container.id)}>
            <Icon name="containers" size={14} />
            {t("event.openContainer")}
          </Link>
        )}
        <span className="log-copy">
          <CopyButton text={event.output} label={t("logs.copy")} />
          <CopyButton text={() => new URL(contextLink(event), window.location.origin).toString()} label={t("event.copyLink")} icon="link" />
        </span>
        <span className="muted nums log-when">{fullTime(event.time)}</span>
      </div>
      <dl className="log-fields">
        {[...found, ...own].map(({ name, value }, index) => (
          <div key={`${index}.${name}`} className={index === found.length && found.length > 0 ? "log-field log-field-first" : "log-field"}>
            <dt className="mono truncate" title={name}>
              {name}
            </dt>
            <dd>
              <span className="mono log-value">{value}</span>
              {(index >= found.length || isFieldName(name)) && value !== "" && value.length <= FILTER_CHARACTERS && <FilterButtons field={name} value={value} query={query} onFilter={onFilter} />}
            </dd>
          </div>
        ))}
      </dl>
    </div>
  );
}
