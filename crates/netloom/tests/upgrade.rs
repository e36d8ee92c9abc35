//! A switch daemon that hands over to a successor, or does not, with packets on their way.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;
mod daemon;
mod nodes;

use common::Netloom;
use daemon::{Daemon, PATIENCE, until};
use netloom_testkit::rig::{self, Rig};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where a test tells the process that it starts as a false successor what to do.
const FALSE_SUCCESSOR: &str = "NETLOOM_TEST_FALSE_SUCCESSOR";

/// What a ping at 100 Hz counted.
#[derive(Debug, Default)]
struct Pings {
    sent: u64,
    lost: u64,
    /// Longest round trip: how long packets waited.
    longest_ms: f64,
}

/// Runs `ping` at 100 Hz from one namespace to an address while `body` runs.
fn pinged(rig: &Rig, from: &str, to: &str, body: impl FnOnce()) -> Option<Pings> {
    rig.run("ping", &["-V"])?;
    let replies = &AtomicU64::new(0);
    std::thread::scope(|scope| {
        // It ends by a signal, so that it tells what it counted.
        let child = rig.within(from, || {
            let mut command = Command::new("ping");
            command.args(["-i", "0.01", to]).stdout(std::process::Stdio::piped()).spawn().unwrap()
        });
        let pid = rustix::process::Pid::from_child(&child);
        let counted = scope.spawn({
            move || {
                let mut child = child;
                let mut pings = Pings::default();
                let mut numbers = std::collections::BTreeSet::<u64>::new();
                for line in BufReader::new(child.stdout.take().unwrap()).lines() {
                    let line = line.unwrap();
                    let number = line.split("icmp_seq=").nth(1).filter(|_| line.contains("time="));
                    let Some(number) = number.and_then(|rest| rest.split(' ').next()?.parse().ok()) else {
                        continue;
                    };
                    replies.fetch_add(1, Ordering::Relaxed);
                    let time = line.split("time=").nth(1).unwrap().split(' ').next().unwrap();
                    pings.longest_ms = time.parse::<f64>().unwrap().max(pings.longest_ms);
                    numbers.insert(number);
                }
                // What is still on its way at the end is not lost.
                let (first, last) = (numbers.first().unwrap_or(&0), numbers.last().unwrap_or(&0));
                pings.sent = last - first + 1;
                pings.lost = pings.sent - numbers.len() as u64;
                child.wait().unwrap();
                pings
            }
        });
        let ended = Interrupted(pid);
        until("it is answered", || replies.load(Ordering::Relaxed) > 10);
        body();
        let now = replies.load(Ordering::Relaxed);
        until("it is still answered", || replies.load(Ordering::Relaxed) > now + 10);
        drop(ended);
        Some(counted.join().unwrap())
    })
}

/// Ends a process, also when a test fails.
struct Interrupted(rustix::process::Pid);

impl Drop for Interrupted {
    fn drop(&mut self) {
        let _ = rustix::process::kill_process(self.0, rustix::process::Signal::INT);
    }
}

/// Ends a stream, also when a test fails.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A TCP stream from `a` to `b` while `body` runs: gives how much went through. What comes must be what was sent.
fn streamed(rig: &Rig, body: impl FnOnce()) -> u64 {
    let listener = rig.within("b", || TcpListener::bind("10.0.0.2:7000").unwrap());
    let ended = AtomicBool::new(false);
    let octet = |at: u64| (at / 251) as u8;
    std::thread::scope(|scope| {
        let came = scope.spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let (mut piece, mut at) = (vec![0; 1 << 16], 0);
            loop {
                let count = stream.read(&mut piece).unwrap();
                if count == 0 {
                    return at;
                }
                for octets in &piece[..count] {
                    assert!(*octets == octet(at), "octet {at} is damaged");
                    at += 1;
                }
            }
        });
        let mut stream = rig.within("a", || TcpStream::connect("10.0.0.2:7000").unwrap());
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let went = scope.spawn({
            let ended = &ended;
            move || {
                let mut at = 0;
                while !ended.load(Ordering::Relaxed) {
                    let piece: Vec<u8> = (at..at + (1 << 16)).map(octet).collect();
                    stream.write_all(&piece).unwrap();
                    at += piece.len() as u64;
                }
                at
            }
        });
        let guard = Ended(&ended);
        body();
        drop(guard);
        let (went, came) = (went.join().unwrap(), came.join().unwrap());
        assert_eq!(went, came);
        came
    })
}

