//! Bridges, ports, bonds and interfaces.

use super::super::client::{Done, Stop};
use super::context::Context;
use super::draft::Place;
use super::records::set_column;
use netloom_proto::ovsdb::{Atom, Datum};

type Of<'c, 'a> = &'c mut Context<'a>;

/// Appends lines in the order of the alphabet.
fn sorted(context: &mut Context<'_>, mut lines: Vec<String>) {
    lines.sort();
    lines.iter().for_each(|line| context.line(line));
}

pub(super) fn init(_: Of<'_, '_>) -> Done {
    Ok(())
}

pub(super) fn add_bridge(context: Of<'_, '_>) -> Done {
    let name = context.word(1).to_owned();
    if name.is_empty() {
        return Err("bridge name must not be empty string".into());
    }
    let parent = match context.count() {
        2 => None,
        4 => {
            let vlan = super::settings::lenient(context.word(3));
            if !(0..=4095).contains(&vlan) {
                return Err(format!("{}: vlan must be between 0 and 4095", context.word(0)).into());
            }
            Some((context.word(2).to_owned(), vlan))
        }
        _ => return Err(format!("'{}' command takes exactly 1 or 3 arguments", context.word(0)).into()),
    };
    let model = context.model();
    if context.call.has("--may-exist")
        && let Some(bridge) = model.bridges.get(&name)
    {
        let wrong = match (&parent, &bridge.parent) {
            (None, None) => return Ok(()),
            (None, Some(_)) => {
                format!("\"--may-exist add-br {name}\" but {name} is a VLAN bridge for VLAN {}", bridge.vlan)
            }
            (Some((parent, vlan)), of) => {
                let but = match of {
                    None => "is not a VLAN bridge".to_owned(),
                    Some(of) if of != parent => format!("has the wrong parent {of}"),
                    Some(_) if bridge.vlan != *vlan => {
                        format!("is a VLAN bridge for the wrong VLAN {}", bridge.vlan)
                    }
                    Some(_) => return Ok(()),
                };
                format!("\"--may-exist add-br {name} {parent} {vlan}\" but {name} {but}")
            }
        };
        return Err(wrong.into());
    }
    model.check_free(&name, "a bridge")?;
    let Some((parent, vlan)) = parent else {
        let port = internal_port(context, &name)?;
        let bridge = context.insert("Bridge")?;
        context.draft.set(bridge, "name", name.as_str());
        context.draft.set(bridge, "ports", port.1);
        let switch = context.switch;
        context.draft.add_member(switch, "bridges", bridge.1);
        return Ok(());
    };
    let of = model.bridges.get(&parent);
    if of.is_some_and(|of| of.parent.is_some()) {
        return Err("cannot create bridge with fake bridge as parent".into());
    }
    let Some(row) = of.and_then(|of| of.row) else {
        return Err(format!("parent bridge {parent} does not exist").into());
    };
    if let Some(conflict) = model.child(&parent, vlan) {
        let other = &conflict.name;
        return Err(format!("bridge {parent} already has a child VLAN bridge {other} on VLAN {vlan}").into());
    }
    let port = internal_port(context, &name)?;
    context.draft.set(port, "fake_bridge", true);
    context.draft.set(port, "tag", vlan);
    context.draft.add_member(row, "ports", port.1);
    Ok(())
}

/// A port with an interface of type `internal`, both of one name.
fn internal_port(context: &mut Context<'_>, name: &str) -> Done<Place> {
    let interface = context.insert("Interface")?;
    context.draft.set(interface, "name", name);
    context.draft.set(interface, "type", "internal");
    context.interfaces.push(interface.1);
    let port = context.insert("Port")?;
    context.draft.set(port, "name", name);
    context.draft.set(port, "interfaces", interface.1);
    Ok(port)
}

pub(super) fn delete_bridge(context: Of<'_, '_>) -> Done {
    let name = context.word(1).to_owned();
    let model = context.model();
    if context.call.has("--if-exists") && !model.bridges.contains_key(&name) {
        return Ok(());
    }
    let bridge = model.bridge(&name)?;
    let children = model.bridges.values().filter(|child| child.parent.as_ref() == Some(&name));
    let all: Vec<&str> = children.map(|child| child.name.as_str()).chain([name.as_str()]).collect();
    let row = model.row_of(bridge);
    for name in all {
        for port in model.ports_of(name) {
            take_port_away(context, row, port);
        }
    }
    let Some(row) = bridge.row else { return Ok(()) };
    if let Some(table) = context.draft.table_of("Flow_Sample_Collector_Set") {
        for uuid in context.draft.rows(table) {
            if context.draft.references((table, uuid), "bridge").contains(&row.1) {
                context.draft.delete((table, uuid));
            }
        }
    }
    let switch = context.switch;
    context.draft.delete(row);
    context.draft.remove_member(switch, "bridges", row.1);
    Ok(())
}

