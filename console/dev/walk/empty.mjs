/** A server without events. */

import { spawnSync } from "node:child_process";
import { base, examineAll, expect, open, page, signIn, step, until } from "./harness.mjs";

/** A server without events: what each page says, and the way out of it. */
export async function emptySteps() {
  await step("sign in", async () => {
    await page.goto(new URL("/", base).href);
    await signIn();
    await page.waitForSelector(".topbar");
  });

  for (const where of ["/", "/events", "/containers", "/sources"]) {
    await step(`${where} says what fills it`, async () => {
      await open(where);
      await page.waitForSelector(where === "/sources" ? ".code pre" : ".empty .code pre");
      await page.waitForSelector("button:has-text('Send test event')");
      await nothingCut();
      await examineAll(where);
    });
  }

  for (const where of ["/alerts", "/logs", "/profiles"]) {
    await step(`${where} says what fills it`, async () => {
      await open(where);
      await page.waitForSelector(".empty .code pre");
      await nothingCut();
      await examineAll(where);
    });
  }

  await step("silences and sinks say what they are, and the way to them", async () => {
    await open("/alerts/silences");
    await page.waitForSelector(".empty");
    await examineAll("/alerts/silences");
    await open("/settings");
    await page.waitForSelector("section[aria-label='Notifications'] :is(.empty .code pre, tbody tr)");
    await examineAll("/settings");
  });

  await step("a workload without a profile says so", async () => {
    await open("/behaviour/nothing-of-this-name");
    await page.waitForSelector(".empty");
    await examineAll("/behaviour");
    await open("/alerts/4711");
    await page.waitForSelector(".empty");
    await open("/containers/nothing-of-this-name");
    await page.waitForSelector(".empty");
    await open("/nothing-of-this-name");
    await page.waitForSelector(".empty");
  });

  await step("a command is copied", async () => {
    await open("/events");
    await page.click('.empty .code button[aria-label="Copy"]');
    await until(async () => (await page.evaluate(() => navigator.clipboard.readText())).startsWith("curl "), "the command is not on the clipboard");
  });

  await step("the test event shows where it was sent from", async () => {
    await page.click(".empty button:has-text('Send test event')");
    await page.waitForSelector(".event-row:not(.event-row-empty)");
    await until(async () => (await page.locator(".event-row").first().innerText()).includes("Quaywatch test event"), "it is not in the list");
    await open("/");
    await page.waitForSelector(".chart-canvas canvas");
  });

  await step("the command shown raises the alert, which appears by itself", async () => {
    await open("/alerts");
    const command = await page.locator(".empty .code pre").innerText();
    const { status, stderr } = spawnSync("sh", ["-c", command], { encoding: "utf8" });
    expect(status === 0, `the command ended with ${status}: ${stderr}`);
    await page.waitForSelector(".alert-row:has-text('Hello')");
    expect((await page.locator(".fresh").count()) === 0, "it waits behind a button though nobody reads the list");
  });
}

const nothingCut = async () => {
  const cut = await page.evaluate(() => [...document.querySelectorAll(".code pre")].filter((code) => code.scrollWidth > code.clientWidth).length);
  expect(cut === 0, `${cut} commands are cut off`);
};
