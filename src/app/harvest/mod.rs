//! `springhead harvest`: a window of a stream copied to a folder, as a recording that needs no server.
//!
//! [`recording`] is what becomes of playlists; here is what is fetched, and where it goes. Files appear whole or not at all, so that a
//! harvest that was broken off goes on where it was when it is run again.

mod recording;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::Method;
use http::header::RANGE;
use serde::{Deserialize, Serialize};

use self::recording::Piece;
use super::cli::Args;
use super::client::{Answer, Client, TlsRules, Url};
use super::doctor::place::{Address, Manner, Place, shown};
use super::doctor::progress::Progress;
use super::doctor::report::At;
use super::keys::read_key;
use super::{Failure, print};
use crate::model::clock::{Clock, WallTime};
use crate::model::units::{Size, parse_duration};

/// What is remembered of a harvest, beside what it has copied.
const RECORD: &str = "harvest.json";
/// How often something is asked for.
const ATTEMPTS: u32 = 3;
/// How long is waited before it is asked for again; a CDN may have kept a 404 or 503 for a second.
const PAUSE: Duration = Duration::from_secs(1);

/// What harvest is asked for, as it was written.
#[derive(Debug, Args)]
pub(super) struct Request {
    /// The origin, as `https://HOST[:PORT]`; or the URL of a playlist.
    #[arg(value_name = "BASE_URL")]
    base: String,
    /// The namespace the stream is in [default: the one in `BASE_URL`, else live-origin].
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// An API key, a JSON file with it in `api_key`, or - to read either from stdin. Sent to the host of `BASE_URL` only.
    #[arg(long, env = "SPRINGHEAD_KEY", hide_env_values = true, value_name = "KEY_OR_FILE")]
    key: Option<String>,
    /// The playlist, multivariant or media.
    #[arg(long, value_name = "NAME")]
    playlist: Option<String>,
    /// From when on [default: the oldest that is there].
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Until when [default: now].
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Instead: so much of it, up to now.
    #[arg(long, value_name = "DURATION")]
    last: Option<String>,
    /// The folder, a new or empty one.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Copy content keys too. Without it the recording names them where they are.
    #[arg(long)]
    keys: bool,
    /// Certificates of authorities to be trusted beside the system's, a PEM file.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// For each request.
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    timeout: String,
}

/// What was asked for and what it meant then: a second run copies the rest of the same.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    playlist: String,
    asked: Vec<Option<String>>,
    window: String,
}

struct Harvest {
    place: Place,
    out: PathBuf,
    keys: bool,
    progress: Progress,
    copied: u64,
    bytes: u64,
    kept: u64,
}

