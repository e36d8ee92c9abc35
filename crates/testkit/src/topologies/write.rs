//! From a recipe to a file in the language.
//!
//! Each piece writes lines into the sections of the file, and tells what stands above may use: nodes with an
//! IPv4 address, interfaces, networks, and places that can forward.

use super::Recipe;
use super::piece::{Piece, Shape};
use std::fmt::Write as _;

/// The sections of the file, and what the pieces offer.
#[derive(Default)]
struct Sections {
    endpoints: String,
    routers: String,
    networks: String,
    links: String,
    generate: String,
    /// Endpoints and routers with an IPv4 address.
    nodes: Vec<String>,
    /// Their interfaces.
    interfaces: Vec<String>,
    /// Networks with nodes.
    peers: Vec<String>,
    /// Where a forward can stand, with a node behind it.
    forwards: Vec<(String, String)>,
}

macro_rules! line {
    ($text:expr, $($format:tt)*) => {{
        // Writing to a String can't fail.
        let _ = writeln!($text, $($format)*);
    }};
}

pub(super) fn file(recipe: &Recipe) -> String {
    let mut sections = Sections::default();
    for (number, piece) in &recipe.pieces {
        sections.add(*number, piece);
    }
    let mut text = "netloom: 1\nname: random\n".to_owned();
    if recipe.above.defaults {
        text.push_str("defaults: { mtu: 1500, sysctls: { net.ipv4.tcp_fin_timeout: 30 } }\n");
    }
    let groups = groups(recipe, &sections);
    for (name, body) in [
        ("groups", &groups),
        ("networks", &sections.networks),
        ("endpoints", &sections.endpoints),
        ("routers", &sections.routers),
        ("links", &sections.links),
        ("generate", &sections.generate),
    ] {
        if !body.is_empty() {
            let _ = write!(text, "{name}:\n{body}");
        }
    }
    policies(recipe, &sections, &mut text);
    qos(recipe, &sections, &mut text);
    forwards(recipe, &sections, &mut text);
    tests(recipe, &sections, &mut text);
    text
}

/// One of a list, counted modulo its length.
fn pick<T>(list: &[T], number: u8) -> Option<&T> {
    list.get(usize::from(number) % list.len().max(1))
}

impl Sections {
    fn add(&mut self, number: u8, piece: &Piece) {
        match piece.shape {
            Shape::Switch => self.switch(number, piece),
            Shape::Behind => self.behind(number, piece),
            Shape::Vlans => self.vlans(number, piece),
            Shape::Circle => self.circle(number, piece),
            Shape::Overlay => self.overlay(number, piece),
            Shape::Macvlan => self.macvlan(number, piece),
            Shape::Ipvlan => self.ipvlan(number, piece),
            Shape::Chain => self.chain(number, piece),
            Shape::Routers => self.router_piece(number, piece),
            Shape::Replicas => self.replicas(number, piece),
            Shape::Taps => self.taps(number),
            Shape::Stacked => self.stacked(number, piece),
            Shape::Tunnels => self.tunnels(number, piece),
            Shape::Generator => self.generator(number, piece),
            Shape::Uplink => self.uplink(number, piece),
        }
    }

    /// An endpoint with one interface in full form.
    fn endpoint(&mut self, name: &str, interface: &str) {
        line!(self.endpoints, "  {name}: {{ interfaces: {{ eth0: {{ {interface} }} }} }}");
        self.nodes.push(name.to_owned());
        self.interfaces.push(format!("{name}:eth0"));
    }

