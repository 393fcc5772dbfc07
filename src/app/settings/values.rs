//! A setting's text -> its value, or what is wrong with it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::origin::policy::ViewerMode;
use crate::store::{Ack, Durable, Location, Readers};
use http::{HeaderName, HeaderValue};

use super::{EngineAddress, LogFormat, LogLevel};
use crate::app::client::Url;
use crate::auth::viewer::{Network, SpecError, opens_something};
use crate::model::id::Key;
use crate::model::units::{parse_duration, parse_size};
use crate::store::shared::ServerAddress;

/// Where access log lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLogOutput {
    /// Nowhere.
    Off,
    /// To stderr, beside the log.
    Stderr,
    /// To a file.
    File(PathBuf),
}

impl AccessLogOutput {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            "stderr" => Ok(Self::Stderr),
            "" => Err("is empty; it is off, stderr or the name of a file".to_owned()),
            path => Ok(Self::File(PathBuf::from(path))),
        }
    }
}

impl LogFormat {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("{text:?} is no log format; it is text or json")),
        }
    }
}

impl LogLevel {
    pub(super) const ALL: [(Self, &'static str); 4] =
        [(Self::Error, "error"), (Self::Warn, "warn"), (Self::Info, "info"), (Self::Debug, "debug")];

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(_, name)| *name == text).map(|(level, _)| *level);
        found.ok_or_else(|| format!("{text:?} is no log level; it is error, warn, info or debug"))
    }
}

/// What keys begin with: empty, or the beginning of a key.
pub(super) fn key_prefix(text: &str) -> Result<String, String> {
    // It is not repeated: there may be a good one in it.
    if matches!(opens_something(text), Err(SpecError::Token)) {
        return Err("begins with what is read as a viewer's token in a path (\"~\" and 40 letters or more), so no object can be written or read there: take \
                    another name"
            .to_owned());
    }
    let is_one = text.is_empty() || Key::parse(text.strip_suffix('/').unwrap_or(text)).is_ok();
    is_one.then(|| text.to_owned()).ok_or_else(|| format!("{text:?} is no beginning of an object's key, like \"live/\""))
}

/// Where objects are kept beside memory.
pub(super) fn object_readers(text: &str) -> Result<Readers, String> {
    let known = Readers::ALL.iter().find(|(_, name)| *name == text);
    known.map(|(readers, _)| *readers).ok_or_else(|| format!("{text:?} is nobody; it is owner, group or everyone"))
}

pub(super) fn durable(text: &str) -> Result<Durable, String> {
    match text {
        "off" => Ok(Durable::Off),
        "disk" => Ok(Durable::Disk),
        _ => match Location::parse(text) {
            Ok(_) => Ok(Durable::Bucket(text.to_owned())),
            // What is no URL at all holds no secret; another may.
            Err(_) if !text.contains(':') => Err(format!("{text:?} is no durable tier; it is off, disk, or s3://BUCKET/PREFIX")),
            Err(error) => Err(format!("is no durable tier: a bucket's URL {error}")),
        },
    }
}

/// A place in a bucket. It is not repeated: there may be a credential in it that does not belong there.
pub(super) fn bucket(text: &str) -> Result<String, String> {
    let location = Location::parse(text).map_err(|error| format!("takes URLs of buckets: one {error}"))?;
    Ok(location.to_string())
}

/// The name of a host, without scheme or port.
pub(super) fn host_name(text: &str) -> Result<String, String> {
    let is_name = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    if is_name {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is no host name: it takes names like origin.example, without a port"))
    }
}

pub(super) fn ack(text: &str) -> Result<Ack, String> {
    match text {
        "hot" => Ok(Ack::Hot),
        "durable" => Ok(Ack::Durable),
        _ => Err(format!("{text:?} is no way to acknowledge; it is hot or durable")),
    }
}

pub(super) fn truth(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| format!("{text:?} is neither true nor false"))
}

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("{text:?} is no address; write it like 0.0.0.0:8080 or [::]:8080"))
}

/// An address of somebody else's, over HTTP. It is not repeated: there may be a secret in it.
pub(super) fn web_address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("is no address ({error}); write it like https://example.com/path"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err("is not an http:// or https:// address".to_owned());
    }
    Ok(url)
}

pub(super) fn directory(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("is empty; name a directory".to_owned()) } else { Ok(PathBuf::from(text)) }
}

/// A file; an empty name is none.
#[expect(clippy::unnecessary_wraps, reason = "it is read like every other value")]
pub(super) fn file_name(text: &str) -> Result<Option<PathBuf>, String> {
    Ok((!text.is_empty()).then(|| PathBuf::from(text)))
}

/// A collector's URL; an empty one is none.
pub(super) fn collector(text: &str) -> Result<Option<String>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let url = text.parse::<http::Uri>().ok();
    if !url
        .is_some_and(|url| matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some_and(|host| !host.is_empty()))
    {
        return Err("is no URL of a collector; write it like http://127.0.0.1:4318".to_owned());
    }
    if text.contains(['@', '?', '#']) {
        return Err(
            "may hold neither a password nor a query: give OTEL_EXPORTER_OTLP_HEADERS in the environment instead".to_owned()
        );
    }
    Ok(Some(text.to_owned()))
}

