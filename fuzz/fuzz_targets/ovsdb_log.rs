//! Database files, read to their last good record.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netloom_proto::ovsdb::log::{Reader, frame};
use netloom_proto::ovsdb::{Database, Schema, UuidSource};
use std::sync::Arc;

fuzz_target!(|octets: &[u8]| {
    let mut reader = Reader::new(octets);
    let Ok(Some(schema)) = reader.next_record() else {
        // Hashes are hard to guess: the octets as one record.
        if let Ok(text) = std::str::from_utf8(octets) {
            let framed = frame(text);
            let _ = Reader::new(framed.as_bytes()).next_record();
        }
        return;
    };
    let Ok(schema) = Schema::from_json(&schema) else {
        return;
    };
    let mut database = Database::new(Arc::new(schema));
    let mut uuids = UuidSource::new([1; 4]);
    while let Ok(Some(record)) = reader.next_record() {
        let _ = database.replay(&record, true, &mut uuids);
    }
    assert!(reader.end() <= octets.len() as u64);
});
