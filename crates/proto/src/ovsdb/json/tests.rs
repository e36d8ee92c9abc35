//! What holds for reading and writing.

use super::*;
use proptest::prelude::*;

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        any::<i64>().prop_map(Json::Integer),
        // Fifteen digits survive.
        (1..999_999_999_i32, -20..20_i32).prop_map(|(digits, shift)| {
            let number: f64 = format!("{digits}.5e{shift}").parse().unwrap();
            Json::parse(&{
                let mut text = String::new();
                write_real(number, &mut text);
                text
            })
            .unwrap()
        }),
        "[^\u{0}]{0,8}".prop_map(|text| Json::string(&text)),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Json::Array),
            prop::collection::vec(("[a-c\\\\\"]{0,3}", inner), 0..5).prop_map(|members| Json::Object(
                Object::new(members.into_iter().map(|(name, value)| (name.into(), value)).collect())
            )),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(value in any_json()) {
        prop_assert_eq!(Json::parse(&value.text()).unwrap(), value);
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,40}") {
        let _ = Json::parse(&text);
    }

    #[test]
    fn json_like_text_never_panics(text in "[\\[\\]{}\",:0-9eE.+\\-tfn\\\\u ]{0,40}") {
        if let Ok(value) = Json::parse(&text) {
            prop_assert_eq!(Json::parse(&value.text()).unwrap(), value);
        }
    }

    #[test]
    fn a_stream_is_cut_wherever_it_comes_in_pieces(
        messages in prop::collection::vec(any_json(), 1..5), cuts in prop::collection::vec(1..7_usize, 1..40)
    ) {
        let messages: Vec<Json> = messages.into_iter().map(|m| Json::object([("m", m)])).collect();
        let stream: String = messages.iter().map(|m| format!("{m} \n")).collect();
        let mut splitter = Splitter::new(1 << 20);
        let mut found = Vec::new();
        let mut rest = stream.as_bytes();
        let mut cuts = cuts.iter().cycle();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            splitter.feed(piece);
            rest = after;
            while let Some(message) = splitter.next_message().unwrap() {
                found.push(message);
            }
        }
        prop_assert_eq!(found, messages);
    }

    #[test]
    fn a_stream_of_anything_never_panics(octets in prop::collection::vec(any::<u8>(), 0..60)) {
        let mut splitter = Splitter::new(40);
        splitter.feed(&octets);
        while let Ok(Some(_)) = splitter.next_message() {}
    }
}

#[test]
fn numbers_are_integers_when_they_are_whole() {
    for (text, value) in [
        ("1", Json::Integer(1)),
        ("1.0", Json::Integer(1)),
        ("-0", Json::Integer(0)),
        ("-0.0e5", Json::Integer(0)),
        ("1e3", Json::Integer(1000)),
        ("1200e-2", Json::Integer(12)),
        ("-9223372036854775808", Json::Integer(i64::MIN)),
        ("9223372036854775808", Json::Real(9_223_372_036_854_775_808.0)),
        ("0.5", Json::Real(0.5)),
        ("1e-400", Json::Integer(0)),
    ] {
        assert_eq!(Json::parse(text).unwrap(), value, "{text}");
    }
    for text in [
        "01",
        "-",
        "1.",
        "1e",
        ".5",
        "1e400",
        "+1",
        "0x1",
        "nul",
        "truex",
        "1 2",
        "[1,]",
        "{\"a\":1,}",
        "'a'",
    ] {
        assert!(Json::parse(text).is_err(), "{text}");
    }
}

#[test]
fn reals_are_written_as_c_writes_them() {
    for (number, text) in [
        (0.5, "0.5"),
        (1e20, "1e+20"),
        (1.5e-7, "1.5e-07"),
        (123_456.789, "123456.789"),
        (0.1 + 0.2, "0.3"),
        (1e15, "1e+15"),
    ] {
        let mut out = String::new();
        write_real(number, &mut out);
        assert_eq!(out, text);
    }
}

#[test]
fn strings_are_escaped_both_ways() {
    assert_eq!(Json::parse(r#""\u00e9\ud834\udd1e\n\/""#).unwrap(), Json::string("é𝄞\n/"));
    assert_eq!(Json::string("a\u{1}\t\"").text(), r#""a\u0001\t\"""#);
    for text in [r#""\u0000""#, r#""\ud834""#, r#""\udd1e""#, r#""\x""#, "\"\n\"", "\"a"] {
        assert!(Json::parse(text).is_err(), "{text}");
    }
}

#[test]
fn limits_hold() {
    let deep = "[".repeat(DEPTH + 1);
    assert_eq!(Json::parse(&deep).unwrap_err().what, "input exceeds maximum nesting depth 1000");
    let mut splitter = Splitter::new(100);
    splitter.feed(b"{\"a\": \"");
    splitter.feed(&[b'x'; 200]);
    assert_eq!(splitter.next_message(), Err(SplitError::TooLong(100)));
    let mut splitter = Splitter::new(100);
    splitter.feed(b"  [1]");
    assert_eq!(splitter.next_message(), Err(SplitError::NoObject(b'[')));
    assert_eq!(Json::parse(r#"{"a":1,"b":2,"a":3}"#).unwrap().text(), r#"{"a":3,"b":2}"#);
}

#[test]
fn what_is_as_deep_as_may_be_needs_little_stack() {
    // As much as a thread has that is not asked for more, in a build that is not optimised.
    let work = || {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let text = format!("{}1{}", open.repeat(DEPTH - 1), close.repeat(DEPTH - 1));
            let value = Json::parse(&text).unwrap();
            assert_eq!(value.clone(), value);
            assert_eq!(value.text(), text);
            let mut splitter = Splitter::new(1 << 20);
            splitter.feed(format!("{{\"m\":{text}}}").as_bytes());
            assert!(splitter.next_message().unwrap().is_some());
        }
    };
    std::thread::Builder::new().stack_size(2 << 20).spawn(work).unwrap().join().unwrap();
}
