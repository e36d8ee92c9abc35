//! Rows of an Open vSwitch database as a topology.

use super::names::{Given, plain, quoted, shell};
use super::rows::{Place, Reader, Source};
use super::vlan::Said;
use netloom_wire::{MacAddr, NodeName};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Columns that only say what is, or are said by the text as a whole.
const STATUS: [(&str, &[&str]); 6] = [
    (
        "Open_vSwitch",
        &[
            "bridges",
            "cur_cfg",
            "next_cfg",
            "datapath_types",
            "datapaths",
            "db_version",
            "dpdk_initialized",
            "dpdk_version",
            "iface_types",
            "ovs_version",
            "system_type",
            "system_version",
        ],
    ),
    ("Bridge", &["name", "ports", "datapath_id", "datapath_version"]),
    ("Port", &["name", "interfaces", "bond_active_slave"]),
    (
        "Interface",
        &[
            "name",
            "admin_state",
            "duplex",
            "error",
            "ifindex",
            "mac_in_use",
            "mtu",
            "ofport",
            "status",
            "cfm_flap_count",
        ],
    ),
    ("Controller", &["is_connected", "role", "status"]),
    ("Manager", &["is_connected", "status"]),
];

/// What a bridge's OpenFlow tables have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BridgeFlows {
    /// Flows, groups and meters, a line for each, as `ovs-ofctl` writes them.
    pub lines: Vec<String>,
    /// The file into which they were written; without one they are listed in the text.
    pub file: Option<String>,
    /// Why they could not be had.
    pub missing: Option<String>,
}

/// Something that the language has no word for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// The table's name.
    pub table: String,
    /// The row's name.
    pub name: String,
    /// The column, or `column:key`; empty for the whole row.
    pub column: String,
    /// Its value.
    pub value: String,
    /// Why it is not in the topology.
    pub reason: String,
    /// The command that says it to the switch that the topology makes.
    pub command: Option<String>,
}

/// A topology that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The file.
    pub text: String,
    /// Networks.
    pub networks: usize,
    /// Ports that are interfaces of nodes or links.
    pub ports: usize,
    /// What is only in its comments.
    pub left: Vec<Left>,
    /// What ports are called in the switch that it makes, by the names that they had.
    pub named: BTreeMap<String, String>,
}

/// How a network with VLANs carries frames that are in none.
#[derive(Clone, Copy)]
struct Zero {
    /// It has VLANs.
    used: bool,
    /// The VLAN that stands for none.
    vlan: Option<u16>,
}

struct Import<'s> {
    reader: Reader<'s>,
    topology: &'s NodeName,
    given: Given,
    left: Vec<Left>,
    networks: String,
    nodes: String,
    links: String,
    counts: (usize, usize),
    /// Bridges by name: their networks.
    of_bridge: BTreeMap<String, String>,
    /// Ports by name: what they are called in the switch that the topology makes.
    of_port: BTreeMap<String, String>,
}

/// Makes a topology of a database. `flows` are those of bridges by name.
#[must_use]
pub fn import(source: &Source, topology: &NodeName, flows: &BTreeMap<String, BridgeFlows>) -> Imported {
    let mut import = Import {
        reader: Reader::new(source),
        topology,
        given: Given::default(),
        left: Vec::new(),
        networks: String::new(),
        nodes: String::new(),
        links: String::new(),
        counts: (0, 0),
        of_bridge: BTreeMap::new(),
        of_port: BTreeMap::new(),
    };
    let bridges: Vec<Place<'_>> = import.reader.rows("Bridge").collect();
    for bridge in &bridges {
        let network = import.given.node(&bridge.name());
        import.of_bridge.entry(bridge.name()).or_insert(network);
    }
    let mut seen = BTreeSet::new();
    for bridge in &bridges {
        // Names are unique in a whole database; a broken one must do no harm.
        if seen.insert(bridge.name()) {
            import.bridge(*bridge);
        }
    }
    import.everything_else();
    import.text(flows)
}

