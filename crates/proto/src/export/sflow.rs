//! sFlow 5: single packets, chosen by chance, and counters of interfaces (sflow.org, "sFlow Version 5"; "sFlow OpenFlow Structures",
//! "sFlow Tunnel Structures").
//!
//! What: an [`Agent`] puts samples together into datagrams. A packet's sample says how many packets there were for it: the pool grows
//! by the rate for each sample, as the rate says on average. Counters of an interface are due each polling interval, those of
//! different interfaces at different times.
//!
//! Invariants: a datagram has at most [`MOST_OCTETS`] octets, or one sample. What is lost is told: `lose` counts into `drops` of
//! the samples that follow.

use super::{MILLISECOND, MOST_OCTETS, Octets, SECOND};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

/// The port of collectors (IANA).
pub const PORT: u16 = 6343;
/// Most octets of a packet in a sample.
pub const MOST_HEADER: u16 = 1024;
/// Most interfaces whose counters are told.
pub const MOST_INTERFACES: usize = 65_536;
/// Output: the packet was dropped, and nobody says why.
pub const DROPPED: u32 = 0x4000_0100;
/// Output: several ports, whose number is in the lower bits.
pub const SEVERAL: u32 = 0x8000_0000;

/// How an agent tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The agent's address.
    pub agent: IpAddr,
    /// Which of the agents at that address.
    pub sub_agent: u32,
    /// Of so many packets one is sampled.
    pub sampling: u32,
    /// Most octets of a sampled packet.
    pub header: u16,
    /// Nanoseconds between two samples of counters; none for 0.
    pub polling: u64,
}

/// What a sampled packet begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderProtocol {
    /// An Ethernet header.
    Ethernet = 1,
    /// An IPv4 header.
    Ipv4 = 11,
    /// An IPv6 header.
    Ipv6 = 12,
}

/// The headers of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tunnel {
    /// Source.
    pub source: Ipv4Addr,
    /// Destination.
    pub destination: Ipv4Addr,
    /// Protocol; 0 if it is not known.
    pub protocol: u8,
    /// Type of service.
    pub tos: u8,
    /// Transport ports.
    pub ports: (u16, u16),
    /// The network's number; 0 for none.
    pub network: u32,
}

/// A sampled packet.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    /// Its first octets.
    pub octets: &'a [u8],
    /// What they begin with.
    pub protocol: HeaderProtocol,
    /// Octets of all of it, without a checksum of Ethernet.
    pub length: u32,
    /// The interface that it came in through; 0 if that has no number.
    pub input: u32,
    /// Where it goes: an interface, [`DROPPED`], or [`SEVERAL`] with their number.
    pub output: u32,
    /// VLAN tags (priority, VLAN) as it came and as it leaves; 0 without.
    pub tags: (u16, u16),
    /// The tunnel that it came by.
    pub came_by: Option<Tunnel>,
    /// The tunnel that it leaves by.
    pub leaves_by: Option<Tunnel>,
}

/// Counters of an interface.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counters {
    /// The interface.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Bits a second.
    pub speed: u64,
    /// Whether it is full duplex; none if that is not known.
    pub full_duplex: Option<bool>,
    /// It is switched on.
    pub admin: bool,
    /// It works.
    pub up: bool,
    /// Octets and packets that came in, and those that were dropped.
    pub received: (u64, u64, u64),
    /// And those that left.
    pub sent: (u64, u64, u64),
    /// The switch's number and the port's, in OpenFlow.
    pub openflow: (u64, u32),
}

#[derive(Debug, Clone, Copy)]
struct Poll {
    sequence: u32,
    due: u64,
}

/// An agent.
#[derive(Debug)]
pub struct Agent {
    settings: Settings,
    boot: u64,
    sequence: u32,
    flow_sequence: u32,
    pool: u32,
    drops: u32,
    polls: BTreeMap<u32, Poll>,
    /// Samples of the next datagram.
    samples: Octets,
    count: u32,
    datagrams: Vec<Vec<u8>>,
}

/// What an agent has told until now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// When it began.
    pub boot: u64,
    /// Datagrams.
    pub sequence: u32,
    /// Samples of packets.
    pub flow_sequence: u32,
    /// Packets of which samples were taken.
    pub pool: u32,
    /// Samples that were lost.
    pub drops: u32,
}

impl Agent {
    /// One that begins now.
    #[must_use]
    pub fn new(settings: Settings, now: u64) -> Self {
        Self::resume(settings, Position { boot: now, ..Position::default() })
    }

