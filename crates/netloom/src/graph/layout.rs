//! Where things stand in a picture: inner nodes in layers (or on a circle), leaves in blocks below them.
//!
//! What: nodes with one neighbour are *leaves* and stand in a grid under it. The rest is put into layers
//! by distance from the middle (or from the top of a tree), each layer ordered by the mean position of
//! its neighbours above (barycentre sweeps). A ring is put on a circle.
//!
//! Costs: O(sweeps * edges * log); a thousand nodes take milliseconds. Absent: edge routing.

use super::{Graph, Role};
use std::collections::{BTreeSet, VecDeque};

/// Narrowest and widest box of a node, in pixels; all boxes of a picture are as wide as the longest text needs.
const WIDTHS: (f64, f64) = (96.0, 200.0);
/// Height of a node's box.
pub const HEIGHT: f64 = 46.0;
const GAP_X: f64 = 34.0;
const GAP_Y: f64 = 104.0;
const LEAF_GAP_X: f64 = 16.0;
const LEAF_GAP_Y: f64 = 26.0;
const MARGIN: f64 = 48.0;

/// The placed graph: the middle of each node's box, and the size of the whole.
#[derive(Debug, Clone)]
pub struct Placed {
    /// Middle of each node.
    pub at: Vec<(f64, f64)>,
    /// Width of the picture.
    pub width: f64,
    /// Height of the picture.
    pub height: f64,
    /// Width of every box.
    pub box_width: f64,
}

/// An inner node with its leaves below it.
struct Block {
    node: usize,
    leaves: Vec<usize>,
    /// Width of a box.
    box_width: f64,
}

impl Block {
    fn columns(&self) -> usize {
        match self.leaves.len() {
            0..=4 => self.leaves.len().max(1),
            many => ((many as f64 * 1.6).sqrt().ceil() as usize).max(4),
        }
    }

    fn width(&self) -> f64 {
        if self.leaves.is_empty() {
            self.box_width
        } else {
            let columns = self.columns() as f64;
            columns * self.box_width + (columns - 1.0) * LEAF_GAP_X
        }
    }

    fn height(&self) -> f64 {
        let rows = self.leaves.len().div_ceil(self.columns()) as f64;
        if rows == 0.0 { HEIGHT } else { HEIGHT + GAP_Y * 0.55 + rows * (HEIGHT + LEAF_GAP_Y) - LEAF_GAP_Y }
    }

    /// Places the block with the inner node's middle at `x`, `y`.
    fn place(&self, x: f64, y: f64, at: &mut [(f64, f64)]) {
        at[self.node] = (x, y);
        let columns = self.columns();
        let top = y + HEIGHT + GAP_Y * 0.55;
        for (index, leaf) in self.leaves.iter().enumerate() {
            let row = index / columns;
            let in_row = (self.leaves.len() - row * columns).min(columns) as f64;
            let width = in_row * self.box_width + (in_row - 1.0) * LEAF_GAP_X;
            let column = (index % columns) as f64;
            at[*leaf] = (
                x - width / 2.0 + self.box_width / 2.0 + column * (self.box_width + LEAF_GAP_X),
                top + row as f64 * (HEIGHT + LEAF_GAP_Y),
            );
        }
    }
}

