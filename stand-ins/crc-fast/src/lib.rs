//! The checksum that S3 calls CRC64NVME: as much of the crate `crc-fast` as `object_store` uses, by its names.
//!
//! That crate has tables of 32 KiB for each of some twenty checksums, for processors that can't multiply without carry. They are a tenth of a
//! packed program, and the only checksum here is one that an S3 may be told to ask for (`AWS_CHECKSUM_ALGORITHM`). This one takes a byte at a time.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

/// Which checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrcAlgorithm {
    /// CRC-64/NVME: polynomial 0xAD93D23594C93659, bits reflected, all ones before and after.
    Crc64Nvme,
}

/// The polynomial with its bits in reverse.
const POLYNOMIAL: u64 = 0x9A6C_9329_AC4B_C9B5;

/// What each byte does to a remainder.
static TABLE: [u64; 256] = table();

const fn table() -> [u64; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut remainder = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            remainder = (remainder >> 1) ^ if remainder & 1 == 1 { POLYNOMIAL } else { 0 };
            bit += 1;
        }
        table[byte] = remainder;
        byte += 1;
    }
    table
}

/// A checksum that grows.
#[derive(Clone, Debug)]
pub struct Digest(u64);

impl Digest {
    /// Of nothing yet.
    #[must_use]
    pub const fn new(algorithm: CrcAlgorithm) -> Self {
        match algorithm {
            CrcAlgorithm::Crc64Nvme => Self(u64::MAX),
        }
    }

    /// Goes on with more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |remainder, byte| (remainder >> 8) ^ TABLE[usize::from(remainder as u8 ^ byte)]);
    }

    /// The checksum of all that came.
    #[must_use]
    pub const fn finalize(&self) -> u64 {
        !self.0
    }
}
