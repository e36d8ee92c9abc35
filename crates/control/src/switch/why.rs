//! A switch as it would decide, for those who explain: a bridge made of options, and what a decision means.

use super::configuration;
use crate::why::SwitchScene;
use netloom_mem::PortNumber;
use netloom_nf::Action;
use netloom_vswitch::{Bridge, Decision};

/// The bridge that a switch's options describe; none if they can't be read. Trees and bonds live in time and are left out: a
/// port that a tree keeps closed is not up.
pub(crate) fn bridge_of(scene: &SwitchScene) -> Option<Bridge> {
    let mut options = scene.options.clone();
    options.remove("rstp");
    let keep = |name: &String| configuration::bridge(&[(name.clone(), scene.options[name].clone())].into()).is_ok();
    options.retain(|name, _| keep(name));
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
pub(crate) fn considered(decision: &Decision, tags: &[u16]) -> Vec<(PortNumber, Vec<u16>)> {
    let mut tags = tags.to_vec();
    let mut outputs = Vec::new();
    for action in decision.program.actions() {
        match action {
            Action::Output(port) => outputs.push((*port, tags.clone())),
            Action::PushVlan { tci, .. } => tags.insert(0, tci & 0xfff),
            Action::PopVlan if !tags.is_empty() => drop(tags.remove(0)),
            Action::SetVlan(tci) => {
                if let Some(tag) = tags.first_mut() {
                    *tag = tci & 0xfff;
                }
            }
            _ => {}
        }
    }
    outputs
}
