//! What a connection's two ends know of each other: the bytes below the HTTP library, the requests above it.

use std::any::Any;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use axum::http::{HeaderValue, Method, Uri};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::fragment::CutOff;
use super::unread::Unread;
use crate::model::stamp::Stamp;

/// How many requests may have come before their turn and still be known: more than clients send ahead.
const MOST_CUT_OFF: usize = 32;

/// What a connection is doing, as far as time limits go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Idle,
    Head,
    Busy,
    /// The same, and it is us who keep the client waiting.
    Empty,
}

/// What a connection's two ends know of each other: the bytes below the HTTP library, the requests above it.
#[derive(Debug, Default)]
pub(in crate::web) struct ConnectionState {
    open_requests: AtomicUsize,
    waiting_answers: AtomicUsize,
    head: AtomicBool,
    multiplexed: AtomicBool,
    linger: AtomicBool,
    begun: AtomicBool,
    /// When the connection was accepted, if its first request began then.
    accepted: OnceLock<Stamp>,
    first_request: Notify,
    /// All that has come has been read.
    waiting: AtomicBool,
    broken: AtomicBool,
    stalled: AtomicBool,
    unsent: AtomicUsize,
    closed: AtomicBool,
    has_tail: AtomicBool,
    /// What is kept until nothing is unsent any more.
    tail: Mutex<Option<Box<dyn Any + Send>>>,
    /// How long the newest request's body is said to be, and one more; 0 once that has been taken.
    announced: AtomicU64,
    has_cut_off: AtomicBool,
    cut_off: Mutex<Vec<CutOff>>,
    unread: OnceLock<Box<(Unread, HeaderValue)>>,
}

impl ConnectionState {
    /// A request has been read and is being answered. Says when it began, where that was when its connection was accepted.
    pub(in crate::web) fn request_begins(&self) -> Option<Stamp> {
        self.head.store(false, Ordering::Relaxed);
        self.open_requests.fetch_add(1, Ordering::Relaxed);
        if self.begun.swap(true, Ordering::Relaxed) {
            return None;
        }
        self.first_request.notify_one();
        self.accepted.get().copied()
    }

    /// The connection was accepted then, and its first request began with it: its client did not open it for later.
    pub(super) fn begins_with(&self, accepted: Stamp) {
        // There is one beginning.
        let _ = self.accepted.set(accepted);
    }

    /// Waits for the first request; returns at once when there has been one. Cancel-safe.
    pub(in crate::web) async fn first_request(&self) {
        if !self.begun.load(Ordering::Relaxed) {
            self.first_request.notified().await;
        }
    }

    /// A request's body is this long, as far as its head says.
    pub(super) fn announce_body(&self, length: u64) {
        self.announced.store(length.saturating_add(1), Ordering::Relaxed);
    }

    /// How long the body is of a request that has begun since this was asked.
    pub(super) fn take_announced(&self) -> Option<u64> {
        let announced = self.announced.load(Ordering::Relaxed);
        if announced > 0 {
            self.announced.store(0, Ordering::Relaxed);
        }
        announced.checked_sub(1)
    }

    pub(in crate::web) fn request_ends(&self) {
        self.open_requests.fetch_sub(1, Ordering::Relaxed);
    }

    /// All that has come has been read, and more is waited for; or more has come.
    pub(super) fn set_waiting(&self, waiting: bool) {
        self.waiting.store(waiting, Ordering::Relaxed);
    }

    /// Whether a request is being answered.
    pub(super) fn is_served(&self) -> bool {
        self.open_requests.load(Ordering::Relaxed) > 0
    }

    /// Whether there has been a request.
    pub(super) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// Whether there may be bytes that have come and have not been looked at, or are not yet what they are to be.
    pub(super) fn has_work(&self) -> bool {
        let is_between = self.has_begun() && self.open_requests.load(Ordering::Relaxed) == 0;
        !is_between && !self.waiting.load(Ordering::Relaxed)
    }

