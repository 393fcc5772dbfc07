//! What a request says: URLs, credentials, ranges, conditions, and what of it is told to others.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Uri};

use crate::auth::digest::{Answer, DigestRequest};
use crate::auth::fuzzing::proof_for;
use crate::auth::grant::{Role, Scope};
use crate::auth::key::{KeyError, KeyRing, KeySpec};
use crate::auth::secret::Secret;
use crate::auth::signing::SigningKey;
use crate::auth::verify::Verifier;
use crate::model::clock::{Clock, WallTime};
use crate::model::conditions::{Conditions, KeptConditions, Validators, Verdict};
use crate::model::id::{Key, Namespace};
use crate::model::range::{self, Ask};
use crate::web::fuzzing::{credential, cut_off, redacted, resource, taken, target, unread};

/// Always the same one, so that seeds can name it in their header.
static RING: LazyLock<Option<KeyRing>> = LazyLock::new(|| {
    let keys = SigningKey::parse_all("c3ByaW5naGVhZC1mdXp6aW5nLW5vdGhpbmctZWxzZSE").ok()?;
    KeyRing::new(&keys)
});

/// A URL names a valid object or none, and the object's own URL names it again.
pub fn url(bytes: &[u8]) {
    let Ok(uri) = Uri::try_from(bytes) else { return };
    let Some((object, tokens, _)) = target(&uri) else { return };
    let (namespace, key) = (object.namespace.as_str(), object.key.as_str());
    assert!(Namespace::parse(namespace).is_ok() && Key::parse(key).is_ok());
    assert!(tokens.iter().all(|token| format!("{token:?}") == "Secret(hidden)"));
    let escaped: String = key.bytes().map(|byte| format!("%{byte:02X}")).collect();
    for own in [format!("/cache/{namespace}/{escaped}"), format!("/cache/{namespace}?key={escaped}&key=other")] {
        let again = Uri::try_from(own).ok();
        assert_eq!(again.as_ref().and_then(target).map(|(object, ..)| object), Some(object.clone()));
    }
}

