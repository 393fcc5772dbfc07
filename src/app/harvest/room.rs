//! How much a server holds in memory of what it records, beside what it serves: of long lists few at a time, and none without end.
//!
//! What a list takes is estimated by the texts of its playlists, before it is made: an address and a name for each file, and where it is to be had.
//! Invariant: who has no turn holds no more than a short list; who waits for one holds nothing.

use anyhow::bail;

use super::turns::{HarvestTurn, HarvestTurns};
use crate::model::id::Namespace;

/// What a line takes beside its text, in bytes, with what is made of it. A file has two or three.
const LINE: usize = 256;
/// How many long lists there are at a time, and where each is of another namespace.
const AT_ONCE: usize = 1;
const IN_ALL: usize = 2;

/// How much lists may take, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct ListLimits {
    /// What takes more is long.
    pub(super) short: usize,
    /// More none may take.
    pub(super) most: usize,
}

impl ListLimits {
    /// A server's: some 40,000 files, and some 600,000. Six renditions in segments of two seconds have 10,800 in an hour, and 260,000 in a day.
    pub(super) const SERVER: Self = Self { short: 32 << 20, most: 512 << 20 };
}

/// Room for one harvest's list, until this is dropped.
#[derive(Debug)]
pub(super) struct ListRoom<'a> {
    /// `None`: the process has nothing else to do.
    shared: Option<(&'a HarvestTurns, &'a Namespace, ListLimits)>,
    turn: Option<HarvestTurn<'a>>,
}

/// Whose turn it is to have a long list.
pub(super) fn long_turns() -> HarvestTurns {
    HarvestTurns::new(AT_ONCE, IN_ALL)
}

/// What a playlist of this text takes.
pub(super) fn takes(text: &str) -> usize {
    text.len() + LINE * text.lines().count()
}

impl<'a> ListRoom<'a> {
    /// As much as there is.
    pub(super) const fn boundless() -> Self {
        Self { shared: None, turn: None }
    }

    /// As much as these limits leave, and of long lists what the turns do.
    pub(super) const fn of(turns: &'a HarvestTurns, namespace: &'a Namespace, limits: ListLimits) -> Self {
        Self { shared: Some((turns, namespace, limits)), turn: None }
    }

    /// Whether a list may take so much now. If not, who asks lets go of what there is of it, [waits](Self::wait), and begins anew.
    ///
    /// # Errors
    /// When that is more than any may.
    pub(super) fn has(&self, bytes: usize) -> anyhow::Result<bool> {
        let Some((_, _, limits)) = self.shared else { return Ok(true) };
        if bytes > limits.most {
            bail!(
                "the playlists of this window list more files than a server remembers of one recording: order less of it at a time, by \
                 \"start\" and \"end\", each to a place of its own, or copy it with the command `springhead harvest`"
            );
        }
        Ok(self.has_for(bytes))
    }

    /// The same for what is there already, however much that is.
    pub(super) fn has_for(&self, bytes: usize) -> bool {
        self.turn.is_some() || self.shared.is_none_or(|(_, _, limits)| bytes <= limits.short)
    }

    /// Waits until there may be a long list. Cancel-safe: who is dropped waits no more.
    pub(super) async fn wait(&mut self) {
        let Some((turns, namespace, _)) = self.shared else { return };
        if self.turn.is_none() {
            tracing::info!(%namespace, "a harvest of many files waits for its turn: one of a namespace at a time, two in all");
            self.turn = Some(turns.wait(namespace).await);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn long_lists_take_turns_and_short_ones_none() {
        let [a, b, c] = ["a", "b", "c"].map(|name| Namespace::parse(name).unwrap());
        let (turns, limits) = (long_turns(), ListLimits { short: 10, most: 100 });
        let room = |namespace| ListRoom::of(&turns, namespace, limits);
        let (mut first, mut second, mut other, mut third) = (room(&a), room(&a), room(&b), room(&c));
        assert!(first.has(10).unwrap() && !first.has(11).unwrap() && first.has(101).is_err() && !first.has_for(101));
        first.wait().await;
        assert!(first.has(100).unwrap() && first.has(101).is_err() && first.has_for(101));
        assert!(second.wait().now_or_never().is_none() && second.has(10).unwrap(), "one of a namespace");
        assert!(other.wait().now_or_never().is_some() && third.wait().now_or_never().is_none(), "two in all");
        drop((first, other));
        assert!(second.wait().now_or_never().is_some() && third.wait().now_or_never().is_some());
        let mut boundless = ListRoom::boundless();
        boundless.wait().await;
        assert!(boundless.has(usize::MAX).unwrap());
    }
}
