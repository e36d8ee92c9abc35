//! A topology as a graph: inner nodes, cables between them, and the inner node of each host.

/// An inner node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Inner {
    /// What it is called, before its number.
    pub(super) role: &'static str,
    /// The same, short enough for an interface name.
    pub(super) short: &'static str,
    /// Its number among those of its role, from 1.
    pub(super) number: usize,
}

/// The graph.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// The nodes; the first one becomes the root of a spanning tree.
    pub(super) inner: Vec<Inner>,
    /// Pairs of places in `inner`; the first one owns the addresses of the cable.
    pub(super) cables: Vec<(usize, usize)>,
    /// For each host the place of its inner node.
    pub(super) hosts: Vec<usize>,
    /// Every inner node has two cables, and they form one circle.
    pub(super) ring: bool,
}

impl Shape {
    /// Adds `count` nodes of a role, and tells their places.
    pub(super) fn add(
        &mut self,
        role: &'static str,
        short: &'static str,
        count: usize,
    ) -> std::ops::Range<usize> {
        let first = self.inner.len();
        self.inner.extend((1..=count).map(|number| Inner { role, short, number }));
        first..self.inner.len()
    }

    /// Adds `each` hosts at every node of `places`.
    pub(super) fn hosts_at(&mut self, places: impl IntoIterator<Item = usize>, each: usize) {
        self.hosts.extend(places.into_iter().flat_map(|place| std::iter::repeat_n(place, each)));
    }

    /// Whether there is a circle; the graph is connected.
    pub(super) fn is_looped(&self) -> bool {
        self.cables.len() >= self.inner.len()
    }

    /// For each node its neighbours and the cables to them.
    pub(super) fn neighbours(&self) -> Vec<Vec<(usize, usize)>> {
        let mut neighbours = vec![Vec::new(); self.inner.len()];
        for (cable, (a, b)) in self.cables.iter().enumerate() {
            neighbours[*a].push((*b, cable));
            neighbours[*b].push((*a, cable));
        }
        neighbours
    }
}
