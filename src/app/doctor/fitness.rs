//! Whether an answer's headers are fit for a CDN and for players in a browser. Pure judgement.

use std::time::Duration;

use super::media::BodyFormat;
use super::report::Finding;
use crate::app::client::{At, Response};

/// What the answer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResponseRole {
    /// A playlist that does not change while the stream runs, or not often.
    Multivariant,
    /// A media playlist; live with this target duration.
    Media { live: Option<Duration> },
    /// A segment.
    Segment(BodyFormat),
}

/// Under which conditions it was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestContext<'a> {
    pub(super) at: At,
    /// With an Authorization header.
    pub(super) with_key: bool,
    /// As this web site.
    pub(super) web_origin: &'a str,
    /// The user named the web site: then it has to be allowed.
    pub(super) site_matters: bool,
}

/// Everything that is wrong; one `ok` when nothing is.
pub(super) fn judge(answer: &Response, role: ResponseRole, asked: RequestContext<'_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = [
        content_type(answer, role),
        cache_control(answer, role, asked),
        validators(answer),
        cors(answer, asked),
        length(answer, role),
        cookies(answer),
    ]
    .into_iter()
    .flatten()
    .collect();
    if findings.is_empty() {
        let cached = answer.header("cache-control");
        let kind = answer.header("content-type");
        findings.push(Finding::ok("headers", format!("{kind}; Cache-Control: {cached}; may be read by browsers")));
    }
    findings
}

fn content_type(answer: &Response, role: ResponseRole) -> Option<Finding> {
    const STEP: &str = "content-type";
    let whole = answer.header("content-type").to_ascii_lowercase();
    let kind = whole.split(';').next().unwrap_or_default().trim();
    let fits = match role {
        ResponseRole::Multivariant | ResponseRole::Media { .. } => {
            matches!(kind, "application/vnd.apple.mpegurl" | "application/x-mpegurl" | "audio/mpegurl" | "audio/x-mpegurl")
        }
        ResponseRole::Segment(BodyFormat::Ts) => matches!(kind, "video/mp2t" | "audio/mp2t"),
        ResponseRole::Segment(BodyFormat::Mp4 | BodyFormat::Init) => {
            matches!(kind, "video/mp4" | "audio/mp4" | "application/mp4" | "video/iso.segment" | "video/quicktime")
        }
        ResponseRole::Segment(BodyFormat::Audio) => kind.starts_with("audio/"),
        ResponseRole::Segment(BodyFormat::Vtt) => kind == "text/vtt",
        ResponseRole::Segment(BodyFormat::Unknown) => true,
    };
    if fits {
        return None;
    }
    let text = if kind.is_empty() { "no Content-Type".to_owned() } else { format!("Content-Type is {kind}") };
    let advice = match role {
        ResponseRole::Multivariant | ResponseRole::Media { .. } => {
            "serve playlists as application/vnd.apple.mpegurl: Safari goes by it, and CDNs compress by it"
        }
        ResponseRole::Segment(_) => {
            "serve segments by their kind (video/mp2t, video/mp4, audio/aac, text/vtt): some players and CDN rules go by it"
        }
    };
    Some(Finding::warning(STEP, text, advice))
}

/// What `Cache-Control` says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Caching {
    present: bool,
    /// Shared caches may keep it this long.
    fresh: Option<u64>,
    forbidden: bool,
    /// Kept although the request carried Authorization (RFC 9111 3.5).
    shared: bool,
}

fn caching(answer: &Response) -> Caching {
    let mut caching = Caching::default();
    let (mut max_age, mut s_maxage) = (None, None);
    for value in answer.headers.get_all("cache-control") {
        caching.present = true;
        for directive in value.to_str().unwrap_or_default().to_ascii_lowercase().split(',') {
            let (name, value) = directive.trim().split_once('=').unwrap_or((directive.trim(), ""));
            let seconds = value.trim_matches('"').parse().ok();
            match name {
                "no-store" | "private" => caching.forbidden = true,
                "no-cache" => max_age = Some(0),
                "max-age" => max_age = max_age.or(seconds),
                "s-maxage" => (s_maxage, caching.shared) = (seconds, true),
                "public" | "must-revalidate" => caching.shared = true,
                _ => {}
            }
        }
    }
    caching.fresh = s_maxage.or(max_age);
    caching
}

