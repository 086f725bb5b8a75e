/**
 * What every part of the walk through the console needs: a browser that is signed in, steps that say what did not
 * work, the server's own answers to hold against the page, and events to send.
 */

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";

export const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    username: { type: "string", default: "admin" },
    password: { type: "string", default: process.env.QUAYWATCH_PASSWORD ?? "admin-password" },
    empty: { type: "boolean", default: false },
    only: { type: "string", default: "" },
    parts: { type: "string", default: "" },
    times: { type: "boolean", default: false },
    pictures: { type: "string", default: "" },
    browser: { type: "string", default: "/usr/bin/chromium" },
  },
});
export const [base] = positionals;
if (!base) {
  console.error("usage: node dev/smoke.mjs BASE_URL [options]");
  process.exit(2);
}

export const WIDE = { width: 1440, height: 900 };
export const NARROW = { width: 390, height: 844 };
export const PATIENCE_MS = 60_000;
/** After so many failed steps the rest says nothing new. */
const ENOUGH = 3;

export const browser = await chromium.launch({
  executablePath: options.browser,
  args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
export const failures = [];
export const context = await newContext();
await context.grantPermissions(["clipboard-read", "clipboard-write"]);
export const page = await newPage(context);

/** A browser of its own, as far as the server can tell. */
export function newContext(settings = {}) {
  return browser.newContext({ viewport: WIDE, locale: "en", acceptDownloads: true, reducedMotion: "reduce", ...settings });
}

/** A page on which errors, and requests to anybody else, count as failures. */
export async function newPage(of) {
  const made = await of.newPage();
  made.setDefaultTimeout(PATIENCE_MS);
  made.on("request", (request) => {
    const { origin, protocol } = new URL(request.url());
    if (origin !== new URL(base).origin && !["data:", "blob:"].includes(protocol)) failures.push(`request to ${request.url()}`);
  });
  made.on("pageerror", (error) => failures.push(`error on the page: ${error.message}`));
  made.on("console", (message) => {
    if (message.type() === "error" && !/Failed to load resource/.test(message.text())) failures.push(`console: ${message.text()}`);
  });
  return made;
}

let failed = 0;
let taken = 0;

/** How many steps were taken. */
export const stepsTaken = () => taken;

/** Runs one step; its note, if it gives one, is printed beside its name. */
export async function step(name, run) {
  if (failed >= ENOUGH || !name.includes(options.only)) return;
  taken += 1;
  const begin = Date.now();
  const time = () => (options.times ? ` ${Date.now() - begin} ms` : "");
  try {
    const note = await run();
    console.log(`ok    ${name}${note ? ` (${note})` : ""}${time()}`);
  } catch (error) {
    failed += 1;
    if (options.pictures) await page.screenshot({ path: `${options.pictures}/failure-${failed}.png` }).catch(() => {});
    failures.push(`${name}: ${error.message.split("\n").slice(0, 6).join("; ")} at ${page.url()}`);
    console.log(`FAIL  ${name}: ${error.message.split("\n")[0]}${time()}`);
  }
}

export function expect(condition, what) {
  if (!condition) throw new Error(what);
}

/** Waits for `condition`; gives what it became. */
export async function until(condition, what) {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(typeof what === "function" ? await what() : what);
    await page.waitForTimeout(50);
  }
}

// --- the page

export const search = () => new URL(page.url()).searchParams;
export const path = () => new URL(page.url()).pathname;

export async function open(where) {
  await page.goto(new URL(where, base).href);
  await page.waitForSelector(".topbar");
}

export async function signIn(on = page, username = options.username, password = options.password) {
  await on.waitForSelector("#password");
  await on.fill("#username", username);
  await on.fill("#password", password);
  await on.click("button[type=submit]");
}

/** Waits until a message of the console says `text`. */
export const told = (text) => page.locator(`.toast:has-text("${text}")`).first().waitFor();

/** Answers the dialog that is open with its last button, and waits until it is gone. */
export async function answer() {
  await page.locator("dialog[open] .dialog-foot button").last().click();
  await page.waitForSelector("dialog[open]", { state: "detached" });
}

/** Presses `button`; gives the file that comes of it, its name and its text. */
export async function downloaded(button) {
  const [download] = await Promise.all([page.waitForEvent("download"), button.click()]);
  return { name: download.suggestedFilename(), url: new URL(download.url()), text: readFileSync(await download.path(), "utf8") };
}

// --- what the server says

/** What the API answers whoever is signed in: status and body. */
export async function call(method, where, body) {
  const headers = {};
  if (method !== "GET") {
    const { csrf_token } = await api("/api/session");
    Object.assign(headers, { Origin: new URL(base).origin, "Content-Type": "application/json", "X-Quaywatch-CSRF": csrf_token });
  }
  const response = await context.request.fetch(new URL(where, base).href, { method, headers, ...(body === undefined ? {} : { data: JSON.stringify(body) }) });
  const text = await response.text();
  return { status: response.status(), body: text.startsWith("{") || text.startsWith("[") ? JSON.parse(text) : text };
}

/** The body of an answer that must be good. */
export async function api(where) {
  const { status, body } = await call("GET", where);
  expect(status === 200, `GET ${where}: ${status} ${JSON.stringify(body).slice(0, 200)}`);
  return body;
}

/** Status that `username` gets who signs in with `password`. */
export async function signInStatus(username, password) {
  const response = await fetch(new URL("/api/session", base), {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ username, password }),
  });
  return response.status;
}

