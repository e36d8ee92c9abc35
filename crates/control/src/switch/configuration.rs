//! What the user asked for, as it is kept on disk: switches, and ports with their options as `name=value`.

use netloom_vswitch::{Port, Vlan, VlanSet};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Options of a port or a switch, by name.
pub type Options = BTreeMap<String, String>;

/// Everything that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SwitchConfiguration {
    /// Options of each switch.
    pub switches: BTreeMap<String, Options>,
    /// Ports by name.
    pub ports: BTreeMap<String, PortConfiguration>,
}

/// One port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortConfiguration {
    /// Its switch.
    pub switch: String,
    /// Its number, which it keeps.
    pub number: u32,
    /// Its options.
    pub options: Options,
}

/// Options that the bridge understands; all others are the driver's.
pub(super) const BRIDGE_OPTIONS: &[&str] = &[
    "vlan",
    "trunk",
    "native",
    "native-tagged",
    "tunnel",
    "isolated",
    "learning",
    "flooding",
    "stations",
    "enabled",
];

fn vlan(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(vlan @ 0..=4095) => Ok(vlan),
        _ => Err(format!("`{text}` is not a VLAN: a number from 0 to 4095")),
    }
}

fn vlans(text: &str) -> Result<VlanSet, String> {
    if text == "all" {
        return Ok(VlanSet::all());
    }
    let mut set = VlanSet::default();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        match part.split_once('-') {
            Some((first, last)) => (vlan(first)?..=vlan(last)?).for_each(|vlan| set.add(vlan)),
            None => set.add(vlan(part)?),
        }
    }
    Ok(set)
}

fn switch(name: &str, text: &str) -> Result<bool, String> {
    match text {
        "true" | "yes" | "on" => Ok(true),
        "false" | "no" | "off" => Ok(false),
        _ => Err(format!("`{name}={text}`: true or false")),
    }
}

/// The bridge's side of a port's options.
pub(super) fn port(number: u32, name: &str, options: &Options) -> Result<Port, String> {
    let mut port = Port::new(number, name);
    let get = |name: &str| options.get(name).map(String::as_str);
    let trunk = get("trunk").map(vlans).transpose()?;
    let ways = ["vlan", "native", "native-tagged", "tunnel"].map(&get);
    let (set, given) =
        (trunk.clone().unwrap_or_else(VlanSet::all), ways.iter().filter(|way| way.is_some()).count());
    if given > 1 {
        return Err("`vlan`, `native`, `native-tagged` and `tunnel` exclude each other".to_owned());
    }
    port.vlan = match ways {
        [Some(own), ..] if trunk.is_some() => {
            return Err(format!("`vlan={own}` is for one untagged VLAN; with `trunk` write native={own}"));
        }
        [Some(own), ..] => Vlan::Access(vlan(own)?),
        [_, Some(own), ..] => Vlan::NativeUntagged(vlan(own)?, set),
        [_, _, Some(own), _] => Vlan::NativeTagged(vlan(own)?, set),
        [_, _, _, Some(own)] => Vlan::Tunnel { vlan: vlan(own)?, customers: set },
        _ => Vlan::Trunk(set),
    };
    if let Some(text) = get("isolated") {
        port.isolated = switch("isolated", text)?;
    }
    if let Some(text) = get("learning") {
        port.learning = switch("learning", text)?;
    }
    if let Some(text) = get("flooding") {
        port.flooding = switch("flooding", text)?;
    }
    if let Some(text) = get("enabled") {
        port.forwarding = switch("enabled", text)?;
    }
    if let Some(text) = get("stations") {
        port.stations = text.parse().map_err(|_| format!("`stations={text}`: a number of stations"))?;
    }
    Ok(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> Options {
        text.split_whitespace()
            .filter_map(|part| part.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn the_ways_to_treat_vlans() {
        let vlan = |text: &str| port(1, "p", &options(text)).map(|port| port.vlan);
        assert_eq!(vlan(""), Ok(Vlan::Trunk(VlanSet::all())));
        assert_eq!(vlan("vlan=10"), Ok(Vlan::Access(10)));
        assert_eq!(vlan("trunk=10,20-22"), Ok(Vlan::Trunk([10, 20, 21, 22].into_iter().collect())));
        assert_eq!(vlan("trunk=7 native=5"), Ok(Vlan::NativeUntagged(5, [7].into_iter().collect())));
        assert_eq!(vlan("tunnel=5"), Ok(Vlan::Tunnel { vlan: 5, customers: VlanSet::all() }));
        for wrong in
            ["vlan=4096", "vlan=x", "trunk=1-y", "vlan=1 trunk=2", "vlan=1 native=2", "isolated=maybe"]
        {
            assert!(vlan(wrong).is_err(), "{wrong}");
        }
    }
}
