//! The encoders' black box: what each ingest client sent first, and what of it was refused lately, headers and all.
//!
//! Encoders hide refusals, and vendors do not write down what their encoders send. A client is a peer's address and a user
//! agent; but behind one address several encoders may have the same, so what is refused is judged by its folder, too. Everything is masked before it is kept ([`redact`]), and everything is bounded: clients, records, bytes of a record. When a
//! new client needs a place, one that has never had an upload accepted goes first, the longest silent one of those: a flood of
//! invented clients can't push out an encoder.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;

use axum::http::header::USER_AGENT;
use axum::http::request::Parts;
use parking_lot::Mutex;
use serde::Serialize;

use super::cut;
use super::unread::UnreadConnections;
use crate::model::clock::{Clock, WallTime};
use crate::web::problem::Problem;
use crate::web::problem::code::Code;
use crate::web::record::redact;

/// How many clients are remembered.
const CLIENTS: usize = 128;
/// How many folders are remembered of each.
const FOLDERS: usize = 64;
/// How many refusals of each, and how many for one reason: what comes all the time does not push out what came once.
const REFUSALS: usize = 12;
const ALIKE: usize = 4;
/// How much of a request is kept: headers, bytes of each value, and bytes of the path and query.
const HEADERS: usize = 48;
const VALUE: usize = 256;
const TARGET: usize = 1024;

/// What is known of ingest clients.
#[derive(Debug)]
pub(in crate::web) struct BlackBox {
    clock: Clock,
    /// Of refusals that are alike the newest stands for all, whatever the reason: readers ask for the same again and again.
    is_of_readers: bool,
    hasher: RandomState,
    clients: Mutex<HashMap<u64, RefusedClient>>,
}

#[derive(Debug)]
struct RefusedClient {
    peer: IpAddr,
    user_agent: String,
    first_seen: WallTime,
    last_seen: WallTime,
    accepted: u64,
    refused: u64,
    first_request: Sent,
    first_accepted: Option<Sent>,
    /// The folders in which an upload was accepted, and when last; the newest last.
    accepted_in: Vec<(UploadFolder, WallTime)>,
    /// Newest first.
    refusals: VecDeque<KeptRefusal>,
}

/// A request as it came, secrets hidden.
#[derive(Clone, Debug, Serialize)]
struct Sent {
    time: String,
    method: String,
    target: String,
    version: String,
    headers: Vec<(String, String)>,
}

/// Whose request it was, and for what.
#[derive(Clone, Copy, Debug)]
pub(in crate::web) struct Whose<'a> {
    pub(in crate::web) peer: IpAddr,
    pub(in crate::web) request_id: &'a str,
    pub(in crate::web) namespace: &'a str,
    pub(in crate::web) key: &'a str,
    pub(in crate::web) key_id: &'a str,
}

/// A namespace and what the keys of a folder begin with, as a hash.
type UploadFolder = u64;

#[derive(Clone, Debug)]
struct KeptRefusal {
    sent: Sent,
    at: WallTime,
    folder: UploadFolder,
    namespace: String,
    key: String,
    key_id: String,
    code: Code,
    detail: String,
    reason: Option<String>,
    request_id: String,
    received: Option<u64>,
    times: u64,
}

#[derive(Serialize)]
struct ClientReport {
    peer: IpAddr,
    user_agent: String,
    first_seen: String,
    last_seen: String,
    accepted: u64,
    refused: u64,
    first_request: Sent,
    first_accepted: Option<Sent>,
}

#[derive(Serialize)]
struct RefusalReport {
    peer: IpAddr,
    user_agent: String,
    status: u16,
    code: &'static str,
    advice: &'static str,
    namespace: String,
    key: String,
    key_id: String,
    detail: String,
    reason: Option<String>,
    request_id: String,
    bytes_received: Option<u64>,
    times: u64,
    request: Sent,
}

impl BlackBox {
    pub(in crate::web) fn new(clock: Clock) -> Self {
        Self { clock, is_of_readers: false, hasher: RandomState::new(), clients: Mutex::default() }
    }

    /// The same for readers who are not let in.
    pub(in crate::web) fn of_readers(clock: Clock) -> Self {
        Self { is_of_readers: true, ..Self::new(clock) }
    }

