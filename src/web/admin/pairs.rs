//! `/v1/pairs` on the admin listener: how public streams with two sources stand, and which source somebody wants.

use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Value, json};

use super::schema::{Schemas, Stated, described};
use super::visitor::Visitor;
use super::{ok, orders};
use crate::model::id::Namespace;
use crate::model::units::parse_duration;
use crate::web::Web;
use crate::web::problem::Problem;
use crate::web::problem::code::Code;
use crate::web::record::shown;

/// The longest order, in bytes.
const LONGEST: usize = 4 << 10;
/// The longest time that a side is wanted.
const LONGEST_PIN: Duration = Duration::from_secs(86_400);

described! { order
    /// Which source of a pair viewers are to get.
    pub(super) struct PinOrder {
        /// The namespace.
        pub namespace: String,
        /// The pair's `public` prefix.
        pub public: String,
        /// `a` or `b`; null: whichever is well again. Not to be left out.
        pub source: Stated<String>,
        /// For how long: a duration like `10m`, at most a day; an hour when it is not said.
        pub r#for: Option<String>,
    }
}

/// What the list looks like.
pub(super) fn schema(all: &mut Schemas) -> Value {
    let says = "A public playlist that is made of two sources.";
    let required =
        ["namespace", "public", "playlist", "relation", "active", "pinned", "skew_seconds", "borrowed", "sources", "switches"];
    let item = all
        .named("Pair", |_| json!({ "type": "object", "description": says, "required": required, "additionalProperties": true }));
    json!({ "type": "object", "required": ["pairs"], "properties": { "pairs": { "type": "array", "items": item } } })
}

/// All that this visitor may see.
pub(super) fn list(web: &Web, visitor: &Visitor) -> Response {
    let mut pairs = web.inner.origin.pairs();
    pairs.retain(|pair| visitor.oversees_key(&pair.namespace, &pair.playlist));
    for pair in &mut pairs {
        pair.playlist = shown(&pair.playlist).into_owned();
    }
    ok(&json!({ "pairs": pairs }))
}

/// Wants a source, or none any more.
pub(super) async fn pin(web: &Web, visitor: &Visitor, headers: &HeaderMap, body: Body) -> Result<(Response, Value), Problem> {
    let PinOrder { namespace, public, source: Stated(source), r#for } = orders::read(headers, body, LONGEST).await?;
    let side = match source.as_deref() {
        None => None,
        Some("a") => Some(0),
        Some("b") => Some(1),
        Some(other) => return Err(Problem::bad_request(format!("{other:?} is no source: it is a, b or null"))),
    };
    let span = match r#for.as_deref() {
        None => Duration::from_secs(3600),
        Some(text) => parse_duration(text).map_err(|error| Problem::bad_request(format!("for: {error}")))?,
    };
    if span.is_zero() || span > LONGEST_PIN {
        return Err(Problem::bad_request(
            "for: a source is pinned for some time, and for 1d at most; to pin none, say null as the source",
        ));
    }
    let unknown =
        || Problem::new(Code::NotFound, "there is no pair with two sources of this namespace and public prefix: GET /v1/pairs");
    let name = Namespace::parse(&namespace).ok().filter(|_| visitor.oversees_key(&namespace, &public)).ok_or_else(unknown)?;
    if !web.inner.origin.pin(&name, &public, side, span).await? {
        return Err(unknown());
    }
    let after = json!({ "namespace": namespace, "public": public, "source": source, "for": span.as_secs() });
    Ok((ok(&after), after))
}
