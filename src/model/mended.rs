//! What an origin does to a playlist so that players can go on, in the words in which it is counted.

/// What has been done to a playlist that its encoder did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mended {
    /// The encoder counts anew: its lines go on under the numbers that come next.
    Restart,
    /// It left numbers out: a break stands there.
    Hole,
    /// A segment that did not come is a gap.
    Gap,
    /// An older version was passed over.
    Back,
    /// Two encoders write, and one of them was passed over.
    TwoWriters,
    /// A segment is longer than the target duration, which has been raised.
    Target,
    /// The same map was stored with other bytes: a break stands there.
    Map,
    /// A length could not be read or believed: that of the media stands there, or a gap.
    Length,
    /// A date meant nothing: it is left out.
    Date,
    /// A source lists more segments than a list has.
    Long,
}

impl Mended {
    /// All of them, in the order of the enumeration.
    pub const ALL: [Self; 10] = [
        Self::Restart,
        Self::Hole,
        Self::Gap,
        Self::Back,
        Self::TwoWriters,
        Self::Target,
        Self::Map,
        Self::Length,
        Self::Date,
        Self::Long,
    ];

    /// Its name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Hole => "hole",
            Self::Gap => "gap",
            Self::Back => "back",
            Self::TwoWriters => "two-writers",
            Self::Target => "target",
            Self::Map => "map",
            Self::Length => "length",
            Self::Date => "date",
            Self::Long => "long",
        }
    }
}

/// Why viewers of a stream with two sources are given the other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SwitchReason {
    /// Segments did not come.
    Stalled,
    /// Its playlist has its end.
    Ended,
    /// It deleted its playlist.
    Deleted,
    /// Somebody pinned it.
    Pinned,
    /// Another rendition of the stream went there.
    Together,
    /// It is preferred, and has been well again for long enough.
    Returned,
}

impl SwitchReason {
    /// All of them, in the order of the enumeration.
    pub const ALL: [Self; 6] = [Self::Stalled, Self::Ended, Self::Deleted, Self::Pinned, Self::Together, Self::Returned];

    /// Its name in events and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stalled => "stalled",
            Self::Ended => "ended",
            Self::Deleted => "deleted",
            Self::Pinned => "pinned",
            Self::Together => "together",
            Self::Returned => "returned",
        }
    }
}
