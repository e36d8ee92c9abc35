//! Schemas: read, checked and printed.

use netloom_proto::ovsdb::{Json, OPEN_VSWITCH, SERVER, Schema};

const INSTALLED: &str = "/usr/share/openvswitch/vswitch.ovsschema";

#[test]
fn our_schemas_are_good() {
    for text in [OPEN_VSWITCH, SERVER] {
        let schema = Schema::parse(text).unwrap();
        assert_eq!(Schema::from_json(&schema.to_json()).unwrap(), schema);
    }
    let schema = Schema::parse(OPEN_VSWITCH).unwrap();
    assert_eq!((&*schema.name, &*schema.version, schema.tables.len()), ("Open_vSwitch", "8.3.1", 19));
}

#[test]
fn ours_is_the_one_that_is_installed() {
    let Ok(text) = std::fs::read_to_string(INSTALLED) else {
        netloom_testkit::skip!("{INSTALLED} is not there");
        return;
    };
    let (installed, ours) = (Schema::parse(&text).unwrap(), Schema::parse(OPEN_VSWITCH).unwrap());
    assert_eq!(installed.tables.len(), ours.tables.len());
    for (a, b) in installed.tables.iter().zip(&ours.tables) {
        assert_eq!(a.name, b.name);
        for (one, other) in a.columns.iter().zip(&b.columns) {
            assert_eq!(one, other, "{}", a.name);
        }
        assert_eq!(a, b);
    }
    assert_eq!((installed.name, installed.version), (ours.name, ours.version));
}

/// The checksum of cksum(1): a CRC with the polynomial of Ethernet, most significant bit first, the length behind it.
fn cksum(octets: &[u8]) -> u32 {
    let length = octets.len().to_le_bytes();
    let used = length.len() - length.iter().rev().take_while(|octet| **octet == 0).count();
    !octets.iter().chain(&length[..used]).fold(0_u32, |crc, octet| {
        (0..8).fold(crc ^ u32::from(*octet) << 24, |crc, _| {
            if crc >> 31 == 1 { crc << 1 ^ 0x04c1_1db7 } else { crc << 1 }
        })
    })
}

#[test]
fn the_checksum_is_that_of_our_own_file() {
    let rest: String = OPEN_VSWITCH
        .lines()
        .filter(|line| !line.contains("\"cksum\""))
        .map(|line| format!("{line}\n"))
        .collect();
    let schema = Schema::parse(OPEN_VSWITCH).unwrap();
    assert_eq!(*schema.cksum, format!("{} {}", cksum(rest.as_bytes()), rest.len()));
}

#[test]
fn what_is_wrong_with_a_schema_is_said() {
    let table = |columns: &str, rest: &str| {
        format!(r#"{{"name":"d","tables":{{"t":{{"columns":{{{columns}}}{rest}}}}}}}"#)
    };
    let column = |ty: &str| table(&format!(r#""c":{{"type":{ty}}}"#), "");
    for (text, expected) in [
        (
            r#"{"name":"d","tables":{},"version":"1.2"}"#.to_owned(),
            "schema version \"1.2\" not in format x.y.z",
        ),
        (r#"{"tables":{}}"#.to_owned(), "Parsing database schema failed: Required 'name' member is missing."),
        (r#"{"name":"d","tables":{"_t":{}}}"#.to_owned(), "names beginning with \"_\" are reserved"),
        (r#"{"name":"d","tables":{"t-":{}}}"#.to_owned(), "name must be a valid id"),
        (table("", ""), "table must have at least one column"),
        (table(r#""c":{"type":"integer"}"#, r#","maxRows":0"#), "maxRows must be at least 1"),
        (table(r#""c":{"type":"integer"}"#, r#","indexes":[[]]"#), "index must have at least one column"),
        (table(r#""c":{"type":"integer"}"#, r#","indexes":[["d"]]"#), "d is not a valid column name"),
        (
            table(r#""c":{"type":"integer","ephemeral":true}"#, r#","indexes":[["c"]]"#),
            "ephemeral columns (such as c) may not be indexed",
        ),
        (column(r#""float""#), "\"float\" is not an atomic-type"),
        (
            column(r#"{"key":{"type":"integer","minInteger":2,"maxInteger":1}}"#),
            "minInteger exceeds maxInteger",
        ),
        (
            column(r#"{"key":{"type":"string","minLength":-1}}"#),
            "minLength out of valid range 0 to 4294967295",
        ),
        (column(r#"{"key":"integer","min":2}"#), "ovsdb type fails constraint checks"),
        (column(r#"{"key":"integer","max":0}"#), "ovsdb type fails constraint checks"),
        (column(r#"{"key":"integer","max":-1}"#), "bad min or max value"),
        (
            column(r#"{"key":{"type":"uuid","refTable":"t","refType":"w"}}"#),
            "refType must be \"strong\" or \"weak\" (not \"w\")",
        ),
        (column(r#"{"key":{"type":"uuid","refTable":"u"}}"#), "column c key refers to undefined table u"),
        (
            column(r#"{"key":{"type":"integer","enum":["set",[1]],"minInteger":1}}"#),
            "Parsing ovsdb type failed: Member 'minInteger' is present but not allowed here.",
        ),
    ] {
        let error = Schema::from_json(&Json::parse(&text).unwrap()).unwrap_err();
        assert_eq!(error.details(), Some(expected), "{text}");
        assert_eq!(error.tag(), "syntax error");
    }
}

#[test]
fn what_would_lose_rows_is_put_right() {
    let schema = Schema::parse(
        r#"{"name":"d","tables":{"r":{"isRoot":true,"columns":{
          "keeps":{"type":{"key":{"type":"uuid","refTable":"l"}},"ephemeral":true},
          "sees":{"type":{"key":{"type":"uuid","refTable":"l","refType":"weak"}},"mutable":false}}},
          "l":{"columns":{"c":{"type":"integer"}}}}}"#,
    )
    .unwrap();
    let root = &schema.tables[1];
    assert!(root.columns[2].persistent && root.columns[3].mutable && !schema.tables[0].is_root);
    // Without any root every table is one.
    let old = Schema::parse(r#"{"name":"d","tables":{"t":{"columns":{"c":{"type":"integer"}}}}}"#).unwrap();
    assert!(old.tables[0].is_root);
    assert!(!old.to_json().text().contains("isRoot"));
}
