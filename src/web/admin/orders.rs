//! What comes with a request to the admin listener beside its path: words of the query, and an order as JSON.
//!
//! An order has to say that it is JSON: browsers ask before they send that to another site, and nobody answers them here.

use std::collections::BTreeSet;
use std::fmt;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Uri};
use serde::de::{self, Deserialize, DeserializeOwned, Deserializer};

use crate::auth::viewer::has_form;
use crate::model::clock::WallTime;
use crate::model::percent;
use crate::web::problem::Problem;
use crate::web::problem::code::Code;

/// A word of a query.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueryWord {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// Its JSON type.
    pub(super) kind: &'static str,
    pub(super) required: bool,
}

impl QueryWord {
    pub(super) const fn needed(name: &'static str, about: &'static str) -> Self {
        Self { name, about, kind: "string", required: true }
    }

    pub(super) const fn text(name: &'static str, about: &'static str) -> Self {
        Self { name, about, kind: "string", required: false }
    }

    pub(super) const fn truth(name: &'static str, about: &'static str) -> Self {
        Self { name, about, kind: "boolean", required: false }
    }

    pub(super) const fn number(name: &'static str, about: &'static str) -> Self {
        Self { name, about, kind: "integer", required: false }
    }
}

/// Whether one node is asked alone, of several.
pub(super) const SCOPE: QueryWord =
    QueryWord::text("scope", "node: of the node that is asked alone, where several share an engine");

/// The longest order, in bytes.
pub(super) const LONGEST: usize = 64 << 10;

/// Reads an order.
pub(super) async fn read<T: DeserializeOwned>(headers: &HeaderMap, body: Body, longest: usize) -> Result<T, Problem> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        return Err(Problem::new(Code::NoJson, "an order is JSON and says so: send Content-Type: application/json"));
    }
    let body = bytes(body, longest).await?;
    from_json(&body).map_err(|error| Problem::bad_request(format!("the order can't be read: {error}")))
}

/// Reads an order's JSON: an object, in which nothing is said twice. By itself serde takes the values of an array for the fields in their order,
/// and of a name that is there twice in a map the last one.
fn from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, serde_json::Error> {
    if body.trim_ascii_start().first().is_some_and(|first| *first != b'{') {
        return Err(de::Error::custom("it is a JSON object, as in {\"name\": \"value\"}"));
    }
    serde_json::from_slice::<Unambiguous>(body)?;
    serde_json::from_slice(body)
}

/// Any JSON in which no object has a name twice.
struct Unambiguous;

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> de::Visitor<'de> for Unambiguous {
    type Value = Self;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        let mut names = BTreeSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if names.contains(&name) {
                return Err(de::Error::custom(format!("duplicate field `{name}`")));
            }
            names.insert(name);
            map.next_value::<Self>()?;
        }
        Ok(self)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }
}

/// The whole of an order.
pub(super) async fn bytes(body: Body, longest: usize) -> Result<Bytes, Problem> {
    let body = to_bytes(body, longest).await;
    body.map_err(|_| Problem::new(Code::TooLarge, format!("an order has {} KiB at most", longest >> 10)))
}

/// Refuses a name with a viewer's token in it, as in a URL that was copied from a player: what is ordered is kept, told and written down. The
/// name is not repeated.
pub(super) fn without_token(field: &str, name: &str) -> Result<(), Problem> {
    let (path, query) = name.split_once('?').unwrap_or((name, ""));
    let is_token = |part: &str| ["~", "%7E", "%7e"].iter().any(|sign| part.strip_prefix(sign).is_some_and(has_form));
    if path.split('/').any(is_token) || query.split(['&', '=']).any(has_form) {
        let detail =
            format!("\"{field}\": there is a viewer's token in it: say the object's key, which stands behind \"~TOKEN/\"");
        return Err(Problem::bad_request(detail));
    }
    Ok(())
}

/// The same where a query has been taken for a part of the name: nobody knows what is in it.
pub(super) fn without_query(field: &str, name: &str) -> Result<(), Problem> {
    without_token(field, name)?;
    if name.contains('?') {
        return Err(Problem::bad_request(format!(
            "\"{field}\": takes a key as it is stored, without a \"?\" and what follows it"
        )));
    }
    Ok(())
}

/// A time as orders and queries have it.
pub(super) fn time(name: &str, text: &str) -> Result<WallTime, Problem> {
    let seconds = text.parse().ok().map(WallTime::from_seconds);
    seconds
        .or_else(|| WallTime::parse(text))
        .ok_or_else(|| Problem::bad_request(format!("{name} is a time, as in 2026-01-02T03:04:05Z or seconds since 1970")))
}

/// The words of a query, decoded.
#[derive(Debug)]
pub(super) struct QueryWords(Vec<(String, String)>);

