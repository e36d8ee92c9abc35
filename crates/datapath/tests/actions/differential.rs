//! Random packets through random actions: the same octets as Open vSwitch's data path in user space.

use crate::ovs::Ovs;
use crate::packets::{Chance, Network, Packet, Transport};
use crate::rig::Rig;
use netloom_nf::{Action, NshHeader, NshMetadata, Program, Reason, Rewrite};
use netloom_table::Field;
use std::fmt::Write;
use std::sync::Arc;

/// Actions in both languages, and what the packet has become by them.
struct Writer<'a> {
    chance: &'a mut Chance,
    text: Vec<String>,
    actions: Vec<Action>,
    tags: usize,
    network: Network,
    transport: Transport,
    fragment: bool,
    labels: usize,
    /// The network layer is as it came.
    open: bool,
    outputs: usize,
}

fn address(octets: &[u8], separator: char, each: usize) -> String {
    let mut text = String::new();
    for (index, part) in octets.chunks(each).enumerate() {
        if index > 0 {
            text.push(separator);
        }
        part.iter().for_each(|octet| write!(text, "{octet:02x}").unwrap());
    }
    text
}

impl Writer<'_> {
    fn set(&mut self, text: String, writes: &[(Field, u64, u64)]) {
        self.text.push(text);
        let rewrite = Rewrite::new(writes.iter().copied()).unwrap();
        self.actions.push(Action::Set(Arc::new(rewrite)));
    }

    fn mac(&mut self, name: &str, field: Field) {
        let mask = if self.chance.one_in(2) { u64::MAX } else { self.chance.next() } & field.ones();
        let value = self.chance.next() & mask;
        let show = |number: u64| address(&number.to_be_bytes()[2..], ':', 1);
        self.set(format!("set_field:{}/{}->{name}", show(value), show(mask)), &[(field, value, mask)]);
    }

    fn four(&mut self, name: &str, field: Field) {
        let mask = if self.chance.one_in(2) { u64::MAX } else { self.chance.next() } & field.ones();
        let value = self.chance.next() & mask;
        let show = |number: u64| std::net::Ipv4Addr::from(number as u32).to_string();
        self.set(format!("set_field:{}/{}->{name}", show(value), show(mask)), &[(field, value, mask)]);
    }

    fn six(&mut self, name: &str, high: Field, low: Field) {
        let all = self.chance.one_in(2);
        let mut mask = || if all { u64::MAX } else { self.chance.next() };
        // `ovs-ofctl` takes a mask that begins with digits for the length of a prefix.
        let masks = (mask() | 0xf << 60, mask());
        let values = (self.chance.next() & masks.0, self.chance.next() & masks.1);
        let show = |(high, low): (u64, u64)| {
            std::net::Ipv6Addr::from(u128::from(high) << 64 | u128::from(low)).to_string()
        };
        let text = format!("set_field:{}/{}->{name}", show(values), show(masks));
        self.set(text, &[(high, values.0, masks.0), (low, values.1, masks.1)]);
    }

    fn number(&mut self, name: &str, field: Field, shift: u32, bits: u32) {
        let value = self.chance.below(1 << bits);
        let ones = (1 << bits) - 1;
        self.set(format!("set_field:{value}->{name}"), &[(field, value << shift, ones << shift)]);
    }

    fn port(&mut self, name: &str, field: Field) {
        let mask = if self.chance.one_in(2) { 0xffff } else { self.chance.below(0x1_0000) };
        let value = self.chance.next() & mask;
        self.set(format!("set_field:{value:#x}/{mask:#x}->{name}"), &[(field, value, mask)]);
    }

    /// One more action that fits the packet as it is.
    fn act(&mut self, nested: bool) {
        match self.chance.below(14) {
            0 => self.mac("eth_dst", Field::ETH_DST),
            1 => self.mac("eth_src", Field::ETH_SRC),
            2 if self.tags < 2 => {
                let vlan = self.chance.below(0xfff);
                self.text.push(format!("push_vlan:0x8100,set_field:{}->vlan_vid", 0x1000 | vlan));
                self.actions.push(Action::PushVlan { tpid: 0x8100, tci: vlan as u16 });
                self.tags += 1;
            }
            2 | 3 if self.tags > 0 => {
                self.text.push("pop_vlan".to_owned());
                self.actions.push(Action::PopVlan);
                self.tags -= 1;
            }
            4 if self.tags > 0 => {
                let vlan = self.chance.below(0xfff);
                self.set(format!("set_field:{}->vlan_vid", 0x1000 | vlan), &[(Field::VLAN_TCI, vlan, 0xfff)]);
                self.number("vlan_pcp", Field::VLAN_TCI, 13, 3);
            }
            5 if self.labels < 3 && self.network != Network::Arp => {
                let (label, class, hops) =
                    (self.chance.below(1 << 20), self.chance.below(8), self.chance.below(256));
                let bottom = u64::from(self.labels == 0);
                self.text.push(format!(
                    "push_mpls:0x8847,set_field:{label}->mpls_label,set_field:{class}->mpls_tc,set_field:{hops}->mpls_ttl"
                ));
                let entry = label << 12 | class << 9 | bottom << 8 | hops;
                self.actions.push(Action::PushMpls { ethertype: 0x8847, entry: entry as u32 });
                self.labels += 1;
                self.open = false;
            }
            6 if self.labels > 0 => {
                self.number("mpls_label", Field::MPLS_OUTER, 12, 20);
                self.number("mpls_tc", Field::MPLS_OUTER, 9, 3);
                self.number("mpls_ttl", Field::MPLS_OUTER, 0, 8);
            }
            7 if self.labels > 1 => {
                self.text.push("pop_mpls:0x8847".to_owned());
                self.actions.push(Action::PopMpls { ethertype: 0x8847 });
                self.labels -= 1;
            }
            8 => {
                self.text.push("output:2".to_owned());
                self.actions.push(Action::Output(2));
                self.outputs += 1;
            }
            9 if self.chance.one_in(2) => {
                let most = 14 + self.chance.below(80);
                // Open vSwitch takes the cut from the packet as it is before headers that are still to be put: after an
                // output there are none.
                self.text.push(format!("output:2,output(port=2,max_len={most})"));
                self.actions.extend([Action::Output(2), Action::Truncate(most as u32), Action::Output(2)]);
                self.outputs += 2;
            }
            10 if nested => {
                let before = (self.tags, self.labels, self.open);
                let (text, actions) = (std::mem::take(&mut self.text), std::mem::take(&mut self.actions));
                for _ in 0..=self.chance.below(3) {
                    self.act(false);
                }
                self.text.push("output:2".to_owned());
                self.actions.push(Action::Output(2));
                self.outputs += 1;
                let inner = std::mem::replace(&mut self.text, text).join(",");
                let program = Program::new(std::mem::replace(&mut self.actions, actions), Reason::NoPorts);
                self.text.push(format!("clone({inner})"));
                self.actions.push(Action::Clone(Arc::new(program)));
                (self.tags, self.labels, self.open) = before;
            }
            _ if self.open => self.network(),
            _ => {}
        }
    }

    fn network(&mut self) {
        let choice = self.chance.below(8);
        match (self.network, choice) {
            // Open vSwitch writes no opcode of 0, and makes 65535 of 255.
            (Network::Arp, 0) => {
                let operation = 1 + self.chance.below(254);
                self.set(format!("set_field:{operation}->arp_op"), &[(Field::IP_PROTO, operation, 0xff)]);
            }
            (Network::Arp, 1 | 2) => self.four("arp_spa", Field::IP4_SRC),
            (Network::Arp, 3 | 4) => self.four("arp_tpa", Field::IP4_DST),
            (Network::Arp, 5) => self.mac("arp_sha", Field::ARP_SHA),
            (Network::Arp, _) => self.mac("arp_tha", Field::ARP_THA),
            (Network::Four, 0) => self.four("ip_src", Field::IP4_SRC),
            (Network::Four, 1) => self.four("ip_dst", Field::IP4_DST),
            (Network::Six, 0) => self.six("ipv6_src", Field::IP6_SRC_HIGH, Field::IP6_SRC_LOW),
            (Network::Six, 1) => self.six("ipv6_dst", Field::IP6_DST_HIGH, Field::IP6_DST_LOW),
            (Network::Six, 2) => self.number("ipv6_label", Field::IP6_LABEL, 0, 20),
            (Network::Four | Network::Six, 2 | 3) => self.number("ip_dscp", Field::IP_TOS, 2, 6),
            (Network::Four | Network::Six, 4) => self.number("nw_ecn", Field::IP_TOS, 0, 2),
            // Neighbour discovery is not that any more when it has come through a router.
            (Network::Four | Network::Six, 5) if self.transport != Transport::Neighbour => {
                self.number("nw_ttl", Field::IP_TTL, 0, 8);
            }
            // The checksum of SCTP covers all fragments: with one of them nobody can make it right, and Open vSwitch makes
            // it wrong in another way.
            (Network::Four | Network::Six, _) if self.transport != Transport::Sctp || !self.fragment => {
                self.transport();
            }
            _ => {}
        }
    }

    fn transport(&mut self) {
        let source = self.chance.one_in(2);
        let field = if source { Field::TP_SRC } else { Field::TP_DST };
        let end = if source { "src" } else { "dst" };
        match self.transport {
            Transport::Tcp => self.port(&format!("tcp_{end}"), field),
            Transport::Udp => self.port(&format!("udp_{end}"), field),
            Transport::Sctp => self.port(&format!("sctp_{end}"), field),
            Transport::Icmp => {
                let name = if self.network == Network::Four { "icmp" } else { "icmpv6" };
                // The type decides which fields there are: it stays.
                self.number(&format!("{name}_code"), Field::TP_DST, 0, 8);
            }
            Transport::Neighbour if source => {
                self.six("nd_target", Field::ND_TARGET_HIGH, Field::ND_TARGET_LOW)
            }
            _ => {}
        }
    }

    /// The whole packet in a network service header, behind a new Ethernet header.
    fn service(&mut self) {
        let (path, index, context) =
            (self.chance.below(1 << 24), self.chance.below(256), self.chance.below(1 << 32));
        self.text.push(format!(
            "encap(nsh(md_type=1)),set_field:{path}->nsh_spi,set_field:{index}->nsh_si,set_field:{context}->nsh_c3,\
             encap(ethernet),set_field:02:00:00:00:00:09->eth_dst,set_field:02:00:00:00:00:08->eth_src"
        ));
        let header = NshHeader {
            flags: 0,
            ttl: 63,
            next: 3,
            path: (path << 8 | index) as u32,
            metadata: NshMetadata::Fixed([0, 0, context as u32, 0]),
        };
        self.actions.push(Action::PushNsh(Arc::new(header)));
        self.actions
            .push(Action::PushEthernet { destination: [2, 0, 0, 0, 0, 9], source: [2, 0, 0, 0, 0, 8] });
    }
}

