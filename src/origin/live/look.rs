//! The look-round: once a second, each stream is judged anew, and what has changed is told.

use std::time::Duration;

use super::event::{Event, Now, Place};
use super::rendition::Rendition;
use super::{Live, State, patience};
use crate::metrics::NamespaceMetrics;
use crate::model::event::EventKind;
use crate::model::id::{Key, Namespace};
use crate::model::liveness::Standing;

/// Upload time over duration from which on segments come too slowly. A chunked upload in real time takes just the duration.
const SLOW_UPLOAD: f64 = 1.3;
/// Measured over announced bitrate. BANDWIDTH is the peak (RFC 8216 4.3.4.2), but encoders forget the container: at low bitrates
/// MPEG-TS adds up to a fifth.
const OVER_BITRATE: f64 = 1.25;
/// By how many segments renditions may be apart.
const APART: u64 = 3;

impl Live {
    /// Judges every stream; hands over what has happened since the last look. `stale_after` is in target durations; `here` tells
    /// whether a key is stored.
    pub(in crate::origin) fn look(&self, stale_after: u32, here: impl Fn(&Key) -> bool) -> Vec<Event> {
        let now = self.now();
        let mut guard = self.state.lock();
        let state = &mut *guard;
        state.forget(now);
        state.gaps(&self.namespace, now);
        let drifting = state.drifting();
        let State { renditions, streams, events, manifests, .. } = state;
        let mut standing = [0; Standing::ALL.len()];
        let mut oldest = Duration::ZERO;
        for (key, rendition) in renditions.iter_mut() {
            let stream = streams.of(key).unwrap_or(key);
            let place = Place { namespace: &self.namespace, stream, playlist: key };
            let age = now.moment.since(rendition.pulse.last());
            if let Some((kind, detail)) = rendition.restate(now, stale_after, age) {
                events.announce(now, &place, kind, detail);
            }
            let announced = streams.announced(key);
            let window = window_words(rendition, &here);
            let troubles = [
                (EventKind::Drift, drifting.get(key).cloned()),
                (EventKind::ClockDrift, rendition.clock_trouble().map(clock_words)),
                (EventKind::SlowUpload, rendition.upload_ratio().filter(|ratio| *ratio > SLOW_UPLOAD).map(slow_words)),
                (EventKind::BitrateOver, over_words(rendition, announced)),
                (EventKind::WindowLost, window),
            ];
            for (kind, trouble) in troubles {
                let known = rendition.troubles.iter().position(|known| *known == kind);
                match (trouble, known) {
                    (Some(detail), None) => {
                        rendition.troubles.push(kind);
                        events.tell(now, &place, kind, detail);
                    }
                    (None, Some(index)) => {
                        rendition.troubles.remove(index);
                    }
                    _ => {}
                }
            }
            standing[rendition.standing as usize] += 1;
            if rendition.standing != Standing::Ended {
                oldest = oldest.max(age);
            }
        }
        for (key, dash) in manifests.iter_mut() {
            let age = now.moment.since(dash.pulse.last());
            let stands = match () {
                () if !dash.dynamic => Standing::Ended,
                () if age > dash.period * stale_after => Standing::Stale,
                () if age > dash.period.mul_f64(1.5) => Standing::Late,
                () => Standing::Live,
            };
            if let Some(kind) = change(stands, &mut dash.standing, &mut dash.told, now, &mut dash.late_told) {
                let detail = words(kind, age, dash.period);
                events.announce(now, &Place { namespace: &self.namespace, stream: key, playlist: key }, kind, detail);
            }
            standing[stands as usize] += 1;
            if dash.dynamic {
                oldest = oldest.max(age);
            }
        }
        let (told, counted) = events.take(now.moment);
        show(&self.metrics, &counted, standing, oldest);
        told
    }
}

fn show(metrics: &NamespaceMetrics, counted: &[EventKind], standing: [u64; Standing::ALL.len()], oldest: Duration) {
    for kind in counted {
        metrics.count_event(*kind);
    }
    for (level, count) in metrics.renditions.iter().zip(standing) {
        level.set(count);
    }
    metrics.oldest_edge_seconds.set(oldest.as_secs());
}

impl State {
    /// Lets go of what has outlived its TTL, and of what is no longer waited for.
    fn forget(&mut self, now: Now) {
        self.renditions.retain(|_, rendition| rendition.expires > now.moment);
        self.manifests.retain(|_, dash| dash.expires > now.moment);
        self.streams.forget_expired(now.moment);
        self.histories.forget_expired(now.wall);
        self.expected.retain(|_, expected| now.moment.since(expected.since) <= patience(expected.target));
    }

    /// What has been listed for a target duration and has not come is a gap.
    fn gaps(&mut self, namespace: &Namespace, now: Now) {
        for (key, expected) in &mut self.expected {
            if !expected.listed || expected.told || now.moment.since(expected.since) < expected.target {
                continue;
            }
            expected.told = true;
            if let Some(rendition) = self.renditions.get_mut(&expected.playlist) {
                rendition.counts.gaps += 1;
            }
            let playlist = &expected.playlist;
            let detail = format!(
                "{key} is listed and has not arrived: players get a 404 there; look at the encoder's upload and at refused uploads"
            );
            let place = Place { namespace, stream: self.streams.of(playlist).unwrap_or(playlist), playlist };
            self.events.tell(now, &place, EventKind::Gap, detail);
        }
    }

