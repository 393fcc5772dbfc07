// Asks the admin API. All that this page knows it has from there, so all of it can be had by curl: `recent` remembers what was asked.

import { LIVE, call, part, pathOf } from "./commands.js";

/** What went wrong, as the server says it. */
export class Problem extends Error {
  constructor(status, document) {
    super(document.detail || document.title || `status ${status}`);
    this.status = status;
    this.code = (document.type || "").split(":").pop();
    this.title = document.title;
  }
}

/** Who is signed in. */
export const SESSION = "/v1/session";
const listeners = new Set();
/** What was asked since the screen changed: method, path and body, each once. */
export const recent = { calls: [] };
const MOST = 24;

export function forgetCalls() {
  recent.calls = [];
  // It goes on from screen to screen.
  if (live.source) asked(LIVE);
}

function remember(method, path, body, headers) {
  const plain = path.replace(/([?&])after=[^&]*/, "");
  if (path.startsWith(SESSION)) return;
  const of = (call) => JSON.stringify([call.method, call.path, call.body, call.headers]);
  const call = { method, path: plain, body, headers };
  if (recent.calls.some((known) => of(known) === of(call))) return;
  recent.calls = [...recent.calls, call].slice(-MOST);
  listeners.forEach((tell) => tell());
}

/** Says that something else of this page asks for this: a player, a link. */
export const asked = (path) => remember("GET", path);

/** Tells when something new was asked; returns what ends that. */
export function onCall(tell) {
  listeners.add(tell);
  return () => listeners.delete(tell);
}

/** The address of this listener. */
export const here = location.origin;

/** The same as a command, in a shell where KEY is set. */
export const curl = (asks) => call(asks, here);

/** How far this browser's clock is behind the server's, in milliseconds. */
export const clock = { offset: 0, now: () => new Date(Date.now() + clock.offset) };

async function send(method, path, body, headers) {
  const given = { "X-Requested-With": "springhead-console", Accept: "application/json", ...headers };
  if (body !== undefined) given["Content-Type"] = "application/json";
  const response = await fetch(path, { method, headers: given, body: body === undefined ? undefined : JSON.stringify(body) });
  if (response.ok) return response;
  const document = await response.json().catch(() => ({}));
  throw new Problem(response.status, document);
}

/** Asks for JSON, or has something done. */
export async function ask(method, path, body, headers) {
  remember(method, path, body, headers);
  const response = await send(method, path, body, headers).catch((problem) => {
    // Who was signed in is not any more: the server was restarted, the key revoked, a day is over.
    if (problem.status === 401 && path !== SESSION) live.say("refused", {});
    throw problem;
  });
  if (response.status === 204) return null;
  return response.json();
}

// What was asked for before the screen is there that shows it.
const ahead = new Map();

/** Asks before anybody wants it: who asks next for the same has this answer. */
export function prime(path) {
  ahead.set(path, send("GET", path).then((response) => response.json()).catch(() => null));
}

export async function get(path) {
  const early = ahead.get(path);
  ahead.delete(path);
  if (early) remember("GET", path);
  // What went wrong then is asked for again, and told by whoever shows it.
  return (await early) ?? ask("GET", path);
}

/** A path with a query. */
export function at(path, query) {
  const words = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const pairs = words.map(([name, value]) => `${name}=${part(value)}`);
  return pairs.length ? `${path}?${pairs.join("&")}` : path;
}

/** The address of an object's bytes, for a player. */
export function preview(namespace, key) {
  return `/v1/preview/${part(namespace)}/${pathOf(key)}`;
}

/** Reads a text by preview. */
export async function text(namespace, key) {
  remember("GET", preview(namespace, key));
  return (await send("GET", preview(namespace, key))).text();
}

/**
 * One connection for all that is told as it happens: figures each second, events, and whether it holds. It is closed half a minute after
 * the page was hidden, and opened again when it is seen. What happened meanwhile is told by none that is opened anew: `open` says
 * `is_again`, and who shows a list reads it again then.
 */
export const live = {
  source: null,
  tell: new Set(),
  hidden: null,
  was_open: false,
  again: null,
  say: (kind, data) => live.tell.forEach((tell) => tell(kind, data)),
  start() {
    clearTimeout(live.again);
    if (live.source) return;
    const source = new EventSource(LIVE);
    live.source = source;
    asked(LIVE);
    source.addEventListener("hello", (event) => {
      const hello = JSON.parse(event.data);
      clock.offset = new Date(hello.time) - Date.now();
      live.say("open", { ...hello, is_again: live.was_open });
      live.was_open = true;
    });
    for (const kind of ["event", "figures", "reset"]) {
      source.addEventListener(kind, (event) => live.say(kind, JSON.parse(event.data)));
    }
    source.onerror = () => {
      if (source.readyState !== EventSource.CLOSED) return live.say("lost", {});
      // A refusal ends it for good, but the server is there: who shows the page asks who is signed in, and it is tried again, for whoever is by
      // then, or when others have left.
      live.stop();
      live.again = setTimeout(() => document.hidden || live.start(), 3000 + Math.random() * 2000);
      return live.say("refused", {});
    };
  },
  stop() {
    live.source?.close();
    live.source = null;
  },
  restart() {
    live.stop();
    live.start();
  },
};

document.addEventListener("visibilitychange", () => {
  clearTimeout(live.hidden);
  if (document.hidden) live.hidden = setTimeout(live.stop, 30_000);
  else live.start();
});
