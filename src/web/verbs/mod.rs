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

use axum::body::Body;
use axum::extract::Request;
use axum::http::Method;
use axum::response::Response;

use super::Web;
use super::connection::unwanted;
use super::envelope::{Context, preflight};
use super::exchange::{Asked, Exchange};
use super::problem::Problem;
use super::refusals::refuse;
use super::target::{Naming, Resource};
use crate::auth::grant::Action;
use crate::origin::Upload;

/// What a verb comes to.
enum Answered {
    /// This is the answer.
    With(Response),
    /// The body is to be taken, and the answer depends on it.
    Receiving(Box<Upload>),
}

/// Answers any request for an object.
pub(super) async fn dispatch(web: Web, context: Context, request: Request) -> Response {
    let (parts, mut body) = request.into_parts();
    let mut exchange = Exchange::begin(&web, &context, &parts);
    match answer(&mut exchange, &mut body).await {
        Ok(Answered::With(response)) => exchange.dress(response),
        Ok(Answered::Receiving(upload)) => {
            let namespace = exchange.namespace.take();
            put::receive(web, context, parts, namespace, upload, body).await
        }
        Err(problem) => refuse(&exchange, problem, body),
    }
}

async fn answer(exchange: &mut Exchange<'_>, body: &mut Body) -> Result<Answered, Problem> {
    let parts = exchange.parts;
    exchange.check()?;
    let (names, action) = match parts.method.as_str() {
        "GET" | "HEAD" => (Naming::Object, Some(Action::Read)),
        "PUT" | "POST" | "DELETE" => (Naming::Object, Some(Action::Write)),
        "PROPFIND" => (Naming::Both, Some(Action::Read)),
        "MKCOL" => (Naming::Folder, Some(Action::Write)),
        "OPTIONS" => (Naming::Both, None),
        _ => (Naming::Object, None),
    };
    let resource = match Resource::parse(&parts.uri, names) {
        // What can be done is asked of names that are none, too.
        Some(Err(_)) if parts.method == Method::OPTIONS => return Ok(Answered::With(preflight())),
        resource => resource.unwrap_or_else(|| Err(Problem::no_such_place()))?,
    };
    let namespace = exchange.names(&resource);
    let Some(action) = action else {
        return if parts.method == Method::OPTIONS {
            Ok(Answered::With(preflight()))
        } else {
            Err(Problem::method_not_allowed())
        };
    };
    let grant = exchange.authorize(Asked::Of(action, &resource))?;
    let begun = || exchange.context.begun.unwrap_or_else(|| exchange.web.inner.origin.stamp());
    let response = match (parts.method.as_str(), &resource) {
        ("MKCOL", Resource::Collection { collection, .. }) => dav::make(&namespace, &grant, collection)?,
        ("PROPFIND", resource) => dav::find(&namespace, &grant, resource).await?,
        ("PUT" | "POST", Resource::Object(target)) => {
            let upload = put::admit(&namespace, &grant, parts, target, begun()).await?;
            exchange.accepted(&target.object);
            return Ok(Answered::Receiving(Box::new(upload)));
        }
        ("DELETE", Resource::Object(target)) => {
            let response = delete::delete(&namespace, &grant, target, begun(), &exchange.context.record).await?;
            exchange.accepted(&target.object);
            response
        }
        (_, Resource::Object(target)) => return Ok(Answered::With(get::get(exchange, &namespace, &grant, target).await?)),
        (_, Resource::Collection { .. }) => return Err(Problem::method_not_allowed()),
    };
    // It may carry an empty chunked body, as encoders' DELETEs do; left unread, it would break the next request.
    unwanted::to_end(std::mem::take(body)).await;
    Ok(Answered::With(response))
}
