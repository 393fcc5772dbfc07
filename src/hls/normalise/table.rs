//! What an encoder may write, row by row: what is made of it, and that it was needed.

use std::collections::BTreeMap;

use super::composer::{MOST_BYTES, MOST_LINES};
use super::*;
use crate::hls::rules;
use crate::hls::texts;

/// Segments with their bytes and when they were stored; and what has been composed so far.
#[derive(Default)]
struct WrittenRows {
    now: u64,
    stored: BTreeMap<String, (u64, u64)>,
    public: Option<(String, Continuity)>,
    /// Where media begins that lasts a second and a half, if bytes tell.
    begins: Option<u64>,
}

impl WrittenRows {
    /// Segments of a run are stored, a second later.
    fn store(&mut self, numbers: impl IntoIterator<Item = u64>, run: u64) {
        self.now += 1;
        self.stored.extend(numbers.into_iter().map(|number| (format!("v{number}.ts"), (run * 100 + number, self.now))));
    }

    /// A version is written a second later; says what was done.
    fn write(&mut self, text: &str) -> Vec<Mended> {
        self.now += 1;
        self.look(text, VersionStanding::New).mended
    }

    fn look(&mut self, text: &str, standing: VersionStanding) -> Composed {
        let time = |seconds: u64| WallTime::from_seconds(1_767_225_600 + seconds);
        let find = |uri: &str| {
            let here = self.stored.get(uri).map(|(bytes, at)| StoredSegment {
                uri: names::tagged(uri, &format!("{bytes:08x}")),
                at: time(*at),
                begins: self.begins.map(|ticks| MediaTime { ticks, scale: 90_000 }),
                ticks: 135_000,
            });
            Named { plain: uri.to_owned(), place: here.map_or(NamedPlace::Absent, NamedPlace::Here) }
        };
        let version = SourceVersion::read(text).unwrap();
        let now = time(self.now);
        let before = self.public.as_ref().map(|(text, continuity)| (&**text, *continuity));
        let composed = step(
            before,
            &ComposeStep { version: &version, heard: now, standing, find: &find, now, end_hold: None, least: 0, breaks: None },
        )
        .unwrap();
        assert_eq!(rules::alone(&composed.text), [], "{}", composed.text);
        if let Some((before, _)) = &self.public {
            assert_eq!(rules::after(before, &composed.text), [], "{}", composed.text);
        }
        self.public = Some((composed.text.clone(), composed.continuity));
        composed
    }

    /// What is listed: numbers with their runs, a break before one as `|`, a gap as `-`.
    fn listed(&self) -> String {
        let list = texts::media(&self.public.as_ref().unwrap().0);
        let one = |segment: &crate::hls::playlist::Segment| {
            let name = names::tag(&segment.uri).map_or("-".to_owned(), |tag| u64::from_str_radix(tag, 16).unwrap().to_string());
            format!("{}{name}", if segment.discontinuity { "| " } else { "" })
        };
        list.segments.iter().map(one).collect::<Vec<_>>().join(" ")
    }
}

fn list(first: u64, last: u64) -> String {
    texts::listing(&texts::head(first), "v", first..=last)
}

/// Five segments of the first run, public.
fn begun() -> WrittenRows {
    let mut desk = WrittenRows::default();
    desk.store(0..=4, 1);
    assert_eq!(desk.write(&list(0, 4)), []);
    assert_eq!(desk.listed(), "100 101 102 103 104");
    desk
}

#[test]
fn a_version_that_goes_on_is_appended_and_an_older_one_is_passed_over() {
    let mut desk = begun();
    desk.store([5], 1);
    assert_eq!(desk.write(&list(1, 5)), []);
    assert_eq!(desk.write(&list(0, 4)), [Mended::Back]);
    assert_eq!(desk.write(&list(1, 5)), []);
    assert_eq!(desk.listed(), "101 102 103 104 105");
}

