//! What playlists read as, good and bad.

use std::time::Duration;

use proptest::prelude::{any, proptest};

use super::*;
use crate::hls::texts::{media, multivariant};
use crate::model::clock::WallTime;

#[test]
fn the_target_duration_is_found() {
    for (text, seconds) in [
        ("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n", Some(2.0)),
        ("#EXTM3U\r\n#EXT-X-TARGETDURATION:10\r\n", Some(10.0)),
        ("#EXTM3U\n#EXT-X-TARGETDURATION: 2.5\n", Some(2.5)),
        ("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n", None),
        ("#EXTM3U\n#EXT-X-TARGETDURATION:0\n", None),
        ("#EXTM3U\n#EXT-X-TARGETDURATION:-1\n", None),
        ("#EXTM3U\n#EXT-X-TARGETDURATION:NaN\n", None),
        ("#EXTM3U\n#EXT-X-TARGETDURATION:inf\n", None),
        ("", None),
    ] {
        assert_eq!(target_duration(text.as_bytes()), seconds.map(Duration::from_secs_f64), "{text}");
    }
}

fn wrongs(faults: &[Fault]) -> Vec<(usize, Wrong)> {
    faults.iter().map(|fault| (fault.line, fault.what)).collect()
}

const S2: Duration = Duration::from_secs(2);

#[test]
fn a_plain_live_playlist_reads() {
    let media = media(
        "#EXTM3U\r\n#EXT-X-VERSION:3\r\n#EXT-X-TARGETDURATION:2\r\n#EXT-X-MEDIA-SEQUENCE:891\r\n\
         #EXT-X-DISCONTINUITY-SEQUENCE:4\r\n#EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:04:05.678+0000\r\n#EXTINF:2.000000,\r\n\
         a_00891.ts\r\n#EXT-X-DISCONTINUITY\r\n#EXTINF:1.5,title, with a comma\r\na_00892.ts?x=1\r\n\r\n# a comment\r\n\
         #EXT-X-GAP\r\n#EXTINF:2,\r\na_00893.ts",
    );
    assert_eq!((media.target_duration, media.media_sequence, media.discontinuity_sequence), (Some(S2), 891, 4));
    assert_eq!((media.ended, media.last_sequence(), media.duration()), (false, Some(893), Duration::from_millis(5500)));
    let [first, second, third] = &media.segments[..] else { panic!("{media:?}") };
    assert_eq!((first.uri.as_str(), first.duration, first.sequence), ("a_00891.ts", S2, 891));
    assert_eq!(first.program_date_time, WallTime::parse("2026-01-02T03:04:05.678Z"));
    assert_eq!((second.uri.as_str(), second.discontinuity, second.program_date_time), ("a_00892.ts?x=1", true, None));
    assert_eq!((third.gap, third.discontinuity, third.sequence), (true, false, 893));
    assert_eq!(media.faults, []);
}

#[test]
fn a_low_latency_playlist_reads() {
    let media = media(
        "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-VERSION:9\n#EXT-X-PART-INF:PART-TARGET=1.004\n\
         #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=3.012,CAN-SKIP-UNTIL=24.0,HOLD-BACK=12\n\
         #EXT-X-MEDIA-SEQUENCE:266\n#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n#EXT-X-MAP:URI=\"init.mp4\"\n\
         #EXTINF:4.0,\nf269.mp4\n\
         #EXT-X-PART:DURATION=2,URI=\"f270.0.mp4\",INDEPENDENT=YES\n#EXT-X-PART:DURATION=2,URI=\"f270.1.mp4\",GAP=YES\n\
         #EXTINF:4.0,\nf270.mp4\n\
         #EXT-X-PART:DURATION=1,URI=\"f271.mp4\",BYTERANGE=\"100@0\"\n#EXT-X-PART:DURATION=1,URI=\"f271.mp4\",BYTERANGE=50\n\
         #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"f271.mp4\",BYTERANGE-START=150\n\
         #EXT-X-RENDITION-REPORT:URI=\"../1M/x.m3u8\",LAST-MSN=273,LAST-PART=2\n",
    );
    let control = media.server_control;
    assert!(control.can_block_reload);
    assert_eq!(control.hold_back, Some(S2 * 6));
    assert_eq!((control.part_hold_back, control.can_skip_until), (Some(Duration::from_millis(3012)), Some(S2 * 12)));
    assert_eq!((media.part_target, media.skipped), (Some(Duration::from_millis(1004)), 3));
    let [first, second] = &media.segments[..] else { panic!("{media:?}") };
    assert_eq!((first.sequence, first.map, first.parts.len()), (269, Some(0), 0));
    assert_eq!((second.sequence, second.parts.len()), (270, 2));
    assert!(second.parts[0].independent && !second.parts[0].gap && second.parts[1].gap);
    let ranges: Vec<_> = media.parts.iter().map(|part| part.range).collect();
    assert_eq!(ranges, [Some(ByteRange { start: 0, length: 100 }), Some(ByteRange { start: 100, length: 50 })]);
    assert_eq!(
        media.preload_hints,
        [PreloadHint { kind: HintKind::Part, uri: "f271.mp4".to_owned(), start: Some(150), length: None }]
    );
    assert_eq!(media.faults, []);
}

