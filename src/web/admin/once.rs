//! `Idempotency-Key`: an order that makes something, sent again because its answer was not heard, is carried out once; who sends it again
//! gets the answer of the first time.
//!
//! Invariants: a key is its sender's, for one route. The same key with another order is refused, and so is one whose first order is still
//! being carried out. What failed is not remembered: it changed nothing, and may be tried again. Answers with secrets in them are among what is
//! remembered, so that is kept in memory, and for a short time. Who sends much pushes out what is his, and nobody else's; and what an answer was
//! is forgotten before that there was one.

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
/// So many are, at most; the oldest of who has most make room.
const MOST: usize = 1000;
/// The longest key, in bytes.
const LONGEST_KEY: usize = 255;
/// The longest answer that is remembered, and all of them together, in bytes.
const LONGEST_ANSWER: usize = 1 << 20;
const MOST_BYTES: usize = 16 << 20;

type OrderName = [u8; 32];

/// What was ordered under keys.
#[derive(Debug)]
pub(super) struct Repeats {
    clock: Clock,
    known: Mutex<HashMap<OrderName, KnownOrder>>,
}

#[derive(Debug)]
struct KnownOrder {
    /// Who has sent it.
    who: Arc<str>,
    order: [u8; 32],
    at: Moment,
    state: OrderState,
}

#[derive(Debug)]
enum OrderState {
    UnderWay,
    Answered(Remembered),
    /// The answer was too long to be kept, or others came behind it.
    AnsweredOnce,
}

impl KnownOrder {
    fn is_over(&self) -> bool {
        !matches!(self.state, OrderState::UnderWay)
    }

    /// Bytes of the answer that is kept.
    fn bytes(&self) -> usize {
        if let OrderState::Answered(answer) = &self.state { answer.body.len() } else { 0 }
    }
}

/// Of who has most, by this measure, the oldest that has any.
fn oldest_of_most(known: &HashMap<OrderName, KnownOrder>, measure: impl Fn(&KnownOrder) -> usize) -> Option<OrderName> {
    let mut sums: HashMap<&Arc<str>, usize> = HashMap::new();
    for one in known.values() {
        *sums.entry(&one.who).or_default() += measure(one);
    }
    let (most, _) = sums.into_iter().max_by_key(|(_, sum)| *sum)?;
    let his = known.iter().filter(|(_, one)| one.who == *most && measure(one) > 0);
    his.min_by_key(|(_, one)| one.at).map(|(name, _)| *name)
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
        known.retain(|_, one| !one.is_over() || now.since(one.at) < REMEMBERED);
        match known.get(&name) {
            Some(one) if one.order != order => {
                let detail = "another order was sent under this Idempotency-Key: each order takes one of its own";
                Err(Problem::new(Code::OrderDiffers, detail))
            }
            Some(KnownOrder { state: OrderState::Answered(answer), .. }) => Ok(Whether::Done(answer.again())),
            Some(KnownOrder { state: OrderState::AnsweredOnce, .. }) => {
                let detail = "this order was carried out and answered, and the answer is not kept, for it is too long or too many came behind it: \
                              look for what it has made, or order anew under another Idempotency-Key";
                Err(Problem::new(Code::InUse, detail))
            }
            Some(_) => {
                let detail = "this order is being carried out: send it again in a moment, and its answer will be there";
                Err(Problem::new(Code::InUse, detail))
            }
            None => {
                if known.len() >= MOST {
                    oldest_of_most(&known, |one| usize::from(one.is_over())).and_then(|name| known.remove(&name));
                }
                known.insert(name, KnownOrder { who: who.into(), order, at: now, state: OrderState::UnderWay });
                Ok(Whether::Do(OrderTurn { repeats: Arc::clone(self), name, is_over: false }))
            }
        }
    }
}

impl OrderTurn {
    /// It was carried out: keeps the answer, if it is not too long, and gives it back.
    pub(super) async fn end(mut self, response: Response) -> Response {
        let (parts, body) = response.into_parts();
        // What is answered to an order lies in memory.
        let Ok(body) = to_bytes(body, usize::MAX).await else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
        let answer = Remembered { status: parts.status, headers: parts.headers, body };
        let mut known = self.repeats.known.lock();
        if let Some(one) = known.get_mut(&self.name) {
            let is_short = answer.body.len() <= LONGEST_ANSWER;
            one.state = if is_short { OrderState::Answered(answer.clone()) } else { OrderState::AnsweredOnce };
        }
        while known.values().map(KnownOrder::bytes).sum::<usize>() > MOST_BYTES {
            let Some(one) = oldest_of_most(&known, KnownOrder::bytes).and_then(|name| known.get_mut(&name)) else { break };
            one.state = OrderState::AnsweredOnce;
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
    async fn who_sends_much_pushes_out_what_is_his() {
        let clock = Clock::manual();
        let repeats = Repeats::new(clock.clone());
        let ask = |number: usize, who: &str| {
            clock.advance(Duration::from_millis(1));
            repeats.ask(&HeaderValue::try_from(number.to_string()).unwrap(), who, "it", b"")
        };
        let answer = |length: usize| "x".repeat(length).into_response();
        turn(ask(0, "another")).end(answer(10)).await;
        // What is too long is answered, and known to have been.
        let long = turn(ask(0, "me")).end(answer(LONGEST_ANSWER + 1)).await;
        assert_eq!(to_bytes(long.into_body(), usize::MAX).await.unwrap().len(), LONGEST_ANSWER + 1);
        assert_eq!(code(ask(0, "me")), Code::InUse);
        for number in 1..=17 {
            turn(ask(number, "me")).end(answer(LONGEST_ANSWER)).await;
        }
        let held = || repeats.known.lock().values().map(KnownOrder::bytes).sum::<usize>();
        assert!(held() <= MOST_BYTES && held() > MOST_BYTES - LONGEST_ANSWER, "{}", held());
        assert_eq!((code(ask(1, "me")), code(ask(2, "me"))), (Code::InUse, Code::InUse), "it is not carried out again");
        assert!(matches!(ask(17, "me"), Ok(Whether::Done(_))) && matches!(ask(0, "another"), Ok(Whether::Done(_))));
        for number in 18..MOST + 100 {
            turn(ask(number, "me")).end(answer(1)).await;
        }
        assert_eq!(repeats.known.lock().len(), MOST);
        assert!(matches!(ask(0, "another"), Ok(Whether::Done(_))), "it is the oldest of all");
        drop(turn(ask(0, "me")));
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
