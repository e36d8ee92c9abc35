//! Every header through one harness: the laws over generated, cut, damaged and arbitrary bytes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod checksums;
mod fields;
mod laws;
mod oracle;
mod overlay_fields;
mod overlays;
mod refused;
mod strategies;

use netloom_wire::header::{self, Malformed};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

/// A change of a packet: where (modulo its length) and to what.
type Damage = Vec<(usize, u8)>;

fn damage() -> impl Strategy<Value = Damage> {
    vec((any::<usize>(), any::<u8>()), 1..4)
}

fn damaged(mut bytes: Vec<u8>, damage: &Damage) -> Vec<u8> {
    let length = bytes.len().max(1);
    for (at, value) in damage {
        if let Some(byte) = bytes.get_mut(at % length) {
            *byte = *value;
        }
    }
    bytes
}

/// Headers without a length of their own: cut at the right place, they are another message of their kind.
const MAY_BE_CUT: &[&str] = &["igmp", "mld", "nd"];

macro_rules! emitted {
    ($repr:expr) => {{
        // What stood in the buffer before must not show.
        let mut buffer = vec![0xa5; $repr.buffer_len()];
        assert_eq!($repr.emit(&mut buffer), Ok(buffer.len()));
        buffer
    }};
}

macro_rules! headers {
    ($( $header:ident + $payload:expr; )*) => { $(
        mod $header {
            use super::*;

            proptest! {
                #[test]
                fn parse_of_emit_is_identity(repr in strategies::$header()) {
                    let mut bytes = emitted!(repr);
                    bytes.resize(bytes.len() + $payload, 0x5a);
                    let view = header::$header::View::new_checked(&bytes[..]).unwrap();
                    prop_assert_eq!(header::$header::Repr::parse(&view), Ok(repr));
                }

                #[test]
                fn a_short_buffer_is_refused(repr in strategies::$header(), short: usize) {
                    let mut buffer = vec![0; short % repr.buffer_len()];
                    let refused = matches!(repr.emit(&mut buffer), Err(Malformed::Truncated { .. }));
                    prop_assert!(refused);
                }

                #[test]
                fn a_cut_header_is_refused(repr in strategies::$header(), cut: usize) {
                    let mut bytes = emitted!(repr);
                    bytes.truncate(cut % bytes.len());
                    let accepted = header::$header::View::new_checked(&bytes[..]).is_ok();
                    prop_assert!(!accepted || MAY_BE_CUT.contains(&stringify!($header)));
                }

                #[test]
                fn arbitrary_bytes_keep_the_laws(bytes in vec(any::<u8>(), 0..200)) {
                    laws::$header(&bytes);
                }

                #[test]
                fn cut_and_damaged_packets_keep_the_laws(
                    repr in strategies::$header(), payload in vec(any::<u8>(), 0..80), damage in damage(),
                ) {
                    let whole = [emitted!(repr), payload].concat();
                    laws::$header(&damaged(whole.clone(), &damage));
                    for end in 0..whole.len().min(300) {
                        laws::$header(&whole[..end]);
                    }
                }
            }

            /// The properties mean nothing if all that they try is accepted, or refused.
            #[test]
            fn the_harness_sees_both_sides() {
                let mut runner = TestRunner::deterministic();
                let (mut accepted, mut refused) = (0, 0);
                for _ in 0..50 {
                    let repr = strategies::$header().new_tree(&mut runner).unwrap().current();
                    let damage = damage().new_tree(&mut runner).unwrap().current();
                    let mut bytes = emitted!(repr);
                    bytes.resize(bytes.len() + $payload, 0);
                    for sample in [&damaged(bytes.clone(), &damage)[..], &bytes[..bytes.len().min(3)]] {
                        match laws::$header(sample) {
                            true => accepted += 1,
                            false => refused += 1,
                        }
                    }
                }
                assert!(accepted >= 5 && refused >= 5, "{accepted} accepted, {refused} refused");
            }
        }
    )* };
}

// After `+`: bytes of payload that the header's length fields may announce.
headers! {
    ethernet + 0;
    vlan + 0;
    arp + 0;
    ipv4 + 0xffff;
    ipv6 + 0xffff;
    ipv6_options + 0;
    ipv6_routing + 0;
    ipv6_fragment + 0;
    authentication + 0;
    icmpv4 + 0;
    icmpv6 + 0;
    nd + 0;
    tcp + 0;
    udp + 0xffff;
    llc + 0;
    snap + 0;
    sctp + 0;
    igmp + 0;
    mld + 0;
    mpls + 0;
    vxlan + 0;
    vxlan_gpe + 0;
    geneve + 0;
    gre + 0;
    erspan + 0;
    nsh + 0;
    gtp_u + 0xffff;
    stp + 0;
    lacp + 0;
    marker + 0;
    lldp + 0;
    bfd + 0;
}

proptest! {
    #[test]
    fn dhcp_never_panics(bytes in strategies::dhcp(), damage in damage(), noise in vec(any::<u8>(), 0..300)) {
        prop_assert!(laws::dhcp(&bytes));
        laws::dhcp(&damaged(bytes.clone(), &damage));
        laws::dhcp(&noise);
        for end in 0..bytes.len() {
            prop_assert_eq!(laws::dhcp(&bytes[..end]), end >= header::dhcp::HEADER_LEN);
        }
    }

    #[test]
    fn dhcpv6_never_panics(bytes in vec(any::<u8>(), 0..100)) {
        for end in 0..bytes.len() {
            laws::dhcpv6(&bytes[..end]);
        }
    }
}

/// A header without a law is not tested; this list is what the two must agree on.
#[test]
fn every_law_has_a_name() {
    assert!(laws::ALL.iter().all(|(name, law)| !name.is_empty() && !law(&[])));
}

proptest! {
    #[test]
    fn vlan_stacks_survive_the_way_there_and_back(
        tags in vec((0usize..3, strategies::tag()), 0..=header::vlan::MAX_TAGS), ether_type: u16,
    ) {
        use header::vlan::Stack;
        use netloom_wire::EtherType;
        let kinds = [EtherType::VLAN, EtherType::SERVICE_VLAN, EtherType::OLD_SERVICE_VLAN];
        prop_assume!(!EtherType(ether_type).is_vlan());
        let mut stack = Stack::untagged(EtherType(ether_type));
        for (kind, tag) in tags {
            stack.push_inner(kinds[kind], tag).unwrap();
        }
        let bytes = emitted!(stack);
        prop_assert_eq!(Stack::parse(stack.outer_ether_type(), &bytes), Ok(stack));
        for end in 0..bytes.len() {
            prop_assert!(Stack::parse(stack.outer_ether_type(), &bytes[..end]).is_err());
        }
    }
}
