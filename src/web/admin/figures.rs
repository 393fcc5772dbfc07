//! The last quarter of an hour in figures, a sample each second, and the last day, one each minute: what the overview and its charts are made from.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::about::of_nodes;
use super::schema::{Described, Schemas};
use crate::model::clock::Moment;
use crate::model::id::Namespace;
use crate::origin::NamespaceUsage;
use crate::web::Web;

/// How often.
const EVERY: Duration = Duration::from_secs(1);
/// How many samples are kept.
const KEPT: usize = 900;
/// And how many minutes: a day of them.
const MINUTES: usize = 1440;
/// Of how many namespaces.
const NAMESPACES: usize = 200;

/// The samples.
#[derive(Debug)]
pub(super) struct Figures {
    series: Mutex<SampleSeries>,
    /// What is told of each second, as it is sent: written once for all who listen.
    news: watch::Sender<Bytes>,
}

#[derive(Debug, Default)]
struct SampleSeries {
    /// When each sample was taken, in seconds since 1970.
    times: VecDeque<u64>,
    /// When each minute ended.
    minutes: VecDeque<u64>,
    of: HashMap<Namespace, NamespaceSeries>,
    before: Option<Moment>,
}

#[derive(Debug, Default)]
struct NamespaceSeries {
    totals: TrafficTotals,
    rates: VecDeque<SecondRates>,
    /// The mean of each minute; of what is stored, the last.
    minutes: VecDeque<SecondRates>,
    /// What this minute has come to so far, and of how many samples.
    sum: SecondRates,
    summed: u16,
}

/// Which samples are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SampleStep {
    Second,
    Minute,
}

impl SampleStep {
    /// The finest one in which this much of the past is known, and how many samples that is.
    pub(super) fn of(past: Duration) -> (Self, usize) {
        let seconds = usize::try_from(past.as_secs()).unwrap_or(usize::MAX).max(1);
        if seconds <= KEPT { (Self::Second, seconds) } else { (Self::Minute, seconds.div_ceil(60)) }
    }
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

impl SecondRates {
    fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.received += other.received;
        self.requests += other.requests;
        self.failed += other.failed;
        self.stored += other.stored;
    }

    /// The mean of so many, of which this is the sum; what is stored is no rate, and that of the last.
    fn mean(self, of: u16, last: f32) -> Self {
        let share = |sum: f32| sum / f32::from(of.max(1));
        let Self { sent, received, requests, failed, stored: _ } = self;
        Self { sent: share(sent), received: share(received), requests: share(requests), failed: share(failed), stored: last }
    }
}

impl NamespaceSeries {
    /// One more second.
    fn take(&mut self, rates: SecondRates, most: usize) {
        self.rates.push_back(rates);
        while self.rates.len() > most {
            self.rates.pop_front();
        }
        self.sum.add(rates);
        self.summed = self.summed.saturating_add(1);
    }

    /// A minute is over.
    fn end_minute(&mut self, most: usize) {
        let last = self.rates.back().map_or(0.0, |rates| rates.stored);
        self.minutes.push_back(std::mem::take(&mut self.sum).mean(std::mem::take(&mut self.summed), last));
        while self.minutes.len() > most {
            self.minutes.pop_front();
        }
    }
}

impl Default for Figures {
    fn default() -> Self {
        Self { series: Mutex::default(), news: watch::Sender::new(Bytes::new()) }
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
                self.news.send_replace(format!("event: figures\ndata: {}\n\n", self.now(&web)).into());
            }
        }
    }

    /// Each second as an event of a stream (WHATWG HTML 9.2).
    pub(super) fn subscribe(&self) -> watch::Receiver<Bytes> {
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
            let rates = SecondRates {
                sent: rate(totals.sent, before.sent),
                received: rate(totals.received, before.received),
                requests: rate(totals.requests, before.requests),
                failed: rate(totals.failed, before.failed),
                stored: usage.hot_stored as f32,
            };
            known.take(rates, count);
            known.totals = totals;
        }
        series.end_minute(wall.seconds());
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

    /// The last samples of one namespace, or of all together: times, and a list for each figure.
    pub(super) fn series(&self, step: SampleStep, most: usize, wanted: impl Fn(&Namespace) -> bool) -> Value {
        let series = self.series.lock();
        let times = if step == SampleStep::Second { &series.times } else { &series.minutes };
        let count = times.len();
        let mut sums = vec![SecondRates::default(); count];
        for (_, known) in series.of.iter().filter(|(name, _)| wanted(name)) {
            let samples = if step == SampleStep::Second { &known.rates } else { &known.minutes };
            let from = count - samples.len().min(count);
            for (sum, rates) in sums[from..].iter_mut().zip(samples) {
                sum.add(*rates);
            }
        }
        let from = count - most.min(count);
        let sums = &sums[from..];
        let list = |of: fn(&SecondRates) -> f32| sums.iter().map(|rates| f64::from(of(rates).round())).collect::<Vec<_>>();
        json!({
            "step_s": if step == SampleStep::Second { 1 } else { 60 },
            "times": times.range(from..).collect::<Vec<_>>(),
            "sent_bits_per_second": list(|rates| rates.sent * 8.0),
            "received_bits_per_second": list(|rates| rates.received * 8.0),
            "requests_per_second": list(|rates| rates.requests),
            "failed_per_second": list(|rates| rates.failed),
            "stored_bytes": list(|rates| rates.stored),
        })
    }
}