// --- events

/** Tells this walk's events from those of others, and from an earlier walk's. No digits: they would be a replica's number. */
export const run = Array.from({ length: 6 }, () => "ghjkmnpqrstvwxyz"[Math.floor(Math.random() * 16)]).join("");

export const sender = { token: "" };

/** One line as Falco prints it. */
export function falcoLine({ container, image = "registry.example/walk", rule, priority = "Warning", ageMs = 0, fields = {} }) {
  const nanos = BigInt(Date.now() - ageMs) * 1_000_000n;
  const time = new Date(Date.now() - ageMs).toISOString();
  const line = {
    hostname: "node-1",
    output: `${time}: ${priority} ${rule} in ${container}`,
    output_fields: { "container.id": "c0ffee", "container.name": container, "container.image.repository": image, "container.image.tag": "1", "evt.type": "execve", "proc.name": "sh", ...fields },
    priority,
    rule,
    source: "syscall",
    tags: ["container"],
    time,
  };
  line.output_fields["container.id"] = [...container].map((letter) => letter.charCodeAt(0).toString(16)).join("").padEnd(12, "0").slice(-12);
  return JSON.stringify(line).replace('"output_fields":{', `"output_fields":{"evt.time":${nanos},`);
}

/** Status of sending `lines` with `token`. */
export async function sendAs(token, lines) {
  const response = await fetch(new URL("/falco", base), {
    method: "POST",
    headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
    body: lines.join("\n"),
  });
  await response.text();
  return response.status;
}

/** Sends `lines` with the walk's own token, which is made when no step has made one. */
export async function send(lines) {
  if (!sender.token) {
    const { status, body } = await call("POST", "/api/tokens", { name: `walk ${run}`, scopes: ["ingest"], expires: null });
    expect(status === 201, `no token: ${status} ${JSON.stringify(body)}`);
    sender.token = body.token;
  }
  const status = await sendAs(sender.token, lines);
  expect(status === 200, `the events were answered with ${status}`);
}

// --- axe

const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Fails when axe finds something serious in `part` as it stands; with `colours`, looks at the contrast alone. */
export async function examine(where, { part = "html", colours = false } = {}) {
  // Once everything has slid in: a colour in between is none of ours.
  await page.waitForFunction(() => document.getAnimations().every((animation) => animation.playState !== "running" || animation.effect?.getTiming().iterations === Infinity));
  // Through the debugger, which the page's content security policy does not concern.
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(axeSource);
  const { violations } = await page.evaluate(
    ({ runOnly, part }) => window.axe.run(part === "html" ? document : part, { runOnly, resultTypes: ["violations"] }),
    { part, runOnly: colours ? { type: "rule", values: ["color-contrast"] } : { type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"] } },
  );
  const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  expect(
    serious.length === 0,
    `axe on ${where}: ${serious.map(({ id, nodes }) => `${id} at ${nodes.slice(0, 3).map((node) => node.target.join(" ")).join(", ")}`).join("; ")}`,
  );
}

/**
 * The same in both themes and at both widths; `reopen` brings `part` back. Some parts
 * are not offered on a narrow page. Themes differ in their colours alone.
 */
export async function examineAll(where, { part = "html", reopen = async () => {}, wideOnly = false } = {}) {
  for (const [name, viewport] of [["wide", WIDE], ...(wideOnly ? [] : [["narrow", NARROW]])]) {
    await page.setViewportSize(viewport);
    await settled();
    // What hangs on a button closes when the page changes its width.
    if (part !== "html" && !(await page.locator(part).first().isVisible())) {
      await reopen();
      await page.locator(part).first().waitFor();
    }
    const wider = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    expect(wider <= 0, `${where} ${name}: the page is ${wider} px wider than the window`);
    await examine(`${where} ${name} light`, { part });
    await page.emulateMedia({ colorScheme: "dark" });
    await page.locator("html[data-theme=dark]").waitFor({ state: "attached" });
    await examine(`${where} ${name} dark`, { part, colours: true });
    await page.emulateMedia({ colorScheme: "light" });
    await page.locator("html[data-theme=light]").waitFor({ state: "attached" });
  }
  await page.setViewportSize(WIDE);
}

/** Two frames: what follows from a new size has been drawn. */
const settled = () => page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(undefined)))));
