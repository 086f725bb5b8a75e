/** The Routes page: what goes where, what it is told to send, what was refused. Without routes the walk brings its own. */

import { PATIENCE_MS, call, examineAll, expect, open, page, path, search, step, told, until } from "./harness.mjs";

const ROUTE = "[data-route]";
const row = (name) => page.locator(`[data-route="${name}"]`);
const encode = encodeURIComponent;

/** What a server with routes would say; its counters grow with each look. */
function stubbed() {
  let looks = 0;
  const route = (name, rest) => ({
    name, type: "syslog", place: "tls://logs.example:6514", match: "level:ERROR", kinds: ["log"], min_priority: "debug", state: "running", filtered_total: 5,
    failed_total: 0, retried_total: 0, lost_total: 0, dead_letters: 0, lag: 0, last_success: new Date().toISOString(), last_error: null, last_error_time: null, ...rest,
  });
  const routes = [
    route("siem", {}),
    route("a-name-that-is-as-long-as-a-name-of-a-route-may-be-and-not-longer", {
      type: "elasticsearch", place: "https://search.observability.eu-central-1.example.internal:9200/quaywatch-of-the-shop", kinds: ["event", "log"], min_priority: "warning",
      match: 'container.name:checkout-* and (level:ERROR or level:FATAL or output:"out of memory")', state: "failing", failed_total: 2, retried_total: 40_211, lost_total: 7, dead_letters: 2, lag: 48_112,
      last_error: `429 Too Many Requests: ${"index [quaywatch] blocked by: disk usage exceeded flood-stage watermark; ".repeat(6)}`, last_error_time: new Date().toISOString(),
    }),
    route("paced", { type: "gelf", place: "udp://graylog.example:12201", match: "", state: "waiting", lag: 5_000 }),
    route("off", { type: "file", place: "/var/log/quaywatch/all.ndjson", state: "disabled", last_success: null }),
  ];
  const letters = [{ id: "1", reason: "400 Bad Request: the document is larger than 10 MiB" }, { id: "2", reason: "mapper_parsing_exception: failed to parse field [labels.app]" }];
  return {
    routes: () => routes.map((one) => ({ ...one, sent_total: 12 + looks * 60, sent_bytes_total: 3_400 + looks * 60_000 })),
    answer(method, where) {
      const [, name, what, then] = where.split("/").slice(2).map(decodeURIComponent);
      const found = routes.find((one) => one.name === name);
      if (!name) {
        looks += 1;
        return { items: this.routes(), next_cursor: null };
      }
      if (what === "test") return found.state === "failing" ? { ok: false, detail: "connection refused (os error 111)" } : { ok: true, detail: "taken in 3 ms" };
      if (then === "replay" && method === "POST") {
        const replayed = found.dead_letters;
        found.dead_letters = 0;
        return { replayed };
      }
      return { items: found.dead_letters > 0 ? letters : [], next_cursor: null };
    },
  };
}

/** Answers every question about routes with what `answer` gives for method and path. */
async function stub(answer) {
  await page.unroute(/\/api\/routes/);
  await page.route(/\/api\/routes/, (route) => {
    const { status = 200, body } = answer(route.request().method(), new URL(route.request().url()).pathname);
    return route.fulfill({ status, contentType: "application/json", body: JSON.stringify(body) });
  });
}

