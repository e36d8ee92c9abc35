//! Where things stand in a picture, and how the lines run between them.
//!
//! What: the graph falls into parts that are not connected. A part is a ring or a mesh (on a circle), or
//! it is put into rows: a chain side by side, everything else by distance from the top. Endpoints with
//! one neighbour stand together below it. The parts are packed onto shelves.
//!
//! Invariants: no two boxes cover each other; in rows no line crosses a box, because every line leaves a
//! box at its own place of the lower or upper side and bends only between the rows. A name that finds no
//! room is left out.
//!
//! Costs: O(sweeps * edges * log); a thousand nodes take milliseconds.

mod circle;
mod order;
mod rows;
mod spread;

use super::{Graph, Role};
use std::collections::{BTreeMap, BTreeSet};

/// A place in the picture, in pixels from the left and from the top.
pub type Point = (f64, f64);

const MARGIN: f64 = 40.0;
/// Least room between two boxes side by side.
const GAP_X: f64 = 30.0;
/// Room for one name between a box and the first bend of a line.
const STUB: f64 = 19.0;
/// Letters of a node's name and of a line of its details that are shown.
pub const LETTERS: (usize, usize) = (36, 46);
/// Widths of a letter in the fonts of `svg`: name, detail, interface, kind of a line.
const LETTER: (f64, f64, f64, f64) = (8.5, 6.7, 6.1, 5.8);
/// Above so many lines in a part their names are left out: nobody could read them.
const NAMED_EDGES: usize = 400;
/// Most room that the lines within one row take below it.
const LANES: f64 = 260.0;
/// Above so many lines on one side of a box their names are left out.
const NAMED_LINES: usize = 8;

/// A box.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rect {
    /// Middle.
    pub x: f64,
    /// Middle.
    pub y: f64,
    /// From left to right.
    pub width: f64,
    /// From top to bottom.
    pub height: f64,
}

impl Rect {
    /// The left side.
    #[must_use]
    pub fn left(&self) -> f64 {
        self.x - self.width / 2.0
    }

    /// The right side.
    #[must_use]
    pub fn right(&self) -> f64 {
        self.x + self.width / 2.0
    }

    /// The upper side.
    #[must_use]
    pub fn top(&self) -> f64 {
        self.y - self.height / 2.0
    }

    /// The lower side.
    #[must_use]
    pub fn bottom(&self) -> f64 {
        self.y + self.height / 2.0
    }

    /// Whether two boxes cover a common place.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        (self.x - other.x).abs() < (self.width + other.width) / 2.0 - 0.5
            && (self.y - other.y).abs() < (self.height + other.height) / 2.0 - 0.5
    }
}

/// How the line of an edge runs, and where its names stand (the middle of the text).
#[derive(Debug, Clone, Default)]
pub struct Route {
    /// From the box of `a` to the box of `b`.
    pub points: Vec<Point>,
    /// The interface at `a`.
    pub label_a: Option<Point>,
    /// The interface at `b`.
    pub label_b: Option<Point>,
    /// The kind.
    pub kind: Option<Point>,
}

/// The placed graph.
#[derive(Debug, Clone)]
pub struct Placed {
    /// A box for each node.
    pub boxes: Vec<Rect>,
    /// A route for each edge.
    pub routes: Vec<Route>,
    /// Width of the picture.
    pub width: f64,
    /// Height of the picture.
    pub height: f64,
}

/// What the layouts of the parts work on.
struct Work<'a> {
    graph: &'a Graph,
    neighbours: Vec<BTreeSet<usize>>,
    /// Endpoints that stand with their only neighbour.
    is_leaf: Vec<bool>,
    boxes: Vec<Rect>,
    routes: Vec<Route>,
}

impl Work<'_> {
    fn leaves(&self, node: usize) -> Vec<usize> {
        let mut leaves: Vec<usize> =
            self.neighbours[node].iter().copied().filter(|other| self.is_leaf[*other]).collect();
        leaves.sort_by_cached_key(|leaf| natural(&self.graph.nodes[*leaf].name));
        leaves
    }

    /// Neighbours that are not leaves.
    fn inner(&self, node: usize) -> impl Iterator<Item = usize> + '_ {
        self.neighbours[node].iter().copied().filter(|other| !self.is_leaf[*other])
    }
}

