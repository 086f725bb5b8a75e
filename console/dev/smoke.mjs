/**
 * Uses the console as a person does, against a running server with events in it, and says what did not work.
 *
 *   node dev/smoke.mjs BASE_URL [--empty] [--only part-of-a-step's-name] [--username admin] [--password …] [--browser /usr/bin/chromium]
 *
 * With `--empty` it looks at a server that has no events yet, and leaves one test event there. Without, the server
 * holds events of several priorities, rules and containers over the last day. The password may come from
 * QUAYWATCH_PASSWORD. Every step waits for what it needs, however busy the machine is. Ends with code 1 when a step
 * failed. Also prints how long the first view took and how smoothly a long list scrolls.
 */

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    username: { type: "string", default: "admin" },
    password: { type: "string", default: process.env.QUAYWATCH_PASSWORD ?? "admin-password" },
    empty: { type: "boolean", default: false },
    only: { type: "string", default: "" },
    browser: { type: "string", default: "/usr/bin/chromium" },
  },
});
const [base] = positionals;
if (!base) {
  console.error("usage: node dev/smoke.mjs BASE_URL [options]");
  process.exit(2);
}

const browser = await chromium.launch({ executablePath: options.browser, args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"] });
const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, locale: "en", acceptDownloads: true });
await context.grantPermissions(["clipboard-read", "clipboard-write"]);
const page = await context.newPage();
const PATIENCE_MS = 60_000;
page.setDefaultTimeout(PATIENCE_MS);
const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const failures = [];
page.on("request", (request) => {
  const { origin, protocol } = new URL(request.url());
  if (origin !== new URL(base).origin && !["data:", "blob:"].includes(protocol)) failures.push(`request to ${request.url()}`);
});
page.on("pageerror", (error) => failures.push(`error on the page: ${error.message}`));
page.on("console", (message) => {
  if (message.type() === "error" && !/Failed to load resource/.test(message.text())) failures.push(`console: ${message.text()}`);
});

