//! `springhead doctor --cluster`: several nodes and the engine that they share, from beside one of them, whose settings say where the engine is and
//! whose signing key makes the keys by which all nodes are asked. What has to be alike is held against each other, and playlists are read through
//! one node after the other: none may say an older one than the one before.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::Value;

use super::report::{Finding, Report, Severity};
use super::shared_engine;
use crate::app::client::{At, Call, HttpClient, Response, TlsRules, Unanswered, Url, authorities, usage};
use crate::app::data_dir::DataDir;
use crate::app::node_peers::{self, ReachedNode};
use crate::app::settings::Settings;
use crate::app::{Failure, cluster};
use crate::auth::grant::Role;
use crate::model::clock::{Clock, WallTime};
use crate::model::percent;
use crate::model::units::parse_duration;
use crate::store::shared::examine;

/// So many playlists are read through all nodes, and so often.
const PLAYLISTS: usize = 12;
const ROUNDS: usize = 2;
/// Clocks that differ by no more are in step; by more than the second, expiry and keys go wrong.
const IN_STEP: Duration = Duration::from_secs(1);
const OFF: Duration = Duration::from_secs(10);
/// More than a playlist has.
const MAX_BODY: usize = 16 << 20;
/// The rules of a namespace that may be each node's own.
const OWN_RULES: [&str; 1] = ["hot_capacity"];

/// What is asked for, as it was written.
#[derive(Debug)]
pub(in crate::app) struct ClusterWalk {
    pub(in crate::app) write: bool,
    pub(in crate::app) ca: Option<PathBuf>,
    pub(in crate::app) timeout: String,
    pub(in crate::app) json: bool,
}

/// Who asks the nodes, and how.
struct Asking {
    client: HttpClient,
    data: DataDir,
    timeout: Duration,
}

/// A node that was asked what it is.
struct ToldNode {
    node: ReachedNode,
    about: Value,
    /// Milliseconds by which its clock is ahead of this machine's, as far as that can be told.
    ahead: i64,
    streams: BTreeSet<(String, String)>,
}

/// Walks them all. A failure among what is found is a failure of the command.
pub(in crate::app) fn run(settings: &Settings, walk: &ClusterWalk) -> Result<(), Failure> {
    let none = || Failure::Usage("the settings name no engine ([cluster] engine): this server is by itself".to_owned());
    let address = cluster::address(settings)?.ok_or_else(none)?;
    let timeout = parse_duration(&walk.timeout).map_err(|error| usage("--timeout", error))?;
    let roots = authorities(walk.ca.as_deref())?;
    let rules = TlsRules { extra_roots: roots.as_deref(), ..TlsRules::default() };
    let client = HttpClient::new(rules, Clock::system()).context("TLS is not possible here; name authorities with --ca FILE")?;
    let asking = Asking { client, data: DataDir::new(&settings.data_dir), timeout };
    asking
        .data
        .key_ring(false)
        .context("nodes are asked with the signing key of one: run this where one is, with its settings")?;
    let mut report = Report::new(walk.json, None);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("can't start")?;
    runtime.block_on(async {
        let engine = settings.cluster.engine.as_ref().map(ToString::to_string).unwrap_or_default();
        report.title(&format!("engine {engine}"));
        let nodes = node_peers::told(&address).await;
        match examine(&address, &Clock::system()).await {
            Ok(found) => shared_engine::judge(&found, nodes.as_deref().ok(), &mut report),
            Err(error) => {
                let advice =
                    "is it up, and do [cluster] engine, user, password_file and ca of these settings lead to it from here?";
                report.add(At::Origin, Finding::failure("engine", error, advice));
                return;
            }
        }
        match nodes {
            Ok(nodes) => asking.walk(nodes, walk.write, &mut report).await,
            Err(error) => {
                report.add(At::Origin, Finding::failure("nodes", error, "try again: the engine has answered a moment ago"));
            }
        }
    });
    report.end()?;
    match report.count(Severity::Failure) {
        0 => Ok(()),
        1 => Err(anyhow!("doctor found a failure").into()),
        count => Err(anyhow!("doctor found {count} failures").into()),
    }
}

