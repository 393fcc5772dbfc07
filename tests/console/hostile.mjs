// Somebody signs in at the admin listener in a browser that also shows a hostile page. Says what that page could read and do.
//
//   node hostile.mjs MODULES < {"admin": "127.0.0.1:8081", "ticket": "..."}
//
// The page comes from another origin of the same host, from another site, and from a name that was made to lead to the admin listener
// itself (DNS rebinding). On standard output one JSON object: what each attempt came to, [what, where, method, path, result], where the
// result is the status that a script could read, or "blocked".

import { createServer } from "node:http";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";

const modules = resolve(process.argv[2]);
const { chromium } = createRequire(join(modules, "package.json"))("playwright-core");
const { admin, ticket, paths } = JSON.parse(readFileSync(0, "utf8"));
const port = admin.split(":").pop();

const server = createServer((_, response) => {
  response.setHeader("Content-Type", "text/html");
  response.end("<!doctype html><link rel=icon href=data:,><title>hostile</title>");
});
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
const own = server.address().port;

const browser = await chromium.launch({
  executablePath: process.env.SPRINGHEAD_TEST_CHROMIUM || "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP evil.example 127.0.0.1"],
});

// Runs in a page: asks in the ways that a page has.
async function attack({ base, paths }) {
  const results = [];
  const attempt = async (method, path, options, what) => {
    let result;
    try {
      const response = await fetch(base + path, { method, credentials: "include", ...options });
      result = response.type === "opaque" ? "blocked" : response.status;
    } catch {
      result = "blocked";
    }
    results.push([what, method, path, result]);
  };
  for (const [method, path, body] of paths) {
    const json = { "Content-Type": "application/json" };
    await attempt(method, path, body ? { body, headers: json } : {}, "as JSON");
    if (["GET", "POST"].includes(method)) await attempt(method, path, { mode: "no-cors", ...(body && { body }) }, "no-cors");
  }
  // What a form sends is no fetch; where it leads is not seen, what it does is.
  const frame = document.createElement("iframe");
  frame.name = "there";
  document.body?.append(frame);
  for (const [method, path, body] of paths.filter(([method]) => method === "POST")) {
    const form = document.createElement("form");
    form.method = method;
    form.action = base + path;
    form.target = "there";
    form.enctype = "text/plain";
    const input = document.createElement("input");
    input.name = body ?? "{}";
    form.append(input);
    document.body?.append(form);
    form.submit();
    await new Promise((over) => setTimeout(over, 300));
  }
  return results;
}

try {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`http://${admin}/livez`);
  const ask = (method, path, body) =>
    page.evaluate(
      async ([method, path, body]) => {
        const headers = { "Content-Type": "application/json" };
        const response = await fetch(path, { method, ...(body && { body, headers }) });
        return response.status;
      },
      [method, path, body],
    );
  const signed_in = await ask("POST", "/v1/session", JSON.stringify({ ticket }));
  const before = await ask("GET", "/v1/audit");
  const attempts = [];
  const places = [
    ["another port", `http://127.0.0.1:${own}/`, `http://${admin}`],
    ["another site", `http://evil.example:${own}/`, `http://${admin}`],
    ["rebound name", `http://evil.example:${port}/livez`, ""],
  ];
  for (const [where, address, base] of places) {
    const hostile = await context.newPage();
    await hostile.goto(address);
    for (const result of await hostile.evaluate(attack, { base, paths })) attempts.push([where, ...result]);
    await hostile.close();
  }
  const after = await ask("GET", "/v1/audit");
  const again = await ask("POST", "/v1/session", JSON.stringify({ ticket }));
  process.stdout.write(JSON.stringify({ signed_in, before, after, again, attempts }));
} finally {
  await browser.close();
  server.close();
}
