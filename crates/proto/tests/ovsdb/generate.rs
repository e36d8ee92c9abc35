//! Random transactions over a small schema in which everything happens often.

use netloom_proto::ovsdb::{Json, Schema};
use proptest::prelude::*;
use std::sync::Arc;

/// A root with references of all kinds, and two tables whose rows stay only while they are referred to.
pub(crate) const SCHEMA: &str = r#"{"name": "small", "version": "1.2.3", "tables": {
  "root": {"isRoot": true, "indexes": [["name"]], "maxRows": 6, "columns": {
    "name": {"type": "string"},
    "count": {"type": {"key": {"type": "integer", "minInteger": -5, "maxInteger": 5}, "min": 0, "max": 3}},
    "kind": {"type": {"key": {"type": "string", "enum": ["set", ["red", "green"]]}, "min": 0, "max": 1}},
    "keeps": {"type": {"key": {"type": "uuid", "refTable": "leaf"}, "min": 0, "max": "unlimited"}},
    "sees": {"type": {"key": {"type": "uuid", "refTable": "leaf", "refType": "weak"}, "min": 0, "max": "unlimited"}},
    "named": {"type": {"key": "string", "value": {"type": "uuid", "refTable": "leaf"}, "min": 0, "max": "unlimited"}},
    "both": {"type": {"key": {"type": "uuid", "refTable": "leaf", "refType": "weak"},
      "value": {"type": "uuid", "refTable": "leaf", "refType": "weak"}, "min": 0, "max": "unlimited"}},
    "text": {"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}},
    "passing": {"type": "integer", "ephemeral": true}}},
  "leaf": {"columns": {
    "number": {"type": "integer"},
    "next": {"type": {"key": {"type": "uuid", "refTable": "leaf"}, "min": 0, "max": 1}},
    "deep": {"type": {"key": {"type": "uuid", "refTable": "deep"}, "min": 0, "max": "unlimited"}}}},
  "deep": {"columns": {
    "real": {"type": "real"},
    "owner": {"type": {"key": {"type": "uuid", "refTable": "root", "refType": "weak"}, "min": 0, "max": 2}},
    "fixed": {"type": "string", "mutable": false}}}}}"#;

/// The schema, read.
pub(crate) fn schema() -> Arc<Schema> {
    Arc::new(Schema::parse(SCHEMA).unwrap())
}

/// The UUID of one of a few rows of a table.
pub(crate) fn uuid(table: &str, number: u8) -> String {
    let first = match table {
        "root" => 'a',
        "leaf" => 'b',
        _ => 'c',
    };
    format!("{first}0000000-0000-4000-8000-00000000000{number:x}")
}

fn reference(table: &'static str) -> impl Strategy<Value = String> {
    (0..5_u8).prop_map(move |number| format!("[\"uuid\",\"{}\"]", uuid(table, number)))
}

fn set_of(element: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    prop::collection::btree_set(element, 0..3)
        .prop_map(|some| format!("[\"set\",[{}]]", some.into_iter().collect::<Vec<_>>().join(",")))
}

fn map_of(
    key: impl Strategy<Value = String>,
    value: impl Strategy<Value = String>,
) -> impl Strategy<Value = String> {
    prop::collection::btree_map(key, value, 0..3).prop_map(|some| {
        let pairs: Vec<String> = some.into_iter().map(|(key, value)| format!("[{key},{value}]")).collect();
        format!("[\"map\",[{}]]", pairs.join(","))
    })
}

fn text() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["\"a\"", "\"b\"", "\"c\"", "\"\"", "\"d e\""]).prop_map(str::to_owned)
}

fn small() -> impl Strategy<Value = String> {
    (-6..7_i8).prop_map(|number| number.to_string())
}

/// A column of a table and a value for it.
fn column(table: &'static str) -> BoxedStrategy<(&'static str, String)> {
    fn named(
        name: &'static str,
        value: impl Strategy<Value = String> + 'static,
    ) -> BoxedStrategy<(&'static str, String)> {
        value.prop_map(move |value| (name, value)).boxed()
    }
    let kind = prop::sample::select(vec!["\"red\"", "\"green\"", "[\"set\",[]]", "\"blue\""])
        .prop_map(str::to_owned);
    match table {
        "root" => prop_oneof![
            4 => named("name", text()),
            2 => named("count", set_of(small())),
            1 => named("kind", kind),
            4 => named("keeps", set_of(reference("leaf"))),
            4 => named("sees", set_of(reference("leaf"))),
            2 => named("named", map_of(text(), reference("leaf"))),
            2 => named("both", map_of(reference("leaf"), reference("leaf"))),
            2 => named("text", map_of(text(), text())),
            1 => named("passing", small()),
        ]
        .boxed(),
        "leaf" => prop_oneof![
            1 => named("number", small()),
            2 => named("next", prop_oneof![Just("[\"set\",[]]".to_owned()), reference("leaf")]),
            2 => named("deep", set_of(reference("deep"))),
        ]
        .boxed(),
        _ => prop_oneof![
            1 => named("real", prop_oneof![small(), Just("0.5".to_owned()), Just("1e30".to_owned())]),
            2 => named("owner", set_of(reference("root"))),
            1 => named("fixed", text()),
        ]
        .boxed(),
    }
}

