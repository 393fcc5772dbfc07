//! What happens between memory and the tier below, with a backend that can be slow, failing, full or dead.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderValue;
use springhead::metrics::Metrics;
use springhead::model::clock::Clock;
use springhead::model::id::{Key, Namespace};
use springhead::model::kind::Kind;
use springhead::model::meta::Meta;
use springhead::model::rendering::Rendering;
use springhead::store::cold::Cold;
use springhead::store::{Ack, HotNamespace, Options, Store, StoreError, Tier, Want};

use super::conformance::key;
use super::faults::{Fault, Memory};
use crate::harness::bytes;

const OPTIONS: Options = Options { ack: Ack::Hot, capacity: 1 << 30, write_behind: 100_000_000 };
const SOON: Duration = Duration::from_secs(10);

struct World {
    clock: Clock,
    cold: Arc<Memory>,
    hot: Arc<HotNamespace>,
    tier: Tier,
    metrics: Metrics,
    folder: tempfile::TempDir,
}

impl World {
    async fn start(hot_capacity: u64, options: Options, clock: Clock) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::start_in(folder, Arc::new(Memory::default()), hot_capacity, options, clock).await
    }

    async fn start_in(folder: tempfile::TempDir, cold: Arc<Memory>, hot_capacity: u64, options: Options, clock: Clock) -> Self {
        let metrics = Metrics::new();
        let (hot, tier) = open(folder.path(), &cold, hot_capacity, options, &clock, &metrics);
        tier.opened().await;
        Self { clock, cold, hot, tier, metrics, folder }
    }

    /// Another process in the same place, after this one has ended in order or not.
    async fn restart(self, in_order: bool) -> Self {
        let Self { clock, cold, hot, tier, folder, .. } = self;
        let capacity = hot.usage().capacity;
        if in_order {
            tier.close().await;
        } else {
            // As after a kill: the marks of an orderly stop are not there. The journal is let go, so that the next may take it.
            tier.close().await;
            let journal = folder.path().join("journal");
            let last = std::fs::read_dir(&journal)
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.extension().is_some())
                .max();
            let text = std::fs::read_to_string(last.as_ref().unwrap()).unwrap();
            // One that is not sure of what there is leaves no such mark.
            std::fs::write(last.unwrap(), text.strip_suffix(".\n").unwrap_or(&text)).unwrap();
        }
        Self::start_in(folder, cold, capacity, OPTIONS, clock).await
    }

    fn put(&self, key: &Key, body: &[u8], kind: Kind, ttl: u64) {
        let mut upload = self.hot.create(key, Some(body.len() as u64), self.hot.stamp()).unwrap();
        upload.write(Bytes::copy_from_slice(body)).unwrap();
        let text = HeaderValue::from_static("x");
        let meta = Meta {
            kind,
            content_type: text.clone(),
            rendering: Rendering::Inert,
            content_encoding: None,
            cache_control: None,
            etag: text.clone(),
            last_modified: text,
            modified: self.clock.wall(),
            expires: self.clock.now() + Duration::from_secs(ttl),
            target_duration: None,
            facts: None,
            continuity: None,
            liveness: None,
        };
        let whole = upload.body();
        upload.publish(whole, meta, self.clock.now(), |_| true).unwrap();
    }

    fn segment(&self, n: usize, length: usize) -> Key {
        let key = key(&format!("live/{n}.ts"));
        self.put(&key, &bytes(n as u64, length), Kind::Segment, 3600);
        key
    }

    /// What a reader gets: from memory, else from below.
    async fn read(&self, key: &Key) -> Result<Option<Bytes>, StoreError> {
        if let Some(entry) = self.hot.get(key) {
            return Ok(Some(entry.body.clone()));
        }
        Ok(self.tier.read(key, |_| Want::Whole).await?.map(|hit| hit.entry.body.clone()))
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + SOON;
        while !is_so(self) {
            assert!(Instant::now() < deadline, "{what}; it never came to be: {}", self.metrics.render());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn metric(&self, series: &str) -> f64 {
        let text = self.metrics.render();
        let (name, label) = series.split_once(' ').unwrap_or((series, ""));
        let line = text.lines().find(|line| line.starts_with(&format!("springhead_{name}{{")) && line.contains(label));
        line.unwrap_or_else(|| panic!("no {series}")).rsplit(' ').next().unwrap().parse().unwrap()
    }
}

fn open(
    folder: &Path,
    cold: &Arc<Memory>,
    hot_capacity: u64,
    options: Options,
    clock: &Clock,
    metrics: &Metrics,
) -> (Arc<HotNamespace>, Tier) {
    let name = Namespace::parse("n").unwrap();
    let figures = metrics.namespace(&name);
    let hot = Store::new(1 << 30, clock.clone(), metrics).open(hot_capacity, figures.clone());
    let backend: Arc<dyn Cold> = Arc::clone(cold) as Arc<dyn Cold>;
    let tier =
        Tier::start(name, &hot, Arc::new(move || Ok(Arc::clone(&backend))), folder.join("journal"), options, figures.durable);
    (hot, tier)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leaves_memory_is_served_from_below_and_the_live_edge_stays() {
    let world = World::start(1_000_000, OPTIONS, Clock::system()).await;
    let keys: Vec<Key> = (0..50).map(|n| world.segment(n, 100_000)).collect();
    world.until("all is written", |world| world.cold.len() == 50).await;
    assert!(world.hot.peek(&keys[0]).is_none(), "memory is too small for all");
    let edge: Vec<_> = keys.iter().filter(|key| world.hot.peek(key).is_some()).cloned().collect();
    for (n, key) in keys.iter().enumerate() {
        assert!(world.read(key).await.unwrap().unwrap() == bytes(n as u64, 100_000), "{key:?}");
    }
    world.hot.validate();
    let kept = edge.iter().filter(|key| world.hot.peek(key).is_some()).count();
    assert!(kept + 2 >= edge.len(), "of {} at the live edge {kept} are left", edge.len());
    assert!(world.hot.peek(keys.last().unwrap()).is_some());
    assert_eq!(world.metric("objects_lost_total reason=\"evicted\""), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_readable_and_only_the_newest_playlist_is_written() {
    let world = World::start(10_000, OPTIONS, Clock::system()).await;
    world.cold.set_fault(Fault::Held);
    let playlist = key("live/p.m3u8");
    for n in 0..200 {
        world.put(&playlist, format!("version {n}").as_bytes(), Kind::Playlist, 3600);
        let segment = world.segment(n, 2000);
        assert_eq!(world.read(&segment).await.unwrap().unwrap(), bytes(n as u64, 2000));
        assert!(world.read(&key("live/0.ts")).await.unwrap().is_some(), "evicted, and not written for a while");
    }
    world.cold.set_fault(Fault::None);
    world.until("all is written", |world| world.cold.len() == 201).await;
    world.until("the last version is written", |world| world.cold.held(&playlist).unwrap() == "version 199").await;
    let puts = world.cold.puts.load(Ordering::SeqCst) - 200;
    assert!(puts <= 5, "the playlist was written {puts} times");
    assert!(world.metric("durable_writes_total outcome=\"coalesced\"") >= 190.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_read_serves_all_who_wait_and_a_part_is_read_as_a_part() {
    let world = World::start(1_000_000, OPTIONS, Clock::system()).await;
    let keys: Vec<Key> = (0..3).map(|n| world.segment(n, 900_000)).collect();
    world.until("all is written", |world| world.cold.len() == 3).await;
    world.cold.set_fault(Fault::Slow(Duration::from_millis(300)));
    let reads: Vec<_> = (0..200)
        .map(|_| {
            let (tier, key) = (world.tier.clone(), keys[0].clone());
            tokio::spawn(async move { tier.read(&key, |_| Want::Whole).await })
        })
        .collect();
    for read in reads {
        assert!(read.await.unwrap().unwrap().unwrap().entry.body == bytes(0, 900_000));
    }
    assert_eq!(world.cold.gets.load(Ordering::SeqCst), 1);
    let hit = world.tier.read(&keys[1], |_| Want::Part(10..20)).await.unwrap().unwrap();
    // With what is read around it to check it.
    assert_eq!((hit.part, hit.length), (Some(0..65_536), 900_000));
    assert_eq!(hit.entry.body, bytes(1, 900_000)[..65_536]);
    let hit = world.tier.read(&keys[1], |_| Want::Nothing).await.unwrap().unwrap();
    assert_eq!((hit.entry.body.len(), hit.length), (0, 900_000));
    assert_eq!((world.cold.gets.load(Ordering::SeqCst), world.cold.ranges.load(Ordering::SeqCst)), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_tier_costs_readers_of_memory_nothing_and_recovers() {
    let world = World::start(10_000, OPTIONS, Clock::system()).await;
    let old = world.segment(0, 4000);
    world.until("it is written", |world| world.cold.len() == 1).await;
    world.cold.set_fault(Fault::Failing);
    let begun = Instant::now();
    for n in 1..20 {
        let key = world.segment(n, 4000);
        assert!(world.read(&key).await.unwrap().is_some());
    }
    assert!(begun.elapsed() < Duration::from_secs(1), "ingest waited");
    for _ in 0..10 {
        assert_eq!(world.read(&old).await, Err(StoreError::Unreachable), "not a 404: it may be there");
    }
    assert!(world.metric("durable_reads_total outcome=\"refused\"") >= 1.0, "it is not asked any more");
    assert_eq!(world.read(&key("none")).await, Ok(None), "what is known to be absent needs no tier");
    world.until("it is known to fail", |world| world.tier.trouble().is_some()).await;
    assert_eq!(world.metric("durable_up"), 0.0);
    world.cold.set_fault(Fault::None);
    world.until("all is written in the end", |world| world.cold.len() == 20).await;
    world.until("it is known to work", |world| world.tier.trouble().is_none()).await;
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert!(world.read(&old).await.unwrap().unwrap() == bytes(0, 4000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_tier_makes_nobody_wait_for_ever() {
    let world = World::start(10_000, OPTIONS, Clock::system()).await;
    let old = world.segment(0, 4000);
    world.until("it is written", |world| world.cold.len() == 1).await;
    (1..5).for_each(|n| drop(world.segment(n, 4000)));
    world.until("all is written", |world| world.cold.len() == 5).await;
    world.cold.set_fault(Fault::Dead);
    let begun = Instant::now();
    assert_eq!(world.read(&old).await, Err(StoreError::Unreachable));
    assert!(begun.elapsed() < Duration::from_secs(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_tier_loses_the_oldest_and_never_brings_back_an_older_version() {
    let options = Options { write_behind: 50_000, ..OPTIONS };
    let world = World::start(20_000, options, Clock::system()).await;
    let name = world.segment(0, 4000);
    world.until("it is written", |world| world.cold.len() == 1).await;
    world.cold.set_fault(Fault::Full);
    // The same name again, as an encoder does that was restarted.
    world.put(&name, b"newer", Kind::Segment, 3600);
    let playlist = key("live/p.m3u8");
    world.put(&playlist, b"list", Kind::Playlist, 3600);
    (1..60).for_each(|n| drop(world.segment(n, 4000)));
    assert!(world.metric("durable_writes_total outcome=\"given_up\"") > 40.0);
    world.until("the loss is counted", |world| world.metric("objects_lost_total reason=\"evicted\"") > 30.0).await;
    assert_eq!(world.read(&name).await, Ok(None), "the older version is not the object any more");
    assert_eq!(world.read(&playlist).await.unwrap().unwrap(), "list");
    assert!(world.read(&key("live/59.ts")).await.unwrap().is_some());
    world.until("it is known", |world| world.tier.trouble().is_some_and(|trouble| trouble.contains("no space"))).await;
    world.cold.set_fault(Fault::None);
    let overrun = |world: &World| world.tier.trouble().is_some_and(|trouble| trouble.contains("given up"));
    world.until("it has recovered, and what was lost is still said", overrun).await;
    world.until("the older version goes", |world| world.cold.held(&name).is_none()).await;
    assert_eq!(world.cold.held(&playlist).unwrap(), "list");
}

/// A burst that is more than may wait, on a disk that is slow for a while: nothing is lost that memory has, neither while the server runs
/// nor when it ends.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_up_and_is_in_memory_still_is_written_when_there_is_time_and_before_the_end() {
    for ends in [false, true] {
        let options = Options { write_behind: 50_000, ..OPTIONS };
        let world = World::start(10_000_000, options, Clock::system()).await;
        let old = world.segment(0, 4000);
        world.until("it is written", |world| world.cold.len() == 1).await;
        world.cold.set_fault(Fault::Slow(Duration::from_millis(50)));
        (1..100).for_each(|n| drop(world.segment(n, 4000)));
        // The same name again, larger; and one that was removed since, and must not come back.
        world.put(&old, &bytes(7, 6000), Kind::Segment, 3600);
        let (removed, newer) = (key("live/10.ts"), key("live/11.ts"));
        world.hot.remove(&removed, world.hot.stamp(), world.clock.now(), |_| true);
        (100..150).for_each(|n| drop(world.segment(n, 4000)));
        world.put(&newer, b"newer", Kind::Segment, 3600);
        assert!(world.metric("durable_writes_total outcome=\"given_up\"") > 100.0);
        if ends {
            world.tier.close().await;
            assert_eq!(world.tier.unwritten(), (0, 0));
        }
        world.until("all is written", |world| world.cold.len() == 149 && world.tier.unwritten() == (0, 0)).await;
        assert_eq!(world.cold.held(&old).unwrap(), bytes(7, 6000));
        assert_eq!(world.cold.held(&newer).unwrap(), "newer");
        assert_eq!(world.cold.held(&removed), None);
        assert_eq!(world.metric("objects_lost_total reason=\"evicted\""), 0.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_less_space_than_the_capacity_the_oldest_segments_make_room() {
    let clock = Clock::manual();
    let world = World::start(20_000, OPTIONS, clock.clone()).await;
    let playlist = key("live/p.m3u8");
    world.cold.space.store(370_000, Ordering::SeqCst);
    for n in 0..200 {
        clock.advance(Duration::from_millis(1100));
        world.put(&playlist, format!("version {n}").as_bytes(), Kind::Playlist, 3600);
        let last = world.segment(n, 1000);
        world.until("it is written", |world| world.cold.held(&last).is_some()).await;
    }
    world.until("all is written", |world| world.cold.held(&playlist).unwrap() == "version 199").await;
    let failed = world.cold.full.load(Ordering::SeqCst);
    assert!(failed <= 8, "what fits is known after a few writes in vain, and tried again seldom: {failed}");
    let kept: Vec<usize> = (0..200).filter(|n| world.cold.held(&key(&format!("live/{n}.ts"))).is_some()).collect();
    assert!(kept.len() >= 30 && kept.last() == Some(&199), "{kept:?}");
    assert!(kept.windows(2).all(|pair| pair[0] + 1 == pair[1]), "the oldest have gone: {kept:?}");
    world.until("it is said", |world| world.tier.trouble().is_some_and(|trouble| trouble.contains("less than"))).await;
    assert_eq!(world.metric("durable_up"), 1.0, "it works");
    assert!(world.metric("durable_budget_bytes") < world.metric("durable_capacity_bytes"));
    assert!(world.metric("durable_objects_removed_total reason=\"evicted\"") >= 160.0);
    assert_eq!(world.read(&key("live/0.ts")).await, Ok(None));
    world.until("the loss is counted", |world| world.metric("objects_lost_total reason=\"capacity\"") >= 140.0).await;
    // There is more space: it is found by and by, and what there is is not given up for nothing.
    world.cold.space.store(0, Ordering::SeqCst);
    let before = world.cold.len();
    for n in 200..700 {
        clock.advance(Duration::from_secs(2));
        let last = world.segment(n, 1000);
        world.until("it is written", |world| world.cold.held(&last).is_some()).await;
        if n % 20 == 0 {
            // The books are looked at ten times a second.
            tokio::time::sleep(Duration::from_millis(110)).await;
        }
    }
    assert!(world.cold.len() > before * 2, "{} after {before}", world.cold.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_to_be_durable_gets_its_room() {
    let options = Options { ack: Ack::Durable, ..OPTIONS };
    let world = World::start(1 << 20, options, Clock::system()).await;
    world.cold.space.store(150_000, Ordering::SeqCst);
    let begun = Instant::now();
    for n in (0..120).step_by(4) {
        // Several at once, as renditions come.
        let settling: Vec<_> = (n..n + 4)
            .map(|n| {
                let (tier, key) = (world.tier.clone(), world.segment(n, 3000));
                tokio::spawn(async move { tier.settled(&key, true).await })
            })
            .collect();
        for settled in settling {
            assert_eq!(settled.await.unwrap(), Ok(()), "{n}");
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    for n in 116..120 {
        assert!(world.cold.held(&key(&format!("live/{n}.ts"))).is_some(), "{n}");
    }
    assert!(world.cold.len() >= 8, "{}", world.cold.len());
    // What takes more than there is fails, and costs nothing that is there.
    let before = world.cold.len();
    let large = world.segment(200, 160_000);
    let settled = world.tier.settled(&large, true).await;
    assert_eq!(settled, Err(StoreError::NotDurable));
    assert!(world.cold.len() + 2 >= before, "{} of {before}", world.cold.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_removed_is_gone_at_once_and_below_soon() {
    let world = World::start(10_000, OPTIONS, Clock::system()).await;
    let name = world.segment(0, 4000);
    (1..5).for_each(|n| drop(world.segment(n, 4000)));
    world.until("all is written", |world| world.cold.len() == 5).await;
    assert!(world.hot.peek(&name).is_none());
    // A read that is on its way when the object is removed must not bring it back.
    world.cold.set_fault(Fault::Held);
    let (tier, wanted) = (world.tier.clone(), name.clone());
    let read = tokio::spawn(async move { tier.read(&wanted, |_| Want::Whole).await });
    world.until("it is being read", |world| world.cold.gets.load(Ordering::SeqCst) == 1).await;
    world.hot.remove(&name, world.hot.stamp(), world.clock.now(), |_| true);
    assert_eq!(world.read(&name).await, Ok(None));
    world.cold.set_fault(Fault::None);
    read.await.unwrap().unwrap();
    assert_eq!(world.read(&name).await, Ok(None));
    world.until("it is removed below", |world| world.cold.len() == 4).await;
    assert_eq!(world.read(&name).await, Ok(None));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_follows_expiry_and_the_budget_takes_the_oldest_segments() {
    let clock = Clock::manual();
    let world = World::start(1 << 20, Options { capacity: 8192 + 20 * (8192 + 1000), ..OPTIONS }, clock.clone()).await;
    let playlist = key("live/p.m3u8");
    world.put(&playlist, &[0; 1000], Kind::Playlist, 100);
    for n in 0..30 {
        clock.advance(Duration::from_millis(1));
        world.put(&key(&format!("{n}.ts")), &[0; 1000], Kind::Segment, 10 + n);
        world.until("it is written or evicted", |world| world.metric("durable_waiting_changes") == 0.0).await;
    }
    world.until("the budget is kept", |world| world.cold.len() == 20).await;
    assert!(world.cold.held(&playlist).is_some() && world.cold.held(&key("29.ts")).is_some());
    assert!(world.cold.held(&key("10.ts")).is_none() && world.cold.held(&key("11.ts")).is_some());
    clock.advance(Duration::from_secs(25));
    assert_eq!(world.read(&key("15.ts")).await, Ok(None), "expiry is exact");
    world.until("what is due is removed", |world| world.cold.len() == 15).await;
    assert!(world.cold.held(&key("15.ts")).is_none() && world.cold.held(&key("16.ts")).is_some());
    clock.advance(Duration::from_secs(100));
    world.until("in the end all is", |world| world.cold.len() == 0).await;
    world.until("and forgotten", |world| world.metric("durable_objects") == 0.0).await;
    assert_eq!(world.metric("durable_stored_bytes"), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_knows_everything_whether_or_not_the_stop_was_in_order() {
    for in_order in [true, false] {
        let clock = Clock::manual();
        let world = World::start(1 << 20, OPTIONS, clock.clone()).await;
        let playlist = key("live/p.m3u8");
        world.put(&playlist, b"list", Kind::Playlist, 3600);
        let keys: Vec<Key> = (0..40).map(|n| world.segment(n, 1000)).collect();
        world.hot.remove(&keys[7], world.hot.stamp(), world.clock.now(), |_| true);
        let world = world.restart(in_order).await;
        assert!(!in_order || world.hot.peek(&playlist).is_some(), "playlists are in memory before the first reader");
        assert_eq!(world.read(&playlist).await.unwrap().unwrap(), "list");
        for (n, key) in keys.iter().enumerate() {
            let expected = (n != 7).then(|| Bytes::from(bytes(n as u64, 1000)));
            assert_eq!(world.read(key).await.unwrap(), expected, "{key:?}");
        }
        assert_eq!(world.read(&key("none")).await, Ok(None));
        world.until("everything is known", |world| !world.tier.may_have(&key("none"))).await;
        // The clock is judged when what is known is looked after first: a jump before that would be doubted.
        world.put(&key("more.ts"), b"more", Kind::Segment, 3600);
        world.until("it is looked after", |world| world.metric("durable_objects") == 41.0).await;
        clock.advance(Duration::from_secs(3600));
        assert_eq!(world.read(&keys[0]).await, Ok(None), "its time to live goes on");
        world.until("all is swept", |world| world.cold.len() == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_waits_for_the_tier_where_that_is_asked_for() {
    let options = Options { ack: Ack::Durable, ..OPTIONS };
    let world = World::start(1 << 20, options, Clock::system()).await;
    world.cold.set_fault(Fault::Slow(Duration::from_millis(100)));
    let name = key("live/p.m3u8");
    for n in 0..5 {
        world.put(&name, format!("{n}").as_bytes(), Kind::Playlist, 3600);
        world.tier.settled(&name, true).await.unwrap();
        assert_eq!(world.cold.held(&name).unwrap(), format!("{n}"));
    }
    world.cold.set_fault(Fault::Failing);
    world.put(&name, b"late", Kind::Playlist, 3600);
    let settled = {
        let (tier, name) = (world.tier.clone(), name.clone());
        tokio::spawn(async move { tier.settled(&name, true).await })
    };
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!settled.is_finished());
    world.cold.set_fault(Fault::None);
    assert_eq!(settled.await.unwrap(), Ok(()));
    assert_eq!(world.cold.held(&name).unwrap(), "late");
    world.hot.remove(&name, world.hot.stamp(), world.clock.now(), |_| true);
    world.tier.settled(&name, false).await.unwrap();
    assert!(world.cold.held(&name).is_none());
}

/// What is given up takes the older version with it. That removal is no acknowledgement of what was given up.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_at_once_is_not_acknowledged() {
    let options = Options { ack: Ack::Durable, write_behind: 5000, ..OPTIONS };
    let world = World::start(1 << 20, options, Clock::system()).await;
    let name = world.segment(0, 4000);
    assert_eq!(world.tier.settled(&name, true).await, Ok(()));
    world.cold.set_fault(Fault::Held);
    world.put(&name, &bytes(1, 6000), Kind::Segment, 3600);
    assert_eq!(world.tier.settled(&name, true).await, Err(StoreError::NotDurable));
    world.cold.set_fault(Fault::None);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_share_a_place_while_one_takes_over() {
    let world = World::start(1 << 20, OPTIONS, Clock::system()).await;
    let before = world.segment(0, 1000);
    let metrics = Metrics::new();
    let (hot, tier) = open(world.folder.path(), &world.cold, 1 << 20, OPTIONS, &world.clock, &metrics);
    tier.opened().await;
    world.until("it is written", |world| world.cold.len() == 1).await;
    let during = world.segment(1, 1000);
    world.until("it is written", |world| world.cold.len() == 2).await;
    for name in [&before, &during] {
        assert!(hot.peek(name).is_none());
        assert!(tier.read(name, |_| Want::Whole).await.unwrap().is_some(), "what the other writes is found");
    }
    world.tier.close().await;
    let known = || metrics.render().lines().any(|line| line.starts_with("springhead_durable_objects{") && line.ends_with(" 2"));
    world.until("the new one takes the books over", |_| known()).await;
    tier.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_left_memory_is_not_overtaken_by_what_was_begun_before_it() {
    let world = World::start(10_000, OPTIONS, Clock::system()).await;
    let older = |name: &Key| {
        let mut upload = world.hot.create(name, Some(5), world.hot.stamp()).unwrap();
        upload.write(Bytes::from_static(b"older")).unwrap();
        upload
    };
    let publish = |mut upload: springhead::store::Upload| {
        let meta = world.hot.peek(&key("live/9.ts")).unwrap().meta.clone();
        let body = upload.body();
        upload.publish(body, meta, world.clock.now(), |_| true).unwrap()
    };
    let (kept, removed, late) = (key("live/0.ts"), key("live/1.ts"), world.hot.stamp());
    let (one, other) = (older(&kept), older(&removed));
    (0..10).for_each(|n| drop(world.segment(n, 4000)));
    world.until("all is written", |world| world.cold.len() == 10).await;
    world.hot.remove(&removed, world.hot.stamp(), world.clock.now(), |_| true);
    assert!(world.hot.peek(&kept).is_none(), "it is below memory now");
    assert!(publish(one).is_none() && publish(other).is_none());
    // Nor by one whose head was read only now.
    let mut last = world.hot.create(&kept, Some(5), late).unwrap();
    last.write(Bytes::from_static(b"older")).unwrap();
    assert!(publish(last).is_none());
    assert_eq!(world.read(&kept).await, Ok(Some(Bytes::from(bytes(0, 4000)))));
    assert_eq!(world.read(&removed).await, Ok(None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_set_back_over_a_restart_prolongs_nothing() {
    let clock = Clock::manual();
    clock.advance(Duration::from_secs(3600));
    let world = World::start(1 << 20, OPTIONS, clock).await;
    let (playlist, segment) = (key("live/p.m3u8"), key("live/0.ts"));
    world.put(&playlist, b"#EXTM3U", Kind::Playlist, 60);
    world.put(&segment, b"media", Kind::Segment, 60);
    world.until("all is written", |world| world.cold.len() == 2).await;
    let World { cold, hot, tier, folder, .. } = world;
    tier.close().await;
    drop((hot, tier));
    let set_back = Clock::manual();
    let world = World::start_in(folder, cold, 1 << 20, OPTIONS, set_back.clone()).await;
    assert_eq!(world.read(&segment).await, Ok(Some(Bytes::from_static(b"media"))));
    set_back.advance(Duration::from_secs(61));
    assert_eq!((world.read(&segment).await, world.read(&playlist).await), (Ok(None), Ok(None)), "a minute is a minute");
}

/// Enough of them that memory holds none of the first ones, which the tier has.
async fn past_memory(world: &World, count: usize, length: usize) -> Vec<Key> {
    let keys: Vec<Key> = (0..count).map(|n| world.segment(n, length)).collect();
    world.until("all is written", |world| world.cold.len() == count && world.metric("durable_waiting_changes") == 0.0).await;
    assert!(world.hot.peek(&keys[0]).is_none() && world.hot.peek(&keys[1]).is_none());
    keys
}

#[tokio::test(flavor = "multi_thread")]
async fn one_wrong_answer_loses_nothing_whatever_was_asked_for() {
    for fault in [Fault::Wrong, Fault::Gone] {
        let clock = Clock::manual();
        let world = World::start(1_000_000, OPTIONS, clock.clone()).await;
        let keys = past_memory(&world, 4, 900_000).await;
        world.cold.set_fault(fault);
        assert_eq!(world.read(&keys[0]).await, Err(StoreError::Unreachable), "{fault:?}: nobody knows");
        let part = world.tier.read(&keys[1], |_| Want::Part(700_000..700_100)).await;
        assert_eq!(part.map(|hit| hit.map(|hit| hit.length)), Err(StoreError::Unreachable), "{fault:?}: a part is checked too");
        world.until("it is shown", |world| world.metric("durable_doubtful_objects") == 2.0).await;
        world.cold.set_fault(Fault::None);
        let gets = world.cold.gets.load(Ordering::SeqCst);
        assert_eq!(world.read(&keys[0]).await, Err(StoreError::Unreachable), "{fault:?}: not asked at once");
        assert_eq!(world.cold.gets.load(Ordering::SeqCst), gets);
        // Asked for without a reader, too.
        clock.advance(Duration::from_secs(2));
        world.until("it is right again", |world| world.metric("durable_doubtful_objects") == 0.0).await;
        for (n, key) in keys.iter().enumerate().take(2) {
            assert!(world.read(key).await.unwrap().unwrap() == bytes(n as u64, 900_000), "{fault:?}");
        }
        assert_eq!((world.cold.deletes.load(Ordering::SeqCst), world.cold.len()), (0, 4), "{fault:?}: nothing was removed");
        assert_eq!(world.metric("objects_lost_total reason=\"damaged\""), 0.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_for_minutes_is_lost_and_even_then_left() {
    for fault in [Fault::Wrong, Fault::Gone] {
        let clock = Clock::manual();
        let world = World::start(10_000, OPTIONS, clock.clone()).await;
        let keys = past_memory(&world, 5, 4000).await;
        world.cold.set_fault(fault);
        for wait in [2, 10, 60, 300] {
            assert_eq!(world.read(&keys[0]).await, Err(StoreError::Unreachable), "{fault:?} before {wait} s");
            // It is asked for again by itself; let that come first, or not.
            clock.advance(Duration::from_secs(wait));
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        let deadline = Instant::now() + SOON;
        while world.read(&keys[0]).await != Ok(None) {
            assert!(Instant::now() < deadline, "{fault:?}: in the end it is a 404");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(world.metric("objects_lost_total reason=\"damaged\"") <= 1.0);
        assert_eq!((world.cold.deletes.load(Ordering::SeqCst), world.cold.len()), (0, 5), "{fault:?}: nothing was removed");
        world.cold.set_fault(Fault::None);
        clock.advance(Duration::from_secs(600));
        let deadline = Instant::now() + SOON;
        while !matches!(world.read(&keys[0]).await, Ok(Some(_))) {
            assert!(Instant::now() < deadline, "{fault:?}: what was called lost and is there after all is served");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // A newer version ends all doubt.
        world.put(&keys[1], b"newer", Kind::Segment, 3600);
        world.until("it is written", |world| world.cold.held(&keys[1]).unwrap() == "newer").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_later_version_wrote_is_left_alone_and_no_404() {
    let clock = Clock::manual();
    let world = World::start(10_000, OPTIONS, clock.clone()).await;
    let keys = past_memory(&world, 5, 4000).await;
    // The index names it, as after a rollback in order; or nothing does, as after one without.
    let mut world = world;
    for in_order in [true, false] {
        world.cold.set_fault(Fault::Later);
        world = world.restart(in_order).await;
        world.until("everything is known", |world| in_order || world.metric("durable_later_objects") == 5.0).await;
        for key in &keys {
            assert_eq!(world.read(key).await, Err(StoreError::Unreachable), "{key:?} in order: {in_order}");
        }
        assert_eq!(world.read(&key("never.ts")).await, Err(StoreError::Unreachable), "nobody can tell");
        assert!(world.tier.trouble().is_some_and(|trouble| trouble.contains("newer Springhead")));
        world.until("it is counted", |world| world.metric("durable_later_objects") >= 5.0).await;
        // A name is free for a new version all the same.
        world.put(&keys[4], b"again", Kind::Segment, 60);
        world.until("it is written", |world| world.cold.held(&keys[4]).unwrap() == "again").await;
    }
    clock.advance(Duration::from_secs(7200));
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(world.cold.len(), 4, "and it outlives what this version thinks its time is");
    world.cold.set_fault(Fault::None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_days_ahead_at_a_start_removes_nothing() {
    let (right, ahead) = (Clock::manual(), Clock::manual());
    ahead.advance(Duration::from_secs(2 * 86_400));
    let mut world = World::start(10_000, OPTIONS, right.clone()).await;
    let keys = past_memory(&world, 5, 4000).await;
    for in_order in [true, false] {
        world.clock = ahead.clone();
        world = world.restart(in_order).await;
        assert_eq!(world.read(&keys[0]).await, Ok(None), "by that clock its hour is over");
        tokio::time::sleep(Duration::from_millis(500)).await;
        world.clock = right.clone();
        world = world.restart(in_order).await;
        assert!(world.read(&keys[0]).await.unwrap().unwrap() == bytes(0, 4000), "and by the right one it is not");
        assert_eq!(world.cold.len(), 5);
    }
    // An object that was written while the clock was wrong, and is the newest: what was written last tells.
    world.clock = ahead.clone();
    world = world.restart(true).await;
    world.put(&key("wrong.ts"), b"x", Kind::Segment, 3600);
    world.until("it is written", |world| world.cold.len() == 6).await;
    world.clock = right.clone();
    world = world.restart(true).await;
    world.put(&key("right.ts"), b"x", Kind::Segment, 3600);
    world.until("it is written", |world| world.cold.len() == 7).await;
    world.clock = ahead.clone();
    world = world.restart(true).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(world.cold.len(), 7);
    // When the clock goes on being what it is, it is believed.
    world.clock = ahead.clone();
    world = world.restart(true).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(world.cold.len(), 7);
    let is_removed = |world: &World| {
        ahead.advance(Duration::from_secs(60));
        world.cold.len() == 0
    };
    world.until("all is removed in the end", is_removed).await;
}
