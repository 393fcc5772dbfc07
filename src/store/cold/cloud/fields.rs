//! Attributes <-> the fields a bucket keeps with an object (`x-amz-meta-…` and its like).
//!
//! Their names are lower-case letters only, because Azure takes no others, and their values visible ASCII: whatever a signature
//! or a proxy may change (other bytes, runs of spaces) and `%` itself is written `%xx`. Content type and coding are among them
//! although stores have headers of their own for these: one that alters a header does not alter what players get.
//!
//! An object without the field `springhead` was put there by somebody else: it is left alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use http::HeaderValue;

use crate::model::clock::WallTime;
use crate::model::continuity::Continuity;
use crate::model::facts::SegmentFacts;
use crate::model::id::Key;
use crate::store::cold::attributes::kind;
use crate::store::cold::{Attributes, Blocks, ColdError, VersionMark};

/// The fields of one object.
pub(super) type Fields = BTreeMap<String, String>;

/// Says whose object it is, and the fields' version. A reader leaves a later one alone.
const MARK: &str = "springhead";
const VERSION: u32 = 1;
/// What all names and values may come to: S3 takes 2 KB, each counted with its prefix by some.
const LARGEST: usize = 1_900;

/// The fields of an object. The key is among them where the name does not tell it.
///
/// # Errors
/// [`ColdError::Unfit`] when they are more than buckets take.
pub(super) fn to_fields(attributes: &Attributes, key: Option<&Key>) -> Result<Fields, ColdError> {
    let mut fields = Fields::new();
    let mut set = |name: &str, value: String| fields.insert(name.to_owned(), value);
    set(MARK, VERSION.to_string());
    set("hash", format!("{:032x}", attributes.hash));
    set("kind", attributes.kind.as_str().to_owned());
    set("type", plain(&attributes.content_type));
    set("tag", plain(&attributes.etag));
    set("modified", attributes.modified.millis().to_string());
    set("expires", attributes.expires.millis().to_string());
    if let Some(coding) = &attributes.content_encoding {
        set("coding", plain(coding));
    }
    if let Some(control) = &attributes.cache_control {
        set("caching", plain(control));
    }
    if let Some(span) = attributes.target_duration {
        set("target", span.as_millis().to_string());
    }
    if let Some(continuity) = &attributes.continuity {
        set("continuity", continuity.to_string());
    }
    if let Some(VersionMark(version)) = attributes.version {
        set("version", format!("{:032x}", u128::from_be_bytes(version)));
    }
    if let Some(key) = key {
        set("key", BASE64.encode(key.as_str()));
    }
    let mut size: usize = fields.iter().map(|(name, value)| sent(name, value)).sum();
    if size > LARGEST {
        return Err(ColdError::Unfit(format!("its headers come to {size} bytes, and buckets take {LARGEST}")));
    }
    // What it can be served without, as far as there is room: without its blocks a part of it costs a read of the whole.
    let facts = attributes.facts.as_ref().map_or_else(String::new, |facts| facts.to_string());
    for (name, value) in [("facts", facts), ("blocks", BASE64.encode(attributes.blocks.to_bytes()))] {
        if !value.is_empty() && size + sent(name, &value) <= LARGEST {
            size += sent(name, &value);
            fields.insert(name.to_owned(), value);
        }
    }
    Ok(fields)
}

/// How long a field is as it is sent.
const fn sent(name: &str, value: &str) -> usize {
    "x-amz-meta-".len() + name.len() + value.len()
}

/// Reads what [`to_fields`] wrote, of an object of this length, with the key if it is among them; `None` for somebody else's
/// object.
///
/// # Errors
/// [`ColdError::Damaged`], or [`ColdError::Later`].
pub(super) fn from_fields(fields: &Fields, length: u64) -> Result<Option<(Option<Key>, Attributes)>, ColdError> {
    let Some(version) = fields.get(MARK) else { return Ok(None) };
    let damaged = |what: &str| ColdError::Damaged(format!("its field '{what}'"));
    match version.parse::<u32>() {
        Ok(VERSION) => {}
        Ok(later @ 2..) => return Err(ColdError::Later(format!("its fields are of format {later}, this one reads {VERSION}"))),
        _ => return Err(damaged(MARK)),
    }
    let text = |name: &str| fields.get(name).map(String::as_str);
    let number = |name: &str| text(name).map(|text| text.parse::<u64>().map_err(|_| damaged(name))).transpose();
    let value = |name: &str| text(name).map(|text| header(text).ok_or_else(|| damaged(name))).transpose();
    let key = |text: &str| Key::parse(&String::from_utf8(BASE64.decode(text).ok()?).ok()?).ok();
    let attributes = Attributes {
        length,
        hash: text("hash").and_then(|hash| u128::from_str_radix(hash, 16).ok()).ok_or_else(|| damaged("hash"))?,
        kind: text("kind").and_then(kind).ok_or_else(|| damaged("kind"))?,
        content_type: value("type")?.ok_or_else(|| damaged("type"))?,
        content_encoding: value("coding")?,
        cache_control: value("caching")?,
        etag: value("tag")?.ok_or_else(|| damaged("tag"))?,
        modified: WallTime::from_millis(number("modified")?.ok_or_else(|| damaged("modified"))?),
        expires: WallTime::from_millis(number("expires")?.ok_or_else(|| damaged("expires"))?),
        target_duration: number("target")?.map(Duration::from_millis),
        facts: text("facts").and_then(SegmentFacts::parse).map(Arc::new),
        continuity: text("continuity").and_then(Continuity::parse).map(Arc::new),
        blocks: text("blocks")
            .and_then(|text| BASE64.decode(text).ok())
            .map_or_else(Blocks::default, |bytes| Blocks::from_bytes(&bytes)),
        version: text("version").map(|text| version_mark(text).ok_or_else(|| damaged("version"))).transpose()?,
    };
    let key = text("key").map(|text| key(text).ok_or_else(|| damaged("key"))).transpose()?;
    Ok(Some((key, attributes)))
}

