/**
 * A stretch of the log that is in memory: oldest line first, without holes, bounded.
 *
 * It grows at its beginning while somebody scrolls up, and at its end by lines as they come, or by pages where
 * nothing is live. What is too much goes at the other end, and is read again when somebody comes back to it.
 */

import type { EventPage, QwEvent } from "../../api/types";
import type { FixedRange } from "../../lib/range";
import { compareIds } from "../events/live-buffer";
import { justAfter, timeKey } from "./line";

export const WINDOW_ROWS = 4_000;
/** Lines that may come while somebody reads further up; more are not kept, but read anew when they are wanted. */
export const WAITING_ROWS = 8_000;
const PAGE_ROWS = 200;
/** Lines from which an earlier time is looked for among those that came before. */
const SORTED_TAIL = 2_000;

export interface PageRequest {
  order: "asc" | "desc";
  start: string;
  end: string;
  limit: number;
  cursor: string | undefined;
}

export type FetchLines = (request: PageRequest, signal: AbortSignal) => Promise<EventPage>;

/** A place where the stream left lines out. They are stored. */
export interface Skipped {
  id: string;
  skipped: number;
  after: string;
}

export type LogRow = QwEvent | Skipped;

export const isSkipped = (row: LogRow): row is Skipped => "skipped" in row;

type Side = "older" | "newer";

interface Pager {
  /** The end that moves: where the window ends on that side. */
  from: string;
  cursor: string | undefined;
  ended: boolean;
  loading: AbortController | null;
}

export interface WindowOptions {
  range: FixedRange;
  /** Point in time around which it begins; the end of the range when absent. */
  at: string | null;
  /** New lines are given to [`LogWindow.accept`]. */
  live: boolean;
}

let windows = 0;

export class LogWindow {
  /** Tells it from others. */
  readonly key = (windows += 1);
  rows: readonly LogRow[] = [];
  /** New lines are shown as they come. */
  following: boolean;
  /** Lines that came since somebody scrolled up. */
  waiting = 0;
  /** Lines from the stream since it began. */
  received = 0;
  loaded = false;
  /** The server stopped a search early: there may be more. */
  incomplete = false;
  error: unknown = null;
  private pagers: Record<Side, Pager>;
  private start: number;
  private readonly ids = new Set<string>();
  /** Came before the first page did. */
  private early: QwEvent[] = [];
  /** Lines at the end were not kept. */
  private overflowed = false;
  private skips = 0;
  private version = 0;
  private readonly listeners = new Set<() => void>();

  constructor(
    private readonly fetchLines: FetchLines,
    private readonly options: WindowOptions,
  ) {
    this.following = options.live;
    this.start = options.range.start;
    this.pagers = this.newPagers();
  }

  get hasOlder(): boolean {
    return !this.pagers.older.ended;
  }

  get hasNewer(): boolean {
    return !this.pagers.newer.ended || this.overflowed;
  }

  get loading(): boolean {
    return this.pagers.older.loading !== null || this.pagers.newer.loading !== null;
  }

  /** Point in time around which it begins. */
  get at(): string | null {
    return this.options.at;
  }

  get live(): boolean {
    return this.options.live;
  }

  /** Reads what is shown first; nothing when that was done. */
  open(): void {
    if (this.loaded || this.loading) return;
    this.load("older");
    if (this.options.at !== null) this.load("newer");
  }

  older(): void {
    if (this.loaded && !this.error) this.load("older");
  }

  newer(): void {
    if (!this.loaded || this.error) return;
    if (this.overflowed) this.toEnd();
    else this.load("newer");
  }

  retry(): void {
    this.error = null;
    if (!this.loaded) this.open();
    this.changed();
  }

