//! Common Access Tokens (CTA-5007): CWT claims (RFC 8392) in `COSE_Mac0` (RFC 9052 6.2) or `COSE_Sign1` (4.2), under the tag of a CWT or bare,
//! base64url without padding. The only module that knows coset, which writes them; they are read where they lie, for each request brings one.
//!
//! Total on any bytes. The key that a token names chooses the algorithm, never the token: HMAC-SHA256 (`HMAC 256/256`) or ES256.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use coset::cbor::value::{Integer, Value};
use coset::{CborSerializable as _, CoseMac0Builder, HeaderBuilder, iana};

use super::claims::{TokenRenewal, Unsupported, ViewerClaims, key};
use super::form::{Item, Items};
use super::keys::{ViewerKey, ViewerKeys, ViewerProof};
use super::place::Network;
use super::{UriMatch, UriPart, UriRule, ViewerError, form};
use crate::auth::secret::Secret;

/// The longest token that is looked at, in characters and decoded: what the edge takes, too (Amazon CloudFront: 1 KiB).
pub(super) const LONGEST: usize = 1400;
const LONGEST_BYTES: usize = 1024;
/// What the longest text decodes to, at most.
const ROOM: usize = LONGEST.div_ceil(4) * 3;

/// The tag of a CWT (RFC 8392 6), and those of `COSE_Mac0` and `COSE_Sign1`, as they begin.
const CWT: [u8; 2] = [0xd8, 61];
const MAC0: u8 = 0xd1;
const SIGN1: u8 = 0xd2;

/// Whether a text begins as every token does: with its tags, and an array of four that begins with bytes.
pub(super) fn begins_as_one(token: &str) -> bool {
    let bytes = token.get(..8).and_then(|begin| URL_SAFE_NO_PAD.decode(begin).ok()).unwrap_or_default();
    let bare = bytes.strip_prefix(&CWT).unwrap_or(&bytes);
    matches!(bare, [MAC0 | SIGN1, 0x84, 0x40..=0x5b, ..])
}

/// Checks a token's form and its MAC or signature, and reads its claims. Nothing that changes with time is judged.
///
/// # Errors
/// [`ViewerError::Invalid`] when it is not of ours; [`ViewerError::Unsupported`] when it says what is not understood.
pub(super) fn open(token: &str, keys: &ViewerKeys) -> Result<ViewerClaims, ViewerError> {
    let invalid = ViewerError::Invalid;
    if token.len() > LONGEST {
        return Err(invalid("it is longer than 1,400 characters"));
    }
    let mut room = [0; ROOM];
    let length = URL_SAFE_NO_PAD.decode_slice(token, &mut room);
    let bytes = length.ok().and_then(|length| room.get(..length)).ok_or(invalid("it is not base64url without padding"))?;
    if bytes.len() > LONGEST_BYTES || !form::is_sound(bytes) {
        return Err(invalid("it is not one item of CBOR, of definite lengths, without doubled keys, and of 1 KiB at most"));
    }
    let bare = bytes.strip_prefix(&CWT).unwrap_or(bytes);
    let seal = match bare.split_first() {
        Some((&MAC0, sealed)) => Seal { context: "MAC0", algorithm: Item::Number(5), parts: sealed },
        Some((&SIGN1, sealed)) => Seal { context: "Signature1", algorithm: Item::Below(6), parts: sealed },
        _ => return Err(invalid("it is no COSE_Mac0 or COSE_Sign1 under its tag (17, 18)")),
    };
    let claims = seal.open(keys).map_err(invalid)?;
    read(claims).map_err(ViewerError::Unsupported)
}

/// What was authenticated, or signed: RFC 9052 6.2 and 4.2.
struct Seal<'a> {
    /// What this is called in what was authenticated.
    context: &'static str,
    /// The one algorithm that goes with it: HMAC 256/256, or ES256 (-7).
    algorithm: Item<'static>,
    parts: &'a [u8],
}

