//! `Idempotency-Key`: an order that makes something, sent again because its answer was not heard, is carried out once; who sends it again
//! gets the answer of the first time.
//!
//! Invariants: a key is its sender's, for one route. The same key with another order is refused, and so is one whose first order is still
//! being carried out. What failed is not remembered: it changed nothing, and may be tried again. Answers with secrets in them are among what is
//! remembered, so that is kept in memory, and for a short time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use parking_lot::Mutex;

use crate::auth::signing::sha256;
use crate::model::clock::{Clock, Moment};
use crate::web::problem::Problem;
use crate::web::problem::code::Code;

/// What names an order (draft-ietf-httpapi-idempotency-key-header).
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that an answer is that of the first time.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// For so long an answer is remembered.
const REMEMBERED: Duration = Duration::from_secs(600);
/// So many are, at most; the oldest make room.
const MOST: usize = 1000;
/// The longest key, in bytes.
const LONGEST_KEY: usize = 255;
/// The longest answer that is remembered, in bytes.
const LONGEST_ANSWER: usize = 1 << 20;

type OrderName = [u8; 32];

/// What was ordered under keys.
#[derive(Debug)]
pub(super) struct Repeats {
    clock: Clock,
    known: Mutex<HashMap<OrderName, KnownOrder>>,
}

#[derive(Debug)]
struct KnownOrder {
    order: [u8; 32],
    at: Moment,
    /// `None`, while it is being carried out.
    answer: Option<Remembered>,
}

#[derive(Clone)]
struct Remembered {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl std::fmt::Debug for Remembered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // There may be a key in it.
        write!(f, "Remembered({})", self.status)
    }
}

/// An order that is about to be carried out. Dropped, it is forgotten.
#[derive(Debug)]
pub(super) struct OrderTurn {
    repeats: Arc<Repeats>,
    name: OrderName,
    is_over: bool,
}

/// What to do with an order.
#[derive(Debug)]
pub(super) enum Whether {
    /// Carry it out, and say what came of it.
    Do(OrderTurn),
    /// Nothing: this was the answer.
    Done(Response),
}

impl Repeats {
    pub(super) fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self { clock, known: Mutex::default() })
    }

    /// Whether to carry out an order. `who` sends it, `what` it is for; `order` is all of it that matters.
    pub(super) fn ask(self: &Arc<Self>, key: &HeaderValue, who: &str, what: &str, order: &[u8]) -> Result<Whether, Problem> {
        let text = key.to_str().unwrap_or_default();
        if text.is_empty() || text.len() > LONGEST_KEY {
            return Err(Problem::bad_request("an Idempotency-Key has 1 to 255 visible characters"));
        }
        let (name, order) = (sha256(format!("{who}\n{what}\n{text}").as_bytes()), sha256(order));
        let now = self.clock.now();
        let mut known = self.known.lock();
        known.retain(|_, one| one.answer.is_none() || now.since(one.at) < REMEMBERED);
        match known.get(&name) {
            Some(one) if one.order != order => {
                let detail = "another order was sent under this Idempotency-Key: each order takes one of its own";
                Err(Problem::new(Code::OrderDiffers, detail))
            }
            Some(KnownOrder { answer: Some(answer), .. }) => Ok(Whether::Done(answer.again())),
            Some(_) => {
                let detail = "this order is being carried out: send it again in a moment, and its answer will be there";
                Err(Problem::new(Code::InUse, detail))
            }
            None => {
                if known.len() >= MOST {
                    let done = known.iter().filter(|(_, one)| one.answer.is_some());
                    let oldest = done.min_by_key(|(_, one)| one.at).map(|(name, _)| *name);
                    oldest.and_then(|name| known.remove(&name));
                }
                known.insert(name, KnownOrder { order, at: now, answer: None });
                Ok(Whether::Do(OrderTurn { repeats: Arc::clone(self), name, is_over: false }))
            }
        }
    }
}

