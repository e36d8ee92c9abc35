//! The state machines of IEEE 802.1D-2004, 17.25 to 17.31. Each function is one machine and does one step; it says
//! whether it did anything.

use super::port::{Change, MIGRATE};
use super::{Info, Output, Port, Priority, Repr, Role, SaidRole, Times, Tree, UNITS, Vector, own_times};
use netloom_mem::PortNumber;

/// Steps of one run. Far more than any event needs.
const STEPS: usize = 10_000;

/// What a unit says compared with what is known (17.21.8).
enum Heard {
    Superior,
    Repeated,
    Inferior,
    NotDesignated,
    Other,
}

const fn said(vector: &Vector) -> (Priority, Times) {
    let priority =
        Priority { root: vector.root, cost: vector.root_path_cost, bridge: vector.bridge, port: vector.port };
    // Ages are rounded up, so that they grow at each bridge.
    let times = Times {
        age: vector.message_age.div_ceil(UNITS),
        max_age: vector.max_age / UNITS,
        hello: if vector.hello_time < UNITS { 1 } else { vector.hello_time / UNITS },
        forward_delay: vector.forward_delay / UNITS,
    };
    (priority, times)
}

impl Tree {
    /// Runs all machines until none has anything to do.
    pub(super) fn run(&mut self) -> Output {
        let mut output = Output::default();
        let numbers: Vec<PortNumber> = self.ports.keys().copied().collect();
        for _ in 0..STEPS {
            let mut busy = self.select_roles();
            for number in &numbers {
                // Of 17.20.3 and 17.20.10: what the other ports are.
                let all_synced = self.ports.values().all(|port| {
                    port.selected
                        && port.role == port.selected_role
                        && !port.update
                        && (port.role == Role::Root || port.synced)
                });
                let re_rooted = self.ports.values().all(|port| port.number == *number || port.rr_while == 0);
                let Some(port) = self.ports.get_mut(number) else { continue };
                busy |= detect_edge(port) | information(port);
                if port.selected && !port.update {
                    let (more, ask) = transition(port, all_synced, re_rooted);
                    busy |= more;
                    match ask {
                        Ask::Nothing => {}
                        Ask::Sync => self.ports.values_mut().for_each(|port| port.sync = true),
                        Ask::ReRoot => self.ports.values_mut().for_each(|port| port.re_root = true),
                    }
                }
                let Some(port) = self.ports.get_mut(number) else { continue };
                let changed = pass(port);
                output.changed |= changed;
                let (more, spread) = topology(port);
                busy |= changed | more;
                if std::mem::take(&mut port.flush) {
                    output.flush.push(*number);
                }
                if spread {
                    for other in self.ports.values_mut().filter(|other| other.number != *number) {
                        other.tc_prop = true;
                    }
                }
            }
            if !busy {
                break;
            }
        }
        let hold = self.options.hold;
        for port in self.ports.values_mut() {
            transmit(port, hold, &mut output);
        }
        output
    }

    /// Port role selection machine (17.28).
    fn select_roles(&mut self) -> bool {
        if !self.ports.values().any(|port| port.reselect) {
            return false;
        }
        let own = self.options.bridge;
        // The best of our own claim and what comes through each port (17.21.25).
        let mut best = (Priority { root: own, cost: 0, bridge: own, port: 0 }, 0, None);
        for port in self.ports.values().filter(|port| port.enabled() && port.info == Info::Received) {
            let heard = port.priority;
            if heard.bridge.address == own.address {
                continue;
            }
            let through = Priority { cost: heard.cost.saturating_add(port.options.cost), ..heard };
            if (through, port.id()) < (best.0, best.1) {
                best = (through, port.id(), Some(port.number));
            }
        }
        let (root, _, root_port) = best;
        // What was agreed to below was a better claim; beyond the standard, nothing passes until this one is agreed to.
        let worse = (root.root, root.cost) > (self.root.root, self.root.cost);
        self.root = root;
        self.root_times = match root_port.and_then(|number| self.ports.get(&number)) {
            Some(port) => Times { age: port.times.age + 1, ..port.times },
            None => own_times(&self.options),
        };
        for port in self.ports.values_mut() {
            port.reselect = false;
            port.designated = Priority { root: root.root, cost: root.cost, bridge: own, port: port.id() };
            port.designated_times = self.root_times;
            (port.selected_role, port.update) = match port.info {
                Info::Disabled => (Role::Disabled, port.update),
                Info::Aged => (Role::Designated, true),
                Info::Mine => {
                    let same = port.priority == port.designated && port.times == port.designated_times;
                    (Role::Designated, port.update || !same)
                }
                Info::Received if root_port == Some(port.number) => (Role::Root, false),
                Info::Received if port.designated < port.priority => (Role::Designated, true),
                Info::Received if port.priority.bridge.address == own.address => (Role::Backup, false),
                Info::Received => (Role::Alternate, false),
            };
            port.selected = true;
            port.sync |= worse && port.rapid && port.selected_role == Role::Designated;
        }
        true
    }
}

