//! The command line: its commands and flags, and what each calls.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::args::{ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use super::check::CheckArgs;
use super::place::{PlaceArgs, load, load_all, load_alone, named};
use super::settings::{Overrides, SHIPPED, Settings};
use super::{
    Failure, check, cluster_status, console, demo, doctor, generate, harvest, health, keys, print, serve, size, token, variables,
};
use crate::auth::grant::Role;

/// Self-hosted HTTP origin for live video: encoders push segments and playlists, CDNs pull them.
#[derive(Debug, Parser)]
#[command(name = "springhead", version, about, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

impl Cli {
    /// The variables that are read, by whichever command.
    #[must_use]
    pub fn variables() -> BTreeSet<String> {
        variables::known::<Self>()
    }
}

/// Made by `release/notices.py`, and held against it by `release/check notices`.
const THIRD_PARTY: &str = include_str!("third-party.txt");

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the origin. With nothing configured it makes its keys and says what to paste where.
    Serve(ServeArgs),
    /// Make, list, inspect and revoke API keys.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Make and inspect viewers' tokens.
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Work out segment sizes and the hot capacity a channel needs.
    Size(SizeArgs),
    /// Check and show settings.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Walk a stream's whole way, from the server's name to the live point and through the CDN, and say what is wrong with it.
    Doctor(doctor::DoctorArgs),
    /// Copy a window of a stream to a folder or bucket, as a recording that needs no server. Run again, it copies what is missing.
    Harvest(harvest::HarvestRequest),
    /// Serve, and push a stream to it from a built-in encoder: nothing else is needed to see one play.
    Demo(Box<demo::DemoArgs>),
    /// Print a link that signs in at the console of the server on this data directory: once, within two minutes.
    Console {
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Look after what several nodes share.
    #[command(subcommand)]
    Cluster(cluster_status::ClusterCommand),
    /// Print what is linked into this program, with the licences of all of it.
    Licenses,
    /// Ask a running server on this machine whether it is ready; for container health checks.
    Health(HealthArgs),
    /// Write what packages carry beside the program: manual pages, or completions.
    #[command(hide = true)]
    Generate(generate::GenerateArgs),
}

#[derive(Debug, Args)]
struct ServeArgs {
    #[command(flatten)]
    settings: SettingsArgs,
}

