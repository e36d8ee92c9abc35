//! NetFlow 5: sums of flows of IPv4, told when they end and from time to time ("NetFlow Export Datagram Format", Cisco, version 5).
//!
//! ```text
//! data path -> begin, count, end -> cache of flows -> records -> datagrams of up to 30
//!                                   active timeout ----^
//! ```
//!
//! What: a flow here is a port, two addresses, a protocol, two transport ports and a type of service. Several flows of the data
//! path may be one here; it ends with the last of them. Where its packets go may change: then what was counted until then is told.
//!
//! Invariants: every packet that is counted is told once. More than [`MOST_FLOWS`] are not kept: packets of others are told at once,
//! each report as a record of its own. Counts that do not fit into a record are told by several.
//!
//! Costs: about 100 octets for a flow; a tick looks at all flows once a second.

use super::{Clock, MILLISECOND, Octets, SECOND};
use std::collections::HashMap;
use std::net::Ipv4Addr;

/// Most flows that are kept.
pub const MOST_FLOWS: usize = 1 << 17;
/// Most records of a datagram.
pub const MOST_RECORDS: usize = 30;
/// Octets of the header.
pub const HEADER: usize = 24;
/// Octets of a record.
pub const RECORD: usize = 48;
/// The packet goes to all ports.
pub const FLOODED: u16 = 0xffff;
/// The packet goes to several ports.
pub const SEVERAL: u16 = 0xfffe;
/// The packet goes nowhere.
pub const NOWHERE: u16 = 0xfffd;
/// A flow to which nothing refers any more ends after so long without packets.
const IDLE: u64 = 10 * SECOND;
/// Most records that one flow is told by at once.
const MOST_PARTS: u64 = 4096;

/// How flows are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settings {
    /// Which kind of machine switches.
    pub engine_type: u8,
    /// Which of them.
    pub engine_id: u8,
    /// Seven bits of the number of the engine are the upper bits of numbers of ports, of which nine are left.
    pub add_id_to_interface: bool,
    /// Nanoseconds after which a flow is told that goes on; never for 0.
    pub active_timeout: u64,
}

/// What packets of a flow have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowKey {
    /// The port through which they came.
    pub input: u16,
    /// Source.
    pub source: Ipv4Addr,
    /// Destination.
    pub destination: Ipv4Addr,
    /// Protocol.
    pub protocol: u8,
    /// Type of service without the bits of congestion.
    pub tos: u8,
    /// Transport port; type of ICMP.
    pub source_port: u16,
    /// Transport port; code of ICMP.
    pub destination_port: u16,
}

/// What packets of a flow did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// Where they went: a port, [`FLOODED`], [`SEVERAL`] or [`NOWHERE`].
    pub output: u16,
    /// How many.
    pub packets: u64,
    /// Their octets.
    pub octets: u64,
    /// All flags of TCP that one of them had.
    pub flags: u8,
    /// When the last one came.
    pub used: u64,
}

/// The header of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Header {
    /// Milliseconds since the exporter began.
    pub uptime: u32,
    /// Seconds since 1970.
    pub seconds: u32,
    /// Nanoseconds of the second.
    pub nanoseconds: u32,
    /// Records that were sent before.
    pub sequence: u32,
    /// As in [`Settings`].
    pub engine_type: u8,
    /// As in [`Settings`].
    pub engine_id: u8,
}

/// A record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// The flow. The transport ports of ICMP are 0, and type and code.
    pub key: FlowKey,
    /// Where its packets went.
    pub output: u16,
    /// How many.
    pub packets: u32,
    /// Their octets.
    pub octets: u32,
    /// Milliseconds after the exporter began when the first came.
    pub first: u32,
    /// And the last.
    pub last: u32,
    /// Flags of TCP.
    pub flags: u8,
}

