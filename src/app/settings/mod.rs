//! Settings: flag > environment > file > default, checked as one.
//!
//! A value is read into what it means, or becomes a [`SettingFault`]; all faults are reported in one run, each with its place.

mod auto;
mod fault;
mod file;
mod made;
mod overrides;
mod places;
mod render;
mod values;
mod whole;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use self::auto::Auto;
use self::auto::MAX_IN_FLIGHT;
pub(super) use self::fault::{SettingChange, SettingFault, SettingFaults};
pub(super) use self::made::{FOLDER as MADE_FOLDER, MadeNamespaces};
pub(super) use self::overrides::{Given, Overrides};
pub(super) use self::places::SettingPlaces;
pub(super) use self::values::AccessLogOutput;
use crate::app::client::Url;
use crate::model::id::Namespace;
use crate::origin::policy::NamespacePolicy;
use crate::store::shared::ServerAddress;
use crate::store::{Durable, Readers};
use crate::web::admin::controls::SettingReport;
use crate::web::{ConnectionLimits, Timeouts};

/// The settings file as shipped: every key with its default.
pub(super) const SHIPPED: &str = include_str!("../../../config/springhead.toml");

/// What is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where objects are served.
    pub listen: Vec<SocketAddr>,
    /// Whether another process may listen on the same ports, to take over.
    pub reuse_port: bool,
    /// TLS listeners and what they present.
    pub tls: TlsSettings,
    /// Where probes and metrics are served.
    pub admin_listen: SocketAddr,
    /// What the admin listener presents, where it is reached over TLS.
    pub admin_tls: AdminTlsSettings,
    /// By which names who has no key may call the admin listener, beside addresses and names without a dot.
    pub admin_hosts: Vec<String>,
    /// Whether `/metrics` asks nobody for a key, wherever it listens.
    pub metrics_open: bool,
    /// Where signing keys and key records are kept.
    pub data_dir: PathBuf,
    /// Who may read the files of objects in it.
    pub object_readers: Readers,
    /// What a log line looks like.
    pub log_format: LogFormat,
    /// Which log lines there are.
    pub log_level: LogLevel,
    /// One line for each request.
    pub access_log: AccessLogSettings,
    /// The collector that spans are sent to.
    pub otlp_endpoint: Option<String>,
    /// How long connections are still taken after SIGTERM, while `/readyz` says that the server ends. `None`: for as long as there are others that
    /// load balancers can go to, and need to notice it.
    pub drain_delay: Option<Duration>,
    /// How long requests in flight may go on after that.
    pub drain_timeout: Duration,
    /// Bytes of all uploads in flight together.
    pub max_in_flight: u64,
    /// The time limits of connections.
    pub timeouts: Timeouts,
    /// How many connections there may be.
    pub connections: ConnectionLimits,
    /// Where events of streams are sent by POST.
    pub webhooks: Vec<Url>,
    /// Where recordings that are ordered from the server may go.
    pub harvest: HarvestSettings,
    /// What this server shares with others.
    pub cluster: ClusterSettings,
    /// The namespaces.
    pub namespaces: BTreeMap<Namespace, NamespacePolicy>,
    /// What is left to the machine: the values are the most it gets.
    pub auto: Auto,
}

/// Settings, and where they are from.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) settings: Settings,
    pub(super) places: SettingPlaces,
    pub(super) made: MadeNamespaces,
    /// A settings file, a flag or a variable names namespaces.
    pub(super) declares: bool,
    /// The settings file, where there is no setting in it.
    pub(super) empty_file: Option<PathBuf>,
    /// What the settings file says and a variable says otherwise, a sentence each.
    pub(super) contradicted: Vec<String>,
}

/// TLS listeners and what they present. Without a listener there is no TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// Where objects are served over TLS.
    pub listen: Vec<SocketAddr>,
    /// The certificate and its chain, a PEM file.
    pub certificate: Option<PathBuf>,
    /// The certificate's key, a PEM file.
    pub key: Option<PathBuf>,
    /// If set, a PEM file: clients have to present a certificate that one of these has signed.
    pub client_ca: Option<PathBuf>,
}

/// What the admin listener presents. With neither it speaks in clear.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdminTlsSettings {
    /// The certificate and its chain, a PEM file.
    pub certificate: Option<PathBuf>,
    /// The certificate's key, a PEM file.
    pub key: Option<PathBuf>,
}

/// One line for each request: where they go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLogSettings {
    /// Where to.
    pub output: AccessLogOutput,
    /// A file that would be larger is changed for a new one.
    pub rotate_size: u64,
    /// How many older files are kept.
    pub keep: u64,
}

