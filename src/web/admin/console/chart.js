// A line chart over time, with a table of the same for those who do not see it.

import { language } from "./text.js";
import { html, t, useEffect, useRef, useState } from "./ui.js";

const clockTime = (moment) => new Date(moment * 1000).toLocaleTimeString(language(), { hour12: false });
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// It is asked for with the first chart: figures are read before lines are drawn.
let library = null;
const drawing = () => (library ??= import("./vendor/uPlot.esm.js").then((module) => module.default));

/** `series`: [{ label, color, values, fill }]; `times` in seconds since 1970; `format` writes a value. */
export function Chart({ title, times, series, format, height = 150 }) {
  const place = useRef(null);
  const plot = useRef(null);
  const [theme, redraw] = useState(0);
  const [UPlot, load] = useState(null);
  const data = [times, ...series.map((one) => one.values)];
  const latest = useRef(data);
  latest.current = data;
  useEffect(() => {
    drawing().then((made) => load(() => made), () => {});
  }, []);
  useEffect(() => {
    const watch = new MutationObserver(() => redraw((n) => n + 1));
    watch.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    return () => watch.disconnect();
  }, []);
  useEffect(() => {
    if (!UPlot) return undefined;
    const axis = { stroke: color("--muted"), grid: { stroke: color("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
    const options = {
      width: Math.max(200, place.current.clientWidth),
      height,
      cursor: { points: { size: 6 } },
      legend: { live: true },
      axes: [{ ...axis, space: 80, values: (_, moments) => moments.map(clockTime) }, { ...axis, size: 74, values: (_, values) => values.map(format) }],
      scales: { y: { range: (_, low, high) => [0, Math.max(high ?? 0, 1) * 1.1] } },
      series: [
        {},
        ...series.map((one) => ({
          label: one.label,
          stroke: color(one.color),
          fill: one.fill ? `${color(one.color)}22` : undefined,
          width: 1.5,
          points: { show: false },
          value: (_, value) => (value === null || value === undefined ? "" : format(value)),
        })),
      ],
    };
    plot.current = new UPlot(options, latest.current, place.current);
    const resized = new ResizeObserver(([entry]) => plot.current?.setSize({ width: Math.max(200, entry.contentRect.width), height }));
    resized.observe(place.current);
    return () => {
      resized.disconnect();
      plot.current.destroy();
      plot.current = null;
    };
  }, [series.map((one) => one.label).join(), theme, height, UPlot]);
  useEffect(() => plot.current?.setData(latest.current), [times?.at(-1), times?.length]);
  const last = series.map((one) => `${one.label} ${format(one.values?.at(-1) ?? 0)}`).join(", ");
  return html`<figure class="chart">
    <figcaption>${title} <span class="visually-hidden">${last}</span></figcaption>
    <div ref=${place} aria-hidden="true" style=${{ minHeight: `${height}px` }}></div>
    <details class="as-table"><summary>${t("as-table")}</summary>
      <table><thead><tr><th scope="col">${t("time")}</th>${series.map((one) => html`<th scope="col">${one.label}</th>`)}</tr></thead>
      <tbody>${(times ?? []).map((at, row) => ({ at, row })).slice(-12).reverse().map(({ at, row }) => html`<tr><td>${clockTime(at)}</td>
        ${series.map((one) => html`<td>${format(one.values[row] ?? 0)}</td>`)}</tr>`)}</tbody></table></details>
  </figure>`;
}