/// Writes a datagram; of more than [`MOST_RECORDS`] records only the first ones.
#[must_use]
pub fn encode(header: &Header, records: &[Record]) -> Vec<u8> {
    let records = records.get(..MOST_RECORDS).unwrap_or(records);
    let mut out = Octets(Vec::with_capacity(HEADER + RECORD * records.len()));
    out.u16(5);
    out.u16(records.len() as u16);
    out.u32(header.uptime);
    out.u32(header.seconds);
    out.u32(header.nanoseconds);
    out.u32(header.sequence);
    out.u8(header.engine_type);
    out.u8(header.engine_id);
    // All packets are counted, none are sampled.
    out.u16(0);
    for record in records {
        let key = &record.key;
        out.all(&key.source.octets());
        out.all(&key.destination.octets());
        // The next hop: a switch has none.
        out.u32(0);
        out.u16(key.input);
        out.u16(record.output);
        out.u32(record.packets);
        out.u32(record.octets);
        out.u32(record.first);
        out.u32(record.last);
        out.u16(key.source_port);
        out.u16(key.destination_port);
        out.u8(0);
        out.u8(record.flags);
        out.u8(key.protocol);
        out.u8(key.tos);
        // Autonomous systems, lengths of prefixes, and two octets of nothing.
        out.all(&[0; 8]);
    }
    out.0
}

#[derive(Debug, Clone)]
struct Flow {
    count: Count,
    /// When the first packet came that was not told.
    first: u64,
    /// When it was told last, or began.
    told: u64,
    /// Flows of the data path that are this one.
    references: u32,
}

/// An exporter.
#[derive(Debug)]
pub struct Exporter {
    settings: Settings,
    clock: Clock,
    /// When it began.
    boot: u64,
    /// Records that were told.
    sequence: u32,
    flows: HashMap<FlowKey, Flow>,
    records: Vec<Record>,
    datagrams: Vec<Vec<u8>>,
    /// When all flows were looked at last.
    swept: u64,
}

impl Exporter {
    /// One that begins now.
    #[must_use]
    pub fn new(settings: Settings, clock: Clock, now: u64) -> Self {
        Self::resume(settings, clock, (now, 0))
    }

    /// One that goes on where another one stopped, which had nothing left to tell ([`Exporter::position`]).
    #[must_use]
    pub fn resume(settings: Settings, clock: Clock, (boot, sequence): (u64, u32)) -> Self {
        Self {
            settings,
            clock,
            boot,
            sequence,
            flows: HashMap::new(),
            records: Vec::new(),
            datagrams: Vec::new(),
            swept: boot,
        }
    }

    /// When it began, and how many records it has told.
    #[must_use]
    pub const fn position(&self) -> (u64, u32) {
        (self.boot, self.sequence)
    }

    /// Changes how flows are told from now on.
    pub const fn set(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// How many flows are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.flows.len()
    }

    /// Whether no flow is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    /// A flow of the data path begins.
    pub fn begin(&mut self, key: FlowKey, output: u16, now: u64) {
        if let Some(flow) = self.find(key, output, now) {
            flow.references = flow.references.saturating_add(1);
        }
    }

    /// Packets of a flow were counted, which may be none.
    pub fn count(&mut self, key: FlowKey, count: Count, now: u64) {
        if count.packets == 0 {
            return;
        }
        let Some(flow) = self.find(key, count.output, count.used.min(now)) else {
            let flow = Flow { count, first: count.used.min(now), told: now, references: 0 };
            return self.tell(key, &flow, now);
        };
        if flow.count.packets == 0 && flow.told > flow.first {
            // It was told before: this is another sum.
            flow.first = count.used;
        }
        let sum = &mut flow.count;
        sum.packets = sum.packets.saturating_add(count.packets);
        sum.octets = sum.octets.saturating_add(count.octets);
        sum.flags |= count.flags;
        sum.used = sum.used.max(count.used);
    }

    /// The flow, which is made if it is not there; none if there is no room. Packets that went elsewhere are told.
    fn find(&mut self, key: FlowKey, output: u16, first: u64) -> Option<&mut Flow> {
        let new = || Flow {
            count: Count { output, used: first, ..Count::default() },
            first,
            told: first,
            references: 0,
        };
        if !self.flows.contains_key(&key) {
            if self.flows.len() >= MOST_FLOWS {
                return None;
            }
            return Some(self.flows.entry(key).or_insert_with(new));
        }
        let other = self.flows.get_mut(&key).filter(|flow| flow.count.output != output).map(|flow| {
            let references = flow.references;
            std::mem::replace(flow, Flow { references, ..new() })
        });
        if let Some(other) = other {
            self.tell(key, &other, first);
        }
        self.flows.get_mut(&key)
    }

