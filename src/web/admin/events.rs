//! What has happened to streams, for those who look after them: a list, and a stream of server-sent events (WHATWG HTML 9.2) that goes on
//! where a client left off.
//!
//! An event's id is the process's and a number in it, so that a client that comes back after a restart is told that it missed something
//! (`reset`). Invariants: who reads slowly is not waited for; what he misses he is told of. So many are remembered, and of the namespace that
//! has most the oldest makes room, so that no other's are forgotten for it; and so many listen at
//! once. A listener ends with the server, and holds up no drain; and within a second or two with his connection, and with the key or the session
//! that he came with.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::about::of_nodes;
use super::orders::{QueryWord, SCOPE};
use super::schema::Schemas;
use super::visitor::Visitor;
use super::{Admin, Inner};
use crate::auth::signing::random_id;
use crate::origin::Event;
use crate::web::exchange::Exchange;
use crate::web::problem::Problem;
use crate::web::problem::code::Code;
use crate::web::record::Record;

/// How many are remembered.
pub const REMEMBERED: usize = 2000;
/// How many may listen at once.
const LISTENERS: usize = 64;
/// How often a listener is told the figures, which shows him that the connection holds.
const EVERY: Duration = Duration::from_secs(1);
/// What a list of events is narrowed by.
pub(super) const WORDS: [QueryWord; 7] = [
    QueryWord::text("namespace", "only in this one"),
    QueryWord::text("stream", "only of this one, by its key"),
    QueryWord::truth("trouble", "only what an operator should look at"),
    QueryWord::text("since", "only from this moment on, RFC 3339 or seconds since 1970"),
    QueryWord::text("until", "only before this moment"),
    QueryWord::number("limit", "how many, 1 to 2000; 200 when it is not said"),
    SCOPE,
];
/// What shows that the connection holds, where there is nothing to be told.
const STILL_HERE: Bytes = Bytes::from_static(b": still here\n\n");
/// How long a client waits before it comes back.
const RETRY: &str = "retry: 2000\n\n";

/// The events.
#[derive(Debug)]
pub struct EventRing {
    process: String,
    ring: Mutex<KeptEvents>,
    news: watch::Sender<u64>,
    listeners: AtomicUsize,
}

#[derive(Debug, Default)]
struct KeptEvents {
    /// With their numbers; those from before this process have 0.
    events: VecDeque<(u64, Value)>,
    /// How many there are of each namespace.
    counts: HashMap<String, usize>,
    last: u64,
    /// The number of the newest one that is forgotten.
    forgotten: u64,
}

impl KeptEvents {
    /// Keeps one, and forgets one where there are too many.
    fn keep(&mut self, number: u64, event: Value) {
        *self.counts.entry(namespace_of(&event).to_owned()).or_default() += 1;
        self.events.push_back((number, event));
        if self.events.len() <= REMEMBERED {
            return;
        }
        // Of several that have most, the one whose oldest is older than theirs.
        let most = self.counts.values().copied().max().unwrap_or_default();
        let has_most = |(_, event): &(u64, Value)| self.counts.get(namespace_of(event)) == Some(&most);
        let Some((number, event)) = self.events.iter().position(has_most).and_then(|place| self.events.remove(place)) else {
            return;
        };
        self.forgotten = self.forgotten.max(number);
        let namespace = namespace_of(&event);
        if most == 1 {
            self.counts.remove(namespace);
        } else {
            self.counts.insert(namespace.to_owned(), most - 1);
        }
    }
}

fn namespace_of(event: &Value) -> &str {
    event["namespace"].as_str().unwrap_or_default()
}

impl Default for EventRing {
    fn default() -> Self {
        Self { process: random_id(), ring: Mutex::default(), news: watch::Sender::new(0), listeners: AtomicUsize::new(0) }
    }
}

impl EventRing {
    /// Takes up what was written down by a process before, oldest first.
    pub fn remember(&self, events: impl IntoIterator<Item = Value>) {
        let mut ring = self.ring.lock();
        events.into_iter().for_each(|event| ring.keep(0, event));
    }

    /// Something has happened.
    pub fn tell(&self, event: &Event) {
        let last = {
            let mut ring = self.ring.lock();
            ring.last += 1;
            let last = ring.last;
            ring.keep(last, json!(event));
            last
        };
        self.news.send_replace(last);
    }

