//! `?token=KEY&inherit_token=1`: an answer whose playlist hands the key down to what it lists.
//!
//! A URI in a playlist does not inherit the query of the playlist's own, so a player that was given one URL with a key in it gets no
//! further than the first playlist. Asked to, we put the key on; in that answer alone.

use crate::auth::grant::Action;
use crate::auth::secret::Secret;
use crate::auth::verify::Verifier;
use crate::web::access::OF_ONE_KIND;
use crate::web::target::Target;

/// What is put on: the parameters, from a key in the request's own query that is good, by itself, for what is read. No other text
/// of the request ever gets into an answer.
pub(super) fn query(verifier: &Verifier, target: &Target<'_>) -> Option<Secret<'static>> {
    if !target.inherit_token {
        return None;
    }
    let allows = |token: &&Secret<'_>| verifier.verify(token).is_ok_and(|grant| grant.allows(Action::Read, &target.object));
    let token = target.tokens.iter().take(OF_ONE_KIND).find(allows)?.expose();
    // A key is made of these; were it ever not, it would not be put into a text.
    let plain = token.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    plain.then(|| Secret::new(format!("token={token}&inherit_token=1")))
}