/// A connected part.
struct Part {
    /// Its nodes that are not leaves.
    inner: Vec<usize>,
    /// All its nodes.
    nodes: Vec<usize>,
    edges: Vec<usize>,
}

/// Places every node and every line.
#[must_use]
pub fn place(graph: &Graph) -> Placed {
    let count = graph.nodes.len();
    let mut neighbours = vec![BTreeSet::new(); count];
    for edge in graph.edges.iter().filter(|edge| edge.a != edge.b) {
        neighbours[edge.a].insert(edge.b);
        neighbours[edge.b].insert(edge.a);
    }
    let is_leaf: Vec<bool> = (0..count)
        .map(|node| {
            graph.nodes[node].role == Role::Endpoint
                && neighbours[node].len() == 1
                && neighbours[node].iter().all(|other| neighbours[*other].len() > 1)
        })
        .collect();
    let routes = vec![Route::default(); graph.edges.len()];
    let mut work = Work { graph, neighbours, is_leaf, boxes: sizes(graph), routes };
    let parts = parts(&work);
    let mut extents = Vec::new();
    for part in &parts {
        if circle::fits(&work, part) {
            circle::place(&mut work, part);
        } else {
            rows::place(&mut work, part);
        }
        extents.push(extent(&work, part));
    }
    let (width, height) = pack(&mut work, &parts, &extents);
    Placed { boxes: work.boxes, routes: work.routes, width, height }
}

/// The size of every box: wide enough for its text, and equal for equal roles as long as that is no waste.
fn sizes(graph: &Graph) -> Vec<Rect> {
    let own: Vec<(f64, f64)> = graph
        .nodes
        .iter()
        .map(|node| {
            let name = node.name.chars().count().min(LETTERS.0) as f64 * LETTER.0;
            let detail = node.detail.iter().map(|line| line.chars().count().min(LETTERS.1)).max();
            let detail = detail.unwrap_or(0) as f64 * LETTER.1;
            // A router's round sides take room.
            let air = if node.role == Role::Router { 34.0 } else { 22.0 };
            let lines = node.detail.len() as f64;
            (name.max(detail) + air, if lines == 0.0 { 36.0 } else { 32.0 + 14.0 * lines })
        })
        .collect();
    let mut common: BTreeMap<Role, (f64, f64)> = BTreeMap::new();
    for (node, size) in graph.nodes.iter().zip(&own) {
        let widest = common.entry(node.role).or_insert((88.0, 36.0));
        *widest = (widest.0.max(size.0.min(190.0)), widest.1.max(size.1.min(46.0)));
    }
    graph
        .nodes
        .iter()
        .zip(&own)
        .map(|(node, size)| {
            let common = common.get(&node.role).copied().unwrap_or_default();
            Rect { width: size.0.max(common.0), height: size.1.max(common.1), ..Rect::default() }
        })
        .collect()
}

fn parts(work: &Work<'_>) -> Vec<Part> {
    let count = work.neighbours.len();
    let mut of = vec![usize::MAX; count];
    let mut parts: Vec<Part> = Vec::new();
    for start in 0..count {
        if of[start] != usize::MAX {
            continue;
        }
        let mut nodes = vec![start];
        of[start] = parts.len();
        let mut next = 0;
        while next < nodes.len() {
            for other in &work.neighbours[nodes[next]] {
                if of[*other] == usize::MAX {
                    of[*other] = parts.len();
                    nodes.push(*other);
                }
            }
            next += 1;
        }
        let inner = nodes.iter().copied().filter(|node| !work.is_leaf[*node]).collect();
        parts.push(Part { inner, nodes, edges: Vec::new() });
    }
    for (index, edge) in work.graph.edges.iter().enumerate() {
        parts[of[edge.a]].edges.push(index);
    }
    parts
}

