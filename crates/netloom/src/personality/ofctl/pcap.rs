//! Captured packets: the OpenFlow that they carry, and their headers.

use super::super::client::{Done, Stop, complain, say, words};
use super::show::lenient;
use super::tool::Tool;
use netloom_proto::openflow::message::{HEADER_LENGTH, Header};
use netloom_proto::openflow::text::{Names, parse_frame, print_message, print_packet};
use netloom_proto::openflow::{FieldId, Match};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Ports of OpenFlow unless others are named.
const PORTS: [u16; 2] = [6653, 6633];
const IPV4: u64 = 0x0800;
const TCP: u64 = 6;
/// Octets of one direction that wait for those before them, at most.
const WAITING: usize = 1 << 20;

/// A packet and when it was captured, in microseconds since 1970.
struct Captured {
    time: u64,
    octets: Vec<u8>,
}

/// Reads a file of tcpdump.
fn read(file: &str) -> Done<Vec<Captured>> {
    let failed = |why: &str| Stop::from(format!("{file}: open failed ({why})"));
    let octets = std::fs::read(file).map_err(|error| failed(&words(&error)))?;
    let magic = octets.get(..4).unwrap_or_default();
    let big = match magic {
        [0xa1, 0xb2, 0xc3, 0xd4] | [0xa1, 0xb2, 0x3c, 0x4d] => true,
        [0xd4, 0xc3, 0xb2, 0xa1] | [0x4d, 0x3c, 0xb2, 0xa1] => false,
        _ => return Err(failed("Protocol error")),
    };
    let nanoseconds = magic.contains(&0x3c);
    let number = |at: usize| -> Option<u32> {
        let four: [u8; 4] = octets.get(at..at + 4)?.try_into().ok()?;
        Some(if big { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) })
    };
    let (mut packets, mut at) = (Vec::new(), 24);
    while let (Some(seconds), Some(fraction), Some(length)) = (number(at), number(at + 4), number(at + 8)) {
        let begin = at + 16;
        let Some(captured) = octets.get(begin..begin + length as usize) else { break };
        let micros = if nanoseconds { fraction / 1000 } else { fraction };
        let time = u64::from(seconds) * 1_000_000 + u64::from(micros);
        packets.push(Captured { time, octets: captured.to_vec() });
        at = begin + length as usize;
    }
    Ok(packets)
}

/// The headers of the packets of files.
pub(super) fn flows(tool: &mut Tool) -> Done {
    let mut failed = false;
    for file in tool.options.words.iter().skip(1) {
        match read(file) {
            Ok(packets) => {
                for packet in packets {
                    let (mut fields, inner) = parse_frame(&packet.octets, 0);
                    fields.set_number(FieldId::IN_PORT, 0xffff);
                    say(&format!("{}\n", print_packet(&fields, &inner, &Names::new())));
                }
            }
            Err(stop) => {
                complain(&format!("ovs-ofctl: {}\n", stop.message.unwrap_or_default()));
                failed = true;
            }
        }
    }
    if failed { Err(Stop::silent(1)) } else { Ok(()) }
}

/// One direction of a TCP connection: what came in order.
#[derive(Default)]
struct Direction {
    next: Option<u32>,
    ready: Vec<u8>,
    early: BTreeMap<u32, Vec<u8>>,
}

impl Direction {
    fn take(&mut self, sequence: u32, begins: bool, data: &[u8]) {
        if begins {
            self.next = Some(sequence.wrapping_add(1));
            self.ready.clear();
            self.early.clear();
            return;
        }
        let next = *self.next.get_or_insert(sequence);
        if sequence != next {
            let waiting: usize = self.early.values().map(Vec::len).sum();
            if sequence.wrapping_sub(next) < 1 << 31 && waiting + data.len() <= WAITING {
                self.early.insert(sequence, data.to_vec());
            }
            return;
        }
        self.ready.extend_from_slice(data);
        let mut next = next.wrapping_add(data.len() as u32);
        while let Some(data) = self.early.remove(&next) {
            self.ready.extend_from_slice(&data);
            next = next.wrapping_add(data.len() as u32);
        }
        self.next = Some(next);
    }

