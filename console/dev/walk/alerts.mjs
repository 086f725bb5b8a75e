/** The inbox: triage by mouse and by key, what can be undone, filters; silences from their making to their end. */

import { answer, api, call, examine, expect, falcoLine, open, options, page, path, run, search, send, step, told, until } from "./harness.mjs";

const CONTAINER = `inbox-${run}`;
const IMAGE = `registry.example/inbox-${run}`;
const RULES = Array.from({ length: 8 }, (_, index) => `Walk ${run} ${index + 1}`);
const REASONS = ["resolved", "false_positive", "expected", "duplicate", "accepted"];
/** The list of this walk's own alerts. */
const MINE = `/alerts?workload=${encodeURIComponent(`${IMAGE}/${CONTAINER}`)}&sort=first_seen`;

const row = (rule) => page.locator(`.alert-row:has-text("${rule}")`);
const rows = () => page.locator(".alert-row");
const alertOf = async (rule) => (await api(`/api/alerts?rule=${encodeURIComponent(rule)}&limit=1`)).items[0];
/** Waits until the server says of the alert of `rule` what `condition` asks. */
const becomes = (rule, condition, what) => until(async () => condition(await alertOf(rule)), async () => `${what}: ${JSON.stringify(await alertOf(rule))}`);
const raise = (rules, priority = "Warning") => send(rules.map((rule) => falcoLine({ container: CONTAINER, image: IMAGE, rule, priority })));
const openMine = async () => {
  await open(MINE);
  await row(RULES[0]).waitFor();
};
const choose = async (menu, item) => {
  await page.click(`.alerts-filters .menu-root > button[aria-label^="${menu}"]`);
  await page.click(`.alerts-filters .menu-item:has-text("${item}")`);
};

