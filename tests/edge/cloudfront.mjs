// Runs config/cloudfront-viewer.js as Amazon CloudFront does: nothing but the language, Buffer, hashes, and a module 'cloudfront' with a store and
// with a check of MACs that checks no claim. A store that has the key "down" can't tell what is revoked. Each line of stdin is {"store": {...}, "event": {...}}, and each line of stdout what comes of it.
import crypto from 'node:crypto';
import fs from 'node:fs';
import readline from 'node:readline';
import vm from 'node:vm';

const source = fs.readFileSync(process.argv[2], 'utf8');
const bare = source.replace(/^import crypto from 'crypto';\nimport cf from 'cloudfront';$/m, '');
if (bare === source) throw new Error('it does not import the modules');

// The bytes of one item, and what of them stands behind its head: enough to find the four parts.
function head(bytes, at) {
  const inside = bytes[at] & 31;
  const width = inside < 24 ? 0 : 1 << (inside - 24);
  let number = inside;
  if (width) number = Number(bytes.readUIntBE(at + 1, Math.min(width, 6)));
  return { major: bytes[at] >> 5, number, next: at + 1 + width };
}

function skip(bytes, at) {
  let { major, number, next } = head(bytes, at);
  if (major === 2 || major === 3) return next + number;
  const items = major === 4 ? number : major === 5 ? 2 * number : major === 6 ? 1 : 0;
  for (let i = 0; i < items; i++) next = skip(bytes, next);
  return next;
}

function validateToken(token, { key }) {
  if (token.length > 1024) throw new Error('too long');
  let at = token[0] === 0xd8 && token[1] === 61 ? 2 : 0;
  if (token[at] !== 0xd1 || token[at + 1] !== 0x84) throw new Error('no COSE_Mac0');
  const parts = [];
  for (at += 2; parts.length < 4; ) {
    const end = skip(token, at);
    parts.push(token.subarray(at, end));
    at = end;
  }
  const text = Buffer.concat([Buffer.from('\x84\x64MAC0', 'latin1'), parts[0], Buffer.from([0x40]), parts[2]]);
  const mac = crypto.createHmac('sha256', key).update(text).digest();
  if (!mac.equals(parts[3].subarray(head(parts[3], 0).next))) throw new Error('the MAC is wrong');
  return {};
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  const { store, event } = JSON.parse(line);
  const get = async (key) => {
    if (!(key in store)) throw new Error('KeyNotFound');
    return store[key];
  };
  const exists = async (key) => {
    if ('down' in store) throw new Error('KeyValueStoreUnavailable');
    return key in store;
  };
  const cf = { kvs: () => ({ get, exists }), cwt: { validateToken } };
  const handler = vm.runInNewContext(`'use strict';${bare}\nhandler`, { cf, crypto: { createHash: crypto.createHash }, Buffer });
  console.log(JSON.stringify(await handler(event)));
}
