//! `ofproto/trace` and `ofproto/trace-packet-out`: what tables do with a packet, step by step.

use super::super::odp;
use super::super::state::Switch;
use super::super::tables::packet_key;
use super::super::tunnels::{is_tunnel, tunnel};
use super::paths::is_path;
use crate::unixctl::Commands;
use netloom_nf::tunnel::{FLAG_KEY, TunnelKind};
use netloom_nf::{Action as Step, Connect, Nat, Program};
use netloom_proto::openflow::text::{Names, parse_actions, parse_packet, print_match};
use netloom_proto::openflow::{Action, FieldId, OfPort};
use netloom_table::{Field, Key};
use netloom_vswitch::NOBODY;
use netloom_vswitch::bfd::PORT;
use netloom_vswitch::openflow::translate::{
    Request, Start, Translation, megaflow, print_flow, print_program, print_trace, translate,
};
use netloom_vswitch::openflow::{BridgeNumber, TlvMap, field};
use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;

/// The priority that matches are printed without.
const DEFAULT: u16 = 0x8000;
/// The presence of a VLAN tag, in keys of tables.
const PRESENT: u64 = 0x1000;
/// Most packets that come back of one that is traced.
const MOST: usize = 4096;
/// State of a connection: new, established, related, reply, invalid, tracked, and whether it is translated.
const CT_STATE: [&str; 8] = ["new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"];

const USAGE: &str = "{[dp_name] odp_flow | bridge br_flow} [OPTIONS...] [-generate|packet]";
const USAGE_OUT: &str =
    "[-consistent] {[dp_name] odp_flow | bridge br_flow} [OPTIONS...] [-generate|packet] actions";

pub(super) fn add(commands: &mut Commands<Switch>) {
    commands.add("ofproto/trace", USAGE, 1, usize::MAX, |switch, arguments| trace(switch, arguments, None));
    commands.add("ofproto/trace-packet-out", USAGE_OUT, 2, usize::MAX, |switch, arguments| {
        let (last, rest) = arguments.split_last().ok_or("Must specify actions")?;
        let actions = parse_actions(last, &Names::default()).map_err(|error| error.to_string())?.0;
        trace(switch, rest, Some(actions.into()))
    });
}

/// What is asked.
struct Asked {
    bridge: BridgeNumber,
    /// The packet, in the data path's form.
    key: Box<Key>,
    in_port: OfPort,
    /// It is a whole packet, so that bridges learn from it.
    effects: bool,
    /// States of connections that trackers are to find, in turn.
    states: VecDeque<u64>,
}

/// Octets written as hexadecimal digits, with spaces or without.
fn octets(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|letter| !letter.is_whitespace())
        .map(|letter| letter.to_digit(16).map(|digit| digit as u8))
        .collect::<Option<_>>()?;
    let whole = digits.len() >= 28 && digits.len().is_multiple_of(2);
    whole.then(|| {
        digits.chunks(2).map(|pair| pair.iter().fold(0, |octet, digit| octet << 4 | digit)).collect()
    })
}

/// A state of a connection: `trk|est,rpl`.
fn state(text: &str) -> Result<u64, String> {
    let mut bits = 0;
    for word in text.split(['|', ',']).map(str::trim).filter(|word| !word.is_empty()) {
        let place = CT_STATE.iter().position(|known| *known == word);
        bits |= 1 << place.ok_or_else(|| format!("{word}: unknown connection tracking state flag"))?;
    }
    if bits == 0 {
        return Err("invalid connection state".to_owned());
    }
    if bits & 1 << 5 == 0 {
        return Err("invalid connection state: trk is not set".to_owned());
    }
    Ok(bits)
}

