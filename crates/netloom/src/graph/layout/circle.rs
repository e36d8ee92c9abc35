//! Rings and meshes: the nodes on a circle, their leaves outside of it, straight lines.

use super::{GAP_X, LETTER, Part, Point, Rect, Route, Taken, Work, along, natural, text_width};
use std::collections::BTreeMap;
use std::f64::consts::{FRAC_PI_2, TAU};

/// Most leaves of a node, and most nodes of a mesh, that a circle shows well.
const LEAVES: usize = 4;
const MESH: usize = 14;

/// Whether a part is a ring, or a mesh of nodes that are all alike.
pub(super) fn fits(work: &Work<'_>, part: &Part) -> bool {
    let count = part.inner.len();
    if count < 4 || part.inner.iter().any(|node| work.leaves(*node).len() > LEAVES) {
        return false;
    }
    let degrees: Vec<usize> = part.inner.iter().map(|node| work.inner(*node).count()).collect();
    if degrees.iter().all(|degree| *degree == 2) {
        return true;
    }
    let (least, most) =
        (degrees.iter().min().copied().unwrap_or(0), degrees.iter().max().copied().unwrap_or(0));
    let edges = degrees.iter().sum::<usize>() / 2;
    let role = work.graph.nodes[part.inner[0]].role;
    count <= MESH
        && most * 2 <= least * 3
        && edges * 10 >= count * (count - 1) / 2 * 4
        && part.inner.iter().all(|node| work.graph.nodes[*node].role == role)
        && !two_sided(work, part)
}

/// Whether the nodes fall into two sides with lines only between them: that is a fabric, not a mesh.
fn two_sided(work: &Work<'_>, part: &Part) -> bool {
    let mut side = BTreeMap::from([(part.inner[0], false)]);
    let mut queue = vec![part.inner[0]];
    while let Some(node) = queue.pop() {
        let own = side.get(&node).copied().unwrap_or(false);
        for other in work.inner(node) {
            match side.get(&other) {
                Some(its) if *its == own => return false,
                Some(_) => {}
                None => {
                    side.insert(other, !own);
                    queue.push(other);
                }
            }
        }
    }
    true
}

pub(super) fn place(work: &mut Work<'_>, part: &Part) {
    let order = around(work, part);
    let widest = part.nodes.iter().map(|node| work.boxes[*node].width).fold(0.0, f64::max);
    let count = order.len() as f64;
    // Neighbours do not touch, and a line that passes by a node does not touch it either.
    let mesh = order.iter().any(|node| work.inner(*node).count() > 2);
    let passing = if mesh { (widest / 2.0 + 24.0) / (1.0 - (TAU / count).cos()) } else { 0.0 };
    let radius = ((widest + GAP_X * 2.5) * count / TAU).max(passing.min(900.0)).max(120.0);
    for (index, node) in order.iter().enumerate() {
        let angle = TAU * index as f64 / count - FRAC_PI_2;
        let direction = (angle.cos(), angle.sin());
        work.boxes[*node].x = radius * direction.0;
        // A little flat: boxes are wider than high.
        work.boxes[*node].y = radius * 0.8 * direction.1;
        place_leaves(work, *node, direction);
    }
    let nodes: Vec<Rect> = part.nodes.iter().map(|node| work.boxes[*node]).collect();
    let mut taken = Taken::default();
    // Parallel lines run side by side.
    let mut parallel: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
    for edge in &part.edges {
        let (a, b) = (work.graph.edges[*edge].a, work.graph.edges[*edge].b);
        parallel.entry((a.min(b), a.max(b))).or_default().push(*edge);
    }
    for ((low, high), edges) in parallel {
        for (index, edge) in edges.iter().enumerate() {
            let beside = (index as f64 - (edges.len() - 1) as f64 / 2.0) * 14.0;
            let line = if low == high {
                looped(&work.boxes[low])
            } else {
                straight(&work.boxes[low], &work.boxes[high], beside)
            };
            let mut points = line;
            let it = &work.graph.edges[*edge];
            if it.a != low {
                points.reverse();
            }
            work.routes[*edge] = named(points, (&it.label_a, &it.label_b, &it.kind), &mut taken, &nodes);
        }
    }
}