    /// A flow of the data path is gone, and its last packets were counted.
    pub fn end(&mut self, key: FlowKey, now: u64) {
        let Some(flow) = self.flows.get_mut(&key) else { return };
        flow.references = flow.references.saturating_sub(1);
        if flow.references == 0
            && let Some(flow) = self.flows.remove(&key)
        {
            self.tell(key, &flow, now);
        }
    }

    /// What time brings: flows that go on for long are told, and what waits is sent.
    pub fn tick(&mut self, now: u64) {
        if now.saturating_sub(self.swept) >= SECOND {
            self.swept = now;
            self.sweep(now);
        }
        self.close(now);
    }

    fn sweep(&mut self, now: u64) {
        let timeout = self.settings.active_timeout;
        let mut due = Vec::new();
        self.flows.retain(|key, flow| {
            let idle = flow.references == 0 && now.saturating_sub(flow.count.used) >= IDLE;
            let old = timeout > 0 && now.saturating_sub(flow.told) >= timeout;
            if flow.count.packets > 0 && (idle || old) {
                due.push((*key, flow.clone()));
                let output = flow.count.output;
                flow.count = Count { output, used: flow.count.used, ..Count::default() };
                flow.told = now;
            } else if old {
                flow.told = now;
            }
            !idle
        });
        // Whatever order the table has: datagrams are the same each time.
        due.sort_unstable_by_key(|(key, _)| *key);
        for (key, flow) in due {
            self.tell(key, &flow, now);
        }
    }

    /// Tells everything that was counted. Flows stay as long as something refers to them.
    pub fn flush(&mut self, now: u64) {
        let mut due: Vec<(FlowKey, Flow)> = Vec::new();
        self.flows.retain(|key, flow| {
            due.push((*key, flow.clone()));
            flow.count = Count { output: flow.count.output, used: flow.count.used, ..Count::default() };
            flow.told = now;
            flow.references > 0
        });
        due.sort_unstable_by_key(|(key, _)| *key);
        for (key, flow) in due {
            self.tell(key, &flow, now);
        }
        self.close(now);
    }

    /// Datagrams that are to be sent.
    pub fn take(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.datagrams)
    }

    fn milliseconds(&self, time: u64) -> u32 {
        (time.saturating_sub(self.boot) / MILLISECOND) as u32
    }

    fn interface(&self, port: u16) -> u16 {
        if self.settings.add_id_to_interface {
            u16::from(self.settings.engine_id & 0x7f) << 9 | port & 0x1ff
        } else {
            port
        }
    }

    fn tell(&mut self, key: FlowKey, flow: &Flow, now: u64) {
        let Count { output, mut packets, mut octets, flags, used } = flow.count;
        if packets == 0 {
            return;
        }
        let most = u64::from(u32::MAX);
        let mut parts = packets.div_ceil(most).max(octets.div_ceil(most)).clamp(1, MOST_PARTS);
        let mut told = FlowKey { input: self.interface(key.input), ..key };
        if key.protocol == 1 {
            // Type and code of ICMP stand where the other transport port does.
            told.source_port = 0;
            told.destination_port = key.source_port << 8 | key.destination_port & 0xff;
        }
        let (first, last) = (self.milliseconds(flow.first), self.milliseconds(used.max(flow.first)));
        while parts > 0 {
            let share = |sum: u64| u32::try_from(sum / parts).unwrap_or(u32::MAX);
            let record = Record {
                key: told,
                output: self.interface(output),
                packets: share(packets),
                octets: share(octets),
                first,
                last,
                flags,
            };
            packets -= u64::from(record.packets);
            octets -= u64::from(record.octets);
            parts -= 1;
            self.records.push(record);
            if self.records.len() == MOST_RECORDS {
                self.close(now);
            }
        }
    }

    /// Makes a datagram of the records that wait.
    fn close(&mut self, now: u64) {
        if self.records.is_empty() {
            return;
        }
        let (seconds, nanoseconds) = self.clock.parts(now);
        let header = Header {
            uptime: self.milliseconds(now),
            seconds,
            nanoseconds,
            sequence: self.sequence,
            engine_type: self.settings.engine_type,
            engine_id: self.settings.engine_id,
        };
        self.datagrams.push(encode(&header, &self.records));
        self.sequence = self.sequence.wrapping_add(self.records.len() as u32);
        self.records.clear();
    }
}