impl SampleSeries {
    /// Takes the mean of each namespace's last minute, where one is over.
    fn end_minute(&mut self, now: u64) {
        // Two samples in a row tell it; the first one of all begins one.
        let before = self.times.len().checked_sub(2).and_then(|at| self.times.get(at));
        if before.is_none_or(|before| before / 60 == now / 60) {
            return;
        }
        self.minutes.push_back(now);
        while self.minutes.len() > MINUTES {
            self.minutes.pop_front();
        }
        let count = self.minutes.len();
        self.of.values_mut().for_each(|known| known.end_minute(count));
    }
}

/// What samples look like.
pub(super) fn series_schema(all: &mut Schemas) -> Value {
    let numbers = Vec::<f64>::schema(all);
    let names =
        ["times", "sent_bits_per_second", "received_bits_per_second", "requests_per_second", "failed_per_second", "stored_bytes"];
    let mut properties: serde_json::Map<String, Value> = names.iter().map(|name| ((*name).to_owned(), numbers.clone())).collect();
    properties.insert("step_s".to_owned(), json!({ "type": "integer", "description": "Seconds from one sample to the next." }));
    let names = [&["step_s"], &names[..]].concat();
    of_nodes(json!({ "type": "object", "required": names, "properties": properties }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(sent: f32) -> SecondRates {
        SecondRates { sent, stored: sent, ..SecondRates::default() }
    }

    #[test]
    fn each_minute_is_the_mean_of_its_seconds_and_a_day_of_them_is_kept() {
        let figures = Figures::default();
        let name = Namespace::parse("a").unwrap();
        // A day and two minutes, beside a namespace that comes an hour before the end. A minute ends with the first second of the next.
        for second in 0..(MINUTES as u64 + 2) * 60 {
            let mut series = figures.series.lock();
            series.times.push_back(second);
            while series.times.len() > KEPT {
                series.times.pop_front();
            }
            let count = series.times.len();
            let sent = if second % 2 == 1 { 10.0 } else { 30.0 };
            series.of.entry(name.clone()).or_default().take(rates(sent), count);
            if second >= MINUTES as u64 * 60 - 3600 {
                series.of.entry(Namespace::parse("b").unwrap()).or_default().take(rates(5.0), count);
            }
            series.end_minute(second);
        }
        let all = |step, most| figures.series(step, most, |_| true);
        let minutes = all(SampleStep::Minute, MINUTES);
        let sent = minutes["sent_bits_per_second"].as_array().unwrap();
        assert_eq!(
            (sent.len(), minutes["step_s"].as_u64(), minutes["times"].as_array().unwrap().len()),
            (MINUTES, Some(60), MINUTES)
        );
        assert_eq!(
            (sent[0].as_f64(), sent[MINUTES - 1].as_f64()),
            (Some(160.0), Some(200.0)),
            "20 bytes a second, and 5 of the other"
        );
        assert_eq!(minutes["stored_bytes"][0], 30.0, "of what is stored the last");
        assert_eq!(all(SampleStep::Second, 60)["times"].as_array().unwrap().len(), 60);
        assert_eq!(all(SampleStep::Second, KEPT)["sent_bits_per_second"].as_array().unwrap().len(), KEPT);
        assert_eq!(SampleStep::of(Duration::from_secs(900)), (SampleStep::Second, 900));
        assert_eq!(SampleStep::of(Duration::from_secs(901)), (SampleStep::Minute, 16));
        assert_eq!(figures.series(SampleStep::Minute, 5, |name| name.as_str() == "b")["sent_bits_per_second"][4], 40.0);
    }
}
