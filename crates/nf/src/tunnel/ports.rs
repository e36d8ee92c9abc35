//! Tunnels as ports: which packets that arrive are whose, and in which headers packets leave.
//!
//! What: a snapshot of all tunnel ports and of the ways to their other ends. The control side makes a new one when
//! anything changes (a port, a route, a neighbour); workers and translators read it.
//!
//! ```text
//! arriving:  outer headers --arrival--> Decapsulate(a port of that kind) --find--> the port whose key and ends fit best
//! leaving:   Output(port) or a translator --encapsulation--> Encapsulation and the port of the next hop
//! ```
//!
//! Invariants: of several ports that fit, one that names the key goes before one that takes any, then one that names the
//! other end, then one that names ours (as in Open vSwitch, `tnl_find`).

use super::{Encapsulation, EncapsulationError, FLAG_CHECKSUM, FLAG_CONTROL, FLAG_DONT_FRAGMENT, FLAG_KEY};
use super::{OptionMap, Outer, Shim, TunnelKind};
use netloom_mem::PortNumber;
use netloom_table::{Field, Key, Mask};
use netloom_wire::MacAddr;
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

/// A value of a tunnel: its own, or the packet's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Chosen<T> {
    /// The packet's `tun_*` field says it.
    #[default]
    Flow,
    /// Always this.
    Fixed(T),
}

impl<T: Copy> Chosen<T> {
    fn fixed(&self) -> Option<T> {
        match self {
            Self::Flow => None,
            Self::Fixed(value) => Some(*value),
        }
    }
}

/// Type of service or time to live of the outer header, if the packet's `tun_*` field is not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outward {
    /// This.
    Value(u8),
    /// The inner packet's; this for a packet that has none.
    Inherit(u8),
}

/// One tunnel port.
#[derive(Debug, Clone)]
pub struct TunnelPort {
    /// What its packets are.
    pub kind: TunnelKind,
    /// Our address.
    pub local: Chosen<IpAddr>,
    /// The other end's.
    pub remote: Chosen<IpAddr>,
    /// Key of packets that arrive; `Fixed(None)` takes packets without a key only.
    pub key_in: Chosen<Option<u64>>,
    /// Key of packets that leave; `Fixed(None)` sends them without, where that is possible.
    pub key_out: Chosen<Option<u64>>,
    /// Type of service; its ECN bits are taken from the inner packet (RFC 6040).
    pub tos: Outward,
    /// Time to live.
    pub ttl: Outward,
    /// Routers may not fragment packets.
    pub dont_fragment: bool,
    /// There is a checksum.
    pub checksum: bool,
    /// GRE packets are numbered.
    pub sequence: bool,
    /// VXLAN packets that leave have the group of `tun_gbp_id`; without, those that arrive with one are taken all the same.
    pub group_policy: bool,
    /// ERSPAN type of packets that leave: 1 for II, 2 for III; the packet's if chosen by flow.
    pub erspan_version: Chosen<u8>,
    /// Index of ERSPAN type II.
    pub erspan_index: Chosen<u32>,
    /// Direction and engine of ERSPAN type III.
    pub erspan_engine: Chosen<(bool, u8)>,
    /// Which Geneve options are which fields.
    pub options: Arc<OptionMap>,
    /// Number of the next packet.
    pub numbers: Arc<AtomicU32>,
}

impl TunnelPort {
    /// A port of a kind whose ends and keys the packets choose, with the settings that Open vSwitch has by default.
    #[must_use]
    pub fn new(kind: TunnelKind) -> Self {
        Self {
            kind,
            local: Chosen::Flow,
            remote: Chosen::Flow,
            key_in: Chosen::Flow,
            key_out: Chosen::Flow,
            tos: Outward::Value(0),
            ttl: Outward::Value(64),
            dont_fragment: true,
            checksum: false,
            sequence: false,
            group_policy: false,
            erspan_version: Chosen::Flow,
            erspan_index: Chosen::Flow,
            erspan_engine: Chosen::Flow,
            options: Arc::default(),
            numbers: Arc::default(),
        }
    }
}

/// The way to another end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hop {
    /// The port by which packets leave, where no tables say it.
    pub port: PortNumber,
    /// The bridge's own interface whose route it is: the bridge's tables say how what comes from there goes on. None for an
    /// interface that is in no bridge.
    pub own: Option<PortNumber>,
    /// The next hop's MAC address.
    pub to_mac: MacAddr,
    /// Ours.
    pub from_mac: MacAddr,
    /// Tag control information on the way, where no tables say it; none without a tag.
    pub tag: Option<u16>,
    /// The source address, if the tunnel names none.
    pub from: IpAddr,
}

