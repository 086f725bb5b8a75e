/** The lines of one window, newest at the bottom, of which only those on the screen exist. */

import { useVirtualizer } from "@tanstack/react-virtual";
import { useCallback, useEffect, useImperativeHandle, useLayoutEffect, useRef, useState, type ReactNode, type Ref } from "react";
import type { QwEvent } from "../../api/types";
import { isFree } from "../../app/shortcuts";
import { Icon } from "../../components/icon";
import { formatCompact, formatCount } from "../../lib/format";
import { timeKey } from "./line";
import { LogLine, type LogLook } from "./log-line";
import { isSkipped, type LogWindow, type Skipped } from "./log-window";

const LINE_HEIGHT = 18;
const ROW_PADDING = 2;
/** Above the first line and below the last one: what stands there says how it goes on. */
const EDGE = 40;
const LIVE_EDGE = 6;
/** Lines before an end of the window at which more are asked for. */
const LOOK_AHEAD = 40;
/** A list that is no farther from its end follows it. */
const AT_END = 12;
/** A scroll so soon after a hand moved is that hand's. */
const BY_HAND_MS = 1_200;
/** A list stands where it begins after so long. */
const PLACED_MS = 150;
/** Sizes remembered of lines that are long gone. */
const MOST_SIZES = 40_000;

export interface LogListHandle {
  follow: () => void;
}

interface LogListProps {
  window: LogWindow;
  look: LogLook;
  wrap: boolean;
  /** The text stands below what is known of it. */
  narrow: boolean;
  label: string;
  /** Id of the line that is marked. */
  line: string | null;
  /** Keys of the page are meant for this list. */
  current: boolean;
  onCurrent: () => void;
  detail: (event: QwEvent) => ReactNode;
  /** Shows what is around this time. */
  onAt: (time: string) => void;
  /** What stands above the first line of all, and below the last. */
  head: ReactNode;
  end: ReactNode;
  handle: Ref<LogListHandle>;
}

