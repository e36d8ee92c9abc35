//! What rows say about exporters.

use netloom_proto::export::netflow;
use netloom_vswitch::openflow::Exports;

/// What a bridge tells, and to whom.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in super::super) struct ExportSettings {
    pub(in super::super) netflow: Option<NetFlowSettings>,
}

/// Sums of flows.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) struct NetFlowSettings {
    /// Collectors, as the row names them.
    pub(in super::super) targets: Vec<String>,
    pub(in super::super) settings: netflow::Settings,
}

impl ExportSettings {
    /// What tables do for it.
    pub(super) fn of_tables(&self) -> Exports {
        Exports { flows: self.netflow.is_some(), ..Exports::default() }
    }
}
