//! Laws that hold for any octets; the fuzz targets call them, too.

use super::packets::{ACK, PSH, SYN, is_right, pass_frame, tcp, tcp_full};
use netloom_mem::{Batch, Offload};
use netloom_nf::conntrack::{Connect, Nat, NatRange, Pattern, Tracker, state};
use netloom_nf::fragments::{FragmentBounds, Fragments, TIMEOUT, Taken};
use netloom_table::Key;
use netloom_table::key::extract;
use netloom_wire::IpProtocol;
use netloom_wire::checksum::{PseudoHeader, Sum, internet};

const SECOND: u64 = 1_000_000_000;

/// Reads octets one after the other; zeros behind the last.
struct Source<'a>(&'a [u8]);

impl<'a> Source<'a> {
    fn octet(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    fn some(&mut self, count: usize) -> &'a [u8] {
        let (some, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        some
    }
}

/// Writes right lengths and checksums into a frame, as far as it has headers, so that more than the first check is met.
fn mend(frame: &mut [u8]) -> Option<()> {
    let six = frame.get(12..14)? == [0x86, 0xdd];
    let header = if six { 40 } else { 20 };
    let (l3, rest) = frame.get_mut(14..)?.split_at_mut_checked(header)?;
    let length = rest.len() as u16;
    let (protocol, pseudo) = if six {
        (l3[0], l3[4], l3[5]) = (0x60, (length >> 8) as u8, length as u8);
        let address = |at: usize| std::net::Ipv6Addr::from(*l3[at..].first_chunk::<16>().unwrap());
        (l3[6], PseudoHeader::v6(address(8), address(24)))
    } else {
        (l3[0], l3[6], l3[7]) = (0x45, 0, 0);
        l3[2..4].copy_from_slice(&(length + 20).to_be_bytes());
        l3[10..12].fill(0);
        let checksum = internet(l3);
        l3[10..12].copy_from_slice(&checksum.to_be_bytes());
        let address = |at: usize| std::net::Ipv4Addr::from(*l3[at..].first_chunk::<4>().unwrap());
        (l3[9], PseudoHeader::v4(address(12), address(16)))
    };
    let at = match protocol {
        6 => 16,
        17 => {
            rest.get_mut(4..6)?.copy_from_slice(&length.to_be_bytes());
            6
        }
        1 | 58 => 2,
        _ => return Some(()),
    };
    rest.get_mut(at..at + 2)?.fill(0);
    let covered = if protocol == 1 { Sum::ZERO } else { pseudo.sum(IpProtocol(protocol), u32::from(length)) };
    let checksum = covered.bytes(rest).udp_checksum();
    rest.get_mut(at..at + 2)?.copy_from_slice(&checksum.to_be_bytes());
    Some(())
}

/// A packet of a small world, in which packets meet each other's connections often: of few octets.
fn some_frame(source: &mut Source<'_>, quoted: bool) -> Vec<u8> {
    let (kind, ports) = (source.octet(), source.octet());
    let six = kind & 1 != 0;
    let (from, to) = (1 + (ports & 1), 1 + (ports >> 1 & 1) + 2 * (kind >> 7));
    let protocol = match kind >> 1 & 7 {
        0..3 => 6,
        3 => 17,
        4 | 5 if six => 58,
        4 | 5 => 1,
        6 => 132,
        _ => 47,
    };
    let mut frame = vec![0x52; 12];
    if six {
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, protocol, 64]);
        for last in [from, to] {
            frame.extend([0xfd; 15]);
            frame.push(last);
        }
    } else {
        frame.extend([8, 0, 0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, from, 10, 0, 0, to]);
    }
    match protocol {
        6 => {
            let port = |bits: u8| [20, 21, 80, 0][usize::from(bits & 3)];
            frame.extend([0, port(ports >> 2), 0, port(ports >> 4), 0, 0]);
            let (sequence, acknowledged, flags) = (source.octet(), source.octet(), source.octet());
            frame.extend([sequence & 0x81, sequence, 0, 0, acknowledged & 0x81, acknowledged, 0x50, flags]);
            frame.extend([source.octet(), 255, 0, 0, 0, 0]);
            let size = usize::from(source.octet() & 63);
            frame.extend(source.some(size));
        }
        1 | 58 => {
            let code = source.octet();
            let error = code & 1 != 0 && !quoted;
            let kind = match (six, error) {
                (false, false) => [0, 8, 13, 14][usize::from(code >> 1 & 3)],
                (true, false) => 128 | code >> 1 & 1,
                (false, true) => [3, 4, 11, 12][usize::from(code >> 1 & 3)],
                (true, true) => 1 + (code >> 1 & 3),
            };
            frame.extend([kind, 0, 0, 0, 0, ports >> 6, 0, 0]);
            if error {
                let mut inner = some_frame(source, true);
                mend(&mut inner);
                let size = 14 + usize::from(source.octet() & 127);
                frame.extend(&inner[14..inner.len().min(size).max(14)]);
            }
        }
        _ => {
            frame.extend([0, 53 + (ports >> 2 & 1), 0, 69 + (ports >> 4 & 1), 0, 0, 0, 0]);
            let size = usize::from(source.octet() & 15);
            frame.extend(source.some(size));
        }
    }
    frame
}

