//! Options that Open vSwitch has too: which column or key is which, and how each value is written
//! (`ovs-vswitchd.conf.db(5)`).

use super::{Atom, Columns, Value, integer, key, put};
use crate::switch::words::{span, truth, vlans};
use netloom_model::scalar::{Rate, Size};

/// What keys of our own begin with.
pub(super) const OWN: &str = "netloom-";

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Truth,
    Text,
    Number,
    /// `300s` is 300.
    Seconds,
    /// `50ms` is 50.
    Milliseconds,
    /// `10mbit` is 10000.
    Kilobits,
    /// `125kb` is 1000.
    KilobitSize,
    /// `2000pps` is 2.
    Kilopackets,
    /// `2000` is 2.
    Thousands,
    /// A list is a set of numbers.
    Vlans,
}

/// An option and its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Native {
    pub(super) option: &'static str,
    column: &'static str,
    /// In a column of texts.
    key: Option<&'static str>,
    kind: Kind,
}

const fn column(option: &'static str, column: &'static str, kind: Kind) -> Native {
    Native { option, column, key: None, kind }
}

const fn other(option: &'static str, key: &'static str, kind: Kind) -> Native {
    Native { option, column: "other_config", key: Some(key), kind }
}

const fn bfd(option: &'static str, key: &'static str) -> Native {
    Native { option, column: "bfd", key: Some(key), kind: Kind::Text }
}

pub(super) const BRIDGE: &[Native] = &[
    column("datapath-type", "datapath_type", Kind::Text),
    other("stations", "mac-table-size", Kind::Number),
    other("ageing", "mac-aging-time", Kind::Seconds),
    other("forward-link-local", "forward-bpdu", Kind::Truth),
    other("address", "hwaddr", Kind::Text),
    column("snooping", "mcast_snooping_enable", Kind::Truth),
    column("rstp", "rstp_enable", Kind::Truth),
    other("priority", "rstp-priority", Kind::Number),
    other("max-age", "rstp-max-age", Kind::Seconds),
    other("forward-delay", "rstp-forward-delay", Kind::Seconds),
    column("flooded", "flood_vlans", Kind::Vlans),
];

pub(super) const PORT: &[Native] = &[
    column("isolated", "protected", Kind::Truth),
    other("stp", "rstp-enable", Kind::Truth),
    other("cost", "rstp-path-cost", Kind::Number),
    other("stp-priority", "rstp-port-priority", Kind::Number),
    other("edge", "rstp-port-admin-edge", Kind::Truth),
];

pub(super) const BOND: &[Native] = &[
    other("lacp-rate", "lacp-time", Kind::Text),
    other("lacp-priority", "lacp-system-priority", Kind::Number),
    other("fallback", "lacp-fallback-ab", Kind::Truth),
    other("primary", "bond-primary", Kind::Text),
    column("up-delay", "bond_updelay", Kind::Milliseconds),
];

pub(super) const INTERFACE: &[Native] = &[
    Native { option: "lldp", column: "lldp", key: Some("enable"), kind: Kind::Truth },
    column("mtu", "mtu_request", Kind::Number),
    column("mac-address", "mac", Kind::Text),
    column("rate", "ingress_policing_rate", Kind::Kilobits),
    column("burst", "ingress_policing_burst", Kind::KilobitSize),
    column("packet-rate", "ingress_policing_kpkts_rate", Kind::Kilopackets),
    column("packet-burst", "ingress_policing_kpkts_burst", Kind::Thousands),
    bfd("bfd", "enable"),
    bfd("bfd-min-tx", "min_tx"),
    bfd("bfd-min-rx", "min_rx"),
    bfd("bfd-decay-min-rx", "decay_min_rx"),
    bfd("bfd-forwarding-if-rx", "forwarding_if_rx"),
    bfd("bfd-path-down", "cpath_down"),
    bfd("bfd-check-key", "check_tnl_key"),
    bfd("bfd-mult", "mult"),
    bfd("bfd-oam", "oam"),
    bfd("bfd-local-src-mac", "bfd_local_src_mac"),
    bfd("bfd-local-dst-mac", "bfd_local_dst_mac"),
    bfd("bfd-remote-dst-mac", "bfd_remote_dst_mac"),
    bfd("bfd-src-ip", "bfd_src_ip"),
    bfd("bfd-dst-ip", "bfd_dst_ip"),
    column("cfm", "cfm_mpid", Kind::Number),
    other("cfm-interval", "cfm_interval", Kind::Text),
    other("cfm-extended", "cfm_extended", Kind::Text),
    other("cfm-demand", "cfm_demand", Kind::Text),
    other("cfm-opstate", "cfm_opstate", Kind::Text),
    other("cfm-vlan", "cfm_ccm_vlan", Kind::Text),
    other("cfm-pcp", "cfm_ccm_pcp", Kind::Text),
];

pub(super) const MIRROR: &[Native] = &[
    column("vlan", "select_vlan", Kind::Vlans),
    column("output-vlan", "output_vlan", Kind::Number),
    column("snaplen", "snaplen", Kind::Number),
];

/// Whether an option of a port concerns its interface, not what the bridge makes of it.
pub(super) fn of_interface(option: &str) -> bool {
    ["rate-out", "burst-out"].contains(&option) || INTERFACE.iter().any(|native| native.option == option)
}

