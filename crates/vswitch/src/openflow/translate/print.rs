//! Steps and programs as text, as `ofproto/trace` of Open vSwitch prints them.

use super::super::Sampled;
use super::super::field::{self, TlvMap};
use super::output::PUNT_SAMPLE;
use super::trace::{Note, Trace};
use netloom_mem::PortNumber;
use netloom_nf::{Action as Step, HashBy, Nat, NatRange, Program, Rewrite};
use netloom_proto::openflow::text::{Inner, Names, print_action, print_match, print_packet};
use netloom_proto::openflow::{FieldId, Match, OfPort};
use netloom_table::{Field, Key, Mask};
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The priority that matches are printed without.
const DEFAULT: u16 = 0x8000;

/// Prints steps.
#[must_use]
pub fn print_trace(steps: &[Trace], names: &Names) -> String {
    let mut out = String::new();
    print(&mut out, steps, 0, names);
    out
}

/// A line, and the steps that are printed under it.
struct Line<'t> {
    note: &'t Note,
    inner: &'t [Trace],
}

/// What an action brings about stands behind it, not under it.
fn flatten<'t>(steps: &'t [Trace], lines: &mut Vec<Line<'t>>) {
    for step in steps {
        if matches!(step.note, Note::Action(_)) {
            lines.push(Line { note: &step.note, inner: &[] });
            flatten(&step.inner, lines);
        } else {
            lines.push(Line { note: &step.note, inner: &step.inner });
        }
    }
}

fn print(out: &mut String, steps: &[Trace], level: usize, names: &Names) {
    let mut lines = Vec::new();
    flatten(steps, &mut lines);
    let count = lines.len();
    for (index, line) in lines.into_iter().enumerate() {
        let ends = matches!(
            line.note,
            Note::Action(_) | Note::Nothing | Note::Detail(_) | Note::Warning(_) | Note::Error(_)
        );
        let more = usize::from(index + 1 < count || ends);
        let indent = " ".repeat((level + more) * 4);
        let text = note(line.note, names);
        if matches!(line.note, Note::Bridge { .. }) {
            let _ = write!(out, "\n{indent}{text}\n{indent}{}\n", "-".repeat(text.len()));
        } else {
            let _ = writeln!(out, "{indent}{text}");
        }
        let below = level + 2 * more;
        match line.note {
            Note::Table { .. } | Note::Fragment(_) if line.inner.is_empty() => {
                let _ = writeln!(out, "{}drop", " ".repeat((below + 1) * 4));
            }
            Note::Thaw(table) => {
                let _ = writeln!(out, "{}Resuming from table {table}", " ".repeat(below * 4));
            }
            _ => {}
        }
        print(out, line.inner, below, names);
    }
}

fn note(note: &Note, names: &Names) -> String {
    match note {
        Note::Bridge { name, .. } => format!("bridge(\"{name}\")"),
        Note::Table { table, name, rule } => {
            let number = match name {
                Some(name) => format!("{name}. "),
                None => format!("{table:2}. "),
            };
            let Some(rule) = rule else { return format!("{number}No match.") };
            let mut text = number + &print_match(&rule.matching, DEFAULT, names);
            if !text.ends_with(' ') {
                text.push_str(", ");
            }
            let _ = write!(text, "priority {}", rule.priority);
            if rule.cookie != 0 {
                let _ = write!(text, ", cookie {:#x}", rule.cookie);
            }
            text
        }
        Note::Fragment(table) => {
            format!("{table:2}. Packets are IP fragments and the fragment handling mode is \"drop\".")
        }
        Note::Thaw(_) => "thaw".into(),
        Note::Bucket(number) => format!("bucket {number}"),
        Note::Action(action) => print_action(action, names),
        Note::Nothing => "drop".into(),
        Note::Detail(text) => format!(" -> {text}"),
        Note::Warning(text) => format!(" >> {text}"),
        Note::Error(text) => format!(" >>>> {text} <<<<"),
    }
}

/// Prints a program as the data path's actions of Open vSwitch. `key` is the packet's, which says what the written fields
/// are of; `port` gives a port's name or number.
#[must_use]
pub fn print_program(program: &Program, key: &Key, port: &dyn Fn(PortNumber) -> String) -> String {
    // That a packet is lost of which copies were sent is none of the actions.
    let sent = program.actions().len() > 1;
    let steps = program.actions().iter().filter(|step| !(sent && matches!(step, Step::Lose(_))));
    let steps: Vec<String> = steps.map(|step| self::step(step, key, port)).collect();
    if steps.is_empty() { "drop".into() } else { steps.join(",") }
}

