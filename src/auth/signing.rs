//! The signing keys: random secrets, each known by a short id that is safe to show.

use std::collections::HashSet;
use std::fmt;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey};
use aws_lc_rs::{constant_time, digest, hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use thiserror::Error;

/// What a signing key has, in bytes: as much as the hash it feeds, which is the least that is allowed (RFC 7518 3.2). Not more
/// either: two keys whose line end was lost between them read as one longer key, which would refuse every token of both.
pub const SECRET: usize = 32;
/// How many bytes that differ a secret has at least. Of 32 random ones fewer than 16 do not happen.
const DIFFERENT: usize = 12;

/// One signing key.
#[derive(Clone)]
pub struct SigningKey {
    id: String,
    secret: Vec<u8>,
}

/// Why a text holds no usable signing keys. Says nothing of the text itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SigningKeyError {
    /// No line with a key in it.
    #[error("it holds no signing key")]
    Empty,
    /// A line that is not base64url.
    #[error("line {0} is no key: it takes base64url without padding, as the server writes it")]
    Encoding(usize),
    /// A key that is not of a key's length: too short to be safe, or two of them that ran together.
    #[error(
        "the key on line {line} has {bytes} bytes and takes {SECRET}, base64url-encoded (43 characters); if two keys ran \
         together there, put each on a line of its own"
    )]
    Length {
        /// Counted from 1, commas counted as line ends.
        line: usize,
        /// What was found.
        bytes: usize,
    },
    /// A key that could be guessed.
    #[error("the key on line {0} is not random: have one made, 'head -c 32 /dev/urandom | basenc --base64url' does it")]
    Guessable(usize),
}

impl SigningKey {
    /// Makes a new one from the system's random source.
    ///
    /// # Panics
    /// When the system has no random source: nothing safe can be done then.
    #[must_use]
    pub fn generate() -> Self {
        Self::from_secret(random::<SECRET>().to_vec())
    }

    fn from_secret(secret: Vec<u8>) -> Self {
        let id = hex(&sha256(&secret)[..4]);
        Self { id, secret }
    }

    /// Reads keys, one to a line (or separated by commas, as an environment variable likes it); `#` begins a comment. The
    /// first one signs, all verify: put a new key on top, and take the old one out when the tokens it signed are gone.
    ///
    /// # Errors
    /// [`SigningKeyError`] names the line.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, SigningKeyError> {
        let lines = text.split(['\n', ',']).enumerate();
        let keys: Vec<_> =
            lines.filter_map(|(number, line)| Self::parse_line(number + 1, line).transpose()).collect::<Result<_, _>>()?;
        if keys.is_empty() { Err(SigningKeyError::Empty) } else { Ok(keys) }
    }

    /// Reads the line of this number, counted from 1; there need not be a key on it.
    pub(super) fn parse_line(number: usize, line: &str) -> Result<Option<Self>, SigningKeyError> {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            return Ok(None);
        }
        let secret = URL_SAFE_NO_PAD.decode(line.trim_end_matches('=')).map_err(|_| SigningKeyError::Encoding(number))?;
        if secret.len() != SECRET {
            return Err(SigningKeyError::Length { line: number, bytes: secret.len() });
        }
        if secret.iter().collect::<HashSet<_>>().len() < DIFFERENT {
            return Err(SigningKeyError::Guessable(number));
        }
        Ok(Some(Self::from_secret(secret)))
    }

    /// The key as [`SigningKey::parse_all`] reads it. Only for its file.
    #[must_use]
    pub fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(&self.secret)
    }

    /// A short name for it, from a hash: two servers that show the same one share the key.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn secret(&self) -> &[u8] {
        &self.secret
    }

    /// The same key, made ready to authenticate whole texts.
    pub(super) fn mac(&self) -> MacKey {
        MacKey::new(&self.secret)
    }

    /// What only a holder of this key can make of a text (HMAC-SHA256). The purpose keeps one use from serving as another; it
    /// ends in a colon, which no token's signing input has in it.
    pub(super) fn tag(&self, purpose: Purpose, text: &[u8]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.secret));
        context.update(match purpose {
            Purpose::IngestPassword => b"springhead ingest password:",
            Purpose::Nonce => b"springhead digest nonce:",
        });
        context.update(text);
        let mut tag = [0; 32];
        tag.copy_from_slice(context.sign().as_ref());
        tag
    }
}

/// A secret that authenticates texts (HMAC-SHA256).
#[derive(Clone)]
pub(super) struct MacKey(hmac::Key);

impl MacKey {
    pub(super) fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    pub(super) fn tag(&self, text: &[u8]) -> Vec<u8> {
        hmac::sign(&self.0, text).as_ref().to_vec()
    }

    /// Whether this is the whole tag of a text, in a time that does not tell where it differs.
    pub(super) fn is_tag(&self, text: &[u8], tag: &[u8]) -> bool {
        hmac::verify(&self.0, text, tag).is_ok()
    }
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKey(hidden)")
    }
}

/// A key that tells what its holder signed (ECDSA over P-256 with SHA-256).
pub(super) struct PublicKey(ParsedPublicKey);

