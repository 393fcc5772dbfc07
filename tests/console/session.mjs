// Has sessions end under the console, connections be refused and servers be gone, and looks at what it says.
//
//   node session.mjs MODULES < {"link": "http://127.0.0.1:8081/#ticket=..."}
//
// Says {"event": "over"} on standard output when each was told for what it is.

import { browser, link, origin, page, say } from "./page.mjs";

page.setDefaultTimeout(20_000);
const lost = page.locator(".lost");
const form = page.getByRole("heading", { name: "Sign in to see this" });
const route = (path, answer) => page.route((url) => url.pathname === path, answer);
const problem = (status, code) => (answer) => answer.fulfill({ status, contentType: "application/problem+json", body: JSON.stringify({ type: `urn:springhead:problem:${code}`, title: code }) });
const json = (value) => (answer) => answer.fulfill({ contentType: "application/json", body: JSON.stringify(value) });
const screen = async (path, title) => {
  await page.goto(`${origin}/#/${path}`);
  await page.locator("main h1", { hasText: title }).waitFor();
};
// Once with the refusal, and once more when it was tried again.
const refusals = async (path) => {
  for (let times = 0; times < 2; times += 1) await page.waitForResponse((response) => new URL(response.url()).pathname === path && !response.ok());
  await page.waitForTimeout(300);
};
let at = "";

try {
  at = "others listen already";
  await page.goto(link);
  await page.getByRole("button", { name: "Sign out" }).waitFor();
  await route("/v1/events/live", problem(503, "too-many-held"));
  await page.reload();
  await refusals("/v1/events/live");
  if (await lost.count()) throw new Error("a server that answers is not lost");
  await screen("streams", "Streams");

  at = "the session has ended, and nothing is open";
  await page.unrouteAll();
  await route("/v1/events/live", problem(401, "missing-credentials"));
  await route("/v1/session", json({ role: null, key_id: null, namespaces: [], is_open: false }));
  await form.waitFor();
  if (await lost.count()) throw new Error("who is signed out has lost no server");

  at = "nobody answers";
  await page.unrouteAll();
  await route("/v1/events/live", (answer) => answer.abort());
  await page.reload();
  await lost.waitFor();
  await page.unrouteAll();
  await lost.waitFor({ state: "detached" });

  at = "the session is ended, and something is open here";
  await screen("keys", "Keys");
  await page.evaluate(() => fetch("/v1/session", { method: "DELETE", headers: { "X-Requested-With": "x" } }));
  await form.waitFor();
  await page.locator("nav a", { hasText: "Sign in" }).waitFor();
  await screen("overview", "Overview");
  if (await lost.count()) throw new Error("what is open on this machine goes on");
  say({ event: "over" });
} catch (error) {
  say({ event: "failed", at, error: String(error), text: await page.locator("body").innerText().catch(() => "") });
  process.exitCode = 1;
} finally {
  await browser.close();
}
process.exit();