/// Prints what is known of one packet, which is for a queue if one is named, and whose key is in normal form as in
/// [`super::Translation::flow`].
#[must_use]
pub fn print_flow(flow: &Key, queue: Option<u32>, map: &TlvMap, names: &Names) -> String {
    let mut all = Mask::default();
    // The recirculation number, the conjunction and the port of the action set are nobody's business.
    for word in (0..netloom_table::key::WORDS).filter(|word| !matches!(word, 47)) {
        all.add_word(word, u64::MAX);
    }
    let inner = Inner {
        vlan: (flow.get(Field::INNER_TCI) as u16, u16::MAX),
        labels: [Field::MPLS_SECOND, Field::MPLS_THIRD].map(|label| (flow.get(label) as u32, u32::MAX)),
        tunnel_flags: (flow.get(Field::TUN_FLAGS) as u8 & 0xe, 0xe),
    };
    let mut matching = field::to_match(flow, &all, map);
    if let Some(queue) = queue.filter(|queue| *queue != 0) {
        matching.set_number(FieldId::SKB_PRIORITY, queue.into());
    }
    print_packet(&matching, &inner, names)
}

fn tag(tpid: u16, tci: u16) -> String {
    let tpid = if tpid == 0x8100 { String::new() } else { format!("tpid={tpid:#06x},") };
    format!("push_vlan({tpid}vid={},pcp={})", tci & 0xfff, tci >> 13)
}

fn step(step: &Step, key: &Key, port: &dyn Fn(PortNumber) -> String) -> String {
    match step {
        Step::Output(number) => port(*number),
        Step::PushVlan { tpid, tci } => tag(*tpid, *tci),
        Step::PopVlan => "pop_vlan".into(),
        Step::SetVlan(tci) => format!("pop_vlan,{}", tag(0x8100, *tci)),
        Step::Set(rewrite) => set(rewrite, key),
        Step::PushMpls { ethertype, entry } => format!(
            "push_mpls(label={},tc={},ttl={},bos={},eth_type={ethertype:#06x})",
            entry >> 12,
            entry >> 9 & 7,
            entry & 0xff,
            entry >> 8 & 1
        ),
        Step::PopMpls { ethertype } => format!("pop_mpls(eth_type={ethertype:#x})"),
        Step::PushEthernet { destination, source } => {
            format!("push_eth(src={},dst={})", octets(source), octets(destination))
        }
        Step::PopEthernet => "pop_eth".into(),
        Step::PushNsh(header) => {
            format!("push_nsh(flags={},ttl={},np={})", header.flags, header.ttl, header.next)
        }
        Step::PopNsh => "pop_nsh()".into(),
        Step::Clone(program) => format!("clone({})", print_program(program, key, port)),
        Step::Queue(0) => "set(skb_priority(0))".into(),
        Step::Queue(queue) => format!("set(skb_priority({queue:#x}))"),
        Step::Truncate(most) => format!("trunc({most})"),
        Step::Branch(branch) => format!(
            "check_pkt_len(size={},gt({}),le({}))",
            branch.length,
            print_program(&branch.longer, key, port),
            print_program(&branch.otherwise, key, port)
        ),
        Step::Police(meter) | Step::Meter(meter) => format!("meter({meter})"),
        Step::Punt(punt) if punt.kind == PUNT_SAMPLE => sample(&punt.data, port),
        Step::Punt(punt) => format!(
            "userspace(pid=0,controller(reason={},dont_send=0,continuation=0,recirc_id={},rule_cookie={},controller_id={},max_len={}))",
            if punt.reason == super::REASON_MISS_FLOW { 1 } else { punt.reason },
            punt.state,
            hex(punt.cookie),
            punt.controller,
            if punt.most == 0 { u16::MAX } else { punt.most }
        ),
        Step::Connect(connect) => connection(connect),
        Step::Disconnect => "ct_clear".into(),
        Step::Recirculate(number) => format!("recirc({number:#x})"),
        Step::Hash(hashing) => match (hashing.by, hashing.symmetric) {
            (HashBy::Source, _) => format!("hash(l2({}))", hashing.basis),
            (_, true) => format!("hash(sym_l4({}))", hashing.basis),
            (_, false) => format!("hash(l4({}))", hashing.basis),
        },
        Step::Sample(sample) => format!(
            "sample(sample={:.1}%,actions({}))",
            f64::from(sample.probability) * 100.0 / f64::from(u32::MAX),
            print_program(&sample.program, key, port)
        ),
        Step::Brain => "userspace(pid=0,slow_path(controller))".into(),
        Step::Remote { number, .. } => format!("userspace(pid=0,collector({number}))"),
        Step::Decapsulate(number) => format!("tnl_pop({})", port(*number)),
        Step::Encapsulate(headers) => super::push::print(headers, port),
        Step::Drop { .. } | Step::Lose(_) => "drop".into(),
    }
}

