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
    Tombstones,
    /// A read waits for a barrier.
    Barrier,
    /// A write is answered when the node's own index has it.
    OwnIndex,
    /// What became of an upload is asserted with what it made.
    Verdicts,
    /// A refusal is remembered.
    Refusals,
}

#[cfg(test)]
impl Safeguard {
    /// All of them.
    pub(super) const ALL: [Self; 9] = [
        Self::Wait,
        Self::Gate,
        Self::Assertion,
        Self::Confirmed,
        Self::Tombstones,
        Self::Barrier,
        Self::OwnIndex,
        Self::Verdicts,
        Self::Refusals,
    ];
}

/// Those in force. All of them, but in a test that takes one out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Safeguards {
    #[cfg(test)]
    without: Option<Safeguard>,
}

impl Safeguards {
    #[cfg(test)]
    pub(super) fn without(safeguard: Safeguard) -> Self {
        Self { without: Some(safeguard) }
    }

    #[cfg(test)]
    pub(super) fn has(self, safeguard: Safeguard) -> bool {
        self.without != Some(safeguard)
    }

    #[cfg(not(test))]
    pub(super) fn has(self, _: Safeguard) -> bool {
        true
    }
}
