//! `/v1/namespaces/{namespace}/viewer-tokens` and `…/viewer-revocations` on the admin listener: a back end has viewers' tokens made for those
//! it has let in, and ends them. It does so with a key of role `vendor`, which is good for nothing else.
//!
//! Nothing is kept of a token that is made. A revocation is kept by the floor above ([`Revokes`]).

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::schema::Schemas;
use super::{json_response, orders};
use crate::auth::grant::{Grant, KeyId};
use crate::auth::viewer::{Network, RenewedBy, Revocation, RevokedTokens, TokenRenewal, ViewerSpec, opens_something};
use crate::model::clock::WallTime;
use crate::model::id::Namespace;
use crate::model::percent;
use crate::model::units::parse_duration;
use crate::origin::policy::{ViewerMode, ViewerPolicy};
use crate::web::Web;
use crate::web::problem::Problem;
use crate::web::problem::code::Code;
use crate::web::record::shown;

/// The longest order, in bytes.
const LONGEST: usize = 16 << 10;
/// How many tokens are made at once.
const MOST_TOKENS: usize = 1000;
/// How many playlists are named beside a token.
const MOST_URLS: usize = 16;
/// The ids of so many tokens that were made together are written down; the rest is their number.
const MOST_NOTED: usize = 100;
/// How long a revocation is kept of a token whose end is not said: longer than any that anybody makes.
const KEPT: Duration = Duration::from_secs(400 * 86_400);

/// Why a token is not revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotRevoked {
    /// As many revocations are kept as may be; what to do.
    Full(String),
    /// It can't be kept: the server's log says why.
    Failed,
}

/// What keeps revocations.
pub trait Revokes: Debug + Send + Sync {
    /// Puts one more in force, here and after a restart.
    ///
    /// # Errors
    /// [`NotRevoked`].
    fn revoke(&self, revocation: Revocation) -> Result<(), NotRevoked>;
}

/// An order for tokens, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenOrder {
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    exact_prefix: bool,
    expires_in: Option<String>,
    expires_at: Option<String>,
    id: Option<String>,
    subject: Option<String>,
    methods: Option<Vec<String>>,
    addresses: Option<Vec<String>>,
    countries: Option<Vec<String>>,
    renew: Option<RenewalOrder>,
    count: Option<usize>,
}

/// How a token is renewed, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RenewalOrder {
    extend: String,
    deadline: String,
    by: Option<RenewalWay>,
}

/// By which way: by redirects, unless it is said.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RenewalWay {
    Redirect,
    Header,
}

/// An order to end some, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RevocationOrder {
    id: Option<String>,
    expires_at: Option<String>,
    prefix: Option<String>,
    issued_before: Option<String>,
}

/// Makes tokens, and says what may be written down of them. `vendor`: who orders them, if that is not an administrator.
pub(super) async fn make(
    web: &Web,
    namespace: &Namespace,
    vendor: Option<&Grant>,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Response, Value), Problem> {
    let order: TokenOrder = orders::read(headers, body, LONGEST).await?;
    orders::without_token("prefix", &order.prefix)?;
    let policy = policy(web, namespace)?;
    let now = web.inner.origin.clock().wall();
    let life = match (&order.expires_in, &order.expires_at) {
        (None, None) => None,
        (Some(text), None) => Some(parse_duration(text).map_err(|error| Problem::bad_request(format!("expires_in: {error}")))?),
        (None, Some(text)) => {
            Some(Duration::from_secs(orders::time("expires_at", text)?.seconds().saturating_sub(now.seconds())))
        }
        (Some(_), Some(_)) => return Err(Problem::bad_request("say expires_in or expires_at, not both")),
    };
    // Who may mint for an hour more makes no token that outlives that.
    let most = vendor.and_then(|vendor| vendor.ends).map_or(policy.max_ttl, |ends| policy.max_ttl.min(ends.since(now)));
    if let Some(wanted) = vendor.and_then(|vendor| vendor.prefix.as_deref())
        && !order.prefix.starts_with(wanted)
    {
        return Err(Problem::new(
            Code::Forbidden,
            "the vendor key makes tokens for what begins with its own prefix, and for nothing else",
        ));
    }
    let addresses = order.addresses.map(|list| {
        let network = |text: &String| {
            Network::parse(text)
                .ok_or_else(|| Problem::bad_request("addresses are like 192.0.2.0/24, 2001:db8::/64 or 192.0.2.7"))
        };
        list.iter().map(network).collect::<Result<Vec<_>, _>>()
    });
    let renewal = order.renew.map(|order| renewal(&policy, &order));
    told_where(&policy, addresses.is_some(), order.countries.is_some())?;
    let spec = ViewerSpec {
        namespace: namespace.clone(),
        base: policy.base(namespace),
        prefix: order.prefix,
        exact_prefix: order.exact_prefix,
        life,
        most,
        id: order.id,
        subject: order.subject,
        methods: order.methods,
        addresses: addresses.transpose()?,
        countries: order.countries,
        renewal: renewal.transpose()?,
    };
    let count = order.count.unwrap_or(1);
    if !(1..=MOST_TOKENS).contains(&count) || count > 1 && spec.id.is_some() {
        return Err(Problem::bad_request("count is 1 to 1000, and several tokens have ids of their own"));
    }
    let issued = web.viewers().issue_time(namespace, &spec.prefix, now);
    let mut made = Vec::with_capacity(count);
    let mut ends = now;
    for _ in 0..count {
        let mut claims = spec.claims(now).map_err(|error| Problem::bad_request(error.to_string()))?;
        claims.issued = Some(issued);
        let token = web.viewers().seal(&claims);
        let token = token.ok_or_else(|| {
            Problem::bad_request(
                "no token is made: it would be longer than 1,400 characters (take a shorter prefix or subject), or there is no viewer key \
                 that signs (viewer.key)",
            )
        })?;
        ends = WallTime::from_seconds(claims.expires);
        let id = claims.key_id().map(|id| id.to_string()).unwrap_or_default();
        made.push((token.expose().to_owned(), id));
    }
    let mut answer = json!({ "namespace": namespace.as_str(), "prefix": spec.prefix, "expires_at": ends.to_string() });
    let mut noted = answer.clone();
    noted["count"] = json!(made.len());
    noted["token_ids"] = made.iter().take(MOST_NOTED).map(|(_, id)| id.as_str()).collect();
    if let (None, [(token, id)]) = (order.count, &made[..]) {
        answer["token"] = json!(token);
        answer["token_id"] = json!(id);
        answer["urls"] = json!(urls(web, namespace, &policy, &spec, token));
    } else {
        answer["tokens"] = made.iter().map(|(token, id)| json!({ "token": token, "token_id": id })).collect();
    }
    Ok((json_response(StatusCode::CREATED, &answer), noted))
}

