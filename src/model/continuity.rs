//! What has to be known of a playlist that is composed here, beside its own words, to go on with it: a few numbers, kept with the object.

use std::fmt;

use super::clock::WallTime;

/// How a composed playlist goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Continuity {
    /// The count that its newest lines have at their source.
    pub run: CountedRun,
    /// The one before that: who still writes by it is a second writer.
    pub before: Option<CountedRun>,
    /// The most segments that any version of a source has listed.
    pub window: u64,
    /// When a line was added last.
    pub added: WallTime,
    /// When the newest version was heard that was believed.
    pub heard: WallTime,
    /// When the count of its newest lines began: what was stored before that is of an earlier one.
    pub since: WallTime,
    /// Since when the source has had its end.
    pub ended: Option<WallTime>,
    /// Where the media of the last line ends.
    pub edge: Option<MediaTime>,
    /// Of a list with two sources: how these stand.
    pub pair: Option<PairStanding>,
}

/// How the two sources of a list stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairStanding {
    /// The one whose lines are taken as long as they come: 0 or 1.
    pub active: usize,
    /// So many lines one after the other were lent by its twin.
    pub lent: u32,
    /// When another became active last.
    pub switched: WallTime,
    /// When the newest segment came, of each, that was taken or passed over: what of it came later is new. At the beginning of time, where that
    /// is not known.
    pub passed: [WallTime; 2],
    /// How they were seen last; `None`: nobody has looked yet.
    pub seen: Option<PairSeen>,
}

/// How the two sources of a list were seen last: so that who goes on with it tells the same of them, and of one fault nothing once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairSeen {
    /// How they stood to each other, by its place among the ways in which two can.
    pub relation: u8,
    /// Each of them.
    pub sources: [SourceSeen; 2],
}

/// How a source of a list was seen last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceSeen {
    /// It has stopped.
    pub is_down: bool,
    /// Its encoder has said that it is over.
    pub out: Option<SideOut>,
    /// When its newest segment came; at the beginning of time, where none has.
    pub newest: WallTime,
}

/// How an encoder has said that it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SideOut {
    /// Its playlist has its end.
    Ended,
    /// It deleted its playlist.
    Deleted,
}

/// A stretch of lines whose numbers at their source follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountedRun {
    /// The number that its first line has here.
    pub first: u64,
    /// The number that line had at the source.
    pub counted: u64,
    /// The number that comes next at the source.
    pub next: u64,
}

/// A point in time by the clock of the media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaTime {
    /// In ticks; of a transport stream modulo 2^33 (ISO/IEC 13818-1 2.4.3.7).
    pub ticks: u64,
    /// Ticks in a second.
    pub scale: u32,
}

impl MediaTime {
    /// Whether these points are within so many milliseconds of each other. They wrap as a transport stream's do.
    #[must_use]
    pub fn is_near(self, other: Self, millis: u64) -> bool {
        const WRAP: u64 = 1 << 33;
        let apart = self.ticks.abs_diff(other.ticks);
        let apart = apart.min(apart.abs_diff(WRAP));
        self.scale == other.scale && u128::from(apart) * 1000 <= u128::from(self.scale) * u128::from(millis)
    }
}

impl MediaTime {
    /// By how many microseconds it is later; the short way round, where both are clocks of transport streams. `None`: further than can be said.
    #[must_use]
    pub fn micros_since(self, other: Self) -> Option<i64> {
        const WRAP: i128 = 1 << 33;
        if self.scale == 0 || other.scale == 0 {
            return None;
        }
        let (one, other_ticks) = (i128::from(self.ticks), i128::from(other.ticks));
        let micros = if self.scale == other.scale {
            let apart = one - other_ticks;
            let wraps = self.scale == 90_000 && one < WRAP && other_ticks < WRAP;
            let apart = if wraps { (apart + WRAP * 3 / 2).rem_euclid(WRAP) - WRAP / 2 } else { apart };
            apart * 1_000_000 / i128::from(self.scale)
        } else {
            one * 1_000_000 / i128::from(self.scale) - other_ticks * 1_000_000 / i128::from(other.scale)
        };
        i64::try_from(micros).ok()
    }

