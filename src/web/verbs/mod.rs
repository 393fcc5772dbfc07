//! Objects: every path but the probes'. Reads the URL, asks who is there, calls the verb: [`get`], [`put`], [`delete`], and the two
//! of WebDAV in [`dav`]; [`reply`] turns what a reader gets into headers and status, [`inherit`] hands keys down a playlist.
//!
//! Invariants: authorization is decided from the headers, before the body is touched. An upload that has come whole is stored though
//! its client has gone ([`detached`]).
//!
//! No verb decides what is found, stored or removed: that is the origin's; it says in HTTP what came of it.

mod dav;
mod delete;
mod detached;
mod get;
mod inherit;
mod put;
mod reply;

use axum::extract::Request;
use axum::http::header::HOST;
use axum::http::{Method, Version};
use axum::response::Response;

use self::dav::Verb;
use super::Web;
use super::access::{Denied, authorize};
use super::connection::unwanted;
use super::envelope::{Context, narrow, preflight};
use super::problem::Problem;
use super::refusals::refuse;
use super::target::Target;
use crate::auth::grant::Action;

/// Answers any request for an object.
pub(super) async fn dispatch(web: Web, context: Context, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let has_one_host = {
        let mut hosts = parts.headers.get_all(HOST).iter();
        hosts.next().is_some() && hosts.next().is_none()
    };
    if parts.version == Version::HTTP_11 && !has_one_host {
        // We go by no Host, but what is in front of us may: a request of two is not one that both of us read alike.
        let problem = Problem::bad_request("an HTTP/1.1 request takes exactly one Host header (RFC 9112 3.2)");
        return refuse(&web, &context, &parts, None, problem, body);
    }
    if let Some(verb) = Verb::of(&parts.method) {
        return dav::dispatch(web, context, verb, Request::from_parts(parts, body)).await;
    }
    let target = match Target::parse(&parts.uri) {
        Some(Ok(target)) => target,
        // What a folder can is asked with a slash at its end.
        Some(Err(_)) if parts.method == Method::OPTIONS => return preflight(),
        Some(Err(problem)) => return refuse(&web, &context, &parts, None, problem, body),
        None => return refuse(&web, &context, &parts, None, Problem::no_such_place(), body),
    };
    let namespace = web.inner.origin.namespace(&target.object.namespace);
    context.record.target(&target.object, namespace.traffic().cloned());
    let action = match parts.method {
        Method::GET | Method::HEAD => Action::Read,
        Method::PUT | Method::POST | Method::DELETE => Action::Write,
        Method::OPTIONS => {
            let mut response = preflight();
            if let Some(policy) = namespace.policy() {
                narrow(&mut response, &policy.cors_origins, &parts.headers);
            }
            return response;
        }
        _ => return refuse(&web, &context, &parts, Some(&target.object), Problem::method_not_allowed(), body),
    };
    let authorized = authorize(&web.inner.verifier, &parts, context.peer.ip(), &target.tokens, target.in_query, |grant| {
        grant.allows(action, &target.object)
    });
    let grant = match authorized {
        Ok(grant) => grant,
        Err(denied) => {
            if action == Action::Write && denied == Denied::NoCredentials {
                web.inner.challenges.asked(context.peer.ip(), &target.object);
            }
            let problem = Problem::denied(&denied, &web.inner.verifier);
            return refuse(&web, &context, &parts, Some(&target.object), problem, body);
        }
    };
    context.record.authorized(&grant);
    if action == Action::Read {
        let query = inherit::query(&web.inner.verifier, &target);
        return match get::get(&namespace, &grant, &parts, &target, web.inner.origin.clock(), query.as_ref(), &context.record)
            .await
        {
            Ok(mut response) => {
                if let Some(policy) = namespace.policy() {
                    narrow(&mut response, &policy.cors_origins, &parts.headers);
                }
                response
            }
            Err(problem) => refuse(&web, &context, &parts, Some(&target.object), problem, body),
        };
    }
    web.inner.challenges.answered(context.peer.ip(), &target.object);
    let begun = context.begun.unwrap_or_else(|| web.inner.origin.stamp());
    if parts.method == Method::DELETE {
        return match delete::delete(&namespace, &grant, &target, begun, &context.record).await {
            Ok(response) => {
                web.inner.black_box.accepted(context.peer.ip(), &parts);
                // An encoder's DELETE may carry an empty chunked body; left unread, it would break the next request.
                unwanted::to_end(body).await;
                response
            }
            Err(problem) => refuse(&web, &context, &parts, Some(&target.object), problem, body),
        };
    }
    match put::admit(&namespace, &grant, &parts, &target, begun).await {
        Ok(upload) => {
            web.inner.black_box.accepted(context.peer.ip(), &parts);
            put::receive(web, context, parts, upload, body).await
        }
        Err(problem) => refuse(&web, &context, &parts, Some(&target.object), problem, body),
    }
}
