// Fills in the console's forms as somebody does who believes what stands in them.
//
//   node forms.mjs MODULES < {"link": "http://127.0.0.1:8081/#ticket=..."}
//
// Says {"event": "over", ...} on standard output, with what the forms have promised and shown.

import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";

const modules = resolve(process.argv[2]);
const { chromium } = createRequire(join(modules, "package.json"))("playwright-core");
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const say = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);
const { link } = JSON.parse((await lines.next()).value);
const origin = new URL(link).origin;
const browser = await chromium.launch({
  executablePath: process.env.SPRINGHEAD_TEST_CHROMIUM || "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--mute-audio", "--lang=en-US"],
});
const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, locale: "en-US" });
const page = await context.newPage();
page.setDefaultTimeout(20_000);
const broken = [];
page.on("pageerror", (error) => broken.push(String(error)));
const dialog = page.locator("dialog[open]");
const button = (name) => page.getByRole("button", { name, exact: true }).first();
const screen = async (path, title) => {
  await page.goto(`${origin}/#/${path}`);
  await page.locator("main h1", { hasText: title }).waitFor();
};
const closed = async () => {
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
};
const said = {};

try {
  await page.goto(link);
  await button("Sign out").waitFor();

  await screen("namespaces", "Namespaces");
  await page.locator("section.namespace").first().waitFor();
  await button("New namespace").click();
  const field = (name) => dialog.locator(`input[name='${name}']`);
  const promises = async () => Object.fromEntries(await Promise.all(["default_ttl", "durable", "hot_capacity"].map(async (name) => [name, await field(name).getAttribute("placeholder")])));
  said.promised = await promises();
  await dialog.locator("input").first().fill("made");
  // As it is typed, letter by letter.
  await field("max_ttl").pressSequentially("\"2h\"");
  await dialog.locator("button[type=submit]").click();
  await dialog.waitFor({ state: "detached" });
  const made = page.locator("section.namespace", { hasText: "made" }).last();
  await made.getByRole("button", { name: "Edit" }).click();
  said.max_ttl = await field("max_ttl").inputValue();
  await field("max_ttl").fill("");
  said.max_ttl_when_empty = await field("max_ttl").getAttribute("placeholder");
  await closed();

  say({ event: "over", ...said, broken });
} catch (error) {
  say({ event: "failed", said, broken, error: String(error), text: await page.locator("body").innerText().catch(() => "") });
  process.exitCode = 1;
} finally {
  await browser.close();
}
process.exit();
