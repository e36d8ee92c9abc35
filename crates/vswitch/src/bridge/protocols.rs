//! The protocols that a bridge speaks: what it hears, and what time brings.

use super::form;
use super::{Bridge, BridgeOptions};
use crate::decision::Effects;
use crate::lldp::Neighbour;
use crate::port::Port;
use crate::snoop::{Place, Question};
use netloom_mem::PortNumber;
use netloom_table::key::extract;
use netloom_table::{Key, Mask};
use netloom_wire::MacAddr;
use netloom_wire::header::lacp::SLOW_PROTOCOLS_ADDRESS;
use netloom_wire::header::lldp::NEAREST_BRIDGE;
use netloom_wire::header::stp::GROUP_ADDRESS;
use std::net::IpAddr;

impl Bridge {
    /// A packet came that the bridge wanted to hear ([`netloom_nf::Action::Brain`]).
    pub fn heard(&mut self, number: PortNumber, frame: &[u8], now: u64) -> Effects {
        let to = frame.first_chunk::<6>().copied().map(MacAddr::new);
        if to == Some(SLOW_PROTOCOLS_ADDRESS) {
            let effects = self.heard_slow(number, frame);
            return self.answer_later(effects);
        }
        if !self.watched.is_empty()
            && let Some(effects) = self.heard_watch(number, frame, now)
        {
            return effects;
        }
        let mut effects = Effects::default();
        if to == Some(NEAREST_BRIDGE) && self.ports.contains_key(&number) {
            self.neighbours.heard(number, frame, now);
            return effects;
        }
        let number = self.logical(number);
        if to == Some(GROUP_ADDRESS) {
            let effects = self.heard_unit(number, frame);
            return self.answer_later(effects);
        }
        let Some(port) = self.ports.get(&number) else { return effects };
        let mut key = Key::default();
        extract(frame, frame.len(), number, &mut key);
        let Ok(form) = form::of(port, &key, &mut Mask::default(), self.options.service_tag) else {
            return effects;
        };
        if self.options.snooping.enabled {
            let place = Place {
                vlan: form.vlan,
                port: number,
                fast_leave: port.fast_leave,
                address: self.options.address,
                options: &self.options.snooping,
                now,
            };
            let mut questions = Vec::new();
            self.snooping.heard(frame, &place, &mut effects, &mut questions);
            self.ask(questions, &mut effects);
        }
        self.by_members(effects)
    }

    /// Time has passed: what is too old is forgotten, and what is due is sent. To be called several times a second.
    pub fn tick(&mut self, now: u64) -> Effects {
        let output = self.tree.as_mut().map(|tree| tree.tick(now)).unwrap_or_default();
        let mut effects = self.follow(output);
        effects.changed.extend(self.age(now));
        if self.options.lldp {
            let mut neighbours = std::mem::take(&mut self.neighbours);
            let speaks = |port: &&Port| {
                // Each cable of a bond has a neighbour of its own.
                port.lldp
                    && port.forwarding
                    && !self.is_mirror_output(port.number)
                    && !self.bonds.contains_key(&port.number)
            };
            let ports = self.ports.values().filter(speaks);
            let BridgeOptions { address, system, .. } = &self.options;
            effects.send.extend(neighbours.tick(*address, system, ports, now));
            self.neighbours = neighbours;
        }
        let late = std::mem::take(&mut self.late);
        effects.send.extend(late.send);
        effects.changed.extend(late.changed);
        effects.bonds.extend(late.bonds);
        let mut questions = Vec::new();
        let BridgeOptions { address, snooping, .. } = &self.options;
        self.snooping.tick(*address, snooping, now, &mut effects, &mut questions);
        self.ask(questions, &mut effects);
        self.tick_bonds(now, &mut effects);
        self.by_members(effects)
    }

    /// Leaves frames to who calls [`Bridge::tick`]: these protocols tell how they are now, not what changed. A worker that
    /// answered by itself could overtake what the tick has said before, and the neighbour would believe the older word
    /// until the next period.
    fn answer_later(&mut self, mut effects: Effects) -> Effects {
        self.late.send.append(&mut effects.send);
        effects
    }

    /// What was put off until the caller has time, and should not wait for the next tick; none when there is nothing.
    pub fn late(&mut self) -> Option<Effects> {
        let late = &self.late;
        let nothing = late.send.is_empty() && late.changed.is_empty() && late.bonds.is_empty();
        (!nothing).then(|| {
            let late = std::mem::take(&mut self.late);
            self.by_members(late)
        })
    }

    /// Whether there is something for [`Bridge::late`].
    #[must_use]
    pub const fn is_late(&self) -> bool {
        !self.late.bonds.is_empty() || !self.late.send.is_empty()
    }

    /// Sends questions of multicast snooping, with the tags that the ports need.
    fn ask(&self, questions: Vec<Question>, effects: &mut Effects) {
        for (vlan, port, frame) in questions {
            let ports = self.ports.values().filter(|to| {
                port.is_none_or(|port| port == to.number)
                    && self.passes(to)
                    && to.carries(vlan)
                    && !self.is_mirror_output(to.number)
            });
            for to in ports {
                let mut frame = frame.clone();
                if to.tags(vlan) {
                    frame.splice(12..12, [0x81, 0, (vlan >> 8) as u8, vlan as u8]);
                }
                effects.send.push((to.number, frame));
            }
        }
    }

    /// Who named itself behind a port.
    #[must_use]
    pub fn neighbours(&self, port: PortNumber) -> &[Neighbour] {
        self.neighbours.behind(port)
    }

    /// Members of groups: VLAN, group, port, and nanoseconds until they count no more.
    #[must_use]
    pub fn groups(&self, now: u64) -> Vec<(u16, IpAddr, PortNumber, u64)> {
        self.snooping.list(now)
    }

    /// The same of multicast routers: VLAN, port, nanoseconds left.
    #[must_use]
    pub fn routers(&self, now: u64) -> Vec<(u16, PortNumber, u64)> {
        self.snooping.routers_left(now)
    }

    /// Forgets all members of groups and all routers.
    pub fn forget_groups(&mut self) -> Effects {
        Effects { changed: self.snooping.forget(), ..Effects::default() }
    }

    /// Ports behind which multicast routers were heard, by VLAN.
    #[must_use]
    pub fn router_ports(&self) -> Vec<(u16, PortNumber)> {
        self.snooping.router_ports()
    }
}
