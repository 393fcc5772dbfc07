// Keys: made, shown once, ended, replaced.

import { ask, curl, here } from "../api.js";
import { ofKey } from "../commands.js";
import { Ago, Copy, Destroy, Dialog, Download, Empty, Failure, Head, Paste, State, html, safe, t, time, usePoll, useState } from "../ui.js";

// Those that are for objects.
const HAVE_PREFIX = ["readwrite", "readonly", "vendor"];

export function Shown({ made, namespace, origin }) {
  return html`<div class="once">
    <p class="advice">${t("key.once")}</p>
    <div class="paste"><div class="paste-head"><span>${made.key.label ?? made.key.key_id} · ${made.key.role}</span><span><${Copy} text=${made.api_key} /> <${Download} name=${`${made.key.label || made.key.key_id}.json`} label=${t("download.json")} text=${JSON.stringify({ api_key: made.api_key, ingest_user: made.ingest_user, ingest_password: made.ingest_password, ...made.key }, null, 2)} /></span></div><pre tabindex="0" class="secret" data-key=${made.key.role}>${made.api_key}</pre></div>
    ${ofKey(made, namespace, origin, here).map(([label, text]) => html`<${Paste} key=${label} label=${label} text=${text} />`)}
  </div>`;
}

/** Where the data listeners are, as a client reaches them. */
export function useOrigin() {
  const { data } = usePoll("/v1", 0);
  const first = data?.data_listeners?.[0] ?? "http://*:8080";
  return first.replace("*", location.hostname);
}

function Make({ onClose, onDone, namespaces }) {
  const [order, set] = useState({ role: "readwrite", namespaces: [namespaces[0] ?? "*"], prefix: "", expires: "30d", label: "" });
  const [made, show] = useState(null);
  const [error, fail] = useState(null);
  const origin = useOrigin();
  const body = { role: order.role, namespaces: order.role === "admin" ? undefined : order.namespaces, prefix: (HAVE_PREFIX.includes(order.role) && order.prefix) || undefined, expires: order.expires || undefined, label: order.label || undefined };
  const save = async (event) => {
    event.preventDefault();
    try {
      show(await ask("POST", "/v1/keys", JSON.parse(JSON.stringify(body))));
      onDone();
    } catch (problem) {
      fail(problem);
    }
  };
  const change = (name) => (event) => set({ ...order, [name]: event.target.value });
  if (made) return html`<${Dialog} title=${t("key.made")} onClose=${onClose}><${Shown} made=${made} namespace=${order.namespaces[0] === "*" ? namespaces[0] ?? "live-origin" : order.namespaces[0]} origin=${origin} /></${Dialog}>`;
  return html`<${Dialog} title=${t("key.new")} onClose=${onClose}><form onSubmit=${save}>
    <label>${t("role")}<select value=${order.role} onChange=${change("role")}>${["readwrite", "readonly", "vendor", "viewer", "operator", "admin"].map((role) => html`<option value=${role}>${role} · ${t(`role.${role}.about`)}</option>`)}</select></label>
    ${order.role !== "admin" && html`<label>${t("namespace")}<select value=${order.namespaces[0]} onChange=${(event) => set({ ...order, namespaces: [event.target.value] })}>${[...namespaces, "*"].map((name) => html`<option value=${name}>${name === "*" ? t("all-namespaces") : name}</option>`)}</select></label>`}
    ${HAVE_PREFIX.includes(order.role) && html`<label>${t("key.prefix")}<input value=${order.prefix} onInput=${change("prefix")} spellcheck="false" placeholder="show/" /></label>`}
    <label>${t("key.expires")}<input value=${order.expires} onInput=${change("expires")} placeholder="30d" spellcheck="false" /></label>
    <label>${t("label")}<input value=${order.label} onInput=${change("label")} /></label>
    <${Failure} error=${error} />
    <${Paste} label="curl" text=${curl({ method: "POST", path: "/v1/keys", body })} />
    <div class="actions"><button type="submit" class="primary">${t("create")}</button></div></form></${Dialog}>`;
}

