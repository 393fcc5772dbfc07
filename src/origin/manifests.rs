//! Two sources' MPDs: whether a segment of either stands for one of the other, and whose MPD viewers get.
//!
//! MPDs are not composed. Viewers get that of one source as it is, and the other's when that has stopped writing. Where both count alike, names
//! without a tag are found at whichever source has them; else at the one whose MPD it is, and nowhere else.

use std::sync::Arc;
use std::time::Duration;

use super::legible;
use super::live::Understood;
use super::namespace::Hosted;
use super::pairs::{ManifestPair, side_name};

use crate::hls::interchange::apart;
use crate::hls::mpd::Manifest;
use crate::model::event::EventKind;
use crate::model::id::Key;
use crate::model::kind::Kind;
use crate::model::mended::SwitchReason;

/// So many of its updates may a source miss until viewers get the other's MPD.
const PATIENCE: u32 = 3;
/// An MPD that says nothing of its updates has one so often.
const UPDATES: Duration = Duration::from_secs(2);

/// How long after its last version a source's MPD stands.
fn patience(manifest: &Manifest) -> Duration {
    let longest = manifest.representations.iter().filter_map(|one| one.segment).max();
    manifest.minimum_update_period.max(longest).unwrap_or_default().max(UPDATES) * PATIENCE
}

impl Hosted {
    /// Compares an MPD that a source has stored with the other's. Parses that: to be called where there is time.
    pub(super) fn compared(&self, source: &Key, public: &Key, understood: &Understood) -> ManifestPair {
        let Understood::Dash(own) = understood else { return ManifestPair::One };
        let other = self.two_sided(public).and_then(|pair| pair.behind(public.as_str()).find(|name| name != source.as_str()));
        let entry = other.and_then(|name| self.hot.peek(&Key::parse(&name).ok()?));
        let Some(entry) = entry else { return ManifestPair::One };
        let said = entry.meta.content_encoding.as_ref();
        match legible::understood(self, public, Kind::Manifest, (&entry.body, said)) {
            Understood::Dash(other) => apart(own, &other).map_or(ManifestPair::Alike, ManifestPair::Apart),
            _ => ManifestPair::One,
        }
    }

    /// Whether viewers get what this source has just stored, of what is not composed of both.
    pub(super) fn is_shown(
        self: &Arc<Self>,
        public: &Key,
        source: &Key,
        understood: Option<&Understood>,
        compared: &ManifestPair,
    ) -> bool {
        let (Some(pair), Some(side)) = (self.two_sided(public), self.side_of(source)) else { return true };
        let is_active = |stream: &Key| self.work.pairs.is_active(stream, side) || !self.is_here(public);
        let Some(Understood::Dash(manifest)) = understood else { return is_active(&self.live.stream_of(public)) };
        let other = pair.behind(public.as_str()).find(|name| name != source.as_str()).and_then(|name| Key::parse(&name).ok());
        self.recall(public, other.as_ref(), side);
        // An MPD is a stream of its own.
        let is_active = is_active(public);
        let now = self.hot.clock().both();
        if self.work.pairs.apart(public, compared)
            && let ManifestPair::Apart(why) = compared
        {
            let detail =
                format!("a segment of one source can't stand for one of the other, and viewers get those of one alone: {why}");
            self.live.announce(now, public, EventKind::SourcesApart, detail);
        }
        if is_active {
            return true;
        }
        let entry = other.and_then(|name| self.known_at(&name, now.moment));
        if entry.is_some_and(|entry| now.wall.since(entry.meta.modified) <= patience(manifest)) {
            return false;
        }
        self.work.pairs.switched(public, side, self.hot.clock().wall());
        self.metrics.pair_switches[side][SwitchReason::Stalled as usize].inc();
        self.live.announce(now, public, EventKind::SourceSwitched, other_manifest(side));
        true
    }

    /// Whose MPD viewers have, where that is not known, because the server has begun anew: the other source's, if its newest one is what they have;
    /// else that of this side, which has just written a newer one.
    fn recall(&self, public: &Key, other: Option<&Key>, side: usize) {
        if self.work.pairs.is_decided(public) {
            return;
        }
        let Some(there) = self.hot.peek(public) else { return };
        let is_others = other.and_then(|other| self.hot.peek(other)).is_some_and(|other| other.body == there.body);
        self.work.pairs.switched(public, if is_others { 1 - side } else { side }, self.hot.clock().wall());
    }
}

/// That viewers get the MPD of this side, and not that of the other any more.
pub(super) fn other_manifest(side: usize) -> String {
    let (to, from) = (side_name(side), side_name(1 - side));
    format!("viewers get the MPD of source {to}, and not that of {from} any more, which has not been written for a while")
}
