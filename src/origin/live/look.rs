//! The look-round: once a second, each stream is judged anew, and what has changed is told.

use std::time::Duration;

use super::absent::Lasting;
use super::event::{Event, EventSubject, Events};
use super::orphans::Readership;
use super::rendition::FollowedRendition;
use super::state::{Expected, FOLLOWED, LiveState, patience};
use super::streams::Child;
use super::{ByKey, Live};
use crate::metrics::NamespaceMetrics;
use crate::model::clock::Now;
use crate::model::event::EventKind;
use crate::model::id::{Key, Namespace};
use crate::model::liveness::{Standing, StandstillLimits};

/// Upload time over duration from which on segments come too slowly. A chunked upload in real time takes just the duration.
const SLOW_UPLOAD: f64 = 1.3;
/// Measured over announced bitrate. BANDWIDTH is the peak (RFC 8216 4.3.4.2), but encoders forget the container: at low bitrates
/// MPEG-TS adds up to a fifth.
const OVER_BITRATE: f64 = 1.25;
/// How many streams are judged between two times at which others may have the lock.
const AT_ONCE: usize = 64;
/// It is told again after this at the earliest that streams are not followed any more.
const UNFOLLOWED_AGAIN: Duration = Duration::from_secs(600);

impl Live {
    /// Judges every stream as of now; hands over what has happened since the last look. `here` tells whether a key is stored, `is_coming`
    /// whether it is being uploaded, `has_viewers` whether there are viewers' tokens. The lock is taken for a few streams at a time: uploads
    /// and reads go on in between.
    pub(in crate::origin) fn look(
        &self,
        now: Now,
        limits: StandstillLimits,
        has_viewers: bool,
        here: impl Fn(&Key) -> bool,
        is_coming: impl Fn(&Key) -> bool,
        readership: impl Fn(&Key) -> Readership,
    ) -> Vec<Event> {
        self.histories.forget_expired(now.wall);
        let (mut renditions, manifests, mut masters) = {
            let mut state = self.state.lock();
            state.forget(&self.namespace, now);
            state.gaps(&self.namespace, now, &here, &is_coming);
            let masters: Vec<Key> = state.streams.iter().map(|(key, _)| key.clone()).collect();
            (keys(&state.renditions), keys(&state.manifests), masters)
        };
        // In one order on every node.
        renditions.sort_unstable();
        masters.sort_unstable();
        let (drifting, orphans) = (self.drifting(&masters), self.orphans(now.moment, &renditions, &here, &readership));
        let mut standing = [0; Standing::ALL.len()];
        let mut oldest = Duration::ZERO;
        for some in renditions.chunks(AT_ONCE) {
            let mut guard = self.state.lock();
            let LiveState { renditions, streams, events, .. } = &mut *guard;
            for key in some {
                let Some(rendition) = renditions.get_mut(key) else { continue };
                let stream = streams.of(key).unwrap_or(key);
                let subject = EventSubject { namespace: &self.namespace, stream, playlist: key };
                let age = now.moment.since(rendition.pulse.last());
                if let Some((kind, detail)) = rendition.restate(now, limits, age) {
                    events.announce(Now { is_past: rendition.is_past, ..now }, &subject, kind, detail);
                }
                let child = streams.child(key);
                let announced = child.and_then(|child| child.bandwidth);
                let gaps_alone = rendition.gaps_alone(limits.stale_after).filter(|_| child.is_none_or(Child::goes_along));
                let window = window_words(rendition, &here);
                let [init, content_key] = rendition.absent_needs(now.moment, &here);
                let troubles = [
                    init,
                    content_key,
                    (EventKind::Gap, gaps_alone.map(gaps_words)),
                    (EventKind::MultivariantMissing, orphans.get(key).cloned()),
                    (EventKind::Drift, drifting.get(key).cloned()),
                    (EventKind::ClockDrift, rendition.clock_trouble().map(clock_words)),
                    (EventKind::SlowUpload, rendition.upload_ratio().filter(|ratio| *ratio > SLOW_UPLOAD).map(slow_words)),
                    (EventKind::BitrateOver, over_words(rendition, announced)),
                    (EventKind::WindowLost, window),
                    (EventKind::ChildLosesToken, rendition.away.as_deref().filter(|_| has_viewers).map(away_words)),
                ];
                // What was so before this process began is no news.
                let said = Now { is_past: std::mem::take(&mut rendition.is_past), ..now };
                tell_lasting(events, said, &subject, &mut rendition.troubles, troubles);
                standing[rendition.standing as usize] += 1;
                if rendition.standing != Standing::Ended {
                    oldest = oldest.max(age);
                }
            }
        }
        for some in manifests.chunks(AT_ONCE) {
            let mut guard = self.state.lock();
            let LiveState { manifests, events, .. } = &mut *guard;
            for key in some {
                let Some(dash) = manifests.get_mut(key) else { continue };
                let age = now.moment.since(dash.pulse.last());
                let subject = EventSubject { namespace: &self.namespace, stream: key, playlist: key };
                let said = Now { is_past: std::mem::take(&mut dash.is_past), ..now };
                let stands = dash.stands(now, limits);
                let is_gone = stands == Standing::Ended && !dash.has_ended(now);
                if let Some(kind) = change(stands, &mut dash.standing, &mut dash.told, now, &mut dash.late_told) {
                    let kind = if is_gone { EventKind::Gone } else { kind };
                    events.announce(said, &subject, kind, words(kind, age, dash.period));
                }
                let troubles = dash.absent(now.moment, limits.stale_after, &here);
                tell_lasting(events, said, &subject, &mut dash.troubles, troubles);
                standing[stands as usize] += 1;
                if stands != Standing::Ended {
                    oldest = oldest.max(age);
                }
            }
        }
        for some in masters.chunks(AT_ONCE) {
            let mut state = self.state.lock();
            for key in some {
                state.judge_children(&self.namespace, key, now, &here);
            }
        }
        let (followed, (told, counted)) = {
            let mut state = self.state.lock();
            state.tell_unfollowed(&self.namespace, now);
            (state.places.len(), state.events.take(&self.namespace, now))
        };
        show(&self.metrics, &counted, standing, oldest);
        self.metrics.followed.set(followed as u64);
        told
    }
}

