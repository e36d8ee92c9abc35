//! `vm`: the virtual machines of a topology, and how to start each on its networks.
//!
//! What: Netloom makes the sockets; who starts the machine needs to know them. `show` says it in the forms that QEMU, libvirt
//! and cloud-init take. The addresses are those that the networks gave: the machine has to be told them.

use super::{running, select, session};
use crate::cli::{Output, VmCommand};
use crate::failure::Failure;
use crate::output::{Printer, Tone, put};
use ipnet::IpNet;
use netloom_compile::InterfaceFacts;
use netloom_compile::object::{Behind, Key, LinkRef, Socket, Space, Spec};
use netloom_control::machine::{Machine, socket_path};
use netloom_control::realm::Realm;
use netloom_wire::NodeName;
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

/// First version of QEMU that takes the time between two attempts to connect in milliseconds, and only so from 11 on.
const MILLISECONDS: (u32, u32) = (9, 2);
/// Frames that wait in a queue of the machine's network card: the most that QEMU takes.
const QUEUE_SIZE: u32 = 1024;

/// An interface of a virtual machine.
#[derive(Debug, Serialize)]
struct Nic {
    name: String,
    network: Option<NodeName>,
    mac: String,
    mtu: Option<u32>,
    addresses: Vec<IpNet>,
    gateways: Vec<IpAddr>,
    queues: u32,
    socket: PathBuf,
    /// The machine makes the socket.
    machine_listens: bool,
    /// `up`, or what keeps it from that.
    state: String,
}

/// A virtual machine.
#[derive(Debug, Serialize)]
struct Guest {
    topology: NodeName,
    name: NodeName,
    interfaces: Vec<Nic>,
}

/// What is said of a machine to programs.
#[derive(Debug, Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    guest: &'a Guest,
    qemu: Vec<String>,
    libvirt: String,
    /// For the command line of a Linux kernel.
    kernel: Option<String>,
}

/// Runs a command.
///
/// # Errors
/// When no such machine is part of a topology that is up.
pub fn run(realm: &Realm, printer: &Printer, command: &VmCommand) -> Result<u8, Failure> {
    match command {
        VmCommand::List(topology) => {
            let names = match &topology.topology {
                Some(_) => vec![select::topology(realm, topology.topology.as_deref())?],
                None => select::topologies(realm)?,
            };
            let mut all = Vec::new();
            for name in &names {
                all.extend(guests(realm, name)?);
            }
            list(printer, &all)
        }
        VmCommand::Show { node, topology, memory, qemu } => {
            let guest = find(realm, node, topology.topology.as_deref())?;
            let version = version(qemu)?;
            show(printer, &guest, memory, version)
        }
    }
}

fn version(text: &str) -> Result<(u32, u32), Failure> {
    let mut parts = text.split('.').map(str::parse);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Ok((major, minor)),
        (Some(Ok(major)), None) => Ok((major, 0)),
        _ => Err(Failure::new(format!("`--qemu {text}` is no version")).help("write it like 8.2")),
    }
}

/// Why nobody answers in a virtual machine, if so.
pub fn absence(machine: &Machine, node: &NodeName) -> Option<String> {
    let states = machine.machine_states().unwrap_or_default();
    let mut own = states.iter().filter(|(at, _)| at.space == Space::Node(node.clone())).peekable();
    let absent = own.peek().is_none();
    match own.find(|(_, state)| *state != "up") {
        Some((at, state)) => Some(format!("virtual machine {node} is not there: {}: {state}", at.name)),
        None if absent => Some(format!("virtual machine {node} is not there")),
        None => None,
    }
}

/// The virtual machines of a topology that is up.
fn guests(realm: &Realm, topology: &str) -> Result<Vec<Guest>, Failure> {
    let running = running::load(realm, topology)?;
    let machine = session::machine(realm, &running.name)?;
    let states = machine.machine_states().map_err(Failure::new)?;
    let mut found: BTreeMap<NodeName, Vec<Nic>> = BTreeMap::new();
    for facts in running.compiled.interfaces.iter().filter(|facts| facts.is_machine()) {
        let Space::Node(node) = &facts.at.space else { continue };
        let key = Key::SwitchPort { space: facts.at.space.clone(), link: facts.at.name.clone() };
        let spec = running.compiled.desired.objects.get(&key).map(|object| &object.spec);
        let Some(Spec::SwitchPort(port)) = spec else { continue };
        let Behind::Socket(socket) = &port.behind else { continue };
        let directory = super::switchd::of_realm(realm);
        let path = socket_path(&directory, &running.name, node, &facts.at.name, socket);
        found.entry(node.clone()).or_default().push(nic(facts, socket, path, &states));
    }
    let named = |(name, interfaces)| Guest { topology: running.name.clone(), name, interfaces };
    Ok(found.into_iter().map(named).collect())
}