pub(super) fn viewer_mode(text: &str) -> Result<ViewerMode, String> {
    match text {
        "off" => Ok(ViewerMode::Off),
        "edge" => Ok(ViewerMode::Edge),
        "required" => Ok(ViewerMode::Required),
        _ => Err(format!("{text:?} is no mode; it is off, edge or required")),
    }
}

/// What becomes of a token in the query: whether it stays there.
pub(super) fn viewer_query(text: &str) -> Result<bool, String> {
    match text {
        "redirect" => Ok(false),
        "answer" => Ok(true),
        _ => Err(format!("{text:?} is neither redirect nor answer")),
    }
}

/// The path by which viewers ask for a namespace.
pub(super) fn base_path(text: &str) -> Result<String, String> {
    let segments = || text.split('/').skip(1);
    let is_plain = |segment: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        !matches!(segment, "." | "..") && segment.replace("{namespace}", "n").bytes().all(allowed)
    };
    let inner = segments().count().saturating_sub(1);
    let is_path = text.starts_with('/') && segments().all(is_plain) && !segments().take(inner).any(str::is_empty);
    is_path.then(|| text.to_owned()).ok_or_else(|| {
        format!(
            "{text:?} is no path; it is like \"/cache/{{namespace}}\", or \"/\" where viewers' URLs do not name the namespace"
        )
    })
}

/// Where viewers ask: a scheme and a host. Empty: that is not said.
pub(super) fn public_url(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let url = web_address(text)?;
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        return Err(
            "is more than a scheme and a host: write it like https://cdn.example.com, and the rest as base_path".to_owned()
        );
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// Addresses, as `192.0.2.0/24`.
pub(super) fn network(text: &str) -> Result<Network, String> {
    Network::parse(text).ok_or_else(|| format!("{text:?} is no network: write it like 192.0.2.0/24, 2001:db8::/32 or 127.0.0.1"))
}

/// What a header says.
pub(super) fn header(text: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(text).map_err(|_| format!("{text:?} can't stand in a header"))
}

/// An origin as browsers send it (RFC 6454 6.2): anything else is never asked for.
pub(super) fn origin(text: &str) -> Result<HeaderValue, String> {
    let host = text.split_once("://").map(|(_, host)| host);
    let is_one = |host: &str| !host.is_empty() && !host.contains(['/', '?', '#', '@', '*', ' ']);
    if text != "null" && !host.is_some_and(is_one) {
        return Err(format!("{text:?} is no origin, as https://player.example is, without a path; \"*\" alone is all of them"));
    }
    header(text)
}

/// The name of a header; empty: none.
pub(super) fn header_name(text: &str) -> Result<Option<HeaderName>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| format!("{text:?} is no header's name"))
}

/// Where an engine is; an empty text: nowhere. It is not repeated: there may be a password in it that does not belong there.
pub(super) fn engine(text: &str) -> Result<Option<EngineAddress>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = "is no address of an engine; write it like valkey://10.0.0.5:6379, or valkey+cluster://10.0.0.5:6379,10.0.0.6:6379; over TLS valkeys";
    let (scheme, rest) = text.split_once("://").ok_or(wrong)?;
    if rest.contains('@') {
        return Err("may hold neither user nor password: write [cluster] user, and password_file".to_owned());
    }
    let (is_tls, is_cluster) = match scheme {
        "valkey" => (false, false),
        "valkey+cluster" => (false, true),
        "valkeys" => (true, false),
        "valkeys+cluster" => (true, true),
        _ => return Err(wrong.to_owned()),
    };
    let server = |text: &str| {
        let url = Url::parse(&format!("{scheme}://{text}")).ok()?;
        let is_whole = url.path().is_empty() && url.query().is_none() && url.fragment().is_none();
        let host = url.host_str().filter(|host| is_whole && !host.is_empty())?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Some(ServerAddress { host, port: url.port().unwrap_or(6379) })
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let servers: Vec<_> = rest.split(',').map(server).collect::<Option<_>>().ok_or(wrong)?;
    if servers.len() > 1 && !is_cluster {
        return Err("names several servers, which only a cluster has: valkey+cluster://...".to_owned());
    }
    Ok(Some(EngineAddress { servers, is_cluster, is_tls }))
}

/// What somebody or something is called; empty: nothing.
pub(super) fn name(text: &str) -> Result<Option<String>, String> {
    if text.len() > 64 || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("takes up to 64 letters, digits and signs, without spaces".to_owned());
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

pub(super) fn size(text: &str) -> Result<u64, String> {
    parse_size(text).map_err(|error| error.to_string())
}

/// A duration, or `auto`: then none is said.
pub(super) fn delay(text: &str) -> Result<Option<Duration>, String> {
    if text == "auto" { Ok(None) } else { duration(text).map(Some) }
}

/// A size, or `auto`: then the most that it may become.
pub(super) fn size_or(text: &str, most: u64) -> Result<u64, String> {
    if text == "auto" { Ok(most) } else { size(text) }
}

/// A number, or without limit.
pub(super) fn rate(text: &str, read: impl FnOnce(&str) -> Result<u64, String>) -> Result<Option<u64>, String> {
    match text {
        "unlimited" => Ok(None),
        text => match read(text)? {
            0 => Err("is 0: nothing would pass; write unlimited for no limit".to_owned()),
            rate => Ok(Some(rate)),
        },
    }
}

pub(super) fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text:?} is neither a number nor unlimited"))
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}
