//! Follows a playlist or MPD from version to version: what is new in it, what is expected next, what it needs.
//!
//! All of it is done under the namespace's lock, with what was made of the version before: each step is bounded.

use std::sync::Arc;

use http::HeaderValue;

use super::Noted;
use super::arrivals::Arrivals;
use super::dash::{Dash, SegmentNews, Series, Sketch};
use super::event::EventSubject;
use super::left_out::NumberRun;
use super::numbered::NumberedTemplate;
use super::outline::{AnnouncedName, Outline};
use super::rendition::{FollowedRendition, News};
use super::state::{Expected, ExpectedAs, LiveState, Playlists};
use crate::hls::fault;
use crate::hls::history::Step;
use crate::model::clock::{Moment, Now, Pulse};
use crate::model::event::EventKind;
use crate::model::id::{Key, Namespace};
use crate::model::kind::Kind;
use crate::model::liveness::Liveness;

/// Names that are waited for in one namespace.
const EXPECTED: usize = 4096;
/// Of a playlist seen for the first time, this many of its last segments are expected: what is older may never have been here.
pub(super) const EXPECTED_AT_FIRST: usize = 3;

impl LiveState {
    /// Says, too, how this version stands to the one before it.
    pub(super) fn media(
        &mut self,
        (namespace, key): (&Namespace, &Key),
        version: Outline,
        now: Now,
        expires: Moment,
        arrivals: &mut Arrivals,
        stored: impl Fn(&Key) -> Option<HeaderValue>,
    ) -> (Noted, Step) {
        let first = !self.renditions.contains_key(key);
        if first {
            self.folders.add(key);
            self.let_go_others(key, Playlists::Media);
        }
        self.places.written(key, !version.ended, version.bytes());
        let rendition = self.renditions.entry(key.clone()).or_insert_with(|| FollowedRendition::new(now, expires));
        let News { mut segments, events, step, .. } = rendition.follow(&version, now, first, &stored, arrivals);
        (rendition.written, rendition.expires) = (now.moment, expires);
        let is_unlisted = || version.tail.last().is_some_and(|newest| arrivals.is_unlisted(&newest.key));
        let step = if first && is_unlisted() { Step::UnknownAndNew } else { step };
        let stream = self.streams.of(key).cloned().unwrap_or_else(|| key.clone());
        let subject = EventSubject { namespace, stream: &stream, playlist: key };
        let (wrong, words) = (fault::kinds(&version.faults), fault::words(&version.faults));
        if let Some(words) = &words
            && wrong.iter().any(|kind| !rendition.wrong.contains(kind))
        {
            self.events.tell(now, &subject, EventKind::BrokenPlaylist, words.clone());
        }
        (rendition.wrong, rendition.fault) = (wrong, words);
        if first {
            let detail = format!("a media playlist of {:.3} s segments", rendition.target.as_secs_f64());
            self.events.announce(now, &subject, EventKind::Started, detail);
        }
        for (kind, detail) in events {
            self.events.tell(now, &subject, kind, detail);
        }
        let expected_from = if first { segments.len().saturating_sub(EXPECTED_AT_FIRST) } else { 0 };
        // What was announced and is not any more is not waited for.
        let before = std::mem::replace(&mut rendition.announced, version.announced);
        for name in &before {
            if self.expected.get(&name.key).is_some_and(|expected| !expected.is_missed() && expected.playlist == *key) {
                self.expected.remove(&name.key);
            }
        }
        let mut expect = |name: &Key, of: ExpectedAs| {
            let known = self.expected.get(name).map(|known| known.of);
            let has_room = known.is_some() || self.expected.len() < EXPECTED;
            if has_room && known.is_none_or(|known| known < of) {
                self.expected.insert(name.clone(), Expected::new(key.clone(), now.moment, rendition.target, of));
            }
        };
        if first {
            rendition.known_from = segments.first().map_or(0, |oldest| oldest.sequence);
        }
        for (index, listed) in segments.iter_mut().enumerate() {
            listed.arrived = arrivals.listed(&listed.key, key);
            let is_absent = listed.arrived.is_none() && stored(&listed.key).is_none();
            if is_absent && index < expected_from {
                rendition.known_from = listed.sequence.saturating_add(1);
            } else if is_absent && !version.has_end {
                expect(&listed.key, ExpectedAs::Segment);
            }
        }
        // What a first version lists, or an old one, may be gone by now; and so may what was listed before.
        let may_be_new = !first && step != Step::Back && !version.has_end;
        let is_new = |part: &AnnouncedName| !before.iter().any(|known| known.is_part && known.key == part.key);
        for name in rendition.announced.iter().filter(|name| stored(&name.key).is_none()) {
            let is_missed = may_be_new && name.is_part && arrivals.get(&name.key).is_none() && is_new(name);
            expect(&name.key, if is_missed { ExpectedAs::Part } else { ExpectedAs::Announced });
        }
        rendition.remember(segments);
        let period = (!rendition.ended).then_some(rendition.target);
        let last = rendition.next.checked_sub(1).filter(|_| version.lists_segments);
        let liveness = Liveness::new(Arc::clone(&rendition.pulse), period, last, rendition.updated);
        let mut needs = rendition.needs.clone();
        needs.extend(self.streams.parents(key).iter().cloned());
        self.make_room(key);
        (Noted { liveness: Arc::new(liveness), needs }, step)
    }

