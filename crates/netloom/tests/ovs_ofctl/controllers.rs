//! A real controller of the field: os-ken with its simple switch for OpenFlow 1.3, which learns and makes flows.

use super::daemon::Daemon;
use super::places::{has, until};
use netloom_testkit::rig::{self, Rig};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

/// Starts the framework with applications of `applications/`, as its own `osken-manager` does. The first argument is the port.
/// Times of the spanning tree are shorter than its own, so that nobody waits for minutes.
const PROGRAM: &str = "
import importlib, logging, sys
from os_ken.lib import hub
hub.patch()
import eventlet.wsgi
# For the applications' web server; newer versions have no such value.
eventlet.wsgi.ALREADY_HANDLED = object()
import os_ken.app
os_ken.app.__path__.append('applications/os_ken/app')
from os_ken.lib.packet import bpdu
bpdu.DEFAULT_HELLO_TIME, bpdu.DEFAULT_FORWARD_DELAY, bpdu.DEFAULT_MAX_AGE = 1, 2, 6
from os_ken import cfg
from os_ken.base.app_manager import AppManager
for application in sys.argv[2:]:
    importlib.import_module(application)
cfg.CONF(args=['--ofp-listen-host', '127.0.0.1', '--ofp-tcp-listen-port', sys.argv[1]], project='os_ken')
logging.basicConfig(level=logging.INFO)
manager = AppManager.get_instance()
manager.load_apps(sys.argv[2:] + ['os_ken.controller.ofp_handler'])
services = manager.instantiate_apps(**manager.create_contexts())
wsgi = sys.modules.get('os_ken.app.wsgi')
web = wsgi and wsgi.start_service(manager)
if web:
    services.append(hub.spawn(web))
hub.joinall(services)
";

/// The last version of os-ken that has its applications in its package.
const WITH_APPLICATIONS: &str = "os-ken==1.4.0";

/// A Python environment with packages; made once, and kept beside what is built. `more` makes what else is wanted.
pub fn environment(
    name: &str,
    packages: &[&str],
    more: impl FnOnce(&Path, &dyn Fn(&Path, &[&str]) -> Result<(), String>) -> Result<(), String>,
) -> Result<PathBuf, String> {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock();
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if place.join("ready").exists() {
        return Ok(place);
    }
    let _ = std::fs::remove_dir_all(&place);
    std::fs::create_dir_all(&place).map_err(|error| error.to_string())?;
    let run = |program: &Path, words: &[&str]| {
        let output = Command::new(program).args(words).current_dir(&place).stdin(Stdio::null()).output();
        match output {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => {
                Err(String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned())
            }
            Err(error) => Err(error.to_string()),
        }
    };
    run(Path::new("python3"), &["-m", "venv", "."])?;
    run(&place.join("bin/pip"), &[&["install"], &QUIET[..], packages].concat())?;
    more(&place, &run)?;
    std::fs::write(place.join("ready"), "").map_err(|error| error.to_string())?;
    Ok(place)
}

const QUIET: [&str; 6] = ["--quiet", "--timeout", "20", "--retries", "1", "--disable-pip-version-check"];

/// os-ken, and the applications that its newer versions lack.
pub fn os_ken() -> Result<PathBuf, String> {
    environment("os-ken-applications", &["os-ken", "eventlet", "tinyrpc"], |place, run| {
        let pip = place.join("bin/pip");
        run(
            &pip,
            &[&["download"], &QUIET[..], &["--no-deps", "--dest", "wheel", WITH_APPLICATIONS]].concat(),
        )?;
        let wheel = std::fs::read_dir(place.join("wheel")).map_err(|error| error.to_string())?;
        let wheel = wheel.flatten().next().ok_or("no package was loaded")?.path();
        run(Path::new("python3"), &["-m", "zipfile", "-e", &wheel.display().to_string(), "applications"])?;
        std::fs::write(place.join("program.py"), PROGRAM).map_err(|error| error.to_string())
    })
}

