//! The headers of a tunnel in the words of Open vSwitch's data path: `tnl_push(tnl_port(4789),header(size=50,type=4,eth(...),
//! ipv4(...),udp(...),vxlan(...)),out_port(2))` (ovs-actions(7) has no page for it; the form is that of `odp-util`).

use netloom_mem::PortNumber;
use netloom_nf::tunnel::{Encapsulation, Outer, Shim};

/// Prints headers that are put before packets; `port` gives a port's name or number.
pub(super) fn print(headers: &Encapsulation, port: &dyn Fn(PortNumber) -> String) -> String {
    let (outer, shim) = (headers.outer(), headers.shim());
    format!(
        "tnl_push(tnl_port({}),header(size={},type={},{},{}),out_port({}))",
        port(headers.tunnel()),
        headers.size(),
        kind(outer, shim),
        network(outer, shim),
        transport(outer, shim),
        port(headers.by()),
    )
}

/// What Open vSwitch calls the kind (`enum ovs_vport_type`).
const fn kind(outer: &Outer, shim: &Shim) -> u8 {
    match shim {
        Shim::Gre { .. } if outer.to.is_ipv6() => 109,
        Shim::Gre { .. } => 3,
        Shim::Vxlan { .. } | Shim::VxlanGpe { .. } => 4,
        Shim::Geneve { .. } => 5,
        Shim::ErspanII { .. } | Shim::ErspanIII { .. } if outer.to.is_ipv6() => 108,
        Shim::ErspanII { .. } | Shim::ErspanIII { .. } => 107,
    }
}

fn network(outer: &Outer, shim: &Shim) -> String {
    let protocol = if shim.is_gre() { 47 } else { 17 };
    let Outer { to_mac, from_mac, from, to, tos, ttl, label, .. } = outer;
    let kind: u16 = if to.is_ipv6() { 0x86dd } else { 0x0800 };
    let ethernet = format!("eth(dst={to_mac},src={from_mac},dl_type={kind:#06x})");
    let ip = if to.is_ipv6() {
        format!("ipv6(src={from},dst={to},label={label},proto={protocol},tclass=0x{tos:x},hlimit={ttl})")
    } else {
        let fragment = if outer.dont_fragment { 0x4000 } else { 0 };
        format!(
            "ipv4(src={from},dst={to},proto={protocol},tos={},ttl={ttl},frag=0x{fragment:x})",
            hex(u64::from(*tos))
        )
    };
    format!("{ethernet},{ip}")
}

fn transport(outer: &Outer, shim: &Shim) -> String {
    let udp = |port: &u16, checksum: &bool| {
        // One that is still to be computed is told as what zero is sent as (RFC 768).
        let checksum = if *checksum || outer.to.is_ipv6() { 0xffff } else { 0 };
        format!("udp(src=0,dst={port},csum=0x{checksum:x}),")
    };
    match shim {
        Shim::Vxlan { port, vni, gbp, checksum } => {
            let group = gbp
                .map_or(0, |(group, flags)| 0x8000_0000 | u32::from(flags & 0x48) << 16 | u32::from(group));
            format!("{}vxlan(flags=0x{:x},vni=0x{vni:x})", udp(port, checksum), 0x0800_0000 | group)
        }
        Shim::VxlanGpe { port, vni, next, checksum } => {
            let flags = 0x0c00_0000 | u32::from(*next);
            format!("{}vxlan(flags=0x{flags:x},vni=0x{vni:x})", udp(port, checksum))
        }
        Shim::Geneve { port, vni, control, options, checksum, .. } => {
            let (list, critical) = list(options);
            let oam = if *control { "oam," } else { "" };
            let critical = if critical { "crit," } else { "" };
            let list = if list.is_empty() { list } else { format!(",options({list})") };
            format!("{}geneve({oam}{critical}vni=0x{vni:x}{list})", udp(port, checksum))
        }
        Shim::Gre { protocol, key, sequence, checksum } => {
            let bit = |is: bool, bit: u16| if is { bit } else { 0 };
            let flags = bit(*checksum, 0x8000) | bit(key.is_some(), 0x2000) | bit(*sequence, 0x1000);
            let mut text = format!("gre((flags=0x{flags:x},proto=0x{protocol:x})");
            if *checksum {
                text.push_str(",csum=0x0");
            }
            if let Some(key) = key {
                text.push_str(&format!(",key=0x{key:x}"));
            }
            if *sequence {
                text.push_str(",seq=0x0");
            }
            text + ")"
        }
        Shim::ErspanII { session, index } => format!("erspan(ver=1,sid=0x{session:x},idx=0x{index:x})"),
        Shim::ErspanIII { session, hardware, egress } => {
            format!("erspan(ver=2,sid=0x{session:x},dir={},hwid=0x{hardware:x})", u8::from(*egress))
        }
    }
}

