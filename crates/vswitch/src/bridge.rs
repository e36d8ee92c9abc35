//! A learning bridge with VLANs (IEEE 802.1Q, clause 8).

use crate::bond::{Bond, Mode, SLOW_PROTOCOLS};
use crate::decision::{Decision, Effects, Step, Why};
use crate::fdb::{Fdb, Learned, Tag, room, tag};
use crate::guard::{Look, word};
use crate::lldp::{self, Neighbours};
use crate::mirror::{Copies, Mirror};
use crate::port::{MeterKind, Port, VlanSet};
use crate::rstp::Tree;
use crate::snoop::{Reach, SnoopOptions, Snooping};
use bonds::member_tag;
use form::{Form, Writer};
use netloom_mem::PortNumber;
use netloom_nf::{Action, Program, Reason};
use netloom_table::{Field, Key, Mask};
use netloom_wire::MacAddr;
use netloom_wire::header::lacp::SLOW_PROTOCOLS_ADDRESS;
use netloom_wire::header::lldp::NEAREST_BRIDGE;
use netloom_wire::header::stp::GROUP_ADDRESS;
use std::collections::{BTreeMap, BTreeSet, HashMap};

mod bonds;
mod copies;
mod form;
mod monitors;
mod protocols;
mod state;
mod tree;

pub use copies::MirrorCopy;
pub use state::BridgeState;
pub(crate) use state::pairs;

pub use tree::TreeSettings;

/// The addresses 01-80-c2-00-00-00 to -0f are for one link (IEEE 802.1Q, table 8-1).
const LINK_LOCAL: u64 = 0x0180_c200_0000;

/// Options of a bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BridgeOptions {
    /// Most stations.
    pub stations: usize,
    /// Nanoseconds after which a station that is not heard is forgotten.
    pub ageing: u64,
    /// Frames for link-local groups are forwarded too.
    pub forward_link_local: bool,
    /// EtherType of the outer tag of tunnel ports.
    pub service_tag: u16,
    /// VLANs in which nobody is learned and everything goes everywhere, as those of remote mirrors need.
    pub flooded: VlanSet,
    /// Its own address, from which it speaks.
    pub address: MacAddr,
    /// What it does about multicast.
    pub snooping: SnoopOptions,
    /// Its part in a spanning tree, if it takes part.
    pub tree: Option<TreeSettings>,
    /// It names itself to its neighbours and hears them.
    pub lldp: bool,
    /// The name that it gives them.
    pub system: String,
}

impl Default for BridgeOptions {
    fn default() -> Self {
        Self {
            stations: 8192,
            ageing: 300_000_000_000,
            forward_link_local: false,
            service_tag: 0x88a8,
            flooded: VlanSet::default(),
            address: MacAddr::new([2, 0, 0, 0, 0, 0]),
            snooping: SnoopOptions::default(),
            tree: None,
            lldp: false,
            system: String::new(),
        }
    }
}

/// Why a bridge can't be changed so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BridgeError {
    /// There is a port of this name or number.
    #[error("the bridge has a port `{0}` already")]
    Exists(String),
    /// There is no such port.
    #[error("the bridge has no port `{0}`")]
    NoPort(String),
}

/// Where a packet goes, mirrors aside.
#[derive(Debug)]
struct Way {
    to: Result<Vec<PortNumber>, Reason>,
    /// Nobody knows the one port where it belongs.
    many: bool,
    /// The bridge listens too.
    brain: bool,
}

impl Way {
    const fn lost(reason: Reason) -> Self {
        Self { to: Err(reason), many: true, brain: false }
    }
}