function Rotate({ key_id, namespace, onClose, onDone }) {
  const [overlap, set] = useState("1h");
  const [made, show] = useState(null);
  const [error, fail] = useState(null);
  const origin = useOrigin();
  const call = { method: "POST", path: `/v1/keys/${key_id}/rotate`, body: { overlap } };
  const save = async (event) => {
    event.preventDefault();
    try {
      show(await ask(call.method, call.path, call.body));
      onDone();
    } catch (problem) {
      fail(problem);
    }
  };
  return html`<${Dialog} title=${t("key.rotate")} onClose=${onClose}>${made ? html`<${Shown} made=${made} namespace=${namespace} origin=${origin} />` : html`<form onSubmit=${save}>
    <p>${t("key.rotate.about")}</p><label>${t("key.overlap")}<input value=${overlap} onInput=${(event) => set(event.target.value)} /></label>
    <${Failure} error=${error} /><${Paste} label="curl" text=${curl(call)} /><div class="actions"><button type="submit" class="primary">${t("key.rotate")}</button></div></form>`}</${Dialog}>`;
}

export function Keys() {
  const { data, error, again } = usePoll("/v1/keys", 4000);
  const spaces = usePoll("/v1/namespaces", 0);
  const [making, make] = useState(false);
  const [ending, end] = useState(null);
  const [turning, turn] = useState(null);
  const namespaces = (spaces.data?.namespaces ?? []).map((one) => one.name);
  // Both are written alike: the lesser text is the earlier end.
  const ends = (key) => [key.retires_at, key.expires_at].filter(Boolean).sort()[0];
  return html`
    <${Head} title=${t("nav.keys")}><button type="button" class="primary" onClick=${() => make(true)}>${t("key.new")}</button></${Head}>
    <${Failure} error=${error} />
    ${data?.keys.length === 0 && html`<${Empty}>${t("keys.none")}</${Empty}>`}
    ${data && data.keys.length > 0 && html`<div class="panel scroll"><table class="rows"><thead><tr><th scope="col">${t("state")}</th><th scope="col">${t("label")}</th><th scope="col">${t("role")}</th><th scope="col">${t("nav.namespaces")}</th><th scope="col">${t("key.prefix")}</th><th scope="col">${t("key.ends")}</th><th scope="col"><span class="visually-hidden">${t("actions")}</span></th></tr></thead><tbody>
      ${[...data.keys].reverse().map((key) => html`<tr key=${key.key_id}><td><${State} is=${key.status} /></td><td>${safe(key.label ?? "–")}<div class="muted mono">${key.key_id}</div></td><td>${key.role}</td><td>${key.role === "admin" ? "–" : key.namespaces.map((name) => html`<span class="chip plain">${name}</span> `)}</td><td class="mono">${safe(key.prefix ?? "–")}</td><td>${ends(key) ? html`<${Ago} at=${ends(key)} />` : t("never")}<div class="muted">${time(ends(key), true)}</div></td>
        <td class="row-actions">${key.status === "good" && html`${!key.retires_at && html`<button type="button" class="small" onClick=${() => turn(key)}>${t("key.rotate")}</button>`} <button type="button" class="small danger" onClick=${() => end(key)}>${t("key.revoke")}</button>`}</td></tr>`)}
    </tbody></table></div>`}
    ${making && html`<${Make} namespaces=${namespaces} onClose=${() => make(false)} onDone=${again} />`}
    ${turning && html`<${Rotate} key_id=${turning.key_id} namespace=${turning.namespaces.find((name) => name !== "*") ?? namespaces[0] ?? "live-origin"} onClose=${() => turn(null)} onDone=${again} />`}
    ${ending && html`<${Destroy} title=${t("key.revoke")} name=${ending.label || ending.key_id} action=${t("key.revoke")} call=${{ method: "DELETE", path: `/v1/keys/${ending.key_id}` }} onDone=${() => { end(null); again(); }} onClose=${() => end(null)} about=${html`<p>${t("key.revoke.about")}</p>`} />`}`;
}
