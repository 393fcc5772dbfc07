//! PUT and POST, which mean the same.
//!
//! From the first body byte on an upload no longer depends on its client. When its last byte has come the object is stored, even
//! if the client is gone by then: ffmpeg closes without reading the answer. When the client goes before that, the body ends in
//! an error, the upload is dropped, and nothing has changed.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use axum::body::Body;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, RANGE, TRANSFER_ENCODING,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, Version};
use axum::response::Response;
use http_body::Body as _;
use tokio::time::Instant;

use super::detached::Detached;
use super::{get, refused};
use crate::auth::grant::Grant;
use crate::model::conditions::KeptConditions;
use crate::model::meta::LONGEST_KEPT;
use crate::model::stamp::Stamp;
use crate::origin::{NamespaceHandle, OriginError, PutSpec, Stored, Upload};
use crate::web::connection::late::Alarm;
use crate::web::connection::unwanted;
use crate::web::envelope::Context;
use crate::web::exchange::{Exchange, head_length};
use crate::web::problem::Problem;
use crate::web::problem::code::Code;
use crate::web::record::shown;
use crate::web::target::Target;
use crate::web::{Web, header_room, refusals};

/// What an HTTP/2 stream takes, in bytes, and how long an encoder's head may be that is not counted.
const STREAM: u64 = 16 << 10;
const USUAL_HEAD: u64 = 4 << 10;

/// Judges a write from its headers alone.
pub(in crate::web) async fn admit(
    namespace: &NamespaceHandle,
    grant: &Grant,
    parts: &Parts,
    target: &Target<'_>,
    begun: Stamp,
) -> Result<Upload, Problem> {
    let headers = &parts.headers;
    if headers.contains_key(CONTENT_RANGE) || headers.contains_key(RANGE) {
        return Err(Problem::bad_request(
            "a PUT with Content-Range or Range writes a part of an object, which would overwrite the whole of it: send each object \
             in one request (with GStreamer use curlhttpsink, not souphttpclientsink)",
        ));
    }
    if headers.get(TRANSFER_ENCODING).is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        let detail = "a body comes with Content-Length or with 'Transfer-Encoding: chunked', and with no other transfer coding";
        return Err(Problem::new(Code::TransferCoding, detail));
    }
    if headers.get(CONTENT_ENCODING).is_some_and(|coding| coding.len() > LONGEST_KEPT) {
        // Left out, what is stored would be served as what it is not.
        return Err(Problem::bad_request("the Content-Encoding is longer than 256 bytes: name the codings alone, as 'gzip'"));
    }
    let spec = PutSpec {
        length: length(parts)?,
        ttl_seconds: target.ttl_seconds()?,
        content_type: headers.get(CONTENT_TYPE).cloned(),
        content_encoding: headers.get(CONTENT_ENCODING).cloned(),
        cache_control: headers.get(CACHE_CONTROL).cloned(),
        conditions: KeptConditions::from(get::conditions(headers)),
        beside: beside(parts),
    };
    let admitted = namespace.put(grant, &target.object, begun, spec).await;
    admitted.map_err(|error| refused(error, namespace, &target.object.key))
}

/// What a request holds in memory beside its body, more than is counted with each connection. A stream of HTTP/2 has its own tasks and
/// tables, of which one connection may have hundreds; and a head is kept, to be told if the upload fails, with the buffers that its
/// headers were read into: two and a half times its length (measured).
fn beside(parts: &Parts) -> u64 {
    let stream = if parts.version >= Version::HTTP_2 { STREAM } else { 0 };
    let head = head_length(parts) as u64;
    stream + if head > USUAL_HEAD { head * 5 / 2 } else { 0 }
}

/// The body's length, where it is known. In HTTP/2 a body of unknown length needs no header. In HTTP/1 a request that says neither a
/// length nor chunked has no body (RFC 9112 6.3); but a writer who has one and leaves both out would then have stored an empty object,
/// over what was there, and what follows would be taken for the next request. Who means an empty one says so (RFC 9110 8.6).
fn length(parts: &Parts) -> Result<Option<u64>, Problem> {
    if parts.headers.contains_key(TRANSFER_ENCODING) {
        return Ok(None);
    }
    match parts.headers.get(CONTENT_LENGTH) {
        Some(length) => Ok(length.to_str().ok().and_then(|length| length.trim().parse().ok())),
        None if parts.version >= Version::HTTP_2 => Ok(None),
        None => {
            let detail = "a body's end has to be known: send Content-Length or 'Transfer-Encoding: chunked'; an empty object is sent \
                          with 'Content-Length: 0'";
            Err(Problem::new(Code::LengthRequired, detail).close())
        }
    }
}

/// Takes the body and answers. Cancel-safe: what takes it goes on without the caller.
pub(in crate::web) fn receive(
    web: Web,
    context: Context,
    parts: Parts,
    namespace: Option<NamespaceHandle>,
    upload: Box<Upload>,
    body: Body,
) -> impl Future<Output = Response> + Send {
    let uploads = web.inner.uploads.clone();
    Detached::new(&uploads, take(web, context, parts, namespace, upload, body))
}

