//! The file: ours and that of `ovsdb-tool` are the same.

use crate::place::{Place, Served, anonymous, installed, text};
use netloom_control::ovsdb::{DatabaseFile, FileError};
use netloom_proto::ovsdb::server::Storage;
use netloom_proto::ovsdb::{Database, Json, Schema, UuidSource};

const SCHEMA: &str = r#"{"name":"ordinals","version":"5.1.3","tables":{"ordinals":{"columns":{
    "number":{"type":"integer"},"name":{"type":"string"},
    "tags":{"type":{"key":"string","min":0,"max":"unlimited"}}},"indexes":[["number"]]}}}"#;

fn insert(number: usize) -> String {
    format!(
        r#"["ordinals",{{"op":"insert","table":"ordinals","row":{{"number":{number},"name":"n{number}","tags":["set",["a","b"]]}}}},{{"op":"comment","comment":"adds {number}"}}]"#
    )
}

fn rows(database: &Database) -> Vec<String> {
    let (schema, table) = database.table_named("ordinals").unwrap();
    table.rows().map(|row| row.to_json(schema, &[0, 2, 3, 4]).text()).collect()
}

fn open(place: &Place) -> Result<Database, FileError> {
    DatabaseFile::open(&place.path("db"), &mut UuidSource::new([3; 4])).map(|(database, _)| database)
}

#[test]
fn a_file_that_ends_anywhere_is_opened_with_what_was_whole() {
    let served = Served::new(SCHEMA);
    let mut states = vec![(std::fs::read(served.place.path("db")).unwrap().len(), Vec::new())];
    for number in 0..4 {
        let params = Json::parse(&insert(number)).unwrap();
        let operations = params.as_array().unwrap()[1..].to_vec();
        served.handle().transact("ordinals", operations).unwrap();
        let found = served.handle().with(|server, _| rows(server.database("ordinals").unwrap())).unwrap();
        states.push((std::fs::read(served.place.path("db")).unwrap().len(), found));
    }
    let place = served.stop();
    let whole = std::fs::read(place.path("db")).unwrap();
    assert_eq!(whole.len(), states.last().unwrap().0);
    for cut in 0..=whole.len() {
        std::fs::write(place.path("db"), &whole[..cut]).unwrap();
        let expected = states.iter().rev().find(|(length, _)| *length <= cut);
        match (open(&place), expected) {
            (Ok(database), Some((length, expected))) => {
                assert_eq!(&rows(&database), expected, "cut at {cut}");
                assert_eq!(std::fs::metadata(place.path("db")).unwrap().len() as usize, *length);
            }
            (Err(FileError::Unreadable { .. }), None) => {}
            (result, expected) => panic!("cut at {cut}: {result:?} {expected:?}"),
        }
        // What comes after stands behind what was whole.
        if let Some((_, expected)) = expected.filter(|_| cut % 7 == 0) {
            let mut uuids = UuidSource::new([3; 4]);
            let (_, mut file) = DatabaseFile::open(&place.path("db"), &mut uuids).unwrap();
            file.append("{\"_comment\":\"x\",\"_date\":1}", true).unwrap();
            file.sync().unwrap();
            drop(file);
            assert_eq!(&rows(&open(&place).unwrap()), expected);
        }
    }
}

#[test]
fn putting_a_file_in_order_loses_nothing() {
    let served = Served::new(SCHEMA);
    for number in 0..200 {
        let params = Json::parse(&insert(number)).unwrap();
        served.handle().transact("ordinals", params.as_array().unwrap()[1..].to_vec()).unwrap();
    }
    let length = || std::fs::metadata(served.place.path("db")).unwrap().len();
    let before = length();
    served.handle().compact("ordinals").unwrap();
    assert!(length() < before);
    let params = Json::parse(&insert(1000)).unwrap();
    served.handle().transact("ordinals", params.as_array().unwrap()[1..].to_vec()).unwrap();
    let expected = served.handle().with(|server, _| rows(server.database("ordinals").unwrap())).unwrap();
    assert_eq!(expected.len(), 201);
    let place = served.stop();
    assert_eq!(rows(&open(&place).unwrap()), expected);
    assert!(!crate::place::exists(&place.path("db.sock")) && !crate::place::exists(&place.path("db.tmp")));
}

