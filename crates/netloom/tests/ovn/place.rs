//! OVN with Netloom's switch: databases, daemons, hypervisors in namespaces, machines behind them.

use super::nodes;
use netloom_testkit::rig::Rig;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The programs of OVN and where its schemas are (Debian's `ovn-central`, `ovn-host`).
const PROGRAMS: [&str; 6] =
    ["ovn-northd", "ovn-controller", "ovn-nbctl", "ovn-sbctl", "ovsdb-server", "ovs-vsctl"];
const SCHEMAS: &str = "/usr/share/ovn";
const PATIENCE: Duration = Duration::from_secs(40);

/// Asks for a lease (Scapy) and prints the address that is offered.
const ASK: &str = "
from scapy.all import *
conf.checkIPaddr = False
mac = get_if_hwaddr('eth0')
ask = Ether(src=mac, dst='ff:ff:ff:ff:ff:ff') / IP(src='0.0.0.0', dst='255.255.255.255') / UDP(sport=68, dport=67)
ask /= BOOTP(chaddr=bytes.fromhex(mac.replace(':', '')), xid=7) / DHCP(options=[('message-type', 'discover'), 'end'])
answer = srp1(ask, iface='eth0', timeout=4, retry=3, verbose=0)
print(answer[BOOTP].yiaddr if answer else 'no answer')
";

/// OVN's databases and daemons.
pub struct Ovn<'a> {
    pub rig: &'a Rig,
    at: PathBuf,
    children: Vec<Child>,
}

impl Drop for Ovn<'_> {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The words of a line; what stands in single quotes is one.
fn words(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for (place, part) in line.split('\'').enumerate() {
        if place % 2 == 1 {
            words.push(part);
        } else {
            words.extend(part.split_whitespace());
        }
    }
    words
}

