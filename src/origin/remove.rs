//! The rules of a removal.

use super::{NamespaceHandle, OriginError};
use crate::auth::grant::{Action, Grant};
use crate::model::id::ObjectId;
use crate::model::kind::Kind;
use crate::model::stamp::Stamp;
use crate::store::Removal;

impl NamespaceHandle {
    /// Removes an object. It is no error when there is none: encoders delete what has expired long ago, and some delete twice.
    /// An upload of the same name that is in flight and was begun later is not touched: it can be read from now on, if it can be at
    /// all before it is whole, and is the object when it ends. One that was begun before changes nothing any more. Nor does the removal,
    /// when something that was begun after it is in force: says whether it was not so.
    ///
    /// # Errors
    /// [`OriginError::Forbidden`], [`OriginError::UnknownNamespace`], [`OriginError::RateLimited`] or [`OriginError::NotDurable`].
    pub async fn remove(&self, grant: &Grant, object: &ObjectId, begun: Stamp) -> Result<bool, OriginError> {
        let hosted = self.admit(grant, Action::Write, object)?;
        hosted.take_write_rate(0)?;
        if hosted.hot.remove(&object.key, begun) == Removal::Superseded {
            return Ok(false);
        }
        hosted.work.cuts.clear();
        if Kind::of(&object.key, &[]).is_rewritten() {
            hosted.live.removed(&object.key);
        }
        hosted.durable_tier.settled(&object.key, false).await?;
        Ok(true)
    }
}
