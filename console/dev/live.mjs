// Signs in, opens the live tail, and waits for a text: the scenario test of the live page.
//
// node dev/live.mjs BASE_URL USERNAME PASSWORD TEXT
// Prints READY when the tail is open, then SEEN with the milliseconds until the text was on the page.
import { chromium } from "playwright-core";

const [base, username, password, text] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});
try {
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  const faults = [];
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("request", (request) => {
    if (new URL(request.url()).origin !== new URL(base).origin && !request.url().startsWith("data:")) {
      faults.push(`request to ${request.url()}`);
    }
  });
  const cold = Date.now();
  await page.goto(`${base}/login`);
  await page.fill("#username", username);
  console.log(`FIRST_VIEW ${Date.now() - cold}`);
  await page.fill("#password", password);
  await page.click("button[type=submit]");
  await page.waitForURL((url) => !url.pathname.startsWith("/login"), { timeout: 60_000 });
  await page.goto(`${base}/events?live=1`);
  const stream = page.waitForResponse((response) => response.url().includes("/api/stream"), { timeout: 60_000 });
  await stream;
  console.log("READY");
  const start = Date.now();
  await page.getByText(text).first().waitFor({ timeout: 60_000 });
  console.log(`SEEN ${Date.now() - start}`);
  if (faults.length > 0) {
    throw new Error(`faults on the page: ${faults.join("; ")}`);
  }
} finally {
  await browser.close();
}
