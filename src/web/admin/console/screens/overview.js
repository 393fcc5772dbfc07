// What is wrong now, first; then how it goes.

import { at } from "../api.js";
import { Chart } from "../chart.js";
import { Ago, Budget, Empty, Failure, Head, Name, bits, bytes, count, html, streamLink, t, useLive, usePoll, useRef, useState } from "../ui.js";

/** The series of a figure, with the newest second added as it comes. */
export function useSeries(namespace, last) {
  const { data } = usePoll(at("/v1/series", { namespace, last }), 60_000);
  const [series, set] = useState(null);
  const known = useRef(null);
  if (data && known.current !== data) {
    known.current = data;
    set(structuredClone(data));
  }
  useLive((kind, figures) => {
    if (kind !== "figures" || !figures?.namespaces) return;
    const of = figures.namespaces.filter((one) => !namespace || one.namespace === namespace);
    const sum = (field) => of.reduce((all, one) => all + (one[field] ?? 0), 0);
    set((before) => {
      // By minutes it is asked for again.
      if (!before || before.step_s > 1) return before;
      const now = Math.round(new Date(figures.time) / 1000);
      if (before.times.at(-1) >= now) return before;
      const next = (list, value) => [...list.slice(-899), value];
      return {
        step_s: 1,
        times: next(before.times, now),
        sent_bits_per_second: next(before.sent_bits_per_second, sum("sent_bits_per_second")),
        received_bits_per_second: next(before.received_bits_per_second, sum("received_bits_per_second")),
        requests_per_second: next(before.requests_per_second, sum("requests_per_second")),
        failed_per_second: next(before.failed_per_second, sum("failed_per_second")),
        stored_bytes: next(before.stored_bytes, sum("hot_stored")),
      };
    });
  });
  return series;
}

const Tile = ({ label, value, about, href, level }) => html`<a class=${`tile ${level ?? ""}`} href=${href}><span class="label">${label}</span><span class="value">${value}</span><span class="about">${about}</span></a>`;

