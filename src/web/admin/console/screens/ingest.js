// Encoders, and what was refused, with the cure.

import { Ago, Empty, Failure, Head, Name, count, html, safe, t, usePoll, useState } from "../ui.js";

export function Ingest() {
  const rejected = usePoll("/v1/ingest/rejected", 3000);
  const clients = usePoll("/v1/ingest/clients", 5000);
  const [text, filter] = useState("");
  const fits = (one) => JSON.stringify([one.peer, one.user_agent, one.namespace, one.key, one.code]).toLowerCase().includes(text.toLowerCase());
  const refused = (rejected.data?.rejected ?? []).filter(fits);
  return html`
    <${Head} title=${t("nav.ingest")}><input type="search" placeholder=${t("filter")} aria-label=${t("filter")} value=${text} onInput=${(event) => filter(event.target.value)} /></${Head}>
    <${Failure} error=${rejected.error} />
    <section class="panel"><h2>${t("ingest.refused")}</h2>
      ${refused.length === 0 ? html`<${Empty}>${t("ingest.refused.none")}</${Empty}>` : html`<ul class="cards">${refused.map((one, index) => html`<li key=${one.request_id ?? index}>
        <div class="card-head"><span class="state stale"><span aria-hidden="true">■</span> ${one.status ?? ""} ${one.code}</span><span>${t("times", { n: count(one.times) })}</span><span class="muted"><${Ago} at=${one.request?.time ?? one.last ?? one.time} /></span></div>
        <p class="advice">${one.advice}</p>
        ${one.reason && html`<p class="wrap">${one.reason}</p>`}
        <dl class="facts"><div><dt>${t("from")}</dt><dd class="mono">${one.peer} ${safe(one.user_agent, 80)}</dd></div>${one.key && html`<div><dt>${t("object")}</dt><dd><${Name} of=${`${one.namespace}/${one.key}`} /></dd></div>`}${one.key_id && html`<div><dt>${t("key")}</dt><dd class="mono">${one.key_id}</dd></div>`}</dl>
        ${one.request && html`<details><summary>${t("ingest.request")}</summary><pre class="request">${`${one.request.method} ${one.request.target} ${one.request.version}\n${one.request.headers.map(([name, value]) => `${name}: ${value}`).join("\n")}`}</pre></details>`}
      </li>`)}</ul>`}</section>
    <section class="panel scroll"><h2>${t("ingest.clients")}</h2><${Failure} error=${clients.error} />
      ${(clients.data?.clients ?? []).filter(fits).length === 0 ? html`<${Empty}>${t("ingest.clients.none")}</${Empty}>` : html`<table class="rows"><thead><tr><th scope="col">${t("from")}</th><th scope="col">${t("ingest.agent")}</th><th scope="col" class="number">${t("ingest.accepted")}</th><th scope="col" class="number">${t("ingest.refused")}</th><th scope="col">${t("ingest.last")}</th></tr></thead><tbody>
        ${(clients.data?.clients ?? []).filter(fits).map((one) => html`<tr key=${`${one.peer} ${one.user_agent}`}><td class="mono">${one.peer}</td><td class="wrap">${safe(one.user_agent)}</td><td class="number">${count(one.accepted)}</td><td class=${one.refused ? "number warned" : "number"}>${count(one.refused)}</td><td><${Ago} at=${one.last_seen} /></td></tr>`)}
      </tbody></table>`}</section>`;
}
