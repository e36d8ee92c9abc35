//! What the user asked for, as it is kept on disk: switches, and ports with their options as `name=value`.

use super::watches;
use super::words::{list, macs, prefixes, rate, span, truth, vlan, vlans};
use netloom_vswitch::rstp::PortOptions;
use netloom_vswitch::{BridgeOptions, Copies, Guard, Mirror, Port, Prefix, TreeSettings, Vlan, VlanSet};
use netloom_wire::MacAddr;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Options of a port or a switch, by name.
pub type Options = BTreeMap<String, String>;

/// Everything that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SwitchConfiguration {
    /// Options of each switch.
    pub switches: BTreeMap<String, Options>,
    /// Ports by name.
    pub ports: BTreeMap<String, PortConfiguration>,
    /// Options of mirrors by switch and name.
    #[serde(default)]
    pub mirrors: BTreeMap<String, BTreeMap<String, Options>>,
}

/// One port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortConfiguration {
    /// Its switch.
    pub switch: String,
    /// Its number in the data path, which it keeps.
    pub number: u32,
    /// Its options.
    pub options: Options,
}

/// Options that the bridge understands; all others are the driver's.
const BRIDGE_OPTIONS: &[&str] = &[
    "vlan",
    "trunk",
    "native",
    "native-tagged",
    "tunnel",
    "isolated",
    "learning",
    "flooding",
    "stations",
    "enabled",
    "mac",
    "macs",
    "ip",
    "forged",
    "promiscuous",
    "dhcp-server",
    "router",
    "multicast-router",
    "fast-leave",
    "lldp",
    "stp",
    "edge",
    "bpdu-guard",
    "cost",
    "stp-priority",
    "rate",
    "burst",
    "packet-rate",
    "packet-burst",
    "storm",
    "storm-burst",
    "rate-out",
    "burst-out",
    // Of the interface, but not fixed when it is opened.
    "mtu",
    "mac-address",
];

/// Whether an option is the driver's: neither the bridge's nor of a simulated link.
pub(super) fn is_drivers(option: &str) -> bool {
    !BRIDGE_OPTIONS.contains(&option) && !super::links::is_link(option) && !watches::OPTIONS.contains(&option)
}

/// Options of a switch.
const SWITCH_OPTIONS: &[&str] = &[
    "stations",
    "ageing",
    "forward-link-local",
    "flooded",
    "address",
    "snooping",
    "querier",
    "query-interval",
    "rstp",
    "lldp",
    "priority",
    "hello",
    "max-age",
    "forward-delay",
    // Its data path, as Open vSwitch names it: `netdev`, or `dummy` for tests.
    "datapath-type",
    // Whose it is.
    "topology",
];
/// Options of a mirror.
const MIRROR_OPTIONS: &[&str] = &[
    "ports",
    "from",
    "to",
    "vlan",
    "output",
    "output-vlan",
    "snaplen",
    // Of copies for a collector: see `mirrors`.
    "remote",
    "local",
    "via",
    "mac",
    "from-mac",
    "tag",
    "form",
    "session",
    "index",
    "hardware",
    "key",
    "ttl",
    "dscp",
    "mtu",
];

fn known(options: &Options, names: &[&str]) -> Result<(), String> {
    match options.keys().find(|name| !names.contains(&name.as_str())) {
        Some(unknown) => Err(format!("there is no option `{unknown}`; there are {}", names.join(", "))),
        None => Ok(()),
    }
}

fn count(name: &str, text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("`{name}={text}`: a number"))
}

