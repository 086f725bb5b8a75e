/** The Events page: queries, facets, the histogram, the list, columns, live tail, export, views. */

import { readFileSync } from "node:fs";
import { api, expect, open, page, search, step, until } from "./harness.mjs";

const rows = () => page.waitForSelector(".event-row:not(.event-row-empty)");
const openEvents = async (query = "") => {
  await open(`/events?${query}from=now-24h&to=now`);
  await page.waitForSelector("#page-search");
  await rows();
};

export async function eventSteps() {
  await step("completion of fields and values, Enter runs", async () => {
    await openEvents();
    await page.keyboard.press("/");
    await page.keyboard.type("prio");
    await page.waitForSelector(".suggestion:has-text('priority')");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    await until(async () => (await page.inputValue("#page-search")) === "priority>=", "the field was not completed");
    await page.keyboard.type("Warn");
    await page.waitForSelector(".suggestion:first-child:has-text('Warning')");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    await until(async () => (await page.inputValue("#page-search")).trim() === "priority>=Warning", "the value was not completed");
    await page.keyboard.press("Escape");
    await page.keyboard.press("Enter");
    await until(async () => search().get("q") === "priority>=Warning", `the query is ${search().get("q")}`);
  });

  await step("an error is marked at its place and does not run", async () => {
    await page.fill("#page-search", "rule:(a or");
    await page.waitForSelector(".query-error");
    expect((await page.locator(".token-bad").count()) > 0, "nothing is underlined");
    await page.keyboard.press("Escape");
    await page.keyboard.press("Enter");
    expect(search().get("q") === "priority>=Warning", "it ran");
  });

  await step("facets include, exclude, undo", async () => {
    await openEvents();
    const facet = page.locator(".facet").nth(0);
    await facet.locator(".facet-main").first().click();
    await until(async () => /^priority:/.test(search().get("q") ?? ""), "not included");
    await facet.locator(".facet-main").nth(1).click();
    await until(async () => /^priority:\(\w+ or \w+\)$/.test(search().get("q") ?? ""), `not widened: ${search().get("q")}`);
    await facet.locator(".facet-value").first().hover();
    await facet.locator(".facet-not").first().click();
    await until(async () => / and -priority:|-priority:\w+$/.test(search().get("q") ?? ""), `not excluded: ${search().get("q")}`);
    await page.goBack();
    await until(async () => /^priority:\(/.test(search().get("q") ?? ""), "back does not go back");
  });

  await step("dragging over the histogram zooms", async () => {
    await openEvents();
    await page.waitForSelector(".chart-canvas canvas");
    const box = await page.locator(".chart").boundingBox();
    await page.mouse.move(box.x + box.width * 0.6, box.y + 40);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.8, box.y + 40, { steps: 5 });
    await page.mouse.up();
    await until(async () => /^\d{4}-/.test(search().get("from") ?? ""), "the range is not absolute");
    const hours = (Date.parse(search().get("to")) - Date.parse(search().get("from"))) / 3_600_000;
    expect(hours > 3.5 && hours < 7, `the range has ${hours} hours`);
  });

  await step("keys: j, k, Enter open an event; Escape closes; its link finds it", async () => {
    await openEvents();
    for (const key of ["j", "j", "k", "j", "Enter"]) await page.keyboard.press(key);
    await page.waitForSelector(".event-drawer .event-rule");
    const id = search().get("event");
    expect(id, "the event is not in the address");
    await page.keyboard.press("j");
    await until(async () => search().get("event") !== id, "j does not go on in the drawer");
    await page.click('.event-drawer button[aria-label="Copy link"]');
    await until(async () => (await page.evaluate(() => navigator.clipboard.readText())).includes("event="), "the link is not on the clipboard");
    const link = await page.evaluate(() => navigator.clipboard.readText());
    await page.keyboard.press("Escape");
    await until(async () => !search().has("event"), "Escape does not close");
    await page.goto(link);
    await page.waitForSelector(".event-drawer .event-rule");
    await page.click('.ant-tabs-tab[data-node-key="fields"]');
    await page.locator('.event-facts-all .fact-actions button[aria-label^="Show only rule"]').click();
    await until(async () => /^rule:/.test(search().get("q") ?? ""), "a field's plus does not filter");
  });

  await step("a chosen column is in the address and survives", async () => {
    await openEvents();
    await page.click(".events-tools .btn:has-text('Columns')");
    await page.fill(".columns-choice .input", "hostname");
    await page.click(".columns-rest .menu-item");
    await until(async () => (search().get("cols") ?? "").includes("hostname"), "not in the address");
    await open("/events");
    await until(async () => (await page.locator(".event-head").innerText()).includes("Host"), "not kept");
    await page.click(".events-tools .btn:has-text('Columns')");
    await page.click(".columns-head .btn:has-text('Reset')");
    await until(async () => !(search().get("cols") ?? "").includes("hostname"), "not reset");
  });

  await step("a column is drawn wider, keeps its width, and gets its own back", async () => {
    await openEvents();
    const head = page.locator(".event-head [role=columnheader]").nth(2);
    const width = async () => (await head.boundingBox()).width;
    const before = await width();
    const box = await head.locator(".width-handle").boundingBox();
    await page.mouse.move(box.x + box.width / 2, box.y + 10);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width / 2 + 90, box.y + 10, { steps: 6 });
    await page.mouse.up();
    await until(async () => Math.abs((await width()) - before - 90) < 3, `it is ${await width()} px wide, was ${before}`);
    const cell = await page.locator(".event-row:not(.event-row-empty) .cell").nth(2).boundingBox();
    expect(Math.abs(cell.width - (await width())) < 1, "the rows did not follow");
    await openEvents();
    expect(Math.abs((await width()) - before - 90) < 3, "the width is not kept");
    await head.locator(".width-handle").focus();
    await page.keyboard.press("ArrowLeft");
    await until(async () => Math.abs((await width()) - before - 74) < 3, "an arrow key does not narrow it");
    await head.locator(".width-handle").dblclick();
    await until(async () => Math.abs((await width()) - before) < 3, "a double click does not reset it");
  });

  await step("a long list scrolls smoothly with bounded memory", async () => {
    await openEvents();
    const result = await page.evaluate(async () => {
      const table = document.querySelector(".event-table");
      const frames = [];
      let last = performance.now();
      const end = last + 1_500;
      while (performance.now() < end) {
        table.scrollTop += 600;
        await new Promise((done) => requestAnimationFrame(done));
        const now = performance.now();
        frames.push(now - last);
        last = now;
      }
      frames.sort((a, b) => a - b);
      return {
        rows: Math.round(table.scrollTop / 29),
        median: frames[frames.length >> 1],
        p95: frames[Math.floor(frames.length * 0.95)],
        nodes: document.querySelectorAll(".event-row").length,
      };
    });
    expect(result.nodes < 120, `${result.nodes} rows are in the page`);
    return `${result.rows} rows passed, frame median ${result.median.toFixed(0)} ms, p95 ${result.p95.toFixed(0)} ms, ${result.nodes} rows in the page`;
  });

  await step("live tail receives, pauses, counts, resumes", async () => {
    await open("/events?live=1");
    await page.waitForSelector(".live-open");
    await page.click(".live-status .btn");
    // An event of our own, in case nothing else happens.
    await page.evaluate(async () => {
      const session = await (await fetch("/api/session")).json();
      await fetch("/api/events/test", {
        method: "POST",
        headers: { "Content-Type": "application/json", "X-Quaywatch-CSRF": session.csrf_token },
        body: "{}",
      });
    });
    await page.waitForSelector(".live-new");
    await page.click(".live-new");
    await until(async () => (await page.locator(".live-new").count()) === 0, "it does not resume");
  });

  await step("export is what is shown: query, range, order, columns", async () => {
    await openEvents("q=priority%3E%3DWarning&cols=time,rule,container.name,proc.name&order=asc&");
    const shown = await page.locator(".event-row:not(.event-row-empty)").first().locator(".cell").allInnerTexts();
    const taken = {};
    for (const [format, label] of [["csv", "CSV"], ["json", "JSON,"], ["ndjson", "NDJSON"]]) {
      await page.click(".events-tools .btn:has-text('Export')");
      const [download] = await Promise.all([page.waitForEvent("download"), page.click(`[role=menuitem]:has-text('${label}')`)]);
      const url = new URL(download.url());
      expect(url.searchParams.get("query") === "priority>=Warning", "without the query");
      expect(/^\d{4}-/.test(url.searchParams.get("start") ?? ""), "without a fixed range");
      expect(download.suggestedFilename().endsWith(`.${format}`), `the file is called ${download.suggestedFilename()}`);
      taken[format] = { text: readFileSync(await download.path(), "utf8"), url };
    }
    const [header, first] = taken.csv.text.trimEnd().split(/\r?\n/);
    expect(header === "time,rule,container.name,proc.name", `the columns are ${header}`);
    expect(first.includes(shown[1]) && first.includes(shown[2]), `the first row is ${first}, the list shows ${shown.join(" | ")}`);
    const events = JSON.parse(taken.json.text);
    const lines = taken.ndjson.text.trimEnd().split("\n").map((line) => JSON.parse(line));
    expect(events.length > 0 && events.length === lines.length, `${events.length} events in JSON, ${lines.length} in NDJSON`);
    expect(taken.csv.text.trimEnd().split(/\r?\n/).length === events.length + 1, "CSV has another number of rows");
    expect(events[0].rule === shown[1] && lines[0].id === events[0].id, "JSON begins with another event");
    const { searchParams } = taken.json.url;
    const listed = await page.evaluate(async (asked) => {
      const ids = [];
      let cursor = "";
      do {
        const answer = await (await fetch(`/api/events?${asked}&limit=1000${cursor && `&cursor=${encodeURIComponent(cursor)}`}`)).json();
        ids.push(...answer.items.map(({ id }) => id));
        cursor = answer.next_cursor;
      } while (cursor && ids.length < 10_000);
      return ids;
    }, new URLSearchParams({ query: searchParams.get("query"), start: searchParams.get("start"), end: searchParams.get("end"), order: "asc" }).toString());
    const exported = events.map(({ id }) => id).slice(0, 10_000);
    expect(listed.slice(0, 10_000).join() === exported.join(), `${exported.length} events exported, ${listed.length} listed`);
    return `${events.length} events`;
  });

  await step("a view is saved, opened, renamed, changed, deleted", async () => {
    const views = async () => {
      await page.click(".events-tools .btn:has-text('Views')");
      await page.waitForSelector(".views");
    };
    await openEvents("q=priority%3E%3DError&");
    await views();
    await page.click(".views-save");
    await page.fill("#view-name", "smoke view");
    await page.keyboard.press("Enter");
    await page.waitForSelector("#view-name", { state: "detached" });
    await openEvents();
    await views();
    await page.click(".view-open:has-text('smoke view')");
    await until(async () => search().get("q") === "priority>=Error", "it does not open");
    await openEvents("q=priority%3E%3DWarning&");
    await views();
    await page.click('button[aria-label="Rename view smoke view"]');
    await page.fill(".view-rename .input", "renamed view");
    await page.keyboard.press("Enter");
    await page.waitForSelector(".view-open:has-text('renamed view')");
    await page.click('button[aria-label="Save what is shown as view renamed view"]');
    await page.waitForSelector(".view-current:has-text('renamed view')");
    await page.click('button[aria-label="Delete view renamed view"]');
    await page.click(".view-sure .btn-danger");
    await until(async () => (await page.locator(".view-open:has-text('renamed view')").count()) === 0, "it stays");
  });

  await step("times: a preset, two fixed ends; order; refresh; the list without its rail", async () => {
    await openEvents();
    await page.click(".time-btn");
    await page.click(".time-presets .btn:has-text('6 hours')");
    await until(() => search().get("from") === "now-6h", "the preset is not in the address");
    await page.click(".time-btn");
    await page.click(".time-absolute .btn-primary");
    await until(() => /^\d{4}-/.test(search().get("from") ?? ""), "the fixed ends are not in the address");
    await openEvents();
    const newest = page.locator(".event-row:not(.event-row-empty)").first();
    const before = await newest.innerText();
    await page.click(".event-head .head-btn");
    await until(() => search().get("order") === "asc", "the order is not in the address");
    await until(async () => (await newest.innerText()) !== before, "the order has not changed");
    const rail = page.locator(".events-rail");
    await page.click(".events-tools .btn:has-text('Filters')");
    await rail.waitFor({ state: "detached" });
    await page.click(".events-tools .btn:has-text('Filters')");
    await rail.waitFor();
    const [asked] = await Promise.all([page.waitForRequest((request) => request.url().includes("/api/events?")), page.click('button[aria-label="Refresh"]')]);
    expect(asked.url().includes("order=asc"), "it reads again in another order");
  });

  await step("an event: its neighbours, JSON, a field as a column, one excluded, the way to its container", async () => {
    await openEvents();
    // One that names its host: a test event does not.
    await page.locator('.event-row:has-text("(number=") .cell-output').first().click();
    await page.waitForSelector(".event-drawer .event-rule");
    const id = search().get("event");
    await page.click('.event-drawer button[aria-label="Next event"]');
    await until(() => search().get("event") !== id, "next does nothing");
    await page.click('.event-drawer button[aria-label="Previous event"]');
    await until(() => search().get("event") === id, "previous does nothing");
    await page.click('.ant-tabs-tab[data-node-key="json"]');
    await page.locator('.event-json .btn').click();
    const copied = await until(async () => {
      const text = await page.evaluate(() => navigator.clipboard.readText());
      return text.startsWith("{") && text;
    }, "JSON is not on the clipboard");
    expect(JSON.stringify(JSON.parse(copied)) === JSON.stringify(await api(`/api/events/${id}`)), "JSON is another event's");
    await page.click('.ant-tabs-tab[data-node-key="fields"]');
    await page.fill(".event-field-search .input", "hostname");
    await page.click('.event-facts-all button[aria-label="Add column hostname"]');
    await until(() => (search().get("cols") ?? "").includes("hostname"), "the column is not in the address");
    await page.click('.event-facts-all button[aria-label="Remove column hostname"]');
    await page.fill(".event-field-search .input", "rule");
    await page.click('.event-facts-all button[aria-label^="Leave out rule "]');
    await until(() => /^-rule:/.test(search().get("q") ?? ""), () => `a field's minus does not exclude: ${search().get("q")}`);
    await page.click('.event-drawer button[aria-label="Close"]');
    await until(() => !search().has("event"), "it does not close");
  });
}