/// A sample for collectors.
fn sample(octets: &[u8], port: &dyn Fn(PortNumber) -> String) -> String {
    let output = |output: Option<PortNumber>| output.map_or_else(|| u32::MAX.to_string(), port);
    let inside = match Sampled::decode(octets) {
        Some((_, Sampled::Packet { outputs, port: one, tci, .. })) => {
            let out = match outputs {
                // sFlow 5: dropped, by nobody knows what; one port; several.
                0 => (0x4000_0100_u32).to_string(),
                1 => port(one),
                several => (0x8000_0000 | u32::from(several)).to_string(),
            };
            format!("sFlow(vid={},pcp={},output={out})", tci & 0xfff, tci >> 13)
        }
        Some((_, Sampled::Sum { output: to, .. })) => format!("ipfix(output_port={})", output(to)),
        Some((_, Sampled::Flow { set, domain, point, probability, output: to, direction })) => {
            let direction = match direction {
                1 => ",ingress",
                2 => ",egress",
                _ => "",
            };
            format!(
                "flow_sample(probability={probability},collector_set_id={set},obs_domain_id={domain},\
                 obs_point_id={point},output_port={}{direction})",
                output(to)
            )
        }
        None => "unknown".into(),
    };
    format!("userspace(pid=0,{inside})")
}

fn connection(connect: &netloom_nf::Connect) -> String {
    let mut parts = Vec::new();
    if connect.commit {
        parts.push(if connect.force { "force_commit".into() } else { "commit".into() });
    }
    if connect.zone != 0 {
        parts.push(format!("zone={}", connect.zone));
    }
    if let Some((value, mask)) = connect.mark {
        parts.push(format!("mark={value:#x}/{mask:#x}"));
    }
    match connect.label {
        Some((value, u128::MAX)) => parts.push(format!("label={value:#x}")),
        Some((value, mask)) => parts.push(format!("label={value:#x}/{mask:#x}")),
        None => {}
    }
    if let Some(helper) = connect.helper {
        parts.push(format!("helper={helper}"));
    }
    match &connect.nat {
        Some(Nat::Known) => parts.push("nat".into()),
        Some(Nat::Source(of)) => parts.push(format!("nat(src{})", range(of))),
        Some(Nat::Destination(of)) => parts.push(format!("nat(dst{})", range(of))),
        None => {}
    }
    if parts.is_empty() { "ct".into() } else { format!("ct({})", parts.join(",")) }
}

fn range(range: &NatRange) -> String {
    let mut text = String::new();
    if let Some((first, last)) = range.addresses {
        // Between the colons of an address a port would be lost.
        let wraps = first.is_ipv6() && range.ports.is_some();
        let address = |address: IpAddr| if wraps { format!("[{address}]") } else { address.to_string() };
        let _ = write!(text, "={}", address(first));
        if last != first {
            let _ = write!(text, "-{}", address(last));
        }
    }
    if let Some((first, last)) = range.ports {
        let _ = write!(text, ":{first}");
        if last != first {
            let _ = write!(text, "-{last}");
        }
    }
    if range.persistent {
        text += ",persistent";
    }
    if range.random {
        text += ",random";
    }
    text
}

/// As C's `%#x` writes it: nothing stands before a zero.
fn hex(value: u64) -> String {
    if value == 0 { "0".into() } else { format!("{value:#x}") }
}

fn octets(octets: &[u8]) -> String {
    let parts: Vec<String> = octets.iter().map(|octet| format!("{octet:02x}")).collect();
    parts.join(":")
}