impl<'a> Seal<'a> {
    /// Its claims, if one of these keys made it. Else why not.
    fn open(&self, keys: &ViewerKeys) -> Result<Items<'a>, &'static str> {
        const FORM: &str = "it is no COSE_Mac0 or COSE_Sign1";
        let mut parts = Items::sound(self.parts).ok_or(FORM)?;
        if parts.next() != Some(Item::Array(4)) {
            return Err(FORM);
        }
        let protected = parts.data().ok_or(FORM)?;
        let unprotected = parts.whole().and_then(SealHeader::read).ok_or(FORM)?;
        let payload = parts.data().ok_or("it has no claims in it")?;
        let tag = parts.data().ok_or(FORM)?;
        let claims = Items::sound(payload);
        let header =
            if protected.is_empty() { Some(SealHeader::default()) } else { Items::sound(protected).and_then(SealHeader::read) };
        let (Some(header), Some(claims)) = (header, claims) else {
            return Err("its protected header or its claims are no CBOR of a plain form");
        };
        if header.algorithm != Some(self.algorithm) || unprotected.algorithm.is_some() {
            return Err("its algorithm is not the one of its tag (HMAC 256/256, ES256), in the protected header alone");
        }
        if header.is_critical || unprotected.is_critical {
            return Err("it has critical headers");
        }
        let (Some(id), None) = (unprotected.key_id, header.key_id) else {
            return Err("it does not name its key (kid), in the unprotected header alone");
        };
        let signer = keys.find(id).ok_or("no viewer key here has its kid")?;
        let text = authenticated(self.context, protected, payload);
        let is_good = match (&signer.proof, self.algorithm) {
            (ViewerProof::Mac(mac), Item::Number(_)) => mac.is_tag(&text, tag),
            (ViewerProof::Es256(key), Item::Below(_)) => key.is_signature(&text, tag),
            _ => return Err("its key is one for another algorithm"),
        };
        if is_good { Ok(claims) } else { Err("its MAC or signature is wrong") }
    }
}

/// What counts of a header (RFC 9052 3.1). Others say nothing that would be heeded here.
#[derive(Default)]
struct SealHeader<'a> {
    algorithm: Option<Item<'a>>,
    is_critical: bool,
    key_id: Option<&'a [u8]>,
}

impl<'a> SealHeader<'a> {
    fn read(mut items: Items<'a>) -> Option<Self> {
        let mut header = Self::default();
        for _ in 0..items.pairs()? {
            let name = items.whole()?.next()?;
            let mut value = items.whole()?;
            match name {
                Item::Number(1) => header.algorithm = Some(value.next()?),
                Item::Number(2) => header.is_critical = true,
                Item::Number(4) => header.key_id = Some(value.data().filter(|id| !id.is_empty())?),
                _ => {}
            }
        }
        Some(header)
    }
}

/// What the MAC or signature is of (RFC 9052 6.3, 4.4).
fn authenticated(context: &str, protected: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(context.len() + protected.len() + payload.len() + 16);
    text.push(0x84);
    form::put(&mut text, 3, context.as_bytes());
    form::put(&mut text, 2, protected);
    form::put(&mut text, 2, &[]);
    form::put(&mut text, 2, payload);
    text
}

/// Writes a token, signed with this key. `None` when it would be longer than any that is read.
pub(super) fn seal(claims: &ViewerClaims, signer: &ViewerKey) -> Option<Secret<'static>> {
    let mut payload = Vec::new();
    coset::cbor::ser::into_writer(&write(claims), &mut payload).ok()?;
    seal_payload(payload, signer)
}

/// The same for claims that are written already, whatever they are.
pub(super) fn seal_payload(payload: Vec<u8>, signer: &ViewerKey) -> Option<Secret<'static>> {
    let ViewerProof::Mac(mac) = &signer.proof else { return None };
    let protected = HeaderBuilder::new().algorithm(iana::Algorithm::HMAC_256_256).build();
    let unprotected = HeaderBuilder::new().key_id(signer.id.clone().into_bytes()).build();
    let sealed = CoseMac0Builder::new().protected(protected).unprotected(unprotected).payload(payload);
    let sealed = sealed.create_tag(&[], |text| mac.tag(text)).build().to_vec().ok()?;
    let mut bytes = CWT.to_vec();
    bytes.push(MAC0);
    bytes.extend(sealed);
    let token = URL_SAFE_NO_PAD.encode(&bytes);
    (bytes.len() <= LONGEST_BYTES && token.len() <= LONGEST).then(|| Secret::new(token))
}

