//! The media itself: the live point of each rendition fetched and looked into, and every listed segment asked for.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::RANGE;
use tokio::task::JoinSet;

use super::access::does_not_reach;
use super::media::{BodyFormat, Look, look};
use super::report::{Finding, Report, unanswered};
use super::walk::MediaPlaylist;
use crate::app::client::{Response, Server, Unanswered, Url, short_name};
use crate::hls::playlist::{ByteRange, Segment, is_unknown};

/// How many are asked for at once.
const AT_ONCE: usize = 6;

/// The newest segment of a rendition, as it came.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) url: Url,
    pub(super) answer: Response,
    pub(super) kind: BodyFormat,
    /// It is a part of a larger resource.
    pub(super) is_part: bool,
}

/// Fetches the newest segment that a playlist lists, and its initialisation segment. `explain` says what a refusal means here.
pub(super) async fn live_point(
    server: &Server,
    child: &MediaPlaylist,
    report: &mut Report,
    mut explain: impl AsyncFnMut(&Url, &Response) -> Finding,
) -> Option<Sample> {
    const STEP: &str = "live-point";
    let segment = child.media.segments.iter().rev().find(|segment| !segment.gap)?;
    if is_unknown(&segment.uri) {
        let text = format!("{}: what its variable stands for can't be known here", segment.uri);
        let advice = "EXT-X-DEFINE takes it from the multivariant playlist (IMPORT) or from the URL (QUERYPARAM): name that playlist, with its query";
        report.add_about(server.at, &[&child.name], Finding::warning(STEP, text, advice));
        return None;
    }
    let url = server.locate(&child.url, &segment.uri)?;
    let about = vec![child.name.clone(), short_name(&url)];
    let mut answer = get(server, &url, segment.range).await;
    if matches!(&answer, Ok(answer) if answer.status == 404) && child.is_live() {
        // Encoders upload playlist and segment at once: it may be on its way.
        let pause = child.media.target_duration.unwrap_or_default() / 2;
        tokio::time::sleep(pause.min(Duration::from_secs(2))).await;
        answer = get(server, &url, segment.range).await;
    }
    let answer = match answer {
        Err(error) => {
            report.add_about(server.at, &about, unanswered(STEP, &error, "the server's log has the reason"));
            return None;
        }
        Ok(answer) if !matches!(answer.status, 200 | 206) => {
            let finding = Finding { step: STEP, ..explain(&url, &answer).await };
            report.add_about(server.at, &about, finding);
            return None;
        }
        Ok(answer) => answer,
    };
    let seen = look(&answer.body);
    report.add_about(server.at, &about, judge(segment, &answer, &seen));
    init(server, child, segment, &seen, report).await;
    Some(Sample { name: short_name(&url), url, answer, kind: seen.kind, is_part: segment.range.is_some() })
}

async fn get(server: &Server, url: &Url, range: Option<ByteRange>) -> Result<Response, Unanswered> {
    match range {
        None => server.get(url).await,
        Some(range) => {
            let value = format!("bytes={}-{}", range.start, range.end().saturating_sub(1));
            server.ask(Method::GET, url, &[(RANGE, &value)], Bytes::new()).await
        }
    }
}

const TRUNCATED: &str = "the upload or the delivery broke off and the rest was taken for the whole: see the log of whoever \
    stored it; an origin \
                         must store a body only when all of it has come";

fn judge(segment: &Segment, answer: &Response, seen: &Look) -> Finding {
    const STEP: &str = "live-point";
    let size = answer.body.len();
    if let Some(cut) = &answer.cut {
        let announced = answer.header("content-length");
        let text = format!("truncated: {size} of {announced} bytes came ({cut})");
        return Finding::failure(STEP, text, TRUNCATED);
    }
    if let Some(range) = segment.range
        && range.length != size as u64
    {
        let text = format!("truncated: the playlist says {} bytes at {}, and {size} came", range.length, range.start);
        return Finding::failure(
            STEP,
            text,
            "the origin has to answer byte ranges (206), and the resource has to be as long as the playlist says",
        );
    }
    if segment.key.is_some() && seen.wrong.is_some() {
        return Finding::ok(STEP, format!("{size} bytes, encrypted: not looked into"));
    }
    match &seen.wrong {
        Some(wrong) if seen.kind == BodyFormat::Unknown => {
            Finding::failure(STEP, format!("{size} bytes, but {wrong}"), "open its URL with curl: what does it say?")
        }
        Some(wrong) if wrong.contains("cut short") => {
            Finding::failure(STEP, format!("truncated: {size} bytes, {}; {wrong}", seen.holds), TRUNCATED)
        }
        Some(wrong) => Finding::failure(
            STEP,
            format!("{size} bytes, {}; {wrong}", seen.holds),
            "the encoder or packager makes it so: check its output with ffprobe",
        ),
        None => {
            let (took, first) = (answer.took.as_millis(), answer.first_byte.as_millis());
            let text = format!("{size} bytes, {}, whole, in {took} ms, the first after {first} ms", seen.holds);
            if answer.took > segment.duration && !segment.duration.is_zero() {
                return Finding::warning(
                    STEP,
                    text,
                    "it takes longer to fetch than to play: look at the line from here to there",
                );
            }
            match seen.span {
                Some(span) if span * 2 < segment.duration => {
                    let (span, announced) = (span.as_secs_f64(), segment.duration.as_secs_f64());
                    let text = format!("{text}, but it holds {span:.1} s of media where the playlist says {announced:.1} s");
                    Finding::warning(STEP, text, "did the encoder lose its input, or its upload a part?")
                }
                _ => Finding::ok(STEP, text),
            }
        }
    }
}

