//! What the module promises, for any medium and any packets, and the figures of chance.

use super::*;
use proptest::prelude::*;

fn share() -> impl Strategy<Value = u32> {
    prop_oneof![3 => Just(0), 1 => 0..=MILLION, 1 => Just(MILLION)]
}

fn loss() -> impl Strategy<Value = Loss> {
    prop_oneof![
        share().prop_map(Loss::Random),
        (share(), share(), share(), share()).prop_map(|(enter, leave, bad, good)| Loss::Bursts {
            enter,
            leave,
            bad,
            good
        }),
    ]
}

prop_compose! {
    fn medium()(
        delay in prop_oneof![Just(0), 0..100_000_u64, 0..LONGEST], jitter in prop_oneof![Just(0), 0..100_000_u64],
        distribution in (0..4_usize).prop_map(|index| Distribution::ALL[index].0),
        rate in prop_oneof![Just(0), 8..1_000_000_u64, 1_000_000..400_000_000_000_u64],
        burst in prop_oneof![Just(0), 0..100_000_u64],
        loss in loss(), duplicate in share(), corrupt in share(), reorder in share(),
        packets in prop_oneof![0..10_usize, Just(1000)], octets in prop_oneof![0..5000_usize, Just(1 << 20)],
    ) -> Medium {
        Medium { closed: false, delay, jitter, distribution, rate, burst, peak: 0, loss, duplicate, corrupt, reorder, packets, octets }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]
    /// Everything that the module promises, for any medium and any packets.
    #[test]
    fn the_invariants_hold(
        medium in medium(), seed in any::<u64>(),
        packets in proptest::collection::vec((prop_oneof![Just(0), 0..10_000_u64, 0..10_000_000_u64], 1..2000_usize), 1..200),
    ) {
        let mut line = Line::new(medium, seed);
        let mut twin = line.clone();
        let (mut occupied, mut other) = (Occupied::default(), Occupied::default());
        let mut under_way: Vec<(u64, usize)> = Vec::new();
        let (mut now, mut last) = (1000_u64, 0);
        // When each copy was sent at the earliest, by an exact line.
        let per_octet = |octets: u128| octets * 8_000_000_000;
        let mut sent: u128 = 0;
        let deviation = match medium.distribution {
            Distribution::Uniform => medium.jitter,
            _ => medium.jitter * Distribution::MOST as u64,
        };
        let least = medium.delay.saturating_sub(deviation);
        let most = medium.delay + deviation;
        for (wait, octets) in packets {
            now += wait;
            under_way.retain(|(at, octets)| {
                let stays = *at > now;
                if !stays {
                    line.arrived(*octets);
                    twin.arrived(*octets);
                }
                stays
            });
            let whole: usize = under_way.iter().map(|(_, octets)| octets).sum();
            prop_assert_eq!(line.under_way(), (under_way.len(), whole));
            let fate = line.send(octets, now, &mut occupied);
            prop_assert_eq!(fate, twin.send(octets, now, &mut other));
            let (at, again, overtakes) = match fate {
                Fate::Lost(Reason::LinkFull) => {
                    prop_assert!(under_way.len() >= medium.packets || whole + octets > medium.octets);
                    continue;
                }
                Fate::Lost(reason) => {
                    prop_assert!(reason == Reason::Lossy && medium.loss != Loss::Random(0));
                    continue;
                }
                Fate::Arrives { at, again, overtakes, wrong } => {
                    prop_assert!(wrong.is_none_or(|bit| bit < octets as u64 * 8 && medium.corrupt > 0));
                    prop_assert!(again.is_none() || medium.duplicate > 0);
                    (at, again, overtakes)
                }
            };
            prop_assert!(!overtakes || medium.reorder > 0);
            for (at, overtakes) in [(Some(at), overtakes), (again, false)] {
                let Some(at) = at else { continue };
                under_way.push((at, octets));
                let mut earliest = now;
                if medium.rate > 0 {
                    let rate = u128::from(medium.rate);
                    sent = sent.max(u128::from(now) * rate) + per_octet(octets as u128);
                    let early = per_octet(u128::from(medium.burst));
                    // The line counts in parts of 2^-32 ns, rounded down for each octet of the burst and of what waits.
                    let exact = sent.saturating_sub(early).div_ceil(rate) as u64;
                    earliest = now.max(exact.saturating_sub(1));
                }
                if overtakes {
                    prop_assert!(at >= earliest && at <= earliest + 2);
                } else {
                    prop_assert!(at >= last, "order");
                    prop_assert!(at >= earliest + least, "{at} {earliest} {least}");
                    prop_assert!(at <= last.max(earliest + most + 2), "{at} {earliest} {most}");
                    last = at;
                }
            }
        }
    }
}

