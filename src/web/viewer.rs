//! Viewers' tokens in requests: where they stand, what becomes of a read that has one or needs one, and what caches may keep of it.
//!
//! A token stands in the path (`/cache/NAMESPACE/~TOKEN/KEY`, which relative URIs keep), in `?cat=`, which is answered by a redirect to that
//! path, in the header of its own, or in a cookie of the same name. Of several the first of these speaks.
//!
//! It is never one more alternative to an API key, of which any one is enough (see [`super::access`]): a CDN adds its key to every request,
//! and would let each forged token through.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, COOKIE, HOST, LOCATION, RETRY_AFTER, VARY, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::Response;
use http_body::Body as _;

use super::header_room;
use super::problem::Problem;
use super::problem::code::Code;
use super::target::Resource;
use super::viewer_place::place;
use crate::auth::grant::{Grant, KeyId};
use crate::auth::secret::Secret;
use crate::auth::viewer::{
    AdmittedViewer, EDGE_AUTH_NAMES, RenewedBy, Unsupported, ViewerAsked, ViewerError, ViewerLimits, ViewerVerifier, has_form,
    in_path, is_edge_auth,
};
use crate::model::clock::WallTime;
use crate::model::extension::{Extension, Format};
use crate::model::id::Key;
use crate::model::kind::Kind;
use crate::model::percent;
use crate::origin::NamespaceHandle;
use crate::origin::policy::{NamespacePolicy, ViewerMode, ViewerPolicy};

/// The registered header for such tokens (CTA-5007), and the name of the cookie.
const TOKEN: HeaderName = HeaderName::from_static("cta-common-access-token");
const COOKIE_NAME: &str = "CTA-Common-Access-Token";
/// Instead of the challenges for API keys: at those a browser opens a window for a password.
const CHALLENGE: HeaderValue = HeaderValue::from_static("CAT realm=\"springhead\"");
/// An answer that depends on headers that a shared cache does not look at.
const VARIES: HeaderValue = HeaderValue::from_static("CTA-Common-Access-Token, Cookie");

/// Where a token stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carrier {
    Path,
    Query,
    Header,
    Cookie,
}

/// Who answers the viewer, once he is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AnsweredBy {
    /// This server: it can hand over another token.
    Us,
    /// A proxy that asks whether he may have it. It hands over none, so a token is good to its end there and no further.
    Proxy,
}

/// A viewer who was let in, and by what.
#[derive(Debug)]
pub(super) struct Viewer {
    /// What his token allows where he asked for it.
    pub(super) grant: Arc<Grant>,
    carrier: Carrier,
    left: Duration,
    /// Where the token stands in the path, if it came in the query or is another by now.
    location: Option<HeaderValue>,
    /// The token to go on with, if it is handed over in a header.
    next: Option<HeaderValue>,
}

/// A viewer who was not: what he is told, and which token it was, where it was made with one of our keys.
#[derive(Debug)]
pub(super) struct RefusedViewer {
    pub(super) problem: Problem,
    pub(super) key_id: Option<KeyId>,
}

impl RefusedViewer {
    fn by(error: &ViewerError, policy: &ViewerPolicy, now: WallTime) -> Box<Self> {
        Box::new(Self { problem: problem(error, policy, now), key_id: error.key_id().cloned() })
    }
}

/// Whether this header may carry a token.
pub(super) fn may_carry(name: &HeaderName) -> bool {
    *name == COOKIE || *name == TOKEN
}

