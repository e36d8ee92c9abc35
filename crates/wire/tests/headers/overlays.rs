//! Generators of reprs, second part: LLC, SCTP, multicast, tunnels and the protocols between bridges.

use crate::strategies::{bytes, ether_type, mac, units, v4, v6};
use netloom_wire::Vni;
use netloom_wire::header::multicast_record::{Address, Record, RecordKind, Records, Sources};
use netloom_wire::header::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// Parts written one after the other.
macro_rules! written {
    ($items:expr) => {{
        let mut bytes = Vec::new();
        for item in &$items {
            let mut buffer = vec![0; item.buffer_len()];
            assert_eq!(item.emit(&mut buffer), Ok(buffer.len()));
            bytes.extend(buffer);
        }
        let bytes: &'static [u8] = bytes.leak();
        bytes
    }};
}
pub(crate) use written;

pub(crate) fn llc() -> impl Strategy<Value = llc::Repr> {
    let control = any::<[u8; 2]>().prop_map(|control| match control[0] & 3 {
        3 => llc::Control::Unnumbered(control[0]),
        _ => llc::Control::Numbered(control),
    });
    (any::<u8>(), any::<u8>(), control).prop_map(|(destination_sap, source_sap, control)| llc::Repr {
        destination_sap,
        source_sap,
        control,
    })
}

pub(crate) fn snap() -> impl Strategy<Value = snap::Repr> {
    (any::<[u8; 3]>(), ether_type())
        .prop_map(|(organisation, protocol)| snap::Repr { organisation, protocol })
}

pub(crate) fn sctp() -> impl Strategy<Value = sctp::Repr> {
    any::<(u16, u16, u32)>().prop_map(|(source_port, destination_port, verification_tag)| sctp::Repr {
        source_port,
        destination_port,
        verification_tag,
    })
}

fn sources<A: Address + 'static>() -> impl Strategy<Value = Sources<'static, A>> {
    units(0, A::LEN, 0..=4).prop_map(|bytes| Sources::new(bytes).unwrap())
}

fn records<A: Address + 'static>(
    group: impl Strategy<Value = A> + 'static,
) -> impl Strategy<Value = Records<'static, A>> {
    let record =
        (any::<u8>(), group, sources(), units(0, 4, 0..=2)).prop_map(|(kind, group, sources, auxiliary)| {
            Record { kind: RecordKind(kind), group, sources, auxiliary }
        });
    vec(record, 0..4).prop_map(|list| {
        let bytes = written!(list);
        let records = Records::new(bytes, list.len() as u16).unwrap();
        assert_eq!(records.iter().collect::<Vec<_>>(), list);
        records
    })
}

pub(crate) fn igmp() -> impl Strategy<Value = igmp::Repr<'static>> {
    use igmp::Repr;
    prop_oneof![
        v4().prop_map(|group| Repr::Query1 { group }),
        (1u8..=255, v4()).prop_map(|(response_time, group)| Repr::Query2 { response_time, group }),
        (any::<u8>(), v4(), any::<bool>(), 0u8..8, any::<u8>(), sources()).prop_map(
            |(response_code, group, suppress, robustness, interval_code, sources)| Repr::Query3 {
                response_code,
                group,
                suppress,
                robustness,
                interval_code,
                sources
            }
        ),
        v4().prop_map(|group| Repr::Report1 { group }),
        v4().prop_map(|group| Repr::Report2 { group }),
        v4().prop_map(|group| Repr::Leave { group }),
        records(v4()).prop_map(|records| Repr::Report3 { records }),
    ]
}

pub(crate) fn mld() -> impl Strategy<Value = mld::Repr<'static>> {
    use mld::Repr;
    prop_oneof![
        (any::<u16>(), v6()).prop_map(|(response_time, group)| Repr::Query1 { response_time, group }),
        (any::<u16>(), v6(), any::<bool>(), 0u8..8, any::<u8>(), sources()).prop_map(
            |(response_code, group, suppress, robustness, interval_code, sources)| Repr::Query2 {
                response_code,
                group,
                suppress,
                robustness,
                interval_code,
                sources
            }
        ),
        v6().prop_map(|group| Repr::Report1 { group }),
        v6().prop_map(|group| Repr::Done { group }),
        records(v6()).prop_map(|records| Repr::Report2 { records }),
    ]
}

pub(crate) fn mpls() -> impl Strategy<Value = mpls::Repr> {
    (0u32..1 << 20, 0u8..8, any::<bool>(), any::<u8>())
        .prop_map(|(label, traffic_class, bottom, ttl)| mpls::Repr { label, traffic_class, bottom, ttl })
}

fn vni() -> impl Strategy<Value = Vni> {
    (0u64..1 << 24).prop_map(|value| Vni::try_from(value).unwrap())
}

pub(crate) fn vxlan() -> impl Strategy<Value = vxlan::Repr> {
    let policy = any::<(u16, bool, bool)>().prop_map(|(group, dont_learn, applied)| vxlan::GroupPolicy {
        group,
        dont_learn,
        applied,
    });
    (vni(), option::of(policy)).prop_map(|(vni, group_policy)| vxlan::Repr { vni, group_policy })
}

