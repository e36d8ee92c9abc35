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

mod copies;
mod fragments;
mod headers;

use super::connect::Tracked;
use super::{Exit, Outcome};
use netloom_mem::{BATCH, Batch, PortNumber, Segmentation};
use netloom_nf::conntrack;
use netloom_nf::rewrite::{Layout, write_tos};
use netloom_nf::{Action, Program, Reason, Shape, Verdict, dp_hash, remark};
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
    /// Carries out a program on a frame of the worker's batch. `key` is what was extracted of it.
    #[inline(never)]
    pub(super) fn compose(
        &mut self,
        batch: &mut Batch,
        index: usize,
        program: &Program,
        key: &Key,
        now: u64,
    ) -> Outcome {
        if let Shape::Drop(reason) = program.shape() {
            return Outcome::Dropped(reason);
        }
        let mut walk = Walk {
            key: self.take_key(key),
            layers: self.layers[index % BATCH],
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
        let rest = Rest { actions: program.actions(), changing: program.changing(), tail: true, now };
        self.walk(batch, index, &mut walk, rest);
        self.queue = 0;
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
                if walk.key.get(Field::IP_FRAG) != 0 {
                    return self.connect_fragment(batch, index, walk, connect, rest);
                }
                let verdict = self.connect(batch, index, walk, connect, now);
                if let Err(reason) = verdict {
                    return walk.drop(reason);
                }
            }
            Action::Disconnect => {
                conntrack::clear(&mut walk.key, &mut walk.tracked);
            }
            Action::Hash(hashing) => {
                self.refresh(batch, index, walk);
                let hash = dp_hash(*hashing, &walk.key);
                walk.key.set(Field::DP_HASH, hash.into());
            }
            Action::Clone(program) => self.nested(batch, index, program, walk, rest),
            Action::Sample(sample) => {
                if self.chosen(sample.probability) {
                    self.nested(batch, index, &sample.program, walk, rest);
                }
            }
            Action::Branch(branch) => {
                let longer = longest_piece(batch, index) > branch.length as usize;
                let program = if longer { &branch.longer } else { &branch.otherwise };
                self.nested(batch, index, program, walk, rest);
            }
            Action::Truncate(most) => walk.cut = *most,
            Action::Queue(queue) => self.queue = *queue,
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
                self.copies.push((walk.key.get(Field::IN_PORT) as PortNumber, octets));
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

    fn police(&mut self, batch: &mut Batch, index: usize, number: u32, walk: &mut Walk, now: u64) -> Step {
        let Some(meter) = self.shared_meter(number) else { return Step::On };
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

    /// Whether a packet is one of so many of 2^32; `u32::MAX` is all.
    pub(super) fn chosen(&mut self, probability: u32) -> bool {
        probability == u32::MAX || self.chance() < probability
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