let failed = 0;
async function step(name, run) {
  // Where several steps went wrong, the rest says nothing new.
  if (failed >= 3 || !name.includes(options.only)) return;
  try {
    const note = await run();
    console.log(`ok    ${name}${note ? ` (${note})` : ""}`);
  } catch (error) {
    failed += 1;
    failures.push(`${name}: ${error.message.split("\n").slice(0, 6).join("; ")}`);
    console.log(`FAIL  ${name}: ${error.message.split("\n")[0]}`);
  }
}
const expect = (condition, what) => {
  if (!condition) throw new Error(what);
};
const until = async (condition, what) => {
  const end = Date.now() + PATIENCE_MS;
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
const rows = () => page.waitForSelector(".event-row:not(.event-row-empty)");
const openEvents = async (query = "") => {
  await open(`/events?${query}from=now-24h&to=now`);
  await page.waitForSelector("#page-search");
  await rows();
};
const signIn = async () => {
  await page.waitForSelector("#password");
  await page.fill("#username", options.username);
  await page.fill("#password", options.password);
  await page.click("button[type=submit]");
};
/** Fails when axe finds something serious on the page as it stands. */
const examine = async (where) => {
  // Through the debugger, which the page's content security policy does not concern.
  await page.evaluate(axeSource);
  const { violations } = await page.evaluate(() =>
    window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"], resultTypes: ["violations"] }),
  );
  const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  expect(
    serious.length === 0,
    `axe on ${where}: ${serious.map(({ id, nodes }) => `${id} at ${nodes.slice(0, 3).map((node) => node.target.join(" ")).join(", ")}`).join("; ")}`,
  );
};

if (options.only) {
  await page.goto(new URL("/login", base).href);
  await signIn();
  await page.waitForSelector(".topbar");
}
if (options.empty) await emptySteps();
else await fullSteps();
await browser.close();
for (const failure of failures) console.error(`failed: ${failure}`);
process.exit(failures.length > 0 ? 1 : 0);

/** A server without events: what each page says, and the way out of it. */
async function emptySteps() {
  await step("sign in", async () => {
    await page.goto(new URL("/", base).href);
    await signIn();
    await page.waitForSelector(".topbar");
  });

  for (const path of ["/", "/events", "/containers", "/sources"]) {
    await step(`${path} says what fills it`, async () => {
      await open(path);
      await page.waitForSelector(path === "/sources" ? ".code pre" : ".empty");
      await page.waitForSelector("button:has-text('Send test event')");
      const cut = await page.evaluate(() => [...document.querySelectorAll(".code pre")].filter((code) => code.scrollWidth > code.clientWidth).length);
      expect(cut === 0, `${cut} commands are cut off`);
      await examine(path);
    });
  }

  for (const path of ["/alerts", "/alerts/silences", "/profiles"]) {
    await step(`${path} says that nothing is there yet`, async () => {
      await open(path);
      await page.waitForSelector(".empty");
      await examine(path);
    });
  }

  await step("a command is copied", async () => {
    await open("/events");
    await page.click('.empty .code button[aria-label="Copy"]');
    await until(async () => (await page.evaluate(() => navigator.clipboard.readText())).startsWith("curl "), "the command is not on the clipboard");
  });

  await step("the test event shows where it was sent from", async () => {
    await page.click(".empty button:has-text('Send test event')");
    await rows();
    await until(async () => (await page.locator(".event-row").first().innerText()).includes("Quaywatch test event"), "it is not in the list");
    await open("/");
    await page.waitForSelector(".chart-canvas canvas");
  });
}

async function fullSteps() {
  await step("an address asks for sign-in and comes back to it", async () => {
    await page.goto(new URL("/events?q=priority%3E%3DNotice&from=now-24h&to=now", base).href);
    await page.waitForSelector("#password");
    await page.fill("#username", options.username);
    await page.fill("#password", "not the password at all");
    await page.click("button[type=submit]");
    await page.waitForSelector(".field-error");
    await signIn();
    await rows();
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
      const end = last + 3_000;
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

  await step("Ctrl-K goes to pages and containers, and changes the theme", async () => {
    await open("/");
    await page.waitForSelector(".figure-value");
    const command = async (text) => {
      await page.keyboard.press("Control+k");
      await page.waitForSelector(".command-input");
      await page.keyboard.type(text);
    };
    await command("sourc");
    await page.waitForSelector(".command-entry[aria-selected=true]:has-text('Sources')");
    await examine("the command palette");
    await page.keyboard.press("Enter");
    await until(async () => new URL(page.url()).pathname === "/sources", "it does not go to the page");
    const name = await page.evaluate(async () => (await (await fetch("/api/containers?state=all&limit=1")).json()).items[0].name);
    await command(name);
    await page.click(`.command-entry:has-text("${name}") >> nth=0`);
    await page.waitForSelector(".container-grid");
    await command("dark");
    await page.waitForSelector(".command-entry[aria-selected=true]:has-text('Dark')");
    await page.keyboard.press("Enter");
    await page.locator("html[data-theme=dark]").waitFor({ state: "attached" });
    await command("system");
    await page.waitForSelector(".command-entry[aria-selected=true]:has-text('System')");
    await page.keyboard.press("Enter");
    await page.locator("html[data-theme=light]").waitFor({ state: "attached" });
    await page.keyboard.press("Control+k");
    await page.waitForSelector(".command-input");
    await page.keyboard.press("Escape");
    await page.waitForSelector(".command-input", { state: "detached" });
  });

  await step("axe finds nothing serious, light and dark", async () => {
    for (const scheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme: scheme });
      for (const [path, there] of [
        ["/", ".figure-value"],
        ["/events?from=now-24h&to=now", ".event-row:not(.event-row-empty)"],
        ["/containers", ".container-row"],
        ["/sources", ".code pre"],
        ["/settings", "h1"],
      ]) {
        await open(path);
        await page.waitForSelector(there);
        await page.locator(`html[data-theme=${scheme}]`).waitFor({ state: "attached" });
        await examine(`${path} ${scheme}`);
      }
      await openEvents();
      await page.locator(".event-row:not(.event-row-empty) .cell-output").first().click();
      await page.waitForSelector(".event-drawer .event-rule");
      // Once it has slid in: a colour in between is none of ours.
      await page.waitForFunction(() => document.getAnimations().every((animation) => animation.playState !== "running"));
      await examine(`an event ${scheme}`);
    }
    await page.emulateMedia({ colorScheme: null });
  });

  await step("g c goes to containers; search; a container's page; back to its events", async () => {
    await open("/");
    await page.waitForSelector(".figure-value");
    await page.keyboard.press("g");
    await page.keyboard.press("c");
    await page.waitForSelector(".container-row");
    const name = (await page.locator(".container-name a").first().innerText()).trim();
    await page.fill("#page-search", name);
    await until(async () => (await page.locator(".container-name a").first().innerText()).trim() === name && search().get("q") === name, "the search finds nothing");
    await page.locator("#page-search").blur();
    await page.keyboard.press("j");
    await page.keyboard.press("Enter");
    await page.waitForSelector(".container-grid");
    await page.click(".page-head .btn-primary");
    await until(async () => (search().get("q") ?? "").includes("container."), "its events are not asked for");
  });

  await step("a token is made, shown once, revoked", async () => {
    await open("/tokens");
    await page.click(".page-head .btn-primary");
    await page.fill("#token-name", "smoke token");
    await page.click(".ant-modal-footer .ant-btn-primary");
    await page.waitForSelector(".ant-modal .code pre");
    expect((await page.locator(".ant-modal .code pre").innerText()).startsWith("qw_"), "no token is shown");
    await page.click(".ant-modal-footer .ant-btn-primary");
    await page.locator("tr:has-text('smoke token') .btn-danger").first().click();
    await page.locator(".ant-modal-footer .ant-btn-dangerous, .ant-modal-footer .ant-btn-color-dangerous").first().click();
    await until(async () => (await page.locator("tr:has-text('smoke token')").count()) === 0, "it stays");
  });

  await accessSteps();
  await alertSteps();
  await behaviourSteps();

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
    await signIn();
    await page.waitForSelector(".events");
    expect(search().get("q") === "priority>=Warning", `came back to ${page.url()}`);
  });

  await step("sign out", async () => {
    await page.click(".user-btn");
    await page.click(".menu-item:has-text('Sign out')");
    await page.waitForSelector("#password");
  });
}

