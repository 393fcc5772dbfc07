//! The same through the CDN, and the difference explained.

use bytes::Bytes;
use http::Method;

use super::report::Finding;
use super::segments::Sample;
use super::walk::Stream;
use crate::app::client::{At, Response, Server, Url};

/// The CDN's name for what the origin calls `url`, or the other way round.
pub(super) fn counterpart(from: &Server, to: &Server, url: &Url) -> Option<Url> {
    let name = url.as_str().strip_prefix(from.base.as_str())?;
    to.base.join(&format!("./{name}")).ok()
}

/// What it means that the CDN refuses something. The origin is asked for the same.
pub(super) async fn explain(step: &'static str, cdn: &Server, origin: &Server, url: &Url, answer: &Response) -> Finding {
    let twin = match counterpart(cdn, origin, url) {
        Some(twin) => origin.ask(Method::HEAD, &twin, &[], Bytes::new()).await.ok().map(|answer| answer.status),
        None => None,
    };
    let status = answer.status;
    if twin.is_some_and(|twin| twin != 200) {
        let text = format!("{status} through the CDN, and {} at the origin", twin.unwrap_or_default());
        return Finding::failure(step, text, "begin at the origin: see its steps above");
    }
    match status {
        401 | 403 => lost_header(step, status),
        404 | 410 if is_cached(answer) => cached(step, answer),
        404 | 410 => {
            // With another query it is another object to a cache that goes by the query, and the origin is asked itself.
            let mut fresh = url.clone();
            fresh.query_pairs_mut().append_pair("doctor", "1");
            match cdn.get(&fresh).await {
                Ok(again) if again.status == 200 => cached(step, answer),
                _ => Finding::failure(
                    step,
                    format!("{status} through the CDN, but the origin has it"),
                    "the CDN asks for another path: the origin path has to be /cache/NAMESPACE, without a slash at its end, \
                        and the behaviours' path \
                     patterns have to fit",
                ),
            }
        }
        502 => Finding::failure(
            step,
            "502: the CDN can't use the origin's answer, or its certificate",
            "the origin needs a publicly trusted certificate with its whole chain, for the origin's domain name, and TLS 1.2",
        ),
        503 | 504 => Finding::failure(
            step,
            format!("{status}: the CDN does not reach the origin in time"),
            "does the firewall let the CDN in, on the port that is set for the origin, and is the protocol policy right (HTTPS \
                only)?",
        ),
        _ => {
            Finding::failure(step, format!("{status} through the CDN, but the origin has it"), "see the CDN's log for the reason")
        }
    }
}

fn lost_header(step: &'static str, status: u16) -> Finding {
    Finding::failure(
        step,
        format!(
            "{status} through the CDN, though the origin accepts the key: the CDN does not send the key to the origin, or \
                another one"
        ),
        "set it at the CDN's origin: in Amazon CloudFront, Origins, Add custom header, Authorization: the readonly key, bare; \
            for each origin and behaviour \
         that is used. An error page of the CDN's own (signed URLs, WAF, geography) looks the same",
    )
}

/// Whether the answer came from a cache.
fn is_cached(answer: &Response) -> bool {
    let age = answer.header("age").parse::<u64>().unwrap_or(0);
    let said = format!("{} {} {}", answer.header("x-cache"), answer.header("cache-status"), answer.header("cf-cache-status"));
    let said = said.to_ascii_lowercase();
    age > 0 || said.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == "hit")
}

fn cached(step: &'static str, answer: &Response) -> Finding {
    let age = answer.header("age");
    let age = if age.is_empty() { String::new() } else { format!(" (Age {age} s)") };
    let said = answer.header("x-cache");
    let said = if said.is_empty() { String::new() } else { format!(", X-Cache: {said}") };
    Finding::failure(
        step,
        format!("the CDN has cached an error: {}{age}{said}, though the origin has it by now", answer.status),
        "let the CDN keep errors for a second at most: in Amazon CloudFront, Error pages, error caching minimum TTL 0 or 1 for \
            404, 500, 502, 503 and 504 \
         (it is 10 s unless set)",
    )
}

