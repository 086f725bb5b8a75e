/**
 * Pictures of every page, wide and narrow, light and dark, and what axe has to say about each.
 *
 *   node dev/screenshots.mjs BASE_URL OUT_DIR [--username admin] [--password …] [--scenario full|empty|failing|setup]
 *        [--only events,login] [--widths 1440,390] [--themes light,dark] [--language en|zh-CN] [--axe]
 *        [--browser /usr/bin/chromium]
 *
 * The password may come from QUAYWATCH_PASSWORD. `--scenario` names what the server holds and only chooses which
 * states are worth a picture. With `--axe`, serious and critical findings end it with code 1; so do errors in the
 * browser's console (a violated content security policy is one).
 */

import { Buffer } from "node:buffer";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    username: { type: "string", default: "admin" },
    password: { type: "string", default: process.env.QUAYWATCH_PASSWORD ?? "admin-password" },
    scenario: { type: "string", default: "full" },
    only: { type: "string", default: "" },
    widths: { type: "string", default: "1440,390" },
    themes: { type: "string", default: "light,dark" },
    language: { type: "string", default: "en" },
    browser: { type: "string", default: "/usr/bin/chromium" },
    axe: { type: "boolean", default: false },
  },
});
const [base, out] = positionals;
if (!base || !out) {
  console.error("usage: node dev/screenshots.mjs BASE_URL OUT_DIR [options]");
  process.exit(2);
}
mkdirSync(out, { recursive: true });
const axeSource = options.axe ? readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8") : "";
const HEIGHTS = { 390: 844, 1440: 900 };
const only = options.only.split(",").filter(Boolean);
const filled = options.scenario === "full" || options.scenario === "failing";