fn read(mut items: Items<'_>) -> Result<ViewerClaims, Unsupported> {
    let mut claims = ViewerClaims::default();
    let (mut has_id, mut has_end) = (false, false);
    for _ in 0..items.pairs().ok_or(Unsupported::Form)? {
        let name = match items.next() {
            Some(Item::Number(name)) => i64::try_from(name).ok(),
            Some(Item::Below(name)) => i64::try_from(name).ok().map(|name| -1 - name),
            _ => None,
        };
        let (Some(name), Some(mut value)) = (name, items.whole()) else { return Err(Unsupported::Claim(None)) };
        let wrong = Unsupported::Value(name);
        match name {
            key::ISS => claims.issuer = Some(value.text().ok_or(wrong)?.to_owned()),
            key::SUB => claims.subject = Some(Secret::new(value.text().ok_or(wrong)?.to_owned())),
            key::AUD => claims.audience = texts(&mut value).ok_or(wrong)?,
            // Not as a float, which is allowed: the edge reads those otherwise.
            key::EXP => (claims.expires, has_end) = (value.number().ok_or(wrong)?, true),
            key::NBF => claims.not_before = Some(value.number().ok_or(wrong)?),
            key::IAT => claims.issued = Some(value.number().ok_or(wrong)?),
            key::CTI => {
                let id = value.data().filter(|id| (1..=64).contains(&id.len())).ok_or(wrong)?;
                (claims.id, has_id) = (id.to_vec(), true);
            }
            key::CATV if value.number() == Some(1) => {}
            key::CATREPLAY if value.number() == Some(0) => {}
            key::CATNIP => claims.addresses = Some(networks(&mut value).ok_or(wrong)?),
            key::CATGEOISO3166 => claims.countries = Some(texts(&mut value).ok_or(wrong)?),
            key::CATR => claims.renewal = renewal_of(value),
            key::CATU => claims.rules = uri_rules(&mut value).ok_or(wrong)?.into(),
            key::CATM => claims.methods = Some(texts(&mut value).ok_or(wrong)?),
            key::CATV | key::CATREPLAY => return Err(wrong),
            other => return Err(Unsupported::Claim(Some(other))),
        }
    }
    let missing = |is_there: bool, key: i64| if is_there { Ok(()) } else { Err(Unsupported::Missing(key)) };
    missing(has_id, key::CTI)?;
    missing(has_end, key::EXP)?;
    Ok(claims)
}

/// A text, or an array of some.
fn texts(value: &mut Items<'_>) -> Option<Vec<String>> {
    match value.next()? {
        Item::Text(text) => Some(vec![text.to_owned()]),
        Item::Array(1..) => std::iter::from_fn(|| (!value.is_over()).then(|| value.text().map(str::to_owned))).collect(),
        _ => None,
    }
}

/// Addresses as RFC 9164 has them: a tag for each of the two kinds, an address or a length and what its bytes begin with. Numbers, which are
/// those of networks under one administration, are not understood.
fn networks(value: &mut Items<'_>) -> Option<Vec<Network>> {
    let network = |value: &mut Items<'_>| {
        let Item::Tag(tag @ (52 | 54)) = value.next()? else { return None };
        let is_v6 = tag == 54;
        match value.next()? {
            Item::Bytes(bytes) if bytes.len() == if is_v6 { 16 } else { 4 } => {
                Network::from_bytes(is_v6, bytes, if is_v6 { 128 } else { 32 })
            }
            Item::Array(2) => {
                let bits = value.number()?.try_into().ok()?;
                Network::from_bytes(is_v6, value.data()?, bits)
            }
            _ => None,
        }
    };
    let Item::Array(1..) = value.next()? else { return None };
    std::iter::from_fn(|| (!value.is_over()).then(|| network(value))).collect()
}

