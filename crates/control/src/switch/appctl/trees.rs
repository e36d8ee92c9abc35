//! `rstp/...` and `stp/...`: spanning trees. There is one kind, which `rstp/show` tells about.

use super::super::state::Switch;
use super::stations::some;
use crate::unixctl::Commands;
use netloom_vswitch::rstp::{Role, State};
use std::fmt::Write;

const NO_RSTP: &str = "No such RSTP object";
const NO_STP: &str = "no such stp object";

pub(super) fn add(commands: &mut Commands<Switch>) {
    commands.add("rstp/show", "[bridge]", 0, 1, |switch, arguments| {
        let mut text = String::new();
        for name in some(switch, arguments.first()).map_err(|_| NO_RSTP)? {
            match (show(switch, &name), arguments.is_empty()) {
                (Some(tree), _) => text.push_str(&tree),
                (None, true) => {}
                (None, false) => return Err(NO_RSTP.to_owned()),
            }
        }
        Ok(text)
    });
    // There is no tree of the old kind: whoever names one is told so, and among all there is none.
    commands.add("stp/show", "[bridge]", 0, 1, |_, arguments| match arguments.is_empty() {
        true => Ok(String::new()),
        false => Err(NO_STP.to_owned()),
    });
}

fn role(state: State) -> &'static str {
    match state.role {
        Role::Disabled => "Disabled",
        Role::Root => "Root",
        Role::Designated => "Designated",
        Role::Alternate => "Alternate",
        Role::Backup => "Backup",
    }
}

fn work(state: State) -> &'static str {
    match state {
        State { forwarding: true, .. } => "Forwarding",
        State { learning: true, .. } => "Learning",
        State { role: Role::Disabled, .. } => "Disabled",
        State { .. } => "Discarding",
    }
}

fn show(switch: &Switch, name: &str) -> Option<String> {
    let bridges = switch.bridges.lock();
    let bridge = bridges.by_name.get(name)?;
    let tree = bridge.tree()?;
    let own = tree.options();
    let (root, cost) = tree.root();
    let (hello, max_age, delay) = tree.root_times();
    let is_root = root == own.bridge;
    let rows: Vec<(u32, String, State, u32, u8)> = bridge
        .ports()
        .values()
        .filter_map(|port| {
            let options = tree.port_options(port.number)?;
            Some((port.number, port.name.clone(), tree.state(port.number)?, options.cost, options.priority))
        })
        .collect();
    let lead = tree.root_port().and_then(|number| bridge.ports().get(&number)).map(|port| port.name.clone());
    let times = |text: &mut String, priority: u16, system: String, [hello, max_age, delay]: [u16; 3]| {
        // A string takes whatever is written.
        let _ = write!(
            text,
            "  stp-priority    {priority}\n  stp-system-id   {system}\n  stp-hello-time  {hello}s\n  \
             stp-max-age     {max_age}s\n  stp-fwd-delay   {delay}s\n"
        );
    };
    let mut text = format!("---- {name} ----\nRoot ID:\n");
    times(&mut text, root.priority, root.address.to_string(), [hello, max_age, delay]);
    match is_root {
        true => text.push_str("  This bridge is the root\n"),
        false => {
            let _ =
                writeln!(text, "  root-port       {}\n  root-path-cost  {cost}", lead.unwrap_or_default());
        }
    }
    text.push_str("\nBridge ID:\n");
    times(
        &mut text,
        own.bridge.priority,
        own.bridge.address.to_string(),
        [own.hello, own.max_age, own.forward_delay],
    );
    let _ = writeln!(
        text,
        "\n  {:<10} {:<10} {:<10} {:<8} {:<8}\n  ---------- ---------- ---------- -------- -------",
        "Interface", "Role", "State", "Cost", "Pri.Nbr"
    );
    for (number, name, state, cost, priority) in rows {
        let _ = writeln!(
            text,
            "  {name:<10} {:<10} {:<10} {cost:<8} {priority}.{number}",
            role(state),
            work(state)
        );
    }
    text.push('\n');
    Some(text)
}