/// Why a packet can't leave through a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoWay {
    /// No tunnel has the number.
    #[error("port {0} is no tunnel")]
    NoTunnel(PortNumber),
    /// Neither the tunnel nor the packet names the other end.
    #[error("the packet does not say to which end of the tunnel it goes")]
    NoRemote,
    /// Nobody knows a way to the other end.
    #[error("no way to {0} is known")]
    NoHop(IpAddr),
    /// The headers can't be written.
    #[error(transparent)]
    Headers(#[from] EncapsulationError),
}

/// What an end is looked for by: kind, key, other end, our end.
type EndKey = (TunnelKind, Option<Option<u64>>, Option<IpAddr>, Option<IpAddr>);

/// All tunnel ports and the ways to their other ends.
#[derive(Debug, Clone, Default)]
pub struct Tunnels {
    ports: HashMap<PortNumber, TunnelPort>,
    ends: HashMap<EndKey, PortNumber>,
    /// Kinds that there are, with the lowest port of each and our addresses; none in the set for any address.
    kinds: Vec<(TunnelKind, PortNumber, BTreeSet<Option<IpAddr>>)>,
    hops: HashMap<IpAddr, Hop>,
}

impl Tunnels {
    /// Ports by number, and ways by the other end's address. Of two ports with equal ends and keys the lower number takes
    /// what arrives.
    #[must_use]
    pub fn new(
        ports: impl IntoIterator<Item = (PortNumber, TunnelPort)>,
        hops: impl IntoIterator<Item = (IpAddr, Hop)>,
    ) -> Self {
        let mut tunnels =
            Self { ports: ports.into_iter().collect(), hops: hops.into_iter().collect(), ..Self::default() };
        let mut numbers: Vec<PortNumber> = tunnels.ports.keys().copied().collect();
        numbers.sort_unstable();
        for number in numbers {
            let Some(port) = tunnels.ports.get(&number) else { continue };
            let (local, kind) = (port.local.fixed(), port.kind);
            let end = (kind, port.key_in.fixed(), port.remote.fixed(), local);
            tunnels.ends.entry(end).or_insert(number);
            match tunnels.kinds.iter_mut().find(|(known, ..)| *known == kind) {
                Some((.., locals)) => drop(locals.insert(local)),
                None => tunnels.kinds.push((kind, number, [local].into())),
            }
        }
        tunnels
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ports.is_empty()
    }

    /// A port's settings.
    #[must_use]
    pub fn get(&self, number: PortNumber) -> Option<&TunnelPort> {
        self.ports.get(&number)
    }

    /// The numbers of all ports.
    pub fn numbers(&self) -> impl Iterator<Item = PortNumber> {
        self.ports.keys().copied()
    }

    /// The way to an address, if one is known.
    #[must_use]
    pub fn hop(&self, to: IpAddr) -> Option<&Hop> {
        self.hops.get(&to)
    }

    /// For a packet that is addressed to this host: the number to [`crate::Action::Decapsulate`] it with, if its outer
    /// headers are a tunnel's. `mask` gets the fields that were looked at.
    #[must_use]
    pub fn arrival(&self, key: &Key, mask: &mut Mask) -> Option<PortNumber> {
        mask.add(Field::ETH_TYPE);
        let kind = key.get(Field::ETH_TYPE);
        if self.kinds.is_empty() || !matches!(kind, 0x0800 | 0x86dd) {
            return None;
        }
        mask.add(Field::IP_PROTO);
        let (protocol, mut port) = (key.get(Field::IP_PROTO), 0);
        if !matches!(protocol, 17 | 47) {
            return None;
        }
        mask.add(Field::IP_FRAG);
        if key.get(Field::IP_FRAG) != 0 {
            return None;
        }
        if protocol == 17 {
            mask.add(Field::TP_DST);
            port = key.get(Field::TP_DST) as u16;
        }
        let to = if kind == 0x0800 {
            mask.add(Field::IP4_DST);
            IpAddr::V4(Ipv4Addr::from_bits(key.get(Field::IP4_DST) as u32))
        } else {
            mask.add(Field::IP6_DST_HIGH);
            mask.add(Field::IP6_DST_LOW);
            IpAddr::V6(six(key, Field::IP6_DST_HIGH))
        };
        let fits = |kind: &TunnelKind| match kind {
            TunnelKind::Vxlan(of) | TunnelKind::VxlanGpe(of) | TunnelKind::Geneve(of) => {
                protocol == 17 && *of == port
            }
            TunnelKind::Gre | TunnelKind::Erspan => protocol == 47,
        };
        let mine = |locals: &BTreeSet<Option<IpAddr>>| locals.contains(&None) || locals.contains(&Some(to));
        let found = self.kinds.iter().find(|(kind, _, locals)| fits(kind) && mine(locals));
        found.map(|(_, number, _)| *number)
    }

