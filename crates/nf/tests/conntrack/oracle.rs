//! A slow and obvious tracker, without shards, index, timers or translation: a list that is searched from its youngest
//! entry. Random traces through it and through the real one must get the same states.

use crate::against_ovs::{Chance, follow, some_packet};
use crate::basic::SECOND;
use crate::packets::*;
use netloom_nf::conntrack::{Connect, Detail, Tracker};
use netloom_table::Field;
use std::net::IpAddr;

/// States of a TCP end, in the order in which they count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Silent,
    Syn,
    Open,
    Finishing,
    Finished,
    Over,
}

#[derive(Debug, Clone, Copy)]
struct End {
    sent: i64,
    allowed: i64,
    window: i64,
    /// Shift of windows; none when the end does not scale.
    shift: Option<u32>,
    unknown: bool,
    stage: Stage,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Flow {
    source: (IpAddr, u16),
    destination: (IpAddr, u16),
    protocol: u8,
    zone: u16,
}

impl Flow {
    fn back(&self) -> Self {
        let (source, destination) = (self.destination, self.source);
        let turn = |(address, port): (IpAddr, u16)| (address, port ^ if self.protocol == 1 { 8 } else { 1 });
        match self.protocol {
            // The "port" of a query is its type, in both places.
            1 | 58 => Self { source: turn(source), destination: turn(destination), ..self.clone() },
            _ => Self { source, destination, ..self.clone() },
        }
    }
}

struct Known {
    flow: Flow,
    id: u16,
    ends: Option<[End; 2]>,
    /// Of other protocols: whether an answer came.
    answered: bool,
    mark: u32,
    ends_at: u64,
}

#[derive(Default)]
struct Slow(Vec<Known>);

/// How far `a` is ahead of `b`, as a number between -2^31 and 2^31 - 1.
fn ahead(a: i64, b: i64) -> i64 {
    (a - b).rem_euclid(1 << 32).wrapping_add(1 << 31).rem_euclid(1 << 32) - (1 << 31)
}

struct Seen {
    flow: Flow,
    id: u16,
    related: bool,
    segment: Option<(i64, i64, i64, u8, i64, Option<u32>)>,
    kind: u8,
}

/// Reads a packet that is known to be well formed but for flags and ports.
fn see(ip: &[u8], zone: u16, quoted: bool) -> Option<Seen> {
    let six = ip.first()? >> 4 == 6;
    let (protocol, header) = if six { (*ip.get(6)?, 40) } else { (*ip.get(9)?, 20) };
    if ip.len() < header + 8 {
        return None;
    }
    let address = |last: bool| -> IpAddr {
        if six {
            (*ip[8 + usize::from(last) * 16..].first_chunk::<16>().unwrap()).into()
        } else {
            (*ip[12 + usize::from(last) * 4..].first_chunk::<4>().unwrap()).into()
        }
    };
    let rest = &ip[header..];
    let half = |at: usize| u16::from_be_bytes([rest[at], rest[at + 1]]);
    let flow =
        |from, to| Flow { source: (address(false), from), destination: (address(true), to), protocol, zone };
    match protocol {
        6 | 17 => {
            if rest.len() < if protocol == 6 && quoted && six { 20 } else { 8 } {
                return None;
            }
            let flow = flow(half(0), half(2));
            let segment = (protocol == 6 && !quoted).then(|| {
                let word = |at: usize| i64::from(u32::from_be_bytes(*rest[at..].first_chunk().unwrap()));
                let own = usize::from(rest[12] >> 4) * 4;
                let (mut at, mut shift) = (20, None);
                while rest[13] & SYN != 0 && at + 3 <= own {
                    match rest[at] {
                        0 => break,
                        1 => at += 1,
                        kind => {
                            if kind == 3 {
                                shift = Some(u32::from(rest[at + 2].min(14)));
                            }
                            at += usize::from(rest[at + 1]).max(2);
                        }
                    }
                }
                (word(4), word(8), i64::from(half(14)), rest[13], (rest.len() - own) as i64, shift)
            });
            Some(Seen { flow, id: 0, related: false, segment, kind: 0 })
        }
        _ => {
            let kind = *rest.first()?;
            if matches!(kind, 0 | 8 | 128 | 129) {
                let kind16 = u16::from(kind);
                return Some(Seen {
                    flow: flow(kind16, kind16),
                    id: half(4),
                    related: false,
                    segment: None,
                    kind,
                });
            }
            if quoted {
                return None;
            }
            let inner = see(rest.get(8..)?, zone, true)?;
            (inner.flow.source.0 == address(true)).then(|| Seen {
                flow: inner.flow.back(),
                related: true,
                ..inner
            })
        }
    }
}

impl Slow {
    fn find(&self, seen: &Seen, now: u64) -> Option<(usize, bool)> {
        let mut found = None;
        for (place, known) in self.0.iter().enumerate() {
            if known.ends_at > now && known.id == seen.id {
                if known.flow == seen.flow {
                    found = Some((place, false));
                } else if known.flow.back() == seen.flow {
                    found = Some((place, true));
                }
            }
        }
        found
    }

