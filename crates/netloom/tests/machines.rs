//! Virtual machines in topology files, without starting one: their sockets, what is said of them, and what stays of them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use common::Netloom;
use netloom_testkit::rig;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const FILE: &str = "
netloom: 1
name: machines
networks:
  lan: { mode: host-only, subnet: [10.1.0.0/24, 'fd00:1::/64'], mtu: 1400 }
  back: { via: switch, subnet: 10.2.0.0/24, gateway: 10.2.0.1 }
endpoints:
  web: { networks: [lan, back] }
  guest:
    kind: vm
    interfaces:
      eth0: { network: lan, queues: 2, mac: '02:00:00:00:00:07' }
      eth1: { network: back, vlan: 30, pinned: true, socket: { mode: client } }
tests:
  - { reach: web -> guest, over: [icmp, tcp/80] }
  - { reach: web -> 10.1.0.1 }
";

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// The sockets that are there.
fn sockets(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .map(|entries| entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect())
        .unwrap_or_default();
    names.sort();
    names
}

#[test]
fn sockets_come_and_go_with_the_file() {
    rig::isolated(|rig| {
        let netloom = Netloom::on_host(rig);
        let file = netloom.file("machines.yaml", FILE);
        let plan = netloom.run(&["plan", &file]).expect(2);
        assert!(
            plan.contains("+ switch port guest:eth0") && plan.contains("attaches guest to network lan"),
            "{plan}"
        );
        assert!(plan.contains("since guest is a virtual machine"), "{plan}");
        assert!(plan.contains("machines.yaml:12"), "{plan}");
        assert!(!plan.contains("namespace guest"), "{plan}");

        // Nobody has started it, so what needs it is left out and the rest is tried.
        let out = netloom.run(&["apply", &file]).expect(0);
        assert!(out.contains("left out") && out.contains("1 of 3 tests passed, 2 left out"), "{out}");
        assert!(out.contains("guest") && out.contains("vhost-user") && out.contains("waiting"), "{out}");
        netloom.run(&["plan", &file]).expect(0);
        let directory = rig.state_dir.join("run/vm");
        assert_eq!(sockets(&directory), ["machines.guest.eth0.sock"]);
        let socket = std::fs::metadata(directory.join("machines.guest.eth0.sock")).unwrap();
        assert!(socket.file_type().is_socket());
        assert_eq!(socket.permissions().mode() & 0o777, 0o600, "for its owner only");
        assert_eq!(std::fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o711);
        let refused = netloom.run(&["exec", "guest", "--", "ls"]);
        assert!(refused.err.contains("is a virtual machine"), "{}", refused.err);
        let ping = netloom.run(&["ping", "web", "guest", "-c", "1"]);
        assert!(ping.out.contains("10.1.0.2"), "its address is known: {} {}", ping.out, ping.err);

        // Other queues are another socket; another VLAN is the same one.
        let changed =
            FILE.replace("queues: 2", "queues: 4, socket: { group: 0 }").replace("vlan: 30", "vlan: 31");
        let other = netloom.file("changed.yaml", &changed);
        let plan = netloom.run(&["plan", &other]).expect(2);
        assert!(
            plan.contains("vhost-user server, 2 queues -> vhost-user server, 4 queues, group 0"),
            "{plan}"
        );
        assert!(
            plan.contains("~ switch port guest:eth1") && plan.contains("vlans 30 untagged -> 31"),
            "{plan}"
        );
        netloom.run(&["apply", "--no-tests", &other]).expect(0);
        netloom.run(&["plan", &other]).expect(0);
        let socket = std::fs::metadata(directory.join("machines.guest.eth0.sock")).unwrap();
        assert_eq!(socket.permissions().mode() & 0o777, 0o660, "a group may connect");

        // By hand: seen and mended.
        netloom.run(&["port", "del", "machines.guest.eth0"]).expect(0);
        let plan = netloom.run(&["plan", &other]).expect(3);
        assert!(plan.contains("+ switch port guest:eth0") && plan.contains("removed by hand"), "{plan}");
        netloom.run(&["apply", "--no-tests", &other]).expect(0);
        netloom.run(&["port", "set", "machines.guest.eth1", "mac=", "ip="]).expect(0);
        let plan = netloom.run(&["plan", &other]).expect(3);
        assert!(plan.contains("pinned none -> "), "{plan}");
        netloom.run(&["apply", "--no-tests", &other]).expect(0);

        // A machine that listens may have left its socket behind.
        let left =
            std::os::unix::net::UnixListener::bind(directory.join("machines.guest.eth1.sock")).unwrap();
        drop(left);
        let without = FILE
            .replace("kind: vm", "description: a namespace now")
            .replace(", socket: { mode: client }", "");
        let without = netloom.file("without.yaml", &without.replace("queues: 2, ", ""));
        netloom.run(&["apply", "--no-tests", &without]).expect(0);
        netloom.run(&["ping", "web", "guest", "-c", "1"]).expect(0);
        assert!(!directory.exists(), "{:?}", sockets(&directory));
        netloom.run(&["apply", "--no-tests", &file]).expect(0);
        netloom.run(&["destroy"]).expect(0);
        netloom.assert_nothing_left();
        assert!(!directory.exists(), "{:?}", sockets(&directory));
    });
}

