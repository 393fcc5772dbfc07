//! Playlists in UTF-16, as some editors and scripts on Windows write them: told from others, and written again as they came.

/// How a text in UTF-16 was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Utf16 {
    /// The more significant byte comes first.
    is_big: bool,
    /// A byte that is left over at its end.
    odd: Option<u8>,
}

/// The text of what begins as a playlist or MPD in UTF-16 does, byte order mark and all, and how it was written; `None`: it is none.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<(String, Utf16)> {
    let is_big = match bytes {
        [0xff, 0xfe, ..] | [b'#' | b'<', 0, ..] => false,
        [0xfe, 0xff, ..] | [0, b'#' | b'<', ..] => true,
        _ => return None,
    };
    let (pairs, odd) = bytes.as_chunks::<2>();
    let unit = |pair: &[u8; 2]| if is_big { u16::from_be_bytes(*pair) } else { u16::from_le_bytes(*pair) };
    let text = char::decode_utf16(pairs.iter().map(unit)).map(|sign| sign.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    Some((text, Utf16 { is_big, odd: odd.first().copied() }))
}

/// The text as that was written.
#[must_use]
pub fn encode(text: &str, Utf16 { is_big, odd }: Utf16) -> Vec<u8> {
    let units = text.encode_utf16().flat_map(|unit| if is_big { unit.to_be_bytes() } else { unit.to_le_bytes() });
    units.chain(odd).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    #[test]
    fn what_is_no_utf_16_is_left_alone() {
        for bytes in ["", "#", "#EXTM3U", "\u{feff}#EXTM3U", "<MPD>", "\0\0#"] {
            assert_eq!(decode(bytes.as_bytes()), None, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_written_again(text in any::<String>(), is_big in any::<bool>(), odd in any::<Option<u8>>(), marked in any::<bool>()) {
            let text = format!("{}#EXTM3U{text}", if marked { "\u{feff}" } else { "" });
            let how = Utf16 { is_big, odd };
            let bytes = encode(&text, how);
            prop_assert_eq!(decode(&bytes), Some((text.clone(), how)));
        }

        #[test]
        fn no_bytes_panic(bytes in any::<Vec<u8>>()) {
            for like in [&b"\xff\xfe"[..], b"\0<", b""] {
                let _ = decode(&[like, &bytes].concat());
            }
        }
    }
}