/// A bridge.
#[derive(Debug)]
pub struct Bridge {
    /// Its options.
    pub options: BridgeOptions,
    /// Where stations are.
    pub fdb: Fdb,
    ports: BTreeMap<PortNumber, Port>,
    mirrors: BTreeMap<String, Mirror>,
    /// The ports that an address is pinned to.
    owners: HashMap<u64, Vec<PortNumber>>,
    snooping: Snooping,
    tree: Option<Tree>,
    neighbours: Neighbours,
    /// Bonds by the number of their port, and which port is a member of which.
    bonds: BTreeMap<PortNumber, Bond>,
    member_of: HashMap<PortNumber, PortNumber>,
    /// What watches the links of ports, and whether some of it has other options than its port.
    watched: BTreeMap<PortNumber, monitors::Watch>,
    unsettled: bool,
    /// What is to be done at the next tick.
    late: Effects,
    /// Nothing is learned now.
    dry: bool,
    /// Mirrors are somebody else's business now.
    bare: bool,
    /// Where packets come from that came in through no port: those of controllers.
    nowhere: Port,
}

/// The number of no port: where packets of controllers come from.
pub const NOBODY: PortNumber = 0xffff;

impl Bridge {
    /// A bridge without ports.
    #[must_use]
    pub fn new(options: BridgeOptions) -> Self {
        let mut bridge = Self {
            fdb: Fdb::new(options.stations, options.ageing),
            options,
            ports: BTreeMap::new(),
            mirrors: BTreeMap::new(),
            owners: HashMap::new(),
            snooping: Snooping::default(),
            tree: None,
            neighbours: Neighbours::default(),
            bonds: BTreeMap::new(),
            member_of: HashMap::new(),
            watched: BTreeMap::new(),
            unsettled: false,
            late: Effects::default(),
            dry: false,
            bare: false,
            nowhere: Port { learning: false, ..Port::new(NOBODY, "") },
        };
        bridge.plant();
        bridge
    }

    /// Its ports.
    #[must_use]
    pub const fn ports(&self) -> &BTreeMap<PortNumber, Port> {
        &self.ports
    }

    /// The port of a name.
    #[must_use]
    pub fn port(&self, name: &str) -> Option<&Port> {
        self.ports.values().find(|port| port.name == name)
    }

    /// Adds a port. All flows are to be taken back after that.
    ///
    /// # Errors
    /// When its name or number is taken.
    pub fn add(&mut self, port: Port) -> Result<(), BridgeError> {
        if self.port(&port.name).is_some() || self.ports.contains_key(&port.number) {
            return Err(BridgeError::Exists(port.name));
        }
        let number = port.number;
        self.ports.insert(number, port);
        self.own();
        self.graft(number);
        self.mark_watched(number);
        self.neighbours.hurry();
        Ok(())
    }

    /// Changes a port. All flows are to be taken back after that.
    ///
    /// # Errors
    /// When there is none of this number.
    pub fn set(&mut self, port: Port) -> Result<(), BridgeError> {
        let number = port.number;
        let place = self.ports.get_mut(&number).ok_or_else(|| BridgeError::NoPort(port.name.clone()))?;
        *place = port;
        self.own();
        self.graft(number);
        self.mark_watched(number);
        // Stations that were learned there may be in VLANs that it no longer carries.
        let ports = &self.ports;
        self.fdb.prune(|vlan, _, station| {
            station.port == number && !ports.get(&number).is_some_and(|port| port.carries(vlan))
        });
        Ok(())
    }

    /// Takes a port and the stations behind it away. All flows are to be taken back after that.
    pub fn remove(&mut self, number: PortNumber) -> Option<Port> {
        self.fdb.prune(|_, _, station| station.port == number);
        let port = self.ports.remove(&number);
        self.unbind(number);
        self.snooping.remove(number);
        self.neighbours.remove(number);
        self.own();
        self.graft(number);
        self.mark_watched(number);
        port
    }

    /// Notes which addresses are pinned where.
    fn own(&mut self) {
        self.owners.clear();
        for port in self.ports.values() {
            for mac in &port.guard.macs {
                self.owners.entry(word(*mac)).or_default().push(port.number);
            }
        }
    }

