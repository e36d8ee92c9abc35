//! The codecs, without a kernel: what is written reads back, and nothing that is read can hurt.

use super::ingress::{self, Action};
use super::piece::{Layer, apart, realization, strategy, together};
use super::units::Ticks;
use super::wire::{HEADER, Place, index};
use super::{FilterRow, flower, qdisc, u32};
use crate::netlink::{Attribute, Attributes, Messages};
use netloom_compile::object::shaper::{
    BitRate, ClassId, FilterKind, FqCodel, Htb, HtbClass, Match, Netem, NetemReorder, PartsPerMillion, Peak,
    Prio, Qdisc, Sfq, Shaper, Tbf,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

const NETLINK_HEADER: usize = 16;
const TICKS: fn() -> Ticks = Ticks::default;

/// Rates from slow to beyond 32 bits of octets, with buckets that fit them.
fn rate_and_burst() -> impl Strategy<Value = (BitRate, u32)> {
    (64u64..400_000_000_000, 1u32..10_000_000).prop_filter_map("270 s at most", |(rate, burst)| {
        (u64::from(burst) / (rate / 8) < 270).then_some((BitRate(rate), burst))
    })
}

fn share() -> impl Strategy<Value = PartsPerMillion> {
    (0u32..=1_000_000).prop_map(PartsPerMillion)
}

fn time() -> impl Strategy<Value = Duration> {
    (0u64..3_000_000_000_000).prop_map(Duration::from_nanos)
}

fn netem() -> impl Strategy<Value = Netem> {
    let reorder = (share(), share(), 1u32..100).prop_map(|(share, correlation, gap)| NetemReorder {
        share,
        correlation,
        gap,
    });
    (
        (time(), time(), share(), share(), share()),
        (share(), share(), proptest::option::of(reorder)),
        (proptest::option::of(8u64..400_000_000_000), proptest::option::of(1u32..1_000_000)),
    )
        .prop_map(
            |(
                (delay, jitter, delay_correlation, loss, loss_correlation),
                (duplicate, corrupt, reorder),
                (rate, limit),
            )| {
                Netem {
                    delay: delay + Duration::from_nanos(1),
                    jitter,
                    delay_correlation,
                    loss,
                    loss_correlation,
                    duplicate,
                    corrupt,
                    reorder,
                    rate: rate.map(BitRate),
                    limit,
                    ..Netem::default()
                }
            },
        )
}

fn qdiscs() -> impl Strategy<Value = Qdisc> {
    let number = || proptest::option::of(1u32..1_000_000);
    prop_oneof![
        (rate_and_burst(), 1u32.., any::<bool>()).prop_map(|((rate, burst), limit, peaky)| {
            let peak = peaky.then(|| Peak { rate: BitRate(rate.0 * 2), burst: burst.min(1_000_000) });
            Qdisc::Tbf(Tbf { rate, burst, limit, peak, child: None })
        }),
        netem().prop_map(|netem| Qdisc::Netem(Box::new(netem))),
        (2u8..=16, any::<[u8; 16]>()).prop_map(|(bands, map)| {
            Qdisc::Prio(Prio { bands, map: map.map(|band| band % bands), ..Prio::default() })
        }),
        (number(), number(), number(), number(), proptest::option::of(any::<bool>())).prop_map(
            |(limit, flows, quantum, micros, ecn)| {
                let target = micros.map(|micros| Duration::from_micros(u64::from(micros)));
                Qdisc::FqCodel(FqCodel {
                    limit,
                    flows,
                    quantum,
                    target,
                    interval: target,
                    ecn,
                    memory_limit: limit,
                })
            }
        ),
        (number(), number(), number()).prop_map(|(quantum, perturb, limit)| Qdisc::Sfq(Sfq {
            quantum,
            perturb,
            limit
        })),
        number().prop_map(|limit| Qdisc::Pfifo { limit }),
        number().prop_map(|limit| Qdisc::Bfifo { limit }),
        (proptest::option::of(1u16..0x4e4c), number()).prop_map(|(default, r2q)| {
            let default = default.map(|id| ClassId::try_from(id).unwrap());
            Qdisc::Htb(Htb { default, r2q, ..Htb::default() })
        }),
    ]
}

fn classes() -> impl Strategy<Value = HtbClass> {
    (rate_and_burst(), rate_and_burst(), 0u8..8, proptest::option::of(1u32..1_000_000)).prop_map(
        |((rate, burst), (ceil, cburst), priority, quantum)| HtbClass {
            parent: None,
            rate,
            ceil,
            burst,
            cburst,
            priority,
            quantum,
            leaf: None,
        },
    )
}

/// Attributes after the fixed header of a written request.
fn attributes(messages: &Messages, index: usize) -> Attributes<'_> {
    Attributes::new(&messages.get(index).unwrap()[NETLINK_HEADER + HEADER..])
}