fn nic(facts: &InterfaceFacts, socket: &Socket, path: PathBuf, states: &BTreeMap<LinkRef, String>) -> Nic {
    Nic {
        name: facts.at.name.to_string(),
        network: facts.network.clone(),
        mac: facts.mac.map(|mac| mac.to_string()).unwrap_or_default(),
        mtu: facts.mtu,
        addresses: facts.addresses.clone(),
        gateways: facts.gateways.clone(),
        queues: socket.queues,
        socket: path,
        machine_listens: !socket.listens,
        state: states.get(&facts.at).cloned().unwrap_or_else(|| "not there".to_owned()),
    }
}

/// The machine that is meant by NODE or TOPOLOGY.NODE.
fn find(realm: &Realm, node: &str, wanted: Option<&str>) -> Result<Guest, Failure> {
    let up = select::topologies(realm)?;
    let (topologies, node) = match node.split_once('.') {
        Some((prefix, rest)) if wanted.is_none() && up.iter().any(|name| name == prefix) => {
            (vec![prefix.to_owned()], rest)
        }
        _ if wanted.is_some() => (vec![select::topology(realm, wanted)?], node),
        _ => (up, node),
    };
    let mut all = Vec::new();
    for topology in &topologies {
        all.extend(guests(realm, topology)?);
    }
    let names: Vec<String> = all.iter().map(|guest| guest.name.to_string()).collect();
    let mut meant = all.into_iter().filter(|guest| guest.name.as_str() == node);
    match (meant.next(), meant.next()) {
        (Some(one), None) => Ok(one),
        (Some(one), Some(other)) => Err(Failure::new(format!("several topologies have a machine `{node}`"))
            .help(format!("write {}.{node} or {}.{node}", one.topology, other.topology))),
        (None, _) => {
            let what = format!("no virtual machine `{node}` is part of what is up");
            let help = if names.is_empty() {
                "a node with `kind: vm` is one: see docs/virtual-machines.md".to_owned()
            } else {
                select::near(&names, node)
            };
            Err(Failure::new(what).help(help))
        }
    }
}

fn words<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn list(printer: &Printer, guests: &[Guest]) -> Result<u8, Failure> {
    if printer.is_machine() {
        printer.machine(&guests)?;
        return Ok(0);
    }
    if guests.is_empty() {
        put("no virtual machine is part of what is up\n")?;
        return Ok(0);
    }
    let mut table =
        printer.table(&["machine", "interface", "network", "addresses", "mac", "state", "socket"]);
    for guest in guests {
        for nic in &guest.interfaces {
            let tone = if nic.state == "up" { Tone::Good } else { Tone::Warn };
            table.add_row([
                printer.cell(Tone::Strong, format!("{}.{}", guest.topology, guest.name)),
                printer.cell(Tone::Plain, &nic.name),
                printer.cell(Tone::Plain, words(nic.network.as_slice())),
                printer.cell(Tone::Plain, words(&nic.addresses)),
                printer.cell(Tone::Dim, &nic.mac),
                printer.cell(tone, &nic.state),
                printer.cell(Tone::Dim, nic.socket.display()),
            ]);
        }
    }
    printer.print_table(&table)?;
    Ok(0)
}