impl PublicKey {
    /// How long a signature is: two numbers of 32 bytes (RFC 7518 3.4, RFC 9053 2.1).
    const SIGNATURE: usize = 64;

    /// Reads the base64 of either alphabet of a key in its usual wrapping (`SubjectPublicKeyInfo`), as a PEM has it, or bare.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let plain = text.trim_end_matches('=').replace('+', "-").replace('/', "_");
        let bytes = URL_SAFE_NO_PAD.decode(plain).ok()?;
        ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, bytes).ok().map(Self)
    }

    /// Whether the holder signed this text.
    pub(super) fn is_signature(&self, text: &[u8], signature: &[u8]) -> bool {
        signature.len() == Self::SIGNATURE && self.0.verify_sig(text, signature).is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicKey")
    }
}

/// A key that signs so, for tests alone.
#[cfg(test)]
pub(super) struct SignaturePair(aws_lc_rs::signature::EcdsaKeyPair);

#[cfg(test)]
impl SignaturePair {
    pub(super) fn generate() -> Self {
        Self(aws_lc_rs::signature::EcdsaKeyPair::generate(&aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    /// Its public half, as [`PublicKey::parse`] reads it.
    pub(super) fn public(&self) -> String {
        use aws_lc_rs::signature::KeyPair as _;
        URL_SAFE_NO_PAD.encode(self.0.public_key())
    }

    pub(super) fn sign(&self, text: &[u8]) -> Vec<u8> {
        self.0.sign(&aws_lc_rs::rand::SystemRandom::new(), text).unwrap().as_ref().to_vec()
    }
}

/// What a tag is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// The password that goes with a key's id.
    IngestPassword,
    /// The proof that a nonce is ours.
    Nonce,
}

/// SHA-256.
#[must_use]
pub fn sha256(text: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, text).as_ref());
    hash
}

/// Whether two secrets are the same, in a time that does not tell where they differ.
pub(super) fn same(one: &[u8], other: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(one, other).is_ok()
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]).map(char::from).collect()
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.id)
    }
}

/// The bytes of hexadecimal digits, of either case.
pub(super) fn hex_to_bytes(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pair = |pair: &[u8]| if let [high, low] = pair { Some(digit(*high)? << 4 | digit(*low)?) } else { None };
    text.as_bytes().chunks(2).map(pair).collect()
}

/// What only a holder of the secret can make of a text: HMAC-SHA256, in hexadecimal.
#[must_use]
pub fn hmac_hex(secret: &[u8], text: &[u8]) -> String {
    hex(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), text).as_ref())
}

/// A name that no other has: 16 hexadecimal digits.
#[must_use]
pub fn random_id() -> String {
    hex(&random::<8>())
}

/// Bytes nobody can foresee.
///
/// # Panics
/// When the system has no random source.
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[expect(clippy::expect_used, reason = "without a random source no key is safe, so none may be made")]
    rand::fill(&mut bytes).expect("the system's random source answers");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_their_file() {
        let (old, new) = (SigningKey::generate(), SigningKey::generate());
        let text = format!("# rotated in May\n{}\n\n{} # old\n", new.encode(), old.encode());
        let read = SigningKey::parse_all(&text).unwrap();
        assert_eq!(read.iter().map(SigningKey::id).collect::<Vec<_>>(), [new.id(), old.id()]);
        assert_eq!(SigningKey::parse_all(&format!("{},{}", new.encode(), old.encode())).unwrap().len(), 2);
    }

    #[test]
    fn what_is_no_key_is_refused_by_its_line() {
        assert_eq!(SigningKey::parse_all("# nothing\n").unwrap_err(), SigningKeyError::Empty);
        assert_eq!(SigningKey::parse_all("\n!!\n").unwrap_err(), SigningKeyError::Encoding(2));
        assert_eq!(SigningKey::parse_all("c2hvcnQ").unwrap_err(), SigningKeyError::Length { line: 1, bytes: 5 });
        assert_eq!(SigningKey::parse_all(&"A".repeat(43)).unwrap_err(), SigningKeyError::Guessable(1));
    }

    #[test]
    fn keys_that_ran_together_are_never_one_key() {
        for _ in 0..200 {
            let (one, other) = (SigningKey::generate().encode(), SigningKey::generate().encode());
            for between in ["", "=", " ", "\\n"] {
                assert!(SigningKey::parse_all(&format!("{one}{between}{other}")).is_err(), "with {between:?} between them");
            }
        }
    }

    #[test]
    fn a_tag_belongs_to_its_key_its_purpose_and_its_text() {
        let (one, other) = (SigningKey::generate(), SigningKey::generate());
        let tag = one.tag(Purpose::Nonce, b"text");
        assert_eq!(tag, one.tag(Purpose::Nonce, b"text"));
        for different in
            [one.tag(Purpose::IngestPassword, b"text"), one.tag(Purpose::Nonce, b"texts"), other.tag(Purpose::Nonce, b"text")]
        {
            assert_ne!(tag, different);
        }
    }

    #[test]
    fn debug_shows_the_id_alone() {
        let key = SigningKey::generate();
        assert_eq!(format!("{key:?}"), format!("SigningKey({})", key.id()));
    }
}
