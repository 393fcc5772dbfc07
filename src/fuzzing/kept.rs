//! What comes back from disks and buckets, whatever has become of it there.

use crate::model::id::Key;
use crate::store::cold::Attributes;
use crate::store::cold::cloud::fuzzing as cloud;
use crate::store::tier::fuzzing::line_again;

/// Attributes that read are written so that they read the same.
pub fn attributes(bytes: &[u8]) {
    if let Ok((key, attributes)) = Attributes::from_json(bytes) {
        let json = attributes.to_json(&key);
        assert!(json.is_ascii() && !json.contains('\n'), "{json}");
        assert_eq!(Attributes::from_json(json.as_bytes()).ok(), Some((key, attributes)));
    }
}

/// A line of the index that means anything is written as one that means the same.
pub fn journal(bytes: &[u8]) {
    for line in String::from_utf8_lossy(bytes).split('\n') {
        if let Some(again) = line_again(line) {
            let again = again.strip_suffix('\n').unwrap_or_default();
            assert!(!again.contains('\n'), "one line stays one: {again}");
            assert_eq!(line_again(again).as_deref().map(str::trim_end), Some(again.trim_end()));
        }
    }
}

/// Names, fields and pieces of the index in a bucket: what is ours reads back, and no two names are one key.
pub fn bucket(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some((_, again)) = cloud::named(&text) {
        assert_eq!(again, text, "another name for the same key");
    }
    if let Ok(key) = Key::parse(&text)
        && let Some(back) = cloud::way_back(&key)
    {
        assert_eq!(back.as_ref(), Some(&key));
    }
    if let Some(again) = cloud::piece_again(&text) {
        assert_eq!(cloud::piece_again(&again).as_ref(), Some(&again));
    }
    let fields = text.lines().filter_map(|line| line.split_once('='));
    assert_ne!(cloud::fields_read_back(fields), Some(false), "other fields come of these: {text}");
    let (once, twice) = cloud::merged(bytes);
    assert_eq!(once, twice, "what is merged again changes");
}
