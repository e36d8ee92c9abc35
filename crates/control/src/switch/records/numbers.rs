//! The numbers of ports in the data path, where no two ports of the daemon have the same.
//!
//! What: who has a number keeps it. Otherwise it is the one that OpenFlow is asked for if nobody has it, or a free one; in a
//! data path for tests (`datapath_type` is `dummy`) it follows from the port's name, as tests of Open vSwitch expect it.

use super::super::configuration::{Options, PortConfiguration, SwitchConfiguration};
use std::collections::{BTreeSet, HashSet};

/// Numbers that OpenFlow has for other things begin here (OFPP_MAX of OpenFlow 1.0).
const MOST: u32 = 0xff00;
/// In a data path for tests: what is no port of it has numbers from here on.
const OTHERS: u32 = 40_000;
/// What the numbers of bridges' own ports begin with there.
const BRIDGES: u32 = 100;

/// A port that needs numbers.
#[derive(Debug)]
pub(super) struct Numbered {
    pub(super) name: String,
    pub(super) switch: String,
    pub(super) options: Options,
    /// The number that is asked for.
    pub(super) asked: Option<u32>,
    /// Its data path is for tests.
    pub(super) dummy: bool,
}

impl Numbered {
    fn kind(&self) -> &str {
        self.options.get("type").map_or("", String::as_str)
    }

    /// The number that follows from its name: its first digits, those of bridges behind a hundred.
    fn by_name(&self) -> Option<u32> {
        let base = if self.name.starts_with("br") { BRIDGES } else { 0 };
        let digits = self.name.find(|letter: char| letter.is_ascii_digit())?;
        let digits = self.name.get(digits..)?.split(|letter: char| !letter.is_ascii_digit()).next()?;
        digits.parse::<u32>().ok()?.checked_add(base).filter(|number| *number > 0)
    }
}

/// Types whose tunnels share a number.
fn family(kind: &str) -> &str {
    kind.strip_prefix("ip6").unwrap_or(kind)
}

/// Gives every port its number.
pub(super) fn number(ports: &[&Numbered], before: &SwitchConfiguration, wanted: &mut SwitchConfiguration) {
    let known = |port: &Numbered| before.ports.get(&port.name).filter(|known| known.switch == port.switch);
    let mut taken = HashSet::new();
    let mut numbers: Vec<Option<u32>> = ports
        .iter()
        .map(|port| known(port).map(|known| known.number).filter(|it| taken.insert(*it)))
        .collect();
    for (number, port) in numbers.iter_mut().zip(ports).filter(|(number, _)| number.is_none()) {
        let wish = match port.kind() {
            // Tunnels share numbers that tests expect to be free for others: the first of GRE's has the least free one, and
            // all others are beyond those of the data path.
            "patch" | "gre" | "ip6gre" | "erspan" | "ip6erspan" | "vxlan" | "geneve" if port.dummy => None,
            kind if port.dummy && kind != "bond" => port.by_name(),
            _ => port.asked,
        };
        *number = wish.filter(|wish| (1..MOST).contains(wish) && taken.insert(*wish));
    }
    let mut first: BTreeSet<&str> = ports
        .iter()
        .zip(&numbers)
        .filter(|(_, number)| number.is_some_and(|number| number < OTHERS))
        .map(|(port, _)| family(port.kind()))
        .collect();
    for (number, port) in numbers.iter_mut().zip(ports).filter(|(number, _)| number.is_none()) {
        let beyond = match family(port.kind()) {
            "patch" | "bond" | "vxlan" | "geneve" => true,
            family @ ("gre" | "erspan") => !first.insert(family),
            _ => false,
        };
        let mut next = if port.dummy && beyond { OTHERS } else { 1 };
        while !taken.insert(next) {
            next += 1;
        }
        *number = Some(next);
    }
    let all = numbers.into_iter().zip(ports).map(|(number, port)| {
        let number = number.unwrap_or_default();
        let (switch, options) = (port.switch.clone(), port.options.clone());
        (port.name.clone(), PortConfiguration { switch, number, options })
    });
    // All at once, which costs less than one after the other.
    wanted.ports = all.collect();
}