/// The part of packets of which something is true, and how far it may be from a share with a chance of 1 in 10^9.
fn near(share: f64, count: usize, of: usize) {
    let (found, deviation) = (count as f64 / of as f64, (share * (1.0 - share) / of as f64).sqrt());
    assert!((found - share).abs() <= 6.0 * deviation, "{found} of {of}, not {share}");
}

const MANY: usize = 200_000;

fn fates(medium: Medium) -> Vec<Fate> {
    let mut line = Line::new(Medium { packets: usize::MAX, octets: usize::MAX, ..medium }, 11);
    let mut occupied = Occupied::default();
    (0..MANY as u64).map(|number| line.send(100, number * 1000, &mut occupied)).collect()
}

#[test]
fn shares_are_within_what_chance_allows() {
    for parts in [1_000, 10_000, 250_000, 900_000] {
        let share = f64::from(parts) / 1e6;
        let lost = fates(Medium { loss: Loss::Random(parts), ..Medium::NOTHING });
        near(share, lost.iter().filter(|fate| **fate == Fate::Lost(Reason::Lossy)).count(), MANY);
        let twice = fates(Medium { duplicate: parts, ..Medium::NOTHING });
        near(
            share,
            twice.iter().filter(|fate| matches!(fate, Fate::Arrives { again: Some(_), .. })).count(),
            MANY,
        );
        let wrong = fates(Medium { corrupt: parts, ..Medium::NOTHING });
        near(
            share,
            wrong.iter().filter(|fate| matches!(fate, Fate::Arrives { wrong: Some(_), .. })).count(),
            MANY,
        );
        let over = fates(Medium { reorder: parts, delay: 5000, ..Medium::NOTHING });
        near(
            share,
            over.iter().filter(|fate| matches!(fate, Fate::Arrives { overtakes: true, .. })).count(),
            MANY,
        );
    }
}

#[test]
fn bursts_of_loss_have_the_length_and_the_share_of_gilberts_model() {
    // Bad for a packet in 1 + 100/20 = 6, five packets at a time.
    let fates = fates(Medium {
        loss: Loss::Bursts { enter: 40_000, leave: 200_000, bad: MILLION, good: 0 },
        ..Medium::NOTHING
    });
    let lost: Vec<bool> = fates.iter().map(|fate| matches!(fate, Fate::Lost(_))).collect();
    let count = lost.iter().filter(|lost| **lost).count();
    let bursts = lost.windows(2).filter(|pair| !pair[0] && pair[1]).count();
    // Losses depend on each other: the share varies by (1 + c) / (1 - c) more, c = 1 - 0.04 - 0.2.
    let deviation = (1.0 / 6.0 * 5.0 / 6.0 / MANY as f64 * (1.76 / 0.24)).sqrt();
    assert!((count as f64 / MANY as f64 - 1.0 / 6.0).abs() < 6.0 * deviation, "{count}");
    let length = count as f64 / bursts as f64;
    assert!((length - 5.0).abs() < 6.0 * (20.0 / bursts as f64).sqrt(), "{length}");
}

#[test]
fn jitter_has_the_mean_and_the_spread_that_are_asked_for() {
    // Mean and standard deviation in jitters; those of Pareto's after cutting at four.
    let wanted = [
        (Distribution::Uniform, 0.0, 1.0 / 3.0_f64.sqrt()),
        (Distribution::Normal, 0.0, 1.0),
        (Distribution::Pareto, -0.05, 0.81),
        (Distribution::ParetoNormal, -0.03, 0.68),
    ];
    for (distribution, mean, spread) in wanted {
        let mut random = Random::new(5);
        let drawn: Vec<f64> = (0..MANY).map(|_| distribution.draw(&mut random)).collect();
        let average = drawn.iter().sum::<f64>() / MANY as f64;
        let deviation =
            (drawn.iter().map(|value| (value - average).powi(2)).sum::<f64>() / MANY as f64).sqrt();
        assert!((average - mean).abs() < 0.03, "{distribution:?} {average}");
        assert!((deviation - spread).abs() < 0.05, "{distribution:?} {deviation}");
        assert!(drawn.iter().all(|value| value.abs() <= Distribution::MOST));
    }
}

