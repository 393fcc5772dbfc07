//! The other nodes, as servers that are asked: for objects that grow there, and for what each of them alone knows. Where each is reached they tell one
//! another by the engine.
//!
//! A node asks with keys that it makes itself, by the signing keys that all nodes have, and that are good for some minutes: for objects as any
//! reader does, for the rest as a node.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, join_all};
use futures_util::stream::{self, FuturesUnordered};
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use parking_lot::RwLock;
use serde_json::Value;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::client::{Call, HttpClient, OpenedResponse, Response, TlsRules, Url};
use super::data_dir::DataDir;
use super::duties::Duties;
use super::settings::ClusterSettings;
use crate::auth::grant::{Role, Scope};
use crate::auth::key::KeySpec;
use crate::auth::signing::random_id;
use crate::model::clock::{Clock, WallTime};
use crate::model::id::{Key, Namespace};
use crate::store::BrokenOff;
use crate::store::shared::{PeerBody, Peers, SharedStore, ValkeyAddress, pooled};
use crate::web::admin::nodes::{NodeSaid, OtherNodes};

/// How often nodes tell where they are, and for how long that is believed.
const EVERY: Duration = Duration::from_secs(1);
const BELIEVED: Duration = Duration::from_secs(10);
/// For how long after its last word a node is missed, where it is not reached: as long as the engine tells of it.
const MISSED: Duration = Duration::from_secs(60);
/// The lists of it, as the engine names them: who is there, and who was there lately.
const LIST: &str = "nodes";
const LATELY: &str = "nodes-lately";
/// How long a key is good, and how often another is made.
const KEY: Duration = Duration::from_secs(600);
const ANOTHER: Duration = Duration::from_secs(60);
/// For so long a node may be silent in the middle of an object: as long as an encoder may.
const SILENCE: Duration = Duration::from_secs(30);
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
/// What says that an object is still on its way in.
const GROWING: &str = "detail=growing";

/// How long what another node alone knows is waited for, and how long that may be.
const TELLS: Duration = Duration::from_secs(1);
const LONGEST: usize = 16 << 20;

/// The other nodes.
#[derive(Debug)]
pub(super) struct NodePeers {
    /// What this one is called.
    own: String,
    client: HttpClient,
    /// For what is asked from another runtime, whose connections end with that.
    aside: HttpClient,
    known: RwLock<KnownPeers>,
}

#[derive(Debug, Default)]
struct KnownPeers {
    nodes: Vec<ReachedNode>,
    /// Those that say nothing any more, for a while: they are asked for what each alone knows, and for no objects.
    missed: Vec<ReachedNode>,
    /// How they are asked, as a reader and as a node: they hold keys.
    headers: Option<(HeaderMap, HeaderMap)>,
}

/// A node, and where it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReachedNode {
    /// What its settings call it.
    pub(super) name: String,
    pub(super) url: Url,
}

/// Reads what a node says of where it is: `None`, where that is of another make.
fn read_word(word: &str) -> Option<ReachedNode> {
    let (url, name) = word.split_once(' ')?.1.split_once(' ')?;
    Some(ReachedNode { name: name.to_owned(), url: Url::parse(url).ok()? })
}