    /// The last ones, newest first.
    pub(super) fn last(&self, limit: usize, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        let ring = self.ring.lock();
        ring.events.iter().rev().map(|(_, event)| event).filter(|event| wanted(event)).take(limit).cloned().collect()
    }

    /// Those behind a number, and whether some between are forgotten.
    fn behind(&self, number: u64) -> (Vec<(u64, Value)>, bool) {
        let ring = self.ring.lock();
        (ring.events.iter().filter(|(at, _)| *at > number).cloned().collect(), ring.forgotten > number)
    }
}

/// What a list of events looks like.
pub(super) fn list_schema(all: &mut Schemas) -> Value {
    let item = all.named("Event", |_| {
        json!({
            "type": "object",
            "description": "Something that happened to a stream; docs/metrics.md explains each.",
            "required": ["time", "namespace", "stream", "event", "trouble", "detail"],
            "properties": {
                "time": { "type": "string" }, "namespace": { "type": "string" }, "stream": { "type": "string" },
                "playlist": { "type": "string" }, "event": { "type": "string" }, "trouble": { "type": "boolean" },
                "detail": { "type": "string" },
            },
        })
    });
    of_nodes(json!({ "type": "object", "required": ["events"], "properties": { "events": { "type": "array", "items": item } } }))
}

/// Whether this visitor may know of it.
pub(super) fn is_seen(event: &Value, visitor: &Visitor) -> bool {
    let sees = |namespace: &str| {
        let keys = ["stream", "playlist"].map(|field| event[field].as_str());
        visitor.oversees(namespace) && keys.into_iter().flatten().all(|key| visitor.oversees_key(namespace, key))
    };
    event["namespace"].as_str().is_some_and(sees)
}

/// One who listens.
struct EventListener {
    admin: Admin,
    visitor: Visitor,
    /// What the client came with: there the session's cookie is.
    headers: HeaderMap,
    record: Arc<Record>,
    news: watch::Receiver<u64>,
    figures: watch::Receiver<Bytes>,
    told: u64,
    /// What is to be said first.
    first: Option<String>,
}

impl Drop for EventListener {
    fn drop(&mut self) {
        self.admin.inner.events.listeners.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Begins to tell what happens from now on, or from behind what the client says that it had.
pub(super) fn listen(admin: &Admin, visitor: Visitor, exchange: &Exchange<'_>) -> Result<Response, Problem> {
    let headers = &exchange.parts.headers;
    let Inner { events, figures, web, .. } = &*admin.inner;
    if events.listeners.fetch_add(1, Ordering::Relaxed) >= LISTENERS {
        events.listeners.fetch_sub(1, Ordering::Relaxed);
        let detail = "64 listen to events already: close some of the consoles that are open, or ask /v1/events now and then";
        return Err(Problem::new(Code::TooManyHeld, detail));
    }
    let had = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let (process, number) = had.and_then(|id| id.rsplit_once('-')).unwrap_or_default();
    let now = *events.news.borrow();
    let (told, is_reset) = match number.parse() {
        Ok(number) if process == events.process && !events.behind(number).1 => (number, false),
        _ => (now, had.is_some()),
    };
    let hello = json!({
        "process": events.process,
        "time": web.inner.origin.clock().wall().to_string(),
        "role": visitor.grant().map(|grant| grant.role.as_str()),
    });
    // With an id at once: a connection that breaks before anything happens is gone on with from here, too.
    let mut first = format!("{RETRY}id: {}-{told}\nevent: hello\ndata: {hello}\n\n", events.process);
    if is_reset {
        first.push_str("event: reset\ndata: {}\n\n");
    }
    let listener = EventListener {
        admin: admin.clone(),
        visitor,
        headers: headers.clone(),
        record: Arc::clone(&exchange.context.record),
        news: events.news.subscribe(),
        figures: figures.subscribe(),
        told,
        first: Some(first),
    };
    let stream = futures_util::stream::unfold(listener, |mut listener| async move {
        let text = listener.next().await?;
        Some((Ok::<_, Infallible>(text), listener))
    });
    let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")];
    let mut response = (headers, Body::from_stream(stream)).into_response();
    // A proxy that gathers what passes through it would hold it back.
    response.headers_mut().insert("x-accel-buffering", axum::http::HeaderValue::from_static("no"));
    Ok(response)
}

impl EventListener {
    /// What is to be told next; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(first.into());
        }
        let inner = Arc::clone(&self.admin.inner);
        let ring = &inner.events;
        loop {
            let (events, has_hole) = ring.behind(self.told);
            let mut text = String::new();
            if has_hole {
                text.push_str("event: reset\ndata: {}\n\n");
            }
            if let Some((last, _)) = events.last() {
                self.told = *last;
            }
            for (number, event) in events {
                if is_seen(&event, &self.visitor) {
                    text.push_str(&format!("id: {}-{number}\nevent: event\ndata: {event}\n\n", ring.process));
                }
            }
            if !text.is_empty() {
                return Some(text.into());
            }
            tokio::select! {
                () = inner.stop.cancelled() => return None,
                () = tokio::time::sleep(EVERY * 30) => return Some(STILL_HERE),
                changed = self.news.changed() => changed.ok()?,
                changed = self.figures.changed() => {
                    changed.ok()?;
                    let figures = self.figures.borrow_and_update().clone();
                    if !self.is_good() {
                        return None;
                    }
                    if self.visitor.sees_all() {
                        return Some(figures);
                    }
                    return Some(STILL_HERE);
                }
            }
        }
    }

