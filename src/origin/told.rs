//! What has come of a step of a public playlist, in the words in which nodes that share tell it each other: so that all of them count, show and
//! tell the same, whichever took the step.

use std::fmt;

use crate::hls::normalise::{PairComposed, Relation, SideSwitch};
use crate::model::mended::{Mended, SwitchReason};

/// It.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PublicNews {
    /// Lines taken of each side.
    pub(super) taken: [u64; 2],
    /// Those among them that it has lent.
    pub(super) lent: [u64; 2],
    /// The changes of the active side.
    pub(super) switches: Vec<SideSwitch>,
    /// How the sides stand to each other.
    pub(super) relation: Option<Relation>,
    /// What was done that no encoder did.
    pub(super) mended: Vec<Mended>,
    /// It is no list that goes on, but the copy of this side's.
    pub(super) copy_of: Option<usize>,
}

impl PublicNews {
    pub(super) fn of(made: &PairComposed) -> Self {
        let (taken, lent, switches) = (made.taken, made.borrowed, made.switches.clone());
        Self { taken, lent, switches, relation: Some(made.relation), ..Self::mending(&made.composed.mended) }
    }

    /// Of one that has one source.
    pub(super) fn mending(mended: &[Mended]) -> Self {
        Self { mended: mended.to_vec(), ..Self::default() }
    }

    /// Reads what its [`Display`](fmt::Display) wrote. Words that it does not know are passed over: a newer version may have more.
    pub(super) fn parse(text: &str) -> Self {
        let mut news = Self::default();
        for (letter, rest) in text.split(' ').filter_map(|word| word.split_at_checked(1)) {
            match letter {
                "t" => news.taken = counts(rest).unwrap_or_default(),
                "l" => news.lent = counts(rest).unwrap_or_default(),
                "s" => news.switches.extend(switch(rest)),
                "r" => news.relation = Relation::ALL.into_iter().find(|relation| relation.as_str() == rest),
                "m" => news.mended.extend(Mended::ALL.into_iter().find(|known| known.as_str() == rest)),
                "c" => news.copy_of = side(rest),
                _ => {}
            }
        }
        news
    }
}

fn side(text: &str) -> Option<usize> {
    text.parse().ok().filter(|side| *side < 2)
}

fn counts(text: &str) -> Option<[u64; 2]> {
    let (one, other) = text.split_once('.')?;
    Some([one.parse().ok()?, other.parse().ok()?])
}

fn switch(text: &str) -> Option<SideSwitch> {
    let mut words = text.split('.');
    let (to, number, reason) = (side(words.next()?)?, words.next()?.parse().ok()?, words.next()?);
    let reason = SwitchReason::ALL.into_iter().find(|known| known.as_str() == reason)?;
    Some(SideSwitch { to, reason, number })
}

/// As it is told: words, which a letter begins.
impl fmt::Display for PublicNews {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { taken, lent, switches, relation, mended, copy_of } = self;
        write!(f, "t{}.{} l{}.{}", taken[0], taken[1], lent[0], lent[1])?;
        switches.iter().try_for_each(|switch| write!(f, " s{}.{}.{}", switch.to, switch.number, switch.reason.as_str()))?;
        relation.iter().try_for_each(|relation| write!(f, " r{}", relation.as_str()))?;
        mended.iter().try_for_each(|mended| write!(f, " m{}", mended.as_str()))?;
        copy_of.iter().try_for_each(|side| write!(f, " c{side}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn what_is_told_reads_back(
            (taken, lent) in any::<([u64; 2], [u64; 2])>(),
            switches in proptest::collection::vec((0usize..2, any::<u64>(), 0usize..6), 0..4),
            copy_of in proptest::option::of(0usize..2),
            is_known in any::<bool>(),
        ) {
            let switch = |(to, number, reason)| SideSwitch { to, reason: SwitchReason::ALL[reason], number };
            let switches = switches.into_iter().map(switch).collect();
            let mended = Mended::ALL.into_iter().filter(|_| is_known).collect();
            let news = PublicNews { taken, lent, switches, relation: is_known.then_some(Relation::Shifted), mended, copy_of };
            prop_assert_eq!(PublicNews::parse(&format!("{news} xnew")), news);
        }

        #[test]
        fn no_text_panics(text in "[tlsrc0-9. é]{0,40}") {
            let _ = PublicNews::parse(&text);
        }
    }
}
