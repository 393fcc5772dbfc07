//! A way to the readers of a request's own words, for `crate::fuzzing` alone.

use http::{HeaderValue, Uri};

use super::access::{self, Credential};
use super::target::{Names, Resource};
use crate::auth::secret::Secret;
use crate::model::id::ObjectId;

/// The object a URL names, the tokens in it and the time to live it asks for, where it names one.
pub(crate) fn target(uri: &Uri) -> Option<(ObjectId, Vec<Secret<'_>>, Option<u64>)> {
    let Resource::Object(target) = Resource::parse(uri, Names::Object)?.ok()? else { return None };
    let ttl_seconds = target.ttl_seconds().ok().flatten();
    Some((target.object, target.tokens, ttl_seconds))
}

/// The key in an `Authorization` header; Digest holds none.
pub(crate) fn credential(value: &HeaderValue) -> Option<Secret<'_>> {
    match access::from_authorization(value).ok()? {
        Credential::Token(key) | Credential::Basic { password: key, .. } => Some(key),
        Credential::Digest(_) => None,
    }
}
