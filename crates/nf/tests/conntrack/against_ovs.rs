//! The same packets through Open vSwitch's connection tracking and through this one: states, marks, rewritten packets and
//! the lists of connections must be equal.

use crate::basic::SECOND;
use crate::packets::*;
use crate::switch::Switch;
use crate::translated::range;
use netloom_nf::conntrack::{Connect, Detail, Nat, Tracker};
use netloom_table::Field;
use std::collections::HashSet;

/// What is asked of the tracker, in both languages. The first octets of a frame choose.
fn requests() -> Vec<(&'static str, Connect)> {
    let plain = Connect::default();
    let commit = Connect { commit: true, ..Connect::default() };
    let nat = |nat| Some(nat);
    vec![
        ("", plain.clone()),
        ("commit", commit.clone()),
        ("nat", Connect { nat: nat(Nat::Known), ..plain.clone() }),
        (
            "commit,nat(src=192.0.2.7)",
            Connect { nat: nat(Nat::Source(range("192.0.2.7", "192.0.2.7", None))), ..commit.clone() },
        ),
        (
            "commit,nat(src=192.0.2.8:4000)",
            Connect {
                nat: nat(Nat::Source(range("192.0.2.8", "192.0.2.8", Some((4000, 4000))))),
                ..commit.clone()
            },
        ),
        (
            "commit,nat(dst=10.0.0.9:80)",
            Connect {
                nat: nat(Nat::Destination(range("10.0.0.9", "10.0.0.9", Some((80, 80))))),
                ..commit.clone()
            },
        ),
        ("commit,force", Connect { force: true, ..commit.clone() }),
        (
            "commit,exec(set_field:0x5/0xf->ct_mark,set_field:0x70000/0xf0000->ct_label)",
            Connect { mark: Some((5, 15)), label: Some((0x70000, 0xf0000)), ..commit.clone() },
        ),
        ("commit,exec(set_field:0x30/0xf0->ct_mark)", Connect { mark: Some((0x30, 0xf0)), ..commit.clone() }),
        ("commit,alg=ftp", Connect { helper: Some("ftp"), ..commit.clone() }),
        (
            "commit,alg=ftp,nat(src=192.0.2.7)",
            Connect {
                helper: Some("ftp"),
                nat: nat(Nat::Source(range("192.0.2.7", "192.0.2.7", None))),
                ..commit.clone()
            },
        ),
        (
            "commit,nat(src=fd00::7)",
            Connect { nat: nat(Nat::Source(range("fd00::7", "fd00::7", None))), ..commit.clone() },
        ),
        (
            "commit,nat(dst=[fd00::9]:80)",
            Connect { nat: nat(Nat::Destination(range("fd00::9", "fd00::9", Some((80, 80))))), ..commit },
        ),
    ]
}

const ZONES: [u16; 2] = [0, 7];

fn flows(requests: &[(&str, Connect)]) -> String {
    let mut flows = String::new();
    for (number, (text, _)) in requests.iter().enumerate() {
        for zone in ZONES {
            let comma = if text.is_empty() { "" } else { "," };
            let (four, six) = (text.contains("nat("), text.contains("fd00"));
            let kinds = if text.contains("alg") { ["tcp", "tcp6"] } else { ["ip", "ipv6"] };
            // Addresses of one version are for packets of that version only.
            let which = if six { 1..2 } else { 0..if four { 1 } else { 2 } };
            for kind in &kinds[which] {
                flows += &format!(
                    "in_port=1,{kind},dl_src=52:54:00:00:{number:02x}:{zone:02x},actions=ct(zone={zone}{comma}{text},table=1)\n"
                );
            }
        }
    }
    flows += "table=1,actions=move:NXM_NX_CT_STATE[]->NXM_OF_ETH_DST[0..31],move:NXM_NX_CT_MARK[]->NXM_OF_ETH_SRC[0..31],output:2\n";
    flows
}

/// Numbers by chance, the same each time.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ word >> 31) % below
    }

    pub(crate) fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.next(list.len() as u64) as usize]
    }
}

