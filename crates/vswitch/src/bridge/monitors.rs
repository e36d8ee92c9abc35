//! What watches the links of a bridge's ports: BFD and connectivity fault management.
//!
//! What: a port whose options have one gets a machine at the next [`Bridge::watch`]; frames for it come by
//! [`Bridge::heard`], and time by `watch`, as exact as [`Bridge::watch_due`] is heeded. Ports without one cost nothing: they
//! are in no list, and what is for these protocols is looked at for ports with one only.

use super::Bridge;
use crate::bfd::{self, BfdStatus, Session};
use crate::bond::Mode;
use crate::cfm::{self, CfmStatus, Monitor};
use crate::decision::Effects;
use crate::port::Port;
use netloom_mem::PortNumber;
use netloom_table::{Key, Mask};
use serde::{Deserialize, Serialize};

/// The machines of one port.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Watch {
    bfd: Option<Session>,
    cfm: Option<Monitor>,
}

impl Watch {
    fn works(&self) -> bool {
        self.bfd.as_ref().is_none_or(Session::forwarding) && self.cfm.as_ref().is_none_or(Monitor::works)
    }
}

/// Whether a packet is for a machine of the port.
pub(super) fn is_watched(port: &Port, key: &Key, mask: &mut Mask) -> bool {
    port.cfm.as_ref().is_some_and(|options| cfm::is_ccm(options, key, mask))
        || port.bfd.as_ref().is_some_and(|options| bfd::is_bfd(options, key, mask))
}

impl Bridge {
    /// Whether links are watched.
    #[must_use]
    pub fn watches(&self) -> bool {
        !self.watched.is_empty()
    }

    /// Ports whose links are watched.
    pub fn watched(&self) -> impl Iterator<Item = PortNumber> {
        self.watched.keys().copied()
    }

    /// Those that need to know at [`Bridge::watch`] how many packets their ports received.
    pub fn counting(&self) -> impl Iterator<Item = PortNumber> {
        let counts = |watch: &Watch| {
            watch.bfd.as_ref().is_some_and(Session::counts) || watch.cfm.as_ref().is_some_and(Monitor::counts)
        };
        self.watched.iter().filter(move |(_, watch)| counts(watch)).map(|(number, _)| *number)
    }

    /// When [`Bridge::watch`] is to be called next, in nanoseconds; none where no link is watched.
    #[must_use]
    pub fn watch_due(&self) -> Option<u64> {
        let due = |watch: &Watch| {
            let bfd = watch.bfd.as_ref().map(Session::due);
            bfd.into_iter().chain(watch.cfm.as_ref().map(Monitor::due)).min().unwrap_or(0)
        };
        self.watched.values().map(due).min()
    }

    /// Whether what watches a port's link says that it carries packets, LACP among it; true where nothing does.
    #[must_use]
    pub fn is_sound(&self, port: PortNumber) -> bool {
        // By a member of a bond whose partner does not agree nothing is taken.
        let bond = self.bond_of(port).and_then(|bond| self.bonds.get(&bond));
        if bond.is_some_and(|bond| bond.options().mode == Mode::Lacp && !bond.takes(port)) {
            return false;
        }
        self.is_watched_sound(port)
    }

    /// The same without LACP, which is to be told of it.
    #[must_use]
    pub fn is_watched_sound(&self, port: PortNumber) -> bool {
        // A session that has not begun is not up.
        let begins = self.ports.get(&port).is_some_and(|port| port.bfd.is_some());
        self.watched.get(&port).is_none_or(|watch| watch.works() && (watch.bfd.is_some() || !begins))
    }

    /// How a port's BFD is.
    #[must_use]
    pub fn bfd(&self, port: PortNumber) -> Option<BfdStatus> {
        Some(self.watched.get(&port)?.bfd.as_ref()?.status())
    }

    /// How a port's connectivity fault management is.
    #[must_use]
    pub fn cfm(&self, port: PortNumber) -> Option<CfmStatus> {
        Some(self.watched.get(&port)?.cfm.as_ref()?.status())
    }

