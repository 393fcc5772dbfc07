//! Follows a playlist or MPD from version to version: what is new in it, what is expected next, what it needs.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use super::event::{Now, Place};
use super::numbered::Numbered;
use super::rendition::{News, Rendition};
use super::{Dash, EXPECTED, EXPECTED_AT_FIRST, Expected, Noted, State, is_beside};
use crate::hls::history::Step;
use crate::hls::mpd::Manifest;
use crate::hls::playlist::{Media, Segment};
use crate::hls::uri;
use crate::model::clock::{Moment, Pulse};
use crate::model::event::EventKind;
use crate::model::id::{Key, Namespace, ObjectId};
use crate::model::liveness::{Liveness, Standing};

impl State {
    pub(super) fn media(
        &mut self,
        namespace: &Namespace,
        object: &ObjectId,
        media: &Media,
        now: Now,
        expires: Moment,
        stored: impl Fn(&Key) -> Option<HeaderValue>,
    ) -> Noted {
        let key = &object.key;
        let first = !self.renditions.contains_key(key);
        let rendition = self.renditions.entry(key.clone()).or_insert_with(|| Rendition::new(now, expires));
        let News { mut segments, parts, events, .. } = rendition.follow(object, media, now, first, &stored);
        (rendition.written, rendition.expires) = (now.moment, expires);
        let step = match events.first() {
            Some((EventKind::CounterRestart, _)) => Step::Anew,
            Some((EventKind::SequenceBack, _)) => Step::Back,
            _ if first => Step::Unknown,
            _ => Step::On,
        };
        let until = |segment: &Segment| {
            let arrived = uri::resolve(object, &segment.uri).and_then(|found| self.arrivals.get(&found.key));
            let left = arrived.map_or(expires, |arrival| arrival.expires.max(expires)).since(now.moment);
            now.wall + left
        };
        self.histories.follow(namespace, key, media, step, now.wall, until);
        let stream = self.streams.of(key).cloned().unwrap_or_else(|| key.clone());
        let place = Place { namespace, stream: &stream, playlist: key };
        let fault = media.faults.first().map(ToString::to_string);
        if let Some(fault) = &fault
            && rendition.fault.is_none()
        {
            self.events.tell(now, &place, EventKind::BrokenPlaylist, fault.clone());
        }
        rendition.fault = fault;
        if first {
            let detail = format!("a media playlist of {:.3} s segments", rendition.target.as_secs_f64());
            self.events.announce(now, &place, EventKind::Started, detail);
        }
        for (kind, detail) in events {
            self.events.tell(now, &place, kind, detail);
        }
        let expected_from = if first { segments.len().saturating_sub(EXPECTED_AT_FIRST) } else { 0 };
        // What was announced and is not any more is not waited for.
        self.expected.retain(|_, expected| expected.listed || expected.playlist != *key);
        let mut expect = |name: &Key, listed: bool| {
            if self.expected.len() < EXPECTED && !self.expected.contains_key(name) {
                let expected =
                    Expected { playlist: key.clone(), since: now.moment, target: rendition.target, listed, told: false };
                self.expected.insert(name.clone(), expected);
            }
        };
        for (index, listed) in segments.iter_mut().enumerate() {
            listed.arrived = self.arrivals.get(&listed.key).cloned();
            if listed.arrived.is_none() && stored(&listed.key).is_none() && index >= expected_from && !media.ended {
                expect(&listed.key, true);
            }
        }
        for part in parts.iter().filter(|part| stored(part).is_none()) {
            expect(part, false);
        }
        rendition.remember(segments);
        let period = (!rendition.ended).then_some(rendition.target);
        let last = rendition.next.checked_sub(1).filter(|_| !media.segments.is_empty());
        let liveness = Liveness::new(Arc::clone(&rendition.pulse), period, last, rendition.updated);
        let mut needs = rendition.needs.clone();
        needs.extend(self.streams.parents(key).iter().cloned());
        Noted { liveness: Arc::new(liveness), needs }
    }

