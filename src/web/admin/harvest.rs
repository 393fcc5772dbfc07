//! `/v1/harvest` on the admin listener: recordings that this server makes of its own streams. What making one means, the floor above
//! knows ([`Harvests`]); here are the words of HTTP for it.

use std::fmt::Debug;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use super::about::of_nodes;
use super::schema::Schemas;
use super::visitor::Visitor;
use super::{json_response, orders};
use crate::auth::grant::Grant;
use crate::origin::OriginError;
use crate::web::problem::Problem;
use crate::web::problem::code::Code;

/// Where they are.
const PATH: &str = "/v1/harvest";
/// The longest order, in bytes.
const LONGEST: usize = 16 << 10;

/// What is ordered, as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// The namespace the stream is in.
    pub namespace: String,
    /// The key of the playlist, multivariant or media.
    pub playlist: String,
    /// From when on; without it, from the oldest that is there.
    pub start: Option<String>,
    /// Until when; without it, until now.
    pub end: Option<String>,
    /// Instead of both: the last stretch of it, this long, up to now.
    pub last: Option<String>,
    /// Where to: a name below the folder that is set, or the URL of a place below one of the buckets that are set.
    pub out: String,
    /// Whether content keys are copied too.
    #[serde(default)]
    pub keys: bool,
    /// Whether it begins anew where an earlier one went, and deletes what that has copied there.
    #[serde(default)]
    pub replace: bool,
    /// Where this server is reached by players: content keys that are not copied are named there.
    pub base: Option<String>,
    /// Whose order it is: what it reads, and what it may replace, is what he may. `None`: of somebody on this machine, who came without a key.
    #[serde(skip)]
    pub by: Option<Arc<Grant>>,
}

/// One of the states there are, by its name. The alias keeps serde from borrowing it.
pub type StateName = &'static str;

/// How a harvest stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What it is asked for by.
    pub id: String,
    /// `waiting`, `running`, `done`, `failed` or `cancelled`.
    #[serde(deserialize_with = "known_state")]
    pub state: StateName,
    /// What was ordered.
    pub namespace: String,
    /// What was ordered.
    pub playlist: String,
    /// What all keys begin with that it may read; `None`: it may read all of the namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// From when on, RFC 3339; `None`: from the oldest that was there.
    pub start: Option<String>,
    /// Until when, RFC 3339.
    pub end: Option<String>,
    /// Where it goes; when it is done, the recording's own playlist.
    pub out: String,
    /// How many files there are, playlists not counted; 0 until that is known.
    pub total: u64,
    /// How many of them are there: copied, or there before.
    pub files: u64,
    /// How many of these were there before.
    pub kept: u64,
    /// Bytes that were copied.
    pub bytes: u64,
    /// How many could not be read.
    pub missing: u64,
    /// The first of these, each with its reason.
    pub missing_files: Vec<String>,
    /// The first of the media playlists that are named and have nothing in the window, or could not be read, each with the reason.
    pub left_out: Vec<String>,
    /// How many segments the recording marks as missing (EXT-X-GAP): nothing was there to be copied.
    pub gaps: u64,
    /// The first stretches of these: in which playlist of the recording, and when.
    pub gap_times: Vec<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// When it was ordered, RFC 3339.
    pub ordered: String,
    /// When it was over, RFC 3339.
    pub ended: Option<String>,
}

impl Progress {
    /// Where it goes: of one that is done, its playlist is named as that.
    #[must_use]
    pub fn place(&self) -> &str {
        if self.state == "done" { self.out.rsplit_once('/').map_or("", |(place, _)| place) } else { &self.out }
    }
}

/// The states there are.
const STATES: [&str; 5] = ["waiting", "running", "done", "failed", "cancelled"];

fn known_state<'de, D: Deserializer<'de>>(given: D) -> Result<&'static str, D::Error> {
    let state = String::deserialize(given)?;
    STATES.into_iter().find(|known| *known == state).ok_or_else(|| serde::de::Error::custom("no such state"))
}

/// A file of a recording.
#[derive(Clone, Debug)]
pub struct RecordedFile {
    /// Its media type, by its name.
    pub content_type: &'static str,
    /// All of it.
    pub body: Bytes,
}

/// Why a recording's files are not given out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotKept {
    /// No recording of this id is remembered.
    Unknown,
    /// There is no such file.
    Absent,
    /// It went into a bucket.
    Elsewhere,
    /// Its folder can't be read; why.
    Unreadable(String),
}

/// Why an order is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderRefused {
    /// The server is not set to take any for there; the text says which setting does.
    Off(&'static str),
    /// It makes no sense, or asks for what nobody may; the text says what to write instead.
    Wrong(String),
    /// Another one goes there already.
    Taken,
    /// Too many wait.
    Busy,
}

/// What makes recordings.
pub trait Harvests: Debug + Send + Sync {
    /// Takes an order; it is carried out beside everything else.
    ///
    /// # Errors
    /// [`OrderRefused`].
    fn order(&self, order: Order) -> Result<Progress, OrderRefused>;