    /// The renditions that are far behind the foremost one of their stream, and in which words.
    fn drifting(&self) -> std::collections::HashMap<Key, String> {
        let mut drifting = std::collections::HashMap::new();
        for (_, master) in self.streams.iter() {
            let alive: Vec<(&Key, &Rendition)> = master
                .children
                .iter()
                .filter_map(|child| Some((&child.key, self.renditions.get(&child.key)?)))
                .filter(|(_, rendition)| rendition.standing == Standing::Live)
                .collect();
            let by_date = alive.iter().all(|(_, rendition)| rendition.edge.is_some());
            for &(key, rendition) in &alive {
                // Segments of other lengths are counted otherwise: only those of the same length compare by number.
                let others = || alive.iter().filter(|(_, other)| by_date || other.target == rendition.target);
                let behind = if by_date {
                    let foremost = others().filter_map(|(_, other)| other.edge).max();
                    let span = foremost.zip(rendition.edge).map_or(Duration::ZERO, |(foremost, own)| foremost.since(own));
                    (span > rendition.target * u32::try_from(APART).unwrap_or(3)).then(|| format!("{:.1} s", span.as_secs_f64()))
                } else {
                    let foremost = others().map(|(_, other)| other.next).max().unwrap_or(0);
                    let count = foremost.saturating_sub(rendition.next);
                    (count >= APART).then(|| format!("{count} segments"))
                };
                if let Some(behind) = behind {
                    let words =
                        format!("it is {behind} behind the foremost rendition of its stream: players that switch will jump");
                    drifting.insert(key.clone(), words);
                }
            }
        }
        drifting
    }
}

impl Rendition {
    /// Judges how it stands; says what to tell when that has changed.
    fn restate(&mut self, now: Now, stale_after: u32, age: Duration) -> Option<(EventKind, String)> {
        let stands = self.stands(now.moment, stale_after);
        let kind = change(stands, &mut self.standing, &mut self.told, now, &mut self.late_told)?;
        Some((kind, words(kind, age, self.target)))
    }
}

/// What to tell when something stands otherwise than before. Lateness that comes and goes is told once in half a minute, and then
/// its end is told as well; all else is told at once.
pub(super) fn change(
    stands: Standing,
    standing: &mut Standing,
    told: &mut Standing,
    now: Now,
    late_told: &mut Option<crate::model::clock::Moment>,
) -> Option<EventKind> {
    *standing = stands;
    if *told == stands {
        return None;
    }
    let kind = match stands {
        Standing::Late if *told == Standing::Stale => return None,
        Standing::Late => {
            if late_told.is_some_and(|told| now.moment.since(told) < Duration::from_secs(30)) {
                return None;
            }
            *late_told = Some(now.moment);
            EventKind::Late
        }
        Standing::Stale => EventKind::Stale,
        Standing::Ended => EventKind::Ended,
        Standing::Live => EventKind::Recovered,
    };
    *told = stands;
    Some(kind)
}

fn words(kind: EventKind, age: Duration, period: Duration) -> String {
    let (age, period) = (age.as_secs_f64(), period.as_secs_f64());
    match kind {
        EventKind::Late => format!("no new segment for {age:.1} s; one is due every {period:.1} s"),
        EventKind::Stale => format!(
            "no new segment for {age:.1} s; one is due every {period:.1} s: look whether the encoder runs, and at refused uploads"
        ),
        EventKind::Recovered => "new segments again".to_owned(),
        _ => "it has its end".to_owned(),
    }
}

fn clock_words(moved: i64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a day are few")]
    let seconds = moved as f64 / 1000.0;
    format!(
        "EXT-X-PROGRAM-DATE-TIME and this server's clock are {seconds:+.1} s off: synchronise the encoder's clock and this one's"
    )
}

fn slow_words(ratio: f64) -> String {
    format!("segments take {ratio:.1} times as long to upload as they play: the encoder's uplink is too slow, or shared")
}

fn over_words(rendition: &Rendition, announced: Option<u64>) -> Option<String> {
    let (measured, announced) = (rendition.bitrate()?, announced?);
    #[expect(clippy::cast_precision_loss, reason = "bitrates are small")]
    let is_over = measured as f64 > announced as f64 * OVER_BITRATE;
    is_over.then(|| {
        format!(
            "segments have {} kbit/s on average, the multivariant playlist announces {} at most",
            measured / 1000,
            announced / 1000
        )
    })
}

/// An encoder may remove a segment a moment before it writes the playlist that no longer lists it: only a later version that lists what is
/// gone says that it reaches back too far.
fn window_words(rendition: &mut Rendition, here: impl Fn(&Key) -> bool) -> Option<String> {
    let Some(oldest) = rendition.oldest.as_ref().filter(|oldest| !here(oldest)) else {
        rendition.missed = None;
        return None;
    };
    // A short list of which even the newest are missing has gaps, not a window that is too long.
    let newest_is_here = rendition.recent.back().is_some_and(|listed| listed.arrived.is_some());
    let still_lists = *rendition.missed.get_or_insert(rendition.written) != rendition.written;
    (newest_is_here && still_lists).then(|| {
        format!(
            "it still lists {oldest}, which is gone from here: raise hot_capacity or the TTL, or let the encoder list fewer segments"
        )
    })
}
