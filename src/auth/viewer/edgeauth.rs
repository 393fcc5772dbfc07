//! Akamai's tokens (`EdgeAuth` 2.0, and those of segmented media protection), for who makes them already: fields with tildes between them,
//! `st=…~exp=…~acl=/show/*~hmac=HEX`, and an HMAC-SHA256 of what stands before `~hmac`.
//!
//! One is for the namespace whose key it was made with. In a path it stands in base64url, for its own signs mean something there.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::claims::{Unsupported, ViewerClaims};
use super::place::Network;
use super::{UriMatch, UriPart, UriRule, ViewerAsked, ViewerError};
use crate::auth::signing::{MacKey, hex_to_bytes, sha256};
use crate::model::percent;

/// By which names one comes, in queries and cookies.
pub const NAMES: [&str; 3] = ["hdnts", "hdnea", "hdntl"];
/// What stands before the MAC.
const MAC: &str = "~hmac=";
/// How many paths one names at most.
const PATHS: usize = 16;

/// A key that such tokens are made with, and the salt that is added before the MAC is made, if there is one.
pub(super) struct EdgeAuthKey {
    mac: MacKey,
    /// As it ends the text of the MAC: `~salt=` and what it is.
    salt: String,
}

impl EdgeAuthKey {
    /// Reads `KEY` or `KEY:SALT`: the key as it is written there, hexadecimal, of 16 to 64 bytes; the salt escaped as in a URL, for some
    /// signs end a line.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (key, salt) = text.split_once(':').map_or((text, None), |(key, salt)| (key, Some(salt)));
        let mac = hex_to_bytes(key.trim()).filter(|bytes| (16..=64).contains(&bytes.len())).map(|bytes| MacKey::new(&bytes))?;
        let Some(salt) = salt.map(str::trim) else { return Some(Self { mac, salt: String::new() }) };
        let salt = percent::decode(salt).filter(|decoded| !decoded.is_empty() && percent::is_sound(salt))?;
        Some(Self { mac, salt: format!("~salt={salt}") })
    }
}

impl fmt::Debug for EdgeAuthKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EdgeAuthKey(hidden)")
    }
}

/// A token as it was made, if that is what a text is, wrapped for a path or bare.
pub(super) fn bare(token: &str) -> Option<String> {
    let is_one = |text: &str| text.contains(MAC);
    if is_one(token) {
        return Some(token.to_owned());
    }
    // Of all others this is the end.
    if !["c3Q9", "ZXhw", "YWNs", "aXA9", "aWQ9", "ZGF0"].iter().any(|begin| token.starts_with(begin)) {
        return None;
    }
    String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok().filter(|text| is_one(text))
}

/// A token as it stands in a path.
pub(super) fn wrapped(token: &str) -> String {
    URL_SAFE_NO_PAD.encode(token)
}

/// Checks a token's form and MAC, and reads what it says.
///
/// # Errors
/// As of a CAT.
pub(super) fn open(token: &str, key: &EdgeAuthKey, asked: &ViewerAsked<'_>) -> Result<ViewerClaims, ViewerError> {
    let invalid = ViewerError::Invalid;
    let decoded = percent::decode(token).unwrap_or_default();
    // Its paths may have been escaped before the MAC was made, or all of it on its way.
    [token, &*decoded].into_iter().find_map(|text| verified(text, key, asked)).ok_or(invalid("its hmac is wrong"))?
}

fn verified(token: &str, key: &EdgeAuthKey, asked: &ViewerAsked<'_>) -> Option<Result<ViewerClaims, ViewerError>> {
    let (said, mac) = token.rsplit_once(MAC)?;
    let mac = hex_to_bytes(mac)?;
    let has_paths = said.split('~').any(|field| field.starts_with("acl="));
    // Without a list of paths it is for one that is not sent along.
    let mut text = if has_paths { said.to_owned() } else { format!("{said}~url={}{}", asked.base, asked.key) };
    text.push_str(&key.salt);
    let is_good = key.mac.is_tag(text.as_bytes(), &mac);
    is_good.then(|| read(said, token, asked).map_err(ViewerError::Unsupported))
}

