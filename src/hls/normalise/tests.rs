//! Random lives of encoders, held against the rules for playlists (RFC 8216 6.2): whatever they write, what is composed of it is legal.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;

use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};

use super::*;
use crate::hls::rules::{self, Breach, Rule};
use crate::hls::texts::media;

const T0: u64 = 1_767_225_600_000;

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// An encoder makes a segment and lists it.
    Segment { length: u64, lands: Lands, is_listed: bool, wrong: Option<&'static str> },
    /// It is killed and begins again.
    Restart(Anew),
    /// It writes its newest version once more, or one that is so much older.
    Again { older: usize },
    /// The other encoder goes on from here: both write the same names.
    Other,
    /// It says that it is over.
    End,
    /// Nothing happens for this many milliseconds.
    Pause(u64),
}

/// When a segment is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lands {
    BeforeItsPlaylist,
    AfterItsPlaylist,
    /// So many events later.
    Late(u8),
    Never,
}

/// How an encoder begins anew.
#[derive(Clone, Copy, Debug)]
enum Anew {
    /// It counts from 0, and its names come again; with the same bytes, where it is a test picture.
    FromZero { has_same_bytes: bool },
    /// It goes on with its playlist, and says so.
    Appending,
    /// It jumps ahead, as one that counts seconds.
    Ahead(u64),
}

/// What it says of a segment that means nothing: in place of its length, or a line more.
const WRONG: [&str; 8] = [
    "0",
    "nan",
    "-2",
    "40000",
    "#EXT-X-PROGRAM-DATE-TIME:soon",
    "#EXT-X-DATERANGE:ID=\"x\",START-DATE=\"now\"",
    "#EXT-X-DATERANGE:ID=\"y\",START-DATE=\"2026-01-01T00:00:00Z\",DURATION=-1",
    "#EXT-X-DATERANGE:START-DATE=\"2026-01-01T00:00:00Z\"",
];

fn event() -> impl Strategy<Value = Event> {
    let lands = prop_oneof![
        10 => Just(Lands::BeforeItsPlaylist),
        5 => Just(Lands::AfterItsPlaylist),
        1 => (1_u8..6).prop_map(Lands::Late),
        1 => Just(Lands::Never),
    ];
    let anew = prop_oneof![
        3 => any::<bool>().prop_map(|has_same_bytes| Anew::FromZero { has_same_bytes }),
        1 => Just(Anew::Appending),
        1 => (1_u64..50).prop_map(Anew::Ahead),
    ];
    let length = prop_oneof![8 => Just(2000_u64), 1 => 900_u64..3900];
    prop_oneof![
        20 => (length, lands, proptest::bool::weighted(0.9), proptest::option::weighted(0.1, 0..WRONG.len()))
            .prop_map(|(length, lands, is_listed, wrong)| {
                Event::Segment { length, lands, is_listed, wrong: wrong.map(|at| WRONG[at]) }
            }),
        2 => anew.prop_map(Event::Restart),
        1 => (0_usize..8).prop_map(|older| Event::Again { older }),
        1 => Just(Event::Other),
        1 => Just(Event::End),
        1 => (100_u64..9000).prop_map(Event::Pause),
    ]
}

/// An encoder as its playlist shows it.
#[derive(Clone, Debug, Default)]
struct Encoder {
    first: u64,
    lines: Vec<(String, u64)>,
    breaks: u64,
    next: u64,
    run: u64,
    /// Its clock, in milliseconds.
    clock: u64,
    is_at_break: bool,
    has_end: bool,
}

/// How it writes.
#[derive(Clone, Copy, Debug)]
struct Manner {
    window: usize,
    has_dates: bool,
    has_map: bool,
    has_keys: bool,
    has_marks: bool,
}

impl Encoder {
    fn text(&self, manner: Manner) -> String {
        let target = self.lines.iter().map(|(_, length)| (length + 500) / 1000).max().unwrap_or(1);
        let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:{target}\n#EXT-X-MEDIA-SEQUENCE:{}\n", self.first);
        if manner.has_keys {
            text.push_str("#EXT-X-KEY:METHOD=AES-128,URI=\"https://keys.example/k\"\n");
        }
        if manner.has_map {
            text.push_str("#EXT-X-MAP:URI=\"init.mp4\"\n");
        }
        self.lines.iter().for_each(|(line, _)| text.push_str(line));
        text + if self.has_end { "#EXT-X-ENDLIST\n" } else { "" }
    }
}

/// The store, the encoders and what viewers see.
struct World {
    now: u64,
    manner: Manner,
    encoders: [Encoder; 2],
    at_work: usize,
    runs: u64,
    /// By name: bytes, when they were stored, and where they begin.
    stored: BTreeMap<String, (u64, u64, u64)>,
    /// All bytes that were ever stored, by public name.
    ever: HashSet<String>,
    late: Vec<(u8, String, (u64, u64))>,
    written: Vec<SourceVersion>,
    newest: Option<(SourceVersion, u64, VersionStanding)>,
    public: Option<(String, String)>,
    again: Option<u64>,
}

