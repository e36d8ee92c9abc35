//! Simulated networks: whatever the topology and whatever fails, what forwards is one tree for each connected part.

use super::*;
use netloom_wire::MacAddr;
use proptest::prelude::*;
use std::collections::{BTreeSet, VecDeque};

type End = (usize, PortNumber);

/// Bridges and links between their ports.
struct Network {
    bridges: Vec<Tree>,
    links: Vec<(End, End, bool)>,
    now: u64,
    flying: VecDeque<(End, Repr)>,
    units: usize,
}

fn name(bridge: usize, priorities: &[u8]) -> BridgeId {
    let priority = u16::from(priorities.get(bridge).copied().unwrap_or(8)) << 12;
    BridgeId { priority, address: MacAddr::new([2, 0, 0, 0, 1, bridge as u8]) }
}

impl Network {
    fn new(count: usize, pairs: &[(usize, usize)], priorities: &[u8]) -> Self {
        let bridges =
            (0..count).map(|bridge| Tree::new(TreeOptions::new(name(bridge, priorities)), 0)).collect();
        let mut network = Self { bridges, links: Vec::new(), now: 0, flying: VecDeque::new(), units: 0 };
        let mut ports = vec![0; count];
        for (a, b) in pairs {
            let mut end = |bridge: usize| {
                ports[bridge] += 1;
                let number: PortNumber = ports[bridge];
                let output = network.bridges[bridge].set(number, PortOptions::default());
                assert!(output.send.is_empty());
                (bridge, number)
            };
            let (one, other) = (end(*a), end(*b));
            network.links.push((one, other, false));
        }
        for link in 0..pairs.len() {
            network.set(link, true);
        }
        network
    }

    fn set(&mut self, link: usize, up: bool) {
        let (one, other, is_up) = &mut self.links[link];
        *is_up = up;
        for (bridge, port) in [*one, *other] {
            let output = self.bridges[bridge].link(port, up);
            self.take((bridge, 0), output);
        }
    }

    /// Units leave; they arrive in order, behind those that fly already.
    fn take(&mut self, (bridge, _): End, output: Output) {
        for (port, unit) in output.send {
            // Through the wire format, so that what does not travel is not known.
            let mut octets = vec![0; unit.buffer_len()];
            unit.emit(&mut octets).unwrap();
            let view = netloom_wire::header::stp::View::new_checked(&octets).unwrap();
            let unit = Repr::parse(&view).unwrap();
            self.units += 1;
            let ends = self.links.iter().filter(|link| link.2);
            let mut pairs = ends.flat_map(|(one, other, _)| [(*one, *other), (*other, *one)]);
            if let Some((_, to)) = pairs.find(|(from, _)| *from == (bridge, port)) {
                self.flying.push_back((to, unit));
            }
        }
    }

    fn deliver(&mut self) {
        for _ in 0..20_000 {
            let Some(((bridge, port), unit)) = self.flying.pop_front() else { return };
            let output = self.bridges[bridge].receive(port, &unit);
            self.take((bridge, 0), output);
        }
        panic!("units without end");
    }

