//! What answers the requests of a listener's connections: the seam between connections and what is served on them.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Request, Response};

use super::admission::{Permit, Refused};
use super::berths::Held;
use super::state::ConnectionState;
use crate::model::stamp::Stamp;
use crate::web::Timeouts;

/// A request being handled: in one box, which lasts as long as it, so that what it holds is laid out once and not moved about. Of less
/// than a kilobyte the allocator has one at hand.
pub(in crate::web) type Handling<B> = Pin<Box<dyn Future<Output = Response<B>> + Send>>;

/// Answers requests. A cheap handle, of which each request gets its own.
pub(in crate::web) trait Site: Clone + Send + Sync + 'static {
    /// An answer's body.
    type Body: http_body::Body<Data = Bytes, Error = axum::Error> + Send + Unpin + 'static;

    /// The same, for one connection: its requests' own are copies of this one, and counted apart from those of others.
    fn of_connection(&self) -> Self {
        self.clone()
    }

    /// A permit for a connection from this address, or why it is not taken. Each site has limits of its own: a flood on one listener
    /// takes nothing from those who are served on another.
    fn admit(&self, address: IpAddr) -> Result<Permit, Refused>;

    /// What a connection that was let in holds until its end: its permit, or its place where the site has few.
    fn hold(&self, connection: &Arc<ConnectionState>, permit: Permit) -> Held;

    /// Counts a connection that was not taken.
    fn count_refused(&self, limit: Refused);

    /// Whether its open connections are among those that are counted.
    fn is_counted(&self) -> bool;

    /// Within what time a new connection has to say something.
    fn first_byte_within(&self, timeouts: &Timeouts) -> Duration;

    /// Answers a request, which began when its connection was `accepted`, where that is given, and else now. When this or the answer's
    /// body is dropped, the client has gone, and the rest is nobody's.
    fn answer(
        self,
        peer: SocketAddr,
        connection: Arc<ConnectionState>,
        accepted: Option<Stamp>,
        request: Request<Body>,
    ) -> Handling<Self::Body>;
}
