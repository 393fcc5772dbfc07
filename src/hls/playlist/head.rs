//! Which tags of a media playlist are for the whole list, and what becomes of them where a list is made of one (RFC 8216 4.3.1, 4.3.3).
//!
//! Said here alone: the reader takes what stands before the last of them for the list's own, cutting a list into segments goes by the same,
//! and a list that is made leaves out what it writes itself.

use super::attributes::{attributes, seconds, yes};
use super::words::ServerControl;

/// What becomes of a tag of the head in a list that is made of this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HeadTag {
    /// It says the same there.
    Stays,
    /// It is written anew; or it says what is not so of that list, which has no parts and is no delta.
    Anew,
}

/// All of them.
const HEAD: [(&str, HeadTag); 17] = [
    ("M3U", HeadTag::Anew),
    ("-X-VERSION", HeadTag::Anew),
    ("-X-TARGETDURATION", HeadTag::Anew),
    ("-X-MEDIA-SEQUENCE", HeadTag::Anew),
    ("-X-DISCONTINUITY-SEQUENCE", HeadTag::Anew),
    ("-X-PLAYLIST-TYPE", HeadTag::Anew),
    ("-X-INDEPENDENT-SEGMENTS", HeadTag::Anew),
    ("-X-PART-INF", HeadTag::Anew),
    ("-X-RENDITION-REPORT", HeadTag::Anew),
    ("-X-ENDLIST", HeadTag::Anew),
    ("-X-I-FRAMES-ONLY", HeadTag::Stays),
    ("-X-IMAGES-ONLY", HeadTag::Stays),
    ("-X-SERVER-CONTROL", HeadTag::Stays),
    ("-X-START", HeadTag::Stays),
    ("-X-DEFINE", HeadTag::Stays),
    ("-X-ALLOW-CACHE", HeadTag::Stays),
    ("-X-SKIP", HeadTag::Stays),
];

fn of_head(tag: &str) -> Option<HeadTag> {
    HEAD.iter().find(|(name, _)| *name == tag).map(|(_, becomes)| *becomes)
}

/// Whether a tag is for the whole list.
pub(in crate::hls) fn is_of_head(tag: &str) -> bool {
    of_head(tag).is_some()
}

/// Whether it is one of those that a list which is made of this one states by itself, or not at all.
pub(in crate::hls) fn is_written_anew(tag: &str) -> bool {
    of_head(tag) == Some(HeadTag::Anew)
}

/// What a packager says of the server in front of its playlists.
pub(super) fn server_control(list: &str) -> ServerControl {
    let mut control = ServerControl::default();
    for (name, value) in attributes(list) {
        match name {
            "CAN-BLOCK-RELOAD" => control.can_block_reload = yes(value),
            "HOLD-BACK" => control.hold_back = seconds(value),
            "PART-HOLD-BACK" => control.part_hold_back = seconds(value),
            "CAN-SKIP-UNTIL" => control.can_skip_until = seconds(value),
            "CAN-SKIP-DATERANGES" => control.can_skip_date_ranges = yes(value),
            _ => {}
        }
    }
    control
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hls::normalise::{SourceVersion, cut};
    use crate::hls::playlist::{Playlist, parse};

    const WORDS: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-OWN:1\n";

    /// The reader, the cutter and the maker of lists take each of them for the same.
    #[test]
    fn all_who_ask_go_by_one_table() {
        for (name, _) in HEAD.iter().filter(|(name, _)| *name != "M3U") {
            let tag = format!("#EXT{name}:1\n");
            let text = format!("{WORDS}{tag}#EXT-X-OF-SEGMENT\n#EXTINF:2,\na.ts\n");
            assert_eq!(cut(&text).head, format!("{WORDS}{tag}"), "{name}");
            let Ok(Playlist::Media(media)) = parse(text.as_bytes()) else { panic!("{name}") };
            assert_eq!(media.verbatim.in_head, 1, "{name}: what stands before it is the list's");
            assert_eq!(media.segments[0].others.len(), 1, "{name}: what stands behind it is the segment's");
        }
        let text = format!("{WORDS}#EXT-X-OF-SEGMENT\n#EXTINF:2,\na.ts\n");
        assert_eq!(cut(&text).head, "#EXTM3U\n#EXT-X-TARGETDURATION:2\n", "another one is the first segment's");
        assert!(is_of_head("-X-START") && !is_written_anew("-X-START") && is_written_anew("-X-VERSION"));
        assert!(!is_of_head("INF") && !is_of_head("-X-MAP") && !is_written_anew("-X-GAP"));
        assert!(SourceVersion::read(&text).is_ok());
    }
}
