//! Whatever comes to one end of BFD.
#![no_main]

netloom_fuzz::libfuzzer_sys::fuzz_target!(|octets: &[u8]| netloom_fuzz::watches::bfd(octets));
