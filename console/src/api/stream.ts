/**
 * The live stream: one `EventSource` at a time, watched for silence, resumed where it stopped.
 *
 * The server sends a heartbeat every 30 s. After 90 s without any message the connection is dead; it is
 * opened again after 1, 2, 4 … 30 s, with `last_event_id` so that nothing between is lost. What the server
 * had to leave out arrives as a gap with its count.
 */

import type { Alert, QwEvent, StreamMessage } from "./types";
import { urlWith } from "./client";

export const SILENCE_LIMIT_MS = 90_000;
export const FIRST_DELAY_MS = 1_000;
export const LAST_DELAY_MS = 30_000;

export type StreamState = "connecting" | "open" | "waiting" | "closed";

export interface StreamHandlers {
  onEvents?(events: QwEvent[]): void;
  /** Alerts as they are now, after they were raised, grew or were triaged. */
  onAlerts?(alerts: Alert[]): void;
  /** `missed` events were left out, because this client was too slow or the store no longer has them. */
  onGap?(missed: number): void;
  /** `retryInMs` is set while `waiting`. */
  onState?(state: StreamState, retryInMs?: number): void;
}

export interface StreamOptions {
  /** Id or name of one container; all containers when absent. */
  container?: string;
  query?: string;
  priority?: string;
  /** What it brings beside heartbeats; everything when absent. */
  types?: "alert" | "event" | "log";
  /** Start after this event. */
  lastEventId?: string;
}

/** What the stream needs from its surroundings; tests hand in their own. */
export interface StreamWorld {
  open(url: string): EventSource;
  setTimeout(run: () => void, ms: number): unknown;
  clearTimeout(timer: unknown): void;
}

const browser: StreamWorld = {
  open: (url) => new EventSource(url),
  setTimeout: (run, ms) => window.setTimeout(run, ms),
  clearTimeout: (timer) => window.clearTimeout(timer as number),
};

/** Delay before connection attempt number `attempt` (0 is the first repetition), in milliseconds. */
export function reconnectDelay(attempt: number): number {
  return Math.min(FIRST_DELAY_MS * 2 ** Math.min(attempt, 16), LAST_DELAY_MS);
}

/** A stream that keeps itself alive until [`EventStream.close`]. */
export class EventStream {
  private source: EventSource | null = null;
  private silence: unknown = null;
  private retry: unknown = null;
  private attempt = 0;
  private lastEventId: string | undefined;
  private closed = false;

  constructor(
    private readonly options: StreamOptions,
    private readonly handlers: StreamHandlers,
    private readonly world: StreamWorld = browser,
  ) {
    this.lastEventId = options.lastEventId;
    this.connect();
  }

  /** The newest thing it knows of: where another stream can go on. */
  get position(): string | undefined {
    return this.lastEventId;
  }

  /** Ends the stream for good. */
  close(): void {
    this.closed = true;
    this.disconnect();
    if (this.retry !== null) this.world.clearTimeout(this.retry);
    this.retry = null;
    this.handlers.onState?.("closed");
  }

  /** Connects at once instead of waiting for the next attempt. */
  reconnectNow(): void {
    if (this.closed || this.retry === null) return;
    this.world.clearTimeout(this.retry);
    this.retry = null;
    this.connect();
  }

  private connect(): void {
    const path = this.options.container
      ? `/api/stream/${encodeURIComponent(this.options.container)}`
      : "/api/stream";
    this.handlers.onState?.("connecting");
    const source = this.world.open(
      urlWith(path, {
        query: this.options.query,
        priority: this.options.priority,
        types: this.options.types,
        last_event_id: this.lastEventId,
      }),
    );
    this.source = source;
    this.watchSilence();
    source.onopen = () => {
      if (this.source !== source) return;
      this.watchSilence();
      this.handlers.onState?.("open");
    };
    source.onmessage = (message: MessageEvent<string>) => {
      if (this.source === source) this.receive(message);
    };
    // The browser's own repetition knows neither our back-off nor a new last_event_id: always take over.
    source.onerror = () => {
      if (this.source === source) this.reconnectLater();
    };
  }

  private receive(message: MessageEvent<string>): void {
    this.attempt = 0;
    this.watchSilence();
    if (message.lastEventId) this.lastEventId = message.lastEventId;
    let envelope: StreamMessage;
    try {
      envelope = JSON.parse(message.data) as StreamMessage;
    } catch {
      return;
    }
    switch (envelope.type) {
      case "event":
        if (envelope.payload.events.length > 0) this.handlers.onEvents?.(envelope.payload.events);
        break;
      case "gap":
        this.handlers.onGap?.(envelope.payload.missed);
        break;
      case "heartbeat":
        if (!message.lastEventId && envelope.payload.last_event_id) {
          this.lastEventId = envelope.payload.last_event_id;
        }
        break;
      case "alert":
        this.handlers.onAlerts?.(envelope.payload.alerts);
        break;
    }
  }

  private watchSilence(): void {
    if (this.silence !== null) this.world.clearTimeout(this.silence);
    this.silence = this.world.setTimeout(() => this.reconnectLater(), SILENCE_LIMIT_MS);
  }

  private reconnectLater(): void {
    if (this.closed) return;
    this.disconnect();
    const delay = reconnectDelay(this.attempt);
    this.attempt += 1;
    this.handlers.onState?.("waiting", delay);
    this.retry = this.world.setTimeout(() => {
      this.retry = null;
      this.connect();
    }, delay);
  }

  private disconnect(): void {
    if (this.silence !== null) this.world.clearTimeout(this.silence);
    this.silence = null;
    this.source?.close();
    this.source = null;
  }
}
