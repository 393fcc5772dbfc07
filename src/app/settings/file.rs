//! The settings file. The only module that knows TOML.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::places::{LineStarts, SettingPlaces};
use super::values::{
    ack, address, base_path, bucket, collector, delay, directory, durable, duration, engine, file_name, header, header_name,
    host_name, key_prefix, name, network, number, object_readers, origin, public_url, rate, size, size_or, viewer_mode,
    viewer_query, web_address,
};
use super::{AccessLogOutput, LogFormat, LogLevel, SettingFault, Settings};
use crate::model::id::Namespace;
use crate::origin::policy::{CorsOrigins, Deletes, Hold, NamespacePolicy, OnStale, PairPolicy};

/// Reads a file's text over the defaults, noting everything that is wrong with it. `file` is its name, for the faults.
/// Where each key stands is noted in `places`.
pub(super) fn read(text: &str, file: &str, places: &mut SettingPlaces, faults: &mut Vec<SettingFault>) -> Settings {
    let (table, errors) = DeTable::parse_recoverable(text);
    let lines = LineStarts::of(text, file);
    for error in errors {
        let at = error.span().map_or_else(|| file.to_owned(), |span| lines.place(span.start));
        faults.push(SettingFault::new(at, error.message()));
    }
    let mut settings = Settings::default();
    let mut top = Section { path: String::new(), table: table.get_ref(), known: Vec::new(), lines: &lines, places, faults };
    top.list("listen", address, &mut settings.listen);
    top.truth("reuse_port", |value| settings.reuse_port = value);
    top.text("admin_listen", |text| address(text).map(|value| settings.admin_listen = value));
    top.list("admin_hosts", host_name, &mut settings.admin_hosts);
    top.truth("metrics_open", |value| settings.metrics_open = value);
    top.text("data_dir", |text| directory(text).map(|value| settings.data_dir = value));
    top.text("object_readers", |text| object_readers(text).map(|value| settings.object_readers = value));
    top.text("log_format", |text| LogFormat::parse(text).map(|value| settings.log_format = value));
    top.text("log_level", |text| LogLevel::parse(text).map(|value| settings.log_level = value));
    top.text("otlp_endpoint", |text| collector(text).map(|value| settings.otlp_endpoint = value));
    top.text("drain_delay", |text| delay(text).map(|value| settings.drain_delay = value));
    top.text("drain_timeout", |text| duration(text).map(|value| settings.drain_timeout = value));
    top.text("max_in_flight", |text| {
        settings.auto.max_in_flight = text == "auto";
        settings.max_in_flight = size_or(text, settings.max_in_flight)?;
        Ok(())
    });
    if let Some(mut tls) = top.section("tls") {
        let place = &mut settings.tls;
        tls.list("listen", address, &mut place.listen);
        tls.text("certificate", |text| file_name(text).map(|value| place.certificate = value));
        tls.text("key", |text| file_name(text).map(|value| place.key = value));
        tls.text("client_ca", |text| file_name(text).map(|value| place.client_ca = value));
        tls.finish();
    }
    if let Some(mut tls) = top.section("admin_tls") {
        let place = &mut settings.admin_tls;
        tls.text("certificate", |text| file_name(text).map(|value| place.certificate = value));
        tls.text("key", |text| file_name(text).map(|value| place.key = value));
        tls.finish();
    }
    if let Some(mut timeouts) = top.section("timeouts") {
        let limits = &mut settings.timeouts;
        timeouts.text("request_head", |text| duration(text).map(|value| limits.request_head = value));
        timeouts.text("keep_alive", |text| duration(text).map(|value| limits.keep_alive = value));
        timeouts.text("upload_idle", |text| duration(text).map(|value| limits.upload_idle = value));
        timeouts.text("upload_total", |text| duration(text).map(|value| limits.upload_total = value));
        timeouts.text("download_idle", |text| duration(text).map(|value| limits.download_idle = value));
        timeouts.finish();
    }
    if let Some(mut connections) = top.section("connections") {
        connections.number("total", |value| settings.connections.total = usize::try_from(value).unwrap_or(usize::MAX));
        connections
            .number("per_address", |value| settings.connections.per_address = usize::try_from(value).unwrap_or(usize::MAX));
        connections.finish();
    }
    if let Some(mut section) = top.section("access_log") {
        let log = &mut settings.access_log;
        section.text("output", |text| AccessLogOutput::parse(text).map(|value| log.output = value));
        section.text("rotate_size", |text| size(text).map(|value| log.rotate_size = value));
        section.number("keep", |value| log.keep = value);
        section.finish();
    }
    if let Some(mut section) = top.section("webhooks") {
        section.list("urls", web_address, &mut settings.webhooks);
        section.finish();
    }
    if let Some(mut section) = top.section("harvest") {
        let harvest = &mut settings.harvest;
        section.text("folder", |text| file_name(text).map(|value| harvest.folder = value));
        section.list("buckets", bucket, &mut harvest.buckets);
        section.finish();
    }
    if let Some(mut section) = top.section("cluster") {
        let cluster = &mut settings.cluster;
        section.text("engine", |text| engine(text).map(|value| cluster.engine = value));
        section.text("user", |text| name(text).map(|value| cluster.user = value));
        section.text("password_file", |text| file_name(text).map(|value| cluster.password_file = value));
        section.text("ca", |text| file_name(text).map(|value| cluster.ca = value));
        section.text("node", |text| name(text).map(|value| cluster.node = value));
        section
            .text("leave_delay", |_| Err("is drain_delay now, at the top of the file, where it is for all servers".to_owned()));
        section.text("advertise", |text| {
            cluster.advertise = if text.is_empty() { None } else { Some(web_address(text)?) };
            Ok(())
        });
        section.number("copies", |value| cluster.copies = usize::try_from(value).unwrap_or(usize::MAX));
        section.finish();
    }
    if let Some(mut list) = top.section("namespaces") {
        settings.namespaces.clear();
        settings.auto.hot_capacity.clear();
        let names: Vec<_> = list.table.iter().map(|(name, _)| name.clone()).collect();
        for spanned in names {
            let name = spanned.get_ref().as_ref();
            match Namespace::parse(name) {
                Ok(namespace) => {
                    if let Some(section) = list.section(name) {
                        let (policy, is_auto) = policy(section);
                        if is_auto {
                            settings.auto.hot_capacity.insert(namespace.clone());
                        }
                        settings.namespaces.insert(namespace, policy);
                    }
                }
                Err(error) => {
                    list.known.push(name.to_owned());
                    list.fault(spanned.span().start, name, &error.to_string());
                }
            }
        }
    }
    top.finish();
    settings
}