/// Whether the CDN delivers the origin's bytes.
pub(super) async fn same_bytes(cdn: &Server, origin: &Server, sample: &Sample) -> Option<Finding> {
    const STEP: &str = "same-bytes";
    let twin = counterpart(cdn, origin, &sample.url)?;
    if sample.is_part {
        return None;
    }
    let twin = origin.get(&twin).await.ok()?;
    if twin.status != 200 || twin.cut.is_some() || sample.answer.cut.is_some() {
        return None;
    }
    if twin.body == sample.answer.body {
        return Some(Finding::ok(STEP, "the origin's bytes"));
    }
    let text =
        format!("the CDN has other bytes under this name: {} against the origin's {}", sample.answer.body.len(), twin.body.len());
    let advice = "the encoder used the name again after a restart, and the CDN still has the old segment: invalidate it, and \
        have the encoder make names that \
                  do not come back (a date in them)";
    Some(Finding::failure(STEP, text, advice))
}

/// Whether queries get through, where playlists need them: blocking reload (RFC 8216bis 6.2.5.2) asks by query.
pub(super) async fn query(cdn: &Server, origin: &Server, stream: &Stream) -> Option<Finding> {
    const STEP: &str = "query";
    let child = stream.children.iter().find(|child| child.is_live() && child.media.server_control.can_block_reload)?;
    let far = |url: &Url| {
        let mut url = url.clone();
        // Far beyond the next one: to be refused with 400.
        url.query_pairs_mut().append_pair("_HLS_msn", &(child.media.last_sequence().unwrap_or(0) + 1_000_000).to_string());
        url
    };
    let at_origin = origin.get(&far(&counterpart(cdn, origin, &child.url)?)).await.ok()?.status;
    let through = cdn.get(&far(&child.url)).await.ok()?.status;
    match (at_origin, through) {
        (400, 400) => Some(Finding::ok(STEP, "_HLS_msn gets through")),
        (400, 200) => Some(Finding::failure(
            STEP,
            "the query string is dropped: the origin never sees _HLS_msn and _HLS_part",
            "low latency needs them: in the CDN's cache policy for playlists, include the query strings _HLS_msn, _HLS_part \
                and _HLS_skip",
        )),
        _ => None,
    }
}

/// Whether windows of the past get through: they are asked for by query as well. Without, who starts over is shown the live edge.
pub(super) async fn windows(cdn: &Server, origin: &Server, stream: &Stream) -> Option<Finding> {
    const STEP: &str = "query";
    let child = stream.children.iter().find(|child| child.is_live())?;
    let senseless = |url: &Url| {
        let mut url = url.clone();
        // No time: to be refused with 400.
        url.query_pairs_mut().append_pair("start", "doctor");
        url
    };
    let at_origin = origin.get(&senseless(&counterpart(cdn, origin, &child.url)?)).await.ok()?.status;
    let through = cdn.get(&senseless(&child.url)).await.ok()?.status;
    match (at_origin, through) {
        (400, 400) => Some(Finding::ok(STEP, "start, end and last get through")),
        (400, 200) => Some(Finding::warning(
            STEP,
            "the query string is dropped: who looks back is shown the live edge",
            "if viewers are to look back, include the query strings start, end and last in the CDN's policies for playlists",
        )),
        _ => None,
    }
}

/// What it means that the playlist itself can't be had.
pub(super) fn silent(error: &dyn std::fmt::Display) -> Finding {
    Finding::failure(
        "multivariant",
        error.to_string(),
        "the CDN accepts connections and does not answer: is the distribution deployed?",
    )
}

/// The other side of `at`.
pub(super) fn title(at: At) -> &'static str {
    match at {
        At::Origin => "origin",
        At::Cdn => "cdn",
    }
}
