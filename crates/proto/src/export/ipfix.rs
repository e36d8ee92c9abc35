//! IPFIX: sums of sampled packets (RFC 7011, with elements of RFC 7012 and IANA's registry; those of a tunnel's headers are VMware's,
//! enterprise 6876, as Open vSwitch has them).
//!
//! ```text
//! sampled packet -> key, written as in its record -> cache -> record, when the time is over or there is no room -> message
//! ```
//!
//! What: an [`Exporter`] has one cache for all observation domains that its packets are of. A record's template follows from what
//! the packet has: a VLAN tag, a network layer, a transport layer, a tunnel, a direction; all templates are sent before the first
//! record of a domain, and again every ten minutes.
//!
//! Invariants: messages have at most [`MOST_OCTETS`] octets. The cache has at most [`Settings::max_flows`] flows, and never more than
//! [`MOST_FLOWS`]: the oldest makes room. Samples of more than [`MOST_DOMAINS`] domains are not told, and counted as errors. The
//! sequence number of a message is that of the data records of its domain before it.
//!
//! Deliberately absent: totals over the life of an exporter that Open vSwitch puts into each record, and what it counts as dropped.

mod shape;

use super::{Clock, MOST_OCTETS, Octets, SECOND};
use shape::{HEAD, Shape, Transport, finish, head, templates, text, write_key};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};

/// The port of collectors (IANA).
pub const PORT: u16 = 4739;
/// Most flows of a cache.
pub const MOST_FLOWS: usize = 1 << 18;
/// Most observation domains.
pub const MOST_DOMAINS: usize = 4096;
/// Templates are sent so often, in nanoseconds.
pub const TEMPLATES: u64 = 600 * SECOND;
/// Octets of the name of an observer that are told.
const MOST_VIRTUAL: usize = 254;

/// How an exporter tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// Nanoseconds after which a flow is told; at once for 0.
    pub active_timeout: u64,
    /// Most flows that are kept; none for 0.
    pub max_flows: usize,
    /// A name of the observer, which is told if there is one.
    pub virtual_observer: Option<String>,
}

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Interface {
    /// Its number in the system; 0 for none.
    pub index: u32,
    /// Its name.
    pub name: String,
}

/// Where packets pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// They come in.
    Ingress = 0,
    /// They go out.
    Egress = 1,
}

/// The network layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// Addresses, both of one version.
    pub source: IpAddr,
    /// Likewise.
    pub destination: IpAddr,
    /// Protocol behind all extension headers.
    pub protocol: u8,
    /// Type of service.
    pub tos: u8,
    /// Time to live.
    pub ttl: u8,
    /// Flow label of IPv6.
    pub label: u32,
    /// Octets, with its header.
    pub length: u32,
}

/// The headers of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tunnel {
    /// Source.
    pub source: Ipv4Addr,
    /// Destination.
    pub destination: Ipv4Addr,
    /// Protocol.
    pub protocol: u8,
    /// Transport ports.
    pub ports: (u16, u16),
    /// 1 VXLAN, 2 GRE, 7 Geneve.
    pub kind: u8,
    /// The key.
    pub key: u64,
    /// Octets of the key.
    pub key_octets: u8,
}

/// A sampled packet.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    /// Observation domain.
    pub domain: u32,
    /// Observation point.
    pub point: u32,
    /// Where it passes.
    pub direction: Direction,
    /// Ethernet addresses: source, destination.
    pub addresses: ([u8; 6], [u8; 6]),
    /// EtherType behind all tags.
    pub ethertype: u16,
    /// The VLAN tag: priority, VLAN.
    pub tag: Option<u16>,
    /// Interfaces: where it came in, where it leaves.
    pub input: &'a Interface,
    /// For those that go out.
    pub output: &'a Interface,
    /// The network layer, if it is IP.
    pub network: Option<Network>,
    /// Transport ports, or type and code of ICMP.
    pub transport: (u16, u16),
    /// Flags of TCP.
    pub flags: u8,
    /// The tunnel that it is told of.
    pub tunnel: Option<Tunnel>,
    /// Octets of all of it.
    pub length: u32,
    /// How many packets it stands for.
    pub weight: u64,
}

