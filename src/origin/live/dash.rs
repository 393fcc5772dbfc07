//! One MPD, followed from version to version as far as its health needs.

use std::sync::Arc;
use std::time::Duration;

use super::event::Now;
use super::numbered::Numbered;
use crate::hls::mpd::Manifest;
use crate::hls::uri;
use crate::model::clock::{Moment, Pulse, WallTime};
use crate::model::id::{Key, ObjectId};
use crate::model::liveness::Standing;

/// How long a segment is taken to be where an MPD does not say.
const USUAL: Duration = Duration::from_secs(2);
/// Initialisation segments of one MPD, the last of them: its last period is where it is live.
const NEEDS: usize = 1024;

/// An MPD, followed as far as its health needs.
#[derive(Debug)]
pub(super) struct Dash {
    pub(super) pulse: Arc<Pulse>,
    pub(super) period: Duration,
    pub(super) dynamic: bool,
    pub(super) updated: WallTime,
    pub(super) written: Moment,
    pub(super) expires: Moment,
    pub(super) needs: Vec<Key>,
    pub(super) standing: Standing,
    pub(super) told: Standing,
    pub(super) late_told: Option<Moment>,
    pub(super) last: Option<Key>,
    /// The names of its segments, where they are numbered and it is live.
    pub(super) numbered: Vec<Arc<Numbered>>,
}

/// What following needs of a version of an MPD: made of it before any lock is taken, and bounded, whatever it says.
#[derive(Debug)]
pub(super) struct Sketch {
    pub(super) period: Duration,
    pub(super) dynamic: bool,
    pub(super) needs: Vec<Key>,
    pub(super) numbered: Vec<Arc<Numbered>>,
}

impl Sketch {
    pub(super) fn of(object: &ObjectId, manifest: &Manifest) -> Self {
        let here = |uri: &String| uri::resolve(object, uri).filter(|found| found.namespace == object.namespace);
        let needs = manifest.initializations.iter().rev().filter_map(here).map(|found| found.key).take(NEEDS).collect();
        let period = manifest.max_segment_duration.or(manifest.minimum_update_period).filter(|period| *period >= USUAL / 4);
        let numbered = if manifest.dynamic { Numbered::of(object, manifest) } else { Vec::new() };
        Self { period: period.unwrap_or(USUAL), dynamic: manifest.dynamic, needs, numbered }
    }

    /// Bytes of memory that are kept of it, about.
    pub(super) fn bytes(&self) -> usize {
        let names = self.needs.iter().map(|name| super::NAME_BYTES + name.as_str().len());
        names.chain(self.numbered.iter().map(|numbered| numbered.bytes())).sum()
    }
}

impl Dash {
    pub(super) fn new(now: Now, expires: Moment) -> Self {
        Self {
            pulse: Arc::new(Pulse::new(now.moment)),
            period: USUAL,
            dynamic: true,
            updated: now.wall,
            written: now.moment,
            expires,
            needs: Vec::new(),
            standing: Standing::Live,
            told: Standing::Live,
            late_told: None,
            last: None,
            numbered: Vec::new(),
        }
    }

    /// How it stands now.
    pub(super) fn stands(&self, now: Moment, stale_after: u32) -> Standing {
        let age = now.since(self.pulse.last());
        match () {
            () if !self.dynamic => Standing::Ended,
            () if age > self.period * stale_after => Standing::Stale,
            () if age > self.period.mul_f64(1.5) => Standing::Late,
            () => Standing::Live,
        }
    }
}
