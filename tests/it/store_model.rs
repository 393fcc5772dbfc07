//! The hot store against a plain model: random writes, reads, deletes, waits and floods, begun in one order and ended in another,
//! with a clock moved by hand. After each
//! step the store is compared with the model and recounts itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::test_runner::Config;
use springhead::metrics::Metrics;
use springhead::model::clock::Clock;
use springhead::model::id::{Key, Namespace};
use springhead::model::kind::Kind;
use springhead::model::meta::{Meta, Outset};
use springhead::model::stamp::Stamp;
use springhead::store::{BrokenOff, GrowingReader, HotNamespace, OPENED_WITHIN, OVERHEAD, Removal, Store, StoreError, Upload};

use crate::harness::bytes;

const CAPACITY: u64 = 40_000;
const MAX_IN_FLIGHT: u64 = 30_000;

#[derive(Clone, Debug)]
enum Step {
    /// A request begins, and what it wants is not known yet.
    Begin,
    /// `early`: for the oldest request that has begun, here and below.
    Put {
        key: u8,
        kind: Kind,
        length: u16,
        ttl: u8,
        announced: bool,
        early: bool,
    },
    PutIfAbsent {
        key: u8,
    },
    Open {
        key: u8,
        length: u16,
        readable: bool,
        early: bool,
        /// How much more than what comes now was announced; `None`: nothing was.
        announced: Option<u16>,
    },
    /// More of an upload that is open: which one, counted from the oldest.
    Write {
        which: u8,
        length: u16,
    },
    Finish {
        which: u8,
        kind: Kind,
        ttl: u8,
    },
    Drop {
        which: u8,
    },
    /// A reader of what grows under this key.
    Follow {
        key: u8,
    },
    Get {
        key: u8,
    },
    /// A reader takes an object's body, and is slow with it.
    Hold {
        key: u8,
    },
    /// One of them has it.
    LetGo {
        which: u8,
    },
    Renew {
        key: u8,
        ttl: u8,
    },
    Remove {
        key: u8,
        early: bool,
    },
    Wait {
        seconds: u8,
    },
    Sweep,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kind = prop_oneof![
        6 => Just(Kind::Segment),
        1 => Just(Kind::Playlist),
        1 => Just(Kind::Initialization),
        1 => Just(Kind::Manifest)
    ];
    // Few enough that uploads of one key meet.
    let key = prop_oneof![3 => 0u8..24, 1 => 0u8..3];
    let step = prop_oneof![
        4 => Just(Step::Begin),
        10 => (key.clone(), kind.clone(), 0u16..9000, 1u8..20, any::<bool>(), any::<bool>())
            .prop_map(|(key, kind, length, ttl, announced, early)| Step::Put { key, kind, length, ttl, announced, early }),
        1 => key.clone().prop_map(|key| Step::PutIfAbsent { key }),
        4 => (key.clone(), 0u16..6000, any::<bool>(), prop_oneof![2 => Just(None), 1 => (0u16..20_000).prop_map(Some)], any::<bool>())
            .prop_map(|(key, length, readable, announced, early)| Step::Open { key, length, readable, announced, early }),
        6 => (any::<u8>(), 0u16..4000).prop_map(|(which, length)| Step::Write { which, length }),
        2 => (any::<u8>(), kind.clone(), 1u8..20).prop_map(|(which, kind, ttl)| Step::Finish { which, kind, ttl }),
        2 => any::<u8>().prop_map(|which| Step::Drop { which }),
        6 => key.clone().prop_map(|key| Step::Follow { key }),
        8 => key.clone().prop_map(|key| Step::Get { key }),
        3 => key.clone().prop_map(|key| Step::Hold { key }),
        2 => any::<u8>().prop_map(|which| Step::LetGo { which }),
        3 => (key.clone(), 1u8..40).prop_map(|(key, ttl)| Step::Renew { key, ttl }),
        2 => (key, any::<bool>()).prop_map(|(key, early)| Step::Remove { key, early }),
        2 => (0u8..8).prop_map(|seconds| Step::Wait { seconds }),
        1 => Just(Step::Sweep),
    ];
    proptest::collection::vec(step, 1..150)
}

