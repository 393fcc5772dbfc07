//! The way to the server: its name, its port, its certificate, whether it is up and what time it has.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use tokio::net::TcpStream;

use super::report::{Finding, Report};
use crate::app::client::{At, Call, HttpClient, Response, Server, TlsRules, Unanswered, Url};
use crate::app::keys::rfc3339;
use crate::model::clock::{Clock, WallTime};
use crate::web::connection::tls::Certificate;

/// A certificate that ends within this is warned of.
const SOON: Duration = Duration::from_secs(14 * 86_400);
/// Clocks that differ by no more are in step: a `Date` has whole seconds, and the way takes time.
const IN_STEP: i64 = 2;
/// Clocks that differ by more break things: keys look expired or not yet good, and players seek beside the live edge.
const OFF: i64 = 10;

/// Finds and reaches the server. `false` when nothing more can be asked of it.
pub(super) async fn reach(server: &Server, roots: Option<&[u8]>, timeout: Duration, report: &mut Report) -> bool {
    let url = &server.base;
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let port = url.port_or_known_default().unwrap_or(80);
    let resolved = tokio::time::timeout(timeout, tokio::net::lookup_host((host, port))).await;
    let addresses: Vec<SocketAddr> = match resolved {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    };
    if addresses.is_empty() {
        let advice = "is the name written right, and is there an A or AAAA record for it that this machine's resolver sees?";
        report.add(server.at, Finding::failure("resolve", format!("{host} has no address"), advice));
        return false;
    }
    let list: Vec<_> = addresses.iter().map(|address| address.ip().to_string()).collect();
    if host.parse::<IpAddr>().is_err() {
        report.add(server.at, Finding::ok("resolve", format!("{host} is {}", list.join(", "))));
    }
    let finding = connect(&addresses, timeout).await;
    let reached = finding.is_ok();
    report.add(server.at, finding.unwrap_or_else(|failure| failure));
    if !reached {
        return false;
    }
    if url.scheme() != "https" {
        return true;
    }
    let (finding, good) = match tls(url, roots, timeout).await {
        Ok(finding) => (finding, true),
        Err(finding) => (finding, false),
    };
    report.add(server.at, finding);
    good
}

async fn connect(addresses: &[SocketAddr], timeout: Duration) -> Result<Finding, Finding> {
    const STEP: &str = "connect";
    let clock = Clock::system();
    let (mut reached, mut failed) = (Vec::new(), Vec::new());
    for address in addresses.iter().take(8) {
        let begun = clock.now();
        match tokio::time::timeout(timeout, TcpStream::connect(address)).await {
            Ok(Ok(_)) => reached.push(format!("{address} in {} ms", clock.now().since(begun).as_millis())),
            Ok(Err(error)) => failed.push(format!("{address}: {error}")),
            Err(_) => failed.push(format!("{address}: no answer")),
        }
    }
    match (reached.is_empty(), failed.is_empty()) {
        (_, true) => Ok(Finding::ok(STEP, reached.join(", "))),
        (false, false) => Ok(Finding::warning(
            STEP,
            format!("{}; but {}", reached.join(", "), failed.join(", ")),
            "some clients will try the address that does not answer first: take it out of DNS, or listen there too",
        )),
        (true, false) => Err(Finding::failure(
            STEP,
            failed.join(", "),
            "does the server run, does it listen on that address and port (its log says 'listening'), and does the firewall or \
                security group let this machine in?",
        )),
    }
}