/// A packet, the flow that deals with it in Open vSwitch, and the program that does here.
struct Case {
    packet: Packet,
    flow: String,
    program: Program,
    outputs: usize,
}

fn case(chance: &mut Chance, number: u32) -> Case {
    let packet = Packet::new(chance, number);
    let mut words = vec![format!("in_port=1,dl_src={}", address(&packet.octets[6..12], ':', 1))];
    let six = packet.network == Network::Six;
    words.push(
        match (packet.network, packet.transport) {
            (Network::Arp, _) => "arp",
            (Network::Mpls, _) => "mpls",
            (_, Transport::Tcp) => {
                if six {
                    "tcp6"
                } else {
                    "tcp"
                }
            }
            (_, Transport::Udp) => {
                if six {
                    "udp6"
                } else {
                    "udp"
                }
            }
            (_, Transport::Sctp) => {
                if six {
                    "sctp6"
                } else {
                    "sctp"
                }
            }
            (_, Transport::Icmp) => {
                if six {
                    "icmp6"
                } else {
                    "icmp"
                }
            }
            (_, Transport::Neighbour) => "icmp6,icmp_code=0",
            (_, Transport::None) => {
                if six {
                    "ipv6"
                } else {
                    "ip"
                }
            }
        }
        .to_owned(),
    );
    if packet.transport == Transport::Neighbour {
        let at = packet.octets.windows(2).rposition(|two| two == [1, 1] || two == [2, 1]).unwrap();
        words.push(format!("icmp_type={}", if packet.octets[at] == 1 { 135 } else { 136 }));
    }
    words.push(if packet.tags > 0 { "vlan_tci=0x1000/0x1000" } else { "vlan_tci=0" }.to_owned());
    let mut writer = Writer {
        text: Vec::new(),
        actions: Vec::new(),
        tags: packet.tags,
        network: packet.network,
        transport: packet.transport,
        fragment: packet.fragment,
        labels: packet.labels,
        open: packet.network != Network::Mpls,
        outputs: 1,
        chance,
    };
    for _ in 0..=writer.chance.below(8) {
        writer.act(true);
    }
    if writer.chance.one_in(12) {
        writer.service();
    }
    writer.text.push("output:2".to_owned());
    writer.actions.push(Action::Output(2));
    let flow = format!("{},actions={}", words.join(","), writer.text.join(","));
    let (outputs, actions) = (writer.outputs, writer.actions);
    Case { packet, flow, program: Program::new(actions, Reason::NoPorts), outputs }
}

