//! A way to what an origin knows of live streams, for `crate::fuzzing` alone.

use std::time::Duration;

use http::HeaderValue;

use super::live::{Live, Readership, found_by, understand};
use crate::hls::mpd::Manifest;
use crate::metrics::Metrics;
use crate::model::clock::Clock;
use crate::model::id::{Key, Namespace, ObjectId};
use crate::model::kind::Kind;
use crate::model::liveness::StandstillLimits;

/// A namespace that versions of playlists are written to, and nothing else.
#[derive(Debug)]
pub(crate) struct Followed {
    live: Live,
    clock: Clock,
    namespace: Namespace,
}

impl Followed {
    pub(crate) fn new(namespace: Namespace) -> Self {
        let clock = Clock::manual();
        let live = Live::new(namespace.clone(), Metrics::new().namespace(&namespace));
        Self { live, clock, namespace }
    }

    /// Writes the next version, a moment later, and does what follows: the look-round, and a read of a name that is missing.
    pub(crate) fn write(&self, key: &Key, body: &[u8]) {
        self.clock.advance(Duration::from_millis(700));
        self.note(key, body);
        self.look();
        let now = self.clock.both();
        if let Ok(missing) = Key::parse("a/missing_7.m4s") {
            let _ = (self.live.awaits(now, &missing), self.live.previous(&missing));
        }
        let _ = self.live.report(now.moment);
    }

    /// Writes the next version, and nothing else.
    pub(crate) fn note(&self, key: &Key, body: &[u8]) {
        let object = ObjectId { namespace: self.namespace.clone(), key: key.clone() };
        let understood = understand(Kind::of(key, body), body, || self.live.imports(key));
        let etag = HeaderValue::from(body.len());
        let now = self.clock.both();
        self.live.playlist(now, &object, &understood, (&etag, now.moment + Duration::from_secs(3600), false), |_| None);
    }

    /// The look-round.
    pub(crate) fn look(&self) {
        let limits = StandstillLimits { stale_after: 3, gone_after: Duration::from_secs(60) };
        let _ = self.live.look(self.clock.both(), limits, true, |_| false, |_| false, |_| Readership::None);
    }

    /// How many segments a look back at all of it has.
    pub(crate) fn looked_back(&self, key: &Key) -> usize {
        self.live.stretch(key, None, None).map_or(0, |stretch| stretch.listed.len())
    }
}

/// By each of an MPD's templates the names of a segment and of the one before it, where they are keys; and which one is found to be
/// before it.
pub(crate) fn numbered(object: &ObjectId, manifest: &Manifest, number: u64) -> Vec<[Option<Key>; 3]> {
    found_by(object, manifest, number)
}
