//! `capture`: packets at a port of a switch, with what became of them, as text or as a file for Wireshark.

use super::switchd::directory;
use crate::cli::CaptureArgs;
use crate::failure::Failure;
use crate::output::{Printer, Tone};
use netloom_control::switch::{CaptureRequest, CapturedPacket, Reply, Request, SwitchSocket};
use netloom_port::pcapng::{Captured, Direction, Writer};
use netloom_table::key::extract;
use netloom_table::{Field, Key};
use netloom_wire::MacAddr;
use netloom_wire::header::{icmpv4, icmpv6};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal, Write};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// Largest packet that is taken from a daemon.
const MOST: usize = 1 << 20;

/// Where packets go.
enum Sink {
    Text { first: Option<u64> },
    File { writer: Box<Writer<Box<dyn Write>>>, ports: BTreeMap<String, u32>, most: u32 },
}

/// Captures until the count or the time is reached, or the reader goes.
///
/// # Errors
/// When no switch runs, the point or the filter is none, or the file can't be written.
pub fn run(run: Option<&Path>, printer: &Printer, arguments: &CaptureArgs) -> Result<u8, Failure> {
    let directory = directory(run);
    let socket = SwitchSocket::within(&directory);
    let failed = |error: io::Error| {
        Failure::new(format!("no switch answers on {}: {error}", socket.path().display()))
            .help(format!("netloom --run {} switchd starts one", directory.display()))
    };
    let stream = UnixStream::connect(socket.path()).map_err(failed)?;
    let both = arguments.incoming == arguments.outgoing;
    let request = Request::Capture(CaptureRequest {
        point: arguments.point.clone(),
        filter: arguments.filter.join(" "),
        incoming: both || arguments.incoming,
        outgoing: both || arguments.outgoing,
        most: arguments.most,
    });
    let mut text = serde_json::to_string(&request).map_err(Failure::new)?;
    text.push('\n');
    (&stream).write_all(text.as_bytes()).map_err(failed)?;
    let mut reader = BufReader::new(&stream);
    let mut line = String::new();
    reader.read_line(&mut line).map_err(failed)?;
    let ports = match serde_json::from_str(&line).map_err(Failure::new)? {
        Reply::Capturing { ports } => ports,
        Reply::Failed { message } => return Err(Failure::new(message)),
        _ => return Err(Failure::new("the switch gave an answer to another question")),
    };
    let mut sink = Sink::open(arguments, &ports)?;
    eprintln!("capturing at {}; end with Ctrl-C", ports.join(", "));
    let ends =
        arguments.within.as_deref().map(super::time_span).transpose()?.map(|time| Instant::now() + time);
    let (mut count, mut missed) = (0_u64, 0);
    loop {
        let left = ends.map(|end| end.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) || arguments.count.is_some_and(|most| count >= most) {
            break;
        }
        stream.set_read_timeout(left.map(|left| left.max(Duration::from_millis(1)))).map_err(Failure::new)?;
        line.clear();
        let (packet, octets) = match next(&mut reader, &mut line) {
            Ok(Some(packet)) => packet,
            Ok(None) => break,
            // The time is over; half a line is left behind.
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                break;
            }
            Err(error) => return Err(Failure::new(format!("the capture broke off: {error}"))),
        };
        missed = packet.missed;
        count += 1;
        match sink.put(printer, &packet, &octets) {
            // Whoever read it has enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
            done => done.map_err(|error| Failure::new(format!("the packet can't be written: {error}")))?,
        }
    }
    if missed > 0 {
        eprintln!("{missed} packets came too fast and were missed");
    }
    Ok(0)
}

/// The next packet; none when the daemon ends the capture.
fn next(reader: &mut impl BufRead, line: &mut String) -> io::Result<Option<(CapturedPacket, Vec<u8>)>> {
    if reader.read_line(line)? == 0 {
        return Ok(None);
    }
    let packet: CapturedPacket = serde_json::from_str(line)?;
    if packet.captured > MOST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a packet larger than packets are"));
    }
    let mut octets = vec![0; packet.captured];
    reader.read_exact(&mut octets)?;
    Ok(Some((packet, octets)))
}

impl Sink {
    fn open(arguments: &CaptureArgs, ports: &[String]) -> Result<Self, Failure> {
        let Some(path) = &arguments.write else { return Ok(Self::Text { first: None }) };
        let out: Box<dyn Write> = if path.as_os_str() == "-" {
            if io::stdout().is_terminal() {
                return Err(Failure::new("`-w -` writes a file of octets, and this is a terminal")
                    .help("netloom capture POINT -w - | wireshark -k -i -"));
            }
            Box::new(BufWriter::new(io::stdout()))
        } else {
            let file = File::create(path)
                .map_err(|error| Failure::new(format!("{} can't be written: {error}", path.display())))?;
            Box::new(BufWriter::new(file))
        };
        let written =
            |error: io::Error| Failure::new(format!("{} can't be written: {error}", path.display()));
        let program = concat!("netloom ", env!("CARGO_PKG_VERSION"));
        let mut writer = Box::new(Writer::new(out, program).map_err(written)?);
        let mut numbers = BTreeMap::new();
        for port in ports {
            numbers.insert(port.clone(), writer.interface(port, arguments.most).map_err(written)?);
        }
        writer.flush().map_err(written)?;
        Ok(Self::File { writer, ports: numbers, most: arguments.most })
    }

