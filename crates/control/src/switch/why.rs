//! A switch as it would decide, for those who explain: asked of the daemon, whose tables decide, or of a bridge that is made
//! out of options for that.
//!
//! Invariants: nothing is learned, counted or sent. The function that answers is the one that decides about a miss.

use super::configuration;
use super::protocol::{ConsideredPort, Reply};
use super::state::{Switch, SwitchError};
use super::tables::packet_key;
use crate::why::SwitchScene;
use netloom_mem::PortNumber;
use netloom_nf::{Action, Program};
use netloom_proto::openflow::text::Names;
use netloom_table::{Field, Key};
use netloom_vswitch::openflow::translate::{Note, Request, Start, Trace, print_trace, translate};
use netloom_vswitch::{Bridge, Decision, Step, Why};
use std::collections::VecDeque;

/// Most times that a packet is looked up again.
const AGAIN: usize = 32;
/// The presence of a VLAN tag, in keys of tables.
const PRESENT: u64 = 0x1000;

/// The bridge that a switch's options describe; none if they can't be read. Trees and bonds live in time and are left out: a
/// port that a tree keeps closed is not up.
pub(crate) fn bridge_of(scene: &SwitchScene) -> Option<Bridge> {
    let mut options = scene.options.clone();
    options.remove("rstp");
    options.retain(|name, value| configuration::bridge(&[(name.clone(), value.clone())].into()).is_ok());
    let mut bridge = Bridge::new(configuration::bridge(&options).ok()?);
    for (name, port) in &scene.ports {
        bridge.add(configuration::port(port.number, name, &port.options).ok()?).ok()?;
    }
    for (vlan, mac, port) in &scene.stations {
        if let Some(port) = scene.ports.get(port) {
            bridge.fdb.fix(*vlan, *mac, port.number, 0);
        }
    }
    Some(bridge)
}

/// The ports by which a frame leaves, each with the tags that it has then.
pub(crate) fn outputs(decision: &Decision, tags: &[u16]) -> Vec<(PortNumber, Vec<u16>)> {
    let mut found = Vec::new();
    follow(&decision.program, &mut tags.to_vec(), &mut found, &mut VecDeque::new());
    found
}

/// Why a decision drops, if it does.
pub(crate) fn dropped(decision: &Decision) -> Option<netloom_nf::Reason> {
    decision.steps.iter().find_map(|step| match step {
        Step::Out(Why::Dropped(reason)) => Some(*reason),
        _ => None,
    })
}

/// Follows a program: outputs with the tags that the frame has there, and the numbers under which it comes back.
fn follow(
    program: &Program,
    tags: &mut Vec<u16>,
    found: &mut Vec<(PortNumber, Vec<u16>)>,
    again: &mut VecDeque<(u32, bool)>,
) {
    let mut tracked = false;
    for action in program.actions() {
        match action {
            Action::Output(port) => found.push((*port, tags.clone())),
            Action::PushVlan { tci, .. } => tags.insert(0, tci & 0xfff),
            Action::PopVlan if !tags.is_empty() => drop(tags.remove(0)),
            Action::SetVlan(tci) => {
                if let Some(tag) = tags.first_mut() {
                    *tag = tci & 0xfff;
                }
            }
            Action::Connect(_) => tracked = true,
            Action::Recirculate(number) => again.push_back((*number, tracked)),
            Action::Clone(program) => follow(program, &mut tags.clone(), found, again),
            Action::Sample(sample) => follow(&sample.program, &mut tags.clone(), found, again),
            Action::Branch(branch) => follow(&branch.otherwise, tags, found, again),
            _ => {}
        }
    }
}

/// The rules that decided, with their cookies: which controller's flow it was.
fn rules(steps: &[Trace], found: &mut Vec<String>) {
    for step in steps {
        if let Note::Table { table, name, rule } = &step.note {
            let table = name.clone().unwrap_or_else(|| table.to_string());
            found.push(match rule {
                Some(rule) => format!(
                    "table {table}: flow of priority {} with cookie {:#x}",
                    rule.priority, rule.cookie
                ),
                None => format!("table {table}: no flow"),
            });
        }
        rules(&step.inner, found);
    }
}

