//! A string that must not be seen.

use std::borrow::Cow;
use std::fmt;

/// A credential, or something that might be one. Neither `Debug` nor `Display` gives any of it away, not even its length.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<'a>(Cow<'a, str>);

impl<'a> Secret<'a> {
    /// Wraps a string, borrowed or owned.
    pub fn new(text: impl Into<Cow<'a, str>>) -> Self {
        Self(text.into())
    }

    /// The string itself, for verifying it or for handing it to its owner. Never for a log, an error or a metric.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::new("eyJhbGciOi")), "Secret(hidden)");
    }
}