/// How it is renewed. No restriction, so what is not understood of it is passed over.
fn renewal_of(mut value: Items<'_>) -> Option<TokenRenewal> {
    let mut numbers = [None; 3];
    for _ in 0..value.pairs()? {
        let (name, number) = (value.whole()?.number(), value.whole()?.number());
        if let Some(place) = name.and_then(|name| numbers.get_mut(usize::try_from(name).ok()?)) {
            *place = number;
        }
    }
    let [kind, extend, deadline] = numbers;
    TokenRenewal::of(kind, extend, deadline)
}

/// The parts of the URI that are compared, and how (CTA-5007, `catu`). Regular expressions, hashes and other parts are not. A part that
/// is compared with nothing says nothing that could be held to.
fn uri_rules(value: &mut Items<'_>) -> Option<Vec<UriRule>> {
    let mut rules = Vec::with_capacity(1);
    for _ in 0..value.pairs().filter(|parts| *parts > 0)? {
        let part = match value.number()? {
            1 => UriPart::Host,
            3 => UriPart::Path,
            _ => return None,
        };
        for _ in 0..value.pairs().filter(|matches| *matches > 0)? {
            let matching = match (value.number()?, part) {
                (0, _) => UriMatch::Exact,
                (1, UriPart::Path) => UriMatch::Prefix,
                (2, UriPart::Host) => UriMatch::Suffix,
                _ => return None,
            };
            rules.push(UriRule { part, matching, any_of: texts(&mut value.whole()?)? });
        }
    }
    Some(rules)
}