/// What the plain model knows of an object.
#[derive(Clone, Debug)]
struct Known {
    kind: Kind,
    body: Vec<u8>,
    expires: u64,
    written: u64,
    leased: bool,
}

impl Known {
    /// Whether it is given up only when nothing else is left.
    fn is_protected(&self) -> bool {
        self.leased || self.kind.is_protected()
    }
}

/// An upload that is open, and what has been written to it.
struct Open {
    upload: Upload,
    begun: Stamp,
    readable: bool,
    number: u64,
    body: Vec<u8>,
}

/// A reader of a growing body, and what he has to find.
struct Follower {
    reader: GrowingReader,
    of: u64,
    read: Vec<u8>,
}

struct World {
    clock: Clock,
    seconds: u64,
    hot: Arc<HotNamespace>,
    /// Everything written and not removed; what was evicted or has expired is taken out when the store says so.
    model: BTreeMap<String, Known>,
    open: Vec<Open>,
    /// Requests that have begun and have done nothing yet.
    begun: Vec<Stamp>,
    /// When the last of the changes that each name has seen was begun.
    latest: BTreeMap<String, Stamp>,
    followers: Vec<Follower>,
    /// Bodies in the hands of readers, by the number of their version.
    held: Vec<(u64, Bytes)>,
    /// The bodies that were published out of what was open, by number.
    finished: BTreeMap<u64, Vec<u8>>,
    seed: u64,
}

fn key(number: u8) -> Key {
    Key::parse(&format!("k{number}")).unwrap()
}

fn cost(key: &str, length: usize) -> u64 {
    length as u64 + key.len() as u64 + OVERHEAD
}

/// What is counted once an object is whole: the type it is served with too, which is one byte long here.
fn stored(key: &str, length: usize) -> u64 {
    cost(key, length) + 1
}

fn outset() -> Outset {
    Outset::plain(Kind::Segment, HeaderValue::from_static("x"), Duration::from_secs(9))
}

fn open(capacity: u64, max_in_flight: u64, clock: &Clock) -> Arc<HotNamespace> {
    let metrics = Metrics::new();
    let namespace = metrics.namespace(&Namespace::parse("n").unwrap());
    Store::new(max_in_flight, clock.clone(), &metrics).open(capacity, namespace)
}

impl World {
    fn new() -> Self {
        let clock = Clock::manual();
        let hot = open(CAPACITY, MAX_IN_FLIGHT, &clock);
        Self {
            clock,
            seconds: 0,
            hot,
            model: BTreeMap::new(),
            open: Vec::new(),
            begun: Vec::new(),
            latest: BTreeMap::new(),
            followers: Vec::new(),
            held: Vec::new(),
            finished: BTreeMap::new(),
            seed: 0,
        }
    }

    fn meta(&self, kind: Kind, ttl: u64) -> Meta {
        Meta::plain(kind, HeaderValue::from_static("x"), &self.clock, Duration::from_secs(ttl))
    }

    /// When a request began that is about to do something. It does so in time, or not at all.
    fn stamp(&mut self, early: bool) -> Stamp {
        let now = self.clock.now();
        self.begun.retain(|begun| now.since(begun.at()) < OPENED_WITHIN);
        if early && !self.begun.is_empty() { self.begun.remove(0) } else { self.hot.stamp() }
    }

    /// Whether a change that was begun then comes too late.
    fn is_superseded(&self, key: &Key, begun: Stamp) -> bool {
        self.latest.get(key.as_str()).is_some_and(|latest| *latest > begun)
    }

