//! The histories of a namespace's media playlists: bounded together, and written down elsewhere where somebody does that.
//!
//! Each history has a lock of its own, which is held while a version is taken up or a part of it is looked at: long ones hold up
//! nobody who does not want that very playlist. The lock of the table is held for a few look-ups. Order of locks: a history's, then
//! nothing; who holds the table's only tries for a history's.

use std::cell::LazyCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::ByKey;
use super::places::Places;
use crate::hls::history::{History, Juncture, Listed, SegmentSpan, Step, StoredBytes, Stretch, Tail};
use crate::hls::playlist::Media;
use crate::model::clock::WallTime;
use crate::model::id::{Key, Namespace};

/// Playlists with a history.
const HISTORIES: usize = 4096;
/// Bytes of memory for all histories of a namespace: some 200,000 segments. Over it the oldest segments are forgotten.
const BYTES: usize = 64 << 20;
/// Down to this, so that not each version that comes has to look for the oldest ones.
const ENOUGH: usize = BYTES / 16 * 15;
/// So many of the others of its stream are asked how a playlist goes with them, for each segment of it that nobody heard of.
const ASKED: usize = 64;
/// After this a history is looked at again that another is at work on.
const AGAIN: Duration = Duration::from_millis(2);
/// This many are forgotten of one history before the oldest one is looked for again.
const FORGOTTEN_AT_ONCE: usize = 64;

/// Writes histories down, so that they outlive the process. It must not wait: it is called while a playlist is being stored.
pub trait HistoryLog: std::fmt::Debug + Send + Sync {
    /// These segments were listed for the first time.
    fn listed(&self, namespace: &Namespace, playlist: &Key, segments: &[Arc<Listed>]);
    /// The playlist was deleted, and its history with it.
    fn removed(&self, namespace: &Namespace, playlist: &Key);
    /// A namespace has come, and waits for what was written of one of its name; `false`: that will not be read.
    fn opened(&self, namespace: &Namespace) -> bool;
}

#[derive(Debug)]
pub(super) struct Histories {
    namespace: Namespace,
    table: Mutex<Table>,
    bytes: AtomicUsize,
    history_log: OnceLock<Arc<dyn HistoryLog>>,
    /// What was written down before this process began is being read.
    is_restoring: watch::Sender<bool>,
}

#[derive(Debug)]
struct Table {
    by_playlist: ByKey<Arc<Mutex<KeptHistory>>>,
    places: Places,
}

#[derive(Debug, Default)]
struct KeptHistory {
    history: History,
    /// It is in the table no more: who waited for it looks there again.
    is_gone: bool,
    is_restored: bool,
    /// What is in it was listed before it was known what had been written down, and is written down when that is known.
    is_unwritten: bool,
}

impl Histories {
    pub(super) fn new(namespace: Namespace) -> Self {
        let table = Table { by_playlist: ByKey::default(), places: Places::new(HISTORIES, usize::MAX) };
        Self {
            namespace,
            table: Mutex::new(table),
            bytes: AtomicUsize::new(0),
            history_log: OnceLock::new(),
            is_restoring: watch::Sender::new(false),
        }
    }

    /// Takes up a version of a playlist. Costs in proportion to what it lists; `renditions`, the others of its stream, are asked for
    /// where the encoder begins, and looked at unless one of them is at work itself.
    pub(super) fn follow(
        &self,
        playlist: &Key,
        media: &Media,
        step: Step,
        now: WallTime,
        stored: impl Fn(&str) -> StoredBytes,
        renditions: impl Fn() -> Vec<Key>,
    ) {
        let others = LazyCell::new(|| {
            let others = renditions();
            let table = self.table.lock();
            let others = others.iter().filter(|other| *other != playlist);
            others.filter_map(|other| table.by_playlist.get(other)).take(ASKED).map(Arc::clone).collect::<Vec<_>>()
        });
        let beside = |juncture: Juncture| {
            let goes_with = |kept: &Arc<Mutex<KeptHistory>>| kept.try_lock()?.history.goes_with(juncture, now);
            others.iter().filter_map(goes_with).max()
        };
        let goes_on = !media.ended;
        self.change(playlist, goes_on, |kept| {
            let new = kept.history.follow_beside(media, step, now, &stored, beside);
            if new.is_empty() {
                return;
            }
            if *self.is_restoring.borrow() && !kept.is_restored {
                kept.is_unwritten = true;
            } else if let Some(history_log) = self.history_log.get() {
                history_log.listed(&self.namespace, playlist, &new);
            }
        });
        self.stay_within(BYTES, ENOUGH);
    }

