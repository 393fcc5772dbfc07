//! `springhead doctor`: the way of a stream walked step by step, from the server's name to the live point, then through the CDN.
//!
//! Useful against any HLS server: only a few steps know that the other side is a Springhead. Each module is one duty: [`reach`] the way there, [`access`] the key, [`walk`] the playlists, [`manifest`] an MPD, [`segments`] and [`media`] what they list,
//! [`fitness`] headers, [`watch`] time, [`cdn`] the difference, [`twin`] another encoder's copy, [`report`] what is said, [`here`] all of it by order of a running server, [`line`](mod@line) what it is told; and beside all of that [`nodes`] and [`shared_engine`], several servers that are one. How a
//! server is asked is [`client`](super::client)'s.
//!
//! Invariant: it changes nothing on the servers it looks at, but for the object that `--write` stores and deletes.

mod access;
mod cdn;
mod fitness;
mod here;
mod line;
mod manifest;
mod media;
mod nodes;
mod reach;
mod report;
mod segments;
mod shared_engine;
mod twin;
mod walk;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::Method;
use http::header::RANGE;

use self::access::UncheckedClaims;
pub(super) use self::here::examine_here;
pub(super) use self::line::{DoctorArgs, begin};

use self::fitness::{RequestContext, ResponseRole};
use self::report::{Finding, Report, Severity};
use self::segments::Sample;
use self::walk::{EntryPlaylist, MediaPlaylist, Stream};
use self::watch::Watched;
use super::Failure;
use super::client::{
    Address, At, HttpClient, RequestOptions, Server, TlsRules, USUAL_NAMESPACE, authorities, redacted, short_name, usage,
};
use super::keys::read_key;
use crate::auth::secret::Secret;
use crate::model::clock::Clock;
use crate::model::id::Namespace;
use crate::model::units::parse_duration;

/// As which web site a browser is played, unless the user names one.
const WEB_ORIGIN: &str = "https://player.example";
/// How many bytes are asked for to see whether ranges work: one MPEG-TS packet.
const RANGE_BYTES: u64 = 188;

/// What is seen in a segment, and what is wrong with it.
#[cfg(any(test, fuzzing))]
pub(crate) fn look(body: &[u8]) -> (String, Option<String>) {
    let media::Look { holds, wrong, .. } = media::look(body);
    (holds, wrong)
}

/// What doctor is asked for, as it was written.
#[derive(Clone, Debug)]
pub(super) struct DoctorRequest {
    pub(super) base: String,
    pub(super) namespace: Option<String>,
    pub(super) key: Option<String>,
    pub(super) viewer_token: Option<String>,
    pub(super) cdn: Option<String>,
    pub(super) playlist: Option<String>,
    pub(super) twin: Option<String>,
    pub(super) write: bool,
    pub(super) watch: Option<String>,
    pub(super) segments: usize,
    pub(super) web_origin: Option<String>,
    pub(super) ca: Option<PathBuf>,
    pub(super) timeout: String,
    pub(super) json: bool,
    /// Whether nothing is asked but the server of `base`.
    pub(super) stays: bool,
}

/// The same, understood.
struct Plan {
    origin: Arc<Server>,
    cdn: Option<Arc<Server>>,
    key: Option<Secret<'static>>,
    namespace: String,
    playlist: Option<String>,
    twin: Option<String>,
    write: bool,
    watch: Option<Duration>,
    segments: usize,
    web_origin: String,
    site_matters: bool,
    roots: Option<Vec<u8>>,
    timeout: Duration,
}

/// Runs all steps and reports them. A failure among them is a failure of the command.
pub(super) fn run(request: DoctorRequest) -> Result<(), Failure> {
    let json = request.json;
    let mut plan = plan(request)?;
    let mut report = Report::new(json, plan.key.as_ref());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("can't start")?;
    runtime.block_on(async {
        // Nobody else holds them yet.
        for server in std::iter::once(&mut plan.origin).chain(&mut plan.cdn).filter_map(Arc::get_mut) {
            server.settle().await;
        }
        examine(&plan, &mut report).await;
    });
    report.end()?;
    match report.count(Severity::Failure) {
        0 => Ok(()),
        1 => Err(anyhow::anyhow!("doctor found a failure").into()),
        count => Err(anyhow::anyhow!("doctor found {count} failures").into()),
    }
}

