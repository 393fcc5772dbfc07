//! `/v1/namespaces`, `/v1/keys` and `/v1/settings`: what the floor above does, in the words of HTTP.

use axum::body::Body;
use axum::http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};

use super::controls::{
    Condition, ControlRefused, Controls, DoctorOrder, KeyOrder, KeyReport, NamespaceChange, NamespaceReport, NewKeyReport,
    RotateOrder, SettingsOrder,
};
use super::orders::{self, LONGEST, QueryWords};
use super::route_name::RouteName;
use super::schema::{Described as _, Schemas, described};
use super::visitor::Visitor;
use super::{Admin, json_response, objects, ok};
use crate::auth::grant::Action;
use crate::model::id::{Key, ObjectId};
use crate::model::liveness::Standing;
use crate::origin::{NamespaceUsage, OriginError, Purged, StreamReport};
use crate::web::problem::Problem;
use crate::web::problem::code::Code;

described! { answer
    /// What is wrong with a settings file.
    pub(super) struct SettingFaultsReport {
        /// Each fault with its line; none when a start with it would read it.
        pub faults: Vec<String>,
    }
}

/// What came of a change, for the audit log.
pub(super) struct Changed {
    pub(super) response: Response,
    pub(super) before: Value,
    pub(super) after: Value,
}

impl From<ControlRefused> for Problem {
    fn from(ControlRefused { code, detail }: ControlRefused) -> Self {
        Self::new(code, detail)
    }
}

fn list(field: &str, item: &Value) -> Value {
    json!({ "type": "object", "required": [field], "properties": { field: { "type": "array", "items": item } } })
}

/// What a list of namespaces looks like.
pub(super) fn namespaces_schema(all: &mut Schemas) -> Value {
    let (item, rules) = (namespace_schema(all), rules_schema(all));
    json!({
        "type": "object",
        "required": ["namespaces", "defaults"],
        "properties": { "namespaces": { "type": "array", "items": item }, "defaults": rules },
    })
}

/// One, with what it holds.
pub(super) fn namespace_schema(all: &mut Schemas) -> Value {
    all.named("Namespace", |all| {
        let rules = rules_schema(all);
        json!({
            "type": "object",
            "required": ["name", "source", "is_changeable", "rules", "said", "etag", "usage"],
            "properties": {
                "name": { "type": "string" }, "source": { "type": "string" }, "place": { "type": ["string", "null"] },
                "is_changeable": { "type": "boolean" }, "shadows": { "type": "boolean" },
                "rules": rules,
                "said": { "type": "array", "items": { "type": "string" } },
                "pending_restart": { "type": "array", "items": { "type": "string" } },
                "etag": { "type": "string" }, "usage": { "type": "object", "additionalProperties": { "type": "integer" } },
            },
        })
    })
}

/// What a namespace's rules look like: the keys of its section in the settings file.
pub(super) fn rules_schema(all: &mut Schemas) -> Value {
    all.named("NamespaceRules", |_| {
        let value = json!({ "anyOf": [{ "type": "string" }, { "type": "boolean" }, { "type": "integer" }, { "type": "null" },
            { "type": "array", "items": { "type": "string" } }] });
        json!({ "type": "object", "description": "As in [namespaces.NAME] of the settings file.", "additionalProperties": value })
    })
}

pub(super) fn keys_schema(all: &mut Schemas) -> Value {
    let item = KeyReport::schema(all);
    list("keys", &item)
}

pub(super) fn settings_schema(all: &mut Schemas) -> Value {
    let item = super::controls::SettingReport::schema(all);
    list("settings", &item)
}

/// What is only looked at.
pub(super) async fn look(admin: &Admin, visitor: &Visitor, place: RouteName, name: &str) -> Result<Response, Problem> {
    let controls = &*admin.inner.controls;
    Ok(match place {
        RouteName::Namespaces => {
            let mut namespaces = controls.namespaces().await?;
            namespaces.retain(|namespace| visitor.oversees(&namespace.name));
            let namespaces: Vec<Value> = namespaces.iter().map(|namespace| with_usage(admin, namespace)).collect();
            ok(&json!({ "namespaces": namespaces, "defaults": controls.default_rules() }))
        }
        RouteName::Namespace => {
            let namespaces = controls.namespaces().await?;
            let found = namespaces.into_iter().find(|namespace| namespace.name == name && visitor.oversees(name));
            namespace(admin, &found.ok_or_else(|| absent("namespace", "namespaces"))?)
        }
        RouteName::Keys => ok(&json!({ "keys": controls.keys().await? })),
        RouteName::Key => {
            let found = controls.keys().await?.into_iter().find(|key| key.key_id == name);
            ok(&found.ok_or_else(|| absent("key", "keys"))?)
        }
        _ => ok(&json!({ "settings": controls.settings().await? })),
    })
}

