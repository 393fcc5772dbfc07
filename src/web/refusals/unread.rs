//! Connections on which no request could be read: counted, told once in a while, and the last ones kept for the black box.
//!
//! Nothing that the client wrote is kept: what can't be read may be a key.

use std::collections::VecDeque;
use std::net::IpAddr;

use parking_lot::Mutex;
use serde::Serialize;

use super::thinning::{INTERVAL, ThinnedKind, Thinning, Told};
use crate::model::clock::{Clock, WallTime};
use crate::web::Web;
use crate::web::connection::admission::network;
use crate::web::connection::unread::Unread;

/// How many are kept, one for each address, reason and detail.
const KEPT: usize = 64;
/// How many of one address and reason: each with another detail.
const DETAILS: usize = 4;

/// What has come lately that was no request.
#[derive(Debug)]
pub(in crate::web) struct UnreadConnections {
    clock: Clock,
    thinning: Thinning<From>,
    /// The newest first.
    kept: Mutex<VecDeque<Kept>>,
}

/// What lines are thinned out by: from where, and what.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct From {
    network: Option<IpAddr>,
    unread: Unread,
}

impl ThinnedKind for From {
    fn of_anybody(self) -> Self {
        Self { network: None, ..self }
    }
}

#[derive(Clone, Debug)]
struct Kept {
    peer: IpAddr,
    unread: Unread,
    detail: String,
    request_id: String,
    last_seen: WallTime,
    times: u64,
}

#[derive(Serialize)]
struct UnreadReport {
    peer: IpAddr,
    reason: &'static str,
    advice: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    request_id: String,
    last_seen: String,
    times: u64,
}

impl UnreadConnections {
    pub(in crate::web) fn new(clock: Clock) -> Self {
        Self { thinning: Thinning::new(clock.clone()), clock, kept: Mutex::default() }
    }

    fn keep(&self, peer: IpAddr, unread: Unread, detail: &str, request_id: &str) {
        let mut kept = self.kept.lock();
        let same = |kept: &Kept| (kept.peer, kept.unread) == (peer, unread);
        let before = kept.iter().position(|kept| same(kept) && kept.detail == detail).and_then(|index| kept.remove(index));
        let oldest = kept.iter().enumerate().filter(|(_, kept)| same(kept)).map(|(index, _)| index).skip(DETAILS - 1).last();
        oldest.map(|index| kept.remove(index));
        kept.truncate(KEPT - 1);
        kept.push_front(Kept {
            peer,
            unread,
            detail: detail.to_owned(),
            request_id: request_id.to_owned(),
            last_seen: self.clock.wall(),
            times: before.map_or(0, |before| before.times) + 1,
        });
    }

    /// Those that are kept, the newest first.
    pub(in crate::web) fn report(&self) -> serde_json::Value {
        let kept = self.kept.lock().clone();
        let reports = kept.into_iter().map(|kept| UnreadReport {
            peer: kept.peer,
            reason: kept.unread.name(),
            advice: kept.unread.advice(),
            detail: kept.detail,
            request_id: kept.request_id,
            last_seen: kept.last_seen.to_string(),
            times: kept.times,
        });
        serde_json::to_value(reports.collect::<Vec<_>>()).unwrap_or_default()
    }
}

/// Takes note of one. `detail`: what a library says of it, in its own words; `request_id`: under which it was answered. Both may be
/// empty.
pub(in crate::web) fn note(web: &Web, peer: IpAddr, unread: Unread, detail: &str, request_id: &str) {
    let (reason, advice) = (unread.name(), unread.advice());
    // Counted once it is kept: who sees the figure finds it in the black box.
    web.inner.unread.keep(peer, unread, detail, request_id);
    web.inner.metrics.count_unread(reason);
    match web.inner.unread.thinning.one_more(From { network: Some(network(peer)), unread }, 1) {
        Told::Line => tracing::warn!(%peer, reason, detail, request_id, advice, "no request could be read"),
        Told::Later(from) => drop(tokio::spawn(tell_later(web.clone(), from))),
        Told::Counted => {}
    }
}

/// Tells, a while later, how many more there were.
async fn tell_later(web: Web, from: From) {
    tokio::time::sleep(INTERVAL).await;
    let count = web.inner.unread.thinning.untold(&from);
    let network = from.network.map_or_else(|| "several".to_owned(), |network| network.to_string());
    let (reason, advice) = (from.unread.name(), from.unread.advice());
    tracing::warn!(
        count,
        reason,
        network,
        within_seconds = INTERVAL.as_secs(),
        advice,
        "no request could be read, beside those told of"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use std::collections::BTreeSet;

    #[test]
    fn what_is_kept_is_bounded_and_counted() {
        let connections = UnreadConnections::new(Clock::manual());
        for n in 0..200u8 {
            for _ in 0..3 {
                connections.keep([10, 0, 0, n].into(), Unread::TlsInClear, "", "");
            }
        }
        let report = connections.report();
        let kept = report.as_array().unwrap();
        assert_eq!(kept.len(), KEPT);
        assert_eq!((kept[0]["peer"].as_str(), kept[0]["times"].as_u64()), (Some("10.0.0.199"), Some(3)));
    }

    #[test]
    fn a_few_kinds_of_one_reason_are_kept_apart() {
        let connections = UnreadConnections::new(Clock::manual());
        for detail in ["header", "method", "header", "uri", "version", "length"] {
            connections.keep([10, 0, 0, 1].into(), Unread::Malformed, detail, "");
        }
        let report = connections.report();
        let kept: Vec<_> = report.as_array().unwrap().iter().map(|kept| kept["detail"].as_str().unwrap()).collect();
        assert_eq!(kept, ["length", "version", "uri", "header"]);
        assert_eq!(report[3]["times"], 2);
    }

    #[test]
    fn each_reason_has_a_figure_from_the_start_and_no_other_has() {
        let rendered = Metrics::new().render();
        let shown = rendered
            .lines()
            .filter_map(|line| line.strip_prefix("springhead_connections_unread_total{reason=\"")?.split('"').next());
        let shown: BTreeSet<&str> = shown.collect();
        assert_eq!(shown, Unread::ALL.into_iter().map(Unread::name).collect());
    }
}
