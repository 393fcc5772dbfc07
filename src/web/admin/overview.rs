//! What is wrong now, and how it goes: the overview, one stream, and its strip of segments.

use serde_json::{Value, json};

use super::about::{mask, of_nodes, seen_streams, streams_of};
use super::orders::QueryWords;
use super::schema::Schemas;
use super::visitor::Visitor;
use super::{Admin, ok};
use crate::model::id::{Key, Namespace};
use crate::model::liveness::Standing;
use crate::origin::StreamReport;
use crate::web::problem::Problem;
use crate::web::problem::code::Code;
use axum::response::Response;

/// How many troubles are named; the count says how many there are.
const TROUBLES: usize = 100;

/// What an overview looks like.
pub(super) fn overview_schema(all: &mut Schemas) -> Value {
    all.named("Overview", |_| {
        of_nodes(json!({
            "type": "object",
            "required": ["time", "streams", "troubles", "trouble_count", "needy", "figures", "degraded", "refused"],
            "properties": {
                "time": { "type": "string" },
                "streams": { "type": "object", "description": "How many stand how.", "additionalProperties": { "type": "integer" } },
                "troubles": { "type": "array", "items": { "type": "object" }, "description": "What lasts, the worst first; 100 at most." },
                "trouble_count": { "type": "integer" },
                "needy": { "type": "integer", "description": "Streams with a trouble, of those that have not ended." },
                "figures": { "type": "object", "description": "Each namespace's rates and what it holds." },
                "degraded": { "type": "array", "items": { "type": "string" } },
                "refused": { "type": "integer", "description": "Kinds of refused requests that are remembered." },
            },
        }))
    })
}

/// What the tiles of a stream look like.
pub(super) fn timeline_schema(all: &mut Schemas) -> Value {
    let tile = all.named("SegmentTile", |_| {
        json!({
            "type": "object",
            "required": ["sequence", "key", "duration_s", "arrived", "bytes", "upload_s", "interval_s", "state", "is_here"],
            "properties": {
                "sequence": { "type": "integer" }, "key": { "type": "string" }, "duration_s": { "type": "number" },
                "arrived": { "type": ["string", "null"] }, "bytes": { "type": ["integer", "null"] },
                "upload_s": { "type": ["number", "null"] }, "interval_s": { "type": ["number", "null"] },
                "state": { "enum": ["on-time", "late", "missing", "again"] }, "is_here": { "type": "boolean" },
            },
        })
    });
    let rendition = json!({
        "type": "object",
        "required": ["playlist", "kind", "target_duration_s", "announced_bandwidth", "segments"],
        "properties": { "segments": { "type": "array", "items": tile } },
    });
    json!({ "type": "object", "required": ["renditions"], "properties": { "renditions": { "type": "array", "items": rendition } } })
}

/// The overview.
pub(super) fn overview(admin: &Admin, visitor: &Visitor) -> Value {
    let web = &admin.inner.web;
    let mut streams = seen_streams(web, visitor);
    let count = |standing: Standing| streams.iter().filter(|stream| stream.state == standing).count();
    let by_state: serde_json::Map<String, Value> =
        Standing::ALL.iter().map(|standing| (standing.as_str().to_owned(), json!(count(*standing)))).collect();
    // Of a thousand streams most are well: names are looked through for what is to be hidden where they are shown, and the worst streams, each with
    // a trouble at least, are as many as troubles are.
    let worst = |stream: &StreamReport| troubles_of(stream).iter().map(|(rank, _)| *rank).max();
    let total: usize = streams.iter().map(|stream| troubles_of(stream).len()).sum();
    streams.retain(|stream| worst(stream).is_some());
    // Counted before the worst are all that is left.
    let needy = streams.iter().filter(|stream| stream.state != Standing::Ended).count();
    streams.sort_by_cached_key(|stream| std::cmp::Reverse(worst(stream)));
    streams.truncate(TROUBLES);
    streams.iter_mut().for_each(mask);
    let mut troubles: Vec<(u8, Value)> = streams.iter().flat_map(troubles_of).collect();
    troubles.sort_by_key(|(rank, _)| std::cmp::Reverse(*rank));
    troubles.truncate(TROUBLES);
    let mut figures = admin.inner.figures.now(web);
    if let Some(namespaces) = figures["namespaces"].as_array_mut() {
        namespaces.retain(|namespace| namespace["namespace"].as_str().is_some_and(|name| visitor.oversees(name)));
    }
    let refused = web.inner.black_box.refusals();
    json!({
        "time": web.inner.origin.clock().wall().to_string(),
        "streams": by_state,
        "troubles": troubles.into_iter().map(|(_, trouble)| trouble).collect::<Vec<_>>(),
        "trouble_count": total,
        "needy": needy,
        "figures": figures,
        "degraded": web.trouble(),
        "refused": refused,
    })
}