fn absent(what: &str, list: &str) -> Problem {
    Problem::new(Code::NotFound, format!("there is no {what} of this name: GET /v1/{list} has those there are"))
}

fn with_usage(admin: &Admin, namespace: &NamespaceReport) -> Value {
    let usage = admin.inner.web.inner.origin.usage();
    let usage =
        usage.into_iter().find(|(name, _)| name.as_str() == namespace.name).map_or(NamespaceUsage::default(), |(_, usage)| usage);
    let mut value = json!(namespace);
    value["usage"] = json!(usage);
    value
}

/// A namespace as an answer, with its version.
fn namespace(admin: &Admin, namespace: &NamespaceReport) -> Response {
    let mut response = ok(&with_usage(admin, namespace));
    if let Ok(etag) = HeaderValue::try_from(&namespace.etag) {
        response.headers_mut().insert(ETAG, etag);
    }
    response
}

/// The condition of a request.
fn condition(headers: &HeaderMap) -> Condition {
    let texts = |name| {
        headers.get_all(name).iter().filter_map(|value: &HeaderValue| value.to_str().ok()).flat_map(|text| text.split(','))
    };
    let tags: Vec<String> = texts(IF_MATCH).map(|tag| tag.trim().to_owned()).filter(|tag| !tag.is_empty()).collect();
    if !tags.is_empty() {
        Condition::Is(tags)
    } else if texts(IF_NONE_MATCH).any(|tag| tag.trim() == "*") {
        Condition::IsNew
    } else {
        Condition::None
    }
}

/// An order about a namespace, beside what its body says.
#[derive(Clone, Copy)]
pub(super) struct NamespaceOrder<'a> {
    pub(super) admin: &'a Admin,
    pub(super) visitor: &'a Visitor,
    pub(super) place: RouteName,
    pub(super) name: &'a str,
    pub(super) query: &'a QueryWords,
    pub(super) headers: &'a HeaderMap,
}