/// Copies the window. Exit status 1 when anything of it is missing.
pub(super) fn run(request: &Request) -> Result<(), Failure> {
    let usage = |flag: &str, error: &str| Failure::Usage(format!("error: {flag}: {error}"));
    let mut address = Address::parse(&request.base).map_err(|error| usage("BASE_URL", &error))?;
    if address.playlist.is_none() && address.namespace.is_none() {
        let namespace = request.namespace.as_deref().unwrap_or("live-origin");
        if crate::model::id::Namespace::parse(namespace).is_err() {
            return Err(usage("--namespace", "is no name of a namespace"));
        }
        address.base =
            address.base.join(&format!("cache/{namespace}/")).map_err(|error| usage("BASE_URL", &error.to_string()))?;
    }
    let timeout = parse_duration(&request.timeout).map_err(|error| usage("--timeout", &error.to_string()))?;
    let clock = Clock::system();
    let window = window(request, clock.wall())?;
    let key = request.key.as_deref().filter(|text| !text.is_empty()).map(read_key).transpose()?;
    let roots = request.ca.as_ref().map(fs::read).transpose().context("can't read the file of --ca")?;
    let client = Client::new(TlsRules { extra_roots: roots.as_deref(), ..TlsRules::default() }, clock)?;
    let named = address.playlist.clone();
    let manner = Manner { client, web_origin: String::new(), timeout };
    let place = Place::new(At::Origin, address, true, key, manner);
    let entry = match (&request.playlist, named) {
        (Some(name), _) => place.url(name).ok_or_else(|| usage("--playlist", "is no name"))?,
        (None, Some(url)) => url,
        (None, None) => return Err(usage("--playlist", "is needed, or the playlist's URL in BASE_URL")),
    };
    let asked = vec![request.from.clone(), request.to.clone(), request.last.clone()];
    let record = resume(&request.out, Record { playlist: shown(&entry), asked, window })?;
    let mut harvest = Harvest {
        place,
        out: request.out.clone(),
        keys: request.keys,
        progress: Progress::new(false),
        copied: 0,
        bytes: 0,
        kept: 0,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("can't start")?;
    let result = runtime.block_on(harvest.copy(&entry, &record.window));
    harvest.progress.end();
    let name = result?;
    print(&format!(
        "{}: {} files, {} copied{}",
        harvest.out.join(name).display(),
        harvest.copied + harvest.kept,
        Size(harvest.bytes),
        if harvest.kept > 0 { format!(", {} were here already", harvest.kept) } else { String::new() }
    ));
    Ok(())
}

/// The window as a query. Relative times are counted from now.
fn window(request: &Request, now: WallTime) -> Result<String, Failure> {
    let usage = |flag: &str, error: &str| Failure::Usage(format!("error: {flag}: {error}"));
    let time = |flag: &str, text: &Option<String>| -> Result<Option<WallTime>, Failure> {
        let Some(text) = text else { return Ok(None) };
        let seconds = text.parse::<u32>().ok().map(|seconds| WallTime::from_millis(u64::from(seconds) * 1000));
        let time = seconds.or_else(|| WallTime::parse(text));
        Ok(Some(time.ok_or_else(|| usage(flag, "takes a time like 2026-01-02T03:04:05Z, or seconds since 1970"))?))
    };
    let (mut start, end) = (time("--from", &request.from)?, time("--to", &request.to)?.unwrap_or(now));
    if let Some(last) = &request.last {
        if request.from.is_some() || request.to.is_some() {
            return Err(usage("--last", "stands alone: take --from and --to, or --last"));
        }
        let span = parse_duration(last).map_err(|error| usage("--last", &error.to_string()))?;
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        start = Some(WallTime::from_millis(now.millis().saturating_sub(millis)));
    }
    if end > now {
        return Err(usage("--to", "lies in the future: only what was can be copied"));
    }
    if start.is_some_and(|start| start >= end) {
        return Err(usage("--from", "has to be before --to"));
    }
    Ok(start.map_or_else(String::new, |start| format!("start={start}&")) + &format!("end={end}"))
}

/// Takes up the harvest that was begun in this folder, or begins one.
fn resume(out: &Path, record: Record) -> anyhow::Result<Record> {
    fs::create_dir_all(out).with_context(|| format!("can't make {}", out.display()))?;
    let path = out.join(RECORD);
    if let Ok(text) = fs::read(&path) {
        let known: Record = serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))?;
        if known.playlist != record.playlist || known.asked != record.asked {
            bail!("{} holds another harvest: give another --out", out.display());
        }
        return Ok(known);
    }
    if fs::read_dir(out)?.next().is_some() {
        bail!("{} is not empty and holds no harvest: give another --out", out.display());
    }
    write_whole(&path, &serde_json::to_vec(&record)?)?;
    Ok(record)
}

