//! A version of an encoder's -> the public playlist: in its place, or beside it, where public streams are made of sources.
//!
//! The state is the public playlist itself, with the few numbers that are kept with it. Here is known beside it only the newest version,
//! for what it lists may come later, or be waited for.
//!
//! Invariant: what a public playlist lists can be read under the name it has there ([`super::named`]), for as long as it is listed and as
//! long again, whatever becomes of the encoder's own name. Where nothing is normalised a request does nothing for it but to see that.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use super::OriginError;
use super::apply::{Decided, Put};
use super::beside::{PublishedBeside, TakenUp};
use super::decide::{Candidate, are_met};
use super::legible;
use super::listed::{HeardVersion, LATER, ONCE_MORE, listed_step};
use super::live::Understood;
use super::mending::StepNews;
use super::namespace::Hosted;
use super::prepare::Draft;
use super::uris::Origins;

use crate::hls::coding;
use crate::hls::normalise::{self, ComposeStep, Composed, FirstBreaks, LeftAlone, SourceVersion, VersionStanding, names};
use crate::hls::playlist::{Media, Playlist};
use crate::model::clock::{Now, WallTime};
use crate::model::conditions::KeptConditions;
use crate::model::id::{Key, ObjectId};
use crate::model::kind::Kind;
use crate::model::meta::Outset;
use crate::store::{Body, Entry, Want};

/// Of a long version the last so many segments are waited for.
const WAITED_FOR: usize = 64;
/// So many target durations after the first version of a playlist it is told that nothing of what it lists has come.
const PATIENCE: u32 = 3;

impl Hosted {
    /// Takes up a version of a playlist, and makes the public one of it where playlists of its name are normalised. To be called in its
    /// turn. Cancel-safe.
    ///
    /// # Errors
    /// [`OriginError::Precondition`]; [`OriginError::Busy`], when the server is about to end.
    pub(super) async fn normalised(
        self: &Arc<Self>,
        object: &ObjectId,
        draft: Draft,
        reach: Option<&str>,
        conditions: &KeptConditions,
    ) -> Result<TakenUp, OriginError> {
        let Some(public) = self.public_of(&object.key) else { return Ok(TakenUp::AsItIs(draft)) };
        let is_beside = public != object.key;
        let Some(Understood::Hls(Playlist::Media(media))) = &draft.understood else {
            // What can't be read says nothing, and takes nothing away: encoders write empty bodies when they begin and when they end.
            let is_broken = matches!(draft.understood, Some(Understood::Broken(_)));
            return match is_beside {
                true => self.copied(object, public, draft).await,
                false if is_broken && self.public_before(&public).await.is_some() => {
                    self.tell_left_alone(&object.key, LeftAlone::Unread, true);
                    Ok(TakenUp::Waits)
                }
                false => Ok(TakenUp::AsItIs(draft)),
            };
        };
        let version = match self.version_of(&object.key, (&draft.body.bytes, draft.outset.content_encoding.as_ref())) {
            Ok(version) => version,
            Err(LeftAlone::Empty) => return Ok(if is_beside { TakenUp::AsItIs(draft) } else { TakenUp::Waits }),
            Err(left_alone) => {
                let stays = self.public_before(&public).await.is_some();
                self.tell_left_alone(&object.key, left_alone, stays);
                return match (is_beside, stays) {
                    (true, true) => Ok(TakenUp::AsItIs(draft)),
                    (true, false) => self.copied(object, public, draft).await,
                    (false, true) => Ok(TakenUp::Waits),
                    (false, false) => {
                        self.work.public.forget(&object.key);
                        Ok(TakenUp::AsItIs(draft))
                    }
                };
            }
        };
        let heard = HeardVersion {
            // What is made of a source lies elsewhere than its writer may write.
            reach: reach.filter(|_| !is_beside).map(str::to_owned),
            ..self.heard(object, public, version, (media, draft.outset.clone()), self.hot.clock().both())
        };
        if is_beside {
            return Ok(TakenUp::Beside(draft, Box::new(PublishedBeside::Version(Box::new(heard)))));
        }
        let now = self.hot.clock().now();
        if let Some(shared) = self.durable_tier.shared() {
            // What it lists may have come to another node just now.
            self.fresh(&object.key, false).await?;
            let removed = self.before_removal(object);
            self.work.public.heard(&object.key, heard, now);
            self.compose_one(shared, (&object.key, &object.key), removed, Some(conditions)).await?;
            return Ok(TakenUp::Waits);
        }
        let before = self.public_before(&object.key).await;
        // What is refused is never public: it is not heard either.
        let there = self.hot.peek(&object.key).or_else(|| before.clone());
        if there.is_some_and(|there| !are_met(conditions, Some(&there.meta), None)) {
            return Err(OriginError::Precondition);
        }
        let before = before.or_else(|| self.before_removal(object));
        self.work.public.heard(&object.key, heard.clone(), now);
        let Some((draft, news)) = self.composed(object, heard, before).await? else { return Ok(TakenUp::Waits) };
        self.tell_composed(&object.key, &object.key, &news);
        Ok(TakenUp::Composed(draft))
    }

