// Fills in the console's forms as somebody does who believes what stands in them.
//
//   node forms.mjs MODULES < {"link": "http://127.0.0.1:8081/#ticket=..."}
//
// Says {"event": "over", ...} on standard output, with what the forms have promised and shown.

import { browser, link, origin, page, say } from "./page.mjs";

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

  // A ladder as people write it, and as nobody can read it.
  const ladder = page.getByLabel("Bitrates, kbit/s");
  const needed = async (text) => {
    await ladder.fill(text);
    return page.locator("output").textContent();
  };
  said.sizes = [await needed("5000, 2500"), await needed("5M 2500k"), await needed("5000, x")];

  // What many objects are is counted once, however long that takes.
  let counted = 0;
  await page.route((url) => url.pathname === "/v1/purge", async (answer) => {
    counted += 1;
    // The list behind it is drawn anew meanwhile.
    await page.waitForResponse((response) => new URL(response.url()).pathname === "/v1/objects");
    await page.waitForResponse((response) => new URL(response.url()).pathname === "/v1/objects");
    await answer.continue();
  });
  await screen("objects/made", "Objects");
  await button("Purge").click();
  await dialog.locator("input").waitFor();
  said.counted = counted;
  await closed();

  // One of two keys can't be made: the other is shown, and not made again.
  const ordered = [];
  await page.route((url) => url.pathname === "/v1/keys", (answer) => {
    const { role } = answer.request().postDataJSON();
    ordered.push(role);
    return ordered.length === 2 ? answer.fulfill({ status: 500, contentType: "application/problem+json", body: "{}" }) : answer.continue();
  });
  await screen("start", "Get started");
  await page.locator("select", { has: page.locator("option", { hasText: "made" }) }).first().selectOption("made");
  await button("Make both keys").click();
  await page.locator("main .failure").first().waitFor();
  const first = await page.locator("pre[data-key=readwrite]").textContent();
  await button("Make both keys").click();
  await page.locator("pre[data-key=readonly]").waitFor();
  said.ordered = ordered;
  said.is_kept = first === (await page.locator("pre[data-key=readwrite]").textContent());

  // Who presses Reload reads first what goes with it.
  await screen("settings", "Settings");
  let reloaded = 0;
  await page.route((url) => url.pathname === "/v1/reload", (answer) => {
    reloaded += 1;
    return answer.continue();
  });
  await button("Reload").click();
  await dialog.waitFor();
  said.reloaded = [reloaded];
  await dialog.locator("button[type=submit]").click();
  await page.locator("main .advice").first().waitFor();
  said.reloaded.push(reloaded);

  say({ event: "over", ...said, broken });
} catch (error) {
  say({ event: "failed", said, broken, error: String(error), text: await page.locator("body").innerText().catch(() => "") });
  process.exitCode = 1;
} finally {
  await browser.close();
}
process.exit();
