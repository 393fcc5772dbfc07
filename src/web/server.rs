//! Accepting connections and speaking HTTP/1.1 or HTTP/2 on them: HTTP/2 by ALPN over TLS, and by prior knowledge in clear.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Web;
use super::connection::{Answer, Connection, ConnectionState, Ending};
use super::envelope::{MAX_HEAD, answer};
use super::tls::Tls;

/// HTTP/2 flow control: how much of one body, and of all bodies of a connection, may come before it is asked for. A segment in
/// a round trip or two, and no more memory than that for a client whose bodies nobody wants.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 2 << 20;
/// Requests at once on an HTTP/2 connection.
const MAX_STREAMS: u32 = 256;

/// Serves a listener until `stop`, over TLS where that is given. Then it takes no new connection, lets requests in flight end, closes idle connections, and
/// returns when all are gone, or when `drain` has passed and the rest is cut off.
pub async fn serve(listener: TcpListener, tls: Option<Arc<Tls>>, web: Web, stop: CancellationToken, drain: Duration) {
    let connections = Arc::new(GracefulShutdown::new());
    let router = web.router();
    let handshakes = TaskTracker::new();
    let mut trouble = false;
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                trouble = false;
                // Playlists and headers are small and urgent; a failure here costs some milliseconds, not the connection.
                let _ = stream.set_nodelay(true);
                let Some(tls) = tls.clone() else {
                    start(stream, peer, web.clone(), router.clone(), &connections);
                    continue;
                };
                let (web, router, connections) = (web.clone(), router.clone(), Arc::clone(&connections));
                handshakes.spawn(async move {
                    match tokio::time::timeout(web.inner.timeouts.request_head, tls.accept(stream)).await {
                        Ok(Ok(stream)) => start(stream, peer, web, router, &connections),
                        Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
                        Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
                    }
                });
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
    drop(listener);
    let ended = async {
        handshakes.close();
        handshakes.wait().await;
        // The last handshake has let go of it.
        if let Some(connections) = Arc::into_inner(connections) {
            connections.shutdown().await;
        }
    };
    if tokio::time::timeout(drain, ended).await.is_err() {
        tracing::warn!("drain_timeout has passed: cutting off the connections that are left");
    }
}

/// An error of one connection that was over before it was accepted, and none of the listener.
fn is_of_the_client(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused)
}

fn start<S>(stream: S, peer: std::net::SocketAddr, web: Web, router: axum::Router, connections: &GracefulShutdown)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let state = Arc::new(ConnectionState::default());
    let io = TokioIo::new(Connection::new(stream, Arc::clone(&state), web.inner.timeouts));
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
    let mut builder = auto::Builder::new(TokioExecutor::new());
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
    let connection = connections.watch(builder.serve_connection(io, service).into_owned());
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            // A client's fault, mostly: a scanner's junk, a reset. What an upload lost by it is logged where that is known.
            tracing::debug!(%peer, %error, "connection ended with an error");
        }
        open.dec();
    });
}