fn satisfies(found: Qdisc, wanted: Qdisc) -> Vec<String> {
    let mut differences = Vec::new();
    Shaper::egress(found).compare(&Shaper::egress(wanted), &mut |field, from, to| {
        differences.push(format!("{field} {from} -> {to}"));
    });
    differences
}

/// The requests of one match, read back as if the kernel had told them.
fn filter_rows<'a>(messages: &'a Messages, kind: FilterKind) -> Vec<(u16, FilterRow<'a>)> {
    (0..messages.len())
        .map(|request| {
            let octets = messages.get(request).unwrap();
            let word = |at: usize| {
                let at = NETLINK_HEADER + at;
                u32::from_ne_bytes(octets[at..at + 4].try_into().unwrap())
            };
            let (handle, info) = (word(8), word(16));
            let layer = Layer::of(u16::from_be(info as u16)).unwrap();
            // The kernel puts nodes that name no table into the root table, which it numbers itself.
            let handle =
                if kind == FilterKind::U32 && handle >> 20 == 0 { handle | 0x8000_0000 } else { handle };
            let options = attributes(messages, request).get(qdisc::TCA_OPTIONS).unwrap();
            ((info >> 16) as u16, FilterRow { layer, handle, options })
        })
        .collect()
}

fn round_trip(when: &Match, wish: FilterKind, place: usize) -> Option<Match> {
    let kind = realization(&when.canonical(), wish);
    let pieces = apart(when, kind);
    let mut messages = Messages::new();
    let at = Place { ifindex: 7, parent: 0x4e4c_0000 };
    match kind {
        FilterKind::U32 => u32::encode(&mut messages, at, place, &pieces, 0x4e4c_0010),
        FilterKind::Flower => flower::encode(&mut messages, at, place, &pieces, 0x4e4c_0010),
    }
    let rows = filter_rows(&messages, kind);
    assert!(rows.iter().all(|(priority, _)| *priority > 0 && index(*priority) == place));
    let rows: Vec<_> = rows.into_iter().map(|(_, row)| row).collect();
    let found = match kind {
        FilterKind::U32 => u32::decode(&rows)?,
        FilterKind::Flower => flower::decode(&rows)?,
    };
    assert!(found.iter().all(|(_, class)| *class == 0x4e4c_0010));
    let found: Vec<_> = found.into_iter().map(|(piece, _)| piece).collect();
    together(&found, kind)
}

