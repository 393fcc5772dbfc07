//! The viewer keys: what tokens of viewers are signed with, apart from the signing keys of API keys. The first one signs, all verify. Public
//! keys of those who sign by themselves (ES256) stand beside them, and keys of Akamai's tokens, each for one namespace.

use thiserror::Error;

use super::edgeauth::EdgeAuthKey;
use crate::auth::signing::{MacKey, PublicKey, SigningKey, SigningKeyError};
use crate::model::id::Namespace;

/// What a line with a public key begins with.
const PUBLIC: &str = "es256:";
/// And one with a key of Akamai's tokens.
const EDGE_AUTH: &str = "akamai:";

/// The viewer keys, ready to sign and verify. There may be none: then no token is good.
#[derive(Debug, Default)]
pub struct ViewerKeys {
    keys: Vec<ViewerKey>,
    edge_auth: Vec<(Namespace, EdgeAuthKey)>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct ViewerKey {
    pub(super) id: String,
    pub(super) proof: ViewerProof,
}

/// How it is told that a token was made with it: the key decides, not the token.
#[derive(Debug)]
pub(super) enum ViewerProof {
    Mac(Box<MacKey>),
    Es256(PublicKey),
}

/// Why a text holds no usable viewer keys. Says nothing of the text itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ViewerKeyError {
    /// Of the secret ones.
    #[error(transparent)]
    Secret(#[from] SigningKeyError),
    /// A line that begins as one with a public key.
    #[error(
        "line {0} is no public key: it takes es256:KID:KEY, KID the kid in the tokens, of 1 to 64 characters of a-z A-Z 0-9 . - _, and KEY the \
         base64 of a P-256 key as between the BEGIN and END lines of its PEM, in one line"
    )]
    Public(usize),
    /// A line that begins as one with a key of Akamai's.
    #[error(
        "line {0} is no key of Akamai's tokens: it takes akamai:NAMESPACE:KEY or akamai:NAMESPACE:KEY:SALT, KEY in hexadecimal, of 16 to 64 bytes, and \
         SALT with each comma, number sign and per cent sign as %2C, %23 and %25"
    )]
    EdgeAuth(usize),
    /// Of two keys with one kid a token could mean either.
    #[error("line {0} has the kid of another key")]
    Doubled(usize),
}

impl ViewerKeys {
    /// Takes them, in their order.
    #[must_use]
    pub fn new(keys: &[SigningKey]) -> Self {
        let key = |key: &SigningKey| ViewerKey { id: key.id().to_owned(), proof: ViewerProof::Mac(Box::new(key.mac())) };
        Self { keys: keys.iter().map(key).collect(), edge_auth: Vec::new() }
    }

    /// Reads keys, as [`SigningKey::parse_all`] does; public ones, `es256:KID:KEY`, which verify and never sign; and those of Akamai's tokens,
    /// `akamai:NAMESPACE:KEY` or `akamai:NAMESPACE:KEY:SALT`.
    ///
    /// # Errors
    /// [`ViewerKeyError`] names the line.
    pub fn parse_all(text: &str) -> Result<Self, ViewerKeyError> {
        let (keys, faults) = Self::read(text);
        faults.into_iter().next().map_or(Ok(keys), Err)
    }

    /// All that is wrong with a text that is to hold such keys, in the order of its lines, for who is to mend it.
    #[must_use]
    pub fn faults(text: &str) -> Vec<ViewerKeyError> {
        Self::read(text).1
    }

    /// What can be read, and what can't.
    fn read(text: &str) -> (Self, Vec<ViewerKeyError>) {
        let (mut secrets, mut public, mut edge_auth, mut faults) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (before, line) in text.split(['\n', ',']).enumerate() {
            let number = before + 1;
            let bare = line.split('#').next().unwrap_or_default().trim();
            if let Some(key) = bare.strip_prefix(PUBLIC) {
                match public_key(key) {
                    Some(key) => public.push((number, key)),
                    None => faults.push(ViewerKeyError::Public(number)),
                }
            } else if let Some(key) = bare.strip_prefix(EDGE_AUTH) {
                match key.split_once(':').and_then(|(name, key)| Some((Namespace::parse(name).ok()?, EdgeAuthKey::parse(key)?))) {
                    Some(key) => edge_auth.push(key),
                    None => faults.push(ViewerKeyError::EdgeAuth(number)),
                }
            } else {
                match SigningKey::parse_line(number, line) {
                    Ok(key) => secrets.extend(key),
                    Err(error) => faults.push(error.into()),
                }
            }
        }
        if secrets.is_empty() && faults.is_empty() {
            faults.push(SigningKeyError::Empty.into());
        }
        let mut keys = Self { edge_auth, ..Self::new(&secrets) };
        for (line, (id, key)) in public {
            if keys.find(id.as_bytes()).is_some() {
                faults.push(ViewerKeyError::Doubled(line));
            } else {
                keys.keys.push(ViewerKey { id, proof: ViewerProof::Es256(key) });
            }
        }
        (keys, faults)
    }

