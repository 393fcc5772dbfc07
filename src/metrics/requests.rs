//! Requests, counted by what they asked for and what became of them.
//!
//! Invariant: every label comes from the lists here or from the settings. A count is one atomic addition in a table that the thread has
//! to itself: nothing is looked up, no two threads write to the same line of a cache, and nothing grows with what clients send.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::histogram::{Histogram, Spread};
use super::stripes::{Striped, StripedRow};
use crate::model::kind::Kind;

/// The verbs counted by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verb(usize);

const VERBS: [&str; 9] = ["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "MKCOL", "PROPFIND", "other"];

/// The statuses counted by number. 0 is shown as `none`: the client went before it was answered. Every other one is `other`.
const STATUSES: [u16; 27] = [
    0, 200, 201, 204, 206, 207, 302, 304, 400, 401, 403, 404, 405, 408, 409, 411, 412, 413, 414, 416, 429, 431, 500, 501, 503,
    505, OTHER,
];
const OTHER: u16 = u16::MAX;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Outcome {
    /// The object was there: 200 or 206.
    Hit,
    /// It was being uploaded, and was sent as it came: 200.
    Growing,
    /// It was there, and the client has it already: 304.
    NotModified,
    /// It had been there until its TTL ran out, and was not swept yet: 404.
    Expired,
    /// It was not there: 404.
    Miss,
    /// It was there, of a stream that has stood still, and the namespace wants that to be told: 404.
    Stale,
    /// An upload was stored.
    Stored,
    /// An upload or a deletion changed nothing, for one that was begun later is in force: 204.
    Superseded,
    /// A deletion was done, whether or not there was something.
    Removed,
    /// A deletion of what the namespace keeps until its TTL: 204.
    Ignored,
    /// The client sent no credentials and was asked for them: 401. Many clients wait for that.
    Challenged,
    /// Its key is no good, or not for this: 401 or 403.
    Denied,
    /// The request can't be met as it was made: the other 4xx, and 501.
    Refused,
    /// There was no room for it at this moment: 503 with `Retry-After`, or 429.
    Busy,
    /// An upload ended before it was whole.
    Broken,
    /// The server's fault: the other 5xx.
    Failed,
    /// The rest: preflights, probes.
    Other,
}

const OUTCOMES: [(Outcome, &str); 17] = [
    (Outcome::Hit, "hit"),
    (Outcome::Growing, "growing"),
    (Outcome::NotModified, "not_modified"),
    (Outcome::Expired, "expired"),
    (Outcome::Miss, "miss"),
    (Outcome::Stale, "stale"),
    (Outcome::Stored, "stored"),
    (Outcome::Superseded, "superseded"),
    (Outcome::Removed, "removed"),
    (Outcome::Ignored, "ignored"),
    (Outcome::Challenged, "challenged"),
    (Outcome::Denied, "denied"),
    (Outcome::Refused, "refused"),
    (Outcome::Busy, "busy"),
    (Outcome::Broken, "broken"),
    (Outcome::Failed, "failed"),
    (Outcome::Other, "other"),
];

/// Upper bounds in microseconds. The fine ones are where reads from memory are, the coarse ones where uploads are: those take as
/// long as their bodies.
const TIME_TO_ANSWER: [u64; 14] =
    [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 250_000, 1_000_000, 2_500_000, 10_000_000, 30_000_000];
/// In bytes: playlists, audio segments, video segments, the object limit.
const SIZE: [u64; 10] = [1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 512 << 10, 1 << 20, 2 << 20, 5 << 20, 10 << 20];
/// In milliseconds. A live playlist is read within a target duration of its writing.
const AGE: [u64; 12] = [500, 1_000, 2_000, 4_000, 6_000, 10_000, 20_000, 30_000, 60_000, 300_000, 3_600_000, 86_400_000];

impl Verb {
    /// The verb of a method's name.
    #[must_use]
    pub fn of(method: &str) -> Self {
        Self(VERBS.iter().position(|known| *known == method).unwrap_or(VERBS.len() - 1))
    }
}

impl Outcome {
    /// Its name, in metrics and in the access log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        OUTCOMES[self as usize].1
    }

    /// Whether it is that of an error, where the status is not known.
    const fn is_error(self) -> bool {
        !matches!(
            self,
            Self::Hit
                | Self::Growing
                | Self::NotModified
                | Self::Stored
                | Self::Superseded
                | Self::Removed
                | Self::Ignored
                | Self::Other
        )
    }
}

/// The traffic of one namespace, or of all requests that name none that is configured.
#[derive(Debug)]
pub struct Traffic {
    name: String,
    /// By verb: a namespace that is only read takes no room for the others.
    requests: [StripedRow; VERBS.len()],
    sent: Striped,
    received: Striped,
}

impl Traffic {
    pub(super) fn new(name: &str) -> Self {
        let requests = std::array::from_fn(|_| StripedRow::new(STATUSES.len() * OUTCOMES.len()));
        Self { name: name.to_owned(), requests, sent: Striped::default(), received: Striped::default() }
    }

