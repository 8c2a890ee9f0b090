//! See `conversation` in src/targets.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| overdub_fuzz::targets::feed("conversation", input));