    /// One that goes on where another one stopped.
    #[must_use]
    pub fn resume(settings: Settings, position: Position) -> Self {
        let Position { boot, sequence, flow_sequence, pool, drops } = position;
        Self {
            settings,
            boot,
            sequence,
            flow_sequence,
            pool,
            drops,
            polls: BTreeMap::new(),
            samples: Octets::default(),
            count: 0,
            datagrams: Vec::new(),
        }
    }

    /// What it has told until now.
    #[must_use]
    pub const fn position(&self) -> Position {
        let Self { boot, sequence, flow_sequence, pool, drops, .. } = self;
        Position {
            boot: *boot,
            sequence: *sequence,
            flow_sequence: *flow_sequence,
            pool: *pool,
            drops: *drops,
        }
    }

    /// Changes how it tells from now on.
    pub fn set(&mut self, settings: Settings, now: u64) {
        self.flush(now);
        if self.settings.polling != settings.polling {
            self.polls.clear();
        }
        self.settings = settings;
    }

    /// How it tells.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Samples were lost.
    pub const fn lose(&mut self, count: u32) {
        self.drops = self.drops.wrapping_add(count);
    }

    /// Tells of a packet.
    pub fn sample(&mut self, packet: &Packet<'_>, now: u64) {
        self.pool = self.pool.wrapping_add(self.settings.sampling);
        self.flow_sequence = self.flow_sequence.wrapping_add(1);
        let mut out = Octets::default();
        out.u32(self.flow_sequence);
        out.u32(self.source());
        out.u32(self.settings.sampling);
        out.u32(self.pool);
        out.u32(self.drops);
        out.u32(packet.input);
        out.u32(packet.output);
        let mut records = Octets::default();
        let mut count = 0;
        for (tunnel, outer, network) in
            [(packet.came_by, TUNNEL_IN, NETWORK_IN), (packet.leaves_by, TUNNEL_OUT, NETWORK_OUT)]
        {
            let Some(tunnel) = tunnel else { continue };
            write(&mut records, outer, |out| tunnel.write(packet.length, out));
            count += 1;
            if tunnel.network != 0 {
                write(&mut records, network, |out| out.u32(tunnel.network));
                count += 1;
            }
        }
        write(&mut records, HEADER, |out| {
            let most = usize::from(self.settings.header.min(MOST_HEADER));
            let octets = packet.octets.get(..most).unwrap_or(packet.octets);
            out.u32(packet.protocol as u32);
            // The checksum of Ethernet was there, and was taken before anybody looked.
            let checksum = if packet.protocol == HeaderProtocol::Ethernet { 4 } else { 0 };
            out.u32(packet.length.saturating_add(checksum));
            out.u32(checksum);
            opaque(octets, out);
        });
        write(&mut records, SWITCH, |out| {
            for tag in [packet.tags.0, packet.tags.1] {
                out.u32(u32::from(tag & 0xfff));
                out.u32(u32::from(tag >> 13));
            }
        });
        out.u32(count + 2);
        out.all(&records.0);
        self.add(FLOW_SAMPLE, &out.0, now);
    }

    /// The interfaces among these whose counters are due: they are to be [told](Agent::counters).
    pub fn due(&mut self, interfaces: &[u32], now: u64) -> Vec<u32> {
        let polling = self.settings.polling;
        if polling == 0 {
            return Vec::new();
        }
        self.polls.retain(|index, _| interfaces.contains(index));
        let mut due = Vec::new();
        for index in interfaces {
            if self.polls.len() >= MOST_INTERFACES {
                break;
            }
            // Not all at the same time.
            let place = u64::from(*index % 64) * polling / 64;
            let poll =
                self.polls.entry(*index).or_insert(Poll { sequence: 0, due: now.saturating_add(place) });
            if poll.due <= now {
                poll.due = now.saturating_add(polling);
                due.push(*index);
            }
        }
        due
    }

    /// Tells counters of an interface.
    pub fn counters(&mut self, counters: &Counters, now: u64) {
        let sequence = self.polls.get_mut(&counters.index).map_or(1, |poll| {
            poll.sequence = poll.sequence.wrapping_add(1);
            poll.sequence
        });
        let mut out = Octets::default();
        out.u32(sequence);
        // Class 0: the number of an interface.
        out.u32(counters.index & 0x00ff_ffff);
        out.u32(3);
        write(&mut out, INTERFACE, |out| counters.write(out));
        write(&mut out, OPENFLOW_PORT, |out| {
            out.u64(counters.openflow.0);
            out.u32(counters.openflow.1);
        });
        write(&mut out, PORT_NAME, |out| opaque(counters.name.as_bytes(), out));
        self.add(COUNTERS_SAMPLE, &out.0, now);
    }

