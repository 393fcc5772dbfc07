//! What is kept beside a body, so that the object can be served again by another process.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use bytes::Bytes;
use http::HeaderValue;
use serde::{Deserialize, Serialize};

use super::{Blocks, ColdError};
use crate::model::clock::{Clock, WallTime};
use crate::model::continuity::Continuity;
use crate::model::facts::SegmentFacts;
use crate::model::id::Key;
use crate::model::kind::Kind;
use crate::model::meta::{self, Meta};
use crate::model::rendering::Rendering;
use crate::store::hash;

/// The form's version. A reader leaves a later one alone; fields may be added without a new one.
const VERSION: u32 = 1;

/// Everything of an object but its body and its key. Times are the wall clock's: the monotonic one begins anew with each process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// The body's length in bytes.
    pub length: u64,
    /// XXH3 of the body, 128 bits.
    pub hash: u128,
    /// What it is to a live stream.
    pub kind: Kind,
    /// The media type it is served with.
    pub content_type: HeaderValue,
    /// The coding the encoder applied.
    pub content_encoding: Option<HeaderValue>,
    /// What the encoder wants caches told.
    pub cache_control: Option<HeaderValue>,
    /// Its entity tag.
    pub etag: HeaderValue,
    /// When it was committed.
    pub modified: WallTime,
    /// From this moment on it does not exist.
    pub expires: WallTime,
    /// For a playlist that states one: its target duration.
    pub target_duration: Option<Duration>,
    /// For a segment: what its bytes say of it.
    pub facts: Option<Arc<SegmentFacts>>,
    /// For a playlist that is composed here: how it goes on.
    pub continuity: Option<Arc<Continuity>>,
    /// Hashes of the body's parts, where it is long.
    pub blocks: Blocks,
    /// Where nodes share it: which of its versions this is. Not kept on a disk.
    pub version: Option<VersionMark>,
}

/// Which version of an object, where several nodes write to one place: a later one is greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct VersionMark(pub [u8; 16]);

/// What every version of the form has.
#[derive(Deserialize)]
struct Form {
    version: u32,
}

/// The attributes as they are written: JSON, in ASCII, so that it can stand in a header as well as in a file. A header value's
/// bytes above 127, which have no charset, are written as the characters of the same numbers.
#[derive(Serialize, Deserialize)]
struct Written {
    version: u32,
    key: String,
    length: u64,
    hash: String,
    kind: String,
    content_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content_encoding: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cache_control: Option<String>,
    etag: String,
    modified_ms: u64,
    expires_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target_duration_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    facts: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    continuity: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    blocks: Option<String>,
}

impl Attributes {
    /// Those of an object in memory.
    #[must_use]
    pub fn of(body: &Bytes, meta: &Meta, clock: &Clock) -> Self {
        // An entity tag is the hash of its body, taken when that came: what was hashed once is not hashed again.
        let hash = meta::etag_hash(&meta.etag).unwrap_or_else(|| hash::of_body(body));
        debug_assert_eq!(hash, hash::of_body(body), "an entity tag is its body's");
        Self {
            length: body.len() as u64,
            hash,
            kind: meta.kind,
            content_type: meta.content_type.clone(),
            content_encoding: meta.content_encoding.clone(),
            cache_control: meta.cache_control.clone(),
            etag: meta.etag.clone(),
            modified: meta.modified,
            expires: clock.wall_of_deadline(meta.modified, meta.expires),
            target_duration: meta.target_duration,
            facts: meta.facts.clone(),
            continuity: meta.continuity.clone(),
            blocks: Blocks::of(body),
            version: None,
        }
    }

    /// What a reader is told of the object.
    #[must_use]
    pub fn to_meta(&self, clock: &Clock) -> Meta {
        // A tag that is no text was never one of ours.
        let (etag, last_modified) = meta::validators(self.etag.to_str().unwrap_or_default(), self.modified);
        Meta {
            kind: self.kind,
            content_type: self.content_type.clone(),
            // By today's rule, whoever wrote it.
            rendering: Rendering::of(&self.content_type),
            content_encoding: self.content_encoding.clone(),
            cache_control: self.cache_control.clone(),
            etag,
            last_modified,
            modified: self.modified,
            expires: clock.deadline_of(self.modified, self.expires),
            target_duration: self.target_duration,
            facts: self.facts.clone(),
            continuity: self.continuity.clone(),
            // Of the live edge, which this is not any more: the next rewrite tells it again.
            liveness: None,
        }
    }