async fn init(server: &Server, child: &MediaPlaylist, segment: &Segment, seen: &Look, report: &mut Report) {
    const STEP: &str = "init";
    let Some(map) = segment.map.and_then(|index| child.media.maps.get(index)) else {
        if seen.kind == BodyFormat::Mp4 && segment.key.is_none() {
            let advice = "fragmented MP4 needs an EXT-X-MAP in the playlist (RFC 8216 3.3)";
            report.add_about(server.at, &[&child.name], Finding::failure(STEP, "no initialisation segment is named", advice));
        }
        return;
    };
    let Some(url) = server.locate(&child.url, &map.uri) else { return };
    let finding = match get(server, &url, map.range).await {
        Err(error) => unanswered(STEP, &error, "the server's log has the reason"),
        Ok(answer) if matches!(answer.status, 401 | 403) => {
            let text = format!("listed, but it answers {}: nothing can be played without it", answer.status);
            Finding::failure(STEP, text, does_not_reach(server, &url))
        }
        Ok(answer) if !matches!(answer.status, 200 | 206) => Finding::failure(
            STEP,
            format!("listed, but it answers {}: nothing can be played without it", answer.status),
            "encoders write it once: it may have expired (a longer ttl_seconds) or was never uploaded; restart the encoder to \
                have it sent again",
        ),
        Ok(answer) => {
            let seen = look(&answer.body);
            match (answer.cut, seen.wrong) {
                (Some(cut), _) => Finding::failure(STEP, format!("truncated: {cut}"), TRUNCATED),
                (None, Some(wrong)) => Finding::failure(STEP, wrong, TRUNCATED),
                (None, None) if seen.kind == BodyFormat::Init || seen.holds.contains("moov") => {
                    Finding::ok(STEP, format!("{}, whole", seen.holds))
                }
                (None, None) => Finding::warning(
                    STEP,
                    format!("it is {}", seen.holds),
                    "an initialisation segment has a 'moov' box and no media",
                ),
            }
        }
    };
    report.add_about(server.at, &[child.name.clone(), short_name(&url)], finding);
}

/// A listed segment and whether it is there.
#[derive(Debug)]
struct Checked {
    name: String,
    url: Url,
    status: Result<u16, Unanswered>,
    duration: Duration,
    /// Bits a second.
    rate: Option<u64>,
}

/// Asks for the last `count` segments. Returns the highest rate among them, in bits a second.
pub(super) async fn listed(server: &Arc<Server>, child: &MediaPlaylist, count: usize, report: &mut Report) -> Option<u64> {
    const STEP: &str = "listed";
    let from = child.media.segments.len().saturating_sub(count);
    let last = &child.media.segments[from..];
    let wanted: Vec<(Url, Segment)> = last
        .iter()
        .filter(|segment| !segment.gap && !is_unknown(&segment.uri))
        .filter_map(|segment| Some((server.locate(&child.url, &segment.uri)?, segment.clone())))
        .collect();
    let mut all: Vec<Checked> = Vec::with_capacity(wanted.len());
    for some in wanted.chunks(AT_ONCE) {
        let mut tasks = JoinSet::new();
        for (url, segment) in some {
            let (url, segment) = (url.clone(), segment.clone());
            let server = Arc::clone(server);
            tasks.spawn(async move { ask(&server, &url, &segment).await });
        }
        all.extend(tasks.join_all().await);
    }
    if let Some(elsewhere) = all.extract_if(.., |listed| matches!(listed.status, Err(Unanswered::Elsewhere))).last() {
        report.add_about(server.at, &[&child.name, &elsewhere.name], unanswered(STEP, &Unanswered::Elsewhere, ""));
    }
    let gaps: Vec<&Checked> = all.iter().filter(|listed| !matches!(listed.status, Ok(200 | 206))).collect();
    let marked = last.iter().filter(|segment| segment.gap).count();
    if all.is_empty() && marked == 0 {
        // Of what can't be known the live point has told.
        return None;
    }
    let finding = if gaps.is_empty() && marked == 0 {
        Finding::ok(STEP, format!("the last {} segments are there", all.len()))
    } else if gaps.is_empty() {
        let text = format!("{marked} of the last {} segments are marked as missing (EXT-X-GAP)", last.len());
        Finding::warning(STEP, text, "the packager lost them: its log says why")
    } else if let Some(refused) = gaps.iter().find(|listed| matches!(listed.status, Ok(401 | 403))) {
        // That says nothing of what is there.
        let (status, count) = (refused.status.as_ref().copied().unwrap_or_default(), gaps.len());
        let text =
            format!("{count} of the last {} listed segments may not be read ({status}), {} among them", all.len(), refused.name);
        Finding::failure(STEP, text, does_not_reach(server, &refused.url))
    } else {
        let mut names: Vec<_> = gaps
            .iter()
            .map(|gap| match &gap.status {
                Ok(status) => format!("{} ({status})", gap.name),
                Err(error) => format!("{} ({error})", gap.name),
            })
            .collect();
        names.sort();
        let text = format!("gap: {} of the last {} listed segments can't be had: {}", gaps.len(), all.len(), names.join(", "));
        let advice = "players stall there: was its upload refused (see /v1/ingest/rejected on the admin listener), did it \
            expire before the playlist \
                      drops it (ttl_seconds shorter than the window), or was it evicted (hot_capacity too small)?";
        Finding::failure(STEP, text, advice)
    };
    report.add_about(server.at, &[&child.name], finding);
    highest(all.iter().filter_map(|listed| Some((listed.duration, listed.rate?))))
}

