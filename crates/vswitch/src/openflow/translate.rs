//! What the tables do with a packet: the one function for misses, packet-outs, traces and `why`.
//!
//! ```text
//! key -> normal form -> rule of table 0 -> its actions, carried out on the key -> ... -> action set -> program
//!                       every field that is looked at goes into the mask
//! ```
//!
//! What: a `Context` walks the tables with two keys: `flow` is the packet as the actions made it, `base` as the program
//! so far has made it. What differs is written before the packet leaves (`commit`). An action that needs what only the
//! data path knows (connection tracking, a hash, headers under MPLS) ends the program with a recirculation; what is left
//! is kept as [`super::Frozen`] and goes on when the packet comes back.
//!
//! Invariants:
//! - Packets that are equal in the bits of the mask get the same program (but for learning: the tables may have changed).
//! - At most 64 levels deep, at most 4,096 tables are looked up, and a program is bounded; beyond that the packet is
//!   dropped, as in Open vSwitch.
//! - Without [`Request::effects`] nothing is changed anywhere, but numbers of recirculations may be given.

mod actions;
mod connection;
mod context;
mod credit;
mod exports;
mod fields;
mod groups;
mod hash;
mod headers;
mod learn;
mod mirrors;
mod output;
mod print;
mod push;
mod set;
mod trace;
mod tunnel;

pub use credit::{Credit, credit};
pub use print::{megaflow, print_flow, print_program, print_trace};
pub use trace::{FoundRule, Note, Trace};

use super::recirculation::Frozen;
use super::{BridgeNumber, Pipeline, bridge_tag, field};
use crate::bridge::MirrorCopy;
use crate::decision::Decision;
use crate::fdb::Tag;
use crate::mirror::Gate;
use context::Context;
pub(in crate::openflow) use context::Hit;
use netloom_nf::tunnel::{Encapsulation, Hop};
use netloom_nf::{Program, Reason};
use netloom_proto::openflow::{Action, OfPort};
use netloom_table::{Field, Key, Mask};
use netloom_wire::MacAddr;
pub use output::{PUNT_CONTROLLER, PUNT_PAUSED, PUNT_PROTOCOL, PUNT_SAMPLE, REASON_MISS_FLOW};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

/// The bridges of a switch.
pub trait World {
    /// The tables of a bridge.
    fn pipeline(&mut self, bridge: BridgeNumber) -> Option<&mut Pipeline>;

    /// What an ordinary switch would do with a packet, as [`crate::Bridge::forward`] says; the key is in the data path's form.
    /// Without `learn` nothing is learned. No switch, no decision.
    fn normal(&mut self, bridge: BridgeNumber, key: &Key, learn: bool, now: u64) -> Option<Decision>;

    /// What a protocol of the bridge (spanning tree, LACP, BFD) does with a packet before any table is asked; what is
    /// looked at goes into the mask.
    fn special(
        &mut self,
        bridge: BridgeNumber,
        key: &Key,
        mask: &mut Mask,
    ) -> Option<Vec<netloom_nf::Action>> {
        let _ = (bridge, key, mask);
        None
    }

    /// Whether a bridge has mirrors, which [`World::normal`] leaves to the tables.
    fn has_mirrors(&mut self, bridge: BridgeNumber) -> bool {
        let _ = bridge;
        false
    }

    /// Whether a port of the data path carries copies of mirrors and nothing else.
    fn is_for_copies(&mut self, bridge: BridgeNumber, port: netloom_mem::PortNumber) -> bool {
        let _ = (bridge, port);
        false
    }

    /// The copies that mirrors make of a packet at a port, as [`crate::Bridge::copies`] says.
    fn copies(
        &mut self,
        bridge: BridgeNumber,
        key: &Key,
        gate: Gate,
        done: &mut BTreeSet<u16>,
        mask: &mut Mask,
    ) -> Vec<MirrorCopy> {
        let _ = (bridge, key, gate, done, mask);
        Vec::new()
    }

    /// The token buckets that every packet is asked of that comes in through a port of the data path.
    fn policing(&mut self, bridge: BridgeNumber, port: netloom_mem::PortNumber) -> Vec<u32> {
        let _ = (bridge, port);
        Vec::new()
    }

    /// For a packet that leaves by a bridge's own interface: the number to take a tunnel's headers off with, if it has some
    /// that are this switch's. The key is in the data path's form; what is looked at goes into the mask.
    fn arrival(&mut self, key: &Key, mask: &mut Mask) -> Option<netloom_mem::PortNumber> {
        let _ = (key, mask);
        None
    }