/// Any packets, with any requests: nothing panics; there are no more connections than may be; frames keep their length but
/// for what helpers say; when everything has expired, nothing is left.
pub fn conntrack(octets: &[u8]) {
    let mut source = Source(octets);
    let setup = source.octet();
    let tracker = Tracker::new(if setup & 1 == 0 { 1 } else { 4 }, u64::from(setup), 0);
    tracker.check_checksums(setup & 2 == 0);
    tracker.use_sctp_ports(setup & 4 == 0);
    tracker.check_sequence(setup & 8 == 0);
    tracker.set_most(20);
    tracker.set_limit(Some(3), Some(2));
    let mut now = SECOND;
    while !source.0.is_empty() {
        let (kind, mended, size) = (source.octet(), source.octet(), source.octet());
        let mut frame = if size & 3 != 0 {
            some_frame(&mut source, false)
        } else {
            source.some(usize::from(size)).to_vec()
        };
        if mended & 1 == 0 {
            mend(&mut frame);
        }
        let address = |last: u8| std::net::IpAddr::from([10, 0, 0, last]);
        let range = NatRange {
            addresses: Some((address(mended >> 2 & 3), address(3 + (mended >> 4 & 3)))),
            ports: (mended & 2 != 0).then_some((u16::from(size), 300 + u16::from(size))),
            persistent: kind & 4 != 0,
            random: kind & 8 != 0,
        };
        let request = Connect {
            zone: u16::from(kind & 3),
            commit: kind & 8 == 0,
            force: kind & 0x70 == 0x70,
            mark: (kind & 0x80 != 0).then_some((u32::from(mended), 0xff)),
            label: (kind & 0x80 != 0).then_some((u128::from(mended), 0xf0)),
            nat: match kind >> 4 & 3 {
                0 => None,
                1 => Some(Nat::Known),
                2 => Some(Nat::Source(range)),
                _ => Some(Nat::Destination(range)),
            },
            helper: match mended >> 6 {
                1 => Some("ftp"),
                2 => Some("tftp"),
                _ => None,
            },
            timeout: None,
        };
        let passed = pass_frame(&tracker, &frame, &request, now);
        assert_eq!(passed.frame.len() as i64, frame.len() as i64 + i64::from(passed.verdict.resized));
        assert!(passed.verdict.state & state::TRACKED != 0);
        assert!(tracker.connections() <= 20);
        assert!(passed.verdict.changed || passed.frame == frame);
        now += u64::from(mended) * SECOND / 16;
        tracker.sweep(now, usize::from(kind));
    }
    assert!(tracker.dump(None, now).all(|entry| entry.to_string().contains(",reply=(")));
    if setup & 16 == 0 {
        tracker.flush(&Pattern::default());
    }
    for turn in 0..2 * tracker.shards() as u64 {
        tracker.sweep(now + 200_000 * SECOND + turn, 1000);
    }
    assert_eq!((tracker.connections(), tracker.census().expected), (0, 0));
    assert!(tracker.zone_limits().iter().all(|limit| limit.count == 0));
}

