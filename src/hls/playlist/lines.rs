//! A playlist as lines, and lines as tags: what both readers begin with.

/// How many entries of one playlist are read: a day of one-second segments, with some to spare. It bounds the memory that a
/// playlist can ask for; a longer one is a [`Fault`](crate::hls::fault::Fault).
pub(super) const MAX_ENTRIES: usize = 100_000;

/// The lines with their numbers, from 1, without blanks around them and without a byte order mark.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.split('\n').enumerate().map(|(index, line)| (index + 1, line.trim_ascii()))
}

/// A line's tag and what follows its colon; `None` for URIs, comments and blank lines.
pub(in crate::hls) fn tag(line: &str) -> Option<(&str, &str)> {
    let tag = line.strip_prefix("#EXT")?;
    // Names are short: looking for the colon byte by byte is done before a search has begun.
    Some(tag.bytes().position(|byte| byte == b':').map_or((tag, ""), |at| (&tag[..at], &tag[at + 1..])))
}

/// `Some(true)` for a tag that only a multivariant playlist has, `Some(false)` for one that only a media playlist has.
pub(super) fn kind(tag: &str) -> Option<bool> {
    match tag {
        "-X-STREAM-INF" | "-X-MEDIA" | "-X-I-FRAME-STREAM-INF" | "-X-IMAGE-STREAM-INF" => Some(true),
        "INF" | "-X-TARGETDURATION" | "-X-MEDIA-SEQUENCE" | "-X-PART" | "-X-PART-INF" => Some(false),
        _ => None,
    }
}
