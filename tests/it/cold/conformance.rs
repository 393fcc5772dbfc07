//! What every backend below the hot store has to do. A backend's own test makes an empty one and hands it to [`check`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use springhead::model::clock::{Clock, WallTime};
use springhead::model::continuity::Continuity;
use springhead::model::facts::SegmentFacts;
use springhead::model::id::Key;
use springhead::model::kind::Kind;
use springhead::model::meta::Meta;
use springhead::model::rendering::Rendering;
use springhead::store::cold::{Attributes, Care, Cold};

use crate::harness::bytes;

pub(crate) fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

/// Attributes as an encoder's upload would have them, to the millisecond as they are kept.
pub(crate) fn attributes(body: &Bytes, kind: Kind) -> Attributes {
    let clock = Clock::manual();
    let meta = Meta {
        kind,
        content_type: HeaderValue::from_static("video/mp2t; profile=\"a b\""),
        rendering: Rendering::Inert,
        content_encoding: Some(HeaderValue::from_static("gzip")),
        cache_control: Some(HeaderValue::from_static("public, max-age=7")),
        etag: HeaderValue::from_static("\"0123456789abcdef\""),
        last_modified: HeaderValue::from_static(""),
        modified: WallTime::from_millis(1_767_225_600_123),
        expires: clock.now() + Duration::from_secs(3_600),
        target_duration: (kind == Kind::Playlist).then_some(Duration::from_millis(2_500)),
        facts: SegmentFacts::parse("ts,v256/90000@133500+180000k,!continuity").map(Arc::new),
        continuity: Continuity::parse("r1767225600.0.7,w5,a1767225600000,h1767225600000,s0").map(Arc::new),
        liveness: None,
    };
    Attributes::of(body, &meta, &clock)
}

/// Keys that are hard to keep under their own names. Encoders send most of these sooner or later.
pub(crate) fn hard_keys() -> Vec<Key> {
    let long = |n: usize, c: &str| c.repeat(n);
    let mut texts = vec![
        "playlist.m3u8".to_owned(),
        "live/channel 1/seg_00001.ts".to_owned(),
        // A file and a folder of one name, in several shapes.
        "a".to_owned(),
        "a/b".to_owned(),
        "a/b/c".to_owned(),
        "a.ts".to_owned(),
        "a.ts/b.ts".to_owned(),
        "a.ts/b".to_owned(),
        "a%".to_owned(),
        "a%/b".to_owned(),
        "a.ts%".to_owned(),
        "a.ts%/b".to_owned(),
        "a%25".to_owned(),
        "a%2".to_owned(),
        // Case.
        "A.ts".to_owned(),
        "A".to_owned(),
        // Names that a backend may want for itself.
        ".meta".to_owned(),
        ".meta/a.json".to_owned(),
        "a.json".to_owned(),
        "a.ts.json".to_owned(),
        "a.meta".to_owned(),
        ".a.ts.meta".to_owned(),
        ".new/1.body".to_owned(),
        "lost+found".to_owned(),
        "#a#".to_owned(),
        "...".to_owned(),
        " ".to_owned(),
        "~".to_owned(),
        "-rf".to_owned(),
        "a\\b".to_owned(),
        "a?b=c&d".to_owned(),
        "a+b c".to_owned(),
        "con".to_owned(),
        "日本語/😀.ts".to_owned(),
        // The same letter, composed and not.
        "\u{e9}.ts".to_owned(),
        "e\u{301}.ts".to_owned(),
    ];
    // Long ones: a segment longer than file systems take, two that differ at their ends only, and many folders.
    texts.push(format!("{}1", long(1023, "x")));
    texts.push(format!("{}2", long(1023, "x")));
    texts.push(format!("{}/b.ts", long(1000, "x")));
    texts.push(long(1024, "%"));
    texts.push(format!("{}.ts", long(250, "%")));
    texts.push(format!("{}.ts", long(252, "y")));
    texts.push(format!("{}/{}", long(256, "z"), long(256, "z")));
    texts.push(long(341, "語"));
    texts.push(format!("{}f", long(511, "d/")));
    texts.iter().map(|text| key(text)).collect()
}

