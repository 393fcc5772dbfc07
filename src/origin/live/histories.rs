//! The histories of a namespace's media playlists: bounded together, and written down elsewhere where somebody does that.

use std::sync::{Arc, OnceLock};

use super::Map;
use crate::hls::history::{History, Listed, Step, Stretch};
use crate::hls::playlist::{Media, Segment};
use crate::model::clock::WallTime;
use crate::model::id::{Key, Namespace};

/// Playlists with a history; what comes beyond has none.
const HISTORIES: usize = 4096;
/// Bytes of memory for all histories of a namespace: some 200,000 segments. Over it the oldest segments are forgotten.
const BYTES: usize = 64 << 20;
/// So many are forgotten of one history before the oldest one is looked for again.
const FORGOTTEN_AT_ONCE: usize = 64;

/// Writes histories down, so that they outlive the process. It must not wait: it is called while a playlist is being stored.
pub trait Chronicle: std::fmt::Debug + Send + Sync {
    /// These segments were listed for the first time.
    fn listed(&self, namespace: &Namespace, playlist: &Key, segments: &[Arc<Listed>]);
    /// The playlist was deleted, and its history with it.
    fn removed(&self, namespace: &Namespace, playlist: &Key);
}

#[derive(Debug, Default)]
pub(super) struct Histories {
    by_playlist: Map<History>,
    pub(super) chronicle: OnceLock<Arc<dyn Chronicle>>,
}

impl Histories {
    pub(super) fn follow(
        &mut self,
        namespace: &Namespace,
        playlist: &Key,
        media: &Media,
        step: Step,
        now: WallTime,
        until: impl Fn(&Segment) -> WallTime,
    ) {
        if self.by_playlist.len() >= HISTORIES && !self.by_playlist.contains_key(playlist) {
            return;
        }
        let new = self.by_playlist.entry(playlist.clone()).or_default().follow(media, step, now, until);
        if let Some(chronicle) = self.chronicle.get().filter(|_| !new.is_empty()) {
            chronicle.listed(namespace, playlist, &new);
        }
        self.stay_within(BYTES);
    }

    /// Takes up what was written down, oldest first.
    pub(super) fn restore(&mut self, playlist: &Key, listed: Vec<Listed>) {
        if self.by_playlist.len() < HISTORIES || self.by_playlist.contains_key(playlist) {
            self.by_playlist.entry(playlist.clone()).or_default().restore(listed);
            self.stay_within(BYTES);
        }
    }

    pub(super) fn stretch(&self, playlist: &Key, start: Option<WallTime>, end: Option<WallTime>) -> Option<Stretch> {
        self.by_playlist.get(playlist).map(|history| history.stretch(start, end))
    }

    pub(super) fn remove(&mut self, namespace: &Namespace, playlist: &Key) {
        if self.by_playlist.remove(playlist).is_some()
            && let Some(chronicle) = self.chronicle.get()
        {
            chronicle.removed(namespace, playlist);
        }
    }

    pub(super) fn forget_expired(&mut self, now: WallTime) {
        self.by_playlist.retain(|_, history| {
            history.forget_expired(now);
            !history.is_empty()
        });
    }

    fn stay_within(&mut self, limit: usize) {
        let mut bytes: usize = self.by_playlist.values().map(History::bytes).sum();
        while bytes > limit {
            let oldest =
                self.by_playlist.values_mut().filter(|history| !history.is_empty()).min_by_key(|history| history.begins_at());
            let Some(oldest) = oldest else { return };
            let before = oldest.bytes();
            oldest.forget_oldest(FORGOTTEN_AT_ONCE);
            bytes = bytes.saturating_sub(before - oldest.bytes());
        }
    }
}
