//! OpenFlow's numbers of ports: the one place that gives them.
//!
//! Invariants: two ports of a bridge have different numbers. Who asks for a number (`ofport_request`) comes before who has it;
//! all others keep theirs as long as they are there, and over a restart.

/// Numbers that OpenFlow has for other things begin here; the bridge's own port has the last before it that is not used
/// (OFPP_LOCAL).
const MOST_PORTS: u16 = 0xff00;
/// The number of the bridge's own port (OFPP_LOCAL of OpenFlow 1.0).
pub(super) const LOCAL: u16 = 65_534;

/// What a port wishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Wish {
    /// The number that somebody asks for.
    pub(super) asked: Option<u16>,
    /// The number that it has, or had.
    pub(super) known: Option<u16>,
}

/// The numbers of a bridge's ports, in their order, which is that of their names. `last` is the number that was given last of
/// our own accord, 0 before the first: flows for a port that went are not to be those of the next one that comes.
pub(super) fn numbers(bridge: &str, ports: &[(&str, Wish)], last: &mut u16) -> Vec<u16> {
    let legal = |number: Option<u16>| number.filter(|number| (1..MOST_PORTS).contains(number));
    let mut taken = Taken::default();
    let mut numbers: Vec<Option<u16>> =
        ports.iter().map(|(name, _)| (*name == bridge).then_some(LOCAL)).collect();
    for wish in [|wish: &Wish| wish.asked, |wish: &Wish| wish.known] {
        for ((_, own), number) in ports.iter().zip(&mut numbers).filter(|(_, number)| number.is_none()) {
            *number = legal(wish(own)).filter(|wish| taken.insert(*wish));
        }
    }
    let given = numbers.into_iter().map(|number| {
        number.unwrap_or_else(|| {
            // There are fewer ports than numbers.
            loop {
                *last = if *last + 1 < MOST_PORTS { *last + 1 } else { 1 };
                if taken.insert(*last) {
                    return *last;
                }
            }
        })
    });
    given.collect()
}

/// Numbers that are taken, a bit for each.
struct Taken(Box<[u64]>);

impl Default for Taken {
    fn default() -> Self {
        Self(vec![0; usize::from(u16::MAX) / 64 + 1].into())
    }
}

impl Taken {
    /// Takes a number; the answer is whether it was free.
    fn insert(&mut self, number: u16) -> bool {
        let bit = 1 << (number % 64);
        let word = self.0.get_mut(usize::from(number / 64));
        word.is_some_and(|word| {
            let free = *word & bit == 0;
            *word |= bit;
            free
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn by_name<'a>(bridge: &str, ports: &BTreeMap<&'a str, Wish>, last: &mut u16) -> BTreeMap<&'a str, u16> {
        let ports: Vec<(&str, Wish)> = ports.iter().map(|(name, wish)| (*name, *wish)).collect();
        let given = numbers(bridge, &ports, last);
        ports.into_iter().map(|(name, _)| name).zip(given).collect()
    }

    #[test]
    fn wishes_are_granted_in_order() {
        let wish = |asked, known| Wish { asked, known };
        let ports = BTreeMap::from([
            ("br0", wish(Some(3), None)),
            ("a", wish(None, Some(7))),
            ("b", wish(Some(7), None)),
            ("c", wish(None, None)),
            ("d", wish(Some(0), Some(1))),
            ("e", wish(Some(0xff00), None)),
        ]);
        let mut last = 0;
        let numbers = by_name("br0", &ports, &mut last);
        let of = |name: &str| numbers[name];
        assert_eq!((of("br0"), of("b"), of("d")), (LOCAL, 7, 1));
        assert_eq!((of("a"), of("c"), of("e")), (2, 3, 4));
        // Who comes next gets none of those that went.
        let later = BTreeMap::from([("f", wish(None, None))]);
        assert_eq!(by_name("br0", &later, &mut last)["f"], 5);
        assert_eq!(by_name("br0", &later, &mut (MOST_PORTS - 1))["f"], 1);
    }

    proptest! {
        #[test]
        fn numbers_differ(wishes in proptest::collection::btree_map("[a-e]{1,2}",
            (proptest::option::of(0_u16..9), proptest::option::of(0_u16..9)), 0..20)) {
            let ports: BTreeMap<&str, Wish> =
                wishes.iter().map(|(name, (asked, known))| (name.as_str(), Wish { asked: *asked, known: *known })).collect();
            let mut last = 0;
            let given = by_name("a", &ports, &mut last);
            prop_assert!(given.keys().eq(ports.keys()));
            let different: BTreeSet<u16> = given.values().copied().collect();
            prop_assert_eq!(different.len(), given.len());
            // Once given, they stay.
            let again: BTreeMap<&str, Wish> = ports.iter().map(|(name, wish)| {
                (*name, Wish { known: Some(given[name]), ..*wish })
            }).collect();
            prop_assert_eq!(by_name("a", &again, &mut last), given);
        }
    }
}
