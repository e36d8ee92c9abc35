//! A part in rows: where its boxes stand, where each line leaves them, and how it runs.
//!
//! Every line has its own place on the lower or upper side of a box, runs straight for the height of one
//! name, and only then sideways, between the rows. Linked neighbours of one row are joined sideways. Many
//! leaves stand in a grid, whose lines share a comb.

use super::circle::looped;
use super::order::{self, Rows, Thing};
use super::spread::spread;
use super::{
    GAP_X, LANES, LETTER, NAMED_EDGES, NAMED_LINES, Part, Point, Rect, Route, STUB, Taken, Work, along,
    text_width,
};
use std::collections::BTreeMap;

/// Most leaves that stand in one row.
const ONE_ROW: usize = 6;
/// Room between leaves.
const LEAF_GAP: (f64, f64) = (14.0, 34.0);
/// Room left of a grid, for the comb.
const COMB: f64 = 14.0;

/// How an edge runs.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    /// From the lower side of one box to the upper side of another.
    Down,
    /// Into a grid of leaves.
    Comb,
    /// Sideways to the neighbour; the number of lines between these two that are above it.
    Side(usize),
    /// Below the row to a box of the same row.
    Under,
    /// At the side of the whole to another row.
    Around,
    /// Back to the same box.
    Loop,
}

struct Drawing<'w, 'g> {
    work: &'w mut Work<'g>,
    part: &'w Part,
    rows: Rows,
    /// The thing in which a node stands.
    thing_of: BTreeMap<usize, usize>,
    /// Of each thing: width, height, and columns of a grid.
    size: Vec<(f64, f64, usize)>,
    /// Middle of each thing.
    x: Vec<f64>,
    /// Top of each row, and its height.
    y: Vec<(f64, f64)>,
    /// How far lines run straight below each row, and above the next one: for a name if there is one.
    stub: Vec<(f64, f64)>,
    /// From one line within a row to the next, below each row.
    lane: Vec<f64>,
    ways: BTreeMap<usize, Way>,
    /// Where lines leave: by node and side (true is the lower one), what leaves and at which x.
    ports: BTreeMap<(usize, bool), Vec<Port>>,
}

#[derive(Debug, Clone, Copy)]
struct Port {
    edge: usize,
    /// Width that it needs.
    slot: f64,
    x: f64,
}

pub(super) fn place(work: &mut Work<'_>, part: &Part) {
    let rows = order::rows(work, part);
    let mut drawing = Drawing {
        size: vec![(0.0, 0.0, 0); rows.things.len()],
        x: vec![0.0; rows.things.len()],
        y: Vec::new(),
        stub: Vec::new(),
        lane: Vec::new(),
        thing_of: BTreeMap::new(),
        ways: BTreeMap::new(),
        ports: BTreeMap::new(),
        work,
        part,
        rows,
    };
    drawing.find_ways();
    drawing.find_ports();
    drawing.measure();
    drawing.place_across();
    drawing.place_down();
    drawing.place_boxes();
    drawing.place_ports();
    drawing.route();
    drawing.names();
}

impl Drawing<'_, '_> {
    fn find_ways(&mut self) {
        let mut at = vec![0; self.rows.things.len()];
        for row in &self.rows.rows {
            for (index, thing) in row.iter().enumerate() {
                at[*thing] = index;
            }
        }
        for (index, thing) in self.rows.things.iter().enumerate() {
            match thing {
                Thing::Node(node) => {
                    self.thing_of.insert(*node, index);
                }
                Thing::Leaves(node) => {
                    self.thing_of.extend(self.work.leaves(*node).into_iter().map(|leaf| (leaf, index)));
                }
            }
        }
        let mut beside: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        for edge in &self.part.edges {
            let it = &self.work.graph.edges[*edge];
            let (Some(a), Some(b)) = (self.thing_of.get(&it.a), self.thing_of.get(&it.b)) else { continue };
            let way = match self.rows.row_of[*a].abs_diff(self.rows.row_of[*b]) {
                _ if it.a == it.b => Way::Loop,
                0 if at[*a].abs_diff(at[*b]) == 1 => {
                    let count = beside.entry((*a.min(b), *a.max(b))).or_default();
                    *count += 1;
                    // Two names one above the other is what the height of a box holds.
                    if *count <= 2 { Way::Side(*count - 1) } else { Way::Under }
                }
                0 => Way::Under,
                1 if self.is_grid(*a) || self.is_grid(*b) => Way::Comb,
                1 => Way::Down,
                _ => Way::Around,
            };
            self.ways.insert(*edge, way);
        }
    }

