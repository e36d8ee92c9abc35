//! Both sides by number: every key that is observed or desired, in the order of keys.
//!
//! Keys are fat (names, addresses); planning looks each up once and then works with numbers.

use netloom_compile::object::{
    Desired, Key, Link, LinkKind, Object, Observed, ObservedObject, Space, Spec, needs,
};
use netloom_wire::InterfaceName;
use std::collections::HashMap;

/// The number of a key.
pub(super) type Id = u32;

/// The number of a space.
pub(super) type SpaceId = u32;

/// Keys of both sides with what is known of each.
pub(super) struct Table<'a> {
    pub(super) keys: Vec<&'a Key>,
    pub(super) observed: Vec<Option<&'a ObservedObject>>,
    pub(super) desired: Vec<Option<&'a Object>>,
    /// The space of each key.
    pub(super) space: Vec<SpaceId>,
    pub(super) spaces: Vec<&'a Space>,
    /// What an observed object rides on: it goes when one of these goes. Links only; never a controller.
    pub(super) rides_on: Vec<Vec<Id>>,
    /// The reverse of `rides_on`.
    pub(super) riders: Vec<Vec<Id>>,
    /// The observed controller of each observed link.
    pub(super) controller: Vec<Option<Id>>,
    ids: HashMap<&'a Key, Id>,
    space_ids: HashMap<&'a Space, SpaceId>,
}

impl<'a> Table<'a> {
    pub(super) fn new(observed: &'a Observed, desired: &'a Desired) -> Self {
        let mut table = Self::merge(observed, desired);
        let count = table.keys.len();
        table.rides_on = vec![Vec::new(); count];
        table.riders = vec![Vec::new(); count];
        table.controller = vec![None; count];
        for id in table.all() {
            let Some(found) = table.observed[id as usize] else { continue };
            let key = table.keys[id as usize];
            for carrier in carriers(key, &found.spec) {
                if let Some(carrier) = table.observed_id(&carrier) {
                    table.rides_on[id as usize].push(carrier);
                    table.riders[carrier as usize].push(id);
                }
            }
            if let Spec::Link(link) = &found.spec
                && let Some(controller) = &link.controller
            {
                table.controller[id as usize] = table.link(key.space(), controller);
            }
        }
        table
    }

    /// Both sides in one, sorted.
    fn merge(observed: &'a Observed, desired: &'a Desired) -> Self {
        let most = observed.objects.len() + desired.objects.len();
        let mut table = Self {
            keys: Vec::with_capacity(most),
            observed: Vec::with_capacity(most),
            desired: Vec::with_capacity(most),
            space: Vec::with_capacity(most),
            spaces: Vec::new(),
            rides_on: Vec::new(),
            riders: Vec::new(),
            controller: Vec::new(),
            ids: HashMap::with_capacity(most),
            space_ids: HashMap::new(),
        };
        let (mut left, mut right) = (observed.objects.iter().peekable(), desired.objects.iter().peekable());
        loop {
            let order = match (left.peek(), right.peek()) {
                (None, None) => break,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some((a, _)), Some((b, _))) => a.cmp(b),
            };
            let found = if order.is_le() { left.next() } else { None };
            let wanted = if order.is_ge() { right.next() } else { None };
            let Some(key) = found.map(|(key, _)| key).or(wanted.map(|(key, _)| key)) else { break };
            table.ids.insert(key, table.keys.len() as Id);
            table.keys.push(key);
            table.observed.push(found.map(|(_, object)| object));
            table.desired.push(wanted.map(|(_, object)| object));
            let spaces = &mut table.spaces;
            table.space.push(*table.space_ids.entry(key.space()).or_insert_with(|| {
                spaces.push(key.space());
                (spaces.len() - 1) as SpaceId
            }));
        }
        table
    }

    /// Every number, in the order of keys.
    pub(super) fn all(&self) -> std::ops::Range<Id> {
        0..self.keys.len() as Id
    }

    pub(super) fn id(&self, key: &Key) -> Option<Id> {
        self.ids.get(key).copied()
    }

    pub(super) fn space_id(&self, space: &Space) -> Option<SpaceId> {
        self.space_ids.get(space).copied()
    }

    /// The link of a name in a space, observed or desired.
    pub(super) fn link(&self, space: &Space, name: &InterfaceName) -> Option<Id> {
        self.id(&Key::Link { space: space.clone(), name: name.clone() })
    }

    fn observed_id(&self, key: &Key) -> Option<Id> {
        self.id(key).filter(|id| self.observed[*id as usize].is_some())
    }

    pub(super) fn observed_link(&self, id: Id) -> Option<&'a Link> {
        match &self.observed[id as usize]?.spec {
            Spec::Link(link) => Some(link),
            _ => None,
        }
    }

    pub(super) fn desired_link(&self, id: Id) -> Option<&'a Link> {
        match &self.desired[id as usize]?.spec {
            Spec::Link(link) => Some(link),
            _ => None,
        }
    }
}

/// Links that an object rides on: what it needs but namespaces and the controller, and besides the other
/// end of a veth pair and the interface that a sysctl is about.
fn carriers(key: &Key, spec: &Spec) -> Vec<Key> {
    let mut keys = needs::needs(key, spec);
    keys.retain(|needed| matches!(needed, Key::Link { .. }));
    match spec {
        Spec::Link(link) => {
            if let Some(controller) = &link.controller {
                keys.retain(|needed| !is_named(needed, key.space(), controller));
            }
            if let LinkKind::Veth { peer } = &link.kind {
                keys.push(Key::link(peer));
            }
        }
        Spec::Sysctl { .. } => keys.extend(sysctl_link(key)),
        _ => {}
    }
    keys
}

fn is_named(key: &Key, at: &Space, called: &InterfaceName) -> bool {
    matches!(key, Key::Link { space, name } if space == at && name == called)
}

/// The interface that a sysctl belongs to: `net/ipv4/conf/eth0/rp_filter` exists while `eth0` does.
pub(super) fn sysctl_link(key: &Key) -> Option<Key> {
    let Key::Sysctl { space, path } = key else { return None };
    let mut parts = path.split('/');
    let (Some("net"), Some("ipv4" | "ipv6" | "mpls"), Some("conf" | "neigh"), Some(name)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    match name {
        "all" | "default" => None,
        _ => Some(Key::Link { space: space.clone(), name: name.parse().ok()? }),
    }
}
