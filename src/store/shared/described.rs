//! What a version carries through the engine, which the engine does not look into: what readers are told of it, and what every node is to
//! know of how it came.
//!
//! One byte for the form, then fields in their order. A later form is not read: [`DescribedShared::read`] says `None`, and the node serves
//! nothing that it does not understand. What stands behind the fields is of a release that knows more of them, and is passed over.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;

use crate::model::clock::WallTime;
use crate::model::continuity::Continuity;
use crate::model::facts::SegmentFacts;
use crate::model::kind::Kind;

/// The form.
const FORM: u8 = 1;

/// What is known of a version beside its bytes, tag, length and times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedShared {
    /// What it is to a live stream.
    pub kind: Kind,
    /// The media type it is served with.
    pub content_type: HeaderValue,
    /// The coding its encoder applied.
    pub content_encoding: Option<HeaderValue>,
    /// What its encoder wants caches told.
    pub cache_control: Option<HeaderValue>,
    /// For a playlist that states one: its target duration.
    pub target_duration: Option<Duration>,
    /// For a segment: what its bytes say of it.
    pub facts: Option<Arc<SegmentFacts>>,
    /// How long its upload took.
    pub took: Duration,
    /// What its name stood for before.
    pub replaces: Replaces,
    /// For a playlist that nodes compose: how it goes on.
    pub continuity: Option<Arc<Continuity>>,
    /// And what who composed it tells the other nodes of that.
    pub told: Option<Arc<str>>,
    /// Where it is kept under another name than its first: when it was stored.
    pub stored: Option<WallTime>,
}

/// What a name stood for before a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replaces {
    /// Nothing that is known of.
    Nothing,
    /// The same media.
    SameMedia,
    /// Other media: who kept those plays something else.
    OtherMedia,
}

impl Replaces {
    const ALL: [Self; 3] = [Self::Nothing, Self::SameMedia, Self::OtherMedia];
}

impl DescribedShared {
    /// What it is to a live stream, without reading the rest.
    pub(super) fn kind_of(written: &[u8]) -> Option<Kind> {
        let [FORM, place, ..] = *written else { return None };
        Kind::ALL.get(usize::from(place)).copied()
    }

    pub(super) fn write(&self) -> Bytes {
        let millis = |span: Duration| u32::try_from(span.as_millis()).unwrap_or(u32::MAX);
        let place = |kind| Kind::ALL.into_iter().position(|other| other == kind).unwrap_or_default();
        let mut written = vec![FORM];
        written.extend([u8::try_from(place(self.kind)).unwrap_or_default(), self.replaces as u8]);
        written.extend(millis(self.took).to_be_bytes());
        written.extend(self.target_duration.map_or(0, millis).to_be_bytes());
        let facts = self.facts.as_ref().map(ToString::to_string).unwrap_or_default();
        let value = |value: &Option<HeaderValue>| value.as_ref().map(|value| value.as_bytes().to_vec()).unwrap_or_default();
        let mut texts = vec![
            self.content_type.as_bytes().to_vec(),
            value(&self.content_encoding),
            value(&self.cache_control),
            facts.into_bytes(),
        ];
        if self.continuity.is_some() || self.told.is_some() || self.stored.is_some() {
            let continuity = self.continuity.as_ref().map(ToString::to_string).unwrap_or_default();
            let stored = self.stored.map(|stored| stored.millis().to_string()).unwrap_or_default();
            texts.extend([continuity, self.told.as_deref().unwrap_or_default().to_owned(), stored].map(String::into_bytes));
        }
        for text in texts {
            // Header values are kept up to 256 bytes, and facts of eight tracks are short.
            let length = u16::try_from(text.len()).unwrap_or(0);
            written.extend(length.to_be_bytes());
            written.extend(&text[..usize::from(length)]);
        }
        Bytes::from(written)
    }

    /// Reads what was written; `None`, where it makes no sense here.
    pub(super) fn read(written: &[u8]) -> Option<Self> {
        let (&[form, kind, replaces], rest) = written.split_first_chunk::<3>()?;
        let (took, rest) = rest.split_first_chunk::<4>()?;
        let (target, mut rest) = rest.split_first_chunk::<4>()?;
        if form != FORM {
            return None;
        }
        let mut text = || {
            let (length, behind) = rest.split_first_chunk::<2>()?;
            let (text, behind) = behind.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            rest = behind;
            Some(text)
        };
        let (content_type, content_encoding, cache_control, facts) = (text()?, text()?, text()?, text()?);
        // Most have none of these.
        let mut more = || text().and_then(|text| std::str::from_utf8(text).ok()).filter(|text| !text.is_empty());
        let (continuity, told, stored) = (more(), more(), more());
        let value = |text: &[u8]| HeaderValue::from_bytes(text).ok().filter(|value| !value.is_empty());
        let target = u64::from(u32::from_be_bytes(*target));
        Some(Self {
            kind: *Kind::ALL.get(usize::from(kind))?,
            content_type: HeaderValue::from_bytes(content_type).ok()?,
            content_encoding: value(content_encoding),
            cache_control: value(cache_control),
            target_duration: (target > 0).then(|| Duration::from_millis(target)),
            facts: std::str::from_utf8(facts).ok().and_then(SegmentFacts::parse).map(Arc::new),
            took: Duration::from_millis(u64::from(u32::from_be_bytes(*took))),
            replaces: *Replaces::ALL.get(usize::from(replaces))?,
            continuity: continuity.and_then(Continuity::parse).map(Arc::new),
            told: told.map(Arc::from),
            stored: stored.and_then(|stored| stored.parse().ok()).map(WallTime::from_millis),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            (kind, replaces) in (0usize..4, 0usize..3),
            values in ("[ -~]{0,40}", proptest::option::of("[!-~]{1,40}"), proptest::option::of("[!-~]{1,40}")),
            (took, target) in (any::<u32>(), any::<u32>()),
            (window, told, stored) in (any::<Option<u32>>(), proptest::option::of("[ -~]{1,40}"), any::<Option<u32>>()),
            later in any::<Vec<u8>>(),
        ) {
            let continuity = |window: u32| Continuity::parse(&format!("r0.0.0,w{window},a0,h0,s0")).map(Arc::new);
            let value = |text: &String| HeaderValue::from_str(text).unwrap();
            let described = DescribedShared {
                kind: Kind::ALL[kind],
                content_type: value(&values.0),
                content_encoding: values.1.as_ref().map(value),
                cache_control: values.2.as_ref().map(value),
                target_duration: (target > 0).then(|| Duration::from_millis(target.into())),
                facts: None,
                took: Duration::from_millis(took.into()),
                replaces: Replaces::ALL[replaces],
                continuity: window.and_then(continuity),
                told: told.map(Arc::from),
                stored: stored.map(|stored| WallTime::from_millis(stored.into())),
            };
            let written = described.write();
            prop_assert_eq!(DescribedShared::read(&written), Some(described.clone()));
            if described.continuity.is_some() {
                let newer = [&written[..], &later].concat();
                prop_assert_eq!(DescribedShared::read(&newer), Some(described), "a later release's");
            }
        }

        #[test]
        fn nothing_panics(bytes in any::<Vec<u8>>()) {
            let _ = DescribedShared::read(&bytes);
        }
    }
}