impl Switch {
    /// What would become of a frame that came in through a port.
    pub(super) fn consider(&self, port: &str, octets: &str) -> Result<Reply, SwitchError> {
        let number = self.configured(port)?.number;
        let octets: Vec<u8> = match crate::why::hexadecimal(octets) {
            Ok(octets) => octets,
            Err(error) => return Ok(Reply::Failed { message: error.to_string() }),
        };
        let now = self.now();
        let mut bridges = self.bridges.lock();
        let Some((bridge, name)) =
            bridges.of_port.get(&number).map(|place| (place.bridge, place.name.clone()))
        else {
            return Ok(Reply::Failed { message: format!("port `{port}` belongs to no switch") });
        };
        let key = packet_key(&Key::default(), number, &octets);
        let ordinary =
            bridges.pipelines.get_mut(&bridge).is_none_or(|pipeline| pipeline.ordinary().is_some());
        let (mut found, mut text, mut deciders, mut drop) = (Vec::new(), String::new(), Vec::new(), None);
        if ordinary && let Some(bridge) = bridges.by_name.get_mut(&name) {
            let decision = bridge.consider(&key, now);
            drop = dropped(&decision);
            found = outputs(&decision, &tags_of(&key));
        } else {
            let tags = tags_of(&key);
            let mut waiting = VecDeque::from([(key, tags)]);
            let mut count = 0;
            while let Some((key, mut tags)) = waiting.pop_front() {
                count += 1;
                if count > AGAIN {
                    break;
                }
                let request = Request {
                    bridge,
                    key: &key,
                    in_port: None,
                    start: Start::Tables,
                    effects: false,
                    trace: true,
                    now,
                };
                let translation = translate(&mut *bridges, &request);
                text.push_str(&print_trace(&translation.trace, &Names::default()));
                rules(&translation.trace, &mut deciders);
                if let Some(problem) = translation.problem {
                    deciders.push(problem.to_string());
                }
                let mut again = VecDeque::new();
                follow(&translation.program, &mut tags, &mut found, &mut again);
                for (number, tracked) in again {
                    let mut next = Box::new(translation.flow.clone());
                    next.set(Field::IN_PORT, key.get(Field::IN_PORT));
                    for tci in [Field::VLAN_TCI, Field::INNER_TCI] {
                        next.set(tci, next.get(tci) & !PRESENT);
                    }
                    next.set(Field::RECIRCULATION, u64::from(number));
                    if tracked {
                        // A connection that is new and tracked, as in Open vSwitch's traces.
                        next.set(Field::CT_STATE, 0x21);
                    }
                    waiting.push_back((next, tags.clone()));
                }
            }
        }
        drop = drop.filter(|_| found.is_empty());
        let name_of = |number: &PortNumber| {
            let port = self.configuration.ports.iter().find(|(_, port)| port.number == *number);
            port.map(|(name, _)| name.clone())
        };
        let outputs = found
            .iter()
            .filter_map(|(number, tags)| Some(ConsideredPort { port: name_of(number)?, tags: tags.clone() }));
        Ok(Reply::Considered {
            outputs: outputs.collect(),
            dropped: drop.map(|reason| reason.sentence().to_owned()),
            ordinary,
            deciders,
            trace: text,
        })
    }
}

/// The VLAN tags of a packet.
fn tags_of(key: &Key) -> Vec<u16> {
    let tags = [(Field::VLAN_TPID, Field::VLAN_TCI), (Field::INNER_TPID, Field::INNER_TCI)];
    tags.iter()
        .filter(|(tpid, _)| key.get(*tpid) != 0)
        .map(|(_, tci)| (key.get(*tci) & 0xfff) as u16)
        .collect()
}
