//! A switch of dummy ports whose time stands still, and collectors.

use crate::place::{Place, until};
use std::io::Write;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

fn real(name: &str) -> Option<PathBuf> {
    let places = ["/usr/bin", "/usr/sbin"];
    places.iter().map(|place| Path::new(place).join(name)).find(|path| path.exists())
}

/// A switch with the bridge `br0` and the ports `p1` to `p3`.
pub struct Switch {
    pub place: Place,
    vsctl: PathBuf,
}

impl Switch {
    /// Nothing without the real `ovs-vsctl`, which is said.
    pub fn start(name: &str) -> Option<Self> {
        let Some(vsctl) = real("ovs-vsctl") else {
            netloom_testkit::skip!("Open vSwitch's tools are not installed");
            return None;
        };
        let place = Place::new(name);
        place.database();
        place.switch(&["--enable-dummy", "--disable-system"]);
        let switch = Self { place, vsctl };
        let bridge = "add-br br0 -- set bridge br0 datapath-type=dummy fail-mode=standalone \
                      other-config:hwaddr=aa:55:aa:55:00:00";
        let port =
            |n: u8| format!("-- add-port br0 p{n} -- set Interface p{n} type=dummy ofport_request={n}");
        switch.vsctl(&format!("{bridge} {} {} {}", port(1), port(2), port(3)));
        switch.ask("time/stop", &[]);
        Some(switch)
    }

    #[track_caller]
    pub fn vsctl(&self, words: &str) -> String {
        let output = self
            .place
            .command(&self.vsctl)
            .arg("--timeout=20")
            .args(words.split_whitespace())
            .output()
            .unwrap();
        assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// What `ovs-ofctl` says.
    pub fn ofctl(&self, words: &[&str]) -> String {
        let output = self.place.command("ovs-ofctl").args(words).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    pub fn ask(&self, command: &str, arguments: &[&str]) -> String {
        self.place.ask(command, arguments).unwrap()
    }

    /// Puts time forward, in milliseconds.
    pub fn warp(&self, milliseconds: u32) {
        self.ask("time/warp", &[&milliseconds.to_string(), "500"]);
    }

    /// Has a port receive a packet, and waits until it has.
    pub fn receive(&self, port: &str, packet: &str) {
        self.ask("netdev-dummy/receive", &[port, packet]);
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.place.path.join("ovs-vswitchd.log")).unwrap()
    }
}

/// A packet of IPv4 in the words of the data path: from station `a` (its last octet) to `b`, through a port.
pub fn packet(port: u8, (a, b): (u8, u8), rest: &str) -> String {
    format!(
        "in_port({port}),eth(src=50:54:00:00:00:{a:02x},dst=50:54:00:00:00:{b:02x}),eth_type(0x0800),\
         ipv4(src=192.168.0.{a},dst=192.168.0.{b},{rest}"
    )
}

/// Whoever is told.
pub struct Collector {
    socket: UdpSocket,
    pub heard: Vec<Vec<u8>>,
}

impl Collector {
    pub fn new(address: &str) -> Self {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        Self { socket, heard: Vec::new() }
    }

    /// Where it is, as in a row.
    pub fn target(&self) -> String {
        format!("\"{}\"", self.socket.local_addr().unwrap())
    }

    pub fn listen(&mut self) {
        let mut octets = [0; 65536];
        while let Ok(count) = self.socket.recv(&mut octets) {
            self.heard.push(octets[..count].to_vec());
        }
    }

    /// Listens until enough was heard.
    #[track_caller]
    pub fn until(&mut self, what: &str, enough: impl Fn(&[Vec<u8>]) -> bool) {
        until(what, || {
            self.listen();
            enough(&self.heard)
        });
    }
}

/// What a script in Python says about datagrams, which it gets line by line as hexadecimal digits; none without scapy.
pub fn scapy(script: &str, datagrams: &[Vec<u8>]) -> Option<String> {
    let python = Path::new("/usr/bin/python3");
    let has = |module: &str| {
        let mut command = Command::new(python);
        command.args(["-c", &format!("import {module}")]).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if !has("scapy.layers.netflow") {
        netloom_testkit::skip!("scapy is not installed");
        return None;
    }
    let mut command = Command::new(python);
    command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    for datagram in datagrams {
        let line: String = datagram.iter().map(|octet| format!("{octet:02x}")).collect();
        writeln!(input, "{line}").unwrap();
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

/// What tcpdump prints about datagrams to a port; none without it.
pub fn tcpdump(port: u16, datagrams: &[Vec<u8>]) -> Option<String> {
    // A file of raw IP packets (link type 101).
    let mut file: Vec<u8> = [0xa1b2_c3d4_u32, 0x0002_0004, 0, 0, 65535, 101].map(u32::to_be_bytes).concat();
    for datagram in datagrams {
        let length = 28 + datagram.len();
        file.extend([1, 0, length as u32, length as u32].map(u32::to_be_bytes).concat());
        let mut packet = vec![0x45, 0];
        packet.extend((length as u16).to_be_bytes());
        packet.extend([0, 0, 0, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1]);
        packet.extend([port, port, length as u16 - 20, 0].map(u16::to_be_bytes).concat());
        file.extend(packet);
        file.extend(datagram);
    }
    let mut command = Command::new("tcpdump");
    command.args(["-n", "-vv", "-r", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        netloom_testkit::skip!("no tcpdump");
        return None;
    };
    let mut input = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || input.write_all(&file));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}
