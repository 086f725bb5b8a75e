/**
 * Measures how smooth the console stays over a large store: frames while it scrolls, opens, zooms and follows live.
 *
 *   node dev/smooth.mjs BASE_URL [--username admin] [--password …] [--falco http://127.0.0.1:18000/falco]
 *        [--rate 1000] [--seconds 30] [--range now-24h] [--browser /usr/bin/chromium]
 *
 * The password may come from QUAYWATCH_PASSWORD. With `--falco`, also sends `--rate` events a second there and
 * follows them live. A frame is what lies between two calls of requestAnimationFrame; a long task is what the
 * browser itself reports as one (50 ms and more on the main thread). Prints one line a part.
 */

import { parseArgs } from "node:util";
import { chromium } from "playwright-core";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    username: { type: "string", default: "admin" },
    password: { type: "string", default: process.env.QUAYWATCH_PASSWORD ?? "admin-password" },
    falco: { type: "string", default: "" },
    rate: { type: "string", default: "1000" },
    seconds: { type: "string", default: "30" },
    range: { type: "string", default: "now-24h" },
    only: { type: "string", default: "" },
    browser: { type: "string", default: "/usr/bin/chromium" },
  },
});
const [base] = positionals;
if (!base) {
  console.error("usage: node dev/smooth.mjs BASE_URL [options]");
  process.exit(2);
}
const only = options.only.split(",").filter(Boolean);

const browser = await chromium.launch({ executablePath: options.browser, args: ["--no-sandbox", "--enable-precise-memory-info", "--js-flags=--expose-gc"] });
const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, locale: "en" });
const page = await context.newPage();
page.setDefaultTimeout(60_000);
const devtools = await context.newCDPSession(page);

const open = async (path) => {
  await page.goto(new URL(path, base).href);
  await page.waitForSelector(".topbar");
};
const rows = () => page.waitForSelector(".event-row:not(.event-row-empty)");
const milliseconds = (value) => `${value.toFixed(value < 10 ? 1 : 0)} ms`;

/** Starts to watch frames and long tasks in the page. */
const watch = () =>
  page.evaluate(() => {
    const watched = { frames: [], tasks: [], last: performance.now(), running: true };
    const observer = new PerformanceObserver((list) => watched.tasks.push(...list.getEntries().map((entry) => entry.duration)));
    observer.observe({ type: "longtask" });
    const frame = (now) => {
      watched.frames.push(now - watched.last);
      watched.last = now;
      if (watched.running) requestAnimationFrame(frame);
    };
    requestAnimationFrame((now) => {
      watched.last = now;
      requestAnimationFrame(frame);
    });
    window.__watched = Object.assign(watched, { observer });
  });

/** What was watched: frames of 60 Hz that were not shown count as dropped. */
const seen = async () => {
  const { frames, tasks } = await page.evaluate(() => {
    window.__watched.running = false;
    window.__watched.observer.disconnect();
    return { frames: window.__watched.frames, tasks: window.__watched.tasks };
  });
  const sorted = [...frames].sort((a, b) => a - b);
  const total = frames.reduce((sum, value) => sum + value, 0);
  const dropped = frames.reduce((sum, value) => sum + Math.max(0, Math.round(value / (1000 / 60)) - 1), 0);
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  return `${frames.length} frames, median ${milliseconds(at(0.5))}, p95 ${milliseconds(at(0.95))}, longest ${milliseconds(sorted.at(-1) ?? 0)}, dropped ${((100 * dropped) / Math.max(1, total / (1000 / 60))).toFixed(1)} %, longest task ${tasks.length > 0 ? milliseconds(Math.max(...tasks)) : "under 50 ms"}, ${tasks.length} long tasks`;
};
const heap = async () => {
  await devtools.send("HeapProfiler.collectGarbage");
  const { usedSize } = await devtools.send("Runtime.getHeapUsage");
  return usedSize / (1 << 20);
};

