//! Accepting connections and speaking HTTP/1.1 on them.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::Web;
use super::connection::{Answer, Connection, ConnectionState};
use super::envelope::answer;

/// The request line and headers of one request, in bytes; past that it is a 431.
pub const MAX_HEAD: usize = 32 << 10;

/// Serves a listener until `stop`. Then it takes no new connection, lets requests in flight end, closes idle connections, and
/// returns when all are gone, or when `drain` has passed and the rest is cut off.
pub async fn serve(listener: TcpListener, web: Web, stop: CancellationToken, drain: Duration) {
    let connections = GracefulShutdown::new();
    let router = web.router();
    let mut trouble = false;
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                trouble = false;
                start(stream, peer, web.clone(), router.clone(), &connections);
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
    if tokio::time::timeout(drain, connections.shutdown()).await.is_err() {
        tracing::warn!("drain_timeout has passed: cutting off the connections that are left");
    }
}

/// An error of one connection that was over before it was accepted, and none of the listener.
fn is_of_the_client(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused)
}

fn start(stream: TcpStream, peer: std::net::SocketAddr, web: Web, router: axum::Router, connections: &GracefulShutdown) {
    // Playlists and headers are small and urgent; a failure here costs some milliseconds, not the connection.
    let _ = stream.set_nodelay(true);
    let state = Arc::new(ConnectionState::default());
    let io = TokioIo::new(Connection::new(stream, Arc::clone(&state), web.inner.timeouts));
    let open = web.inner.metrics.connections.clone();
    open.inc();
    let service = service_fn(move |request: Request<Incoming>| {
        state.request_begins();
        let answered = answer(web.clone(), router.clone(), peer, Arc::clone(&state), request.map(Body::new));
        let state = Arc::clone(&state);
        async move {
            let response: Response<Body> = answered.await;
            Ok::<_, Infallible>(response.map(|body| Answer::new(body, state)))
        }
    });
    let connection = http1::Builder::new()
        // Time limits are kept by `Connection`.
        .header_read_timeout(None)
        // A client that has sent everything may close its half before it reads the answer.
        .half_close(true)
        .max_header_size(MAX_HEAD)
        .serve_connection(io, service);
    let connection = connections.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            // A client's fault, mostly: a scanner's junk, a reset. What an upload lost by it is logged where that is known.
            tracing::debug!(%peer, %error, "connection ended with an error");
        }
        open.dec();
    });
}
