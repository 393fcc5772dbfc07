//! One request, from its first header to its answer: what is known of it, whatever its verb and its listener.
//!
//! It begins with who sent what. What the URL names is put in ([`Exchange::names`]), and its namespace is looked up, once; then it is
//! asked who is there ([`Exchange::authorize`]), once; and the answer is dressed as its namespace wants answers dressed
//! ([`Exchange::dress`]). Refusals are made in one place, too ([`super::refusals::refuse`]). The record goes along and knows at the end
//! what became of it.

use std::sync::Arc;

use axum::http::Version;
use axum::http::header::{HOST, ORIGIN};
use axum::http::request::Parts;
use axum::response::Response;

use super::Web;
use super::access::{Denied, KeyJudge, authorize};
use super::connection::MAX_HEAD;
use super::envelope::{Context, narrow};
use super::problem::Problem;
use super::problem::code::Code;
use super::target::Resource;
use super::viewer::{self, AnsweredBy, Viewer};
use crate::auth::grant::{Action, Grant, Role};
use crate::model::id::{Namespace, ObjectId};
use crate::origin::NamespaceHandle;
use crate::origin::policy::{NamespacePolicy, ViewerMode};

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Exchange<'a> {
    pub(super) web: &'a Web,
    pub(super) context: &'a Context,
    pub(super) parts: &'a Parts,
    /// Where what it names lies, once that is known; of a namespace that is not configured, too.
    pub(super) namespace: Option<NamespaceHandle>,
    /// A viewer who was let in by a token.
    pub(super) viewer: Option<Box<Viewer>>,
    /// Whether a header of it may carry a token.
    pub(super) carries_token: bool,
    /// Whether who asks was found to be somebody who may know of the namespace. To others every answer is as of one that does not exist.
    pub(super) knows_namespace: bool,
}

/// What a key has to be good for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked<'a> {
    /// To do this with what the URL names.
    Of(Action, &'a Resource<'a>),
    /// To look after the server, in this role.
    Oversight(Role),
    /// To have viewers' tokens of this namespace made and ended.
    Viewers(&'a Namespace),
}

/// How long a request's line and headers are, in bytes.
pub(super) fn head_length(parts: &Parts) -> usize {
    let Parts { method, uri, headers, .. } = parts;
    let target = uri.path().len() + uri.query().map_or(0, str::len);
    let fields = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    method.as_str().len() + target + fields.sum::<usize>()
}

impl<'a> Exchange<'a> {
    pub(super) fn begin(web: &'a Web, context: &'a Context, parts: &'a Parts) -> Self {
        Self { web, context, parts, namespace: None, viewer: None, carries_token: false, knows_namespace: false }
    }

    /// What no request may be, whatever it asks for.
    pub(super) fn check(&mut self) -> Result<(), Problem> {
        let Parts { method, uri, .. } = self.parts;
        if head_length(self.parts) > MAX_HEAD as usize {
            return Err(Problem::head_too_large());
        }
        // It is read as it was sent, or not at all: cut off there, different names would be one.
        if self.context.connection.take_cut_off(method, uri) {
            return Err(Problem::bad_request(
                "a '#' in a URL begins a part that is never sent (RFC 9112 3.2): in a name write it as %23",
            ));
        }
        // We go by no Host, but what is in front of us may: a request of two is not one that both of us read alike.
        let mut hosts = 0;
        for name in self.parts.headers.iter().map(|(name, _)| name) {
            hosts += usize::from(*name == HOST);
            self.carries_token |= viewer::may_carry(name);
        }
        if self.parts.version == Version::HTTP_11 && hosts != 1 {
            return Err(Problem::bad_request("an HTTP/1.1 request takes exactly one Host header (RFC 9112 3.2)"));
        }
        Ok(())
    }

    /// The URL names this.
    pub(super) fn names(&mut self, resource: &Resource<'_>) {
        let namespace = self.web.inner.origin.namespace(resource.namespace());
        self.context.record.names(resource.name(), namespace.traffic_apart());
        self.namespace = Some(namespace);
    }

    /// Asks who is there: the grant of a key that is good for what is asked, or at least good; the origin then refuses in its own
    /// words. Of a read with a viewer's token, or that needs one, it is the token that has to be good.
    pub(super) fn authorize(&mut self, asked: Asked<'_>) -> Result<Arc<Grant>, Problem> {
        let grant = self.identify(asked)?;
        self.knows_namespace = matches!(asked, Asked::Of(_, resource) if grant.sees(resource.namespace()));
        Ok(grant)
    }

    fn identify(&mut self, asked: Asked<'_>) -> Result<Arc<Grant>, Problem> {
        if let Asked::Of(Action::Read, resource) = asked {
            if (self.carries_token || resource.may_have_viewer())
                && let Some(grant) = self.by_token(resource)?
            {
                return Ok(grant);
            }
            if self.policy().is_some_and(|policy| policy.viewers.mode == ViewerMode::Required) {
                return self.without_token(asked);
            }
        }
        self.by_key(asked, |_| true)
    }

    /// Asks who is there that looks after the server in this role.
    pub(super) fn oversight(&self, role: Role) -> Result<Arc<Grant>, Problem> {
        self.by_key(Asked::Oversight(role), |_| true)
    }

    /// Asks who is there that has viewers' tokens of this namespace made and ended.
    pub(super) fn vendor(&self, namespace: &Namespace) -> Result<Arc<Grant>, Problem> {
        self.by_key(Asked::Viewers(namespace), |_| true)
    }

