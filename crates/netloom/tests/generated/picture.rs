//! What the kernel holds, as `ip`, `bridge`, `tc` and `nft` tell it: an oracle that shares no code with Netloom.
//!
//! A [`Picture`] leaves out what is chance (interface numbers, handles, MAC addresses that the kernel rolled), what
//! time brings (carrier, timers, counters, learned entries, the kernel's own link-local addresses), and the order
//! of what has none. Deliberately absent: which far end a veth has; Netloom's own observation tells it.

use netloom_testkit::rig::Rig;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// In how many namespaces the programs look at most; Netloom's own observation covers all.
const LOOKED_INTO: usize = 32;

/// Space (`host` or a namespace), then the kinds of things in it, each as a sorted list of lines.
pub type Picture = BTreeMap<String, BTreeMap<&'static str, Vec<String>>>;

/// What shows that something was made anew: numbers of interfaces and namespaces, handles of rules.
pub type Numbers = BTreeSet<String>;

/// One look.
#[derive(Debug, Default)]
pub struct Look {
    /// What is there.
    pub picture: Picture,
    /// The numbers that the kernel gave.
    pub numbers: Numbers,
    /// Whether the kernel still asks around for the owner of an address.
    pub tentative: bool,
}

/// Sysctls that networks are made of; `*` stands for each interface.
const SYSCTLS: [&str; 12] = [
    "ipv4/ip_forward",
    "ipv4/ip_default_ttl",
    "ipv4/tcp_fin_timeout",
    "ipv4/fib_multipath_hash_policy",
    "ipv4/conf/*/forwarding",
    "ipv4/conf/*/rp_filter",
    "ipv4/conf/*/proxy_arp",
    "ipv4/conf/*/arp_ignore",
    "ipv6/conf/*/forwarding",
    "ipv6/conf/*/accept_ra",
    "ipv6/conf/*/disable_ipv6",
    "ipv6/conf/*/accept_dad",
];

/// Members of JSON objects that chance or time decides.
const VOLATILE: [&str; 33] = [
    "ifindex",
    "link_index",
    "link_netnsid",
    "operstate",
    "handle",
    "packets",
    "bytes",
    "refcnt",
    "tentative",
    "bridge_id",
    "root_id",
    "root_port",
    "root_path_cost",
    "topology_change",
    "topology_change_detected",
    "topology_change_ack",
    "hello_timer",
    "tcn_timer",
    "topology_change_timer",
    "gc_timer",
    "message_age_timer",
    "forward_delay_timer",
    "hold_timer",
    "designated_bridge",
    "designated_root",
    "designated_port",
    "designated_cost",
    "config_pending",
    "fdb_n_learned",
    "multicast_router_port",
    "valid_life_time",
    "preferred_life_time",
    "used",
];

/// Times of a bridge that its spanning tree decides.
const TREE: [&str; 4] = ["ageing_time", "forward_delay", "hello_time", "max_age"];