    /// A version that a source has written at this time.
    pub(super) fn heard(
        &self,
        source: &ObjectId,
        public: Key,
        version: SourceVersion,
        (media, outset): (&Media, Outset),
        now: Now,
    ) -> HeardVersion {
        // It is composed in clear.
        let outset = Outset { content_encoding: None, ..outset };
        HeardVersion {
            segments: self.keys_of(source, media, WAITED_FOR),
            public,
            version: Arc::new(version),
            heard: now.wall,
            standing: VersionStanding::New,
            expires: now.moment + outset.ttl,
            outset,
            reach: None,
            look: 0,
            is_others: false,
        }
    }

    /// A version of a source's, by its bytes and their `Content-Encoding`.
    pub(super) fn version_of(
        &self,
        playlist: &Key,
        (body, said): (&[u8], Option<&HeaderValue>),
    ) -> Result<SourceVersion, LeftAlone> {
        let clear = match coding::of(said.map(HeaderValue::as_bytes), body) {
            None => body.to_vec(),
            Some(coding) => legible::unpack(self, coding, body).map_err(|_| LeftAlone::Unread)?,
        };
        let text = String::from_utf8(clear).map_err(|_| LeftAlone::Unread)?;
        match SourceVersion::read(&text) {
            Err(LeftAlone::Vod) => {
                let before = self.work.public.version(playlist).ok_or(LeftAlone::Vod)?;
                SourceVersion::read_last(&text, &before.version)
            }
            version => version,
        }
    }

    /// The public playlist as it is now. Cancel-safe.
    pub(super) async fn public_before(&self, key: &Key) -> Option<Arc<Entry>> {
        let entry = match self.hot.peek(key) {
            Some(entry) => Some(entry),
            None => self.durable_tier.read(key, |_| Want::Whole).await.ok().flatten().map(|hit| hit.entry),
        };
        entry.filter(|entry| entry.meta.continuity.is_some())
    }

    /// What was composed in place before its encoder deleted it, as long as all that it lists can be read still.
    fn before_removal(&self, playlist: &ObjectId) -> Option<Arc<Entry>> {
        let now = self.hot.clock().now();
        let removed = self.work.public.before_removal(&playlist.key, now)?;
        let understood = legible::understood(self, &playlist.key, Kind::Playlist, (&removed.body, None));
        let Understood::Hls(Playlist::Media(media)) = &understood else { return None };
        let listed = self.keys_of(playlist, media, usize::MAX);
        listed.iter().all(|name| self.peek_named(name, now).is_some()).then_some(removed)
    }

    /// Takes a step with the newest version. `None`: there is nothing to list yet.
    pub(super) async fn composed(
        self: &Arc<Self>,
        source: &ObjectId,
        heard: HeardVersion,
        before: Option<Arc<Entry>>,
    ) -> Result<Option<(Draft, StepNews)>, OriginError> {
        self.look_below(heard.segments.iter().cloned()).await;
        let (hosted, outset, version) = (Arc::clone(self), heard.outset.clone(), Arc::clone(&heard.version));
        let origins = Origins { source: source.clone(), public: self.object(&heard.public) };
        let put_off = if heard.is_others { LATER } else { Duration::ZERO };
        let length = before.as_ref().map_or(0, |before| before.body.len()).max(heard.version.length() * 128);
        let (is_first, is_in_place) = (before.is_none(), heard.public == source.key);
        let work = move || {
            let take = || {
                let composed = hosted.step(&origins, &heard, before.as_deref())?;
                let body = Body::new(composed.text.clone().into_bytes());
                let understood = legible::understood(&hosted, &origins.public.key, Kind::Playlist, (&body.bytes, None));
                Some((composed, body, understood))
            };
            let lists = |(_, _, understood): &(Composed, Body, Understood)| match understood {
                Understood::Hls(Playlist::Media(media)) => {
                    hosted.note_listed(&origins.public, media, before.as_deref(), heard.outset.ttl)
                }
                _ => true,
            };
            listed_step(take, lists)
        };
        let Some((composed, body, understood)) = self.work.of_writers.work(length, work).await? else {
            if is_first && is_in_place {
                self.work.public.awaits(&source.key, self.hot.clock().now() + version.target() * PATIENCE);
            }
            return Ok(None);
        };
        if is_first && is_in_place {
            self.work.public.has_come(&source.key);
        }
        let Composed { continuity, mended, again, standing, .. } = composed;
        let continuity = Some(Arc::new(continuity));
        let draft = Draft { body, outset, understood: Some(understood), facts: None, continuity };
        Ok(Some((draft, StepNews { version, mended, standing, again: again.map(|again| again + put_off) })))
    }

