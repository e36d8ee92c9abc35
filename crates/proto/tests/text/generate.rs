//! Matches and actions of every kind, as a switch could be told them, for properties.

use netloom_proto::openflow::action::{
    Action, Bundle, BundleAlgorithm, Controller, Ct, CtZone, Encap, EncapProperty, HashFields, Learn,
    LearnSource, LearnSpec, LearnTarget, Multipath, MultipathAlgorithm, NO_BUFFER, Nat, Sample,
    SampleDirection, SetField, USE_NEXT_PROTOCOL,
};
use netloom_proto::openflow::field::{Format, Maskable};
use netloom_proto::openflow::{FieldId, Match, OfPort, Subfield, Value};
use netloom_wire::MacAddr;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Fields that any flow can match, and that text can say whole.
fn pipeline_fields() -> Vec<FieldId> {
    let mut fields = vec![
        FieldId::PKT_MARK,
        FieldId::DP_HASH,
        FieldId::CONJ_ID,
        FieldId::ACTSET_OUTPUT,
        FieldId::CT_STATE,
        FieldId::CT_ZONE,
        FieldId::CT_MARK,
        FieldId::CT_LABEL,
        FieldId::TUN_ID,
        FieldId::TUN_SRC,
        FieldId::TUN_DST,
        FieldId::TUN_IPV6_SRC,
        FieldId::TUN_IPV6_DST,
        FieldId::TUN_FLAGS,
        FieldId::TUN_GBP_ID,
        FieldId::METADATA,
        FieldId::IN_PORT,
    ];
    fields.extend((0..16).filter_map(FieldId::reg));
    fields.extend((0..8).filter_map(FieldId::tun_metadata));
    fields
}

/// Words that decide what a packet is, each as the fields that say it and those that it allows.
fn kinds() -> Vec<(Vec<(FieldId, u128)>, Vec<FieldId>)> {
    let ethernet = [FieldId::ETH_SRC, FieldId::ETH_DST, FieldId::VLAN_TCI];
    let ip = [FieldId::IP_DSCP, FieldId::IP_ECN, FieldId::IP_TTL, FieldId::IP_FRAG];
    let v4 = [FieldId::IPV4_SRC, FieldId::IPV4_DST];
    let v6 = [FieldId::IPV6_SRC, FieldId::IPV6_DST, FieldId::IPV6_LABEL];
    let arp = [FieldId::ARP_SPA, FieldId::ARP_TPA, FieldId::ARP_SHA, FieldId::ARP_THA, FieldId::ARP_OP];
    let mpls = [FieldId::MPLS_LABEL, FieldId::MPLS_TC, FieldId::MPLS_BOS, FieldId::MPLS_TTL];
    let nsh = [FieldId::NSH_FLAGS, FieldId::NSH_TTL, FieldId::NSH_NP, FieldId::NSH_SPI, FieldId::NSH_SI];
    let ethertype = |number| vec![(FieldId::ETH_TYPE, number)];
    let transport = |number, protocol| vec![(FieldId::ETH_TYPE, number), (FieldId::IP_PROTO, protocol)];
    let neighbour = |kind| {
        vec![
            (FieldId::ETH_TYPE, 0x86dd),
            (FieldId::IP_PROTO, 58),
            (FieldId::ICMPV6_TYPE, kind),
            (FieldId::ICMPV6_CODE, 0),
        ]
    };
    let all = |parts: &[&[FieldId]]| parts.concat();
    vec![
        (vec![], vec![]),
        (vec![], all(&[&ethernet])),
        (ethertype(0x1234), all(&[&ethernet])),
        (ethertype(0x0800), all(&[&ethernet, &ip, &v4])),
        (ethertype(0x86dd), all(&[&ethernet, &ip, &v6])),
        (transport(0x0800, 47), all(&[&ethernet, &ip, &v4])),
        (transport(0x86dd, 47), all(&[&ethernet, &ip, &v6])),
        (
            transport(0x0800, 6),
            all(&[&ethernet, &ip, &v4, &[FieldId::TCP_SRC, FieldId::TCP_DST, FieldId::TCP_FLAGS]]),
        ),
        (
            transport(0x86dd, 6),
            all(&[&ethernet, &ip, &v6, &[FieldId::TCP_SRC, FieldId::TCP_DST, FieldId::TCP_FLAGS]]),
        ),
        (transport(0x0800, 17), all(&[&ethernet, &ip, &v4, &[FieldId::UDP_SRC, FieldId::UDP_DST]])),
        (transport(0x86dd, 132), all(&[&ethernet, &ip, &v6, &[FieldId::SCTP_SRC, FieldId::SCTP_DST]])),
        (transport(0x0800, 1), all(&[&ethernet, &ip, &v4, &[FieldId::ICMPV4_TYPE, FieldId::ICMPV4_CODE]])),
        (neighbour(135), all(&[&ethernet, &v6, &[FieldId::ND_TARGET, FieldId::ND_SLL]])),
        (neighbour(136), all(&[&ethernet, &v6, &[FieldId::ND_TARGET, FieldId::ND_TLL]])),
        (ethertype(0x0806), all(&[&ethernet, &arp])),
        (ethertype(0x8035), all(&[&ethernet, &arp])),
        (ethertype(0x8847), all(&[&ethernet, &mpls])),
        (ethertype(0x8848), all(&[&ethernet, &mpls])),
        (ethertype(0x894f), all(&[&ethernet, &nsh])),
        (vec![(FieldId::PACKET_TYPE, 0x0001_0800)], all(&[&ip, &v4])),
    ]
}

