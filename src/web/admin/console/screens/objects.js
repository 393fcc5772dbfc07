// What is stored: folders, objects, what is known of one; removing one or many.

import { ask, asked, at, curl, preview } from "../api.js";
import { Ago, Destroy, Dialog, Empty, Failure, Head, Name, Paste, bytes, count, html, safe, t, time, useEffect, usePoll, useState } from "../ui.js";

function Purge({ namespace, prefix, onClose, onDone }) {
  const [counted, set] = useState(null);
  const [error, fail] = useState(null);
  // Once: each goes through all that is stored, and a later one would change what is expected under the hand that types.
  useEffect(() => {
    ask("POST", "/v1/purge", { namespace, prefix, dry_run: true }).then(set, fail);
  }, []);
  const name = prefix || namespace;
  if (!counted) return html`<${Dialog} title=${t("purge")} onClose=${onClose}><${Failure} error=${error} /></${Dialog}>`;
  const body = { namespace, prefix, expect: counted.objects };
  return html`<${Destroy} title=${t("purge")} name=${name} action=${t("purge.do", { n: count(counted.objects) })} call=${{ method: "POST", path: "/v1/purge", body }} onDone=${onDone} onClose=${onClose}
    about=${html`<p>${t("purge.about", { n: count(counted.objects), bytes: bytes(counted.bytes), name: safe(name) })}</p>`} />`;
}

function One({ namespace, object, rank, onClose, onDone }) {
  const [removing, remove] = useState(false);
  const path = at("/v1/object", { namespace, key: object.key });
  const address = preview(namespace, object.key);
  useEffect(() => asked(address), [address]);
  const isPicture = /^image\/(png|jpe?g|webp|avif|gif)/.test(object.content_type ?? "");
  if (removing) return html`<${Destroy} title=${t("remove")} name=${object.key.split("/").pop()} action=${t("remove")} call=${{ method: "DELETE", path }} onDone=${onDone} onClose=${onClose} about=${html`<p>${t("object.remove", { name: safe(object.key) })}</p>`} />`;
  const facts = [["object.kind", t(`kind.${object.kind}`)], ["size", `${count(object.length)} B`], ["type", object.content_type ?? "–"], ["ETag", object.etag ?? "–"], ["object.modified", time(object.modified, true)], ["object.expires", time(object.expires, true)], ["object.where", [object.in_memory && t("memory"), object.in_tier && t("durable")].filter(Boolean).join(", ")]];
  return html`<${Dialog} title=${safe(object.key, 60)} onClose=${onClose}>
    <dl class="facts">${facts.map(([name, value]) => html`<div><dt>${name === "ETag" ? name : t(name)}</dt><dd class="mono wrap">${value}</dd></div>`)}</dl>
    ${isPicture && html`<img class="preview" src=${address} alt=${t("preview")} />`}
    <${Paste} label="curl" text=${curl({ method: "GET", path: address })} />
    <div class="actions"><a class="button" href=${address} download=${object.key.split("/").pop()}>${t("download")}</a>
      ${rank > 1 && html`<button type="button" class="danger" onClick=${() => remove(true)}>${t("remove")}</button>`}</div>
  </${Dialog}>`;
}

export function Objects({ rest, rank }) {
  const spaces = usePoll("/v1/namespaces", 0);
  const namespace = rest[0] ?? spaces.data?.namespaces[0]?.name;
  const [prefix, look] = useState(rest[1] ?? "");
  const [trail, walk] = useState([]);
  const after = trail.at(-1) ?? "";
  const { data, error, again } = usePoll(namespace ? at("/v1/objects", { namespace, prefix, delimiter: "/", after, limit: 100 }) : null, 5000);
  const [open, show] = useState(null);
  const [purging, purge] = useState(false);
  const go = (to) => {
    walk([]);
    look(to);
  };
  const folder = prefix.includes("/") ? prefix.slice(0, prefix.lastIndexOf("/", prefix.length - 2) + 1) : "";
  const done = () => {
    show(null);
    purge(false);
    again();
  };
  return html`
    <${Head} title=${t("nav.objects")}>
      <select aria-label=${t("namespace")} value=${namespace} onChange=${(event) => { location.hash = `#/objects/${encodeURIComponent(event.target.value)}`; }}>${(spaces.data?.namespaces ?? []).map((one) => html`<option value=${one.name}>${one.name}</option>`)}</select>
      <input type="search" placeholder=${t("prefix")} aria-label=${t("prefix")} value=${prefix} onInput=${(event) => go(event.target.value)} />
      ${rank > 1 && html`<button type="button" class="danger" onClick=${() => purge(true)}>${t("purge")}</button>`}
    </${Head}>
    <${Failure} error=${error ?? spaces.error} />
    ${prefix && html`<p><button type="button" class="small" onClick=${() => go(folder)}>↑ ${folder || namespace}</button></p>`}
    ${data && !data.is_complete && html`<p class="advice">${t("objects.incomplete")}</p>`}
    ${data && data.objects.length + data.folders.length === 0 && html`<${Empty}>${t("objects.none")}</${Empty}>`}
    ${data && data.objects.length + data.folders.length > 0 && html`<div class="panel scroll"><table class="rows"><thead><tr><th scope="col">${t("object")}</th><th scope="col">${t("object.kind")}</th><th scope="col" class="number">${t("size")}</th><th scope="col">${t("type")}</th><th scope="col">${t("object.modified")}</th><th scope="col">${t("object.expires")}</th><th scope="col">${t("object.where")}</th></tr></thead><tbody>
      ${data.folders.map((name) => html`<tr data-row key=${name}><td colspan="7"><a href="#" onClick=${(event) => { event.preventDefault(); go(name); }}>▸ <${Name} of=${name.slice(prefix.lastIndexOf("/") + 1)} /></a></td></tr>`)}
      ${data.objects.map((one) => html`<tr data-row key=${one.key}><td><a href="#" onClick=${(event) => { event.preventDefault(); show(one); }}><${Name} of=${one.key.slice(prefix.lastIndexOf("/") + 1)} most=${60} /></a></td><td>${t(`kind.${one.kind}`)}</td><td class="number">${bytes(one.length)}</td><td class="muted">${one.content_type ?? "–"}</td><td><${Ago} at=${one.modified} /></td><td><${Ago} at=${one.expires} /></td><td>${one.in_memory && html`<span class="chip plain">${t("memory")}</span>`} ${one.in_tier && html`<span class="chip plain">${t("durable")}</span>`}</td></tr>`)}
    </tbody></table></div>
    <p class="actions">${trail.length > 0 && html`<button type="button" onClick=${() => walk(trail.slice(0, -1))}>← ${t("page.before")}</button>`}${data.next && html`<button type="button" onClick=${() => walk([...trail, data.next])}>${t("page.next")} →</button>`}</p>`}
    ${open && html`<${One} namespace=${namespace} object=${open} rank=${rank} onClose=${() => show(null)} onDone=${done} />`}
    ${purging && html`<${Purge} namespace=${namespace} prefix=${prefix} onClose=${() => purge(false)} onDone=${done} />`}`;
}