#[test]
fn killed_after_every_step_with_a_machine() {
    rig::isolated(|rig| {
        let netloom = Netloom::on_host(rig);
        let file = netloom.file("machines.yaml", FILE);
        let directory = rig.state_dir.join("run/vm");
        for step in 0.. {
            let ran = netloom.run_crashing(&["apply", "--no-tests", &file], step);
            if step % 3 == 0
                && let Some(daemon) = netloom.switch_daemon()
            {
                kill(daemon);
            }
            if step % 2 == 0 {
                netloom.run(&["apply", "--no-tests", &file]).expect(0);
                netloom.run(&["plan", &file]).expect(0);
                assert_eq!(sockets(&directory), ["machines.guest.eth0.sock"]);
            }
            netloom.run(&["destroy", "--all"]).expect(0);
            netloom.assert_nothing_left();
            assert!(!directory.exists(), "{:?}", sockets(&directory));
            if ran.code == Some(0) {
                break;
            }
        }
        for step in 0.. {
            netloom.run(&["apply", "--no-tests", &file]).expect(0);
            let ran = netloom.run_crashing(&["destroy", "machines"], step);
            netloom.run(&["destroy", "--all"]).expect(0);
            netloom.assert_nothing_left();
            assert!(!directory.exists(), "{:?}", sockets(&directory));
            if ran.code == Some(0) {
                break;
            }
        }
    });
}

#[test]
fn what_no_kernel_network_can_do_is_said() {
    let netloom = Netloom::rootless("machines-lacks");
    let file = netloom.file("kernel.yaml", &FILE.replace("via: switch", "via: kernel"));
    let ran = netloom.run(&["validate", &file]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("virtual machine `guest` can't attach to network `back`"), "{}", ran.err);
    let ran = netloom.run(&["ps", "-o", "qemu"]);
    assert!(ran.err.contains("for `netloom vm show` only"), "{}", ran.err);
}

