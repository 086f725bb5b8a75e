/** The Logs page: the live tail, what pauses it, filters, panes, context, points in time, gaps, files. */

import { api, call, downloaded, examineAll, expect, open, page, path, search, step, until } from "./harness.mjs";

const ROW = ".log-rows .log-row";
const encode = encodeURIComponent;
const lines = (rest) => api(`/api/events?kind=log&${rest}`);
const total = async (rest) => (await api(`/api/events/histogram?kind=log&${rest}`)).total;
const list = async (rest = "") => {
  await open(`/logs${rest}`);
  await page.waitForSelector(ROW);
};
/** Ids of the lines that are drawn, from the top. */
const drawn = () => page.locator(`${ROW}[data-line]`).evaluateAll((rows) => rows.map((row) => [Number(row.dataset.index), row.dataset.line]).sort(([a], [b]) => a - b).map(([, id]) => id));
/** Pixels between what is shown and the newest line. */
const fromEnd = () => page.locator(".log-box").first().evaluate((box) => Math.round(box.scrollHeight - box.scrollTop - box.clientHeight));
const names = () => page.locator(".log-name").evaluateAll((all) => [...new Set(all.map((name) => name.textContent))]);
/**
 * Id of the first line that is drawn, once the page says that nothing is being read and that line has been the first over
 * two frames. It is read in the page: between two questions from here the list could have moved.
 */
const firstAtRest = () =>
  until(
    () =>
      page
        .locator(".log-box")
        .first()
        .evaluate(async (box) => {
          const first = () => {
            if (box.getAttribute("aria-busy") !== "false") return null;
            const rows = [...box.querySelectorAll(".log-row[data-line]")].sort((a, b) => a.dataset.index - b.dataset.index);
            return rows[0]?.dataset.line ?? null;
          };
          const before = first();
          for (let frame = 0; frame < 2; frame += 1) await new Promise((done) => requestAnimationFrame(done));
          return first() === before ? before : null;
        }),
    "the list does not come to rest",
  );
/** Lines that came since it was paused, as the page says. */
const waiting = async () => Number(/[\d,]+/.exec(await page.locator(".log-waiting").first().innerText())?.[0].replaceAll(",", "") ?? 0);
/** True when the row is within the list's window. */
async function isOnScreen(row) {
  const [place, box] = await Promise.all([page.locator(row).boundingBox(), page.locator(".log-box").first().boundingBox()]);
  return place !== null && box !== null && place.y >= box.y && place.y < box.y + box.height;
}

/** Scrolls up until `enough` says so. */
async function scrollUp(enough, what) {
  await page.locator(".log-box").first().hover();
  await until(async () => {
    await page.mouse.wheel(0, -1_200);
    return enough();
  }, what);
}

