//! What is in force at a place of a playlist in the making: its initialisation segment and keys, stated where they are not yet.

use std::fmt::Write as _;
use std::sync::Arc;

use super::playlist::attributes::attributes;

/// Keys as they are in force: their tags, and the media sequence number that those state which need one.
type KeysInForce<'a> = (&'a [Arc<str>], Option<u64>);

/// What a segment needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct NeededTags<'a> {
    /// The attribute lists of its keys, one of each format.
    pub(super) keys: Option<&'a [Arc<str>]>,
    /// The attribute list of its map, and whether that is in clear while a key is in force.
    pub(super) map: Option<(&'a str, bool)>,
    /// The number that its keys mean where they state no initialisation vector, and the one that it has in this list.
    pub(super) numbers: (u64, u64),
}

/// What is in force.
#[derive(Debug, Default)]
pub(super) struct InForce<'a> {
    keys: Option<KeysInForce<'a>>,
    /// The keys looked at last, and which of their tags leave the initialisation vector to the sequence number.
    looked_at: Option<(&'a [Arc<str>], Vec<bool>)>,
    map: Option<(&'a str, bool)>,
}

impl<'a> InForce<'a> {
    /// The version that it asks for (RFC 8216 7).
    pub(super) fn version(&self) -> u8 {
        if self.map.is_some() || self.keys.is_some() { 6 } else { 3 }
    }

    /// Which of these tags state no initialisation vector.
    fn implied(&mut self, tags: &'a [Arc<str>]) -> &[bool] {
        if self.looked_at.as_ref().is_none_or(|(known, _)| !std::ptr::eq(*known, tags)) {
            self.looked_at = Some((tags, tags.iter().map(|tag| is_implied(tag)).collect()));
        }
        self.looked_at.as_ref().map_or(&[], |(_, implied)| implied)
    }

    /// Writes what a segment needs and is not in force.
    pub(super) fn state(&mut self, text: &mut String, needed: NeededTags<'a>) {
        let (meant, number) = needed.numbers;
        let keys = needed.keys.map(|keys| {
            // A number of its own is stated where one is implied and would be another here.
            let states = meant != number && self.implied(keys).contains(&true);
            (keys, states.then_some(meant))
        });
        let new_map = needed.map.filter(|map| self.map != Some(*map));
        if let Some((attributes, true)) = new_map {
            // Written while no key is in force, or it would be taken for encrypted (RFC 8216bis 4.4.4.5).
            if self.keys.take().is_some() {
                text.push_str("#EXT-X-KEY:METHOD=NONE\n");
            }
            let _ = writeln!(text, "#EXT-X-MAP:{attributes}");
        }
        if keys != self.keys {
            // All of them anew: one of a format that is not there any more would stay in force.
            if self.keys.is_some() {
                text.push_str("#EXT-X-KEY:METHOD=NONE\n");
            }
            if let Some((tags, stated)) = keys {
                let implied = self.implied(tags).to_vec();
                for (tag, implied) in tags.iter().zip(implied) {
                    let _ = match stated.filter(|_| implied) {
                        Some(sequence) => writeln!(text, "#EXT-X-KEY:{}", with_vector(tag, sequence)),
                        None => writeln!(text, "#EXT-X-KEY:{tag}"),
                    };
                }
            }
            self.keys = keys;
        }
        if let Some((attributes, false)) = new_map {
            let _ = writeln!(text, "#EXT-X-MAP:{attributes}");
        }
        self.map = needed.map.or(self.map);
    }
}

/// A key tag that states the initialisation vector which a sequence number implies (RFC 8216 5.2).
pub(super) fn with_vector(tag: &str, sequence: u64) -> String {
    format!("{tag},IV=0x{sequence:032x}")
}

/// Whether a key tag states no initialisation vector: then that is the media sequence number (RFC 8216 5.2), of which the segment
/// may have another one here. AES-256-GCM has its vectors in the media, and Shaka Player ends where one is stated.
pub(super) fn is_implied(tag: &str) -> bool {
    let mut implied = true;
    for (name, value) in attributes(tag) {
        implied &= name != "IV"
            && (name != "KEYFORMAT" || value == "identity")
            && (name != "METHOD" || !matches!(value, "NONE" | "AES-256-GCM"));
    }
    implied
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_is_implied_where_a_method_takes_one_and_none_is_stated() {
        for (tag, expected) in [
            ("METHOD=AES-128,URI=\"k\"", true),
            ("METHOD=SAMPLE-AES,URI=\"k\",KEYFORMAT=\"identity\"", true),
            ("METHOD=AES-128,URI=\"k\",IV=0x1", false),
            ("METHOD=SAMPLE-AES,URI=\"k\",KEYFORMAT=\"com.apple.streamingkeydelivery\"", false),
            ("METHOD=AES-256-GCM,URI=\"k\"", false),
            ("METHOD=NONE", false),
        ] {
            assert_eq!(is_implied(tag), expected, "{tag}");
        }
    }
}
