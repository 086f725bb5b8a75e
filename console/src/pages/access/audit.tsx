/** Every change and sign-in: who, when, from where, and how it ended. */

import { keepPreviousData, useInfiniteQuery, useMutation } from "@tanstack/react-query";
import { useDeferredValue } from "react";
import { useTranslation } from "react-i18next";
import { useSearchParams } from "react-router";
import { get, urlWith } from "../../api/client";
import { AUDIT_OUTCOMES, type AuditEntry, type AuditState, type Page } from "../../api/types";
import { SEARCH_ID } from "../../app/shortcuts";
import { Icon } from "../../components/icon";
import { Menu } from "../../components/menu";
import { Awaited, Empty, errorText } from "../../components/states";
import { TimePicker } from "../../components/time-picker";
import { ExactTime } from "../../components/time";
import { toast } from "../../components/toast";
import { addressNow, changed } from "../../lib/address";
import { formatCount } from "../../lib/format";
import "./access.css";

const PAGE_SIZE = 100;
const DEFAULT_FROM = "now-7d";
const FORMATS = ["csv", "ndjson"] as const;

export function Audit() {
  const { t, i18n } = useTranslation();
  const [search, setSearch] = useSearchParams();
  const set = (change: Record<string, string>) => setSearch(changed(addressNow(), change), { replace: true });
  const user = search.get("user") ?? "";
  const action = search.get("action") ?? "";
  const outcome = AUDIT_OUTCOMES.find((name) => name === search.get("outcome")) ?? "";
  const range = { from: search.get("from") ?? DEFAULT_FROM, to: search.get("to") ?? "now" };
  const parameters = { user: user.trim(), action: action.trim(), outcome, start: range.from, end: range.to };
  const wanted = useDeferredValue(JSON.stringify(parameters));
  const { data, error, refetch, fetchNextPage, hasNextPage, isFetchingNextPage } = useInfiniteQuery({
    queryKey: ["audit", wanted],
    queryFn: ({ pageParam, signal }) => get<Page<AuditEntry>>("/api/audit", { ...(JSON.parse(wanted) as typeof parameters), limit: PAGE_SIZE, cursor: pageParam }, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    placeholderData: keepPreviousData,
  });
  const entries = data?.pages.flatMap((page) => page.items) ?? [];
  const verify = useMutation({
    mutationFn: () => get<AuditState>("/api/audit/verify"),
    onError: (failure) => toast(errorText(failure, t), "error"),
  });
  const download = (format: string) => {
    const anchor = document.createElement("a");
    anchor.href = urlWith("/api/audit/export", { ...parameters, format });
    anchor.download = "";
    anchor.click();
    toast(t("export.started"));
  };
  return (
    <div className="page">
      <div className="page-head">
        <h1>{t("nav.audit")}</h1>
        {verify.data && (
          <span className={verify.data.whole ? "audit-state" : "audit-state audit-bad"} role="status">
            <Icon name={verify.data.whole ? "check" : "warning"} size={14} />
            {verify.data.whole ? t("audit.whole", { count: verify.data.entries, shown: formatCount(verify.data.entries, i18n.language) }) : t("audit.broken", { problem: verify.data.problem })}
          </span>
        )}
        <span className="spacer" />
        <button type="button" className="btn" disabled={verify.isPending} title={t("audit.verifyText")} onClick={() => verify.mutate()}>
          <Icon name="lock" />
          {t("audit.verify")}
        </button>
        <TimePicker range={range} onChange={({ from, to }) => set({ from: from === DEFAULT_FROM ? "" : from, to: to === "now" ? "" : to })} />
        <Menu
          label={t("export.title")}
          className="btn"
          button={
            <>
              <Icon name="download" />
              {t("export.title")}
            </>
          }
          items={FORMATS.map((format) => ({ key: format, label: t(`audit.export.${format}`), onSelect: () => download(format) }))}
        />
      </div>
      <div className="panel">
        <div className="audit-filters" role="search">
          <input id={SEARCH_ID} className="input" maxLength={64} placeholder={t("audit.user")} aria-label={t("audit.user")} value={user} onChange={(event) => set({ user: event.target.value })} />
          <input className="input" maxLength={100} placeholder={t("audit.actionHint")} aria-label={t("audit.action")} value={action} onChange={(event) => set({ action: event.target.value })} />
          <select className="input" aria-label={t("audit.outcome")} value={outcome} onChange={(event) => set({ outcome: event.target.value })}>
            <option value="">{t("audit.anyOutcome")}</option>
            {AUDIT_OUTCOMES.map((name) => (
              <option key={name} value={name}>
                {t(`auditOutcome.${name}`)}
              </option>
            ))}
          </select>
        </div>
        {!data && <Awaited error={error} rows={8} onRetry={() => void refetch()} />}
        {data && entries.length === 0 && !hasNextPage && <Empty title={t("audit.none")} text={t("audit.noneText")} />}
        {entries.length > 0 && (
          <div className="table-wrap" tabIndex={0} role="region" aria-label={t("nav.audit")}>
            <table className="table table-cards">
              <thead>
                <tr>
                  <th scope="col">{t("field.time")}</th>
                  <th scope="col">{t("audit.user")}</th>
                  <th scope="col">{t("audit.action")}</th>
                  <th scope="col">{t("audit.target")}</th>
                  <th scope="col">{t("audit.outcome")}</th>
                  <th scope="col">{t("sessions.address")}</th>
                </tr>
              </thead>
              <tbody>
                {entries.map((entry) => (
                  <tr key={entry.sequence} title={t("audit.entry", { number: entry.sequence, id: entry.request_id || "–" })}>
                    <td className="nowrap">
                      <ExactTime time={entry.time} />
                    </td>
                    <td className="nowrap">
                      {entry.user || <span className="muted">{t(`auditBy.${entry.by}`)}</span>} {entry.by === "token" && <span className="tag mono">{entry.token}</span>}
                    </td>
                    <td className="mono">{entry.action}</td>
                    <td className="audit-detail">
                      <span className="mono">{entry.target}</span>
                      {entry.detail && <span className="block muted small">{entry.detail}</span>}
                    </td>
                    <td>
                      <span className={`state state-${entry.outcome === "done" ? "good" : entry.outcome === "refused" ? "waiting" : "bad"}`}>{t(`auditOutcome.${entry.outcome}`)}</span>
                    </td>
                    <td className="mono nowrap">{entry.address || "–"}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
        {hasNextPage && (
          <div className="table-more">
            <button type="button" className="btn" disabled={isFetchingNextPage} onClick={() => void fetchNextPage()}>
              {t("common.more")}
            </button>
          </div>
        )}
      </div>
    </div>
  );
}