    fn switch(&mut self, n: u8, piece: &Piece) {
        let mode = ["bridge", "host-only", "routed", "nat"][piece.choose(0, 4) as usize];
        let mut keys = format!("mode: {mode}, subnet: ");
        keys.push_str(&if piece.flag(2) {
            format!("[10.{n}.0.0/24, \"fd00:{n:x}::/64\"]")
        } else {
            format!("10.{n}.0.0/24")
        });
        if matches!(mode, "nat" | "routed") {
            keys.push_str(", uplink: none");
        }
        if piece.flag(3) {
            keys.push_str(", isolated: true");
        }
        if piece.flag(4) {
            keys.push_str(", mtu: 1400");
        }
        if piece.flag(5) {
            keys.push_str(", bridge: { stp: true, forward-delay: 2s, ageing: 100s }");
        }
        if piece.media() && piece.flag(6) {
            keys.push_str(", medium: { rate: 100mbit, delay: 1ms, jitter: 500us, loss: 0.1% }");
        }
        line!(self.networks, "  p{n}-lan: {{ {keys} }}");
        for i in 1..=piece.size {
            let interface = match (piece.choose(6 + u32::from(i), 4), mode) {
                (0, _) => format!("network: p{n}-lan, address: 10.{n}.0.{}", 100 + u16::from(i)),
                (1, _) => format!("network: p{n}-lan, mac: \"02:00:00:00:{n:02x}:{i:02x}\", queues: 1"),
                (2, "bridge") => format!("network: p{n}-lan, isolated: false, gateway: none"),
                _ => format!("network: p{n}-lan, gateway: auto"),
            };
            self.endpoint(&format!("p{n}-n{i}"), &interface);
        }
        self.peers.push(format!("p{n}-lan"));
        if matches!(mode, "nat" | "routed") {
            self.forwards.push((format!("p{n}-lan"), format!("p{n}-n1")));
        }
    }

    fn behind(&mut self, n: u8, piece: &Piece) {
        let mode = if piece.flag(0) { "nat" } else { "routed" };
        line!(self.networks, "  p{n}-out: {{ mode: bridge, subnet: 10.{n}.1.0/24 }}");
        line!(self.networks, "  p{n}-in: {{ mode: {mode}, subnet: 10.{n}.2.0/24, uplink: p{n}-out }}");
        self.endpoint(&format!("p{n}-server"), &format!("network: p{n}-out, address: 10.{n}.1.80/24"));
        for i in 1..=piece.size {
            line!(self.endpoints, "  p{n}-n{i}: {{ networks: p{n}-in }}");
            self.nodes.push(format!("p{n}-n{i}"));
        }
        self.peers.extend([format!("p{n}-out"), format!("p{n}-in")]);
        self.forwards.push((format!("p{n}-in"), format!("p{n}-n1")));
    }

    fn vlans(&mut self, n: u8, piece: &Piece) {
        line!(self.networks, "  p{n}-left: {{ bridge: {{ default-vlan: {} }} }}", 1 + piece.choose(0, 3));
        line!(self.networks, "  p{n}-right: {{ bridge: {{ vlan-filtering: true }} }}");
        line!(self.links, "  - p{n}-left:to-right -- p{n}-right:to-left");
        for i in 1..=piece.size {
            let side = if piece.flag(u32::from(i)) { "left" } else { "right" };
            let vlan = 10 * (1 + piece.choose(3 + u32::from(i), 3));
            let mut port = match piece.choose(5 + u32::from(i), 3) {
                0 => format!("trunk: [\"{vlan}\", \"100-110\"], native: {vlan}"),
                _ => format!("vlan: {vlan}"),
            };
            // Both switches filter, whatever the others are.
            if i == 1 {
                port = format!("vlan: {vlan}");
            }
            let side = if i == 1 { "left" } else { side };
            let interface = format!("network: p{n}-{side}, {port}, address: 10.{n}.0.{i}/24");
            self.endpoint(&format!("p{n}-n{i}"), &interface);
        }
    }

    fn circle(&mut self, n: u8, piece: &Piece) {
        let count = 3 + piece.choose(0, 3);
        for i in 1..=count {
            let priority = 4096 * i;
            // Those that are not the root take its times.
            let age = 6 + i % 2;
            let settings = format!(
                "stp: true, priority: {priority}, forward-delay: 2s, hello-time: 1s, max-age: {age}s"
            );
            line!(self.networks, "  p{n}-s{i}: {{ bridge: {{ {settings} }} }}");
            let next = i % count + 1;
            line!(self.links, "  - p{n}-s{i}:next -- p{n}-s{next}:last");
            let cost = if piece.flag(i) { ", stp-cost: 50" } else { "" };
            self.endpoint(
                &format!("p{n}-n{i}"),
                &format!("network: p{n}-s{i}, address: 10.{n}.0.{i}/24{cost}"),
            );
        }
    }

