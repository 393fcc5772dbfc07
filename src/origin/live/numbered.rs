//! Segments that an MPD announces by a template with a number: who plays at the live edge asks for the next one before its first
//! frame is encoded.

use crate::hls::uri;
use crate::model::id::{Key, ObjectId};

/// The names of a representation's segments (ISO/IEC 23009-1 5.3.9.4.4), as keys around their number.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Numbered {
    before: String,
    after: String,
    /// The digits of a short number are filled up to so many.
    width: usize,
}

impl Numbered {
    /// From a template relative to its manifest; `None` when it has no number or leads to another namespace.
    pub(super) fn new(manifest: &ObjectId, template: &str) -> Option<Self> {
        let (before, rest) = template.split_once("$Number")?;
        let (format, after) = rest.split_once('$')?;
        let width = if format.is_empty() { 1 } else { format.strip_prefix("%0")?.strip_suffix('d')?.parse().ok()? };
        let first = uri::resolve(manifest, &format!("{before}0")).filter(|found| found.namespace == manifest.namespace)?;
        let before = first.key.as_str().strip_suffix('0')?.to_owned();
        let after = after.split('?').next().unwrap_or_default().to_owned();
        Some(Self { before, after, width: std::cmp::min(width, 20) })
    }

    /// The segment before this one; `None` when it is none of these, or the first.
    pub(super) fn previous(&self, key: &Key) -> Option<Key> {
        let digits = key.as_str().strip_prefix(&*self.before)?.strip_suffix(&*self.after)?;
        let name = |number: u64| format!("{}{number:0width$}{}", self.before, self.after, width = self.width);
        let number: u64 = digits.parse().ok()?;
        if name(number) != key.as_str() {
            return None;
        }
        Key::parse(&name(number.checked_sub(1)?)).ok()
    }
}
