//! Captures: packets that workers saw, with what became of them in words, sent to a client as they come.
//!
//! ```text
//! worker -(bounded queue)-> thread of the client -> one line of JSON, then the packet's octets -> client
//! ```
//!
//! Invariants: a client that is too slow misses packets, which are counted, and holds no worker up. A capture ends with
//! its client.

use super::configuration::Options;
use super::state::{Switch, SwitchError};
use netloom_datapath::{Fate, Seen, Watch};
use netloom_mem::PortNumber;
use netloom_nf::{Action, Reason};
use netloom_table::key::extract;
use netloom_table::{Field, Key};
use netloom_wire::MacAddr;
use serde::{Deserialize, Serialize};
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Packets that wait for a client.
const WAITING: usize = 4096;
/// How often a quiet capture looks whether its client is still there.
const LOOK: Duration = Duration::from_millis(100);
/// Most octets of a packet.
const MOST: u32 = 262_144;

/// What a client wants to see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureRequest {
    /// A switch, a port, or `switch/port`.
    pub point: String,
    /// As `pcap-filter(7)` has it; empty for everything.
    #[serde(default)]
    pub filter: String,
    /// What comes in.
    pub incoming: bool,
    /// What goes out.
    pub outgoing: bool,
    /// Most octets of each packet.
    pub most: u32,
}

/// What is said about a packet; its octets follow the line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapturedPacket {
    /// The port's name.
    pub port: String,
    /// Whether it goes out.
    pub outgoing: bool,
    /// Nanoseconds since 1970.
    pub time: u64,
    /// Octets of all of it.
    pub length: usize,
    /// Octets that follow.
    pub captured: usize,
    /// What became of it, and which rule decided; empty for packets that go out.
    pub verdict: String,
    /// What is known of its loss, if it was dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<CapturedLoss>,
    /// Packets that were missed up to here.
    pub missed: u64,
}

/// Why a captured packet was dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapturedLoss {
    /// The reason's name ([`netloom_nf::Reason`]).
    pub reason: String,
    /// The same as a sentence without its subject, with the rule that decided.
    pub sentence: String,
    /// Where the user's file asked for the port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

/// A capture that runs.
pub(super) struct Capture {
    number: u32,
    packets: Receiver<Seen>,
    missed: Arc<AtomicU64>,
    /// Nanoseconds since 1970 at the workers' zero.
    epoch: u64,
}

impl Switch {
    /// The ports that a point stands for: numbers with names.
    fn point(&self, point: &str) -> Result<Vec<(PortNumber, String)>, SwitchError> {
        let (switch, name) =
            point.split_once('/').map_or((None, point), |(switch, name)| (Some(switch), name));
        let ports = &self.configuration.ports;
        if let Some(port) = ports.get(name)
            && switch.is_none_or(|switch| switch == port.switch)
        {
            return Ok(vec![(port.number, name.to_owned())]);
        }
        self.known_switch(switch.unwrap_or(name))?;
        if let Some(switch) = switch {
            let known: Vec<&str> = self.ports_of(switch).map(|(name, _)| name.as_str()).collect();
            let known = if known.is_empty() {
                "it has none".to_owned()
            } else {
                format!("there is {}", known.join(", "))
            };
            return Err(SwitchError::Missing("port", format!("{switch}/{name}"), known));
        }
        Ok(self.ports_of(name).map(|(name, port)| (port.number, name.clone())).collect())
    }

    /// Begins a capture. Gives the names of its ports.
    pub(super) fn capture(
        &mut self,
        request: &CaptureRequest,
    ) -> Result<(Capture, Vec<String>), SwitchError> {
        let ports = self.point(&request.point)?;
        let filter = super::filter::parse(&request.filter)?;
        let (to, packets) = sync_channel(WAITING);
        let missed = Arc::new(AtomicU64::new(0));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
        let number = self.next_watch;
        self.next_watch = self.next_watch.wrapping_add(1);
        let capture =
            Capture { number, packets, missed: missed.clone(), epoch: now.saturating_sub(self.now()) };
        let watch = Watch {
            ports: ports.iter().map(|(number, _)| *number).collect(),
            incoming: request.incoming,
            outgoing: request.outgoing,
            filter,
            most: request.most.min(MOST) as usize,
            to,
            missed,
        };
        self.crew.watch(number, Some(&watch))?;
        Ok((capture, ports.into_iter().map(|(_, name)| name).collect()))
    }

    fn name(&self, number: PortNumber) -> Option<(&String, &super::PortConfiguration)> {
        self.configuration.ports.iter().find(|(_, port)| port.number == number)
    }

    /// What became of a packet, in words.
    fn verdict(&self, seen: &Seen) -> String {
        let Some((name, port)) = self.name(seen.port) else { return String::new() };
        match &seen.fate {
            None => String::new(),
            Some(Fate::Dropped(reason)) => {
                let mut text = format!("dropped ({}): it {}", reason.name(), reason.sentence());
                text.push_str(&rule(*reason, name, &port.switch, &port.options));
                text
            }
            Some(Fate::Done(actions)) => self.way(seen, &port.switch, actions),
        }
    }

    /// What is known of a packet's loss.
    fn loss(&self, seen: &Seen) -> Option<CapturedLoss> {
        let Some(Fate::Dropped(reason)) = &seen.fate else { return None };
        let (name, port) = self.name(seen.port)?;
        let mut options = port.options.clone();
        let origin = options.remove("origin");
        let sentence = format!("{}{}", reason.sentence(), rule(*reason, name, &port.switch, &options));
        Some(CapturedLoss { reason: reason.name().to_owned(), sentence, origin })
    }

