//! The last quarter of an hour in figures, a sample each second: what the overview and its charts are made from.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::schema::{Described, Schemas};
use crate::model::clock::Moment;
use crate::model::id::Namespace;
use crate::origin::NamespaceUsage;
use crate::web::Web;

/// How often.
const EVERY: Duration = Duration::from_secs(1);
/// How many samples are kept.
const KEPT: usize = 900;
/// Of how many namespaces.
const NAMESPACES: usize = 200;

/// The samples.
#[derive(Debug)]
pub(super) struct Figures {
    series: Mutex<SampleSeries>,
    news: watch::Sender<Arc<Value>>,
}

#[derive(Debug, Default)]
struct SampleSeries {
    /// When each sample was taken, in seconds since 1970.
    times: VecDeque<u64>,
    of: HashMap<Namespace, NamespaceSeries>,
    before: Option<Moment>,
}

#[derive(Debug, Default)]
struct NamespaceSeries {
    totals: TrafficTotals,
    rates: VecDeque<SecondRates>,
}

/// What has been counted so far.
#[derive(Clone, Copy, Debug, Default)]
struct TrafficTotals {
    sent: u64,
    received: u64,
    requests: u64,
    failed: u64,
}

/// A second's worth.
#[derive(Clone, Copy, Debug, Default)]
struct SecondRates {
    sent: f32,
    received: f32,
    requests: f32,
    failed: f32,
    stored: f32,
}

impl Default for Figures {
    fn default() -> Self {
        Self { series: Mutex::default(), news: watch::Sender::new(Arc::new(Value::Null)) }
    }
}

impl Figures {
    /// Takes samples until `stop`.
    pub(super) async fn run(self: Arc<Self>, web: Web, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            self.sample(&web);
            if self.news.receiver_count() > 0 {
                self.news.send_replace(Arc::new(self.now(&web)));
            }
        }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Arc<Value>> {
        self.news.subscribe()
    }

    fn sample(&self, web: &Web) {
        let clock = web.inner.origin.clock();
        let (now, wall) = (clock.now(), clock.wall());
        let usage = web.inner.origin.usage();
        let mut series = self.series.lock();
        let past = series.before.map(|before| now.since(before).as_secs_f32());
        series.before = Some(now);
        series.times.push_back(wall.seconds());
        while series.times.len() > KEPT {
            series.times.pop_front();
        }
        let count = series.times.len();
        series.of.retain(|name, _| usage.iter().any(|(known, _)| known == name));
        for (name, usage) in usage.iter().take(NAMESPACES) {
            let Some(traffic) = web.inner.origin.namespace(name).traffic().cloned() else { continue };
            let (sent, received) = traffic.bytes();
            let (requests, failed) = traffic.answered();
            let totals = TrafficTotals { sent, received, requests, failed };
            let is_new = !series.of.contains_key(name);
            let known = series.of.entry(name.clone()).or_default();
            let before = if is_new { totals } else { known.totals };
            let rate = |now: u64, before: u64| {
                #[expect(clippy::cast_precision_loss, reason = "a figure for the eye")]
                past.filter(|past| *past > 0.0).map_or(0.0, |past| now.saturating_sub(before) as f32 / past)
            };
            #[expect(clippy::cast_precision_loss, reason = "a figure for the eye")]
            known.rates.push_back(SecondRates {
                sent: rate(totals.sent, before.sent),
                received: rate(totals.received, before.received),
                requests: rate(totals.requests, before.requests),
                failed: rate(totals.failed, before.failed),
                stored: usage.hot_stored as f32,
            });
            known.totals = totals;
            while known.rates.len() > count {
                known.rates.pop_front();
            }
        }
    }

    /// Each namespace's last second, and what it holds.
    pub(super) fn now(&self, web: &Web) -> Value {
        let usage = web.inner.origin.usage();
        let series = self.series.lock();
        let of = |(name, usage): &(Namespace, NamespaceUsage)| {
            let rates = series.of.get(name).and_then(|known| known.rates.back()).copied().unwrap_or_default();
            let mut value = json!(usage);
            value["namespace"] = json!(name.as_str());
            value["sent_bits_per_second"] = json!(rates.sent * 8.0);
            value["received_bits_per_second"] = json!(rates.received * 8.0);
            value["requests_per_second"] = json!(rates.requests);
            value["failed_per_second"] = json!(rates.failed);
            value
        };
        json!({
            "time": web.inner.origin.clock().wall().to_string(),
            "connections": web.inner.metrics.connections.get(),
            "requests_in_flight": web.inner.metrics.requests_in_flight.get(),
            "namespaces": usage.iter().map(of).collect::<Vec<_>>(),
        })
    }

    /// The samples of one namespace, or of all together: times, and a list for each figure.
    pub(super) fn series(&self, wanted: impl Fn(&Namespace) -> bool) -> Value {
        let series = self.series.lock();
        let count = series.times.len();
        let mut sums = vec![SecondRates::default(); count];
        for (_, known) in series.of.iter().filter(|(name, _)| wanted(name)) {
            let from = count - known.rates.len().min(count);
            for (sum, rates) in sums[from..].iter_mut().zip(&known.rates) {
                sum.sent += rates.sent;
                sum.received += rates.received;
                sum.requests += rates.requests;
                sum.failed += rates.failed;
                sum.stored += rates.stored;
            }
        }
        let list = |of: fn(&SecondRates) -> f32| sums.iter().map(|rates| f64::from(of(rates).round())).collect::<Vec<_>>();
        json!({
            "times": series.times,
            "sent_bits_per_second": list(|rates| rates.sent * 8.0),
            "received_bits_per_second": list(|rates| rates.received * 8.0),
            "requests_per_second": list(|rates| rates.requests),
            "failed_per_second": list(|rates| rates.failed),
            "stored_bytes": list(|rates| rates.stored),
        })
    }
}

/// What samples look like.
pub(super) fn series_schema(all: &mut Schemas) -> Value {
    let numbers = Vec::<f64>::schema(all);
    let names =
        ["times", "sent_bits_per_second", "received_bits_per_second", "requests_per_second", "failed_per_second", "stored_bytes"];
    let properties: serde_json::Map<String, Value> = names.iter().map(|name| ((*name).to_owned(), numbers.clone())).collect();
    json!({ "type": "object", "required": names, "properties": properties })
}