    fn run(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.deliver();
            self.now += SECOND;
            for bridge in 0..self.bridges.len() {
                let output = self.bridges[bridge].tick(self.now);
                self.take((bridge, 0), output);
            }
        }
        self.deliver();
    }

    fn passes(&self, end: End) -> bool {
        self.bridges[end.0].state(end.1).unwrap().forwarding
    }

    /// Links through which frames pass in both directions.
    fn open(&self) -> Vec<(usize, usize)> {
        let open =
            self.links.iter().filter(|(one, other, up)| *up && self.passes(*one) && self.passes(*other));
        open.map(|((a, _), (b, _), _)| (*a, *b)).collect()
    }

    fn parts(&self, links: &[(usize, usize)]) -> Vec<usize> {
        let mut part: Vec<usize> = (0..self.bridges.len()).collect();
        for _ in 0..part.len() {
            for (a, b) in links {
                let least = part[*a].min(part[*b]);
                (part[*a], part[*b]) = (least, least);
            }
        }
        part
    }

    /// A loop: the links that pass frames are no forest.
    fn has_loop(&self) -> bool {
        let open = self.open();
        let parts: BTreeSet<usize> = self.parts(&open).into_iter().collect();
        open.len() != self.bridges.len() - parts.len()
    }

    fn check(&self) {
        assert!(!self.has_loop(), "a loop: {:?}", self.open());
        let up: Vec<(usize, usize)> =
            self.links.iter().filter(|link| link.2).map(|((a, _), (b, _), _)| (*a, *b)).collect();
        let connected = self.parts(&up);
        assert_eq!(self.parts(&self.open()), connected, "not connected: {up:?} through {:?}", self.open());
        for (bridge, part) in connected.iter().enumerate() {
            let others = (0..self.bridges.len()).filter(|other| connected[*other] == *part);
            let best = others.map(|other| self.bridges[other].options().bridge).min();
            assert_eq!(Some(self.bridges[bridge].root().0), best, "the root of bridge {bridge}");
        }
    }
}

