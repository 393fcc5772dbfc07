//! What is known of streams whose playlists are composed here.

use super::Live;
use super::event::EventSubject;
use crate::model::clock::Now;
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

    /// A segment that has come is listed by another name.
    pub(in crate::origin) fn known_as(&self, key: &Key, name: &Key) {
        let mut arrivals = self.arrivals.lock();
        if let Some(arrival) = arrivals.get(key).cloned() {
            arrivals.put(name, arrival, None);
        }
    }
}