    /// So many microseconds later.
    #[must_use]
    pub fn plus_micros(self, micros: u64) -> Self {
        let ticks = u128::from(micros) * u128::from(self.scale) / 1_000_000;
        Self { ticks: self.ticks.saturating_add(u64::try_from(ticks).unwrap_or(u64::MAX)), ..self }
    }
}

impl PairStanding {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split('.');
        let active = words.next()?.parse().ok().filter(|active| *active < 2)?;
        let (lent, switched) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        // An older version has kept no more.
        let passed = [(); 2].map(|()| WallTime::from_millis(words.next().and_then(|word| word.parse().ok()).unwrap_or(0)));
        let seen = PairSeen::parse(&mut words);
        Some(Self { active, lent, switched: WallTime::from_millis(switched), passed, seen })
    }
}

impl PairSeen {
    fn parse<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<Self> {
        let relation = words.next()?.parse().ok()?;
        let mut source = || {
            let (state, newest) = (words.next()?.parse::<u8>().ok()?, words.next()?.parse().ok()?);
            let out = [None, Some(SideOut::Ended), Some(SideOut::Deleted)].get(usize::from(state / 2)).copied()?;
            Some(SourceSeen { is_down: state % 2 == 1, out, newest: WallTime::from_millis(newest) })
        };
        Some(Self { relation, sources: [source()?, source()?] })
    }
}

/// As it is kept: of each source one digit, odd where it has stopped, two more for each way of being over; and a time.
impl fmt::Display for PairSeen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.relation)?;
        self.sources.iter().try_for_each(|source| {
            let out = source.out.map_or(0, |out| if out == SideOut::Ended { 2 } else { 4 });
            write!(f, ".{}.{}", out + u8::from(source.is_down), source.newest.millis())
        })
    }
}

impl CountedRun {
    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split('.').map(str::parse);
        let mut number = || numbers.next()?.ok();
        let run = Self { first: number()?, counted: number()?, next: number()? };
        (numbers.next().is_none() && run.counted <= run.next).then_some(run)
    }
}

impl fmt::Display for CountedRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.first, self.counted, self.next)
    }
}

/// As it is kept: one word for each, which a letter begins.
impl fmt::Display for Continuity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { run, before, window, added, heard, since, ended, edge, pair } = self;
        write!(f, "r{run},w{window},a{},h{},s{}", added.millis(), heard.millis(), since.millis())?;
        before.iter().try_for_each(|before| write!(f, ",b{before}"))?;
        ended.iter().try_for_each(|ended| write!(f, ",e{}", ended.millis()))?;
        edge.iter().try_for_each(|edge| write!(f, ",t{}/{}", edge.ticks, edge.scale))?;
        pair.iter().try_for_each(|pair| {
            let [one, other] = pair.passed.map(WallTime::millis);
            write!(f, ",p{}.{}.{}.{one}.{other}", pair.active, pair.lent, pair.switched.millis())?;
            pair.seen.iter().try_for_each(|seen| write!(f, ".{seen}"))
        })
    }
}

