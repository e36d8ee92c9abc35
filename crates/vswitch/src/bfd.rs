//! Bidirectional forwarding detection over one hop (RFC 5880, RFC 5881), as a machine without time and wires of its own.
//!
//! ```text
//! receive(frame, now)        ─┐
//! tick(now, packets counted) ─┼─> Session -> a frame to send; state, diagnostic, whether the link carries packets
//! set(options, now)          ─┘
//! ```
//!
//! What: a [`Session`] is one end of an asynchronous session at one port. Beside the RFC it has what Open vSwitch has
//! (`ovs-vswitchd.conf.db(5)`, "Bidirectional Forwarding Detection"): it hears less often while nothing else comes
//! (`decay_min_rx`), and may take any packet that comes as a sign that the link works (`forwarding_if_rx`).
//!
//! Invariants: memory is bounded by the session itself, whatever comes; for each packet that comes at most one is sent, and
//! beside those no more than one in [`LEAST_GAP`]. A session that is not up sends no faster than once a second.
//! Time is an argument; [`Session::due`] says when it must be given next, so that detection is as exact as whoever asks.
//!
//! Deliberately absent: echo, demand mode of our own (a peer's is heeded), authentication (packets that have it are
//! discarded, as RFC 5880 section 6.8.6 says), several hops.

mod frame;
mod status;

pub use frame::{PORT, is_bfd};
pub use status::{BfdStatus, EndStatus, diagnostic_name, state_name};

use netloom_wire::MacAddr;
use netloom_wire::header::bfd::{Diagnostic, Repr, State};
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

const MILLISECOND: u64 = 1_000_000;
/// What a session that is not up sends no faster than (RFC 5880, 6.8.3).
const SLOW: u64 = 1_000 * MILLISECOND;
/// Between two packets that nobody asked for.
pub const LEAST_GAP: u64 = 10 * MILLISECOND;
/// With [`BfdOptions::forwarding_if_rx`]: within so many intervals one packet of BFD must come.
const DEMAND: u64 = 100;
/// What Open vSwitch has as the destination of its packets.
pub const DESTINATION: MacAddr = MacAddr::new([0, 0x23, 0x20, 0, 0, 1]);

/// Options of a session. Times in nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BfdOptions {
    /// It sends no faster than this.
    pub min_tx: u64,
    /// It wants to hear no faster than this.
    pub min_rx: u64,
    /// The same while nothing but BFD comes; none, or less than `min_rx`, for no difference.
    pub decay_min_rx: Option<u64>,
    /// Any packet that comes is a sign of life.
    pub forwarding_if_rx: bool,
    /// Something behind this end does not work, which the peer is told.
    pub path_down: bool,
    /// Only packets with tunnel key 0 are of the session.
    pub check_tunnel_key: bool,
    /// How many packets may be missed. Legal values: 1 to 255.
    pub multiplier: u8,
    /// Packets in tunnels are marked as such of maintenance (Geneve's flag O).
    pub maintenance: bool,
    /// Sender of our packets; the bridge's address without one.
    pub local_source: Option<MacAddr>,
    /// Destination of our packets; [`DESTINATION`] without one.
    pub local_destination: Option<MacAddr>,
    /// Destination of packets that are the session's; any without one.
    pub remote_destination: Option<MacAddr>,
    /// Sender of our packets. One that was set is where packets of the session come to.
    pub source: Option<Ipv4Addr>,
    /// Destination of our packets.
    pub destination: Option<Ipv4Addr>,
}

impl Default for BfdOptions {
    fn default() -> Self {
        Self {
            min_tx: 100 * MILLISECOND,
            min_rx: 1000 * MILLISECOND,
            decay_min_rx: None,
            forwarding_if_rx: false,
            path_down: false,
            check_tunnel_key: false,
            multiplier: 3,
            maintenance: false,
            local_source: None,
            local_destination: None,
            remote_destination: None,
            source: None,
            destination: None,
        }
    }
}

