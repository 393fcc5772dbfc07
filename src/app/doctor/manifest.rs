//! An MPD: what it says, whether what it names is there, and whether it goes on. What players make of it is theirs to show: that it plays is not
//! said here.

use std::time::Duration;

use super::access::does_not_reach;
use super::media::{BodyFormat, look};
use super::report::{Finding, Report, unanswered};
use crate::app::client::{Response, Server, Url, redacted, short_name};
use crate::hls::fault;
use crate::hls::mpd::{Manifest, Representation, parse};
use crate::model::clock::Clock;

/// Initialisation segments, and representations, that are asked for: of the last period.
const MOST: usize = 40;
/// How many segments' time it is watched for, unless the user says otherwise, and for how long at least and at most.
const WATCHED: u32 = 3;
const LEAST: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(60);
/// How long a segment is taken to be where it is not said.
const USUAL: Duration = Duration::from_secs(6);

/// Whether this is one.
pub(super) fn is_one(url: &Url, answer: &Response) -> bool {
    url.path().to_ascii_lowercase().ends_with(".mpd") || answer.header("content-type").contains("dash+xml")
}

/// Looks at it, and at what it names.
pub(super) async fn examine(server: &Server, url: &Url, answer: &Response, watch: Option<Duration>, report: &mut Report) {
    let about = [short_name(url)];
    let manifest = match read(answer) {
        Ok(manifest) => manifest,
        Err(finding) => return report.add_about(server.at, &about, finding),
    };
    report.add_about(server.at, &about, describe(&manifest));
    for uri in manifest.initializations.iter().rev().take(MOST) {
        if let Some(url) = server.locate(url, uri) {
            report.add_about(server.at, &[short_name(&url)], init(server, &url).await);
        }
    }
    let clock = Clock::system();
    let newest = newest(&manifest, &clock);
    if newest.is_empty() && !manifest.representations.is_empty() {
        let text = "what its newest segments are called can't be told from it: they are not looked at";
        let advice = "players find them by its index (SegmentBase) or by later periods; at a Springhead, /v1/streams says whether segments come";
        report.add_about(server.at, &about, Finding::warning("live-point", text, advice));
    }
    for (uri, length) in &newest {
        if let Some(url) = server.locate(url, uri) {
            report.add_about(server.at, &[short_name(&url)], live_point(server, &url, *length).await);
        }
    }
    if manifest.dynamic && watch != Some(Duration::ZERO) && !newest.is_empty() {
        let length = newest.iter().map(|(_, length)| *length).max().unwrap_or(USUAL);
        let limit = watch.unwrap_or((length * WATCHED).clamp(LEAST, LONGEST));
        report.progress.begin("watching the MPD", limit);
        tokio::time::sleep(limit).await;
        report.progress.end();
        let finding = advancing(server, url, &newest, (limit, length), &clock).await;
        report.add_about(server.at, &about, finding);
    }
}

/// An MPD, or why it is none.
fn read(answer: &Response) -> Result<Manifest, Finding> {
    const STEP: &str = "manifest";
    if let Some(cut) = &answer.cut {
        let text = format!("truncated: {} of {} bytes came ({cut})", answer.body.len(), answer.header("content-length"));
        return Err(Finding::failure(STEP, text, "whoever answers closed the connection too early: see its log"));
    }
    parse(&answer.body).map_err(|fault| {
        Finding::failure(STEP, fault.to_string(), "is this URL an MPD's? An error page or a compressed file would look like this")
    })
}

fn describe(manifest: &Manifest) -> Finding {
    const STEP: &str = "manifest";
    let kind = if manifest.dynamic { "live (dynamic)" } else { "of fixed length (static)" };
    let periods = manifest.representations.chunk_by(|one, other| one.period == other.period).count();
    let longest = manifest.representations.iter().filter_map(|one| one.segment).max();
    let length = longest.map_or_else(String::new, |length| format!(", segments of {:.3} s", length.as_secs_f64()));
    let count = manifest.representations.len();
    let text = format!("an MPD, {kind}: {count} representations in {periods} periods{length}");
    match fault::words(&manifest.faults) {
        Some(faults) => Finding::failure(STEP, format!("{text}; {faults}"), "set the encoder right: see its log"),
        None if manifest.dynamic && manifest.availability_start.is_none() => {
            let text = format!("{text}; it has no availabilityStartTime");
            Finding::warning(STEP, text, "players that go by the clock don't find the live edge (ISO/IEC 23009-1 5.3.1.2)")
        }
        None => Finding::ok(STEP, text),
    }
}

/// The newest segment of each representation of the last period, each once, and how long one is.
fn newest(manifest: &Manifest, clock: &Clock) -> Vec<(String, Duration)> {
    let last = manifest.representations.last().map(|last| last.period);
    let of_last = manifest.representations.iter().filter(|one| Some(one.period) == last);
    let now = clock.wall();
    let mut newest: Vec<(String, Duration)> = Vec::new();
    let named = |one: &Representation| Some((one.newest_at(manifest, now)?, one.segment.unwrap_or(USUAL)));
    for (name, length) in of_last.filter_map(named) {
        if newest.len() < MOST && !newest.iter().any(|(known, _)| *known == name) {
            newest.push((name, length));
        }
    }
    newest
}

