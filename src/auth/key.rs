//! API keys: writing and reading the tokens. The only module that knows jsonwebtoken.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::grant::{Grant, KeyId, Role, Scope};
use super::secret::Secret;
use super::signing::{Purpose, SigningKey, hex, random};
use crate::model::clock::WallTime;

/// The longest token that is looked at. Ours stay under [`MAX_ISSUED`].
const MAX_TOKEN: usize = 4096;
/// The longest token that is issued: Amazon CloudFront caps an origin custom header's value at 1,783 characters, and other
/// CDNs are stricter.
const MAX_ISSUED: usize = 1000;

/// What a new key is to be.
#[derive(Clone, Debug)]
pub struct KeySpec {
    /// What it is for.
    pub role: Role,
    /// Where it is good.
    pub scope: Scope,
    /// If set: only object keys that begin with this.
    pub prefix: Option<String>,
    /// Whether it is for a CDN that checks viewers' tokens itself.
    pub is_edge: bool,
    /// When it ends, if ever.
    pub expires: Option<WallTime>,
}

/// A key as issued. The token can't be had again.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The key string.
    pub token: Secret<'static>,
    /// What it is revoked by.
    pub key_id: KeyId,
    /// When it was made.
    pub issued: WallTime,
}

/// A key without its token: what a token says of itself once its signature has been checked, or what is on record of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What it allows.
    pub grant: Grant,
    /// When it was made.
    pub issued: WallTime,
    /// When it ends, if ever.
    pub expires: Option<WallTime>,
}

/// Why a credential is not accepted: told to the log, in these words, and never with any of the credential.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// Not a token of ours at all.
    #[error("it is not an API key of this server (a JWT made by 'springhead keys create')")]
    Malformed,
    /// Signed with a key that this server does not have: often a data directory that was lost or not mounted.
    #[error(
        "it was signed with a signing key this server does not have: was the data directory lost, or is the key from another server?"
    )]
    UnknownSigningKey,
    /// The signature does not fit.
    #[error("its signature is wrong: was it cut off or changed while it was copied?")]
    BadSignature,
    /// Past its end; good but for that.
    #[error("it has expired: make a new one with 'springhead keys create'")]
    Expired(KeyId),
    /// Revoked by its id; good but for that.
    #[error("it has been revoked")]
    Revoked(KeyId),
    /// Basic, with the id of a key on record and another password.
    #[error(
        "the user name is the id of a readwrite key, but the password is not its ingest password: see 'springhead keys inspect'"
    )]
    IngestPassword,
    /// A password of a key whose record can't be read here. Whether it is good is not known.
    #[error(
        "the record of its key can't be read here, so that its ingest password is not known: did a newer Springhead write it? The log says \
         which file, and why"
    )]
    UnreadRecord,
    /// Digest, with the name and password of nobody on record.
    #[error(
        "these Digest credentials fit no key on record here: they take a key id and its ingest password, or an API key that was \
         made in this server's data directory as the password; was it made elsewhere, or mistyped?"
    )]
    UnknownDigest,
    /// Digest, with a part missing or a kind that was not offered.
    #[error("these Digest credentials lack a part, or are of a kind that was not offered (algorithm MD5 or SHA-256, qop auth)")]
    MalformedDigest,
    /// Digest, made for another URI than that of the request.
    #[error("these Digest credentials were made for another URI: does a proxy in front rewrite the path?")]
    DigestElsewhere,
    /// Digest, right but for the age of its nonce. The client was sent a new one and is expected to come back.
    #[error("these Digest credentials are right, but their nonce is no longer good: a new one was sent along")]
    StaleNonce,
}

impl KeyError {
    /// Which key it is, where its signature or password was good.
    #[must_use]
    pub fn key_id(&self) -> Option<&KeyId> {
        match self {
            Self::Expired(id) | Self::Revoked(id) => Some(id),
            _ => None,
        }
    }
}

/// Why a key can't be issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum IssueError {
    /// Too many namespaces or too long a prefix.
    #[error("the key would be {0} characters long; CDN headers take {MAX_ISSUED}: name fewer namespaces or a shorter prefix")]
    TooLong(usize),
    /// The signing library refused.
    #[error("signing failed")]
    Signing,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    jti: String,
    role: Role,
    ns: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pfx: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    edge: bool,
    iat: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<u64>,
}

