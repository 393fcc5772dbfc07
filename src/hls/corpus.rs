//! What real encoders write (`tests/corpus`), and what it has to read as.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::normalise::{self, ComposeStep, Named, NamedPlace, SourceVersion, StoredSegment, VersionStanding, names};
use super::playlist::attributes::quoted_uris;
use super::playlist::{self, Playlist};
use super::{mpd, rewrite};
use crate::model::clock::WallTime;
use crate::model::kind::Kind;

fn read(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(name);
    fs::read(path).unwrap()
}

/// One line for a playlist: what an origin goes by.
fn told(name: &str) -> String {
    match playlist::parse(&read(name)).unwrap() {
        Playlist::Multivariant(it) => {
            assert_eq!(it.faults, []);
            let variants: Vec<_> = it.variants.iter().map(|one| format!("{}@{}", one.uri, one.bandwidth.unwrap_or(0))).collect();
            let renditions: Vec<_> = it.renditions.iter().filter_map(|one| one.uri.clone()).collect();
            format!("variants {} renditions {}", variants.join(" "), renditions.join(" "))
        }
        Playlist::Media(it) => {
            assert_eq!(it.faults, []);
            let (first, last) = (it.segments.first().unwrap(), it.segments.last().unwrap());
            let maps: Vec<_> = it.maps.iter().map(|map| map.uri.as_str()).collect();
            format!(
                "target {:?} #{} {} to #{} {} of {:?} maps {} keys {} ended {} {:?}",
                it.target_duration.unwrap(),
                first.sequence,
                first.uri,
                last.sequence,
                last.uri,
                it.duration(),
                maps.join(" "),
                it.keys.join(" "),
                it.ended,
                last.range.map(|range| (range.start, range.length)),
            )
        }
    }
}

#[test]
fn playlists_read_as_their_encoders_meant_them() {
    for (name, expected) in [
        ("ffmpeg-master.m3u8", "variants playlist_720p30.m3u8@52800 playlist_480p30.m3u8@52800 renditions "),
        ("ffmpeg-audio-group.m3u8", "variants media_0.m3u8@52800 media_1.m3u8@52800 renditions media_1.m3u8"),
        ("shaka-master.m3u8", "variants v.m3u8@302757 v_iframe.m3u8@45664 renditions a.m3u8"),
        (
            "ffmpeg-ts.m3u8",
            "target 2s #1 playlist_480p30_00001.ts to #3 playlist_480p30_00003.ts of 6s maps  keys  ended false None",
        ),
        ("ffmpeg-fmp4.m3u8", "target 1s #0 media_00.m4s to #7 media_07.m4s of 8s maps init_0.mp4 keys  ended true None"),
        (
            "ffmpeg-byte-ranges.m3u8",
            "target 1s #0 media.m4s to #7 media.m4s of 8s maps media.m4s keys  ended true Some((252117, 36521))",
        ),
        ("ffmpeg-encrypted.m3u8", "target 1s #5 encrypted5.ts to #7 encrypted7.ts of 3s maps  keys k.key ended true None"),
        (
            "ffmpeg-dash-muxer.m3u8",
            "target 2s #1 chunk-stream0-00001.m4s to #3 chunk-stream0-00003.m4s of 6s maps init-stream0.m4s keys  ended false None",
        ),
        ("gstreamer-ts.m3u8", "target 2s #1 segment00001.ts to #3 segment00003.ts of 5.933333396s maps  keys  ended true None"),
        ("shaka-live.m3u8", "target 2s #3 v_4.m4s to #7 v_8.m4s of 5s maps v_init.mp4 keys  ended false None"),
        ("shaka-i-frames.m3u8", "target 2s #3 v_4.m4s to #7 v_8.m4s of 5s maps v_init.mp4 keys  ended false Some((84, 5123))"),
    ] {
        assert_eq!(told(name), expected, "{name}");
    }
}

#[test]
fn manifests_read_as_their_encoders_meant_them() {
    for (name, dynamic, initializations, media) in [
        ("ffmpeg-low-latency.mpd", true, ["init-stream0.m4s", "init-stream1.m4s"], "chunk-stream0-$Number%05d$.m4s"),
        ("ffmpeg-window.mpd", false, ["init-stream0.m4s", "init-stream1.m4s"], "chunk-stream0-$Number%05d$.m4s"),
        ("shaka-live.mpd", true, ["v_init.mp4", "a_init.mp4"], "v_$Number$.m4s"),
    ] {
        let manifest = mpd::parse(&read(name)).unwrap();
        assert_eq!(
            (manifest.dynamic, &manifest.initializations[..]),
            (dynamic, &initializations.map(str::to_owned)[..]),
            "{name}"
        );
        assert_eq!(manifest.availability_start.is_some() && manifest.publish_time.is_some(), dynamic, "{name}");
        let first = &manifest.representations[0];
        assert_eq!((first.media.as_deref(), first.codecs.as_deref()), (Some(media), Some("avc1.42c00a")), "{name}");
        assert!(manifest.representations.len() == 2 && first.bandwidth.is_some_and(|rate| rate > 200_000), "{name}");
    }
}

