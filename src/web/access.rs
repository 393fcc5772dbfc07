//! Who is there: credentials from any of the places where encoders, CDNs, players and people put them.
//!
//! Several may be present and differ: MediaLive copies its destination's query onto the URLs a CDN asks for with a key of its own
//! in a header. The request is allowed when any one of them, by itself, allows it.

use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderName, HeaderValue};

use crate::auth::digest::{Answer, DigestRequest};
use crate::auth::grant::Grant;
use crate::auth::key::KeyError;
use crate::auth::secret::Secret;
use crate::auth::verify::{FamiliarKey, Verifier};
use crate::model::clock::WallTime;

/// The header AWS Elemental MediaPackage has CDNs identify themselves with; taken so that they need not be set up anew.
const CDN_IDENTIFIER: HeaderName = HeaderName::from_static("x-mediapackage-cdnidentifier");

/// Basic credentials, from clients that pad and clients that do not.
const LENIENT_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent).with_decode_allow_trailing_bits(true),
);

/// This many credentials of one kind are looked at: a client has one, and a front in between may have added its own. More would only
/// be judged at our cost.
pub(super) const OF_ONE_KIND: usize = 2;

/// Why nobody is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// No credential at all: many clients wait to be asked.
    NoCredentials,
    /// None that is good; the reason is that of the first one.
    Invalid(KeyError),
}

/// A credential as it came.
#[derive(Debug)]
pub(super) enum Credential<'a> {
    Token(Secret<'a>),
    Basic { user: Secret<'static>, password: Secret<'static> },
    Digest(Answer<'a>),
}

/// Who judges the credentials of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyJudge<'a> {
    pub(super) verifier: &'a Verifier,
    /// The key that its connection has come with before.
    pub(super) familiar: &'a FamiliarKey,
    pub(super) peer: IpAddr,
    /// When it began.
    pub(super) now: WallTime,
}

/// The grant for which `allows` holds; or, when the credentials are good for something else, one for which it does not, for the
/// origin to refuse in its own words. `in_query`: the query names what is asked for.
pub(super) fn authorize(
    judge: KeyJudge<'_>,
    parts: &Parts,
    tokens: &[Secret<'_>],
    in_query: bool,
    allows: impl Fn(&Grant) -> bool,
) -> Result<Arc<Grant>, Denied> {
    let query = parts.uri.query().filter(|_| in_query);
    let asked = DigestRequest { method: parts.method.as_str(), path: parts.uri.path(), query, peer: judge.peer };
    let mut judged = Judged { judge, asked, other: None, first_error: None };
    // One kind is looked for when nothing before it was enough.
    for (_, value) in parts.headers.iter().filter(|(name, _)| **name == AUTHORIZATION).take(OF_ONE_KIND) {
        if let Some(grant) = judged.take(from_authorization(value), &allows) {
            return Ok(grant);
        }
    }
    for value in parts.headers.get_all(CDN_IDENTIFIER).iter().take(OF_ONE_KIND) {
        let token = value.to_str().map(|text| Credential::Token(Secret::new(text))).map_err(|_| KeyError::Malformed);
        if let Some(grant) = judged.take(token, &allows) {
            return Ok(grant);
        }
    }
    for token in tokens.iter().take(OF_ONE_KIND) {
        if let Some(grant) = judged.take(Ok(Credential::Token(token.clone())), &allows) {
            return Ok(grant);
        }
    }
    match (judged.other, judged.first_error) {
        (Some(grant), _) => Ok(grant),
        (None, Some(error)) => Err(Denied::Invalid(error)),
        (None, None) => Err(Denied::NoCredentials),
    }
}

/// What has come of the credentials that have been looked at.
struct Judged<'a> {
    judge: KeyJudge<'a>,
    asked: DigestRequest<'a>,
    other: Option<Arc<Grant>>,
    first_error: Option<KeyError>,
}

impl Judged<'_> {
    /// Looks at one more; its grant, if that is enough.
    fn take(&mut self, credential: Result<Credential<'_>, KeyError>, allows: &impl Fn(&Grant) -> bool) -> Option<Arc<Grant>> {
        let verified = credential.and_then(|credential| match credential {
            Credential::Token(token) => self.judge.verifier.verify_again(&token, self.judge.familiar, self.judge.now),
            Credential::Basic { user, password } => self.judge.verifier.verify_password(user.expose(), &password),
            Credential::Digest(answer) => self.judge.verifier.verify_digest(&answer, &self.asked),
        });
        match verified {
            Ok(grant) if allows(&grant) => return Some(grant),
            Ok(grant) => {
                self.other.get_or_insert(grant);
            }
            Err(error) => {
                self.first_error.get_or_insert(error);
            }
        }
        None
    }
}

/// `Basic base64(anything:KEY)` or `Basic base64(ID:INGEST_PASSWORD)`, `Digest ...` with either, `Bearer KEY`, or the bare `KEY`
/// that Amazon CloudFront sends as an origin custom header.
pub(super) fn from_authorization(value: &HeaderValue) -> Result<Credential<'_>, KeyError> {
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| KeyError::Malformed)?.trim_ascii();
    if let Some((scheme, token)) = text.split_at_checked("Bearer ".len())
        && scheme.eq_ignore_ascii_case("Bearer ")
    {
        return Ok(Credential::Token(Secret::new(token.trim_ascii())));
    }
    let Some((scheme, rest)) = text.split_once(' ') else { return Ok(Credential::Token(Secret::new(text))) };
    let rest = rest.trim_ascii();
    if scheme.eq_ignore_ascii_case("digest") {
        return Answer::parse(rest).map(Credential::Digest);
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let pair = LENIENT_BASE64.decode(rest).ok().and_then(|pair| String::from_utf8(pair).ok());
        let pair = pair.as_deref().and_then(|pair| pair.split_once(':'));
        let (user, password) = pair.ok_or(KeyError::Malformed)?;
        return Ok(Credential::Basic { user: Secret::new(user.to_owned()), password: Secret::new(password.to_owned()) });
    }
    Err(KeyError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, proptest};

    fn read(header: &str) -> Option<String> {
        match from_authorization(&HeaderValue::from_str(header).unwrap()).ok()? {
            Credential::Token(secret) | Credential::Basic { password: secret, .. } => Some(secret.expose().to_owned()),
            Credential::Digest(_) => None,
        }
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
