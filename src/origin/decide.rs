//! Whether a change comes into force: the second of the three steps of a write or removal.
//!
//! One node decides by itself: the conditions of a change are judged against the version that is live, and of two changes of a name the
//! one whose request began later is in force, whichever ends last. Both hold for good only in the step that makes the change, under the
//! lock of the hot store. So a write is judged twice: before a stream is told of it, and in that step.

use super::OriginError;
use super::read::validators;
use crate::model::clock::Moment;
use crate::model::conditions::KeptConditions;
use crate::model::id::Key;
use crate::model::meta::Meta;
use crate::model::stamp::Stamp;
use crate::store::{self, Body, HotNamespace, Published};

/// An upload that has come whole and is to be the object.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) upload: store::Upload,
    /// On what condition it is written.
    pub(super) conditions: KeptConditions,
    /// The version below memory, when there was none in it and the conditions ask.
    pub(super) below: Option<Meta>,
}

/// The removal that a request asks for.
#[derive(Debug)]
pub(super) struct Deletion {
    /// When the request began.
    pub(super) begun: Stamp,
    /// On what condition it removes.
    pub(super) conditions: KeptConditions,
    /// As of a [`Candidate`].
    pub(super) below: Option<Meta>,
}

/// Whether the conditions of a write hold for the version in memory, or else for the one below it.
pub(super) fn are_met(conditions: &KeptConditions, current: Option<&Meta>, below: Option<&Meta>) -> bool {
    conditions.allow_write(current.or(below).map(validators))
}

impl Candidate {
    /// Decides how things stand at `now`: `false`, when something that was begun later is in force.
    ///
    /// # Errors
    /// [`OriginError::Precondition`].
    pub(super) fn stands(&self, hot: &HotNamespace, now: Moment) -> Result<bool, OriginError> {
        // Most writes have none, and need no look at what is there.
        let current = if self.conditions.are_there() { hot.peek_at(self.upload.key(), now) } else { None };
        if !are_met(&self.conditions, current.as_ref().map(|entry| &entry.meta), self.below.as_ref()) {
            return Err(OriginError::Precondition);
        }
        Ok(!self.upload.is_superseded())
    }

    /// Decides once more, and makes it the object in the same step. `None`, and nothing has changed, when something that was begun later
    /// is in force.
    ///
    /// # Errors
    /// [`OriginError::Precondition`].
    pub(super) fn publish(self, body: Body, meta: Meta, now: Moment) -> Result<Option<Published>, OriginError> {
        let Self { upload, conditions, below } = self;
        Ok(upload.publish(body, meta, now, |current| are_met(&conditions, current, below.as_ref()))?)
    }
}

impl Deletion {
    /// A removal that is made whatever is there.
    pub(super) fn of_anything(begun: Stamp) -> Self {
        Self { begun, conditions: KeptConditions::default(), below: None }
    }

    /// Decides, and removes the object in the same step. `false`, and nothing has changed, when something that was begun later is in
    /// force.
    ///
    /// # Errors
    /// [`OriginError::Precondition`].
    pub(super) fn remove(self, hot: &HotNamespace, key: &Key, now: Moment) -> Result<bool, OriginError> {
        let Self { begun, conditions, below } = self;
        match hot.remove(key, begun, now, |current| are_met(&conditions, current, below.as_ref())) {
            store::Removal::Disallowed => Err(OriginError::Precondition),
            store::Removal::Superseded => Ok(false),
            store::Removal::Removed | store::Removal::Absent => Ok(true),
        }
    }
}