fn asked(switch: &Switch, arguments: &[String]) -> Result<Asked, String> {
    let (mut words, mut states, mut generate) = (Vec::new(), VecDeque::new(), false);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "-generate" | "--generate" => generate = true,
            "-consistent" | "--consistent" | "--names" | "--no-names" => {}
            "--ct-next" => {
                states.push_back(state(rest.next().ok_or("Missing argument for option --ct-next")?)?)
            }
            "--l7" | "--l7-len" => drop(rest.next()),
            _ => words.push(argument.as_str()),
        }
    }
    let packet = match words.as_slice() {
        [_, .., last] => octets(last),
        _ => None,
    };
    if packet.is_some() {
        words.pop();
    }
    let bridge_named = |name: &str| switch.bridges.lock().number_of(name);
    let (bridge, key, in_port) = match words.as_slice() {
        [name, flow] if bridge_named(name).is_some() => {
            let bridge = bridge_named(name).ok_or("unknown bridge")?;
            let (key, in_port) = of_bridge(switch, bridge, flow)?;
            (bridge, key, in_port)
        }
        [path, flow] if flow.contains('(') && !switch.paths().keys().any(|known| is_path(known, path)) => {
            return Err("Cannot find the datapath".to_owned());
        }
        [flow] | [_, flow] if flow.contains('(') => of_path(switch, flow)?,
        [flow] => return Err(format!("syntax error at {flow} (or the bridge name was omitted)")),
        [name, _] => return Err(format!("{name}: unknown bridge")),
        [_, _, ..] => return Err("Trailing garbage in packet data".to_owned()),
        [] => return Err("Must specify bridge name".to_owned()),
    };
    let key = match &packet {
        Some(octets) => packet_key(&key, key.get(Field::IN_PORT) as u32, octets),
        None => key,
    };
    Ok(Asked { bridge, key, in_port, effects: packet.is_some() || generate, states })
}

/// A packet in OpenFlow's words.
fn of_bridge(switch: &Switch, bridge: BridgeNumber, text: &str) -> Result<(Box<Key>, OfPort), String> {
    let mut names = Names::default();
    let bridges = switch.bridges.lock();
    let pipeline = bridges.pipelines.get(&bridge).ok_or("unknown bridge")?;
    for port in pipeline.ports() {
        names.port(port.number, &port.name);
    }
    let bad = |error: &dyn std::fmt::Display| format!("Bad openflow flow syntax: {text}: {error}");
    let matching = parse_packet(text, &names).map_err(|error| bad(&error))?;
    let (mut key, _) = field::to_key(&matching, pipeline.tlv_map())
        .map_err(|field| bad(&format!("{}: no such field here", field.get().name)))?;
    let in_port = OfPort(key.get(Field::IN_PORT) as u16);
    for (tpid, tci) in [(Field::VLAN_TPID, Field::VLAN_TCI), (Field::INNER_TPID, Field::INNER_TCI)] {
        if key.get(tci) & PRESENT != 0 {
            key.set(tpid, 0x8100);
            key.set(tci, key.get(tci) & !PRESENT);
        }
    }
    let port = pipeline.port(in_port).map_or(NOBODY, |entry| entry.port);
    key.set(Field::IN_PORT, u64::from(port));
    Ok((Box::new(key), in_port))
}

/// A packet in the data path's words.
fn of_path(switch: &Switch, text: &str) -> Result<(BridgeNumber, Box<Key>, OfPort), String> {
    let numbers = |name: &str| switch.configuration.ports.get(name).map(|port| port.number);
    let mut key = odp::parse(text, &numbers)?;
    let mut port = key.get(Field::IN_PORT) as u32;
    let kinds: BTreeSet<TunnelKind> =
        switch.sharers(port).filter_map(|port| Some(tunnel(&port.options).ok()?.0.kind)).collect();
    let bridges = switch.bridges.lock();
    if !kinds.is_empty() {
        let find = |kind: &TunnelKind| {
            let mut beside = key.clone();
            // All but GRE always have a key.
            let keyless = matches!(kind, TunnelKind::Gre | TunnelKind::Erspan) && key.get(Field::TUN_ID) == 0;
            if !keyless {
                beside.set(Field::TUN_FLAGS, key.get(Field::TUN_FLAGS) | FLAG_KEY);
            }
            bridges.tunnels.find(*kind, &beside)
        };
        port = kinds.iter().find_map(find).ok_or("no OpenFlow tunnel port for this packet")?;
        key.set(Field::IN_PORT, u64::from(port));
    }
    let bridge = bridges.of_port.get(&port).map(|place| place.bridge).ok_or("Invalid datapath flow")?;
    let pipeline = bridges.pipelines.get(&bridge).ok_or("Invalid datapath flow")?;
    Ok((bridge, Box::new(key), pipeline.port_of(port).unwrap_or(OfPort::NONE)))
}

