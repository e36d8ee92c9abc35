//! What a bridge knows and was not told: for a successor that is told the same.
//!
//! Invariants: times are on the clock that the bridge was given; whoever takes a state over must go on with that clock.
//! What the configuration says is no part of it.

use super::Bridge;
use super::monitors::Watch;
use crate::bond::BondState;
use crate::decision::Effects;
use crate::fdb::Station;
use crate::lldp::Neighbours;
use crate::rstp::Tree;
use crate::snoop::Snooping;
use netloom_mem::PortNumber;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a bridge has learned.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BridgeState {
    /// VLAN and address in one word, port, when it was heard last, and whether it was set by hand.
    stations: Vec<(u64, PortNumber, u64, bool)>,
    /// Ports where a station found no room.
    full: Vec<PortNumber>,
    bonds: BTreeMap<PortNumber, BondState>,
    snooping: Snooping,
    tree: Option<Tree>,
    neighbours: Neighbours,
    #[serde(default)]
    watched: BTreeMap<PortNumber, Watch>,
}

impl Bridge {
    /// What it has learned. To be asked right after [`Bridge::tick`]: what is to be done at the next tick is left out.
    #[must_use]
    pub fn state(&self) -> BridgeState {
        let stations =
            self.fdb.tagged().map(|(tag, station)| (tag, station.port, station.heard, station.fixed));
        BridgeState {
            stations: stations.collect(),
            full: self.fdb.full().collect(),
            bonds: self.bonds.iter().map(|(number, bond)| (*number, bond.knowledge())).collect(),
            snooping: self.snooping.clone(),
            tree: self.tree.clone(),
            neighbours: self.neighbours.clone(),
            watched: self.watched.clone(),
        }
    }

    /// Goes on with what another bridge with the same options and ports has learned. All flows that were not made with it
    /// are to be taken back after that.
    pub fn restore(&mut self, state: BridgeState) {
        let BridgeState { stations, full, bonds, snooping, tree, neighbours, watched } = state;
        for (tag, port, heard, fixed) in stations {
            if self.ports.contains_key(&port) {
                self.fdb.restore(tag, Station { port, heard, fixed });
            }
        }
        self.fdb.restore_full(full);
        for (number, state) in bonds {
            if let Some(bond) = self.bonds.get_mut(&number) {
                bond.restore(state);
            }
        }
        (self.snooping, self.neighbours) = (snooping, neighbours);
        for (number, watch) in watched {
            if let Some(place) = self.watched.get_mut(&number) {
                *place = watch;
                self.unsettled = true;
            }
        }
        if let (Some(own), Some(other)) = (&self.tree, &tree)
            && own.options() == other.options()
            && own.ports().eq(other.ports())
        {
            self.tree = tree;
            // What this tree wanted to say as a new one.
            self.late = Effects::default();
        }
    }
}

/// Maps as lists of pairs, for formats whose keys are texts.
pub(crate) mod pairs {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::collections::BTreeMap;

    pub(crate) fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub(crate) fn deserialize<'de, K, V, D>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: Deserialize<'de> + Ord,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Ok(Vec::<(K, V)>::deserialize(deserializer)?.into_iter().collect())
    }
}
