//! Schemas that a peer brings, and rows under them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netloom_proto::ovsdb::transaction::{Context, Outcome, execute};
use netloom_proto::ovsdb::{Database, Json, Schema, UuidSource};
use std::sync::Arc;

fuzz_target!(|octets: &[u8]| {
    let Ok(text) = std::str::from_utf8(octets) else {
        return;
    };
    let (schema, operations) = text.split_once('\n').unwrap_or((text, "[]"));
    let Ok(schema) = Schema::parse(schema) else {
        return;
    };
    assert_eq!(Schema::from_json(&schema.to_json()).as_ref(), Ok(&schema));
    let mut database = Database::new(Arc::new(schema));
    let Ok(Json::Array(operations)) = Json::parse(operations) else {
        return;
    };
    let mut uuids = UuidSource::new([1; 4]);
    let context = Context { read_only: false, elapsed: 0, owns_lock: &|_| false };
    if let Outcome::Done { prepared, .. } = execute(&database, &operations, context, &mut uuids) {
        database.apply(prepared, &mut uuids).unwrap();
    }
});
