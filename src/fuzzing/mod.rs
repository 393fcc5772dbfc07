//! What holds of every reader of foreign bytes, whatever the bytes: the entry points of `fuzz/`, and of the tests below, which
//! drive the same ones for a moment on a stable toolchain. Not built into the server.
//!
//! Each takes any bytes, and panics when a rule is broken.

#[cfg(test)]
mod costs;
mod kept;
mod playlists;
mod requests;
mod settings;
#[cfg(test)]
mod twins;
#[cfg(test)]
mod words;

pub use kept::{attributes, bucket, journal};
pub use playlists::{history, manifest, playlist, recording, rewrite, segment, versions};
pub use requests::{credentials, digest, ranges_and_conditions, redaction, url};
pub use settings::{certificate, records, settings, signing, units};