/// The key of a packet as actions made it, in the data path's form.
fn made(flow: &Key, port: u64) -> Box<Key> {
    let mut key = flow.clone();
    key.set(Field::IN_PORT, port);
    for tci in [Field::VLAN_TCI, Field::INNER_TCI] {
        key.set(tci, key.get(tci) & !PRESENT);
    }
    Box::new(key)
}

/// The numbers under which a program has packets looked up again, with what a connection tracker was asked before. Those that
/// come back with what nobody knows before they do (a hash) are not followed, as by Open vSwitch.
fn comes_back(program: &Program, found: &mut Vec<(u32, Option<Arc<Connect>>)>) {
    let (mut tracked, mut bare) = (None, false);
    for action in program.actions() {
        match action {
            Step::Connect(connect) => tracked = Some(connect.clone()),
            Step::PopMpls { .. } | Step::PopNsh => bare = true,
            Step::Recirculate(number) if tracked.is_some() || bare => found.push((*number, tracked.clone())),
            Step::Clone(program) => comes_back(program, found),
            Step::Sample(sample) => comes_back(&sample.program, found),
            Step::Branch(branch) => {
                comes_back(&branch.longer, found);
                comes_back(&branch.otherwise, found);
            }
            _ => {}
        }
    }
}

/// What a tracker would make of a packet, as far as that can be said: its zone, and the first address and port of a range.
fn tracked_as(key: &mut Key, connect: &Connect) {
    key.set(Field::CT_ZONE, u64::from(connect.zone));
    let (range, four, six, port) = match &connect.nat {
        Some(Nat::Source(range)) => {
            (range, Field::IP4_SRC, (Field::IP6_SRC_HIGH, Field::IP6_SRC_LOW), Field::TP_SRC)
        }
        Some(Nat::Destination(range)) => {
            (range, Field::IP4_DST, (Field::IP6_DST_HIGH, Field::IP6_DST_LOW), Field::TP_DST)
        }
        Some(Nat::Known) | None => return,
    };
    match range.addresses {
        Some((IpAddr::V4(first), _)) => key.set(four, u64::from(first.to_bits())),
        Some((IpAddr::V6(first), _)) => {
            key.set(six.0, (first.to_bits() >> 64) as u64);
            key.set(six.1, first.to_bits() as u64);
        }
        None => {}
    }
    if let Some((first, _)) = range.ports {
        key.set(port, u64::from(first));
    }
}