    /// The time as of which is composed: no earlier than what is known. Where nodes share it is the engine's, as each of them reckons it.
    pub(super) fn composing_time(&self, known: impl IntoIterator<Item = WallTime>) -> WallTime {
        match self.durable_tier.shared() {
            None => self.hot.clock().wall(),
            Some(shared) => known.into_iter().fold(shared.store.wall(), WallTime::max),
        }
    }

    fn step(&self, origins: &Origins, heard: &HeardVersion, before: Option<&Entry>) -> Option<Composed> {
        let before =
            before.and_then(|before| Some((std::str::from_utf8(&before.body).ok()?, **before.meta.continuity.as_ref()?)));
        let initialization = heard.version.newest_map().and_then(|uri| self.facts_of(&origins.source, uri));
        let find = |uri: &str| self.find_named(origins, uri, initialization.as_deref());
        let kept = before.iter().flat_map(|(_, kept)| [kept.added, kept.heard]);
        let (now, standing) = (self.composing_time(kept.chain([heard.heard])), heard.standing);
        let end_hold = self.policy.pair_of(origins.public.key.as_str()).and_then(|pair| pair.end_hold);
        let breaks = before.is_none().then(|| self.breaks_of(&origins.public.key, now));
        let (version, heard) = (&*heard.version, heard.heard);
        let made =
            normalise::step(before, &ComposeStep { version, heard, standing, find: &find, now, end_hold, least: 0, breaks })?;
        if let Some(breaks) = breaks {
            self.begun_with(&origins.public.key, breaks, now);
        }
        Some(made)
    }

    /// From where a list that begins now is to count.
    pub(super) fn breaks_of(&self, public: &Key, now: WallTime) -> FirstBreaks {
        let prefix = self.policy.composed_below(public.as_str());
        let is_beside = |other: &Key| self.policy.composed_below(other.as_str()) == prefix;
        let beside = self.live.last_breaks_beside(self.hot.clock().now(), public, is_beside).map(FirstBreaks::UpTo);
        beside.unwrap_or_else(|| FirstBreaks::At(self.work.beginnings.breaks(prefix, public, now)))
    }

    /// It has begun so.
    pub(super) fn begun_with(&self, public: &Key, breaks: FirstBreaks, now: WallTime) {
        if let FirstBreaks::At(breaks) = breaks {
            self.work.beginnings.begun(self.policy.composed_below(public.as_str()), public, (breaks, now));
        }
    }

    /// Notes what a public playlist lists, and how that came: from now on that is kept. `false`: something that is new in it has made way
    /// since it was found, and can be read no more.
    pub(super) fn note_listed(&self, playlist: &ObjectId, media: &Media, before: Option<&Entry>, ttl: Duration) -> bool {
        let listed = self.keys_of(playlist, media, usize::MAX);
        let before = before.map(|before| legible::understood(self, &playlist.key, Kind::Playlist, (&before.body, None)));
        let before = match &before {
            Some(Understood::Hls(Playlist::Media(media))) => self.keys_of(playlist, media, usize::MAX),
            _ => Vec::new(),
        };
        let span: Duration = media.segments.iter().map(|segment| segment.duration).sum();
        let span = span + media.target_duration.unwrap_or_default();
        let now = self.hot.clock().now();
        let mut is_there = true;
        for name in self.work.public.lists(&listed, &before, (now + ttl, now), span) {
            let stored = self.peek_named(&name, now);
            // What is a gap, and what no encoder has stored here, has no tag.
            is_there &= names::tag(name.as_str()).is_none() || stored.is_some() || self.known_named(&name, None, now).is_some();
            if let Some(entry) = stored.filter(|entry| entry.key != name) {
                self.live.known_as(&entry.key, &name);
            }
        }
        is_there
    }

    /// A public playlist has come back from below memory: what it lists is to be kept.
    pub(super) fn adopt(&self, entry: &Entry, understood: &Understood) {
        if let (Some(continuity), Understood::Hls(Playlist::Media(media))) = (&entry.meta.continuity, understood) {
            let left = entry.meta.expires.since(self.hot.clock().now());
            self.note_listed(&self.object(&entry.key), media, None, left);
            self.adopt_pair(&entry.key, continuity);
        }
    }

    pub(super) fn look_again(self: &Arc<Self>, playlist: &Key, look: u64, after: Duration) {
        let (hosted, name) = (Arc::clone(self), playlist.clone());
        let task = tokio::spawn(async move {
            tokio::time::sleep(after).await;
            if hosted.work.public.is_due(&name, look) {
                hosted.work.looks.looks(&name);
                hosted.compose_again(&name).await;
            }
        });
        self.work.looks.put_off(playlist, task.abort_handle());
    }

