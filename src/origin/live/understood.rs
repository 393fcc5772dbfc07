//! What a playlist or MPD was understood as.

use crate::hls::mpd::{self, Manifest};
use crate::hls::playlist::{self, Playlist};
use crate::model::kind::Kind;

/// What the playlist was understood as.
#[derive(Debug)]
pub(in crate::origin) enum Understood {
    Hls(Playlist),
    Dash(Manifest),
    /// Not at all, and why.
    Broken(String),
}

/// Reads a playlist or MPD.
pub(in crate::origin) fn understand(kind: Kind, body: &[u8]) -> Understood {
    match kind {
        Kind::Manifest => match mpd::parse(body) {
            Ok(manifest) => Understood::Dash(manifest),
            Err(fault) => Understood::Broken(fault.to_string()),
        },
        _ => match playlist::parse(body) {
            Ok(playlist) => Understood::Hls(playlist),
            Err(fault) => Understood::Broken(fault.to_string()),
        },
    }
}