    /// An answer that has begun has nothing more to send for now, or has something again.
    pub(in crate::web) fn set_starved(&self, starved: bool) {
        if starved {
            self.waiting_answers.fetch_add(1, Ordering::Relaxed);
        } else {
            self.waiting_answers.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// This connection speaks HTTP/2.
    pub(in crate::web) fn set_multiplexed(&self) {
        self.multiplexed.store(true, Ordering::Relaxed);
    }

    pub(super) fn phase(&self) -> Phase {
        if self.waiting_answers.load(Ordering::Relaxed) > 0 {
            Phase::Empty
        } else if self.open_requests.load(Ordering::Relaxed) > 0 {
            Phase::Busy
        } else if self.head.load(Ordering::Relaxed) {
            Phase::Head
        } else {
            Phase::Idle
        }
    }

    /// This connection speaks HTTP/2, where answers share the bytes.
    pub(in crate::web) fn is_multiplexed(&self) -> bool {
        self.multiplexed.load(Ordering::Relaxed)
    }

    /// Its next request's first byte has come.
    pub(super) fn head_begins(&self) {
        self.head.store(true, Ordering::Relaxed);
    }

    /// Its client took nothing of an answer for too long, so it is ended.
    pub(super) fn set_stalled(&self) {
        self.stalled.store(true, Ordering::Relaxed);
    }

    /// Whether it was ended because the client took nothing of an answer.
    pub(in crate::web) fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }

    /// Its client can't be written to any more.
    pub(super) fn set_broken(&self) {
        self.broken.store(true, Ordering::Relaxed);
        self.drop_tail();
    }

    /// Whether the client has gone: what is written now goes nowhere.
    pub(in crate::web) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Bytes that the HTTP library had to write when it last wrote, and that went nowhere, or not yet. Of an HTTP/1 answer that is
    /// all that was handed to it and did not leave.
    pub(in crate::web) fn unsent(&self) -> usize {
        self.unsent.load(Ordering::Relaxed)
    }

    pub(super) fn set_unsent(&self, bytes: usize) {
        self.unsent.store(bytes, Ordering::Relaxed);
        if bytes == 0 {
            self.drop_tail();
        }
    }

    /// Keeps this until nothing is [unsent](Self::unsent) any more, or nothing will go any more, and drops it then. The HTTP library lets
    /// go of an answer's body while hundreds of kilobytes of it wait in its buffer: what becomes of those is known here alone.
    pub(in crate::web) fn keep_until_sent(&self, tail: Box<dyn Any + Send>) {
        if self.closed.load(Ordering::Relaxed) {
            return;
        }
        let before = self.tail.lock().replace(tail);
        self.has_tail.store(true, Ordering::Relaxed);
        drop(before);
    }

    fn drop_tail(&self) {
        if self.has_tail.load(Ordering::Relaxed) {
            self.has_tail.store(false, Ordering::Relaxed);
            // Not under the lock: what is dropped looks at what is unsent.
            let tail = self.tail.lock().take();
            drop(tail);
        }
    }

    /// The connection has ended.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.drop_tail();
    }

    /// A request has come, or part of it, whose target the HTTP library cuts off.
    pub(super) fn cut_off(&self, request: CutOff) {
        let mut all = self.cut_off.lock();
        if all.len() >= MOST_CUT_OFF {
            all.remove(0);
        }
        all.push(request);
        self.has_cut_off.store(true, Ordering::Relaxed);
    }

    /// Whether this request is one whose target was cut off: what is left of it is another name.
    pub(in crate::web) fn take_cut_off(&self, method: &Method, uri: &Uri) -> bool {
        if !self.has_cut_off.load(Ordering::Relaxed) {
            return false;
        }
        let mut all = self.cut_off.lock();
        let at = all.iter().position(|request| request.is(method, uri));
        at.map(|at| all.remove(at)).is_some()
    }

    /// What came was no request; under this id it was answered.
    pub(super) fn set_unread(&self, unread: Unread, request_id: HeaderValue) {
        let _ = self.unread.set(Box::new((unread, request_id)));
    }

    /// What came that was no request, and the id under which it was answered.
    pub(super) fn unread(&self) -> Option<(Unread, &HeaderValue)> {
        self.unread.get().map(|unread| (unread.0, &unread.1))
    }

    /// A body may still be on its way that nobody reads: take some of it in before the connection ends.
    pub(in crate::web) fn set_linger(&self) {
        self.linger.store(true, Ordering::Relaxed);
    }

    /// Whether that is so.
    pub(super) fn lingers(&self) -> bool {
        self.linger.load(Ordering::Relaxed)
    }
}