fn trace(
    switch: &mut Switch,
    arguments: &[String],
    actions: Option<Arc<[Action]>>,
) -> Result<String, String> {
    let Asked { bridge, key, in_port, effects, mut states } = asked(switch, arguments)?;
    let now = switch.now();
    let start = actions.map_or(Start::Tables, Start::Actions);
    let (mut text, mut waiting) = (String::new(), VecDeque::from([(bridge, key, Some(in_port), start)]));
    let mut count = 0;
    while let Some((bridge, key, in_port, start)) = waiting.pop_front() {
        let mut bridges = switch.bridges.lock();
        let map =
            bridges.pipelines.get(&bridge).map(|pipeline| pipeline.tlv_map().clone()).unwrap_or_default();
        let request = Request { bridge, key: &key, in_port, start, effects, trace: true, now };
        let translation = translate(&mut *bridges, &request);
        let tunnels = bridges.tunnels.clone();
        drop(bridges);
        let port = in_port.unwrap_or(OfPort(translation.flow.get(Field::IN_PORT) as u16));
        let number = |port: u32| {
            let shared = switch.configuration.ports.values().find(|known| known.number == port);
            shared
                .filter(|known| is_tunnel(&known.options))
                .map_or(port, |known| switch.shared_port(known).1)
                .to_string()
        };
        let told = match switch.bridges.lock().tunnels_told_as_ports {
            true => odp::tunnel_program(&translation.program, &key, &tunnels, &number),
            false => print_program(&translation.program, &key, &number),
        };
        show(&mut text, &key, port, &translation, (&map, &told));
        switch.crew.changed(&translation.changed);
        let mut found = Vec::new();
        comes_back(&translation.program, &mut found);
        for (number, tracked) in found {
            count += 1;
            if count > MOST {
                break;
            }
            let mut next = made(&translation.flow, key.get(Field::IN_PORT));
            next.set(Field::RECIRCULATION, u64::from(number));
            let line = "=".repeat(79);
            // A string takes whatever is written.
            let _ = write!(text, "\n\n{line}\nrecirc({number:#x})");
            if let Some(connect) = tracked {
                tracked_as(&mut next, &connect);
                let bits = states.pop_front();
                let default =
                    " - resume conntrack with default ct_state=trk|new (use --ct-next to customize)";
                match bits {
                    Some(bits) => {
                        let set = (0..CT_STATE.len()).filter(|bit| bits >> bit & 1 == 1);
                        let words: Vec<&str> = set.filter_map(|bit| CT_STATE.get(bit).copied()).collect();
                        let _ = write!(text, " - resume conntrack with ct_state={}", words.join("|"));
                    }
                    None => text.push_str(default),
                }
                next.set(Field::CT_STATE, bits.unwrap_or(0x21));
            }
            let _ = write!(text, "\n{line}\n\n");
            waiting.push_back((bridge, next, None, Start::Tables));
        }
    }
    switch.desk().publish();
    text.push('\n');
    Ok(text)
}

fn show(text: &mut String, key: &Key, port: OfPort, translation: &Translation, (map, told): (&TlvMap, &str)) {
    let names = Names::default();
    let mut before = key.clone();
    field::into_normal_form(&mut before, port);
    // A string takes whatever is written.
    let first = print_flow(&before, None, map, &names);
    let _ = writeln!(text, "Flow: {first}");
    text.push_str(&print_trace(&translation.trace, &names));
    let last = print_flow(&translation.flow, translation.queue, map, &names);
    let last = if last == first { "unchanged" } else { &last };
    let _ = writeln!(text, "\nFinal flow: {last}");
    let mut megaflow = megaflow(key, &translation.looked, port, map);
    if translation.queues {
        // Every packet comes without a queue; Open vSwitch looks at it before it writes it.
        megaflow.set_number(FieldId::SKB_PRIORITY, 0);
    }
    let _ = writeln!(text, "Megaflow: {}", print_match(&megaflow, DEFAULT, &names));
    let heard = translation.program.actions().iter().any(|step| matches!(step, Step::Brain));
    // To Open vSwitch a packet that it hears itself is one that the data path drops.
    let _ = write!(text, "Datapath actions: {}", if heard { "drop" } else { told });
    if let Some(problem) = translation.problem {
        let _ = write!(text, "\nTranslation failed ({}), packet is dropped.", problem.verdict());
    }
    if heard {
        let _ = write!(
            text,
            "\nThis flow is handled by the userspace slow path because it:\n  - Consists of {} packets.",
            protocol(key)
        );
    }
}

