// Plays streams in headless Chromium, each with the player named for it, and says how it went.
//
//   node play.mjs MODULES < plays.json
//
// MODULES is the folder with node_modules. plays.json is a list, all played at once:
//   {"player": "hls.js" | "dash.js" | "shaka-player" | "browser", "url": "http://…", "seconds": 20,   at most so long, from the first
//                              frame on; "browser" is what it plays by itself
//    "token": "KEY",            added to the query of each request, when there is one
//    "config": {…},             settings of the player, over its defaults
//    "sync": true,              says when it flashes and beeps
//    "numbers": true}           says which frames it showed, by the numbers in their pictures
// A play is over before its time when the stream ends. On standard output a line of JSON for each that happens:
//   {"event": "playing", "play": 0}
//   {"event": "over", "play": 0, …} with
//     frames      shown in each second since the first one (the last, begun second is left out)
//     stalls      [at, seconds] of each time that the player had nothing to show, for more than 0.2 s; `at`, here and below, in
//                 seconds since the first frame
//     latency     behind the encoder's clock, in seconds, sampled ten times a second
//     requests    how many were answered; `missed` are those with a status of 400 or more: [at, status, path]
//     broken      requests without an answer that the player did not give up itself: [at, reason, path]
//     fatal       what the player could not go on after
//     ended       whether the stream came to its end
//     flashes     where a black picture turns white, in seconds of what the player plays, as far as both frames were shown
//     numbers     of the frames that were painted, in their order: [number, frames so far], for a busy machine does not paint all
//     beeps       where silence ends, by the same clock: what the player put into the browser as sound, decoded

import { createServer } from "node:http";
import { createRequire } from "node:module";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const modules = resolve(process.argv[2]);
const { chromium } = createRequire(join(modules, "package.json"))("playwright-core");
const plays = JSON.parse(readFileSync(0, "utf8"));

const scripts = {
  "hls.js": "hls.js/dist/hls.min.js",
  "dash.js": "dashjs/dist/modern/umd/dash.all.min.js",
  "shaka-player": "shaka-player/dist/shaka-player.compiled.js",
};

// The page has an address of its own, so that the stream is another site's to it, as it is to every real player.
const server = createServer((request, response) => {
  const name = decodeURIComponent(new URL(request.url, "http://page").pathname.slice(1));
  if (name in scripts) {
    response.setHeader("Content-Type", "text/javascript");
    response.end(readFileSync(join(modules, "node_modules", scripts[name])));
  } else {
    response.setHeader("Content-Type", "text/html");
    // Small: without a graphics card each picture is painted by a processor, and several players share two.
    const style = "<style>video { width: 64px; height: 36px }</style>";
    response.end(`<!doctype html><link rel=icon href=data:,>${style}<video muted autoplay playsinline></video>`);
  }
});
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
const page_origin = `http://127.0.0.1:${server.address().port}`;

const folder = mkdtempSync(join(tmpdir(), "players-"));
const browser = await chromium.launchPersistentContext(folder, {
  executablePath: process.env.SPRINGHEAD_TEST_CHROMIUM || "/usr/bin/chromium",
  headless: true,
  args: [
    ..."--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking".split(" "),
    ..."--disable-component-update --disable-sync --disable-dev-shm-usage --mute-audio".split(" "),
    ..."--disable-background-timer-throttling --disable-renderer-backgrounding".split(" "),
    ..."--disable-backgrounding-occluded-windows --autoplay-policy=no-user-gesture-required".split(" "),
  ],
});

// Of HTMLMediaElement.readyState: there is more to show than this moment.
const HAVE_FUTURE_DATA = 3;

// Runs in the page before the player does: keeps what it puts into the browser as sound, and where. From then on the browser shows all of it
// where it was told to, which no measurement on a busy machine could say as well.
function hear() {
  const appended = [];
  window.appended = appended;
  const { addSourceBuffer } = MediaSource.prototype;
  MediaSource.prototype.addSourceBuffer = function (type) {
    const buffer = addSourceBuffer.call(this, type);
    const { appendBuffer } = buffer;
    buffer.appendBuffer = function (data) {
      if (type.startsWith("audio/")) {
        const bytes = new Uint8Array(data.buffer ?? data, data.byteOffset ?? 0, data.byteLength).slice();
        appended.push({ bytes, offset: this.timestampOffset, mode: this.mode });
      }
      return appendBuffer.call(this, data);
    };
    return buffer;
  };
}

// Runs in the page: keeps in `window.flashes` where the picture turns white.
function see() {
  const video = document.querySelector("video");
  const pixel = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  let before = null;
  window.flashes = [];
  const shown = (_, { mediaTime }) => {
    pixel.drawImage(video, 0, 0, 1, 1);
    const is_white = pixel.getImageData(0, 0, 1, 1).data[0] > 128;
    // A frame that was passed over may have been the first white one.
    const is_next = before && mediaTime - before.at < 0.05;
    if (is_next && is_white && !before.is_white) window.flashes.push(mediaTime);
    before = { at: mediaTime, is_white };
    video.requestVideoFrameCallback(shown);
  };
  video.requestVideoFrameCallback(shown);
}

