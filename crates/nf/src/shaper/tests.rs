//! What is promised, over random arrivals in time that the test moves.

use super::*;
use proptest::prelude::*;

const SECOND: u64 = 1_000_000_000;

fn queue(guaranteed: u64, limit: u64, priority: u32) -> QueueRates {
    QueueRates { guaranteed, limit, burst: 1600, priority, share: 1 }
}

/// A frame of a test: its queue, its place in the order of that queue, its length.
type Frame = (u32, u64, usize);

/// What left: when, and what.
struct Run {
    left: Vec<(u64, Frame)>,
    lost: usize,
    /// Nothing that could leave was held back.
    conserved: bool,
}

impl Run {
    fn octets(&self, queue: u32, from: u64, to: u64) -> u64 {
        let of = self.left.iter().filter(|(at, frame)| frame.0 == queue && (from..to).contains(at));
        of.map(|(_, frame)| frame.2 as u64).sum()
    }
}

/// Sends frames (when, queue, length) through a shaper. It is looked at when something may leave, and when something comes.
fn run(rates: &Rates, frames: &[(u64, u32, usize)], until: u64) -> Run {
    let mut shaper = Shaper::new(rates);
    let mut run = Run { left: Vec::new(), lost: 0, conserved: true };
    let (mut frames, mut order) = (frames.iter().peekable(), 0);
    let mut now = 0;
    loop {
        while let Some((_, frame)) = shaper.take(now) {
            run.left.push((now, frame));
        }
        run.conserved &= shaper.next().is_none_or(|next| next > now);
        let next = shaper.next().unwrap_or(u64::MAX);
        let comes = frames.peek().map_or(u64::MAX, |frame| frame.0);
        now = now.max(next.min(comes));
        if now >= until {
            return run;
        }
        if comes <= next
            && let Some((_, number, octets)) = frames.next()
        {
            order += 1;
            let frame = (*number, order, *octets);
            match shaper.admit(*number, *octets, now) {
                Admission::Now => run.left.push((now, frame)),
                Admission::Later => shaper.put(*number, frame, *octets),
                Admission::Full => run.lost += 1,
            }
        }
    }
}

/// Frames of a queue that always has some: as many as fit come again and again.
fn greedy(queue: u32, octets: usize, until: u64) -> Vec<(u64, u32, usize)> {
    (0..until / 100_000).map(|turn| (turn * 100_000, queue, octets)).collect()
}

fn mixed(mut all: Vec<(u64, u32, usize)>) -> Vec<(u64, u32, usize)> {
    all.sort_by_key(|frame| frame.0);
    all
}

/// Within a percent.
fn near(is: u64, wanted: u64) -> bool {
    is.abs_diff(wanted) <= wanted / 100 + 3000
}

#[test]
fn shares_of_a_port() {
    // What guarantees leave goes to the smaller priority, and never beyond a limit.
    let rates = Rates {
        rate: 40_000_000,
        queues: vec![
            (1, queue(5_000_000, 0, 1)),
            (2, queue(10_000_000, 20_000_000, 0)),
            (3, queue(5_000_000, 0, 1)),
        ],
    };
    let until = 2 * SECOND;
    let all = |queues: &[u32]| mixed(queues.iter().flat_map(|queue| greedy(*queue, 1500, until)).collect());
    let megabits = |run: &Run, queue| run.octets(queue, SECOND, until) * 8;
    let three = run(&rates, &all(&[1, 2, 3]), until);
    for (number, wanted) in [(1, 10_000_000), (2, 20_000_000), (3, 10_000_000)] {
        assert!(near(megabits(&three, number), wanted), "{number}: {}", megabits(&three, number));
    }
    // One alone has all that its limit lets it have.
    assert!(near(megabits(&run(&rates, &all(&[1]), until), 1), 40_000_000));
    assert!(near(megabits(&run(&rates, &all(&[2]), until), 2), 20_000_000));
    // Frames without a queue of their own come last here: the queue 0 is promised nothing, but its priority is the first.
    let four = run(&rates, &all(&[0, 1, 2, 3]), until);
    assert!(near(megabits(&four, 1), 5_000_000) && near(megabits(&four, 3), 5_000_000));
}

