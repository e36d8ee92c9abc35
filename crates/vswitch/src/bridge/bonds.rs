//! Bonds of a bridge: members are ports of their own for cables, and one port for stations.

use super::Bridge;
use crate::bond::{Bond, BondEffects, BondOptions, Mode};
use crate::decision::{Decision, Effects};
use crate::fdb::{Tag, tag};
use netloom_mem::PortNumber;
use netloom_nf::Reason;
use netloom_table::key::extract;
use netloom_table::{Field, Key};
use netloom_wire::MacAddr;

/// Stations that are announced when a bond takes another way.
const ANNOUNCED: usize = 256;
/// Length of the shortest frame without its check sequence.
const SHORTEST: usize = 60;
/// A request of RARP for one's own address (RFC 903): bridges learn from it, hosts do not answer.
const ANNOUNCEMENT: [u8; 10] = [0x80, 0x35, 0, 1, 8, 0, 6, 4, 0, 3];

/// How long a station must not have been heard before what says by ARP that it is behind a bond is believed: it may have
/// said so itself, and hear itself come back.
const SILENCE: u64 = 5_000_000_000;
const BROADCAST: u64 = 0xffff_ffff_ffff;
const ARP: u64 = 0x0806;
const REVERSE_ARP: u64 = 0x8035;

/// The tag of what a member of a bond takes.
pub(super) const fn member_tag(port: PortNumber) -> Tag {
    1 << 61 | port as u64
}

impl Bridge {
    /// Makes a port of the bridge a bond of others, changes it, or makes it none. All flows are to be taken back after that.
    /// Members come up when [`Bridge::link`] says so.
    pub fn set_bond(
        &mut self,
        number: PortNumber,
        bond: Option<(BondOptions, Vec<PortNumber>)>,
        now: u64,
    ) -> Effects {
        let up: Vec<PortNumber> = self.bonds.get(&number).map_or_else(Vec::new, |old| {
            old.members().filter(|port| old.state(*port).is_some_and(|state| state.up)).collect()
        });
        let before = self.members_of(number);
        self.member_of.retain(|_, of| *of != number);
        let old = self.bonds.remove(&number);
        let mut effects = Effects { changed_all: true, ..Effects::default() };
        if let Some((options, members)) = bond {
            // Who is in another bond stays there, and a bond is no member.
            let free = |port: &PortNumber| {
                *port != number && !self.member_of.contains_key(port) && !self.bonds.contains_key(port)
            };
            let members: Vec<PortNumber> = members.into_iter().filter(free).collect();
            for member in &members {
                self.member_of.insert(*member, number);
                self.fdb.prune(|_, _, station| station.port == *member);
                self.snooping.remove(*member);
                self.graft(*member);
            }
            let mut changes = Vec::new();
            let bond = match old {
                Some(mut old) if *old.options() == options => {
                    changes.push(old.change(&members));
                    old
                }
                _ => {
                    let mut bond = Bond::new(options, &members, self.options.address, number as u16, now);
                    changes.extend(up.into_iter().map(|port| bond.link(port, true)));
                    effects.bonds.push((number, Vec::new()));
                    bond
                }
            };
            self.bonds.insert(number, bond);
            for change in changes {
                self.merge(number, change, &mut effects);
            }
        } else {
            effects.bonds.push((number, Vec::new()));
        }
        for port in before {
            self.graft(port);
        }
        self.graft(number);
        let up = self.bonds.get(&number).is_none_or(|bond| !bond.senders().is_empty());
        if let Some(tree) = self.tree.as_mut() {
            let output = tree.link(number, up);
            effects.send.extend(self.follow(output).send);
        }
        self.by_members(effects)
    }

    /// The bonds by the number of their port.
    pub fn bonds(&self) -> impl Iterator<Item = (PortNumber, &Bond)> {
        self.bonds.iter().map(|(number, bond)| (*number, bond))
    }

    /// Changes what a bond does with its members.
    ///
    /// # Errors
    /// What the change says is wrong; there is nothing to be changed without the bond.
    pub fn change_bond<E>(
        &mut self,
        number: PortNumber,
        change: impl FnOnce(&mut Bond) -> Result<BondEffects, E>,
    ) -> Result<Effects, E> {
        let mut effects = Effects::default();
        if let Some(bond) = self.bonds.get_mut(&number) {
            let change = change(bond)?;
            self.merge(number, change, &mut effects);
        }
        Ok(self.by_members(effects))
    }

    /// The bond that a port is a member of.
    #[must_use]
    pub fn bond_of(&self, port: PortNumber) -> Option<PortNumber> {
        self.member_of.get(&port).copied()
    }

    fn members_of(&self, bond: PortNumber) -> Vec<PortNumber> {
        self.bonds.get(&bond).map_or_else(Vec::new, |bond| bond.members().collect())
    }

    /// A port that is gone is neither a bond nor a member.
    pub(super) fn unbind(&mut self, number: PortNumber) {
        self.bonds.remove(&number);
        self.member_of.retain(|_, bond| *bond != number);
        self.member_of.remove(&number);
    }

    /// The port that stations are behind which are heard through this one.
    pub(super) fn logical(&self, port: PortNumber) -> PortNumber {
        self.bond_of(port).unwrap_or(port)
    }

