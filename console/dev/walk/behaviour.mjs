/** Profiles and their trees: learning ended and begun again, deviations looked at, accepted, taught; export, import. */

import { answer, api, downloaded, expect, falcoLine, open, page, path, run, search, send, step, told, until } from "./harness.mjs";
import { Buffer } from "node:buffer";

const CONTAINER = `tree-${run}`;
const IMAGE = `registry.example/tree-${run}`;
const KEY = `${IMAGE}/${CONTAINER}`;
const HERE = `/api/profiles/${encodeURIComponent(KEY)}`;
const ROUNDS = 12;

const event = (fields, ageMs = 0) => falcoLine({ container: CONTAINER, image: IMAGE, rule: "Everything", priority: "Debug", ageMs, fields: { "proc.pname": "containerd-shim", ...fields } });
const read = (name, ageMs) => event({ "evt.type": "openat", "proc.name": "nginx", "fd.name": name, "fd.type": "file", "evt.arg.flags": "O_RDONLY|O_CLOEXEC" }, ageMs);
/** What a small web server does. */
const habits = (ageMs) => [
  event({ "evt.type": "execve", "proc.name": "nginx", "proc.cmdline": "nginx -g daemon off;", "proc.exepath": "/usr/sbin/nginx" }, ageMs),
  ...["/etc/nginx/nginx.conf", "/etc/nginx/mime.types", "/etc/passwd"].map((name) => read(name, ageMs)),
  event({ "evt.type": "accept4", "proc.name": "nginx", "fd.type": "ipv4", "fd.l4proto": "tcp", "fd.name": "172.17.0.1:40000->172.17.0.2:80" }, ageMs),
];
/** Somebody gets a shell, writes a file, reaches out. */
const breakIn = () => [
  event({ "evt.type": "execve", "proc.name": "sh", "proc.pname": "nginx", "proc.cmdline": "sh -i", "proc.exepath": "/bin/sh", "proc.stdin.type": "ipv4" }),
  event({ "evt.type": "openat", "proc.name": "sh", "proc.pname": "nginx", "fd.name": "/tmp/.x/agent", "fd.type": "file", "evt.arg.flags": "O_WRONLY|O_CREAT", "evt.arg.mode": "0755" }),
  event({ "evt.type": "connect", "proc.name": "sh", "proc.pname": "nginx", "fd.type": "ipv4", "fd.l4proto": "tcp", "fd.name": "172.17.0.2:41000->45.9.148.3:4444" }),
];

const profile = () => api(HERE);
const card = () => page.locator(`.profile[data-profile="${KEY}"]`);
const openProfile = async () => {
  await open(`/profiles?q=${encodeURIComponent(KEY)}`);
  await card().waitFor();
};
const openTree = async (state = "") => {
  await open(`/behaviour/${encodeURIComponent(KEY)}${state}`);
  await page.waitForSelector(".tree-row");
};
/** The leaf `name` of the server's tree, now or at a time. */
const leaf = async (name, at = "") => {
  const find = (node) => (node.children.length === 0 ? (node.name.includes(name) ? node : undefined) : node.children.map(find).find(Boolean));
  return find(await api(`/api/hbt/${encodeURIComponent(KEY)}${at && `?at=${encodeURIComponent(at)}`}`));
};
const leafRow = (name) => page.locator(`.tree-row[aria-level="4"]:has-text("${name}")`);

