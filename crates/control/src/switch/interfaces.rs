//! Lengths and addresses of ports' interfaces, which may change while they are open.
//!
//! What: an interface has the length and the address that it is told to have (`mtu`, `mac-address`). One that the switch made
//! itself (`internal`) is otherwise as short as the shortest of its bridge's others, and the bridge's own has the bridge's
//! address, as ovs-vswitchd.conf.db(5) says (`mtu_request`, `mac`, `hwaddr`).

use super::configuration::Options;
use super::state::Switch;
use super::touched::Touched;
use netloom_wire::MacAddr;
use std::collections::BTreeMap;

/// The length that an interface has where no other is known.
const USUAL: u32 = 1500;

fn is_internal(options: &Options) -> bool {
    options.get("type").is_some_and(|kind| kind == "internal" || kind == "dummy-internal")
}

fn number(options: &Options, name: &str) -> Option<u32> {
    options.get(name)?.parse().ok()
}

/// The length of an interface, from what its driver tells.
pub(super) fn length_of(details: &BTreeMap<String, String>) -> Option<u32> {
    details.get("mtu")?.parse().ok()
}

impl Switch {
    /// The length of the shortest interface of a switch that the switch did not make itself.
    fn shortest(&mut self, switch: &str, touched: &Touched) -> Option<u32> {
        let mut shortest = None;
        for (name, port) in self.configuration.ports.iter().filter(|(_, port)| port.switch == switch) {
            let is_patch = port.options.get("type").is_some_and(|kind| kind == "patch");
            if is_internal(&port.options) || is_patch || !self.ports.contains_key(name) {
                continue;
            }
            let length = number(&port.options, "mtu").or_else(|| {
                if touched.has(name) {
                    self.lengths.remove(&port.number);
                }
                let ask = || length_of(&self.doors.details(port.number));
                *self.lengths.entry(port.number).or_insert_with(ask)
            });
            shortest = [shortest, length].into_iter().flatten().min();
        }
        shortest
    }

    /// Has interfaces of a switch be as they should be: those that are touched, and those that follow others. What a driver
    /// refuses is said in the log.
    pub(super) fn apply_interfaces(&mut self, switch: &str, touched: &Touched) {
        let mut changes: Vec<(String, u32, Option<u32>, Option<MacAddr>)> = Vec::new();
        let shortest = self.shortest(switch, touched);
        let own_address = self.configuration.switches.get(switch).and_then(|options| options.get("address"));
        let own_address: Option<MacAddr> = own_address.and_then(|text| text.parse().ok());
        for (name, port) in self.ports_of(switch).filter(|(name, _)| self.ports.contains_key(*name)) {
            let internal = is_internal(&port.options);
            if !internal && !touched.has(name) {
                continue;
            }
            let mtu = number(&port.options, "mtu").or_else(|| internal.then(|| shortest.unwrap_or(USUAL)));
            let asked = port.options.get("mac-address").and_then(|text| text.parse().ok());
            let address = asked.or_else(|| own_address.filter(|_| internal && name == switch));
            if mtu.is_none() && address.is_none() {
                continue;
            }
            let now = self.doors.details(port.number);
            let mtu = mtu.filter(|mtu| now.get("mtu").is_some_and(|now| *now != mtu.to_string()));
            let address = address
                .filter(|address: &MacAddr| now.get("mac").is_some_and(|now| *now != address.to_string()));
            if mtu.is_some() || address.is_some() {
                changes.push((name.clone(), port.number, mtu, address));
            }
        }
        for (name, number, mtu, address) in changes {
            self.unreported.add(&name);
            let done = [
                mtu.map(|mtu| ("length", self.doors.set_mtu(number, mtu))),
                address.map(|address| ("address", self.doors.set_address(number, address))),
            ];
            for (what, error) in
                done.into_iter().flatten().filter_map(|(what, done)| Some((what, done.err()?)))
            {
                tracing::info!(target: "bridge", "interface {name}: its {what} stays: {error}");
            }
        }
    }
}