/// All nodes that have told where they are reached: asked once, for who looks after them.
///
/// # Errors
/// Why the engine can't be asked.
pub(super) async fn told(address: &ValkeyAddress) -> Result<Vec<ReachedNode>, String> {
    let mut told: Vec<_> = pooled(address, LIST).await?.iter().filter_map(|word| read_word(word)).collect();
    told.sort_by(|one, other| (&one.name, one.url.as_str()).cmp(&(&other.name, other.url.as_str())));
    // Of a node that was started again the word of the process before is believed for some seconds.
    told.dedup();
    Ok(told)
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
pub(super) fn start(
    peers: &Arc<NodePeers>,
    shared: &SharedStore,
    own: Option<Url>,
    data: DataDir,
    clock: Clock,
    (duties, stop): (&Duties, CancellationToken),
) {
    shared.ask_by(Arc::<NodePeers>::clone(peers));
    let (shared, peers, name) = (shared.clone(), Arc::clone(peers), peers.own.clone());
    duties.begin("nodes", async move {
        let lately = own.as_ref().map(|url| format!("at {url} {name}"));
        let word = own.map(|url| format!("{} {url} {name}", random_id()));
        let mut made = None;
        while !stop.is_cancelled() {
            let (now, wall) = (clock.now(), clock.wall());
            if made.is_none_or(|made| now.since(made) >= ANOTHER)
                && let Some(headers) = as_reader(&data, wall).zip(as_node(&data, wall))
            {
                peers.known.write().headers = Some(headers);
                made = Some(now);
            }
            let own: Vec<_> = word.iter().map(|word| (word.clone(), wall + BELIEVED)).collect();
            if let Ok(all) = shared.pool(LIST, &own).await {
                let others = all.into_iter().filter(|one| Some(one) != word.as_ref());
                let nodes: Vec<_> = others.filter_map(|one| read_word(&one)).collect();
                let own: Vec<_> = lately.iter().map(|word| (word.clone(), wall + MISSED)).collect();
                let all =
                    shared.pool(LATELY, &own).await.map(|all| all.iter().filter_map(|one| read_word(one)).collect::<Vec<_>>());
                let mut known = peers.known.write();
                if let Ok(mut all) = all {
                    all.retain(|one| one.name != name && nodes.iter().all(|node| node.name != one.name));
                    known.missed = all;
                }
                known.nodes = nodes;
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = stop.cancelled() => {}
            }
        }
    });
}

/// How a node asks for objects. The key is on no record, nor is the next: they are over soon.
pub(super) fn as_reader(data: &DataDir, now: WallTime) -> Option<HeaderMap> {
    with_key(data, Role::Readonly, now)
}

/// How it asks for what another node alone knows.
pub(super) fn as_node(data: &DataDir, now: WallTime) -> Option<HeaderMap> {
    with_key(data, Role::Node, now)
}

/// Headers with a key of this role.
pub(super) fn with_key(data: &DataDir, role: Role, now: WallTime) -> Option<HeaderMap> {
    let scope = Scope::parse(["*"]).ok()?;
    let spec = KeySpec { role, scope, prefix: None, is_edge: role == Role::Readonly, expires: Some(now + KEY) };
    let issued = data.key_ring(false).ok()?.issue(&spec, now).ok()?;
    let mut value = HeaderValue::from_str(&format!("Bearer {}", issued.token.expose())).ok()?;
    value.set_sensitive(true);
    Some(HeaderMap::from_iter([(AUTHORIZATION, value)]))
}

/// What stands at this address of a node's admin listener, where nodes ask for it.
fn of_node(node: &Url, target: &str) -> Option<Url> {
    node.join("./").ok()?.join(&format!("node{target}")).ok()
}

/// The address of an object on a node, which is to ask no others.
fn of_object(node: &Url, namespace: &Namespace, key: &Key) -> Option<Url> {
    let mut url = node.clone();
    url.path_segments_mut().ok()?.pop_if_empty().push("cache").push(namespace.as_str()).extend(key.as_str().split('/'));
    url.set_query(Some("springhead_node=1"));
    Some(url)
}

impl NodePeers {
    /// Those of the node of this name, which knows of none before [`start`].
    ///
    /// # Errors
    /// Where this machine can ask nobody.
    pub(super) fn new(own: String, clock: &Clock) -> anyhow::Result<Arc<Self>> {
        let client = || HttpClient::new(TlsRules::default(), clock.clone());
        Ok(Arc::new(Self { own, client: client()?, aside: client()?, known: RwLock::default() }))
    }

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
                let urls: Vec<_> = known.nodes.iter().filter_map(|node| of_object(&node.url, namespace, key)).collect();
                (urls, known.headers.clone()?.0)
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

impl OtherNodes for NodePeers {
    fn own(&self) -> &str {
        &self.own
    }

    fn ask<'a>(&'a self, asked: &'a str) -> BoxFuture<'a, Vec<(String, NodeSaid)>> {
        Box::pin(async move {
            let (nodes, headers) = {
                let known = self.known.read();
                let all: Vec<_> = known.nodes.iter().chain(&known.missed).cloned().collect();
                (all, known.headers.clone().map(|(_, as_node)| as_node).unwrap_or_default())
            };
            let all = nodes.into_iter().map(|node| {
                let headers = headers.clone();
                async move {
                    let said = said(&self.aside, &node.url, asked, headers).await.map(|(said, _)| said);
                    (node.name, said)
                }
            });
            let mut all = join_all(all).await;
            // Of one that was started again the word of the process before is believed for some seconds.
            all.sort_by(|(one, of_one), (other, of_other)| (one, of_one.is_err()).cmp(&(other, of_other.is_err())));
            all.dedup_by(|(later, said), (earlier, _)| later == earlier && said.is_err());
            all
        })
    }
}

/// What a node says that is asked as one, and how it came.
pub(super) async fn said(client: &HttpClient, node: &Url, asked: &str, headers: HeaderMap) -> Result<(Value, Response), String> {
    let url = of_node(node, asked).ok_or_else(|| "it says of itself that it is at no address".to_owned())?;
    let call = Call { method: Method::GET, url: &url, headers, body: Bytes::new(), timeout: TELLS, max_body: LONGEST };
    let told = client.ask(call).await.map_err(|error| error.to_string())?;
    match (told.status, serde_json::from_slice(&told.body)) {
        (200, Ok(value)) => Ok((value, told)),
        (401, _) => Err("it does not take this node's key: has it the same signing.key?".to_owned()),
        (status, _) => Err(format!("it answers {status}")),
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
