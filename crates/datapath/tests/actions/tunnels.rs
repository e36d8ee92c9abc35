//! Tunnels as ports: what goes in by one end comes out by the other; what others make of the headers.

use crate::packets::{Chance, Packet};
use crate::rig::Rig;
use netloom_mem::{Offload, Segmentation};
use netloom_nf::tunnel::{
    Chosen, Encapsulation, Hop, OptionMap, Outward, TunnelKind, TunnelPort, Tunnels, write_space,
};
use netloom_nf::{Action, Program, Reason, Rewrite};
use netloom_table::{Field, Key, Mask};
use netloom_wire::MacAddr;
use netloom_wire::checksum::is_intact;
use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// Numbers of the tunnel ports of each rig.
const TUNNEL: u32 = 100;

fn ends(six: bool) -> (IpAddr, IpAddr) {
    if six {
        ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap())
    } else {
        ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap())
    }
}

fn options() -> OptionMap {
    let mut map = OptionMap::default();
    map.add(0, 0x102, 0x80, 4).unwrap();
    map.add(7, 0xffff, 3, 60).unwrap();
    map.add(9, 0x10, 0, 64).unwrap();
    map
}

/// All kinds, over both families.
fn settings() -> Vec<(TunnelPort, bool)> {
    let mut all = Vec::new();
    for six in [false, true] {
        let new = |kind| TunnelPort { options: Arc::new(options()), ..TunnelPort::new(kind) };
        all.push((new(TunnelKind::Vxlan(4789)), six));
        all.push((TunnelPort { group_policy: true, checksum: true, ..new(TunnelKind::Vxlan(4789)) }, six));
        all.push((new(TunnelKind::VxlanGpe(4790)), six));
        all.push((TunnelPort { checksum: true, ..new(TunnelKind::Geneve(6081)) }, six));
        all.push((new(TunnelKind::Gre), six));
        all.push((TunnelPort { checksum: true, sequence: true, ..new(TunnelKind::Gre) }, six));
        all.push((
            TunnelPort { key_out: Chosen::Fixed(None), key_in: Chosen::Fixed(None), ..new(TunnelKind::Gre) },
            six,
        ));
        all.push((TunnelPort { erspan_version: Chosen::Fixed(1), ..new(TunnelKind::Erspan) }, six));
        all.push((TunnelPort { erspan_version: Chosen::Fixed(2), ..new(TunnelKind::Erspan) }, six));
    }
    all
}

/// Headers of any kind, to anywhere.
pub(crate) fn any(chance: &mut Chance) -> Encapsulation {
    let all = settings();
    let (port, six) = &all[chance.below(all.len() as u64) as usize];
    let (local, remote) = ends(*six);
    let mac = MacAddr::new([2, 0, 0, 0, 0, 1]);
    let hop = Hop { port: 2, own: None, to_mac: mac, from_mac: mac, tag: Some(7), from: local };
    let port = TunnelPort { remote: Chosen::Fixed(remote), ..port.clone() };
    let mut key = Key::default();
    fields(chance, port.kind, &port.options).into_iter().for_each(|(field, value)| key.set(field, value));
    let tunnels = Tunnels::new([(TUNNEL, port)], [(remote, hop)]);
    tunnels.encapsulation(TUNNEL, &key, &mut Mask::default()).unwrap().0
}

/// Two rigs with one tunnel between their ports 2.
fn pair(port: &TunnelPort, six: bool) -> [Rig; 2] {
    let (one, other) = ends(six);
    [(one, other, 1), (other, one, 2)].map(|(local, remote, number)| {
        let mut rig = Rig::new(2);
        let hop = Hop {
            own: None,
            port: 2,
            to_mac: MacAddr::new([2, 0, 0, 0, 9, 3 - number]),
            from_mac: MacAddr::new([2, 0, 0, 0, 9, number]),
            tag: None,
            from: local,
        };
        let port = TunnelPort {
            local: Chosen::Fixed(local),
            remote: Chosen::Fixed(remote),
            numbers: Arc::default(),
            ..port.clone()
        };
        let tunnels = Arc::new(Tunnels::new([(TUNNEL, port)], [(remote, hop)]));
        rig.crew.tunnels(&tunnels).unwrap();
        rig.turn();
        rig.program(1, 0, Program::new(vec![Action::Output(TUNNEL)], Reason::NoPorts));
        rig.program(2, 0, Program::new(vec![Action::Decapsulate(TUNNEL)], Reason::NoPorts));
        rig.program(TUNNEL, 0, Program::new(vec![Action::Output(1)], Reason::NoPorts));
        rig
    })
}

