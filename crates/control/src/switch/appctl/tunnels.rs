//! `ovs/route/...`, `tnl/...`, `ofproto/list-tunnels`, `dpif/set-dp-features`: tunnels and the ways to their other ends.

use super::super::routes::Range;
use super::super::state::Switch;
use super::super::tunnels::{is_tunnel, shown, tunnel};
use super::argument;
use crate::unixctl::Commands;
use netloom_kernel::netlink::{Protocol, Socket};
use netloom_kernel::way;
use netloom_nf::tunnel::{Chosen, Outward};
use netloom_wire::MacAddr;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{IpAddr, Ipv6Addr};

const INVALID: &str = "Invalid parameters";
const SECOND: u64 = 1_000_000_000;
/// Most seconds for which a neighbour counts.
const LONGEST: u64 = 3600;

pub(super) fn add(commands: &mut Commands<Switch>) {
    commands.add("ovs/route/add", "ip_addr/prefix_len out_br_name [gw] [pkt_mark=mark]", 2, 4, add_route);
    commands.add("ovs/route/del", "ip_addr/prefix_len [pkt_mark=mark]", 1, 2, |switch, arguments| {
        let to = Range::read(argument(arguments, 0)).ok_or(INVALID)?;
        let mark = match arguments.get(1) {
            Some(text) => marked(text).ok_or("Invalid pkt_mark")?,
            None => 0,
        };
        match switch.routes.remove(to, mark) {
            true => {
                switch.apply_tunnels();
                Ok("OK".to_owned())
            }
            false => Err("Not found".to_owned()),
        }
    });
    commands.add("ovs/route/show", "", 0, 0, |switch, _| {
        let mut text = "Route Table:\n".to_owned();
        for route in switch.routes.routes() {
            // A string takes whatever is written.
            let _ = write!(text, "User: {}/{}", route.to.address, route.to.length);
            if route.mark != 0 {
                let _ = write!(text, " MARK {}", route.mark);
            }
            let _ = write!(text, " dev {}", route.device);
            if let Some(gateway) = route.gateway {
                let _ = write!(text, " GW {gateway}");
            }
            let _ = writeln!(text, " SRC {}", route.source);
        }
        Ok(text)
    });
    commands.add("ovs/route/lookup", "ip_addr [pkt_mark=mark]", 1, 2, lookup);
    for name in ["tnl/neigh/set", "tnl/arp/set"] {
        commands.add(name, "BRIDGE IP MAC", 3, 3, |switch, arguments| {
            let address: IpAddr = argument(arguments, 1).parse().map_err(|_| "bad IP address")?;
            let mac: MacAddr = argument(arguments, 2).parse().map_err(|_| "bad MAC address")?;
            let now = switch.now();
            switch.routes.set_neighbour(argument(arguments, 0), address, mac, now);
            switch.apply_tunnels();
            Ok("OK".to_owned())
        });
    }
    for name in ["tnl/neigh/show", "tnl/arp/show"] {
        commands.add(name, "", 0, 0, |switch, _| {
            switch.age_neighbours();
            let mut text = format!(
                "IP                                            MAC                 Bridge\n{}\n",
                "=".repeat(74)
            );
            for (device, address, mac) in switch.routes.neighbours() {
                // A string takes whatever is written.
                let _ = writeln!(text, "{:<46}{mac}   {device}", address.to_string());
            }
            Ok(text)
        });
    }
    for name in ["tnl/neigh/flush", "tnl/arp/flush"] {
        commands.add(name, "", 0, 0, |switch, _| {
            switch.routes.forget_neighbours();
            switch.apply_tunnels();
            Ok("OK".to_owned())
        });
    }
    for name in ["tnl/neigh/aging", "tnl/arp/aging"] {
        commands.add(name, "[SECS]", 0, 1, |switch, arguments| {
            let Some(text) = arguments.first() else {
                return Ok((switch.routes.ageing / SECOND).to_string());
            };
            let seconds = text.parse().ok().filter(|seconds| (1..=LONGEST).contains(seconds));
            let now = switch.now();
            switch.routes.set_ageing(seconds.ok_or("bad aging value")? * SECOND, now);
            Ok("OK".to_owned())
        });
    }
    commands.add("tnl/ports/show", "-v", 0, 1, |switch, _| Ok(ports(switch)));
    commands.add("ofproto/list-tunnels", "", 0, 0, |switch, _| Ok(list(switch)));
    commands.add("dpif/set-dp-features", "bridge", 1, 3, features);
}