    /// Looks at the newest version of a source's playlist once more, because something that it lists has come or was waited for long
    /// enough.
    pub(super) async fn compose_again(self: &Arc<Self>, source: &Key) {
        let Some(public) = self.public_of(source) else { return };
        if self.two_sided(&public).is_some() {
            return Box::pin(self.compose_pair(&public)).await;
        }
        let turn = self.public_turn(&public).await;
        if let Some(shared) = self.durable_tier.shared() {
            let is_done = turn.is_some() && Box::pin(self.compose_one(shared, (source, &public), None, None)).await.is_ok();
            if !is_done && let Some(heard) = self.work.public.version(source) {
                self.look_again(source, heard.look, ONCE_MORE);
            }
            return;
        }
        let Some(heard) = self.work.public.version(source) else { return };
        let (before, reach, look) = (self.public_before(&public).await, heard.reach.clone(), heard.look);
        let known = before.clone();
        let step = self.composed(&self.object(source), heard, before).await;
        // The next version says it again; but there may be none, as where a list is about to end.
        let Ok(step) = step else { return self.look_again(source, look, ONCE_MORE) };
        let Some((draft, news)) = step else { return };
        let is_same = known.is_some_and(|known| draft.is_as(&known));
        if !is_same && !self.publish(&public, draft, reach).await {
            return self.look_again(source, look, ONCE_MORE);
        }
        self.tell_composed(source, &public, &news);
    }

    /// Makes it the public object. `false`: there is no room for it now.
    pub(super) async fn publish(self: &Arc<Self>, public: &Key, draft: Draft, reach: Option<String>) -> bool {
        let Ok(upload) = self.hot.create(public, None, self.hot.stamp()) else { return false };
        let candidate = Candidate { upload, conditions: KeptConditions::default(), below: None };
        let what = Put { candidate, draft, took: Duration::ZERO, below: None, reach };
        Decided { key: public, now: self.hot.clock().both(), what }.apply(self).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::grant::{Grant, KeyId, Role, Scope};
    use crate::hls::texts;
    use crate::metrics::Metrics;
    use crate::model::clock::Clock;
    use crate::model::conditions::Conditions;
    use crate::model::event::EventKind;
    use crate::model::id::Namespace;
    use crate::origin::policy::{NamespacePolicy, PairPolicy};
    use crate::origin::{Origin, PutSpec, ReadSpec};

    struct ComposingOrigin {
        origin: Origin,
        clock: Clock,
        grant: Grant,
        name: Namespace,
    }

    impl ComposingOrigin {
        /// Playlists below `in/` are normalised in place, those below `one/` and `two/` are made of one source and of two.
        fn new() -> Self {
            let (clock, name) = (Clock::manual(), Namespace::parse("live").unwrap());
            let pair = |public: &str, sources: &[&str]| PairPolicy {
                public: public.to_owned(),
                sources: sources.iter().map(|source| (*source).to_owned()).collect(),
                ..PairPolicy::default()
            };
            let pairs = vec![pair("one/", &["src/"]), pair("two/", &["a/", "b/"])];
            let policy = NamespacePolicy { normalise: vec!["in/".to_owned()], pairs, ..NamespacePolicy::default() };
            let origin = Origin::new([(name.clone(), policy)], 1 << 30, clock.clone(), &Arc::new(Metrics::new()));
            let key_id = KeyId::parse("k").unwrap();
            let grant = Grant {
                key_id,
                role: Role::Readwrite,
                scope: Scope::Every,
                prefix: None,
                paths: None,
                is_edge: false,
                ends: None,
            };
            Self { origin, clock, grant, name }
        }

        fn object(&self, key: &str) -> ObjectId {
            ObjectId { namespace: self.name.clone(), key: Key::parse(key).unwrap() }
        }

        async fn put(&self, key: &str, body: &str) {
            let (stamp, object) = (self.origin.stamp(), self.object(key));
            let mut upload =
                self.origin.namespace(&self.name).put(&self.grant, &object, stamp, PutSpec::default()).await.unwrap();
            upload.write(body.to_owned().into()).unwrap();
            upload.commit().await.unwrap();
        }

        async fn get(&self, key: &str) -> String {
            let object = self.object(key);
            let read = self.origin.namespace(&self.name).read(&self.grant, &object, &ReadSpec::default()).await.unwrap();
            String::from_utf8(read.whole().unwrap().body().to_vec()).unwrap()
        }

        /// Stores the segment of this number, and the list of it and the three before it.
        async fn push(&self, folder: &str, number: u64) {
            self.clock.advance(Duration::from_secs(2));
            self.put(&format!("{folder}{number}.ts"), &format!("{folder}{number}")).await;
            self.put(&format!("{folder}p.m3u8"), &listing(number)).await;
        }
    }

    fn listing(last: u64) -> String {
        let first = last.saturating_sub(3);
        texts::listing(&texts::head(first), "", first..=last)
    }

    /// By what came of them, not by where it came out.
    #[tokio::test]
    async fn uploads_that_are_taken_up_or_refused_are_counted_as_such() {
        let world = ComposingOrigin::new();
        let begin = async |body: &str, conditions: Conditions<'_>| {
            let spec = PutSpec { conditions: conditions.into(), ..PutSpec::default() };
            let (namespace, object) = (world.origin.namespace(&world.name), world.object("in/p.m3u8"));
            let mut upload = namespace.put(&world.grant, &object, world.origin.stamp(), spec).await.unwrap();
            upload.write(body.to_owned().into()).unwrap();
            upload
        };
        let hosted = world.origin.inner.namespaces.load().get(&world.name).cloned().unwrap();
        let counted = || {
            let metrics = &hosted.metrics;
            [metrics.uploads_stored.get(), metrics.uploads_refused.get(), metrics.uploads_broken.get()]
        };
        // Nothing that it lists is here.
        let taken_up = begin(&listing(0), Conditions::default()).await.commit().await.unwrap();
        assert_eq!((taken_up.etag, taken_up.is_superseded, counted()), (None, false, [1, 0, 0]));
        let absent = Conditions { if_none_match: Some(b"*"), ..Conditions::default() };
        let refused = begin(&listing(1), absent).await;
        world.push("in/", 0).await;
        let before = counted();
        assert_eq!(refused.commit().await.unwrap_err(), OriginError::Precondition);
        assert_eq!(counted(), [before[0], 1, 0]);
        drop(begin(&listing(2), Conditions::default()).await);
        assert_eq!(counted(), [before[0], 1, 1]);
    }