/// Where recordings that are ordered from the server may go. With neither, none are taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HarvestSettings {
    /// Below this folder.
    pub folder: Option<PathBuf>,
    /// Below these places in buckets, as URLs.
    pub buckets: Vec<String>,
}

/// What several servers, nodes, share. Without an engine nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterSettings {
    /// Where the engine is.
    pub engine: Option<EngineAddress>,
    /// As whom to speak to it.
    pub user: Option<String>,
    /// A file that holds the password.
    pub password_file: Option<PathBuf>,
    /// The authorities that are believed of it, a PEM file; else the system's.
    pub ca: Option<PathBuf>,
    /// What this node is called; else its host's name and its port.
    pub node: Option<String>,
    /// Where other nodes reach this one; else where it listens in clear.
    pub advertise: Option<Url>,
    /// Of an engine that is a cluster: how many copies of everything it keeps, the primary's among them.
    pub copies: usize,
}

/// By then load balancers have noticed that a node is about to end.
const LEAVES_AFTER: Duration = Duration::from_secs(5);

impl Default for ClusterSettings {
    fn default() -> Self {
        Self { engine: None, user: None, password_file: None, ca: None, node: None, advertise: None, copies: 3 }
    }
}

/// Where an engine is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineAddress {
    /// Its server; of a cluster those that are asked first.
    pub servers: Vec<ServerAddress>,
    /// Whether they are a cluster.
    pub is_cluster: bool,
    /// Whether they are spoken to over TLS.
    pub is_tls: bool,
}

impl fmt::Display for EngineAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers: Vec<_> = self.servers.iter().map(ToString::to_string).collect();
        let (tls, cluster) = (if self.is_tls { "s" } else { "" }, if self.is_cluster { "+cluster" } else { "" });
        write!(f, "valkey{tls}{cluster}://{}", servers.join(","))
    }
}

/// What a log line looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// Which log lines there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// What an operator has to act on.
    Error,
    /// And what went wrong for a client.
    Warn,
    /// And what the server does.
    Info,
    /// And each upload and connection.
    Debug,
}

impl Default for Settings {
    fn default() -> Self {
        let mut namespaces = BTreeMap::new();
        let mut auto = Auto { max_in_flight: true, ..Auto::default() };
        if let Ok(name) = Namespace::parse("live-origin") {
            auto.hot_capacity.insert(name.clone());
            namespaces.insert(name, NamespacePolicy::default());
        }
        Self {
            listen: vec![SocketAddr::from(([0, 0, 0, 0], 8080))],
            reuse_port: false,
            tls: TlsSettings::default(),
            admin_listen: SocketAddr::from(([127, 0, 0, 1], 8081)),
            admin_tls: AdminTlsSettings::default(),
            admin_hosts: Vec::new(),
            metrics_open: false,
            access_log: AccessLogSettings { output: AccessLogOutput::Off, rotate_size: 100 << 20, keep: 5 },
            otlp_endpoint: None,
            data_dir: PathBuf::from("./springhead-data"),
            object_readers: Readers::Owner,
            log_format: LogFormat::Text,
            log_level: LogLevel::Info,
            drain_delay: None,
            drain_timeout: Duration::from_secs(30),
            max_in_flight: MAX_IN_FLIGHT,
            timeouts: Timeouts::default(),
            connections: ConnectionLimits::default(),
            webhooks: Vec::new(),
            harvest: HarvestSettings::default(),
            cluster: ClusterSettings::default(),
            namespaces,
            auto,
        }
    }
}

impl Settings {
    #[cfg(test)]
    pub(super) fn load(path: Option<&Path>, overrides: &Overrides) -> Result<Self, SettingFaults> {
        Self::load_all(path, overrides, None).map(|loaded| loaded.settings)
    }

    /// Reads the file, if one is named, and lays the overrides over it; then come the namespaces that were made: in the data directory that they
    /// name, or for a server that runs in `made_in`, its own, for it takes no other one up.
    pub(super) fn load_all(path: Option<&Path>, overrides: &Overrides, made_in: Option<&Path>) -> Result<Loaded, SettingFaults> {
        let (mut faults, mut places) = (Vec::new(), SettingPlaces::default());
        let of_file = path.map(|path| Self::of_file(path, &mut places, &mut faults));
        let empty_file = path.filter(|_| places.is_empty()).map(Path::to_owned);
        let mut settings = of_file.clone().unwrap_or_default();
        settings.lay_over(overrides, of_file.is_some(), &mut places, &mut faults);
        let contradicted = of_file.map(|of_file| settings.contradicts(&of_file, &places)).unwrap_or_default();
        let declares = places.get("namespaces").is_some() || !overrides.namespaces.is_empty();
        let made = settings.take_made(made_in, declares, &mut places, &mut faults);
        settings.check_whole(&places, &mut faults);
        let loaded = Loaded { settings, places, made, declares, empty_file, contradicted };
        if faults.is_empty() { Ok(loaded) } else { Err(SettingFaults(faults)) }
    }