    fn overlay(&mut self, n: u8, piece: &Piece) {
        let vteps = 1 + piece.choose(0, 4);
        line!(self.networks, "  p{n}-wan: {{ mode: bridge, subnet: 10.{n}.1.0/24 }}");
        let list: Vec<String> = (1..=vteps).map(|i| format!("p{n}-v{i}: 10.{n}.1.{i}")).collect();
        let kind = match piece.choose(2, 3) {
            0 if piece.rare() => ", encapsulation: geneve".to_owned(),
            1 => format!(", group: 239.1.{n}.1"),
            _ => String::new(),
        };
        let vni = 1000 + u32::from(n);
        line!(
            self.networks,
            "  p{n}-over: {{ mode: overlay, subnet: 10.{n}.2.0/24, vni: {vni}{kind}, vteps: {{ {} }} }}",
            list.join(", ")
        );
        for i in 1..=vteps {
            self.endpoint(&format!("p{n}-v{i}"), &format!("network: p{n}-wan, address: 10.{n}.1.{i}"));
        }
        for i in 1..=piece.size {
            let at = 1 + piece.choose(4 + u32::from(i), vteps);
            line!(self.endpoints, "  p{n}-n{i}: {{ at: p{n}-v{at}, networks: [p{n}-over] }}");
            self.nodes.push(format!("p{n}-n{i}"));
        }
        self.peers.extend([format!("p{n}-wan"), format!("p{n}-over")]);
    }

    fn macvlan(&mut self, n: u8, piece: &Piece) {
        let mode = ["private", "vepa", "bridge", "passthru", "source"][piece.choose(0, 5) as usize];
        line!(self.networks, "  p{n}-wire: {{ subnet: 10.{n}.0.0/24 }}");
        line!(self.networks, "  p{n}-mv: {{ mode: macvlan, macvlan: {mode}, parent: \"p{n}-server:eth0\" }}");
        line!(
            self.endpoints,
            "  p{n}-server: {{ interfaces: {{ eth0: {{ network: p{n}-wire, address: none }} }} }}"
        );
        self.endpoint(&format!("p{n}-near"), &format!("network: p{n}-wire, address: 10.{n}.0.2"));
        let guests = if mode == "passthru" { 1 } else { piece.size };
        for i in 1..=guests {
            self.endpoint(
                &format!("p{n}-n{i}"),
                &format!("network: p{n}-mv, address: 10.{n}.0.{}/24", 10 + i),
            );
        }
        self.peers.push(format!("p{n}-wire"));
    }

    fn ipvlan(&mut self, n: u8, piece: &Piece) {
        let mode = ["l2", "l3", "l3s"][piece.choose(0, 3) as usize];
        let flag = ["bridge", "private", "vepa"][piece.choose(2, 3) as usize];
        line!(self.networks, "  p{n}-wire: {{ subnet: 10.{n}.0.0/24 }}");
        line!(
            self.networks,
            "  p{n}-iv: {{ mode: ipvlan, ipvlan: {mode}, ipvlan-flag: {flag}, parent: \"p{n}-server:eth0\" }}"
        );
        self.endpoint(&format!("p{n}-server"), &format!("network: p{n}-wire, address: 10.{n}.0.1"));
        for i in 1..=piece.size {
            self.endpoint(
                &format!("p{n}-n{i}"),
                &format!("network: p{n}-iv, address: 10.{n}.0.{}/24", 10 + i),
            );
        }
    }