/// How an option stands in columns.
pub(super) enum Written {
    /// It means the same to Open vSwitch, and comes back as it was.
    Native,
    /// It means the same, but the way it was written has to be kept.
    Also,
    /// Open vSwitch can't say it.
    No,
}

impl Native {
    fn stored(&self, text: &str) -> Option<Value> {
        let whole = |number: u64, unit: u64| {
            number.is_multiple_of(unit).then(|| i64::try_from(number / unit).ok()).flatten()
        };
        let number = match self.kind {
            Kind::Truth => {
                let truth = truth(self.option, text).ok()?;
                return Some(match self.key {
                    Some(_) => super::text(&truth.to_string()),
                    None => Value::Atom(Atom::Truth(truth)),
                });
            }
            Kind::Text => return Some(super::text(text)),
            Kind::Vlans => {
                let set = vlans(text).ok()?;
                let set = (0..4096_u16).filter(|vlan| set.has(*vlan));
                return Some(Value::Set(set.map(|vlan| Atom::Integer(vlan.into())).collect()));
            }
            Kind::Number => text.parse().ok()?,
            Kind::Seconds => match text.parse() {
                Ok(number) => number,
                Err(_) => whole(span(self.option, text).ok()?, 1_000_000_000)?,
            },
            Kind::Milliseconds => whole(span(self.option, text).ok()?, 1_000_000)?,
            Kind::Kilobits => whole(text.parse::<Rate>().ok()?.bits_per_second(), 1000)?,
            // A number alone may be a number of packets.
            Kind::KilobitSize if text.ends_with(|last: char| last.is_ascii_alphabetic()) => {
                whole(text.parse::<Size>().ok()?.bytes(), 125)?
            }
            Kind::KilobitSize => return None,
            Kind::Kilopackets => whole(text.strip_suffix("pps")?.trim().parse().ok()?, 1000)?,
            Kind::Thousands => whole(text.parse().ok()?, 1000)?,
        };
        Some(if self.key.is_some() { super::text(&number.to_string()) } else { integer(number) })
    }

    /// The usual way to write what is stored.
    fn usual(&self, stored: &Value) -> Option<String> {
        let number = match stored {
            Value::Atom(Atom::Truth(truth)) => return Some(truth.to_string()),
            Value::Atom(Atom::Text(text)) => text.clone(),
            Value::Atom(Atom::Integer(number)) => number.to_string(),
            Value::Set(set) => {
                let number = |atom: &Atom| match atom {
                    Atom::Integer(number) => Some(*number),
                    _ => None,
                };
                return Some(super::ranges(&set.iter().filter_map(number).collect::<Vec<_>>()));
            }
            Value::Map(_) => return None,
        };
        Some(match self.kind {
            Kind::Seconds => format!("{number}s"),
            Kind::Milliseconds => format!("{number}ms"),
            Kind::Kilobits => format!("{number}kbit"),
            Kind::Kilopackets => format!("{number}000pps"),
            Kind::Thousands => format!("{number}000"),
            Kind::KilobitSize => format!("{}b", number.parse::<u64>().ok()?.checked_mul(125)?),
            _ => number,
        })
    }

    /// Whether it is what a column holds that nobody wrote to.
    fn is_default(&self, stored: &Value) -> bool {
        self.key.is_none()
            && match stored {
                Value::Atom(Atom::Truth(truth)) => !truth,
                Value::Atom(Atom::Integer(number)) => *number == 0,
                Value::Set(set) => set.is_empty(),
                Value::Atom(Atom::Text(text)) => text.is_empty(),
                Value::Map(_) => false,
            }
    }

    fn found(&self, columns: &Columns) -> Option<Value> {
        let found = match self.key {
            Some(name) => key(columns, self.column, name).map(super::text),
            None => columns.get(self.column).cloned(),
        };
        // An optional value comes as a set of one.
        match found {
            Some(Value::Atom(atom)) if self.kind == Kind::Vlans => Some(Value::Set([atom].into())),
            Some(Value::Set(set)) if self.kind != Kind::Vlans => set.into_iter().next().map(Value::Atom),
            found => found,
        }
        .filter(|stored| !self.is_default(stored))
    }

    /// Writes an option.
    pub(super) fn write(&self, columns: &mut Columns, text: &str) -> Written {
        let Some(stored) = self.stored(text) else { return Written::No };
        if self.is_default(&stored) {
            return Written::Also;
        }
        let is_usual = self.usual(&stored).as_deref() == Some(text);
        match (self.key, stored) {
            (Some(name), Value::Atom(Atom::Text(value))) => put(columns, self.column, name, &value),
            (_, stored) => {
                columns.insert(self.column.to_owned(), stored);
            }
        }
        if is_usual { Written::Native } else { Written::Also }
    }

    /// Reads an option; `kept` is how it was written here.
    pub(super) fn read(&self, columns: &Columns, kept: Option<String>) -> Option<String> {
        let found = self.found(columns);
        let meant =
            kept.as_deref().and_then(|text| self.stored(text)).filter(|stored| !self.is_default(stored));
        match (found, kept) {
            // Somebody who knows nothing of us changed it.
            (Some(found), kept) if meant.as_ref() != Some(&found) => self.usual(&found).or(kept),
            // Somebody took it away.
            (None, _) if meant.is_some() => None,
            (_, kept) => kept.or_else(|| meant.and_then(|meant| self.usual(&meant))),
        }
    }
}
