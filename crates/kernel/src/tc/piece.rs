//! A match taken apart into what one filter of the kernel can say, and put together again.
//!
//! A [`Match`] may mean several filters: one per address family, one for TCP and one for UDP, and for
//! `u32` one per block of a port range. Putting together works backwards and proves itself: the guess is
//! taken apart again and must give exactly the pieces that were found.

use ipnet::IpNet;
use netloom_compile::object::Family;
use netloom_compile::object::shaper::{FilterKind, Match, PortRange};
use netloom_wire::Dscp;
use std::collections::BTreeSet;

pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const SCTP: u8 = 132;

/// Which packets a filter is offered (the protocol in `tcm_info`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Layer {
    /// All (`ETH_P_ALL`).
    Any,
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Layer {
    /// The Ethernet protocol number.
    pub(super) const fn protocol(self) -> u16 {
        match self {
            Self::Any => libc::ETH_P_ALL as u16,
            Self::V4 => libc::ETH_P_IP as u16,
            Self::V6 => libc::ETH_P_IPV6 as u16,
        }
    }

    pub(super) const fn of(protocol: u16) -> Option<Self> {
        match protocol as i32 {
            libc::ETH_P_ALL => Some(Self::Any),
            libc::ETH_P_IP => Some(Self::V4),
            libc::ETH_P_IPV6 => Some(Self::V6),
            _ => None,
        }
    }
}

/// What one filter of the kernel matches.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Piece {
    pub(super) layer: Layer,
    pub(super) source: Option<IpNet>,
    pub(super) destination: Option<IpNet>,
    pub(super) protocol: Option<u8>,
    pub(super) dscp: Option<u8>,
    pub(super) mark: Option<(u32, u32)>,
    pub(super) source_ports: Option<PortRange>,
    pub(super) destination_ports: Option<PortRange>,
}

impl Piece {
    pub(super) const fn new(layer: Layer) -> Self {
        Self {
            layer,
            source: None,
            destination: None,
            protocol: None,
            dscp: None,
            mark: None,
            source_ports: None,
            destination_ports: None,
        }
    }

    pub(super) const fn has_ports(&self) -> bool {
        self.source_ports.is_some() || self.destination_ports.is_some()
    }
}

/// The classifier that realizes a match: only `u32` knows marks and packets of every kind.
pub(super) fn realization(when: &Match, wish: FilterKind) -> FilterKind {
    if when.mark.is_some() || when.families().is_empty() { FilterKind::U32 } else { wish }
}

/// The blocks of ports that one filter each can say.
fn blocks(ports: Option<PortRange>, kind: FilterKind) -> Vec<Option<PortRange>> {
    match (ports, kind) {
        (None, _) => vec![None],
        (Some(_), FilterKind::Flower) => vec![ports],
        (Some(ports), FilterKind::U32) => ports
            .prefixes()
            .into_iter()
            .map(|(value, mask)| Some(PortRange { low: value, high: value | !mask }))
            .collect(),
    }
}

/// Takes a match apart; the pieces are sorted.
pub(super) fn apart(when: &Match, kind: FilterKind) -> Vec<Piece> {
    let when = when.canonical();
    let layers: Vec<Layer> = match when.families() {
        [] => vec![Layer::Any],
        families => {
            families.iter().map(|family| if *family == Family::V4 { Layer::V4 } else { Layer::V6 }).collect()
        }
    };
    let protocols = match when.protocol {
        None if when.has_ports() => vec![Some(TCP), Some(UDP)],
        protocol => vec![protocol],
    };
    let sources = blocks(when.source_ports, kind);
    let destinations = blocks(when.destination_ports, kind);
    let mut pieces = Vec::new();
    for layer in layers {
        for protocol in &protocols {
            for source_ports in &sources {
                for destination_ports in &destinations {
                    pieces.push(Piece {
                        layer,
                        source: when.source,
                        destination: when.destination,
                        protocol: *protocol,
                        dscp: when.dscp.map(Dscp::get),
                        mark: when.mark,
                        source_ports: *source_ports,
                        destination_ports: *destination_ports,
                    });
                }
            }
        }
    }
    pieces.sort();
    pieces
}

