//! XXH3 of bodies and of their parts: what a body is told from others by, here, on every node, and in every file that was written since
//! the first version. So these values never change.
//!
//! The instructions are chosen when it runs, by what the processor has: compiled for any machine, a hash of the least that all have takes
//! twice as long.

use twox_hash::xxhash3_128::{RawHasher, SecretBuffer};
use twox_hash::{XxHash3_64, XxHash3_128};

/// XXH3 of a whole body, 128 bits.
pub(super) fn of_body(body: &[u8]) -> u128 {
    XxHash3_128::oneshot(body)
}

/// XXH3 of a part of a body, 64 bits.
pub(super) fn of_part(part: &[u8]) -> u64 {
    XxHash3_64::oneshot(part)
}

/// The hash of a body that has not come yet: it is told of each piece while that is in the processor's cache.
pub(super) struct RunningHash(RawHasher<&'static [u8; 192]>);

impl RunningHash {
    pub(super) fn new() -> Self {
        Self(RawHasher::new(SecretBuffer::default()))
    }

    /// Adds the next piece.
    pub(super) fn add(&mut self, piece: &[u8]) {
        self.0.write(piece);
    }

    /// [`of_body`] of all pieces together.
    pub(super) fn end(&self) -> u128 {
        self.0.finish_128()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop, proptest};

    fn body(length: usize) -> Vec<u8> {
        (0..length).map(|at| u8::try_from((at * 31 + at / 1000) % 251).unwrap()).collect()
    }

    /// What entity tags say and what lies beside objects on disk, found once by another implementation (xxhash-rust 0.8).
    #[test]
    fn values_are_those_that_have_been_given_out() {
        const KNOWN: [(usize, u128, u64); 9] = [
            (0, 0x99aa_06d3_0147_98d8_6001_c324_468d_497f, 0x2d06_8005_38d3_94c2),
            (1, 0xa6cd_5e93_9200_0f6a_c44b_dff4_074e_ecdb, 0xc44b_dff4_074e_ecdb),
            (5, 0x8156_cb13_6c70_03e9_9f31_da1d_dba9_0baf, 0x3e28_4763_7b29_24d1),
            (12, 0xb1fe_a0dc_49b7_2dec_9fc0_89ac_e183_eb69, 0x1fdd_6f00_c4cd_f526),
            (100, 0x2701_f07d_2c26_abff_94b1_9615_20a1_1588, 0x1efb_aa65_2af7_dfb7),
            (200, 0xcab4_b6c1_d7f6_6c43_2a1a_7281_f288_3dff, 0xc063_67d4_05bd_c71d),
            (241, 0x95d_0994_f2a5_191d_82d3_ebf5_0a3e_9c42, 0x82d3_ebf5_0a3e_9c42),
            (70_000, 0xa4c3_c6f8_8363_a79d_6172_ea2a_21bf_cc6d, 0x6172_ea2a_21bf_cc6d),
            (870_400, 0x93bb_923a_0cc7_262e_9a77_ac7b_444b_e117, 0x9a77_ac7b_444b_e117),
        ];
        for (length, whole, part) in KNOWN {
            assert_eq!((of_body(&body(length)), of_part(&body(length))), (whole, part), "{length} bytes");
        }
    }

    proptest! {
        #[test]
        fn pieces_are_hashed_as_one(bytes in prop::collection::vec(any::<u8>(), 0..5000), cuts in prop::collection::vec(0usize..1500, 0..12)) {
            let (mut hash, mut rest) = (RunningHash::new(), &bytes[..]);
            for cut in cuts {
                let (piece, behind) = rest.split_at(cut.min(rest.len()));
                hash.add(piece);
                rest = behind;
            }
            hash.add(rest);
            assert_eq!(hash.end(), of_body(&bytes));
        }
    }
}
