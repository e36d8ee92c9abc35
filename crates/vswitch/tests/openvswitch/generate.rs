//! Flows and packets by chance, of so few values that they meet.

/// Ports of the bridge.
pub(crate) const PORTS: u16 = 6;

/// A generator of numbers (splitmix64).
pub(crate) struct Random {
    state: u64,
    /// Flows have instructions, and go by OpenFlow 1.3; else they have actions only, and go by 1.0.
    pub(crate) instructions: bool,
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d;
        Self { state, instructions: seed % 2 == 1 }
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.state;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ word >> 31) % limit
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len() as u64) as usize]
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

const IP4: [&str; 4] = ["10.0.0.1", "10.0.0.2", "10.1.0.1", "192.168.0.1"];
const IP4_MASKED: [&str; 6] =
    ["10.0.0.1", "10.0.0.0/24", "10.0.0.0/8", "10.1.0.0/16", "192.168.0.1", "0.0.0.1/0.0.0.255"];
const IP6: [&str; 3] = ["fd00::1", "fd00::2", "fe80::1"];
const IP6_MASKED: [&str; 4] = ["fd00::1", "fd00::/16", "fd00::2", "fe80::/10"];
const MAC: [&str; 4] = ["00:00:00:00:00:01", "00:00:00:00:00:02", "02:00:00:00:00:03", "ff:ff:ff:ff:ff:ff"];
const PORT: [&str; 4] = ["80", "53", "443", "8080"];
const TABLES: u64 = 5;
const GROUPS: u64 = 4;

/// A group: its number, its kind, and the actions of each bucket.
pub(crate) struct Group {
    pub(crate) number: u32,
    pub(crate) kind: &'static str,
    pub(crate) buckets: Vec<String>,
}

impl Group {
    /// As `ovs-ofctl` writes it. Buckets of a fast failover watch a port that works.
    pub(crate) fn text(&self) -> String {
        let watch = if self.kind == "ff" { "watch_port:1," } else { "" };
        let buckets: Vec<String> =
            self.buckets.iter().map(|actions| format!("bucket={watch}actions={actions}")).collect();
        format!("group_id={},type={},{}", self.number, self.kind, buckets.join(","))
    }
}

/// All groups that flows may name; none for OpenFlow 1.0. Whichever bucket is chosen does not depend on a hash.
pub(crate) fn groups(random: &mut Random) -> Vec<Group> {
    if !random.instructions {
        return Vec::new();
    }
    let mut group = |number| {
        let kind = ["all", "indirect", "ff"][random.below(3) as usize];
        let count = if matches!(kind, "all" | "ff") { random.below(3) + 1 } else { 1 };
        let mut bucket = || {
            let list: Vec<String> = (0..random.below(3) + 1).map(|_| action(random, Kind::Any, 1)).collect();
            list.join(",")
        };
        Group { number, kind, buckets: (0..count).map(|_| bucket()).collect() }
    };
    (1..=GROUPS as u32).map(&mut group).collect()
}

/// What kind of packet a flow is for.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Any,
    Ip,
    Tcp,
    Udp,
    Icmp,
    Ip6,
    Tcp6,
    Arp,
}

fn kind(random: &mut Random) -> Kind {
    let kinds = [
        Kind::Any,
        Kind::Any,
        Kind::Ip,
        Kind::Tcp,
        Kind::Tcp,
        Kind::Udp,
        Kind::Icmp,
        Kind::Ip6,
        Kind::Tcp6,
        Kind::Arp,
    ];
    kinds[random.below(kinds.len() as u64) as usize]
}

const fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Any => "",
        Kind::Ip => "ip",
        Kind::Tcp => "tcp",
        Kind::Udp => "udp",
        Kind::Icmp => "icmp",
        Kind::Ip6 => "ipv6",
        Kind::Tcp6 => "tcp6",
        Kind::Arp => "arp",
    }
}

