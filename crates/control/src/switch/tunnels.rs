//! Ports that are tunnels: VXLAN, Geneve, GRE and ERSPAN, with the options that Open vSwitch has for them.
//!
//! What: a tunnel port has no driver. Packets that leave by it get outer headers and leave by a port of the bridge whose own
//! interface the system would send them by (its route, its neighbour); packets that arrive for that interface in a tunnel's
//! headers come in by the tunnel port. Where that interface is in no bridge, it is used beside the system ([`super::underlay`]).
//! Routes and neighbours are looked at every second.
//!
//! Invariants: the other end is asked of the system, so that it must be named (`remote_ip`); tunnels whose other end packets
//! choose (`remote_ip=flow`) reach only ends that another tunnel names.

use super::configuration::{Options, PortConfiguration, is_drivers};
use super::state::{Carried, Switch, SwitchError};
use super::words::truth;
use netloom_kernel::netlink::{Protocol, Socket};
use netloom_kernel::{Way, way};
use netloom_mem::PortNumber;
use netloom_nf::tunnel::{Chosen, Hop, OptionMap, Outward, TunnelKind, TunnelPort, Tunnels};
use netloom_vswitch::NOBODY;
use netloom_vswitch::openflow::port::TunnelForm;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// Options of tunnels.
const OPTIONS: [&str; 21] = [
    "type",
    "remote_ip",
    "local_ip",
    "key",
    "in_key",
    "out_key",
    "dst_port",
    "tos",
    "ttl",
    "df_default",
    "csum",
    "exts",
    "seq",
    "erspan_ver",
    "erspan_idx",
    "erspan_dir",
    "erspan_hwid",
    "egress_pkt_mark",
    // Whose it is.
    "topology",
    "node",
    "link",
];

/// What is known of tunnels, to see whether it changed.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Known {
    ports: BTreeMap<PortNumber, Options>,
    hops: BTreeMap<IpAddr, Hop>,
    mapped: Vec<Mapped>,
}

/// An option of Geneve that is a field: field, class, type, octets, and where it lies.
type Mapped = (u8, u16, u8, u8, u8);

/// Whether a port is a tunnel.
pub(super) fn is_tunnel(options: &Options) -> bool {
    let kind = options.get("type").map(String::as_str);
    matches!(kind, Some("vxlan" | "geneve" | "gre" | "ip6gre" | "erspan" | "ip6erspan"))
}

fn end(options: &Options, name: &str) -> Result<Chosen<IpAddr>, String> {
    match options.get(name).map(String::as_str) {
        None | Some("flow") => Ok(Chosen::Flow),
        Some(text) => {
            text.parse().map(Chosen::Fixed).map_err(|_| format!("`{name}={text}`: an address, or flow"))
        }
    }
}

fn number(options: &Options, name: &str, most: u64) -> Result<Option<u64>, String> {
    let Some(text) = options.get(name) else { return Ok(None) };
    let number = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    let number = number.filter(|number| *number <= most);
    number.map(Some).ok_or_else(|| format!("`{name}={text}`: a number up to {most}"))
}

/// A key of packets, in one direction. Without one GRE has none, and others have zero.
fn key(options: &Options, name: &str, keyless: bool) -> Result<Chosen<Option<u64>>, String> {
    let name = if options.contains_key(name) { name } else { "key" };
    match options.get(name).map(String::as_str) {
        Some("flow") => Ok(Chosen::Flow),
        Some(_) => Ok(Chosen::Fixed(number(options, name, u64::MAX)?)),
        None => Ok(Chosen::Fixed((!keyless).then_some(0))),
    }
}

fn outward(options: &Options, name: &str, otherwise: u8) -> Result<Outward, String> {
    match options.get(name).map(String::as_str) {
        Some("inherit") => Ok(Outward::Inherit(otherwise)),
        _ => Ok(Outward::Value(number(options, name, 255)?.map_or(otherwise, |value| value as u8))),
    }
}

