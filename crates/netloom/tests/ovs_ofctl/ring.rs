//! Three switches in a ring, with a controller of the field: os-ken's spanning tree, os-ken's router, Faucet's stack. When a
//! link is pulled, packets go the other way round.

use super::controllers::{self, Controller, ping, vsctl};
use super::daemon::Daemon;
use super::places::has;
use netloom_testkit::rig::{self, Rig};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Trees and stacks take seconds to agree.
const PATIENCE: Duration = Duration::from_secs(40);

#[track_caller]
fn until(what: &str, mut is: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Three bridges, `br1` to `br3`: a machine at port 1 of each, and cables from port 2 of one to port 3 of the next.
struct Ring<'a> {
    rig: &'a Rig,
    directory: PathBuf,
    _daemon: Daemon<'a>,
}

impl<'a> Ring<'a> {
    fn start(rig: &'a Rig, directory: &'a Path, addresses: [&str; 3]) -> Option<Self> {
        if rig.run("ip", &["link", "set", "lo", "up"]).is_none() || rig.run("ping", &["-V"]).is_none() {
            netloom_testkit::skip!("no ip or no ping");
            return None;
        }
        let ring = Self { rig, directory: directory.to_owned(), _daemon: Daemon::start(directory) };
        for (one, next) in [(1, 2), (2, 3), (3, 1)] {
            ring.ip(&format!("link add l{one}{next} type veth peer name l{next}{one}"));
            ring.ip(&format!("link set l{one}{next} up"));
            ring.ip(&format!("link set l{next}{one} up"));
        }
        for (place, address) in addresses.into_iter().enumerate() {
            let (own, next, last) = (place + 1, (place + 1) % 3 + 1, (place + 2) % 3 + 1);
            let bridge = format!("br{own}");
            vsctl(directory, &["add-br", &bridge]);
            if !ring._daemon.plug(rig, &bridge, &[(&format!("m{own}"), address)], &[]) {
                return None;
            }
            let line = format!(
                "set interface m{own} ofport_request=1 -- add-port {bridge} l{own}{next} \
                 -- set interface l{own}{next} ofport_request=2 -- add-port {bridge} l{own}{last} \
                 -- set interface l{own}{last} ofport_request=3 \
                 -- set bridge {bridge} fail_mode=secure other_config:datapath-id=000000000000000{own} \
                 -- set-controller {bridge} tcp:127.0.0.1:16653"
            );
            vsctl(directory, &line.split_whitespace().collect::<Vec<_>>());
        }
        assert!(!ping(rig, "m1", addresses[1].split('/').next().unwrap()), "nobody has made flows");
        Some(ring)
    }