    fn put(&mut self, printer: &Printer, packet: &CapturedPacket, octets: &[u8]) -> io::Result<()> {
        match self {
            Self::Text { first } => {
                let first = *first.get_or_insert(packet.time);
                let mut out = io::stdout().lock();
                if printer.is_machine() {
                    serde_json::to_writer(&mut out, packet)?;
                    return writeln!(out);
                }
                let time = packet.time.saturating_sub(first) as f64 / 1e9;
                let arrow = if packet.outgoing { "<" } else { ">" };
                let dropped = packet.verdict.starts_with("dropped");
                let tone = if dropped { Tone::Bad } else { Tone::Dim };
                let what = describe(octets, packet.length);
                writeln!(out, "{time:10.6} {arrow} {}  {what}", packet.port)?;
                if !packet.verdict.is_empty() {
                    writeln!(out, "           {}", printer.paint(tone, &packet.verdict))?;
                }
                out.flush()
            }
            Self::File { writer, ports, most } => {
                let interface = match ports.get(&packet.port) {
                    Some(number) => *number,
                    None => {
                        let number = writer.interface(&packet.port, *most)?;
                        ports.insert(packet.port.clone(), number);
                        number
                    }
                };
                writer.packet(&Captured {
                    interface,
                    time: packet.time,
                    direction: if packet.outgoing { Direction::Out } else { Direction::In },
                    octets,
                    length: packet.length,
                    comment: &packet.verdict,
                })?;
                writer.flush()
            }
        }
    }
}

/// A packet in one line.
fn describe(octets: &[u8], length: usize) -> String {
    let mut key = Key::default();
    let layers = extract(octets, length, 0, &mut key);
    let mac = |field| {
        let [_, _, mac @ ..] = key.get(field).to_be_bytes();
        MacAddr::new(mac)
    };
    let mut text = format!("{} > {}", mac(Field::ETH_SRC), mac(Field::ETH_DST));
    for (tpid, tci) in [(Field::VLAN_TPID, Field::VLAN_TCI), (Field::INNER_TPID, Field::INNER_TCI)] {
        if key.get(tpid) != 0 {
            text.push_str(&format!(", VLAN {}", key.get(tci) & 0xfff));
        }
    }
    let v4 = |field| Ipv4Addr::from_bits(key.get(field) as u32);
    let v6 = |high, low| Ipv6Addr::from_bits(u128::from(key.get(high)) << 64 | u128::from(key.get(low)));
    let kind = key.get(Field::ETH_TYPE);
    let (from, to) = match kind {
        0x0800 => (v4(Field::IP4_SRC).to_string(), v4(Field::IP4_DST).to_string()),
        0x86dd => (
            v6(Field::IP6_SRC_HIGH, Field::IP6_SRC_LOW).to_string(),
            v6(Field::IP6_DST_HIGH, Field::IP6_DST_LOW).to_string(),
        ),
        0x0806 => {
            let (sender, target) = (v4(Field::IP4_SRC), v4(Field::IP4_DST));
            text.push_str(&match key.get(Field::IP_PROTO) {
                1 => format!(", ARP: who has {target}? {sender} asks"),
                2 => format!(", ARP: {sender} is at {}", mac(Field::ARP_SHA)),
                other => format!(", ARP opcode {other}"),
            });
            return format!("{text}, {length} octets");
        }
        _ => return format!("{text}, type {kind:#06x}, {length} octets"),
    };
    let (a, b) = (key.get(Field::TP_SRC), key.get(Field::TP_DST));
    let protocol = key.get(Field::IP_PROTO);
    let ports = match (protocol, layers.transport) {
        (_, 0) => format!("{from} > {to} protocol {protocol}"),
        (6, _) => format!("{from}:{a} > {to}:{b} TCP {}", flags(key.get(Field::TCP_FLAGS))),
        (17, _) => format!("{from}:{a} > {to}:{b} UDP"),
        (132, _) => format!("{from}:{a} > {to}:{b} SCTP"),
        (1, _) => format!("{from} > {to} ICMP {}{}", icmpv4::Kind(a as u8), code(b)),
        (58, _) => format!("{from} > {to} ICMPv6 {}{}", icmpv6::Kind(a as u8), code(b)),
        _ => format!("{from} > {to} protocol {protocol}"),
    };
    let fragment = if key.get(Field::IP_FRAG) == 0 { "" } else { ", a fragment" };
    format!("{text}, {ports}{fragment}, {length} octets")
}

fn flags(bits: u64) -> String {
    let names = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
    let set: Vec<&str> =
        names.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1).map(|(_, name)| *name).collect();
    set.join("+")
}

/// A code of ICMP that means something.
fn code(code: u64) -> String {
    if code == 0 { String::new() } else { format!(", code {code}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_in_one_line() {
        let mut arp = vec![0xff; 6];
        arp.extend([
            2, 0, 0, 0, 0, 9, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 9, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0,
        ]);
        arp.extend([10, 0, 0, 2]);
        assert_eq!(
            describe(&arp, arp.len()),
            "02:00:00:00:00:09 > ff:ff:ff:ff:ff:ff, ARP: who has 10.0.0.2? 10.0.0.1 asks, 42 octets"
        );
        let mut tcp = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x81, 0, 0x60, 10, 8, 0];
        tcp.extend([0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        tcp.extend([0, 80, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x12, 0, 0, 0, 0, 0, 0]);
        assert_eq!(
            describe(&tcp, tcp.len()),
            "02:00:00:00:00:02 > 02:00:00:00:00:01, VLAN 10, 10.0.0.1:80 > 10.0.0.2:1024 TCP SYN+ACK, 58 octets"
        );
        assert_eq!(describe(&[1, 2], 2), "00:00:00:00:00:00 > 00:00:00:00:00:00, type 0x0000, 2 octets");
    }
}
