//! What stands in for a crate that a library asks for does what that crate does, as far as the library uses it.

use crc_fast::{CrcAlgorithm, Digest};

#[test]
fn the_checksum_of_s3_is_what_the_catalogue_of_checksums_says() {
    let of = |pieces: &[&[u8]]| {
        let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
        pieces.iter().for_each(|piece| digest.update(piece));
        digest.finalize()
    };
    assert_eq!(of(&[]), 0);
    assert_eq!(of(&[b"123456789"]), 0xAE8B_1486_0A79_9888);
    assert_eq!(of(&[b"1234", b"", b"56789"]), of(&[b"123456789"]), "it may come in pieces");
}
