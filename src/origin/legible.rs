//! What a playlist or MPD says, in clear or compressed, and as what it is stored.

use http::HeaderValue;

use super::live::{Understood, understand};
use super::namespace::Hosted;
use super::strip;
use crate::hls::coding::{self, Coding};
use crate::hls::fault::{Fault, Wrong};
use crate::hls::playlist::Playlist;
use crate::model::id::Key;
use crate::model::kind::Kind;
use crate::store::Body;

/// A playlist or MPD that was read.
#[derive(Debug)]
pub(super) struct Legible {
    /// As it is stored: as it came, unless something had to be taken out of it.
    pub(super) body: Body,
    pub(super) understood: Understood,
    /// It came compressed, and is stored in clear: what had to be taken out of it is gone.
    pub(super) is_in_clear: bool,
}

impl Legible {
    /// Takes out of it what is not to be stored, and reads it. `said`: its `Content-Encoding`.
    pub(super) fn of(hosted: &Hosted, key: &Key, kind: Kind, body: Body, said: Option<&HeaderValue>) -> Self {
        let Some(coding) = coding::of(said.map(HeaderValue::as_bytes), &body.bytes) else {
            let body = strip::credentials(hosted, key, body);
            let understood = read(hosted, key, kind, &body.bytes);
            return Self { body, understood, is_in_clear: false };
        };
        let clear = match unpack(hosted, coding, &body.bytes) {
            Ok(clear) => Body::new(clear),
            Err(wrong) => return Self { body, understood: Understood::Broken(wrong.to_string()), is_in_clear: false },
        };
        let before = clear.hash;
        let clear = strip::credentials(hosted, key, clear);
        let understood = read(hosted, key, kind, &clear.bytes);
        if clear.hash == before {
            Self { body, understood: with_coding(understood, said), is_in_clear: false }
        } else {
            Self { body: clear, understood, is_in_clear: true }
        }
    }
}

fn read(hosted: &Hosted, key: &Key, kind: Kind, clear: &[u8]) -> Understood {
    understand(kind, clear, || hosted.live.imports(key))
}

/// The same of one that is stored already.
pub(super) fn understood(hosted: &Hosted, key: &Key, kind: Kind, (body, said): (&[u8], Option<&HeaderValue>)) -> Understood {
    match coding::of(said.map(HeaderValue::as_bytes), body) {
        None => read(hosted, key, kind, body),
        Some(coding) => match unpack(hosted, coding, body) {
            Ok(clear) => with_coding(read(hosted, key, kind, &clear), said),
            Err(wrong) => Understood::Broken(wrong.to_string()),
        },
    }
}

/// A body in clear: no longer than one that may be stored.
pub(super) fn unpack(hosted: &Hosted, coding: Coding, body: &[u8]) -> Result<Vec<u8>, Wrong> {
    coding::unpack(coding, body, usize::try_from(hosted.policy.max_object_size).unwrap_or(usize::MAX))
}

/// Who is not told that it is compressed can't read it.
fn with_coding(mut understood: Understood, said: Option<&HeaderValue>) -> Understood {
    let faults = match &mut understood {
        Understood::Hls(Playlist::Media(media)) => &mut media.faults,
        Understood::Hls(Playlist::Multivariant(multivariant)) => &mut multivariant.faults,
        Understood::Dash(manifest) => &mut manifest.faults,
        Understood::Broken(_) => return understood,
    };
    if said.is_none() {
        faults.insert(0, Fault { line: 1, what: Wrong::Unsaid });
    }
    understood
}