    /// The namespace's name; empty for requests without one.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Counts a request; `None` for one that was never answered.
    pub fn count(&self, verb: Verb, status: Option<u16>, outcome: Outcome) {
        let status = status.unwrap_or(0);
        let status = STATUSES.iter().position(|known| *known == status).unwrap_or(STATUSES.len() - 1);
        self.requests[verb.0].mine()[status * OUTCOMES.len() + outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts body bytes handed to a client.
    pub fn count_sent(&self, bytes: u64) {
        self.sent.add(bytes);
    }

    /// Counts body bytes of uploads.
    pub fn count_received(&self, bytes: u64) {
        self.received.add(bytes);
    }

    /// How many requests were answered, and how many of these with an error.
    #[must_use]
    pub fn answered(&self) -> (u64, u64) {
        let (mut all, mut failed) = (0, 0);
        for (index, count) in self.requests.iter().flat_map(|row| row.sums().into_iter().enumerate()) {
            let (status, (outcome, _)) = (STATUSES[index / OUTCOMES.len()], OUTCOMES[index % OUTCOMES.len()]);
            all += count;
            let is_error = if status == OTHER { outcome.is_error() } else { status >= 400 };
            failed += if is_error { count } else { 0 };
        }
        (all, failed)
    }

    /// Body bytes that were sent, and those that came.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        (self.sent.sum(), self.received.sum())
    }

    /// Method, status, outcome and number of what has happened at all.
    pub(super) fn counts(&self) -> impl Iterator<Item = (&'static str, String, &'static str, u64)> {
        VERBS.into_iter().zip(&self.requests).flat_map(|(verb, row)| {
            row.sums().into_iter().enumerate().filter(|(_, count)| *count > 0).map(move |(index, count)| {
                let status = match STATUSES[index / OUTCOMES.len()] {
                    0 => "none".to_owned(),
                    OTHER => "other".to_owned(),
                    number => number.to_string(),
                };
                (verb, status, OUTCOMES[index % OUTCOMES.len()].1, count)
            })
        })
    }
}

/// How requests are spread: over time, size and age.
#[derive(Debug)]
pub(super) struct Spreads {
    time_to_answer: [Histogram; VERBS.len()],
    size: [Histogram; VERBS.len()],
    age: [Histogram; Kind::ALL.len()],
}

impl Spreads {
    pub(super) fn new() -> Self {
        Self {
            time_to_answer: std::array::from_fn(|_| Histogram::new(&TIME_TO_ANSWER)),
            size: std::array::from_fn(|_| Histogram::new(&SIZE)),
            age: std::array::from_fn(|_| Histogram::new(&AGE)),
        }
    }

    pub(super) fn answered(&self, verb: Verb, after: Duration) {
        self.time_to_answer[verb.0].observe(u64::try_from(after.as_micros()).unwrap_or(u64::MAX));
    }

    pub(super) fn size(&self, verb: Verb, bytes: u64) {
        self.size[verb.0].observe(bytes);
    }

    pub(super) fn age(&self, kind: Kind, age: Duration) {
        self.age[kind as usize].observe(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    }

    pub(super) fn times(&self) -> impl Iterator<Item = (&'static str, Spread)> {
        VERBS.into_iter().zip(self.time_to_answer.iter().map(|histogram| histogram.read(1e6)))
    }

    pub(super) fn sizes(&self) -> impl Iterator<Item = (&'static str, Spread)> {
        VERBS.into_iter().zip(self.size.iter().map(|histogram| histogram.read(1.0)))
    }

    pub(super) fn ages(&self) -> impl Iterator<Item = (&'static str, Spread)> {
        Kind::ALL.map(Kind::as_str).into_iter().zip(self.age.iter().map(|histogram| histogram.read(1e3)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_stand_in_their_own_order() {
        for (index, (outcome, name)) in OUTCOMES.into_iter().enumerate() {
            assert_eq!(outcome as usize, index);
            assert_eq!(outcome.as_str(), name);
        }
    }

    #[test]
    fn what_is_on_no_list_is_counted_as_other() {
        let traffic = Traffic::new("live");
        traffic.count(Verb::of("GET"), Some(200), Outcome::Hit);
        traffic.count(Verb::of("BREW"), Some(418), Outcome::Refused);
        traffic.count(Verb::of("brew"), Some(299), Outcome::Refused);
        traffic.count(Verb::of("PUT"), None, Outcome::Stored);
        traffic.count(Verb::of("GET"), Some(302), Outcome::Other);
        traffic.count(Verb::of("GET"), Some(299), Outcome::Other);
        let counts: Vec<_> = traffic.counts().collect();
        let expected = [
            ("GET", "200", "hit", 1),
            ("GET", "302", "other", 1),
            ("GET", "other", "other", 1),
            ("PUT", "none", "stored", 1),
            ("other", "other", "refused", 2),
        ];
        assert_eq!(traffic.answered(), (6, 2), "a viewer who is sent on is no error");
        assert_eq!(counts, expected.map(|(verb, status, outcome, count)| (verb, status.to_owned(), outcome, count)));
    }
}