    /// The port for a packet that came in headers of this kind, with the tunnel's fields in its key.
    #[must_use]
    pub fn find(&self, kind: TunnelKind, key: &Key) -> Option<PortNumber> {
        let has_key = key.get(Field::TUN_FLAGS) & FLAG_KEY != 0;
        let id = has_key.then(|| key.get(Field::TUN_ID));
        let (remote, local) =
            (end(key, Field::TUN_SRC, Field::TUN6_SRC_HIGH), end(key, Field::TUN_DST, Field::TUN6_DST_HIGH));
        for key in [Some(id), None] {
            for remote in [Some(remote), None] {
                for local in [Some(local), None] {
                    if let Some(number) = self.ends.get(&(kind, key, remote, local)) {
                        return Some(*number);
                    }
                }
            }
        }
        None
    }

    /// The headers with which a packet leaves through a tunnel, and the way out. `key` is the packet's, with the tunnel's
    /// fields that it was given; `mask` gets what was looked at.
    ///
    /// # Errors
    /// [`NoWay`]: why it can't leave.
    pub fn encapsulation(
        &self,
        number: PortNumber,
        key: &Key,
        mask: &mut Mask,
    ) -> Result<(Encapsulation, PortNumber), NoWay> {
        let (headers, hop) = self.make(number, key, mask, true)?;
        Ok((headers, hop.port))
    }

    /// The same for who asks the tables of the bridge on the way ([`Hop::own`]): those give the packet its tag.
    ///
    /// # Errors
    /// [`NoWay`]: why it can't leave.
    pub fn headers(
        &self,
        number: PortNumber,
        key: &Key,
        mask: &mut Mask,
    ) -> Result<(Encapsulation, Hop), NoWay> {
        self.make(number, key, mask, false)
    }

    fn make(
        &self,
        number: PortNumber,
        key: &Key,
        mask: &mut Mask,
        tagged: bool,
    ) -> Result<(Encapsulation, Hop), NoWay> {
        let port = self.ports.get(&number).ok_or(NoWay::NoTunnel(number))?;
        let mut look = |field: Field| {
            mask.add(field);
            key.get(field)
        };
        let remote = match port.remote {
            Chosen::Fixed(remote) => remote,
            Chosen::Flow => match look(Field::TUN_DST) as u32 {
                0 => {
                    let (high, low) = (look(Field::TUN6_DST_HIGH), look(Field::TUN6_DST_LOW));
                    IpAddr::V6(Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low)))
                }
                four => IpAddr::V4(Ipv4Addr::from_bits(four)),
            },
        };
        if remote.is_unspecified() {
            return Err(NoWay::NoRemote);
        }
        let hop = self.hops.get(&remote).ok_or(NoWay::NoHop(remote))?;
        let asked = match (port.local, remote) {
            (Chosen::Fixed(local), _) => Some(local),
            (Chosen::Flow, IpAddr::V4(_)) => {
                Some(IpAddr::V4(Ipv4Addr::from_bits(look(Field::TUN_SRC) as u32)))
            }
            (Chosen::Flow, IpAddr::V6(_)) => {
                let (high, low) = (look(Field::TUN6_SRC_HIGH), look(Field::TUN6_SRC_LOW));
                Some(IpAddr::V6(Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low))))
            }
        };
        let from = asked.filter(|address| !address.is_unspecified()).unwrap_or(hop.from);
        let flags = look(Field::TUN_FLAGS);
        let id = match port.key_out {
            Chosen::Fixed(id) => id,
            Chosen::Flow => Some(look(Field::TUN_ID)),
        };
        let inner = matches!(look(Field::ETH_TYPE), 0x0800 | 0x86dd);
        let chosen = |outward: Outward, own: u64, inherited: &mut dyn FnMut() -> u64| match (own, outward) {
            (0, Outward::Value(value)) => value,
            (0, Outward::Inherit(_)) if inner => inherited() as u8,
            (0, Outward::Inherit(otherwise)) => otherwise,
            (own, _) => own as u8,
        };
        let own = look(Field::TUN_TTL);
        let ttl = chosen(port.ttl, own, &mut || look(Field::IP_TTL));
        let own = look(Field::TUN_TOS);
        let tos = chosen(port.tos, own, &mut || look(Field::IP_TOS));
        let congestion = if inner { look(Field::IP_TOS) as u8 & 3 } else { 0 };
        let outer = Outer {
            to_mac: hop.to_mac,
            from_mac: hop.from_mac,
            tag: hop.tag.filter(|_| tagged || hop.own.is_none()),
            to: remote,
            from,
            tos: tos & !3 | ecn(congestion),
            ttl,
            dont_fragment: port.dont_fragment || flags & FLAG_DONT_FRAGMENT != 0,
            label: 0,
        };
        let packet_type = look(Field::PACKET_TYPE) as u32;
        let shim = port.shim((id, flags, packet_type), key, &mut look);
        let headers = Encapsulation::new(outer, shim)?.counted_by(port.numbers.clone());
        Ok((headers.of_port(number, hop.own.unwrap_or(hop.port)), *hop))
    }
}

