//! The switch's side: which bridges have connections, and how.

use super::super::state::Switch;
use super::ground::Floor;
use super::service::OpenFlow;

impl Switch {
    /// Has bridges have the connections that they should have. Their sockets are there when this returns.
    pub(in super::super) fn apply_connections(&mut self) {
        let wanted = self.wanted_connections();
        // A switch without a directory has no sockets: a test asks its tables itself.
        if wanted == self.connected || self.directory.as_os_str().is_empty() {
            return;
        }
        if self.openflow.is_none() {
            let floor = Floor { desk: self.desk(), tracker: self.tracker.clone() };
            match OpenFlow::start(floor, &self.directory) {
                Ok(openflow) => self.openflow = Some(openflow),
                Err(error) => {
                    tracing::error!(%error, "no controller and no tool can come");
                    return;
                }
            }
        }
        if let Some(openflow) = &self.openflow {
            openflow.set(wanted.clone());
        }
        self.connected = wanted;
    }
}
