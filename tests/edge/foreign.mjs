// Viewers' tokens as a library of other people makes and reads them (@eyevinn/cat), for tests/it/foreign.rs. Reads one JSON object: the key
// (`kid`, `secret` in hexadecimal), `make`, a list of claims by name, and `read`, a list of tokens. Writes `made`, tokens, and `read`: of each
// token what it says, or null where it is refused.
import { createRequire } from 'node:module';
import { text } from 'node:stream/consumers';

const { CAT } = createRequire(`${process.argv[2]}/node_modules/`)('@eyevinn/cat');
const { kid, secret, issuer, make, read } = JSON.parse(await text(process.stdin));
const keys = { [kid]: Buffer.from(secret, 'hex') };
const maker = new CAT({ keys, expectCwtTag: true });
const made = [];
for (const claims of make) made.push(await maker.generateFromJson(claims, { type: 'mac', alg: 'HS256', kid }));
const results = [];
for (const { token, url } of read) {
  try {
    const { cat, error } = await maker.validate(token, 'mac', { kid, issuer, url: new URL(url) });
    results.push(error ? null : cat.claims);
  } catch {
    results.push(null);
  }
}
console.log(JSON.stringify({ made: made.map((token) => token.replace(/=+$/, '').replace(/\+/g, '-').replace(/\//g, '_')), read: results }));