    /// Whether they describe this body.
    #[must_use]
    pub fn fits(&self, body: &Bytes) -> bool {
        self.length == body.len() as u64 && self.hash == hash::of_body(body)
    }

    /// As text in ASCII, on one line. The key goes with them, so that a file's or bucket's own name need not tell it.
    #[must_use]
    pub fn to_json(&self, key: &Key) -> String {
        let text = |value: &HeaderValue| value.as_bytes().iter().copied().map(char::from).collect::<String>();
        let written = Written {
            version: VERSION,
            key: key.to_string(),
            length: self.length,
            hash: format!("{:032x}", self.hash),
            kind: self.kind.as_str().to_owned(),
            content_type: text(&self.content_type),
            content_encoding: self.content_encoding.as_ref().map(text),
            cache_control: self.cache_control.as_ref().map(text),
            etag: text(&self.etag),
            modified_ms: self.modified.millis(),
            expires_ms: self.expires.millis(),
            target_duration_ms: self.target_duration.map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX)),
            facts: self.facts.as_ref().map(ToString::to_string),
            continuity: self.continuity.as_ref().map(ToString::to_string),
            blocks: (!self.blocks.is_empty()).then(|| BASE64.encode(self.blocks.to_bytes())),
        };
        ascii(&serde_json::to_string(&written).unwrap_or_default())
    }

    /// Reads what [`Attributes::to_json`] wrote.
    ///
    /// # Errors
    /// [`ColdError::Damaged`], or [`ColdError::Later`].
    pub fn from_json(json: &[u8]) -> Result<(Key, Self), ColdError> {
        let damaged = |what: String| ColdError::Damaged(format!("its attributes: {what}"));
        let form: Form = serde_json::from_slice(json).map_err(|error| damaged(error.to_string()))?;
        if form.version > VERSION {
            return Err(ColdError::Later(format!("its attributes are of format {}, this one reads {VERSION}", form.version)));
        }
        let written: Written = serde_json::from_slice(json).map_err(|error| damaged(error.to_string()))?;
        if written.version != VERSION {
            return Err(damaged(format!("there is no version {}", written.version)));
        }
        let value = |text: String| {
            let bytes: Result<Vec<u8>, _> = text.chars().map(u8::try_from).collect();
            bytes.ok().and_then(|bytes| HeaderValue::from_bytes(&bytes).ok()).ok_or_else(|| damaged("no header value".to_owned()))
        };
        let key = Key::parse(&written.key).map_err(|error| damaged(error.to_string()))?;
        let attributes = Self {
            length: written.length,
            hash: u128::from_str_radix(&written.hash, 16).map_err(|error| damaged(error.to_string()))?,
            kind: kind(&written.kind).ok_or_else(|| damaged("no kind".to_owned()))?,
            content_type: value(written.content_type)?,
            content_encoding: written.content_encoding.map(value).transpose()?,
            cache_control: written.cache_control.map(value).transpose()?,
            etag: value(written.etag)?,
            modified: WallTime::from_millis(written.modified_ms),
            expires: WallTime::from_millis(written.expires_ms),
            target_duration: written.target_duration_ms.map(Duration::from_millis),
            facts: written.facts.as_deref().and_then(SegmentFacts::parse).map(Arc::new),
            continuity: written.continuity.as_deref().and_then(Continuity::parse).map(Arc::new),
            blocks: written
                .blocks
                .and_then(|text| BASE64.decode(text).ok())
                .map_or_else(Blocks::default, |bytes| Blocks::from_bytes(&bytes)),
            version: None,
        };
        Ok((key, attributes))
    }
}

/// The kind of this name.
pub(super) fn kind(name: &str) -> Option<Kind> {
    Kind::ALL.into_iter().find(|kind| kind.as_str() == name)
}

