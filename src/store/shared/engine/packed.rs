//! What stands in the index and the journal, as bytes: [`springhead1.lua`](super::valkey) reads and writes the same.
//!
//! Numbers are big-endian, so that versions compare as their bytes do.
//!
//! | of | bytes |
//! | --- | --- |
//! | a version | 4 the term's number, 4 its line, 8 the commit |
//! | what an index has of a name | 16 its version, 8 when it was decided, 1: 0 removed, 1 an object, 2 one without its bytes, and 4 more where the bucket below has it so; of which 8 its expiry, 16 its tag, 8 its length, and the rest describes it |

use bytes::Bytes;

use super::super::{Indexed, SharedObject, Term, UploadId, Version};

/// A version.
pub(in crate::store::shared) fn version(of: Version) -> [u8; 16] {
    let mut packed = [0; 16];
    packed[..4].copy_from_slice(&of.term.number.to_be_bytes());
    packed[4..8].copy_from_slice(&of.term.line.to_be_bytes());
    packed[8..].copy_from_slice(&of.commit.to_be_bytes());
    packed
}

/// Reads a version.
pub(in crate::store::shared) fn read_version(mut from: &[u8]) -> Option<Version> {
    let term = Term { number: u32::from_be_bytes(take(&mut from)?), line: u32::from_be_bytes(take(&mut from)?) };
    let version = Version { term, commit: u64::from_be_bytes(take(&mut from)?) };
    from.is_empty().then_some(version)
}

/// An upload.
pub(super) fn upload(of: UploadId) -> [u8; 16] {
    of.0.to_be_bytes()
}

/// Reads an upload.
pub(super) fn read_upload(from: &[u8]) -> Option<UploadId> {
    Some(UploadId(u128::from_be_bytes(from.try_into().ok()?)))
}

/// An object, without version: what a commit brings.
pub(super) fn object(of: &SharedObject) -> Vec<u8> {
    let mut packed = Vec::with_capacity(32 + of.described.len());
    packed.extend_from_slice(&of.expires.to_be_bytes());
    packed.extend_from_slice(&of.etag.to_be_bytes());
    packed.extend_from_slice(&of.length.to_be_bytes());
    packed.extend_from_slice(&of.described);
    packed
}

/// What an index has of a name.
pub(super) fn indexed(of: &Indexed) -> Vec<u8> {
    let mut packed = version(of.version).to_vec();
    packed.extend_from_slice(&of.decided.to_be_bytes());
    packed.push(of.object.as_ref().map_or(0, |object| 1 + u8::from(object.is_bare)) + 4 * u8::from(of.is_kept));
    packed.extend(of.object.iter().flat_map(object));
    packed
}

/// Reads what an index has of a name.
pub(super) fn read_indexed(from: &[u8]) -> Option<Indexed> {
    let (version, mut rest) = from.split_at_checked(16)?;
    let (version, decided) = (read_version(version)?, u64::from_be_bytes(take(&mut rest)?));
    let [kind] = take::<1>(&mut rest)?;
    let (is_kept, kind) = (kind >= 4, if kind >= 4 { kind - 4 } else { kind });
    let object = match kind {
        0 if rest.is_empty() => None,
        1 | 2 => {
            let (expires, etag) = (u64::from_be_bytes(take(&mut rest)?), u128::from_be_bytes(take(&mut rest)?));
            let length = u64::from_be_bytes(take(&mut rest)?);
            Some(SharedObject { etag, length, is_bare: kind == 2, expires, described: Bytes::copy_from_slice(rest) })
        }
        _ => return None,
    };
    Some(Indexed { version, decided, is_kept, object })
}

/// Takes that many bytes from the front.
fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, any, prop_assert_eq, proptest};

    use super::*;

    fn versions() -> impl Strategy<Value = Version> {
        any::<(u32, u32, u64)>().prop_map(|(number, line, commit)| Version { term: Term { number, line }, commit })
    }

    proptest! {
        #[test]
        fn what_is_packed_reads_back(
            of in versions(),
            decided in any::<u64>(),
            object in proptest::option::of((any::<u128>(), any::<u64>(), any::<u64>(), any::<Vec<u8>>())),
        ) {
            let object = object
                .map(|(etag, length, expires, described)| {
                    SharedObject { etag, length, is_bare: length % 2 == 0, expires, described: described.into() }
                });
            let whole = Indexed { version: of, decided, is_kept: decided % 3 == 0, object };
            prop_assert_eq!(read_indexed(&indexed(&whole)), Some(whole));
            prop_assert_eq!(read_upload(&upload(UploadId(u128::from(decided)))), Some(UploadId(u128::from(decided))));
        }

        #[test]
        fn versions_compare_as_their_bytes(one in versions(), other in versions()) {
            prop_assert_eq!(one.cmp(&other), version(one).cmp(&version(other)));
            prop_assert_eq!(read_version(&version(one)), Some(one));
        }

        #[test]
        fn nothing_panics_and_nothing_is_read_that_reads_otherwise(bytes in any::<Vec<u8>>()) {
            if let Some(read) = read_indexed(&bytes) {
                prop_assert_eq!(indexed(&read), bytes);
            }
        }
    }
}
