//! Mirrors whose copies go to a collector: what comes out of the port, as our own parsers, tcpdump and scapy read it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod daemon;

use daemon::{Daemon, sockets, until};
use netloom_mem::{Batch, Offload, ReceiveQueue};
use netloom_port::packet::PacketSocket;
use netloom_port::pcap::Replay;
use netloom_testkit::rig;
use netloom_wire::EtherType;
use netloom_wire::header::{erspan, ethernet, gre, ipv4, ipv6, vlan};
use std::path::Path;

/// A frame in a VLAN, with a number that tells it from others.
fn frame(number: u8, octets: usize) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 6, 2, 2, 0, 0, 0, 6, 1, 0x81, 0, 0x60, 10, 0x88, 0xb5, number];
    frame.resize(octets, 7);
    frame
}

fn send(socket: &mut PacketSocket, frame: &[u8]) {
    let mut batch = Batch::new();
    assert!(batch.push(1, frame, Offload::NONE));
    assert_eq!(socket.send.send(&batch, &[0]).unwrap(), 1);
    socket.send.flush();
}

/// The frames of a file that are IP packets.
fn recorded(path: &Path) -> Vec<Vec<u8>> {
    let Ok(mut replay) = Replay::open(1, path, false) else { return Vec::new() };
    let (mut frames, mut batch) = (Vec::new(), Batch::new());
    while replay.receive(&mut batch).is_ok_and(|count| count > 0) {
        frames.extend((0..batch.len()).map(|index| batch.octets(index)));
        batch.clear();
    }
    let is_copy = |frame: &Vec<u8>| frame[..6] == [2, 0, 0, 0, 6, 9];
    frames.into_iter().filter(is_copy).collect()
}

