//! Any fragments in any order: memory keeps its bounds, and what is put together comes apart again.
#![no_main]

netloom_fuzz::libfuzzer_sys::fuzz_target!(|octets: &[u8]| netloom_fuzz::tracker::laws::fragments(octets));
