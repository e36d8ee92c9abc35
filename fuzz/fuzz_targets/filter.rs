//! Expressions of `netloom capture`: parsed or refused, and what is parsed can be asked about any frame.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netloom_control::switch::parse_filter;
use netloom_table::Key;
use netloom_table::key::extract;

fuzz_target!(|octets: &[u8]| {
    let (text, frame) = octets.split_at(octets.len().min(80));
    let Ok(text) = std::str::from_utf8(text) else { return };
    if let Ok(filter) = parse_filter(text) {
        let mut key = Key::default();
        extract(frame, frame.len(), 1, &mut key);
        let _ = filter.matches(&key);
    }
});