/// The nodes so that linked ones stand side by side where they can.
fn around(work: &Work<'_>, part: &Part) -> Vec<usize> {
    let mut nodes = part.inner.clone();
    nodes.sort_by_cached_key(|node| natural(&work.graph.nodes[*node].name));
    if nodes.iter().any(|node| work.inner(*node).count() != 2) {
        return nodes;
    }
    let mut order = vec![nodes[0]];
    while let Some(next) = work.inner(order[order.len() - 1]).find(|other| !order.contains(other)) {
        order.push(next);
    }
    order
}

/// Puts the leaves of a node outside, in a row above or below it, or in a column at its side.
fn place_leaves(work: &mut Work<'_>, node: usize, (ux, uy): Point) {
    let leaves = work.leaves(node);
    let Some(width) = leaves.iter().map(|leaf| work.boxes[*leaf].width).reduce(f64::max) else { return };
    let height = leaves.iter().map(|leaf| work.boxes[*leaf].height).fold(0.0, f64::max);
    let beside = ux.abs() > uy.abs() + 0.1;
    let (step_x, step_y) = if beside { (0.0, height + 14.0) } else { (width + 14.0, 0.0) };
    let last = (leaves.len() - 1) as f64;
    let own = work.boxes[node];
    let reach_x = (own.width + width + step_x * last) / 2.0 + 76.0;
    let reach_y = (own.height + height + step_y * last) / 2.0 + 52.0;
    let reach = (reach_x / ux.abs().max(1e-6)).min(reach_y / uy.abs().max(1e-6));
    for (index, leaf) in leaves.iter().enumerate() {
        let offset = index as f64 - last / 2.0;
        work.boxes[*leaf].x = own.x + ux * reach + offset * step_x;
        work.boxes[*leaf].y = own.y + uy * reach + offset * step_y;
    }
}

/// The line between two boxes, `beside` pixels beside the one between their middles.
fn straight(a: &Rect, b: &Rect, beside: f64) -> Vec<Point> {
    let (dx, dy) = (b.x - a.x, b.y - a.y);
    let length = dx.hypot(dy).max(1.0);
    let (ux, uy) = (dx / length, dy / length);
    let shift = (-uy * beside, ux * beside);
    let leave = |place: &Rect, sign: f64| {
        let reach = (place.width / 2.0 / ux.abs().max(1e-6)).min(place.height / 2.0 / uy.abs().max(1e-6));
        (place.x + shift.0 + sign * ux * reach, place.y + shift.1 + sign * uy * reach)
    };
    vec![leave(a, 1.0), leave(b, -1.0)]
}

/// A line from a box to itself.
pub(super) fn looped(place: &Rect) -> Vec<Point> {
    let (x, y) = (place.right(), place.y);
    vec![(x, y - 8.0), (x + 20.0, y - 8.0), (x + 20.0, y + 8.0), (x, y + 8.0)]
}

fn named(points: Vec<Point>, (a, b, kind): (&str, &str, &str), taken: &mut Taken, boxes: &[Rect]) -> Route {
    let length: f64 =
        points.windows(2).map(|pair| (pair[1].0 - pair[0].0).hypot(pair[1].1 - pair[0].1)).sum();
    let mut name = |text: &str, letter: f64, shares: &[f64]| {
        let candidates: Vec<Point> = shares.iter().map(|share| along(&points, *share)).collect();
        (!text.is_empty()).then(|| taken.first_free(candidates, text_width(text, letter), boxes)).flatten()
    };
    // From just outside of the box towards the middle.
    let steps: Vec<f64> = (1..40)
        .map(|step| f64::from(step) * 4.0 / length.max(1.0))
        .take_while(|share| *share < 0.46)
        .collect();
    let back: Vec<f64> = steps.iter().map(|share| 1.0 - share).collect();
    let label_a = name(a, LETTER.2, &steps);
    let label_b = name(b, LETTER.2, &back);
    let kind = name(kind, LETTER.3, &[0.5, 0.42, 0.58, 0.34, 0.66]);
    Route { label_a, label_b, kind, points }
}