pub(crate) fn vxlan_gpe() -> impl Strategy<Value = vxlan_gpe::Repr> {
    let next = any::<u8>().prop_map(vxlan_gpe::NextProtocol);
    (option::of(vni()), option::of(next), any::<bool>(), any::<bool>()).prop_map(
        |(vni, next_protocol, replicated, maintenance)| vxlan_gpe::Repr {
            vni,
            next_protocol,
            replicated,
            maintenance,
        },
    )
}

pub(crate) fn geneve() -> impl Strategy<Value = geneve::Repr<'static>> {
    let item = (any::<u16>(), any::<u8>(), units(0, 4, 0..=14))
        .prop_map(|(class, kind, data)| geneve::Item { class, kind, data });
    let options = vec(item, 0..4).prop_map(|items| {
        let bytes = written!(items);
        let read: Vec<_> = geneve::Options::new(bytes).map(Result::unwrap).collect();
        assert_eq!(read, items);
        bytes
    });
    (any::<bool>(), any::<bool>(), ether_type(), vni(), options).prop_map(
        |(control, critical, protocol, vni, options)| geneve::Repr {
            control,
            critical,
            protocol,
            vni,
            options,
        },
    )
}

pub(crate) fn gre() -> impl Strategy<Value = gre::Repr> {
    (ether_type(), any::<bool>(), any::<Option<u32>>(), any::<Option<u32>>())
        .prop_map(|(protocol, checksum, key, sequence)| gre::Repr { protocol, checksum, key, sequence })
}

pub(crate) fn erspan() -> impl Strategy<Value = erspan::Repr> {
    let common = || {
        (0u16..4096, 0u8..8, any::<bool>(), 0u16..1024).prop_map(
            |(vlan, class_of_service, truncated, session)| erspan::Common {
                vlan,
                class_of_service,
                truncated,
                session,
            },
        )
    };
    let two = (common(), 0u8..4, 0u32..1 << 20).prop_map(|(common, encapsulation, index)| erspan::Repr::II {
        common,
        encapsulation,
        index,
    });
    let three = (
        (common(), 0u8..4, any::<u32>(), any::<u16>()),
        (any::<bool>(), 0u8..32, 0u8..64, any::<bool>(), 0u8..4, any::<Option<[u8; 8]>>()),
    )
        .prop_map(
            |(
                (common, error, timestamp, security_group),
                (is_ethernet, frame_kind, hardware, egress, granularity, platform),
            )| {
                erspan::Repr::III {
                    common,
                    error,
                    timestamp,
                    security_group,
                    is_ethernet,
                    frame_kind,
                    hardware,
                    egress,
                    granularity,
                    platform,
                }
            },
        );
    prop_oneof![two, three]
}

pub(crate) fn nsh() -> impl Strategy<Value = nsh::Repr<'static>> {
    let item = (any::<u16>(), any::<u8>(), bytes(0..=60)).prop_map(|(class, kind, data)| nsh::Item {
        class,
        kind,
        data,
    });
    let items = vec(item, 0..=3).prop_map(|items| {
        let bytes = written!(items);
        assert_eq!(nsh::Items::new(bytes).map(Result::unwrap).collect::<Vec<_>>(), items);
        nsh::Metadata::Items(bytes)
    });
    let metadata = prop_oneof![any::<[u8; 16]>().prop_map(nsh::Metadata::Context), items];
    (any::<bool>(), 0u8..64, any::<u8>(), 0u32..1 << 24, any::<u8>(), metadata).prop_map(
        |(maintenance, ttl, next, service_path, service_index, metadata)| nsh::Repr {
            maintenance,
            ttl,
            next_protocol: nsh::NextProtocol(next),
            service_path,
            service_index,
            metadata,
        },
    )
}

pub(crate) fn gtp_u() -> impl Strategy<Value = gtp_u::Repr<'static>> {
    let item = (1u8..=255, units(2, 4, 0..=4))
        .prop_map(|(kind, data)| gtp_u::Extension { kind: gtp_u::ExtensionKind(kind), data });
    let extensions = vec(item, 0..=3).prop_map(|items| {
        let buffer = vec![0; items.iter().map(|item| item.data.len() + 2).sum()].leak();
        let chain = gtp_u::Extensions::emit(&items, buffer).unwrap();
        assert_eq!(chain.collect::<Vec<_>>(), items);
        chain
    });
    (any::<u8>(), any::<u32>(), any::<Option<u16>>(), any::<Option<u8>>(), option::of(extensions), 0u16..2000)
        .prop_map(|(message, tunnel, sequence, pdu_number, extensions, payload_len)| gtp_u::Repr {
            message: gtp_u::Message(message),
            tunnel,
            sequence,
            pdu_number,
            extensions,
            payload_len,
        })
}

