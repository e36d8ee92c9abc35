//! Properties of the types, the comparison and the media table.

use super::media::{Direction, PROFILES, Unrealized, profile, to_shaper};
use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

fn id(text: &str) -> ClassId {
    text.parse().unwrap()
}

/// The tree of the exercise: 10 Mbit/s split 6/3/1 with ceilings 10/8/5, default 30.
fn tree() -> Htb {
    let mut classes = BTreeMap::new();
    classes.insert(id("1"), HtbClass::new(BitRate::mbit(10), BitRate::mbit(10), 1500));
    for (name, rate, ceil) in [("10", 6, 10), ("20", 3, 8), ("30", 1, 5)] {
        let class = HtbClass {
            parent: Some(id("1")),
            ..HtbClass::new(BitRate::mbit(rate), BitRate::mbit(ceil), 1500)
        };
        classes.insert(id(name), class);
    }
    let when =
        Match { protocol: Some(17), destination_ports: Some(PortRange::one(5001)), ..Match::default() };
    Htb { default: Some(id("30")), r2q: None, classes, filters: vec![Filter { when, class: id("10") }] }
}

fn differences(from: &Shaper, to: &Shaper) -> Vec<String> {
    let mut found = Vec::new();
    from.compare(to, &mut |field, from, to| found.push(format!("{field} {from} -> {to}")));
    found
}

proptest! {
    #[test]
    fn prefixes_cover_exactly_the_range(a: u16, b: u16, probe: u16) {
        let range = PortRange { low: a.min(b), high: a.max(b) };
        let prefixes = range.prefixes();
        prop_assert!(prefixes.len() <= 30);
        for port in [probe, range.low, range.high, range.low.wrapping_sub(1), range.high.wrapping_add(1)] {
            let hits = prefixes.iter().filter(|(value, mask)| port & mask == *value).count();
            prop_assert_eq!(hits, usize::from((range.low..=range.high).contains(&port)));
        }
    }

    #[test]
    fn class_ids_read_back(number: u16) {
        if let Ok(id) = ClassId::try_from(number) {
            prop_assert_eq!(id.to_string().parse::<ClassId>(), Ok(id));
        }
    }

    #[test]
    fn any_text_is_a_class_or_an_error(text: String) {
        let _ = text.parse::<ClassId>();
    }

    #[test]
    fn canonical_is_canonical(source: (u32, u8), mark: (u32, u32), v4: bool) {
        let source = ipnet::Ipv4Net::new(source.0.into(), source.1 % 33).unwrap().into();
        let when = Match { source: Some(source), mark: Some(mark), family: v4.then_some(crate::object::Family::V4), ..Match::default() };
        let once = when.canonical();
        prop_assert_eq!(once.canonical(), once.clone());
        prop_assert_eq!(once.families(), when.families());
    }
}

#[test]
fn every_pair_of_ends_decomposes() {
    for (low, high, count) in [(0, 65535, 1), (1, 65534, 30), (80, 80, 1), (1024, 65535, 6), (5000, 5001, 1)]
    {
        assert_eq!(PortRange { low, high }.prefixes().len(), count, "{low}-{high}");
    }
}

#[test]
fn rates_read_well() {
    for (rate, text) in [
        (BitRate::mbit(6), "6 Mbit/s"),
        (BitRate(1_500_000), "1.5 Mbit/s"),
        (BitRate(1_234_567), "1234.567 kbit/s"),
        (BitRate(999), "999 bit/s"),
        (BitRate::mbit(100_000), "100 Gbit/s"),
    ] {
        assert_eq!(rate.to_string(), text);
    }
    assert_eq!(PartsPerMillion(1500).to_string(), "0.15 %");
}

#[test]
fn changes_are_told_field_by_field() {
    let from = Shaper::egress(Qdisc::Htb(tree()));
    assert_eq!(differences(&from, &from), Vec::<String>::new());
    let mut htb = tree();
    let class = htb.classes.get_mut(&id("10")).unwrap();
    class.rate = BitRate::mbit(5);
    class.burst += 1;
    htb.filters[0].when.destination_ports = Some(PortRange { low: 5001, high: 5002 });
    assert_eq!(
        differences(&from, &Shaper::egress(Qdisc::Htb(htb))),
        [
            "class 10 rate 6 Mbit/s -> 5 Mbit/s",
            "filter 1 udp port 5001 to class 10 -> udp port 5001-5002 to class 10"
        ]
    );
    let tbf = Shaper::egress(Qdisc::Tbf(Tbf::new(BitRate::mbit(1), 1500, Duration::from_millis(50))));
    assert_eq!(differences(&from, &tbf), ["root discipline htb -> tbf"]);
    assert_eq!(differences(&from, &Shaper::default()), ["root discipline htb -> none"]);
}