impl World {
    fn new(manner: Manner) -> Self {
        let stored = BTreeMap::from([("init.mp4".to_owned(), (1, T0, 0))]);
        Self {
            now: T0 + 1000,
            manner,
            encoders: [Encoder::default(), Encoder { run: 1, clock: 77_000, ..Encoder::default() }],
            at_work: 0,
            runs: 1,
            stored,
            ever: HashSet::new(),
            late: Vec::new(),
            written: Vec::new(),
            newest: None,
            public: None,
            again: None,
        }
    }

    fn store(&mut self, name: &str, (bytes, begins): (u64, u64)) {
        self.stored.insert(name.to_owned(), (bytes, self.now, begins));
        self.look(None);
    }

    fn write(&mut self, version: SourceVersion) {
        self.written.push(version.clone());
        self.newest = Some((version, self.now, VersionStanding::New));
        self.look(Some(()));
    }

    /// Takes a step with the newest version, as it is read back from what is kept.
    fn look(&mut self, is_new: Option<()>) {
        let Some((version, heard, standing)) = self.newest.clone() else { return };
        let (stored, now) = (&self.stored, self.now);
        let find = |uri: &str| {
            let place = match stored.get(uri) {
                _ if uri.starts_with("https:") => NamedPlace::Elsewhere,
                None => NamedPlace::Absent,
                Some((bytes, at, begins)) => NamedPlace::Here(StoredSegment {
                    uri: names::tagged(uri, &format!("{bytes:08x}")),
                    at: WallTime::from_millis(*at),
                    begins: Some(MediaTime { ticks: begins * 90, scale: 90_000 }),
                    ticks: 180_000,
                }),
            };
            Named { plain: uri.to_owned(), place }
        };
        let now = WallTime::from_millis(now);
        let step = ComposeStep {
            version: &version,
            heard: WallTime::from_millis(heard),
            standing,
            find: &find,
            now,
            end_hold: None,
            least: 0,
            breaks: None,
        };
        let before = self.public.as_ref().map(|(text, kept)| (&**text, Continuity::parse(kept).unwrap()));
        let Some(composed) = super::step(before, &step) else { return };
        self.newest.as_mut().unwrap().2 = composed.standing;
        self.again = composed.again.map(|after| self.now + u64::try_from(after.as_millis()).unwrap());
        if is_new.is_none() {
            assert!(!composed.mended.iter().any(|what| matches!(what, Mended::Back | Mended::TwoWriters)), "told once");
        }
        self.ever.extend(self.stored.iter().map(|(name, (bytes, ..))| names::tagged(name, &format!("{bytes:08x}"))));
        self.judge(&composed);
        let kept = composed.continuity.to_string();
        let again = SegmentList::read(&composed.text).unwrap();
        assert_eq!(again.text(), composed.text, "what is written reads as it was");
        self.public = Some((composed.text, kept));
    }

    /// What is composed is legal by itself, and after what was before.
    fn judge(&self, composed: &Composed) {
        let context = || format!("{}\nafter\n{}", composed.text, self.public.as_ref().map_or("", |(text, _)| text));
        let alone: Vec<Breach> = rules::alone(&composed.text);
        assert!(alone.is_empty(), "{alone:?} in\n{}", context());
        if let Some((before, _)) = &self.public {
            let had_end = before.contains("#EXT-X-ENDLIST");
            let is_raised = composed.mended.contains(&Mended::Target);
            let after: Vec<Breach> = rules::after(before, &composed.text)
                .into_iter()
                // It is raised where a longer segment comes, and an encoder that comes back after its end goes on.
                .filter(|breach| !(breach.rule == Rule::TargetChanged && is_raised || breach.rule == Rule::Kind && had_end))
                .collect();
            assert!(after.is_empty(), "{after:?} in\n{}", context());
            let (target, now) = (media(before).target_duration, media(&composed.text).target_duration);
            assert!(target <= now, "{}", context());
            // No fewer than three target durations, or all there ever were (RFC 8216 6.2.2).
            let list = media(&composed.text);
            let length: Duration = list.segments.iter().map(|segment| segment.duration).sum();
            let is_long = length >= list.target_duration.unwrap() * 3;
            assert!(is_long || list.media_sequence == media(before).media_sequence, "{}", context());
        }
        for segment in media(&composed.text).segments {
            assert!(segment.gap || self.ever.contains(&segment.uri), "{} was never here: {}", segment.uri, context());
        }
    }

    /// Time goes by; what was waited for is looked at.
    fn pass(&mut self, millis: u64) {
        let until = self.now + millis;
        while let Some(again) = self.again.filter(|again| *again <= until) {
            self.now = again.max(self.now + 1);
            self.again = None;
            self.look(None);
        }
        self.now = self.now.max(until);
    }

