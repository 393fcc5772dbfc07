//! Media types by extension. Encoders send none (ffmpeg), or `application/octet-stream` for everything (Shaka Packager), and
//! a player that is told the wrong one may refuse to play.

use http::HeaderValue;

use crate::model::extension::{Extension, Format};
use crate::model::id::Key;

/// The type an object is served with: what the encoder said, unless it said nothing of use, or what can't be of a name like this one.
/// Players that are told the wrong type of a playlist or segment do not play it, and a browser must not take one for a page.
pub(super) fn content_type(key: &Key, sent: Option<&HeaderValue>) -> HeaderValue {
    let extension = Extension::of(&key.extension());
    match sent {
        Some(sent) if essence(sent).is_some_and(|essence| says_something(&essence) && is_of_family(&essence, extension)) => {
            sent.clone()
        }
        _ => HeaderValue::from_static(extension.media_type),
    }
}

/// The type that a file of this name has.
#[must_use]
pub fn type_of_name(name: &str) -> &'static str {
    let extension = name.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map_or("", |(_, extension)| extension);
    Extension::of(&extension.to_ascii_lowercase()).media_type
}

/// Type and subtype, in lower case, without parameters (RFC 9110 8.3.1).
fn essence(sent: &HeaderValue) -> Option<String> {
    Some(sent.to_str().ok()?.split(';').next()?.trim().to_ascii_lowercase())
}

/// Not a catch-all, not what curl says of any `--data-binary`, not what is no media type at all (`*` from GPAC), and not what browsers
/// take for none: they look at the bytes then, and find what they like (WHATWG MIME Sniffing 7).
fn says_something(essence: &str) -> bool {
    let Some((kind, name)) = essence.split_once('/') else { return false };
    let is_type = !kind.is_empty() && !name.is_empty() && !matches!(kind, "*" | "unknown" | "binary" | "multipart");
    let is_catch_all = matches!(
        name,
        "octet-stream"
            | "x-octet-stream"
            | "x-www-form-urlencoded"
            | "unknown"
            | "x-unknown"
            | "binary"
            | "x-binary"
            | "*"
            | "x-download"
            | "download"
            | "force-download"
            | "x-force-download"
    );
    is_type && !is_catch_all
}

/// Whether that can be the type of what has a name like this: of playlists, manifests and media segments one of their family.
fn is_of_family(essence: &str, extension: Extension) -> bool {
    match extension.format {
        Format::Playlist => essence.contains("mpegurl"),
        Format::Manifest => essence == extension.media_type || essence == "video/vnd.mpeg.dash.mpd",
        // A text or XML type of another kind may be a page.
        Format::TimedText => essence == extension.media_type,
        Format::IsoMedia | Format::IsoHeader | Format::OtherMedia => {
            essence.starts_with("video/") || essence.starts_with("audio/") || essence == "application/mp4"
        }
        Format::ContentKey | Format::Other => true,
    }
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
            ("a.m3u8", Some("audio/x-mpegurl"), "audio/x-mpegurl"),
            ("a.m3u8", Some("application/x-mpegURL; charset=utf-8"), "application/x-mpegURL; charset=utf-8"),
            ("a.m3u8", Some("binary/octet-stream"), "application/vnd.apple.mpegurl"),
            ("a.m3u8", Some("application/unknown"), "application/vnd.apple.mpegurl"),
            ("a.m3u8", Some("multipart/form-data; boundary=x"), "application/vnd.apple.mpegurl"),
            ("a.m3u8", Some("text/plain"), "application/vnd.apple.mpegurl"),
            ("a.m3u8", Some("text/html"), "application/vnd.apple.mpegurl"),
            ("a.mpd", Some("text/xml"), "application/dash+xml"),
            ("a.ts", Some("text/html"), "video/mp2t"),
            ("a.ts", Some("audio/mp2t"), "audio/mp2t"),
            ("a.m4s", Some("application/mp4"), "application/mp4"),
            ("a.m4s", Some("image/svg+xml"), "video/iso.segment"),
            ("a.vtt", Some("text/html"), "text/vtt"),
            ("a.m4f", Some("video/mp4"), "video/mp4"),
            ("a.ttml", Some("application/xml"), "application/ttml+xml"),
            ("a.webm", None, "video/webm"),
            ("a.webm", Some("audio/webm"), "audio/webm"),
            ("a.mp3", Some("application/force-download"), "audio/mpeg"),
            ("a.webp", None, "image/webp"),
            ("a.jpg", Some("unknown/unknown"), "image/jpeg"),
            ("a.bin", Some("application/unknown"), "application/octet-stream"),
            ("a.html", Some("text/html"), "text/html"),
            ("a.key", None, "application/octet-stream"),
            ("a", None, "application/octet-stream"),
        ] {
            assert_eq!(of(key, sent), expected, "{key} {sent:?}");
        }
    }
}