#[test]
fn a_tree_survives_json() {
    let shaper = Shaper {
        ingress: Some(Ingress::Redirect { device: "ifb0".parse().unwrap() }),
        ..Shaper::egress(Qdisc::Htb(tree()))
    };
    let text = serde_json::to_string(&shaper).unwrap();
    assert_eq!(serde_json::from_str::<Shaper>(&text).unwrap(), shaper, "{text}");
}

#[test]
fn faults_are_found() {
    assert_eq!(Shaper::egress(Qdisc::Htb(tree())).check(), Ok(()));
    let faults = |change: &dyn Fn(&mut Htb)| {
        let mut htb = tree();
        change(&mut htb);
        Shaper::egress(Qdisc::Htb(htb)).check().unwrap_err()
    };
    let ten = id("10");
    assert!(matches!(faults(&|htb| htb.default = Some(id("31")))[..], [ShaperFault::NoClass { .. }]));
    assert!(matches!(faults(&|htb| htb.default = Some(id("1")))[..], [ShaperFault::NotLeaf { .. }]));
    assert!(matches!(
        faults(&|htb| htb.classes.get_mut(&ten).unwrap().ceil = BitRate::mbit(1))[..],
        [ShaperFault::BelowRate { .. }]
    ));
    assert!(matches!(
        faults(&|htb| htb.classes.get_mut(&ten).unwrap().rate = BitRate(7))[..],
        [ShaperFault::NoRate { .. }]
    ));
    // A circle of classes: every class below the circle is too deep, and nothing loops for ever.
    let circle = faults(&|htb| htb.classes.get_mut(&id("1")).unwrap().parent = Some(ten));
    assert!(circle.iter().any(|fault| matches!(fault, ShaperFault::Depth(_))), "{circle:?}");
    let ports = Some(PortRange { low: 9, high: 8 });
    assert!(matches!(
        faults(&|htb| htb.filters[0].when.destination_ports = ports)[..],
        [ShaperFault::Contradiction { .. }]
    ));
    assert!(matches!(
        faults(&|htb| {
            let inner = Qdisc::Htb(Htb::default());
            htb.classes.get_mut(&ten).unwrap().leaf = Some(Box::new(inner));
        })[..],
        [ShaperFault::Nesting { .. }]
    ));
    assert_eq!(Shaper::default().check(), Err(vec![ShaperFault::Empty]));
}

#[test]
fn missing_kinds_are_named() {
    let here = Support { htb: true, u32: true, ..Support::default() };
    assert_eq!(Shaper::egress(Qdisc::Htb(tree())).missing(&here), []);
    let mut htb = tree();
    htb.filters[0].when.mark = Some((1, 1));
    htb.classes.get_mut(&id("10")).unwrap().leaf = Some(Box::new(Qdisc::FqCodel(FqCodel::default())));
    let kinds: Vec<_> = Shaper::egress(Qdisc::Htb(htb)).missing(&here).iter().map(|m| m.kind).collect();
    assert_eq!(kinds, ["fq_codel", "u32 match by mark"]);
}

#[test]
fn media_become_queueing_or_say_what_is_undone() {
    for medium in PROFILES {
        assert!(medium.reaches.windows(2).all(|pair| pair[0].length < pair[1].length), "{}", medium.name);
        for direction in [Direction::Up, Direction::Down] {
            let full = to_shaper(medium, 10, direction, 1500, &Support::ALL).unwrap();
            assert_eq!(full.shaper.as_ref().unwrap().check(), Ok(()), "{}", medium.name);
            assert!(full.unrealized.iter().all(|left| *left == Unrealized::HalfDuplex));
            let tbf = Support { tbf: true, ..Support::default() };
            let poor = to_shaper(medium, 10, direction, 1500, &tbf).unwrap();
            assert!(matches!(poor.shaper.as_ref().unwrap().root, Some(Qdisc::Tbf(_))));
            assert_eq!(poor.shaper.unwrap().check(), Ok(()), "{}", medium.name);
            assert!(poor.unrealized.iter().any(|left| matches!(left, Unrealized::Delay(_))));
            let none = to_shaper(medium, 10, direction, 1500, &Support::default()).unwrap();
            assert!(none.shaper.is_none() && none.unrealized.contains(&Unrealized::Rate(none.rate)));
        }
        assert!(to_shaper(medium, 1_000_000, Direction::Up, 1500, &Support::ALL).is_err());
    }
    let cat6 = profile("cat6").unwrap();
    let rate = |length| to_shaper(&cat6, length, Direction::Up, 1500, &Support::ALL).unwrap().rate;
    assert_eq!((rate(55), rate(56)), (BitRate::mbit(10_000), BitRate::mbit(1000)));
    let mobile = profile("5g").unwrap();
    let up = to_shaper(&mobile, 100, Direction::Up, 1500, &Support::ALL).unwrap().rate;
    let down = to_shaper(&mobile, 100, Direction::Down, 1500, &Support::ALL).unwrap().rate;
    assert!(up < down);
    assert!(profile("string").is_none());
}