    /// Changes its options. All flows are to be taken back after that.
    pub fn set_options(&mut self, options: BridgeOptions) {
        (self.fdb.limit, self.fdb.ageing) = (options.stations, options.ageing);
        self.options = options;
        self.plant();
    }

    /// Its mirrors.
    #[must_use]
    pub const fn mirrors(&self) -> &BTreeMap<String, Mirror> {
        &self.mirrors
    }

    /// Adds, changes or takes away a mirror. All flows are to be taken back after that.
    pub fn set_mirror(&mut self, name: String, mirror: Option<Mirror>) {
        match mirror {
            Some(mirror) => drop(self.mirrors.insert(name, mirror)),
            None => drop(self.mirrors.remove(&name)),
        }
    }

    /// Forgets stations that were not heard for long, and gives what flows rest on.
    pub fn age(&mut self, now: u64) -> Vec<Tag> {
        let mut gone = self.fdb.age(now);
        gone.extend(self.fdb.freed());
        gone
    }

    /// Forgets one station, or all that were learned, and gives what flows rest on.
    pub fn forget(&mut self, station: Option<(u16, MacAddr)>) -> Vec<Tag> {
        let mut gone = match station {
            Some((vlan, mac)) => self.fdb.forget(vlan, mac).into_iter().collect(),
            None => self.fdb.prune(|_, _, station| !station.fixed),
        };
        gone.extend(self.fdb.freed());
        gone
    }

    /// Decides about a packet.
    pub fn decide(&mut self, key: &Key, now: u64) -> Decision {
        let mut decision = Decision {
            program: Program::lose(Reason::PortGone),
            mask: Mask::default(),
            rests: Vec::new(),
            changed: Vec::new(),
            sender: 0,
            keep: true,
            steps: Vec::new(),
        };
        decision.mask.add(Field::IN_PORT);
        // Later passes through the tables are never decided here, but must not be mistaken for first ones.
        decision.mask.add(Field::RECIRCULATION);
        // As for Open vSwitch every flow is of one EtherType, and of fragments or of none. Both lie in words of the key that
        // are looked at for the addresses anyway.
        decision.mask.add(Field::ETH_TYPE);
        decision.mask.add(Field::IP_FRAG);
        match self.way(key, now, &mut decision) {
            Ok(program) => decision.program = program,
            Err(reason) => {
                decision.steps.push(Step::Out(Why::Dropped(reason)));
                decision.program = Program::lose(reason);
            }
        }
        decision.changed.extend(self.fdb.freed());
        decision
    }

    /// Decides about a packet, and learns nothing from it: for those who only ask.
    pub fn consider(&mut self, key: &Key, now: u64) -> Decision {
        self.dry = true;
        let decision = self.decide(key, now);
        self.dry = false;
        decision
    }

