//! Interfaces: every kind with the attributes that Netloom sets and compares.
//!
//! `None` in a desired attribute means "whatever the kernel chose"; it is then not compared.

use super::LinkRef;
use netloom_wire::{InterfaceName, MacAddr, VlanId, Vni};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The kind with its own attributes.
    pub kind: LinkKind,
    /// Hardware address.
    pub mac: Option<MacAddr>,
    /// MTU in bytes of layer-3 payload.
    pub mtu: Option<u32>,
    /// Administratively up.
    pub up: bool,
    /// The bridge, bond or VRF this interface is a port of, in the same namespace.
    pub controller: Option<InterfaceName>,
    /// Settings as a port of a bridge; compared only when `controller` is a bridge.
    pub port: Option<BridgePort>,
    /// Offloads by ethtool feature name (`tx-checksum-ip-generic`) that the user set.
    pub features: BTreeMap<Arc<str>, bool>,
    /// Number of combined channels (queues), where the driver can change it.
    pub channels: Option<u32>,
}

impl Link {
    /// An interface of `kind`, up, with nothing else asked for.
    #[must_use]
    pub const fn new(kind: LinkKind) -> Self {
        Self {
            kind,
            mac: None,
            mtu: None,
            up: true,
            controller: None,
            port: None,
            features: BTreeMap::new(),
            channels: None,
        }
    }
}

/// What an interface is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum LinkKind {
    /// An interface that exists anyway and is only used (a NIC of the host, `lo`): never made,
    /// never deleted; its `up`, `mtu`, `controller` are set and put back.
    Existing,
    /// One end of a veth pair; making either end makes both.
    Veth {
        /// The other end.
        peer: LinkRef,
    },
    /// A bridge.
    Bridge(BridgeOptions),
    /// A layer-2 TAP device that persists without an open descriptor.
    Tap(TunTapOptions),
    /// A layer-3 TUN device that persists without an open descriptor.
    Tun(TunTapOptions),
    /// A macvlan.
    Macvlan {
        /// The interface it rides on, possibly in another namespace.
        parent: LinkRef,
        /// Mode.
        mode: MacvlanMode,
        /// Source addresses that are accepted, in mode `source`; empty in the other modes.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        sources: BTreeSet<MacAddr>,
    },
    /// An ipvlan.
    Ipvlan {
        /// The interface it rides on, possibly in another namespace.
        parent: LinkRef,
        /// Mode.
        mode: IpvlanMode,
        /// Flag.
        flag: IpvlanFlag,
    },
    /// A VLAN interface.
    Vlan {
        /// The interface it rides on, in the same namespace.
        parent: InterfaceName,
        /// VLAN ID.
        id: VlanId,
        /// Tag protocol.
        protocol: VlanProtocol,
    },
    /// A VXLAN tunnel endpoint.
    Vxlan(VxlanOptions),
    /// A Geneve tunnel endpoint.
    Geneve(GeneveOptions),
    /// A GRE tunnel carrying IP (`gre`, `ip6gre` by the family of its addresses).
    Gre(GreOptions),
    /// A GRE tunnel carrying Ethernet (`gretap`, `ip6gretap`).
    Gretap(GreOptions),
    /// A WireGuard interface.
    Wireguard(WireguardOptions),
    /// A dummy interface.
    Dummy,
    /// An intermediate functional block (for shaping what arrives).
    Ifb,
    /// A bond.
    Bond(BondOptions),
    /// A virtual routing and forwarding device.
    Vrf {
        /// Its routing table.
        table: u32,
    },
}

