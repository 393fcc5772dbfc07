//! What goes wrong, as HTTP says it: the only file that knows both our errors and status codes. Each problem is of one kind ([`code`]).
//!
//! Every error is an `application/problem+json` (RFC 9457) whose `detail` tells a streaming engineer what to do. It never
//! repeats anything of a credential, nor anything of the server's inside.

pub mod code;

use std::borrow::Cow;

use axum::body::Body;
use axum::http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;

use self::code::{Code, Retry};
use super::access::Denied;
use super::header_room;
use super::json::{Object, field};
use crate::auth::digest::{Algorithm, REALM};
use crate::auth::grant::Role;
use crate::auth::key::KeyError;
use crate::auth::verify::Verifier;
use crate::metrics::Outcome;
use crate::origin::OriginError;

/// The methods a web page may use.
pub(super) const CORS_METHODS: &str = "GET, HEAD, PUT, POST, DELETE, OPTIONS";
/// The methods an object answers to.
pub(super) const ALLOWED: &str = "GET, HEAD, PUT, POST, DELETE, OPTIONS, PROPFIND, MKCOL";

const BASIC: HeaderValue = HeaderValue::from_static("Basic realm=\"springhead\", charset=\"UTF-8\"");
/// The Digest challenges in their order. Clients take one without looking at the rest: libcurl the first, ffmpeg the last, which
/// may not be SHA-256, as it does not know it. Many a first-taker does not know it either (libcurl before 7.57). So MD5 stands
/// at both ends, and SHA-256 is for those who choose. Basic comes after them all: who sends it unasked needs no challenge, and
/// clients that see one long header take its first word for the scheme.
const DIGESTS: [Algorithm; 3] = [Algorithm::Md5, Algorithm::Sha256, Algorithm::Md5];

