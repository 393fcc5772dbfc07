// Recordings: ordered, watched, stopped.

import { ask, asked, curl } from "../api.js";
import { part } from "../commands.js";
import { Player } from "../player.js";
import { Ago, Dialog, Empty, Failure, Head, Name, Paste, State, bytes, count, html, safe, t, usePoll, useState } from "../ui.js";

function Order({ onClose, onDone, rest }) {
  const streams = usePoll("/v1/streams", 0);
  const all = (streams.data?.streams ?? []).filter((one) => one.format === "hls");
  const [order, set] = useState({ stream: rest?.length > 1 ? `${rest[0]}/${rest[1]}` : "", last: "10m", start: "", end: "", out: "" });
  const [error, fail] = useState(null);
  const chosen = all.find((one) => `${one.namespace}/${one.stream}` === order.stream) ?? all[0];
  const body = { namespace: chosen?.namespace, playlist: chosen?.stream, out: order.out, ...(order.start || order.end ? { start: order.start || undefined, end: order.end || undefined } : { last: order.last }) };
  const save = async (event) => {
    event.preventDefault();
    try {
      await ask("POST", "/v1/harvest", JSON.parse(JSON.stringify(body)));
      onDone();
    } catch (problem) {
      fail(problem);
    }
  };
  const change = (name) => (event) => set({ ...order, [name]: event.target.value });
  return html`<${Dialog} title=${t("record.new")} onClose=${onClose}><form onSubmit=${save}>
    <label>${t("stream")}<select value=${order.stream} onChange=${change("stream")}>${all.map((one) => html`<option value=${`${one.namespace}/${one.stream}`}>${one.namespace}/${one.stream}</option>`)}</select></label>
    <div class="inline"><label>${t("record.last")}<input value=${order.last} onInput=${change("last")} placeholder="10m" /></label><label>${t("record.start")}<input value=${order.start} onInput=${change("start")} placeholder="2026-01-31T20:15:00Z" /></label><label>${t("record.end")}<input value=${order.end} onInput=${change("end")} placeholder="2026-01-31T20:45:00Z" /></label></div>
    <label>${t("record.out")}<input value=${order.out} onInput=${change("out")} required placeholder="clip" /></label>
    <${Failure} error=${error} /><${Paste} label="curl" text=${curl({ method: "POST", path: "/v1/harvest", body })} />
    <div class="actions"><button type="submit" class="primary" disabled=${!chosen || !order.out}>${t("record.new")}</button></div></form></${Dialog}>`;
}

/** Its own playlist, below its folder; null where it went into a bucket. */
function entry(one) {
  const is_here = one.state === "done" && !one.out.includes("://");
  return is_here ? `/v1/harvest/${one.id}/files/${part(one.out.split("/").pop())}` : null;
}

function Play({ one, onClose }) {
  const source = entry(one);
  return html`<${Dialog} title=${safe(one.out, 60)} onClose=${onClose}>
    <${Player} source=${source} mapped=${(url) => (new URL(url, location.href).origin === location.origin ? url : null)} />
    <${Paste} label="curl" text=${curl({ method: "GET", path: `/v1/harvest/${one.id}/archive` })} />
  </${Dialog}>`;
}

export function Recordings({ rank, who, rest }) {
  const { data, error, again } = usePoll("/v1/harvest", 2000);
  const [ordering, order] = useState(false);
  const [failed, fail] = useState(null);
  const [playing, play] = useState(null);
  const may = rank > 1 || (rank === 0 && who.is_open);
  const cancel = (id) => ask("DELETE", `/v1/harvest/${id}`).then(again, fail);
  return html`
    <${Head} title=${t("nav.recordings")}>${may && html`<button type="button" class="primary" onClick=${() => order(true)}>${t("record.new")}</button>`}</${Head}>
    <${Failure} error=${error ?? failed} />
    ${data?.harvests.length === 0 && html`<${Empty}>${t("record.none")}</${Empty}>`}
    ${data && data.harvests.length > 0 && html`<div class="panel scroll"><table class="rows"><thead><tr><th scope="col">${t("state")}</th><th scope="col">${t("stream")}</th><th scope="col">${t("record.out")}</th><th scope="col">${t("record.progress")}</th><th scope="col" class="number">${t("size")}</th><th scope="col" class="number">${t("record.missing")}</th><th scope="col">${t("record.ordered")}</th><th scope="col"><span class="visually-hidden">${t("actions")}</span></th></tr></thead><tbody>
      ${data.harvests.map((one) => html`<tr key=${one.id}><td><${State} is=${one.state} /></td><td><${Name} of=${one.playlist} most=${50} /><div class="muted">${one.namespace}</div></td><td class="wrap mono">${one.out}${one.error && html`<div class="failure">${one.error}</div>`}</td><td><progress max=${one.total || 1} value=${one.files}></progress> ${count(one.files)}/${count(one.total)}</td><td class="number">${bytes(one.bytes)}</td><td class=${one.missing ? "number warned" : "number"} title=${(one.missing_files ?? []).join("\n")}>${count(one.missing)}</td><td><${Ago} at=${one.ordered} /></td><td class="row-actions">${rank > 0 && entry(one) && html`<button type="button" class="small" onClick=${() => play(one)}>${t("record.play")}</button> <a class="button small" href=${`/v1/harvest/${one.id}/archive`} onClick=${() => asked(`/v1/harvest/${one.id}/archive`)} download=${`recording-${one.id}.tar`}>${t("download")}</a>`} ${may && ["waiting", "running"].includes(one.state) && html`<button type="button" class="small danger" onClick=${() => cancel(one.id)}>${t("record.stop")}</button>`}</td></tr>`)}
    </tbody></table></div>`}
    ${playing && html`<${Play} one=${playing} onClose=${() => play(null)} />`}
    ${ordering && html`<${Order} rest=${rest} onClose=${() => order(false)} onDone=${() => { order(false); again(); }} />`}`;
}