    /// Has BFD say that a link carries packets, or not, whatever is so; with none what is so. False without BFD there.
    pub fn force_bfd(&mut self, port: PortNumber, forwarding: Option<bool>, now: u64) -> bool {
        let session = self.watched.get_mut(&port).and_then(|watch| watch.bfd.as_mut());
        session.map(|session| session.force(forwarding, now)).is_some()
    }

    /// Has connectivity fault management say that there is a fault, or not, whatever is so. False without it there.
    pub fn force_cfm(&mut self, port: PortNumber, fault: Option<bool>) -> bool {
        let monitor = self.watched.get_mut(&port).and_then(|watch| watch.cfm.as_mut());
        monitor.map(|monitor| monitor.force(fault)).is_some()
    }

    /// Notes which ports are to be watched: one that has options, or had some. Machines come and go with the next
    /// [`Bridge::watch`], which is due at once then.
    pub(super) fn mark_watched(&mut self, number: PortNumber) {
        match self.ports.get(&number) {
            Some(port) if port.bfd.is_some() || port.cfm.is_some() => {
                self.watched.entry(number).or_default();
            }
            Some(_) => {}
            None => drop(self.watched.remove(&number)),
        }
        self.unsettled |= self.watched.contains_key(&number);
    }

    /// Time has passed, or options changed. `packets` is what a port received since it was opened.
    pub fn watch(&mut self, packets: impl Fn(PortNumber) -> u64, now: u64) -> Effects {
        let mut effects = Effects::default();
        if std::mem::take(&mut self.unsettled) {
            self.settle_watched(now);
        }
        let address = self.options.address;
        for (number, watch) in &mut self.watched {
            let Some(port) = self.ports.get(number) else { continue };
            let mut send = Vec::new();
            if let Some(session) = &mut watch.bfd {
                let count = if session.counts() { packets(*number) } else { 0 };
                send.extend(session.tick(count, address, now));
            }
            if let Some(monitor) = &mut watch.cfm {
                let count = if monitor.counts() { packets(*number) } else { 0 };
                send.extend(monitor.tick(count, address, now));
            }
            if port.forwarding {
                effects.send.extend(send.into_iter().map(|frame| (*number, frame)));
            }
        }
        effects
    }

    fn settle_watched(&mut self, now: u64) {
        let address = self.options.address.octets();
        let ports = &self.ports;
        self.watched.retain(|number, watch| {
            let Some(port) = ports.get(number) else { return false };
            // Chances of each port's own, and of each time that it is watched.
            let seed = address.iter().fold(now ^ u64::from(*number) << 40, |seed, octet| {
                (seed.rotate_left(7) ^ u64::from(*octet)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
            });
            match (&mut watch.bfd, &port.bfd) {
                (Some(session), Some(options)) if session.options() != options => {
                    session.set(options.clone(), now);
                }
                (place @ None, Some(options)) => {
                    // Ports' numbers are the daemon's own, so that no two sessions have the same name.
                    let name = *number << 16 | (seed >> 48) as u32;
                    *place = Some(Session::new(options.clone(), name, seed, now));
                }
                (place, None) => *place = None,
                _ => {}
            }
            match (&mut watch.cfm, &port.cfm) {
                (Some(monitor), Some(options)) if monitor.options() != options => monitor.set(*options, now),
                (place @ None, Some(options)) => *place = Some(Monitor::new(*options, now)),
                (place, None) => *place = None,
                _ => {}
            }
            watch.bfd.is_some() || watch.cfm.is_some()
        });
    }

    /// A frame came that may be for a machine of its port. None if it is for none.
    pub(super) fn heard_watch(&mut self, number: PortNumber, frame: &[u8], now: u64) -> Option<Effects> {
        let watch = self.watched.get_mut(&number)?;
        let mut effects = Effects::default();
        if let Some(session) = &mut watch.bfd {
            let heard = session.receive(frame, self.options.address, now);
            if heard.taken {
                effects.send.extend(heard.send.map(|frame| (number, frame)));
                return Some(effects);
            }
        }
        watch.cfm.as_mut()?.receive(frame, now).then_some(effects)
    }
}
