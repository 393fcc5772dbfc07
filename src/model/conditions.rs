//! Conditional requests: `If-Match`, `If-None-Match`, `If-Modified-Since`, `If-Unmodified-Since` and `If-Range`, in the order
//! of RFC 9110 13.2.2.

use std::time::UNIX_EPOCH;

use super::clock::WallTime;

/// The conditions a request carries, as sent. Borrowed: reading them costs nothing when there are none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Conditions<'a> {
    /// `If-Match`.
    pub if_match: Option<&'a [u8]>,
    /// `If-None-Match`.
    pub if_none_match: Option<&'a [u8]>,
    /// `If-Modified-Since`.
    pub if_modified_since: Option<&'a [u8]>,
    /// `If-Unmodified-Since`.
    pub if_unmodified_since: Option<&'a [u8]>,
    /// `If-Range`.
    pub if_range: Option<&'a [u8]>,
}

/// The conditions of a write, kept until its body has come.
#[derive(Clone, Debug, Default)]
pub struct KeptConditions {
    if_match: Option<Box<[u8]>>,
    if_none_match: Option<Box<[u8]>>,
    if_unmodified_since: Option<Box<[u8]>>,
}

impl KeptConditions {
    /// Whether there are any.
    #[must_use]
    pub fn are_there(&self) -> bool {
        self.if_match.is_some() || self.if_none_match.is_some() || self.if_unmodified_since.is_some()
    }

    /// Judges as [`Conditions::allow_write`].
    #[must_use]
    pub fn allow_write(&self, current: Option<Validators<'_>>) -> bool {
        let conditions = Conditions {
            if_match: self.if_match.as_deref(),
            if_none_match: self.if_none_match.as_deref(),
            if_unmodified_since: self.if_unmodified_since.as_deref(),
            ..Conditions::default()
        };
        conditions.allow_write(current)
    }
}

impl From<Conditions<'_>> for KeptConditions {
    fn from(conditions: Conditions<'_>) -> Self {
        Self {
            if_match: conditions.if_match.map(Box::from),
            if_none_match: conditions.if_none_match.map(Box::from),
            if_unmodified_since: conditions.if_unmodified_since.map(Box::from),
        }
    }
}

/// What the stored object has to hold against them.
#[derive(Clone, Copy, Debug)]
pub struct Validators<'a> {
    /// The quoted, strong entity tag.
    pub etag: &'a [u8],
    /// `Last-Modified`, which tells whole seconds.
    pub modified: WallTime,
    /// Another version may have had that date, or a later one: it does not tell them apart, and is no reason to call a copy good.
    pub shares_date: bool,
}

/// What the conditions make of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Proceed,
    /// 304: the client has it already.
    NotModified,
    /// 412.
    Failed,
}

impl Conditions<'_> {
    /// Judges a GET or HEAD of an object that exists.
    #[must_use]
    pub fn judge_read(&self, object: Validators<'_>) -> Verdict {
        if let Some(list) = self.if_match {
            if !matches_strongly(list, Some(object.etag)) {
                return Verdict::Failed;
            }
        } else if let Some(date) = self.if_unmodified_since.and_then(seconds)
            && object.modified.seconds() > date
        {
            return Verdict::Failed;
        }
        if let Some(list) = self.if_none_match {
            if matches_weakly(list, Some(object.etag)) {
                return Verdict::NotModified;
            }
        } else if let Some(date) = self.if_modified_since.and_then(seconds)
            && object.modified.seconds() <= date
            && !object.shares_date
        {
            return Verdict::NotModified;
        }
        Verdict::Proceed
    }

    /// Whether a write may replace (or, with `None`, create) the object. Judged again under the store's lock, so that two
    /// writers with `If-None-Match: *` can't both win.
    #[must_use]
    pub fn allow_write(&self, current: Option<Validators<'_>>) -> bool {
        let etag = current.map(|object| object.etag);
        if let Some(list) = self.if_match {
            if !matches_strongly(list, etag) {
                return false;
            }
        } else if let Some(date) = self.if_unmodified_since.and_then(seconds)
            && current.is_some_and(|object| object.modified.seconds() > date)
        {
            return false;
        }
        !self.if_none_match.is_some_and(|list| matches_weakly(list, etag))
    }

    /// Whether a `Range` still holds (RFC 9110 13.1.5): with no `If-Range`, always; else only for the very same version.
    #[must_use]
    pub fn range_holds(&self, object: Validators<'_>) -> bool {
        match self.if_range {
            None => true,
            Some(value) if value.starts_with(b"\"") => value == object.etag,
            // A date is a strong validator only if it is an exact match; a weak entity tag never is.
            Some(value) => !object.shares_date && seconds(value) == Some(object.modified.seconds()),
        }
    }
}

