//! Copies of packets: for programs inside programs, for tunnels, for packets that are looked up again.

use super::{HEADROOM, NESTED, Rest, Step, Walk};
use crate::exit::again::{Again, FramePlace, PASSES};
use crate::exit::connect::Tracked;
use crate::exit::{Exit, Outcome, network};
use netloom_mem::{Batch, Offload, PortNumber};
use netloom_nf::{Action, Program, Reason, Segmenter, Shape, complete_checksum};
use netloom_table::Key;
use netloom_table::key::Layers;

impl Exit {
    /// Sends a frame through a tunnel, if the number is one's; the frame itself if nobody needs it any more.
    #[cold]
    pub(in crate::exit) fn stage_tunnel(
        &mut self,
        batch: &mut Batch,
        index: usize,
        port: PortNumber,
        key: &Key,
        (last, now): (bool, u64),
    ) -> Outcome {
        if self.tunnels.get(port).is_none() {
            return Outcome::Dropped(Reason::PortGone);
        }
        let mut walk = Walk {
            key: self.take_key(key),
            layers: Layers::default(),
            tracked: Tracked::default(),
            // Whoever calls knows nothing of what was done to the packet.
            moved: true,
            stale: true,
            early: !last,
            stays: true,
            roomy: false,
            cut: 0,
            depth: 0,
            outcome: Outcome::Dropped(Reason::PortGone),
        };
        self.tunnel_out(batch, index, port, &mut walk, (last, now));
        self.keys.push(walk.key);
        walk.outcome
    }

    /// Sends the first octets of the packet.
    pub(super) fn output_cut(
        &mut self,
        batch: &mut Batch,
        index: usize,
        port: PortNumber,
        walk: &mut Walk,
        (cut, now): (usize, u64),
    ) {
        if batch.offload(index).partial {
            complete_checksum(batch, index);
        }
        self.send(batch);
        let mut copy = self.spare.pop().unwrap_or_default();
        self.octets.resize(cut, 0);
        let count = batch.copy(index, 0, &mut self.octets);
        if copy.push(batch.port(index), self.octets.get(..count).unwrap_or_default(), Offload::NONE) {
            let actions = [Action::Output(port)];
            let rest = Rest { actions: &actions, changing: 0, tail: true, now };
            let stays = std::mem::replace(&mut walk.stays, false);
            let early = std::mem::replace(&mut walk.early, false);
            self.walk(&mut copy, 0, walk, rest);
            (walk.stays, walk.early) = (stays, early);
            self.send(&mut copy);
        }
        self.give_back(copy);
    }

    /// Sends the packet through a tunnel; the packet itself, or a copy.
    pub(in crate::exit) fn tunnel_out(
        &mut self,
        batch: &mut Batch,
        index: usize,
        port: PortNumber,
        walk: &mut Walk,
        (last, now): (bool, u64),
    ) {
        self.refresh(batch, index, walk);
        let Some(program) = self.template(port, &walk.key) else {
            if let Some(counters) = self.tunnel_counters(port) {
                counters.unsent.add(1);
            }
            if walk.outcome != Outcome::Sent {
                walk.outcome = Outcome::Dropped(Reason::NoNextHop);
            }
            return;
        };
        // As if it were a program of its own.
        let actions = [Action::Clone(program)];
        let rest = Rest { actions: &actions, changing: usize::from(!last), tail: last, now };
        self.walk(batch, index, walk, rest);
    }

    /// Carries out a program on a copy, or on the packet itself if nobody needs it as it was.
    pub(super) fn nested(
        &mut self,
        batch: &mut Batch,
        index: usize,
        program: &Program,
        walk: &mut Walk,
        rest: Rest<'_>,
    ) {
        let changing = match program.shape() {
            Shape::Drop(reason) => {
                if rest.is_last() && walk.outcome != Outcome::Sent {
                    walk.outcome = Outcome::Dropped(reason);
                }
                return;
            }
            _ => program.changing(),
        };
        if walk.depth >= NESTED {
            walk.outcome = Outcome::Dropped(Reason::Passes);
            return;
        }
        let inside = Rest { actions: program.actions(), changing, tail: true, now: rest.now };
        if rest.is_last() {
            walk.depth += 1;
            return self.walk(batch, index, walk, inside);
        }
        let queue = self.queue;
        let mut copy = Walk { key: self.take_key(&walk.key), depth: walk.depth + 1, ..*walk };
        if changing == 0 {
            copy.early = walk.early || rest.changing > 0;
            self.walk(batch, index, &mut copy, Rest { tail: false, ..inside });
        } else {
            self.send(batch);
            let mut frames = self.spare.pop().unwrap_or_default();
            (copy.stays, copy.early) = (false, false);
            if self.copy_frame(batch, index, &mut frames, 0) {
                self.walk(&mut frames, 0, &mut copy, inside);
                self.send(&mut frames);
            }
            self.give_back(frames);
        }
        if copy.outcome != walk.outcome && walk.outcome != Outcome::Sent {
            walk.outcome = copy.outcome;
        }
        self.queue = queue;
        self.keys.push(copy.key);
    }