/// Any messages on a control connection of FTP, translated or not: nothing panics, checksums stay right, and lengths are
/// what the verdict says.
pub fn ftp(octets: &[u8]) {
    let mut source = Source(octets);
    let setup = source.octet();
    let six = setup & 1 != 0;
    let (a, b, outside) =
        if six { ("fd00::1", "fd00::2", "2001:db8::7") } else { ("10.0.0.1", "10.0.0.2", "192.0.2.77") };
    let tracker = Tracker::new(if setup & 2 == 0 { 1 } else { 4 }, 5, 0);
    tracker.check_sequence(false);
    let outside_address = outside.parse().unwrap();
    let range = NatRange { addresses: Some((outside_address, outside_address)), ..NatRange::default() };
    let translated = setup & 4 == 0;
    let nat = if setup & 8 == 0 { Nat::Source(range) } else { Nat::Destination(range) };
    let begin =
        Connect { commit: true, helper: Some("ftp"), nat: translated.then_some(nat), ..Connect::default() };
    let go_on = Connect { nat: translated.then_some(Nat::Known), ..Connect::default() };
    pass_frame(&tracker, &tcp((a, 3000), (b, 21), SYN, (1, 0)).frame(), &begin, 0);
    let (client, server) = match (translated, nat) {
        (true, Nat::Source(_)) => (outside, b),
        (true, _) => (a, outside),
        _ => (a, b),
    };
    pass_frame(&tracker, &tcp((server, 21), (client, 3000), SYN | ACK, (1, 2)).frame(), &go_on, 0);
    while !source.0.is_empty() {
        let (direction, size) = (source.octet(), source.octet());
        let prefix: &[u8] = match direction >> 1 & 7 {
            0 => b"PORT 10,0,0,1,",
            1 => b"227 Entering Passive Mode (",
            2 => b"EPRT |2|fd00::1|",
            3 => b"EPRT |1|10.0.0.1|",
            4 => b"229 Entering Extended Passive Mode (|||",
            _ => b"",
        };
        let message = [prefix, source.some(usize::from(size)), b"\r\n"].concat();
        let packet = if direction & 1 == 0 {
            tcp_full((a, 3000), (b, 21), PSH | ACK, (2, 2), 9000, &[], &message)
        } else {
            tcp_full((server, 21), (client, 3000), PSH | ACK, (2, 2), 9000, &[], &message)
        };
        let frame = packet.frame();
        let passed = pass_frame(&tracker, &frame, &go_on, 0);
        assert!(is_right(&passed.frame), "{}", String::from_utf8_lossy(&message));
        assert_eq!(passed.frame.len() as i64, frame.len() as i64 + i64::from(passed.verdict.resized));
        assert!(tracker.census().expected <= 64);
        assert!(translated || passed.frame == frame);
    }
    tracker.flush(&Pattern::default());
    assert_eq!(tracker.census().expected, 0);
}

/// Any fragments in any order: nothing panics, memory keeps its bounds; what is put together comes apart into as many
/// frames; in the end nothing is held.
pub fn fragments(octets: &[u8]) {
    let mut source = Source(octets);
    let bounds = FragmentBounds {
        fragments: 1 + usize::from(source.octet() & 15),
        octets: 100 + usize::from(source.octet()) * 8,
        least_four: usize::from(source.octet()),
        least_six: 0,
        ..FragmentBounds::default()
    };
    let mut fragments = Fragments::new(bounds);
    let mut now = 0;
    while !source.0.is_empty() {
        let (kind, bits, size) = (source.octet(), source.octet(), source.octet());
        let mut frame = vec![0; 12];
        if kind & 1 == 0 {
            frame.extend([8, 0, 0x45, 0, 0, 0, 0, kind >> 4, bits & 0x20, bits & 0x1f, 64, 17, 0, 0]);
            frame.extend([10, 0, 0, 1, 10, 0, 0, 2]);
            frame.extend(source.some(usize::from(size)));
            let length = (frame.len() - 14) as u16;
            frame[16..18].copy_from_slice(&length.to_be_bytes());
            let checksum = internet(&frame[14..34]);
            frame[24..26].copy_from_slice(&checksum.to_be_bytes());
        } else {
            let rest = source.some(usize::from(size));
            let length = (rest.len() + 8) as u16;
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, (length >> 8) as u8, length as u8, 44, 64]);
            frame.extend([1; 32]);
            frame.extend([17, 0, 0, bits & 0xf9, 0, 0, 0, kind >> 4]);
            frame.extend(rest);
        }
        if kind & 6 == 6 {
            frame.truncate(usize::from(bits));
        }
        let mut batch = Batch::new();
        assert!(batch.push(1, &frame, Offload::NONE));
        let mut key = Key::default();
        let layers = extract(batch.head(0), frame.len(), 1, &mut key);
        if let Taken::Complete(assembly) = fragments.take(&mut batch, 0, &key, &layers, 0, now) {
            assert_eq!(assembly.parts(assembly.frame()).len(), assembly.count());
            assert!(assembly.parts(&[]).len() <= assembly.count());
        }
        let (held, octets) = fragments.held();
        assert!(held <= bounds.fragments && octets <= bounds.octets);
        now += u64::from(kind) * SECOND / 32;
        fragments.expire(now);
    }
    while !fragments.is_empty() {
        assert!(!fragments.expire(now + TIMEOUT).is_empty());
    }
    assert_eq!(fragments.held(), (0, 0));
}