/** What to take pictures of: an address, and what to do there first. */
const SHOTS = [
  { name: "login", path: "/login", public: true },
  { name: "login-wrong", path: "/login", public: true, act: async (page) => signIn(page, "wrong-password", /\S/) },
  { name: "setup", path: "/setup", public: true, scenario: "setup" },
  { name: "overview", path: "/" },
  { name: "events", path: "/events?from=now-6h&to=now" },
  {
    name: "events-filtered",
    path: `/events?q=${encodeURIComponent('priority>=Warning and -rule:"Write below etc"')}&from=now-24h&to=now`,
    filled: true,
  },
  {
    name: "events-error",
    path: "/events",
    act: async (page) => {
      await page.fill("#page-search", "priority>=Warnin and proc.name:bash");
      await page.waitForSelector(".query-error");
      await page.keyboard.press("Escape");
      await page.waitForTimeout(100);
    },
  },
  {
    name: "events-completion",
    path: "/events",
    act: async (page) => {
      await page.click("#page-search");
      await page.keyboard.type("rule:");
      await page.waitForSelector(".suggestion").catch(() => undefined);
    },
  },
  ...["summary", "fields", "json"].map((tab) => ({
    name: `event-${tab}`,
    path: "/events?from=now-6h&to=now",
    filled: true,
    act: async (page) => {
      await page.click(".event-row .cell-output, .event-item");
      await page.waitForSelector(".event-rule");
      if (tab !== "summary") await page.click(`.ant-tabs-tab[data-node-key="${tab}"]`);
      await page.waitForTimeout(400);
    },
  })),
  {
    name: "events-live",
    path: "/events?live=1",
    act: async (page) => page.waitForTimeout(2_500),
  },
  {
    name: "events-live-paused",
    path: "/events?live=1",
    filled: true,
    act: async (page) => {
      await page.waitForSelector(".live-open", { state: "attached" });
      await page.click(".live-status .btn");
      await page.waitForTimeout(3_000);
    },
  },
  {
    name: "events-columns",
    path: "/events",
    wide: true,
    act: async (page) => {
      await page.click(".events-tools .btn:has-text('Columns'), .events-tools .btn:has-text('列')");
      await page.waitForSelector(".columns-choice");
      await page.waitForTimeout(300);
    },
  },
  {
    name: "events-views",
    path: "/events",
    act: async (page) => {
      await page.click(".events-tools .btn:has-text('Views'), .events-tools .btn:has-text('视图')");
      await page.waitForSelector(".views");
      await page.waitForTimeout(300);
    },
  },
  {
    name: "events-time",
    path: "/events",
    act: async (page) => {
      await page.click(".time-btn");
      await page.waitForSelector(".time-choice");
      await page.waitForTimeout(300);
    },
  },
  {
    name: "events-facets",
    path: "/events?from=now-24h&to=now",
    narrow: true,
    act: async (page) => {
      await page.click(".events-tools .btn");
      await page.waitForSelector(".facet-value").catch(() => undefined);
      await page.waitForTimeout(500);
    },
  },
  { name: "events-nothing", path: `/events?q=${encodeURIComponent("rule:nothing-is-called-this")}` },
  { name: "logs", path: "/logs" },
  { name: "logs-nothing", path: "/logs?q=nothing-is-called-this" },
  {
    name: "logs-paused",
    path: "/logs",
    filled: true,
    act: async (page) => {
      await page.waitForSelector(".log-row");
      await page.hover(".log-box");
      await page.mouse.wheel(0, -700);
      await page.waitForSelector(".log-waiting");
      await page.waitForTimeout(2_500);
    },
  },
  {
    name: "logs-line",
    path: "/logs",
    filled: true,
    act: async (page) => {
      await page.waitForSelector(".log-row");
      for (const key of ["k", "k", "Enter"]) await page.keyboard.press(key);
      await page.waitForSelector(".log-detail");
      await page.waitForTimeout(300);
    },
  },
  { name: "logs-panes", path: "/logs?c=web-frontend-1&c=", filled: true },
  {
    name: "logs-containers",
    path: "/logs",
    act: async (page) => {
      await page.click(".picker-btn");
      await page.waitForSelector(".picker");
      await page.waitForTimeout(500);
    },
  },
  { name: "containers", path: "/containers" },
  { name: "containers-none", path: "/containers?q=nothing-is-called-this" },
  {
    name: "container",
    path: "/containers",
    filled: true,
    act: async (page) => {
      await page.click(".container-name a");
      await page.waitForSelector(".container-grid");
      await settle(page);
    },
  },
  // At its limits, with a gap, without a network, stopped, not readable; against the mock server.
  ...[0, 1, 2, 3, 4].map((index) => ({
    name: `container-usage-${index}`,
    path: "/containers",
    filled: true,
    act: async (page) => {
      const links = page.locator(".container-name a");
      await links.first().waitFor();
      await links.nth(Math.min(index, (await links.count()) - 1)).click();
      await page.waitForSelector(".page-tabs");
      await page.goto(`${page.url()}?tab=usage`);
      await page.waitForSelector(".usage canvas, .empty");
      await settle(page);
    },
  })),
  { name: "container-unknown", path: "/containers/no-such-container" },
  ...["behaviour", "alerts", "logs"].map((tab) => ({
    name: `container-${tab}`,
    path: "/containers",
    filled: true,
    act: async (page) => {
      await page.click(".container-name a");
      await page.waitForSelector(".page-tabs");
      await page.goto(`${page.url()}?tab=${tab}`);
      await page.waitForSelector({ alerts: ".container-newest, .empty", logs: ".log-excerpt, .empty" }[tab] ?? ".tree-row, .empty");
      await settle(page);
    },
  })),
  { name: "alerts", path: "/alerts" },
  { name: "alerts-closed", path: "/alerts?state=closed&silenced=1" },
  { name: "alerts-nothing", path: "/alerts?q=nothing-is-called-this" },
  { name: "alert-open", path: "/alerts", filled: true, act: async (page) => openAlert(page, ".alert-drawer .alert-detail-title") },
  {
    name: "alerts-selected",
    path: "/alerts",
    filled: true,
    act: async (page) => {
      for (const index of [0, 1, 2]) await page.locator(".alert-row .check").nth(index).check();
      await page.waitForSelector(".bulk");
    },
  },
  ...[
    ["close", "c"],
    ["assign", "a"],
    ["silence", "s"],
  ].map(([name, key]) => ({
    name: `alert-${name}`,
    path: "/alerts",
    filled: true,
    act: async (page) => {
      await page.waitForSelector(".alert-row");
      await page.keyboard.press("j");
      await page.keyboard.press(key);
      await page.waitForSelector("dialog[open]");
    },
  })),
  {
    name: "alert-page",
    path: "/alerts?source=profile",
    filled: true,
    act: async (page) => {
      const id = await page.locator(".alert-row").first().getAttribute("data-alert");
      await page.goto(new URL(`/alerts/${id}`, page.url()).href);
      await page.waitForSelector(".alert-detail-title");
      await settle(page);
    },
  },
  { name: "silences", path: "/alerts/silences?expired=1" },
  { name: "profiles", path: "/profiles" },
  {
    name: "profile-details",
    path: "/profiles",
    filled: true,
    act: async (page) => {
      await page.locator(".profile-actions .icon-btn").first().click();
      await page.waitForSelector(".profile-more");
    },
  },
  ...["", "?show=deviating", "?view=diagram"].map((state) => ({
    name: `behaviour${state.replace(/^\?\w+=/, "-")}`,
    path: "/profiles",
    filled: true,
    act: async (page) => {
      await page.goto(new URL(`${await mostDeviating(page)}${state}`, page.url()).href);
      await page.waitForSelector(".tree-row, .tree-diagram canvas, .empty");
      if (state.includes("show")) await page.locator(".tree-row[aria-level='4']").first().click({ timeout: 5_000 }).catch(() => undefined);
      await settle(page);
    },
  })),
  {
    name: "behaviour-compared",
    path: "/profiles",
    filled: true,
    act: async (page) => {
      await page.goto(new URL(await mostDeviating(page), page.url()).href);
      await page.waitForSelector(".behaviour-compare optgroup", { state: "attached" });
      await page.selectOption(".behaviour-compare", { index: 1 });
      await settle(page);
    },
  },
  {
    name: "behaviour-earlier",
    path: "/profiles",
    filled: true,
    act: async (page) => {
      await page.goto(new URL(await mostDeviating(page), page.url()).href);
      await page.click(".scrub .icon-btn >> nth=0");
      await settle(page);
    },
  },
  {
    name: "profile-import",
    path: "/profiles",
    act: async (page) => {
      const [chooser] = await Promise.all([page.waitForEvent("filechooser"), page.click(".page-head .btn:has(svg) >> nth=-1")]);
      await chooser.setFiles({ name: "shop.quaywatch-profile.json", mimeType: "application/json", buffer: Buffer.from(JSON.stringify({ key: "registry.example/shop/web/web" })) });
      await page.waitForSelector("#import-key");
      await settle(page);
    },
  },
  {
    name: "silence-new",
    path: "/alerts/silences",
    act: async (page) => {
      await page.click(".page-head .btn-primary");
      await page.waitForSelector("dialog[open]");
    },
  },
  { name: "users", path: "/users" },
  {
    name: "users-create",
    path: "/users",
    act: async (page) => {
      await page.click(".page-head .btn-primary");
      await page.waitForSelector("#user-name");
      await page.locator(".dialog-form .segmented button").nth(1).click();
    },
  },
  { name: "tokens", path: "/tokens" },
  { name: "sessions", path: "/sessions?of=all" },
  { name: "audit", path: "/audit" },
  {
    name: "more",
    path: "/",
    act: async (page) => {
      await page.click(".nav .menu-root > button");
      await page.waitForSelector(".nav .menu");
    },
  },
  { name: "sources", path: "/sources" },
  {
    name: "sources-send",
    path: "/sources",
    filled: true,
    act: async (page) => {
      await page.locator(".driver-ways").scrollIntoViewIfNeeded();
      await page.waitForTimeout(200);
    },
  },
  { name: "routes", path: "/routes", act: async (page) => page.waitForTimeout(11_000) },
  {
    name: "routes-tested",
    path: "/routes",
    filled: true,
    act: async (page) => {
      for (const index of [0, 1]) await page.locator(".route-test .btn").nth(index).click();
      await page.locator(".route-answer").nth(1).waitFor();
    },
  },
  {
    name: "routes-dead",
    path: "/routes",
    filled: true,
    act: async (page) => {
      await page.locator(".route-dead").first().click();
      await page.waitForSelector(".dead-list, .dead-drawer .empty");
      await page.waitForTimeout(400);
    },
  },
  { name: "settings", path: "/settings" },
  {
    name: "tokens-create",
    path: "/tokens",
    act: async (page) => {
      await page.click(".page .btn-primary");
      await page.waitForSelector("#token-name");
      await page.waitForTimeout(400);
    },
  },
  {
    name: "help",
    path: "/",
    act: async (page) => {
      await page.keyboard.press("?");
      await page.waitForSelector("dialog[open]");
    },
  },
  {
    name: "command",
    path: "/",
    act: async (page) => {
      await page.keyboard.press("Control+k");
      await page.waitForSelector(".command-input");
      await page.waitForTimeout(400);
    },
  },
  { name: "not-found", path: "/no-such-page" },
];