/// Tells of troubles that last when they begin; `known` are those that have begun.
fn tell_lasting(
    events: &mut Events,
    now: Now,
    subject: &EventSubject<'_>,
    known: &mut Vec<EventKind>,
    troubles: impl IntoIterator<Item = Lasting>,
) {
    for (kind, trouble) in troubles {
        let at = known.iter().position(|known| *known == kind);
        match (trouble, at) {
            (Some(detail), None) => {
                known.push(kind);
                events.tell(now, subject, kind, detail);
            }
            (None, Some(index)) => {
                known.remove(index);
            }
            _ => {}
        }
    }
}

fn keys<V>(of: &ByKey<V>) -> Vec<Key> {
    of.keys().cloned().collect()
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

impl LiveState {
    /// Lets go of what has outlived its TTL, and of what is no longer waited for.
    fn forget(&mut self, namespace: &Namespace, now: Now) {
        let renditions = self.renditions.iter().filter(|(_, rendition)| rendition.expires <= now.moment).map(|(key, _)| key);
        let manifests = self.manifests.iter().filter(|(_, dash)| dash.expires <= now.moment).map(|(key, _)| key);
        let (renditions, manifests): (Vec<Key>, Vec<Key>) = (renditions.cloned().collect(), manifests.cloned().collect());
        let streams: Vec<Key> = self.streams.expired(now.moment).cloned().collect();
        for key in renditions.iter().chain(&manifests) {
            self.tell_gone(namespace, key, now);
        }
        for key in &renditions {
            self.let_go_rendition(key);
        }
        for key in &manifests {
            self.let_go_manifest(key);
        }
        for key in &streams {
            self.streams.remove(key);
        }
        for key in renditions.iter().chain(&manifests).chain(&streams) {
            if !self.follows(key) {
                self.places.remove(key);
            }
        }
        let may_come = |expected: &Expected| now.moment.since(expected.since) <= patience(expected.target);
        self.expected.retain(|_, expected| may_come(expected) || expected.is_coming);
    }

    /// Tells that streams which had no end had to make room for others; once in a while, for as many as they were.
    fn tell_unfollowed(&mut self, namespace: &Namespace, now: Now) {
        let just_told = self.unfollowed_told.is_some_and(|told| now.moment.since(told) < UNFOLLOWED_AGAIN);
        if just_told || !self.events.have_room() {
            return;
        }
        if let Some((count, last)) = self.unfollowed.take() {
            self.unfollowed_told = Some(now.moment);
            let detail = format!(
                "{count} playlists that have no end are not followed any more, this one the last of them: no more than {FOLLOWED} are \
                 followed in a namespace, and those written longest ago make room; let encoders use the same names again, give \
                 playlists a shorter TTL, or delete them when a show is over"
            );
            self.events.tell(now, &EventSubject { namespace, stream: &last, playlist: &last }, EventKind::Unfollowed, detail);
        }
    }
}

impl FollowedRendition {
    /// Judges how it stands; says what to tell when that has changed.
    fn restate(&mut self, now: Now, limits: StandstillLimits, age: Duration) -> Option<(EventKind, String)> {
        let stands = self.stands(now.moment, limits);
        let kind = change(stands, &mut self.standing, &mut self.told, now, &mut self.late_told)?;
        let kind = if stands == Standing::Ended && !self.ended { EventKind::Gone } else { kind };
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
        EventKind::Gone => format!(
            "no new segment for {age:.0} s (gone_after): it is taken for over, though it has no end; it is live again with its next segment"
        ),
        EventKind::Recovered => "new segments again".to_owned(),
        _ => "it has its end".to_owned(),
    }
}

fn away_words(uri: &str) -> String {
    format!(
        "the playlist names {uri}: a URI that is absolute or begins with a slash leaves out the viewer's token in the playlist's own path, and a \
         player that follows it is refused; have the encoder or packager write relative URIs"
    )
}

fn clock_words(moved: i64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a day are few")]
    let seconds = moved as f64 / 1000.0;
    format!(
        "EXT-X-PROGRAM-DATE-TIME and this server's clock are {seconds:+.1} s off: synchronise the encoder's clock and this one's"
    )
}

fn gaps_words(grown: Duration) -> String {
    format!(
        "for {:.0} s nothing but EXT-X-GAP has been listed: there is nothing to play, and viewers see a picture that stands still; look at the \
         encoder's input",
        grown.as_secs_f64()
    )
}

fn slow_words(ratio: f64) -> String {
    format!("segments take {ratio:.1} times as long to upload as they play: the encoder's uplink is too slow, or shared")
}

fn over_words(rendition: &FollowedRendition, announced: Option<u64>) -> Option<String> {
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
fn window_words(rendition: &mut FollowedRendition, here: impl Fn(&Key) -> bool) -> Option<String> {
    // What never came was told as a gap, and no room and no longer TTL would have kept it.
    // What was listed before that is followed here may never have been: by another server, or before a restart of one without a durable tier.
    let is_lost =
        |(number, oldest): &&(u64, Key)| *number >= rendition.known_from && !here(oldest) && !rendition.lost.contains(oldest);
    let Some((_, oldest)) = rendition.oldest.as_ref().filter(is_lost) else {
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
