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
/// So many are told one after the other, and so many a second from then on: what a namespace has thousands of, minute for minute, is no news, and
/// would be all that there is in the log. More are counted, and how many is an event, once in a while.
const AT_A_STRETCH: f64 = 4096.0;
const EACH_SECOND: f64 = 50.0;
const UNTOLD_AGAIN: Duration = Duration::from_secs(60);

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
    /// How much is used up of what is told at a stretch, as of then.
    used: f64,
    used_at: Option<Moment>,
    /// How many were counted and not told, and of which stream and playlist the last of them was; and when that was said last.
    untold: Option<(u64, Key, Key)>,
    untold_told: Option<Moment>,
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
        if just_told {
            return;
        }
        if !self.have_room() {
            let count = self.untold.take().map_or(0, |(count, ..)| count);
            self.untold = Some((count + 1, at.stream.clone(), at.playlist.clone()));
            return;
        }
        self.used += 1.0;
        self.told.insert(of, now.moment);
        self.waiting.push(event(now, at, kind, detail));
    }

    /// Whether one more would be told.
    pub(super) fn have_room(&self) -> bool {
        self.waiting.len() < WAITING && self.used < AT_A_STRETCH
    }

    /// Tells how many were counted and not told since this was said last; once in a while, and whatever room there is.
    fn tell_untold(&mut self, namespace: &Namespace, now: Now) {
        if self.untold_told.is_some_and(|told| now.moment.since(told) < UNTOLD_AGAIN) {
            return;
        }
        let Some((count, stream, playlist)) = self.untold.take() else { return };
        self.untold_told = Some(now.moment);
        let detail = format!(
            "{count} events of this namespace were counted and not told, one of this playlist the last of them: more happens to its streams than \
             anybody reads; springhead_stream_events_total has all of it"
        );
        self.counted.push(EventKind::Untold);
        self.waiting.push(event(
            now,
            &EventSubject { namespace, stream: &stream, playlist: &playlist },
            EventKind::Untold,
            detail,
        ));
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
    pub(super) fn take(&mut self, namespace: &Namespace, now: Now) -> (Vec<Event>, Vec<EventKind>) {
        self.tell_untold(namespace, now);
        let now = now.moment;
        self.told.retain(|_, told| now.since(*told) < QUIET);
        let past = self.used_at.replace(now).map_or(Duration::ZERO, |before| now.since(before));
        self.used = (self.used - past.as_secs_f64() * EACH_SECOND).max(0.0);
        (std::mem::take(&mut self.waiting), std::mem::take(&mut self.counted))
    }
}

fn event(now: Now, at: &EventSubject<'_>, kind: EventKind, detail: String) -> Event {
    Event {
        time: now.wall.to_string(),
        namespace: at.namespace.to_string(),
        stream: at.stream.to_string(),
        playlist: (at.playlist != at.stream).then(|| at.playlist.to_string()),
        event: kind.as_str(),
        trouble: kind.is_trouble(),
        detail,
        kind,
    }
}

/// What an event is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct EventSubject<'a> {
    pub(super) namespace: &'a Namespace,
    pub(super) stream: &'a Key,
    pub(super) playlist: &'a Key,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::clock::Clock;

    #[test]
    fn what_there_are_thousands_of_is_counted_and_its_number_told() {
        let (clock, namespace) = (Clock::manual(), Namespace::parse("n").unwrap());
        let mut events = Events::default();
        let mut second = |clock: &Clock, second: usize, count: usize| {
            for number in 0..count {
                let key = Key::parse(&format!("{second}/{number}.m3u8")).unwrap();
                let subject = EventSubject { namespace: &namespace, stream: &key, playlist: &key };
                events.tell(clock.both(), &subject, EventKind::ALL[0], String::new());
            }
            let (mut told, counted) = events.take(&namespace, clock.both());
            clock.advance(Duration::from_secs(1));
            let untold = told.pop_if(|last| last.kind == EventKind::Untold);
            (told.len(), counted.iter().filter(|kind| **kind == EventKind::ALL[0]).count(), untold.map(|event| event.detail))
        };
        // All streams that are followed may stop in one moment.
        let burst: Vec<_> = (0..4).map(|number| second(&clock, number, 1000)).collect();
        assert!(burst.iter().all(|one| *one == (1000, 1000, None)), "{burst:?}");
        let flood: Vec<_> = (4..130).map(|number| second(&clock, number, 1000)).collect();
        assert!(flood[10..].iter().all(|(told, counted, _)| (*told, *counted) == (50, 1000)), "{flood:?}");
        let untold: Vec<_> = flood.iter().filter_map(|(.., untold)| untold.clone()).collect();
        assert!(
            untold.len() == 3 && untold[1..].iter().all(|told| told.starts_with("57000 events of this namespace")),
            "{untold:?}"
        );
        // After a while of quiet all is as it was.
        clock.advance(Duration::from_secs(90));
        assert_eq!([130, 131].map(|number| second(&clock, number, 1000).0), [50, 1000]);
    }
}
