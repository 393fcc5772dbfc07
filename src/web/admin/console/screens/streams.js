// Every live stream, trouble first.

import { Ago, Empty, Failure, Head, Name, State, bits, count, html, seconds, streamLink, t, usePoll, useState } from "../ui.js";

const ORDER = { stale: 0, late: 1, live: 2, ended: 3 };
// So many rows are drawn; who looks for another one filters.
const MOST = 200;

export function Streams() {
  const { data, error } = usePoll("/v1/streams", 4000);
  const [text, filter] = useState("");
  const [state, pick] = useState("");
  const [paused, pause] = useState(null);
  const streams = paused ?? data?.streams;
  if (!streams) return html`<${Head} title=${t("nav.streams")} /><${Failure} error=${error} />${!error && html`<${Empty}>${t("loading")}</${Empty}>`}`;
  const troubles = (stream) => stream.troubles.length + stream.renditions.reduce((all, one) => all + one.troubles.length, 0);
  const found = streams
    .filter((stream) => (!state || stream.state === state) && `${stream.namespace}/${stream.stream}`.toLowerCase().includes(text.toLowerCase()))
    .sort((one, other) => ORDER[one.state] - ORDER[other.state] || troubles(other) - troubles(one) || `${one.namespace}/${one.stream}`.localeCompare(`${other.namespace}/${other.stream}`));
  const sum = (stream, field) => stream.renditions.reduce((all, one) => all + (one[field] ?? 0), 0);
  return html`
    <${Head} title=${t("nav.streams")}>
      <input type="search" placeholder=${t("filter")} aria-label=${t("filter")} value=${text} onInput=${(event) => filter(event.target.value)} />
      <select aria-label=${t("state")} value=${state} onChange=${(event) => pick(event.target.value)}><option value="">${t("all-states")}</option>${Object.keys(ORDER).map((name) => html`<option value=${name}>${t(`state.${name}`)}</option>`)}</select>
      <button type="button" data-pause aria-pressed=${!!paused} onClick=${() => pause(paused ? null : data.streams)}>${paused ? t("resume") : t("pause")}</button>
    </${Head}>
    <${Failure} error=${error} />
    ${found.length === 0 ? html`<${Empty}>${streams.length ? t("nothing-found") : t("overview.none")} ${!streams.length && html`<a href="#/start">${t("overview.begin")}</a>`}</${Empty}>` : html`<div class="panel scroll"><table class="rows">
      <thead><tr><th scope="col">${t("state")}</th><th scope="col">${t("stream")}</th><th scope="col">${t("renditions")}</th><th scope="col" class="number">${t("edge")}</th><th scope="col" class="number">${t("bitrate")}</th><th scope="col" class="number">${t("announced")}</th><th scope="col" class="number">${t("upload-ratio")}</th><th scope="col">${t("troubles")}</th></tr></thead>
      <tbody>${found.slice(0, MOST).map((stream) => {
        const good = stream.renditions.filter((one) => one.state === "live" || one.state === "ended").length;
        const age = Math.max(0, ...stream.renditions.filter((one) => one.state !== "ended").map((one) => one.age_s));
        const ratio = Math.max(0, ...stream.renditions.map((one) => one.upload_ratio ?? 0));
        const named = [...stream.troubles, ...stream.renditions.flatMap((one) => one.troubles)];
        return html`<tr data-row key=${`${stream.namespace}/${stream.stream}`}>
          <td><${State} is=${stream.state} /></td>
          <td><a href=${streamLink(stream.namespace, stream.stream)}><${Name} of=${stream.stream} most=${70} /></a><div class="muted">${stream.namespace} · ${stream.format}</div></td>
          <td>${good}/${stream.renditions.length}</td>
          <td class="number">${stream.state === "ended" ? "–" : seconds(age)}</td>
          <td class="number">${bits(sum(stream, "bitrate") || null)}</td><td class="number">${bits(sum(stream, "announced_bandwidth") || null)}</td>
          <td class=${ratio > 0.8 ? "number warned" : "number"}>${ratio ? `${Math.round(ratio * 100)} %` : "–"}</td>
          <td class="wrap">${[...new Set(named)].map((name) => html`<span class="chip">${t(`event.${name}`)}</span> `)}</td></tr>`;
      })}</tbody></table></div>
      ${found.length > MOST && html`<p class="muted">${t("more-rows", { n: count(found.length - MOST) })}</p>`}`}`;
}
