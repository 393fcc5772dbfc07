// Makes the texts that the console gives to be copied of the worst names there can be, and reads them as shells do.
//
//   node commands.mjs < {"made": [the answer to POST /v1/keys, ...], "namespace": "...", "origin": "http://...", "here": "http://..."}
//
// Says the texts of the keys as JSON, each a list of [label, text]. What a shell makes of a word, or does beside what it is told, ends this
// with status 1.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { LIVE, call, ofKey, ofStream, pathOf, quote } from "../../src/web/admin/console/commands.js";

const folder = mkdtempSync(join(tmpdir(), "commands-"));
const stubs = ["curl", "ffplay", "ffmpeg", "springhead"].map((name) => `${name}() { printf '%s\\0' "$@"; }\n`).join("");
// What is typed at a prompt has a history besides, of which "!" takes something.
const shells = { sh: ["-s"], bash: ["--norc", "-s"], prompt: ["--norc", "-s"] };

/** The arguments that each shell gives to the program of a command. */
function words(command, those = Object.keys(shells)) {
  const all = Object.entries(shells).filter(([name]) => those.includes(name)).map(([name, options]) => {
    const before = name === "prompt" ? "set -o history -o histexpand\nprintf ''\n" : "";
    const input = `${before}${stubs}${command}\n`;
    const done = spawnSync(name === "prompt" ? "bash" : name, options, { cwd: folder, input, env: { PATH: process.env.PATH, KEY: "K", PLAYER_KEY: "P" } });
    assert.deepEqual([done.status, done.stderr.toString()], [0, ""], `${name}: ${command}`);
    assert.deepEqual(readdirSync(folder), [], `${name} has done something else: ${command}`);
    return done.stdout.toString().split("\0").slice(0, -1);
  });
  all.forEach((one) => assert.deepEqual(one, all[0], command));
  return all[0];
}

const worst = [
  "plain", "", " ", "a b", "$(touch HERE)", "`touch HERE`", "';touch HERE;'", "\";touch HERE;\"", "\\", "a\\", "\\'", "'", "''", "'\\''", "a\nb", "\ntouch HERE\n", "!", "!!", "a'!!'!$",
  "$PLAYER_KEY", "${KEY}", "~", "*", "?", "[a-z]", "{1..3}", "#", "&touch HERE&", "|touch HERE", ">HERE", "<(touch HERE)", "-x", "%41", "%n", "a;b", "\u202etxt", "日本", "🙂", "a\tb",
  "a'$(touch HERE)`touch HERE`\"\\\n!!",
];
try {
  for (const text of worst) assert.deepEqual(words(`curl ${quote(text)} end`), [text, "end"]);
  assert.deepEqual(words(call({ method: "GET", path: LIVE }, "http://h")), ["-N", "-H", "Authorization: Bearer K", `http://h${LIVE}`]);

  // Of keys that objects may have: no control characters.
  for (const name of worst.filter((text) => text && !/[\n\t]/.test(text))) {
    const key = `show/${name}/${name}.m3u8`;
    const texts = Object.fromEntries(ofStream({ namespace: "live-origin", key }, "http://HOST:8080", "http://localhost:8081"));
    const asks = { curl: words(texts.curl)[0], ffplay: words(texts.ffplay)[0], doctor: words(texts.doctor)[1] };
    for (const [label, address] of Object.entries(asks)) {
      const url = new URL(address);
      assert.equal(url.pathname.split("/").slice(3).map(decodeURIComponent).join("/"), key, label);
      assert.equal(address, `http://HOST:8080/cache/live-origin/${pathOf(key)}${{ curl: "?token=P", ffplay: "?token=P&inherit_token=1", doctor: "" }[label]}`);
      assert.match(address, /^[\w:/.?=&%~-]+$/, label);
    }
    const order = words(texts.harvest);
    assert.equal(JSON.parse(order[order.indexOf("-d") + 1]).playlist, key);
    assert.equal(order.at(-1), "http://localhost:8081/v1/harvest");
    const body = { label: name, [name]: [name] };
    const put = words(call({ method: "PUT", path: `/v1/x?q=${name}`, body, headers: { "If-Match": `"${name}"` } }, "http://h"));
    assert.deepEqual([put[5], JSON.parse(put[put.indexOf("-d") + 1]), put.at(-1)], [`If-Match: "${name}"`, body, `http://h/v1/x?q=${name}`]);
  }
  const shown = call({ method: "POST", path: "/", body: "\u202e\u0085\u2028" }, "http://h");
  assert.ok(shown.includes("\\u202e\\u0085\\u2028"), shown);

  // No text is made elsewhere.
  const console_folder = fileURLToPath(new URL("../../src/web/admin/console/", import.meta.url));
  const files = readdirSync(console_folder, { recursive: true }).filter((name) => name.endsWith(".js") && !name.startsWith("vendor") && name !== "commands.js");
  let pastes = 0;
  for (const name of files) {
    for (const [whole, given] of readFileSync(join(console_folder, name), "utf8").matchAll(/<\$\{Paste\}[^\n]*? text=\$\{([^\n]{0,24})/g)) {
      pastes += 1;
      assert.match(given, /^(curl\(|text\}|\["KEY=…", \.\.\.lines\])/, `${name}: ${whole}`);
    }
  }
  assert.ok(pastes > 8, String(pastes));

  const { made, namespace, origin, here } = JSON.parse(readFileSync(0, "utf8"));
  const of_keys = made.map((one) => ofKey(one, namespace, origin, here));
  // A form's field or a bare address is no command; and the end of ffmpeg's line is for shells that know $'\r\n'.
  for (const [label, text] of of_keys.flat().filter(([, text]) => /^(curl|ff\w+) /.test(text))) words(text, label === "ffmpeg" ? ["bash", "prompt"] : undefined);
  process.stdout.write(JSON.stringify(of_keys));
} finally {
  rmSync(folder, { recursive: true });
}