/** Nothing on a server without lines. */
export async function logSteps() {
  if ((await total("start=now-24h")) === 0) return;
  const { facets } = await api("/api/events/facets?kind=log&fields=container.name&start=now-24h&limit=10");
  const printing = facets[0].values.map(({ value }) => value);
  const [first] = printing;
  const day = "from=now-24h&to=now";

  await step("logs: g l goes there; the newest line is at the bottom, and new ones come by themselves", async () => {
    await open("/events");
    await page.locator("h1").first().waitFor({ state: "attached" });
    await page.keyboard.press("g");
    await page.keyboard.press("l");
    await page.waitForSelector(ROW);
    expect(path() === "/logs", `g l leads to ${path()}`);
    const before = (await drawn()).at(-1);
    await until(async () => (await drawn()).at(-1) !== before, "no new line comes");
    await until(async () => (await fromEnd()) <= 12, "it does not follow");
    const known = await api(`/api/events/${(await drawn()).at(-1)}`);
    expect(known.kind === "log", `the newest line is a ${known.kind}`);
  });

  await step("logs: scrolling up pauses and reads older lines; f goes on", async () => {
    await list(`?${day}`);
    const hasMore = (await total("start=now-24h")) >= 300;
    await scrollUp(async () => (await page.locator(".log-waiting").count()) > 0, "it is not paused");
    if (hasMore) {
      const oldest = await firstAtRest();
      await page.locator(".log-box").first().evaluate((box) => (box.scrollTop = 0));
      await until(async () => BigInt(await firstAtRest()) < BigInt(oldest), `no older lines than ${oldest}`);
    }
    const still = await firstAtRest();
    const before = await waiting();
    await until(async () => (await waiting()) > before, "no new line comes");
    expect((await firstAtRest()) === still, "what was read ran away");
    await page.keyboard.press("f");
    await until(async () => (await fromEnd()) <= 12 && (await page.locator(".log-waiting").count()) === 0, "f does not follow");
  });

  await step("logs: containers are chosen by name; the address has them", async () => {
    await list(`?${day}`);
    await page.click(".picker-btn");
    await page.fill(".picker input.input", first);
    await page.locator(`.picker-entry:has(.mono:text-is("${first}"))`).click();
    await until(() => search().get("c") === first, `chosen: ${search().get("c")}`);
    await page.keyboard.press("Escape");
    await page.waitForSelector(ROW);
    const expected = await lines(`query=${encode(`container.name:"${first}"`)}&start=now-24h&limit=1`);
    const containers = async () => Promise.all((await drawn()).slice(0, 3).map(async (id) => (await api(`/api/events/${id}`)).container.name));
    await until(async () => {
      const shown = await containers();
      return shown.length > 0 && shown.every((name) => name === first);
    }, "lines of other containers");
    expect(expected.items.length === 1, "the server knows none");
  });

  await step("logs: a word is searched for and marked, levels and streams narrow", async () => {
    const { items } = await lines("start=now-24h&limit=200");
    // Not one that begins in a colour's code.
    const word = items.map(({ output }) => /[A-Za-z]{5,}/.exec(output.replace(/\u001b\[[\d;]*m/g, " "))?.[0]).find(Boolean);
    await list(`?${day}`);
    await page.keyboard.press("/");
    await page.keyboard.type(`"${word}"`);
    await page.keyboard.press("Escape");
    await page.keyboard.press("Enter");
    await until(() => search().get("q") === `"${word}"`, "the query is not in the address");
    await page.waitForSelector(".log-hit");
    const marked = await page.locator(".log-hit").first().innerText();
    expect(marked.toLowerCase() === word.toLowerCase(), `marked: ${marked}`);
    const level = (await api("/api/query/values?field=severity_text&kind=log")).items[0];
    if (level) {
      await list(`?${day}`);
      await page.locator(`.log-chip:text-is("${level}")`).click();
      await until(() => search().get("level") === level, "the level is not in the address");
      await until(async () => (await page.locator(".log-level").allInnerTexts()).every((text) => text.trim() === level), "lines of another level");
    }
    await list(`?${day}`);
    await page.locator('.log-chip:text-is("stdout")').click();
    await until(() => search().get("stream") === "stdout", "the stream is not in the address");
    await page.waitForSelector(ROW);
    await until(async () => (await page.locator(".log-err").count()) === 0, "lines of stderr");
  });

  await step("logs: a line opens; a value of it narrows the query; Escape closes", async () => {
    await list(`?${day}`);
    for (const key of ["k", "k", "Enter"]) await page.keyboard.press(key);
    await page.waitForSelector(".log-detail");
    await page.keyboard.press("Escape");
    await page.waitForSelector(".log-detail", { state: "detached" });
    await page.keyboard.press("Enter");
    const field = page.locator('.log-field:has(dt:text-is("container.name"))').first();
    const name = await field.locator(".log-value").innerText();
    await field.locator("button").first().click();
    await until(() => (search().get("q") ?? "").includes("container.name:"), "the query is not narrowed");
    await page.waitForSelector(ROW);
    await until(async () => (await names()).every((other) => other === name), "lines of other containers");
  });

  await step("logs: a line in its context, by a link that anybody can open; back; its events", async () => {
    await list(`?${day}&stream=stdout`);
    for (const key of ["k", "k", "Enter"]) await page.keyboard.press(key);
    await page.waitForSelector(".log-detail");
    const id = await page.locator(".log-row.log-open").getAttribute("data-line");
    await page.locator('.log-actions button[aria-label="Copy link"]').click();
    await page.click('.log-actions a:has-text("context")');
    await until(() => search().get("line") === id && search().has("at"), "the line is not in the address");
    await page.waitForSelector(`.log-marked[data-line="${id}"]`);
    await until(() => isOnScreen(".log-marked"), "the line is not on the screen");
    const here = await api(`/api/events/${id}`);
    expect(search().get("c") === here.container.name && !search().has("stream"), "its context is filtered");
    await page.goBack();
    await until(() => search().get("stream") === "stdout", "back does not go back");
    const link = await page.evaluate(() => navigator.clipboard.readText());
    await page.goto(link);
    await page.waitForSelector(`.log-marked[data-line="${id}"]`);
    await page.locator(".log-marked .log-line").click();
    await page.click('.log-actions a:has-text("Events")');
    await until(() => path() === "/events" && (search().get("q") ?? "").includes("container."), "its events are not asked for");
  });

  await step("logs: around a point in time, then back to the newest", async () => {
    const { items } = await lines("start=now-24h&limit=100");
    const at = items.at(-1).time;
    await list();
    await page.click('button[aria-label="Jump to a time"]');
    await page.click(".jump .btn-primary");
    await until(() => search().has("at"), "it does not jump");
    await open(`/logs?from=${encode(new Date(Date.parse(at) - 1_800_000).toISOString())}&to=${encode(new Date(Date.parse(at) + 1_800_000).toISOString())}&at=${encode(at)}`);
    await until(async () => (await drawn()).includes(items.at(-1).id), "the line of that time is not there");
    await until(() => isOnScreen(`.log-row[data-line="${items.at(-1).id}"]`), "the line of that time is not on the screen");
    await page.keyboard.press("f");
    await until(() => !search().has("at") && !search().has("from"), "f does not go to the newest");
    await until(async () => (await fromEnd().catch(() => 99)) <= 12, "it does not follow");
  });

  await step("logs: panes beside each other, each with its own containers, on a phone as tabs", async () => {
    const second = printing[1] ?? first;
    await list(`?c=${encode(first)}`);
    await page.click('button[aria-label^="Another pane"]');
    await until(async () => (await page.locator(".log-pane").count()) === 2, "there is one pane");
    await page.locator(".log-pane").nth(1).locator(".picker-btn").click();
    await page.fill(".picker input.input", second);
    await page.locator(`.picker-entry:has(.mono:text-is("${second}"))`).click();
    await until(() => search().getAll("c").join("|") === `${first}|${second}`, `panes: ${search().getAll("c").join("|")}`);
    await page.keyboard.press("Escape");
    await page.reload();
    await page.waitForSelector(ROW);
    expect((await page.locator(".log-pane").count()) === 2, "a reload forgets a pane");
    await page.setViewportSize({ width: 390, height: 844 });
    await page.waitForSelector(".logs-tabs .tab");
    await page.locator(".logs-tabs .tab").nth(1).click();
    await until(async () => (await page.locator(".log-pane").count()) === 1, "a phone shows more than one pane");
    await page.setViewportSize({ width: 1440, height: 900 });
    await page.locator('.log-pane button[aria-label^="Close the pane"]').nth(1).click();
    await until(async () => (await page.locator(".log-pane").count()) === 1, "the pane does not close");
  });

  await step("logs: wrap, times and histogram are switched, and stay", async () => {
    await list(`?${day}`);
    const wraps = async () => (await page.locator(".log-wrap").count()) > 0;
    const before = await wraps();
    await page.keyboard.press("w");
    await until(async () => (await wraps()) !== before, "w does not wrap");
    await page.keyboard.press("w");
    await page.click('button[aria-label="Times"]');
    await page.click('.menu-item:has-text("With date")');
    await until(async () => /^\d{4}-/.test(await page.locator(".log-time").first().innerText()), "there is no date");
    await page.keyboard.press("h");
    await page.waitForSelector(".events-histogram", { state: "detached" });
    await page.keyboard.press("h");
    await page.waitForSelector(".events-histogram");
    await page.click('button[aria-label="Times"]');
    await page.click('.menu-item:has-text("Time of day")');
  });

  await step("logs: dragging over the histogram shows that time", async () => {
    await list(`?${day}`);
    await page.waitForSelector(".chart-canvas canvas");
    const box = await page.locator(".chart").boundingBox();
    await page.mouse.move(box.x + box.width * 0.6, box.y + 40);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.98, box.y + 40, { steps: 5 });
    await page.mouse.up();
    await until(() => /^\d{4}-/.test(search().get("from") ?? ""), "the range is not absolute");
    await page.waitForSelector(`${ROW}, .log-pane .empty`);
  });

  await step("logs: the file has every line that is filtered, and no other", async () => {
    const from = new Date(Date.now() - 86_400_000).toISOString();
    // What was written by then has come.
    const to = new Date(Date.now() - 15_000).toISOString();
    const range = `start=${encode(from)}&end=${encode(to)}`;
    if ((await total(range)) > 20_000) return "too many lines here";
    // One by one: the histogram counts whole minutes.
    let expected = 0;
    let cursor = "";
    do {
      const found = await lines(`query=${encode(`container.name:"${first}"`)}&${range}&limit=1000&cursor=${encode(cursor)}`);
      expected += found.items.length;
      cursor = found.next_cursor;
    } while (cursor);
    await open(`/logs?c=${encode(first)}&from=${encode(from)}&to=${encode(to)}`);
    await page.waitForSelector(`${ROW}, .log-pane .empty`);
    await page.click('button[aria-label="Export"]');
    const { url, text } = await downloaded(page.locator('.menu-item:has-text("NDJSON")'));
    expect(url.searchParams.get("kind") === "log", "the file is of events");
    const got = text.trim().split("\n").map((line) => JSON.parse(line));
    expect(got.length === expected, `${got.length} lines in the file, ${expected} counted`);
    expect(got.every(({ container, kind }) => container.name === first && kind === "log"), "something else is in the file");
    return `${got.length} lines`;
  });

  await step("logs: a gap stands at its place and says what is missing", async () => {
    const { items } = await lines("start=now-24h&query=tags:gap&limit=1");
    if (items.length === 0) return "nothing is missing here";
    const [gap] = items;
    const around = (ms) => encode(new Date(Date.parse(gap.time) + ms).toISOString());
    await open(`/logs?c=${encode(gap.container.name)}&q=nothing-is-called-this&from=${around(-60_000)}&to=${around(60_000)}&at=${encode(gap.time)}&line=${gap.id}`);
    await page.waitForSelector(`.log-gap[data-line="${gap.id}"]`);
    const text = await page.locator(`.log-gap[data-line="${gap.id}"]`).innerText();
    expect(/Lines are missing here/.test(text), `it says ${text}`);
    const files = gap.output_fields["log.gap.files"];
    if (files) expect(text.includes(`${files} file`), `it does not say ${files} files: ${text}`);
  });

  await step("logs: a container's page has its last lines; sources say how each is read", async () => {
    // Who only sends lines here is no container that is known.
    if ((await call("GET", `/api/containers/${encode(first)}`)).status === 200) {
      await open(`/containers/${encode(first)}?tab=logs`);
      await page.waitForSelector(".log-excerpt .log-row");
      await page.click('a:has-text("Open in Logs")');
      await until(() => path() === "/logs" && search().get("c") === first, "it leads elsewhere");
    }
    const source = (await api("/api/sources")).items.find(({ readers }) => readers?.length > 0);
    if (!source) return "no source reads logs";
    await open("/sources");
    await page.waitForSelector(".readers tbody tr");
    const shown = await page.locator(".readers tbody tr").count();
    expect(shown === Math.min(source.readers.length, 20), `${shown} of ${source.readers.length} readers`);
  });

  await step("logs: none match; clearing shows them again", async () => {
    await open(`/logs?q=nothing-is-called-this-at-all&c=no-such-container`);
    await page.waitForSelector(".log-pane .empty");
    await page.click('.empty-actions .btn:has-text("Clear")');
    await page.waitForSelector(ROW);
  });

  await step("logs: axe, both themes, both widths", async () => {
    await list(`?${day}`);
    await examineAll("logs");
    await page.keyboard.press("k");
    await page.keyboard.press("Enter");
    await page.waitForSelector(".log-detail");
    await examineAll("an open line");
    await page.click(".picker-btn");
    await page.waitForSelector(".picker-entry");
    await examineAll("choice of containers", { part: ".picker", reopen: () => page.click(".picker-btn") });
    await page.keyboard.press("Escape");
    await list(`?${day}&c=${encode(first)}&c=`);
    await examineAll("two panes");
    if (!(await api("/api/sources")).items.some(({ readers }) => readers?.length > 0)) return "no source reads logs";
    await open("/sources");
    await page.waitForSelector(".readers tbody tr");
    await examineAll("how logs are read", { part: ".readers" });
    return undefined;
  });
}
