//! The rules of a removal.

use super::{NamespaceHandle, OriginError};
use crate::auth::grant::{Action, Grant};
use crate::model::id::ObjectId;
use crate::model::kind::Kind;

impl NamespaceHandle {
    /// Removes an object. It is no error when there is none: encoders delete what has expired long ago, and some delete twice.
    /// An upload of the same name that is in flight is not touched: it can be read from now on, if it can be at all before it is
    /// whole, and is the object when it ends.
    ///
    /// # Errors
    /// [`OriginError::Forbidden`], [`OriginError::UnknownNamespace`], [`OriginError::RateLimited`] or [`OriginError::NotDurable`].
    pub async fn remove(&self, grant: &Grant, object: &ObjectId) -> Result<(), OriginError> {
        let hosted = self.admit(grant, Action::Write, object)?;
        hosted.take_write_rate(0)?;
        hosted.hot.remove(&object.key);
        if Kind::of(&object.key, &[]).is_rewritten() {
            hosted.live.removed(&object.key);
        }
        hosted.below.settled(&object.key, false).await?;
        Ok(())
    }
}
