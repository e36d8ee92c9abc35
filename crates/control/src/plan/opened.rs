//! Attributes that an earlier description set and the present one leaves open.
//!
//! Comparison is one-sided: an attribute that is not described is not compared. But a description from
//! which an attribute was taken out must end where a fresh apply of it would. Where the kernel's default
//! is known, it is set; a bridge port leaves and joins again, which gives it fresh settings; everything
//! else is made anew. A MAC address stays: a fresh one would be as arbitrary.

use netloom_compile::object::{BridgeOptions, Comparison, FieldChange, Link, LinkKind, Spec, compare};

/// What has to be done about opened attributes.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Opened {
    /// Nothing.
    Nothing,
    /// This is what it has to become, in place; and whether a port has to leave its bridge for a moment.
    Edit {
        /// The specification, with defaults filled in.
        to: Spec,
        /// Attributes that go back.
        fields: Vec<FieldChange>,
        /// Whether a port has to leave and join again.
        rejoin: bool,
    },
    /// It must be made anew, for these attributes.
    Anew(Vec<String>),
}

/// Compares the present description with an earlier one and settles what was opened. `original` is the
/// first value of an object that was there before.
pub(super) fn settle(observed: &Spec, before: &Spec, wanted: &Spec, original: Option<&Spec>) -> Opened {
    match (observed, before, wanted) {
        (Spec::Link(observed), Spec::Link(before), Spec::Link(wanted)) => {
            if wanted.kind == LinkKind::Existing {
                put_back(observed, before, wanted, original)
            } else {
                link(observed, before, wanted)
            }
        }
        // A route is replaced whole, so what is not named goes.
        (Spec::Route(seen), Spec::Route(earlier), Spec::Route(route)) => {
            let source = earlier.source.is_some() && route.source.is_none() && seen.source.is_some();
            let mtu = earlier.mtu.is_some() && route.mtu.is_none() && seen.mtu.is_some();
            let mut fields = Vec::new();
            if source {
                fields.push(released("source", &seen.source));
            }
            if mtu {
                fields.push(released("mtu", &seen.mtu));
            }
            if fields.is_empty() {
                Opened::Nothing
            } else {
                Opened::Edit { to: wanted.clone(), fields, rejoin: false }
            }
        }
        _ => {
            let names = opened(before, wanted);
            if names.is_empty() { Opened::Nothing } else { Opened::Anew(names) }
        }
    }
}

/// The attributes that `before` fixes and `wanted` does not.
fn opened(before: &Spec, wanted: &Spec) -> Vec<String> {
    let both = fields(&compare(before, wanted));
    let mut names = fields(&compare(wanted, before));
    names.retain(|name| !both.contains(name));
    names
}

fn fields(comparison: &Comparison) -> Vec<String> {
    match comparison {
        Comparison::Same => Vec::new(),
        Comparison::Change(fields) | Comparison::Recreate(fields) => {
            fields.iter().map(|field| field.field.clone()).collect()
        }
    }
}

fn released<T: std::fmt::Display>(field: &str, from: &Option<T>) -> FieldChange {
    FieldChange { to: "default".to_owned(), ..change(field, from, &None) }
}

/// A link of our own.
fn link(observed: &Link, before: &Link, wanted: &Link) -> Opened {
    let same_port = before.controller.is_some() && before.controller == wanted.controller;
    // The settings of a port are looked at apart: they go when it leaves its bridge.
    let stripped = |link: &Link| Spec::Link(Box::new(Link { port: None, ..link.clone() }));
    let names = opened(&stripped(before), &stripped(wanted));
    let rejoin = same_port && port_opened(before, wanted);
    let mut to = wanted.clone();
    let mut fields = Vec::new();
    let mut anew = Vec::new();
    for name in names {
        let known = match (&*name, &mut to.kind) {
            ("mac", _) => continue,
            ("mtu", kind) => default_mtu(kind).map(|default| {
                to.mtu = Some(default);
                observed.mtu != Some(default)
            }),
            (name, LinkKind::Bridge(options)) => {
                let LinkKind::Bridge(seen) = &observed.kind else { continue };
                default_bridge(name, options, seen)
            }
            _ => None,
        };
        match known {
            Some(true) if name == "mtu" => fields.push(released("mtu", &observed.mtu)),
            Some(true) => fields.push(released(&name, &Some("described"))),
            Some(false) => {}
            None => anew.push(name),
        }
    }
    if !anew.is_empty() {
        return Opened::Anew(anew);
    }
    if rejoin {
        fields.push(released("port settings", &Some("described")));
    }
    if fields.is_empty() {
        Opened::Nothing
    } else {
        Opened::Edit { to: Spec::Link(Box::new(to)), fields, rejoin }
    }
}

