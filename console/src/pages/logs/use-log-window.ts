/** The lines of one pane: those in the store, and those that the stream brings. */

import { useEffect, useMemo, useRef, useSyncExternalStore } from "react";
import { get } from "../../api/client";
import type { EventPage } from "../../api/types";
import type { FixedRange } from "../../lib/range";
import { pointAt } from "./line";
import { LogWindow, type FetchLines } from "./log-window";
import type { LogStream } from "./use-log-stream";

/** A stream that is not open by then is not waited for. */
const PATIENCE_MS = 2_000;

interface WindowQuestion {
  query: string;
  containers: readonly string[];
  range: FixedRange;
  at: string | null;
  live: boolean;
  /** Asks anew when it changes. */
  refresh: number;
}

export function useLogWindow({ query, containers, range, at, live, refresh }: WindowQuestion, stream: LogStream): LogWindow {
  const { start, end } = range;
  // The range of a live tail moves with the clock; its list goes on.
  const fixedEnd = live ? 0 : end;
  const window = useMemo(() => {
    void refresh;
    const fetchLines: FetchLines = (request, signal) => get<EventPage>("/api/events", { kind: "log", query, ...request }, signal);
    return new LogWindow(fetchLines, { range: { start, end }, at: at === null ? null : pointAt(at, end), live });
    // `start` may move: see below. `end` of a live tail does.
  }, [query, at, live, fixedEnd, refresh]);

  useEffect(() => {
    window.extend(start);
  }, [window, start]);
  const { ready, listen } = stream;
  const early = useRef<LogWindow>(null);
  useEffect(() => {
    if (!ready) {
      // What is stored is shown even though the stream is slow to open.
      const timer = globalThis.setTimeout(() => {
        if (!window.loaded) early.current = window;
        window.open();
      }, PATIENCE_MS);
      return () => globalThis.clearTimeout(timer);
    }
    if (early.current === window) window.restart();
    else window.open();
    early.current = null;
    return undefined;
  }, [window, ready]);
  useEffect(() => () => window.dispose(), [window]);
  const names = containers.join(",");
  useEffect(() => {
    if (!live) return;
    const wanted = new Set(names.split(",").filter(Boolean));
    return listen({
      onLines: (events) => window.accept(wanted.size === 0 ? events : events.filter(({ container }) => wanted.has(container.name))),
      onMissed: (missed) => window.skip(missed),
    });
  }, [window, live, names, listen]);
  useSyncExternalStore(window.subscribe, window.snapshot);
  return window;
}
