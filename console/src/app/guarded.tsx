/** A page that only some may see; the others are told so, plainly. */

import type { ComponentType } from "react";
import { useTranslation } from "react-i18next";
import { Link, Navigate, useLocation } from "react-router";
import type { Permission } from "../api/types";
import { useCan, useCanWhole, useSession } from "./session";

/** `Page` for who has `permission`, and sees everybody's data when it speaks of the `whole`. */
export function guarded(permission: Permission | undefined, Page: ComponentType, whole = false): ComponentType {
  if (!permission) return Page;
  return function Guarded() {
    const can = useCan(permission);
    const canWhole = useCanWhole(permission);
    const allowed = whole ? canWhole : can;
    const seesEvents = useCan("view_events");
    const { pathname } = useLocation();
    if (allowed) return <Page />;
    // Who reads logs only has its first page there.
    if (pathname === "/" && seesEvents) return <Navigate to="/events" replace />;
    return <Forbidden />;
  };
}

function Forbidden() {
  const { t } = useTranslation();
  const session = useSession((state) => state.session);
  return (
    <div className="page">
      <div className="panel">
        <div className="empty">
          <span className="forbidden-code nums">403</span>
          <h1 className="empty-title">{t("forbidden.title")}</h1>
          <p className="empty-text">{t("forbidden.text", { role: t(`role.${session?.role}`) })}</p>
          <Link className="btn" to="/">
            {t("notFound.home")}
          </Link>
        </div>
      </div>
    </div>
  );
}