/// The processes of daemons of this directory.
fn serving(directory: &Path) -> Vec<i32> {
    let needle = format!("--run\0{}\0switchd\0", directory.display()).into_bytes();
    let all = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok).filter_map(|entry| {
        let command = std::fs::read(entry.path().join("cmdline")).ok()?;
        command.windows(needle.len()).any(|window| window == needle).then(|| entry.file_name())
    });
    all.filter_map(|name| name.to_str()?.parse().ok()).collect()
}

/// Everything that a successor is to know, without what time alone changes.
fn knowledge(daemon: &Daemon<'_>) -> Value {
    let without = |mut rows: Value, names: &[&str]| {
        for row in rows.as_array_mut().unwrap() {
            names.iter().for_each(|name| drop(row.as_object_mut().unwrap().remove(*name)));
        }
        rows
    };
    let mut flows = without(daemon.json(&["flows", "-o", "json"]), &["idle_ms"]);
    flows.as_array_mut().unwrap().sort_by_key(Value::to_string);
    json!({
        "switches": daemon.json(&["switch", "list", "-o", "json"]),
        "stations": without(daemon.json(&["fdb", "show", "br0", "-o", "json"]), &["age"]),
        "flows": flows,
        "ports": daemon.json(&["port", "list", "-o", "json"]),
    })
}

fn worker(daemon: &Daemon<'_>) -> Value {
    daemon.json(&["top", "--once", "1ms", "-o", "json"])["workers"][0].clone()
}

/// Whatever daemon is there at the end.
struct Last<'a>(&'a Path);

