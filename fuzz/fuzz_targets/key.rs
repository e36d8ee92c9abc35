//! The flow key of any frame: nothing panics; what does not fit the frame is zero; the layers lie in it and in order; octets
//! behind the ones that are looked at change nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netloom_table::Key;
use netloom_table::key::extract;

fuzz_target!(|octets: &[u8]| {
    let (mut key, mut again) = (Key::default(), Key::default());
    let layers = extract(octets, octets.len(), 7, &mut key);
    let (network, transport) = (usize::from(layers.network), usize::from(layers.transport));
    assert!(network <= octets.len() && transport <= octets.len());
    assert!(transport == 0 || network < transport);
    // The key holds nothing of the frame before it.
    again.reset();
    assert_eq!(extract(octets, octets.len(), 7, &mut again), layers);
    assert!(key == again);
    let head = &octets[..octets.len().min(128)];
    extract(head, octets.len(), 7, &mut again);
});