async fn put(cold: &dyn Cold, key: &Key, body: &Bytes, care: Care) -> Attributes {
    let attributes = attributes(body, Kind::of(key, body));
    cold.put(key, body.clone(), &attributes, care).await.unwrap_or_else(|error| panic!("put {key:?}: {error}"));
    attributes
}

/// Every key that is listed, with its attributes.
pub(crate) async fn listed(cold: &dyn Cold) -> BTreeMap<Key, Attributes> {
    let mut list = cold.list();
    let mut found = BTreeMap::new();
    while let Some(object) = list.recv().await {
        let object = object.unwrap();
        let attributes = match object.attributes {
            Some(attributes) => Some(attributes.unwrap()),
            None => cold.head(&object.key).await.unwrap(),
        };
        found.insert(object.key, attributes.expect("what is listed is there"));
    }
    found
}

/// All of it, on a backend that is empty.
pub(crate) async fn check(cold: Arc<dyn Cold>) {
    check_alone(&*cold).await;
    versions_are_never_mixed(&cold).await;
}

/// All but readers beside a writer, for a server that does not keep to it itself.
pub(crate) async fn check_alone(cold: &dyn Cold) {
    absent_is_an_answer(cold).await;
    everything_reads_back(cold).await;
    hard_names_are_kept_apart(cold).await;
    a_rewrite_replaces(cold).await;
    ranges_are_exact(cold).await;
}

async fn absent_is_an_answer(cold: &dyn Cold) {
    let none = key("folder/none.ts");
    assert_eq!(cold.get(&none).await, Ok(None));
    assert_eq!(cold.get_range(&none, 0..1).await, Ok(None));
    assert_eq!(cold.head(&none).await, Ok(None));
    assert_eq!(cold.delete(&none, Care::Synced).await, Ok(()));
    assert!(listed(cold).await.is_empty());
    assert!(!cold.name().is_empty());
}

async fn everything_reads_back(cold: &dyn Cold) {
    for (n, (length, kind)) in
        [(0, Kind::Segment), (1, Kind::Playlist), (4096, Kind::Manifest), (3_000_001, Kind::Initialization)]
            .into_iter()
            .enumerate()
    {
        let (key, body) = (key(&format!("back/{n}.bin")), Bytes::from(bytes(n as u64, length)));
        let attributes = attributes(&body, kind);
        cold.put(&key, body.clone(), &attributes, if n % 2 == 0 { Care::Synced } else { Care::Buffered }).await.unwrap();
        assert_eq!(cold.head(&key).await.unwrap().as_ref(), Some(&attributes));
        let (kept, read) = cold.get(&key).await.unwrap().unwrap();
        assert_eq!((&kept, read == body), (&attributes, true));
        assert!(kept.fits(&read));
        cold.delete(&key, Care::Synced).await.unwrap();
        assert_eq!(cold.get(&key).await, Ok(None));
        assert_eq!(cold.head(&key).await, Ok(None));
    }
    // What an encoder may leave out stays out.
    let (key, body) = (key("bare"), Bytes::from_static(b"x"));
    let mut bare = attributes(&body, Kind::Segment);
    (bare.content_encoding, bare.cache_control) = (None, None);
    cold.put(&key, body.clone(), &bare, Care::Buffered).await.unwrap();
    assert_eq!(cold.get(&key).await, Ok(Some((bare, body))));
    cold.delete(&key, Care::Buffered).await.unwrap();
    assert!(listed(cold).await.is_empty());
}

async fn hard_names_are_kept_apart(cold: &dyn Cold) {
    let keys = hard_keys();
    let body = |n: usize| Bytes::from(format!("body {n}"));
    let mut expected = BTreeMap::new();
    for (n, key) in keys.iter().enumerate() {
        expected.insert(key.clone(), put(cold, key, &body(n), Care::Buffered).await);
    }
    assert_eq!(expected.len(), keys.len());
    for (n, key) in keys.iter().enumerate() {
        let (attributes, read) = cold.get(key).await.unwrap().unwrap_or_else(|| panic!("{key:?} is gone"));
        assert_eq!((read, &attributes), (body(n), &expected[key]), "{key:?}");
    }
    assert_eq!(listed(cold).await, expected);
    assert_eq!(cold.tidy().await, Ok(0), "all of it belongs to objects");
    for key in &keys {
        cold.delete(key, Care::Buffered).await.unwrap();
        assert_eq!(cold.head(key).await, Ok(None), "{key:?}");
        expected.remove(key);
        if expected.len() % 8 == 0 {
            assert_eq!(listed(cold).await, expected, "only {key:?} went");
        }
    }
}