/// A flow as `ovs-ofctl` writes it. Not all are legal.
pub(crate) fn flow(random: &mut Random) -> String {
    let table = if random.chance(40) { 0 } else { random.below(TABLES) };
    let kind = kind(random);
    let mut terms = vec![format!("table={table}"), format!("priority={}", random.below(8) + 1)];
    if kind != Kind::Any {
        terms.push(word(kind).into());
    }
    if random.chance(30) {
        terms.push(format!("in_port={}", random.below(u64::from(PORTS)) + 1));
    }
    if random.chance(15) {
        terms.push(format!("dl_dst={}", random.one(&MAC)));
    }
    if random.chance(10) {
        terms.push(format!("dl_src={}", random.one(&MAC)));
    }
    if random.chance(8) {
        terms.push("dl_dst=01:00:00:00:00:00/01:00:00:00:00:00".into());
        terms.retain({
            let mut seen = false;
            move |term| !term.starts_with("dl_dst") || !std::mem::replace(&mut seen, true)
        });
    }
    if random.chance(15) {
        terms.push(match random.below(4) {
            0 if random.instructions => "vlan_tci=0".into(),
            1 if random.instructions => "vlan_vid=0x1000/0x1000".into(),
            0 => "vlan_tci=0x0000/0x1fff".into(),
            1 => "vlan_tci=0x1000/0x1000".into(),
            2 => format!("dl_vlan={}", random.below(3) + 5),
            _ => format!("dl_vlan_pcp={}", random.below(3)),
        });
    }
    if table > 0 && random.chance(25) {
        terms.push(format!("reg{}={}", random.below(3), random.below(3)));
    }
    if table > 0 && random.chance(10) {
        terms.push(format!("metadata={}", random.below(3)));
    }
    layers(random, kind, &mut terms);
    format!("{},actions={}", terms.join(","), actions(random, kind, table))
}

fn layers(random: &mut Random, kind: Kind, terms: &mut Vec<String>) {
    match kind {
        Kind::Ip | Kind::Tcp | Kind::Udp | Kind::Icmp => {
            if random.chance(40) {
                terms.push(format!("nw_src={}", random.one(&IP4_MASKED)));
            }
            if random.chance(40) {
                terms.push(format!("nw_dst={}", random.one(&IP4_MASKED)));
            }
            if random.chance(10) {
                terms.push(format!("nw_ttl={}", random.below(3)));
            }
            if random.chance(10) {
                terms.push(format!("nw_tos={}", random.below(3) * 4));
            }
            if matches!(kind, Kind::Ip) && random.chance(10) {
                terms.push(format!("ip_frag={}", random.one(&["no", "yes", "first", "later", "not_later"])));
            }
        }
        Kind::Ip6 | Kind::Tcp6 => {
            if random.chance(40) {
                terms.push(format!("ipv6_src={}", random.one(&IP6_MASKED)));
            }
            if random.chance(40) {
                terms.push(format!("ipv6_dst={}", random.one(&IP6_MASKED)));
            }
        }
        Kind::Arp => {
            if random.chance(40) {
                terms.push(format!("arp_op={}", random.below(2) + 1));
            }
            if random.chance(30) {
                terms.push(format!("arp_tpa={}", random.one(&IP4_MASKED)));
            }
        }
        Kind::Any => {}
    }
    if matches!(kind, Kind::Tcp | Kind::Udp | Kind::Tcp6) {
        if random.chance(40) {
            let ports = ["80", "53", "443", "8080", "0x50/0xfff0", "0x1b0/0xfff0"];
            let ports = if random.instructions { &ports[..4] } else { &ports[..] };
            terms.push(format!("tp_dst={}", random.one(ports)));
        }
        if random.chance(20) {
            terms.push(format!("tp_src={}", random.one(&PORT)));
        }
    }
    if matches!(kind, Kind::Tcp) && random.chance(8) {
        terms.push(format!("tcp_flags={}", random.one(&["+syn-ack", "+ack", "+fin"])));
    }
    if kind == Kind::Icmp && random.chance(40) {
        terms.push(format!("icmp_type={}", random.below(2) * 8));
    }
}

