//! All that is in memory, gone through for those who look after it.

use std::sync::Arc;

use super::HotNamespace;
use super::entry::Entry;

impl HotNamespace {
    /// Shows each version that is there, live or not, in no order: a part of the map after the other, so that writers wait for a part at
    /// most.
    pub fn each(&self, see: impl FnMut(&Arc<Entry>)) {
        self.map.for_each(see);
    }
}