fn take_port_away(context: &mut Context<'_>, bridge: Option<Place>, port: &super::model::Port) {
    if let Some(bridge) = bridge {
        context.draft.remove_member(bridge, "ports", port.row.1);
    }
    for (_, interface) in &port.interfaces {
        context.draft.delete(*interface);
    }
    context.draft.delete(port.row);
}

pub(super) fn list_bridges(context: Of<'_, '_>) -> Done {
    let (real, fake) = (context.call.has("--real"), context.call.has("--fake"));
    let both = real == fake;
    let model = context.model();
    let wanted = |bridge: &&super::model::Bridge| both || if bridge.parent.is_some() { fake } else { real };
    sorted(context, model.bridges.values().filter(wanted).map(|bridge| bridge.name.clone()).collect());
    Ok(())
}

pub(super) fn bridge_exists(context: Of<'_, '_>) -> Done {
    if context.model().bridges.contains_key(context.word(1)) { Ok(()) } else { Err(Stop::silent(2)) }
}

pub(super) fn bridge_to_vlan(context: Of<'_, '_>) -> Done {
    let vlan = context.model().bridge(context.word(1))?.vlan;
    context.line(&vlan.to_string());
    Ok(())
}

pub(super) fn bridge_to_parent(context: Of<'_, '_>) -> Done {
    let model = context.model();
    let bridge = model.bridge(context.word(1))?;
    context.line(bridge.parent.as_ref().unwrap_or(&bridge.name));
    Ok(())
}

/// Where the external identifiers of a bridge are, and what stands before each.
fn identifiers(context: &Context<'_>) -> Done<(Place, &'static str)> {
    let model = context.model();
    let name = context.word(1);
    let bridge = model.bridge(name)?;
    match (bridge.row, model.ports.get(name)) {
        (Some(row), _) => Ok((row, "")),
        (None, Some(port)) => Ok((port.row, "fake-bridge-")),
        (None, None) => Err(format!("no bridge named {name}").into()),
    }
}

pub(super) fn set_identifier(context: Of<'_, '_>) -> Done {
    let (place, prefix) = identifiers(context)?;
    let key: Atom = format!("{prefix}{}", context.word(2)).as_str().into();
    let old = context.draft.value(place, "external_ids");
    let mut new = old.subtract(&Datum::set(vec![key.clone()]));
    if context.count() > 3 {
        new = new.union(&Datum::map(vec![(key, context.word(3).into())]));
    }
    let column = context.draft.table(place.0).and_then(|table| table.column("external_ids"));
    if let Some(column) = column {
        context.draft.write(place, column, new, true);
    }
    Ok(())
}

pub(super) fn get_identifier(context: Of<'_, '_>) -> Done {
    let (place, prefix) = identifiers(context)?;
    let all = context.draft.value(place, "external_ids");
    if context.count() > 2 {
        if let Some(value) = all.text_of(&format!("{prefix}{}", context.word(2))) {
            context.line(value);
        }
        return Ok(());
    }
    for (key, value) in all.pairs() {
        if let (Some(key), Some(value)) =
            (key.as_str().and_then(|key| key.strip_prefix(prefix)), value.as_str())
        {
            context.line(&format!("{key}={value}"));
        }
    }
    Ok(())
}

pub(super) fn list_ports(context: Of<'_, '_>) -> Done {
    let model = context.model();
    let bridge = model.bridge(context.word(1))?;
    let ports = model.ports_of(&bridge.name).filter(|port| port.name != bridge.name);
    sorted(context, ports.map(|port| port.name.clone()).collect());
    Ok(())
}

pub(super) fn list_interfaces(context: Of<'_, '_>) -> Done {
    let model = context.model();
    let bridge = model.bridge(context.word(1))?;
    let all = model.ports_of(&bridge.name).flat_map(|port| &port.interfaces);
    let names = all.map(|(name, _)| name.clone()).filter(|name| *name != bridge.name);
    sorted(context, names.collect());
    Ok(())
}

pub(super) fn port_to_bridge(context: Of<'_, '_>) -> Done {
    let bridge = context.model().port(context.word(1))?.bridge.clone();
    context.line(&bridge);
    Ok(())
}

pub(super) fn interface_to_bridge(context: Of<'_, '_>) -> Done {
    let bridge = context.model().interface(context.word(1))?.0.bridge.clone();
    context.line(&bridge);
    Ok(())
}

pub(super) fn add_port(context: Of<'_, '_>) -> Done {
    let name = context.word(2).to_owned();
    let settings = context.call.words.get(3..).unwrap_or_default().to_vec();
    new_port(context, &[name], &settings, false)
}

pub(super) fn add_bond(context: Of<'_, '_>) -> Done {
    let words = context.call.words.get(3..).unwrap_or_default();
    let count = words.iter().position(|word| word.contains('=')).unwrap_or(words.len());
    if count < 2 {
        let text = format!("add-bond requires at least 2 interfaces, but only {count} were specified");
        return Err(text.into());
    }
    let (interfaces, settings) = words.split_at(count);
    let fake = context.call.has("--fake-iface");
    new_port(context, interfaces, settings, fake)
}

