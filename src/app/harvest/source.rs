//! Where a harvest reads from: a server over HTTP, or the origin in this process.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::RANGE;
use thiserror::Error;

use crate::app::client::{Response, Server, Url, redacted};
use crate::auth::grant::Grant;
use crate::hls::playlist::ByteRange;
use crate::hls::shift::Window;
use crate::hls::uri::{self, Meant};
use crate::model::id::ObjectId;
use crate::origin::{Arriving, Found, Origin, OriginError, Portion, Read, ReadSpec, Shift};

/// How often something is asked for.
const ATTEMPTS: u32 = 3;
/// How long is waited before it is asked for again; a CDN may have kept a 404 or 503 for a second.
const PAUSE: Duration = Duration::from_secs(1);
/// How often a read gives way to others, a second each, where the namespace's rate is used up.
const GIVES_WAY: u32 = 120;

/// Why something could not be read.
#[derive(Debug, Error)]
pub(super) enum Failed {
    /// It is not there. The rest may be.
    #[error("{0}")]
    Missing(String),
    /// Something else is there.
    #[error("{0}")]
    Foreign(String),
    /// Nothing can be read at the moment, or not by us.
    #[error("{0}")]
    Broken(String),
}

/// Where from.
#[derive(Debug)]
pub(super) enum Source {
    Server(Server),
    Inside(Inside),
}

/// The origin in this process: objects of one namespace, and playlists as they were in a window.
#[derive(Debug)]
pub(super) struct Inside {
    pub(super) origin: Origin,
    pub(super) grant: Grant,
    pub(super) entry: ObjectId,
    pub(super) window: Window,
}

impl Source {
    /// What is there in a playlist's place, of the window.
    pub(super) async fn playlist(&self, url: &Url) -> Result<Bytes, Failed> {
        match self {
            Self::Server(server) => Ok(fetch(server, &by_own_address(server, url).await, None).await?.body),
            Self::Inside(inside) => inside.playlist(url).await,
        }
    }

    /// A playlist's text as it is now.
    pub(super) async fn newest(&self, url: &Url) -> Result<String, Failed> {
        let body = match self {
            Self::Server(server) => fetch(server, &by_own_address(server, url).await, None).await?.body,
            Self::Inside(inside) => inside.read(url, Portion::Whole, None).await?.body().clone(),
        };
        String::from_utf8(body.to_vec()).map_err(|_| Failed::Missing("is no HLS playlist".to_owned()))
    }

    /// The bytes of an object, all or those of a range: as many as there have to be.
    pub(super) async fn bytes(&self, url: &Url, range: Option<ByteRange>) -> Result<Bytes, Failed> {
        let (body, announced) = match self {
            Self::Server(server) => {
                let answer = fetch(server, &by_own_address(server, url).await, range.map(header).as_deref()).await?;
                let announced = announced(&answer);
                (answer.body, announced)
            }
            Self::Inside(inside) => (inside.bytes(url, range).await?, None),
        };
        let (length, expected) = (body.len() as u64, range.map(|range| range.length).or(announced));
        match expected {
            Some(expected) if expected != length => Err(Failed::Missing(format!("{length} bytes came instead of {expected}"))),
            _ => Ok(body),
        }
    }

    /// How long an object is, if that can be said without reading it.
    pub(super) async fn length(&self, url: &Url) -> Option<u64> {
        match self {
            Self::Server(server) => {
                let url = by_own_address(server, url).await;
                server.head(&url).await.ok().filter(|answer| answer.status == 200).as_ref().and_then(announced)
            }
            Self::Inside(inside) => inside.read(url, Portion::Nothing, None).await.ok().map(|found| found.length() as u64),
        }
    }

    /// What a URL may be called in a message.
    pub(super) fn name(&self, url: &Url) -> String {
        match self {
            Self::Server(_) => redacted(url),
            Self::Inside(inside) => inside.object(url).map_or_else(|| redacted(url), |object| object.key.to_string()),
        }
    }
}

impl Inside {
    /// What a URL names here, also by the address that a CDN gives it.
    fn object(&self, url: &Url) -> Option<ObjectId> {
        match uri::meant(&self.entry, url.path())? {
            Meant::Ours(object) | Meant::Under { object, .. } => Some(object),
        }
    }

    /// Why nothing is here: of what stands under another address, nobody has said that it would be.
    fn absent(&self, url: &Url, failed: Failed) -> Failed {
        match (uri::meant(&self.entry, url.path()), failed) {
            (Some(Meant::Under { .. }), Failed::Missing(_)) => elsewhere(),
            (_, failed) => failed,
        }
    }

    /// A playlist as the window has it: of a multivariant one the children are asked for it.
    async fn playlist(&self, url: &Url) -> Result<Bytes, Failed> {
        let shift = Some(Shift { window: self.window, relative: false, late: true });
        Ok(self.read(url, Portion::Whole, shift).await?.body().clone())
    }

