//! What is told of the server and its streams.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::schema::{Schemas, described};
use super::visitor::Visitor;
use crate::origin::{RenditionReport, StreamReport};
use crate::web::Web;
use crate::web::record::shown;

described! { answer
    /// Which server this is.
    pub(super) struct About {
        /// Always springhead.
        pub name: &'static str,
        /// Its version.
        pub version: &'static str,
        /// When this process began to listen, RFC 3339.
        pub started_at: String,
        /// Its clock now, RFC 3339.
        pub time: String,
        /// Whether it may get traffic.
        pub is_ready: bool,
        /// What somebody should look at, each thing once.
        pub degraded: Vec<String>,
        /// Where objects are served, as `http://*:8080`: the star stands for this server's host.
        pub data_listeners: Vec<String>,
    }

    /// Who changed what.
    pub(super) struct AuditLines {
        /// Newest first: `time`, `key_id`, `role`, `way`, `peer`, `action`, `target`, `before`, `after`, `request_id`.
        pub lines: Vec<Value>,
    }
}

fn list(all: &mut Schemas, field: &str, of: &'static str, says: &str, required: &[&str]) -> Value {
    let item =
        all.named(of, |_| json!({ "type": "object", "description": says, "required": required, "additionalProperties": true }));
    json!({ "type": "object", "required": [field], "properties": { field: { "type": "array", "items": item } } })
}

pub(super) fn streams(all: &mut Schemas) -> Value {
    let says = "A multivariant playlist and its children, a lone media playlist, or an MPD.";
    list(all, "streams", "Stream", says, &["namespace", "stream", "format", "state", "troubles", "renditions"])
}

/// What one of them looks like.
pub(super) fn stream_schema(all: &mut Schemas) -> Value {
    streams(all)["properties"]["streams"]["items"].clone()
}

pub(super) fn clients(all: &mut Schemas) -> Value {
    let says = "An encoder: an address and a user agent.";
    list(
        all,
        "clients",
        "Client",
        says,
        &["peer", "user_agent", "first_seen", "last_seen", "accepted", "refused", "first_request"],
    )
}

pub(super) fn rejected(all: &mut Schemas) -> Value {
    let says = "A request that was refused, and what to do about it.";
    list(all, "rejected", "Refused", says, &["peer", "code", "advice", "times"])
}

/// The streams as they may be shown to this visitor: an API key that a playlist has in a name is hidden.
pub(super) fn streams_of(web: &Web, visitor: &Visitor) -> Vec<StreamReport> {
    let mut streams = web.inner.origin.streams();
    streams.retain(|stream| visitor.oversees(&stream.namespace));
    let hide = |text: &mut String| {
        if let Cow::Owned(hidden) = shown(text) {
            *text = hidden;
        }
    };
    for stream in &mut streams {
        hide(&mut stream.stream);
        stream.missing.iter_mut().chain(&mut stream.fault).for_each(hide);
        for RenditionReport { playlist, last_segment, initialization, fault, .. } in &mut stream.renditions {
            hide(playlist);
            [last_segment, initialization, fault].into_iter().flatten().for_each(hide);
        }
    }
    streams
}

/// A list as JSON text, without what belongs to namespaces that this visitor does not see.
pub(super) fn seen(text: Vec<u8>, field: &str, visitor: &Visitor) -> Vec<u8> {
    if visitor.sees_all() {
        return text;
    }
    let Ok(mut value) = serde_json::from_slice::<Value>(&text) else { return json!({ field: [] }).to_string().into() };
    if let Some(items) = value[field].as_array_mut() {
        items.retain(|item| item["namespace"].as_str().is_some_and(|namespace| visitor.oversees(namespace)));
    }
    value.to_string().into()
}
