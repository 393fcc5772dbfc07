//! Accepting connections and speaking HTTP/1.1 or HTTP/2 on them: HTTP/2 by ALPN over TLS, and by prior knowledge in clear.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response, Version};
use hyper::body::{Body as _, Incoming};
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::MAX_HEAD;
use super::admission::Refused;
use super::ahead::PlaceInLine;
use super::berths::Held;
use super::encoders::{Socket, Transport};
use super::in_flight::{AnswerBody, Answering, InFlight};
use super::late;
use super::site::Site;
use super::state::ConnectionState;
use super::stream;
use super::timed::Connection;
use super::tls::{NoHandshake, Tls};
use super::unread::Unread;
use super::version::Detected;
use crate::metrics::Metrics;
use crate::model::stamp::Stamp;
use crate::web::Web;
use crate::web::request_id;

/// HTTP/2 flow control: how much of one body, and of all bodies of a connection, may come before it is asked for. A segment in
/// a round trip or two, and no more memory than that for a client whose bodies nobody wants.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 2 << 20;
/// What a client is told when there are too many connections.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nCache-Control: no-store\r\n\
    Access-Control-Allow-Origin: *\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// How long a new connection may take to its first request when the server stops.
const FIRST_REQUEST: Duration = Duration::from_secs(1);
/// A client that says nothing for this long has opened its connection for later: its first request begins when it comes. One that has a
/// request to make sends it at once, and two such connections then are in order by their beginnings, whichever is read first.
const AT_ONCE: Duration = Duration::from_millis(500);
/// Within what time a client has to begin who was let in for an upload alone, its handshake included: some round trips, and one packet that
/// was lost. Who opens his connection for later would keep such a place from those whom it is for.
const AN_UPLOAD_BEGINS: Duration = Duration::from_secs(2);
/// Requests at once on an HTTP/2 connection.
const MAX_STREAMS: u32 = 256;

/// Serves a listener until `stop`, over TLS where that is given. Then it takes no new connection, lets requests in flight end, closes idle connections, and
/// returns when all are gone, or when the drain time has passed and the rest is cut off.
pub(in crate::web) async fn serve(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    web: Web,
    site: impl Site,
    stop: CancellationToken,
) {
    let connections = TaskTracker::new();
    let take = |stream: TcpStream, peer: SocketAddr| {
        // A listener of both families writes IPv4 as `::ffff:a.b.c.d`; everything that counts, limits and logs by address has one form.
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        // Playlists and headers are small and urgent; a failure here costs some milliseconds, not the connection.
        let _ = stream.set_nodelay(true);
        let permit = match site.admit(peer.ip()) {
            Ok(permit) => permit,
            Err(limit) => {
                site.count_refused(limit);
                if tls.is_none() {
                    // Best effort, into an empty buffer: who is refused is not waited for.
                    let _ = stream.try_write(FULL);
                }
                return;
            }
        };
        let state = Arc::default();
        let held = site.hold(&state, permit);
        // Given here, where all connections pass one by one in the order in which the kernel has them.
        let arrived = Arrived { peer, at: web.inner.origin.stamp(), state, held, looked: Instant::now() };
        let Some(tls) = tls.clone() else {
            start(Socket::new(stream), arrived, web.clone(), site.clone(), &connections, &stop);
            return;
        };
        let (web, site, tracker, stop) = (web.clone(), site.clone(), connections.clone(), stop.clone());
        connections.spawn(async move {
            let limits = web.inner.limits.load_full();
            let until = arrived.until(limits.timeouts.request_head);
            let accepted = tokio::select! {
                accepted = tls.accept(Socket::new(stream), until) => accepted,
                // Where places are few, he who has shaken no hand yet has asked for nothing.
                () = arrived.held.given_away() => return,
            };
            match accepted {
                Ok(stream) => start(Box::new(stream), arrived, web, site, &tracker, &stop),
                Err(NoHandshake { unread: Some(unread), detail, in_clear }) => {
                    let connection =
                        in_clear.map(|socket| Connection::new(socket, Arc::default(), limits, Arc::clone(&web.inner.crowd)));
                    end_unread(&web, peer, unread, &detail, connection).await;
                }
                Err(NoHandshake { unread: None, .. }) if arrived.held.is_for_upload() => site.count_refused(Refused::Total),
                // Who says nothing only looks whether the port is open.
                Err(NoHandshake { unread: None, .. }) => {}
            }
        });
    };
    let mut trouble = false;
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                trouble = false;
                take(stream, peer);
            }
            Err(error) if is_of_the_client(&error) => {}
            Err(error) => {
                if !trouble {
                    tracing::error!(%error, "can't accept connections for the moment: is the limit on open files too low?");
                    trouble = true;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    take_pending(listener, &take);
    connections.close();
    let drain = web.inner.limits.load().drain;
    if tokio::time::timeout(drain, connections.wait()).await.is_err() {
        tracing::warn!("drain_timeout has passed: cutting off the connections that are left");
    }
}

/// Serves what the kernel has accepted for us already, then closes the listener, which would reset it. Asks the kernel itself: the
/// runtime learns of a new connection a moment later.
fn take_pending(listener: TcpListener, take: &impl Fn(TcpStream, SocketAddr)) {
    let Ok(listener) = listener.into_std() else { return };
    while let Ok((stream, peer)) = listener.accept() {
        if stream.set_nonblocking(true).is_ok()
            && let Ok(stream) = TcpStream::from_std(stream)
        {
            take(stream, peer);
        }
    }
}

/// An error of one connection that was over before it was accepted, and none of the listener.
fn is_of_the_client(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused)
}

