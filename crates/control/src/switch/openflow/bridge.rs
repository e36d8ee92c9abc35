//! A bridge, as its connections share it.

use super::controllers::Target;
use super::ground::Ground;
use super::settings::BridgeSettings;
use crate::sockets::Listener;
use netloom_proto::openflow::OfPort;
use netloom_proto::openflow::message::PortDescription;
use netloom_proto::openflow::session::Election;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// What connections of a bridge share.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) name: String,
    pub(super) settings: BridgeSettings,
    pub(super) election: Election,
    /// Octets of each option of tunnels that has a field.
    pub(super) lengths: [u8; 64],
    /// Somebody wants to hear of each change of a flow.
    pub(super) monitored: bool,
    /// Ports as they were told last.
    pub(super) ports: BTreeMap<OfPort, PortDescription>,
    /// Since when they are there.
    pub(super) since: BTreeMap<OfPort, Duration>,
    pub(super) connections: BTreeSet<u64>,
    /// Controllers, and where tools come to, by target.
    pub(super) targets: BTreeMap<String, Target>,
    /// Where those come to who want to hear what others say.
    pub(super) snoop: Option<(u64, Listener)>,
    /// How many do.
    pub(super) snoop_count: usize,
    /// Controllers have been away for so long that the bridge goes on by itself.
    pub(super) fails_open: bool,
    /// When packets were counted last.
    pub(super) counted: Option<Instant>,
    /// A controller of OpenFlow 1.0 to 1.2 gets packets that no flow wants.
    pub(super) old_controllers: bool,
}

impl Side {
    pub(super) fn new(name: &str, settings: BridgeSettings) -> Self {
        Self {
            name: name.to_owned(),
            settings,
            election: Election::default(),
            lengths: [0; 64],
            monitored: false,
            ports: BTreeMap::new(),
            since: BTreeMap::new(),
            connections: BTreeSet::new(),
            targets: BTreeMap::new(),
            snoop: None,
            snoop_count: 0,
            fails_open: false,
            counted: None,
            old_controllers: false,
        }
    }

    /// Reads how long options of tunnels are that have fields.
    pub(super) fn read_lengths(&mut self, ground: &impl Ground) {
        self.lengths = [0; 64];
        let maps = ground.look(&self.name, |pipeline, _| pipeline.tlv_map().iter().collect::<Vec<_>>());
        for (field, entry) in maps.unwrap_or_default() {
            if let Some(length) = self.lengths.get_mut(usize::from(field)) {
                *length = entry.octets;
            }
        }
    }
}
