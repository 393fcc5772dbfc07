//! Words: the values every other floor speaks in, parsed once and valid from then on.
//!
//! Invariant: nothing here does any IO, reads a clock by itself (see [`clock`]) or knows a socket, a key string or a store.

pub mod boxes;
pub mod clock;
pub mod conditions;
pub mod continuity;
pub mod event;
pub mod extension;
pub mod facts;
pub mod id;
pub mod initialization;
pub mod kind;
pub mod liveness;
pub mod mended;
pub mod meta;
pub mod percent;
pub mod range;
pub mod rendering;
pub mod seldom;
pub mod stamp;
pub mod units;
