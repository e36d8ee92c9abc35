//! Copies for the brain, with what it wants to know about them.

use super::{Exit, network};
use crate::brain::Heard;
use netloom_mem::{Batch, Segmentation};
use netloom_nf::{Action, Punt, Sample, Segmenter, complete_checksum};
use netloom_table::Key;
use std::sync::Arc;

impl Exit {
    /// Copies for the brain, of some packets.
    #[inline]
    pub(super) fn sample(&mut self, batch: &mut Batch, index: usize, sample: &Sample, key: &Key) {
        if self.chosen(sample.probability) {
            for action in sample.program.actions() {
                if let Action::Punt(punt) = action {
                    self.punt(batch, index, punt, key, 0);
                }
            }
        }
    }

    /// Keeps a copy until the batch is dealt with; of a large frame, the packets that it stands for.
    #[cold]
    pub(super) fn punt(&mut self, batch: &mut Batch, index: usize, punt: &Arc<Punt>, key: &Key, cut: u32) {
        if batch.offload(index).segmentation == Segmentation::None {
            if batch.offload(index).partial {
                complete_checksum(batch, index);
            }
            return self.hear(batch, index, punt, key, cut);
        }
        let Some(mut segmenter) = Segmenter::new(batch, index, network(batch.head(index))) else { return };
        let mut pieces = self.spare.pop().unwrap_or_default();
        let mut more = true;
        while more {
            more = segmenter.fill(batch, index, &mut pieces);
            for piece in 0..pieces.len() {
                self.hear(&pieces, piece, punt, key, cut);
            }
            pieces.clear();
        }
        self.spare.push(pieces);
    }

    fn hear(&mut self, batch: &Batch, index: usize, punt: &Arc<Punt>, key: &Key, cut: u32) {
        let length = batch.length(index);
        let limit = |most: usize| if most == 0 { usize::MAX } else { most };
        let most = limit(punt.most.into()).min(limit(cut as usize));
        let mut octets = vec![0; length.min(most)];
        batch.copy(index, 0, &mut octets);
        self.heard.push(Heard { punt: punt.clone(), key: Box::new(key.clone()), octets, length });
    }
}
