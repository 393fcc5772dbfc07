//! The description of the API (`OpenAPI` 3.1), made from the table of routes. `config/openapi.json` is the same, held equal by a test.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::orders::QueryWord;
use super::route::{Answers, Route};
use super::routes::ROUTES;
use super::schema::Schemas;
use super::visitor::Who;

static DOCUMENT: LazyLock<Value> = LazyLock::new(make);

/// The whole of it.
pub(super) fn document() -> &'static Value {
    &DOCUMENT
}

fn make() -> Value {
    let mut all = Schemas::default();
    let mut paths = Map::new();
    for route in ROUTES {
        let operation = operation(route, &mut all);
        let path = paths.entry(route.path.replace('+', "")).or_insert_with(|| json!({}));
        path[route.method.to_ascii_lowercase()] = operation;
    }
    all.named("Problem", |_| {
        json!({
            "type": "object",
            "description": "What went wrong (RFC 9457), and what to do about it.",
            "required": ["type", "title", "status", "detail", "request_id"],
            "properties": {
                "type": { "type": "string" },
                "title": { "type": "string" },
                "status": { "type": "integer" },
                "detail": { "type": "string" },
                "request_id": { "type": "string" },
            },
        })
    });
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Springhead admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Looks after a Springhead origin: on its admin listener. Within v1 there are only additions.",
            "license": { "name": "MIT", "identifier": "MIT" },
        },
        "servers": [{ "url": "http://127.0.0.1:8081", "description": "The admin listener, where it is by default." }],
        "paths": paths,
        "components": {
            "schemas": all.into_json(),
            "securitySchemes": {
                "key": { "type": "http", "scheme": "bearer", "description": "An API key of role viewer, operator or admin." },
                "session": {
                    "type": "apiKey", "in": "cookie", "name": "springhead-session-8081",
                    "description": "What POST /v1/session sets; the number is the listener's port, and over TLS __Host- stands before the name.",
                },
            },
        },
    })
}

fn operation(route: &Route, all: &mut Schemas) -> Value {
    let named = route.path.split('/').filter_map(|part| Some(part.strip_prefix('{')?.strip_suffix('}')?.trim_start_matches('+')));
    let in_path =
        named.map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } }));
    let in_query = route.query.iter().map(|QueryWord { name, about, kind, required }| {
        json!({ "name": name, "in": "query", "required": required, "description": about, "schema": { "type": kind } })
    });
    let in_header = route.once.then(|| {
        json!({
            "name": "Idempotency-Key", "in": "header", "required": false, "schema": { "type": "string", "minLength": 1, "maxLength": 255 },
            "description": "Sent again with the same key within ten minutes, the order is not carried out again, and answered as it was.",
        })
    });
    let parameters: Vec<Value> = in_path.chain(in_query).chain(in_header).collect();
    let problem = |says: &str| {
        let schema = json!({ "$ref": "#/components/schemas/Problem" });
        json!({ "description": says, "content": { "application/problem+json": { "schema": schema } } })
    };
    let (status, good) = match route.answers {
        Answers::Json(status, describe) => {
            let schema = describe(all);
            (status, json!({ "description": "Done.", "content": { "application/json": { "schema": schema } } }))
        }
        Answers::Text(kind) => (200, json!({ "description": "Done.", "content": { kind: { "schema": { "type": "string" } } } })),
        Answers::Bytes => (200, json!({ "description": "Done.", "content": { "*/*": {} } })),
        Answers::Nothing => (204, json!({ "description": "Done." })),
    };
    let mut operation = json!({
        "operationId": operation_id(route),
        "summary": route.about,
        "parameters": parameters,
        "responses": { status.to_string(): good, "default": problem("Refused: the code says why, the detail what to do.") },
        "x-role": match route.who {
            Who::Everybody => json!(null),
            who => json!(who.role().map(crate::auth::grant::Role::as_str)),
        },
        "x-open-on-loopback": matches!(route.who, Who::Everybody | Who::Local(_)),
    });
    operation["security"] = match route.who {
        Who::Everybody => json!([]),
        Who::Local(_) => json!([{}, { "key": [] }, { "session": [] }]),
        Who::Only(_) | Who::Vends => json!([{ "key": [] }, { "session": [] }]),
    };
    if let Some(order) = route.order {
        let schema = order(all);
        operation["requestBody"] = json!({ "required": true, "content": { "application/json": { "schema": schema } } });
    }
    operation
}

/// A name that a generated client's function has.
fn operation_id(route: &Route) -> String {
    let parts = route.path.split(['/', '.']).filter(|part| !part.is_empty());
    let words = parts.map(|part| part.trim_matches(['{', '+', '}']));
    std::iter::once(&*route.method.to_ascii_lowercase()).chain(words).collect::<Vec<_>>().join("_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_description_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/openapi.json");
        let text = serde_json::to_string_pretty(document()).unwrap() + "\n";
        if std::env::var_os("SPRINGHEAD_WRITE_OPENAPI").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap();
        let advice = "run this test with SPRINGHEAD_WRITE_OPENAPI=1, look at what has changed, and commit it";
        assert!(committed == text, "config/openapi.json is not what the code says: {advice}");
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_operation_has_a_name_of_its_own() {
        let document = document();
        let text = document.to_string();
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(document["components"]["schemas"][name].is_object(), "{name}");
        }
        let mut ids: Vec<&str> = text.split("\"operationId\":\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        assert_eq!(ids.len(), ROUTES.len());
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), ROUTES.len());
    }
}