    fn put(&mut self, key: &Key, (kind, ttl): (Kind, u64), length: usize, announced: bool, only_if_absent: bool, early: bool) {
        let begun = self.stamp(early);
        self.seed += 1;
        let body = bytes(self.seed, length);
        let upload = self.hot.create(key, announced.then_some(length as u64), begun).and_then(|mut upload| {
            for piece in body.chunks(1500) {
                upload.write(Bytes::copy_from_slice(piece))?;
            }
            Ok(upload)
        });
        let mut upload = match upload {
            Ok(upload) => upload,
            Err(error) => {
                assert_eq!(error, StoreError::Busy);
                assert!(!self.open.is_empty(), "nothing else is in flight, so it has to fit");
                return;
            }
        };
        let whole = upload.body();
        assert_eq!(whole.bytes, body);
        let meta = self.meta(kind, ttl);
        let was_live = self.is_live(key.as_str());
        let present = self.hot.get(key).is_some();
        match upload.publish(whole, meta, self.clock.now(), |current| !only_if_absent || current.is_none()) {
            Ok(None) => assert!(self.is_superseded(key, begun), "nothing later is in force"),
            Ok(Some(published)) => {
                assert!(!self.is_superseded(key, begun), "something later is in force");
                self.latest.insert(key.as_str().to_owned(), begun);
                assert!(!(only_if_absent && present), "the condition was kept");
                assert_eq!(published.replaced.is_some(), present);
                assert_eq!(published.entry.body, body);
                let expires = self.seconds + ttl;
                let known = Known { kind, body, expires, written: self.seed, leased: false };
                self.model.insert(key.as_str().to_owned(), known);
                assert!(self.hot.get(key).is_some(), "what was just acknowledged is there");
            }
            Err(error) => {
                assert_eq!(error, StoreError::Precondition);
                assert!(only_if_absent && was_live);
            }
        }
    }

    /// The objects that are there.
    fn live(&self) -> Vec<bool> {
        (0..24).map(|number| self.hot.peek(&key(number)).is_some()).collect()
    }

