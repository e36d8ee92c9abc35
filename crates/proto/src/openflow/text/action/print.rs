//! Actions written as Open vSwitch writes them.

use super::super::super::action::{
    Action, Bundle, BundleAlgorithm, Controller, Ct, CtZone, EncapProperty, Learn, LearnSource, LearnTarget,
    NO_BUFFER, Nat, SampleDirection, USE_NEXT_PROTOCOL,
};
use super::super::super::{FieldId, OfPort};
use super::super::address;
use super::super::names::Names;
use super::super::number::{alt_hex, dotted, hex, put_decimal};
use super::super::value::{self, print_subfield};
use super::connection::HELPERS;
use super::encap::HEADERS;
use super::hashing::MULTIPATH;
use super::output::REASONS;
use netloom_wire::MacAddr;
use std::fmt::Write;
use std::net::IpAddr;

/// Prints a list of actions; `drop` if there is none.
pub(in super::super) fn list(actions: &[Action], names: &Names) -> String {
    let mut out = String::new();
    put_list(&mut out, actions, names);
    out
}

/// Appends what [`list`] prints.
pub(in super::super) fn put_list(out: &mut String, actions: &[Action], names: &Names) {
    if actions.is_empty() {
        out.push_str("drop");
    }
    for (at, action) in actions.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        match action {
            // By far the most.
            Action::Output { port, max_len } => put_output(out, *port, *max_len, names),
            action => out.push_str(&one(action, names)),
        }
    }
}

fn ethernet(address: MacAddr) -> String {
    address::print_ethernet(address.octets(), [0xff; 6])
}

/// Prints an action.
pub(in super::super) fn one(action: &Action, names: &Names) -> String {
    match action {
        // What holds actions stands apart, so that deep nesting takes little of the stack.
        Action::Clone(actions) => nest("clone", actions, names),
        Action::WriteActions(actions) => nest("write_actions", actions, names),
        Action::Ct(arguments) => connection(arguments, names),
        action => flat(action, names),
    }
}

fn nest(word: &str, actions: &[Action], names: &Names) -> String {
    format!("{word}({})", list(actions, names))
}