  /** Lets the range begin earlier: scrolling up goes on there. False when it would begin later. */
  extend(start: number): boolean {
    if (start > this.start) return false;
    if (start === this.start) return true;
    this.start = start;
    const { older } = this.pagers;
    older.ended = false;
    older.cursor = undefined;
    const first = this.firstLine();
    if (first) older.from = justAfter(first.time);
    this.changed();
    return true;
  }

  /** Lines of the stream, in the order of their arrival. */
  accept(events: readonly QwEvent[]): void {
    if (!this.options.live) return;
    if (!this.loaded) {
      this.early = [...this.early, ...events].slice(-WAITING_ROWS);
      return;
    }
    const fresh = events.filter((event) => !this.ids.has(event.id) && !this.isBeforeWindow(event));
    if (fresh.length === 0) return;
    this.received += fresh.length;
    if (!this.following) this.waiting += fresh.length;
    if (this.overflowed || (!this.following && this.rows.length + fresh.length > WINDOW_ROWS + WAITING_ROWS)) {
      this.overflowed = true;
    } else if (this.pagers.newer.ended) {
      this.append(fresh);
      if (this.following) this.trim("older");
    }
    this.changed();
  }

  /** The stream left out `missed` lines here. */
  skip(missed: number): void {
    if (!this.options.live || !this.loaded || this.overflowed || !this.pagers.newer.ended) return;
    this.skips += 1;
    const last = this.lastLine();
    this.rows = [...this.rows, { id: `skipped-${this.skips}`, skipped: missed, after: last?.time ?? new Date(this.options.range.start).toISOString() }];
    this.changed();
  }

  /** Somebody reads further up: what comes waits at the end. */
  hold(): void {
    if (!this.following) return;
    this.following = false;
    this.waiting = 0;
    this.changed();
  }

  /** Shows new lines as they come, from now on. */
  follow(): void {
    if (!this.options.live || (this.following && !this.overflowed)) return;
    this.following = true;
    this.waiting = 0;
    if (this.hasNewer) this.toEnd();
    else this.trim("older");
    this.changed();
  }

  /** Lines may have come that nobody brought: reads the end anew, once somebody looks at it. */
  restart(): void {
    if (this.following) this.toEnd();
    else this.overflowed = true;
  }

  dispose(): void {
    for (const pager of Object.values(this.pagers)) {
      pager.loading?.abort();
      pager.loading = null;
    }
  }

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  snapshot = (): number => this.version;

  /** Begins again at the end of the log. */
  private toEnd(): void {
    this.dispose();
    this.rows = [];
    this.ids.clear();
    this.early = [];
    this.overflowed = false;
    this.loaded = false;
    this.waiting = 0;
    this.following = this.options.live;
    this.pagers = this.newPagers();
    this.open();
    this.changed();
  }

  private newPagers(): Record<Side, Pager> {
    const { at, range, live } = this.options;
    // Clocks differ a little: a live tail has no end.
    const end = at ?? new Date(live ? range.end + 3_600_000 : range.end).toISOString();
    const pager = (ended: boolean): Pager => ({ from: end, cursor: undefined, ended, loading: null });
    return { older: pager(false), newer: pager(at === null) };
  }

  private load(side: Side): void {
    const pager = this.pagers[side];
    if (pager.ended || pager.loading) return;
    const controller = new AbortController();
    pager.loading = controller;
    const start = new Date(this.start).toISOString();
    const end = new Date(this.options.range.end).toISOString();
    this.error = null;
    const request: PageRequest =
      side === "older"
        ? { order: "desc", start, end: pager.from, limit: PAGE_ROWS, cursor: pager.cursor }
        : { order: "asc", start: pager.from, end, limit: PAGE_ROWS, cursor: pager.cursor };
    this.changed();
    this.fetchLines(request, controller.signal).then(
      (page) => {
        if (controller.signal.aborted) return;
        pager.loading = null;
        this.take(side, pager, page);
        this.changed();
      },
      (error: unknown) => {
        if (controller.signal.aborted) return;
        pager.loading = null;
        this.error = error;
        this.changed();
      },
    );
  }

