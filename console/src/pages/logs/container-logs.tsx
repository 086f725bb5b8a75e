/** The last lines of one container, on its page. */

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useLayoutEffect, useMemo, useRef } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { get } from "../../api/client";
import type { EventPage } from "../../api/types";
import { useTheme } from "../../app/theme";
import { Icon } from "../../components/icon";
import { Awaited } from "../../components/states";
import { fieldQuery, logsLink } from "../../lib/links";
import { EmptyLogs } from "./empty-logs";
import { LogLine, type LogLook } from "./log-line";
import "./logs.css";

const LAST = 100;
const REFRESH_MS = 5_000;

export function ContainerLogs({ name }: { name: string }) {
  const { t, i18n } = useTranslation();
  const theme = useTheme();
  const { data, error, refetch } = useQuery({
    queryKey: ["container-logs", name],
    queryFn: ({ signal }) => get<EventPage>("/api/events", { kind: "log", query: fieldQuery("container.name", name), start: "now-7d", end: "now", limit: LAST }, signal),
    refetchInterval: REFRESH_MS,
    placeholderData: keepPreviousData,
  });
  const look = useMemo<LogLook>(() => ({ t, language: i18n.language, theme, times: "date", named: false, words: [] }), [t, i18n.language, theme]);
  // The newest line is what one comes for; who has scrolled up stays there.
  const box = useRef<HTMLDivElement>(null);
  const bottom = useRef(0);
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    if (element.scrollTop >= bottom.current - 4) element.scrollTop = element.scrollHeight;
    bottom.current = element.scrollTop;
  }, [data]);
  return (
    <section className="panel" aria-label={t("nav.logs")}>
      <div className="panel-head">
        <h2>{t("logs.lastLines")}</h2>
        <span className="spacer" />
        <Link className="btn btn-small" to={logsLink({ containers: [name] })}>
          <Icon name="logs" size={14} />
          {t("logs.open")}
        </Link>
      </div>
      {!data && <Awaited error={error} rows={8} onRetry={() => void refetch()} />}
      {data?.items.length === 0 && <EmptyLogs filtered={false} live onClear={() => undefined} onLookBack={null} />}
      {data && data.items.length > 0 && (
        <div className="log-excerpt log-wrap" ref={box} role="list" tabIndex={0} aria-label={t("logs.lastLines")}>
          {data.items.toReversed().map((event) => (
            <LogLine key={event.id} event={event} look={look} />
          ))}
        </div>
      )}
    </section>
  );
}
