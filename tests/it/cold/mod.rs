//! The tier below the hot store, asked through its seam.

pub(crate) mod conformance;
pub(crate) mod faults;
