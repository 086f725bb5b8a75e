/** One alert on a page of its own, with the same keys as in the list. */

import { useQueryClient } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { Link, useParams } from "react-router";
import { CopyButton } from "../../components/code";
import { AlertDetail, useAlert } from "./alert-detail";
import { recount, replaceAlerts, useAlertStream } from "./cache";
import { useDesk, useDeskKeys } from "./desk";
import "./alerts.css";

export function AlertPage() {
  const { t } = useTranslation();
  const client = useQueryClient();
  const id = Number(useParams().id);
  const { data } = useAlert(id);
  const desk = useDesk();
  useDeskKeys(desk, () => (data ? [data] : []));
  useAlertStream(
    (alerts) => {
      const own = alerts.filter((alert) => alert.id === id);
      if (own.length === 0) return;
      replaceAlerts(client, own);
      void client.invalidateQueries({ queryKey: ["alert", id] });
    },
    () => recount(client),
  );
  return (
    <div className="page">
      <div className="page-head">
        <Link to="/alerts" className="muted">
          {t("nav.alerts")}
        </Link>
        <span className="muted">/</span>
        <h1 className="nums">{t("alerts.one", { id: Number.isSafeInteger(id) ? id : "?" })}</h1>
        <span className="spacer" />
        <CopyButton text={() => window.location.href} label={t("event.copyLink")} small={false} />
      </div>
      <div className="panel alert-page">
        <AlertDetail id={id} desk={desk} />
      </div>
      {desk.dialog}
    </div>
  );
}
