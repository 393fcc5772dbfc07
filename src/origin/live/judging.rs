//! What a version of a media playlist says against the one before it, and whether the encoder began anew.

use http::HeaderValue;

use super::arrivals::Arrivals;
use super::clock_offset::ClockOffset;
use super::lines::{Comparison, Continuation};
use super::outline::Outline;
use super::rendition::FollowedRendition;
use super::segment::{Arrival, ListedSegment};
use crate::model::event::EventKind;
use crate::model::id::Key;

/// What to say of a list that only grows, and in which something is another than in the version before.
fn within(comparison: &Comparison) -> Option<(EventKind, String)> {
    match comparison.continuation {
        Continuation::Renumbered { by: by @ ..0, .. } => {
            let detail = format!(
                "{} segments have left the middle of a playlist of type EVENT, which only grows: viewers who are behind them lose their place. \
                 Let the encoder keep what it has listed; a segment that is lost is an EXT-X-GAP",
                by.unsigned_abs()
            );
            Some((EventKind::EventShortened, detail))
        }
        // Told by its number.
        _ if comparison.contradictions.iter().any(|(kind, _)| is_of_a_segment(*kind)) => None,
        _ => {
            let detail = "a segment that is not among the last ones has changed in a playlist of type EVENT, which only grows, or a tag \
                          before it: who looks back plays something else than was listed, and players may stop; are there two encoders on \
                          one name?";
            Some((EventKind::SegmentChanged, detail.to_owned()))
        }
    }
}

const fn is_of_a_segment(kind: EventKind) -> bool {
    matches!(kind, EventKind::SegmentChanged | EventKind::SequenceShifted | EventKind::DiscontinuityLost)
}

impl FollowedRendition {
    /// What a version that goes on says against the one before it.
    pub(super) fn contradictions(&mut self, version: &Outline) -> Vec<(EventKind, String)> {
        let mut found = version.comparison.contradictions.clone();
        if version.media_sequence > self.next
            && !self.lines.is_empty()
            && version.comparison.continuation == Continuation::ByNumber
        {
            found.push((
                EventKind::SequenceHole,
                format!(
                    "segments {} to {} were never listed: versions of the playlist were lost on their way, or the encoder was restarted with \
                     another count; players jump over them",
                    self.next,
                    version.media_sequence - 1
                ),
            ));
        }
        if let (Some(before), Some(after)) = (self.stated, version.target)
            && before != after
            && !version.is_composed
        {
            let (before, after) = (before.as_secs_f64(), after.as_secs_f64());
            let detail = format!(
                "EXT-X-TARGETDURATION was {before} and is {after}: it may not change; players wait and buffer by it. Give the encoder segments of \
                 one length, by key frames at equal distances"
            );
            found.push((EventKind::TargetChanged, detail));
        }
        if self.is_event && version.media_sequence > self.media_sequence {
            let lost = version.media_sequence - self.media_sequence;
            let detail = format!(
                "{lost} segments have left a playlist of type EVENT, which only grows: viewers who are behind lose their place. Let the encoder \
                 write a live window (no EXT-X-PLAYLIST-TYPE), or keep all segments listed"
            );
            found.push((EventKind::EventShortened, detail));
        }
        let is_shortened = matches!(version.comparison.continuation, Continuation::Renumbered { by: ..0, .. });
        if self.is_event && (version.is_other_within || is_shortened && version.media_sequence == self.media_sequence) {
            found.extend(within(&version.comparison));
        }
        self.counts.contradictions += found.len() as u64;
        found
    }

    /// What to tell of a version that ends earlier than the one before it.
    pub(super) fn step_back(
        &mut self,
        version: &Outline,
        stored: impl Fn(&Key) -> Option<HeaderValue>,
        arrivals: &Arrivals,
    ) -> (EventKind, String) {
        let kind = self.judge_step_back(version, stored, arrivals);
        let (before, next) = (self.next, version.next);
        if kind == EventKind::CounterRestart {
            self.counts.counter_restarts += 1;
            self.recent.clear();
            self.clock_offset = ClockOffset::default();
            let detail = format!(
                "the media sequence began anew: the next is {next}, it was {before}; the encoder was restarted, and players may stall; hls.js 1.6 \
                 and later stop with a fatal error where the numbers overlap"
            );
            return (kind, detail);
        }
        self.counts.sequence_back += 1;
        let detail = format!(
            "an older version was written over a newer one: it ends before {next}, that before {before}; are there two writers?"
        );
        (kind, detail)
    }

    /// Why the playlist ends earlier than the one before it: the encoder counts anew, or an older version came late. In the
    /// latter case what both list under the same number is the same segment, still the same bytes, and was not stored again since the
    /// newest version was heard: an encoder that begins anew writes its first segment before it lists it, and a test picture repeats to
    /// the byte.
    fn judge_step_back(&self, version: &Outline, stored: impl Fn(&Key) -> Option<HeaderValue>, arrivals: &Arrivals) -> EventKind {
        let mut common = version.tail.iter().filter_map(|listed| {
            let known = self.recent.iter().find(|known| known.sequence == listed.sequence)?;
            Some((known, &listed.key))
        });
        let same = |(known, key): (&ListedSegment, &Key)| {
            let unchanged = match (&known.arrived, stored(key)) {
                (Some(arrived), Some(etag)) => arrived.etag == etag,
                _ => true,
            };
            known.key == *key && unchanged && !self.is_stored_again(known, arrivals.get(key))
        };
        match common.next() {
            Some(first) => {
                if same(first) && common.all(same) {
                    EventKind::SequenceBack
                } else {
                    EventKind::CounterRestart
                }
            }
            None => EventKind::CounterRestart,
        }
    }

    /// Whether any of the segments that a version lists came once more after the newest one.
    pub(super) fn are_stored_again(&self, version: &Outline, arrivals: &Arrivals) -> bool {
        let again = |arrival: &Arrival| arrival.is_again && arrival.at > self.heard;
        version.tail.iter().any(|listed| arrivals.get(&listed.key).is_some_and(again))
    }

    /// Whether a segment that the newest version lists came once more after that version. One that came late is no such segment.
    fn is_stored_again(&self, known: &ListedSegment, arrival: Option<&Arrival>) -> bool {
        arrival.is_some_and(|arrival| {
            let was_here = arrival.is_again || known.arrived.as_ref().is_some_and(|before| before.at < arrival.at);
            arrival.at > self.heard && was_here
        })
    }
}