/// Lets the holder of a token in, if there is one: his grant, and what his answer is to be like. `None`: there is none, and none is needed
/// of who has this API key.
///
/// # Errors
/// The problem, where there is a token that is not good for what is asked, whatever else the request carries.
pub(super) fn judge(
    verifier: &ViewerVerifier,
    parts: &Parts,
    peer: IpAddr,
    resource: &Resource<'_>,
    namespace: Option<&NamespaceHandle>,
    (answered_by, now): (AnsweredBy, WallTime),
) -> Result<Option<Viewer>, Box<RefusedViewer>> {
    let off = ViewerPolicy::default();
    let policy = namespace.and_then(NamespaceHandle::policy).map_or(&off, |policy| &policy.viewers);
    // Where they are turned off, too: with a key for them such a parameter is a token, and none is passed over.
    let takes_edge_auth = verifier.takes_edge_auth(resource.namespace());
    let found = find(parts, resource, policy.mode, takes_edge_auth).map_err(|error| RefusedViewer::by(&error, policy, now))?;
    let Some((carrier, token)) = found else { return Ok(None) };
    if policy.mode == ViewerMode::Off {
        let detail =
            "viewers hold no tokens for this namespace (viewers.mode is \"off\"): ask without the token, or turn them on";
        return Err(Box::new(RefusedViewer { problem: Problem::new(Code::ViewerTokenUnsupported, detail), key_id: None }));
    }
    let base = namespace.and_then(NamespaceHandle::viewer_base);
    let base = base.map_or_else(|| Cow::Owned(policy.base(resource.namespace())), Cow::Borrowed);
    let is_playlist = is_playlist(resource);
    let (here, is_limited) = (place(parts, peer, policy), limits(policy).is_some());
    let asked = ViewerAsked {
        namespace: resource.namespace(),
        base: &base,
        key: resource.key(),
        method: parts.method.as_str(),
        host: host(parts),
        place: Some(here),
        renews: match carrier {
            _ if !is_read(&parts.method) || answered_by == AnsweredBy::Proxy => &[],
            Carrier::Path | Carrier::Query if is_playlist => &[RenewedBy::Redirect, RenewedBy::Header],
            Carrier::Path | Carrier::Query | Carrier::Header | Carrier::Cookie => &[RenewedBy::Header],
        },
        limits: is_limited.then(|| (&policy.limits, here.address.unwrap_or(peer))),
        // What a player has listed already plays out when its token has ended.
        grace: if is_playlist || matches!(resource, Resource::Collection { .. }) { Duration::ZERO } else { policy.grace },
        skew: policy.clock_skew,
    };
    let admitted = verifier.judge(&token, &asked, now);
    let (AdmittedViewer { grant, left, renewed }, next) = admitted.map_err(|error| RefusedViewer::by(&error, policy, now))?;
    let is_by_header = matches!(renewed, Some((RenewedBy::Header, _)));
    let is_moved = carrier == Carrier::Query && !policy.keeps_query || next.is_some() && !is_by_header;
    let told = next.as_ref().filter(|_| !is_by_header).unwrap_or(&token);
    let location = is_moved.then(|| location(&base, told, resource)).flatten();
    let next = next.filter(|_| is_by_header).and_then(|next| HeaderValue::try_from(next.expose()).ok());
    Ok(Some(Viewer { grant, carrier, left, location, next }))
}

/// How much one token may be used, if that is limited: where an edge asks for tokens, it has the requests.
pub(super) fn limits(policy: &ViewerPolicy) -> Option<&ViewerLimits> {
    Some(&policy.limits).filter(|limits| policy.mode == ViewerMode::Required && !limits.is_none())
}

