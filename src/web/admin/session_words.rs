//! `/v1/session`: signing in at the console and out again.

use std::fmt;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{RETRY_AFTER, SET_COOKIE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::Admin;
use super::orders::{self, LONGEST};
use super::schema::{Described, Schemas, described};
use super::session::OpenedWith;
use super::visitor::Visitor;
use crate::auth::grant::{Grant, Role};
use crate::auth::secret::Secret;
use crate::web::exchange::Exchange;
use crate::web::problem::Problem;
use crate::web::problem::code::Code;

/// What stands for a credential in an order.
#[derive(Clone, serde::Deserialize)]
#[serde(transparent)]
pub(super) struct GivenSecret(String);

impl fmt::Debug for GivenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GivenSecret(hidden)")
    }
}

impl Described for GivenSecret {
    fn schema(_: &mut Schemas) -> Value {
        json!({ "type": "string", "format": "password" })
    }
}

described! { order
    /// What signs in: one of both.
    pub(super) struct SignIn {
        /// An API key of role viewer, operator or admin.
        pub key: Option<GivenSecret>,
        /// What stands behind `#ticket=` in a link that `springhead console` has printed.
        pub ticket: Option<GivenSecret>,
    }
}

described! { answer
    /// Who asks.
    pub(super) struct WhoAmI {
        /// viewer, operator or admin; null for nobody who is known.
        pub role: Option<&'static str>,
        /// The id of the key, or of the link that was followed.
        pub key_id: Option<String>,
        /// Which namespaces the holder sees; `*` is all.
        pub namespaces: Vec<String>,
        /// Whether what takes looking on is told without signing in: this listener is reached from its own machine alone.
        pub is_open: bool,
    }
}

/// Signs in. A failure tells nothing of why, and so many within a minute are borne.
pub(super) async fn sign_in(admin: &Admin, exchange: &Exchange<'_>, body: Body) -> Result<Response, Problem> {
    let inner = &admin.inner;
    let peer = exchange.context.peer.ip();
    if !inner.sessions.may_try(peer) {
        let detail =
            "too many sign-ins have failed: wait a minute, or follow a link that 'springhead console' prints on the server";
        return Err(Problem::new(Code::TooManySignIns, detail).with_header(RETRY_AFTER, HeaderValue::from_static("60")));
    }
    let SignIn { key, ticket } = orders::read(&exchange.parts.headers, body, LONGEST).await?;
    let opened_with = match (key, ticket) {
        (Some(GivenSecret(key)), None) => OpenedWith::Key(Secret::new(key.trim().to_owned())),
        (None, Some(GivenSecret(ticket))) => {
            if !inner.controls.take_ticket(ticket).await {
                inner.sessions.failed(peer);
                let detail =
                    "this link has been followed before, or is older than two minutes: have 'springhead console' print another";
                return Err(Problem::new(Code::BadCredentials, detail));
            }
            OpenedWith::ticket()
        }
        _ => return Err(Problem::bad_request("an order to sign in has \"key\" or \"ticket\", and not both")),
    };
    let Some(grant) = opened_with.grant(&inner.web.inner.verifier) else {
        inner.sessions.failed(peer);
        let detail = "this API key does not sign in here: it takes one of role viewer, operator or admin that is neither revoked nor \
                      over; the first start writes one to admin_api_key.json in the data directory";
        return Err(Problem::new(Code::BadCredentials, detail));
    };
    exchange.context.record.authorized(&grant);
    tracing::info!(key_id = %grant.key_id, role = grant.role.as_str(), peer = %exchange.context.peer, "signed in at the console");
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Some(cookie) = inner.sessions.open(opened_with) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Ends the session that the request names.
pub(super) fn sign_out(admin: &Admin, exchange: &Exchange<'_>) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Some(cookie) = admin.inner.sessions.close(&exchange.parts.headers) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

/// Who asks; nobody is refused.
pub(super) fn who_am_i(visitor: &Visitor, is_open: bool) -> WhoAmI {
    let grant: Option<&Arc<Grant>> = visitor.grant();
    let namespaces =
        grant.map_or_else(Vec::new, |grant| if grant.role == Role::Admin { vec!["*".to_owned()] } else { grant.scope.names() });
    WhoAmI {
        role: grant.map(|grant| grant.role.as_str()),
        key_id: grant.map(|grant| grant.key_id.to_string()),
        namespaces,
        is_open,
    }
}
