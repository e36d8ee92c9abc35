//! A learning bridge with VLANs (IEEE 802.1Q, clause 8).

use crate::decision::{Decision, Step, Why};
use crate::fdb::{Fdb, Learned, Tag, tag};
use crate::port::{Port, Vlan};
use netloom_mem::PortNumber;
use netloom_nf::{Action, Program, Reason};
use netloom_table::{Field, Key, Mask};
use netloom_wire::MacAddr;
use std::collections::BTreeMap;

/// The addresses 01-80-c2-00-00-00 to -0f are for one link (IEEE 802.1Q, table 8-1).
const LINK_LOCAL: u64 = 0x0180_c200_0000;
const CUSTOMER_TAG: u16 = 0x8100;
const VLAN_BITS: u16 = 0xfff;

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
}

impl Default for BridgeOptions {
    fn default() -> Self {
        Self { stations: 8192, ageing: 300_000_000_000, forward_link_local: false, service_tag: 0x88a8 }
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

/// A bridge.
#[derive(Debug)]
pub struct Bridge {
    /// Its options.
    pub options: BridgeOptions,
    /// Where stations are.
    pub fdb: Fdb,
    ports: BTreeMap<PortNumber, Port>,
}

/// The frame as it came: what is to be done to send it with or without the bridge's tag.
#[derive(Debug, Clone, Copy)]
struct Form {
    vlan: u16,
    /// It carries the tag of its VLAN (as the outer tag).
    tagged: bool,
    /// A tag of VLAN 0, which carries a priority only, is in front.
    priority: bool,
    tpid: u16,
}

impl Bridge {
    /// A bridge without ports.
    #[must_use]
    pub fn new(options: BridgeOptions) -> Self {
        Self { fdb: Fdb::new(options.stations, options.ageing), options, ports: BTreeMap::new() }
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
        self.ports.insert(port.number, port);
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
        self.ports.remove(&number)
    }

    /// Decides about a packet.
    pub fn decide(&mut self, key: &Key, now: u64) -> Decision {
        let mut decision = Decision {
            program: Program::lose(Reason::PortGone),
            mask: Mask::default(),
            rests: Vec::new(),
            changed: Vec::new(),
            sender: 0,
            steps: Vec::new(),
        };
        decision.mask.add(Field::IN_PORT);
        // Later passes through the tables are never decided here, but must not be mistaken for first ones.
        decision.mask.add(Field::RECIRCULATION);
        match self.way(key, now, &mut decision) {
            Ok(program) => decision.program = program,
            Err(reason) => {
                decision.steps.push(Step::Out(Why::Dropped(reason)));
                decision.program = Program::lose(reason);
            }
        }
        decision
    }

    fn way(&mut self, key: &Key, now: u64, decision: &mut Decision) -> Result<Program, Reason> {
        let number = key.get(Field::IN_PORT) as PortNumber;
        let port = self.ports.get(&number).ok_or(Reason::PortGone)?;
        if !port.forwarding {
            return Err(Reason::PortBlocked);
        }
        let form = form(port, key, &mut decision.mask, self.options.service_tag)?;
        decision.steps.push(Step::Vlan(number, form.vlan));
        self.hear(key, number, form.vlan, now, decision);
        decision.mask.add(Field::ETH_DST);
        let destination = key.get(Field::ETH_DST);
        if destination & !0xf == LINK_LOCAL && !self.options.forward_link_local {
            return Err(Reason::Reserved);
        }
        let group = destination >> 40 & 1 == 1;
        let known = if group { None } else { self.find(destination, form.vlan, now, decision) };
        let Some(port) = self.ports.get(&number) else { return Err(Reason::PortGone) };
        if let Some(out) = known {
            decision.steps.push(Step::Out(Why::Known { port: out }));
            if out == number {
                return Err(Reason::SamePort);
            }
            let to = self.ports.get(&out).filter(|to| to.forwarding).ok_or(Reason::PortBlocked)?;
            if !to.carries(form.vlan) {
                return Err(Reason::NoPorts);
            }
            if port.isolated && to.isolated {
                return Err(Reason::Isolated);
            }
            return Ok(program(form, &[to], Reason::NoPorts));
        }
        decision.steps.push(Step::Out(if group { Why::Group } else { Why::Unknown }));
        let everywhere: Vec<&Port> = self
            .ports
            .values()
            .filter(|to| to.number != number && to.forwarding && to.carries(form.vlan))
            .filter(|to| !(port.isolated && to.isolated) && (group || to.flooding))
            .collect();
        Ok(program(form, &everywhere, Reason::NoPorts))
    }

    fn find(&self, destination: u64, vlan: u16, now: u64, decision: &mut Decision) -> Option<PortNumber> {
        let mac = mac(destination);
        decision.rests.push(tag(vlan, mac));
        self.fdb.find(vlan, mac, now).map(|station| station.port)
    }

    /// Learns the sender.
    fn hear(&mut self, key: &Key, number: PortNumber, vlan: u16, now: u64, decision: &mut Decision) {
        let Some(port) = self.ports.get(&number).filter(|port| port.learning) else { return };
        decision.mask.add(Field::ETH_SRC);
        let source = key.get(Field::ETH_SRC);
        // A group can't send.
        if source >> 40 & 1 == 1 || source == 0 {
            return;
        }
        let (mac, most) = (mac(source), port.stations);
        let learned = self.fdb.learn(vlan, mac, number, most, now);
        let tag = tag(vlan, mac);
        match learned {
            Learned::New | Learned::Moved(_) => decision.changed.push(tag),
            Learned::Known | Learned::Full | Learned::Fixed(_) => {}
        }
        decision.sender = tag;
        decision.rests.push(tag);
        decision.steps.push(Step::Heard(mac, learned));
    }

    /// Flows from a station behind a port carry packets.
    pub fn refresh(&mut self, sender: Tag, port: PortNumber, now: u64) {
        self.fdb.refresh(sender, port, now);
    }
}

fn mac(value: u64) -> MacAddr {
    let [_, _, mac @ ..] = value.to_be_bytes();
    MacAddr::new(mac)
}

/// Which VLAN a packet is in, and how it came.
fn form(port: &Port, key: &Key, mask: &mut Mask, service_tag: u16) -> Result<Form, Reason> {
    mask.add(Field::VLAN_TPID);
    mask.add_bits(Field::VLAN_TCI, u64::from(VLAN_BITS));
    let tpid = key.get(Field::VLAN_TPID) as u16;
    let vlan = key.get(Field::VLAN_TCI) as u16 & VLAN_BITS;
    let (untagged, priority) = (tpid == 0 || vlan == 0, tpid != 0 && vlan == 0);
    let carried = |vlan: u16| if port.carries(vlan) { Ok(vlan) } else { Err(Reason::VlanNotAllowed) };
    let (vlan, tagged, tpid) = match &port.vlan {
        Vlan::Tunnel { vlan: own, customers } => {
            let customer = if untagged { 0 } else { vlan };
            if !customers.has(customer) {
                return Err(Reason::VlanNotAllowed);
            }
            // The customer's tag, even of VLAN 0, is part of what travels.
            return Ok(Form { vlan: *own, tagged: false, priority: false, tpid: service_tag });
        }
        Vlan::Access(own) if untagged => (*own, false, CUSTOMER_TAG),
        Vlan::Access(_) => return Err(Reason::Tagged),
        Vlan::Trunk(_) if untagged => (carried(0)?, false, CUSTOMER_TAG),
        Vlan::NativeTagged(own, _) | Vlan::NativeUntagged(own, _) if untagged => (*own, false, CUSTOMER_TAG),
        Vlan::Trunk(_) | Vlan::NativeTagged(..) | Vlan::NativeUntagged(..) => (carried(vlan)?, true, tpid),
    };
    Ok(Form { vlan, tagged, priority, tpid })
}

/// Sends a packet to ports, first as it is, then changed.
fn program(form: Form, ports: &[&Port], otherwise: Reason) -> Program {
    let outputs = |tagged: bool| {
        ports
            .iter()
            .filter(move |port| port.tags(form.vlan) == tagged)
            .map(|port| Action::Output(port.number))
    };
    let mut actions: Vec<Action> = Vec::with_capacity(ports.len() + 1);
    if form.tagged {
        actions.extend(outputs(true));
        if outputs(false).next().is_some() {
            actions.push(Action::PopVlan);
            actions.extend(outputs(false));
        }
    } else if form.priority {
        // The tag is there already and only lacks the number.
        if outputs(true).next().is_some() {
            actions.push(Action::PopVlan);
            actions.push(Action::PushVlan { tpid: form.tpid, tci: form.vlan });
            actions.extend(outputs(true));
        }
        if outputs(false).next().is_some() {
            actions.push(Action::PopVlan);
            actions.extend(outputs(false));
        }
    } else {
        actions.extend(outputs(false));
        if outputs(true).next().is_some() {
            actions.push(Action::PushVlan { tpid: form.tpid, tci: form.vlan });
            actions.extend(outputs(true));
        }
    }
    Program::new(actions, otherwise)
}

#[cfg(test)]
mod tests;