fn run(program: &str, arguments: &[&str], input: &str) -> String {
    let path = format!("{}:/usr/local/sbin:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let mut child = Command::new(program)
        .args(arguments)
        .env("PATH", path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?} {input:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// Several JSON documents, one after the other.
fn documents(text: &str) -> Vec<Value> {
    serde_json::Deserializer::from_str(text)
        .into_iter::<Value>()
        .map(|value| value.unwrap_or_else(|error| panic!("{error} in {text}")))
        .collect()
}

fn list(value: &Value) -> Vec<Value> {
    let items = value.as_array().cloned().unwrap_or_default();
    items.into_iter().filter(|item| item.as_object().is_some_and(|object| !object.is_empty())).collect()
}

fn word<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// Whether a text is a MAC address.
fn is_mac(text: &str) -> bool {
    text.len() == 17 && text.split(':').all(|part| part.len() == 2 && u8::from_str_radix(part, 16).is_ok())
}

/// Takes out what chance and time decide. `known` are the MAC addresses that were asked for.
fn settle(value: &mut Value, known: &BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            members.retain(|key, _| !VOLATILE.contains(&key.as_str()));
            if members.get("stp_state").is_some_and(|state| *state != 0) {
                // A bridge of a spanning tree shows the root's times, and others while the tree changes.
                members.retain(|key, _| !TREE.contains(&key.as_str()));
            }
            if members.get("link_type").is_some_and(|kind| *kind == "tunnel6" || *kind == "gre6") {
                // IPv6 tunnels have a random number of their own, also those that the kernel puts everywhere.
                members.remove("permaddr");
            }
            if let Some(Value::Object(port)) = members.get_mut("info_slave_data") {
                // A bridge numbers its ports as they come.
                port.retain(|key, _| !["state", "no", "id"].contains(&key.as_str()));
            }
            members.values_mut().for_each(|member| settle(member, known));
        }
        Value::Array(items) => {
            let passing = ["LOWER_UP", "NO-CARRIER", "M-DOWN", "linkdown", "dead"];
            items.retain(|item| !item.as_str().is_some_and(|word| passing.contains(&word)));
            items.iter_mut().for_each(|item| settle(item, known));
        }
        Value::String(text) if is_mac(text) && !known.contains(text) => "chance".clone_into(text),
        _ => {}
    }
}

fn lines(items: Vec<Value>, known: &BTreeSet<String>) -> Vec<String> {
    let line = |mut item: Value| {
        settle(&mut item, known);
        item.to_string()
    };
    let mut lines: Vec<String> = items.into_iter().map(line).collect();
    lines.sort();
    lines
}

/// One space, by the calling thread that is in it.
fn space(name: &str, known: &BTreeSet<String>, look: &mut Look) {
    let numbers = &mut look.numbers;
    let mut kinds = BTreeMap::new();
    let shows = "addr show\nroute show table all\nrule show\nneigh show nud permanent\n";
    let four = documents(&run("ip", &["-j", "-d", "-batch", "-"], shows));
    let six = documents(&run("ip", &["-6", "-j", "-batch", "-"], "rule show\nneigh show nud permanent\n"));
    let all =
        |parts: &[Option<&Value>]| parts.iter().flatten().flat_map(|part| list(part)).collect::<Vec<_>>();
    let mut links = all(&[four.first()]);
    let namespace = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
    numbers.insert(format!("{name} {}", namespace.display()));
    let forwards =
        links.iter().any(|link| ["bridge", "vxlan"].contains(&word(&link["linkinfo"], "info_kind")));
    for link in &mut links {
        numbers.insert(format!("{name} {} {}", word(link, "ifname"), link["ifindex"]));
        if let Some(addresses) = link["addr_info"].as_array_mut() {
            // The kernel gives and takes these as carriers come and go.
            addresses.retain(|address| !word(address, "local").starts_with("fe80:"));
            look.tentative |= addresses.iter().any(|address| address.get("tentative").is_some());
            addresses.sort_by_key(|address| {
                (word(address, "family").to_owned(), word(address, "local").to_owned())
            });
        }
    }
    let names: Vec<String> = links.iter().map(|link| word(link, "ifname").to_owned()).collect();
    kinds.insert("link", lines(links, known));
    let mut routes = all(&[four.get(1)]);
    routes.retain(|route| !word(route, "dst").starts_with("fe80:") && word(route, "dst") != "ff00::/8");
    kinds.insert("route", lines(routes, known));
    kinds.insert("rule", lines(all(&[four.get(2), six.first()]), known));
    kinds.insert("neighbour", lines(all(&[four.get(3), six.get(1)]), known));
    if forwards {
        kinds.insert("entry", entries(known));
    }
    let qdiscs = all(&[documents(&run("tc", &["-j", "qdisc", "show"], "")).first()]);
    let shaped: BTreeSet<String> = qdiscs
        .iter()
        .filter(|qdisc| word(qdisc, "kind") != "noqueue")
        .map(|qdisc| word(qdisc, "dev").to_owned())
        .collect();
    // The handles of disciplines are Netloom's choice and must stay.
    let with_handles = qdiscs.iter().map(|qdisc| {
        let handle = word(qdisc, "handle").to_owned();
        let mut qdisc = qdisc.clone();
        qdisc["number"] = handle.into();
        qdisc
    });
    kinds.insert("qdisc", lines(with_handles.collect(), known));
    kinds.insert("class", classes(&shaped));
    kinds.insert("firewall", firewall(name, numbers));
    kinds.insert("sysctl", sysctls(&names));
    kinds.retain(|_, lines| !lines.is_empty());
    look.picture.insert(name.to_owned(), kinds);
}

/// Forwarding entries that somebody asked for.
fn entries(known: &BTreeSet<String>) -> Vec<String> {
    let all = documents(&run("bridge", &["-j", "fdb", "show"], ""));
    let asked = |entry: &Value| {
        let mac = word(entry, "mac");
        let multicast =
            mac.starts_with("33:33:") || mac.starts_with("01:00:5e:") || mac.starts_with("01:80:c2:");
        !multicast && (word(entry, "state") == "permanent" || word(entry, "state") == "static")
    };
    let mut found =
        lines(all.first().map(list).unwrap_or_default().into_iter().filter(asked).collect(), known);
    found.dedup();
    found
}

/// Classes and filters of interfaces; their text, since the JSON of filters is not always whole.
fn classes(shaped: &BTreeSet<String>) -> Vec<String> {
    let mut all = Vec::new();
    for interface in shaped {
        for (what, ends) in [("class", &[""][..]), ("filter", &["", " ingress", " egress"])] {
            for end in ends {
                let text = run("tc", &["-batch", "-"], &format!("{what} show dev {interface}{end}\n"));
                all.extend(text.lines().map(|line| format!("{interface}{end}: {}", line.trim())));
            }
        }
    }
    all
}

/// Every table of a space; the order of rules counts, that of chains and elements does not.
fn firewall(name: &str, numbers: &mut Numbers) -> Vec<String> {
    let ruleset = documents(&run("nft", &["-j", "list", "ruleset"], ""));
    let items = ruleset.first().map(|ruleset| list(&ruleset["nftables"])).unwrap_or_default();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut all = Vec::new();
    for mut item in items {
        if item.get("metainfo").is_some() {
            continue;
        }
        if let Some(set) =
            item.get_mut("set").and_then(|set| set.get_mut("elem")).and_then(Value::as_array_mut)
        {
            set.sort_by_key(Value::to_string);
        }
        // The place in the file is that of the time when the rule was made: a rule stays when lines move.
        let comment = item.get_mut("rule").and_then(|rule| rule.get_mut("comment"));
        if let Some(Value::String(comment)) = comment
            && let Some((words, _)) = comment.split_once(" [")
        {
            *comment = words.to_owned();
        }
        let rule = &item["rule"];
        let mut line = String::new();
        if rule.is_object() {
            let chain = format!("{} {} {}", word(rule, "family"), word(rule, "table"), word(rule, "chain"));
            numbers.insert(format!("{name} {chain} {}", rule["handle"]));
            let place = places.entry(chain).or_default();
            *place += 1;
            let _ = write!(line, "{place:4} ");
        }
        settle(&mut item, &BTreeSet::new());
        all.push(line + &item.to_string());
    }
    all.sort();
    all
}

fn sysctls(interfaces: &[String]) -> Vec<String> {
    let mut all = Vec::new();
    let read = |path: &str| std::fs::read_to_string(format!("/proc/sys/net/{path}")).ok();
    for path in SYSCTLS {
        let paths = match path.split_once('*') {
            None => vec![path.to_owned()],
            Some((before, after)) => {
                let some = ["all", "default"].into_iter().chain(interfaces.iter().map(String::as_str));
                some.map(|interface| format!("{before}{interface}{after}")).collect()
            }
        };
        all.extend(paths.iter().filter_map(|path| Some(format!("{path} = {}", read(path)?.trim()))));
    }
    all.sort();
    all
}

/// The whole rig. `macs` are the MAC addresses that were asked for.
pub fn look(rig: &Rig, macs: &BTreeSet<String>) -> Look {
    let mut known: BTreeSet<String> = macs.clone();
    known.extend(["00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "01:80:c2:00:00:00"].map(str::to_owned));
    let mut names: Vec<String> = std::fs::read_dir(&rig.netns_dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    let there = names.clone();
    let stride = names.len().div_ceil(LOOKED_INTO).max(1);
    names = names.into_iter().step_by(stride).collect();
    names.push("host".to_owned());
    let known = &known;
    let part = |names: &[String]| {
        let mut all = Look::default();
        for name in names {
            match name.as_str() {
                "host" => space(name, known, &mut all),
                _ => rig.within(name, || space(name, known, &mut all)),
            }
        }
        all
    };
    std::thread::scope(|scope| {
        let (first, second) = names.split_at(names.len() / 2);
        let first = scope.spawn(|| part(first));
        let mut all = part(second);
        let first = first.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        all.picture.extend(first.picture);
        all.numbers.extend(first.numbers);
        all.tentative |= first.tentative;
        all.picture.entry("host".to_owned()).or_default().insert("namespace", there);
        all
    })
}

/// What one picture has and the other has not; empty when they are the same.
pub fn difference(found: &Picture, expected: &Picture) -> String {
    let mut text = String::new();
    let lines = |picture: &Picture| -> BTreeSet<String> {
        let mut all: BTreeSet<String> = picture.keys().cloned().collect();
        for (space, kind, lines) in picture
            .iter()
            .flat_map(|(space, kinds)| kinds.iter().map(move |(kind, lines)| (space, kind, lines)))
        {
            for line in lines {
                let mut line = format!("{space} {kind} {line}");
                while !all.insert(line.clone()) {
                    line.push_str(" again");
                }
            }
        }
        all
    };
    let (found_lines, expected_lines) = (lines(found), lines(expected));
    for line in expected_lines.difference(&found_lines).take(12) {
        let _ = writeln!(text, "  missing   {line}");
    }
    for line in found_lines.difference(&expected_lines).take(12) {
        let _ = writeln!(text, "  left over {line}");
    }
    if text.is_empty() && found != expected {
        for (space, kinds) in expected {
            for (kind, lines) in kinds {
                let other = found.get(space).and_then(|kinds| kinds.get(kind));
                if other != Some(lines) {
                    let _ =
                        writeln!(text, "  another order: {space} {kind}\n{other:#?}\ninstead of\n{lines:#?}");
                }
            }
        }
    }
    text
}