/// Milliseconds by which what was said at some moment of a call is ahead of this machine's clock: none, where any moment of it will do.
fn ahead(said: Option<WallTime>, answer: &Response) -> i64 {
    let (Some(said), asked, answered) = (said, answer.asked, answer.answered) else { return 0 };
    let millis = |time: WallTime| i64::try_from(time.millis()).unwrap_or(i64::MAX);
    let (said, asked, answered) = (millis(said), millis(asked), millis(answered));
    if said < asked { said - asked } else { (said - answered).max(0) }
}

impl Asking {
    async fn walk(&self, nodes: Vec<ReachedNode>, writes: bool, report: &mut Report) {
        report.title("nodes");
        if nodes.is_empty() {
            let advice = "nodes tell where they are once a second: is none running, or does each listen over TLS alone? Then [cluster] \
                          advertise says where it is reached";
            return report.add(At::Origin, Finding::failure("reached", "no node says where it is reached", advice));
        }
        let now = Clock::system().wall();
        let Some(headers) = node_peers::as_node(&self.data, now) else { return };
        let mut told = Vec::new();
        for node in nodes {
            match self.told(node.clone(), headers.clone()).await {
                Ok(one) => {
                    report.add_about(At::Origin, &[&node.name], reached(&one));
                    told.push(one);
                }
                Err(why) => report.add_about(At::Origin, &[&node.name], unreached(&node, &why)),
            }
        }
        for finding in [clocks(&told), versions(&told), rules(&told), streams(&told)].into_iter().flatten() {
            report.add(At::Origin, finding);
        }
        if told.len() < 2 {
            let advice = "start a second one: one node alone is no more than a server by itself";
            report.add(At::Origin, Finding::warning("nodes", format!("{} node answers", told.len()), advice));
        }
        self.read_through_all(&told, report).await;
        if writes {
            report.add(At::Origin, self.write_through_all(&told).await.unwrap_or_else(|failure| failure));
        }
    }

    async fn told(&self, node: ReachedNode, headers: HeaderMap) -> Result<ToldNode, String> {
        let (about, answer) = node_peers::said(&self.client, &node.url, "/v1", headers.clone()).await?;
        let ahead = ahead(about["time"].as_str().and_then(WallTime::parse), &answer);
        let (streams, _) = node_peers::said(&self.client, &node.url, "/v1/streams", headers).await?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let playlists = streams["streams"].as_array().into_iter().flatten().flat_map(|stream| {
            let renditions = stream["renditions"].as_array().into_iter().flatten();
            let all = std::iter::once(&stream["stream"]).chain(renditions.map(|rendition| &rendition["playlist"]));
            all.map(|playlist| (text(&stream["namespace"]), text(playlist))).collect::<Vec<_>>()
        });
        let streams = playlists.filter(|(_, playlist)| !playlist.is_empty()).collect();
        Ok(ToldNode { node, about, ahead, streams })
    }

    /// Asks for an object in a role.
    async fn object(
        &self,
        method: Method,
        node: &Url,
        (namespace, key): (&str, &str),
        body: Bytes,
    ) -> Result<Response, Unanswered> {
        let role = if method == Method::GET { Role::Readonly } else { Role::Readwrite };
        let headers = node_peers::with_key(&self.data, role, Clock::system().wall()).unwrap_or_default();
        let query = if method == Method::PUT { "?ttl_seconds=5" } else { "" };
        let path = format!("cache/{namespace}/{}{query}", percent::encode_path(key));
        let url = node.join("./").and_then(|node| node.join(&path)).map_err(|error| Unanswered::Broken(error.to_string()))?;
        self.client.ask(Call { method, url: &url, headers, body, timeout: self.timeout, max_body: MAX_BODY }).await
    }