#[test]
fn a_count_that_begins_anew_goes_on_behind_a_break() {
    assert!(!rules::after(&list(0, 4), &list(0, 0)).is_empty(), "what the encoder writes is not legal");
    // With other bytes, and with the same ones.
    for (run, listed) in [(2, "| 200"), (1, "| 100")] {
        let mut desk = begun();
        desk.store([0], run);
        assert_eq!(desk.write(&list(0, 0)), [Mended::Restart]);
        assert!(desk.listed().ends_with(listed), "{}", desk.listed());
        // Its newest name is still that of the run before when the playlist comes: it is waited for.
        assert_eq!(desk.write(&list(0, 1)), []);
        assert!(desk.listed().ends_with(listed), "{}", desk.listed());
        desk.store([1], run);
        desk.look(&list(0, 1), VersionStanding::Believed);
        assert!(desk.listed().ends_with(&format!("{listed} {run}01")), "{}", desk.listed());
    }
}

#[test]
fn numbers_that_are_left_out_are_a_break_and_segments_that_do_not_come_are_gaps() {
    let mut desk = begun();
    desk.store([9], 1);
    assert_eq!(desk.write(&list(9, 9)), [Mended::Hole]);
    assert!(desk.listed().ends_with("104 | 109"), "{}", desk.listed());
    desk.store([11], 1);
    assert_eq!(desk.write(&list(9, 11)), [Mended::Gap], "a second after a later one has come");
    assert!(desk.listed().ends_with("109 - 111"), "{}", desk.listed());
    desk.store([10], 1);
    assert_eq!(desk.write(&list(9, 11)), [], "it stays one");
    assert!(desk.listed().ends_with("109 - 111"), "{}", desk.listed());
}

#[test]
fn of_two_writers_the_one_that_began_first_is_passed_over_until_the_other_is_silent() {
    let mut desk = begun();
    desk.store([0], 2);
    assert_eq!(desk.write(&list(0, 0)), [Mended::Restart]);
    desk.store([5], 1);
    assert_eq!(desk.write(&list(1, 5)), [Mended::TwoWriters]);
    assert!(desk.listed().ends_with("| 200"), "{}", desk.listed());
    desk.now += 10;
    desk.store([6], 1);
    assert_eq!(desk.write(&list(2, 6)), [Mended::Hole]);
    assert!(desk.listed().ends_with("| 200 | 105 106"), "{}", desk.listed());
}

#[test]
fn an_end_is_held_until_the_encoder_has_not_come_back() {
    let mut desk = begun();
    let end = list(0, 4) + "#EXT-X-ENDLIST\n";
    desk.now += 1;
    let composed = desk.look(&end, VersionStanding::New);
    assert_eq!((composed.again, composed.text.contains("ENDLIST")), (Some(Duration::from_secs(6)), false));
    desk.now += 5;
    assert!(!desk.look(&end, VersionStanding::Believed).text.contains("ENDLIST"));
    desk.now += 1;
    assert!(desk.look(&end, VersionStanding::Believed).text.ends_with("#EXT-X-ENDLIST\n"));
}

#[test]
fn a_length_that_is_none_is_that_of_the_media_or_a_gap() {
    let lengths = ["-5", "nan", "1e300", "", "86401", "2;", "0", "0.000", "61", "40000"];
    for length in lengths {
        let mut desk = begun();
        desk.store([5, 6], 1);
        let broken = list(1, 6).replace("INF:2,\nv5", &format!("INF:{length},\nv5"));
        desk.now += 2;
        assert_eq!(desk.write(&broken), [Mended::Length, Mended::Gap]);
        assert!(desk.listed().ends_with("104 - 106"), "{}", desk.listed());
        desk.store([7], 1);
        assert_eq!(desk.write(&list(2, 7).replace("INF:2,\nv5", &format!("INF:{length},\nv5"))), [], "it goes on");
        let mut desk = WrittenRows { begins: Some(40), ..begun() };
        desk.store([5, 6], 1);
        assert_eq!(desk.write(&broken), [Mended::Length]);
        assert!(desk.listed().ends_with("104 105 106"), "{}", desk.listed());
        let text = &desk.public.as_ref().unwrap().0;
        assert!(text.contains("#EXTINF:1.500000,\nv5~"), "{text}");
        desk.store([7], 1);
        assert_eq!(desk.write(&list(2, 7).replace("INF:2,\nv5", &format!("INF:{length},\nv5"))), [], "it goes on");
        assert!(desk.listed().ends_with("104 105 106 107"), "{}", desk.listed());
    }
}