    fn is_grid(&self, thing: usize) -> bool {
        matches!(self.rows.things[thing], Thing::Leaves(node) if self.work.leaves(node).len() > ONE_ROW)
    }

    fn row(&self, node: usize) -> usize {
        self.thing_of.get(&node).map_or(0, |thing| self.rows.row_of[*thing])
    }

    /// The width of an edge's name at one of its nodes.
    fn name_width(&self, edge: usize, node: usize) -> f64 {
        let edge = &self.work.graph.edges[edge];
        text_width(if edge.a == node { &edge.label_a } else { &edge.label_b }, LETTER.2)
    }

    fn find_ports(&mut self) {
        let mut ports: BTreeMap<(usize, bool), Vec<usize>> = BTreeMap::new();
        for (edge, way) in &self.ways {
            let it = &self.work.graph.edges[*edge];
            match way {
                Way::Down | Way::Comb => {
                    let a_above = self.row(it.a) < self.row(it.b);
                    let (upper, lower) = if a_above { (it.a, it.b) } else { (it.b, it.a) };
                    let list = ports.entry((upper, true)).or_default();
                    // A comb has one line, that of its first edge.
                    let combed =
                        |other: &usize| *way == Way::Comb && self.ways.get(other) == Some(&Way::Comb);
                    if !list.iter().any(combed) {
                        list.push(*edge);
                    }
                    if *way == Way::Down {
                        ports.entry((lower, false)).or_default().push(*edge);
                    }
                }
                Way::Under => {
                    ports.entry((it.a, true)).or_default().push(*edge);
                    ports.entry((it.b, true)).or_default().push(*edge);
                }
                Way::Side(_) | Way::Around | Way::Loop => {}
            }
        }
        for ((node, lower), edges) in ports {
            let named = edges.len() <= NAMED_LINES && self.part.edges.len() <= NAMED_EDGES;
            let list = edges
                .iter()
                .map(|edge| {
                    let name = if named { self.name_width(*edge, node) } else { 0.0 };
                    let slot = if name > 0.0 {
                        name + 8.0
                    } else if named {
                        16.0
                    } else {
                        9.0
                    };
                    Port { edge: *edge, slot, x: 0.0 }
                })
                .collect();
            self.ports.insert((node, lower), list);
        }
    }

    fn measure(&mut self) {
        for ((node, _), list) in &self.ports {
            let needed = list.iter().map(|port| port.slot).sum::<f64>() + 8.0;
            let own = &mut self.work.boxes[*node].width;
            *own = own.max(needed);
        }
        for index in 0..self.rows.things.len() {
            self.size[index] = match self.rows.things[index] {
                Thing::Node(node) => (self.work.boxes[node].width, self.work.boxes[node].height, 0),
                Thing::Leaves(node) => self.measure_leaves(&self.work.leaves(node)),
            };
        }
    }

    fn measure_leaves(&self, leaves: &[usize]) -> (f64, f64, usize) {
        let count = leaves.len();
        let boxes = || leaves.iter().map(|leaf| &self.work.boxes[*leaf]);
        let height = boxes().map(|place| place.height).fold(0.0, f64::max);
        if count <= ONE_ROW {
            let width = boxes().map(|place| place.width).sum::<f64>() + LEAF_GAP.0 * (count as f64 - 1.0);
            return (width, height, count);
        }
        let widest = boxes().map(|place| place.width).fold(0.0, f64::max);
        let most = ((count as f64 * 1.4).sqrt().ceil() as usize).max(ONE_ROW);
        let columns = count.div_ceil(count.div_ceil(most));
        let lines = count.div_ceil(columns) as f64;
        let width = columns as f64 * (widest + LEAF_GAP.0) - LEAF_GAP.0 + 2.0 * COMB;
        (width, lines * (height + LEAF_GAP.1) - LEAF_GAP.1, columns)
    }

