//! What is told of the server and its streams.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::orders::{QueryWord, QueryWords};
use super::schema::{Schemas, described};
use super::visitor::Visitor;
use crate::model::liveness::Standing;
use crate::origin::{RenditionReport, StreamReport};
use crate::web::Web;
use crate::web::problem::Problem;
use crate::web::record::shown;

/// How many streams a page has at most, where it says how many it takes.
const MOST_STREAMS: usize = 1000;
/// What a list of streams is narrowed by.
pub(super) const STREAM_WORDS: [QueryWord; 5] = [
    QueryWord::text("namespace", "only in this one"),
    QueryWord::text("state", "only those that stand so: live, late, stale or ended"),
    QueryWord::text("q", "only those whose NAMESPACE/KEY has this in it, in capitals or small"),
    QueryWord::text("after", "the name behind which the page begins: next of the page before"),
    QueryWord::number("limit", "how many, 1 to 1000; all of them when it is not said"),
];

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
        /// What this node is called, where several share an engine; else null.
        pub node: Option<String>,
        /// All of these, each with whether it was reached, its version and whether it may get traffic; null for a server by itself.
        pub nodes: Option<Vec<Value>>,
    }

    /// Who changed what.
    pub(super) struct AuditLines {
        /// Newest first: `time`, `key_id`, `role`, `way`, `peer`, `action`, `target`, `before`, `after`, `request_id`; of several nodes `node`.
        pub lines: Vec<Value>,
        /// The nodes that were asked, where several share an engine.
        pub nodes: Option<Vec<Value>>,
    }
}

fn list(all: &mut Schemas, field: &str, of: &'static str, says: &str, required: &[&str]) -> Value {
    let item =
        all.named(of, |_| json!({ "type": "object", "description": says, "required": required, "additionalProperties": true }));
    json!({ "type": "object", "required": [field], "properties": { field: { "type": "array", "items": item } } })
}

/// The same of what several nodes say together.
pub(super) fn of_nodes(mut said: Value) -> Value {
    said["properties"]["nodes"] = json!({
        "type": "array", "items": { "type": "object" },
        "description": "Where several nodes share an engine: which were asked, and whether each was reached.",
    });
    said
}

pub(super) fn streams(all: &mut Schemas) -> Value {
    let says = "A multivariant playlist and its children, a lone media playlist, or an MPD.";
    let mut page = list(all, "streams", "Stream", says, &["namespace", "stream", "format", "state", "troubles", "renditions"]);
    page["properties"]["next"] =
        json!({ "type": ["string", "null"], "description": "What to give as `after` for the next page; null on the last." });
    page["required"] = json!(["streams", "next"]);
    page
}

/// What one of them looks like.
pub(super) fn stream_schema(all: &mut Schemas) -> Value {
    streams(all)["properties"]["streams"]["items"].clone()
}

pub(super) fn clients(all: &mut Schemas) -> Value {
    let says = "An encoder: an address and a user agent.";
    let required = ["peer", "user_agent", "first_seen", "last_seen", "accepted", "refused", "first_request"];
    of_nodes(list(all, "clients", "Client", says, &required))
}

pub(super) fn rejected(all: &mut Schemas) -> Value {
    let says = "A request that was refused, and what to do about it.";
    of_nodes(list(all, "rejected", "Refused", says, &["peer", "code", "advice", "times"]))
}

/// The streams as they may be shown to this visitor: an API key that a playlist has in a name is hidden.
pub(super) fn streams_of(web: &Web, visitor: &Visitor) -> Vec<StreamReport> {
    let mut streams = seen_streams(web, visitor);
    streams.iter_mut().for_each(mask);
    streams
}

/// Those that this visitor sees, as they are: not to be shown.
pub(super) fn seen_streams(web: &Web, visitor: &Visitor) -> Vec<StreamReport> {
    let mut streams = web.inner.origin.streams();
    streams.retain_mut(|stream| {
        stream.renditions.retain(|rendition| visitor.oversees_key(&stream.namespace, &rendition.playlist));
        visitor.oversees_key(&stream.namespace, &stream.stream)
    });
    streams
}

/// Hides what of a stream's names is a credential.
pub(super) fn mask(stream: &mut StreamReport) {
    let hide = |text: &mut String| {
        if let Cow::Owned(hidden) = shown(text) {
            *text = hidden;
        }
    };
    hide(&mut stream.stream);
    stream.missing.iter_mut().chain(&mut stream.fault).for_each(hide);
    for RenditionReport { playlist, last_segment, initialization, fault, .. } in &mut stream.renditions {
        hide(playlist);
        [last_segment, initialization, fault].into_iter().flatten().for_each(hide);
    }
}

/// A page of them, in the order of `NAMESPACE/STREAM`: what comes or goes between two pages moves none of the others. Names are compared as they
/// are shown, so that nobody finds out letter by letter what is hidden in one.
pub(super) fn stream_page(web: &Web, visitor: &Visitor, query: &QueryWords) -> Result<Value, Problem> {
    let state = query.get("state").map(|word| {
        let found = Standing::ALL.iter().find(|standing| standing.as_str() == word);
        found.copied().ok_or_else(|| {
            let words: Vec<_> = Standing::ALL.iter().map(|standing| standing.as_str()).collect();
            Problem::bad_request(format!("state is one of {}", words.join(", ")))
        })
    });
    let state = state.transpose()?;
    let most = query.number("limit", usize::MAX, MOST_STREAMS)?;
    let within = query.get("q").unwrap_or_default().to_lowercase();
    let name = |stream: &StreamReport| format!("{}/{}", stream.namespace, stream.stream);
    let mut streams = streams_of(web, visitor);
    streams.retain(|stream| {
        query.get("namespace").is_none_or(|namespace| stream.namespace == namespace)
            && state.is_none_or(|state| stream.state == state)
            && (within.is_empty() || name(stream).to_lowercase().contains(&within))
            && query.get("after").is_none_or(|after| *name(stream) > *after)
    });
    streams.sort_by_cached_key(name);
    let is_more = streams.len() > most;
    streams.truncate(most);
    let next = streams.last().filter(|_| is_more).map(name);
    Ok(json!({ "streams": streams, "next": next }))
}

/// A list of what was refused as JSON text, without what this visitor does not see: what belongs to other namespaces and prefixes, and what was no
/// request and so belongs to none.
pub(super) fn seen(text: Vec<u8>, visitor: &Visitor) -> Vec<u8> {
    if visitor.sees_all() {
        return text;
    }
    let mut value = serde_json::from_slice::<Value>(&text).unwrap_or_default();
    let is_seen = |item: &Value| {
        let key = item["key"].as_str().unwrap_or_default();
        item["namespace"].as_str().is_some_and(|namespace| visitor.oversees_key(namespace, key))
    };
    let rejected: Vec<_> = value["rejected"].as_array_mut().into_iter().flatten().map(Value::take).filter(is_seen).collect();
    json!({ "rejected": rejected, "unread": [] }).to_string().into()
}
