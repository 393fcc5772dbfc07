//! What opens buckets, from the environment: there each provider's own tools look for it.

use crate::store::Access;

/// The variables of S3, Azure and Google.
pub(super) fn access() -> Access {
    // One that is not Unicode is no credential.
    let variables = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Access(variables.filter(|(name, _)| Access::knows(name)).collect())
}