    /// Reads a file by itself: nothing lies over it, and no namespaces were made.
    pub(super) fn load_alone(path: &Path) -> Result<Self, SettingFaults> {
        let (mut faults, mut places) = (Vec::new(), SettingPlaces::default());
        let settings = Self::of_file(path, &mut places, &mut faults);
        settings.check_whole(&places, &mut faults);
        if faults.is_empty() { Ok(settings) } else { Err(SettingFaults(faults)) }
    }

    /// What a file says; where it can't be read, the defaults and a fault.
    fn of_file(path: &Path, places: &mut SettingPlaces, faults: &mut Vec<SettingFault>) -> Self {
        let name = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => file::read(&text, &name, places, faults),
            Err(error) => {
                faults.push(SettingFault::new(name, format!("can't be read: {error}")));
                Self::default()
            }
        }
    }

    /// What is wrong with the text of a settings file, each fault with its line.
    pub(super) fn faults_of(text: &str) -> Vec<String> {
        let (mut faults, mut places) = (Vec::new(), SettingPlaces::default());
        file::read(text, "settings", &mut places, &mut faults).check_whole(&places, &mut faults);
        faults.iter().map(|SettingFault { place, message, .. }| format!("{place}: {message}")).collect()
    }

    /// What would be wrong with the rules of a namespace that is to be made beside these.
    pub(super) fn faults_of_made(&self, name: &Namespace, text: &str) -> Vec<String> {
        let (mut faults, mut places) = (Vec::new(), SettingPlaces::default());
        let (policy, _) = file::read_made(text, "rules", name, &mut places, &mut faults);
        whole::check_namespace(name, &policy, self.max_in_flight, &places, &mut faults);
        if self.cluster.engine.is_some() {
            whole::check_shared(name, &policy, &places, &mut faults);
        }
        faults.iter().map(|SettingFault { place, message, .. }| format!("{place}: {message}")).collect()
    }

    /// Every rule of a namespace in force, as JSON says it.
    pub(super) fn rules_of(&self, name: &Namespace) -> serde_json::Map<String, serde_json::Value> {
        let values = render::values(self);
        let quoted = [format!("namespaces.{name}."), format!("namespaces.\"{name}\".")];
        let rules = values.iter().filter_map(|(key, value)| {
            let rule = quoted.iter().find_map(|of| key.strip_prefix(of.as_str()))?;
            Some((rule.to_owned(), serde_json::from_str(value).ok()?))
        });
        rules.collect()
    }

    /// The same of a namespace of which nothing is said, wherever it is made.
    pub(super) fn default_rules() -> serde_json::Map<String, serde_json::Value> {
        let built_in = Self::default();
        built_in.namespaces.keys().next().map(|name| built_in.rules_of(name)).unwrap_or_default()
    }

    /// Every setting in force.
    pub(super) fn reports(&self, places: &SettingPlaces) -> Vec<SettingReport> {
        let (values, defaults) = (render::values(self), render::values(&Self::default()));
        let report = |(key, value): (String, String)| {
            let change = SettingChange { key, from: Some(value), to: Some(String::new()) }.masked();
            let is_live = change.is_live();
            let SettingChange { key, from, .. } = change;
            let place = places.get(&key.replace('"', "")).map(str::to_owned);
            SettingReport { default: defaults.get(&key).cloned(), value: from.unwrap_or_default(), place, is_live, key }
        };
        values.into_iter().map(report).collect()
    }

    /// What differs from older settings: each key with its old and its new value.
    pub(super) fn changes_since(&self, older: &Self) -> Vec<SettingChange> {
        let (before, after) = (render::values(older), render::values(self));
        let keys: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
        let change = |key: &&String| {
            let (from, to) = (before.get(*key).cloned(), after.get(*key).cloned());
            (from != to).then(|| SettingChange { key: (*key).clone(), from, to }.masked())
        };
        keys.iter().filter_map(change).collect()
    }

    /// How long connections are still taken after the order to end.
    pub(super) fn leaves_after(&self) -> Duration {
        self.drain_delay.unwrap_or(if self.cluster.engine.is_some() { LEAVES_AFTER } else { Duration::ZERO })
    }

    /// These, which are in force, with what a running server takes up of new ones ([`SettingChange::is_live`]).
    pub(super) fn with_live(&self, new: &Self) -> Self {
        let Self { log_level, drain_delay, drain_timeout, max_in_flight, timeouts, connections, mut namespaces, auto, .. } =
            new.clone();
        for (name, policy) in &mut namespaces {
            // Of one that is new all is taken up.
            let Some(open) = self.namespaces.get(name) else { continue };
            policy.durable.clone_from(&open.durable);
            // Nothing is open that could be waited for: what was acknowledged would be in memory alone.
            if policy.durable == Durable::Off {
                policy.ack = open.ack;
            }
        }
        Self { log_level, drain_delay, drain_timeout, max_in_flight, timeouts, connections, namespaces, auto, ..self.clone() }
    }

    /// The settings as they may be shown: of the addresses of webhooks, which may hold secrets, the hosts alone.
    #[must_use]
    pub fn render_masked(&self) -> String {
        let mut shown = self.clone();
        for url in &mut shown.webhooks {
            let host = format!("{}://{}/...", url.scheme(), url.host_str().unwrap_or_default());
            *url = Url::parse(&host).unwrap_or_else(|_| url.clone());
        }
        render::render(&shown)
    }

    /// The settings as a file that reads back as the same settings.
    #[must_use]
    pub fn render(&self) -> String {
        render::render(self)
    }
}