    /// Middles across: every thing as near as possible to what it is linked to.
    fn place_across(&mut self) {
        let mut gaps: BTreeMap<(usize, usize), f64> = BTreeMap::new();
        for (edge, way) in &self.ways {
            let it = &self.work.graph.edges[*edge];
            let (Way::Side(_), Some(a), Some(b)) = (way, self.thing_of.get(&it.a), self.thing_of.get(&it.b))
            else {
                continue;
            };
            let names = [(&it.label_a, LETTER.2), (&it.label_b, LETTER.2), (&it.kind, LETTER.3)];
            let needed: f64 = names
                .iter()
                .filter(|(text, _)| !text.is_empty())
                .map(|(text, letter)| text_width(text, *letter) + 8.0)
                .sum();
            let gap = gaps.entry((*a.min(b), *a.max(b))).or_insert(GAP_X);
            *gap = gap.max(needed + 16.0);
        }
        let apart: Vec<Vec<f64>> = self
            .rows
            .rows
            .iter()
            .map(|row| {
                row.windows(2)
                    .map(|pair| {
                        let gap =
                            gaps.get(&(pair[0].min(pair[1]), pair[0].max(pair[1]))).copied().unwrap_or(GAP_X);
                        (self.size[pair[0]].0 + self.size[pair[1]].0) / 2.0 + gap
                    })
                    .collect()
            })
            .collect();
        let weights: Vec<f64> = self.rows.linked.iter().map(|linked| linked.len().max(1) as f64).collect();
        for (row, apart) in self.rows.rows.iter().zip(&apart) {
            let mut x = -apart.iter().sum::<f64>() / 2.0;
            for (index, thing) in row.iter().enumerate() {
                self.x[*thing] = x;
                x += apart.get(index).copied().unwrap_or(0.0);
            }
        }
        for round in 0..16 {
            for step in 0..self.rows.rows.len() {
                let index = if round % 2 == 0 { step } else { self.rows.rows.len() - 1 - step };
                let row = &self.rows.rows[index];
                let wanted: Vec<f64> = row
                    .iter()
                    .map(|thing| {
                        let near: Vec<f64> = self.rows.linked[*thing]
                            .iter()
                            // The last rounds look both ways.
                            .filter(|other| match self.rows.row_of[**other].cmp(&index) {
                                std::cmp::Ordering::Less => round % 2 == 0 || round > 9,
                                std::cmp::Ordering::Equal => false,
                                std::cmp::Ordering::Greater => round % 2 == 1 || round > 9,
                            })
                            .map(|other| self.x[*other])
                            .collect();
                        if near.is_empty() {
                            self.x[*thing]
                        } else {
                            near.iter().sum::<f64>() / near.len() as f64
                        }
                    })
                    .collect();
                let weight: Vec<f64> = row.iter().map(|thing| weights[*thing]).collect();
                for (thing, x) in row.iter().zip(spread(&wanted, &weight, &apart[index])) {
                    self.x[*thing] = x;
                }
            }
        }
    }

    /// Tops and heights of the rows: wide ways sideways need more room between them.
    fn place_down(&mut self) {
        let count = self.rows.rows.len();
        let mut sideways = vec![0.0_f64; count];
        let mut named = vec![(false, false); count];
        let mut lanes = vec![0_u32; count];
        for (edge, way) in &self.ways {
            let it = &self.work.graph.edges[*edge];
            let (Some(a), Some(b)) = (self.thing_of.get(&it.a), self.thing_of.get(&it.b)) else { continue };
            let row = self.rows.row_of[*a].min(self.rows.row_of[*b]);
            match way {
                Way::Down | Way::Comb => {
                    let a_above = self.rows.row_of[*a] < self.rows.row_of[*b];
                    let (upper, lower) =
                        if a_above { (&it.label_a, &it.label_b) } else { (&it.label_b, &it.label_a) };
                    named[row].0 |= !upper.is_empty();
                    named[row].1 |= !lower.is_empty() || *way == Way::Comb;
                    sideways[row] = sideways[row].max((self.x[*a] - self.x[*b]).abs());
                }
                Way::Under => {
                    lanes[row] += 1;
                    named[row].0 = true;
                }
                Way::Side(_) | Way::Around | Way::Loop => {}
            }
        }
        let mut y = 0.0;
        for row in 0..count {
            let height = self.rows.rows[row].iter().map(|thing| self.size[*thing].1).fold(0.0, f64::max);
            self.y.push((y, height));
            let stub = |named: bool| if named { STUB } else { 7.0 };
            self.stub.push((stub(named[row].0), stub(named[row].1)));
            y += height
                + self.stub[row].0
                + self.stub[row].1
                + (24.0 + sideways[row] * 0.14).clamp(24.0, 120.0)
                + f64::from(lanes[row]) * lane_height(lanes[row]);
            self.lane.push(lane_height(lanes[row]));
        }
    }

