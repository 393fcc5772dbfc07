//! What one list, or one set of figures, is made of those of several nodes. Nothing is asked here.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::route_name::RouteName;
use crate::model::clock::WallTime;

/// Nodes judge streams once a second each: what they say of one within this is one event.
const ONE_EVENT: u64 = 3_000;

/// What nodes, each with its name, say together; of a list no more than so many.
pub(super) fn merged(place: RouteName, all: Vec<(String, Value)>, limit: Option<usize>) -> Value {
    match place {
        RouteName::Clients => lists(all, &[("clients", "last_seen")], limit),
        RouteName::Rejected => lists(all, &[("rejected", "/request/time"), ("unread", "last_seen")], limit),
        RouteName::Harvests => lists(all, &[("harvests", "ordered")], limit),
        RouteName::Noted => lists(all, &[("lines", "time")], limit),
        RouteName::Events => events(all, limit),
        RouteName::Series => series(&all),
        RouteName::Overview => overview(&all),
        // Of what all know each says the same.
        _ => all.into_iter().next().map(|(_, value)| value).unwrap_or_default(),
    }
}

/// The lists of these names, each of all nodes together: the newest first, by the field that says when. Each item says whose it is.
fn lists(all: Vec<(String, Value)>, fields: &[(&str, &str)], limit: Option<usize>) -> Value {
    let mut merged: BTreeMap<&str, Vec<Value>> = fields.iter().map(|(field, _)| (*field, Vec::new())).collect();
    for (node, mut value) in all {
        for (field, list) in &mut merged {
            for item in items(&mut value, field) {
                list.push(with(item, "node", json!(node)));
            }
        }
    }
    for (field, when) in fields {
        let Some(list) = merged.get_mut(field) else { continue };
        let when = |item: &Value| if when.starts_with('/') { item.pointer(when).cloned() } else { item.get(*when).cloned() };
        // RFC 3339, of one form: its order is that of its letters.
        list.sort_by_cached_key(|item| std::cmp::Reverse(when(item).and_then(|when| when.as_str().map(str::to_owned))));
        list.truncate(limit.unwrap_or(usize::MAX));
    }
    json!(merged)
}

/// The items of a list, out of what a node said.
fn items(said: &mut Value, field: &str) -> Vec<Value> {
    said.get_mut(field).and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default()
}

/// An item that says one thing more.
fn with(mut item: Value, field: &str, value: Value) -> Value {
    if let Some(fields) = item.as_object_mut() {
        fields.insert(field.to_owned(), value);
    }
    item
}

/// Events, of which each node tells when it finds them: what several tell at about the same time is one, with the names of all of them.
fn events(all: Vec<(String, Value)>, limit: Option<usize>) -> Value {
    let mut told: Vec<(u64, String, Value)> = Vec::new();
    for (node, mut value) in all {
        for event in items(&mut value, "events") {
            let at = event["time"].as_str().and_then(WallTime::parse).map_or(0, WallTime::millis);
            told.push((at, node.clone(), event));
        }
    }
    told.sort_by_key(|(at, ..)| *at);
    let mut merged: Vec<(u64, Value)> = Vec::new();
    for (at, node, event) in told {
        let is_same = |known: &Value| {
            let alike = ["namespace", "stream", "playlist", "event"].iter().all(|field| known[*field] == event[*field]);
            alike && known["nodes"].as_array().is_some_and(|nodes| !nodes.contains(&json!(node)))
        };
        let recent = merged.iter().enumerate().rev().take_while(|(_, (known, _))| at.saturating_sub(*known) <= ONE_EVENT);
        let same = recent.filter(|(_, (_, known))| is_same(known)).map(|(place, _)| place).next();
        match same.and_then(|place| merged[place].1["nodes"].as_array_mut()) {
            Some(nodes) => nodes.push(json!(node)),
            None => merged.push((at, with(event, "nodes", json!([node])))),
        }
    }
    let newest = merged.into_iter().rev().map(|(_, event)| event).take(limit.unwrap_or(usize::MAX));
    json!({ "events": newest.collect::<Vec<_>>() })
}