fn row(table: &'static str) -> impl Strategy<Value = String> {
    prop::collection::vec(column(table), 0..4).prop_map(|columns| {
        let columns: std::collections::BTreeMap<_, _> = columns.into_iter().collect();
        let members: Vec<String> =
            columns.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", members.join(","))
    })
}

fn condition(table: &'static str) -> impl Strategy<Value = String> {
    let clause = prop_oneof![
        4 => (0..5_u8).prop_map(move |number| format!("[\"_uuid\",\"==\",[\"uuid\",\"{}\"]]", uuid(table, number))),
        2 => (column(table), prop::sample::select(vec!["==", "!=", "includes", "excludes"]))
            .prop_map(|((name, value), function)| format!("[\"{name}\",\"{function}\",{value}]")),
        1 => (column(table), prop::sample::select(vec!["<", "<=", ">", ">="]))
            .prop_map(|((name, value), function)| format!("[\"{name}\",\"{function}\",{value}]")),
        1 => any::<bool>().prop_map(|value| value.to_string()),
    ];
    prop::collection::vec(clause, 0..3).prop_map(|clauses| format!("[{}]", clauses.join(",")))
}

fn mutation(table: &'static str) -> impl Strategy<Value = String> {
    (column(table), any::<prop::sample::Index>(), 0..20_u8).prop_map(|((name, value), mutator, odd)| {
        let numbers = ["count", "number", "real", "passing"].contains(&name);
        // Now and then one that does not fit.
        let mutators: &[&str] = match (numbers != (odd == 0), name) {
            (true, "count") => &["insert", "delete"],
            (true, _) => &["+=", "-=", "*=", "/=", "%="],
            (false, _) => &["insert", "insert", "delete"],
        };
        let value = value
            .strip_prefix("[\"set\",[")
            .filter(|_| odd == 1)
            .map_or(value.clone(), |rest| rest.split(',').next().unwrap().trim_matches(']').to_owned());
        let value = if Json::parse(&value).is_ok() { value } else { "0".to_owned() };
        format!("[\"{name}\",\"{}\",{value}]", mutator.get(mutators))
    })
}

/// Rows of all tables that keep each other.
fn chain() -> impl Strategy<Value = Vec<Json>> {
    (0..5_u8, 0..5_u8, 0..5_u8, text(), small()).prop_map(|(root, leaf, deep, name, number)| {
        let insert = |table: &str, at: u8, row: String| {
            let text = format!(
                "{{\"op\":\"insert\",\"table\":\"{table}\",\"uuid\":\"{}\",\"row\":{row}}}",
                uuid(table, at)
            );
            Json::parse(&text).unwrap()
        };
        vec![
            insert(
                "root",
                root,
                format!("{{\"name\":{name},\"keeps\":[\"uuid\",\"{}\"]}}", uuid("leaf", leaf)),
            ),
            insert(
                "leaf",
                leaf,
                format!("{{\"number\":{number},\"deep\":[\"uuid\",\"{}\"]}}", uuid("deep", deep)),
            ),
            insert("deep", deep, format!("{{\"owner\":[\"uuid\",\"{}\"]}}", uuid("root", root))),
        ]
    })
}

fn operation_on(table: &'static str) -> BoxedStrategy<String> {
    let head = move |op: &str| format!("\"op\":\"{op}\",\"table\":\"{table}\"");
    prop_oneof![
        3 => (0..5_u8, row(table))
            .prop_map(move |(number, row)| format!("{{{},\"uuid\":\"{}\",\"row\":{row}}}", head("insert"), uuid(table, number))),
        3 => (condition(table), row(table))
            .prop_map(move |(condition, row)| format!("{{{},\"where\":{condition},\"row\":{row}}}", head("update"))),
        4 => (condition(table), prop::collection::vec(mutation(table), 0..3)).prop_map(move |(condition, mutations)| {
            format!("{{{},\"where\":{condition},\"mutations\":[{}]}}", head("mutate"), mutations.join(","))
        }),
        2 => condition(table).prop_map(move |condition| format!("{{{},\"where\":{condition}}}", head("delete"))),
        1 => condition(table).prop_map(move |condition| {
            format!("{{{},\"where\":{condition},\"columns\":[\"_uuid\"],\"sort\":[\"_uuid\"]}}", head("select"))
        }),
        1 => (condition(table), row(table), any::<bool>()).prop_map(move |(condition, row, equal)| {
            let until = if equal { "==" } else { "!=" };
            format!("{{{},\"where\":{condition},\"columns\":[\"_uuid\"],\"until\":\"{until}\",\"timeout\":0,\"rows\":[{row}]}}", head("wait"))
        }),
    ]
    .boxed()
}

/// An operation.
pub(crate) fn operation() -> impl Strategy<Value = Json> {
    let text = prop_oneof![
        5 => operation_on("root"),
        4 => operation_on("leaf"),
        2 => operation_on("deep"),
        1 => text().prop_map(|text| format!("{{\"op\":\"comment\",\"comment\":{text}}}")),
    ];
    text.prop_map(|text| Json::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}")))
}

/// Transactions.
pub(crate) fn transactions(count: usize) -> impl Strategy<Value = Vec<Vec<Json>>> {
    let some = prop_oneof![
        3 => prop::collection::vec(operation(), 1..4),
        1 => chain(),
        1 => (chain(), prop::collection::vec(operation(), 0..3)).prop_map(|(mut chain, more)| {
            chain.extend(more);
            chain
        }),
    ];
    prop::collection::vec(some, 1..count)
}
