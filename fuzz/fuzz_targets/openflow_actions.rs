//! Actions and instructions of every version of OpenFlow: what is accepted is written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netloom_fuzz::openflow_laws;

fuzz_target!(|octets: &[u8]| {
    openflow_laws::actions(octets);
});