/// A tunnel's options, as the data path and as tables have them.
pub(super) fn tunnel(options: &Options) -> Result<(TunnelPort, TunnelForm), String> {
    if let Some(unknown) = options.keys().find(|name| is_drivers(name) && !OPTIONS.contains(&name.as_str())) {
        return Err(format!("a tunnel has no option `{unknown}`; it has {}", OPTIONS.join(", ")));
    }
    let port = |otherwise: u16| {
        Ok::<u16, String>(number(options, "dst_port", 0xffff)?.map_or(otherwise, |port| port as u16))
    };
    let extensions = options.get("exts").map_or("", String::as_str);
    let kind = match options.get("type").map(String::as_str) {
        Some("vxlan") if extensions == "gpe" => TunnelKind::VxlanGpe(port(4790)?),
        Some("vxlan") => TunnelKind::Vxlan(port(4789)?),
        Some("geneve") => TunnelKind::Geneve(port(6081)?),
        Some("erspan" | "ip6erspan") => TunnelKind::Erspan,
        _ => TunnelKind::Gre,
    };
    let switch = |name: &str, otherwise| options.get(name).map_or(Ok(otherwise), |text| truth(name, text));
    if !options.contains_key("remote_ip") {
        return Err("`remote_ip` is missing: the address of the other end, or flow".to_owned());
    }
    let keyless = kind == TunnelKind::Gre;
    let own = TunnelPort::new(kind);
    let fixed = |name: &str, most: u64| -> Result<Chosen<u32>, String> {
        match options.get(name).map(String::as_str) {
            Some("flow") => Ok(Chosen::Flow),
            _ => Ok(number(options, name, most)?.map_or(Chosen::Flow, |value| Chosen::Fixed(value as u32))),
        }
    };
    let version = match fixed("erspan_ver", 2)? {
        Chosen::Fixed(version) => Chosen::Fixed(version as u8),
        Chosen::Flow if options.get("erspan_ver").is_some_and(|text| text == "flow") => Chosen::Flow,
        Chosen::Flow => Chosen::Fixed(1),
    };
    let (direction, hardware) = (fixed("erspan_dir", 1)?, fixed("erspan_hwid", 63)?);
    let port = TunnelPort {
        local: end(options, "local_ip")?,
        remote: end(options, "remote_ip")?,
        key_in: key(options, "in_key", keyless)?,
        key_out: key(options, "out_key", keyless)?,
        tos: outward(options, "tos", 0)?,
        ttl: outward(options, "ttl", 64)?,
        dont_fragment: switch("df_default", true)?,
        checksum: switch("csum", false)?,
        sequence: switch("seq", false)?,
        group_policy: extensions == "gbp",
        erspan_version: version,
        erspan_index: fixed("erspan_idx", 0xf_ffff)?,
        erspan_engine: match (direction, hardware) {
            (Chosen::Fixed(direction), Chosen::Fixed(hardware)) => {
                Chosen::Fixed((direction == 1, hardware as u8))
            }
            _ => Chosen::Flow,
        },
        ..own
    };
    let named = |end: Chosen<IpAddr>| match end {
        Chosen::Fixed(address) => Some(address),
        Chosen::Flow => None,
    };
    let form = TunnelForm {
        out_key: match port.key_out {
            Chosen::Fixed(key) => key,
            Chosen::Flow => None,
        },
        remote: named(port.remote),
        local: named(port.local),
        local_by_flow: options.get("local_ip").is_some_and(|text| text == "flow"),
        inherit_tos: matches!(port.tos, Outward::Inherit(_)),
        inherit_ttl: matches!(port.ttl, Outward::Inherit(_)),
    };
    Ok((port, form))
}

