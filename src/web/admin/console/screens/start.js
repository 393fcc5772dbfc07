// The first stream, step by step: each turns green as what it asks for is there.

import { ask, curl } from "../api.js";
import { Failure, Head, Paste, State, html, streamLink, t, useEffect, usePoll, useState } from "../ui.js";
import { Shown, useOrigin } from "./keys.js";

const Step = ({ number, title, done, children }) => html`<li class=${done ? "step done" : "step"}><h2><span class="step-number" aria-hidden="true">${done ? "✓" : number}</span> ${title} ${done && html`<span class="visually-hidden">${t("done")}</span>`}</h2>${children}</li>`;

export function Start() {
  const spaces = usePoll("/v1/namespaces", 3000);
  const clients = usePoll("/v1/ingest/clients", 2000);
  const rejected = usePoll("/v1/ingest/rejected", 3000);
  const streams = usePoll("/v1/streams", 2000);
  const [name, call] = useState("");
  const [made, show] = useState({});
  const [error, fail] = useState(null);
  const [begun] = useState(Date.now());
  const origin = useOrigin();
  const namespaces = (spaces.data?.namespaces ?? []).map((one) => one.name);
  const [namespace, pick] = useState(null);
  const chosen = namespace ?? namespaces[0];
  useEffect(() => {
    if (namespace && namespaces.length && !namespaces.includes(namespace)) pick(null);
  }, [namespaces.join()]);
  const create = async (event) => {
    event.preventDefault();
    try {
      await ask("PUT", `/v1/namespaces/${encodeURIComponent(name)}`, {}, { "If-None-Match": "*" });
      pick(name);
      call("");
      spaces.again();
      fail(null);
    } catch (problem) {
      fail(problem);
    }
  };
  const makeKeys = async () => {
    try {
      const order = (role, label) => ask("POST", "/v1/keys", { role, namespaces: [chosen], label });
      // One that was made is shown, whatever becomes of the other: it is good, and not shown again.
      const encoder = made.encoder ?? (await order("readwrite", `${chosen} encoder`));
      show({ encoder });
      const player = await order("readonly", `${chosen} player`);
      show({ encoder, player });
      fail(null);
    } catch (problem) {
      fail(problem);
    }
  };
  const refused = (rejected.data?.rejected ?? []).find((one) => one.request && new Date(one.request.time) > begun);
  const live = (streams.data?.streams ?? []).filter((one) => one.namespace === chosen && one.state !== "ended");
  // By what was sent here, and not to another namespace.
  const isHere = (one) => one.first_accepted?.target.startsWith(`/cache/${chosen}/`) && new Date(one.last_seen) > begun - 60_000;
  const arrived = live.length > 0 || (clients.data?.clients ?? []).some(isHere);
  return html`
    <${Head} title=${t("nav.start")} />
    <p>${t("start.about")}</p>
    <${Failure} error=${error ?? spaces.error} />
    <ol class="steps">
      <${Step} number="1" title=${t("start.namespace")} done=${!!chosen}>
        ${namespaces.length > 0 && html`<label>${t("namespace")}<select value=${chosen} onChange=${(event) => pick(event.target.value)}>${namespaces.map((one) => html`<option value=${one}>${one}</option>`)}</select></label>`}
        <form onSubmit=${create} class="inline"><label>${t("namespace.new")}<input name="namespace" value=${name} onInput=${(event) => call(event.target.value)} pattern="[A-Za-z0-9][A-Za-z0-9._\\-]{0,63}" placeholder="live" spellcheck="false" /></label><button type="submit" class="primary" disabled=${!name}>${t("create")}</button></form>
        <${Paste} label="curl" text=${curl({ method: "PUT", path: `/v1/namespaces/${encodeURIComponent(name || chosen || "live")}`, body: {}, headers: { "If-None-Match": "*" } })} />
      </${Step}>
      <${Step} number="2" title=${t("start.keys")} done=${!!made.player}>
        <p>${t("start.keys.about")}</p>
        ${!made.player && html`<button type="button" class="primary" disabled=${!chosen} onClick=${makeKeys}>${t("start.keys.make")}</button>`}
      </${Step}>
      <${Step} number="3" title=${t("start.encoder")} done=${arrived}>
        ${made.encoder ? html`<${Shown} made=${made.encoder} namespace=${chosen} origin=${origin} />` : html`<p class="muted">${t("start.first", { n: 2 })}</p>`}
        ${refused && html`<p class="failure">${refused.code}: ${refused.advice} <a href="#/ingest">${t("nav.ingest")}</a></p>`}
      </${Step}>
      <${Step} number="4" title=${t("start.live")} done=${live.some((one) => one.state === "live")}>
        ${live.length === 0 ? html`<p class="muted">${t("start.waiting")}</p>` : html`<ul>${live.map((one) => html`<li><${State} is=${one.state} /> <a href=${streamLink(one.namespace, one.stream)}>${one.stream}</a></li>`)}</ul>`}
      </${Step}>
      <${Step} number="5" title=${t("start.cdn")} done=${false}>
        ${made.player ? html`<${Shown} made=${made.player} namespace=${chosen} origin=${origin} />` : html`<p class="muted">${t("start.first", { n: 2 })}</p>`}
      </${Step}>
    </ol>`;
}