/// The token that speaks.
fn find<'a>(
    parts: &'a Parts,
    resource: &'a Resource<'_>,
    mode: ViewerMode,
    takes_edge_auth: bool,
) -> Result<Option<(Carrier, Secret<'a>)>, ViewerError> {
    if let Some(token) = resource.viewer() {
        return Ok(Some((Carrier::Path, Secret::new(token.expose()))));
    }
    if let Some(token) = resource.cat() {
        let token = percent::decode(token).unwrap_or(Cow::Borrowed(token));
        // Where there are no tokens, anything else by this name is somebody's own affair.
        if mode != ViewerMode::Off || has_form(&token) {
            return Ok(Some((Carrier::Query, Secret::new(token))));
        }
    }
    if takes_edge_auth && let Some(token) = resource.edge_auth() {
        // As forms write it. One that has its own signs is as its maker wrote it, escapes and all.
        let decoded = if is_edge_auth(token) { None } else { percent::decode(token) };
        let token = decoded.unwrap_or(Cow::Borrowed(token));
        return Ok(Some((Carrier::Query, Secret::new(token))));
    }
    let mut headers = parts.headers.get_all(TOKEN).iter();
    if let Some(token) = headers.next() {
        let token = token.to_str().ok().filter(|_| headers.next().is_none());
        let token = token.ok_or(ViewerError::Invalid("it is no text, or there are two of them"))?;
        return Ok(Some((Carrier::Header, Secret::new(token.trim_ascii()))));
    }
    // As bytes: what else stands among the cookies, in whatever alphabet, hides no token.
    let pairs = parts.headers.get_all(COOKIE).iter().flat_map(|cookies| cookies.as_bytes().split(|byte| *byte == b';'));
    let mut tokens = pairs.filter_map(|pair| {
        let (name, value) = pair.split_at_checked(pair.iter().position(|byte| *byte == b'=')?)?;
        let name = name.trim_ascii();
        let is_one =
            name == COOKIE_NAME.as_bytes() || takes_edge_auth && EDGE_AUTH_NAMES.iter().any(|known| name == known.as_bytes());
        is_one.then(|| value[1..].trim_ascii())
    });
    let Some(token) = tokens.next() else { return Ok(None) };
    let token = std::str::from_utf8(token).map_err(|_| ViewerError::Invalid("the cookie is no text"))?;
    Ok(Some((Carrier::Cookie, Secret::new(token.trim_matches('"')))))
}

/// Whether a token comes with the request, in whatever way: one that writes, and that a token could only narrow.
pub(super) fn comes_along(verifier: &ViewerVerifier, parts: &Parts, resource: &Resource<'_>) -> bool {
    !matches!(find(parts, resource, ViewerMode::Off, verifier.takes_edge_auth(resource.namespace())), Ok(None))
}

/// The host that was asked, without its port.
fn host(parts: &Parts) -> Option<&str> {
    let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| parts.uri.authority().map(http::uri::Authority::as_str))?;
    // An address of IPv6 has colons of its own.
    Some(if host.ends_with(']') { host } else { host.rsplit_once(':').map_or(host, |(host, _)| host) })
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

pub(super) fn is_playlist(resource: &Resource<'_>) -> bool {
    matches!(resource, Resource::Object(target) if Kind::of(&target.object.key, &[]).is_rewritten())
}

/// The path with the token in it, for a query that had it.
fn location(base: &str, token: &Secret<'_>, resource: &Resource<'_>) -> Option<HeaderValue> {
    let query = resource.query_without_cat();
    let mark = if query.is_empty() { "" } else { "?" };
    let path = percent::encode_path(resource.key());
    HeaderValue::try_from(format!("{}~{}/{path}{mark}{query}", percent::encode_path(base), in_path(token))).ok()
}

/// No token where one is needed.
pub(super) fn missing() -> Problem {
    let detail = "this takes a viewer's token: in the path, as /cache/{namespace}/~TOKEN/{key}, where relative URIs keep it, in ?cat=, in \
                  the header CTA-Common-Access-Token or in a cookie of that name; an API key does not stand in for one, unless it is a \
                  readwrite key or one that was made with --edge";
    Problem::new(Code::ViewerTokenMissing, detail).with_header(WWW_AUTHENTICATE, CHALLENGE)
}

/// A token where something is written.
pub(super) fn on_write() -> Problem {
    let detail = "the request has a viewer's token, in the path ('~...'), in ?cat=, in the header CTA-Common-Access-Token or in a cookie of that \
                  name, or one of Akamai's (hdnts, hdnea, hdntl), in the query or a cookie: it writes nothing, and no object may have such a \
                  name: leave it out";
    Problem::new(Code::ViewerTokenOnWrite, detail)
}

