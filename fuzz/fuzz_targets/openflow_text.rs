//! The text language of flows, groups and meters: what is accepted and printed is read and printed the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netloom_fuzz::text_laws;

fuzz_target!(|octets: &[u8]| {
    text_laws::openflow_text(octets);
});