    /// The last ones, newest first.
    fn recent(&self) -> Vec<Progress>;

    /// One of them, if it is remembered.
    fn find(&self, id: &str) -> Option<Progress>;

    /// Ends one; what it has copied stays. Without effect when it is over. `None` when it is not remembered.
    fn cancel(&self, id: &str) -> Option<Progress>;

    /// The names of a recording's files, where they lie in the server's own folder. Reads the folder, which may take its time.
    ///
    /// # Errors
    /// [`NotKept`].
    fn files(&self, id: &str) -> Result<Vec<String>, NotKept>;

    /// One of them. Reads it, which may take its time.
    ///
    /// # Errors
    /// [`NotKept`].
    fn file(&self, id: &str, name: &str) -> Result<RecordedFile, NotKept>;
}

/// Takes an order.
pub(super) async fn order(
    harvests: &dyn Harvests,
    visitor: &Visitor,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Response, Value), Problem> {
    let mut order: Order = orders::read(headers, body, LONGEST).await?;
    orders::without_query("playlist", &order.playlist)?;
    if !visitor.oversees(&order.namespace) {
        return Err(Problem::bad_request("\"namespace\": is not configured on this server"));
    }
    if !visitor.oversees_key(&order.namespace, &order.playlist) {
        return Err(OriginError::Forbidden.into());
    }
    order.by = visitor.grant().cloned();
    let progress = harvests.order(order).map_err(|refused| match refused {
        OrderRefused::Off(detail) => Problem::new(Code::HarvestOff, detail),
        OrderRefused::Wrong(detail) => Problem::bad_request(detail),
        OrderRefused::Taken => {
            let detail = "another harvest goes there: wait for its end, cancel it, or name another place in \"out\"";
            Problem::new(Code::HarvestTaken, detail)
        }
        OrderRefused::Busy => {
            let detail = "as many harvests wait as may: order it again when one of them is over";
            Problem::new(Code::TooManyHarvests, detail)
        }
    })?;
    let location = HeaderValue::try_from(format!("{PATH}/{}", progress.id));
    let progress = json!(progress);
    let mut response = json_response(StatusCode::ACCEPTED, &progress);
    if let Ok(location) = location {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok((response, progress))
}

fn is_seen(harvest: &Progress, visitor: &Visitor) -> bool {
    visitor.oversees_key(&harvest.namespace, &harvest.playlist)
}

/// The last ones.
pub(super) fn recent(harvests: &dyn Harvests, visitor: &Visitor) -> Value {
    let mut harvests = harvests.recent();
    harvests.retain(|harvest| is_seen(harvest, visitor));
    json!({ "harvests": harvests })
}

/// One of them.
pub(super) fn find(harvests: &dyn Harvests, visitor: &Visitor, id: &str) -> Result<Response, Problem> {
    let found = harvests.find(id).filter(|harvest| is_seen(harvest, visitor));
    found.map(|progress| json_response(StatusCode::OK, &json!(progress))).ok_or_else(unknown)
}

/// Ends one.
pub(super) fn cancel(harvests: &dyn Harvests, visitor: &Visitor, id: &str) -> Result<(Response, Value), Problem> {
    harvests.find(id).filter(|harvest| is_seen(harvest, visitor)).ok_or_else(unknown)?;
    let progress = json!(harvests.cancel(id).ok_or_else(unknown)?);
    Ok((json_response(StatusCode::OK, &progress), progress))
}

/// What an order looks like.
pub(super) fn order_schema(all: &mut Schemas) -> Value {
    let text = || json!({ "type": ["string", "null"] });
    all.named("HarvestOrder", |_| {
        json!({
            "type": "object",
            "required": ["namespace", "playlist", "out"],
            "additionalProperties": false,
            "properties": {
                "namespace": { "type": "string" }, "playlist": { "type": "string" }, "out": { "type": "string" },
                "start": text(), "end": text(), "last": text(), "base": text(),
                "keys": { "type": "boolean" }, "replace": { "type": "boolean" },
            },
        })
    })
}

/// How one is told of.
pub(super) fn progress_schema(all: &mut Schemas) -> Value {
    all.named("Harvest", |_| {
        json!({
            "type": "object",
            "required": ["id", "state", "namespace", "playlist", "out", "total", "files", "kept", "bytes", "missing", "ordered"],
            "properties": {
                "id": { "type": "string" },
                "state": { "enum": STATES },
            },
            "additionalProperties": true,
        })
    })
}

/// And all of them.
pub(super) fn list_schema(all: &mut Schemas) -> Value {
    let item = progress_schema(all);
    let list =
        json!({ "type": "object", "required": ["harvests"], "properties": { "harvests": { "type": "array", "items": item } } });
    of_nodes(list)
}

pub(super) fn unknown() -> Problem {
    let detail = "no harvest of this id is remembered: GET /v1/harvest has the last ones";
    Problem::new(Code::NotFound, detail)
}
