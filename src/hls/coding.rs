//! Playlists that come compressed (RFC 9110 8.4.1): told from others, and unpacked. The only module that knows `miniz_oxide`.

use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};
use miniz_oxide::inflate::{TINFLStatus, decompress_to_vec_with_limit, decompress_to_vec_zlib_with_limit};

use super::fault::Wrong;

/// How a body in the gzip format begins, said or unsaid (RFC 1952 2.3.1).
const GZIP: &[u8] = &[0x1f, 0x8b];
/// What is in it, behind its fixed head (RFC 1952 2.3.1).
const HEADER_CHECK: u8 = 2;
const EXTRA: u8 = 4;
const NAME: u8 = 8;
const COMMENT: u8 = 16;
/// So much room is made at first for what a member unpacks to, in bytes; then twice as much, as often as it takes. Members may be many and
/// empty.
const ROOM: usize = 256;

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// RFC 1952.
    Gzip,
    /// RFC 1950; some send what is in it alone (RFC 1951).
    Deflate,
    /// One that is not read here.
    Other,
}

/// The coding of a body: the one that is said, or that its first bytes show. `None`: it is in clear.
#[must_use]
pub fn of(said: Option<&[u8]>, body: &[u8]) -> Option<Coding> {
    let said = said.map(<[u8]>::trim_ascii).filter(|said| !said.is_empty() && !said.eq_ignore_ascii_case(b"identity"));
    match said {
        _ if body.starts_with(GZIP) => Some(Coding::Gzip),
        None => None,
        Some(said) if said.eq_ignore_ascii_case(b"deflate") => Some(Coding::Deflate),
        Some(_) => Some(Coding::Other),
    }
}

/// The body in clear, of this many bytes at most.
///
/// # Errors
/// What is [`Wrong`] with it.
pub fn unpack(coding: Coding, body: &[u8], limit: usize) -> Result<Vec<u8>, Wrong> {
    match coding {
        Coding::Gzip => gzip(body, limit).ok_or(Wrong::Damaged),
        Coding::Deflate => decompress_to_vec_zlib_with_limit(body, limit)
            .or_else(|_| decompress_to_vec_with_limit(body, limit))
            .map_err(|_| Wrong::Damaged),
        Coding::Other => Err(Wrong::Coding),
    }
}

/// All members, one behind the other (RFC 1952 2.2). What follows the last one and is none is padding, as unpackers take it.
fn gzip(body: &[u8], limit: usize) -> Option<Vec<u8>> {
    let (mut clear, mut rest) = (Vec::new(), body);
    let mut inflating = Box::<DecompressorOxide>::default();
    loop {
        let from = clear.len();
        inflating.init();
        let (trailer, behind) = inflate(&mut inflating, behind_header(rest)?, &mut clear, limit)?.split_first_chunk::<8>()?;
        let [a, b, c, d, sum @ ..] = *trailer;
        let member = &clear[from..];
        if crc(member).to_le_bytes() != [a, b, c, d] || u32::from_le_bytes(sum) as usize != member.len() {
            return None;
        }
        if !behind.starts_with(GZIP) {
            return Some(clear);
        }
        rest = behind;
    }
}

/// What follows the header of a member (RFC 1952 2.3).
fn behind_header(member: &[u8]) -> Option<&[u8]> {
    let (head, mut rest) = member.split_at_checked(10)?;
    let flags = *head.get(3).filter(|_| head.starts_with(GZIP) && head[2] == 8)?;
    if flags & EXTRA != 0 {
        let (length, after) = rest.split_first_chunk::<2>()?;
        rest = after.get(usize::from(u16::from_le_bytes(*length))..)?;
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            rest = &rest[rest.iter().position(|&byte| byte == 0)? + 1..];
        }
    }
    if flags & HEADER_CHECK != 0 {
        rest = rest.get(2..)?;
    }
    Some(rest)
}