/// How long an ingest password is, in bytes before it is written as text.
const INGEST_PASSWORD: usize = 18;

/// The signing keys, ready to sign and verify. The first one signs, all verify.
pub struct KeyRing {
    keys: Vec<SigningKey>,
    signer: (String, EncodingKey),
    verifiers: Vec<(String, DecodingKey)>,
    rules: Validation,
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.verifiers.iter().map(|(id, _)| id)).finish()
    }
}

impl KeyRing {
    /// Takes the signing keys; `None` when there is not even one.
    #[must_use]
    pub fn new(keys: &[SigningKey]) -> Option<Self> {
        // The library picks no provider by itself and panics at first use; an error here means that one is set already.
        let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
        let first = keys.first()?;
        // HS256 and nothing else: a token's own header never chooses the algorithm (RFC 8725 3.1). Time is judged by the
        // verifier, with the injected clock and without leeway.
        let mut rules = Validation::new(Algorithm::HS256);
        rules.required_spec_claims.clear();
        rules.validate_exp = false;
        rules.validate_aud = false;
        Some(Self {
            keys: keys.to_vec(),
            signer: (first.id().to_owned(), EncodingKey::from_secret(first.secret())),
            verifiers: keys.iter().map(|key| (key.id().to_owned(), DecodingKey::from_secret(key.secret()))).collect(),
            rules,
        })
    }

    /// Makes a key.
    ///
    /// # Errors
    /// [`IssueError::TooLong`] when it would not fit in a CDN's header.
    pub fn issue(&self, spec: &KeySpec, now: WallTime) -> Result<Issued, IssueError> {
        let key_id = KeyId::parse(&hex(&random::<8>())).map_err(|_| IssueError::Signing)?;
        let grant = Grant {
            key_id: key_id.clone(),
            role: spec.role,
            scope: spec.scope.clone(),
            prefix: spec.prefix.clone(),
            paths: None,
            is_edge: spec.is_edge,
            ends: spec.expires,
        };
        let issued = WallTime::from_seconds(now.seconds());
        let (signer, key) = &self.signer;
        let token = encode(signer, key, &Verified { grant, issued, expires: spec.expires }).ok_or(IssueError::Signing)?;
        if token.len() >= MAX_ISSUED {
            return Err(IssueError::TooLong(token.len()));
        }
        Ok(Issued { token: Secret::new(token), key_id, issued })
    }