    fn chain(&mut self, n: u8, piece: &Piece) {
        let count = piece.size.max(2);
        for i in 1..=count {
            line!(self.endpoints, "  p{n}-n{i}: {{ forwarding: true }}");
            self.nodes.push(format!("p{n}-n{i}"));
        }
        for i in 1..count {
            let next = i + 1;
            let mtu = if piece.flag(u32::from(i)) { ", mtu: 9000" } else { "" };
            let medium = match piece.choose(3 + u32::from(i), 5) {
                _ if !piece.media() => "",
                0 => ", medium: { profile: cat6, length: 50 }",
                1 => ", medium: { profile: wifi-ac, length: 20 }",
                2 => ", medium: { duplex: simplex }",
                3 => ", medium: { rate: 10mbit, duplex: half }",
                _ => "",
            };
            line!(
                self.links,
                "  - {{ link: \"p{n}-n{i}:b -- p{n}-n{next}:a\", addresses: [10.{n}.{i}.0/31, 10.{n}.{i}.1/31]{mtu}{medium} }}"
            );
            self.interfaces.push(format!("p{n}-n{i}:b"));
        }
    }

    fn router_piece(&mut self, n: u8, piece: &Piece) {
        line!(self.networks, "  p{n}-a: {{ subnet: 10.{n}.1.0/24, gateway: 10.{n}.1.1 }}");
        line!(self.networks, "  p{n}-b: {{ subnet: 10.{n}.2.0/24, gateway: 10.{n}.2.1 }}");
        line!(self.routers, "  p{n}-r1:");
        line!(self.routers, "    interfaces:");
        line!(self.routers, "      eth0: {{ network: p{n}-a, address: 10.{n}.1.1 }}");
        line!(self.routers, "      eth1: {{ network: p{n}-b, address: 10.{n}.2.1 }}");
        line!(self.routers, "      lo: {{ address: 10.{n}.9.1/32 }}");
        line!(self.routers, "    routes:");
        line!(self.routers, "      - {{ to: 10.{n}.128.0/17, action: blackhole }}");
        if piece.flag(0) {
            line!(
                self.routers,
                "      - {{ to: 10.{n}.64.0/18, nexthops: [{{ via: 10.{n}.2.2, weight: 2 }}, {{ via: 10.{n}.1.2 }}] }}"
            );
        }
        line!(
            self.routers,
            "      - {{ to: 10.{n}.9.2/32, via: 10.{n}.2.2, metric: {} }}",
            10 + piece.choose(1, 90)
        );
        if piece.flag(2) {
            line!(self.routers, "      - {{ to: default, via: 10.{n}.2.2, table: 100 }}");
            line!(self.routers, "    rules:");
            line!(self.routers, "      - {{ priority: 100, from: 10.{n}.1.0/25, table: 100 }}");
        }
        if piece.flag(3) {
            line!(self.routers, "    masquerade: [{{ out: eth1, from: 10.{n}.1.0/24 }}]");
        }
        if piece.flag(4) {
            line!(self.routers, "    firewall:");
            line!(self.routers, "      default: deny");
            line!(self.routers, "      input: allow");
            line!(self.routers, "      rules:");
            line!(
                self.routers,
                "        - {{ allow: p{n}-a -> any, output: eth1, services: [icmp, tcp/1-1024] }}"
            );
            line!(self.routers, "        - {{ reject: \"10.{n}.2.0/24 -> p{n}-a\", log: true }}");
        }
        if piece.flag(5) {
            line!(self.routers, "    sysctls: {{ net/ipv4/conf/all/rp_filter: 2 }}");
        }
        line!(self.routers, "  p{n}-r2:");
        line!(self.routers, "    interfaces:");
        line!(self.routers, "      eth0: {{ network: p{n}-a, address: 10.{n}.1.2, gateway: none }}");
        line!(self.routers, "      eth1: {{ network: p{n}-b, address: 10.{n}.2.2, gateway: none }}");
        line!(self.routers, "      lo: {{ address: 10.{n}.9.2/32 }}");
        self.nodes.extend([format!("p{n}-r1"), format!("p{n}-r2")]);
        self.interfaces.extend([format!("p{n}-r1:eth0"), format!("p{n}-r2:eth1")]);
        for i in 1..=piece.size {
            let side = if piece.flag(6 + u32::from(i)) { "a" } else { "b" };
            line!(self.endpoints, "  p{n}-n{i}: {{ networks: [p{n}-{side}] }}");
            self.nodes.push(format!("p{n}-n{i}"));
            if i == 1 {
                self.forwards.push((format!("p{n}-r1"), format!("p{n}-n1")));
            }
        }
        self.peers.extend([format!("p{n}-a"), format!("p{n}-b")]);
    }

