//! An independent decoder reads the same packets: Scapy, in both directions, and frames that a kernel sent.
//!
//! Skips, with a line that says so, where Python has no Scapy.

use crate::fields::{Fields, fields, hex};
use crate::strategies;
use netloom_testkit::skip;
use netloom_wire::header::*;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::io::Write;
use std::process::{Command, Stdio};

const DECODE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracle/decode.py");
const BUILD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracle/build.py");
const CAPTURED: &str = include_str!("../oracle/captured.txt");

/// A Python that has Scapy: the system's, where packages put it, or the first of the path.
fn python() -> Option<&'static str> {
    ["/usr/bin/python3", "python3"].into_iter().find(|python| {
        let import = Command::new(python)
            .args(["-c", "import scapy.layers.l2"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        import.is_ok_and(|status| status.success())
    })
}

fn script(python: &str, script: &str, arguments: &[&str], input: &str) -> String {
    let mut child = Command::new(python)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(script)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Written by another thread: Scapy answers while it reads, and neither pipe may fill up.
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_owned());
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let done = child.wait_with_output().unwrap();
    let written = writer.join().unwrap();
    assert!(done.status.success() && written.is_ok(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().as_chunks::<2>().0.iter();
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn same(header: &str, bytes: &[u8], theirs: &str) {
    let theirs: Fields = serde_json::from_str(theirs).unwrap();
    let ours = fields(header, bytes);
    assert_eq!(ours.as_ref(), Some(&theirs), "{header} {}", hex(bytes));
}

/// Has Scapy read packets, and compares.
fn compare(python: &str, packets: &[(&str, Vec<u8>)]) {
    let input: String = packets.iter().map(|(header, bytes)| format!("{header} {}\n", hex(bytes))).collect();
    let answers = script(python, DECODE, &[], &input);
    assert_eq!(answers.lines().count(), packets.len());
    for ((header, bytes), answer) in packets.iter().zip(answers.lines()) {
        same(header, bytes, answer);
    }
}

/// Scapy cannot be asked about everything that is legal; what is left out here is what it reads wrongly.
trait Askable {
    fn askable(&self) -> bool {
        true
    }
}

macro_rules! askable {
    ($($header:ident)*) => { $( impl Askable for $header::Repr {} )* };
}

askable! { ethernet vlan arp ipv4 ipv6 ipv6_fragment icmpv4 icmpv6 tcp udp snap sctp mpls vxlan vxlan_gpe gre erspan lacp
marker }

impl Askable for stp::Repr {}
impl Askable for geneve::Repr<'_> {}
impl Askable for gtp_u::Repr<'_> {}
impl Askable for bfd::Repr<'_> {}
impl Askable for ipv6_routing::Repr<'_> {}
impl Askable for authentication::Repr<'_> {}
impl Askable for nsh::Repr<'_> {}

impl Askable for llc::Repr {
    fn askable(&self) -> bool {
        matches!(self.control, llc::Control::Unnumbered(_))
    }
}

impl Askable for ipv6_options::Repr<'_> {
    /// Some kinds have classes of their own there, which expect a length.
    fn askable(&self) -> bool {
        ipv6_options::Items::new(self.options).all(|item| item.is_ok_and(|item| item.kind < 2))
    }
}

impl Askable for nd::Repr<'_> {
    /// Other options have classes of their own there, which expect a length.
    fn askable(&self) -> bool {
        use nd_option::Item;
        !self.options().iter().any(|item| matches!(item, Item::Redirected(_) | Item::Other { .. }))
    }
}

impl Askable for igmp::Repr<'_> {
    /// Auxiliary data is read as the next record there.
    fn askable(&self) -> bool {
        match self {
            Self::Report3 { records } => records.iter().all(|record| record.auxiliary.is_empty()),
            _ => true,
        }
    }
}

impl Askable for mld::Repr<'_> {
    fn askable(&self) -> bool {
        match self {
            Self::Report2 { records } => records.iter().all(|record| record.auxiliary.is_empty()),
            _ => true,
        }
    }
}

impl Askable for lldp::Repr<'_> {
    /// IDs that are addresses, and parts with a structure, are read further there.
    fn askable(&self) -> bool {
        let plain = |id: &lldp::Id<'_>| id.subtype > 7;
        plain(&self.chassis)
            && plain(&self.port)
            && lldp::Items::new(self.others).flatten().all(|item| (4..=6).contains(&item.kind.0))
    }
}

