// Walks through the console as its user does, from a printed link to a playing stream, a fault, a refusal and a recording.
//
//   node flow.mjs MODULES < {"link": "http://127.0.0.1:8081/#ticket=..."}
//
// Says what it has come to as lines of JSON: {"event": "keys", "encoder": "...", "namespace": "..."} when the keys are made, so that
// whoever started this can start an encoder; {"event": "playing", ...} when the picture moves; "finding", once the encoder was held; "clip",
// when a recording plays; "refused"; {"event": "over", ...} at the end, with what the browser complained of, and requests that went
// elsewhere. Between, a line on standard input lets it go on.

import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";

const modules = resolve(process.argv[2]);
const { chromium } = createRequire(join(modules, "package.json"))("playwright-core");
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const told = async () => (await lines.next()).value;
const say = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);
const { link } = JSON.parse(await told());

const browser = await chromium.launch({
  executablePath: process.env.SPRINGHEAD_TEST_CHROMIUM || "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--mute-audio", "--autoplay-policy=no-user-gesture-required", "--lang=en-US"],
});
const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: "en-US", colorScheme: "dark" });
const page = await context.newPage();
const [complaints, elsewhere] = [[], []];
const origin = new URL(link).origin;
page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
page.on("pageerror", (error) => complaints.push(String(error)));
page.on("request", (request) => {
  const url = request.url();
  if (!url.startsWith(origin) && !url.startsWith("blob:") && !url.startsWith("data:")) elsewhere.push(url);
});

async function go(path) {
  await page.goto(`${origin}/#/${path}`);
  await page.locator("main h1").waitFor();
}

try {
  await page.goto(link);
  await page.locator("nav [aria-current=page]").waitFor();
  await page.getByRole("button", { name: "Sign out" }).waitFor();
  say({ event: "signed-in", address: page.url() });

  await go("start");
  await page.locator("input[name=namespace]").fill("show");
  await page.locator(".step").first().getByRole("button", { name: "Create" }).click();
  await page.locator(".step").first().locator("option", { hasText: "show" }).waitFor({ state: "attached" });
  await page.getByRole("button", { name: "Make both keys" }).click();
  const encoder = await page.locator("pre[data-key=readwrite]").textContent();
  const player = await page.locator("pre[data-key=readonly]").textContent();
  const texts = await page.locator(".step pre").allTextContents();
  say({ event: "keys", encoder, player, ffmpeg: texts.find((text) => text.startsWith("ffmpeg")) });
  // The encoder is started now; the step turns green without a reload.
  await page.locator(".step.done", { hasText: "The stream is live" }).waitFor({ timeout: 60_000 });
  await page.locator(".step.done", { hasText: "Point the encoder here" }).waitFor();
  // The player comes before its list does: it asks again until there is one.
  await page.route(/\/v1\/preview\/.*\.m3u8$/, (answer) => (answer.request().resourceType() === "xhr" ? answer.fulfill({ status: 404 }) : answer.continue()));
  await page.locator(".step a[href^='#/stream/']").first().click();
  await page.locator(".player .failure").waitFor({ timeout: 60_000 });
  await page.unroute(/\/v1\/preview\/.*\.m3u8$/);
  await page.waitForFunction(() => (document.querySelector("video")?.currentTime ?? 0) > 2, null, { timeout: 60_000 });
  const frames = () => page.evaluate(() => document.querySelector("video").getVideoPlaybackQuality().totalVideoFrames);
  const before = await frames();
  await page.waitForTimeout(2000);
  const tiles = await page.locator(".tile-segment.on-time").count();
  say({ event: "playing", frames: (await frames()) - before, tiles, stream: page.url() });
  const stream = new URL(page.url()).hash.slice(2);
  await told();

  // The encoder is held: the screen says what is wrong, and what to do, without a reload.
  const finding = page.locator("p.advice").first();
  await page.locator(".verdict-line .state.stale, .verdict-line .state.late").waitFor({ timeout: 60_000 });
  await finding.waitFor();
  say({ event: "finding", advice: await finding.textContent() });
  await told();

  // It goes on; the last minute becomes a clip, which plays here.
  await page.locator(".verdict-line .state.live").waitFor({ timeout: 60_000 });
  await page.locator("[data-doctor]").click();
  await page.locator(".steps li").first().waitFor({ timeout: 60_000 });
  const steps = await page.locator(".steps li").count();
  await go("recordings");
  await page.getByRole("button", { name: "Record" }).click();
  await page.locator("dialog input[placeholder=clip]").fill("clip");
  await page.locator("dialog input[placeholder='10m']").fill("1m");
  await page.locator("dialog button[type=submit]").click();
  const recording = page.locator("tr", { hasText: "clip" });
  await recording.locator(".state.done").waitFor({ timeout: 60_000 });
  await recording.getByRole("button", { name: "Play" }).click();
  await page.waitForFunction(() => (document.querySelector("dialog video")?.currentTime ?? 0) > 1, null, { timeout: 60_000 });
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.keyboard.press("Escape").then(() => recording.getByRole("link", { name: "Download" }).click()),
  ]);
  say({ event: "clip", steps, archive: await download.path() });
  await told();

  // The encoder's key is revoked: what it sends is refused, and the cure stands there.
  await go("keys");
  const row = page.locator("tr", { hasText: "show encoder" });
  await row.getByRole("button", { name: "Revoke" }).click();
  await page.locator("dialog input").fill("show encoder");
  await page.locator("dialog button.danger").click();
  await row.locator(".state.revoked").waitFor();
  await go("ingest");
  const card = page.locator(".cards li", { hasText: "bad-credentials" }).first();
  await card.waitFor({ timeout: 20_000 });
  const advice = await card.locator(".advice").textContent();
  say({ event: "refused", advice });
  await go(stream);
  await page.locator(".verdict-line .state.stale, .verdict-line .state.late").waitFor({ timeout: 30_000 });

  // All that is there is removed, counted first.
  const wide = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
  await go("objects/show");
  await page.locator("tr[data-row]").first().waitFor();
  await page.getByRole("button", { name: "Purge" }).click();
  await page.locator("dialog input").fill("show");
  await page.locator("dialog button.danger").click();
  await page.locator(".empty").waitFor();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "Sign in to see this" }).waitFor();
  say({ event: "over", complaints, elsewhere, wide });
} catch (error) {
  say({ event: "failed", error: String(error), text: await page.locator("body").innerText().catch(() => ""), complaints });
  process.exitCode = 1;
} finally {
  await browser.close();
}
process.exit();
