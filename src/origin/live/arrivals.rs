//! The segments that came last, so that a playlist that lists one later finds how it came.

use std::collections::VecDeque;

use super::Map;
use super::rendition::Arrival;
use crate::model::id::Key;

/// How many are kept: the last quarter of a minute of two hundred renditions, or half an hour of a few.
const KEPT: usize = 2048;

#[derive(Debug, Default)]
pub(super) struct Arrivals {
    by_key: Map<Arrival>,
    order: VecDeque<Key>,
}

impl Arrivals {
    pub(super) fn put(&mut self, key: &Key, arrival: Arrival) {
        if self.by_key.insert(key.clone(), arrival).is_none() {
            self.order.push_back(key.clone());
        }
        if self.order.len() > KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_key.remove(&oldest);
        }
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Arrival> {
        self.by_key.get(key)
    }
}