/// Adds what is packed to `clear`, which grows to `limit` at most; hands over what stands behind it.
fn inflate<'a>(inflating: &mut DecompressorOxide, packed: &'a [u8], clear: &mut Vec<u8>, limit: usize) -> Option<&'a [u8]> {
    let from = clear.len();
    let (mut rest, mut made) = (packed, 0);
    let mut room = ROOM;
    loop {
        clear.resize(from.saturating_add(room).min(limit), 0);
        let (status, taken, written) =
            decompress(inflating, rest, &mut clear[from..], made, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF);
        rest = rest.get(taken..)?;
        made += written;
        match status {
            TINFLStatus::Done => {
                clear.truncate(from + made);
                return Some(rest);
            }
            TINFLStatus::HasMoreOutput if clear.len() < limit => room = room.saturating_mul(2),
            _ => return None,
        }
    }
}

/// The check sum of the gzip format (RFC 1952 8).
fn crc(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut at = 0;
        while at < 256 {
            let (mut value, mut bit) = (at as u32, 0);
            while bit < 8 {
                value = if value & 1 == 1 { value >> 1 ^ 0xEDB8_8320 } else { value >> 1 };
                bit += 1;
            }
            table[at] = value;
            at += 1;
        }
        table
    };
    !bytes.iter().fold(u32::MAX, |sum, byte| TABLE[(sum as u8 ^ byte) as usize] ^ sum >> 8)
}

