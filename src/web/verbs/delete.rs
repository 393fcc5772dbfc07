//! DELETE.

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;

use crate::auth::grant::Grant;
use crate::origin::NamespaceHandle;
use crate::web::problem::Problem;
use crate::web::target::Target;

/// Removes the object and answers 204, whether or not it was there.
pub(super) async fn delete(namespace: &NamespaceHandle, grant: &Grant, target: &Target<'_>) -> Result<Response, Problem> {
    namespace.remove(grant, &target.object).await?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}