fn actions(random: &mut Random, kind: Kind, table: u64) -> String {
    let mut list: Vec<String> = (0..random.below(5) + 1).map(|_| action(random, kind, 0)).collect();
    if random.instructions && table + 1 < TABLES && random.chance(30) {
        if random.chance(30) {
            list.push("clear_actions".into());
        }
        if random.chance(60) {
            let set = set(random, kind);
            list.push(format!("write_actions({set},output:{})", random.below(u64::from(PORTS)) + 1));
        }
        if random.chance(40) {
            list.push(format!("write_metadata:{}", random.below(3)));
        }
        list.push(format!("goto_table:{}", table + 1 + random.below(TABLES - table - 1)));
    }
    list.join(",")
}

fn action(random: &mut Random, kind: Kind, depth: u32) -> String {
    let port = random.below(u64::from(PORTS)) + 1;
    match random.below(20) {
        0..=5 => format!("output:{port}"),
        6 => random.one(&["in_port", "flood", "all", "drop_nothing"]).replace("drop_nothing", "note:00.01"),
        7..=10 => format!("resubmit(,{})", random.below(TABLES)),
        11 => format!("resubmit({port},{})", random.below(TABLES)),
        12 => format!("load:{}->NXM_NX_REG{}[]", random.below(3), random.below(3)),
        13 => random
            .one(&[
                "move:NXM_NX_REG0[]->NXM_NX_REG1[]",
                "push:NXM_NX_REG0[],pop:NXM_NX_REG2[]",
                "load:1->NXM_NX_REG0[0]",
                "set_field:2->reg1",
                "move:NXM_OF_IN_PORT[]->NXM_NX_REG1[0..15]",
                "output:NXM_NX_REG1[]",
                "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]",
                "load:0x7->OXM_OF_METADATA[]",
            ])
            .into(),
        14 if depth < 2 => {
            let inner: Vec<String> =
                (0..random.below(3) + 1).map(|_| action(random, kind, depth + 1)).collect();
            format!("clone({})", inner.join(","))
        }
        15 if random.chance(20) => "exit".into(),
        15 if random.instructions && depth == 0 => format!("group:{}", random.below(GROUPS) + 1),
        16 => format!("output(port={port},max_len={})", 64 + random.below(3) * 100),
        _ => set(random, kind),
    }
}

fn set(random: &mut Random, kind: Kind) -> String {
    let vlan = if random.instructions {
        let tag = format!("push_vlan:0x8100,set_field:{}->vlan_vid", 0x1005 + random.below(3));
        [tag, "push_vlan:0x8100,pop_vlan".into()]
    } else {
        [format!("mod_vlan_vid:{}", random.below(3) + 5), format!("mod_vlan_pcp:{}", random.below(3))]
    };
    let [one, other] = vlan;
    // OpenFlow 1.3 takes a tag only where there is one.
    let strip = if random.instructions { "push_vlan:0x88a8,pop_vlan" } else { "strip_vlan" };
    let general = [
        format!("mod_dl_src:{}", random.one(&MAC)),
        format!("mod_dl_dst:{}", random.one(&MAC)),
        one,
        other,
        strip.into(),
        // In OpenFlow 1.0 ovs-ofctl sends `set_field` of an address without its mask.
        if random.instructions {
            "set_field:00:00:00:00:00:aa/00:00:00:00:00:ff->eth_dst".into()
        } else {
            "load:0xaa->NXM_OF_ETH_DST[0..7]".into()
        },
        format!("set_field:{}->pkt_mark", random.below(3)),
    ];
    let of_kind: Vec<String> = match kind {
        Kind::Ip | Kind::Tcp | Kind::Udp | Kind::Icmp => vec![
            format!("mod_nw_src:{}", random.one(&IP4)),
            format!("mod_nw_dst:{}", random.one(&IP4)),
            format!("mod_nw_tos:{}", random.below(4) * 4),
            format!("mod_nw_ttl:{}", random.below(4)),
            "dec_ttl".into(),
            "move:NXM_OF_IP_SRC[]->NXM_OF_IP_DST[]".into(),
            "push:NXM_OF_IP_SRC[],push:NXM_OF_IP_DST[],pop:NXM_OF_IP_SRC[],pop:NXM_OF_IP_DST[]".into(),
            format!("mod_nw_ecn:{}", random.below(4)),
        ],
        Kind::Ip6 | Kind::Tcp6 => vec![
            format!("set_field:{}->ipv6_src", random.one(&IP6)),
            format!("set_field:{}->ipv6_dst", random.one(&IP6)),
            "dec_ttl".into(),
            "set_field:5->nw_ttl".into(),
        ],
        Kind::Arp => vec![
            format!("set_field:{}->arp_spa", random.one(&IP4)),
            format!("set_field:{}->arp_tha", random.one(&MAC)),
            "load:2->NXM_OF_ARP_OP[]".into(),
            "move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[]".into(),
        ],
        Kind::Any => Vec::new(),
    };
    let transport =
        [format!("mod_tp_src:{}", random.one(&PORT)), format!("mod_tp_dst:{}", random.one(&PORT))];
    let with_ports = matches!(kind, Kind::Tcp | Kind::Udp | Kind::Tcp6);
    let choices: Vec<&String> =
        general.iter().chain(&of_kind).chain(transport.iter().filter(|_| with_ports)).collect();
    choices[random.below(choices.len() as u64) as usize].clone()
}

