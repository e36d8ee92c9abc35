//! Connectivity faults (IEEE 802.1ag, clause 20), as a machine without time and wires of its own.
//!
//! ```text
//! receive(frame, now)        ─┐
//! tick(now, packets counted) ─┼─> Monitor -> a frame to send; faults, health, who else is there
//! set(options, now)          ─┘
//! ```
//!
//! What: a [`Monitor`] is one maintenance point at one port. It sends a continuity check message each interval, and three and
//! a half intervals without one from somebody who was there are a fault. Beside the standard it has what Open vSwitch has
//! (`ovs-vswitchd.conf.db(5)`, "Connectivity Fault Management"): extended mode (names of 64 bits, any interval, a state of
//! operation), demand mode (other packets are a sign of life), health in percent.
//!
//! Invariants: at most [`MOST`] other points are remembered. Nothing is sent because something came. Time is an argument;
//! [`Monitor::due`] says when it must be given next.
//!
//! Deliberately absent: loopback and link trace messages, maintenance levels other than 0, names of associations other than
//! that of Open vSwitch.

mod frame;

pub use frame::{ETHER_TYPE, is_ccm};

use frame::Message;
use netloom_wire::MacAddr;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const MILLISECOND: u64 = 1_000_000;
/// Other points that are remembered.
pub const MOST: usize = 256;
/// Looks for faults between two of which health is reckoned anew, and how many messages should come meanwhile at least: they
/// are 21 intervals, and more in demand mode.
const HEALTH: u8 = 6;
const EXPECTED: u64 = 21;
/// In demand mode a fault is looked for no more often than for this interval.
const DEMAND_LEAST: u64 = 500 * MILLISECOND;
/// In demand mode one message must come in so many intervals.
const DEMAND: u64 = 100;
/// Intervals of the standard with their numbers (table 21-16), in nanoseconds.
const INTERVALS: [(u8, u64); 7] = [
    (1, 3_333_333),
    (2, 10 * MILLISECOND),
    (3, 100 * MILLISECOND),
    (4, 1_000 * MILLISECOND),
    (5, 10_000 * MILLISECOND),
    (6, 60_000 * MILLISECOND),
    (7, 600_000 * MILLISECOND),
];

/// Options of a monitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CfmOptions {
    /// Its name. Legal values: 1 to 8191, in extended mode 1 to 2^64-1.
    pub mpid: u64,
    /// Nanoseconds between two messages; without extended mode the next shorter one of the standard.
    pub interval: u64,
    /// Open vSwitch's own messages.
    pub extended: bool,
    /// Other packets are a sign of life, in extended mode.
    pub demand: bool,
    /// What is behind this end works: others are told, in extended mode.
    pub works: bool,
    /// VLAN of messages; 0 for no tag, or one with a priority alone.
    pub vlan: u16,
    /// Priority in the tag. Legal values: 0 to 7.
    pub priority: u8,
}

impl CfmOptions {
    /// A monitor of this name, with what Open vSwitch has by default.
    #[must_use]
    pub const fn new(mpid: u64) -> Self {
        Self {
            mpid,
            interval: 1000 * MILLISECOND,
            extended: false,
            demand: false,
            works: true,
            vlan: 0,
            priority: 0,
        }
    }

    /// The interval that is kept, with its number in messages of the standard; 0 in extended mode.
    fn kept_interval(&self) -> (u8, u64) {
        if self.extended {
            return (0, self.interval.clamp(MILLISECOND, 65_535 * MILLISECOND));
        }
        let fits = INTERVALS.iter().rev().find(|(_, interval)| *interval <= self.interval);
        fits.copied().unwrap_or((1, 3_333_333))
    }
}

/// Why there is a fault (`cfm_fault_status` in ovs-vswitchd.conf.db(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Fault {
    /// Nothing is heard of somebody who was there, or of nobody.
    Recv,
    /// Another point says that it hears nothing.
    Rdi,
    /// Messages of another association come.
    Maid,
    /// Our own messages come.
    Loopback,
    /// There are more points than are remembered.
    Overflow,
    /// Somebody says so.
    Override,
}

impl Fault {
    /// All, with their names.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::Recv, "recv"),
        (Self::Rdi, "rdi"),
        (Self::Maid, "maid"),
        (Self::Loopback, "loopback"),
        (Self::Overflow, "overflow"),
        (Self::Override, "override"),
    ];

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Faults, a bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Faults(u8);