fn problem(error: &ViewerError, policy: &ViewerPolicy, now: WallTime) -> Problem {
    let problem = match error {
        ViewerError::Invalid(why) => {
            let detail = "the viewer's token is not one of this server's, or was changed or cut off on its way: take a new one";
            Problem::new(Code::ViewerTokenInvalid, detail).with_inner(*why)
        }
        ViewerError::Unsupported(Unsupported::Form) => Problem::new(
            Code::ViewerTokenUnsupported,
            "the viewer's token is of a form that is not read here: it takes a Common Access Token (CTA-5007), a CWT with an HMAC, or a JWT of \
             the same claims",
        ),
        ViewerError::Unsupported(what) => {
            let detail = format!("the viewer's token can't be judged: {what}, and what is not evaluated is refused");
            Problem::new(Code::ViewerTokenUnsupported, detail)
        }
        ViewerError::Expired { at, .. } => {
            Problem::new(Code::ViewerTokenExpired, format!("the viewer's token ended at {at}, and it is {now}: take a new one"))
        }
        ViewerError::NotYet { from, .. } => {
            let detail = format!(
                "the viewer's token is good from {from} on, and it is {now}: take a new one; up to viewers.clock_skew is borne, see which \
                 clock is wrong, and that nbf and iat are seconds, not milliseconds"
            );
            Problem::new(Code::ViewerTokenNotYet, detail)
        }
        ViewerError::Place { .. } => Problem::new(
            Code::ViewerTokenPlace,
            "the viewer's token is good, but not from this address or country: take a new one from here",
        ),
        ViewerError::Revoked { .. } => {
            Problem::new(Code::ViewerTokenRevoked, "the viewer's token was ended before its time: whoever made it says why")
        }
        ViewerError::Limit { wait, .. } => {
            let seconds = wait.as_secs_f64().ceil();
            let detail = format!(
                "the viewer's token is used more than one may be here (viewers.requests_per_second, bytes_per_second, sessions): try again in \
                 {seconds} s; each viewer takes a token of his own"
            );
            let problem = Problem::new(Code::ViewerLimit, detail);
            match HeaderValue::try_from(seconds.to_string()) {
                Ok(seconds) => problem.with_header(RETRY_AFTER, seconds),
                Err(_) => problem,
            }
        }
        ViewerError::Scope { beyond, .. } => {
            let base = &policy.base_path;
            let detail = format!(
                "the viewer's token is good, but for another {beyond}: paths in tokens begin with the namespace's viewers.base_path, {base}, \
                 and aud names the namespace"
            );
            Problem::new(Code::ViewerTokenScope, detail)
        }
    };
    if problem.code.status() == StatusCode::UNAUTHORIZED { problem.with_header(WWW_AUTHENTICATE, CHALLENGE) } else { problem }
}

impl Viewer {
    /// Whether he has to ask anew where a token stands in the path: else what a playlist lists would have none.
    pub(super) fn is_moved(&self) -> bool {
        self.location.is_some()
    }

    /// The answer to a token in the query: where it is in the path, so that what a playlist lists has it too.
    pub(super) fn redirect(&self, method: &Method) -> Option<Response> {
        let location = self.location.clone().filter(|_| is_read(method))?;
        let mut response = header_room::response(Body::empty());
        *response.status_mut() = StatusCode::FOUND;
        response.headers_mut().insert(LOCATION, location);
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Some(response)
    }

    /// This is answered to him: its bytes count, as far as their number is known now. The body knows it; `Content-Length` is written later.
    pub(super) fn sent(&self, verifier: &ViewerVerifier, method: &Method, answer: &Body) {
        if let Some(length) = answer.size_hint().exact().filter(|_| *method == Method::GET) {
            verifier.sent(&self.grant, length);
        }
    }

