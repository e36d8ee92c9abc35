//! Shortest paths through a shape, and ways around a failed link that never lead in a circle.
//!
//! For router S and target D let P(S, D) be the neighbours of S that are nearer to D: the best route shares
//! traffic among them. If P has one member only, S needs a way out for the day on which that link fails:
//!
//! - *loop-free alternate* (RFC 5286): a neighbour N that is as near to D as S is. N's own shortest paths get
//!   nearer with every step, so they never come back to S. A backup route at S is all that is needed.
//! - *U-turn*: a neighbour N with S in P(N, D) and another member T beside it. N must not send the packet
//!   back, so what arrives at N from S for D is routed by a table of its own: by P(N, D) without S. T is as
//!   near to D as S is, so from T on the same argument holds.
//! - in a ring, a packet that arrives from its own next hop goes on around the circle.
//!
//! So what survives the failure of any one link between inner nodes, for every pair of hosts: leaf-spine with
//! two spines or more, fat-tree with k of 4 or more, three-tier with two nodes or more in each upper layer
//! and two access nodes or more, mesh of three or more, and ring. A partial mesh survives where one of the
//! ways exists. Lines and trees have no second way. (The tests try every link of each.)

use super::shape::Shape;
use std::collections::{BTreeMap, VecDeque};

/// A step to a neighbour by a cable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Hop {
    /// The neighbour.
    pub(super) to: usize,
    /// The cable.
    pub(super) cable: usize,
}

/// For each arrival from a neighbour the routes of its own.
type Turned = BTreeMap<Hop, Vec<(usize, Vec<Hop>)>>;

/// The routes of all inner nodes.
pub(super) struct Routes {
    best: Vec<Vec<(usize, Vec<Hop>)>>,
    backup: Vec<Vec<(usize, Hop)>>,
    turned: Vec<Turned>,
}

impl Routes {
    /// Routes to every node that owns addresses.
    pub(super) fn new(shape: &Shape, owners: &[bool]) -> Self {
        let nodes = shape.inner.len();
        let neighbours = shape.neighbours();
        let mut routes = Self {
            best: vec![Vec::new(); nodes],
            backup: vec![Vec::new(); nodes],
            turned: vec![Turned::new(); nodes],
        };
        for target in (0..nodes).filter(|target| owners.get(*target).copied().unwrap_or_default()) {
            let distances = distances(&neighbours, target);
            let nearer = |node: usize| -> Vec<Hop> {
                let mut hops: Vec<Hop> = neighbours[node]
                    .iter()
                    .filter(|(neighbour, _)| distances[*neighbour] < distances[node])
                    .map(|(to, cable)| Hop { to: *to, cable: *cable })
                    .collect();
                hops.sort();
                hops
            };
            for node in (0..nodes).filter(|node| *node != target && distances[*node] != usize::MAX) {
                let hops = nearer(node);
                if let [only] = hops.as_slice() {
                    routes.protect(shape, &neighbours, &distances, node, target, *only, &nearer);
                }
                routes.best[node].push((target, hops));
            }
        }
        routes
    }

    #[allow(clippy::too_many_arguments)]
    fn protect(
        &mut self,
        shape: &Shape,
        neighbours: &[Vec<(usize, usize)>],
        distances: &[usize],
        node: usize,
        target: usize,
        only: Hop,
        nearer: &dyn Fn(usize) -> Vec<Hop>,
    ) {
        let others = neighbours[node].iter().filter(|(to, cable)| *cable != only.cable && *to != only.to);
        let others: Vec<Hop> = others.map(|(to, cable)| Hop { to: *to, cable: *cable }).collect();
        let level: Vec<Hop> =
            others.iter().copied().filter(|hop| distances[hop.to] <= distances[node]).collect();
        if !level.is_empty() {
            // Spread over the alternates by target.
            self.backup[node].push((target, level[target % level.len()]));
            return;
        }
        let beside =
            |hop: &Hop| -> Vec<Hop> { nearer(hop.to).into_iter().filter(|back| back.to != node).collect() };
        let turning: Vec<Hop> = others.iter().copied().filter(|hop| !beside(hop).is_empty()).collect();
        if !turning.is_empty() {
            let chosen = turning[target % turning.len()];
            self.backup[node].push((target, chosen));
            self.turn(chosen, node, target, beside(&chosen));
        } else if shape.ring
            && let Some(around) = others.first().copied()
        {
            self.backup[node].push((target, around));
            let on = neighbours[around.to].iter().find(|(to, _)| *to != node);
            if let Some((to, cable)) = on {
                self.turn(around, node, target, vec![Hop { to: *to, cable: *cable }]);
            }
        }
    }

    /// What comes to `chosen.to` from `node` for `target` is routed by `hops`.
    fn turn(&mut self, chosen: Hop, node: usize, target: usize, hops: Vec<Hop>) {
        let arrival = Hop { to: node, cable: chosen.cable };
        self.turned[chosen.to].entry(arrival).or_default().push((target, hops));
    }

    /// Whether any router has more than one way to anywhere.
    pub(super) fn has_choice(&self) -> bool {
        self.backup.iter().any(|backup| !backup.is_empty())
            || self.best.iter().flatten().any(|(_, hops)| hops.len() > 1)
    }

    /// The best routes of a node: target, and the equal next hops.
    pub(super) fn best(&self, node: usize) -> impl Iterator<Item = (usize, &[Hop])> {
        self.best[node].iter().map(|(target, hops)| (*target, hops.as_slice()))
    }

    /// The routes of a node for the day on which the best one is gone.
    pub(super) fn backup(&self, node: usize) -> impl Iterator<Item = (usize, Hop)> + '_ {
        self.backup[node].iter().copied()
    }

    /// By arrival, the routes of packets that have turned back.
    pub(super) fn turned(&self, node: usize) -> impl Iterator<Item = (&Hop, &Vec<(usize, Vec<Hop>)>)> {
        self.turned[node].iter()
    }
}

/// Steps from every node to `target`, by breadth-first search.
fn distances(neighbours: &[Vec<(usize, usize)>], target: usize) -> Vec<usize> {
    let mut distances = vec![usize::MAX; neighbours.len()];
    distances[target] = 0;
    let mut queue = VecDeque::from([target]);
    while let Some(node) = queue.pop_front() {
        for (neighbour, _) in &neighbours[node] {
            if distances[*neighbour] == usize::MAX {
                distances[*neighbour] = distances[node] + 1;
                queue.push_back(*neighbour);
            }
        }
    }
    distances
}
