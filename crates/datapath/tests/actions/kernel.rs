//! Tunnels with the kernel's drivers at the other end, in namespaces of the test's own: pings go both ways.

use crate::packets::Chance;
use crate::rig::Rig;
use netloom_datapath::PortQueues;
use netloom_mem::Offload;
use netloom_nf::tunnel::{Chosen, Hop, TunnelKind, TunnelPort, Tunnels};
use netloom_nf::{Action, Program, Reason, Rewrite};
use netloom_port::packet::open_packet;
use netloom_table::Field;
use netloom_testkit::rig;
use netloom_wire::MacAddr;
use netloom_wire::checksum::internet;
use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const TUNNEL: u32 = 100;
const OURS: [u8; 6] = [2, 0, 0, 0, 9, 1];

/// Answers requests for 10.9.0.1, by ARP and by ICMP.
fn answer(frame: &[u8]) -> Option<Vec<u8>> {
    let mut reply = frame.to_vec();
    reply.get_mut(..6)?.copy_from_slice(frame.get(6..12)?);
    reply.get_mut(6..12)?.copy_from_slice(&OURS);
    match frame.get(12..14)? {
        [8, 6] if frame.get(21) == Some(&1) => {
            reply[21] = 2;
            reply[22..28].copy_from_slice(&OURS);
            reply[28..32].copy_from_slice(&frame[38..42]);
            reply[32..42].copy_from_slice(&frame[22..32]);
        }
        [8, 0] if frame.get(23) == Some(&1) && frame.get(34) == Some(&8) => {
            reply[26..30].copy_from_slice(&frame[30..34]);
            reply[30..34].copy_from_slice(&frame[26..30]);
            let end = 14 + usize::from(u16::from_be_bytes([frame[16], frame[17]]));
            reply[34] = 0;
            reply[36..38].fill(0);
            let sum = internet(reply.get(34..end)?);
            reply[36..38].copy_from_slice(&sum.to_be_bytes());
        }
        _ => return None,
    }
    Some(reply)
}

