//! What packet filters do with real packets: the kernel's own traces (`NFT_MSG_TRACE`).
//!
//! What: [`Tracer`] puts a table into a namespace whose rules mark the packets that are asked for, and hears from the kernel
//! which rule or policy of which chain let each of them pass or dropped it.
//!
//! Invariants: the table belongs to the tracer's socket (`NFT_TABLE_F_OWNER`, linux 5.12): the kernel removes it when the
//! socket is closed, however the process ends. Its chains only mark, behind a limit, and come before all others. No other
//! table is touched, and observations pass over it ([`is_tracer`]).

use super::constants::{INET, IP, IP6, base, cmp, message, meta, rule, verdict};
use super::expression::{Expression, R0};
use super::script::Piece;
use super::{HEADER, NftError, SUBSYSTEM, ask, dump, run, script};
use crate::error::KernelError;
use crate::kernel::Kernel;
use crate::netlink::{Attribute, NetlinkError, Protocol, Reply, Socket};
use netloom_compile::object::Space;
use netloom_compile::object::firewall::Firewall;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

/// `NFNLGRP_NFTRACE` (linux/netfilter/nfnetlink.h).
const GROUP: u32 = 9;
/// `NFT_MSG_TRACE`.
const TRACE: u16 = 17;
/// Before connection tracking (-200) and even `raw` (-300).
const PRIORITY: i32 = -400;
/// Packets a second that a rule marks.
const RATE: u64 = 1000;
/// How many may come at once.
const BURST: u32 = 200;
/// Most packets whose headers are remembered until their verdicts come.
const PACKETS: usize = 4096;

/// `NFTA_TRACE_*`.
mod attribute {
    pub(super) const TABLE: u16 = 1;
    pub(super) const CHAIN: u16 = 2;
    pub(super) const RULE_HANDLE: u16 = 3;
    pub(super) const KIND: u16 = 4;
    pub(super) const VERDICT: u16 = 5;
    pub(super) const ID: u16 = 6;
    pub(super) const NETWORK_HEADER: u16 = 8;
    pub(super) const TRANSPORT_HEADER: u16 = 9;
    pub(super) const POLICY: u16 = 16;
}

/// `NFT_TRACETYPE_POLICY`.
const KIND_POLICY: u32 = 1;

/// The packets that are marked: those that fit, and the answers to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracePattern {
    /// The two addresses; none for any.
    pub ends: Option<(IpAddr, IpAddr)>,
    /// IP protocol; none for any.
    pub protocol: Option<u8>,
    /// The port that is asked for at the second address; only with a protocol that has ports.
    pub port: Option<u16>,
}

/// What a packet filter did with a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traced {
    /// Its octets from the network header on, as far as the kernel tells them.
    pub octets: Vec<u8>,
    /// Whether it was dropped; else it went on.
    pub dropped: bool,
    /// Family, table and chain, as nft(8) prints them.
    pub chain: String,
    /// The rule that decided; none for the policy of the chain.
    pub rule: Option<TracedRule>,
}

/// A rule by what it says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TracedRule {
    /// Its handle.
    pub handle: u64,
    /// Its name or comment.
    pub name: Option<String>,
    /// Where the user's file asked for it.
    pub origin: Option<String>,
}

/// Traces in one namespace, as long as it lives.
#[derive(Debug)]
pub struct Tracer {
    /// The owner of the table; events come here as well.
    socket: Socket,
    /// For questions meanwhile.
    asking: Socket,
    packets: BTreeMap<u32, Vec<u8>>,
    rules: BTreeMap<(u8, String, String, u64), TracedRule>,
}

/// Whether a table is a tracer's.
#[must_use]
pub fn is_tracer(name: &str) -> bool {
    name.starts_with("netloom_why.")
}

impl AsFd for Tracer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Tracer {
    fn open(patterns: &[TracePattern]) -> Result<Self, NftError> {
        let mut socket = Socket::open(Protocol::Netfilter)?;
        let name = format!("netloom_why.{}", rustix::process::getpid().as_raw_nonzero());
        let mut piece = Piece::begin();
        piece.own_table(INET, &name);
        for (chain, hook) in [("prerouting", 0), ("output", 3)] {
            piece.filter_chain(INET, &name, chain, hook, PRIORITY);
            for expressions in patterns.iter().flat_map(rules) {
                piece.plain_rule(INET, &name, chain, &expressions);
            }
        }
        piece.end_plain();
        socket.subscribe(&[GROUP])?;
        run(&mut socket, &mut piece, &Firewall::default())?;
        let asking = Socket::open(Protocol::Netfilter)?;
        Ok(Self { socket, asking, packets: BTreeMap::new(), rules: BTreeMap::new() })
    }

