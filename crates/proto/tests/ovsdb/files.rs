//! Records and the file.

use crate::generate::{schema, transactions};
use crate::oracle::{check, rows_of, transact};
use netloom_proto::ovsdb::log::{LogError, Reader, frame};
use netloom_proto::ovsdb::{Database, Json, UuidSource, record};
use proptest::prelude::*;

/// The rows without the columns that are not in the file.
fn persistent(database: &Database) -> crate::oracle::Rows {
    let mut rows = rows_of(database);
    let (root, table) = (2, &database.schema().tables[2]);
    assert_eq!(&*table.name, "root");
    let at = table.column("passing").unwrap() - 1;
    for (key, fields) in &mut rows {
        if key.0 == root {
            fields[at] = 0.into();
        }
    }
    rows
}

fn read(octets: &[u8]) -> (Database, u64) {
    let mut reader = Reader::new(octets);
    reader.next_record().unwrap().unwrap();
    let mut database = Database::new(schema());
    let mut uuids = UuidSource::new([1; 4]);
    while let Ok(Some(json)) = reader.next_record() {
        database.replay(&json, false, &mut uuids).unwrap();
    }
    (database, reader.end())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn a_file_gives_back_what_was_written(transactions in transactions(14)) {
        let mut uuids = UuidSource::new([7; 4]);
        let mut database = Database::new(schema());
        let mut file = frame(&schema().to_json().text());
        for operations in &transactions {
            let before = database.history().sequence();
            transact(&mut database, operations, &mut uuids);
            for commit in database.history().after(before).unwrap() {
                if let Some(text) = record::write(&schema(), &commit.changes, "what\nhappened", 5) {
                    file.push_str(&frame(&text));
                }
            }
        }
        let (again, end) = read(file.as_bytes());
        check(&again);
        prop_assert_eq!(end, file.len() as u64);
        prop_assert_eq!(persistent(&again), persistent(&database));
        // In one record.
        let whole = frame(&schema().to_json().text()) + &frame(&record::snapshot(&database, "", 7));
        let (again, _) = read(whole.as_bytes());
        prop_assert_eq!(persistent(&again), persistent(&database));
        // Through the same schema.
        let converted = database.convert(schema(), &mut uuids).unwrap();
        prop_assert_eq!(rows_of(&converted), rows_of(&database));
    }

    #[test]
    fn a_file_that_ends_anywhere_or_is_damaged_gives_what_is_before(
        bodies in prop::collection::vec("[a-z]{0,9}", 1..5), cut in any::<prop::sample::Index>(), flip in 1..=255_u8
    ) {
        let records: Vec<Json> = bodies.iter().map(|body| Json::object([("b", Json::string(body))])).collect();
        let frames: Vec<String> = records.iter().map(|record| frame(&record.text())).collect();
        let mut file = frames.concat().into_bytes();
        let at = cut.index(file.len());
        let whole = |octets: usize| {
            let mut sum = 0;
            frames.iter().take_while(|frame| { sum += frame.len(); sum <= octets }).count()
        };
        let all = |octets: &[u8]| {
            let mut reader = Reader::new(octets);
            let mut found = Vec::new();
            let end = loop {
                match reader.next_record() {
                    Ok(Some(json)) => found.push(json),
                    other => break other,
                }
            };
            (found, end.map(|_| ()), reader.end())
        };
        let (found, end, offset) = all(&file[..at]);
        let expected = whole(at);
        prop_assert_eq!(&found, &records[..expected]);
        let good: usize = frames[..expected].iter().map(String::len).sum();
        prop_assert_eq!(offset, good as u64);
        prop_assert_eq!(end.is_ok(), good == at);
        file[at] ^= flip;
        let (found, _, offset) = all(&file);
        // Damage is found, but for the case of the hash's digits.
        if found.len() > whole(at) {
            prop_assert_eq!(flip, 0x20);
        } else {
            prop_assert_eq!(&found, &records[..whole(at)]);
            prop_assert_eq!(offset, good as u64);
        }
    }

    #[test]
    fn no_octets_panic(octets in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Reader::new(&octets).next_record();
        let mut framed = b"OVSDB JSON 3 0000000000000000000000000000000000000000\n".to_vec();
        framed.extend(octets);
        let _ = Reader::new(&framed).next_record();
    }
}

#[test]
fn the_format_is_the_known_one() {
    let text = frame(r#"{"invalid":{}}"#);
    assert_eq!(text, "OVSDB JSON 15 ffbcdae4b0386265f9ea3280dd7c8f0b72a20e56\n{\"invalid\":{}}\n");
    let mut reader = Reader::new(text.as_bytes());
    let json = reader.next_record().unwrap().unwrap();
    let mut database = Database::new(schema());
    let error = database.replay(&json, false, &mut UuidSource::new([1; 4])).unwrap_err();
    assert_eq!(error.to_string(), "syntax \"{\"invalid\":{}}\": unknown table: No table named invalid.");
    reader.unread();
    assert_eq!(reader.end(), 0);
    let error = Reader::new(b"xxx\n").next_record().unwrap_err();
    assert_eq!(error, LogError::Header { offset: 0, line: "xxx".into() });
    let cluster = b"OVSDB CLUSTER 15 ffbcdae4b0386265f9ea3280dd7c8f0b72a20e56\n{\"invalid\":{}}\n";
    assert!(Reader::new(cluster).next_record().is_err());
}
