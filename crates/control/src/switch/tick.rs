//! What time brings to the switch, and what the bridges want of the workers.

use super::state::Switch;
use netloom_datapath::Stuck;
use netloom_vswitch::{Bridge, Effects};
use rustix::event::EventfdFlags;
use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// How often tables hear of the time if nothing is due, in nanoseconds.
const SECOND: u64 = 1_000_000_000;

impl Switch {
    /// Lets the bridges know that time has passed; to be called ten times a second or so.
    pub fn tick(&mut self) {
        let now = self.now();
        match self.crew.balance(now) {
            Ok(moves) => {
                for netloom_datapath::Move { port, index, from, to } in moves {
                    tracing::info!(port, queue = index, from, to, "a queue moved to another worker");
                }
            }
            Err(error) => tracing::error!(%error, "queues can't be moved"),
        }
        // Drivers are asked before the lock is taken.
        let in_bonds: BTreeSet<u32> = {
            let bridges = self.bridges.lock();
            let bonds = bridges.by_name.values().flat_map(|bridge| bridge.bonds());
            bonds.flat_map(|(_, bond)| bond.members()).collect()
        };
        let switches = &self.configuration.switches;
        let mut links = Vec::new();
        // Most switches have neither, and a hundred names ten times a second are most of what rest costs.
        if !in_bonds.is_empty() || switches.values().any(|on| on.contains_key("rstp")) {
            for (name, carried) in &self.ports {
                let Some(port) = self.configuration.ports.get(name) else { continue };
                let tree = switches.get(&port.switch).is_some_and(|on| on.contains_key("rstp"));
                if tree || in_bonds.contains(&port.number) {
                    links.push((port.number, (carried.state)() == "up"));
                }
            }
        }
        let mut all: Vec<Effects> = Vec::new();
        {
            let mut bridges = self.bridges.lock();
            for (number, up) in links {
                let follow = |bridge: &mut Bridge| {
                    // A member of a bond whose link is watched has to be sound as well; a tree finds out by itself.
                    let sound = bridge.bond_of(number).is_none() || bridge.is_watched_sound(number);
                    bridge.link(number, up && sound)
                };
                all.extend(bridges.of(number).map(follow));
            }
            all.extend(bridges.by_name.values_mut().map(|bridge| bridge.tick(now)));
        }
        for effects in all {
            self.follow(effects);
        }
        if self.clock.is_stopped() {
            self.watch_links();
            self.desk().export();
        }
        self.tick_tables(now);
        self.tell_changes();
        self.report_watches();
    }

    /// What time brings to OpenFlow tables: flows that end, links that come and go.
    fn tick_tables(&mut self, now: u64) {
        let (mut due, mut eager) = (false, false);
        for pipeline in self.bridges.lock().pipelines.values() {
            due |= pipeline.next_tick().is_some_and(|next| next <= now);
            // What a group does depends on links.
            eager |= pipeline.groups().next().is_some();
        }
        // Whether a flow was idle is known when all its packets are counted.
        if due && let Err(error) = self.crew.count() {
            tracing::error!(%error, "packets are not counted");
        }
        let whole = now.saturating_sub(self.tables_ticked) >= SECOND;
        if whole || eager {
            self.follow_links();
        }
        if whole {
            self.note_interfaces();
            self.age_neighbours();
            self.apply_tunnels();
        }
        if whole || due {
            self.tables_ticked = now;
            let mut bridges = self.bridges.lock();
            let numbers: Vec<_> = bridges.pipelines.keys().copied().collect();
            for number in numbers {
                bridges.follow_tree(number);
                if let Some(pipeline) = bridges.pipelines.get_mut(&number) {
                    pipeline.tick(now);
                }
            }
        }
        self.desk().publish();
    }

    /// Does what bridges have put off, so that what is told about them is what the workers do.
    pub(super) fn settle(&mut self) {
        let late: Vec<Effects> = self.bridges.lock().by_name.values_mut().filter_map(Bridge::late).collect();
        for effects in late {
            self.follow(effects);
        }
        self.hear_neighbours();
    }

    /// A bell that is rung when there is something to [settle](Switch::settle) at once.
    pub(super) fn bell(&self) -> std::io::Result<Arc<OwnedFd>> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let bell = Arc::new(rustix::event::eventfd(0, flags)?);
        self.bridges.lock().bell = Some(Arc::clone(&bell));
        Ok(bell)
    }

    /// Does what a bridge wants.
    pub(super) fn follow(&mut self, effects: Effects) {
        let failed = |error: Stuck| tracing::error!(%error, "what the switch wants is not done");
        // Frames that go to a member are for the bond as it is now.
        let changed: BTreeSet<u32> = effects.bonds.into_iter().map(|(number, _)| number).collect();
        for number in changed {
            // As it is now: effects come from several threads, and a later one may have been here before.
            let mut bridges = self.bridges.lock();
            let bond = bridges.of(number).and_then(|bridge| bridge.bonds().find(|(bond, _)| *bond == number));
            let now = bond.map(|(_, bond)| (bond.options().hash, bond.senders().to_vec()));
            drop(bridges);
            if now.is_some() {
                self.crew.bond(number, now).unwrap_or_else(failed);
            }
        }
        if effects.changed_all {
            self.crew.changed_all();
        } else {
            self.crew.changed(&effects.changed);
        }
        for (port, frame) in effects.send.into_iter().filter(|_| !self.quiet) {
            self.crew.inject(port, frame).unwrap_or_else(failed);
        }
    }
}