/// Writes something down.
type NoteChange<'a> = &'a (dyn Fn(&Value) -> BoxFuture<'a, ()> + Sync);

/// Makes, changes or removes a namespace. `note` writes down what was there and is gone before that.
pub(super) async fn change_namespace(order: NamespaceOrder<'_>, body: Body, note: NoteChange<'_>) -> Result<Changed, Problem> {
    let NamespaceOrder { admin, name, headers, .. } = order;
    let change = match order.place {
        RouteName::PutNamespace => NamespaceChange::To(orders::read::<Map<String, Value>>(headers, body, LONGEST).await?),
        RouteName::PatchNamespace => NamespaceChange::In(orders::read::<Map<String, Value>>(headers, body, LONGEST).await?),
        _ => {
            clear(&order, note).await?;
            NamespaceChange::Removed
        }
    };
    let is_removal = matches!(change, NamespaceChange::Removed);
    let (before, after) = admin.inner.controls.change_namespace(name.to_owned(), change, condition(headers)).await?;
    let response = match &after {
        Some(after) if !is_removal => namespace(admin, after),
        _ => StatusCode::NO_CONTENT.into_response(),
    };
    let rules = |report: Option<&NamespaceReport>| {
        report.map_or(Value::Null, |report| {
            let said = report.rules.iter().filter(|(key, _)| report.said.contains(key));
            json!(said.map(|(key, value)| (key.clone(), value.clone())).collect::<Map<_, _>>())
        })
    };
    Ok(Changed { response, before: rules(before.as_ref()), after: rules(after.as_ref().filter(|_| !is_removal)) })
}

/// Makes room for the removal of a namespace that may be removed: nothing is live in it then, or that does not matter, and its objects are purged
/// if they are to be. They come back by nothing, so all that can be known to forbid the removal is asked before; and what is purged is
/// written down at once, whatever comes of the removal.
async fn clear(order: &NamespaceOrder<'_>, note: NoteChange<'_>) -> Result<(), Problem> {
    let NamespaceOrder { admin, visitor, name, query, headers, .. } = *order;
    let (is_forced, purges) = (query.truth("force")?, query.get("objects"));
    if purges.is_some_and(|objects| objects != "purge") {
        return Err(Problem::bad_request("objects is purge, or left out: then they stay in the durable tier"));
    }
    admin.inner.controls.may_remove_namespace(name.to_owned(), condition(headers)).await?;
    let origin = &admin.inner.web.inner.origin;
    let is_live = |stream: &StreamReport| stream.namespace == name && stream.state != Standing::Ended;
    if !is_forced && origin.streams().iter().any(is_live) {
        let detail = "streams are live in it: end them first, or say force=true to remove it all the same";
        return Err(Problem::new(Code::InUse, detail));
    }
    if purges.is_some() {
        let (namespace, grant) = objects::stand_in(visitor, Action::Write, name)?;
        let purged = origin.purge(&grant, &namespace, "").await.map_err(objects::hidden);
        let told = match &purged {
            Ok(Purged { objects, bytes }) => json!({ "objects": objects, "bytes": bytes }),
            // A part of them may be gone.
            Err(problem) => json!({ "broke_off": problem.detail }),
        };
        note(&json!({ "purged": told })).await;
        purged?;
    }
    Ok(())
}

/// Makes, ends or replaces a key.
pub(super) async fn change_key(
    admin: &Admin,
    place: RouteName,
    name: &str,
    headers: &HeaderMap,
    body: Body,
) -> Result<Changed, Problem> {
    let controls = &*admin.inner.controls;
    let made = |mut new: NewKeyReport| {
        let known = admin.inner.web.inner.origin.usage();
        let is_there = |name: &String| name == "*" || known.iter().any(|(known, _)| known.as_str() == name);
        new.unknown_namespaces = new.key.namespaces.iter().filter(|name| !is_there(name)).cloned().collect();
        let after = json!(new.key);
        Changed { response: json_response(StatusCode::CREATED, &new), before: Value::Null, after }
    };
    Ok(match place {
        RouteName::MakeKey => {
            let order: KeyOrder = orders::read(headers, body, LONGEST).await?;
            orders::without_token("prefix", order.prefix.as_deref().unwrap_or_default())?;
            made(controls.make_key(order).await?)
        }
        RouteName::RotateKey => {
            let order: RotateOrder = orders::read(headers, body, LONGEST).await?;
            made(controls.rotate_key(name.to_owned(), order).await?)
        }
        _ => {
            let key = controls.revoke_key(name.to_owned()).await?;
            Changed { response: ok(&key), before: Value::Null, after: json!(key) }
        }
    })
}

/// Walks a stream.
pub(super) async fn examine(
    controls: &dyn Controls,
    visitor: &Visitor,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let DoctorOrder { namespace, key } = orders::read(headers, body, LONGEST).await?;
    let (namespace, grant) = objects::stand_in(visitor, Action::Read, &namespace)?;
    let key = Key::parse(&key).map_err(|error| Problem::bad_request(error.to_string()))?;
    let object = ObjectId { namespace, key };
    if !grant.allows(Action::Read, &object) {
        return Err(OriginError::Forbidden.into());
    }
    Ok(ok(&controls.examine(object, grant.prefix).await?))
}

/// Tries a settings file, reads the settings again, or ends the server.
pub(super) async fn change_server(
    controls: &dyn Controls,
    place: RouteName,
    headers: &HeaderMap,
    body: Body,
) -> Result<Changed, Problem> {
    let (response, after) = match place {
        RouteName::CheckSettings => {
            let SettingsOrder { text } = orders::read(headers, body, LONGEST).await?;
            (ok(&SettingFaultsReport { faults: controls.check_settings(text) }), Value::Null)
        }
        RouteName::Reload => {
            let report = controls.reload().await?;
            (ok(&report), json!(report))
        }
        _ => {
            controls.drain();
            (StatusCode::NO_CONTENT.into_response(), Value::Null)
        }
    };
    Ok(Changed { response, before: Value::Null, after })
}