    fn way(&mut self, key: &Key, now: u64, decision: &mut Decision) -> Result<Program, Reason> {
        let arrived = key.get(Field::IN_PORT) as PortNumber;
        let mut port = self.inlet(arrived).ok_or(Reason::PortGone)?;
        let bond = self.member_of.get(&arrived).and_then(|bond| Some((*bond, self.bonds.get(bond)?)));
        let number = bond.map_or(arrived, |(bond, _)| bond);
        if self.is_mirror_output(number) {
            return Err(Reason::MirrorOutput);
        }
        if !port.forwarding {
            return Err(Reason::PortBlocked);
        }
        // What is for one cable is heard where it came; everything else through a member came through its bond.
        if self.is_of_cable(port, bond.is_some(), key, &mut decision.mask) {
            return Ok(for_brain(port));
        }
        if let Some((number, bond)) = bond {
            decision.rests.push(member_tag(arrived));
            decision.mask.add(Field::ETH_DST);
            let group = key.get(Field::ETH_DST) >> 40 & 1 == 1;
            if !bond.takes(arrived) || group && !bond.takes_groups(arrived) {
                return Err(Reason::MemberInactive);
            }
            port = self.ports.get(&number).ok_or(Reason::PortGone)?;
            if !port.forwarding {
                return Err(Reason::PortBlocked);
            }
        }
        let state = self.tree_state(number);
        if state.is_some() {
            decision.mask.add(Field::ETH_DST);
            if key.get(Field::ETH_DST) == word(GROUP_ADDRESS) {
                return Ok(for_brain(port));
            }
        }
        if state.is_some_and(|state| !state.learning) {
            return Err(Reason::PortBlocked);
        }
        let form = form::of(port, key, &mut decision.mask, self.options.service_tag)?;
        decision.steps.push(Step::Vlan(number, form.vlan));
        port.guard.check(key, &mut decision.mask)?;
        if !self.owners.is_empty() && !port.guard.forged {
            // What is pinned elsewhere is nobody else's.
            decision.mask.add(Field::ETH_SRC);
            let owners = self.owners.get(&key.get(Field::ETH_SRC));
            if owners.is_some_and(|owners| !owners.contains(&number)) {
                return Err(Reason::Spoofed);
            }
        }
        if bond.is_some_and(|(_, bond)| bond.options().mode == Mode::BalanceSlb) {
            self.refuse_echo(key, number, form.vlan, now, decision)?;
        }
        self.hear(key, number, form.vlan, now, decision)?;
        if state.is_some_and(|state| !state.forwarding) {
            return Err(Reason::PortBlocked);
        }
        let way = self.outputs(key, number, form, now, decision);
        let Some(port) = self.inlet(number) else { return Err(Reason::PortGone) };
        let mut writer = Writer::new(form);
        writer.actions.extend(port.policing().map(Action::Meter));
        if port.storm.is_some() && way.many {
            writer.actions.push(Action::Meter(port.meter(MeterKind::Storm)));
        }
        if way.brain {
            writer.actions.extend([Action::Meter(port.meter(MeterKind::Brain)), Action::Brain]);
        }
        self.write(writer, number, way, decision)
    }

    /// Whether a packet is of a protocol that is spoken over one cable.
    fn is_of_cable(&self, port: &Port, in_bond: bool, key: &Key, mask: &mut Mask) -> bool {
        let mut look = Look { key, mask };
        let mut is_for = |group: MacAddr, kind: u16| {
            look.at(Field::ETH_DST) == word(group) && look.at(Field::ETH_TYPE) == u64::from(kind)
        };
        in_bond && is_for(SLOW_PROTOCOLS_ADDRESS, SLOW_PROTOCOLS)
            || self.options.lldp && port.lldp && is_for(NEAREST_BRIDGE, lldp::ETHER_TYPE)
            || monitors::is_watched(port, key, look.mask)
    }

    /// What a protocol of the bridge (LACP, LLDP, the spanning tree) does with a packet, whatever OpenFlow tables say; what
    /// was looked at goes into the mask.
    pub fn special(&self, key: &Key, mask: &mut Mask) -> Option<Program> {
        let arrived = key.get(Field::IN_PORT) as PortNumber;
        let port = self.ports.get(&arrived).filter(|port| port.forwarding)?;
        let bond = self.member_of.get(&arrived).copied();
        let number = bond.unwrap_or(arrived);
        if self.is_mirror_output(number) {
            return None;
        }
        if self.is_of_cable(port, bond.is_some(), key, mask) {
            return Some(for_brain(port));
        }
        self.tree_state(number)?;
        mask.add(Field::ETH_DST);
        (key.get(Field::ETH_DST) == word(GROUP_ADDRESS)).then(|| for_brain(port))
    }