impl LinkKind {
    /// The kernel's name of the kind (`IFLA_INFO_KIND`); for existing interfaces `existing`.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Existing => "existing",
            Self::Veth { .. } => "veth",
            Self::Bridge(_) => "bridge",
            Self::Tap(_) => "tap",
            Self::Tun(_) => "tun",
            Self::Macvlan { .. } => "macvlan",
            Self::Ipvlan { .. } => "ipvlan",
            Self::Vlan { .. } => "vlan",
            Self::Vxlan(_) => "vxlan",
            Self::Geneve(_) => "geneve",
            Self::Gre(options) => {
                if options.is_v6() {
                    "ip6gre"
                } else {
                    "gre"
                }
            }
            Self::Gretap(options) => {
                if options.is_v6() {
                    "ip6gretap"
                } else {
                    "gretap"
                }
            }
            Self::Wireguard(_) => "wireguard",
            Self::Dummy => "dummy",
            Self::Ifb => "ifb",
            Self::Bond(_) => "bond",
            Self::Vrf { .. } => "vrf",
        }
    }
}

/// Bridge attributes (`IFLA_BR_*`, linux/if_link.h).
///
/// Times that were observed as `None` are hidden: with spanning tree the kernel shows the root's, or others
/// while the tree changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct BridgeOptions {
    /// Spanning tree (802.1D, in the kernel).
    pub stp: bool,
    /// Bridge priority for STP, 0 to 65535.
    pub priority: Option<u16>,
    /// Forward delay in centiseconds; 200 to 3000 with STP.
    pub forward_delay: Option<u32>,
    /// Hello time in centiseconds.
    pub hello_time: Option<u32>,
    /// Maximum age in centiseconds.
    pub max_age: Option<u32>,
    /// Ageing of learned addresses in centiseconds; 0 turns learning's memory off.
    pub ageing_time: Option<u32>,
    /// VLAN filtering.
    pub vlan_filtering: bool,
    /// PVID that new ports get; 0 for none.
    pub default_pvid: Option<u16>,
    /// IGMP/MLD snooping.
    pub multicast_snooping: Option<bool>,
    /// IGMP/MLD querier.
    pub multicast_querier: Option<bool>,
    /// VLANs of the bridge device itself (its own traffic), when it filters VLANs.
    pub vlans: BTreeSet<PortVlan>,
}

/// Settings of a bridge port (`IFLA_BRPORT_*`, linux/if_link.h).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgePort {
    /// Isolated ports reach only ports that are not isolated.
    pub isolated: bool,
    /// Hairpin: frames may leave by the port they came in.
    pub hairpin: bool,
    /// Whether addresses are learned; on by default.
    pub learning: Option<bool>,
    /// Whether unknown unicast is flooded to it; on by default.
    pub flood: Option<bool>,
    /// STP path cost.
    pub cost: Option<u32>,
    /// STP port priority, 0 to 63.
    pub priority: Option<u16>,
    /// VLAN membership; used only when the bridge filters VLANs.
    pub vlans: BTreeSet<PortVlan>,
}

/// Membership of a port in one VLAN (`BRIDGE_VLAN_INFO_*`, linux/if_bridge.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortVlan {
    /// VLAN ID.
    pub id: VlanId,
    /// Untagged arrivals belong to this VLAN.
    pub pvid: bool,
    /// Departures lose their tag.
    pub untagged: bool,
}

/// TUN/TAP attributes (linux/if_tun.h).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TunTapOptions {
    /// Several queues may be attached.
    pub multi_queue: bool,
    /// Frames carry a virtio-net header.
    pub vnet_header: bool,
    /// User who may attach; nobody but the owner of the namespace if absent.
    pub user: Option<u32>,
    /// Group that may attach.
    pub group: Option<u32>,
}

/// macvlan modes (`MACVLAN_MODE_*`, linux/if_link.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum MacvlanMode {
    Private,
    Vepa,
    Bridge,
    Passthru,
    Source,
}

/// ipvlan modes (`IPVLAN_MODE_*`, linux/if_link.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum IpvlanMode {
    L2,
    L3,
    L3s,
}

/// ipvlan flag (`IPVLAN_F_*`); `Bridge` is neither private nor VEPA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum IpvlanFlag {
    Bridge,
    Private,
    Vepa,
}