async fn a_rewrite_replaces(cold: &dyn Cold) {
    let key = key("live/playlist.m3u8");
    let mut last = None;
    for (n, length) in [10, 100_000, 0, 50, 50].into_iter().enumerate() {
        let body = Bytes::from(bytes(n as u64 + 100, length));
        let attributes = put(cold, &key, &body, Care::Synced).await;
        assert_eq!(cold.get(&key).await.unwrap(), Some((attributes.clone(), body.clone())));
        last = Some(attributes);
    }
    assert_eq!(listed(cold).await.get(&key), last.as_ref());
    cold.delete(&key, Care::Synced).await.unwrap();
    // A name is free again after its object.
    put(cold, &key, &Bytes::from_static(b"again"), Care::Buffered).await;
    assert_eq!(cold.get(&key).await.unwrap().unwrap().1, "again");
    cold.delete(&key, Care::Synced).await.unwrap();
}

async fn ranges_are_exact(cold: &dyn Cold) {
    let (key, body) = (key("range.mp4"), Bytes::from(bytes(7, 100_000)));
    let attributes = put(cold, &key, &body, Care::Buffered).await;
    for range in [0..1, 0..100_000, 99_999..100_000, 5..50_000, 65_535..65_537, 99_990..200_000] {
        let (kept, part) = cold.get_range(&key, range.clone()).await.unwrap().unwrap();
        let end = usize::try_from(range.end).unwrap().min(body.len());
        assert!(part == body.slice(usize::try_from(range.start).unwrap()..end), "{range:?}");
        assert_eq!(kept, attributes, "{range:?}");
    }
    cold.delete(&key, Care::Buffered).await.unwrap();
    assert_eq!(cold.get_range(&key, 0..1).await, Ok(None));
}

/// Readers beside a writer: each read is one version, whole, with its own attributes, and never goes back.
async fn versions_are_never_mixed(cold: &Arc<dyn Cold>) {
    let key = key("live/rewritten.m3u8");
    // Each version is one byte over and over, and as long as its number says.
    let version = |n: u8| Bytes::from(vec![n; 1_000 + usize::from(n) * 500]);
    put(&**cold, &key, &version(0), Care::Buffered).await;
    let readers: Vec<_> = (0..3)
        .map(|reader| {
            let (cold, key) = (Arc::clone(cold), key.clone());
            tokio::spawn(async move {
                let mut newest = 0;
                loop {
                    let (attributes, part) = if reader == 0 {
                        let (attributes, part) = cold.get_range(&key, 10..900).await.unwrap().unwrap();
                        assert_eq!(part.len(), 890);
                        (attributes, part)
                    } else {
                        let (attributes, body) = cold.get(&key).await.unwrap().unwrap();
                        assert!(attributes.fits(&body), "a mixed version");
                        (attributes, body)
                    };
                    let n = part[0];
                    assert!(part.iter().all(|byte| *byte == n), "a mixed body");
                    assert_eq!(attributes.length, 1_000 + u64::from(n) * 500, "another version's attributes");
                    assert!(n >= newest, "an older version after a newer one");
                    newest = n;
                    if n == 40 {
                        break;
                    }
                }
            })
        })
        .collect();
    for n in 1..=40 {
        put(&**cold, &key, &version(n), Care::Buffered).await;
    }
    for reader in readers {
        tokio::time::timeout(Duration::from_secs(60), reader).await.expect("readers see the last version").unwrap();
    }
    cold.delete(&key, Care::Synced).await.unwrap();
    assert!(listed(&**cold).await.is_empty(), "nothing is left");
    assert_eq!(cold.tidy().await, Ok(0));
}
