import { beforeEach, describe, expect, it } from "vitest";
import { EventStream, SILENCE_LIMIT_MS, reconnectDelay, type StreamWorld } from "./stream";

class FakeSource {
  onopen: (() => void) | null = null;
  onmessage: ((message: MessageEvent<string>) => void) | null = null;
  onerror: (() => void) | null = null;
  closed = false;
  constructor(readonly url: string) {}
  close() {
    this.closed = true;
  }
  send(data: unknown, lastEventId = "") {
    this.onmessage?.({ data: typeof data === "string" ? data : JSON.stringify(data), lastEventId } as MessageEvent<string>);
  }
}

/** A clock that moves only when told. */
class FakeWorld implements StreamWorld {
  now = 0;
  sources: FakeSource[] = [];
  private timers = new Map<number, { at: number; run: () => void }>();
  private next = 1;
  open(url: string) {
    const source = new FakeSource(url);
    this.sources.push(source);
    return source as unknown as EventSource;
  }
  setTimeout(run: () => void, ms: number) {
    this.timers.set(this.next, { at: this.now + ms, run });
    return this.next++;
  }
  clearTimeout(timer: unknown) {
    this.timers.delete(timer as number);
  }
  advance(ms: number) {
    const end = this.now + ms;
    for (;;) {
      const due = [...this.timers].filter(([, timer]) => timer.at <= end).sort((a, b) => a[1].at - b[1].at)[0];
      if (!due) break;
      this.timers.delete(due[0]);
      this.now = due[1].at;
      due[1].run();
    }
    this.now = end;
  }
  get last() {
    return this.sources[this.sources.length - 1]!;
  }
}

describe("EventStream", () => {
  let world: FakeWorld;
  let log: string[];
  let stream: EventStream;

  const start = (options = {}) =>
    new EventStream(
      options,
      {
        onEvents: (events) => log.push(`events ${events.map((event) => event.id).join(",")}`),
        onGap: (missed) => log.push(`gap ${missed}`),
        onState: (state, retry) => log.push(retry === undefined ? state : `${state} ${retry}`),
      },
      world,
    );

  beforeEach(() => {
    world = new FakeWorld();
    log = [];
  });

  it("hands on events and gaps", () => {
    stream = start({ query: "priority>=Warning" });
    expect(world.last.url).toBe("/api/stream?query=priority%3E%3DWarning");
    world.last.onopen?.();
    world.last.send({ type: "event", ts: "", container: "", payload: { events: [{ id: "7" }, { id: "8" }] } }, "8");
    world.last.send({ type: "gap", ts: "", container: "", payload: { missed: 12 } });
    expect(log).toEqual(["connecting", "open", "events 7,8", "gap 12"]);
  });

  it("ignores what is not JSON and still counts it as life", () => {
    stream = start();
    world.advance(SILENCE_LIMIT_MS - 1);
    world.last.send("not json");
    world.advance(SILENCE_LIMIT_MS - 1);
    expect(world.sources).toHaveLength(1);
  });

  it("is dead after 90 s of silence and resumes after the last event", () => {
    stream = start({ container: "web 1" });
    world.last.onopen?.();
    world.last.send({ type: "event", ts: "", container: "", payload: { events: [{ id: "41" }] } }, "41");
    world.advance(SILENCE_LIMIT_MS - 1);
    expect(world.last.closed).toBe(false);
    world.advance(1);
    expect(world.last.closed).toBe(true);
    expect(log.at(-1)).toBe("waiting 1000");
    world.advance(1_000);
    expect(world.sources).toHaveLength(2);
    expect(world.last.url).toBe("/api/stream/web%201?last_event_id=41");
  });

  it("takes the cursor from a heartbeat", () => {
    stream = start();
    world.last.send({ type: "heartbeat", ts: "", container: "", payload: { last_event_id: "99" } });
    world.last.onerror?.();
    world.advance(1_000);
    expect(world.last.url).toBe("/api/stream?last_event_id=99");
  });

  it("backs off 1, 2, 4, 8, 16, 30, 30 s and starts anew after a message", () => {
    stream = start();
    const delays: number[] = [];
    for (let round = 0; round < 7; round += 1) {
      world.last.onerror?.();
      const delay = Number(log.at(-1)!.split(" ")[1]);
      delays.push(delay);
      world.advance(delay);
    }
    expect(delays).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
    world.last.send({ type: "heartbeat", ts: "", container: "", payload: {} });
    world.last.onerror?.();
    expect(log.at(-1)).toBe("waiting 1000");
  });

  it("an accepted connection that ends without a message does not reset the back-off", () => {
    stream = start();
    world.last.onerror?.();
    world.advance(1_000);
    world.last.onopen?.();
    world.last.onerror?.();
    expect(log.at(-1)).toBe("waiting 2000");
  });

  it("does nothing after close", () => {
    stream = start();
    const source = world.last;
    stream.close();
    expect(source.closed).toBe(true);
    source.send({ type: "event", ts: "", container: "", payload: { events: [{ id: "1" }] } });
    source.onerror?.();
    world.advance(10 * SILENCE_LIMIT_MS);
    expect(world.sources).toHaveLength(1);
    expect(log).toEqual(["connecting", "closed"]);
  });

  it("reconnects at once when asked", () => {
    stream = start();
    world.last.onerror?.();
    stream.reconnectNow();
    expect(world.sources).toHaveLength(2);
    world.advance(60_000);
    expect(world.sources).toHaveLength(2);
  });
});

describe("reconnectDelay", () => {
  it.each([
    [0, 1_000],
    [1, 2_000],
    [4, 16_000],
    [5, 30_000],
    [1_000, 30_000],
  ])("attempt %i waits %i ms", (attempt, expected) => expect(reconnectDelay(attempt)).toBe(expected));
});
