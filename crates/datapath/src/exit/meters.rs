//! Meters that all workers share, as a worker finds them.

use super::Exit;
use netloom_nf::SharedMeter;
use std::sync::Arc;

/// They lie in blocks of so many, of which there are as many at most.
const METERS: usize = 1 << 16;

impl Exit {
    /// Makes, changes or takes away a meter that all workers share.
    pub(crate) fn share_meter(&mut self, number: u32, meter: Option<Arc<SharedMeter>>) {
        let (block, place) = (number as usize / METERS, number as usize % METERS);
        if block >= self.police.len() {
            self.police.resize(block + 1, Vec::new());
        }
        let Some(block) = self.police.get_mut(block) else { return };
        if place >= block.len() {
            block.resize(place + 1, None);
        }
        if let Some(known) = block.get_mut(place) {
            *known = meter;
        }
    }

    /// A meter that all workers share.
    pub(super) fn shared_meter(&self, number: u32) -> Option<&Arc<SharedMeter>> {
        self.police.get(number as usize / METERS)?.get(number as usize % METERS)?.as_ref()
    }
}
