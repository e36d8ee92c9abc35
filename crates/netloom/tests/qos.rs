//! Open vSwitch's own tools shape a port of a switch daemon, and packets of namespaces are what is measured.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod daemon;

use daemon::{Daemon, until};
use netloom_testkit::rig::{self, Rig};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const NODES: [(&str, &str); 2] = [("a", "10.0.0.1/24"), ("b", "10.0.0.2/24")];
/// UDP ports, each with the queue of its number.
const PORTS: [u16; 2] = [5001, 5002];
/// Octets of a datagram, and of its frame.
const DATAGRAM: usize = 1000;
const FRAME: u64 = DATAGRAM as u64 + 42;

/// The tools, on the daemon of a directory.
struct Tools(PathBuf);

impl Tools {
    fn run(&self, mut command: Command, words: &str) -> Result<String, String> {
        let output = command.args(words.split_whitespace()).output().map_err(|error| error.to_string())?;
        let text = |octets: Vec<u8>| String::from_utf8(octets).unwrap().trim().to_owned();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    #[track_caller]
    fn vsctl(&self, words: &str) -> String {
        let mut command = Command::new("ovs-vsctl");
        command.arg(format!("--db=unix:{}", self.0.join("db.sock").display())).arg("--timeout=10");
        self.run(command, words).unwrap_or_else(|error| panic!("ovs-vsctl {words}: {error}"))
    }

    #[track_caller]
    fn ofctl(&self, options: &[&str], action: &str, words: &str) -> String {
        let mut command = Command::new("ovs-ofctl");
        command.args(options).arg("--timeout=10").arg(action);
        command.arg(format!("unix:{}", self.0.join("br0.mgmt").display()));
        self.run(command, words).unwrap_or_else(|error| panic!("ovs-ofctl {action} {words}: {error}"))
    }

    #[track_caller]
    fn appctl(&self, words: &str) -> String {
        let socket = std::fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path());
        let is_socket = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with("ovs-vswitchd.") && name.ends_with(".ctl")
        };
        let mut sockets: Vec<PathBuf> = socket.filter(is_socket).collect();
        sockets.sort();
        let mut command = Command::new("ovs-appctl");
        command.arg("-t").arg(sockets.last().unwrap());
        self.run(command, words).unwrap_or_else(|error| panic!("ovs-appctl {words}: {error}"))
    }

    /// What a queue of the port `b` counted: packets and errors.
    fn counted(&self, queue: u32) -> (u64, u64) {
        let text = self.ofctl(&["-O", "OpenFlow13"], "queue-stats", "b");
        let line = text.lines().find(|line| line.contains(&format!("queue {queue}:")));
        let line = line.unwrap_or_else(|| panic!("no queue {queue}: {text}"));
        let number = |name: &str| {
            let rest = line.split_once(name).unwrap().1;
            rest.split(|letter: char| !letter.is_ascii_digit()).next().unwrap().parse().unwrap()
        };
        (number("pkts="), number("errors="))
    }
}

