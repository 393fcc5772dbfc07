//! A media playlist cut into what stands before its first segment, the lines of each segment, and what stands behind the last.
//!
//! Nothing is lost by it: put together again they are the text, byte for byte.

use crate::hls::playlist::{is_of_head, tag};

/// The pieces of a media playlist.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CutList<'a> {
    /// Up to the last tag that is for the whole list and stands before the first segment.
    pub(crate) head: &'a str,
    /// From there up to a URI, that included: one for each segment.
    pub(crate) blocks: Vec<&'a str>,
    /// What follows the last URI.
    pub(crate) tail: &'a str,
}

/// Whether a line names a segment.
fn is_uri(line: &str) -> bool {
    !line.is_empty() && !line.starts_with('#')
}

/// The line as it is read: without a byte order mark and blanks around it.
fn read(line: &str) -> &str {
    line.trim_start_matches('\u{feff}').trim_ascii()
}

/// Cuts it. Costs a pass over the text.
pub(crate) fn cut(text: &str) -> CutList<'_> {
    let (mut head, mut at, mut from) = (0, 0, None);
    let mut blocks = Vec::new();
    for line in text.split_inclusive('\n') {
        at += line.len();
        let line = read(line);
        if is_uri(line) {
            let begin = from.unwrap_or(head);
            blocks.push(&text[begin..at]);
            from = Some(at);
        } else if from.is_none() && tag(line).is_some_and(|(name, _)| is_of_head(name)) {
            head = at;
        }
    }
    CutList { head: &text[..head], blocks, tail: &text[from.unwrap_or(head)..] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert_eq, proptest};

    fn joined(pieces: &CutList<'_>) -> String {
        [pieces.head, &pieces.blocks.concat(), pieces.tail].concat()
    }

    #[test]
    fn each_line_is_in_one_piece() {
        let text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#own\n#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-CUE-OUT:9\n#EXTINF:2,\na.ts\r\n\n\
                    #EXT-X-VERSION:3\n#EXTINF:2,\n b.ts \n#EXT-X-ENDLIST";
        let pieces = cut(text);
        assert_eq!(pieces.head, "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#own\n#EXT-X-MEDIA-SEQUENCE:7\n");
        assert_eq!(pieces.blocks, ["#EXT-X-CUE-OUT:9\n#EXTINF:2,\na.ts\r\n", "\n#EXT-X-VERSION:3\n#EXTINF:2,\n b.ts \n"]);
        assert_eq!(pieces.tail, "#EXT-X-ENDLIST");
        assert_eq!(joined(&pieces), text);
    }

    proptest! {
        #[test]
        fn what_is_cut_is_whole(text in "(#EXT(M3U|INF:2,|-X-(VERSION:3|ENDLIST|GAP))|[a #\u{feff}é\r]{0,3}|\n){0,40}") {
            prop_assert_eq!(joined(&cut(&text)), text);
        }
    }
}
