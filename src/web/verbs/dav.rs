//! PROPFIND and MKCOL: as much of WebDAV (RFC 4918) as a client wants to see before it uploads.
//!
//! Folders are names and nothing else: making one succeeds and makes nothing, and each one that is asked for is there and shows
//! itself alone. Only an upload is a client's business here, so this is no listing, whatever `Depth` says.

use std::fmt::Write as _;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;

use crate::auth::grant::{Action, Grant};
use crate::model::id::Collection;
use crate::origin::{NamespaceHandle, OriginError, Portion, Read, ReadSpec};
use crate::web::target::Resource;

/// MKCOL: 201, for there is nothing to make.
pub(in crate::web) fn make(namespace: &NamespaceHandle, grant: &Grant, collection: &Collection) -> Result<Response, OriginError> {
    namespace.collection(grant, Action::Write, collection)?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

/// PROPFIND: 207, with the one thing that was named. Cancel-safe.
pub(in crate::web) async fn find(
    namespace: &NamespaceHandle,
    grant: &Grant,
    resource: &Resource<'_>,
) -> Result<Response, OriginError> {
    let read = match resource {
        Resource::Object(target) => {
            // Of what is about to arrive a client that means to upload it learns at once that it is not there.
            let spec = ReadSpec { portion: Portion::Nothing, ..ReadSpec::default() };
            Some(namespace.read(grant, &target.object, &spec).await?)
        }
        Resource::Collection { collection, .. } => {
            namespace.collection(grant, Action::Read, collection)?;
            None
        }
    };
    let mut response = Response::new(Body::from(multistatus(&resource.path(), read.as_ref())));
    *response.status_mut() = StatusCode::MULTI_STATUS;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml; charset=utf-8"));
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
                [("getetag", &meta.etag), ("getlastmodified", &found.last_modified()), ("getcontenttype", &meta.content_type)]
            {
                property(name, value.to_str().unwrap_or_default());
            }
        }
        Some(Read::Growing(following)) => {
            property("getcontenttype", following.outset().content_type.to_str().unwrap_or_default());
        }
        None => {}
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
