//! What the switch knows, as replies.

use super::configuration::{Options, PortConfiguration};
use super::flow_words;
use super::links;
use super::protocol::{
    GroupStatus, PortStatus, QueueStatus, Reply, Row, StationStatus, SwitchStatus, WorkerStatus,
};
use super::state::{NOT_OPEN, Switch, SwitchError};
use netloom_datapath::{FlowReport, WorkerCounters};
use netloom_nf::Reason;
use netloom_vswitch::rstp::{Role, State};
use netloom_vswitch::{Bridge, Neighbour};
use std::collections::BTreeMap;

/// A port's part in the spanning tree in words.
pub(super) fn tree(state: State) -> String {
    let role = match state.role {
        Role::Disabled => "down",
        Role::Root => "root",
        Role::Designated => "designated",
        Role::Alternate => "alternate",
        Role::Backup => "backup",
    };
    match state {
        State { guarded: true, .. } => "shut: a bridge was heard".to_owned(),
        State { forwarding: true, edge: true, .. } => format!("{role}, edge"),
        State { forwarding: true, .. } => role.to_owned(),
        State { learning: true, .. } => format!("{role}, learning"),
        State { .. } => format!("{role}, discarding"),
    }
}

fn neighbour(neighbour: &Neighbour) -> String {
    let who = if neighbour.name.is_empty() { &neighbour.chassis } else { &neighbour.name };
    format!("{who} {}", neighbour.port)
}

impl Switch {
    pub(super) fn switches(&self) -> Vec<SwitchStatus> {
        let bridges = self.bridges.lock();
        let status = |(name, options): (&String, &Options)| SwitchStatus {
            name: name.clone(),
            options: options.clone(),
            ports: self.ports_of(name).map(|(name, _)| name.clone()).collect(),
            stations: bridges.by_name.get(name).map_or(0, |bridge| bridge.fdb.len()),
            root: bridges
                .by_name
                .get(name)
                .and_then(Bridge::root)
                .map(|(root, cost)| format!("{}/{} cost {cost}", root.priority, root.address)),
        };
        self.configuration.switches.iter().map(status).collect()
    }

    /// How ports are: those that are wanted, by their names. Each is asked, which costs system calls.
    pub(super) fn port_list(&self, wanted: &dyn Fn(&str, &PortConfiguration) -> bool) -> Vec<PortStatus> {
        let mut all = Vec::new();
        let mut queues: BTreeMap<u32, Vec<QueueStatus>> = BTreeMap::new();
        for queue in self.crew.queues() {
            queues.entry(queue.port).or_default().push(QueueStatus {
                worker: queue.worker,
                packets: queue.packets,
                busy_ns: queue.nanoseconds,
            });
        }
        let mut trees = BTreeMap::new();
        let mut neighbours = BTreeMap::new();
        // Whether a member works, and all members, by the bond's number.
        let mut bonds: BTreeMap<u32, (bool, Vec<u32>)> = BTreeMap::new();
        let cables = self.bridges.lock().cables.clone();
        for bridge in self.bridges.lock().by_name.values() {
            bonds.extend(
                bridge
                    .bonds()
                    .map(|(number, bond)| (number, (!bond.senders().is_empty(), bond.members().collect()))),
            );
            let states = bridge.ports().keys().map(|port| (*port, bridge.tree_state(*port)));
            trees.extend(states.filter_map(|(port, state)| Some((port, state?))));
            for port in bridge.ports().keys() {
                neighbours.insert(*port, bridge.neighbours(*port).iter().map(neighbour).collect());
            }
        }
        for (name, port) in &self.configuration.ports {
            if !wanted(name, port) {
                continue;
            }
            let carried = self.ports.get(name);
            let bond = bonds.get(&port.number);
            let mut totals = self.crew.totals(port.number).unwrap_or_default();
            for member in bond.into_iter().flat_map(|(_, members)| members) {
                let member = self.crew.totals(*member).unwrap_or_default();
                totals.received += member.received;
                totals.received_octets += member.received_octets;
                totals.sent += member.sent;
                totals.sent_octets += member.sent_octets;
                totals.unsent += member.unsent;
            }
            if let Some([received, received_octets, sent, sent_octets]) = cables.get(&port.number) {
                totals.received += received;
                totals.received_octets += received_octets;
                totals.sent += sent;
                totals.sent_octets += sent_octets;
            }
            let dropped = Reason::ALL.iter().zip(&totals.dropped);
            all.push(PortStatus {
                name: name.clone(),
                switch: port.switch.clone(),
                number: port.number,
                options: port.options.clone(),
                state: match (carried, bond) {
                    (Some(carried), _) => (carried.state)(),
                    (None, Some((true, _))) => "up".to_owned(),
                    (None, Some((false, _))) => "no member works".to_owned(),
                    (None, None) => NOT_OPEN.to_owned(),
                },
                details: carried.map(|_| self.doors.details(port.number)).unwrap_or_default(),
                neighbours: neighbours.remove(&port.number).unwrap_or_default(),
                tree: trees.get(&port.number).copied().map(tree).unwrap_or_default(),
                received: totals.received,
                received_octets: totals.received_octets,
                sent: totals.sent,
                sent_octets: totals.sent_octets,
                unsent: totals.unsent,
                links: links::status(&port.options, &totals.links),
                dropped: dropped
                    .filter(|(_, count)| **count > 0)
                    .map(|(reason, count)| (reason.name().to_owned(), *count))
                    .collect(),
                queues: queues.remove(&port.number).unwrap_or_default(),
            });
        }
        all
    }