    /// Where a packet went, and why there.
    fn way(&self, seen: &Seen, switch: &str, actions: &[Action]) -> String {
        let mut steps = Vec::new();
        let mut outputs = 0;
        for action in actions {
            steps.push(match action {
                Action::Output(port) => {
                    outputs += 1;
                    let name = self.name(*port).map_or_else(|| port.to_string(), |(name, _)| name.clone());
                    format!("to {name}")
                }
                Action::PushVlan { tci, .. } => format!("tagged with VLAN {}", tci & 0xfff),
                Action::PopVlan => "its VLAN tag taken".to_owned(),
                Action::SetVlan(tci) => format!("its tag now VLAN {}", tci & 0xfff),
                Action::Brain => "to the switch itself".to_owned(),
                Action::Meter(_) => "within its limit".to_owned(),
                Action::Remote { number, .. } => {
                    let mirror = self.streams.iter().find(|(_, (stream, _))| stream == number);
                    let name = mirror.map_or("", |((_, name), _)| name.as_str());
                    format!("a copy to the collector of mirror {name}")
                }
                Action::Lose(reason) => format!("else it {}", reason.sentence()),
                other => format!("{other:?}"),
            });
        }
        let mut key = Key::default();
        extract(&seen.octets, seen.length, seen.port, &mut key);
        let number = key.get(Field::ETH_DST);
        let [_, _, mac @ ..] = number.to_be_bytes();
        let mac = MacAddr::new(mac);
        let why = if !mac.is_unicast() {
            "it is for a group".to_owned()
        } else if outputs > 1 {
            format!("nobody knows where {mac} is")
        } else {
            let now = self.now();
            let bridges = self.bridges.lock();
            let stations = bridges.by_name.get(switch).map(|bridge| bridge.fdb.list()).unwrap_or_default();
            let station = stations
                .iter()
                .find(|(_, known, station)| *known == mac && actions.contains(&Action::Output(station.port)));
            match station {
                Some((_, _, station)) if station.fixed => format!("{mac} was fixed there"),
                Some((_, _, station)) => {
                    let ago = now.saturating_sub(station.heard) / 1_000_000_000;
                    format!("{mac} was heard there {ago} s ago")
                }
                None => String::new(),
            }
        };
        let steps = steps.join(", ");
        if why.is_empty() { steps } else { format!("{steps}: {why}") }
    }

    pub(super) fn end_capture(&mut self, capture: &Capture) {
        // A worker that does not take it finds at the next packet that nobody listens.
        let _ = self.crew.watch(capture.number, None);
    }
}

/// Where the rule of a drop was said: the options of the port or the switch that decide it.
fn rule(reason: Reason, port: &str, switch: &str, options: &Options) -> String {
    let names: &[&str] = match reason {
        Reason::VlanNotAllowed | Reason::Tagged | Reason::Untagged => &["vlan", "trunk", "native", "tunnel"],
        Reason::Isolated => &["isolated"],
        Reason::Spoofed => &["mac", "forged"],
        Reason::ForeignAddress | Reason::ForgedNeighbour => &["ip"],
        Reason::RogueServer => &["dhcp-server"],
        Reason::RogueRouter => &["router"],
        Reason::TooManyStations => &["stations", "macs"],
        Reason::PortBlocked => &["enabled", "stp", "bpdu-guard"],
        Reason::Storm => &["storm"],
        Reason::Rate => &["rate", "packet-rate", "rate-out"],
        Reason::Lossy => &["loss", "loss-in", "loss-out", "bursts"],
        Reason::Simplex => &["duplex"],
        _ => &[],
    };
    let said: Vec<String> =
        names.iter().filter_map(|name| options.get(*name).map(|value| format!("{name}={value}"))).collect();
    let origin = options.get("origin").map(|origin| format!(", {origin}")).unwrap_or_default();
    match (names.is_empty(), said.is_empty()) {
        (true, _) => String::new(),
        (false, true) => {
            format!(" [port {port} of {switch}, which does not set {}{origin}]", names.join(" or "))
        }
        (false, false) => format!(" [port {port} of {switch}: {}{origin}]", said.join(" ")),
    }
}

/// Sends packets to the client until it goes, the capture's ports go, or `ended` says so.
pub(super) fn stream(
    stream: &UnixStream,
    switch: &Mutex<Switch>,
    capture: &Capture,
    ended: &dyn Fn() -> bool,
) -> io::Result<()> {
    while !ended() {
        let seen = match capture.packets.recv_timeout(LOOK) {
            Ok(seen) => seen,
            Err(RecvTimeoutError::Timeout) => {
                if has_gone(stream) {
                    return Ok(());
                }
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        };
        let packet = {
            let switch = switch.lock().unwrap_or_else(PoisonError::into_inner);
            CapturedPacket {
                port: switch.name(seen.port).map_or_else(|| seen.port.to_string(), |(name, _)| name.clone()),
                outgoing: seen.outgoing,
                time: capture.epoch + seen.time,
                length: seen.length,
                captured: seen.octets.len(),
                verdict: switch.verdict(&seen),
                dropped: switch.loss(&seen),
                missed: capture.missed.load(Ordering::Relaxed),
            }
        };
        let mut text = serde_json::to_vec(&packet)?;
        text.push(b'\n');
        text.extend(&seen.octets);
        (&mut &*stream).write_all(&text)?;
    }
    Ok(())
}

/// Whether a client has closed its end; it says nothing while it captures.
fn has_gone(stream: &UnixStream) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut wait = [PollFd::new(stream, PollFlags::IN | PollFlags::RDHUP)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut wait, Some(&now)).is_ok_and(|ready| ready > 0)
}
