//! What follows from a change: the last of the three steps of a write or removal.
//!
//! A change carries the time at which it was decided, and all that follows from it is as of then: what is stored, how the stream
//! stands, what lives longer. So the same changes, each with its time, make the same of a namespace on whichever node and however late
//! they are applied.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use super::OriginError;
use super::before;
use super::decide::{Candidate, Deletion};
use super::live::{Noted, Understood};
use super::namespace::Hosted;
use super::prepare::{Draft, reaches};
use crate::hls::playlist::Playlist;
use crate::model::clock::{Moment, Now};
use crate::model::id::Key;
use crate::model::kind::Kind;
use crate::model::meta::{self, Meta};
use crate::store::Entry;

/// A change of an object that has been decided: a [`Put`], a [`Deletion`] or a [`Renewal`].
#[derive(Debug)]
pub(super) struct Decided<'a, W> {
    pub(super) key: &'a Key,
    /// When it was decided.
    pub(super) now: Now,
    pub(super) what: W,
}

/// A version becomes the object.
#[derive(Debug)]
pub(super) struct Put {
    pub(super) candidate: Candidate,
    pub(super) draft: Draft,
    /// How long its upload took.
    pub(super) took: Duration,
    /// The version it takes the place of, where that is below memory alone and known.
    pub(super) below: Option<Arc<Entry>>,
    /// Where its writer may write: nothing beyond is kept alive for its sake.
    pub(super) reach: Option<String>,
}

/// An object lives until then at least: a stream that is alive needs it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Renewal {
    pub(super) until: Moment,
}

impl Decided<'_, Put> {
    /// Makes the version the object, and its stream know it. Hands over its entity tag; `None`, and nothing has changed, when something
    /// that was begun later is in force. Dropped while a long playlist is being noted, it is not stored.
    ///
    /// # Errors
    /// [`OriginError::Precondition`], when the stored version changed after it was judged; [`OriginError::Busy`], when the server is
    /// about to end. Nothing has changed.
    pub(super) async fn apply(self, hosted: &Arc<Hosted>) -> Result<Option<HeaderValue>, OriginError> {
        let Self { key, now, what: Put { candidate, draft, took, below, reach } } = self;
        let Draft { body, outset, understood, facts, continuity } = draft;
        let length = body.bytes.len();
        let mut meta = outset.committed(now);
        (meta.etag, meta.last_modified) = meta::validators(&meta::etag(body.hash), meta.modified);
        (meta.facts, meta.continuity) = (facts, continuity);
        let (etag, expires) = (meta.etag.clone(), meta.expires);
        // First, for what it says of the stream is stored with it.
        let noted = match understood {
            Some(understood) => {
                if let Understood::Hls(Playlist::Media(media)) = &understood {
                    meta.target_duration = media.target_duration;
                }
                Some(Box::pin(note(hosted, now, key, understood, length, &meta)).await?)
            }
            None => None,
        };
        meta.liveness = noted.as_ref().map(|noted| Arc::clone(&noted.liveness));
        hosted.keep_public(key, Some(&etag), now.moment);
        let published = match candidate.publish(body, meta, now.moment) {
            Ok(Some(published)) => published,
            not_stored => {
                if noted.is_some() {
                    hosted.take_back(key);
                }
                return not_stored.map(|_| None);
            }
        };
        if hosted.policy.composes() {
            hosted.work.below.strike(key);
            published.replaced.iter().for_each(|before| hosted.keep_listed(before, Some(&etag), now.moment));
        }
        if let Some(facts) = &published.entry.meta.facts {
            hosted.metrics.count_defects(facts.defects);
        }
        // The stream is alive: what its players start with lives as long as what they have just been given.
        let needs = match noted {
            Some(noted) => {
                if let Some(before) = &published.replaced {
                    hosted.work.editions.replaced(&hosted.object(key), before, &published.entry);
                }
                noted.needs
            }
            None => {
                let replaced = published.replaced.as_deref().or(below.as_deref());
                let predecessor = before::predecessor(replaced, &published.entry);
                hosted.live.segment(now, key, (etag.clone(), expires), length as u64, took, predecessor)
            }
        };
        let needs = needs.iter().filter(|needed| reaches(reach.as_deref(), needed));
        match hosted.durable_tier.shared() {
            Some(shared) => {
                let needs: Vec<Key> = needs.map(|key| hosted.stored_as(key)).collect();
                shared.renew(&needs, expires);
            }
            None => needs.for_each(|key| Decided { key, now, what: Renewal { until: expires } }.apply(hosted)),
        }
        Ok(Some(etag))
    }
}

impl Decided<'_, Deletion> {
    /// Takes the object away, and its stream with it. `false`, and nothing has changed, when something that was begun later is in force.
    ///
    /// # Errors
    /// [`OriginError::Precondition`]: nothing has changed.
    pub(super) fn apply(self, hosted: &Hosted) -> Result<bool, OriginError> {
        let Self { key, now, what } = self;
        let before = hosted.keep_public(key, None, now.moment);
        let composed = hosted.composed_in_place(key, now.moment);
        let is_done = what.remove(&hosted.hot, key, now.moment)?;
        if is_done {
            before.iter().for_each(|before| hosted.keep_listed(before, None, now.moment));
            forget(hosted, now, key);
            if let Some(composed) = composed {
                hosted.work.public.removed(composed, now.moment);
            }
        }
        Ok(is_done)
    }
}

