//! What an operator writes: settings, sizes, signing keys, orders to record; and what is read of keys and certificates.

use std::sync::LazyLock;

use crate::app::harvests::{self, OrderDesk};
use crate::app::{read_settings, record_of};
use crate::auth::grant::KeyId;
use crate::auth::signing::SigningKey;
use crate::model::units::{Size, Span, parse_bitrate, parse_duration, parse_size};

/// A settings file is refused with reasons, or is in force and reads back, as rendered, as the same settings.
pub fn settings(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match read_settings(text) {
        Ok(settings) => assert_eq!(read_settings(&settings.render()).as_ref(), Ok(&settings)),
        Err(reasons) => assert!(reasons.lines().count() >= 2, "{reasons}"),
    }
}

/// A size or duration that reads, reads as the same one when it is shown.
pub fn units(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(size) = parse_size(text) {
        assert_eq!(parse_size(&Size(size).to_string()), Ok(size));
    }
    if let Ok(span) = parse_duration(text) {
        assert_eq!(parse_duration(&Span(span).to_string()), Ok(span));
    }
    let _ = parse_bitrate(text);
}

/// Signing keys are refused, or are the same ones when they are written and read again.
pub fn signing(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(keys) = SigningKey::parse_all(text) {
        let written: Vec<String> = keys.iter().map(SigningKey::encode).collect();
        let again = SigningKey::parse_all(&written.join("\n")).unwrap_or_default();
        let ids = |keys: &[SigningKey]| keys.iter().map(|key| key.id().to_owned()).collect::<Vec<_>>();
        assert_eq!(ids(&again), ids(&keys));
        assert!(written.iter().all(|secret| !format!("{keys:?}").contains(secret)), "a signing key is shown");
    }
}

/// A record of a key makes sense or is none, and what it allows is of known names.
pub fn records(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(key) = record_of(text) {
        assert!(KeyId::parse(key.grant.key_id.as_str()).is_ok(), "{key:?}");
    }
}

/// What a stranger shows as its certificate has names or is none.
pub fn certificate(bytes: &[u8]) {
    if let Some(names) = crate::web::fuzzing::certificate(bytes) {
        assert!(names.len() <= bytes.len());
    }
}

static DESK: LazyLock<Option<OrderDesk>> = LazyLock::new(OrderDesk::new);

/// An order to record is refused, or means a playlist below its own URL, a window that is over, and a place among those that are
/// allowed. What is remembered of one reads back as it is written, and no name leads out of its folder.
pub fn order(bytes: &[u8]) {
    let Some(desk) = &*DESK else { unreachable!("the namespace has a name") };
    if let Some((entry, url, window, out)) = desk.read(bytes) {
        assert_eq!(entry.namespace.as_str(), "live");
        assert!(url.path().starts_with("/cache/live/") && url.query().is_none() && url.password().is_none(), "{url}");
        assert!(window.end.is_some() && window.start.is_none_or(|start| Some(start) < window.end), "{window}");
        assert_eq!(harvests::window(&window.to_string()), Some(window), "it is remembered as it is");
        assert!(out == "s3://bucket/vod" || out.starts_with("s3://bucket/vod/"), "{out}");
        assert!(!out.split('/').any(|part| part == ".."), "{out}");
    }
    if let Some(json) = harvests::record_again(bytes) {
        assert_eq!(harvests::record_again(&json), Some(json));
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(window) = harvests::window(text) {
        assert_eq!(harvests::window(&window.to_string()), Some(window));
    }
    if harvests::may_be_called(text) {
        let path = std::path::Path::new(text);
        assert!(path.components().all(|part| matches!(part, std::path::Component::Normal(_))), "{text}");
    }
}
