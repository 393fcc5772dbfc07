//! One thing that can be asked for on the admin listener: where, by whom, with which words, and what comes back.

use serde_json::Value;

use super::orders::QueryWord;
use super::route_name::RouteName;
use super::schema::Schemas;
use super::visitor::Who;

/// Says what a body looks like.
pub(super) type Describe = fn(&mut Schemas) -> Value;

/// What a good answer is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answers {
    /// JSON with this status.
    Json(u16, Describe),
    /// Text of this type.
    Text(&'static str),
    /// What was stored, as the type it was stored with.
    Bytes,
    /// 204.
    Nothing,
}

/// One thing that can be asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    pub(super) place: RouteName,
    pub(super) method: &'static str,
    /// With names in braces, each for one segment.
    pub(super) path: &'static str,
    pub(super) who: Who,
    pub(super) about: &'static str,
    pub(super) query: &'static [QueryWord],
    pub(super) order: Option<Describe>,
    /// Whether an `Idempotency-Key` is obeyed.
    pub(super) once: bool,
    pub(super) answers: Answers,
}

pub(super) const fn route(
    place: RouteName,
    method: &'static str,
    path: &'static str,
    who: Who,
    about: &'static str,
    answers: Answers,
) -> Route {
    Route { place, method, path, who, about, query: &[], order: None, once: false, answers }
}

impl Route {
    pub(super) const fn query(self, query: &'static [QueryWord]) -> Self {
        Self { query, ..self }
    }

    pub(super) const fn takes(self, order: Describe) -> Self {
        Self { order: Some(order), ..self }
    }

    /// It makes something anew each time: who is not sure whether he was heard may send the same again ([`super::once`]).
    pub(super) const fn once(self) -> Self {
        Self { once: true, ..self }
    }

    /// Whether it is worth a line in the access log: scrapes and probes are many, and nobody looks for them.
    pub(super) fn is_told(&self) -> bool {
        self.path.starts_with("/v1")
    }
}
