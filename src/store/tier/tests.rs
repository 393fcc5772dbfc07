//! The tier from its beginning to its end, over a place with something wrong with it, in time that nobody waits for.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::*;
use crate::metrics::Metrics;
use crate::model::kind::Kind;
use crate::model::meta::Meta;
use crate::store::Store;
use crate::store::cold::{Attributes, Care, Later, ListedObject};

/// A place in memory.
#[derive(Debug, Default)]
struct Odd {
    objects: Mutex<BTreeMap<Key, (Attributes, Bytes)>>,
    /// The one whose attributes can't be read.
    closed: Option<Key>,
    /// Whether no write ends.
    hangs: AtomicBool,
    /// Whether it can hold none of what is written.
    is_narrow: AtomicBool,
    /// So many times it can't be mended.
    unmended: AtomicU64,
}

impl Odd {
    fn put_in(&self, entry: &Entry, clock: &Clock) {
        let attributes = Attributes::of(&entry.body, &entry.meta, clock);
        self.objects.lock().insert(entry.key.clone(), (attributes, entry.body.clone()));
    }

    fn len(&self) -> usize {
        self.objects.lock().len()
    }
}

impl Cold for Odd {
    fn name(&self) -> &'static str {
        "odd"
    }

    fn put<'a>(&'a self, key: &'a Key, body: Bytes, attributes: &'a Attributes, _: Care) -> Later<'a, ()> {
        Box::pin(async move {
            while self.hangs.load(Ordering::SeqCst) {
                sleep(Duration::from_millis(10)).await;
            }
            if self.is_narrow.load(Ordering::SeqCst) {
                return Err(ColdError::Unfit("it is too long".to_owned()));
            }
            self.objects.lock().insert(key.clone(), (attributes.clone(), body));
            Ok(())
        })
    }

    fn get<'a>(&'a self, key: &'a Key) -> Later<'a, Option<(Attributes, Bytes)>> {
        Box::pin(async { Ok(self.objects.lock().get(key).cloned()) })
    }

    fn get_range<'a>(&'a self, key: &'a Key, _: Range<u64>) -> Later<'a, Option<(Attributes, Bytes)>> {
        self.get(key)
    }

    fn head<'a>(&'a self, key: &'a Key) -> Later<'a, Option<Attributes>> {
        Box::pin(async move {
            if self.closed.as_ref() == Some(key) {
                return Err(ColdError::Denied("somebody has closed it".to_owned()));
            }
            Ok(self.objects.lock().get(key).map(|(attributes, _)| attributes.clone()))
        })
    }

    fn delete<'a>(&'a self, key: &'a Key, _: Care) -> Later<'a, ()> {
        Box::pin(async {
            self.objects.lock().remove(key);
            Ok(())
        })
    }

    fn list(&self) -> mpsc::Receiver<Result<ListedObject, ColdError>> {
        let (sender, receiver) = mpsc::channel(100);
        for key in self.objects.lock().keys() {
            sender.try_send(Ok(ListedObject { key: key.clone(), attributes: None })).unwrap();
        }
        receiver
    }

    fn recover(&self) -> Later<'_, ()> {
        let left = self.unmended.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        Box::pin(async move { if left.is_ok() { Err(ColdError::Full("no space for a folder".to_owned())) } else { Ok(()) } })
    }
}

struct Scene {
    cold: Arc<Odd>,
    hot: Arc<HotNamespace>,
    tier: Tier,
}

impl Scene {
    fn start(cold: &Arc<Odd>, journal: &Path, clock: &Clock) -> Self {
        let (name, metrics) = (Namespace::parse("n").unwrap(), Metrics::new());
        let figures = metrics.namespace(&name);
        let hot = Store::new(1 << 30, clock.clone(), &metrics).open(1 << 20, figures.clone());
        let backend: Arc<dyn Cold> = Arc::clone(cold) as Arc<dyn Cold>;
        let open: OpenCold = Arc::new(move || Ok(Arc::clone(&backend)));
        let options = Options { ack: Ack::Hot, capacity: 1 << 30, write_behind: 1 << 20 };
        let tier = Tier::start(name, &hot, open, journal.to_owned(), options, figures.durable);
        Self { cold: Arc::clone(cold), hot, tier }
    }

    /// Has it told of an upload.
    fn upload(&self, entry: &Arc<Entry>) {
        Ear(Arc::clone(&self.tier.shared)).published(entry);
    }