    fn take(&mut self, event: Event) {
        for index in (0..self.late.len()).rev() {
            self.late[index].0 -= 1;
            if self.late[index].0 == 0 {
                let (_, name, bytes) = self.late.remove(index);
                self.store(&name, bytes);
            }
        }
        match event {
            Event::Segment { length, lands, is_listed, wrong } => self.segment(length, lands, is_listed, wrong),
            Event::Restart(anew) => self.restart(anew),
            Event::Again { older } => {
                if let Some(at) = self.written.len().checked_sub(older + 1) {
                    self.write(self.written[at].clone());
                }
            }
            Event::Other => self.at_work = 1 - self.at_work,
            Event::End => {
                self.encoders[self.at_work].has_end = true;
                self.list();
            }
            Event::Pause(millis) => self.pass(millis),
        }
    }

    fn segment(&mut self, length: u64, lands: Lands, is_listed: bool, wrong: Option<&str>) {
        self.pass(length);
        let manner = self.manner;
        let encoder = &mut self.encoders[self.at_work];
        encoder.has_end = false;
        let name = format!("v{}.ts", encoder.next);
        let stored = (encoder.run * 1000 + encoder.next, encoder.clock);
        let mut line = String::new();
        if std::mem::take(&mut encoder.is_at_break) {
            line.push_str("#EXT-X-DISCONTINUITY\n");
        }
        if manner.has_dates {
            let _ = writeln!(line, "#EXT-X-PROGRAM-DATE-TIME:{}", WallTime::from_millis(self.now));
        }
        if manner.has_marks && encoder.next.is_multiple_of(3) {
            let (id, start) = (encoder.run * 1000 + encoder.next, WallTime::from_millis(self.now));
            let _ = write!(line, "#EXT-X-CUE-OUT:4\n#EXT-X-DATERANGE:ID=\"{id}\",START-DATE=\"{start}\",PLANNED-DURATION=7\n");
        }
        let _ = match wrong {
            Some(tag) if tag.starts_with('#') => writeln!(line, "{tag}\n#EXTINF:{}.{:03},\n{name}", length / 1000, length % 1000),
            Some(none) => writeln!(line, "#EXTINF:{none},\n{name}"),
            None => writeln!(line, "#EXTINF:{}.{:03},\n{name}", length / 1000, length % 1000),
        };
        encoder.lines.push((line, length));
        (encoder.next, encoder.clock) = (encoder.next + 1, encoder.clock + 2000);
        while encoder.lines.len() > manner.window {
            let (gone, _) = encoder.lines.remove(0);
            encoder.breaks += u64::from(gone.contains("DISCONTINUITY"));
            encoder.first += 1;
        }
        if lands == Lands::BeforeItsPlaylist {
            self.store(&name, stored);
        }
        if is_listed {
            self.pass(1);
            self.list();
        }
        match lands {
            Lands::BeforeItsPlaylist | Lands::Never => {}
            Lands::AfterItsPlaylist => {
                self.pass(130);
                self.store(&name, stored);
            }
            Lands::Late(events) => self.late.push((events, name, stored)),
        }
    }

    fn list(&mut self) {
        if let Ok(version) = SourceVersion::read(&self.encoders[self.at_work].text(self.manner)) {
            self.write(version);
        }
    }

    fn restart(&mut self, anew: Anew) {
        self.pass(300);
        self.runs += 1;
        let encoder = &mut self.encoders[self.at_work];
        match anew {
            Anew::FromZero { has_same_bytes } => {
                let run = if has_same_bytes { encoder.run } else { self.runs };
                *encoder = Encoder { run, clock: if has_same_bytes { 0 } else { 1000 * run }, ..Encoder::default() };
            }
            Anew::Appending => (encoder.run, encoder.clock, encoder.is_at_break) = (self.runs, 5000, true),
            Anew::Ahead(by) => {
                let next = encoder.next + by;
                *encoder = Encoder { run: self.runs, first: next, next, ..Encoder::default() };
            }
        }
    }

    /// When all is well for a while, viewers have what the encoder lists, and no one waits for anything.
    fn settles(&mut self) {
        for _ in 0..8 {
            self.segment(2000, Lands::BeforeItsPlaylist, true, None);
        }
        let (text, _) = self.public.as_ref().unwrap();
        let newest = media(text).segments.pop().unwrap();
        let encoder = &self.encoders[self.at_work];
        let own = format!("v{}~{:08x}.ts", encoder.next - 1, encoder.run * 1000 + encoder.next - 1);
        assert_eq!(newest.uri, own, "the live edge goes on: {text}");
    }
}

fn manner() -> impl Strategy<Value = Manner> {
    (3_usize..7, any::<[bool; 4]>()).prop_map(|(window, [has_dates, has_map, has_keys, has_marks])| Manner {
        window,
        has_dates,
        has_map,
        has_keys,
        has_marks,
    })
}

/// Ten thousand lives take minutes where nothing is optimised: `SPRINGHEAD_TEST_LIVES` asks for as many.
fn cases() -> u32 {
    std::env::var("SPRINGHEAD_TEST_LIVES").ok().and_then(|lives| lives.parse().ok()).unwrap_or(300)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn whatever_encoders_do_the_list_is_legal_and_goes_on(manner in manner(), events in vec(event(), 1..40)) {
        let mut world = World::new(manner);
        for event in events {
            world.take(event);
        }
        world.late.clear();
        world.settles();
    }
}
