//! `/entitlement`: a reverse proxy in front asks whether a viewer may have what he asks for, and under which name it is to be looked up in its
//! cache (nginx `auth_request`, forward authentication of Caddy and Traefik, a restart in Varnish).
//!
//! It is asked about a token and about nothing else: no API key makes up for one that is missing.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, HOST};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::Response;

use super::Web;
use super::exchange::Exchange;
use super::problem::Problem;
use super::problem::code::Code;
use super::target::{Naming, Resource};
use super::viewer::{self, AnsweredBy};
use crate::model::id::Namespace;
use crate::model::percent;

/// Where it is.
pub(super) const PATH: &str = "/entitlement";
/// How proxies say what was asked of them.
const URI: [HeaderName; 2] = [HeaderName::from_static("x-original-uri"), HeaderName::from_static("x-forwarded-uri")];
const METHOD: [HeaderName; 2] = [HeaderName::from_static("x-original-method"), HeaderName::from_static("x-forwarded-method")];
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// The path without the token, and of the query the words that count.
const VIEWER_PATH: HeaderName = HeaderName::from_static("x-viewer-path");
/// The words of a query that make another answer, those that docs/cdns.md has every cache hand on. Proxies ask and keep by that header: all else,
/// as players' `CMCD`, would make a copy for each viewer.
const WORDS: [&str; 6] = ["start", "end", "last", "_HLS_msn", "_HLS_part", "_HLS_skip"];

/// 204 where the viewer may have it.
///
/// # Errors
/// What the viewer is to be told.
pub(super) fn answer(exchange: &Exchange<'_>) -> Result<Response, Problem> {
    let (web, parts) = (exchange.web, exchange.parts);
    let (namespace, uri, base) = asked(web, parts)?;
    let mut viewer = parts.clone();
    viewer.method = match one_of(parts, &METHOD)? {
        None => Method::GET,
        Some(text) => Method::from_bytes(text.as_bytes()).map_err(|_| Problem::bad_request("X-Original-Method is no method"))?,
    };
    if let Some(host) = one_of(parts, &[FORWARDED_HOST])? {
        let host = HeaderValue::from_str(host).map_err(|_| refused("X-Forwarded-Host is no host"))?;
        viewer.headers.insert(HOST, host);
    }
    let resource = Resource::parse(&uri, Naming::Object).unwrap_or_else(|| Err(Problem::no_such_place()));
    let resource = resource.map_err(|_| refused("what the viewer asked for names no object"))?;
    let handle = web.inner.origin.namespace(&namespace);
    let now = exchange.context.record.now.wall;
    // As at the origin, a browser asks first whether it may, without a token and without a cookie (Fetch standard 3.2.2).
    if viewer.method == Method::OPTIONS {
        return may_have(&resource, &base);
    }
    let by_proxy = (AnsweredBy::Proxy, now);
    let judged = viewer::judge(&web.inner.viewers, &viewer, exchange.context.peer.ip(), &resource, Some(&handle), by_proxy);
    let judged = judged.map_err(|refused| {
        if let Some(key_id) = &refused.key_id {
            exchange.context.record.refused_key(key_id);
        }
        refused.problem
    })?;
    let found = judged.ok_or_else(viewer::missing)?;
    exchange.context.record.authorized(&found.grant);
    if found.is_moved() && viewer::is_playlist(&resource) {
        return Err(refused(
            "the viewer's token is good, but in the query of a playlist, whose URIs would not have it, and a proxy that asks passes on no \
             redirect: hand out the path form, ~TOKEN/ before the key, the header or the cookie",
        ));
    }
    may_have(&resource, &base)
}

/// That he may have it, and by which path it is asked for.
fn may_have(resource: &Resource<'_>, base: &str) -> Result<Response, Problem> {
    let query = resource.query_without_cat();
    // In one order, and of each the first one, which counts at the origin.
    let word = |name: &&str| query.split('&').find(|pair| pair.split('=').next() == Some(*name));
    let query = WORDS.iter().filter_map(word).collect::<Vec<_>>().join("&");
    let mark = if query.is_empty() { "" } else { "?" };
    let path = format!("{}{}{mark}{query}", percent::encode_path(base), percent::encode_path(resource.key()));
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let path = HeaderValue::try_from(path).map_err(|_| Problem::bad_request("the path can't stand in a header"))?;
    response.headers_mut().insert(VIEWER_PATH, path);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// What the proxy says in one of these. Where there are two, one of them may be the viewer's own, which the proxy has passed on: which one
/// nobody can tell.
fn one_of<'a>(parts: &'a Parts, names: &[HeaderName]) -> Result<Option<&'a str>, Problem> {
    let mut said = names.iter().flat_map(|name| parts.headers.get_all(name));
    match (said.next(), said.next()) {
        (None, _) => Ok(None),
        (Some(one), None) => Ok(Some(one.to_str().map_err(|_| refused("what the viewer asked for is no text"))?)),
        (Some(_), Some(_)) => Err(refused(
            "what the viewer asked for is said twice, in X-Original-... or X-Forwarded-...: have the proxy set one of them, and take the other \
             one out of what viewers send",
        )),
    }
}

/// What is wrong with what the viewer asked for is 403: proxies that ask pass on that and 401, and make an error of their own of all else.
fn refused(detail: &'static str) -> Problem {
    Problem::new(Code::ViewerTokenScope, detail)
}

/// The namespace that is asked about, what a viewer asks for as we name it, and what stands before the key in his path. The namespace is said in
/// the query, where viewers' paths do not name it.
fn asked(web: &Web, parts: &Parts) -> Result<(Namespace, Uri, String), Problem> {
    let bad = |detail: &'static str| Problem::bad_request(detail);
    let original = one_of(parts, &URI)?.ok_or(bad("say what the viewer asked for in X-Original-URI or X-Forwarded-Uri"))?;
    let (path, query) = original.split_once('?').map_or((original, ""), |(path, query)| (path, query));
    let said = parts.uri.query().unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("namespace="));
    let named = said.or_else(|| path.strip_prefix("/cache/")?.split('/').next());
    let namespace = named.and_then(|name| Namespace::parse(name).ok());
    let namespace = namespace.ok_or(bad("the path names no namespace: ask for /entitlement?namespace=NAME"))?;
    let policy = web.inner.origin.namespace(&namespace).policy().cloned().unwrap_or_default();
    let base = policy.viewers.base(&namespace);
    let rest = path
        .strip_prefix(base.as_str())
        .ok_or(refused("the viewer's path does not begin with the namespace's viewers.base_path"))?;
    let mark = if query.is_empty() { "" } else { "?" };
    let uri =
        Uri::try_from(format!("/cache/{namespace}/{rest}{mark}{query}")).map_err(|_| refused("the viewer's URI is none"))?;
    Ok((namespace, uri, base))
}
