//! Pure judgement: a key string <-> what its holder may do.
//!
//! An API key is a JWT (RFC 7519) signed with HS256 by one of the server's signing keys. [`signing`] holds those, [`key`] writes
//! and reads the tokens, [`grant`] is what a verified one allows, [`verify`] remembers verified ones so that a CDN's thousandth
//! request costs a hash and not a signature.
//!
//! Invariants: a key string travels in a [`secret::Secret`], which never shows itself; a cached verdict never outlives an expiry,
//! a revocation or a change of signing keys.

pub mod grant;
pub mod key;
pub mod secret;
pub mod signing;
pub mod verify;
