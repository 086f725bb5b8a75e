import { describe, expect, it } from "vitest";
import type { EventPage, QwEvent } from "../../api/types";
import { isSkipped, LogWindow, WAITING_ROWS, WINDOW_ROWS, type PageRequest, type WindowOptions } from "./log-window";

const BASE = Date.parse("2026-11-21T10:00:00Z");
const line = (number: number, id = number) => ({ id: String(id), time: new Date(BASE + number).toISOString(), tags: [] as string[] }) as QwEvent;
const at = (number: number) => new Date(BASE + number).toISOString();

/** A server with lines `0..count`, one a millisecond. Cursors are the number of rows given so far. */
function server(count: number) {
  const asked: PageRequest[] = [];
  const fetchLines = async (request: PageRequest): Promise<EventPage> => {
    asked.push(request);
    const start = Math.max(0, Date.parse(request.start) - BASE);
    // A range's end with a fraction of a millisecond takes that millisecond in.
    const end = Math.min(count, Math.ceil(Date.parse(request.end.slice(0, 23) + "Z") - BASE + (/\.\d{3}0*[1-9]/.test(request.end) ? 1 : 0)));
    const all = Array.from({ length: Math.max(0, end - start) }, (_, index) => line(start + index));
    if (request.order === "desc") all.reverse();
    const from = Number(request.cursor ?? 0);
    const to = from + request.limit;
    return { items: all.slice(from, to), next_cursor: to < all.length ? String(to) : null, complete: true, scanned: 0 };
  };
  return { asked, fetchLines };
}

const settle = () => new Promise((done) => setTimeout(done));
const numbers = (window: LogWindow) => window.rows.map((row) => (isSkipped(row) ? -row.skipped : Date.parse(row.time) - BASE));
const run = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => from + index);

async function opened(count: number, options: Partial<WindowOptions> = {}) {
  const { fetchLines, asked } = server(count);
  const window = new LogWindow(fetchLines, { range: { start: BASE, end: BASE + count }, at: null, live: true, ...options });
  window.open();
  await settle();
  return { window, asked };
}