/// Reads the body to its end, commits it and makes the answer. What goes wrong is told of here: the client may not be there to hear it.
async fn take(
    web: Web,
    context: Context,
    parts: Parts,
    namespace: Option<NamespaceHandle>,
    upload: Box<Upload>,
    mut body: Body,
) -> Response {
    let exchange = Exchange { namespace, knows_namespace: true, ..Exchange::begin(&web, &context, &parts) };
    match store(&exchange, upload, &mut body).await {
        Ok(stored) => {
            let mut response = header_room::response(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            if let Some(etag) = stored.etag {
                response.headers_mut().insert(ETAG, etag);
            }
            exchange.dress(response)
        }
        Err((problem, received)) => {
            refusals::tell(&web, &context, &parts, &problem, received);
            // A client that waited to be told to go on has been told so.
            let closes = unwanted::after_refusal(&context.connection, &HeaderMap::new(), body);
            refusals::answer(&exchange, if closes { problem.close() } else { problem })
        }
    }
}

/// No piece has come in time.
struct TimeIsOver;

/// What went wrong, and after how many bytes, where that says something.
type PutFailure = (Problem, Option<u64>);

async fn store(exchange: &Exchange<'_>, mut upload: Box<Upload>, body: &mut Body) -> Result<Stored, PutFailure> {
    let (web, context) = (exchange.web, exchange.context);
    let timeouts = web.inner.limits.load().timeouts;
    let mut now = Instant::now();
    let end = now + timeouts.upload_total;
    // One timer for all pieces: a segment that an encoder sends as it makes it has a hundred of them.
    let mut alarm = Alarm::default();
    let problem = loop {
        let next = now + timeouts.upload_idle;
        let frame = poll_fn(|cx| match Pin::new(&mut *body).poll_frame(cx) {
            Poll::Ready(frame) => Poll::Ready(Ok(frame)),
            Poll::Pending if alarm.passed(next.min(end), cx) => Poll::Ready(Err(TimeIsOver)),
            Poll::Pending => Poll::Pending,
        });
        match frame.await {
            Ok(end @ (None | Some(Err(_)))) if !is_whole(&upload, end.is_some(), exchange.parts.version, body) => {
                break cut_off();
            }
            Ok(None | Some(Err(_))) => match commit(exchange, upload).await {
                Ok(stored) => {
                    context.record.stored(&stored);
                    if tracing::enabled!(tracing::Level::DEBUG) {
                        let (name, _) = context.record.who_and_what();
                        let (namespace, key) = name.as_ref().map_or(("", ""), |name| (name.namespace(), name.key()));
                        let said = if stored.is_superseded { "superseded by what was begun later" } else { "stored" };
                        let key = &*shown(key);
                        tracing::debug!(namespace, key, size_bytes = stored.length, "{said}");
                    }
                    return Ok(stored);
                }
                Err(error) => return Err((error.into(), None)),
            },
            Ok(Some(Ok(frame))) => {
                // Trailers say nothing we keep.
                let Ok(piece) = frame.into_data() else { continue };
                // Looked at here, too: bytes that are always there already never let the timer speak.
                now = Instant::now();
                if now >= end {
                    break too_slow();
                }
                if let Err(error) = upload.write(piece) {
                    break Problem::from(error);
                }
            }
            Err(TimeIsOver) if next < end => break stalled(),
            Err(TimeIsOver) => break too_slow(),
        }
    };
    Err((problem, Some(upload.received())))
}

/// Whether a body that has ended, or failed, has come to its end. Where its length was announced, that says so: in HTTP/2 a client that goes
/// when all has come makes an error of it. Where it was not, the HTTP library tells a stream of HTTP/2 that its client has reset with `NO_ERROR` (as
/// Envoy does for an encoder that is gone) like one that was whole.
fn is_whole(upload: &Upload, has_failed: bool, version: Version, body: &Body) -> bool {
    match upload.announced() {
        Some(length) => upload.received() == length,
        None => !has_failed && (version < Version::HTTP_2 || body.is_end_stream()),
    }
}

/// Makes it known. A playlist lists what its encoder has sent before it: that goes first.
async fn commit(exchange: &Exchange<'_>, upload: Box<Upload>) -> Result<Stored, OriginError> {
    let Context { peer, connection, begun, .. } = exchange.context;
    if let Some(begun) = begun
        && upload.is_rewritten()
    {
        exchange.web.inner.comers.done(peer.ip(), *begun, connection).await;
    }
    upload.commit().await
}

fn cut_off() -> Problem {
    let detail = "the body ended before it was complete, so nothing was stored: the connection broke, or the length was wrong";
    Problem::new(Code::IncompleteBody, detail)
}

fn stalled() -> Problem {
    let detail = "no byte of the body came for too long, so nothing was stored: send it again on a new connection";
    Problem::new(Code::StalledBody, detail).close()
}

fn too_slow() -> Problem {
    let detail = "the body took longer than an upload may (timeouts.upload_total), so nothing was stored: send smaller objects, look \
                  at the uplink, or raise the limit";
    Problem::new(Code::SlowBody, detail).close()
}
