//! What a client does that knows a password, for `crate::fuzzing` alone.

use super::digest::{Answer, DigestRequest};
use super::secret::Secret;

/// The proof that belongs to a Digest answer, whatever proof it has; `None` when the answer does not read.
pub(crate) fn proof_for(answer: &str, asked: &DigestRequest<'_>, password: &Secret<'_>) -> Option<String> {
    Some(Answer::parse(answer).ok()?.proof(asked).expected(password))
}
