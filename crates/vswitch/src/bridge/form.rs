//! Tags of a frame: which VLAN it is in, and what to do so that it leaves with the right ones.

use crate::port::{Port, Vlan};
use netloom_nf::{Action, Reason};
use netloom_table::{Field, Key, Mask};

const CUSTOMER_TAG: u16 = 0x8100;
const VLAN_BITS: u16 = 0xfff;

/// The frame as it came: what is to be done to send it with or without the bridge's tag.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    pub(super) vlan: u16,
    /// It carries the tag of its VLAN (as the outer tag).
    tagged: bool,
    /// A tag of VLAN 0, which carries a priority only, is in front.
    priority: bool,
    tpid: u16,
}

/// Which VLAN a packet is in, and how it came.
pub(super) fn of(port: &Port, key: &Key, mask: &mut Mask, service_tag: u16) -> Result<Form, Reason> {
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

/// The outer tag while a program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outer {
    /// None of the bridge's.
    Plain,
    /// That of VLAN 0.
    Priority,
    /// That of a VLAN.
    Of(u16),
}

/// Writes a program, step by step.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) actions: Vec<Action>,
    /// Octets that leave at most.
    pub(super) most: Option<u32>,
    pub(super) form: Form,
    outer: Outer,
}

impl Writer {
    pub(super) const fn new(form: Form) -> Self {
        let outer = match form {
            Form { tagged: true, vlan, .. } => Outer::Of(vlan),
            Form { priority: true, .. } => Outer::Priority,
            Form { .. } => Outer::Plain,
        };
        Self { actions: Vec::new(), most: None, form, outer }
    }

    fn tag(&mut self, tag: Option<(u16, u16)>) {
        let wanted = tag.map_or(Outer::Plain, |(_, vlan)| Outer::Of(vlan));
        if self.outer == wanted {
            return;
        }
        if self.outer != Outer::Plain {
            self.actions.push(Action::PopVlan);
        }
        if let Some((tpid, tci)) = tag {
            self.actions.push(Action::PushVlan { tpid, tci });
        }
        self.outer = wanted;
    }

    fn outputs(&mut self, vlan: u16, tpid: u16, ports: &[&Port]) {
        // First as it is, then changed.
        let first = self.outer == Outer::Of(vlan);
        for tagged in [first, !first] {
            let mut ports = ports.iter().filter(|port| port.tags(vlan) == tagged).peekable();
            if ports.peek().is_some() {
                self.tag(tagged.then_some((tpid, vlan)));
            }
            for port in ports {
                self.actions.extend(self.most.map(Action::Truncate));
                self.actions.push(Action::Output(port.number));
            }
        }
    }

    /// Sends it to ports in its VLAN.
    pub(super) fn send(&mut self, ports: &[&Port]) {
        self.outputs(self.form.vlan, self.form.tpid, ports);
    }

    /// Sends it to ports in another VLAN.
    pub(super) fn send_in(&mut self, vlan: u16, ports: &[&Port]) {
        self.outputs(vlan, CUSTOMER_TAG, ports);
    }
}