    pub(super) fn mpd(&mut self, (namespace, key): (&Namespace, &Key), version: Sketch, now: Now, expires: Moment) -> Noted {
        let first = !self.manifests.contains_key(key);
        self.places.written(key, version.dynamic, version.bytes());
        let dash = self.manifests.entry(key.clone()).or_insert_with(|| Dash::new(now, expires));
        dash.expires = expires;
        let are_the_same = dash.series.len() == version.named.len()
            && dash.series.iter().zip(&version.named).all(|(one, other)| one.numbered == other.numbered);
        if are_the_same {
            for (known, named) in dash.series.iter_mut().zip(&version.named) {
                (known.segment, known.periods) = (named.segment, named.periods);
                known.run.follow(&named.numbers);
            }
        } else {
            self.templates.remove(key, dash.series.iter().map(|series| &series.numbered));
            let series = version.named.iter().map(|NumberedTemplate { numbered, segment, periods, numbers }| {
                let is_seen = self.templates.add(key, numbered);
                let known = dash.series.iter().find(|known| known.numbered == *numbered);
                let (last, has_come) = known.map_or((now.moment, false), |known| (known.last, known.has_come));
                let mut run = known.map_or_else(|| NumberRun::new(numbers.clone()), |known| known.run.clone());
                run.follow(numbers);
                Series { numbered: Arc::clone(numbered), segment: *segment, periods: *periods, is_seen, last, has_come, run }
            });
            dash.series = series.collect();
            dash.are_seen = dash.series.iter().any(|series| series.is_seen);
        }
        if let Some(fault) = version.fault.as_ref().filter(|fault| dash.fault.as_ref() != Some(fault)) {
            let subject = EventSubject { namespace, stream: key, playlist: key };
            self.events.tell(now, &subject, EventKind::BrokenPlaylist, fault.clone());
        }
        dash.follow(&version, now);
        if first {
            let detail = format!("an MPD of type {}", if dash.dynamic { "dynamic" } else { "static" });
            self.events.announce(now, &EventSubject { namespace, stream: key, playlist: key }, EventKind::Started, detail);
        }
        let liveness = Liveness::new(Arc::clone(&dash.pulse), dash.due(), None, dash.updated).until(dash.ends_at(now));
        self.make_room(key);
        Noted { liveness: Arc::new(liveness), needs: version.needs }
    }

    /// A segment of MPDs has come. Hands over what is to live as long as it does: they, and what they need.
    pub(super) fn came(&mut self, key: &Key, now: Now, expires: Moment, arrivals: &Arrivals) -> Vec<Key> {
        let mut needs = Vec::new();
        let (naming, is_clear) = self.templates.all_naming(key);
        for (manifest, by) in naming {
            let Some(dash) = self.manifests.get_mut(manifest) else { continue };
            let SegmentNews { renews, left_out: (left_out, length) } = dash.came(key, (by, is_clear), now);
            if renews {
                dash.expires = dash.expires.max(expires);
                needs.push(manifest.clone());
                needs.extend(dash.needs.iter().cloned());
            }
            for name in left_out.filter_map(|number| by.key(number)).filter(|name| arrivals.get(name).is_none()) {
                if self.expected.len() < EXPECTED && !self.expected.contains_key(&name) {
                    self.expected.insert(name, Expected::new(manifest.clone(), now.moment, length, ExpectedAs::Numbered));
                }
            }
        }
        needs
    }