fn new_port(context: &mut Context<'_>, interfaces: &[String], settings: &[String], fake: bool) -> Done {
    let (bridge_name, name) = (context.word(1).to_owned(), context.word(2).to_owned());
    if name.is_empty() {
        return Err("port name must not be empty string".into());
    }
    if interfaces.iter().any(String::is_empty) {
        return Err("interface name must not be empty string".into());
    }
    let model = context.model();
    if context.call.has("--may-exist")
        && let Some(port) = model.find_port(&name)
    {
        let command = context.call.text();
        if port.bridge != bridge_name {
            let bridge = &port.bridge;
            return Err(format!("\"{command}\" but {name} is actually attached to bridge {bridge}").into());
        }
        let mut wanted = interfaces.to_vec();
        wanted.sort();
        let mut there: Vec<String> = port.interfaces.iter().map(|(name, _)| name.clone()).collect();
        there.sort();
        if wanted != there {
            let there = there.join(", ");
            return Err(format!("\"{command}\" but {name} actually has interface(s) {there}").into());
        }
        return Ok(());
    }
    model.check_free(&name, "a port")?;
    for interface in interfaces {
        model.check_free(interface, "an interface")?;
    }
    let bridge = model.bridge(&bridge_name)?;
    let mut rows = Vec::new();
    for interface in interfaces {
        let row = context.insert("Interface")?;
        context.draft.set(row, "name", interface.as_str());
        context.interfaces.push(row.1);
        rows.push(Atom::Uuid(row.1));
    }
    let port = context.insert("Port")?;
    context.draft.set(port, "name", name.as_str());
    context.draft.set(port, "interfaces", Datum::set(rows));
    context.draft.set(port, "bond_fake_iface", fake);
    if bridge.parent.is_some() {
        context.draft.set(port, "tag", bridge.vlan);
    }
    for setting in settings {
        set_column(context.draft, context.symbols, port, setting, false)?;
    }
    if let Some(row) = model.row_of(bridge) {
        context.draft.add_member(row, "ports", port.1);
    }
    Ok(())
}

pub(super) fn delete_port(context: Of<'_, '_>) -> Done {
    let last = context.count() - 1;
    let target = context.word(last).to_owned();
    let must = !context.call.has("--if-exists");
    let model = context.model();
    let found = if model.bridges.contains_key(&target) {
        if must {
            return Err(format!(
                "cannot delete port {target} because it is the local port for bridge {target} (deleting this port \
                 requires deleting the entire bridge)"
            )
            .into());
        }
        None
    } else if context.call.has("--with-iface") {
        let port = model.find_port(&target).or_else(|| model.find_interface(&target).map(|(port, _)| port));
        if must && port.is_none() {
            return Err(format!("no port or interface named {target}").into());
        }
        port
    } else if must {
        Some(model.port(&target)?)
    } else {
        model.find_port(&target)
    };
    let Some(port) = found else { return Ok(()) };
    if last == 2 {
        let name = context.word(1);
        let bridge = model.bridge(name)?;
        if port.bridge != bridge.name {
            let of = model.bridges.get(&port.bridge);
            let child = of.and_then(|of| of.parent.as_ref()).is_some_and(|parent| *parent == bridge.name);
            let although = if child {
                format!(" (although its child bridge {} does)", port.bridge)
            } else {
                String::new()
            };
            return Err(format!("bridge {name} does not have a port {target}{although}").into());
        }
    }
    let row = model.bridges.get(&port.bridge).and_then(|bridge| model.row_of(bridge));
    take_port_away(context, row, port);
    Ok(())
}

pub(super) fn add_bond_interface(context: Of<'_, '_>) -> Done {
    let model = context.model();
    let port = model.port(context.word(1))?;
    let name = context.word(2).to_owned();
    if context.call.has("--may-exist")
        && let Some((of, _)) = model.find_interface(&name)
    {
        if of.name == port.name {
            return Ok(());
        }
        let command = context.call.text();
        let other = &of.name;
        return Err(format!("\"{command}\" but {name} is actually attached to port {other}").into());
    }
    model.check_free(&name, "an interface")?;
    let row = context.insert("Interface")?;
    context.draft.set(row, "name", name.as_str());
    context.interfaces.push(row.1);
    context.draft.add_member(port.row, "interfaces", row.1);
    Ok(())
}

pub(super) fn delete_bond_interface(context: Of<'_, '_>) -> Done {
    let last = context.count() - 1;
    let name = context.word(last).to_owned();
    let model = context.model();
    if context.call.has("--if-exists") && model.find_interface(&name).is_none() {
        return Ok(());
    }
    let (port, row) = model.interface(&name)?;
    if last == 2 && model.port(context.word(1))?.name != port.name {
        return Err(format!("port {} does not have an interface {name}", context.word(1)).into());
    }
    if port.interfaces.len() < 2 {
        return Err(format!("cannot delete last interface from port {}", port.name).into());
    }
    context.draft.remove_member(port.row, "interfaces", row.1);
    context.draft.delete(row);
    Ok(())
}
