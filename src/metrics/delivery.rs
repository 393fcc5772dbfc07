//! What becomes of webhooks, as they are counted.

/// What became of a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It was taken.
    Delivered,
    /// It was not, however often it was tried.
    Failed,
    /// It was not even tried: too many waited.
    Dropped,
}

impl Delivery {
    pub(super) const ALL: [(Self, &'static str); 3] =
        [(Self::Delivered, "delivered"), (Self::Failed, "failed"), (Self::Dropped, "dropped")];
}