fn version_mark(text: &str) -> Option<VersionMark> {
    Some(VersionMark(u128::from_str_radix(text, 16).ok()?.to_be_bytes()))
}

/// A header value in visible ASCII. An empty one, which not every store keeps, is a `%` alone.
fn plain(value: &HeaderValue) -> String {
    let mut text = String::with_capacity(value.len());
    for &byte in value.as_bytes() {
        if byte.is_ascii_graphic() && byte != b'%' {
            text.push(byte.into());
        } else {
            text.push_str(&format!("%{byte:02x}"));
        }
    }
    if text.is_empty() { "%".to_owned() } else { text }
}

fn header(text: &str) -> Option<HeaderValue> {
    if text == "%" {
        return Some(HeaderValue::from_static(""));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let [high, low, behind @ ..] = rest else { return None };
        bytes.push(u8::from_str_radix(std::str::from_utf8(&[*high, *low]).ok()?, 16).ok()?);
        rest = behind;
    }
    HeaderValue::from_bytes(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::kind::Kind;
    use proptest::prelude::{any, prop, proptest};

    fn sample() -> Attributes {
        Attributes {
            length: 3,
            hash: 7,
            kind: Kind::Playlist,
            content_type: HeaderValue::from_static("video/mp2t;  profile=\"a b\" 100%"),
            content_encoding: Some(HeaderValue::from_static("gzip")),
            cache_control: Some(HeaderValue::from_bytes(&[b'a', 0xe9, b' ', 0xff]).unwrap()),
            etag: HeaderValue::from_static("\"x\""),
            modified: WallTime::from_millis(1_767_225_600_123),
            expires: WallTime::from_millis(1_767_229_200_456),
            target_duration: Some(Duration::from_millis(2_500)),
            facts: SegmentFacts::parse("ts,v256/90000@133500+180000k,!continuity").map(Arc::new),
            continuity: Continuity::parse("r1767225600.0.7,w5,a1767225600000,h1767225600000,s0").map(Arc::new),
            blocks: Blocks::of(&[7; 300_000]),
            version: Some(VersionMark([0x1a; 16])),
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let key = Key::parse("日本語/a.ts").unwrap();
        for key in [None, Some(key)] {
            let fields = to_fields(&sample(), key.as_ref()).unwrap();
            for (name, value) in &fields {
                assert!(name.bytes().all(|byte| byte.is_ascii_lowercase()), "{name}");
                assert!(!value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic()), "{value}");
            }
            assert_eq!(from_fields(&fields, 3), Ok(Some((key, sample()))));
        }
    }

    #[test]
    fn damage_is_seen_and_what_is_not_ours_is_left_alone() {
        let fields = to_fields(&sample(), None).unwrap();
        for name in ["hash", "kind", "type", "tag", "modified", "expires"] {
            let mut without = fields.clone();
            without.remove(name);
            assert!(matches!(from_fields(&without, 3), Err(ColdError::Damaged(_))), "{name}");
        }
        for (name, value) in [
            (MARK, "0"),
            (MARK, "x"),
            ("kind", "x"),
            ("type", "%4"),
            ("coding", "%0a"),
            ("target", "-1"),
            ("key", "*"),
            ("version", "x"),
        ] {
            let mut odd = fields.clone();
            odd.insert(name.to_owned(), value.to_owned());
            assert!(matches!(from_fields(&odd, 3), Err(ColdError::Damaged(_))), "{name}");
        }
        let mut later = fields.clone();
        later.insert(MARK.to_owned(), "2".to_owned());
        later.remove("hash");
        assert!(matches!(from_fields(&later, 3), Err(ColdError::Later(_))));
        let mut foreign = fields;
        foreign.remove(MARK);
        assert_eq!(from_fields(&foreign, 3), Ok(None));
    }

    #[test]
    fn more_than_buckets_take_is_unfit_and_the_longest_key_is_not() {
        let key = Key::parse(&"語".repeat(341)).unwrap();
        assert!(to_fields(&sample(), Some(&key)).is_ok());
        let long = HeaderValue::try_from("x".repeat(2_000)).unwrap();
        let attributes = Attributes { cache_control: Some(long), ..sample() };
        assert!(matches!(to_fields(&attributes, None), Err(ColdError::Unfit(_))));
    }

    proptest! {
        #[test]
        fn any_header_reads_back(value in prop::collection::vec(any::<u8>(), 0..40), text in "[%0-9a-z]{0,9}") {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                assert_eq!(header(&plain(&value)), Some(value));
            }
            let _ = header(&text);
        }
    }
}
