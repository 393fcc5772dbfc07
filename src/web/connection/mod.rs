//! Connections: from the listener to a request that has been read, and back to its answer's last byte.
//!
//! [`listener`] accepts a connection, if [`admission`] has room for it and [`berths`] a place where there are few; [`tls`] shakes
//! hands where that is asked for; [`timed`] keeps the time limits on its bytes, with [`stall`] for a client that takes nothing,
//! [`stream`] for those of one HTTP/2 answer and [`late`] for when they fire long after their time; [`version`] tells which HTTP it
//! is, [`encoders`] gives those who write threads of their own, and [`ahead`] knows which of them came first. What its bytes and its
//! requests know of each other is in [`state`]; [`unread`] knows what is no request and [`fragment`] what the HTTP library does not
//! tell of one, [`in_flight`] says when a request is over, [`unwanted`] sees to a body that nobody wants.
//!
//! Invariants: every connection is counted from its admission to its end, and each of its waits has an end. A client that can be
//! answered sees the answer, and not a reset. When the server stops, no request that was begun is lost within `drain_timeout`.
//!
//! What answers its requests is a [`site`]. Nothing here knows URLs, keys or namespaces: what a request means is said above, by whoever
//! it is handed to.

pub(super) mod admission;
pub(super) mod ahead;
pub(super) mod berths;
mod encoders;
#[cfg(any(test, fuzzing))]
pub(in crate::web) mod first_bytes;
mod fragment;
mod in_flight;
pub(super) mod late;
pub(super) mod listener;
pub(super) mod site;
mod slow;
pub(super) mod stall;
pub(super) mod state;
mod stream;
mod timed;
pub mod tls;
pub(super) mod unread;
pub(super) mod unwanted;
mod version;

/// The request line and headers of one request, in bytes; past that it is a 431.
pub(super) const MAX_HEAD: u32 = 32 << 10;