export async function alertSteps() {
  await step("alerts come by themselves; under the pointer they wait", async () => {
    await open(`/alerts?q=${run}`);
    await page.waitForSelector(".alerts-inbox .empty");
    await raise(RULES.slice(0, 1));
    await row(RULES[0]).waitFor();
    await row(RULES[0]).hover();
    await raise(RULES.slice(1));
    await page.waitForSelector(".fresh");
    // The events of one batch can come in two messages.
    await until(async () => (await page.locator(".fresh").innerText()).includes(`${RULES.length - 1} new`), async () => `the button says ${await page.locator(".fresh").innerText()}`);
    expect((await rows().count()) === 1, "the list has moved under the pointer");
    await page.click(".fresh");
    await until(async () => (await rows().count()) === RULES.length, async () => `${await rows().count()} of ${RULES.length} alerts are listed`);
    await raise([RULES[0]], "Critical");
    await until(async () => /Critical[\s\S]*2×/.test(await row(RULES[0]).innerText()), "a second event does not grow the alert in place");
  });

  await step("alerts: filters, order, tabs and what is most active are in the address", async () => {
    await openMine();
    expect((await rows().count()) === RULES.length, `${await rows().count()} rows`);
    await choose("Least urgent", "Critical");
    await until(async () => search().get("priority") === "Critical" && (await rows().count()) === 1, "the priority does not filter");
    await choose("Least urgent", "Any");
    await choose("Source", "Behaviour");
    await until(() => search().get("source") === "profile", "the source is not in the address");
    await page.waitForSelector(".alerts-inbox .empty");
    await page.click(".alerts-inbox .empty .btn");
    await until(() => !search().has("source") && !search().has("workload"), "the filters are not cleared");
    await openMine();
    await choose("Order", "Most frequent");
    await until(() => search().get("sort") === "count", "the order is not in the address");
    await until(async () => (await rows().first().innerText()).includes(RULES[0]), "what has most events is not first");
    await page.click(".tab:has-text('Closed')");
    await until(() => search().get("state") === "closed", "the tab is not in the address");
    await page.click(".tab:has-text('Open')");
    await page.click(".alerts-filters .btn:has-text('Silenced too')");
    await until(() => search().get("silenced") === "1", "silenced ones are not in the address");
    await open(`/alerts?image=${encodeURIComponent(IMAGE)}`);
    await page.waitForSelector(`.chip:has-text("${IMAGE}")`);
    await until(async () => (await rows().count()) === RULES.length, "the image does not filter");
    await page.click(".chip");
    await until(() => !search().has("image"), "the chip does not go");
    for (const [name, group] of [["Container", CONTAINER], ["Image", IMAGE], ["Workload", `${IMAGE}/${CONTAINER}`], ["Rule", RULES[0]]]) {
      await page.click(`.alerts-lately .segmented button:text-is("${name}")`);
      const top = page.locator(`.alert-top-row:has-text("${group}")`).first();
      // Others can be more active: what is asked for is whether the group opens.
      if ((await page.locator(".alert-top-row").count()) > 0 && (await top.count()) > 0) {
        await top.click();
        await page.waitForSelector(`.chip:has-text("${group}")`);
        await page.click(".chip");
      }
    }
    await page.click(".alerts-lately .segmented button:text-is('5 min')");
    await until(() => search().get("window") === "5m", "the window is not in the address");
    await page.click(".alerts-lately .segmented button:text-is('24 hours')");
    await until(() => search().get("trend") === "24h", "the trend is not in the address");
    await page.waitForSelector(".alerts-lately .chart-canvas canvas");
  });

  await step("alerts by key: j, k, o, e, i, u, n, c and ?", async () => {
    await openMine();
    for (const key of ["j", "j", "k", "o"]) await page.keyboard.press(key);
    await page.waitForSelector(".alert-drawer .alert-detail-title");
    const id = Number(search().get("alert"));
    const { rule } = await api(`/api/alerts/${id}`);
    await page.waitForSelector(".alert-drawer .evidence li a");
    await page.keyboard.press("e");
    await becomes(rule, (alert) => alert.state === "acknowledged", "e does not acknowledge");
    // Its message goes with the click: the next of its kind is another.
    await page.locator(".toast:has-text('acknowledged') button:has-text('Undo')").click();
    await becomes(rule, (alert) => alert.state === "new", "undo does not take it back");
    await told("Undone");
    await page.keyboard.press("i");
    await becomes(rule, (alert) => alert.state === "in_progress", "i does not start");
    await page.keyboard.press("e");
    await told("acknowledged");
    await page.keyboard.press("u");
    await becomes(rule, (alert) => alert.state === "in_progress", "u does not bring the work back");
    await page.waitForSelector(".alert-drawer .alert-state-in_progress");
    await page.keyboard.press("n");
    await page.fill("#note", "seen on the walk");
    await page.keyboard.press("Control+Enter");
    await page.waitForSelector(".history-quote:has-text('seen on the walk')");
    await page.fill(".note-field textarea", "and once more");
    await page.click(".note-field .btn");
    await page.waitForSelector(".history-quote:has-text('and once more')");
    await page.keyboard.press("Tab");
    await page.locator(".alert-drawer .alert-detail-title").click();
    await page.keyboard.press("?");
    await page.waitForSelector("dialog.help[open] :text('Undo the last step')");
    await page.keyboard.press("Escape");
    await page.keyboard.press("c");
    await page.waitForSelector("dialog[open] .choices");
    await page.keyboard.press("Escape");
    await page.waitForSelector("dialog[open]", { state: "detached" });
    expect((await alertOf(rule)).state === "in_progress", "a dialog that was left has closed the alert");
    await page.keyboard.press("Escape");
    await until(() => !search().has("alert"), "Escape does not close");
  });

  await step("alerts are closed with each reason, and reopened", async () => {
    await openMine();
    for (const [index, reason] of REASONS.entries()) {
      const rule = RULES[index + 1];
      await row(rule).locator(".alert-title").click();
      await page.waitForSelector(`.alert-drawer:has-text("${rule}") .alert-actions`);
      if (index % 2 === 0) {
        await page.click(".alert-actions .btn:has-text('Close')");
        await page.locator("dialog[open] .choice").nth(index).click();
      } else {
        await page.keyboard.press("c");
        await page.waitForSelector("dialog[open] .choices");
        await page.keyboard.press(String(index + 1));
      }
      await becomes(rule, (alert) => alert.state === "closed" && alert.close_reason === reason, `it is not closed as ${reason}`);
      await until(async () => (await row(rule).count()) === 0, "a closed alert is still among the open ones");
      await page.keyboard.press("Escape");
      await until(() => !search().has("alert"), "Escape does not close the drawer");
    }
    await page.click(".tab:has-text('Closed')");
    await row(RULES[1]).locator(".alert-title").click();
    await page.click(".alert-drawer .alert-actions .btn:has-text('Reopen')");
    await becomes(RULES[1], (alert) => alert.state === "new", "it is not reopened");
    await page.keyboard.press("Escape");
    const { id } = await alertOf(RULES[2]);
    await open(`/alerts/${id}`);
    await page.click(".alert-actions .btn:has-text('Reopen')");
    await page.waitForSelector(".alert-state-new");
    await page.click(".alert-actions .btn:has-text('Acknowledge')");
    await page.waitForSelector(".alert-state-acknowledged");
    await page.click(".alert-actions .btn:has-text('Back to new')");
    await page.waitForSelector(".alert-state-new");
    await page.click(".alert-actions .btn:has-text('Start work')");
    await page.waitForSelector(".alert-state-in_progress");
    const history = (await api(`/api/alerts/${id}`)).history.filter(({ action }) => action === "state").map(({ state }) => state);
    expect(history.join() === "closed,new,acknowledged,new,in_progress", `the history is ${history.join()}`);
    await page.click(".alert-detail-links .btn-primary");
    await until(() => path() === "/events" && /^\d{4}-/.test(search().get("from") ?? ""), "the events around it are not shown");
    await page.waitForSelector(".event-row:not(.event-row-empty)");
    await page.goBack();
    await page.locator(".evidence a").first().click();
    await page.waitForSelector(".event-drawer .event-rule");
    await page.goBack();
    await page.click(".alert-detail-links .btn:has-text('Open container')");
    await page.waitForSelector(".container-grid");
  });

  await step("alerts in bulk: x, shift, all; assigned, noted, closed, taken back", async () => {
    const { username } = await assignable();
    await openMine();
    await page.keyboard.press("j");
    await page.keyboard.press("x");
    await page.waitForSelector(".bulk:has-text('1 selected')");
    await rows().nth(2).locator(".check").click({ modifiers: ["Shift"] });
    await page.waitForSelector(".bulk:has-text('3 selected')");
    const chosen = await page.locator(".alert-row[data-selected=true]").evaluateAll((all) => all.map((one) => Number(one.dataset.alert)));
    await page.keyboard.press("a");
    await page.locator("dialog[open] .choice").first().click();
    await until(async () => (await Promise.all(chosen.map((id) => api(`/api/alerts/${id}`)))).every(({ assignee }) => assignee === options.username), "they are not assigned to me");
    expect((await page.locator(".bulk").count()) === 0, "they are still selected");
    await page.locator(".alert-head .check").check();
    await page.waitForSelector(`.bulk:has-text("${await rows().count()} selected")`);
    await page.keyboard.press("Escape");
    await page.waitForSelector(".bulk", { state: "detached" });
    await rows().first().locator(".check").check();
    await page.click(".bulk .btn:has-text('Assign')");
    await page.fill("#assignee", username);
    await page.keyboard.press("Enter");
    await told(`is with ${username}`);
    const first = Number(await rows().first().getAttribute("data-alert"));
    await until(async () => (await api(`/api/alerts/${first}`)).assignee === username, "it is not assigned to another");
    await rows().first().locator(".check").check();
    await page.click(".bulk .btn:has-text('Assign')");
    await page.click("dialog[open] .choice:has-text('Nobody')");
    await until(async () => (await api(`/api/alerts/${first}`)).assignee === null, "it is still assigned");
    const before = await rows().count();
    await page.locator(".alert-head .check").check();
    await page.click(".bulk .btn:has-text('Note')");
    await page.fill("#note", "for all of them");
    await answer();
    await told("Note added");
    await page.locator(".alert-head .check").check();
    await page.click(".bulk .btn:has-text('Close')");
    await page.locator("dialog[open] .choice").nth(3).click();
    await page.waitForSelector(".alerts-inbox .empty");
    await told(`${before} alerts closed`);
    await page.keyboard.press("u");
    await until(async () => (await rows().count()) === before, "what was closed does not come back");
    await call("DELETE", `/api/users/${username}`);
  });

  await step("an alert is acknowledged and closed on the overview", async () => {
    await raise(["Walk overview"], "Emergency");
    await open("/");
    const line = page.locator(".alerts-today-list li:has-text('Walk overview')");
    await line.locator(".btn:has-text('Acknowledge')").click();
    await becomes("Walk overview", (alert) => alert.state === "acknowledged", "it is not acknowledged");
    await line.locator(".icon-btn").click();
    await page.locator("dialog[open] .choice").first().click();
    await becomes("Walk overview", (alert) => alert.state === "closed", "it is not closed");
    await until(async () => (await line.count()) === 0, "a closed alert stays among the open ones");
  });
}

