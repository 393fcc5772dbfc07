//! A public playlist with two sources as it is told.

use super::{PairTally, Pairs, SideMemory, side_name};
use crate::hls::normalise::SideOut;
use crate::model::id::Key;
use crate::origin::pair_reports::{PairReport, PairSourceReport};

impl Pairs {
    /// A playlist as it is told.
    pub(in crate::origin) fn report(
        &self,
        namespace: &str,
        (prefix, sources): (&str, &[String]),
        public: &Key,
        pinned: Option<usize>,
    ) -> Option<PairReport> {
        let state = self.0.lock();
        let memory = state.playlists.get(public)?;
        let known = memory.known?;
        let PairTally { lines, borrowed, switches } = state.tallies.get(public).cloned().unwrap_or_default();
        let source = |(at, side): (usize, &SideMemory)| PairSourceReport {
            source: side_name(at),
            prefix: sources.get(at).cloned().unwrap_or_default(),
            up: side.is_up.unwrap_or(false) && side.out.is_none(),
            out: side.out.map(|out| if out == SideOut::Ended { "ended" } else { "deleted" }),
            newest: known.newest[at].map(|newest| newest.to_string()),
            lines: lines[at],
        };
        Some(PairReport {
            namespace: namespace.to_owned(),
            public: prefix.to_owned(),
            playlist: public.to_string(),
            relation: known.relation.as_str(),
            apart: known.apart.map(|apart| apart.to_string()),
            active: side_name(known.active),
            pinned: pinned.map(side_name),
            skew_seconds: known.skew.map(|skew| skew.as_secs_f64()),
            borrowed,
            sources: memory.sides.iter().enumerate().map(source).collect(),
            switches: switches.into(),
        })
    }
}
