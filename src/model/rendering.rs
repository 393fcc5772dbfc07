//! What a browser makes of a body of some media type: whether it runs what is in it.
//!
//! Whoever may write an object says what type it has, and what it is served from is the CDN's name: a page stored there would run its
//! scripts as one of that site's. So what is not known to be harmless is served with a guard.

use http::HeaderValue;

/// What a browser may do with a body, by the type it is served with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rendering {
    /// It plays or shows it, or saves it. Of what is typed as picture, sound or video browsers look at the bytes only to find *which*
    /// picture, sound or video it is (WHATWG MIME Sniffing 7), and do not take it for a script (Fetch, "should response be blocked due
    /// to its MIME type"). Playlists and manifests have types of their own, which no browser shows as a page. The great mass of all
    /// answers: they carry no header more.
    Inert,
    /// It saves or shows it as text; but a page that names it as its script would run it, and old browsers look for HTML in it.
    Sniffed,
    /// It shows it as a page, in which scripts run, or nobody knows: every type that is none of the others.
    Active,
}

/// Types of [`Rendering::Inert`] beside those of whole families. `+xml` is a page only by the types that browsers know.
const INERT: [&str; 6] = [
    "application/vnd.apple.mpegurl",
    "application/x-mpegurl",
    "application/mpegurl",
    "application/dash+xml",
    "application/mp4",
    "application/ttml+xml",
];

/// Types of [`Rendering::Sniffed`].
const SNIFFED: [&str; 4] = ["application/octet-stream", "application/json", "text/plain", "text/vtt"];

impl Rendering {
    /// Judges a `Content-Type`. What is no media type by the letter (RFC 9110 8.3.1) is [`Rendering::Active`], and so is what has a
    /// comma in it: browsers take that for several types, and the last one for the type (Fetch, "extract a MIME type").
    #[must_use]
    pub fn of(content_type: &HeaderValue) -> Self {
        let content_type = content_type.as_bytes();
        let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let Some(slash) = essence.iter().position(|byte| *byte == b'/') else { return Self::Active };
        let (family, name) = (&essence[..slash], &essence[slash + 1..]);
        if content_type.contains(&b',') || !is_token(family) || !is_token(name) {
            return Self::Active;
        }
        let is_one_of = |types: &[&str]| types.iter().any(|known| essence.eq_ignore_ascii_case(known.as_bytes()));
        let is_of = |families: &[&str]| families.iter().any(|known| family.eq_ignore_ascii_case(known.as_bytes()));
        if is_one_of(&INERT) {
            Self::Inert
        } else if is_one_of(&SNIFFED) {
            Self::Sniffed
        } else if is_of(&["video", "audio", "image", "font"]) && !is_drawing(name) {
            Self::Inert
        } else {
            Self::Active
        }
    }
}

/// Whether a picture (or what calls itself one) is a text with elements, which may be scripts: SVG by any of its names.
fn is_drawing(name: &[u8]) -> bool {
    let begins = name.get(..3).is_some_and(|head| head.eq_ignore_ascii_case(b"svg"));
    begins || name.len() >= 3 && name[name.len() - 3..].eq_ignore_ascii_case(b"xml")
}

/// A token (RFC 9110 5.6.2).
fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, proptest};

    use super::*;
    use crate::model::extension::Extension;

    fn of(content_type: &str) -> Rendering {
        Rendering::of(&HeaderValue::from_bytes(content_type.as_bytes()).unwrap())
    }

    #[test]
    fn what_plays_is_inert_and_what_is_not_known_is_active() {
        for (expected, types) in [
            (
                Rendering::Inert,
                "video/mp2t|video/mp4; codecs=\"avc1.640020\"|Video/ISO.segment|audio/aac|audio/mpegurl|audio/x-mpegurl|image/jpeg|image/webp|\
                 font/woff2|application/vnd.apple.mpegurl|application/x-mpegURL; charset=utf-8|application/dash+xml|video/vnd.mpeg.dash.mpd|\
                 application/mp4|application/ttml+xml",
            ),
            (
                Rendering::Sniffed,
                "application/octet-stream|Application/Octet-Stream ; x=y|application/json|text/plain|text/vtt; charset=utf-8",
            ),
            (
                Rendering::Active,
                "text/html|TEXT/HTML|text/html; charset=utf-7| text/html|text/html (a page)|application/xhtml+xml|image/svg+xml|Image/SVG+XML|\
                 image/svg|image/svg-xml|text/xml|application/xml|text/xsl|application/rss+xml|video/x+xml|application/mpegurl+xml|\
                 text/javascript|application/javascript|application/x-javascript|text/css|application/pdf|application/x-shockwave-flash|\
                 multipart/x-mixed-replace; boundary=x|message/rfc822|application/unknown|unknown/unknown|*/*|x|/|video/|/mp4|video|\
                 video/mp4/html|video mp4/html|\u{e4}/mp4|video/mp4, text/html|video/mp4;a=b,text/html|,text/html",
            ),
        ] {
            for content_type in types.split('|') {
                assert_eq!(of(content_type), expected, "{content_type}");
            }
        }
    }

    #[test]
    fn no_type_that_is_taken_from_a_name_is_active() {
        for name in ["m3u8", "mpd", "ts", "mp4", "m4a", "m4s", "aac", "ac3", "ec3", "mp3", "webm", "ttml", "jpg", "png", "webp"] {
            assert_eq!(of(Extension::of(name).media_type), Rendering::Inert, "{name}");
        }
        for name in ["vtt", "json", "key", "m4i", "m4f", "html", "svg", "js", ""] {
            assert_eq!(of(Extension::of(name).media_type), Rendering::Sniffed, "{name}");
        }
    }

    proptest! {
        /// Letters in either case, blanks, parameters and further types hide nothing.
        #[test]
        fn a_page_is_active_however_it_is_written(
            of_which in 0usize..6, upper in prop::collection::vec(prop::bool::ANY, 24), before in "[ \t]{0,3}", after in "([ \t]{0,2};[ -~]{0,20})?"
        ) {
            let page = ["text/html", "image/svg+xml", "application/xhtml+xml", "text/xml", "application/xml", "text/javascript"][of_which];
            let cased: String =
                page.chars().zip(upper).map(|(c, upper)| if upper { c.to_ascii_uppercase() } else { c }).collect();
            assert_eq!(of(&format!("{before}{cased}{after}")), Rendering::Active);
            assert_eq!(of(&format!("video/mp4{after},{before}{cased}")), Rendering::Active);
        }
    }
}