/// No header and no text is a key that was not issued; what was issued opens as it was issued, and not when it was changed.
pub fn credentials(bytes: &[u8]) {
    let Some(ring) = &*RING else { unreachable!("the signing key is one") };
    if let Ok(value) = HeaderValue::from_bytes(bytes)
        && let Some(secret) = credential(&value)
    {
        assert!(ring.open(&secret).is_err(), "a forged key was opened");
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    assert!(ring.open(&Secret::new(text)).is_err(), "a forged key was opened");

    let expires = bytes.first().map(|&byte| WallTime::from_millis(u64::from(byte) * 1000));
    let spec = KeySpec { role: Role::Readonly, scope: Scope::Every, prefix: Some(text.to_owned()), is_edge: false, expires };
    let Ok(issued) = ring.issue(&spec, WallTime::from_millis(7_000)) else { return };
    let token = issued.token.expose();
    for form in [token.to_owned(), format!("Bearer {token}"), format!("Basic {}", STANDARD.encode(format!("any:{token}")))] {
        let value = HeaderValue::from_str(&form).ok();
        let opened = value.as_ref().and_then(credential).and_then(|secret| ring.open(&secret).ok());
        let Some(opened) = opened else { unreachable!("an issued key does not open as {form}") };
        assert_eq!((opened.grant.prefix, opened.expires), (spec.prefix.clone(), spec.expires));
        assert_eq!((opened.grant.key_id, opened.grant.role), (issued.key_id.clone(), Role::Readonly));
    }
    let place = bytes.iter().map(|&byte| usize::from(byte)).sum::<usize>() % token.len();
    let other = if &token[place..=place] == "A" { "B" } else { "A" };
    let changed = format!("{}{other}{}", &token[..place], &token[place + 1..]);
    assert!(ring.open(&Secret::new(changed)).is_err(), "a changed key was opened");
    assert!(ring.open(&Secret::new(&token[..place])).is_err(), "a part of a key was opened");
}

/// A nonce count, as clients write it.
const COUNT: &str = "00000001";

/// Who is known by Digest, and by which name and password.
struct Desk {
    verifier: Verifier,
    user: String,
    password: Secret<'static>,
}

static DESK: LazyLock<Option<Desk>> = LazyLock::new(|| {
    let ring = KeyRing::new(&SigningKey::parse_all("c3ByaW5naGVhZC1mdXp6aW5nLW5vdGhpbmctZWxzZSE").ok()?)?;
    let spec = KeySpec { role: Role::Readwrite, scope: Scope::Every, prefix: None, is_edge: false, expires: None };
    let key = ring.open(&ring.issue(&spec, WallTime::from_millis(7_000)).ok()?.token).ok()?;
    let password = ring.ingest_password(&key.grant, ring.signer_id())?;
    let user = key.grant.key_id.as_str().to_owned();
    let verifier = Verifier::new(ring, Clock::manual());
    verifier.enroll([key]);
    Some(Desk { verifier, user, password })
});

/// No text is a proof of a password; a right proof is one however the client writes it, for one request alone, and with a nonce of
/// ours alone. Lines are the request's URI, the client's nonce, and a nonce it has thought of.
pub fn digest(bytes: &[u8]) {
    let Some(Desk { verifier, user, password }) = &*DESK else { unreachable!("there is a key on record") };
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let asked = |method: &'static str, path, query| DigestRequest { method, path, query, peer: IpAddr::V4(Ipv4Addr::LOCALHOST) };
    for path in ["/cache/n/a.ts", text] {
        if let Ok(answer) = Answer::parse(text) {
            let verdict = verifier.verify_digest(&answer, &asked("PUT", path, None));
            assert!(verdict.is_err(), "a forged proof was accepted");
        }
    }

    let mut lines = text.splitn(3, '\n');
    let uri = format!("/{}", lines.next().unwrap_or_default());
    let (path, query) = uri.split_once('?').map_or((&*uri, None), |(path, query)| (path, Some(query)));
    let (cnonce, invented) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    if cnonce.len() > 256 || invented.len() > 256 {
        // Longer than any client's: refused unread.
        return;
    }
    let put = asked("PUT", path, query);
    let quote = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let header = |nonce: &str, nc: &str, algorithm: &str, response: &str| {
        let (uri, nonce, cnonce) = (quote(&uri), quote(nonce), quote(cnonce));
        format!(
            "username=\"{user}\", realm=\"springhead\", uri=\"{uri}\", algorithm={algorithm}, nonce=\"{nonce}\", nc={nc}, \
             cnonce=\"{cnonce}\", qop=auth, response=\"{response}\", opaque=\"\\\"\""
        )
    };
    let judge =
        |header: &str, asked: &DigestRequest<'_>| Answer::parse(header).and_then(|answer| verifier.verify_digest(&answer, asked));
    let (nonce, elsewhere) = (verifier.nonce(), format!("{path}x"));
    for algorithm in ["MD5", "SHA-256"] {
        let right = |nonce: &str, nc: &str| {
            let proof = proof_for(&header(nonce, COUNT, algorithm, ""), &put, password).unwrap_or_default();
            header(nonce, nc, algorithm, &proof)
        };
        let known = right(&nonce, COUNT);
        assert!(judge(&known, &put).is_ok_and(|grant| grant.key_id.as_str() == user), "a right proof is refused: {known}");
        // For another request, or another nonce count.
        assert_eq!(judge(&known, &asked("DELETE", path, query)), Err(KeyError::UnknownDigest));
        assert_eq!(judge(&known, &asked("PUT", &elsewhere, query)), Err(KeyError::DigestElsewhere));
        assert_eq!(judge(&right(&nonce, "00000002"), &put), Err(KeyError::UnknownDigest));
        // Right but for a nonce that we never made, or made otherwise.
        assert_eq!(judge(&right(invented, COUNT), &put), Err(KeyError::StaleNonce), "an invented nonce is good");
        let at = bytes.iter().map(|&byte| usize::from(byte)).sum::<usize>() % nonce.len();
        let other = if &nonce[at..=at] == "A" { "B" } else { "A" };
        let changed = format!("{}{other}{}", &nonce[..at], &nonce[at + 1..]);
        assert_eq!(judge(&right(&changed, COUNT), &put), Err(KeyError::StaleNonce), "a changed nonce is good");
    }
}

/// A range lies in its body; conditions are judged alike wherever they are judged. Lines are the headers' values.
pub fn ranges_and_conditions(bytes: &[u8]) {
    let Some((&[high, low], rest)) = bytes.split_first_chunk::<2>() else { return };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let mut lines = rest.split(|&byte| byte == b'\n');
    let mut next = || lines.next().filter(|line| !line.is_empty());
    match range::parse(next().unwrap_or_default(), length) {
        Ask::Part(part) => assert!(part.start < part.end && part.end <= length),
        Ask::Unsatisfiable | Ask::Whole => {}
    }
    let conditions = Conditions {
        if_match: next(),
        if_none_match: next(),
        if_modified_since: next(),
        if_unmodified_since: next(),
        if_range: next(),
    };
    let object = Validators { etag: b"\"abc\"", modified: WallTime::from_millis(1_000_000_000_500), shares_date: false };
    for current in [None, Some(object)] {
        let allowed = conditions.allow_write(current);
        assert_eq!(KeptConditions::from(conditions).allow_write(current), allowed);
        assert!(!allowed || conditions.if_match.is_none() || current.is_some(), "If-Match takes something to match");
    }
    let verdict = conditions.judge_read(object);
    if conditions.if_match.is_none() && conditions.if_unmodified_since.is_none() {
        assert_ne!(verdict, Verdict::Failed);
    }
    if conditions.if_none_match.is_none() && conditions.if_modified_since.is_none() {
        assert_ne!(verdict, Verdict::NotModified);
    }
    assert!(conditions.range_holds(object) || conditions.if_range.is_some());
}

/// Whatever a client writes around a key, the key is not told to others; and to WebDAV a URL means the object that it means to others.
pub fn redaction(bytes: &[u8]) {
    let Some(ring) = &*RING else { unreachable!("the signing key is one") };
    let spec = KeySpec { role: Role::Readonly, scope: Scope::Every, prefix: None, is_edge: false, expires: None };
    let Ok(issued) = ring.issue(&spec, WallTime::from_millis(7_000)) else { unreachable!("it is a key") };
    let token = issued.token.expose();
    let text = String::from_utf8_lossy(bytes);
    let at = bytes.iter().map(|&byte| usize::from(byte)).sum::<usize>() % (text.len() + 1);
    let at = (0..=at).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    // As a word of its own; what runs together with other letters is no key any more.
    let around = format!("{} {token} {}", &text[..at], &text[at..]);
    let escaped: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let Ok(uri) = Uri::try_from(format!("/cache/live/{escaped}?x={escaped}&token={token}&y={escaped}")) else { return };
    for told in redacted(&uri, &around, around.as_bytes()) {
        assert!(!told.contains(token), "a key is told: {told}");
        assert!(told.len() <= 32_768, "{} bytes are told", told.len());
    }
    if let Ok(uri) = Uri::try_from(bytes) {
        if let Some((object, ..)) = target(&uri).filter(|_| !uri.path().ends_with('/')) {
            assert!(resource(&uri, false).is_none_or(|found| found.is_none_or(|found| found == object)));
        }
        assert!(resource(&uri, true).is_none_or(|found| found.is_none()), "where a folder is meant no object is found");
    }
}

/// However a connection's first bytes are cut into pieces, nothing of them is lost, and HTTP/2 is known by its preface and by nothing
/// else. What is no HTTP gets a whole answer or none. The first byte says how long the pieces are.
pub fn first_bytes(bytes: &[u8]) {
    let Some((&first, bytes)) = bytes.split_first() else { return };
    let (length, again_in) = (1 + usize::from(first >> 3), 1 + usize::from(first & 7));
    let is_http2 = bytes.starts_with(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    for length in [length, 1, usize::MAX] {
        let Some(taken) = taken(bytes, length, again_in) else { unreachable!("all of it is there") };
        assert_eq!(taken.again, bytes, "what was looked at is read again");
        assert_eq!(taken.http2, is_http2);
        assert!(!taken.upload || !taken.http2 && bytes.iter().take_while(|byte| byte.is_ascii_uppercase()).count() >= 3);
    }
    let (begun, answered, answers) = unread(bytes);
    assert!(begun.is_none() || !is_http2 && answered.is_none(), "{begun:?} {answered:?}");
    let found = cut_off(bytes, usize::MAX);
    assert!(found.len() <= bytes.iter().filter(|&&byte| byte == b'#').count(), "each by its own: {found:?}");
    // A line that is longer than a head may be is none when it comes in pieces; in pieces one may be told twice.
    assert!(bytes.len() > 32_000 || found == cut_off(bytes, length), "{found:?}");
    for answer in answers {
        let text = String::from_utf8(answer).unwrap_or_default();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { unreachable!("it has a head: {text}") };
        assert!(head.starts_with("HTTP/1.1 4") && head.contains(&format!("Content-Length: {}\r\n", body.len())), "{text}");
    }
}