fn port_opened(before: &Link, wanted: &Link) -> bool {
    let alone = |link: &Link| {
        let mut alone = Link::new(LinkKind::Dummy);
        alone.port.clone_from(&link.port);
        Spec::Link(Box::new(alone))
    };
    !opened(&alone(before), &alone(wanted)).is_empty()
}

/// The MTU of a fresh interface where it does not depend on another one.
const fn default_mtu(kind: &LinkKind) -> Option<u32> {
    match kind {
        LinkKind::Veth { .. } | LinkKind::Tap(_) | LinkKind::Tun(_) | LinkKind::Dummy | LinkKind::Ifb => {
            Some(1500)
        }
        _ => None,
    }
}

/// Sets a bridge's attribute to the kernel's default (`br_dev_setup`, net/bridge/br_device.c; times in
/// hundredths of a second). `Some(true)` when that is a change, `None` when the default is not known.
fn default_bridge(field: &str, options: &mut BridgeOptions, seen: &BridgeOptions) -> Option<bool> {
    fn set<T: Copy + PartialEq>(slot: &mut Option<T>, seen: Option<T>, default: T) -> Option<bool> {
        *slot = Some(default);
        Some(seen != *slot)
    }
    match field {
        "priority" => set(&mut options.priority, seen.priority, 32768),
        "forward delay" => set(&mut options.forward_delay, seen.forward_delay, 1500),
        "hello time" => set(&mut options.hello_time, seen.hello_time, 200),
        "max age" => set(&mut options.max_age, seen.max_age, 2000),
        "ageing time" => set(&mut options.ageing_time, seen.ageing_time, 30000),
        "multicast snooping" => set(&mut options.multicast_snooping, seen.multicast_snooping, true),
        "multicast querier" => set(&mut options.multicast_querier, seen.multicast_querier, false),
        _ => None,
    }
}

/// An interface that is only used: what is no longer described goes back to what it was.
fn put_back(observed: &Link, before: &Link, wanted: &Link, original: Option<&Spec>) -> Opened {
    let Some(Spec::Link(original)) = original else { return Opened::Nothing };
    let mut to = wanted.clone();
    let mut fields = Vec::new();
    if before.mtu.is_some() && wanted.mtu.is_none() {
        to.mtu = original.mtu;
        if observed.mtu != original.mtu {
            fields.push(change("mtu", &observed.mtu, &original.mtu));
        }
    }
    if before.mac.is_some() && wanted.mac.is_none() {
        to.mac = original.mac;
        if observed.mac != original.mac {
            fields.push(change("mac", &observed.mac, &original.mac));
        }
    }
    if before.channels.is_some() && wanted.channels.is_none() {
        to.channels = original.channels;
        if observed.channels != original.channels {
            fields.push(change("channels", &observed.channels, &original.channels));
        }
    }
    if before.controller.is_some() && wanted.controller.is_none() {
        to.controller.clone_from(&original.controller);
        if observed.controller != original.controller {
            fields.push(change("controller", &observed.controller, &original.controller));
        }
    }
    for name in before.features.keys().filter(|name| !wanted.features.contains_key(*name)) {
        if let Some(first) = original.features.get(name) {
            to.features.insert(name.clone(), *first);
            if observed.features.get(name) != Some(first) {
                fields.push(change(name, &observed.features.get(name), &Some(first)));
            }
        }
    }
    if fields.is_empty() {
        Opened::Nothing
    } else {
        Opened::Edit { to: Spec::Link(Box::new(to)), fields, rejoin: false }
    }
}

/// What an interface that was used has to become when it no longer is: as it was, in everything that
/// was set. `None` when it is so already.
pub(super) fn release(observed: &Link, used: &Link, original: &Link) -> Option<(Link, Vec<FieldChange>)> {
    let wanted = Link { up: original.up, ..Link::new(LinkKind::Existing) };
    let mut fields = Vec::new();
    if observed.up != original.up {
        fields.push(change("up", &Some(observed.up), &Some(original.up)));
    }
    let mut to = wanted.clone();
    if let Opened::Edit { to: Spec::Link(link), fields: others, .. } =
        put_back(observed, used, &wanted, Some(&Spec::Link(Box::new(original.clone()))))
    {
        to = *link;
        fields.extend(others);
    }
    // Somebody else may have made it a port; that is not ours to end.
    if !fields.iter().any(|field| field.field == "controller") {
        to.controller.clone_from(&observed.controller);
    }
    if fields.is_empty() { None } else { Some((to, fields)) }
}

fn change<T: std::fmt::Display>(field: &str, from: &Option<T>, to: &Option<T>) -> FieldChange {
    let text = |value: &Option<T>| value.as_ref().map_or_else(|| "none".to_owned(), T::to_string);
    FieldChange { field: field.to_owned(), from: text(from), to: text(to) }
}
