//! Settings -> a settings file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::{AccessLogOutput, LogFormat, LogLevel, Settings};
use crate::model::units::{Size, Span};
use crate::origin::policy::{CorsOrigins, Deletes, Hold, OnStale, ViewerMode};
use crate::store::{Ack, Durable, Readers};

pub(super) fn render(settings: &Settings) -> String {
    let mut text = String::new();
    // Writing to a String can't fail.
    let _ = write(settings, &mut text);
    text
}

/// Each key, with the sections it is in before it, and its value as rendered.
pub(super) fn values(settings: &Settings) -> BTreeMap<String, String> {
    let text = render(settings);
    let (mut section, mut tables) = (String::new(), BTreeMap::new());
    let mut values = BTreeMap::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("[[").and_then(|line| line.strip_suffix("]]")) {
            let number = tables.entry(name).and_modify(|number| *number += 1).or_insert(1);
            section = format!("{name}.{number}.");
        } else if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = format!("{name}.");
        } else if let Some((key, value)) = line.split_once(" = ") {
            values.insert(format!("{section}{key}"), value.to_owned());
        }
    }
    values
}

fn write(settings: &Settings, text: &mut String) -> std::fmt::Result {
    let Settings {
        listen,
        reuse_port,
        tls,
        admin_listen,
        admin_tls,
        admin_hosts,
        metrics_open,
        access_log,
        data_dir,
        object_readers,
        log_format,
        log_level,
        otlp_endpoint,
        drain_delay,
        drain_timeout,
        max_in_flight,
        timeouts,
        connections,
        webhooks,
        harvest,
        cluster,
        namespaces,
        auto,
    } = settings;
    let sized = |is_auto: bool, bytes: u64| if is_auto { "auto".to_owned() } else { Size(bytes).to_string() };
    let format = match log_format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    };
    let level = LogLevel::ALL.iter().find(|(level, _)| level == log_level).map_or("info", |(_, name)| name);
    writeln!(text, "listen = {}", list(listen.iter().map(ToString::to_string)))?;
    writeln!(text, "reuse_port = {reuse_port}")?;
    writeln!(text, "admin_listen = {}", quote(&admin_listen.to_string()))?;
    writeln!(text, "admin_hosts = {}", list(admin_hosts.iter().cloned()))?;
    writeln!(text, "metrics_open = {metrics_open}")?;
    writeln!(text, "data_dir = {}", quote(&data_dir.display().to_string()))?;
    let readers = Readers::ALL.iter().find(|(readers, _)| readers == object_readers).map_or("owner", |(_, name)| name);
    writeln!(text, "object_readers = {}", quote(readers))?;
    writeln!(text, "log_format = {}", quote(format))?;
    writeln!(text, "log_level = {}", quote(level))?;
    writeln!(text, "otlp_endpoint = {}", quote(otlp_endpoint.as_deref().unwrap_or_default()))?;
    let delay = drain_delay.map_or_else(|| "auto".to_owned(), |delay| Span(delay).to_string());
    writeln!(text, "drain_delay = \"{delay}\"")?;
    writeln!(text, "drain_timeout = \"{}\"", Span(*drain_timeout))?;
    writeln!(text, "max_in_flight = \"{}\"", sized(auto.max_in_flight, *max_in_flight))?;
    let file = |path: &Option<PathBuf>| quote(&path.as_ref().map_or_else(String::new, |path| path.display().to_string()));
    writeln!(text, "\n[tls]")?;
    writeln!(text, "listen = {}", list(tls.listen.iter().map(ToString::to_string)))?;
    writeln!(text, "certificate = {}", file(&tls.certificate))?;
    writeln!(text, "key = {}", file(&tls.key))?;
    writeln!(text, "client_ca = {}", file(&tls.client_ca))?;
    writeln!(text, "\n[admin_tls]")?;
    writeln!(text, "certificate = {}", file(&admin_tls.certificate))?;
    writeln!(text, "key = {}", file(&admin_tls.key))?;
    writeln!(text, "\n[timeouts]")?;
    writeln!(text, "request_head = \"{}\"", Span(timeouts.request_head))?;
    writeln!(text, "keep_alive = \"{}\"", Span(timeouts.keep_alive))?;
    writeln!(text, "upload_idle = \"{}\"", Span(timeouts.upload_idle))?;
    writeln!(text, "upload_total = \"{}\"", Span(timeouts.upload_total))?;
    writeln!(text, "download_idle = \"{}\"", Span(timeouts.download_idle))?;
    writeln!(text, "\n[connections]")?;
    writeln!(text, "total = {}", connections.total)?;
    writeln!(text, "per_address = {}", connections.per_address)?;
    let output = match &access_log.output {
        AccessLogOutput::Off => "off".to_owned(),
        AccessLogOutput::Stderr => "stderr".to_owned(),
        AccessLogOutput::File(path) => path.display().to_string(),
    };
    writeln!(text, "\n[access_log]")?;
    writeln!(text, "output = {}", quote(&output))?;
    writeln!(text, "rotate_size = \"{}\"", Size(access_log.rotate_size))?;
    writeln!(text, "keep = {}", access_log.keep)?;
    writeln!(text, "\n[webhooks]")?;
    writeln!(text, "urls = {}", list(webhooks.iter().map(ToString::to_string)))?;
    writeln!(text, "\n[harvest]")?;
    writeln!(text, "folder = {}", file(&harvest.folder))?;
    writeln!(text, "buckets = {}", list(harvest.buckets.iter().cloned()))?;
    let engine = cluster.engine.as_ref().map(ToString::to_string);
    writeln!(text, "\n[cluster]")?;
    writeln!(text, "engine = {}", quote(engine.as_deref().unwrap_or_default()))?;
    writeln!(text, "user = {}", quote(cluster.user.as_deref().unwrap_or_default()))?;
    writeln!(text, "password_file = {}", file(&cluster.password_file))?;
    writeln!(text, "ca = {}", file(&cluster.ca))?;
    writeln!(text, "node = {}", quote(cluster.node.as_deref().unwrap_or_default()))?;
    writeln!(text, "advertise = {}", quote(cluster.advertise.as_ref().map_or("", |url| url.as_str())))?;
    writeln!(text, "copies = {}", cluster.copies)?;
    for (name, policy) in namespaces {
        let hot_capacity = sized(auto.hot_capacity.contains(name), policy.hot_capacity);
        let bare = !name.as_str().contains('.');
        let name = if bare { name.to_string() } else { quote(name.as_str()) };
        writeln!(text, "\n[namespaces.{name}]")?;
        writeln!(text, "hot_capacity = \"{hot_capacity}\"")?;
        let bytes = |rate: Option<u64>| rate.map_or_else(|| "unlimited".to_owned(), |rate| Size(rate).to_string());
        writeln!(text, "shared_capacity = \"{}\"", bytes(policy.shared_capacity))?;
        writeln!(text, "default_ttl = \"{}\"", Span(policy.default_ttl))?;
        writeln!(text, "max_ttl = \"{}\"", Span(policy.max_ttl))?;
        writeln!(text, "max_object_size = \"{}\"", Size(policy.max_object_size))?;
        let playlist = policy.playlist_max_age.map_or_else(|| "auto".to_owned(), |age| Span(age).to_string());
        writeln!(text, "playlist_max_age = \"{playlist}\"")?;
        writeln!(text, "segment_max_age = \"{}\"", Span(policy.segment_max_age))?;
        let number = |rate: Option<u64>| rate.map_or_else(|| "unlimited".to_owned(), |rate| rate.to_string());
        writeln!(text, "read_requests_per_second = \"{}\"", number(policy.read_requests_per_second))?;
        writeln!(text, "read_bytes_per_second = \"{}\"", bytes(policy.read_bytes_per_second))?;
        writeln!(text, "write_requests_per_second = \"{}\"", number(policy.write_requests_per_second))?;
        writeln!(text, "write_bytes_per_second = \"{}\"", bytes(policy.write_bytes_per_second))?;
        let durable = match &policy.durable {
            Durable::Off => "off",
            Durable::Disk => "disk",
            Durable::Bucket(url) => url,
        };
        writeln!(text, "durable = {}", quote(durable))?;
        writeln!(text, "ack = \"{}\"", if policy.ack == Ack::Hot { "hot" } else { "durable" })?;
        writeln!(text, "durable_capacity = \"{}\"", Size(policy.durable_capacity))?;
        let hold = match policy.hold {
            Hold::Auto => "auto".to_owned(),
            Hold::Off => "off".to_owned(),
            Hold::For(span) => Span(span).to_string(),
        };
        writeln!(text, "hold = \"{hold}\"")?;
        writeln!(text, "max_held = {}", policy.max_held)?;
        writeln!(text, "gate = \"{}\"", policy.gate.map_or_else(|| "off".to_owned(), |gate| Span(gate).to_string()))?;
        let on_stale = match policy.on_stale {
            OnStale::Serve => "serve",
            OnStale::NotFound => "404",
        };
        writeln!(text, "on_stale = \"{on_stale}\"")?;
        writeln!(text, "stale_after = {}", policy.limits.stale_after)?;
        writeln!(text, "gone_after = \"{}\"", Span(policy.limits.gone_after))?;
        let deletes = match policy.deletes {
            Deletes::Obey => "obey",
            Deletes::Playlists => "playlists",
            Deletes::Ignore => "ignore",
        };
        writeln!(text, "deletes = \"{deletes}\"")?;
        writeln!(text, "normalise = {}", list(policy.normalise.iter().cloned()))?;
        writeln!(text, "strip_credentials = {}", policy.strip_credentials)?;
        writeln!(text, "strip_parameters = {}", policy.strip_parameters)?;
        writeln!(text, "error_cache_control = {}", quote(&show(&policy.error_cache_control)))?;
        let origins = match &policy.cors_origins {
            CorsOrigins::Any => list(["*".to_owned()]),
            CorsOrigins::Only(origins) => list(origins.iter().map(show)),
        };
        writeln!(text, "cors_origins = {origins}")?;
        let viewers = &policy.viewers;
        let mode = match viewers.mode {
            ViewerMode::Off => "off",
            ViewerMode::Edge => "edge",
            ViewerMode::Required => "required",
        };
        writeln!(text, "\n[namespaces.{name}.viewers]")?;
        writeln!(text, "mode = \"{mode}\"")?;
        writeln!(text, "base_path = {}", quote(&viewers.base_path))?;
        writeln!(text, "public_url = {}", quote(&viewers.public_url))?;
        writeln!(text, "max_ttl = \"{}\"", Span(viewers.max_ttl))?;
        writeln!(text, "clock_skew = \"{}\"", Span(viewers.clock_skew))?;
        writeln!(text, "grace = \"{}\"", Span(viewers.grace))?;
        writeln!(text, "trusted_proxies = {}", list(viewers.trusted_proxies.iter().map(ToString::to_string)))?;
        let header = |name: &Option<HeaderName>| quote(name.as_ref().map_or("", HeaderName::as_str));
        writeln!(text, "client_address_header = {}", header(&viewers.client_address_header))?;
        writeln!(text, "country_header = {}", header(&viewers.country_header))?;
        writeln!(text, "query = \"{}\"", if viewers.keeps_query { "answer" } else { "redirect" })?;
        writeln!(text, "requests_per_second = \"{}\"", number(viewers.limits.requests_per_second))?;
        writeln!(text, "bytes_per_second = \"{}\"", bytes(viewers.limits.bytes_per_second))?;
        writeln!(text, "sessions = \"{}\"", number(viewers.limits.sessions))?;
        for pair in &policy.pairs {
            writeln!(text, "\n[[namespaces.{name}.pairs]]")?;
            writeln!(text, "public = {}", quote(&pair.public))?;
            writeln!(text, "sources = {}", list(pair.sources.iter().cloned()))?;
            let auto = |span: Option<Duration>| span.map_or_else(|| "auto".to_owned(), |span| Span(span).to_string());
            writeln!(text, "grace = \"{}\"", auto(pair.grace))?;
            writeln!(text, "end_hold = \"{}\"", auto(pair.end_hold))?;
            writeln!(text, "prefer = \"{}\"", if pair.prefers_first { "first" } else { "none" })?;
            writeln!(text, "return_after = \"{}\"", Span(pair.return_after))?;
        }
    }
    Ok(())
}

fn show(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

fn list(items: impl IntoIterator<Item = String>) -> String {
    let items: Vec<_> = items.into_iter().map(|item| quote(&item)).collect();
    format!("[{}]", items.join(", "))
}

/// A TOML basic string: JSON's escapes are a part of TOML's, which wants one of DEL as well.
fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007F")
}