    /// The headers with which a packet leaves through a tunnel, and how it goes on, if there is a way. The key is in the data
    /// path's form, with the tunnel's fields; what is looked at goes into the mask.
    fn headers(
        &mut self,
        tunnel: netloom_mem::PortNumber,
        key: &Key,
        mask: &mut Mask,
    ) -> Option<(Encapsulation, Hop)> {
        let _ = (tunnel, key, mask);
        None
    }

    /// A station on the way to tunnels' other ends answered the system, which is behind this port of a bridge's own.
    fn neighbour(&mut self, own: netloom_mem::PortNumber, address: IpAddr, mac: MacAddr) {
        let _ = (own, address, mac);
    }

    /// The bridge that a port of the data path is in.
    fn bridge_of(&mut self, port: netloom_mem::PortNumber) -> Option<BridgeNumber> {
        let _ = port;
        None
    }
}

/// Where a translation begins.
#[derive(Debug, Clone)]
pub enum Start {
    /// In table 0, or where the packet's recirculation number says.
    Tables,
    /// With actions: a packet-out.
    Actions(Arc<[Action]>),
    /// Where another translation stopped: a controller resumes it.
    Resume(Arc<Frozen>),
}

/// What is asked.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The bridge of the port.
    pub bridge: BridgeNumber,
    /// The packet's key, in the data path's form.
    pub key: &'a Key,
    /// The port, if it is another than the key says (packet-out).
    pub in_port: Option<OfPort>,
    /// Where it begins.
    pub start: Start,
    /// Flows are learned, timeouts shortened, addresses learned.
    pub effects: bool,
    /// Steps are wanted.
    pub trace: bool,
    /// Nanoseconds.
    pub now: u64,
}

/// Why a packet is dropped other than by a rule (`enum xlate_error` of OVS).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The bridge or its port is not there.
    #[error("Invalid input port")]
    NoPort,
    /// Tables ask one another deeper than 64 levels.
    #[error("over max translation depth 64")]
    TooDeep,
    /// Tables were asked more than 4,096 times.
    #[error("over 4096 resubmit actions")]
    TooManyResubmits,
    /// The stack has more than 64 KiB.
    #[error("resubmits yielded over 64 kB of stack")]
    StackTooDeep,
    /// The program is too long.
    #[error("resubmits yielded over 64 kB of actions")]
    TooManyActions,
    /// Nobody knows the recirculation number any more.
    #[error("Recirculation context not found")]
    NoState,
    /// A packet has more MPLS labels than are read.
    #[error("Too many MPLS labels")]
    TooManyLabels,
    /// The packet does not have the header that is to be taken.
    #[error("Invalid tunnel metadata or header")]
    BadHeader,
}

impl Problem {
    /// What `ofproto/trace` says at its end (`xlate_strerror` of Open vSwitch).
    #[must_use]
    pub const fn verdict(self) -> &'static str {
        match self {
            Self::NoPort => "Invalid input port",
            Self::TooDeep => "Recursion too deep",
            Self::TooManyResubmits => "Too many resubmits",
            Self::StackTooDeep => "Stack too deep",
            Self::TooManyActions => "Too many actions",
            Self::NoState => "No recirculation context",
            Self::TooManyLabels => "Too many MPLS labels",
            Self::BadHeader => "Unsupported packet type",
        }
    }
}

/// What becomes of a packet and of those like it.
#[derive(Debug)]
pub struct Translation {
    /// What is done.
    pub program: Program,
    /// What was looked at, in the data path's form.
    pub mask: Mask,
    /// What was looked at, in normal form: for those who print it. With registers and metadata if there is a problem.
    pub looked: Mask,
    /// What it rests on.
    pub rests: Vec<Tag>,
    /// What changed by it.
    pub changed: Vec<Tag>,
    /// Whether it holds for later packets.
    pub keep: bool,
    /// Who is credited for each packet.
    pub credit: Credit,
    /// Why it is dropped, if it is not a rule's doing.
    pub problem: Option<Problem>,
    /// The packet as the actions made it, in normal form.
    pub flow: Key,
    /// An action named the queue that it is for.
    pub queues: bool,
    /// The queue that it is for at the end.
    pub queue: Option<u32>,
    /// The steps.
    pub trace: Vec<Trace>,
}

