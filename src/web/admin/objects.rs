//! `/v1/objects`, `/v1/object`, `/v1/purge` and `/v1/preview`: what is stored, looked at and removed by who looks after it.
//!
//! What an encoder stored is never shown as a page of this listener: a preview is for players and pictures on one. It carries a sandbox,
//! and what a browser would run is handed over as a file.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::orders::{self, LONGEST, QueryWords};
use super::schema::{Schemas, described};
use super::visitor::Visitor;
use super::{Admin, ok};
use crate::auth::grant::{Action, Grant};
use crate::model::id::{Key, Namespace, ObjectId};
use crate::model::percent;
use crate::model::rendering::Rendering;
use crate::origin::{ListingSpec, OriginError, Purged};
use crate::web::exchange::Exchange;
use crate::web::problem::Problem;
use crate::web::problem::code::Code;
use crate::web::target::{Naming, Resource};
use crate::web::verbs::get;

/// How many names a page has, when nothing is said and at most.
pub(super) const PAGE: (usize, usize) = (200, 1000);
/// What a browser asks for that would show a body as a page, or run it.
const RUNS: [&str; 8] = ["document", "iframe", "frame", "embed", "object", "script", "style", "worker"];

described! { order
    /// Which objects are to be removed.
    pub(super) struct PurgeOrder {
        /// The namespace.
        pub namespace: String,
        /// What their keys begin with; empty for all.
        pub prefix: String,
        /// Only count them.
        pub dry_run: Option<bool>,
        /// How many there are, by a dry run: when it is another number by more than a tenth, nothing is removed. Needed where `dry_run` is not set.
        pub expect: Option<u64>,
    }
}

/// What a page of objects looks like.
pub(super) fn list_schema(all: &mut Schemas) -> Value {
    let item = object_schema(all);
    json!({
        "type": "object",
        "required": ["objects", "folders", "next", "is_complete"],
        "properties": {
            "objects": { "type": "array", "items": item },
            "folders": { "type": "array", "items": { "type": "string" } },
            "next": { "type": ["string", "null"], "description": "What to give as `after` for the next page." },
            "is_complete": { "type": "boolean", "description": "Whether all that the durable tier holds is known by now." },
        },
    })
}

/// And one of them.
pub(super) fn object_schema(all: &mut Schemas) -> Value {
    all.named("Object", |_| {
        json!({
            "type": "object",
            "required": ["key", "length", "kind", "modified", "expires", "content_type", "etag", "in_memory", "in_tier"],
            "properties": {
                "key": { "type": "string" }, "length": { "type": "integer" },
                "kind": { "enum": ["playlist", "manifest", "initialization", "segment"] },
                "modified": { "type": "string" }, "expires": { "type": "string" },
                "content_type": { "type": ["string", "null"] }, "etag": { "type": ["string", "null"] },
                "in_memory": { "type": "boolean" }, "in_tier": { "type": "boolean" },
            },
        })
    })
}

/// What a removal is answered with.
pub(super) fn purged_schema(_: &mut Schemas) -> Value {
    json!({
        "type": "object",
        "required": ["objects", "bytes", "dry_run"],
        "properties": { "objects": { "type": "integer" }, "bytes": { "type": "integer" }, "dry_run": { "type": "boolean" } },
    })
}

fn unknown_namespace() -> Problem {
    Problem::new(
        Code::NotFound,
        "there is no namespace of this name, or it is not yours to see: GET /v1/namespaces has those that are",
    )
}

/// What this visitor may do in a namespace with objects. He has a key: these routes are open to nobody else.
pub(super) fn stand_in(visitor: &Visitor, action: Action, namespace: &str) -> Result<(Namespace, Grant), Problem> {
    let namespace = Namespace::parse(namespace).map_err(|_| unknown_namespace())?;
    let grant = visitor.grant().and_then(|grant| grant.in_person(action, &namespace)).ok_or_else(unknown_namespace)?;
    Ok((namespace, grant))
}

fn object_of(query: &QueryWords, namespace: Namespace) -> Result<ObjectId, Problem> {
    let key = Key::parse(query.get("key").unwrap_or_default()).map_err(|error| Problem::bad_request(error.to_string()))?;
    Ok(ObjectId { namespace, key })
}

fn of_namespace(query: &QueryWords) -> &str {
    query.get("namespace").unwrap_or_default()
}

/// A page.
pub(super) async fn list(admin: &Admin, visitor: &Visitor, query: &QueryWords) -> Result<Response, Problem> {
    let (namespace, grant) = stand_in(visitor, Action::Read, of_namespace(query))?;
    let by_folder = match query.get("delimiter") {
        None | Some("") => false,
        Some("/") => true,
        Some(_) => return Err(Problem::bad_request("delimiter is a slash, or not there")),
    };
    let text = |name: &str| query.get(name).unwrap_or_default().to_owned();
    let limit = query.number("limit", PAGE.0, PAGE.1)?;
    let spec = ListingSpec { prefix: text("prefix"), by_folder, after: text("after"), limit };
    Ok(ok(&admin.inner.web.inner.origin.list(&grant, &namespace, spec).await.map_err(hidden)?))
}

