//! Playlists that unit tests write, said once for all floors; and what a text reads as.
//!
//! What a test is about stands in the test: here is what surrounds it.

use std::fmt::Write as _;

use super::playlist::{Media, Multivariant, Playlist, parse};

/// How a media playlist of two-second segments begins that does not say where it stands.
pub(crate) const HEAD: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n";

/// The shortest that lists anything.
pub(crate) const ONE: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nx.ts\n";

/// Two renditions, the first of 2.5 Mbit/s and the second of 900 kbit/s.
pub(crate) const MASTER: &str = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=2500000,RESOLUTION=1280x720\na/p.m3u8\n\
                                 #EXT-X-STREAM-INF:BANDWIDTH=900000\nb/p.m3u8\n";

/// How one begins whose first segment has this number.
pub(crate) fn head(first: u64) -> String {
    format!("{HEAD}#EXT-X-MEDIA-SEQUENCE:{first}\n")
}

/// A segment of two seconds.
pub(crate) fn segment(uri: impl std::fmt::Display) -> String {
    format!("#EXTINF:2,\n{uri}\n")
}

/// One whose head, of [`head`] or more, is followed by two-second segments: `<before><number>.ts`.
pub(crate) fn listing(head: &str, before: &str, numbers: impl IntoIterator<Item = u64>) -> String {
    numbers.into_iter().fold(head.to_owned(), |mut text, number| {
        let _ = write!(text, "#EXTINF:2,\n{before}{number}.ts\n");
        text
    })
}

/// What a text reads as that is to be a media playlist.
pub(crate) fn media(text: &str) -> Media {
    match parse(text.as_bytes()) {
        Ok(Playlist::Media(media)) => media,
        other => panic!("no media playlist: {other:?}"),
    }
}

/// What a text reads as that is to be a multivariant playlist.
pub(crate) fn multivariant(text: &str) -> Multivariant {
    match parse(text.as_bytes()) {
        Ok(Playlist::Multivariant(multivariant)) => multivariant,
        other => panic!("no multivariant playlist: {other:?}"),
    }
}
