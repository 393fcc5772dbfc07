//! `springhead token`: viewers' tokens, made with the viewer key in the data directory, and ended. A server knows them by that key, and keeps
//! nothing of them.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use serde::Serialize;

use super::args::{ArgMatches, Args, Subcommand, ValueEnum};
use super::client::Url;
use super::data_dir::DataDir;
use super::place::PlaceArgs;
use super::settings::Settings;
use super::token_report::{InspectArgs, shown_time};
use super::viewer_revocations::RevocationList;
use super::{Failure, complain, print, token_report, viewer_key};
use crate::auth::grant::KeyId;
use crate::auth::secret::Secret;
use crate::auth::viewer::{self, Network, Revocation, RevokedTokens, SpecError, ViewerSpec, opens_something};
use crate::model::clock::{Clock, WallTime};
use crate::model::id::Namespace;
use crate::model::units::parse_duration;
use crate::origin::policy::{ViewerMode, ViewerPolicy};

/// What is done with viewers' tokens.
#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token that opens a part of one namespace for reading, and print it as JSON. It is kept nowhere.
    Viewer(ViewerArgs),
    /// Say what a token says, and whether a server with this viewer key takes it.
    Inspect(InspectArgs),
    /// End a token, or all that open a part of a namespace and were made before a moment; a running server refuses them within a second.
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
pub(super) struct ViewerArgs {
    /// Namespace it is good for.
    #[arg(long, value_name = "NAME")]
    namespace: String,
    /// Only object keys that begin with this; a folder, so it ends in a slash [default: all of the namespace].
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
    /// Take a prefix that does not end in a slash: 'show' opens 'showdown/' as well.
    #[arg(long)]
    exact_prefix: bool,
    /// How long it is good [default: 2h, or what the namespace takes, where that is less].
    #[arg(long, value_name = "DURATION")]
    expires: Option<String>,
    /// What you want to know it by, 1 to 16 bytes [default: 8 random ones].
    #[arg(long, value_name = "TEXT")]
    id: Option<String>,
    /// Who holds it. Only you read that: no server shows it.
    #[arg(long, value_name = "TEXT")]
    subject: Option<String>,
    /// From where it is good; may be given several times. A server that is told of viewers' addresses judges that; others refuse the token.
    #[arg(long, value_name = "CIDR")]
    address: Vec<String>,
    /// In which country it is good, as AT or CH-ZH; may be given several times.
    #[arg(long, value_name = "CC")]
    country: Vec<String>,
    /// How it travels: what is printed beside it.
    #[arg(long, value_enum, default_value = "path")]
    form: FormArg,
    /// The URL of a playlist as viewers ask for it, to have it printed with the token in it.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The viewer key, where it is not in the data directory.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    #[command(flatten)]
    place: PlaceArgs,
}