/// Decides about a packet.
pub fn translate(world: &mut dyn World, request: &Request<'_>) -> Translation {
    let mut context = Context::new(world, request);
    match &request.start {
        Start::Resume(state) => {
            let state = state.clone();
            context.thaw(&state);
        }
        Start::Tables if request.key.get(Field::RECIRCULATION) != 0 => context.resume(),
        Start::Tables => context.begin(),
        Start::Actions(actions) => {
            let actions = actions.clone();
            context.act(&actions);
        }
    }
    context.finish()
}

impl Context<'_> {
    /// A packet that has just come in.
    fn begin(&mut self) {
        let Some(entry) = self.entry(self.in_port()) else {
            self.begin_nowhere();
            return;
        };
        let key = self.data_path_key();
        let mut mask = Mask::default();
        let special = self.world.special(self.bridge, &key, &mut mask);
        self.mask.merge(&mask);
        if let Some(actions) = special {
            self.out.extend(actions);
            return;
        }
        if entry.is(super::OfPortEntry::NO_RECEIVE | super::OfPortEntry::DOWN)
            || self.is_for_copies(entry.port)
        {
            return;
        }
        self.policed = self.world.policing(self.bridge, entry.port);
        self.out.extend(self.policed.iter().copied().map(netloom_nf::Action::Meter));
        self.tell_arrival(matches!(entry.form, super::PortForm::Tunnel(_)));
        if entry.forwards {
            self.mirror(Gate::In(entry.port));
            self.table(self.in_port(), 0, true, true, false);
            self.end();
        } else if entry.learns {
            self.detail(|| "STP not in forwarding state, skipping openflow processing".into());
            self.learn_only();
        }
    }

    /// A packet that came in through no port, if somebody only asks; real ones that do are lost.
    fn begin_nowhere(&mut self) {
        if self.in_port() != OfPort::NONE && self.in_port() != OfPort::CONTROLLER || self.effects {
            self.fail(Problem::NoPort);
            return;
        }
        self.table(self.in_port(), 0, true, true, false);
        self.end();
    }

    /// A packet that comes back.
    fn resume(&mut self) {
        let number = self.flow.get(Field::RECIRCULATION) as u32;
        let bridge = super::bridge_of_state(number);
        if self.world.pipeline(bridge).is_some() {
            self.enter(bridge);
        }
        let state = self.pipeline().and_then(|pipeline| pipeline.frozen_state(number));
        match state {
            Some(state) => self.thaw(&state),
            None => self.fail(Problem::NoState),
        }
    }

    /// A packet-out.
    fn act(&mut self, actions: &[Action]) {
        self.packet_out = true;
        if let Some(entry) = self.entry(self.in_port()) {
            self.mirror(Gate::In(entry.port));
        }
        self.run(actions, true);
        self.end();
    }

    /// The action set, and a recirculation if one is due.
    pub(super) fn end(&mut self) {
        if !self.is_frozen() {
            self.run_action_set();
        }
        self.freeze();
    }

    fn finish(mut self) -> Translation {
        if self.problem.is_some() {
            self.out.clear();
        }
        let reason = match self.problem {
            Some(Problem::NoPort) => Reason::PortGone,
            Some(Problem::NoState | Problem::TooDeep | Problem::TooManyResubmits) => Reason::Passes,
            _ => Reason::Rule,
        };
        if self.problem.is_none() {
            self.tell_all(reason);
        }
        let program = Program::new(std::mem::take(&mut self.out), reason);
        self.rests.push(bridge_tag(self.bridge));
        self.rests.sort_unstable();
        self.rests.dedup();
        let mut mask = field::denormalise(&self.mask);
        if self.tags_matter {
            mask.add(Field::VLAN_TPID);
            mask.add(Field::INNER_TPID);
        }
        let mut looked = self.mask;
        if self.problem.is_none() {
            looked = packet_only(&looked);
        }
        Translation {
            program,
            mask,
            looked,
            rests: self.rests,
            changed: self.changed,
            keep: self.keep,
            credit: self.credit,
            problem: self.problem,
            flow: self.flow,
            queues: self.queues,
            queue: self.queue,
            trace: self.trace.finish(),
        }
    }
}

/// A mask without registers and metadata, which are the same for all packets that come in.
fn packet_only(mask: &Mask) -> Mask {
    let mut out = Mask::default();
    for (word, bits) in mask.words().iter().enumerate() {
        if !matches!(word, 31..=39 | 47) {
            out.add_word(word, *bits);
        }
    }
    out
}