/// The highest of these rates, but for those of segments that are not half as long as the longest one: a cut for an advertisement leaves a
/// segment that is little but its key frame, and a peak is one over half a target duration at least (RFC 8216 4.1).
fn highest(rates: impl Iterator<Item = (Duration, u64)> + Clone) -> Option<u64> {
    let longest = rates.clone().map(|(duration, _)| duration).max()?;
    rates.filter(|(duration, _)| *duration >= longest / 2).map(|(_, rate)| rate).max()
}

async fn ask(server: &Server, url: &Url, segment: &Segment) -> Checked {
    let mut answer = server.head(url).await;
    if matches!(&answer, Ok(answer) if matches!(answer.status, 403 | 405 | 501)) {
        // There are servers that know GET only.
        answer = server.ask(Method::GET, url, &[(RANGE, "bytes=0-0")], Bytes::new()).await;
    } else if matches!(&answer, Ok(answer) if answer.status == 404) {
        // The newest may be on its way.
        tokio::time::sleep((segment.duration / 2).min(Duration::from_secs(2))).await;
        answer = server.head(url).await;
    }
    let length = match (&answer, segment.range) {
        (_, Some(range)) => Some(range.length),
        (Ok(answer), None) if answer.status == 200 => answer.header("content-length").parse().ok(),
        _ => None,
    };
    let millis = u64::try_from(segment.duration.as_millis()).unwrap_or(u64::MAX);
    let rate = length.and_then(|length: u64| length.saturating_mul(8000).checked_div(millis));
    Checked {
        name: short_name(url),
        url: url.clone(),
        status: answer.map(|answer| answer.status),
        duration: segment.duration,
        rate,
    }
}

/// What is announced against what comes. Apple's authoring specification for HLS allows a live stream's peak a quarter above its
/// announcement, and a finished one's a tenth.
pub(super) fn bandwidth(announced: u64, measured: u64, live: bool) -> Finding {
    const STEP: &str = "bandwidth";
    let kilobits = |rate: u64| rate / 1000;
    let text = format!("announced {} kbit/s, highest segment {} kbit/s", kilobits(announced), kilobits(measured));
    if measured > announced.saturating_add(announced / if live { 4 } else { 10 }) {
        let advice = "players choose by what is announced and will stall: raise the announcement (BANDWIDTH is the peak, RFC \
            8216 4.3.4.2) or \
                      bound the encoder's peaks (maxrate, bufsize; MediaLive: max bitrate, buffer size)";
        return Finding::warning(STEP, text, advice);
    }
    Finding::ok(STEP, text)
}

#[cfg(test)]
mod tests {
    use super::super::report::Severity;
    use super::*;

    #[test]
    fn the_rate_of_a_short_segment_is_no_peak() {
        let highest = |rates: &[(u64, u64)]| highest(rates.iter().map(|(millis, rate)| (Duration::from_millis(*millis), *rate)));
        assert_eq!(highest(&[(2000, 1_000_000), (200, 5_000_000), (1800, 1_100_000)]), Some(1_100_000));
        assert_eq!(highest(&[(2000, 1_000_000), (1000, 5_000_000)]), Some(5_000_000));
        assert_eq!(highest(&[(200, 5_000_000)]), Some(5_000_000));
        assert_eq!(highest(&[]), None);
    }

    #[test]
    fn what_is_announced_may_be_passed_by_a_little() {
        for (announced, measured, live, verdict) in [
            (1_000_000, 1_200_000, true, Severity::Ok),
            (1_000_000, 1_300_000, true, Severity::Warning),
            (1_000_000, 1_200_000, false, Severity::Warning),
            (u64::MAX, u64::MAX, true, Severity::Ok),
        ] {
            assert_eq!(bandwidth(announced, measured, live).verdict, verdict, "{announced} {measured} {live}");
        }
    }
}
