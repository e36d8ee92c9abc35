//! The rows of a part, and the order within them: few crossings, linked things of one row side by side.

use super::{Part, Work, natural};
use crate::graph::Role;
use std::collections::{BTreeMap, VecDeque};

/// Rows that are longer than this are ordered by the sweeps alone.
const SWAPPED: usize = 48;
/// Boxes of a chain in one row.
const CHAIN: usize = 8;

/// A thing in a row: a node, or the leaves of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Thing {
    /// A node that is no leaf.
    Node(usize),
    /// The leaves of a node.
    Leaves(usize),
}

/// Things in rows, from the top down and from left to right.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) things: Vec<Thing>,
    pub(super) rows: Vec<Vec<usize>>,
    /// Row of each thing.
    pub(super) row_of: Vec<usize>,
    /// Linked things of each thing, each once.
    pub(super) linked: Vec<Vec<usize>>,
}

/// Divides a part into rows.
pub(super) fn rows(work: &Work<'_>, part: &Part) -> Rows {
    if let Some(chain) = chain(work, part) {
        return serpentine(work, &chain);
    }
    let distance = distances(work, &top(work, part));
    let mut nodes = part.inner.clone();
    nodes.sort_by_cached_key(|node| natural(&work.graph.nodes[*node].name));
    let mut all = Rows::default();
    for node in &nodes {
        let row = distance.get(node).copied().unwrap_or(0);
        all.add(Thing::Node(*node), row);
        if !work.leaves(*node).is_empty() {
            all.add(Thing::Leaves(*node), row + 1);
        }
    }
    all.link(work);
    all.sweep();
    all.swap();
    all
}

/// The nodes of a part that is one line without branches, from end to end.
fn chain(work: &Work<'_>, part: &Part) -> Option<Vec<usize>> {
    let degree = |node: &usize| work.inner(*node).count();
    let alike =
        part.inner.iter().all(|node| work.graph.nodes[*node].role == work.graph.nodes[part.inner[0]].role);
    let uplink = part.edges.iter().any(|edge| work.graph.edges[*edge].kind == "uplink");
    let long = part.inner.len() > 2 || (part.inner.len() == 2 && alike && !uplink);
    let ends = part.inner.iter().filter(|node| degree(node) == 1).count();
    if !long || ends != 2 || part.inner.iter().any(|node| degree(node) > 2) {
        return None;
    }
    let mut end: Vec<usize> = part.inner.iter().copied().filter(|node| degree(node) == 1).collect();
    end.sort_by_cached_key(|node| natural(&work.graph.nodes[*node].name));
    let mut order = vec![*end.first()?];
    let mut before = usize::MAX;
    while let Some(next) = work.inner(order[order.len() - 1]).find(|other| *other != before) {
        before = order[order.len() - 1];
        order.push(next);
    }
    Some(order)
}

/// A chain side by side, turning where the row is full.
fn serpentine(work: &Work<'_>, chain: &[usize]) -> Rows {
    let mut all = Rows::default();
    for (index, part) in chain.chunks(CHAIN).enumerate() {
        let mut part = part.to_vec();
        if index % 2 == 1 {
            part.reverse();
        }
        for node in &part {
            all.add(Thing::Node(*node), index * 2);
            if !work.leaves(*node).is_empty() {
                all.add(Thing::Leaves(*node), index * 2 + 1);
            }
        }
    }
    all.link(work);
    all
}

/// Distance of every node that is no leaf from the nearest of `starts`.
fn distances(work: &Work<'_>, starts: &[usize]) -> BTreeMap<usize, usize> {
    let mut distance: BTreeMap<usize, usize> = starts.iter().map(|start| (*start, 0)).collect();
    let mut queue: VecDeque<usize> = starts.iter().copied().collect();
    while let Some(node) = queue.pop_front() {
        let next = distance.get(&node).copied().unwrap_or(0) + 1;
        for other in work.inner(node) {
            distance.entry(other).or_insert_with(|| {
                queue.push_back(other);
                next
            });
        }
    }
    distance
}

/// What stands on top: the host, else where uplinks lead, else the nodes farthest from all endpoints, else
/// the middle. Far ends without endpoints come up, too: a picture is better wide than high.
fn top(work: &Work<'_>, part: &Part) -> Vec<usize> {
    let edges = &work.graph.edges;
    let leads = |from_a: bool, node: usize| {
        part.edges.iter().any(|edge| {
            let edge = &edges[*edge];
            edge.kind == "uplink" && (if from_a { edge.a } else { edge.b }) == node
        })
    };
    let chosen = |test: &dyn Fn(usize) -> bool| -> Vec<usize> {
        part.inner.iter().copied().filter(|node| test(*node)).collect()
    };
    let busy = chosen(&|node| work.graph.nodes[node].role == Role::Endpoint || !work.leaves(node).is_empty());
    let mut starts = chosen(&|node| work.graph.nodes[node].role == Role::Host);
    if starts.is_empty() {
        starts = chosen(&|node| leads(false, node) && !leads(true, node));
    }
    if starts.is_empty() && !busy.is_empty() && busy.len() < part.inner.len() {
        let distance = distances(work, &busy);
        let farthest = distance.values().max().copied().unwrap_or(0);
        starts = chosen(&|node| distance.get(&node) == Some(&farthest));
        // Routers first; of two that are linked one.
        starts.sort_by_key(|node| work.graph.nodes[*node].role != Role::Router);
        let mut kept: Vec<usize> = Vec::new();
        let all_linked =
            starts.iter().all(|node| starts.iter().all(|b| node == b || work.neighbours[*node].contains(b)));
        for node in starts {
            if all_linked || !kept.iter().any(|other| work.neighbours[*other].contains(&node)) {
                kept.push(node);
            }
        }
        starts = kept;
    }
    if starts.is_empty() {
        let middle = if part.inner.len() > 300 {
            part.inner.iter().copied().max_by_key(|node| work.neighbours[*node].len())
        } else {
            part.inner.iter().copied().min_by_key(|node| {
                let distance = distances(work, &[*node]);
                (distance.values().max().copied().unwrap_or(0), usize::MAX - work.neighbours[*node].len())
            })
        };
        starts.extend(middle);
    }
    for _ in 0..3 {
        let distance = distances(work, &starts);
        let far = part
            .inner
            .iter()
            .copied()
            .filter(|node| !busy.contains(node))
            .max_by_key(|node| distance.get(node).copied().unwrap_or(0));
        match far {
            Some(node) if distance.get(&node).is_some_and(|far| *far > 3) => starts.push(node),
            _ => break,
        }
    }
    starts
}