/// How a token is to be renewed.
fn renewal(policy: &ViewerPolicy, order: &RenewalOrder) -> Result<TokenRenewal, Problem> {
    if policy.mode == ViewerMode::Edge {
        return Err(Problem::bad_request(
            "renew: where an edge takes tokens off (viewers.mode is \"edge\") none is renewed: leave it out, and order tokens as long as the \
             programme, or have the app take new ones",
        ));
    }
    let extend = parse_duration(&order.extend).map_err(|error| Problem::bad_request(format!("renew.extend: {error}")))?;
    Ok(TokenRenewal {
        by: match order.by {
            Some(RenewalWay::Header) => RenewedBy::Header,
            Some(RenewalWay::Redirect) | None => RenewedBy::Redirect,
        },
        extend: extend.as_secs().max(1),
        deadline: orders::time("renew.deadline", &order.deadline)?.seconds(),
    })
}

/// Where a viewer begins: every stream below the prefix, with the token in its path.
fn urls(web: &Web, namespace: &Namespace, policy: &ViewerPolicy, spec: &ViewerSpec, token: &str) -> Vec<String> {
    let streams = web.inner.origin.streams();
    let below = streams.iter().filter(|report| report.namespace == namespace.as_str() && report.stream.starts_with(&spec.prefix));
    // A name with a credential in it is told to nobody.
    let told = below.map(|report| &report.stream).filter(|stream| shown(stream) == stream.as_str()).take(MOST_URLS);
    let base = percent::encode_path(&spec.base).to_string();
    told.map(|stream| format!("{}{base}~{token}/{}", policy.public_url, percent::encode_path(stream))).collect()
}

/// Ends tokens, and says which.
pub(super) async fn revoke(
    web: &Web,
    revokes: &Arc<dyn Revokes>,
    namespace: &Namespace,
    vendor: Option<&Grant>,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Response, Value), Problem> {
    let order: RevocationOrder = orders::read(headers, body, LONGEST).await?;
    orders::without_query("prefix", order.prefix.as_deref().unwrap_or_default())?;
    policy(web, namespace)?;
    let now = web.inner.origin.clock().wall();
    let narrowed = vendor.and_then(|vendor| vendor.prefix.as_deref());
    let what = match (order.id, order.prefix, order.issued_before) {
        // Whose a token is does not stand in its id, and ids that a back end chooses can be guessed.
        (Some(_), None, None) if narrowed.is_some() => {
            return Err(Problem::new(Code::Forbidden, "a vendor key for a prefix ends tokens by prefix, not by id"));
        }
        (Some(id), None, None) => RevokedTokens::Id(KeyId::parse_token(&id).ok_or_else(|| {
            Problem::bad_request("an id is that of a token: \"v-\" and 2 to 32 hexadecimal digits, as token_id where it was made")
        })?),
        (None, Some(prefix), before) => {
            opens_something(&prefix).map_err(|error| Problem::bad_request(error.to_string()))?;
            if narrowed.is_some_and(|own| !prefix.starts_with(own)) {
                return Err(Problem::new(Code::Forbidden, "the vendor key ends tokens for what begins with its own prefix"));
            }
            // Tokens say the second in which they were made: those of this one end, too.
            let this = now.seconds() + 1;
            let before = before.map_or(Ok(this), |text| orders::time("issued_before", &text).map(WallTime::seconds))?;
            if before > this {
                return Err(Problem::bad_request("issued_before is a time that has been: what is made from now on is not ended"));
            }
            RevokedTokens::Before { prefix, issued_before: before }
        }
        _ => return Err(Problem::bad_request("say id, or prefix and, if you like, issued_before")),
    };
    let until = match order.expires_at {
        Some(text) => orders::time("expires_at", &text)?,
        None => now + KEPT,
    };
    if until <= now {
        return Err(Problem::bad_request("expires_at is over, and the token with it: there is nothing to end"));
    }
    let revocation = Revocation { namespace: namespace.clone(), what, at: now, until };
    let told = told(&revocation);
    // It is written down, which takes its time.
    let revokes = Arc::clone(revokes);
    let done = tokio::task::spawn_blocking(move || revokes.revoke(revocation)).await;
    done.unwrap_or(Err(NotRevoked::Failed)).map_err(|error| match error {
        NotRevoked::Full(told) => Problem::new(Code::TooManyRevocations, told),
        NotRevoked::Failed => {
            Problem::new(Code::Internal, "the revocation can't be kept, so it is not in force: the server's log says why")
        }
    })?;
    Ok((json_response(StatusCode::CREATED, &told), told))
}

