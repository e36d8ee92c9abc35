//! Which changes of rows are news to the switch: those of columns that it only writes are none.
//!
//! Why: what the switch says of itself would come back to it as a change, and have it look at everything again after
//! every change. Open vSwitch's switch asks for no alerts about these columns, either.

use super::NAME;
use netloom_proto::ovsdb::{RowChange, Schema};

/// What the switch writes, by table. What is in none of these columns may be a wish.
const WRITTEN: &[(&str, &[&str])] = &[
    (
        NAME,
        &[
            "cur_cfg",
            "datapath_types",
            "db_version",
            "dpdk_initialized",
            "dpdk_version",
            "iface_types",
            "ovs_version",
            "statistics",
        ],
    ),
    ("Bridge", &["datapath_id", "datapath_version", "rstp_status", "status"]),
    ("Port", &["bond_active_slave", "rstp_statistics", "rstp_status", "statistics", "status"]),
    (
        "Interface",
        &[
            "admin_state",
            "bfd_status",
            "cfm_fault",
            "cfm_fault_status",
            "cfm_flap_count",
            "cfm_health",
            "cfm_remote_mpids",
            "cfm_remote_opstate",
            "duplex",
            "error",
            "ifindex",
            "link_resets",
            "link_speed",
            "link_state",
            "mac_in_use",
            "mtu",
            "ofport",
            "statistics",
            "status",
        ],
    ),
    ("Mirror", &["statistics"]),
    ("Controller", &["is_connected", "role", "status"]),
];

/// Columns whose value says nothing: that of `_version` changes with every other.
const NAMES: usize = 2;

/// Whether somebody may want something by a change.
pub(super) fn is_news(schema: &Schema, change: &RowChange) -> bool {
    let (Some(old), Some(new)) = (&change.old, &change.new) else { return true };
    let Some(table) = schema.tables.get(change.table) else { return false };
    let written = WRITTEN.iter().find(|(name, _)| **name == *table.name).map_or(&[][..], |(_, names)| names);
    let fields = old.fields().iter().zip(new.fields()).zip(&table.columns).skip(NAMES);
    fields.into_iter().any(|((old, new), column)| old != new && !written.contains(&&*column.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use netloom_proto::ovsdb::{Datum, OPEN_VSWITCH, Row, Uuid};
    use std::sync::Arc;

    #[test]
    fn every_column_that_is_written_is_one() {
        let schema = Schema::parse(OPEN_VSWITCH).unwrap();
        for (name, columns) in WRITTEN {
            let table = &schema.tables[schema.table(name).unwrap()];
            for column in *columns {
                assert!(table.column(column).is_some_and(|at| at >= NAMES), "{name}.{column}");
            }
        }
    }

    #[test]
    fn wishes_are_news() {
        let schema = Schema::parse(OPEN_VSWITCH).unwrap();
        let place = schema.table("Interface").unwrap();
        let table = &schema.tables[place];
        let uuid = Uuid::from_u128(7);
        let row = Row::new(table, uuid);
        let with = |column: &str, value: i64| {
            let mut row = row.clone();
            row.set(1, Uuid::from_u128(9).into());
            row.set(table.column(column).unwrap(), Datum::One(value.into()));
            Arc::new(row)
        };
        let change =
            |old: Option<Arc<Row>>, new| is_news(&schema, &RowChange { table: place, uuid, old, new });
        let plain = Arc::new(row.clone());
        assert!(!change(Some(plain.clone()), Some(with("ofport", 5))));
        assert!(change(Some(plain.clone()), Some(with("ofport_request", 5))));
        assert!(change(Some(with("ofport", 5)), None) && change(None, Some(plain)));
    }
}
