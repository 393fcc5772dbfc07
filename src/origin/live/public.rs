//! What is known of streams whose playlists are composed here.

use super::Live;
use super::event::EventSubject;
use super::state::patience;
use crate::model::clock::{Moment, Now};
use crate::model::event::EventKind;
use crate::model::id::Key;

impl Live {
    /// Tells what was found about a playlist as it was composed.
    pub(in crate::origin) fn tell(&self, now: Now, playlist: &Key, kind: EventKind, detail: String) {
        let mut state = self.state.lock();
        let stream = state.streams.of(playlist).cloned().unwrap_or_else(|| playlist.clone());
        state.events.tell(now, &EventSubject { namespace: &self.namespace, stream: &stream, playlist }, kind, detail);
    }

    /// The same, also where that was told a moment ago.
    pub(in crate::origin) fn announce(&self, now: Now, stream: &Key, kind: EventKind, detail: String) {
        let subject = EventSubject { namespace: &self.namespace, stream, playlist: stream };
        self.state.lock().events.announce(now, &subject, kind, detail);
    }

    /// The stream that a playlist belongs to: the first multivariant playlist that names it, or itself.
    pub(in crate::origin) fn stream_of(&self, playlist: &Key) -> Key {
        self.state.lock().streams.of(playlist).cloned().unwrap_or_else(|| playlist.clone())
    }

    /// The discontinuity sequence number that what comes now has in a playlist, by those of its stream, `is_beside`, that go on: that of their newest
    /// segments. Where all of them stand still their encoder will begin again as well: one more. `None`: there are none.
    pub(in crate::origin) fn last_breaks_beside(
        &self,
        now: Moment,
        playlist: &Key,
        is_beside: impl Fn(&Key) -> bool,
    ) -> Option<u64> {
        let state = self.state.lock();
        let others = state.streams.renditions(playlist).into_iter().filter(|other| other != playlist && is_beside(other));
        let known = others.filter_map(|other| state.renditions.get(&other)).filter(|rendition| !rendition.ended);
        let last = known.filter_map(|rendition| {
            let goes_on = now.since(rendition.pulse.last()) <= patience(rendition.target);
            Some((goes_on, rendition.lines.last()?.discontinuities))
        });
        last.max().map(|(goes_on, last)| if goes_on { last } else { last.saturating_add(1) })
    }

    /// A segment that has come is listed by another name.
    pub(in crate::origin) fn known_as(&self, key: &Key, name: &Key) {
        let mut arrivals = self.arrivals.lock();
        if let Some(arrival) = arrivals.get(key).cloned() {
            arrivals.put(name, arrival, None);
        }
    }
}