/// An error on its way to the client.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) code: Code,
    pub(super) detail: Cow<'static, str>,
    /// What the log says beyond the detail: the reason that a client is not told.
    pub(super) inner: Option<Cow<'static, str>>,
    /// What it is counted as.
    pub(super) outcome: Outcome,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub(super) fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        let outcome = match (code, code.status().as_u16()) {
            (Code::NotFound | Code::NothingRetained, _) => Outcome::Miss,
            (Code::Stale, _) => Outcome::Stale,
            (Code::NoCredentials, _) => Outcome::Challenged,
            (Code::IncompleteBody | Code::SlowBody | Code::StalledBody, _) => Outcome::Broken,
            (_, 401 | 403) => Outcome::Denied,
            (_, 429 | 503) => Outcome::Busy,
            // The encoder's doing, whatever its status: a fault of the server's is to wake somebody.
            (Code::TransferCoding, _) => Outcome::Refused,
            (_, 500..) => Outcome::Failed,
            _ => Outcome::Refused,
        };
        Self { code, detail: detail.into(), inner: None, outcome, headers: Vec::new() }
    }

    pub(super) fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::BadRequest, detail)
    }

    pub(super) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(super) fn with_inner(mut self, inner: impl Into<Cow<'static, str>>) -> Self {
        self.inner = Some(inner.into());
        self
    }

    /// Says that the connection ends with this answer: the client still holds back, or still sends, a body nobody will read.
    pub(super) fn close(self) -> Self {
        self.with_header(CONNECTION, HeaderValue::from_static("close"))
    }

    pub(super) fn method_not_allowed() -> Self {
        let detail = "an object takes GET, HEAD, PUT, POST, DELETE, OPTIONS, PROPFIND and MKCOL";
        Self::new(Code::MethodNotAllowed, detail).with_header(ALLOW, HeaderValue::from_static(ALLOWED))
    }

    pub(super) fn no_such_place() -> Self {
        let detail = "there is nothing at this path: objects are at /cache/{namespace}/{key}";
        Self::new(Code::NoSuchPlace, detail)
    }

    pub(super) fn head_too_large() -> Self {
        let detail = "the request line and headers are larger than 32 KiB: a proxy in between may add too many or too long ones";
        Self::new(Code::HeadTooLarge, detail).close()
    }

    pub(super) fn unsatisfiable(length: usize) -> Self {
        let range = HeaderValue::try_from(format!("bytes */{length}"));
        let problem =
            Self::new(Code::RangeNotSatisfiable, format!("no byte of this {length}-byte object lies in the range asked for"));
        match range {
            Ok(range) => problem.with_header(axum::http::header::CONTENT_RANGE, range),
            Err(_) => problem,
        }
    }

    /// The answer's body.
    pub(super) fn document(&self, request_id: &str) -> Vec<u8> {
        let mut text = Vec::new();
        let mut document = Object::begin(&mut text);
        document.joined(field!("type"), ["urn:springhead:problem:", self.code.name()]);
        document.text(field!("title"), self.code.title());
        document.number(field!("status"), u64::from(self.code.status().as_u16()));
        document.text(field!("detail"), &self.detail);
        document.text(field!("request_id"), request_id);
        document.end();
        text
    }

    /// The answer. `cache_control` is the namespace's own word for errors, where the namespace is known.
    pub(super) fn into_response(self, request_id: &str, cache_control: Option<&HeaderValue>) -> Response {
        let body = self.document(request_id);
        let mut response = header_room::response(Body::from(body));
        *response.status_mut() = self.code.status();
        let headers = response.headers_mut();
        if let Retry::After(seconds @ 1..) = self.code.retry() {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        for (name, value) in self.headers {
            if name == RETRY_AFTER {
                headers.insert(name, value);
            } else {
                // There may be several challenges.
                headers.append(name, value);
            }
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        // Who was not let in is not told by it that there is such a namespace, and no cache tells others that they are not.
        let cache_control = cache_control.filter(|_| !self.code.is_about_access());
        headers.insert(CACHE_CONTROL, cache_control.cloned().unwrap_or(HeaderValue::from_static("no-store")));
        response
    }
}

impl From<OriginError> for Problem {
    fn from(error: OriginError) -> Self {
        match error {
            OriginError::Forbidden => Self::new(
                Code::Forbidden,
                "the API key is good, but not for this: check its role (writing and deleting take readwrite), its namespaces and \
                 its prefix with 'springhead keys inspect'",
            ),
            OriginError::UnknownNamespace => Self::new(
                Code::UnknownNamespace,
                "this namespace is not configured on the server: check the URL's /cache/{namespace} and the server's settings",
            ),
            OriginError::Expired => Self { outcome: Outcome::Expired, ..Self::from(OriginError::NotFound) },
            OriginError::NotFound => Self::new(
                Code::NotFound,
                "there is no object of this name: it was not uploaded, was deleted, has outlived its TTL, or made room for newer ones",
            ),
            OriginError::NothingRetained => Self::new(
                Code::NothingRetained,
                "of the time between start and end there is nothing to play: it was not uploaded through this playlist, has outlived \
                     its TTL or made room for newer segments; start and end are compared with EXT-X-PROGRAM-DATE-TIME, where the \
                     encoder writes it, else with this server's clock",
            ),
            OriginError::WindowTooLong => Self::new(
                Code::WindowTooLong,
                "a playlist of all that is between start and end would be longer than 16 MiB: ask for a shorter time",
            ),
            OriginError::InheritTooLong => Self::new(
                Code::InheritTooLong,
                "with the key on each of its URIs this playlist would have more than 16 MiB: send the key in a header (Authorization: \
                     Bearer KEY) in place of inherit_token, or ask for less of the playlist, as with last=1h",
            ),
            OriginError::Starting => Self::new(
                Code::Starting,
                "the server has just started, and what playlists listed before is still being read: ask again in a moment",
            ),
            OriginError::Stale { periods } => Self::new(
                Code::Stale,
                format!(
                    "the playlist is here, but its stream has had no new segment for more than {periods} target durations, and this \
                         namespace is set to on_stale = \"404\", so that players and CDNs fail over; it is back with the encoder's next segment"
                ),
            ),
            OriginError::TooFarAhead => Self::bad_request(
                "_HLS_msn or _HLS_part is too far ahead of the playlist: ask for the next segment or the one after it (RFC 8216bis 6.2.5.2)",
            ),
            OriginError::NotInTime => Self::new(
                Code::NotInTime,
                "the playlist has not got the segment asked for within three target durations: the encoder may have stopped",
            ),
            OriginError::TooManyHeld { .. } => Self::new(
                Code::TooManyHeld,
                format!(
                    "{error}, so this blocking playlist reload is not taken: ask again in a second; if it lasts, raise max_held, or put a CDN \
                         in front that makes one request of many"
                ),
            ),
            OriginError::Draining => Self::new(
                Code::Draining,
                "what is waited for has not come, and this server is about to end: ask again, another one takes over",
            ),
            OriginError::TooLarge { limit } => Self::new(
                Code::TooLarge,
                format!("{error} ({limit} bytes): shorten the segments, lower the bitrate or raise the limit"),
            ),
            OriginError::TtlOutOfRange { .. } => Self::new(Code::TtlOutOfRange, error.to_string()),
            OriginError::PublicName => Self::new(
                Code::PublicName,
                "what viewers read by this name is made by this server of what encoders store elsewhere: write below the sources of the \
                 namespace's pair, and not below what is public; and nothing over a name with '~' and a tag that is listed",
            ),
            OriginError::Precondition => Self::new(Code::PreconditionFailed, error.to_string()),
            // 503 and not 429: CDNs fail over and serve what they have, encoders try again.
            OriginError::RateLimited { retry_after } => Self::new(
                Code::RateLimited,
                "the namespace's rate of requests or bytes is used up: wait as long as Retry-After says, or raise the rate",
            )
            .with_header(RETRY_AFTER, HeaderValue::from(retry_after.as_secs().max(1))),
            OriginError::NotDurable => Self::new(
                Code::NotDurable,
                "it is done here, but the durable tier has not taken it in time: send it again; the server's log and /readyz say what the \
                 tier suffers from",
            ),
            // Never a 404 for what may be there: caches would keep that.
            OriginError::Unreachable => Self::new(
                Code::TierUnreachable,
                "the object is not in memory, and the durable tier can't be read at the moment: ask again in a second",
            ),
            OriginError::Unshared => Self::new(
                Code::EngineUnreachable,
                "the engine that the nodes share does not answer at the moment: ask again, or send it again, in a second",
            ),
            // Known to be there: no 404, for whoever has it may come back with it.
            OriginError::Bodiless => Self::new(
                Code::BytesLost,
                "the object is known, and neither the engine that the nodes share nor a node nor a bucket has its bytes: upload it again",
            ),
            OriginError::EngineFull => Self::new(
                Code::EngineFull,
                "the engine that the nodes share has no room for it: send it again in a second; if it lasts, raise the engine's maxmemory",
            ),
            // Never a 4xx for what passes: encoders give up for good on those.
            OriginError::Busy => Self::new(
                Code::TooManyBytesInFlight,
                "too many bytes are in flight: send it again in a second; if it lasts, raise max_in_flight",
            ),
        }
    }
}

impl Problem {
    /// A good key, but not of a role that may do this on the admin listener.
    pub(super) fn lacks_role(needed: Role) -> Self {
        let needed = needed.as_str();
        let detail = format!(
            "the API key is good, but not for this, which takes one of role {needed}: see admin_api_key.json in the data directory, or make \
             one with 'springhead keys create --role {needed}'"
        );
        Self::new(Code::Forbidden, detail)
    }

    pub(super) fn lacks_reach() -> Self {
        let detail = "the API key is good, and of a role that may, but what is told here is of all namespaces together, and this key is for some, or \
                      for a prefix: it takes one for all ('springhead keys create --role viewer --namespace \"*\"', without --prefix), or an admin key";
        Self::new(Code::Forbidden, detail)
    }

    pub(super) fn no_vendor() -> Self {
        let detail = "the API key is good, but not for this: viewers' tokens are made and ended with a key of role vendor for the namespace \
                      ('springhead keys create --role vendor --namespace NAME'), or an admin key";
        Self::new(Code::Forbidden, detail)
    }

    /// Nobody is let in: a challenge of each kind, with a nonce of its own.
    /// `admin`: it is the admin listener that asks.
    pub(super) fn denied(denied: &Denied, verifier: &Verifier, admin: bool) -> Self {
        let (code, detail, inner) = match denied {
            Denied::NoCredentials if admin => (
                Code::NoCredentials,
                "this takes an API key of role viewer, operator or admin, as 'Authorization: Bearer KEY' or as Basic password: the first start \
                 writes one to admin_api_key.json in the data directory",
                None,
            ),
            Denied::NoCredentials => (
                Code::NoCredentials,
                "this takes an API key: as Basic password, as 'Authorization: KEY' or 'Bearer KEY', or as ?token=KEY; or Digest with an \
                 ingest_user and ingest_password. In AWS Elemental MediaLive choose CDN settings 'HLS Akamai': they send the \
                 credentials with each request",
                None,
            ),
            Denied::Invalid(error @ KeyError::StaleNonce) => (
                Code::StaleNonce,
                "the Digest credentials are right, but made with a nonce that is no longer good: make them anew with that of this answer",
                Some(error.to_string()),
            ),
            // Nobody knows, and that passes: never a 4xx, on which encoders give up for good.
            Denied::Invalid(error @ KeyError::UnreadRecord) => {
                let detail = "the record of this key can't be read on this server, so that its password is not known: the server's log says \
                              why. The API key itself needs no record";
                return Self::new(Code::KeyUnread, detail).with_inner(error.to_string());
            }
            Denied::Invalid(error) => (
                Code::BadCredentials,
                "the API key or password is not accepted: it may be cut off, expired, revoked or from another server; the server's log \
                 says which",
                Some(error.to_string()),
            ),
        };
        let nonce = verifier.nonce();
        let stale = if *denied == Denied::Invalid(KeyError::StaleNonce) { ", stale=true" } else { "" };
        let mut problem = Self::new(code, detail);
        for algorithm in DIGESTS {
            let algorithm = algorithm.name();
            let challenge = format!("Digest realm=\"{REALM}\", qop=\"auth\", algorithm={algorithm}, nonce=\"{nonce}\"{stale}");
            if let Ok(challenge) = HeaderValue::try_from(challenge) {
                problem = problem.with_header(WWW_AUTHENTICATE, challenge);
            }
        }
        problem = problem.with_header(WWW_AUTHENTICATE, BASIC);
        match inner {
            Some(inner) => problem.with_inner(inner),
            None => problem,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_a_fault_of_the_servers_own_is_counted_as_one() {
        for code in Code::ALL {
            let is_ours = Problem::new(*code, "").outcome == Outcome::Failed;
            assert_eq!(is_ours, *code == Code::Internal, "{code:?}");
        }
    }
}
