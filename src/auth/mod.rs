//! Pure judgement: a key string <-> what its holder may do.
//!
//! An API key is a JWT (RFC 7519) signed with HS256 by one of the server's signing keys. [`signing`] holds those, [`key`] writes
//! and reads the tokens, [`grant`] is what a verified one allows, [`verify`] remembers verified ones so that a CDN's thousandth
//! request costs a hash and not a signature.
//!
//! Clients that do not send a password before they are asked, and then send only a proof that they have it, use HTTP Digest:
//! [`digest`] reads and judges that proof, `nonce` is the question, `roster` knows whose password it may be, `search` bounds what it costs to find out.
//!
//! Viewers hold tokens of their own, which are no API keys and are never taken for one: [`viewer`]; `uri_rule` is what one says of paths.
//!
//! What comes in a header or URL is read in proportion to its length (`tests/costs`: "credentials", "digest"), and texts over a few kilobytes not at
//! all; how many keys are tried for a proof that names none is rationed ([`verify`]).
//!
//! Invariants: a key string travels in a [`secret::Secret`], which never shows itself; a cached verdict never outlives an expiry,
//! a revocation or a change of signing keys.

pub mod digest;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
pub mod grant;
pub mod key;
mod nonce;
mod roster;
mod search;
pub mod secret;
pub mod signing;
mod uri_rule;
pub mod verify;
pub mod viewer;
