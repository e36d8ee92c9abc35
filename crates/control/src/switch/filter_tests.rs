//! Filters against `tcpdump`'s own reading of the same words, over frames of many kinds.

use super::*;
use netloom_table::Key;
use netloom_table::key::extract;
use std::io::Write;
use std::process::{Command, Stdio};

/// Frames over two of everything: addresses, ports, protocols, VLANs.
fn frames() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let ethernet = |to: u8, kind: u16| {
        let mut frame = if to == 0xff { vec![0xff; 6] } else { vec![2, 0, 0, 0, 0, to] };
        frame.extend([2, 0, 0, 0, 0, 9]);
        frame.extend(kind.to_be_bytes());
        frame
    };
    for (a, b) in
        [([10, 0, 0, 1], [10, 0, 0, 2]), ([10, 0, 0, 2], [10, 1, 0, 1]), ([192, 168, 7, 7], [224, 0, 0, 5])]
    {
        let mut arp = ethernet(0xff, 0x0806);
        arp.extend([0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 9]);
        arp.extend(a);
        arp.extend([0; 6]);
        arp.extend(b);
        frames.push(arp);
        for protocol in [1, 2, 6, 17, 132, 47] {
            for (source, destination) in [(80_u16, 1024_u16), (5000, 80), (53, 443), (8079, 8081)] {
                for fragment in [0_u16, 0x2000, 0x0010] {
                    let mut frame = if b[0] == 224 {
                        let mut frame = ethernet(1, 0x0800);
                        frame[..6].copy_from_slice(&[1, 0, 0x5e, 0, 0, 5]);
                        frame
                    } else {
                        ethernet(a[3] + 1, 0x0800)
                    };
                    frame.extend([
                        0x45,
                        0,
                        0,
                        40,
                        0,
                        1,
                        (fragment >> 8) as u8,
                        fragment as u8,
                        64,
                        protocol,
                        0,
                        0,
                    ]);
                    frame.extend(a);
                    frame.extend(b);
                    frame.extend(source.to_be_bytes());
                    frame.extend(destination.to_be_bytes());
                    frame.extend([0; 8]);
                    frame.extend([0x50, 2, 0, 0, 0, 0, 0, 0]);
                    frames.push(frame);
                }
            }
        }
    }
    for protocol in [6, 17, 58] {
        let mut frame = ethernet(3, 0x86dd);
        frame.extend([0x60, 0, 0, 0, 0, 20, protocol, 64]);
        frame.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        frame.extend([0xfd, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
        frame.extend([0, 80, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0]);
        frames.push(frame);
    }
    for vlan in [10_u16, 20] {
        let mut frame = ethernet(4, 0x8100);
        frame.extend(vlan.to_be_bytes());
        frame.extend([0x88, 0xb5]);
        frame.extend([0; 46]);
        frames.push(frame);
    }
    frames
}

const EXPRESSIONS: [&str; 58] = [
    "",
    "ip",
    "ip6",
    "arp",
    "tcp",
    "udp",
    "icmp",
    "icmp6",
    "sctp",
    "igmp",
    "host 10.0.0.1",
    "src host 10.0.0.2",
    "dst host 10.0.0.2",
    "src 10.0.0.1",
    "dst 10.0.0.2",
    "host fd00::1",
    "dst host fd00:1::2",
    "src host fd00:1::2",
    "net 10.0.0.0/24",
    "dst net 10.0.0.0/8",
    "src net 192.168.0.0/16",
    "net fd00::/16",
    "dst net fd00:1::/32",
    "port 80",
    "src port 80",
    "dst port 80",
    "tcp port 80",
    "udp dst port 443",
    "portrange 80-443",
    "dst portrange 443-5000",
    "tcp src portrange 1-9000",
    "ether host 02:00:00:00:00:02",
    "ether dst 02:00:00:00:00:03",
    "ether src 02:00:00:00:00:09",
    "ether broadcast",
    "ether multicast",
    "ether proto 0x0806",
    "ip proto 47",
    "vlan",
    "vlan 10",
    "not ip",
    "! ip",
    "not (tcp or udp)",
    "tcp and port 80",
    "tcp or udp and port 53",
    "udp and port 53 or tcp",
    "(tcp and port 80) or (udp and port 53)",
    "port 80 or 53",
    "host 10.0.0.1 and not port 80",
    "host 10.0.0.1 or 192.168.7.7",
    "src host 10.0.0.1 and dst port 80",
    "ip host 10.0.0.1",
    "arp host 10.0.0.1",
    "ip6 host fd00::1",
    "not not tcp",
    "icmp and host 10.0.0.2",
    "ip multicast or arp",
    "tcp && !port 80 || arp",
];

#[test]
fn the_words_mean_what_they_mean_to_tcpdump() {
    let Ok(version) = Command::new("tcpdump").arg("--version").output() else {
        eprintln!("skipped: no tcpdump");
        return;
    };
    assert!(version.status.success());
    let frames = frames();
    let mut capture = Vec::new();
    for word in [0xa1b2_c3d4_u32, 2 | 4 << 16, 0, 0, 65535, 1] {
        capture.extend(word.to_ne_bytes());
    }
    for (number, frame) in frames.iter().enumerate() {
        for word in [number as u32, 0, frame.len() as u32, frame.len() as u32] {
            capture.extend(word.to_ne_bytes());
        }
        capture.extend(frame);
    }
    let mut met = 0;
    for expression in EXPRESSIONS {
        let mut child = Command::new("tcpdump")
            .args(["-r", "-", "-tt", "-n", "-w", "-", expression])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let octets = capture.clone();
        let writer = std::thread::spawn(move || input.write_all(&octets));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        assert!(output.status.success(), "tcpdump refuses `{expression}`");
        let mut theirs = Vec::new();
        let mut rest = &output.stdout[24..];
        while rest.len() >= 16 {
            let word = |at: usize| u32::from_ne_bytes(rest[at..at + 4].try_into().unwrap());
            theirs.push(word(0) as usize);
            rest = &rest[16 + word(8) as usize..];
        }
        let filter = parse(expression).unwrap();
        let mut key = Key::default();
        let ours: Vec<usize> = (0..frames.len())
            .filter(|number| {
                extract(&frames[*number], frames[*number].len(), 1, &mut key);
                filter.matches(&key)
            })
            .collect();
        assert_eq!(ours, theirs, "`{expression}`");
        met += usize::from(!ours.is_empty() && ours.len() < frames.len());
    }
    assert!(met > 50, "{met} of the filters tell frames apart");
}

#[test]
fn what_is_no_filter_is_refused_with_its_place() {
    for (text, part) in [
        ("host", "no value at its end"),
        ("host nobody", "no IP address at word 2, `nobody`"),
        ("tcp udp", "no IP address at word 2"),
        ("tcp and", "a word that is not known at its end"),
        ("(tcp", "a bracket that is not closed"),
        ("tcp)", "`and` or `or` missing"),
        ("port 70000", "a port that is none"),
        ("vlan 5000", "a VLAN that is none"),
        ("icmp port 5", "ports of a protocol that has none"),
        ("ip6 host 10.0.0.1", "an address of another family"),
        ("net 10.0.0.1/8", "bits behind the prefix"),
        ("banana", "a word that is not known at word 1, `banana`"),
        ("10.0.0.1", "a word that is not known"),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
    assert!(parse(&"(".repeat(1000)).is_err());
    assert!(parse(&"not ".repeat(1000)).is_err());
}

proptest::proptest! {
    #[test]
    fn no_text_panics(words in proptest::collection::vec(proptest::sample::select(vec![
        "host", "net", "port", "src", "dst", "and", "or", "not", "(", ")", "!", "tcp", "ip6", "vlan", "10", "10.0.0.1",
        "fd00::/8", "ether", "proto", "0x0800", "portrange", "1-5", "é", "-", "65536",
    ]), 0..12)) {
        let _ = parse(&words.join(" "));
    }
}