/// Prints an action that holds no others.
fn flat(action: &Action, names: &Names) -> String {
    match action {
        Action::Output { port, max_len } => output(*port, *max_len, names),
        Action::OutputField { source, .. } => format!("output:{}", print_subfield(*source)),
        Action::OutputTruncated { port, max_len } => {
            format!("output(port={},max_len={max_len})", names.print_port(*port))
        }
        Action::Group(group) => format!("group:{group}"),
        Action::Controller(arguments) => controller(arguments),
        Action::Enqueue { port, queue } => format!("enqueue:{}:{queue}", names.print_port(*port)),
        Action::Bundle(arguments) => bundle(arguments, names),
        Action::SetField(set) => {
            format!(
                "set_field:{}->{}",
                value::print(set.field, &set.value, Some(&set.mask), names),
                set.field
            )
        }
        Action::Load { target, value } => format!("load:{}->{}", alt_hex(*value), print_subfield(*target)),
        Action::Move { source, target, .. } => {
            format!("move:{}->{}", print_subfield(*source), print_subfield(*target))
        }
        Action::Push(part) => format!("push:{}", print_subfield(*part)),
        Action::Pop(part) => format!("pop:{}", print_subfield(*part)),
        Action::SetVlanVid { vid, push } => {
            format!("{}:{vid}", if *push { "mod_vlan_vid" } else { "set_vlan_vid" })
        }
        Action::SetVlanPcp { pcp, push } => {
            format!("{}:{pcp}", if *push { "mod_vlan_pcp" } else { "set_vlan_pcp" })
        }
        Action::PushVlan(ethertype) => format!("push_vlan:{}", alt_hex((*ethertype).into())),
        Action::SetEthSrc(address) => format!("mod_dl_src:{}", ethernet(*address)),
        Action::SetEthDst(address) => format!("mod_dl_dst:{}", ethernet(*address)),
        Action::SetIpv4Src(address) => format!("mod_nw_src:{address}"),
        Action::SetIpv4Dst(address) => format!("mod_nw_dst:{address}"),
        Action::SetIpTos(tos) => format!("mod_nw_tos:{tos}"),
        Action::SetIpEcn(ecn) => format!("mod_nw_ecn:{ecn}"),
        Action::SetIpTtl(ttl) => format!("mod_nw_ttl:{ttl}"),
        Action::SetTpSrc(port) => format!("mod_tp_src:{port}"),
        Action::SetTpDst(port) => format!("mod_tp_dst:{port}"),
        Action::DecTtlIds(ids) => format!("dec_ttl({})", joined(ids)),
        Action::SetMplsLabel(label) => format!("set_mpls_label({label})"),
        Action::SetMplsTc(class) => format!("set_mpls_tc({class})"),
        Action::SetMplsTtl(ttl) => format!("set_mpls_ttl({ttl})"),
        Action::PushMpls(ethertype) => format!("push_mpls:{ethertype:#06x}"),
        Action::PopMpls(ethertype) => format!("pop_mpls:{ethertype:#06x}"),
        Action::Encap(arguments) => {
            let known = HEADERS.iter().find(|(_, packet_type)| *packet_type == arguments.packet_type);
            let properties = match arguments.properties.as_slice() {
                [] => String::new(),
                properties => format!("({})", properties.iter().map(property).collect::<Vec<_>>().join(",")),
            };
            format!("encap({}{properties})", known.map_or("UNKNOWN", |(name, _)| name))
        }
        Action::Decap { packet_type: USE_NEXT_PROTOCOL } => "decap()".to_string(),
        Action::Decap { packet_type } => {
            format!(
                "decap(packet_type(ns={},type={}))",
                packet_type >> 16,
                alt_hex((packet_type & 0xffff).into())
            )
        }
        Action::DeleteField(field) => format!("delete_field:{field}"),
        Action::SetTunnel(key) => format!("set_tunnel:{}", alt_hex((*key).into())),
        Action::SetTunnel64(key) => format!("set_tunnel64:{}", alt_hex(*key)),
        Action::SetQueue(queue) => format!("set_queue:{queue}"),
        Action::FinTimeout { idle, hard } => {
            let arguments =
                [("idle_timeout", idle), ("hard_timeout", hard)].into_iter().filter(|(_, time)| **time != 0);
            let arguments: Vec<_> = arguments.map(|(name, time)| format!("{name}={time}")).collect();
            format!("fin_timeout({})", arguments.join(","))
        }
        Action::Resubmit { port, table, ct } => {
            resubmit(*port, table.filter(|table| *table != 255), *ct, names)
        }
        Action::Learn(arguments) => learn(arguments, names),
        Action::Conjunction { id, clause, count } => {
            format!("conjunction({id},{}/{count})", u16::from(*clause) + 1)
        }
        Action::Multipath(arguments) => {
            let algorithm = MULTIPATH.iter().find(|(_, algorithm)| *algorithm == arguments.algorithm);
            format!(
                "multipath({},{},{},{},{},{})",
                arguments.fields.name(),
                arguments.basis,
                algorithm.map_or("<unknown>", |(name, _)| name),
                u32::from(arguments.max_link) + 1,
                arguments.argument,
                print_subfield(arguments.target)
            )
        }
        Action::Note(octets) => format!("note:{}", dotted(octets)),
        Action::Sample(sample) => {
            let mut out = format!(
                "sample(probability={},collector_set_id={},obs_domain_id={},obs_point_id={}",
                sample.probability, sample.collector_set_id, sample.obs_domain_id, sample.obs_point_id
            );
            if sample.sampling_port != OfPort::NONE {
                let _ = write!(out, ",sampling_port={}", names.print_port(sample.sampling_port));
            }
            out.push_str(match sample.direction {
                SampleDirection::Default => ")",
                SampleDirection::Ingress => ",ingress)",
                SampleDirection::Egress => ",egress)",
            });
            out
        }
        Action::Nat(arguments) => nat(arguments),
        Action::CheckPacketLarger { target, length } => {
            format!("check_pkt_larger({length})->{}", print_subfield(*target))
        }
        Action::Meter(meter) => format!("meter:{meter}"),
        Action::WriteMetadata { value, mask: u64::MAX } => format!("write_metadata:{}", alt_hex(*value)),
        Action::WriteMetadata { value, mask } => {
            format!("write_metadata:{}/{}", alt_hex(*value), alt_hex(*mask))
        }
        Action::GotoTable(table) => format!("goto_table:{}", names.print_table(*table)),
        Action::PopVlan => "pop_vlan".to_string(),
        plain => word(plain).to_string(),
    }
}

