//! What is done with packets that leave by tunnels, in the words of a data path whose ports put the headers before them:
//! `set(tunnel(tun_id=0x5,dst=192.0.2.1,ttl=64,flags(df|key))),1`.
//!
//! Headers follow from the tunnel's settings and the packet's fields when it leaves, so that a program is walked with the key as its
//! actions make it.

use netloom_mem::PortNumber;
use netloom_nf::tunnel::{Chosen, FLAG_CONTROL, Outward, TunnelKind, TunnelPort, Tunnels};
use netloom_nf::{Action, Program, Reason, Rewrite};
use netloom_table::{Field, Key};
use netloom_vswitch::openflow::translate::print_program;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// Fields of tunnels' headers, which are told where a packet leaves.
const FIELDS: [Field; 17] = [
    Field::TUN_ID,
    Field::TUN_SRC,
    Field::TUN_DST,
    Field::TUN_FLAGS,
    Field::TUN_TOS,
    Field::TUN_TTL,
    Field::TUN_GBP_ID,
    Field::TUN_GBP_FLAGS,
    Field::TUN_ERSPAN_VER,
    Field::TUN_ERSPAN_DIR,
    Field::TUN_ERSPAN_IDX,
    Field::TUN_ERSPAN_HWID,
    Field::TUN_OPTIONS,
    Field::TUN6_SRC_HIGH,
    Field::TUN6_SRC_LOW,
    Field::TUN6_DST_HIGH,
    Field::TUN6_DST_LOW,
];

/// Prints a program; `port` gives a port's number, `shared` that of a tunnel.
pub(in super::super) fn program(
    program: &Program,
    key: &Key,
    tunnels: &Tunnels,
    port: &dyn Fn(PortNumber) -> String,
) -> String {
    let mut key = key.clone();
    let (mut before, mut words) = (Vec::new(), Vec::new());
    for action in program.actions() {
        match action {
            Action::Set(rewrite) => {
                let others = rewrite.writes().filter(|write| !FIELDS.contains(&write.field));
                let others = others.map(|write| (write.field, write.value, write.mask));
                // What was written once can be written again.
                let others = Rewrite::new(others).unwrap_or_default();
                // In the order of Open vSwitch a mark is written after the tunnel.
                let mark = others.writes().all(|write| write.field == Field::PKT_MARK);
                if !others.is_empty() {
                    let text = alone(Action::Set(Arc::new(others)), &key, port);
                    if mark { before.push(text) } else { words.push(text) }
                }
                for write in rewrite.writes() {
                    let kept = key.get(write.field) & !write.mask;
                    key.set(write.field, kept | write.value);
                }
            }
            Action::Output(number) => {
                words.extend(tunnels.get(*number).map(|settings| set_tunnel(settings, &key)));
                words.append(&mut before);
                words.push(port(*number));
            }
            _ => {
                words.append(&mut before);
                words.push(alone(action.clone(), &key, port));
            }
        }
    }
    words.append(&mut before);
    if words.is_empty() { "drop".to_owned() } else { words.join(",") }
}

/// One action. Without a way out behind it, it would be for nothing, and not be told.
fn alone(action: Action, key: &Key, port: &dyn Fn(PortNumber) -> String) -> String {
    let text = print_program(&Program::new(vec![action, Action::Output(0)], Reason::Rule), key, port);
    text.strip_suffix(&format!(",{}", port(0))).unwrap_or(&text).to_owned()
}

fn end(key: &Key, four: Field, (high, low): (Field, Field)) -> Option<IpAddr> {
    match key.get(four) as u32 {
        0 => {
            let bits = u128::from(key.get(high)) << 64 | u128::from(key.get(low));
            Some(IpAddr::V6(Ipv6Addr::from_bits(bits))).filter(|address| !address.is_unspecified())
        }
        bits => Some(IpAddr::V4(Ipv4Addr::from_bits(bits))),
    }
}