async function settle(page) {
  await page.waitForLoadState("domcontentloaded");
  // A live page never has an idle network: wait for what stands for missing data to go.
  await page.waitForFunction(() => document.querySelector("#root")?.childElementCount, null, { timeout: 15_000 });
  await page.waitForFunction(() => !document.querySelector(".skeleton, .chart-place, .chart-canvas:not(:has(canvas))"), null, { timeout: 8_000 }).catch(() => undefined);
  await page.waitForTimeout(700);
}

/** Address of the tree that has most to show. */
async function mostDeviating(page) {
  const { items } = await page.evaluate(async () => (await fetch("/api/profiles?limit=200")).json());
  const [{ key }] = items.sort((a, b) => b.deviating_nodes - a.deviating_nodes);
  return `/behaviour/${encodeURIComponent(key)}`;
}

async function openAlert(page, there) {
  await page.locator(".alert-row .alert-title").first().click();
  await page.waitForSelector(there);
  await page.waitForTimeout(700);
}

async function signIn(page, password, done) {
  await page.waitForSelector("#password");
  await page.fill("#username", options.username);
  await page.fill("#password", password);
  await page.click("button[type=submit]");
  if (done) await page.waitForSelector(".field-error");
  else {
    await page.waitForSelector(".topbar, .field-error", { timeout: 15_000 });
    const refused = page.locator(".field-error");
    if ((await refused.count()) > 0) throw new Error(`cannot sign in as ${options.username}: ${await refused.innerText()}`);
  }
}

