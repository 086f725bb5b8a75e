/** What is kept quiet, by whom, for how long, and an end to it. */

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { Link, useSearchParams } from "react-router";
import { get, remove } from "../../api/client";
import type { Matcher, Page, Silence } from "../../api/types";
import { useCanWhole } from "../../app/session";
import { Dialog } from "../../components/dialog";
import { Icon } from "../../components/icon";
import { Empty, ErrorBox, errorText, Loading } from "../../components/states";
import { ExactTime, RelativeTime } from "../../components/time";
import { toast } from "../../components/toast";
import { addressNow, changed } from "../../lib/address";
import { recount } from "./cache";
import { SilenceDialog } from "./silence-dialog";
import "./alerts.css";

export function Silences() {
  const { t } = useTranslation();
  const client = useQueryClient();
  const [search, setSearch] = useSearchParams();
  const expired = search.get("expired") === "1";
  const maySilence = useCanWhole("triage");
  const [creating, setCreating] = useState(false);
  const [ending, setEnding] = useState<Silence | null>(null);
  const [changing, setChanging] = useState<Silence | null>(null);
  const { data, error, refetch } = useQuery({
    queryKey: ["silences"],
    queryFn: ({ signal }) => get<Page<Silence>>("/api/silences", {}, signal),
    refetchInterval: 15_000,
  });
  const end = useMutation({
    mutationFn: (silence: Silence) => remove(`/api/silences/${silence.id}`),
    onSuccess: () => {
      toast(t("silences.ended"));
      setEnding(null);
      void client.invalidateQueries({ queryKey: ["alerts"] });
      recount(client);
    },
    onSettled: () => client.invalidateQueries({ queryKey: ["silences"] }),
    onError: (failure) => toast(errorText(failure, t), "error"),
  });
  const shown = data?.items.filter((silence) => expired || silence.state !== "expired") ?? [];
  return (
    <div className="page">
      <div className="page-head">
        <Link to="/alerts" className="muted">
          {t("nav.alerts")}
        </Link>
        <span className="muted">/</span>
        <h1>{t("silences.title")}</h1>
        <span className="spacer" />
        <button type="button" className="btn" aria-pressed={expired} onClick={() => setSearch(changed(addressNow(), { expired: expired ? "" : "1" }), { replace: true })}>
          {t("silences.showExpired")}
        </button>
        {maySilence && (
          <button type="button" className="btn btn-primary" onClick={() => setCreating(true)}>
            <Icon name="plus" />
            {t("silences.create")}
          </button>
        )}
      </div>
      {error && <ErrorBox error={error} onRetry={() => void refetch()} />}
      <div className="panel">
        {!data && !error && <Loading rows={4} />}
        {data && shown.length === 0 && <Empty title={t("silences.none")} text={t("silences.noneText")} />}
        {shown.length > 0 && (
          <div className="table-wrap" tabIndex={0} role="region" aria-label={t("silences.title")}>
            <table className="table table-cards">
              <thead>
                <tr>
                  <th scope="col">{t("silences.stateColumn")}</th>
                  <th scope="col">{t("silences.matchers")}</th>
                  <th scope="col">{t("silences.comment")}</th>
                  <th scope="col">{t("silences.by")}</th>
                  <th scope="col">{t("silences.ends")}</th>
                  <th scope="col">
                    <span className="sr-only">{t("silences.end")}</span>
                  </th>
                </tr>
              </thead>
              <tbody>
                {shown.map((silence) => (
                  <tr key={silence.id} data-silence={silence.id}>
                    <td>
                      <span className={`state state-${silence.state === "active" ? "good" : silence.state === "pending" ? "waiting" : "off"}`}>{t(`silenceState.${silence.state}`)}</span>
                    </td>
                    <td>
                      <Matchers matchers={silence.matchers} />
                    </td>
                    <td>{silence.comment || <span className="muted">–</span>}</td>
                    <td className="nowrap" data-label={t("silences.by")}>
                      {silence.created_by}{" "}
                      <span className="muted small">
                        <RelativeTime time={silence.created} />
                      </span>
                    </td>
                    <td className="nowrap" data-label={t("silences.ends")}>
                      <ExactTime time={silence.ends} />{" "}
                      <span className="muted small">
                        <RelativeTime time={silence.ends} />
                      </span>
                    </td>
                    <td className="num">
                      {maySilence && (
                        <span className="row-buttons">
                          {silence.state === "expired" ? (
                            <button type="button" className="btn btn-small" onClick={() => setChanging(silence)}>
                              {t("silences.renew")}
                            </button>
                          ) : (
                            <>
                              <button type="button" className="btn btn-small" onClick={() => setChanging(silence)}>
                                {t("silences.change")}
                              </button>
                              <button type="button" className="btn btn-small btn-danger" onClick={() => setEnding(silence)}>
                                {t("silences.end")}
                              </button>
                            </>
                          )}
                        </span>
                      )}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </div>
      {creating && <SilenceDialog matchers={[]} onClose={() => setCreating(false)} />}
      {changing && <SilenceDialog matchers={changing.matchers} of={changing} onClose={() => setChanging(null)} />}
      {ending && (
        <Dialog title={t("silences.endTitle")} danger submit={t("silences.end")} disabled={end.isPending} onSubmit={() => end.mutate(ending)} onClose={() => setEnding(null)}>
          <Matchers matchers={ending.matchers} />
          <p>{t("silences.endText")}</p>
        </Dialog>
      )}
    </div>
  );
}

function Matchers({ matchers }: { matchers: readonly Matcher[] }) {
  const { t } = useTranslation();
  return (
    <span className="matchers">
      {matchers.map((matcher, index) => (
        <span key={index} className="tag">
          {t(`matcherField.${matcher.field}`)} <span className="muted">{t(`matcherSign.${matcher.operator}`)}</span> <span className="mono">{matcher.value}</span>
        </span>
      ))}
    </span>
  );
}
