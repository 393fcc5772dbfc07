//! The gate: a media playlist is held back until what it lists is here.

use tokio::time::{Instant, timeout_at};

use super::namespace::Hosted;
use crate::hls::playlist::Media;
use crate::model::id::{Key, ObjectId};

impl Hosted {
    /// Holds a media playlist back until the segments it lists for the first time are here, at most until then. What its writer
    /// does not reach is not waited for: how long that takes would tell whether it is there. Cancel-safe.
    pub(super) async fn gate(&self, object: &ObjectId, media: &Media, deadline: Instant, reaches: impl Fn(&Key) -> bool) {
        for key in self.live.missing(object, media, |key| !reaches(key) || self.has(key)) {
            loop {
                let arrival = self.hot.arrivals(&key);
                if self.is_here(&key) {
                    break;
                }
                if timeout_at(deadline, arrival).await.is_err() {
                    return;
                }
            }
        }
    }
}