impl Drop for Last<'_> {
    fn drop(&mut self) {
        for pid in serving(self.0) {
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

const NODES: [(&str, &str); 2] = [("a", "10.0.0.1/24"), ("b", "10.0.0.2/24")];

#[test]
fn a_stream_and_a_ping_cross_upgrades_without_a_loss() {
    rig::isolated(|rig| {
        let directory = rig.state_dir.join("switch");
        let daemon = Daemon::start(&directory);
        let _last = Last(&directory);
        if !daemon.attach(rig, &NODES, &[]) {
            return;
        }
        let mut upgrades = Vec::new();
        let mut through = 0;
        let upgrade = || {
            let before = serving(&directory);
            let began = Instant::now();
            daemon.try_ask("switch upgrade").unwrap();
            let took = began.elapsed();
            until("the predecessor ends", || {
                let now = serving(&directory);
                now.len() == 1 && now != before
            });
            took
        };
        let pings = pinged(rig, "a", "10.0.0.2", || {
            through = streamed(rig, || upgrades.extend((0..3).map(|_| upgrade())));
        });
        let Some(pings) = pings else {
            netloom_testkit::skip!("no ping");
            return;
        };
        println!("3 upgrades ({upgrades:?}): {pings:?}, {through} octets of TCP meanwhile");
        assert_eq!(pings.lost, 0, "{pings:?}");
        assert!(through > 1 << 20, "{through}");
        let ports = daemon.json(&["port", "list", "-o", "json"]);
        assert!(ports.as_array().unwrap().iter().all(|port| port["state"] == "up"), "{ports}");
        assert!(ports[0]["received_octets"].as_u64().unwrap() > through, "counts go on: {ports}");

        // What is known is known to the next one, to the last packet.
        daemon.try_ask("fdb add br0 02:00:00:00:09:09 b").unwrap();
        for (name, _) in NODES {
            assert!(nodes::ip_in(rig, name, "link set eth0 down"));
        }
        let mut before = knowledge(&daemon);
        until("nothing comes any more", || {
            let now = knowledge(&daemon);
            std::mem::replace(&mut before, now.clone()) == now
        });
        let worker_before = worker(&daemon);
        upgrade();
        let mut after = knowledge(&daemon);
        // One that nothing used for long may be gone by now.
        let (had, has) = (before["flows"].take(), after["flows"].take());
        assert!(
            has.as_array().unwrap().iter().all(|flow| had.as_array().unwrap().contains(flow)),
            "{has:#} {had:#}"
        );
        assert!(!has.as_array().unwrap().is_empty(), "{had:#}");
        assert_eq!(after, before);
        let count = |worker: &Value, name: &str| worker[name].as_u64().unwrap();
        let worker_after = worker(&daemon);
        for name in ["misses", "signature_hits", "subtable_hits"] {
            assert_eq!(count(&worker_after, name), count(&worker_before, name), "{name}");
        }
        assert!(count(&worker_after, "turns") >= count(&worker_before, "turns"));
        assert!(before["stations"].as_array().unwrap().len() >= 3, "{before:#}");
        // And it carries on, with commands as with packets.
        for (name, _) in NODES {
            assert!(nodes::ip_in(rig, name, "link set eth0 up"));
        }
        nodes::talk(rig, "a", "b", "10.0.0.2");
        daemon.try_ask("port del b").unwrap();
    });
}

#[test]
fn patches_and_records_go_on_too() {
    rig::isolated(|rig| {
        let directory = rig.state_dir.join("switch");
        let daemon = Daemon::start_with(&directory, &["--cores", "0"]);
        let _last = Last(&directory);
        if !daemon.attach(rig, &NODES, &[]) {
            return;
        }
        // The way from `a` to `b` leads over another switch, and a file takes what goes there.
        let record = rig.state_dir.join("frames.pcap");
        for words in [
            "switch add br1".to_owned(),
            "port add br0 p0 type=patch peer=p1".to_owned(),
            "port add br1 p1 type=patch peer=p0".to_owned(),
            format!("port add br1 file type=pcap record={}", record.display()),
            "port del b".to_owned(),
            format!("port add br1 b type=tap dev=eth0 netns={}", rig.netns_dir.join("b").display()),
        ] {
            daemon.try_ask(&words).unwrap();
        }
        assert!(nodes::inside(rig, "b", "10.0.0.2") || nodes::ip_in(rig, "b", "link set eth0 up"));
        nodes::talk(rig, "a", "b", "10.0.0.2");
        let broadcast = || rig.run_in("a", "ping", &["-b", "-c", "1", "-W", "1", "10.0.0.255"]);
        if broadcast().is_none() {
            netloom_testkit::skip!("no ping");
            return;
        }
        let length = || std::fs::metadata(&record).unwrap().len();
        until("something is recorded", || length() > 24);
        let before = length();
        let pings = pinged(rig, "a", "10.0.0.2", || drop(daemon.try_ask("switch upgrade").unwrap())).unwrap();
        assert_eq!(pings.lost, 0, "{pings:?}");
        broadcast().unwrap();
        until("the record grows", || length() > before);
    });
}

/// Speaks with a daemon as a successor does, up to a word.
fn false_successor(directory: &Path, until: &str) {
    let mut stream = UnixStream::connect(directory.join("switch.sock")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"{\"do\":\"take-over\",\"version\":1}\n").unwrap();
    let mut line = |wanted: &str| {
        let (mut text, mut octet) = (Vec::new(), [0]);
        while octet != *b"\n" {
            stream.read_exact(&mut octet).unwrap();
            text.push(octet[0]);
        }
        let word: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(word["word"], wanted, "{word}");
    };
    line("here");
    match until {
        "here" => return,
        "silence" => loop {
            std::thread::park();
        },
        _ => {}
    }
    for _ in 0..2 {
        let mut length = [0; 8];
        stream.read_exact(&mut length).unwrap();
        let mut piece = vec![0; u64::from_le_bytes(length) as usize];
        stream.read_exact(&mut piece).unwrap();
    }
    // The number of descriptors, and an octet for each two hundred; they themselves are let go.
    let mut count = [0; 4];
    stream.read_exact(&mut count).unwrap();
    assert!((3..=200).contains(&u32::from_le_bytes(count)));
    stream.read_exact(&mut [0]).unwrap();
    if until == "ready" {
        return;
    }
    stream.write_all(b"{\"word\":\"ready\"}\n").unwrap();
    let mut text = String::new();
    BufReader::new(&stream).read_line(&mut text).unwrap();
    assert!(text.contains("commit"), "{text}");
    if until == "going" {
        stream.write_all(b"{\"word\":\"going\"}\n").unwrap();
    }
}

/// Not a test of its own: what a false successor does as a process, which may be killed for it.
#[test]
fn is_a_false_successor_if_it_is_told_so() {
    if let Ok(told) = std::env::var(FALSE_SUCCESSOR) {
        let (until, directory) = told.split_once(' ').unwrap();
        false_successor(Path::new(directory), until);
    }
}

#[test]
fn a_successor_that_fails_leaves_the_daemon_as_it_was() {
    rig::isolated(|rig| {
        let directory = rig.state_dir.join("switch");
        let daemon = Daemon::start(&directory);
        let _last = Last(&directory);
        if !daemon.attach(rig, &NODES, &[]) {
            return;
        }
        let first = serving(&directory);
        let pings = pinged(rig, "a", "10.0.0.2", || {
            for program in ["/bin/false", "/nonexistent", "/dev/null"] {
                let error = daemon.try_ask(&format!("switch upgrade --program {program}")).unwrap_err();
                assert!(error.contains("successor"), "{error}");
            }
            // Another language.
            let mut stream = UnixStream::connect(directory.join("switch.sock")).unwrap();
            stream.write_all(b"{\"do\":\"take-over\",\"version\":999}\n").unwrap();
            let mut said = String::new();
            stream.read_to_string(&mut said).unwrap();
            assert!(said.contains("version 999"), "{said}");
            // One that dies at each point, or goes away.
            for until in ["here", "ready", "commit", "going"] {
                let done = Command::new(std::env::current_exe().unwrap())
                    .args(["--exact", "is_a_false_successor_if_it_is_told_so"])
                    .env(FALSE_SUCCESSOR, format!("{until} {}", directory.display()))
                    .output()
                    .unwrap();
                // Who did not leave in order may be ended for it.
                let ended = std::os::unix::process::ExitStatusExt::signal(&done.status) == Some(9);
                assert!(done.status.success() || ended, "{until}: {done:?}");
                daemon.try_ask("port list").unwrap();
                assert_eq!(serving(&directory), first);
            }
        });
        match pings {
            Some(pings) => {
                println!("with successors that fail: {pings:?}");
                assert_eq!(pings.lost, 0, "{pings:?}");
            }
            None => netloom_testkit::skip!("no ping"),
        }
        nodes::talk(rig, "a", "b", "10.0.0.2");
        assert_eq!(serving(&directory), first);
        // After all that one that can does.
        daemon.try_ask("switch upgrade").unwrap();
        until("the predecessor ends", || !serving(&directory).contains(&first[0]));
        nodes::talk(rig, "a", "b", "10.0.0.2");
    });
}

/// One that is silent is ended, and the daemon goes on: nothing waits for long.
#[test]
fn a_successor_that_is_silent_is_ended() {
    rig::isolated(|rig| {
        let directory = rig.state_dir.join("switch");
        let daemon = Daemon::start(&directory);
        let _last = Last(&directory);
        if !daemon.attach(rig, &NODES, &[]) {
            return;
        }
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "is_a_false_successor_if_it_is_told_so"])
            .env(FALSE_SUCCESSOR, format!("silence {}", directory.display()))
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        until("it is ended", || child.try_wait().unwrap().is_some());
        let began = Instant::now();
        nodes::talk(rig, "a", "b", "10.0.0.2");
        assert!(began.elapsed() < Duration::from_secs(5));
    });
}

