//! Programs of more than the common actions.
//!
//! What: one packet is walked through the actions, with a key of its own beside it: the fields that were extracted, and
//! what travels beside the packet. After an action that moves headers the key is extracted anew, when somebody asks.
//!
//! Invariants:
//! - What is staged refers to one batch at a time. Before frames of another batch are staged, everything is sent.
//! - A copy is made only where the original is still needed: the last action of a program has the packet itself.
//! - A program inside a program changes nothing outside it.
//!
//! Costs: a key is copied for each packet (576 octets), in memory that is used again.

use super::again::{Again, FramePlace, PASSES};
use super::connect::Tracked;
use super::{Exit, Outcome};
use netloom_mem::{Batch, Offload, PortNumber, Segmentation};
use netloom_nf::rewrite::{Layout, write_tos};
use netloom_nf::tunnel::{Encapsulation, Tunnels, decapsulate};
use netloom_nf::{Action, Hashing, Program, Reason, Shape, Verdict};
use netloom_nf::{
    complete_checksum, dp_hash, packet_type, pop_ethernet, pop_mpls, pop_nsh, pop_vlan, push_ethernet,
    push_mpls, push_nsh, push_vlan, remark, set_vlan,
};
use netloom_table::key::{Layers, extract_beside};
use netloom_table::{Field, Key};

/// Programs inside programs are followed so deep.
const NESTED: u8 = 32;
/// Octets that every batch has before a frame.
const HEADROOM: usize = netloom_mem::HEADROOM;

/// A packet on its way through a program.
pub(super) struct Walk {
    /// What was extracted, and what travels beside the packet.
    pub(super) key: Box<Key>,
    pub(super) layers: Layers,
    /// What connection tracking knows.
    pub(super) tracked: Tracked,
    /// Headers begin elsewhere than `layers` says.
    moved: bool,
    /// Headers have other values than `key` says.
    stale: bool,
    /// The packet is changed after this program: what is staged must leave at once.
    early: bool,
    /// The batch is there until all packets are dealt with.
    stays: bool,
    /// The frame was copied to where it has room in front.
    roomy: bool,
    /// The next packet that leaves has so many octets at most; 0 for all.
    cut: u32,
    depth: u8,
    outcome: Outcome,
}

/// Whether a program goes on.
#[derive(PartialEq, Eq)]
enum Step {
    On,
    End,
}

/// What comes after an action.
#[derive(Clone, Copy)]
struct Rest<'a> {
    /// The action itself, and all that follow.
    actions: &'a [Action],
    /// How many of them come before the packet is changed no more.
    changing: usize,
    /// Nobody needs the packet after them.
    tail: bool,
    now: u64,
}

impl Rest<'_> {
    /// The packet is not needed after the first of the actions.
    const fn is_last(&self) -> bool {
        self.tail && self.actions.len() <= 1
    }
}

impl Walk {
    fn drop(&mut self, reason: Reason) -> Step {
        self.outcome = Outcome::Dropped(reason);
        Step::End
    }

    const fn sent(&mut self) {
        self.outcome = Outcome::Sent;
    }
}

impl Exit {
    /// Carries out a program on a frame of the worker's batch. `key` is what was extracted of it, with `layers`.
    #[inline(never)]
    pub(super) fn compose(
        &mut self,
        batch: &mut Batch,
        index: usize,
        program: &Program,
        (key, layers): (&Key, Layers),
        now: u64,
    ) -> Outcome {
        let changing = match program.shape() {
            Shape::Steps { changing } | Shape::Composed { changing } => changing.into(),
            Shape::Drop(reason) => return Outcome::Dropped(reason),
            Shape::Output(_) => 0,
        };
        let mut walk = Walk {
            key: self.take_key(key),
            layers,
            tracked: std::mem::take(&mut self.tracked),
            moved: false,
            stale: false,
            early: false,
            stays: true,
            roomy: false,
            cut: 0,
            depth: 0,
            outcome: Outcome::Dropped(program.otherwise()),
        };
        let rest = Rest { actions: program.actions(), changing, tail: true, now };
        self.walk(batch, index, &mut walk, rest);
        self.keys.push(walk.key);
        walk.outcome
    }