/// Figures of the same times, added up: all that any node has, up to where all of them have some.
fn series(all: &[(String, Value)]) -> Value {
    let step = all.first().map(|(_, value)| value["step_s"].clone()).unwrap_or_default();
    let mut sums: BTreeMap<u64, BTreeMap<String, f64>> = BTreeMap::new();
    let mut names: Vec<String> = Vec::new();
    for (_, value) in all {
        let times: Vec<u64> = value["times"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
        for (name, list) in value.as_object().into_iter().flatten().filter(|(name, _)| *name != "times") {
            let Some(list) = list.as_array() else { continue };
            if !names.contains(name) {
                names.push(name.clone());
            }
            for (time, figure) in times.iter().zip(list) {
                *sums.entry(*time).or_default().entry(name.clone()).or_default() += figure.as_f64().unwrap_or_default();
            }
        }
    }
    let ends = all.iter().filter_map(|(_, value)| value["times"].as_array()?.last()?.as_u64());
    let end = ends.min().unwrap_or_default();
    sums.retain(|time, _| *time <= end);
    let mut merged: Map<String, Value> = names
        .into_iter()
        .map(|name| {
            let list: Vec<f64> = sums.values().map(|of| of.get(&name).copied().unwrap_or_default()).collect();
            (name, json!(list))
        })
        .collect();
    merged.insert("step_s".to_owned(), step);
    merged.insert("times".to_owned(), json!(sums.keys().collect::<Vec<_>>()));
    Value::Object(merged)
}

/// Streams stand alike for all; figures are added up, and what somebody should look at is told with its node.
fn overview(all: &[(String, Value)]) -> Value {
    let mut whole = all.first().map(|(_, value)| value.clone()).unwrap_or_default();
    let mut degraded = Vec::new();
    for (node, value) in all {
        let said = value["degraded"].as_array().into_iter().flatten().filter_map(Value::as_str);
        degraded.extend(said.map(|said| json!(format!("node {node}: {said}"))));
    }
    for (_, value) in all.iter().skip(1) {
        whole["refused"] = added(&whole["refused"], &value["refused"]);
        for field in ["connections", "requests_in_flight"] {
            whole["figures"][field] = added(&whole["figures"][field], &value["figures"][field]);
        }
        for other in value["figures"]["namespaces"].as_array().into_iter().flatten() {
            let Some(namespaces) = whole["figures"]["namespaces"].as_array_mut() else { continue };
            match namespaces.iter_mut().find(|known| known["namespace"] == other["namespace"]) {
                Some(known) => {
                    for (name, figure) in other.as_object().into_iter().flatten() {
                        known[name] = added(&known[name], figure);
                    }
                }
                None => namespaces.push(other.clone()),
            }
        }
    }
    whole["degraded"] = degraded.into();
    whole
}

/// Two figures together; what is none stays as it was.
fn added(one: &Value, other: &Value) -> Value {
    match (one.as_u64(), other.as_u64(), one.as_f64(), other.as_f64()) {
        (Some(one), Some(other), ..) => json!(one.saturating_add(other)),
        (_, _, Some(one), Some(other)) => json!(one + other),
        _ => one.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(node: &str, value: Value) -> (String, Value) {
        (node.to_owned(), value)
    }

    #[test]
    fn lists_are_one_list_and_each_item_says_whose_it_is() {
        let at = |time: &str, what: &str| json!({ "what": what, "request": { "time": time } });
        let a = json!({ "rejected": [at("2026-01-01T00:00:03.000Z", "a3"), at("2026-01-01T00:00:01.000Z", "a1")], "unread": [] });
        let b = json!({ "rejected": [at("2026-01-01T00:00:02.000Z", "b2")], "unread": [{ "last_seen": "2026-01-01T00:00:02.000Z" }] });
        let told = merged(RouteName::Rejected, vec![of("a", a), of("b", b)], None);
        let whats: Vec<_> = told["rejected"].as_array().unwrap().iter().map(|item| (&item["what"], &item["node"])).collect();
        assert_eq!(whats, [(&json!("a3"), &json!("a")), (&json!("b2"), &json!("b")), (&json!("a1"), &json!("a"))]);
        assert_eq!(told["unread"][0]["node"], "b");
        let two = json!({ "lines": [{ "time": "2026-01-01T00:00:02.000Z" }, { "time": "2026-01-01T00:00:01.000Z" }] });
        let told = merged(RouteName::Noted, vec![of("a", two.clone()), of("b", two)], Some(3));
        assert_eq!(told["lines"].as_array().unwrap().len(), 3);
    }

    #[test]
    fn what_several_nodes_tell_of_a_stream_at_a_time_is_one_event() {
        let event =
            |time: &str, stream: &str, what: &str| json!({ "time": time, "namespace": "n", "stream": stream, "event": what });
        let list = |events: &[Value]| json!({ "events": events });
        let a = [event("2026-01-01T00:00:09.000Z", "s", "late"), event("2026-01-01T00:00:01.000Z", "s", "late")];
        let b = [event("2026-01-01T00:00:02.100Z", "s", "late"), event("2026-01-01T00:00:01.500Z", "t", "late")];
        let told = merged(RouteName::Events, vec![of("a", list(&a)), of("b", list(&b))], None);
        let told: Vec<_> =
            told["events"].as_array().unwrap().iter().map(|event| (&event["stream"], event["nodes"].to_string())).collect();
        let (s, t) = (json!("s"), json!("t"));
        assert_eq!(told, [(&s, "[\"a\"]".to_owned()), (&t, "[\"b\"]".to_owned()), (&s, "[\"a\",\"b\"]".to_owned())]);
        // Of one node alone nothing is taken together.
        let twice = [event("2026-01-01T00:00:02.000Z", "s", "late"), event("2026-01-01T00:00:01.000Z", "s", "late")];
        assert_eq!(merged(RouteName::Events, vec![of("a", list(&twice))], None)["events"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn figures_are_added_up() {
        let a = json!({ "step_s": 1, "times": [1, 2], "requests_per_second": [10.0, 20.0] });
        let b = json!({ "step_s": 1, "times": [2, 3], "requests_per_second": [5.0, 7.0] });
        let told = merged(RouteName::Series, vec![of("a", a), of("b", b)], None);
        assert_eq!(
            told,
            json!({ "step_s": 1, "times": [1, 2], "requests_per_second": [10.0, 25.0] }),
            "of the third second one tells later"
        );
        let of_namespace =
            |name: &str, stored: u64| json!({ "namespace": name, "hot_stored": stored, "requests_per_second": 1.5 });
        let overview = |trouble: &[&str], namespaces: &[Value]| {
            json!({ "streams": { "live": 3 }, "degraded": trouble, "refused": 2,
                    "figures": { "connections": 4, "namespaces": namespaces } })
        };
        let a = overview(&[], &[of_namespace("x", 100)]);
        let b = overview(&["the disk is full"], &[of_namespace("x", 50), of_namespace("y", 1)]);
        let told = merged(RouteName::Overview, vec![of("a", a), of("b", b)], None);
        assert_eq!(
            (&told["streams"]["live"], &told["refused"], &told["figures"]["connections"]),
            (&json!(3), &json!(4), &json!(8))
        );
        assert_eq!(told["degraded"], json!(["node b: the disk is full"]));
        assert_eq!(
            told["figures"]["namespaces"],
            json!([
                { "namespace": "x", "hot_stored": 150, "requests_per_second": 3.0 },
                { "namespace": "y", "hot_stored": 1, "requests_per_second": 1.5 },
            ])
        );
    }
}