/// An encoder whose clock jumps states what it has measured by that.
#[test]
fn a_target_duration_that_no_segment_has_is_not_believed() {
    let mut desk = WrittenRows { begins: Some(40), ..WrittenRows::default() };
    desk.store(0..=4, 1);
    let jumped = list(0, 4).replace("DURATION:2", "DURATION:40000").replace("INF:2,\nv3", "INF:40000,\nv3");
    assert_eq!(desk.write(&jumped), [Mended::Length]);
    let text = &desk.public.as_ref().unwrap().0;
    assert!(text.contains("DURATION:2\n") && text.contains("#EXTINF:1.500000,\nv3~"), "{text}");
}

#[test]
fn dates_that_are_none_are_left_out_and_where_there_are_date_ranges_there_is_a_date() {
    const RANGE: &str = "#EXT-X-DATERANGE:ID=\"a\",START-DATE=\"2026-01-01T00:00:05Z\"";
    let with = |first, last, more: &str| list(first, last).replace("#EXTINF:2,\nv5", &format!("{more}\n#EXTINF:2,\nv5"));
    for (line, becomes) in [
        ("#EXT-X-PROGRAM-DATE-TIME:soon".to_owned(), String::new()),
        ("#EXT-X-PROGRAM-DATE-TIME:2026-02-30T00:00:00Z".to_owned(), String::new()),
        ("#EXT-X-DATERANGE:ID=\"a\",START-DATE=\"now\"".to_owned(), String::new()),
        // By the clock: it lasts two seconds, and has just been listed.
        (format!("{RANGE},DURATION=-1"), format!("#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:02.000Z\n{RANGE}\n")),
    ] {
        let mut desk = begun();
        desk.store([5], 1);
        assert_eq!(desk.write(&with(1, 5, &line)), [Mended::Date]);
        let text = &desk.public.as_ref().unwrap().0;
        assert!(text.contains(&format!("v4~00000068.ts\n{becomes}#EXTINF:2,\nv5~")), "{text}");
        desk.store([6], 1);
        assert_eq!(desk.write(&with(2, 6, &line)), [], "told once");
    }
}

#[test]
fn date_ranges_without_an_end_are_not_all_carried_on_for_ever() {
    let mut desk = begun();
    for number in 5..150 {
        desk.store([number], 1);
        let start = WallTime::from_seconds(1_767_225_600 + number);
        let range = format!("#EXT-X-DATERANGE:ID=\"{number}\",START-DATE=\"{start}\"\n#EXTINF:2,\nv{number}.ts");
        desk.write(&list(number - 4, number).replace(&format!("#EXTINF:2,\nv{number}.ts"), &range));
    }
    let text = &desk.public.as_ref().unwrap().0;
    let carried = text.matches("#EXT-X-DATERANGE:").count();
    assert!((20..60).contains(&carried) && text.contains("ID=\"149\"") && !text.contains("ID=\"50\""), "{carried}: {text}");
}

#[test]
fn of_what_can_be_played_by_nobody_nothing_is_made() {
    let head = |line: &str| SourceVersion::read(&list(0, 4).replace("#EXTINF:2,\nv0", &format!("{line}\n#EXTINF:2,\nv0")));
    for (line, expected) in [
        ("#EXT-X-BYTERANGE:18446744073709551616@0", LeftAlone::Ranges),
        ("#EXT-X-BYTERANGE:1@18446744073709551615", LeftAlone::Ranges),
        ("#EXT-X-BYTERANGE:", LeftAlone::Ranges),
        ("#EXT-X-BYTERANGE:-5@0", LeftAlone::Ranges),
        ("#EXT-X-MAP:URI=\"i.mp4\",BYTERANGE=\"-5@0\"", LeftAlone::Maps),
        ("#EXT-X-KEY:METHOD=AES-128,URI=\"k\",IV=0xg", LeftAlone::Keys),
        ("#EXT-X-KEY:URI=\"k\"", LeftAlone::Keys),
    ] {
        assert_eq!(head(line), Err(expected), "{line}");
    }
    let numbered =
        |number: &str| SourceVersion::read(&list(0, 4).replace("MEDIA-SEQUENCE:0", &format!("MEDIA-SEQUENCE:{number}")));
    for number in ["-1", "", "0x1", "18446744073709551615", "18446744073709551616"] {
        assert_eq!(numbered(number), Err(LeftAlone::Numbers), "{number}");
    }
    assert!(numbered("18446744073709551610").is_ok());
}