#[test]
fn what_encoders_write_is_left_alone_and_what_is_put_on_comes_off() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut files = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let kind = if name.ends_with(".mpd") { Kind::Manifest } else { Kind::Playlist };
        let bytes = read(&name);
        let strip = |bytes: &[u8]| rewrite::strip(kind, bytes, true, |it| matches!(&*it.name, "token" | "inherit_token"));
        assert_eq!(strip(&bytes), None, "{name}");
        let inherited = rewrite::inherit(kind, &bytes, "token=K&inherit_token=1", None).unwrap();
        assert_ne!(inherited, bytes, "{name}");
        assert_eq!(strip(&inherited), Some(bytes), "{name}");
        files += 1;
    }
    assert_eq!(files, 14, "each of them is read above");
}

/// What is composed of a playlist whose segments are all here, without what it states by itself: numbers and kinds of the head.
fn composed(text: &str) -> Option<Vec<Vec<String>>> {
    let version = SourceVersion::read(text).ok()?;
    let now = WallTime::from_seconds(1_767_225_600);
    let find = |uri: &str| {
        let stored = StoredSegment { uri: names::tagged(uri, TAG), at: now, begins: None, ticks: 0 };
        Named { plain: uri.to_owned(), place: NamedPlace::Here(stored) }
    };
    let (standing, end_hold) = (VersionStanding::New, Some(Duration::ZERO));
    let step = ComposeStep { version: &version, heard: now, standing, find: &find, now, end_hold, least: 0, breaks: None };
    let made = normalise::step(None, &step).unwrap();
    assert_eq!(made.mended, [], "nothing is found");
    Some(own_lines(&made.text))
}

const TAG: &str = "0badcafe";

/// The lines that are not stated anew, by segment and in any order; a key without its vector, for one that is implied is written out. A
/// discontinuity before all of them is counted, and stands nowhere.
fn own_lines(text: &str) -> Vec<Vec<String>> {
    let lines = text.lines().map(str::trim_ascii).filter(|line| !line.is_empty());
    let lines = lines.filter(|line| playlist::tag(line).is_none_or(|(name, _)| !playlist::is_written_anew(name)));
    let lines: Vec<String> = lines.map(|line| line.split(",IV=").next().unwrap_or(line).to_owned()).collect();
    let mut blocks: Vec<Vec<String>> = lines.split_inclusive(|line| !line.starts_with('#')).map(<[String]>::to_vec).collect();
    blocks[0].retain(|line| line != "#EXT-X-DISCONTINUITY");
    blocks.iter_mut().for_each(|block| block.sort());
    blocks
}

/// Where nothing is to be mended, what is normalised differs from what was written by the tags in its names, and by numbers.
#[test]
fn what_is_well_is_as_it_was_but_for_names_and_numbers() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let (mut left, mut same) = (Vec::new(), 0);
    for name in names.filter(|name| name.ends_with(".m3u8")) {
        let bytes = read(&name);
        let text = std::str::from_utf8(&bytes).unwrap();
        if !matches!(playlist::parse(&bytes), Ok(Playlist::Media(_))) {
            continue;
        }
        let Some(made) = composed(text) else {
            left.push(name);
            continue;
        };
        let public = |line: String| {
            let uri = if line.starts_with('#') { quoted_uris(&line).next() } else { Some(0..line.len()) };
            let Some(place) = uri else { return line };
            let tagged = names::tagged(&line[place.clone()], TAG);
            format!("{}{tagged}{}", &line[..place.start], &line[place.end..])
        };
        let block = |lines: Vec<String>| {
            let mut lines: Vec<String> = lines.into_iter().map(public).collect();
            lines.sort();
            lines
        };
        let written: Vec<Vec<String>> = own_lines(text).into_iter().map(block).collect();
        assert_eq!(made, written, "{name}");
        same += 1;
    }
    left.sort();
    // Byte ranges, and one of type VOD.
    assert_eq!(left, ["ffmpeg-byte-ranges.m3u8", "ffmpeg-fmp4.m3u8", "shaka-i-frames.m3u8"]);
    assert!(same >= 5, "{same}");
}