fn cache_control(answer: &Response, role: ResponseRole, asked: RequestContext<'_>) -> Option<Finding> {
    const STEP: &str = "cache-control";
    let caching = caching(answer);
    let set = match asked.at {
        At::Origin => "",
        At::Cdn => " (through the CDN: its own policy may put this in)",
    };
    match role {
        ResponseRole::Media { live: Some(target) } => {
            let limit = target.as_secs().max(1);
            match (caching.forbidden, caching.fresh) {
                (true, _) => None,
                (false, Some(seconds)) if seconds > limit => Some(Finding::failure(
                    STEP,
                    format!(
                        "a live playlist may be cached for {seconds} s, longer than its target duration of {} s{set}",
                        target.as_secs_f64()
                    ),
                    "players get an old one and stall: set max-age to half a target duration (playlist_max_age = \"auto\")",
                )),
                (false, Some(_)) => None,
                (false, None) => Some(Finding::warning(
                    STEP,
                    format!("a live playlist without max-age{set}"),
                    "a CDN takes its own default, 24 hours at worst: set max-age to half a target duration",
                )),
            }
        }
        ResponseRole::Multivariant | ResponseRole::Media { live: None } => (!caching.present).then(|| {
            Finding::warning(
                STEP,
                format!("a playlist without Cache-Control{set}"),
                "a CDN takes its own default: say how long it may be kept",
            )
        }),
        ResponseRole::Segment(_) if caching.forbidden || caching.fresh == Some(0) => Some(Finding::warning(
            STEP,
            format!("segments may not be cached ({}){set}", answer.header("cache-control")),
            "every viewer's request will reach the origin: let segments be kept, public and for as long as they live",
        )),
        ResponseRole::Segment(_) if caching.fresh.is_none() && answer.header("expires").is_empty() => Some(Finding::warning(
            STEP,
            format!("a segment without max-age{set}"),
            "a CDN takes its own default: say how long it may be kept",
        )),
        ResponseRole::Segment(_) if asked.with_key && !caching.shared && asked.at == At::Origin => Some(Finding::warning(
            STEP,
            format!("Cache-Control: {} without public", answer.header("cache-control")),
            "shared caches keep nothing that was asked for with Authorization unless it says public (RFC 9111 3.5)",
        )),
        ResponseRole::Segment(_) => None,
    }
}

fn validators(answer: &Response) -> Option<Finding> {
    const STEP: &str = "validators";
    let etag = answer.header("etag");
    if !etag.is_empty() && !etag.trim_start_matches("W/").starts_with('"') {
        return Some(Finding::warning(
            STEP,
            format!("ETag {etag} has no quotation marks"),
            "Amazon CloudFront removes such a one (RFC 9110 8.8.3)",
        ));
    }
    (etag.is_empty() && answer.header("last-modified").is_empty()).then(|| {
        Finding::warning(
            STEP,
            "neither ETag nor Last-Modified",
            "caches can't ask whether theirs is still good and fetch it whole each time",
        )
    })
}

/// A player in a browser may read an answer only if it says so, once.
fn cors(answer: &Response, asked: RequestContext<'_>) -> Option<Finding> {
    const STEP: &str = "cors";
    let values: Vec<&str> =
        answer.headers.get_all("access-control-allow-origin").iter().filter_map(|value| value.to_str().ok()).collect();
    let (missing, twice) = match asked.at {
        At::Origin => (
            "send Access-Control-Allow-Origin: * (cors_origins in a namespace's settings; some proxies take it out)",
            "two places put it in, as a rule the origin and a proxy in front: leave it to one",
        ),
        At::Cdn => (
            "the CDN loses it: let it pass the origin's header, forward Origin, or add a response headers policy with CORS",
            "origin and CDN both put it in: let the response headers policy override the origin's, or take it away",
        ),
    };
    match values[..] {
        [] => Some(Finding::failure(
            STEP,
            "no CORS: Access-Control-Allow-Origin is missing, so no player in a browser can read this",
            missing,
        )),
        [one] if one.contains(',') => Some(doubled(one, twice)),
        ["*"] => None,
        [one] if one == asked.web_origin => None,
        [one] if asked.site_matters => {
            let text = format!("CORS allows {one} and not {}", asked.web_origin);
            Some(Finding::failure(
                STEP,
                text,
                "add the site to cors_origins; where several are allowed a cache has to forward Origin and keep them apart \
                    (Vary: Origin)",
            ))
        }
        [one] => Some(Finding::warning(
            STEP,
            format!("CORS allows {one} only"),
            "if that is the player's site all is well; name it with --web-origin to be sure",
        )),
        _ => Some(doubled(&values.join(" and "), twice)),
    }
}

