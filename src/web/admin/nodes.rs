//! What several nodes that share an engine tell as one: each is asked for what it alone knows, and all of that is one answer, whichever of them was
//! asked. What all of them know anyhow, streams and objects, none is asked for.
//!
//! Who is not heard within a second is named, and the others' is told. `?scope=node` asks for what the node alone knows.

use std::fmt::Debug;
use std::sync::{Arc, Weak};

use axum::http::Uri;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};

use super::about::About;
use super::call::{self, AdminCall, EVENTS, LINES};
use super::controls::NamespaceReport;
use super::matching::{self, FoundRoute};
use super::merging::merged;
use super::orders::{QueryWord, QueryWords, SCOPE};
use super::route::Route;
use super::route_name::RouteName;
use super::visitor::Visitor;
use super::{Admin, Inner};
use crate::auth::grant::{Grant, KeyId, Role, Scope};
use crate::model::percent;
use crate::web::nodes::NodeParts;
use crate::web::problem::Problem;

/// The namespaces that are told of, where a node asks for somebody who does not see all.
const SEEN: QueryWord = QueryWord::text("namespaces", "these alone");
/// What all keys there begin with that are told of.
const SEEN_PREFIX: QueryWord = QueryWord::text("key_prefix", "what begins with this alone");

/// What a node said, or why it said nothing.
pub type NodeSaid = Result<Value, String>;

/// The other nodes, where several share an engine.
pub trait OtherNodes: Debug + Send + Sync {
    /// What this one is called.
    fn own(&self) -> &str;

    /// Asks all others for the same: each with its name. Within a second.
    fn ask<'a>(&'a self, asked: &'a str) -> BoxFuture<'a, Vec<(String, NodeSaid)>>;
}

/// This node, as others ask it.
#[derive(Debug)]
pub(super) struct OwnParts(pub(super) Weak<Inner>);

impl NodeParts for OwnParts {
    fn part(&self, asked: Uri) -> BoxFuture<'_, Result<Option<Value>, Problem>> {
        Box::pin(async move {
            let Some(inner) = self.0.upgrade() else { return Ok(None) };
            let admin = Admin { inner };
            let Ok(FoundRoute { route, .. }) = matching::find("GET", asked.path()) else { return Ok(None) };
            let query = QueryWords::parse(&asked, &[route.query, &[SEEN, SEEN_PREFIX]].concat())?;
            match route.place {
                RouteName::About => about(&admin).await.map(Some),
                place => AdminCall::own(&admin, &visitor(&query)?, place, &query).await,
            }
        })
    }
}

/// Who is told by another node, as far as that has to be known: all is for who sees all.
fn visitor(query: &QueryWords) -> Result<Visitor, Problem> {
    let Some(seen) = query.get(SEEN.name) else { return Ok(Visitor::Anybody) };
    let sound = |error: &dyn std::fmt::Display| Problem::bad_request(error.to_string());
    let scope = Scope::parse(seen.split(',').filter(|name| !name.is_empty())).map_err(|error| sound(&error))?;
    let key_id = KeyId::parse("node").map_err(|error| sound(&error))?;
    let prefix = query.get(SEEN_PREFIX.name).map(str::to_owned);
    Ok(Visitor::Holder(Arc::new(Grant { key_id, role: Role::Viewer, scope, prefix, paths: None, is_edge: false, ends: None })))
}

/// Which node this is, and by which rules it goes: what those who look after several hold against each other.
async fn about(admin: &Admin) -> Result<Value, Problem> {
    let Inner { web, rules, begun, nodes, controls, .. } = &*admin.inner;
    let mut about = json!(call::about(web, rules, *begun));
    about["node"] = json!(nodes.as_ref().map(|nodes| nodes.own()));
    let of = |namespace: NamespaceReport| (namespace.name, Value::Object(namespace.rules));
    about["namespaces"] = controls.namespaces().await?.into_iter().map(of).collect::<Map<_, _>>().into();
    Ok(about)
}

impl AdminCall<'_> {
    /// Makes of what this node knows what all of them know, where there are several and they are asked for.
    pub(super) async fn of_all(&self, route: &Route, own: Value) -> Result<Value, Problem> {
        let only_this = match self.query.get(SCOPE.name) {
            None => false,
            Some("node") => true,
            Some(_) => return Err(Problem::bad_request("scope is node, or it is not said")),
        };
        let Some(nodes) = self.admin.inner.nodes.as_ref().filter(|_| !only_this) else { return Ok(own) };
        let mut heard = vec![json!({ "node": nodes.own(), "reached": true })];
        let mut all = vec![(nodes.own().to_owned(), own)];
        for (node, said) in nodes.ask(&self.target(route)).await {
            match said {
                Ok(value) if !value.is_object() => {
                    heard.push(json!({ "node": node, "reached": false, "why": "it says something that makes no sense here" }));
                }
                Ok(value) => {
                    heard.push(json!({ "node": node, "reached": true }));
                    all.push((node, value));
                }
                Err(why) => heard.push(json!({ "node": node, "reached": false, "why": why })),
            }
        }
        // The same, whoever was asked.
        heard.sort_by_cached_key(|node| node["node"].to_string());
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        let usual = match route.place {
            RouteName::Events => Some(EVENTS),
            RouteName::Noted => Some(LINES),
            _ => None,
        };
        let limit = self.query.get("limit").and_then(|limit| limit.parse().ok()).or(usual);
        let mut told = merged(route.place, all, limit);
        told["nodes"] = heard.into();
        Ok(told)
    }

    /// Which server this is, and which nodes there are beside it.
    pub(super) async fn about_all(&self, own: About) -> About {
        let Some(nodes) = &self.admin.inner.nodes else { return own };
        let mut all = vec![
            json!({ "node": nodes.own(), "reached": true, "version": own.version, "is_ready": own.is_ready, "started_at": own.started_at }),
        ];
        for (node, said) in nodes.ask("/v1").await {
            all.push(match said {
                Ok(about) => json!({
                    "node": node, "reached": true, "version": about["version"], "is_ready": about["is_ready"],
                    "started_at": about["started_at"],
                }),
                Err(why) => json!({ "node": node, "reached": false, "why": why }),
            });
        }
        all.sort_by_cached_key(|node| node["node"].to_string());
        About { node: Some(nodes.own().to_owned()), nodes: Some(all), ..own }
    }

    /// Where other nodes are asked for the same, and for no more than this visitor sees.
    fn target(&self, route: &Route) -> String {
        let target = self.exchange.parts.uri.path_and_query().map_or(route.path, |target| target.as_str());
        match self.visitor.grant().filter(|_| !self.visitor.sees_all()) {
            None => target.to_owned(),
            Some(grant) => {
                let mark = if target.contains('?') { '&' } else { '?' };
                let namespaces = format!("{target}{mark}{}={}", SEEN.name, grant.scope.names().join(","));
                let Some(prefix) = &grant.prefix else { return namespaces };
                let prefix = percent::encode_path(prefix).to_string().replace('&', "%26");
                format!("{namespaces}&{}={prefix}", SEEN_PREFIX.name)
            }
        }
    }
}