/// A value and a mask that a flow may have, such that text can tell them.
fn legal(field: FieldId, bits: u128, mask: u128, masked: bool) -> Option<(Value, Value)> {
    let row = field.get();
    let octets = usize::from(row.octets);
    if row.is_variable() {
        // As many octets as digits ask for.
        let value = Value::from_number(bits | 1 << 31, 4);
        return Some((value, Value::ones(4)));
    }
    let ones = row.ones().to_u128();
    let (value, mask) = match row.format {
        Format::Fragment => [(0, 3), (1, 3), (3, 3), (1, 1), (0, 2)][(bits % 5) as usize],
        Format::Port16 => (bits % 0xff00, ones),
        Format::Port32 => (bits % 0xff00, ones),
        Format::CtState if masked => (bits & mask & 0x7f, mask & 0x7f),
        Format::CtState => (bits & 0xff, ones),
        Format::TunnelFlags => (bits & 1, 1),
        Format::TcpFlags if masked => (bits & mask & 0xfff, mask & 0xfff),
        Format::TcpFlags => (bits & 0xfff, ones),
        _ if masked && row.maskable == Maskable::Bitwise => (bits & mask & ones, mask & ones),
        _ => (bits & ones, ones),
    };
    let value = match field {
        FieldId::IP_DSCP => value & 0xfc,
        FieldId::ARP_OP => value & 0xff,
        FieldId::IP_ECN => value & 3,
        FieldId::NSH_TTL => value & 63,
        _ => value,
    };
    let value = Value::from_number(value & mask, octets);
    (mask != 0).then(|| (value, Value::from_number(mask, octets)))
}

fn set(fields: &mut Match, field: FieldId, (bits, mask, masked): (u128, u128, bool)) {
    if let Some((value, mask)) = legal(field, bits, mask, masked) {
        fields.set_masked(field, &value, &mask);
    }
}

fn numbers() -> impl Strategy<Value = (u128, u128, bool)> {
    let number = prop_oneof![any::<u128>(), (0u128..300), Just(u128::MAX)];
    let mask = prop_oneof![any::<u128>(), (0u32..128).prop_map(|shift| u128::MAX << shift), (0u128..16)];
    (number, mask, any::<bool>())
}

/// Matches of all kinds of packets.
pub(crate) fn matches() -> impl Strategy<Value = Match> {
    let kind = select(kinds());
    let extra = vec((select(pipeline_fields()), numbers()), 0..5);
    (kind, extra, vec((any::<prop::sample::Index>(), numbers()), 0..6)).prop_map(
        |((words, allowed), extra, own)| {
            let mut fields = Match::any();
            for (field, number) in words {
                fields.set_number(field, number);
            }
            for (field, numbers) in extra {
                set(&mut fields, field, numbers);
            }
            for (index, numbers) in own {
                if !allowed.is_empty() {
                    set(&mut fields, allowed[index.index(allowed.len())], numbers);
                }
            }
            // Later fragments have no ports, and what was drawn may have taken away what something else needs.
            let lost: Vec<_> =
                fields.iter().map(|entry| entry.field).filter(|field| !fields.allows(*field)).collect();
            lost.into_iter().for_each(|field| fields.clear(field));
            fields
        },
    )
}

