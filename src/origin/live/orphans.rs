//! Media playlists that no multivariant one names, though one is missing: some encoders upload that once, at their start.
//!
//! It is missed where it is asked for, and where what lies side by side are renditions of one stream of which nobody has read anything. Side by
//! side lie cameras as well, each a stream of its own: renditions of one are those that list the same segments, by number, length and date, to
//! the millisecond. And what is read has a reader who knows its name, from a multivariant playlist that is somewhere else. What viewers have
//! under another name has no readers of its own, and the same source twice is two that are alike.

use std::collections::HashMap;
use std::time::Duration;

use super::rendition::FollowedRendition;
use super::state::LiveState;
use super::{Live, lines};
use crate::model::clock::Moment;
use crate::model::id::Key;
use crate::model::liveness::Standing;

/// A playlist that is not here has been asked for so often before it is missed: a player asks again at once.
const ASKED: u32 = 3;
/// Playlists that are asked for and not here; of more nothing is known.
const ASKED_NAMES: usize = 64;
/// Nobody has asked for so long: it is not missed any more.
const FORGOTTEN: Duration = Duration::from_secs(600);
/// For so long at least renditions have to go on, or to be alike, and for three target durations: an encoder may name them in a multivariant
/// playlist later.
const GRACE: Duration = Duration::from_secs(10);
/// With so many that come behind it by name each is compared: renditions have names that are much the same.
const NEIGHBOURS: usize = 8;
/// How many are looked at between two times at which others may have the lock.
const AT_ONCE: usize = 64;
/// By so many milliseconds dates may be apart that were counted from others.
const SAME_DATE_MS: u64 = 3;

/// Who reads what is stored under a name, as far as that is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::origin) enum Readership {
    /// Nobody has.
    None,
    /// Somebody has, or may have where it is not known.
    Some,
    /// Nobody is to: viewers have it under another name.
    Elsewhere,
}

impl LiveState {
    /// Notes that somebody has asked for a playlist that is not here.
    pub(super) fn asked_for(&mut self, key: &Key, now: Moment) {
        if !key.as_str().ends_with(".m3u8") || self.follows(key) {
            return;
        }
        if let Some((count, last)) = self.asked.get_mut(key) {
            (*count, *last) = (count.saturating_add(1), now);
        } else if self.asked.len() < ASKED_NAMES {
            self.asked.insert(key.clone(), (1, now));
        }
    }

    /// Those of playlists that were asked for often and are not here, by their names, and what to say of each.
    fn asked_in_vain(&mut self, now: Moment, here: impl Fn(&Key) -> bool) -> HashMap<Key, String> {
        self.asked.retain(|key, (_, last)| now.since(*last) < FORGOTTEN && !here(key));
        let missed = self.asked.iter().filter(|(_, (count, _))| *count >= ASKED).map(|(key, _)| key);
        let of = |missed: &Key| {
            let stem = missed.as_str().trim_end_matches(".m3u8").to_owned();
            let is_kin =
                move |name: &Key| name.as_str().strip_prefix(&*stem).is_some_and(|rest| rest.starts_with(['_', '-', '.', '/']));
            let beside = self.folders.beside(missed).filter(move |name| is_kin(name));
            beside
                .filter(|name| self.streams.of(name).is_none())
                // Who waits for a show asks before it begins, and who comes late behind its end.
                .filter(|name| {
                    let goes_on = |known: &FollowedRendition| matches!(known.standing, Standing::Live | Standing::Late);
                    self.renditions.get(*name).is_some_and(|known| goes_on(known) && now.since(known.begun) >= grace(known))
                })
                .map(|name| (name.clone(), asked_words(missed)))
                .collect::<Vec<_>>()
        };
        missed.flat_map(of).collect()
    }

    /// Whether it goes on, and no multivariant playlist names it.
    fn is_lone(&self, key: &Key) -> bool {
        let goes_on = |rendition: &FollowedRendition| rendition.standing == Standing::Live && !rendition.is_unread;
        self.renditions.get(key).is_some_and(goes_on) && self.streams.of(key).is_none()
    }

    /// Holds the playlist at this place against those behind it, and notes which of them are renditions of one stream.
    fn compare(&mut self, lone: &[Key], at: usize, readership: impl Fn(&Key) -> Readership, pairs: &mut HashMap<Key, Key>) {
        let is_read = |key: &Key| readership(key) == Readership::Some;
        let key = &lone[at];
        for other in lone[at + 1..].iter().take(NEIGHBOURS).filter(|other| are_siblings(key, other)) {
            let (Some(one), Some(beside)) = (self.renditions.get(key), self.renditions.get(other)) else { continue };
            if !are_alike(one, beside) {
                continue;
            }
            // Who reads one has the others from where he has that.
            if one.is_read || beside.is_read || is_read(key) || is_read(other) {
                for key in [key, other] {
                    self.renditions.entry(key.clone()).and_modify(|rendition| rendition.is_read = true);
                }
            }
            pairs.entry(key.clone()).or_insert_with(|| other.clone());
            pairs.entry(other.clone()).or_insert_with(|| key.clone());
        }
    }

