//! `springhead token`: viewers' tokens, made and read with the viewer key in the data directory. A server knows them by that key, and keeps
//! nothing of them.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use serde::Serialize;

use super::args::{ArgMatches, Args, Subcommand, ValueEnum};
use super::client::Url;
use super::data_dir::DataDir;
use super::keys::rfc3339;
use super::place::PlaceArgs;
use super::settings::Settings;
use super::{Failure, complain, print, viewer_key};
use crate::auth::secret::Secret;
use crate::auth::signing::random;
use crate::auth::viewer::{self, UriMatch, UriPart, UriRule, ViewerClaims, ViewerError, ViewerKeys};
use crate::model::clock::{Clock, WallTime};
use crate::model::id::Namespace;
use crate::model::units::{Span, parse_duration};
use crate::origin::policy::ViewerPolicy;

/// How long a token is good where nothing is said, if the namespace allows that.
const LIFE: Duration = Duration::from_secs(2 * 3600);
/// How far a point in time can be written as RFC 3339: the end of the year 9999.
const LAST: u64 = 253_402_300_799;

/// What is done with viewers' tokens.
#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token that opens a part of one namespace for reading, and print it as JSON. It is kept nowhere.
    Viewer(ViewerArgs),
    /// Say what a token says, and whether a server with this viewer key takes it.
    Inspect(InspectArgs),
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
pub(super) struct InspectArgs {
    /// The token, or - to read it from stdin.
    #[arg(value_name = "TOKEN")]
    token: String,
    /// The viewer key, where it is not in the data directory.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
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

/// What a token says, as printed.
#[derive(Serialize)]
struct InspectedToken {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(flatten)]
    claims: Option<ShownClaims>,
}

/// The claims by their names.
#[derive(Serialize)]
struct ShownClaims {
    token_id: String,
    iss: Option<String>,
    sub: Option<String>,
    aud: Vec<String>,
    exp: String,
    nbf: Option<String>,
    iat: Option<String>,
    catu: Vec<String>,
    catm: Vec<String>,
}

/// Runs one of the commands.
pub(super) fn run(command: TokenCommand, matches: &ArgMatches) -> Result<(), Failure> {
    match command {
        TokenCommand::Viewer(mut args) => {
            let place = std::mem::take(&mut args.place);
            make(&place.load(matches)?, &args)
        }
        TokenCommand::Inspect(InspectArgs { token, key_file, place }) => inspect(&place.load(matches)?, token, key_file.as_ref()),
    }
}

fn usage(message: impl Into<String>) -> Failure {
    Failure::Usage(format!("error: {}", message.into()))
}

/// The keys, from a file that is named or from the data directory.
fn keys(settings: &Settings, file: Option<&PathBuf>, make: bool) -> anyhow::Result<ViewerKeys> {
    if let Some(file) = file {
        return viewer_key::read(file);
    }
    let data = DataDir::new(&settings.data_dir);
    let signing: Vec<String> = data.key_ring(false).map(|ring| ring.ids().map(str::to_owned).collect()).unwrap_or_default();
    viewer_key::load(&data, signing.iter().map(String::as_str), make)
}

