//! Mirrors: copies of the packet as it comes in, and as it leaves.

use super::context::Context;
use crate::mirror::Gate;
use netloom_mem::PortNumber;

impl Context<'_> {
    /// Whether the packet came in through a port that carries copies of mirrors only.
    pub(super) fn is_for_copies(&mut self, port: PortNumber) -> bool {
        let is = self.world.has_mirrors(self.bridge) && self.world.is_for_copies(self.bridge, port);
        if is {
            self.detail(|| {
                "dropping packet received on a port that is reserved exclusively for mirroring".into()
            });
        }
        is
    }

    /// Has mirrors copy the packet that passes a port. A mirror that has copied it does not copy it again, whatever has
    /// happened to it meanwhile.
    pub(super) fn mirror(&mut self, gate: Gate) {
        if !self.world.has_mirrors(self.bridge) {
            return;
        }
        let key = self.data_path_key();
        let (mut done, mut mask) = (std::mem::take(&mut self.mirrored), self.mask.clone());
        let copies = self.world.copies(self.bridge, &key, gate, &mut done, &mut mask);
        (self.mirrored, self.mask) = (done, mask);
        for copy in copies {
            self.carry(&copy.steps);
        }
    }
}
