//! What connections stand on: the bridges' tables, ports and packets, as a trait small enough to be made for a test.

use super::super::news::News;
use super::super::tables::Desk;
use netloom_datapath::QueueTotals;
use netloom_mem::PortNumber;
use netloom_nf::conntrack::{PartOfTuple, Pattern, Tracker};
use netloom_proto::openflow::message::{ConntrackFlush, ConntrackTuple, IpfixStatistics};
use netloom_proto::openflow::{Action, OfError, OfPort};
use netloom_table::Key;
use netloom_vswitch::openflow::{Frozen, Pipeline};
use std::net::Ipv6Addr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// What a port counted, in packets and octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in super::super) struct PortCounts {
    pub(in super::super) received: u64,
    pub(in super::super) received_octets: u64,
    pub(in super::super) sent: u64,
    pub(in super::super) sent_octets: u64,
    pub(in super::super) sent_dropped: u64,
}

/// What a queue of a port counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in super::super) struct QueueCounts {
    pub(in super::super) queue: u32,
    pub(in super::super) packets: u64,
    pub(in super::super) octets: u64,
    pub(in super::super) errors: u64,
    /// Nanoseconds for which the queue is there.
    pub(in super::super) age: u64,
}

/// What connections need of the switch. Bridges are named; one that is not there does nothing.
pub(in super::super) trait Ground: Send + 'static {
    /// Nanoseconds on the clock of the switch.
    fn now(&self) -> u64;

    /// From now on bridges keep what they have to tell; the descriptor is readable when there is something.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    fn listen(&self) -> std::io::Result<Arc<OwnedFd>>;

    /// Works on the tables of a bridge, alone; what it changed is carried to the workers before this returns.
    fn work<T>(&self, bridge: &str, work: impl FnOnce(&mut Pipeline, u64) -> T) -> Option<T>;

    /// Looks at the tables of a bridge, alone, and changes nothing.
    fn look<T>(&self, bridge: &str, look: impl FnOnce(&Pipeline, u64) -> T) -> Option<T>;

    /// What a bridge told since it was asked last: a bounded queue.
    fn news(&self, bridge: &str) -> Vec<News>;

    /// Has everything counted that was carried, so that what tables say of packets is exact.
    fn count(&self);

    /// What a port of the data path counted.
    fn counts(&self, port: PortNumber) -> PortCounts;

    /// Queues of a port, and what they counted; all ones for what is not known.
    fn queues(&self, port: PortNumber) -> Vec<QueueCounts> {
        let _ = port;
        Vec::new()
    }

    /// Sends a packet through actions, which were checked. `beside` is what it has beside its octets.
    ///
    /// # Errors
    /// What the controller is told.
    fn packet_out(
        &self,
        bridge: &str,
        port: OfPort,
        actions: Arc<[Action]>,
        beside: &Key,
        octets: Vec<u8>,
    ) -> Result<(), OfError>;

    /// Goes on with a packet that waited for a controller.
    ///
    /// # Errors
    /// What the controller is told.
    fn resume(&self, bridge: &str, state: Frozen, beside: &Key, octets: Vec<u8>) -> Result<(), OfError>;

    /// Whether this switch is one for tests: then controllers may use actions for tests.
    fn is_for_tests(&self) -> bool {
        false
    }

    /// What the exporter of a bridge's sums (IPFIX) counted; none without one.
    fn bridge_samples(&self, bridge: &str) -> Option<IpfixStatistics> {
        let _ = bridge;
        None
    }

    /// What the exporters of what flows sample counted.
    fn flow_samples(&self, bridge: &str) -> Vec<IpfixStatistics> {
        let _ = bridge;
        Vec::new()
    }

    /// Forgets connections: those of a zone, or those that are alike.
    fn forget_connections(&self, zone: Option<u16>, alike: Option<&ConntrackFlush>);
}

/// The switch itself.
#[derive(Debug, Clone)]
pub(super) struct Floor {
    pub(super) desk: Desk,
    pub(super) tracker: Arc<Tracker>,
}

/// Which connections are forgotten, in the words of Open vSwitch's log.
fn which(zone: Option<u16>, alike: Option<&ConntrackFlush>) -> String {
    let Some(alike) = alike.filter(|alike| **alike != ConntrackFlush { zone, ..ConntrackFlush::default() })
    else {
        return zone.map_or_else(|| "<all>".to_owned(), |zone| format!("zone {zone}"));
    };
    let tuple = |tuple: &ConntrackTuple, protocol: u8| {
        let address = |address: Option<Ipv6Addr>| {
            address.map_or_else(|| "::".to_owned(), |address| address.to_canonical().to_string())
        };
        let (source, destination) = (address(tuple.source), address(tuple.destination));
        let rest = match alike.protocol {
            1 | 58 => format!(
                "icmp_id={},icmp_type={},icmp_code={}",
                tuple.icmp_identifier.unwrap_or(0),
                tuple.icmp_kind.unwrap_or(0),
                tuple.icmp_code.unwrap_or(0)
            ),
            _ => format!(
                "ct_tp_src={},ct_tp_dst={}",
                tuple.source_port.unwrap_or(0),
                tuple.destination_port.unwrap_or(0)
            ),
        };
        let protocol = if protocol == 0 { String::new() } else { format!(",ct_nw_proto={protocol}") };
        format!("'ct_nw_src={source},ct_nw_dst={destination},{rest}{protocol}'")
    };
    let (original, reply) = (tuple(&alike.original, alike.protocol), tuple(&alike.reply, 0));
    format!("zone={} {original} {reply}", zone.unwrap_or(0))
}