/// Puts pieces together; `None` when no match would be taken apart into exactly these.
pub(super) fn together(pieces: &[Piece], kind: FilterKind) -> Option<Match> {
    let first = pieces.first()?;
    let layers: BTreeSet<Layer> = pieces.iter().map(|piece| piece.layer).collect();
    let protocols: BTreeSet<Option<u8>> = pieces.iter().map(|piece| piece.protocol).collect();
    let span = |of: fn(&Piece) -> Option<PortRange>| {
        let ports = || pieces.iter().filter_map(of);
        let (low, high) = (ports().map(|p| p.low).min()?, ports().map(|p| p.high).max()?);
        Some(PortRange { low, high })
    };
    let guess = Match {
        family: match layers.iter().collect::<Vec<_>>()[..] {
            [Layer::V4] => Some(Family::V4),
            [Layer::V6] => Some(Family::V6),
            _ => None,
        },
        source: first.source,
        destination: first.destination,
        protocol: if protocols.len() == 1 { first.protocol } else { None },
        source_ports: span(|piece| piece.source_ports),
        destination_ports: span(|piece| piece.destination_ports),
        dscp: first.dscp.and_then(|dscp| Dscp::try_from(u64::from(dscp)).ok()),
        mark: first.mark,
    }
    .canonical();
    let mut found = pieces.to_vec();
    found.sort();
    (apart(&guess, kind) == found).then_some(guess)
}

/// Matches for the tests of this and the modules that say pieces to the kernel.
#[cfg(test)]
pub(super) mod strategy {
    use super::*;
    use proptest::option;
    use proptest::prelude::*;

    fn ports() -> impl Strategy<Value = Option<PortRange>> {
        option::of(prop_oneof![
            any::<u16>().prop_map(PortRange::one),
            (0u16..100, 0u16..200).prop_map(|(low, more)| PortRange { low, high: low + more }),
            (1u16.., any::<u16>()).prop_map(|(a, b)| PortRange { low: a.min(b).max(1), high: a.max(b) }),
        ])
    }

    fn prefix(v4: bool) -> BoxedStrategy<IpNet> {
        if v4 {
            (any::<u32>(), 1u8..=32)
                .prop_map(|(address, length)| IpNet::from(ipnet::Ipv4Net::new_assert(address.into(), length)))
                .boxed()
        } else {
            (any::<u128>(), 1u8..=128)
                .prop_map(|(address, length)| IpNet::from(ipnet::Ipv6Net::new_assert(address.into(), length)))
                .boxed()
        }
    }

    /// Matches that pass the check, without marks unless asked for.
    pub(in super::super) fn matches(marks: bool) -> impl Strategy<Value = Match> {
        any::<bool>().prop_flat_map(move |v4| {
            let family = if v4 { Family::V4 } else { Family::V6 };
            (
                (option::of(Just(family)), option::of(prefix(v4)), option::of(prefix(v4))),
                (option::of(prop_oneof![Just(TCP), Just(UDP), Just(SCTP)]), any::<u8>(), any::<bool>()),
                (ports(), ports()),
                option::of(0u8..64),
                option::of((any::<u32>(), any::<u32>())),
            )
                .prop_map(move |(addresses, protocol, ports, dscp, mark)| {
                    let with_ports = ports.0.is_some() || ports.1.is_some();
                    let protocol = if with_ports || !protocol.2 { protocol.0 } else { Some(protocol.1) };
                    Match {
                        family: addresses.0,
                        source: addresses.1,
                        destination: addresses.2,
                        protocol,
                        source_ports: ports.0,
                        destination_ports: ports.1,
                        dscp: dscp.map(|dscp| Dscp::try_from(u64::from(dscp)).unwrap()),
                        mark: mark.filter(|_| marks),
                    }
                })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn together_is_the_inverse_of_apart(when in strategy::matches(true)) {
            for wish in [FilterKind::Flower, FilterKind::U32] {
                let kind = realization(&when.canonical(), wish);
                let pieces = apart(&when, kind);
                prop_assert_eq!(together(&pieces, kind), Some(when.canonical()));
                // A missing piece is noticed.
                if pieces.len() > 4 {
                    prop_assert_ne!(together(&pieces[1..], kind), Some(when.canonical()));
                }
            }
        }
    }
}
