//! The outline of a frame: offsets lie within it, whatever the bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netloom_wire::frame::Outline;

fuzz_target!(|bytes: &[u8]| {
    for outline in [Outline::of(bytes), Outline::of_packet(bytes)].into_iter().flatten() {
        assert!(outline.network <= outline.end && usize::from(outline.end) <= bytes.len());
        assert!(outline.transport <= outline.end);
        assert!(outline.transport == 0 || outline.network < outline.transport);
        let _ = (outline.ports(bytes), outline.network_bytes(bytes), outline.transport_bytes(bytes));
    }
});
