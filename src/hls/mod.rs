//! The few facts of a playlist that an origin needs, and the few changes it makes to one.
//!
//! Invariant: tolerant. What can be understood is kept, and what can't is a [`fault::Fault`] for the operator: a playlist that
//! makes no sense is stored as it came and never breaks an ingest. Everything here is total: any bytes, no panic, no memory
//! beyond a small multiple of what was read.
//!
//! What each reader and maker here takes, in time and memory, is in proportion to the bytes that it is given: `tests/costs` holds each against twice
//! as much. What is made of little and may be much is bounded by a constant beside it: the values of variables, what is unpacked, what is
//! handed down, windows of time.
//!
//! The reader is our own, because the rewriter needs to know the very same places of the very same bytes, and because a live
//! playlist is read at every write: a thousand segments in well under a millisecond.

mod address;
pub mod coding;
#[cfg(test)]
mod corpus;
mod definitions;
pub mod fault;
pub mod history;
mod in_force;
pub mod interchange;
#[cfg(test)]
mod judged;
mod marks;
pub mod mpd;
pub mod normalise;
mod parameters;
pub mod playlist;
mod presentation;
pub mod renditions;
pub mod rewrite;
#[cfg(test)]
mod rules;
pub mod shift;
pub mod skip;
#[cfg(test)]
pub(crate) mod texts;
pub mod uri;
pub mod utf16;
mod xsd;
