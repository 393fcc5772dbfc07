//! The key: what it says of itself, and what the server makes of it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::Method;
use serde::Deserialize;

use super::report::{Finding, Report};
use crate::app::client::{At, Response, Server, Url, short_name};
use crate::app::keys::rfc3339;
use crate::auth::grant::Role;
use crate::auth::secret::Secret;
use crate::model::clock::WallTime;
use crate::web::problem::code::Code;

/// A key that ends within this is warned of.
const SOON: Duration = Duration::from_secs(3 * 86_400);
/// CDN headers take no longer value: Amazon CloudFront's quota for an origin custom header.
const CDN_HEADER: usize = 1783;

/// What a key says of itself. Nothing here is checked: only the server can.
#[derive(Debug, Deserialize)]
pub(super) struct UncheckedClaims {
    #[serde(default)]
    jti: String,
    role: Option<Role>,
    #[serde(default)]
    ns: Vec<String>,
    pub(super) pfx: Option<String>,
    exp: Option<u64>,
}

impl UncheckedClaims {
    /// Reads the middle part of a token of three.
    pub(super) fn read(key: &Secret<'_>) -> Option<Self> {
        let mut parts = key.expose().split('.');
        let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
    }

    pub(super) fn is_readonly(&self) -> bool {
        self.role == Some(Role::Readonly)
    }
}

/// What can be said of a key without asking anyone.
pub(super) fn shape(key: &Secret<'_>, namespace: &str, now: WallTime) -> Finding {
    const STEP: &str = "key";
    let text = key.expose();
    if text.trim() != text || text.contains(char::is_whitespace) {
        return Finding::failure(STEP, "there is white space in the key", "copy it again, in one piece and on one line");
    }
    let Some(claims) = UncheckedClaims::read(key) else {
        let advice = "give the api_key that 'springhead keys create' prints (three parts with dots between them), or the name \
            of its JSON file; \
                      an ingest password is no key";
        return Finding::failure(STEP, "this is no API key", advice);
    };
    let make = |role: &str| format!("make one: springhead keys create --namespace {namespace} --role {role}");
    let role = match claims.role {
        Some(Role::Readonly) => "readonly",
        Some(Role::Readwrite) => "readwrite",
        Some(Role::Viewer | Role::Operator | Role::Admin) => {
            return Finding::failure(STEP, "this is an admin key: it reaches no objects", make("readonly"));
        }
        Some(Role::Vendor) => return Finding::failure(STEP, "this is a vendor key: it reaches no objects", make("readonly")),
        Some(Role::Node) => return Finding::failure(STEP, "this is a node's own key: it reaches no objects", make("readonly")),
        None => "of no known role",
    };
    let reaches = claims.ns.iter().any(|name| name == "*" || name == namespace);
    if !reaches {
        let text = format!("the key is for the namespace {} and not for {namespace}", claims.ns.join(", "));
        return Finding::failure(STEP, text, format!("{}, or name the right one with --namespace", make("readonly")));
    }
    let end = claims.exp.map(WallTime::from_seconds);
    if let Some(end) = end
        && now >= end
    {
        return Finding::failure(STEP, format!("the key has expired at {}", rfc3339(end)), make(role));
    }
    let left = end.map(|end| end.since(now));
    let lasts = match left {
        None => "does not expire".to_owned(),
        Some(left) if left < Duration::from_secs(2 * 86_400) => format!("expires in {} hours", left.as_secs() / 3600),
        Some(left) => format!("expires in {} days", left.as_secs() / 86_400),
    };
    let prefix = claims.pfx.as_ref().map_or_else(String::new, |prefix| format!(", only names that begin with {prefix}"));
    let text = format!("key {}: {role}, for {}{prefix}, {lasts}", claims.jti, claims.ns.join(", "));
    if left.is_some_and(|left| left < SOON) {
        return Finding::warning(STEP, text, format!("{} and put it in place before this one ends", make(role)));
    }
    if key.expose().len() > CDN_HEADER {
        return Finding::warning(
            STEP,
            format!("{text}; it has {} characters", key.expose().len()),
            format!("Amazon CloudFront takes {CDN_HEADER} in a header: name fewer namespaces"),
        );
    }
    Finding::ok(STEP, text)
}