/// The word of an action by which errors call it; that of those which take no argument is all of them.
pub(super) fn word(action: &Action) -> &'static str {
    match action {
        Action::Output { .. } => "output",
        Action::OutputField { .. } => "output_reg",
        Action::OutputTruncated { .. } => "output_trunc",
        Action::Group(_) => "group",
        Action::Controller(_) => "controller",
        Action::Enqueue { .. } => "enqueue",
        Action::Bundle(_) => "bundle",
        Action::SetField(_) | Action::Load { .. } => "set_field",
        Action::Move { .. } => "move",
        Action::Push(_) => "push",
        Action::Pop(_) => "pop",
        Action::SetVlanVid { .. } => "set_vlan_vid",
        Action::SetVlanPcp { .. } => "set_vlan_pcp",
        Action::StripVlan | Action::PopVlan => "strip_vlan",
        Action::PushVlan(_) => "push_vlan",
        Action::SetEthSrc(_) => "mod_dl_src",
        Action::SetEthDst(_) => "mod_dl_dst",
        Action::SetIpv4Src(_) => "mod_nw_src",
        Action::SetIpv4Dst(_) => "mod_nw_dst",
        Action::SetIpTos(_) => "mod_nw_tos",
        Action::SetIpEcn(_) => "mod_nw_ecn",
        Action::SetIpTtl(_) => "mod_nw_ttl",
        Action::SetTpSrc(_) => "mod_tp_src",
        Action::SetTpDst(_) => "mod_tp_dst",
        Action::DecTtl | Action::DecTtlIds(_) => "dec_ttl",
        Action::SetMplsLabel(_) => "set_mpls_label",
        Action::SetMplsTc(_) => "set_mpls_tc",
        Action::SetMplsTtl(_) => "set_mpls_ttl",
        Action::DecMplsTtl => "dec_mpls_ttl",
        Action::PushMpls(_) => "push_mpls",
        Action::PopMpls(_) => "pop_mpls",
        Action::DecNshTtl => "dec_nsh_ttl",
        Action::Encap(_) => "encap",
        Action::Decap { .. } => "decap",
        Action::DeleteField(_) => "delete_field",
        Action::SetTunnel(_) | Action::SetTunnel64(_) => "set_tunnel",
        Action::SetQueue(_) => "set_queue",
        Action::PopQueue => "pop_queue",
        Action::FinTimeout { .. } => "fin_timeout",
        Action::Resubmit { .. } => "resubmit",
        Action::Learn(_) => "learn",
        Action::Conjunction { .. } => "conjunction",
        Action::Multipath(_) => "multipath",
        Action::Note(_) => "note",
        Action::Exit => "exit",
        Action::Sample(_) => "sample",
        Action::Ct(_) => "ct",
        Action::CtClear => "ct_clear",
        Action::Nat(_) => "nat",
        Action::Clone(_) => "clone",
        Action::CheckPacketLarger { .. } => "check_pkt_larger",
        Action::DebugRecirc => "debug_recirc",
        Action::DebugSlow => "debug_slow",
        Action::Meter(_) => "meter",
        Action::ClearActions => "clear_actions",
        Action::WriteActions(_) => "write_actions",
        Action::WriteMetadata { .. } => "write_metadata",
        Action::GotoTable(_) => "goto_table",
    }
}

