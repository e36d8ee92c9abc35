//! Whatever comes to one point of connectivity fault management.
#![no_main]

netloom_fuzz::libfuzzer_sys::fuzz_target!(|octets: &[u8]| netloom_fuzz::watches::cfm(octets));
