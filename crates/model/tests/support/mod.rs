//! A slow, plain model of forwarding over an expanded topology: the oracle of generated routes.

use ipnet::IpNet;
use netloom_model::document::Format;
use netloom_model::load::{Loaded, load};
use netloom_model::scalar::Gateway;
use netloom_model::source::SourceFile;
use netloom_model::topology::{Route, Topology};
use netloom_model::validated::route_destination;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Loads a text or fails with what is told about it.
pub(crate) fn loaded(text: &str) -> Loaded {
    let source = SourceFile::new("test.yaml", text);
    match load(&source, Format::Yaml, &BTreeMap::new()) {
        Ok(loaded) => loaded,
        Err(found) => panic!("{}\n{text}", found.render(&source, false)),
    }
}

/// A topology with one generator.
pub(crate) fn generated(item: &str) -> Loaded {
    loaded(&format!("netloom: 1\nname: t\ngenerate:\n  - {item}\n"))
}

struct Wire {
    far_node: usize,
    far_interface: usize,
    link: usize,
}

struct Way {
    prefix: IpNet,
    metric: u32,
    /// Interface and, unless the target is on the link, gateway.
    hops: Vec<(usize, Option<IpAddr>)>,
}

struct Table {
    ways: Vec<Way>,
}

struct Station {
    name: String,
    addresses: Vec<(IpNet, usize)>,
    wires: BTreeMap<usize, Wire>,
    main: Table,
    tables: BTreeMap<u32, Table>,
    /// Priority, interface of arrival, destination, table.
    rules: Vec<(u32, Option<usize>, Option<IpNet>, u32)>,
}

/// All nodes with their links and tables. Only links between nodes, no networks.
pub(crate) struct Fabric {
    stations: Vec<Station>,
    names: BTreeMap<String, usize>,
    owners: BTreeMap<IpAddr, usize>,
    /// Links between routers.
    pub(crate) inner_links: Vec<usize>,
}

impl Fabric {
    pub(crate) fn new(topology: &Topology) -> Self {
        let mut names = BTreeMap::new();
        let mut interfaces: BTreeMap<(usize, String), usize> = BTreeMap::new();
        let all = topology.endpoints.iter().chain(&topology.routers);
        let mut stations: Vec<Station> = Vec::new();
        for (key, _) in all.clone() {
            names.insert(key.to_string(), stations.len());
            stations.push(Station {
                name: key.to_string(),
                addresses: Vec::new(),
                wires: BTreeMap::new(),
                main: Table { ways: Vec::new() },
                tables: BTreeMap::new(),
                rules: Vec::new(),
            });
        }
        let mut inner_links = Vec::new();
        for (number, item) in topology.links.iter().enumerate() {
            let ends = &item.link.as_ref().unwrap().value;
            let ends = [&ends.a, &ends.b];
            let places = ends.map(|end| {
                let node = names[end.node.as_str()];
                let next = interfaces.len();
                (node, *interfaces.entry((node, end.interface.to_string())).or_insert(next))
            });
            for (at, (node, interface)) in places.iter().enumerate() {
                let (far_node, far_interface) = places[1 - at];
                stations[*node].wires.insert(*interface, Wire { far_node, far_interface, link: number });
                let address = item.addresses[at].net();
                stations[*node].addresses.push((address, *interface));
                let way = Way { prefix: address.trunc(), metric: 0, hops: vec![(*interface, None)] };
                stations[*node].main.ways.push(way);
            }
            if ends.iter().all(|end| topology.routers.contains_key(end.node.as_str())) {
                inner_links.push(number);
            }
        }
        for (key, node) in all {
            let place = names[key.as_str()];
            for route in &node.routes {
                let way = way(&stations[place], route);
                match route.table {
                    None => stations[place].main.ways.push(way),
                    Some(table) => {
                        let table = stations[place].tables.entry(table);
                        table.or_insert(Table { ways: Vec::new() }).ways.push(way);
                    }
                }
            }
            for rule in &node.rules {
                let input = rule.input.as_ref().map(|input| interfaces[&(place, input.to_string())]);
                let to = rule.to.as_ref().map(|to| to.net());
                let table = rule.table.unwrap().value;
                stations[place].rules.push((rule.priority.unwrap().value, input, to, table));
            }
            stations[place].rules.sort();
            for (name, interface) in &node.interfaces {
                if let Some(Gateway::At(gateway)) = interface.gateway.as_ref().map(|gateway| gateway.value) {
                    let out = interfaces[&(place, name.to_string())];
                    let any = if gateway.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
                    let way =
                        Way { prefix: any.parse().unwrap(), metric: 0, hops: vec![(out, Some(gateway))] };
                    stations[place].main.ways.push(way);
                }
            }
        }
        let owners = stations
            .iter()
            .enumerate()
            .flat_map(|(place, station)| station.addresses.iter().map(move |(net, _)| (net.addr(), place)));
        let owners = owners.collect();
        Self { stations, names, owners, inner_links }
    }

    /// The first address of a node.
    pub(crate) fn address(&self, node: &str) -> IpAddr {
        self.stations[self.names[node]].addresses[0].0.addr()
    }

