//! Topologies from text, and tables as text that people can read.
#![allow(dead_code, reason = "each test program uses a part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code, though not in a test function")]

use netloom_compile::object::firewall::Firewall;
use netloom_compile::object::{Key, LinkKind, Object, RouteAction, RuleAction, Spec};
use netloom_compile::{CompileError, Compiled, Context, compile};
use netloom_model::document::Format;
use netloom_model::load::load;
use netloom_model::source::SourceFile;
use netloom_model::validated::Validated;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A validated topology from YAML.
pub(crate) fn validated(text: &str) -> Validated {
    let source = SourceFile::new("test.yaml", text);
    match load(&source, Format::Yaml, &BTreeMap::new()) {
        Ok(loaded) => loaded.validated,
        Err(findings) => {
            let list: Vec<String> = findings
                .iter()
                .map(|finding| {
                    let place = finding.span.map(|span| source.locate(span).to_string());
                    format!("{} {}", place.unwrap_or_default(), finding.message)
                })
                .collect();
            panic!("{}\n{text}", list.join("\n"))
        }
    }
}

pub(crate) fn try_compile(text: &str, context: &Context) -> Result<Compiled, CompileError> {
    compile(&validated(text), context)
}

pub(crate) fn compiled(text: &str) -> Compiled {
    try_compile(text, &Context::default()).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// One line for each object: kind, key, what it is like, owner, reason.
pub(crate) fn dump(compiled: &Compiled) -> String {
    let mut text = String::new();
    for object in compiled.desired.objects.values() {
        let spec = spec(object);
        let space = if spec.is_empty() { "" } else { " " };
        let kind = object.key.kind();
        let _ =
            writeln!(text, "{kind} {}{space}{spec}  # {}: {}", object.key, object.owner.part, object.reason);
    }
    for note in &compiled.notes {
        let _ = writeln!(text, "note {:?}, line {}: {}", note.severity, note.origin.line, note.text);
    }
    for test in &compiled.tests {
        let _ = writeln!(text, "test {}: {}", test.name, serde_json::to_string(&test.check).unwrap());
    }
    text
}

fn spec(object: &Object) -> String {
    match &object.spec {
        Spec::Namespace | Spec::Address => String::new(),
        Spec::Sysctl { value } => format!("= {value}"),
        Spec::Link(link) => {
            let mut words = vec![kind(&link.kind)];
            words.extend(link.mac.map(|mac| format!("mac {mac}")));
            words.extend(link.mtu.map(|mtu| format!("mtu {mtu}")));
            words.extend(link.controller.as_ref().map(|controller| format!("in {controller}")));
            if !link.up {
                words.push("down".to_owned());
            }
            if let Some(port) = &link.port {
                words.extend(port.isolated.then(|| "isolated".to_owned()));
                words.extend(port.cost.map(|cost| format!("cost {cost}")));
                words.extend(port.vlans.iter().map(vlan));
            }
            words.extend(link.features.iter().map(|(name, on)| format!("{name}={on}")));
            words.extend(link.channels.map(|channels| format!("channels {channels}")));
            words.join(" ")
        }
        Spec::Route(route) => {
            let mut text = match &route.action {
                RouteAction::Forward { hops } => hops
                    .iter()
                    .map(|hop| {
                        let via = hop.gateway.map(|gateway| format!("via {gateway} ")).unwrap_or_default();
                        let dev =
                            hop.device.as_ref().map(|device| format!("dev {device}")).unwrap_or_default();
                        let weight =
                            if hops.len() > 1 { format!(" weight {}", hop.weight) } else { String::new() };
                        format!("{via}{dev}{weight}")
                    })
                    .collect::<Vec<_>>()
                    .join(" | "),
                other => format!("{other:?}").to_lowercase(),
            };
            if let Some(source) = route.source {
                let _ = write!(text, " from {source}");
            }
            text
        }
        Spec::Rule(rule) => {
            let mut words = Vec::new();
            words.extend(rule.from.map(|net| format!("from {net}")));
            words.extend(rule.to.map(|net| format!("to {net}")));
            words.extend(rule.input.as_ref().map(|name| format!("iif {name}")));
            words.extend(rule.mark.map(|(value, mask)| format!("mark {value}/{mask:#x}")));
            words.push(match rule.action {
                RuleAction::Lookup(table) => format!("lookup {table}"),
                other => format!("{other:?}").to_lowercase(),
            });
            words.join(" ")
        }
        Spec::Switch(_) => String::new(),
        Spec::SwitchPort(port) => {
            let isolated = if port.isolated { "isolated, " } else { "" };
            let link = if port.link.is_empty() {
                String::new()
            } else {
                format!(", link: {}", port.link_in_words())
            };
            format!("of {}, {isolated}VLANs: {}{link}", port.network, port.vlans_in_words())
        }
        Spec::Neighbour(neighbour) => neighbour.mac.to_string(),
        Spec::FdbEntry(_) => String::new(),
        Spec::Process(process) => format!("{:?}", process.command),
        Spec::Firewall(firewall) => firewall_text(firewall),
        Spec::Shaper(shaper) => {
            let mut value = serde_json::to_value(shaper).unwrap();
            prune(&mut value);
            value.to_string()
        }
    }
}

/// Takes out what says nothing.
fn prune(value: &mut serde_json::Value) {
    use serde_json::Value;
    let idle = |value: &Value| match value {
        Value::Null => true,
        Value::Number(number) => number.as_u64() == Some(0),
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    };
    match value {
        Value::Object(map) => {
            map.values_mut().for_each(prune);
            map.retain(|_, value| !idle(value));
        }
        Value::Array(list) => list.iter_mut().for_each(prune),
        _ => {}
    }
}

fn firewall_text(firewall: &Firewall) -> String {
    let mut text = String::new();
    for chain in &firewall.chains {
        let hook = chain.hook.as_ref();
        let _ =
            write!(text, "\n  chain {} {}", chain.name, hook.map(ToString::to_string).unwrap_or_default());
        for rule in &chain.rules {
            let origin = rule.origin.as_deref().unwrap_or_default();
            let _ = write!(text, "\n    {rule} @{origin}");
        }
    }
    text.push_str("\n ");
    text
}

fn vlan(vlan: &netloom_compile::object::PortVlan) -> String {
    let pvid = if vlan.pvid { " pvid" } else { "" };
    let untagged = if vlan.untagged { " untagged" } else { "" };
    format!("[{}{pvid}{untagged}]", vlan.id)
}

fn kind(kind: &LinkKind) -> String {
    match kind {
        LinkKind::Veth { peer } => format!("veth to {peer}"),
        LinkKind::Bridge(options) => {
            let mut words = vec!["bridge".to_owned()];
            if options.stp {
                words.push("stp".to_owned());
            }
            words.extend(options.ageing_time.map(|ageing| format!("ageing {ageing}")));
            if options.vlan_filtering {
                words.push(format!("vlans default {:?}", options.default_pvid));
                words.extend(options.vlans.iter().map(vlan));
            }
            words.join(" ")
        }
        LinkKind::Wireguard(options) => {
            let peers: Vec<String> = options
                .peers
                .iter()
                .map(|peer| format!("peer at {:?} allows {:?}", peer.endpoint, peer.allowed_ips))
                .collect();
            format!("wireguard port {:?} {}", options.listen_port, peers.join(" "))
        }
        LinkKind::Macvlan { parent, mode, sources } => {
            let sources: Vec<String> = sources.iter().map(ToString::to_string).collect();
            format!("macvlan {mode:?} on {parent} {}", sources.join(","))
        }
        other => {
            let json = serde_json::to_string(other).unwrap();
            format!("{} {json}", other.word())
        }
    }
}

/// Every rule that a table obeys whatever it was made from.
pub(crate) fn check_laws(compiled: &Compiled) {
    let objects = &compiled.desired.objects;
    let mut macs = std::collections::BTreeMap::new();
    for (key, object) in objects {
        assert_eq!(*key, object.key);
        assert!(!object.owner.part.is_empty(), "{key}");
        assert!(!object.reason.is_empty(), "{key}");
        assert!(!object.origin.file.is_empty(), "{key}");
        for need in object.needs() {
            assert!(objects.contains_key(&need), "{key} needs {need}, which nobody wants");
        }
        match &object.spec {
            Spec::Link(link) => {
                if let LinkKind::Veth { peer } = &link.kind {
                    let back = &objects[&Key::link(peer)].spec;
                    let Spec::Link(back) = back else { panic!("{peer} is no link") };
                    let LinkKind::Veth { peer: there } = &back.kind else { panic!("{peer} is no veth") };
                    assert_eq!(Key::link(there), *key);
                    assert_eq!(back.mtu, link.mtu, "{key}");
                }
                if let Some(mac) = link.mac {
                    let before = macs.insert(mac, key.clone());
                    assert!(before.is_none(), "{key} has the MAC address of {before:?}");
                }
            }
            Spec::Firewall(firewall) => {
                let faults = firewall.check();
                assert!(faults.is_empty(), "{key}: {faults:?}");
                for device in firewall.devices() {
                    let link = Key::Link { space: key.space().clone(), name: device.clone() };
                    assert!(objects.contains_key(&link), "{key} sits on {device}, which nobody wants");
                }
            }
            _ => {}
        }
    }
    // What is desired travels through the store and the daemon's socket.
    let json = serde_json::to_string(compiled).unwrap();
    let back: Compiled = serde_json::from_str(&json).unwrap();
    assert_eq!(back, *compiled);
}

/// Compares with the golden file, or writes it if `UPDATE=1`.
pub(crate) fn golden(name: &str, text: &str) {
    let path = format!("{}/tests/golden/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, text).unwrap();
        return;
    }
    let before =
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}; UPDATE=1 writes it"));
    for (number, (was, is)) in before.lines().zip(text.lines()).enumerate() {
        assert_eq!(was, is, "{path}:{}; UPDATE=1 takes the new text over", number + 1);
    }
    assert_eq!(before.lines().count(), text.lines().count(), "{path}; UPDATE=1 takes the new text over");
}
