//! Link aggregation control (IEEE 802.1AX-2014, clause 6.4), as machines without time and wires of their own.
//!
//! ```text
//! receive(port, unit) ─┐
//! link(port, up)      ─┼─> receive, periodic, selection, mux, transmit -> Output: units to send, whether something changed
//! tick(now)           ─┘                                                  state(port): collecting, distributing
//! ```
//!
//! What: one [`Group`] is one aggregator. Ports that hear the same partner with the same key are candidates; the largest
//! such set is selected and stays so as long as one of its ports is left. Names are those of the standard in our
//! spelling; collecting and distributing are controlled independently.
//!
//! Invariants: a port distributes only while it is selected and its partner is in step and collects; it collects only
//! while it is selected and its partner is in step. No more than [`MOST_UNITS`] units leave a port in a second.
//!
//! Deliberately absent: several aggregators for one key, churn detection, versions 2 and its conversations.

use netloom_mem::PortNumber;
use netloom_wire::MacAddr;
use netloom_wire::header::lacp::{Partner, Repr, State as Flags};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const SECOND: u64 = 1_000_000_000;
/// `Fast_Periodic_Time` and `Slow_Periodic_Time` (6.4.4).
const FAST: u64 = SECOND;
const SLOW: u64 = 30 * SECOND;
/// `Short_Timeout_Time` and `Long_Timeout_Time`.
const SHORT_TIMEOUT: u64 = 3 * SECOND;
const LONG_TIMEOUT: u64 = 90 * SECOND;
/// `Aggregate_Wait_Time`.
const WAIT: u64 = 2 * SECOND;
/// Units in a second (6.4.16).
pub const MOST_UNITS: u8 = 3;
/// What of a state says who a port is, not how it is.
const ACTIVITY_TIMEOUT_SYNC_AGGREGATION: u8 = 0x0f;

/// Options of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LacpOptions {
    /// Who we are.
    pub system: MacAddr,
    /// Smaller decides.
    pub system_priority: u16,
    /// The same at all ports of the group, another for each group.
    pub key: u16,
    /// We speak first.
    pub active: bool,
    /// We want to hear every second, not every thirty.
    pub fast: bool,
}

/// The receive machine's states (6.4.12).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Receive {
    /// The link is down.
    Disabled,
    /// What was heard is too old, and is hoped for.
    Expired,
    /// Nobody speaks.
    Defaulted,
    /// The partner is heard.
    Current,
}

/// The mux machine's states (6.4.15).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Mux {
    /// Not part of the group.
    Detached,
    /// About to be, once others had time to join.
    Waiting,
    /// Part of it, and in step.
    Attached,
    /// Takes frames.
    Collecting,
    /// Takes and sends frames.
    Distributing,
}

/// A port as others see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortState {
    /// What is known of the partner.
    pub receive: Receive,
    /// How far the port has come.
    pub mux: Mux,
    /// What we say of ourselves.
    pub actor: Partner,
    /// What the partner says of itself; assumed values while nobody speaks.
    pub partner: Partner,
}

/// What came of an event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Output {
    /// Units to send.
    pub send: Vec<(PortNumber, Repr)>,
    /// A port collects or distributes, or does so no more.
    pub changed: bool,
}

/// Nobody: what a partner is taken for that is not heard.
const NOBODY: Partner = Partner {
    system_priority: 0,
    system: MacAddr::new([0; 6]),
    key: 0,
    port_priority: 0,
    port: 0,
    state: Flags(0),
};

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Port {
    up: bool,
    priority: u16,
    receive: Receive,
    mux: Mux,
    selected: bool,
    partner: Partner,
    /// Bits of our state beside those that follow from the options and the mux.
    expired: bool,
    defaulted: bool,
    /// `current_while_timer`, `periodic_timer` and `wait_while_timer`: when they end.
    current_until: u64,
    periodic_at: u64,
    wait_until: u64,
    /// `NTT`.
    need_to_transmit: bool,
    /// Units in the second that began then.
    window: u64,
    sent: u8,
}

impl Port {
    const fn new(priority: u16) -> Self {
        Self {
            up: false,
            priority,
            receive: Receive::Disabled,
            mux: Mux::Detached,
            selected: false,
            partner: NOBODY,
            expired: false,
            defaulted: true,
            current_until: 0,
            periodic_at: 0,
            wait_until: 0,
            need_to_transmit: false,
            window: 0,
            sent: 0,
        }
    }

    const fn partner_says(&self, flag: Flags) -> bool {
        self.partner.state.contains(flag)
    }

    /// Who the partner is, for those that can be joined: system and key; a port that wants to be alone is itself a group.
    fn lag(&self) -> Option<(u16, MacAddr, u16, Option<u16>)> {
        let heard = self.up && matches!(self.receive, Receive::Current | Receive::Expired) && !self.defaulted;
        let alone = !self.partner_says(Flags::AGGREGATION);
        let Partner { system_priority, system, key, port, .. } = self.partner;
        heard.then_some((system_priority, system, key, alone.then_some(port)))
    }
}