/// Fields that the first rig gives packets before they leave through the tunnel.
fn fields(chance: &mut Chance, kind: TunnelKind, map: &OptionMap) -> Vec<(Field, u64)> {
    let id = match kind {
        TunnelKind::Gre => chance.below(1 << 32),
        TunnelKind::Erspan => chance.below(1 << 10),
        _ => chance.below(1 << 24),
    };
    let mut fields = vec![(Field::TUN_ID, id)];
    match kind {
        TunnelKind::Vxlan(_) => {
            fields.extend([(Field::TUN_GBP_ID, chance.below(1 << 16)), (Field::TUN_GBP_FLAGS, 0x48)]);
        }
        TunnelKind::Geneve(_) => {
            let mut key = Key::default();
            for option in map.options().iter().filter(|_| !chance.one_in(3)).copied().collect::<Vec<_>>() {
                write_space(&mut key, &option, &chance.octets(usize::from(option.length)));
            }
            let used = Field::ALL.iter().filter(|field| key.get(**field) != 0);
            fields.extend(used.map(|field| (*field, key.get(*field))));
        }
        TunnelKind::Erspan => {
            fields.extend([
                (Field::TUN_ERSPAN_IDX, chance.below(1 << 20)),
                (Field::TUN_ERSPAN_HWID, chance.below(64)),
            ]);
            fields.push((Field::TUN_ERSPAN_DIR, chance.below(2)));
        }
        _ => {}
    }
    fields
}

#[test]
fn what_goes_into_a_tunnel_comes_out_of_it() {
    let (mut chance, mut frames) = (Chance(77), 0);
    for (port, six) in settings() {
        let [one, other] = pair(&port, six);
        for number in 0..40 {
            let frame = Packet::new(&mut chance, number).octets;
            let fields = fields(&mut chance, port.kind, &port.options);
            let writes = fields.iter().map(|(field, value)| (*field, *value, field.ones()));
            let set = Action::Set(Arc::new(Rewrite::new(writes).unwrap()));
            one.program(1, 0, Program::new(vec![set, Action::Output(TUNNEL)], Reason::NoPorts));
            let outer = one.pass(&frame);
            assert_eq!(outer.len(), 1, "{port:?}");
            check_outer(&outer[0], six);
            other.keys.lock().unwrap().clear();
            other.receive(2, &outer[0], Offload::NONE);
            other.turn();
            assert_eq!(other.sent(1), std::slice::from_ref(&frame), "{port:?}");
            let key = other.keys.lock().unwrap().pop().unwrap();
            assert_eq!(key.get(Field::IN_PORT), u64::from(TUNNEL));
            let version = port.erspan_version == Chosen::Fixed(2);
            for (field, value) in fields {
                let carried = match field {
                    Field::TUN_ID => port.key_out == Chosen::Flow,
                    Field::TUN_GBP_ID | Field::TUN_GBP_FLAGS => port.group_policy,
                    Field::TUN_ERSPAN_IDX => !version,
                    Field::TUN_ERSPAN_HWID | Field::TUN_ERSPAN_DIR => version,
                    _ => true,
                };
                assert_eq!(key.get(field), if carried { value } else { 0 }, "{field:?} {port:?}");
            }
            frames += 1;
        }
        let (sent, received) = (one.crew.totals(TUNNEL).unwrap(), other.crew.totals(TUNNEL).unwrap());
        assert_eq!((sent.sent, received.received), (40, 40));
        assert_eq!(sent.sent_octets, received.received_octets);
    }
    println!("{frames} frames through {} tunnels", settings().len());
}

/// Lengths and checksums of the outer headers.
fn check_outer(frame: &[u8], six: bool) {
    let two = |at: usize| usize::from(u16::from_be_bytes([frame[at], frame[at + 1]]));
    if six {
        assert_eq!((two(12), two(18)), (0x86dd, frame.len() - 54));
    } else {
        assert_eq!((two(12), two(16)), (0x0800, frame.len() - 14));
        assert!(is_intact(&frame[14..34]));
    }
    let transport = if six { 54 } else { 34 };
    if frame[if six { 20 } else { 23 }] == 17 {
        assert_eq!(two(transport + 4), frame.len() - transport);
        assert!(six == (two(transport + 6) != 0) || !six);
    }
}

