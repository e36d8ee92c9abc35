//! A real virtual machine on Netloom's switch: a kernel of a distribution under QEMU, without hardware support.
#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub, reason = "a test")]

#[path = "../common/mod.rs"]
mod common;
mod machine;

use common::Netloom;
use machine::{Machine, Parts};
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const FILE: &str = "
netloom: 1
name: guests
networks: { lan: { mode: host-only, subnet: [10.1.0.0/24, 'fd00:1::/64'] } }
endpoints:
  web: { interfaces: { eth0: { network: lan, address: ['10.1.0.80', 'fd00:1::80'] } } }
  guest: { kind: vm, interfaces: { eth0: { network: lan, queues: 2, pinned: true, address: ['10.1.0.9', 'fd00:1::9'] } } }
tests:
  - { reach: web -> guest }
  - { reach: web -> guest, ipv6: true }
";

/// Octets of each stream.
const STREAM: usize = 8 << 20;
/// What the streams consist of: lines that both shells can make.
const SOURCE: &str = "yes 0123456789abcdefghijklmnopqrstuvwxyz | head -c 8388608";

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// The digest that `SOURCE` should have at the other end.
fn digest() -> String {
    let output = Command::new("sh").args(["-c", &format!("{SOURCE} | md5sum")]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

/// A program in the namespace of `web`.
fn in_web(netloom: &Netloom, script: &str) -> std::process::Child {
    netloom
        .command(&["exec", "guests.web", "--", "sh", "-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// A stream from the machine to the namespace, and one back; what came is what was sent.
fn streams(netloom: &Netloom, guest: &mut Machine) -> [Duration; 2] {
    let digest = digest();
    let began = Instant::now();
    let mut server = in_web(netloom, "echo ready; exec busybox nc -l -p 5001 | md5sum");
    let mut out = server.stdout.take().unwrap();
    out.read_exact(&mut [0; 6]).unwrap();
    // The listener is there a moment after its program: the machine tries again until then.
    guest.must(&format!("until {SOURCE} | nc 10.1.0.80 5001; do sleep 0.1; done"));
    let mut text = String::new();
    out.read_to_string(&mut text).unwrap();
    assert!(text.starts_with(&digest), "from the machine: {text}");
    server.wait().unwrap();
    let there = began.elapsed();

    let began = Instant::now();
    let number = guest.begin("nc -l -p 5002 | md5sum");
    let script = format!("until {SOURCE} | busybox nc fd00:1::9 5002; do sleep 0.1; done");
    let mut client = in_web(netloom, &script);
    client.stdin.take().unwrap().flush().unwrap();
    let (status, text) = guest.end(number);
    assert!(status == 0 && text.contains(&digest), "to the machine: {text}");
    client.wait().unwrap();
    [there, began.elapsed()]
}

/// Waits until packets go both ways.
fn wait_for_both_ways(netloom: &Netloom, guest: &mut Machine) -> Duration {
    let began = Instant::now();
    loop {
        let there = netloom.run(&["ping", "web", "guest", "-c", "1"]).code == Some(0);
        if there && guest.run("ping -c 1 -W 1 10.1.0.80 >/dev/null").0 == 0 {
            return began.elapsed();
        }
        assert!(began.elapsed() < Duration::from_secs(30), "the machine does not come back");
    }
}

#[test]
fn a_real_guest_talks_with_a_namespace_and_outlives_the_switch() {
    let parts = match Parts::find() {
        Ok(parts) => parts,
        Err(why) => {
            netloom_testkit::skip!("no machine can be started: {why}");
            return;
        }
    };
    let netloom = Netloom::rootless("guest");
    if !netloom.is_possible("a_real_guest_talks_with_a_namespace_and_outlives_the_switch") {
        return;
    }
    let file = netloom.file("guests.yaml", FILE);
    let scratch = std::path::Path::new(&file).parent().unwrap().to_owned();
    netloom.run(&["apply", "--no-tests", "--quiet", &file]).expect(0);
    let left_out = netloom.run(&["test"]).expect(0);
    assert!(left_out.contains("0 of 2 tests passed, 2 left out"), "{left_out}");

    let version = Parts::qemu_version();
    let shown = netloom.run(&["vm", "show", "guest", "--memory", "192M", "--qemu", &version, "-o", "json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown.expect(0)).unwrap();
    let arguments: Vec<String> = serde_json::from_value(shown["qemu"].clone()).unwrap();
    let began = Instant::now();
    let mut guest = Machine::boot(&parts, &arguments, &scratch);
    println!("booted in {:?}", began.elapsed());

    let nic = &shown["interfaces"][0];
    let mac = guest.must("cat /sys/class/net/eth0/address");
    assert_eq!(mac.trim(), nic["mac"].as_str().unwrap());
    // Its addresses were given to nobody else: no need to ask around.
    guest.must("echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad");
    for address in nic["addresses"].as_array().unwrap() {
        guest.must(&format!("ip addr add {} dev eth0", address.as_str().unwrap()));
    }
    guest.must("ip link set eth0 up");

    // Both ways, both families.
    let text = guest.must("ping -c 3 -W 2 10.1.0.80");
    assert!(text.contains(" 0% packet loss"), "{text}");
    guest.must("ping -6 -c 2 -W 2 fd00:1::80");
    netloom.run(&["ping", "web", "guest", "-c", "3"]).expect(0);
    let listed = netloom.run(&["vm", "list"]).expect(0);
    assert!(listed.contains("10.1.0.9/24") && listed.contains(" up "), "{listed}");
    // The file's own tests run now.
    let tried = netloom.run(&["test"]).expect(0);
    assert!(tried.contains("2 of 2 tests passed"), "{tried}");
    // It is pinned: with another address it reaches nobody.
    guest.must("ip addr add 10.1.0.99/24 dev eth0");
    assert_ne!(guest.run("ping -c 1 -W 1 -I 10.1.0.99 10.1.0.80").0, 0);
    guest.must("ip addr del 10.1.0.99/24 dev eth0");

    let [there, back] = streams(&netloom, &mut guest);
    println!("{} MiB from the machine in {there:?}, back in {back:?}", STREAM >> 20);
    // Segments travelled whole: a frame is on average larger than any that a cable carries.
    let ports: serde_json::Value =
        serde_json::from_str(&netloom.run(&["port", "list", "-o", "json"]).expect(0)).unwrap();
    let port = ports.as_array().unwrap().iter().find(|port| port["name"] == "guests.guest.eth0").unwrap();
    let number = |name: &str| port[name].as_u64().unwrap();
    // The pinned port counted what it dropped.
    assert!(port["dropped"].as_object().unwrap().values().any(|count| count.as_u64() > Some(0)), "{port:#}");
    assert!(number("received_octets") > STREAM as u64 && number("sent_octets") > STREAM as u64, "{port:#}");
    for (octets, count) in [("received_octets", "received"), ("sent_octets", "sent")] {
        println!("{count}: {} octets in a frame", number(octets) / number(count));
    }
    assert!(number("received_octets") / number("received") > 1514, "{port:#}");

    // An upgrade is not noticed: a ping at 100 Hz loses nothing.
    let first = netloom.switch_daemon().unwrap();
    let pings = netloom
        .command(&["exec", "guests.web", "--", "ping", "-q", "-i", "0.01", "-c", "300", "10.1.0.9"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    netloom.run(&["switch", "upgrade"]).expect(0);
    netloom.run(&["switch", "upgrade"]).expect(0);
    let pings = pings.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&pings.stdout).into_owned();
    println!("two upgrades: {}", told.lines().rev().take(2).collect::<Vec<_>>().join("; "));
    assert!(told.contains(" 0% packet loss"), "{told}");
    assert!(!std::path::Path::new(&format!("/proc/{first}/exe")).exists(), "the predecessor still runs");
    streams(&netloom, &mut guest);

    // Killed, the switch is started again by the realm's daemon, and the machine connects again.
    let before = netloom.switch_daemon().unwrap();
    kill(before);
    let took = wait_for_both_ways(&netloom, &mut guest);
    assert_ne!(netloom.switch_daemon(), Some(before));
    println!("after a killed switch packets went both ways again within {took:?}");
    netloom.run(&["plan", &file]).expect(0);
    streams(&netloom, &mut guest);

    // A machine that goes leaves its port, which waits for the next one.
    drop(guest);
    let began = Instant::now();
    while !netloom.run(&["vm", "list"]).expect(0).contains("waiting for the other side") {
        assert!(began.elapsed() < Duration::from_secs(10));
    }
    netloom.run(&["destroy"]).expect(0);
    netloom.assert_nothing_left();
}