/// Options of Geneve, and whether one is critical (RFC 8926, 3.5).
fn list(options: &[u8]) -> (String, bool) {
    let (mut text, mut critical, mut rest) = (String::new(), false, options);
    while let Some((&[high, low, kind, size], after)) = rest.split_first_chunk() {
        let length = usize::from(size & 31) * 4;
        let (value, after) = after.split_at_checked(length).unwrap_or((after, &[]));
        critical |= kind & 0x80 != 0;
        let class = u16::from_be_bytes([high, low]);
        text.push_str(&format!("{{class=0x{class:x},type={},len={length}", hex(u64::from(kind))));
        let digits: String = value.iter().map(|octet| format!("{octet:02x}")).collect();
        let digits = digits.trim_start_matches('0');
        if length > 0 {
            text.push_str(&format!(",0x{}", if digits.is_empty() { "0" } else { digits }));
        }
        text.push('}');
        rest = after;
    }
    (text, critical)
}

/// As C's `%#x` writes it: nothing stands before a zero.
fn hex(value: u64) -> String {
    if value == 0 { "0".into() } else { format!("{value:#x}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(to: &str, from: &str, shim: Shim) -> String {
        let outer = Outer {
            to_mac: "f8:bc:12:44:34:b6".parse().unwrap(),
            from_mac: "aa:55:aa:55:00:00".parse().unwrap(),
            tag: None,
            to: to.parse().unwrap(),
            from: from.parse().unwrap(),
            tos: 0,
            ttl: 64,
            dont_fragment: true,
            label: 0,
        };
        print(&Encapsulation::new(outer, shim).unwrap().of_port(4789, 100), &|port| port.to_string())
    }

    #[test]
    fn headers_are_told_as_open_vswitch_does() {
        let four = |shim| told("1.1.2.92", "1.1.2.88", shim);
        let begins =
            "eth(dst=f8:bc:12:44:34:b6,src=aa:55:aa:55:00:00,dl_type=0x0800),ipv4(src=1.1.2.88,dst=1.1.2.92,";
        assert_eq!(
            four(Shim::Vxlan { port: 4789, vni: 0x7b, gbp: None, checksum: false }),
            format!(
                "tnl_push(tnl_port(4789),header(size=50,type=4,{begins}proto=17,tos=0,ttl=64,frag=0x4000),\
                 udp(src=0,dst=4789,csum=0x0),vxlan(flags=0x8000000,vni=0x7b)),out_port(100))"
            )
        );
        let options = [0xff, 0xff, 0x80, 1, 0, 0, 0, 0xa].into();
        let geneve = Shim::Geneve {
            port: 6081,
            vni: 0x1c7,
            protocol: 0x6558,
            control: false,
            options,
            checksum: true,
        };
        assert!(four(geneve).contains(
            "header(size=58,type=5,eth(dst=f8:bc:12:44:34:b6,src=aa:55:aa:55:00:00,dl_type=0x0800),\
             ipv4(src=1.1.2.88,dst=1.1.2.92,proto=17,tos=0,ttl=64,frag=0x4000),udp(src=0,dst=6081,csum=0xffff),\
             geneve(crit,vni=0x1c7,options({class=0xffff,type=0x80,len=4,0xa})))"
        ));
        let gre = Shim::Gre { protocol: 0x6558, key: Some(0x1c8), sequence: true, checksum: false };
        assert!(four(gre).ends_with("gre((flags=0x3000,proto=0x6558),key=0x1c8,seq=0x0)),out_port(100))"));
        let six = told(
            "2001:cafe::92",
            "2001:cafe::88",
            Shim::ErspanIII { session: 0x237, hardware: 7, egress: true },
        );
        assert!(
            six.contains("size=74,type=108,eth(dst=f8:bc:12:44:34:b6,src=aa:55:aa:55:00:00,dl_type=0x86dd)")
        );
        assert!(
            six.contains("ipv6(src=2001:cafe::88,dst=2001:cafe::92,label=0,proto=47,tclass=0x0,hlimit=64)")
        );
        assert!(six.contains("erspan(ver=2,sid=0x237,dir=1,hwid=0x7)"), "{six}");
    }
}
