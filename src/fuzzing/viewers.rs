//! What a viewer's token says.

use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::auth::secret::Secret;
use crate::auth::signing::SigningKey;
use crate::auth::viewer::{self, UriMatch, UriPart, ViewerAsked, ViewerKeys};
use crate::model::clock::WallTime;
use crate::model::id::Namespace;

static KEYS: LazyLock<ViewerKeys> =
    LazyLock::new(|| ViewerKeys::new(&SigningKey::parse_all("c3ByaW5naGVhZC1mdXp6aW5nLW5vdGhpbmctZWxzZSE").unwrap_or_default()));

/// No text and no bytes are a token that was not made; claims that were signed are read as what they are or not at all, are written as the
/// same ones, and open nothing that lies outside of what they say.
pub fn viewer_token(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert!(viewer::open(&KEYS, &Secret::new(text)).is_err(), "a forged token was opened");
        if viewer::has_form(text) {
            assert!(text.len() >= 40 && !text.contains(['/', '=', '%', '~', '?']));
        }
    }
    let encoded = URL_SAFE_NO_PAD.encode(bytes);
    assert!(viewer::open(&KEYS, &Secret::new(encoded)).is_err(), "forged bytes were opened");

    let Some(token) = viewer::seal_payload(&KEYS, bytes) else { return };
    let Ok(claims) = viewer::open(&KEYS, &token) else { return };
    // A version and an array may be added: of the longest there is no room for that.
    let Some(again) = viewer::seal(&KEYS, &claims) else { return };
    assert_eq!(viewer::open(&KEYS, &again).as_ref(), Ok(&claims), "it is written as something else");
    let Ok(live) = Namespace::parse("live") else { unreachable!("it is a name") };
    let prefix = claims.rules.iter().find(|rule| rule.part == UriPart::Path && rule.matching == UriMatch::Prefix);
    for key in ["a.ts", "show/a.ts", "show"] {
        let base = "/cache/live/";
        let plain = ViewerAsked::plain(&live, base, key);
        let asked = ViewerAsked { host: Some("a.example"), skew: Duration::from_secs(30), ..plain };
        let now = WallTime::from_seconds(1_800_000_000);
        let Ok(admitted) = claims.judge(&asked, now, |_| false) else { continue };
        assert!(claims.expires > 1_800_000_000 && claims.audience.iter().any(|name| name == "live"));
        assert!(admitted.grant.prefix.as_deref().is_some_and(|prefix| key.starts_with(prefix)));
        let path = format!("{base}{key}");
        assert!(prefix.is_none_or(|rule| rule.any_of.iter().any(|prefix| path.starts_with(prefix.as_str()))));
    }
}