    fn replicas(&mut self, n: u8, piece: &Piece) {
        line!(self.networks, "  p{n}-lan: {{ mode: host-only, subnet: 10.{n}.0.0/24 }}");
        line!(self.endpoints, "  p{n}-web: {{ replicas: {}, networks: [p{n}-lan] }}", 2 * piece.size);
        self.endpoint(&format!("p{n}-client"), &format!("network: p{n}-lan"));
        self.peers.extend([format!("p{n}-lan"), format!("p{n}-web")]);
    }

    fn taps(&mut self, n: u8) {
        line!(self.networks, "  p{n}-lan: {{ subnet: 10.{n}.0.0/24 }}");
        self.endpoint(&format!("p{n}-host"), &format!("network: p{n}-lan"));
        line!(
            self.links,
            "  - {{ on: \"p{n}-host:tap0\", kind: tap, addresses: [10.{n}.1.1/24], vnet-header: true }}"
        );
        line!(
            self.links,
            "  - {{ on: \"p{n}-host:tun0\", kind: tun, addresses: [10.{n}.2.1/24], multi-queue: true }}"
        );
        line!(self.links, "  - {{ on: \"p{n}-lan:vm\", kind: tap, user: 1000 }}");
    }

    fn stacked(&mut self, n: u8, piece: &Piece) {
        line!(self.networks, "  p{n}-lan: {{ subnet: 10.{n}.0.0/24 }}");
        self.endpoint(&format!("p{n}-near"), &format!("network: p{n}-lan"));
        line!(self.endpoints, "  p{n}-host:");
        line!(self.endpoints, "    interfaces:");
        line!(self.endpoints, "      eth0: {{ network: p{n}-lan, address: 10.{n}.0.9 }}");
        line!(self.endpoints, "      eth1: {{ network: p{n}-lan, address: none }}");
        line!(self.endpoints, "      eth2: {{ network: p{n}-lan, address: none }}");
        line!(self.endpoints, "      eth3: {{ network: p{n}-lan, address: none }}");
        if piece.flag(0) {
            line!(self.endpoints, "    vrfs: {{ red: {{ table: 10, interfaces: [d0] }} }}");
            line!(self.endpoints, "    routes: [{{ to: default, action: unreachable, vrf: red }}]");
        } else {
            line!(self.links, "  - {{ on: \"p{n}-host:blue\", kind: vrf, table: 11, members: [d0] }}");
        }
        let mode = ["active-backup", "balance-xor", "802.3ad"][piece.choose(1, 3) as usize];
        line!(
            self.links,
            "  - {{ on: \"p{n}-host:bond0\", kind: bond, members: [eth1, eth2], mode: {mode}, monitor: 100ms, addresses: [10.{n}.3.1/24] }}"
        );
        line!(
            self.links,
            "  - {{ on: \"p{n}-host:v10\", kind: vlan, parent: eth0, id: 10, addresses: [10.{n}.4.1/24] }}"
        );
        line!(self.links, "  - {{ on: \"p{n}-host:d0\", kind: dummy, addresses: [10.{n}.5.1/24] }}");
        line!(
            self.links,
            "  - {{ on: \"p{n}-host:mv0\", kind: macvlan, parent: eth0, mode: bridge, addresses: [10.{n}.6.1/24] }}"
        );
        line!(
            self.links,
            "  - {{ on: \"p{n}-host:iv0\", kind: ipvlan, parent: eth3, mode: l2, addresses: [10.{n}.7.1/24] }}"
        );
        line!(self.links, "  - {{ on: \"p{n}-host:ifb0\", kind: ifb }}");
    }