/// `pkt_mark=N`.
fn marked(text: &str) -> Option<u32> {
    let text = text.strip_prefix("pkt_mark=")?;
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn add_route(switch: &mut Switch, arguments: &[String]) -> Result<String, String> {
    let to = Range::read(argument(arguments, 0)).ok_or(INVALID)?;
    let device = argument(arguments, 1);
    let (mut gateway, mut mark) = (None, 0);
    for text in arguments.iter().skip(2) {
        match (marked(text), text.parse::<IpAddr>()) {
            (Some(number), _) => mark = number,
            (None, Ok(address)) if address.is_ipv4() == to.address.is_ipv4() => gateway = Some(address),
            _ => return Err("Invalid pkt_mark or gateway".to_owned()),
        }
    }
    // An interface that the system knows has its address there.
    let system = |towards: IpAddr| {
        let way = way(&mut Socket::open(Protocol::Route).ok()?, towards).ok()??;
        way.from.filter(|_| way.device == device)
    };
    let added = switch.routes.add(to, device, gateway, mark, system);
    added.map_err(|_| "Error while inserting route.".to_owned())?;
    switch.apply_tunnels();
    Ok("OK".to_owned())
}

fn lookup(switch: &mut Switch, arguments: &[String]) -> Result<String, String> {
    let to: IpAddr = argument(arguments, 0).parse().map_err(|_| INVALID)?;
    let mark = match arguments.get(1) {
        Some(text) => marked(text).ok_or("Invalid pkt_mark")?,
        None => 0,
    };
    let none = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let of = |source: IpAddr, gateway: Option<IpAddr>, device: &str| {
        format!("src {source}\ngateway {}\ndev {device}\n", gateway.unwrap_or(none))
    };
    if let Some(route) = switch.routes.route(to, mark) {
        return Ok(of(route.source, route.gateway, &route.device));
    }
    let system = || way(&mut Socket::open(Protocol::Route).ok()?, to).ok()?;
    let way = system().filter(|_| mark == 0).ok_or("Not found")?;
    let next = Some(way.next).filter(|next| *next != to);
    Ok(of(way.from.unwrap_or(none), next, &way.device))
}

/// The ports of the data path that tunnels share: name, number, how many share it.
fn ports(switch: &Switch) -> String {
    let mut shared: BTreeMap<(String, u32), usize> = BTreeMap::new();
    for (name, port) in &switch.configuration.ports {
        if is_tunnel(&port.options) && switch.ports.contains_key(name) {
            let (device, number) = switch.shared_port(port);
            *shared.entry((device, number)).or_default() += 1;
        }
    }
    let line =
        |((name, number), count): (&(String, u32), &usize)| format!("{name} ({number}) ref_cnt={count}\n");
    format!("Listening ports:\n{}", shared.iter().map(line).collect::<String>())
}

fn list(switch: &Switch) -> String {
    let mut text = String::new();
    for (name, port) in switch.configuration.ports.iter().filter(|(_, port)| is_tunnel(&port.options)) {
        let Ok((settings, _)) = tunnel(&port.options) else { continue };
        let end = |end: Chosen<IpAddr>, none: &str| match end {
            Chosen::Fixed(address) => address.to_string(),
            Chosen::Flow => none.to_owned(),
        };
        let local = if port.options.contains_key("local_ip") { "flow" } else { "::" };
        let key = |key: Chosen<Option<u64>>| match key {
            Chosen::Fixed(key) => format!("{:#x}", key.unwrap_or(0)).replace("0x0", "0"),
            Chosen::Flow => "flow".to_owned(),
        };
        let kind = port.options.get("type").map_or("", String::as_str);
        let number = switch.shared_port(port).1;
        // A string takes whatever is written.
        let _ = write!(
            text,
            "port {number}: {name} ({kind}: {}->{}",
            end(settings.local, local),
            end(settings.remote, "flow")
        );
        let (inward, outward) = (key(settings.key_in), key(settings.key_out));
        let _ = match inward == outward {
            true => write!(text, ", key={inward}"),
            false => write!(text, ", in_key={inward}, out_key={outward}"),
        };
        let _ = write!(text, ", legacy_l2, dp port={number}");
        let _ = match settings.ttl {
            Outward::Value(ttl) => write!(text, ", ttl={ttl}"),
            Outward::Inherit(_) => write!(text, ", ttl=inherit"),
        };
        let _ = match settings.tos {
            Outward::Value(0) => Ok(()),
            Outward::Value(tos) => write!(text, ", tos={tos:#x}"),
            Outward::Inherit(_) => write!(text, ", tos=inherit"),
        };
        if !settings.dont_fragment {
            text.push_str(", df=false");
        }
        if settings.checksum {
            text.push_str(", csum=true");
        }
        text.push_str(")\n");
    }
    text
}

/// What the data path is said to be able to. Only how actions of tunnels are told can be chosen: as headers that are put
/// before packets, or as settings of a port that does that.
fn features(switch: &mut Switch, arguments: &[String]) -> Result<String, String> {
    let name = argument(arguments, 0);
    if !switch.configuration.switches.contains_key(name) {
        return Err("no such bridge".to_owned());
    }
    match (arguments.get(1).map(String::as_str), arguments.get(2).map(String::as_str)) {
        (None, _) => {
            let now = !switch.bridges.lock().tunnels_told_as_ports;
            Ok(format!("tnl_push_pop (Tunnel push pop) : [run time]:{now}, [boot time]:true\n"))
        }
        (Some("tnl_push_pop"), Some(text)) => {
            let as_ports = match text {
                "true" => false,
                "false" => true,
                _ => return Err("Boolean value expected".to_owned()),
            };
            switch.bridges.lock().tunnels_told_as_ports = as_ports;
            switch.crew.changed_all();
            Ok(String::new())
        }
        _ => Err("Unexpected support field".to_owned()),
    }
}

/// Options of a tunnel as they are told behind its type: `: key=7, remote_ip=192.0.2.1`.
pub(super) fn details(options: &BTreeMap<String, String>) -> String {
    let words: Vec<String> =
        shown(options).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    if words.is_empty() { String::new() } else { format!(": {}", words.join(", ")) }
}
