//! `/v1/harvest` on the admin listener: recordings that this server makes of its own streams. What making one means, the floor above
//! knows ([`Harvests`]); here are the words of HTTP for it.
//!
//! An order has to say that it is JSON: so a page in the browser of somebody on this machine can't give one (browsers ask before they
//! send that elsewhere, and nobody answers them here).

use std::fmt::Debug;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use serde_json::json;

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
    /// Where this server is reached by players: content keys that are not copied are named there.
    pub base: Option<String>,
}

/// How a harvest stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// What it is asked for by.
    pub id: String,
    /// `waiting`, `running`, `done`, `failed` or `cancelled`.
    pub state: &'static str,
    /// What was ordered.
    pub namespace: String,
    /// What was ordered.
    pub playlist: String,
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
    /// Why it failed.
    pub error: Option<String>,
    /// When it was ordered, RFC 3339.
    pub ordered: String,
    /// When it was over, RFC 3339.
    pub ended: Option<String>,
}

/// Why an order is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
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
    /// [`Refused`].
    fn order(&self, order: Order) -> Result<Progress, Refused>;

    /// The last ones, newest first.
    fn recent(&self) -> Vec<Progress>;

    /// One of them, if it is remembered.
    fn find(&self, id: &str) -> Option<Progress>;

    /// Ends one; what it has copied stays. Without effect when it is over. `None` when it is not remembered.
    fn cancel(&self, id: &str) -> Option<Progress>;
}

type Shared = Arc<dyn Harvests>;

/// The routes, for the admin listener to guard.
pub(super) fn routes<S: Clone + Send + Sync + 'static>(harvests: Shared) -> Router<S> {
    Router::new().route(PATH, post(order).get(recent)).route("/v1/harvest/{id}", get(find).delete(cancel)).with_state(harvests)
}

async fn order(State(harvests): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let content_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        let detail = "an order is JSON and says so: send Content-Type: application/json";
        return problem(Problem::new(Code::NoJson, detail));
    }
    let Ok(body) = to_bytes(body, LONGEST).await else {
        return problem(Problem::new(Code::TooLarge, "an order has 16 KiB at most"));
    };
    let order = match serde_json::from_slice(&body) {
        Ok(order) => order,
        Err(error) => return problem(Problem::bad_request(format!("the order can't be read: {error}"))),
    };
    match harvests.order(order) {
        Ok(progress) => {
            let location = HeaderValue::try_from(format!("{PATH}/{}", progress.id));
            let mut response = json_response(StatusCode::ACCEPTED, &json!(progress));
            if let Ok(location) = location {
                response.headers_mut().insert(LOCATION, location);
            }
            response
        }
        Err(Refused::Off(detail)) => problem(Problem::new(Code::HarvestOff, detail)),
        Err(Refused::Wrong(detail)) => problem(Problem::bad_request(detail)),
        Err(Refused::Taken) => {
            let detail = "another harvest goes there: wait for its end, cancel it, or name another place in \"out\"";
            problem(Problem::new(Code::HarvestTaken, detail))
        }
        Err(Refused::Busy) => {
            let detail = "as many harvests wait as may: order it again when one of them is over";
            problem(Problem::new(Code::TooManyHarvests, detail))
        }
    }
}

async fn recent(State(harvests): State<Shared>) -> Response {
    json_response(StatusCode::OK, &json!({ "harvests": harvests.recent() }))
}

async fn find(State(harvests): State<Shared>, Path(id): Path<String>) -> Response {
    harvests.find(&id).map_or_else(unknown, |progress| json_response(StatusCode::OK, &json!(progress)))
}

async fn cancel(State(harvests): State<Shared>, Path(id): Path<String>) -> Response {
    harvests.cancel(&id).map_or_else(unknown, |progress| json_response(StatusCode::OK, &json!(progress)))
}

fn unknown() -> Response {
    let detail = "no harvest of this id is remembered: GET /v1/harvest has those that are, and a restart forgets them all";
    problem(Problem::new(Code::NotFound, detail))
}

fn problem(problem: Problem) -> Response {
    problem.into_response("", None)
}

fn json_response(status: StatusCode, json: &serde_json::Value) -> Response {
    let mut response = Response::new(Body::from(json.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
