//! Netloom's own switch and its ports, as objects: what stands for a bridge and its ports where the kernel's do not.
//!
//! The interface behind a port is a link of its own, of kind TAP; the port is the other side of its descriptor.

use super::PortVlan;
use netloom_wire::NodeName;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switch {
    /// Something carries its frames now. Wanted always; observed as false when the program that does it has died.
    pub running: bool,
}

/// A port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchPort {
    /// The network whose switch it is a port of.
    pub network: NodeName,
    /// It reaches only ports that are not isolated.
    pub isolated: bool,
    /// Its VLANs, if the switch keeps VLANs apart. At most one is for frames without a tag, in both directions.
    pub vlans: Option<BTreeSet<PortVlan>>,
    /// Its simulated link, as options of the port; empty without one.
    #[serde(default)]
    pub link: BTreeMap<String, String>,
    /// It holds its interface now. Wanted always.
    pub open: bool,
}

impl SwitchPort {
    /// `delay-in=20ms loss-out=1%`, or `none`.
    #[must_use]
    pub fn link_in_words(&self) -> String {
        let words: Vec<String> = self.link.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if words.is_empty() { "none".to_owned() } else { words.join(" ") }
    }

    /// `10 untagged, 20, 21`, or `not kept apart`.
    #[must_use]
    pub fn vlans_in_words(&self) -> String {
        let word = |vlan: &PortVlan| format!("{}{}", vlan.id, if vlan.pvid { " untagged" } else { "" });
        match &self.vlans {
            None => "not kept apart".to_owned(),
            Some(vlans) if vlans.is_empty() => "none".to_owned(),
            Some(vlans) => vlans.iter().map(word).collect::<Vec<_>>().join(", "),
        }
    }
}