async function part(name, run) {
  if (only.length > 0 && !only.includes(name)) return;
  try {
    console.log(`${name}: ${await run()}`);
  } catch (error) {
    console.log(`${name}: FAILED ${error.message.split("\n")[0]}`);
    process.exitCode = 1;
  }
}

await page.goto(new URL("/login", base).href);
await page.fill("#username", options.username);
await page.fill("#password", options.password);
await page.click("button[type=submit]");
await page.waitForSelector(".topbar");
const events = `/events?from=${options.range}&to=now`;

await part("open", async () => {
  const begin = Date.now();
  await open(events);
  await rows();
  const first = Date.now() - begin;
  await page.waitForSelector(".chart-canvas canvas");
  await page.waitForSelector(".facet-value");
  const facets = Date.now() - begin;
  const total = await page.locator(".histogram-total").innerText();
  return `${total}: rows after ${first} ms, histogram and facets after ${facets} ms`;
});

await part("scroll", async () => {
  await open(events);
  await rows();
  const before = await heap();
  await watch();
  const far = await page.evaluate(async () => {
    const table = document.querySelector(".event-table");
    const end = performance.now() + 20_000;
    let empty = 0;
    let frames = 0;
    while (performance.now() < end) {
      table.scrollTop += 600;
      await new Promise((done) => requestAnimationFrame(done));
      frames += 1;
      if (document.querySelector(".event-row-empty")) empty += 1;
    }
    return { rows: Math.round(table.scrollTop / 29), empty: empty / frames, nodes: document.querySelectorAll(".event-row").length };
  });
  const result = await seen();
  const after = await heap();
  return `${far.rows} rows passed in 20 s at 600 px a frame, ${result}; ${far.nodes} rows in the page, a placeholder in ${(far.empty * 100).toFixed(0)} % of frames, memory ${before.toFixed(0)} → ${after.toFixed(0)} MB`;
});

await part("wheel", async () => {
  await open(events);
  await rows();
  await page.mouse.move(900, 600);
  await watch();
  for (let index = 0; index < 120; index += 1) {
    await page.mouse.wheel(0, 300);
    await page.waitForTimeout(30);
  }
  return `120 turns of the wheel, ${await seen()}`;
});

await part("jump", async () => {
  await open(events);
  await rows();
  // Far down first, then from end to end of what is known: the scroll bar in a person's hand.
  await page.evaluate(async () => {
    const table = document.querySelector(".event-table");
    const end = performance.now() + 8_000;
    while (performance.now() < end) {
      table.scrollTop = table.scrollHeight;
      await new Promise((done) => requestAnimationFrame(done));
    }
  });
  await watch();
  const filled = await page.evaluate(async () => {
    const table = document.querySelector(".event-table");
    const times = [];
    for (let index = 0; index < 40; index += 1) {
      table.scrollTop = table.scrollHeight * ((index * 0.37) % 1);
      const begin = performance.now();
      do await new Promise((done) => requestAnimationFrame(done));
      while (document.querySelector(".event-row-empty") && performance.now() - begin < 5_000);
      times.push(performance.now() - begin);
    }
    times.sort((a, b) => a - b);
    return { median: times[20], worst: times[39], rows: Math.round(table.scrollHeight / 29) };
  });
  return `40 jumps over ${filled.rows} rows: rows there after ${milliseconds(filled.median)} (median), ${milliseconds(filled.worst)} (worst); ${await seen()}`;
});

await part("drawer", async () => {
  await open(events);
  await rows();
  const times = [];
  await watch();
  for (let index = 0; index < 15; index += 1) {
    const begin = Date.now();
    await page.locator(".event-row:not(.event-row-empty) .cell-output").nth(index + 3).click({ position: { x: 60, y: 12 } });
    await page.waitForSelector(".event-drawer .event-rule");
    times.push(Date.now() - begin);
    await page.keyboard.press("j");
    await page.keyboard.press("Escape");
    await page.waitForSelector(".event-drawer .event-rule", { state: "hidden" });
  }
  times.sort((a, b) => a - b);
  return `opened 15 times: click to content median ${times[7]} ms, worst ${times[14]} ms; ${await seen()}`;
});