#[test]
fn guarantees_that_do_not_fit_are_shared_in_proportion() {
    let rates =
        Rates { rate: 10_000_000, queues: vec![(1, queue(10_000_000, 0, 0)), (2, queue(30_000_000, 0, 0))] };
    let until = 2 * SECOND;
    let run = run(&rates, &mixed([greedy(1, 1000, until), greedy(2, 1500, until)].concat()), until);
    let bits = |queue| run.octets(queue, SECOND, until) * 8;
    assert!(near(bits(1), 2_500_000) && near(bits(2), 7_500_000), "{} {}", bits(1), bits(2));
}

#[test]
fn what_is_left_is_shared_by_shares() {
    let until = 2 * SECOND;
    let share = |share| QueueRates { share, ..queue(2_000_000, 0, 0) };
    let rates = Rates { rate: 12_000_000, queues: vec![(1, share(1)), (2, share(3))] };
    let run = run(&rates, &mixed([greedy(1, 1000, until), greedy(2, 1500, until)].concat()), until);
    let bits = |queue| run.octets(queue, SECOND, until) * 8;
    assert!(near(bits(1), 4_000_000) && near(bits(2), 8_000_000), "{} {}", bits(1), bits(2));
}

#[test]
fn what_was_not_wanted_is_not_saved_up() {
    // The second comes a second later, and has its half from then on, no more.
    let rates =
        Rates { rate: 10_000_000, queues: vec![(1, queue(1_000_000, 0, 0)), (2, queue(1_000_000, 0, 0))] };
    let until = 2 * SECOND;
    let late = greedy(2, 1500, until).into_iter().filter(|frame| frame.0 >= SECOND).collect();
    let run = run(&rates, &mixed([greedy(1, 1500, until), late].concat()), until);
    let bits = |queue| run.octets(queue, SECOND, until) * 8;
    assert!(near(bits(1), 5_000_000) && near(bits(2), 5_000_000), "{} {}", bits(1), bits(2));
}

#[test]
fn queues_are_bounded() {
    let rates = Rates { rate: 8000, queues: vec![(7, queue(0, 0, 0))] };
    let mut shaper = Shaper::new(&rates);
    let mut put = 0;
    while shaper.admit(7, 100, 5) != Admission::Full {
        shaper.put(7, put, 100);
        put += 1;
        assert!(put <= FRAMES + 20);
    }
    assert!(shaper.waiting() == FRAMES);
    // Another one has room of its own, and large frames fill one sooner.
    for _ in 0..OCTETS / (1 << 16) {
        assert_eq!(shaper.admit(0, 1 << 16, 5), Admission::Later);
        shaper.put(0, 1, 1 << 16);
    }
    assert_eq!(shaper.admit(0, 1 << 16, 5), Admission::Full);
    assert_eq!(shaper.clear().count(), FRAMES + OCTETS / (1 << 16));
    assert_eq!((shaper.waiting(), shaper.next()), (0, None));
}

#[test]
fn promises_change_while_frames_wait() {
    let before = Rates { rate: 1_000_000, queues: vec![(1, queue(0, 0, 0)), (2, queue(0, 0, 0))] };
    let after = Rates { rate: 2_000_000, queues: vec![(2, queue(0, 0, 0)), (3, queue(0, 0, 0))] };
    let mut shaper = Shaper::new(&before);
    for order in 0..FRAMES {
        for number in [1, 2] {
            if shaper.admit(number, 1000, 0) == Admission::Later {
                shaper.put(number, (number, order), 1000);
            }
        }
    }
    let waiting = shaper.waiting();
    assert!(shaper.set(&after).is_empty() && shaper.waiting() == waiting);
    assert_eq!(shaper.queue(1), 0);
    // It takes as long as the new rate says, and each queue's frames come in order.
    let (mut now, mut last) = (0, [0; 3]);
    while let Some(next) = shaper.next() {
        now = next;
        let (_, (number, order)) = shaper.take(now).unwrap();
        assert!(last[number as usize] <= order);
        last[number as usize] = order;
    }
    let wanted = waiting as u64 * 8000 * SECOND / 2_000_000;
    assert!(now.abs_diff(wanted) < SECOND / 50, "{now} {wanted}");
}

