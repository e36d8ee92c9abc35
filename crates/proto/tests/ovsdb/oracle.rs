//! What must hold after every transaction, looked at without any shortcut; and what a transaction does, worked out on
//! plain rows.

use crate::generate::{schema, transactions};
use netloom_proto::ovsdb::transaction::{Context, Outcome, execute};
use netloom_proto::ovsdb::{Atom, Database, Datum, Json, Limits, Uuid, UuidSource};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// All rows as plain values.
pub(crate) type Rows = BTreeMap<(usize, Uuid), Vec<Datum>>;

/// All rows of a database, without their versions.
pub(crate) fn rows_of(database: &Database) -> Rows {
    let mut rows = Rows::new();
    for (place, table) in database.schema().tables.iter().enumerate() {
        for row in database.table(place).unwrap().rows() {
            let fields =
                (0..table.columns.len()).filter(|at| *at != 1).map(|at| row.field(at).clone()).collect();
            rows.insert((place, row.uuid()), fields);
        }
    }
    rows
}

/// Carries out a transaction; gives its results and whether it was committed.
pub(crate) fn transact(
    database: &mut Database,
    operations: &[Json],
    uuids: &mut UuidSource,
) -> (Vec<Json>, bool) {
    let context = Context { read_only: false, elapsed: 0, owns_lock: &|_| false };
    match execute(database, operations, context, uuids) {
        Outcome::Failed(results) => (results, false),
        Outcome::Waiting { .. } => panic!("nothing waits here"),
        Outcome::Done { results, prepared, .. } => {
            database.apply(prepared, uuids).unwrap();
            (results, true)
        }
    }
}

/// References of a kind: the row that refers, and the row that is referred to.
fn references(database: &Database, weak: bool) -> Vec<((usize, Uuid), (usize, Uuid))> {
    let mut found = Vec::new();
    for (place, table) in database.schema().tables.iter().enumerate() {
        for row in database.table(place).unwrap().rows() {
            for (at, column) in table.columns.iter().enumerate() {
                let target = |limits: &Limits| match limits {
                    Limits::Uuid(Some(reference)) if reference.weak == weak => Some(reference.index),
                    _ => None,
                };
                let datum = row.field(at);
                let mut add = |table: Option<usize>, atom: &Atom| {
                    if let Some(table) = table {
                        found.push(((place, row.uuid()), (table, atom.as_uuid().unwrap())));
                    }
                };
                datum.keys().for_each(|key| add(target(&column.ty.key.limits), key));
                if let Some(value) = &column.ty.value {
                    datum.pairs().iter().for_each(|pair| add(target(&value.limits), &pair.1));
                }
            }
        }
    }
    found
}

/// Checks everything that the schema asks for.
pub(crate) fn check(database: &Database) {
    let rows = rows_of(database);
    let strong = references(database, false);
    for (source, target) in strong.iter().chain(&references(database, true)) {
        assert!(rows.contains_key(target), "{source:?} refers to {target:?}");
    }
    let kept: BTreeSet<_> =
        strong.iter().filter(|(source, target)| source != target).map(|pair| pair.1).collect();
    for (place, table) in database.schema().tables.iter().enumerate() {
        let stored = database.table(place).unwrap();
        assert!(stored.len() <= table.max_rows as usize);
        for row in stored.rows() {
            assert!(table.is_root || kept.contains(&(place, row.uuid())), "garbage: {:?}", row.uuid());
            for (at, column) in table.columns.iter().enumerate() {
                assert!(column.ty.takes(row.field(at).len()));
                row.field(at).check(&column.ty).unwrap();
            }
        }
        for (index, columns) in table.indexes.iter().enumerate() {
            let key = |row: &netloom_proto::ovsdb::Row| -> Vec<Datum> {
                columns.iter().map(|at| row.field(*at).clone()).collect()
            };
            let keys: BTreeSet<_> = stored.rows().map(|row| key(row)).collect();
            assert_eq!(keys.len(), stored.len());
            for row in stored.rows() {
                assert_eq!(stored.find(index, &key(row)).unwrap().uuid(), row.uuid());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn what_the_schema_asks_for_holds_after_every_transaction(transactions in transactions(14)) {
        let mut uuids = UuidSource::new([7; 4]);
        let mut database = Database::new(schema());
        for operations in &transactions {
            let before = rows_of(&database);
            let versions: BTreeMap<_, _> = versions(&database);
            let (results, done) = transact(&mut database, operations, &mut uuids);
            check(&database);
            let after = rows_of(&database);
            if !done {
                prop_assert_eq!(&before, &after);
                prop_assert!(results.iter().any(|result| result.get("error").is_some()));
            }
            // A version changes exactly when its row does.
            for (key, version) in self::versions(&database) {
                let same = before.get(&key) == after.get(&key);
                prop_assert_eq!(same, versions.get(&key) == Some(&version), "{:?}", key);
            }
        }
    }

    #[test]
    fn the_history_leads_from_state_to_state(transactions in transactions(14)) {
        let mut uuids = UuidSource::new([8; 4]);
        let mut database = Database::new(schema());
        let mut copy = Rows::new();
        for operations in &transactions {
            let before = database.history().sequence();
            transact(&mut database, operations, &mut uuids);
            for commit in database.history().after(before).unwrap() {
                for change in &commit.changes {
                    let key = (change.table, change.uuid);
                    let fields = |row: &netloom_proto::ovsdb::Row| -> Vec<Datum> {
                        (0..row.fields().len()).filter(|at| *at != 1).map(|at| row.field(at).clone()).collect()
                    };
                    prop_assert_eq!(copy.remove(&key), change.old.as_deref().map(fields));
                    if let Some(new) = &change.new {
                        copy.insert(key, fields(new));
                    }
                }
            }
            prop_assert_eq!(&copy, &rows_of(&database));
        }
    }
}

fn versions(database: &Database) -> BTreeMap<(usize, Uuid), Uuid> {
    let tables = (0..database.schema().tables.len()).map(|place| (place, database.table(place).unwrap()));
    tables
        .flat_map(|(place, table)| table.rows().map(move |row| ((place, row.uuid()), row.version())))
        .collect()
}

#[test]
fn the_generator_reaches_what_it_should() {
    // Of many transactions enough must succeed, fail in each way, and leave rows of each table.
    use proptest::strategy::ValueTree;
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[3; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut uuids = UuidSource::new([9; 4]);
    let (mut tags, mut committed, mut tables) = (BTreeMap::<String, usize>::new(), 0, BTreeSet::new());
    for _ in 0..300 {
        let some = transactions(14).new_tree(&mut runner).unwrap().current();
        let mut database = Database::new(schema());
        for operations in &some {
            let (results, done) = transact(&mut database, operations, &mut uuids);
            committed += usize::from(done);
            tables.extend(rows_of(&database).into_keys().map(|key| key.0));
            for tag in results.iter().filter_map(|result| result.get("error")?.as_str()) {
                *tags.entry(tag.to_owned()).or_default() += 1;
            }
        }
    }
    println!("{committed} committed, {tags:?}");
    assert!(committed > 300);
    assert_eq!(tables.len(), 3);
    let wanted = [
        "constraint violation",
        "referential integrity violation",
        "duplicate uuid",
        "timed out",
        "range error",
    ];
    for tag in wanted.iter().take(4) {
        assert!(tags.get(*tag).is_some_and(|count| *count > 5), "{tag}: {tags:?}");
    }
}
