// What has happened to streams, as it happens and before.

import { Download, Empty, Failure, Head, Name, html, streamLink, t, time, useEvents, useState } from "../ui.js";

const MOST = 500;

export function Events() {
  const [text, filter] = useState("");
  const [only, narrow] = useState(false);
  const [paused, pause] = useState(false);
  const { events, error, waiting } = useEvents({}, MOST, () => true, paused);
  const found = (events ?? []).filter((event) => (!only || event.trouble) && JSON.stringify(event).toLowerCase().includes(text.toLowerCase()));
  return html`
    <${Head} title=${t("nav.events")}>
      <input type="search" placeholder=${t("filter")} aria-label=${t("filter")} value=${text} onInput=${(event) => filter(event.target.value)} />
      <label class="check"><input type="checkbox" checked=${only} onChange=${(event) => narrow(event.target.checked)} /> ${t("events.trouble")}</label>
      <button type="button" data-pause aria-pressed=${paused} onClick=${() => pause(!paused)}>${paused ? t("events.resume", { n: waiting.length }) : t("pause")}</button>
      <${Download} name="events.json" label=${t("export")} text=${JSON.stringify(found, null, 2)} />
    </${Head}>
    <${Failure} error=${error} />
    ${events && found.length === 0 && html`<${Empty}>${t("events.none")}</${Empty}>`}
    ${found.length > 0 && html`<div class="panel scroll"><table class="rows"><thead><tr><th scope="col">${t("time")}</th><th scope="col">${t("event")}</th><th scope="col">${t("stream")}</th><th scope="col">${t("advice")}</th></tr></thead><tbody>
      ${found.map((event, index) => html`<tr data-row key=${`${event.time}-${event.playlist ?? event.stream}-${event.event}-${found.length - index}`}><td class="mono">${time(event.time, true)}</td><td><span class=${event.trouble ? "state late" : "state live"}><span aria-hidden="true">${event.trouble ? "▲" : "●"}</span> ${t(`event.${event.event}`)}</span></td><td><a href=${streamLink(event.namespace, event.stream)}><${Name} of=${event.playlist ?? event.stream} most=${50} /></a><div class="muted">${event.namespace}</div></td><td class="wrap">${event.detail}</td></tr>`)}
    </tbody></table></div>`}`;
}
