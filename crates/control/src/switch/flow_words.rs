//! Flows in words, nearly as Open vSwitch writes them: fields of `ovs-fields(7)` with commas between them, ports by their
//! names, and a mask behind a value of which only some bits matter.

use netloom_mem::PortNumber;
use netloom_nf::{Action, Program, Reason, Shape};
use netloom_table::{Field, Key, Mask};
use netloom_wire::MacAddr;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The halves of IPv6 addresses.
const HALVES: [(Field, Field); 7] = [
    (Field::IP6_SRC_HIGH, Field::IP6_SRC_LOW),
    (Field::IP6_DST_HIGH, Field::IP6_DST_LOW),
    (Field::TUN6_SRC_HIGH, Field::TUN6_SRC_LOW),
    (Field::TUN6_DST_HIGH, Field::TUN6_DST_LOW),
    (Field::ND_TARGET_HIGH, Field::ND_TARGET_LOW),
    (Field::CT6_SRC_HIGH, Field::CT6_SRC_LOW),
    (Field::CT6_DST_HIGH, Field::CT6_DST_LOW),
];
const MACS: [Field; 4] = [Field::ETH_DST, Field::ETH_SRC, Field::ARP_SHA, Field::ARP_THA];
const IPV4: [Field; 6] =
    [Field::IP4_SRC, Field::IP4_DST, Field::TUN_SRC, Field::TUN_DST, Field::CT_SRC, Field::CT_DST];
/// Fields whose numbers everybody writes in decimal.
const DECIMAL: [Field; 8] = [
    Field::TP_SRC,
    Field::TP_DST,
    Field::IP_PROTO,
    Field::IP_TTL,
    Field::CT_ZONE,
    Field::TUN_TTL,
    Field::CT_TP_SRC,
    Field::CT_TP_DST,
];
/// The VLAN in a TCI.
const VLAN: u64 = 0xfff;

/// Which packets a flow is for.
pub(super) fn packets(key: &Key, mask: &Mask, port: impl Fn(PortNumber) -> String) -> String {
    let mut words = Vec::new();
    for &field in Field::ALL {
        let (value, bits) = (key.get(field), mask.get(field));
        let lower = HALVES.iter().any(|(_, low)| *low == field);
        if let Some((_, low)) = HALVES.iter().find(|(high, _)| *high == field) {
            words.extend(ipv6(field, key, mask, *low));
        } else if field == Field::VLAN_TPID || field == Field::INNER_TPID || bits == 0 || lower {
            // Tags are told with their TCI, halves with the other.
        } else if field == Field::RECIRCULATION && value == 0 {
            // The first pass is not worth a word.
        } else if field == Field::VLAN_TCI {
            words.push(tag("vlan", key.get(Field::VLAN_TPID), mask.get(Field::VLAN_TPID), value, bits));
        } else if field == Field::INNER_TCI {
            words.push(tag(
                "inner_vlan",
                key.get(Field::INNER_TPID),
                mask.get(Field::INNER_TPID),
                value,
                bits,
            ));
        } else if field == Field::IN_PORT && bits == field.ones() {
            words.push(format!("in_port={}", port(value as PortNumber)));
        } else {
            words.push(format!("{}={}", field.name(), number(field, value, bits)));
        }
    }
    words.join(",")
}

fn tag(name: &str, tpid: u64, tpid_bits: u64, value: u64, bits: u64) -> String {
    if tpid_bits != 0 && tpid == 0 {
        return format!("{name}=none");
    }
    let mut text = format!("{name}={}", value & VLAN);
    if bits & VLAN != VLAN {
        text += &format!("/{:#x}", bits & VLAN);
    }
    if bits >> 13 != 0 {
        text += &format!(",{name}_pcp={}", value >> 13);
    }
    text
}

fn number(field: Field, value: u64, bits: u64) -> String {
    let whole = bits == field.ones();
    if MACS.contains(&field) {
        let mac = |number: u64| {
            let [_, _, octets @ ..] = number.to_be_bytes();
            MacAddr::new(octets)
        };
        return if whole { mac(value).to_string() } else { format!("{}/{}", mac(value), mac(bits)) };
    }
    if IPV4.contains(&field) {
        let (value, bits) = (value as u32, bits as u32);
        let ones = bits.leading_ones();
        return match (whole, bits.count_ones() == ones) {
            (true, _) => Ipv4Addr::from(value).to_string(),
            (_, true) => format!("{}/{ones}", Ipv4Addr::from(value)),
            _ => format!("{}/{}", Ipv4Addr::from(value), Ipv4Addr::from(bits)),
        };
    }
    match (whole, DECIMAL.contains(&field)) {
        (true, true) => value.to_string(),
        (false, true) => format!("{value}/{bits:#x}"),
        (true, false) => format!("{value:#x}"),
        (false, false) => format!("{value:#x}/{bits:#x}"),
    }
}