/// What the server's answer to a read says of the key.
pub(super) fn read(answer: &Response, server: &Server, namespace: &str) -> Finding {
    const STEP: &str = "read";
    let by = answer.from.map_or_else(String::new, |address| format!(" from {address}"));
    let of_viewer = problem(&answer.body).filter(|code| code.name().starts_with("viewer-"));
    match (answer.status, server.has_key()) {
        (401, _) if of_viewer == Some(Code::ViewerTokenMissing) => Finding::failure(
            STEP,
            if server.has_key() {
                "401: viewers need a token here (viewers.mode is \"required\"), and this key does not stand in for one"
            } else {
                "401: viewers need a token here (viewers.mode is \"required\")"
            },
            format!(
                "give one with --viewer-token, as 'springhead token viewer --namespace {namespace}' makes it; or a key that reads without: \
                 springhead keys create --namespace {namespace} --role readonly --edge"
            ),
        ),
        (status @ (401 | 403 | 429), _) if let Some(code) = of_viewer => {
            Finding::failure(STEP, format!("{status}: {}", code.title().to_lowercase()), code.advice())
        }
        (status, _) if status < 400 && server.has_viewer() => {
            Finding::ok(STEP, format!("the viewer's token is accepted ({status}{by})"))
        }
        (401, false) => Finding::failure(STEP, "401: reading takes a key", "give one with --key KEY, or --key FILE"),
        (401, true) => Finding::failure(
            STEP,
            "401: the server does not accept this key",
            "it may be cut off, revoked, or made with another server's signing key (was the data directory lost?): its log \
                says which; \
             'springhead keys inspect' in its data directory does too",
        ),
        (403, _) => Finding::failure(
            STEP,
            format!("403: the key is good, but not for reading this in {namespace}"),
            "it is for another namespace or prefix, or the namespace is not configured there: check --namespace, and what the \
                key is for \
             with 'springhead keys inspect'",
        ),
        (status, true) => Finding::ok(STEP, format!("the key is accepted ({status}{by})")),
        (status, false) => Finding::ok(STEP, format!("without a key ({status}{by})")),
    }
}

/// What to do when this server lets a playlist be read, and not what it lists: that is not missing.
pub(super) fn does_not_reach(server: &Server, url: &Url) -> &'static str {
    match (server.has_key(), url.origin() == server.base.origin()) {
        _ if server.loses_viewer(url) => {
            "child-loses-token: it is named by a URI that is absolute, begins with a slash or leaves the folder above all, so the viewer's \
             token in the path is not kept: have the encoder or packager write relative URIs"
        }
        _ if server.at == At::Cdn => {
            "the CDN sends no key for it, or a wrong one: set Authorization for each origin and behaviour that is used"
        }
        (true, true) => {
            "the key does not reach it: is it for a prefix only, was it revoked meanwhile, or is this in another namespace?"
        }
        (true, false) => {
            "it is on another host, and a key goes to the host of BASE_URL only: does that host take viewers without one?"
        }
        (false, _) => {
            "reading it takes a key: give one with --key KEY, or --key FILE. What stands in a playlist's own query, children do not inherit"
        }
    }
}

/// Writes a small object that would end by itself, reads it back and deletes it.
pub(super) async fn write(server: &Server, claims: Option<&UncheckedClaims>, unique: u64, report: &mut Report) {
    const STEP: &str = "write";
    let prefix = claims.and_then(|claims| claims.pfx.as_deref()).unwrap_or_default();
    let Some(mut url) = server.url(&format!("{prefix}doctor-{unique:x}.txt")) else { return };
    let plain = url.clone();
    url.set_query(Some("ttl_seconds=5"));
    let body = Bytes::from(format!("springhead doctor was here: {unique:x}\n"));
    let finding = match server.ask(Method::PUT, &url, &[], body.clone()).await {
        Err(error) => Finding::failure(STEP, format!("PUT: {error}"), "something on the way stops uploads: a proxy or firewall?"),
        Ok(answer) if (200..300).contains(&answer.status) => read_back(server, &plain, &body).await,
        Ok(answer) => refused(&answer, claims),
    };
    report.add_about(server.at, &[short_name(&plain)], finding);
}

/// The problem that an answer is, where it is one of this server's and not a proxy's.
fn problem(body: &[u8]) -> Option<Code> {
    let document: serde_json::Value = serde_json::from_slice(body).ok()?;
    Code::parse(document["type"].as_str()?.strip_prefix("urn:springhead:problem:")?)
}