/// What an exporter counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Flows since it began.
    pub flows: u64,
    /// Packets that were sampled.
    pub packets: u64,
    /// Those of IPv4 whose protocol is told of.
    pub ipv4: u64,
    /// Those of IPv6.
    pub ipv6: u64,
    /// Packets of IP whose protocol is not, and those that found no room.
    pub errors: u64,
    /// Those of IPv4.
    pub ipv4_errors: u64,
    /// Those of IPv6.
    pub ipv6_errors: u64,
}

/// Why a record is told (RFC 7012, flowEndReason).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    ActiveTimeout = 2,
    ForcedEnd = 4,
    LackOfResources = 5,
}

/// Where a flow is in the cache.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    domain: u32,
    template: u16,
    octets: Box<[u8]>,
}

#[derive(Debug, Clone, Copy)]
struct Sums {
    shape: Shape,
    first: u64,
    last: u64,
    packets: u64,
    octets: u64,
    network_octets: u64,
    squares: u64,
    shortest: u32,
    longest: u32,
    flags: u8,
}

#[derive(Debug, Default)]
struct Domain {
    sequence: u32,
    /// When templates were sent last.
    templates: Option<u64>,
    /// Records of the next message, each a set of its own.
    records: Octets,
    count: u32,
}

/// An exporter.
#[derive(Debug)]
pub struct Exporter {
    settings: Settings,
    clock: Clock,
    cache: HashMap<Key, Sums>,
    /// Flows in the order in which they began.
    order: VecDeque<(u64, Key)>,
    domains: BTreeMap<u32, Domain>,
    counts: Counts,
    messages: Vec<Vec<u8>>,
}

impl Exporter {
    /// One that has told nothing.
    #[must_use]
    pub fn new(settings: Settings, clock: Clock) -> Self {
        Self {
            settings,
            clock,
            cache: HashMap::new(),
            order: VecDeque::new(),
            domains: BTreeMap::new(),
            counts: Counts::default(),
            messages: Vec::new(),
        }
    }

    /// What it counted, and the sequence numbers of its domains: what one that goes on with it must know.
    #[must_use]
    pub fn position(&self) -> (Counts, Vec<(u32, u32)>) {
        (self.counts, self.domains.iter().map(|(number, domain)| (*number, domain.sequence)).collect())
    }

    /// Goes on where another one stopped. Templates are sent anew.
    pub fn resume(&mut self, (counts, domains): (Counts, Vec<(u32, u32)>)) {
        self.counts = counts;
        for (number, sequence) in domains.into_iter().take(MOST_DOMAINS) {
            self.domains.insert(number, Domain { sequence, ..Domain::default() });
        }
    }

    /// Changes how it tells from now on. What was counted is told before; templates may be others, and collectors too.
    pub fn set(&mut self, settings: Settings, now: u64) {
        self.flush(now);
        self.settings = settings;
        self.domains.values_mut().for_each(|domain| domain.templates = None);
    }