    fn judge(&mut self, packet: &Packet, zone: u16, request: &Connect, now: u64) -> (String, u32) {
        let Some(seen) = see(&packet.ip(), zone, false) else { return ("inv|trk".to_owned(), 0) };
        let mut found = self.find(&seen, now);
        if request.force && found.is_some_and(|(_, reply)| reply) {
            self.0.remove(found.unwrap().0);
            found = None;
        }
        let back = |reply: bool| if reply { "|rpl" } else { "" };
        if let Some((place, reply)) = found {
            let text = if seen.related {
                Some(format!("rel{}|trk", back(reply)))
            } else {
                self.update(place, &seen, reply, now)
            };
            if let Some(text) = text {
                let known = &mut self.0[place];
                if let Some((value, mask)) = request.mark {
                    known.mark = known.mark & !mask | value & mask;
                }
                return (text, known.mark);
            }
            self.0.remove(place);
        } else if seen.related {
            return ("inv|trk".to_owned(), 0);
        }
        let begins = match &seen.segment {
            Some((_, _, _, flags, _, _)) => !nonsense(*flags) && flags & (SYN | ACK) != SYN | ACK,
            None => !matches!(seen.kind, 129) && (seen.flow.protocol != 1 || seen.kind == 8),
        };
        if !begins {
            return ("inv|trk".to_owned(), 0);
        }
        if !request.commit || self.find(&seen, now).is_some() {
            return ("new|trk".to_owned(), 0);
        }
        let ends = seen.segment.map(|(sequence, _, window, flags, length, shift)| {
            let syn = flags & SYN != 0;
            let mut window = window.max(1);
            if let (true, Some(shift)) = (syn, shift) {
                window = (window + (1 << shift) - 1) >> shift;
            }
            let allowed = sequence + length + 1 + i64::from(syn) + i64::from(flags & FIN != 0);
            let shift = if syn { shift } else { None };
            [
                End { sent: sequence, allowed, window, shift, unknown: !syn, stage: Stage::Syn },
                End { sent: 0, allowed: 1, window: 1, shift: None, unknown: !syn, stage: Stage::Silent },
            ]
        });
        let seconds = if ends.is_some() { 30 } else { 60 };
        let mark = request.mark.map_or(0, |(value, mask)| value & mask);
        let ends_at = now + seconds * SECOND;
        self.0.push(Known { flow: seen.flow, id: seen.id, ends, answered: false, mark, ends_at });
        ("new|trk".to_owned(), mark)
    }