macro_rules! generated {
    ($runner:expr, $count:expr, $($header:ident $(+ $payload:expr)?;)*) => {{
        let mut packets: Vec<(&'static str, Vec<u8>)> = Vec::new();
        $(
            let mut found = 0;
            for _ in 0..$count * 400 {
                if found == $count {
                    break;
                }
                let repr = strategies::$header().new_tree($runner).unwrap().current();
                if !repr.askable() {
                    continue;
                }
                let mut bytes = vec![0; repr.buffer_len()];
                repr.emit(&mut bytes).unwrap();
                $( bytes.resize(bytes.len() + usize::from($payload(&repr)), 0); )?
                packets.push((stringify!($header), bytes));
                found += 1;
            }
            assert!(found > $count / 2, "{} of {}", found, stringify!($header));
        )*
        packets
    }};
}

#[test]
fn scapy_reads_what_is_emitted() {
    let Some(python) = python() else {
        skip!("no Python here has Scapy (package python3-scapy)");
        return;
    };
    let mut runner = TestRunner::deterministic();
    let packets = generated!(&mut runner, 60,
        ethernet; vlan; arp;
        ipv4 + |repr: &ipv4::Repr| repr.payload_len;
        ipv6 + |repr: &ipv6::Repr| repr.payload_len;
        ipv6_options; ipv6_routing; ipv6_fragment; authentication;
        icmpv4; icmpv6; nd; tcp; udp; sctp; llc; snap; igmp; mld; mpls; vxlan; vxlan_gpe; geneve; gre; erspan; nsh;
        gtp_u + |repr: &gtp_u::Repr<'_>| repr.payload_len;
        stp; lacp; marker; lldp; bfd;
    );
    compare(python, &packets);
}

#[test]
fn what_scapy_builds_is_read_alike() {
    let Some(python) = python() else {
        skip!("no Python here has Scapy (package python3-scapy)");
        return;
    };
    let built = script(python, BUILD, &["1", "60"], "");
    assert!(built.lines().count() > 1000);
    for line in built.lines() {
        let [header, packet, theirs] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        same(header, &unhex(packet), theirs);
    }
}

/// The layers of a captured frame, each with the name of its header and the bytes that its view is made of.
fn layers(frame: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    use netloom_wire::frame::{Outline, Part};
    use netloom_wire::{EtherType, IpProtocol, udp_port};
    let outline = Outline::of(frame).unwrap();
    assert_eq!(outline.malformed, None);
    let mut found: Vec<(&'static str, Vec<u8>)> =
        vec![("frame", frame.to_vec()), ("ethernet", frame.to_vec())];
    let packet = outline.network_bytes(frame).to_vec();
    match outline.ether_type {
        EtherType::ARP => found.push(("arp", packet)),
        EtherType::IPV4 => found.push(("ipv4", packet)),
        EtherType::IPV6 => found.push(("ipv6", packet)),
        other => panic!("a captured frame carries {other}"),
    }
    let segment = outline.transport_bytes(frame).to_vec();
    if outline.transport == 0 || outline.part != Part::Whole {
        return found;
    }
    match outline.protocol {
        IpProtocol::TCP => found.extend([("tcp", segment.clone()), ("tcp_options", segment)]),
        IpProtocol::ICMP => found.push(("icmpv4", segment)),
        IpProtocol::IGMP => found.push(("igmp", segment)),
        IpProtocol::ICMPV6 => {
            let kind = icmpv6::View::new_checked(&segment[..]).unwrap().kind();
            let header = if kind.is_neighbour_discovery() {
                "nd"
            } else if kind.is_multicast_listener() {
                "mld"
            } else {
                "icmpv6"
            };
            // The kernel computes this checksum itself.
            let ipv6 = ipv6::View::new_checked(outline.network_bytes(frame)).unwrap();
            assert!(icmpv6::View::new_checked(&segment[..]).unwrap().verify_checksum(&ipv6.pseudo_header()));
            found.push((header, segment));
        }
        IpProtocol::UDP => {
            let datagram = udp::View::new_checked(&segment[..]).unwrap();
            if datagram.destination_port() == udp_port::VXLAN {
                let tunnel = vxlan::View::new_checked(datagram.payload()).unwrap();
                found.push(("vxlan", datagram.payload().to_vec()));
                found.extend(layers(tunnel.payload()));
            }
            found.push(("udp", segment.clone()));
        }
        other => panic!("a captured packet carries {other}"),
    }
    found
}

#[test]
fn captured_frames_are_read_alike() {
    let frames: Vec<_> = CAPTURED.lines().filter(|line| !line.starts_with('#')).map(unhex).collect();
    let packets: Vec<_> = frames.iter().flat_map(|frame| layers(frame)).collect();
    for header in ["arp", "ipv4", "ipv6", "icmpv4", "icmpv6", "nd", "mld", "igmp", "tcp", "udp", "vxlan"] {
        assert!(packets.iter().any(|(name, _)| *name == header), "no {header} among the captured frames");
    }
    let Some(python) = python() else {
        skip!("no Python here has Scapy (package python3-scapy)");
        return;
    };
    compare(python, &packets);
}
