//! The scene as it is now: the kernel's picture, and what the switch daemon tells.

use super::scene::{BehindPort, PortScene, Scene, SwitchScene};
use crate::machine::named;
use crate::switch::{GONE, NOT_OPEN, PortStatus, Reply, Request, SwitchSocket, ask};
use netloom_compile::object::LinkRef;
use netloom_kernel::{Kernel, KernelError};
use std::collections::BTreeMap;

/// Looks at everything. A daemon that does not run is a switch that does not.
///
/// # Errors
/// When a namespace can't be looked at.
pub fn look(kernel: &Kernel, socket: &SwitchSocket) -> Result<Scene, KernelError> {
    let picture = kernel.picture()?;
    let mut switches = BTreeMap::new();
    let prefix = format!("{}.", picture.topology);
    if let Ok(Reply::Switches(list)) = ask(socket, &Request::SwitchList) {
        for status in list.into_iter().filter(|status| status.name.starts_with(&prefix)) {
            let ports = match ask(socket, &Request::PortList { switch: Some(status.name.clone()) }) {
                Ok(Reply::Ports(ports)) => {
                    ports.into_iter().map(|port| (port.name.clone(), port_of(&port))).collect()
                }
                _ => BTreeMap::new(),
            };
            let stations = match ask(socket, &Request::FdbList { switch: status.name.clone() }) {
                Ok(Reply::Stations(stations)) => stations
                    .into_iter()
                    // Who asks by ARP is heard again: only what is fixed stays where it is.
                    .filter(|station| station.age.is_none())
                    .filter_map(|station| Some((station.vlan, station.mac.parse().ok()?, station.port)))
                    .collect(),
                _ => Vec::new(),
            };
            let scene = SwitchScene { options: status.options, ports, stations, running: true };
            switches.insert(status.name, scene);
        }
    }
    Ok(Scene { picture, switches, daemon: Some(socket.clone()) })
}

fn port_of(status: &PortStatus) -> PortScene {
    let option = |name: &str| status.options.get(name).map(String::as_str);
    let at: Option<LinkRef> = named::place(&status.options);
    let behind = match (option("type"), at) {
        (Some("tap"), Some(at)) => BehindPort::Tap(at),
        (Some("afpacket" | "afxdp"), Some(at)) => BehindPort::Interface(at),
        (Some("vhost-user"), Some(at)) => BehindPort::Machine(at),
        (Some("patch"), _) => {
            option("peer").map_or(BehindPort::Other, |peer| BehindPort::Patch(peer.to_owned()))
        }
        _ => BehindPort::Other,
    };
    let open = !status.state.starts_with(GONE) && status.state != NOT_OPEN;
    let closed = status.tree.contains("discarding") || status.tree.contains("blocking");
    // Options of the driver say nothing to the bridge.
    PortScene { number: status.number, options: status.options.clone(), behind, up: open && !closed }
}
