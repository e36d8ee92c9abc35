//! The bridges behind one lock, as workers ask them.
//!
//! What: a packet without a flow is decided by its bridge's tables (`super::tables`), or by the bridge itself where the
//! tables do nothing but ask it. What workers count comes back here and is credited to flows, groups, tables and stations.

use super::credits::Credits;
use super::exports::Exports;
use super::news::{News, Outbox, PacketIn};
use super::watches::Outgoing;
use netloom_datapath::{Answer, Brain, Heard, Question, Used, Wishes};
use netloom_nf::tunnel::Tunnels;
use netloom_nf::{Program, Reason, SharedMeter};
use netloom_proto::openflow::text::Names;
use netloom_table::{Field, Mask};
use netloom_vswitch::Bridge;
use netloom_vswitch::openflow::translate::{self, Problem, Request, Start};
use netloom_vswitch::openflow::{BridgeNumber, FlowId, Meter, Pipeline, bridge_of_state};
use netloom_wire::MacAddr;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The log says of a packet that tables lose at most so often why, in nanoseconds.
const EXPLAINED: u64 = 1_000_000_000;

/// Where a port is.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The bridge's number and name.
    pub(super) bridge: BridgeNumber,
    pub(super) name: String,
}

/// A meter that workers have.
#[derive(Debug)]
pub(super) struct MeterAtWork {
    pub(super) shared: Arc<SharedMeter>,
    /// As it was when they got it, with what had been counted then.
    pub(super) before: Meter,
}

/// All bridges with their tables, and which port belongs to which.
#[derive(Debug, Default)]
pub(super) struct Bridges {
    pub(super) by_name: BTreeMap<String, Bridge>,
    pub(super) of_port: HashMap<u32, Place>,
    /// The tables of each bridge, by its number.
    pub(super) pipelines: BTreeMap<BridgeNumber, Pipeline>,
    pub(super) names: BTreeMap<BridgeNumber, String>,
    pub(super) numbers: HashMap<String, BridgeNumber>,
    /// What connections are to be told, by bridge; nothing is kept while nobody listens.
    pub(super) outboxes: BTreeMap<BridgeNumber, Outbox>,
    pub(super) listener: Option<Arc<OwnedFd>>,
    /// Who is credited for packets of flows that are counted.
    pub(super) credits: Credits,
    /// The flow that makes a bridge an ordinary switch, or did so last.
    pub(super) ordinary: BTreeMap<BridgeNumber, FlowId>,
    /// Bridges for which controllers are configured.
    pub(super) controlled: BTreeSet<BridgeNumber>,
    /// Meters that workers have, by their numbers in programs.
    pub(super) meters: HashMap<u32, MeterAtWork>,
    /// Those of which they have not been told.
    pub(super) fresh_meters: BTreeSet<u32>,
    /// Packets and octets that went through cables between tables, in and out, by port.
    pub(super) cables: HashMap<u32, [u64; 4]>,
    /// The number that a port of a bridge was given last.
    pub(super) last_numbers: BTreeMap<String, u16>,
    /// When the log was told last why a packet was lost, in nanoseconds.
    pub(super) explained: Option<u64>,
    /// Flows of the data path are for packets that are alike in everything (`upcall/disable-megaflows`).
    pub(super) exact: bool,
    /// Ports without anything behind them.
    pub(super) dummies: BTreeSet<u32>,
    /// Queues of ports that are shaped, and since when they are there, in nanoseconds.
    pub(super) queues: HashMap<u32, BTreeMap<u32, u64>>,
    /// Tunnels that end here.
    pub(super) tunnels: Arc<Tunnels>,
    /// Who answered the system behind a bridge's own port, since somebody asked last.
    pub(super) neighbours: Vec<(u32, IpAddr, MacAddr)>,
    /// Programs name the ports of tunnels, and not the headers that are put before packets (`tnl_push_pop` of
    /// `dpif/set-dp-features`).
    pub(super) tunnels_told_as_ports: bool,
    /// Interfaces of the host by which tunnels leave, with their addresses.
    pub(super) underlay: HashMap<u32, MacAddr>,
    /// Rung for the thread that has the timers of watched links, and when it looks next.
    pub(super) watcher: Option<Arc<OwnedFd>>,
    pub(super) watch_planned: u64,
    /// Rung when a bridge has put something off that concerns all workers.
    pub(super) bell: Option<Arc<OwnedFd>>,
    /// What is told to collectors.
    pub(super) exports: Exports,
}