    /// Of a multivariant playlist, which is written once, no next version says it again.
    #[tokio::test(start_paused = true)]
    async fn a_copy_for_which_there_was_no_room_is_made_when_there_is() {
        let world = ComposingOrigin::new();
        let hosted = world.origin.inner.namespaces.load().get(&world.name).cloned().unwrap();
        let (source, public) = (world.object("src/master.m3u8"), Key::parse("one/master.m3u8").unwrap());
        let namespace = world.origin.namespace(&world.name);
        let mut upload = namespace.put(&world.grant, &source, world.origin.stamp(), PutSpec::default()).await.unwrap();
        upload.write(texts::MASTER.into()).unwrap();
        world.origin.inner.store.set_max_in_flight(0);
        upload.commit().await.unwrap();
        tokio::time::sleep(ONCE_MORE * 3).await;
        assert!(hosted.hot.peek(&public).is_none(), "there is no room for it");
        world.origin.inner.store.set_max_in_flight(1 << 30);
        tokio::time::sleep(ONCE_MORE * 3).await;
        assert!(hosted.hot.peek(&public).is_some());
    }

    /// Players keep time lines by the number: sound and picture of one stream have to have the same (RFC 8216bis 6.2.4).
    #[tokio::test]
    async fn renditions_that_begin_together_count_their_discontinuities_from_one_number() {
        let world = ComposingOrigin::new();
        let mut numbers = std::collections::BTreeSet::new();
        for rendition in 0..6 {
            for (source, public) in [("in/v", "in/v"), ("src/a", "one/a")] {
                world.push(&format!("{source}{rendition}/"), 0).await;
                let text = world.get(&format!("{public}{rendition}/p.m3u8")).await;
                let number = text.lines().find_map(|line| line.strip_prefix("#EXT-X-DISCONTINUITY-SEQUENCE:"));
                numbers.insert((public, number.unwrap().to_owned()));
            }
        }
        assert_eq!(numbers.len(), 2, "one of each stream, though the clock has gone on by 24 s: {numbers:?}");
    }

    /// A rendition that is added later, or has been lost, goes by the others' number: by what they list, for this process may have begun since.
    #[tokio::test]
    async fn a_rendition_that_begins_later_has_the_discontinuity_numbers_of_the_others() {
        for (source, public) in [("in/", "in/"), ("src/", "one/"), ("a/", "two/")] {
            let world = ComposingOrigin::new();
            world.put(&format!("{source}master.m3u8"), &texts::MASTER.replace("/p.m3u8", "0/p.m3u8")).await;
            // It begins anew after six segments.
            for number in (0..6).chain(0..6) {
                world.push(&format!("{source}a0/"), number).await;
            }
            world.clock.advance(Duration::from_secs(120));
            for number in 6..9 {
                world.push(&format!("{source}a0/"), number).await;
                world.push(&format!("{source}b0/"), number).await;
            }
            let mut last = ["a0", "b0"].map(|_| 0);
            for (last, rendition) in last.iter_mut().zip(["a0", "b0"]) {
                let media = texts::media(&world.get(&format!("{public}{rendition}/p.m3u8")).await);
                *last =
                    media.discontinuity_sequence + media.segments.iter().filter(|segment| segment.discontinuity).count() as u64;
            }
            assert_eq!(last[0], last[1], "{public}");
        }
    }

