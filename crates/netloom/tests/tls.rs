//! TLS with real peers: Open vSwitch's tools and database server, keys by its `ovs-pki`, and OpenSSL as a controller.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod daemon;

use daemon::{Daemon, until};
use netloom_testkit::rig;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Keys of one authority.
struct Keys(PathBuf);

impl Keys {
    /// Those of `ovs-pki`, for `sc` and `ctl`, from one authority; nothing where it is not installed.
    fn make(directory: &Path) -> Option<Self> {
        std::fs::create_dir_all(directory).unwrap();
        let pki = |words: &[&str]| {
            let (state, log) = (directory.join("pki"), directory.join("log"));
            let mut command = Command::new("ovs-pki");
            command.arg(format!("--dir={}", state.display())).arg(format!("--log={}", log.display()));
            let output = command.args(words).current_dir(directory).stdin(Stdio::null()).output().ok()?;
            assert!(output.status.success(), "ovs-pki {words:?}: {output:?}");
            Some(())
        };
        pki(&["init"])?;
        for name in ["sc", "ctl"] {
            pki(&["req+sign", name, "switch"])?;
        }
        Some(Self(directory.to_owned()))
    }

    fn key(&self, name: &str) -> String {
        self.0.join(format!("{name}-privkey.pem")).display().to_string()
    }

    fn certificate(&self, name: &str) -> String {
        self.0.join(format!("{name}-cert.pem")).display().to_string()
    }

    fn authority(&self) -> String {
        self.0.join("pki/switchca/cacert.pem").display().to_string()
    }

