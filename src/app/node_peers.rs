//! The other nodes, as servers that are asked: for objects that grow there. Where each is reached they tell one another by the engine.
//!
//! A node asks as any reader does, with a key that it makes itself, by the signing keys that all nodes have, and that is good for some minutes.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, FuturesUnordered};
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::RwLock;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::client::{HttpClient, OpenedResponse, TlsRules, Url};
use super::data_dir::DataDir;
use super::settings::ClusterSettings;
use crate::auth::grant::{Role, Scope};
use crate::auth::key::KeySpec;
use crate::auth::signing::random_id;
use crate::model::clock::{Clock, WallTime};
use crate::model::id::{Key, Namespace};
use crate::store::BrokenOff;
use crate::store::shared::{PeerBody, Peers, SharedStore};

/// How often nodes tell where they are, and for how long that is believed.
const EVERY: Duration = Duration::from_secs(1);
const BELIEVED: Duration = Duration::from_secs(10);
/// The list of it, as the engine names it.
const LIST: &str = "nodes";
/// How long a key is good, and how often another is made.
const KEY: Duration = Duration::from_secs(600);
const ANOTHER: Duration = Duration::from_secs(60);
/// For so long a node may be silent in the middle of an object: as long as an encoder may.
const SILENCE: Duration = Duration::from_secs(30);
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
/// What says that an object is still on its way in.
const GROWING: &str = "detail=growing";

/// The other nodes.
#[derive(Debug)]
pub(super) struct NodePeers {
    client: HttpClient,
    known: RwLock<KnownPeers>,
}

#[derive(Debug, Default)]
struct KnownPeers {
    urls: Vec<Url>,
    /// How they are asked: it holds a key.
    headers: Option<HeaderMap>,
}

/// Where others reach this server: what the settings say, or where it listens; at the address that leads to the engine, if it listens at all.
/// `None`: nobody knows.
pub(super) fn address(cluster: &ClusterSettings, listens: Option<SocketAddr>) -> Option<Url> {
    if let Some(said) = &cluster.advertise {
        return Some(said.clone());
    }
    let listens = listens?;
    let host = if listens.ip().is_unspecified() { towards(cluster)? } else { listens.ip() };
    Url::parse(&format!("http://{}/", SocketAddr::new(host, listens.port()))).ok()
}

/// This machine's address on the way to the engine. Nothing is sent.
fn towards(cluster: &ClusterSettings) -> Option<IpAddr> {
    let engine = cluster.engine.as_ref()?.servers.first()?;
    let any = ["0.0.0.0:0", "[::]:0"].iter().filter_map(|any| UdpSocket::bind(any).ok());
    any.filter_map(|socket| {
        socket.connect((engine.host.as_str(), engine.port)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    })
    .next()
}

/// Tells others where this node is, and keeps in mind where they are, until `stop`.
pub(super) fn start(shared: &SharedStore, own: Option<Url>, data: DataDir, clock: Clock, stop: CancellationToken) {
    let client = match HttpClient::new(TlsRules::default(), clock.clone()) {
        Ok(client) => client,
        Err(error) => {
            let error = format!("{error:#}");
            return tracing::warn!(error, "other nodes can't be asked for what is still being uploaded there");
        }
    };
    let peers = Arc::new(NodePeers { client, known: RwLock::default() });
    shared.ask_by(Arc::<NodePeers>::clone(&peers));
    let shared = shared.clone();
    tokio::spawn(async move {
        let word = own.map(|url| format!("{} {url}", random_id()));
        let mut made = None;
        while !stop.is_cancelled() {
            let (now, wall) = (clock.now(), clock.wall());
            if made.is_none_or(|made| now.since(made) >= ANOTHER)
                && let Some(headers) = headers(&data, wall)
            {
                peers.known.write().headers = Some(headers);
                made = Some(now);
            }
            let own: Vec<_> = word.iter().map(|word| (word.clone(), wall + BELIEVED)).collect();
            if let Ok(all) = shared.pool(LIST, &own).await {
                let others = all.into_iter().filter(|one| Some(one) != word.as_ref());
                peers.known.write().urls = others.filter_map(|one| Url::parse(one.split_once(' ')?.1).ok()).collect();
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = stop.cancelled() => {}
            }
        }
    });
}

/// How others are asked. The key is on no record: it is over soon.
fn headers(data: &DataDir, now: WallTime) -> Option<HeaderMap> {
    let scope = Scope::parse(["*"]).ok()?;
    let spec = KeySpec { role: Role::Readonly, scope, prefix: None, is_edge: true, expires: Some(now + KEY) };
    let issued = data.key_ring(false).ok()?.issue(&spec, now).ok()?;
    let mut value = HeaderValue::from_str(&format!("Bearer {}", issued.token.expose())).ok()?;
    value.set_sensitive(true);
    Some(HeaderMap::from_iter([(AUTHORIZATION, value)]))
}

/// The address of an object on a node, which is to ask no others.
fn of_object(node: &Url, namespace: &Namespace, key: &Key) -> Option<Url> {
    let mut url = node.clone();
    url.path_segments_mut().ok()?.pop_if_empty().push("cache").push(namespace.as_str()).extend(key.as_str().split('/'));
    url.set_query(Some("springhead_node=1"));
    Some(url)
}

impl NodePeers {
    /// Asks one of them.
    async fn ask(&self, url: Url, headers: HeaderMap) -> Option<OpenedResponse> {
        let opened = self.client.open(url, headers).await.ok()?;
        let is_growing =
            opened.headers.get(CACHE_STATUS).is_some_and(|status| status.to_str().is_ok_and(|said| said.contains(GROWING)));
        (opened.status == 200 && is_growing).then_some(opened)
    }
}

impl Peers for NodePeers {
    fn growing<'a>(&'a self, namespace: &'a Namespace, key: &'a Key) -> BoxFuture<'a, Option<PeerBody>> {
        Box::pin(async move {
            let (urls, headers) = {
                let known = self.known.read();
                let urls: Vec<_> = known.urls.iter().filter_map(|node| of_object(node, namespace, key)).collect();
                (urls, known.headers.clone()?)
            };
            let mut asked: FuturesUnordered<_> = urls.into_iter().map(|url| self.ask(url, headers.clone())).collect();
            while let Some(answered) = asked.next().await {
                if let Some(opened) = answered {
                    return Some(body(opened));
                }
            }
            None
        })
    }
}