fn plan(request: DoctorRequest) -> Result<Plan, Failure> {
    let address = Address::parse(&request.base).map_err(|error| usage("BASE_URL", error))?;
    let ours = address.playlist.is_none() || address.namespace.is_some();
    let namespace = request.namespace.or_else(|| address.namespace.clone()).unwrap_or_else(|| USUAL_NAMESPACE.to_owned());
    if Namespace::parse(&namespace).is_err() {
        return Err(usage("--namespace", "is no name of a namespace"));
    }
    if address.namespace.as_ref().is_some_and(|named| *named != namespace) {
        return Err(usage("--namespace", "BASE_URL names another one"));
    }
    let mut address = address.within(&namespace).map_err(|error| usage("BASE_URL", error))?;
    let mut cdn = request
        .cdn
        .map(|text| Address::parse(&text).and_then(Address::with_own_viewer).map_err(|error| usage("--cdn", error)))
        .transpose()?;
    if let Some(token) = request.viewer_token.filter(|text| !text.is_empty()).map(Secret::new) {
        for address in std::iter::once(&mut address).chain(&mut cdn) {
            address.carry(&token).map_err(|error| usage("--viewer-token", error))?;
        }
    }
    // A variable that is set to nothing gives no key.
    let key =
        request.key.filter(|text| !text.is_empty()).map(|text| read_key(&text)).transpose()?.or_else(|| address.key.clone());
    let duration = |flag: &str, text: &str| parse_duration(text).map_err(|error| usage(flag, error));
    let watch = request.watch.as_deref().map(|text| duration("--watch", text)).transpose()?;
    let timeout = duration("--timeout", &request.timeout)?;
    let roots = authorities(request.ca.as_deref())?;
    let site_matters = request.web_origin.is_some();
    let web_origin = request.web_origin.unwrap_or_else(|| WEB_ORIGIN.to_owned());
    let rules = TlsRules { extra_roots: roots.as_deref(), ..TlsRules::default() };
    let client = HttpClient::new(rules, Clock::system()).context("TLS is not possible here; name authorities with --ca FILE")?;
    let options = RequestOptions { client, web_origin: web_origin.clone(), timeout, stays: request.stays };
    Ok(Plan {
        origin: Arc::new(Server::new(At::Origin, address, ours, key.clone(), options.clone())),
        // No key: viewers have none, and whether the CDN puts one in is the question.
        cdn: cdn.map(|address| Arc::new(Server::new(At::Cdn, address, false, None, options))),
        key,
        namespace,
        playlist: request.playlist,
        twin: request.twin,
        write: request.write,
        watch,
        segments: request.segments,
        web_origin,
        site_matters,
        roots,
        timeout,
    })
}

impl Plan {
    fn asked(&self, server: &Server) -> RequestContext<'_> {
        RequestContext {
            at: server.at,
            with_key: server.has_key(),
            web_origin: &self.web_origin,
            site_matters: self.site_matters,
        }
    }
}

async fn examine(plan: &Plan, report: &mut Report) {
    let origin = examine_origin(plan, report).await;
    if let (Some(name), Some(stream)) = (&plan.twin, &origin) {
        twin::compare(&plan.origin, name, &stream.children, report).await;
    }
    let through = match (&plan.cdn, &origin) {
        (Some(cdn), Some(origin)) => examine_cdn(plan, cdn, origin, report).await,
        (Some(cdn), None) => {
            let why =
                "not looked at: of the origin there is nothing to compare with, or it is an MPD, which is looked at there alone";
            report.title(&format!("cdn {}: {why}", redacted(&cdn.base)));
            None
        }
        (None, _) => None,
    };
    let now = Clock::system().now();
    let watched = |server: &Arc<Server>, stream: &Stream| -> Vec<Watched> {
        stream.children.iter().filter_map(|child| Watched::new(server, child, now)).collect()
    };
    let at_origin = origin.as_ref().map(|stream| watched(&plan.origin, stream)).unwrap_or_default();
    let at_cdn = match (&plan.cdn, &through) {
        (Some(cdn), Some(stream)) => watched(cdn, stream),
        _ => Vec::new(),
    };
    let twins = at_cdn.into_iter().map(|watched| {
        let twin = at_origin.iter().position(|origin| origin.name == watched.name);
        (watched, twin)
    });
    let twins = twins.collect();
    if plan.watch == Some(Duration::ZERO) {
        return;
    }
    let seen = watch::watch(at_origin, twins, plan.watch, report).await;
    for watched in &seen.origin {
        report.add_about(At::Origin, &[&watched.name], watched.judge());
    }
    for finding in [watch::aligned(&seen.origin), watch::encoder_clock(&seen.origin)].into_iter().flatten() {
        report.add(At::Origin, finding);
    }
    for (watched, lag) in &seen.cdn {
        let finding = lag.map_or_else(|| watched.judge(), |lag| watched.fresh(lag));
        report.add_about(At::Cdn, &[&watched.name], finding);
    }
}