#[test]
fn maps_keys_and_ranges_read() {
    let media = media(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-I-FRAMES-ONLY\n\
         #EXT-X-KEY:METHOD=AES-128,URI=\"k1.key\",IV=0x1\n#EXT-X-MAP:URI=\"v.mp4\",BYTERANGE=\"700@0\"\n\
         #EXTINF:2,\n#EXT-X-BYTERANGE:1000@700\nv.mp4\n#EXTINF:2,\n#EXT-X-BYTERANGE:500\nv.mp4\n\
         #EXT-X-KEY:METHOD=NONE\n#EXT-X-MAP:URI=\"w.mp4\"\n#EXTINF:2,\nw.mp4\n\
         #EXT-X-KEY:METHOD=AES-128,URI=\"k1.key\"\n#EXT-X-MAP:URI=\"v.mp4\",BYTERANGE=\"700@0\"\n#EXTINF:2,\nx.mp4\n#EXT-X-ENDLIST\n",
    );
    assert!(media.ended && media.i_frames_only && media.playlist_type == Some(PlaylistType::Event));
    let range = Some(ByteRange { start: 0, length: 700 });
    assert_eq!(media.maps, [Map { uri: "v.mp4".to_owned(), range }, Map { uri: "w.mp4".to_owned(), range: None }]);
    assert_eq!(media.keys, ["k1.key"]);
    let seen: Vec<_> = media.segments.iter().map(|s| (s.map, s.key, s.range.map(|range| (range.start, range.length)))).collect();
    let expected = [
        (Some(0), Some(0), Some((700, 1000))),
        (Some(0), Some(0), Some((1700, 500))),
        (Some(1), None, None),
        (Some(0), Some(0), None),
    ];
    assert_eq!(seen, expected);
    assert_eq!(media.faults, []);
}

#[test]
fn a_multivariant_playlist_reads() {
    let multivariant = multivariant(
        "\u{feff}#EXTM3U\n#EXT-X-VERSION:4\n#EXT-X-INDEPENDENT-SEGMENTS\n\
         #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"English, main\",URI=\"audio.m3u8\"\n\
         #EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"cc\",NAME=\"cc\",INSTREAM-ID=\"CC1\"\n\
         #EXT-X-STREAM-INF:BANDWIDTH=2500000,AVERAGE-BANDWIDTH=2000000,CODECS=\"avc1.4d401f,mp4a.40.2\",RESOLUTION=854x480,\
         AUDIO=\"a\",SUBTITLES=\"s\"\n# a comment\n\nplaylist_480p30.m3u8?token=k\n\
         #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=100,URI=\"i.m3u8\"\n#EXT-X-IMAGE-STREAM-INF:BANDWIDTH=9,URI=\"img.m3u8\"\n",
    );
    let [video, frames, images] = &multivariant.variants[..] else { panic!("{multivariant:?}") };
    assert_eq!((video.bandwidth, video.average_bandwidth), (Some(2_500_000), Some(2_000_000)));
    assert_eq!((video.resolution, video.codecs.as_deref()), (Some((854, 480)), Some("avc1.4d401f,mp4a.40.2")));
    assert_eq!((video.audio.as_deref(), video.video.as_deref(), video.subtitles.as_deref()), (Some("a"), None, Some("s")));
    assert_eq!(video.uri, "playlist_480p30.m3u8?token=k");
    assert!(frames.i_frames_only && images.i_frames_only && !video.i_frames_only);
    assert_eq!((frames.uri.as_str(), images.uri.as_str()), ("i.m3u8", "img.m3u8"));
    let [audio, captions] = &multivariant.renditions[..] else { panic!("{multivariant:?}") };
    assert_eq!((audio.kind, audio.group.as_str(), audio.name.as_str()), (RenditionKind::Audio, "a", "English, main"));
    assert_eq!((audio.uri.as_deref(), captions.uri.as_deref()), (Some("audio.m3u8"), None));
    assert_eq!(
        wrongs(&multivariant.faults),
        [(1, Wrong::NotFirst), (6, Wrong::NoGroup("SUBTITLES"))],
        "a byte order mark, and no group"
    );
}

