/** Tokens, users, sessions, the audit log, notifications, the own password: each with what it does. */

import { api, answer, base, call, downloaded, expect, newContext, newPage, open, page, PATIENCE_MS, falcoLine, run, search, sendAs, sender, signIn, signInStatus, step, told, until } from "./harness.mjs";

const USER = `walk.${run}`;
const PASSWORD = "a password for the walk";
const row = () => page.locator(`tr[data-user="${USER}"]`);
/** Somebody else, in a browser of their own. */
const guest = {};

export async function accessSteps() {
  await step("a token is made, shown once, and opens the way for events", async () => {
    await open("/tokens");
    await page.click(".page-head .btn-primary");
    await page.fill("#token-name", `walk ${run}`);
    await page.click(".ant-modal-footer .ant-btn-primary");
    await page.waitForSelector(".ant-modal .code pre");
    const token = (await page.locator(".ant-modal .code pre").innerText()).trim();
    expect(token.startsWith("qw_"), "no token is shown");
    await page.click(".ant-modal-footer .ant-btn-primary");
    await page.locator(`tr:has-text("walk ${run}")`).waitFor();
    expect((await sendAs(token, [falcoLine({ container: `walk-${run}`, rule: "Walk", priority: "Notice" })])) === 200, "it does not open the way");
    sender.token = token;
  });

  await step("a user is made with a password that is told once", async () => {
    await open("/users");
    await page.click(".page-head .btn-primary");
    await page.fill("#user-name", `${USER}.told`);
    await page.locator("dialog[open] .dialog-foot button").last().click();
    await page.waitForSelector("dialog[open] .code pre");
    const password = (await page.locator("dialog[open] .code pre").innerText()).trim();
    await page.click("dialog[open] .dialog-foot .btn-primary");
    expect((await signInStatus(`${USER}.told`, password)) === 200, "it does not sign in");
    await page.locator(`tr[data-user="${USER}.told"] .btn-danger`).click();
    await answer();
    await until(async () => (await page.locator(`tr[data-user="${USER}.told"]`).count()) === 0, "the user stays");
    expect((await signInStatus(`${USER}.told`, password)) === 401, "who is removed signs in");
  });

  await step("a user's role and part are changed, and what is seen follows", async () => {
    await open("/users");
    await page.click(".page-head .btn-primary");
    await page.fill("#user-name", USER);
    await page.fill("#user-password", PASSWORD);
    await page.selectOption("#user-role", "analyst");
    await answer();
    await row().waitFor();
    guest.context = await newContext();
    guest.page = await newPage(guest.context);
    await guest.page.goto(new URL("/audit", base).href);
    await signIn(guest.page, USER, PASSWORD);
    await guest.page.waitForSelector(".forbidden-code");
    await guest.page.click(".nav .menu-root > button");
    const shown = (await guest.page.locator(".nav .menu-item").allInnerTexts()).join();
    expect(!shown.includes("Users") && !shown.includes("Audit") && shown.includes("Tokens"), `an analyst's navigation shows ${shown}`);
    await row().locator("button:has-text('Change')").click();
    await page.selectOption("#user-role", "viewer");
    await page.locator("dialog[open] .segmented button").nth(1).click();
    await page.fill("#user-namespaces", "walk, other");
    await page.fill("#user-labels", "team=walk");
    await answer();
    await until(async () => /Viewer[\s\S]*other[\s\S]*team=walk/.test(await row().innerText()), "the role has not changed");
    const { items } = await api("/api/users");
    const user = items.find(({ username }) => username === USER);
    expect(user.role === "viewer" && [...user.scope.namespaces].sort().join() === "other,walk" && user.scope.labels.join() === "team=walk", JSON.stringify(user));
    await guest.page.goto(new URL("/alerts", base).href);
    await guest.page.waitForSelector(".alerts-inbox");
    expect((await guest.page.locator(".alert-row").count()) === 0 && (await guest.page.locator(".check").count()) === 0, "a viewer of a part sees or selects alerts of others");
  });

  await step("a session is listed for everyone and ended; the other browser has to sign in again", async () => {
    await open("/sessions");
    await page.waitForSelector("tr[data-current=true]");
    expect((await page.locator(`tr:has-text("${USER}")`).count()) === 0, "mine lists others");
    await page.click(".page-head .segmented button:has-text('Everyone')");
    const session = page.locator(`tr:has-text("${USER}")`);
    await session.first().waitFor();
    await session.first().locator(".btn-danger").click();
    await told("has ended");
    await until(async () => (await session.count()) === 0, "it is still listed");
    await guest.page.goto(new URL("/events", base).href);
    await guest.page.waitForSelector("#password");
  });

  await step("a password is reset: the old one no longer signs in", async () => {
    await open("/users");
    await row().locator("button:has-text('New password')").click();
    await page.fill("#new-user-password", `${PASSWORD} anew`);
    await answer();
    await told("new password");
    expect((await signInStatus(USER, PASSWORD)) === 401, "the old password signs in");
    expect((await signInStatus(USER, `${PASSWORD} anew`)) === 200, "the new password does not sign in");
  });

  await step("one's own password is changed in the settings, the wrong current one refused", async () => {
    await guest.page.goto(new URL("/settings", base).href);
    await signIn(guest.page, USER, `${PASSWORD} anew`);
    await guest.page.waitForSelector("#current-password");
    const change = async (current) => {
      await guest.page.fill("#current-password", current);
      await guest.page.fill("#new-password", `${PASSWORD} of mine`);
      await guest.page.fill("#repeat-password", `${PASSWORD} of mine`);
      await guest.page.click(".settings-password button[type=submit]");
    };
    await change("something that it is not");
    await guest.page.waitForSelector(".settings-password .field-error");
    await change(`${PASSWORD} anew`);
    await guest.page.waitForSelector(".toast:has-text('changed')");
    expect((await signInStatus(USER, `${PASSWORD} of mine`)) === 200, "the new password does not sign in");
    expect((await signInStatus(USER, `${PASSWORD} anew`)) === 401, "the old password signs in");
  });

  await step("a user is disabled, enabled, removed", async () => {
    await open("/users");
    await row().locator("button:has-text('Disable')").click();
    await told("no longer sign in");
    expect((await signInStatus(USER, `${PASSWORD} of mine`)) === 401, "who is disabled signs in");
    await guest.page.goto(new URL("/events", base).href);
    await guest.page.waitForSelector("#password");
    await row().locator("button:has-text('Enable')").click();
    await told("may sign in again");
    expect((await signInStatus(USER, `${PASSWORD} of mine`)) === 200, "who is enabled does not sign in");
    await row().locator(".btn-danger").click();
    await answer();
    await until(async () => (await row().count()) === 0, "the user stays");
    expect((await signInStatus(USER, `${PASSWORD} of mine`)) === 401, "who is removed signs in");
    await guest.context.close();
  });

  await step("the audit log has what was just done, filters, goes out, checks its chain", async () => {
    await open("/audit?action=user");
    await page.waitForSelector(`tbody tr:has-text("${USER}")`);
    for (const action of ["user.create", "user.change", "user.delete"]) {
      expect((await page.locator(`tbody tr:has-text("${USER}"):has-text("${action}")`).count()) > 0, `${action} is missing`);
    }
    await page.selectOption(".audit-filters select", "refused");
    await until(() => search().get("outcome") === "refused", "the outcome is not in the address");
    await page.waitForFunction((name) => ![...document.querySelectorAll("tbody tr")].some((one) => one.innerText.includes(name) && one.innerText.includes("user.create")), USER);
    await page.selectOption(".audit-filters select", "");
    await page.click(".time-btn");
    await page.click(".time-presets .btn:has-text('15 min')");
    await until(() => search().get("from") === "now-15m", "the time is not in the address");
    await page.waitForSelector(`tbody tr:has-text("${USER}")`);
    for (const [label, ending] of [["CSV", ".csv"], ["NDJSON", ".ndjson"]]) {
      await page.click(".page-head .menu-root > button:has-text('Export')");
      const file = await downloaded(page.locator(`.menu-item:has-text("${label}")`));
      expect(file.name.endsWith(ending) && file.text.includes(USER) && file.url.searchParams.get("action") === "user", `${file.name} of ${file.url}`);
    }
    await page.click("button:has-text('Check the chain')");
    await page.waitForSelector(".audit-state");
    expect((await page.locator(".audit-bad").count()) === 0, "the chain is broken");
    await page.fill("#page-search", "nobody-of-this-name");
    await page.waitForSelector(".empty");
  });

  await step("sinks say whether they took a test message", async () => {
    const { items } = await api("/api/notifications");
    await open("/settings");
    await page.waitForSelector("section[aria-label='Notifications'] :is(tbody tr, .empty)");
    if (items.length === 0) return "none is configured";
    const answers = [];
    for (const { name } of items) {
      const sink = page.locator(`tr[data-sink="${name}"]`);
      const [response] = await Promise.all([
        page.waitForResponse((one) => one.url().endsWith(`/api/notifications/${encodeURIComponent(name)}/test`), { timeout: PATIENCE_MS }),
        sink.locator("button:has-text('Send test')").click(),
      ]);
      const { ok, detail } = await response.json();
      await sink.locator("[role=status]").waitFor();
      const said = await sink.locator("[role=status]").innerText();
      expect(said.startsWith(ok ? "Taken" : "Not taken") && said.includes(detail), `${name}: “${said}” for ${JSON.stringify({ ok, detail })}`);
      answers.push(`${name}: ${ok ? "taken" : "not taken"}`);
    }
    return answers.join(", ");
  });
}

/** At the end: nothing is sent any more. */
export async function tokenEnds() {
  await step("a token is revoked, and what it opened is shut", async () => {
    if (!sender.token) await call("POST", "/api/tokens", { name: `walk ${run}`, scopes: ["ingest"], expires: null }).then(({ body }) => (sender.token = body.token));
    await open("/tokens");
    await page.locator(`tr:has-text("walk ${run}") .btn-danger`).first().click();
    await page.locator(".ant-modal-footer .ant-btn-dangerous, .ant-modal-footer .ant-btn-color-dangerous").first().click();
    await until(async () => (await page.locator(`tr:has-text("walk ${run}")`).count()) === 0, "it stays");
    const status = await sendAs(sender.token, [falcoLine({ container: `walk-${run}`, rule: "Walk", priority: "Notice" })]);
    expect(status === 401, `events are still answered with ${status}`);
  });
}