/// Whether a reader who has sent this `Accept-Encoding` takes a body of that coding (RFC 9110 12.5.3). Who has sent none is taken to know
/// none: curl and many players do not unpack what they have not asked for.
#[must_use]
pub fn is_taken(accepted: Option<&[u8]>, coding: &[u8]) -> bool {
    let accepted = accepted.and_then(|accepted| std::str::from_utf8(accepted).ok()).unwrap_or_default();
    let coding = std::str::from_utf8(coding).unwrap_or_default().trim_ascii();
    let mut any = false;
    for item in accepted.split(',') {
        let (name, weight) = item.split_once(';').unwrap_or((item, ""));
        let weight = weight.trim_ascii().strip_prefix("q=").map_or(1.0, |weight| weight.trim_ascii().parse().unwrap_or(0.0_f32));
        match name.trim_ascii() {
            name if name.eq_ignore_ascii_case(coding) => return weight > 0.0,
            "*" => any = weight > 0.0,
            _ => {}
        }
    }
    any
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;

    /// As packers write it, with each of the optional fields.
    pub(crate) fn packed(clear: &[u8], flags: u8) -> Vec<u8> {
        let mut bytes = [GZIP, &[8, flags, 0, 0, 0, 0, 0, 3]].concat();
        if flags & EXTRA != 0 {
            bytes.extend([3, 0, 1, 2, 3]);
        }
        if flags & NAME != 0 {
            bytes.extend(b"name\0");
        }
        if flags & COMMENT != 0 {
            bytes.extend(b"comment\0");
        }
        if flags & HEADER_CHECK != 0 {
            bytes.extend([0, 0]);
        }
        bytes.extend(miniz_oxide::deflate::compress_to_vec(clear, 6));
        bytes.extend(crc(clear).to_le_bytes());
        bytes.extend((clear.len() as u32).to_le_bytes());
        bytes
    }

    #[test]
    fn the_check_sum_is_that_of_the_format() {
        assert_eq!(crc(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn all_members_are_read_and_padding_is_none() {
        let two = [packed(b"#EXTM3U\n", NAME), packed(b"", 0), packed(b"#EXTINF", EXTRA | HEADER_CHECK)].concat();
        let padded = [&two[..], &[0; 512]].concat();
        for body in [&two, &padded] {
            assert_eq!(unpack(Coding::Gzip, body, 1 << 20), Ok(b"#EXTM3U\n#EXTINF".to_vec()));
            assert_eq!(unpack(Coding::Gzip, body, 14), Err(Wrong::Damaged), "the limit is that of all together");
            assert_eq!(unpack(Coding::Gzip, body, 15), Ok(b"#EXTM3U\n#EXTINF".to_vec()));
        }
        let mut damaged = two.clone();
        *damaged.last_mut().unwrap() ^= 1;
        assert_eq!(unpack(Coding::Gzip, &damaged, 1 << 20), Err(Wrong::Damaged));
        assert_eq!(unpack(Coding::Gzip, &two[..two.len() - 1], 1 << 20), Err(Wrong::Damaged));
    }

    #[test]
    fn many_empty_members_cost_what_they_are_long() {
        let body = packed(b"", 0).repeat(200_000);
        assert_eq!(unpack(Coding::Gzip, &body, 10 << 20), Ok(Vec::new()));
    }

    #[test]
    fn what_says_nothing_and_shows_nothing_is_in_clear() {
        for (said, body, coding) in [
            (None, "#EXTM3U", None),
            (Some("identity"), "#EXTM3U", None),
            (Some(""), "#EXTM3U", None),
            (Some("Deflate "), "x", Some(Coding::Deflate)),
            (Some("br"), "x", Some(Coding::Other)),
            (Some("gzip"), "#EXTM3U", Some(Coding::Other)),
        ] {
            assert_eq!(of(said.map(str::as_bytes), body.as_bytes()), coding, "{said:?}");
        }
        assert_eq!(of(None, &packed(b"a", 0)), Some(Coding::Gzip));
    }

    #[test]
    fn a_reader_takes_what_he_says_he_takes() {
        for (accepted, taken) in [
            (None, false),
            (Some("gzip"), true),
            (Some("br, GZIP;q=0.5"), true),
            (Some("gzip;q=0, *"), false),
            (Some("*"), true),
            (Some("deflate"), false),
            (Some("identity"), false),
        ] {
            assert_eq!(is_taken(accepted.map(str::as_bytes), b"gzip"), taken, "{accepted:?}");
        }
    }

    #[test]
    fn no_small_body_becomes_a_large_one() {
        let bomb = packed(&vec![b'#'; 1 << 20], 0);
        assert!(bomb.len() < 4096);
        assert_eq!(unpack(Coding::Gzip, &bomb, 1 << 19), Err(Wrong::Damaged));
        assert_eq!(unpack(Coding::Gzip, &bomb, 1 << 20).map(|clear| clear.len()), Ok(1 << 20));
        assert_eq!(unpack(Coding::Other, &bomb, 1 << 20), Err(Wrong::Coding));
    }

    proptest! {
        #[test]
        fn what_was_packed_is_unpacked(clear in any::<Vec<u8>>(), flags in 0_u8..32, cuts in any::<[u8; 3]>()) {
            prop_assert_eq!(unpack(Coding::Gzip, &packed(&clear, flags & 30), 1 << 20), Ok(clear.clone()));
            let mut rest = &clear[..];
            let mut members = Vec::new();
            for cut in cuts {
                let (member, behind) = rest.split_at(usize::from(cut).min(rest.len()));
                members.extend(packed(member, flags & cut & 30));
                rest = behind;
            }
            members.extend(packed(rest, flags & 30));
            prop_assert_eq!(unpack(Coding::Gzip, &members, 1 << 20), Ok(clear.clone()));
            for bytes in [miniz_oxide::deflate::compress_to_vec_zlib(&clear, 6), miniz_oxide::deflate::compress_to_vec(&clear, 6)] {
                prop_assert_eq!(unpack(Coding::Deflate, &bytes, 1 << 20), Ok(clear.clone()));
            }
        }

        #[test]
        fn no_bytes_panic(bytes in any::<Vec<u8>>(), flags in any::<u8>()) {
            let like = [GZIP, &[8, flags, 0, 0, 0, 0, 0, 3], &bytes].concat();
            for bytes in [&bytes, &like] {
                let _ = (unpack(Coding::Gzip, bytes, 4096), unpack(Coding::Deflate, bytes, 4096));
            }
            let _ = is_taken(Some(&bytes), b"gzip");
        }
    }
}
