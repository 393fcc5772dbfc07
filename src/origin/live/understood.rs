//! What a playlist or MPD was understood as.

use std::sync::Arc;

use crate::hls::mpd::{self, Manifest};
use crate::hls::playlist::{self, Media, Playlist, Surroundings, Variables, is_unknown};
use crate::hls::utf16;
use crate::model::kind::Kind;

/// What the playlist was understood as.
#[derive(Debug)]
pub(in crate::origin) enum Understood {
    Hls(Playlist),
    Dash(Manifest),
    /// Not at all, and why.
    Broken(String),
}

impl Understood {
    /// Whether it names something by a variable whose value it was not given.
    pub(in crate::origin) fn lacks_imports(&self) -> bool {
        matches!(self, Self::Hls(Playlist::Media(media)) if has_unknown(media))
    }
}

/// Reads a playlist or MPD. `imports` tells what the multivariant playlist defines that names it; few need that.
pub(in crate::origin) fn understand(kind: Kind, body: &[u8], imports: impl FnOnce() -> Option<Arc<Variables>>) -> Understood {
    match kind {
        Kind::Manifest => {
            // XML may be written so.
            let wide = utf16::decode(body);
            match mpd::parse(wide.as_ref().map_or(body, |(text, _)| text.as_bytes())) {
                Ok(manifest) => Understood::Dash(manifest),
                Err(fault) => Understood::Broken(fault.to_string()),
            }
        }
        _ => {
            let mut parsed = playlist::parse(body);
            if let Ok(Playlist::Media(media)) = &parsed
                && has_unknown(media)
                && let Some(imports) = imports()
            {
                parsed = playlist::parse_within(body, Surroundings { imports: Some(&imports), query: None });
            }
            match parsed {
                Ok(playlist) => Understood::Hls(playlist),
                Err(fault) => Understood::Broken(fault.to_string()),
            }
        }
    }
}

/// Whether it names something by a variable that it does not give a value itself. The newest are looked at.
fn has_unknown(media: &Media) -> bool {
    let newest = media.segments.last().map(|segment| &segment.uri);
    newest.into_iter().chain(media.maps.last().map(|map| &map.uri)).any(|uri| is_unknown(uri))
}
