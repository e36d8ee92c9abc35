//! `ovs-ofctl`: one list of commands by either tool, each on a switch of its own.

use super::place::{Place, Said, Whose, has};
use super::words;

const COMMANDS: &str = include_str!("ofctl.txt");

const BRIDGE: &str = "add-br br0 -- set bridge br0 datapath_type=dummy fail-mode=secure \
     protocols=OpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14,OpenFlow15 \
     other-config:hwaddr=00:00:00:00:00:01 \
     -- add-port br0 p1 -- set interface p1 type=dummy ofport_request=1 \
     -- add-port br0 p2 -- set interface p2 type=dummy ofport_request=2 \
     -- add-port br0 'q three' -- set interface 'q three' type=dummy ofport_request=7";

/// What differs from one run to the next: a number of a message, a duration, a count of packets.
fn steady(text: &str) -> Vec<String> {
    let cut = |line: &str| {
        let mut line = line.to_owned();
        for word in
            ["xid=0x", "xid=", "duration=", "duration:", "time=", "pkts=", "bytes=", "idle_age=", "hard_age="]
        {
            let mut from = 0;
            while let Some(at) = line[from..].find(word).map(|at| at + from + word.len()) {
                let end = line[at..].find([',', ')', ' ']).map_or(line.len(), |end| at + end);
                line.replace_range(at..end, "N");
                from = at;
            }
        }
        for word in ["tx_q0_bytes=", "tx_q0_packets="] {
            if let Some(at) = line.find(word).map(|at| at + word.len()) {
                let end = line[at..].find(',').map_or(line.len(), |end| at + end);
                line.replace_range(at..end, "N");
            }
        }
        // Whether an age is told depends on whether a second has passed.
        line.replace(" idle_age=N,", "").replace(" hard_age=N,", "")
    };
    let mut lines: Vec<String> = text.lines().map(cut).collect();
    lines.sort();
    lines
}

struct Switch(Place);

impl Switch {
    fn run(&self, whose: Whose, words: &[&str], input: Option<&str>) -> Said {
        self.0.run(whose, "ovs-ofctl", words, input)
    }

    /// All that commands change.
    fn state(&self) -> Vec<String> {
        let questions = [
            "-O OpenFlow15 dump-flows br0",
            "-O OpenFlow15 dump-groups br0",
            "-O OpenFlow15 dump-meters br0",
            "-O OpenFlow15 dump-ports-desc br0",
            "dump-tlv-map br0",
        ];
        let ask = |line: &str| {
            let words = words(line);
            steady(&self.run(Whose::Real, &words.iter().map(String::as_str).collect::<Vec<_>>(), None).output)
        };
        questions.into_iter().flat_map(ask).collect()
    }

    /// Goes through the list with a tool.
    fn go(&self, whose: Whose, version: &str) -> Vec<(String, Said, Vec<String>)> {
        let lines = COMMANDS.lines().filter(|line| !line.starts_with('#'));
        let each = lines.map(|line| {
            let (command, input) = match line.split_once(" <<< ") {
                Some((command, input)) => (command, Some(input.replace("\\n", "\n") + "\n")),
                None => (line, None),
            };
            let mut given = words(command);
            given.splice(0..0, ["-O".to_owned(), version.to_owned()]);
            let given: Vec<&str> = given.iter().map(String::as_str).collect();
            let said = self.run(whose, &given, input.as_deref());
            let asks = ["dump", "show", "get", "ping", "probe", "queue", "parse", "--no", "--sort", "-F"];
            let state =
                if asks.iter().any(|word| line.starts_with(word)) { Vec::new() } else { self.state() };
            (line.to_owned(), said, state)
        });
        each.collect()
    }
}

/// A switch and a bridge with three ports.
fn with_bridge() -> Switch {
    let switch = Switch(Place::with_switch());
    let bridge = words(BRIDGE);
    let bridge: Vec<&str> = bridge.iter().map(String::as_str).collect();
    let made = switch.0.run(Whose::Real, "ovs-vsctl", &bridge, None);
    assert_eq!(made.status, Some(0), "{made:?}");
    switch
}

fn both(version: &str) {
    if !has(&["ovs-ofctl", "ovs-vsctl", "ovsdb-server", "ovs-vswitchd", "ovsdb-tool"]) {
        return;
    }
    let (ours, theirs) = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| with_bridge().go(Whose::Real, version));
        (with_bridge().go(Whose::Ours, version), theirs.join().unwrap())
    });
    for ((line, real, state), (_, said, became)) in theirs.iter().zip(&ours) {
        assert_eq!(said.status, real.status, "{line}\n{real:?}\n{said:?}");
        assert_eq!(steady(&said.output), steady(&real.output), "{line}");
        // The real tool notes numbers out of range in its log, too.
        let mut errors = steady(&real.errors);
        errors
            .retain(|line| !["ofp_port|", "ofp_table|", "ofp_group|"].iter().any(|it| line.starts_with(it)));
        assert_eq!(steady(&said.errors), errors, "{line}");
        assert_eq!(became, state, "{line}");
    }
    println!("ovs-ofctl -O {version}: {} commands alike", ours.len());
    assert!(ours.len() > 150);
}

#[test]
fn alike_in_openflow_10() {
    both("OpenFlow10");
}

#[test]
fn alike_in_openflow_11() {
    both("OpenFlow11");
}

#[test]
fn alike_in_openflow_12() {
    both("OpenFlow12");
}

#[test]
fn alike_in_openflow_13() {
    both("OpenFlow13");
}

#[test]
fn alike_in_openflow_14() {
    both("OpenFlow14");
}

#[test]
fn alike_in_openflow_15() {
    both("OpenFlow15");
}
