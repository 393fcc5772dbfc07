//! What the command line and the environment say, laid over the file.

use std::collections::BTreeMap;

use super::auto::MAX_IN_FLIGHT;
use super::places::SettingPlaces;
use super::values::{address, collector, delay, directory, duration, file_name, size_or, truth};
use super::{AccessLogOutput, LogFormat, LogLevel, SettingChange, SettingFault, Settings, render};
use crate::model::id::Namespace;
use crate::origin::policy::NamespacePolicy;

/// A value from the command line or the environment, and the name it was given under.
#[derive(Clone, Debug)]
pub(in crate::app) struct Given {
    pub(in crate::app) name: String,
    pub(in crate::app) value: String,
}

/// What the command line and the environment say.
#[derive(Clone, Debug, Default)]
pub(in crate::app) struct Overrides {
    pub(in crate::app) listen: Vec<Given>,
    pub(in crate::app) reuse_port: Option<Given>,
    pub(in crate::app) tls_listen: Vec<Given>,
    pub(in crate::app) tls_certificate: Option<Given>,
    pub(in crate::app) tls_key: Option<Given>,
    pub(in crate::app) admin_listen: Option<Given>,
    pub(in crate::app) metrics_open: Option<Given>,
    pub(in crate::app) access_log: Option<Given>,
    pub(in crate::app) otlp_endpoint: Option<Given>,
    pub(in crate::app) data_dir: Option<Given>,
    pub(in crate::app) log_format: Option<Given>,
    pub(in crate::app) log_level: Option<Given>,
    pub(in crate::app) drain_delay: Option<Given>,
    pub(in crate::app) drain_timeout: Option<Given>,
    pub(in crate::app) max_in_flight: Option<Given>,
    pub(in crate::app) namespaces: Vec<Given>,
}

impl Settings {
    /// Where a variable says otherwise than the file: whoever wrote the file may not know of it, as where a service's unit sets one. A value
    /// that is the default may stand there because the file has every key.
    pub(super) fn contradicts(&self, of_file: &Self, places: &SettingPlaces) -> Vec<String> {
        let defaults = render::values(&Self::default());
        let contradicts = |SettingChange { key, from, to }: SettingChange| {
            let variable = places.get(&key.replace('"', "")).filter(|place| place.starts_with("SPRINGHEAD_"))?;
            let (said, holds) = (from.filter(|from| defaults.get(&key) != Some(from) && from != "\"auto\"")?, to?);
            Some(format!(
                "{key}: {said} in the settings file is not in force: the variable {variable} lies over it with {holds}; change it there, or take \
                 one of the two out"
            ))
        };
        self.changes_since(of_file).into_iter().filter_map(contradicts).collect()
    }

    /// Lays what the command line and the environment say over what the file says, if there is one.
    pub(super) fn lay_over(
        &mut self,
        overrides: &Overrides,
        from_file: bool,
        places: &mut SettingPlaces,
        faults: &mut Vec<SettingFault>,
    ) {
        let mut read = |key: &str, given: &Option<Given>, read: &mut dyn FnMut(&str) -> Result<(), String>| {
            let Some(given) = given else { return };
            places.note(key, &given.name);
            if let Err(message) = read(&given.value) {
                faults.push(SettingFault::new(&given.name, message));
            }
        };
        read("admin_listen", &overrides.admin_listen, &mut |text| address(text).map(|value| self.admin_listen = value));
        read("reuse_port", &overrides.reuse_port, &mut |text| truth(text).map(|value| self.reuse_port = value));
        read("metrics_open", &overrides.metrics_open, &mut |text| truth(text).map(|value| self.metrics_open = value));
        read("access_log.output", &overrides.access_log, &mut |text| {
            self.access_log.output = AccessLogOutput::parse(text)?;
            Ok(())
        });
        read("otlp_endpoint", &overrides.otlp_endpoint, &mut |text| collector(text).map(|value| self.otlp_endpoint = value));
        read("data_dir", &overrides.data_dir, &mut |text| directory(text).map(|value| self.data_dir = value));
        read("tls.certificate", &overrides.tls_certificate, &mut |text| {
            file_name(text).map(|value| self.tls.certificate = value)
        });
        read("tls.key", &overrides.tls_key, &mut |text| file_name(text).map(|value| self.tls.key = value));
        read("log_format", &overrides.log_format, &mut |text| LogFormat::parse(text).map(|value| self.log_format = value));
        read("log_level", &overrides.log_level, &mut |text| LogLevel::parse(text).map(|value| self.log_level = value));
        read("drain_delay", &overrides.drain_delay, &mut |text| delay(text).map(|value| self.drain_delay = value));
        read("drain_timeout", &overrides.drain_timeout, &mut |text| duration(text).map(|value| self.drain_timeout = value));
        read("max_in_flight", &overrides.max_in_flight, &mut |text| {
            self.auto.max_in_flight = text == "auto";
            self.max_in_flight = size_or(text, MAX_IN_FLIGHT)?;
            Ok(())
        });
        let listeners =
            [("listen", &overrides.listen, &mut self.listen), ("tls.listen", &overrides.tls_listen, &mut self.tls.listen)];
        for (key, given, addresses) in listeners {
            let mut listen = Vec::new();
            for given in given {
                places.note(key, &given.name);
                match address(&given.value) {
                    Ok(value) => listen.push(value),
                    Err(message) => faults.push(SettingFault::new(&given.name, message)),
                }
            }
            if !listen.is_empty() {
                *addresses = listen;
            }
        }
        // Namespaces named here are added to the file's; the built-in one stands only while nobody names any.
        let mut namespaces = if from_file { self.namespaces.clone() } else { BTreeMap::new() };
        for given in &overrides.namespaces {
            let (name, capacity) = given.value.split_once('=').map_or((&*given.value, None), |(name, size)| (name, Some(size)));
            let most = NamespacePolicy::default().hot_capacity;
            match (Namespace::parse(name), capacity.map(|capacity| size_or(capacity, most)).transpose()) {
                (Ok(name), Ok(bytes)) => {
                    places.note(format!("namespaces.{name}"), &given.name);
                    if capacity.is_some() {
                        places.note(format!("namespaces.{name}.hot_capacity"), &given.name);
                    }
                    if capacity.map_or(!namespaces.contains_key(&name), |capacity| capacity == "auto") {
                        self.auto.hot_capacity.insert(name.clone());
                    } else if capacity.is_some() {
                        self.auto.hot_capacity.remove(&name);
                    }
                    let policy = namespaces.entry(name).or_default();
                    policy.hot_capacity = bytes.unwrap_or(policy.hot_capacity);
                }
                (Err(error), _) => faults.push(SettingFault::new(&given.name, format!("{name:?}: {error}"))),
                (_, Err(message)) => faults.push(SettingFault::new(&given.name, message)),
            }
        }
        if !namespaces.is_empty() {
            self.namespaces = namespaces;
            self.auto.hot_capacity.retain(|name| self.namespaces.contains_key(name));
        }
    }
}
