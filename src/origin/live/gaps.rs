//! What a playlist or MPD says is there, and has not come: segments, and parts of them.

use super::event::EventSubject;
use super::state::{Expected, ExpectedAs, LiveState};
use crate::model::clock::Now;
use crate::model::event::EventKind;
use crate::model::id::{Key, Namespace};

impl LiveState {
    /// What is missed for a target duration is a gap: it has come neither into memory nor, by another process, below it. What is on its way is
    /// served as it grows: that it takes long is told of the uplink.
    pub(super) fn gaps(
        &mut self,
        namespace: &Namespace,
        now: Now,
        here: impl Fn(&Key) -> bool,
        is_coming: impl Fn(&Key) -> bool,
    ) {
        let is_due =
            |expected: &Expected| expected.is_missed() && !expected.told && now.moment.since(expected.since) >= expected.target;
        let mut missing: Vec<_> = self.expected.iter_mut().filter(|(_, expected)| is_due(expected)).collect();
        missing.retain_mut(|(key, expected)| {
            expected.is_coming = is_coming(key);
            // Another version may count otherwise by now, and the newest one may not have come that says so.
            let is_said = expected.of != ExpectedAs::Numbered
                || self.manifests.get(&expected.playlist).is_some_and(|dash| dash.counts(key));
            !expected.is_coming && is_said && !here(key)
        });
        // In one order on every node: of several of a playlist the first one is told.
        missing.sort_unstable_by_key(|(key, _)| *key);
        for (key, expected) in missing {
            expected.told = true;
            let playlist = &expected.playlist;
            if let Some(rendition) = self.renditions.get_mut(playlist) {
                rendition.counts.gaps += 1;
                if expected.of == ExpectedAs::Segment {
                    rendition.lose(key);
                }
            } else if let Some(dash) = self.manifests.get_mut(playlist) {
                dash.gaps += 1;
            }
            let subject = EventSubject { namespace, stream: self.streams.of(playlist).unwrap_or(playlist), playlist };
            self.events.tell(now, &subject, EventKind::Gap, words(key, expected.of));
        }
    }
}

fn words(key: &Key, of: ExpectedAs) -> String {
    match of {
        ExpectedAs::Part => format!(
            "{key} is listed as a part and has not arrived: players at the live edge get a 404 there, and stall or fall back to whole segments; look \
             at the packager's upload and at refused uploads"
        ),
        ExpectedAs::Numbered => format!(
            "{key} has not arrived, and later segments of its representation have: by the MPD it is there, and players get a 404; look at the \
             encoder's upload and at refused uploads"
        ),
        ExpectedAs::Announced | ExpectedAs::Segment => format!(
            "{key} is listed and has not arrived: players get a 404 there; look at the encoder's upload and at refused uploads"
        ),
    }
}