/// Bridge detection machine (17.25).
fn detect_edge(port: &mut Port) -> bool {
    let edge = if !port.enabled() {
        port.options.edge
    } else if port.oper_edge {
        true
    } else {
        port.edge_delay == 0 && port.options.auto_edge && port.rapid && port.proposing
    };
    std::mem::replace(&mut port.oper_edge, edge) != edge
}

/// Port information machine (17.27).
fn information(port: &mut Port) -> bool {
    if !port.enabled() {
        port.heard = None;
        if port.info == Info::Disabled {
            return false;
        }
        (port.proposing, port.proposed, port.agree, port.agreed) = (false, false, false, false);
        (port.info_while, port.info) = (0, Info::Disabled);
        (port.reselect, port.selected) = (true, false);
        return true;
    }
    if port.info == Info::Disabled {
        // The port comes up: the machines that begin with it begin anew.
        (port.info, port.reselect, port.selected) = (Info::Aged, true, false);
        (port.rapid, port.migrate_delay, port.edge_delay) = (true, MIGRATE, MIGRATE);
        (port.sent, port.new_info, port.hello_when) = (0, true, 0);
        return true;
    }
    if port.selected && port.update {
        (port.proposing, port.proposed) = (false, false);
        // Of 17.21.1: still agreed to if what is said now is no worse.
        port.agreed = port.agreed && port.info == Info::Mine && port.designated <= port.priority;
        port.synced = port.synced && port.agreed;
        (port.priority, port.times) = (port.designated, port.designated_times);
        (port.update, port.info, port.new_info) = (false, Info::Mine, true);
        return true;
    }
    if port.update {
        return false;
    }
    if let Some(unit) = port.heard.take() {
        receive(port, &unit);
        return true;
    }
    if port.info == Info::Received && port.info_while == 0 {
        (port.info, port.reselect, port.selected) = (Info::Aged, true, false);
        return true;
    }
    false
}