  private take(side: Side, pager: Pager, page: EventPage): void {
    pager.cursor = page.next_cursor ?? undefined;
    pager.ended = !page.next_cursor;
    if (page.complete === false && !page.next_cursor) this.incomplete = true;
    const fresh = page.items.filter(({ id }) => !this.ids.has(id));
    for (const { id } of fresh) this.ids.add(id);
    if (side === "older") {
      this.rows = [...fresh.reverse(), ...this.rows];
      // A live end that is cut off here is read again on the way back.
      if (this.loaded && !this.following) this.trim("newer");
    } else {
      this.rows = [...this.rows, ...fresh];
      if (this.loaded) this.trim("older");
    }
    // Around a point in time both sides belong to what is shown first.
    if (this.loaded || Object.values(this.pagers).some(({ loading }) => loading)) return;
    this.loaded = true;
    const early = this.early;
    this.early = [];
    const rest = early.filter(({ id }) => !this.ids.has(id));
    if (rest.length > 0) this.append(rest);
  }

  /** Puts lines at their places near the end. */
  private append(fresh: readonly QwEvent[]): void {
    for (const { id } of fresh) this.ids.add(id);
    const sorted = inOrder(fresh) ? fresh : [...fresh].sort(byTime);
    const last = this.rows[this.rows.length - 1];
    if (!last || isSkipped(last) || byTime(last, sorted[0]!) <= 0) {
      this.rows = [...this.rows, ...sorted];
      return;
    }
    // Some containers are read a moment later than others.
    let from = this.rows.length;
    const least = Math.max(0, this.rows.length - SORTED_TAIL);
    for (; from > least; from -= 1) {
      const row = this.rows[from - 1]!;
      if (isSkipped(row) || byTime(row, sorted[0]!) <= 0) break;
    }
    const tail = [...(this.rows.slice(from) as QwEvent[]), ...sorted].sort(byTime);
    this.rows = [...this.rows.slice(0, from), ...tail];
  }

  private trim(side: Side): void {
    const surplus = this.rows.length - WINDOW_ROWS;
    // Not at every line: what is cut off is cut off in pages.
    if (surplus < (side === "older" && this.following ? 1 : PAGE_ROWS)) return;
    const gone = side === "older" ? this.rows.slice(0, surplus) : this.rows.slice(-surplus);
    this.rows = side === "older" ? this.rows.slice(surplus) : this.rows.slice(0, -surplus);
    for (const { id } of gone) this.ids.delete(id);
    const pager = this.pagers[side];
    pager.loading?.abort();
    const edge = side === "older" ? this.firstLine() : this.lastLine();
    const from = edge ? (side === "older" ? justAfter(edge.time) : edge.time) : pager.from;
    this.pagers[side] = { from, cursor: undefined, ended: false, loading: null };
    if (side === "newer" && this.options.live) this.overflowed = true;
  }

  private firstLine(): QwEvent | undefined {
    return this.rows.find((row): row is QwEvent => !isSkipped(row));
  }

  private lastLine(): QwEvent | undefined {
    return this.rows.findLast((row): row is QwEvent => !isSkipped(row));
  }

  /** True for a line whose place was cut off, or not read yet. */
  private isBeforeWindow(event: QwEvent): boolean {
    const first = this.firstLine();
    return this.hasOlder && first !== undefined && byTime(event, first) < 0;
  }

  private changed(): void {
    this.version += 1;
    for (const listener of this.listeners) listener();
  }
}

function byTime(a: QwEvent, b: QwEvent): number {
  const [first, second] = [timeKey(a.time), timeKey(b.time)];
  return first < second ? -1 : first > second ? 1 : compareIds(a.id, b.id);
}

function inOrder(events: readonly QwEvent[]): boolean {
  return events.every((event, index) => index === 0 || byTime(events[index - 1]!, event) <= 0);
}
