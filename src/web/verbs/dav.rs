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
use crate::origin::{NamespaceHandle, OriginError, Portion, Read, ReadSpec};
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
    let namespace = web.inner.origin.namespace(resource.namespace());
    if let Resource::Object(target) = &resource {
        context.record.target(&target.object, namespace.traffic().cloned());
    }
    let answered = match authorized {
        Ok(grant) => answer(&namespace, &grant, verb, &resource).await.map_err(Problem::from),
        Err(denied) => Err(Problem::denied(&denied, &web.inner.verifier)),
    };
    match answered {
        Ok(mut response) => {
            if let Some(policy) = namespace.policy() {
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

async fn answer(
    namespace: &NamespaceHandle,
    grant: &Grant,
    verb: Verb,
    resource: &Resource<'_>,
) -> Result<Response, OriginError> {
    let read = match resource {
        Resource::Object(target) => {
            // Of what is about to arrive a client that means to upload it learns at once that it is not there.
            let spec = ReadSpec { portion: Portion::Nothing, ..ReadSpec::default() };
            Some(namespace.read(grant, &target.object, &spec).await?)
        }
        Resource::Collection { collection, .. } => {
            namespace.collection(grant, verb.action(), collection)?;
            None
        }
    };
    let mut response = Response::new(Body::empty());
    match verb {
        Verb::Propfind => {
            *response.status_mut() = StatusCode::MULTI_STATUS;
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml; charset=utf-8"));
            *response.body_mut() = Body::from(multistatus(&resource.path(), read.as_ref()));
        }
        Verb::Mkcol => *response.status_mut() = StatusCode::CREATED,
    }
    Ok(response)
}

/// The one resource and its live properties (RFC 4918 15), as far as they are known: of what is still on its way in, its type.
fn multistatus(path: &str, read: Option<&Read>) -> String {
    let mut properties = String::new();
    let mut property = |name: &str, value: &str| {
        // Writing to a String can't fail.
        let _ = write!(properties, "<D:{name}>{}</D:{name}>", escape(value));
    };
    match read {
        Some(Read::Whole(found)) => {
            let meta = found.meta();
            property("getcontentlength", &found.length().to_string());
            for (name, value) in
                [("getetag", &meta.etag), ("getlastmodified", &meta.last_modified), ("getcontenttype", &meta.content_type)]
            {
                property(name, value.to_str().unwrap_or_default());
            }
        }
        Some(Read::Growing(following)) => {
            property("getcontenttype", following.outset().content_type.to_str().unwrap_or_default());
        }
        Some(Read::Part(_)) | None => {}
    }
    properties += if read.is_some() { "<D:resourcetype/>" } else { "<D:resourcetype><D:collection/></D:resourcetype>" };
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
