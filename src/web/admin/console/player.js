// A player for HLS, with what it says of itself.

import { asked, clock } from "./api.js";
import { bits, count, html, t, useEffect, useRef, useState } from "./ui.js";

/** Plays a list that lies at `source` on this listener. `mapped` says where what it names is to be had; null for what is elsewhere. */
export function Player({ source, mapped, isLive }) {
  const video = useRef(null);
  const [figures, set] = useState({});
  const [error, fail] = useState(null);
  const [Hls, load] = useState(null);
  useEffect(() => asked(source), [source]);
  // The library is larger than all the rest of the page: it comes when something is played, and no screen waits for it.
  useEffect(() => {
    import("./vendor/hls.min.mjs").then((library) => load(() => library.default), fail);
  }, []);
  useEffect(() => {
    if (!Hls) return undefined;
    if (!Hls.isSupported()) {
      fail(t("player.unsupported"));
      return undefined;
    }
    let again;
    const hls = new Hls({
      workerPath: new URL("./vendor/hls.worker.js", import.meta.url).href,
      liveDurationInfinity: true,
      maxBufferLength: 20,
      xhrSetup: (xhr, url) => {
        const address = mapped(url);
        if (!address) throw new Error(t("player.elsewhere"));
        xhr.open("GET", address, true);
      },
    });
    hls.on(Hls.Events.ERROR, (_, data) => {
      if (!data.fatal) return;
      fail(`${data.details}${data.response?.code ? ` (${data.response.code})` : ""}`);
      // A live stream comes back: so does the player.
      if (isLive) again = setTimeout(() => {
        if (data.type === Hls.ErrorTypes.MEDIA_ERROR) hls.recoverMediaError();
        // Without the first list there is nothing to go on with: it is asked for anew.
        else if (hls.levels.length === 0) hls.loadSource(source);
        else hls.startLoad();
      }, 2000);
    });
    hls.loadSource(source);
    hls.attachMedia(video.current);
    const timer = setInterval(() => {
      const player = video.current;
      if (!player) return;
      const buffered = player.buffered.length ? player.buffered.end(player.buffered.length - 1) - player.currentTime : 0;
      const playing = hls.playingDate;
      const level = hls.levels[hls.currentLevel];
      if (player.readyState > 2) fail(null);
      set({
        latency: playing ? (clock.now() - playing) / 1000 : hls.latency || null,
        buffered,
        level: level ? [level.height && `${level.height}p`, level.bitrate && bits(level.bitrate)].filter(Boolean).join(" ") || "–" : "–",
        dropped: player.getVideoPlaybackQuality?.().droppedVideoFrames ?? 0,
      });
    }, 1000);
    return () => {
      clearInterval(timer);
      clearTimeout(again);
      hls.destroy();
    };
  }, [source, Hls]);
  return html`<div class="player">
    <video ref=${video} muted autoplay playsinline controls aria-label=${t("player")}></video>
    <dl class="figures">
      ${isLive && html`<div><dt>${t("player.latency")}</dt><dd>${figures.latency === null || figures.latency === undefined ? "–" : `${figures.latency.toFixed(1)} s`}</dd></div>`}
      <div><dt>${t("player.buffer")}</dt><dd>${(figures.buffered ?? 0).toFixed(1)} s</dd></div>
      <div><dt>${t("player.level")}</dt><dd>${figures.level ?? "–"}</dd></div>
      <div><dt>${t("player.dropped")}</dt><dd>${count(figures.dropped ?? 0)}</dd></div>
    </dl>
    ${error && html`<p class="failure">${String(error)}</p>`}
  </div>`;
}
