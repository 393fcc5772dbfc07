// Looks at every screen and dialog of the console in both themes as axe does, and walks by keyboard alone. Where a folder is named, a picture of each
// screen is left there.
//
//   node access.mjs MODULES < {"link": "http://127.0.0.1:8081/#ticket=...", "screens": ["overview", ...], "pictures": "FOLDER" or null}
//
// Says on standard output, as one JSON object: how often axe looked ("judged"), what it found ("violations"), where something was wider than its
// window ("wide"), and what went wrong on the way of the keyboard ("keyboard").

import { createRequire } from "node:module";
import { mkdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { settling } from "./settle.mjs";

const modules = resolve(process.argv[2]);
const load = createRequire(join(modules, "package.json"));
const { chromium } = load("playwright-core");
const axe = readFileSync(load.resolve("axe-core/axe.min.js"), "utf8");
const RULES = { type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] };
// Those that another theme can change: it is other colours, and nothing else.
const COLOURS = { type: "rule", values: ["color-contrast", "link-in-text-block"] };
const { link, screens, pictures } = JSON.parse(readFileSync(0, "utf8"));
if (pictures) mkdirSync(pictures, { recursive: true });

const browser = await chromium.launch({
  executablePath: process.env.SPRINGHEAD_TEST_CHROMIUM || "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--mute-audio", "--lang=en-US"],
});
const context = await browser.newContext({ viewport: { width: 1280, height: 720 }, locale: "en-US", reducedMotion: "reduce" });
const page = await context.newPage();
page.setDefaultTimeout(30_000);
const settled = settling(page);
const origin = new URL(link).origin;
const [violations, wide, keyboard] = [[], [], []];
let judged = 0;

async function judge(where, rules = RULES) {
  if (await page.evaluate(() => !window.axe)) await page.evaluate(axe);
  const found = await page.evaluate((runOnly) => window.axe.run(document, { runOnly }), rules);
  judged += 1;
  for (const { id, nodes } of found.violations) violations.push([where, id, nodes.length, nodes[0].html.slice(0, 200)]);
}

let loads = 0;
async function go(path) {
  // As another page each time, so that all of it is loaded anew: a reload is broken off by whatever the page does with its own address meanwhile.
  loads += 1;
  await page.goto(`${origin}/?${loads}#/${path}`);
  await page.locator("main h1").waitFor();
  // What it shows has come when nothing more is asked for: most screens ask once, and again after seconds.
  await page.locator("main .rows, main .empty, main .cards, main .panel, main .step").first().waitFor();
  await settled();
}

const paint = (theme) => page.evaluate((chosen) => void (document.documentElement.dataset.theme = chosen), theme);
/** What is shown now, in both themes: `each` is done in each of them. */
async function judgeBoth(where, each = async () => {}) {
  await judge(`${where} dark`);
  await each("dark");
  await paint("light");
  await settled();
  await judge(`${where} light`, COLOURS);
  await each("light");
  await paint("dark");
}

const name = (path) => path.split("/")[0];
/** What has the focus, and whether that is seen. */
const focused = () =>
  page.evaluate(() => {
    const { activeElement } = document;
    const style = getComputedStyle(activeElement);
    const all = [...document.querySelectorAll("*")];
    const is_seen = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
    const box = activeElement.getBoundingClientRect();
    const tag = activeElement.tagName.toLowerCase();
    return { at: all.indexOf(activeElement), tag, class: activeElement.className, text: activeElement.textContent.slice(0, 30), is_seen, is_there: box.width > 0 };
  });

const toSkip = () => page.evaluate(() => document.querySelector("a.skip").focus());

/** By the tab key through all that takes the focus, from the first that there is, once around. */
async function tab(where) {
  await toSkip();
  let before = (await focused()).at;
  const seen = new Set([before]);
  for (let count = 0; count < 400; count += 1) {
    await page.keyboard.press("Tab");
    const now = await focused();
    if (now.tag === "body" || seen.has(now.at)) return seen.size;
    seen.add(now.at);
    if (now.at < before) keyboard.push([where, "goes back in the page", now]);
    if (!now.is_seen || !now.is_there) keyboard.push([where, "the focus is not seen", now]);
    before = now.at;
  }
  keyboard.push([where, "it never comes around"]);
  return seen.size;
}