fn body(opened: OpenedResponse) -> PeerBody {
    let header = |name: HeaderName| opened.headers.get(name).cloned();
    let content_type = header(CONTENT_TYPE).unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let (content_encoding, cache_control) = (header(CONTENT_ENCODING), header(CACHE_CONTROL));
    let pieces = stream::unfold(Some(opened), |opened| async move {
        let mut opened = opened?;
        match timeout(SILENCE, opened.piece()).await {
            Ok(Ok(Some(piece))) => Some((Ok(piece), Some(opened))),
            Ok(Ok(None)) => None,
            Ok(Err(_)) | Err(_) => Some((Err(BrokenOff), None)),
        }
    });
    PeerBody { content_type, content_encoding, cache_control, pieces: pieces.boxed() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::settings::EngineAddress;
    use crate::store::shared::ServerAddress;

    #[test]
    fn where_a_node_is_reached_is_said_or_follows_from_where_it_listens() {
        let servers = vec![ServerAddress { host: "127.0.0.1".to_owned(), port: 6379 }];
        let mut cluster = ClusterSettings {
            engine: Some(EngineAddress { servers, is_cluster: false, is_tls: false }),
            ..ClusterSettings::default()
        };
        let told = |cluster: &ClusterSettings, listens: Option<&str>| {
            address(cluster, listens.map(|listens| listens.parse().unwrap())).map(|url| url.to_string())
        };
        assert_eq!(told(&cluster, None), None);
        assert_eq!(told(&cluster, Some("10.1.2.3:8080")).unwrap(), "http://10.1.2.3:8080/");
        assert_eq!(told(&cluster, Some("[::1]:8080")).unwrap(), "http://[::1]:8080/");
        assert_eq!(told(&cluster, Some("0.0.0.0:8080")).unwrap(), "http://127.0.0.1:8080/", "as the engine sees it");
        cluster.advertise = Some(Url::parse("https://a.example:8443").unwrap());
        assert_eq!(told(&cluster, None).unwrap(), "https://a.example:8443/");
        let (node, namespace) = (Url::parse("http://a:80/").unwrap(), Namespace::parse("n").unwrap());
        let of = of_object(&node, &namespace, &Key::parse("a b/\u{e9}?#%.ts").unwrap()).unwrap();
        assert_eq!(of.as_str(), "http://a/cache/n/a%20b/%C3%A9%3F%23%25.ts?springhead_node=1");
    }
}