    pub(super) fn mpd(
        &mut self,
        namespace: &Namespace,
        object: &ObjectId,
        manifest: &Manifest,
        now: Now,
        expires: Moment,
    ) -> Noted {
        let key = &object.key;
        let here = |uri: &String| uri::resolve(object, uri).filter(|found| found.namespace == object.namespace);
        let needs: Vec<Key> = manifest.initializations.iter().filter_map(here).map(|found| found.key).collect();
        let usual = Duration::from_secs(2);
        let period = manifest.max_segment_duration.or(manifest.minimum_update_period).filter(|period| *period >= usual / 4);
        let first = !self.manifests.contains_key(key);
        let dash = self.manifests.entry(key.clone()).or_insert_with(|| Dash {
            pulse: Arc::new(Pulse::new(now.moment)),
            period: usual,
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
        });
        (dash.period, dash.dynamic) = (period.unwrap_or(usual), manifest.dynamic);
        (dash.written, dash.expires) = (now.moment, expires);
        dash.needs.clone_from(&needs);
        let templates = manifest.representations.iter().filter_map(|one| one.media.as_deref());
        dash.numbered = templates.filter_map(|template| Numbered::new(object, template)).collect();
        if first {
            let detail = format!("an MPD of type {}", if manifest.dynamic { "dynamic" } else { "static" });
            self.events.announce(now, &Place { namespace, stream: key, playlist: key }, EventKind::Started, detail);
        }
        let period = dash.dynamic.then_some(dash.period);
        Noted { liveness: Arc::new(Liveness::new(Arc::clone(&dash.pulse), period, None, dash.updated)), needs }
    }

    /// A playlist that can't be read: it is stored as it came, and what was known of the one before it stands.
    pub(super) fn broken(&mut self, namespace: &Namespace, object: &ObjectId, fault: &str, now: Now, expires: Moment) -> Noted {
        let key = &object.key;
        let rendition = self.renditions.entry(key.clone()).or_insert_with(|| Rendition::new(now, expires));
        (rendition.written, rendition.expires) = (now.moment, expires);
        if rendition.fault.as_deref() != Some(fault) {
            let place = Place { namespace, stream: self.streams.of(key).unwrap_or(key), playlist: key };
            self.events.tell(now, &place, EventKind::BrokenPlaylist, fault.to_owned());
        }
        rendition.fault = Some(fault.to_owned());
        let liveness = Liveness::new(Arc::clone(&rendition.pulse), Some(rendition.target), None, rendition.updated);
        Noted { liveness: Arc::new(liveness), needs: rendition.needs.clone() }
    }

    /// A segment's name came again with other bytes: caches and players may hold the old ones.
    pub(super) fn reused(&mut self, namespace: &Namespace, key: &Key, now: Now) {
        let lists = |rendition: &Rendition| rendition.recent.iter().any(|listed| listed.key == *key);
        let playlist = self.renditions.iter().find(|(_, rendition)| lists(rendition)).map(|(playlist, _)| playlist.clone());
        let playlist = playlist.or_else(|| self.renditions.keys().find(|playlist| is_beside(key, playlist)).cloned());
        let Some(playlist) = playlist else { return };
        let Some(rendition) = self.renditions.get_mut(&playlist) else { return };
        if rendition.recent.iter().any(|listed| listed.key == *key && listed.ranged) {
            // One file that grows, listed by byte ranges.
            return;
        }
        rendition.counts.names_reused += 1;
        let detail = format!(
            "{key} was written again with other bytes; caches may serve the old ones: let the encoder put its start time into \
             segment names"
        );
        let stream = self.streams.of(&playlist).cloned().unwrap_or_else(|| playlist.clone());
        self.events.tell(now, &Place { namespace, stream: &stream, playlist: &playlist }, EventKind::NameReused, detail);
    }
}
