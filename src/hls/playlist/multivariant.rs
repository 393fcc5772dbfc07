//! Reading a multivariant playlist, line by line.

use super::attributes::{attributes, number};
use super::lines::{MAX_ENTRIES, kind, tag};
use super::words::{Multivariant, Playlist, Rendition, RenditionKind, Variant};
use crate::hls::fault::{Fault, Faults, Wrong};

pub(super) fn read<'a>(lines: impl Iterator<Item = (usize, &'a str)>) -> Result<Playlist, Fault> {
    let mut multivariant = Multivariant::default();
    let mut faults = Faults::default();
    let mut next: Option<(usize, Variant)> = None;
    let mut entries = 0;
    for (line, text) in lines {
        if let Some((tag, value)) = tag(text) {
            match tag {
                "-X-STREAM-INF" => {
                    if let Some((line, _)) = next.replace((line, variant(value).0)) {
                        faults.note(line, Wrong::NoUri);
                    }
                }
                "-X-I-FRAME-STREAM-INF" | "-X-IMAGE-STREAM-INF" => match variant(value) {
                    (mut variant, Some(uri)) => {
                        uri.clone_into(&mut variant.uri);
                        variant.i_frames_only = true;
                        multivariant.variants.push(variant);
                    }
                    (_, None) => faults.note(line, Wrong::Attribute("EXT-X-I-FRAME-STREAM-INF", "URI")),
                },
                "-X-MEDIA" => match rendition(value) {
                    Some(rendition) => multivariant.renditions.push(rendition),
                    None => faults.note(line, Wrong::Attribute("EXT-X-MEDIA", "TYPE")),
                },
                other if kind(other) == Some(false) => return Err(Fault { line, what: Wrong::Mixed }),
                _ => continue,
            }
        } else if !text.is_empty() && !text.starts_with('#') {
            // A URI with nothing above it is listed all the same: players take it, and its playlist is part of the stream.
            let (above, mut variant) = next.take().unwrap_or_default();
            if variant.bandwidth.is_none() {
                faults.note(if above == 0 { line } else { above }, Wrong::Attribute("EXT-X-STREAM-INF", "BANDWIDTH"));
            }
            text.clone_into(&mut variant.uri);
            multivariant.variants.push(variant);
        } else {
            continue;
        }
        entries += 1;
        if entries > MAX_ENTRIES {
            return Err(Fault { line, what: Wrong::TooLong });
        }
    }
    if let Some((line, _)) = next {
        faults.note(line, Wrong::NoUri);
    }
    multivariant.faults = faults.list;
    Ok(Playlist::Multivariant(multivariant))
}

fn variant(list: &str) -> (Variant, Option<&str>) {
    let mut variant = Variant::default();
    let mut uri = None;
    for (name, value) in attributes(list) {
        let text = || Some(value.to_owned());
        match name {
            "BANDWIDTH" => variant.bandwidth = number(value),
            "AVERAGE-BANDWIDTH" => variant.average_bandwidth = number(value),
            "RESOLUTION" => variant.resolution = resolution(value),
            "CODECS" => variant.codecs = text(),
            "AUDIO" => variant.audio = text(),
            "VIDEO" => variant.video = text(),
            "SUBTITLES" => variant.subtitles = text(),
            "URI" => uri = Some(value),
            _ => {}
        }
    }
    (variant, uri)
}

fn resolution(text: &str) -> Option<(u32, u32)> {
    let (width, height) = text.split_once(['x', 'X'])?;
    Some((width.trim().parse().ok()?, height.trim().parse().ok()?))
}

fn rendition(list: &str) -> Option<Rendition> {
    let (mut kind, mut group, mut name, mut uri) = (None, "", "", None);
    for (attribute, value) in attributes(list) {
        match (attribute, value) {
            ("TYPE", "AUDIO") => kind = Some(RenditionKind::Audio),
            ("TYPE", "VIDEO") => kind = Some(RenditionKind::Video),
            ("TYPE", "SUBTITLES") => kind = Some(RenditionKind::Subtitles),
            ("TYPE", "CLOSED-CAPTIONS") => kind = Some(RenditionKind::ClosedCaptions),
            ("GROUP-ID", value) => group = value,
            ("NAME", value) => name = value,
            ("URI", value) => uri = Some(value.to_owned()),
            _ => {}
        }
    }
    Some(Rendition { kind: kind?, group: group.to_owned(), name: name.to_owned(), uri })
}