/// Gives a switch an address of its own, which it keeps.
pub(super) fn address(options: &mut Options, name: &str, seed: u64) {
    if !options.contains_key("address") {
        let hash = name.bytes().fold(seed, |hash, octet| {
            (hash.rotate_left(5) ^ u64::from(octet)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        });
        options.insert("address".to_owned(), MacAddr::local_from_hash(hash).to_string());
    }
}

/// A switch's options.
pub(super) fn bridge(options: &Options) -> Result<BridgeOptions, String> {
    known(options, SWITCH_OPTIONS)?;
    let mut bridge = BridgeOptions::default();
    for (name, text) in options {
        match name.as_str() {
            "stations" => bridge.stations = count(name, text)?,
            "ageing" => bridge.ageing = span(name, text)?,
            "forward-link-local" => bridge.forward_link_local = truth(name, text)?,
            "address" => {
                bridge.address = macs(text)?.first().copied().ok_or("`address`: one MAC address")?;
            }
            "lldp" => bridge.lldp = truth(name, text)?,
            "snooping" => bridge.snooping.enabled = truth(name, text)?,
            "querier" => bridge.snooping.querier = vlans(text)?,
            "query-interval" => bridge.snooping.interval = span(name, text)?.max(1_000_000_000),
            "flooded" => bridge.flooded = vlans(text)?,
            _ => {}
        }
    }
    bridge.tree = tree(options)?;
    bridge.system = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Ok(bridge)
}

fn within(options: &Options, name: &str, otherwise: u32, least: u32, most: u32) -> Result<u32, String> {
    match options.get(name).map(|text| text.trim_end_matches('s').parse()) {
        None => Ok(otherwise),
        Some(Ok(number)) if (least..=most).contains(&number) => Ok(number),
        Some(_) => Err(format!("`{name}` is a number from {least} to {most}")),
    }
}

/// A switch's part in the spanning tree.
fn tree(options: &Options) -> Result<Option<TreeSettings>, String> {
    let on = options.get("rstp").map_or(Ok(false), |text| truth("rstp", text))?;
    let own = TreeSettings::default();
    let tree = TreeSettings {
        priority: within(options, "priority", own.priority.into(), 0, 61_440)? as u16,
        hello: within(options, "hello", own.hello.into(), 1, 10)? as u16,
        max_age: within(options, "max-age", own.max_age.into(), 6, 40)? as u16,
        forward_delay: within(options, "forward-delay", own.forward_delay.into(), 2, 30)? as u16,
    };
    if !tree.priority.is_multiple_of(4096) {
        return Err(format!("`priority={}`: a multiple of 4096", tree.priority));
    }
    Ok(on.then_some(tree))
}

/// A port's part in the spanning tree.
fn branch(options: &Options) -> Result<Option<PortOptions>, String> {
    let own = PortOptions::default();
    let switch = |name: &str, otherwise| options.get(name).map_or(Ok(otherwise), |text| truth(name, text));
    let branch = PortOptions {
        cost: within(options, "cost", own.cost, 1, 200_000_000)?,
        priority: within(options, "stp-priority", own.priority.into(), 0, 240)? as u8,
        edge: switch("edge", false)?,
        // Who says that a port is no edge means it.
        auto_edge: switch("edge", true)?,
        guard: switch("bpdu-guard", false)?,
    };
    if !branch.priority.is_multiple_of(16) {
        return Err(format!("`stp-priority={}`: a multiple of 16", branch.priority));
    }
    Ok(switch("stp", true)?.then_some(branch))
}

/// A mirror's options; `port` finds a port of the switch by its name, `stream` is the number of its stream of copies.
pub(super) fn mirror(
    options: &Options,
    port: impl Fn(&str) -> Result<u32, String>,
    stream: u32,
) -> Result<Mirror, String> {
    known(options, MIRROR_OPTIONS)?;
    let get = |name: &str| options.get(name).map(String::as_str);
    let output = match (get("output"), get("output-vlan"), get("remote")) {
        (Some(name), None, None) => Copies::Port(port(name)?),
        (None, Some(text), None) => Copies::Vlan(vlan(text)?),
        (None, None, Some(_)) => Copies::Remote(stream),
        _ => {
            let text = "a mirror has one of `output=PORT`, `output-vlan=VLAN` and `remote=ADDRESS`";
            return Err(text.to_owned());
        }
    };
    let most = get("snaplen").map(|text| count("snaplen", text)).transpose()?;
    if let Some(most) = most.filter(|most| !(14..=65_535).contains(most)) {
        return Err(format!("`snaplen={most}`: a number of octets from 14 to 65535"));
    }
    // The largest means that copies are whole, as for Open vSwitch.
    let most = most.and_then(|most| u32::try_from(most).ok()).filter(|most| *most < 65_535);
    let mut mirror = Mirror { vlans: get("vlan").map(vlans).transpose()?, most, ..Mirror::new(output) };
    for option in ["ports", "from", "to"] {
        match get(option) {
            Some("all") => mirror.all = true,
            text => {
                for name in list(text.unwrap_or_default()) {
                    let number = port(name)?;
                    if option != "to" {
                        mirror.from.insert(number);
                    }
                    if option != "from" {
                        mirror.to.insert(number);
                    }
                }
            }
        }
    }
    // A VLAN alone means everything in it.
    mirror.all |=
        ["ports", "from", "to"].iter().all(|option| get(option).is_none()) && mirror.vlans.is_some();
    if !mirror.all && mirror.from.is_empty() && mirror.to.is_empty() {
        return Err(
            "a mirror watches something: `ports=a,b`, `from=a`, `to=b`, `vlan=10` or `ports=all`".to_owned()
        );
    }
    if let Copies::Port(output) = output
        && (mirror.from.contains(&output) || mirror.to.contains(&output))
    {
        return Err("a mirror can't watch the port that its copies go to".to_owned());
    }
    Ok(mirror)
}

/// What a port is guarded against.
fn guard(options: &Options) -> Result<Guard, String> {
    let get = |name: &str| options.get(name).map(String::as_str);
    let switch = |name: &str, otherwise| get(name).map_or(Ok(otherwise), |text| truth(name, text));
    let mut guard = Guard {
        macs: get("mac").map(macs).transpose()?.unwrap_or_default(),
        addresses: get("ip").map(prefixes).transpose()?.unwrap_or_default(),
        most: get("macs").map(|text| count("macs", text)).transpose()?,
        forged: switch("forged", false)?,
        promiscuous: switch("promiscuous", true)?,
        dhcp_server: switch("dhcp-server", true)?,
        router: switch("router", true)?,
    };
    for option in ["forged", "promiscuous"] {
        if get(option).is_some() && guard.macs.is_empty() {
            return Err(format!("`{option}` needs `mac`: whose addresses these are"));
        }
    }
    if guard.most.is_some() && get("learning").is_some_and(|text| truth("learning", text) == Ok(false)) {
        return Err("`macs` counts stations that are learned; it can't go with learning=false".to_owned());
    }
    // The link-local address that follows from a pinned MAC address is the port's own too.
    if guard.addresses.iter().any(|prefix| matches!(prefix, Prefix::V6 { .. })) {
        for mac in &guard.macs {
            let [a, b, c, d, e, f] = mac.octets();
            let address =
                u128::from_be_bytes([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
            guard.addresses.push(Prefix::V6 { address, length: 128 });
        }
    }
    Ok(guard)
}

/// The bridge's side of a port's options.
pub(super) fn port(number: u32, name: &str, options: &Options) -> Result<Port, String> {
    let mut port = Port::new(number, name);
    let get = |name: &str| options.get(name).map(String::as_str);
    let trunk = get("trunk").map(vlans).transpose()?;
    let ways = ["vlan", "native", "native-tagged", "tunnel"].map(&get);
    let (set, given) =
        (trunk.clone().unwrap_or_else(VlanSet::all), ways.iter().filter(|way| way.is_some()).count());
    if given > 1 {
        return Err("`vlan`, `native`, `native-tagged` and `tunnel` exclude each other".to_owned());
    }
    port.vlan = match ways {
        [Some(own), ..] if trunk.is_some() => {
            return Err(format!("`vlan={own}` is for one untagged VLAN; with `trunk` write native={own}"));
        }
        [Some(own), ..] => Vlan::Access(vlan(own)?),
        [_, Some(own), ..] => Vlan::NativeUntagged(vlan(own)?, set),
        [_, _, Some(own), _] => Vlan::NativeTagged(vlan(own)?, set),
        [_, _, _, Some(own)] => Vlan::Tunnel { vlan: vlan(own)?, customers: set },
        _ => Vlan::Trunk(set),
    };
    if let Some(text) = get("isolated") {
        port.isolated = truth("isolated", text)?;
    }
    if let Some(text) = get("learning") {
        port.learning = truth("learning", text)?;
    }
    if let Some(text) = get("flooding") {
        port.flooding = truth("flooding", text)?;
    }
    if let Some(text) = get("enabled") {
        port.forwarding = truth("enabled", text)?;
    }
    if let Some(text) = get("stations") {
        port.stations = count("stations", text)?;
    }
    if let Some(text) = get("multicast-router") {
        port.multicast_router = truth("multicast-router", text)?;
    }
    if let Some(text) = get("lldp") {
        port.lldp = truth("lldp", text)?;
    }
    if let Some(text) = get("fast-leave") {
        port.fast_leave = truth("fast-leave", text)?;
    }
    within(options, "mtu", 1500, 68, 65_535)?;
    if let Some(text) = get("mac-address") {
        macs(text)?;
    }
    port.guard = guard(options)?;
    port.tree = branch(options)?;
    (port.bfd, port.cfm) = (watches::bfd(options), watches::cfm(options));
    for (option, burst, place) in [
        ("rate", "burst", &mut port.rate),
        ("packet-rate", "packet-burst", &mut port.packet_rate),
        ("storm", "storm-burst", &mut port.storm),
        ("rate-out", "burst-out", &mut port.rate_out),
    ] {
        *place = get(option).map(|text| rate(option, text, get(burst))).transpose()?;
        if place.is_none() && get(burst).is_some() {
            return Err(format!("`{burst}` needs `{option}`"));
        }
    }
    if port.packet_rate.is_some_and(|rate| rate.unit != netloom_nf::Unit::Packets) {
        return Err("`packet-rate` counts packets, as in 1000pps; octets are what `rate` is for".to_owned());
    }
    Ok(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn security_and_rates() {
        use netloom_nf::{Rate, Unit};
        let guarded = |text: &str| port(1, "p", &options(text)).map(|port| port.guard);
        let guard = guarded("mac=02:00:00:00:00:01 ip=10.0.0.0/8,fd00::1 macs=3 router=false").unwrap();
        let link_local = 0xfe80_0000_0000_0000_0000_00ff_fe00_0001;
        assert_eq!(
            guard.addresses,
            [
                Prefix::V4 { address: 0x0a00_0000, length: 8 },
                Prefix::V6 { address: (0xfd00 << 112) | 1, length: 128 },
                Prefix::V6 { address: link_local, length: 128 },
            ]
        );
        assert!(guard.owns(0x0200_0000_0001) && guard.most == Some(3) && guard.dhcp_server && !guard.router);
        let port =
            port(1, "p", &options("rate=1000pps storm=8mbit storm-burst=1mib rate-out=10pps")).unwrap();
        assert_eq!(port.rate, Some(Rate { unit: Unit::Packets, per_second: 1000, burst: 100 }));
        assert_eq!(port.storm, Some(Rate { unit: Unit::Octets, per_second: 1_000_000, burst: 1 << 20 }));
        assert_eq!(port.rate_out, Some(Rate { unit: Unit::Packets, per_second: 10, burst: 16 }));
        for wrong in [
            "mac=01:00:00:00:00:01",
            "mac=1",
            "ip=10.0.0.0/33",
            "ip=x",
            "promiscuous=false",
            "macs=2 learning=no",
            "rate=10",
            "rate=0pps",
            "burst=5",
        ] {
            assert!(guarded(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn mirrors_and_switches() {
        let find = |name: &str| name.trim_start_matches('p').parse().map_err(|_| format!("no port {name}"));
        let mirrored = |text: &str| mirror(&options(text), find, 0);
        let all = mirrored("vlan=10 output=p3").unwrap();
        assert!(all.all && all.output == Copies::Port(3) && all.vlans.is_some());
        let some = mirrored("ports=p1 from=p2 output-vlan=99").unwrap();
        assert_eq!((some.from, some.to, some.all), ([1, 2].into(), [1].into(), false));
        for wrong in ["output=p1", "ports=p1", "ports=p1 output=p1", "ports=x output=p1", "a=b output=p1"] {
            assert!(mirrored(wrong).is_err(), "{wrong}");
        }
        let switch = bridge(&options("ageing=10s stations=5 flooded=7 snooping=on querier=0,7")).unwrap();
        assert!(switch.ageing == 10_000_000_000 && switch.stations == 5 && switch.flooded.has(7));
        assert!(switch.snooping.enabled && switch.snooping.querier.has(0));
        let (mut named, mut again) = (Options::new(), Options::new());
        address(&mut named, "br0", 5);
        address(&mut again, "br1", 5);
        assert!(named != again && bridge(&named).unwrap().address.is_unicast());
        assert_eq!(switch.tree, None);
        let tree = bridge(&options("rstp=true priority=4096 hello=1s")).unwrap().tree.unwrap();
        assert_eq!((tree.priority, tree.hello, tree.max_age), (4096, 1, 20));
        let branch = port(1, "p", &options("edge=true bpdu-guard=true cost=7")).unwrap().tree.unwrap();
        assert!(branch.edge && branch.guard && branch.cost == 7);
        assert_eq!(port(1, "p", &options("stp=false")).unwrap().tree, None);
        for wrong in ["colour=red", "priority=5", "max-age=41", "hello=0", "rstp=maybe"] {
            assert!(bridge(&options(wrong)).is_err(), "{wrong}");
        }
    }

    fn options(text: &str) -> Options {
        text.split_whitespace()
            .filter_map(|part| part.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn the_ways_to_treat_vlans() {
        let vlan = |text: &str| port(1, "p", &options(text)).map(|port| port.vlan);
        assert_eq!(vlan(""), Ok(Vlan::Trunk(VlanSet::all())));
        assert_eq!(vlan("vlan=10"), Ok(Vlan::Access(10)));
        assert_eq!(vlan("trunk=10,20-22"), Ok(Vlan::Trunk([10, 20, 21, 22].into_iter().collect())));
        assert_eq!(vlan("trunk=7 native=5"), Ok(Vlan::NativeUntagged(5, [7].into_iter().collect())));
        assert_eq!(vlan("tunnel=5"), Ok(Vlan::Tunnel { vlan: 5, customers: VlanSet::all() }));
        for wrong in
            ["vlan=4096", "vlan=x", "trunk=1-y", "vlan=1 trunk=2", "vlan=1 native=2", "isolated=maybe"]
        {
            assert!(vlan(wrong).is_err(), "{wrong}");
        }
    }
}