fn show(printer: &Printer, guest: &Guest, memory: &str, version: (u32, u32)) -> Result<u8, Failure> {
    let arguments = qemu(guest, memory, version);
    match printer.output {
        Output::Qemu => put(&command_line(&arguments))?,
        Output::Libvirt => put(&libvirt(guest))?,
        Output::CloudInit => {
            Printer { output: Output::Yaml, ..*printer }.machine(&cloud_init(guest))?;
        }
        Output::Json | Output::Yaml => {
            let report =
                Report { guest, qemu: arguments, libvirt: libvirt(guest), kernel: kernel_parameter(guest) };
            printer.machine(&report)?;
        }
        Output::Table | Output::Wide | Output::Tree => {
            list(printer, std::slice::from_ref(guest))?;
            let heading = |text: &str| printer.paint(Tone::Strong, text);
            put(&format!("\n{}\n{}", heading("QEMU (-o qemu)"), command_line(&arguments)))?;
            put(&format!("\n{}\n{}", heading("libvirt (-o libvirt)"), libvirt(guest)))?;
            if let Some(parameter) = kernel_parameter(guest) {
                let heading = heading("for the guest (-o cloud-init, or on its kernel's command line)");
                put(&format!("\n{heading}\n{parameter}\n"))?;
            }
        }
    }
    Ok(0)
}

/// The arguments by which QEMU is on the machine's networks. Its memory is shared, since the switch reads and writes frames
/// where the guest has them.
fn qemu(guest: &Guest, memory: &str, version: (u32, u32)) -> Vec<String> {
    let mut all: Vec<String> = [
        "-m",
        memory,
        "-object",
        &format!("memory-backend-memfd,id=memory,size={memory},share=on"),
        "-machine",
        "memory-backend=memory",
    ]
    .map(str::to_owned)
    .into();
    for (number, nic) in guest.interfaces.iter().enumerate() {
        // A comma in a value is written twice.
        let path = nic.socket.display().to_string().replace(',', ",,");
        let way = match (nic.machine_listens, version >= MILLISECONDS) {
            (true, _) => "server=on,wait=off",
            (false, true) => "reconnect-ms=1000",
            (false, false) => "reconnect=1",
        };
        let queues = nic.queues;
        let several = if queues > 1 {
            // One vector for each queue, one for changes of the configuration, one for control.
            format!(",mq=on,vectors={}", 2 * queues + 2)
        } else {
            String::new()
        };
        let mtu = nic.mtu.map(|mtu| format!(",host_mtu={mtu}")).unwrap_or_default();
        all.extend([
            "-chardev".to_owned(),
            format!("socket,id=char{number},path={path},{way}"),
            "-netdev".to_owned(),
            format!("vhost-user,id=net{number},chardev=char{number},queues={queues}"),
            "-device".to_owned(),
            format!(
                "virtio-net-pci,netdev=net{number},mac={},mrg_rxbuf=on,rx_queue_size={QUEUE_SIZE},tx_queue_size={QUEUE_SIZE}{mtu}{several}",
                nic.mac
            ),
        ]);
    }
    all
}

/// Arguments for a shell, an option with its value in each line.
fn command_line(arguments: &[String]) -> String {
    let plain = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./,=:+@".contains(c));
    let quoted = |text: &String| match plain(text) {
        true => text.clone(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    };
    let lines: Vec<String> =
        arguments.chunks(2).map(|pair| pair.iter().map(quoted).collect::<Vec<_>>().join(" ")).collect();
    lines.join(" \\\n") + "\n"
}

/// Text inside an attribute.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('\'', "&apos;").replace('"', "&quot;")
}

/// Elements of a libvirt domain: shared memory for `<domain>`, interfaces for `<devices>`.
fn libvirt(guest: &Guest) -> String {
    let mut text = "<!-- in <domain> -->\n<memoryBacking>\n  <source type='memfd'/>\n  <access mode='shared'/>\n</memoryBacking>\n<!-- in <devices> -->\n".to_owned();
    for nic in &guest.interfaces {
        let path = escaped(&nic.socket.display().to_string());
        let source = if nic.machine_listens {
            format!("  <source type='unix' path='{path}' mode='server'/>\n")
        } else {
            format!(
                "  <source type='unix' path='{path}' mode='client'>\n    <reconnect enabled='yes' timeout='1'/>\n  </source>\n"
            )
        };
        let mtu = nic.mtu.map(|mtu| format!("  <mtu size='{mtu}'/>\n")).unwrap_or_default();
        let queues = if nic.queues > 1 { format!(" queues='{}'", nic.queues) } else { String::new() };
        text.push_str(&format!(
            "<interface type='vhostuser'>\n  <mac address='{}'/>\n{source}  <model type='virtio'/>\n  <driver name='vhost'{queues} rx_queue_size='{QUEUE_SIZE}' tx_queue_size='{QUEUE_SIZE}'/>\n{mtu}</interface>\n",
            nic.mac
        ));
    }
    text
}

