//! What changes, told to those who watch.
//!
//! What: who watches has a queue of a bounded length; a queue that is full misses changes, and says how many. Changes of
//! the configuration are told when they are made, those of states when they are seen, ten times a second.
//!
//! Costs: nothing while nobody watches.

use super::lists::tree;
use super::protocol::{Event, EventKind, Request};
use super::state::Switch;
use netloom_vswitch::{StationChange, StationEvent};
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{SystemTime, UNIX_EPOCH};

/// Changes that may wait for somebody who watches.
const QUEUE: usize = 8192;

/// Somebody who watches.
#[derive(Debug)]
struct Watcher {
    kinds: Vec<EventKind>,
    switch: Option<String>,
    to: SyncSender<Event>,
    missed: u64,
}

impl Watcher {
    fn wants(&self, event: &Event) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&event.kind))
            && self.switch.as_ref().is_none_or(|switch| *switch == event.switch)
    }

    /// False when it is gone.
    fn tell(&mut self, event: &Event) -> bool {
        if !self.wants(event) {
            return true;
        }
        if self.missed > 0 {
            let missed = Event {
                time_ms: event.time_ms,
                kind: EventKind::Missed,
                switch: String::new(),
                subject: String::new(),
                change: "missed".to_owned(),
                detail: format!("{} changes came faster than they were read", self.missed),
            };
            match self.to.try_send(missed) {
                Ok(()) => self.missed = 0,
                Err(TrySendError::Full(_)) => {
                    self.missed += 1;
                    return true;
                }
                Err(TrySendError::Disconnected(_)) => return false,
            }
        }
        match self.to.try_send(event.clone()) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.missed += 1;
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        }
    }
}

/// A state as it was seen last: of a port, of its part in the tree, of a bond's member.
type Seen = BTreeMap<(EventKind, String, String), String>;

/// All who watch, and what they have been told.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    all: Vec<Watcher>,
    seen: Seen,
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Watchers {
    pub(super) const fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    fn tell(&mut self, event: &Event) {
        self.all.retain_mut(|watcher| watcher.tell(event));
    }
}

/// What a request changes, if it changes something of the configuration: kind, switch, subject, change, options.
pub(super) fn announcement(request: &Request) -> Option<(EventKind, String, String, &'static str, String)> {
    use EventKind::{Mirror, Port, Switch};
    let words = |options: &BTreeMap<String, String>| {
        options.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    };
    let none = String::new;
    Some(match request {
        Request::SwitchAdd { name, options } => (Switch, name.clone(), name.clone(), "added", words(options)),
        Request::SwitchSet { name, options } => {
            (Switch, name.clone(), name.clone(), "changed", words(options))
        }
        Request::SwitchDelete { name } => (Switch, name.clone(), name.clone(), "removed", none()),
        Request::PortAdd { switch, name, options } => {
            (Port, switch.clone(), name.clone(), "added", words(options))
        }
        Request::PortSet { name, options } => (Port, none(), name.clone(), "changed", words(options)),
        Request::PortDelete { name } => (Port, none(), name.clone(), "removed", none()),
        Request::MirrorSet { switch, name, options } => {
            (Mirror, switch.clone(), name.clone(), "changed", words(options))
        }
        Request::MirrorDelete { switch, name } => (Mirror, switch.clone(), name.clone(), "removed", none()),
        _ => return None,
    })
}

impl Switch {
    /// Begins to tell somebody what changes.
    pub(super) fn watch(&mut self, kinds: Vec<EventKind>, switch: Option<String>) -> Receiver<Event> {
        let (to, from) = sync_channel(QUEUE);
        if self.watchers.is_empty() {
            self.watchers.seen = self.states();
            for bridge in self.bridges.lock().by_name.values_mut() {
                bridge.fdb.take_events(true);
            }
        }
        self.watchers.all.push(Watcher { kinds, switch, to, missed: 0 });
        from
    }