fn write(claims: &ViewerClaims) -> Value {
    let list = |texts: &[String]| match texts {
        [text] => Value::Text(text.clone()),
        texts => Value::Array(texts.iter().cloned().map(Value::Text).collect()),
    };
    let number = |number: u64| Value::Integer(Integer::from(number));
    let mut map = Vec::new();
    let mut put = |name: i64, value: Value| map.push((Value::Integer(name.into()), value));
    if let Some(issuer) = &claims.issuer {
        put(key::ISS, Value::Text(issuer.clone()));
    }
    if let Some(subject) = &claims.subject {
        put(key::SUB, Value::Text(subject.expose().to_owned()));
    }
    if !claims.audience.is_empty() {
        put(key::AUD, list(&claims.audience));
    }
    put(key::EXP, number(claims.expires));
    claims.not_before.into_iter().for_each(|time| put(key::NBF, number(time)));
    claims.issued.into_iter().for_each(|time| put(key::IAT, number(time)));
    put(key::CTI, Value::Bytes(claims.id.clone()));
    put(key::CATV, number(1));
    if !claims.rules.is_empty() {
        let mut parts: Vec<(Value, Value)> = Vec::new();
        for (number_of, part) in [(1, UriPart::Host), (3, UriPart::Path)] {
            let of_part = claims.rules.iter().filter(|rule| rule.part == part);
            let matches: Vec<_> = of_part.map(|rule| (number(rule.matching as u64), list(&rule.any_of))).collect();
            if !matches.is_empty() {
                parts.push((number(number_of), Value::Map(matches)));
            }
        }
        put(key::CATU, Value::Map(parts));
    }
    if let Some(networks) = &claims.addresses {
        let network = |network: &Network| {
            let (tag, mut bytes) = match network.address() {
                IpAddr::V4(address) => (52, address.octets().to_vec()),
                IpAddr::V6(address) => (54, address.octets().to_vec()),
            };
            bytes.truncate(usize::from(network.bits().div_ceil(8)));
            // Zeros at its end are left out.
            bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1));
            Value::Tag(tag, Box::new(Value::Array(vec![number(network.bits().into()), Value::Bytes(bytes)])))
        };
        put(key::CATNIP, Value::Array(networks.iter().map(network).collect()));
    }
    if let Some(countries) = &claims.countries {
        put(key::CATGEOISO3166, Value::Array(countries.iter().cloned().map(Value::Text).collect()));
    }
    if let Some(renewal) = &claims.renewal {
        let pairs = [(0, renewal.by as u64), (1, renewal.extend), (2, renewal.deadline)];
        put(key::CATR, Value::Map(pairs.map(|(name, value)| (number(name), number(value))).to_vec()));
    }
    if let Some(methods) = &claims.methods {
        put(key::CATM, Value::Array(methods.iter().cloned().map(Value::Text).collect()));
    }
    Value::Map(map)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::claims::RenewedBy;
    use super::*;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    /// The vector of the facts: made by another library, and read by us.
    const VECTOR: &str = "2D3RhEOhAQWhBEJ2MVhPpgFqc3ByaW5naGVhZAQacT-zAAdIAQIDBAUGBwgZATYBGQE4oQOhAXgYL2NhY2hlL2xpdmUtb3JpZ2luL3Nob3cvGQE5gmNHRVRkSEVBRFggiQgUQSoGoaKMXx_mqmuAyapH_C0iiFGZDoqa3zMzcB4";
    const SECRET: [u8; 32] = [
        0x40, 0x36, 0x97, 0xde, 0x87, 0xaf, 0x64, 0x61, 0x1c, 0x1d, 0x32, 0xa0, 0x5d, 0xab, 0x0f, 0xe1, 0xfc, 0xb7, 0x15, 0xa8,
        0x6a, 0xb4, 0x35, 0xf1, 0xec, 0x99, 0x19, 0x2d, 0x79, 0x56, 0x93, 0x88,
    ];

    fn keys() -> ViewerKeys {
        ViewerKeys::of("v1", &SECRET)
    }

    fn claims() -> ViewerClaims {
        ViewerClaims {
            id: vec![1, 2, 3, 4, 5, 6, 7, 8],
            expires: 1_900_000_000,
            not_before: None,
            issued: None,
            issuer: Some("springhead".to_owned()),
            subject: None,
            audience: Vec::new(),
            rules: Arc::new([UriRule {
                part: UriPart::Path,
                matching: UriMatch::Prefix,
                any_of: vec!["/cache/live-origin/show/".to_owned()],
            }]),
            methods: Some(vec!["GET".to_owned(), "HEAD".to_owned()]),
            ..ViewerClaims::default()
        }
    }

    #[test]
    fn the_vector_reads_and_is_written_to_the_byte() {
        assert_eq!(open(VECTOR, &keys()), Ok(claims()));
        assert!(
            begins_as_one(VECTOR) && !begins_as_one(&VECTOR[1..]) && !begins_as_one("0YR") && !begins_as_one(&"a".repeat(60))
        );
        assert_eq!(seal(&claims(), keys().signer().unwrap()).unwrap().expose(), VECTOR);
    }

    fn sealed(payload: &Value, change: impl FnOnce(CoseMac0Builder) -> CoseMac0Builder) -> Vec<u8> {
        let mut bytes = Vec::new();
        coset::cbor::ser::into_writer(payload, &mut bytes).unwrap();
        let builder = CoseMac0Builder::new()
            .protected(HeaderBuilder::new().algorithm(iana::Algorithm::HMAC_256_256).build())
            .unprotected(HeaderBuilder::new().key_id(b"v1".to_vec()).build())
            .payload(bytes);
        let keys = keys();
        change(builder).create_tag(&[], |text| keys.tag(text)).build().to_vec().unwrap()
    }

    fn text(prefix: &[u8], bytes: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode([prefix, bytes].concat())
    }

    fn is_invalid(token: &str) -> bool {
        matches!(open(token, &keys()), Err(ViewerError::Invalid(_)))
    }

    #[test]
    fn what_was_not_made_with_the_key_or_in_the_form_is_invalid() {
        let good = sealed(&write(&claims()), |builder| builder);
        assert_eq!(open(&text(&[MAC0], &good), &keys()), Ok(claims()), "the tag of a CWT may be left out");
        assert_eq!(text(&[0xd8, 61, MAC0], &good), VECTOR);
        for prefix in [&[][..], &[0xd8, 61], &[0xd2], &[0xd8, 61, 0xd2], &[MAC0, MAC0], &[0xd8, 97], &[0xd8, 61, 0xd8, 61, MAC0]]
        {
            assert!(is_invalid(&text(prefix, &good)), "{prefix:02x?}");
        }
        for changed in
            [format!("{VECTOR}="), format!("{VECTOR}AA"), format!("~{VECTOR}"), VECTOR[1..].to_owned(), "A".repeat(1401)]
        {
            assert!(is_invalid(&changed), "{changed}");
        }
        let protected = |header: coset::Header| sealed(&write(&claims()), |builder| builder.protected(header));
        let unprotected = |header: coset::Header| sealed(&write(&claims()), |builder| builder.unprotected(header));
        let hs256 = || HeaderBuilder::new().algorithm(iana::Algorithm::HMAC_256_256);
        let kid = || HeaderBuilder::new().key_id(b"v1".to_vec());
        for (what, bytes) in [
            ("another algorithm", protected(HeaderBuilder::new().algorithm(iana::Algorithm::HMAC_256_64).build())),
            ("that of signatures", protected(HeaderBuilder::new().algorithm(iana::Algorithm::ES256).build())),
            ("no algorithm", protected(HeaderBuilder::new().build())),
            ("an algorithm twice", unprotected(kid().algorithm(iana::Algorithm::HMAC_256_256).build())),
            ("a critical header", protected(hs256().add_critical(iana::HeaderParameter::ContentType).build())),
            ("no kid", unprotected(HeaderBuilder::new().build())),
            ("another kid", unprotected(HeaderBuilder::new().key_id(b"v2".to_vec()).build())),
            ("kid twice", protected(hs256().key_id(b"v1".to_vec()).build())),
        ] {
            assert!(is_invalid(&text(&[MAC0], &bytes)), "{what}");
        }
        assert!(matches!(open(VECTOR, &ViewerKeys::default()), Err(ViewerError::Invalid(_))), "without keys nothing is good");
        assert!(matches!(open(VECTOR, &ViewerKeys::of("v1", &[7; 32])), Err(ViewerError::Invalid(_))));
    }

    #[test]
    fn what_is_not_understood_refuses() {
        let with = |name: i64, value: Value| {
            let Value::Map(mut map) = write(&claims()) else { unreachable!("claims are a map") };
            map.retain(|(known, _)| *known != Value::Integer(name.into()));
            map.push((Value::Integer(name.into()), value));
            open(&text(&[MAC0], &sealed(&Value::Map(map), |builder| builder)), &keys())
        };
        let unsupported = |result: Result<ViewerClaims, ViewerError>| match result {
            Err(ViewerError::Unsupported(what)) => what,
            other => panic!("{other:?}"),
        };
        for name in [8, 282, 309, 314, 315, 317, 318, 319, 320, 321, 322, 324, 401, 404, 9999, -1] {
            assert_eq!(unsupported(with(name, Value::Bool(true))), Unsupported::Claim(Some(name)));
        }
        assert!(unsupported(with(402, Value::Null)).to_string().contains("312"));
        let map = |part: i64, matching: i64, value: Value| {
            Value::Map(vec![(Value::Integer(part.into()), Value::Map(vec![(Value::Integer(matching.into()), value)]))])
        };
        let slash = || Value::Text("/".to_owned());
        for (name, value) in [
            (4, Value::Float(1_900_000_000.0)),
            (4, Value::Text("1900000000".to_owned())),
            (4, Value::Integer((-1).into())),
            (5, Value::Float(1.0)),
            (6, Value::Null),
            (7, Value::Text("id".to_owned())),
            (7, Value::Bytes(Vec::new())),
            (7, Value::Bytes(vec![0; 65])),
            (3, Value::Array(Vec::new())),
            (3, Value::Integer(1.into())),
            (310, Value::Integer(2.into())),
            (308, Value::Integer(1.into())),
            (308, Value::Integer(2.into())),
            (312, map(3, 4, slash())),
            (312, map(3, 3, slash())),
            (312, map(3, 2, slash())),
            (312, map(3, -1, Value::Bytes(vec![0; 32]))),
            (312, map(1, 1, slash())),
            (312, map(0, 0, slash())),
            (312, map(4, 0, slash())),
            (312, map(3, 1, Value::Integer(1.into()))),
            (312, slash()),
            (312, Value::Map(Vec::new())),
            (312, Value::Map(vec![(Value::Integer(3.into()), Value::Map(Vec::new()))])),
            (311, slash()),
            (311, Value::Array(Vec::new())),
            (311, Value::Array(vec![Value::Integer(64496.into())])),
            (311, Value::Array(vec![Value::Tag(52, Box::new(Value::Bytes(vec![1, 2, 3])))])),
            (316, Value::Integer(1.into())),
            (313, Value::Array(vec![Value::Integer(1.into())])),
        ] {
            assert_eq!(unsupported(with(name, value.clone())), Unsupported::Value(name), "{value:?}");
        }
        for name in [key::EXP, key::CTI] {
            let Value::Map(mut map) = write(&claims()) else { unreachable!("claims are a map") };
            map.retain(|(known, _)| *known != Value::Integer(name.into()));
            let opened = open(&text(&[MAC0], &sealed(&Value::Map(map), |builder| builder)), &keys());
            assert_eq!(unsupported(opened), Unsupported::Missing(name));
        }
        let named = Value::Map(vec![(Value::Text("exp".to_owned()), Value::Null)]);
        assert_eq!(unsupported(open(&text(&[MAC0], &sealed(&named, |builder| builder)), &keys())), Unsupported::Claim(None));
        assert_eq!(unsupported(open(&text(&[MAC0], &sealed(&Value::Null, |builder| builder)), &keys())), Unsupported::Form);
        for (name, value) in
            [(308, Value::Integer(0.into())), (323, Value::Bool(true)), (2, slash()), (6, Value::Integer(1.into()))]
        {
            assert!(with(name, value).is_ok(), "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_a_token(token in "[A-Za-z0-9_-]{0,300}") {
            prop_assert!(open(&token, &keys()).is_err());
        }

        #[test]
        fn no_bytes_panic(bytes in any::<Vec<u8>>()) {
            prop_assert!(open(&text(&[MAC0], &bytes), &keys()).is_err());
        }

        #[test]
        fn a_changed_token_is_none(at in 0..VECTOR.len(), other in "[A-Za-z0-9_-]") {
            let changed = format!("{}{other}{}", &VECTOR[..at], &VECTOR[at + 1..]);
            prop_assert!(changed == VECTOR || open(&changed, &keys()).is_err());
            prop_assert!(open(&VECTOR[..at], &keys()).is_err());
        }

        #[test]
        fn what_is_written_reads_the_same(
            id in proptest::collection::vec(any::<u8>(), 1..=16),
            expires in any::<u64>(),
            times in any::<[Option<u64>; 2]>(),
            subject in proptest::option::of("[ -~]{0,20}"),
            audience in proptest::collection::vec("[a-z]{1,8}", 0..3),
            paths in proptest::collection::vec("[a-z/]{1,20}", 1..3),
            methods in proptest::option::of(proptest::collection::vec("[A-Z]{3,4}", 1..3)),
            networks in proptest::option::of(proptest::collection::vec(any::<(u8, u8)>(), 1..3)),
            renews in proptest::option::of(proptest::sample::select(vec![RenewedBy::Header, RenewedBy::Redirect])),
        ) {
            let rules = Arc::new([UriRule { part: UriPart::Path, matching: UriMatch::Prefix, any_of: paths }]);
            let [not_before, issued] = times;
            let subject = subject.map(Secret::new);
            let addresses = networks.map(|list| list.into_iter().filter_map(|(a, b)| Network::from_bytes(false, &[a, b, 0], 16)).collect::<Vec<_>>());
            let renewal = renews.map(|by| TokenRenewal { by, extend: 600, deadline: expires });
            let countries = Some(vec!["AT".to_owned()]);
            let rest = ViewerClaims { addresses, countries, renewal, ..ViewerClaims::default() };
            let claims = ViewerClaims { id, expires, not_before, issued, subject, audience, rules, methods, ..rest };
            let token = seal(&claims, keys().signer().unwrap()).unwrap();
            prop_assert_eq!(open(token.expose(), &keys()), Ok(claims));
        }
    }
}