    /// A write was let in.
    pub(in crate::web) fn accepted(&self, peer: IpAddr, namespace: &str, key: &str, parts: &Parts) {
        let now = self.clock.wall();
        let folder = self.folder(namespace, key);
        self.with_client(peer, parts, now, |client| {
            client.accepted += 1;
            client.accepted_in.retain(|(known, _)| *known != folder);
            if client.accepted_in.len() >= FOLDERS {
                client.accepted_in.remove(0);
            }
            client.accepted_in.push((folder, now));
            if client.first_accepted.is_none() {
                client.first_accepted = Some(Sent::of(parts, now));
            }
        });
    }

    fn folder(&self, namespace: &str, key: &str) -> UploadFolder {
        self.hasher.hash_one((namespace, key.rsplit_once('/').map_or("", |(folder, _)| folder)))
    }

    /// A request was refused, or failed.
    pub(in crate::web) fn refused(&self, whose: &Whose<'_>, parts: &Parts, problem: &Problem, received: Option<u64>) {
        let at = self.clock.wall();
        let sent = Sent::of(parts, at);
        let folder = self.folder(whose.namespace, whose.key);
        let shown = |text: &str| cut(redact::name(text).into_owned(), VALUE);
        let (namespace, key, key_id) = (shown(whose.namespace), shown(whose.key), whose.key_id.to_owned());
        self.with_client(whose.peer, parts, at, |client| {
            client.refused += 1;
            // Questions for credentials are many and all alike in a folder: the newest stands for them, so that the rest has room.
            let alike = |old: &KeptRefusal| {
                (self.is_of_readers || problem.code == Code::NoCredentials) && old.code == problem.code && old.folder == folder
            };
            let times = match client.refusals.iter().position(alike) {
                Some(index) => client.refusals.remove(index).map_or(0, |old| old.times),
                None => 0,
            };
            let same = client.refusals.iter().enumerate().filter(|(_, old)| old.code == problem.code).map(|(index, _)| index);
            if let Some(oldest) = same.skip(ALIKE - 1).last() {
                client.refusals.remove(oldest);
            }
            client.refusals.truncate(REFUSALS - 1);
            client.refusals.push_front(KeptRefusal {
                sent,
                at,
                folder,
                namespace,
                key,
                key_id,
                code: problem.code,
                detail: problem.detail.to_string(),
                reason: problem.inner.as_ref().map(ToString::to_string),
                request_id: whose.request_id.to_owned(),
                received,
                times: times + 1,
            });
        });
    }

    fn with_client(&self, peer: IpAddr, parts: &Parts, now: WallTime, change: impl FnOnce(&mut RefusedClient)) {
        let user_agent = parts.headers.get(USER_AGENT).map_or(&b""[..], |agent| agent.as_bytes());
        let name = self.hasher.hash_one((peer, user_agent));
        let mut clients = self.clients.lock();
        if !clients.contains_key(&name) && clients.len() >= CLIENTS {
            let least = clients.iter().min_by_key(|(_, client)| (client.accepted > 0, client.last_seen)).map(|(name, _)| *name);
            least.map(|name| clients.remove(&name));
        }
        let client = clients.entry(name).or_insert_with(|| RefusedClient {
            peer,
            user_agent: cut(redact::header(&USER_AGENT, user_agent), VALUE),
            first_seen: now,
            last_seen: now,
            accepted: 0,
            refused: 0,
            first_request: Sent::of(parts, now),
            first_accepted: None,
            accepted_in: Vec::new(),
            refusals: VecDeque::new(),
        });
        client.last_seen = now;
        change(client);
    }

    /// How many kinds of refusals are remembered.
    pub(in crate::web) fn refusals(&self) -> usize {
        self.clients.lock().values().map(|client| client.refusals.len()).sum()
    }

