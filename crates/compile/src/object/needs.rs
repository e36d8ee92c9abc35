//! What must exist before an object can be made.

use super::{Behind, Key, LinkKind, LinkRef, Object, Route, RouteAction, Space, Spec, SwitchPort};

impl Object {
    /// Keys that must exist before this object can be made, and whose loss takes it away.
    ///
    /// Both ends of a veth pair need each other's namespace; which end makes the pair is the planner's choice.
    #[must_use]
    pub fn needs(&self) -> Vec<Key> {
        needs(&self.key, &self.spec)
    }
}

/// [`Object::needs`] for an object that is known only by key and spec (an observed one).
#[must_use]
pub fn needs(key: &Key, spec: &Spec) -> Vec<Key> {
    let space = key.space();
    let mut keys = Vec::new();
    let in_space = |keys: &mut Vec<Key>, space: &Space| {
        if *space != Space::Host {
            keys.push(Key::Namespace { space: space.clone() });
        }
    };
    // A virtual machine has no namespace.
    let machine = matches!(spec, Spec::SwitchPort(SwitchPort { behind: Behind::Socket(_), .. }));
    if !matches!(key, Key::Namespace { .. }) && !machine {
        in_space(&mut keys, space);
    }
    let local = |name: &netloom_wire::InterfaceName| Key::Link { space: space.clone(), name: name.clone() };
    match (key, spec) {
        (_, Spec::Link(link)) => {
            if let Some(controller) = &link.controller {
                keys.push(local(controller));
            }
            let mut rides_on = |at: &LinkRef| {
                in_space(&mut keys, &at.space);
                keys.push(Key::link(at));
            };
            match &link.kind {
                LinkKind::Veth { peer } => in_space(&mut keys, &peer.space),
                LinkKind::Macvlan { parent, .. } | LinkKind::Ipvlan { parent, .. } => rides_on(parent),
                LinkKind::Vlan { parent, .. } => keys.push(local(parent)),
                LinkKind::Vxlan(options) => keys.extend(options.device.as_ref().map(local)),
                _ => {}
            }
        }
        (Key::Shaper { link, .. }, Spec::Shaper(shaper)) => {
            keys.push(local(link));
            keys.extend(shaper.devices().map(local));
        }
        (Key::SwitchPort { link, .. }, Spec::SwitchPort(port)) => {
            if port.behind.is_link() {
                keys.push(local(link));
            }
            keys.push(Key::Switch { space: Space::Node(port.network.clone()) });
        }
        (
            Key::Address { link, .. }
            | Key::Neighbour { link, .. }
            | Key::FdbEntry { link, .. }
            | Key::Shaper { link, .. },
            _,
        ) => keys.push(local(link)),
        (_, Spec::Route(Route { action: RouteAction::Forward { hops }, .. })) => {
            keys.extend(hops.iter().filter_map(|hop| hop.device.as_ref()).map(local));
        }
        // Chains on a device go with it.
        (_, Spec::Firewall(firewall)) => keys.extend(firewall.devices().map(local)),
        _ => {}
    }
    keys
}