    /// Has histories written down from now on. What `is_restoring` is read back with [`Self::restore`], and then there is
    /// [`Self::restored`]: what is listed meanwhile is written down when it is known which of it was written down before.
    pub(super) fn keep_in(&self, history_log: &Arc<dyn HistoryLog>, is_restoring: bool) {
        self.is_restoring.send_replace(is_restoring);
        let _ = self.history_log.set(Arc::clone(history_log));
    }

    /// Takes up what was written down, oldest first.
    pub(super) fn restore(&self, playlist: &Key, listed: Vec<Listed>, now: WallTime) {
        let mut listed = Some(listed);
        self.change(playlist, true, |kept| {
            let added = kept.history.restore(listed.take().unwrap_or_default(), now);
            (kept.is_restored, kept.is_unwritten) = (true, false);
            if let Some(history_log) = self.history_log.get().filter(|_| !added.is_empty()) {
                history_log.listed(&self.namespace, playlist, &added);
            }
        });
        self.stay_within(BYTES, ENOUGH);
    }

    /// All that was written down has been taken up.
    pub(super) fn restored(&self) {
        self.is_restoring.send_replace(false);
        for (playlist, kept) in self.all() {
            let mut kept = kept.lock();
            if std::mem::take(&mut kept.is_unwritten)
                && let Some(history_log) = self.history_log.get()
            {
                history_log.listed(&self.namespace, &playlist, &kept.history.stretch(None, None).listed);
            }
        }
    }

    /// Whether what was written down before is still to be taken up.
    pub(super) fn is_restoring(&self) -> bool {
        *self.is_restoring.borrow()
    }

    /// Waits until all that was written down has been taken up. Cancel-safe.
    pub(super) async fn wait_for_restored(&self) {
        let _ = self.is_restoring.subscribe().wait_for(|is_restoring| !is_restoring).await;
    }

