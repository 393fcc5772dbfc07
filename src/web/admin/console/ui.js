// What screens are made of.

import { h, Fragment } from "preact";
import { useEffect, useRef, useState, useCallback } from "preact/hooks";
import htm from "htm";
import { ask, at, clock, curl, forgetCalls, get, live, onCall, recent } from "./api.js";
import { language, t } from "./text.js";

export const html = htm.bind(h);
export { Fragment, useEffect, useRef, useState, useCallback, t, h };

/** A name from a stranger: control and direction characters as escapes, and not too long. */
export function safe(text, most = 120) {
  const shown = String(text ?? "").replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`);
  return shown.length > most ? `${shown.slice(0, most - 1)}…` : shown;
}

export const Name = ({ of, most }) => html`<span class="mono" title=${of}>${safe(of, most)}</span>`;

const numbers = () => new Intl.NumberFormat(language());

export function bytes(count) {
  if (count === null || count === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value < 10 && unit ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

export function bits(rate) {
  if (rate === null || rate === undefined) return "–";
  const units = ["bit/s", "kbit/s", "Mbit/s", "Gbit/s"];
  let value = rate;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value < 10 && unit ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

export const count = (number) => (number === null || number === undefined ? "–" : numbers().format(number));

export function seconds(value) {
  if (value === null || value === undefined) return "–";
  if (value < 10) return `${value.toFixed(1)} s`;
  if (value < 120) return `${Math.round(value)} s`;
  if (value < 7200) return `${Math.round(value / 60)} min`;
  if (value < 172_800) return `${Math.round(value / 3600)} h`;
  return `${Math.round(value / 86_400)} d`;
}

export function time(text, withDate) {
  if (!text) return "–";
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) return text;
  const utc = localStorage.getItem("utc") === "1" ? { timeZone: "UTC" } : {};
  const day = withDate ? { year: "numeric", month: "2-digit", day: "2-digit" } : {};
  return at.toLocaleString(language(), { ...day, hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false, ...utc });
}

/** A moment, as how long ago it was; the whole of it in the title. */
export function Ago({ at }) {
  useTick(1000);
  if (!at) return html`–`;
  const past = (clock.now() - new Date(at)) / 1000;
  const said = Math.abs(past) < 1 ? t("now") : past >= 0 ? t("ago", { span: seconds(past) }) : t("in", { span: seconds(-past) });
  return html`<time datetime=${at} title=${time(at, true)}>${said}</time>`;
}

/** Draws again now and then. */
export function useTick(every) {
  const [, draw] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => draw((n) => n + 1), every);
    return () => clearInterval(timer);
  }, [every]);
}

/** Asks again and again while the page is seen: the last answer stays when one fails. */
export function usePoll(path, every = 3000) {
  const [state, set] = useState({ data: null, error: null });
  const again = useRef(() => {});
  useEffect(() => {
    let over = false;
    let timer;
    set({ data: null, error: null });
    const look = async () => {
      clearTimeout(timer);
      if (path && !document.hidden) {
        try {
          const data = await get(path);
          if (!over) set({ data, error: null });
        } catch (error) {
          if (!over) set((before) => ({ ...before, error }));
        }
      }
      if (!over && every) timer = setTimeout(look, every);
    };
    again.current = look;
    look();
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [path, every]);
  return { ...state, again: () => again.current() };
}

/** What is told as it happens. */
export function useLive(tell) {
  const latest = useRef(tell);
  latest.current = tell;
  useEffect(() => {
    const listener = (kind, data) => latest.current(kind, data);
    live.tell.add(listener);
    return () => live.tell.delete(listener);
  }, []);
}

/**
 * The last events, newest first, `null` until they are read: what /v1/events has for this query, and what is told from then on. What may have
 * been missed is read again, once the list is not held.
 */
export function useEvents(query, most, fits, isHeld) {
  const [events, set] = useState(null);
  const [error, fail] = useState(null);
  const [waiting, wait] = useState([]);
  const isMissing = useRef(false);
  const path = at("/v1/events", { ...query, limit: most });
  const same = (event) => JSON.stringify([event.time, event.namespace, event.stream, event.playlist, event.event, event.detail]);
  const joined = (newer, older) => {
    const known = new Set(older.map(same));
    return [...newer.filter((event) => !known.has(same(event))), ...older].slice(0, most);
  };
  const look = () => {
    isMissing.current = false;
    // What was told while it was asked for is not in it yet.
    return get(path).then(({ events: found }) => {
      fail(null);
      set((before) => joined((before ?? []).filter((event) => !found.length || event.time >= found[0].time), found));
    }, fail);
  };
  useEffect(() => {
    set(null);
    wait([]);
    look();
  }, [path]);
  useLive((kind, event) => {
    if (kind === "reset" || (kind === "open" && event.is_again)) {
      if (isHeld) isMissing.current = true;
      else look();
    }
    if (kind !== "event" || !fits(event)) return;
    if (isHeld) wait((before) => joined([event], before));
    else set((before) => joined([event], before ?? []));
  });
  useEffect(() => {
    if (isHeld) return;
    if (waiting.length) {
      set((before) => joined(waiting, before ?? []));
      wait([]);
    }
    if (isMissing.current) look();
  }, [isHeld]);
  return { events, error, waiting };
}

const SHAPES = { live: "●", late: "▲", stale: "■", ended: "○", good: "●", revoked: "■", expired: "○", done: "●", failed: "■", running: "▲", waiting: "○", cancelled: "○" };

/** A state: a word, a shape and a colour. */
export const State = ({ is }) => html`<span class=${`state ${is}`}><span aria-hidden="true">${SHAPES[is] ?? "●"}</span> ${t(`state.${is}`)}</span>`;

export const Empty = ({ children }) => html`<p class="empty">${children}</p>`;

export function Failure({ error }) {
  if (!error) return null;
  return html`<p class="failure" role="alert"><strong>${error.title ?? t("failed")}</strong> ${error.message}</p>`;
}

/** A bar for what is used of a budget. */
export function Budget({ used, of, label }) {
  const share = of ? Math.min(1, used / of) : 0;
  const level = share > 0.95 ? "full" : share > 0.8 ? "high" : "";
  return html`<span class=${`budget ${level}`} role="meter" aria-valuenow=${Math.round(share * 100)} aria-valuemin="0" aria-valuemax="100" aria-label=${label}>
    <span class="fill" style=${{ width: `${share * 100}%` }}></span>
  </span>`;
}

export function Copy({ text, label }) {
  const [done, set] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Without a secure context there is no clipboard: the old way.
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    set(true);
    setTimeout(() => set(false), 1500);
  };
  return html`<button type="button" class="small" onClick=${copy}>${done ? t("copied") : label ?? t("copy")}</button>`;
}

/** A text to paste elsewhere. */
export const Paste = ({ text, label }) => html`<div class="paste">
  <div class="paste-head"><span>${label}</span><${Copy} text=${text} /></div>
  <pre tabindex="0" aria-label=${label}>${text}</pre>
</div>`;

/** Offers a text as a file. */
export function Download({ name, text, label }) {
  const save = () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    link.download = name;
    link.click();
    URL.revokeObjectURL(link.href);
  };
  return html`<button type="button" class="small" onClick=${save}>${label}</button>`;
}

/** What was asked for this screen, as commands. */
export function Curls() {
  const [, draw] = useState(0);
  useEffect(() => onCall(() => draw((n) => n + 1)), []);
  const lines = recent.calls.map(curl);
  return html`<details class="curls">
    <summary>${t("curl.title")}</summary>
    <p>${t("curl.about")}</p>
    <${Paste} label="sh" text=${["KEY=…", ...lines].join("\n")} />
  </details>`;
}

/** A dialog: it takes the focus, and gives it back. */
export function Dialog({ title, onClose, children }) {
  const dialog = useRef(null);
  useEffect(() => {
    const before = document.activeElement;
    dialog.current.showModal();
    return () => before?.focus?.();
  }, []);
  return html`<dialog ref=${dialog} onClose=${onClose} aria-labelledby="dialog-title">
    <div class="dialog-head"><h2 id="dialog-title">${title}</h2>
      <button type="button" class="small" onClick=${() => dialog.current.close()} aria-label=${t("close")}>✕</button></div>
    ${children}
  </dialog>`;
}

/** Has something done that can't be undone: whoever wants it types its name. */
export function Destroy({ title, name, about, call, headers, action, onDone, onClose }) {
  const [typed, type] = useState("");
  const [error, fail] = useState(null);
  const go = async (event) => {
    event.preventDefault();
    try {
      await ask(call.method, call.path, call.body, headers);
      onDone();
    } catch (problem) {
      fail(problem);
    }
  };
  return html`<${Dialog} title=${title} onClose=${onClose}>
    <form onSubmit=${go}>
      <div>${about}</div>
      <label>${t("type-name", { name: safe(name) })}<input value=${typed} onInput=${(event) => type(event.target.value)} autofocus autocomplete="off" /></label>
      <${Failure} error=${error} />
      <${Paste} label="curl" text=${curl({ ...call, headers })} />
      <div class="actions"><button type="submit" class="danger" disabled=${typed !== name}>${action}</button></div>
    </form>
  </${Dialog}>`;
}

/** The top of a screen. */
export function Head({ title, children }) {
  const heading = useRef(null);
  useEffect(() => {
    forgetCalls();
    document.title = `${title} · Springhead`;
    heading.current?.focus();
  }, [title]);
  return html`<header class="head"><h1 tabindex="-1" ref=${heading}>${title}</h1><div class="head-actions">${children}</div></header>`;
}

/** A link to a stream's screen. */
export const streamLink = (namespace, key) => `#/stream/${encodeURIComponent(namespace)}/${encodeURIComponent(key)}`;