fn receive(port: &mut Port, unit: &Repr) {
    let (vector, designated, change) = match unit {
        Repr::TopologyChangeNotification => {
            port.heard_tcn = true;
            return;
        }
        Repr::Configuration { vector, topology_change, topology_change_acknowledged } => {
            port.heard_tc_ack |= *topology_change_acknowledged;
            (vector, Some(true), *topology_change)
        }
        Repr::Rapid { vector, role, topology_change, .. } => {
            let designated = match role {
                SaidRole::Designated => Some(true),
                SaidRole::Unknown => None,
                SaidRole::Root | SaidRole::AlternateOrBackup => Some(false),
            };
            (vector, designated, *topology_change)
        }
    };
    let (priority, times) = said(vector);
    let known = port.priority;
    let same_sender =
        priority.bridge.address == known.bridge.address && priority.port & 0xfff == known.port & 0xfff;
    let heard = match designated {
        Some(true) if priority == known && times == port.times && port.info == Info::Received => {
            Heard::Repeated
        }
        Some(true) if priority <= known || same_sender => Heard::Superior,
        Some(true) => Heard::Inferior,
        Some(false) if priority >= known => Heard::NotDesignated,
        _ => Heard::Other,
    };
    let (agreement, proposal, learning) = match unit {
        Repr::Rapid { agreement, proposal, learning, .. } => (*agreement, *proposal, *learning),
        _ => (false, false, false),
    };
    let record_agreement = |port: &mut Port| {
        port.agreed = agreement;
        port.proposing &= !agreement;
    };
    let lives = |port: &mut Port, times: Times| {
        port.info_while = if times.age < times.max_age { 3 * times.hello } else { 0 };
    };
    match heard {
        Heard::Superior => {
            (port.agreed, port.proposing) = (false, false);
            port.proposed |= proposal;
            port.heard_tc |= change;
            port.agree = port.agree && port.info == Info::Received && priority <= known;
            record_agreement(port);
            port.synced = port.synced && port.agreed;
            (port.priority, port.times) = (priority, times);
            lives(port, times);
            (port.info, port.reselect, port.selected) = (Info::Received, true, false);
        }
        Heard::Repeated => {
            port.proposed |= proposal;
            port.heard_tc |= change;
            record_agreement(port);
            lives(port, times);
        }
        Heard::Inferior => {
            // A bridge that learns behind a worse claim did not hear ours (802.1Q-2011, 13.26.6).
            if learning {
                (port.disputed, port.agreed) = (true, false);
            }
        }
        Heard::NotDesignated => {
            record_agreement(port);
            port.heard_tc |= change;
        }
        Heard::Other => {}
    }
}

/// What a port asks of all ports.
enum Ask {
    Nothing,
    Sync,
    ReRoot,
}

/// Port role transitions machine (17.29).
fn transition(port: &mut Port, all_synced: bool, re_rooted: bool) -> (bool, Ask) {
    let delay = port.forward_delay();
    let entered = port.role != port.selected_role;
    port.role = port.selected_role;
    let (busy, ask) = match port.role {
        Role::Disabled => (rest(port, port.designated_times.max_age), Ask::Nothing),
        Role::Alternate | Role::Backup => {
            let mut busy = rest(port, delay);
            if port.role == Role::Backup && port.rb_while != 2 * port.designated_times.hello {
                port.rb_while = 2 * port.designated_times.hello;
                busy = true;
            }
            let (more, ask) = if port.learning || port.forwarding {
                (false, Ask::Nothing)
            } else {
                agree(port, all_synced)
            };
            (busy | more, ask)
        }
        Role::Root => root(port, all_synced, re_rooted, delay),
        Role::Designated => (designated(port, delay), Ask::Nothing),
    };
    (busy | entered, ask)
}

/// A port that lets nothing through.
fn rest(port: &mut Port, delay: u16) -> bool {
    let mut busy = port.learn || port.forward;
    (port.learn, port.forward) = (false, false);
    if !port.learning && !port.forwarding {
        busy |= port.fd_while != delay || port.sync || port.re_root || !port.synced || port.rr_while != 0;
        (port.fd_while, port.synced, port.rr_while) = (delay, true, 0);
        (port.sync, port.re_root) = (false, false);
    }
    busy
}

/// Answers proposals.
fn agree(port: &mut Port, all_synced: bool) -> (bool, Ask) {
    if port.proposed && !port.agree && !all_synced {
        port.proposed = false;
        return (true, Ask::Sync);
    }
    if all_synced && !port.agree || port.proposed && port.agree {
        (port.proposed, port.sync) = (false, false);
        (port.agree, port.new_info) = (true, true);
        return (true, Ask::Nothing);
    }
    (false, Ask::Nothing)
}

fn root(port: &mut Port, all_synced: bool, re_rooted: bool, delay: u16) -> (bool, Ask) {
    port.rr_while = port.designated_times.forward_delay;
    let (busy, ask) = agree(port, all_synced);
    if busy {
        return (busy, ask);
    }
    if !port.forward && !port.re_root {
        return (true, Ask::ReRoot);
    }
    let ready = port.fd_while == 0 || re_rooted && port.rb_while == 0 && port.rapid;
    if ready && !port.learn {
        (port.learn, port.fd_while) = (true, delay);
        return (true, Ask::Nothing);
    }
    if ready && port.learn && !port.forward {
        (port.forward, port.fd_while) = (true, 0);
        return (true, Ask::Nothing);
    }
    if port.re_root && port.forward {
        port.re_root = false;
        return (true, Ask::Nothing);
    }
    (false, Ask::Nothing)
}