    /// A playlist or MPD that can't be read: it is stored as it came, what was known of the one before it stands and is kept alive, and that
    /// it is written anew is a sign of life.
    pub(super) fn broken(
        &mut self,
        (namespace, key): (&Namespace, &Key),
        fault: &str,
        now: Now,
        (etag, expires): (&HeaderValue, Moment),
    ) -> Noted {
        if self.places.has(key) {
            self.places.written_again(key);
        } else {
            self.places.written(key, true, 0);
        }
        let is_mpd = self.manifests.contains_key(key) || Kind::of(key, b"") == Kind::Manifest;
        let (told, liveness, mut needs) = if is_mpd {
            let dash = self.manifests.entry(key.clone()).or_insert_with(|| Dash::new(now, expires));
            dash.expires = dash.expires.max(expires);
            dash.unread(etag, now);
            let liveness = Liveness::new(Arc::clone(&dash.pulse), dash.due(), None, dash.updated).until(dash.ends_at(now));
            (dash.fault.replace(fault.to_owned()), liveness, dash.needs.clone())
        } else if self.streams.contains(key) && !self.renditions.contains_key(key) {
            self.streams.lives_until(key, expires);
            let liveness = Liveness::new(Arc::new(Pulse::new(now.moment)), None, None, now.wall);
            (self.streams.unread(key, fault), liveness, Vec::new())
        } else {
            if !self.renditions.contains_key(key) {
                self.folders.add(key);
            }
            let rendition = self.renditions.entry(key.clone()).or_insert_with(|| FollowedRendition::new(now, expires));
            (rendition.written, rendition.expires) = (now.moment, expires);
            rendition.unread(etag, now);
            let period = (!rendition.ended).then_some(rendition.target);
            let liveness = Liveness::new(Arc::clone(&rendition.pulse), period, None, rendition.updated);
            (rendition.fault.replace(fault.to_owned()), liveness, rendition.needs.clone())
        };
        if told.as_deref() != Some(fault) {
            let subject = EventSubject { namespace, stream: self.streams.of(key).unwrap_or(key), playlist: key };
            self.events.tell(now, &subject, EventKind::BrokenPlaylist, fault.to_owned());
        }
        needs.extend(self.streams.parents(key).iter().cloned());
        self.make_room(key);
        Noted { liveness: Arc::new(liveness), needs }
    }

    /// A segment's name came again with other bytes: caches and players may hold the old ones.
    pub(super) fn reused(&mut self, namespace: &Namespace, key: &Key, listed_by: Option<Key>, now: Now) {
        let lists = |rendition: &FollowedRendition| {
            rendition.recent.iter().any(|listed| listed.key == *key) || rendition.needs.contains(key)
        };
        let beside = || self.folders.beside(key).filter_map(|playlist| Some((playlist, self.renditions.get(playlist)?)));
        let playlist = listed_by.filter(|playlist| self.renditions.contains_key(playlist));
        let playlist =
            playlist.or_else(|| beside().find(|(_, rendition)| lists(rendition)).map(|(playlist, _)| playlist.clone()));
        // One that no playlist lists now may be of one that did: its segments are named alike. An initialisation segment that is written
        // again before its own playlist names it is no trouble to anybody, least of all to the playlist of the sound beside it.
        let extension = key.extension();
        let is_alike = |rendition: &FollowedRendition| rendition.recent.iter().any(|listed| listed.key.extension() == extension);
        let playlist =
            playlist.or_else(|| beside().find(|(_, rendition)| is_alike(rendition)).map(|(playlist, _)| playlist.clone()));
        let Some(playlist) = playlist else { return self.reused_of_mpd(namespace, key, now) };
        let Some(rendition) = self.renditions.get_mut(&playlist) else { return };
        if rendition.recent.iter().any(|listed| listed.key == *key && listed.ranged) {
            // One file that grows, listed by byte ranges.
            return;
        }
        rendition.counts.names_reused += 1;
        let stream = self.streams.of(&playlist).cloned().unwrap_or_else(|| playlist.clone());
        self.events.tell(
            now,
            &EventSubject { namespace, stream: &stream, playlist: &playlist },
            EventKind::NameReused,
            reused_words(key),
        );
    }

    /// The same of a segment that no playlist lists and an MPD names.
    fn reused_of_mpd(&mut self, namespace: &Namespace, key: &Key, now: Now) {
        let Some((manifest, _)) = self.templates.naming(key).next() else { return };
        let Some(dash) = self.manifests.get_mut(manifest).filter(|dash| dash.dynamic && !dash.needs.contains(key)) else {
            return;
        };
        dash.names_reused += 1;
        let subject = EventSubject { namespace, stream: manifest, playlist: manifest };
        self.events.tell(now, &subject, EventKind::NameReused, reused_words(key));
    }
}

fn reused_words(key: &Key) -> String {
    format!(
        "{key} was written again with other bytes; caches may serve the old ones: let the encoder put its start time into segment names"
    )
}
