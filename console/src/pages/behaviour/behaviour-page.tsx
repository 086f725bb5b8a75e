/** The behaviour of one workload, with the whole window to itself. */

import { useTranslation } from "react-i18next";
import { Link, Navigate, useParams } from "react-router";
import { BehaviourView } from "./behaviour-view";

export function BehaviourPage() {
  const { t } = useTranslation();
  const { id = "" } = useParams();
  return (
    <div className="page page-full">
      <div className="page-head">
        <Link to="/profiles" className="muted">
          {t("nav.profiles")}
        </Link>
        <span className="muted">/</span>
        <h1 className="container-title">{id}</h1>
        <span className="muted">{t("nav.behaviour")}</span>
      </div>
      <BehaviourView key={id} id={id} full />
    </div>
  );
}

export function BehaviourHome() {
  return <Navigate to="/profiles" replace />;
}