/** Somebody who can be given alerts; made for this. */
async function assignable() {
  const username = `walk.${run}.helper`;
  const { status, body } = await call("POST", "/api/users", { username, role: "analyst" });
  expect(status === 201, `no second analyst: ${status} ${JSON.stringify(body)}`);
  return { username };
}

export async function silenceSteps() {
  const rule = `Walk ${run} quiet`;
  const silence = () => page.locator(`tr:has-text("walk ${run}")`);
  const silences = async () => (await api("/api/silences")).items.filter(({ comment, state }) => comment.startsWith(`walk ${run}`) && state === "active");

  await step("a silence is made from an alert, which is quiet from then on", async () => {
    await raise([rule]);
    await openMine();
    await row(rule).locator(".alert-title").click();
    await page.waitForSelector(".alert-drawer .alert-actions");
    await page.keyboard.press("s");
    await page.fill("#silence-comment", `walk ${run}`);
    await page.click("dialog[open] .segmented button:has-text('1 hour')");
    await answer();
    await told("Silence created");
    await becomes(rule, (alert) => alert.silenced_by !== null, "it is not silenced");
    await open(MINE);
    await row(RULES[0]).waitFor();
    expect((await row(rule).count()) === 0, "a silenced alert is listed");
    await open(`${MINE}&silenced=1`);
    await row(rule).locator(".alert-silenced").waitFor();
    const [{ matchers }] = await silences();
    expect(matchers.map(({ field, value }) => `${field}=${value}`).join() === `rule=${rule},workload=${IMAGE}/${CONTAINER}`, JSON.stringify(matchers));
  });

  await step("a silence's end is moved; the alert stays quiet", async () => {
    const [before] = await silences();
    await open("/alerts/silences");
    await silence().locator("button:has-text('Change')").click();
    expect((await page.inputValue("#silence-comment")) === `walk ${run}`, "the dialog does not have its reason");
    await page.click("dialog[open] .segmented button:has-text('1 week')");
    await page.fill("#silence-comment", `walk ${run} longer`);
    await answer();
    await told("is changed");
    const after = await until(async () => {
      const now = await silences();
      return now.length === 1 && now[0].id !== before.id && now[0];
    }, "there is not one silence in the place of the other");
    const days = (Date.parse(after.ends) - Date.now()) / 86_400_000;
    expect(days > 6.9 && days < 7.1, `it ends in ${days} days`);
    expect((await alertOf(rule)).silenced_by === after.id, "the alert spoke in between");
  });

  await step("a silence is ended; what it kept quiet is back", async () => {
    await open("/alerts/silences");
    await silence().locator(".btn-danger").click();
    await answer();
    await told("has ended");
    await until(async () => (await silence().count()) === 0, "it has not ended");
    await becomes(rule, (alert) => alert.silenced_by === null, "the alert is still quiet");
    await openMine();
    await row(rule).waitFor();
  });

  await step("a silence is made from nothing, with two conditions; an expired one is renewed", async () => {
    await open("/alerts/silences");
    await page.click(".page-head .btn-primary");
    await page.locator("dialog[open] .matcher .input.mono").first().fill(`Walk ${run}*`);
    await page.locator("dialog[open] .matcher select").nth(1).selectOption("glob");
    await page.click("dialog[open] .btn:has-text('Add a condition')");
    await page.locator("dialog[open] .matcher .input.mono").nth(1).fill("x");
    await page.click("dialog[open] .btn:has-text('Add a condition')");
    await page.locator("dialog[open] .matcher .icon-btn").nth(2).click();
    await page.locator("dialog[open] .matcher .input.mono").nth(1).fill(CONTAINER);
    await page.fill("#silence-comment", `walk ${run} globs`);
    await examine("the dialog of a silence");
    await answer();
    await silence().waitFor();
    await until(async () => (await alertOf(RULES[0])).silenced_by !== null, "its conditions match nothing");
    await page.click(".page-head .btn:has-text('Show expired')");
    await until(() => search().get("expired") === "1", "expired ones are not in the address");
    await silence().locator(".btn-danger").click();
    await answer();
    await until(async () => (await alertOf(RULES[0])).silenced_by === null, "it has not ended");
  });
}
