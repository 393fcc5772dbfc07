//! Who is there: credentials from any of the places where encoders, CDNs, players and people put them.
//!
//! Several may be present and differ: MediaLive copies its destination's query onto the URLs a CDN asks for with a key of its own
//! in a header. The request is allowed when any one of them, by itself, allows it.

use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::auth::grant::{Action, Grant};
use crate::auth::key::KeyError;
use crate::auth::secret::Secret;
use crate::auth::verify::Verifier;
use crate::model::id::ObjectId;

/// The header AWS Elemental MediaPackage has CDNs identify themselves with; taken so that they need not be set up anew.
const CDN_IDENTIFIER: HeaderName = HeaderName::from_static("x-mediapackage-cdnidentifier");

/// Basic credentials, from clients that pad and clients that do not.
const LENIENT_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent).with_decode_allow_trailing_bits(true),
);

/// Why nobody is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// No credential at all: many clients wait to be asked.
    NoCredentials,
    /// None that is good; the reason is that of the first one.
    Invalid(KeyError),
}

/// The grant that allows this; or, when the credentials are good for something else, one that does not, for the origin to
/// refuse in its own words.
pub(super) fn authorize(
    verifier: &Verifier,
    headers: &HeaderMap,
    tokens: &[Secret<'_>],
    action: Action,
    object: &ObjectId,
) -> Result<Arc<Grant>, Denied> {
    judge(verifier, headers, tokens, |grant| grant.allows(action, object))
}

/// The grant of an administrator.
pub(super) fn authorize_admin(verifier: &Verifier, headers: &HeaderMap) -> Result<Arc<Grant>, Denied> {
    judge(verifier, headers, &[], |grant| grant.role == crate::auth::grant::Role::Admin)
}

fn judge(
    verifier: &Verifier,
    headers: &HeaderMap,
    tokens: &[Secret<'_>],
    allows: impl Fn(&Grant) -> bool,
) -> Result<Arc<Grant>, Denied> {
    let mut other = None;
    let mut first_error = None;
    let from_headers = headers.get_all(AUTHORIZATION).iter().map(from_authorization);
    let from_cdn = headers.get_all(CDN_IDENTIFIER).iter().map(|value| value.to_str().ok().map(Secret::new));
    let from_query = tokens.iter().cloned().map(Some);
    for credential in from_headers.chain(from_cdn).chain(from_query) {
        let verified = credential.ok_or(KeyError::Malformed).and_then(|secret| verifier.verify(&secret));
        match verified {
            Ok(grant) if allows(&grant) => return Ok(grant),
            Ok(grant) => other = other.or(Some(grant)),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    match (other, first_error) {
        (Some(grant), _) => Ok(grant),
        (None, Some(error)) => Err(Denied::Invalid(error)),
        (None, None) => Err(Denied::NoCredentials),
    }
}

/// `Basic base64(anything:KEY)`, `Bearer KEY`, or the bare `KEY` that Amazon CloudFront sends as an origin custom header.
pub(super) fn from_authorization(value: &HeaderValue) -> Option<Secret<'_>> {
    let text = value.to_str().ok()?.trim();
    let Some((scheme, rest)) = text.split_once(' ') else { return Some(Secret::new(text)) };
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Secret::new(rest));
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let pair = String::from_utf8(LENIENT_BASE64.decode(rest).ok()?).ok()?;
        let (_user, password) = pair.split_once(':')?;
        return Some(Secret::new(password.to_owned()));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, proptest};

    fn read(header: &str) -> Option<String> {
        from_authorization(&HeaderValue::from_str(header).unwrap()).map(|secret| secret.expose().to_owned())
    }

    #[test]
    fn every_form_yields_the_key() {
        // momento:k.e.y, with and without padding; a user of any name, and none.
        for header in
            ["k.e.y", "  k.e.y ", "Bearer k.e.y", "bearer   k.e.y", "Basic bW9tZW50bzprLmUueQ==", "basic bW9tZW50bzprLmUueQ"]
        {
            assert_eq!(read(header).as_deref(), Some("k.e.y"), "{header}");
        }
        assert_eq!(read("Basic OmE6Yg==").as_deref(), Some("a:b"));
        for header in ["Digest username=\"x\"", "Basic !!", "Basic bW9tZW50bw==", "Negotiate abc"] {
            assert_eq!(read(header), None, "{header}");
        }
    }

    proptest! {
        #[test]
        fn no_header_panics(bytes in any::<Vec<u8>>()) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                let _ = from_authorization(&value);
            }
        }
    }
}