/// Nodes whose datagrams go from `a` to `b` by queues.
fn with_queues(two: bool, body: impl FnOnce(&Rig, &Path, &Daemon<'_>, &Tools) + Send) {
    rig::isolated(move |rig| {
        for tool in ["ovs-vsctl", "ovs-ofctl", "ovs-appctl"] {
            if Command::new(tool).arg("--version").output().is_err() {
                netloom_testkit::skip!("no {tool}");
                return;
            }
        }
        let directory = rig.state_dir.join("switch");
        let daemon = if two { Daemon::start_two(&directory) } else { Daemon::start(&directory) };
        if !daemon.attach(rig, &NODES, &[]) {
            return;
        }
        let tools = Tools(directory.clone());
        for (queue, port) in (1..).zip(PORTS) {
            tools.ofctl(
                &[],
                "add-flow",
                &format!("priority=9,in_port=1,udp,tp_dst={port},actions=set_queue:{queue},output:2"),
            );
        }
        body(rig, &directory, &daemon, &tools);
    });
}

/// Sends datagrams to both ports at rates (in bits of frames a second) for as long as `body` runs, and counts what arrives.
fn flooded<T>(rig: &Rig, rates: [u64; 2], body: impl FnOnce(&[AtomicU64; 2]) -> T) -> T {
    let (stop, came) = (AtomicBool::new(false), [AtomicU64::new(0), AtomicU64::new(0)]);
    let sockets = PORTS.map(|port| rig.within("b", || UdpSocket::bind(("10.0.0.2", port)).unwrap()));
    let from = rig.within("a", || UdpSocket::bind("10.0.0.1:0").unwrap());
    std::thread::scope(|scope| {
        for (socket, came) in sockets.iter().zip(&came) {
            socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
            let stop = &stop;
            scope.spawn(move || {
                let mut datagram = [0; DATAGRAM];
                while !stop.load(Ordering::Relaxed) {
                    if socket.recv(&mut datagram).is_ok() {
                        came.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        scope.spawn(|| {
            let (began, mut sent) = (Instant::now(), [0_u64; 2]);
            while !stop.load(Ordering::Relaxed) {
                let elapsed = began.elapsed().as_nanos() as u64;
                for ((rate, sent), port) in rates.iter().zip(&mut sent).zip(PORTS) {
                    let wanted = (u128::from(elapsed) * u128::from(*rate) / 8_000_000_000) as u64 / FRAME;
                    // Whoever was held up does not catch up all at once.
                    *sent = (*sent).max(wanted.saturating_sub(50));
                    while *sent < wanted {
                        let _ = from.send_to(&[7; DATAGRAM], ("10.0.0.2", port));
                        *sent += 1;
                    }
                }
                std::thread::sleep(Duration::from_micros(300));
            }
        });
        let result = body(&came);
        stop.store(true, Ordering::Relaxed);
        result
    })
}

/// Megabits of frames in a second that arrive by each queue.
fn measured(rig: &Rig, rates: [u64; 2]) -> [f64; 2] {
    flooded(rig, rates, |came| {
        // Buckets that are full at first, and queues that are empty.
        std::thread::sleep(Duration::from_millis(700));
        let (began, before) = (Instant::now(), came.each_ref().map(|count| count.load(Ordering::Relaxed)));
        std::thread::sleep(Duration::from_millis(1500));
        let elapsed = began.elapsed().as_secs_f64();
        let after = came.each_ref().map(|count| count.load(Ordering::Relaxed));
        std::array::from_fn(|queue| ((after[queue] - before[queue]) * FRAME * 8) as f64 / elapsed / 1e6)
    })
}

/// Waits until nothing leaves any more that waited.
fn drained(tools: &Tools) {
    let counts = || [tools.counted(1), tools.counted(2)];
    until("all that waited has left", || {
        let before = counts();
        std::thread::sleep(Duration::from_millis(100));
        counts() == before
    });
}

#[track_caller]
fn near(is: f64, wanted: f64) {
    assert!((is - wanted).abs() <= wanted * 0.08 + 0.2, "{is} Mbit/s instead of {wanted}");
}

const HTB: &str = "-- set Port b qos=@qos -- --id=@qos create QoS type=linux-htb other_config:max-rate=20000000 \
                   queues:1=@one queues:2=@two -- --id=@one create Queue other_config:max-rate=5000000 other_config:min-rate=2000000 \
                   -- --id=@two create Queue other_config:min-rate=2000000";

fn shares(two: bool) {
    with_queues(two, |rig, _, _, tools| {
        let free = measured(rig, [15_000_000, 25_000_000]);
        near(free[0], 15.0);
        near(free[1], 25.0);
        tools.vsctl(HTB);
        let shaped = measured(rig, [15_000_000, 25_000_000]);
        near(shaped[0], 5.0);
        near(shaped[1], 15.0);
        // What one leaves is the other's; and a change of a row is carried out while packets wait.
        drained(tools);
        let alone = measured(rig, [1_000_000, 30_000_000]);
        near(alone[0], 1.0);
        near(alone[1], 19.0);
        let queues = "set Queue @q other_config:max-rate=16000000 other_config:min-rate=16000000";
        let row = tools.vsctl("--bare --columns=_uuid find Queue other_config:max-rate=5000000");
        tools.vsctl(&queues.replace("@q", &row));
        drained(tools);
        let changed = measured(rig, [25_000_000, 25_000_000]);
        near(changed[0], 16.0);
        near(changed[1], 4.0);
        // Without the row packets are as fast as they were.
        tools.vsctl("-- clear Port b qos -- --all destroy QoS -- --all destroy Queue");
        near(measured(rig, [15_000_000, 25_000_000])[1], 25.0);
    });
}

#[test]
fn queues_have_their_shares() {
    shares(false);
}

#[test]
fn queues_have_their_shares_with_two_workers() {
    shares(true);
}

#[test]
fn other_disciplines_keep_their_rate() {
    with_queues(false, |rig, _, _, tools| {
        tools.vsctl(&HTB.replace("linux-htb", "linux-hfsc"));
        let [one, two] = measured(rig, [15_000_000, 25_000_000]);
        near(one, 5.0);
        near(two, 15.0);
        // 1.25 million octets of IP packets in a second are 10 Mbit/s, and 14 octets more of each frame.
        tools.vsctl("set QoS . type=egress-policer other_config={cir=1250000,cbs=20000} queues={}");
        let [one, two] = measured(rig, [15_000_000, 25_000_000]);
        near(one + two, 10.0 * FRAME as f64 / (FRAME as f64 - 14.0));
        tools.vsctl("set QoS . type=linux-netem other_config={latency=30000}");
        until("it has come to pass", || tools.appctl("qos/show b").contains("latency: 30000"));
        if let Some(done) = rig.run_in("a", "ping", &["-c", "3", "-i", "0.1", "10.0.0.2"]) {
            let text = String::from_utf8(done.stdout).unwrap();
            let fastest = text.rsplit_once(" = ").unwrap().1.split('/').next().unwrap();
            assert!((30.0..50.0).contains(&fastest.parse::<f64>().unwrap()), "{text}");
        }
    });
}

/// Sends so many datagrams to a port.
fn send(rig: &Rig, port: u16, count: usize) {
    let socket = rig.within("a", || UdpSocket::bind("10.0.0.1:0").unwrap());
    for _ in 0..count {
        socket.send_to(&[7; DATAGRAM], ("10.0.0.2", port)).unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn what_the_tools_are_told() {
    with_queues(false, |rig, directory, daemon, tools| {
        assert_eq!(tools.appctl("qos/show b"), "QoS not configured on b");
        tools.vsctl(HTB);
        let text = tools.appctl("qos/show b");
        for line in [
            "QoS: b linux-htb",
            "max-rate: 20000000",
            "\nDefault:",
            "\nQueue 1:",
            "  max-rate: 5000000",
            "  min-rate: 2000000",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        let types = tools.appctl("qos/show-types b");
        assert!(types.contains("QoS type: linux-htb\n") && !types.contains("linux-sfq"), "{types}");
        // Both ends know each other first.
        let mut last = (0, 0);
        until("datagrams of the queue 1 are counted", || {
            send(rig, 5001, 1);
            last = tools.counted(1);
            last.0 >= 5
        });
        let before = tools.counted(2);
        send(rig, 5002, 20);
        until("those of the queue 2", || tools.counted(2).0 == before.0 + 20);
        assert_eq!((tools.counted(1), tools.counted(2).1), (last, 0));
        // By every version, for one queue, for all ports.
        for version in ["OpenFlow10", "OpenFlow13", "OpenFlow14", "OpenFlow15"] {
            let text = tools.ofctl(&["-O", version], "queue-stats", "b 2");
            assert!(text.contains("queue 2: bytes=") && !text.contains("queue 1:"), "{text}");
            let text = tools.ofctl(&["-O", version], "queue-stats", "");
            assert!(text.contains("3 queues"), "{text}");
            let port = if version == "OpenFlow10" { "2" } else { "b" };
            let text = tools.ofctl(&["-O", version], "queue-get-config", port);
            assert!(text.contains('1') && text.contains('2'), "{version}: {text}");
        }
        // The data path's actions, as Open vSwitch prints them.
        let traced = tools.appctl("ofproto/trace br0 in_port=1,udp,udp_dst=5002");
        assert!(traced.contains("Datapath actions: set(skb_priority(0x2)),"), "{traced}");
        assert!(traced.contains("recirc_id=0,skb_priority=0,"), "{traced}");
        // A successor goes on with what was counted, and shapes before the first packet.
        let counted = tools.counted(2);
        daemon.try_ask("switch upgrade").unwrap();
        until("the successor answers", || directory.join("br0.mgmt").exists());
        until("it knows what was counted", || tools.counted(2) == counted);
        assert!(tools.appctl("qos/show b").contains("  max-rate: 5000000"));
        // What is not served is said by name, and then nothing is shaped.
        tools.vsctl("set QoS . type=linux-fq_codel other_config={}");
        until("it is refused", || {
            tools.appctl("qos/show b").contains("QoS type linux-fq_codel is not served")
        });
        // The successor is nobody's child here.
        daemon.try_ask("switch stop").unwrap();
    });
}

#[test]
fn a_queue_of_each_packet_is_the_one_it_was_put_into() {
    with_queues(false, |rig, _, _, tools| {
        tools.vsctl(HTB);
        tools.ofctl(&[], "add-flow", "priority=10,in_port=1,udp,tp_dst=5001,actions=enqueue:2:2");
        tools.ofctl(
            &[],
            "add-flow",
            "priority=10,in_port=1,udp,tp_dst=5002,actions=set_queue:1,pop_queue,output:2",
        );
        until("datagrams are counted", || {
            send(rig, 5001, 1);
            tools.counted(2).0 >= 5
        });
        let before = tools.counted(0).0;
        send(rig, 5002, 20);
        until("those without a queue go to the first", || tools.counted(0).0 >= before + 20);
        assert_eq!(tools.counted(1), (0, 0));
    });
}
