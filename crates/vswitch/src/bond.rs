//! Bonds: several ports as one.
//!
//! What: a [`Bond`] knows which of its members take frames and which send. With [`Mode::Lacp`] the protocol decides
//! ([`crate::lacp`]), with [`Mode::ActiveBackup`] one member at a time does both, with [`Mode::Balance`] and
//! [`Mode::BalanceSlb`] all that are up.
//!
//! Invariants: a member that is down neither takes nor sends. With active-backup at most one member does, and it stays as
//! long as it is up, unless the preferred one comes back. A member that comes up counts after the up delay.
//!
//! Deliberately absent: which member a packet takes (`nf::Balance`).

use crate::lacp::{Group, LacpOptions, Mux, Output, PortState, Receive};
use netloom_mem::PortNumber;
use netloom_nf::{Balance, HashBy};
use netloom_table::Key;
use netloom_wire::MacAddr;
use netloom_wire::header::{lacp, marker};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// EtherType of LACP and markers.
pub(crate) const SLOW_PROTOCOLS: u16 = 0x8809;
/// Length of the shortest frame without its check sequence.
const ETHERNET: usize = 14;

/// How members share the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// As the protocol says.
    #[default]
    Lacp,
    /// One at a time.
    ActiveBackup,
    /// All that are up; the other side is set up likewise by hand.
    Balance,
    /// All that are up, each for senders of its own, to switches that know of no bond (source load balancing, as in
    /// ovs-vswitchd.conf.db(5)). One member takes frames for groups, which such switches send to all.
    BalanceSlb,
}

impl Mode {
    /// All, with their names.
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::Lacp, "lacp"),
        (Self::ActiveBackup, "active-backup"),
        (Self::Balance, "balance"),
        (Self::BalanceSlb, "balance-slb"),
    ];
}

/// Options of a bond.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BondOptions {
    /// How members share the work.
    pub mode: Mode,
    /// By which fields packets are spread.
    pub hash: HashBy,
    /// With LACP: we speak first.
    pub active: bool,
    /// With LACP: we want to hear every second.
    pub fast: bool,
    /// With LACP: smaller decides.
    pub system_priority: u16,
    /// With LACP: while no partner speaks, one member carries frames as with active-backup.
    pub fallback: bool,
    /// The member that is preferred.
    pub primary: Option<PortNumber>,
    /// Nanoseconds that a member must have been up before it counts.
    pub up_delay: u64,
    /// With fewer members than these the bond is down.
    pub least: usize,
}

impl Default for BondOptions {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            hash: HashBy::default(),
            active: true,
            fast: false,
            system_priority: 32768,
            fallback: false,
            primary: None,
            up_delay: 0,
            least: 1,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Member {
    up: bool,
    /// It counts from then on.
    ready: u64,
    /// Somebody wants it not to be used.
    #[serde(default)]
    shut: bool,
}

/// What happened at a member by LACP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LacpCounts {
    /// Units that were sent.
    pub sent: u64,
    /// Units that were heard.
    pub heard: u64,
    /// Frames of the protocol that could not be read.
    pub bad: u64,
    /// How often what was heard became too old.
    pub expired: u64,
    /// How often the partner was given up.
    pub defaulted: u64,
    /// How often the link went up or down.
    pub links: u64,
}

/// A member as others see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberState {
    /// Its link is up.
    pub up: bool,
    /// Frames that come through it are taken.
    pub takes: bool,
    /// Frames leave by it.
    pub sends: bool,
    /// What the protocol knows; none without LACP.
    pub lacp: Option<PortState>,
}

/// What a bond knows and was not told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct BondState {
    members: BTreeMap<PortNumber, Member>,
    group: Option<Group>,
    single: Option<PortNumber>,
    last: (Vec<PortNumber>, Vec<PortNumber>),
}

