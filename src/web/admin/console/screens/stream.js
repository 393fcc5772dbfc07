// One stream: a verdict, the picture, a strip of tiles for each rendition, the playlist as it is.

import { ask, at, here, preview, text } from "../api.js";
import { Chart } from "../chart.js";
import { ofStream } from "../commands.js";
import { Player } from "../player.js";
import { Empty, Failure, Head, Name, Paste, State, bits, bytes, count, html, safe, seconds, t, time, useEffect, useEvents, usePoll, useState } from "../ui.js";

/** Where a player finds what a playlist names: below the preview, whatever the playlist makes of it. */
function mapped(url, namespace) {
  const target = new URL(url, location.href);
  if (target.origin !== location.origin) return null;
  const inside = target.pathname.match(/^\/cache\/([^/]+)\/(.*)$/);
  if (inside) return `/v1/preview/${inside[1]}/${inside[2]}${target.search}`;
  if (target.pathname.startsWith("/v1/preview/")) return target.pathname;
  return `/v1/preview/${encodeURIComponent(namespace)}${target.pathname}`;
}

/** What a walk through the stream has found, at the push of a button. */
function Doctor({ namespace, stream }) {
  const [found, set] = useState(null);
  const [error, fail] = useState(null);
  const [walking, walk] = useState(false);
  const go = async () => {
    walk(true);
    fail(null);
    try {
      set(await ask("POST", "/v1/doctor", { namespace, key: stream }));
    } catch (problem) {
      fail(problem);
    }
    walk(false);
  };
  const verdicts = { ok: "good", warning: "late", failure: "failed" };
  return html`<section class="panel"><h2>${t("doctor")}</h2>
    <p class="muted">${t("doctor.about")}</p>
    <p><button type="button" onClick=${go} disabled=${walking} data-doctor>${walking ? t("doctor.walking") : t("doctor.go")}</button></p>
    <${Failure} error=${error} />
    <div role="status">${found && html`<p><strong>${found.failures ? t("doctor.bad", { n: found.failures }) : t("doctor.good")}</strong> ${t("doctor.counted", { n: found.steps.length, warnings: found.warnings })}</p>`}</div>
    ${found && html`<ul class="steps">${found.steps.map((one) => html`<li class=${one.verdict}><span class=${`state ${verdicts[one.verdict]}`}>${t(`verdict.${one.verdict}`)}</span> <strong>${one.step}</strong> <span class="muted mono">${safe(one.about.join(", "), 80)}</span> <span class="wrap">${safe(one.finding, 400)}</span>${one.advice && html`<div class="advice">${safe(one.advice, 500)}</div>`}</li>`)}</ul>`}
  </section>`;
}

/** A tile for each segment on one axis: as wide as it plays, as high as its bitrate. */
function Strip({ rendition, onPick, picked }) {
  const { segments } = rendition;
  const rate = (one) => (one.bytes && one.duration_s ? (one.bytes * 8) / one.duration_s : 0);
  const most = Math.max(rendition.announced_bandwidth ?? 0, ...segments.map(rate), 1);
  const troubles = segments.filter((one) => one.state !== "on-time").length;
  // One of them is on the way of the tab key; arrows lead to the others.
  const here = Math.max(segments.findIndex((one) => one.key === picked?.key && one.sequence === picked?.sequence), -1);
  const stop = here < 0 ? segments.length - 1 : here;
  const walk = (event) => {
    const to = { ArrowLeft: stop - 1, ArrowRight: stop + 1, Home: 0, End: segments.length - 1 }[event.key];
    const next = to === undefined ? null : event.currentTarget.children[to];
    if (!next) return;
    event.preventDefault();
    onPick(segments[to]);
    next.focus();
  };
  return html`<div class="strip-row">
    <div class="strip-name"><span>${t(`kind.${rendition.kind}`)}</span> <${Name} of=${rendition.playlist.split("/").pop()} most=${40} />
      <span class="muted">${rendition.announced_bandwidth ? bits(rendition.announced_bandwidth) : ""} ${troubles ? t("strip.troubles", { n: troubles }) : ""}</span></div>
    <div class="strip" role="group" onKeyDown=${walk} aria-label=${t("strip.label", { name: rendition.playlist, n: segments.length })}>
      ${segments.map((one, index) => html`<button type="button" key=${one.sequence} tabindex=${index === stop ? 0 : -1} aria-pressed=${index === here}
        class=${`tile-segment ${one.state} ${one.is_here || one.state === "missing" ? "" : "gone"} ${picked?.key === one.key ? "picked" : ""}`}
        style=${{ flexGrow: one.duration_s || 1 }} onClick=${() => onPick(one)}
        title=${`${one.sequence} · ${t(`tile.${one.state}`)} · ${bits(rate(one))} · ${seconds(one.duration_s)}`}>
        <span class="bar" style=${{ height: `${one.state === "missing" ? 100 : Math.max(6, (rate(one) / most) * 100)}%` }}></span></button>`)}
    </div></div>`;
}

