//! A way to what is planned of a recording, for `crate::fuzzing` alone.

use super::recording::{is_multivariant, plan, rewrite_multivariant};
use crate::app::client::Url;

/// The playlist and the files' names of a recording of this media playlist.
pub(crate) fn planned(text: &str, keys: bool) -> Option<(String, Vec<String>)> {
    let url: Url = "https://origin.example/cache/live/a/p.m3u8?token=KEY".parse().ok()?;
    let copy = plan(text, &url, "v".to_owned(), keys).ok()?;
    Some((copy.text, copy.pieces.into_iter().map(|piece| piece.path).collect()))
}

/// A multivariant playlist whose media playlists are all called so.
pub(crate) fn renamed(text: &str, name: &str) -> Option<String> {
    is_multivariant(text).then(|| rewrite_multivariant(text, |_| Some(name.to_owned())))
}
