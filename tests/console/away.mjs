// Looks at the console while nobody does.
//
//   node away.mjs MODULES < {"link": "http://127.0.0.1:8081/#ticket=..."}
//
// Says what it has come to as lines of JSON: {"event": "hidden"} when the page is behind another and hears no more, so that whoever started
// this can have something happen; {"event": "over"} at the end, with what each screen has shown. Between, a line on standard input lets it
// go on.

import { browser, link, origin, page, say, told } from "./page.mjs";

page.setDefaultTimeout(30_000);
// What a page does half a minute after it was hidden it does at once; and what it hears from is counted.
await page.addInitScript(() => {
  const later = window.setTimeout.bind(window);
  window.setTimeout = (act, wait, ...rest) => later(act, wait === 30_000 ? 0 : wait, ...rest);
  let isHidden = false;
  Object.defineProperty(document, "hidden", { get: () => isHidden });
  window.hide = (value) => {
    isHidden = value;
    document.dispatchEvent(new Event("visibilitychange"));
  };
  const Source = window.EventSource;
  window.sources = [];
  window.EventSource = class extends Source {
    constructor(address) {
      super(address);
      window.sources.push(this);
    }
  };
});
// That it began: what comes of it later is told live.
const began = (name) => page.locator("tr[data-row]", { hasText: name }).filter({ hasText: "started" });
const hears = () => page.evaluate(() => window.sources.filter((one) => one.readyState === 1).length);
const hearing = (count) => page.waitForFunction((wanted) => window.sources.filter((one) => one.readyState === 1).length === wanted, count);

try {
  await page.goto(link);
  await page.getByRole("button", { name: "Sign out" }).waitFor();
  await page.goto(`${origin}/#/events`);
  await page.locator("main h1", { hasText: "Events" }).waitFor();
  await began("before.m3u8").first().waitFor();
  await hearing(1);
  await page.evaluate(() => window.hide(true));
  await hearing(0);
  say({ event: "hidden", hears: await hears() });
  await told();
  await page.evaluate(() => window.hide(false));
  await began("meanwhile.m3u8").first().waitFor();
  const rows = await began("meanwhile.m3u8").count();
  const before = await began("before.m3u8").count();
  // Held still, it shows nothing new, and all of it when it goes on.
  await page.locator("[data-pause]").click();
  await page.evaluate(() => window.hide(true));
  await hearing(0);
  say({ event: "held" });
  await told();
  await page.evaluate(() => window.hide(false));
  await hearing(1);
  const held = await began("held.m3u8").count();
  await page.locator("[data-pause]").click();
  await began("held.m3u8").first().waitFor();
  say({ event: "over", rows, before, held });
} catch (error) {
  say({ event: "failed", error: String(error), text: await page.locator("body").innerText().catch(() => "") });
  process.exitCode = 1;
} finally {
  await browser.close();
}
process.exit();
