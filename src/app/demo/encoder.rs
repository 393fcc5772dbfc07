//! The demo's encoder: pushes the loop over real HTTP as an encoder does, segments first and the playlists that list them behind.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::faults::{FaultMode, PlannedFault};
use super::media::{DemoRendition, MULTIVARIANT, RENDITIONS};
use crate::app::client::{Call, HttpClient, TlsRules, Url};
use crate::auth::secret::Secret;
use crate::model::clock::{Clock, WallTime};

/// How long a segment is.
const SEGMENT: Duration = Duration::from_secs(2);
/// How many are there when it begins, so that a player begins at once.
const AT_FIRST: u64 = 4;
/// How many a playlist lists.
const WINDOW: u64 = 8;
/// The multivariant playlist is sent again after so many segments: a server that was restarted, or that has forgotten it, gets it.
const MULTIVARIANT_EVERY: u64 = 15;
/// How long what is sent lives, in seconds.
const TTL: u64 = 300;
const TIMEOUT: Duration = Duration::from_secs(10);
/// How far apart segments come that come late, in lengths of a segment: late, and not yet stale.
const LATE: f64 = 2.2;

/// Where it pushes, and what it does wrong.
#[derive(Debug)]
pub(super) struct DemoEncoder {
    pub(super) base: Url,
    pub(super) key: Secret<'static>,
    pub(super) faults: Vec<PlannedFault>,
}

/// What is being sent.
struct DemoRun {
    /// In the names of its segments: those of a run before are not used again.
    name: u64,
    /// The number of its first segment in the loop, so that the picture goes on.
    first: u64,
    /// The next one's number in the playlist.
    next: u64,
    /// When its first segment began.
    began: WallTime,
}

impl DemoEncoder {
    /// Sends the playlist of all renditions, to see whether the server takes anything from it.
    ///
    /// # Errors
    /// When it does not, with what it says.
    pub(super) async fn begin(&self) -> anyhow::Result<()> {
        let client = HttpClient::new(TlsRules::default(), Clock::system())?;
        let sent = self.put(&client, "stream.m3u8", MULTIVARIANT.as_bytes(), "application/vnd.apple.mpegurl").await;
        sent.map_err(|error| anyhow::anyhow!("the demo's encoder can't push to {}: {error}", self.base))
    }

    /// Pushes for ever. What fails is told once, until it works again.
    pub(super) async fn push(self) -> anyhow::Result<()> {
        let client = HttpClient::new(TlsRules::default(), Clock::system())?;
        let clock = Clock::system();
        let ago = |span: Duration| WallTime::from_millis(clock.wall().millis() - u64::try_from(span.as_millis()).unwrap_or(0));
        let begin = |first| DemoRun {
            name: clock.wall().seconds(),
            first,
            next: 0,
            began: ago(SEGMENT * u32::try_from(AT_FIRST).unwrap_or(0)),
        };
        let mut run = begin(0);
        let started = Instant::now();
        let mut due = started;
        let mut is_failing = false;
        let mut told: Vec<&str> = Vec::new();
        loop {
            let past = started.elapsed();
            let on = |mode| self.faults.iter().any(|fault| fault.mode == mode && fault.is_on(past));
            for fault in self.faults.iter().filter(|fault| fault.is_on(past)) {
                if !told.contains(&fault.name()) {
                    tracing::warn!(
                        fault = fault.name(),
                        seconds = fault.lasts.as_secs(),
                        "the demo's encoder does this wrong now, as it was asked to"
                    );
                    told.push(fault.name());
                }
            }
            if on(FaultMode::Stall) {
                tokio::time::sleep(Duration::from_millis(100)).await;
                // As if it had been held: it goes on where it was.
                due = Instant::now();
                continue;
            }
            if on(FaultMode::Reset) && run.next > AT_FIRST && told.contains(&"reset") && !told.contains(&"was reset") {
                told.push("was reset");
                run = begin(run.first + run.next);
            }
            if on(FaultMode::Late) {
                tokio::time::sleep(SEGMENT.mul_f64(LATE - 1.0)).await;
                due = Instant::now();
            }
            let sent = self.send(&client, &run, &on).await;
            match sent {
                Ok(()) => is_failing = false,
                Err(error) if !is_failing => {
                    is_failing = true;
                    tracing::warn!(error, "the demo's encoder can't push; it goes on trying");
                }
                Err(_) => {}
            }
            run.next += 1;
            if run.next >= AT_FIRST {
                due += SEGMENT;
                tokio::time::sleep_until(due).await;
            }
        }
    }