#[test]
fn faults_name_their_line_and_what_is_good_is_kept() {
    let media = media(
        "\n#EXTM3U\n#EXT-X-TARGETDURATION:x\n#EXTINF:2,\na.ts\nb.ts\n#EXTINF:-1,\nc.ts\n#EXT-X-BYTERANGE:10\n#EXTINF:1,\nd.ts\n\
         #EXT-X-PART:DURATION=1\n#EXT-X-MAP:X=1\n#EXT-X-KEY:METHOD=AES-128\n#EXT-X-PRELOAD-HINT:URI=\"x\"\n",
    );
    assert_eq!(
        wrongs(&media.faults),
        [
            (1, Wrong::NotFirst),
            (3, Wrong::Value("EXT-X-TARGETDURATION")),
            (6, Wrong::NoDuration),
            (7, Wrong::Value("EXTINF")),
            (11, Wrong::NoOffset),
            (12, Wrong::Attribute("EXT-X-PART", "URI")),
            (13, Wrong::Attribute("EXT-X-MAP", "URI")),
            (14, Wrong::Attribute("EXT-X-KEY", "URI")),
            (15, Wrong::Attribute("EXT-X-PRELOAD-HINT", "TYPE")),
        ]
    );
    assert_eq!(media.segments.len(), 4);
    let long = crate::hls::texts::media("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.500000,\na\n#EXTINF:2.501,\nb\n");
    assert_eq!(
        wrongs(&long.faults),
        [(6, Wrong::LongerThanTarget)],
        "rounded to whole seconds, a half either way (RFC 8216 4.3.3.1)"
    );
    assert_eq!(wrongs(&crate::hls::texts::media("#EXTM3U\n").faults), [(1, Wrong::NoTargetDuration)]);
    let variants = multivariant(
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n#EXT-X-STREAM-INF:X=1\na\n#EXT-X-MEDIA:NAME=x\n#EXT-X-STREAM-INF:BANDWIDTH=1",
    );
    assert_eq!(
        wrongs(&variants.faults),
        [
            (2, Wrong::NoUri),
            (3, Wrong::Attribute("EXT-X-STREAM-INF", "BANDWIDTH")),
            (5, Wrong::Attribute("EXT-X-MEDIA", "TYPE")),
            (6, Wrong::NoUri),
        ]
    );
    let Ok(Playlist::Media(latin)) = parse(b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n\xe4.ts\n") else { panic!() };
    assert_eq!((wrongs(&latin.faults), latin.segments.len()), (vec![(4, Wrong::NotUtf8)], 1));
    assert_eq!(crate::hls::texts::media(&format!("#EXTM3U\n{}", "a\n".repeat(100))).faults.len(), 5, "four of one kind");
}

#[test]
fn of_what_is_no_playlist_nothing_is_said() {
    for (text, line, what) in [
        ("", 1, Wrong::NoPlaylist),
        ("\n\n<html>", 3, Wrong::NoPlaylist),
        ("#EXTINF:2,\na.ts", 1, Wrong::NoPlaylist),
        ("\u{1f}\u{8b}", 1, Wrong::NoPlaylist),
        ("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na\n#EXTINF:1,\nb", 4, Wrong::Mixed),
        ("#EXTM3U\n#EXTINF:1,\nb\n#EXT-X-STREAM-INF:BANDWIDTH=1\na", 4, Wrong::Mixed),
    ] {
        assert_eq!(parse(text.as_bytes()), Err(Fault { line, what }), "{text}");
    }
    let endless = format!("#EXTM3U\n{}", "a\n".repeat(MAX_ENTRIES + 1));
    assert_eq!(parse(endless.as_bytes()), Err(Fault { line: MAX_ENTRIES + 2, what: Wrong::TooLong }));
    let endless = format!("#EXTM3U\n#EXT-X-STREAM-INF:\n{}", "a\n".repeat(MAX_ENTRIES));
    assert!(parse(endless.as_bytes()).is_err());
}

#[test]
fn sequences_are_those_of_the_stream() {
    let last = |text: &str| media(text).last_sequence();
    assert_eq!(last("#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:7\n"), None);
    assert_eq!(last("#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n"), Some(9));
    assert_eq!(last("#EXTM3U\n#EXTINF:1,\na\n#EXT-X-MEDIA-SEQUENCE:7\n"), Some(7));
    let huge = media("#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:18446744073709551615\n#EXTINF:1,\na\n#EXTINF:1,\nb\n");
    assert!(huge.segments.iter().all(|segment| segment.sequence == u64::MAX));
}

proptest! {
    #[test]
    fn no_bytes_panic(tail in any::<Vec<u8>>()) {
        let _ = target_duration(&tail);
        let _ = target_duration(&[b"#EXT-X-TARGETDURATION:", &tail[..]].concat());
    }
}