/// Network configuration, version 2, as cloud-init and netplan read it.
fn cloud_init(guest: &Guest) -> serde_json::Value {
    let nic = |nic: &Nic| {
        let route = |gateway: &IpAddr| {
            let to = if gateway.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
            serde_json::json!({ "to": to, "via": gateway })
        };
        let mut value = serde_json::json!({
            "match": { "macaddress": nic.mac },
            "set-name": nic.name,
            "dhcp4": false,
            "dhcp6": false,
            "addresses": nic.addresses,
        });
        if let Some(mtu) = nic.mtu {
            value["mtu"] = mtu.into();
        }
        if !nic.gateways.is_empty() {
            value["routes"] = nic.gateways.iter().map(route).collect();
        }
        (nic.name.clone(), value)
    };
    let all: serde_json::Map<_, _> = guest.interfaces.iter().map(nic).collect();
    serde_json::json!({ "version": 2, "ethernets": all })
}

/// `ip=ADDRESS::GATEWAY:MASK:NAME:DEVICE:off` for the first interface with an IPv4 address (the kernel's
/// Documentation/admin-guide/nfs/nfsroot.rst).
fn kernel_parameter(guest: &Guest) -> Option<String> {
    guest.interfaces.iter().find_map(|nic| {
        let address = nic.addresses.iter().find(|address| address.addr().is_ipv4())?;
        let gateway = nic.gateways.iter().find(|gateway| gateway.is_ipv4());
        let gateway = gateway.map(ToString::to_string).unwrap_or_default();
        Some(format!(
            "ip={}::{gateway}:{}:{}:{}:off",
            address.addr(),
            address.netmask(),
            guest.name,
            nic.name
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest(listens: bool, queues: u32) -> Guest {
        let nic = Nic {
            name: "eth0".to_owned(),
            network: Some("lan".parse().unwrap()),
            mac: "02:00:00:00:00:01".to_owned(),
            mtu: Some(1400),
            addresses: vec!["fd00::5/64".parse().unwrap(), "10.0.0.5/24".parse().unwrap()],
            gateways: vec!["10.0.0.1".parse().unwrap()],
            queues,
            socket: "/run/a,b 'c'.sock".into(),
            machine_listens: listens,
            state: "up".to_owned(),
        };
        Guest { topology: "t".parse().unwrap(), name: "guest".parse().unwrap(), interfaces: vec![nic] }
    }

    #[test]
    fn the_words_that_others_take() {
        let text = command_line(&qemu(&guest(false, 1), "1G", (10, 0)));
        assert!(
            text.contains("-m 1G \\\n-object memory-backend-memfd,id=memory,size=1G,share=on \\\n"),
            "{text}"
        );
        assert!(
            text.contains(r"'socket,id=char0,path=/run/a,,b '\''c'\''.sock,reconnect-ms=1000'"),
            "{text}"
        );
        assert!(text.ends_with("tx_queue_size=1024,host_mtu=1400\n") && !text.contains("vectors"), "{text}");
        assert!(command_line(&qemu(&guest(false, 1), "1G", (8, 2))).contains("reconnect=1"));
        let text = command_line(&qemu(&guest(true, 4), "1G", (8, 2)));
        assert!(text.contains("server=on,wait=off") && text.contains("mq=on,vectors=10"), "{text}");
        let text = libvirt(&guest(true, 4));
        assert!(text.contains("path='/run/a,b &apos;c&apos;.sock' mode='server'/>"), "{text}");
        assert!(
            text.contains("queues='4'") && libvirt(&guest(false, 1)).contains("mode='client'>"),
            "{text}"
        );
        assert_eq!(
            kernel_parameter(&guest(false, 1)).unwrap(),
            "ip=10.0.0.5::10.0.0.1:255.255.255.0:guest:eth0:off"
        );
        let routes = &cloud_init(&guest(false, 1))["ethernets"]["eth0"]["routes"];
        assert_eq!(routes, &serde_json::json!([{ "to": "0.0.0.0/0", "via": "10.0.0.1" }]));
        assert!(version("8").is_ok() && version("8.2.1").is_ok() && version("new").is_err());
    }
}