/// What has been revoked, for edges to follow.
pub(super) fn feed(web: &Web, namespace: &Namespace, query: Option<&str>) -> Result<Response, Problem> {
    policy(web, namespace)?;
    let pairs = query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let since = pairs.into_iter().find(|(name, _)| *name == "since").map(|(_, since)| since);
    let since = match since.map(|since| percent::decode(since).unwrap_or(since.into())) {
        None => WallTime::from_seconds(0),
        Some(text) => orders::time("since", &text)?,
    };
    let list: Vec<Value> = web.viewers().revocations(namespace, since).iter().map(told).collect();
    let now = web.inner.origin.clock().wall().to_string();
    Ok(json_response(StatusCode::OK, &json!({ "revocations": list, "now": now })))
}

fn told(revocation: &Revocation) -> Value {
    let Revocation { what, at, until, .. } = revocation;
    let mut told = json!({ "revoked_at": at.to_string(), "forgotten_after": until.to_string() });
    match what {
        RevokedTokens::Id(id) => told["id"] = json!(id.as_str()),
        RevokedTokens::Before { prefix, issued_before } => {
            told["prefix"] = json!(prefix);
            told["issued_before"] = json!(WallTime::from_seconds(*issued_before).to_string());
        }
    }
    told
}

fn policy(web: &Web, namespace: &Namespace) -> Result<ViewerPolicy, Problem> {
    let policy = web.inner.origin.namespace(namespace).policy().cloned();
    let policy = policy.ok_or_else(|| Problem::from(crate::origin::OriginError::UnknownNamespace))?;
    if policy.viewers.mode == ViewerMode::Off {
        let detail = "viewers hold no tokens for this namespace (viewers.mode is \"off\"): turn them on first";
        return Err(Problem::new(Code::ViewerTokenUnsupported, detail));
    }
    Ok(policy.viewers.clone())
}

/// Refuses a token that is bound to a place where this server is told of none: it would be refused wherever it is shown.
fn told_where(policy: &ViewerPolicy, by_address: bool, by_country: bool) -> Result<(), Problem> {
    policy.lacks(by_address, by_country).map_or(Ok(()), |(what, settings)| {
        Err(Problem::bad_request(format!(
            "{what}: this namespace is not told where viewers are, so such a token would open nothing: set {settings} first, or leave {what} out"
        )))
    })
}

/// What an order for tokens looks like.
pub(super) fn token_order_schema(all: &mut Schemas) -> Value {
    let text = || json!({ "type": ["string", "null"] });
    let texts = || json!({ "type": ["array", "null"], "items": { "type": "string" } });
    all.named("ViewerTokenOrder", |_| {
        json!({
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "prefix": { "type": "string" }, "exact_prefix": { "type": "boolean" },
                "expires_in": text(), "expires_at": text(), "id": text(), "subject": text(),
                "methods": texts(), "addresses": texts(), "countries": texts(),
                "renew": {
                    "type": ["object", "null"],
                    "additionalProperties": false,
                    "required": ["extend", "deadline"],
                    "properties": {
                        "extend": { "type": "string" }, "deadline": { "type": "string" },
                        "by": { "enum": ["redirect", "header", null] },
                    },
                },
                "count": { "type": ["integer", "null"], "minimum": 1, "maximum": MOST_TOKENS },
            },
        })
    })
}

/// And one to end some.
pub(super) fn revocation_order_schema(all: &mut Schemas) -> Value {
    let text = || json!({ "type": ["string", "null"] });
    all.named("ViewerRevocationOrder", |_| {
        json!({
            "type": "object",
            "additionalProperties": false,
            "properties": { "id": text(), "expires_at": text(), "prefix": text(), "issued_before": text() },
        })
    })
}

/// And what was ended.
pub(super) fn feed_schema(_: &mut Schemas) -> Value {
    json!({
        "type": "object",
        "required": ["revocations", "now"],
        "properties": { "revocations": { "type": "array", "items": { "type": "object" } }, "now": { "type": "string" } },
    })
}
