//! The segments that came last, so that a playlist that lists one later finds how it came.

use std::collections::VecDeque;

use super::ByKey;
use super::segment::Arrival;
use crate::model::id::Key;

/// How many are kept: the last quarter of a minute of two hundred renditions, or half an hour of a few.
const KEPT: usize = 2048;

#[derive(Debug, Default)]
pub(super) struct Arrivals {
    by_key: ByKey<KnownArrival>,
    order: VecDeque<Key>,
}

#[derive(Debug)]
struct KnownArrival {
    arrival: Arrival,
    /// A playlist that lists it.
    listed_by: Option<Key>,
}

impl Arrivals {
    /// Notes a segment. `listed_by`: a playlist that lists it already, if that is known.
    pub(super) fn put(&mut self, key: &Key, mut arrival: Arrival, listed_by: Option<Key>) {
        let before = self.by_key.get_mut(key).map(|known| known.listed_by.take());
        arrival.is_again |= before.is_some();
        if before.is_none() {
            self.order.push_back(key.clone());
        }
        self.by_key.insert(key.clone(), KnownArrival { arrival, listed_by: listed_by.or(before.flatten()) });
        if self.order.len() > KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_key.remove(&oldest);
        }
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Arrival> {
        self.by_key.get(key).map(|known| &known.arrival)
    }

    /// How a segment came that a playlist lists now.
    pub(super) fn listed(&mut self, key: &Key, playlist: &Key) -> Option<Arrival> {
        let known = self.by_key.get_mut(key)?;
        known.listed_by = Some(playlist.clone());
        Some(known.arrival.clone())
    }

    /// Whether it has come and no playlist has listed it since.
    pub(super) fn is_unlisted(&self, key: &Key) -> bool {
        self.by_key.get(key).is_some_and(|known| known.listed_by.is_none())
    }

    /// A playlist that lists it, if that is known.
    pub(super) fn listed_by(&self, key: &Key) -> Option<Key> {
        self.by_key.get(key)?.listed_by.clone()
    }
}
