//! The rules of the protocol that tests take out one by one, to see what each is good for.

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Safeguard {
    /// What is answered was on a majority of the copies.
    Wait,
    /// A new primary is served from when all members have asserted what they hold.
    Gate,
    /// What a node holds and a new primary has lost is asserted.
    Assertion,
    /// What the index has beyond what is known to be on a majority is not told before that is known.
    Confirmed,
    /// A removal is remembered.
    #[cfg(test)]
    Tombstones,
    /// A read waits for a barrier.
    Barrier,
    /// A write is answered when the node's own index has it.
    OwnIndex,
    /// What became of an upload is asserted with what it made.
    #[cfg(test)]
    Verdicts,
    /// A refusal is remembered.
    #[cfg(test)]
    Refusals,
    /// Whoever the engine took for gone has to come through the gate again before it commits anything.
    #[cfg(test)]
    Membership,
    /// Of what waits for the bucket below each thing is one node's for a while, and nobody's as long as a claim may be lost.
    #[cfg(test)]
    Claims,
}

#[cfg(test)]
impl Safeguard {
    /// All of them.
    pub(super) const ALL: [Self; 10] = [
        Self::Wait,
        Self::Gate,
        Self::Assertion,
        Self::Confirmed,
        Self::Tombstones,
        Self::Barrier,
        Self::OwnIndex,
        Self::Verdicts,
        Self::Refusals,
        Self::Membership,
    ];
}

/// Those in force. All of them, but in a test that takes one out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Safeguards {
    /// Those that are not, a bit each.
    #[cfg(any(test, debug_assertions))]
    without: u16,
}

impl Safeguards {
    #[cfg(test)]
    pub(super) fn without(safeguard: Safeguard) -> Self {
        Self { without: 1 << safeguard as u16 }
    }

    /// For tests of the real program, which is built for tests then: names, separated by commas. Others go by all of them, whatever they
    /// are told.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn without_named(names: &str) -> Self {
        let bit = |name: &str| match name {
            "barrier" => 1 << Safeguard::Barrier as u16,
            "assertion" => 1 << Safeguard::Assertion as u16,
            "wait" => 1 << Safeguard::Wait as u16,
            _ => 0,
        };
        Self { without: names.split(',').fold(0, |without, name| without | bit(name)) }
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn has(self, safeguard: Safeguard) -> bool {
        self.without & 1 << safeguard as u16 == 0
    }

    #[cfg(not(any(test, debug_assertions)))]
    pub(super) fn has(self, _: Safeguard) -> bool {
        true
    }

    #[cfg(not(any(test, debug_assertions)))]
    pub(super) fn without_named(_: &str) -> Self {
        Self::default()
    }
}