describe("a live tail", () => {
  it("begins with the newest lines and goes on with those that come", async () => {
    const { window } = await opened(500);
    expect(numbers(window)).toEqual(run(300, 500));
    window.accept([line(500), line(501)]);
    expect(numbers(window)).toEqual(run(300, 502));
    expect(window.waiting).toBe(0);
  });

  it("takes what came before the first page did, and nothing twice", async () => {
    const { fetchLines } = server(10);
    const window = new LogWindow(fetchLines, { range: { start: BASE, end: BASE + 10 }, at: null, live: true });
    window.open();
    window.accept([line(8), line(9), line(10)]);
    await settle();
    window.accept([line(10), line(11)]);
    expect(numbers(window)).toEqual(run(0, 12));
  });

  it("puts a line that comes late at its place", async () => {
    const { window } = await opened(10);
    window.accept([line(20, 20), line(30, 21)]);
    window.accept([line(25, 22), line(40, 23), line(35, 24)]);
    expect(numbers(window)).toEqual([...run(0, 10), 20, 25, 30, 35, 40]);
  });

  it("reads older lines page by page to the beginning, and further when the range grows", async () => {
    const { window } = await opened(450, { range: { start: BASE + 100, end: BASE + 450 } });
    while (window.hasOlder) {
      window.older();
      await settle();
    }
    expect(numbers(window)).toEqual(run(100, 450));
    expect(window.extend(BASE + 200)).toBe(false);
    expect(window.extend(BASE)).toBe(true);
    while (window.hasOlder) {
      window.older();
      await settle();
    }
    expect(numbers(window)).toEqual(run(0, 450));
  });

  it("is bounded while it follows, and reads again what it let go", async () => {
    const { window } = await opened(WINDOW_ROWS);
    for (let from = WINDOW_ROWS; from < 3 * WINDOW_ROWS; from += 1_000) window.accept(run(from, from + 1_000).map((number) => line(number)));
    expect(window.rows).toHaveLength(WINDOW_ROWS);
    expect(numbers(window)[0]).toBe(2 * WINDOW_ROWS);
    window.hold();
    window.older();
    await settle();
    // The server of this test ends where the range did.
    expect(numbers(window)[0]).toBe(WINDOW_ROWS - 200);
  });

  it("holds new lines for who has scrolled up, counts them, and shows them", async () => {
    const { window } = await opened(100);
    window.hold();
    window.accept([line(100), line(101)]);
    expect(window.waiting).toBe(2);
    window.follow();
    expect([window.waiting, window.following]).toEqual([0, true]);
    expect(numbers(window)).toEqual(run(0, 102));
  });

  it("does not keep more than it may while it waits, and reads the end anew", async () => {
    const { window, asked } = await opened(100);
    window.hold();
    for (let from = 100; from < 2 * WAITING_ROWS + WINDOW_ROWS; from += 1_000) window.accept(run(from, from + 1_000).map((number) => line(number)));
    expect(window.rows.length).toBeLessThanOrEqual(WINDOW_ROWS + WAITING_ROWS);
    expect(window.waiting).toBeGreaterThan(2 * WAITING_ROWS);
    expect(window.hasNewer).toBe(true);
    const before = asked.length;
    window.follow();
    await settle();
    expect(asked.length).toBe(before + 1);
    expect([window.following, window.hasNewer]).toEqual([true, false]);
  });

  it("reads its end anew when lines may have come unseen, at once or when somebody goes there", async () => {
    const { window, asked } = await opened(10);
    window.restart();
    await settle();
    expect([asked.length, window.rows.length]).toEqual([2, 10]);
    window.hold();
    window.restart();
    await settle();
    expect([asked.length, window.hasNewer]).toEqual([2, true]);
    window.follow();
    await settle();
    expect([asked.length, window.hasNewer]).toEqual([3, false]);
  });

  it("says where the stream left lines out", async () => {
    const { window } = await opened(2);
    window.skip(7);
    window.accept([line(9)]);
    expect(numbers(window)).toEqual([0, 1, -7, 9]);
  });
});

describe("around a point in time", () => {
  it("begins with both sides, and grows at both", async () => {
    const { window } = await opened(1_000, { at: at(500), live: false });
    expect(numbers(window)).toEqual(run(300, 700));
    window.older();
    window.newer();
    await settle();
    expect(numbers(window)).toEqual(run(100, 900));
    window.newer();
    await settle();
    expect([numbers(window).at(-1), window.hasNewer]).toEqual([999, false]);
    window.accept([line(1_000)]);
    expect(numbers(window).at(-1)).toBe(999);
  });

  it("stays bounded while somebody scrolls down and up again", async () => {
    const { window } = await opened(10_000, { at: at(100), live: false });
    while (window.hasNewer) {
      window.newer();
      await settle();
    }
    expect(window.rows.length).toBeLessThan(WINDOW_ROWS + 200);
    expect(numbers(window).at(-1)).toBe(9_999);
    while (window.hasOlder) {
      window.older();
      await settle();
    }
    expect(numbers(window)[0]).toBe(0);
    expect(numbers(window)).toEqual(run(0, window.rows.length));
  });
});

it("an error stops it until it is tried again", async () => {
  let fails = true;
  const window = new LogWindow(
    async () => {
      if (fails) throw new Error("away");
      return { items: [line(1)], next_cursor: null, complete: true, scanned: 1 };
    },
    { range: { start: BASE, end: BASE + 10 }, at: null, live: false },
  );
  window.open();
  await settle();
  expect(window.error).toBeInstanceOf(Error);
  fails = false;
  window.retry();
  await settle();
  expect(numbers(window)).toEqual([1]);
});