#[test]
fn the_kernel_s_tunnels_are_the_other_end() {
    rig::isolated(|space| {
        let ip = |words: &str| {
            let words: Vec<&str> = words.split_whitespace().collect();
            space.run("ip", &words).is_some_and(|done| done.status.success())
        };
        if !ip("link add nxa type veth peer name nxb") {
            netloom_testkit::skip!("no veth, or no ip");
            return;
        }
        for words in [
            "link set lo up",
            "link set nxa up address 02:00:00:00:09:02",
            "link set nxb up",
            "addr add 192.0.2.2/24 dev nxa",
            "addr add fd00::2/64 dev nxa nodad",
            "neigh replace 192.0.2.1 lladdr 02:00:00:00:09:01 dev nxa",
            "neigh replace fd00::1 lladdr 02:00:00:00:09:01 dev nxa",
        ] {
            assert!(ip(words), "{words}");
        }
        let shown = space.run("ip", &["-o", "link", "show", "nxb"]).unwrap();
        let text = String::from_utf8(shown.stdout).unwrap();
        let index: u32 = text.split(':').next().unwrap().trim().parse().unwrap();
        let (mut tried, mut skipped) = (0, Vec::new());
        let new = TunnelPort::new;
        let gbp = TunnelPort { group_policy: true, ..new(TunnelKind::Vxlan(4789)) };
        let plain =
            TunnelPort { key_in: Chosen::Fixed(None), key_out: Chosen::Fixed(None), ..new(TunnelKind::Gre) };
        let summed = TunnelPort { checksum: true, sequence: true, ..new(TunnelKind::Gre) };
        let all = [
            ("vxlan id 42 dstport 4789 local L remote R", new(TunnelKind::Vxlan(4789)), false),
            ("vxlan id 42 dstport 4789 local L remote R gbp udpcsum", gbp, false),
            ("vxlan id 42 dstport 4789 local L remote R", new(TunnelKind::Vxlan(4789)), true),
            ("geneve id 42 remote R", new(TunnelKind::Geneve(6081)), false),
            ("geneve id 42 remote R", new(TunnelKind::Geneve(6081)), true),
            ("gretap local L remote R", plain, false),
            ("gretap local L remote R key 42 csum seq", summed.clone(), false),
            ("ip6gretap local L remote R key 42 csum seq", summed, true),
            (
                "erspan local L remote R key 42 seq erspan_ver 1 erspan 7",
                TunnelPort { erspan_version: Chosen::Fixed(1), ..new(TunnelKind::Erspan) },
                false,
            ),
            (
                "erspan local L remote R key 42 seq erspan_ver 2 erspan_dir ingress erspan_hwid 3",
                TunnelPort { erspan_version: Chosen::Fixed(2), ..new(TunnelKind::Erspan) },
                false,
            ),
        ];
        for (kind, port, six) in all {
            let (ours, theirs) = if six { ("fd00::1", "fd00::2") } else { ("192.0.2.1", "192.0.2.2") };
            let words = kind.replace(" L ", &format!(" {theirs} ")).replace('R', ours);
            if !ip(&format!("link add nxv type {words}")) {
                skipped.push(words);
                continue;
            }
            assert!(ip("link set nxv up mtu 1400") && ip("addr add 10.9.0.2/24 dev nxv"));
            // The socket lives as long as the worker: a new one for each.
            let socket = match open_packet(2, index) {
                Ok(socket) => socket,
                Err(error) => return netloom_testkit::skip!("a packet socket: {error}"),
            };
            let mut rig = Rig::new(1);
            rig.crew.add(PortQueues::new(2, vec![socket.receive], vec![socket.send])).unwrap();
            let (local, remote): (IpAddr, IpAddr) = (ours.parse().unwrap(), theirs.parse().unwrap());
            let hop = Hop {
                own: None,
                port: 2,
                to_mac: MacAddr::new([2, 0, 0, 0, 9, 2]),
                from_mac: MacAddr::new(OURS),
                tag: None,
                from: local,
            };
            let port = TunnelPort { local: Chosen::Fixed(local), remote: Chosen::Fixed(remote), ..port };
            rig.crew.tunnels(&Arc::new(Tunnels::new([(TUNNEL, port)], [(remote, hop)]))).unwrap();
            rig.turn();
            let set = Rewrite::new([(Field::TUN_ID, 42, u64::MAX)]).unwrap();
            let out = vec![Action::Set(Arc::new(set)), Action::Output(TUNNEL)];
            rig.program(1, 0, Program::new(out, Reason::NoPorts));
            rig.program(2, 0, Program::new(vec![Action::Decapsulate(TUNNEL)], Reason::NoPorts));
            rig.program(TUNNEL, 0, Program::new(vec![Action::Output(1)], Reason::NoPorts));
            let size = (100 + Chance(tried + 1).below(1000)).to_string();
            let mut ping = Command::new("ping")
                .args(["-n", "-c", "3", "-i", "0.2", "-W", "2", "-s", &size, "10.9.0.1"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let began = Instant::now();
            let status = loop {
                rig.turn();
                for frame in rig.sent(1) {
                    if let Some(reply) = answer(&frame) {
                        rig.receive(1, &reply, Offload::NONE);
                    }
                }
                if let Some(status) = ping.try_wait().unwrap() {
                    break status;
                }
                assert!(began.elapsed() < Duration::from_secs(20), "{words}: no end");
                std::thread::sleep(Duration::from_millis(1));
            };
            assert!(status.success(), "{words}: {:?}", rig.crew.totals(TUNNEL));
            assert!(ip("link del nxv"));
            tried += 1;
        }
        println!("{tried} kinds of tunnels; this kernel has none of {skipped:?}");
        if tried == 0 {
            netloom_testkit::skip!("this kernel has no tunnels");
        }
    });
}