/// Looks at the certificate with and without believing it. No key is sent before this is good.
async fn tls(url: &Url, roots: Option<&[u8]>, timeout: Duration) -> Result<Finding, Finding> {
    const STEP: &str = "tls";
    let clock = Clock::system();
    let rules = TlsRules { extra_roots: roots, ..TlsRules::default() };
    let shake = async |rules: TlsRules<'_>| {
        let client = HttpClient::new(rules, clock.clone()).map_err(|error| Unanswered::Tls(error.to_string()))?;
        let call = Call { method: Method::HEAD, url, headers: HeaderMap::new(), body: Bytes::new(), timeout, max_body: 0 };
        client.ask(call).await
    };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let believed = shake(rules).await;
    let seen = match &believed {
        Ok(answer) => answer.certificate.clone(),
        Err(_) => shake(TlsRules { believe_anyone: true, ..rules }).await.ok().and_then(|answer| answer.certificate),
    };
    let seen = seen.as_deref().and_then(Certificate::read);
    match (believed, seen) {
        (Err(Unanswered::Tls(reason)), Some(certificate)) => Err(distrusted(&certificate, host, clock.wall(), &reason)),
        (Err(error), _) => Err(Finding::failure(
            STEP,
            error.to_string(),
            "is this port one that speaks TLS? Springhead has tls_listen for it, 443 as a rule; 8080 is in clear",
        )),
        (Ok(_), None) => Ok(Finding::ok(STEP, "the certificate is trusted")),
        (Ok(_), Some(certificate)) => {
            let left = certificate.ends.since(clock.wall());
            let text = format!(
                "the certificate for {} is trusted and good for {} days",
                certificate.names.join(", "),
                left.as_secs() / 86_400
            );
            if left < SOON {
                return Ok(Finding::warning(
                    STEP,
                    text,
                    "renew it now: when it ends, players, encoders and the CDN all stop at once",
                ));
            }
            let old = shake(TlsRules { at_most_1_2: true, ..rules }).await;
            if matches!(old, Err(Unanswered::Tls(_))) {
                return Ok(Finding::warning(
                    STEP,
                    format!("{text}, but TLS 1.2 is refused"),
                    "allow TLS 1.2: Amazon CloudFront asks its origins with nothing newer, and so do many encoders",
                ));
            }
            Ok(Finding::ok(STEP, text))
        }
    }
}

/// Why a certificate is not believed, the plainest reason first.
fn distrusted(certificate: &Certificate, host: &str, now: WallTime, reason: &str) -> Finding {
    const STEP: &str = "tls";
    let days = |span: Duration| span.as_secs() / 86_400;
    if now >= certificate.ends {
        let text = format!(
            "the certificate has expired, {} days ago, at {}",
            days(now.since(certificate.ends)),
            rfc3339(certificate.ends)
        );
        return Finding::failure(
            STEP,
            text,
            "renew it and put the new pair into place: the server takes it up within seconds, without a restart",
        );
    }
    if now < certificate.begins {
        let text = format!("the certificate is good only from {}", rfc3339(certificate.begins));
        return Finding::failure(STEP, text, "check this machine's clock first, then the certificate");
    }
    if !certificate.names.iter().any(|name| matches(name, host)) {
        let text = format!("the certificate is for {} and not for {host}: wrong name", certificate.names.join(", "));
        return Finding::failure(
            STEP,
            text,
            "use the name it is for, or get one that names this host too (subject alternative name)",
        );
    }
    let text = format!("the certificate is not trusted ({reason}); it was issued by {}", certificate.issuer);
    let advice = "give the server the whole chain (fullchain.pem: its own certificate first, then each that signed the one \
        before); a CDN takes \
                  publicly trusted ones only; for an authority of your own name its file with --ca";
    Finding::failure(STEP, text, advice)
}

/// Whether a certificate's name is good for a host: a `*` stands for its first label (RFC 6125 6.4.3).
fn matches(name: &str, host: &str) -> bool {
    match name.strip_prefix("*.") {
        Some(rest) => host.split_once('.').is_some_and(|(_, of_host)| of_host.eq_ignore_ascii_case(rest)),
        None => name.eq_ignore_ascii_case(host),
    }
}

/// Whether a Springhead is up and takes traffic.
pub(super) async fn alive(server: &Server, report: &mut Report) {
    let ask = async |path: &str| match server.root(path) {
        Some(url) => server.get(&url).await,
        None => Err(Unanswered::Broken("no such URL".to_owned())),
    };
    let finding = match ask("/livez").await {
        Ok(answer) if answer.status == 200 && answer.body.starts_with(b"alive") => Finding::ok("alive", "/livez answers"),
        Ok(answer) => Finding::warning(
            "alive",
            format!("/livez answers {}, not as a Springhead does", answer.status),
            "if a proxy in front passes /cache/ only, all is well; if not, is this the right host and port?",
        ),
        Err(error) => Finding::failure("alive", error.to_string(), "it accepts connections and does not answer: see its log"),
    };
    let alive = finding.advice.is_none();
    report.add(server.at, finding);
    if !alive {
        return;
    }
    let finding = match ask("/readyz").await {
        Ok(answer) if answer.status == 200 => Finding::ok("ready", "/readyz answers: it takes traffic"),
        Ok(answer) if answer.status == 503 => Finding::failure(
            "ready",
            "/readyz answers 503: it is starting or draining",
            "wait, or see whether it is being stopped",
        ),
        Ok(answer) => Finding::warning(
            "ready",
            format!("/readyz answers {}", answer.status),
            "let a proxy in front pass it, for its health checks",
        ),
        Err(error) => Finding::failure("ready", error.to_string(), "see the server's log"),
    };
    report.add(server.at, finding);
}

