//! DASH manifests (MPD, ISO/IEC 23009-1): what health and leases need of one. The only module that knows `quick_xml`.

use std::ops::Range;

use quick_xml::escape::unescape;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use super::address::{AddressRoom, MAX_URI};
use super::fault::{Fault, Wrong};
use super::presentation::Inherited;
pub use super::presentation::{Manifest, Representation};

/// How many representations of one manifest are read, over all its periods.
const MAX_REPRESENTATIONS: usize = 4096;
/// How deep periods, adaptation sets and representations are nested in each other at most: three, if all is well.
const MAX_DEPTH: usize = 8;

/// Reads a manifest. Tolerant: what can be understood is kept.
///
/// Each element is looked at once; what is kept of it is bounded by its own bytes and by what a representation takes over from the
/// levels above, which is shared or limited. So work and memory are in proportion to the bytes.
///
/// # Errors
/// A [`Fault`] when it is not well-formed XML, has no MPD element, or has more representations than are read.
pub fn parse(bytes: &[u8]) -> Result<Manifest, Fault> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut reader = Reader::from_str(text);
    let mut manifest = Manifest::default();
    let mut levels = vec![Inherited::default()];
    let mut room = AddressRoom::of(text.len());
    let (mut is_mpd, mut periods) = (false, 0);
    // The BaseURL that is being read; only the first one of each level counts, the others are the same elsewhere.
    let mut base: Option<String> = None;
    loop {
        let line =
            |reader: &Reader<&[u8]>| 1 + text.as_bytes()[..position(reader, text)].iter().filter(|&&byte| byte == b'\n').count();
        let event = reader.read_event().map_err(|_| Fault { line: line(&reader), what: Wrong::NoManifest })?;
        let is_empty = matches!(event, Event::Empty(_));
        match event {
            Event::Start(element) | Event::Empty(element) => {
                let name = element.local_name();
                match name.as_ref() {
                    "MPD" => {
                        is_mpd = true;
                        each_attribute(&element, |name, value| manifest.head(name, value));
                    }
                    "Period" | "AdaptationSet" | "Representation" => {
                        if levels.len() > MAX_DEPTH || manifest.representations.len() >= MAX_REPRESENTATIONS {
                            return Err(Fault { line: line(&reader), what: Wrong::TooLong });
                        }
                        let mut level = levels.last().cloned().unwrap_or_default();
                        level.has_base = false;
                        each_attribute(&element, |name, value| level.open(name, value));
                        if name.as_ref() == "Period" {
                            periods += 1;
                            level.period = periods - 1;
                        }
                        if !is_empty {
                            levels.push(level);
                        } else if name.as_ref() == "Representation" {
                            level.close(&mut manifest, &mut room);
                        }
                    }
                    "SegmentTemplate" | "SegmentList" | "SegmentTimeline" | "S" | "SegmentURL" | "Initialization" => {
                        if let Some(level) = levels.last_mut() {
                            level.segments(name.as_ref());
                            each_attribute(&element, |attribute, value| level.attribute(name.as_ref(), attribute, value));
                            level.segments_end(name.as_ref());
                        }
                    }
                    "BaseURL" if !is_empty => base = Some(String::new()),
                    _ => {}
                }
            }
            Event::End(element) => match element.local_name().as_ref() {
                "BaseURL" => {
                    if let (Some(base), Some(level)) = (base.take(), levels.last_mut()) {
                        level.set_base(base.trim());
                    }
                }
                name @ ("Period" | "AdaptationSet" | "Representation") => {
                    if let Some(level) = levels.pop()
                        && name == "Representation"
                    {
                        level.close(&mut manifest, &mut room);
                    }
                }
                _ => {}
            },
            Event::Text(piece) => push(base.as_mut(), &piece),
            Event::CData(piece) => push(base.as_mut(), &piece),
            Event::GeneralRef(name) => {
                if let Some(base) = &mut base
                    && let Ok(piece) = unescape(&format!("&{};", &*name))
                {
                    push(Some(base), &piece);
                }
            }
            Event::Eof => break,
            _ => {}
        }
    }
    if !is_mpd {
        return Err(Fault { line: 1, what: Wrong::NoManifest });
    }
    // A period may stand in a document of its own (ISO/IEC 23009-1 5.5).
    if manifest.representations.is_empty() && !text.contains("xlink:href") {
        manifest.faults.push(Fault { line: 1, what: Wrong::NoRepresentation });
    }
    Ok(manifest)
}

fn push(base: Option<&mut String>, piece: &str) {
    if let Some(base) = base
        && base.len() + piece.len() <= MAX_URI
    {
        base.push_str(piece);
    }
}