export async function behaviourSteps() {
  await step("a workload's profile is there with its first events, and learns", async () => {
    for (let round = ROUNDS; round > 0; round -= 1) await send(habits(round * 600_000));
    await until(async () => (await api(`/api/profiles?search=${encodeURIComponent(KEY)}`)).items.length === 1, "there is no profile");
    await openProfile();
    await until(async () => (await card().locator(".branch-learning").count()) === 4, "its four branches do not learn");
    await page.click(".page-head .segmented button:has-text('Detecting')");
    await until(() => search().get("state") === "detecting", "the state is not in the address");
    await until(async () => (await card().count()) === 0, "what learns is listed among what detects");
    await page.click(".page-head .segmented button:has-text('Learning')");
    await card().waitFor();
  });

  await step("learning is ended and begun again, branch by branch and whole", async () => {
    await openProfile();
    await card().locator(".profile-actions .icon-btn").first().click();
    const branches = card().locator(".profile-branches > div");
    for (const [index, name] of ["process", "network", "file", "lineage"].entries()) {
      await branches.nth(index).locator("button:has-text('End learning')").click();
      await answer();
      await until(async () => (await profile()).branches[name].state === "detecting", `${name} still learns`);
      await branches.nth(index).locator("button:has-text('Learn again')").waitFor();
    }
    await branches.nth(1).locator("button:has-text('Learn again')").click();
    await answer();
    await until(async () => (await profile()).branches.network.state === "learning", "network does not learn again");
    expect((await profile()).branches.file.state === "detecting", "file learns again too");
    const menu = async (item) => {
      await card().locator(".profile-actions .menu-root > button").click();
      await card().locator(`.menu-item:has-text("${item}")`).click();
      await answer();
    };
    await until(async () => (await card().locator(".profile-row .branch-learning").count()) === 1, "the row does not follow");
    await menu("End learning");
    await until(async () => (await profile()).frozen, "the whole has not ended");
    await until(async () => (await card().locator(".profile-row .branch-learning").count()) === 0, "the row does not follow");
    await menu("Learn again");
    await until(async () => Object.values((await profile()).branches).every(({ state }) => state === "learning"), "the whole does not learn again");
    await until(async () => (await card().locator(".profile-row .branch-learning").count()) === 4, "the row does not follow");
    await menu("End learning");
    await until(async () => Object.values((await profile()).branches).every(({ state }) => state === "detecting"), "it has not ended again");
    expect((await profile()).snapshots.length > 0, "no earlier state was kept");
  });

  await step("what it never did is one alert with a story, and a way into the tree", async () => {
    await send(breakIn());
    const list = `/api/alerts?source=profile&workload=${encodeURIComponent(KEY)}`;
    await until(async () => (await api(list)).items.length > 0, "there is no alert");
    await open(`/alerts?source=profile&workload=${encodeURIComponent(KEY)}`);
    await page.locator(".alert-row").first().waitFor();
    expect((await page.locator(".alert-row").count()) === 1, "it is more than one alert");
    await page.locator(".alert-row .alert-title").first().click();
    await page.waitForSelector(".alert-drawer .story li");
    expect((await page.locator(".alert-drawer .story li").count()) >= 3, "its story has not three reasons");
    await page.locator(".alert-behaviour a").first().click();
    await page.waitForSelector(".node-panel");
    expect(path().startsWith("/behaviour/") && (await page.locator(".tree-row[aria-selected=true]").count()) === 1, "its place in the tree is not shown");
    await page.goBack();
    await page.click(".alert-drawer .alert-detail-links .btn:has-text('Deviating')");
    await page.waitForSelector(".tree-row[data-state=deviating]");
    expect(search().get("show") === "deviating", "it shows more than what deviates");
  });

  await step("the tree: arrows, branches, states, search, open and close all, diagram", async () => {
    await openTree();
    const tree = page.locator("[role=tree]");
    await tree.focus();
    await page.keyboard.press("Home");
    const expanded = () => page.locator(".tree-row[aria-selected=true]").getAttribute("aria-expanded");
    const before = await until(expanded, "no branch is selected");
    await page.keyboard.press(before === "true" ? "ArrowLeft" : "ArrowRight");
    await until(async () => (await expanded()) !== before, "an arrow does not open or close");
    await page.click(".behaviour-foot .btn:has-text('Close all')");
    await until(async () => (await page.locator(".tree-row").count()) === 4, "there are not four branches");
    await page.click(".behaviour-foot .btn:has-text('Open all')");
    await leafRow("mime.types").waitFor();
    await page.click(".behaviour-tools .segmented button:has-text('Network')");
    await until(() => search().get("branch") === "network", "the branch is not in the address");
    await until(async () => (await leafRow("mime.types").count()) === 0, "the branch does not filter");
    await page.click(".behaviour-tools .segmented button:has-text('All branches')");
    await page.click(".behaviour-tools .segmented button:has-text('Deviating')");
    await leafRow("/tmp/.x/agent").waitFor();
    await until(async () => (await page.locator(".tree-row[aria-level='4'][data-state=learned]").count()) === 0, "what is known stands among what deviates");
    await page.locator(".behaviour-tools .segmented button:has-text('All')").last().click();
    await page.fill("#page-search", "mime");
    await until(() => search().get("find") === "mime", "the search is not in the address");
    await until(async () => (await page.locator(".tree-row[aria-level='4']").count()) === 1, "the search finds more or less than one");
    await page.click(".behaviour-time .segmented button:has-text('Diagram')");
    await page.waitForSelector(".tree-diagram canvas");
    await page.click(".behaviour-time .segmented button:has-text('Tree')");
    await page.waitForSelector(".tree-row");
  });

  await step("from a node to its events", async () => {
    await openTree("?find=mime");
    await leafRow("mime.types").click();
    await page.click(".node-actions .btn-primary");
    await until(() => path() === "/events" && (search().get("q") ?? "").includes("mime.types"), "its events are not asked for");
    await page.waitForSelector(".event-row:not(.event-row-empty)");
    await page.goBack();
    await page.click(".node-panel button[aria-label='Close']");
    await page.waitForSelector(".node-panel", { state: "detached" });
  });

  await step("a deviation is accepted: it is known, said by whom, and the profile counts it", async () => {
    await openTree("?show=deviating");
    expect((await leaf("/tmp/.x/agent")).metadata.state === "deviating", "it does not deviate");
    await leafRow("/tmp/.x/agent").click();
    await page.click(".node-actions .btn:has-text('Accept')");
    await told("known from now on");
    await until(async () => (await leaf("/tmp/.x/agent")).metadata.state === "accepted", "the server does not know it");
    await page.click(".behaviour-tools .segmented button:has-text('Accepted')");
    await leafRow("/tmp/.x/agent").click();
    await page.waitForSelector(".node-panel:has-text('Accepted by')");
    expect((await profile()).accepted >= 1, "the profile counts nothing accepted");
  });

  await step("closing an alert as expected teaches its profile; reopening takes that back", async () => {
    const list = `/alerts?source=profile&workload=${encodeURIComponent(KEY)}`;
    await open(list);
    const row = page.locator(".alert-row").first();
    const id = Number(await row.getAttribute("data-alert"));
    const teachable = (await api(`/api/alerts/${id}`)).teachable;
    expect(teachable > 0, "there is nothing to teach");
    await row.locator(".alert-title").click();
    await page.click(".alert-actions .btn:has-text('Close')");
    await page.waitForSelector("dialog[open] .choice-more .check");
    expect(await page.locator("dialog[open] .choice-more .check").isChecked(), "it is not proposed");
    await page.keyboard.press("t");
    await until(async () => !(await page.locator("dialog[open] .choice-more .check").isChecked()), "t does not change it");
    await page.keyboard.press("3");
    await until(async () => (await api(`/api/alerts/${id}`)).state === "closed", "it is not closed");
    expect((await api(`/api/alerts/${id}`)).taught === 0, "it has taught without being asked");
    await page.click(".alert-actions .btn:has-text('Remember as normal')");
    await told("the profile learned");
    await until(async () => (await api(`/api/alerts/${id}`)).taught === teachable, "the profile has not learned it");
    await until(async () => (await leaf("45.9.148")).metadata.state === "accepted", "the tree does not have it");
    await page.waitForSelector(".history:has-text('the profile learned')");
    await page.click(".alert-actions .btn:has-text('Reopen')");
    await until(async () => (await leaf("45.9.148")).metadata.state === "deviating", "the profile has not forgotten it");
    await page.waitForSelector(".history:has-text('the profile forgot')");
    await page.keyboard.press("c");
    await page.waitForSelector("dialog[open] .choice-more");
    await page.keyboard.press("3");
    await told("the profile learned");
    await until(async () => (await api(`/api/alerts/${id}`)).taught === teachable, "closing as expected does not teach");
    await page.keyboard.press("u");
    await until(async () => (await api(`/api/alerts/${id}`)).taught === 0, "undo does not take it back");
    expect((await leaf("45.9.148")).metadata.state === "deviating", "the profile still knows it");
  });

  await step("the tree as it was, beside an earlier state, beside another profile", async () => {
    const { snapshots } = await profile();
    expect(snapshots.length > 1, "there are no earlier states");
    await openTree();
    await page.click(".scrub .icon-btn >> nth=0");
    await until(() => search().get("at") === snapshots.at(-1).time, "the time is not in the address");
    await page.locator("#scrub").focus();
    await page.keyboard.press("Home");
    await until(() => search().get("at") === snapshots[0].time, "the slider does not reach the first state");
    await page.click(".behaviour-foot .btn:has-text('Open all')");
    await leafRow("mime.types").waitFor();
    expect((await leaf("/tmp/.x/agent", snapshots[0].time)) === undefined && (await leafRow("/tmp/.x/agent").count()) === 0, "the first state has what came later");
    await page.click(".scrub .icon-btn >> nth=1");
    await page.locator("#scrub").focus();
    await page.keyboard.press("End");
    await until(() => !search().has("at"), "the slider does not come back to now");
    await page.selectOption(".behaviour-compare", snapshots[0].time);
    await page.waitForSelector(".behaviour-compared:has-text('added')");
    const diff = await api(`${HERE}/diff?at=${encodeURIComponent(snapshots[0].time)}`);
    expect((await page.locator(".behaviour-compared").innerText()).includes(`${diff.added.length} added`), "it counts other differences than the server");
    await page.locator(".tree-row .node-mark:has-text('added')").first().waitFor();
    const { items } = await api("/api/profiles?limit=100");
    const other = items.find(({ key }) => key !== KEY);
    await page.selectOption(".behaviour-compare", other.key);
    await page.waitForSelector(`.behaviour-compared:has-text("${other.key}")`);
    await page.locator(".tree-row .node-mark:has-text('gone'), .tree-row .tree-removed").first().waitFor();
    await page.selectOption(".behaviour-compare", "");
    await page.waitForSelector(".behaviour-compared", { state: "detached" });
  });

  await step("a container's tree fills the window when asked, as it stands", async () => {
    await open(`/containers/${encodeURIComponent(CONTAINER)}?tab=behaviour&find=mime`);
    await leafRow("mime.types").waitFor();
    await page.click(".behaviour-head .btn:has-text('Full screen')");
    await until(() => path().startsWith("/behaviour/") && search().get("find") === "mime", "it does not keep what it showed");
    await leafRow("mime.types").waitFor();
  });

  await step("a profile goes out as a file and comes in again, also under another name", async () => {
    await openProfile();
    await card().locator(".profile-actions .menu-root > button").click();
    const file = await downloaded(card().locator(".menu-item:has-text('Export')"));
    expect(file.name.endsWith(".quaywatch-profile.json"), `the file is called ${file.name}`);
    const give = async (name, text) => {
      const [chooser] = await Promise.all([page.waitForEvent("filechooser"), page.click(".page-head .btn:has-text('Import')")]);
      await chooser.setFiles({ name, mimeType: "application/json", buffer: Buffer.from(text) });
    };
    await give("holiday.json", "no document at all");
    await told("is no exported profile");
    await give("other.json", '{"what":"something else"}');
    await told("other.json is no exported profile");
    await give(file.name, file.text);
    await page.waitForSelector("dialog[open] #import-key");
    expect((await page.inputValue("#import-key")) === KEY, "the dialog does not say whose it is");
    await page.waitForSelector("dialog[open] .notice:has-text('replaced')");
    await page.fill("#import-key", `${KEY}-copy`);
    await page.waitForSelector("dialog[open] .notice", { state: "detached" });
    await answer();
    await told("is imported");
    const copy = await api(`/api/profiles/${encodeURIComponent(`${KEY}-copy`)}`);
    expect(copy.state === "detecting" && copy.snapshots.some(({ kind }) => kind === "imported"), JSON.stringify(copy).slice(0, 300));
    const diff = await api(`${HERE}/diff?with=${encodeURIComponent(`${KEY}-copy`)}`);
    expect(diff.removed.length === 0 && diff.common > 0, `the copy differs: ${JSON.stringify(diff).slice(0, 300)}`);
    await page.locator(`.profile[data-profile="${KEY}-copy"]`).waitFor();
  });
}