fn doubled(values: &str, advice: &str) -> Finding {
    let text = format!(
        "CORS doubled: Access-Control-Allow-Origin is there more than once ({values}), and browsers then refuse the answer"
    );
    Finding::failure("cors", text, advice)
}

fn length(answer: &Response, role: ResponseRole) -> Option<Finding> {
    (matches!(role, ResponseRole::Segment(_)) && answer.header("content-length").is_empty()).then(|| {
        Finding::warning(
            "length",
            "a whole segment without Content-Length",
            "without it a cache can't tell a truncated body from a whole one, and Amazon CloudFront caches what it got",
        )
    })
}

fn cookies(answer: &Response) -> Option<Finding> {
    answer.headers.contains_key("set-cookie").then(|| {
        Finding::warning(
            "cookies",
            "it sets a cookie",
            "caches do not keep answers that set cookies, or give one viewer's to all: take it out",
        )
    })
}

/// What an answer to a request for the first bytes of a segment says.
pub(super) fn range(answer: &Response, asked: u64, needed: bool) -> Finding {
    const STEP: &str = "range";
    let complete = answer.header("content-range").starts_with(&format!("bytes 0-{}/", asked - 1));
    match answer.status {
        206 if complete && answer.body.len() as u64 == asked => Finding::ok(STEP, "byte ranges are answered (206)"),
        206 => Finding::failure(
            STEP,
            "206, but not with the bytes that were asked for",
            "something on the way mixes ranges up: compare with the origin's answer",
        ),
        200 if needed => Finding::failure(
            STEP,
            "byte ranges are not answered, and this playlist needs them",
            "serve the files with Accept-Ranges: bytes",
        ),
        200 => Finding::warning(
            STEP,
            "byte ranges are not answered: 200 with all of it",
            "players and CDNs that ask for a range get the whole each time",
        ),
        status => Finding::warning(STEP, format!("a byte range is answered {status}"), "answer 206, or 200 with all of it"),
    }
}

/// What an answer for a name that does not exist says.
pub(super) fn missing(answer: &Response, asked: RequestContext<'_>) -> Finding {
    const STEP: &str = "missing";
    let caching = caching(answer);
    let status = answer.status;
    if status < 400 {
        return Finding::failure(
            STEP,
            format!("a name that does not exist is answered {status}"),
            "players take an error page for media: answer 404",
        );
    }
    let seconds = caching.fresh.unwrap_or(0);
    if !caching.forbidden && seconds > 5 {
        return Finding::failure(
            STEP,
            format!("{status} for a missing name may be cached for {seconds} s"),
            "a segment that is asked for a moment too early stays missing for this long: send no-store on errors",
        );
    }
    if !caching.present && asked.at == At::Origin {
        return Finding::warning(
            STEP,
            format!("{status} for a missing name, without Cache-Control"),
            "a CDN keeps it for its own default (Amazon CloudFront 10 s): send no-store, and set its error caching minimum TTL \
                to 0 or 1",
        );
    }
    if asked.at == At::Origin && !answer.headers.contains_key("access-control-allow-origin") {
        return Finding::warning(
            STEP,
            format!("{status} for a missing name, without CORS"),
            "players in a browser can't see the status then: send CORS headers on errors too",
        );
    }
    Finding::ok(STEP, format!("{status} for a missing name, not to be kept"))
}

#[cfg(test)]
mod tests {
    use super::super::report::Severity;
    use super::*;
    use crate::model::clock::WallTime;

    fn answer(status: u16, headers: &[(&'static str, &'static str)]) -> Response {
        let mut map = http::HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let now = WallTime::from_millis(0);
        Response {
            status,
            headers: map,
            body: bytes::Bytes::from_static(&[0; 10]),
            cut: None,
            from: None,
            certificate: None,
            asked: now,
            answered: now,
            first_byte: Duration::ZERO,
            took: Duration::ZERO,
        }
    }

