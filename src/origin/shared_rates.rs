//! Rates of namespaces, where several nodes share an engine: what is allowed is allowed to all of them together. Each has the part of it that what is
//! asked for at this node is of what is asked for at all; so an encoder may be all of one node's, and none of another's.
//!
//! Five times a second each tells the others by the engine what was asked for. Where nothing is, a node has a little all the same, with which it
//! can begin: for that long there may be a quarter more. While the engine is away each has as much as any other.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Inner;
use super::namespace::Rates;
use crate::auth::signing::random_id;
use crate::store::shared::SharedStore;

/// How often.
const EVERY: Duration = Duration::from_millis(200);
/// And where no namespace has a rate.
const IDLE: Duration = Duration::from_secs(2);
/// For so long what a node has told is believed.
const BELIEVED: Duration = Duration::from_secs(2);
/// The list of it, as the engine names it.
const LIST: &str = "rates";
/// How much what was asked for a moment ago counts beside what was asked for before, in percent: a second or so.
const NEW: u64 = 20;
/// What is told is in so many parts: a request now and then is not nothing.
const PARTS: u64 = 1000;

/// What is asked for at each node, by rate: of each node what it told last.
type AskedFor = BTreeMap<String, BTreeMap<String, (u64, u64)>>;

/// Shares rates for as long as there is an origin.
pub(super) async fn share(origin: Weak<Inner>, store: SharedStore) {
    let (own, mut known, mut number) = (random_id(), BTreeMap::<String, u64>::new(), 0_u64);
    loop {
        let Some(inner) = origin.upgrade() else { return };
        let (clock, rates) = (inner.clock.clone(), limited(&inner));
        drop(inner);
        if rates.is_empty() {
            tokio::time::sleep(IDLE).await;
            continue;
        }
        number += 1;
        let mut words = Vec::new();
        let until = clock.wall() + BELIEVED;
        for (namespace, rates) in &rates {
            for (name, rate) in rates.each() {
                let Some(asked) = rate.take_asked() else { continue };
                let of = known.entry(format!("{namespace}/{name}")).or_default();
                *of = (*of * (100 - NEW) + asked.saturating_mul(PARTS).saturating_mul(NEW)) / 100;
                words.push((format!("{own} {number} {namespace}/{name} {of}"), until));
            }
        }
        let told = store.pool(LIST, &words).await.ok();
        let asked = told.map(|told| read(&told)).unwrap_or_default();
        for (namespace, rates) in &rates {
            for (name, rate) in rates.each().into_iter().filter(|(_, rate)| rate.per_second().is_some()) {
                let at_each = asked.get(&format!("{namespace}/{name}"));
                rate.set_part(at_each.map_or_else(|| evenly(store.members()), |at_each| part(at_each, &own)));
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// The namespaces that have any rate.
fn limited(inner: &Inner) -> Vec<(String, Arc<Rates>)> {
    let namespaces = inner.namespaces.load();
    let all = namespaces.iter().map(|(name, hosted)| (name.to_string(), Arc::clone(&hosted.rates)));
    all.filter(|(_, rates)| rates.each().iter().any(|(_, rate)| rate.per_second().is_some())).collect()
}

/// Reads what nodes have told.
fn read(told: &[String]) -> AskedFor {
    let mut asked = AskedFor::new();
    for word in told {
        let mut fields = word.split(' ');
        let (Some(node), Some(number), Some(rate), Some(of)) = (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let (Ok(number), Ok(of)) = (number.parse(), of.parse()) else { continue };
        let known = asked.entry(rate.to_owned()).or_default().entry(node.to_owned()).or_default();
        *known = (*known).max((number, of));
    }
    asked
}

/// As much as any other node has.
#[expect(clippy::cast_precision_loss, reason = "a part need not be exact")]
fn evenly(nodes: u64) -> f64 {
    1.0 / nodes.max(1) as f64
}

/// Which part of a rate is this node's, by what was asked for at each.
#[expect(clippy::cast_precision_loss, reason = "a part need not be exact")]
fn part(at_each: &BTreeMap<String, (u64, u64)>, own: &str) -> f64 {
    let (even, sum) = (evenly(at_each.len() as u64), at_each.values().map(|(_, asked)| *asked).sum::<u64>());
    let own = at_each.get(own).map_or(0, |(_, asked)| *asked);
    if sum == 0 { even } else { (own as f64 / sum as f64).max(even / 4.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_the_part_that_is_asked_for_at_it() {
        let near = |one: f64, other: f64| (one - other).abs() < 1e-9;
        let of = |asked: &[u64]| {
            let at_each: BTreeMap<_, _> = asked.iter().enumerate().map(|(node, asked)| (node.to_string(), (1, *asked))).collect();
            part(&at_each, "0")
        };
        assert!(near(of(&[0]), 1.0) && near(of(&[7]), 1.0));
        assert!(near(of(&[0, 0]), 0.5), "nobody asks");
        assert!(near(of(&[300, 100]), 0.75) && near(of(&[100, 300]), 0.25));
        assert!(near(of(&[0, 300]), 0.125), "with which it can begin");
        assert!(near(of(&[300, 0]), 1.0) && near(evenly(4), 0.25) && near(evenly(0), 1.0));
    }

    #[test]
    fn of_each_node_counts_what_it_told_last() {
        let told = ["a 2 n/read_bytes 70", "b 9 n/read_bytes 30", "a 10 n/read_bytes 90", "odd", "c 1 n/read_bytes x"];
        let asked = read(&told.map(str::to_owned));
        let all: Vec<_> = asked["n/read_bytes"].iter().map(|(node, (_, of))| (node.as_str(), *of)).collect();
        assert_eq!(all, [("a", 90), ("b", 30)]);
    }
}