    /// Whether he is there and may go on: what can't be written any more is passed over on the way of an answer, for an upload may still be
    /// read there, and this answer has no end by which it would be found out; and a key that was revoked or is over, and a session that has ended, end what was begun with them.
    fn is_good(&self) -> bool {
        let Inner { web, sessions, .. } = &*self.admin.inner;
        if self.record.is_nobody_there() {
            return false;
        }
        match &self.visitor {
            Visitor::Anybody => true,
            Visitor::Holder(grant) => {
                let is_over = grant.ends.is_some_and(|end| end <= web.inner.origin.clock().wall());
                !is_over && !web.inner.verifier.is_revoked(&grant.key_id)
            }
            Visitor::SignedIn(_) => sessions.holds(&self.headers, &web.inner.verifier),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::EventKind;

    fn event(detail: &str) -> Event {
        event_in("n", detail)
    }

    fn event_in(namespace: &str, detail: &str) -> Event {
        Event {
            time: String::new(),
            namespace: namespace.to_owned(),
            stream: "s".to_owned(),
            playlist: None,
            event: "late",
            trouble: true,
            detail: detail.to_owned(),
            kind: EventKind::ALL[0],
        }
    }

    #[test]
    fn who_comes_back_has_what_came_meanwhile_or_is_told_that_he_has_not() {
        let events = EventRing::default();
        events.remember([json!({ "namespace": "n", "detail": "before" })]);
        assert!(!events.behind(0).1, "nothing was missed of this process");
        for number in 0..3 {
            events.tell(&event(&number.to_string()));
        }
        let (behind, has_hole) = events.behind(1);
        assert!(!has_hole);
        assert_eq!(behind.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(events.last(10, |_| true).len(), 4);
        for number in 0..REMEMBERED {
            events.tell(&event(&number.to_string()));
        }
        assert!(events.behind(1).1 && !events.behind(3).1, "what is forgotten is a hole");
        assert_eq!(events.last(1, |event| event["detail"] == "7").len(), 1);
    }

    #[test]
    fn a_namespace_with_many_makes_no_other_forget_its_own() {
        let events = EventRing::default();
        events.tell(&event_in("quiet", "first"));
        for number in 0..3 * REMEMBERED {
            events.tell(&event_in("loud", &number.to_string()));
        }
        let of = |namespace: &str| events.last(REMEMBERED, |event| event["namespace"] == namespace).len();
        assert_eq!((of("quiet"), of("loud")), (1, REMEMBERED - 1));
        for number in 0..REMEMBERED {
            events.tell(&event_in("third", &number.to_string()));
        }
        assert_eq!((of("quiet"), of("loud"), of("third")), (1, REMEMBERED / 2 - 1, REMEMBERED / 2));
        assert_eq!(events.last(1, |_| true)[0]["detail"], (REMEMBERED - 1).to_string(), "the newest is there");
    }
}