    /// A supervisor has killed the wrapper and not the encoder.
    #[tokio::test]
    async fn who_wrote_before_is_passed_over_for_as_long_as_it_writes() {
        for (source, public) in [("in/", "in/"), ("src/", "one/"), ("a/", "two/")] {
            let world = ComposingOrigin::new();
            for number in 100..106 {
                world.push(source, number).await;
            }
            for number in 0..20 {
                world.push(source, number).await;
                world.clock.advance(Duration::from_millis(100));
                let old = 106 + number;
                world.put(&format!("{source}{old}.ts"), "old").await;
                world.put(&format!("{source}p.m3u8"), &listing(old)).await;
            }
            let text = world.get(&format!("{public}p.m3u8")).await;
            let media = texts::media(&text);
            let begun = media.segments.iter().all(|segment| !segment.discontinuity && segment.uri.len() < "100~.ts".len() + 8);
            assert!(begun && media.segments.last().unwrap().uri.starts_with("19~"), "{source} {text}");
        }
    }

    /// It was killed hours before, and its segments are gone.
    #[tokio::test]
    async fn one_that_is_long_gone_does_not_hold_up_the_others_end() {
        let world = ComposingOrigin::new();
        for number in 0..4 {
            world.push("a/", number).await;
            world.push("b/", number).await;
        }
        for number in 4..12 {
            world.clock.advance(Duration::from_secs(600));
            world.push("b/", number).await;
        }
        assert!(world.get("two/p.m3u8").await.contains("11~"));
        for seconds in [0, 7, 7] {
            world.clock.advance(Duration::from_secs(seconds));
            world.put("b/p.m3u8", &(listing(11) + "#EXT-X-ENDLIST\n")).await;
        }
        let text = world.get("two/p.m3u8").await;
        assert!(text.ends_with("#EXT-X-ENDLIST\n"), "{text}");
    }