/// Left, top, right and bottom of what a part covers.
type Extent = (f64, f64, f64, f64);

fn extent(work: &Work<'_>, part: &Part) -> Extent {
    let mut all = (f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY);
    let mut take = |left: f64, top: f64, right: f64, bottom: f64| {
        all = (all.0.min(left), all.1.min(top), all.2.max(right), all.3.max(bottom));
    };
    for node in &part.nodes {
        let place = &work.boxes[*node];
        take(place.left(), place.top(), place.right(), place.bottom());
    }
    for edge in &part.edges {
        for (x, y) in &work.routes[*edge].points {
            take(*x, *y, *x, *y);
        }
    }
    all
}

/// Puts the parts onto shelves, and says how large the whole is.
fn pack(work: &mut Work<'_>, parts: &[Part], extents: &[Extent]) -> (f64, f64) {
    let between = GAP_X * 2.0;
    let size = |extent: &Extent| (extent.2 - extent.0, extent.3 - extent.1);
    let area: f64 = extents.iter().map(size).map(|(w, h)| (w + between) * (h + between)).sum();
    let widest = extents.iter().map(|extent| size(extent).0).fold(0.0, f64::max);
    let most = widest.max((area * 2.2).sqrt()).max(1000.0);
    let (mut x, mut y, mut shelf, mut right): (f64, f64, f64, f64) = (0.0, 0.0, 0.0, 0.0);
    for (part, extent) in parts.iter().zip(extents) {
        let (width, height) = size(extent);
        if x > 0.0 && x + width > most {
            (x, y, shelf) = (0.0, y + shelf + between, 0.0);
        }
        let (dx, dy) = (MARGIN + x - extent.0, MARGIN + y - extent.1);
        for node in &part.nodes {
            work.boxes[*node].x += dx;
            work.boxes[*node].y += dy;
        }
        for edge in &part.edges {
            let route = &mut work.routes[*edge];
            let names = [&mut route.label_a, &mut route.label_b, &mut route.kind];
            for point in route.points.iter_mut().chain(names.into_iter().flatten()) {
                *point = (point.0 + dx, point.1 + dy);
            }
        }
        x += width + between;
        shelf = shelf.max(height);
        right = right.max(x - between);
    }
    (right + 2.0 * MARGIN, y + shelf + 2.0 * MARGIN)
}

/// Width of an interface's name, or of a kind.
fn text_width(text: &str, letter: f64) -> f64 {
    text.chars().count() as f64 * letter
}

/// `leaf-10` after `leaf-9`.
fn natural(name: &str) -> (String, u64) {
    let digits = name.chars().rev().take_while(char::is_ascii_digit).count();
    let (head, tail) = name.split_at(name.len() - digits);
    (head.to_owned(), tail.parse().unwrap_or(0))
}

/// The place at a share (0 to 1) of a line's length.
fn along(points: &[Point], share: f64) -> Point {
    let step = |pair: &[Point]| (pair[1].0 - pair[0].0).hypot(pair[1].1 - pair[0].1);
    let mut rest = points.windows(2).map(step).sum::<f64>() * share;
    for pair in points.windows(2) {
        let length = step(pair);
        if rest <= length && length > 0.0 {
            let part = rest / length;
            return (pair[0].0 + (pair[1].0 - pair[0].0) * part, pair[0].1 + (pair[1].1 - pair[0].1) * part);
        }
        rest -= length;
    }
    points.last().copied().unwrap_or_default()
}

/// Names that were given their place, so that no other covers them.
#[derive(Default)]
struct Taken(Vec<Rect>);

impl Taken {
    /// Takes the first free place for a text among `candidates`.
    fn first_free(
        &mut self,
        candidates: impl IntoIterator<Item = Point>,
        width: f64,
        boxes: &[Rect],
    ) -> Option<Point> {
        for (x, y) in candidates {
            let place = Rect { x, y, width: width + 4.0, height: 12.0 };
            if !self.0.iter().chain(boxes).any(|other| place.overlaps(other)) {
                self.0.push(place);
                return Some((x, y));
            }
        }
        None
    }
}