/// What stands in no honest URI as it is.
const MARKUP: [char; 4] = ['<', '>', '"', '\''];

/// Hands over each attribute's name, without its namespace, and value; those that do not read are left out.
fn each_attribute(element: &BytesStart<'_>, mut take: impl FnMut(&str, &str)) {
    for attribute in element.attributes().with_checks(false).filter_map(Result::ok) {
        if let Ok(value) = unescape(&attribute.value) {
            take(attribute.key.local_name().as_ref(), value.trim());
        }
    }
}

fn position(reader: &Reader<&[u8]>, text: &str) -> usize {
    usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX).min(text.len())
}

/// Where the URIs stand that players fetch, from the front to the back, as far as `own` holds for what they mean.
///
/// None at all in what is not well formed, or declares entities of its own. When a base URL is not `own`, or an identifier could
/// make a URI lead elsewhere, only the manifest's own locations are left, which no base applies to.
pub(super) fn places(bytes: &[u8], own: impl Fn(&str) -> bool) -> Vec<Range<usize>> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Vec::new() };
    let marked = text.len() - text.trim_start_matches('\u{feff}').len();
    let text = &text[marked..];
    let mut reader = Reader::from_str(text);
    let (mut places, mut locations) = (Vec::new(), Vec::new());
    let mut all_own = true;
    let mut opened = 0;
    loop {
        let before = position(&reader, text);
        let event = match reader.read_event() {
            Ok(Event::Eof) => break,
            Ok(Event::DocType(_)) | Err(_) => return Vec::new(),
            Ok(event) => event,
        };
        match event {
            Event::Start(element) | Event::Empty(element) => {
                opened = position(&reader, text);
                let name = element.local_name();
                for attribute in element.attributes().with_checks(false) {
                    let Ok(attribute) = attribute else { return Vec::new() };
                    let value = &*attribute.value;
                    let meant = unescape(value);
                    let meant = meant.as_deref();
                    let plain = !value.contains(MARKUP);
                    match (name.as_ref(), attribute.key.as_ref()) {
                        ("Representation", "id") => {
                            all_own &=
                                meant.is_ok_and(|id| !id.contains(['/', '\\', ':', '?', '#']) && !id.contains(char::is_control));
                        }
                        (_, "xml:base") => all_own &= meant.is_ok_and(&own),
                        ("SegmentTemplate", "media" | "initialization" | "index" | "bitstreamSwitching")
                        | ("SegmentURL", "media" | "index")
                        | ("Initialization" | "RepresentationIndex" | "BitstreamSwitching", "sourceURL")
                        | (_, "xlink:href")
                            if plain && meant.is_ok_and(&own) =>
                        {
                            // The value is a part of the text: that is where it stands.
                            let at = value.as_ptr().addr() - text.as_ptr().addr();
                            places.push(at..at + value.len());
                        }
                        _ => {}
                    }
                }
            }
            Event::End(element) => {
                let raw = text.get(opened..before).unwrap_or_default();
                let uri = raw.trim_ascii();
                let at = opened + (raw.len() - raw.trim_ascii_start().len());
                let meant = unescape(uri);
                let is_own = !uri.contains(MARKUP) && meant.as_deref().is_ok_and(&own);
                match element.local_name().as_ref() {
                    "BaseURL" if uri.is_empty() => {}
                    "BaseURL" => {
                        all_own &= is_own;
                        // A folder's query is lost when something is put on it.
                        if is_own && !meant.is_ok_and(|meant| meant.ends_with('/')) {
                            places.push(at..at + uri.len());
                        }
                    }
                    "Location" | "PatchLocation" if is_own => locations.push(at..at + uri.len()),
                    _ => {}
                }
            }
            _ => {}
        }
    }
    if !all_own {
        places.clear();
    }
    places.extend(locations);
    places.sort_unstable_by_key(|place| place.start);
    for place in &mut places {
        *place = place.start + marked..place.end + marked;
    }
    places
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::super::address::{ROOM_PER_BYTE, SHORTEST_ROOM, fill, join};
    use super::*;
    use crate::model::clock::WallTime;
    use proptest::prelude::{any, proptest};

    const LIVE: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="dynamic" minimumUpdatePeriod="PT2S"
	availabilityStartTime="2026-01-02T03:04:05.678Z" publishTime="2026-01-02T03:05:00Z"
	timeShiftBufferDepth="PT0H1M30.5S" maxSegmentDuration="PT2.0S">
 <BaseURL>a/</BaseURL><BaseURL>https://other.example/a/</BaseURL>
 <Period id="0" start="PT0S">
  <AdaptationSet contentType="video" codecs="avc1.64001f">
   <SegmentTemplate timescale="1000000" initialization="init-$RepresentationID$.m4s" media="chunk-$RepresentationID$-$Number%05d$.m4s?x=1&amp;y"/>
   <Representation id="0" bandwidth="800000"/>
   <Representation id="1" bandwidth="250" codecs="hvc1"><BaseURL> sub/ </BaseURL>
    <SegmentTemplate initialization="i$$-$Bandwidth%06d$.mp4"/></Representation>
  </AdaptationSet>
  <AdaptationSet><Representation id="2"><BaseURL>v<![CDATA[&]]>&amp;.mp4</BaseURL><SegmentBase indexRange="0-9">
   <Initialization range="0-8"/></SegmentBase></Representation></AdaptationSet>
 </Period></MPD>"#;

    #[test]
    fn a_live_manifest_reads() {
        let manifest = parse(LIVE.as_bytes()).unwrap();
        assert!(manifest.dynamic);
        assert_eq!(manifest.availability_start, WallTime::parse("2026-01-02T03:04:05.678Z"));
        assert_eq!(manifest.publish_time, WallTime::parse("2026-01-02T03:05:00Z"));
        assert_eq!(manifest.minimum_update_period, Some(Duration::from_secs(2)));
        assert_eq!(manifest.time_shift_buffer_depth, Some(Duration::from_millis(90_500)));
        assert_eq!(manifest.max_segment_duration, Some(Duration::from_secs(2)));
        assert_eq!(manifest.initializations, ["a/init-0.m4s", "a/sub/i$-000250.mp4"]);
        let seen: Vec<_> = manifest.representations.iter().map(|one| (&*one.id, one.bandwidth, one.codecs.as_deref())).collect();
        assert_eq!(seen, [("0", Some(800_000), Some("avc1.64001f")), ("1", Some(250), Some("hvc1")), ("2", None, None)]);
        let media: Vec<_> = manifest.representations.iter().map(|one| one.media.as_deref()).collect();
        assert_eq!(media, [Some("a/chunk-0-$Number%05d$.m4s?x=1&y"), Some("a/sub/chunk-1-$Number%05d$.m4s?x=1&y"), None]);
    }

    #[test]
    fn segments_last_as_long_as_the_manifest_says() {
        let text = "<MPD type='dynamic'><Period><AdaptationSet><SegmentTemplate timescale='1000' duration='1920' media='a-$Number$'/>\
                    <Representation id='1'/><Representation id='2'><SegmentTemplate timescale='90000'/></Representation></AdaptationSet>\
                    <AdaptationSet><SegmentTemplate timescale='48000' media='b-$Time$'><SegmentTimeline><S t='0' d='96000' r='3'/>\
                    <S d='97024'/><S d='1024'/></SegmentTimeline></SegmentTemplate><Representation id='3'/></AdaptationSet></Period>\
                    <Period><AdaptationSet><Representation id='4'><BaseURL>c/</BaseURL><SegmentList duration='4'><SegmentURL media='1.ts'/>\
                    <SegmentURL media='2.ts'/></SegmentList></Representation><Representation id='5'><SegmentTemplate timescale='0'\
                    duration='1'/></Representation></AdaptationSet></Period></MPD>";
        let manifest = parse(text.as_bytes()).unwrap();
        let millis: Vec<_> = manifest.representations.iter().map(|one| one.segment.map(|segment| segment.as_millis())).collect();
        assert_eq!(millis, [Some(1920), Some(21), Some(2021), Some(4000), None]);
        let newest: Vec<_> = manifest.representations.iter().map(|one| (one.period, one.newest.as_deref())).collect();
        assert_eq!(newest, [(0, None), (0, None), (0, None), (1, Some("c/2.ts")), (1, None)]);
    }

    #[test]
    fn what_is_no_manifest_says_so() {
        for (text, line) in [("", 1), ("#EXTM3U", 1), ("<html/>", 1), ("<MPD>\n<Period>\n</MPD>", 3), ("<MPD>\n<", 2)] {
            assert_eq!(parse(text.as_bytes()), Err(Fault { line, what: Wrong::NoManifest }), "{text}");
        }
        assert!(parse("\u{feff}<MPD/>".as_bytes()).is_ok());
        let deep = format!("<MPD>{}", "<Period>".repeat(100));
        assert_eq!(parse(deep.as_bytes()).map_err(|fault| fault.what), Err(Wrong::TooLong));
        let wide = format!("<MPD>{}</MPD>", "<Representation/>".repeat(MAX_REPRESENTATIONS + 1));
        assert_eq!(parse(wide.as_bytes()).map_err(|fault| fault.what), Err(Wrong::TooLong));
    }

    #[test]
    fn what_is_kept_is_in_proportion_to_what_was_read() {
        let long = "x".repeat(2000);
        let kept = |media: &str| {
            let mut text = format!(
                "<MPD><Period><AdaptationSet codecs='{long}'><SegmentTemplate media='{media}' initialization='{media}'/>"
            );
            for id in 0..MAX_REPRESENTATIONS {
                text.push_str(&format!("<Representation id='{id}'/>"));
            }
            let manifest = parse((text.clone() + "</AdaptationSet></Period></MPD>").as_bytes()).unwrap();
            assert_eq!(manifest.representations.len(), MAX_REPRESENTATIONS);
            let texts = manifest.representations.iter().flat_map(|one| one.media.iter().chain(&one.codecs).chain([&one.id]));
            let different: std::collections::HashMap<_, _> = texts.map(|text| (Arc::as_ptr(text), text.len())).collect();
            let bytes = different.values().sum::<usize>() + manifest.initializations.iter().map(String::len).sum::<usize>();
            assert!(bytes <= SHORTEST_ROOM + (ROOM_PER_BYTE + 1) * text.len(), "{bytes} of {}", text.len());
            manifest.representations.iter().filter(|one| one.media.is_some()).count()
        };
        assert_eq!(kept(&format!("a$Number${long}")), MAX_REPRESENTATIONS, "one text for all");
        assert!(kept(&format!("$RepresentationID$-$Number${long}")) < MAX_REPRESENTATIONS);
        assert_eq!(kept("$RepresentationID$-$Number$.m4s"), MAX_REPRESENTATIONS);
    }

    #[test]
    fn references_are_put_on_their_base() {
        for (base, uri, joined) in [
            ("", "a", "a"),
            ("b/", "a", "b/a"),
            ("b/c", "a", "b/a"),
            ("b/?q/x", "a", "b/a"),
            ("https://h/b/", "a", "https://h/b/a"),
            ("b/", "/a", "/a"),
            ("b/", "https://h/a", "https://h/a"),
        ] {
            assert_eq!(join(base, uri).as_deref(), Some(joined), "{base} {uri}");
        }
        assert_eq!(fill("$RepresentationID$$Number$$$$", "v", 0), "v$Number$$$");
        assert_eq!(fill("$Bandwidth%099999999d$", "v", 1).len(), 32);
    }

    fn found(text: &str) -> Vec<&str> {
        let own = |uri: &str| !uri.is_empty() && !uri.contains(':') && !uri.starts_with("//");
        places(text.as_bytes(), own).into_iter().map(|place| &text[place]).collect()
    }

    #[test]
    fn places_are_those_of_what_is_fetched() {
        let own = LIVE.replace("https://other.example", "");
        let media = "chunk-$RepresentationID$-$Number%05d$.m4s?x=1&amp;y";
        assert_eq!(
            found(&own.replace("<![CDATA[&]]>", "")),
            ["init-$RepresentationID$.m4s", media, "i$$-$Bandwidth%06d$.mp4", "v&amp;.mp4"]
        );
        // A base that is not ours, or not plain.
        assert_eq!(found(LIVE), [""; 0]);
        assert_eq!(found(&own), [""; 0]);
        let list = "\u{feff}<MPD><Location>\n here.mpd </Location><PatchLocation>patch</PatchLocation><SegmentList>\
                    <Initialization sourceURL='i'/><SegmentURL media='a' index='https://other/'/><X xlink:href='x'/></SegmentList>{}</MPD>";
        assert_eq!(found(list), ["here.mpd", "patch", "i", "a", "x"]);
        for foreign in [
            "<BaseURL>https://other/</BaseURL>",
            "<BaseURL>&#47;/other/</BaseURL>",
            "<BaseURL>&other;</BaseURL>",
            "<Representation id='https://other/'/>",
            "<Representation id='&#47;/other/'/>",
            "<Period xml:base='//other/'/>",
        ] {
            assert_eq!(found(&list.replace("{}", foreign)), ["here.mpd", "patch"], "{foreign}");
        }
        for broken in ["<Period>", "<a b=c d='>", "&amp", "<!DOCTYPE x>"] {
            assert_eq!(found(&list.replace("{}", broken)), [""; 0], "{broken}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in any::<Vec<u8>>(), like in "(<|>|/|!|MPD|Period|BaseURL|Representation| id=|'|\"|&|amp;|\u{e4}| )*") {
            for bytes in [&bytes[..], like.as_bytes()] {
                let _ = parse(bytes);
                let _ = places(bytes, |_| true);
            }
        }
    }
}