const FINDINGS = [
  [/^#EXT-X-DISCONTINUITY$/, "discontinuity"],
  [/^#EXT-X-GAP$/, "gap"],
  [/^#EXT-X-(DATERANGE|CUE-OUT|CUE-IN)/, "cue"],
  [/^#EXT-X-ENDLIST$/, "end"],
];

function Playlist({ namespace, playlists, missing }) {
  const [key, pick] = useState(playlists[0]);
  const [body, set] = useState("");
  const [error, fail] = useState(null);
  useEffect(() => {
    let over = false;
    const look = () => text(namespace, key).then((found) => !over && (set(found), fail(null)), (problem) => !over && fail(problem));
    look();
    const timer = setInterval(() => document.hidden || look(), 3000);
    return () => {
      over = true;
      clearInterval(timer);
    };
  }, [namespace, key]);
  const lines = body.split("\n").filter((line, index, all) => line || index < all.length - 1);
  const note = (line) => FINDINGS.find(([form]) => form.test(line))?.[1] ?? (missing.has(line) ? "missing" : null);
  return html`<section class="panel"><h2>${t("playlist")}</h2>
    <select aria-label=${t("playlist")} value=${key} onChange=${(event) => pick(event.target.value)}>${playlists.map((one) => html`<option value=${one}>${safe(one)}</option>`)}</select>
    <${Failure} error=${error} />
    <ol class="playlist" tabindex="0" aria-label=${t("playlist")}>${lines.slice(-60).map((line) => html`<li class=${note(line) ?? (line.startsWith("#") ? "tag" : "")}><code>${safe(line, 200)}</code>${note(line) && html`<span class="margin">${t(`finding.${note(line)}`)}</span>`}</li>`)}</ol>
    ${lines.length > 60 && html`<p class="muted">${t("playlist.cut", { n: lines.length })}</p>`}
  </section>`;
}

export function Stream({ rest, rank }) {
  const [namespace, key] = rest;
  const path = at("/v1/stream", { namespace, key });
  const { data, error } = usePoll(path, 3000);
  const strips = usePoll(at("/v1/stream/timeline", { namespace, key }), 2000);
  const [picked, pick] = useState(null);
  const { events } = useEvents({ namespace, stream: key }, 20, (event) => event.namespace === namespace && event.stream === key, false);
  const title = key?.split("/").pop() ?? "";
  if (!data) return html`<${Head} title=${safe(title)} /><p><a href="#/streams">← ${t("nav.streams")}</a></p><${Failure} error=${error} />`;
  const renditions = strips.data?.renditions ?? [];
  const missing = new Set(renditions.flatMap((one) => one.segments.filter((segment) => segment.state === "missing").map((segment) => segment.key.split("/").pop())));
  const first = renditions[0]?.segments ?? [];
  const arrivals = first.filter((one) => one.arrived);
  const standing = ["stale", "late"].filter((name) => data.state === name || data.renditions.some((one) => one.state === name));
  const troubles = [...standing, ...data.troubles, ...data.renditions.flatMap((one) => one.troubles)];
  return html`
    <${Head} title=${safe(title)}><a class="button" href="#/streams">← ${t("nav.streams")}</a></${Head}>
    <p class="verdict-line"><${State} is=${data.state} /> <span class="muted mono">${namespace}/${safe(key)}</span> ${[...new Set(troubles)].map((name) => html`<span class="chip">${t(`event.${name}`)}</span> `)}</p>
    ${[...new Set(troubles)].map((name) => html`<p class="advice"><strong>${t(`event.${name}`)}</strong> ${t(`advice.${name}`)}</p>`)}
    ${data.fault && html`<p class="failure">${data.fault}</p>`}
    <${Failure} error=${error} />
    <div class="stream-top">
      <section class="panel">${rank > 0 && data.format === "hls" ? html`<${Player} source=${preview(namespace, key)} mapped=${(url) => mapped(url, namespace)} isLive=${true} />` : html`<${Empty}>${rank > 0 ? t("player.dash") : t("player.sign-in")}</${Empty}>`}</section>
      <section class="panel scroll"><h2>${t("renditions")}</h2><table class="rows compact"><thead><tr><th scope="col">${t("state")}</th><th scope="col">${t("rendition")}</th><th scope="col" class="number">${t("sequence")}</th><th scope="col" class="number">${t("edge")}</th><th scope="col" class="number">${t("bitrate")}</th><th scope="col" class="number">${t("upload-ratio")}</th></tr></thead><tbody>
        ${data.renditions.map((one) => html`<tr key=${one.playlist}><td><${State} is=${one.state} /></td><td><${Name} of=${one.playlist.split("/").pop()} most=${36} /><div class="muted">${t(`kind.${one.kind}`)}${one.resolution ? ` ${one.resolution.join("×")}` : ""}</div></td>
          <td class="number">${count(one.media_sequence)}–${count(one.last_sequence)}</td><td class="number">${seconds(one.age_s)}</td><td class="number">${bits(one.bitrate)}</td><td class="number">${one.upload_ratio ? `${Math.round(one.upload_ratio * 100)} %` : "–"}</td></tr>`)}
      </tbody></table></section>
    </div>
    ${data.format === "hls" && html`<section class="panel"><h2>${t("strip.title")}</h2>
      <p class="legend">${["on-time", "late", "again", "missing"].map((name) => html`<span><span class=${`swatch ${name}`}></span>${t(`tile.${name}`)}</span>`)}<span><span class="swatch gone"></span>${t("tile.gone")}</span></p>
      <${Failure} error=${strips.error} />
      ${renditions.map((one) => html`<${Strip} key=${one.playlist} rendition=${one} onPick=${pick} picked=${picked} />`)}
      ${picked && html`<dl class="figures picked-segment"><div><dt>${t("object")}</dt><dd><a class="mono" href=${`#/objects/${encodeURIComponent(namespace)}/${encodeURIComponent(picked.key)}`}>${safe(picked.key)}</a></dd></div><div><dt>${t("sequence")}</dt><dd>${picked.sequence}</dd></div><div><dt>${t("state")}</dt><dd>${t(`tile.${picked.state}`)}</dd></div><div><dt>${t("duration")}</dt><dd>${picked.duration_s.toFixed(3)} s</dd></div><div><dt>${t("size")}</dt><dd>${bytes(picked.bytes)}</dd></div><div><dt>${t("arrived")}</dt><dd>${time(picked.arrived)}</dd></div><div><dt>${t("upload")}</dt><dd>${seconds(picked.upload_s)}</dd></div><div><dt>${t("interval")}</dt><dd>${seconds(picked.interval_s)}</dd></div></dl>`}
    </section>
    ${arrivals.length > 2 && html`<div class="charts">
      <section class="panel"><${Chart} title=${t("chart.interval")} times=${arrivals.map((one) => new Date(one.arrived) / 1000)} format=${(value) => `${value.toFixed(1)} s`} series=${[
        { label: t("interval"), color: "--accent", values: arrivals.map((one) => one.interval_s) },
        { label: t("upload"), color: "--second", values: arrivals.map((one) => one.upload_s) },
      ]} /></section>
      <section class="panel"><${Chart} title=${t("chart.bitrate")} times=${arrivals.map((one) => new Date(one.arrived) / 1000)} format=${bits} series=${renditions.filter((one) => one.segments.length === first.length).slice(0, 4).map((one, number) => ({
        label: safe(one.playlist.split("/").pop(), 24), color: ["--accent", "--second", "--warn", "--bad"][number], values: one.segments.filter((_, index) => first[index].arrived).map((segment) => (segment.bytes ? (segment.bytes * 8) / segment.duration_s : null)),
      }))} /></section></div>`}`}
    ${rank > 1 && html`<${Doctor} key=${`${namespace}/${key}`} namespace=${namespace} stream=${key} />`}
    <div class="stream-top">
      ${rank > 0 && html`<${Playlist} namespace=${namespace} playlists=${[...new Set([key, ...data.renditions.map((one) => one.playlist)])]} missing=${missing} />`}
      <section class="panel"><h2>${t("nav.events")}</h2>${!events?.length ? html`<${Empty}>${t("events.none")}</${Empty}>` : html`<ul class="events">${events.map((event) => html`<li class=${event.trouble ? "trouble" : ""}><time>${time(event.time)}</time> <strong>${t(`event.${event.event}`)}</strong> <span class="wrap">${event.detail}</span></li>`)}</ul>`}
        <h2>${t("stream.commands")}</h2>
        ${ofStream({ namespace, key }, `${location.protocol}//HOST:8080`, here).map(([label, text]) => html`<${Paste} key=${label} label=${label} text=${text} />`)}</section>
    </div>`;
}