    fn place_boxes(&mut self) {
        for index in 0..self.rows.things.len() {
            let (top, _) = self.y[self.rows.row_of[index]];
            let (width, _, columns) = self.size[index];
            match self.rows.things[index] {
                Thing::Node(node) => {
                    let own = &mut self.work.boxes[node];
                    (own.x, own.y) = (self.x[index], top + own.height / 2.0);
                }
                Thing::Leaves(node) => {
                    let leaves = self.work.leaves(node);
                    let grid = self.is_grid(index);
                    let widest = leaves.iter().map(|leaf| self.work.boxes[*leaf].width).fold(0.0, f64::max);
                    let height = leaves.iter().map(|leaf| self.work.boxes[*leaf].height).fold(0.0, f64::max);
                    let start = self.x[index] - width / 2.0 + if grid { COMB } else { 0.0 };
                    let mut left = start;
                    for (at, leaf) in leaves.iter().enumerate() {
                        if at % columns.max(1) == 0 {
                            left = start;
                        }
                        let own = &mut self.work.boxes[*leaf];
                        let room = if grid { widest } else { own.width };
                        own.x = left + room / 2.0;
                        own.y = top + (at / columns.max(1)) as f64 * (height + LEAF_GAP.1) + own.height / 2.0;
                        left += room + LEAF_GAP.0;
                    }
                }
            }
        }
    }

    /// Gives every line its place on the side of its box, in the order of where the lines lead.
    fn place_ports(&mut self) {
        let mut ports = std::mem::take(&mut self.ports);
        for ((node, _), list) in &mut ports {
            let own = self.work.boxes[*node];
            let towards = |edge: usize| {
                let it = &self.work.graph.edges[edge];
                let other = if it.a == *node { it.b } else { it.a };
                match self.ways.get(&edge) {
                    Some(Way::Comb) => self.thing_of.get(&other).map_or(0.0, |thing| self.x[*thing]),
                    _ => self.work.boxes[other].x,
                }
            };
            list.sort_by(|a, b| towards(a.edge).total_cmp(&towards(b.edge)).then(a.edge.cmp(&b.edge)));
            let needed: f64 = list.iter().map(|port| port.slot).sum();
            let spare = ((own.width - 12.0 - needed) / list.len() as f64).clamp(0.0, 26.0);
            let mut x = own.x - (needed + spare * list.len() as f64) / 2.0;
            for port in list.iter_mut() {
                port.x = x + (port.slot + spare) / 2.0;
                x += port.slot + spare;
            }
            if let [only] = list.as_mut_slice() {
                only.x = own.x;
            }
        }
        self.ports = ports;
    }

    fn port(&self, node: usize, lower: bool, edge: usize) -> f64 {
        self.ports
            .get(&(node, lower))
            .and_then(|list| list.iter().find(|port| port.edge == edge))
            .map_or(self.work.boxes[node].x, |port| port.x)
    }

    fn has_names(&self, node: usize, lower: bool) -> bool {
        self.ports
            .get(&(node, lower))
            .is_some_and(|list| list.len() <= NAMED_LINES && self.part.edges.len() <= NAMED_EDGES)
    }