    /// Reads some playlists through one node after the other.
    async fn read_through_all(&self, told: &[ToldNode], report: &mut Report) {
        const STEP: &str = "fresh";
        let playlists: BTreeSet<&(String, String)> = told.iter().flat_map(|node| &node.streams).collect();
        let mut count = 0;
        for (namespace, playlist) in playlists.into_iter().take(PLAYLISTS) {
            let mut reads = Vec::new();
            for node in (0..ROUNDS).flat_map(|_| told) {
                let read = self.object(Method::GET, &node.node.url, (namespace, playlist), Bytes::new()).await;
                reads.push((node.node.name.as_str(), read.map(|answer| read_of(&answer)).map_err(|error| error.to_string())));
            }
            match judged(STEP, &reads) {
                Some(finding) => report.add_about(At::Origin, &[playlist], finding),
                None => count += 1,
            }
        }
        if count > 0 {
            let text =
                format!("{count} playlists, read through all nodes in turn: no node said an older one than the one before");
            report.add(At::Origin, Finding::ok(STEP, text));
        }
    }

    /// Stores an object through each node, reads it through all, and removes it through another.
    async fn write_through_all(&self, told: &[ToldNode]) -> Result<Finding, Finding> {
        const STEP: &str = "write";
        let Some(namespace) = told.first().and_then(|node| node.about["namespaces"].as_object()?.keys().next().cloned()) else {
            return Ok(Finding::warning(STEP, "there is no namespace", "make one: without one nothing can be stored"));
        };
        let failed = |node: &ToldNode, what: &str, came: String| {
            let advice = "look at that node's log and at what it says of the engine; sent again it may do";
            Finding::failure(STEP, format!("{what} through {}: {came}", node.node.name), advice)
        };
        let status = |came: Result<Response, Unanswered>| match came {
            Ok(answer) => (answer.status, answer.header("etag").to_owned()),
            Err(error) => (0, error.to_string()),
        };
        for (number, writer) in told.iter().enumerate() {
            let key = format!("doctor-{:x}-{number}", Clock::system().wall().millis());
            let place = (namespace.as_str(), key.as_str());
            let (stored, etag) = status(self.object(Method::PUT, &writer.node.url, place, Bytes::from(key.clone())).await);
            if stored != 204 {
                return Err(failed(writer, "storing an object", format!("{stored} {etag}")));
            }
            for reader in told {
                let read = status(self.object(Method::GET, &reader.node.url, place, Bytes::new()).await);
                if read != (200, etag.clone()) {
                    return Err(failed(
                        reader,
                        &format!("reading what {} has stored", writer.node.name),
                        format!("{} {}", read.0, read.1),
                    ));
                }
            }
            let remover = &told[(number + 1) % told.len()];
            let (removed, why) = status(self.object(Method::DELETE, &remover.node.url, place, Bytes::new()).await);
            let (gone, _) = status(self.object(Method::GET, &writer.node.url, place, Bytes::new()).await);
            if (removed, gone) != (204, 404) {
                return Err(failed(
                    remover,
                    "removing it",
                    format!("{removed} {why}, and then it is {gone} through {}", writer.node.name),
                ));
            }
        }
        Ok(Finding::ok(STEP, format!("stored through each of {} nodes, read through all, removed through another", told.len())))
    }
}

/// What is held against other answers: the status, when it was written, and what it is.
fn read_of(answer: &Response) -> (u16, Option<u64>, String) {
    let modified = httpdate::parse_http_date(answer.header("last-modified")).ok();
    let seconds = modified.and_then(|time| Some(time.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs()));
    (answer.status, seconds, answer.header("etag").to_owned())
}

/// An answer as it is compared, or why there is none.
type PlaylistRead = Result<(u16, Option<u64>, String), String>;

/// What is wrong with one playlist as it was read through nodes, in turn; `None`: nothing.
fn judged(step: &'static str, reads: &[(&str, PlaylistRead)]) -> Option<Finding> {
    let mut newest: Option<(u64, &str)> = None;
    let mut statuses = BTreeMap::new();
    for (node, read) in reads {
        let (status, modified) = match read {
            Ok((status, modified, _)) => (*status, *modified),
            Err(why) => {
                let advice = "does it run, and is it reached at the address that it tells the others ([cluster] advertise)?";
                return Some(Finding::failure(step, format!("{node} does not answer: {why}"), advice));
            }
        };
        statuses.entry(status).or_insert(*node);
        if let Some(modified) = modified {
            if let Some((before, earlier)) = newest.filter(|(before, _)| modified < *before) {
                let text = format!(
                    "{node} says one that is {} s older than what {earlier} had said before: players go back by that",
                    before - modified
                );
                let advice = "this must not be: say so, with the logs of both nodes. Until it is known why, stop the one that says the older one";
                return Some(Finding::failure(step, text, advice));
            }
            newest = newest.max(Some((modified, *node)));
        }
    }
    if statuses.len() > 1 {
        let all: Vec<_> = statuses.iter().map(|(status, node)| format!("{status} by {node}")).collect();
        let advice = "503: the node does not reach the engine, see its log. 404: does that node have the namespace, by the same name? 401, 403: \
                      does it have the same signing.key?";
        return Some(Finding::failure(step, format!("nodes answer differently: {}", all.join(", ")), advice));
    }
    None
}

