//! What is done with packets.

use netloom_mem::PortNumber;
use netloom_nf::{Action, HashBy, Nat, NatRange, Program, Shape};
use std::net::IpAddr;

/// What is done with them.
pub(crate) fn actions(program: &Program, port: &dyn Fn(PortNumber) -> String) -> String {
    if let Shape::Drop(_) = program.shape() {
        return "drop".to_owned();
    }
    let words: Vec<String> = program.actions().iter().map(|action| word(action, port)).collect();
    words.join(",")
}

fn word(action: &Action, port: &dyn Fn(PortNumber) -> String) -> String {
    let colons = |octets: &[u8; 6]| netloom_wire::MacAddr::new(*octets).to_string();
    match action {
        Action::Output(number) => port(*number),
        Action::PushVlan { tpid, tci } => {
            let kind = if *tpid == 0x8100 { String::new() } else { format!("tpid={tpid:#06x},") };
            format!("push_vlan({kind}vid={},pcp={})", tci & 0xfff, tci >> 13)
        }
        Action::PopVlan => "pop_vlan".to_owned(),
        Action::SetVlan(tci) => format!("set(vlan(vid={},pcp={}))", tci & 0xfff, tci >> 13),
        Action::Brain => "userspace(pid=0,slow_path(controller))".to_owned(),
        Action::Meter(number) | Action::Police(number) => format!("meter({number})"),
        Action::Remote { number, .. } => format!("userspace(pid=0,collector({number}))"),
        Action::Lose(_) | Action::Drop { .. } => "drop".to_owned(),
        Action::PushMpls { ethertype, entry } => format!(
            "push_mpls(label={},tc={},ttl={},bos={},eth_type={ethertype:#x})",
            entry >> 12,
            entry >> 9 & 7,
            entry & 0xff,
            entry >> 8 & 1
        ),
        Action::PopMpls { ethertype } => format!("pop_mpls(eth_type={ethertype:#x})"),
        Action::PushEthernet { destination, source } => {
            format!("push_eth(src={},dst={})", colons(source), colons(destination))
        }
        Action::PopEthernet => "pop_eth".to_owned(),
        Action::PopNsh => "pop_nsh()".to_owned(),
        Action::Decapsulate(number) => format!("tnl_pop({})", port(*number)),
        Action::Connect(connect) => {
            let mut parts = Vec::new();
            if connect.commit {
                parts.push(if connect.force { "force_commit" } else { "commit" }.to_owned());
            }
            if connect.zone != 0 {
                parts.push(format!("zone={}", connect.zone));
            }
            parts.extend(connect.mark.map(|(value, mask)| format!("mark={value:#x}/{mask:#x}")));
            parts.extend(connect.label.map(|(value, mask)| format!("label={value:#x}/{mask:#x}")));
            parts.extend(connect.helper.map(|helper| format!("helper={helper}")));
            parts.extend(connect.nat.as_ref().map(nat));
            match parts.is_empty() {
                true => "ct".to_owned(),
                false => format!("ct({})", parts.join(",")),
            }
        }
        Action::Disconnect => "ct_clear".to_owned(),
        Action::Recirculate(number) => format!("recirc({number:#x})"),
        Action::Hash(hashing) => match (hashing.by, hashing.symmetric) {
            (HashBy::Source, _) => format!("hash(l2({}))", hashing.basis),
            (_, true) => format!("hash(sym_l4({}))", hashing.basis),
            (_, false) => format!("hash(l4({}))", hashing.basis),
        },
        Action::Sample(sample) => format!(
            "sample(sample={:.1}%,actions({}))",
            f64::from(sample.probability) / f64::from(u32::MAX) * 100.0,
            actions(&sample.program, port)
        ),
        Action::Clone(program) => format!("clone({})", actions(program, port)),
        Action::Truncate(most) => format!("trunc({most})"),
        Action::Branch(branch) => format!(
            "check_pkt_len(size={},gt({}),le({}))",
            branch.length,
            actions(&branch.longer, port),
            actions(&branch.otherwise, port)
        ),
        Action::Punt(punt) => format!(
            "userspace(pid=0,controller(reason={},dont_send=0,continuation=0,recirc_id={},rule_cookie={:#x},\
             controller_id={},max_len={}))",
            punt.reason,
            punt.state,
            punt.cookie,
            punt.controller,
            if punt.most == 0 { u16::MAX } else { punt.most }
        ),
        // What is set and pushed has many parts: its own words will do.
        Action::Set(_) | Action::PushNsh(_) | Action::Encapsulate(_) => format!("{action:?}"),
    }
}

fn nat(nat: &Nat) -> String {
    let (name, range) = match nat {
        Nat::Known => return "nat".to_owned(),
        Nat::Source(range) => ("src", range),
        Nat::Destination(range) => ("dst", range),
    };
    let NatRange { addresses, ports, persistent, random } = range;
    let v6 = addresses.is_some_and(|(first, _)| first.is_ipv6());
    let wrap =
        |address: IpAddr| if v6 && ports.is_some() { format!("[{address}]") } else { address.to_string() };
    let mut text = name.to_owned();
    if let Some((first, last)) = addresses {
        text += &format!("={}", wrap(*first));
        if first != last {
            text += &format!("-{}", wrap(*last));
        }
    }
    if let Some((first, last)) = ports {
        text += &format!(":{first}");
        if first != last {
            text += &format!("-{last}");
        }
    }
    if *persistent {
        text += ",persistent";
    }
    if *random {
        text += ",random";
    }
    format!("nat({text})")
}