/// A controller, which ends with this.
pub struct Controller(pub Child);

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// os-ken with applications.
pub fn controller(place: &Path, words: &[&str]) -> Controller {
    let child = Command::new(place.join("bin/python"))
        .arg("program.py")
        .args(words)
        .current_dir(place)
        .env("OSKEN_HUB_TYPE", "eventlet")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Controller(child)
}

pub fn vsctl(directory: &Path, words: &[&str]) -> String {
    let output = Command::new("ovs-vsctl")
        .arg("--timeout=20")
        .arg(format!("--db=unix:{}", directory.join("db.sock").display()))
        .args(words)
        .output()
        .unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub fn ping(rig: &Rig, from: &str, to: &str) -> bool {
    let done = rig.run_in(from, "ping", &["-c", "3", "-i", "0.2", "-W", "1", to]);
    done.is_some_and(|done| done.status.success())
}

#[test]
fn a_controller_makes_a_network_of_three_switches() {
    if !has("ovs-vsctl") || !has("ovs-ofctl") || !has("python3") {
        return;
    }
    let place = match os_ken() {
        Ok(place) => place,
        Err(reason) => {
            netloom_testkit::skip!("os-ken can't be installed: {reason}");
            return;
        }
    };
    rig::isolated(move |rig| {
        if rig.run("ip", &["link", "set", "lo", "up"]).is_none() || rig.run("ping", &["-V"]).is_none() {
            netloom_testkit::skip!("no ip or no ping");
            return;
        }
        let directory = rig.state_dir.join("switch");
        let daemon = Daemon::start(&directory);
        if !daemon.attach(rig, &[("a", "10.0.0.1/24")], &[]) {
            return;
        }
        for switch in ["br1", "br2"] {
            daemon.ask(&["switch", "add", switch]).unwrap();
        }
        assert!(daemon.plug(rig, "br1", &[("b", "10.0.0.2/24")], &[]));
        assert!(daemon.plug(rig, "br2", &[("c", "10.0.0.3/24")], &[]));
        for (one, other, from, to) in [("br0", "br1", "ab", "ba"), ("br1", "br2", "bc", "cb")] {
            let (there, back) = (format!("peer={to}"), format!("peer={from}"));
            daemon.ask(&["port", "add", one, from, "type=patch", &there]).unwrap();
            daemon.ask(&["port", "add", other, to, "type=patch", &back]).unwrap();
        }
        // Without their controller nothing goes.
        for bridge in ["br0", "br1", "br2"] {
            vsctl(&directory, &["set-fail-mode", bridge, "secure"]);
            vsctl(&directory, &["set-controller", bridge, "tcp:127.0.0.1:16633"]);
        }
        assert!(!ping(rig, "a", "10.0.0.2"));
        let _controller = controller(&place, &["16633", "os_ken.app.simple_switch_13"]);
        let connected = || {
            vsctl(
                &directory,
                &["--bare", "--columns=is_connected", "find", "controller", "is_connected=true"],
            )
        };
        until("it is connected", || connected().matches("true").count() == 3);
        until("it carries", || ping(rig, "a", "10.0.0.3") && ping(rig, "b", "10.0.0.1"));
        // It made flows for those addresses, and packets follow them.
        let flows = || {
            let target = format!("unix:{}", directory.join("br1.mgmt").display());
            let output =
                Command::new("ovs-ofctl").args(["-O", "OpenFlow13", "dump-flows", &target]).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        assert!(
            flows().contains("priority=1,in_port") && flows().contains("CONTROLLER:65535"),
            "{}",
            flows()
        );
        assert_eq!(vsctl(&directory, &["get", "bridge", "br0", "fail_mode"]), "secure");
        let status = vsctl(&directory, &["--columns=status", "list", "controller"]);
        assert!(status.contains("ACTIVE"), "{status}");
    });
}