    /// Sends the next segment of each rendition, and the playlists.
    async fn send(&self, client: &HttpClient, run: &DemoRun, on: &impl Fn(FaultMode) -> bool) -> Result<(), String> {
        if run.next.is_multiple_of(MULTIVARIANT_EVERY) {
            self.put(client, "stream.m3u8", MULTIVARIANT.as_bytes(), "application/vnd.apple.mpegurl").await?;
            for rendition in &RENDITIONS {
                let name = format!("{}-{}-init.mp4", rendition.name, run.name);
                self.put(client, &name, rendition.initialization, "video/mp4").await?;
            }
        }
        for rendition in &RENDITIONS {
            let is_first = rendition.name == "high";
            if rendition.name == "audio" && on(FaultMode::DropAudio) {
                continue;
            }
            let name = format!("{}-{}-{}.m4s", rendition.name, run.name, run.next);
            let body = rendition.segment(run.first + run.next);
            if is_first && on(FaultMode::Cut) {
                self.cut(&name, &body).await?;
            } else if !(is_first && on(FaultMode::Gap)) {
                self.put(client, &name, &body, "video/iso.segment").await?;
            }
            let list = playlist(rendition, run);
            self.put(client, &format!("{}.m3u8", rendition.name), list.as_bytes(), "application/vnd.apple.mpegurl").await?;
        }
        Ok(())
    }

    async fn put(&self, client: &HttpClient, name: &str, body: &[u8], kind: &'static str) -> Result<(), String> {
        let mut url = self.base.join(name).map_err(|error| error.to_string())?;
        url.set_query(Some(&format!("ttl_seconds={TTL}")));
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        let mut key = HeaderValue::try_from(format!("Bearer {}", self.key.expose())).map_err(|error| error.to_string())?;
        key.set_sensitive(true);
        headers.insert(AUTHORIZATION, key);
        let body = Bytes::copy_from_slice(body);
        let call = Call { method: Method::PUT, url: &url, headers, body, timeout: TIMEOUT, max_body: 64 << 10 };
        match client.ask(call).await {
            Ok(answer) if answer.status == 204 => Ok(()),
            Ok(answer) => Err(refusal(name, answer.status, &answer.body)),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Sends half of it and hangs up.
    async fn cut(&self, name: &str, body: &[u8]) -> Result<(), String> {
        let url = self.base.join(name).map_err(|error| error.to_string())?;
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { return Err("no host".to_owned()) };
        if url.scheme() != "http" {
            return Err("cut works over plain HTTP alone".to_owned());
        }
        let mut stream = TcpStream::connect((host, port)).await.map_err(|error| error.to_string())?;
        let head = format!(
            "PUT {}?ttl_seconds={TTL} HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n",
            url.path(),
            self.key.expose(),
            body.len()
        );
        let sent = [head.as_bytes(), &body[..body.len() / 2]].concat();
        stream.write_all(&sent).await.map_err(|error| error.to_string())
    }
}

/// Why the server does not take it: a problem says so, and what to do about it.
fn refusal(name: &str, status: u16, body: &[u8]) -> String {
    let problem: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    // What another server says is shown in one line, and no more of it than that takes.
    let detail = problem["detail"].as_str().map(|text| text.chars().filter(|c| !c.is_control()).take(500).collect::<String>());
    detail.map_or_else(|| format!("{name} was answered {status}"), |detail| format!("{name} was answered {status}: {detail}"))
}

/// A rendition's playlist up to the newest segment.
fn playlist(rendition: &DemoRendition, run: &DemoRun) -> String {
    let from = (run.next + 1).saturating_sub(WINDOW);
    let (name, of) = (rendition.name, run.name);
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{from}\n#EXT-X-INDEPENDENT-SEGMENTS\n\
         #EXT-X-MAP:URI=\"{name}-{of}-init.mp4\"\n"
    );
    let length = |number: u64| rendition.seconds(run.first + number);
    let begins: f64 = (0..from).map(length).sum();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "milliseconds of a run")]
    let at = WallTime::from_millis(run.began.millis() + (begins * 1000.0) as u64);
    // Writing to a String can't fail.
    let _ = writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{at}");
    for number in from..=run.next {
        let _ = writeln!(text, "#EXTINF:{:.5},\n{name}-{of}-{number}.m4s", length(number));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_with_its_reason() {
        assert_eq!(refusal("a.ts", 403, br#"{"detail": "the key is\nreadonly"}"#), "a.ts was answered 403: the key isreadonly");
        assert_eq!(refusal("a.ts", 502, b"<html>"), "a.ts was answered 502");
    }

    #[test]
    fn a_playlist_lists_the_last_segments_and_when_they_began() {
        let run = DemoRun { name: 7, first: 3, next: 9, began: WallTime::from_seconds(1_000_000) };
        let text = playlist(&RENDITIONS[0], &run);
        assert!(text.contains("#EXT-X-MEDIA-SEQUENCE:2\n") && text.contains("DATE-TIME:1970-01-12T13:46:44"), "{text}");
        let names: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!((names.len(), names[0], names[7]), (8, "high-7-2.m4s", "high-7-9.m4s"));
        let audio = playlist(&RENDITIONS[2], &DemoRun { next: 3, ..run });
        assert!(audio.contains("#EXTINF:2.00533,") && audio.contains("#EXTINF:1.98400,"), "{audio}");
    }
}