#[test]
fn large_frames_go_through_a_tunnel_as_packets() {
    for (port, six) in settings() {
        let [one, other] = pair(&port, six);
        // TCP over IPv4 with 3000 octets of payload in pieces of 1000; the sum of the pseudo-header in the checksum.
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0];
        frame.extend((3040_u16).to_be_bytes());
        frame.extend([0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend([0x12, 0x34, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x18, 1, 0, 0, 0, 0, 0]);
        let payload: Vec<u8> = (0..3000).map(|at| at as u8).collect();
        frame.extend(&payload);
        let offload = Offload {
            partial: true,
            start: 34,
            offset: 16,
            segmentation: Segmentation::Tcp4,
            size: 1000,
            ..Offload::NONE
        };
        one.receive(1, &frame, offload);
        one.turn();
        let outer = one.sent(2);
        assert_eq!(outer.len(), 3);
        for frame in &outer {
            check_outer(frame, six);
            other.receive(2, frame, Offload::NONE);
        }
        other.turn();
        let inner = other.sent(1);
        let together: Vec<u8> = inner.iter().flat_map(|frame| frame[54..].to_vec()).collect();
        assert_eq!((inner.len(), together), (3, payload), "{port:?}");
        for frame in inner {
            use netloom_wire::checksum::Sum;
            let sum =
                Sum::ZERO.bytes(&frame[26..34]).word(6).word((frame.len() - 34) as u16).bytes(&frame[34..]);
            assert_eq!(sum.fold(), 0xffff);
        }
    }
}

#[test]
fn a_packet_goes_to_the_tunnel_that_fits_best_and_strange_ones_nowhere() {
    let (_, remote) = ends(false);
    let any = TunnelPort::new(TunnelKind::Vxlan(4789));
    let to = TunnelPort { remote: Chosen::Fixed(remote), ..any.clone() };
    let keyed = TunnelPort { key_in: Chosen::Fixed(Some(7)), ..any.clone() };
    let tunnels = Tunnels::new([(1, any), (2, to), (3, keyed)], []);
    let mut key = Key::default();
    let find = |key: &Key| tunnels.find(TunnelKind::Vxlan(4789), key);
    key.set(Field::TUN_FLAGS, 8);
    assert_eq!(find(&key), Some(1));
    key.set(Field::TUN_SRC, 0xc000_0202);
    assert_eq!(find(&key), Some(2));
    key.set(Field::TUN_ID, 7);
    assert_eq!(find(&key), Some(3));
    assert_eq!(tunnels.find(TunnelKind::Vxlan(1), &key), None);
    // What the outer headers must be.
    let (mut outer, mut mask) = (Key::default(), Mask::default());
    for (field, value) in [(Field::ETH_TYPE, 0x800), (Field::IP_PROTO, 17), (Field::TP_DST, 4789)] {
        assert_eq!(tunnels.arrival(&outer, &mut mask), None);
        outer.set(field, value);
    }
    assert_eq!(tunnels.arrival(&outer, &mut mask), Some(1));
    assert!(mask.get(Field::TP_DST) == 0xffff && mask.get(Field::IP4_SRC) == 0);
    // A wrong checksum, a header that is cut, another port.
    let [one, other] =
        pair(&TunnelPort { checksum: true, ..TunnelPort::new(TunnelKind::Vxlan(4789)) }, false);
    let frame = one.pass(&Packet::new(&mut Chance(3), 1).octets).remove(0);
    for fault in 0..3 {
        let mut frame = frame.clone();
        match fault {
            0 => frame[60] ^= 1,
            1 => frame.truncate(48),
            _ => frame[37] ^= 1,
        }
        other.receive(2, &frame, Offload::NONE);
    }
    other.turn();
    assert_eq!((other.sent(1).len(), other.lost(2, Reason::BadTunnel)), (0, 3));
}

#[test]
fn type_of_service_and_hops_are_taken_over_where_that_is_wanted() {
    let inherit =
        TunnelPort { tos: Outward::Inherit(0), ttl: Outward::Inherit(9), ..TunnelPort::new(TunnelKind::Gre) };
    let [one, _] = pair(&inherit, false);
    let mut chance = Chance(5);
    let four = std::iter::repeat_with(|| Packet::new(&mut chance, 1))
        .find(|packet| packet.network == crate::packets::Network::Four && packet.tags == 0)
        .unwrap();
    let mut frame = four.octets;
    frame[15] = 0xb9;
    let outer = one.pass(&frame).remove(0);
    assert_eq!((outer[15], outer[22]), (0xb9, frame[22]));
    let mut arp = Packet::new(&mut Chance(5), 1).octets;
    arp.splice(12.., [8, 6]);
    arp.resize(60, 0);
    let outer = one.pass(&arp).remove(0);
    assert_eq!((outer[15], outer[22]), (0, 9));
}

/// Scapy finds the frame in every tunnel's headers, with the numbers that were given.
#[test]
fn scapy_reads_the_headers() {
    let script = "
import sys, socket, struct
from scapy.utils import checksum
from scapy.all import Ether, IP, IPv6, UDP, GRE, load_contrib
from scapy.layers.vxlan import VXLAN
load_contrib('geneve'); load_contrib('erspan')
from scapy.contrib.geneve import GENEVE
for line in sys.stdin:
    packet = Ether(bytes.fromhex(line.strip()))
    outer, transport = packet.payload, packet.payload.payload
    wrong = isinstance(outer, IP) and checksum(bytes(outer)[:20]) != 0
    octets = bytes(transport)
    if isinstance(transport, GRE) and transport.chksum_present:
        wrong |= checksum(octets) != 0
    if isinstance(transport, UDP) and transport.chksum:
        pseudo = outer.src, outer.dst
        family = socket.AF_INET6 if isinstance(outer, IPv6) else socket.AF_INET
        pseudo = b''.join(socket.inet_pton(family, one) for one in pseudo)
        wrong |= checksum(pseudo + struct.pack('>II', 17, len(octets)) + octets) != 0
    if wrong:
        print('wrong checksum', transport.name)
    else:
        names, layer = [], packet.payload
        while layer and layer.name not in ('Ethernet', '802.3', 'Raw'):
            names.append(layer.name); layer = layer.payload
        number = [packet[one].vni for one in (VXLAN, GENEVE) if one in packet]
        if GRE in packet and packet[GRE].key_present: number = [packet[GRE].key]
        inner = bytes(layer) if layer.name in ('Ethernet', '802.3') else b''
        print('/'.join(names), *number, inner.hex())
";
    let python =
        Command::new("/usr/bin/python3").args(["-c", "import scapy.all"]).stderr(Stdio::null()).status();
    if !python.is_ok_and(|status| status.success()) {
        netloom_testkit::skip!("scapy is not installed");
        return;
    }
    let (mut lines, mut wanted) = (String::new(), Vec::new());
    let mut chance = Chance(99);
    for (port, six) in settings() {
        let [one, _] = pair(&port, six);
        for number in 0..4 {
            let mut frame = Packet::new(&mut chance, number).octets;
            // Scapy takes short Ethernet types for lengths; none of ours are.
            frame.truncate(120);
            let id = 5000 + u64::from(number);
            let id = if port.kind == TunnelKind::Erspan { id & 0x3ff } else { id };
            let set = Rewrite::new([(Field::TUN_ID, id, u64::MAX)]).unwrap();
            one.program(
                1,
                0,
                Program::new(vec![Action::Set(Arc::new(set)), Action::Output(TUNNEL)], Reason::NoPorts),
            );
            let outer = one.pass(&frame).remove(0);
            let hex = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
            lines.push_str(&hex(&outer));
            lines.push('\n');
            wanted.push((port.kind, port.key_out, id, hex(&frame)));
        }
    }
    let mut child = Command::new("/usr/bin/python3")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let said: Vec<&str> = said.lines().collect();
    assert_eq!(said.len(), wanted.len(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut checked = 0;
    for (said, (kind, key, id, frame)) in said.iter().zip(&wanted) {
        assert!(!said.contains("wrong"), "{said} {kind:?}");
        let words: Vec<&str> = said.split(' ').collect();
        let name = match kind {
            TunnelKind::Vxlan(_) => "VXLAN",
            // Scapy knows no VXLAN-GPE by its port.
            TunnelKind::VxlanGpe(_) => continue,
            TunnelKind::Geneve(_) => "GENEVE",
            TunnelKind::Gre => "GRE",
            TunnelKind::Erspan => "ERSPAN",
        };
        assert!(words[0].contains(name), "{said}");
        if !matches!(kind, TunnelKind::Erspan) && *key == Chosen::Flow {
            assert_eq!(words[1], id.to_string(), "{said}");
        }
        if name != "ERSPAN" {
            assert_eq!(words.last().unwrap(), &frame.as_str());
        }
        checked += 1;
    }
    println!("scapy reads {checked} packets of {} tunnels", settings().len());
}