impl Faults {
    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The names of those that there are.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Fault::ALL.into_iter().filter(move |(fault, _)| self.0 & fault.bit() != 0).map(|(_, name)| name)
    }

    const fn add(&mut self, fault: Fault) {
        self.0 |= fault.bit();
    }
}

/// Another point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Point {
    /// It was heard since faults were looked for last.
    heard: bool,
    /// It says that it does not hear everybody.
    rdi: bool,
    /// What is behind it works.
    works: bool,
    /// Number of its last message; 0 for none that counts.
    number: u32,
    /// The last one followed the one before it.
    in_order: bool,
}

/// A maintenance point.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Monitor {
    options: CfmOptions,
    points: BTreeMap<u64, Point>,
    faults: Faults,
    /// What came since faults were looked for last that should not.
    wrong: Faults,
    forced: Option<bool>,
    flaps: u64,
    /// Number of our next message.
    number: u32,
    tx_at: u64,
    check_at: u64,
    /// Looks for faults since health was reckoned.
    looks: u8,
    /// Sound messages since then.
    sound: u32,
    health: Option<u8>,
    /// What points said of being at work, together.
    remote_works: bool,
    /// Packets that the port had counted at the last look, those of ours since, and now.
    counted: u64,
    own: u64,
    packets: u64,
    /// In demand mode: until when the last message makes other packets a sign of life.
    demand_until: u64,
}

/// How a monitor is. Times in nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CfmStatus {
    /// Its name.
    pub mpid: u64,
    /// It sends Open vSwitch's own messages.
    pub extended: bool,
    /// Somebody says whether there is a fault.
    pub forced: bool,
    /// There is one.
    pub fault: bool,
    /// Why.
    pub faults: Faults,
    /// How often that changed.
    pub flaps: u64,
    /// Sound messages in a hundred that should have come; none while that is not known.
    pub health: Option<u8>,
    /// What is behind this end works.
    pub works: bool,
    /// What is behind all others works.
    pub remote_works: bool,
    /// Between two messages.
    pub interval: u64,
    /// When the next message is sent.
    pub tx_at: u64,
    /// When faults are looked for next.
    pub check_at: u64,
    /// Other points: name, heard lately, at work.
    pub points: Vec<(u64, bool, bool)>,
}

impl Monitor {
    /// A monitor that has heard nobody, and says so only after the first look.
    #[must_use]
    pub fn new(options: CfmOptions, now: u64) -> Self {
        let mut monitor = Self {
            options,
            points: BTreeMap::new(),
            faults: Faults::default(),
            wrong: Faults::default(),
            forced: None,
            flaps: 0,
            number: 1,
            tx_at: now,
            check_at: now,
            looks: 0,
            sound: 0,
            health: None,
            remote_works: true,
            counted: 0,
            own: 0,
            packets: 0,
            demand_until: 0,
        };
        monitor.begin(now);
        monitor
    }

    fn begin(&mut self, now: u64) {
        self.tx_at = now;
        self.check_at = now.saturating_add(self.check_interval());
        (self.looks, self.sound) = (0, 0);
    }

    /// Its options.
    #[must_use]
    pub const fn options(&self) -> &CfmOptions {
        &self.options
    }

    /// Changes its options.
    pub fn set(&mut self, options: CfmOptions, now: u64) {
        let old = std::mem::replace(&mut self.options, options);
        if old.extended != options.extended || old.mpid != options.mpid {
            // Names mean something else.
            self.points.clear();
        }
        if old.kept_interval() != options.kept_interval() || old.demand != options.demand {
            self.begin(now);
        }
    }

    /// Has there be a fault, or none, whatever is so; with none what is so.
    pub const fn force(&mut self, fault: Option<bool>) {
        self.forced = fault;
    }

    /// Whether it wants to know how many packets the port received.
    #[must_use]
    pub const fn counts(&self) -> bool {
        self.options.demand && self.options.extended
    }

    /// When [`Monitor::tick`] is to be called next.
    #[must_use]
    pub fn due(&self) -> u64 {
        self.tx_at.min(self.check_at)
    }

    /// Whether the link is to be used.
    #[must_use]
    pub fn works(&self) -> bool {
        !self.has_fault() && self.remote_works
    }

    fn has_fault(&self) -> bool {
        self.forced.unwrap_or(!self.faults.is_empty())
    }

    /// Between two looks for faults: three and a half intervals (20.14.2).
    fn check_interval(&self) -> u64 {
        let (_, interval) = self.options.kept_interval();
        let interval = if self.counts() { interval.max(DEMAND_LEAST) } else { interval };
        interval.saturating_mul(7) / 2
    }

