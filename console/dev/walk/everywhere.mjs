/** axe on every page, and on everything that opens on one, in both themes and at both widths. */

import { api, base, examineAll, newContext, newPage, open, page, signIn, step, expect, context } from "./harness.mjs";

const click = (selector) => page.locator(selector).first().click();
const key = (...keys) => async () => {
  for (const one of keys) await page.keyboard.press(one);
};
const DIALOG = "dialog[open]";

/** An address, what is there when it is drawn, and what opens on it: how, where that is, and whether on wide pages alone. */
const PAGES = [
  ["/", ".alerts-today-figures", [
    ["help", key("?"), DIALOG],
    ["the palette", key("Control+k"), DIALOG],
    ["more pages", () => click(".nav .menu-root > button"), ".menu"],
    ["the account", () => click(".user-btn"), ".menu"],
  ]],
  ["/alerts?state=all&silenced=1", ".alert-row", [
    ["an alert", () => click(".alert-row .alert-title"), ".alert-drawer .history"],
    ["why it is closed", key("c"), DIALOG],
    ["whose it is", key("a"), DIALOG],
    ["a note", key("n"), DIALOG],
    ["a silence", key("s"), DIALOG],
  ]],
  ["/alerts?source=profile&state=all", ".alert-row, .empty", [["several", () => click(".alert-head .check"), ".bulk"]]],
  ["/alerts/silences?expired=1", "tbody tr, .empty", [["a new one", () => click(".page-head .btn-primary"), DIALOG]]],
  ["/events?from=now-24h&to=now", ".event-row:not(.event-row-empty)", [
    ["an event", () => click(".event-row:not(.event-row-empty) .cell-output"), ".event-drawer .event-rule"],
    ["its fields", () => click('.ant-tabs-tab[data-node-key="fields"]'), ".event-drawer .event-facts-all"],
    ["its JSON", () => click('.ant-tabs-tab[data-node-key="json"]'), ".event-drawer .event-json"],
  ]],
  ["/events?from=now-24h&to=now", ".event-row:not(.event-row-empty)", [["times", () => click(".time-btn"), ".time-choice"]]],
  ["/events?from=now-24h&to=now", ".event-row:not(.event-row-empty)", [["columns", () => click(".events-tools .btn:has-text('Columns')"), ".columns-choice", "wide"]]],
  ["/events?live=1", ".live-open", []],
  ["/containers", ".container-row", []],
  ["container", ".container-grid", [
    ["its alerts", () => click(".tab:has-text('Alerts')"), ".container-alert, .empty"],
    ["its behaviour", () => click(".tab:has-text('Behaviour')"), ".tree-row, .empty"],
  ]],
  ["/profiles", ".profile-row", [
    ["details", () => click(".profile-actions .icon-btn"), ".profile-more"],
    ["the end of learning", () => click(".profile-more .btn"), DIALOG],
  ]],
  ["behaviour", ".tree-row", [["a node", async () => {
    await page.locator("[role=tree]").focus();
    await page.keyboard.press("End");
  }, ".node-panel"]]],
  ["behaviour?view=diagram", ".tree-diagram canvas", []],
  ["/sources", ".code pre", []],
  ["/routes", "[data-route], .empty", []],
  ["/users", "tbody tr", [["a new one", () => click(".page-head .btn-primary"), DIALOG]]],
  ["/users", "tbody tr", [["a change", () => click("tbody .btn-small"), DIALOG]]],
  ["/tokens", "tbody tr, .empty", [["a new one", () => click(".page-head .btn-primary"), ".ant-modal"]]],
  ["/sessions?of=all", "tbody tr", []],
  ["/audit", "tbody tr", []],
  ["/settings", "section[aria-label='Notifications'] :is(tbody tr, .empty)", []],
  ["/no-such-page", ".empty", []],
];

export async function everywhereSteps() {
  await step("axe finds nothing serious on any page, nor in what opens there, in both themes and at both widths", async () => {
    const { items: containers } = await api("/api/containers?state=all&limit=1");
    const { items: alerts } = await api("/api/alerts?limit=1");
    const container = alerts[0]?.containers?.[0] ?? containers[0];
    const { items: profiles } = await api("/api/profiles?limit=1");
    let examined = 0;
    let last = "";
    for (const [name, there, parts] of PAGES) {
      const where = name
        .replace(/^container$/, `/containers/${encodeURIComponent(container.id || container.name)}`)
        .replace(/^behaviour/, `/behaviour/${encodeURIComponent(profiles[0].key)}`);
      await open(where);
      await page.waitForSelector(there);
      if (where !== last) await examineAll(name);
      last = where;
      examined += 1;
      for (const [part, act, selector, width] of parts) {
        if (part === "several" && (await page.locator(".alert-row").count()) === 0) continue;
        await act();
        await page.locator(selector).first().waitFor();
        const within = [".alert-drawer", ".event-drawer"].find((drawer) => selector.startsWith(drawer)) ?? selector;
        await examineAll(`${name}: ${part}`, { part: within, reopen: act, wideOnly: width === "wide" });
        examined += 1;
        if (selector === DIALOG || selector === ".menu") {
          await page.keyboard.press("Escape");
          await page.waitForSelector(selector, { state: "detached" });
        }
      }
    }
    return `${examined} states`;
  });

  await step("the way in has nothing serious either, and speaks Chinese to whose browser does", async () => {
    const fresh = await newContext({ locale: "zh-CN" });
    const tab = await newPage(fresh);
    await tab.goto(new URL("/login", base).href);
    await tab.waitForSelector("#password");
    expect((await tab.locator("html").getAttribute("lang")) === "zh-CN", "the browser's language is not taken");
    expect(/[\u4e00-\u9fff]/.test(await tab.locator("button[type=submit]").innerText()), "the button is not Chinese");
    await fresh.close();
    const state = await context.storageState();
    await context.clearCookies();
    await page.goto(new URL("/login", base).href);
    await page.waitForSelector("#password");
    await examineAll("/login");
    await signIn(page, "nobody", "not the password at all");
    await page.waitForSelector(".field-error");
    await examineAll("/login refused");
    await context.addCookies(state.cookies);
  });
}