/// JSON with everything beyond ASCII as escapes. Outside of strings there is nothing beyond ASCII.
fn ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    let mut units = [0; 2];
    for c in json.chars() {
        if c.is_ascii() && c != '\u{7f}' {
            text.push(c);
        } else {
            text.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop, proptest};

    fn sample() -> Attributes {
        Attributes {
            length: 3,
            hash: hash::of_body(&Bytes::from_static(b"abc")),
            kind: Kind::Playlist,
            content_type: HeaderValue::from_static("video/mp2t"),
            content_encoding: Some(HeaderValue::from_bytes(&[b'a', 0xe9, 0xff]).unwrap()),
            cache_control: None,
            etag: HeaderValue::from_static("\"x\""),
            modified: WallTime::from_millis(1_767_225_600_123),
            expires: WallTime::from_millis(1_767_229_200_456),
            target_duration: Some(Duration::from_millis(2_500)),
            facts: SegmentFacts::parse("ts,v256/90000@133500+180000k,!continuity").map(Arc::new),
            continuity: Continuity::parse("r1767225600.0.7,w5,a1767225600000,h1767225600000,s0,b1.2.3,t9/90000").map(Arc::new),
            blocks: Blocks::of(&[7; 300_000]),
            version: None,
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for key in ["a/b.ts", "日本語/😀 %\"\\.ts"] {
            let key = Key::parse(key).unwrap();
            let json = sample().to_json(&key);
            assert!(json.bytes().all(|byte| (b' '..0x7f).contains(&byte)), "{json}");
            assert_eq!(Attributes::from_json(json.as_bytes()), Ok((key, sample())));
        }
    }

    #[test]
    fn damage_is_seen() {
        let json = sample().to_json(&Key::parse("a").unwrap());
        for damaged in
            [&json[..json.len() - 1], "", "{}", &json.replace("\"version\":1", "\"version\":0"), &json.replace("playlist", "x")]
        {
            assert!(matches!(Attributes::from_json(damaged.as_bytes()), Err(ColdError::Damaged(_))), "{damaged}");
        }
        // A later one may mean other things by the same names, or have none of them.
        for later in [json.replace("\"version\":1", "\"version\":2"), "{\"version\": 3, \"key\": [1]}".to_owned()] {
            assert!(matches!(Attributes::from_json(later.as_bytes()), Err(ColdError::Later(_))), "{later}");
        }
        assert!(sample().fits(&Bytes::from_static(b"abc")));
        assert!(!sample().fits(&Bytes::from_static(b"abd")) && !sample().fits(&Bytes::from_static(b"abcd")));
    }

    #[test]
    fn a_time_to_live_goes_through_the_wall_clock() {
        let (before, after) = (Clock::manual(), Clock::manual());
        before.advance(Duration::from_secs(1000));
        after.advance(Duration::from_secs(1600));
        let meta = Meta { expires: before.now() + Duration::from_secs(3600), ..sample().to_meta(&before) };
        let again = Attributes::of(&Bytes::from_static(b"abc"), &meta, &before).to_meta(&after);
        assert_eq!(again.expires.since(after.now()), Duration::from_secs(3000));
        after.advance(Duration::from_secs(3000));
        assert!(!again.is_live(after.now()));
        assert!(!Attributes::of(&Bytes::new(), &meta, &before).to_meta(&after).is_live(after.now()), "what is past stays past");
    }

    #[test]
    fn a_clock_that_was_set_back_shortens_no_life_by_writing_it_down() {
        let (before, set_back) = (Clock::manual(), Clock::manual());
        before.advance(Duration::from_secs(3600));
        let body = Bytes::from_static(b"abc");
        let hour = Duration::from_secs(3600);
        let mut attributes =
            Attributes::of(&body, &Meta::plain(Kind::Segment, HeaderValue::from_static("x"), &before, hour), &before);
        for _ in 0..3 {
            let meta = attributes.to_meta(&set_back);
            assert_eq!(meta.expires.since(set_back.now()), hour);
            attributes = Attributes::of(&body, &meta, &set_back);
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(json in any::<Vec<u8>>(), cut in 0usize..400, key in "[^\\p{Cc}/.]{1,40}", value in prop::collection::vec(0x20u8..0x7f, 0..20)) {
            let _ = Attributes::from_json(&json);
            let key = Key::parse(&key).unwrap();
            let attributes = Attributes { cache_control: HeaderValue::from_bytes(&value).ok(), ..sample() };
            let json = attributes.to_json(&key);
            let _ = Attributes::from_json(&json.as_bytes()[..cut.min(json.len())]);
            assert_eq!(Attributes::from_json(json.as_bytes()), Ok((key, attributes)));
        }
    }
}
