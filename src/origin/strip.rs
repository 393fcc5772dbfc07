//! Secrets stay home: what a playlist may not say to its readers is taken out before it is stored.
//!
//! AWS Elemental MediaLive copies the query of its destination, encoder key included, into the URIs of its multivariant playlist,
//! where every viewer can read it.

use super::namespace::Hosted;
use crate::auth::key::holds_key;
use crate::auth::viewer::{EDGE_AUTH_NAMES, has_form, is_cat, is_edge_auth};
use crate::hls::playlist::is_reference;
use crate::hls::rewrite::{self, Parameter};
use crate::hls::utf16;
use crate::model::id::Key;
use crate::model::kind::Kind;
use crate::store::Body;

/// Whether it is a viewer's token. Of what leads elsewhere only what can be nothing else.
fn is_viewers(parameter: &Parameter<'_>) -> bool {
    let (name, value) = (&*parameter.name, &*parameter.value);
    let may_stand = matches!(name, "~" | "cat") && has_form(value) && (!parameter.elsewhere || is_cat(value));
    // Of these names, too, what says something else is somebody's own affair.
    may_stand || (name == "~" || EDGE_AUTH_NAMES.contains(&name)) && is_edge_auth(value)
}

/// The body as it is to be stored: the very same one, unless its namespace's rules take something out of it.
///
/// Out go, by `strip_credentials`: `_gda_` (Akamai's, for writing), whatever holds a key of ours under any name, and `token`; but
/// a `token` that is none of ours stays in a URI that leads elsewhere, as to a server of content keys, which asks players for it.
/// What only refers to a variable says no secret: each reader puts his own there (RFC 8216bis 4.4.2.3). What a playlist itself gives a variable
/// as its value is looked at as what it stands for.
/// Viewers' tokens, Akamai's among them, go out of paths and queries, or whoever reads the playlist would have somebody else's. And user and password before any host. By `strip_parameters`: what encoders say to us alone, and what makes two objects of
/// one in a CDN.
pub(super) fn credentials(hosted: &Hosted, key: &Key, body: Body) -> Body {
    let policy = &hosted.policy;
    let kind = Kind::of(key, &body.bytes);
    if !kind.is_rewritten() || !(policy.strip_credentials || policy.strip_parameters) {
        return body;
    }
    let is_credential = |parameter: &Parameter<'_>| {
        let named = parameter.name == "_gda_" || parameter.name == "token" && !parameter.elsewhere;
        let says_something = !parameter.value.is_empty() && !is_reference(&parameter.value);
        named && says_something || holds_key(&parameter.value) || is_viewers(parameter)
    };
    let is_for_us = |parameter: &Parameter<'_>| {
        !parameter.elsewhere && !parameter.is_definition && matches!(&*parameter.name, "ttl_seconds" | "role")
    };
    let drop = |parameter: &Parameter<'_>| {
        policy.strip_credentials && is_credential(parameter) || policy.strip_parameters && is_for_us(parameter)
    };
    let stripped = match utf16::decode(&body.bytes) {
        None => rewrite::strip(kind, &body.bytes, policy.strip_credentials, drop),
        Some((text, how)) => {
            let stripped = rewrite::strip(kind, text.as_bytes(), policy.strip_credentials, drop);
            stripped.map(|stripped| utf16::encode(&String::from_utf8_lossy(&stripped), how))
        }
    };
    match stripped {
        None => body,
        Some(stripped) => {
            hosted.metrics.playlists_stripped.inc();
            Body::new(stripped)
        }
    }
}