/// A packet as `ofproto/trace` takes it.
pub(crate) fn packet(random: &mut Random) -> String {
    let kind = kind(random);
    let mut terms = vec![format!("in_port={}", random.below(u64::from(PORTS)) + 1)];
    if kind != Kind::Any {
        terms.push(word(kind).into());
    }
    terms.push(format!("dl_src={}", random.one(&MAC[..3])));
    terms.push(format!("dl_dst={}", random.one(&MAC)));
    if random.chance(30) {
        terms.push(format!("dl_vlan={}", random.below(3) + 5));
        terms.push(format!("dl_vlan_pcp={}", random.below(3)));
    }
    match kind {
        Kind::Ip | Kind::Tcp | Kind::Udp | Kind::Icmp => {
            terms.push(format!("nw_src={}", random.one(&IP4)));
            terms.push(format!("nw_dst={}", random.one(&IP4)));
            terms.push(format!("nw_ttl={}", random.below(4)));
            terms.push(format!("nw_tos={}", random.below(3) * 4));
            if kind == Kind::Ip {
                // Open vSwitch writes no network layer whose protocol is 0.
                terms.push("nw_proto=99".into());
            }
        }
        Kind::Ip6 | Kind::Tcp6 => {
            if kind == Kind::Ip6 {
                terms.push("nw_proto=99".into());
            }
            terms.push(format!("ipv6_src={}", random.one(&IP6)));
            terms.push(format!("ipv6_dst={}", random.one(&IP6)));
            terms.push(format!("nw_ttl={}", random.below(4) + 1));
        }
        Kind::Arp => {
            terms.push(format!("arp_op={}", random.below(2) + 1));
            terms.push(format!("arp_spa={}", random.one(&IP4)));
            terms.push(format!("arp_tpa={}", random.one(&IP4)));
            terms.push(format!("arp_sha={}", random.one(&MAC)));
        }
        Kind::Any => terms.push("dl_type=0x1234".into()),
    }
    if matches!(kind, Kind::Tcp | Kind::Udp | Kind::Tcp6) {
        let name = if kind == Kind::Udp { "udp" } else { "tcp" };
        terms.push(format!("{name}_src={}", random.one(&PORT)));
        terms.push(format!("{name}_dst={}", random.one(&PORT)));
    }
    if kind == Kind::Icmp {
        terms.push(format!("icmp_type={}", random.below(2) * 8));
        terms.push("icmp_code=0".into());
    }
    terms.join(",")
}