/// The settings that a command line can say. Each is read and checked together with the file's.
#[derive(Debug, Args)]
struct SettingsArgs {
    /// Settings file.
    #[arg(long, env = "SPRINGHEAD_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address to serve objects on; may be given several times. Port 0 takes a free one.
    #[arg(long, env = "SPRINGHEAD_LISTEN", value_name = "ADDR", value_delimiter = ',')]
    listen: Vec<String>,
    /// Let another process listen on the same ports, to take over while this one drains.
    #[arg(long, env = "SPRINGHEAD_REUSE_PORT", value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    reuse_port: Option<String>,
    /// Address to serve objects on over TLS; may be given several times.
    #[arg(long, env = "SPRINGHEAD_TLS_LISTEN", value_name = "ADDR", value_delimiter = ',')]
    tls_listen: Vec<String>,
    /// Certificate and its chain, a PEM file.
    #[arg(long, env = "SPRINGHEAD_TLS_CERTIFICATE", value_name = "FILE")]
    tls_certificate: Option<String>,
    /// The certificate's key, a PEM file.
    #[arg(long, env = "SPRINGHEAD_TLS_KEY", value_name = "FILE")]
    tls_key: Option<String>,
    /// Address for metrics and probes.
    #[arg(long, env = "SPRINGHEAD_ADMIN_LISTEN", value_name = "ADDR")]
    admin_listen: Option<String>,
    /// Directory for signing keys, key records, and the objects that are kept on disk.
    #[arg(long, env = "SPRINGHEAD_DATA_DIR", value_name = "DIR")]
    data_dir: Option<String>,
    /// Namespace to have, with its hot capacity; may be given several times.
    #[arg(long, env = "SPRINGHEAD_NAMESPACE", value_name = "NAME[=HOT_CAPACITY]", value_delimiter = ',')]
    namespace: Vec<String>,
    /// Whether /metrics asks nobody for a key, wherever the admin listener listens.
    #[arg(long, env = "SPRINGHEAD_METRICS_OPEN", value_name = "true|false")]
    metrics_open: Option<String>,
    /// One JSON line for each request: where to.
    #[arg(long, env = "SPRINGHEAD_ACCESS_LOG", value_name = "off|stderr|FILE")]
    access_log: Option<String>,
    /// Collector of OpenTelemetry traces (OTLP over HTTP), as in `http://127.0.0.1:4318`; none: no traces.
    #[arg(long, env = "SPRINGHEAD_OTLP_ENDPOINT", value_name = "URL")]
    otlp_endpoint: Option<String>,
    /// Log lines for people or for machines.
    #[arg(long, env = "SPRINGHEAD_LOG_FORMAT", value_name = "text|json")]
    log_format: Option<String>,
    /// Which log lines: error, warn, info or debug.
    #[arg(long, env = "SPRINGHEAD_LOG_LEVEL", value_name = "LEVEL")]
    log_level: Option<String>,
    /// How long connections are still taken after SIGTERM, while /readyz says that the server ends.
    #[arg(long, env = "SPRINGHEAD_DRAIN_DELAY", value_name = "DURATION")]
    drain_delay: Option<String>,
    /// How long requests in flight may go on after that.
    #[arg(long, env = "SPRINGHEAD_DRAIN_TIMEOUT", value_name = "DURATION")]
    drain_timeout: Option<String>,
    /// Bytes of all uploads in flight together.
    #[arg(long, env = "SPRINGHEAD_MAX_IN_FLIGHT", value_name = "SIZE")]
    max_in_flight: Option<String>,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Make a key and print it as JSON. It can't be shown again.
    Create(CreateArgs),
    /// List the keys made here, without the keys themselves.
    List {
        /// As JSON, one object a line.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Say what a key allows and whether it is good.
    Inspect {
        /// The key, a JSON file with it in `api_key`, or - to read either from stdin.
        #[arg(value_name = "KEY_OR_FILE")]
        key: String,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// End a key, on a running server within a second, and for good.
    Revoke {
        /// The `key_id` that `create`, `list` and `inspect` show; or the key itself, a JSON file with it, or - for stdin.
        #[arg(value_name = "KEY_ID")]
        key_id: String,
        #[command(flatten)]
        place: PlaceArgs,
    },
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// Namespace the key is good for; may be given several times. '*' is all of them, future ones included.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    namespace: Vec<String>,
    /// What the key is for.
    #[arg(long, value_enum)]
    role: RoleArg,
    /// Only object keys that begin with this.
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
    /// For a CDN that checks viewers' tokens itself, or for who watches over the server: a readonly key that reads without a token.
    #[arg(long)]
    edge: bool,
    /// How long it is good: a duration, or never.
    #[arg(long, value_name = "30d|never", default_value = "30d")]
    expires: String,
    /// What you want to remember it by.
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
    /// Write the JSON to a new file that only you can read, instead of stdout.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    place: PlaceArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleArg {
    Readonly,
    Readwrite,
    Viewer,
    Operator,
    Admin,
    Vendor,
}

#[derive(Debug, Args)]
struct SizeArgs {
    /// Bitrates of the ladder, separated by commas.
    #[arg(long, value_name = "2500k,1500k,750k", value_delimiter = ',', required = true)]
    bitrates: Vec<String>,
    /// Length of a segment.
    #[arg(long, value_name = "2.5s")]
    segment: String,
    /// How long segments shall stay in memory.
    #[arg(long, value_name = "5m")]
    keep: String,
    /// The largest object the namespace takes.
    #[arg(long, value_name = "SIZE", default_value = "10MiB")]
    max_object_size: String,
    /// How many encoders push it: 2 for a pair.
    #[arg(long, value_name = "1", default_value_t = 1)]
    sources: u64,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Check a settings file, as a start reads it: with the variables of this environment, what it asks of this machine, and the files and
    /// folders it names. All faults are reported.
    Check(CheckArgs),
    /// Print what is in force, as a settings file.
    Print(Box<SettingsArgs>),
    /// Print the settings file as shipped: every key, explained, with its default.
    Default,
}

#[derive(Debug, Args)]
struct HealthArgs {
    #[command(flatten)]
    settings: SettingsArgs,
}

/// A parsed command, and where its values came from.
#[derive(Debug)]
pub(super) struct Parsed {
    command: Command,
    matches: ArgMatches,
}

/// Reads the process's arguments. Help and usage errors have been printed when this is an error.
pub(super) fn parse() -> Result<Parsed, ExitCode> {
    let result = Cli::command().try_get_matches().and_then(|matches| {
        let command = Cli::from_arg_matches(&matches)?.command;
        Ok(Parsed { command, matches })
    });
    result.map_err(|error| {
        let printed = error.print();
        match (error.use_stderr(), printed) {
            (true, _) => ExitCode::from(2),
            (false, Ok(())) => ExitCode::SUCCESS,
            (false, Err(_)) => ExitCode::FAILURE,
        }
    })
}

pub(super) fn execute(parsed: Parsed) -> Result<(), Failure> {
    let Parsed { command, matches } = parsed;
    match command {
        Command::Serve(ServeArgs { settings }) => {
            let (file, overrides) = settings.read(leaf(&matches));
            let load = move |made_in: Option<&Path>| load_all(file.as_deref(), &overrides, made_in);
            serve::run(Box::new(load), &variables::unread::<Cli>())
        }
        Command::Demo(args) => demo::run(&args),
        Command::Console { place } => console::run(&place.load(leaf(&matches))?),
        Command::Health(HealthArgs { settings }) => health::run(&settings.load(leaf(&matches))?),
        Command::Doctor(args) => doctor::begin(args, leaf(&matches)),
        Command::Cluster(command) => cluster_status::run(command, leaf(&matches)),
        Command::Harvest(request) => harvest::run(&request),
        Command::Token(command) => token::run(command, leaf(&matches)),
        Command::Licenses => Ok(print(THIRD_PARTY)?),
        Command::Generate(args) => Ok(generate::run::<Cli>(&args)?),
        Command::Config(ConfigCommand::Default) => Ok(print(SHIPPED)?),
        Command::Config(ConfigCommand::Print(settings)) => Ok(print(&settings.load(leaf(&matches))?.render_masked())?),
        Command::Config(ConfigCommand::Check(args)) if args.text_only => {
            load_alone(&args.file)?;
            Ok(print(&format!("{}: good", args.file.display()))?)
        }
        Command::Config(ConfigCommand::Check(args)) => {
            check::run(load_all(Some(&args.file), &of_environment()?, None)?, &args, variables::unread::<Cli>())
        }
        Command::Size(SizeArgs { bitrates, segment, keep, max_object_size, sources }) => {
            Ok(print(&size::work_out(&bitrates, (&segment, &keep), &max_object_size, sources).map_err(Failure::Usage)?)?)
        }
        Command::Keys(KeysCommand::Create(args)) => {
            let request = keys::KeyRequest {
                namespaces: args.namespace,
                role: match args.role {
                    RoleArg::Readonly => Role::Readonly,
                    RoleArg::Readwrite => Role::Readwrite,
                    RoleArg::Viewer => Role::Viewer,
                    RoleArg::Operator => Role::Operator,
                    RoleArg::Admin => Role::Admin,
                    RoleArg::Vendor => Role::Vendor,
                },
                prefix: args.prefix,
                edge: args.edge,
                expires: args.expires,
                label: args.label,
                out: args.out,
            };
            keys::create(&args.place.load(leaf(&matches))?, request)
        }
        Command::Keys(KeysCommand::List { json, place }) => keys::list(&place.load(leaf(&matches))?, json),
        Command::Keys(KeysCommand::Inspect { key, place }) => keys::inspect(&place.load(leaf(&matches))?, &key),
        Command::Keys(KeysCommand::Revoke { key_id, place }) => keys::revoke(&place.load(leaf(&matches))?, &key_id),
    }
}

/// What the environment says, where no flag can.
fn of_environment() -> Result<Overrides, Failure> {
    #[derive(Debug, Parser)]
    #[command(name = "springhead")]
    struct EnvironmentArgs {
        #[command(flatten)]
        settings: SettingsArgs,
    }
    let matches = EnvironmentArgs::command().try_get_matches_from(["springhead"]);
    let read = matches.and_then(|matches| Ok(EnvironmentArgs::from_arg_matches(&matches)?.settings.read(&matches).1));
    read.map_err(|error| Failure::Usage(error.to_string()))
}

/// The matches of the innermost subcommand.
fn leaf(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand().map_or(matches, |(_, inner)| leaf(inner))
}

impl SettingsArgs {
    fn load(self, matches: &ArgMatches) -> Result<Settings, Failure> {
        let (file, overrides) = self.read(matches);
        load(file.as_deref(), &overrides)
    }

    fn read(self, matches: &ArgMatches) -> (Option<PathBuf>, Overrides) {
        let one = |id: &str, value: Option<String>| value.map(|value| named(matches, id, value));
        let many = |id: &str, values: Vec<String>| values.into_iter().map(|value| named(matches, id, value)).collect();
        let overrides = Overrides {
            listen: many("listen", self.listen),
            reuse_port: one("reuse_port", self.reuse_port),
            tls_listen: many("tls_listen", self.tls_listen),
            tls_certificate: one("tls_certificate", self.tls_certificate),
            tls_key: one("tls_key", self.tls_key),
            admin_listen: one("admin_listen", self.admin_listen),
            metrics_open: one("metrics_open", self.metrics_open),
            access_log: one("access_log", self.access_log),
            data_dir: one("data_dir", self.data_dir),
            otlp_endpoint: one("otlp_endpoint", self.otlp_endpoint),
            log_format: one("log_format", self.log_format),
            log_level: one("log_level", self.log_level),
            drain_delay: one("drain_delay", self.drain_delay),
            drain_timeout: one("drain_timeout", self.drain_timeout),
            max_in_flight: one("max_in_flight", self.max_in_flight),
            namespaces: many("namespace", self.namespace),
        };
        (self.config, overrides)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