    /// Sends a frame through a tunnel, if the number is one's; the frame itself if nobody needs it any more.
    #[cold]
    pub(super) fn stage_tunnel(
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

    fn take_key(&mut self, key: &Key) -> Box<Key> {
        let mut copy = self.keys.pop().unwrap_or_default();
        (*copy).clone_from(key);
        copy
    }

    fn walk(&mut self, batch: &mut Batch, index: usize, walk: &mut Walk, rest: Rest<'_>) {
        let Rest { actions, changing, .. } = rest;
        for (done, action) in actions.iter().enumerate() {
            let actions = actions.get(done..).unwrap_or_default();
            let here = Rest { actions, changing: changing.saturating_sub(done), ..rest };
            if self.act(batch, index, action, walk, here) == Step::End {
                return;
            }
        }
    }

    fn act(
        &mut self,
        batch: &mut Batch,
        index: usize,
        action: &Action,
        walk: &mut Walk,
        rest: Rest<'_>,
    ) -> Step {
        let now = rest.now;
        if cuts(action) && batch.offload(index).segmentation != Segmentation::None {
            return self.walk_pieces(batch, index, walk, rest);
        }
        match action {
            Action::Output(port) => self.output(batch, index, *port, walk, rest),
            Action::Set(rewrite) => {
                if !rewrite.packet().is_empty() {
                    let layout = self.layout(batch, index, walk);
                    rewrite.apply(batch, index, &layout);
                    walk.stale = true;
                }
                for write in rewrite.beside() {
                    let value = walk.key.get(write.field) & !write.mask | write.value;
                    walk.key.set(write.field, value);
                }
            }
            Action::PushVlan { .. }
            | Action::PushMpls { .. }
            | Action::PushEthernet { .. }
            | Action::PushNsh(_)
            | Action::Encapsulate(_) => return self.push(batch, index, action, walk, rest),
            Action::PopVlan
            | Action::SetVlan(_)
            | Action::PopMpls { .. }
            | Action::PopEthernet
            | Action::PopNsh => {
                return self.pop(batch, index, action, walk);
            }
            Action::Decapsulate(port) => {
                self.decapsulate(batch, index, *port, walk, rest);
                return Step::End;
            }
            Action::Recirculate(number) => {
                let before = walk.key.get(Field::RECIRCULATION);
                walk.key.set(Field::RECIRCULATION, (*number).into());
                self.later(batch, index, walk, rest.is_last());
                walk.key.set(Field::RECIRCULATION, before);
            }
            Action::Connect(connect) => {
                self.refresh(batch, index, walk);
                let verdict = self.connect(batch, index, walk, connect, now);
                if let Err(reason) = verdict {
                    return walk.drop(reason);
                }
            }
            Action::Disconnect => {
                walk.tracked = Tracked::default();
                forget_connection(&mut walk.key);
            }
            Action::Hash(hashing) => {
                self.refresh(batch, index, walk);
                let hash = dp_hash(*hashing, &walk.key);
                walk.key.set(Field::DP_HASH, hash.into());
            }
            Action::Clone(program) => self.nested(batch, index, program, walk, rest),
            Action::Sample(sample) => {
                if sample.probability == u32::MAX || self.chance() < sample.probability {
                    self.nested(batch, index, &sample.program, walk, rest);
                }
            }
            Action::Branch(branch) => {
                let longer = longest_piece(batch, index) > branch.length as usize;
                let program = if longer { &branch.longer } else { &branch.otherwise };
                self.nested(batch, index, program, walk, rest);
            }
            Action::Truncate(most) => walk.cut = *most,
            Action::Meter(number) => {
                if let Some((bucket, reason)) = self.meters.get_mut(number)
                    && !bucket.take(batch.length(index) as u64, now)
                {
                    return walk.drop(*reason);
                }
            }
            Action::Police(number) => return self.police(batch, index, *number, walk, now),
            Action::Brain => {
                let mut octets = batch.octets(index);
                if walk.cut > 0 {
                    octets.truncate(std::mem::take(&mut walk.cut) as usize);
                }
                self.copies.push(octets);
                walk.sent();
            }
            Action::Punt(punt) => {
                let cut = std::mem::take(&mut walk.cut);
                self.punt(batch, index, punt, &walk.key, cut);
                walk.sent();
            }
            Action::Remote { number, vlan } => {
                self.copy_out(batch, index, (*number, *vlan), &walk.key, now);
                walk.sent();
            }
            Action::Lose(reason) => walk.outcome = Outcome::Dropped(*reason),
            Action::Drop { reason, .. } => return walk.drop(*reason),
        }
        Step::On
    }

    /// Where the headers are.
    fn layout(&mut self, batch: &Batch, index: usize, walk: &mut Walk) -> Layout {
        if walk.moved {
            self.refresh(batch, index, walk);
        }
        Layout::of(&walk.key, walk.layers)
    }

    /// Extracts the key anew, if it is another one.
    fn refresh(&mut self, batch: &Batch, index: usize, walk: &mut Walk) {
        if walk.moved || walk.stale {
            walk.layers =
                extract_beside(batch.head(index), batch.length(index), &walk.key, &mut self.scratch);
            std::mem::swap(&mut walk.key, &mut self.scratch);
            (walk.moved, walk.stale) = (false, false);
        }
    }

    /// Sends the packet as it is.
    fn output(&mut self, batch: &mut Batch, index: usize, port: PortNumber, walk: &mut Walk, rest: Rest<'_>) {
        let cut = std::mem::take(&mut walk.cut) as usize;
        if cut > 0 && cut < batch.length(index) {
            return self.output_cut(batch, index, port, walk, (cut, rest.now));
        }
        let port = self.resolve(port, &walk.key);
        let staged = self.stage(batch, index, port, rest.now);
        if staged == Outcome::Dropped(Reason::PortGone) && self.tunnels.get(port).is_some() {
            return self.tunnel_out(batch, index, port, walk, (rest.is_last(), rest.now));
        }
        if walk.early || rest.changing > 0 {
            self.send_port(batch, port);
        }
        if walk.outcome != Outcome::Sent {
            walk.outcome = staged;
        }
    }

    /// Sends the first octets of the packet.
    fn output_cut(
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
    pub(super) fn tunnel_out(
        &mut self,
        batch: &mut Batch,
        index: usize,
        port: PortNumber,
        walk: &mut Walk,
        (last, now): (bool, u64),
    ) {
        self.refresh(batch, index, walk);
        let Some(program) = self.template(port, &walk.key) else {
            if let Some(counters) = self.tunnel_counters.get(&port) {
                counters.unsent.add(1);
            }
            if walk.outcome != Outcome::Sent {
                walk.outcome = Outcome::Dropped(Reason::NoNextHop);
            }
            return;
        };
        if let Some(counters) = self.tunnel_counters.get(&port) {
            counters.sent.add(1);
            counters.sent_octets.add(batch.length(index) as u64);
        }
        // As if it were a program of its own.
        let actions = [Action::Clone(program)];
        let rest = Rest { actions: &actions, changing: usize::from(!last), tail: last, now };
        self.walk(batch, index, walk, rest);
    }

    /// Carries out a program on a copy, or on the packet itself if nobody needs it as it was.
    fn nested(
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
            Shape::Output(_) => 0,
            Shape::Steps { changing } | Shape::Composed { changing } => usize::from(changing),
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
        self.keys.push(copy.key);
    }

    /// Goes on with the packets that a large frame stands for.
    #[cold]
    fn walk_pieces(&mut self, batch: &mut Batch, index: usize, walk: &mut Walk, rest: Rest<'_>) -> Step {
        self.send(batch);
        let network = super::network(batch.head(index));
        let Some(mut segmenter) = netloom_nf::Segmenter::new(batch, index, network) else {
            return walk.drop(Reason::Malformed);
        };
        let mut pieces = self.spare.pop().unwrap_or_default();
        let mut more = true;
        while more {
            more = segmenter.fill(batch, index, &mut pieces);
            for piece in 0..pieces.len() {
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
    fn walk_roomy(
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

    fn give_back(&mut self, mut frames: Batch) {
        frames.clear();
        self.spare.push(frames);
    }

    /// Copies a frame to the end of another batch, with so much more room in front than usual; false if there is no room.
    pub(super) fn copy_frame(&mut self, batch: &Batch, index: usize, into: &mut Batch, extra: usize) -> bool {
        let length = batch.length(index);
        self.octets.resize(extra + length, 0);
        let Some(place) = self.octets.get_mut(extra..) else { return false };
        batch.copy(index, 0, place);
        let mut offload = *batch.offload(index);
        offload.shift(extra as i32);
        let to = into.len();
        into.push(batch.port(index), &self.octets, offload) && into.shrink(to, extra)
    }

    /// Puts headers before the packet.
    fn push(
        &mut self,
        batch: &mut Batch,
        index: usize,
        action: &Action,
        walk: &mut Walk,
        rest: Rest<'_>,
    ) -> Step {
        let (mut size, mut kind) = (4, None);
        let done = match action {
            Action::PushVlan { tpid, tci } => push_vlan(batch, index, *tpid, *tci),
            Action::PushMpls { ethertype, entry } => {
                let layout = self.layout(batch, index, walk);
                kind = (!layout.ethernet).then(|| packet_type(*ethertype));
                push_mpls(batch, index, &layout, *ethertype, *entry)
            }
            Action::PushEthernet { destination, source } => {
                (size, kind) = (14, Some(0));
                let ethertype = walk.key.get(Field::PACKET_TYPE) as u16;
                push_ethernet(batch, index, *destination, *source, ethertype)
            }
            Action::PushNsh(header) => {
                (size, kind) = (256, Some(packet_type(0x894f)));
                push_nsh(batch, index, header)
            }
            Action::Encapsulate(encapsulation) => {
                (size, kind) = (encapsulation.size(), Some(0));
                self.encapsulate(batch, index, encapsulation, walk, rest.now)
            }
            _ => false,
        };
        if !done {
            return self.walk_roomy(batch, index, size, walk, rest);
        }
        if let Some(kind) = kind {
            walk.key.set(Field::PACKET_TYPE, kind);
        }
        walk.moved = true;
        Step::On
    }

    fn encapsulate(
        &mut self,
        batch: &mut Batch,
        index: usize,
        encapsulation: &Encapsulation,
        walk: &mut Walk,
        now: u64,
    ) -> bool {
        let entropy = dp_hash(Hashing::default(), &walk.key);
        let done = encapsulation.put(batch, index, entropy, now);
        if done {
            forget_tunnel(&mut walk.key);
            forget_connection(&mut walk.key);
            walk.tracked = Tracked::default();
        }
        done
    }

    /// Takes headers from the packet, or writes the outer tag.
    fn pop(&mut self, batch: &mut Batch, index: usize, action: &Action, walk: &mut Walk) -> Step {
        let done = match action {
            Action::PopVlan => pop_vlan(batch, index),
            Action::SetVlan(tci) => set_vlan(batch, index, *tci),
            Action::PopMpls { ethertype } => {
                let layout = self.layout(batch, index, walk);
                if matches!(layout.kind, 0x8847 | 0x8848) && !layout.ethernet {
                    walk.key.set(Field::PACKET_TYPE, packet_type(*ethertype));
                }
                pop_mpls(batch, index, &layout, *ethertype);
                true
            }
            Action::PopEthernet => {
                let layout = self.layout(batch, index, walk);
                let kind = packet_type(walk.key.get(Field::ETH_TYPE) as u16);
                let done = pop_ethernet(batch, index, &layout);
                if done {
                    walk.key.set(Field::PACKET_TYPE, kind);
                }
                done
            }
            _ => {
                let kind = if walk.key.get(Field::PACKET_TYPE) == packet_type(0x894f) {
                    pop_nsh(batch, index)
                } else {
                    None
                };
                if let Some(kind) = kind {
                    walk.key.set(Field::PACKET_TYPE, kind.into());
                }
                kind.is_some()
            }
        };
        walk.moved = true;
        if done { Step::On } else { walk.drop(Reason::Malformed) }
    }

    fn police(&mut self, batch: &mut Batch, index: usize, number: u32, walk: &mut Walk, now: u64) -> Step {
        let Some(Some(meter)) = self.police.get(number as usize) else { return Step::On };
        match meter.ask(batch.length(index) as u64, now) {
            Verdict::Pass => Step::On,
            Verdict::Drop => walk.drop(Reason::Metered),
            Verdict::Remark(levels) => {
                self.refresh(batch, index, walk);
                let tos = walk.key.get(Field::IP_TOS) as u8;
                let layout = Layout::of(&walk.key, walk.layers);
                write_tos(batch, index, &layout, remark(tos, levels));
                walk.stale = true;
                Step::On
            }
        }
    }

    /// Takes the headers of a tunnel off the packet, which comes in once more.
    fn decapsulate(
        &mut self,
        batch: &mut Batch,
        index: usize,
        port: PortNumber,
        walk: &mut Walk,
        rest: Rest<'_>,
    ) {
        let Some(kind) = self.tunnels.get(port).map(|tunnel| tunnel.kind) else {
            walk.outcome = Outcome::Dropped(Reason::PortGone);
            return;
        };
        self.refresh(batch, index, walk);
        let layout = Layout::of(&walk.key, walk.layers);
        let Some(place) = self.place_later(batch, index, walk, rest.tail) else { return };
        let mut length = 0;
        let mut take = |frames: &mut Batch, index: usize, tunnels: &Tunnels| {
            let taken = decapsulate(frames, index, kind, tunnels, &layout, &mut walk.key);
            length = frames.length(index) as u64;
            taken
        };
        let taken = if place.batch == self.current && walk.stays && rest.tail {
            take(batch, index, &self.tunnels)
        } else {
            let frames = self.copied.get_mut(place.batch.wrapping_sub(1));
            frames.and_then(|frames| take(frames, place.index.into(), &self.tunnels))
        };
        let Some(port) = taken else {
            if walk.outcome != Outcome::Sent {
                walk.outcome = Outcome::Dropped(Reason::BadTunnel);
            }
            return;
        };
        if let Some(counters) = self.tunnel_counters.get(&port) {
            counters.received.add(1);
            counters.received_octets.add(length);
        }
        walk.tracked = Tracked::default();
        self.push_again(place, walk);
    }

    /// Has the packet looked up again: the packet itself, or a copy.
    fn later(&mut self, batch: &Batch, index: usize, walk: &mut Walk, last: bool) {
        if let Some(place) = self.place_later(batch, index, walk, last) {
            self.push_again(place, walk);
        }
    }

    fn push_again(&mut self, place: FramePlace, walk: &mut Walk) {
        let key = self.take_key(&walk.key);
        self.again.push(Again { place, key, tracked: walk.tracked, depth: self.depth + 1 });
        if walk.outcome != Outcome::Sent {
            walk.outcome = if place.batch == self.current { Outcome::Again } else { Outcome::Sent };
        }
    }

    /// Where the packet waits to be looked up again.
    fn place_later(
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

    /// A number by chance (xorshift64*).
    fn chance(&mut self) -> u32 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }
}

/// Whether an action needs packets as they are on the wire.
const fn cuts(action: &Action) -> bool {
    matches!(
        action,
        Action::PushMpls { .. }
            | Action::PopMpls { .. }
            | Action::PushEthernet { .. }
            | Action::PopEthernet
            | Action::PushNsh(_)
            | Action::PopNsh
            | Action::Encapsulate(_)
            | Action::Decapsulate(_)
    )
}

/// Octets of the packet, or of the longest one that a large frame stands for.
fn longest_piece(batch: &Batch, index: usize) -> usize {
    let (length, offload) = (batch.length(index), batch.offload(index));
    let transport = usize::from(offload.start);
    let header = match offload.segmentation {
        Segmentation::None => return length,
        Segmentation::Udp => 8,
        _ => batch.head(index).get(transport + 12).map_or(20, |octet| usize::from(octet >> 4) * 4),
    };
    length.min(transport + header + usize::from(offload.size))
}

/// Forgets what connection tracking said.
fn forget_connection(key: &mut Key) {
    for word in [29, 30, 40, 42, 43, 44, 45] {
        if key.word(word) != 0 {
            key.set_word(word, 0);
        }
    }
    for field in
        [Field::CT_STATE, Field::CT_ZONE, Field::CT_PROTO, Field::CT_MARK, Field::CT_TP_SRC, Field::CT_TP_DST]
    {
        key.set(field, 0);
    }
}

/// Forgets what a packet's tunnel said, or what it was given for one.
fn forget_tunnel(key: &mut Key) {
    for word in (13..=19).chain(48..netloom_table::key::WORDS) {
        if key.word(word) != 0 {
            key.set_word(word, 0);
        }
    }
    for field in [Field::TUN_OPTIONS, Field::TUN_ERSPAN_IDX] {
        if key.get(field) != 0 {
            key.set(field, 0);
        }
    }
}