fn seconds(date: &[u8]) -> Option<u64> {
    let date = httpdate::parse_http_date(std::str::from_utf8(date).ok()?).ok()?;
    Some(date.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

fn matches_strongly(list: &[u8], etag: Option<&[u8]>) -> bool {
    let Some(etag) = etag else { return false };
    list.trim_ascii() == b"*" || tags(list).any(|tag| tag == etag)
}

fn matches_weakly(list: &[u8], etag: Option<&[u8]>) -> bool {
    let Some(etag) = etag else { return false };
    list.trim_ascii() == b"*" || tags(list).any(|tag| tag.strip_prefix(b"W/").unwrap_or(tag) == etag)
}

/// The entity tags of a list. A tag may hold commas, so the quotes decide where it ends.
fn tags(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = list;
    std::iter::from_fn(move || {
        let start = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b','))?;
        rest = &rest[start..];
        let opening = rest.iter().position(|&byte| byte == b'"')?;
        let length = rest[opening + 1..].iter().position(|&byte| byte == b'"')?;
        let (tag, behind) = rest.split_at(opening + 1 + length + 1);
        rest = behind;
        Some(tag)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, proptest};

    const OBJECT: Validators<'_> =
        Validators { etag: b"\"abc\"", modified: WallTime::from_millis(1_000_000_000_500), shares_date: false };
    const SAME: &[u8] = b"Sun, 09 Sep 2001 01:46:40 GMT";
    const BEFORE: &[u8] = b"Sun, 09 Sep 2001 01:46:39 GMT";

    fn read(conditions: Conditions<'_>) -> Verdict {
        conditions.judge_read(OBJECT)
    }

    #[test]
    fn if_none_match_compares_weakly() {
        for list in ["\"abc\"", "W/\"abc\"", "*", "\"x\", \"abc\"", "\"a,b\",W/\"abc\"", " \"abc\" "] {
            let conditions = Conditions { if_none_match: Some(list.as_bytes()), ..Conditions::default() };
            assert_eq!(read(conditions), Verdict::NotModified, "{list}");
        }
        for list in ["\"x\"", "", "abc", "\"abc", "\"ab\"c\""] {
            let conditions = Conditions { if_none_match: Some(list.as_bytes()), ..Conditions::default() };
            assert_eq!(read(conditions), Verdict::Proceed, "{list}");
        }
    }

    #[test]
    fn an_entity_tag_outranks_a_date() {
        let both = Conditions { if_none_match: Some(b"\"x\""), if_modified_since: Some(SAME), ..Conditions::default() };
        assert_eq!(read(both), Verdict::Proceed);
        let both = Conditions { if_match: Some(b"\"abc\""), if_unmodified_since: Some(BEFORE), ..Conditions::default() };
        assert_eq!(read(both), Verdict::Proceed);
    }

    #[test]
    fn dates_compare_by_the_second() {
        let since = |date| Conditions { if_modified_since: Some(date), ..Conditions::default() };
        assert_eq!(read(since(SAME)), Verdict::NotModified);
        assert_eq!(read(since(BEFORE)), Verdict::Proceed);
        assert_eq!(read(since(b"yesterday")), Verdict::Proceed);
        let unmodified = |date| Conditions { if_unmodified_since: Some(date), ..Conditions::default() };
        assert_eq!(read(unmodified(SAME)), Verdict::Proceed);
        assert_eq!(read(unmodified(BEFORE)), Verdict::Failed);
    }

    #[test]
    fn a_date_that_two_versions_share_vouches_for_neither() {
        let shared = Validators { shares_date: true, ..OBJECT };
        let since = Conditions { if_modified_since: Some(SAME), ..Conditions::default() };
        assert_eq!(since.judge_read(shared), Verdict::Proceed);
        let tagged = Conditions { if_none_match: Some(b"\"abc\""), ..since };
        assert_eq!(tagged.judge_read(shared), Verdict::NotModified, "the tag does");
        assert!(!Conditions { if_range: Some(SAME), ..Conditions::default() }.range_holds(shared));
    }

    #[test]
    fn if_match_compares_strongly() {
        let matching = |list| Conditions { if_match: Some(list), ..Conditions::default() };
        assert_eq!(read(matching(b"\"abc\"")), Verdict::Proceed);
        assert_eq!(read(matching(b"*")), Verdict::Proceed);
        assert_eq!(read(matching(b"W/\"abc\"")), Verdict::Failed);
        assert_eq!(read(matching(b"\"x\"")), Verdict::Failed);
    }

    #[test]
    fn writes_ask_for_presence_and_absence() {
        let create_only = Conditions { if_none_match: Some(b"*"), ..Conditions::default() };
        assert!(create_only.allow_write(None));
        assert!(!create_only.allow_write(Some(OBJECT)));
        let replace_only = Conditions { if_match: Some(b"*"), ..Conditions::default() };
        assert!(!replace_only.allow_write(None));
        assert!(replace_only.allow_write(Some(OBJECT)));
        assert!(Conditions::default().allow_write(None));
        assert!(Conditions::default().allow_write(Some(OBJECT)));
    }

    #[test]
    fn a_range_holds_for_the_same_version_only() {
        let range = |value| Conditions { if_range: Some(value), ..Conditions::default() }.range_holds(OBJECT);
        assert!(range(b"\"abc\""));
        assert!(range(SAME));
        assert!(!range(b"W/\"abc\""));
        assert!(!range(b"\"x\""));
        assert!(!range(BEFORE));
        assert!(!range(b"junk"));
    }

    proptest! {
        #[test]
        fn no_header_panics(list in any::<Vec<u8>>()) {
            let conditions = Conditions {
                if_match: Some(&list),
                if_none_match: Some(&list),
                if_modified_since: Some(&list),
                if_unmodified_since: Some(&list),
                if_range: Some(&list),
            };
            let _ = (conditions.judge_read(OBJECT), conditions.allow_write(None), conditions.range_holds(OBJECT));
        }
    }
}
