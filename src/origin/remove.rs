//! The rules of a removal.

use super::apply::Decided;
use super::decide::Deletion;
use super::read::known_in_tier;
use super::{NamespaceHandle, OriginError, shared};
use crate::auth::grant::{Action, Grant};
use crate::model::conditions::KeptConditions;
use crate::model::id::ObjectId;
use crate::model::kind::Kind;
use crate::model::stamp::Stamp;

/// What came of a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemovalOutcome {
    /// The object is gone, if there was one.
    Done,
    /// Something that was begun later is in force.
    Superseded,
    /// The namespace keeps what encoders delete.
    Ignored,
}

impl NamespaceHandle {
    /// Removes an object. It is no error when there is none, unless the conditions ask for it: encoders delete what has expired long ago,
    /// and some delete twice.
    /// An upload of the same name that is in flight and was begun later is not touched: it can be read from now on, if it can be at
    /// all before it is whole, and is the object when it ends. One that was begun before changes nothing any more. Nor does the removal,
    /// when something that was begun after it is in force, or when the namespace [keeps it](super::policy::Deletes). Conditions are judged
    /// first, in the step that removes.
    ///
    /// # Errors
    /// [`OriginError::Forbidden`], [`OriginError::UnknownNamespace`], [`OriginError::PublicName`], [`OriginError::RateLimited`],
    /// [`OriginError::Precondition`], [`OriginError::NotDurable`] or [`OriginError::Unshared`].
    pub async fn remove(
        &self,
        grant: &Grant,
        object: &ObjectId,
        begun: Stamp,
        conditions: KeptConditions,
    ) -> Result<RemovalOutcome, OriginError> {
        let hosted = self.admit(grant, Action::Write, object)?;
        hosted.is_not_public(&object.key)?;
        hosted.take_write_request()?;
        hosted.take_write_bytes(0)?;
        if !hosted.policy.deletes.takes(Kind::of(&object.key, &[])) {
            return Ok(RemovalOutcome::Ignored);
        }
        if let Some(shared) = hosted.durable_tier.shared() {
            let is_done = shared::remove(hosted, shared, &object.key, begun, &conditions).await?;
            if is_done {
                hosted.source_removed(&object.key).await;
                hosted.durable_tier.settled(&object.key, false).await?;
            }
            return Ok(if is_done { RemovalOutcome::Done } else { RemovalOutcome::Superseded });
        }
        let below = if conditions.are_there() { known_in_tier(hosted, &object.key).await? } else { None };
        if hosted.policy.composes() {
            Box::pin(hosted.bring_up_listed(&object.key)).await;
        }
        let deletion = Deletion { begun, conditions, below };
        if !(Decided { key: &object.key, now: hosted.hot.clock().both(), what: deletion }.apply(hosted)?) {
            return Ok(RemovalOutcome::Superseded);
        }
        hosted.source_removed(&object.key).await;
        hosted.durable_tier.settled(&object.key, false).await?;
        Ok(RemovalOutcome::Done)
    }
}