#[track_caller]
pub fn until(what: &str, mut is: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl<'a> Ovn<'a> {
    pub fn start(rig: &'a Rig) -> Self {
        let mut ovn = Self { rig, at: rig.state_dir.clone(), children: Vec::new() };
        for (name, schema) in [("nb", "ovn-nb.ovsschema"), ("sb", "ovn-sb.ovsschema")] {
            let file = ovn.path(&format!("{name}.db"));
            ovn.ok("ovsdb-tool", &["create", &file, &format!("{SCHEMAS}/{schema}")]);
            let remote = format!("--remote=punix:{}", ovn.path(&format!("{name}.sock")));
            let control = format!("--unixctl={}", ovn.path(&format!("{name}.ctl")));
            ovn.spawn(None, "ovsdb-server", &[&file, &remote, &control], None);
            let socket = ovn.at.join(format!("{name}.sock"));
            until("a database is served", || socket.exists());
        }
        ovn.nb("init");
        ovn.ok("ovn-sbctl", &[&ovn.database("sb"), "init"]);
        let [north, south] = ["nb", "sb"].map(|name| format!("unix:{}", ovn.path(&format!("{name}.sock"))));
        let control = format!("--unixctl={}", ovn.path("northd.ctl"));
        let databases = [format!("--ovnnb-db={north}"), format!("--ovnsb-db={south}")];
        ovn.spawn(None, "ovn-northd", &[&databases[0], &databases[1], &control], None);
        ovn
    }

    fn path(&self, name: &str) -> String {
        self.at.join(name).to_string_lossy().into_owned()
    }

    fn database(&self, name: &str) -> String {
        format!("--db=unix:{}", self.path(&format!("{name}.sock")))
    }

    fn spawn(&mut self, namespace: Option<&str>, program: &str, arguments: &[&str], run: Option<&Path>) {
        let log = std::fs::File::create(self.rig.log_dir.join(format!("{}", self.children.len()))).unwrap();
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        command.env("OVS_RUNDIR", run.unwrap_or(&self.at)).env("OVN_RUNDIR", run.unwrap_or(&self.at));
        let child = match namespace {
            Some(namespace) => self.rig.within(namespace, || command.spawn().unwrap()),
            None => command.spawn().unwrap(),
        };
        self.children.push(child);
    }

    fn ok(&self, program: &str, arguments: &[&str]) -> String {
        let done = self.rig.run(program, arguments).unwrap();
        assert!(done.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    /// A command of `ovn-nbctl`, which need not have taken effect when it ends.
    pub fn ask(&self, line: &str) -> String {
        self.ok("ovn-nbctl", &[&[&*self.database("nb"), "--timeout=40"][..], &words(line)].concat())
    }

    /// A command of `ovn-nbctl`, which has taken effect everywhere when it ends.
    pub fn nb(&self, line: &str) -> String {
        let database = self.database("nb");
        let wait = if self.children.len() > 3 { "--wait=hv" } else { "--no-wait" };
        self.ok("ovn-nbctl", &[&[&database, "--timeout=40", wait][..], &words(line)].concat())
    }

    pub fn vsctl(&self, hypervisor: &str, line: &str) -> String {
        let database = format!("--db=unix:{}", self.path(&format!("{hypervisor}/db.sock")));
        self.ok("ovs-vsctl", &[&[&database, "--timeout=20"][..], &words(line)].concat())
    }

    /// A command of `ip`, in a namespace if its name and a colon come first; `@name` is where a namespace is.
    pub fn ip(&self, line: &str) {
        let (namespace, line) = line.split_once(": ").map_or((None, line), |(name, line)| (Some(name), line));
        let path = |word: &str| match word.strip_prefix('@') {
            Some(name) => self.rig.netns_dir.join(name).to_string_lossy().into_owned(),
            None => word.to_owned(),
        };
        let words: Vec<String> = line.split_whitespace().map(path).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let done = match namespace {
            Some(name) => self.rig.run_in(name, "ip", &words),
            None => self.rig.run("ip", &words),
        };
        let done = done.expect("ip is there");
        assert!(done.status.success(), "ip {line}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// A hypervisor: Netloom's switch and OVN's controller.
    pub fn hypervisor(&mut self, name: &str, address: &str) {
        let directory = self.at.join(name);
        std::fs::create_dir(&directory).unwrap();
        let path = self.path(name);
        self.spawn(Some(name), env!("CARGO_BIN_EXE_netloom"), &["--run", &path, "switchd"], None);
        until("the switch is there", || directory.join("db.sock").exists());
        let south = self.path("sb.sock");
        self.vsctl(
            name,
            &format!(
                "set open . external-ids:system-id={name} external-ids:ovn-remote=unix:{south} \
                 external-ids:ovn-encap-type=geneve external-ids:ovn-encap-ip={address}"
            ),
        );
        self.spawn(
            Some(name),
            "ovn-controller",
            &[&format!("unix:{path}/db.sock"), "-vconsole:info"],
            Some(&directory),
        );
    }

    /// A machine on a logical switch.
    pub fn machine(&self, name: &str, hypervisor: &str, switch: &str, number: u8, address: &str) {
        let gateway = address.rsplit_once('.').unwrap().0.to_owned() + ".254";
        let mac = format!("02:00:00:00:00:{number:02x}");
        nodes::namespace(self.rig, name).unwrap();
        for line in [
            format!("link add p{name} netns @{hypervisor} type veth peer name eth0 netns @{name}"),
            format!("{hypervisor}: link set p{name} up"),
            format!("{name}: link set eth0 address {mac} up"),
            format!("{name}: link set lo up"),
            format!("{name}: addr add {address}/24 dev eth0"),
            format!("{name}: route add default via {gateway}"),
        ] {
            self.ip(&line);
        }
        self.ask(&format!("lsp-add {switch} {name} -- lsp-set-addresses {name} '{mac} {address}'"));
        self.vsctl(
            hypervisor,
            &format!("add-port br-int p{name} -- set interface p{name} external_ids:iface-id={name}"),
        );
    }

    pub fn pings(&self, from: &str, to: &str) -> bool {
        let words = ["-c", "2", "-i", "0.2", "-W", "1", to];
        let done = self.rig.run_in(from, "ping", &words).unwrap();
        String::from_utf8_lossy(&done.stdout).contains(" 2 received")
    }

    /// Who answers connections to an address: the names that they say, and by which address they were called.
    pub fn callers(&self, from: &str, to: &str, times: usize) -> Vec<String> {
        let to: std::net::SocketAddr = to.parse().unwrap();
        self.rig.within(from, || {
            let call = |_| {
                use std::io::Read;
                let stream = std::net::TcpStream::connect_timeout(&to, Duration::from_secs(2));
                let mut said = String::new();
                let _ = stream.and_then(|mut stream| stream.read_to_string(&mut said));
                said
            };
            (0..times).map(call).collect()
        })
    }

    /// The address that a machine on `sw0` is offered; none if nobody here can ask.
    pub fn lease(&self, name: &str) -> Option<String> {
        let options = self.ask(
            "create DHCP_Options cidr=10.0.0.0/24 \
             'options=\"server_id\"=\"10.0.0.254\" \"server_mac\"=\"00:00:00:00:ff:00\" \"lease_time\"=\"3600\"'",
        );
        self.nb(&format!("lsp-set-dhcpv4-options {name} {}", options.trim()));
        let done = self.rig.run_in(name, "/usr/bin/python3", &["-c", ASK]).unwrap();
        let said = String::from_utf8_lossy(&done.stdout).trim().to_owned();
        if !done.status.success() {
            println!("nobody asks for a lease: {}", String::from_utf8_lossy(&done.stderr));
            return None;
        }
        Some(said)
    }

    /// Answers every connection with a name and the address that called.
    pub fn serve(&self, name: &'static str) {
        let listener = self.rig.within(name, || std::net::TcpListener::bind(("0.0.0.0", 8000)).unwrap());
        std::thread::spawn(move || {
            use std::io::Write;
            for stream in listener.incoming() {
                let _ = stream.and_then(|mut stream| {
                    let caller = stream.peer_addr()?.ip();
                    stream.write_all(format!("{name} {caller}").as_bytes())
                });
            }
        });
    }

    /// What OVN's daemons noted.
    pub fn noted(&self) -> String {
        let files = std::fs::read_dir(&self.rig.log_dir).unwrap();
        files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect()
    }

    /// Two hypervisors, the switches `sw0` and `sw1` at the router `r0`, and machines: `a` and `c` on the first hypervisor,
    /// `b` and `d` on the second, `a` and `b` at `sw0`.
    pub fn four_machines(&mut self) {
        let rig = self.rig;
        self.ip("link set lo up");
        for name in ["hv1", "hv2"] {
            nodes::namespace(rig, name).unwrap();
        }
        self.ip("link add u1 netns @hv1 type veth peer name u2 netns @hv2");
        for number in ["1", "2"] {
            self.ip(&format!("hv{number}: addr add 192.168.0.{number}/24 dev u{number}"));
            self.ip(&format!("hv{number}: link set u{number} up"));
            self.ip(&format!("hv{number}: link set lo up"));
            self.hypervisor(&format!("hv{number}"), &format!("192.168.0.{number}"));
        }
        self.nb("ls-add sw0 -- ls-add sw1 -- lr-add r0");
        self.join("r0", "sw0", "00:00:00:00:ff:00", "10.0.0.254");
        self.join("r0", "sw1", "00:00:00:00:ff:01", "10.0.1.254");
        self.machine("a", "hv1", "sw0", 1, "10.0.0.1");
        self.machine("b", "hv2", "sw0", 2, "10.0.0.2");
        self.machine("c", "hv1", "sw1", 3, "10.0.1.3");
        self.machine("d", "hv2", "sw1", 4, "10.0.1.4");
        self.nb("sync");
        until("a switch over a tunnel", || self.pings("a", "10.0.0.2"));
        until("a router, over a tunnel", || self.pings("a", "10.0.1.4"));
    }

    /// Connects a router with a switch.
    pub fn join(&self, router: &str, switch: &str, mac: &str, address: &str) {
        self.nb(&format!(
            "lrp-add {router} {router}-{switch} {mac} {address}/24 -- lsp-add {switch} {switch}-{router} \
             -- set logical_switch_port {switch}-{router} type=router options:router-port={router}-{switch} \
             addresses=router"
        ));
    }
}

/// Whether OVN is here; says so if not.
pub fn is_here() -> bool {
    let there = |program: &&str| Command::new(program).arg("--version").output().is_ok();
    let missing = PROGRAMS.iter().find(|program| !there(program));
    if let Some(missing) = missing {
        netloom_testkit::skip!("no {missing} here (ovn-central, ovn-host)");
    }
    missing.is_none()
}
