//! Packets for tests, with right checksums, and a tracker that they are sent through.

use netloom_mem::{Batch, Offload};
use netloom_nf::conntrack::{Connect, CtVerdict, Passing, Tracked, Tracker};
use netloom_table::key::extract;
use netloom_table::{Field, Key};
use netloom_wire::IpProtocol;
use netloom_wire::checksum::{PseudoHeader, internet, is_intact};
use std::net::{IpAddr, Ipv4Addr};

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const PSH: u8 = 8;
pub(crate) const ACK: u8 = 0x10;

/// A packet in words.
#[derive(Debug, Clone)]
pub(crate) struct Packet {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: u8,
    /// The transport header and what follows, its checksum left zero.
    pub(crate) rest: Vec<u8>,
    /// Where the checksum goes.
    pub(crate) checksum: Option<usize>,
}

pub(crate) fn tcp(
    from: (&str, u16),
    to: (&str, u16),
    flags: u8,
    (sequence, acknowledgement): (u32, u32),
) -> Packet {
    tcp_full(from, to, flags, (sequence, acknowledgement), 1000, &[], b"")
}

pub(crate) fn tcp_full(
    (source, source_port): (&str, u16),
    (destination, destination_port): (&str, u16),
    flags: u8,
    (sequence, acknowledgement): (u32, u32),
    window: u16,
    options: &[u8],
    payload: &[u8],
) -> Packet {
    let mut rest = Vec::new();
    rest.extend(source_port.to_be_bytes());
    rest.extend(destination_port.to_be_bytes());
    rest.extend(sequence.to_be_bytes());
    rest.extend(acknowledgement.to_be_bytes());
    rest.push(((20 + options.len()) / 4 * 16) as u8);
    rest.push(flags);
    rest.extend(window.to_be_bytes());
    rest.extend([0; 4]);
    rest.extend(options);
    rest.extend(payload);
    Packet {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        protocol: 6,
        rest,
        checksum: Some(16),
    }
}

pub(crate) fn udp(
    (source, source_port): (&str, u16),
    (destination, destination_port): (&str, u16),
    payload: &[u8],
) -> Packet {
    let mut rest = Vec::new();
    rest.extend(source_port.to_be_bytes());
    rest.extend(destination_port.to_be_bytes());
    rest.extend((8 + payload.len() as u16).to_be_bytes());
    rest.extend([0; 2]);
    rest.extend(payload);
    Packet {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        protocol: 17,
        rest,
        checksum: Some(6),
    }
}

pub(crate) fn icmp(
    source: &str,
    destination: &str,
    kind: u8,
    code: u8,
    word: [u8; 4],
    payload: &[u8],
) -> Packet {
    let source: IpAddr = source.parse().unwrap();
    let mut rest = vec![kind, code, 0, 0];
    rest.extend(word);
    rest.extend(payload);
    Packet {
        source,
        destination: destination.parse().unwrap(),
        protocol: if source.is_ipv4() { 1 } else { 58 },
        rest,
        checksum: Some(2),
    }
}

pub(crate) fn echo(source: &str, destination: &str, reply: bool, id: u16) -> Packet {
    let six = source.contains(':');
    let kind = match (six, reply) {
        (false, false) => 8,
        (false, true) => 0,
        (true, false) => 128,
        (true, true) => 129,
    };
    let [high, low] = id.to_be_bytes();
    icmp(source, destination, kind, 0, [high, low, 0, 1], b"some payload")
}

impl Packet {
    /// The IP packet.
    pub(crate) fn ip(&self) -> Vec<u8> {
        let mut rest = self.rest.clone();
        let length = rest.len() as u32;
        let protocol = IpProtocol(self.protocol);
        let pseudo = match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => PseudoHeader::v4(source, destination),
            (IpAddr::V6(source), IpAddr::V6(destination)) => PseudoHeader::v6(source, destination),
            _ => panic!("one family"),
        };
        if let Some(at) = self.checksum {
            let value = if self.protocol == 1 {
                internet(&rest)
            } else {
                let sum = pseudo.sum(protocol, length).bytes(&rest);
                if self.protocol == 17 { sum.udp_checksum() } else { sum.checksum() }
            };
            rest[at..at + 2].copy_from_slice(&value.to_be_bytes());
        }
        let mut packet = match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let mut header = vec![0x45, 0];
                header.extend((20 + rest.len() as u16).to_be_bytes());
                header.extend([0, 0, 0, 0, 64, self.protocol, 0, 0]);
                header.extend(source.octets());
                header.extend(destination.octets());
                let checksum = internet(&header);
                header[10..12].copy_from_slice(&checksum.to_be_bytes());
                header
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let mut header = vec![0x60, 0, 0, 0];
                header.extend((rest.len() as u16).to_be_bytes());
                header.extend([self.protocol, 64]);
                header.extend(source.octets());
                header.extend(destination.octets());
                header
            }
            _ => panic!("one family"),
        };
        packet.extend(rest);
        packet
    }

    /// The Ethernet frame.
    pub(crate) fn frame(&self) -> Vec<u8> {
        let mut frame = vec![0x52, 0x54, 0, 0, 0, 1, 0x52, 0x54, 0, 0, 0, 2];
        frame.extend(if self.source.is_ipv4() { [8, 0] } else { [0x86, 0xdd] });
        frame.extend(self.ip());
        frame
    }
}