    /// The state of a packet of a connection; `None` if it begins another one.
    fn update(&mut self, place: usize, seen: &Seen, reply: bool, now: u64) -> Option<String> {
        let known = &mut self.0[place];
        let back = if reply { "|rpl" } else { "" };
        let Some((ends, segment)) = known.ends.as_mut().zip(seen.segment) else {
            known.answered |= reply;
            let seconds = if known.answered { 30 } else { 60 };
            known.ends_at = now + seconds * SECOND;
            return Some(if known.answered { format!("est{back}|trk") } else { "new|trk".to_owned() });
        };
        match tcp_update(ends, segment, reply) {
            Verdict::Fits(seconds) => {
                if let Some(seconds) = seconds {
                    known.ends_at = now + seconds * SECOND;
                }
                Some(format!("est{back}|trk"))
            }
            Verdict::First => {
                known.ends_at = now + 30 * SECOND;
                Some("new|trk".to_owned())
            }
            Verdict::Anew => None,
            Verdict::Wrong => Some("inv|trk".to_owned()),
        }
    }
}

enum Verdict {
    Fits(Option<u64>),
    First,
    Anew,
    Wrong,
}

fn nonsense(flags: u8) -> bool {
    match (flags & SYN != 0, flags & ACK != 0) {
        (true, _) if flags & (RST | FIN) != 0 => true,
        (true, true) | (false, true) => false,
        (true, false) => flags & (PSH | 0x20) != 0,
        (false, false) => flags & RST == 0 || flags & (FIN | PSH | 0x20) != 0,
    }
}

fn tcp_update(ends: &mut [End; 2], segment: (i64, i64, i64, u8, i64, Option<u32>), reply: bool) -> Verdict {
    let (sequence, mut acknowledged, mut window, flags, length, shift) = segment;
    let has = |flag: u8| flags & flag != 0;
    if nonsense(flags) {
        return Verdict::Wrong;
    }
    let mut own = ends[usize::from(reply)];
    let mut other = ends[usize::from(!reply)];
    if has(SYN) && !has(ACK) {
        if own.stage >= Stage::Finished && other.stage >= Stage::Finished {
            return Verdict::Anew;
        }
        if own.stage <= Stage::Syn {
            ends[usize::from(reply)].stage = Stage::Syn;
            return Verdict::First;
        }
    }
    let (mut own_shift, mut other_shift) = match (own.shift, other.shift) {
        _ if has(SYN) => (0, 0),
        (Some(own), Some(other)) => (own, other),
        _ if own.unknown && other.unknown => (14, 14),
        _ => (0, 0),
    };
    let mut end = sequence + length + i64::from(has(SYN)) + i64::from(has(FIN));
    let mut judges = true;
    if own.stage == Stage::Silent {
        if let (true, Some(offered)) = (has(SYN), other.shift) {
            own.shift = shift;
            match shift {
                Some(shift) => {
                    window = (window + (1 << shift) - 1) >> shift;
                    (own_shift, other_shift) = (shift, offered);
                }
                None => {
                    other.window = other.window << offered & 0xffff;
                    other.shift = None;
                }
            }
        }
        (own.sent, own.stage) = (sequence, Stage::Syn);
        let allowed = end + (other.window << other_shift).max(1);
        if own.allowed == 1 || ahead(allowed, own.allowed) >= 0 {
            own.allowed = allowed;
            judges = false;
        }
        own.window = own.window.max(window);
        // Even a segment that does not fit has this effect.
        (ends[usize::from(reply)], ends[usize::from(!reply)]) = (own, other);
    }
    if !has(ACK) || acknowledged == 0 && has(RST) {
        acknowledged = other.sent;
    }
    let mut start = sequence;
    if ahead(start, end) == 0 {
        (start, end) = (own.sent, own.sent);
    }
    let slack = 0xffff + 1500;
    let skew = if judges { ahead(other.sent, acknowledged) } else { 0 };
    let fits = ahead(own.allowed, end) >= 0
        && ahead(start, own.sent - (other.window << other_shift)) >= 0
        && (-slack..=slack << own_shift).contains(&skew)
        && (!has(RST) || ahead(sequence, own.sent).abs() <= 1);
    let loose = (other.stage < Stage::Syn || other.stage >= Stage::Finished || own.stage >= Stage::Finished)
        && ahead(own.allowed + slack, end) >= 0
        && ahead(start, own.sent - slack) >= 0;
    if !fits && !loose {
        return Verdict::Wrong;
    }
    own.window = own.window.max(window);
    if ahead(end, own.sent) > 0 {
        own.sent = end;
    }
    let scaled = window << own_shift;
    if ahead(acknowledged + scaled, other.allowed) >= 0 {
        other.allowed = acknowledged + scaled.max(1);
    }
    if has(FIN) {
        own.stage = own.stage.max(Stage::Finishing);
    }
    if fits && has(ACK) {
        other.stage = match other.stage {
            Stage::Syn => Stage::Open,
            Stage::Finishing => Stage::Finished,
            stage => stage,
        };
    }
    if has(RST) {
        (own.stage, other.stage) = (Stage::Over, Stage::Over);
    }
    (ends[usize::from(reply)], ends[usize::from(!reply)]) = (own, other);
    let (least, most) = (own.stage.min(other.stage), own.stage.max(other.stage));
    let seconds = match (least, most) {
        _ if least >= Stage::Finished => 30,
        _ if least >= Stage::Finishing => 45,
        _ if least < Stage::Open => 30,
        _ if most >= Stage::Finishing => 15 * 60,
        _ => 24 * 60 * 60,
    };
    Verdict::Fits(fits.then_some(seconds))
}

#[test]
fn random_traces_get_the_verdicts_of_a_slow_tracker() {
    let mut seen = std::collections::BTreeMap::<String, usize>::new();
    for seed in 0..300 {
        let mut chance = Chance(seed);
        let trackers = [Tracker::new(1, seed, 0), Tracker::new(6, seed, 0)];
        let (mut slow, mut now, mut recent) = (Slow::default(), SECOND, Vec::<(Vec<u8>, u16)>::new());
        for step in 0..150 {
            if chance.next(25) == 0 {
                now += chance.of(&[1, 10, 29, 30, 31, 46, 61, 901]) * SECOND;
            }
            let six = chance.next(4) == 0;
            let before =
                recent.len().checked_sub(1).map(|last| last - chance.next(4).min(last as u64) as usize);
            let following = before.filter(|_| chance.next(4) != 0).and_then(|place| {
                let (frame, zone) = &recent[place];
                Some((follow(&mut chance, frame, frame)?, *zone))
            });
            let zone = chance.of(&[0, 7]);
            let (packet, zone) = following.unwrap_or_else(|| (some_packet(&mut chance, six), zone));
            let mark = (chance.next(4) == 0).then(|| (chance.next(256) as u32, chance.of(&[0xf, 0xff])));
            let (commit, force) = (chance.next(3) != 0, chance.next(20) == 0);
            let request = Connect { zone, mark, commit: commit || force, force, ..Connect::default() };
            let (text, mark) = slow.judge(&packet, zone, &request, now);
            for tracker in &trackers {
                let passed = pass(tracker, &packet, &request, now);
                assert_eq!(
                    (passed.text(), passed.get(Field::CT_MARK)),
                    (text.clone(), u64::from(mark)),
                    "{seed}, {step}: {packet:?}"
                );
                tracker.sweep(now, 3);
            }
            recent.push((packet.frame(), zone));
            *seen.entry(text).or_default() += 1;
        }
        let mut ends: Vec<u64> = slow
            .0
            .iter()
            .filter(|known| known.ends_at > now)
            .map(|known| (known.ends_at - now) / SECOND)
            .collect();
        ends.sort_unstable();
        let list = |tracker: &Tracker| {
            let detail = Detail { more: true, statistics: true };
            let mut lines: Vec<String> = tracker.dump(None, now).map(|entry| entry.text(detail)).collect();
            lines.sort();
            lines
        };
        for tracker in &trackers {
            let mut seconds: Vec<u64> = tracker.dump(None, now).map(|entry| entry.seconds).collect();
            seconds.sort_unstable();
            assert_eq!(seconds, ends, "{seed}");
        }
        assert_eq!(list(&trackers[0]), list(&trackers[1]), "{seed}");
    }
    println!("{seen:?}");
    for state in ["new|trk", "est|trk", "est|rpl|trk", "inv|trk", "rel|trk", "rel|rpl|trk"] {
        assert!(seen.get(state).is_some_and(|count| *count > 300), "{state}: {seen:?}");
    }
}
