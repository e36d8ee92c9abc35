//! What `ovs-appctl` asks of the switch.
//!
//! What: [`ControlSocket`] is the socket and its commands, on a thread of its own beside those of other clients; each
//! command has the switch while it is carried out. `commands` are those over what the switch has, one file for each part
//! of it. Texts are those of Open vSwitch 3.1.
//!
//! Others add commands before the server serves: [`ControlSocket::commands`], [`Commands::add`].

mod bonds;
mod connections;
mod dummies;
mod paths;
mod ports;
mod stations;
mod trace;
mod trees;
mod tunnels;
mod view;
mod watches;
mod workers;

use super::server::Common;
use super::state::Switch;
use crate::unixctl::coverage::Coverage;
use crate::unixctl::standard::{self, Standard};
use crate::unixctl::vlog::Log;
use crate::unixctl::{Commands, Unixctl};
use netloom_nf::Reason;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the thread waits at most until it counts what happened; it is woken when the daemon ends.
const LOOK: Duration = Duration::from_secs(1);
/// How long the last answers may take.
const LAST: Duration = Duration::from_secs(1);

/// The control socket of a switch.
#[derive(Debug)]
pub struct ControlSocket {
    unixctl: Unixctl,
    commands: Commands<Switch>,
    coverage: Arc<Mutex<Coverage>>,
}

impl ControlSocket {
    /// Listens at `path`, with the commands over what the switch has and those that every daemon has. `program` is who
    /// `version` says it is; `log` is what `vlog/...` changes.
    ///
    /// # Errors
    /// When the socket can't be made.
    pub fn bind(path: &Path, program: &str, log: Arc<Log>) -> io::Result<Self> {
        let coverage = Arc::new(Mutex::new(Coverage::new(Instant::now())));
        let mut commands = Commands::default();
        let own = Standard { program: program.to_owned(), log, coverage: coverage.clone() };
        standard::add(&mut commands, own, events, memory);
        stations::add(&mut commands);
        paths::add(&mut commands);
        bonds::add(&mut commands);
        trees::add(&mut commands);
        workers::add(&mut commands);
        ports::add(&mut commands);
        watches::add(&mut commands);
        tunnels::add(&mut commands);
        trace::add(&mut commands);
        connections::add(&mut commands);
        Ok(Self { unixctl: Unixctl::bind(path)?, commands, coverage })
    }

    /// Adds the commands of tests: ports of the type `dummy`, and time that can be stopped and put forward.
    pub fn allow_dummies(&mut self) {
        dummies::add(&mut self.commands);
    }

    /// The commands, to add others.
    pub const fn commands(&mut self) -> &mut Commands<Switch> {
        &mut self.commands
    }

    /// Where it listens.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.unixctl.path()
    }

    /// Rung, it has the thread look whether the daemon ends.
    pub(super) fn bell(&self) -> Arc<OwnedFd> {
        self.unixctl.bell()
    }

    /// Serves until the daemon ends.
    pub(super) fn serve(mut self, common: &Arc<Common>) {
        let ending = common.clone();
        self.commands.add("exit", "[--cleanup]", 0, 1, move |_, _| {
            ending.end();
            Ok(String::new())
        });
        while !common.stop.load(Ordering::Acquire) {
            let calls = self.unixctl.wait(LOOK);
            if !calls.is_empty() {
                let mut switch = common.lock();
                // What is asked of a daemon that has handed over is dropped: that is an answer, too.
                if !common.handed_over.load(Ordering::Acquire) {
                    switch.settle();
                    for call in calls {
                        self.commands.carry_out(&mut switch, call);
                    }
                    if switch.warping.is_some() {
                        common.warping.store(true, Ordering::Release);
                        common.ring();
                    }
                }
            }
            let mut coverage = self.coverage.lock().unwrap_or_else(PoisonError::into_inner);
            coverage.look(Instant::now(), || events(&mut common.lock()));
        }
        self.unixctl.finish(LAST);
    }
}

/// Events that the switch counts: packets by the reason for which they were dropped, and what the workers did.
fn events(switch: &mut Switch) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    // Not the list of ports: that asks every driver how it is.
    for port in switch.configuration.ports.values() {
        let Some(totals) = switch.crew.totals(port.number) else { continue };
        for (reason, count) in Reason::ALL.iter().zip(&totals.dropped).filter(|(_, count)| **count > 0) {
            *all.entry(format!("drop_{}", reason.name().replace('-', "_"))).or_default() += *count;
        }
    }
    for worker in switch.workers() {
        *all.entry("datapath_hit_signature".to_owned()).or_default() += worker.signature_hits;
        *all.entry("datapath_hit_subtable".to_owned()).or_default() += worker.subtable_hits;
        *all.entry("datapath_upcall".to_owned()).or_default() += worker.misses;
        *all.entry("datapath_sleep".to_owned()).or_default() += worker.sleeps;
    }
    all
}

/// How many of what the switch has.
fn memory(switch: &mut Switch) -> BTreeMap<String, u64> {
    let flows = switch.workers().iter().map(|worker| worker.flows).sum();
    let stations = switch.switches().iter().map(|bridge| bridge.stations as u64).sum();
    BTreeMap::from([
        ("handlers".to_owned(), switch.crew.size() as u64),
        ("ports".to_owned(), switch.configuration.ports.len() as u64),
        ("mac-entries".to_owned(), stations),
        ("udpif keys".to_owned(), flows),
    ])
}

/// The argument at this place.
fn argument(arguments: &[String], place: usize) -> &str {
    arguments.get(place).map_or("", String::as_str)
}
