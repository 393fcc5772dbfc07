//! `?token=KEY&inherit_token=1`: an answer whose playlist hands the key down to what it lists.
//!
//! A URI in a playlist does not inherit the query of the playlist's own, so a player that was given one URL with a key in it gets no
//! further than the first playlist. Asked to, we put the key on; in that answer alone.

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HOST, IF_MATCH};
use axum::http::request::Parts;
use axum::response::Response;

use crate::auth::grant::Action;
use crate::auth::secret::Secret;
use crate::auth::verify::Verifier;
use crate::hls::rewrite;
use crate::origin::{Found, OriginError};
use crate::web::target::Target;

/// What is put on: the parameters, from a key in the request's own query that is good, by itself, for what is read. No other text
/// of the request ever gets into an answer.
pub(super) fn query(verifier: &Verifier, target: &Target<'_>) -> Option<Secret<'static>> {
    if !target.inherit_token {
        return None;
    }
    let allows = |token: &&Secret<'_>| verifier.verify(token).is_ok_and(|grant| grant.allows(Action::Read, &target.object));
    let token = target.tokens.iter().find(allows)?.expose();
    // A key is made of these; were it ever not, it would not be put into a text.
    let plain = token.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    plain.then(|| Secret::new(format!("token={token}&inherit_token=1")))
}

/// The answer, if what was found is a playlist or manifest in clear. It is another representation than the stored one, of no use to
/// anybody else: it has no validators, nothing may keep it, and it comes whole, whatever part was asked for.
///
/// # Errors
/// [`OriginError::Precondition`] when `If-Match` names the stored one.
pub(super) fn answer(found: &Found, query: &Secret<'_>, parts: &Parts) -> Result<Option<Response>, OriginError> {
    let meta = found.meta();
    if !meta.kind.is_rewritten() || meta.content_encoding.is_some() || found.body().starts_with(GZIP) {
        return Ok(None);
    }
    if parts.headers.get(IF_MATCH).is_some_and(|tags| tags.as_bytes().trim_ascii() != b"*") {
        return Err(OriginError::Precondition);
    }
    let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| parts.uri.authority().map(http::uri::Authority::as_str));
    let body = rewrite::inherit(meta.kind, found.body(), query.expose(), host);
    let length = body.len();
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, meta.content_type.clone());
    headers.insert(CONTENT_LENGTH, length.into());
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    Ok(Some(response))
}

/// How a compressed body begins, said or unsaid (RFC 1952 2.3.1).
const GZIP: &[u8] = &[0x1f, 0x8b];