    fn is_live(&self, key: &str) -> bool {
        self.model.get(key).is_some_and(|known| self.seconds < known.expires)
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Begin => self.begun.push(self.hot.stamp()),
            Step::Put { key: number, kind, length, ttl, announced, early } => {
                self.put(&key(number), (kind, u64::from(ttl)), usize::from(length), announced, false, early);
            }
            Step::PutIfAbsent { key: number } => self.put(&key(number), (Kind::Segment, 5), 100, true, true, false),
            Step::Open { key: number, length, readable, announced, early } => {
                let begun = self.stamp(early);
                let readable = readable && announced.is_none();
                let (before, usage) = (self.live(), self.hot.usage());
                let announced = announced.map(|more| u64::from(more) + u64::from(length));
                if let Ok(mut upload) = self.hot.create(&key(number), announced, begun) {
                    assert_eq!(self.live(), before, "nothing goes for what has not come");
                    let taken = self.hot.usage().in_flight - usage.in_flight;
                    assert_eq!(taken, cost(key(number).as_str(), 0), "what has not come takes nothing");
                    self.seed += 1;
                    if readable {
                        upload.readable_as(outset());
                    }
                    self.open.push(Open { upload, begun, readable, number: self.seed, body: Vec::new() });
                    self.write(self.open.len() - 1, length.into());
                }
            }
            Step::Write { which, length } => {
                if let Some(which) = usize::from(which).checked_rem(self.open.len()) {
                    self.write(which, length.into());
                }
            }
            Step::Finish { which, kind, ttl } => {
                if let Some(which) = usize::from(which).checked_rem(self.open.len()) {
                    self.finish(which, kind, ttl.into());
                }
            }
            Step::Drop { which } => {
                if let Some(which) = usize::from(which).checked_rem(self.open.len()) {
                    drop(self.open.remove(which));
                }
            }
            Step::Follow { key: number } => {
                // The one that was begun last, of those that can be read and may become the object.
                let can_be_read = |open: &&Open| {
                    let is_it = open.readable && !open.body.is_empty() && *open.upload.key() == key(number);
                    is_it && !self.is_superseded(&key(number), open.begun)
                };
                let expected = self.open.iter().filter(can_be_read).max_by_key(|open| open.begun);
                let found = self.hot.growing(&key(number));
                assert_eq!(found.is_some(), expected.is_some());
                if let (Some(reader), Some(open)) = (found, expected) {
                    self.followers.push(Follower { reader, of: open.number, read: Vec::new() });
                }
            }
            Step::Get { key: number } => drop(self.hot.get(&key(number))),
            Step::Hold { key: number } => {
                let written = self.model.get(key(number).as_str()).map_or(0, |known| known.written);
                if let Some(entry) = self.hot.get(&key(number)) {
                    self.held.push((written, entry.body.clone()));
                }
            }
            Step::LetGo { which } => {
                if let Some(which) = usize::from(which).checked_rem(self.held.len()) {
                    drop(self.held.swap_remove(which));
                }
            }
            Step::Renew { key: number, ttl } => {
                let found = self.hot.peek(&key(number));
                let until = self.clock.now() + Duration::from_secs(u64::from(ttl));
                assert_eq!(self.hot.renew(&key(number), until, self.clock.now()), found.is_some());
                let Some(found) = found else { return };
                let renewed = self.hot.peek(&key(number)).expect("it lives on");
                assert_eq!((&renewed.body, &renewed.meta.etag), (&found.body, &found.meta.etag), "the same version");
                assert!(renewed.meta.expires >= found.meta.expires, "never shorter");
                let (left, asked) = (renewed.meta.expires.since(self.clock.now()).as_secs(), u64::from(ttl));
                assert!(left * 8 >= asked * 7, "as long as was asked for, or nearly: {left} of {asked}");
                let known = self.model.get_mut(key(number).as_str()).unwrap();
                (known.expires, known.leased) = (self.seconds + left, true);
            }
            Step::Remove { key: number, early } => {
                let (key, begun) = (key(number), self.stamp(early));
                let was_there = self.hot.get(&key).is_some();
                let expected = match self.is_superseded(&key, begun) {
                    true => Removal::Superseded,
                    false if was_there => Removal::Removed,
                    false => Removal::Absent,
                };
                assert_eq!(self.hot.remove(&key, begun, self.clock.now(), |_| true), expected);
                if expected != Removal::Superseded {
                    self.model.remove(key.as_str());
                    self.latest.insert(key.as_str().to_owned(), begun);
                }
            }
            Step::Wait { seconds } => {
                self.seconds += u64::from(seconds);
                self.clock.advance(Duration::from_secs(u64::from(seconds)));
            }
            Step::Sweep => while self.hot.sweep() > 0 {},
        }
    }

    fn write(&mut self, which: usize, length: usize) {
        self.seed += 1;
        let piece = bytes(self.seed, length);
        let open = &mut self.open[which];
        match open.upload.write(Bytes::from(piece.clone())) {
            Ok(()) => open.body.extend(piece),
            Err(error) => {
                assert_eq!(error, StoreError::Busy);
                drop(self.open.remove(which));
            }
        }
    }

    fn finish(&mut self, which: usize, kind: Kind, ttl: u64) {
        let mut open = self.open.remove(which);
        let name = open.upload.key().clone();
        let body = open.upload.body();
        assert_eq!(body.bytes, open.body);
        // As one that is whole already and not published yet.
        self.hot.validate();
        assert_eq!(open.upload.is_superseded(), self.is_superseded(&name, open.begun));
        let published = open.upload.publish(body, self.meta(kind, ttl), self.clock.now(), |_| true).unwrap();
        assert_eq!(published.is_none(), self.is_superseded(&name, open.begun), "later means begun later");
        if published.is_none() {
            return;
        }
        self.latest.insert(name.as_str().to_owned(), open.begun);
        let known = Known { kind, body: open.body.clone(), expires: self.seconds + ttl, written: open.number, leased: false };
        // In the order in which they were published, and not opened.
        self.seed += 1;
        self.model.insert(name.as_str().to_owned(), Known { written: self.seed, ..known });
        self.finished.insert(open.number, open.body);
    }

    /// Has every reader read what there is, and compares it with what was written.
    fn follow(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        self.followers.retain_mut(|follower| {
            let end = loop {
                match follower.reader.poll_next(&mut cx) {
                    Poll::Ready(Some(Ok(piece))) => follower.read.extend_from_slice(&piece),
                    Poll::Ready(end) => break Some(end),
                    Poll::Pending => break None,
                }
            };
            let open = self.open.iter().find(|open| open.number == follower.of);
            match (end, open, self.finished.get(&follower.of)) {
                (None, Some(open), None) => assert!(follower.read == open.body, "all that has come"),
                (Some(None), None, Some(body)) => assert!(follower.read == *body, "a clean end, and all of it"),
                (Some(Some(Err(BrokenOff))), None, None) => {}
                (end, open, _) => panic!("{end:?} is not how it ended: open {}", open.is_some()),
            }
            open.is_some()
        });
        for number in 0..24 {
            let name = key(number);
            let is_open = self.open.iter().any(|open| *open.upload.key() == name);
            assert_eq!(self.hot.is_uploading(&name), is_open);
        }
    }

    /// Compares the store with the model, and takes out of the model what the store has given up.
    fn compare(&mut self) {
        self.hot.validate();
        self.follow();
        let mut lost_protected = false;
        let mut lost_leased = false;
        let (mut segments_left, mut unleased_left) = (0, 0);
        // What has to stay together for a protected object to go: the protected ones and the newest of all.
        let newest = self.model.values().map(|known| known.written).max().unwrap_or(0);
        let must_stay = |known: &Known| known.is_protected() || known.written == newest;
        let held: u64 =
            self.model.iter().filter(|(_, known)| must_stay(known)).map(|(name, known)| stored(name, known.body.len())).sum();
        let keys: Vec<String> = self.model.keys().cloned().collect();
        for name in keys {
            let known = self.model[&name].clone();
            // Not `get`: a look of ours must not count as a reader's.
            let found = self.hot.peek(&Key::parse(&name).unwrap());
            match found {
                Some(entry) => {
                    assert!(self.seconds < known.expires, "{name} has outlived its TTL");
                    assert_eq!(entry.body, known.body, "{name} is the last version, whole");
                    segments_left += usize::from(!known.is_protected());
                    unleased_left += usize::from(!known.leased);
                }
                None => {
                    lost_protected |= known.is_protected() && self.seconds < known.expires;
                    lost_leased |= known.leased && self.seconds < known.expires;
                    self.model.remove(&name);
                }
            }
        }
        let usage = self.hot.usage();
        let live: u64 = self.model.iter().map(|(name, known)| stored(name, known.body.len())).sum();
        assert!(usage.stored >= live, "everything live is counted");
        while self.hot.sweep() > 0 {}
        assert_eq!(self.hot.usage().stored, live, "and nothing else, once the expired are swept");
        let there: BTreeSet<u64> = self.model.values().map(|known| known.written).collect();
        let gone: BTreeMap<u64, usize> = self
            .held
            .iter()
            .filter(|(written, _)| !there.contains(written))
            .map(|(written, body)| (*written, body.len()))
            .collect();
        let pinned = gone.values().sum::<usize>() as u64;
        assert_eq!(self.hot.usage().pinned, pinned, "each version that is gone and held by readers is counted once");
        let in_flight: u64 = self.open.iter().map(|open| cost(open.upload.key().as_str(), open.body.len())).sum();
        assert_eq!(usage.in_flight, in_flight);
        // What an upload takes before any of it has come pushes nothing out; its bytes do, and then for all of it.
        let let_in: u64 = self.open.iter().map(|open| cost(open.upload.key().as_str(), 0)).sum();
        let protected: u64 =
            self.model.iter().filter(|(_, known)| known.is_protected()).map(|(name, known)| stored(name, known.body.len())).sum();
        let newest =
            self.model.values().map(|known| (known.written, known.body.len())).max().map_or(0, |(_, length)| length as u64);
        assert!(
            live + in_flight - let_in <= CAPACITY || live <= protected + newest + OVERHEAD + 4,
            "over the capacity only with nothing left to give up: {live} + {in_flight}"
        );
        if lost_leased {
            assert!(unleased_left <= 1, "what a live stream needs went while {unleased_left} others were there");
        }
        if lost_protected {
            assert!(segments_left <= 1, "a protected object went while {segments_left} segments were there");
            assert!(held > CAPACITY, "a protected object went for the sake of uploads in flight: {held} bytes were held");
        }
    }
}