    /// All refusals that are kept here and there, newest first, and what was no request, as JSON.
    pub(in crate::web) fn rejected_json(&self, readers: &Self, unread: &UnreadConnections) -> Vec<u8> {
        let mut shown = Vec::new();
        for client in self.clients.lock().values().chain(readers.clients.lock().values()) {
            for refused in client.refusals.iter().cloned() {
                let line = RefusalReport {
                    peer: client.peer,
                    user_agent: client.user_agent.clone(),
                    status: refused.code.status().as_u16(),
                    code: refused.code.name(),
                    advice: advice(
                        refused.code,
                        client.accepted_in.iter().any(|(folder, last)| *folder == refused.folder && *last >= refused.at),
                    ),
                    namespace: refused.namespace,
                    key: refused.key,
                    key_id: refused.key_id,
                    detail: refused.detail,
                    reason: refused.reason,
                    request_id: refused.request_id,
                    bytes_received: refused.received,
                    times: refused.times,
                    request: refused.sent,
                };
                shown.push((refused.at, line));
            }
        }
        shown.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        let shown: Vec<_> = shown.into_iter().map(|(_, line)| line).collect();
        serde_json::to_vec_pretty(&serde_json::json!({ "rejected": shown, "unread": unread.report() })).unwrap_or_default()
    }

    /// All clients that are remembered, the last one heard of first, as JSON.
    pub(in crate::web) fn clients_json(&self) -> Vec<u8> {
        let mut shown: Vec<(WallTime, ClientReport)> = Vec::new();
        for client in self.clients.lock().values() {
            let line = ClientReport {
                peer: client.peer,
                user_agent: client.user_agent.clone(),
                first_seen: client.first_seen.to_string(),
                last_seen: client.last_seen.to_string(),
                accepted: client.accepted,
                refused: client.refused,
                first_request: client.first_request.clone(),
                first_accepted: client.first_accepted.clone(),
            };
            shown.push((client.last_seen, line));
        }
        shown.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        let shown: Vec<_> = shown.into_iter().map(|(_, line)| line).collect();
        serde_json::to_vec_pretty(&serde_json::json!({ "clients": shown })).unwrap_or_default()
    }
}

impl Sent {
    fn of(parts: &Parts, at: WallTime) -> Self {
        let headers = parts.headers.iter().take(HEADERS);
        Self {
            time: at.to_string(),
            method: cut(redact::name(parts.method.as_str()).into_owned(), VALUE),
            target: cut(redact::target(&parts.uri), TARGET),
            version: format!("{:?}", parts.version),
            headers: headers.map(|(name, value)| show(name, value.as_bytes())).collect(),
        }
    }
}

/// The code's advice; but of a question for credentials, when `succeeds`: the same client has had an upload accepted since.
fn advice(code: Code, succeeds: bool) -> &'static str {
    if code == Code::NoCredentials && succeeds {
        return "Nothing to do: this client asks first and sends its key when it is asked (ffmpeg with user:pass@ in the URL, GStreamer \
                and curl --anyauth do), and its uploads are accepted.";
    }
    code.advice()
}