/// One aggregator with its ports.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Group {
    options: LacpOptions,
    ports: BTreeMap<PortNumber, Port>,
    now: u64,
    /// A port that collected does so no more, since the last run.
    changed: bool,
}

/// Whether two say the same about who a port is.
fn same(one: &Partner, other: &Partner) -> bool {
    let who = |of: &Partner| {
        let aggregation = of.state.contains(Flags::AGGREGATION);
        (of.system_priority, of.system, of.key, of.port_priority, of.port, aggregation)
    };
    who(one) == who(other)
}

impl Group {
    /// A group without ports.
    #[must_use]
    pub const fn new(options: LacpOptions, now: u64) -> Self {
        Self { options, ports: BTreeMap::new(), now, changed: false }
    }

    /// Its options.
    #[must_use]
    pub const fn options(&self) -> &LacpOptions {
        &self.options
    }

    /// Adds a port, whose link is down until [`Group::link`] says otherwise, or changes its priority.
    pub fn add(&mut self, number: PortNumber, priority: u16) {
        self.ports.entry(number).or_insert_with(|| Port::new(priority)).priority = priority;
    }

    /// Takes a port away.
    pub fn remove(&mut self, number: PortNumber) -> Output {
        let gone = self.ports.remove(&number);
        self.changed |= gone.is_some_and(|port| port.mux >= Mux::Collecting);
        self.run()
    }

    /// A port as it is.
    #[must_use]
    pub fn state(&self, number: PortNumber) -> Option<PortState> {
        let port = self.ports.get(&number)?;
        let actor = self.actor(number, port);
        Some(PortState { receive: port.receive, mux: port.mux, actor, partner: port.partner })
    }

    /// Whether any partner is heard.
    #[must_use]
    pub fn hears_somebody(&self) -> bool {
        self.ports.values().any(|port| port.lag().is_some())
    }

    /// The link of a port is up or down.
    pub fn link(&mut self, number: PortNumber, up: bool) -> Output {
        let Some(port) = self.ports.get_mut(&number).filter(|port| port.up != up) else {
            return Output::default();
        };
        port.up = up;
        if up {
            // PORT_DISABLED to EXPIRED.
            expire(port, self.now);
            // NO_PERIODIC to FAST_PERIODIC.
            port.periodic_at = self.now;
        } else {
            port.receive = Receive::Disabled;
            port.partner.state.0 &= !Flags::SYNCHRONIZATION.0;
        }
        self.run()
    }

    /// A unit came.
    pub fn receive(&mut self, number: PortNumber, unit: &Repr) -> Output {
        let now = self.now;
        let options = self.options;
        let Some(port) = self.ports.get(&number).filter(|port| port.up) else { return Output::default() };
        // A cable that leads back to us joins nothing.
        if unit.actor.system == options.system {
            return Output::default();
        }
        let own = self.actor(number, port);
        let Some(port) = self.ports.get_mut(&number) else { return Output::default() };
        // update_Selected.
        if !same(&unit.actor, &port.partner) {
            self.changed |= detach(port);
        }
        // update_NTT: does the partner know us as we are?
        let bits = |state: Flags| state.0 & ACTIVITY_TIMEOUT_SYNC_AGGREGATION;
        if !same(&unit.partner, &own) || bits(unit.partner.state) != bits(own.state) {
            port.need_to_transmit = true;
        }
        // recordPDU.
        let actor = unit.actor;
        let speaks = actor.state.contains(Flags::ACTIVITY)
            || options.active && unit.partner.state.contains(Flags::ACTIVITY);
        let knows_us = same(&unit.partner, &own) || !actor.state.contains(Flags::AGGREGATION);
        let in_step = actor.state.contains(Flags::SYNCHRONIZATION) && knows_us && speaks;
        port.partner = actor;
        if !in_step {
            port.partner.state.0 &= !Flags::SYNCHRONIZATION.0;
        }
        port.receive = Receive::Current;
        (port.defaulted, port.expired) = (false, false);
        port.current_until = now + if options.fast { SHORT_TIMEOUT } else { LONG_TIMEOUT };
        self.run()
    }

    /// Time has passed.
    pub fn tick(&mut self, now: u64) -> Output {
        self.now = self.now.max(now);
        let now = self.now;
        for port in self.ports.values_mut().filter(|port| port.up) {
            if now < port.current_until {
                continue;
            }
            match port.receive {
                Receive::Current => expire(port, now),
                Receive::Expired => {
                    // update_Default_Selected and recordDefault.
                    if !same(&port.partner, &NOBODY) {
                        self.changed |= detach(port);
                    }
                    port.receive = Receive::Defaulted;
                    port.partner = NOBODY;
                    (port.defaulted, port.expired) = (true, false);
                }
                Receive::Disabled | Receive::Defaulted => {}
            }
        }
        self.run()
    }