/// Parts of registers.
fn parts(most: u16) -> impl Strategy<Value = Subfield> {
    (0u8..16, 0u16..32, 1u16..=32).prop_map(move |(register, offset, bits)| {
        let bits = bits.min(32 - offset).min(most);
        Subfield { field: FieldId::reg(register).unwrap(), offset, bits }
    })
}

fn ports() -> impl Strategy<Value = OfPort> {
    (0u16..0xff00).prop_map(OfPort)
}

fn v4() -> impl Strategy<Value = Ipv4Addr> {
    (1u32..).prop_map(Ipv4Addr::from)
}

fn v6() -> impl Strategy<Value = Ipv6Addr> {
    (1u128..).prop_map(Ipv6Addr::from)
}

fn set_fields() -> impl Strategy<Value = Action> {
    let fields = [
        FieldId::REG0,
        FieldId::XREG0,
        FieldId::XXREG0,
        FieldId::METADATA,
        FieldId::TUN_ID,
        FieldId::TUN_SRC,
        FieldId::TUN_IPV6_DST,
        FieldId::PKT_MARK,
        FieldId::ETH_SRC,
        FieldId::ETH_DST,
        FieldId::VLAN_VID,
        FieldId::IPV4_SRC,
        FieldId::IPV6_DST,
        FieldId::IPV6_LABEL,
        FieldId::IP_TTL,
        FieldId::MPLS_LABEL,
        FieldId::ARP_OP,
        FieldId::ARP_SPA,
        FieldId::ARP_SHA,
        FieldId::TCP_DST,
        FieldId::UDP_SRC,
        FieldId::SCTP_DST,
        FieldId::ICMPV6_TYPE,
        FieldId::ND_TARGET,
        FieldId::NSH_SPI,
        FieldId::IN_PORT,
    ];
    (select(fields.to_vec()), numbers()).prop_filter_map("a mask", |(field, (bits, mask, masked))| {
        let (value, mask) = legal(field, bits, mask, masked)?;
        let whole = mask == field.get().ones();
        let mask = if whole { Value::ones(mask.len()) } else { mask };
        Some(Action::SetField(Box::new(SetField { field, value, mask, nicira: false })))
    })
}

fn connection_marks() -> impl Strategy<Value = Action> {
    prop_oneof![
        any::<u32>().prop_map(|mark| Action::SetField(Box::new(SetField {
            field: FieldId::CT_MARK,
            value: Value::from_number(mark.into(), 4),
            mask: Value::ones(4),
            nicira: false,
        }))),
        any::<u128>().prop_map(|label| Action::SetField(Box::new(SetField {
            field: FieldId::CT_LABEL,
            value: Value::from_number(label, 16),
            mask: Value::ones(16),
            nicira: false,
        }))),
        (0u8..16).prop_map(|register| Action::Move {
            source: Subfield::whole(FieldId::reg(register).unwrap()),
            target: Subfield::whole(FieldId::CT_MARK),
            onf: false,
        }),
    ]
}

fn nats() -> impl Strategy<Value = Nat> {
    let addresses = prop_oneof![
        (v4(), v4(), any::<bool>()).prop_map(|(a, b, range)| {
            (IpAddr::V4(a.min(b)), Some(IpAddr::V4(a.max(b))).filter(|_| range && a != b))
        }),
        (v6(), v6(), any::<bool>()).prop_map(|(a, b, range)| {
            (IpAddr::V6(a.min(b)), Some(IpAddr::V6(a.max(b))).filter(|_| range && a != b))
        }),
    ];
    let ports = (1u16.., 1u16.., any::<bool>())
        .prop_map(|(a, b, range)| (a.min(b), Some(a.max(b)).filter(|_| range && a != b)));
    let flags = (any::<bool>(), any::<bool>(), 0u8..3);
    (proptest::option::of(addresses), proptest::option::of(ports), flags, any::<bool>()).prop_map(
        |(addresses, ports, (source, persistent, choice), plain)| match addresses {
            _ if plain => Nat::default(),
            None => Nat { source, destination: !source, ..Nat::default() },
            addresses => Nat {
                source,
                destination: !source,
                persistent,
                hash: choice == 1,
                random: choice == 2,
                addresses,
                ports,
            },
        },
    )
}

