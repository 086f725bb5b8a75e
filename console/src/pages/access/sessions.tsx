/** Who is signed in where, and an end to it. */

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { useSearchParams } from "react-router";
import { get, remove } from "../../api/client";
import type { Page, SessionInfo } from "../../api/types";
import { useCan, useSession } from "../../app/session";
import { ErrorBox, errorText, Loading } from "../../components/states";
import { ExactTime, RelativeTime } from "../../components/time";
import { toast } from "../../components/toast";
import "./access.css";

export function Sessions() {
  const { t } = useTranslation();
  const client = useQueryClient();
  const seesAll = useCan("manage_access");
  const [search, setSearch] = useSearchParams();
  const all = seesAll && search.get("of") === "all";
  const { data, error, refetch } = useQuery({
    queryKey: ["sessions", all],
    queryFn: ({ signal }) => get<Page<SessionInfo>>("/api/sessions", all ? { all: true } : {}, signal),
    refetchInterval: 15_000,
  });
  const revoke = useMutation({
    mutationFn: (session: SessionInfo) => remove(`/api/sessions/${encodeURIComponent(session.id)}`),
    onSuccess: (_, session) => {
      if (session.current) useSession.getState().signedOut();
      else toast(t("sessions.revoked"));
    },
    onError: (failure) => toast(errorText(failure, t), "error"),
    onSettled: (_, __, session) => (session.current ? undefined : client.invalidateQueries({ queryKey: ["sessions"] })),
  });
  return (
    <div className="page">
      <div className="page-head">
        <h1>{t("nav.sessions")}</h1>
        <span className="spacer" />
        {seesAll && (
          <div className="segmented" role="group" aria-label={t("sessions.whose")}>
            <button type="button" aria-pressed={!all} onClick={() => setSearch({}, { replace: true })}>
              {t("sessions.mine")}
            </button>
            <button type="button" aria-pressed={all} onClick={() => setSearch({ of: "all" }, { replace: true })}>
              {t("sessions.everyone")}
            </button>
          </div>
        )}
      </div>
      {error && <ErrorBox error={error} onRetry={() => void refetch()} />}
      <div className="panel">
        {!data && !error && <Loading rows={4} />}
        {data && (
          <div className="table-wrap" tabIndex={0} role="region" aria-label={t("nav.sessions")}>
            <table className="table table-cards">
              <thead>
                <tr>
                  {all && <th scope="col">{t("users.name")}</th>}
                  <th scope="col">{t("sessions.agent")}</th>
                  <th scope="col">{t("sessions.address")}</th>
                  <th scope="col">{t("sessions.created")}</th>
                  <th scope="col">{t("sessions.lastUsed")}</th>
                  <th scope="col">{t("sessions.expires")}</th>
                  <th scope="col">
                    <span className="sr-only">{t("sessions.revoke")}</span>
                  </th>
                </tr>
              </thead>
              <tbody>
                {data.items.map((session) => (
                  <tr key={session.id} data-current={session.current}>
                    {all && <td className="nowrap">{session.username}</td>}
                    <td>
                      <span className="agent truncate block" title={session.agent}>
                        {agentName(session.agent) || session.agent || "–"}
                      </span>
                      {session.current && <span className="state state-good small">{t("sessions.current")}</span>}
                    </td>
                    <td className="mono nowrap" data-label={t("sessions.address")}>
                      {session.address || "–"}
                    </td>
                    <td className="nowrap" data-label={t("sessions.created")}>
                      <ExactTime time={session.created} />
                    </td>
                    <td className="nowrap" data-label={t("sessions.lastUsed")}>
                      <RelativeTime time={session.last_used} />
                    </td>
                    <td className="nowrap" data-label={t("sessions.expires")}>
                      <ExactTime time={session.expires} />
                    </td>
                    <td className="num">
                      <button type="button" className="btn btn-small btn-danger" disabled={revoke.isPending} onClick={() => revoke.mutate(session)}>
                        {t(session.current ? "nav.signOut" : "sessions.revoke")}
                      </button>
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </div>
    </div>
  );
}

/** Browser and system out of what a browser calls itself; empty when it cannot be told. */
function agentName(agent: string): string {
  const browser = /(Edg|OPR|Firefox|Chrome|Safari)\/(\d+)/.exec(agent.replace(/Chrome\/\S+ (?=.*(?:Edg|OPR)\/)/, ""));
  const system = /(Windows|Mac OS X|Android|iPhone|iPad|CrOS|Linux)/.exec(agent);
  if (!browser) return "";
  const name = { Edg: "Edge", OPR: "Opera" }[browser[1]!] ?? browser[1];
  return `${name} ${browser[2]}${system ? ` · ${system[1] === "Mac OS X" ? "macOS" : system[1]}` : ""}`;
}