/// The text of a file that holds the rules of one namespace: its settings, and whether its hot capacity is left to the machine.
pub(super) fn read_made(
    text: &str,
    name: &str,
    namespace: &Namespace,
    places: &mut SettingPlaces,
    faults: &mut Vec<SettingFault>,
) -> (NamespacePolicy, bool) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let lines = LineStarts::of(text, name);
    for error in errors {
        let at = error.span().map_or_else(|| name.to_owned(), |span| lines.place(span.start));
        faults.push(SettingFault::new(at, error.message()));
    }
    let path = format!("namespaces.{namespace}.");
    policy(Section { path, table: table.get_ref(), known: Vec::new(), lines: &lines, places, faults })
}

/// A namespace's settings, and whether its hot capacity is left to the machine.
fn policy(mut section: Section<'_, '_>) -> (NamespacePolicy, bool) {
    let mut policy = NamespacePolicy::default();
    let mut is_auto = true;
    section.text("hot_capacity", |text| {
        is_auto = text == "auto";
        policy.hot_capacity = size_or(text, policy.hot_capacity)?;
        Ok(())
    });
    section.text("shared_capacity", |text| rate(text, size).map(|value| policy.shared_capacity = value));
    section.text("default_ttl", |text| duration(text).map(|value| policy.default_ttl = value));
    section.text("max_ttl", |text| duration(text).map(|value| policy.max_ttl = value));
    section.text("max_object_size", |text| size(text).map(|value| policy.max_object_size = value));
    section.text("playlist_max_age", |text| {
        policy.playlist_max_age = if text == "auto" { None } else { Some(duration(text)?) };
        Ok(())
    });
    section.text("segment_max_age", |text| duration(text).map(|value| policy.segment_max_age = value));
    section.text("read_requests_per_second", |text| rate(text, number).map(|value| policy.read_requests_per_second = value));
    section.text("read_bytes_per_second", |text| rate(text, size).map(|value| policy.read_bytes_per_second = value));
    section.text("write_requests_per_second", |text| rate(text, number).map(|value| policy.write_requests_per_second = value));
    section.text("write_bytes_per_second", |text| rate(text, size).map(|value| policy.write_bytes_per_second = value));
    section.text("durable", |text| durable(text).map(|value| policy.durable = value));
    section.text("ack", |text| ack(text).map(|value| policy.ack = value));
    section.text("durable_capacity", |text| size(text).map(|value| policy.durable_capacity = value));
    section.text("hold", |text| {
        policy.hold = match text {
            "auto" => Hold::Auto,
            "off" => Hold::Off,
            text => Hold::For(duration(text)?),
        };
        Ok(())
    });
    section.number("max_held", |value| policy.max_held = value);
    section.text("gate", |text| {
        policy.gate = if text == "off" { None } else { Some(duration(text)?) };
        Ok(())
    });
    section.text("on_stale", |text| {
        policy.on_stale = match text {
            "serve" => OnStale::Serve,
            "404" => OnStale::NotFound,
            _ => return Err(format!("{text:?} is neither serve nor 404")),
        };
        Ok(())
    });
    section.number("stale_after", |value| policy.limits.stale_after = u32::try_from(value).unwrap_or(u32::MAX));
    section.text("gone_after", |text| duration(text).map(|span| policy.limits.gone_after = span));
    section.text("deletes", |text| {
        policy.deletes = match text {
            "obey" => Deletes::Obey,
            "playlists" => Deletes::Playlists,
            "ignore" => Deletes::Ignore,
            _ => return Err(format!("{text:?} is none of obey, playlists and ignore")),
        };
        Ok(())
    });
    section.list("normalise", key_prefix, &mut policy.normalise);
    section.each("pairs", |mut section| {
        let mut pair = PairPolicy::default();
        section.text("public", |text| key_prefix(text).map(|value| pair.public = value));
        section.list("sources", key_prefix, &mut pair.sources);
        section.text("grace", |text| {
            pair.grace = if text == "auto" { None } else { Some(duration(text)?) };
            Ok(())
        });
        section.text("end_hold", |text| {
            pair.end_hold = if text == "auto" { None } else { Some(duration(text)?) };
            Ok(())
        });
        section.text("prefer", |text| {
            pair.prefers_first = match text {
                "none" => false,
                "first" => true,
                _ => return Err(format!("{text:?} is neither none nor first")),
            };
            Ok(())
        });
        section.text("return_after", |text| duration(text).map(|span| pair.return_after = span));
        section.finish();
        policy.pairs.push(pair);
    });
    section.truth("strip_credentials", |value| policy.strip_credentials = value);
    section.truth("strip_parameters", |value| policy.strip_parameters = value);
    section.text("error_cache_control", |text| header(text).map(|value| policy.error_cache_control = value));
    let mut origins = Vec::new();
    // Beside everyone nobody else counts.
    let one = |text: &str, all: &[&str]| if all.contains(&"*") { Ok(None) } else { origin(text).map(Some) };
    if section.list_of("cors_origins", one, &mut origins) {
        policy.cors_origins = origins.into_iter().collect::<Option<_>>().map_or(CorsOrigins::Any, CorsOrigins::Only);
    }
    if let Some(mut section) = section.section("viewers") {
        let viewers = &mut policy.viewers;
        section.text("mode", |text| viewer_mode(text).map(|value| viewers.mode = value));
        section.text("base_path", |text| base_path(text).map(|value| viewers.base_path = value));
        section.text("public_url", |text| public_url(text).map(|value| viewers.public_url = value));
        section.text("max_ttl", |text| duration(text).map(|value| viewers.max_ttl = value));
        section.text("clock_skew", |text| duration(text).map(|value| viewers.clock_skew = value));
        section.text("grace", |text| duration(text).map(|value| viewers.grace = value));
        section.list("trusted_proxies", network, &mut viewers.trusted_proxies);
        section.text("client_address_header", |text| header_name(text).map(|value| viewers.client_address_header = value));
        section.text("country_header", |text| header_name(text).map(|value| viewers.country_header = value));
        section.text("query", |text| viewer_query(text).map(|value| viewers.keeps_query = value));
        section.text("requests_per_second", |text| rate(text, number).map(|value| viewers.limits.requests_per_second = value));
        section.text("bytes_per_second", |text| rate(text, size).map(|value| viewers.limits.bytes_per_second = value));
        section.text("sessions", |text| rate(text, number).map(|value| viewers.limits.sessions = value));
        section.finish();
    }
    section.finish();
    (policy, is_auto)
}

