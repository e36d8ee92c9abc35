//! Rows of the database as records.
//!
//! Costs: a port is read again when its row or one of its interfaces' is another one ([`Readings`]); all others cost a
//! few look-ups each.

use super::super::records::{Atom, Bridge, Columns, Mirror, Port, Records, Value};
use super::{Joint, Rows};
use netloom_proto::ovsdb::{Atom as Stored, Database, Datum, Row, Schema, TableSchema, Uuid};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

fn atom(stored: &Stored) -> Option<Atom> {
    match stored {
        Stored::Integer(number) => Some(Atom::Integer(*number)),
        Stored::Boolean(truth) => Some(Atom::Truth(*truth)),
        Stored::String(text) => Some(Atom::Text(text.to_string())),
        Stored::Real(_) | Stored::Uuid(_) => None,
    }
}

/// What a record can say of a datum.
fn value(datum: &Datum) -> Option<Value> {
    match datum {
        Datum::Empty => None,
        Datum::One(stored) => atom(stored).map(Value::Atom),
        Datum::Set(set) => set.iter().map(atom).collect::<Option<_>>().map(Value::Set),
        Datum::Map(pairs) => {
            let pair = |(key, value): &(Stored, Stored)| match (key, value) {
                (Stored::String(key), Stored::String(value)) => Some((key.to_string(), value.to_string())),
                _ => None,
            };
            pairs.iter().map(pair).collect::<Option<_>>().map(Value::Map)
        }
    }
}

fn columns(table: &TableSchema, row: &Row) -> Columns {
    let columns = table.columns.iter().enumerate();
    columns.filter_map(|(at, column)| Some((column.name.to_string(), value(row.field(at))?))).collect()
}

/// A row of a table, with ways to read it.
pub(super) struct Reader<'a> {
    pub(super) table: &'a TableSchema,
    rows: &'a Rows,
}

impl<'a> Reader<'a> {
    pub(super) fn of(joint: &'a Joint, table: &str) -> Option<Self> {
        Self::within(&joint.schema, &joint.tables, table)
    }

    fn within(schema: &'a Schema, tables: &'a [Rows], table: &str) -> Option<Self> {
        let at = schema.table(table)?;
        Some(Self { table: schema.tables.get(at)?, rows: tables.get(at)? })
    }

    pub(super) fn row(&self, uuid: Uuid) -> Option<&'a Row> {
        self.rows.get(&uuid).map(AsRef::as_ref)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (Uuid, &'a Row)> {
        self.rows.iter().map(|(uuid, row)| (*uuid, row.as_ref()))
    }