impl Bridges {
    pub(super) fn of(&mut self, port: u32) -> Option<&mut Bridge> {
        self.by_name.get_mut(&self.of_port.get(&port)?.name)
    }

    /// Rings for those who listen to what happens in tables.
    pub(super) fn ring_listener(&self) {
        if let Some(bell) = &self.listener {
            // A bell that can't be rung was rung often enough.
            let _ = rustix::io::write(bell, &1_u64.to_ne_bytes());
        }
    }

    fn nobody(&self) -> Answer {
        let mut mask = Mask::default();
        mask.add(Field::IN_PORT);
        let program = Program::lose(Reason::PortGone);
        Answer {
            program,
            mask,
            rests: Vec::new(),
            changed: Vec::new(),
            token: 0,
            counted: false,
            keep: false,
        }
    }

    /// Says in the log, not too often, why tables lose a packet for no rule of theirs, step by step.
    fn explain(&mut self, request: &Request<'_>, problem: Problem) {
        if self.explained.is_some_and(|at| request.now.saturating_sub(at) < EXPLAINED) {
            return;
        }
        self.explained = Some(request.now);
        let again = Request { effects: false, trace: true, ..request.clone() };
        let steps = translate::translate(self, &again).trace;
        tracing::warn!(
            target: "ofproto_dpif_upcall",
            "{}\nTranslation failed ({}), packet is dropped.",
            translate::print_trace(&steps, &Names::default()).trim(),
            problem.verdict()
        );
    }

    /// Lets the tables decide.
    fn walk(&mut self, bridge: BridgeNumber, question: &Question<'_>) -> Answer {
        let (key, now) = (question.key, question.now);
        let request =
            Request { bridge, key, in_port: None, start: Start::Tables, effects: true, trace: false, now };
        let translation = translate::translate(self, &request);
        // What tables ask too much of says nothing by itself; everything else is the packet's fault, or its flow says it.
        if let Some(
            problem @ (Problem::TooDeep
            | Problem::TooManyResubmits
            | Problem::TooManyActions
            | Problem::StackTooDeep),
        ) = translation.problem
        {
            self.explain(&request, problem);
        }
        let (mut changed, mut keep) = (translation.changed, translation.keep);
        // What the packet taught may concern the next one like it.
        for learned in translation.credit.learned.iter().map(|(bridge, _)| *bridge) {
            let tags = self.pipelines.get_mut(&learned).map(Pipeline::take_changed).unwrap_or_default();
            keep &= tags.is_empty();
            changed.extend(tags);
            self.gather_events(learned);
        }
        let mut token = 0;
        if keep {
            self.exports.begin(&translation.credit, now);
            token = self.credits.add(translation.credit);
        } else {
            self.credit(&translation.credit, 1, question.length as u64, now);
        }
        Answer {
            program: translation.program,
            mask: translation.mask,
            rests: translation.rests,
            changed,
            token,
            counted: keep,
            keep,
        }
    }
}