    /// Puts the ways out and those of mirrors together.
    fn write(
        &self,
        mut writer: Writer,
        number: PortNumber,
        way: Way,
        decision: &mut Decision,
    ) -> Result<Program, Reason> {
        let vlan = writer.form.vlan;
        let mut short = Vec::new();
        let (mut to, lost) = match way.to {
            Ok(to) if to.is_empty() && !way.brain => (to, Some(Reason::NoPorts)),
            Ok(to) => (to, None),
            Err(reason) => (Vec::new(), Some(reason)),
        };
        let mut again = BTreeSet::new();
        let count = to.len();
        for (name, mirror) in self.mirrors.iter().filter(|_| !self.bare) {
            if !mirror.copies(vlan, number, to.iter().take(count).copied()) {
                continue;
            }
            decision.steps.push(Step::Mirrored(name.clone()));
            match mirror.output {
                Copies::Port(port) if to.contains(&port) => {}
                Copies::Port(port) => match mirror.most {
                    Some(most) => short.push((port, most)),
                    None => to.push(port),
                },
                Copies::Vlan(vlan) => drop(again.insert((vlan, mirror.most))),
                // As it came, whatever happens to it later.
                Copies::Remote(number) => writer.actions.push(Action::Remote { number, vlan }),
            }
        }
        let ports: Vec<&Port> =
            to.iter().filter_map(|port| self.ports.get(port)).filter(|port| self.passes(port)).collect();
        writer.send(&ports);
        for (port, most) in short {
            writer.most = Some(most);
            let port = self.ports.get(&port).filter(|port| self.passes(port));
            writer.send(&port.into_iter().collect::<Vec<_>>());
        }
        for (vlan, most) in again {
            writer.most = most;
            let carries = |to: &&Port| {
                let other = to.number != number && !self.member_of.contains_key(&to.number);
                other && to.forwarding && to.carries(vlan) && !self.is_mirror_output(to.number)
            };
            let ports: Vec<&Port> = self.ports.values().filter(carries).collect();
            writer.send_in(vlan, &ports);
        }
        if let Some(reason) = lost {
            decision.steps.push(Step::Out(Why::Dropped(reason)));
            writer.actions.push(Action::Lose(reason));
        }
        Ok(Program::new(writer.actions, lost.unwrap_or(Reason::NoPorts)))
    }

    fn is_mirror_output(&self, port: PortNumber) -> bool {
        self.mirrors.values().any(|mirror| mirror.output == Copies::Port(port))
    }

    /// Where a packet goes, mirrors aside.
    fn outputs(&self, key: &Key, number: PortNumber, form: Form, now: u64, decision: &mut Decision) -> Way {
        decision.mask.add(Field::ETH_DST);
        let destination = key.get(Field::ETH_DST);
        if destination & !0xf == LINK_LOCAL && !self.options.forward_link_local {
            return Way::lost(Reason::Reserved);
        }
        let Some(port) = self.inlet(number) else { return Way::lost(Reason::PortGone) };
        let group = destination >> 40 & 1 == 1;
        let known = if group { None } else { self.find(destination, form.vlan, now, decision) };
        if let Some(out) = known {
            decision.steps.push(Step::Out(Why::Known { port: out }));
            let to = self.known(port, out, destination, form.vlan);
            return Way { to, many: false, brain: false };
        }
        decision.steps.push(Step::Out(if group { Why::Group } else { Why::Unknown }));
        let everywhere = self.ports.values().filter(|to| self.reaches(port, to, form.vlan));
        if !group {
            let to = everywhere.filter(|to| to.flooding && to.guard.takes(destination));
            return Way { to: Ok(to.map(|to| to.number).collect()), many: true, brain: false };
        }
        let mut reach = Reach { only: None, brain: false };
        if self.options.snooping.enabled && !self.options.flooded.has(form.vlan) {
            let mut look = Look { key, mask: &mut decision.mask };
            reach = self.snooping.reach(&mut look, form.vlan, &mut decision.rests);
        }
        let wants = |to: &&Port| {
            to.multicast_router || reach.only.as_ref().is_none_or(|only| only.contains(&to.number))
        };
        let to = everywhere.filter(wants).map(|to| to.number).collect();
        Way { to: Ok(to), many: true, brain: reach.brain }
    }