    /// All addresses of all nodes.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        self.owners.keys().copied().collect()
    }

    /// Follows every way that a packet can take, with one link failed. Tells the nodes of every path, or why a
    /// packet is lost.
    pub(crate) fn paths(
        &self,
        from: &str,
        to: IpAddr,
        failed: Option<usize>,
    ) -> Result<BTreeSet<Vec<String>>, String> {
        let mut found = BTreeSet::new();
        self.follow(self.names[from], None, to, failed, &mut Vec::new(), &mut found)?;
        Ok(found)
    }

    fn follow(
        &self,
        at: usize,
        arrival: Option<usize>,
        to: IpAddr,
        failed: Option<usize>,
        path: &mut Vec<(usize, Option<usize>)>,
        found: &mut BTreeSet<Vec<String>>,
    ) -> Result<(), String> {
        let names = |path: &[(usize, Option<usize>)]| -> Vec<String> {
            path.iter().map(|(node, _)| self.stations[*node].name.clone()).collect()
        };
        if path.contains(&(at, arrival)) {
            return Err(format!("{to}: in a circle by {:?} to {}", names(path), self.stations[at].name));
        }
        path.push((at, arrival));
        if self.owners.get(&to) == Some(&at) {
            found.insert(names(path));
            path.pop();
            return Ok(());
        }
        let hops = self.lookup(at, arrival, to, failed);
        if hops.is_empty() {
            return Err(format!("{to}: no route at {:?}", names(path)));
        }
        for (interface, via) in hops {
            let wire = &self.stations[at].wires[&interface];
            // Whoever is asked for answers only on this wire.
            let target = via.unwrap_or(to);
            if self.owners.get(&target) != Some(&wire.far_node) {
                return Err(format!("{to}: nobody is {target} behind {:?}", names(path)));
            }
            self.follow(wire.far_node, Some(wire.far_interface), to, failed, path, found)?;
        }
        path.pop();
        Ok(())
    }

    /// As the kernel: rules in order, then the main table; in a table the longest prefix, then the smallest metric,
    /// passing over next hops whose link has no carrier.
    fn lookup(
        &self,
        at: usize,
        arrival: Option<usize>,
        to: IpAddr,
        failed: Option<usize>,
    ) -> Vec<(usize, Option<IpAddr>)> {
        let station = &self.stations[at];
        let rules = station.rules.iter().filter(|(_, input, prefix, _)| {
            input.is_none_or(|input| Some(input) == arrival)
                && prefix.is_none_or(|prefix| prefix.contains(&to))
        });
        let tables = rules.filter_map(|(_, _, _, table)| station.tables.get(table)).chain([&station.main]);
        for table in tables {
            let mut fitting: Vec<&Way> = table.ways.iter().filter(|way| way.prefix.contains(&to)).collect();
            fitting.sort_by_key(|way| (std::cmp::Reverse(way.prefix.prefix_len()), way.metric));
            for way in fitting {
                let alive = |interface: &usize| Some(station.wires[interface].link) != failed;
                let hops: Vec<_> =
                    way.hops.iter().filter(|(interface, _)| alive(interface)).copied().collect();
                if !hops.is_empty() {
                    return hops;
                }
            }
        }
        Vec::new()
    }
}

fn way(station: &Station, route: &Route) -> Way {
    let gateways = route.via.iter().chain(route.nexthops.iter().filter_map(|hop| hop.via.as_ref()));
    let hops = gateways.map(|via| {
        let out = station.addresses.iter().find(|(net, _)| net.contains(&via.value));
        (out.expect("the gateway is on a link").1, Some(via.value))
    });
    let prefix = route_destination(route).unwrap();
    Way {
        prefix,
        // What the kernel takes where nothing is said (IP6_RT_PRIO_USER).
        metric: route.metric.unwrap_or(if prefix.addr().is_ipv6() { 1024 } else { 0 }),
        hops: hops.collect(),
    }
}

/// Groups of nodes and networks that hang together by links and ports.
pub(crate) fn pieces(topology: &Topology) -> usize {
    let mut parts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut join = |a: String, b: String| {
        parts.entry(a.clone()).or_default().insert(b.clone());
        parts.entry(b).or_default().insert(a);
    };
    for item in &topology.links {
        if let Some(ends) = &item.link {
            join(ends.a.node.to_string(), ends.b.node.to_string());
        }
    }
    for (key, node) in topology.endpoints.iter().chain(&topology.routers) {
        join(key.to_string(), key.to_string());
        for network in node.interfaces.values().filter_map(|interface| interface.network.as_ref()) {
            join(key.to_string(), network.to_string());
        }
    }
    for key in topology.networks.keys() {
        join(key.to_string(), key.to_string());
    }
    let mut left: BTreeSet<String> = parts.keys().cloned().collect();
    let mut pieces = 0;
    while let Some(first) = left.pop_first() {
        pieces += 1;
        let mut waiting = vec![first];
        while let Some(at) = waiting.pop() {
            waiting.extend(parts[&at].iter().filter(|next| left.remove(*next)).cloned());
        }
    }
    pieces
}