    /// Goes on with the packets that a large frame stands for.
    #[cold]
    pub(super) fn walk_pieces(
        &mut self,
        batch: &mut Batch,
        index: usize,
        walk: &mut Walk,
        rest: Rest<'_>,
    ) -> Step {
        self.send(batch);
        let network = network(batch.head(index));
        let Some(mut segmenter) = Segmenter::new(batch, index, network) else {
            return walk.drop(Reason::Malformed);
        };
        let mut pieces = self.spare.pop().unwrap_or_default();
        let queue = self.queue;
        let mut more = true;
        while more {
            more = segmenter.fill(batch, index, &mut pieces);
            for piece in 0..pieces.len() {
                self.queue = queue;
                let key = self.take_key(&walk.key);
                let mut copy = Walk { key, stays: false, early: false, roomy: true, ..*walk };
                self.walk(&mut pieces, piece, &mut copy, Rest { tail: true, ..rest });
                self.keys.push(copy.key);
                if walk.outcome != Outcome::Sent {
                    walk.outcome = copy.outcome;
                }
            }
            self.send(&mut pieces);
            pieces.clear();
        }
        self.give_back(pieces);
        Step::End
    }

    /// Goes on with a copy that has room for as many octets in front.
    #[cold]
    pub(super) fn walk_roomy(
        &mut self,
        batch: &mut Batch,
        index: usize,
        size: usize,
        walk: &mut Walk,
        rest: Rest<'_>,
    ) -> Step {
        if walk.roomy {
            return walk.drop(Reason::NoHeadroom);
        }
        self.send(batch);
        let mut frames = self.spare.pop().unwrap_or_default();
        if self.copy_frame(batch, index, &mut frames, size.saturating_sub(HEADROOM)) {
            let (stays, early) = (walk.stays, walk.early);
            (walk.stays, walk.early, walk.roomy) = (false, false, true);
            self.walk(&mut frames, 0, walk, Rest { tail: true, ..rest });
            (walk.stays, walk.early, walk.roomy) = (stays, early, false);
            self.send(&mut frames);
        } else {
            walk.outcome = Outcome::Dropped(Reason::TooLong);
        }
        self.give_back(frames);
        Step::End
    }

    pub(super) fn give_back(&mut self, mut frames: Batch) {
        frames.clear();
        self.spare.push(frames);
    }

    /// Copies a frame to the end of another batch, with so much more room in front than usual; false if there is no room.
    pub(in crate::exit) fn copy_frame(
        &mut self,
        batch: &Batch,
        index: usize,
        into: &mut Batch,
        extra: usize,
    ) -> bool {
        let length = batch.length(index);
        self.octets.resize(extra + length, 0);
        let Some(place) = self.octets.get_mut(extra..) else { return false };
        batch.copy(index, 0, place);
        let mut offload = *batch.offload(index);
        offload.shift(extra as i32);
        let to = into.len();
        into.push(batch.port(index), &self.octets, offload) && into.shrink(to, extra)
    }

    /// Has the packet looked up again: the packet itself, or a copy.
    pub(super) fn later(&mut self, batch: &Batch, index: usize, walk: &mut Walk, last: bool) {
        if let Some(place) = self.place_later(batch, index, walk, last) {
            self.push_again(place, walk, last);
        }
    }

    /// Notes a packet that is looked up again. After the last step its key is not copied, and is lost to the walk.
    pub(super) fn push_again(&mut self, place: FramePlace, walk: &mut Walk, last: bool) {
        let key = if last {
            std::mem::replace(&mut walk.key, self.keys.pop().unwrap_or_default())
        } else {
            self.take_key(&walk.key)
        };
        // A key that is right need not be extracted anew.
        let layers = (!walk.moved && !walk.stale).then_some(walk.layers);
        self.again.push(Again { place, key, layers, tracked: walk.tracked, depth: self.depth + 1 });
        if walk.outcome != Outcome::Sent {
            walk.outcome = if place.batch == self.current { Outcome::Again } else { Outcome::Sent };
        }
    }

    /// Where the packet waits to be looked up again.
    pub(super) fn place_later(
        &mut self,
        batch: &Batch,
        index: usize,
        walk: &mut Walk,
        last: bool,
    ) -> Option<FramePlace> {
        if self.depth >= PASSES {
            if walk.outcome != Outcome::Sent {
                walk.outcome = Outcome::Dropped(Reason::Passes);
            }
            return None;
        }
        if last && walk.stays {
            return Some(FramePlace { batch: self.current, index: index as u8 });
        }
        let place = self.keep_copy(batch, index);
        if place.is_none() && walk.outcome != Outcome::Sent {
            walk.outcome = Outcome::Dropped(Reason::TooLong);
        }
        place
    }
}
