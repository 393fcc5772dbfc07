//! `springhead token inspect`: what a token says, and what a server with this viewer key makes of it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use serde::Serialize;

use super::args::Args;
use super::data_dir::DataDir;
use super::keys::rfc3339;
use super::place::PlaceArgs;
use super::settings::Settings;
use super::viewer_revocations::RevocationList;
use super::{Failure, print, viewer_key};
use crate::auth::secret::Secret;
use crate::auth::viewer::{self, RenewedBy, RevokedExtent, TokenRenewal, UriMatch, UriPart, UriRule, ViewerClaims, ViewerError};
use crate::model::clock::{Clock, WallTime};
use crate::model::id::Namespace;
use crate::model::units::Span;
use crate::origin::policy::{ViewerMode, ViewerPolicy};

/// How far a point in time can be written as RFC 3339: the end of the year 9999.
const LAST: u64 = 253_402_300_799;

#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    /// The token, or - to read it from stdin. One of Akamai's (`exp=…~acl=…~hmac=…`) as well, where viewer.key has its key.
    #[arg(value_name = "TOKEN")]
    token: String,
    /// The path by which a viewer asks: one of Akamai's tokens without an acl is good for one alone, and can't be checked without. Whether a
    /// token is revoked is told for that path, too.
    #[arg(long, value_name = "PATH", default_value = "")]
    path: String,
    /// The viewer key, where it is not in the data directory.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    #[command(flatten)]
    pub(super) place: PlaceArgs,
}

/// What a token says, as printed.
#[derive(Serialize)]
struct InspectedToken {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    catnip: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    catgeoiso3166: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    catr: Option<String>,
}

/// Prints what a token says. One that is not good is a failure.
pub(super) fn inspect(settings: &Settings, args: InspectArgs) -> Result<(), Failure> {
    let InspectArgs { token, path, key_file, .. } = args;
    let token = if token == "-" {
        let text = std::io::read_to_string(std::io::stdin()).context("can't read stdin")?;
        text.trim().to_owned()
    } else {
        token
    };
    // As it stands in a path, too.
    let token = Secret::new(token.trim_start_matches('~').trim_end_matches('/').to_owned());
    let keys = viewer_key::named(settings, key_file.as_deref(), false)?;
    let clock = Clock::system();
    let now = clock.wall();
    let opened = viewer::open_edge_auth(&keys, &token, &path).unwrap_or_else(|| viewer::open(&keys, &token));
    let inspected = match opened {
        Err(error) => InspectedToken { status: status(&error), reason: Some(error.to_string()), note: None, claims: None },
        Ok(claims) => {
            let of = |name: &String| settings.namespaces.get(&Namespace::parse(name).ok()?).map(|policy| policy.viewers.clone());
            let policy = claims.audience.iter().find_map(of).unwrap_or_default();
            let is_ahead = |time: Option<u64>| time.is_some_and(|time| now + policy.clock_skew < WallTime::from_seconds(time));
            let list = RevocationList::new(DataDir::new(&settings.data_dir), clock);
            let revoked = list.read().context("can't tell which tokens are revoked")?;
            let extents: Vec<_> = claims
                .audience
                .iter()
                .filter_map(|name| Namespace::parse(name).ok())
                .map(|namespace| {
                    let policy =
                        settings.namespaces.get(&namespace).map_or_else(ViewerPolicy::default, |policy| policy.viewers.clone());
                    claims.revoked_extent(&revoked, &namespace, &policy.base(&namespace), &path)
                })
                .collect();
            // One for several namespaces goes on in the others.
            let is_ended = !extents.is_empty() && extents.iter().all(|extent| *extent == RevokedExtent::All);
            let is_narrowed = !is_ended && extents.iter().any(|extent| *extent != RevokedExtent::Nothing);
            let untaken = Untaken::of(&claims, settings);
            let (status, reason) = if is_ended {
                ("revoked", Some("it was revoked: take a new one"))
            } else if now >= WallTime::from_seconds(claims.expires) {
                ("expired", Some("it has ended: take a new one"))
            } else if is_ahead(claims.issued) {
                ("not-yet", Some("it says that it is made at a time to come (iat, in seconds, not milliseconds)"))
            } else if is_ahead(claims.not_before) {
                ("not-yet", Some("its time has not begun"))
            } else if let Some(lacking) = &untaken.refusal {
                ("unsupported", Some(lacking.as_str()))
            } else {
                ("good", None)
            };
            let is_long = WallTime::from_seconds(claims.expires) > now + policy.max_ttl + policy.clock_skew;
            let narrowed =
                is_narrowed.then(|| "it is revoked for a part of what it opens: say --path to ask for one object".to_owned());
            let long = is_long.then(|| {
                let most = Span(policy.max_ttl);
                format!("it is good for longer than the {most} that one made here is (max_ttl): is its exp in seconds, not milliseconds?")
            });
            let notes: Vec<_> = [narrowed, long, untaken.note].into_iter().flatten().collect();
            let note = (!notes.is_empty()).then(|| notes.join("; "));
            InspectedToken { status, reason: reason.map(str::to_owned), note, claims: Some(shown_claims(&claims)) }
        }
    };
    print(&serde_json::to_string_pretty(&inspected).context("can't write JSON")?)?;
    match inspected.reason {
        None => Ok(()),
        Some(reason) => Err(anyhow!("the token is not good: {reason}").into()),
    }
}