/// A packet of a small world, in which packets meet the connections of others often.
pub(crate) fn some_packet(chance: &mut Chance, six: bool) -> Packet {
    let (clients, servers): (&[&str], &[&str]) = if six {
        (&["fd00::1", "fd00::2"], &["fd00::9", "fd00::a"])
    } else {
        (&["10.0.0.1", "10.0.0.2", "192.0.2.7"], &["10.0.0.9", "10.0.0.10"])
    };
    let client = (chance.of(clients), chance.of(&[1000, 2000, 4000]));
    let server = (chance.of(servers), chance.of(&[80, 81]));
    let (from, to) = if chance.next(2) == 0 { (client, server) } else { (server, client) };
    match chance.next(10) {
        0..6 => {
            let flags = chance.of(&[
                SYN,
                SYN,
                SYN | ACK,
                ACK,
                ACK,
                ACK,
                ACK | PSH,
                FIN | ACK,
                RST,
                RST | ACK,
                FIN,
                0,
                SYN | FIN,
            ]);
            let numbers = (
                chance.of(&[100, 101, 102, 150, 5000, 70_000, 1_000_000, u32::MAX]),
                chance.of(&[0, 100, 101, 102, 150, 5000, 70_000]),
            );
            let window = chance.of(&[0, 1, 100, 1000, 65_535]);
            let options: &[u8] = if flags & SYN != 0 {
                [&[][..], &[3, 3, 7, 0], &[1, 3, 3, 14], &[2, 4, 5, 180, 1, 3, 3, 200], &[1, 1, 1, 0]]
                    [chance.next(5) as usize]
            } else {
                &[]
            };
            let payload = vec![b'x'; chance.of(&[0, 0, 0, 1, 50, 600])];
            tcp_full(from, to, flags, numbers, window, options, &payload)
        }
        6..8 => udp(from, to, b"datagram"),
        8 => {
            let reply = chance.next(2) == 0;
            echo(from.0, to.0, reply, chance.of(&[7, 8]))
        }
        _ => {
            let quoted = match chance.next(3) {
                0 => tcp(to, from, SYN, (100, 0)).ip(),
                1 => udp(to, from, b"datagram").ip(),
                _ => echo(to.0, from.0, false, 7).ip(),
            };
            let kind = if six { 1 } else { chance.of(&[3, 11]) };
            icmp(from.0, from.0, kind, 0, [0; 4], &quoted).with_destination(from.0, to.0)
        }
    }
}

/// A packet that follows another one: an answer to what came out, a further one like what went in, or an error about it.
pub(crate) fn follow(chance: &mut Chance, sent: &[u8], seen: &[u8]) -> Option<Packet> {
    let back = chance.next(3) < 2;
    let frame = if back { seen } else { sent };
    let six = frame[12] == 0x86;
    let address = |at: usize| {
        if six {
            std::net::IpAddr::from(*frame[14 + 8 + at * 16..].first_chunk::<16>().unwrap())
        } else {
            std::net::IpAddr::from(*frame[14 + 12 + at * 4..].first_chunk::<4>().unwrap())
        }
    };
    let (protocol, rest) = if six { (frame[20], &frame[54..]) } else { (frame[23], &frame[34..]) };
    let half = |at: usize| u16::from_be_bytes(*rest[at..].first_chunk().unwrap());
    let word = |at: usize| u32::from_be_bytes(*rest[at..].first_chunk().unwrap());
    let (from, to) = (address(0).to_string(), address(1).to_string());
    if back && chance.next(8) == 0 {
        let kind = if six { 1 } else { chance.of(&[3, 4, 11, 12]) };
        let router = if six { "fd00::77" } else { "10.7.7.7" };
        let quoted = &frame[14..frame.len().min(14 + chance.of(&[28, 48, 60, 100]))];
        return Some(icmp(chance.of(&[router, &to]), &from, kind, 0, [0; 4], quoted));
    }
    match protocol {
        17 => {
            let (from, to) = ((&*from, half(0)), (&*to, half(2)));
            Some(if back { udp(to, from, b"answer") } else { udp(from, to, b"more") })
        }
        6 => {
            let flags = rest[13];
            let length = rest.len() as u32 - u32::from(rest[12] >> 4) * 4;
            let spent = length + u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
            let next = word(4).wrapping_add(spent);
            let off = chance.of(&[0, 0, 0, 0, 0, 0, 1, 500, 70_000, u32::MAX]);
            let window = chance.of(&[0, 100, 1000, 30_000, 65_535]);
            let payload = vec![b'y'; chance.of(&[0, 0, 10, 1000])];
            let (numbers, flags) = if back {
                let flags = if flags & ACK == 0 && flags & SYN != 0 {
                    chance.of(&[SYN | ACK, SYN | ACK, RST | ACK, SYN])
                } else {
                    chance.of(&[ACK, ACK, ACK | PSH, FIN | ACK, FIN | ACK, RST | ACK, RST])
                };
                let own = if flags & SYN != 0 { 9000 } else { word(8) };
                ((own.wrapping_add(off), next), flags)
            } else {
                ((next.wrapping_add(off), word(8)), chance.of(&[ACK, ACK, FIN | ACK, RST, SYN]))
            };
            let options: &[u8] = if flags & SYN != 0 && chance.next(2) == 0 { &[3, 3, 5, 0] } else { &[] };
            let (from, to) = ((&*from, half(0)), (&*to, half(2)));
            Some(if back {
                tcp_full(to, from, flags, numbers, window, options, &payload)
            } else {
                tcp_full(from, to, flags, numbers, window, options, &payload)
            })
        }
        1 | 58 if matches!(rest[0], 0 | 8 | 128 | 129) => {
            let (reply, id) = (matches!(rest[0], 0 | 129), half(4));
            Some(if back { echo(&to, &from, !reply, id) } else { echo(&from, &to, reply, id) })
        }
        _ => None,
    }
}

