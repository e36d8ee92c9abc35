//! What random topologies are made of.

use super::Palette;
use proptest::prelude::*;

/// A part of a topology with names and addresses of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// What it is.
    pub shape: Shape,
    /// How many nodes, 1 to 12.
    pub size: u8,
    /// Bits that choose details; each shape reads its own.
    pub detail: u32,
}

/// The kinds of pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A network of mode bridge, host-only, routed or nat without a way out, with nodes.
    Switch,
    /// A NAT or routed network behind another network.
    Behind,
    /// Two switches with VLANs and a link between them.
    Vlans,
    /// Switches in a circle with spanning tree.
    Circle,
    /// An underlay, nodes on it, and an overlay between them.
    Overlay,
    /// A wire and a macvlan network on it.
    Macvlan,
    /// A wire and an ipvlan network on it.
    Ipvlan,
    /// A chain of nodes by veth links with addresses.
    Chain,
    /// Routers between two networks, with routes, rules, masquerade and a firewall.
    Routers,
    /// Replicated nodes.
    Replicas,
    /// Taps and tuns.
    Taps,
    /// Interfaces on interfaces: vlan, bond, macvlan, ipvlan, dummy, ifb, vrf.
    Stacked,
    /// Tunnels between two nodes.
    Tunnels,
    /// A generator.
    Generator,
    /// A NAT or routed network that leaves by the host, and nodes that run commands and set sysctls.
    Uplink,
}

const COMMON: [Shape; 12] = [
    Shape::Switch,
    Shape::Behind,
    Shape::Vlans,
    Shape::Circle,
    Shape::Overlay,
    Shape::Macvlan,
    Shape::Chain,
    Shape::Routers,
    Shape::Replicas,
    Shape::Taps,
    Shape::Generator,
    Shape::Uplink,
];
const RARE: [Shape; 3] = [Shape::Ipvlan, Shape::Stacked, Shape::Tunnels];

/// Bits of [`Piece::detail`] that the palette decides, not chance.
const ALLOW_RARE: u32 = 1 << 31;
const ALLOW_MEDIA: u32 = 1 << 30;

pub(super) fn piece(palette: Palette) -> impl Strategy<Value = Piece> {
    let mut shapes = COMMON.to_vec();
    if palette.rare_kinds {
        shapes.extend(RARE);
    }
    let allowed =
        if palette.rare_kinds { ALLOW_RARE } else { 0 } | if palette.media { ALLOW_MEDIA } else { 0 };
    (prop::sample::select(shapes), 1u8..=12, any::<u32>()).prop_map(move |(shape, size, detail)| Piece {
        shape,
        size,
        detail: detail & !(ALLOW_RARE | ALLOW_MEDIA) | allowed,
    })
}

impl Piece {
    /// A number below `below` made of the bits from `at`.
    pub(super) fn choose(&self, at: u32, below: u32) -> u32 {
        (self.detail & !(ALLOW_RARE | ALLOW_MEDIA)).rotate_right(at) % below.max(1)
    }

    /// A choice between two.
    pub(super) fn flag(&self, at: u32) -> bool {
        self.choose(at, 2) == 1
    }

    pub(super) fn rare(&self) -> bool {
        self.detail & ALLOW_RARE != 0
    }

    pub(super) fn media(&self) -> bool {
        self.detail & ALLOW_MEDIA != 0
    }

    /// Changes it a little: one node more or less, or one detail.
    pub(super) fn vary(&mut self, how: u8) {
        match how % 4 {
            0 if self.size < 12 => self.size += 1,
            1 if self.size > 1 => self.size -= 1,
            _ => self.detail ^= 1 << (u32::from(how / 4) % 24),
        }
    }
}
