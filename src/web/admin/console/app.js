// The page: who is signed in, which screen is shown, and what holds everywhere.

import { render } from "preact";
import { SESSION, ask, get, live, prime } from "./api.js";
import { Curls, Failure, html, useEffect, useLive, useRef, useState } from "./ui.js";
import { language, onLanguage, speak, t } from "./text.js";
import { Overview } from "./screens/overview.js";
import { Streams } from "./screens/streams.js";
import { Stream } from "./screens/stream.js";
import { Objects } from "./screens/objects.js";
import { Namespaces } from "./screens/namespaces.js";
import { Keys } from "./screens/keys.js";
import { Ingest } from "./screens/ingest.js";
import { Recordings } from "./screens/recordings.js";
import { Events } from "./screens/events.js";
import { Settings } from "./screens/settings.js";
import { Start } from "./screens/start.js";

// In the order of the navigation; the letter behind g leads there. `role` is what a screen takes.
const SCREENS = [
  { path: "overview", letter: "o", show: Overview },
  { path: "streams", letter: "s", show: Streams },
  { path: "events", letter: "e", show: Events },
  { path: "ingest", letter: "i", show: Ingest },
  { path: "recordings", letter: "r", show: Recordings },
  { path: "objects", letter: "b", show: Objects, role: "viewer" },
  { path: "namespaces", letter: "n", show: Namespaces, role: "viewer" },
  { path: "keys", letter: "k", show: Keys, role: "admin" },
  { path: "settings", letter: "c", show: Settings, role: "admin" },
  { path: "start", letter: "g", show: Start, role: "admin" },
];
const RANK = { viewer: 1, operator: 2, admin: 3 };