    fn is_up(&self) -> bool {
        self.tier.shared.metrics.up.get() == 1
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        for _ in 0..600 {
            if is_so(self) {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
        panic!("{what}: not in a minute; {:?}, {:?}", self.tier.trouble(), self.hot.usage());
    }
}

fn entry(number: u64, clock: &Clock) -> Arc<Entry> {
    let key = Key::parse(&format!("{number}.ts")).unwrap();
    let meta = Meta::plain(Kind::Segment, HeaderValue::from_static("x"), clock, Duration::from_secs(60));
    Arc::new(Entry::new(key, Bytes::from(format!("body {number}")), meta))
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_looked_at_keeps_no_other_from_its_end() {
    let (clock, folder) = (Clock::manual(), tempfile::tempdir().unwrap());
    let closed = entry(3, &clock);
    let cold = Arc::new(Odd { closed: Some(closed.key.clone()), ..Odd::default() });
    (0..6).for_each(|number| cold.put_in(&entry(number, &clock), &clock));
    let scene = Scene::start(&cold, &folder.path().join("journal"), &clock);
    let says_so = |scene: &Scene| scene.tier.trouble().is_some_and(|trouble| trouble.contains("looked through"));
    scene.until("it is said", says_so).await;
    scene.until("the rest is known", |scene| scene.tier.knows_all() && scene.tier.held().0 == 5).await;
    assert!(!says_so(&scene));
    assert!(scene.tier.may_have(&closed.key), "nobody knows");
    clock.advance(Duration::from_secs(61));
    scene.until("the rest has gone", |scene| scene.cold.len() == 1).await;
    scene.tier.close().await;
}

/// The bucket, not an object of it, is what does not answer: nothing is known then.
#[tokio::test(start_paused = true)]
async fn a_look_at_which_most_fail_is_not_believed() {
    let seen = |good: u64, refused: u64| look::is_believed(good, refused);
    assert!(seen(0, 1) && seen(1000, 900) && !seen(1000, 1001) && !seen(0, 200));
}

#[tokio::test(start_paused = true)]
async fn a_place_that_hangs_is_not_up() {
    let (clock, folder, cold) = (Clock::manual(), tempfile::tempdir().unwrap(), Arc::new(Odd::default()));
    let scene = Scene::start(&cold, &folder.path().join("journal"), &clock);
    scene.until("it is up", |scene| scene.is_up() && scene.tier.knows_all()).await;
    cold.hangs.store(true, Ordering::SeqCst);
    scene.upload(&entry(1, &clock));
    sleep(Duration::from_secs(9)).await;
    assert!(scene.is_up());
    scene.until("it is known", |scene| !scene.is_up() && scene.tier.trouble().is_some()).await;
    cold.hangs.store(false, Ordering::SeqCst);
    scene.until("it is up again", |scene| scene.is_up() && scene.cold.len() == 1).await;
    scene.tier.close().await;
}

/// A tenant's loop does not fill the log.
#[tokio::test(start_paused = true)]
async fn what_a_place_cannot_hold_is_told_once_in_a_while() {
    let (clock, folder, cold) = (Clock::manual(), tempfile::tempdir().unwrap(), Arc::new(Odd::default()));
    cold.is_narrow.store(true, Ordering::SeqCst);
    let scene = Scene::start(&cold, &folder.path().join("journal"), &clock);
    scene.until("it is known", |scene| scene.tier.knows_all()).await;
    (0..5).for_each(|number| scene.upload(&entry(number, &clock)));
    scene.until("all are given up", |scene| scene.tier.shared.metrics.given_up.get() == 5).await;
    let untold = || scene.tier.shared.unfit.lock().take(clock.now());
    assert_eq!(untold(), None);
    clock.advance(Duration::from_secs(30));
    assert_eq!(untold(), Some(4), "the first was told at once");
    scene.tier.close().await;
}

/// The folder of the journal can't be made, objects are written all the same, and it can be made later.
#[tokio::test(start_paused = true)]
async fn what_was_written_without_a_journal_is_found_at_the_next_start() {
    let (clock, folder, cold) = (Clock::manual(), tempfile::tempdir().unwrap(), Arc::new(Odd::default()));
    let (parent, written) = (folder.path().join("parent"), entry(1, &clock));
    std::fs::write(&parent, "").unwrap();
    let journal = parent.join("journal");
    let scene = Scene::start(&cold, &journal, &clock);
    scene.until("it is known", |scene| !scene.is_up()).await;
    scene.upload(&written);
    scene.until("it is written", |scene| scene.cold.len() == 1).await;
    std::fs::remove_file(&parent).unwrap();
    scene.until("it is up, and all is known", |scene| scene.is_up() && scene.tier.knows_all()).await;
    scene.tier.close().await;
    let scene = Scene::start(&cold, &journal, &clock);
    scene.until("it is known", |scene| scene.tier.knows_all()).await;
    assert!(scene.tier.has(&written.key));
    scene.tier.close().await;
}

/// It does not need a write to be known to work again.
#[tokio::test(start_paused = true)]
async fn nothing_is_written_before_what_was_left_is_finished_or_given_up() {
    for unmended in [3, 1000] {
        let (clock, folder) = (Clock::manual(), tempfile::tempdir().unwrap());
        let cold = Arc::new(Odd { unmended: AtomicU64::new(unmended), ..Odd::default() });
        let scene = Scene::start(&cold, &folder.path().join("journal"), &clock);
        scene.until("it is known", |scene| scene.tier.trouble().is_some_and(|trouble| trouble.contains("no space"))).await;
        if unmended == 3 {
            scene.until("it is mended", |scene| scene.is_up() && scene.tier.knows_all()).await;
        }
        scene.upload(&entry(1, &clock));
        sleep(Duration::from_secs(2)).await;
        assert_eq!(scene.cold.len() == 1, unmended == 3);
        scene.until("it is written in the end", |scene| scene.cold.len() == 1).await;
        scene.tier.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn that_what_nobody_knows_is_not_there_ends_all_doubt() {
    let (clock, folder) = (Clock::manual(), tempfile::tempdir().unwrap());
    let damaged = entry(1, &clock);
    let cold = Arc::new(Odd { closed: Some(damaged.key.clone()), ..Odd::default() });
    cold.put_in(&damaged, &clock);
    cold.objects.lock().get_mut(&damaged.key).unwrap().1 = Bytes::from_static(b"other");
    let scene = Scene::start(&cold, &folder.path().join("journal"), &clock);
    scene.until("all but one is known", |scene| scene.tier.knows_all()).await;
    let doubts = |scene: &Scene| scene.tier.shared.state.lock().doubts.len();
    assert_eq!(scene.tier.read(&damaged.key, |_| Want::Whole).await.map(drop), Err(StoreError::Unreachable));
    assert_eq!(doubts(&scene), 1);
    cold.objects.lock().clear();
    clock.advance(Duration::from_secs(2));
    scene.until("it is asked for again", |scene| doubts(scene) == 0).await;
    assert!(scene.tier.read(&damaged.key, |_| Want::Whole).await.unwrap().is_none());
    scene.tier.close().await;
}