impl<'s> Import<'s> {
    fn bridge(&mut self, bridge: Place<'s>) {
        let network = self.of_bridge.get(&bridge.name()).cloned().unwrap_or_default();
        let ports = self.reader.refer(bridge, "ports", "Port");
        let said: Vec<Said> = ports.iter().map(|port| Said::of(&self.reader, *port)).collect();
        let numbers = |port: &Place<'s>| {
            self.reader.numbers(*port, "tag").into_iter().chain(self.reader.numbers(*port, "trunks"))
        };
        let named: BTreeSet<i64> = ports.iter().flat_map(numbers).collect();
        // Without VLANs ports say nothing; beside VLANs untagged frames outside of them need one of their own.
        let zero = (1..=4094_u16).find(|vlan| !named.contains(&i64::from(*vlan)));
        let zero = Zero { used: !named.is_empty(), vlan: zero.filter(|_| !named.is_empty()) };
        let _ = writeln!(self.networks, "  {}:", node_key(&network));
        let _ = writeln!(self.networks, "    description: {}", quoted(&format!("bridge {}", bridge.name())));
        let _ = writeln!(self.networks, "    mode: bridge\n    via: switch");
        let settings = self.settings(bridge);
        if !settings.is_empty() {
            let _ = writeln!(self.networks, "    bridge: {{ {} }}", settings.join(", "));
        }
        self.counts.0 += 1;
        for (port, said) in ports.into_iter().zip(said) {
            self.port(bridge, &network, port, &said, zero);
        }
    }

    /// Settings of a bridge that the language has.
    fn settings(&self, bridge: Place<'s>) -> Vec<String> {
        let reader = &self.reader;
        let mut list = Vec::new();
        let tree = reader.is_true(bridge, "rstp_enable");
        if tree {
            reader.take(bridge, "rstp_enable");
            list.push("stp: true".to_owned());
            let number = |key| reader.number(bridge, "other_config", key);
            if let Some(priority) =
                number("rstp-priority").filter(|number| *number <= 61_440 && number % 4096 == 0)
            {
                reader.take_key(bridge, "other_config", "rstp-priority");
                list.push(format!("priority: {priority}"));
            }
            // Beside each other they must fit (IEEE 802.1D-2004, 17.14); what was said alone fits the others' defaults.
            let (delay, age) = (number("rstp-forward-delay"), number("rstp-max-age"));
            let fits = 2 * (delay.unwrap_or(15).saturating_sub(1)) >= age.unwrap_or(20);
            for (key, name, value, range) in [
                ("rstp-forward-delay", "forward-delay", delay, 4..=30),
                ("rstp-max-age", "max-age", age, 6..=40),
            ] {
                if let Some(value) = value.filter(|value| fits && range.contains(value)) {
                    reader.take_key(bridge, "other_config", key);
                    list.push(format!("{name}: {value}s"));
                }
            }
        }
        if let Some(age) = reader.number(bridge, "other_config", "mac-aging-time")
            && (15..=1_000_000).contains(&age)
        {
            reader.take_key(bridge, "other_config", "mac-aging-time");
            list.push(format!("ageing: {age}s"));
        }
        if reader.is_true(bridge, "mcast_snooping_enable") {
            reader.take(bridge, "mcast_snooping_enable");
            list.push("multicast-snooping: true".to_owned());
        }
        list
    }

    fn port(&mut self, bridge: Place<'s>, network: &str, port: Place<'s>, said: &Said, zero: Zero) {
        let interfaces = self.reader.refer(port, "interfaces", "Interface");
        let [interface] = interfaces.as_slice() else {
            let members = if interfaces.is_empty() {
                "a port without interfaces"
            } else {
                "a bond: networks that are `via: switch` have none yet"
            };
            return self.whole(network, port, &interfaces, members);
        };
        let kind = interface.text("type").unwrap_or_default();
        if port.name() == bridge.name() {
            self.reader.take(*interface, "type");
            self.leave(port, "", "", "the host's own interface of the bridge: give the host or a router an interface in the network", None);
            return;
        }
        if let Said::Unsayable(mode) = said {
            let reason = format!("the language has no word for {mode}");
            return self.whole(network, port, &interfaces, &reason);
        }
        match kind.as_str() {
            "" | "system" | "internal" | "tap" | "dummy" | "dpdkvhostuser" | "dpdkvhostuserclient" => {
                self.node(network, port, *interface, &kind, said, zero);
            }
            "patch" => self.patch(bridge, network, port, *interface, said),
            other => {
                let reason = format!("the language has no ports of the type {other} at a network");
                self.whole(network, port, &interfaces, &reason);
            }
        }
    }

    /// A port whose other side becomes a node.
    fn node(
        &mut self,
        network: &str,
        port: Place<'s>,
        interface: Place<'s>,
        kind: &str,
        said: &Said,
        zero: Zero,
    ) {
        let node = self.given.node(&port.name());
        let device = Given::default().interface(&port.name());
        let reader = &self.reader;
        for column in ["tag", "trunks", "vlan_mode"] {
            reader.take(port, column);
        }
        reader.take(interface, "type");
        let mut keys = vec![format!("network: \"{network}\""), "address: none".to_owned()];
        if zero.used {
            keys.extend(said.carried(zero.vlan).keys());
        }
        if reader.is_true(port, "protected") {
            reader.take(port, "protected");
            keys.push("isolated: true".to_owned());
        }
        if let Some(mtu) =
            reader.numbers(interface, "mtu_request").first().filter(|mtu| (1280..=65_535).contains(*mtu))
        {
            reader.take(interface, "mtu_request");
            keys.push(format!("mtu: {mtu}"));
        }
        let mac = interface.text("mac").and_then(|mac| mac.parse::<MacAddr>().ok());
        if let Some(mac) = mac.filter(|mac| mac.is_unicast() && mac.to_string() != "00:00:00:00:00:00")
            && self.given_mac(&mac)
        {
            self.reader.take(interface, "mac");
            keys.push(format!("mac: \"{mac}\""));
        }
        let machine = kind.starts_with("dpdkvhostuser");
        if machine {
            let mode = if kind == "dpdkvhostuser" { "server" } else { "client" };
            keys.push(format!("socket: {{ mode: {mode} }}"));
        }
        let _ = writeln!(self.nodes, "  {}:", node_key(&node));
        let _ = writeln!(self.nodes, "    description: {}", quoted(&format!("behind port {}", port.name())));
        if machine {
            let _ = writeln!(self.nodes, "    kind: vm");
        }
        let _ = writeln!(self.nodes, "    interfaces:\n      \"{device}\": {{ {} }}", keys.join(", "));
        self.counts.1 += 1;
        self.of_port.insert(port.name(), format!("{}.{node}.{device}", self.topology));
        if zero.used && said.is_plain() {
            let reason = match zero.vlan {
                Some(vlan) => {
                    format!("untagged frames outside of all VLANs travel in VLAN {vlan}, which nobody names")
                }
                None => "untagged frames outside of all VLANs would need one of their own, and none is left"
                    .to_owned(),
            };
            self.leave(port, "vlan 0", "", &reason, None);
        }
        if matches!(interface.get("status").text_of("driver_name"), Some(driver) if !VIRTUAL.contains(&driver))
        {
            let reason = "an interface of the host's hardware: a node stands in its place; `uplink: host:NAME` at the network puts the interface there";
            self.leave(interface, "", "", reason, None);
        }
    }

    /// Whether a MAC address is given for the first time.
    fn given_mac(&mut self, mac: &MacAddr) -> bool {
        // Names of nodes have no colons, so that both fit into one set.
        self.given.first(&mac.to_string())
    }

    /// Two ports that are one cable between two bridges.
    fn patch(
        &mut self,
        bridge: Place<'s>,
        network: &str,
        port: Place<'s>,
        interface: Place<'s>,
        said: &Said,
    ) {
        let peer = interface.get("options").text_of("peer").map(str::to_owned);
        let found =
            peer.as_ref().and_then(|peer| self.reader.rows("Interface").find(|other| other.name() == *peer));
        let back = found.filter(|found| {
            found.text("type").as_deref() == Some("patch")
                && found.get("options").text_of("peer") == Some(&*interface.name())
        });
        let other_port = back.and_then(|found| {
            self.reader.rows("Port").find(|port| {
                self.reader
                    .refer(*port, "interfaces", "Interface")
                    .iter()
                    .any(|one| one.row.uuid() == found.row.uuid())
            })
        });
        let other_bridge = other_port.and_then(|other| {
            self.reader.rows("Bridge").find(|bridge| {
                self.reader
                    .refer(*bridge, "ports", "Port")
                    .iter()
                    .any(|one| one.row.uuid() == other.row.uuid())
            })
        });
        let alone = |port: Place<'s>| self.reader.refer(port, "interfaces", "Interface").len() == 1;
        let (Some(found), Some(other), Some(peer_bridge)) = (back, other_port, other_bridge) else {
            let reason = "its peer is no patch port that leads back to it";
            return self.whole(network, port, &[interface], reason);
        };
        let plain = said.is_plain() && Said::of(&self.reader, other).is_plain() && alone(other);
        let here = self.of_bridge.get(&bridge.name()).cloned();
        let there = self.of_bridge.get(&peer_bridge.name()).cloned();
        let (Some(here), Some(there)) = (here, there) else { return };
        if !plain || here == there {
            let reason = "a cable between networks has no VLANs of its own, and leads to another network";
            return self.whole(network, port, &[interface], reason);
        }
        self.reader.take(interface, "type");
        self.reader.take_key(interface, "options", "peer");
        self.counts.1 += 1;
        if interface.name() < found.name() {
            let ends = [port.name(), other.name()].map(|name| self.given.interface(&name));
            let _ = writeln!(self.links, "  - {{ link: \"{here}:{} -- {there}:{}\" }}", ends[0], ends[1]);
            for (port, (network, end)) in [(port, (&here, &ends[0])), (other, (&there, &ends[1]))] {
                self.of_port.insert(port.name(), format!("{}.{network}.{end}", self.topology));
            }
        }
    }

    /// Leaves a whole port with its interfaces to a command.
    fn whole(&mut self, network: &str, port: Place<'s>, interfaces: &[Place<'s>], reason: &str) {
        let bridge = format!("{}.{network}", self.topology);
        let names: Vec<String> = interfaces.iter().map(|interface| shell(&interface.name())).collect();
        let mut command = match names.as_slice() {
            [_] => format!("ovs-vsctl add-port {bridge} {}", shell(&port.name())),
            _ => format!("ovs-vsctl add-bond {bridge} {} {}", shell(&port.name()), names.join(" ")),
        };
        let mut said = Vec::new();
        for place in std::iter::once(&port).chain(interfaces) {
            let settings = self.reader.left(*place, status(&place.table.name));
            let mut words = String::new();
            for (column, value) in &settings {
                let base = column.split(':').next().unwrap_or(column);
                // Rows of other tables are listed by themselves.
                if matches!(base, "qos" | "external_ids") {
                    continue;
                }
                let _ = write!(words, " {}", shell(&format!("{column}={value}")));
                said.push(format!("{column}={value}"));
                match column.split_once(':') {
                    Some((map, key)) => self.reader.take_key(*place, map, key),
                    None => drop(self.reader.take(*place, base)),
                }
            }
            if !words.is_empty() {
                let _ = write!(command, " -- set {} {}{words}", place.table.name, shell(&place.name()));
            }
        }
        self.of_port.insert(port.name(), port.name());
        let members = if names.len() > 1 { format!("of {}; ", names.join(", ")) } else { String::new() };
        self.leave(port, "", &format!("{members}{}", said.join(" ")), reason, Some(command));
    }

    fn leave(&mut self, place: Place<'_>, column: &str, value: &str, reason: &str, command: Option<String>) {
        self.left.push(Left {
            table: place.table.name.to_string(),
            name: place.name(),
            column: column.to_owned(),
            value: value.to_owned(),
            reason: reason.to_owned(),
            command,
        });
    }

    /// What nobody has read.
    fn everything_else(&mut self) {
        let tables: Vec<String> = self.reader.tables().map(|table| table.name.to_string()).collect();
        for table in tables {
            let rows: Vec<Place<'s>> = self.reader.rows(&table).collect();
            for place in rows {
                for (column, value) in self.reader.left(place, status(&table)) {
                    let base = column.split(':').next().unwrap_or_default().to_owned();
                    let target = match table.as_str() {
                        "Bridge" => {
                            self.of_bridge.get(&place.name()).map(|name| format!("{}.{name}", self.topology))
                        }
                        "Port" | "Interface" => self.of_port.get(&place.name()).cloned(),
                        "Open_vSwitch" => Some(".".to_owned()),
                        _ => None,
                    };
                    let refers = place
                        .get(&base)
                        .atoms()
                        .iter()
                        .any(|atom| matches!(atom, netloom_proto::ovsdb::Atom::Uuid(_)));
                    let command = target.filter(|_| !refers).map(|target| {
                        format!(
                            "ovs-vsctl set {table} {} {}",
                            shell(&target),
                            shell(&format!("{column}={value}"))
                        )
                    });
                    self.leave(place, &column, &value, reason(&table, &base), command);
                }
            }
        }
    }

    fn text(self, flows: &BTreeMap<String, BridgeFlows>) -> Imported {
        let mut text = format!("# Made by `netloom import ovs`.\nnetloom: 1\nname: \"{}\"\n", self.topology);
        for (key, body) in [("networks", &self.networks), ("endpoints", &self.nodes), ("links", &self.links)]
        {
            if !body.is_empty() {
                let _ = write!(text, "\n{key}:\n{body}");
            }
        }
        if !self.left.is_empty() {
            text.push_str("\n# What the language does not say. Where a command stands, it says it to the switch that this file\n# makes (after `netloom apply`; `netloom ovs-vsctl` where Open vSwitch's own is not installed).\n");
        }
        for left in &self.left {
            let column =
                if left.column.is_empty() { String::new() } else { format!(" {}", plain(&left.column)) };
            let value =
                if left.value.is_empty() { String::new() } else { format!(" = {}", plain(&left.value)) };
            let _ = writeln!(
                text,
                "#\n# {} {}{column}{value}\n#   {}",
                left.table,
                plain(&left.name),
                plain(&left.reason)
            );
            if let Some(command) = &left.command {
                let _ = writeln!(text, "#   {}", plain(command));
            }
        }
        for (bridge, flows) in flows {
            let network = self.of_bridge.get(bridge).cloned().unwrap_or_else(|| plain(bridge));
            if let Some(missing) = &flows.missing {
                let _ = writeln!(text, "#\n# Flows of {}: not known\n#   {}", plain(bridge), plain(missing));
            } else if let Some(file) = &flows.file {
                let _ = writeln!(
                    text,
                    "#\n# Flows of {}: {} in {}\n#   netloom flow replace {}.{network} {}",
                    plain(bridge),
                    flows.lines.len(),
                    plain(file),
                    self.topology,
                    shell(file)
                );
            } else if !flows.lines.is_empty() {
                let _ = writeln!(
                    text,
                    "#\n# Flows of {}: OpenFlow is a program's work, the language has none",
                    plain(bridge)
                );
                for line in &flows.lines {
                    let _ = writeln!(text, "#   {}", plain(line));
                }
            }
        }
        Imported { text, networks: self.counts.0, ports: self.counts.1, left: self.left, named: self.of_port }
    }
}