/// What is known of the other end. Times in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Remote {
    #[serde(with = "frame::state")]
    state: State,
    diagnostic: u8,
    discriminator: u32,
    min_tx: u64,
    min_rx: u64,
    multiplier: u8,
    flags: Flags,
}

impl Remote {
    /// Nobody was heard (RFC 5880, 6.8.1).
    const NOBODY: Self = Self {
        state: State::Down,
        diagnostic: 0,
        discriminator: 0,
        min_tx: 0,
        min_rx: MILLISECOND,
        multiplier: 0,
        flags: Flags { poll: false, is_final: false, demand: false, independent: false },
    };
}

/// Flags of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Flags {
    /// An answer is wanted.
    pub poll: bool,
    /// It is an answer.
    pub is_final: bool,
    /// The sender wants to hear nothing but answers.
    pub demand: bool,
    /// The sender's BFD does not share the fate of its control plane.
    pub independent: bool,
}

/// One end of a session.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Session {
    options: BfdOptions,
    discriminator: u32,
    #[serde(with = "frame::state")]
    state: State,
    diagnostic: u8,
    remote: Remote,
    /// A poll sequence is going on.
    polling: bool,
    /// What was in force when it began: larger of `min_tx`, smaller of `min_rx` (RFC 5880, 6.8.3).
    before_poll: Option<(u64, u64)>,
    /// When the session is given up; none while nobody is heard.
    detect_at: Option<u64>,
    next_tx: u64,
    last_tx: u64,
    /// It hears less often, as nothing else comes.
    decayed: bool,
    /// When it is looked next whether something comes.
    decay_at: u64,
    /// Packets that the port had counted then, and those of BFD that came since.
    counted: u64,
    heard: u64,
    /// Packets that the port had counted at the last tick; until when they are a sign of life.
    packets: u64,
    alive_until: u64,
    /// Until when the last packet of BFD makes other packets a sign of life.
    demand_until: u64,
    forced: Option<bool>,
    was_forwarding: bool,
    flaps: u64,
    /// State of the numbers by which packets are spread.
    random: u64,
}

/// What came of a packet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Heard {
    /// The packet was the session's.
    pub taken: bool,
    /// What is to be sent.
    pub send: Option<Vec<u8>>,
}

impl Session {
    /// A session that is down. `discriminator` is its name, which no other session of ours has, and not 0; `seed` is
    /// where chances begin.
    #[must_use]
    pub fn new(options: BfdOptions, discriminator: u32, seed: u64, now: u64) -> Self {
        Self {
            options,
            discriminator: discriminator.max(1),
            state: State::Down,
            diagnostic: 0,
            remote: Remote::NOBODY,
            polling: false,
            before_poll: None,
            detect_at: None,
            next_tx: now,
            last_tx: now,
            decayed: false,
            decay_at: now,
            counted: 0,
            heard: 0,
            packets: 0,
            alive_until: 0,
            demand_until: 0,
            forced: None,
            was_forwarding: false,
            flaps: 0,
            random: seed | 1,
        }
    }

    /// Its options.
    #[must_use]
    pub const fn options(&self) -> &BfdOptions {
        &self.options
    }

    /// Changes its options: the session goes on, and the other end is told.
    pub fn set(&mut self, options: BfdOptions, now: u64) {
        let before = (self.min_tx(), self.min_rx());
        if options.decay_min_rx != self.options.decay_min_rx || options.min_rx != self.options.min_rx {
            self.decayed = false;
            self.begin_decay(&options, now);
        }
        let cause = Diagnostic::CONCATENATED_PATH_DOWN.0;
        let told = options.path_down != self.options.path_down;
        match options.path_down {
            true if told && self.diagnostic == 0 => self.diagnostic = cause,
            false if told && self.diagnostic == cause => self.diagnostic = 0,
            _ => {}
        }
        let multiplied = options.multiplier != self.options.multiplier;
        self.options = options;
        if before != (self.min_tx(), self.min_rx()) {
            self.poll(before, now);
        } else if told || multiplied {
            self.poll((self.min_tx(), self.min_rx()), now);
        }
        self.note(now);
    }

