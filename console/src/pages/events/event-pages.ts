/**
 * A long list behind a cursor, of which only a window is in memory.
 *
 * Pages are asked for in order, because a cursor is known only when the page before it was read. Their
 * cursors and lengths stay (a few bytes each); of their rows at most `maxPages` pages stay, those nearest
 * to what is on the screen. Scrolling back reads a page again.
 */

import type { EventPage, QwEvent } from "../../api/types";

export type FetchPage = (cursor: string | undefined, signal: AbortSignal) => Promise<EventPage>;

/** Rows before the known end at which the next page is asked for. */
const LOOK_AHEAD = 120;

export class EventPages {
  /** Row at which each known page starts; the last entry is where the next page would. */
  private readonly starts: number[] = [0];
  private readonly cursors: (string | undefined)[] = [undefined];
  private readonly pages = new Map<number, QwEvent[]>();
  private readonly pending = new Map<number, AbortController>();
  private readonly listeners = new Set<() => void>();
  private ended = false;
  private failure: unknown = null;
  private scannedEvents = 0;
  private cut = false;
  private version = 0;

  constructor(
    private readonly fetchPage: FetchPage,
    private readonly maxPages = 24,
  ) {}

  /** Rows known so far. */
  get count(): number {
    return this.starts[this.starts.length - 1]!;
  }

  /** True until the last page was read. */
  get more(): boolean {
    return !this.ended;
  }

  get error(): unknown {
    return this.failure;
  }

  get loading(): boolean {
    return this.pending.size > 0;
  }

  /** Events the server looked at for these rows. */
  get scanned(): number {
    return this.scannedEvents;
  }

  /** True when the server stopped early somewhere, so rows may be missing. */
  get incomplete(): boolean {
    return this.cut;
  }

  /** Pages whose rows are in memory. */
  get heldPages(): number {
    return this.pages.size;
  }

  /** The row, or `undefined` while its page is not in memory. */
  rowAt(index: number): QwEvent | undefined {
    if (index < 0 || index >= this.count) return undefined;
    const page = this.pageOf(index);
    return this.pages.get(page)?.[index - this.starts[page]!];
  }

  /** Row of the event with this id among the rows in memory; -1 when it is not. */
  indexOf(id: string): number {
    for (const [page, rows] of this.pages) {
      const index = rows.findIndex((row) => row.id === id);
      if (index >= 0) return this.starts[page]! + index;
    }
    return -1;
  }

  /** Makes the rows from `first` to `last` present, and the next page when they come near the end. */
  want(first: number, last: number): void {
    if (this.failure) return;
    const known = this.starts.length - 1;
    if (known > 0 && this.count > 0) {
      const from = this.pageOf(Math.min(Math.max(first, 0), this.count - 1));
      const to = this.pageOf(Math.min(Math.max(last, 0), this.count - 1));
      for (let page = from; page <= to; page += 1) if (!this.pages.has(page)) this.load(page);
      this.evict(from, to);
    }
    if (!this.ended && last >= this.count - LOOK_AHEAD) this.load(known);
  }

  /** Tries again after an error. */
  retry(): void {
    this.failure = null;
    this.changed();
  }

  /** Abandons what is under way. */
  dispose(): void {
    for (const controller of this.pending.values()) controller.abort();
    this.pending.clear();
  }

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  snapshot = (): number => this.version;

  private pageOf(index: number): number {
    let low = 0;
    let high = this.starts.length - 2;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.starts[middle]! <= index) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  private load(page: number): void {
    if (this.pending.has(page)) return;
    const controller = new AbortController();
    this.pending.set(page, controller);
    this.fetchPage(this.cursors[page], controller.signal).then(
      (answer) => {
        this.pending.delete(page);
        if (controller.signal.aborted) return;
        this.take(page, answer);
        this.changed();
      },
      (error: unknown) => {
        this.pending.delete(page);
        if (controller.signal.aborted) return;
        this.failure = error;
        this.changed();
      },
    );
  }

  private take(page: number, answer: EventPage): void {
    const isNew = page === this.starts.length - 1;
    if (!isNew) {
      // Retention may have taken rows since: what is gone stays empty, what follows keeps its place.
      this.pages.set(page, answer.items.slice(0, this.starts[page + 1]! - this.starts[page]!));
      this.evict(page, page);
      return;
    }
    this.starts.push(this.starts[page]! + answer.items.length);
    this.pages.set(page, answer.items);
    this.scannedEvents += answer.scanned ?? 0;
    if (answer.complete === false && !answer.next_cursor) this.cut = true;
    if (answer.next_cursor) this.cursors.push(answer.next_cursor);
    else this.ended = true;
    this.evict(page, page);
  }

  private evict(from: number, to: number): void {
    if (this.pages.size <= this.maxPages) return;
    const middle = (from + to) / 2;
    const farthest = [...this.pages.keys()].sort((a, b) => Math.abs(b - middle) - Math.abs(a - middle));
    for (const page of farthest) {
      if (this.pages.size <= this.maxPages) break;
      if (page < from || page > to) this.pages.delete(page);
    }
  }

  private changed(): void {
    this.version += 1;
    for (const listener of this.listeners) listener();
  }
}