async fn examine_origin(plan: &Plan, report: &mut Report) -> Option<Stream> {
    let server = &plan.origin;
    report.title(&format!("{} {}", cdn::title(server.at), redacted(server.playlist.as_ref().unwrap_or(&server.base))));
    if !reach::reach(server, plan.roots.as_deref(), plan.timeout, report).await {
        return None;
    }
    if server.ours {
        reach::alive(server, report).await;
    }
    let claims = plan.key.as_ref().and_then(UncheckedClaims::read);
    if let Some(key) = plan.key.as_ref().filter(|_| server.ours) {
        report.add(server.at, access::shape(key, &plan.namespace, Clock::system().wall()));
    }
    let entry = walk::find(server, plan.playlist.as_deref()).await;
    if let EntryPlaylist::Found(_, answer) | EntryPlaylist::Refused(_, answer) = &entry {
        report.add(server.at, reach::clock(server.at, answer));
        if server.ours || matches!(answer.status, 401 | 403) {
            report.add(server.at, access::read(answer, server, &plan.namespace));
        }
    }
    if plan.write && server.ours {
        let unique = Clock::system().wall().since(crate::model::clock::WallTime::from_millis(0)).as_millis() as u64;
        access::write(server, claims.as_ref(), unique, report).await;
    }
    let (url, answer) = match entry {
        EntryPlaylist::Found(url, answer) => (url, answer),
        EntryPlaylist::Refused(url, answer) => {
            if !report.has_failed(At::Origin, "read") {
                let guessed = plan.playlist.is_none() && server.playlist.is_none();
                report.add(server.at, walk::absent(&answer, &url, guessed));
            }
            return None;
        }
        EntryPlaylist::Silent(error) => {
            report.add(
                server.at,
                Finding::failure("multivariant", error.to_string(), "it accepts connections and does not answer: see its log"),
            );
            return None;
        }
    };
    if manifest::is_one(&url, &answer) {
        manifest::examine(server, &url, &answer, plan.watch, report).await;
        return None;
    }
    let stream = walk::walk(server, url, answer, report, async |url, answer| walk::withheld(server, url, answer)).await?;
    let mut samples = Vec::new();
    for child in &stream.children {
        samples.extend(segments::live_point(server, child, report, async |url, answer| gap(server, url, answer)).await);
    }
    let mut rates = Vec::new();
    for child in &stream.children {
        rates.push(segments::listed(server, child, plan.segments, report).await);
    }
    bandwidth(&stream.children, &rates, report);
    headers(plan, server, &stream, &samples, report).await;
    Some(stream)
}

fn gap(server: &Server, url: &super::client::Url, answer: &super::client::Response) -> Finding {
    if matches!(answer.status, 401 | 403) {
        let text = format!("listed, but {} answers {}", redacted(url), answer.status);
        return Finding::failure("live-point", text, access::does_not_reach(server, url));
    }
    Finding::failure(
        "live-point",
        format!("gap: listed, but {} answers {}", redacted(url), answer.status),
        "the playlist names a segment that is not there: was its upload refused (see /v1/ingest/rejected on the admin \
            listener), or was it evicted?",
    )
}

