//! Telling an encoder that waits to be asked for its credentials from one that never sends any.
//!
//! Many clients send a request without credentials first and repeat it when they are asked (ffmpeg with `user:pass@`, curl
//! --anyauth, GStreamer): a 401 for each upload is their normal life, and a warning for each would bury the ones that matter. An
//! encoder that is asked and never answers is the one that matters: AWS Elemental MediaLive with the wrong CDN settings looks
//! just like that. So each question is remembered for a while, with the object it was asked for, and those that stay open are
//! counted.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;

use crate::model::clock::{Clock, Moment};
use crate::model::id::ObjectId;
use crate::web::record::redact;

/// How long an honest client takes to answer, at most.
const ANSWER_TIME: Duration = Duration::from_secs(2);
/// How long a question is remembered.
const FORGET: Duration = Duration::from_secs(60);
/// How many questions without an answer make a warning.
const PATIENCE: usize = 3;
/// How long no further warning follows one.
const QUIET: Duration = Duration::from_secs(30);
/// How many clients are remembered, and how many questions of each.
const CLIENTS: usize = 1024;
const QUESTIONS: usize = 32;

/// Who has been asked for credentials, for what, and has not answered.
#[derive(Debug)]
pub(in crate::web) struct Challenges {
    clock: Clock,
    clients: Mutex<HashMap<IpAddr, ProbingClient>>,
}

#[derive(Debug, Default)]
struct ProbingClient {
    open: Vec<(ObjectId, Moment)>,
    warned: Option<Moment>,
}

impl Challenges {
    pub(in crate::web) fn new(clock: Clock) -> Self {
        Self { clock, clients: Mutex::default() }
    }

    /// A client was asked; warns when it is one that does not answer.
    pub(in crate::web) fn asked(&self, client: IpAddr, object: &ObjectId) {
        if let Some(unanswered) = self.note(client, object) {
            let (namespace, key) = (&object.namespace, redact::name(object.key.as_str()));
            tracing::warn!(
                %client, %namespace, %key, unanswered,
                "uploads like this one keep coming without credentials and are all refused: in AWS Elemental MediaLive set CDN settings to HLS Akamai \
                 and enter the encoder key as the password; with ffmpeg give -headers 'Authorization: Bearer KEY'"
            );
        }
    }

    /// The number of unanswered questions, when it is time for a warning.
    fn note(&self, address: IpAddr, object: &ObjectId) -> Option<usize> {
        let now = self.clock.now();
        let mut clients = self.clients.lock();
        if clients.len() >= CLIENTS && !clients.contains_key(&address) {
            clients.clear();
        }
        let client = clients.entry(address).or_default();
        // The first time counts: an encoder may ask for the same playlist again and again.
        if !client.open.iter().any(|(asked, _)| asked == object) {
            client.open.retain(|(_, asked)| now.since(*asked) < FORGET);
            // Full of open questions: it is known well enough.
            if client.open.len() < QUESTIONS {
                client.open.push((object.clone(), now));
            }
        }
        let unanswered = client.open.iter().filter(|(_, asked)| now.since(*asked) >= ANSWER_TIME).count();
        let quiet = client.warned.is_some_and(|warned| now.since(warned) < QUIET);
        if unanswered < PATIENCE || quiet {
            return None;
        }
        client.warned = Some(now);
        Some(unanswered)
    }

    /// A client sent good credentials for an object.
    pub(in crate::web) fn answered(&self, client: IpAddr, object: &ObjectId) {
        if let Some(client) = self.clients.lock().get_mut(&client) {
            client.open.retain(|(asked, _)| asked != object);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{Key, Namespace};

    fn object(number: u32) -> ObjectId {
        ObjectId { namespace: Namespace::parse("live").unwrap(), key: Key::parse(&format!("{number}.ts")).unwrap() }
    }

    #[test]
    fn only_a_client_that_does_not_answer_is_reported_and_not_too_often() {
        let clock = Clock::manual();
        let challenges = Challenges::new(clock.clone());
        // Behind the same proxy: one that answers, and one that does not.
        let address = IpAddr::from([10, 0, 0, 1]);
        let mut reports = Vec::new();
        for second in 0..60 {
            reports.extend(challenges.note(address, &object(2 * second)));
            challenges.answered(address, &object(2 * second));
            if second >= 20 {
                reports.extend(challenges.note(address, &object(2 * second + 1)));
            }
            clock.advance(Duration::from_secs(1));
        }
        assert_eq!(reports.len(), 2, "{reports:?}");
        assert_eq!(reports[0], PATIENCE);
    }

    #[test]
    fn memory_is_bounded() {
        let challenges = Challenges::new(Clock::manual());
        for number in 0..10_000u32 {
            challenges.note(IpAddr::from((number % 3000).to_be_bytes()), &object(number));
            challenges.note(IpAddr::from([10, 0, 0, 1]), &object(number));
        }
        let clients = challenges.clients.lock();
        assert!(clients.len() <= CLIENTS);
        assert!(clients.values().all(|client| client.open.len() <= QUESTIONS));
    }
}