proptest! {
    #[test]
    fn disciplines_read_back(qdisc in qdiscs()) {
        let mut messages = Messages::new();
        qdisc::encode(messages.add(36, 0).header(&[0; HEADER]), &qdisc, TICKS());
        let written = attributes(&messages, 0);
        let kind = written.get(qdisc::TCA_KIND).unwrap().text().unwrap();
        prop_assert_eq!(kind, qdisc.kind());
        let found = qdisc::decode(kind, written.get(qdisc::TCA_OPTIONS), TICKS()).unwrap();
        // A kernel says the numbers that it chose itself, and so cannot be told by the codec alone.
        let found = match (found, &qdisc) {
            (Qdisc::Sfq(mut found), Qdisc::Sfq(wanted)) => {
                found.perturb = found.perturb.or(wanted.perturb);
                Qdisc::Sfq(found)
            }
            (found, _) => found,
        };
        prop_assert_eq!(satisfies(found, qdisc), Vec::<String>::new());
    }

    #[test]
    fn classes_read_back(class in classes()) {
        let mut messages = Messages::new();
        qdisc::encode_class(messages.add(40, 0).header(&[0; HEADER]), &class, TICKS());
        let options = attributes(&messages, 0).get(qdisc::TCA_OPTIONS).unwrap();
        let found = qdisc::decode_class(options, TICKS()).unwrap();
        let alone = |class: HtbClass| {
            let classes = BTreeMap::from([(ClassId::try_from(1).unwrap(), class)]);
            Qdisc::Htb(Htb { classes, ..Htb::default() })
        };
        prop_assert_eq!(satisfies(alone(found), alone(class)), Vec::<String>::new());
    }

    #[test]
    fn matches_read_back(when in strategy::matches(true), place in 0usize..2047) {
        prop_assert_eq!(round_trip(&when, FilterKind::U32, place), Some(when.canonical()));
        prop_assert_eq!(round_trip(&when, FilterKind::Flower, place), Some(when.canonical()));
    }

    #[test]
    fn ingress_actions_read_back((rate, burst) in rate_and_burst(), ifindex: u32, police: bool) {
        let action = if police { Action::Police { rate, burst } } else { Action::Redirect { ifindex } };
        let mut messages = Messages::new();
        ingress::encode(&mut messages, Place { ifindex: 7, parent: 0xffff_fff2 }, action, TICKS());
        let options = attributes(&messages, 0).get(qdisc::TCA_OPTIONS).unwrap();
        match (ingress::decode(options, TICKS()), action) {
            (Some(Action::Police { rate: found, burst: octets }), Action::Police { rate, burst }) => {
                prop_assert_eq!(found.octets(), rate.octets());
                prop_assert!(u64::from(octets.abs_diff(burst)) <= rate.octets() * 128 / 1_000_000_000 + 1);
            }
            (found, wanted) => prop_assert_eq!(found, Some(wanted)),
        }
    }

    #[test]
    fn hostile_octets_are_read_without_panic(octets: Vec<u8>, handle: u32, layer in 0u8..3, spoil: (usize, u8)) {
        let read = |octets: &[u8]| {
            let options = Attribute { kind: qdisc::TCA_OPTIONS, value: octets };
            for kind in ["htb", "tbf", "netem", "prio", "fq_codel", "sfq", "pfifo", "bfifo", "cake"] {
                let _ = qdisc::decode(kind, Some(options), TICKS());
                let _ = qdisc::decode(kind, None, TICKS());
            }
            let _ = qdisc::decode_class(options, TICKS());
            let _ = ingress::decode(options, TICKS());
            let layer = [Layer::Any, Layer::V4, Layer::V6][usize::from(layer)];
            let rows = [FilterRow { layer, handle, options }];
            for found in [u32::decode(&rows), flower::decode(&rows)].into_iter().flatten() {
                let pieces: Vec<_> = found.into_iter().map(|(piece, _)| piece).collect();
                let _ = (together(&pieces, FilterKind::U32), together(&pieces, FilterKind::Flower));
            }
        };
        read(&octets);
        // Nearly right is worse than random: one octet of real options changed.
        let mut messages = Messages::new();
        let at = Place { ifindex: 7, parent: 0x4e4c_0000 };
        let when = Match { protocol: Some(6), ..Match::default() };
        u32::encode(&mut messages, at, 0, &apart(&when, FilterKind::U32), 1);
        flower::encode(&mut messages, at, 0, &apart(&when, FilterKind::Flower), 1);
        for request in 0..messages.len() {
            let mut octets = attributes(&messages, request).get(qdisc::TCA_OPTIONS).unwrap().value.to_vec();
            let spot = spoil.0 % octets.len();
            octets[spot] = spoil.1;
            read(&octets);
        }
    }
}

#[test]
fn a_port_range_is_one_table_and_thirty_nodes_at_worst() {
    let ports = netloom_compile::object::shaper::PortRange { low: 1, high: 65534 };
    let family = Some(netloom_compile::object::Family::V4);
    let when = Match { family, protocol: Some(6), destination_ports: Some(ports), ..Match::default() };
    let mut messages = Messages::new();
    let at = Place { ifindex: 7, parent: 0x4e4c_0000 };
    u32::encode(&mut messages, at, 0, &apart(&when, FilterKind::U32), 1);
    assert_eq!(messages.len(), 1 + 30 + 1);
}