const findings = [];
const browser = await chromium.launch({ executablePath: options.browser, args: ["--no-sandbox", "--force-color-profile=srgb"] });
try {
  const session = options.scenario === "setup" ? undefined : await storedSession();
  const contexts = new Map();
  for (const width of options.widths.split(",").map(Number)) {
    for (const theme of options.themes.split(",")) {
      for (const shot of SHOTS) {
        if (only.length > 0 && !only.includes(shot.name)) continue;
        if (shot.filled && !filled) continue;
        if ((shot.scenario ?? options.scenario) !== options.scenario) continue;
        if (options.scenario === "setup" && !shot.public) continue;
        if ((shot.wide && width < 721) || (shot.narrow && width > 720)) continue;
        const name = `${width} ${theme} ${shot.public ?? false}`;
        if (!contexts.has(name)) contexts.set(name, await newContext(shot, width, theme, session));
        await take(shot, width, theme, contexts.get(name));
      }
    }
  }
} finally {
  await browser.close();
}
for (const finding of findings) console.error(finding);
process.exit(findings.length > 0 ? 1 : 0);

async function storedSession() {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(new URL("/login", base).href);
  await signIn(page, options.password);
  const state = await context.storageState();
  await context.close();
  return state;
}

function newContext(shot, width, theme, session) {
  return browser.newContext({
    viewport: { width, height: HEIGHTS[width] ?? 900 },
    colorScheme: theme,
    locale: options.language,
    timezoneId: "UTC",
    hasTouch: width < 721,
    isMobile: width < 721,
    storageState: shot.public ? undefined : session,
  });
}

async function take(shot, width, theme, context) {
  const page = await context.newPage();
  const where = `${shot.name} ${width} ${theme}`;
  page.on("pageerror", (error) => findings.push(`${where}: ${error.message}`));
  page.on("console", (message) => {
    if (message.type() === "error" && !/Failed to load resource/.test(message.text())) findings.push(`${where}: ${message.text()}`);
  });
  const file = join(out, `${options.scenario}-${shot.name}-${width}-${theme}${options.language === "en" ? "" : `-${options.language}`}.png`);
  try {
    await page.goto(new URL(shot.path, base).href);
    await settle(page);
    await shot.act?.(page);
    await page.screenshot({ path: file });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    if (wide > 0) findings.push(`${where}: the page is ${wide} px wider than the window`);
    if (axeSource) await examine(page, where);
  } catch (error) {
    findings.push(`${where}: ${error.message.split("\n")[0]}`);
    await page.screenshot({ path: file }).catch(() => undefined);
  }
  console.log(file);
  await page.close();
}

async function examine(page, where) {
  // Through the debugger, which the page's content security policy does not concern.
  await page.evaluate(axeSource);
  const { violations } = await page.evaluate(() =>
    window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"], resultTypes: ["violations"] }),
  );
  for (const { id, impact, nodes } of violations) {
    if (impact !== "serious" && impact !== "critical") continue;
    findings.push(
      `${where}: axe ${id} (${impact}) ×${nodes.length}\n    ${nodes.slice(0, 3).map((node) => `${node.target.join(" ")} — ${node.failureSummary.split("\n").slice(1, 2).join(" ").trim()}`).join("\n    ")}`,
    );
  }
}