fn reached(one: &ToldNode) -> Finding {
    const STEP: &str = "reached";
    let (name, told) = (&one.node.name, one.about["node"].as_str().unwrap_or_default());
    if told != name {
        let text = format!("at {} another answers, {told}", one.node.url);
        return Finding::failure(
            STEP,
            text,
            "[cluster] advertise of two nodes leads to one: say of each where it is reached itself",
        );
    }
    let troubles: Vec<_> = one.about["degraded"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if one.about["is_ready"] != true {
        let advice =
            "wait, if it is joining or ends; else its /readyz and its log say why. Load balancers send it nobody meanwhile";
        return Finding::warning(STEP, format!("{}: it is not ready", one.node.url), advice);
    }
    if !troubles.is_empty() {
        let advice = "docs/troubleshooting.md and the node's log say what each of these takes";
        return Finding::warning(STEP, format!("{}: {}", one.node.url, troubles.join("; ")), advice);
    }
    Finding::ok(STEP, format!("{}, and it is ready", one.node.url))
}

fn unreached(node: &ReachedNode, why: &str) -> Finding {
    let advice = if why.contains("signing.key") {
        "copy signing.key (and viewer.key) from one node to all, or give all the same SPRINGHEAD_SIGNING_KEY"
    } else {
        "did it end a few seconds ago? Else [cluster] advertise has to say an address at which other nodes reach it, and the firewall to let them"
    };
    Finding::failure("reached", format!("{}: {why}", node.url), advice)
}

fn clocks(told: &[ToldNode]) -> Option<Finding> {
    const STEP: &str = "clock";
    let (first, last) = (told.iter().min_by_key(|node| node.ahead)?, told.iter().max_by_key(|node| node.ahead)?);
    let apart = Duration::from_millis(last.ahead.abs_diff(first.ahead));
    if apart <= IN_STEP {
        return Some(Finding::ok(STEP, format!("of {} nodes, in step", told.len())));
    }
    let text = format!("{} is {:.1} s ahead of {}", last.node.name, apart.as_secs_f64(), first.node.name);
    let advice = "have NTP set the clocks of all machines ('timedatectl', 'chronyc tracking'): keys, tokens and dates go by each node's own";
    Some(if apart > OFF { Finding::failure(STEP, text, advice) } else { Finding::warning(STEP, text, advice) })
}

fn versions(told: &[ToldNode]) -> Option<Finding> {
    const STEP: &str = "version";
    let mut of: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for node in told {
        of.entry(node.about["version"].as_str().unwrap_or("of no known version")).or_default().push(&node.node.name);
    }
    let all: Vec<_> = of.iter().map(|(version, nodes)| format!("{version} ({})", nodes.join(", "))).collect();
    Some(match of.len() {
        0 => return None,
        1 => Finding::ok(STEP, all.join("")),
        _ => Finding::warning(STEP, all.join(", "), "finish the roll: different versions are for as long as that takes"),
    })
}

/// The rules of namespaces, node by node against the first one.
fn rules(told: &[ToldNode]) -> Option<Finding> {
    const STEP: &str = "settings";
    let of = |node: &ToldNode| node.about["namespaces"].as_object().cloned().unwrap_or_default();
    let first = told.first()?;
    let here = of(first);
    let mut differ = Vec::new();
    for node in &told[1..] {
        let there = of(node);
        let names: BTreeSet<_> = here.keys().chain(there.keys()).collect();
        for name in names {
            let (Some(one), Some(other)) = (here.get(name), there.get(name)) else {
                let lacks = if here.contains_key(name) { &node.node.name } else { &first.node.name };
                differ.push(format!("{lacks} has no namespace {name}"));
                continue;
            };
            let rules = one.as_object().into_iter().chain(other.as_object()).flat_map(|rules| rules.keys());
            let rules: BTreeSet<_> =
                rules.filter(|rule| !OWN_RULES.contains(&rule.as_str()) && one[rule.as_str()] != other[rule.as_str()]).collect();
            differ.extend(rules.into_iter().map(|rule| {
                format!("{name}.{rule} is {} at {} and {} at {}", one[rule], first.node.name, other[rule], node.node.name)
            }));
        }
    }
    if differ.is_empty() {
        return Some(Finding::ok(STEP, format!("{} namespaces, by the same rules on all nodes", here.len())));
    }
    let advice = "what settings files declare is each node's own: make the files alike, and have the nodes read them again (SIGHUP), or declare \
                  nothing there and have the admin API make namespaces, which all nodes then have";
    Some(Finding::failure(STEP, differ.join("; "), advice))
}

/// The streams that nodes know.
fn streams(told: &[ToldNode]) -> Option<Finding> {
    const STEP: &str = "streams";
    let first = told.first()?;
    let differs = told[1..].iter().find(|node| node.streams != first.streams);
    let Some(other) = differs else {
        return Some(Finding::ok(STEP, format!("{} playlists, known to all nodes", first.streams.len())));
    };
    let only: Vec<_> = first
        .streams
        .symmetric_difference(&other.streams)
        .take(4)
        .map(|(namespace, name)| format!("{namespace}/{name}"))
        .collect();
    let text = format!("{} and {} do not know the same playlists: {}", first.node.name, other.node.name, only.join(", "));
    let advice = "one that has just come or gone is known to all within a second: ask again. If that lasts, the node with fewer does not follow the \
                  engine: see its log";
    Some(Finding::warning(STEP, text, advice))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_says_an_older_playlist_is_named() {
        let read = |status: u16, modified: u64| Ok((status, Some(modified), String::new()));
        assert_eq!(judged("fresh", &[("a", read(200, 7)), ("b", read(200, 7)), ("a", read(200, 9)), ("b", read(200, 9))]), None);
        let older = judged("fresh", &[("a", read(200, 9)), ("b", read(200, 7))]).unwrap();
        assert!(older.text.contains("b says one that is 2 s older than what a had said"), "{}", older.text);
        let differ = judged("fresh", &[("a", read(200, 9)), ("b", Ok((404, None, String::new())))]).unwrap();
        assert_eq!(differ.text, "nodes answer differently: 200 by a, 404 by b");
        assert!(judged("fresh", &[("a", Err("no answer in time".to_owned()))]).unwrap().text.contains("a does not answer"));
    }

    fn node(name: &str, ahead: i64, rules: &Value) -> ToldNode {
        let about = serde_json::json!({ "node": name, "version": "1.0.0", "is_ready": true, "namespaces": { "live": rules } });
        let node = ReachedNode { name: name.to_owned(), url: Url::parse("http://a/").unwrap() };
        ToldNode { node, about, ahead, streams: BTreeSet::new() }
    }

    #[test]
    fn what_has_to_be_alike_is_held_against_each_other() {
        let rules_of = |ttl: &str, hot: &str| serde_json::json!({ "default_ttl": ttl, "hot_capacity": hot });
        let alike = [node("a", 0, &rules_of("1h", "1GiB")), node("b", 900, &rules_of("1h", "2GiB"))];
        for finding in [clocks(&alike), versions(&alike), rules(&alike), streams(&alike)] {
            assert_eq!(finding.unwrap().verdict, Severity::Ok);
        }
        let apart = [node("a", -4_000, &rules_of("1h", "1GiB")), node("b", 900, &rules_of("2h", "1GiB"))];
        assert_eq!(clocks(&apart).unwrap().verdict, Severity::Warning);
        let differ = rules(&apart).unwrap();
        assert_eq!((differ.verdict, &*differ.text), (Severity::Failure, "live.default_ttl is \"1h\" at a and \"2h\" at b"));
    }
}