#[derive(Debug, Args)]
pub(super) struct RevokeArgs {
    /// The `token_id` that was printed where it was made, which logs have as `key_id`.
    #[arg(value_name = "TOKEN_ID", required_unless_present = "prefix", conflicts_with = "prefix")]
    id: Option<String>,
    /// Namespace it is for.
    #[arg(long, value_name = "NAME")]
    namespace: String,
    /// All tokens, as far as they open keys that begin with this; '' is all keys.
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
    /// Only those made before this time, as in 2026-01-02T03:04:05Z [default: now].
    #[arg(long, value_name = "TIME", requires = "prefix")]
    issued_before: Option<String>,
    /// When the last of them ends by itself, and this may be forgotten [default: in 400 days].
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
    #[command(flatten)]
    place: PlaceArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FormArg {
    Path,
    Query,
    Header,
    Cookie,
}

/// A new token, as printed.
#[derive(Serialize)]
struct NewToken {
    token: String,
    token_id: String,
    namespace: String,
    prefix: Option<String>,
    expires_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<String>,
}

/// Runs one of the commands.
pub(super) fn run(command: TokenCommand, matches: &ArgMatches) -> Result<(), Failure> {
    match command {
        TokenCommand::Viewer(mut args) => {
            let place = std::mem::take(&mut args.place);
            make(&place.load(matches)?, &args)
        }
        TokenCommand::Revoke(mut args) => {
            let place = std::mem::take(&mut args.place);
            revoke(&place.load(matches)?, &args)
        }
        TokenCommand::Inspect(mut args) => {
            let place = std::mem::take(&mut args.place);
            token_report::inspect(&place.load(matches)?, args)
        }
    }
}

/// Ends tokens.
fn revoke(settings: &Settings, args: &RevokeArgs) -> Result<(), Failure> {
    let namespace = Namespace::parse(&args.namespace).map_err(|error| usage(format!("--namespace: {error}")))?;
    if !settings.namespaces.contains_key(&namespace) {
        return Err(usage(format!(
            "--namespace: there is no {namespace} in these settings, and nothing is revoked: name the server's with --config"
        )));
    }
    let clock = Clock::system();
    let now = clock.wall();
    let time = |flag: &str, text: &Option<String>| -> Result<Option<WallTime>, Failure> {
        let Some(text) = text else { return Ok(None) };
        WallTime::parse(text)
            .map(Some)
            .ok_or_else(|| usage(format!("{flag}: {text:?} is no time as 2026-01-02T03:04:05Z is one")))
    };
    let what = match &args.id {
        Some(id) => {
            let known = KeyId::parse_token(id).ok_or_else(|| {
                usage("TOKEN_ID: is \"v-\" and 2 to 32 hexadecimal digits, as token_id where it was made; nothing is revoked")
            });
            RevokedTokens::Id(known?)
        }
        None => {
            // Those of this second, too.
            let this = now.seconds() + 1;
            let issued_before = time("--issued-before", &args.issued_before)?.map_or(this, WallTime::seconds);
            if issued_before > this {
                return Err(usage(
                    "--issued-before: is a time that has been: what is made from now on is not ended; nothing is revoked",
                ));
            }
            RevokedTokens::Before { prefix: beginning(args.prefix.as_deref().unwrap_or_default())?, issued_before }
        }
    };
    let until = time("--expires-at", &args.expires_at)?.unwrap_or(now + Duration::from_secs(400 * 86_400));
    if until <= now {
        return Err(usage("--expires-at: is over, and the token with it: there is nothing to end"));
    }
    let data = DataDir::new(&settings.data_dir);
    if !data.exists() {
        let place = settings.data_dir.display();
        return Err(
            anyhow!("there is no data directory {place}, so nothing would heed this: name the server's with --data-dir").into()
        );
    }
    RevocationList::new(data, clock).add(&Revocation { namespace, what, at: now, until })?;
    Ok(print("revoked; a running server refuses it within a second")?)
}

/// What keys begin with, if some can.
fn beginning(prefix: &str) -> Result<String, Failure> {
    opens_something(prefix).map_err(|error| usage(format!("--prefix: {error}")))?;
    Ok(prefix.to_owned())
}

fn usage(message: impl Into<String>) -> Failure {
    Failure::Usage(format!("error: {}", message.into()))
}

fn make(settings: &Settings, args: &ViewerArgs) -> Result<(), Failure> {
    let namespace = Namespace::parse(&args.namespace).map_err(|error| usage(format!("--namespace: {error}")))?;
    let policy = settings.namespaces.get(&namespace).map_or_else(ViewerPolicy::default, |policy| policy.viewers.clone());
    let life = args.expires.as_deref().map(parse_duration).transpose().map_err(|error| usage(format!("--expires: {error}")))?;
    let base = policy.base(&namespace);
    let network = |text: &String| {
        Network::parse(text)
            .ok_or_else(|| usage(format!("--address: {text:?} is no network, as 192.0.2.0/24 or 2001:db8::/64 are")))
    };
    let addresses: Vec<_> = args.address.iter().map(network).collect::<Result<_, _>>()?;
    let addresses = (!addresses.is_empty()).then_some(addresses);
    warn(&namespace, &policy, args)?;
    let spec = ViewerSpec {
        namespace: namespace.clone(),
        base: base.clone(),
        prefix: args.prefix.clone().unwrap_or_default(),
        exact_prefix: args.exact_prefix,
        life,
        most: policy.max_ttl,
        id: args.id.clone(),
        subject: args.subject.clone(),
        methods: None,
        addresses,
        countries: (!args.country.is_empty()).then(|| args.country.clone()),
        renewal: None,
    };
    let clock = Clock::system();
    let now = clock.wall();
    let data = DataDir::new(&settings.data_dir);
    // With a key from elsewhere there need be no such list here.
    let revoked = RevocationList::new(data.clone(), clock).read().unwrap_or_default();
    let mut claims = spec.claims(now).map_err(|error| {
        let flag = match error {
            SpecError::Life(_) => "--expires",
            SpecError::Slash => "--prefix",
            SpecError::Open(_) => "--prefix (or --exact-prefix)",
            SpecError::Id => "--id",
            SpecError::Nothing(_) | SpecError::Token => "--prefix",
            SpecError::Nowhere(_) => "--address or --country",
            SpecError::Country(_) => "--country",
            SpecError::Methods => "methods",
        };
        usage(format!("{flag}: {error}"))
    })?;
    claims.issued = Some(viewer::issue_time(revoked, &namespace, &spec.prefix, now));
    if args.key_file.is_none() && !data.path().join(viewer_key::FILE).exists() {
        complain(&format!(
            "note: there may be no viewer key in {}, so one is made: only a server on this directory takes the token",
            settings.data_dir.display()
        ));
    }
    let keys = viewer_key::named(settings, args.key_file.as_deref(), true)?;
    let token = viewer::seal(&keys, &claims).context("the token would be too long: name a shorter prefix, subject or id")?;
    let url = args.url.as_deref().map(|url| with_token(url, &base, &token, args.form)).transpose().map_err(usage)?;
    let header = match args.form {
        FormArg::Header => Some(format!("CTA-Common-Access-Token: {}", token.expose())),
        FormArg::Cookie => Some(format!(
            "Set-Cookie: CTA-Common-Access-Token={}; Path={base}; Max-Age={}; Secure; HttpOnly; SameSite=None",
            token.expose(),
            claims.expires - now.seconds()
        )),
        FormArg::Path | FormArg::Query => None,
    };
    let new = NewToken {
        token: token.expose().to_owned(),
        token_id: claims.key_id().map(|id| id.to_string()).unwrap_or_default(),
        namespace: namespace.to_string(),
        prefix: args.prefix.clone(),
        expires_at: shown_time(claims.expires),
        url,
        header,
    };
    Ok(print(&serde_json::to_string_pretty(&new).context("can't write JSON")?)?)
}

/// Tells what a server with these settings would make of such a token, and refuses to make one that it would refuse. Where they have no viewers the
/// token may be for another one.
fn warn(namespace: &Namespace, policy: &ViewerPolicy, args: &ViewerArgs) -> Result<(), Failure> {
    let (by_address, by_country) = (!args.address.is_empty(), !args.country.is_empty());
    if let Some((what, lacking)) = policy.lacks(by_address, by_country) {
        let flag = if what == "addresses" { "--address" } else { "--country" };
        let said = format!("{flag}: by these settings a server refuses what is bound to {what}: set {lacking} for {namespace}");
        if policy.mode != ViewerMode::Off {
            return Err(usage(said));
        }
        complain(&format!("note: {said}, or name the server's settings with --config"));
    }
    if args.form == FormArg::Query && policy.mode == ViewerMode::Edge && !policy.keeps_query {
        complain(
            "note: a proxy that asks (/entitlement) refuses a playlist with a token in the query: hand out --form path there",
        );
    }
    Ok(())
}

/// A playlist's URL with the token in it, where that is its form.
fn with_token(url: &str, base: &str, token: &Secret<'_>, form: FormArg) -> Result<String, String> {
    let mut url = Url::parse(url).map_err(|error| format!("--url: {error}"))?;
    match form {
        FormArg::Path => {
            let rest = url.path().strip_prefix(base).map(str::to_owned);
            let rest =
                rest.ok_or_else(|| format!("--url: its path does not begin with {base}, the namespace's viewers.base_path"))?;
            url.set_path(&format!("{base}~{}/{rest}", token.expose()));
        }
        FormArg::Query => {
            url.query_pairs_mut().append_pair("cat", token.expose());
        }
        FormArg::Header | FormArg::Cookie => {}
    }
    Ok(url.to_string())
}
