/** A live tail: the newest stored events, then the stream after them. */

import { useEffect, useState, useSyncExternalStore } from "react";
import { get } from "../../api/client";
import { EventStream, type StreamState } from "../../api/stream";
import type { EventPage, Session } from "../../api/types";
import { LiveBuffer } from "./live-buffer";

const SEED_ROWS = 200;

export interface Live {
  buffer: LiveBuffer;
  state: StreamState;
  retryInMs: number | undefined;
  reconnect: () => void;
}

/** `null` while `enabled` is false. */
export function useLive(enabled: boolean, query: string): Live | null {
  const [live, setLive] = useState<{ buffer: LiveBuffer; stream: EventStream | null; state: StreamState; retryInMs?: number } | null>(null);

  useEffect(() => {
    if (!enabled) {
      setLive(null);
      return;
    }
    const buffer = new LiveBuffer();
    const controller = new AbortController();
    let stream: EventStream | null = null;
    setLive({ buffer, stream, state: "connecting" });
    const start = (lastEventId: string | undefined) => {
      stream = new EventStream(
        { query, lastEventId },
        {
          onEvents: (events) => buffer.accept(events),
          onGap: (missed) => buffer.gap(missed),
          onState: (state, retryInMs) => {
            setLive((current) => (current?.buffer === buffer ? { ...current, stream, state, retryInMs } : current));
            // An EventSource does not say why it failed: a session that has ended shows here, and leads to sign-in.
            if (state === "waiting") void get<Session>("/api/session").catch(() => undefined);
          },
        },
      );
    };
    get<EventPage>("/api/events", { query, start: "now-24h", end: "now", limit: SEED_ROWS }, controller.signal).then(
      (page) => start(buffer.seed(page.items)),
      () => {
        if (!controller.signal.aborted) start(undefined);
      },
    );
    return () => {
      controller.abort();
      stream?.close();
    };
  }, [enabled, query]);

  const buffer = live?.buffer;
  useSyncExternalStore(buffer?.subscribe ?? noSubscription, buffer?.snapshot ?? zero);
  if (!live) return null;
  return { buffer: live.buffer, state: live.state, retryInMs: live.retryInMs, reconnect: () => live.stream?.reconnectNow() };
}

const noSubscription = () => () => undefined;
const zero = () => 0;