/// A settings file's text alone, as a start with it and without flags reads it: for `crate::fuzzing`.
#[cfg(any(test, fuzzing))]
pub(crate) fn read_text(text: &str) -> Result<Settings, String> {
    let (mut faults, mut places) = (Vec::new(), SettingPlaces::default());
    let settings = file::read(text, "fuzz.toml", &mut places, &mut faults);
    settings.check_whole(&places, &mut faults);
    if faults.is_empty() { Ok(settings) } else { Err(SettingFaults(faults).to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::problem::code::Code;

    fn read(text: &str) -> (Settings, Vec<String>) {
        let (mut faults, mut places) = (Vec::new(), SettingPlaces::default());
        let settings = file::read(text, "f.toml", &mut places, &mut faults);
        settings.check_whole(&places, &mut faults);
        (settings, faults.into_iter().map(|fault| format!("{}: {}", fault.place, fault.message)).collect())
    }

    #[test]
    fn the_shipped_file_is_the_defaults() {
        let (settings, faults) = read(SHIPPED);
        assert_eq!(faults, Vec::<String>::new());
        assert_eq!(settings, Settings::default());
    }

    #[test]
    fn the_shipped_file_names_every_key() {
        for line in Settings::default().render().lines() {
            let key = line.split('=').next().unwrap().trim();
            assert!(SHIPPED.lines().any(|shipped| shipped.split('=').next().unwrap().trim() == key), "{key} is not in the file");
        }
    }

    #[test]
    fn what_an_advice_has_somebody_set_can_be_set() {
        let mut told = 0;
        for code in Code::ALL {
            let words: Vec<_> = code.advice().split_whitespace().collect();
            for said in words.windows(3).filter(|said| said[1] == "=" && said[2].starts_with('"')) {
                // The sentence goes on behind the value, or ends there.
                let value = said[2].split('"').nth(1).unwrap();
                let (_, faults) = read(&format!("[namespaces.a]\n{} = \"{value}\"\n", said[0]));
                assert_eq!(faults, Vec::<String>::new(), "{code:?}");
                told += 1;
            }
        }
        assert!(told > 3, "{told}");
    }

    #[test]
    fn what_is_rendered_reads_back() {
        let text = "listen = [\"[::]:80\", \"127.0.0.1:0\"]\nobject_readers = \"group\"\nlog_format = \"json\"\nlog_level = \"debug\"\notlp_endpoint = \"https://c:4318/x\"\n\
            drain_delay = \"4s\"\ndrain_timeout = \"1500ms\"\nmetrics_open = true\nadmin_hosts = [\"origin\", \"a.example\"]\n[access_log]\noutput = \"/var/log/a b.log\"\n\
            keep = 0\n[cluster]\nengine = \"valkeys+cluster://[::1]:7000,b:6379\"\nca = \"e.pem\"\ncopies = 1\nuser = \"u\"\npassword_file = \"p w\"\nnode = \"n-1\"\nadvertise = \"http://10.0.0.21:8080/\"\n[timeouts]\nkeep_alive = \"3m\"\n[tls]\nlisten = [\"0.0.0.0:443\"]\n\
            certificate = \"a b.pem\"\nkey = \"k\"\nclient_ca = \"c\"\n[admin_tls]\ncertificate = \"d\"\nkey = \"e\"\n[harvest]\nfolder = \"/var/a b\"\n\
            buckets = [\"s3://bucket/vod/\", \"az://other\"]\n[namespaces.a]\nhot_capacity = \"33MB\"\ndurable = \"off\"\n\
            playlist_max_age = \"2s\"\ncors_origins = [\"https://player.example\"]\nerror_cache_control = \"max-age=1\"\n";
        let (settings, faults) = read(text);
        assert_eq!(faults, Vec::<String>::new());
        assert_eq!(settings.namespaces.len(), 1);
        let (again, faults) = read(&settings.render());
        assert_eq!(faults, Vec::<String>::new());
        assert_eq!(again, settings);
    }

    #[test]
    fn all_faults_are_reported_with_their_lines() {
        let (_, faults) = read(
            "lissten = []\ndrain_timeout = \"soon\"\nadmin_listen = 8081\n\n[namespaces.live]\nhot_capacity = \"20 zigs\"\n\
             cors_origins = [\"https://a\", 7]\n[access_log]\n\
             keep = \"5\"\nrotate_size = \"1KB\"\noutput = \"\"\n[namespaces.\"no/name\"]\n[timeouts]\nkeep_alive = \"1ms\"\n",
        );
        let expected = [
            "f.toml:1: lissten: is not a setting; did you mean listen?",
            "f.toml:2: drain_timeout: \"soon\" is not a duration",
            "f.toml:3: admin_listen: takes a string",
            "f.toml:6: namespaces.live.hot_capacity: \"20 zigs\" is not a size",
            "f.toml:7: namespaces.live.cors_origins: takes a list of strings",
            "f.toml:9: access_log.keep: takes a whole number",
            "f.toml:11: access_log.output: is empty",
            "f.toml:12: namespaces.no/name: ",
            "f.toml:10: access_log.rotate_size: is smaller",
            "f.toml:14: timeouts.keep_alive: is 1ms; it has to be between",
        ];
        for begin in expected {
            assert!(faults.iter().any(|fault| fault.starts_with(begin)), "{begin} is missing in {faults:#?}");
        }
        assert_eq!(faults.len(), expected.len(), "{faults:#?}");
    }

    #[test]
    fn a_node_that_shares_leaves_after_some_seconds_unless_it_is_said_otherwise() {
        let leaves = |text: &str| read(text).0.leaves_after().as_secs();
        let engine = "[cluster]\nengine = \"valkey://a:6379\"\n[namespaces.n]\ndurable = \"off\"\n";
        assert_eq!((leaves(""), leaves(engine)), (0, 5));
        let below = engine.replace("off", "s3://bucket/live") + "ack = \"durable\"\n";
        assert_eq!((read(&below).1.len(), leaves(&below)), (0, 5), "a bucket is below all nodes: {:?}", read(&below).1);
        for (said, seconds) in [("0s", 0), ("2s", 2), ("auto", 5)] {
            assert_eq!(leaves(&format!("drain_delay = \"{said}\"\n{engine}")), seconds, "{said}");
        }
        let (_, faults) = read("[cluster]\nleave_delay = \"2s\"\n");
        assert!(faults.len() == 1 && faults[0].starts_with("f.toml:2: cluster.leave_delay: is drain_delay now"), "{faults:?}");
    }

    #[test]
    fn what_is_wrong_beside_others_is_told_with_its_line_or_theirs() {
        let told = |text: &str| read(text).1.join("\n");
        assert_eq!(
            told("[namespaces.a]\nmax_ttl = \"1h\"\ndefault_ttl = \"2h\"\n"),
            "f.toml:3: namespaces.a.default_ttl: is 2h; it has to be between 1s and max_ttl, 1h"
        );
        // One hour by default: what makes it wrong is the limit.
        assert_eq!(
            told("\n[namespaces.\"a.b\"]\n\nmax_ttl = \"10m\"\n"),
            "f.toml:4: namespaces.a.b.default_ttl: is 1h; it has to be between 1s and max_ttl, 10m"
        );
        for (text, told_as) in [
            ("listen = []\n", "f.toml:1: listen: names no address"),
            ("[tls]\nlisten = [\"[::1]:0\"]\nkey = \"k\"\n", "f.toml:2: tls.certificate: names no file"),
            ("[admin_tls]\ncertificate = \"c\"\n", "f.toml:2: admin_tls.key: names no file"),
            (
                "max_in_flight = \"1MiB\"\n",
                "f.toml:1: namespaces.live-origin.max_object_size: is larger than max_in_flight, 1MiB",
            ),
            ("[namespaces.a]\ndurable = \"off\"\nack = \"durable\"\n", "f.toml:3: namespaces.a.ack: is durable"),
            ("[namespaces.a]\ngate = \"31s\"\n", "f.toml:2: namespaces.a.gate: has to be"),
            ("[connections]\n\ntotal = 0\n", "f.toml:3: connections.total: is 0"),
            ("[namespaces]\n", "f.toml:1: namespaces: there is none"),
            ("[cluster]\nengine = \"valkey://u:SECRET@h\"\n", "f.toml:2: cluster.engine: may hold neither user nor password"),
            (
                "[cluster]\nca = \"a.pem\"\nengine = \"valkey://h\"\n[namespaces.n]\ndurable = \"off\"\n",
                "f.toml:2: cluster.ca: is for an engine",
            ),
            ("[cluster]\nengine = \"valkey://h,i\"\n", "f.toml:2: cluster.engine: names several servers"),
            ("[cluster]\ncopies = 0\n", "f.toml:2: cluster.copies: is 0"),
            ("[cluster]\nengine = \"h:6379\"\n", "f.toml:2: cluster.engine: is no address of an engine"),
            (
                "[cluster]\nengine = \"valkey://h\"\n[namespaces.a]\ndurable = \"disk\"\n",
                "f.toml:4: namespaces.a.durable: has to be off or a bucket",
            ),
        ] {
            let told = told(text);
            assert!(told.starts_with(told_as) && told.lines().count() == 1, "{text}: {told}");
        }
    }

    #[test]
    fn recordings_go_to_places_that_are_some_and_not_among_the_keys() {
        let (_, faults) =
            read("data_dir = \"/var/live/data\"\n[harvest]\nfolder = \"/var/live\"\nbuckets = [\"s3://k:SECRET@b/x\"]\n");
        assert!(faults.len() == 2 && faults[0].starts_with("f.toml:4: harvest.buckets: takes URLs of buckets"), "{faults:?}");
        assert!(
            faults[1].starts_with("f.toml:3: harvest.folder: holds the data directory") && !faults.concat().contains("SECRET")
        );
        let (settings, faults) = read("data_dir = \"/var/live\"\n[harvest]\nfolder = \"/var/live/recordings\"\n");
        assert!(faults.is_empty() && settings.harvest.buckets.is_empty(), "{faults:?}");
    }

    #[test]
    fn broken_toml_names_its_line() {
        let (_, faults) = read("listen = [\n\nadmin_listen = \n");
        assert!(!faults.is_empty() && faults.iter().all(|fault| fault.starts_with("f.toml:")), "{faults:?}");
    }

    #[test]
    fn flags_lie_over_the_file_and_faults_name_them() {
        let given = |name: &str, value: &str| Given { name: name.to_owned(), value: value.to_owned() };
        let overrides = Overrides {
            listen: vec![given("--listen", "127.0.0.1:0")],
            namespaces: vec![given("--namespace", "a=64MiB"), given("--namespace", "b")],
            ..Overrides::default()
        };
        let settings = Settings::load(None, &overrides).unwrap();
        assert_eq!(settings.listen.len(), 1);
        let capacities: Vec<_> = settings.namespaces.iter().map(|(name, policy)| (name.as_str(), policy.hot_capacity)).collect();
        assert_eq!(capacities, [("a", 64 << 20), ("b", 1 << 30)]);

        let overrides = Overrides {
            listen: vec![given("SPRINGHEAD_LISTEN", "nowhere")],
            namespaces: vec![given("--namespace", "a=1KiB"), given("--namespace", "-")],
            ..Overrides::default()
        };
        let faults = Settings::load(None, &overrides).unwrap_err().to_string();
        for part in [
            "SPRINGHEAD_LISTEN: \"nowhere\"",
            "--namespace: \"-\"",
            "--namespace: namespaces.a.hot_capacity: is smaller",
            "3 faults",
        ] {
            assert!(faults.contains(part), "{part} is missing in {faults}");
        }
    }
}
