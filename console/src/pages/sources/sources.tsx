/** Where events come from, what became of them, and how to connect more. */

import { useQuery } from "@tanstack/react-query";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { get } from "../../api/client";
import type { Outcomes, Page, Source } from "../../api/types";
import { CodeBlock } from "../../components/code";
import { Icon } from "../../components/icon";
import { Empty, ErrorBox, Loading, TestEventButton } from "../../components/states";
import { ExactTime, RelativeTime } from "../../components/time";
import { formatBytes, formatCompact, formatCount, formatDuration } from "../../lib/format";
import { curlCommand, falcoDockerCommand, falcoHttpConfiguration, fileConfiguration, sidekickConfiguration } from "./connect";
import { Readers } from "./readers";
import { addressesOf, isReceiver } from "./receivers";
import { SendHere } from "./send-here";
import { SourceState } from "./source-state";
import "./sources.css";

export function Sources() {
  const { t } = useTranslation();
  const { data, error, refetch } = useQuery({
    queryKey: ["sources"],
    queryFn: ({ signal }) => get<Page<Source>>("/api/sources", {}, signal),
    refetchInterval: 5_000,
  });
  return (
    <div className="page">
      <div className="page-head">
        <h1>{t("nav.sources")}</h1>
        <span className="spacer" />
        <TestEventButton />
      </div>
      {error && <ErrorBox error={error} onRetry={() => void refetch()} />}
      {!data && !error && (
        <div className="panel">
          <Loading />
        </div>
      )}
      {data?.items.length === 0 && (
        <div className="panel">
          <Empty title={t("sources.none")} text={t("sources.noneText")} command={falcoDockerCommand()} commandLabel={t("sources.connect.dockerLabel")}>
            <TestEventButton primary />
          </Empty>
        </div>
      )}
      {data?.items.map((source) => <SourceCard key={source.id} source={source} />)}
      {data && <SendHere sources={data.items} />}
      <Connect />
    </div>
  );
}

function SourceCard({ source }: { source: Source }) {
  const { t, i18n } = useTranslation();
  const language = i18n.language;
  const { queue } = source;
  return (
    <section className="panel source" aria-label={source.id}>
      <div className="panel-head source-head">
        {isReceiver(source) ? (
          <h2>
            {t(`protocol.${source.kind}`)} {source.id !== source.kind && <span className="mono source-id">{source.id}</span>}
          </h2>
        ) : (
          <h2 className="mono">{source.id}</h2>
        )}
        <SourceState state={source.state} />
        {source.since && Date.parse(source.since) > 0 && (
          <span className="muted small">
            {t("sources.since")} <ExactTime time={source.since} />
          </span>
        )}
        <span className="spacer" />
        {isReceiver(source) ? (
          <ul className="source-addresses" aria-label={t("sources.listens")}>
            {addressesOf(source).map((address) => (
              <li key={address} className="tag mono">
                {address}
              </li>
            ))}
          </ul>
        ) : (
          <span className="muted truncate source-description" title={source.description}>
            {source.description}
          </span>
        )}
      </div>
      {source.last_error && (
        <div className={source.state === "failed" ? "source-error source-error-now" : "source-error"}>
          <Icon name="warning" size={14} />
          <span className="mono">{source.last_error.text}</span>
          <span className="muted small nowrap">
            <RelativeTime time={source.last_error.time} />
          </span>
        </div>
      )}
      <div className="source-body">
        <dl className="source-figures">
          <Fact label={t("sources.received")} note={formatBytes(source.received_bytes_total, language)}>
            <span title={formatCount(source.received_total, language)}>{formatCompact(source.received_total, language)}</span>
          </Fact>
          <Fact label={t("sources.lastReceived")}>
            <RelativeTime time={source.last_received} />
          </Fact>
          <Fact label={t("sources.lag")} note={t("sources.lagNote")}>
            {source.lag_seconds === null || source.lag_seconds === undefined ? "–" : formatDuration(source.lag_seconds)}
          </Fact>
          <Fact
            label={t("sources.queue")}
            note={t("sources.queueNote")}
          >
            <span title={t("sources.queueTitle", { bytes: formatBytes(queue.capacity, language) })}>{formatCount(queue.length, language)}</span>
          </Fact>
        </dl>
        <OutcomeTable outcomes={source.outcomes} received={source.received_total} />
      </div>
      {source.readers?.length > 0 && <Readers readers={source.readers} />}
      {((source.position && !source.readers?.length) || source.last_rejected) && (
        <dl className="source-foot small">
          {source.position && !source.readers?.length && (
            <div>
              <dt className="muted">{t("sources.position")}</dt>
              <dd className="mono">{source.position}</dd>
            </div>
          )}
          {source.last_rejected && (
            <div>
              <dt className="muted">{t("sources.lastRejected")}</dt>
              <dd className="mono">{source.last_rejected}</dd>
            </div>
          )}
        </dl>
      )}
    </section>
  );
}

