//! The viewer keys: what tokens of viewers are signed with, apart from the signing keys of API keys. The first one signs, all verify.

use crate::auth::signing::{MacKey, SigningKey};

/// The viewer keys, ready to sign and verify. There may be none: then no token is good.
#[derive(Debug, Default)]
pub struct ViewerKeys {
    keys: Vec<ViewerKey>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct ViewerKey {
    pub(super) id: String,
    pub(super) mac: MacKey,
}

impl ViewerKeys {
    /// Takes them, in their order.
    #[must_use]
    pub fn new(keys: &[SigningKey]) -> Self {
        Self { keys: keys.iter().map(|key| ViewerKey { id: key.id().to_owned(), mac: key.mac() }).collect() }
    }

    /// The ids, the one that signs first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| &*key.id)
    }

    pub(super) fn signer(&self) -> Option<&ViewerKey> {
        self.keys.first()
    }

    pub(super) fn find(&self, id: &[u8]) -> Option<&ViewerKey> {
        self.keys.iter().find(|key| key.id.as_bytes() == id)
    }

    /// A key of any name and secret, as others have them.
    #[cfg(test)]
    pub(super) fn of(id: &str, secret: &[u8]) -> Self {
        Self { keys: vec![ViewerKey { id: id.to_owned(), mac: MacKey::new(secret) }] }
    }
}
