//! Generators of reprs: every legal value and no illegal one.
//!
//! Borrowed parts are leaked: a few bytes for each case, and the reprs shrink and print like plain values.

pub(crate) use crate::overlays::*;
use netloom_wire::header::tlv::ShortBytes;
use netloom_wire::header::*;
use netloom_wire::{Dscp, EtherType, IpProtocol, MacAddr};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::Union;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

pub(crate) fn mac() -> impl Strategy<Value = MacAddr> {
    any::<[u8; 6]>().prop_map(MacAddr::new)
}

pub(crate) fn v4() -> impl Strategy<Value = Ipv4Addr> {
    any::<u32>().prop_map(Ipv4Addr::from_bits)
}

pub(crate) fn v6() -> impl Strategy<Value = Ipv6Addr> {
    any::<u128>().prop_map(Ipv6Addr::from_bits)
}

fn dscp() -> impl Strategy<Value = Dscp> {
    (0u64..64).prop_map(|value| Dscp::try_from(value).unwrap())
}

fn ecn() -> impl Strategy<Value = ipv4::Ecn> {
    use ipv4::Ecn::*;
    prop::sample::select(vec![NotCapable, Capable1, Capable0, CongestionExperienced])
}

pub(crate) fn ether_type() -> impl Strategy<Value = EtherType> {
    any::<u16>().prop_map(EtherType)
}

fn protocol() -> impl Strategy<Value = IpProtocol> {
    any::<u8>().prop_map(IpProtocol)
}

/// Bytes whose length is `first` and then every `step` further.
pub(crate) fn units(
    first: usize,
    step: usize,
    count: RangeInclusive<usize>,
) -> impl Strategy<Value = &'static [u8]> {
    count.prop_flat_map(move |units| vec(any::<u8>(), first + units * step)).prop_map(|bytes| &*bytes.leak())
}

pub(crate) fn bytes(length: RangeInclusive<usize>) -> impl Strategy<Value = &'static [u8]> {
    units(0, 1, length)
}

pub(crate) fn ethernet() -> impl Strategy<Value = ethernet::Repr> {
    (mac(), mac(), ether_type()).prop_map(|(destination, source, ether_type)| ethernet::Repr {
        destination,
        source,
        ether_type,
    })
}

pub(crate) fn tag() -> impl Strategy<Value = vlan::Tag> {
    (0u8..8, any::<bool>(), 0u16..4096).prop_map(|(priority, drop_eligible, vid)| vlan::Tag {
        priority,
        drop_eligible,
        vid,
    })
}

pub(crate) fn vlan() -> impl Strategy<Value = vlan::Repr> {
    (tag(), ether_type()).prop_map(|(tag, ether_type)| vlan::Repr { tag, ether_type })
}

pub(crate) fn arp() -> impl Strategy<Value = arp::Repr> {
    (any::<u16>(), mac(), v4(), mac(), v4()).prop_map(
        |(operation, sender_mac, sender_ip, target_mac, target_ip)| arp::Repr {
            operation: arp::Operation(operation),
            sender_mac,
            sender_ip,
            target_mac,
            target_ip,
        },
    )
}

pub(crate) fn ipv4() -> impl Strategy<Value = ipv4::Repr> {
    let options = units(0, 4, 0..=10).prop_map(|bytes| ShortBytes::new(bytes).unwrap());
    (
        (dscp(), ecn(), any::<u16>(), any::<bool>(), any::<bool>(), 0u16..8192),
        (any::<u8>(), protocol(), v4(), v4(), options, 0u16..=0xffff - 60),
    )
        .prop_map(
            |(
                (dscp, ecn, identification, dont_fragment, more_fragments, units),
                (ttl, protocol, source, destination, options, payload_len),
            )| ipv4::Repr {
                dscp,
                ecn,
                identification,
                dont_fragment,
                more_fragments,
                fragment_offset: units * 8,
                ttl,
                protocol,
                source,
                destination,
                options,
                payload_len,
            },
        )
}

pub(crate) fn ipv6() -> impl Strategy<Value = ipv6::Repr> {
    (dscp(), ecn(), 0u32..1 << 20, any::<u16>(), protocol(), any::<u8>(), v6(), v6()).prop_map(
        |(dscp, ecn, flow_label, payload_len, next_header, hop_limit, source, destination)| ipv6::Repr {
            dscp,
            ecn,
            flow_label,
            payload_len,
            next_header,
            hop_limit,
            source,
            destination,
        },
    )
}