    /// Tells those who watch of a change of the configuration.
    pub(super) fn announce(
        &mut self,
        (kind, switch, subject, change, detail): (EventKind, String, String, &'static str, String),
    ) {
        let event = Event { time_ms: now_ms(), kind, switch, subject, change: change.to_owned(), detail };
        // The options of a link are a port's; who watches links sees those only.
        if kind == EventKind::Port && change != "removed" {
            let own = event.detail.split_whitespace();
            let own: Vec<&str> = own
                .filter(|word| super::links::is_link(word.split('=').next().unwrap_or_default()))
                .collect();
            if !own.is_empty() {
                let detail = own.join(" ");
                self.watchers.tell(&Event { kind: EventKind::Link, detail, ..event.clone() });
            }
        }
        self.watchers.tell(&event);
    }

    /// Tells those who watch what is another way than it was.
    pub(super) fn tell_changes(&mut self) {
        if self.watchers.is_empty() {
            return;
        }
        let (now, time_ms) = (self.now(), now_ms());
        let mut events = Vec::new();
        let states = self.states();
        for (key, state) in &states {
            let before = self.watchers.seen.get(key);
            if before == Some(state) {
                continue;
            }
            let (kind, switch, subject) = key.clone();
            let change = match kind {
                EventKind::Port if state == "up" => "up".to_owned(),
                EventKind::Port => "down".to_owned(),
                _ => state.clone(),
            };
            let detail = match (kind, before) {
                (EventKind::Port, _) if state != "up" => state.clone(),
                (_, Some(before)) => format!("was {before}"),
                (_, None) => String::new(),
            };
            events.push(Event { time_ms, kind, switch, subject, change, detail });
        }
        self.watchers.seen = states;
        for (switch, bridge) in &mut self.bridges.lock().by_name {
            let (changes, missed) = bridge.fdb.take_events(true);
            let name = |port: u32| {
                bridge.ports().get(&port).map_or_else(|| port.to_string(), |port| port.name.clone())
            };
            events.extend(changes.into_iter().map(|event: StationEvent| {
                let (change, detail) = match event.change {
                    StationChange::Learned => ("learned", String::new()),
                    StationChange::Moved(from) => ("moved", format!(" from {}", name(from))),
                    StationChange::Aged => ("aged", String::new()),
                    StationChange::Forgotten => ("forgotten", String::new()),
                    StationChange::Fixed => ("fixed", String::new()),
                };
                Event {
                    time_ms: time_ms.saturating_sub(now.saturating_sub(event.time) / 1_000_000),
                    kind: EventKind::Fdb,
                    switch: switch.clone(),
                    subject: event.mac.to_string(),
                    change: change.to_owned(),
                    detail: format!("behind {} in VLAN {}{detail}", name(event.port), event.vlan),
                }
            }));
            if missed > 0 {
                events.push(Event {
                    time_ms,
                    kind: EventKind::Fdb,
                    switch: switch.clone(),
                    subject: String::new(),
                    change: "missed".to_owned(),
                    detail: format!("{missed} changes of stations were too many to keep"),
                });
            }
        }
        for event in events {
            self.watchers.tell(&event);
        }
        if self.watchers.is_empty() {
            for bridge in self.bridges.lock().by_name.values_mut() {
                bridge.fdb.take_events(false);
            }
        }
    }

    /// The states that are watched.
    fn states(&self) -> Seen {
        let mut seen = Seen::new();
        for (name, carried) in &self.ports {
            let Some(port) = self.configuration.ports.get(name) else { continue };
            seen.insert((EventKind::Port, port.switch.clone(), name.clone()), (carried.state)());
        }
        let bridges = self.bridges.lock();
        for (switch, bridge) in &bridges.by_name {
            let name = |port: u32| bridge.ports().get(&port).map(|port| port.name.clone());
            for (number, port) in bridge.ports() {
                if let Some(state) = bridge.tree_state(*number) {
                    seen.insert((EventKind::Tree, switch.clone(), port.name.clone()), tree(state));
                }
            }
            for (number, bond) in bridge.bonds() {
                let Some(bond_name) = name(number) else { continue };
                let up = if bond.senders().is_empty() { "down" } else { "up" };
                seen.insert((EventKind::Bond, switch.clone(), bond_name.clone()), up.to_owned());
                for member in bond.members() {
                    let Some(state) = bond.state(member) else { continue };
                    let word = super::bonds::work(Some(&state));
                    let member = format!("{bond_name}/{}", name(member).unwrap_or_default());
                    seen.insert((EventKind::Bond, switch.clone(), member), word.to_owned());
                }
            }
        }
        seen
    }
}