// Runs in the page: keeps in `window.numbers` which frames are shown. A picture has its number in its first line of twelve squares, the lowest bit
// first, white for 1 (tests/it/pairs/encoders.rs).
function count() {
  const video = document.querySelector("video");
  const squares = new OffscreenCanvas(144, 12).getContext("2d", { willReadFrequently: true });
  window.numbers = [];
  const shown = () => {
    squares.drawImage(video, 0, 0, 144, 12, 0, 0, 144, 12);
    const { data } = squares.getImageData(0, 6, 144, 1);
    let number = 0;
    for (let bit = 0; bit < 12; bit++) number += (data[(bit * 12 + 6) * 4] > 128) << bit;
    const frames = video.getVideoPlaybackQuality().totalVideoFrames;
    if (number !== window.numbers.at(-1)?.[0]) window.numbers.push([number, frames]);
    video.requestVideoFrameCallback(shown);
  };
  video.requestVideoFrameCallback(shown);
}

// Runs in the page when all is over: where the sound that was kept begins after silence.
async function beeps() {
  const box = (bytes, path) => {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = 0; at + 8 <= bytes.length; at += Math.max(8, view.getUint32(at))) {
      if (String.fromCharCode(...bytes.subarray(at + 4, at + 8)) !== path[0]) continue;
      const body = bytes.subarray(at + 8, at + view.getUint32(at));
      return path.length > 1 ? box(body, path.slice(1)) : new DataView(body.buffer, body.byteOffset, body.byteLength);
    }
    return null;
  };
  // A time behind 32 or 64 bits, as the version of the box says (ISO/IEC 14496-12).
  const number = (view, narrow, wide) => (view.getUint8(0) ? Number(view.getBigUint64(wide)) : view.getUint32(narrow));
  const found = [];
  let init = null;
  for (const { bytes, offset, mode } of window.appended) {
    if (box(bytes, ["moov"])) init = bytes;
    const decode_time = box(bytes, ["moof", "traf", "tfdt"]);
    if (!decode_time) continue;
    if (mode !== "segments") throw new Error(`sound is put in as ${mode}: where is not known`);
    const scale = box(init, ["moov", "trak", "mdia", "mdhd"]);
    const begins = number(decode_time, 4, 4) / scale.getUint32(scale.getUint8(0) ? 20 : 12) + offset;
    const whole = init === bytes ? bytes : await new Blob([init, bytes]).arrayBuffer();
    const context = new OfflineAudioContext(1, 1, 48000);
    const samples = (await context.decodeAudioData(whole.buffer?.slice(0) ?? whole)).getChannelData(0);
    for (let at = 0, loud = -Infinity; at < samples.length; at++) {
      if (Math.abs(samples[at]) < 0.2) continue;
      // What sounds from the first sample on began in another segment.
      if (at - loud > 4800 && at > 480) found.push(begins + at / 48000);
      loud = at;
    }
  }
  return found;
}

// Runs in the page: starts the player and keeps its figures in `window.play`.
function begin({ player, url, token, config }) {
  const video = document.querySelector("video");
  const play = { first: 0, samples: [], fatal: [], ended: false };
  window.play = play;
  const with_token = (address) => {
    if (!token) return address;
    const target = new URL(address, location.href);
    target.searchParams.set("token", token);
    return target.href;
  };
  let latency = () => null;
  if (player === "hls.js") {
    const hls = new Hls({
      ...config,
      xhrSetup: (xhr, address) => xhr.open("GET", with_token(address), true),
    });
    hls.on(Hls.Events.ERROR, (_, data) => data.fatal && play.fatal.push(`${data.type} ${data.details}`));
    latency = () => hls.playingDate && (Date.now() - hls.playingDate.getTime()) / 1000;
    hls.loadSource(url);
    hls.attachMedia(video);
  } else if (player === "dash.js") {
    const dash = dashjs.MediaPlayer().create();
    dash.updateSettings(config ?? {});
    dash.addRequestInterceptor((request) => {
      request.url = with_token(request.url);
      return Promise.resolve(request);
    });
    // It reports each missed segment as an error too, and goes on: what is fatal shows by its code.
    dash.on(dashjs.MediaPlayer.events.PLAYBACK_ERROR, (event) => play.fatal.push(String(event.error?.message ?? event.error)));
    latency = () => dash.getCurrentLiveLatency();
    dash.initialize(video, url, true);
  } else if (player === "browser") {
    video.addEventListener("error", () => play.fatal.push(`${video.error.code} ${video.error.message}`));
    // Or its frames could not be looked at.
    video.crossOrigin = "anonymous";
    video.src = with_token(url);
  } else {
    shaka.polyfill.installAll();
    const shown = new shaka.Player();
    // After network errors it goes on by itself in a live stream, and counts them as critical all the same.
    const is_fatal = ({ severity, category }) => severity > 1 && category !== shaka.util.Error.Category.NETWORK;
    shown.addEventListener("error", ({ detail }) => is_fatal(detail) && play.fatal.push(`shaka ${detail.code}`));
    shown.getNetworkingEngine().registerRequestFilter((_, request) => {
      request.uris = request.uris.map(with_token);
    });
    shown.configure(config ?? {});
    latency = () => shown.getStats().liveLatency;
    const refused = (error) => play.fatal.push(`shaka ${error.code} ${error.message}`);
    shown.attach(video).then(() => shown.load(url)).catch(refused);
  }
  video.addEventListener("ended", () => (play.ended = true));
  setInterval(() => {
    const frames = video.getVideoPlaybackQuality().totalVideoFrames;
    if (!play.first && frames > 0 && video.currentTime > 0) play.first = Date.now();
    if (play.first && !play.ended) play.samples.push([Date.now() - play.first, frames, video.readyState, latency()]);
  }, 100);
}