#[test]
fn the_same_octets_as_open_vswitch() {
    let ovs = match Ovs::start(2) {
        Ok(ovs) => ovs,
        Err(why) => {
            netloom_testkit::skip!("{why}");
            return;
        }
    };
    let seed = std::env::var("ACTIONS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x5eed);
    let count = std::env::var("ACTIONS_CASES").ok().and_then(|count| count.parse().ok()).unwrap_or(1500);
    let mut chance = Chance(seed);
    let cases: Vec<Case> = (0..count).map(|number| case(&mut chance, number)).collect();
    ovs.flows(&cases.iter().map(|case| case.flow.clone()).collect::<Vec<_>>()).unwrap();
    // A dummy port holds no more than 100 packets.
    let (mut theirs, mut wanted) = (Vec::new(), 0);
    for cases in cases.chunks(50) {
        ovs.receive(&cases.iter().map(|case| case.packet.octets.clone()).collect::<Vec<_>>()).unwrap();
        wanted += cases.iter().map(|case| case.outputs).sum::<usize>();
        theirs = ovs.sent(2, wanted).unwrap();
    }
    let mut theirs = theirs.into_iter();
    let rig = Rig::new(2);
    let (mut frames, mut actions, mut faults) = (0, 0, Vec::new());
    for case in &cases {
        rig.program(1, 0, case.program.clone());
        let ours = rig.pass(&case.packet.octets);
        let peer: Vec<Vec<u8>> = theirs.by_ref().take(case.outputs).collect();
        let show = |frames: &[Vec<u8>]| {
            frames.iter().map(|frame| address(frame, ' ', 2)).collect::<Vec<_>>().join("\n")
        };
        if ours != peer {
            faults.push(format!(
                "{}\ncame\n{}\nours\n{}\ntheirs\n{}",
                case.flow,
                show(std::slice::from_ref(&case.packet.octets)),
                show(&ours),
                show(&peer)
            ));
        }
        frames += ours.len();
        actions += case.program.actions().len();
    }
    assert!(
        faults.is_empty(),
        "{} of {}:\n{}",
        faults.len(),
        cases.len(),
        faults[..faults.len().min(6)].join("\n\n")
    );
    println!("{} packets, {actions} actions, {frames} frames: all as Open vSwitch sends them", cases.len());
    assert!(theirs.next().is_none());
}
