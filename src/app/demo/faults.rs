//! What the demo's encoder does wrong when it is asked to, so that one sees what the server says of it.

use std::time::Duration;

use crate::model::units::parse_duration;

/// When a fault begins and how long it lasts, where nothing is said.
const USUAL: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FaultMode {
    /// It stops for a while.
    Stall,
    /// A segment is listed and never sent.
    Gap,
    /// Segments come late.
    Late,
    /// The audio rendition stops.
    DropAudio,
    /// It is restarted and counts anew.
    Reset,
    /// Uploads break off in their middle.
    Cut,
}

const NAMES: [(&str, FaultMode); 6] = [
    ("stall", FaultMode::Stall),
    ("gap", FaultMode::Gap),
    ("late", FaultMode::Late),
    ("drop-audio", FaultMode::DropAudio),
    ("reset", FaultMode::Reset),
    ("cut", FaultMode::Cut),
];

/// A fault that is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PlannedFault {
    pub(super) mode: FaultMode,
    /// So long after the first segment.
    pub(super) at: Duration,
    pub(super) lasts: Duration,
}

impl PlannedFault {
    /// Reads `MODE[@AFTER][:FOR]`, as in `stall@30s:10s`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (rest, lasts) = text.split_once(':').map_or((text, None), |(rest, lasts)| (rest, Some(lasts)));
        let (name, at) = rest.split_once('@').map_or((rest, None), |(name, at)| (name, Some(at)));
        let names = || NAMES.map(|(name, _)| name).join(", ");
        let mode = NAMES.iter().find(|(known, _)| *known == name).map(|(_, mode)| *mode);
        let mode = mode.ok_or_else(|| format!("{name:?} is none of {}", names()))?;
        let read = |text: Option<&str>, usual| match text {
            None => Ok(usual),
            Some(text) => parse_duration(text).map_err(|error| error.to_string()),
        };
        Ok(Self { mode, at: read(at, USUAL.0)?, lasts: read(lasts, USUAL.1)? })
    }

    pub(super) fn name(&self) -> &'static str {
        NAMES.iter().find(|(_, mode)| *mode == self.mode).map_or("", |(name, _)| name)
    }

    /// Whether it is on, so long after the first segment.
    pub(super) fn is_on(&self, past: Duration) -> bool {
        past >= self.at && past < self.at + self.lasts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_says_what_when_and_for_how_long() {
        let seconds = Duration::from_secs;
        let read = |text: &str| PlannedFault::parse(text).map(|fault| (fault.mode, fault.at, fault.lasts));
        assert_eq!(read("stall"), Ok((FaultMode::Stall, USUAL.0, USUAL.1)));
        assert_eq!(read("drop-audio@5s:1m"), Ok((FaultMode::DropAudio, seconds(5), seconds(60))));
        assert_eq!(read("gap:2s"), Ok((FaultMode::Gap, USUAL.0, seconds(2))));
        for wrong in ["", "stal", "stall@", "stall@x", "stall:"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        let fault = PlannedFault::parse("cut@5s:2s").unwrap();
        assert_eq!([4, 5, 6, 7].map(|at| fault.is_on(seconds(at))), [false, true, true, false]);
        assert_eq!(fault.name(), "cut");
    }
}
