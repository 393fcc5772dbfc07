//! What may become of two encoders, event by event, and how that is written in words: `w/d40 begin:0 3*w/w` is a segment that is whole from one
//! side and damaged and 40 ms later from the other, a new beginning of the first, and three segments of both.

use std::fmt;

/// What happens next.
#[derive(Clone, Copy)]
pub(super) enum PairEvent {
    /// Both encoders make a segment, as far as they live.
    Segment([Fate; 2]),
    /// One is killed.
    Kill(usize),
    /// One begins again, and counts from 0.
    Begin(usize),
    /// One says that it is over.
    End(usize),
    /// One says that it is over with the part of a segment that it has made by then.
    Short(usize),
    /// One deletes its playlist.
    Delete(usize),
    /// One stands still.
    Freeze(usize),
    /// It goes on where it was, and makes up for what it has missed.
    GoOn(usize),
    /// Nothing happens for so many milliseconds.
    Pause(u64),
    /// Somebody wants a side, or none any more.
    Pin(Option<usize>),
    /// The server is killed and begins again: all it has is the public playlist.
    Reload,
    /// A side writes to this node from now on, where the server is two of them; or to the other one, where that has died.
    Node(usize, usize),
    /// A node is killed, and the other one goes on.
    Lose(usize),
    /// It begins again: all it knows is what both store.
    Join(usize),
    /// It does what it does not do at once much later, for a few segments.
    Slow(usize),
    /// Until the next segment has come, whenever a node is about to take a step the other one does so first.
    Race,
}

/// What becomes of a segment.
#[derive(Clone, Copy)]
pub(super) struct Fate {
    /// So many milliseconds after the other's.
    pub(super) late: u64,
    pub(super) comes: Comes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comes {
    Whole,
    Damaged,
    /// It is listed, and never comes.
    Never,
    /// Its playlist is not written.
    Unlisted,
}

/// How the two stand to each other.
#[derive(Default, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PairManner {
    #[default]
    Aligned,
    Offset,
    Shifted,
    Foreign,
    /// Players' clocks begin at 0 with each encoder, and the contents' do not.
    FromZero,
    /// All clocks begin at 0 with each encoder.
    AllFromZero,
}

impl fmt::Debug for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = match self.comes {
            Comes::Whole => 'w',
            Comes::Damaged => 'd',
            Comes::Never => 'n',
            Comes::Unlisted => 'u',
        };
        if self.late == 0 { write!(f, "{letter}") } else { write!(f, "{letter}{}", self.late) }
    }
}

impl Fate {
    fn parse(word: &str) -> Self {
        let comes = match &word[..1] {
            "w" => Comes::Whole,
            "d" => Comes::Damaged,
            "n" => Comes::Never,
            "u" => Comes::Unlisted,
            other => panic!("{other}"),
        };
        Self { late: word[1..].parse().unwrap_or(0), comes }
    }
}

/// As it is kept: what is said of a life that fails can be copied.
impl fmt::Debug for PairEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segment([one, other]) => write!(f, "{one:?}/{other:?}"),
            Self::Kill(side) => write!(f, "kill:{side}"),
            Self::Begin(side) => write!(f, "begin:{side}"),
            Self::End(side) => write!(f, "end:{side}"),
            Self::Short(side) => write!(f, "short:{side}"),
            Self::Delete(side) => write!(f, "delete:{side}"),
            Self::Freeze(side) => write!(f, "freeze:{side}"),
            Self::GoOn(side) => write!(f, "go:{side}"),
            Self::Pause(millis) => write!(f, "pause:{millis}"),
            Self::Pin(Some(side)) => write!(f, "pin:{side}"),
            Self::Pin(None) => write!(f, "pin:-"),
            Self::Reload => write!(f, "reload"),
            Self::Node(side, node) => write!(f, "node:{side}.{node}"),
            Self::Lose(node) => write!(f, "lose:{node}"),
            Self::Join(node) => write!(f, "join:{node}"),
            Self::Slow(node) => write!(f, "slow:{node}"),
            Self::Race => write!(f, "race"),
        }
    }
}

impl PairEvent {
    fn parse(word: &str) -> Self {
        if let Some((one, other)) = word.split_once('/') {
            return Self::Segment([Fate::parse(one), Fate::parse(other)]);
        }
        let (what, of) = word.split_once(':').unwrap_or((word, ""));
        let side = || of.parse::<usize>().unwrap();
        match what {
            "kill" => Self::Kill(side()),
            "begin" => Self::Begin(side()),
            "end" => Self::End(side()),
            "short" => Self::Short(side()),
            "delete" => Self::Delete(side()),
            "freeze" => Self::Freeze(side()),
            "go" => Self::GoOn(side()),
            "pause" => Self::Pause(of.parse().unwrap()),
            "pin" => Self::Pin(of.parse().ok()),
            "reload" => Self::Reload,
            "node" => {
                let (side, node) = of.split_once('.').unwrap();
                Self::Node(side.parse().unwrap(), node.parse().unwrap())
            }
            "lose" => Self::Lose(side()),
            "join" => Self::Join(side()),
            "slow" => Self::Slow(side()),
            "race" => Self::Race,
            other => panic!("{other}"),
        }
    }

    /// Whether it is of nodes that share.
    pub(super) const fn is_shared(self) -> bool {
        matches!(self, Self::Node(..) | Self::Lose(_) | Self::Join(_) | Self::Slow(_) | Self::Race)
    }

    /// A life in words.
    pub(super) fn life(words: &str) -> Vec<Self> {
        let word = |word: &str| {
            let (times, word) = word.split_once('*').map_or((1, word), |(times, word)| (times.parse().unwrap(), word));
            vec![Self::parse(word); times]
        };
        words.split([' ', ',']).filter(|word| !word.is_empty()).flat_map(word).collect()
    }
}
