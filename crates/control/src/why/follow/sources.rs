//! Where sightings come from: taps and tracers of every namespace, captures of every switch of the topology.
//!
//! Invariants: nothing of it outlives the process: taps are sockets, the tracers' tables belong to their sockets, captures
//! end with their connections. A source that can't be had is said, and the others go on.

use super::super::scene::{BehindPort, Scene};
use super::packet::{LOOKED, Pattern};
use crate::machine::Machine;
use crate::switch::{CaptureRequest, CapturedPacket, Reply, Request, SwitchSocket};
use netloom_compile::object::Space;
use netloom_kernel::nft::{TracePattern, Tracer};
use netloom_kernel::tap::Tap;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// Packets of captures that wait.
const WAITING: usize = 4096;
/// Largest packet that is taken from a daemon.
const MOST: usize = 1 << 20;

/// A packet that a switch told of.
pub(super) struct FromSwitch {
    pub(super) switch: String,
    pub(super) packet: CapturedPacket,
    pub(super) octets: Vec<u8>,
}

/// All sources.
pub(super) struct Sources {
    pub(super) taps: Vec<(Space, Tap)>,
    pub(super) tracers: Vec<(Space, Tracer)>,
    captures: Vec<UnixStream>,
    from_switches: Receiver<FromSwitch>,
    missed: Arc<AtomicU64>,
    /// What can't be followed, and why.
    pub(super) absent: BTreeSet<String>,
}

impl Drop for Sources {
    fn drop(&mut self) {
        for stream in &self.captures {
            // Its thread reads the end.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Sources {
    pub(super) fn open(machine: &Machine, scene: &Scene, spaces: &[Space], patterns: &[Pattern]) -> Self {
        let (to, from_switches) = sync_channel(WAITING);
        let mut sources = Self {
            taps: Vec::new(),
            tracers: Vec::new(),
            captures: Vec::new(),
            from_switches,
            missed: Arc::default(),
            absent: BTreeSet::new(),
        };
        let traced: Vec<TracePattern> = patterns.iter().map(traced).collect();
        for space in spaces {
            match machine.kernel().tap(space) {
                Ok(tap) => sources.taps.extend(tap.map(|tap| (space.clone(), tap))),
                Err(error) => drop(sources.absent.insert(format!("{space}: {error}"))),
            }
            match machine.kernel().tracer(space, &traced) {
                Ok(tracer) => sources.tracers.extend(tracer.map(|tracer| (space.clone(), tracer))),
                Err(error) => drop(sources.absent.insert(error.to_string())),
            }
        }
        for name in scene.switches.keys() {
            match capture(&machine.socket(), name, &filter(patterns)) {
                Ok((stream, reader)) => {
                    let (to, missed, switch) = (to.clone(), sources.missed.clone(), name.clone());
                    let thread = std::thread::Builder::new().name("netloom-follow".to_owned());
                    let begun = thread.spawn(move || forward(reader, &switch, &to, &missed));
                    if let Err(error) = begun {
                        sources.absent.insert(format!("switch {name}: {error}"));
                    }
                    sources.captures.push(stream);
                }
                Err(error) => drop(sources.absent.insert(format!("switch {name}: {error}"))),
            }
        }
        sources
    }

    /// Waits until something happens, or so long.
    pub(super) fn wait(&self, most: Duration) {
        let taps = self.taps.iter().map(|(_, tap)| tap.as_fd());
        let tracers = self.tracers.iter().map(|(_, tracer)| tracer.as_fd());
        let mut polled: Vec<PollFd<'_>> =
            taps.chain(tracers).map(|source| PollFd::from_borrowed_fd(source, PollFlags::IN)).collect();
        let timeout = Timespec::try_from(most).unwrap_or(Timespec { tv_sec: 0, tv_nsec: 10_000_000 });
        // An interrupted wait is a short one.
        let _ = poll(&mut polled, Some(&timeout));
    }

    /// The next packet that a switch told of.
    pub(super) fn next_of_switches(&self) -> Option<FromSwitch> {
        self.from_switches.try_recv().ok()
    }

    /// Packets that nobody could read in time.
    pub(super) fn missed(&mut self) -> u64 {
        let taps: u64 = self.taps.iter_mut().map(|(_, tap)| tap.missed()).sum();
        taps + self.missed.load(Ordering::Relaxed)
    }
}

/// The interface behind a port.
pub(super) fn behind(scene: &Scene, switch: &str, port: &str) -> (Option<(Space, String)>, bool) {
    let port = scene.switches.get(switch).and_then(|switch| switch.ports.get(port));
    match port.map(|port| &port.behind) {
        Some(BehindPort::Tap(at) | BehindPort::Interface(at)) => {
            (Some((at.space.clone(), at.name.to_string())), false)
        }
        Some(BehindPort::Machine(at)) => (Some((at.space.clone(), at.name.to_string())), true),
        _ => (None, false),
    }
}

fn traced(pattern: &Pattern) -> TracePattern {
    let port = pattern.port.filter(|_| pattern.protocol.is_some_and(|protocol| protocol.has_ports()));
    TracePattern { ends: pattern.ends, protocol: pattern.protocol.map(|protocol| protocol.0), port }
}

/// What captures are asked for; ports are looked at here.
fn filter(patterns: &[Pattern]) -> String {
    let ends: Vec<String> = patterns
        .iter()
        .map(|pattern| match pattern.ends {
            Some((one, other)) => format!("(host {one} and host {other})"),
            None => "(ip or ip6)".to_owned(),
        })
        .collect();
    ends.join(" or ")
}

fn capture(
    socket: &SwitchSocket,
    switch: &str,
    filter: &str,
) -> io::Result<(UnixStream, BufReader<UnixStream>)> {
    let stream = UnixStream::connect(socket.path())?;
    let request = Request::Capture(CaptureRequest {
        point: switch.to_owned(),
        filter: filter.to_owned(),
        incoming: true,
        outgoing: true,
        most: LOOKED as u32,
    });
    let mut text = serde_json::to_vec(&request)?;
    text.push(b'\n');
    (&stream).write_all(&text)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    match serde_json::from_str(&line)? {
        Reply::Capturing { .. } => Ok((stream, reader)),
        Reply::Failed { message } => Err(io::Error::other(message)),
        _ => Err(io::Error::other("the switch gave an answer to another question")),
    }
}

/// Takes packets from a switch until it ends.
fn forward(mut reader: BufReader<UnixStream>, switch: &str, to: &SyncSender<FromSwitch>, missed: &AtomicU64) {
    let mut line = String::new();
    let mut told = 0;
    loop {
        line.clear();
        if !matches!(reader.read_line(&mut line), Ok(1..)) {
            return;
        }
        let Ok(packet) = serde_json::from_str::<CapturedPacket>(&line) else { return };
        if packet.captured > MOST {
            return;
        }
        let mut octets = vec![0; packet.captured];
        if reader.read_exact(&mut octets).is_err() {
            return;
        }
        missed.fetch_add(packet.missed.saturating_sub(told), Ordering::Relaxed);
        told = packet.missed;
        if to.try_send(FromSwitch { switch: switch.to_owned(), packet, octets }).is_err() {
            missed.fetch_add(1, Ordering::Relaxed);
        }
    }
}