/// What lasts of a stream's troubles, each with how bad it is.
fn troubles_of(stream: &StreamReport) -> Vec<(u8, Value)> {
    let one = |playlist: &str, trouble: &str, rank: u8, fault: Option<&String>| {
        let value = json!({
            "namespace": stream.namespace, "stream": stream.stream, "playlist": playlist, "trouble": trouble, "detail": fault,
        });
        (rank, value)
    };
    let standing = |standing: Standing| match standing {
        Standing::Stale => Some(("stale", 3)),
        Standing::Late => Some(("late", 2)),
        _ => None,
    };
    let mut found: Vec<_> =
        stream.troubles.iter().map(|trouble| one(&stream.stream, trouble, 3, stream.fault.as_ref())).collect();
    for rendition in &stream.renditions {
        found.extend(standing(rendition.state).map(|(word, rank)| one(&rendition.playlist, word, rank, None)));
        let lasting = rendition.troubles.iter().filter(|trouble| !matches!(**trouble, "stale" | "late"));
        found.extend(lasting.map(|trouble| one(&rendition.playlist, trouble, 1, rendition.fault.as_ref())));
    }
    found
}

fn named<'a>(visitor: &Visitor, query: &'a QueryWords) -> Result<(Namespace, &'a str), Problem> {
    let unknown = || Problem::new(Code::NotFound, "there is no such stream: GET /v1/streams has those there are");
    let (namespace, key) = (query.get("namespace").unwrap_or_default(), query.get("key").unwrap_or_default());
    let namespace = Namespace::parse(namespace).ok().filter(|_| visitor.oversees_key(namespace, key)).ok_or_else(unknown)?;
    Ok((namespace, key))
}

/// One stream.
pub(super) fn stream(admin: &Admin, visitor: &Visitor, query: &QueryWords) -> Result<Response, Problem> {
    let (namespace, key) = named(visitor, query)?;
    let mut streams = streams_of(&admin.inner.web, visitor);
    streams.retain(|stream| stream.namespace == namespace.as_str() && stream.stream == key);
    let found = streams.pop();
    let unknown = || Problem::new(Code::NotFound, "there is no such stream: GET /v1/streams has those there are");
    Ok(ok(&found.ok_or_else(unknown)?))
}

/// Its last segments.
pub(super) fn timeline(admin: &Admin, visitor: &Visitor, query: &QueryWords) -> Result<Response, Problem> {
    let (namespace, key) = named(visitor, query)?;
    let found = Key::parse(key).ok().and_then(|key| admin.inner.web.inner.origin.timeline(&namespace, &key));
    let unknown = || Problem::new(Code::NotFound, "there is no such HLS stream: GET /v1/streams has those there are");
    let mut renditions = found.ok_or_else(unknown)?;
    renditions.retain_mut(|rendition| {
        rendition.segments.retain(|tile| visitor.oversees_key(namespace.as_str(), &tile.key));
        visitor.oversees_key(namespace.as_str(), &rendition.playlist)
    });
    Ok(ok(&json!({ "renditions": renditions })))
}