/// Several ports as one.
#[derive(Debug)]
pub struct Bond {
    options: BondOptions,
    members: BTreeMap<PortNumber, Member>,
    group: Option<Group>,
    /// The one that works, where only one does; the one that takes frames for groups, where only one does that.
    single: Option<PortNumber>,
    /// Who sends what, as the workers know it.
    balance: Balance,
    /// Those that took and sent when somebody asked last.
    last: (Vec<PortNumber>, Vec<PortNumber>),
    counts: BTreeMap<PortNumber, LacpCounts>,
    now: u64,
}

/// What changed at a bond.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BondEffects {
    /// Frames to send, by member.
    pub send: Vec<(PortNumber, Vec<u8>)>,
    /// Members that take frames now and did not before, or the other way round, or take other frames.
    pub taking: Vec<PortNumber>,
    /// The members that send, if they are others now.
    pub sending: Option<Vec<PortNumber>>,
}

impl Bond {
    /// A bond of some ports, whose links are down until [`Bond::link`] says otherwise. `key` tells its groups from those
    /// of other bonds of the same system.
    #[must_use]
    pub fn new(options: BondOptions, members: &[PortNumber], system: MacAddr, key: u16, now: u64) -> Self {
        let lacp = LacpOptions {
            system,
            system_priority: options.system_priority,
            key,
            active: options.active,
            fast: options.fast,
        };
        let mut group = (options.mode == Mode::Lacp).then(|| Group::new(lacp, now));
        if let Some(group) = &mut group {
            for member in members {
                group.add(*member, priority(&options, *member));
            }
        }
        let members = members.iter().map(|member| (*member, Member::default())).collect();
        let balance = Balance::new(options.hash);
        let last = (Vec::new(), Vec::new());
        Self { options, members, group, single: None, balance, last, counts: BTreeMap::new(), now }
    }

    /// Has other members from now on; those that stay are not disturbed. Who is new is down until [`Bond::link`] says
    /// otherwise.
    pub fn change(&mut self, members: &[PortNumber]) -> BondEffects {
        let mut output = Output::default();
        let gone: Vec<PortNumber> = self.members().filter(|member| !members.contains(member)).collect();
        for port in gone {
            self.members.remove(&port);
            output.send.extend(self.group.as_mut().map(|group| group.remove(port).send).unwrap_or_default());
        }
        for port in members {
            self.members.entry(*port).or_default();
            if let Some(group) = &mut self.group {
                group.add(*port, priority(&self.options, *port));
            }
        }
        self.conclude(output)
    }

    pub(crate) fn knowledge(&self) -> BondState {
        let Self { members, group, single, last, .. } = self;
        BondState { members: members.clone(), group: group.clone(), single: *single, last: last.clone() }
    }

    /// Goes on with what another bond with the same options knew; one that had other members is left alone.
    pub(crate) fn restore(&mut self, state: BondState) {
        let same_group = self.group.as_ref().map(Group::options) == state.group.as_ref().map(Group::options);
        if same_group && self.members.keys().eq(state.members.keys()) {
            let BondState { members, group, single, last } = state;
            (self.members, self.group, self.single, self.last) = (members, group, single, last);
            self.balance.set(&self.last.1);
        }
    }

    /// Its options.
    #[must_use]
    pub const fn options(&self) -> &BondOptions {
        &self.options
    }

    /// What its members say of themselves by LACP; none without it.
    #[must_use]
    pub fn lacp(&self) -> Option<&LacpOptions> {
        self.group.as_ref().map(Group::options)
    }

