//! Random topologies that are right, and random changes of them.
//!
//! What: a [`Recipe`] is a list of independent [`Piece`]s (a switch with nodes, an overlay, a fabric ...) and
//! what stands above them (policies, forwards, shaping, tests). [`Recipe::text`] writes it as a file in the
//! language; [`topology`] gives the topology as it is read from that file, before expansion.
//!
//! Invariants: every recipe is valid and without warnings (tested); each piece has names (`p7-...`) and
//! addresses (`10.7.0.0/16`) of its own, so that removing or changing one changes nothing of the others; small
//! recipes are tried first when a property fails. All modes of networks, all kinds of links, generators,
//! policies and qos occur (a test counts them).
//!
//! ```
//! use netloom_testkit::topologies::{Palette, edits};
//! use proptest::strategy::{Strategy, ValueTree};
//! use proptest::test_runner::TestRunner;
//!
//! let mut runner = TestRunner::deterministic();
//! let versions = edits(Palette::common(), 6, 2).new_tree(&mut runner).unwrap().current();
//! assert_eq!(versions.len(), 3);
//! ```

mod piece;
mod write;

pub use piece::{Piece, Shape};

use netloom_model::document::{Format, Structure, decode_with};
use netloom_model::scalar::check_format;
use netloom_model::source::SourceFile;
use netloom_model::topology::Topology;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

/// What may occur.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Palette {
    /// Kinds that small kernels lack: vlan, ipvlan, geneve, gre, gretap, wireguard, dummy, bond, vrf, ifb.
    pub rare_kinds: bool,
    /// Delay, jitter, loss and what else needs netem.
    pub media: bool,
}

impl Palette {
    /// Everything of the language.
    #[must_use]
    pub const fn every() -> Self {
        Self { rare_kinds: true, media: true }
    }

    /// What every kernel with bridges, veth, macvlan, VXLAN and taps can do.
    #[must_use]
    pub const fn common() -> Self {
        Self { rare_kinds: false, media: false }
    }
}

/// What a topology is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// The pieces, each with the number that its names and addresses are made from.
    pub pieces: BTreeMap<u8, Piece>,
    /// What stands above the pieces.
    pub above: Above,
}

/// What stands above the pieces. Numbers choose among what the pieces offer, modulo how much there is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Above {
    /// Policies: for each rule stance, from, to, services.
    pub rules: Vec<(u8, u8, u8, u8)>,
    /// Default stance of the policies, if there are any.
    pub default: u8,
    /// Shaping: for each the interface and the kind.
    pub qos: Vec<(u8, u8)>,
    /// Port mappings: for each the router or network and the port.
    pub forwards: Vec<(u8, u8)>,
    /// Tests: verb, from, to.
    pub tests: Vec<(u8, u8, u8)>,
    /// Names of groups and their members.
    pub groups: Vec<(u8, u8)>,
    /// MTU and sysctls for all.
    pub defaults: bool,
}

impl Recipe {
    /// The recipe as a file in YAML.
    #[must_use]
    pub fn text(&self) -> String {
        write::file(self)
    }

    /// The topology, before expansion.
    #[must_use]
    pub fn topology(&self) -> Topology {
        static STRUCTURE: OnceLock<Structure> = OnceLock::new();
        let structure = STRUCTURE.get_or_init(Structure::of::<Topology>);
        let source = SourceFile::new("random.yaml", self.text());
        match decode_with(structure, &source, Format::Yaml, &BTreeMap::new(), &check_format) {
            Ok((topology, _)) => topology,
            Err(found) => {
                unreachable!("a recipe is valid:\n{}{}", found.render(&source, false), source.text())
            }
        }
    }
}

fn above() -> impl Strategy<Value = Above> {
    (
        vec(any::<(u8, u8, u8, u8)>(), 0..6),
        any::<u8>(),
        vec(any::<(u8, u8)>(), 0..4),
        vec(any::<(u8, u8)>(), 0..3),
        vec(any::<(u8, u8, u8)>(), 0..6),
        vec(any::<(u8, u8)>(), 0..4),
        any::<bool>(),
    )
        .prop_map(|(rules, default, qos, forwards, tests, groups, defaults)| Above {
            rules,
            default,
            qos,
            forwards,
            tests,
            groups,
            defaults,
        })
}

/// Recipes with up to `pieces` pieces.
pub fn recipe(palette: Palette, pieces: usize) -> impl Strategy<Value = Recipe> {
    let numbered = vec((0u8..200, piece::piece(palette)), 1..=pieces.max(1));
    (numbered, above()).prop_map(|(numbered, above)| Recipe { pieces: numbered.into_iter().collect(), above })
}

/// Topologies of everything that the language has, up to some hundred nodes.
pub fn topology() -> impl Strategy<Value = Topology> {
    recipe(Palette::every(), 24).prop_map(|recipe| recipe.topology())
}

