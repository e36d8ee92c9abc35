//! Counters of disciplines and classes (linux/gen_stats.h).

use super::TcError;
use super::qdisc::TCA_KIND;
use super::units::u32_at;
use super::wire::{HEADER, header};
use crate::netlink::{Messages, Reply, Socket};

const TCA_STATS2: u16 = 7;
const TCA_STATS_BASIC: u16 = 1;
const TCA_STATS_QUEUE: u16 = 3;
const TCA_STATS_APP: u16 = 4;
const TCA_STATS_PKT64: u16 = 8;

/// What passed and what did not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Octets sent.
    pub octets: u64,
    /// Packets sent.
    pub packets: u64,
    /// Packets dropped.
    pub drops: u32,
    /// How often a packet had to wait for its rate.
    pub overlimits: u32,
    /// Packets given back by the device.
    pub requeues: u32,
    /// Packets that wait.
    pub queued_packets: u32,
    /// Octets that wait.
    pub queued_octets: u32,
    /// Packets of an HTB class that went within its own rate.
    pub lends: u32,
    /// Packets of an HTB class that went with tokens borrowed from above.
    pub borrows: u32,
}

/// The counters of one discipline or class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statistics {
    /// The discipline's kind.
    pub kind: String,
    /// Its handle, or the class: major in the upper half, minor in the lower.
    pub handle: u32,
    /// What it is below.
    pub parent: u32,
    /// Whether it is a class.
    pub is_class: bool,
    /// The counters.
    pub counters: Counters,
}

/// Reads the counters of all disciplines and classes of an interface, disciplines first.
///
/// # Errors
/// When a dump fails.
pub fn statistics(socket: &mut Socket, ifindex: u32) -> Result<Vec<Statistics>, TcError> {
    let mut all = Vec::new();
    for (request, answer, is_class) in
        [(libc::RTM_GETQDISC, libc::RTM_NEWQDISC, false), (libc::RTM_GETTCLASS, libc::RTM_NEWTCLASS, true)]
    {
        let mut messages = Messages::new();
        messages.add(request, libc::NLM_F_DUMP as u16).header(&header(ifindex, 0, 0, 0));
        let replies = socket.request(&mut messages)?;
        let wanted = replies.iter().filter(|reply| reply.kind == answer && reply.fixed_u32(4) == ifindex);
        all.extend(wanted.map(|reply| read(&reply, is_class)));
    }
    Ok(all)
}

fn read(reply: &Reply<'_>, is_class: bool) -> Statistics {
    let attributes = reply.attributes(HEADER);
    let kind = attributes.get(TCA_KIND).and_then(|kind| kind.text()).unwrap_or_default().to_owned();
    let mut counters = Counters::default();
    let statistics = attributes.get(TCA_STATS2).map(|attribute| attribute.nested()).unwrap_or_default();
    let part = |kind: u16| statistics.get(kind).map_or(&[][..], |attribute| attribute.value);
    let word = |octets: &[u8], index: usize| u32_at(octets, 4 * index).unwrap_or(0);
    let basic = part(TCA_STATS_BASIC);
    if let Some(octets) = basic.get(..8).and_then(|octets| octets.try_into().ok()) {
        counters.octets = u64::from_ne_bytes(octets);
    }
    counters.packets = statistics
        .get(TCA_STATS_PKT64)
        .and_then(|attribute| attribute.u64())
        .unwrap_or_else(|| u64::from(word(basic, 2)));
    let queue = part(TCA_STATS_QUEUE);
    counters.queued_packets = word(queue, 0);
    counters.queued_octets = word(queue, 1);
    counters.drops = word(queue, 2);
    counters.requeues = word(queue, 3);
    counters.overlimits = word(queue, 4);
    if is_class && kind == "htb" {
        let own = part(TCA_STATS_APP);
        counters.lends = word(own, 0);
        counters.borrows = word(own, 1);
    }
    Statistics { kind, handle: reply.fixed_u32(8), parent: reply.fixed_u32(12), is_class, counters }
}