export function LogList(props: LogListProps) {
  const { window: lines, look, wrap, narrow, line, current, onCurrent, detail, handle } = props;
  const { t, language } = look;
  const { rows } = lines;
  const box = useRef<HTMLDivElement>(null);
  const byHand = useRef(-Infinity);
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  // Before it stands where it begins, it is near no end.
  const [placed, setPlaced] = useState(false);
  const [active, setActive] = useState<string | null>(null);

  const virtualizer = useVirtualizer({
    count: rows.length,
    getScrollElement: () => box.current,
    getItemKey: useCallback((index: number) => rows[index]!.id, [rows]),
    estimateSize: (index) => heightOf(rows[index]!, narrow),
    overscan: 12,
    paddingStart: EDGE,
    paddingEnd: lines.live ? LIVE_EDGE : EDGE,
    anchorTo: "end",
    followOnAppend: lines.following,
    scrollEndThreshold: AT_END,
  });

  // --- where it stands
  const { loaded, following } = lines;
  const version = lines.snapshot();
  const toLine = useCallback(
    (id: string, align: "auto" | "start") => {
      const index = lines.rows.findIndex((row) => row.id === id);
      if (index >= 0) virtualizer.scrollToIndex(index, { align });
    },
    [lines, virtualizer],
  );
  useLayoutEffect(() => {
    if (!loaded) return;
    const { at } = lines;
    if (at === null) virtualizer.scrollToEnd();
    else {
      const key = timeKey(at);
      const marked = line === null ? -1 : lines.rows.findIndex((row) => row.id === line);
      const first = marked >= 0 ? marked : lines.rows.findIndex((row) => !isSkipped(row) && timeKey(row.time) >= key);
      virtualizer.scrollToIndex(first >= 0 ? first : lines.rows.length - 1, { align: "center" });
    }
    // Once for each window: later it is moved by hand.
    const timer = window.setTimeout(() => setPlaced(true), PLACED_MS);
    return () => window.clearTimeout(timer);
  }, [lines, loaded]);
  useLayoutEffect(() => {
    if (loaded && following) virtualizer.scrollToEnd();
  }, [version, loaded, following, wrap, narrow, virtualizer]);
  useEffect(() => {
    if (virtualizer.itemSizeCache.size > MOST_SIZES && following) virtualizer.measure();
  }, [version, following, virtualizer]);
  // What was measured wrapped is of another height unwrapped.
  const wrapped = useRef(wrap);
  useLayoutEffect(() => {
    if (wrapped.current !== wrap) virtualizer.measure();
    wrapped.current = wrap;
  }, [wrap, virtualizer]);

  const items = virtualizer.getVirtualItems();
  const first = items[0]?.index ?? 0;
  const last = items[items.length - 1]?.index ?? 0;
  useEffect(() => {
    if (!loaded || !placed) return;
    if (first < LOOK_AHEAD) lines.older();
    if (!lines.live && last >= rows.length - LOOK_AHEAD) lines.newer();
  }, [lines, loaded, placed, first, last, rows.length, version]);

  useEffect(() => {
    const element = box.current!;
    const hand = () => (byHand.current = performance.now());
    const onScroll = () => {
      if (performance.now() - byHand.current > BY_HAND_MS) return;
      const distance = element.scrollHeight - element.scrollTop - element.clientHeight;
      if (distance <= AT_END) {
        if (!lines.hasNewer) lines.follow();
        else lines.newer();
      } else if (distance > 2 * AT_END) lines.hold();
    };
    const inputs = ["wheel", "touchmove", "pointerdown", "pointermove", "keydown"] as const;
    for (const input of inputs) element.addEventListener(input, hand, { passive: true });
    element.addEventListener("scroll", onScroll, { passive: true });
    return () => {
      for (const input of inputs) element.removeEventListener(input, hand);
      element.removeEventListener("scroll", onScroll);
    };
  }, [lines]);

  // --- what can be done
  const follow = useCallback(() => {
    lines.follow();
    virtualizer.scrollToEnd();
  }, [lines, virtualizer]);
  useImperativeHandle(handle, () => ({ follow }), [follow]);
  const onToggle = useCallback(
    (id: string) => {
      // Who reads a line does not want it to run away.
      lines.hold();
      setActive(id);
      setOpen((before) => {
        const next = new Set(before);
        if (!next.delete(id)) next.add(id);
        return next;
      });
      // Once it has its height.
      requestAnimationFrame(() =>
        requestAnimationFrame(() => {
          const height = box.current?.querySelector(`[data-line="${id}"]`)?.clientHeight ?? 0;
          toLine(id, height > (box.current?.clientHeight ?? 0) ? "start" : "auto");
        }),
      );
    },
    [lines, toLine],
  );
  useEffect(() => {
    if (!current) return;
    const onKey = (event: KeyboardEvent) => {
      if (!isFree(event)) return;
      const here = lines.rows.findIndex((row) => row.id === active);
      if (event.key === "j" || event.key === "k") {
        const from = here < 0 ? (virtualizer.range?.[event.key === "j" ? "startIndex" : "endIndex"] ?? 0) : here + (event.key === "j" ? 1 : -1);
        const row = lines.rows[Math.min(Math.max(from, 0), lines.rows.length - 1)];
        if (!row) return;
        lines.hold();
        setActive(row.id);
        toLine(row.id, "auto");
      } else if (event.key === "Enter" && here >= 0 && !(event.target instanceof HTMLButtonElement) && !(event.target instanceof HTMLAnchorElement)) onToggle(active!);
      else if (event.key === "Escape" && open.size > 0) setOpen(new Set());
      else return;
      event.preventDefault();
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, [current, lines, active, open, onToggle, toLine, virtualizer]);

  const classes = ["log-box", wrap && "log-wrap"].filter(Boolean).join(" ");
  return (
    <div className="log-place">
      <div className={classes} ref={box} tabIndex={0} role="region" aria-label={props.label} aria-busy={lines.loading} onPointerDown={onCurrent} onFocus={onCurrent}>
        <div className="log-rows" role="list" style={{ height: virtualizer.getTotalSize() }}>
          {items.map((item) => {
            const row = rows[item.index];
            if (!row) return null;
            return isSkipped(row) ? (
              <SkippedLines key={item.key} row={row} look={look} index={item.index} top={item.start} measure={virtualizer.measureElement} onAt={props.onAt} />
            ) : (
              <LogLine
                key={item.key}
                event={row}
                look={look}
                top={item.start}
                index={item.index}
                measure={virtualizer.measureElement}
                open={open.has(row.id)}
                active={row.id === active}
                marked={row.id === line}
                onToggle={onToggle}
                detail={open.has(row.id) ? detail(row) : undefined}
              />
            );
          })}
        </div>
        <div className="log-edge log-head">{lines.hasOlder ? <span className="muted">{t("logs.readingOlder")}</span> : props.head}</div>
        {!lines.live && <div className="log-edge log-end">{lines.hasNewer ? <span className="muted">{t("logs.readingNewer")}</span> : props.end}</div>}
      </div>
      {lines.live && !following && loaded && (
        <button type="button" className="log-waiting nums" onClick={follow}>
          <Icon name="follow" size={14} />
          {lines.waiting > 0
            ? t("logs.waiting", { count: lines.waiting, shown: lines.waiting < 10_000 ? formatCount(lines.waiting, language) : formatCompact(lines.waiting, language) })
            : t("logs.paused")}
        </button>
      )}
    </div>
  );
}

/** About as tall as `row` is; what is drawn is measured. */
function heightOf(row: QwEvent | Skipped, narrow: boolean): number {
  let count = narrow ? 2 : 1;
  if (!isSkipped(row)) for (let place = row.output.indexOf("\n"); place >= 0 && count < 24; place = row.output.indexOf("\n", place + 1)) count += 1;
  return count * LINE_HEIGHT + ROW_PADDING;
}

interface SkippedProps {
  row: Skipped;
  look: LogLook;
  index: number;
  top: number;
  measure: Ref<HTMLDivElement>;
  onAt: (time: string) => void;
}

function SkippedLines({ row, look, index, top, measure, onAt }: SkippedProps) {
  const { t, language } = look;
  return (
    <div className="log-row log-skipped" role="listitem" ref={measure} data-index={index} style={{ transform: `translateY(${top}px)` }}>
      <div className="log-line">
        <Icon name="warning" size={13} />
        <span className="log-text">{t("logs.skipped", { count: row.skipped, shown: formatCount(row.skipped, language) })}</span>
        <button type="button" className="btn btn-small" onClick={() => onAt(row.after)}>
          {t("logs.showThem")}
        </button>
      </div>
    </div>
  );
}
