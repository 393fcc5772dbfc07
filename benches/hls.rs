//! Reading a playlist, as at every write of one: short windows, and the hours that some keep.
//!
//! `cargo bench --bench hls`.

#![expect(clippy::unwrap_used, reason = "a bench that meets the unexpected ends there")]

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use springhead::hls::playlist::{self, Playlist};
use springhead::hls::uri;
use springhead::model::id::{Key, Namespace, ObjectId};

/// As ffmpeg writes it, with a date on every segment.
fn media(segments: usize) -> String {
    let mut text = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:891\n".to_owned();
    for number in 891..891 + segments {
        let (minute, second) = (number / 30 % 60, number % 30 * 2);
        let date = format!("2026-01-02T03:{minute:02}:{second:02}.678+0000");
        write!(text, "#EXTINF:2.002000,\n#EXT-X-PROGRAM-DATE-TIME:{date}\nplaylist_480p30_{number:05}.ts\n").unwrap();
    }
    text
}

fn hls(criterion: &mut Criterion) {
    for segments in [6, 60, 1000, 5400] {
        let text = media(segments);
        criterion.bench_function(&format!("parse, {segments} segments"), |bencher| {
            bencher.iter(|| playlist::parse(black_box(text.as_bytes())).unwrap());
        });
    }
    let Ok(Playlist::Media(media)) = playlist::parse(media(1000).as_bytes()) else { return };
    let id = ObjectId { namespace: Namespace::parse("live").unwrap(), key: Key::parse("show/a.m3u8").unwrap() };
    criterion.bench_function("resolve, 1000 segments", |bencher| {
        bencher.iter(|| media.segments.iter().filter_map(|segment| uri::resolve(&id, &segment.uri)).count());
    });
}

criterion_group!(benches, hls);
criterion_main!(benches);