fn connections() -> impl Strategy<Value = Action> {
    let zone = prop_oneof![any::<u16>().prop_map(CtZone::Immediate), parts(16).prop_map(CtZone::Field)];
    let nat = proptest::option::of(nats());
    let alg = select(vec![0u16, 21, 69]);
    let table = proptest::option::of(0u8..255);
    (any::<bool>(), any::<bool>(), zone, table, alg, nat, vec(connection_marks(), 0..3)).prop_map(
        |(commit, force, zone, table, alg, nat, marks)| {
            let actions = nat.map(|nat| Action::Nat(Box::new(nat))).into_iter().chain(marks).collect();
            Action::Ct(Box::new(Ct { commit, force: force && commit, zone, table, alg, actions }))
        },
    )
}

fn learns() -> impl Strategy<Value = Action> {
    let spec = prop_oneof![
        (parts(32), any::<u32>()).prop_map(|(part, bits)| {
            let value = Value::from_number(bits.into(), 4).extract(0, part.bits.into());
            LearnSpec {
                bits: part.bits,
                source: LearnSource::Immediate(value),
                target: LearnTarget::Match(part),
            }
        }),
        (parts(32), any::<u32>()).prop_map(|(part, bits)| {
            let value = Value::from_number(bits.into(), 4).extract(0, part.bits.into());
            LearnSpec {
                bits: part.bits,
                source: LearnSource::Immediate(value),
                target: LearnTarget::Load(part),
            }
        }),
        parts(32).prop_map(|part| LearnSpec {
            bits: part.bits,
            source: LearnSource::Field(part),
            target: LearnTarget::Match(part)
        }),
        Just(FieldId::ETH_SRC).prop_map(|source| LearnSpec {
            bits: 48,
            source: LearnSource::Field(Subfield::whole(source)),
            target: LearnTarget::Match(Subfield::whole(FieldId::ETH_DST)),
        }),
        Just(FieldId::IN_PORT).prop_map(|source| LearnSpec {
            bits: 16,
            source: LearnSource::Field(Subfield::whole(source)),
            target: LearnTarget::Output,
        }),
    ];
    let times = (any::<u16>(), any::<u16>(), any::<u16>(), any::<u16>());
    let result = proptest::option::of(parts(1));
    (times, any::<u16>(), any::<u64>(), any::<[bool; 2]>(), 0u8..255, any::<u16>(), result, vec(spec, 0..5))
        .prop_map(
            |(
                (idle, hard, fin_idle, fin_hard),
                priority,
                cookie,
                [removed, delete],
                table,
                limit,
                result,
                specs,
            )| {
                Action::Learn(Box::new(Learn {
                    idle_timeout: idle,
                    hard_timeout: hard,
                    priority,
                    cookie,
                    send_flow_rem: removed,
                    delete_learned: delete,
                    table,
                    fin_idle_timeout: fin_idle,
                    fin_hard_timeout: fin_hard,
                    limit: limit.into(),
                    result,
                    specs,
                    extended: false,
                }))
            },
        )
}

fn hashing() -> impl Strategy<Value = Action> {
    let fields = select(HashFields::ALL.to_vec());
    let bundle =
        (fields.clone(), any::<u16>(), any::<bool>(), proptest::option::of(parts(16)), vec(ports(), 0..5))
            .prop_map(|(fields, basis, hrw, target, members)| {
                let algorithm =
                    if hrw { BundleAlgorithm::HighestWeight } else { BundleAlgorithm::ActiveBackup };
                Action::Bundle(Box::new(Bundle { algorithm, fields, basis, target, members }))
            });
    let algorithm = select(vec![
        MultipathAlgorithm::ModuloN,
        MultipathAlgorithm::HashThreshold,
        MultipathAlgorithm::HighestWeight,
        MultipathAlgorithm::IterativeHash,
    ]);
    let multipath = (fields, any::<u16>(), algorithm, any::<u16>(), any::<u32>(), 0u8..16).prop_map(
        |(fields, basis, algorithm, max_link, argument, register)| {
            let argument = argument & 0x7fff_ffff;
            let target = Subfield::whole(FieldId::reg(register).unwrap());
            Action::Multipath(Box::new(Multipath { fields, basis, algorithm, max_link, argument, target }))
        },
    );
    prop_oneof![bundle, multipath]
}

