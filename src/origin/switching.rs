//! What viewers get of two sources, counted and told: of one fault once, whichever renditions it concerns, and, where nodes share, whichever of them
//! has found it.

use std::sync::Arc;

use super::namespace::Hosted;
use super::pairs::side_name;
use super::told::PublicNews;

use crate::hls::normalise::{PairComposed, Relation};
use crate::model::clock::WallTime;
use crate::model::continuity::Continuity;
use crate::model::event::EventKind;
use crate::model::id::Key;
use crate::model::mended::SwitchReason;

impl Hosted {
    /// What was kept with a public playlist of two sources is known of them, where nothing else is.
    pub(super) fn adopt_pair(&self, public: &Key, continuity: &Continuity) {
        if self.two_sided(public).is_some() {
            self.work.pairs.adopt(&self.live.stream_of(public), public, continuity);
        }
    }

    /// How many sources have stopped is shown.
    pub(super) fn tell_down(&self) {
        let down = self.work.pairs.down();
        self.metrics.pair_sources_down.iter().zip(down).for_each(|(level, down)| {
            level.set(down);
        });
    }

    /// Counts and tells what has come of a step: of one fault once, whichever renditions it concerns.
    pub(super) fn tell_pair(self: &Arc<Self>, public: &Key, stream: &Key, made: &PairComposed, at: WallTime) {
        let now = self.hot.clock().both();
        self.work.pairs.relates(stream, public, Some(made.relation).filter(|_| !made.is_timeless));
        for side in 0..2 {
            self.metrics.pair_lines[side].inc_by(made.taken[side]);
            self.metrics.pair_lent[side].inc_by(made.borrowed[side]);
        }
        for switch in made.switches.iter().filter(|switch| switch.reason != SwitchReason::Together) {
            self.metrics.pair_switches[switch.to][switch.reason as usize].inc();
        }
        let news = PublicNews::of(made);
        self.work.pairs.count(public, &news, at);
        self.tell_switches(stream, &news);
        for side in 0..2 {
            let Some(is_up) = self.work.pairs.is_up(stream, public, side) else { continue };
            let kind = if is_up { EventKind::SourceRecovered } else { EventKind::SourceDegraded };
            let is_other_down = self.work.pairs.is_down(stream, 1 - side);
            self.live.announce(now, stream, kind, source_words(side, (is_up, is_other_down), made.relation));
        }
        self.tell_down();
    }

    /// Tells that viewers get another source.
    pub(super) fn tell_switches(&self, stream: &Key, news: &PublicNews) {
        let (relation, now) = (news.relation.unwrap_or(Relation::Foreign).as_str(), self.composing_time([]));
        for switch in news.switches.iter().filter(|switch| switch.reason != SwitchReason::Together) {
            self.work.pairs.switched(stream, switch.to, now);
            let (to, from, reason, number) =
                (side_name(switch.to), side_name(1 - switch.to), switch.reason.as_str(), switch.number);
            let detail = format!(
                "viewers get source {to} from segment {number} on, and not {from} any more: {reason}; the sources are {relation}"
            );
            self.live.announce(self.hot.clock().both(), stream, EventKind::SourceSwitched, detail);
        }
    }
}

/// That a source writes again, or has stopped, and what that means where the other one is down or is not.
fn source_words(side: usize, (is_up, is_other_down): (bool, bool), relation: Relation) -> String {
    let (this, other) = (side_name(side), side_name(1 - side));
    let seen = if relation == Relation::Aligned { "viewers will not see it" } else { "viewers get a discontinuity" };
    let relation = relation.as_str();
    match (is_up, is_other_down) {
        (true, true) => format!("source {this} writes again, and {other} does not: if {this} goes, viewers get nothing"),
        (true, false) => format!("source {this} writes again: either can go now, and {seen}; the sources are {relation}"),
        (false, true) => format!("source {this} has stopped, and {other} had: viewers get nothing new. Look at both encoders"),
        (false, false) => {
            format!("source {this} has stopped: if {other} does, too, viewers see it. Look at the encoder that writes {this}")
        }
    }
}