/// What the outer header says about congestion: a router on the way may mark it where the inner one takes marks; a mark
/// that is there is copied (RFC 6040, normal mode, with CE as Linux and Open vSwitch have it: ECT(0)).
const fn ecn(inner: u8) -> u8 {
    if inner == 3 { 2 } else { inner }
}

impl TunnelPort {
    fn shim(
        &self,
        (id, flags, packet_type): (Option<u64>, u64, u32),
        key: &Key,
        look: &mut dyn FnMut(Field) -> u64,
    ) -> Shim {
        let checksum = self.checksum || flags & FLAG_CHECKSUM != 0;
        let vni = (id.unwrap_or(0) & 0xff_ffff) as u32;
        let protocol = if packet_type == 0 { 0x6558 } else { packet_type as u16 };
        match self.kind {
            TunnelKind::Vxlan(port) => {
                let gbp = self
                    .group_policy
                    .then(|| (look(Field::TUN_GBP_ID) as u16, look(Field::TUN_GBP_FLAGS) as u8));
                Shim::Vxlan { port, vni, gbp, checksum }
            }
            TunnelKind::VxlanGpe(port) => {
                let next = match protocol {
                    0x0800 => 1,
                    0x86dd => 2,
                    0x894f => 4,
                    0x8847 => 5,
                    _ => 3,
                };
                Shim::VxlanGpe { port, vni, next, checksum }
            }
            TunnelKind::Geneve(port) => {
                look(Field::TUN_OPTIONS);
                for option in self.options.options() {
                    let (at, length) = option.place();
                    Field::ALL
                        .iter()
                        .filter(|field| (48 + at / 8..48 + (at + length).div_ceil(8)).contains(&field.word()))
                        .for_each(|field| {
                            look(*field);
                        });
                }
                let options = self.options.write(key).into();
                Shim::Geneve { port, vni, protocol, control: flags & FLAG_CONTROL != 0, options, checksum }
            }
            TunnelKind::Gre => {
                Shim::Gre { protocol, key: id.map(|id| id as u32), sequence: self.sequence, checksum }
            }
            TunnelKind::Erspan => {
                let session = (id.unwrap_or(0) & 0x3ff) as u16;
                let version =
                    self.erspan_version.fixed().unwrap_or_else(|| look(Field::TUN_ERSPAN_VER) as u8);
                if version == 2 {
                    let (egress, hardware) = self.erspan_engine.fixed().unwrap_or_else(|| {
                        (look(Field::TUN_ERSPAN_DIR) == 1, look(Field::TUN_ERSPAN_HWID) as u8)
                    });
                    Shim::ErspanIII { session, hardware: hardware & 0x3f, egress }
                } else {
                    let index =
                        self.erspan_index.fixed().unwrap_or_else(|| look(Field::TUN_ERSPAN_IDX) as u32);
                    Shim::ErspanII { session, index: index & 0xf_ffff }
                }
            }
        }
    }
}

/// An address of the outer header that a packet came in.
fn end(key: &Key, four: Field, high: Field) -> IpAddr {
    match key.get(four) as u32 {
        0 => IpAddr::V6(six(key, high)),
        address => IpAddr::V4(Ipv4Addr::from_bits(address)),
    }
}

fn six(key: &Key, high: Field) -> Ipv6Addr {
    Ipv6Addr::from_bits(u128::from(key.word(high.word())) << 64 | u128::from(key.word(high.word() + 1)))
}