/// Why a server with these settings does not take a token that is good in itself.
#[derive(Default)]
struct Untaken {
    /// It would refuse it.
    refusal: Option<String>,
    /// The same, if these are its settings: they have no viewers where the token is for.
    note: Option<String>,
}

impl Untaken {
    fn of(claims: &ViewerClaims, settings: &Settings) -> Self {
        let policy = |name: &String| Some(&settings.namespaces.get(&Namespace::parse(name).ok()?)?.viewers);
        let on: Vec<_> = claims.audience.iter().filter_map(policy).filter(|policy| policy.mode != ViewerMode::Off).collect();
        if on.is_empty() {
            let names = claims.audience.join(", ");
            let note =
                format!("by these settings no viewer holds tokens for what it is for ({names}): name the server's with --config");
            return Self { note: Some(note), ..Self::default() };
        }
        // One that takes it is enough.
        let lacking: Option<Vec<_>> =
            on.iter().map(|policy| policy.lacks(claims.addresses.is_some(), claims.countries.is_some())).collect();
        let refusal = lacking.unwrap_or_default().first().map(|(what, settings)| {
            format!("it is bound to {what}, and by these settings a server is told of none: set {settings}")
        });
        Self { refusal, note: None }
    }
}

fn status(error: &ViewerError) -> &'static str {
    if matches!(error, ViewerError::Unsupported(_)) { "unsupported" } else { "refused" }
}

pub(super) fn shown_time(seconds: u64) -> String {
    rfc3339(WallTime::from_seconds(seconds.min(LAST)))
}

fn shown_claims(claims: &ViewerClaims) -> ShownClaims {
    let rule = |rule: &UriRule| {
        let part = if rule.part == UriPart::Path { "path" } else { "host" };
        let matching = match rule.matching {
            UriMatch::Exact => "is",
            UriMatch::Prefix => "begins with",
            UriMatch::Suffix => "ends in",
            UriMatch::Pattern => "is like",
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
        catnip: claims.addresses.as_ref().map(|networks| networks.iter().map(ToString::to_string).collect()),
        catgeoiso3166: claims.countries.clone(),
        catr: claims.renewal.map(|TokenRenewal { by, extend, deadline }| {
            let way = if by == RenewedBy::Redirect { "a redirect" } else { "a header" };
            format!("by {way}, {} at a time, until {}", Span(Duration::from_secs(extend)), shown_time(deadline))
        }),
    }
}