/** Users, sessions, the audit log, and what somebody with fewer rights sees. */
async function accessSteps() {
  await step("a user is made, changed, signs in and sees less, is removed", async () => {
    await open("/users");
    await page.click(".page-head .btn-primary");
    await page.fill("#user-name", "smoke.user");
    await page.fill("#user-password", "a password for smoke");
    await page.selectOption("#user-role", "analyst");
    await page.click(".dialog-foot .btn-primary");
    const row = page.locator("tr[data-user='smoke.user']");
    await row.waitFor();
    await row.locator("button:has-text('Change')").click();
    await page.selectOption("#user-role", "viewer");
    await page.click(".dialog-foot .btn-primary");
    await until(async () => (await row.innerText()).includes("Viewer"), "the role has not changed");
    const guest = await browser.newContext({ locale: "en", viewport: { width: 1440, height: 900 } });
    const tab = await guest.newPage();
    tab.setDefaultTimeout(PATIENCE_MS);
    await tab.goto(new URL("/audit", base).href);
    await tab.fill("#username", "smoke.user");
    await tab.fill("#password", "a password for smoke");
    await tab.click("button[type=submit]");
    await tab.waitForSelector(".forbidden-code");
    await tab.click(".nav .menu-root > button");
    const shown = (await tab.locator(".nav .menu-item").allInnerTexts()).join();
    expect(!shown.includes("Users") && !shown.includes("Audit"), `the navigation shows ${shown}`);
    await guest.close();
    await row.locator(".btn-danger").click();
    await page.click(".dialog-foot .btn-danger");
    await until(async () => (await row.count()) === 0, "the user stays");
  });

  await step("sessions are listed, the own one is marked", async () => {
    await open("/sessions");
    await page.waitForSelector("tr[data-current=true]");
  });

  await step("the audit log has what was just done, filters, checks its chain", async () => {
    await open("/audit?action=user");
    await page.waitForSelector("tbody tr:has-text('smoke.user')");
    await page.click("button:has-text('Check the chain')");
    await page.waitForSelector(".audit-state");
    expect((await page.locator(".audit-bad").count()) === 0, "the chain is broken");
    await page.fill("#page-search", "nobody-of-this-name");
    await page.waitForSelector(".empty");
  });
}

