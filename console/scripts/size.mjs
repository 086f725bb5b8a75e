/**
 * Fails when the console has grown too heavy: what the first view needs may have 250 kB, what any one page
 * adds to it 180 kB, all compressed with gzip.
 */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const dist = fileURLToPath(new URL("../dist", import.meta.url));
const INITIAL_LIMIT = 250_000;
const PAGE_LIMIT = 180_000;
/** Charts come after the page they stand in; they have a limit of their own. */
const CHART_LIMIT = 240_000;

if (!existsSync(join(dist, "index.html"))) {
  console.error("dist/ is missing: run `npm run build` first");
  process.exit(1);
}

const text = (name) => readFileSync(join(dist, "assets", name), "utf8");
const size = (name) => gzipSync(readFileSync(join(dist, "assets", name)), { level: 9 }).length;
const scripts = readdirSync(join(dist, "assets")).filter((name) => name.endsWith(".js"));

/** Files a script loads together with itself. */
function imports(name) {
  return [...text(name).matchAll(/(?:^|[;}\s])(?:import|export)\s*(?:[\w*{][^;"']*?from\s*)?["']\.\/([^"']+\.js)["']/g)].map((match) => match[1]);
}

/** Scripts a script loads later, each with its styles. */
function lazyImports(name) {
  return [...text(name).matchAll(/import\(\s*[`"']\.\/([^`"']+\.js)[`"']\s*\)/g)].map((match) => match[1]);
}

function closure(names) {
  const seen = new Set();
  const open = [...names];
  while (open.length > 0) {
    const name = open.pop();
    if (seen.has(name)) continue;
    seen.add(name);
    if (name.endsWith(".js")) open.push(...imports(name));
  }
  return seen;
}

const page = readFileSync(join(dist, "index.html"), "utf8");
const named = [...page.matchAll(/(?:src|href)="\/assets\/([^"]+\.(?:js|css))"/g)].map((match) => match[1]);
const initial = closure(named);
// The texts of one language are part of the first view.
const language = scripts.filter((name) => /^(?:en|zh-CN)-/.test(name)).map(size);
const total = (names) => [...names].reduce((sum, name) => sum + size(name), 0);
const kilobytes = (bytes) => `${(bytes / 1000).toFixed(1)} kB`.padStart(10);

let failed = false;
function report(label, bytes, limit) {
  const over = limit !== undefined && bytes > limit;
  failed ||= over;
  console.log(`${kilobytes(bytes)}  ${label}${limit === undefined ? "" : ` (limit ${kilobytes(limit).trim()})`}${over ? "  TOO LARGE" : ""}`);
}

report("first view: scripts, styles, texts", total(initial) + Math.max(0, ...language), INITIAL_LIMIT);
const later = new Set([...initial].filter((name) => name.endsWith(".js")).flatMap(lazyImports));
for (const name of [...later].sort()) {
  if (/^(?:en|zh-CN|zh_CN)-/.test(name)) continue;
  const own = [...closure([name])].filter((part) => !initial.has(part));
  report(`page ${name}`, total(own), PAGE_LIMIT);
}
const charts = scripts.find((name) => name.startsWith("histogram-chart"));
if (charts) report(`charts ${charts}`, total([...closure([charts])].filter((part) => !initial.has(part))), CHART_LIMIT);
report("everything", total(readdirSync(join(dist, "assets")).filter((name) => /\.(?:js|css)$/.test(name))));
if (failed) process.exit(1);