/// One.
pub(super) fn describe(admin: &Admin, visitor: &Visitor, query: &QueryWords) -> Result<Response, Problem> {
    let (namespace, grant) = stand_in(visitor, Action::Read, of_namespace(query))?;
    let object = object_of(query, namespace)?;
    Ok(ok(&admin.inner.web.inner.origin.describe(&grant, &object).map_err(hidden)?))
}

/// Removes one.
pub(super) async fn remove(admin: &Admin, visitor: &Visitor, query: &QueryWords) -> Result<(Response, Value), Problem> {
    let (namespace, grant) = stand_in(visitor, Action::Write, of_namespace(query))?;
    let object = object_of(query, namespace)?;
    let origin = &admin.inner.web.inner.origin;
    let before = origin.describe(&grant.clone(), &object).map_err(hidden)?;
    origin.discard(&grant, &object).await.map_err(hidden)?;
    let mut before = json!(before);
    before["namespace"] = json!(object.namespace.as_str());
    Ok((StatusCode::NO_CONTENT.into_response(), before))
}

/// Removes many, or counts them.
pub(super) async fn purge(
    admin: &Admin,
    visitor: &Visitor,
    exchange: &Exchange<'_>,
    body: Body,
) -> Result<(Response, Option<Value>), Problem> {
    let order: PurgeOrder = orders::read(&exchange.parts.headers, body, LONGEST).await?;
    orders::without_token("prefix", &order.prefix)?;
    let (namespace, grant) = stand_in(visitor, Action::Write, &order.namespace)?;
    if !grant.meets(&order.prefix) {
        return Err(OriginError::Forbidden.into());
    }
    let origin = &admin.inner.web.inner.origin;
    let is_dry = order.dry_run.unwrap_or(false);
    let answer = |Purged { objects, bytes }| json!({ "objects": objects, "bytes": bytes, "dry_run": is_dry });
    let counted = origin.count(&grant, &namespace, &order.prefix).await.map_err(hidden)?;
    if is_dry {
        return Ok((ok(&answer(counted)), None));
    }
    let Some(expected) = order.expect else {
        let detail = "say with \"expect\" how many objects go: \"dry_run\": true tells it";
        return Err(Problem::bad_request(detail));
    };
    if counted.objects.abs_diff(expected) > expected / 10 {
        let detail = format!(
            "{} objects begin so, and {expected} were expected: nothing was removed; look again with \"dry_run\": true",
            counted.objects
        );
        return Err(Problem::new(Code::InUse, detail));
    }
    let purged = origin.purge(&grant, &namespace, &order.prefix).await.map_err(hidden)?;
    let mut told = answer(purged);
    let response = ok(&told);
    (told["namespace"], told["prefix"]) = (json!(order.namespace), json!(order.prefix));
    Ok((response, Some(told)))
}

/// An object's bytes, for a player or picture on a page of this listener.
pub(super) async fn preview(
    admin: &Admin,
    visitor: &Visitor,
    exchange: &Exchange<'_>,
    names: [&str; 2],
) -> Result<Response, Problem> {
    let [namespace, key] = names;
    check_destination(&exchange.parts.headers)?;
    let (namespace, grant) = stand_in(visitor, Action::Read, namespace)?;
    let uri: Uri = format!("/cache/{namespace}/{}", percent::encode_path(key))
        .parse()
        .map_err(|_| Problem::bad_request("the key can't stand in a URL"))?;
    let Some(Ok(Resource::Object(target))) = Resource::parse(&uri, Naming::Object) else {
        return Err(Problem::bad_request("this is no key of an object"));
    };
    let handle = admin.inner.web.inner.origin.namespace(&namespace);
    let grant = Arc::new(grant);
    let mut response = get::get(exchange, &handle, &grant, &target).await?;
    make_passive(response.headers_mut());
    Ok(response)
}

/// Refuses what a browser would show as a page, or run.
pub(super) fn check_destination(headers: &HeaderMap) -> Result<(), Problem> {
    let destination = headers.get("sec-fetch-dest").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if RUNS.contains(&destination) {
        let detail = "what encoders stored is shown as no page and run as no script here: download it, or play it in the console";
        return Err(Problem::new(Code::ForeignOrigin, detail));
    }
    Ok(())
}

/// Sees to it that no browser makes more of an answer than bytes, pictures or sound.
pub(super) fn make_passive(headers: &mut HeaderMap) {
    let is_passive = headers.get(CONTENT_TYPE).is_some_and(|kind| Rendering::of(kind) != Rendering::Active);
    if !is_passive {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    }
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// What the origin refuses is what this visitor does not see.
pub(super) fn hidden(error: OriginError) -> Problem {
    match error {
        OriginError::UnknownNamespace => unknown_namespace(),
        error => Problem::from(error),
    }
}
