//! Any packets with any requests through connection tracking: its memory keeps its bounds, and in the end nothing is left.
#![no_main]

netloom_fuzz::libfuzzer_sys::fuzz_target!(|octets: &[u8]| netloom_fuzz::tracker::laws::conntrack(octets));
