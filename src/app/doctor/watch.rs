//! Live or not: every media playlist looked at again and again for a few target durations, at the origin and through the CDN.

use std::sync::Arc;
use std::time::Duration;

use super::report::{Finding, Report};
use super::walk::{MediaPlaylist, read};
use crate::app::client::{At, Response, Server, Url};
use crate::hls::playlist::{Media, Playlist};
use crate::model::clock::{Clock, Moment, WallTime};

/// How many target durations are waited for, unless the user says otherwise.
const TARGETS: u32 = 3;
/// Two renditions that are further apart make players jump.
const APART: u32 = 2;
/// An encoder's clock may be wrong by as much before it is worth a word.
const IN_STEP: Duration = Duration::from_secs(2);

/// A playlist that is watched, and what was seen of it.
#[derive(Debug)]
pub(super) struct Watched {
    server: Arc<Server>,
    pub(super) name: String,
    url: Url,
    target: Duration,
    begun: Moment,
    first: u64,
    media: Media,
    answer: Response,
    /// The media that was added since the beginning.
    grown: Duration,
    /// The last time something was added.
    advanced: Option<Moment>,
    /// From and to, if the numbers ever went back.
    back: Option<(u64, u64)>,
    refused: Option<u16>,
    /// How often it was asked, how often there was no answer, and why the last time, if that was the last time.
    looks: u32,
    unanswered: u32,
    silent: Option<String>,
    ended: Moment,
}

impl Watched {
    /// `None` when it is not live.
    pub(super) fn new(server: &Arc<Server>, child: &MediaPlaylist, now: Moment) -> Option<Self> {
        child.is_live().then(|| Self {
            server: Arc::clone(server),
            name: child.name.clone(),
            url: child.url.clone(),
            target: child.media.target_duration.unwrap_or(Duration::from_secs(6)).max(Duration::from_millis(100)),
            begun: now,
            first: child.media.last_sequence().unwrap_or(0),
            media: child.media.clone(),
            answer: child.answer.clone(),
            grown: Duration::ZERO,
            advanced: None,
            back: None,
            refused: None,
            looks: 0,
            unanswered: 0,
            silent: None,
            ended: now,
        })
    }

    pub(super) fn last(&self) -> u64 {
        self.media.last_sequence().unwrap_or(0)
    }

    async fn look(&mut self, clock: &Clock) {
        self.looks += 1;
        let answer = match self.server.get(&self.url).await {
            Ok(answer) => answer,
            Err(error) => {
                self.unanswered += 1;
                self.silent = Some(error.to_string());
                return;
            }
        };
        self.silent = None;
        self.ended = clock.now();
        self.refused = (answer.status != 200).then_some(answer.status);
        if let Ok(Playlist::Media(media)) = read(&answer)
            && self.refused.is_none()
        {
            self.take(media, answer);
        }
    }

    fn take(&mut self, media: Media, answer: Response) {
        let before = self.last();
        let new = media.segments.iter().filter(|segment| segment.sequence > before);
        let added: Duration = new.map(|segment| segment.duration).sum();
        self.media = media;
        self.answer = answer;
        let now = self.last();
        if now > before {
            self.grown += added;
            self.advanced = Some(self.ended);
        } else if now < before && self.back.is_none() {
            self.back = Some((before, now));
        }
    }

    /// Whether the last look found it.
    fn is_there(&self) -> bool {
        self.silent.is_none() && self.refused.is_none()
    }

    /// How many of the looks had no answer.
    fn silence(&self) -> String {
        format!("{} of {} looks had no answer", self.unanswered, self.looks)
    }

    /// What is to be said when the last look did not find it: what was seen before says nothing then.
    fn gone(&self, step: &'static str) -> Option<Finding> {
        if let Some(error) = &self.silent {
            let text = format!("it does not answer any more: {}, the last one: {error}", self.silence());
            let advice =
                "it answered when the watch began: has the server ended, is it about to restart, is the line down? See its log";
            return Some(Finding::failure(step, text, advice));
        }
        self.refused.map(|status| {
            let advice = match (status, self.server.at) {
                (401 | 403, At::Origin) => "a moment ago it could be read: was the key revoked, or has it expired?",
                (_, At::Origin) => "it was there a moment ago: withheld because stale, expired, or deleted by the encoder",
                (_, At::Cdn) => {
                    "it was there a moment ago: does the CDN reach the origin still, and is the key that it brings along still good? See \
                     what the origin's access log has of it"
                }
            };
            Finding::failure(step, format!("it answers {status} now"), advice)
        })
    }