/// An object is there no more: nor is what was known of its stream.
pub(super) fn forget(hosted: &Hosted, now: Now, key: &Key) {
    hosted.work.cuts.clear();
    if hosted.policy.composes() {
        hosted.work.below.strike(key);
    }
    if Kind::of(key, &[]).is_rewritten() {
        hosted.live.removed(now, key);
        hosted.work.editions.forget(key);
        hosted.work.public.forget(key);
        // Who waits for its next version is told, now that there will be none.
        hosted.hot.tell_waiting(key);
    }
}

impl Decided<'_, Renewal> {
    /// Lets the object live on, if there is one.
    fn apply(self, hosted: &Hosted) {
        let Self { key, now, what: Renewal { until } } = self;
        let is_there = hosted.hot.renew(key, until, now.moment)
            || hosted.peek_named(key, now.moment).is_some_and(|entry| hosted.hot.renew(&entry.key, until, now.moment));
        if is_there {
            hosted.live.renewed(key, until);
        }
    }
}

/// Has a playlist or MPD of this length noted.
pub(super) async fn note(
    hosted: &Arc<Hosted>,
    now: Now,
    key: &Key,
    understood: Understood,
    length: usize,
    meta: &Meta,
) -> Result<Noted, OriginError> {
    let (of, etag, expires, is_composed) = (Arc::clone(hosted), meta.etag.clone(), meta.expires, meta.continuity.is_some());
    let object = hosted.object(key);
    let work = move || {
        let stored = |key: &Key| match of.peek_named(key, now.moment) {
            Some(entry) => Some(entry.meta.etag.clone()),
            None => Some(of.durable_tier.shared()?.known(key)?.meta.etag),
        };
        of.live.playlist(now, &object, &understood, (&etag, expires, is_composed), stored)
    };
    hosted.work.of_writers.work(length, work).await
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use http::HeaderValue;
    use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert_eq, prop_oneof, proptest};

    use super::*;
    use crate::hls::texts;
    use crate::metrics::Metrics;
    use crate::model::clock::{Clock, WallTime};
    use crate::model::id::Namespace;
    use crate::model::meta::Outset;
    use crate::origin::Origin;
    use crate::origin::live::Readership;
    use crate::origin::policy::NamespacePolicy;

    const MPD: &str = "<MPD type='dynamic'><Period><AdaptationSet><SegmentTemplate duration='2' initialization='i.mp4' media='$Number$.m4s'/>\
                       <Representation id='v'/></AdaptationSet></Period></MPD>";
    const NAMES: [&str; 6] = ["master.m3u8", "a/p.m3u8", "b/p.m3u8", "d/show.mpd", "a/init.mp4", "d/i.mp4"];

    /// What happens to which object, or is asked about all of them.
    #[derive(Clone, Debug)]
    enum Step {
        Put { key: String, body: String, ttl: u64, took: u64 },
        Remove { key: String },
        Look,
    }

    /// Its step, so long after the one before it; and how late each node applies it.
    type Timed = (u64, [u64; 2], Step);

    fn put(key: impl Into<String>, body: impl Into<String>, (ttl, took): (u64, u64)) -> Step {
        Step::Put { key: key.into(), body: body.into(), ttl, took }
    }

    fn step() -> impl Strategy<Value = Step> {
        let folder = || prop_oneof![Just("a"), Just("b")];
        let times = || (1u64..60, 0u64..4000);
        let media = (folder(), 0u64..12, 1u64..6, any::<[bool; 3]>(), times()).prop_map(|(folder, first, count, is, times)| {
            let [has_map, has_date, has_end] = is;
            let map = if has_map { "#EXT-X-MAP:URI=\"init.mp4\"\n" } else { "" };
            let date = if has_date { "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:10Z\n" } else { "" };
            let text = texts::listing(&format!("{}{map}{date}", texts::head(first)), "", first..first + count);
            put(format!("{folder}/p.m3u8"), text + if has_end { "#EXT-X-ENDLIST\n" } else { "" }, times)
        });
        let segment = (folder(), 0u64..16, 0u64..3, times());
        let numbered = (0u64..16, 0u64..3, times());
        prop_oneof![
            4 => media,
            6 => segment.prop_map(|(folder, number, body, times)| put(format!("{folder}/{number}.ts"), format!("{body}"), times)),
            2 => numbered.prop_map(|(number, body, times)| put(format!("d/{number}.m4s"), format!("{body}"), times)),
            1 => (0..NAMES.len(), times()).prop_map(|(at, times)| {
                let body = [texts::MASTER, texts::ONE, texts::ONE, MPD, "init", "init"][at];
                put(NAMES[at], body, times)
            }),
            1 => (folder(), times()).prop_map(|(folder, times)| put(format!("{folder}/p.m3u8"), "<html>", times)),
            1 => (0..NAMES.len()).prop_map(|at| Step::Remove { key: NAMES[at].to_owned() }),
            3 => Just(Step::Look),
        ]
    }

    /// A node: its clock has been running for so long when the history begins.
    struct Node {
        clock: Clock,
        begins: Moment,
        hosted: Arc<Hosted>,
    }

    impl Node {
        fn new(ran: u64) -> Self {
            let (clock, name) = (Clock::manual(), Namespace::parse("live").unwrap());
            clock.advance(Duration::from_secs(ran));
            let policies = [(name.clone(), NamespacePolicy::default())];
            let origin = Origin::new(policies, 1 << 30, clock.clone(), &Arc::new(Metrics::new()));
            let hosted = Arc::clone(&origin.inner.namespaces.load()[&name]);
            Self { begins: clock.now(), clock, hosted }
        }

        /// So many milliseconds into the history: by this node's monotonic clock, and by the wall clock of whoever decides.
        fn at(&self, millis: u64) -> Now {
            let since = Duration::from_millis(millis);
            Now { moment: self.begins + since, wall: WallTime::from_seconds(1_767_225_600) + since, is_past: false }
        }

        /// Takes a step that was decided then, by a clock that has gone on since.
        async fn take(&self, millis: u64, late: u64, step: &Step) -> Vec<String> {
            let now = self.at(millis);
            self.clock.advance((now.moment + Duration::from_millis(late)).since(self.clock.now()));
            let (hosted, hot) = (&self.hosted, &self.hosted.hot);
            match step {
                Step::Put { key, body, ttl, took } => {
                    let key = Key::parse(key).unwrap();
                    let mut upload = hot.create(&key, None, hot.stamp()).unwrap();
                    upload.write(Bytes::from(body.clone())).unwrap();
                    let body = upload.body();
                    let kind = Kind::of(&key, &body.bytes);
                    let outset = Outset::plain(kind, HeaderValue::from_static("x"), Duration::from_secs(*ttl));
                    let whole = tokio::time::Instant::now();
                    let draft = Draft::prepare(hosted, &hosted.object(&key), (body, whole), outset, None).await.unwrap();
                    let candidate =
                        Candidate { upload, conditions: crate::model::conditions::KeptConditions::default(), below: None };
                    let what = Put { candidate, draft, took: Duration::from_millis(*took), below: None, reach: None };
                    assert!(Decided { key: &key, now, what }.apply(hosted).await.unwrap().is_some());
                }
                Step::Remove { key } => {
                    let (key, what) = (Key::parse(key).unwrap(), Deletion::of_anything(hot.stamp()));
                    assert!(Decided { key: &key, now, what }.apply(hosted).unwrap());
                }
                Step::Look => {}
            }
            let here = |key: &Key| hot.peek_at(key, now.moment).is_some();
            let told = hosted.live.look(now, hosted.policy.limits, false, here, |_| false, |_| Readership::None);
            let mut told: Vec<_> = told.iter().map(|event| format!("{event:?}")).collect();
            told.sort();
            told
        }

        /// All that it knows at that time: how its streams stand, what they have listed, and what is stored.
        fn knows(&self, millis: u64) -> Vec<String> {
            let (now, hosted) = (self.at(millis), &self.hosted);
            let streams = hosted.live.report(now.moment).into_iter().map(|stream| format!("{stream:?}"));
            let histories = NAMES.map(|name| {
                let stretch = hosted.live.stretch(&Key::parse(name).unwrap(), None, None)?;
                let successors: BTreeMap<_, _> = stretch.successors.iter().collect();
                Some(format!("{name}: {:?} {:?} {successors:?} {}", stretch.listed, stretch.head, stretch.ended))
            });
            let objects = NAMES.map(|name| {
                let entry = hosted.hot.peek_at(&Key::parse(name).unwrap(), now.moment)?;
                let (meta, left) = (&entry.meta, entry.meta.expires.since(now.moment));
                let said = meta.liveness.as_ref().map(|known| (known.last_sequence.clone(), known.last_updated.clone()));
                let age = meta.liveness.as_ref().map(|known| now.moment.since(known.pulse.last()));
                Some(format!("{name}: {:?} {:?} {left:?} {said:?} {age:?}", meta.etag, meta.last_modified))
            });
            streams.chain(histories.into_iter().flatten()).chain(objects.into_iter().flatten()).collect()
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_same_changes_make_the_same_on_nodes_whose_clocks_differ(
            history in proptest::collection::vec((0u64..3000, any::<[u8; 2]>().prop_map(|late| late.map(|one| u64::from(one) * 40)), step()), 1..60),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let nodes = [Node::new(0), Node::new(86_400)];
            let mut millis = 0;
            for (after, late, step) in history as Vec<Timed> {
                millis += after;
                let [one, other] = [0, 1].map(|at| runtime.block_on(nodes[at].take(millis, late[at], &step)));
                prop_assert_eq!(one, other, "told after {:?}", step);
                prop_assert_eq!(nodes[0].knows(millis), nodes[1].knows(millis), "after {:?}", step);
            }
        }
    }
}
