//! The few facts of a playlist that an origin needs.
//!
//! Invariant: tolerant. A playlist that makes no sense yields fewer facts, never an error: it is stored as it came.

pub mod playlist;