fn set_tunnel(port: &TunnelPort, key: &Key) -> String {
    let chosen = |own: Chosen<IpAddr>, other: Option<IpAddr>| match own {
        Chosen::Fixed(address) => Some(address),
        Chosen::Flow => other,
    };
    let remote = chosen(port.remote, end(key, Field::TUN_DST, (Field::TUN6_DST_HIGH, Field::TUN6_DST_LOW)));
    let local = chosen(port.local, end(key, Field::TUN_SRC, (Field::TUN6_SRC_HIGH, Field::TUN6_SRC_LOW)));
    let id = match port.key_out {
        Chosen::Fixed(id) => id,
        Chosen::Flow => Some(key.get(Field::TUN_ID)),
    };
    // Kinds that always have a key are told without one that is zero by their settings.
    let gre = matches!(port.kind, TunnelKind::Gre | TunnelKind::Erspan);
    let id = id.filter(|id| gre || *id != 0 || matches!(port.key_out, Chosen::Flow));
    let ip = matches!(key.get(Field::ETH_TYPE), 0x0800 | 0x86dd);
    let outward = |own: Outward, set: Field, inner: Field| match (own, key.get(set)) {
        (Outward::Inherit(_), 0) if ip => key.get(inner),
        (Outward::Value(value) | Outward::Inherit(value), 0) => value.into(),
        (_, set) => set,
    };
    // Congestion is carried outward as the data path does it (RFC 6040).
    let congestion = if ip { key.get(Field::IP_TOS) & 3 } else { 0 };
    let congestion = if congestion == 3 { 2 } else { congestion };
    let tos = outward(port.tos, Field::TUN_TOS, Field::IP_TOS) & !3 | congestion;
    let ttl = outward(port.ttl, Field::TUN_TTL, Field::IP_TTL);
    let mut words = Vec::new();
    words.extend(id.map(|id| format!("tun_id={id:#x}")));
    for (name, address) in [("src", local), ("dst", remote)] {
        words.extend(address.map(|address| match address {
            IpAddr::V4(_) => format!("{name}={address}"),
            IpAddr::V6(_) => format!("ipv6_{name}={address}"),
        }));
    }
    if tos != 0 {
        words.push(format!("tos={tos:#x}"));
    }
    words.push(format!("ttl={ttl}"));
    if let TunnelKind::Vxlan(udp) | TunnelKind::VxlanGpe(udp) | TunnelKind::Geneve(udp) = port.kind {
        words.push(format!("tp_dst={udp}"));
    }
    if port.kind == TunnelKind::Erspan {
        words.push(erspan(port, key));
    }
    let flags = key.get(Field::TUN_FLAGS);
    let set = [
        (port.dont_fragment, "df"),
        (port.checksum, "csum"),
        (id.is_some(), "key"),
        (flags & FLAG_CONTROL != 0, "oam"),
    ];
    let set: Vec<&str> = set.into_iter().filter(|(set, _)| *set).map(|(_, name)| name).collect();
    words.push(format!("flags({})", set.join("|")));
    format!("set(tunnel({}))", words.join(","))
}

fn erspan(port: &TunnelPort, key: &Key) -> String {
    let fixed = |own: Chosen<u64>, field: Field| match own {
        Chosen::Fixed(value) => value,
        Chosen::Flow => key.get(field),
    };
    let version = match port.erspan_version {
        Chosen::Fixed(version) => version.into(),
        Chosen::Flow => key.get(Field::TUN_ERSPAN_VER),
    };
    if version == 2 {
        let (egress, hardware) = match port.erspan_engine {
            Chosen::Fixed((egress, hardware)) => (u64::from(egress), u64::from(hardware)),
            Chosen::Flow => (key.get(Field::TUN_ERSPAN_DIR), key.get(Field::TUN_ERSPAN_HWID)),
        };
        return format!("erspan(ver=2,dir={egress},hwid={hardware:#x})");
    }
    let index = match port.erspan_index {
        Chosen::Fixed(index) => Chosen::Fixed(u64::from(index)),
        Chosen::Flow => Chosen::Flow,
    };
    format!("erspan(ver=1,idx={:#x})", fixed(index, Field::TUN_ERSPAN_IDX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tunnels_are_told_where_packets_leave() {
        let fixed = |text: &str| Chosen::Fixed(text.parse().unwrap());
        let gre = TunnelPort {
            remote: fixed("192.0.2.1"),
            key_out: Chosen::Fixed(Some(5)),
            ..TunnelPort::new(TunnelKind::Gre)
        };
        let vxlan = TunnelPort {
            tos: Outward::Inherit(0),
            checksum: true,
            ..TunnelPort::new(TunnelKind::Vxlan(4789))
        };
        let tunnels = Tunnels::new([(7, gre), (8, vxlan)], []);
        let mut key = Key::default();
        key.set(Field::ETH_TYPE, 0x0800);
        key.set(Field::IP_TOS, 0x21);
        let set = |writes: &[(Field, u64)]| {
            let writes = writes.iter().map(|(field, value)| (*field, *value, field.ones()));
            Action::Set(Arc::new(Rewrite::new(writes).unwrap()))
        };
        let actions = vec![
            Action::Output(2),
            set(&[(Field::PKT_MARK, 9), (Field::TUN_ID, 3)]),
            Action::Output(7),
            set(&[(Field::TUN6_DST_LOW, 1), (Field::IP_TTL, 4)]),
            Action::PopVlan,
            Action::Output(8),
        ];
        let told = program(&Program::new(actions, Reason::Rule), &key, &tunnels, &|port| format!("p{port}"));
        assert_eq!(
            told,
            "p2,set(tunnel(tun_id=0x5,dst=192.0.2.1,tos=0x1,ttl=64,flags(df|key))),set(skb_mark(0x9)),p7,\
             set(ipv4(ttl=4)),pop_vlan,\
             set(tunnel(tun_id=0x3,ipv6_dst=::1,tos=0x21,ttl=64,tp_dst=4789,flags(df|csum|key))),p8"
        );
        assert_eq!(program(&Program::lose(Reason::Rule), &key, &tunnels, &|port| port.to_string()), "drop");
    }
}
