//! A way to the readers of a request's own words, for `crate::fuzzing` alone.

use http::{HeaderValue, Uri};

use super::access::{self, Credential};
pub(crate) use super::connection::first_bytes::{cut_off, taken, unread};
use super::connection::tls::Certificate;
use super::record::redact;
use super::target::{Naming, Resource};
use crate::auth::secret::Secret;
use crate::model::id::ObjectId;

/// The object a URL names, the tokens in it and the time to live it asks for, where it names one.
pub(crate) fn target(uri: &Uri) -> Option<(ObjectId, Vec<Secret<'_>>, Option<u64>)> {
    let Resource::Object(target) = Resource::parse(uri, Naming::Object)?.ok()? else { return None };
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

/// What a URL means to WebDAV: an object, or a folder, which is `Some(None)`.
pub(crate) fn resource(uri: &Uri, folder: bool) -> Option<Option<ObjectId>> {
    Some(match Resource::parse(uri, if folder { Naming::Folder } else { Naming::Both })?.ok()? {
        Resource::Object(target) => Some(target.object),
        Resource::Collection { .. } => None,
    })
}

/// What is told to others of a request's target, of words in it, and of a header's value.
pub(crate) fn redacted(uri: &Uri, words: &str, header: &[u8]) -> [String; 4] {
    let authorization = redact::header(&http::header::AUTHORIZATION, header);
    [redact::target(uri), redact::words(words).into_owned(), redact::name(words).into_owned(), authorization]
}

/// The names a certificate is for, where it is one.
pub(crate) fn certificate(der: &[u8]) -> Option<Vec<String>> {
    Certificate::read(der).map(|certificate| certificate.names)
}
