//! What a stream needs beside its segments and has not got: initialisation segments, content keys, renditions.
//!
//! A stream whose segments all come plays nowhere without these.

use std::time::Duration;

use super::dash::{Dash, Series};
use super::event::EventSubject;
use super::rendition::FollowedRendition;
use super::state::LiveState;
use super::streams::Child;
use crate::model::clock::{Moment, Now};
use crate::model::event::EventKind;
use crate::model::id::{Key, Namespace};
use crate::model::liveness::Standing;

/// What is named may come this much later, or a target duration.
const GRACE: Duration = Duration::from_secs(2);
/// Some encoders name renditions a segment or two before they write them.
const RENDITION_GRACE: Duration = Duration::from_secs(10);
/// So many of the newest initialisation segments, and of the keys, are looked for.
const LOOKED_FOR: usize = 8;

/// A kind of trouble, and what to say of it while it lasts.
pub(super) type Lasting = (EventKind, Option<String>);

impl FollowedRendition {
    /// The initialisation segments and keys that it names and that are not here.
    pub(super) fn absent_needs(&mut self, now: Moment, here: impl Fn(&Key) -> bool) -> [Lasting; 2] {
        let is_alive = matches!(self.standing, Standing::Live | Standing::Late);
        let grace = self.target.max(GRACE);
        let (maps, keys) = self.needs.split_at(self.maps.min(self.needs.len()));
        let mut absent = |at: usize, names: &[Key]| {
            let gone = names.iter().take(LOOKED_FOR).find(|name| is_alive && !here(name));
            let since = gone.is_some().then(|| self.absent_since[at].unwrap_or(now));
            self.absent_since[at] = since;
            gone.filter(|_| since.is_some_and(|since| now.since(since) >= grace)).cloned()
        };
        let (map, key) = (absent(0, maps), absent(1, keys));
        [(EventKind::InitMissing, map.as_ref().map(init_words)), (EventKind::KeyMissing, key.as_ref().map(key_words))]
    }
}

impl Dash {
    /// The initialisation segments that it names and that are not here, and the representations of which nothing comes.
    pub(super) fn absent(&mut self, now: Moment, stale_after: u32, here: impl Fn(&Key) -> bool) -> [Lasting; 2] {
        // Of a show that has not begun nothing has to be there.
        let has_begun = self.pulse.last() <= now;
        let is_alive = self.dynamic && has_begun && matches!(self.standing, Standing::Live | Standing::Late);
        let gone = self.needs.iter().take(LOOKED_FOR).find(|name| is_alive && !here(name));
        let since = gone.is_some().then(|| self.absent_since.unwrap_or(now));
        let map = gone.filter(|_| since.is_some_and(|since| now.since(since) >= self.period.max(GRACE)));
        let map = map.map(init_words);
        self.absent_since = since;
        let is_due = |series: &Series| (series.segment.unwrap_or(self.period).saturating_mul(stale_after)).max(RENDITION_GRACE);
        let words = self.silent(is_due).filter(|_| is_alive).map(|series| {
            let what = if series.has_come { "no segment has come lately" } else { "no segment has ever come" };
            format!("{what} for {}, while others of this MPD come: players that choose it stall", series.numbered)
        });
        [(EventKind::InitMissing, map), (EventKind::RenditionMissing, words)]
    }
}

fn init_words(key: &Key) -> String {
    format!(
        "{key} is named as the initialisation segment and is not here: nothing of it plays. Many encoders write it once, at their start: look at \
         refused uploads, and start the encoder again"
    )
}

fn key_words(key: &Key) -> String {
    format!(
        "{key} is named as the content key and is not here: nothing of it can be decrypted; look at the encoder's upload of it"
    )
}

impl LiveState {
    /// Judges what a multivariant playlist names: what of it has not come by now is told once.
    pub(super) fn judge_children(&mut self, namespace: &Namespace, key: &Key, now: Now, here: impl Fn(&Key) -> bool) {
        let Self { streams, renditions, events, .. } = self;
        let Some(master) = streams.get_mut(key) else { return };
        let is_here = |child: &Key| renditions.contains_key(child) || here(child);
        // What stands under a host of which nothing is here is somebody else's.
        let is_ours = |child: &&Child| {
            let mut beside = master.children.iter().filter(|other| other.under == child.under);
            child.under.is_none() || beside.any(|other| is_here(&other.key))
        };
        let ours: Vec<&Key> = master.children.iter().filter(is_ours).map(|child| &child.key).collect();
        let absent: Vec<Key> = ours.iter().filter(|child| !is_here(child)).map(|child| (*child).clone()).collect();
        let count = ours.len();
        master.was_here |= absent.len() < count;
        let is_over = master.was_here && absent.len() == count;
        let absent = if is_over || now.wall.since(master.since) < RENDITION_GRACE { Vec::new() } else { absent };
        for child in absent.iter().filter(|child| !master.absent.contains(child)) {
            let subject = EventSubject { namespace, stream: key, playlist: child };
            let detail = "the multivariant playlist names it and it is not here: players that choose it stop; look at the encoder's upload of \
                          it, or take it out of the multivariant playlist";
            events.tell(now, &subject, EventKind::RenditionMissing, detail.to_owned());
        }
        master.absent = absent;
    }
}
