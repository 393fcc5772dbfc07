//! The hot store in process: get, put, evict, expire and a page of names, with 1 k, 100 k and 1 M objects in it.
//!
//! `cargo bench --bench store`. Figures are worth comparing within one run only.

#![expect(clippy::unwrap_used, reason = "a bench that meets the unexpected ends there")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use http::HeaderValue;
use springhead::metrics::Metrics;
use springhead::model::clock::Clock;
use springhead::model::id::{Key, Namespace};
use springhead::model::kind::Kind;
use springhead::model::meta::Meta;
use springhead::store::{HotNamespace, NamePage, OVERHEAD, Store};

const SIZES: [u32; 3] = [1_000, 100_000, 1_000_000];
const TTL: Duration = Duration::from_secs(3600);

fn key(number: u32) -> Key {
    Key::parse(&format!("show/playlist_720p30_{number:08}.ts")).unwrap()
}

fn namespace(capacity: u64, clock: &Clock) -> Arc<HotNamespace> {
    let metrics = Metrics::new();
    let namespace = metrics.namespace(&Namespace::parse("bench").unwrap());
    Store::new(1 << 30, clock.clone(), &metrics).open(capacity, namespace)
}

fn put(hot: &Arc<HotNamespace>, key: &Key, body: &Bytes) {
    let mut upload = hot.create(key, Some(body.len() as u64), hot.stamp()).unwrap();
    upload.write(body.clone()).unwrap();
    let body = upload.body();
    let meta = Meta::plain(Kind::Segment, HeaderValue::from_static("x"), hot.clock(), TTL);
    upload.publish(body, meta, hot.clock().now(), |_| true).unwrap();
}

fn filled(count: u32, capacity: u64, clock: &Clock) -> Arc<HotNamespace> {
    let hot = namespace(capacity, clock);
    let body = Bytes::from_static(&[7; 64]);
    for number in 0..count {
        put(&hot, &key(number), &body);
    }
    hot
}

fn store(criterion: &mut Criterion) {
    let body = Bytes::from_static(&[7; 64]);
    for size in SIZES {
        let clock = Clock::system();
        let hot = filled(size, u64::MAX, &clock);
        let mut number = 0u32;
        let mut next = || {
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            key(number % size)
        };
        criterion.bench_with_input(BenchmarkId::new("get", size), &size, |bencher, _| {
            bencher.iter_batched(&mut next, |key| hot.get(&key), BatchSize::SmallInput);
        });
        criterion.bench_with_input(BenchmarkId::new("put over another", size), &size, |bencher, _| {
            bencher.iter_batched(&mut next, |key| put(&hot, &key, &body), BatchSize::SmallInput);
        });
        // It costs what it shows, whatever else there is.
        criterion.bench_with_input(BenchmarkId::new("page of 200 names", size), &size, |bencher, _| {
            let page = |after: Key| {
                let mut page = NamePage::new("show/", false, after.as_str(), 200);
                let begin = page.begin().to_owned();
                hot.in_order(&begin, |entry| page.offer(entry.key.as_str(), |known| *known = Some(Arc::clone(entry))));
                page.end()
            };
            bencher.iter_batched(|| key(size / 2), page, BatchSize::SmallInput);
        });
        // Full to the brim: each new object pushes out the oldest.
        let brim = u64::from(size) * (OVERHEAD + 64 + 32);
        let full = filled(size, brim, &clock);
        let mut fresh = size;
        criterion.bench_with_input(BenchmarkId::new("put and evict", size), &size, |bencher, _| {
            let next = || {
                fresh += 1;
                key(fresh)
            };
            bencher.iter_batched(next, |key| put(&full, &key, &body), BatchSize::SmallInput);
        });
    }
    for size in [1_000, 100_000] {
        criterion.bench_with_input(BenchmarkId::new("expire all of", size), &size, |bencher, &size| {
            let clock = Clock::manual();
            let fill = || {
                let hot = filled(size, u64::MAX, &clock);
                clock.advance(TTL);
                hot
            };
            let sweep = |hot: Arc<HotNamespace>| {
                while hot.sweep() > 0 {}
                hot
            };
            bencher.iter_batched(fill, sweep, BatchSize::PerIteration);
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = store
}
criterion_main!(benches);
