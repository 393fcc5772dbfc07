// Does on every screen of the console what can be done there, and says what was asked of the server meanwhile and which commands the screen shows.
//
//   node curls.mjs MODULES < {"link": "http://127.0.0.1:8081/#ticket=...", "stream": "NAMESPACE/KEY as it stands in an address", "worst": the same of a stream with a
//   name that is a command}
//
// Says on standard output, as one JSON object by screen: "asked", each request as [method, path, body], and "shown", the lines for a shell;
// and as "pasted" what is given to be copied on the screen of the stream with that name.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { settling } from "./settle.mjs";

const modules = resolve(process.argv[2]);
const { chromium } = createRequire(join(modules, "package.json"))("playwright-core");
const { link, stream, worst } = JSON.parse(readFileSync(0, "utf8"));
const origin = new URL(link).origin;
const browser = await chromium.launch({
  executablePath: process.env.SPRINGHEAD_TEST_CHROMIUM || "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--mute-audio", "--lang=en-US"],
});
const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, locale: "en-US", acceptDownloads: true });
const page = await context.newPage();
page.setDefaultTimeout(30_000);
const settled = settling(page);
let asked = [];
page.on("request", (request) => {
  const url = new URL(request.url());
  if (url.origin === origin && url.pathname.startsWith("/v1")) asked.push([request.method(), url.pathname + url.search, request.postData()]);
});
const found = {};

async function screen(path, act = async () => {}) {
  // What the screen before still asked for is no part of this one.
  await page.goto("about:blank");
  asked = [];
  await page.goto(`${origin}/#/${path}`);
  await page.locator("main h1").waitFor();
  await page.locator("main .rows, main .empty, main .cards, main .panel, main .step").first().waitFor();
  await act();
  await settled();
  // What is asked from here on may be shown or not.
  const before = [...asked];
  await settled();
  const shown = await page.locator(".curls pre").textContent();
  found[path.split("/")[0]] = { asked: before, shown: shown.split("\n").slice(1) };
}

const button = (name) => page.getByRole("button", { name, exact: true }).first();
const dialog = page.locator("dialog[open]");
async function destroy(name) {
  await dialog.locator("input").fill(name);
  await dialog.locator("button.danger").click();
  await dialog.waitFor({ state: "detached" });
}

try {
  await page.goto(link);
  await button("Sign out").waitFor();
  await screen("overview", async () => {
    await page.locator("main label select").selectOption("24h");
  });
  await screen("streams");
  await screen(`stream/${stream}`, async () => {
    await page.locator(".tile-segment").first().waitFor();
    await page.locator("[data-doctor]").click();
    await page.locator(".steps li").first().waitFor();
  });
  // What this screen asks for is no part of the other one's.
  asked = [];
  await page.goto(`${origin}/#/stream/${worst}`);
  await page.locator("main .paste pre").nth(3).waitFor();
  const pasted = await page.locator("main .paste pre").allTextContents();
  await screen("events");
  await screen("ingest");
  await screen("recordings", async () => {
    await button("Record").click();
    await dialog.locator("input[placeholder=clip]").fill("clip");
    await dialog.locator("button[type=submit]").click();
    const row = page.locator("tr", { hasText: "clip" });
    await row.locator(".state.done").waitFor();
    await Promise.all([page.waitForEvent("download"), row.getByRole("link", { name: "Download" }).click()]);
    await row.getByRole("button", { name: "Play" }).click();
    await page.waitForTimeout(1000);
    await page.keyboard.press("Escape");
  });
  // Last of all: it removes what the others show.
  const removing = () => screen("objects/live-origin", async () => {
    await page.locator("tr[data-row] a").last().click();
    await dialog.waitFor();
    const name = (await dialog.locator("h2").textContent()).split("/").pop();
    await dialog.locator("button.danger").click();
    await destroy(name);
    await button("Purge").click();
    await dialog.locator("input").waitFor();
    await destroy("live-origin");
  });
  await screen("namespaces", async () => {
    await button("New namespace").click();
    await dialog.locator("input").first().fill("made");
    await dialog.locator("button[type=submit]").click();
    const made = page.locator("section.namespace", { hasText: "made" }).last();
    await made.getByRole("button", { name: "Edit" }).click();
    await dialog.locator(".rules input").nth(1).fill("5m");
    await dialog.locator("button[type=submit]").click();
    await dialog.waitFor({ state: "detached" });
    // The list as it is now, for what is removed is what it has.
    await settled();
    await made.getByRole("button", { name: "Remove" }).click();
    await destroy("made");
  });
  await screen("keys", async () => {
    for (let step = 0; step < 2; step += 1) {
      if (step === 0) await button("New key").click();
      else await button("Replace").click();
      await dialog.locator("button[type=submit]").click();
      await dialog.locator("pre").first().waitFor();
      await page.keyboard.press("Escape");
      await dialog.waitFor({ state: "detached" });
    }
    await button("Revoke").click();
    await destroy(await dialog.locator("form label").first().evaluate((label) => label.textContent.match(/^Type (.*) to go on/)[1]));
  });
  await screen("settings", async () => {
    await button("Check a file").click();
    await dialog.locator("textarea").fill("log_level = \"warn\"\n");
    await dialog.locator("button[type=submit]").click();
    await dialog.locator(".good").waitFor();
    await page.keyboard.press("Escape");
    await button("Reload").click();
    await dialog.locator("button[type=submit]").click();
    await page.locator("main .advice").first().waitFor();
  });
  await screen("start", async () => {
    await button("Make both keys").click();
    await page.locator("pre[data-key=readwrite]").waitFor();
  });
  await removing();
  process.stdout.write(JSON.stringify({ screens: found, pasted }));
} catch (error) {
  const text = await page.locator("body").innerText().catch(() => "");
  process.stdout.write(JSON.stringify({ failed: String(error), at: page.url(), text, found }));
  process.exitCode = 1;
} finally {
  await browser.close();
}
process.exit();
