import { describe, expect, it, vi } from "vitest";
import type { EventPage, QwEvent } from "../../api/types";
import { EventPages } from "./event-pages";
import { compareIds, LiveBuffer, SHOWN_LIMIT, WAITING_LIMIT } from "./live-buffer";
import { readState, viewState, writeState } from "./url-state";

const event = (id: number) => ({ id: String(id) }) as QwEvent;

/** A server with `total` events and pages of 100, each naming the next by its number. */
function server(total: number) {
  const asked: number[] = [];
  const fetchPage = (cursor: string | undefined): Promise<EventPage> => {
    const start = Number(cursor ?? 0);
    asked.push(start);
    const items = Array.from({ length: Math.min(100, total - start) }, (_, index) => event(start + index));
    const next = start + 100 < total ? String(start + 100) : null;
    return Promise.resolve({ items, next_cursor: next, complete: true, scanned: items.length });
  };
  return { asked, fetchPage };
}

const settle = () => new Promise<void>((resolve) => setTimeout(resolve, 0));

describe("EventPages", () => {
  it("reads pages as rows are wanted", async () => {
    const { asked, fetchPage } = server(250);
    const pages = new EventPages(fetchPage);
    pages.want(0, 30);
    await settle();
    expect(pages.count).toBe(100);
    pages.want(0, 30);
    await settle();
    expect([pages.count, pages.more]).toEqual([200, true]);
    pages.want(150, 190);
    await settle();
    expect([pages.count, pages.more]).toEqual([250, false]);
    pages.want(200, 249);
    await settle();
    expect(asked).toEqual([0, 100, 200]);
    expect(pages.rowAt(249)?.id).toBe("249");
    expect(pages.rowAt(250)).toBeUndefined();
    expect(pages.indexOf("120")).toBe(120);
  });

  it("holds a bounded window of a million rows and reads again when scrolled back", async () => {
    const { asked, fetchPage } = server(1_000_000);
    const pages = new EventPages(fetchPage, 10);
    for (let row = 0; row < 50_000; row += 100) {
      pages.want(row, row + 40);
      await settle();
    }
    expect(pages.heldPages).toBeLessThanOrEqual(10);
    expect(pages.rowAt(0)).toBeUndefined();
    const before = asked.length;
    pages.want(0, 40);
    await settle();
    expect(asked.slice(before)).toEqual([0]);
    expect(pages.rowAt(7)?.id).toBe("7");
    expect(pages.heldPages).toBeLessThanOrEqual(10);
  });

  it("never asks twice for a page that is under way", async () => {
    const { asked, fetchPage } = server(1_000);
    const pages = new EventPages(fetchPage);
    for (let round = 0; round < 5; round += 1) pages.want(0, 40);
    await settle();
    expect(asked).toEqual([0]);
  });

  it("keeps rows in place when a page has become shorter", async () => {
    let length = 100;
    const pages = new EventPages(
      (cursor) =>
        Promise.resolve({
          items: Array.from({ length: cursor ? 100 : length }, (_, index) => event(Number(cursor ?? 0) + index)),
          next_cursor: cursor === "300" ? null : String(Number(cursor ?? 0) + 100),
          complete: true,
          scanned: 0,
        }),
      1,
    );
    for (const row of [0, 150, 250, 350]) {
      pages.want(row, row + 10);
      await settle();
    }
    length = 60;
    pages.want(0, 10);
    await settle();
    expect([pages.rowAt(59)?.id, pages.rowAt(60), pages.count]).toEqual(["59", undefined, 400]);
  });

  it("stops at an error and goes on when asked", async () => {
    const fetchPage = vi
      .fn<() => Promise<EventPage>>()
      .mockRejectedValueOnce(new Error("gone"))
      .mockResolvedValue({ items: [event(1)], next_cursor: null, complete: true, scanned: 1 });
    const pages = new EventPages(fetchPage);
    pages.want(0, 10);
    await settle();
    pages.want(0, 10);
    expect(String(pages.error)).toContain("gone");
    expect(fetchPage).toHaveBeenCalledTimes(1);
    pages.retry();
    pages.want(0, 10);
    await settle();
    expect([pages.count, pages.error]).toEqual([1, null]);
  });
});

describe("LiveBuffer", () => {
  it("shows newest first and passes over repetitions", () => {
    const live = new LiveBuffer();
    expect(live.seed([event(9), event(8)])).toBe("9");
    live.accept([event(9), event(10), event(11)]);
    expect(live.shown.map(({ id }) => id)).toEqual(["11", "10", "9", "8"]);
  });

  it("waits while held, within bounds, and counts what did not fit", () => {
    const live = new LiveBuffer();
    live.hold();
    const arrivals = WAITING_LIMIT + 250;
    for (let id = 1; id <= arrivals; id += 50) live.accept(Array.from({ length: 50 }, (_, index) => event(id + index)));
    expect([live.shown.length, live.waiting]).toEqual([0, arrivals]);
    live.release();
    expect([live.shown.length, live.waiting, live.missed]).toEqual([SHOWN_LIMIT, 0, 250]);
    expect(live.shown[0]?.id).toBe(String(arrivals));
    live.gap(7);
    expect(live.missed).toBe(257);
  });

  it.each([
    ["9", "10", -1],
    ["18446744073709551615", "18446744073709551614", 1],
    ["5", "5", 0],
    ["", "1", -1],
  ])("compareIds %s %s", (a, b, sign) => expect(Math.sign(compareIds(a, b))).toBe(sign));
});

describe("address of the Events page", () => {
  it.each([
    "",
    "q=priority%3E%3DWarning",
    "q=a&from=now-6h&to=now&cols=time%2Crule&order=asc&live=1&event=12&tab=json",
    "from=2026-11-21T09%3A00%3A00.000Z&to=2026-11-21T10%3A00%3A00.000Z",
  ])("%s", (text) => expect(writeState(readState(new URLSearchParams(text))).toString()).toBe(text));

  it("passes over what it does not know", () => {
    const state = readState(new URLSearchParams("cols=<b>,time&order=up&tab=x&from="));
    expect([state.columns, state.order, state.tab, state.range.from]).toEqual([["time"], "desc", "summary", "now-1h"]);
  });

  it("a view keeps the question only", () => {
    const state = readState(new URLSearchParams("q=a&event=3&live=1&tab=json"));
    expect(viewState(state, ["time", "rule"])).toBe("q=a&cols=time%2Crule");
  });
});