    /// What we say of ourselves at a port.
    fn actor(&self, number: PortNumber, port: &Port) -> Partner {
        let LacpOptions { system, system_priority, key, active, fast } = self.options;
        let flags = [
            (active, Flags::ACTIVITY),
            (fast, Flags::SHORT_TIMEOUT),
            (true, Flags::AGGREGATION),
            (port.mux >= Mux::Attached, Flags::SYNCHRONIZATION),
            (port.mux >= Mux::Collecting, Flags::COLLECTING),
            (port.mux >= Mux::Distributing, Flags::DISTRIBUTING),
            (port.defaulted, Flags::DEFAULTED),
            (port.expired, Flags::EXPIRED),
        ];
        let state = flags
            .into_iter()
            .filter(|(on, _)| *on)
            .fold(Flags::default(), |state, (_, flag)| state.with(flag));
        // Numbers of ports are less than 2^16; zero would be none.
        Partner { system_priority, system, key, port_priority: port.priority, port: number as u16, state }
    }

    /// Selection, mux, periodic and transmission.
    fn run(&mut self) -> Output {
        let mut output = Output { changed: std::mem::take(&mut self.changed), ..Output::default() };
        self.select();
        let now = self.now;
        let numbers: Vec<PortNumber> = self.ports.keys().copied().collect();
        // Each round moves each port one state on or back; there are five.
        for _ in 0..5 {
            // Ready: nobody who waits has still to wait.
            let ready = self
                .ports
                .values()
                .filter(|port| port.mux == Mux::Waiting && port.selected)
                .all(|port| now >= port.wait_until);
            let mut moved = false;
            for port in self.ports.values_mut() {
                let next = step(port, ready);
                if next == port.mux {
                    continue;
                }
                moved = true;
                output.changed |= next.max(port.mux) >= Mux::Collecting;
                if next == Mux::Waiting {
                    port.wait_until = now + WAIT;
                } else {
                    port.need_to_transmit = true;
                }
                port.mux = next;
            }
            if !moved {
                break;
            }
        }
        for number in numbers {
            self.transmit(number, &mut output);
        }
        output
    }

    /// Chooses the partner, and the ports that lead to it.
    fn select(&mut self) {
        let mut candidates: BTreeMap<_, (usize, usize, PortNumber)> = BTreeMap::new();
        for (number, port) in &self.ports {
            if let Some(lag) = port.lag() {
                let (chosen, count, _) = candidates.entry(lag).or_insert((0, 0, *number));
                *chosen += usize::from(port.selected);
                *count += 1;
            }
        }
        // The one that is chosen stays; else the most ports, else the first.
        let best = candidates.into_iter().max_by_key(|(_, (chosen, count, first))| {
            (*chosen > 0, *chosen, *count, std::cmp::Reverse(*first))
        });
        let best = best.map(|(lag, _)| lag);
        for port in self.ports.values_mut() {
            port.selected = best.is_some() && port.lag() == best;
        }
    }

    fn transmit(&mut self, number: PortNumber, output: &mut Output) {
        let (now, active) = (self.now, self.options.active);
        let Some(port) = self.ports.get_mut(&number) else { return };
        if !port.up || !active && !port.partner_says(Flags::ACTIVITY) {
            port.need_to_transmit = false;
            return;
        }
        let pause = if port.partner_says(Flags::SHORT_TIMEOUT) { FAST } else { SLOW };
        // A partner that wants to hear more often is not kept waiting for the slow time's end.
        port.periodic_at = port.periodic_at.min(now + pause);
        if now >= port.periodic_at {
            port.need_to_transmit = true;
            port.periodic_at = now + pause;
        }
        if now >= port.window + FAST {
            (port.window, port.sent) = (now, 0);
        }
        if !port.need_to_transmit || port.sent >= MOST_UNITS {
            return;
        }
        port.need_to_transmit = false;
        port.sent += 1;
        let Some(port) = self.ports.get(&number) else { return };
        let unit = Repr { version: 1, actor: self.actor(number, port), partner: port.partner, max_delay: 0 };
        output.send.push((number, unit));
    }
}

/// UNSELECTED, and what follows: the port has another partner, and begins anew. Whether it collected before.
fn detach(port: &mut Port) -> bool {
    let before = std::mem::replace(&mut port.mux, Mux::Detached);
    port.selected = false;
    port.need_to_transmit = true;
    before >= Mux::Collecting
}

/// To EXPIRED.
fn expire(port: &mut Port, now: u64) {
    port.receive = Receive::Expired;
    port.partner.state.0 &= !Flags::SYNCHRONIZATION.0;
    port.partner.state.0 |= Flags::SHORT_TIMEOUT.0;
    port.expired = true;
    port.current_until = now + SHORT_TIMEOUT;
}

/// The next state of the mux machine.
fn step(port: &Port, ready: bool) -> Mux {
    let in_step = port.selected && port.partner_says(Flags::SYNCHRONIZATION);
    let collects = in_step && port.partner_says(Flags::COLLECTING);
    match port.mux {
        Mux::Detached if port.selected => Mux::Waiting,
        Mux::Waiting | Mux::Attached if !port.selected => Mux::Detached,
        Mux::Waiting if ready => Mux::Attached,
        Mux::Attached if in_step => Mux::Collecting,
        Mux::Collecting if !in_step => Mux::Attached,
        Mux::Collecting if collects => Mux::Distributing,
        Mux::Distributing if !collects => Mux::Collecting,
        same => same,
    }
}

#[cfg(test)]
mod tests;
