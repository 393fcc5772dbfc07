//! Whether the first picture of a video stream can be decoded by itself, from the stream's own units, piece by piece.

/// How the pictures are coded, as far as their units are known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PictureCoding {
    /// H.262, MPEG-2 (ISO/IEC 13818-2).
    Mpeg2,
    /// H.264 (ISO/IEC 14496-10 7.4.1).
    Avc,
    /// H.265 (ISO/IEC 23008-2 7.4.2.2).
    Hevc,
}

/// Looks for the first picture behind start codes. Keeps nothing but where in one it is.
#[derive(Debug)]
pub(super) struct FirstPicture {
    coding: PictureCoding,
    /// Zero bytes in a row, as far as they matter: two and a one begin a unit.
    zeros: u8,
    /// Bytes of the unit that have come, and the ones that are needed.
    unit: Option<u8>,
}

impl FirstPicture {
    pub(super) const fn new(coding: PictureCoding) -> Self {
        Self { coding, zeros: 0, unit: None }
    }

    /// Takes the next bytes; says whether the first picture is one to begin with, as soon as it has met it.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Option<bool> {
        for &byte in bytes {
            if let Some(at) = self.unit {
                self.unit = None;
                match self.judge(at, byte) {
                    Judgement::Found(is_key) => return Some(is_key),
                    Judgement::More => self.unit = Some(at + 1),
                    Judgement::Other => {}
                }
            }
            match byte {
                0 => self.zeros = (self.zeros + 1).min(2),
                1 if self.zeros == 2 => (self.zeros, self.unit) = (0, Some(0)),
                _ => self.zeros = 0,
            }
        }
        None
    }

    fn judge(&self, at: u8, byte: u8) -> Judgement {
        match (self.coding, at) {
            // A picture's start code, its temporal reference of ten bits, then what it is coded from: 1 is from itself alone (6.3.9).
            (PictureCoding::Mpeg2, 0) if byte == 0 => Judgement::More,
            (PictureCoding::Mpeg2, 1) => Judgement::More,
            (PictureCoding::Mpeg2, 2) => Judgement::Found((byte >> 3) & 7 == 1),
            (PictureCoding::Avc, _) => match byte & 0x1f {
                5 => Judgement::Found(true),
                1 | 2 => Judgement::Found(false),
                _ => Judgement::Other,
            },
            (PictureCoding::Hevc, _) => match (byte >> 1) & 0x3f {
                16..=21 => Judgement::Found(true),
                0..=9 => Judgement::Found(false),
                _ => Judgement::Other,
            },
            (PictureCoding::Mpeg2, _) => Judgement::Other,
        }
    }
}

enum Judgement {
    Found(bool),
    /// The next byte tells.
    More,
    /// Not a picture.
    Other,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_picture_is_met_wherever_pieces_are_cut() {
        for (what, coding, units, is_key) in [
            (
                "IDR behind its headers",
                PictureCoding::Avc,
                &b"\0\0\0\x01\x09\x10\0\0\0\x01\x67\x42\0\0\x01\x68\0\0\x01\x65\x88"[..],
                Some(true),
            ),
            ("a slice of another picture", PictureCoding::Avc, b"\0\0\x01\x41\x9a", Some(false)),
            ("headers alone", PictureCoding::Avc, b"\0\0\x01\x09\x10\0\0\x01\x67", None),
            ("CRA", PictureCoding::Hevc, b"\0\0\x01\x46\x01\0\0\x01\x2a\x01", Some(true)),
            ("a trailing picture", PictureCoding::Hevc, b"\0\0\x01\x02\x01", Some(false)),
            ("I picture", PictureCoding::Mpeg2, b"\0\0\x01\xb3\x01\0\0\x01\0\x12\x0f", Some(true)),
            ("P picture", PictureCoding::Mpeg2, b"\0\0\x01\0\x12\x17", Some(false)),
        ] {
            for cut in 0..=units.len() {
                let mut first = FirstPicture::new(coding);
                let found = first.take(&units[..cut]).or_else(|| first.take(&units[cut..]));
                assert_eq!(found, is_key, "{what}, cut at {cut}");
            }
        }
    }
}