impl Packet {
    /// An error comes from one end, or a router, and goes to the sender of what it quotes.
    fn with_destination(mut self, source: &str, destination: &str) -> Self {
        (self.source, self.destination) = (source.parse().unwrap(), destination.parse().unwrap());
        // What is quoted was sent by the destination.
        self
    }
}

#[derive(Default)]
struct Agreement {
    packets: usize,
    states: std::collections::BTreeMap<String, usize>,
    lists: usize,
    /// Traces that end early.
    explained: usize,
}

/// Runs one trace through both; false when Open vSwitch died of it.
fn compare(switch: &mut Switch, seed: u64, packets: usize, agreement: &mut Agreement) -> bool {
    let requests = requests();
    let tracker = Tracker::new(1, seed, 0);
    let (mut chance, mut now) = (Chance(seed), SECOND);
    let mut history = Vec::new();
    let mut recent = Vec::new();
    let (mut stale, mut before_replies, mut was_damaged) = (HashSet::new(), HashSet::new(), false);
    switch.ask("dpctl/flush-conntrack", &[]);
    let with_translation = chance.next(2) == 0;
    for _ in 0..packets {
        if chance.next(30) == 0 {
            let seconds = chance.of(&[1, 10, 29, 31, 46, 61]);
            switch.warp(seconds * 1000);
            now += seconds * SECOND;
            history.push(format!("{seconds} seconds"));
        }
        let six = chance.next(4) == 0;
        let zone = chance.of(&ZONES);
        let number = match (with_translation, chance.next(10)) {
            (true, 0..6) => chance.of(&[2, 3, 4, 5]),
            (_, 0..4) => 0,
            (_, 4..8) => 1,
            // Open vSwitch forgets the reply of a translated connection that was forced to end only later.
            _ => chance.of(if with_translation { &[7, 8, 0, 1] } else { &[6, 7, 8, 0] }),
        };
        let before = recent.len().checked_sub(1).map(|last| last - chance.next(4).min(last as u64) as usize);
        let following = before.filter(|_| chance.next(4) != 0).and_then(|place| {
            let (sent, seen, zone): &(Vec<u8>, Vec<u8>, u16) = &recent[place];
            Some((follow(&mut chance, sent, seen)?, *zone))
        });
        let (packet, zone) = following.unwrap_or_else(|| (some_packet(&mut chance, six), zone));
        let six = packet.source.is_ipv6();
        let number = match (six, number) {
            (true, 3 | 4) => 11,
            (true, 5) => 12,
            (true, 3..) => 1,
            (_, number) => number,
        };
        let mut frame = packet.frame();
        frame[10] = number as u8;
        frame[11] = zone as u8;
        let (text, request) = &requests[number];
        let Some(out) = switch.send(&frame) else { return false };
        let ours = pass_frame(&tracker, &frame, &Connect { zone, ..request.clone() }, now);
        let theirs = state_text(u32::from_be_bytes(*out[2..].first_chunk().unwrap()));
        let mark = u32::from_be_bytes(*out[8..].first_chunk().unwrap());
        history.push(format!(
            "ct({text}) zone {zone} {} {}: {theirs}",
            ours.tuple(),
            hex(&frame[14..frame.len().min(80)])
        ));
        // Of a translated connection that ended or began anew, Open vSwitch 3.1 keeps the reply's tuple until its cleaner
        // comes by: a packet with that tuple has no state or is invalid, and no other connection is given it. Here it is
        // gone at once.
        let after = if with_translation { replies(&tracker, now) } else { HashSet::new() };
        stale.extend(before_replies.difference(&after).cloned());
        // One that began anew with the tuple that it had before counts as gone, too.
        if ours.text().starts_with("new") {
            stale
                .extend(before_replies.iter().filter(|tuple| **tuple == swapped(&ours.frame, zone)).cloned());
        }
        before_replies = after;
        // Of a translated error over IPv6, Open vSwitch 3.1 takes the protocol of what is quoted for the error's own, and
        // writes a checksum of TCP or UDP into the middle of it.
        let damaged = six && frame[20] == 58 && frame[54] < 128 && ours.verdict.changed;
        was_damaged |= damaged;
        let differs = ours.text() != theirs || ours.frame[14..] != out[14..] && !damaged;
        // A packet that ended its connection and found another one with its tuple gets the mark of the dead one there.
        let nothing = theirs == "trk" && ours.text() == "trk" && ours.get(Field::CT_MARK) != u64::from(mark);
        if nothing
            || differs && was_damaged && six
            || differs
                && [tuple_of(&frame, zone), swapped(&frame, zone), swapped(&ours.frame, zone)]
                    .iter()
                    .any(|tuple| stale.contains(tuple))
        {
            agreement.explained += 1;
            return true;
        }
        let last = history[history.len().saturating_sub(25)..].join("\n");
        assert_eq!(ours.text(), theirs, "seed {seed}\n{last}");
        assert_eq!(ours.get(Field::CT_MARK), u64::from(mark), "seed {seed}\n{last}");
        if !damaged {
            assert_eq!(hex(&ours.frame[14..]), hex(&out[14..]), "seed {seed}\n{last}");
        }
        recent.push((frame, ours.frame, zone));
        agreement.packets += 1;
        *agreement.states.entry(theirs).or_default() += 1;
    }
    let theirs = switch.connections(&["-m", "-s"]);
    let detail = Detail { more: true, statistics: true };
    let mut ours: Vec<String> = tracker.dump(None, now).map(|entry| entry.text(detail)).collect();
    ours.sort();
    // What it has written into the middle of a packet it may have taken for an address, too.
    let whole = |line: &&String| !was_damaged || !line.contains("src=f");
    let (ours, theirs): (Vec<&String>, Vec<&String>) =
        (ours.iter().filter(whole).collect(), theirs.iter().filter(whole).collect());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs, "seed {seed}\n{}", history.join("\n"));
    }
    assert_eq!(ours.len(), theirs.len());
    agreement.lists += theirs.len();
    if !was_damaged {
        for zone in [None, Some(7)] {
            let statistics = tracker.statistics_text(zone, true, now);
            let zone = zone.map(|zone| format!("zone={zone}"));
            let arguments: Vec<&str> = zone.iter().map(String::as_str).chain(["verbose"]).collect();
            assert_eq!(switch.ask("dpctl/ct-stats-show", &arguments), statistics, "seed {seed}");
        }
    }
    true
}

