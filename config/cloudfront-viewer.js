// Viewers' tokens at the edge of Amazon CloudFront: for viewer requests, JavaScript runtime 2.0, on every behaviour. config/cloudfront.yaml
// sets it up; docs/entitlements.md says what tokens are. It judges as Springhead does and takes the token off: all share one cached copy.
// Its key-value store has
//   k:KID   a viewer key as it stands in viewer.key, under its id
//   r:ID    anything: the token of this id (v-...) is revoked
import crypto from 'crypto';
import cf from 'cloudfront';

var NAMESPACE = 'live-origin'; // what a token's aud has to name
var GRACE = 60; // viewers.grace, in seconds
var SKEW = 30; // viewers.clock_skew

var FORM = /^[A-Za-z0-9_.-]{40,1400}$/;
var NAME = 'CTA-Common-Access-Token';

function refuse(status, code) {
  throw { status: status, code: code };
}

function invalid() {
  refuse(401, 'viewer-token-invalid');
}

function unsupported() {
  refuse(403, 'viewer-token-unsupported');
}

function plain() {
  return { 'cache-control': { value: 'no-store' }, 'access-control-allow-origin': { value: '*' } };
}

function answer(status, code) {
  var headers = plain();
  headers['content-type'] = { value: 'application/problem+json' };
  if (status === 401) headers['www-authenticate'] = { value: 'CAT realm="springhead"' };
  var text = JSON.stringify({ type: 'urn:springhead:problem:' + code, status: status });
  return { statusCode: status, statusDescription: code, headers: headers, body: { encoding: 'text', data: text } };
}

// An item of CBOR (RFC 8949): definite lengths, numbers as short as can be, no key twice, at most six deep.
// A map is { map: [[key, value], ...] }, a tag { tag, of }, a float {}.
function item(input, depth) {
  var bytes = input.bytes, first = bytes[input.at++], major = first >> 5, inside = first & 31, number = inside, i;
  if (first === undefined || inside > 27) invalid();
  if (inside > 23) {
    var width = 1 << (inside - 24);
    if (input.at + width > bytes.length) invalid();
    for (number = 0, i = 0; i < width; i++) number = number * 256 + bytes[input.at++];
    var least = [24, 256, 65536, 4294967296][inside - 24];
    if (number < least && (major < 2 || major === 6)) invalid();
  }
  if (major === 0) return number;
  if (major === 1) return -1 - number;
  if (major === 2 || major === 3) {
    var end = input.at + number;
    if (end > bytes.length) invalid();
    var part = bytes.slice(input.at, end);
    input.at = end;
    if (major === 2) return part;
    var text = part.toString('utf8');
    if (Buffer.from(text, 'utf8').toString('hex') !== part.toString('hex')) invalid();
    return text;
  }
  if (major === 7) {
    if (inside < 20 || inside === 24) invalid();
    return inside > 24 ? {} : null;
  }
  if (depth < 1) invalid();
  if (major === 6) return { tag: number, of: item(input, depth - 1) };
  var list = [], seen = {};
  if (major === 5 && number > 64) invalid();
  for (i = 0; i < number; i++) {
    if (major === 4) {
      list.push(item(input, depth - 1));
      continue;
    }
    var begin = input.at, key = item(input, depth - 1), name = bytes.slice(begin, input.at).toString('hex');
    if (seen[name]) invalid();
    seen[name] = true;
    list.push([key, item(input, depth - 1)]);
  }
  return major === 4 ? list : { map: list };
}

function whole(bytes) {
  var input = { bytes: bytes, at: 0 }, found = item(input, 6);
  if (input.at !== bytes.length) invalid();
  return found;
}

function isBytes(value) {
  return Buffer.isBuffer(value);
}

function header(map, label) {
  if (!map || !map.map) invalid();
  for (var i = 0; i < map.map.length; i++) if (map.map[i][0] === label) return map.map[i][1];
  return undefined;
}

// A token's claims.
async function open(token) {
  if (token.indexOf('.') >= 0) unsupported();
  var bytes = Buffer.from(token, 'base64url');
  if (token.length > 1400 || bytes.length > 1024 || bytes.toString('base64url') !== token) invalid();
  var sealed = whole(bytes);
  if (sealed && sealed.tag === 61) sealed = sealed.of;
  if (!sealed || sealed.tag !== 17 || !Array.isArray(sealed.of) || sealed.of.length !== 4) invalid();
  var parts = sealed.of, kid = header(parts[1], 4);
  if (!isBytes(parts[0]) || !isBytes(parts[2]) || !isBytes(parts[3]) || !isBytes(kid) || !kid.length) invalid();
  var told = whole(parts[0]);
  if (header(told, 1) !== 5 || header(told, 2) !== undefined || header(told, 4) !== undefined) invalid();
  if (header(parts[1], 1) !== undefined || header(parts[1], 2) !== undefined) invalid();
  var claims = whole(parts[2]);
  try {
    var key = await cf.kvs().get('k:' + kid.toString('latin1'));
    // It checks the MAC, and no claim.
    cf.cwt.validateToken(bytes, { key: Buffer.from(key, 'base64url') });
  } catch (_) {
    invalid();
  }
  if (!claims || !claims.map) unsupported();
  return claims.map;
}

function isSeconds(value) {
  return typeof value === 'number' && value >= 0;
}

