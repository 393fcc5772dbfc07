//! What an operator writes: settings, sizes, signing keys; and what is read of keys and certificates.

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