    fn route(&mut self) {
        let mut lanes = vec![0.0_f64; self.rows.rows.len()];
        let left =
            self.part.nodes.iter().map(|node| self.work.boxes[*node].left()).fold(f64::INFINITY, f64::min);
        let right = self
            .part
            .nodes
            .iter()
            .map(|node| self.work.boxes[*node].right())
            .fold(f64::NEG_INFINITY, f64::max);
        for (edge, way) in &self.ways {
            let it = &self.work.graph.edges[*edge];
            let a_first = match way {
                Way::Down | Way::Comb | Way::Around => self.row(it.a) < self.row(it.b),
                _ => self.work.boxes[it.a].x <= self.work.boxes[it.b].x,
            };
            let (one, other) = if a_first { (it.a, it.b) } else { (it.b, it.a) };
            let mut route = match way {
                Way::Down => self.down(*edge, one, other),
                Way::Comb => self.comb(*edge, one, other),
                Way::Side(number) => self.side(*edge, *number, one, other),
                Way::Under => {
                    let lane = &mut lanes[self.row(one)];
                    *lane += 1.0;
                    let lane = *lane;
                    self.under(*edge, lane, one, other)
                }
                Way::Around => around(&self.work.boxes[one], &self.work.boxes[other], (left, right)),
                Way::Loop => Route { points: looped(&self.work.boxes[one]), ..Route::default() },
            };
            if !a_first {
                route.points.reverse();
                std::mem::swap(&mut route.label_a, &mut route.label_b);
            }
            route.label_a = route.label_a.filter(|_| !it.label_a.is_empty());
            route.label_b = route.label_b.filter(|_| !it.label_b.is_empty());
            self.work.routes[*edge] = route;
        }
    }

    /// The way from a box down to the bend below its row.
    fn leave(&self, node: usize, x: f64) -> [Point; 2] {
        let row = self.row(node);
        let (top, height) = self.y[row];
        [(x, self.work.boxes[node].bottom()), (x, top + height + self.stub[row].0)]
    }

    fn down(&self, edge: usize, upper: usize, lower: usize) -> Route {
        let (from, to) = (self.port(upper, true, edge), self.port(lower, false, edge));
        let [start, bend] = self.leave(upper, from);
        let end = (to, self.work.boxes[lower].top());
        let label_a = self.has_names(upper, true).then_some((start.0, start.1 + STUB / 2.0 + 1.0));
        let label_b = self.has_names(lower, false).then_some((end.0, end.1 - STUB / 2.0 - 1.0));
        let arrive = end.1 - self.stub[self.row(upper)].1;
        Route { points: vec![start, bend, (to, arrive), end], label_a, label_b, kind: None }
    }

    fn comb(&self, edge: usize, upper: usize, leaf: usize) -> Route {
        let shared = self
            .ports
            .get(&(upper, true))
            .and_then(|list| list.iter().find(|port| self.ways.get(&port.edge) == Some(&Way::Comb)));
        let from = shared.map_or(self.work.boxes[upper].x, |port| port.x);
        let is_first = shared.is_some_and(|port| port.edge == edge);
        let thing = self.thing_of.get(&leaf).copied().unwrap_or(0);
        let (middle, grid) = (self.x[thing], self.size[thing]);
        let own = self.work.boxes[leaf];
        let first = self.y[self.rows.row_of[thing]].0 - STUB;
        let rail = own.top() - STUB;
        let [start, bend] = self.leave(upper, from);
        let mut points = vec![start, bend, (middle, first)];
        if rail > first + 1.0 {
            let side = middle - grid.0 / 2.0 + 2.0;
            points.extend([(side, first), (side, rail)]);
        }
        points.extend([(own.x, rail), (own.x, own.top())]);
        let name = |edge: usize| {
            let it = &self.work.graph.edges[edge];
            if it.a == upper { it.label_a.clone() } else { it.label_b.clone() }
        };
        // The shared line has a name only if it is that of all.
        let same = self.part.edges.iter().all(|other| {
            let it = &self.work.graph.edges[*other];
            (it.a != upper && it.b != upper)
                || self.ways.get(other) != Some(&Way::Comb)
                || name(*other) == name(edge)
        });
        let label_a = (is_first && same).then_some((start.0, start.1 + STUB / 2.0 + 1.0));
        Route { points, label_a, label_b: Some((own.x, own.top() - STUB / 2.0)), kind: None }
    }