    async fn bytes(&self, url: &Url, range: Option<ByteRange>) -> Result<Bytes, Failed> {
        let Some(range) = range else { return Ok(self.read(url, Portion::Whole, None).await?.body().clone()) };
        let found = self.read(url, Portion::Range(header(range).as_bytes()), None).await?;
        let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
        Ok(found.part(at(range.start)..at(range.end())))
    }

    /// Reads by the door that everybody uses, and as a player does: what is about to arrive is waited for, and what is still arriving
    /// until it is whole.
    async fn read(&self, url: &Url, portion: Portion<'_>, shift: Option<Shift>) -> Result<Found, Failed> {
        let object = self.object(url).ok_or_else(elsewhere)?;
        let spec = ReadSpec { portion, arriving: Arriving::Whole, waits: true, shift, ..ReadSpec::default() };
        let mut patience = Patience::default();
        loop {
            // Looked up each time: a harvest lasts, and the settings may change meanwhile.
            let namespace = self.origin.namespace(&object.namespace);
            match namespace.read(&self.grant, &object, &spec).await.and_then(Read::whole) {
                Ok(found) => return Ok(found),
                Err(error) => patience.again(error).await.map_err(|failed| self.absent(url, failed))?,
            }
        }
    }
}

/// What is tried again, and how often.
#[derive(Debug, Default)]
struct Patience {
    gave_way: u32,
    failures: u32,
}

impl Patience {
    /// Waits until it is time to try again. Where the namespace's rate is used up, who watches goes first.
    async fn again(&mut self, error: OriginError) -> Result<(), Failed> {
        let (count, limit) = match error {
            OriginError::RateLimited { .. } => (&mut self.gave_way, GIVES_WAY),
            error if is_passing(&error) => (&mut self.failures, ATTEMPTS),
            _ => return Err(failed(error)),
        };
        *count += 1;
        if *count >= limit {
            return Err(failed(error));
        }
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }
}

/// Whether it says nothing of what there is, but of the moment.
fn is_passing(error: &OriginError) -> bool {
    matches!(
        error,
        OriginError::Unreachable
            | OriginError::Unshared
            | OriginError::Bodiless
            | OriginError::Starting
            | OriginError::TooManyHeld { .. }
            | OriginError::Draining
            | OriginError::Busy
    )
}

fn failed(error: OriginError) -> Failed {
    match error {
        OriginError::RateLimited { .. } | OriginError::UnknownNamespace => Failed::Broken(error.to_string()),
        _ if is_passing(&error) => Failed::Broken(error.to_string()),
        OriginError::Forbidden => {
            Failed::Missing("it is in another namespace, or outside of the prefix that the order came with".to_owned())
        }
        _ => Failed::Missing(error.to_string()),
    }
}

fn elsewhere() -> Failed {
    Failed::Missing("it is not on this server".to_owned())
}

fn header(range: ByteRange) -> String {
    format!("bytes={}-{}", range.start, range.end().saturating_sub(1))
}

fn announced(answer: &Response) -> Option<u64> {
    answer.header("content-length").parse().ok()
}

/// The address of what a URL names under a CDN, where this server has it: it is that which is harvested.
async fn by_own_address(server: &Server, url: &Url) -> Url {
    let Some(own) = server.own_address(url) else { return url.clone() };
    match server.head(&own).await {
        Ok(answer) if answer.status == 200 => own,
        _ => url.clone(),
    }
}

async fn fetch(server: &Server, url: &Url, range: Option<&str>) -> Result<Response, Failed> {
    let more: Vec<_> = range.iter().map(|range| (RANGE, *range)).collect();
    let expected = if range.is_some() { 206 } else { 200 };
    let mut failed = Failed::Broken(String::new());
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        failed = match server.ask(Method::GET, url, &more, Bytes::new()).await {
            Ok(Response { cut: Some(cut), .. }) => Failed::Broken(cut),
            Ok(answer) if answer.status == expected => return Ok(answer),
            Ok(answer) => {
                let problem: Option<serde_json::Value> = serde_json::from_slice(&answer.body).ok();
                let detail = problem.as_ref().and_then(|problem| problem["detail"].as_str()).unwrap_or_default();
                let why = format!("{} {detail}", answer.status).trim().to_owned();
                // What is refused once is refused again.
                match answer.status {
                    401 | 403 => return Err(Failed::Broken(why)),
                    400 | 402 => return Err(Failed::Missing(why)),
                    _ if detail.contains("nothing to play") => return Err(Failed::Missing(why)),
                    // Of these only the moment is to blame, and not what there is.
                    408 | 421 | 425 | 429 | 500.. => Failed::Broken(why),
                    _ => Failed::Missing(why),
                }
            }
            Err(error) => Failed::Broken(error.to_string()),
        };
    }
    Err(failed)
}