/** Opens a dialog by this button, by keyboard; Escape closes it, and the focus is back. */
async function dialog(where, button, kind) {
  await button.focus();
  await page.keyboard.press("Enter");
  await page.locator("dialog[open]").waitFor();
  await settled();
  await judgeBoth(`${where} (${kind})`);
  const inside = await page.evaluate(() => !!document.activeElement.closest("dialog"));
  if (!inside) keyboard.push([where, kind, "the dialog has not the focus"]);
  await page.keyboard.press("Escape");
  await page.locator("dialog[open]").waitFor({ state: "detached" });
  if (!(await button.evaluate((element) => element === document.activeElement))) keyboard.push([where, kind, "the focus is lost", await focused()]);
}

try {
  await page.goto(link);
  await page.getByRole("button", { name: "Sign out" }).waitFor();
  await page.evaluate(() => localStorage.setItem("theme", "dark"));
  for (const path of screens) {
    for (const [size, width, height] of [["wide", 1280, 720], ["phone", 320, 700]]) {
      await page.setViewportSize({ width, height });
      await go(path);
      const is_wide = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
      if (is_wide) wide.push([path, size]);
      await judgeBoth(`${name(path)} ${size}`, async (theme) => {
        if (pictures) await page.screenshot({ path: join(pictures, `${name(path)}-${theme}-${size}.png`) });
      });
    }
  }
  await page.setViewportSize({ width: 1280, height: 720 });
  await go("keys");
  await dialog("keys", page.locator("main .head button.primary").first(), "a new key");
  await go("namespaces");
  await dialog("namespaces", page.locator("main .head button.primary").first(), "a new namespace");
  await go("recordings");
  await dialog("recordings", page.locator("main .head button.primary").first(), "an order");
  await go("objects");
  await dialog("objects", page.locator("main .head button.danger").first(), "a purge");
  await dialog("objects", page.locator("main tr[data-row] a").last(), "an object");
  // What was chosen before holds for what is loaded.
  await page.evaluate(() => ["theme=light", "language=ja"].forEach((chosen) => localStorage.setItem(...chosen.split("="))));
  await go("overview");
  const [theme, language] = await page.evaluate(() => [document.documentElement.dataset.theme, document.documentElement.lang]);
  if (theme !== "light" || language !== "ja") violations.push(["overview ja", "not as it was chosen", theme, language]);
  await judge("overview ja");
  if (pictures) await page.screenshot({ path: join(pictures, "overview-ja.png") });
  await page.evaluate(() => ["theme=dark", "language=en"].forEach((chosen) => localStorage.setItem(...chosen.split("="))));

  // By keyboard: all of it in its order, to its end; the first stop leads past the navigation.
  for (const path of screens) {
    await go(path);
    const stops = await tab(name(path));
    if (stops < 15) keyboard.push([path, "hardly anything takes the focus", stops]);
  }
  await go("overview");
  await toSkip();
  if (!(await focused()).is_seen) keyboard.push(["overview", "the skip link is not seen", await focused()]);
  await page.keyboard.press("Enter");
  if ((await focused()).tag !== "h1") keyboard.push(["overview", "behind the skip link", await focused()]);
  // Letters lead from screen to screen, to the filter, from row to row, and to what there is.
  await page.keyboard.press("g");
  await page.keyboard.press("s");
  await page.waitForFunction(() => location.hash === "#/streams");
  await page.locator("main tr[data-row]").first().waitFor();
  await page.keyboard.press("/");
  if ((await focused()).tag !== "input") keyboard.push(["streams", "the filter", await focused()]);
  await page.evaluate(() => document.activeElement.blur());
  await page.keyboard.press("p");
  await page.locator("main [data-pause][aria-pressed=true]").waitFor();
  await page.keyboard.press("j");
  if ((await focused()).tag !== "a") keyboard.push(["streams", "the first row", await focused()]);
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => location.hash.startsWith("#/stream/"));
  await page.locator(".tile-segment").first().waitFor();
  await page.locator(".tile-segment[tabindex='0']").first().focus();
  await page.keyboard.press("ArrowLeft");
  await page.locator(".picked-segment").waitFor();
  await page.keyboard.press("?");
  await page.locator("dialog[open]").waitFor();
  await judge("help");
  await page.keyboard.press("Escape");
  await page.locator("dialog[open]").waitFor({ state: "detached" });
  // An address that is none does not stop it.
  await page.goto(`${origin}/#/objects/%ff`);
  await page.locator("main h1").waitFor();
  process.stdout.write(JSON.stringify({ judged, violations, wide, keyboard }));
} catch (error) {
  const text = await page.locator("body").innerText().catch(() => "");
  process.stdout.write(JSON.stringify({ failed: String(error), at: page.url(), text, violations, wide, keyboard }));
  process.exitCode = 1;
} finally {
  await browser.close();
}
process.exit();