function Fact({ label, note, children }: { label: string; note?: ReactNode; children: ReactNode }) {
  return (
    <div>
      <dt>{label}</dt>
      <dd className="nums">
        <span className="source-figure">{children}</span>
        {note && <span className="source-note">{note}</span>}
      </dd>
    </div>
  );
}

/** Every record has one end; the sum of all is what was received. */
function OutcomeTable({ outcomes, received }: { outcomes: Outcomes; received: number }) {
  const { t, i18n } = useTranslation();
  const rows: { key: string; label: string; count: number; tone?: "bad" | "odd" }[] = [
    { key: "stored", label: t("outcome.stored"), count: outcomes.stored ?? 0 },
    { key: "forwarded", label: t("outcome.forwarded"), count: outcomes.forwarded ?? 0 },
    { key: "observed", label: t("outcome.observed"), count: outcomes.observed ?? 0 },
    { key: "filtered", label: t("outcome.filtered"), count: outcomes.filtered ?? 0 },
    { key: "duplicate", label: t("outcome.duplicate"), count: outcomes.duplicate ?? 0 },
    ...reasons("invalid", outcomes.invalid),
    ...reasons("dropped", outcomes.dropped),
  ];
  function reasons(kind: "invalid" | "dropped", counts: Record<string, number> | undefined) {
    return Object.entries(counts ?? {}).map(([reason, count]) => ({
      key: `${kind}.${reason}`,
      label: `${t(`outcome.${kind}`)}: ${t([`reason.${reason}`, "reason.other"], { reason })}`,
      count,
      tone: kind === "dropped" ? ("bad" as const) : ("odd" as const),
    }));
  }
  const shown = rows.filter((row) => row.count > 0 || row.key === "stored");
  return (
    <table className="outcomes" aria-label={t("sources.outcomes")}>
      <tbody>
        {shown.map((row) => (
          <tr key={row.key} className={row.count > 0 && row.tone ? `outcome-${row.tone}` : undefined}>
            <th scope="row">
              {row.tone === "bad" && row.count > 0 && <Icon name="warning" size={13} />}
              {row.label}
            </th>
            <td className="outcome-track" aria-hidden="true">
              <span style={{ width: `${received > 0 ? Math.max((row.count / received) * 100, row.count > 0 ? 0.6 : 0) : 0}%` }} />
            </td>
            <td className="num">{formatCount(row.count, i18n.language)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

const WAYS = ["docker", "http", "sidekick", "file", "curl"] as const;

function Connect() {
  const { t } = useTranslation();
  const [way, setWay] = useState<(typeof WAYS)[number]>("docker");
  const origin = window.location.origin;
  const code = {
    docker: falcoDockerCommand,
    http: () => falcoHttpConfiguration(origin),
    sidekick: () => sidekickConfiguration(origin),
    file: fileConfiguration,
    curl: () => curlCommand(origin),
  }[way]();
  const needsToken = way === "http" || way === "sidekick" || way === "curl";
  return (
    <section className="panel" aria-label={t("sources.connect.title")}>
      <div className="panel-head">
        <h2>{t("sources.connect.title")}</h2>
      </div>
      <div className="panel-body connect">
        <div className="segmented connect-ways" role="group" aria-label={t("sources.connect.title")}>
          {WAYS.map((choice) => (
            <button key={choice} type="button" aria-pressed={choice === way} onClick={() => setWay(choice)}>
              {t(`sources.connect.way.${choice}`)}
            </button>
          ))}
        </div>
        <p className="muted">
          {t(`sources.connect.text.${way}`)}{" "}
          {needsToken && (
            <>
              {t("sources.connect.token")} <Link to="/tokens">{t("sources.connect.tokenLink")}</Link>
            </>
          )}
        </p>
        <CodeBlock code={code} />
      </div>
    </section>
  );
}