impl Continuity {
    /// Reads what its [`Display`](fmt::Display) wrote. Words that it does not know are passed over: a newer version may have more.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let word = |letter: char| text.split(',').find_map(|word| word.strip_prefix(letter));
        let number = |letter: char| word(letter)?.parse::<u64>().ok();
        let time = |letter: char| number(letter).map(WallTime::from_millis);
        let edge = |text: &str| {
            let (ticks, scale) = text.split_once('/')?;
            Some(MediaTime { ticks: ticks.parse().ok()?, scale: scale.parse().ok()? })
        };
        Some(Self {
            run: CountedRun::parse(word('r')?)?,
            before: word('b').and_then(CountedRun::parse),
            window: number('w')?,
            added: time('a')?,
            heard: time('h')?,
            since: time('s')?,
            ended: time('e'),
            edge: word('t').and_then(edge),
            pair: word('p').and_then(PairStanding::parse),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn what_is_kept_reads_back(
            [first, counted, more, window] in any::<[u32; 4]>(),
            [added, heard, since] in any::<[u32; 3]>(),
            ended in any::<Option<u32>>(),
            edge in any::<Option<(u64, u32)>>(),
            is_second in any::<bool>(),
            pair in any::<Option<(bool, u8)>>(),
            (is_seen, relation, states) in (any::<bool>(), any::<u8>(), [(any::<bool>(), 0_usize..3), (any::<bool>(), 0_usize..3)]),
        ) {
            let run = CountedRun { first: first.into(), counted: counted.into(), next: u64::from(counted) + u64::from(more) };
            let time = |seconds: u32| WallTime::from_seconds(seconds.into());
            let continuity = Continuity {
                run,
                before: is_second.then_some(run),
                window: window.into(),
                added: time(added),
                heard: time(heard),
                since: time(since),
                ended: ended.map(time),
                edge: edge.map(|(ticks, scale)| MediaTime { ticks, scale }),
                pair: pair.map(|(active, lent)| PairStanding {
                    active: active.into(),
                    lent: lent.into(),
                    switched: time(added),
                    passed: [time(heard), time(since)],
                    seen: is_seen.then_some(PairSeen {
                        relation,
                        sources: states.map(|(is_down, out)| SourceSeen {
                            is_down,
                            out: [None, Some(SideOut::Ended), Some(SideOut::Deleted)][out],
                            newest: time(heard),
                        }),
                    }),
                }),
            };
            let text = continuity.to_string();
            prop_assert_eq!(Continuity::parse(&text), Some(continuity), "{}", text);
            prop_assert_eq!(Continuity::parse(&format!("{text},xnew")), Some(continuity), "a newer version's");
            assert!(text.len() < 280 && text.bytes().all(|byte| byte.is_ascii_graphic()), "{text}");
        }

        #[test]
        fn no_text_panics(text in "[rwahbetp0-9.,/]{0,40}") {
            let _ = Continuity::parse(&text);
        }
    }

    #[test]
    fn what_an_older_version_kept_of_a_pair_reads_without_what_it_did_not_know() {
        let standing = PairStanding::parse("1.2.3000").unwrap();
        assert_eq!(
            (standing.active, standing.lent, standing.switched.millis(), standing.passed, standing.seen),
            (1, 2, 3000, [WallTime::default(); 2], None)
        );
        let passed = PairStanding::parse("1.2.3000.4000.5000").unwrap();
        assert_eq!((passed.passed, passed.seen), ([4000, 5000].map(WallTime::from_millis), None));
        let newer = PairStanding::parse("1.2.3000.4000.5000.3.1.7.4.8.more").unwrap().seen.unwrap();
        let [one, other] = newer.sources;
        assert_eq!((newer.relation, one.is_down, one.out, other.is_down), (3, true, None, false));
        assert_eq!((other.out, other.newest.millis()), (Some(SideOut::Deleted), 8));
    }

    #[test]
    fn times_are_told_apart_the_short_way_round() {
        let at = |ticks, scale| MediaTime { ticks, scale };
        assert_eq!(at(90_000, 90_000).micros_since(at(45_000, 90_000)), Some(500_000));
        assert_eq!(at(0, 90_000).micros_since(at((1 << 33) - 90_000, 90_000)), Some(1_000_000));
        assert_eq!(at((1 << 33) - 90_000, 90_000).micros_since(at(0, 90_000)), Some(-1_000_000));
        assert_eq!(at(48_000, 48_000).micros_since(at(0, 90_000)), Some(1_000_000));
        assert_eq!(at(u64::MAX, 1).micros_since(at(0, 1)), None);
        assert_eq!(at(0, 0).micros_since(at(0, 0)), None);
        assert_eq!(at(10, 90_000).plus_micros(1_000_000), at(90_010, 90_000));
    }

    #[test]
    fn the_clock_of_a_transport_stream_goes_round() {
        let at = |ticks| MediaTime { ticks, scale: 90_000 };
        assert!(at(10).is_near(at((1 << 33) - 80), 1) && !at(10).is_near(at((1 << 33) - 81), 1));
        assert!(!at(0).is_near(MediaTime { ticks: 0, scale: 48_000 }, 1000));
    }
}