/// Places every node.
#[must_use]
pub fn place(graph: &Graph) -> Placed {
    let count = graph.nodes.len();
    // Mean widths of the two fonts of `svg`, with some air at the sides.
    let text = |name: usize, detail: usize| (name as f64 * 8.0).max(detail as f64 * 6.8) + 22.0;
    let box_width = graph
        .nodes
        .iter()
        .map(|node| text(node.name.chars().count(), node.detail.chars().count()))
        .fold(WIDTHS.0, f64::max)
        .min(WIDTHS.1);
    let mut neighbours = vec![BTreeSet::new(); count];
    for edge in &graph.edges {
        if edge.a != edge.b {
            neighbours[edge.a].insert(edge.b);
            neighbours[edge.b].insert(edge.a);
        }
    }
    let is_leaf: Vec<bool> = (0..count)
        .map(|node| {
            graph.nodes[node].role == Role::Endpoint
                && neighbours[node].len() == 1
                && neighbours[node].iter().all(|other| neighbours[*other].len() > 1)
        })
        .collect();
    let mut blocks: Vec<Block> = Vec::new();
    let mut block_of = vec![usize::MAX; count];
    for node in (0..count).filter(|node| !is_leaf[*node]) {
        block_of[node] = blocks.len();
        let leaves = neighbours[node].iter().copied().filter(|other| is_leaf[*other]).collect();
        blocks.push(Block { node, leaves, box_width });
    }
    let inner: Vec<BTreeSet<usize>> = blocks
        .iter()
        .map(|block| {
            neighbours[block.node]
                .iter()
                .filter(|other| !is_leaf[**other])
                .map(|other| block_of[*other])
                .collect()
        })
        .collect();

    let mut at = vec![(0.0, 0.0); count];
    let mut left = MARGIN;
    let mut height: f64 = 0.0;
    for component in components(&inner) {
        let (width, tall) = if is_ring(&component, &inner) {
            place_ring(&component, &inner, &blocks, left, &mut at)
        } else {
            place_layers(&component, &inner, &blocks, graph, left, &mut at)
        };
        left += width + GAP_X * 2.0;
        height = height.max(tall);
    }
    Placed { at, width: left - GAP_X * 2.0 + MARGIN, height: height + 2.0 * MARGIN, box_width }
}

fn components(inner: &[BTreeSet<usize>]) -> Vec<Vec<usize>> {
    let mut seen = vec![false; inner.len()];
    let mut all = Vec::new();
    for start in 0..inner.len() {
        if seen[start] {
            continue;
        }
        seen[start] = true;
        let mut members = vec![start];
        let mut next = 0;
        while next < members.len() {
            for other in &inner[members[next]] {
                if !std::mem::replace(&mut seen[*other], true) {
                    members.push(*other);
                }
            }
            next += 1;
        }
        all.push(members);
    }
    all
}

fn is_ring(component: &[usize], inner: &[BTreeSet<usize>]) -> bool {
    component.len() >= 4 && component.iter().all(|block| inner[*block].len() == 2)
}

fn place_ring(
    component: &[usize],
    inner: &[BTreeSet<usize>],
    blocks: &[Block],
    left: f64,
    at: &mut [(f64, f64)],
) -> (f64, f64) {
    // Walk around the ring so that neighbours stand side by side.
    let mut order = vec![component[0]];
    while order.len() < component.len() {
        let last = order[order.len() - 1];
        match inner[last].iter().find(|other| !order.contains(other)) {
            Some(next) => order.push(*next),
            None => break,
        }
    }
    let widest = component.iter().map(|block| blocks[*block].width()).fold(0.0, f64::max);
    let tallest = component.iter().map(|block| blocks[*block].height()).fold(HEIGHT, f64::max);
    let step = (widest + GAP_X).max(tallest + GAP_X);
    let radius = (step * order.len() as f64 / std::f64::consts::TAU).max(step);
    let (x, y) = (left + radius + widest / 2.0, MARGIN + radius + HEIGHT);
    for (index, block) in order.iter().enumerate() {
        let angle = std::f64::consts::TAU * index as f64 / order.len() as f64 - std::f64::consts::FRAC_PI_2;
        blocks[*block].place(x + radius * angle.cos(), y + radius * angle.sin(), at);
    }
    (2.0 * radius + widest, y + radius + tallest - MARGIN)
}

/// Distance of every block from `starts`.
fn distances(starts: &[usize], inner: &[BTreeSet<usize>]) -> Vec<usize> {
    let mut distance = vec![usize::MAX; inner.len()];
    let mut queue: VecDeque<usize> = starts.iter().copied().collect();
    for start in starts {
        distance[*start] = 0;
    }
    while let Some(block) = queue.pop_front() {
        for other in &inner[block] {
            if distance[*other] == usize::MAX {
                distance[*other] = distance[block] + 1;
                queue.push_back(*other);
            }
        }
    }
    distance
}