proptest! {
    #![proptest_config(Config { cases: 400, failure_persistence: None, ..Config::default() })]

    #[test]
    fn the_store_does_as_the_model(steps in steps()) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
            world.compare();
        }
        world.open.clear();
        world.held.clear();
        world.compare();
        let usage = world.hot.usage();
        assert_eq!(usage.in_flight, 0);
        assert!(usage.stored <= CAPACITY);
        world.clock.advance(Duration::from_secs(3600));
        while world.hot.sweep() > 0 {}
        assert_eq!((world.hot.usage().stored, world.hot.usage().objects), (0, 0), "in the end everything has gone");
        world.hot.validate();
    }
}

/// Writers, readers, deleters and the sweep at once: bodies are never torn or mixed, and the account is right in the end.
#[test]
fn many_at_once_keep_the_account() {
    let clock = Clock::system();
    let hot = &open(2_000_000, 1 << 30, &clock);
    let write = |thread: u64| {
        for n in 0..2000u64 {
            let length = 1000 + usize::try_from((n * 7919 + thread) % 20_000).unwrap();
            // A third of them can be read as they grow.
            let announced = (n % 3 > 0).then_some(length as u64);
            let mut upload = hot.create(&key(u8::try_from(n % 200).unwrap()), announced, hot.stamp()).unwrap();
            upload.readable_as(outset());
            // Each body is one byte over and over, so that a mixture shows.
            let body = Bytes::from(vec![u8::try_from(n % 251).unwrap(); length]);
            upload.write(body.slice(..length / 2)).unwrap();
            if announced.is_none() {
                std::thread::yield_now();
            }
            upload.write(body.slice(length / 2..)).unwrap();
            if n % 7 == 0 {
                continue;
            }
            let body = upload.body();
            let kind = if n % 9 == 0 { Kind::Playlist } else { Kind::Segment };
            let meta = Meta::plain(kind, HeaderValue::from_static("x"), &clock, Duration::from_millis(n % 50));
            upload.publish(body, meta, clock.now(), |_| true).unwrap();
        }
    };
    let followed = &AtomicU64::new(0);
    let keys: &Vec<Key> = &(0..200).map(key).collect();
    let read = || {
        for n in 0..20_000u64 {
            if let Some(entry) = hot.get(&key(u8::try_from(n % 200).unwrap())) {
                assert!(entry.body.iter().all(|byte| *byte == entry.body[0]), "a mixed body");
            }
            if let Some(mut reader) = keys.iter().find_map(|key| hot.growing(key)) {
                followed.fetch_add(1, Ordering::Relaxed);
                let mut cx = Context::from_waker(Waker::noop());
                let mut read = Vec::new();
                // To its end, whichever that is: its writer goes on.
                while !matches!(reader.poll_end(&mut cx), Poll::Ready(Err(_))) {
                    match reader.poll_next(&mut cx) {
                        Poll::Ready(Some(Ok(piece))) => read.extend_from_slice(&piece),
                        Poll::Ready(None) => {
                            assert!(read.len() >= 1000, "a whole body");
                            break;
                        }
                        Poll::Ready(Some(Err(BrokenOff))) => break,
                        Poll::Pending => std::thread::yield_now(),
                    }
                }
                assert!(read.iter().all(|byte| *byte == read[0]), "a mixed body");
            }
            if n % 50 == 0 {
                hot.remove(&key(u8::try_from(n % 200).unwrap()), hot.stamp(), clock.now(), |_| true);
                hot.validate();
            }
        }
    };
    std::thread::scope(|scope| {
        for thread in 0..3 {
            scope.spawn(move || write(thread));
            scope.spawn(read);
        }
        scope.spawn(|| {
            for _ in 0..2000 {
                while hot.sweep() > 0 {}
                std::thread::yield_now();
            }
        });
    });
    hot.validate();
    let followed = followed.load(Ordering::Relaxed);
    assert!(followed > 20, "only {followed} bodies were read as they grew");
    assert_eq!(hot.usage().in_flight, 0);
    assert!(hot.usage().stored <= 2_000_000);
}