/// A table that is being read key by key, so that what is left over is known.
struct Section<'a, 'f> {
    path: String,
    table: &'a DeTable<'a>,
    known: Vec<String>,
    lines: &'f LineStarts,
    places: &'f mut SettingPlaces,
    faults: &'f mut Vec<SettingFault>,
}

impl<'a> Section<'a, '_> {
    fn take(&mut self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.known.push(key.to_owned());
        let value = self.table.get(key)?;
        self.places.note(format!("{}{key}", self.path), self.lines.place(value.span().start));
        Some(value)
    }

    fn fault(&mut self, offset: usize, key: &str, message: &str) {
        let place = self.lines.place(offset);
        self.faults.push(SettingFault::new(format!("{place}: {}{key}", self.path), message));
    }

    fn text(&mut self, key: &str, read: impl FnOnce(&str) -> Result<(), String>) {
        let Some(value) = self.take(key) else { return };
        let result = match value.get_ref().as_str() {
            Some(text) => read(text),
            None => Err("takes a string in quotes".to_owned()),
        };
        if let Err(message) = result {
            self.fault(value.span().start, key, &message);
        }
    }

    fn truth(&mut self, key: &str, read: impl FnOnce(bool)) {
        let Some(value) = self.take(key) else { return };
        match value.get_ref().as_bool() {
            Some(truth) => read(truth),
            None => self.fault(value.span().start, key, "takes true or false, without quotes"),
        }
    }

    fn number(&mut self, key: &str, read: impl FnOnce(u64)) {
        let Some(value) = self.take(key) else { return };
        match value.get_ref().as_integer().and_then(|number| number.as_str().parse().ok()) {
            Some(number) => read(number),
            None => self.fault(value.span().start, key, "takes a whole number, without quotes"),
        }
    }

    fn list<T>(&mut self, key: &str, read: impl Fn(&str) -> Result<T, String>, into: &mut Vec<T>) {
        self.list_of(key, |text, _| read(text), into);
    }

    /// The same by who sees all that are in the list, too: whether there is one, and it is good. What is wrong is told of each by itself.
    fn list_of<T>(&mut self, key: &str, read: impl Fn(&str, &[&str]) -> Result<T, String>, into: &mut Vec<T>) -> bool {
        let Some(value) = self.take(key) else { return false };
        let items = value.get_ref().as_array();
        let texts = items.and_then(|array| array.iter().map(|item| item.get_ref().as_str()).collect::<Option<Vec<_>>>());
        let (Some(items), Some(texts)) = (items, texts) else {
            self.fault(value.span().start, key, "takes a list of strings in quotes");
            return false;
        };
        let (mut list, before) = (Vec::new(), self.faults.len());
        for (item, text) in items.iter().zip(&texts) {
            match read(text, &texts) {
                Ok(value) => list.push(value),
                Err(message) => self.fault(item.span().start, key, &message),
            }
        }
        let is_good = self.faults.len() == before;
        if is_good {
            *into = list;
        }
        is_good
    }

    fn section(&mut self, key: &str) -> Option<Section<'a, '_>> {
        let value = self.take(key)?;
        let Some(table) = value.get_ref().as_table() else {
            self.fault(value.span().start, key, "takes a table");
            return None;
        };
        let path = format!("{}{key}.", self.path);
        Some(Section { path, table, known: Vec::new(), lines: self.lines, places: &mut *self.places, faults: &mut *self.faults })
    }

    /// The tables of an array, each under its number.
    fn each(&mut self, key: &str, mut read: impl FnMut(Section<'a, '_>)) {
        let Some(value) = self.take(key) else { return };
        let tables: Option<Vec<_>> =
            value.get_ref().as_array().and_then(|array| array.iter().map(|item| item.get_ref().as_table()).collect());
        let Some(tables) = tables else { return self.fault(value.span().start, key, "takes tables: [[…]]") };
        for (index, table) in tables.into_iter().enumerate() {
            let path = format!("{}{key}.{}.", self.path, index + 1);
            let (places, faults) = (&mut *self.places, &mut *self.faults);
            read(Section { path, table, known: Vec::new(), lines: self.lines, places, faults });
        }
    }

    /// Complains of what has not been taken.
    fn finish(mut self) {
        for (key, _) in self.table {
            let name = key.get_ref().as_ref();
            if self.known.iter().any(|known| known == name) {
                continue;
            }
            let nearest = self.known.iter().min_by_key(|known| strsim::levenshtein(name, known));
            let hint = match nearest.filter(|known| strsim::levenshtein(name, known) <= 3) {
                Some(known) => format!("did you mean {known}?"),
                None => format!("here it knows {}", self.known.join(", ")),
            };
            self.fault(key.span().start, name, &format!("is not a setting; {hint}"));
        }
    }
}