#[test]
fn the_rate_is_kept_whatever_the_size_of_packets() {
    for (rate, octets) in [(64_000, 64), (10_000_000, 1514), (10_000_000_000, 64), (100_000_000_000, 9000)] {
        let medium = Medium { rate, packets: usize::MAX, octets: usize::MAX, ..Medium::NOTHING };
        let (mut line, mut occupied) = (Line::new(medium, 1), Occupied::default());
        let mut last = 0;
        for _ in 0..10_000 {
            let Fate::Arrives { at, .. } = line.send(octets, 5, &mut occupied) else { panic!() };
            last = at;
        }
        let measured = 10_000.0 * octets as f64 * 8.0 / ((last - 5) as f64 / 1e9);
        assert!((measured / rate as f64 - 1.0).abs() < 0.001, "{measured} {rate}");
    }
}

#[test]
fn a_burst_leaves_at_once_and_then_the_rate_holds() {
    let medium = Medium { rate: 8_000_000, burst: 3000, ..Medium::NOTHING };
    let (mut line, mut occupied) = (Line::new(medium, 1), Occupied::default());
    let times: Vec<u64> = (0..5)
        .map(|_| match line.send(1000, 0, &mut occupied) {
            Fate::Arrives { at, .. } => at,
            Fate::Lost(reason) => panic!("{reason:?}"),
        })
        .collect();
    assert_eq!(times, [0, 0, 0, 1_000_000, 2_000_000]);
    // With a peak of twice the rate.
    line.set(Medium { peak: 16_000_000, ..medium });
    let mut occupied = Occupied::default();
    let mut at = |now| match line.send(1000, now, &mut occupied) {
        Fate::Arrives { at, .. } => at / 1000,
        Fate::Lost(reason) => panic!("{reason:?}"),
    };
    let start = 10_000_000;
    let times: Vec<u64> = (0..7).map(|_| at(start) - start / 1000).collect();
    assert_eq!(times, [500, 1000, 1500, 2000, 2500, 3000, 4000]);
}

#[test]
fn the_directions_of_a_half_duplex_link_wait_for_each_other() {
    let medium = Medium { rate: 8_000_000, ..Medium::NOTHING };
    let (mut up, mut down) = (Line::new(medium, 1), Line::new(medium, 2));
    let mut shared = Occupied::default();
    let mut arrives = |line: &mut Line| match line.send(1000, 0, &mut shared) {
        Fate::Arrives { at, .. } => at / 1_000_000,
        Fate::Lost(reason) => panic!("{reason:?}"),
    };
    assert_eq!((arrives(&mut up), arrives(&mut down), arrives(&mut up)), (1, 2, 3));
}

#[test]
fn a_closed_direction_and_a_medium_that_changes() {
    let mut line = Line::new(Medium { closed: true, ..Medium::NOTHING }, 1);
    let mut occupied = Occupied::default();
    assert_eq!(line.send(60, 5, &mut occupied), Fate::Lost(Reason::Simplex));
    line.set(Medium { delay: 1000, ..Medium::NOTHING });
    let at = |fate: Fate| match fate {
        Fate::Arrives { at, .. } => at,
        Fate::Lost(reason) => panic!("{reason:?}"),
    };
    assert_eq!(at(line.send(60, 5, &mut occupied)), 1005);
    line.set(Medium::NOTHING);
    // Not before what is under way.
    assert_eq!((at(line.send(60, 6, &mut occupied)), at(line.send(60, 2000, &mut occupied))), (1005, 2000));
    assert!(line.medium().is_nothing() && !Medium { loss: Loss::Random(1), ..Medium::NOTHING }.is_nothing());
}
