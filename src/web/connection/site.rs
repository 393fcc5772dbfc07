//! What answers the requests of a listener's connections: the seam between connections and what is served on them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{Request, Response};

use super::admission::{Permit, Refused};
use super::state::ConnectionState;
use crate::model::stamp::Stamp;

/// Answers requests. A cheap handle, of which each request gets its own.
pub(in crate::web) trait Site: Clone + Send + Sync + 'static {
    /// An answer's body.
    type Body: http_body::Body<Data = Bytes, Error = axum::Error> + Send + Unpin + 'static;

    /// A permit for a connection from this address, or why it is not taken. Each site has limits of its own: a flood on one listener
    /// takes nothing from those who are served on another.
    fn admit(&self, address: IpAddr) -> Result<Permit, Refused>;

    /// Answers a request, which began when its connection was `accepted`, where that is given, and else now. When this or the answer's
    /// body is dropped, the client has gone, and the rest is nobody's.
    fn answer(
        self,
        peer: SocketAddr,
        connection: Arc<ConnectionState>,
        accepted: Option<Stamp>,
        request: Request<Body>,
    ) -> impl Future<Output = Response<Self::Body>> + Send;
}
