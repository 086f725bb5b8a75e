/** What a live tail keeps: a bounded list, newest first, and a bounded heap of what waits while held. */

import type { QwEvent } from "../../api/types";

export const SHOWN_LIMIT = 2_000;
export const WAITING_LIMIT = 5_000;

/** Orders ids of events, which are numbers of up to 20 digits. */
export function compareIds(a: string, b: string): number {
  return a.length - b.length || (a < b ? -1 : a > b ? 1 : 0);
}

export class LiveBuffer {
  /** Newest first. */
  shown: readonly QwEvent[] = [];
  held = false;
  /** Events that arrived while held. May exceed what is kept of them. */
  waiting = 0;
  /** Events the server left out. */
  missed = 0;
  /** Events since the start. */
  received = 0;
  private heap: QwEvent[] = [];
  private newest = "";
  private version = 0;
  private readonly listeners = new Set<() => void>();

  /** Puts the events that were there before the stream, newest first, and gives the id to go on after. */
  seed(events: readonly QwEvent[]): string | undefined {
    this.shown = events.slice(0, SHOWN_LIMIT);
    for (const { id } of events) if (compareIds(id, this.newest) > 0) this.newest = id;
    this.changed();
    return this.newest || undefined;
  }

  /** Takes a batch, oldest first. What came before is passed over: a resumed stream may repeat. */
  accept(events: readonly QwEvent[]): void {
    const fresh = events.filter((event) => compareIds(event.id, this.newest) > 0);
    if (fresh.length === 0) return;
    for (const { id } of fresh) if (compareIds(id, this.newest) > 0) this.newest = id;
    this.received += fresh.length;
    if (this.held) {
      this.waiting += fresh.length;
      this.heap = [...this.heap, ...fresh].slice(-WAITING_LIMIT);
    } else this.show(fresh);
    this.changed();
  }

  gap(missed: number): void {
    this.missed += missed;
    this.changed();
  }

  hold(): void {
    if (this.held) return;
    this.held = true;
    this.changed();
  }

  /** Shows what waited and goes on. What did not fit counts as missed. */
  release(): void {
    if (!this.held) return;
    this.held = false;
    this.missed += this.waiting - this.heap.length;
    this.show(this.heap);
    this.heap = [];
    this.waiting = 0;
    this.changed();
  }

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  snapshot = (): number => this.version;

  private show(oldestFirst: readonly QwEvent[]): void {
    this.shown = [...oldestFirst.slice(-SHOWN_LIMIT).reverse(), ...this.shown].slice(0, SHOWN_LIMIT);
  }

  private changed(): void {
    this.version += 1;
    for (const listener of this.listeners) listener();
  }
}