/// The options of a tunnel that Open vSwitch tells, with defaults left out.
pub(super) fn shown(options: &Options) -> BTreeMap<&str, String> {
    let mut all = BTreeMap::new();
    if !is_tunnel(options) {
        return all;
    }
    let get = |name: &str| options.get(name).map(String::as_str);
    for name in ["remote_ip", "local_ip", "key", "in_key", "out_key", "ttl", "tos", "egress_pkt_mark"] {
        all.extend(get(name).map(|value| (name, value.to_owned())));
    }
    for (name, usual) in [("csum", "false"), ("df_default", "true"), ("seq", "false")] {
        all.extend(get(name).filter(|value| *value != usual).map(|value| (name, value.to_owned())));
    }
    let usual = match get("type") {
        Some("vxlan") if get("exts") == Some("gpe") => Some("4790"),
        Some("vxlan") => Some("4789"),
        Some("geneve") => Some("6081"),
        _ => None,
    };
    all.extend(get("dst_port").filter(|port| Some(*port) != usual).map(|port| ("dst_port", port.to_owned())));
    if matches!(get("type"), Some("erspan" | "ip6erspan")) {
        let version = get("erspan_ver").unwrap_or("1");
        all.insert("erspan_ver", version.to_owned());
        let hex = |name: &'static str, text: &str| {
            // One that can't be read was refused.
            let value = number(&[(name.to_owned(), text.to_owned())].into(), name, u64::MAX).ok().flatten();
            value.map_or_else(|| "flow".to_owned(), |value| format!("{value:#x}"))
        };
        let flow = |name: &str| get(name).unwrap_or("flow").to_owned();
        if version != "2" {
            let index =
                if version == "flow" { "flow".to_owned() } else { hex("erspan_idx", &flow("erspan_idx")) };
            all.insert("erspan_idx", index);
        }
        if version != "1" {
            let of_flow = version == "flow";
            all.insert("erspan_dir", if of_flow { "flow".to_owned() } else { flow("erspan_dir") });
            let hardware = if of_flow { "flow".to_owned() } else { hex("erspan_hwid", &flow("erspan_hwid")) };
            all.insert("erspan_hwid", hardware);
        }
    }
    all
}

impl Switch {
    /// The port of the data path that a tunnel shares with others like it, as Open vSwitch has it: name and number.
    pub(super) fn shared_port(&self, port: &PortConfiguration) -> (String, u32) {
        let kind = |port: &PortConfiguration| {
            let kind = port.options.get("type").map_or("", String::as_str);
            kind.strip_prefix("ip6").unwrap_or(kind).to_owned()
        };
        let own = kind(port);
        match tunnel(&port.options).map(|(settings, _)| settings.kind) {
            Ok(TunnelKind::Vxlan(udp) | TunnelKind::VxlanGpe(udp)) => {
                (format!("vxlan_sys_{udp}"), udp.into())
            }
            Ok(TunnelKind::Geneve(udp)) => (format!("genev_sys_{udp}"), udp.into()),
            _ => {
                let alike = self.configuration.ports.values().filter(|other| kind(other) == own);
                (format!("{own}_sys"), alike.map(|other| other.number).min().unwrap_or(port.number))
            }
        }
    }

    /// The tunnel ports that share a number of the data path.
    pub(super) fn sharers(&self, number: u32) -> impl Iterator<Item = &PortConfiguration> {
        let tunnels = self.configuration.ports.values().filter(|port| is_tunnel(&port.options));
        tunnels.filter(move |port| self.shared_port(port).1 == number)
    }

    /// Forgets neighbours whose time has come.
    pub(super) fn age_neighbours(&mut self) {
        let now = self.now();
        let ports = &self.configuration.ports;
        self.routes.age(now, |device| ports.contains_key(device));
    }

    /// Notes neighbours that answered the system, and takes the ways that there are with them.
    pub(super) fn hear_neighbours(&mut self) {
        let heard = std::mem::take(&mut self.bridges.lock().neighbours);
        let now = self.now();
        let mut news = false;
        for (own, address, mac) in heard {
            let port = self.configuration.ports.iter().find(|(_, port)| port.number == own);
            if let Some((name, _)) = port {
                news |= self.routes.neighbour(name, address) != Some(mac);
                self.routes.set_neighbour(name, address, mac, now);
            }
        }
        if news {
            self.apply_tunnels();
        }
    }

    /// Has a port be a tunnel that is open.
    pub(super) fn carry_tunnel(&mut self, name: &str, options: &Options) -> Result<(), SwitchError> {
        tunnel(options).map_err(|text| SwitchError::Option(name.to_owned(), text))?;
        let carried = Carried { state: Box::new(|| "up".to_owned()), _keep: Box::new(()) };
        self.ports.insert(name.to_owned(), carried);
        Ok(())
    }