    fn tunnels(&mut self, n: u8, piece: &Piece) {
        line!(self.networks, "  p{n}-wan: {{ subnet: 10.{n}.1.0/24 }}");
        for end in ["a", "b"] {
            let last = if end == "a" { 1 } else { 2 };
            self.endpoint(&format!("p{n}-{end}"), &format!("network: p{n}-wan, address: 10.{n}.1.{last}"));
        }
        let all = [
            "kind: gre, key: 7, ttl: 64".to_owned(),
            format!("kind: gretap, local: 10.{n}.1.1, remote: 10.{n}.1.2, checksum: true"),
            format!("kind: vxlan, vni: {}", 5000 + u32::from(n)),
            format!("kind: geneve, vni: {}, port: 6090", 5000 + u32::from(n)),
            "kind: wireguard, keepalive: 25".to_owned(),
        ];
        for (number, keys) in all.iter().enumerate().take(1 + piece.choose(0, 5) as usize) {
            let net = 10 + number;
            line!(
                self.links,
                "  - {{ link: \"p{n}-a:t{number} -- p{n}-b:t{number}\", {keys}, addresses: [10.{n}.{net}.1/24, 10.{n}.{net}.2/24] }}"
            );
        }
        line!(
            self.links,
            "  - {{ on: \"p{n}-a:out\", kind: gre, local: 10.{n}.1.1, remote: 192.0.2.1, key: 9 }}"
        );
        line!(
            self.links,
            "  - {{ on: \"p{n}-a:mc\", kind: vxlan, vni: {}, port: 8472, group: 239.2.{n}.1, device: eth0 }}",
            6000 + u32::from(n)
        );
    }

    fn uplink(&mut self, n: u8, piece: &Piece) {
        let mode = if piece.flag(0) { "nat" } else { "routed" };
        line!(self.networks, "  p{n}-home: {{ mode: {mode}, subnet: 10.{n}.0.0/24, uplink: host }}");
        for i in 1..=piece.size {
            let mut keys = format!("networks: [p{n}-home]");
            if piece.choose(2 + u32::from(i), 3) == 0 {
                let span = 1000 + piece.choose(4, 9);
                keys.push_str(&format!(", run: [{{ name: sleep, command: [sleep, \"{span}\"] }}]"));
            }
            if piece.flag(5 + u32::from(i)) {
                keys.push_str(&format!(
                    ", sysctls: {{ net.ipv4.ip_default_ttl: {} }}",
                    65 + piece.choose(6, 9)
                ));
            }
            line!(self.endpoints, "  p{n}-n{i}: {{ {keys} }}");
            self.nodes.push(format!("p{n}-n{i}"));
        }
        self.peers.push(format!("p{n}-home"));
        self.forwards.push((format!("p{n}-home"), format!("p{n}-n1")));
    }

    fn generator(&mut self, n: u8, piece: &Piece) {
        let size = u32::from(piece.size);
        let (few, some) = (1 + size % 3, 3 + size % 4);
        let hosts = piece.choose(5, 3);
        let keys = match piece.choose(0, 9) {
            0 => format!("linear, nodes: {size}, hosts: {hosts}"),
            1 => format!("star, nodes: {size}"),
            2 => format!("ring, nodes: {some}, hosts: {hosts}"),
            3 => format!("mesh, nodes: {some}, hosts: {hosts}"),
            4 => format!("partial-mesh, nodes: {}, degree: 4", 6 + size % 4),
            5 => format!("tree, depth: {few}, fanout: 2, hosts: {hosts}"),
            6 => format!("three-tier, core: 2, aggregation: 2, access: {few}"),
            7 => format!("leaf-spine, spines: 2, leaves: {some}, hosts: {hosts}"),
            _ => "fat-tree, k: 2".to_owned(),
        };
        let fabric = match piece.choose(9, 3) {
            0 => ", fabric: switches",
            1 => ", fabric: routers",
            _ => "",
        };
        line!(self.generate, "  - {{ kind: {keys}{fabric}, prefix: p{n}-, subnet: 10.{n}.0.0/16 }}");
    }
}