#[test]
fn of_a_longer_list_than_there_may_be_the_newest_is_kept_and_that_is_told_once() {
    let most = MOST_LINES as u64;
    let mut desk = WrittenRows::default();
    desk.store(0..=most + 1, 1);
    assert_eq!(desk.write(&list(0, most)), [Mended::Long]);
    assert_eq!(desk.write(&list(0, most + 1)), []);
    assert_eq!(desk.listed().split(' ').count(), MOST_LINES);
}

#[test]
fn the_target_duration_is_kept_and_raised_where_a_segment_is_longer() {
    let mut desk = begun();
    desk.store([5], 1);
    assert_eq!(desk.write(&list(1, 5).replace("DURATION:2", "DURATION:1")), []);
    assert!(desk.public.as_ref().unwrap().0.contains("#EXT-X-TARGETDURATION:2\n"));
    desk.store([6], 1);
    let longer = list(2, 6).replace("INF:2,\nv6", "INF:3.5,\nv6");
    let (text, continuity) = desk.public.take().unwrap();
    let before = text.clone();
    desk.public = Some((text.replace("DURATION:2", "DURATION:4"), continuity));
    // As it was raised: the rules allow no change, and players take one.
    assert_eq!(desk.write(&longer), []);
    assert!(desk.public.as_ref().unwrap().0.contains("#EXT-X-TARGETDURATION:4\n"));
    desk.public = None;
    assert_eq!((desk.write(&longer), rules::alone(&desk.public.unwrap().0), rules::alone(&before)), (vec![], vec![], vec![]));
}

/// It holds for the target duration that is listed, be it the encoder's or longer.
#[test]
fn what_a_packager_offers_is_passed_on_as_far_as_it_holds_for_the_target_duration() {
    for (control, of_2, of_3) in [
        ("CAN-BLOCK-RELOAD=YES,HOLD-BACK=9", "CAN-BLOCK-RELOAD=YES,HOLD-BACK=9", "CAN-BLOCK-RELOAD=YES,HOLD-BACK=9"),
        ("CAN-BLOCK-RELOAD=YES,HOLD-BACK=6.0", "CAN-BLOCK-RELOAD=YES,HOLD-BACK=6.0", "CAN-BLOCK-RELOAD=YES"),
        ("HOLD-BACK=5.999", "", ""),
        ("CAN-SKIP-UNTIL=12,CAN-SKIP-DATERANGES=YES", "CAN-SKIP-UNTIL=12,CAN-SKIP-DATERANGES=YES", ""),
        ("CAN-SKIP-UNTIL=11,CAN-SKIP-DATERANGES=YES,HOLD-BACK=10", "HOLD-BACK=10", "HOLD-BACK=10"),
    ] {
        for (length, expected) in [("2", of_2), ("3", of_3)] {
            let mut rows = WrittenRows::default();
            rows.store(0..2, 0);
            let lines = format!("#EXTINF:2,\nv0.ts\n#EXTINF:{length},\nv1.ts\n");
            rows.write(&format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-SERVER-CONTROL:{control}\n{lines}"));
            let text = &rows.public.as_ref().unwrap().0;
            let made = text.lines().find_map(|line| line.strip_prefix("#EXT-X-SERVER-CONTROL:")).unwrap_or_default();
            assert_eq!(made, expected, "{text}");
        }
    }
}

/// Versions are bounded one by one, and so is what is made of them: the oldest lines make room, and that is told.
#[test]
fn a_list_has_no_more_bytes_than_are_held_for_one() {
    let (mut rows, words) = (WrittenRows::default(), format!("#EXT-X-NOBODY-KNOWS:{}\n", "x".repeat(1 << 20)));
    rows.store(0..32, 1);
    rows.write(&list(0, 15));
    let mut done = Vec::new();
    for number in 16..32 {
        done.extend(rows.write(&(texts::head(number) + &words + &texts::segment(format!("v{number}.ts")))));
    }
    let (text, _) = rows.public.unwrap();
    assert!(text.len() <= MOST_BYTES + words.len() + 4096 && text.len() > MOST_BYTES / 2, "{}", text.len());
    assert!(text.ends_with(".ts\n") && done.contains(&Mended::Long), "{done:?}");
}