function figures({ samples, fatal, ended }) {
  const [frames, stalls] = [[], []];
  let [before, dry] = [0, null];
  const over = (time) => {
    if (dry !== null && time - dry > 200) stalls.push([dry / 1000, (time - dry) / 1000]);
    dry = null;
  };
  for (const [time, shown, readiness] of samples) {
    if (time >= (frames.length + 1) * 1000) {
      frames.push(shown - before);
      before = shown;
    }
    if (readiness >= HAVE_FUTURE_DATA) over(time);
    else dry ??= time;
  }
  over(samples.at(-1)[0]);
  const latency = samples.map(([, , , behind]) => behind).filter((behind) => behind > 0);
  return { frames, stalls, latency, fatal, ended };
}

const say = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);
const pause = (milliseconds) => new Promise((over) => setTimeout(over, milliseconds));

// A page in a window of its own: of those that share one the browser shows the last.
async function new_window() {
  const [first] = browser.pages();
  const session = await browser.newCDPSession(first);
  // Which of the new pages it is shows by its address.
  const url = `${page_origin}/?${Math.random()}`;
  const opened = browser.waitForEvent("page", (page) => page.waitForURL(url).then(() => true));
  await session.send("Target.createTarget", { url, newWindow: true });
  return opened;
}

async function run(play, number) {
  const page = await (play.sync || play.numbers ? new_window() : browser.newPage());
  const [answered, missed, broken] = [[], [], []];
  const is_stream = (request) => request.url().startsWith("http") && !request.url().startsWith(page_origin);
  const path = (request) => new URL(request.url()).pathname;
  page.on("response", (response) => {
    if (!is_stream(response.request())) return;
    answered.push(Date.now());
    if (response.status() >= 400) missed.push([Date.now(), response.status(), path(response.request())]);
  });
  page.on("requestfailed", (request) => {
    const reason = request.failure()?.errorText;
    if (is_stream(request) && reason !== "net::ERR_ABORTED") broken.push([Date.now(), reason, path(request)]);
  });
  await page.goto(page_origin);
  if (play.player in scripts) await page.addScriptTag({ url: `${page_origin}/${play.player}` });
  if (play.sync) await page.evaluate(hear);
  await page.evaluate(begin, play);
  if (play.sync) await page.evaluate(see);
  if (play.numbers) await page.evaluate(count);
  const begun = Date.now();
  let state;
  for (;;) {
    await pause(100);
    const before = state?.first;
    state = await page.evaluate(() => ({ ...window.play, samples: [] }));
    if (state.first && !before) say({ event: "playing", play: number });
    const limit = state.first ? state.first + play.seconds * 1000 : begun + 30_000;
    if (state.ended || state.fatal.length || Date.now() > limit) break;
  }
  const whole = await page.evaluate(() => window.play);
  const since = (list) => list.map(([at, ...rest]) => [(at - (whole.first || begun)) / 1000, ...rest]);
  const nothing = { frames: [], stalls: [], latency: [], fatal: whole.fatal, ended: false };
  say({
    event: "over",
    play: number,
    player: play.player,
    startup: whole.first ? (whole.first - begun) / 1000 : null,
    ...(whole.samples.length ? figures(whole) : nothing),
    requests: answered.length,
    missed: since(missed),
    broken: since(broken),
    ...(play.numbers && { numbers: await page.evaluate(() => window.numbers) }),
    ...(play.sync && { flashes: await page.evaluate(() => window.flashes), beeps: await page.evaluate(beeps) }),
  });
}

try {
  await Promise.all(plays.map(run));
} finally {
  await browser.close();
  server.close();
  rmSync(folder, { recursive: true, force: true });
}
