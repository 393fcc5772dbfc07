#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| springhead_fuzz::hold(springhead::fuzzing::normalised, bytes, 200));
