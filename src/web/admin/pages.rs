//! Keeps web pages away from the admin listener.
//!
//! A page in the browser of somebody who reaches this listener can have the browser ask it, and where nobody is asked for a key, or the
//! browser has one, would read the answer or give an order. Two ways lead there, and each has its rule:
//! - The page's own name is made to point here (DNS rebinding): to the browser it is then the same site. But such a request carries
//!   that name as its `Host`, and no key that opens anything here, which a page can't know: but a key of its maker's own for something
//!   else. So without a key that opens what is asked for only addresses and names without a dot (rebinding needs a name that somebody
//!   else's DNS answers for, and no domain is without one), and the names in the settings are answered. Prometheus goes on by a
//!   service's name, and by any with its key, or where the figures are open.
//! - The page asks across sites. Then the browser says so: in `Sec-Fetch-Site` (Fetch metadata, to https and loopback only) or in
//!   `Origin` (RFC 6454).

use std::net::IpAddr;

use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderName, Method};

use crate::web::problem::Problem;
use crate::web::problem::code::Code;

/// Where a browser says that a request comes from (Fetch Metadata).
pub(super) const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Refuses what a page may have asked. `hosts`: the names in the settings.
pub(super) fn check(parts: &Parts, hosts: &[String]) -> Result<(), Problem> {
    let text = |name: HeaderName| parts.headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let host = host(parts);
    if !parts.headers.contains_key(AUTHORIZATION) {
        check_host(parts, hosts)?;
    }
    let is_read = matches!(parts.method, Method::GET | Method::HEAD);
    let is_foreign = match (text(SEC_FETCH_SITE), text(ORIGIN)) {
        (Some("same-origin"), _) => false,
        (Some("none"), _) => !is_read,
        (Some(_), _) => true,
        (None, Some(origin)) => !origin.split_once("://").is_some_and(|(_, origin)| origin.eq_ignore_ascii_case(host)),
        (None, None) => false,
    };
    if is_foreign {
        return Err(Problem::new(
            Code::ForeignOrigin,
            "a web page from elsewhere had a browser send this; nothing is told or done for it: use curl, or a page of this listener",
        ));
    }
    Ok(())
}

/// Refuses who calls this listener by a name of which nobody here knows: what is open to all is not told to him.
pub(super) fn check_host(parts: &Parts, hosts: &[String]) -> Result<(), Problem> {
    if is_known(without_port(host(parts)), hosts) {
        return Ok(());
    }
    Err(Problem::new(
        Code::UnknownHost,
        "this listener is not known by this Host, and a page whose name was made to lead here would look just like this: call it by \
         localhost, a name without a dot or its address, send a key that opens what you ask for, or name the host in admin_hosts",
    ))
}

/// The host that was asked.
fn host(parts: &Parts) -> &str {
    let named = || parts.headers.get(HOST).map(|value| value.to_str().unwrap_or_default());
    parts.uri.authority().map(http::uri::Authority::as_str).or_else(named).unwrap_or_default()
}

/// The host without its port; an IPv6 address without its brackets.
fn without_port(host: &str) -> &str {
    match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split_once(':').map_or(host, |(name, _)| name),
    }
}

fn is_known(host: &str, hosts: &[String]) -> bool {
    // Who sends no Host at all is no browser.
    host.is_empty()
        || host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        || host.parse::<IpAddr>().is_ok()
        || hosts.iter().any(|known| known.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    fn code(method: &str, headers: &[(&str, &str)]) -> Option<Code> {
        let mut request = Request::builder().method(method).uri("/v1/streams");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        check(&parts, &["origin.example".to_owned()]).err().map(|problem| problem.code)
    }

    #[test]
    fn a_foreign_name_is_refused_where_no_key_is_sent() {
        let unknown = Some(Code::UnknownHost);
        for (host, expected) in [
            ("localhost:8081", None),
            ("LOCALHOST", None),
            ("127.0.0.1:8081", None),
            ("10.1.2.3", None),
            ("[::1]:8081", None),
            ("[2001:db8::1]", None),
            ("origin.example:8081", None),
            ("Origin.Example", None),
            ("springhead:8081", None),
            ("org.example:8081", Some(Code::UnknownHost)),
            ("springhead.", Some(Code::UnknownHost)),
            ("", None),
            ("evil.example", unknown),
            ("127.0.0.1.evil.example:8081", unknown),
            ("localhost.evil.example", unknown),
            ("[evil.example]", unknown),
            ("localhost@evil.example", unknown),
        ] {
            assert_eq!(code("GET", &[("host", host)]), expected, "{host}");
            assert_eq!(code("GET", &[("host", host), ("authorization", "Bearer x")]), None, "{host} with a key");
        }
    }

    #[test]
    fn a_request_across_sites_is_refused_with_a_key_or_without() {
        let foreign = Some(Code::ForeignOrigin);
        for (method, site, origin, expected) in [
            ("GET", None, None, None),
            ("POST", None, None, None),
            ("GET", Some("none"), None, None),
            ("POST", Some("none"), None, foreign),
            ("POST", Some("same-origin"), Some("http://localhost:8081"), None),
            ("GET", Some("same-site"), None, foreign),
            ("GET", Some("cross-site"), None, foreign),
            ("GET", None, Some("http://localhost:8081"), None),
            ("GET", None, Some("http://localhost:8080"), foreign),
            ("POST", None, Some("http://evil.example"), foreign),
            ("POST", None, Some("null"), foreign),
        ] {
            let mut headers = vec![("host", "localhost:8081")];
            headers.extend(site.map(|site| ("sec-fetch-site", site)));
            headers.extend(origin.map(|origin| ("origin", origin)));
            assert_eq!(code(method, &headers), expected, "{method} {headers:?}");
            headers.push(("authorization", "Bearer x"));
            assert_eq!(code(method, &headers), expected, "{method} {headers:?}");
        }
    }
}
