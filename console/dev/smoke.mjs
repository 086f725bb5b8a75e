/**
 * Uses the console as a person does, against a running server with events in it, and says what did not work.
 *
 *   node dev/smoke.mjs BASE_URL [--username admin] [--password …] [--browser /usr/bin/chromium]
 *
 * The password may come from QUAYWATCH_PASSWORD. Ends with code 1 when a step failed. Also prints how long the
 * first view took and how smoothly a long list scrolls.
 */

import { parseArgs } from "node:util";
import { chromium } from "playwright-core";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    username: { type: "string", default: "admin" },
    password: { type: "string", default: process.env.QUAYWATCH_PASSWORD ?? "admin-password" },
    browser: { type: "string", default: "/usr/bin/chromium" },
  },
});
const [base] = positionals;
if (!base) {
  console.error("usage: node dev/smoke.mjs BASE_URL [options]");
  process.exit(2);
}

const browser = await chromium.launch({ executablePath: options.browser, args: ["--no-sandbox"] });
const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, locale: "en", acceptDownloads: true });
await context.grantPermissions(["clipboard-read", "clipboard-write"]);
const page = await context.newPage();
page.setDefaultTimeout(10_000);
const failures = [];
page.on("pageerror", (error) => failures.push(`error on the page: ${error.message}`));
page.on("console", (message) => {
  if (message.type() === "error" && !/Failed to load resource/.test(message.text())) failures.push(`console: ${message.text()}`);
});

async function step(name, run) {
  try {
    const note = await run();
    console.log(`ok    ${name}${note ? ` (${note})` : ""}`);
  } catch (error) {
    failures.push(name);
    console.log(`FAIL  ${name}: ${error.message.split("\n")[0]}`);
  }
}
const expect = (condition, what) => {
  if (!condition) throw new Error(what);
};
const until = async (condition, what) => {
  const end = Date.now() + 8_000;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(what);
    await page.waitForTimeout(50);
  }
};
const search = () => new URL(page.url()).searchParams;
const open = async (path) => {
  await page.goto(new URL(path, base).href);
  await page.waitForSelector(".topbar");
};

await step("an address asks for sign-in and comes back to it", async () => {
  await page.goto(new URL("/events?q=priority%3E%3DNotice&from=now-24h&to=now", base).href);
  await page.waitForSelector("#password");
  await page.fill("#username", options.username);
  await page.fill("#password", "not the password at all");
  await page.click("button[type=submit]");
  await page.waitForSelector(".field-error");
  await page.fill("#password", options.password);
  await page.click("button[type=submit]");
  await page.waitForSelector(".event-row:not(.event-row-empty)");
  expect(search().get("q") === "priority>=Notice", `the query is ${search().get("q")}`);
});

await step("first view, cold", async () => {
  const fresh = await browser.newContext({ storageState: await context.storageState(), viewport: { width: 1440, height: 900 } });
  const tab = await fresh.newPage();
  const begin = Date.now();
  await tab.goto(new URL("/", base).href);
  await tab.waitForSelector(".figure-value");
  const figures = Date.now() - begin;
  await tab.waitForSelector(".chart-canvas canvas");
  const chart = Date.now() - begin;
  await fresh.close();
  return `figures after ${figures} ms, chart after ${chart} ms`;
});

await step("completion of fields and values, Enter runs", async () => {
  await open("/events?from=now-24h&to=now");
  await page.keyboard.press("/");
  await page.keyboard.type("prio");
  await page.waitForSelector(".suggestion");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await until(async () => (await page.inputValue("#page-search")) === "priority>=", "the field was not completed");
  await page.keyboard.type("Warn");
  await until(async () => (await page.locator(".suggestion").count()) > 0, "no values are suggested");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
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
  await open("/events?from=now-24h&to=now");
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
  await open("/events?from=now-24h&to=now");
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
  await open("/events?from=now-24h&to=now");
  await page.waitForSelector(".event-row:not(.event-row-empty)");
  for (const key of ["j", "j", "k", "j", "Enter"]) await page.keyboard.press(key);
  await page.waitForSelector(".event-drawer .event-rule");
  const id = search().get("event");
  expect(id, "the event is not in the address");
  await page.keyboard.press("j");
  await until(async () => search().get("event") !== id, "j does not go on in the drawer");
  await page.click('.event-drawer button[aria-label="Copy link"]');
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
  await open("/events?from=now-24h&to=now");
  await page.click(".events-tools .btn:has-text('Columns')");
  await page.fill(".columns-choice .input", "hostname");
  await page.click(".columns-rest .menu-item");
  await until(async () => (search().get("cols") ?? "").includes("hostname"), "not in the address");
  await open("/events");
  expect((await page.locator(".event-head").innerText()).includes("Host"), "not kept");
  await page.click(".events-tools .btn:has-text('Columns')");
  await page.click(".columns-head .btn");
});