impl Rows {
    fn add(&mut self, thing: Thing, row: usize) {
        while self.rows.len() <= row {
            self.rows.push(Vec::new());
        }
        self.rows[row].push(self.things.len());
        self.things.push(thing);
        self.row_of.push(row);
    }

    fn link(&mut self, work: &Work<'_>) {
        let place: BTreeMap<usize, usize> = self
            .things
            .iter()
            .enumerate()
            .filter_map(
                |(index, thing)| if let Thing::Node(node) = thing { Some((*node, index)) } else { None },
            )
            .collect();
        self.linked = vec![Vec::new(); self.things.len()];
        for index in 0..self.things.len() {
            match self.things[index] {
                Thing::Node(node) => {
                    let others = work.inner(node).filter_map(|other| place.get(&other).copied());
                    self.linked[index].extend(others);
                }
                Thing::Leaves(node) => {
                    if let Some(parent) = place.get(&node).copied() {
                        self.linked[index].push(parent);
                        self.linked[parent].push(index);
                    }
                }
            }
        }
    }

    /// Orders each row by the mean position of what its things are linked to, downwards and upwards in turn.
    fn sweep(&mut self) {
        let mut at = vec![0.0; self.things.len()];
        let note = |row: &[usize], at: &mut Vec<f64>| {
            for (index, thing) in row.iter().enumerate() {
                at[*thing] = (index as f64 + 0.5) / row.len() as f64;
            }
        };
        for row in &self.rows {
            note(row, &mut at);
        }
        for round in 0..8 {
            let down = round % 2 == 0;
            for step in 0..self.rows.len() {
                let index = if down { step } else { self.rows.len() - 1 - step };
                let mut row = std::mem::take(&mut self.rows[index]);
                row.sort_by_cached_key(|thing| {
                    let near: Vec<f64> = self.linked[*thing]
                        .iter()
                        .filter(|other| {
                            if down { self.row_of[**other] < index } else { self.row_of[**other] > index }
                        })
                        .map(|other| at[*other])
                        .collect();
                    let mean = if near.is_empty() {
                        at[*thing]
                    } else {
                        near.iter().sum::<f64>() / near.len() as f64
                    };
                    (mean * 1e9) as i64
                });
                note(&row, &mut at);
                self.rows[index] = row;
            }
        }
    }

    /// Swaps neighbours of a row as long as that saves crossings or brings linked things together.
    fn swap(&mut self) {
        let mut at = vec![0; self.things.len()];
        for row in &self.rows {
            for (index, thing) in row.iter().enumerate() {
                at[*thing] = index;
            }
        }
        for _ in 0..12 {
            let mut better = false;
            for index in 0..self.rows.len() {
                if self.rows[index].len() > SWAPPED {
                    continue;
                }
                for left in 0..self.rows[index].len().saturating_sub(1) {
                    let (a, b) = (self.rows[index][left], self.rows[index][left + 1]);
                    let before = self.crossings(a, b, &at) + self.apart(a, &at) + self.apart(b, &at);
                    (at[a], at[b]) = (left + 1, left);
                    let after = self.crossings(b, a, &at) + self.apart(a, &at) + self.apart(b, &at);
                    if after < before {
                        self.rows[index].swap(left, left + 1);
                        better = true;
                    } else {
                        (at[a], at[b]) = (left, left + 1);
                    }
                }
            }
            if !better {
                return;
            }
        }
    }

    /// How often the lines of `a` cross those of `b` when `a` stands left of `b`.
    fn crossings(&self, a: usize, b: usize, at: &[usize]) -> usize {
        let mut count = 0;
        for one in &self.linked[a] {
            for other in &self.linked[b] {
                let same = self.row_of[*one] == self.row_of[*other] && self.row_of[*one] != self.row_of[a];
                count += usize::from(same && at[*one] > at[*other]);
            }
        }
        count
    }

    /// How much stands between a thing and those of its row that it is linked to.
    fn apart(&self, thing: usize, at: &[usize]) -> usize {
        self.linked[thing]
            .iter()
            .filter(|other| self.row_of[**other] == self.row_of[thing])
            .map(|other| at[*other].abs_diff(at[thing]).saturating_sub(1) * 2)
            .sum()
    }
}
