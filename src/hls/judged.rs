//! Windows of random streams, judged by the rules: segments that are lost or late, versions that nobody heard, restarts, slates, two
//! renditions, with dates and without.

use std::collections::HashMap;
use std::fmt::Write as _;

use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_assert_eq, proptest};

use super::history::{History, Juncture, Listed, Step, StoredBytes};
use super::playlist::{Media, Playlist, parse};
use super::rules::{self, Rule};
use super::shift::{CutSpec, Presence, Window, cut};
use crate::model::clock::WallTime;

/// When the stream begins.
const T0: u64 = 1_767_225_600_000;
/// A segment's length, in milliseconds: of the picture. The sound's differ by some frames.
const LENGTH: u64 = 2_000;
/// How many segments a version lists.
const LISTED: usize = 4;

fn at(millis: u64) -> WallTime {
    WallTime::from_millis(T0 + millis)
}

/// What happens to one rendition in the time of one segment.
#[derive(Clone, Copy, Debug, Default)]
struct SegmentFate {
    /// The segment never comes; or it comes so many segments later.
    lost: bool,
    late: u64,
    /// So many versions are not heard, from that on which lists it first.
    deaf: u64,
}

/// What happens in that time.
#[derive(Clone, Copy, Debug)]
struct EncoderTurn {
    /// The encoder begins anew.
    restart: bool,
    /// A slate instead of what is on.
    slate: bool,
    fates: [SegmentFate; 2],
}

fn fate() -> impl Strategy<Value = SegmentFate> {
    (0_u8..20, 1_u64..4, 0_u8..10, 1_u64..10).prop_map(|(what, late, deaf, silent)| SegmentFate {
        lost: what == 0,
        late: if what == 1 { late } else { 0 },
        deaf: if deaf == 0 { silent } else { 0 },
    })
}

fn turn() -> impl Strategy<Value = EncoderTurn> {
    (0_u8..12, 0_u8..5, [fate(), fate()]).prop_map(|(restart, slate, fates)| EncoderTurn {
        restart: restart == 0,
        slate: slate == 0,
        fates,
    })
}

/// One rendition, as its encoder makes it and as it is heard.
struct HeardRendition {
    name: &'static str,
    /// By how much each second segment is longer than the picture's, in milliseconds, and the next one shorter.
    skew: u64,
    history: History,
    run: u64,
    next: u64,
    made: u64,
    began: bool,
    /// So many versions more are not heard: all that they list may have slid out by then.
    silent: u64,
    was_silent: bool,
    is_silent_long: bool,
    live: Vec<(u64, String, u64, u64)>,
    bytes: HashMap<String, u64>,
    on_their_way: Vec<(u64, String)>,
}

impl HeardRendition {
    fn new(name: &'static str, skew: u64) -> Self {
        Self {
            name,
            skew,
            history: History::default(),
            run: 0,
            next: 100,
            made: 0,
            began: false,
            silent: 0,
            was_silent: false,
            is_silent_long: false,
            live: Vec::new(),
            bytes: HashMap::new(),
            on_their_way: Vec::new(),
        }
    }

    /// The encoder makes its next segment, which begins at this time of the stream, and writes its playlist.
    fn turn(&mut self, turn: EncoderTurn, fate: SegmentFate, begins: u64, dated: bool, other: &Self) {
        let beside = &[&other.history];
        if turn.restart {
            (self.run, self.next, self.began) = (self.run + 1, 0, true);
            self.live.clear();
        }
        // Cut where its frames end: the sound a little later, every other time.
        let begin = begins + if self.made % 2 == 1 { self.skew } else { 0 };
        self.made += 1;
        let end = begins + LENGTH + if self.made % 2 == 1 { self.skew } else { 0 };
        let uri = if turn.slate { "slate.ts".to_owned() } else { format!("{}-{}-{}.ts", self.name, self.run, self.next) };
        let now = begins + LENGTH;
        if turn.slate {
            self.bytes.insert(uri.clone(), 7);
        } else if fate.late > 0 {
            self.on_their_way.push((now + fate.late * LENGTH, uri.clone()));
        } else if !fate.lost {
            self.bytes.insert(uri.clone(), 1);
        }
        self.on_their_way.retain(|(when, uri)| *when > now || self.bytes.insert(uri.clone(), 1).is_some());
        self.live.push((self.next, uri, begin, end - begin));
        self.next += 1;
        let surplus = self.live.len().saturating_sub(LISTED);
        self.live.drain(..surplus);
        // Whatever happens, both are heard at first.
        // And one of them before all has slid out of the list: what broke while nothing was heard at all nobody can count.
        let deaf = match other.silent {
            _ if other.is_silent_long || self.was_silent => 0,
            0 => fate.deaf,
            _ => fate.deaf.min(2),
        };
        if self.made > 1 && (self.silent > 0 || deaf > 0) {
            self.is_silent_long |= deaf > 2;
            (self.silent, self.was_silent) = (self.silent.max(deaf) - 1, true);
            return;
        }
        (self.was_silent, self.is_silent_long) = (false, false);
        let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXT-X-MEDIA-SEQUENCE:{}\n", self.live[0].0);
        for (_, uri, begins, length) in &self.live {
            if dated {
                let _ = writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{}", at(*begins));
            }
            let _ = writeln!(text, "#EXTINF:{}.{:03},\n{uri}", length / 1000, length % 1000);
        }
        let Ok(Playlist::Media(media)) = parse(text.as_bytes()) else { panic!("{text}") };
        let step = if std::mem::take(&mut self.began) { Step::Anew } else { Step::On };
        self.follow(&media, step, now, beside);
    }