async fn init(server: &Server, url: &Url) -> Finding {
    const STEP: &str = "init";
    match server.get(url).await {
        Err(error) => unanswered(STEP, &error, "the server's log has the reason"),
        Ok(answer) if matches!(answer.status, 401 | 403) => {
            let text = format!("named, but it answers {}: nothing can be played without it", answer.status);
            Finding::failure(STEP, text, does_not_reach(server, url))
        }
        Ok(answer) if answer.status != 200 => Finding::failure(
            STEP,
            format!("named, but {} answers {}: nothing can be played without it", redacted(url), answer.status),
            "encoders write it once: it may have expired (a longer ttl_seconds) or was never uploaded; restart the encoder to have it sent again",
        ),
        Ok(answer) => {
            let seen = look(&answer.body);
            match seen.wrong {
                None if seen.kind == BodyFormat::Init => Finding::ok(STEP, format!("{}, whole", seen.holds)),
                None => Finding::warning(
                    STEP,
                    format!("it is {}", seen.holds),
                    "an initialisation segment has a 'moov' box and no media",
                ),
                Some(wrong) => Finding::failure(STEP, wrong, "open its URL with curl: what does it say?"),
            }
        }
    }
}

/// Fetches a segment that has to be there by now; once more a little later, for it may be on its way.
async fn live_point(server: &Server, url: &Url, length: Duration) -> Finding {
    const STEP: &str = "live-point";
    let mut answer = server.get(url).await;
    if matches!(&answer, Ok(answer) if answer.status == 404) {
        tokio::time::sleep((length / 2).min(LEAST)).await;
        answer = server.get(url).await;
    }
    match answer {
        Err(error) => unanswered(STEP, &error, "the server's log has the reason"),
        Ok(answer) if matches!(answer.status, 401 | 403) => {
            let text = format!("due by the MPD, but it answers {}", answer.status);
            Finding::failure(STEP, text, does_not_reach(server, url))
        }
        Ok(answer) if answer.status != 200 => Finding::failure(
            STEP,
            format!("gap: due by the MPD, but {} answers {}", redacted(url), answer.status),
            "the encoder has stopped, or its upload was refused (see /v1/ingest/rejected on the admin listener); where segments are called by the \
             clock, is the encoder's, or this machine's, right?",
        ),
        Ok(answer) => {
            let (seen, size) = (look(&answer.body), answer.body.len());
            match (&answer.cut, seen.wrong) {
                (Some(cut), _) => {
                    Finding::failure(STEP, format!("truncated: {size} bytes came ({cut})"), "see the log of whoever answers")
                }
                (None, Some(wrong)) => {
                    let advice =
                        "the encoder or packager makes it so, or it is encrypted as a whole: check its output with ffprobe";
                    Finding::failure(STEP, format!("{size} bytes, {}; {wrong}", seen.holds), advice)
                }
                (None, None) => Finding::ok(STEP, format!("{size} bytes, {}, whole", seen.holds)),
            }
        }
    }
}

/// Whether it has gone on since those were the newest.
async fn advancing(
    server: &Server,
    url: &Url,
    before: &[(String, Duration)],
    (watched, length): (Duration, Duration),
    clock: &Clock,
) -> Finding {
    const STEP: &str = "advancing";
    let manifest = match server.get(url).await {
        Err(error) => return unanswered(STEP, &error, "the server's log has the reason"),
        Ok(answer) if answer.status != 200 => {
            let advice = "it was there a moment ago: withheld because stale, expired, or deleted by the encoder";
            return Finding::failure(STEP, format!("it answers {} now", answer.status), advice);
        }
        Ok(answer) => match read(&answer) {
            Ok(manifest) => manifest,
            Err(finding) => return Finding { step: STEP, ..finding },
        },
    };
    let seconds = watched.as_secs_f64();
    if !manifest.dynamic {
        return Finding::ok(STEP, "it has ended (it is static now)");
    }
    let fresh = newest(&manifest, clock).into_iter().find(|fresh| !before.contains(fresh));
    let stopped = "the encoder has stopped, or its uploads are refused: see its log, and /v1/ingest/rejected on the origin's admin listener";
    match fresh {
        None if watched < length * 3 / 2 => Finding::warning(
            STEP,
            format!("no new segment in {seconds:.1} s, which says nothing: one comes every {:.1} s", length.as_secs_f64()),
            format!("watch for longer: --watch {}s", (length * WATCHED).as_secs().max(2)),
        ),
        None => Finding::failure(STEP, format!("stale: no new segment is named after {seconds:.1} s"), stopped),
        Some((name, _)) => {
            let Some(url) = server.locate(url, &name) else {
                return Finding::ok(STEP, format!("new segments are named after {seconds:.1} s"));
            };
            let (name, there) = (short_name(&url), live_point(server, &url, length).await);
            match there.advice {
                None => Finding::ok(STEP, format!("new segments after {seconds:.1} s, {name} the newest")),
                Some(_) => Finding::failure(STEP, format!("stale: {name} is due after {seconds:.1} s; {}", there.text), stopped),
            }
        }
    }
}
