//! What is told of a stream: once, when it changes.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;

use crate::model::clock::{Moment, Now};
use crate::model::event::EventKind;
use crate::model::id::{Key, Namespace};

/// The same thing of the same playlist is told again after this at the earliest; it is counted each time.
const QUIET: Duration = Duration::from_secs(30);
/// Events that nobody has fetched yet; more are counted and not told.
const WAITING: usize = 1024;

/// Something an operator may want to know.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// When, RFC 3339.
    pub time: String,
    /// The namespace.
    pub namespace: String,
    /// The stream: the key of its multivariant playlist or MPD, or of a lone media playlist.
    pub stream: String,
    /// The playlist it is about, where that is not the stream's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub playlist: Option<String>,
    /// What.
    pub event: &'static str,
    /// Whether an operator should look.
    pub trouble: bool,
    /// In words, and what to do.
    pub detail: String,
    /// What it is counted as.
    #[serde(skip)]
    pub kind: EventKind,
}

/// What has happened and was not told yet.
#[derive(Debug, Default)]
pub(super) struct Events {
    waiting: Vec<Event>,
    counted: Vec<EventKind>,
    told: HashMap<(Key, EventKind), Moment>,
}

impl Events {
    /// Counts an event and has it told, unless the same has just been told.
    pub(super) fn tell(&mut self, now: Now, at: &EventSubject<'_>, kind: EventKind, detail: String) {
        if now.is_past {
            return;
        }
        self.counted.push(kind);
        let of = (at.playlist.clone(), kind);
        let just_told = self.told.get(&of).is_some_and(|told| now.moment.since(*told) < QUIET);
        if just_told || !self.have_room() {
            return;
        }
        self.told.insert(of, now.moment);
        self.waiting.push(Event {
            time: now.wall.to_string(),
            namespace: at.namespace.to_string(),
            stream: at.stream.to_string(),
            playlist: (at.playlist != at.stream).then(|| at.playlist.to_string()),
            event: kind.as_str(),
            trouble: kind.is_trouble(),
            detail,
            kind,
        });
    }

    /// Whether one more would be told.
    pub(super) fn have_room(&self) -> bool {
        self.waiting.len() < WAITING
    }

    /// Counts an event that is told otherwise.
    pub(super) fn count(&mut self, kind: EventKind) {
        self.counted.push(kind);
    }

    /// Counts an event and has it told, also when the same was told a moment ago: a change of standing, of which none may be missed.
    pub(super) fn announce(&mut self, now: Now, at: &EventSubject<'_>, kind: EventKind, detail: String) {
        self.told.remove(&(at.playlist.clone(), kind));
        self.tell(now, at, kind, detail);
    }

    /// Hands over what is to be told and what is to be counted.
    pub(super) fn take(&mut self, now: Moment) -> (Vec<Event>, Vec<EventKind>) {
        self.told.retain(|_, told| now.since(*told) < QUIET);
        (std::mem::take(&mut self.waiting), std::mem::take(&mut self.counted))
    }
}

/// What an event is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct EventSubject<'a> {
    pub(super) namespace: &'a Namespace,
    pub(super) stream: &'a Key,
    pub(super) playlist: &'a Key,
}