    /// Has an answer kept by nobody for whom it is not, nor for longer than the token is good.
    pub(super) fn limit(&self, headers: &mut HeaderMap) {
        if let Some(next) = &self.next {
            // It is his.
            headers.insert(TOKEN, next.clone());
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
            return;
        }
        if self.carrier == Carrier::Query {
            // The URL is a first one, and its token nobody's to keep.
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            return;
        }
        let is_shared = self.carrier == Carrier::Path;
        if let Some(said) = headers.get(CACHE_CONTROL).and_then(|said| said.to_str().ok())
            && let Some(limited) = limited(said, self.left.as_secs(), is_shared).and_then(|said| HeaderValue::try_from(said).ok())
        {
            headers.insert(CACHE_CONTROL, limited);
        }
        if !is_shared {
            headers.append(VARY, VARIES);
        }
    }
}

/// What caches are told, for no longer than this many seconds; and shared ones only of what has its token in the path, where the URL is
/// the viewer's own. `None`: as they are told already.
fn limited(said: &str, left: u64, is_shared: bool) -> Option<String> {
    // As nearly all answers say it while a token lasts.
    if is_shared && said.strip_prefix("public, max-age=").and_then(|age| age.parse::<u64>().ok()).is_some_and(|age| age <= left) {
        return None;
    }
    let mut directives: Vec<Cow<'_, str>> = Vec::new();
    for directive in said.split(',').map(str::trim_ascii).filter(|directive| !directive.is_empty()) {
        let (name, value) = directive.split_once('=').map_or((directive, None), |(name, value)| (name, Some(value)));
        let is = |known: &str| name.trim_ascii().eq_ignore_ascii_case(known);
        if is("stale-while-revalidate") || is("stale-if-error") || !is_shared && (is("public") || is("private") || is("s-maxage"))
        {
            continue;
        }
        if is("max-age") || is("s-maxage") {
            let age = value.and_then(|age| age.trim_matches(['"', ' ']).parse::<u64>().ok()).unwrap_or(0);
            directives.push(format!("{}={}", name.trim_ascii(), age.min(left)).into());
        } else {
            directives.push(directive.into());
        }
    }
    if !is_shared {
        directives.insert(0, "private".into());
    }
    Some(directives.join(", "))
}

/// Has nobody keep a content key where reads need tokens: who has it once could play for ever.
pub(super) fn guard_content_key(policy: &NamespacePolicy, key: &Key, response: &mut Response) {
    if policy.viewers.mode == ViewerMode::Required && Extension::of(&key.extension()).format == Format::ContentKey {
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_keep_nothing_for_longer_than_the_token_is_good() {
        for (said, left, is_shared, expected) in [
            ("public,max-age=3600", 7200, true, "public, max-age=3600"),
            ("public, max-age=3600", 60, true, "public, max-age=60"),
            ("public, max-age=1", 0, true, "public, max-age=0"),
            ("public, s-maxage=50,max-age=9, stale-while-revalidate=60", 5, true, "public, s-maxage=5, max-age=5"),
            ("no-store", 5, true, "no-store"),
            ("max-age=soon", 5, true, "max-age=0"),
            ("public, max-age=3600", 60, false, "private, max-age=60"),
            ("private, max-age=3, s-maxage=9, stale-if-error=1", 60, false, "private, max-age=3"),
            ("no-store", 60, false, "private, no-store"),
        ] {
            assert_eq!(limited(said, left, is_shared).as_deref(), Some(expected), "{said} {left}");
        }
        assert_eq!(limited("public, max-age=3600", 3600, true), None);
    }

    #[test]
    fn the_host_is_told_without_its_port() {
        for (host, expected) in
            [("a.example:8080", "a.example"), ("a.example", "a.example"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]")]
        {
            let parts = http::Request::builder().header("host", host).body(()).unwrap().into_parts().0;
            assert_eq!(super::host(&parts), Some(expected));
        }
    }
}