/// Their clock against ours, in whole seconds; positive when theirs is ahead.
pub(super) fn ahead(answer: &Response) -> Option<i64> {
    let date = httpdate::parse_http_date(answer.header("date")).ok()?;
    let date = i64::try_from(date.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs()).ok()?;
    // A cache tells when the origin answered, and how long ago that was (RFC 9111 5.1).
    let age: i64 = answer.header("age").parse().unwrap_or(0);
    let ours = |time: WallTime| i64::try_from(time.seconds()).ok();
    let (asked, answered) = (ours(answer.asked)?, ours(answer.answered)?);
    let theirs = date.saturating_add(age);
    // Any moment between question and answer will do.
    Some(if theirs < asked { theirs - asked } else { (theirs - answered).max(0) })
}

pub(super) fn clock(at: At, answer: &Response) -> Finding {
    const STEP: &str = "clock";
    let advice = "set one of the two right: 'timedatectl' or 'chronyc tracking' on both machines says which; keys, \
        certificates and DASH players \
                  go by the clock";
    match ahead(answer) {
        None => {
            Finding::warning(STEP, "its answers have no Date", "caches need one to know how old an answer is (RFC 9110 6.6.1)")
        }
        Some(seconds) if seconds.abs() <= IN_STEP => Finding::ok(STEP, "in step with this machine's"),
        Some(seconds) => {
            let whose = if at == At::Cdn { "the CDN's" } else { "the server's" };
            let text = format!(
                "{whose} clock is {} s {} this machine's",
                seconds.abs(),
                if seconds > 0 { "ahead of" } else { "behind" }
            );
            if seconds.abs() > OFF { Finding::failure(STEP, text, advice) } else { Finding::warning(STEP, text, advice) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::Severity;
    use super::*;

    #[test]
    fn names_of_certificates_are_matched() {
        for (name, host, fits) in [
            ("a.example", "A.example", true),
            ("*.example", "a.example", true),
            ("*.example", "b.a.example", false),
            ("*.example", "example", false),
            ("127.0.0.1", "127.0.0.1", true),
            ("a.example", "b.example", false),
        ] {
            assert_eq!(matches(name, host), fits, "{name} {host}");
        }
    }

    #[test]
    fn the_plainest_reason_is_told() {
        let day = |n: u64| WallTime::from_millis(n * 86_400_000);
        let certificate =
            Certificate { names: vec!["a.example".to_owned()], issuer: "CN=x".to_owned(), begins: day(10), ends: day(100) };
        for (host, now, words) in [
            ("a.example", 103, "expired, 3 days ago"),
            ("a.example", 5, "good only from"),
            ("b.example", 50, "not for b.example: wrong name"),
            ("a.example", 50, "UnknownIssuer"),
        ] {
            let finding = distrusted(&certificate, host, day(now), "UnknownIssuer");
            assert!(finding.verdict == Severity::Failure && finding.text.contains(words), "{finding:?}");
        }
    }

    #[test]
    fn clocks_are_compared() {
        let at = |seconds: u64| WallTime::from_seconds(seconds);
        let answer = |date: u64, age: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("date", httpdate::fmt_http_date(at(date).to_system()).parse().unwrap());
            headers.insert("age", age.parse().unwrap());
            Response {
                status: 200,
                headers,
                body: Bytes::new(),
                cut: None,
                from: None,
                certificate: None,
                asked: at(1000),
                answered: at(1003),
                first_byte: Duration::ZERO,
                took: Duration::ZERO,
            }
        };
        for (date, age, expected) in
            [(1001, "", 0), (1000, "0", 0), (1003, "0", 0), (990, "", -10), (1013, "", 10), (990, "12", 0)]
        {
            assert_eq!(ahead(&answer(date, age)), Some(expected), "{date} {age}");
        }
        assert_eq!(clock(At::Origin, &answer(940, "")).verdict, Severity::Failure);
        assert_eq!(clock(At::Origin, &answer(995, "")).verdict, Severity::Warning);
        assert_eq!(clock(At::Origin, &answer(999, "")).verdict, Severity::Ok);
    }
}