fn controllers() -> impl Strategy<Value = Action> {
    (any::<u16>(), any::<u16>(), 0u8..6, vec(any::<u8>(), 0..9), any::<bool>(), 0u32..3).prop_filter_map(
        "more than an output",
        |(max_len, controller_id, reason, userdata, pause, meter_id)| {
            let plain = controller_id == 0 && reason == 1 && userdata.is_empty() && !pause && meter_id == 0;
            (!plain).then(|| {
                Action::Controller(Box::new(Controller {
                    max_len,
                    controller_id,
                    reason,
                    userdata,
                    pause,
                    meter_id,
                    extended: false,
                }))
            })
        },
    )
}

fn encaps() -> impl Strategy<Value = Action> {
    let property = prop_oneof![
        (1u8..3).prop_map(EncapProperty::NshMdType),
        (any::<u16>(), any::<u8>(), vec(1u8.., 1..8)).prop_map(|(class, kind, mut data)| {
            // The first digit is printed only if it is not zero.
            data[0] |= 0x10;
            EncapProperty::NshTlv { class, kind, data }
        }),
    ];
    prop_oneof![
        vec(property, 0..3).prop_map(|properties| {
            Action::Encap(Box::new(Encap { packet_type: 0x0001_894f, header_size: 0, properties }))
        }),
        select(vec![0u32, 0x0001_8847, 0x0001_8848]).prop_map(|packet_type| {
            Action::Encap(Box::new(Encap { packet_type, header_size: 0, properties: Vec::new() }))
        }),
        Just(Action::Decap { packet_type: USE_NEXT_PROTOCOL }),
        any::<u16>().prop_map(|kind| Action::Decap { packet_type: 1 << 16 | u32::from(kind) }),
    ]
}

