//! The rules of a read.

use std::sync::Arc;
use std::time::Duration;

use super::{Origin, OriginError};
use crate::auth::grant::{Action, Grant};
use crate::model::conditions::Validators;
use crate::model::id::ObjectId;
use crate::model::meta::Meta;
use crate::store::Entry;

/// A whole version of an object, to be sent to a reader.
#[derive(Clone, Debug)]
pub struct Found {
    entry: Arc<Entry>,
    /// What is left of its time to live, in whole seconds.
    pub left: Duration,
    /// How long a shared cache may keep it, in seconds.
    pub max_age: u64,
    /// How long ago it was stored, by the wall clock.
    pub age: Duration,
}

impl Found {
    /// The body: a reference to the store's own bytes.
    #[must_use]
    pub fn body(&self) -> &bytes::Bytes {
        &self.entry.body
    }

    /// What is known of it.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        &self.entry.meta
    }

    /// What conditions are judged against.
    #[must_use]
    pub fn validators(&self) -> Validators<'_> {
        validators(&self.entry.meta)
    }
}

pub(super) fn validators(meta: &Meta) -> Validators<'_> {
    Validators { etag: meta.etag.as_bytes(), modified: meta.modified }
}

impl Origin {
    /// Finds an object for a reader.
    ///
    /// # Errors
    /// [`OriginError::Forbidden`], [`OriginError::UnknownNamespace`], [`OriginError::NotFound`] or
    /// [`OriginError::Expired`].
    pub fn get(&self, grant: &Grant, object: &ObjectId) -> Result<Found, OriginError> {
        let place = self.admit(grant, Action::Read, object)?;
        let Some(entry) = place.hot.get(&object.key) else {
            return Err(if place.hot.holds(&object.key) { OriginError::Expired } else { OriginError::NotFound });
        };
        let left = place.hot.time_left(&entry);
        let max_age = place.policy.max_age(&entry.meta, left);
        let age = place.hot.clock().wall().since(entry.meta.modified);
        Ok(Found { entry, left, max_age, age })
    }
}