await step("a long list scrolls smoothly with bounded memory", async () => {
  await open("/events?from=now-24h&to=now");
  await page.waitForSelector(".event-row:not(.event-row-empty)");
  const result = await page.evaluate(async () => {
    const table = document.querySelector(".event-table");
    const frames = [];
    let last = performance.now();
    const end = last + 6_000;
    while (performance.now() < end) {
      table.scrollTop += 900;
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

await step("export carries query, range and columns", async () => {
  await open("/events?q=priority%3E%3DWarning&from=now-24h&to=now");
  await page.waitForSelector(".event-row:not(.event-row-empty), .empty");
  await page.click(".events-tools .btn:has-text('Export')");
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("[role=menuitem]:has-text('CSV')")]);
  const url = new URL(download.url());
  expect(url.searchParams.get("query") === "priority>=Warning", "without the query");
  expect(url.searchParams.get("columns")?.startsWith("time,priority"), "without the columns");
  expect(/^\d{4}-/.test(url.searchParams.get("start") ?? ""), "without a fixed range");
  return download.suggestedFilename();
});

await step("a view is saved, opened, deleted", async () => {
  await open("/events?q=priority%3E%3DError&from=now-6h&to=now");
  await page.click(".events-tools .btn:has-text('Views')");
  await page.click(".views-save");
  await page.fill("#view-name", "smoke view");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#view-name", { state: "detached" });
  await open("/events");
  await page.click(".events-tools .btn:has-text('Views')");
  await page.click(".view-open:has-text('smoke view')");
  await until(async () => search().get("q") === "priority>=Error", "it does not open");
  await page.click(".events-tools .btn:has-text('Views')");
  await page.click('button[aria-label="Delete view smoke view"]');
  await until(async () => (await page.locator(".view-open:has-text('smoke view')").count()) === 0, "it stays");
});

await step("g c goes to containers; search; a container's page; back to its events", async () => {
  await open("/");
  await page.keyboard.press("g");
  await page.keyboard.press("c");
  await page.waitForSelector(".container-row");
  const name = (await page.locator(".container-name a").first().innerText()).trim();
  await page.fill("#page-search", name);
  await until(async () => (await page.locator(".container-row").count()) >= 1, "the search finds nothing");
  await page.locator("#page-search").blur();
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await page.waitForSelector(".container-grid");
  await page.click(".page-head .btn-primary");
  await until(async () => (search().get("q") ?? "").includes("container."), "its events are not asked for");
});

await step("a token is made, shown once, revoked", async () => {
  await open("/settings");
  await page.click(".page .btn-primary");
  await page.fill("#token-name", "smoke token");
  await page.click(".ant-modal-footer .ant-btn-primary");
  await page.waitForSelector(".ant-modal .code pre");
  expect((await page.locator(".ant-modal .code pre").innerText()).startsWith("qw_"), "no token is shown");
  await page.click(".ant-modal-footer .ant-btn-primary");
  await page.locator("tr:has-text('smoke token') .btn-danger").first().click();
  await page.locator(".ant-modal-footer .ant-btn-dangerous, .ant-modal-footer .ant-btn-color-dangerous").first().click();
  await until(async () => (await page.locator("tr:has-text('smoke token')").count()) === 0, "it stays");
});

await step("theme and language change at once", async () => {
  await open("/settings");
  await page.click(".segmented button:has-text('Dark')");
  await until(async () => (await page.locator("html[data-theme=dark]").count()) === 1, "not dark");
  await page.click(".segmented button:has-text('简体中文')");
  await until(async () => (await page.locator("h1").innerText()) === "设置", "not Chinese");
  await page.click(".segmented button:has-text('English')");
  await until(async () => (await page.locator("h1").innerText()) === "Settings", "not English again");
});

await step("an ended session leads to sign-in and back to the same page", async () => {
  await open("/events?q=priority%3E%3DWarning");
  await context.clearCookies();
  await page.click('button[aria-label="Refresh"]');
  await page.waitForSelector("#password");
  await page.fill("#username", options.username);
  await page.fill("#password", options.password);
  await page.click("button[type=submit]");
  await page.waitForSelector(".events");
  expect(search().get("q") === "priority>=Warning", `came back to ${page.url()}`);
});

await step("sign out", async () => {
  await page.click(".user-btn");
  await page.click(".menu-item:has-text('Sign out')");
  await page.waitForSelector("#password");
});

await browser.close();
for (const failure of failures) console.error(`failed: ${failure}`);
process.exit(failures.length > 0 ? 1 : 0);
