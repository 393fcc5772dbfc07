//! API keys: writing and reading the tokens. The only module that knows jsonwebtoken.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::grant::{Grant, KeyId, Role, Scope};
use super::secret::Secret;
use super::signing::{SigningKey, random};
use crate::model::clock::WallTime;

/// The longest token that is looked at. Ours stay under [`MAX_ISSUED`].
pub const MAX_TOKEN: usize = 4096;
/// The longest token that is issued: Amazon CloudFront caps an origin custom header's value at 1,783 characters, and other
/// CDNs are stricter.
pub const MAX_ISSUED: usize = 1000;

/// What a new key is to be.
#[derive(Clone, Debug)]
pub struct KeySpec {
    /// What it is for.
    pub role: Role,
    /// Where it is good.
    pub scope: Scope,
    /// If set: only object keys that begin with this.
    pub prefix: Option<String>,
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

/// What a token says of itself, once its signature has been checked.
#[derive(Clone, Debug)]
pub struct Verified {
    /// What it allows.
    pub grant: Grant,
    /// When it was made.
    pub issued: WallTime,
    /// When it ends, if ever.
    pub expires: Option<WallTime>,
}

/// Why a credential is not accepted: told to the log, in these words, and never with any of the credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
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
    /// Past its end.
    #[error("it has expired: make a new one with 'springhead keys create'")]
    Expired,
    /// Revoked by its id.
    #[error("it has been revoked")]
    Revoked,
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
    iat: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<u64>,
}

/// The signing keys, ready to sign and verify. The first one signs, all verify.
pub struct KeyRing {
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
        let id: String = random::<8>().iter().map(|byte| format!("{byte:02x}")).collect();
        let claims = Claims {
            jti: id.clone(),
            role: spec.role,
            ns: spec.scope.names(),
            pfx: spec.prefix.clone(),
            iat: now.seconds(),
            exp: spec.expires.map(WallTime::seconds),
        };
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some(self.signer.0.clone());
        let token = jsonwebtoken::encode(&header, &claims, &self.signer.1).map_err(|_| IssueError::Signing)?;
        if token.len() >= MAX_ISSUED {
            return Err(IssueError::TooLong(token.len()));
        }
        let key_id = KeyId::parse(&id).map_err(|_| IssueError::Signing)?;
        let issued = WallTime::from_millis(claims.iat * 1000);
        Ok(Issued { token: Secret::new(token), key_id, issued })
    }

    /// Checks a token's form and signature, and nothing that changes with time: see [`super::verify::Verifier`] for the rest.
    ///
    /// # Errors
    /// [`KeyError`], for the log. All of them are the same 401 to the client.
    pub fn open(&self, token: &Secret<'_>) -> Result<Verified, KeyError> {
        let token = token.expose();
        if token.len() > MAX_TOKEN {
            return Err(KeyError::Malformed);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| KeyError::Malformed)?;
        let kid = header.kid.ok_or(KeyError::Malformed)?;
        let (_, key) = self.verifiers.iter().find(|(id, _)| *id == kid).ok_or(KeyError::UnknownSigningKey)?;
        let claims = jsonwebtoken::decode::<Claims>(token, key, &self.rules).map_err(|_| KeyError::BadSignature)?.claims;
        let malformed = |_| KeyError::Malformed;
        Ok(Verified {
            grant: Grant {
                key_id: KeyId::parse(&claims.jti).map_err(|_| KeyError::Malformed)?,
                role: claims.role,
                scope: Scope::parse(claims.ns.iter().map(String::as_str)).map_err(malformed)?,
                prefix: claims.pfx,
            },
            issued: WallTime::from_millis(claims.iat.saturating_mul(1000)),
            expires: claims.exp.map(|exp| WallTime::from_millis(exp.saturating_mul(1000))),
        })
    }

    /// The id of the signing key that signs.
    #[must_use]
    pub fn signer_id(&self) -> &str {
        &self.signer.0
    }
}