    /// Whether what comes in through a port may leave through another.
    fn reaches(&self, port: &Port, to: &Port, vlan: u16) -> bool {
        to.number != port.number
            && self.passes(to)
            && to.carries(vlan)
            && !(port.isolated && to.isolated)
            && !self.is_mirror_output(to.number)
    }

    fn known(
        &self,
        port: &Port,
        out: PortNumber,
        destination: u64,
        vlan: u16,
    ) -> Result<Vec<PortNumber>, Reason> {
        if out == port.number {
            return Err(Reason::SamePort);
        }
        let to = self.ports.get(&out).filter(|to| self.passes(to)).ok_or(Reason::PortBlocked)?;
        if port.isolated && to.isolated {
            return Err(Reason::Isolated);
        }
        if !self.reaches(port, to, vlan) || !to.guard.takes(destination) {
            return Err(Reason::NoPorts);
        }
        Ok(vec![out])
    }

    fn find(&self, destination: u64, vlan: u16, now: u64, decision: &mut Decision) -> Option<PortNumber> {
        if self.options.flooded.has(vlan) {
            return None;
        }
        // A pinned station is where it is pinned, heard or not.
        if let Some(owners) = self.owners.get(&destination)
            && let Some(owner) = owners.iter().find(|owner| self.carries(**owner, vlan))
        {
            return Some(*owner);
        }
        let mac = mac(destination);
        decision.rests.push(tag(vlan, mac));
        self.fdb.find(vlan, mac, now).map(|station| station.port)
    }

    fn carries(&self, port: PortNumber, vlan: u16) -> bool {
        self.ports.get(&port).is_some_and(|port| port.carries(vlan))
    }

    /// Learns the sender.
    fn hear(
        &mut self,
        key: &Key,
        number: PortNumber,
        vlan: u16,
        now: u64,
        decision: &mut Decision,
    ) -> Result<(), Reason> {
        let Some(port) = self.ports.get(&number).filter(|port| port.learning) else { return Ok(()) };
        if self.options.flooded.has(vlan) {
            return Ok(());
        }
        decision.mask.add(Field::ETH_SRC);
        let source = key.get(Field::ETH_SRC);
        // A group can't send.
        if source >> 40 & 1 == 1 || source == 0 {
            return Ok(());
        }
        let mac = mac(source);
        if self.dry {
            decision.rests.push(tag(vlan, mac));
            return Ok(());
        }
        let limit = port.guard.most;
        let learned = self.fdb.learn(vlan, mac, number, port.stations.min(limit.unwrap_or(usize::MAX)), now);
        let tag = tag(vlan, mac);
        decision.rests.push(tag);
        decision.steps.push(Step::Heard(mac, learned));
        match learned {
            Learned::New | Learned::Moved(_) => decision.changed.push(tag),
            Learned::Full => {
                // As soon as there is room it is heard again.
                decision.rests.push(room(number));
                if limit.is_some() {
                    return Err(Reason::TooManyStations);
                }
            }
            Learned::Known | Learned::Fixed(_) => {}
        }
        decision.sender = tag;
        Ok(())
    }

    /// Flows from a station behind a port carry packets.
    pub fn refresh(&mut self, sender: Tag, port: PortNumber, now: u64) {
        self.fdb.refresh(sender, self.logical(port), now);
    }
}

/// A packet that only the bridge itself hears.
fn for_brain(port: &Port) -> Program {
    Program::new(vec![Action::Meter(port.meter(MeterKind::Brain)), Action::Brain], Reason::Reserved)
}

fn mac(value: u64) -> MacAddr {
    let [_, _, mac @ ..] = value.to_be_bytes();
    MacAddr::new(mac)
}

#[cfg(test)]
mod tests;
