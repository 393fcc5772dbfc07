//! What can be found about a live stream: the words in which it is counted, logged and told to others.

/// A kind of event. Told once, when it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// A stream or rendition appeared.
    Started,
    /// A new segment is overdue: more than one and a half target durations have passed (RFC 8216 6.2.1).
    Late,
    /// No new segment for this many target durations as `stale_after` says.
    Stale,
    /// New segments again after it was late or stale.
    Recovered,
    /// The playlist has its end.
    Ended,
    /// A segment or part that a playlist lists, or an MPD counts, has not arrived; or a playlist lists nothing but gaps.
    Gap,
    /// The media sequence began anew: the encoder was restarted.
    CounterRestart,
    /// A segment's name came again with other bytes.
    NameReused,
    /// A playlist older than the one before it was written.
    SequenceBack,
    /// Renditions of one stream are apart.
    Drift,
    /// The encoder's clock and ours run apart, by EXT-X-PROGRAM-DATE-TIME.
    ClockDrift,
    /// Segments take longer to upload than they play.
    SlowUpload,
    /// Segments are larger than the multivariant playlist announces.
    BitrateOver,
    /// A playlist lists older segments that are gone from here: it reaches back further than the store.
    WindowLost,
    /// A playlist makes no sense.
    BrokenPlaylist,
    /// A known media sequence number has another URI or duration than in the version before (RFC 8216 6.2.2).
    SegmentChanged,
    /// The same segments have other media sequence numbers.
    SequenceShifted,
    /// Segments were never listed: the media sequence has jumped.
    SequenceHole,
    /// The discontinuity sequence number of a listed segment has changed: a discontinuity has left the list and was not counted.
    DiscontinuityLost,
    /// EXT-X-TARGETDURATION has changed (RFC 8216 6.2.1).
    TargetChanged,
    /// A playlist of type EVENT has lost segments (RFC 8216 4.3.3.5).
    EventShortened,
    /// An initialisation segment that is named is not here (RFC 8216 4.3.2.5).
    InitMissing,
    /// A content key that is named as an object of ours is not here.
    KeyMissing,
    /// A rendition that a multivariant playlist or an MPD names did not come, or comes no more.
    RenditionMissing,
    /// A multivariant playlist is asked for that nobody has uploaded, and media playlists of its name are.
    MultivariantMissing,
    /// What was stale has been so for an hour, or is forgotten: it is taken for over.
    Gone,
    /// Streams without an end had to make room for others: they are not followed any more.
    Unfollowed,
    /// Two encoders write one playlist.
    TwoWriters,
    /// A composed playlist states a longer target duration from now on.
    TargetRaised,
    /// A playlist that was to be normalised is stored as it came.
    NotNormalised,
    /// Viewers of a stream with two sources get the other one.
    SourceSwitched,
    /// One of two sources has stopped: nothing takes its place when the other does, too.
    SourceDegraded,
    /// It is back.
    SourceRecovered,
    /// The segments of two sources can't stand for each other.
    SourcesApart,
    /// A playlist names what it lists by URIs that leave out a viewer's token in its own path.
    ChildLosesToken,
    /// More happened in the namespace than is told.
    Untold,
}

impl EventKind {
    /// All of them, in the order of the enumeration: `ALL[kind as usize]` is that kind.
    pub const ALL: [Self; 36] = [
        Self::Started,
        Self::Late,
        Self::Stale,
        Self::Recovered,
        Self::Ended,
        Self::Gap,
        Self::CounterRestart,
        Self::NameReused,
        Self::SequenceBack,
        Self::Drift,
        Self::ClockDrift,
        Self::SlowUpload,
        Self::BitrateOver,
        Self::WindowLost,
        Self::BrokenPlaylist,
        Self::SegmentChanged,
        Self::SequenceShifted,
        Self::SequenceHole,
        Self::DiscontinuityLost,
        Self::TargetChanged,
        Self::EventShortened,
        Self::InitMissing,
        Self::KeyMissing,
        Self::RenditionMissing,
        Self::MultivariantMissing,
        Self::Gone,
        Self::Unfollowed,
        Self::TwoWriters,
        Self::TargetRaised,
        Self::NotNormalised,
        Self::SourceSwitched,
        Self::SourceDegraded,
        Self::SourceRecovered,
        Self::SourcesApart,
        Self::ChildLosesToken,
        Self::Untold,
    ];

    /// Its name in metrics, logs, the API and webhooks.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Late => "late",
            Self::Stale => "stale",
            Self::Recovered => "recovered",
            Self::Ended => "ended",
            Self::Gap => "gap",
            Self::CounterRestart => "counter-restart",
            Self::NameReused => "name-reused",
            Self::SequenceBack => "sequence-back",
            Self::Drift => "drift",
            Self::ClockDrift => "clock-drift",
            Self::SlowUpload => "slow-upload",
            Self::BitrateOver => "bitrate-over",
            Self::WindowLost => "window-lost",
            Self::BrokenPlaylist => "broken-playlist",
            Self::SegmentChanged => "segment-changed",
            Self::SequenceShifted => "sequence-shifted",
            Self::SequenceHole => "sequence-hole",
            Self::DiscontinuityLost => "discontinuity-lost",
            Self::TargetChanged => "target-changed",
            Self::EventShortened => "event-shortened",
            Self::InitMissing => "init-missing",
            Self::KeyMissing => "key-missing",
            Self::RenditionMissing => "rendition-missing",
            Self::MultivariantMissing => "multivariant-missing",
            Self::Gone => "gone",
            Self::Unfollowed => "unfollowed",
            Self::TwoWriters => "two-writers",
            Self::TargetRaised => "target-raised",
            Self::NotNormalised => "not-normalised",
            Self::SourceSwitched => "source-switched",
            Self::SourceDegraded => "source-degraded",
            Self::SourceRecovered => "source-recovered",
            Self::SourcesApart => "sources-apart",
            Self::ChildLosesToken => "child-loses-token",
            Self::Untold => "untold",
        }
    }

    /// Whether an operator should look.
    #[must_use]
    pub const fn is_trouble(self) -> bool {
        !matches!(self, Self::Started | Self::Recovered | Self::Ended | Self::Gone | Self::SourceRecovered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_listed_in_their_order() {
        assert!(EventKind::ALL.iter().enumerate().all(|(index, kind)| *kind as usize == index));
        assert_eq!(EventKind::ALL.last(), Some(&EventKind::Untold));
    }
}