fn designated(port: &mut Port, delay: u16) -> bool {
    if !port.forward && !port.agreed && !port.proposing && !port.oper_edge {
        (port.proposing, port.new_info, port.edge_delay) = (true, true, MIGRATE);
        return true;
    }
    let still = !port.learning && !port.forwarding;
    if !port.synced && (still || port.agreed || port.oper_edge) || port.sync && port.synced {
        (port.rr_while, port.synced, port.sync) = (0, true, false);
        return true;
    }
    if port.rr_while == 0 && port.re_root {
        port.re_root = false;
        return true;
    }
    let must_stop = port.sync && !port.synced || port.re_root && port.rr_while != 0 || port.disputed;
    if must_stop && !port.oper_edge && (port.learn || port.forward) {
        (port.learn, port.forward, port.disputed) = (false, false, false);
        port.fd_while = delay;
        return true;
    }
    let may_go = (port.fd_while == 0 || port.agreed || port.oper_edge)
        && (port.rr_while == 0 || !port.re_root)
        && !port.sync;
    if may_go && !port.learn {
        (port.learn, port.fd_while) = (true, delay);
        return true;
    }
    if may_go && port.learn && !port.forward {
        (port.forward, port.fd_while, port.agreed) = (true, 0, port.rapid);
        return true;
    }
    false
}

/// Port state transition machine (17.30).
fn pass(port: &mut Port) -> bool {
    let before = (port.learning, port.forwarding);
    port.learning = port.learn;
    port.forwarding = port.learn && port.forward;
    before != (port.learning, port.forwarding)
}

/// Topology change machine (17.31); the second value asks the other ports to spread the change.
fn topology(port: &mut Port) -> (bool, bool) {
    let active = matches!(port.role, Role::Root | Role::Designated) && !port.oper_edge;
    match port.change {
        Change::Inactive if port.learn => {
            port.change = Change::Learning;
            (true, false)
        }
        Change::Inactive => {
            let busy = std::mem::take(&mut port.tc_prop);
            (port.heard_tc, port.heard_tcn, port.heard_tc_ack) = (false, false, false);
            (busy, false)
        }
        Change::Learning if active && port.forward => {
            port.new_tc_while();
            (port.change, port.new_info) = (Change::Active, true);
            (true, true)
        }
        Change::Learning => {
            (port.heard_tc, port.heard_tcn, port.heard_tc_ack, port.tc_prop) = (false, false, false, false);
            if !port.learn && !port.learning {
                (port.change, port.flush, port.tc_while, port.tc_ack) = (Change::Inactive, true, 0, false);
                return (true, false);
            }
            (false, false)
        }
        Change::Active if !active || !port.forward => {
            port.change = Change::Learning;
            (true, false)
        }
        Change::Active if port.heard_tc || port.heard_tcn => {
            if port.heard_tcn {
                port.new_tc_while();
                port.tc_ack |= port.role == Role::Designated;
            }
            (port.heard_tc, port.heard_tcn) = (false, false);
            (true, true)
        }
        Change::Active if port.tc_prop => {
            port.new_tc_while();
            (port.flush, port.tc_prop) = (true, false);
            (true, false)
        }
        Change::Active => {
            if std::mem::take(&mut port.heard_tc_ack) {
                port.tc_while = 0;
            }
            (false, false)
        }
    }
}

/// Port transmit machine (17.26).
fn transmit(port: &mut Port, hold: u8, output: &mut Output) {
    if !port.enabled() || !port.selected || port.update {
        return;
    }
    if port.hello_when == 0 {
        port.new_info |= port.role == Role::Designated || port.role == Role::Root && port.tc_while != 0;
        port.hello_when = port.designated_times.hello;
    }
    if port.new_info && port.sent < hold {
        if let Some(unit) = port.unit() {
            output.send.push((port.number, unit));
            port.sent += 1;
            port.tc_ack = false;
        }
        port.new_info = false;
    }
}
