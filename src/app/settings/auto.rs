//! Sizes that are left to the machine.

use std::collections::BTreeSet;

use crate::model::id::Namespace;

/// Bytes of all uploads in flight together, where the machine has the memory for it.
pub(super) const MAX_IN_FLIGHT: u64 = 512 << 20;

/// Sizes that are `auto`: chosen by the memory there is, up to the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Auto {
    /// Bytes of all uploads in flight together.
    pub max_in_flight: bool,
    /// The namespaces whose hot capacity is.
    pub hot_capacity: BTreeSet<Namespace>,
}
