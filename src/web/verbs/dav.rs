//! PROPFIND and MKCOL: as much of WebDAV (RFC 4918) as a client wants to see before it uploads.
//!
//! Folders are names and nothing else: making one succeeds and makes nothing, and each one that is asked for is there and shows
//! itself alone. Only an upload is a client's business here, so this is no listing, whatever `Depth` says.

use std::fmt::Write as _;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::Response;

use crate::auth::grant::{Action, Grant};
use crate::model::id::Namespace;
use crate::origin::{Found, OriginError, Portion};
use crate::web::access::authorize;
use crate::web::connection::unwanted;
use crate::web::envelope::{Context, narrow};
use crate::web::problem::Problem;
use crate::web::target::Resource;
use crate::web::{Web, refusals};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Propfind,
    Mkcol,
}

impl Verb {
    pub(super) fn of(method: &Method) -> Option<Self> {
        match method.as_str() {
            "PROPFIND" => Some(Self::Propfind),
            "MKCOL" => Some(Self::Mkcol),
            _ => None,
        }
    }

    fn action(self) -> Action {
        match self {
            Self::Propfind => Action::Read,
            Self::Mkcol => Action::Write,
        }
    }
}

/// Answers either verb, the body read and dropped as a DELETE's is.
pub(super) async fn dispatch(web: Web, context: Context, verb: Verb, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let resource = match Resource::parse(&parts.uri, verb == Verb::Mkcol) {
        Some(Ok(resource)) => resource,
        Some(Err(problem)) => return refuse(&web, &context, &parts, None, problem, body),
        None => return refuse(&web, &context, &parts, None, Problem::no_such_place(), body),
    };
    let (tokens, in_query) = (resource.tokens(), resource.in_query());
    let authorized = authorize(&web.inner.verifier, &parts, context.peer.ip(), tokens, in_query, |grant| match &resource {
        Resource::Object(target) => grant.allows(verb.action(), &target.object),
        Resource::Collection { collection, .. } => grant.allows_in(verb.action(), collection),
    });
    let (policy, traffic) = web.inner.origin.policy_and_traffic(resource.namespace()).unzip();
    if let Resource::Object(target) = &resource {
        context.record.target(&target.object, traffic);
    }
    let answered = match authorized {
        Ok(grant) => answer(&web, &grant, verb, &resource).await.map_err(Problem::from),
        Err(denied) => Err(Problem::denied(&denied, &web.inner.verifier)),
    };
    match answered {
        Ok(mut response) => {
            if let Some(policy) = policy {
                narrow(&mut response, &policy.cors_origins, &parts.headers);
            }
            unwanted::to_end(body).await;
            response
        }
        Err(problem) => refuse(&web, &context, &parts, Some(resource.namespace()), problem, body),
    }
}

fn refuse(web: &Web, context: &Context, parts: &Parts, namespace: Option<&Namespace>, problem: Problem, body: Body) -> Response {
    context.record.failed(&problem, None);
    if parts.method != "PROPFIND" {
        refusals::log(web, context, parts, None, &problem, None);
    }
    let problem = refusals::without_body(problem, context, &parts.headers, body);
    refusals::error_response(web, context, &parts.headers, namespace, problem)
}

async fn answer(web: &Web, grant: &Grant, verb: Verb, resource: &Resource<'_>) -> Result<Response, OriginError> {
    let origin = &web.inner.origin;
    let found = match resource {
        Resource::Object(target) => Some(match origin.get(grant, &target.object) {
            Err(OriginError::NotFound | OriginError::Expired) => {
                origin.get_below(grant, &target.object, Portion::Nothing).await?
            }
            found => found?.whole()?,
        }),
        Resource::Collection { collection, .. } => {
            origin.collection(grant, verb.action(), collection)?;
            None
        }
    };
    let mut response = Response::new(Body::empty());
    match verb {
        Verb::Propfind => {
            *response.status_mut() = StatusCode::MULTI_STATUS;
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml; charset=utf-8"));
            *response.body_mut() = Body::from(multistatus(&resource.path(), found.as_ref()));
        }
        Verb::Mkcol => *response.status_mut() = StatusCode::CREATED,
    }
    Ok(response)
}

/// The one resource and its live properties (RFC 4918 15).
fn multistatus(path: &str, found: Option<&Found>) -> String {
    let mut properties = String::new();
    let mut property = |name: &str, value: &str| {
        // Writing to a String can't fail.
        let _ = write!(properties, "<D:{name}>{}</D:{name}>", escape(value));
    };
    if let Some(found) = found {
        let meta = found.meta();
        property("getcontentlength", &found.length().to_string());
        for (name, value) in
            [("getetag", &meta.etag), ("getlastmodified", &meta.last_modified), ("getcontenttype", &meta.content_type)]
        {
            property(name, value.to_str().unwrap_or_default());
        }
        properties += "<D:resourcetype/>";
    } else {
        properties += "<D:resourcetype><D:collection/></D:resourcetype>";
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<D:multistatus xmlns:D=\"DAV:\"><D:response><D:href>{}</D:href>\
         <D:propstat><D:prop>{properties}</D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>\
         </D:multistatus>\n",
        escape(path)
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_named_stays_text() {
        let text = multistatus("/cache/live/a&b\"<c>.ts", None);
        assert!(text.contains("<D:href>/cache/live/a&amp;b&quot;&lt;c&gt;.ts</D:href>"), "{text}");
    }
}
