//! Names of interfaces: who has which, and how new ones are made.
//!
//! Invariants: no two interfaces of a namespace share a name; a made name depends on what it is made
//! for and not on what else there is, unless two such names collide.

use crate::hash::{stable, tag};
use crate::object::{LinkRef, Space};
use netloom_wire::{InterfaceName, NodeName};
use std::collections::HashSet;

/// Names that the kernel keeps for itself: the loopback interface and two entries beside the
/// interfaces below `/proc/sys/net/ipv4/conf`.
const RESERVED: [&str; 3] = ["lo", "all", "default"];

/// The names that are taken in each namespace.
#[derive(Debug)]
pub(crate) struct Names {
    topology: NodeName,
    taken: HashSet<LinkRef>,
}

impl Names {
    pub(crate) fn new(topology: NodeName) -> Self {
        Self { topology, taken: HashSet::new() }
    }

    /// Takes a name that the user chose; false if it was taken before.
    pub(crate) fn claim(&mut self, at: &LinkRef) -> bool {
        self.taken.insert(at.clone())
    }

    /// Takes a name as near to `wanted` as possible for the thing that `identity` says.
    ///
    /// A name that is free and fits is taken as it is. Else nine characters of it stay and a tag made
    /// from `identity` follows. In the host's namespace every made name begins with `nl-` and has a tag
    /// with the topology in it, since other programs and other topologies have names there too.
    pub(crate) fn derive(&mut self, space: &Space, wanted: &str, identity: &[&str]) -> Option<LinkRef> {
        let shared = *space == Space::Host;
        if !shared
            && !RESERVED.contains(&wanted)
            && let Ok(name) = wanted.parse()
            && let Some(at) = self.take(space, name)
        {
            return Some(at);
        }
        let topology = self.topology.clone();
        (0u32..1000).find_map(|attempt| {
            let attempt = attempt.to_string();
            let mut parts = vec![topology.as_str(), attempt.as_str()];
            parts.extend(identity);
            let tag = tag(stable(&parts));
            let text = if shared {
                format!("nl-{}-{tag}", cut(wanted, 6))
            } else {
                format!("{}-{tag}", cut(wanted, 9))
            };
            text.parse().ok().and_then(|name| self.take(space, name))
        })
    }

    fn take(&mut self, space: &Space, name: InterfaceName) -> Option<LinkRef> {
        let at = LinkRef { space: space.clone(), name };
        self.claim(&at).then_some(at)
    }
}

/// The beginning of a text, on a character boundary.
fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_names_fit_and_differ() {
        let mut names = Names::new("shop".parse().unwrap());
        let space = Space::Node("front".parse().unwrap());
        let mut name = |wanted: &str, identity: &str| {
            names.derive(&space, wanted, &[identity]).unwrap().name.to_string()
        };
        assert_eq!(name("web", "a"), "web");
        let other = name("web", "b");
        assert!(other.starts_with("web-") && other.len() == 9, "{other}");
        let long = name("application-server-of-the-year", "c");
        assert!(long.starts_with("applicati-") && long.len() == 15, "{long}");
        assert_ne!(name("lo", "d"), "lo");
        assert_ne!(name("all", "e"), "all");
        let host = names.derive(&Space::Host, "front", &["f"]).unwrap().name.to_string();
        assert!(host.starts_with("nl-front-"), "{host}");
    }

    #[test]
    fn a_made_name_does_not_depend_on_others() {
        let space = Space::Node("front".parse().unwrap());
        let long = "application-server-of-the-year";
        let mut alone = Names::new("shop".parse().unwrap());
        let mut crowd = Names::new("shop".parse().unwrap());
        for index in 0..500 {
            crowd.derive(&space, &format!("{long}-{index}"), &[&index.to_string()]);
        }
        assert_eq!(alone.derive(&space, long, &["x"]), crowd.derive(&space, long, &["x"]));
    }
}
