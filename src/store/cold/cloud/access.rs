//! What opens buckets: variables of the environment, never of the settings, and never shown.

use std::fmt;

/// What opens buckets: the environment's `AWS_…`, `AZURE_…` and `GOOGLE_…`, with credentials, region, endpoint, and what else the
/// providers' own tools read there.
#[derive(Clone, Default)]
pub struct Access(pub Vec<(String, String)>);

/// Without the values: they are secrets.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Access {
    /// Whether a variable of this name is of use here.
    #[must_use]
    pub fn knows(name: &str) -> bool {
        ["AWS_", "AZURE_", "GOOGLE_"].iter().any(|prefix| name.starts_with(prefix))
    }

    /// Whether a store of one's own is named by a URL without TLS: that is then meant.
    pub(super) fn is_plain(&self) -> bool {
        let endpoint = |name: &str| {
            ["_ENDPOINT", "_ENDPOINT_URL", "_ENDPOINT_URL_S3", "_BASE_URL"].iter().any(|end| name.ends_with(end))
                && name != "AWS_METADATA_ENDPOINT"
        };
        self.0.iter().any(|(name, value)| Self::knows(name) && endpoint(name) && value.starts_with("http://"))
    }
}
