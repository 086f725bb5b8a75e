/** Where lines of logs and events are forwarded to, and how that goes. */

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { Link, useSearchParams } from "react-router";
import { ApiError, get, post } from "../../api/client";
import type { ForwardingRoute, Page } from "../../api/types";
import { CodeBlock } from "../../components/code";
import { Icon } from "../../components/icon";
import { Awaited, Empty, ErrorBox, errorText } from "../../components/states";
import { RelativeTime } from "../../components/time";
import { addressNow, changed } from "../../lib/address";
import { formatBytes, formatCompact, formatCount, formatRate } from "../../lib/format";
import { DeadLetters } from "./dead-letters";
import { looked, stretches, type Look, type Looks } from "./rates";
import { Sparkline } from "./sparkline";
import { leastPriority, takenLink } from "./takes";
import "./routes.css";

const POLL_MS = 5_000;
/** So much of an error is shown before somebody asks for the rest. */
const ERROR_CHARACTERS = 220;

const EXAMPLE = `routes:
  - name: siem
    match: "level:ERROR"
    to: {type: syslog, address: "logs.example:6514", transport: tls}`;

const LOOKS: Record<string, string> = { running: "state-good", waiting: "state-waiting", failing: "state-bad", disabled: "state-off" };

interface Known {
  routes: ForwardingRoute[];
  looks: Looks;
}

const isMissing = (error: unknown) => error instanceof ApiError && error.status === 404;

export function Routes() {
  const { t, i18n } = useTranslation();
  const client = useQueryClient();
  const [search, setSearch] = useSearchParams();
  const { data, error, refetch } = useQuery({
    queryKey: ["routes"],
    queryFn: async ({ signal }): Promise<Known> => {
      const { items } = await get<Page<ForwardingRoute>>("/api/routes", {}, signal);
      return { routes: items, looks: looked(client.getQueryData<Known>(["routes"])?.looks ?? {}, items, performance.now()) };
    },
    refetchInterval: (query) => (isMissing(query.state.error) ? false : POLL_MS),
  });
  const open = search.get("dead");
  const show = (name: string) => setSearch(changed(addressNow(), { dead: name }));
  const failing = data?.routes.filter(({ state }) => state === "failing").length ?? 0;
  return (
    <div className="page">
      <div className="page-head">
        <h1>{t("nav.routes")}</h1>
        {data && data.routes.length > 0 && (
          <span className="muted nums">
            {formatCount(data.routes.length, i18n.language)}
            {failing > 0 && ` · ${t("routes.failing", { count: failing })}`}
          </span>
        )}
      </div>
      {isMissing(error) ? (
        <div className="panel">
          <Empty title={t("routes.unknown")} text={t("routes.unknownText")} />
        </div>
      ) : (
        <>
          {error && data && <ErrorBox error={error} onRetry={() => void refetch()} />}
          <section className="panel" aria-label={t("nav.routes")}>
            {!data && <Awaited error={error} rows={5} onRetry={() => void refetch()} />}
            {data?.routes.length === 0 && (
              <Empty title={t("routes.none")} text={t("routes.noneText")}>
                <CodeBlock code={EXAMPLE} label={t("routes.exampleLabel")} />
              </Empty>
            )}
            {data && data.routes.length > 0 && <RouteTable {...data} onDead={show} />}
          </section>
        </>
      )}
      <DeadLetters name={open} route={data?.routes.find(({ name }) => name === open)} onClose={() => show("")} />
    </div>
  );
}

function RouteTable({ routes, looks, onDead }: Known & { onDead: (name: string) => void }) {
  const { t } = useTranslation();
  return (
    <div className="table-wrap" tabIndex={0} role="region" aria-label={t("nav.routes")}>
      <table className="table table-cards routes-table">
        <thead>
          <tr>
            <th scope="col">{t("routes.name")}</th>
            <th scope="col">{t("routes.takes")}</th>
            <th scope="col">{t("routes.stateColumn")}</th>
            <th scope="col">{t("routes.throughput")}</th>
            <th scope="col" className="num">
              {t("routes.sent")}
            </th>
            <th scope="col" className="num">
              {t("routes.lag")}
            </th>
            <th scope="col">{t("routes.errors")}</th>
            <th scope="col" className="num">
              {t("routes.dead")}
            </th>
            <th scope="col">
              <span className="sr-only">{t("routes.test")}</span>
            </th>
          </tr>
        </thead>
        {routes.map((route) => (
          <RouteRows key={route.name} route={route} looks={looks[route.name] ?? []} onDead={onDead} />
        ))}
      </table>
    </div>
  );
}