/// Drivers of interfaces that no hardware is behind.
const VIRTUAL: [&str; 8] = ["tun", "tap", "veth", "openvswitch", "dummy", "bridge", "netloom", "vhost-user"];

fn status(table: &str) -> &'static [&'static str] {
    STATUS.iter().find(|(name, _)| *name == table).map_or(&[], |(_, columns)| columns)
}

/// A name as a key: text, whatever it looks like.
fn node_key(name: &str) -> String {
    format!("\"{name}\"")
}

/// Why a column is not in the topology.
fn reason(table: &str, column: &str) -> &'static str {
    match (table, column) {
        (_, "external_ids") => "labels of whoever made it; a topology puts its own there",
        ("Bridge", "controller" | "fail_mode" | "protocols" | "flow_tables")
        | ("Controller" | "Flow_Table", _) => {
            "OpenFlow is a program's work: the language has no controllers and tables"
        }
        ("Bridge", "mirrors") | ("Mirror", _) => "the language has no mirrors (`netloom mirror add` has)",
        (_, "qos") | ("QoS" | "Queue", _) => {
            "queues are chosen by flows there and by `match` in the language (`qos:`)"
        }
        (
            "Interface",
            "ingress_policing_rate"
            | "ingress_policing_burst"
            | "ingress_policing_kpkts_rate"
            | "ingress_policing_kpkts_burst",
        ) => "what is over a limit is dropped there; `qos: tbf` in the language delays it",
        ("Bridge", "stp_enable") => "the language's `stp` is rapid spanning tree",
        ("Bridge", "netflow" | "sflow" | "ipfix")
        | ("NetFlow" | "sFlow" | "IPFIX" | "Flow_Sample_Collector_Set", _) => {
            "the language has no collectors of samples"
        }
        ("Open_vSwitch", "manager_options" | "ssl") | ("Manager" | "SSL", _) => {
            "who may connect to the database is not part of a topology"
        }
        ("Bridge", "datapath_type") => "Netloom's switch has one data path",
        ("Interface", "ofport_request") => "numbers of ports are given by the switch",
        _ => "the language has no word for it",
    }
}
