//! The claims of a Common Access Token as a JWT (RFC 7519), for who signs JWTs already: HS256 or ES256, as the viewer key is that its `kid`
//! names. Claims have their names there; in `catu`, numbers are the names of parts and matches, as in CBOR.
//!
//! Read without the library that API keys are read with: it has a memory of its own names, and lets pass what is not understood.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::claims::{TokenRenewal, Unsupported, ViewerClaims, key};
use super::keys::{ViewerKeys, ViewerProof};
use super::place::Network;
use super::{UriMatch, UriPart, UriRule, ViewerError};
use crate::auth::secret::Secret;

/// Whether a text has the three parts of one.
pub(super) fn is_one(token: &str) -> bool {
    token.split('.').count() == 3
}

/// An object's members in their order: of two with one name, one reader takes the first and another the last.
struct JsonMembers(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for JsonMembers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = JsonMembers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonMembers, A::Error> {
                let mut members: Vec<(String, Value)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if members.iter().any(|(known, _)| *known == name) {
                        return Err(serde::de::Error::custom("a name twice"));
                    }
                    members.push((name, value));
                }
                Ok(JsonMembers(members))
            }
        }
        deserializer.deserialize_map(All)
    }
}

/// Checks a token's form and its signature, and reads its claims.
///
/// # Errors
/// As of a CAT.
pub(super) fn open(token: &str, keys: &ViewerKeys) -> Result<ViewerClaims, ViewerError> {
    let invalid = ViewerError::Invalid;
    let (signed, signature) = token.rsplit_once('.').ok_or(invalid("it is no JWT"))?;
    let (header, payload) = signed.split_once('.').ok_or(invalid("it is no JWT"))?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| invalid("it is not base64url without padding"));
    let (header, payload, signature) = (decode(header)?, decode(payload)?, decode(signature)?);
    let header: JsonMembers = serde_json::from_slice(&header).map_err(|_| invalid("its header is no JSON object"))?;
    let text = |name: &str| header.0.iter().find(|(known, _)| known == name).and_then(|(_, value)| value.as_str());
    if header.0.iter().any(|(name, _)| name == "crit") {
        return Err(invalid("it has critical headers"));
    }
    let kid = text("kid").ok_or(invalid("it does not name its key (kid)"))?;
    let signer = keys.find(kid.as_bytes()).ok_or(invalid("no viewer key here has its kid"))?;
    let is_good = match (&signer.proof, text("alg")) {
        (ViewerProof::Mac(mac), Some("HS256")) => mac.is_tag(signed.as_bytes(), &signature),
        (ViewerProof::Es256(key), Some("ES256")) => key.is_signature(signed.as_bytes(), &signature),
        _ => return Err(invalid("its algorithm is not the one that its key is for (HS256, ES256)")),
    };
    if !is_good {
        return Err(invalid("its signature is wrong"));
    }
    let claims: JsonMembers = serde_json::from_slice(&payload).map_err(|_| invalid("its claims are no JSON object"))?;
    read(claims.0).map_err(ViewerError::Unsupported)
}