/** One route, and below it what went wrong and what came of a test. */
function RouteRows({ route, looks, onDead }: { route: ForwardingRoute; looks: readonly Look[]; onDead: (name: string) => void }) {
  const { t, i18n } = useTranslation();
  const language = i18n.language;
  const [answer, setAnswer] = useState<{ ok: boolean; detail: string } | null>(null);
  const test = useMutation({
    mutationFn: () => post<{ ok: boolean; detail: string }>(`/api/routes/${encodeURIComponent(route.name)}/test`),
    onSuccess: setAnswer,
    onError: (error) => setAnswer({ ok: false, detail: errorText(error, t) }),
  });
  const count = (value: number) => <span title={formatCount(value, language)}>{formatCompact(value, language)}</span>;
  const known = LOOKS[route.state];
  const shownError = route.state === "disabled" ? null : route.last_error;
  return (
    <tbody data-route={route.name}>
      <tr>
        <td className="route-name">
          <strong>{route.name}</strong> <span className="tag">{t([`protocol.${route.type}`, "protocol.other"], { name: route.type })}</span>
          <span className="block small mono muted">{route.place}</span>
        </td>
        <td className="route-takes">
          <Takes route={route} />
        </td>
        <td className="route-state">
          <span className={`state ${known ?? "state-off"}`}>{known ? t(`routeState.${route.state}`) : route.state}</span>
        </td>
        <td className="route-rate">
          <Throughput looks={looks} />
        </td>
        <td className="num" data-label={t("routes.sent")}>
          {count(route.sent_total)}
          <span className="block small muted route-last">
            <RelativeTime time={route.last_success} />
          </span>
        </td>
        <td className="num" data-label={t("routes.lag")}>
          {count(route.lag)}
        </td>
        <td className="route-errors" data-label={t("routes.errors")}>
          <Errors route={route} />
        </td>
        <td className="num" data-label={t("routes.dead")}>
          {route.dead_letters > 0 ? (
            <button type="button" className="btn btn-small route-dead" aria-label={t("routes.showDead", { count: route.dead_letters, shown: formatCompact(route.dead_letters, language), name: route.name })} onClick={() => onDead(route.name)}>
              {formatCompact(route.dead_letters, language)}
              <Icon name="right" size={12} />
            </button>
          ) : (
            "0"
          )}
        </td>
        <td className="num route-test">
          <button type="button" className="btn btn-small" disabled={test.isPending} onClick={() => test.mutate()}>
            <Icon name="send" size={13} />
            {t("routes.test")}
          </button>
        </td>
      </tr>
      {(shownError || route.notice || answer) && (
        <tr className="route-notes">
          <td colSpan={9}>
            {shownError && <LastError text={shownError} time={route.last_error_time} current={route.state === "failing"} />}
            {route.notice && (
              <p className="small route-error">
                <Icon name="warning" size={13} />
                <span>{route.notice}</span>
              </p>
            )}
            {answer && (
              <p className={answer.ok ? "small route-answer" : "small route-answer route-answer-bad"} role="status">
                <Icon name={answer.ok ? "check" : "warning"} size={13} />
                <span>{t(answer.ok ? "routes.testOk" : "routes.testFailed", { detail: answer.detail })}</span>
              </p>
            )}
          </td>
        </tr>
      )}
    </tbody>
  );
}

function Takes({ route }: { route: ForwardingRoute }) {
  const { t } = useTranslation();
  const least = leastPriority(route);
  const [first, ...others] = route.kinds;
  return (
    <>
      {first && (
        <Link to={takenLink(route, first)} title={route.match} className="route-match">
          <Icon name={first === "log" ? "logs" : "events"} size={13} />
          {route.match ? <span className="mono route-query">{route.match}</span> : <span>{t(`routes.every.${first}`)}</span>}
        </Link>
      )}
      {others.map((kind) => (
        <Link key={kind} to={takenLink(route, kind)} className="route-match small">
          <Icon name={kind === "log" ? "logs" : "events"} size={13} />
          {t(`routes.also.${kind}`)}
        </Link>
      ))}
      {least && <span className="block small muted">{t("routes.atLeast", { priority: t(`priority.${least}`) })}</span>}
    </>
  );
}

function Throughput({ looks }: { looks: readonly Look[] }) {
  const { t, i18n } = useTranslation();
  const between = stretches(looks);
  const now = between.at(-1);
  return (
    <span className="route-throughput">
      <Sparkline stretches={between} />
      <span className="nums">
        <span className="block">{now ? t("routes.recordsPerSecond", { rate: formatRate(now.records, i18n.language) }) : <span className="muted">–</span>}</span>
        <span className="block small muted">{now ? t("routes.bytesPerSecond", { bytes: formatBytes(Math.round(now.bytes), i18n.language) }) : t("routes.measuring")}</span>
      </span>
    </span>
  );
}

/** What did not go well, each with its count; lost is what nobody can bring back. */
function Errors({ route }: { route: ForwardingRoute }) {
  const { t, i18n } = useTranslation();
  const kinds = [
    ["lost", route.lost_total],
    ["refused", route.failed_total],
    ["retried", route.retried_total],
  ] as const;
  const there = kinds.filter(([, value]) => value > 0);
  if (there.length === 0) return <span className="muted">{t("routes.noErrors")}</span>;
  return there.map(([kind, value]) => (
    <span key={kind} className={kind === "retried" ? "block nowrap muted" : "block nowrap route-bad"} title={t(`routes.errorHint.${kind}`)}>
      {kind !== "retried" && <Icon name="warning" size={13} />} {t(`routes.error.${kind}`, { shown: formatCompact(value, i18n.language) })}
    </span>
  ));
}

function LastError({ text, time, current }: { text: string; time: string | null; current: boolean }) {
  const { t } = useTranslation();
  const [whole, setWhole] = useState(false);
  const cut = !whole && text.length > ERROR_CHARACTERS;
  return (
    <p className={current ? "small route-error route-error-now" : "small route-error"}>
      <Icon name="warning" size={13} />
      <span>
        {!current && <span className="muted">{t("routes.lastError")} </span>}
        <span className="mono">{cut ? `${text.slice(0, ERROR_CHARACTERS).trimEnd()}…` : text}</span>{" "}
        {cut && (
          <button type="button" className="link-btn" onClick={() => setWhole(true)}>
            {t("common.more")}
          </button>
        )}{" "}
        {time && (
          <span className="muted nowrap">
            <RelativeTime time={time} />
          </span>
        )}
      </span>
    </p>
  );
}