    /// Which segments lie between two moments, if any; `None` when the playlist has no history. Waits while a version of that very
    /// playlist is taken up. Cancel-safe.
    pub(super) async fn span(
        &self,
        playlist: &Key,
        start: Option<WallTime>,
        end: Option<WallTime>,
    ) -> Option<Option<SegmentSpan>> {
        loop {
            let kept = self.table.lock().by_playlist.get(playlist).map(Arc::clone)?;
            if let Some(kept) = kept.try_lock() {
                return Some(kept.history.span(start, end));
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// The largest target duration of these playlists, in seconds.
    pub(super) fn target(&self, playlists: &[Key]) -> u64 {
        let kept = |playlist: &Key| self.table.lock().by_playlist.get(playlist).map(Arc::clone);
        playlists.iter().filter_map(kept).map(|kept| kept.lock().history.target()).max().unwrap_or(0)
    }

    pub(super) fn stretch(&self, playlist: &Key, start: Option<WallTime>, end: Option<WallTime>) -> Option<Stretch> {
        let kept = self.table.lock().by_playlist.get(playlist).map(Arc::clone)?;
        let kept = kept.lock();
        Some(kept.history.stretch(start, end))
    }

    /// Which segments lie between two moments, and the last of them before this number; nothing, where there are none.
    pub(super) fn tail(
        &self,
        playlist: &Key,
        (start, end): (Option<WallTime>, Option<WallTime>),
        before: u64,
        count: usize,
    ) -> Option<(SegmentSpan, Tail)> {
        let kept = self.table.lock().by_playlist.get(playlist).map(Arc::clone)?;
        let kept = kept.lock();
        Some((kept.history.span(start, end)?, kept.history.tail(start, end, before, count)))
    }

    pub(super) fn remove(&self, playlist: &Key) {
        if self.take_out(playlist)
            && let Some(history_log) = self.history_log.get()
        {
            history_log.removed(&self.namespace, playlist);
        }
    }

    /// Forgets what has outlived its time to live.
    pub(super) fn forget_expired(&self, now: WallTime) {
        for (playlist, shared) in self.all() {
            // One at work is looked at next time.
            let Some(mut kept) = shared.try_lock() else { continue };
            let before = kept.history.bytes();
            kept.history.forget_expired(now);
            self.bytes.fetch_sub(before - kept.history.bytes(), Ordering::Relaxed);
            if kept.history.is_empty() && !kept.is_gone {
                kept.is_gone = true;
                drop(kept);
                let mut table = self.table.lock();
                if table.by_playlist.get(&playlist).is_some_and(|known| Arc::ptr_eq(known, &shared)) {
                    table.by_playlist.remove(&playlist);
                    table.places.remove(&playlist);
                }
            }
        }
    }

    /// Changes a history, which begins with that if there is none.
    fn change(&self, playlist: &Key, goes_on: bool, mut change: impl FnMut(&mut KeptHistory)) {
        loop {
            let (kept, room) = {
                let mut table = self.table.lock();
                table.places.written(playlist, goes_on, 0);
                let room = table.places.make_room(playlist).map(|(playlist, _)| playlist);
                (Arc::clone(table.by_playlist.entry(playlist.clone()).or_default()), room)
            };
            if let Some(room) = room {
                self.take_out(&room);
            }
            let mut kept = kept.lock();
            if kept.is_gone {
                // Whoever made it so is about to take it out of the table.
                drop(kept);
                std::thread::yield_now();
                continue;
            }
            let before = kept.history.bytes();
            change(&mut kept);
            self.count(before, kept.history.bytes());
            return;
        }
    }

    fn count(&self, before: usize, after: usize) {
        if after >= before {
            self.bytes.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.bytes.fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    /// Lets go of a history; says whether there was one.
    fn take_out(&self, playlist: &Key) -> bool {
        let kept = {
            let mut table = self.table.lock();
            table.places.remove(playlist);
            table.by_playlist.remove(playlist)
        };
        let Some(kept) = kept else { return false };
        let mut kept = kept.lock();
        if !std::mem::replace(&mut kept.is_gone, true) {
            self.count(kept.history.bytes(), 0);
        }
        kept.history = History::default();
        true
    }

    fn all(&self) -> Vec<(Key, Arc<Mutex<KeptHistory>>)> {
        self.table.lock().by_playlist.iter().map(|(playlist, kept)| (playlist.clone(), Arc::clone(kept))).collect()
    }

    /// Over the limit, forgets the oldest segments of all histories until it is `enough`.
    fn stay_within(&self, limit: usize, enough: usize) {
        if self.bytes.load(Ordering::Relaxed) <= limit {
            return;
        }
        let all = self.all();
        let begins = |kept: &Arc<Mutex<KeptHistory>>| Some(kept.try_lock()?.history.begins_at()?.millis());
        let mut oldest: BinaryHeap<_> =
            all.iter().enumerate().filter_map(|(at, (_, kept))| Some(Reverse((begins(kept)?, at)))).collect();
        while self.bytes.load(Ordering::Relaxed) > enough
            && let Some(Reverse((_, at))) = oldest.pop()
        {
            let Some(mut kept) = all[at].1.try_lock().filter(|kept| !kept.is_gone) else { continue };
            let before = kept.history.bytes();
            kept.history.forget_oldest(FORGOTTEN_AT_ONCE);
            self.count(before, kept.history.bytes());
            if let Some(begins) = kept.history.begins_at() {
                oldest.push(Reverse((begins.millis(), at)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hls::texts;

    const NOW: WallTime = WallTime::from_millis(1_767_225_600_000);
    const LATER: WallTime = WallTime::from_millis(1_767_229_200_000);

    fn key(name: &str) -> Key {
        Key::parse(name).unwrap()
    }

    fn alone() -> Vec<Key> {
        Vec::new()
    }

    fn media(numbers: std::ops::Range<u64>) -> Media {
        texts::media(&texts::listing(&texts::head(numbers.start), "", numbers))
    }

    fn histories() -> Histories {
        Histories::new(Namespace::parse("live").unwrap())
    }

    fn numbers(histories: &Histories, name: &str) -> Vec<u64> {
        let stretch = histories.stretch(&key(name), None, None);
        stretch.map_or_else(Vec::new, |stretch| stretch.listed.iter().map(|listed| listed.sequence).collect())
    }

    #[derive(Debug, Default)]
    struct Notes(Mutex<Vec<(String, Vec<u64>)>>);

    impl HistoryLog for Notes {
        fn listed(&self, _: &Namespace, playlist: &Key, segments: &[Arc<Listed>]) {
            self.0.lock().push((playlist.to_string(), segments.iter().map(|listed| listed.number).collect()));
        }

        fn removed(&self, _: &Namespace, playlist: &Key) {
            self.0.lock().push((playlist.to_string(), Vec::new()));
        }

        fn opened(&self, _: &Namespace) -> bool {
            false
        }
    }

    #[tokio::test]
    async fn what_is_listed_while_histories_are_read_is_written_once_and_in_its_place() {
        let (histories, notes) = (histories(), Arc::new(Notes::default()));
        let before = {
            let mut history = History::default();
            history.follow(&media(10..16), Step::Unknown, NOW, |_| LATER.into()).iter().map(|one| Listed::clone(one)).collect()
        };
        histories.keep_in(&(Arc::clone(&notes) as Arc<dyn HistoryLog>), true);
        let mut waits = std::pin::pin!(histories.wait_for_restored());
        let cx = &mut std::task::Context::from_waker(std::task::Waker::noop());
        assert!(waits.as_mut().poll(cx).is_pending(), "windows wait");
        let follow = |name: &str, numbers: std::ops::Range<u64>| {
            histories.follow(&key(name), &media(numbers), Step::Unknown, NOW, |_| LATER.into(), alone);
        };
        follow("known.m3u8", 13..18);
        follow("new.m3u8", 5..8);
        assert!(notes.0.lock().is_empty(), "nobody knows yet what was written before");
        histories.restore(&key("known.m3u8"), before, NOW);
        follow("known.m3u8", 14..19);
        histories.restored();
        waits.await;
        follow("new.m3u8", 6..9);
        let expected =
            [("known.m3u8", vec![16, 17]), ("known.m3u8", vec![18]), ("new.m3u8", vec![5, 6, 7]), ("new.m3u8", vec![8])];
        assert_eq!(*notes.0.lock(), expected.map(|(name, numbers)| (name.to_owned(), numbers)));
        assert_eq!(numbers(&histories, "known.m3u8"), (10..19).collect::<Vec<_>>());
        histories.remove(&key("new.m3u8"));
        assert_eq!(notes.0.lock().last(), Some(&("new.m3u8".to_owned(), Vec::new())));
    }

    #[test]
    fn over_the_limit_the_oldest_of_all_are_forgotten() {
        let histories = histories();
        for (at, name) in ["a.m3u8", "b.m3u8", "c.m3u8"].iter().enumerate() {
            let now = WallTime::from_millis(NOW.millis() + 10_000_000 * at as u64);
            histories.follow(&key(name), &media(0..1000), Step::Unknown, now, |_| LATER.into(), alone);
        }
        let bytes = histories.bytes.load(Ordering::Relaxed);
        histories.stay_within(bytes, 0);
        assert_eq!(histories.bytes.load(Ordering::Relaxed), bytes, "at the limit all is kept");
        histories.stay_within(bytes - 1, bytes / 2);
        let left = ["a.m3u8", "b.m3u8", "c.m3u8"].map(|name| numbers(&histories, name).len());
        assert_eq!((left[0], left[2]), (0, 1000));
        assert!((1..1000).contains(&left[1]), "{left:?}");
        histories.forget_expired(LATER);
        assert_eq!((histories.bytes.load(Ordering::Relaxed), histories.table.lock().by_playlist.len()), (0, 0));
    }

    #[test]
    fn when_there_are_too_many_the_one_written_longest_ago_makes_room() {
        let histories = histories();
        for number in 0..=HISTORIES {
            let name = key(&format!("{number}.m3u8"));
            histories.follow(&name, &media(0..1), Step::Unknown, NOW, |_| LATER.into(), alone);
            let newest = number as u64;
            let window = media(newest.saturating_sub(8)..newest + 1);
            histories.follow(&key("real.m3u8"), &window, Step::On, NOW, |_| LATER.into(), alone);
        }
        assert_eq!(histories.table.lock().by_playlist.len(), HISTORIES);
        assert!(numbers(&histories, "0.m3u8").is_empty() && !numbers(&histories, "real.m3u8").is_empty());
    }
}
