//! What holds of every reader of foreign bytes, whatever the bytes: the entry points of `fuzz/`, and of the tests below, which
//! drive the same ones for a moment on a stable toolchain. Not built into the server.
//!
//! Each takes any bytes, and panics when a rule is broken. The memory that each holds for a byte of the input is bounded by
//! `fuzz/src/lib.rs`, the instructions by `tests/costs`.

#[cfg(test)]
mod costs;
mod kept;
mod playlists;
mod requests;
#[cfg(test)]
mod seeds;
mod settings;
#[cfg(test)]
mod stream_words;
#[cfg(test)]
mod twins;
mod viewers;
#[cfg(test)]
mod words;

pub use kept::{attributes, bucket, journal};
pub use playlists::{coding, history, manifest, normalised, numbered, playlist, recording, rewrite, segment, versions};
pub use requests::{credentials, digest, first_bytes, ranges_and_conditions, redaction, url};
pub use settings::{certificate, order, records, settings, signing, units};
pub use viewers::viewer_token;

/// One of the entry points.
pub type EntryPoint = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [EntryPoint; 26] = [
    ("attributes", attributes),
    ("bucket", bucket),
    ("certificate", certificate),
    ("coding", coding),
    ("credentials", credentials),
    ("digest", digest),
    ("first_bytes", first_bytes),
    ("history", history),
    ("journal", journal),
    ("manifest", manifest),
    ("normalised", normalised),
    ("numbered", numbered),
    ("order", order),
    ("playlist", playlist),
    ("ranges_and_conditions", ranges_and_conditions),
    ("recording", recording),
    ("records", records),
    ("redaction", redaction),
    ("rewrite", rewrite),
    ("segment", segment),
    ("settings", settings),
    ("signing", signing),
    ("units", units),
    ("url", url),
    ("versions", versions),
    ("viewer_token", viewer_token),
];