    fn ip(&self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let done = self.rig.run("ip", &words).unwrap();
        assert!(done.status.success(), "ip {line}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// All machines reach one another.
    #[track_caller]
    fn is_whole(&self, what: &str, addresses: [&str; 3]) {
        for (from, to) in [(1, addresses[1]), (2, addresses[2]), (3, addresses[0])] {
            until(what, || ping(self.rig, &format!("m{from}"), to));
        }
    }

    /// Every one of the cables is pulled once.
    fn pull_each(&self, addresses: [&str; 3]) {
        self.is_whole("the ring carries", addresses);
        for (one, next) in [(1, 2), (2, 3), (3, 1)] {
            self.ip(&format!("link set l{one}{next} down"));
            self.is_whole(&format!("the way around the cable between {one} and {next}"), addresses);
            self.ip(&format!("link set l{one}{next} up"));
        }
        assert_eq!(vsctl(&self.directory, &["get", "bridge", "br1", "fail_mode"]), "secure");
    }
}

const ONE_NETWORK: [&str; 3] = ["10.0.0.1/24", "10.0.0.2/24", "10.0.0.3/24"];
const HOSTS: [&str; 3] = ["10.0.0.1", "10.0.0.2", "10.0.0.3"];

/// The controller's environment, or the reason why there is none.
fn there(environment: Result<PathBuf, String>, name: &str) -> Option<PathBuf> {
    let said = |reason| netloom_testkit::skip!("{name} can't be installed: {reason}");
    environment.map_err(said).ok()
}

#[test]
fn a_spanning_tree_of_os_ken_goes_around_a_pulled_link() {
    if !has("ovs-vsctl") || !has("python3") {
        return;
    }
    let Some(place) = there(controllers::os_ken(), "os-ken") else { return };
    rig::isolated(move |rig| {
        let directory = rig.state_dir.join("switch");
        let Some(ring) = Ring::start(rig, &directory, ONE_NETWORK) else { return };
        let _controller = controllers::controller(&place, &["16653", "os_ken.app.simple_switch_stp_13"]);
        ring.pull_each(HOSTS);
    });
}

/// A request of the router's web interface; what it answers.
fn web(rig: &Rig, method: &str, path: &str, body: &str) -> String {
    let _ = rig;
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = || -> std::io::Result<String> {
        let mut stream = std::net::TcpStream::connect("127.0.0.1:8080")?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    answer().unwrap_or_default()
}

#[test]
fn a_router_of_os_ken_takes_another_route() {
    if !has("ovs-vsctl") || !has("python3") {
        return;
    }
    let Some(place) = there(controllers::os_ken(), "os-ken") else { return };
    rig::isolated(move |rig| {
        let directory = rig.state_dir.join("switch");
        let addresses = ["10.1.0.1/24", "10.2.0.1/24", "10.3.0.1/24"];
        let Some(ring) = Ring::start(rig, &directory, addresses) else { return };
        for own in 1..=3 {
            let words = ["route", "add", "default", "via", &format!("10.{own}.0.254")];
            assert!(rig.run_in(&format!("m{own}"), "ip", &words).unwrap().status.success());
        }
        let _controller = controllers::controller(&place, &["16653", "os_ken.app.rest_router"]);
        until("all switches are routers", || {
            web(rig, "GET", "/router/all", "").matches("switch_id").count() == 3
        });
        let change = |method: &str, router: u8, body: &str| {
            let answer = web(rig, method, &format!("/router/000000000000000{router}"), body);
            assert!(answer.contains("success"), "{router} {body}: {answer}");
        };
        let set = |router, body: &str| change("POST", router, body);
        for (router, address) in [
            (1, "10.1.0.254"),
            (2, "10.2.0.254"),
            (3, "10.3.0.254"),
            (1, "172.16.12.1"),
            (2, "172.16.12.2"),
            (2, "172.16.23.2"),
            (3, "172.16.23.3"),
            (3, "172.16.31.3"),
            (1, "172.16.31.1"),
        ] {
            set(router, &format!(r#"{{"address": "{address}/24"}}"#));
        }
        let route = |router, to: u8, by: &str| {
            set(router, &format!(r#"{{"destination": "10.{to}.0.0/24", "gateway": "{by}"}}"#));
        };
        route(1, 2, "172.16.12.2");
        route(2, 1, "172.16.12.1");
        until("the short way", || ping(rig, "m1", "10.2.0.1"));
        ring.ip("link set l12 down");
        assert!(!ping(rig, "m1", "10.2.0.1"), "the way is gone");
        change("DELETE", 1, r#"{"route_id": "1"}"#);
        change("DELETE", 2, r#"{"route_id": "1"}"#);
        route(1, 2, "172.16.31.3");
        route(3, 2, "172.16.23.2");
        route(2, 1, "172.16.23.3");
        route(3, 1, "172.16.31.1");
        until("the long way", || ping(rig, "m1", "10.2.0.1"));
    });
}

/// Faucet's own description of the ring.
fn stack() -> String {
    let mut text = String::from("vlans:\n  office: {vid: 100}\ndps:\n");
    for own in 1..=3 {
        let (next, last) = (own % 3 + 1, (own + 1) % 3 + 1);
        let root = if own == 1 { "    stack: {priority: 1}\n" } else { "" };
        text.push_str(&format!(
            "  sw{own}:\n    dp_id: {own}\n    hardware: Open vSwitch\n{root}\
             \x20   lldp_beacon: {{send_interval: 1, max_per_interval: 5}}\n    interfaces:\n\
             \x20     1: {{native_vlan: office}}\n\
             \x20     2: {{stack: {{dp: sw{next}, port: 3}}}}\n\
             \x20     3: {{stack: {{dp: sw{last}, port: 2}}}}\n"
        ));
    }
    text
}

#[test]
fn a_stack_of_faucet_goes_around_a_pulled_link() {
    if !has("ovs-vsctl") || !has("python3") {
        return;
    }
    let environment = controllers::environment("faucet", &["faucet"], |_, _| Ok(()));
    let Some(place) = there(environment, "Faucet") else { return };
    rig::isolated(move |rig| {
        let directory = rig.state_dir.join("switch");
        let Some(ring) = Ring::start(rig, &directory, ONE_NETWORK) else { return };
        let file = |name: &str| rig.state_dir.join(name);
        std::fs::write(file("faucet.yaml"), stack()).unwrap();
        let path = format!("{}:{}", place.join("bin").display(), std::env::var("PATH").unwrap_or_default());
        let child = Command::new(place.join("bin/faucet"))
            .args(["--ryu-ofp-tcp-listen-port=16653", "--ryu-ofp-listen-host=127.0.0.1"])
            .env("PATH", path)
            .env("FAUCET_CONFIG", file("faucet.yaml"))
            .env("FAUCET_LOG", file("faucet.log"))
            .env("FAUCET_EXCEPTION_LOG", file("faucet_exception.log"))
            .env("FAUCET_PROMETHEUS_PORT", "19302")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let _controller = Controller(child);
        ring.pull_each(HOSTS);
    });
}