fn refused(answer: &Response, claims: Option<&UncheckedClaims>) -> Finding {
    const STEP: &str = "write";
    let readwrite = "encoders need a readwrite key: springhead keys create --role readwrite; the first start puts one into \
        encoder_api_key.json";
    match answer.status {
        401 => Finding::failure(STEP, "401: the key is not accepted for writing", readwrite),
        403 if claims.is_some_and(UncheckedClaims::is_readonly) => {
            Finding::failure(STEP, "403: this is a readonly key, and it is used for ingest", readwrite)
        }
        403 => Finding::failure(STEP, "403: the key may not write here", readwrite),
        status if let Some(code) = problem(&answer.body) => {
            Finding::failure(STEP, format!("{status}: {}", code.title().to_lowercase()), code.advice())
        }
        status @ (405 | 501) => Finding::failure(
            STEP,
            format!("{status}: PUT is not allowed here"),
            "a CDN or proxy in front takes GET only? Ingest goes straight to the origin",
        ),
        413 => Finding::failure(
            STEP,
            "413: even a few bytes are too many",
            "the namespace's max_object_size, or a proxy's limit, is too small",
        ),
        503 => Finding::failure(
            STEP,
            "503: no room for uploads right now, or a rate limit",
            "see max_in_flight and write_requests_per_second in the server's settings",
        ),
        status => Finding::failure(
            STEP,
            format!("PUT answers {status}"),
            "the server's log has the reason; /v1/ingest/rejected on its admin listener too",
        ),
    }
}

async fn read_back(server: &Server, url: &Url, body: &Bytes) -> Finding {
    const STEP: &str = "write";
    let advice =
        "is there more than one server behind this address, without a store in common, or a cache that keeps what it should not?";
    let read = server.get(url).await;
    let deleted = server.ask(Method::DELETE, url, &[], Bytes::new()).await;
    match (read, deleted) {
        (Ok(read), _) if read.status != 200 => {
            Finding::failure(STEP, format!("stored, but reading it back answers {}", read.status), advice)
        }
        (Ok(read), _) if read.body != body => Finding::failure(STEP, "stored, but other bytes come back", advice),
        (Ok(_), Ok(deleted)) if (200..300).contains(&deleted.status) => Finding::ok(STEP, "stored, read back, deleted"),
        (Ok(_), Ok(deleted)) => Finding::warning(
            STEP,
            format!("stored and read back, but DELETE answers {}", deleted.status),
            "encoders delete what they no longer list: let DELETE pass",
        ),
        (Err(error), _) | (_, Err(error)) => Finding::failure(STEP, format!("stored, then: {error}"), advice),
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::Severity;
    use super::*;

    fn key(payload: &str) -> Secret<'static> {
        Secret::new(format!("eyJhbGciOiJIUzI1NiJ9.{}.c2ln", URL_SAFE_NO_PAD.encode(payload)))
    }

    #[test]
    fn a_key_is_read_without_trusting_it() {
        let now = WallTime::from_millis(1_000_000_000);
        for (payload, verdict, part) in [
            (
                r#"{"jti":"ab","role":"readonly","ns":["live"],"iat":1,"exp":4000000}"#,
                Severity::Ok,
                "key ab: readonly, for live, expires in 34 days",
            ),
            (
                r#"{"jti":"ab","role":"readwrite","ns":["*"],"pfx":"a/"}"#,
                Severity::Ok,
                "readwrite, for *, only names that begin with a/, does not expire",
            ),
            (r#"{"jti":"ab","role":"readonly","ns":["live"],"exp":1050000}"#, Severity::Warning, "expires in 13 hours"),
            (r#"{"jti":"ab","role":"readonly","ns":["live"],"exp":1000000}"#, Severity::Failure, "has expired"),
            (r#"{"jti":"ab","role":"readonly","ns":["other"]}"#, Severity::Failure, "for the namespace other and not for live"),
            (r#"{"jti":"ab","role":"admin","ns":[]}"#, Severity::Failure, "admin"),
            ("no JSON", Severity::Failure, "no API key"),
        ] {
            let finding = shape(&key(payload), "live", now);
            assert_eq!(finding.verdict, verdict, "{payload}");
            assert!(finding.text.contains(part), "{finding:?}");
        }
        for text in ["", "a.b", "a.b.c.d", "eyJ .x.y"] {
            assert_eq!(shape(&Secret::new(text), "live", now).verdict, Severity::Failure, "{text}");
        }
    }

    #[test]
    fn a_refusal_in_the_servers_own_words_brings_the_servers_own_advice() {
        for code in [Code::RateLimited, Code::NotDurable, Code::TooLarge] {
            let document = format!(r#"{{"type":"urn:springhead:problem:{}"}}"#, code.name());
            assert_eq!(problem(document.as_bytes()), Some(code));
        }
        for other in ["", "<html>", "{}", r#"{"type":"about:blank"}"#, r#"{"type":"urn:springhead:problem:unheard-of"}"#] {
            assert_eq!(problem(other.as_bytes()), None, "{other}");
        }
    }
}
