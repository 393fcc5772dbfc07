//! Playlists and MPDs that have come back into memory: what they say is heard again.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use super::legible;
use super::live::Understood;
use super::namespace::Hosted;
use crate::hls::playlist::Playlist;
use crate::model::id::Key;
use crate::store::Entry;
use crate::store::shared::KnownShared;

/// How many of the segments that were written last before this process began are looked through for those of MPDs.
const LOOKED_BACK: usize = 4096;
/// How long after a start a public playlist is looked at where none of its sources has written.
const AFTER_START: Duration = Duration::from_secs(5);

impl Hosted {
    /// Takes note of playlists and MPDs that have come back into memory, with the time at which they were written: so that after a
    /// restart the streams are known, and one that stood still before it does so after it.
    pub(super) fn follow_reloaded(self: &Arc<Self>) {
        let mut reloaded: Vec<_> = self
            .hot
            .take_reloaded()
            .into_iter()
            .map(|entry| {
                let meta = &entry.meta;
                (legible::understood(self, &entry.key, meta.kind, (&entry.body, meta.content_encoding.as_ref())), entry)
            })
            .collect();
        // Those that name others come first: they say what the others import, too.
        reloaded.sort_by_key(|(understood, _)| !matches!(understood, Understood::Hls(Playlist::Multivariant(_))));
        let has_mpd = reloaded.iter().any(|(understood, _)| matches!(understood, Understood::Dash(_)));
        for (mut understood, entry) in reloaded {
            // A newer version was heard meanwhile; this one is put in its place only where there was none.
            if self.live.follows(&entry.key) {
                continue;
            }
            if understood.lacks_imports() && self.live.imports(&entry.key).is_some() {
                let meta = &entry.meta;
                understood = legible::understood(self, &entry.key, meta.kind, (&entry.body, meta.content_encoding.as_ref()));
            }
            self.hear(&entry, &understood);
            // A source may be missed, or a list about to end, though nobody writes any more.
            if entry.meta.continuity.is_some() && self.two_sided(&entry.key).is_some() {
                self.look_at_pair(&entry.key, self.work.pairs.look(&entry.key), AFTER_START);
            }
            self.look_at_end(&entry.key, &entry, AFTER_START);
        }
        if has_mpd {
            let clock = self.hot.clock();
            let newest = self.durable_tier.newest_segments(LOOKED_BACK).into_iter();
            let had_come: Vec<_> = newest.rev().map(|(key, written)| (key, clock.past(written))).collect();
            self.live.had_come(&had_come, clock.both());
        }
    }

    /// Takes note of a version that is stored, as of when it was written.
    fn hear(&self, entry: &Arc<Entry>, understood: &Understood) {
        let object = self.object(&entry.key);
        self.adopt(entry, understood);
        let now = self.hot.clock().now();
        let stored = |key: &Key| match self.peek_named(key, now) {
            Some(there) => Some(there.meta.etag.clone()),
            None => self.may_have_below(key).then(|| HeaderValue::from_static("")),
        };
        let clock = self.hot.clock();
        let noted =
            self.live.kept(clock.past(entry.meta.modified), &object, understood, (&entry.meta.etag, entry.meta.expires), stored);
        self.hot.understood(entry, noted.liveness);
    }

    /// What a playlist or MPD says that was found in the bucket is known again, as after a restart of a server by itself. Beside: the journal does not
    /// wait for the bucket.
    pub(super) fn hear_again(self: &Arc<Self>, key: &Key, known: KnownShared) {
        let (hosted, key) = (Arc::clone(self), key.clone());
        tokio::spawn(async move {
            let Some(shared) = hosted.durable_tier.shared() else { return };
            // Where it fails nothing is lost but that: who asks for it reads it again.
            if let Ok(Some(body)) = shared.store.body((&hosted.name, &key), &known, None).await {
                let stands = || shared.store.stands(&hosted.name, &key, &known);
                hosted.hot.came_back(&key, body, known.meta.clone(), stands);
            }
        });
    }

    /// A version was noted and is not stored after all, because it was removed or replaced at that very moment: what is stored is heard
    /// again, or nothing is known any more.
    pub(super) fn take_back(&self, key: &Key) {
        self.live.unnoted(key);
        if let Some(entry) = self.hot.peek(key) {
            let meta = &entry.meta;
            let understood = legible::understood(self, &entry.key, meta.kind, (&entry.body, meta.content_encoding.as_ref()));
            self.hear(&entry, &understood);
            self.live.had_come(&[], self.hot.clock().both());
        }
    }
}
