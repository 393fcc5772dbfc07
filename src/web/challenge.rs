//! Telling an encoder that waits to be asked for its credentials from one that never sends any.
//!
//! Many clients send a request without credentials first and repeat it when they are asked (ffmpeg with `user:pass@`, curl
//! --anyauth, GStreamer): a 401 for each upload is their normal life, and a warning for each would bury the ones that matter. An
//! encoder that is asked again and again and never answers is the one that matters: AWS Elemental MediaLive with the wrong
//! CDN settings looks just like that.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;

use crate::model::clock::{Clock, Moment};

/// How many uploads without credentials in a row, none with, make a warning.
const PATIENCE: u32 = 4;
/// How long no further warning follows one.
const QUIET: Duration = Duration::from_secs(30);
/// How many clients are remembered.
const MEMORY: usize = 1024;

/// Who has been asked for credentials and has not answered.
#[derive(Debug)]
pub(super) struct Challenges {
    clock: Clock,
    open: Mutex<HashMap<IpAddr, Open>>,
}

#[derive(Debug)]
struct Open {
    unanswered: u32,
    warned: Option<Moment>,
}

impl Challenges {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, open: Mutex::default() }
    }

    /// A client was asked; warns when it is one that never answers.
    pub(super) fn asked(&self, client: IpAddr) {
        if let Some(uploads) = self.note(client) {
            tracing::warn!(
                %client,
                uploads,
                "uploads keep coming without credentials and are all refused: in AWS Elemental MediaLive set CDN settings to HLS Akamai \
                 and enter the encoder key as the password; with ffmpeg give -headers 'Authorization: Bearer KEY'"
            );
        }
    }

    /// The number of unanswered questions, when it is time for a warning.
    fn note(&self, client: IpAddr) -> Option<u32> {
        let now = self.clock.now();
        let mut all = self.open.lock();
        if all.len() >= MEMORY && !all.contains_key(&client) {
            all.clear();
        }
        let open = all.entry(client).or_insert(Open { unanswered: 0, warned: None });
        open.unanswered = open.unanswered.saturating_add(1);
        let quiet = open.warned.is_some_and(|warned| now.since(warned) < QUIET);
        if open.unanswered < PATIENCE || quiet {
            return None;
        }
        open.warned = Some(now);
        Some(open.unanswered)
    }

    /// A client sent good credentials.
    pub(super) fn answered(&self, client: IpAddr) {
        self.open.lock().remove(&client);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_client_that_never_answers_is_reported_and_not_too_often() {
        let clock = Clock::manual();
        let challenges = Challenges::new(clock.clone());
        let (silent, shy) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        for _ in 0..50 {
            assert_eq!(challenges.note(shy), None);
            challenges.answered(shy);
        }
        let reports: Vec<u32> = (0..50).filter_map(|_| challenges.note(silent)).collect();
        assert_eq!(reports, [PATIENCE]);
        clock.advance(QUIET);
        assert_eq!(challenges.note(silent), Some(51));
    }

    #[test]
    fn memory_is_bounded() {
        let challenges = Challenges::new(Clock::manual());
        for n in 0..10_000u32 {
            challenges.note(IpAddr::from(n.to_be_bytes()));
        }
        assert!(challenges.open.lock().len() <= MEMORY);
    }
}