fn ipv6(high: Field, key: &Key, mask: &Mask, low: Field) -> Option<String> {
    let whole = |get: &dyn Fn(Field) -> u64| u128::from(get(high)) << 64 | u128::from(get(low));
    let (value, bits) = (whole(&|field| key.get(field)), whole(&|field| mask.get(field)));
    let (address, ones) = (Ipv6Addr::from(value), bits.leading_ones());
    let text = match (bits, bits.count_ones() == ones) {
        (0, _) => return None,
        (u128::MAX, _) => address.to_string(),
        (_, true) => format!("{address}/{ones}"),
        _ => format!("{address}/{}", Ipv6Addr::from(bits)),
    };
    Some(format!("{}={text}", high.name()))
}

/// What is done with them.
pub(super) fn actions(program: &Program, port: impl Fn(PortNumber) -> String) -> String {
    if let Shape::Drop(reason) = program.shape() {
        return drop_for(reason);
    }
    let word = |action: &Action| match *action {
        Action::Output(number) => port(number),
        Action::PushVlan { tpid: 0x8100, tci } => format!("push_vlan({})", u64::from(tci) & VLAN),
        Action::PushVlan { tpid, tci } => format!("push_vlan({},tpid={tpid:#x})", u64::from(tci) & VLAN),
        Action::PopVlan => "pop_vlan".to_owned(),
        Action::SetVlan(tci) => format!("set_vlan({})", u64::from(tci) & VLAN),
        Action::Brain => "to the switch itself".to_owned(),
        Action::Meter(number) => format!("meter({number})"),
        Action::Remote { number, .. } => format!("collector({number})"),
        Action::Lose(reason) => drop_for(reason),
        ref other => format!("{other:?}"),
    };
    program.actions().iter().map(word).collect::<Vec<_>>().join(",")
}

fn drop_for(reason: Reason) -> String {
    format!("drop({})", reason.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(fields: &[(Field, u64, u64)]) -> String {
        let (mut key, mut mask) = (Key::default(), Mask::default());
        for &(field, value, bits) in fields {
            key.set(field, value);
            mask.add_bits(field, bits);
        }
        packets(&key, &mask, |number| format!("p{number}"))
    }

    #[test]
    fn packets_in_words() {
        let all = u64::MAX;
        assert_eq!(words(&[]), "");
        assert_eq!(
            words(&[
                (Field::IN_PORT, 3, all),
                (Field::ETH_DST, 0x0200_0000_0001, all),
                (Field::ETH_TYPE, 0x800, all)
            ]),
            "in_port=p3,eth_dst=02:00:00:00:00:01,eth_type=0x800"
        );
        // That there is no tag is a match, too.
        let tagged = |tpid, tci, bits| words(&[(Field::VLAN_TPID, tpid, all), (Field::VLAN_TCI, tci, bits)]);
        assert_eq!(tagged(0, 0, all), "vlan=none");
        assert_eq!(tagged(0x8100, 10, 0xfff), "vlan=10");
        assert_eq!(tagged(0x8100, 0x600a, all), "vlan=10,vlan_pcp=3");
        assert_eq!(
            words(&[(Field::IP4_SRC, 0x0a00_0000, 0xff00_0000), (Field::IP4_DST, 0x0a00_0001, all)]),
            "ip_src=10.0.0.0/8,ip_dst=10.0.0.1"
        );
        assert_eq!(words(&[(Field::IP4_SRC, 0x0a00_0001, 0xff00_00ff)]), "ip_src=10.0.0.1/255.0.0.255");
        assert_eq!(
            words(&[(Field::IP6_DST_HIGH, 0xfd00 << 48, all), (Field::IP6_DST_LOW, 1, all)]),
            "ipv6_dst=fd00::1"
        );
        assert_eq!(words(&[(Field::IP6_SRC_HIGH, 0xfd00 << 48, all << 56)]), "ipv6_src=fd00::/8");
        assert_eq!(
            words(&[(Field::TP_DST, 80, all), (Field::TCP_FLAGS, 2, 2)]),
            "tp_dst=80,tcp_flags=0x2/0x2"
        );
        assert_eq!(
            words(&[(Field::ETH_DST, 0x0100_0000_0000, 0x0100_0000_0000)]),
            "eth_dst=01:00:00:00:00:00/01:00:00:00:00:00"
        );
    }

    #[test]
    fn actions_in_words() {
        let name = |number: PortNumber| format!("p{number}");
        assert_eq!(actions(&Program::lose(Reason::NoPorts), name), "drop(no-ports)");
        let steps = vec![
            Action::PopVlan,
            Action::Output(1),
            Action::PushVlan { tpid: 0x8100, tci: 0x600a },
            Action::Output(2),
        ];
        assert_eq!(actions(&Program::new(steps, Reason::NoPorts), name), "pop_vlan,p1,push_vlan(10),p2");
    }
}
