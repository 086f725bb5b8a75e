/** What surrounds the pages: signing in and out, the palette, keys, themes, languages; overview, containers, sources. */

import { api, base, browser, context, expect, examine, newContext, newPage, open, options, page, path, search, signIn, step, told, until } from "./harness.mjs";

export async function frameSteps() {
  await step("an address asks for sign-in and comes back to it", async () => {
    await page.goto(new URL("/events?q=priority%3E%3DNotice&from=now-24h&to=now", base).href);
    await signIn(page, options.username, "not the password at all");
    await page.waitForSelector(".field-error");
    await signIn();
    await page.waitForSelector(".event-row:not(.event-row-empty)");
    expect(search().get("q") === "priority>=Notice", `the query is ${search().get("q")}`);
  });

  await step("first view, cold", async () => {
    const fresh = await newContext({ storageState: await context.storageState() });
    const tab = await newPage(fresh);
    const begin = Date.now();
    await tab.goto(new URL("/", base).href);
    await tab.waitForSelector(".figure-value");
    const figures = Date.now() - begin;
    await tab.waitForSelector(".chart-canvas canvas");
    const chart = Date.now() - begin;
    await fresh.close();
    return `figures after ${figures} ms, chart after ${chart} ms`;
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

  await step("every link of the frame leads to its page", async () => {
    await open("/");
    for (const [name, there] of [["Alerts", "/alerts"], ["Events", "/events"], ["Logs", "/logs"], ["Containers", "/containers"], ["Profiles", "/profiles"], ["Sources", "/sources"], ["Overview", "/"]]) {
      await page.click(`.nav .nav-link:has-text("${name}")`);
      await until(() => path() === there, `${name} leads to ${path()}`);
    }
    for (const [name, there] of [["Users", "/users"], ["Tokens", "/tokens"], ["Sessions", "/sessions"], ["Audit log", "/audit"], ["Settings", "/settings"]]) {
      await page.click(".nav .menu-root > button");
      await page.click(`.nav .menu-item:has-text("${name}")`);
      await until(() => path() === there, `${name} leads to ${path()}`);
    }
    await page.click(".health");
    await until(() => path() === "/sources", "the state of the sources leads elsewhere");
    await page.click(".brand");
    await until(() => path() === "/", "the name leads elsewhere");
    await page.keyboard.press("?");
    await page.waitForSelector("dialog.help[open]");
    await page.keyboard.press("Escape");
    await page.waitForSelector("dialog.help", { state: "detached" });
    await page.click(".help-btn");
    await page.click("dialog.help button[aria-label='Close']");
    await page.waitForSelector("dialog.help", { state: "detached" });
    await page.click(".user-btn");
    const [docs] = await Promise.all([context.waitForEvent("page"), page.click(".menu-item:has-text('API reference'), .menu-item:has-text('API')")]);
    await docs.waitForLoadState();
    await docs.waitForFunction(() => document.body.innerText.includes("/api/events"));
    await docs.close();
  });

  await step("the overview counts as the server does, over the time chosen; its figures lead on", async () => {
    for (const [label, range] of [["1 h", "now-1h"], ["7 d", "now-7d"], ["24 h", "now-24h"]]) {
      await open("/");
      const [asked] = await Promise.all([
        page.waitForRequest((request) => request.url().includes(`/api/overview?start=${range}`)),
        page.locator(".page-head .segmented button").nth({ "1 h": 0, "24 h": 1, "7 d": 2 }[label]).click(),
      ]);
      expect(asked, "not asked");
    }
    const { top_rules } = await api("/api/overview");
    await page.waitForSelector(".bars-wide .bar-row");
    const shown = (await page.locator(".bars-wide .bar-label").first().innerText()).trim();
    expect(top_rules.some(({ rule }) => rule === shown), `the first rule is ${shown}`);
    await page.locator(".bars-wide .bar-row").first().click();
    await until(() => path() === "/events" && /^rule:/.test(search().get("q") ?? ""), "a bar does not lead to its events");
    await page.goBack();
    const legend = page.locator(".legend-entry").first();
    await legend.click();
    await until(async () => (await legend.getAttribute("aria-pressed")) === "false", "a priority does not leave the chart");
    await legend.click();
    await page.waitForSelector(".chart-canvas canvas");
    const box = await page.locator(".overview-grid .chart").boundingBox();
    await page.mouse.move(box.x + box.width * 0.5, box.y + 60);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.7, box.y + 60, { steps: 4 });
    await page.mouse.up();
    await until(() => path() === "/events" && /^\d{4}-/.test(search().get("from") ?? ""), "brushing the chart does not lead to its events");
  });

  await step("the overview asks for its counts once", async () => {
    const asked = [];
    const listen = (request) => {
      const url = new URL(request.url());
      if (url.pathname.startsWith("/api/alerts")) asked.push(`${url.pathname}${url.search}`);
    };
    page.on("request", listen);
    await open("/");
    await page.waitForSelector(".alerts-today-figures .figure-value");
    await page.waitForSelector(".alerts-today-list, .alerts-today-none");
    page.off("request", listen);
    const rows = asked.filter((one) => !/state=new.*limit=1(&|$)/.test(one));
    expect(rows.length === 1 && /limit=6/.test(rows[0]), `beside /api/overview it asked ${asked.join(", ")}`);
    const { alerts } = await api("/api/overview");
    const text = await page.locator(".alerts-today-figures .figure-value").first().innerText();
    expect(text === String(alerts.open.new + alerts.open.acknowledged + alerts.open.in_progress), `${text} open alerts are shown, the server has ${JSON.stringify(alerts.open)}`);
  });

  await step("a container: its times, its parts, its live tail; a test event of its own", async () => {
    await open("/containers");
    await page.waitForSelector(".container-row");
    await page.click(".page-head .segmented button:has-text('Running')");
    await until(() => search().get("state") === "running", "the state is not in the address");
    await page.click(".page-head .segmented button:has-text('All')");
    const { items } = await api("/api/containers?state=all&limit=500");
    const busy = items.find(({ events }) => events.total > 0) ?? items[0];
    await open(`/containers/${encodeURIComponent(busy.id || busy.name)}`);
    await page.waitForSelector(".container-grid");
    await page.locator(".page-head .segmented button").nth(2).click();
    await until(() => search().get("range") === "7d", "the time is not in the address");
    await page.waitForSelector(".container-newest li");
    await page.click(".tab:has-text('Behaviour')");
    await page.waitForSelector(".tree-row, .empty");
    expect(search().get("range") === "7d" && search().get("tab") === "behaviour", `the address is ${page.url()}`);
    await page.click(".tab:has-text('Alerts')");
    await page.waitForSelector(".container-alert, .empty");
    await page.click(".tab:has-text('Activity')");
    await page.locator(".container-newest a").first().click();
    await page.waitForSelector(".event-drawer .event-rule");
    await page.goBack();
    await page.click(".page-head .btn:has-text('Live')");
    await until(() => search().get("live") === "1" && (search().get("q") ?? "").startsWith("container."), "its live tail does not open");
  });

  await step("sources: figures as the server has them, commands to copy, a test event", async () => {
    await open("/sources");
    const { items } = await api("/api/sources");
    await until(async () => (await page.locator(".source").count()) === items.length, `${items.length} sources are not there`);
    for (const { id } of items) expect((await page.locator(`.source[aria-label="${id}"]`).count()) === 1, `${id} is missing`);
    const senders = items.filter(({ kind }) => ["syslog", "fluentd", "gelf"].includes(kind));
    expect((await page.locator(".driver-ways button").count()) === senders.length, `commands for ${await page.locator(".driver-ways button").count()} of ${senders.length} receivers`);
    const before = await events();
    await page.click(".page-head .btn:has-text('Send test event')");
    await told("test event");
    await until(async () => (await events()) > before, "the test event is not stored");
    await page.locator('.code button[aria-label="Copy"]').first().click();
    await until(async () => (await page.evaluate(() => navigator.clipboard.readText())).length > 20, "the command is not on the clipboard");
  });
}

const events = async () => (await api(`/api/events?limit=1000&start=now-1h&query=${encodeURIComponent('rule:"Quaywatch test event"')}`)).items.length;

export async function leavingSteps() {
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