fn joined(numbers: &[u16]) -> String {
    numbers.iter().map(u16::to_string).collect::<Vec<_>>().join(",")
}

fn output(port: OfPort, max_len: u16, names: &Names) -> String {
    let mut out = String::new();
    put_output(&mut out, port, max_len, names);
    out
}

fn put_output(out: &mut String, port: OfPort, max_len: u16, names: &Names) {
    if !port.is_reserved() {
        out.push_str("output:");
    }
    names.put_port(out, port);
    if port == OfPort::CONTROLLER {
        out.push(':');
        put_decimal(out, max_len);
    }
}

fn resubmit(port: OfPort, table: Option<u8>, ct: bool, names: &Names) -> String {
    if port != OfPort::IN_PORT && table.is_none() {
        return format!("resubmit:{}", names.print_port(port));
    }
    let port = if port == OfPort::IN_PORT { String::new() } else { names.print_port(port) };
    let table = table.map_or(String::new(), |table| names.print_table(table));
    format!("resubmit({port},{table}{})", if ct { ",ct" } else { "" })
}

fn controller(arguments: &Controller) -> String {
    if arguments.reason == 1
        && arguments.controller_id == 0
        && arguments.userdata.is_empty()
        && !arguments.pause
        && arguments.meter_id == 0
    {
        return format!("CONTROLLER:{}", arguments.max_len);
    }
    let mut words = Vec::new();
    if arguments.reason != 1 {
        let known = REASONS.get(usize::from(arguments.reason));
        words.push(format!(
            "reason={}",
            known.map_or_else(|| arguments.reason.to_string(), ToString::to_string)
        ));
    }
    if arguments.max_len != NO_BUFFER {
        words.push(format!("max_len={}", arguments.max_len));
    }
    if arguments.controller_id != 0 {
        words.push(format!("id={}", arguments.controller_id));
    }
    if !arguments.userdata.is_empty() {
        words.push(format!("userdata={}", dotted(&arguments.userdata)));
    }
    if arguments.pause {
        words.push("pause".to_string());
    }
    if arguments.meter_id != 0 {
        words.push(format!("meter_id={}", arguments.meter_id));
    }
    format!("controller({})", words.join(","))
}

fn bundle(arguments: &Bundle, names: &Names) -> String {
    let algorithm = match arguments.algorithm {
        BundleAlgorithm::ActiveBackup => "active_backup",
        BundleAlgorithm::HighestWeight => "hrw",
    };
    let (word, target) = match arguments.target {
        Some(target) => ("bundle_load", format!("{},", print_subfield(target))),
        None => ("bundle", String::new()),
    };
    let members: Vec<_> = arguments.members.iter().map(|port| names.print_port(*port)).collect();
    format!(
        "{word}({},{},{algorithm},ofport,{target}members:{})",
        arguments.fields.name(),
        arguments.basis,
        members.join(",")
    )
}

fn property(property: &EncapProperty) -> String {
    match property {
        EncapProperty::NshMdType(kind) => format!("md_type={kind}"),
        EncapProperty::NshTlv { class, kind, data } => format!("tlv({class:#06x},{kind},{})", hex(data)),
    }
}