    /// Asks whether another node of this origin is there.
    pub(super) fn node(&self) -> Result<(), Problem> {
        let (verifier, peer) = (&*self.web.inner.verifier, self.context.peer.ip());
        let judge = KeyJudge { verifier, familiar: &self.web.inner.key, peer, now: self.context.record.now.wall };
        let granted = authorize(judge, self.parts, &[], false, |grant| grant.role == Role::Node);
        let grant = granted.map_err(|denied| Problem::denied(&denied, verifier, true))?;
        self.context.record.authorized(&grant);
        if grant.role == Role::Node { Ok(()) } else { Err(Problem::new(Code::Forbidden, "this is for other nodes alone")) }
    }

    fn policy(&self) -> Option<&Arc<NamespacePolicy>> {
        self.namespace.as_ref().and_then(NamespaceHandle::policy)
    }

    /// The namespace's rules, for an answer to who may know that there is one.
    pub(super) fn known_policy(&self) -> Option<&Arc<NamespacePolicy>> {
        self.policy().filter(|_| self.knows_namespace)
    }

    /// Lets a viewer in by his token; `None`, when he has none.
    fn by_token(&mut self, resource: &Resource<'_>) -> Result<Option<Arc<Grant>>, Problem> {
        let (verifier, now) = (&self.web.inner.viewers, self.context.record.now.wall);
        let judged =
            viewer::judge(verifier, self.parts, self.context.peer.ip(), resource, self.namespace.as_ref(), (AnsweredBy::Us, now));
        let judged = judged.map_err(|refused| {
            if let Some(key_id) = &refused.key_id {
                self.context.record.refused_key(key_id);
            }
            refused.problem
        })?;
        Ok(judged.map(|viewer| {
            let grant = Arc::clone(&viewer.grant);
            self.context.record.authorized(&grant);
            self.viewer = Some(Box::new(viewer));
            grant
        }))
    }

    /// Lets in who needs no token where others do.
    fn without_token(&self, asked: Asked<'_>) -> Result<Arc<Grant>, Problem> {
        let denied = match self.by_key(asked, Grant::reads_without_token) {
            Ok(grant) if grant.reads_without_token() => return Ok(grant),
            Ok(_) => return Err(viewer::missing()),
            Err(denied) => denied,
        };
        // An encoder that reads back by Digest has to be asked anew; a viewer has no key.
        Err(if denied.code == Code::StaleNonce { denied } else { viewer::missing() })
    }

    /// Asks for a key for which `enough` holds, too.
    fn by_key(&self, asked: Asked<'_>, enough: impl Fn(&Grant) -> bool) -> Result<Arc<Grant>, Problem> {
        let (verifier, peer) = (&*self.web.inner.verifier, self.context.peer.ip());
        let judge = KeyJudge { verifier, familiar: &self.web.inner.key, peer, now: self.context.record.now.wall };
        let granted = match asked {
            Asked::Of(action, resource) => authorize(judge, self.parts, resource.tokens(), resource.in_query(), |grant| {
                let allows = match resource {
                    Resource::Object(target) => grant.allows(action, &target.object),
                    Resource::Collection { collection, .. } => grant.allows_in(action, collection),
                };
                allows && enough(grant)
            }),
            Asked::Viewers(namespace) => authorize(judge, self.parts, &[], false, |grant| grant.vends(namespace)),
            Asked::Oversight(role) => authorize(judge, self.parts, &[], false, |grant| grant.role.includes(role)),
        };
        let grant = granted.map_err(|denied| {
            if let (Asked::Of(Action::Write, Resource::Object(target)), Denied::NoCredentials) = (asked, &denied) {
                self.web.inner.challenges.asked(peer, &target.object);
            }
            if let Denied::Invalid(error) = &denied
                && let Some(key_id) = error.key_id()
            {
                self.context.record.refused_key(key_id);
            }
            Problem::denied(&denied, verifier, matches!(asked, Asked::Oversight(_) | Asked::Viewers(_)))
        })?;
        self.context.record.authorized(&grant);
        match asked {
            Asked::Of(Action::Write, Resource::Object(target)) => self.web.inner.challenges.answered(peer, &target.object),
            Asked::Oversight(role) if !grant.role.includes(role) => return Err(Problem::lacks_role(role)),
            Asked::Viewers(namespace) if !grant.vends(namespace) => return Err(Problem::no_vendor()),
            Asked::Of(..) | Asked::Oversight(_) | Asked::Viewers(_) => {}
        }
        Ok(grant)
    }

    /// A write of this was let in.
    pub(super) fn accepted(&self, object: &ObjectId) {
        let (namespace, key) = (object.namespace.as_str(), object.key.as_str());
        self.web.inner.black_box.accepted(self.context.peer.ip(), namespace, key, self.parts);
    }

    /// Has an answer say what its namespace says of all its answers.
    pub(super) fn dress(&self, mut response: Response) -> Response {
        let takes_cookies = |policy: &NamespacePolicy| policy.viewers.mode != ViewerMode::Off;
        // Who names one of its web origins knows of it, too: a page has to read that a token is over, and before that a cookie may go along.
        let is_named =
            |policy: &NamespacePolicy| takes_cookies(policy) && policy.cors_origins.lists(self.parts.headers.get(ORIGIN));
        if let Some(policy) = self.policy().filter(|policy| self.knows_namespace || is_named(policy)) {
            let takes_cookies = takes_cookies(policy);
            narrow(&mut response, &policy.cors_origins, takes_cookies, &self.parts.headers);
        }
        if let Some(viewer) = &self.viewer {
            if self.policy().is_some_and(|policy| viewer::limits(&policy.viewers).is_some()) {
                viewer.sent(&self.web.inner.viewers, &self.parts.method, response.body());
            }
            viewer.limit(response.headers_mut());
        }
        response
    }
}