    const ASKED: RequestContext<'static> =
        RequestContext { at: At::Origin, with_key: true, web_origin: "https://a.example", site_matters: false };
    const LIVE: ResponseRole = ResponseRole::Media { live: Some(Duration::from_secs(2)) };
    const GOOD: [(&str, &str); 5] = [
        ("content-type", "application/vnd.apple.mpegurl"),
        ("cache-control", "public, max-age=1"),
        ("etag", "\"x\""),
        ("access-control-allow-origin", "*"),
        ("content-length", "10"),
    ];

    /// The good answer with one header changed, added or (empty) taken out.
    fn with(name: &'static str, value: &'static str) -> Response {
        let mut headers: Vec<_> = GOOD.into_iter().filter(|(other, _)| *other != name).collect();
        if !value.is_empty() {
            headers.push((name, value));
        }
        answer(200, &headers)
    }

    #[test]
    fn a_good_playlist_is_fit_and_each_fault_is_named() {
        let verdicts = |answer: &Response, role: ResponseRole| -> Vec<(&'static str, Severity)> {
            judge(answer, role, ASKED).into_iter().map(|finding| (finding.step, finding.verdict)).collect()
        };
        let of = |name: &'static str, value: &'static str| verdicts(&with(name, value), LIVE);
        assert_eq!(of("x-other", "1"), [("headers", Severity::Ok)]);
        assert_eq!(of("content-type", "text/plain"), [("content-type", Severity::Warning)]);
        assert_eq!(of("cache-control", ""), [("cache-control", Severity::Warning)]);
        assert_eq!(of("cache-control", "public, max-age=60"), [("cache-control", Severity::Failure)]);
        assert_eq!(of("cache-control", "max-age=1, s-maxage=60"), [("cache-control", Severity::Failure)]);
        assert_eq!(of("cache-control", "no-store"), [("headers", Severity::Ok)]);
        assert_eq!(of("etag", ""), [("validators", Severity::Warning)]);
        assert_eq!(of("etag", "x"), [("validators", Severity::Warning)]);
        assert_eq!(of("access-control-allow-origin", ""), [("cors", Severity::Failure)]);
        assert_eq!(of("access-control-allow-origin", "https://a.example"), [("headers", Severity::Ok)]);
        assert_eq!(of("access-control-allow-origin", "https://b.example"), [("cors", Severity::Warning)]);
        assert_eq!(of("access-control-allow-origin", "*, *"), [("cors", Severity::Failure)]);
        assert_eq!(of("set-cookie", "a=b"), [("cookies", Severity::Warning)]);
        let mut twice = with("x", "");
        twice.headers.append("access-control-allow-origin", "*".parse().unwrap());
        assert_eq!(verdicts(&twice, LIVE), [("cors", Severity::Failure)]);

        let segment = |answer: &Response| verdicts(answer, ResponseRole::Segment(BodyFormat::Ts));
        let ts = |cached: &'static str| {
            let mut good = with("content-type", "video/mp2t");
            good.headers.insert("cache-control", cached.parse().unwrap());
            good
        };
        assert_eq!(segment(&ts("public, max-age=3600")), [("headers", Severity::Ok)]);
        assert_eq!(segment(&ts("max-age=3600")), [("cache-control", Severity::Warning)]);
        assert_eq!(segment(&ts("private, max-age=3600")), [("cache-control", Severity::Warning)]);
        let mut endless = ts("public, max-age=3600");
        endless.headers.remove("content-length");
        assert_eq!(segment(&endless), [("length", Severity::Warning)]);
    }

    #[test]
    fn ranges_and_missing_names_are_judged() {
        let part = answer(206, &[("content-range", "bytes 0-9/500")]);
        assert_eq!(range(&part, 10, false).verdict, Severity::Ok);
        assert_eq!(range(&answer(200, &[]), 10, false).verdict, Severity::Warning);
        assert_eq!(range(&answer(200, &[]), 10, true).verdict, Severity::Failure);
        let cors = ("access-control-allow-origin", "*");
        assert_eq!(missing(&answer(404, &[("cache-control", "no-store"), cors]), ASKED).verdict, Severity::Ok);
        assert_eq!(missing(&answer(404, &[("cache-control", "no-store")]), ASKED).verdict, Severity::Warning);
        assert_eq!(missing(&answer(404, &[cors]), ASKED).verdict, Severity::Warning);
        assert_eq!(missing(&answer(404, &[("cache-control", "max-age=300"), cors]), ASKED).verdict, Severity::Failure);
        assert_eq!(missing(&answer(200, &[]), ASKED).verdict, Severity::Failure);
    }
}