/// A change of a recipe.
#[derive(Debug, Clone)]
pub enum Edit {
    /// Adds a piece, or replaces the one with this number.
    Put(u8, Piece),
    /// Removes a piece, counted modulo their number; the last one stays.
    Remove(u8),
    /// Changes a piece, counted modulo their number, to one nearby.
    Vary(u8, u8),
    /// Changes what stands above.
    Above(Box<Above>),
}

impl Edit {
    /// The recipe after the change.
    #[must_use]
    pub fn apply(&self, recipe: &Recipe) -> Recipe {
        let mut recipe = recipe.clone();
        let chosen = |pieces: &BTreeMap<u8, Piece>, number: &u8| {
            pieces.keys().nth(usize::from(*number) % pieces.len().max(1)).copied()
        };
        match self {
            Self::Put(number, piece) => {
                recipe.pieces.insert(*number, piece.clone());
            }
            Self::Remove(number) => {
                if recipe.pieces.len() > 1
                    && let Some(key) = chosen(&recipe.pieces, number)
                {
                    recipe.pieces.remove(&key);
                }
            }
            Self::Vary(number, how) => {
                if let Some(key) = chosen(&recipe.pieces, number)
                    && let Some(piece) = recipe.pieces.get_mut(&key)
                {
                    piece.vary(*how);
                }
            }
            Self::Above(above) => recipe.above = (**above).clone(),
        }
        recipe
    }
}

/// Random changes.
pub fn edit(palette: Palette) -> impl Strategy<Value = Edit> {
    prop_oneof![
        (0u8..200, piece::piece(palette)).prop_map(|(number, piece)| Edit::Put(number, piece)),
        any::<u8>().prop_map(Edit::Remove),
        any::<(u8, u8)>().prop_map(|(number, how)| Edit::Vary(number, how)),
        above().prop_map(|above| Edit::Above(Box::new(above))),
    ]
}

/// A recipe of up to `pieces` pieces and what it becomes by `changes` changes, one after the other.
pub fn edits(palette: Palette, pieces: usize, changes: usize) -> impl Strategy<Value = Vec<Recipe>> {
    (recipe(palette, pieces), vec(edit(palette), changes)).prop_map(|(first, edits)| {
        let mut versions = vec![first];
        for edit in edits {
            if let Some(last) = versions.last() {
                versions.push(edit.apply(last));
            }
        }
        versions
    })
}

/// The names of what occurs in a topology: modes, kinds and sections, for counting coverage.
#[must_use]
pub fn features(topology: &Topology) -> BTreeSet<String> {
    let word = |value: &dyn erased::Word| value.word();
    let mut found = BTreeSet::new();
    for network in topology.networks.values() {
        found.insert(format!("mode {}", word(&network.mode)));
    }
    for item in &topology.links {
        found.insert(format!("kind {}", word(&item.value.0.kind)));
        found.extend(item.value.0.medium.as_ref().map(|_| "medium".to_owned()));
    }
    for item in &topology.generate {
        found.insert(format!("generate {}", word(&item.value.kind.value)));
    }
    for node in topology.endpoints.values().chain(topology.routers.values()) {
        let parts = [
            ("replicas", node.replicas.is_some()),
            ("routes", !node.routes.is_empty()),
            ("nexthops", node.routes.iter().any(|route| !route.nexthops.is_empty())),
            ("rules", !node.rules.is_empty()),
            ("vrfs", !node.vrfs.is_empty()),
            ("firewall", node.firewall.is_some()),
            ("masquerade", !node.masquerade.is_empty()),
            ("sysctls", !node.sysctls.is_empty()),
            ("vlan", node.interfaces.values().any(|interface| interface.vlan.is_some())),
            ("trunk", node.interfaces.values().any(|interface| !interface.trunk.is_empty())),
        ];
        found.extend(parts.iter().filter(|(_, there)| *there).map(|(name, _)| (*name).to_owned()));
    }
    for item in &topology.qos {
        let kinds = [
            ("qos htb", item.htb.is_some()),
            ("qos tbf", item.tbf.is_some()),
            ("qos bandwidth", item.bandwidth.is_some()),
        ];
        found.extend(kinds.iter().filter(|(_, there)| *there).map(|(name, _)| (*name).to_owned()));
    }
    let sections = [
        ("policies", topology.policies.is_some()),
        ("forwards", !topology.forwards.is_empty()),
        ("groups", !topology.groups.is_empty()),
        ("tests", !topology.tests.is_empty()),
        ("defaults", !topology.defaults.is_empty()),
    ];
    found.extend(sections.iter().filter(|(_, there)| *there).map(|(name, _)| (*name).to_owned()));
    found
}

mod erased {
    /// A value of the language that is one word.
    pub(super) trait Word {
        fn word(&self) -> String;
    }

    impl<T: serde::Serialize> Word for T {
        fn word(&self) -> String {
            match serde_json::to_value(self) {
                Ok(serde_json::Value::String(word)) => word,
                _ => String::new(),
            }
        }
    }
}
