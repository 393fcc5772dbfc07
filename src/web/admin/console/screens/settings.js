// The settings in force and where each is from; trying a file, reloading, who changed what, and the end.

import { ask, curl } from "../api.js";
import { Ago, Destroy, Dialog, Empty, Failure, Head, Paste, html, safe, t, useEffect, usePoll, useState } from "../ui.js";

/** Reads the file and puts it in force, once somebody has read what goes with it. */
function Reload({ onClose, onDone }) {
  const [error, fail] = useState(null);
  const order = { method: "POST", path: "/v1/reload" };
  const go = async (event) => {
    event.preventDefault();
    try {
      onDone((await ask(order.method, order.path)).changes);
    } catch (problem) {
      fail(problem);
    }
  };
  return html`<${Dialog} title=${t("settings.reload")} onClose=${onClose}><form onSubmit=${go}>
    <p>${t("settings.reload.about")}</p>
    <${Failure} error=${error} /><${Paste} label="curl" text=${curl(order)} />
    <div class="actions"><button type="submit" class="primary">${t("settings.reload")}</button></div></form></${Dialog}>`;
}

function Check({ onClose }) {
  const [text, set] = useState("");
  const [faults, show] = useState(null);
  const [error, fail] = useState(null);
  const check = async (event) => {
    event.preventDefault();
    try {
      show((await ask("POST", "/v1/settings/check", { text })).faults);
    } catch (problem) {
      fail(problem);
    }
  };
  return html`<${Dialog} title=${t("settings.check")} onClose=${onClose}><form onSubmit=${check}>
    <label>springhead.toml<textarea rows="12" value=${text} onInput=${(event) => set(event.target.value)} spellcheck="false"></textarea></label>
    <${Failure} error=${error} />
    ${faults && (faults.length === 0 ? html`<p class="good">${t("settings.good")}</p>` : html`<ul class="faults">${faults.map((fault) => html`<li class="mono">${fault}</li>`)}</ul>`)}
    <div class="actions"><button type="submit" class="primary">${t("settings.check")}</button></div></form></${Dialog}>`;
}

export function Settings() {
  const { data, error, again } = usePoll("/v1/settings", 0);
  const about = usePoll("/v1", 5000);
  const audit = usePoll("/v1/audit?limit=50", 10_000);
  const [text, filter] = useState("");
  const [said, only] = useState(false);
  const [checking, check] = useState(false);
  const [draining, drain] = useState(false);
  const [reloading, reload] = useState(false);
  const [told, tell] = useState(null);
  const [utc, setUtc] = useState(localStorage.getItem("utc") === "1");
  useEffect(() => localStorage.setItem("utc", utc ? "1" : "0"), [utc]);
  const found = (data?.settings ?? []).filter((one) => (!said || one.place) && `${one.key} ${one.value}`.toLowerCase().includes(text.toLowerCase()));
  return html`
    <${Head} title=${t("nav.settings")}>
      <input type="search" placeholder=${t("filter")} aria-label=${t("filter")} value=${text} onInput=${(event) => filter(event.target.value)} />
      <label class="check"><input type="checkbox" checked=${said} onChange=${(event) => only(event.target.checked)} /> ${t("settings.said")}</label>
      <button type="button" onClick=${() => check(true)}>${t("settings.check")}</button>
      <button type="button" class="primary" onClick=${() => reload(true)}>${t("settings.reload")}</button>
    </${Head}>
    <${Failure} error=${error} />
    ${told && html`<div class="advice">${told.length === 0 ? t("settings.unchanged") : html`<ul>${told.map((one) => html`<li><span class="mono">${one.key}</span>: ${one.from ?? "–"} → ${one.to ?? "–"} ${!one.is_live && t("settings.restart")}</li>`)}</ul>`}</div>`}
    ${about.data && html`<section class="panel"><dl class="figures"><div><dt>${t("version")}</dt><dd>${about.data.version}</dd></div><div><dt>${t("started")}</dt><dd><${Ago} at=${about.data.started_at} /></dd></div><div><dt>${t("ready")}</dt><dd>${about.data.is_ready ? t("yes") : t("no")}</dd></div></dl>
      <label class="check"><input type="checkbox" checked=${utc} onChange=${(event) => setUtc(event.target.checked)} /> ${t("utc")}</label></section>`}
    <div class="panel scroll"><table class="rows compact"><thead><tr><th scope="col">${t("setting")}</th><th scope="col">${t("value")}</th><th scope="col">${t("default")}</th><th scope="col">${t("from")}</th><th scope="col">${t("settings.change")}</th></tr></thead><tbody>
      ${found.map((one) => html`<tr key=${one.key} class=${one.default !== null && one.value !== one.default ? "differs" : ""}><th scope="row" class="mono wrap">${one.key}</th><td class="mono wrap">${safe(one.value)}</td><td class="mono muted wrap">${safe(one.default ?? "–")}</td><td class="muted wrap">${one.place ?? t("default")}</td><td class="muted">${one.is_live ? t("settings.live") : t("settings.restart")}</td></tr>`)}
    </tbody></table></div>
    <section class="panel scroll"><h2>${t("audit")}</h2><${Failure} error=${audit.error} />
      ${(audit.data?.lines ?? []).length === 0 ? html`<${Empty}>${t("audit.none")}</${Empty}>` : html`<table class="rows compact"><thead><tr><th scope="col">${t("time")}</th><th scope="col">${t("who")}</th><th scope="col">${t("what")}</th><th scope="col">${t("audit.after")}</th></tr></thead><tbody>
        ${audit.data.lines.map((line) => html`<tr key=${line.request_id}><td><${Ago} at=${line.time} /></td><td class="mono">${line.key_id ?? t("audit.local")}<div class="muted">${line.role ?? ""} ${line.way} ${line.peer}</div></td><td class="mono wrap">${line.action}<div class="muted">${(line.target ?? []).join("/")}</div></td><td class="mono wrap muted">${safe(JSON.stringify(line.after ?? line.before), 160)}</td></tr>`)}
      </tbody></table>`}</section>
    <section class="panel"><h2>${t("drain")}</h2><p>${t("drain.about")}</p><${Paste} label="curl" text=${curl({ method: "POST", path: "/v1/drain" })} /><div class="actions"><button type="button" class="danger" onClick=${() => drain(true)}>${t("drain")}</button></div></section>
    ${reloading && html`<${Reload} onClose=${() => reload(false)} onDone=${(changes) => { reload(false); tell(changes); again(); }} />`}
    ${checking && html`<${Check} onClose=${() => check(false)} />`}
    ${draining && html`<${Destroy} title=${t("drain")} name=${location.hostname} action=${t("drain")} call=${{ method: "POST", path: "/v1/drain" }} onDone=${() => drain(false)} onClose=${() => drain(false)} about=${html`<p>${t("drain.about")}</p>`} />`}`;
}
