//! The database `_Server`: one row for each database that is served.

use super::{Forgetful, Server};
use crate::ovsdb::SERVER;
use crate::ovsdb::database::Database;
use crate::ovsdb::datum::Datum;
use crate::ovsdb::row::Row;
use crate::ovsdb::schema::Schema;
use crate::ovsdb::transaction::Transaction;
use std::collections::BTreeMap;
use std::sync::Arc;

const NAME: &str = "_Server";

impl Server {
    /// Begins to serve the server's own database.
    pub(super) fn host_status(&mut self) {
        // The schema is part of the program: a test reads it.
        if let Ok(schema) = Schema::parse(SERVER) {
            self.host(Database::new(Arc::new(schema)), Box::new(Forgetful));
            self.update_status();
        }
    }

    /// Makes the rows of the server's own database true.
    pub(super) fn update_status(&mut self) {
        let mut wanted: BTreeMap<Arc<str>, Datum> = BTreeMap::new();
        for (name, hosted) in &self.hosted {
            wanted.insert(name.clone(), Datum::from(&*hosted.database.schema().to_json().text()));
        }
        let Some(hosted) = self.hosted.get_mut(NAME) else {
            return;
        };
        let schema = hosted.database.schema().clone();
        let Some(table) = schema.tables.first() else {
            return;
        };
        let places = ["name", "schema", "model", "connected", "leader"].map(|name| table.column(name));
        let [Some(name_at), Some(schema_at), Some(model_at), Some(connected_at), Some(leader_at)] = places
        else {
            return;
        };
        let mut transaction = Transaction::new(&hosted.database);
        let rows: Vec<_> =
            hosted.database.table(0).into_iter().flat_map(|table| table.rows()).cloned().collect();
        for row in rows {
            match wanted.remove(row.text(name_at).unwrap_or_default()) {
                None => transaction.delete(0, row.uuid()),
                Some(schema) => {
                    if *row.field(schema_at) != schema
                        && let Some(row) = transaction.modify(0, row.uuid())
                    {
                        row.set(schema_at, schema);
                    }
                }
            }
        }
        for (name, schema) in wanted {
            let mut row = Row::new(table, self.uuids.next_uuid());
            row.set(name_at, Datum::from(&*name));
            row.set(schema_at, schema);
            row.set(model_at, Datum::from("standalone"));
            row.set(connected_at, Datum::from(true));
            row.set(leader_at, Datum::from(true));
            transaction.insert(0, row, &mut self.uuids);
        }
        let Ok(prepared) = transaction.prepare(&mut self.uuids) else {
            return;
        };
        if !prepared.is_empty() && hosted.database.apply(prepared, &mut self.uuids).is_ok() {
            self.committed(NAME);
        }
    }
}