#[test]
fn the_real_tool_reads_and_writes_our_file() {
    if !installed(&["ovsdb-tool", "ovsdb-client"]) {
        netloom_testkit::skip!("no ovsdb-tool and ovsdb-client here");
        return;
    }
    let served = Served::new(SCHEMA);
    for number in 0..3 {
        served.client("transact", &[&insert(number)]);
    }
    let change = r#"["ordinals",{"op":"mutate","table":"ordinals","where":[],"mutations":[["tags","insert","c"],["tags","delete","a"]]}]"#;
    served.client("transact", &[change]);
    // Who writes the file keeps others from it.
    let locked = served.place.run("ovsdb-tool", &["compact", "db"]);
    assert!(text(&locked.stderr).contains("failed to lock lockfile"), "{}", text(&locked.stderr));
    let place = served.stop();
    assert_eq!(place.say("ovsdb-tool", &["db-version", "db"]), "5.1.3\n");
    assert_eq!(place.say("ovsdb-tool", &["db-name", "db"]), "ordinals\n");
    assert_eq!(place.say("ovsdb-tool", &["db-is-standalone", "db"]), "");
    let log = place.say("ovsdb-tool", &["-m", "show-log", "db"]);
    assert!(log.contains("adds 2") && log.contains("record 4"), "{log}");
    let select = r#"["ordinals",{"op":"select","table":"ordinals","where":[],"columns":["number","tags"],"sort":["number"]}]"#;
    let found = place.say("ovsdb-tool", &["query", "db", select]);
    let tags = r#""tags":["set",["b","c"]]"#;
    assert_eq!(
        found,
        format!("[{{\"rows\":[{{\"number\":0,{tags}}},{{\"number\":1,{tags}}},{{\"number\":2,{tags}}}]}}]\n")
    );
    place.say("ovsdb-tool", &["transact", "db", &insert(7)]);
    place.say("ovsdb-tool", &["compact", "db"]);
    place.say("ovsdb-tool", &["transact", "db", change]);
    place.write("new", &SCHEMA.replace("5.1.3", "5.2.0"));
    place.say("ovsdb-tool", &["convert", "db", "new"]);
    // And back again.
    let served = Served::again(place);
    let ours = served.client("transact", &[select]);
    assert!(ours.contains(r#""number":7"#) && !ours.contains(r#""a""#), "{ours}");
    assert_eq!(served.client("get-schema-version", &["ordinals"]), "5.2.0\n");
    let place = served.stop();
    assert_eq!(place.say("ovsdb-tool", &["query", "db", select]), ours);
}

#[test]
fn two_do_not_have_one_file() {
    let served = Served::new(SCHEMA);
    assert!(served.handle().add_file(&served.place.path("db")).is_err());
    let missing = served.handle().add_file(&served.place.path("none")).unwrap_err().to_string();
    assert!(missing.contains("none: open failed"), "{missing}");
    served.place.write("text", "hello\n");
    let wrong = served.handle().add_file(&served.place.path("text")).unwrap_err().to_string();
    assert!(wrong.contains("parse error at offset 0 in header line \"hello\""), "{wrong}");
}

#[test]
fn what_can_not_be_written_is_not_true() {
    // A file system that is full: reads are good, writes fail.
    if !crate::place::exists(std::path::Path::new("/dev/full")) {
        netloom_testkit::skip!("no /dev/full here");
        return;
    }
    struct Full;
    impl Storage for Full {
        fn append(&mut self, _: &str, _: bool) -> Result<(), netloom_proto::ovsdb::OvsdbError> {
            use std::io::Write;
            let mut file = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
            let error = file.write_all(b"x").and_then(|()| file.flush()).unwrap_err();
            Err(netloom_proto::ovsdb::OvsdbError::io("db: write failed", error.to_string()))
        }
        fn replace(&mut self, _: &str, _: &str) -> Result<(), netloom_proto::ovsdb::OvsdbError> {
            self.append("", false)
        }
    }
    let served = Served::new(&SCHEMA.replace("\"name\":\"ordinals\"", "\"name\":\"other\""));
    let schema = std::sync::Arc::new(Schema::parse(SCHEMA).unwrap());
    let added = served.handle().with(|server, _| server.add_database(Database::new(schema), Box::new(Full)));
    added.unwrap().unwrap();
    let params = Json::parse(&insert(1)).unwrap();
    let error = served.handle().transact("ordinals", params.as_array().unwrap()[1..].to_vec()).unwrap_err();
    assert!(
        anonymous(&error.to_string()).starts_with("I/O error: db: write failed (No space left"),
        "{error}"
    );
    let count = served.handle().with(|server, _| rows(server.database("ordinals").unwrap()).len()).unwrap();
    assert_eq!(count, 0);
}
