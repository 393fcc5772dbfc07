//! GET and HEAD.

use std::pin::pin;
use std::task::Poll;

use axum::http::header::{
    ACCEPT_ENCODING, HOST, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Version};
use axum::response::Response;

use super::{inherit, reply};
use crate::auth::grant::Grant;
use crate::metrics::Outcome;
use crate::model::conditions::{Conditions, Verdict};
use crate::model::range::{self, Ask, AskAhead};
use crate::origin::{Arriving, Following, Found, NamespaceHandle, OriginError, Portion, Read, ReadSpec};
use crate::web::connection::state::ConnectionState;
use crate::web::exchange::Exchange;
use crate::web::problem::Problem;
use crate::web::record::Record;
use crate::web::target::Target;

/// Finds the object and answers 200, 206 or 304.
///
/// Cancel-safe: it may wait for what is not in memory or about to arrive, and changes nothing.
pub(super) async fn get(
    exchange: &Exchange<'_>,
    namespace: &NamespaceHandle,
    grant: &Grant,
    target: &Target<'_>,
) -> Result<Response, Problem> {
    let (web, parts, record) = (exchange.web, exchange.parts, &*exchange.context.record);
    let inherit = inherit::query(&web.inner.verifier, target);
    let inherit = inherit.as_ref();
    let shift = target.shift(web.inner.origin.clock())?;
    let spec = ReadSpec {
        portion: portion(parts),
        arriving: arriving(parts),
        waits: true,
        reload: target.blocking_reload()?,
        skips: target.skips(),
        codings: parts.headers.get(ACCEPT_ENCODING).map(HeaderValue::as_bytes),
        shift,
        inherit,
        host: if shift.is_some() || inherit.is_some() { host(parts) } else { None },
    };
    match kept_waiting(&exchange.context.connection, namespace.read(grant, &target.object, &spec)).await? {
        Read::Whole(found) => answer(&found, parts, record),
        Read::Growing(following) => grow(following, parts, record),
        Read::Part(part) => {
            record.outcome(Outcome::Growing);
            Ok(reply::growing_part(&part))
        }
    }
}

/// Reads. When that has to wait, for what is about to arrive or for a tier, it is us who keep the client waiting: none of its time limits
/// runs, whatever else goes over its connection. Cancel-safe as far as the read is.
async fn kept_waiting<T>(connection: &ConnectionState, read: impl Future<Output = T>) -> T {
    let mut read = pin!(read);
    // Of what is in memory there is nothing to wait for.
    match std::future::poll_fn(|cx| Poll::Ready(read.as_mut().poll(cx))).await {
        Poll::Ready(done) => done,
        Poll::Pending => {
            let _waiting = KeptWaiting::begin(connection);
            read.await
        }
    }
}

/// As long as this lives, an answer has nothing to send yet.
struct KeptWaiting<'a>(&'a ConnectionState);

impl<'a> KeptWaiting<'a> {
    fn begin(connection: &'a ConnectionState) -> Self {
        connection.set_starved(true);
        Self(connection)
    }
}

impl Drop for KeptWaiting<'_> {
    fn drop(&mut self) {
        self.0.set_starved(false);
    }
}

/// What the reader asked: children elsewhere stay as they are.
fn host(parts: &Parts) -> Option<&str> {
    let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    host.or_else(|| parts.uri.authority().map(http::uri::Authority::as_str))
}

/// Answers with what was found: 200, 206 or 304.
fn answer(found: &Found, parts: &Parts, record: &Record) -> Result<Response, Problem> {
    if found.is_personal {
        // It has no validators, and comes whole, whatever part was asked for.
        if parts.headers.get(IF_MATCH).is_some_and(|tags| tags.as_bytes().trim_ascii() != b"*") {
            return Err(OriginError::Precondition.into());
        }
        record.found(found, Outcome::Hit);
        return Ok(reply::personal(found));
    }
    let conditions = conditions(&parts.headers);
    let verdict = conditions.judge_read(found.validators());
    record.found(found, if verdict == Verdict::NotModified { Outcome::NotModified } else { Outcome::Hit });
    match verdict {
        Verdict::Proceed => {}
        Verdict::NotModified => return Ok(reply::not_modified(found)),
        Verdict::Failed => return Err(OriginError::Precondition.into()),
    }
    // Range is defined for GET alone (RFC 9110 14.2).
    let range = parts.headers.get(RANGE).filter(|_| parts.method == Method::GET && conditions.range_holds(found.validators()));
    match range.map_or(Ask::Whole, |range| range::parse(range.as_bytes(), found.length())) {
        Ask::Whole => Ok(reply::whole(found)),
        Ask::Part(part) => Ok(reply::part(found, part)),
        Ask::Unsatisfiable => Err(Problem::unsatisfiable(found.length())),
    }
}

/// How much of an object is to be read when that costs something. What `If-Range` says of the range is known only afterwards.
fn portion(parts: &Parts) -> Portion<'_> {
    match parts.headers.get(RANGE) {
        _ if parts.method == Method::HEAD => Portion::Nothing,
        Some(range) if !parts.headers.contains_key(IF_RANGE) => Portion::Range(range.as_bytes()),
        _ => Portion::Whole,
    }
}

/// What a reader makes of an object that is still on its way in. In HTTP/1.0 a body of unknown length ends with the connection, and
/// one that broke off does so too: who can't be told waits until it is whole.
fn arriving(parts: &Parts) -> Arriving {
    match range_ahead(parts) {
        _ if parts.version < Version::HTTP_11 => Arriving::Whole,
        Some(AskAhead::Part(range)) => Arriving::Part(range),
        Some(AskAhead::From(start)) => Arriving::From(start),
        None => Arriving::Follow,
    }
}

/// The range asked for, if it can be answered of an object whose length is not known yet: counted from its beginning, and without a
/// condition. Players ask so for the parts of a segment that is being written (EXT-X-PART with BYTERANGE, RFC 8216bis 4.4.4.9), and
/// without an end for one that is announced without its length (4.4.5.3).
fn range_ahead(parts: &Parts) -> Option<AskAhead> {
    let range = parts.headers.get(RANGE).filter(|_| parts.method == Method::GET)?;
    let conditions = [IF_RANGE, IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE];
    let is_plain = conditions.iter().all(|name| !parts.headers.contains_key(name));
    range::parse_ahead(range.as_bytes()).filter(|_| is_plain)
}

/// Answers with an object that is still on its way in, from its first byte on or from that which was asked for.
fn grow(following: Following, parts: &Parts, record: &Record) -> Result<Response, Problem> {
    match conditions(&parts.headers).judge_read(following.validators()) {
        Verdict::Proceed => {
            record.outcome(Outcome::Growing);
            Ok(reply::growing(following))
        }
        Verdict::NotModified => {
            record.outcome(Outcome::NotModified);
            Ok(reply::growing_not_modified(&following))
        }
        Verdict::Failed => Err(OriginError::Precondition.into()),
    }
}

/// The conditions a request carries.
pub(super) fn conditions(headers: &HeaderMap) -> Conditions<'_> {
    let mut conditions = Conditions::default();
    // Most requests carry none, and few headers: going through them costs less than looking each one up.
    for (name, value) in headers {
        let place = match *name {
            IF_MATCH => &mut conditions.if_match,
            IF_NONE_MATCH => &mut conditions.if_none_match,
            IF_MODIFIED_SINCE => &mut conditions.if_modified_since,
            IF_UNMODIFIED_SINCE => &mut conditions.if_unmodified_since,
            IF_RANGE => &mut conditions.if_range,
            _ => continue,
        };
        place.get_or_insert(value.as_bytes());
    }
    conditions
}