fn simple() -> impl Strategy<Value = Action> {
    let old = prop_oneof![
        (0u16..4096, any::<bool>()).prop_map(|(vid, push)| Action::SetVlanVid { vid, push }),
        (0u8..8, any::<bool>()).prop_map(|(pcp, push)| Action::SetVlanPcp { pcp, push }),
        any::<[u8; 6]>().prop_map(|octets| Action::SetEthSrc(MacAddr::new(octets))),
        any::<[u8; 6]>().prop_map(|octets| Action::SetEthDst(MacAddr::new(octets))),
        v4().prop_map(Action::SetIpv4Src),
        v4().prop_map(Action::SetIpv4Dst),
        (0u8..64).prop_map(|dscp| Action::SetIpTos(dscp << 2)),
        (0u8..4).prop_map(Action::SetIpEcn),
        any::<u8>().prop_map(Action::SetIpTtl),
        any::<u16>().prop_map(Action::SetTpSrc),
        any::<u16>().prop_map(Action::SetTpDst),
        (0u32..1 << 20).prop_map(Action::SetMplsLabel),
        (0u8..8).prop_map(Action::SetMplsTc),
        any::<u8>().prop_map(Action::SetMplsTtl),
        select(vec![0x8847u16, 0x8848]).prop_map(Action::PushMpls),
        any::<u16>().prop_map(Action::PopMpls),
        select(vec![0x8100u16, 0x88a8]).prop_map(Action::PushVlan),
    ];
    let words = select(vec![
        Action::StripVlan,
        Action::PopVlan,
        Action::DecTtl,
        Action::DecMplsTtl,
        Action::DecNshTtl,
        Action::PopQueue,
        Action::Exit,
        Action::CtClear,
        Action::DebugRecirc,
        Action::DebugSlow,
        Action::Output { port: OfPort::LOCAL, max_len: 0 },
        Action::Output { port: OfPort::IN_PORT, max_len: 0 },
        Action::Output { port: OfPort::NORMAL, max_len: 0 },
        Action::Output { port: OfPort::FLOOD, max_len: 0 },
        Action::Output { port: OfPort::ALL, max_len: 0 },
    ]);
    let rest = prop_oneof![
        ports().prop_map(|port| Action::Output { port, max_len: 0 }),
        any::<u16>().prop_map(|max_len| Action::Output { port: OfPort::CONTROLLER, max_len }),
        parts(16).prop_map(|source| Action::OutputField { source, max_len: NO_BUFFER }),
        (ports(), 14u32..).prop_map(|(port, max_len)| Action::OutputTruncated { port, max_len }),
        any::<u32>().prop_map(Action::Group),
        (ports(), any::<u32>()).prop_map(|(port, queue)| Action::Enqueue { port, queue }),
        (parts(32), any::<u64>())
            .prop_map(|(target, value)| Action::Load { target, value: value & ((1 << target.bits) - 1) }),
        (0u8..16, 0u8..16, 0u16..16).prop_map(|(source, target, offset)| Action::Move {
            source: Subfield { field: FieldId::reg(source).unwrap(), offset, bits: 16 },
            target: Subfield { field: FieldId::reg(target).unwrap(), offset: 0, bits: 16 },
            onf: false,
        }),
        parts(32).prop_map(Action::Push),
        parts(32).prop_map(Action::Pop),
        vec(any::<u16>(), 1..4).prop_map(Action::DecTtlIds),
        (0u8..64).prop_map(|number| Action::DeleteField(FieldId::tun_metadata(number).unwrap())),
        any::<u32>().prop_map(Action::SetTunnel),
        any::<u64>().prop_map(Action::SetTunnel64),
        any::<u32>().prop_map(Action::SetQueue),
        (any::<u16>(), any::<u16>()).prop_map(|(idle, hard)| Action::FinTimeout { idle, hard }),
        (ports(), proptest::option::of(0u8..255), any::<bool>())
            .prop_map(|(port, table, ct)| Action::Resubmit { port, table, ct: ct && table.is_some() }),
        (0u8..255).prop_map(|table| Action::Resubmit {
            port: OfPort::IN_PORT,
            table: Some(table),
            ct: false
        }),
        vec(any::<u8>(), 0..3).prop_map(|octets| Action::Note(
            octets.repeat(14).into_iter().take(14).chain([0; 14]).take(14).collect()
        )),
        (1u16.., any::<[u32; 3]>(), ports(), 0u8..3).prop_map(
            |(probability, [set, domain, point], port, way)| {
                Action::Sample(Box::new(Sample {
                    probability,
                    collector_set_id: set,
                    obs_domain_id: domain,
                    obs_point_id: point,
                    sampling_port: port,
                    direction: [SampleDirection::Default, SampleDirection::Ingress, SampleDirection::Egress]
                        [usize::from(way)],
                    form: 1,
                }))
            }
        ),
        (parts(1), any::<u16>()).prop_map(|(target, length)| Action::CheckPacketLarger { target, length }),
    ];
    prop_oneof![1 => old, 1 => words, 2 => rest]
}

/// Actions that may stand anywhere.
fn actions_flat() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => simple(),
        2 => set_fields(),
        1 => connections(),
        1 => learns(),
        1 => hashing(),
        1 => controllers(),
        1 => encaps(),
    ]
}

/// Lists of actions and instructions in the order that is allowed.
pub(crate) fn lists() -> impl Strategy<Value = Vec<Action>> {
    let actions = actions_flat().prop_recursive(3, 12, 4, |inner| vec(inner, 0..4).prop_map(Action::Clone));
    let conjunctions = vec((any::<u32>(), 0u8..4, 4u8..=64), 1..4).prop_map(|all| {
        all.into_iter()
            .map(|(id, clause, count)| Action::Conjunction { id, clause, count })
            .collect::<Vec<_>>()
    });
    let instructions = (
        proptest::option::of(1u32..100),
        vec(actions, 0..5),
        any::<bool>(),
        proptest::option::of(vec(simple(), 0..3)),
        proptest::option::of((any::<u64>(), any::<u64>())),
        proptest::option::of(0u8..255),
    )
        .prop_map(|(meter, actions, clear, write, metadata, table)| {
            let mut list: Vec<Action> = meter.map(Action::Meter).into_iter().chain(actions).collect();
            list.extend(clear.then_some(Action::ClearActions));
            list.extend(write.map(Action::WriteActions));
            list.extend(metadata.map(|(value, mask)| Action::WriteMetadata { value, mask }));
            list.extend(table.map(Action::GotoTable));
            list
        });
    prop_oneof![9 => instructions, 1 => conjunctions]
}