fn make(settings: &Settings, args: &ViewerArgs) -> Result<(), Failure> {
    let namespace = Namespace::parse(&args.namespace).map_err(|error| usage(format!("--namespace: {error}")))?;
    let policy = settings.namespaces.get(&namespace).map_or_else(ViewerPolicy::default, |policy| policy.viewers.clone());
    let life = match args.expires.as_deref() {
        Some(text) => parse_duration(text).map_err(|error| usage(format!("--expires: {error}")))?,
        None => LIFE.min(policy.max_ttl),
    };
    if life < Duration::from_secs(1) || life > policy.max_ttl {
        let most = Span(policy.max_ttl);
        return Err(usage(format!("--expires: takes 1s to {most}, the namespace's viewers.max_ttl")));
    }
    let prefix = args.prefix.as_deref().unwrap_or_default();
    if prefix.starts_with('/') || args.prefix.as_deref() == Some("") {
        return Err(usage("--prefix: object keys begin without a slash, so a prefix has to as well, and not be empty"));
    }
    if !(prefix.is_empty() || prefix.ends_with('/') || args.exact_prefix) {
        return Err(usage(format!(
            "--prefix: {prefix:?} would open what begins so in other folders, too: write \"{prefix}/\", or add --exact-prefix"
        )));
    }
    let id = match args.id.as_deref().map(str::as_bytes) {
        None => random::<8>().to_vec(),
        Some(id) if (1..=16).contains(&id.len()) => id.to_vec(),
        Some(_) => return Err(usage("--id: takes 1 to 16 bytes")),
    };
    let now = Clock::system().wall().seconds();
    let base = policy.base(&namespace);
    let claims = ViewerClaims {
        id,
        expires: now + life.as_secs(),
        not_before: None,
        issued: Some(now),
        issuer: None,
        subject: args.subject.clone().map(Secret::new),
        audience: vec![namespace.to_string()],
        rules: vec![UriRule { part: UriPart::Path, matching: UriMatch::Prefix, any_of: vec![format!("{base}{prefix}")] }],
        methods: None,
    };
    let data = DataDir::new(&settings.data_dir);
    if args.key_file.is_none() && !data.path().join(viewer_key::FILE).exists() {
        complain(&format!(
            "note: there may be no viewer key in {}, so one is made: only a server on this directory takes the token",
            settings.data_dir.display()
        ));
    }
    let keys = keys(settings, args.key_file.as_ref(), true)?;
    let token = viewer::seal(&keys, &claims).context("the token would be too long: name a shorter prefix, subject or id")?;
    let url = args.url.as_deref().map(|url| with_token(url, &base, &token, args.form)).transpose().map_err(usage)?;
    let header = match args.form {
        FormArg::Header => Some(format!("CTA-Common-Access-Token: {}", token.expose())),
        FormArg::Cookie => Some(format!(
            "Set-Cookie: CTA-Common-Access-Token={}; Path={base}; Max-Age={}; Secure; HttpOnly; SameSite=None",
            token.expose(),
            life.as_secs()
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

fn inspect(settings: &Settings, token: String, key_file: Option<&PathBuf>) -> Result<(), Failure> {
    let token = if token == "-" {
        let text = std::io::read_to_string(std::io::stdin()).context("can't read stdin")?;
        text.trim().to_owned()
    } else {
        token
    };
    // As it stands in a path, too.
    let token = Secret::new(token.trim_start_matches('~').trim_end_matches('/').to_owned());
    let keys = keys(settings, key_file, false)?;
    let now = Clock::system().wall();
    let inspected = match viewer::open(&keys, &token) {
        Err(error) => InspectedToken { status: status(&error), reason: Some(error.to_string()), claims: None },
        Ok(claims) => {
            let past = now >= WallTime::from_seconds(claims.expires);
            let early = claims.not_before.is_some_and(|begin| now < WallTime::from_seconds(begin));
            let (status, reason) = match (past, early) {
                (true, _) => ("expired", Some("it has ended: take a new one".to_owned())),
                (_, true) => ("not-yet", Some("its time has not begun".to_owned())),
                _ => ("good", None),
            };
            InspectedToken { status, reason, claims: Some(shown_claims(&claims)) }
        }
    };
    print(&serde_json::to_string_pretty(&inspected).context("can't write JSON")?)?;
    match inspected.reason {
        None => Ok(()),
        Some(reason) => Err(anyhow!("the token is not good: {reason}").into()),
    }
}

fn status(error: &ViewerError) -> &'static str {
    if matches!(error, ViewerError::Unsupported(_)) { "unsupported" } else { "refused" }
}

fn shown_time(seconds: u64) -> String {
    rfc3339(WallTime::from_seconds(seconds.min(LAST)))
}

fn shown_claims(claims: &ViewerClaims) -> ShownClaims {
    let rule = |rule: &UriRule| {
        let part = if rule.part == UriPart::Path { "path" } else { "host" };
        let matching = match rule.matching {
            UriMatch::Exact => "is",
            UriMatch::Prefix => "begins with",
            UriMatch::Suffix => "ends in",
        };
        format!("{part} {matching} {}", rule.any_of.join(" or "))
    };
    ShownClaims {
        token_id: claims.key_id().map(|id| id.to_string()).unwrap_or_default(),
        iss: claims.issuer.clone(),
        sub: claims.subject.as_ref().map(|subject| subject.expose().to_owned()),
        aud: claims.audience.clone(),
        exp: shown_time(claims.expires),
        nbf: claims.not_before.map(shown_time),
        iat: claims.issued.map(shown_time),
        catu: claims.rules.iter().map(rule).collect(),
        catm: claims.methods.clone().unwrap_or_else(|| vec!["GET".to_owned(), "HEAD".to_owned()]),
    }
}