const theme = {
  get: () => localStorage.getItem("theme") ?? (matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark"),
  set(name) {
    localStorage.setItem("theme", name);
    document.documentElement.dataset.theme = name;
  },
};
document.documentElement.dataset.theme = theme.get();

/** What stands in an address; what is no proper escape stands for itself. */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function route() {
  const [path, ...rest] = location.hash.replace(/^#\/?/, "").split("/");
  return { path: path || "overview", rest: rest.map(decoded) };
}

/** What is wider than it shows is scrolled by keyboard, too: it takes the focus then, and only then. */
function reach() {
  for (const region of document.querySelectorAll(".scroll")) {
    if (region.scrollWidth > region.clientWidth) region.setAttribute("tabindex", "0");
    else region.removeAttribute("tabindex");
  }
}
let reaching = 0;
const reachSoon = () => {
  cancelAnimationFrame(reaching);
  reaching = requestAnimationFrame(reach);
};
new MutationObserver(reachSoon).observe(document.body, { childList: true, subtree: true });
addEventListener("resize", reachSoon);

// While the page is put together, what it shows first is on its way. Who comes by a link that signs in has to do that first.
if (!location.hash.startsWith("#ticket=")) {
  prime(SESSION);
  if (route().path === "overview") prime("/v1/overview");
}

function SignIn({ who, onDone }) {
  const [key, type] = useState("");
  const [error, fail] = useState(null);
  const go = async (event) => {
    event.preventDefault();
    try {
      await ask("POST", SESSION, { key: key.trim() });
      type("");
      onDone();
    } catch (problem) {
      fail(problem);
    }
  };
  return html`<section class="sign-in">
    <h1 tabindex="-1">${t("sign-in.title")}</h1>
    <p>${t("sign-in.about")}</p>
    <div class="paste"><pre>springhead console</pre></div>
    ${window.isSecureContext
      ? html`<form onSubmit=${go}>
          <label>${t("sign-in.key")}<input type="password" value=${key} onInput=${(event) => type(event.target.value)} autocomplete="off" spellcheck="false" /></label>
          <${Failure} error=${error} />
          <div class="actions"><button type="submit" class="primary" disabled=${!key.trim()}>${t("sign-in")}</button></div>
        </form>`
      : html`<p class="failure">${t("sign-in.insecure")}</p>`}
    ${who?.is_open && html`<p class="muted">${t("sign-in.open")}</p>`}
  </section>`;
}

function Help({ onClose }) {
  const dialog = useRef(null);
  useEffect(() => dialog.current.showModal(), []);
  const keys = [["/", t("help.filter")], ["j k", t("help.rows")], ["Enter", t("help.open")], ["p", t("help.pause")], ...SCREENS.map(({ path, letter }) => [`g ${letter}`, t(`nav.${path}`)]), ["?", t("help.this")]];
  return html`<dialog ref=${dialog} onClose=${onClose} aria-labelledby="help-title">
    <div class="dialog-head"><h2 id="help-title">${t("help.title")}</h2><button type="button" class="small" onClick=${() => dialog.current.close()} aria-label=${t("close")}>✕</button></div>
    <dl class="keys">${keys.map(([key, what]) => html`<div><dt><kbd>${key}</kbd></dt><dd>${what}</dd></div>`)}</dl>
    <label class="check"><input type="checkbox" checked=${localStorage.getItem("letters") !== "0"} onChange=${(event) => localStorage.setItem("letters", event.target.checked ? "1" : "0")} /> ${t("help.letters")}</label>
  </dialog>`;
}

function App() {
  const [who, know] = useState(null);
  const [at, go] = useState(route());
  const [lost, lose] = useState(false);
  const [menu, open] = useState(false);
  const [help, ask_help] = useState(false);
  const [, draw] = useState(0);
  const [news, say] = useState("");
  const spoken = useRef(0);

  // Asked once at a time, however much is refused at once.
  const looking = useRef(null);
  const look = () => {
    looking.current ??= get(SESSION).then(
      (found) => {
        know(found);
        lose(false);
      },
      () => {
        lose(true);
        setTimeout(look, 3000);
      },
    ).finally(() => (looking.current = null));
    return looking.current;
  };
  useEffect(() => {
    const begin = async () => {
      const [, ticket, then] = location.hash.match(/^#ticket=([^/]+)\/?(.*)$/) ?? [];
      if (ticket) {
        history.replaceState(null, "", `#/${then || "overview"}`);
        await ask("POST", SESSION, { ticket }).catch((problem) => know({ role: null, failure: problem }));
      }
      go(route());
      await look();
      live.start();
    };
    begin();
    const moved = () => {
      go(route());
      open(false);
    };
    addEventListener("hashchange", moved);
    const end = onLanguage(() => draw((n) => n + 1));
    return () => {
      removeEventListener("hashchange", moved);
      end();
    };
  }, []);
  useLive((kind, data) => {
    if (kind === "open") lose(false);
    if (kind === "lost") lose(true);
    // Without a session some is open on this machine: it goes on, but for nobody who is known.
    if (kind === "refused" || (kind === "open" && who && data.role !== who.role)) look();
    if (kind === "event" && data.trouble && Date.now() - spoken.current > 5000) {
      spoken.current = Date.now();
      say(`${data.stream}: ${data.event}`);
    }
  });
  useEffect(() => {
    let after = null;
    const pressed = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || localStorage.getItem("letters") === "0") return;
      if (event.target.closest("input, textarea, select, dialog[open]")) return;
      const rows = [...document.querySelectorAll("main [data-row] a")];
      const row = rows.indexOf(document.activeElement);
      if (after === "g") {
        const found = SCREENS.find(({ letter }) => letter === event.key);
        if (found) location.hash = `#/${found.path}`;
        after = null;
      } else if (event.key === "g") {
        after = "g";
        setTimeout(() => (after = null), 1500);
      } else if (event.key === "/") {
        const filter = document.querySelector("main input[type=search]");
        if (filter) {
          event.preventDefault();
          filter.focus();
        }
      } else if (event.key === "j") rows[Math.min(rows.length - 1, row + 1)]?.focus();
      else if (event.key === "k") rows[Math.max(0, row - 1)]?.focus();
      else if (event.key === "p") document.querySelector("main [data-pause]")?.click();
      else if (event.key === "?") ask_help(true);
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, []);

  if (!who) return html`<p class="empty">${t("loading")}</p>`;
  const rank = RANK[who.role] ?? 0;
  const screen = SCREENS.find(({ path }) => path === at.path) ?? (at.path === "stream" ? { path: "streams", show: Stream } : SCREENS[0]);
  const needs = screen.role ? RANK[screen.role] : 0;
  const mayRead = who.is_open || rank > 0;
  const shown = !mayRead || rank < needs ? null : screen.show;
  const signOut = async () => {
    await ask("DELETE", SESSION).catch(() => {});
    await look();
    live.restart();
  };
  const signedIn = async () => {
    await look();
    live.restart();
  };
  return html`
    <a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); document.querySelector("main h1")?.focus(); }}>${t("skip")}</a>
    <nav class=${menu ? "side open" : "side"} aria-label=${t("nav.label")}>
      <div class="brand">
        <svg viewBox="0 0 32 32" width="26" height="26" aria-hidden="true"><path d="M16 3c5 6.500 9 11 9 16a9 9 0 0 1-18 0c0-5 4-9.500 9-16z" class="drop" /></svg>
        <span>Springhead</span>
        <button type="button" class="menu small" aria-expanded=${menu} onClick=${() => open(!menu)}>☰ <span class="visually-hidden">${t("menu")}</span></button>
      </div>
      <ul>${SCREENS.map(({ path, role }) => html`<li><a href=${`#/${path}`} aria-current=${path === screen.path ? "page" : undefined} class=${role && RANK[role] > rank ? "locked" : ""}>${t(`nav.${path}`)}</a></li>`)}</ul>
      <div class="foot">
        <div class="who">${who.role ? html`<span>${t(`role.${who.role}`)}</span> <button type="button" class="small" onClick=${signOut}>${t("sign-out")}</button>` : html`<a class="button small" href="#/keys">${t("sign-in")}</a>`}</div>
        <div class="switches">
          <select aria-label=${t("language")} value=${language()} onChange=${(event) => speak(event.target.value)}><option value="en">English</option><option value="ja">日本語</option></select>
          <button type="button" class="small" onClick=${() => { theme.set(theme.get() === "dark" ? "light" : "dark"); draw((n) => n + 1); }} aria-label=${t("theme")}>${theme.get() === "dark" ? "☀" : "☾"}</button>
          <button type="button" class="small" onClick=${() => ask_help(true)} aria-label=${t("help.title")}>?</button>
        </div>
      </div>
    </nav>
    <div class="visually-hidden" aria-live="polite">${news}</div>
    ${lost && html`<div class="lost" role="status">${t("lost")}</div>`}
    <main id="main" class=${lost ? "greyed" : ""} key=${`${at.path}/${at.rest.join("/")}/${who.role}/${language()}`}>
      ${who.failure && html`<${Failure} error=${who.failure} />`}
      ${shown ? html`<${shown} who=${who} rest=${at.rest} rank=${rank} /><${Curls} />` : html`<${SignIn} who=${who} onDone=${signedIn} />`}
    </main>
    ${help && html`<${Help} onClose=${() => ask_help(false)} />`}
  `;
}

render(html`<${App} />`, document.getElementById("app"));