/// Tuples of replies of connections that may be translated, if only to what they are.
fn replies(tracker: &Tracker, now: u64) -> HashSet<String> {
    tracker
        .dump(None, now)
        .map(|entry| {
            let ((source, destination), (from, to)) = (entry.reply.addresses(), entry.reply.ports());
            format!("{} {source}:{from}>{destination}:{to}", entry.reply.zone())
        })
        .collect()
}

fn tuple_of(frame: &[u8], zone: u16) -> String {
    format!("{zone} {}", frame_tuple(frame))
}

fn swapped(frame: &[u8], zone: u16) -> String {
    let text = frame_tuple(frame);
    let (from, to) = text.split_once('>').unwrap();
    format!("{zone} {to}>{from}")
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[test]
fn random_traces_get_the_verdicts_of_open_vswitch() {
    let requests = requests();
    let Some(mut switch) = Switch::start("traces", &flows(&requests)) else { return };
    let (mut agreement, mut died) = (Agreement::default(), 0);
    let traces: u64 = std::env::var("NETLOOM_TRACES").ok().and_then(|text| text.parse().ok()).unwrap_or(25);
    let first: u64 = std::env::var("NETLOOM_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    for seed in first..first + traces {
        if !compare(&mut switch, seed, 120, &mut agreement) {
            died += 1;
            drop(switch);
            let Some(another) = Switch::start("traces", &flows(&requests)) else { return };
            switch = another;
        }
    }
    println!(
        "{} packets and {} listed connections as in Open vSwitch, which died {died} times; {} traces ended early: {:?}",
        agreement.packets, agreement.lists, agreement.explained, agreement.states
    );
    // A world in which nothing happens would prove nothing.
    for state in [
        "new|trk",
        "est|trk",
        "est|rpl|trk",
        "inv|trk",
        "rel|trk",
        "rel|rpl|trk",
        "new|trk|snat",
        "new|trk|dnat",
    ] {
        assert!(traces < 25 || agreement.states.contains_key(state), "never {state}");
    }
}

#[test]
fn limits_are_counted_and_shown_as_by_open_vswitch() {
    let flows = "in_port=1,udp,dl_src=52:54:00:00:00:00,actions=ct(commit,zone=3,table=1)\nin_port=1,udp,dl_src=52:54:00:00:00:01,actions=ct(commit,zone=4,table=1)\ntable=1,actions=move:NXM_NX_CT_STATE[]->NXM_OF_ETH_DST[0..31],output:2\n";
    let Some(mut switch) = Switch::start("limits", flows) else { return };
    let tracker = Tracker::new(1, 1, 0);
    let ask = |switch: &mut Switch, zones: &[u16]| {
        let zones = zones.iter().map(u16::to_string).collect::<Vec<_>>().join(",");
        let zones = format!("zone={zones}");
        let arguments: &[&str] = if zones == "zone=" { &[] } else { &[&zones] };
        switch.ask("dpctl/ct-get-limits", arguments).trim_end().to_owned()
    };
    assert_eq!(ask(&mut switch, &[]), tracker.limits_text(&[]));
    switch.ask("dpctl/ct-set-limits", &["default=5", "zone=3,limit=2"]);
    tracker.set_limit(None, Some(5));
    tracker.set_limit(Some(3), Some(2));
    for port in 1..=9_u16 {
        for (number, zone) in [(0, 3), (1, 4)] {
            let mut frame = udp(("10.0.0.1", port), ("10.0.0.2", 53), b"x").frame();
            frame[11] = number;
            let out = switch.send(&frame).unwrap();
            let ours = pass_frame(&tracker, &frame, &Connect { commit: true, zone, ..Connect::default() }, 0);
            assert_eq!(ours.text(), state_text(u32::from_be_bytes(*out[2..].first_chunk().unwrap())));
            for zones in [&[][..], &[3, 4], &[9]] {
                assert_eq!(ask(&mut switch, zones), tracker.limits_text(zones));
            }
        }
    }
    switch.ask("dpctl/ct-del-limits", &["zone=3"]);
    tracker.set_limit(Some(3), None);
    assert_eq!(ask(&mut switch, &[3]), tracker.limits_text(&[3]));
    assert_eq!(tracker.connections().to_string(), switch.ask("dpctl/ct-get-nconns", &[]).trim());
    assert_eq!(tracker.most().to_string(), switch.ask("dpctl/ct-get-maxconns", &[]).trim());
}