fn read(said: &str, token: &str, asked: &ViewerAsked<'_>) -> Result<ViewerClaims, Unsupported> {
    let mut claims = ViewerClaims {
        // There need not be an id: the same token always has the same one.
        id: sha256(token.as_bytes())[..8].to_vec(),
        audience: vec![asked.namespace.to_string()],
        ..ViewerClaims::default()
    };
    let (mut seen, mut has_end) = (Vec::new(), false);
    let mut any_of = vec![format!("{}{}", asked.base, asked.key)];
    let mut matching = UriMatch::Exact;
    for field in said.split('~') {
        let (name, value) = field.split_once('=').ok_or(Unsupported::Form)?;
        if seen.contains(&name) {
            return Err(Unsupported::Form);
        }
        seen.push(name);
        let seconds = || value.parse().map_err(|_| Unsupported::Form);
        match name {
            "st" => claims.not_before = Some(seconds()?),
            "exp" => (claims.expires, has_end) = (seconds()?, true),
            "ip" => {
                let address: IpAddr = value.parse().map_err(|_| Unsupported::Form)?;
                let bits = if address.is_ipv4() { 32 } else { 128 };
                claims.addresses = Some(Network::new(address, bits).into_iter().collect());
            }
            "id" if (1..=64).contains(&value.len()) => claims.id = value.as_bytes().to_vec(),
            // Says something to who made it.
            "data" => {}
            "acl" => {
                let paths = percent::decode(value).ok_or(Unsupported::Form)?;
                any_of = paths.split('!').map(str::to_owned).collect();
                if any_of.len() > PATHS {
                    return Err(Unsupported::Form);
                }
                let is_prefix = |path: &String| path.strip_suffix('*').is_some_and(|prefix| !prefix.contains(['*', '?']));
                matching = if any_of.iter().all(is_prefix) { UriMatch::Prefix } else { UriMatch::Pattern };
                if matching == UriMatch::Prefix {
                    any_of.iter_mut().for_each(|path| path.truncate(path.len() - 1));
                }
            }
            _ => return Err(Unsupported::Claim(None)),
        }
    }
    claims.rules = Arc::new([UriRule { part: UriPart::Path, matching, any_of }]);
    if has_end { Ok(claims) } else { Err(Unsupported::Missing(super::key::EXP)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::signing::hex;
    use crate::model::id::Namespace;
    use proptest::prelude::{prop_assert, proptest};

    const KEY: &str = "52a152a152a152a152a152a152a1";

    fn key() -> EdgeAuthKey {
        EdgeAuthKey::parse(&KEY.repeat(2)).unwrap()
    }

    fn made(said: &str, more: &str) -> String {
        format!("{said}{MAC}{}", hex(&key().mac.tag(format!("{said}{more}").as_bytes())))
    }

    fn opened(token: &str) -> Result<ViewerClaims, ViewerError> {
        let live = Namespace::parse("live").unwrap();
        open(token, &key(), &ViewerAsked::plain(&live, "/cache/live/", "show/a.ts"))
    }

    #[test]
    fn one_says_what_it_opens_and_until_when() {
        let paths = |token: &str| opened(token).map(|claims| (claims.rules[0].matching, claims.rules[0].any_of.clone()));
        let text = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        assert_eq!(paths(&made("exp=5~acl=/show/*", "")), Ok((UriMatch::Prefix, text(&["/show/"]))));
        assert_eq!(paths(&made("exp=5~acl=%2fshow%2f*", "")), Ok((UriMatch::Prefix, text(&["/show/"]))));
        assert_eq!(paths(&made("exp=5~acl=/a/*!/b/?.ts", "")), Ok((UriMatch::Pattern, text(&["/a/*", "/b/?.ts"]))));
        assert_eq!(paths(&made("exp=5", "~url=/cache/live/show/a.ts")), Ok((UriMatch::Exact, text(&["/cache/live/show/a.ts"]))));
        let claims = opened(&made("ip=192.0.2.1~st=4~exp=5~acl=/*~data=x~id=abc", "")).unwrap();
        assert_eq!((claims.not_before, claims.expires, &*claims.id), (Some(4), 5, &b"abc"[..]));
        assert_eq!(claims.addresses, Network::parse("192.0.2.1").map(|network| vec![network]));
        assert_eq!(claims.audience, ["live"]);
        // Escaped as a whole on its way, and wrapped for a path.
        let token = made("exp=5~acl=/show/*", "");
        assert!(opened(&token.replace('/', "%2F")).is_ok());
        assert_eq!(bare(&wrapped(&token)).as_ref(), Some(&token));
        assert_eq!((bare(&token).as_ref(), bare("2D3RhEOhAQWhBEJ2MVhPpgFqc3By")), (Some(&token), None));
    }

    #[test]
    fn what_is_not_ours_or_not_understood_refuses() {
        let good = made("exp=5~acl=/show/*", "");
        for forged in [
            good.replace("exp=5", "exp=9"),
            good.replace("/show/", "/"),
            made("exp=5", "~url=/cache/live/show/b.ts"),
            made("exp=5", "~salt=x"),
            good[..good.len() - 2].to_owned(),
            format!("{good}00"),
            "exp=5~acl=/*~hmac=".to_owned(),
            "exp=5~acl=/*~hmac=zz".to_owned(),
        ] {
            assert!(matches!(opened(&forged), Err(ViewerError::Invalid(_))), "{forged}");
        }
        for said in
            ["acl=/*", "exp=5~acl=/*~exp=9", "exp=soon~acl=/*", "exp=5~acl=/*~new=1", "exp=5~acl=/*~ip=home", "exp=5~acl=/*~"]
        {
            assert!(matches!(opened(&made(said, "")), Err(ViewerError::Unsupported(_))), "{said}");
        }
        for text in ["", "zz", "52a1", &"0".repeat(130)] {
            assert!(EdgeAuthKey::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_salt_is_part_of_what_is_signed_and_never_sent() {
        let live = Namespace::parse("live").unwrap();
        let asked = ViewerAsked::plain(&live, "/cache/live/", "show/a.ts");
        let salted = EdgeAuthKey::parse(&format!("{}:gr%2Ca:in", KEY.repeat(2))).unwrap();
        for (said, url) in [("exp=5~acl=/show/*", ""), ("exp=5", "~url=/cache/live/show/a.ts")] {
            let token = made(said, &format!("{url}~salt=gr,a:in"));
            assert!(open(&token, &salted, &asked).is_ok() && open(&token, &key(), &asked).is_err(), "{said}");
            assert!(open(&made(said, url), &salted, &asked).is_err(), "{said}");
        }
        assert!(!format!("{salted:?}").contains("gr"));
    }

    proptest! {
        #[test]
        fn no_text_is_a_token(token in "[a-z0-9=~/*!%]{0,80}") {
            prop_assert!(opened(&token).is_err());
            let forged = format!("exp=5~acl=/*{MAC}{token}");
            prop_assert!(opened(&forged).is_err());
        }
    }
}