/// The bridges, shared.
#[derive(Debug, Clone, Default)]
pub(super) struct Shared(Arc<(Mutex<Bridges>, Mutex<()>)>);

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Bridges> {
        // A bridge is consistent between any two of its operations.
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Held while workers are told what changed, so that they hear it in order. Taken before the bridges.
    pub(super) fn order(&self) -> MutexGuard<'_, ()> {
        self.0.1.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bridges {
    /// What becomes of a packet and of those like it.
    fn answer(&mut self, question: &Question<'_>) -> Answer {
        let bridges = self;
        let recirculation = question.key.get(Field::RECIRCULATION) as u32;
        let resumed = bridge_of_state(recirculation);
        if recirculation != 0 && bridges.pipelines.contains_key(&resumed) {
            // Wherever the packet came from: it may be a controller's.
            return bridges.walk(resumed, question);
        }
        let Some(place) = bridges.of_port.get(&(question.key.get(Field::IN_PORT) as u32)) else {
            return bridges.outside_packet(question).unwrap_or_else(|| bridges.nobody());
        };
        let number = place.bridge;
        let ordinary = bridges.pipelines.get_mut(&number).and_then(Pipeline::ordinary);
        let (Some(flow), 0) = (ordinary, question.key.get(Field::RECIRCULATION)) else {
            return bridges.walk(number, question);
        };
        let Some(bridge) = bridges.by_name.get_mut(&place.name) else { return bridges.nobody() };
        let decision = bridge.decide(question.key, question.now);
        if !decision.keep {
            bridges.credit_ordinary(number, flow, 1, question.length as u64, question.now);
        }
        Answer {
            program: decision.program,
            mask: decision.mask,
            rests: decision.rests,
            changed: decision.changed,
            token: decision.sender,
            counted: false,
            keep: decision.keep,
        }
    }
}

impl Brain for Shared {
    fn translate(&mut self, question: &Question<'_>) -> Answer {
        let mut bridges = self.lock();
        let mut answer = bridges.answer(question);
        if bridges.exact {
            Field::ALL.iter().for_each(|field| answer.mask.add(*field));
        }
        answer
    }

    fn used(&mut self, used: &[Used], now: u64) {
        let mut bridges = self.lock();
        for used in used {
            match *used {
                Used::Lately { token, port } => {
                    if let Some(bridge) = bridges.of(port) {
                        bridge.refresh(token, port, now);
                    }
                }
                Used::Port { port, packets, octets, last } => {
                    bridges.credit_port(port, packets, octets, last);
                }
                Used::Flow { token, packets, octets, last, ended } => {
                    bridges.credit_token(token, packets, octets, last, ended);
                }
            }
        }
    }

    fn heard(&mut self, port: u32, octets: Vec<u8>, now: u64) -> Wishes {
        let mut bridges = self.lock();
        let Some(bridge) = bridges.of(port) else { return Wishes::default() };
        let was_sound = bridge.is_sound(port);
        let effects = bridge.heard(port, &octets, now);
        let is_late = bridge.is_late();
        let follows = bridge.tree_state(port).is_some() || was_sound != bridge.is_sound(port);
        let watches = bridge.watches();
        if let (true, Some(bell)) = (is_late, &bridges.bell) {
            // A bell that can't be rung was rung often enough.
            let _ = rustix::io::write(bell, &1_u64.to_ne_bytes());
        }
        let mut changed = effects.changed;
        if follows && let Some(number) = bridges.of_port.get(&port).map(|place| place.bridge) {
            bridges.follow_tree(number);
            changed
                .extend(bridges.pipelines.get_mut(&number).map(Pipeline::take_changed).into_iter().flatten());
        }
        if watches {
            bridges.wake_watcher();
        }
        let Outgoing { send, execute } = bridges.outgoing(effects.send, now);
        Wishes { changed, changed_all: effects.changed_all, send, execute }
    }

    fn punted(&mut self, heard: Vec<Heard>, now: u64) -> Wishes {
        let mut wishes = Wishes::default();
        let (protocols, heard): (Vec<Heard>, Vec<Heard>) =
            heard.into_iter().partition(|heard| heard.punt.kind == translate::PUNT_PROTOCOL);
        for heard in protocols {
            let Wishes { changed, changed_all, send, execute } =
                Brain::heard(self, heard.punt.state, heard.octets, now);
            wishes.changed.extend(changed);
            wishes.changed_all |= changed_all;
            wishes.send.extend(send);
            wishes.execute.extend(execute);
        }
        let mut bridges = self.lock();
        for heard in heard.iter().filter(|heard| heard.punt.kind == translate::PUNT_SAMPLE) {
            let Bridges { exports, tunnels, .. } = &mut *bridges;
            exports.sampled(heard, tunnels, now);
        }
        let is_told =
            |heard: &Heard| matches!(heard.punt.kind, translate::PUNT_CONTROLLER | translate::PUNT_PAUSED);
        for heard in heard.into_iter().filter(is_told) {
            let Some(packet) = PacketIn::of(heard, &bridges) else { continue };
            let bridge = packet.bridge;
            bridges.tell(bridge, News::Packet(Box::new(packet)));
        }
        bridges.ring_listener();
        wishes
    }
}
