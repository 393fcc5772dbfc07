//! `springhead demo`: a server with a stream on it, from nothing. Its encoder is built in and pushes over real HTTP; it can be told to do
//! what encoders do wrong.

mod encoder;
mod faults;
mod media;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;

use self::encoder::DemoEncoder;
use self::faults::PlannedFault;
use super::args::Args;
use super::client::{Url, usage};
use super::data_dir::DataDir;
use super::keys::read_key;
use super::reload::Load;
use super::settings::{Given, LogFormat, LogLevel, Overrides, Settings};
use super::shell::quote;
use super::telemetry::Logs;
use super::{Failure, complain, console, print, serve, tickets};
use crate::model::id::Namespace;

/// What the demo is asked for.
#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Push to this server instead of one of its own, as `https://HOST[:PORT]`; needs --key.
    #[arg(long, value_name = "URL", requires = "key")]
    to: Option<String>,
    /// A readwrite API key for it, a JSON file with it in `api_key`, or - to read either from stdin.
    #[arg(long, env = "SPRINGHEAD_KEY", hide_env_values = true, value_name = "KEY_OR_FILE")]
    key: Option<String>,
    /// The namespace to push to.
    #[arg(long, value_name = "NAME", default_value = "live-origin")]
    namespace: String,
    /// What goes wrong, when and for how long, as in `stall@30s:10s`: stall, gap, late, drop-audio, reset or cut. May be given several
    /// times.
    #[arg(long = "break", value_name = "MODE[@AFTER][:FOR]", value_delimiter = ',')]
    faults: Vec<String>,
    /// Where its own server serves objects.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: String,
    /// Where its own server has the console.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081")]
    admin_listen: String,
    /// The data directory of its own server.
    #[arg(long, value_name = "DIR", default_value = "./springhead-demo")]
    data_dir: PathBuf,
}

/// Serves and pushes until it is told to stop.
pub(super) fn run(args: &DemoArgs) -> Result<(), Failure> {
    let namespace = Namespace::parse(&args.namespace).map_err(|error| usage("--namespace", error))?;
    let faults = args.faults.iter().map(|text| PlannedFault::parse(text)).collect::<Result<Vec<_>, _>>();
    let faults = faults.map_err(|error| usage("--break", error))?;
    let folder = format!("/cache/{namespace}/demo/");
    let below = move |address: &str| -> Result<Url, Failure> {
        let url = Url::parse(address).and_then(|url| url.join(&folder));
        url.map_err(|error| usage("--to", error))
    };
    if let (Some(to), Some(key)) = (&args.to, &args.key) {
        let encoder = DemoEncoder { base: below(to)?, key: read_key(key)?, faults };
        let runtime = runtime()?;
        runtime.block_on(encoder.begin())?;
        print(&format!("It plays at {}stream.m3u8, with a key that may read it.", encoder.base))?;
        let _logs = Logs::start(LogFormat::Text, LogLevel::Info);
        return Ok(runtime.block_on(encoder.push())?);
    }
    let data = DataDir::new(&args.data_dir);
    // That of a server before says nothing of this one.
    let _ = std::fs::remove_file(args.data_dir.join("listening"));
    let (place, named) = (args.data_dir.clone(), namespace.clone());
    let begin = move || -> Result<(), Failure> {
        let addresses = wait_for(&data)?;
        let (objects, admin) = (addresses.first().copied(), addresses.last().copied());
        let (Some(objects), Some(admin)) = (objects, admin) else { return Ok(()) };
        let key = read_key(&place.join("encoder_api_key.json").display().to_string())?;
        let player = place.join("player_api_key.json").display().to_string();
        // Kept in no log: there it is said where the key lies.
        let player = if std::io::stdout().is_terminal() {
            read_key(&player)?.expose().to_owned()
        } else {
            format!("(api_key in {player})")
        };
        let base = below(&format!("http://{objects}"))?;
        let page = format!("/stream/{named}/demo%2Fstream.m3u8");
        let sign_in = format!("springhead console --data-dir {}", quote(&place.display().to_string()));
        // Whoever reads a link that signs in may do everything: it is shown where a person reads it, and kept nowhere.
        let (about, link) = if std::io::stdout().is_terminal() {
            let link = console::link(admin, false, &tickets::make(&data)?);
            (format!("signs in once, within two minutes; then: {sign_in}"), format!("{link}{page}"))
        } else {
            (format!("a link that signs in: {sign_in}"), console::page(admin, &page))
        };
        print(&format!(
            "\nThe stream and what is known of it ({about}):\n  {link}\nIn a player:\n  {base}stream.m3u8?token={player}&inherit_token=1\n",
        ))?;
        push(DemoEncoder { base, key, faults })
    };
    let encode = std::thread::Builder::new().name("demo".to_owned()).spawn(move || {
        if let Err(Failure::Failed(error)) = begin() {
            complain(&format!("error: the demo's encoder can't begin: {error:#}"));
        }
    });
    encode.context("can't start a thread")?;
    serve::run(settings(args, namespace.as_str()), &[])
}

/// The settings of its own server: these, and the environment's of nothing.
fn settings(args: &DemoArgs, namespace: &str) -> Load {
    let given = |name: &str, value: String| Given { name: name.to_owned(), value };
    let overrides = Overrides {
        listen: vec![given("--listen", args.listen.clone())],
        admin_listen: Some(given("--admin-listen", args.admin_listen.clone())),
        data_dir: Some(given("--data-dir", args.data_dir.display().to_string())),
        namespaces: if namespace == "live-origin" { Vec::new() } else { vec![given("--namespace", namespace.to_owned())] },
        ..Overrides::default()
    };
    Box::new(move |made_in: Option<&Path>| {
        Settings::load_all(None, &overrides, made_in).map_err(|faults| Failure::Usage(faults.to_string()))
    })
}

/// Where its own server listens, once it does.
fn wait_for(data: &DataDir) -> anyhow::Result<Vec<std::net::SocketAddr>> {
    for _ in 0..600 {
        let addresses = data.listening();
        if !addresses.is_empty() {
            return Ok(addresses);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    anyhow::bail!("the server did not begin to listen within half a minute")
}

fn push(encoder: DemoEncoder) -> Result<(), Failure> {
    Ok(runtime()?.block_on(encoder.push())?)
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("can't start")
}