    /// The next whole message.
    fn message(&mut self) -> Option<Vec<u8>> {
        let length = usize::from(Header::parse(&self.ready)?.length);
        if length < HEADER_LENGTH || self.ready.len() < length {
            return None;
        }
        Some(self.ready.drain(..length).collect())
    }
}

/// The TCP payload of a packet: sequence number, whether the connection begins with it, and the octets.
fn payload(octets: &[u8]) -> Option<(u32, bool, &[u8])> {
    let mut at = 12;
    while matches!(octets.get(at..at + 2)?, [0x81, 0] | [0x88, 0xa8]) {
        at += 4;
    }
    let ip = octets.get(at + 2..)?;
    let header = usize::from(ip.first()? & 15) * 4;
    let total = usize::from(u16::from_be_bytes(ip.get(2..4)?.try_into().ok()?));
    let tcp = ip.get(header..total)?;
    let sequence = u32::from_be_bytes(tcp.get(4..8)?.try_into().ok()?);
    let length = usize::from(tcp.get(12)? >> 4) * 4;
    Some((sequence, tcp.get(13)? & 2 != 0, tcp.get(length..)?))
}

/// The OpenFlow of a file.
pub(super) fn messages(tool: &mut Tool) -> Done {
    let file = tool.options.word(1).unwrap_or_default().to_owned();
    let named: Vec<u16> = tool.options.words.iter().skip(2).map(|text| lenient(text) as u16).collect();
    let wanted = |port: u64| {
        let port = port as u16;
        if named.is_empty() { PORTS.contains(&port) } else { named.contains(&port) }
    };
    let mut directions: BTreeMap<(u64, u64, u64, u64), Direction> = BTreeMap::new();
    let mut first = true;
    for packet in read(&file)? {
        let (fields, _) = parse_frame(&packet.octets, 0);
        let number = |field| number_of(&fields, field);
        if number(FieldId::ETH_TYPE) != IPV4 || number(FieldId::IP_PROTO) != TCP {
            continue;
        }
        let (from, to) = (number(FieldId::IPV4_SRC), number(FieldId::IPV4_DST));
        let (source, destination) = (number(FieldId::TCP_SRC), number(FieldId::TCP_DST));
        if !wanted(source) && !wanted(destination) {
            continue;
        }
        let Some((sequence, begins, data)) = payload(&packet.octets) else { continue };
        let direction = directions.entry((from, source, to, destination)).or_default();
        direction.take(sequence, begins, data);
        while let Some(message) = direction.message() {
            if !std::mem::take(&mut first) {
                say("\n");
            }
            if tool.options.timestamp {
                say(&time_of_day(packet.time));
            }
            let address = |number: u64| Ipv4Addr::from(number as u32);
            say(&format!("{}.{source} > {}.{destination}:\n", address(from), address(to)));
            say(&print_message(&message, &Names::new(), tool.options.detail + 1));
        }
    }
    Ok(())
}

fn number_of(fields: &Match, field: FieldId) -> u64 {
    fields.get(field).map_or(0, |(value, _)| value.to_u64())
}

fn time_of_day(time: u64) -> String {
    let (second, milli) = (time / 1_000_000 % 86_400, time / 1000 % 1000);
    format!("{:02}:{:02}:{:02}.{milli:03} ", second / 3600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_early_waits() {
        let mut direction = Direction::default();
        direction.take(9, true, &[]);
        direction.take(14, false, &[0, 0, 0, 1]);
        assert_eq!(direction.message(), None);
        direction.take(10, false, &[1, 2, 0, 8]);
        assert_eq!(direction.message(), Some(vec![1, 2, 0, 8, 0, 0, 0, 1]));
    }
}