/** The inbox: triage by mouse and key, undo, notes, silences. */
async function alertSteps() {
  const row = () => page.locator(".alert-row").first();
  await step("alerts: filters are in the address; j, o, e, undo", async () => {
    await open("/alerts?state=all&silenced=1");
    await row().waitFor();
    await page.waitForSelector(".chart-canvas canvas");
    await page.click(".tab:has-text('New')");
    await until(async () => search().get("state") === "new", "the tab is not in the address");
    await open("/alerts");
    await row().waitFor();
    await page.keyboard.press("j");
    await page.keyboard.press("o");
    await page.waitForSelector(".alert-drawer .alert-detail-title");
    const id = search().get("alert");
    expect(id, "the alert is not in the address");
    await page.waitForSelector(".alert-drawer .evidence li");
    await examine("an alert");
    await page.keyboard.press("i");
    await page.waitForSelector(".alert-drawer .alert-state-in_progress");
    await page.keyboard.press("e");
    await page.waitForSelector(".alert-drawer .alert-state-acknowledged");
    await page.locator(".toast:has-text('acknowledged') button:has-text('Undo')").click();
    await page.waitForSelector(".alert-drawer .alert-state-in_progress");
    await page.keyboard.press("n");
    await page.fill("#note", "seen by the smoke test");
    await page.click(".dialog-foot .btn-primary");
    await page.waitForSelector(".history-quote:has-text('seen by the smoke test')");
    await page.keyboard.press("c");
    await page.waitForSelector(".choices");
    await page.keyboard.press("3");
    await page.waitForSelector(".alert-drawer .alert-state-closed");
    await page.keyboard.press("Escape");
    await until(async () => !search().has("alert"), "Escape does not close");
    expect((await page.locator(`.alert-row[data-alert="${id}"]`).count()) === 0, "a closed alert is still among the open ones");
    await open(`/alerts/${id}`);
    await page.click(".alert-actions .btn:has-text('Reopen')");
    await page.waitForSelector(".alert-state-new");
    await page.click(".alert-detail-links .btn-primary");
    await until(async () => new URL(page.url()).pathname === "/events" && /^\d{4}-/.test(search().get("from") ?? ""), "its events are not shown");
    await rows();
  });

  await step("alerts: several are selected and assigned at once", async () => {
    await open("/alerts");
    await row().waitFor();
    const count = Math.min(2, await page.locator(".alert-row").count());
    for (let index = 0; index < count; index += 1) {
      await page.keyboard.press("j");
      await page.keyboard.press("x");
    }
    await page.waitForSelector(".bulk");
    await page.keyboard.press("a");
    await page.locator(".choice").first().click();
    await until(async () => (await page.locator(`.alert-standing:has-text("${options.username}")`).count()) >= count, "they are not assigned");
    expect((await page.locator(".bulk").count()) === 0, "they are still selected");
  });

  await step("a silence is made for an alert, listed, ended", async () => {
    await open("/alerts");
    await row().waitFor();
    await page.keyboard.press("j");
    await page.keyboard.press("s");
    await page.waitForSelector("#silence-comment");
    await page.fill("#silence-comment", "smoke silence");
    await page.click(".dialog-foot .btn-primary");
    await page.waitForSelector("dialog", { state: "detached" });
    await open("/alerts/silences");
    const silence = page.locator("tr:has-text('smoke silence')");
    await silence.waitFor();
    await silence.locator(".btn-danger").click();
    await page.click(".dialog-foot .btn-danger");
    await until(async () => (await silence.count()) === 0, "it has not ended");
  });

  await step("an alert is acknowledged on the overview", async () => {
    await open("/");
    await page.waitForSelector(".alerts-today-list li");
    const button = page.locator(".alerts-today-actions .btn:has-text('Acknowledge')").first();
    if ((await button.count()) === 0) return "none was new";
    await button.click();
    await page.waitForSelector(".toast:has-text('acknowledged')");
    return undefined;
  });

  await step("settings show who is told about alerts", async () => {
    await open("/settings");
    await page.waitForSelector("section[aria-label='Notifications'] :is(tbody tr, .empty)");
  });

  await step("axe finds nothing serious on the new pages, light and dark", async () => {
    for (const scheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme: scheme });
      for (const [path, there] of [
        ["/alerts", ".alert-row"],
        ["/alerts/silences?expired=1", "tbody tr, .empty"],
        ["/users", "tbody tr"],
        ["/tokens", "tbody tr, .empty"],
        ["/sessions", "tbody tr"],
        ["/audit", "tbody tr"],
      ]) {
        await open(path);
        await page.waitForSelector(there);
        await page.locator(`html[data-theme=${scheme}]`).waitFor({ state: "attached" });
        await examine(`${path} ${scheme}`);
      }
    }
    await page.emulateMedia({ colorScheme: null });
  });
}