    /// Its members.
    pub fn members(&self) -> impl Iterator<Item = PortNumber> + use<'_> {
        self.members.keys().copied()
    }

    /// Whether some port is a member.
    #[must_use]
    pub fn has(&self, port: PortNumber) -> bool {
        self.members.contains_key(&port)
    }

    /// A member as it is.
    #[must_use]
    pub fn state(&self, port: PortNumber) -> Option<MemberState> {
        let member = self.members.get(&port)?;
        let lacp = self.group.as_ref().and_then(|group| group.state(port));
        Some(MemberState { up: member.up, takes: self.takes(port), sends: self.last.1.contains(&port), lacp })
    }

    /// Whether frames that come through a member are taken.
    #[must_use]
    pub fn takes(&self, port: PortNumber) -> bool {
        self.last.0.contains(&port)
    }

    /// Whether frames for groups that come through a member are taken.
    #[must_use]
    pub fn takes_groups(&self, port: PortNumber) -> bool {
        self.takes(port) && (self.options.mode != Mode::BalanceSlb || self.single == Some(port))
    }

    /// The member that sends packets like this one.
    #[must_use]
    pub fn sender(&self, key: &Key) -> Option<PortNumber> {
        self.balance.pick(key)
    }

    /// The members that send; none while there are fewer than the least number.
    #[must_use]
    pub fn senders(&self) -> &[PortNumber] {
        &self.last.1
    }

    /// The link of a member is up or down.
    pub fn link(&mut self, port: PortNumber, up: bool) -> BondEffects {
        let now = self.now;
        let delay = self.options.up_delay;
        let mut output = Output::default();
        if let Some(member) = self.members.get_mut(&port).filter(|member| member.up != up) {
            *member = Member { up, ready: now + delay, ..*member };
            self.counts.entry(port).or_default().links += 1;
            if delay == 0 || !up {
                output = self.group.as_mut().map(|group| group.link(port, up)).unwrap_or_default();
            }
        }
        self.conclude(output)
    }

    /// Has a member be used or not, whatever its link says.
    pub fn enable(&mut self, port: PortNumber, enabled: bool) -> BondEffects {
        if let Some(member) = self.members.get_mut(&port) {
            member.shut = !enabled;
        }
        self.conclude(Output::default())
    }

    /// Has a member be the one that works, or takes frames for groups, where only one does, until it can't.
    pub fn prefer(&mut self, port: PortNumber) -> BondEffects {
        let before = self.single.replace(port);
        let mut effects = self.conclude(Output::default());
        effects.taking.extend(before);
        effects.taking.push(port);
        effects
    }

    /// The member that works, or takes frames for groups, where only one does.
    #[must_use]
    pub const fn active(&self) -> Option<PortNumber> {
        self.single
    }

    /// What happened at a member by LACP.
    #[must_use]
    pub fn lacp_counts(&self, port: PortNumber) -> LacpCounts {
        self.counts.get(&port).copied().unwrap_or_default()
    }

    /// Time has passed.
    pub fn tick(&mut self, now: u64) -> BondEffects {
        self.now = self.now.max(now);
        let now = self.now;
        let mut output = Output::default();
        if let Some(group) = &mut self.group {
            let states = |group: &Group| -> Vec<_> {
                self.members.keys().map(|port| group.state(*port).map(|state| state.receive)).collect()
            };
            let before = states(group);
            output = group.tick(now);
            for ((port, before), after) in self.members.keys().zip(before).zip(states(group)) {
                let counts = self.counts.entry(*port).or_default();
                counts.expired += u64::from(before != after && after == Some(Receive::Expired));
                counts.defaulted += u64::from(before != after && after == Some(Receive::Defaulted));
            }
            for (port, member) in &self.members {
                if member.up && now >= member.ready {
                    output.send.extend(group.link(*port, true).send);
                }
            }
        }
        self.conclude(output)
    }

    /// A frame of LACP or a marker came through a member.
    pub fn heard(&mut self, port: PortNumber, frame: &[u8], own: MacAddr) -> BondEffects {
        let Some(unit) = frame.get(ETHERNET..) else { return BondEffects::default() };
        let mut output = Output::default();
        let mut answer = None;
        match unit.first() {
            Some(&lacp::SUBTYPE) => {
                let view = lacp::View::new_checked(unit).ok();
                let said = view.and_then(|view| lacp::Repr::parse(&view).ok());
                let counts = self.counts.entry(port).or_default();
                counts.heard += 1;
                counts.bad += u64::from(said.is_none());
                if let (Some(group), Some(said)) = (&mut self.group, said) {
                    output = group.receive(port, &said);
                }
            }
            // Whoever asks whether all is through that was sent before learns that it is (6.5).
            Some(&marker::SUBTYPE) => {
                let view = marker::View::new_checked(unit).ok();
                let said = view.and_then(|view| marker::Repr::parse(&view).ok());
                answer = said
                    .filter(|said| !said.is_response)
                    .map(|said| marker::Repr { is_response: true, ..said });
            }
            _ => {}
        }
        let mut effects = self.conclude(output);
        if let Some(answer) = answer {
            let mut frame = head(own);
            frame.resize(ETHERNET + answer.buffer_len(), 0);
            if answer.emit(frame.get_mut(ETHERNET..).unwrap_or(&mut [])).is_ok() {
                effects.send.push((port, frame));
            }
        }
        effects
    }

    /// Frames of the protocol's units, and what is different since the last time.
    fn conclude(&mut self, output: Output) -> BondEffects {
        let own = self.group.as_ref().map_or(MacAddr::new([0; 6]), |group| group.options().system);
        let mut effects = BondEffects::default();
        for (port, unit) in output.send {
            self.counts.entry(port).or_default().sent += 1;
            let mut frame = head(own);
            frame.resize(ETHERNET + unit.buffer_len(), 0);
            if unit.emit(frame.get_mut(ETHERNET..).unwrap_or(&mut [])).is_ok() {
                effects.send.push((port, frame));
            }
        }
        let single = self.single;
        let (takers, mut senders) = self.work();
        if senders.len() < self.options.least {
            senders.clear();
        }
        let was = std::mem::replace(&mut self.last, (takers, senders));
        let differs = |port: &PortNumber| was.0.contains(port) != self.last.0.contains(port);
        effects.taking = self.members.keys().copied().filter(differs).collect();
        if self.single != single {
            effects.taking.extend(single.into_iter().chain(self.single));
        }
        if was.1 != self.last.1 {
            self.balance.set(&self.last.1);
            effects.sending = Some(self.last.1.clone());
        }
        effects
    }

    /// Who takes and who sends.
    fn work(&mut self) -> (Vec<PortNumber>, Vec<PortNumber>) {
        let now = self.now;
        let ready: Vec<PortNumber> = self
            .members
            .iter()
            .filter(|(_, member)| member.up && !member.shut && now >= member.ready)
            .map(|(port, _)| *port)
            .collect();
        match &self.group {
            Some(group) if group.hears_somebody() || !self.options.fallback => {
                let from = |least: Mux| {
                    let far = |port: &PortNumber| group.state(*port).is_some_and(|state| state.mux >= least);
                    ready.iter().copied().filter(far).collect()
                };
                self.single = None;
                (from(Mux::Collecting), from(Mux::Distributing))
            }
            None if self.options.mode == Mode::Balance => (ready.clone(), ready),
            _ => {
                let primary = self.options.primary.filter(|primary| ready.contains(primary));
                let stays = self.single.filter(|single| ready.contains(single));
                self.single = primary.or(stays).or(ready.first().copied());
                if self.options.mode == Mode::BalanceSlb {
                    return (ready.clone(), ready);
                }
                let one: Vec<PortNumber> = self.single.into_iter().collect();
                (one.clone(), one)
            }
        }
    }
}

/// The priority of a member in LACP: the preferred one has the better.
fn priority(options: &BondOptions, member: PortNumber) -> u16 {
    if options.primary == Some(member) { 128 } else { 255 }
}

/// The head of a frame of a slow protocol.
fn head(own: MacAddr) -> Vec<u8> {
    let mut frame = Vec::with_capacity(ETHERNET + lacp::UNIT_LEN);
    frame.extend(lacp::SLOW_PROTOCOLS_ADDRESS.octets());
    frame.extend(own.octets());
    frame.extend(SLOW_PROTOCOLS.to_be_bytes());
    frame
}