function isText(value) {
  return typeof value === 'string';
}

function texts(value) {
  if (isText(value)) return [value];
  if (!Array.isArray(value) || !value.length || !value.every(isText)) unsupported();
  return value;
}

function rules(value) {
  var found = [];
  if (!value || !value.map || !value.map.length) unsupported();
  value.map.forEach(function (part) {
    var isPath = part[0] === 3;
    if (!isPath && part[0] !== 1 || !part[1] || !part[1].map || !part[1].map.length) unsupported();
    part[1].map.forEach(function (match) {
      if (match[0] !== 0 && match[0] !== (isPath ? 1 : 2)) unsupported();
      found.push({ isPath: isPath, how: match[0], values: texts(match[1]) });
    });
  });
  return found;
}

function holds(rule, text) {
  return rule.values.some(function (value) {
    if (rule.how === 0) return text === value;
    return rule.how === 1 ? text.indexOf(value) === 0 : text.slice(-value.length || text.length) === value;
  });
}

// Throws, unless they open this path to this method, now.
async function judge(claims, path, method, host) {
  var said = { uri: [], methods: ['GET', 'HEAD'], audience: [] };
  claims.forEach(function (claim) {
    var value = claim[1];
    switch (claim[0]) {
      case 1: case 2: if (!isText(value)) unsupported(); break;
      case 3: said.audience = texts(value); break;
      case 4: if (!isSeconds(value)) unsupported(); said.expires = value; break;
      case 5: case 6: if (!isSeconds(value)) unsupported(); if (!(value <= said.begins)) said.begins = value; break;
      case 7: if (!isBytes(value) || !value.length || value.length > 64) unsupported(); said.id = value; break;
      case 308: if (value !== 0) unsupported(); break;
      case 310: if (value !== 1) unsupported(); break;
      case 312: said.uri = rules(value); break;
      case 313: said.methods = texts(value); break;
      case 323: break;
      default: unsupported();
    }
  });
  if (said.expires === undefined || !said.id) unsupported();
  var now = Date.now() / 1000, grace = /\.(m3u8?|mpd)$/i.test(path) ? 0 : GRACE;
  if (now >= said.expires + grace) refuse(401, 'viewer-token-expired');
  if (said.begins !== undefined && now + SKEW < said.begins) refuse(401, 'viewer-token-not-yet');
  var ids = [said.id], isOver;
  // A long one is known by its hash; once it was by its first bytes.
  if (said.id.length > 16) ids.push(crypto.createHash('sha256').update(said.id).digest());
  try {
    for (var i = 0; i < ids.length && !isOver; i++) isOver = await cf.kvs().exists('r:v-' + ids[i].slice(0, 16).toString('hex'));
  } catch (_) {
    refuse(503, 'internal');
  }
  if (isOver) refuse(401, 'viewer-token-revoked');
  var isOpen = said.audience.indexOf(NAMESPACE) >= 0 && said.methods.indexOf(method) >= 0 && said.uri.every(function (rule) {
    return rule.isPath ? holds(rule, path) : host !== '' && holds(rule, host);
  });
  if (!isOpen) refuse(403, 'viewer-token-scope');
}

function query(parameters) {
  var pairs = [];
  Object.keys(parameters).forEach(function (name) {
    (parameters[name].multiValue || [parameters[name]]).forEach(function (one) {
      pairs.push(one.value === '' ? name : name + '=' + one.value);
    });
  });
  return pairs.length ? '?' + pairs.join('&') : '';
}

async function handler(event) {
  var request = event.request, path;
  try {
    path = decodeURIComponent(request.uri);
  } catch (_) {
    return answer(400, 'bad-request');
  }
  var element = path.slice(1).split('/', 1)[0], token;
  if (element[0] === '~' && FORM.test(element.slice(1)) && path.length > element.length + 2) {
    token = element.slice(1);
    path = path.slice(element.length + 1);
  }
  // What an edge and an origin could read in two ways is not read.
  if (!/^\/[^\/]/.test(path) || /\/(\.{0,2})(\/|$)/.test(path)) return answer(400, 'bad-request');
  var clean = path.split('/').map(encodeURIComponent).join('/');
  if (request.method === 'OPTIONS') {
    request.uri = clean;
    return request;
  }
  var parameter = token === undefined && request.querystring.cat;
  var named = request.headers[NAME.toLowerCase()], cookie = request.cookies[NAME];
  try {
    if (parameter) token = decodeURIComponent(parameter.value);
    if (token === undefined && named) {
      if (named.multiValue) invalid();
      token = named.value.trim();
    }
    if (token === undefined && cookie) token = cookie.value.replace(/^"|"$/g, '');
    if (token === undefined) refuse(401, 'viewer-token-missing');
    var host = request.headers.host ? request.headers.host.value.replace(/:\d*$/, '').toLowerCase() : '';
    await judge(await open(token), path, request.method, host);
  } catch (error) {
    return answer(error.status || 401, error.code || 'viewer-token-invalid');
  }
  delete request.querystring.cat;
  delete request.headers[NAME.toLowerCase()];
  delete request.cookies[NAME];
  if (parameter) {
    var headers = plain();
    headers.location = { value: '/~' + token + clean + query(request.querystring) };
    return { statusCode: 302, statusDescription: 'Found', headers: headers };
  }
  request.uri = clean;
  return request;
}