/// The layer that stands on top: the host, else the blocks farthest from all endpoints, else the middle.
fn top_layer(component: &[usize], inner: &[BTreeSet<usize>], blocks: &[Block], graph: &Graph) -> Vec<usize> {
    let hosts: Vec<usize> = component
        .iter()
        .copied()
        .filter(|block| graph.nodes[blocks[*block].node].role == Role::Host)
        .collect();
    if !hosts.is_empty() {
        return hosts;
    }
    let edge: Vec<usize> = component
        .iter()
        .copied()
        .filter(|block| {
            !blocks[*block].leaves.is_empty() || graph.nodes[blocks[*block].node].role == Role::Endpoint
        })
        .collect();
    if edge.len() < component.len() && !edge.is_empty() {
        let distance = distances(&edge, inner);
        let farthest = component.iter().map(|block| distance[*block]).max().unwrap_or(0);
        return component.iter().copied().filter(|block| distance[*block] == farthest).collect();
    }
    let middle = if component.len() > 300 {
        component.iter().copied().max_by_key(|block| inner[*block].len())
    } else {
        component.iter().copied().min_by_key(|block| {
            let distance = distances(&[*block], inner);
            component.iter().map(|other| distance[*other]).max().unwrap_or(0)
        })
    };
    middle.into_iter().collect()
}

fn place_layers(
    component: &[usize],
    inner: &[BTreeSet<usize>],
    blocks: &[Block],
    graph: &Graph,
    left: f64,
    at: &mut [(f64, f64)],
) -> (f64, f64) {
    let distance = distances(&top_layer(component, inner, blocks, graph), inner);
    let deepest = component.iter().map(|block| distance[*block]).max().unwrap_or(0);
    let mut layers: Vec<Vec<usize>> = vec![Vec::new(); deepest + 1];
    for block in component {
        layers[distance[*block]].push(*block);
    }
    for layer in &mut layers {
        layer.sort_by(|a, b| {
            natural(&graph.nodes[blocks[*a].node].name).cmp(&natural(&graph.nodes[blocks[*b].node].name))
        });
    }
    let mut position = vec![0.0; inner.len()];
    for sweep in 0..6 {
        let down = sweep % 2 == 0;
        let order: Vec<usize> =
            if down { (0..layers.len()).collect() } else { (0..layers.len()).rev().collect() };
        for depth in order {
            let mean = |block: &usize| {
                let near: Vec<f64> = inner[*block]
                    .iter()
                    .filter(|other| if down { distance[**other] < depth } else { distance[**other] > depth })
                    .map(|other| position[*other])
                    .collect();
                if near.is_empty() { position[*block] } else { near.iter().sum::<f64>() / near.len() as f64 }
            };
            let mut keyed: Vec<(f64, usize)> =
                layers[depth].iter().map(|block| (mean(block), *block)).collect();
            if sweep > 0 || depth > 0 {
                keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
            }
            layers[depth] = keyed.into_iter().map(|(_, block)| block).collect();
            let total: f64 = layers[depth].iter().map(|block| blocks[*block].width() + GAP_X).sum();
            let mut x = -total / 2.0;
            for block in &layers[depth] {
                let width = blocks[*block].width() + GAP_X;
                position[*block] = x + width / 2.0;
                x += width;
            }
        }
    }
    let width = layers
        .iter()
        .map(|layer| layer.iter().map(|block| blocks[*block].width() + GAP_X).sum::<f64>() - GAP_X)
        .fold(0.0, f64::max);
    let mut y = MARGIN + HEIGHT / 2.0;
    for layer in &layers {
        for block in layer {
            blocks[*block].place(left + width / 2.0 + position[*block], y, at);
        }
        y += layer.iter().map(|block| blocks[*block].height()).fold(HEIGHT, f64::max) + GAP_Y * 0.7;
    }
    (width, y - GAP_Y * 0.7 - HEIGHT / 2.0 - MARGIN)
}

/// `leaf-10` after `leaf-9`.
fn natural(name: &str) -> (String, u64) {
    let digits = name.chars().rev().take_while(char::is_ascii_digit).count();
    let (head, tail) = name.split_at(name.len() - digits);
    (head.to_owned(), tail.parse().unwrap_or(0))
}
