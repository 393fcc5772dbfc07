//! Who asks the admin listener, and whether he may.
//!
//! A key comes with the request (`Authorization`), or a session's cookie does, or nobody is known: then, on a loopback address, what is
//! open there is open. A browser sends cookies by itself, whoever has it ask: so a change that comes with one has to say that it is from
//! a page of this listener ([`super::pages`] judges what it says). On plain HTTP off loopback browsers may say nothing; there a cookie is
//! good for reading alone.

use std::sync::Arc;

use axum::http::header::{AUTHORIZATION, ORIGIN, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Method};

use super::pages::SEC_FETCH_SITE;
use super::{Admin, pages};
use crate::auth::grant::{Grant, Role};
use crate::model::id::Namespace;
use crate::web::exchange::Exchange;
use crate::web::problem::Problem;
use crate::web::problem::code::Code;

/// Who may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// Everybody, from wherever: nothing is told that a stranger may not know.
    Everybody,
    /// Whoever reaches the listener on a loopback address; elsewhere, and by scope, this role.
    Local(Role),
    /// This role.
    Only(Role),
    /// Who has viewers' tokens of the namespace in the path made and ended.
    Vends,
}

impl Who {
    /// The role that is asked for, if any is.
    pub(super) fn role(self) -> Option<Role> {
        match self {
            Self::Everybody => None,
            Self::Local(role) | Self::Only(role) => Some(role),
            Self::Vends => Some(Role::Vendor),
        }
    }
}

/// Who asks.
#[derive(Clone, Debug)]
pub(super) enum Visitor {
    /// Somebody on this machine, or somebody of whom nothing has to be known.
    Anybody,
    /// The holder of a key that came with the request.
    Holder(Arc<Grant>),
    /// Who signed in.
    SignedIn(Arc<Grant>),
}

impl Visitor {
    /// Finds out, and refuses who may not.
    pub(super) fn let_in(admin: &Admin, exchange: &Exchange<'_>, who: Who) -> Result<Self, Problem> {
        let inner = &admin.inner;
        let headers = &exchange.parts.headers;
        let needed = who.role();
        let session = || inner.sessions.find(headers, &inner.web.inner.verifier);
        if headers.contains_key(AUTHORIZATION) && (needed.is_some() || matches!(exchange.parts.method, Method::GET)) {
            let is_read = matches!(exchange.parts.method, Method::GET | Method::HEAD);
            let open = matches!(who, Who::Local(_)) && inner.is_local && is_read || needed.is_none();
            return match exchange.oversight(needed.unwrap_or(Role::Viewer)) {
                // On loopback nobody is asked who reads; a key for something else does no harm, and one that is not good is told so, or its
                // holder would take what everybody sees for what it opens. A change that comes with a key is its holder's: he may do no
                // more than elsewhere.
                Err(problem) if open && (needed.is_none() || problem.code == Code::Forbidden) => {
                    // It opens nothing here, so it makes up for no name: any page may hold one that its maker has for something else.
                    if needed.is_some() {
                        pages::check_host(exchange.parts, &inner.rules.hosts)?;
                    }
                    Ok(Self::Anybody)
                }
                granted => granted.map(Self::Holder),
            };
        }
        let Some(needed) = needed else { return Ok(session().map_or(Self::Anybody, Self::SignedIn)) };
        if let Some(grant) = session() {
            let is_read = matches!(exchange.parts.method, Method::GET | Method::HEAD);
            if !is_read && !headers.contains_key(SEC_FETCH_SITE) && !headers.contains_key(ORIGIN) {
                let detail =
                    "a change that comes with a cookie has to come from a page of this listener: send an API key instead";
                return Err(Problem::new(Code::ForeignOrigin, detail));
            }
            exchange.context.record.authorized(&grant);
            if !grant.role.includes(needed) {
                return Err(Problem::lacks_role(needed));
            }
            return Ok(Self::SignedIn(grant));
        }
        if matches!(who, Who::Local(_)) && inner.is_local {
            return Ok(Self::Anybody);
        }
        // A browser would ask its user for a name and a password; the console asks for a key.
        if headers.contains_key(SEC_FETCH_SITE) || headers.contains_key("x-requested-with") || inner.sessions.is_named(headers) {
            let detail =
                "nobody is signed in: sign in at the console with an API key, or follow a link that 'springhead console' prints";
            let challenge = HeaderValue::from_static("Bearer realm=\"springhead\"");
            return Err(Problem::new(Code::NoCredentials, detail).with_header(WWW_AUTHENTICATE, challenge));
        }
        exchange.oversight(needed).map(Self::Holder)
    }

    /// The same for who deals in viewers' tokens: an administrator, who may be signed in, or a vendor's key, which is narrowed to what it
    /// is for. On loopback, too: every user of the machine reaches that, and a token opens what a namespace keeps from them.
    pub(super) fn vendor(admin: &Admin, exchange: &Exchange<'_>, namespace: &Namespace) -> Result<Self, Problem> {
        let headers = &exchange.parts.headers;
        if !headers.contains_key(AUTHORIZATION) && admin.inner.sessions.is_named(headers) {
            return Self::let_in(admin, exchange, Who::Only(Role::Admin));
        }
        exchange.vendor(namespace).map(Self::Holder)
    }

    pub(super) fn grant(&self) -> Option<&Arc<Grant>> {
        match self {
            Self::Anybody => None,
            Self::Holder(grant) | Self::SignedIn(grant) => Some(grant),
        }
    }

    /// Whether he may know of this namespace.
    pub(super) fn oversees(&self, namespace: &str) -> bool {
        self.grant().is_none_or(|grant| Namespace::parse(namespace).is_ok_and(|namespace| grant.oversees(&namespace)))
    }

    /// Whether he may know of what has this key there.
    pub(super) fn oversees_key(&self, namespace: &str, key: &str) -> bool {
        let sees = |grant: &Arc<Grant>| Namespace::parse(namespace).is_ok_and(|namespace| grant.oversees_key(&namespace, key));
        self.grant().is_none_or(sees)
    }

    /// Whether he sees all namespaces, and what belongs to none.
    pub(super) fn sees_all(&self) -> bool {
        self.grant().is_none_or(|grant| grant.oversees_all())
    }

    /// How he came, for the audit log.
    pub(super) fn way(&self) -> &'static str {
        match self {
            Self::Anybody => "loopback",
            Self::Holder(_) => "key",
            Self::SignedIn(_) => "session",
        }
    }
}
