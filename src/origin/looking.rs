//! The look-round through all namespaces, once a second.

use std::sync::Arc;

use super::live::Event;
use super::namespace::Hosted;
use super::rounds::{Round, Rounds};
use super::{Origin, policy};
use crate::model::id::Key;

impl Origin {
    /// Does this part of a round in each namespace; what comes of it, where it does not break off.
    fn go_round<T>(&self, of: fn(&Rounds) -> &Round, part: impl Fn(&Arc<Hosted>) -> T) -> Vec<T> {
        let (namespaces, now) = (self.inner.namespaces.load(), self.inner.clock.now());
        let go = |hosted: &Arc<Hosted>| of(&hosted.work.rounds).go(&hosted.name, now, || part(hosted));
        namespaces.values().filter_map(go).collect()
    }

    /// Takes note in each namespace of what has come back into memory.
    pub(super) fn follow_reloaded(&self) {
        self.go_round(|rounds| &rounds.look, Hosted::follow_reloaded);
    }

    /// Judges every live stream; what has happened since the last look.
    pub(super) fn look_now(&self) -> Vec<Event> {
        let look = |hosted: &Arc<Hosted>| {
            hosted.follow_reloaded();
            hosted.look()
        };
        self.go_round(|rounds| &rounds.look, look).into_iter().flatten().collect()
    }
}

impl Hosted {
    fn look(&self) -> Vec<Event> {
        let now = self.hot.clock().both();
        self.work.cuts.forget_old(now.moment);
        self.work.deltas.forget_old(now.moment);
        self.work.clears.forget_old(now.moment);
        self.work.public.sweep(now.moment);
        self.work.looks.sweep();
        self.work.ends.sweep();
        self.work.below.sweep(now.moment);
        self.work.pairs.sweep(|public| self.hot.holds(public) || self.is_here(public));
        self.tell_down();
        self.tell_overdue();
        let here = |key: &Key| self.hot.holds(key) || self.peek_named(key, now.moment).is_some() || self.may_have_below(key);
        let has_viewers = self.policy.viewers.mode != policy::ViewerMode::Off;
        let is_coming = |key: &Key| self.hot.is_uploading(key);
        self.live.look(now, self.policy.limits, has_viewers, here, is_coming, |key| self.readership(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use crate::model::clock::Clock;
    use crate::model::id::Namespace;
    use crate::origin::policy::NamespacePolicy;
    use crate::origin::rounds::REST;

    #[tokio::test]
    async fn what_breaks_off_in_one_namespace_goes_on_in_the_others_and_is_tried_again() {
        let clock = Clock::manual();
        let policies = ["bad", "good"].map(|name| (Namespace::parse(name).unwrap(), NamespacePolicy::default()));
        let origin = Origin::new(policies, 1 << 20, clock.clone(), &Arc::new(Metrics::new()));
        let round = |is_mended: bool| {
            let part = |hosted: &Arc<Hosted>| {
                assert!(is_mended || hosted.name.as_str() == "good", "a mistake");
                hosted.name.as_str().to_owned()
            };
            let mut done = origin.go_round(|rounds| &rounds.look, part);
            done.sort();
            done
        };
        assert_eq!((round(true).len(), origin.trouble().len()), (2, 0));
        assert_eq!((round(false), origin.trouble().len()), (vec!["good".to_owned()], 1));
        assert_eq!(round(true), ["good"], "it rests");
        assert!(origin.look_now().is_empty() && origin.trouble().len() == 1, "of this round nothing else is done there either");
        clock.advance(REST);
        assert_eq!((round(true).len(), origin.trouble().len()), (2, 0));
    }
}