prop_compose! {
    fn rates()(
        rate in 1_000_000..1_000_000_000_u64,
        queues in proptest::collection::vec((0..20_u32, 0..100_u64, 0..100_u64, 0..5000_u64, 0..3_u32), 0..6),
    ) -> Rates {
        // Guarantees of all fit into the port's rate, a limit is no less than its guarantee.
        let whole = queues.iter().map(|queue| queue.1).sum::<u64>().max(1);
        let mut all: Vec<(u32, QueueRates)> = queues.into_iter().map(|(number, part, more, burst, priority)| {
            let guaranteed = rate / whole * part;
            let limit = if more == 0 { 0 } else { guaranteed + rate / 100 * more };
            (number, QueueRates { guaranteed, limit, burst, priority, share: part })
        }).collect();
        all.sort_by_key(|queue| queue.0);
        all.dedup_by_key(|queue| queue.0);
        Rates { rate, queues: all }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn bounds_order_and_work(
        rates in rates(),
        waits in proptest::collection::vec((prop_oneof![Just(0), 0..200_000_u64], 0..22_u32, 60..1600_usize), 1..600),
    ) {
        let mut now = 0;
        let frames: Vec<_> = waits.into_iter().map(|(wait, queue, octets)| { now += wait; (now, queue, octets) }).collect();
        let shaper = Shaper::<()>::new(&rates);
        let run = run(&rates, &frames, u64::MAX);
        prop_assert_eq!(run.left.len() + run.lost, frames.len());
        prop_assert!(run.conserved);
        // Each queue keeps its order; those without one are together in the first.
        let mut last = std::collections::BTreeMap::new();
        for (at, (number, order, _)) in &run.left {
            let before = last.insert(shaper.queue(*number), (*at, *order));
            prop_assert!(before.is_none_or(|before| before < (*at, *order)));
        }
        // No span carries more than the burst, the rate and a frame.
        let fits = |rate: u64, burst: u64, of: &dyn Fn(u32) -> bool| {
            let burst = u128::from(burst).max(u128::from(rate) * u128::from(LATE) / (8 * u128::from(SECOND)));
            let left: Vec<_> = run.left.iter().filter(|(_, frame)| of(frame.0)).collect();
            (0..left.len()).all(|first| {
                let mut sum = 0_u128;
                left[first..].iter().all(|(at, frame)| {
                    sum += frame.2 as u128;
                    let most = u128::from(at - left[first].0) * u128::from(rate) / (8 * u128::from(SECOND));
                    sum <= burst + most + 1600 + 2
                })
            })
        };
        prop_assert!(fits(rates.rate, 0, &|_| true));
        for (number, queue) in &rates.queues {
            let is = |other: u32| shaper.queue(other) == *number;
            prop_assert!(queue.limit == 0 || fits(queue.limit, queue.burst, &is));
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    /// A queue that always has frames gets what it is promised, whatever the others do.
    #[test]
    fn guarantees_are_kept(rates in rates(), lengths in proptest::collection::vec(600..1600_usize, 20)) {
        let mut shaper = Shaper::new(&rates);
        let mut sent = std::collections::BTreeMap::new();
        // Every queue is kept full, with frames of a length of its own.
        let fill = |shaper: &mut Shaper<usize>, number: u32, now| {
            let octets = lengths[number as usize % lengths.len()];
            let mut sent = 0;
            while shaper.admit(number, octets, now) == Admission::Now {
                sent += octets;
            }
            shaper.put(number, octets, octets);
            sent
        };
        for (number, _) in rates.queues.iter().chain([&(0, queue(0, 0, 0))]) {
            *sent.entry(*number).or_insert(0) += fill(&mut shaper, *number, 0);
        }
        let mut now = 0;
        while now < SECOND / 20 {
            now = now.max(shaper.next().unwrap());
            while let Some((number, octets)) = shaper.take(now) {
                *sent.entry(number).or_insert(0) += octets;
                *sent.entry(number).or_insert(0) += fill(&mut shaper, number, now);
            }
        }
        for (number, queue) in &rates.queues {
            let wanted = u128::from(queue.guaranteed) * u128::from(now) / (8 * u128::from(SECOND));
            // The bursts of all others may come before, and the frame that each is sending.
            let bursts = u128::from(rates.rate) * u128::from(LATE) / (8 * u128::from(SECOND));
            let others = bursts + rates.queues.iter().map(|(_, queue)| u128::from(queue.burst) + 1600).sum::<u128>();
            let is = sent[number] as u128;
            prop_assert!(is + others + wanted / 100 + 1600 >= wanted, "queue {number}: {is} of {wanted} in {now}");
        }
    }
}