const SMALL: &str = "
netloom: 1
name: small
networks:
  lan: { via: switch, mode: host-only, subnet: 10.1.0.0/24 }
endpoints:
  a: { interfaces: { eth0: { network: lan, address: 10.1.0.11/24 } } }
  b: { interfaces: { eth0: { network: lan, address: 10.1.0.12/24 } } }
";

/// Numbers of the pings at 100 Hz that were answered, and when.
type Answers = std::sync::Mutex<Vec<(u64, Duration)>>;

/// Since 1970.
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

/// The switch of a topology: an upgrade loses nothing, and one that is killed comes back by itself with the same
/// interfaces and addresses.
#[test]
fn the_switch_of_a_topology_is_upgraded_and_comes_back_when_it_is_killed() {
    let netloom = Netloom::rootless("upgrade");
    if !netloom.is_possible("the_switch_of_a_topology_is_upgraded_and_comes_back_when_it_is_killed") {
        return;
    }
    let file = netloom.file("small.yaml", SMALL);
    netloom.run(&["apply", "--no-tests", "--quiet", &file]).expect(0);
    let first = netloom.switch_daemon().unwrap();
    if netloom.run(&["exec", "small.a", "--", "ping", "-i", "0.01", "-c", "2", "10.1.0.12"]).code != Some(0) {
        netloom_testkit::skip!("no ping, or it may not be fast");
        return;
    }
    let answers = &Answers::default();
    let last = || answers.lock().unwrap().last().map_or(0, |(number, _)| *number);
    let goes_on = |what: &str| {
        let now = last();
        until(what, || last() > now + 10);
    };
    std::thread::scope(|scope| {
        let mut child = netloom
            .command(&["exec", "small.a", "--", "ping", "-D", "-i", "0.01", "10.1.0.12"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let out = child.stdout.take().unwrap();
        scope.spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                // `[1700000000.123456] 64 bytes from 10.1.0.12: icmp_seq=7 ttl=64 time=0.1 ms`
                let time = line.strip_prefix('[').and_then(|rest| rest.split(']').next()?.parse().ok());
                let number = line.split("icmp_seq=").nth(1).filter(|_| line.contains("time="));
                let number = number.and_then(|rest| rest.split(' ').next()?.parse().ok());
                if let (Some(time), Some(number)) = (time, number) {
                    answers.lock().unwrap().push((number, Duration::from_secs_f64(time)));
                }
            }
        });
        goes_on("it is answered");
        netloom.run(&["switch", "upgrade"]).expect(0);
        until("the predecessor ends", || netloom.switch_daemon().is_some_and(|now| now != first));
        goes_on("it is answered after an upgrade");
        let numbers: Vec<u64> = answers.lock().unwrap().iter().map(|(number, _)| *number).collect();
        let lost = numbers.windows(2).map(|pair| pair[1].saturating_sub(pair[0] + 1)).sum::<u64>();
        assert_eq!(lost, 0, "{numbers:?}");
        netloom.run(&["plan", &file]).expect(0);

        for round in 0..3 {
            let killed = netloom.switch_daemon().unwrap();
            let at = now();
            let pid = rustix::process::Pid::from_raw(i32::try_from(killed).unwrap()).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            until("another one runs", || netloom.switch_daemon().is_some_and(|now| now != killed));
            goes_on("it is answered by the next one");
            let seen = answers.lock().unwrap();
            let after = || seen.windows(2).filter(|pair| pair[1].1 > at);
            let lost: u64 = after().map(|pair| pair[1].0.saturating_sub(pair[0].0 + 1)).sum();
            let back = after().map(|pair| pair[1].1 - pair[0].1.max(at)).max().unwrap();
            println!("kill {round}: {lost} of 100 pings a second lost, no answer for {back:?}");
            assert!(back < Duration::from_secs(5), "{back:?}");
            drop(seen);
        }
        // It ends with the namespace's only process of ours that talks.
        let _ = child.kill();
        let _ = child.wait();
    });
    netloom.run(&["plan", &file]).expect(0);
    netloom.run(&["destroy"]).expect(0);
    netloom.assert_nothing_left();
}