/// What of a connection's tuple is meant.
fn part(tuple: &ConntrackTuple) -> PartOfTuple {
    let address = |address: Option<Ipv6Addr>| address.map(|address| address.to_canonical());
    PartOfTuple {
        source: address(tuple.source),
        destination: address(tuple.destination),
        source_port: tuple.source_port,
        destination_port: tuple.destination_port,
        icmp_id: tuple.icmp_identifier,
        icmp_type: tuple.icmp_kind,
        icmp_code: tuple.icmp_code,
    }
}

impl Ground for Floor {
    fn now(&self) -> u64 {
        self.desk.now()
    }

    fn listen(&self) -> std::io::Result<Arc<OwnedFd>> {
        self.desk.listen()
    }

    fn work<T>(&self, bridge: &str, work: impl FnOnce(&mut Pipeline, u64) -> T) -> Option<T> {
        let now = self.desk.now();
        let done = {
            let mut bridges = self.desk.lock();
            let number = bridges.number_of(bridge)?;
            work(bridges.pipelines.get_mut(&number)?, now)
        };
        self.desk.publish();
        Some(done)
    }

    fn look<T>(&self, bridge: &str, look: impl FnOnce(&Pipeline, u64) -> T) -> Option<T> {
        let bridges = self.desk.lock();
        let number = bridges.number_of(bridge)?;
        Some(look(bridges.pipelines.get(&number)?, self.desk.now()))
    }

    fn news(&self, bridge: &str) -> Vec<News> {
        let mut bridges = self.desk.lock();
        let Some(number) = bridges.number_of(bridge) else { return Vec::new() };
        bridges.take_news(number).into()
    }

    fn count(&self) {
        if let Err(error) = self.desk.count() {
            tracing::warn!(%error, "packets are not counted");
        }
    }

    fn queues(&self, port: PortNumber) -> Vec<QueueCounts> {
        // A port for tests has one queue that counts nothing, as that of Open vSwitch does.
        let dummy = self.desk.lock().dummies.contains(&port);
        let unknown =
            QueueCounts { queue: 0, packets: u64::MAX, octets: u64::MAX, errors: u64::MAX, age: u64::MAX };
        if dummy {
            return vec![unknown];
        }
        let now = self.now();
        let counts = |(queue, totals, since): (u32, QueueTotals, u64)| QueueCounts {
            queue,
            packets: totals.packets,
            octets: totals.octets,
            errors: totals.lost,
            age: now.saturating_sub(since),
        };
        self.desk.queues(port).into_iter().map(counts).collect()
    }

    fn counts(&self, port: PortNumber) -> PortCounts {
        let totals = self.desk.totals(port);
        let dummy = self.desk.lock().dummies.contains(&port);
        PortCounts {
            received: totals.received,
            received_octets: totals.received_octets,
            sent: totals.sent,
            sent_octets: totals.sent_octets,
            sent_dropped: if dummy { u64::MAX } else { totals.unsent },
        }
    }

    fn packet_out(
        &self,
        bridge: &str,
        port: OfPort,
        actions: Arc<[Action]>,
        beside: &Key,
        octets: Vec<u8>,
    ) -> Result<(), OfError> {
        let number = self.desk.lock().number_of(bridge).ok_or(OfError::OFPBRC_EPERM)?;
        self.desk.packet_out(number, port, actions, beside, octets).map_err(|error| {
            tracing::warn!(bridge, %error, "a packet of a controller is not sent");
            OfError::OFPBRC_EPERM
        })
    }

    fn resume(&self, bridge: &str, state: Frozen, beside: &Key, octets: Vec<u8>) -> Result<(), OfError> {
        let number = self.desk.lock().number_of(bridge).ok_or(OfError::OFPBRC_EPERM)?;
        self.desk.resume(number, Arc::new(state), beside, octets).map_err(|error| {
            tracing::warn!(bridge, %error, "a packet does not go on");
            OfError::OFPBRC_EPERM
        })
    }

    fn bridge_samples(&self, bridge: &str) -> Option<IpfixStatistics> {
        // What was made is sent first, so that it counts as sent.
        self.desk.export();
        let bridges = self.desk.lock();
        bridges.exports.bridge_statistics(bridges.number_of(bridge)?)
    }

    fn flow_samples(&self, bridge: &str) -> Vec<IpfixStatistics> {
        self.desk.export();
        let bridges = self.desk.lock();
        bridges.number_of(bridge).map_or_else(Vec::new, |number| bridges.exports.set_statistics(number))
    }

    fn is_for_tests(&self) -> bool {
        !self.desk.lock().dummies.is_empty()
    }

    fn forget_connections(&self, zone: Option<u16>, alike: Option<&ConntrackFlush>) {
        let mut pattern = Pattern { zone, ..Pattern::default() };
        if let Some(alike) = alike {
            pattern.protocol = Some(alike.protocol).filter(|protocol| *protocol != 0);
            (pattern.original, pattern.reply) = (part(&alike.original), part(&alike.reply));
        }
        let count = self.tracker.flush(&pattern);
        tracing::debug!(target: "ct_dpif", "{count} connections are forgotten; ct_flush: {}", which(zone, alike));
    }
}