/// Masked first and cut after that: half a key would not be known for one.
fn show(name: &axum::http::HeaderName, value: &[u8]) -> (String, String) {
    (cut(redact::name(name.as_str()).into_owned(), VALUE), cut(redact::header(name, value), VALUE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;
    use std::time::Duration;

    fn parts(agent: &str, path: &str) -> Parts {
        let request = Request::put(path).header("User-Agent", agent).header("Authorization", "Bearer secret").body(());
        request.unwrap().into_parts().0
    }

    fn whose(peer: IpAddr, key: &str) -> Whose<'_> {
        Whose { peer, request_id: "id", namespace: "live", key, key_id: "" }
    }

    fn read(json: &[u8], name: &str) -> Vec<serde_json::Value> {
        serde_json::from_slice::<serde_json::Value>(json).unwrap()[name].as_array().unwrap().clone()
    }

    fn unread() -> UnreadConnections {
        UnreadConnections::new(Clock::manual())
    }

    #[test]
    fn refusals_are_kept_newest_first_and_questions_once() {
        let clock = Clock::manual();
        let black_box = BlackBox::new(clock.clone());
        let peer = IpAddr::from([10, 0, 0, 1]);
        let question = || Problem::new(Code::NoCredentials, "who are you?");
        for n in 0..20 {
            clock.advance(Duration::from_secs(1));
            black_box.refused(&whose(peer, "a.ts"), &parts("encoder", &format!("/cache/live/{n}.ts")), &question(), None);
            black_box.refused(
                &whose(peer, "a"),
                &parts("encoder", &format!("/cache/live/{n}")),
                &Problem::bad_request("no"),
                Some(7),
            );
        }
        let rejected = read(&black_box.rejected_json(&BlackBox::new(clock.clone()), &unread()), "rejected");
        assert_eq!(rejected.len(), 1 + ALIKE);
        let questions: Vec<_> = rejected.iter().filter(|line| line["code"] == "no-credentials").collect();
        assert_eq!((questions.len(), &questions[0]["times"]), (1, &serde_json::json!(20)));
        assert_eq!(questions[0]["request"]["target"], "/cache/live/19.ts");
        assert!(questions[0]["advice"].as_str().unwrap().contains("HLS Akamai"));
        let times: Vec<_> = rejected.iter().map(|line| line["request"]["time"].as_str().unwrap()).collect();
        assert!(times.is_sorted_by(|one, other| one >= other), "{times:?}");

        black_box.accepted(peer, "live", "a.ts", &parts("encoder", "/cache/live/a.ts"));
        let rejected = black_box.rejected_json(&BlackBox::new(clock.clone()), &unread());
        assert!(String::from_utf8_lossy(&rejected).contains("Nothing to do"), "a question that is answered is no trouble");
        assert!(!String::from_utf8_lossy(&rejected).contains("secret"));
    }

    #[test]
    fn what_comes_all_the_time_does_not_push_out_what_came_once() {
        let clock = Clock::manual();
        let black_box = BlackBox::new(clock.clone());
        let peer = IpAddr::from([10, 0, 0, 1]);
        let refuse = |code: Code| {
            clock.advance(Duration::from_secs(1));
            black_box.refused(&whose(peer, "a.ts"), &parts("encoder", "/cache/live/a.ts"), &Problem::new(code, "no"), None);
        };
        refuse(Code::TransferCoding);
        for _ in 0..100 {
            refuse(Code::TooLarge);
        }
        refuse(Code::BadRequest);
        let rejected = read(&black_box.rejected_json(&BlackBox::new(clock.clone()), &unread()), "rejected");
        let codes: Vec<&str> = rejected.iter().map(|line| line["code"].as_str().unwrap()).collect();
        let [often, first, last] = [Code::TooLarge, Code::TransferCoding, Code::BadRequest].map(Code::name);
        assert_eq!(codes, [&[last][..], &[often; ALIKE], &[first]].concat());
    }

    #[test]
    fn encoders_behind_one_address_are_told_apart_by_their_folders() {
        let clock = Clock::manual();
        let black_box = BlackBox::new(clock.clone());
        let peer = IpAddr::from([10, 0, 0, 1]);
        let question = || Problem::new(Code::NoCredentials, "who are you?");
        for _ in 0..8 {
            for key in ["silent/1.ts", "good/1.ts"] {
                black_box.refused(&whose(peer, key), &parts("Lavf", &format!("/cache/live/{key}")), &question(), None);
            }
            black_box.accepted(peer, "live", "good/1.ts", &parts("Lavf", "/cache/live/good/1.ts"));
        }
        let rejected = read(&black_box.rejected_json(&BlackBox::new(clock.clone()), &unread()), "rejected");
        assert_eq!(rejected.len(), 2);
        for line in rejected {
            let settled = line["advice"].as_str().unwrap().starts_with("Nothing to do");
            assert_eq!((settled, &line["times"]), (line["key"] == "good/1.ts", &serde_json::json!(8)), "{line}");
        }
    }

    #[test]
    fn memory_is_bounded_and_a_flood_does_not_push_out_an_encoder() {
        let clock = Clock::manual();
        let black_box = BlackBox::new(clock.clone());
        black_box.accepted(IpAddr::from([10, 0, 0, 1]), "live", "a.ts", &parts("AWS Elemental MediaLive", "/cache/live/a.ts"));
        for n in 0..10_000u32 {
            clock.advance(Duration::from_millis(1));
            let long = format!("/cache/live/{}?{}", "x".repeat(3000), "y z ".repeat(3).replace(' ', "+"));
            let flood = parts(&format!("invented {n}"), &long);
            black_box.refused(&whose(IpAddr::from(n.to_be_bytes()), "x"), &flood, &Problem::bad_request("no"), None);
        }
        let clients = read(&black_box.clients_json(), "clients");
        assert_eq!(clients.len(), CLIENTS);
        let encoder = clients.iter().find(|client| client["user_agent"] == "AWS Elemental MediaLive").unwrap();
        assert_eq!(encoder["first_accepted"]["method"], "PUT");
        assert!(black_box.rejected_json(&BlackBox::new(clock.clone()), &unread()).len() < CLIENTS * 4096);
    }
}
