// A page in a browser, and the words with the test that has it opened: lines of JSON on standard input and output.

import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";

const modules = resolve(process.argv[2]);
const { chromium } = createRequire(join(modules, "package.json"))("playwright-core");
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

// The next line of the test's, as it is; and a line to it.
export const told = async () => (await lines.next()).value;
export const say = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);

// What the test says first.
export const { link } = JSON.parse(await told());
export const origin = new URL(link).origin;

export const browser = await chromium.launch({
  executablePath: process.env.SPRINGHEAD_TEST_CHROMIUM || "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--mute-audio", "--lang=en-US"],
});
const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, locale: "en-US" });
export const page = await context.newPage();