    /// Whether it does what a live playlist does.
    pub(super) fn judge(&self) -> Finding {
        const STEP: &str = "advancing";
        if let Some(gone) = self.gone(STEP) {
            return gone;
        }
        let elapsed = self.ended.since(self.begun);
        let added = self.last().saturating_sub(self.first);
        let (grown, seconds) = (self.grown.as_secs_f64(), elapsed.as_secs_f64());
        if let Some((from, to)) = self.back {
            let text = format!("its media sequence went back from {from} to {to}");
            let advice = "the encoder was restarted and counts anew, or two encoders write the same name, or two servers \
                answer: players stall until they reload";
            return Finding::failure(STEP, text, advice);
        }
        if self.media.ended {
            return Finding::ok(STEP, "it has ended (EXT-X-ENDLIST)".to_owned());
        }
        if self.advanced.is_none() && elapsed < self.target + self.target / 2 {
            let target = self.target.as_secs_f64();
            let text = format!("no new segment in {seconds:.1} s, which says nothing: one comes every {target} s");
            return Finding::warning(
                STEP,
                text,
                format!("watch for longer: --watch {}s", (self.target * TARGETS).as_secs().max(2)),
            );
        }
        if self.advanced.is_none() {
            let since = self.written().map_or_else(String::new, |ago| format!("; last written {} ago", spoken(ago)));
            let text = format!("stale: no new segment in {seconds:.1} s, target duration {} s{since}", self.target.as_secs_f64());
            let advice = "the encoder has stopped, or its uploads are refused: see its log, and /v1/ingest/rejected on the \
                origin's admin listener";
            return Finding::failure(STEP, text, advice);
        }
        let text = format!("{added} new segments, {grown:.1} s of media in {seconds:.1} s");
        // A segment's length may be missing at either end.
        if (self.grown + self.target + self.target / 2).as_secs_f64() < seconds * 0.9 {
            return Finding::warning(
                STEP,
                format!("slow: {text}"),
                "the encoder does not keep up, or its uploads take longer than they play: look at its load and its line",
            );
        }
        if self.unanswered > 0 {
            let advice = "players stall when that goes on: look at the server's log and load, and at the line to it";
            return Finding::warning(STEP, format!("{text}, but {}", self.silence()), advice);
        }
        Finding::ok(STEP, text)
    }

    /// How long ago the playlist was last written, by the server's own clock.
    fn written(&self) -> Option<Duration> {
        let time = |name: &str| httpdate::parse_http_date(self.answer.header(name)).ok();
        time("date")?.duration_since(time("last-modified")?).ok()
    }

    /// When the last listed segment ends, by the encoder's clock.
    fn edge(&self) -> Option<WallTime> {
        let tagged = self.media.segments.iter().rposition(|segment| segment.program_date_time.is_some())?;
        let from = self.media.segments[tagged].program_date_time?;
        let after: Duration = self.media.segments[tagged..].iter().map(|segment| segment.duration).sum();
        Some(from + after)
    }
}

/// A span as one says it.
pub(super) fn spoken(span: Duration) -> String {
    match span.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// How far a CDN's copy was behind, over the whole watch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lag {
    /// In segments, at worst and at last.
    pub(super) worst: u64,
    pub(super) last: u64,
}

/// What was seen.
#[derive(Debug)]
pub(super) struct Observations {
    pub(super) origin: Vec<Watched>,
    /// The CDN's playlists, each with how far it was behind the origin's, where both have it.
    pub(super) cdn: Vec<(Watched, Option<Lag>)>,
}

/// Watches until `limit` is over, or for three target durations. The origin is asked before the CDN, so what the CDN has then can
/// only be newer.
pub(super) async fn watch(
    mut origin: Vec<Watched>,
    cdn: Vec<(Watched, Option<usize>)>,
    limit: Option<Duration>,
    report: &Report,
) -> Observations {
    let clock = Clock::system();
    let targets = || origin.iter().chain(cdn.iter().map(|(watched, _)| watched)).map(|watched| watched.target);
    let longest = targets().max().unwrap_or_default();
    let limit = limit.unwrap_or((longest * TARGETS).clamp(Duration::from_secs(2), Duration::from_secs(60)));
    let pause =
        targets().min().unwrap_or(Duration::from_secs(1)).div_f64(2.0).clamp(Duration::from_millis(250), Duration::from_secs(3));
    let mut cdn: Vec<_> = cdn.into_iter().map(|(watched, twin)| (watched, twin, twin.map(|_| Lag::default()))).collect();
    let begun = clock.now();
    if !origin.is_empty() || !cdn.is_empty() {
        report.progress.begin("watching the playlists", limit);
        loop {
            for watched in &mut origin {
                watched.look(&clock).await;
            }
            for (watched, twin, lag) in &mut cdn {
                watched.look(&clock).await;
                // What was not read is not behind: it is told as what it is.
                if let (Some(lag), Some(twin), true) = (lag, twin.and_then(|twin| origin.get(twin)), watched.is_there()) {
                    lag.last = twin.last().saturating_sub(watched.last());
                    lag.worst = lag.worst.max(lag.last);
                }
            }
            let elapsed = clock.now().since(begun);
            report.progress.at(elapsed);
            if elapsed >= limit {
                break;
            }
            tokio::time::sleep(pause.min(limit - elapsed)).await;
        }
        report.progress.end();
    }
    Observations { origin, cdn: cdn.into_iter().map(|(watched, _, lag)| (watched, lag)).collect() }
}