    /// The ids, the one that signs first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| &*key.id)
    }

    pub(super) fn signer(&self) -> Option<&ViewerKey> {
        self.keys.first()
    }

    pub(super) fn find(&self, id: &[u8]) -> Option<&ViewerKey> {
        self.keys.iter().find(|key| key.id.as_bytes() == id)
    }

    /// The keys of Akamai's tokens for a namespace.
    pub(super) fn edge_auth(&self, namespace: &Namespace) -> impl Iterator<Item = &EdgeAuthKey> {
        self.edge_auth.iter().filter(move |(name, _)| name == namespace).map(|(_, key)| key)
    }

    /// All keys of Akamai's tokens, each with its namespace.
    pub(super) fn all_edge_auth(&self) -> impl Iterator<Item = &(Namespace, EdgeAuthKey)> {
        self.edge_auth.iter()
    }

    /// The namespaces that have a key of Akamai's tokens.
    pub fn edge_auth_namespaces(&self) -> impl Iterator<Item = &Namespace> {
        self.edge_auth.iter().map(|(name, _)| name)
    }

    /// A key of any name and secret, as others have them.
    #[cfg(test)]
    pub(super) fn of(id: &str, secret: &[u8]) -> Self {
        Self {
            keys: vec![ViewerKey { id: id.to_owned(), proof: ViewerProof::Mac(Box::new(MacKey::new(secret))) }],
            edge_auth: Vec::new(),
        }
    }

    /// What the one that signs makes of a text.
    #[cfg(test)]
    pub(super) fn tag(&self, text: &[u8]) -> Vec<u8> {
        match self.signer().map(|key| &key.proof) {
            Some(ViewerProof::Mac(mac)) => mac.tag(text),
            _ => Vec::new(),
        }
    }
}

/// Reads `KID:KEY`.
fn public_key(text: &str) -> Option<(String, PublicKey)> {
    let (id, key) = text.split_once(':')?;
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if !(1..=64).contains(&id.len()) || !id.bytes().all(is_allowed) {
        return None;
    }
    Some((id.to_owned(), PublicKey::parse(key.trim())?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::signing::SignaturePair;

    #[test]
    fn public_keys_stand_beside_secret_ones_and_never_sign() {
        let (secret, pair) = (SigningKey::generate(), SignaturePair::generate());
        let line = format!("es256:partner.1:{}", pair.public());
        let keys = ViewerKeys::parse_all(&format!("{line}\n{} # ours\n", secret.encode())).unwrap();
        assert_eq!(keys.ids().collect::<Vec<_>>(), [secret.id(), "partner.1"]);
        assert!(matches!(keys.signer().unwrap().proof, ViewerProof::Mac(_)));
        let error = |text: &str| ViewerKeys::parse_all(text).unwrap_err();
        assert_eq!(error(&line), ViewerKeyError::Secret(SigningKeyError::Empty), "something has to sign");
        let with = |line: &str| error(&format!("{}\n{line}", secret.encode()));
        for bad in ["es256:", "es256:a", "es256::AAAA", "es256:a b:AAAA", "es256:a:!!", "es256:a:AAAA"] {
            assert_eq!(with(bad), ViewerKeyError::Public(2), "{bad}");
        }
        assert_eq!(with(&format!("{line}\n{line}")), ViewerKeyError::Doubled(3));
        let good = "00112233445566778899aabbccddeeff";
        for bad in ["", "live", "live:00", &format!("/:{good}"), &format!("live:{good}:"), &format!("live:{good}:%zz")] {
            assert_eq!(with(&format!("akamai:{bad}")), ViewerKeyError::EdgeAuth(2), "{bad}");
        }
        let several = format!("es256:a\n# a comment\n{}\nshort\nakamai:live:secret-of-somebody", secret.encode());
        let faults = ViewerKeys::faults(&several);
        let length = ViewerKeyError::Secret(SigningKeyError::Encoding(4));
        assert_eq!(faults[..], [ViewerKeyError::Public(1), length, ViewerKeyError::EdgeAuth(5)]);
        assert!(!faults.iter().any(|fault| fault.to_string().contains("secret-of")), "{faults:?}");
        assert_eq!(ViewerKeys::faults("\n# nothing"), [ViewerKeyError::Secret(SigningKeyError::Empty)]);
        let akamai =
            ViewerKeys::parse_all(&format!("{}\nakamai:live:00112233445566778899AABBccddeeff", secret.encode())).unwrap();
        let of = |name: &str| akamai.edge_auth(&Namespace::parse(name).unwrap()).count();
        assert_eq!((of("live"), of("other"), akamai.ids().count()), (1, 0, 1));
        assert_eq!(with("nonsense"), ViewerKeyError::Secret(SigningKeyError::Length { line: 2, bytes: 6 }));
        assert!(!format!("{keys:?}").contains(&pair.public()));
    }
}