fn read(members: Vec<(String, Value)>) -> Result<ViewerClaims, Unsupported> {
    let mut claims = ViewerClaims::default();
    let (mut has_id, mut has_end) = (false, false);
    for (name, value) in members {
        let wrong = |key: i64| Unsupported::Value(key);
        match name.as_str() {
            "iss" => claims.issuer = Some(value.as_str().ok_or(wrong(key::ISS))?.to_owned()),
            "sub" => claims.subject = Some(Secret::new(value.as_str().ok_or(wrong(key::SUB))?.to_owned())),
            "aud" => claims.audience = texts(&value).ok_or(wrong(key::AUD))?,
            "exp" => (claims.expires, has_end) = (value.as_u64().ok_or(wrong(key::EXP))?, true),
            "nbf" => claims.not_before = Some(value.as_u64().ok_or(wrong(key::NBF))?),
            "iat" => claims.issued = Some(value.as_u64().ok_or(wrong(key::IAT))?),
            "jti" => {
                let id = value.as_str().filter(|id| (1..=64).contains(&id.len())).ok_or(wrong(key::CTI))?;
                (claims.id, has_id) = (id.as_bytes().to_vec(), true);
            }
            "catv" if value.as_u64() == Some(1) => {}
            "catreplay" if value.as_u64() == Some(0) => {}
            "catu" => claims.rules = uri_rules(&value).ok_or(wrong(key::CATU))?.into(),
            "catm" => claims.methods = Some(texts(&value).ok_or(wrong(key::CATM))?),
            "catnip" => {
                let networks = texts(&value).ok_or(wrong(key::CATNIP))?;
                let networks: Option<_> = networks.iter().map(|text| Network::parse(text)).collect();
                claims.addresses = Some(networks.ok_or(wrong(key::CATNIP))?);
            }
            "catgeoiso3166" => claims.countries = Some(texts(&value).ok_or(wrong(key::CATGEOISO3166))?),
            "catr" => {
                let number = |name: &str| value.get(name).and_then(Value::as_u64);
                claims.renewal = TokenRenewal::of(number("0"), number("1"), number("2"));
            }
            "catv" => return Err(wrong(key::CATV)),
            "catreplay" => return Err(wrong(key::CATREPLAY)),
            _ => return Err(Unsupported::Claim(None)),
        }
    }
    let missing = |is_there: bool, key: i64| if is_there { Ok(()) } else { Err(Unsupported::Missing(key)) };
    missing(has_id, key::CTI)?;
    missing(has_end, key::EXP)?;
    Ok(claims)
}

fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(list) if !list.is_empty() => list.iter().map(|value| value.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

fn uri_rules(value: &Value) -> Option<Vec<UriRule>> {
    let mut rules = Vec::new();
    for (part, matches) in value.as_object().filter(|parts| !parts.is_empty())? {
        for (matching, value) in matches.as_object().filter(|matches| !matches.is_empty())? {
            let (part, matching) = match (part.as_str(), matching.as_str()) {
                ("1", "0") => (UriPart::Host, UriMatch::Exact),
                ("1", "2") => (UriPart::Host, UriMatch::Suffix),
                ("3", "0") => (UriPart::Path, UriMatch::Exact),
                ("3", "1") => (UriPart::Path, UriMatch::Prefix),
                _ => return None,
            };
            rules.push(UriRule { part, matching, any_of: texts(value)? });
        }
    }
    Some(rules)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::signing::{MacKey, SignaturePair, SigningKey};
    use proptest::prelude::{prop_assert, proptest};

    fn keys() -> ViewerKeys {
        ViewerKeys::of("v1", &[7; 32])
    }

    fn signed(header: &str, payload: &str) -> String {
        let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(keys().tag(text.as_bytes())))
    }

    const HEADER: &str = r#"{"alg":"HS256","typ":"JWT","kid":"v1"}"#;

    #[test]
    fn a_jwt_says_what_a_cat_says() {
        let payload = r#"{"exp":1900000000,"jti":"me","aud":"live","iat":1,"nbf":2,"iss":"a","sub":"b","catv":1,"catm":["GET"],
            "catu":{"3":{"1":"/cache/live/show/"},"1":{"2":[".a",".b"]}},"catnip":["192.0.2.0/24"],"catgeoiso3166":["AT"],"catreplay":0}"#;
        let claims = open(&signed(HEADER, payload), &keys()).unwrap();
        assert_eq!(
            (claims.expires, &*claims.id, claims.issued, claims.not_before),
            (1_900_000_000, &b"me"[..], Some(1), Some(2))
        );
        assert_eq!((claims.audience, claims.methods), (vec!["live".to_owned()], Some(vec!["GET".to_owned()])));
        let rules: Vec<_> = claims.rules.iter().map(|rule| (rule.part, rule.matching, rule.any_of.len())).collect();
        assert_eq!(rules, [(UriPart::Host, UriMatch::Suffix, 2), (UriPart::Path, UriMatch::Prefix, 1)]);
        assert_eq!((claims.addresses.unwrap().len(), claims.countries.unwrap()), (1, vec!["AT".to_owned()]));
    }

    #[test]
    fn what_is_not_ours_or_not_understood_refuses() {
        let payload = r#"{"exp":1900000000,"jti":"me"}"#;
        assert!(open(&signed(HEADER, payload), &keys()).is_ok());
        for header in [
            r#"{"alg":"none","kid":"v1"}"#,
            r#"{"alg":"HS512","kid":"v1"}"#,
            r#"{"alg":"HS256"}"#,
            r#"{"alg":"HS256","kid":"v2"}"#,
            r#"{"alg":"HS256","kid":"v1","kid":"v1"}"#,
            r#"{"alg":"HS256","kid":"v1","crit":["exp"]}"#,
            "[]",
        ] {
            assert!(matches!(open(&signed(header, payload), &keys()), Err(ViewerError::Invalid(_))), "{header}");
        }
        for payload in [r#"{"exp":1,"jti":"me","exp":1900000000}"#, "[]", "{"] {
            assert!(matches!(open(&signed(HEADER, payload), &keys()), Err(ViewerError::Invalid(_))), "{payload}");
        }
        for payload in [
            r#"{"exp":1900000000}"#,
            r#"{"jti":"me"}"#,
            r#"{"exp":1900000000.0,"jti":"me"}"#,
            r#"{"exp":"1900000000","jti":"me"}"#,
            r#"{"exp":1900000000,"jti":""}"#,
            r#"{"exp":1900000000,"jti":"me","scope":"all"}"#,
            r#"{"exp":1900000000,"jti":"me","catu":{"3":{"4":".*"}}}"#,
            r#"{"exp":1900000000,"jti":"me","catu":"/"}"#,
            r#"{"exp":1900000000,"jti":"me","catu":{}}"#,
            r#"{"exp":1900000000,"jti":"me","catu":{"3":{}}}"#,
            r#"{"exp":1900000000,"jti":"me","catu":{"1":{"0":"a"},"3":{}}}"#,
            r#"{"exp":1900000000,"jti":"me","catreplay":1}"#,
            r#"{"exp":1900000000,"jti":"me","catv":2}"#,
            r#"{"exp":1900000000,"jti":"me","catnip":[64496]}"#,
        ] {
            assert!(matches!(open(&signed(HEADER, payload), &keys()), Err(ViewerError::Unsupported(_))), "{payload}");
        }
        let good = signed(HEADER, payload);
        assert!(open(&format!("{}A", &good[..good.len() - 1]), &keys()).is_err() || good.ends_with('A'));
    }

    #[test]
    fn a_signature_is_taken_by_its_key_and_by_no_other_way() {
        let (pair, secret) = (SignaturePair::generate(), SigningKey::generate());
        let keys = ViewerKeys::parse_all(&format!("{}\nes256:partner:{}", secret.encode(), pair.public())).unwrap();
        let payload = r#"{"exp":1900000000,"jti":"me","aud":"live"}"#;
        let text = |header: &str| format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let token = |text: &str, tag: &[u8]| format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag));
        let signed = |header: &str| token(&text(header), &pair.sign(text(header).as_bytes()));
        let good = signed(r#"{"alg":"ES256","kid":"partner"}"#);
        assert_eq!(open(&good, &keys).unwrap().expires, 1_900_000_000);
        assert_eq!(open(&good, &keys).unwrap().audience, ["live"], "remembered, too");
        let ours = secret.id();
        // What has the public key can make a MAC with it: the key is for signatures alone.
        let by_public = MacKey::new(pair.public().as_bytes());
        let header = r#"{"alg":"HS256","kid":"partner"}"#;
        for forged in [
            token(&text(header), &by_public.tag(text(header).as_bytes())),
            signed(r#"{"alg":"HS256","kid":"partner"}"#),
            signed(&format!(r#"{{"alg":"ES256","kid":"{ours}"}}"#)),
            signed(r#"{"alg":"ES256","kid":"other"}"#),
            token(&text(r#"{"alg":"ES256","kid":"partner"}"#), &SignaturePair::generate().sign(b"x")),
            token(&text(r#"{"alg":"ES256","kid":"partner"}"#), &[0; 64]),
        ] {
            assert!(matches!(open(&forged, &keys), Err(ViewerError::Invalid(_))), "{forged}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_a_token(token in "[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}") {
            prop_assert!(open(&token, &keys()).is_err());
        }
    }
}