    pub(super) fn field(&self, row: &'a Row, column: &str) -> Option<&'a Datum> {
        self.table.column(column).map(|at| row.field(at))
    }

    pub(super) fn text(&self, row: &'a Row, column: &str) -> &'a str {
        let first = self.field(row, column).and_then(|datum| datum.atoms().first());
        first.and_then(Stored::as_str).unwrap_or_default()
    }

    /// A key of a column of texts by text.
    pub(super) fn key(&self, row: &'a Row, column: &str, key: &str) -> Option<&'a str> {
        let Some(Datum::Map(pairs)) = self.field(row, column) else { return None };
        let found = pairs.iter().find(|(known, _)| known.as_str() == Some(key));
        found.and_then(|(_, value)| value.as_str())
    }

    /// The rows that a column refers to.
    pub(super) fn references(&self, row: &'a Row, column: &str) -> impl Iterator<Item = Uuid> + use<'a> {
        let atoms = self.field(row, column).map(Datum::atoms).unwrap_or_default();
        atoms.iter().filter_map(|atom| match atom {
            Stored::Uuid(uuid) => Some(*uuid),
            _ => None,
        })
    }

    /// The row of a name.
    pub(super) fn named(&self, name: &str) -> Option<(Uuid, &'a Row)> {
        self.all().find(|(_, row)| self.text(row, "name") == name)
    }
}

/// What was read of ports, by their rows.
#[derive(Debug, Default)]
pub(super) struct Readings {
    ports: HashMap<Uuid, Reading>,
    /// How often all were looked at.
    round: u64,
}

#[derive(Debug)]
struct Reading {
    row: Arc<Row>,
    interfaces: Vec<Arc<Row>>,
    name: String,
    port: Arc<Port>,
    round: u64,
}

impl Readings {
    /// A port, with its name. References to interfaces are in the port's row: while that is the same, so is their number.
    fn port(
        &mut self,
        (ports, interfaces): (&Reader<'_>, &Reader<'_>),
        of: usize,
        uuid: Uuid,
    ) -> Option<(String, Arc<Port>)> {
        let row = ports.rows.get(&uuid)?;
        let own = || row.field(of).atoms().iter().filter_map(|atom| interfaces.rows.get(&atom.as_uuid()?));
        if let Some(known) = self.ports.get_mut(&uuid)
            && Arc::ptr_eq(&known.row, row)
            && own().map(Arc::as_ptr).eq(known.interfaces.iter().map(Arc::as_ptr))
        {
            known.round = self.round;
            return Some((known.name.clone(), known.port.clone()));
        }
        let mut port = Port { columns: columns(ports.table, row), ..Port::default() };
        for interface in own() {
            let name = interfaces.text(interface, "name").to_owned();
            port.interfaces.insert(name, columns(interfaces.table, interface));
        }
        let (name, port) = (ports.text(row, "name").to_owned(), Arc::new(port));
        let reading = Reading {
            row: row.clone(),
            interfaces: own().cloned().collect(),
            name: name.clone(),
            port: port.clone(),
            round: self.round,
        };
        self.ports.insert(uuid, reading);
        Some((name, port))
    }

    /// What the rows of some tables say. Those that no bridge has are not there.
    fn read(&mut self, schema: &Schema, tables: &[Rows]) -> Option<Records> {
        self.round += 1;
        let [bridges, ports, interfaces, mirrors] =
            ["Bridge", "Port", "Interface", "Mirror"].map(|table| Reader::within(schema, tables, table));
        let (bridges, ports, interfaces, mirrors) = (bridges?, ports?, interfaces?, mirrors?);
        // Looked for once: there may be thousands of rows.
        let of = ports.table.column("interfaces")?;
        let mut records = Records::new();
        for (_, row) in bridges.all() {
            let mut bridge = Bridge { columns: columns(bridges.table, row), ..Bridge::default() };
            let own = bridges.references(row, "ports");
            bridge.ports = own.filter_map(|uuid| self.port((&ports, &interfaces), of, uuid)).collect();
            let name_of = |uuid| ports.row(uuid).map(|row| ports.text(row, "name").to_owned());
            for mirror_row in bridges.references(row, "mirrors").filter_map(|uuid| mirrors.row(uuid)) {
                let names = |column| -> BTreeSet<String> {
                    mirrors.references(mirror_row, column).filter_map(name_of).collect()
                };
                let mirror = Mirror {
                    columns: columns(mirrors.table, mirror_row),
                    from: names("select_src_port"),
                    to: names("select_dst_port"),
                    output: names("output_port").into_iter().next(),
                };
                bridge.mirrors.insert(mirrors.text(mirror_row, "name").to_owned(), mirror);
            }
            records.insert(bridges.text(row, "name").to_owned(), bridge);
        }
        let round = self.round;
        self.ports.retain(|_, reading| reading.round == round);
        Some(records)
    }
}

impl Joint {
    /// What the rows say. Those that no bridge has are not there.
    pub(in super::super) fn records(&mut self) -> Records {
        self.readings.read(&self.schema, &self.tables).unwrap_or_default()
    }
}

/// What the rows of a database say that is not served.
pub(super) fn records(database: &Database) -> Records {
    let rows = |at| database.table(at).into_iter().flat_map(|table| table.rows());
    let tables: Vec<Rows> = (0..database.schema().tables.len())
        .map(|at| rows(at).map(|row| (row.uuid(), row.clone())).collect())
        .collect();
    Readings::default().read(database.schema(), &tables).unwrap_or_default()
}
