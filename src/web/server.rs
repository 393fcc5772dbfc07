//! Accepting connections and speaking HTTP/1.1 or HTTP/2 on them: HTTP/2 by ALPN over TLS, and by prior knowledge in clear.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Web;
use super::admission::Place;
use super::connection::{Answer, Connection, ConnectionState, Ending};
use super::envelope::{MAX_HEAD, answer};
use super::stream;
use super::tls::Tls;
use crate::metrics::Metrics;

/// HTTP/2 flow control: how much of one body, and of all bodies of a connection, may come before it is asked for. A segment in
/// a round trip or two, and no more memory than that for a client whose bodies nobody wants.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 2 << 20;
/// What a client is told when there are too many connections.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nCache-Control: no-store\r\n\
    Access-Control-Allow-Origin: *\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// How long a new connection may take to its first request when the server stops.
const FIRST_REQUEST: Duration = Duration::from_secs(1);
/// Requests at once on an HTTP/2 connection.
const MAX_STREAMS: u32 = 256;

/// Serves a listener until `stop`, over TLS where that is given. Then it takes no new connection, lets requests in flight end, closes idle connections, and
/// returns when all are gone, or when the drain time has passed and the rest is cut off.
pub async fn serve(listener: TcpListener, tls: Option<Arc<Tls>>, web: Web, stop: CancellationToken) {
    let connections = TaskTracker::new();
    let router = web.router();
    let take = |stream: TcpStream, peer: SocketAddr| {
        // Playlists and headers are small and urgent; a failure here costs some milliseconds, not the connection.
        let _ = stream.set_nodelay(true);
        let place = match web.inner.admission.admit(peer.ip(), web.inner.limits.load().connections) {
            Ok(place) => place,
            Err(limit) => {
                web.inner.metrics.count_connection_refused(limit.as_str());
                if tls.is_none() {
                    // Best effort, into an empty buffer: who is refused is not waited for.
                    let _ = stream.try_write(FULL);
                }
                return;
            }
        };
        let Some(tls) = tls.clone() else {
            start(stream, peer, place, web.clone(), router.clone(), &connections, &stop);
            return;
        };
        let (web, router, tracker, stop) = (web.clone(), router.clone(), connections.clone(), stop.clone());
        connections.spawn(async move {
            let limit = web.inner.limits.load().timeouts.request_head;
            match tokio::time::timeout(limit, tls.accept(stream)).await {
                Ok(Ok(stream)) => start(stream, peer, place, web, router, &tracker, &stop),
                Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
                Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
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

/// Speaks HTTP on a connection, in a task of its own, until it ends or `stop` winds it up.
fn start<S>(stream: S, peer: SocketAddr, place: Place, web: Web, router: Router, tasks: &TaskTracker, stop: &CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let state = Arc::new(ConnectionState::default());
    let watched = Arc::clone(&state);
    let timeouts = web.inner.limits.load().timeouts;
    let io = TokioIo::new(Connection::new(stream, Arc::clone(&state), timeouts));
    let metrics = Arc::clone(&web.inner.metrics);
    let streams = Streams { limit: timeouts.download_idle, metrics: Arc::clone(&metrics) };
    let open = web.inner.metrics.connections.clone();
    open.inc();
    let service = service_fn(move |request: Request<Incoming>| {
        if request.version() == Version::HTTP_2 {
            state.is_multiplexed();
        }
        state.request_begins();
        let answered = answer(web.clone(), router.clone(), peer, Arc::clone(&state), request.map(Body::new));
        // Made before the answer is: a request that is given up half-way ends, too.
        let ending = Ending::new(Arc::clone(&state));
        async move {
            let response: Response<Body> = answered.await;
            Ok::<_, Infallible>(response.map(|body| Answer::new(body, ending)))
        }
    });
    let mut builder = auto::Builder::new(streams);
    builder
        .http1()
        // Time limits are kept by `Connection`.
        .header_read_timeout(None)
        // A client that has sent everything may close its half before it reads the answer.
        .half_close(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(MAX_HEAD)
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    let connection = builder.serve_connection(io, service).into_owned();
    let stop = stop.clone();
    tasks.spawn(async move {
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stopping(&stop, &watched) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            // A client's fault, mostly: a scanner's junk, a reset. What an upload lost by it is logged where that is known.
            tracing::debug!(%peer, %error, "connection ended with an error");
        }
        if watched.is_stalled() {
            metrics.answers_stalled.inc();
        }
        open.dec();
        drop(place);
    });
}

/// Runs the streams of an HTTP/2 connection, each in a task of its own and against the clock.
#[derive(Clone, Debug)]
struct Streams {
    limit: Duration,
    metrics: Arc<Metrics>,
}

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Streams {
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
    let _ = tokio::time::timeout(FIRST_REQUEST, connection.first_request()).await;
}
