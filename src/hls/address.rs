//! Addresses in an MPD: references put on their base, templates filled in, and how much is kept of what is made so.

use std::sync::Arc;

/// The longest URI that is kept. An object's key is shorter.
pub(super) const MAX_URI: usize = 2048;
/// Addresses are made of templates, which may stand once for thousands of them: of all of them this many bytes are kept, and this many
/// for each byte of the manifest.
pub(super) const SHORTEST_ROOM: usize = 64 << 10;
pub(super) const ROOM_PER_BYTE: usize = 4;

/// How much more may be kept of addresses, and what the last ones were made of, where those are the same for all.
pub(super) struct AddressRoom {
    pub(super) left: usize,
    pub(super) last: Option<[Option<Arc<str>>; 3]>,
}

impl AddressRoom {
    /// For a manifest of this length.
    pub(super) const fn of(length: usize) -> Self {
        Self { left: SHORTEST_ROOM + length * ROOM_PER_BYTE, last: None }
    }

    /// Takes this much of what is left, if there is as much.
    pub(super) fn take(&mut self, length: usize) -> bool {
        let left = self.left.checked_sub(length);
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }
}

/// A reference put on its base, as far as an origin has to know (RFC 3986 5.2.3): dot segments stay.
pub(super) fn join(base: &str, uri: &str) -> Option<String> {
    let absolute = uri.starts_with('/') || uri.split(['/', '?', '#']).next().is_some_and(|first| first.contains(':'));
    let joined = if absolute {
        uri.to_owned()
    } else {
        let path = base.split(['?', '#']).next().unwrap_or_default();
        [path.rfind('/').map_or("", |at| &path[..=at]), uri].concat()
    };
    (joined.len() <= MAX_URI).then_some(joined)
}

/// A template with the identifiers that do not change from segment to segment (ISO/IEC 23009-1 5.3.9.4.4).
pub(super) fn fill(template: &str, id: &str, bandwidth: u64) -> String {
    let mut filled = String::new();
    let mut rest = template;
    while filled.len() <= MAX_URI
        && let Some((before, after)) = rest.split_once('$')
    {
        let Some((identifier, after)) = after.split_once('$') else { break };
        filled.push_str(before);
        let (name, width) = identifier.split_once('%').unwrap_or((identifier, ""));
        let width = width.strip_prefix('0').and_then(|width| width.strip_suffix('d')).and_then(|width| width.parse().ok());
        match name {
            "" => filled.push('$'),
            "RepresentationID" => filled.push_str(id),
            "Bandwidth" => filled.push_str(&format!("{bandwidth:0width$}", width = width.unwrap_or(1_usize).min(32))),
            _ => filled.extend(["$", identifier, "$"]),
        }
        rest = after;
    }
    filled + rest
}

/// A template with what changes from segment to segment put in; `None`: it asks for what is not known.
pub(super) fn seat(template: &str, number: u64, time: Option<u64>) -> Option<String> {
    let (mut seated, mut rest) = (String::new(), template);
    while let Some((before, after)) = rest.split_once('$') {
        seated.push_str(before);
        // What was `$$` stands alone by now.
        let Some((identifier, behind)) = after.split_once('$') else {
            rest = &rest[before.len()..];
            break;
        };
        let (name, format) = identifier.split_once('%').unwrap_or((identifier, "01d"));
        let width: usize = format.strip_prefix('0')?.strip_suffix('d')?.parse().ok()?;
        let value = match name {
            "Number" => number,
            "Time" => time?,
            _ => return None,
        };
        seated.push_str(&format!("{value:0width$}", width = width.min(32)));
        rest = behind;
    }
    Some(seated + rest)
}
