/** Alerts that the console holds already, replaced by what has become of them; and the stream that tells it. */

import type { InfiniteData, QueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { EventStream, type StreamState } from "../../api/stream";
import type { Alert, AlertDetail, AlertPage } from "../../api/types";

/** Puts `alerts` in the place of what every list and page knows of them. Their order stays. */
export function replaceAlerts(client: QueryClient, alerts: readonly Alert[]): void {
  const newer = new Map(alerts.map((alert) => [alert.id, alert]));
  const inPage = (page: AlertPage): AlertPage =>
    page.items.some(({ id }) => newer.has(id)) ? { ...page, items: page.items.map((alert) => newer.get(alert.id) ?? alert) } : page;
  client.setQueriesData<InfiniteData<AlertPage>>({ queryKey: ["alerts"] }, (data) => data && { ...data, pages: data.pages.map(inPage) });
  client.setQueriesData<AlertPage>({ queryKey: ["alerts-newest"] }, (data) => data && inPage(data));
  for (const alert of alerts) {
    client.setQueryData<AlertDetail>(["alert", alert.id], (detail) => detail && { ...detail, ...alert });
  }
}

/** `data` with the newest alerts before all others. */
export function withOnTop(data: InfiniteData<AlertPage>, news: readonly Alert[]): InfiniteData<AlertPage> {
  const [first, ...rest] = data.pages;
  if (!first) return data;
  const newest = [...news].sort((a, b) => Date.parse(b.last_seen) - Date.parse(a.last_seen) || b.id - a.id);
  return { ...data, pages: [{ ...first, items: [...newest, ...first.items] }, ...rest] };
}

/** Asks anew for what only counts. */
export function recount(client: QueryClient): void {
  for (const key of ["alerts-counts", "alerts-new"]) void client.invalidateQueries({ queryKey: [key] });
}

/** Hears of alerts as they are raised, grow and are triaged, as long as the page is open. */
export function useAlertStream(onAlerts: (alerts: Alert[]) => void, onReturn: () => void): StreamState {
  const [state, setState] = useState<StreamState>("connecting");
  const handlers = useRef({ onAlerts, onReturn });
  useEffect(() => {
    handlers.current = { onAlerts, onReturn };
  });
  useEffect(() => {
    let lost = false;
    const stream = new EventStream(
      { types: "alert" },
      {
        onAlerts: (alerts) => handlers.current.onAlerts(alerts),
        onState: (next) => {
          setState(next);
          if (next === "waiting") lost = true;
          if (next === "open" && lost) {
            lost = false;
            handlers.current.onReturn();
          }
        },
      },
    );
    return () => stream.close();
  }, []);
  return state;
}