impl QueryWords {
    /// Reads them: each is one of these, and none is there twice.
    pub(super) fn parse(uri: &Uri, known: &[QueryWord]) -> Result<Self, Problem> {
        let mut words: Vec<(String, String)> = Vec::new();
        for pair in uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            // A word that stands by itself is true.
            let (name, value) = pair.split_once('=').unwrap_or((pair, "true"));
            let decoded = (percent::decode(name), percent::decode(value));
            let (Some(name), Some(value)) = decoded else {
                return Err(Problem::bad_request("the query is not sound: it is no UTF-8"));
            };
            if !percent::is_sound(pair) {
                return Err(Problem::bad_request("the query is not sound: each % stands before two hexadecimal digits"));
            }
            if !known.iter().any(|known| known.name == name) {
                let names: Vec<_> = known.iter().map(|known| known.name).collect();
                return Err(Problem::bad_request(match &*names.join(", ") {
                    "" => "this takes no query".to_owned(),
                    names => format!("the query takes {names}"),
                }));
            }
            if words.iter().any(|(other, _)| *other == name) {
                return Err(Problem::bad_request(format!("{name} is in the query twice")));
            }
            words.push((name.into_owned(), value.into_owned()));
        }
        if let Some(lacks) = known.iter().find(|known| known.required && !words.iter().any(|(name, _)| name == known.name)) {
            return Err(Problem::bad_request(format!("the query has to say {}: {}", lacks.name, lacks.about)));
        }
        Ok(Self(words))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A number, within `1..=most`; what it is when nothing is said.
    pub(super) fn number(&self, name: &str, usual: usize, most: usize) -> Result<usize, Problem> {
        let Some(text) = self.get(name) else { return Ok(usual) };
        let number = text.parse().ok().filter(|number| (1..=most).contains(number));
        number.ok_or_else(|| Problem::bad_request(format!("{name} is a number from 1 to {most}")))
    }

    /// A time, if one is said.
    pub(super) fn time(&self, name: &str) -> Result<Option<WallTime>, Problem> {
        self.get(name).map(|text| time(name, text)).transpose()
    }

    pub(super) fn truth(&self, name: &str) -> Result<bool, Problem> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Problem::bad_request(format!("{name} is true or false"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<QueryWords, String> {
        const KNOWN: [QueryWord; 3] = [
            QueryWord::needed("key", "whose"),
            QueryWord::number("limit", "how many"),
            QueryWord::truth("force", "all the same"),
        ];
        let uri = format!("/v1/x?{query}").parse().unwrap();
        QueryWords::parse(&uri, &KNOWN).map_err(|problem| problem.detail.into_owned())
    }

    #[test]
    fn a_query_is_read_by_what_a_route_takes() {
        let words = parse("key=a%2Fb%20c&limit=7&force").unwrap();
        assert_eq!(words.get("key"), Some("a/b c"));
        assert_eq!(words.number("limit", 50, 100).unwrap(), 7);
        assert!(words.truth("force").unwrap());
        let words = parse("key=").unwrap();
        assert_eq!((words.get("key"), words.number("limit", 50, 100).unwrap()), (Some(""), 50));
        for (query, told) in [
            ("", "the query has to say key: whose"),
            ("key=a&other=1", "the query takes key, limit, force"),
            ("key=a&key=b", "key is in the query twice"),
            ("key=%", "the query is not sound"),
            ("key=%ff", "the query is not sound"),
        ] {
            assert!(parse(query).unwrap_err().starts_with(told), "{query}");
        }
        for limit in ["0", "101", "x", "-1"] {
            assert!(parse(&format!("key=a&limit={limit}")).unwrap().number("limit", 50, 100).is_err(), "{limit}");
        }
        for no_truth in ["yes", ""] {
            assert!(parse(&format!("key=a&force={no_truth}")).unwrap().truth("force").is_err(), "{no_truth}");
        }
    }

    #[test]
    fn an_order_is_an_object_that_says_nothing_twice() {
        use serde_json::{Map, Value};

        #[derive(Debug, PartialEq, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Small {
            name: String,
            more: Option<Vec<u8>>,
        }

        let small: Small = from_json(br#" {"name": "a", "more": [1, 1]}"#).unwrap();
        assert_eq!(small, Small { name: "a".to_owned(), more: Some(vec![1, 1]) });
        assert!(from_json::<Small>(br#"["a", [1]]"#).unwrap_err().to_string().contains("JSON object"), "not by position");
        let sound = br#"{"a": {"x": null, "y": [true, -1, 1.5, "z", {"x": 1}]}, "x": 18446744073709551615}"#;
        assert_eq!(from_json::<Map<String, Value>>(sound).unwrap().len(), 2);
        for (order, told) in [
            (r#"{"a": 1, "a": 1}"#, "duplicate field `a`"),
            (r#"{"a": 1, "\u0061": 2}"#, "duplicate field `a`"),
            (r#"{"b": {"a": 1, "a": 2}}"#, "duplicate field `a`"),
            (r#"{"b": [{"a": 1, "a": 2}]}"#, "duplicate field `a`"),
            (r#"[{"a": 1}]"#, "JSON object"),
            ("\"a\"", "JSON object"),
            ("null", "JSON object"),
            ("", "EOF"),
            (r#"{"a": 1} x"#, "trailing"),
        ] {
            let refused = from_json::<Map<String, Value>>(order.as_bytes()).unwrap_err().to_string();
            assert!(refused.contains(told), "{order}: {refused}");
        }
    }
}