    /// Encoders and the scripts around them clean up.
    #[tokio::test(start_paused = true)]
    async fn what_was_over_when_it_was_deleted_has_its_end() {
        for (sources, public) in [(&["src/"][..], "one/"), (&["a/", "b/"], "two/")] {
            let world = ComposingOrigin::new();
            for number in 0..4 {
                for source in sources {
                    world.push(source, number).await;
                }
            }
            for source in sources {
                world.put(&format!("{source}p.m3u8"), &(listing(3) + "#EXT-X-ENDLIST\n")).await;
            }
            for source in sources {
                let (stamp, object) = (world.origin.stamp(), world.object(&format!("{source}p.m3u8")));
                let origin = world.origin.namespace(&world.name);
                origin.remove(&world.grant, &object, stamp, KeptConditions::default()).await.unwrap();
            }
            let is_over = async || world.get(&format!("{public}p.m3u8")).await.ends_with("#EXT-X-ENDLIST\n");
            assert!(!is_over().await, "it may come back");
            for _ in 0..20 {
                world.clock.advance(Duration::from_secs(1));
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            assert!(is_over().await, "{public}");
        }
    }

    /// Another one has been stored since its conditions were judged first.
    #[tokio::test]
    async fn a_version_in_place_that_is_refused_is_never_public() {
        let world = ComposingOrigin::new();
        for number in 0..4 {
            world.push("in/", number).await;
        }
        let before = world.get("in/p.m3u8").await;
        let hosted = world.origin.inner.namespaces.load().get(&world.name).cloned().unwrap();
        let (object, ttl) = (world.object("in/p.m3u8"), Duration::from_secs(60));
        let body = Body::new((listing(3) + "#EXTINF:2,\nother.ts\n").into_bytes());
        let outset = Outset::plain(Kind::Playlist, HeaderValue::from_static("x"), ttl);
        let draft = Draft::prepare(&hosted, &object, (body, tokio::time::Instant::now()), outset, None).await.unwrap();
        let conditions = Conditions { if_match: Some(b"\"another\""), ..Conditions::default() }.into();
        let refused = hosted.normalised(&object, draft, None, &conditions).await;
        assert!(matches!(refused, Err(OriginError::Precondition)), "{refused:?}");
        world.put("in/other.ts", "other").await;
        assert_eq!(world.get("in/p.m3u8").await, before);
    }

    /// Its encoder is told 204 each time, and viewers 404.
    #[tokio::test]
    async fn a_playlist_of_which_nothing_ever_comes_is_told_once() {
        let world = ComposingOrigin::new();
        let told = async || {
            let events = world.origin.look().await;
            events.into_iter().filter(|event| event.kind == EventKind::Gap).map(|event| event.detail).collect::<Vec<_>>()
        };
        for number in 0..3 {
            assert!(told().await.is_empty());
            world.put("in/p.m3u8", &listing(number)).await;
            world.clock.advance(Duration::from_secs(2));
        }
        let detail = told().await;
        assert!(detail.len() == 1 && detail[0].contains("0.ts") && detail[0].contains("404"), "{detail:?}");
        world.put("in/p.m3u8", &listing(3)).await;
        world.clock.advance(Duration::from_secs(60));
        assert!(told().await.is_empty(), "once");
        world.push("in/", 4).await;
        assert!(world.get("in/p.m3u8").await.contains("4~"));
    }

    /// Viewers read them under another name, from a multivariant playlist on another server.
    #[tokio::test]
    async fn sources_of_a_pair_that_are_alike_miss_no_multivariant_playlist() {
        let world = ComposingOrigin::new();
        let mut told = Vec::new();
        for number in 0..20_u64 {
            world.clock.advance(Duration::from_secs(2));
            let first = number.saturating_sub(3);
            let date = crate::model::clock::WallTime::from_millis(1_767_225_600_000 + first * 2000);
            let head = format!("{}#EXT-X-PROGRAM-DATE-TIME:{date}\n", texts::head(first));
            for folder in ["a/", "b/", "x/none/", "x/no/"] {
                world.put(&format!("{folder}{number}.ts"), &format!("{number}")).await;
                world.put(&format!("{folder}p.m3u8"), &texts::listing(&head, "", first..=number)).await;
            }
            let events = world.origin.look().await.into_iter();
            told.extend(events.filter(|event| event.kind == EventKind::MultivariantMissing).map(|event| event.stream));
        }
        told.sort();
        assert_eq!(told, ["x/no/p.m3u8", "x/none/p.m3u8"], "of a pair there is none");
    }

    /// An encoder has begun again over its own names, of which viewers have been shown none, and takes over.
    #[tokio::test]
    async fn what_was_written_over_before_viewers_were_shown_it_is_not_listed_when_its_side_takes_over() {
        let world = ComposingOrigin::new();
        for number in 0..4 {
            world.push("a/", number).await;
            world.push("b/", number).await;
        }
        world.clock.advance(Duration::from_secs(2));
        for number in 0..4 {
            world.put(&format!("b/{number}.ts"), &format!("again {number}")).await;
        }
        world.put("b/p.m3u8", &listing(0)).await;
        let (stamp, object) = (world.origin.stamp(), world.object("a/p.m3u8"));
        let origin = world.origin.namespace(&world.name);
        origin.remove(&world.grant, &object, stamp, KeptConditions::default()).await.unwrap();
        let text = world.get("two/p.m3u8").await;
        let mut bodies = Vec::new();
        for segment in texts::media(&text).segments {
            bodies.push(world.get(&format!("two/{}", segment.uri)).await);
        }
        assert_eq!(bodies.last().unwrap(), "again 0", "{bodies:?} {text}");
    }

    /// A version makes way at the very moment in which it is listed: whichever of both sees the other first, it can be read, or is not listed.
    #[tokio::test]
    async fn what_makes_way_while_it_is_listed_is_kept_or_not_listed() {
        let world = ComposingOrigin::new();
        world.put("in/0.ts", "before").await;
        let hosted = world.origin.inner.namespaces.load().get(&world.name).cloned().unwrap();
        let (now, playlist) = (world.clock.now(), world.object("in/p.m3u8"));
        let before = hosted.hot.peek(&world.object("in/0.ts").key).unwrap();
        let tag = crate::model::meta::etag_digits(&before.meta.etag, names::DIGITS).unwrap();
        let name = names::tagged("0.ts", tag);
        let media = texts::media(&format!("{}#EXTINF:2,\n{name}\n", texts::head(0)));
        let ttl = Duration::from_secs(60);
        world.put("in/0.ts", "after").await;
        assert!(!hosted.note_listed(&playlist, &media, None, ttl), "it was nowhere when it was listed");
        hosted.keep_listed(&before, None, now);
        assert!(hosted.note_listed(&playlist, &media, None, ttl));
        assert_eq!(world.get(&format!("in/{name}")).await, "before");
        // A step that has found it so is taken anew.
        let (taken, listed) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
        let took = |cell: &std::cell::Cell<i32>| cell.replace(cell.get() + 1);
        assert_eq!(listed_step(|| Some(took(&taken)), |step| (took(&listed), *step == 2).1), Some(2));
        assert_eq!(listed_step(|| Some(took(&taken)), |_| (took(&listed), false).1), Some(6), "it gives up");
        assert_eq!((taken.get(), listed.get()), (7, 7));
    }

    /// A version that is written while a step is taken is not judged as the one that the step was taken with.
    #[tokio::test]
    async fn what_has_come_of_a_version_is_not_noted_of_the_next_one() {
        let world = ComposingOrigin::new();
        world.push("src/", 0).await;
        let hosted = world.origin.inner.namespaces.load().get(&world.name).cloned().unwrap();
        let (known, source) = (&hosted.work.public, world.object("src/p.m3u8").key);
        let before = known.version(&source).unwrap();
        let version = Arc::new(SourceVersion::read(&listing(1)).unwrap());
        known.heard(&source, HeardVersion { version, standing: VersionStanding::New, ..before.clone() }, world.clock.now());
        known.stands(&source, &before.version, VersionStanding::Believed);
        assert_eq!(known.version(&source).unwrap().standing, VersionStanding::New);
        known.stands(&source, &known.version(&source).unwrap().version, VersionStanding::Believed);
        assert_eq!(known.version(&source).unwrap().standing, VersionStanding::Believed);
    }

    /// What can't be composed never takes the place of what was.
    #[tokio::test]
    async fn a_version_that_cannot_be_composed_takes_nothing_from_viewers() {
        let ranges = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n#EXT-X-BYTERANGE:5@0\n0.ts\n".to_owned();
        let define = listing(3).replace("#EXTINF", "#EXT-X-DEFINE:NAME=\"a\",VALUE=\"b\"\n#EXTINF");
        let vod = format!("{}#EXT-X-PLAYLIST-TYPE:VOD\n#EXTINF:2,\n0.ts\n#EXT-X-ENDLIST\n", texts::head(0));
        let odd = [ranges, define, vod, String::new(), "<html>".to_owned()];
        for (source, public) in [("in/", "in/"), ("src/", "one/"), ("a/", "two/")] {
            let world = ComposingOrigin::new();
            for number in 0..4 {
                world.push(source, number).await;
            }
            let public = format!("{public}p.m3u8");
            let composed = world.get(&public).await;
            assert!(composed.contains("3~"), "{composed}");
            for body in &odd {
                world.put(&format!("{source}p.m3u8"), body).await;
                assert_eq!(world.get(&public).await, composed, "{source} {body}");
                if source != "in/" {
                    assert_eq!(world.get(&format!("{source}p.m3u8")).await, *body, "it is there by its own name");
                }
            }
            world.push(source, 4).await;
            let after = world.get(&public).await;
            let (first, last) = (texts::media(&composed).media_sequence, texts::media(&after).segments.last().unwrap().sequence);
            assert!(last == first + 4 && after.contains("4~") && !after.contains("DISCONTINUITY\n"), "{after}");
        }
    }

    /// Viewers get nothing, as its encoder wishes; what comes then goes on.
    #[tokio::test]
    async fn a_playlist_that_was_deleted_in_place_goes_on_when_it_is_written_again() {
        let world = ComposingOrigin::new();
        for number in 0..6 {
            world.push("in/", number).await;
        }
        let composed = texts::media(&world.get("in/p.m3u8").await);
        for (number, breaks) in [(6, false), (0, true)] {
            let (object, stamp) = (world.object("in/p.m3u8"), world.origin.stamp());
            let namespace = world.origin.namespace(&world.name);
            namespace.remove(&world.grant, &object, stamp, KeptConditions::default()).await.unwrap();
            assert!(namespace.read(&world.grant, &object, &ReadSpec::default()).await.is_err());
            world.push("in/", number).await;
            let text = world.get("in/p.m3u8").await;
            let (again, last) = (texts::media(&text), texts::media(&text).segments.pop().unwrap());
            assert_eq!(last.sequence, composed.media_sequence + if breaks { 5 } else { 4 }, "{text}");
            assert_eq!((last.discontinuity, again.discontinuity_sequence), (breaks, composed.discontinuity_sequence), "{text}");
        }
    }

    #[tokio::test]
    async fn the_whole_of_a_run_as_a_list_of_type_vod_is_its_end() {
        for (source, public) in [("in/", "in/p.m3u8"), ("src/", "one/p.m3u8")] {
            let world = ComposingOrigin::new();
            for number in 0..8 {
                world.push(source, number).await;
            }
            let composed = world.get(public).await;
            let head = format!("{}#EXT-X-PLAYLIST-TYPE:VOD\n", texts::head(0));
            let vod = texts::listing(&head, "", 0..8) + "#EXT-X-ENDLIST\n";
            world.put(&format!("{source}p.m3u8"), &vod).await;
            assert_eq!(world.get(public).await, composed, "it may come back");
            world.clock.advance(Duration::from_secs(7));
            world.put(&format!("{source}p.m3u8"), &vod).await;
            assert_eq!(world.get(public).await, format!("{composed}#EXT-X-ENDLIST\n"));
        }
    }
}