    /// The tokens that a key on record can have: one for each signing key, as [`KeyRing::issue`] made it.
    pub(super) fn tokens(&self, key: &Verified) -> Vec<Secret<'static>> {
        let encode = |signer: &SigningKey| encode(signer.id(), &EncodingKey::from_secret(signer.secret()), key);
        self.keys.iter().filter_map(encode).map(Secret::new).collect()
    }

    /// The passwords that go with a key's id where a token can't go: one for each signing key.
    pub(super) fn ingest_passwords(&self, id: &KeyId) -> Vec<Secret<'static>> {
        self.keys.iter().map(|signer| ingest_password(signer, id)).collect()
    }

    /// The ingest password of a key, from the signing key that has this id: it ends when the token does. Only a readwrite key
    /// has one.
    #[must_use]
    pub fn ingest_password(&self, grant: &Grant, signing_key: &str) -> Option<Secret<'static>> {
        let signer = self.keys.iter().find(|key| key.id() == signing_key)?;
        (grant.role == Role::Readwrite).then(|| ingest_password(signer, &grant.key_id))
    }

    /// Proves that a nonce is ours.
    pub(super) fn nonce_tag(&self, nonce: &[u8]) -> [u8; 32] {
        self.keys.first().map_or_else(random, |key| key.tag(Purpose::Nonce, nonce))
    }

    /// Every tag that proves it: nonces outlive a rotation, as tokens do.
    pub(super) fn nonce_tags(&self, nonce: &[u8]) -> impl Iterator<Item = [u8; 32]> {
        self.keys.iter().map(|key| key.tag(Purpose::Nonce, nonce))
    }

    /// Checks a token's form and signature, and nothing that changes with time: see [`super::verify::Verifier`] for the rest.
    ///
    /// # Errors
    /// [`KeyError`], for the log. All of them are the same 401 to the client.
    pub fn open(&self, token: &Secret<'_>) -> Result<Verified, KeyError> {
        self.open_signed(token).map(|(verified, _)| verified)
    }

    /// The same, and the id of the signing key that signed it.
    ///
    /// # Errors
    /// As [`KeyRing::open`].
    pub fn open_signed(&self, token: &Secret<'_>) -> Result<(Verified, String), KeyError> {
        let token = token.expose();
        if token.len() > MAX_TOKEN {
            return Err(KeyError::Malformed);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| KeyError::Malformed)?;
        let kid = header.kid.ok_or(KeyError::Malformed)?;
        let (_, key) = self.verifiers.iter().find(|(id, _)| *id == kid).ok_or(KeyError::UnknownSigningKey)?;
        let claims = jsonwebtoken::decode::<Claims>(token, key, &self.rules).map_err(|_| KeyError::BadSignature)?.claims;
        let malformed = |_| KeyError::Malformed;
        let verified = Verified {
            grant: Grant {
                key_id: KeyId::parse(&claims.jti).map_err(|_| KeyError::Malformed)?,
                role: claims.role,
                scope: Scope::parse(claims.ns.iter().map(String::as_str)).map_err(malformed)?,
                prefix: claims.pfx,
                paths: None,
                is_edge: claims.edge,
                ends: claims.exp.map(WallTime::from_seconds),
            },
            issued: WallTime::from_seconds(claims.iat),
            expires: claims.exp.map(WallTime::from_seconds),
        };
        Ok((verified, kid))
    }

    /// The id of the signing key that signs.
    #[must_use]
    pub fn signer_id(&self) -> &str {
        &self.signer.0
    }

    /// The ids of all signing keys, the one that signs first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(SigningKey::id)
    }
}

/// Whether a text holds what has the form of an API key, of this server or another one like it: a JWT with the header and the
/// claims of ours. No signature is checked: what has the form may be good somewhere, and is to be hidden either way. A JWT of
/// another make has not got the form.
#[must_use]
pub fn holds_key(text: &str) -> bool {
    let words = text.split(|sign: char| !sign.is_ascii_alphanumeric() && !matches!(sign, '-' | '_' | '.'));
    let read = |part: &str| {
        let is_json = part.starts_with("eyJ") && part.len() <= MAX_TOKEN;
        is_json.then(|| URL_SAFE_NO_PAD.decode(part).ok()).flatten()
    };
    let has_form = |header: &str, claims: &str| {
        let header = read(header).and_then(|header| serde_json::from_slice::<Header>(&header).ok());
        header.is_some_and(|header| header.alg == Algorithm::HS256 && header.kid.is_some())
            && read(claims).is_some_and(|claims| serde_json::from_slice::<Claims>(&claims).is_ok())
    };
    words.filter(|word| word.contains("eyJ")).any(|word| {
        let parts = || word.split('.');
        parts().zip(parts().skip(1)).any(|(header, claims)| has_form(header, claims))
    })
}

/// Writes a token. The same key and signer always yield the same one: Digest compares by it (see [`super::roster`]).
fn encode(signer: &str, secret: &EncodingKey, key: &Verified) -> Option<String> {
    let claims = Claims {
        jti: key.grant.key_id.to_string(),
        role: key.grant.role,
        ns: key.grant.scope.names(),
        pfx: key.grant.prefix.clone(),
        edge: key.grant.is_edge,
        iat: key.issued.seconds(),
        exp: key.expires.map(WallTime::seconds),
    };
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some(signer.to_owned());
    jsonwebtoken::encode(&header, &claims, secret).ok()
}

