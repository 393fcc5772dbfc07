// Namespaces: what each holds, its rules with where they are from; making, changing and removing one.

import { ask, curl } from "../api.js";
import { Budget, Destroy, Dialog, Empty, Failure, Head, Paste, bytes, count, html, t, usePoll, useState } from "../ui.js";

// In the order of the settings file; the first few are what most change.
const FIRST = ["hot_capacity", "default_ttl", "max_ttl", "durable", "durable_capacity", "deletes", "hold", "on_stale"];

/** A rule as it is typed. */
const shown = (value) => (value === undefined || typeof value === "string" ? value : JSON.stringify(value));

/** What was typed, as JSON: a text where the rule is one, unless it is written as JSON. */
function typed(text, rule) {
  const word = text.trim();
  if (typeof rule === "string" && !/^["[{]/.test(word)) return word;
  try {
    return JSON.parse(word);
  } catch {
    return word;
  }
}

/** `defaults`: what holds where a field is left empty. */
function Edit({ namespace, defaults, onClose, onDone }) {
  const isNew = !namespace;
  const rules = namespace?.rules ?? {};
  const [name, call] = useState(namespace?.name ?? "");
  const before = Object.fromEntries((namespace?.said ?? []).map((key) => [key, shown(rules[key])]));
  const [values, set] = useState(before);
  const [error, fail] = useState(null);
  const keys = [...FIRST, ...Object.keys({ ...defaults, ...rules }).filter((key) => !FIRST.includes(key))];
  const said = () => {
    const filled = Object.entries(values).filter(([, text]) => text.trim() !== "");
    // What nobody touched stays what it is.
    return Object.fromEntries(filled.map(([key, text]) => [key, text === before[key] ? rules[key] : typed(text, defaults[key])]));
  };
  const headers = isNew ? { "If-None-Match": "*" } : { "If-Match": namespace.etag };
  const path = `/v1/namespaces/${encodeURIComponent(name)}`;
  const save = async (event) => {
    event.preventDefault();
    try {
      await ask("PUT", path, said(), headers);
      onDone();
    } catch (problem) {
      fail(problem);
    }
  };
  const field = (key) => html`<label class="rule" key=${key}><span><span class="mono">${key}</span><span class="muted">${t(`rule.${key}`) === `rule.${key}` ? "" : t(`rule.${key}`)}</span></span>
    <input name=${key} value=${values[key] ?? ""} placeholder=${shown(defaults[key])} onInput=${(event) => set({ ...values, [key]: event.target.value })} spellcheck="false" /></label>`;
  return html`<${Dialog} title=${isNew ? t("namespace.new") : t("namespace.edit", { name })} onClose=${onClose}>
    <form onSubmit=${save}>
      ${isNew && html`<label>${t("name")}<input value=${name} onInput=${(event) => call(event.target.value)} pattern="[A-Za-z0-9][A-Za-z0-9._\\-]{0,63}" required autofocus spellcheck="false" /></label>`}
      <p class="muted">${t("namespace.empty")}</p>
      <div class="rules">${keys.slice(0, FIRST.length).map(field)}</div>
      <details><summary>${t("namespace.more")}</summary><div class="rules">${keys.slice(FIRST.length).map(field)}</div></details>
      <${Failure} error=${error} />
      <${Paste} label="curl" text=${curl({ method: "PUT", path, body: said(), headers })} />
      <div class="actions"><button type="submit" class="primary" disabled=${!name}>${isNew ? t("create") : t("save")}</button></div>
    </form>
  </${Dialog}>`;
}

/** Bits a second, of what is written as kbit/s or with k or M behind it, as `springhead size` takes it; NaN for what is neither. */
function bitrate(text) {
  const [, number, unit] = text.match(/^([0-9.]+)(k|M)?$/i) ?? [];
  return Number(number) * ((unit ?? "k").toLowerCase() === "m" ? 1e6 : 1e3);
}

/** The arithmetic of memory: what a ladder takes for so long. */
function Size() {
  const [ladder, setLadder] = useState("5000, 2500, 1200, 128");
  const [minutes, setMinutes] = useState(10);
  const rates = ladder.split(/[\s,]+/).filter(Boolean).map(bitrate);
  const isRead = rates.length > 0 && rates.every((rate) => rate > 0);
  const needed = (rates.reduce((all, rate) => all + rate, 0) / 8) * minutes * 60 * 1.1;
  return html`<section class="panel"><h2>${t("size.title")}</h2><div class="inline">
    <label>${t("size.ladder")}<input value=${ladder} onInput=${(event) => setLadder(event.target.value)} inputmode="numeric" /></label>
    <label>${t("size.minutes")}<input type="number" min="1" value=${minutes} onInput=${(event) => setMinutes(Number(event.target.value))} /></label>
    <output>${isRead ? t("size.needed", { bytes: bytes(needed) }) : t("size.unread")}</output></div></section>`;
}

export function Namespaces({ rank }) {
  const { data, error, again } = usePoll("/v1/namespaces", 4000);
  const [editing, edit] = useState(null);
  const [removing, remove] = useState(null);
  const [open, show] = useState(null);
  const done = () => {
    edit(null);
    remove(null);
    again();
  };
  return html`
    <${Head} title=${t("nav.namespaces")}>${rank > 2 && html`<button type="button" class="primary" onClick=${() => edit("new")}>${t("namespace.new")}</button>`}</${Head}>
    <${Failure} error=${error} />
    ${data?.namespaces.length === 0 && html`<${Empty}>${t("namespaces.none")}</${Empty}>`}
    ${(data?.namespaces ?? []).map((one) => html`<section class="panel namespace" key=${one.name}>
      <h2><a href=${`#/objects/${encodeURIComponent(one.name)}`}>${one.name}</a> <span class="chip plain">${t(`source.${one.source}`)}</span>${one.shadows && html` <span class="chip">${t("shadowed")}</span>`}${one.pending_restart.length > 0 && html` <span class="chip">${t("pending", { keys: one.pending_restart.join(", ") })}</span>`}</h2>
      <div class="usage"><${Budget} used=${one.usage.hot_stored ?? 0} of=${one.usage.hot_capacity ?? 0} label=${t("memory")} />
        <dl class="figures"><div><dt>${t("memory")}</dt><dd>${bytes(one.usage.hot_stored)} / ${bytes(one.usage.hot_capacity)}</dd></div><div><dt>${t("objects")}</dt><dd>${count(one.usage.hot_objects)}</dd></div><div><dt>${t("durable")}</dt><dd>${bytes(one.usage.durable_stored)} · ${count(one.usage.durable_objects)}</dd></div><div><dt>${t("unwritten")}</dt><dd>${count(one.usage.unwritten)}</dd></div></dl></div>
      <p class="muted wrap">${one.place ?? ""} ${!one.is_changeable && t("declared")}</p>
      <div class="actions"><button type="button" class="small" aria-expanded=${open === one.name} onClick=${() => show(open === one.name ? null : one.name)}>${t("rules")}</button>
        ${rank > 2 && one.is_changeable && html`<button type="button" class="small" onClick=${() => edit(one)}>${t("edit")}</button><button type="button" class="small danger" onClick=${() => remove(one)}>${t("remove")}</button>`}</div>
      ${open === one.name && html`<div class="scroll"><table class="rows compact"><tbody>${Object.entries(one.rules).map(([key, value]) => html`<tr key=${key}><th scope="row" class="mono">${key}</th><td class="mono">${typeof value === "string" ? value : JSON.stringify(value)}</td><td class="muted">${one.said.includes(key) ? t("said") : t("default")}</td></tr>`)}</tbody></table></div>`}
    </section>`)}
    <${Size} />
    ${editing && html`<${Edit} namespace=${editing === "new" ? null : editing} defaults=${data.defaults} onClose=${() => edit(null)} onDone=${done} />`}
    ${removing && html`<${Destroy} title=${t("remove")} name=${removing.name} action=${t("remove")} headers=${{ "If-Match": removing.etag }} call=${{ method: "DELETE", path: `/v1/namespaces/${encodeURIComponent(removing.name)}?force=true&objects=purge` }} onDone=${done} onClose=${() => remove(null)}
      about=${html`<p>${t("namespace.remove", { hot: count(removing.usage.hot_objects ?? 0), hot_bytes: bytes(removing.usage.hot_stored ?? 0), durable: count(removing.usage.durable_objects ?? 0), durable_bytes: bytes(removing.usage.durable_stored ?? 0) })}</p>`} />`}`;
}