/// QEMU with arguments of Netloom's and its monitor on a pipe.
struct Qemu {
    child: std::process::Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Qemu {
    fn version() -> Option<String> {
        let output = Command::new("qemu-system-x86_64").arg("--version").output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        Some(text.split_once("version ")?.1.split([' ', '(', '\n']).next()?.to_owned())
    }

    fn start(arguments: &[String]) -> Self {
        let mut child = Command::new("qemu-system-x86_64")
            .args(["-nodefaults", "-no-user-config", "-display", "none", "-S", "-machine", "q35,accel=tcg"])
            .args(["-qmp", "stdio"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut qemu = Self { child, answers };
        qemu.line();
        qemu.ask("qmp_capabilities");
        qemu
    }

    fn line(&mut self) -> serde_json::Value {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("QEMU ended: {line:?}"))
    }

    fn ask(&mut self, command: &str) -> serde_json::Value {
        let text = format!("{}\n", serde_json::json!({ "execute": command }));
        self.child.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
        loop {
            let answer = self.line();
            assert!(answer.get("error").is_none(), "{command}: {answer}");
            if let Some(found) = answer.get("return") {
                return found.clone();
            }
        }
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn qemu_takes_its_arguments_and_finds_the_switch() {
    let Some(version) = Qemu::version() else {
        netloom_testkit::skip!("qemu-system-x86_64 is not installed");
        return;
    };
    let netloom = Netloom::rootless("machines-qemu");
    if !netloom.is_possible("qemu_takes_its_arguments_and_finds_the_switch") {
        return;
    }
    let file = netloom.file("machines.yaml", FILE);
    netloom.run(&["apply", "--no-tests", "--quiet", &file]).expect(0);
    let show =
        |form: &str| netloom.run(&["vm", "show", "guest", "--memory", "64M", "--qemu", &version, "-o", form]);
    let text = show("json").expect(0);
    let found: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        found["interfaces"][0]["addresses"],
        serde_json::json!(["10.1.0.2/24", "fd00:1::10/64"]),
        "{text}"
    );
    assert_eq!(found["interfaces"][1]["gateways"], serde_json::json!(["10.2.0.1"]), "{text}");
    let arguments: Vec<String> = serde_json::from_value(found["qemu"].clone()).unwrap();
    // What is printed for a shell is the same.
    let line = show("qemu").expect(0);
    let by_shell = Command::new("sh").args(["-c", &format!("printf '%s\\n' {line}")]).output().unwrap();
    let by_shell: Vec<String> =
        String::from_utf8(by_shell.stdout).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(by_shell, arguments);

    let mut qemu = Qemu::start(&arguments);
    let began = Instant::now();
    loop {
        let listed: serde_json::Value =
            serde_json::from_str(&netloom.run(&["vm", "list", "-o", "json"]).expect(0)).unwrap();
        let states = listed[0]["interfaces"].as_array().unwrap();
        // Both sides of both sockets: one where the switch listens, one where the machine does.
        if states.iter().all(|nic| nic["state"] == "the guest has not set up its queues") {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{listed:#}");
        std::thread::sleep(Duration::from_millis(20));
    }
    let chardevs = qemu.ask("query-chardev").to_string();
    assert!(chardevs.contains("machines.guest.eth0.sock"), "{chardevs}");
    let cards = qemu.ask("query-rx-filter").to_string();
    assert!(cards.contains("02:00:00:00:00:07"), "{cards}");
    drop(qemu);
    netloom.run(&["destroy"]).expect(0);
    netloom.assert_nothing_left();
}

#[test]
fn libvirts_schema_takes_the_elements() {
    let schema = Path::new("/usr/share/libvirt/schemas/domain.rng");
    if !schema.exists() {
        netloom_testkit::skip!("libvirt's schemas are not installed (package libvirt0)");
        return;
    }
    if Command::new("xmllint").arg("--version").output().is_err() {
        netloom_testkit::skip!("xmllint is not installed (package libxml2-utils)");
        return;
    }
    let netloom = Netloom::rootless("machines-libvirt");
    if !netloom.is_possible("libvirts_schema_takes_the_elements") {
        return;
    }
    let file = netloom.file("machines.yaml", FILE);
    netloom.run(&["apply", "--no-tests", "--quiet", &file]).expect(0);
    let text = netloom.run(&["vm", "show", "machines.guest", "-o", "libvirt"]).expect(0);
    let (shared, devices) = text.split_once("<!-- in <devices> -->").unwrap();
    let domain = |devices: &str| {
        format!(
            "<domain type='qemu'><name>guest</name><memory unit='MiB'>64</memory>{shared}<vcpu>1</vcpu><os><type arch='x86_64' machine='q35'>hvm</type></os><devices>{devices}</devices></domain>\n"
        )
    };
    let judge = |text: &str| {
        let path = netloom.file("domain.xml", text);
        let output =
            Command::new("xmllint").args(["--noout", "--relaxng"]).arg(schema).arg(path).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (taken, why) = judge(&domain(devices));
    assert!(taken, "{why}\n{text}");
    let (taken, _) = judge(&domain(&devices.replace("type='unix'", "type='radio'")));
    assert!(!taken, "the schema refuses nothing");
    netloom.run(&["destroy"]).expect(0);
    netloom.assert_nothing_left();
}
