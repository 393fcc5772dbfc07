//! Media types by extension. Encoders send none (ffmpeg), or `application/octet-stream` for everything (Shaka Packager), and
//! a player that is told the wrong one may refuse to play.

use http::HeaderValue;

use crate::model::extension::Extension;
use crate::model::id::Key;

/// The type an object is served with: what the encoder said, unless it said nothing of use.
pub(super) fn content_type(key: &Key, sent: Option<&HeaderValue>) -> HeaderValue {
    match sent {
        Some(sent) if says_something(sent) => sent.clone(),
        _ => HeaderValue::from_static(Extension::of(&key.extension()).media_type),
    }
}

/// The type that a file of this name has.
#[must_use]
pub fn type_of_name(name: &str) -> &'static str {
    let extension = name.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map_or("", |(_, extension)| extension);
    Extension::of(&extension.to_ascii_lowercase()).media_type
}

/// Not the catch-all, not what curl says of any `--data-binary`, and not what is no media type at all (`*` from GPAC).
fn says_something(sent: &HeaderValue) -> bool {
    let Ok(text) = sent.to_str() else { return false };
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_type = essence.split_once('/').is_some_and(|(kind, name)| !kind.is_empty() && !name.is_empty() && kind != "*");
    is_type && !matches!(essence.as_str(), "application/octet-stream" | "application/x-www-form-urlencoded")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_speaks_where_the_encoder_does_not() {
        let of = |key: &str, sent: Option<&'static str>| {
            content_type(&Key::parse(key).unwrap(), sent.map(HeaderValue::from_static).as_ref())
        };
        for (key, sent, expected) in [
            ("a.m3u8", None, "application/vnd.apple.mpegurl"),
            ("a.M3U8", Some("application/octet-stream"), "application/vnd.apple.mpegurl"),
            ("a.ts", Some("application/x-www-form-urlencoded"), "video/mp2t"),
            ("a.ts", Some("Application/Octet-Stream; x=y"), "video/mp2t"),
            ("a.m4s", Some("*"), "video/iso.segment"),
            ("a.m4s", Some("*/*"), "video/iso.segment"),
            ("a.m4s", Some(""), "video/iso.segment"),
            ("a.ts", Some("video/mpegts"), "video/mpegts"),
            ("a.vtt", Some("text/vtt; charset=utf-8"), "text/vtt; charset=utf-8"),
            ("a.key", None, "application/octet-stream"),
            ("a", None, "application/octet-stream"),
        ] {
            assert_eq!(of(key, sent), expected, "{key} {sent:?}");
        }
    }
}