/// Whether the renditions are where each other is.
pub(super) fn aligned(all: &[Watched]) -> Option<Finding> {
    const STEP: &str = "aligned";
    // Numbers of different playlists compare to nothing (RFC 8216 6.3.2): dates do, or else what each has listed in the same time.
    let comparable: Vec<&Watched> = all.iter().filter(|watched| watched.is_there() && !watched.media.i_frames_only).collect();
    let target = comparable.iter().map(|watched| watched.target).max()?;
    let dates: Option<Vec<WallTime>> = comparable.iter().map(|watched| watched.edge()).collect();
    let behind = |at: usize, other: usize| match &dates {
        Some(dates) => dates[other].since(dates[at]),
        None => comparable[other].grown.saturating_sub(comparable[at].grown),
    };
    let order = |at: &usize, other: &usize| behind(*other, *at).cmp(&behind(*at, *other));
    let (last, first) = ((0..comparable.len()).min_by(order)?, (0..comparable.len()).max_by(order)?);
    if comparable.len() < 2 {
        return None;
    }
    let apart = behind(last, first);
    if apart >= target * APART {
        let text = format!("{} is {} behind {}", comparable[last].name, spoken(apart), comparable[first].name);
        return Some(Finding::warning(
            STEP,
            text,
            "a player that changes between them jumps: does the encoder make both at the same time, with the same keyframes?",
        ));
    }
    Some(Finding::ok(STEP, format!("{} renditions are at most {} apart", comparable.len(), spoken(apart))))
}

/// The encoder's clock, as far as its playlists tell.
pub(super) fn encoder_clock(all: &[Watched]) -> Option<Finding> {
    const STEP: &str = "encoder-clock";
    let (watched, edge) =
        all.iter().filter(|watched| watched.advanced.is_some()).find_map(|watched| Some((watched, watched.edge()?)))?;
    let now = watched.answer.answered;
    let ahead = edge.since(now);
    if ahead > IN_STEP {
        let text = format!("EXT-X-PROGRAM-DATE-TIME says that the newest segment ends {} in the future", spoken(ahead));
        return Some(Finding::warning(STEP, text, "the encoder's clock is ahead, or this machine's is behind: give both NTP"));
    }
    let behind = now.since(edge);
    if behind > watched.target * 3 + Duration::from_secs(10) {
        let text = format!("by EXT-X-PROGRAM-DATE-TIME the newest segment is {} old when it is listed", spoken(behind));
        return Some(Finding::warning(STEP, text, "the encoder's clock is behind, or media takes that long to get here"));
    }
    Some(Finding::ok(STEP, format!("by EXT-X-PROGRAM-DATE-TIME the newest segment ended {:.1} s ago", behind.as_secs_f64())))
}

impl Watched {
    /// The CDN's copy against the origin's.
    pub(super) fn fresh(&self, lag: Lag) -> Finding {
        const STEP: &str = "fresh";
        if let Some(gone) = self.gone(STEP) {
            return gone;
        }
        let age = self.answer.header("age");
        let age = if age.is_empty() { String::new() } else { format!(", Age {age} s") };
        let seconds = |segments: u64| (self.target * u32::try_from(segments).unwrap_or(u32::MAX)).as_secs_f64();
        let advice = "let the CDN keep playlists no longer than half a target duration: in Amazon CloudFront the behaviour for \
            *.m3u8 needs CachingDisabled, \
                      or a cache policy with minimum TTL 0 that goes by the origin's max-age; does its path pattern fit?";
        match lag {
            Lag { worst: 0, .. } => Finding::ok(STEP, format!("as new as the origin's{age}")),
            Lag { worst: 1, last } if last == 0 || self.advanced.is_some() => {
                Finding::ok(STEP, format!("at most one segment behind the origin{age}"))
            }
            Lag { worst, .. } if self.advanced.is_none() => Finding::failure(
                STEP,
                format!(
                    "stale copy: {worst} segments ({:.0} s) older than the origin's, and not renewed meanwhile{age}",
                    seconds(worst)
                ),
                advice,
            ),
            Lag { worst, last } => Finding::failure(
                STEP,
                format!(
                    "stale copy: up to {worst} segments ({:.0} s) older than the origin's, {last} at last{age}",
                    seconds(worst)
                ),
                advice,
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_spoken() {
        for (seconds, text) in [(3, "3 s"), (119, "119 s"), (600, "10 min"), (7300, "2 h"), (900_000, "10 days")] {
            assert_eq!(spoken(Duration::from_secs(seconds)), text);
        }
    }
}
