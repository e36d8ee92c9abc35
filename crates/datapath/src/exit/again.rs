//! Packets that are looked up again: which, where their frames wait, and with what beside them.
//!
//! Invariants: a packet is looked up again [`PASSES`] times at most; copies that wait for it are bounded, for all packets
//! of a batch together.

use super::Exit;
use super::connect::Tracked;
use netloom_mem::Batch;
use netloom_table::Key;
use netloom_table::key::Layers;

/// How often a packet is looked up again (as Open vSwitch, `MAX_RECIRC_DEPTH`).
pub(crate) const PASSES: u8 = 8;
/// Batches of copies that may wait at once: programs that copy and look up again multiply packets.
const COPIES: usize = 64;

/// A frame that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FramePlace {
    /// 0 for the worker's batch, else one more than the place in [`Exit::copied`].
    pub(crate) batch: usize,
    pub(crate) index: u8,
}

/// A packet that is looked up again.
pub(crate) struct Again {
    pub(crate) place: FramePlace,
    /// What travels beside it, and more if `layers` are known.
    pub(crate) key: Box<Key>,
    /// Where its headers begin, if the key is that of the packet as it is now.
    pub(crate) layers: Option<Layers>,
    pub(crate) tracked: Tracked,
    /// How often it was looked up again.
    pub(crate) depth: u8,
}

impl Exit {
    /// Keeps a copy of a frame until all packets are dealt with; none if there are too many.
    pub(super) fn keep_copy(&mut self, batch: &Batch, index: usize) -> Option<FramePlace> {
        // The batch that is being dealt with has changed places with the worker's.
        let last = self.copied.len();
        let fits = last != self.current && self.copied.last().is_some_and(|frames| frames.room() > 0);
        let mut frames = if fits {
            self.copied.pop()?
        } else if last < COPIES {
            self.spare.pop().unwrap_or_default()
        } else {
            return None;
        };
        let place = FramePlace { batch: self.copied.len() + 1, index: frames.len() as u8 };
        let done = self.copy_frame(batch, index, &mut frames, 0);
        self.copied.push(frames);
        done.then_some(place)
    }

    /// What is known of the packets that are dealt with next.
    pub(crate) fn remember(&mut self, packets: &[Again]) {
        self.known.clear();
        self.known.extend(packets.iter().map(|packet| (packet.tracked, packet.depth)));
    }

    /// One of them is dealt with next.
    pub(crate) fn recall(&mut self, slot: usize) {
        (self.tracked, self.depth) = self.known.get(slot).copied().unwrap_or_default();
    }

    /// All packets that wait to be looked up again; give the list back ([`Exit::keep_keys`]).
    pub(crate) fn take_again(&mut self) -> Vec<Again> {
        let empty = std::mem::take(&mut self.again_before);
        std::mem::replace(&mut self.again, empty)
    }

    /// Keeps the memory of a list and of its keys.
    pub(crate) fn keep_keys(&mut self, mut packets: Vec<Again>) {
        self.keys.extend(packets.drain(..).map(|packet| packet.key));
        self.again_before = packets;
    }

    /// Everything was dealt with.
    pub(crate) fn forget_copies(&mut self) {
        // What was known of the last packet is not known of the next one.
        self.tracked = Tracked::default();
        for mut frames in self.copied.drain(..) {
            frames.clear();
            self.spare.push(frames);
        }
    }
}