    /// What was done with marked packets since the last look. Events that came faster than they were read are lost.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn read(&mut self) -> Result<Vec<Traced>, NetlinkError> {
        let Some(replies) = self.socket.events()? else { return Ok(Vec::new()) };
        let list: Vec<Traced> = replies
            .iter()
            .filter(|reply| reply.kind == SUBSYSTEM | TRACE)
            .filter_map(|reply| self.event(&reply))
            .collect();
        Ok(list)
    }

    fn event(&mut self, reply: &Reply<'_>) -> Option<Traced> {
        let attributes = reply.attributes(HEADER);
        let number = |kind| attributes.get(kind).and_then(Attribute::u32_be);
        let text = |kind| attributes.get(kind).and_then(Attribute::text).unwrap_or_default().to_owned();
        let [family] = reply.fixed(0);
        let id = number(attribute::ID)?;
        if let Some(network) = attributes.get(attribute::NETWORK_HEADER) {
            let transport = attributes.get(attribute::TRANSPORT_HEADER).map_or(&[][..], |part| part.value);
            if self.packets.len() >= PACKETS {
                self.packets.pop_first();
            }
            self.packets.insert(id, [network.value, transport].concat());
        }
        let octets = self.packets.get(&id)?.clone();
        let (table, chain) = (text(attribute::TABLE), text(attribute::CHAIN));
        let kind = number(attribute::KIND)?;
        let code = match kind {
            KIND_POLICY => number(attribute::POLICY)? as i32,
            _ => attributes.get(attribute::VERDICT)?.nested().get(1)?.u32_be()? as i32,
        };
        let handle = attributes
            .get(attribute::RULE_HANDLE)
            .and_then(|handle| Some(u64::from_be_bytes(handle.value.get(..8)?.try_into().ok()?)));
        // Steps within a chain say nothing that decides; our own marks are no news but that the packet is there.
        let dropped = code == verdict::DROP;
        if !(dropped || is_tracer(&table) && kind == KIND_POLICY) {
            return None;
        }
        let rule = handle.filter(|_| dropped && kind != KIND_POLICY).map(|handle| {
            let key = (family, table.clone(), chain.clone(), handle);
            if let Some(known) = self.rules.get(&key) {
                return known.clone();
            }
            let found = look_up(&mut self.asking, family, &table, &chain, handle);
            self.rules.insert(key, found.clone());
            found
        });
        let chain = format!("{} {table} {chain}", dump::family_name(family));
        Some(Traced { octets, dropped, chain, rule })
    }
}

/// What a rule says of itself.
fn look_up(socket: &mut Socket, family: u8, table: &str, chain: &str, handle: u64) -> TracedRule {
    let mut found = TracedRule { handle, ..TracedRule::default() };
    let of = [(rule::TABLE, table), (rule::CHAIN, chain)];
    let Ok(replies) = ask(socket, message::GET_RULE, family, &of) else { return found };
    for attributes in replies.iter().map(|reply| reply.attributes(HEADER)) {
        let text = |kind| attributes.get(kind).and_then(Attribute::text);
        let is = attributes.get(rule::HANDLE).is_some_and(|own| own.value == handle.to_be_bytes());
        if is && text(rule::TABLE) == Some(table) && text(rule::CHAIN) == Some(chain) {
            if let Some(userdata) = attributes.get(rule::USERDATA) {
                (found.name, found.origin) = script::labels(userdata.value);
            }
            break;
        }
    }
    found
}

/// The rules that mark what a pattern asks for: one for each direction.
fn rules(pattern: &TracePattern) -> Vec<Vec<Expression>> {
    let equal = |data: Vec<u8>| Expression::Compare { from: R0, operation: cmp::EQUAL, data };
    let load = |base, offset, length| Expression::Payload { base, offset, length, to: R0 };
    let address = |address: IpAddr, source: bool| {
        let (octets, offset) = match address {
            IpAddr::V4(v4) => (v4.octets().to_vec(), if source { 12 } else { 16 }),
            IpAddr::V6(v6) => (v6.octets().to_vec(), if source { 8 } else { 24 }),
        };
        [load(base::NETWORK, offset, octets.len() as u32), equal(octets)]
    };
    let direction = |back: bool| {
        let mut list = Vec::new();
        if let Some((one, other)) = pattern.ends {
            let family = if one.is_ipv4() { IP } else { IP6 };
            list.extend([Expression::Meta { key: meta::NFPROTO, to: R0 }, equal(vec![family])]);
            list.extend(address(one, !back));
            list.extend(address(other, back));
        }
        if let Some(protocol) = pattern.protocol {
            list.extend([Expression::Meta { key: meta::L4PROTO, to: R0 }, equal(vec![protocol])]);
        }
        if let Some(port) = pattern.port {
            list.extend([
                load(base::TRANSPORT, if back { 0 } else { 2 }, 2),
                equal(port.to_be_bytes().to_vec()),
            ]);
        }
        list.extend([
            Expression::Limit { rate: RATE, seconds: 1, burst: BURST, over: false },
            Expression::Immediate { to: R0, data: vec![1] },
            Expression::MetaSet { key: meta::TRACE, from: R0 },
        ]);
        list
    };
    if pattern.ends.is_none() && pattern.port.is_none() {
        return vec![direction(false)];
    }
    vec![direction(false), direction(true)]
}

impl Kernel {
    /// Traces packets through the packet filters of a namespace; `None` if there is none.
    ///
    /// # Errors
    /// Without nf_tables, or on kernels that can't give a table an owner (before 5.12).
    pub fn tracer(&self, space: &Space, patterns: &[TracePattern]) -> Result<Option<Tracer>, KernelError> {
        self.with_namespace(space, |namespace| {
            namespace
                .run(|| Tracer::open(patterns))?
                .map_err(|error| KernelError::Trace { space: space.to_string(), source: Box::new(error) })
        })
    }
}
