//! What an encoder writes that means nothing, or that players end at, does not come to viewers: in place, and of two sources.

use std::fs;
use std::time::Duration;

use super::{PAIR, twins};
use crate::harness::{Origin, eventually};
use crate::normalise::Viewer;

/// What is said of a segment: its length, and a line more.
const SAID: [(&str, &str); 9] = [
    ("1.000000", ""),
    ("0", ""),
    ("nan", ""),
    ("-1", ""),
    ("40000", ""),
    ("1.000000", "#EXT-X-PROGRAM-DATE-TIME:soon\n"),
    ("1.000000", "#EXT-X-PROGRAM-DATE-TIME:2026-02-30T00:00:00Z\n"),
    ("1.000000", "#EXT-X-DATERANGE:ID=\"a\",START-DATE=\"now\"\n"),
    ("1.000000", "#EXT-X-DATERANGE:ID=\"b\",START-DATE=\"2026-01-01T00:00:00Z\",DURATION=-1\n"),
];

fn head(first: usize) -> String {
    format!("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{first}\n")
}

/// The last five segments up to this one, and what is said of each.
fn listing(last: usize) -> String {
    let first = (last + 1).saturating_sub(5);
    let line = |number: usize| {
        let (length, more) = SAID[number % SAID.len()];
        format!("{more}#EXTINF:{length},\nv{number}.ts\n")
    };
    head(first) + &(first..=last).map(line).collect::<String>()
}

#[test]
fn what_means_nothing_is_mended_or_held_back_and_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let slots = twins(folder.path());
    let segment = |number: usize| fs::read(&slots[0][number]).unwrap();
    let in_place = "[namespaces.live-origin]\nnormalise = [\"live/\"]\n";
    for (settings, source) in [(in_place, "live/"), (PAIR, "live-a/")] {
        let origin = Origin::start_with_settings(settings);
        let playlist = format!("{source}p.m3u8");
        let mut viewer = Viewer::default();
        let mut shows = |number: usize| {
            let newest = || {
                let text = viewer.look(&origin, "live/p.m3u8");
                let lines: Vec<&str> = text.lines().collect();
                let uri = lines.iter().rposition(|line| line.starts_with(&format!("v{number}~")))?;
                Some((lines[uri - 1].to_owned(), text.clone()))
            };
            eventually(Duration::from_secs(10), newest)
                .unwrap_or_else(|| panic!("{number} in {}", origin.get("live/p.m3u8").text()))
        };
        for number in 0..SAID.len() * 2 {
            origin.store(&format!("{source}v{number}.ts"), segment(number));
            origin.store(&playlist, listing(number));
            let (length, text) = shows(number);
            assert_eq!(length, "#EXTINF:1.000000,", "{text}");
            assert!(text.contains("#EXT-X-TARGETDURATION:1\n") && !text.contains("DISCONTINUITY\n"), "{text}");
            assert!(!text.contains("GAP") && !text.contains("soon") && !text.contains("DURATION=-1"), "{text}");
        }
        let mended =
            |what: &str| origin.metric(&format!("springhead_normalised_total{{namespace=\"live-origin\",what=\"{what}\"}}"));
        assert_eq!((mended("length"), mended("date"), mended("restart")), (8.0, 8.0, 0.0), "each once");
        // What nobody can play, whatever is done to it.
        let before = origin.get("live/p.m3u8").text();
        let last = SAID.len() * 2;
        origin.store(&format!("{source}v{last}.ts"), segment(last));
        let good = listing(last);
        for (from, to) in [
            ("#EXTINF", "#EXT-X-BYTERANGE:18446744073709551616@0\n#EXTINF"),
            ("#EXTINF", "#EXT-X-BYTERANGE:1@18446744073709551615\n#EXTINF"),
            ("#EXTINF", "#EXT-X-BYTERANGE:\n#EXTINF"),
            ("#EXTINF", "#EXT-X-MAP:URI=\"i.mp4\",BYTERANGE=\"-1@0\"\n#EXTINF"),
            ("#EXTINF", "#EXT-X-KEY:METHOD=AES-128,IV=0x1\n#EXTINF"),
            ("#EXTINF", "#EXT-X-KEY:METHOD=AES-128,URI=\"k.key\",IV=0x123456789012345678901234567890123\n#EXTINF"),
            ("SEQUENCE:", "SEQUENCE:184467440737095516"),
            ("SEQUENCE:", "SEQUENCE:-"),
        ] {
            origin.store(&playlist, good.replacen(from, to, 1));
            assert_eq!(origin.get("live/p.m3u8").text(), before, "{to}");
        }
        let told = |event: &str| origin.log().iter().any(|line| line["event"] == event);
        for event in ["broken-playlist", "not-normalised"] {
            assert!(eventually(Duration::from_secs(5), || told(event).then_some(())).is_some(), "{event}: {:?}", origin.log());
        }
        // And it goes on.
        origin.store(&playlist, good);
        let (_, text) = shows(last);
        assert!(!text.contains("DISCONTINUITY\n"), "{text}");
    }
}
