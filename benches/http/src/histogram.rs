//! Latencies in buckets that grow by 2 %, so that rounds can be added up without keeping every sample.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

const GROWTH: f64 = 1.02;

#[derive(Default)]
pub struct Histogram {
    // By bucket: at 50 ns (the least that is told apart) and up.
    counts: Vec<u64>,
}

impl Histogram {
    pub fn add(&mut self, took: Duration) {
        let steps = (took.as_nanos().max(50) as f64 / 50.0).ln() / GROWTH.ln();
        let bucket = steps as usize;
        if bucket >= self.counts.len() {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
    }

    /// Microseconds at the middle of each bucket that has any, and how many.
    pub fn to_json(&self) -> Value {
        let filled = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        let pairs: BTreeMap<usize, u64> = filled.map(|(bucket, count)| (bucket, *count)).collect();
        let rows = pairs.into_iter().map(|(bucket, count)| json!([50.0 * GROWTH.powf(bucket as f64 + 0.5) / 1e3, count]));
        Value::Array(rows.collect())
    }
}
