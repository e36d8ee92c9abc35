//! Copies of mirrors for packets that OpenFlow's tables send: one look at each port that a packet comes in or leaves through.
//!
//! What: the tables call [`Bridge::copies`] when a packet comes in and each time it leaves. A mirror copies a packet once,
//! the first time that it sees it; mirrors with the same output count as one. Bridges without tables copy in
//! [`Bridge::decide`], where all ways out are known at once.
//!
//! Source: `Mirror` in ovs-vswitchd.conf.db(5).

use super::form::{self, Writer};
use super::{Bridge, LINK_LOCAL, NOBODY};
use crate::decision::Decision;
use crate::mirror::{Copies, Gate};
use crate::port::Port;
use netloom_mem::PortNumber;
use netloom_nf::Action;
use netloom_table::{Field, Key, Mask};
use std::collections::BTreeSet;

/// What a mirror has done with a packet, which is the same after it as before it.
#[derive(Debug, Clone, PartialEq)]
pub struct MirrorCopy {
    /// The mirror.
    pub name: String,
    /// Steps as in a program of this bridge: its ports by their numbers.
    pub steps: Vec<Action>,
}

impl Bridge {
    /// Decides about a packet as a part of what OpenFlow's tables do with it, who see to mirrors themselves
    /// ([`Bridge::copies`]) and may have one that came in through no port ([`NOBODY`]).
    pub fn forward(&mut self, key: &Key, learn: bool, now: u64) -> Decision {
        self.bare = true;
        let decision = if learn { self.decide(key, now) } else { self.consider(key, now) };
        self.bare = false;
        decision
    }

    /// The port that packets come in through; they come from nowhere for tables alone.
    pub(super) fn inlet(&self, number: PortNumber) -> Option<&Port> {
        let nowhere = (number == NOBODY && self.bare).then_some(&self.nowhere);
        self.ports.get(&number).or(nowhere)
    }

    /// Whether it has mirrors.
    #[must_use]
    pub fn has_mirrors(&self) -> bool {
        !self.mirrors.is_empty()
    }

    /// Whether a port carries copies of mirrors and nothing else.
    #[must_use]
    pub fn is_for_copies(&self, port: PortNumber) -> bool {
        self.is_mirror_output(self.logical(port))
    }

    /// The copies that mirrors make of a packet at a port. `done` holds those mirrors, by their place, that have copied it;
    /// what is looked at goes into the mask.
    pub fn copies(
        &self,
        key: &Key,
        gate: Gate,
        done: &mut BTreeSet<u16>,
        mask: &mut Mask,
    ) -> Vec<MirrorCopy> {
        let (Gate::In(through) | Gate::Out(through)) = gate;
        let number = self.logical(through);
        let Some(port) = self.ports.get(&number).filter(|_| number != NOBODY) else { return Vec::new() };
        let places = || (0_u16..).zip(&self.mirrors);
        let watching: Vec<u16> = places()
            .filter(|(place, (_, mirror))| !done.contains(place) && mirror.watches(gate, number))
            .map(|(place, _)| place)
            .collect();
        if watching.is_empty() {
            return Vec::new();
        }
        let Ok(form) = form::of(port, key, mask, self.options.service_tag) else { return Vec::new() };
        let mut copies = Vec::new();
        for (place, (name, mirror)) in places().filter(|(place, _)| watching.contains(place)) {
            if done.contains(&place) || mirror.vlans.as_ref().is_some_and(|vlans| !vlans.has(form.vlan)) {
                continue;
            }
            done.extend(
                places().filter(|(_, (_, other))| other.output == mirror.output).map(|(place, _)| place),
            );
            let mut writer = Writer::new(form);
            writer.most = mirror.most;
            match mirror.output {
                Copies::Port(to) => {
                    let to: Vec<&Port> =
                        self.ports.get(&to).filter(|to| self.passes(to)).into_iter().collect();
                    writer.send(&to);
                }
                Copies::Vlan(vlan) => {
                    mask.add(Field::ETH_DST);
                    if vlan != form.vlan && key.get(Field::ETH_DST) & !0xf != LINK_LOCAL {
                        writer.send_in(vlan, &self.watchers(vlan));
                    }
                }
                // As it came, whatever happens to it later.
                Copies::Remote(number) => writer.actions.push(Action::Remote { number, vlan: form.vlan }),
            }
            if !writer.actions.is_empty() {
                copies.push(MirrorCopy { name: name.clone(), steps: writer.actions });
            }
        }
        copies
    }

    /// The ports of a VLAN that copies go to.
    fn watchers(&self, vlan: u16) -> Vec<&Port> {
        let carries = |to: &&Port| {
            !self.member_of.contains_key(&to.number)
                && to.forwarding
                && to.carries(vlan)
                && !self.is_mirror_output(to.number)
        };
        self.ports.values().filter(carries).collect()
    }
}
