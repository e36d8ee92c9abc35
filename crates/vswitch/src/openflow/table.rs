//! One table: its rules and settings.

use super::flow::Flow;
use netloom_proto::openflow::Subfield;
use netloom_table::Classifier;
use netloom_table::classifier::Prefix;

/// What is done with a packet that no flow of a table wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Miss {
    /// What the version of the controllers says: to those of OpenFlow 1.0 to 1.2, else it is dropped.
    #[default]
    Default,
    /// It goes to the controllers.
    Controller,
    /// It goes on in the next table.
    Continue,
    /// It is dropped.
    Drop,
}

/// What is done with a flow that is one too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overflow {
    /// It is refused.
    #[default]
    Refuse,
    /// A less important one goes.
    Evict,
}

/// Settings of a table: the columns of Flow_Table, and `OFPT_TABLE_MOD`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableSettings {
    /// Its name.
    pub name: Option<String>,
    /// The name is the database's, and no controller changes it.
    pub is_named: bool,
    /// Most flows.
    pub limit: Option<usize>,
    /// What is done with one more.
    pub overflow: Overflow,
    /// Flows are grouped by these fields, and the largest group loses one.
    pub groups: Vec<Subfield>,
    /// Fields with prefix trees; without, the usual ones.
    pub prefixes: Option<Vec<Prefix>>,
    /// What is done with packets that no flow wants.
    pub miss: Miss,
    /// Flows may be evicted, as a controller asked (`OFPTC14_EVICTION`).
    pub eviction: bool,
    /// Per cent of room at which controllers are told: below the first, above the second.
    pub vacancy: Option<(u8, u8)>,
}

/// A table.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) rules: Classifier<Box<Flow>>,
    pub(super) settings: TableSettings,
    /// Flows that are visible.
    pub(super) flows: usize,
    /// Packets that a flow wanted, and that asked.
    pub(super) matched: u64,
    pub(super) missed: u64,
    /// Controllers were told that there is little room.
    pub(super) is_crowded: bool,
}

impl Table {
    pub(super) fn evicts(&self) -> bool {
        self.settings.eviction || self.settings.overflow == Overflow::Evict
    }

    /// Per cent of room that is left.
    pub(super) fn vacancy(&self) -> Option<u8> {
        let limit = self.settings.limit.filter(|limit| *limit > 0)?;
        Some((limit.saturating_sub(self.flows) * 100 / limit) as u8)
    }
}