    /// Makes a datagram of the samples that wait.
    pub fn flush(&mut self, now: u64) {
        if self.count == 0 {
            return;
        }
        self.sequence = self.sequence.wrapping_add(1);
        let mut out = Octets::default();
        out.u32(5);
        match self.settings.agent {
            IpAddr::V4(address) => {
                out.u32(1);
                out.all(&address.octets());
            }
            IpAddr::V6(address) => {
                out.u32(2);
                out.all(&address.octets());
            }
        }
        out.u32(self.settings.sub_agent);
        out.u32(self.sequence);
        out.u32((now.saturating_sub(self.boot) / MILLISECOND) as u32);
        out.u32(self.count);
        out.all(&self.samples.0);
        self.samples.0.clear();
        self.count = 0;
        self.datagrams.push(out.0);
    }

    /// Datagrams that are to be sent.
    pub fn take(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.datagrams)
    }

    /// What is sampled: the switch as a whole (class 2, an entity), which has a number for each bridge.
    const fn source(&self) -> u32 {
        2 << 24 | (1000 + self.settings.sub_agent) & 0x00ff_ffff
    }

    fn add(&mut self, format: u32, sample: &[u8], now: u64) {
        if self.count > 0 && HEAD + self.samples.len() + sample.len() + 8 > MOST_OCTETS {
            self.flush(now);
        }
        write(&mut self.samples, format, |out| out.all(sample));
        self.count += 1;
    }
}

/// Octets of a datagram's head at most.
const HEAD: usize = 40;

const FLOW_SAMPLE: u32 = 1;
const COUNTERS_SAMPLE: u32 = 2;

const HEADER: u32 = 1;
const SWITCH: u32 = 1001;
const TUNNEL_OUT: u32 = 1023;
const TUNNEL_IN: u32 = 1024;
const NETWORK_OUT: u32 = 1029;
const NETWORK_IN: u32 = 1030;

const INTERFACE: u32 = 1;
const OPENFLOW_PORT: u32 = 1004;
const PORT_NAME: u32 = 1005;

/// A structure with its format and its length before it.
fn write(out: &mut Octets, format: u32, content: impl FnOnce(&mut Octets)) {
    out.u32(format);
    let at = out.len();
    out.u32(0);
    content(out);
    let length = (out.len() - at - 4) as u32;
    out.patch(at, &length.to_be_bytes());
}

/// Octets with their length before them, filled up to whole words (RFC 4506, 4.10).
fn opaque(octets: &[u8], out: &mut Octets) {
    out.u32(octets.len() as u32);
    out.all(octets);
    out.all(&[0; 3][..octets.len().wrapping_neg() & 3]);
}

impl Tunnel {
    /// As `sampled_ipv4`.
    fn write(&self, length: u32, out: &mut Octets) {
        out.u32(length);
        out.u32(self.protocol.into());
        out.all(&self.source.octets());
        out.all(&self.destination.octets());
        out.u32(self.ports.0.into());
        out.u32(self.ports.1.into());
        out.u32(0);
        out.u32(self.tos.into());
    }
}

/// A counter that is not kept.
const UNKNOWN: u32 = u32::MAX;

impl Counters {
    /// As `if_counters`.
    fn write(&self, out: &mut Octets) {
        out.u32(self.index);
        // Ethernet.
        out.u32(6);
        out.u64(self.speed);
        out.u32(self.full_duplex.map_or(0, |full| if full { 1 } else { 2 }));
        out.u32(u32::from(self.admin) | u32::from(self.up) << 1);
        for (number, (octets, packets, dropped)) in [self.received, self.sent].into_iter().enumerate() {
            out.u64(octets);
            out.u32(packets as u32);
            // Multicast and broadcast are among the packets.
            out.u32(UNKNOWN);
            out.u32(UNKNOWN);
            out.u32(dropped as u32);
            out.u32(0);
            if number == 0 {
                out.u32(UNKNOWN);
            }
        }
        out.u32(0);
    }
}

/// Nanoseconds of a polling interval in seconds.
#[must_use]
pub const fn polling(seconds: u64) -> u64 {
    seconds.saturating_mul(SECOND)
}