    fn side(&self, edge: usize, number: usize, left: usize, right: usize) -> Route {
        let (one, other) = (self.work.boxes[left], self.work.boxes[right]);
        let lower = one.height.min(other.height);
        let both = self.ways.iter().any(|(at, way)| {
            let it = &self.work.graph.edges[*at];
            *way == Way::Side(1 - number)
                && *at != edge
                && (it.a, it.b) != (it.b, it.a)
                && [(left, right), (right, left)].contains(&(it.a, it.b))
        });
        let y = one.top() + lower / 2.0 + if both { 16.0 * number as f64 - 8.0 } else { 0.0 };
        let (x1, x2) = (one.right(), other.left());
        let (w1, w2) = (self.name_width(edge, left), self.name_width(edge, right));
        Route {
            points: vec![(x1, y), (x2, y)],
            label_a: Some((x1 + 8.0 + w1 / 2.0, y)),
            label_b: Some((x2 - 8.0 - w2 / 2.0, y)),
            kind: Some(((x1 + 8.0 + w1 + x2 - 8.0 - w2) / 2.0, y)),
        }
    }

    fn under(&self, edge: usize, lane: f64, left: usize, right: usize) -> Route {
        let (from, to) = (self.port(left, true, edge), self.port(right, true, edge));
        let [start, bend] = self.leave(left, from);
        let [end, _] = self.leave(right, to);
        let y = bend.1 + lane * self.lane[self.row(left)] - 8.0;
        let names =
            |node: usize, x: f64, y: f64| self.has_names(node, true).then_some((x, y + STUB / 2.0 + 1.0));
        Route {
            points: vec![start, (from, y), (to, y), end],
            label_a: names(left, start.0, start.1),
            label_b: names(right, end.0, end.1),
            kind: None,
        }
    }

    /// Places for the kinds, and names of lines that have no port.
    fn names(&mut self) {
        let boxes: Vec<Rect> = self.part.nodes.iter().map(|node| self.work.boxes[*node]).collect();
        let mut taken = Taken::default();
        for edge in &self.part.edges {
            let (it, route) = (&self.work.graph.edges[*edge], &self.work.routes[*edge]);
            for (text, at) in [(&it.label_a, route.label_a), (&it.label_b, route.label_b)] {
                if let Some((x, y)) = at {
                    taken.0.push(Rect { x, y, width: text_width(text, LETTER.2), height: 10.0 });
                }
            }
        }
        for edge in &self.part.edges {
            let (it, way) = (&self.work.graph.edges[*edge], self.ways.get(edge));
            let route = &mut self.work.routes[*edge];
            if it.kind.is_empty() {
                route.kind = None;
            } else if route.kind.is_none() && way != Some(&Way::Comb) {
                // On the slope between the bends, nearer to one end where the middle is taken.
                let slope = if way == Some(&Way::Down) { &route.points[1..3] } else { &route.points[..] };
                let shares = [0.5, 0.38, 0.62, 0.26, 0.74, 0.14, 0.86];
                let candidates: Vec<Point> = shares.iter().map(|share| along(slope, *share)).collect();
                route.kind = taken.first_free(candidates, text_width(&it.kind, LETTER.3), &boxes);
            }
            if way == Some(&Way::Around) {
                for (text, back, label) in
                    [(&it.label_a, false, &mut route.label_a), (&it.label_b, true, &mut route.label_b)]
                {
                    if !text.is_empty() {
                        let shares =
                            [0.12, 0.2, 0.28, 0.36].map(|share| if back { 1.0 - share } else { share });
                        let candidates: Vec<Point> =
                            shares.iter().map(|share| along(&route.points, *share)).collect();
                        *label = taken.first_free(candidates, text_width(text, LETTER.2), &boxes);
                    }
                }
            }
        }
    }
}

/// From one line within a row to the next, when there are so many.
fn lane_height(count: u32) -> f64 {
    (LANES / f64::from(count.max(1))).min(12.0)
}

/// A line at the nearer side of the whole.
fn around(upper: &Rect, lower: &Rect, (left, right): (f64, f64)) -> Route {
    let at_left = upper.left() - left < right - upper.right();
    let side = |place: &Rect| if at_left { place.left() } else { place.right() };
    let x = if at_left { left - 24.0 } else { right + 24.0 };
    Route {
        points: vec![(side(upper), upper.y), (x, upper.y), (x, lower.y), (side(lower), lower.y)],
        ..Route::default()
    }
}