    /// What to say of a rendition that goes with this other one, if that lasts for as long as it has to. `now`: they do.
    fn orphaned(&mut self, key: &Key, other: Option<&Key>, now: Moment) -> Option<String> {
        let rendition = self.renditions.get_mut(key)?;
        rendition.alike_since = other.map(|_| rendition.alike_since.unwrap_or(now));
        let (other, since) = (other?, rendition.alike_since?);
        if now.since(since) < grace(rendition) {
            return None;
        }
        let enough = if rendition.edge.is_some() { 1 } else { ASKED };
        let is_theirs = |asked: &Key| {
            let asked = folder(asked.as_str());
            asked == folder(key.as_str()) || Some(asked) == above(folder(key.as_str()))
        };
        let missed =
            self.asked.iter().filter(|(asked, (count, _))| *count >= enough && is_theirs(asked)).map(|(key, _)| key).min();
        match missed {
            Some(missed) => Some(asked_words(missed)),
            None => (rendition.edge.is_some() && !rendition.is_read).then(|| unasked_words(other)),
        }
    }
}

impl Live {
    /// Of all these, in the order of their names: the media playlists that miss the multivariant one which should name them, and what to say
    /// of each. The lock is taken for a few at a time: what is done under it at once does not grow with how many there are.
    pub(super) fn orphans(
        &self,
        now: Moment,
        renditions: &[Key],
        here: impl Fn(&Key) -> bool,
        readership: impl Fn(&Key) -> Readership,
    ) -> HashMap<Key, String> {
        let mut orphans = self.state.lock().asked_in_vain(now, here);
        let mut lone: Vec<Key> = Vec::new();
        for some in renditions.chunks(AT_ONCE) {
            let state = self.state.lock();
            let is_lone = |key: &&Key| state.is_lone(key) && readership(key) != Readership::Elsewhere;
            lone.extend(some.iter().filter(is_lone).cloned());
        }
        let mut pairs = HashMap::new();
        for first in (0..lone.len()).step_by(AT_ONCE) {
            let mut state = self.state.lock();
            (first..lone.len().min(first + AT_ONCE)).for_each(|at| state.compare(&lone, at, &readership, &mut pairs));
        }
        for some in renditions.chunks(AT_ONCE) {
            let mut state = self.state.lock();
            for key in some {
                if let Some(words) = state.orphaned(key, pairs.get(key), now) {
                    orphans.entry(key.clone()).or_insert(words);
                }
            }
        }
        orphans
    }
}

/// How much later than a rendition the multivariant playlist may come that names it.
fn grace(rendition: &FollowedRendition) -> Duration {
    GRACE.max(rendition.target * 3)
}

/// Whether they lie in one folder, or are called alike in folders that do.
fn are_siblings(one: &Key, other: &Key) -> bool {
    let (one, other) = (one.as_str(), other.as_str());
    let (of_one, of_other) = (folder(one), folder(other));
    of_one == of_other
        || one[of_one.len()..] == other[of_other.len()..] && above(of_one).is_some() && above(of_one) == above(of_other)
}

/// Whether they list the same segments, by what they say of them.
fn are_alike(one: &FollowedRendition, other: &FollowedRendition) -> bool {
    // Where the last one that both list ends.
    let next = one.next.min(other.next);
    let date = |rendition: &FollowedRendition| {
        let behind = u64::try_from(lines::duration_since(&rendition.lines, next).as_millis()).unwrap_or(u64::MAX);
        rendition.edge.map(|edge| edge.millis().saturating_sub(behind))
    };
    let are_of_one_date = match (date(one), date(other)) {
        (Some(one), Some(other)) => one.abs_diff(other) <= SAME_DATE_MS,
        (None, None) => true,
        _ => false,
    };
    are_of_one_date && lines::are_the_same_lengths(&one.lines, &other.lines)
}

/// The folder that a name lies in, with the slash at its end.
fn folder(name: &str) -> &str {
    name.rfind('/').map_or("", |slash| &name[..=slash])
}

/// The folder around a folder.
fn above(inner: &str) -> Option<&str> {
    inner.strip_suffix('/').map(folder)
}

fn asked_words(missed: &Key) -> String {
    format!(
        "{missed} is asked for and is not here, and this media playlist is named by no multivariant one: some encoders upload that once, at their \
         start; look at refused uploads, and start the encoder again"
    )
}

fn unasked_words(other: &Key) -> String {
    format!(
        "this and {other} are renditions of one stream, by their segments and dates, and no multivariant playlist names them: players have nothing \
         to begin with. Some encoders upload it once, at their start; look at refused uploads, and start the encoder again. Where it comes from \
         another server, this ends with the first reader"
    )
}