    /// Gives workers and tables the tunnels and the ways to their ends, if they changed.
    pub(super) fn apply_tunnels(&mut self) {
        let mut ports = BTreeMap::new();
        for (name, port) in &self.configuration.ports {
            if is_tunnel(&port.options) && self.ports.contains_key(name) {
                ports.insert(port.number, port.options.clone());
            }
        }
        if ports.is_empty() && self.tunnels.ports.is_empty() {
            return;
        }
        let parsed: BTreeMap<PortNumber, TunnelPort> =
            ports.iter().filter_map(|(number, options)| Some((*number, tunnel(options).ok()?.0))).collect();
        let mut hops = BTreeMap::new();
        let remote = |port: &TunnelPort| match port.remote {
            Chosen::Fixed(remote) => Some(remote),
            Chosen::Flow => None,
        };
        let remotes: BTreeSet<IpAddr> = parsed.values().filter_map(remote).collect();
        for remote in remotes {
            let Some(way) = self.way_to(remote) else { continue };
            let hop = self.hop(remote, &way).or_else(|| {
                // One that was known stays known while its station is silent.
                let old = self.tunnels.hops.get(&remote).copied();
                old.filter(|old| old.from_mac == way.from_mac && way.from.is_none_or(|from| from == old.from))
            });
            hops.extend(hop.map(|hop| (remote, hop)));
        }
        self.settle_underlay(
            &hops.values().map(|hop| hop.port).collect(),
            parsed.values().map(|port| port.kind),
        );
        let (mapped, options) = self.mapped_options();
        let known = Known { ports, hops, mapped };
        if known == self.tunnels {
            return;
        }
        // Numbers of packets go on.
        let old = self.bridges.lock().tunnels.clone();
        let port = |(number, port): (PortNumber, TunnelPort)| {
            let numbers = old.get(number).map(|old| old.numbers.clone()).unwrap_or_default();
            (number, TunnelPort { numbers, options: options.clone(), ..port })
        };
        let tunnels = Arc::new(Tunnels::new(parsed.into_iter().map(port), known.hops.clone()));
        self.tunnels = known;
        {
            let mut bridges = self.bridges.lock();
            bridges.tunnels = tunnels.clone();
            let any = !tunnels.is_empty();
            bridges.pipelines.values_mut().for_each(|pipeline| pipeline.set_terminates(any));
        }
        if let Err(error) = self.crew.tunnels(&tunnels) {
            tracing::error!(%error, "a worker does not know the tunnels");
        }
        self.desk().publish();
        self.crew.changed_all();
    }

    /// Which options of Geneve are fields: those of all bridges together, the first bridge's first.
    fn mapped_options(&self) -> (Vec<Mapped>, Arc<OptionMap>) {
        let mut mapped: Vec<Mapped> = Vec::new();
        for pipeline in self.bridges.lock().pipelines.values() {
            let entries = pipeline.tlv_map().iter();
            let entries = entries.map(|(field, of)| (field, of.class, of.kind, of.octets, of.offset));
            mapped.extend(
                entries.filter(|entry| !mapped.iter().any(|known| known.0 == entry.0)).collect::<Vec<_>>(),
            );
        }
        // Each lies behind the one before it, as in the tables.
        mapped.sort_by_key(|(.., offset)| *offset);
        let mut map = OptionMap::default();
        for (field, class, kind, octets, _) in &mapped {
            if let Err(error) = map.add(*field, *class, *kind, *octets) {
                tracing::warn!(%error, field, "an option of Geneve is not mapped");
            }
        }
        (mapped, Arc::new(map))
    }

