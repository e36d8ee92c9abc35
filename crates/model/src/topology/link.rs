//! Links between two interfaces, and interfaces that stand on others.

use super::{FromShort, OneOrMany};
use crate::document::Spanned;
use crate::scalar::{Address, InterfaceRef, LinkEnds, Percent, Prefix, Rate, TimeSpan};
use netloom_wire::{InterfaceName, VlanId, Vni};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// A link. Two-ended kinds name `link: a:eth0 -- b:eth0`; one-ended kinds name `on: a:eth0`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Link {
    /// The two ends, for veth and for gre, gretap, geneve, vxlan and wireguard between two nodes.
    pub link: Option<Spanned<LinkEnds>>,
    /// The one interface, for the other kinds, and for tunnels to somewhere outside.
    pub on: Option<Spanned<InterfaceRef>>,
    /// What it is; veth if absent.
    pub kind: LinkKind,
    /// Addresses, for the ends in turn: first, second, first, second ...; all for the interface of `on`.
    pub addresses: Vec<Spanned<Address>>,
    /// MTU; computed from the encapsulation if absent.
    #[schemars(range(min = 68, max = 65535))]
    pub mtu: Option<Spanned<u32>>,
    /// Administrative state; up if absent.
    pub up: Option<bool>,
    /// A medium's rate, delay, loss and duplex, or these by hand.
    pub medium: Option<Medium>,
    /// vlan, macvlan, ipvlan: the interface below, in the same node.
    pub parent: Option<Spanned<InterfaceName>>,
    /// vlan: VLAN ID.
    pub id: Option<Spanned<VlanId>>,
    /// vlan: tag with 802.1ad instead of 802.1Q.
    pub service_tag: Option<bool>,
    /// macvlan: private, vepa, bridge, passthru, source. ipvlan: l2, l3, l3s. bond: balance-rr,
    /// active-backup, balance-xor, broadcast, 802.3ad, balance-tlb, balance-alb.
    pub mode: Option<Spanned<String>>,
    /// vxlan, geneve: network identifier.
    pub vni: Option<Spanned<Vni>>,
    /// Tunnels: outer source address, for the first end; found from the node's addresses if absent.
    pub local: Option<Spanned<IpAddr>>,
    /// Tunnels: outer destination, for the first end; found from the other node's addresses if absent.
    pub remote: Option<Spanned<IpAddr>>,
    /// vxlan: multicast group.
    pub group: Option<Spanned<IpAddr>>,
    /// vxlan: interface below, needed with a group.
    pub device: Option<Spanned<InterfaceName>>,
    /// vxlan, geneve, wireguard: UDP port.
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
    /// Tunnels: hop limit of the outer header.
    #[schemars(range(min = 0, max = 255))]
    pub ttl: Option<u8>,
    /// gre, gretap: key.
    pub key: Option<u32>,
    /// gre, gretap: checksums.
    pub checksum: Option<bool>,
    /// gre, gretap: sequence numbers.
    pub sequence: Option<bool>,
    /// bond: its ports. vrf: its interfaces.
    pub members: Vec<Spanned<InterfaceName>>,
    /// bond: preferred port.
    pub primary: Option<Spanned<InterfaceName>>,
    /// bond: link monitoring interval; 100ms if absent.
    pub monitor: Option<Spanned<TimeSpan>>,
    /// bond: transmit hash policy.
    pub transmit_hash: Option<Spanned<String>>,
    /// bond 802.3ad: LACP at the fast rate.
    pub lacp_fast: Option<bool>,
    /// vrf: table.
    pub table: Option<Spanned<u32>>,
    /// wireguard: seconds between keep-alives.
    pub keepalive: Option<u16>,
    /// wireguard: prefixes that each end may send besides its own addresses: from the first to the second end.
    pub allowed_a: OneOrMany<Spanned<Prefix>>,
    /// wireguard: and from the second end to the first.
    pub allowed_b: OneOrMany<Spanned<Prefix>>,
    /// tap, tun: several queues.
    pub multi_queue: Option<bool>,
    /// tap, tun: virtio-net header.
    pub vnet_header: Option<bool>,
    /// tap, tun: user ID that may attach.
    pub user: Option<u32>,
    /// tap, tun: group ID that may attach.
    pub group_id: Option<u32>,
}

impl FromShort for Link {
    const FORMAT: &'static str = LinkEnds::FORMAT;

    fn from_short(text: &str) -> Result<Self, String> {
        let ends: LinkEnds = text.parse().map_err(|error: crate::scalar::ScalarError| error.to_string())?;
        // The span is that of the whole list item; `validate` uses it when this one is empty.
        Ok(Self { link: Some(Spanned::from(ends)), ..Self::default() })
    }
}

/// What a link is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LinkKind {
    /// A virtual cable.
    #[default]
    Veth,
    /// A layer-2 interface whose other side is a program (a virtual machine).
    Tap,
    /// A layer-3 interface whose other side is a program (a VPN).
    Tun,
    /// An interface with a MAC address of its own on a parent.
    Macvlan,
    /// An interface that shares its parent's MAC address.
    Ipvlan,
    /// One VLAN of a parent.
    Vlan,
    /// A VXLAN tunnel.
    Vxlan,
    /// A Geneve tunnel.
    Geneve,
    /// A GRE tunnel of IP packets.
    Gre,
    /// A GRE tunnel of Ethernet frames.
    Gretap,
    /// An encrypted tunnel; keys are made and kept by Netloom.
    Wireguard,
    /// An interface that leads nowhere.
    Dummy,
    /// Several interfaces as one.
    Bond,
    /// A routing table of its own for some interfaces.
    Vrf,
    /// A device for shaping what arrives.
    Ifb,
}

/// What the cable is made of: a named profile, and single properties that override it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Medium {
    /// cat5, cat5e, cat6, cat6a, fibre-sm (smf), fibre-mm (mmf), coax (rg6), rg11, wifi-n, wifi-ac, wifi-ax,
    /// 4g (lte), 5g.
    pub profile: Option<Spanned<String>>,
    /// Length in metres, for the propagation delay.
    pub length: Option<u32>,
    /// Rate each way (or shared, if half duplex).
    pub rate: Option<Spanned<Rate>>,
    /// Delay one way.
    pub delay: Option<Spanned<TimeSpan>>,
    /// Variation of the delay.
    pub jitter: Option<Spanned<TimeSpan>>,
    /// Share of packets lost.
    pub loss: Option<Spanned<Percent>>,
    /// Share of packets sent twice.
    pub duplicate: Option<Spanned<Percent>>,
    /// Share of packets with a wrong bit.
    pub corrupt: Option<Spanned<Percent>>,
    /// Share of packets that overtake others.
    pub reorder: Option<Spanned<Percent>>,
    /// Whether both ends may send at once, in turn, or only the first.
    pub duplex: Option<Spanned<Duplex>>,
}

/// Who may send when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Duplex {
    /// Both at once.
    Full,
    /// One at a time.
    Half,
    /// Only the first end; what the second end sends is dropped and counted.
    Simplex,
}