/// The protocol that a packet is of which the bridge hears itself.
fn protocol(key: &Key) -> &'static str {
    match (key.get(Field::ETH_TYPE), key.get(Field::ETH_DST)) {
        (0x8902, _) => "CFM",
        (0x8809, _) => "LACP",
        (0x88cc, _) => "LLDP",
        (0x0800, _) if key.get(Field::TP_DST) == u64::from(PORT) => "BFD",
        (_, 0x0180_c200_0000) => "STP",
        _ => "multicast group",
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::tables::tests::Rig;
    use super::*;

    /// What Open vSwitch 3.1 prints for the same tables and packets.
    #[test]
    fn traces_are_those_of_open_vswitch() {
        let mut rig = Rig::new();
        rig.clear();
        for flow in [
            "table=0,udp,actions=ct(table=1)",
            "table=1,ct_state=+trk+new,udp,actions=ct(commit),2",
            "table=1,ct_state=+trk+est,udp,actions=2",
            "table=0,icmp,actions=controller",
        ] {
            rig.flow(flow);
        }
        let mut ask = |words: &str| {
            let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
            trace(&mut rig.switch, &words, None)
        };
        assert_eq!(
            ask("br0 in_port=p1,udp --ct-next trk,est").unwrap(),
            "Flow: udp,in_port=1,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,nw_src=0.0.0.0,\
             nw_dst=0.0.0.0,nw_tos=0,nw_ecn=0,nw_ttl=0,nw_frag=no,tp_src=0,tp_dst=0\n\
             \nbridge(\"br0\")\n-------------\n 0. udp, priority 32768\n    ct(table=1)\n    drop\n     \
             -> A clone of the packet is forked to recirculate. The forked pipeline will be resumed at table 1.\n     \
             -> Sets the packet to an untracked state, and clears all the conntrack fields.\n\
             \nFinal flow: unchanged\nMegaflow: recirc_id=0,eth,udp,in_port=1,nw_frag=no\n\
             Datapath actions: ct,recirc(0x1)\n\n\
             ===============================================================================\n\
             recirc(0x1) - resume conntrack with ct_state=est|trk\n\
             ===============================================================================\n\n\
             Flow: recirc_id=0x1,ct_state=est|trk,eth,udp,in_port=1,vlan_tci=0x0000,\
             dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,nw_src=0.0.0.0,nw_dst=0.0.0.0,nw_tos=0,nw_ecn=0,\
             nw_ttl=0,nw_frag=no,tp_src=0,tp_dst=0\n\
             \nbridge(\"br0\")\n-------------\n    thaw\n        Resuming from table 1\n \
             1. ct_state=+est+trk,udp, priority 32768\n    output:2\n\
             \nFinal flow: unchanged\nMegaflow: recirc_id=0x1,ct_state=-new+est+trk,eth,udp,in_port=1,nw_frag=no\n\
             Datapath actions: 2\n"
        );
        assert_eq!(
            ask("br0 in_port=1 50540000000550540000000708000045000014000000004001000001020304050607080800")
                .unwrap(),
            "Flow: ip,in_port=1,vlan_tci=0x0000,dl_src=50:54:00:00:00:07,dl_dst=50:54:00:00:00:05,nw_src=0.0.0.0,\
             nw_dst=0.0.0.0,nw_proto=0,nw_tos=0,nw_ecn=0,nw_ttl=0,nw_frag=no\n\
             \nbridge(\"br0\")\n-------------\n 0. No match.\n    drop\n\
             \nFinal flow: unchanged\nMegaflow: recirc_id=0,eth,ip,in_port=1,nw_proto=0,nw_frag=no\n\
             Datapath actions: drop\n"
        );
        for (words, error) in [
            ("nobr in_port=1", "nobr: unknown bridge"),
            ("br0", "syntax error at br0 (or the bridge name was omitted)"),
            ("br0 in_port=1 zz", "Trailing garbage in packet data"),
            ("br0 in_port=1,udp --ct-next foo", "foo: unknown connection tracking state flag"),
        ] {
            assert_eq!(ask(words).unwrap_err(), error, "{words}");
        }
        assert!(ask("br0 foo=1").unwrap_err().starts_with("Bad openflow flow syntax: foo=1: "));
        let path = "in_port(p1),eth(src=50:54:00:00:00:05,dst=ff:ff:ff:ff:ff:ff),eth_type(0x0806)";
        assert!(ask(path).unwrap().ends_with("Datapath actions: drop\n"));
    }
}