    pub(super) fn stations(&self, switch: &str) -> Result<Reply, SwitchError> {
        self.known_switch(switch)?;
        let now = self.now();
        let bridges = self.bridges.lock();
        let Some(bridge) = bridges.by_name.get(switch) else { return Ok(Reply::Stations(Vec::new())) };
        let rows = bridge.fdb.list().into_iter().map(|(vlan, mac, station)| StationStatus {
            vlan,
            mac: mac.to_string(),
            port: bridge.ports().get(&station.port).map_or_else(String::new, |port| port.name.clone()),
            age: (!station.fixed).then(|| now.saturating_sub(station.heard) / 1_000_000_000),
        });
        Ok(Reply::Stations(rows.collect()))
    }

    pub(super) fn groups(&self, switch: &str) -> Result<Reply, SwitchError> {
        self.known_switch(switch)?;
        let now = self.now();
        let bridges = self.bridges.lock();
        let Some(bridge) = bridges.by_name.get(switch) else { return Ok(Reply::Groups(Vec::new())) };
        let name = |port: u32| bridge.ports().get(&port).map_or_else(String::new, |port| port.name.clone());
        let routers = bridge.router_ports().into_iter().map(|(vlan, port)| GroupStatus {
            vlan,
            group: "router".to_owned(),
            port: name(port),
            seconds_left: None,
        });
        let members = bridge.groups(now).into_iter().map(|(vlan, group, port, left)| GroupStatus {
            vlan,
            group: group.to_string(),
            port: name(port),
            seconds_left: Some(left / 1_000_000_000),
        });
        Ok(Reply::Groups(routers.chain(members).collect()))
    }

    pub(super) fn flows(&mut self) -> Result<Reply, SwitchError> {
        let flows = self.crew.flows()?;
        let names: BTreeMap<u32, &String> =
            self.configuration.ports.iter().map(|(name, port)| (port.number, name)).collect();
        let port = |number| names.get(&number).map_or_else(|| format!("#{number}"), |name| (*name).clone());
        let row = |worker: usize, flow: FlowReport| Row {
            packets_like: flow_words::packets(&flow.key, &flow.mask, port),
            actions: flow_words::actions(&flow.program, port),
            packets: flow.packets,
            octets: flow.octets,
            idle_ms: flow.idle / 1_000_000,
            worker,
        };
        let of_worker = |(worker, flows): (usize, Vec<FlowReport>)| {
            flows.into_iter().map(move |flow| row(worker, flow)).collect::<Vec<_>>()
        };
        Ok(Reply::Flows(flows.into_iter().enumerate().flat_map(of_worker).collect()))
    }

    pub(super) fn workers(&self) -> Vec<WorkerStatus> {
        let nothing = WorkerStatus::default();
        let status = |(worker, counters): (usize, &WorkerCounters)| {
            // What the workers of predecessors counted counts, too.
            let before = self.before.get(worker).unwrap_or(&nothing);
            WorkerStatus {
                core: self.cores.get(worker).copied(),
                turns: before.turns + counters.turns.get(),
                busy_turns: before.busy_turns + counters.busy_turns.get(),
                sleeps: before.sleeps + counters.sleeps.get(),
                asleep_ns: before.asleep_ns + counters.asleep.get(),
                busy_ns: before.busy_ns + counters.busy.get(),
                alive_ns: self.now(),
                signature_hits: before.signature_hits + counters.signature_hits.get(),
                subtable_hits: before.subtable_hits + counters.subtable_hits.get(),
                misses: before.misses + counters.misses.get(),
                flows: counters.flows.get(),
                masks: counters.masks.get(),
                crossed: before.crossed + counters.crossed.get(),
                lost: before.lost + counters.lost.get(),
            }
        };
        let all = (0..self.crew.size()).filter_map(|worker| Some((worker, self.crew.worker(worker)?)));
        all.map(status).collect()
    }
}