fn mac(value: u64) -> String {
    octets(&value.to_be_bytes()[2..])
}

/// Fields that are written, by header, in the order in which Open vSwitch writes headers.
fn set(rewrite: &Rewrite, key: &Key) -> String {
    let arp = matches!(key.get(Field::ETH_TYPE), 0x0806 | 0x8035);
    let six = key.get(Field::ETH_TYPE) == 0x86dd;
    let transport = match key.get(Field::IP_PROTO) {
        17 => "udp",
        132 => "sctp",
        1 => "icmp",
        58 => "icmpv6",
        _ => "tcp",
    };
    let mut headers: Vec<(&str, Vec<String>)> = Vec::new();
    let mut add = |header, part: String| match headers.iter_mut().find(|(known, _)| *known == header) {
        Some((_, parts)) => parts.push(part),
        None => headers.push((header, vec![part])),
    };
    let v4 = |value: u64| Ipv4Addr::from_bits(value as u32);
    let v6 = |high: Field, low: Field| {
        let part = |field: Field| value_of(rewrite, field).unwrap_or_else(|| key.get(field));
        Ipv6Addr::from_bits(u128::from(part(high)) << 64 | u128::from(part(low)))
    };
    let network = if six { "ipv6" } else { "ipv4" };
    let icmp = transport.starts_with("icmp");
    for write in rewrite.writes() {
        let (value, bits) = (write.value, write.mask);
        // A part of a field is told with its mask.
        let whole = bits == write.field.ones();
        let hex = |value: u64| if whole { hex(value) } else { format!("{}/{bits:#x}", hex(value)) };
        let number = |value: u64| if whole { format!("{value}") } else { format!("{value}/{bits:#x}") };
        let mac = |value: u64| if whole { mac(value) } else { format!("{}/{}", mac(value), mac(bits)) };
        let v4 =
            |value: u64| if whole { v4(value).to_string() } else { format!("{}/{}", v4(value), v4(bits)) };
        match write.field {
            Field::PKT_MARK => add("skb_mark", hex(value)),
            Field::ETH_SRC => add("eth", format!("src={}", mac(value))),
            Field::ETH_DST => add("eth", format!("dst={}", mac(value))),
            Field::IP4_SRC if arp => add("arp", format!("sip={}", v4(value))),
            Field::IP4_DST if arp => add("arp", format!("tip={}", v4(value))),
            Field::IP_PROTO if arp => add("arp", format!("op={value}")),
            Field::ND_TARGET_LOW => {
                add("nd", format!("target={}", v6(Field::ND_TARGET_HIGH, Field::ND_TARGET_LOW)));
            }
            Field::ND_TARGET_HIGH if value_of(rewrite, Field::ND_TARGET_LOW).is_none() => {
                add("nd", format!("target={}", v6(Field::ND_TARGET_HIGH, Field::ND_TARGET_LOW)));
            }
            Field::ND_TARGET_HIGH => {}
            Field::ARP_SHA => add(
                if arp { "arp" } else { "nd" },
                format!("{}={}", if arp { "sha" } else { "sll" }, mac(value)),
            ),
            Field::ARP_THA => add(
                if arp { "arp" } else { "nd" },
                format!("{}={}", if arp { "tha" } else { "tll" }, mac(value)),
            ),
            Field::IP4_SRC => add("ipv4", format!("src={}", v4(value))),
            Field::IP4_DST => add("ipv4", format!("dst={}", v4(value))),
            Field::IP_TOS => add(network, format!("{}={}", if six { "tclass" } else { "tos" }, hex(value))),
            Field::IP_TTL => {
                add(network, format!("{}={}", if six { "hlimit" } else { "ttl" }, number(value)))
            }
            Field::IP6_SRC_LOW => {
                add("ipv6", format!("src={}", v6(Field::IP6_SRC_HIGH, Field::IP6_SRC_LOW)));
            }
            Field::IP6_SRC_HIGH if value_of(rewrite, Field::IP6_SRC_LOW).is_none() => {
                add("ipv6", format!("src={}", v6(Field::IP6_SRC_HIGH, Field::IP6_SRC_LOW)));
            }
            Field::IP6_DST_LOW => {
                add("ipv6", format!("dst={}", v6(Field::IP6_DST_HIGH, Field::IP6_DST_LOW)));
            }
            Field::IP6_DST_HIGH if value_of(rewrite, Field::IP6_DST_LOW).is_none() => {
                add("ipv6", format!("dst={}", v6(Field::IP6_DST_HIGH, Field::IP6_DST_LOW)));
            }
            Field::IP6_SRC_HIGH | Field::IP6_DST_HIGH => {}
            Field::IP6_LABEL => add("ipv6", format!("label={value:#x}")),
            Field::TP_SRC => {
                add(transport, format!("{}={}", if icmp { "type" } else { "src" }, number(value)))
            }
            Field::TP_DST => {
                add(transport, format!("{}={}", if icmp { "code" } else { "dst" }, number(value)))
            }
            Field::NSH_FLAGS | Field::NSH_TTL => {
                let part = |field: Field| value_of(rewrite, field).unwrap_or_else(|| key.get(field));
                if write.field == Field::NSH_FLAGS || value_of(rewrite, Field::NSH_FLAGS).is_none() {
                    let (flags, ttl) = (part(Field::NSH_FLAGS), part(Field::NSH_TTL));
                    add("nsh", format!("flags={flags},ttl={ttl}"));
                }
            }
            Field::NSH_PATH => add("nsh", format!("spi={:#x},si={}", value >> 8, value & 0xff)),
            Field::NSH_C12 | Field::NSH_C34 => {
                let first = if write.field == Field::NSH_C12 { 1 } else { 3 };
                for (number, shift) in [(first, 32), (first + 1, 0)] {
                    if bits >> shift & 0xffff_ffff != 0 {
                        add("nsh", format!("c{number}={:#x}", value >> shift & 0xffff_ffff));
                    }
                }
            }
            Field::MPLS_OUTER => add(
                "mpls",
                format!(
                    "label={},tc={},ttl={},bos={}",
                    value >> 12,
                    value >> 9 & 7,
                    value & 0xff,
                    value >> 8 & 1
                ),
            ),
            Field::TUN_ID => add("tunnel", format!("tun_id={value:#x}")),
            Field::TUN_SRC => add("tunnel", format!("src={}", v4(value))),
            Field::TUN_DST => add("tunnel", format!("dst={}", v4(value))),
            other => add("tunnel", format!("{}={value:#x}", other.name())),
        }
    }
    let sets: Vec<String> =
        headers.iter().map(|(header, parts)| format!("set({header}({}))", parts.join(","))).collect();
    sets.join(",")
}