/// What a packet went through, and what became of it.
#[derive(Debug, Clone)]
pub(crate) struct Passed {
    pub(crate) verdict: CtVerdict,
    pub(crate) key: Key,
    pub(crate) tracked: Tracked,
    pub(crate) frame: Vec<u8>,
}

impl Passed {
    pub(crate) fn get(&self, field: Field) -> u64 {
        self.key.get(field)
    }

    pub(crate) fn text(&self) -> String {
        state_text(self.verdict.state)
    }

    /// Addresses and ports of the frame as it is now.
    pub(crate) fn tuple(&self) -> String {
        // The key that the tracker has changed is that of the frame.
        let mut key = Key::default();
        extract(&self.frame, self.frame.len(), 1, &mut key);
        for field in [
            Field::IP4_SRC,
            Field::IP4_DST,
            Field::TP_SRC,
            Field::TP_DST,
            Field::IP6_SRC_HIGH,
            Field::IP6_SRC_LOW,
            Field::IP6_DST_HIGH,
            Field::IP6_DST_LOW,
        ] {
            assert_eq!(key.get(field), self.key.get(field), "{field:?}");
        }
        frame_tuple(&self.frame)
    }
}

/// Addresses and ports of a frame.
pub(crate) fn frame_tuple(frame: &[u8]) -> String {
    let mut key = Key::default();
    extract(frame, frame.len(), 1, &mut key);
    let address = |four: Field, six: Field| match key.get(Field::ETH_TYPE) {
        0x800 => Ipv4Addr::from_bits(key.get(four) as u32).to_string(),
        _ => std::net::Ipv6Addr::from_bits(
            u128::from(key.word(six.word())) << 64 | u128::from(key.word(six.word() + 1)),
        )
        .to_string(),
    };
    format!(
        "{}:{}>{}:{}",
        address(Field::IP4_SRC, Field::IP6_SRC_HIGH),
        key.get(Field::TP_SRC),
        address(Field::IP4_DST, Field::IP6_DST_HIGH),
        key.get(Field::TP_DST)
    )
}

pub(crate) fn state_text(bits: u32) -> String {
    let names = ["new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"];
    let set: Vec<&str> =
        names.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1).map(|(_, name)| *name).collect();
    set.join("|")
}

/// Sends a frame through connection tracking.
pub(crate) fn pass_frame(tracker: &Tracker, frame: &[u8], request: &Connect, now: u64) -> Passed {
    let mut key = Key::default();
    extract(frame, frame.len(), 1, &mut key);
    let before =
        Passed { verdict: CtVerdict::default(), key, tracked: Tracked::default(), frame: frame.to_vec() };
    again(tracker, before, request, now)
}

pub(crate) fn pass(tracker: &Tracker, packet: &Packet, request: &Connect, now: u64) -> Passed {
    pass_frame(tracker, &packet.frame(), request, now)
}

/// Sends what came out through connection tracking once more.
pub(crate) fn again(tracker: &Tracker, before: Passed, request: &Connect, now: u64) -> Passed {
    let Passed { mut key, mut tracked, frame, .. } = before;
    let mut batch = Batch::new();
    assert!(batch.push(1, &frame, Offload::NONE));
    let mut fresh = Key::default();
    let layers = extract(&frame, frame.len(), 1, &mut fresh);
    let verdict = CtVerdict::default();
    let mut passing = Passing { index: 0, key: &mut key, layers, tracked: &mut tracked, verdict };
    let verdict = tracker.turn().process(&mut batch, &mut passing, request, now);
    let frame = batch.octets(0);
    Passed { verdict, key, tracked, frame }
}

/// Whether all checksums of a frame are right.
pub(crate) fn is_right(frame: &[u8]) -> bool {
    let packet = &frame[14..];
    let (protocol, rest, pseudo) = if packet[0] >> 4 == 4 {
        let header = usize::from(packet[0] & 15) * 4;
        let total = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
        if !is_intact(&packet[..header]) {
            return false;
        }
        let address = |at: usize| Ipv4Addr::from(*packet[at..].first_chunk::<4>().unwrap());
        (packet[9], &packet[header..total], PseudoHeader::v4(address(12), address(16)))
    } else {
        let payload = usize::from(u16::from_be_bytes([packet[4], packet[5]]));
        let address = |at: usize| std::net::Ipv6Addr::from(*packet[at..].first_chunk::<16>().unwrap());
        (packet[6], &packet[40..40 + payload], PseudoHeader::v6(address(8), address(24)))
    };
    match protocol {
        1 => is_intact(rest),
        6 | 17 | 58 => pseudo.sum(IpProtocol(protocol), rest.len() as u32).bytes(rest).fold() == 0xffff,
        _ => true,
    }
}