/// A connection that was let in.
struct Arrived {
    peer: SocketAddr,
    /// When it was accepted.
    at: Stamp,
    state: Arc<ConnectionState>,
    held: Held,
    /// The same by the clock of time limits.
    looked: Instant,
}

impl Arrived {
    /// Until when it may say nothing, where others may for so long.
    fn until(&self, patience: Duration) -> Instant {
        let until = Instant::now() + patience;
        if self.held.is_for_upload() { until.min(self.looked + AN_UPLOAD_BEGINS) } else { until }
    }
}

/// Speaks HTTP on a connection until it ends or `stop` winds it up. Its first bytes say which, and whose threads it goes on in: an
/// encoder's are no reader's ([`super::encoders`]).
fn start<S>(stream: S, arrived: Arrived, web: Web, site: impl Site, tasks: &TaskTracker, stop: &CancellationToken)
where
    S: Transport + Send + 'static,
{
    let (stop, tracker) = (stop.clone(), tasks.clone());
    let until = arrived.until(site.first_byte_within(&web.inner.limits.load().timeouts));
    let Arrived { peer, at, state, held, .. } = arrived;
    let place = Some(Box::new(web.inner.comers.arrive(peer.ip(), at, &state)));
    let is_counted = site.is_counted();
    if is_counted {
        web.inner.metrics.connections.inc();
    }
    let mut client = Client { peer, state, stop, web: web.clone(), held, place, is_counted };
    tasks.spawn(async move {
        let limits = web.inner.limits.load_full();
        let looked = Instant::now();
        let detect = Connection::new(stream, Arc::clone(&client.state), limits, Arc::clone(&web.inner.crowd)).detect();
        let taken = tokio::select! {
            // As if the client had ended it, when it says nothing.
            taken = late::until(until, detect) => taken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
            () = client.held.given_away() => return,
            () = stopping(&client.stop, &client.state) => return,
        };
        let (mut io, detected) = match taken {
            Ok(taken) => taken,
            Err(error) => {
                tracing::debug!(%peer, %error, "connection ended before it said anything");
                if client.held.is_for_upload() {
                    site.count_refused(Refused::Total);
                }
                return;
            }
        };
        if detected == Detected::Other
            && let Some(unread) = io.unread()
        {
            end_unread(&web, peer, unread, "", Some(io)).await;
            return;
        }
        if looked.elapsed() <= AT_ONCE {
            client.state.begins_with(at);
        }
        if client.held.is_for_upload() && detected != Detected::Upload {
            site.count_refused(Refused::Total);
            if detected != Detected::Http2 {
                // As at the door; over TLS, too, now that it is spoken.
                let _ = tokio::time::timeout(FIRST_REQUEST, async {
                    io.write_all(FULL).await?;
                    io.shutdown().await
                })
                .await;
            }
            return;
        }
        let mut runtime = Handle::current();
        if detected == Detected::Upload {
            io.acknowledge_at_once();
        } else {
            client.place = None;
        }
        if detected == Detected::Upload
            && let Some(encoders) = web.inner.encoders.get()
        {
            runtime = encoders.clone();
            let _entered = runtime.enter();
            if let Err(error) = io.settle() {
                tracing::warn!(%peer, %error, "an encoder's connection can't go on: is the limit on open files too low?");
                return;
            }
        }
        let (io, service) = (TokioIo::new(io), service(site.of_connection(), peer, &client.state));
        if detected == Detected::Http2 {
            let streams =
                StreamTasks { limit: web.inner.limits.load().timeouts.download_idle, metrics: Arc::clone(&web.inner.metrics) };
            let connection = Box::pin(http2(streams).serve_connection(io, service));
            tracker.spawn_on(client.speak(connection, http2::Connection::graceful_shutdown), &runtime);
        } else {
            let connection = Box::pin(http1().serve_connection(io, service));
            tracker.spawn_on(client.speak(connection, http1::Connection::graceful_shutdown), &runtime);
        }
    });
}