    /// The way to an address: by a route that somebody set, or else the system's.
    fn way_to(&self, remote: IpAddr) -> Option<Way> {
        let mut socket = Socket::open(Protocol::Route).ok()?;
        let Some(route) = self.routes.route(remote, 0) else { return way(&mut socket, remote).ok()? };
        let next = route.gateway.unwrap_or(remote);
        // The system may know the neighbour, if it knows the interface.
        let mut system = || way(&mut socket, next).ok().flatten().filter(|way| way.device == route.device);
        let known = self.routes.neighbour(&route.device, next);
        let system = if known.is_none() { system() } else { None };
        let port = self.configuration.ports.get(&route.device)?;
        let from_mac = {
            let bridges = self.bridges.lock();
            let pipeline = bridges.pipelines.get(&bridges.number_of(&port.switch)?)?;
            pipeline.port_of(port.number).and_then(|number| pipeline.port(number)).map(|entry| entry.address)
        };
        Some(Way {
            device: route.device.clone(),
            from_mac: from_mac?,
            from: Some(route.source),
            next,
            to_mac: known.or_else(|| system.and_then(|way| way.to_mac)),
        })
    }

    /// The way to the other end of a tunnel.
    fn hop(&mut self, remote: IpAddr, way: &Way) -> Option<Hop> {
        // Who answered here is known to us, maybe before the system says so.
        let to_mac = way.to_mac.or_else(|| self.routes.neighbour(&way.device, way.next))?;
        let device = |name: &String, options: &Options| options.get("dev").unwrap_or(name) == &way.device;
        let Some((_, own)) = self.configuration.ports.iter().find(|(name, port)| device(name, &port.options))
        else {
            let port = self.underlay_port(&way.device, way.from_mac)?;
            let from = way.from.unwrap_or(remote);
            return Some(Hop { port, own: None, to_mac, from_mac: way.from_mac, tag: None, from });
        };
        let bridges = self.bridges.lock();
        let bridge = bridges.by_name.get(&own.switch)?;
        let stations = bridge.fdb.list();
        let known = stations
            .iter()
            .find(|(_, mac, station)| *mac == to_mac && station.port != own.number)
            .map(|(vlan, _, station)| (*vlan, station.port));
        // With one other port there is no question.
        let only = || {
            let mut others = bridge.ports().values().filter(|port| port.number != own.number);
            others.next().filter(|_| others.next().is_none()).map(|port| (0, port.number))
        };
        let (vlan, port) = known.or_else(only).unwrap_or((0, NOBODY));
        let tagged = bridge.ports().get(&port).is_some_and(|port| port.tags(vlan));
        Some(Hop {
            port,
            own: Some(own.number),
            to_mac,
            from_mac: way.from_mac,
            tag: (tagged && vlan != 0).then_some(vlan),
            from: way.from.unwrap_or(remote),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &str) -> Result<(TunnelPort, TunnelForm), String> {
        let pairs = words.split_whitespace().filter_map(|word| word.split_once('='));
        tunnel(&pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    #[test]
    fn options_of_tunnels() {
        let (port, form) = of("type=vxlan remote_ip=192.0.2.1 key=7 tos=inherit").unwrap();
        assert_eq!(port.kind, TunnelKind::Vxlan(4789));
        assert_eq!((port.key_in, port.key_out), (Chosen::Fixed(Some(7)), Chosen::Fixed(Some(7))));
        assert_eq!((form.out_key, form.remote), (Some(7), Some("192.0.2.1".parse().unwrap())));
        assert!(form.inherit_tos && !form.inherit_ttl && port.dont_fragment);
        let (port, form) = of("type=geneve remote_ip=flow key=flow dst_port=6082 csum=true").unwrap();
        assert_eq!((port.kind, port.remote), (TunnelKind::Geneve(6082), Chosen::Flow));
        assert_eq!((port.key_in, form.out_key, port.checksum), (Chosen::Flow, None, true));
        let (port, _) = of("type=gre remote_ip=2001:db8::1 out_key=0x10 ttl=3").unwrap();
        assert_eq!((port.key_in, port.key_out), (Chosen::Fixed(None), Chosen::Fixed(Some(16))));
        assert_eq!(port.ttl, Outward::Value(3));
        for (wrong, why) in [
            ("type=vxlan", "remote_ip"),
            ("type=vxlan remote_ip=here", "an address"),
            ("type=gre remote_ip=1.2.3.4 key=x", "a number"),
            ("type=gre remote_ip=1.2.3.4 colour=red", "no option `colour`"),
        ] {
            let told = of(wrong).unwrap_err();
            assert!(told.contains(why), "{wrong}: {told}");
        }
    }
}
