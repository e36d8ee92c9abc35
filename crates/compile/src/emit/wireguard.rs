//! WireGuard: keys made from the topology's secret, and peers from the other ends.
//!
//! Key material: HKDF-SHA-256 (RFC 5869) of the seed, with topology, node and interface as information,
//! clamped as X25519 asks (RFC 7748 section 5). So a key stays as long as seed and names stay, and no key
//! has to be stored.

use crate::inventory::{Device, Inventory, Make};
use crate::object::{LinkKind, LinkRef, WireguardOptions, WireguardPeer};
use hkdf::Hkdf;
use ipnet::IpNet;
use netloom_model::topology::{self, LinkKind as Kind};
use sha2::Sha256;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// Where listen ports begin, as with `wg-quick`.
const FIRST_PORT: u16 = 51820;

/// Keys and ports of every WireGuard interface.
pub(super) struct Keys {
    devices: BTreeMap<LinkRef, Identity>,
}

/// What one interface has of its own.
struct Identity {
    private: [u8; 32],
    public: [u8; 32],
    port: u16,
}

impl Keys {
    pub(super) fn new(inventory: &Inventory<'_>, seed: &[u8; 32]) -> Self {
        let topology = inventory.topology.name.as_str();
        let mut devices = BTreeMap::new();
        let mut count: BTreeMap<_, u16> = BTreeMap::new();
        for (at, device) in inventory.devices.iter() {
            let Some(link) = wireguard(device) else { continue };
            let index = count.entry(&at.space).or_default();
            let port = link.port.unwrap_or_else(|| FIRST_PORT.saturating_add(*index));
            *index = index.saturating_add(1);
            let private = private_key(seed, &[topology, &at.space.to_string(), at.name.as_str()]);
            let public = x25519_dalek::x25519(private, x25519_dalek::X25519_BASEPOINT_BYTES);
            devices.insert(at.clone(), Identity { private, public, port });
        }
        Self { devices }
    }
}

fn wireguard<'a>(device: &Device<'a>) -> Option<&'a topology::Link> {
    match device.make {
        Make::Single { link } | Make::TunnelEnd { link, .. } if link.kind == Kind::Wireguard => Some(link),
        _ => None,
    }
}

fn private_key(seed: &[u8; 32], names: &[&str]) -> [u8; 32] {
    let mut information = b"netloom wireguard".to_vec();
    for name in names {
        // Names hold no zero byte, so it separates them.
        information.push(0);
        information.extend_from_slice(name.as_bytes());
    }
    let mut key = [0u8; 32];
    // 32 octets are less than the 8,160 that HKDF-SHA-256 can give, so this can't fail.
    let _ = Hkdf::<Sha256>::new(None, seed).expand(&information, &mut key);
    key[0] &= 248;
    key[31] = (key[31] & 127) | 64;
    key
}

/// A device whose peer is the other end of its link.
pub(super) fn device(
    inventory: &Inventory<'_>,
    at: &LinkRef,
    peer: &LinkRef,
    link: &topology::Link,
    remote: IpAddr,
    keys: &Keys,
) -> LinkKind {
    let mut options = own(at, keys);
    let other = inventory.devices.get(peer);
    if let (Some(other), Some(known)) = (other, keys.devices.get(peer)) {
        let hosts = other.addresses.iter().map(|address| IpNet::from(address.addr()));
        // `allowed-a` is what the first end may send, so the second end allows it.
        let more = if other.first { &link.allowed_a } else { &link.allowed_b };
        let allowed_ips: BTreeSet<IpNet> = hosts.chain(more.iter().map(|prefix| prefix.net())).collect();
        options.peers.push(WireguardPeer {
            public_key: known.public,
            preshared_key: None,
            endpoint: Some(SocketAddr::new(remote, known.port)),
            keepalive: link.keepalive,
            allowed_ips,
        });
    }
    LinkKind::Wireguard(options)
}

/// A device without a peer.
pub(super) fn alone(at: &LinkRef, keys: &Keys) -> LinkKind {
    LinkKind::Wireguard(own(at, keys))
}

fn own(at: &LinkRef, keys: &Keys) -> WireguardOptions {
    let known = keys.devices.get(at);
    WireguardOptions {
        private_key: known.map(|known| known.private).unwrap_or_default(),
        listen_port: known.map(|known| known.port),
        mark: None,
        peers: Vec::new(),
    }
}