fn learn(learn: &Learn, names: &Names) -> String {
    let mut words = vec![format!("table={}", names.print_table(learn.table))];
    let mut number = |name: &str, value: u32| {
        if value != 0 {
            words.push(format!("{name}={value}"));
        }
    };
    number("idle_timeout", learn.idle_timeout.into());
    number("hard_timeout", learn.hard_timeout.into());
    number("fin_idle_timeout", learn.fin_idle_timeout.into());
    number("fin_hard_timeout", learn.fin_hard_timeout.into());
    if learn.priority != 0x8000 {
        words.push(format!("priority={}", learn.priority));
    }
    if learn.send_flow_rem {
        words.push("send_flow_rem".to_string());
    }
    if learn.delete_learned {
        words.push("delete_learned".to_string());
    }
    if learn.cookie != 0 {
        words.push(format!("cookie={:#x}", learn.cookie));
    }
    if learn.limit != 0 {
        words.push(format!("limit={}", learn.limit));
    }
    words.extend(learn.result.map(|result| format!("result_dst={}", print_subfield(result))));
    words.extend(learn.specs.iter().map(|spec| match (&spec.source, spec.target) {
        (LearnSource::Immediate(bits), LearnTarget::Match(target)) if target.is_whole() => {
            let bits = bits.resized(usize::from(target.field.get().octets));
            let number = bits.to_u64();
            match target.field {
                // In a match its name is part of it.
                FieldId::PACKET_TYPE => format!("packet_type=({},{:#x})", number >> 16, number & 0xffff),
                field => format!("{field}={}", value::print(field, &bits, None, names)),
            }
        }
        (LearnSource::Immediate(bits), LearnTarget::Match(target)) => {
            format!("{}={}", print_subfield(target), hex(bits.octets()))
        }
        (LearnSource::Field(source), LearnTarget::Match(target)) => {
            if source.field == target.field && source.offset == target.offset {
                print_subfield(target)
            } else {
                format!("{}={}", print_subfield(target), print_subfield(*source))
            }
        }
        (LearnSource::Immediate(bits), LearnTarget::Load(target)) => {
            format!("load:{}->{}", hex(bits.octets()), print_subfield(target))
        }
        (LearnSource::Field(source), LearnTarget::Load(target)) => {
            format!("load:{}->{}", print_subfield(*source), print_subfield(target))
        }
        (LearnSource::Field(source), LearnTarget::Output) => format!("output:{}", print_subfield(*source)),
        // No message can say this.
        (LearnSource::Immediate(bits), LearnTarget::Output) => format!("output:{}", hex(bits.octets())),
    }));
    format!("learn({})", words.join(","))
}

fn connection(ct: &Ct, names: &Names) -> String {
    let mut words = Vec::new();
    if ct.commit {
        words.push("commit".to_string());
    }
    if ct.force {
        words.push("force".to_string());
    }
    words.extend(
        ct.table.filter(|table| *table != 255).map(|table| format!("table={}", names.print_table(table))),
    );
    match ct.zone {
        CtZone::Field(zone) => words.push(format!("zone={}", print_subfield(zone))),
        CtZone::Immediate(0) => {}
        CtZone::Immediate(zone) => words.push(format!("zone={zone}")),
    }
    let inside = match ct.actions.split_first() {
        Some((Action::Nat(first), inside)) => {
            words.push(nat(first));
            inside
        }
        _ => &ct.actions,
    };
    if !inside.is_empty() {
        words.push(format!("exec({})", list(inside, names)));
    }
    if ct.alg != 0 {
        let known = HELPERS.iter().find(|(_, port)| *port == ct.alg);
        words.push(format!("alg={}", known.map_or_else(|| ct.alg.to_string(), |(name, _)| name.to_string())));
    }
    format!("ct({})", words.join(","))
}

fn nat(nat: &Nat) -> String {
    if !nat.source && !nat.destination {
        return "nat".to_string();
    }
    let mut out = String::from(if nat.source { "nat(src" } else { "nat(dst" });
    if let Some((first, last)) = nat.addresses {
        let bracketed = nat.ports.is_some();
        let print = |address: IpAddr| match address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) if bracketed => format!("[{}]", address::plain_ipv6(address.octets())),
            IpAddr::V6(address) => address::plain_ipv6(address.octets()),
        };
        let _ = write!(out, "={}", print(first));
        if let Some(last) = last.filter(|last| *last != first && !last.is_unspecified()) {
            let _ = write!(out, "-{}", print(last));
        }
        if let Some((first, last)) = nat.ports.filter(|(first, _)| *first != 0) {
            let _ = write!(out, ":{first}");
            if let Some(last) = last.filter(|last| *last != first && *last != 0) {
                let _ = write!(out, "-{last}");
            }
        }
        for (set, word) in [(nat.persistent, ",persistent"), (nat.hash, ",hash"), (nat.random, ",random")] {
            if set {
                out.push_str(word);
            }
        }
    }
    out.push(')');
    out
}