    /// What it counted.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// How many flows it keeps.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cache.len()
    }

    /// Whether it keeps no flow.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cache.is_empty()
    }

    /// A packet was sampled.
    pub fn sample(&mut self, packet: &Packet<'_>, now: u64) {
        let shape = Shape::of(packet);
        self.count(shape);
        if !self.domains.contains_key(&packet.domain) {
            if self.domains.len() >= MOST_DOMAINS {
                self.counts.errors += 1;
                return;
            }
            self.domains.insert(packet.domain, Domain::default());
        }
        let key = Key {
            domain: packet.domain,
            template: shape.template(),
            octets: write_key(packet, shape).into(),
        };
        let length = packet.network.map_or(0, |network| network.length);
        let squares = u64::from(length).saturating_mul(length.into()).saturating_mul(packet.weight);
        let new = Sums {
            shape,
            first: now,
            last: now,
            packets: packet.weight,
            octets: u64::from(packet.length).saturating_mul(packet.weight),
            network_octets: u64::from(length).saturating_mul(packet.weight),
            squares,
            shortest: length,
            longest: length,
            flags: packet.flags,
        };
        if let Some(sums) = self.cache.get_mut(&key) {
            sums.add(&new);
            return;
        }
        self.counts.flows += 1;
        if self.settings.active_timeout == 0 || self.settings.max_flows == 0 {
            self.tell(&key, &new, Reason::ActiveTimeout, now);
            return;
        }
        self.order.push_back((now, key.clone()));
        self.cache.insert(key, new);
        while self.cache.len() > self.settings.max_flows.min(MOST_FLOWS) {
            self.tell_oldest(Reason::LackOfResources, now);
        }
    }

    fn count(&mut self, shape: Shape) {
        let counts = &mut self.counts;
        counts.packets += 1;
        match (shape.version, shape.transport) {
            (4, Transport::Unknown) => {
                counts.errors += 1;
                counts.ipv4_errors += 1;
            }
            (6, Transport::Unknown) => {
                counts.errors += 1;
                counts.ipv6_errors += 1;
            }
            (4, _) => counts.ipv4 += 1,
            (6, _) => counts.ipv6 += 1,
            _ => {}
        }
    }

    /// What time brings.
    pub fn tick(&mut self, now: u64) {
        let timeout = self.settings.active_timeout;
        while self.order.front().is_some_and(|(began, _)| now.saturating_sub(*began) >= timeout) {
            self.tell_oldest(Reason::ActiveTimeout, now);
        }
        self.close(now);
    }

    /// Tells everything that was counted.
    pub fn flush(&mut self, now: u64) {
        while !self.order.is_empty() {
            self.tell_oldest(Reason::ForcedEnd, now);
        }
        self.close(now);
    }

    /// Messages that are to be sent.
    pub fn take(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.messages)
    }

    fn tell_oldest(&mut self, reason: Reason, now: u64) {
        let Some((_, key)) = self.order.pop_front() else { return };
        if let Some(sums) = self.cache.remove(&key) {
            self.tell(&key, &sums, reason, now);
        }
    }

    fn tell(&mut self, key: &Key, sums: &Sums, reason: Reason, now: u64) {
        let Self { settings, clock, domains, messages, .. } = self;
        let Some(domain) = domains.get_mut(&key.domain) else { return };
        let named = settings.virtual_observer.as_deref();
        if domain.templates.is_none_or(|sent| now.saturating_sub(sent) >= TEMPLATES) {
            domain.close(key.domain, *clock, messages, now);
            messages.extend(templates(key.domain, domain.sequence, named.is_some(), clock.parts(now).0));
            domain.templates = Some(now);
        }
        let mut record = Octets::default();
        record.u16(key.template);
        record.u16(0);
        record.all(&key.octets);
        if let Some(name) = named {
            text(name, MOST_VIRTUAL, &mut record);
        }
        sums.write(reason, now, &mut record);
        let length = (record.len() as u16).to_be_bytes();
        record.patch(2, &length);
        if domain.count > 0 && HEAD + domain.records.len() + record.len() > MOST_OCTETS {
            domain.close(key.domain, *clock, messages, now);
        }
        domain.records.all(&record.0);
        domain.count += 1;
    }

    fn close(&mut self, now: u64) {
        for (number, domain) in &mut self.domains {
            domain.close(*number, self.clock, &mut self.messages, now);
        }
    }
}

impl Domain {
    fn close(&mut self, number: u32, clock: Clock, messages: &mut Vec<Vec<u8>>, now: u64) {
        if self.count == 0 {
            return;
        }
        let mut message = head(number, self.sequence, clock.parts(now).0);
        message.all(&self.records.0);
        messages.push(finish(message));
        self.sequence = self.sequence.wrapping_add(self.count);
        self.records.0.clear();
        self.count = 0;
    }
}

impl Sums {
    fn add(&mut self, other: &Self) {
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.packets = self.packets.saturating_add(other.packets);
        self.octets = self.octets.saturating_add(other.octets);
        self.network_octets = self.network_octets.saturating_add(other.network_octets);
        self.squares = self.squares.saturating_add(other.squares);
        self.shortest = self.shortest.min(other.shortest);
        self.longest = self.longest.max(other.longest);
        self.flags |= other.flags;
    }

    fn write(&self, reason: Reason, now: u64, out: &mut Octets) {
        // Before the time of the message; of more than an hour no more can be said.
        let delta = |time: u64| u32::try_from(now.saturating_sub(time) / 1000).unwrap_or(u32::MAX);
        out.u32(delta(self.first));
        out.u32(delta(self.last));
        out.u64(self.packets);
        out.u64(self.octets);
        out.u8(reason as u8);
        if self.shape.version != 0 {
            out.u64(self.network_octets);
            out.u64(self.squares);
            out.u64(self.shortest.into());
            out.u64(self.longest.into());
        }
        if self.shape.transport == Transport::Tcp {
            out.u16(self.flags.into());
        }
    }
}
