//! From the inventory to objects, one kind of part in each module.

mod bridge;
mod link;
mod node;
mod route;
mod segment;
mod wireguard;

pub(crate) use link::{GENEVE_PORT, VXLAN_PORT};

use crate::compiled::Context;
use crate::inventory::Inventory;
use crate::report::Report;
use crate::table::Table;

/// Wants everything that `inventory` lists.
pub(crate) fn all(inventory: &Inventory<'_>, context: &Context, table: &mut Table, report: &mut Report<'_>) {
    node::emit(inventory, table, report);
    segment::emit(inventory, table, report);
    link::emit(inventory, context, table, report);
    route::emit(inventory, table, report);
}
