//! The walk over IPv6's extension headers, from the fixed header to what the packet carries (RFC 8200 section 4).
//!
//! Invariants: at most [`MAX_HEADERS`] headers are walked, each read once: a packet of thousands of empty headers
//! costs no more than one of eight. The walk stops at ESP, at "no next header", at anything unknown, and behind
//! the fragment header of any fragment but the first, where payload begins that is no header.

use super::{
    HeaderKind, Malformed, authentication, illegal, ipv6_fragment, ipv6_options, ipv6_routing, need,
};
use crate::IpProtocol;

/// Extension headers that a packet may have. RFC 8504 section 5.3 lets a node limit them; RFC 8200 recommends no
/// more than seven.
pub const MAX_HEADERS: usize = 8;

/// What the walk found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    /// What the packet carries: the first value that is no extension header.
    pub protocol: IpProtocol,
    /// Length of all extension headers in bytes: what the packet carries begins here.
    pub length: usize,
    /// How many extension headers there are.
    pub count: u8,
    /// The fragment header, if there is one.
    pub fragment: Option<ipv6_fragment::Repr>,
    /// Whether hop-by-hop options stand first.
    pub hop_by_hop: bool,
    /// Whether a router alert stands in the hop-by-hop options (RFC 2711): MLD has it.
    pub router_alert: bool,
    /// Nodes still to visit by the routing header; when not 0, the destination is not the final one.
    pub segments_left: u8,
}

impl Chain {
    /// Whether what follows is the middle of a packet and has no header.
    #[inline]
    #[must_use]
    pub fn is_later_fragment(&self) -> bool {
        self.fragment.is_some_and(|fragment| fragment.fragment_offset != 0)
    }
}

/// Walks the extension headers in `bytes`, the payload of the fixed header, whose next-header value is `first`.
///
/// # Errors
/// [`Malformed`] when a header is cut or contradicts itself, hop-by-hop options stand anywhere but first, or there
/// are more than [`MAX_HEADERS`].
#[inline]
pub fn walk(first: IpProtocol, bytes: &[u8]) -> Result<Chain, Malformed> {
    let mut chain = Chain {
        protocol: first,
        length: 0,
        count: 0,
        fragment: None,
        hop_by_hop: false,
        router_alert: false,
        segments_left: 0,
    };
    if first.is_extension() {
        walk_on(&mut chain, bytes)?;
    }
    Ok(chain)
}

/// Kept out of the way of packets without extension headers.
#[inline(never)]
fn walk_on(chain: &mut Chain, bytes: &[u8]) -> Result<(), Malformed> {
    while chain.protocol.is_extension() {
        if usize::from(chain.count) == MAX_HEADERS {
            return Err(Malformed::TooMany {
                header: HeaderKind::Ipv6,
                parts: "extension headers",
                limit: MAX_HEADERS,
            });
        }
        let rest = bytes.get(chain.length..).unwrap_or(&[]);
        let length = match chain.protocol {
            IpProtocol::HOP_BY_HOP | IpProtocol::DESTINATION_OPTIONS => {
                if chain.protocol == IpProtocol::HOP_BY_HOP && chain.count != 0 {
                    return Err(illegal(HeaderKind::Ipv6Options, "place", u64::from(chain.count)));
                }
                let view = ipv6_options::View::new_checked(rest)?;
                if chain.protocol == IpProtocol::HOP_BY_HOP {
                    chain.hop_by_hop = true;
                    chain.router_alert = ipv6_options::Items::new(view.options())
                        .flatten()
                        .any(|item| item.kind == ipv6_options::ROUTER_ALERT);
                }
                chain.protocol = view.next_header();
                view.header_len()
            }
            IpProtocol::ROUTING => {
                let view = ipv6_routing::View::new_checked(rest)?;
                chain.segments_left = view.segments_left();
                chain.protocol = view.next_header();
                view.header_len()
            }
            IpProtocol::AUTHENTICATION => {
                let view = authentication::View::new_checked(rest)?;
                chain.protocol = view.next_header();
                view.header_len()
            }
            _ => {
                let fragment = ipv6_fragment::Repr::parse(&ipv6_fragment::View::new_checked(rest)?)?;
                chain.protocol = fragment.next_header;
                chain.fragment = Some(fragment);
                ipv6_fragment::HEADER_LEN
            }
        };
        chain.length += length;
        chain.count += 1;
        if chain.is_later_fragment() {
            break;
        }
    }
    need(HeaderKind::Ipv6, bytes, chain.length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_walked_to_its_end() {
        let mut bytes = Vec::new();
        bytes.extend([43, 0, 5, 2, 0, 0, 1, 0]); // Hop-by-hop with a router alert, then routing.
        bytes.extend([44, 0, 4, 3, 0, 0, 0, 0]); // Routing with three segments left, then a fragment.
        bytes.extend([60, 0, 0, 1, 0, 0, 0, 9]); // The first fragment, then destination options.
        bytes.extend([17, 0, 1, 4, 0, 0, 0, 0]); // Padding, then UDP.
        let chain = walk(IpProtocol::HOP_BY_HOP, &bytes).unwrap();
        assert_eq!((chain.protocol, chain.length, chain.count), (IpProtocol::UDP, 32, 4));
        assert!(chain.hop_by_hop && chain.router_alert && !chain.is_later_fragment());
        assert_eq!(chain.segments_left, 3);
        assert_eq!(chain.fragment.map(|fragment| fragment.identification), Some(9));

        bytes[18..20].copy_from_slice(&[0, 9]);
        let chain = walk(IpProtocol::HOP_BY_HOP, &bytes).unwrap();
        assert!(chain.is_later_fragment());
        assert_eq!((chain.protocol, chain.length), (IpProtocol::DESTINATION_OPTIONS, 24));
    }

    #[test]
    fn endless_chains_and_misplaced_options_are_malformed() {
        let empty = [60, 0, 1, 4, 0, 0, 0, 0];
        assert!(matches!(
            walk(IpProtocol::DESTINATION_OPTIONS, &empty.repeat(100)),
            Err(Malformed::TooMany { limit: MAX_HEADERS, .. })
        ));
        let longest = [&empty.repeat(MAX_HEADERS - 1)[..], &[17, 0, 1, 4, 0, 0, 0, 0]].concat();
        let chain = walk(IpProtocol::DESTINATION_OPTIONS, &longest);
        assert_eq!(chain.map(|chain| (chain.protocol, chain.length)), Ok((IpProtocol::UDP, longest.len())));
        let longer = [&empty[..], &longest].concat();
        assert!(matches!(walk(IpProtocol::DESTINATION_OPTIONS, &longer), Err(Malformed::TooMany { .. })));
        let misplaced = [[0, 0, 1, 4, 0, 0, 0, 0], [17, 0, 1, 4, 0, 0, 0, 0]].concat();
        assert!(matches!(
            walk(IpProtocol::DESTINATION_OPTIONS, &misplaced),
            Err(Malformed::Illegal { field: "place", .. })
        ));
        assert!(matches!(walk(IpProtocol::FRAGMENT, &[17, 0, 0]), Err(Malformed::Truncated { .. })));
        assert_eq!(walk(IpProtocol::ESP, &[]).map(|chain| chain.length), Ok(0));
    }
}