    fn follow(&mut self, media: &Media, step: Step, now: u64, others: &[&History]) {
        let bytes = &self.bytes;
        let stored = |uri: &str| StoredBytes { until: at(u64::MAX / 2), etag: bytes.get(uri).copied() };
        let beside = |juncture: Juncture| others.iter().filter_map(|other| other.goes_with(juncture, at(now))).max();
        self.history.follow_beside(media, step, at(now), stored, beside);
    }

    fn cut(&self, window: Window, now: u64, beside: u64) -> Option<String> {
        let stretch = self.history.stretch(window.start, window.end);
        let presence = |listed: &Listed| {
            let found = self.bytes.get(&*listed.uri);
            let is_same = !listed.is_listed_again() || found.is_some() && found.copied() == listed.etag();
            Presence::from(found.is_some() && is_same)
        };
        cut(&stretch, CutSpec { window, is_relative: false, has_late: false, beside }, at(now), presence).ok().map(|cut| cut.text)
    }
}

/// Where all goes well each window that has begun has its list, and its end when that is over: below there is something to judge.
#[test]
fn there_are_windows_to_judge() {
    let well = EncoderTurn { restart: false, slate: false, fates: [SegmentFate::default(); 2] };
    for dated in [true, false] {
        let mut renditions = [HeardRendition::new("v", 0), HeardRendition::new("a", 40)];
        for number in 0..20 {
            let [picture, sound] = &mut renditions;
            picture.turn(well, well.fates[0], number * LENGTH, dated, sound);
            sound.turn(well, well.fates[1], number * LENGTH, dated, picture);
        }
        let end = 10 * LENGTH;
        let closed = [Some(at(300)), None].map(|start| Window { start, end: Some(at(end)) });
        for window in [closed[0], closed[1], Window::default()] {
            for text in renditions.each_ref().map(|rendition| rendition.cut(window, 20 * LENGTH, 0)) {
                let text = text.unwrap_or_default();
                assert!(text.matches("#EXTINF").count() >= 6, "{window:?}: {text}");
                assert_eq!(text.ends_with("#EXT-X-ENDLIST\n"), window.end.is_some(), "{window:?}: {text}");
            }
        }
    }
}

proptest! {
    /// Each version of each window is legal by itself, after the one before it, and beside that of the other rendition.
    #[test]
    fn windows_keep_the_rules_whatever_happens(
        turns in vec(turn(), 1..40),
        dated in any::<bool>(),
        (start, length) in (0_u64..40, 2_u64..40),
    ) {
        let mut renditions = [HeardRendition::new("v", 0), HeardRendition::new("a", 40)];
        let (start, end) = (start * LENGTH + 300, (start + length) * LENGTH - 300);
        let windows = [
            Window { start: Some(at(start)), end: None },
            Window { start: Some(at(start)), end: Some(at(end)) },
            Window { start: None, end: Some(at(end)) },
            Window::default(),
        ];
        let mut before: HashMap<(usize, usize), String> = HashMap::new();
        for (number, turn) in (0..).zip(&turns) {
            let [picture, sound] = &mut renditions;
            picture.turn(*turn, turn.fates[0], number * LENGTH, dated, sound);
            sound.turn(*turn, turn.fates[1], number * LENGTH, dated, picture);
            // CutSpec for as players do, and once more when the next should have been there.
            for more in [0, LENGTH / 2] {
                let now = (number + 1) * LENGTH + more;
                for (window, asked) in windows.iter().enumerate() {
                    let beside = renditions.iter().map(|one| one.history.stretch(None, None).head.target).max().unwrap_or(0);
                    let texts = [0, 1].map(|index| renditions[index].cut(*asked, now, beside));
                    for (index, text) in texts.iter().enumerate() {
                        let Some(text) = text else { continue };
                        prop_assert_eq!(rules::alone(text), vec![], "{}", text);
                        if let Some(old) = before.insert((window, index), text.clone()) {
                            let mut found = rules::after(&old, text);
                            // Without dates the time of what follows a restart is guessed, and may lie before what was there.
                            found.retain(|breach| dated || breach.rule != Rule::Kind);
                            prop_assert_eq!(found, vec![], "{}\n{}", old, text);
                        }
                    }
                    if let [Some(picture), Some(sound)] = &texts {
                        let mut found = rules::across(&[("picture", picture), ("sound", sound)]);
                        // One may have been heard to its end when the other was not.
                        found.retain(|breach| breach.rule != Rule::EndsDiffer);
                        prop_assert_eq!(found, vec![], "{}\n{}", picture, sound);
                    }
                }
            }
        }
        // What is over long ago has its end, whoever was deaf.
        let later = (turns.len() as u64 + 20) * LENGTH;
        for (window, rendition) in windows[1..3].iter().flat_map(|window| renditions.iter().map(move |one| (window, one))) {
            let text = rendition.cut(*window, later, 0).filter(|_| end < later);
            prop_assert_eq!(text.is_none_or(|text| text.ends_with("#EXT-X-ENDLIST\n")), true);
        }
    }
}