fn ingest_password(signer: &SigningKey, id: &KeyId) -> Secret<'static> {
    let tag = signer.tag(Purpose::IngestPassword, id.as_str().as_bytes());
    Secret::new(URL_SAFE_NO_PAD.encode(&tag[..INGEST_PASSWORD]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Verified {
        let grant = Grant {
            key_id: KeyId::parse("0123456789abcdef").unwrap(),
            role: Role::Readwrite,
            scope: Scope::parse(["live", "test"]).unwrap(),
            prefix: Some("a/".to_owned()),
            paths: None,
            is_edge: false,
            ends: Some(WallTime::from_seconds(1_767_312_000)),
        };
        let at = |seconds: u64| WallTime::from_seconds(seconds);
        Verified { grant, issued: at(1_767_225_600), expires: Some(at(1_767_312_000)) }
    }

    #[test]
    fn a_token_is_made_again_from_its_record_to_the_byte() {
        let keys = [SigningKey::generate(), SigningKey::generate()];
        let spec = KeySpec {
            role: Role::Readonly,
            scope: Scope::parse(["*"]).unwrap(),
            prefix: None,
            is_edge: true,
            expires: Some(WallTime::from_millis(1_900_000_000_000)),
        };
        for signer in &keys {
            let issued =
                KeyRing::new(std::slice::from_ref(signer)).unwrap().issue(&spec, WallTime::from_millis(1_234_567)).unwrap();
            let ring = KeyRing::new(&keys).unwrap();
            let record = ring.open(&issued.token).unwrap();
            assert!(ring.tokens(&record).contains(&issued.token));
        }
    }

    #[test]
    fn a_token_is_spelled_as_it_always_was() {
        // If this fails after an upgrade, keys that were issued before it no longer work with Digest.
        let key = SigningKey::generate();
        let token = KeyRing::new(std::slice::from_ref(&key)).unwrap().tokens(&record()).remove(0);
        let parts: Vec<String> = token
            .expose()
            .split('.')
            .take(2)
            .map(|part| String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap())
            .collect();
        assert_eq!(parts[0], format!(r#"{{"typ":"JWT","alg":"HS256","kid":"{}"}}"#, key.id()));
        assert_eq!(
            parts[1],
            r#"{"jti":"0123456789abcdef","role":"readwrite","ns":["live","test"],"pfx":"a/","iat":1767225600,"exp":1767312000}"#
        );
    }

    #[test]
    fn what_has_the_form_of_a_key_is_told_from_what_has_not() {
        let ring = KeyRing::new(&[SigningKey::generate()]).unwrap();
        let spec =
            KeySpec { role: Role::Readonly, scope: Scope::parse(["live"]).unwrap(), prefix: None, is_edge: false, expires: None };
        let token = ring.issue(&spec, WallTime::from_millis(0)).unwrap().token.expose().to_owned();
        let [header, claims, signature] = *token.split('.').collect::<Vec<_>>() else { panic!("three parts") };
        for text in
            [&token, &format!("a={token}&b"), &format!("x.{token}"), &format!("{header}.{claims}.AAAA"), &format!("ü{token}.y")]
        {
            assert!(holds_key(text));
        }
        let part = |json: &str| URL_SAFE_NO_PAD.encode(json);
        let foreign = part(r#"{"iss":"https://drm.example","sub":"1","iat":1,"jti":"x"}"#);
        let other = part(r#"{"typ":"JWT","alg":"RS256","kid":"0"}"#);
        for text in [
            "",
            "eyJ",
            ".",
            "eyJ.eyJ.",
            &format!("{header}.{foreign}.{signature}"),
            &format!("{other}.{claims}.{signature}"),
            claims,
        ] {
            assert!(!holds_key(text), "{text}");
        }
    }

    #[test]
    fn an_ingest_password_is_that_of_its_key_and_signer_and_only_for_writing() {
        let keys = [SigningKey::generate(), SigningKey::generate()];
        let ring = KeyRing::new(&keys).unwrap();
        let Verified { mut grant, .. } = record();
        let [first, second] = [0, 1].map(|n: usize| ring.ingest_password(&grant, keys[n].id()).unwrap());
        assert_ne!(first, second);
        assert_eq!(ring.ingest_passwords(&grant.key_id), [first.clone(), second]);
        assert!(first.expose().len() == 24 && KeyId::parse(first.expose()).is_ok(), "short, and safe in a URL");
        assert_eq!(ring.ingest_password(&grant, "none"), None);
        for role in [Role::Readonly, Role::Admin] {
            grant.role = role;
            assert_eq!(ring.ingest_password(&grant, keys[0].id()), None);
        }
    }
}
