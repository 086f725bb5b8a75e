/**
 * Uses the console as a person does, against a running server, and says what did not work.
 *
 *   node dev/smoke.mjs BASE_URL [--empty] [--parts alerts,behaviour] [--only part-of-a-step's-name] [--times]
 *        [--username admin] [--password …] [--browser /usr/bin/chromium] [--pictures FOLDER]
 *
 * With `--empty` it looks at a server that has no events yet, and leaves one test event there. Without, the server
 * holds events of several priorities, rules and containers over the last day; what else it needs (alerts, a profile,
 * users, tokens, silences) it makes for itself, under names of its own. The Logs page is walked through where containers
 * print: at least two, of which one goes on printing. The password may come from
 * QUAYWATCH_PASSWORD. Every step waits for what it needs, however busy the machine is, and asks the server whether
 * the page has told the truth. `--pictures` takes one of every step that fails.
 * Ends with code 1 when a step failed.
 */

import { accessSteps, tokenEnds } from "./walk/access.mjs";
import { alertSteps, silenceSteps } from "./walk/alerts.mjs";
import { behaviourSteps } from "./walk/behaviour.mjs";
import { emptySteps } from "./walk/empty.mjs";
import { eventSteps } from "./walk/events.mjs";
import { everywhereSteps } from "./walk/everywhere.mjs";
import { frameSteps, leavingSteps } from "./walk/frame.mjs";
import { base, browser, failures, options, page, signIn, stepsTaken } from "./walk/harness.mjs";
import { logSteps } from "./walk/logs.mjs";
import { routeSteps } from "./walk/routes.mjs";

const parts = options.empty
  ? { empty: emptySteps }
  : { frame: frameSteps, events: eventSteps, logs: logSteps, routes: routeSteps, access: accessSteps, alerts: alertSteps, silences: silenceSteps, behaviour: behaviourSteps, everywhere: everywhereSteps, token: tokenEnds, leaving: leavingSteps };
const chosen = options.parts.split(",").filter(Boolean);
if (options.only || (chosen.length > 0 && !chosen.includes("frame"))) {
  await page.goto(new URL("/login", base).href);
  await signIn();
  await page.waitForSelector(".topbar");
}
for (const [name, part] of Object.entries(parts)) {
  if (chosen.length === 0 || chosen.includes(name)) await part();
}
await browser.close();
if (stepsTaken() === 0) failures.push("no step has this in its name");
for (const failure of failures) console.error(`failed: ${failure}`);
process.exit(failures.length > 0 ? 1 : 0);