    /// How it is.
    #[must_use]
    pub fn status(&self) -> CfmStatus {
        let mut faults = self.faults;
        match self.forced {
            Some(true) => faults.add(Fault::Override),
            Some(false) => faults = Faults::default(),
            None => {}
        }
        CfmStatus {
            mpid: self.options.mpid,
            extended: self.options.extended,
            forced: self.forced.is_some(),
            fault: self.has_fault(),
            faults,
            flaps: self.flaps,
            health: self.health,
            works: self.options.works,
            remote_works: self.remote_works,
            interval: self.options.kept_interval().1,
            tx_at: self.tx_at,
            check_at: self.check_at,
            points: self.points.iter().map(|(name, point)| (*name, point.heard, point.works)).collect(),
        }
    }

    /// A frame came through the port; whether it was one of this association or of one like it.
    pub fn receive(&mut self, frame: &[u8], now: u64) -> bool {
        let Some(message) = frame::read(frame, self.options.extended) else { return false };
        self.own += 1;
        if !message.ours {
            self.wrong.add(Fault::Maid);
            return true;
        }
        if message.mpid == self.options.mpid {
            self.wrong.add(Fault::Loopback);
            return true;
        }
        let (_, interval) = self.options.kept_interval();
        self.demand_until = now.saturating_add(interval.saturating_mul(DEMAND));
        let full = self.points.len() >= MOST;
        let new = Point { heard: false, rdi: false, works: true, number: 0, in_order: true };
        let point = match self.points.get_mut(&message.mpid) {
            Some(point) => point,
            None if full => {
                self.wrong.add(Fault::Overflow);
                return true;
            }
            None => self.points.entry(message.mpid).or_insert(new),
        };
        point.in_order =
            point.number == 0 || message.number == 0 || message.number == point.number.wrapping_add(1);
        (point.heard, point.rdi, point.works) = (true, message.rdi, message.works);
        point.number = message.number;
        if point.in_order && !message.rdi {
            self.sound = self.sound.saturating_add(1);
        }
        true
    }

    /// Time has passed. `packets` is how many packets the port received since it was opened, of any kind: only needed
    /// if it [counts](Monitor::counts).
    pub fn tick(&mut self, packets: u64, address: MacAddr, now: u64) -> Option<Vec<u8>> {
        self.packets = packets;
        if self.check_at <= now {
            self.check(now);
        }
        if self.tx_at > now {
            return None;
        }
        let (code, interval) = self.options.kept_interval();
        self.tx_at = now.saturating_add(interval);
        let number = self.number;
        // Zero says that messages are not numbered.
        self.number = self.number.wrapping_add(1).max(1);
        // What others say of not hearing is no reason to say so oneself, or both would for ever (20.9.6).
        let rdi = self.faults.0 & !Fault::Rdi.bit() != 0;
        let message = Message { number, mpid: self.options.mpid, rdi, works: self.options.works, ours: true };
        Some(frame::write(&message, &self.options, (code, interval), address))
    }

    /// Looks for faults.
    fn check(&mut self, now: u64) {
        let before = self.has_fault();
        self.faults = std::mem::take(&mut self.wrong);
        // In demand mode another packet counts as a message of the only other point.
        let others = self.packets.saturating_sub(self.counted).saturating_sub(self.own);
        (self.counted, self.own) = (self.packets, 0);
        let alive = self.counts() && self.points.len() == 1 && others > 0 && now < self.demand_until;
        self.looks += 1;
        if self.looks >= HEALTH {
            // Of one message it depends on chance in which of two spans it comes.
            let came = u64::from(self.sound) + u64::from(self.sound > 0);
            self.health = match self.points.len() {
                0 => Some(0),
                1 => Some((came.saturating_mul(100) / EXPECTED).min(100) as u8),
                // Of several points nobody could say whose health it is.
                _ => None,
            };
            (self.looks, self.sound) = (0, 0);
        }
        if self.points.is_empty() {
            self.faults.add(Fault::Recv);
        }
        let faults = &mut self.faults;
        self.points.retain(|_, point| {
            if !(point.heard || alive) {
                faults.add(Fault::Recv);
                return false;
            }
            if point.rdi {
                faults.add(Fault::Rdi);
            }
            point.heard = false;
            true
        });
        self.remote_works = self.points.values().all(|point| point.works);
        self.check_at = now.saturating_add(self.check_interval());
        if self.has_fault() != before {
            self.flaps += 1;
        }
    }
}

#[cfg(test)]
mod tests;