/// Tag protocol of a VLAN interface or a bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum VlanProtocol {
    /// 802.1Q, TPID 0x8100.
    #[serde(rename = "802.1Q")]
    Customer,
    /// 802.1ad, TPID 0x88a8.
    #[serde(rename = "802.1ad")]
    Service,
}

/// VXLAN attributes (`IFLA_VXLAN_*`, linux/if_link.h; RFC 7348).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VxlanOptions {
    /// Network identifier.
    pub vni: Vni,
    /// Source address of the outer header.
    pub local: Option<IpAddr>,
    /// Default remote VTEP or multicast group.
    pub remote: Option<IpAddr>,
    /// Interface that carries it; needed for a multicast group.
    pub device: Option<InterfaceName>,
    /// UDP destination port.
    pub port: u16,
    /// Whether remote addresses are learned from data.
    pub learning: bool,
    /// Hop limit; 0 inherits.
    pub ttl: Option<u8>,
}

/// Geneve attributes (`IFLA_GENEVE_*`, linux/if_link.h; RFC 8926).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GeneveOptions {
    /// Network identifier.
    pub vni: Vni,
    /// Remote endpoint.
    pub remote: IpAddr,
    /// UDP destination port.
    pub port: u16,
    /// Hop limit; 0 inherits.
    pub ttl: Option<u8>,
}

/// GRE attributes (`IFLA_GRE_*`, linux/if_tunnel.h; RFC 2784, RFC 2890).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GreOptions {
    /// Source address of the outer header.
    pub local: Option<IpAddr>,
    /// Remote endpoint.
    pub remote: IpAddr,
    /// Key, both ways.
    pub key: Option<u32>,
    /// Checksums, both ways.
    pub checksum: bool,
    /// Sequence numbers, both ways.
    pub sequence: bool,
    /// Hop limit; 0 inherits.
    pub ttl: Option<u8>,
}

impl GreOptions {
    /// Whether the outer header is IPv6.
    #[must_use]
    pub const fn is_v6(&self) -> bool {
        self.remote.is_ipv6()
    }
}

/// WireGuard attributes (`WGDEVICE_A_*`, linux/wireguard.h). Keys are 32 octets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireguardOptions {
    /// Curve25519 private key.
    pub private_key: [u8; 32],
    /// UDP port to listen on.
    pub listen_port: Option<u16>,
    /// Firewall mark of the outer packets.
    pub mark: Option<u32>,
    /// Peers.
    pub peers: Vec<WireguardPeer>,
}

/// A WireGuard peer (`WGPEER_A_*`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireguardPeer {
    /// Curve25519 public key.
    pub public_key: [u8; 32],
    /// Pre-shared key; all zero for none.
    pub preshared_key: Option<[u8; 32]>,
    /// Where it is; compared only if set (a peer may roam).
    pub endpoint: Option<SocketAddr>,
    /// Seconds between keep-alives.
    pub keepalive: Option<u16>,
    /// Inner addresses that may come from and go to this peer.
    pub allowed_ips: BTreeSet<ipnet::IpNet>,
}

/// Bond attributes (`IFLA_BOND_*`, linux/if_link.h).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BondOptions {
    /// Mode.
    pub mode: BondMode,
    /// Link monitoring interval in milliseconds.
    pub miimon: Option<u32>,
    /// Transmit hash policy (`layer2`, `layer2+3`, `layer3+4` ...).
    pub transmit_hash: Option<Arc<str>>,
    /// LACP at the fast rate.
    pub lacp_fast: Option<bool>,
    /// Preferred port, for active-backup.
    pub primary: Option<InterfaceName>,
}

/// Bond modes (Documentation/networking/bonding.rst).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum BondMode {
    BalanceRr,
    ActiveBackup,
    BalanceXor,
    Broadcast,
    #[serde(rename = "802.3ad")]
    Lacp,
    BalanceTlb,
    BalanceAlb,
}
