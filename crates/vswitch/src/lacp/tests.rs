//! Groups against a partner of the test's own, and against each other, in time that the test moves.

use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;

const TENTH: u64 = SECOND / 10;

fn options(system: u8, active: bool, fast: bool) -> LacpOptions {
    let system = MacAddr::new([2, 0, 0, 0, 0, system]);
    LacpOptions { system, system_priority: 32768, key: u16::from(system.octets()[5]), active, fast }
}

/// A partner by the letter of the protocol, as simple as can be: it mirrors what it hears and is always willing.
struct Willing {
    system: u8,
    key: u16,
    port: u16,
    heard: Option<Partner>,
    long: bool,
}

impl Willing {
    fn new(system: u8, key: u16, port: u16) -> Self {
        Self { system, key, port, heard: None, long: false }
    }

    fn unit(&self) -> Repr {
        let mut state =
            Flags::ACTIVITY.with(Flags::AGGREGATION).with(Flags::SYNCHRONIZATION).with(Flags::COLLECTING);
        if !self.long {
            state = state.with(Flags::SHORT_TIMEOUT);
        }
        if self.heard.is_some_and(|of| of.state.contains(Flags::COLLECTING)) {
            state = state.with(Flags::DISTRIBUTING);
        }
        let actor = Partner {
            system_priority: 1,
            system: MacAddr::new([2, 0, 0, 0, 9, self.system]),
            key: self.key,
            port_priority: 255,
            port: self.port,
            state,
        };
        Repr { version: 1, actor, partner: self.heard.unwrap_or(NOBODY), max_delay: 0 }
    }
}

fn mux(group: &Group, port: PortNumber) -> Mux {
    group.state(port).unwrap().mux
}

/// Lets a group and willing partners talk for some time.
fn talk(group: &mut Group, partners: &mut [(PortNumber, Willing)], from: u64, until: u64) -> bool {
    let mut changed = false;
    let mut now = from;
    while now < until {
        now += TENTH;
        let mut outputs = vec![group.tick(now)];
        if now.is_multiple_of(SECOND) {
            for (port, partner) in partners.iter() {
                outputs.push(group.receive(*port, &partner.unit()));
            }
        }
        for output in outputs {
            changed |= output.changed;
            for (port, unit) in output.send {
                if let Some((_, partner)) = partners.iter_mut().find(|(number, _)| *number == port) {
                    partner.heard = Some(unit.actor);
                }
            }
        }
    }
    changed
}

#[test]
fn a_willing_partner_is_joined_after_two_seconds_and_left_after_it_falls_silent() {
    let mut group = Group::new(options(1, true, true), 0);
    group.add(1, 128);
    group.add(2, 128);
    group.link(1, true);
    group.link(2, true);
    let mut partners = [(1, Willing::new(1, 7, 1)), (2, Willing::new(1, 7, 2))];
    assert!(talk(&mut group, &mut partners, 0, 5 * SECOND));
    assert_eq!((mux(&group, 1), mux(&group, 2)), (Mux::Distributing, Mux::Distributing));
    assert!(!talk(&mut group, &mut partners, 5 * SECOND, 60 * SECOND), "it is stable");
    // One falls silent: it expires after three seconds, and is nobody after three more.
    let (first, _) = partners.split_at_mut(1);
    talk(&mut group, first, 60 * SECOND, 62 * SECOND);
    assert_eq!(mux(&group, 2), Mux::Distributing);
    talk(&mut group, first, 62 * SECOND, 64 * SECOND);
    assert_eq!((mux(&group, 1), mux(&group, 2)), (Mux::Distributing, Mux::Attached));
    assert_eq!(group.state(2).unwrap().receive, Receive::Expired);
    talk(&mut group, first, 64 * SECOND, 67 * SECOND);
    let state = group.state(2).unwrap();
    assert_eq!((state.receive, state.mux, state.partner), (Receive::Defaulted, Mux::Detached, NOBODY));
    assert!(state.actor.state.contains(Flags::DEFAULTED));
}

#[test]
fn links_to_two_partners_are_not_joined_and_the_larger_group_wins() {
    let mut group = Group::new(options(1, true, true), 0);
    for port in 1..=3 {
        group.add(port, 128);
        group.link(port, true);
    }
    let mut partners = [(1, Willing::new(5, 7, 1)), (2, Willing::new(6, 7, 1)), (3, Willing::new(6, 7, 2))];
    // The first to speak is chosen, and stays as long as it is there.
    let (first, _) = partners.split_at_mut(1);
    talk(&mut group, first, 0, 4 * SECOND);
    assert_eq!(mux(&group, 1), Mux::Distributing);
    talk(&mut group, &mut partners, 4 * SECOND, 10 * SECOND);
    assert_eq!([1, 2, 3].map(|port| mux(&group, port)), [Mux::Distributing, Mux::Detached, Mux::Detached]);
    group.link(1, false);
    talk(&mut group, &mut partners[1..], 10 * SECOND, 15 * SECOND);
    assert_eq!(
        [1, 2, 3].map(|port| mux(&group, port)),
        [Mux::Detached, Mux::Distributing, Mux::Distributing]
    );
    // One key for each group: a partner that gives its ports different keys has two groups.
    let mut group = Group::new(options(1, true, true), 0);
    let mut partners = [(1, Willing::new(5, 1, 1)), (2, Willing::new(5, 2, 2))];
    for port in 1..=2 {
        group.add(port, 128);
        group.link(port, true);
    }
    talk(&mut group, &mut partners, 0, 5 * SECOND);
    assert_eq!([1, 2].map(|port| mux(&group, port) == Mux::Distributing), [true, false]);
}

