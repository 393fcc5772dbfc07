// Makes a viewer's token: node mint.mjs VIEWER_KEY NAMESPACE PATH SECONDS (VIEWER_KEY is the first line of viewer.key).
import { createHash, createHmac, randomBytes } from 'node:crypto';

function head(major, number) {
  if (number < 24) return Buffer.from([(major << 5) | number]);
  const [inside, size] = [[24, 1], [25, 2], [26, 4], [27, 6]].find(([, size]) => number < 2 ** (8 * size));
  const bytes = Buffer.alloc(size === 6 ? 9 : 1 + size);
  bytes[0] = (major << 5) | inside;
  bytes.writeUIntBE(number, bytes.length - size, size);
  return bytes;
}

function cbor(value) {
  if (typeof value === 'number') return head(0, value);
  if (Buffer.isBuffer(value)) return Buffer.concat([head(2, value.length), value]);
  if (typeof value === 'string') return Buffer.concat([head(3, Buffer.byteLength(value)), Buffer.from(value)]);
  if (Array.isArray(value)) return Buffer.concat([head(4, value.length), ...value.map(cbor)]);
  return Buffer.concat([head(5, value.size), ...[...value].flatMap(([key, item]) => [cbor(key), cbor(item)])]);
}

export function mint(viewerKey, namespace, path, seconds) {
  const secret = Buffer.from(viewerKey, 'base64url'), now = Math.floor(Date.now() / 1000);
  const kid = Buffer.from(createHash('sha256').update(secret).digest('hex').slice(0, 8));
  const catu = new Map([[3, new Map([[1, path]])]]);
  const claims = new Map([[3, namespace], [4, now + seconds], [6, now], [7, randomBytes(8)], [310, 1], [312, catu]]);
  const protectedHeader = cbor(new Map([[1, 5]])), payload = cbor(claims);
  const mac = createHmac('sha256', secret).update(cbor(['MAC0', protectedHeader, Buffer.alloc(0), payload])).digest();
  const token = cbor([protectedHeader, new Map([[4, kid]]), payload, mac]);
  return Buffer.concat([Buffer.from([0xd8, 61, 0xd1]), token]).toString('base64url');
}

console.log(mint(...process.argv.slice(2, 5), Number(process.argv[5])));
