//! The VLANs of a port, in Open vSwitch's words and in the language's.

use super::rows::{Place, Reader};
use std::collections::BTreeSet;

/// Highest VLAN.
const LAST: u16 = 4094;

/// What a port of Open vSwitch says (ovs-vswitchd.conf.db(5), `vlan_mode`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// Untagged frames, in one VLAN.
    Access(u16),
    /// Tagged frames of these VLANs (all without a list), and untagged ones in the VLAN of their own if there is one.
    Trunk { native: Option<u16>, list: Option<BTreeSet<u16>> },
    /// What the language has no word for.
    Unsayable(String),
}

/// Which VLANs a port carries: that of its untagged frames, and those of tagged ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Carried {
    pub(super) untagged: Option<u16>,
    pub(super) tagged: BTreeSet<u16>,
}

impl Said {
    pub(super) fn of(reader: &Reader<'_>, port: Place<'_>) -> Self {
        let number = |number: &i64| u16::try_from(*number).ok();
        let tag = reader.numbers(port, "tag").first().and_then(number);
        let list: BTreeSet<u16> = reader.numbers(port, "trunks").iter().filter_map(number).collect();
        let mode = port.text("vlan_mode");
        let mode = match (mode.as_deref(), tag) {
            (Some(mode), _) => mode.to_owned(),
            (None, Some(_)) if list.is_empty() => "access".to_owned(),
            (None, Some(_)) => "native-tagged".to_owned(),
            (None, None) => "trunk".to_owned(),
        };
        let all = reader.numbers(port, "tag").into_iter().chain(reader.numbers(port, "trunks"));
        if all.into_iter().any(|vlan| !(0..=4095).contains(&vlan)) {
            return Self::Unsayable("VLANs outside of 0 to 4095".to_owned());
        }
        let some = |list: BTreeSet<u16>| if list.is_empty() { None } else { Some(list) };
        match (mode.as_str(), tag) {
            // A tag of 0 is what ports have that are not in a VLAN.
            ("access", Some(tag @ 1..=LAST)) => Self::Access(tag),
            ("trunk", _) if !list.contains(&0) && !list.contains(&4095) => {
                Self::Trunk { native: None, list: some(list) }
            }
            ("native-untagged", Some(tag @ 1..=LAST)) if !list.contains(&0) && !list.contains(&4095) => {
                Self::Trunk { native: Some(tag), list: some(list) }
            }
            (mode, _) => {
                let tag = tag.map_or_else(String::new, |tag| format!(" with tag {tag}"));
                Self::Unsayable(format!("vlan_mode {mode}{tag}"))
            }
        }
    }

    /// Whether it is a port that nobody has said anything about.
    pub(super) const fn is_plain(&self) -> bool {
        matches!(self, Self::Trunk { native: None, list: None })
    }

    /// What it carries; `zero` is the VLAN that stands for untagged frames outside of all VLANs.
    pub(super) fn carried(&self, zero: Option<u16>) -> Carried {
        match self {
            Self::Access(tag) => Carried { untagged: Some(*tag), tagged: BTreeSet::new() },
            Self::Trunk { native, list } => {
                let untagged = native.or(zero.filter(|_| list.is_none()));
                let mut tagged = list.clone().unwrap_or_else(|| (1..=LAST).collect());
                tagged.retain(|vlan| Some(*vlan) != untagged && (list.is_some() || Some(*vlan) != zero));
                Carried { untagged, tagged }
            }
            Self::Unsayable(_) => Carried::default(),
        }
    }
}

impl Carried {
    /// Keys of an interface in the language.
    pub(super) fn keys(&self) -> Vec<String> {
        match (self.untagged, self.tagged.is_empty()) {
            (Some(vlan), true) => vec![format!("vlan: {vlan}")],
            (native, _) => {
                // The language counts the VLAN of untagged frames among those of the trunk.
                let all: BTreeSet<u16> = self.tagged.iter().copied().chain(native).collect();
                let native = native.map(|native| format!("native: {native}"));
                let trunk = (!all.is_empty()).then(|| format!("trunk: [{}]", ranges(&all)));
                native.into_iter().chain(trunk).collect()
            }
        }
    }
}

/// Numbers as a list of ranges.
fn ranges(set: &BTreeSet<u16>) -> String {
    let mut list: Vec<(u16, u16)> = Vec::new();
    for number in set {
        match list.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => list.push((*number, *number)),
        }
    }
    // The language has a text there, also for one number.
    let words =
        list.iter().map(
            |(first, last)| {
                if first == last { format!("\"{first}\"") } else { format!("\"{first}-{last}\"") }
            },
        );
    words.collect::<Vec<_>>().join(", ")
}
