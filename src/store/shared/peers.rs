//! Other nodes, as far as they are asked for what no engine has yet: the port by which a floor above does that.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use http::HeaderValue;

use crate::model::id::{Key, Namespace};
use crate::store::BrokenOff;

/// Asks the other nodes.
pub trait Peers: std::fmt::Debug + Send + Sync {
    /// Asks all of them for an object that is on its way in there; those that expect it wait for it. `None`: it is so nowhere. Cancel-safe.
    fn growing<'a>(&'a self, namespace: &'a Namespace, key: &'a Key) -> BoxFuture<'a, Option<PeerBody>>;
}

/// An object that grows on another node.
pub struct PeerBody {
    /// What it is served with there.
    pub content_type: HeaderValue,
    /// Its coding, if it has one.
    pub content_encoding: Option<HeaderValue>,
    /// What caches are told of it there.
    pub cache_control: Option<HeaderValue>,
    /// Its pieces, each as it comes, to the end of what has become an object.
    pub pieces: BoxStream<'static, Result<Bytes, BrokenOff>>,
}

impl std::fmt::Debug for PeerBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PeerBody").field("content_type", &self.content_type).finish_non_exhaustive()
    }
}