fn bandwidth(children: &[MediaPlaylist], rates: &[Option<u64>], report: &mut Report) {
    let mut findings = Vec::new();
    for (child, rate) in children.iter().zip(rates) {
        let (Some(announced), Some(rate)) = (child.bandwidth, rate) else { continue };
        let audio =
            children.iter().zip(rates).find(|(other, _)| Some(&other.url) == child.audio.as_ref()).and_then(|(_, rate)| *rate);
        findings.push((child.name.clone(), segments::bandwidth(announced, rate + audio.unwrap_or(0), child.is_live())));
    }
    report.add_all(At::Origin, findings);
}

/// Headers of one answer of each kind, a range, and a name that does not exist.
async fn headers(plan: &Plan, server: &Server, stream: &Stream, samples: &[Sample], report: &mut Report) {
    let asked = plan.asked(server);
    let mut findings = Vec::new();
    let mut add = |name: &str, answer: &super::client::Response, role: ResponseRole| {
        findings.extend(fitness::judge(answer, role, asked).into_iter().map(|finding| (name.to_owned(), finding)));
    };
    if stream.multivariant.is_some() {
        add(&short_name(&stream.entry), &stream.answer, ResponseRole::Multivariant);
    }
    for child in &stream.children {
        let live = child.is_live().then_some(child.media.target_duration).flatten();
        add(&child.name, &child.answer, ResponseRole::Media { live });
    }
    for sample in samples {
        add(&sample.name, &sample.answer, ResponseRole::Segment(sample.kind));
    }
    report.add_all(server.at, findings);
    if let Some(sample) = samples.iter().find(|sample| sample.answer.body.len() as u64 > RANGE_BYTES) {
        let bytes = format!("bytes=0-{}", RANGE_BYTES - 1);
        if let Ok(answer) = server.ask(Method::GET, &sample.url, &[(RANGE, &bytes)], Bytes::new()).await {
            report.add_about(server.at, &[&sample.name], fitness::range(&answer, RANGE_BYTES, sample.is_part));
        }
    }
    let nobody = format!("doctor-missing-{:x}.ts", Clock::system().wall().seconds());
    if let Ok(url) = stream.entry.join(&nobody)
        && let Ok(answer) = server.get(&url).await
    {
        report.add(server.at, fitness::missing(&answer, asked));
    }
}

/// The same steps through the CDN, as a viewer without a key.
async fn examine_cdn(plan: &Plan, server: &Arc<Server>, origin: &Stream, report: &mut Report) -> Option<Stream> {
    report.title(&format!("{} {}", cdn::title(server.at), redacted(server.playlist.as_ref().unwrap_or(&server.base))));
    if !reach::reach(server, plan.roots.as_deref(), plan.timeout, report).await {
        return None;
    }
    let url = server.playlist.clone().or_else(|| cdn::counterpart(&plan.origin, server, &origin.entry))?;
    let answer = match server.get(&url).await {
        Ok(answer) => answer,
        Err(error) => {
            report.add(server.at, cdn::silent(&error));
            return None;
        }
    };
    report.add(server.at, reach::clock(server.at, &answer));
    if answer.status != 200 {
        let finding = cdn::explain("multivariant", server, &plan.origin, &url, &answer).await;
        report.add_about(server.at, &[short_name(&url)], finding);
        return None;
    }
    let explain = async |url: &super::client::Url, answer: &super::client::Response| {
        cdn::explain("playlist", server, &plan.origin, url, answer).await
    };
    let stream = walk::walk(server, url, answer, report, explain).await?;
    let mut samples = Vec::new();
    for child in &stream.children {
        samples.extend(segments::live_point(server, child, report, explain).await);
    }
    for sample in &samples {
        if let Some(finding) = cdn::same_bytes(server, &plan.origin, sample).await {
            report.add_about(server.at, &[&sample.name], finding);
        }
    }
    headers(plan, server, &stream, &samples, report).await;
    let asked_by_query = [cdn::query(server, &plan.origin, &stream).await, cdn::windows(server, &plan.origin, &stream).await];
    for finding in asked_by_query.into_iter().flatten() {
        report.add(server.at, finding);
    }
    Some(stream)
}