export async function routeSteps() {
  const { status, body } = await call("GET", "/api/routes");
  const isReal = status === 200 && body.items.length > 0;
  const own = stubbed();
  const known = isReal ? () => call("GET", "/api/routes").then((answer) => answer.body.items) : () => Promise.resolve(own.routes());
  const asStubbed = () => (isReal ? Promise.resolve() : stub((method, where) => ({ body: own.answer(method, where) })));

  await asStubbed();

  await step("routes: g r goes there; each says where it goes, what it takes, and how it fares", async () => {
    await open("/sources");
    await page.locator("h1").first().waitFor();
    await page.keyboard.press("g");
    await page.keyboard.press("r");
    await page.waitForSelector(ROUTE);
    expect(path() === "/routes", `g r leads to ${path()}`);
    const routes = await known();
    expect((await page.locator(ROUTE).count()) === routes.length, `${await page.locator(ROUTE).count()} of ${routes.length} routes`);
    for (const { name, place, state, match } of routes) {
      const text = await row(name).innerText();
      expect(text.includes(place) && text.includes(match), `${name} says ${text}`);
      const word = { running: "Running", waiting: "Waiting", failing: "Failing", disabled: "Off" }[state];
      if (!isReal) expect((await row(name).locator(".state").innerText()) === word, `${name} is ${state}`);
    }
    await until(async () => /records\/s/.test(await row(routes[0].name).locator(".route-rate").innerText()), "nothing is measured");
    return isReal ? undefined : "routes of the walk";
  });

  await step("routes: what one takes leads to these records", async () => {
    const [{ name, match, kinds }] = await known();
    await open("/routes");
    await row(name).locator(".route-match").first().click();
    await until(() => path() === (kinds[0] === "log" ? "/logs" : "/events"), `it leads to ${path()}`);
    expect((search().get("q") ?? "").includes(match), `the query is ${search().get("q")}`);
  });

  await step("routes: each says whether its destination took a test", async () => {
    await open("/routes");
    await page.waitForSelector(ROUTE);
    const answers = [];
    for (const { name } of await known()) {
      const [response] = await Promise.all([
        page.waitForResponse((one) => one.url().endsWith(`/api/routes/${encode(name)}/test`), { timeout: PATIENCE_MS }),
        row(name).locator(".route-test button").click(),
      ]);
      const { ok, detail } = await response.json();
      const said = await row(name).locator("[role=status]").innerText();
      expect(said.startsWith(ok ? "Taken" : "Not taken") && said.includes(detail), `${name}: “${said}” for ${JSON.stringify({ ok, detail })}`);
      answers.push(ok);
    }
    return `${answers.filter(Boolean).length} of ${answers.length} taken`;
  });

  await step("routes: axe, both themes, both widths", async () => {
    await open("/routes");
    await page.waitForSelector(ROUTE);
    await examineAll("/routes");
  });

  await step("routes: dead letters are listed with their reasons, and sent again once that is confirmed", async () => {
    const { name, dead_letters: count } = (await known()).find(({ dead_letters }) => dead_letters > 0) ?? {};
    if (!name) return "there are none";
    await open("/routes");
    await row(name).locator(".route-dead").click();
    await page.waitForSelector(".dead-list li");
    expect(search().get("dead") === name, "it is not in the address");
    if (!isReal) expect((await page.locator(".dead-list li").count()) === count, "not every one is listed");
    await examineAll("dead letters", { part: ".dead-drawer" });
    const again = () => page.locator(".dead-tools .btn").click();
    await again();
    await page.waitForSelector("dialog[open]");
    await examineAll("sending again", { part: "dialog[open]", reopen: again });
    await page.keyboard.press("Escape");
    await page.waitForSelector("dialog[open]", { state: "detached" });
    expect(search().get("dead") === name, "Escape closes more than the question");
    await again();
    await page.locator("dialog[open] .dialog-foot button[type=submit]").click();
    await told("sent again");
    await page.waitForSelector("dialog[open]", { state: "detached" });
    if (!isReal) await page.waitForSelector(".dead-drawer .empty");
    await page.locator(".dead-drawer button[aria-label='Close']").click();
    await until(() => !search().has("dead"), "it does not close");
  });

  if (!isReal) {
    await step("routes: where there is none, a configuration to copy; a server that knows none says so", async () => {
      await stub(() => ({ body: { items: [], next_cursor: null } }));
      await open("/routes");
      await page.waitForSelector(".empty pre");
      await examineAll("/routes without any");
      await page.locator('.empty button[aria-label="Copy"]').click();
      await until(async () => (await page.evaluate(() => navigator.clipboard.readText())) === (await page.locator(".empty pre").textContent()), "it is not on the clipboard");
      await stub(() => ({ status: 404, body: { title: "Not Found", status: 404, code: "not_found" } }));
      await open("/routes");
      await page.locator(".empty:has-text('This server has no routes')").waitFor();
    });
    await page.unroute(/\/api\/routes/);
  }
}