pub(crate) fn ipv6_options() -> impl Strategy<Value = ipv6_options::Repr<'static>> {
    let item = (1u8..=255, vec(any::<u8>(), 0..20));
    (protocol(), vec(item, 0..4)).prop_map(|(next_header, items)| {
        let mut bytes = Vec::new();
        for (kind, data) in items {
            bytes.extend([kind, data.len() as u8]);
            bytes.extend(data);
        }
        while !(bytes.len() + 2).is_multiple_of(8) {
            bytes.push(ipv6_options::PAD1);
        }
        ipv6_options::Repr { next_header, options: bytes.leak() }
    })
}

pub(crate) fn ipv6_routing() -> impl Strategy<Value = ipv6_routing::Repr<'static>> {
    (protocol(), any::<u8>(), any::<u8>(), units(4, 8, 0..=255)).prop_map(
        |(next_header, routing_type, segments_left, data)| ipv6_routing::Repr {
            next_header,
            routing_type,
            segments_left,
            data,
        },
    )
}

pub(crate) fn ipv6_fragment() -> impl Strategy<Value = ipv6_fragment::Repr> {
    (protocol(), 0u16..8192, any::<bool>(), any::<u32>()).prop_map(
        |(next_header, units, more_fragments, identification)| ipv6_fragment::Repr {
            next_header,
            fragment_offset: units * 8,
            more_fragments,
            identification,
        },
    )
}

pub(crate) fn authentication() -> impl Strategy<Value = authentication::Repr<'static>> {
    (protocol(), any::<u32>(), any::<u32>(), units(0, 4, 0..=254)).prop_map(
        |(next_header, security_parameters, sequence, integrity)| authentication::Repr {
            next_header,
            security_parameters,
            sequence,
            integrity,
        },
    )
}

pub(crate) fn icmpv4() -> impl Strategy<Value = icmpv4::Repr> {
    use icmpv4::{CODE_FRAGMENTATION_NEEDED, Kind, Repr};
    let known = [Kind::ECHO_REQUEST, Kind::ECHO_REPLY, Kind::UNREACHABLE, Kind::REDIRECT];
    let coded = [Kind::UNREACHABLE, Kind::REDIRECT, Kind::TIME_EXCEEDED, Kind::PARAMETER_PROBLEM];
    prop_oneof![
        any::<(u16, u16)>().prop_map(|(identifier, sequence)| Repr::EchoRequest { identifier, sequence }),
        any::<(u16, u16)>().prop_map(|(identifier, sequence)| Repr::EchoReply { identifier, sequence }),
        any::<(u8, u16)>().prop_map(|(code, mtu)| Repr::Unreachable {
            code,
            next_hop_mtu: if code == CODE_FRAGMENTATION_NEEDED { mtu } else { 0 },
        }),
        (any::<u8>(), v4()).prop_map(|(code, gateway)| Repr::Redirect { code, gateway }),
        any::<u8>().prop_map(|code| Repr::TimeExceeded { code }),
        any::<(u8, u8)>().prop_map(|(code, pointer)| Repr::ParameterProblem { code, pointer }),
        any::<(u8, u8, u32)>()
            .prop_filter("has a form of its own", move |(kind, code, _)| {
                let kind = Kind(*kind);
                !(coded.contains(&kind) || known.contains(&kind) && *code == 0)
            })
            .prop_map(|(kind, code, rest)| Repr::Other { kind: Kind(kind), code, rest }),
    ]
}

pub(crate) fn icmpv6() -> impl Strategy<Value = icmpv6::Repr> {
    use icmpv6::{Kind, Repr};
    let plain = [Kind::ECHO_REQUEST, Kind::ECHO_REPLY, Kind::PACKET_TOO_BIG];
    let coded = [Kind::UNREACHABLE, Kind::TIME_EXCEEDED, Kind::PARAMETER_PROBLEM];
    prop_oneof![
        any::<(u16, u16)>().prop_map(|(identifier, sequence)| Repr::EchoRequest { identifier, sequence }),
        any::<(u16, u16)>().prop_map(|(identifier, sequence)| Repr::EchoReply { identifier, sequence }),
        any::<u8>().prop_map(|code| Repr::Unreachable { code }),
        any::<u32>().prop_map(|mtu| Repr::PacketTooBig { mtu }),
        any::<u8>().prop_map(|code| Repr::TimeExceeded { code }),
        any::<(u8, u32)>().prop_map(|(code, pointer)| Repr::ParameterProblem { code, pointer }),
        any::<(u8, u8, u32)>()
            .prop_filter("has a form of its own", move |(kind, code, _)| {
                let kind = Kind(*kind);
                !(coded.contains(&kind) || plain.contains(&kind) && *code == 0)
            })
            .prop_map(|(kind, code, rest)| Repr::Other { kind: Kind(kind), code, rest }),
    ]
}

