//! Namespaces of nodes, their sysctls and their commands.

use crate::inventory::{Inventory, NodeFacts};
use crate::object::{Key, Process, Space, Spec};
use crate::report::{Report, first_span};
use crate::table::{Table, Wish};
use netloom_model::topology::SysctlValue;
use netloom_wire::NodeName;
use std::collections::BTreeSet;
use std::sync::Arc;

pub(super) fn emit(inventory: &Inventory<'_>, table: &mut Table, report: &mut Report<'_>) {
    for (name, facts) in inventory.nodes.iter().filter(|(_, facts)| !facts.machine) {
        let space = Space::Node(name.clone());
        let wish = Wish::new(facts.part.clone(), facts.span);
        let reason = format!("is the network stack of {}", facts.part);
        table.want(Key::Namespace { space: space.clone() }, Spec::Namespace, &wish, reason, report);
        sysctls(inventory, name, facts, table, report);
        processes(&space, facts, table, report);
    }
}

fn sysctls(
    inventory: &Inventory<'_>,
    name: &NodeName,
    facts: &NodeFacts<'_>,
    table: &mut Table,
    report: &mut Report<'_>,
) {
    let space = Space::Node(name.clone());
    let mut set = |path: &str, value: &SysctlValue, span, reason: &str| {
        let wish = Wish::new(facts.part.clone(), span);
        let text = value.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        table.sysctl(&space, &path_of(path), &text, &wish, reason, report);
    };
    // The node's own words come first, then the defaults, then what Netloom needs: the first one stays.
    for (path, value) in &facts.node.sysctls {
        set(path, value, first_span(&[path.span, facts.span]), "was set by the user");
    }
    for (path, value) in &inventory.topology.defaults.sysctls {
        set(path, value, first_span(&[path.span, facts.span]), "is a default of the user's");
    }
    let wish = Wish::new(facts.part.clone(), facts.span);
    if facts.forwards() {
        let reason = "lets the node forward packets";
        table.sysctl(&space, "net/ipv4/ip_forward", "1", &wish, reason, report);
        table.sysctl(&space, "net/ipv6/conf/all/forwarding", "1", &wish, reason, report);
    } else {
        // A new namespace copies this from the host, where container engines turn it on.
        let reason = "keeps the node from forwarding packets";
        table.sysctl(&space, "net/ipv4/ip_forward", "0", &wish, reason, report);
    }
    let ways = inventory.devices_in(&space).filter(|(_, device)| !device.addresses.is_empty()).count();
    if ways > 1 || facts.forwards() || !facts.node.rules.is_empty() {
        // Copied from the host as well. A node with several ways may answer by another one than it was
        // asked by, which the strict check takes for a forged source.
        for scope in ["all", "default"] {
            let path = format!("net/ipv4/conf/{scope}/rp_filter");
            table.sysctl(&space, &path, "0", &wish, "lets packets come and go by different ways", report);
        }
    }
}

/// `net.ipv4.ip_forward`, `net/ipv4/ip_forward` or `/proc/sys/net/ipv4/ip_forward` with slashes.
fn path_of(text: &str) -> String {
    let text = text.trim();
    if text.contains('/') {
        text.strip_prefix("/proc/sys/").unwrap_or(text).trim_matches('/').to_owned()
    } else {
        text.replace('.', "/")
    }
}

fn processes(space: &Space, facts: &NodeFacts<'_>, table: &mut Table, report: &mut Report<'_>) {
    let mut names: BTreeSet<Arc<str>> = facts
        .node
        .run
        .iter()
        .filter_map(|command| command.name.as_ref())
        .map(|name| name.as_str().into())
        .collect();
    for command in &facts.node.run {
        let name: Arc<str> = match &command.name {
            Some(name) => name.as_str().into(),
            None => {
                let program = command.command.first().map_or("", String::as_str);
                let file = program.rsplit('/').next().filter(|file| !file.is_empty()).unwrap_or("command");
                let numbered = (2u32..).map(|number| Arc::from(format!("{file}-{number}")));
                let free =
                    std::iter::once(Arc::from(file)).chain(numbered).find(|name| !names.contains(name));
                let Some(name) = free else { continue };
                names.insert(Arc::clone(&name));
                name
            }
        };
        let process = Process {
            command: command.command.clone(),
            environment: command.environment.clone(),
            directory: command.directory.clone(),
        };
        let wish = Wish::new(facts.part.clone(), first_span(&[command.span, facts.span]));
        let key = Key::Process { space: space.clone(), name };
        table.want(key, Spec::Process(process), &wish, "runs as long as the node is up", report);
    }
}

#[cfg(test)]
mod tests {
    use super::path_of;

    #[test]
    fn paths_of_sysctls() {
        assert_eq!(path_of("net.ipv4.ip_forward"), "net/ipv4/ip_forward");
        assert_eq!(path_of("/proc/sys/net/ipv4/ip_forward"), "net/ipv4/ip_forward");
        assert_eq!(path_of("net/ipv4/conf/eth0.10/rp_filter"), "net/ipv4/conf/eth0.10/rp_filter");
    }
}