    /// Options of a real tool.
    fn options(&self, authority: &str) -> [String; 3] {
        [
            format!("--private-key={}", self.key("ctl")),
            format!("--certificate={}", self.certificate("ctl")),
            format!("--ca-cert={authority}"),
        ]
    }
}

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn said(program: &str, words: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(words).output().map_err(|error| error.to_string())?;
    let text = |octets| String::from_utf8(octets).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

/// A port that nobody listens on in this namespace.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// In a namespace with a loopback; nothing where tools or rights are missing.
fn with_keys(body: impl FnOnce(&Path, &Keys) + Send) {
    rig::isolated(move |rig| {
        if ["ovs-vsctl", "ovs-ofctl", "ovsdb-server", "openssl"]
            .iter()
            .any(|tool| Command::new(tool).arg("--version").output().is_err())
        {
            netloom_testkit::skip!("no Open vSwitch or no openssl");
            return;
        }
        if rig.run("ip", &["link", "set", "lo", "up"]).is_none() {
            netloom_testkit::skip!("no ip");
            return;
        }
        let Some(keys) = Keys::make(&rig.state_dir.join("keys")) else {
            netloom_testkit::skip!("no ovs-pki");
            return;
        };
        body(&rig.state_dir, &keys);
    });
}

#[test]
fn databases_and_bridges_with_keys_of_the_ssl_row() {
    with_keys(|place, keys| {
        let directory = place.join("switch");
        let daemon = Daemon::start(&directory);
        let own = format!("--db=unix:{}", directory.join("db.sock").display());
        let vsctl = |words: &[&str]| {
            let all: Vec<&str> = [own.as_str(), "--timeout=10"].iter().chain(words).copied().collect();
            said("ovs-vsctl", &all).unwrap_or_else(|error| panic!("{words:?}: {error}"))
        };
        let (database, bridge) = (format!("{}", free_port()), format!("{}", free_port()));
        // Without keys nobody is let in, and whoever configured it is told.
        vsctl(&["add-br", "br0", "--", "set-manager", &format!("pssl:{database}:127.0.0.1")]);
        vsctl(&["set-controller", "br0", &format!("pssl:{bridge}:127.0.0.1")]);
        let there = format!("--db=ssl:127.0.0.1:{database}");
        let ask = |authority: &str| {
            let options = keys.options(authority);
            let mut all: Vec<&str> = options.iter().map(String::as_str).collect();
            all.extend([there.as_str(), "--timeout=2", "--no-wait", "get", "bridge", "br0", "name"]);
            said("ovs-vsctl", &all)
        };
        assert!(ask(&keys.authority()).is_err());
        until("the reason is told", || {
            vsctl(&["get", "manager", ".", "status"]).contains("must be configured to use SSL")
        });
        vsctl(&["set-ssl", &keys.key("sc"), &keys.certificate("sc"), &keys.authority()]);
        until("the database is served", || ask(&keys.authority()).as_deref() == Ok("br0\n"));
        // Whom another authority signed is not believed, by neither side.
        let other = Keys::make(&place.join("others")).unwrap();
        assert!(ask(&other.authority()).is_err());
        let stranger = other.options(&keys.authority());
        let mut all: Vec<&str> = stranger.iter().map(String::as_str).collect();
        all.extend([there.as_str(), "--timeout=2", "--no-wait", "show"]);
        assert!(said("ovs-vsctl", &all).is_err());
        let options = keys.options(&keys.authority());
        let target = format!("ssl:127.0.0.1:{bridge}");
        let ofctl = |words: &[&str]| {
            let mut all: Vec<&str> = options.iter().map(String::as_str).collect();
            all.extend(["--timeout=10", words[0], target.as_str()]);
            all.extend(&words[1..]);
            said("ovs-ofctl", &all).unwrap_or_else(|error| panic!("{words:?}: {error}"))
        };
        // Many messages in both directions: more than a record of TLS holds.
        let flows: String =
            (0..3000).map(|number| format!("priority={number},ip,nw_src=10.0.0.1,actions=drop\n")).collect();
        std::fs::write(place.join("flows"), flows).unwrap();
        ofctl(&["add-flows", place.join("flows").to_str().unwrap()]);
        assert_eq!(ofctl(&["dump-flows", "ip"]).matches("nw_src=10.0.0.1").count(), 3000);
        // Keys that are put in the place of others are taken without a word.
        for (from, to) in
            [(other.key("sc"), keys.key("sc")), (other.certificate("sc"), keys.certificate("sc"))]
        {
            std::fs::copy(from, to).unwrap();
        }
        until("other keys are shown", || ask(&keys.authority()).is_err());
        assert!(daemon.try_ask("switch list").unwrap().contains("br0"));
    });
}

#[test]
fn a_controller_is_sought_with_keys() {
    with_keys(|place, keys| {
        let directory = place.join("switch");
        let _daemon = Daemon::start(&directory);
        let own = format!("--db=unix:{}", directory.join("db.sock").display());
        let vsctl = |words: &[&str]| {
            let all: Vec<&str> = [own.as_str(), "--timeout=10"].iter().chain(words).copied().collect();
            said("ovs-vsctl", &all).unwrap_or_else(|error| panic!("{words:?}: {error}"))
        };
        let port = free_port().to_string();
        let mut peer = Running(
            Command::new("openssl")
                .args(["s_server", "-quiet", "-accept", &format!("127.0.0.1:{port}"), "-Verify", "3"])
                .args([
                    "-key",
                    &keys.key("ctl"),
                    "-cert",
                    &keys.certificate("ctl"),
                    "-CAfile",
                    &keys.authority(),
                ])
                .args(["-verify_return_error"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        );
        vsctl(&[
            "add-br",
            "br0",
            "--",
            "set-ssl",
            &keys.key("sc"),
            &keys.certificate("sc"),
            &keys.authority(),
        ]);
        vsctl(&["set-controller", "br0", &format!("ssl:127.0.0.1:{port}")]);
        // The switch says hello first: version 1.5, type 0.
        let mut hello = [0; 2];
        std::io::Read::read_exact(peer.0.stdout.as_mut().unwrap(), &mut hello).unwrap();
        assert_eq!(hello, [6, 0]);
        let stdin = peer.0.stdin.as_mut().unwrap();
        stdin.write_all(&[4, 0, 0, 8, 0, 0, 0, 1]).unwrap();
        stdin.flush().unwrap();
        until("the controller is connected", || {
            vsctl(&["get", "controller", ".", "is_connected"]) == "true\n"
        });
    });
}

#[test]
fn a_switch_follows_a_database_whose_authority_it_learns() {
    with_keys(|place, keys| {
        let port = free_port().to_string();
        let at = |name: &str| place.join(name).display().to_string();
        let schema = "/usr/share/openvswitch/vswitch.ovsschema";
        if !Path::new(schema).exists() {
            netloom_testkit::skip!("no schema of Open vSwitch");
            return;
        }
        said("ovsdb-tool", &["create", &at("conf.db"), schema]).unwrap();
        let _server = Running(
            Command::new("ovsdb-server")
                .args([
                    at("conf.db"),
                    format!("--remote=pssl:{port}:127.0.0.1"),
                    format!("--remote=punix:{}", at("db.sock")),
                ])
                .args(keys.options(&keys.authority()))
                // Shown to whoever learns it.
                .arg(format!("--peer-ca-cert={}", keys.authority()))
                .arg(format!("--unixctl={}", at("db.ctl")))
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        );
        until("the server is there", || place.join("db.sock").exists());
        let own = format!("--db=unix:{}", at("db.sock"));
        said(
            "ovs-vsctl",
            &[&own, "--no-wait", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy"],
        )
        .unwrap();
        let link = place.join("ovs-vswitchd");
        std::os::unix::fs::symlink(netloom_testkit::program(env!("CARGO_BIN_EXE_netloom")), &link).unwrap();
        let _switch = Running(
            Command::new(&link)
                .arg(format!("ssl:127.0.0.1:{port}"))
                .args([
                    format!("--private-key={}", keys.key("sc")),
                    format!("--certificate={}", keys.certificate("sc")),
                ])
                .args([
                    format!("--bootstrap-ca-cert={}", at("learned.pem")),
                    format!("--unixctl={}", at("ovs.ctl")),
                ])
                .args(["--enable-dummy", "--disable-system"])
                .env("OVS_RUNDIR", place)
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        );
        until("the bridge is there", || {
            said("ovs-vsctl", &[&own, "--timeout=1", "get", "bridge", "br0", "datapath_id"])
                .is_ok_and(|id| id.len() == 19)
        });
        let (learned, meant) = (std::fs::read_to_string(at("learned.pem")).unwrap(), keys.authority());
        let meant = std::fs::read_to_string(meant).unwrap();
        assert!(meant.contains(learned.trim()), "{learned}");
    });
}
