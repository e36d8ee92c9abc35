//! Lengths and addresses of ports' interfaces, which may change while they are open.
//!
//! What: an interface has the length and the address that it is told to have (`mtu`, `mac-address`). One that the switch made
//! itself (`internal`) is otherwise as short as the shortest of its bridge's others, and the bridge's own has the bridge's
//! address, as ovs-vswitchd.conf.db(5) says (`mtu_request`, `mac`, `hwaddr`).

use super::configuration::Options;
use super::state::Switch;
use netloom_wire::MacAddr;

/// The length that an interface has where no other is known.
const USUAL: u32 = 1500;

fn is_internal(options: &Options) -> bool {
    options.get("type").is_some_and(|kind| kind == "internal" || kind == "dummy-internal")
}

fn number(options: &Options, name: &str) -> Option<u32> {
    options.get(name)?.parse().ok()
}

impl Switch {
    /// Has the interfaces of a switch be as they should be. What a driver refuses is said in the log.
    pub(super) fn apply_interfaces(&mut self, switch: &str) {
        let detail = |number: u32, name: &str| self.doors.details(number).remove(name);
        let mut changes: Vec<(String, u32, Option<u32>, Option<MacAddr>)> = Vec::new();
        let own_address = self.configuration.switches.get(switch).and_then(|options| options.get("address"));
        let own_address: Option<MacAddr> = own_address.and_then(|text| text.parse().ok());
        let ports = || self.ports_of(switch).filter(|(name, _)| self.ports.contains_key(*name));
        let shortest = ports()
            .filter(|(_, port)| {
                !is_internal(&port.options) && port.options.get("type").is_none_or(|kind| kind != "patch")
            })
            .filter_map(|(_, port)| {
                number(&port.options, "mtu").or_else(|| detail(port.number, "mtu")?.parse().ok())
            })
            .min();
        for (name, port) in ports() {
            let internal = is_internal(&port.options);
            let mtu = number(&port.options, "mtu").or_else(|| internal.then(|| shortest.unwrap_or(USUAL)));
            let asked = port.options.get("mac-address").and_then(|text| text.parse().ok());
            let address = asked.or_else(|| own_address.filter(|_| internal && name == switch));
            let now = |name| detail(port.number, name);
            let mtu = mtu.filter(|mtu| now("mtu").is_some_and(|now| now != mtu.to_string()));
            let address =
                address.filter(|address: &MacAddr| now("mac").is_some_and(|now| now != address.to_string()));
            if mtu.is_some() || address.is_some() {
                changes.push((name.clone(), port.number, mtu, address));
            }
        }
        for (name, number, mtu, address) in changes {
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
