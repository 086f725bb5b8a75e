/**
 * Measures how long it takes from an event to its alert in a browser's list.
 *
 *   node dev/alert-latency.mjs BASE_URL [--falco http://127.0.0.1:18000/falco] [--alerts 120] [--must 800]
 *        [--username admin] [--password …] [--browser /usr/bin/chromium]
 *
 * Signs in, opens the inbox, and posts one event after another, each of a rule of its own, at moments that have
 * nothing to do with the stream's rhythm. The time runs from just before the POST is sent until a MutationObserver
 * sees the alert's row in the page; what is painted comes one frame later and is told too. Sender and browser read the
 * same clock. The password may come from QUAYWATCH_PASSWORD. Prints the percentiles; ends with code 1 when the 99th
 * is above `--must` milliseconds.
 */

import { parseArgs } from "node:util";
import { chromium } from "playwright-core";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    username: { type: "string", default: "admin" },
    password: { type: "string", default: process.env.QUAYWATCH_PASSWORD ?? "admin-password" },
    falco: { type: "string" },
    alerts: { type: "string", default: "120" },
    must: { type: "string", default: "800" },
    browser: { type: "string", default: "/usr/bin/chromium" },
  },
});
const [base] = positionals;
if (!base) {
  console.error("usage: node dev/alert-latency.mjs BASE_URL [options]");
  process.exit(2);
}
const falco = options.falco ?? new URL("/falco", base).href;
const run = Date.now().toString(36);
const PATIENCE_MS = 60_000;
/** Between two events; the stream gathers for 500 ms. */
const [LEAST_PAUSE_MS, MOST_PAUSE_MS] = [150, 1_300];

const browser = await chromium.launch({ executablePath: options.browser, args: ["--no-sandbox", "--disable-gpu"] });
const page = await browser.newPage({ viewport: { width: 1440, height: 900 }, locale: "en" });
page.setDefaultTimeout(PATIENCE_MS);
await page.goto(new URL("/login", base).href);
await page.fill("#username", options.username);
await page.fill("#password", options.password);
await page.click("button[type=submit]");
await page.waitForSelector(".topbar");
const stream = page.waitForResponse((response) => response.url().includes("/api/stream"));
await page.goto(new URL("/alerts", base).href);
await stream;
await page.waitForSelector(".alert-row, .alerts-inbox .empty");
await page.evaluate((mark) => {
  const now = () => performance.timeOrigin + performance.now();
  const seen = new Map();
  const look = (node) => {
    if (!(node instanceof Element)) return;
    for (const row of node.matches(".alert-row") ? [node] : node.querySelectorAll(".alert-row")) {
      const rule = new RegExp(`${mark} \\d+`).exec(row.textContent ?? "")?.[0];
      if (!rule || seen.has(rule)) continue;
      const found = { inPage: now(), painted: 0 };
      seen.set(rule, found);
      requestAnimationFrame(() => requestAnimationFrame(() => (found.painted = now())));
    }
  };
  new MutationObserver((changes) => {
    for (const { target, addedNodes, type } of changes) {
      if (type === "characterData") look(target.parentElement?.closest(".alert-row"));
      addedNodes.forEach(look);
    }
  }).observe(document.body, { childList: true, subtree: true, characterData: true });
  window.__seen = seen;
}, `Latency ${run}`);

const inPage = [];
const painted = [];
for (let number = 0; number < Number(options.alerts); number += 1) {
  const rule = `Latency ${run} ${number}`;
  const time = new Date();
  const body = JSON.stringify({
    time: time.toISOString(),
    rule,
    priority: "Warning",
    source: "syscall",
    hostname: "node-1",
    output: `${rule} in a container`,
    output_fields: { "container.id": "1a7e9c1a7e9c", "container.name": "latency", "container.image.repository": "registry.example/latency", "evt.type": "execve", "proc.name": "sh" },
  });
  const sent = performance.timeOrigin + performance.now();
  const response = await fetch(falco, { method: "POST", headers: { "Content-Type": "application/json" }, body });
  if (!response.ok) throw new Error(`the event was answered with ${response.status}: ${await response.text()}`);
  const found = await page.waitForFunction((name) => {
    const one = window.__seen.get(name);
    return one?.painted ? one : null;
  }, rule);
  const seen = await found.jsonValue();
  inPage.push(seen.inPage - sent);
  painted.push(seen.painted - sent);
  await page.waitForTimeout(LEAST_PAUSE_MS + Math.random() * (MOST_PAUSE_MS - LEAST_PAUSE_MS));
}
await browser.close();

const at = (values, share) => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.ceil(values.length * share) - 1)];
const told = (name, values) => console.log(`${name}: ${values.length} alerts, median ${at(values, 0.5).toFixed(0)} ms, p95 ${at(values, 0.95).toFixed(0)} ms, p99 ${at(values, 0.99).toFixed(0)} ms, longest ${Math.max(...values).toFixed(0)} ms`);
told("event sent → row in the page", inPage);
told("event sent → painted", painted);
process.exit(at(inPage, 0.99) > Number(options.must) ? 1 : 0);