fn groups(recipe: &Recipe, sections: &Sections) -> String {
    let mut text = String::new();
    for (number, (first, second)) in recipe.above.groups.iter().enumerate() {
        let (Some(first), Some(second)) = (pick(&sections.nodes, *first), pick(&sections.nodes, *second))
        else {
            continue;
        };
        if first == second {
            line!(text, "  g{number}: [{first}]");
        } else {
            line!(text, "  g{number}: [{first}, {second}]");
        }
    }
    text
}

fn policies(recipe: &Recipe, sections: &Sections, text: &mut String) {
    if recipe.above.rules.is_empty() {
        return;
    }
    let mut peers: Vec<&str> = sections.nodes.iter().chain(&sections.peers).map(String::as_str).collect();
    peers.push("any");
    peers.push("192.0.2.0/24");
    line!(text, "policies:");
    line!(text, "  default: {}", ["allow", "deny", "reject"][usize::from(recipe.above.default % 3)]);
    line!(text, "  rules:");
    let services =
        ["", ", services: icmp", ", services: [tcp/80, udp/53]", ", services: tcp/1000-2000, log: true"];
    for (stance, from, to, service) in &recipe.above.rules {
        let (Some(from), Some(to)) = (pick(&peers, *from), pick(&peers, *to)) else { continue };
        let stance = ["allow", "deny", "reject"][usize::from(stance % 3)];
        line!(text, "    - {{ {stance}: \"{from} -> {to}\"{} }}", services[usize::from(service % 4)]);
    }
}

fn qos(recipe: &Recipe, sections: &Sections, text: &mut String) {
    let mut used = Vec::new();
    for (interface, kind) in &recipe.above.qos {
        let Some(interface) = pick(&sections.interfaces, *interface) else { continue };
        if used.contains(&interface) {
            continue;
        }
        if used.is_empty() {
            line!(text, "qos:");
        }
        used.push(interface);
        let how = match kind % 3 {
            0 => {
                "htb: { rate: 10mbit, default: rest, classes: { top: { rate: 6mbit, ceil: 10mbit, match: { service: tcp/80 } }, \
                 rest: { rate: 4mbit, ceil: 8mbit } } }"
            }
            1 => "tbf: { rate: 5mbit, latency: 20ms }",
            _ => {
                "bandwidth: { inbound: { average: 1000, peak: 2000, burst: 512 }, outbound: { average: 500 } }"
            }
        };
        line!(text, "  - {{ on: \"{interface}\", {how} }}");
    }
}

fn forwards(recipe: &Recipe, sections: &Sections, text: &mut String) {
    let mut used = Vec::new();
    for (place, port) in &recipe.above.forwards {
        let Some((on, to)) = pick(&sections.forwards, *place) else { continue };
        // A port of the host can lead to one node only, whatever the network.
        if used.contains(&port) {
            continue;
        }
        if used.is_empty() {
            line!(text, "forwards:");
        }
        used.push(port);
        line!(text, "  - {{ on: {on}, service: tcp/{}, to: {to}, port: 80 }}", 8000 + u32::from(*port));
    }
}

fn tests(recipe: &Recipe, sections: &Sections, text: &mut String) {
    let mut some = false;
    for (verb, from, to) in &recipe.above.tests {
        let (Some(from), Some(to)) = (pick(&sections.nodes, *from), pick(&sections.nodes, *to)) else {
            continue;
        };
        if from == to {
            continue;
        }
        if !some {
            line!(text, "tests:");
            some = true;
        }
        let what = match verb % 4 {
            0 => format!("reach: {from} -> {to}"),
            1 => format!("blocked: {from} -> {to}, over: [icmp, tcp/80]"),
            2 => format!("loss: {from} -> {to}, at-most: 100%, count: 3"),
            _ => format!("bandwidth: {from} -> {to}, rate: 1mbit, tolerance: 100%"),
        };
        line!(text, "  - {{ {what} }}");
    }
}
