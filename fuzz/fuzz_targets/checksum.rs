//! The fast checksum against RFC 1071 read aloud.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netloom_wire::checksum::Sum;

fuzz_target!(|bytes: &[u8]| {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        sum = (sum >> 16) + (sum & 0xffff);
    }
    assert_eq!(Sum::ZERO.bytes(bytes).fold(), sum as u16);
});