fn nd_item() -> impl Strategy<Value = nd_option::Item<'static>> {
    use nd_option::Item;
    let prefix = (any::<u8>(), any::<bool>(), any::<bool>(), any::<u32>(), any::<u32>(), v6());
    prop_oneof![
        mac().prop_map(Item::SourceLinkLayer),
        mac().prop_map(Item::TargetLinkLayer),
        prefix.prop_map(|(length, on_link, autonomous, valid_lifetime, preferred_lifetime, prefix)| {
            Item::Prefix { length, on_link, autonomous, valid_lifetime, preferred_lifetime, prefix }
        }),
        units(0, 8, 0..=12).prop_map(Item::Redirected),
        any::<u32>().prop_map(Item::Mtu),
        (any::<u32>(), units(16, 16, 0..=3))
            .prop_map(|(lifetime, addresses)| Item::NameServers { lifetime, addresses }),
        (prop_oneof![Just(0u8), 6u8..25, 26u8..=255], units(6, 8, 0..=3))
            .prop_map(|(kind, data)| Item::Other { kind, data }),
    ]
}

fn nd_options() -> impl Strategy<Value = nd_option::Options<'static>> {
    vec(nd_item(), 0..4).prop_map(|items| {
        let options = nd_option::Options::new(written!(items)).unwrap();
        assert_eq!(options.iter().collect::<Vec<_>>(), items);
        options
    })
}

pub(crate) fn nd() -> impl Strategy<Value = nd::Repr<'static>> {
    use nd::{NeighborFlags, Repr, RouterFlags};
    let times = any::<(u8, u8, u16, u32, u32)>();
    prop_oneof![
        nd_options().prop_map(|options| Repr::RouterSolicitation { options }),
        (times, nd_options()).prop_map(|((hops, flags, lifetime, reachable, retransmit), options)| {
            Repr::RouterAdvertisement {
                current_hop_limit: hops,
                flags: RouterFlags(flags),
                router_lifetime: lifetime,
                reachable_time: reachable,
                retransmit_timer: retransmit,
                options,
            }
        }),
        (v6(), nd_options()).prop_map(|(target, options)| Repr::NeighborSolicitation { target, options }),
        (any::<u8>(), v6(), nd_options()).prop_map(|(flags, target, options)| {
            Repr::NeighborAdvertisement { flags: NeighborFlags(flags), target, options }
        }),
        (v6(), v6(), nd_options()).prop_map(|(target, destination, options)| Repr::Redirect {
            target,
            destination,
            options
        }),
    ]
}

fn tcp_item() -> impl Strategy<Value = tcp::Item<'static>> {
    use tcp::Item;
    prop_oneof![
        Just(Item::Padding),
        any::<u16>().prop_map(Item::MaximumSegmentSize),
        any::<u8>().prop_map(Item::WindowScale),
        Just(Item::SelectivePermitted),
        units(0, 8, 1..=3).prop_map(Item::Selective),
        any::<(u32, u32)>().prop_map(|(value, echo)| Item::Timestamps { value, echo }),
        (9u8..=255, bytes(0..=10)).prop_map(|(kind, data)| Item::Other { kind, data }),
    ]
}

pub(crate) fn tcp() -> impl Strategy<Value = tcp::Repr> {
    let made = vec(tcp_item(), 0..5).prop_map(|items| {
        let mut bytes = tcp::OptionBytes::EMPTY;
        let kept: Vec<_> = items.into_iter().filter(|item| bytes.push_option(*item)).collect();
        bytes.pad();
        let read: Vec<_> = tcp::Options::new(bytes.as_bytes()).map(Result::unwrap).collect();
        assert_eq!(read, kept);
        bytes
    });
    let noise = units(0, 4, 0..=10).prop_map(|bytes| ShortBytes::new(bytes).unwrap());
    let options = Union::new([made.boxed(), noise.boxed()]);
    (any::<(u16, u16, u32, u32)>(), any::<(u16, u16, u16)>(), options).prop_map(
        |((source_port, destination_port, sequence, acknowledgement), (flags, window, urgent), options)| {
            tcp::Repr {
                source_port,
                destination_port,
                sequence,
                acknowledgement,
                flags: tcp::Flags::from_low_bits(flags),
                window,
                urgent_pointer: urgent,
                options,
            }
        },
    )
}

pub(crate) fn udp() -> impl Strategy<Value = udp::Repr> {
    (any::<u16>(), any::<u16>(), 0u16..=0xffff - 8).prop_map(
        |(source_port, destination_port, payload_len)| udp::Repr {
            source_port,
            destination_port,
            payload_len,
        },
    )
}
