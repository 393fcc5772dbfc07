//! GET and HEAD.

use std::pin::{Pin, pin};

use axum::http::header::{
    ACCEPT_ENCODING, HOST, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Version};
use axum::response::Response;
use http_body::Body as _;

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
pub(in crate::web) async fn get(
    exchange: &Exchange<'_>,
    namespace: &NamespaceHandle,
    grant: &Grant,
    target: &Target<'_>,
) -> Result<Response, Problem> {
    let (web, parts) = (exchange.web, exchange.parts);
    let inherit = inherit::query(&web.inner.verifier, target);
    let (wanted, codings) = Wanted::by(parts);
    let mut spec = ReadSpec {
        now: Some(&exchange.context.record.now),
        portion: wanted.portion(parts),
        is_conditional: wanted.is_conditional,
        arriving: wanted.arriving(parts),
        waits: true,
        asks_nodes: !target.is_from_a_node(),
        reload: target.blocking_reload()?,
        skips: target.skips(),
        skips_date_ranges: target.skips_date_ranges(),
        codings,
        shift: target.shift(web.inner.origin.clock())?,
        inherit: inherit.as_ref(),
        host: None,
    };
    if spec.shift.is_some() || spec.inherit.is_some() {
        spec.host = host(parts);
    }
    let read = pin!(namespace.read(grant, &target.object, &spec));
    let found = kept_waiting(&exchange.context.connection, read).await?;
    let (parts, record) = (exchange.parts, &*exchange.context.record);
    match found {
        Read::Whole(found) => {
            let answered = answer(&found, &wanted, parts, record);
            if wanted.is_conditional
                && parts.method == Method::GET
                && let Ok(response) = &answered
                && let Some(namespace) = &exchange.namespace
            {
                namespace.pay_for_sent(&found, response.body().size_hint().exact().unwrap_or(0));
            }
            answered
        }
        Read::Growing(following) => grow(following, &wanted, parts, record),
    }
}

/// Reads. When that has to wait, for what is about to arrive or for a tier, it is us who keep the client waiting: none of its time limits
/// runs, whatever else goes over its connection. Cancel-safe as far as the read is.
fn kept_waiting<'a, T>(
    connection: &'a ConnectionState,
    mut read: Pin<&'a mut (impl Future<Output = T> + Send)>,
) -> impl Future<Output = T> + Send {
    let mut waiting = None;
    std::future::poll_fn(move |cx| {
        let polled = read.as_mut().poll(cx);
        // Of what is in memory there is nothing to wait for.
        if polled.is_pending() && waiting.is_none() {
            waiting = Some(KeptWaiting::begin(connection));
        }
        polled
    })
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
fn answer(found: &Found, wanted: &Wanted<'_>, parts: &Parts, record: &Record) -> Result<Response, Problem> {
    let conditions = wanted.conditions(parts);
    if found.is_personal {
        // It has no validators, and comes whole, whatever part was asked for.
        if conditions.if_match.is_some_and(|tags| tags.trim_ascii() != b"*") {
            return Err(OriginError::Precondition.into());
        }
        record.found(found, Outcome::Hit);
        return Ok(reply::personal(found));
    }
    let verdict = conditions.judge_read(found.validators());
    record.found(found, if verdict == Verdict::NotModified { Outcome::NotModified } else { Outcome::Hit });
    match verdict {
        Verdict::Proceed => {}
        Verdict::NotModified => return Ok(reply::not_modified(found)),
        Verdict::Failed => return Err(OriginError::Precondition.into()),
    }
    let range = wanted.range.filter(|_| conditions.range_holds(found.validators()) && !is_outdated(found, &conditions));
    match range.map_or(Ask::Whole, |range| range::parse(range, found.length())) {
        Ask::Whole => Ok(reply::whole(found)),
        Ask::Part(part) => Ok(reply::part(found, part)),
        Ask::Unsatisfiable => Err(Problem::unsatisfiable(found.length())),
    }
}

/// Whether the part that is asked for is of a live playlist's version that has been replaced, as a browser's cache asks in which one player reads by
/// ranges and another the whole of it: it hands that one a part of the new version, a list that is cut. With all of it nobody errs (RFC 9110 14.2).
fn is_outdated(found: &Found, conditions: &Conditions<'_>) -> bool {
    let knows_another = conditions.if_none_match.is_some() || conditions.if_modified_since.is_some();
    knows_another && found.meta().liveness.is_some() && found.is_whole()
}

/// Answers with an object that is still on its way in, from its first byte on or from that which was asked for.
fn grow(following: Box<Following>, wanted: &Wanted<'_>, parts: &Parts, record: &Record) -> Result<Response, Problem> {
    match wanted.conditions(parts).judge_read(following.validators()) {
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

/// What a request's headers want of an object. Small: it is kept as long as the read takes.
#[derive(Debug, Default)]
struct Wanted<'a> {
    /// Of a GET: for others Range is not defined (RFC 9110 14.2).
    range: Option<&'a [u8]>,
    has_if_range: bool,
    /// Whether there are conditions of any kind.
    is_conditional: bool,
}

impl<'a> Wanted<'a> {
    /// Beside it, the codings that are taken.
    fn by(parts: &'a Parts) -> (Self, Option<&'a [u8]>) {
        let (mut wanted, mut codings) = (Self::default(), None);
        // Most requests carry none of these, and few headers: going through them costs less than looking each one up.
        for (name, value) in &parts.headers {
            match *name {
                RANGE if parts.method == Method::GET => {
                    wanted.range.get_or_insert(value.as_bytes());
                }
                ACCEPT_ENCODING => {
                    codings.get_or_insert(value.as_bytes());
                }
                IF_RANGE => (wanted.has_if_range, wanted.is_conditional) = (true, true),
                IF_MATCH | IF_NONE_MATCH | IF_MODIFIED_SINCE | IF_UNMODIFIED_SINCE => wanted.is_conditional = true,
                _ => {}
            }
        }
        (wanted, codings)
    }

    fn conditions<'b>(&self, parts: &'b Parts) -> Conditions<'b> {
        if self.is_conditional { conditions(&parts.headers) } else { Conditions::default() }
    }

    /// How much of an object is to be read when that costs something. What `If-Range` says of the range is known only afterwards.
    fn portion(&self, parts: &Parts) -> Portion<'a> {
        match self.range {
            _ if parts.method == Method::HEAD => Portion::Nothing,
            Some(range) if !self.has_if_range => Portion::Range(range),
            _ => Portion::Whole,
        }
    }

    /// What a reader makes of an object that is still on its way in. In HTTP/1.0 a body of unknown length ends with the connection,
    /// and one that broke off does so too: who can't be told waits until it is whole.
    fn arriving(&self, parts: &Parts) -> Arriving {
        match self.range_ahead() {
            _ if parts.version < Version::HTTP_11 => Arriving::Whole,
            Some(AskAhead::Part(range)) => Arriving::Part(range),
            Some(AskAhead::From(start)) => Arriving::From(start),
            None => Arriving::Follow,
        }
    }

    /// The range asked for, if it can be answered of an object whose length is not known yet: counted from its beginning, and without
    /// a condition. Players ask so for the parts of a segment that is being written (EXT-X-PART with BYTERANGE, RFC 8216bis 4.4.4.9),
    /// and without an end for one that is announced without its length (4.4.5.3).
    fn range_ahead(&self) -> Option<AskAhead> {
        range::parse_ahead(self.range?).filter(|_| !self.is_conditional)
    }
}

/// The conditions a request carries.
pub(super) fn conditions(headers: &HeaderMap) -> Conditions<'_> {
    let mut conditions = Conditions::default();
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