pub(crate) fn stp() -> impl Strategy<Value = stp::Repr> {
    use stp::{Repr, Role};
    let bridge = || (any::<u16>(), mac()).prop_map(|(priority, address)| stp::BridgeId { priority, address });
    let vector = move || {
        (bridge(), any::<u32>(), bridge(), any::<(u16, u16, u16, u16, u16)>()).prop_map(
            |(root, root_path_cost, bridge, (port, message_age, max_age, hello_time, forward_delay))| {
                stp::Vector {
                    root,
                    root_path_cost,
                    bridge,
                    port,
                    message_age,
                    max_age,
                    hello_time,
                    forward_delay,
                }
            },
        )
    };
    let roles = vec![Role::Unknown, Role::AlternateOrBackup, Role::Root, Role::Designated];
    prop_oneof![
        Just(Repr::TopologyChangeNotification),
        (any::<(bool, bool)>(), vector()).prop_map(|((change, acknowledged), vector)| Repr::Configuration {
            topology_change: change,
            topology_change_acknowledged: acknowledged,
            vector,
        }),
        (any::<[bool; 5]>(), prop::sample::select(roles), vector()).prop_map(|(flags, role, vector)| {
            let [topology_change, proposal, learning, forwarding, agreement] = flags;
            Repr::Rapid { topology_change, proposal, role, learning, forwarding, agreement, vector }
        }),
    ]
}

fn partner() -> impl Strategy<Value = lacp::Partner> {
    (any::<u16>(), mac(), any::<(u16, u16, u16)>(), any::<u8>()).prop_map(
        |(system_priority, system, (key, port_priority, port), state)| lacp::Partner {
            system_priority,
            system,
            key,
            port_priority,
            port,
            state: lacp::State(state),
        },
    )
}

pub(crate) fn lacp() -> impl Strategy<Value = lacp::Repr> {
    (any::<u8>(), partner(), partner(), any::<u16>())
        .prop_map(|(version, actor, partner, max_delay)| lacp::Repr { version, actor, partner, max_delay })
}

pub(crate) fn marker() -> impl Strategy<Value = marker::Repr> {
    (any::<u8>(), any::<bool>(), any::<u16>(), mac(), any::<u32>()).prop_map(
        |(version, is_response, port, system, transaction)| marker::Repr {
            version,
            is_response,
            port,
            system,
            transaction,
        },
    )
}

pub(crate) fn lldp() -> impl Strategy<Value = lldp::Repr<'static>> {
    let id = || (any::<u8>(), bytes(1..=40)).prop_map(|(subtype, value)| lldp::Id { subtype, value });
    let item = (4u8..128, bytes(0..=60)).prop_map(|(kind, data)| lldp::Item { kind: lldp::Kind(kind), data });
    let others = vec(item, 0..4).prop_map(|items| {
        let bytes = written!(items);
        assert_eq!(lldp::Items::new(bytes).map(Result::unwrap).collect::<Vec<_>>(), items);
        bytes
    });
    (id(), id(), any::<u16>(), others).prop_map(|(chassis, port, time_to_live, others)| lldp::Repr {
        chassis,
        port,
        time_to_live,
        others,
    })
}

pub(crate) fn bfd() -> impl Strategy<Value = bfd::Repr<'static>> {
    use bfd::State;
    let states = vec![State::AdminDown, State::Down, State::Init, State::Up];
    let authentication =
        (any::<u8>(), bytes(0..=229)).prop_map(|(kind, data)| bfd::Authentication { kind, data });
    (
        (0u8..32, prop::sample::select(states), any::<[bool; 4]>(), 1u8..=255),
        (1u32.., any::<u32>(), any::<[u32; 3]>(), option::of(authentication)),
    )
        .prop_map(
            |((diagnostic, state, flags, multiplier), (mine, yours, intervals, authentication))| {
                let may_be_unknown = matches!(state, State::Down | State::AdminDown);
                bfd::Repr {
                    diagnostic: bfd::Diagnostic(diagnostic),
                    state,
                    poll: flags[0],
                    is_final: flags[1],
                    control_plane_independent: flags[2],
                    demand: flags[3],
                    detection_multiplier: multiplier,
                    my_discriminator: mine,
                    your_discriminator: if yours == 0 && !may_be_unknown { 1 } else { yours },
                    desired_min_tx_interval: intervals[0],
                    required_min_rx_interval: intervals[1],
                    required_min_echo_rx_interval: intervals[2],
                    authentication,
                }
            },
        )
}

pub(crate) fn dhcp() -> impl Strategy<Value = Vec<u8>> {
    (any::<bool>(), vec(any::<u8>(), 235), vec((any::<u8>(), vec(any::<u8>(), 0..10)), 0..5)).prop_map(
        |(reply, rest, options)| {
            let mut message = vec![1 + u8::from(reply)];
            message.extend(rest);
            message.extend([0x63, 0x82, 0x53, 0x63]);
            for (code, data) in options {
                message.extend([code, data.len() as u8]);
                message.extend(data);
            }
            message
        },
    )
}
