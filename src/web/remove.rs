//! DELETE.

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;

use super::error::Problem;
use super::target::Target;
use crate::auth::grant::Grant;
use crate::origin::Origin;

/// Removes the object and answers 204, whether or not it was there.
pub(super) async fn remove(origin: &Origin, grant: &Grant, target: &Target<'_>) -> Result<Response, Problem> {
    origin.remove(grant, &target.object).await?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}