/// Takes note of what was no request, and answers it if its client may be answered.
async fn end_unread<S: Transport>(web: &Web, peer: SocketAddr, unread: Unread, detail: &str, connection: Option<Connection<S>>) {
    let id = request_id::make();
    let answer = connection.and_then(|connection| Some((connection, unread.answer(&id)?)));
    let told = if answer.is_some() { id.to_str().unwrap_or_default() } else { "" };
    web.note_unread(peer.ip(), unread, detail, told);
    if let Some((connection, answer)) = answer {
        connection.end_with(&answer).await;
    }
}

/// Who is at the other end of a connection. It is open until this is dropped.
struct Client {
    peer: SocketAddr,
    state: Arc<ConnectionState>,
    stop: CancellationToken,
    web: Web,
    held: Held,
    /// Its place among those of its address, unless it reads.
    place: Option<Box<PlaceInLine>>,
    is_counted: bool,
}

impl Drop for Client {
    fn drop(&mut self) {
        if self.is_counted {
            self.web.inner.metrics.connections.dec();
        }
    }
}

impl Client {
    /// Speaks HTTP to the connection's end, which it is told to come to when the server stops.
    ///
    /// What this holds, each idle connection holds: the library's connection is in a box, so that it is not laid out here as well
    /// as where it was made, and what lasts as long as one request is in another.
    async fn speak<C>(self, mut connection: Pin<Box<C>>, wind_up: fn(Pin<&mut C>))
    where
        C: Future<Output = hyper::Result<()>> + Send,
    {
        let ended = tokio::select! {
            ended = &mut connection => ended,
            // It was between two requests. Should one have come this moment, its client finds the connection closed, as at any end.
            () = self.held.given_away() => return,
            () = stopping(&self.stop, &self.state) => {
                wind_up(connection.as_mut());
                (&mut connection).await
            }
        };
        if let Some((unread, request_id)) = self.state.unread() {
            let detail = ended.map_or_else(|error| error.to_string(), |()| String::new());
            let id = request_id.to_str().unwrap_or_default();
            self.web.note_unread(self.peer.ip(), unread, &detail, id);
        } else if let Err(error) = ended {
            // A client's fault, mostly: a reset. What an upload lost by it is logged where that is known.
            tracing::debug!(peer = %self.peer, %error, "connection ended with an error");
        }
        if self.state.is_stalled() {
            self.web.inner.metrics.answers_stalled.inc();
        }
    }
}

fn http1() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // Time limits are kept by `Connection`.
        .header_read_timeout(None)
        // A client that has sent everything may close its half before it reads the answer.
        .half_close(true);
    builder
}

fn http2(streams: StreamTasks) -> http2::Builder<StreamTasks> {
    let mut builder = http2::Builder::new(streams);
    builder
        .timer(TokioTimer::new())
        .max_header_list_size(MAX_HEAD)
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    builder
}

/// Answers a connection's requests.
fn service<S: Site>(
    site: S,
    peer: SocketAddr,
    state: &Arc<ConnectionState>,
) -> impl Service<Request<Incoming>, Response = Response<AnswerBody<S::Body>>, Error = Infallible, Future = Answering<S::Body>> + use<S>
{
    let state = Arc::clone(state);
    service_fn(move |request: Request<Incoming>| {
        if request.version() == Version::HTTP_2 {
            state.set_multiplexed();
        }
        let accepted = state.request_begins();
        state.announce_body(request.body().size_hint().exact().unwrap_or(0));
        // Most requests are reads: a body that is at its end already needs no room.
        let request = request.map(|body| if body.is_end_stream() { Body::empty() } else { Body::new(body) });
        // What it does at once is done in the order in which the heads have come, on whichever threads it goes on.
        let answer = site.clone().answer(peer, Arc::clone(&state), accepted, request);
        // Made before the answer is: a request that is given up half-way ends, too.
        Answering::new(answer, InFlight::new(Arc::clone(&state)))
    })
}

/// Runs the streams of an HTTP/2 connection, each in a task of its own and against the clock.
#[derive(Clone, Debug)]
struct StreamTasks {
    limit: Duration,
    metrics: Arc<Metrics>,
}

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for StreamTasks {
    fn execute(&self, future: F) {
        let Self { limit, metrics } = self.clone();
        tokio::spawn(async move {
            if !stream::timed(future, limit).await {
                metrics.answers_stalled.inc();
            }
        });
    }
}

/// Waits until a connection is to be wound up. One that is so fresh that its first request is still on its way is given a moment
/// for it: to its client, who cannot have been told, the server would else have failed.
async fn stopping(stop: &CancellationToken, connection: &ConnectionState) {
    stop.cancelled().await;
    // In a box: until the server stops, no connection has need of it.
    let _ = Box::pin(tokio::time::timeout(FIRST_REQUEST, connection.first_request())).await;
}