#[test]
fn another_partner_at_the_same_port_begins_anew() {
    let mut group = Group::new(options(1, true, true), 0);
    group.add(1, 128);
    group.link(1, true);
    let mut partner = [(1, Willing::new(5, 7, 1))];
    talk(&mut group, &mut partner, 0, 5 * SECOND);
    assert_eq!(mux(&group, 1), Mux::Distributing);
    let other = Willing::new(6, 7, 1).unit();
    assert!(group.receive(1, &other).changed);
    assert_eq!(mux(&group, 1), Mux::Waiting);
    // Our own voice joins nothing.
    let own = Repr { actor: group.state(1).unwrap().actor, ..other };
    let before = group.state(1);
    assert_eq!(group.receive(1, &own), Output::default());
    assert_eq!(group.state(1), before);
}

#[test]
fn who_is_passive_speaks_when_spoken_to_and_the_pace_is_the_partners_wish() {
    let mut group = Group::new(options(1, false, false), 0);
    group.add(1, 128);
    let mut sent = group.link(1, true).send.len();
    for tenth in 1..=100 {
        sent += group.tick(tenth * TENTH).send.len();
    }
    assert_eq!(sent, 0);
    let mut partner = Willing::new(5, 7, 1);
    partner.long = true;
    let mut count = |partner: &mut Willing, from: u64, until: u64| {
        let mut sent = 0;
        for tenth in from * 10 + 1..=until * 10 {
            let mut output = group.tick(tenth * TENTH);
            if tenth % 100 == 0 {
                output.send.extend(group.receive(1, &partner.unit()).send);
            }
            for (_, unit) in output.send {
                partner.heard = Some(unit.actor);
                sent += 1;
            }
        }
        sent
    };
    count(&mut partner, 10, 100);
    let slow = count(&mut partner, 100, 400);
    partner.long = false;
    count(&mut partner, 400, 420);
    let fast = count(&mut partner, 420, 720);
    assert!((9..=11).contains(&slow) && (299..=301).contains(&fast), "{slow} {fast}");
}

/// Two groups and cables between their ports.
struct World {
    groups: [Group; 2],
    cables: Vec<(bool, PortNumber, PortNumber)>,
    wires: VecDeque<(usize, PortNumber, Repr)>,
    now: u64,
    sent: Vec<(u64, usize, PortNumber)>,
}

impl World {
    fn deliver(&mut self, side: usize, output: Output) {
        for (port, unit) in output.send {
            self.sent.push((self.now, side, port));
            let end = |cable: &&(bool, PortNumber, PortNumber)| {
                cable.0 && if side == 0 { cable.1 == port } else { cable.2 == port }
            };
            if let Some(cable) = self.cables.iter().find(end) {
                self.wires.push_back((1 - side, if side == 0 { cable.2 } else { cable.1 }, unit));
            }
        }
    }

    /// A tenth of a second; every so many units of a thousand are lost.
    fn step(&mut self, loss: u64, seed: &mut u64) {
        self.now += TENTH;
        for side in 0..2 {
            let output = self.groups[side].tick(self.now);
            self.deliver(side, output);
        }
        for _ in 0..self.wires.len() {
            let Some((side, port, unit)) = self.wires.pop_front() else { break };
            *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            if (*seed >> 33) % 1000 >= loss {
                let output = self.groups[side].receive(port, &unit);
                self.deliver(side, output);
            }
        }
        // Only a port that is up and chosen takes frames.
        for side in 0..2 {
            for port in self.groups[side].ports.values() {
                assert!(port.mux < Mux::Collecting || port.up && port.selected);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
    /// Whatever happens to the cables: in the end the ones that are there carry, on both sides, and no others.
    #[test]
    fn two_groups_agree(
        fast in any::<[bool; 2]>(), active in 0..3_u8, count in 1..5_u32, loss in 0..300_u64, seed in any::<u64>(),
        events in proptest::collection::vec((0..4_usize, any::<bool>(), 1..60_u32), 0..12),
    ) {
        let (mut seed, active) = (seed, [active != 1, active != 2]);
        let groups = [0, 1].map(|side| {
            let mut group = Group::new(options(side as u8 + 1, active[side], fast[side]), 0);
            for port in 1..=count {
                group.add(port + 10 * side as u32, 128);
                group.link(port + 10 * side as u32, true);
            }
            group
        });
        let cables = (1..=count).map(|port| (true, port, 10 + port)).collect();
        let mut world = World { groups, cables, wires: VecDeque::new(), now: 0, sent: Vec::new() };
        for (cable, up, steps) in events {
            let cable = cable % count as usize;
            let (_, one, other) = world.cables[cable];
            world.cables[cable].0 = up;
            for (side, port) in [(0, one), (1, other)] {
                let output = world.groups[side].link(port, up);
                world.deliver(side, output);
            }
            for _ in 0..steps {
                world.step(loss, &mut seed);
            }
        }
        // Slow partners say something every thirty seconds.
        for _ in 0..1300 {
            world.step(0, &mut seed);
        }
        for (up, one, other) in world.cables.clone() {
            let wanted = if up { Mux::Distributing } else { Mux::Detached };
            prop_assert_eq!((mux(&world.groups[0], one), mux(&world.groups[1], other)), (wanted, wanted));
        }
        // Never more than the bound in a second (a window may straddle two).
        for port in 1..20 {
            for side in 0..2 {
                let times: Vec<u64> =
                    world.sent.iter().filter(|sent| (sent.1, sent.2) == (side, port)).map(|sent| sent.0).collect();
                prop_assert!(times.windows(2 * usize::from(MOST_UNITS) + 1).all(|few| few[6] - few[0] >= FAST));
            }
        }
    }
}