/** Profiles and the tree of one of them. */
async function behaviourSteps() {
  await step("a profile's tree: arrows, search, from a node to its events", async () => {
    await open("/profiles");
    await page.waitForSelector(".profile-row, .empty");
    if ((await page.locator(".profile-row").count()) === 0) return "no profile yet";
    await examine("/profiles");
    await page.locator(".profile-actions .icon-btn").first().click();
    await page.waitForSelector(".profile-more");
    await page.locator(".profile-name a").first().click();
    await page.waitForSelector(".tree-row");
    await examine("a behaviour tree");
    const tree = page.locator("[role=tree]");
    await tree.focus();
    await page.keyboard.press("Home");
    const expanded = () => page.locator(".tree-row[aria-selected=true]").getAttribute("aria-expanded");
    await until(async () => (await expanded()) !== null, "no branch is selected");
    const before = await expanded();
    await page.keyboard.press(before === "true" ? "ArrowLeft" : "ArrowRight");
    await until(async () => (await expanded()) !== before, "an arrow does not open or close");
    const name = await page.evaluate(async () => {
      const { items } = await (await fetch("/api/profiles?limit=1")).json();
      let node = await (await fetch(`/api/hbt/${encodeURIComponent(items[0].key)}`)).json();
      while (node.children.length > 0) node = node.children.find((child) => child.children.length > 0) ?? node.children[0];
      return node.name;
    });
    await page.fill("#page-search", name);
    await until(async () => search().get("find") === name, "the search is not in the address");
    await page.locator(".tree-row[aria-level='4']").first().click();
    await page.waitForSelector(".node-panel");
    await page.click(".node-actions .btn-primary");
    await until(async () => new URL(page.url()).pathname === "/events" && (search().get("q") ?? "") !== "", "its events are not asked for");
    await page.goBack();
    await page.waitForSelector(".node-panel");
    return undefined;
  });

  await step("a container's page has its alerts and its behaviour", async () => {
    await open("/containers");
    await page.locator(".container-name a").first().click();
    await page.click(".tab:has-text('Behaviour')");
    await page.waitForSelector(".tree-row, .empty");
    await page.click(".tab:has-text('Alerts')");
    await page.waitForSelector(".container-alert, .empty");
  });
}