export function Overview() {
  const { data, error } = usePoll("/v1/overview", 3000);
  const [figures, set] = useState(null);
  useLive((kind, told) => kind === "figures" && told?.namespaces && set(told));
  const [last, reach] = useState("15m");
  const series = useSeries(undefined, last);
  if (!data) return html`<${Head} title=${t("nav.overview")} /><${Failure} error=${error} />${!error && html`<${Empty}>${t("loading")}</${Empty}>`}`;
  const now = figures ?? data.figures;
  const namespaces = now.namespaces ?? [];
  const sum = (field) => namespaces.reduce((all, one) => all + (one[field] ?? 0), 0);
  const { live = 0, late = 0, stale = 0, ended = 0 } = data.streams;
  const all = live + late + stale;
  const { needy } = data;
  const verdict = all === 0 ? "none" : needy === 0 ? "good" : stale > 0 ? "bad" : "warn";
  const sentence = all === 0 ? t("overview.none") : all === 1 ? (needy ? t("overview.need.one") : t("overview.good.one")) : needy === 0 ? t("overview.good", { all }) : t("overview.need", { needy, all });
  return html`
    <${Head} title=${t("nav.overview")}><span class="muted">${t("updated")} <${Ago} at=${now.time} /></span></${Head}>
    <p class=${`verdict ${verdict}`}><span aria-hidden="true">${{ none: "○", good: "●", warn: "▲", bad: "■" }[verdict]}</span> ${sentence}
      ${all === 0 && html` <a href="#/start">${t("overview.begin")}</a>`}</p>
    ${data.degraded.map((text) => html`<p class="failure">${text}</p>`)}
    ${data.troubles.length > 0 && html`<section class="panel"><h2>${t("overview.troubles")} <span class="muted">${data.trouble_count}</span></h2>
      <table class="rows stack"><thead><tr><th scope="col">${t("stream")}</th><th scope="col">${t("trouble")}</th><th scope="col">${t("advice")}</th></tr></thead><tbody>
      ${data.troubles.map((trouble) => html`<tr data-row key=${`${trouble.namespace}/${trouble.playlist}/${trouble.trouble}`}>
        <td><a href=${streamLink(trouble.namespace, trouble.stream)}><${Name} of=${trouble.playlist} most=${60} /></a><div class="muted">${trouble.namespace}</div></td>
        <td><span class=${`state ${trouble.trouble === "stale" ? "stale" : "late"}`}><span aria-hidden="true">${trouble.trouble === "stale" ? "■" : "▲"}</span> ${t(`event.${trouble.trouble}`)}</span></td>
        <td class="wrap">${trouble.detail ?? t(`advice.${trouble.trouble}`)}</td></tr>`)}
      </tbody></table></section>`}
    <div class="tiles">
      <${Tile} label=${t("overview.live")} value=${count(live)} about=${t("overview.ended", { ended })} href="#/streams" level=${late + stale ? "warn" : ""} />
      <${Tile} label=${t("overview.in")} value=${bits(sum("received_bits_per_second"))} about=${t("overview.in.about")} href="#/ingest" />
      <${Tile} label=${t("overview.out")} value=${bits(sum("sent_bits_per_second"))} about=${t("overview.rate", { rate: count(Math.round(sum("requests_per_second"))) })} href="#/streams" />
      <${Tile} label=${t("overview.memory")} value=${bytes(sum("hot_stored"))} about=${t("of", { of: bytes(sum("hot_capacity")) })} href="#/namespaces" level=${sum("hot_stored") > 0.95 * sum("hot_capacity") ? "warn" : ""} />
      <${Tile} label=${t("overview.connections")} value=${count(now.connections)} about=${t("overview.flight", { n: count(now.requests_in_flight) })} href="#/settings" />
      <${Tile} label=${t("overview.refused")} value=${count(data.refused)} about=${t("overview.refused.about")} href="#/ingest" level=${data.refused ? "warn" : ""} />
    </div>
    ${series && html`<p class="inline"><label>${t("chart.span")}<select value=${last} onChange=${(event) => reach(event.target.value)}>${["15m", "1h", "6h", "24h"].map((span) => html`<option value=${span}>${t(`chart.${span}`)}</option>`)}</select></label></p>
    <div class="charts">
      <section class="panel"><${Chart} title=${t("chart.traffic")} times=${series.times} format=${bits} series=${[
        { label: t("chart.out"), color: "--accent", values: series.sent_bits_per_second, fill: true },
        { label: t("chart.in"), color: "--second", values: series.received_bits_per_second },
      ]} /></section>
      <section class="panel"><${Chart} title=${t("chart.requests")} times=${series.times} format=${(value) => count(Math.round(value))} series=${[
        { label: t("chart.answered"), color: "--accent", values: series.requests_per_second, fill: true },
        { label: t("chart.failed"), color: "--bad", values: series.failed_per_second },
      ]} /></section>
    </div>`}
    <section class="panel"><h2>${t("nav.namespaces")}</h2>
      <div class="scroll"><table class="rows"><thead><tr><th scope="col">${t("namespace")}</th><th scope="col">${t("memory")}</th><th scope="col" class="number">${t("objects")}</th><th scope="col" class="number">${t("durable")}</th><th scope="col" class="number">${t("chart.in")}</th><th scope="col" class="number">${t("chart.out")}</th><th scope="col" class="number">${t("per-second")}</th></tr></thead><tbody>
      ${namespaces.map((one) => html`<tr data-row key=${one.namespace}><td><a href=${`#/objects/${encodeURIComponent(one.namespace)}`}>${one.namespace}</a></td>
        <td><${Budget} used=${one.hot_stored} of=${one.hot_capacity} label=${t("memory")} /> ${bytes(one.hot_stored)} <span class="muted">/ ${bytes(one.hot_capacity)}</span></td>
        <td class="number">${count(one.hot_objects)}</td><td class="number">${bytes(one.durable_stored)}</td><td class="number">${bits(one.received_bits_per_second)}</td><td class="number">${bits(one.sent_bits_per_second)}</td><td class="number">${count(Math.round(one.requests_per_second))}</td></tr>`)}
      </tbody></table></div></section>
    <${Failure} error=${error} />`;
}
