/** One stream for all panes of the page: a browser opens only few connections to one server. */

import { useEffect, useMemo, useState } from "react";
import { get } from "../../api/client";
import { EventStream, type StreamState } from "../../api/stream";
import type { QwEvent, Session } from "../../api/types";

export interface LogListener {
  onLines(events: readonly QwEvent[]): void;
  /** The server left lines out. */
  onMissed(missed: number): void;
}

export interface LogStream {
  state: StreamState;
  retryInMs: number | undefined;
  /** What is read now is not overtaken: the stream is open, or has failed to open. */
  ready: boolean;
  reconnect: () => void;
  /** Gives what ends it. */
  listen: (listener: LogListener) => () => void;
}

interface Connection {
  query: string;
  state: StreamState;
  retryInMs?: number;
  settled: boolean;
}

/**
 * Lines that `query` selects, while `enabled`. A query that differs from the one before only in its containers goes on
 * where that stopped; `filter` tells what else there is in it.
 */
export function useLogStream(enabled: boolean, query: string, filter: string): LogStream {
  const [connection, setConnection] = useState<Connection | null>(null);
  const hub = useMemo(() => ({ listeners: new Set<LogListener>(), filter: "", stream: null as EventStream | null, position: undefined as string | undefined }), []);

  useEffect(() => {
    if (!enabled) {
      setConnection(null);
      hub.position = undefined;
      return;
    }
    const lastEventId = hub.filter === filter ? hub.position : undefined;
    hub.filter = filter;
    let closed = false;
    hub.stream = new EventStream(
      { query, types: "log", lastEventId },
      {
        onEvents: (events) => hub.listeners.forEach((listener) => listener.onLines(events)),
        onGap: (missed) => hub.listeners.forEach((listener) => listener.onMissed(missed)),
        onState: (state, retryInMs) => {
          if (closed) return;
          setConnection((current) => ({ query, state, retryInMs, settled: state !== "connecting" || (current?.query === query && current.settled) }));
          // An EventSource does not say why it failed: a session that has ended shows here, and leads to sign-in.
          if (state === "waiting") void get<Session>("/api/session").catch(() => undefined);
        },
      },
    );
    return () => {
      closed = true;
      hub.position = hub.stream?.position;
      hub.stream?.close();
      hub.stream = null;
    };
  }, [enabled, query, filter, hub]);

  const listen = useMemo(
    () => (listener: LogListener) => {
      hub.listeners.add(listener);
      return () => hub.listeners.delete(listener);
    },
    [hub],
  );
  const current = enabled && connection?.query === query ? connection : null;
  return {
    state: current?.state ?? "connecting",
    retryInMs: current?.retryInMs,
    ready: !enabled || (current?.settled ?? false),
    reconnect: () => hub.stream?.reconnectNow(),
    listen,
  };
}