    /// The token buckets of everything that comes in through a port.
    #[must_use]
    pub fn policing(&self, port: PortNumber) -> Vec<u32> {
        self.ports.get(&self.logical(port)).map(|port| port.policing().collect()).unwrap_or_default()
    }

    /// The link of a member is up or down.
    pub(super) fn member_link(&mut self, number: PortNumber, up: bool) -> Effects {
        let mut effects = Effects::default();
        let Some(bond) = self.bond_of(number) else { return effects };
        let change = self.bonds.get_mut(&bond).map(|bond| bond.link(number, up)).unwrap_or_default();
        self.merge(bond, change, &mut effects);
        self.by_members(effects)
    }

    /// A frame of LACP or a marker came.
    pub(super) fn heard_slow(&mut self, number: PortNumber, frame: &[u8]) -> Effects {
        let mut effects = Effects::default();
        let Some(bond) = self.bond_of(number) else { return effects };
        let own = self.options.address;
        let change = self.bonds.get_mut(&bond).map(|bond| bond.heard(number, frame, own)).unwrap_or_default();
        self.merge(bond, change, &mut effects);
        // All workers have to know, not only the one that heard it.
        self.late.bonds.append(&mut effects.bonds);
        self.by_members(effects)
    }

    pub(super) fn tick_bonds(&mut self, now: u64, effects: &mut Effects) {
        let numbers: Vec<PortNumber> = self.bonds.keys().copied().collect();
        for number in numbers {
            let change = self.bonds.get_mut(&number).map(|bond| bond.tick(now)).unwrap_or_default();
            self.merge(number, change, effects);
        }
    }

    /// What follows for the bridge from a change of a bond.
    fn merge(&mut self, number: PortNumber, change: BondEffects, effects: &mut Effects) {
        effects.send.extend(change.send);
        effects.changed.extend(change.taking.into_iter().map(member_tag));
        let Some(senders) = change.sending else { return };
        let up = !senders.is_empty();
        effects.bonds.push((number, senders));
        if let Some(tree) = self.tree.as_mut() {
            let output = tree.link(number, up);
            let follows = self.follow(output);
            effects.send.extend(follows.send);
            effects.changed.extend(follows.changed);
            effects.changed_all |= follows.changed_all;
        }
        // The other side learns the new way at once, not with the next packet of each station.
        let quiet = |bond: &Bond| matches!(bond.options().mode, Mode::ActiveBackup | Mode::BalanceSlb);
        if up && self.bonds.get(&number).is_some_and(quiet) {
            effects.send.extend(self.announcements(number));
        }
    }

    fn announcements(&self, bond: PortNumber) -> Vec<(PortNumber, Vec<u8>)> {
        let Some(port) = self.ports.get(&bond) else { return Vec::new() };
        let stations = self.fdb.list().into_iter();
        let elsewhere = stations.filter(|(vlan, _, station)| station.port != bond && port.carries(*vlan));
        let frame = |(vlan, mac, _): (u16, MacAddr, _)| {
            let mut frame = vec![0xff; 6];
            frame.extend(mac.octets());
            if port.tags(vlan) {
                frame.extend([0x81, 0, (vlan >> 8) as u8, vlan as u8]);
            }
            frame.extend(ANNOUNCEMENT);
            for address in [mac.octets(), mac.octets()] {
                frame.extend(address);
                frame.extend([0; 4]);
            }
            frame.resize(frame.len().max(SHORTEST), 0);
            let mut key = Key::default();
            extract(&frame, frame.len(), bond, &mut key);
            (self.bonds.get(&bond).and_then(|bond| bond.sender(&key)).unwrap_or(bond), frame)
        };
        elsewhere.take(ANNOUNCED).map(frame).collect()
    }

    /// Loses frames that a switch which knows of no bond sends back: they left by one member, and come in by another.
    /// Their senders are known elsewhere. One that has moved says so by ARP, or is silent for a time.
    pub(super) fn refuse_echo(
        &self,
        key: &Key,
        bond: PortNumber,
        vlan: u16,
        now: u64,
        decision: &mut Decision,
    ) -> Result<(), Reason> {
        decision.mask.add(Field::ETH_SRC);
        let [_, _, source @ ..] = key.get(Field::ETH_SRC).to_be_bytes();
        let source = MacAddr::new(source);
        decision.rests.push(tag(vlan, source));
        let Some(station) = self.fdb.find(vlan, source, now).filter(|station| station.port != bond) else {
            return Ok(());
        };
        decision.mask.add(Field::ETH_TYPE);
        let announces = key.get(Field::ETH_DST) == BROADCAST
            && [ARP, REVERSE_ARP].contains(&key.get(Field::ETH_TYPE))
            && !station.fixed;
        if announces {
            // What it means depends on the time.
            decision.keep = false;
            if now.saturating_sub(station.heard) >= SILENCE {
                return Ok(());
            }
        }
        Err(Reason::Echo)
    }

    /// Frames for a bond leave by a member that sends; without one they are lost.
    pub(super) fn by_members(&self, mut effects: Effects) -> Effects {
        if self.bonds.is_empty() {
            return effects;
        }
        effects.send.retain_mut(|(port, _)| {
            let Some(bond) = self.bonds.get(port) else { return true };
            bond.senders().first().is_some_and(|member| {
                *port = *member;
                true
            })
        });
        effects
    }
}

#[cfg(test)]
mod tests;