await part("brush", async () => {
  const times = [];
  await open(events);
  await page.waitForSelector(".chart-canvas canvas");
  await rows();
  await watch();
  for (let index = 0; index < 6; index += 1) {
    const box = await page.locator(".chart").boundingBox();
    await page.mouse.move(box.x + box.width * 0.3, box.y + 40);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.7, box.y + 40, { steps: 30 });
    const begin = Date.now();
    const answer = page.waitForResponse((response) => response.url().includes("/api/events/histogram"));
    await page.mouse.up();
    await answer;
    await rows();
    times.push(Date.now() - begin);
  }
  return `6 brushes, release to new rows ${times.join(", ")} ms; ${await seen()}`;
});

await part("facets", async () => {
  await open(events);
  await page.waitForSelector(".facet-value");
  const times = [];
  await watch();
  for (let index = 0; index < 6; index += 1) {
    // What a person waits for: the list of the new question, and no facet still counting.
    const query = await page.evaluate(() => new URL(location.href).searchParams.get("q"));
    const begin = Date.now();
    const list = page.waitForResponse((response) => new URL(response.url()).pathname === "/api/events");
    await page.locator(".facet").nth(index % 3).locator(".facet-main").first().click();
    await Promise.all([list, page.waitForFunction((before) => new URL(location.href).searchParams.get("q") !== before, query)]);
    await page.waitForSelector(".event-row:not(.event-row-empty), .empty");
    times.push(Date.now() - begin);
    await page.goBack();
    await page.waitForLoadState("networkidle");
  }
  return `6 clicks, click to new rows ${times.join(", ")} ms; ${await seen()}`;
});

if (options.falco) {
  await part("live", async () => {
    await open("/events?live=1");
    await page.waitForSelector(".live-open");
    const before = await heap();
    const sender = send(Number(options.rate), Number(options.seconds));
    await page.waitForTimeout(2_000);
    await watch();
    await page.waitForTimeout((Number(options.seconds) - 3) * 1000);
    const result = await seen();
    const sent = await sender;
    const received = await page.locator(".live-state").innerText();
    const missed = (await page.locator(".live-gap").count()) > 0 ? await page.locator(".live-gap").innerText() : "nothing missed";
    const after = await heap();
    return `${sent} events sent at ${options.rate} a second, ${result}; page says “${received}”, ${missed}; memory ${before.toFixed(0)} → ${after.toFixed(0)} MB`;
  });
}
await browser.close();

/** Posts `rate` lines a second for `seconds`, ten times a second, and gives how many were taken. */
async function send(rate, seconds) {
  let number = 0;
  let taken = 0;
  const begin = Date.now();
  for (let tick = 0; tick < seconds * 10; tick += 1) {
    const lines = Array.from({ length: rate / 10 }, () => {
      number += 1;
      const time = new Date().toISOString();
      const container = `web-${number % 20}`;
      const priority = ["Notice", "Warning", "Error", "Informational"][number % 4];
      return JSON.stringify({
        time,
        priority,
        rule: `Rule number ${number % 30}`,
        source: "syscall",
        hostname: `node-${number % 6}`,
        tags: ["container", "process"],
        output: `${time.slice(11, 23)}000: ${priority} A shell was started in a container (number=${number} container=${container} command=sh -c sleep)`,
        output_fields: {
          "container.id": `c0ffee${String(number % 20).padStart(6, "0")}`,
          "container.name": container,
          "container.image.repository": "registry.example/web",
          "proc.name": "sh",
          "proc.cmdline": `sh -c sleep ${number}`,
          "user.name": "root",
          number,
        },
      });
    });
    const answer = await fetch(options.falco, { method: "POST", headers: { "Content-Type": "application/x-ndjson" }, body: lines.join("\n") });
    if (answer.ok) taken += lines.length;
    const wait = begin + (tick + 1) * 100 - Date.now();
    if (wait > 0) await new Promise((done) => setTimeout(done, wait));
  }
  return taken;
}
