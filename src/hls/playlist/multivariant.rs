//! Reading a multivariant playlist, line by line.

use std::collections::HashSet;

use super::attributes::{attributes, number};
use super::lines::{MAX_ENTRIES, kind, tag};
use super::words::{Multivariant, Playlist, Rendition, RenditionKind, Variant};
use crate::hls::fault::{Fault, Faults, Wrong};

pub(super) fn read<'a>(lines: impl Iterator<Item = (usize, &'a str)>) -> Result<Playlist, Fault> {
    let mut multivariant = Multivariant::default();
    let mut faults = Faults::default();
    let mut next: Option<(usize, Variant)> = None;
    let mut entries = 0;
    let (mut once, mut groups) = (0_u8, Groups::default());
    for (line, text) in lines {
        if let Some((tag, value)) = tag(text) {
            head(&mut faults, &mut once, line, tag);
            match tag {
                "-X-STREAM-INF" => {
                    groups.named_by(line, value);
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
                    Some(rendition) => {
                        judge(&mut faults, line, &rendition, value);
                        if !groups.declare(value) {
                            faults.note(line, Wrong::SameName);
                        }
                        multivariant.renditions.push(rendition);
                    }
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
    for (line, attribute) in groups.undeclared() {
        faults.note(line, Wrong::NoGroup(attribute));
    }
    if multivariant.variants.iter().all(|variant| variant.i_frames_only) {
        faults.note(1, Wrong::NoVariant);
    }
    multivariant.faults = faults.list;
    Ok(Playlist::Multivariant(multivariant))
}

/// The tags of which there may be one (RFC 8216 4.3.1.2, 4.3.5; RFC 8216bis 4.4.6.6).
const ONCE: [(&str, &str); 4] = [
    ("-X-VERSION", "EXT-X-VERSION"),
    ("-X-INDEPENDENT-SEGMENTS", "EXT-X-INDEPENDENT-SEGMENTS"),
    ("-X-START", "EXT-X-START"),
    ("-X-CONTENT-STEERING", "EXT-X-CONTENT-STEERING"),
];

/// The tags of media playlists that do not make one of it for players, beside those that do (RFC 8216 4.3.2, 4.3.3).
const OF_MEDIA: [(&str, &str); 9] = [
    ("-X-ENDLIST", "EXT-X-ENDLIST"),
    ("-X-PLAYLIST-TYPE", "EXT-X-PLAYLIST-TYPE"),
    ("-X-DISCONTINUITY", "EXT-X-DISCONTINUITY"),
    ("-X-DISCONTINUITY-SEQUENCE", "EXT-X-DISCONTINUITY-SEQUENCE"),
    ("-X-BYTERANGE", "EXT-X-BYTERANGE"),
    ("-X-KEY", "EXT-X-KEY"),
    ("-X-MAP", "EXT-X-MAP"),
    ("-X-PROGRAM-DATE-TIME", "EXT-X-PROGRAM-DATE-TIME"),
    ("-X-I-FRAMES-ONLY", "EXT-X-I-FRAMES-ONLY"),
];

/// A tag that may stand here once, or not at all. `once`: those of [`ONCE`] that have been read, a bit each.
fn head(faults: &mut Faults, once: &mut u8, line: usize, tag: &str) {
    if let Some(place) = ONCE.iter().position(|(name, _)| *name == tag) {
        if *once & (1 << place) != 0 {
            faults.note(line, Wrong::Twice(ONCE[place].1));
        }
        *once |= 1 << place;
    } else if let Some((_, name)) = OF_MEDIA.iter().find(|(name, _)| *name == tag) {
        faults.note(line, Wrong::OfMedia(name));
    }
}

/// What EXT-X-MEDIA has to say (RFC 8216 4.3.4.1).
fn judge(faults: &mut Faults, line: usize, rendition: &Rendition, list: &str) {
    let mut lacks = |attribute: &'static str, is_lacking: bool| {
        if is_lacking {
            faults.note(line, Wrong::Attribute("EXT-X-MEDIA", attribute));
        }
    };
    lacks("GROUP-ID", rendition.group.is_empty());
    lacks("NAME", rendition.name.is_empty());
    lacks("URI", rendition.kind == RenditionKind::Subtitles && rendition.uri.is_none());
    let has_channel = || attributes(list).any(|(name, _)| name == "INSTREAM-ID");
    lacks("INSTREAM-ID", rendition.kind == RenditionKind::ClosedCaptions && !has_channel());
}

/// The groups of renditions: those that variants name, and those that there are (RFC 8216 4.3.4.2, 4.3.4.1.1).
#[derive(Default)]
struct Groups<'a> {
    named: Vec<(usize, &'static str, &'static str, &'a str)>,
    declared: HashSet<(&'a str, &'a str)>,
    names: HashSet<(&'a str, &'a str, &'a str)>,
}

impl<'a> Groups<'a> {
    fn named_by(&mut self, line: usize, list: &'a str) {
        for (name, group) in attributes(list) {
            let (attribute, kind) = match name {
                "AUDIO" => ("AUDIO", "AUDIO"),
                "VIDEO" => ("VIDEO", "VIDEO"),
                "SUBTITLES" => ("SUBTITLES", "SUBTITLES"),
                "CLOSED-CAPTIONS" if group != "NONE" => ("CLOSED-CAPTIONS", "CLOSED-CAPTIONS"),
                _ => continue,
            };
            // Most variants name what the one before named.
            let same = |(.., known, before): &&(usize, &str, &str, &str)| *known == kind && *before == group;
            if !self.named.iter().rev().take(4).any(|known| same(&known)) {
                self.named.push((line, attribute, kind, group));
            }
        }
    }

    /// Says whether its name is new in its group.
    fn declare(&mut self, list: &'a str) -> bool {
        let of = |name| attributes(list).find(|(known, _)| *known == name).map_or("", |(_, value)| value);
        let (kind, group, name) = (of("TYPE"), of("GROUP-ID"), of("NAME"));
        self.declared.insert((kind, group));
        self.names.insert((kind, group, name)) || name.is_empty()
    }

    fn undeclared(&self) -> impl Iterator<Item = (usize, &'static str)> {
        let is_there = |kind: &str, group: &str| self.declared.contains(&(kind, group));
        self.named
            .iter()
            .filter(move |(_, _, kind, group)| !is_there(kind, group))
            .map(|&(line, attribute, ..)| (line, attribute))
    }
}

fn variant(list: &str) -> (Variant, Option<&str>) {
    let mut variant = Variant::default();
    let mut uri = None;
    for (name, value) in attributes(list) {
        let text = || Some(value.to_owned());
        match name {
            // Nothing takes no bits: players that choose by it choose what they can't play (hls.js, AVPlayer), or divide by it.
            "BANDWIDTH" => variant.bandwidth = number(value).filter(|bandwidth| *bandwidth > 0),
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
