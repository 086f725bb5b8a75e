/** Times on the page: exact, and how long ago, ticking. */

import { useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { serverNow } from "../api/client";
import { formatDateTime, formatRelative, formatZone } from "../lib/format";

/** The server's clock, renewed every `everyMs`. */
export function useNow(everyMs = 1_000): number {
  const [now, setNow] = useState(serverNow);
  useEffect(() => {
    const timer = window.setInterval(() => setNow(serverNow()), everyMs);
    return () => window.clearInterval(timer);
  }, [everyMs]);
  return now;
}

/** `time` in full, in the browser's zone and in UTC. */
export function fullTime(time: string): string {
  const date = new Date(time);
  return `${formatDateTime(date, true)} ${formatZone(date)} · ${time}`;
}

/** "12s ago", with the exact time behind it; `never` when there is none. */
export function RelativeTime({ time, never }: { time: string | null | undefined; never?: string }) {
  const { i18n, t } = useTranslation();
  const now = useNow();
  if (!time) return <span className="muted">{never ?? t("common.never")}</span>;
  return (
    <time dateTime={time} title={fullTime(time)} className="nums">
      {formatRelative(Date.parse(time), now, i18n.language)}
    </time>
  );
}

export function ExactTime({ time }: { time: string | null | undefined }) {
  if (!time) return <span className="muted">–</span>;
  return (
    <time dateTime={time} title={fullTime(time)} className="nums">
      {formatDateTime(new Date(time))}
    </time>
  );
}