fn value_of(rewrite: &Rewrite, field: Field) -> Option<u64> {
    rewrite.writes().find(|write| write.field == field).map(|write| write.value)
}

/// The match of a megaflow, in OpenFlow's terms, as Open vSwitch shows it: `looked` in normal form as in
/// [`super::Translation::looked`], `key` the packet's in the data path's form, and the port by OpenFlow's number.
#[must_use]
pub fn megaflow(key: &Key, looked: &Mask, port: OfPort, map: &TlvMap) -> Match {
    let mut values = key.clone();
    field::normalise(&mut values, port);
    let mut bits = Mask::default();
    for (word, of) in looked.words().iter().enumerate() {
        let of = match word {
            // Nothing is told of tags that are not there, nor the kind of one that is.
            3 if key.get(Field::VLAN_TPID) == 0 && key.get(Field::VLAN_TCI) == 0 => 0,
            3 => of & !(Field::VLAN_TPID.ones() << 48 | Field::INNER_TPID.ones() << 16),
            // Registers, metadata and conjunctions are of the tables alone: no flow of the data path has them.
            31..=39 | 47 => 0,
            _ => *of,
        };
        bits.add_word(word, of);
    }
    if bits.get(Field::VLAN_TCI) != 0 {
        bits.add_bits(Field::VLAN_TCI, 0x1000);
    }
    if !matches!(key.get(Field::ETH_TYPE), 0x0800 | 0x86dd) {
        // Only IP has fragments.
        let mut others = Mask::default();
        for (word, of) in bits.words().iter().enumerate() {
            let fragment = if word == Field::IP_FRAG.word() { Field::IP_FRAG.ones() } else { 0 };
            others.add_word(word, of & !(fragment << Field::IP_FRAG.shift()));
        }
        bits = others;
    }
    field::to_match(&values.masked(&bits), &bits, map)
}