/// What tcpdump or scapy prints about a file; `None` without the program.
fn told(rig: &rig::Rig, program: &str, arguments: &[&str]) -> Option<String> {
    let output = rig.run(program, arguments)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

const SCAPY: &str = "
import sys
from scapy.all import rdpcap, GRE, Ether, IP, IPv6
from scapy.contrib.erspan import ERSPAN, ERSPAN_II, ERSPAN_III
for packet in rdpcap(sys.argv[1]):
    if packet.dst != '02:00:00:00:06:09':
        continue
    gre = packet[GRE]
    outer = packet[IP] if IP in packet else packet[IPv6]
    for kind in (ERSPAN_II, ERSPAN_III):
        if kind in packet:
            shim = packet[kind]
            inner = bytes(shim.payload)
            print(kind.__name__, outer.dst, gre.seqence_number, shim.vlan, shim.cos, shim.session_id, shim.t, len(inner))
";

#[test]
fn copies_reach_the_collector() {
    rig::isolated(|rig| {
        if !Path::new("/dev/net/tun").exists() || rig.run("ip", &["-V"]).is_none() {
            netloom_testkit::skip!("no /dev/net/tun or no ip");
            return;
        }
        let directory = rig.state_dir.join("switch");
        let daemon = Daemon::start_two(&directory);
        let ask = |words: &str| daemon.ask(&words.split_whitespace().collect::<Vec<_>>());
        ask("switch add br0").unwrap();
        if ask("port add br0 nm1 type=tap trunk=10,20").is_none() {
            netloom_testkit::skip!("this user can't make TAP interfaces");
            return;
        }
        ask("port add br0 nm2 type=tap trunk=10,20").unwrap();
        let file = |name: &str| rig.state_dir.join(format!("{name}.pcap"));
        for name in ["two", "three", "plain", "six"] {
            // In a VLAN of its own, so that nothing else comes there.
            ask(&format!("port add br0 {name} type=pcap record={} vlan=99", file(name).display())).unwrap();
        }
        let to = "mac=02:00:00:00:06:09";
        for wrong in [
            format!("mirror add br0 m ports=nm1 remote=192.0.2.9 via=two {to}"),
            format!("mirror add br0 m ports=nm1 remote=192.0.2.9 local=192.0.2.1 via=none {to}"),
            format!("mirror add br0 m ports=nm1 output=nm2 local=192.0.2.1 {to}"),
        ] {
            assert_eq!(ask(&wrong), None, "{wrong}");
        }
        let four = format!("remote=192.0.2.9 local=192.0.2.1 {to}");
        ask(&format!("mirror add br0 two ports=nm1 via=two {four} session=77 index=5 tag=30 dscp=46"))
            .unwrap();
        ask(&format!("mirror add br0 three from=nm1 via=three {four} form=erspan3 session=9 mtu=200"))
            .unwrap();
        ask(&format!("mirror add br0 plain from=nm1 via=plain {four} form=gre key=1234")).unwrap();
        let six = format!("remote=fd00::9 local=fd00::1 {to}");
        ask(&format!("mirror add br0 six to=nm2 via=six {six} form=erspan3 session=1")).unwrap();
        let shown = ask("mirror show br0 two").unwrap();
        assert!(shown.contains("session=77") && shown.contains("remote=192.0.2.9"), "{shown}");
        assert_eq!(
            daemon.json(&["mirror", "show", "br0", "six", "-o", "json"])["options"]["form"],
            "erspan3"
        );
        assert_eq!(daemon.json(&["mirror", "list", "br0", "-o", "json"]).as_array().unwrap().len(), 4);
        let mut sockets = sockets(rig, &["nm1", "nm2"]);
        let frames: Vec<Vec<u8>> =
            (0..5).map(|number| frame(number, 100 + 80 * usize::from(number))).collect();
        for frame in &frames {
            send(&mut sockets[0], frame);
        }
        let ours = |frame: &[u8], at: usize| {
            frame.get(at..).is_some_and(|inner| inner.starts_with(&frames[0][..12]))
        };
        // Outer headers: Ethernet, a tag for `two`, IP, GRE with its options, ERSPAN.
        let heads = [
            ("two", 18 + 20 + 8 + 8),
            ("three", 14 + 20 + 8 + 12),
            ("plain", 14 + 20 + 8),
            ("six", 14 + 40 + 8 + 12),
        ];
        for (name, at) in heads {
            until(name, || {
                recorded(&file(name)).iter().filter(|copy| ours(copy, at)).count() == frames.len()
            });
        }
        for (name, at) in heads {
            let copies: Vec<Vec<u8>> =
                recorded(&file(name)).into_iter().filter(|copy| ours(copy, at)).collect();
            let mut last = None;
            for (copy, frame) in copies.iter().zip(&frames) {
                let outer = ethernet::View::new_checked(&copy[..]).unwrap();
                let (mut kind, mut rest) = (outer.ether_type(), outer.payload());
                if name == "two" {
                    let view = vlan::View::new_checked(rest).unwrap();
                    assert_eq!(view.tag().vid, 30);
                    (kind, rest) = (view.ether_type(), &rest[4..]);
                }
                let payload = if name == "six" {
                    assert_eq!(kind, EtherType::IPV6);
                    let view = ipv6::View::new_checked(rest).unwrap();
                    assert_eq!(view.destination().to_string(), "fd00::9");
                    &rest[40..]
                } else {
                    assert_eq!(kind, EtherType::IPV4);
                    let view = ipv4::View::new_checked(rest).unwrap();
                    assert!(view.verify_checksum() && view.destination().to_string() == "192.0.2.9");
                    assert_eq!(view.dscp().get(), if name == "two" { 46 } else { 0 });
                    &rest[20..]
                };
                let view = gre::View::new_checked(payload).unwrap();
                let header = gre::Repr::parse(&view).unwrap();
                if name == "plain" {
                    assert_eq!((header.protocol, header.key), (EtherType::TRANSPARENT_ETHERNET, Some(1234)));
                    assert_eq!(view.payload(), frame);
                    continue;
                }
                // Numbers go on, with the host's own frames between ours.
                assert!(header.sequence > last);
                last = header.sequence;
                let shim = erspan::View::new_checked(view.payload()).unwrap();
                let (erspan::Repr::II { common, .. } | erspan::Repr::III { common, .. }) =
                    erspan::Repr::parse(&shim).unwrap();
                let session = match name {
                    "two" => 77,
                    "three" => 9,
                    _ => 1,
                };
                assert_eq!((common.vlan, common.class_of_service, common.session), (10, 3, session));
                let room = if name == "three" { 200 - 20 - 8 - 12 } else { usize::MAX };
                assert_eq!(common.truncated, frame.len() > room);
                assert_eq!(shim.payload(), &frame[..frame.len().min(room)]);
            }
        }
        match told(rig, "tcpdump", &["-n", "-e", "-r", file("two").to_str().unwrap()]) {
            Some(text) => {
                let line = text.lines().find(|line| line.contains("192.0.2.1 > 192.0.2.9")).expect(&text);
                assert!(line.contains("vlan 30") && line.contains("GREv0") && line.contains("seq"), "{line}");
            }
            None => println!("not read by tcpdump, which is missing"),
        }
        for (name, kind, wanted) in [
            ("two", "ERSPAN_II 192.0.2.9", ["10 3 77 0 100", "10 3 77 0 420"]),
            ("three", "ERSPAN_III 192.0.2.9", ["10 3 9 0 100", "10 3 9 1 160"]),
            ("six", "ERSPAN_III fd00::9", ["10 3 1 0 100", "10 3 1 0 420"]),
        ] {
            match told(rig, "/usr/bin/python3", &["-c", SCAPY, file(name).to_str().unwrap()]) {
                Some(text) => {
                    for wanted in wanted {
                        let found = text.lines().any(|line| line.starts_with(kind) && line.ends_with(wanted));
                        assert!(found, "{name} {wanted}: {text}");
                    }
                }
                None => println!("{name} not read by scapy, which is missing"),
            }
        }
        // A mirror that goes sends nothing more.
        ask("mirror del br0 plain").unwrap();
        let before = recorded(&file("plain")).len();
        send(&mut sockets[0], &frame(9, 100));
        until("the other mirrors go on", || {
            recorded(&file("two"))
                .iter()
                .any(|copy| copy.get(54..).is_some_and(|inner| inner.get(18) == Some(&9)))
        });
        assert_eq!(recorded(&file("plain")).len(), before);
    });
}