impl Harvest {
    async fn copy(&mut self, entry: &Url, window: &str) -> anyhow::Result<String> {
        let entry = with_query(entry, window);
        let answer = self.fetch(&entry, None).await?;
        let text = text(&answer, &entry)?;
        let mut playlists = Vec::new();
        let mut master = None;
        if recording::is_multivariant(&text) {
            let mut places = HashMap::new();
            let rewritten = recording::rewrite_multivariant(&text, |uri| {
                let url = entry.join(uri).ok()?;
                let count = places.len();
                let name = places.entry(url.clone()).or_insert_with(|| format!("{count}/playlist.m3u8"));
                if name.starts_with(&format!("{count}/")) {
                    playlists.push((url, count.to_string()));
                }
                Some(name.clone())
            });
            master = Some(rewritten);
        } else {
            playlists.push((entry.clone(), String::new()));
        }
        let mut plans = Vec::new();
        for (url, folder) in playlists {
            let text = if folder.is_empty() { text.clone() } else { self::text(&self.fetch(&url, None).await?, &url)? };
            plans.push(recording::plan(&text, &url, folder, self.keys)?);
        }
        let total = plans.iter().map(|plan| plan.pieces.len()).sum::<usize>();
        self.progress.begin_count("copying", total as u64);
        for plan in &plans {
            for piece in &plan.pieces {
                self.piece(piece).await?;
                self.progress.step();
            }
        }
        // Playlists last: what they name is there.
        for plan in &plans {
            write_whole(&self.out.join(&plan.folder).join("playlist.m3u8"), plan.text.as_bytes())?;
        }
        let name = if master.is_some() { "master.m3u8" } else { "playlist.m3u8" };
        if let Some(master) = master {
            write_whole(&self.out.join(name), master.as_bytes())?;
        }
        Ok(name.to_owned())
    }

    /// Copies a file, unless it is here in its full length already.
    async fn piece(&mut self, piece: &Piece) -> anyhow::Result<()> {
        let path = self.out.join(&piece.path);
        if let Ok(metadata) = fs::metadata(&path) {
            let length = match piece.range {
                Some(range) => Some(range.length),
                None => self
                    .place
                    .head(&piece.url)
                    .await
                    .ok()
                    .filter(|answer| answer.status == 200)
                    .and_then(|answer| announced(&answer)),
            };
            if length == Some(metadata.len()) {
                self.kept += 1;
                return Ok(());
            }
        }
        let range = piece.range.map(|range| format!("bytes={}-{}", range.start, range.end().saturating_sub(1)));
        let answer = self.fetch(&piece.url, range.as_deref()).await?;
        let length = answer.body.len() as u64;
        let expected = piece.range.map(|range| range.length).or_else(|| announced(&answer));
        if expected.is_some_and(|expected| expected != length) {
            bail!("{}: {length} bytes came instead of {}", shown(&piece.url), expected.unwrap_or_default());
        }
        write_whole(&path, &answer.body)?;
        self.copied += 1;
        self.bytes += length;
        Ok(())
    }

    async fn fetch(&self, url: &Url, range: Option<&str>) -> anyhow::Result<Answer> {
        let more: Vec<_> = range.iter().map(|range| (RANGE, *range)).collect();
        let expected = if range.is_some() { 206 } else { 200 };
        let mut why = String::new();
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            match self.place.ask(Method::GET, url, &more, Bytes::new()).await {
                Ok(Answer { cut: Some(cut), .. }) => why = cut,
                Ok(answer) if answer.status == expected => return Ok(answer),
                Ok(answer) => {
                    let problem: Option<serde_json::Value> = serde_json::from_slice(&answer.body).ok();
                    let detail = problem.as_ref().and_then(|problem| problem["detail"].as_str()).unwrap_or_default();
                    why = format!("{} {detail}", answer.status);
                    // What is refused once is refused again.
                    if matches!(answer.status, 400..=403) || detail.contains("nothing to play") {
                        break;
                    }
                }
                Err(error) => why = error.to_string(),
            }
        }
        bail!("{}: {}; run it again to copy the rest", shown(url), why.trim())
    }
}

fn announced(answer: &Answer) -> Option<u64> {
    answer.header("content-length").parse().ok()
}

fn text(answer: &Answer, url: &Url) -> anyhow::Result<String> {
    let text = String::from_utf8(answer.body.to_vec()).with_context(|| format!("{} is no text", shown(url)))?;
    if !text.starts_with("#EXTM3U") {
        bail!("{} is no HLS playlist", shown(url));
    }
    Ok(text)
}

/// The same URL with another query.
fn with_query(url: &Url, query: &str) -> Url {
    let mut url = url.clone();
    url.set_query(Some(query));
    url
}

/// Writes a file whole or not at all.
fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let write = || {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let draft = path.with_extension("part");
        fs::write(&draft, bytes)?;
        fs::rename(&draft, path)
    };
    write().with_context(|| format!("can't write {}", path.display()))
}