    /// Has the link be said to carry packets, or not, whatever is so; with none what is so.
    pub fn force(&mut self, forwarding: Option<bool>, now: u64) {
        self.forced = forwarding;
        self.note(now);
    }

    /// Whether the link carries packets.
    #[must_use]
    pub const fn forwarding(&self) -> bool {
        self.was_forwarding
    }

    /// Whether it wants to know how many packets the port received.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.options.forwarding_if_rx || self.decay().is_some()
    }

    /// When [`Session::tick`] is to be called next.
    #[must_use]
    pub fn due(&self) -> u64 {
        let decay = if self.state == State::Up && self.decay().is_some() { self.decay_at } else { u64::MAX };
        let times = [self.detect_at.unwrap_or(u64::MAX), decay, self.forwarding_ends().unwrap_or(u64::MAX)];
        let tx = if self.sends() { self.next_tx } else { u64::MAX };
        times.into_iter().fold(tx, u64::min)
    }

    /// How it is.
    #[must_use]
    pub fn status(&self) -> BfdStatus {
        let flags = Flags { poll: self.polling, ..Flags::default() };
        BfdStatus {
            forwarding: self.was_forwarding,
            flaps: self.flaps,
            multiplier: self.options.multiplier,
            path_down: self.options.path_down,
            tx_interval: self.tx_interval(),
            rx_interval: self.rx_interval(),
            detect_at: self.detect_at.unwrap_or(0),
            next_tx: self.next_tx,
            last_tx: self.last_tx,
            local: EndStatus {
                flags,
                state: self.state,
                diagnostic: Diagnostic(self.diagnostic),
                discriminator: self.discriminator,
                min_tx: self.min_tx(),
                min_rx: self.min_rx(),
            },
            remote: EndStatus {
                flags: self.remote.flags,
                state: self.remote.state,
                diagnostic: Diagnostic(self.remote.diagnostic),
                discriminator: self.remote.discriminator,
                min_tx: self.remote.min_tx,
                min_rx: self.remote.min_rx,
            },
            remote_multiplier: self.remote.multiplier,
        }
    }

    /// A frame came through the port. `address` is the bridge's.
    pub fn receive(&mut self, frame: &[u8], address: MacAddr, now: u64) -> Heard {
        let Some(unit) = frame::read(frame, &self.options) else { return Heard::default() };
        // RFC 5880, 6.8.6: what names another session, or has proof that nobody asked for, is none of ours.
        if unit.your_discriminator != 0 && unit.your_discriminator != self.discriminator
            || unit.authentication.is_some()
        {
            return Heard::default();
        }
        let microseconds = |number: u32| u64::from(number) * 1000;
        let known = self.remote;
        self.remote = Remote {
            state: unit.state,
            diagnostic: unit.diagnostic.0,
            discriminator: unit.my_discriminator,
            min_tx: microseconds(unit.desired_min_tx_interval),
            min_rx: microseconds(unit.required_min_rx_interval),
            multiplier: unit.detection_multiplier,
            flags: Flags {
                poll: unit.poll,
                is_final: unit.is_final,
                demand: unit.demand,
                independent: unit.control_plane_independent,
            },
        };
        if self.polling && unit.is_final {
            self.polling = false;
            self.before_poll = None;
        }
        self.heard += 1;
        self.demand_until = now.saturating_add(self.options.min_rx.saturating_mul(DEMAND));
        self.detect_at = Some(now.saturating_add(self.detection_time()));
        let before = self.state;
        let next = match (unit.state, self.state) {
            (State::AdminDown, State::Down | State::AdminDown) => None,
            (State::AdminDown, _) | (State::Down, State::Up) => {
                self.diagnostic = Diagnostic::NEIGHBOR_DOWN.0;
                Some(State::Down)
            }
            (State::Down, State::Down) => Some(State::Init),
            (State::Init, State::Down | State::Init) | (State::Up, State::Init) => Some(State::Up),
            _ => None,
        };
        if let Some(next) = next {
            self.enter(next, now);
        }
        if known.min_rx != self.remote.min_rx || before != self.state {
            // What was planned was planned for another interval.
            self.next_tx = self.next_tx.min(now.saturating_add(self.spread(self.tx_interval())));
        }
        let mut send = None;
        if unit.poll {
            send = self.write(true, address);
            self.last_tx = now;
        } else if before != self.state {
            // What it says has changed: the other end is not to wait (6.8.7).
            self.next_tx = self.next_tx.min((self.last_tx + LEAST_GAP).max(now));
            if self.next_tx <= now {
                send = self.transmit(address, now);
            }
        }
        self.note(now);
        Heard { taken: true, send }
    }

    /// Time has passed. `packets` is how many packets the port received since it was opened, of any kind: only needed
    /// if it [counts](Session::counts).
    pub fn tick(&mut self, packets: u64, address: MacAddr, now: u64) -> Option<Vec<u8>> {
        if self.detect_at.is_some_and(|at| at <= now) {
            self.detect_at = None;
            self.remote = Remote::NOBODY;
            if matches!(self.state, State::Init | State::Up) {
                self.diagnostic = Diagnostic::DETECTION_TIME_EXPIRED.0;
                self.enter(State::Down, now);
                self.next_tx = self.next_tx.min((self.last_tx + LEAST_GAP).max(now));
            }
        }
        self.look_at_traffic(packets, now);
        let send = (self.sends() && self.next_tx <= now).then(|| self.transmit(address, now)).flatten();
        self.note(now);
        send
    }

    /// What the counter of the port says: signs of life, and whether it is worth hearing often.
    fn look_at_traffic(&mut self, packets: u64, now: u64) {
        if self.options.forwarding_if_rx && packets > self.packets {
            let time = self.rx_interval().saturating_mul(u64::from(self.options.multiplier));
            self.alive_until = now.saturating_add(time);
        }
        self.packets = packets;
        let Some(slow) = self.decay().filter(|_| self.state == State::Up && self.decay_at <= now) else {
            return;
        };
        let others = packets.saturating_sub(self.counted).saturating_sub(self.heard);
        // Other protocols of the link say something now and then; what counts is more than BFD itself would be.
        let own = slow / self.options.min_rx.max(self.remote.min_tx).max(1);
        let decayed = others <= own;
        let before = (self.min_tx(), self.min_rx());
        let changed = decayed != self.decayed;
        self.decayed = decayed;
        (self.counted, self.heard) = (packets, 0);
        self.decay_at = now.saturating_add(slow.max(self.rx_interval()));
        if changed {
            self.poll(before, now);
        }
    }

    fn begin_decay(&mut self, options: &BfdOptions, now: u64) {
        (self.counted, self.heard) = (self.packets, 0);
        self.decay_at = now.saturating_add(options.decay_min_rx.unwrap_or(0).max(self.rx_interval()));
    }

    /// The interval that it decays to.
    fn decay(&self) -> Option<u64> {
        self.options.decay_min_rx.filter(|slow| *slow >= self.options.min_rx)
    }

    fn enter(&mut self, state: State, now: u64) {
        if self.state == state {
            return;
        }
        let before = (self.min_tx(), self.min_rx());
        let was_up = self.state == State::Up;
        self.state = state;
        if was_up || state == State::Up {
            self.decayed = false;
            let options = self.options.clone();
            self.begin_decay(&options, now);
            if state == State::Up {
                self.poll(before, now);
            } else {
                (self.polling, self.before_poll) = (false, None);
            }
        }
    }

    /// Tells the other end new intervals until it says that it knows them.
    fn poll(&mut self, before: (u64, u64), now: u64) {
        if self.state == State::Up {
            self.polling = true;
            self.before_poll.get_or_insert(before);
        }
        self.next_tx = self.next_tx.min((self.last_tx + LEAST_GAP).max(now));
        if let Some(at) = self.detect_at {
            // A longer time holds at once; a shorter one when the other end knows it.
            self.detect_at = Some(at.max(now.saturating_add(self.detection_time())));
        }
    }

    /// What we say that we send no faster than.
    fn min_tx(&self) -> u64 {
        if self.state == State::Up { self.options.min_tx } else { self.options.min_tx.max(SLOW) }
    }

    /// What we say that we want to hear no faster than.
    fn min_rx(&self) -> u64 {
        match self.decay().filter(|_| self.decayed) {
            Some(slow) => slow,
            None => self.options.min_rx,
        }
    }

    /// Between two packets that we send.
    fn tx_interval(&self) -> u64 {
        self.min_tx().max(self.remote.min_rx)
    }

    /// Between two packets that we hear.
    fn rx_interval(&self) -> u64 {
        self.min_rx().max(self.remote.min_tx)
    }

    /// How long nothing may be heard (RFC 5880, 6.8.4). While a poll goes on the longer of both intervals counts, as the
    /// other end may not know the shorter one.
    fn detection_time(&self) -> u64 {
        let before = self.before_poll.map_or(0, |(_, min_rx)| min_rx);
        let interval = self.rx_interval().max(before);
        interval.saturating_mul(u64::from(self.remote.multiplier.max(1)))
    }

    /// Whether packets are sent by themselves (RFC 5880, 6.8.7).
    fn sends(&self) -> bool {
        let quiet = self.remote.flags.demand && self.state == State::Up && self.remote.state == State::Up;
        self.remote.min_rx > 0 && (!quiet || self.polling)
    }

    /// An interval less a quarter at most, so that ends do not fall into step (6.8.7).
    fn spread(&mut self, interval: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        // With a multiplier of 1 at least a tenth: the other end waits for exactly one interval.
        let (least, most) = if self.options.multiplier == 1 { (10, 25) } else { (0, 25) };
        let percent = least + self.random % (most - least + 1);
        interval - interval / 100 * percent
    }

    fn transmit(&mut self, address: MacAddr, now: u64) -> Option<Vec<u8>> {
        // A longer interval holds when the other end knows it.
        let before = self.before_poll.map_or(u64::MAX, |(min_tx, _)| min_tx.max(self.remote.min_rx));
        let interval = self.tx_interval().min(before);
        self.last_tx = now;
        self.next_tx = now.saturating_add(self.spread(interval).max(MILLISECOND));
        self.write(false, address)
    }

    fn write(&self, is_final: bool, address: MacAddr) -> Option<Vec<u8>> {
        let microseconds = |time: u64| u32::try_from(time / 1000).unwrap_or(u32::MAX);
        let unit = Repr {
            diagnostic: Diagnostic(self.diagnostic),
            state: self.state,
            // An answer is no question (6.8.7).
            poll: self.polling && !is_final,
            is_final,
            control_plane_independent: false,
            demand: false,
            detection_multiplier: self.options.multiplier.max(1),
            my_discriminator: self.discriminator,
            your_discriminator: self.remote.discriminator,
            desired_min_tx_interval: microseconds(self.min_tx()),
            required_min_rx_interval: microseconds(self.min_rx()),
            required_min_echo_rx_interval: 0,
            authentication: None,
        };
        frame::write(&unit, &self.options, self.discriminator, address)
    }

    /// When packets cease to be a sign of life that are one now.
    fn forwarding_ends(&self) -> Option<u64> {
        let until = self.alive_until.min(self.demand_until);
        (self.options.forwarding_if_rx && self.was_forwarding && self.state != State::Up).then_some(until)
    }

    /// Whether the link carries packets may have changed.
    fn note(&mut self, now: u64) {
        let alive = self.options.forwarding_if_rx && now < self.alive_until && now < self.demand_until;
        let cut = [Diagnostic::CONCATENATED_PATH_DOWN.0, Diagnostic::REVERSE_CONCATENATED_PATH_DOWN.0];
        let so = (self.state == State::Up || alive) && !cut.contains(&self.remote.diagnostic);
        let forwarding = self.forced.unwrap_or(so);
        if forwarding != self.was_forwarding {
            self.was_forwarding = forwarding;
            self.flaps += 1;
        }
    }
}

#[cfg(test)]
mod tests;
