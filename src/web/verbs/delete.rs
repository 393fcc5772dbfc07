//! DELETE.

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::refused;
use crate::auth::grant::Grant;
use crate::metrics::Outcome;
use crate::model::conditions::KeptConditions;
use crate::model::stamp::Stamp;
use crate::origin::{NamespaceHandle, RemovalOutcome};
use crate::web::problem::Problem;
use crate::web::record::Record;
use crate::web::target::Target;
use crate::web::verbs::get::conditions;

/// Removes the object and answers 204, whether or not it was there, and also when something that was begun later is in force or the
/// namespace keeps what is deleted: encoders take anything else for a fault of theirs. Who sends conditions (RFC 9110 13.1) wants to know,
/// and gets a 412 where they don't hold.
pub(in crate::web) async fn delete(
    namespace: &NamespaceHandle,
    grant: &Grant,
    headers: &HeaderMap,
    target: &Target<'_>,
    begun: Stamp,
    record: &Record,
) -> Result<Response, Problem> {
    let conditions = KeptConditions::from(conditions(headers));
    let removed = namespace.remove(grant, &target.object, begun, conditions).await;
    record.outcome(match removed.map_err(|error| refused(error, namespace, &target.object.key))? {
        RemovalOutcome::Done => Outcome::Removed,
        RemovalOutcome::Superseded => Outcome::Superseded,
        RemovalOutcome::Ignored => Outcome::Ignored,
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}