impl OrderTurn {
    /// It was carried out: keeps the answer, and gives it back.
    pub(super) async fn end(mut self, response: Response) -> Response {
        let (parts, body) = response.into_parts();
        // What is answered to an order lies in memory.
        let Ok(body) = to_bytes(body, LONGEST_ANSWER).await else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
        let answer = Remembered { status: parts.status, headers: parts.headers, body };
        let mut known = self.repeats.known.lock();
        if let Some(one) = known.get_mut(&self.name) {
            one.answer = Some(answer.clone());
        }
        drop(known);
        self.is_over = true;
        answer.first()
    }
}

impl Drop for OrderTurn {
    fn drop(&mut self) {
        if !self.is_over {
            self.repeats.known.lock().remove(&self.name);
        }
    }
}

impl Remembered {
    fn first(self) -> Response {
        let mut response = (self.status, Body::from(self.body)).into_response();
        *response.headers_mut() = self.headers;
        response
    }

    fn again(&self) -> Response {
        let mut response = self.clone().first();
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: HeaderValue = HeaderValue::from_static("k");

    fn turn(whether: Result<Whether, Problem>) -> OrderTurn {
        match whether {
            Ok(Whether::Do(turn)) => turn,
            other => panic!("{other:?}"),
        }
    }

    fn code(whether: Result<Whether, Problem>) -> Code {
        whether.err().unwrap().code
    }

    #[tokio::test]
    async fn an_order_is_carried_out_once_and_answered_as_often_as_it_is_sent() {
        let clock = Clock::manual();
        let repeats = Repeats::new(clock.clone());
        let ask = |key: &HeaderValue, who: &str, order: &[u8]| repeats.ask(key, who, "POST /v1/keys", order);
        let first = turn(ask(&KEY, "me", b"a"));
        assert_eq!(code(ask(&KEY, "me", b"a")), Code::InUse, "it is under way");
        assert_eq!(code(ask(&KEY, "me", b"b")), Code::OrderDiffers);
        let others = turn(ask(&KEY, "you", b"b"));
        let answer = first.end((StatusCode::CREATED, [("location", "/x")], "secret").into_response()).await;
        assert_eq!((answer.status(), answer.headers().contains_key(REPLAYED)), (StatusCode::CREATED, false));
        let Ok(Whether::Done(again)) = ask(&KEY, "me", b"a") else { panic!("it was done") };
        assert_eq!(
            (again.status(), &again.headers()["location"], &again.headers()[REPLAYED]),
            (StatusCode::CREATED, &HeaderValue::from_static("/x"), &HeaderValue::from_static("true"))
        );
        assert_eq!(to_bytes(again.into_body(), 100).await.unwrap(), "secret");
        assert!(!format!("{repeats:?}").contains("secret"));
        // What broke off may be tried again.
        drop(others);
        drop(turn(ask(&KEY, "you", b"c")));
        clock.advance(REMEMBERED);
        drop(turn(ask(&KEY, "me", b"b")));
        assert_eq!(code(ask(&HeaderValue::from_static(""), "me", b"")), Code::BadRequest);
        assert_eq!(code(ask(&HeaderValue::try_from("k".repeat(256)).unwrap(), "me", b"")), Code::BadRequest);
    }

    #[tokio::test]
    async fn so_many_are_remembered_and_no_more() {
        let clock = Clock::manual();
        let repeats = Repeats::new(clock.clone());
        for number in 0..MOST + 10 {
            clock.advance(Duration::from_millis(1));
            let key = HeaderValue::try_from(number.to_string()).unwrap();
            turn(repeats.ask(&key, "me", "it", b"")).end(StatusCode::OK.into_response()).await;
        }
        assert_eq!(repeats.known.lock().len(), MOST);
        drop(turn(repeats.ask(&HeaderValue::from_static("0"), "me", "it", b"")));
    }
}
