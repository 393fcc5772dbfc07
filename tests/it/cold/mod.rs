//! The tier below the hot store, asked through its seam.

pub(crate) mod conformance;
mod disk;
pub(crate) mod faults;
mod tier;
