//! Ownership marks: how an object in the kernel says which topology made it.
//!
//! | object | mark |
//! |---|---|
//! | namespace | alias of its `lo` |
//! | link | alias `netloom:TOPOLOGY:PART`, and from its birth on the group number of the topology |
//! | address | `IFA_PROTO` 0x4e |
//! | route | `rtm_protocol` 0x4e |
//! | rule | `FRA_PROTOCOL` 0x4e |
//! | neighbour | `NDA_PROTOCOL` 0x4e |
//! | process | an environment variable |
//! | sysctl, FDB entry | none |
//!
//! A link is born with the group number, since the other end of a veth pair is made in a namespace that
//! the same request cannot reach again to set an alias: killed between the two, the end is still known
//! as ours. The alias is what people read.

use netloom_compile::object::{Mark, Owner, Space};
use netloom_wire::NodeName;
use std::sync::OnceLock;

/// `N`: the protocol number of our addresses, routes, rules and neighbours. Free in iproute2's tables.
pub const PROTOCOL: u8 = 0x4e;

/// Longest alias in octets: `IFALIASZ` without the terminating zero (linux/if.h).
const ALIAS_MAX: usize = 255;

/// The alias of a link.
#[must_use]
pub fn alias(owner: &Owner) -> String {
    let mut alias = format!("netloom:{}:{}", owner.topology, owner.part);
    while alias.len() > ALIAS_MAX {
        alias.pop();
    }
    alias
}

/// The alias of `lo` in the namespace of a node.
#[must_use]
pub fn namespace_alias(topology: &NodeName, node: &NodeName) -> String {
    format!("netloom:{topology}:{node}")
}

/// Name of our packet-filter table: a node's namespace is ours alone, the host's is not.
#[must_use]
pub fn table(space: &Space, topology: &NodeName) -> String {
    match space {
        Space::Host => format!("netloom_{topology}"),
        Space::Node(_) => "netloom".to_owned(),
    }
}

/// What follows `netloom:TOPOLOGY:` in an alias of this topology.
#[must_use]
pub fn part_of<'a>(alias: &'a str, topology: &NodeName) -> Option<&'a str> {
    alias.strip_prefix("netloom:")?.strip_prefix(topology.as_str())?.strip_prefix(':')
}

/// The group number with which the links of a topology are born: 0x4e and 24 bits of the name's hash (FNV-1a).
#[must_use]
pub fn group(topology: &NodeName) -> u32 {
    let hash = topology
        .as_str()
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, octet| (hash ^ u32::from(octet)).wrapping_mul(0x0100_0193));
    u32::from(PROTOCOL) << 24 | (hash ^ hash >> 24) & 0x00ff_ffff
}

/// Whose a link is, by alias and group. An alias that names another topology beats the group.
#[must_use]
pub fn link_mark(alias: Option<&str>, group_number: u32, topology: &NodeName) -> Mark {
    match alias {
        Some(alias) if part_of(alias, topology).is_some() => Mark::Ours,
        None if group_number == group(topology) => Mark::Ours,
        _ => Mark::Foreign,
    }
}

/// Whether addresses carry a protocol number: since Linux 5.18.
#[must_use]
pub fn addresses_carry_protocol() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let mut numbers =
            release.split(|c: char| !c.is_ascii_digit()).map(|text| text.parse::<u32>().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (5, 18)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(topology: &str, part: &str) -> Owner {
        Owner { topology: topology.parse().unwrap(), part: part.into() }
    }

    #[test]
    fn an_alias_belongs_to_exactly_its_topology() {
        let alias = alias(&owner("shop", "network front"));
        assert_eq!(part_of(&alias, &"shop".parse().unwrap()), Some("network front"));
        for other in ["sho", "shop2", "network"] {
            assert_eq!(part_of(&alias, &other.parse().unwrap()), None);
        }
    }

    #[test]
    fn a_long_part_is_cut_at_a_character() {
        let long = alias(&owner("t", &"ü".repeat(200)));
        assert!(long.len() <= ALIAS_MAX && long.len() > ALIAS_MAX - 2);
    }

    #[test]
    fn an_alias_beats_the_group() {
        let (a, b): (NodeName, NodeName) = ("a".parse().unwrap(), "b".parse().unwrap());
        assert_ne!(group(&a), group(&b));
        assert_eq!(link_mark(None, group(&a), &a), Mark::Ours);
        assert_eq!(link_mark(Some("netloom:b:x"), group(&a), &a), Mark::Foreign);
        assert_eq!(link_mark(Some("netloom:a:x"), 0, &a), Mark::Ours);
        assert_eq!(link_mark(None, 0, &a), Mark::Foreign);
    }
}