fn topology() -> impl Strategy<Value = (usize, Vec<(usize, usize)>, Vec<u8>)> {
    (2..8_usize).prop_flat_map(|count| {
        let link = (0..count, 0..count).prop_filter("two bridges", |(a, b)| a != b);
        (Just(count), proptest::collection::vec(link, 1..14), proptest::collection::vec(0..16_u8, count))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn any_topology_becomes_one_tree_and_stays_one_through_failures(
        (count, pairs, priorities) in topology(), events in proptest::collection::vec((0..14_usize, 0..4_u64), 0..8),
    ) {
        let mut network = Network::new(count, &pairs, &priorities);
        for _ in 0..60 {
            network.run(1);
            prop_assert!(!network.has_loop(), "a loop before anything failed: {:?}", network.open());
        }
        network.check();
        for (link, wait) in events {
            let link = link % pairs.len();
            network.set(link, !network.links[link].2);
            network.run(wait);
        }
        network.run(80);
        network.check();
        // It is quiet then: each link hears one unit in two seconds.
        let before = network.units;
        network.run(20);
        prop_assert!(network.units - before <= 11 * pairs.len(), "{} units", network.units - before);
    }

    #[test]
    fn hostile_units_never_panic(units in proptest::collection::vec((1..4_u32, any::<[u8; 36]>(), 0..5_u64), 1..40)) {
        let mut tree = Tree::new(TreeOptions::new(name(1, &[])), 0);
        for number in 1..4 {
            tree.set(number, PortOptions::default());
            tree.link(number, true);
        }
        let mut now = 0;
        for (port, mut octets, wait) in units {
            octets[..3].copy_from_slice(&[0, 0, 2]);
            octets[3] = [0, 2, 0x80][usize::from(octets[3] % 3)];
            let view = netloom_wire::header::stp::View::new_checked(&octets).unwrap();
            tree.receive(port, &Repr::parse(&view).unwrap());
            now += wait * SECOND;
            tree.tick(now);
        }
    }
}

#[test]
fn a_ring_heals_at_once() {
    let mut network = Network::new(4, &[(0, 1), (1, 2), (2, 3), (3, 0)], &[]);
    network.run(10);
    network.check();
    assert_eq!(network.open().len(), 3);
    // Without a second passing: proposals and agreements do it.
    network.set(0, false);
    network.deliver();
    network.check();
    assert_eq!(network.open().len(), 3);
}

#[test]
fn edges_forward_at_once_and_a_guarded_edge_is_shut() {
    let mut tree = Tree::new(TreeOptions::new(name(1, &[])), 0);
    tree.set(1, PortOptions { edge: true, ..PortOptions::default() });
    tree.set(2, PortOptions { edge: true, guard: true, ..PortOptions::default() });
    tree.set(3, PortOptions::default());
    for number in 1..=3 {
        tree.link(number, true);
    }
    let forwards = |tree: &Tree, port| tree.state(port).unwrap().forwarding;
    assert!(forwards(&tree, 1) && forwards(&tree, 2) && !forwards(&tree, 3));
    // Nobody is heard behind the third: it is an edge after three seconds.
    for second in 1..=4 {
        tree.tick(second * SECOND);
    }
    assert!(forwards(&tree, 3) && tree.state(3).unwrap().edge);
    let mut other = Tree::new(TreeOptions::new(name(2, &[])), 0);
    other.set(1, PortOptions::default());
    let unit = other.link(1, true).send[0].1;
    assert!(tree.receive(2, &unit).changed);
    assert!(tree.state(2).unwrap().guarded && !forwards(&tree, 2));
    tree.link(2, false);
    tree.link(2, true);
    assert!(!tree.state(2).unwrap().guarded && forwards(&tree, 2));
}

#[test]
fn a_bridge_that_knows_only_the_old_protocol_is_spoken_to_in_it() {
    let mut tree = Tree::new(TreeOptions::new(name(1, &[])), 0);
    tree.set(1, PortOptions::default());
    tree.link(1, true);
    for second in 1..=4 {
        tree.tick(second * SECOND);
    }
    let own = Vector {
        root: name(0, &[]),
        root_path_cost: 0,
        bridge: name(0, &[]),
        port: 0x8001,
        message_age: 0,
        max_age: 20 * UNITS,
        hello_time: 2 * UNITS,
        forward_delay: 15 * UNITS,
    };
    let unit =
        Repr::Configuration { topology_change: false, topology_change_acknowledged: false, vector: own };
    tree.receive(1, &unit);
    assert_eq!(tree.state(1).unwrap().role, Role::Root);
    let mut sent = Vec::new();
    for second in 5..=50 {
        tree.receive(1, &unit);
        sent.extend(tree.tick(second * SECOND).send);
    }
    assert!(tree.state(1).unwrap().forwarding);
    assert!(sent.iter().all(|(_, unit)| *unit == Repr::TopologyChangeNotification), "{sent:?}");
    assert!(!sent.is_empty());
}

/// The worst that can happen: the root is gone, and stale claims of it go round. Frames may go round for moments then, until
/// units that are under way arrive, but not for seconds.
#[test]
fn a_root_that_dies_leaves_no_loop_that_lasts() {
    let mut state: u64 = 777;
    let mut below = move |limit: usize| {
        // Xorshift (Marsaglia 2003): the same networks in each run.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % limit as u64) as usize
    };
    let mut seconds_with_loops = 0;
    for _ in 0..600 {
        let count = 3 + below(6);
        let mut pairs: Vec<(usize, usize)> = (1..count).map(|bridge| (bridge, below(bridge))).collect();
        for _ in 0..below(count) + 1 {
            let one = below(count);
            pairs.push((one, (one + 1 + below(count - 1)) % count));
        }
        let priorities: Vec<u8> = (0..count).map(|_| below(16) as u8).collect();
        let mut network = Network::new(count, &pairs, &priorities);
        network.run(10);
        network.check();
        let root = network.bridges[0].root().0;
        let root = network.bridges.iter().position(|bridge| bridge.options().bridge == root).unwrap();
        for (link, (one, other)) in pairs.iter().enumerate() {
            if *one == root || *other == root {
                network.set(link, false);
            }
        }
        let mut before = false;
        for second in 0..50 {
            network.deliver();
            let now = network.has_loop();
            assert!(!(before && now), "a loop lasts at second {second}: {pairs:?} {priorities:?}");
            seconds_with_loops += usize::from(now);
            before = now;
            network.run(1);
        }
        network.check();
    }
    assert!(seconds_with_loops <= 6, "{seconds_with_loops} times in 600 networks");
}
