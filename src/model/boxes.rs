//! The boxes of ISO media (ISO/IEC 14496-12 4.2), as far as their frame goes.

/// The boxes that lie one after the other: their type and what they hold. What is no whole box of a 32-bit size ends them.
pub fn boxes(mut rest: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let (header, _) = rest.split_first_chunk::<8>()?;
        let size = u32::from_be_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let kind = [header[4], header[5], header[6], header[7]];
        let whole = rest.get(..size).filter(|whole| whole.len() >= 8)?;
        rest = &rest[size..];
        Some((kind, &whole[8..]))
    })
}

/// A big-endian number of 32 bits at this place.
#[must_use]
pub fn number(content: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*content.get(at..)?.first_chunk()?))
}

/// One of 64 bits.
#[must_use]
pub fn long(content: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(*content.get(at..)?.first_chunk()?))
}
