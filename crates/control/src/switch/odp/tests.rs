//! Packets that are written down, read, made and printed.

use super::*;
use netloom_mem::PortNumber;
use netloom_nf::{Action, Program, Reason};
use netloom_table::key::extract;
use netloom_table::{Field, Key, Mask};
use netloom_vswitch::openflow::translate::print_program;
use proptest::prelude::*;

fn read(text: &str) -> Key {
    parse(text, &|name| (name == "p7").then_some(7)).unwrap()
}

fn number(port: PortNumber) -> String {
    port.to_string()
}

const PACKETS: &[&str] = &[
    "in_port(1),eth(src=50:54:00:00:00:05,dst=ff:ff:ff:ff:ff:ff),eth_type(0x0806),arp(sip=192.168.0.1,tip=192.168.0.2,\
     op=1,sha=50:54:00:00:00:05,tha=00:00:00:00:00:00)",
    "in_port(p7),eth(src=50:54:00:00:00:06,dst=50:54:00:00:00:05),eth_type(0x0800),ipv4(src=192.168.0.1,\
     dst=192.168.0.2,proto=6,tos=0,ttl=64,frag=no),tcp(src=8,dst=9),tcp_flags(syn|ack)",
    "in_port(2),eth(src=50:54:00:00:00:06,dst=50:54:00:00:00:05),eth_type(0x8100),vlan(vid=10,pcp=3),\
     encap(eth_type(0x86dd),ipv6(src=fd00::1,dst=fd00::2,label=0x12345,proto=17,tclass=0x10,hlimit=3,frag=no),\
     udp(src=53,dst=1024))",
    "in_port(2),eth(src=50:54:00:00:00:06,dst=50:54:00:00:00:05),eth_type(0x88a8),vlan(vid=10,pcp=0),\
     encap(eth_type(0x8100),vlan(vid=5,pcp=1),encap(eth_type(0x0800),ipv4(src=1.2.3.4,dst=5.6.7.8,proto=1,tos=0,ttl=1,\
     frag=no),icmp(type=8,code=0)))",
    "in_port(2),eth(src=50:54:00:00:00:06,dst=50:54:00:00:00:05),eth_type(0x86dd),ipv6(src=fe80::1,dst=ff02::1,label=0,\
     proto=58,tclass=0,hlimit=255,frag=no),icmpv6(type=135,code=0),nd(target=fe80::2,sll=50:54:00:00:00:06)",
];

#[test]
fn a_packet_that_was_written_down_is_the_one_that_is_extracted() {
    for text in PACKETS {
        let key = read(text);
        let octets = frame(&key, None);
        let mut seen = Key::default();
        extract(&octets, octets.len(), key.get(Field::IN_PORT) as u32, &mut seen);
        for field in Field::ALL {
            // The bit that says that there is a tag is no part of a frame.
            let bits =
                if *field == Field::VLAN_TCI || *field == Field::INNER_TCI { !0x1000 } else { u64::MAX };
            assert_eq!(seen.get(*field) & bits, key.get(*field) & bits, "{field:?} of {text}");
        }
    }
}

/// Lengths and checksums that Open vSwitch 3.1 has for the same words: see `ofproto-dpif.at` of its test suite.
#[test]
fn packets_are_those_of_open_vswitch() {
    let ipv4 = "in_port(1),eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:7),eth_type(0x0800),ipv4(src=192.168.0.1,\
                dst=192.168.0.2,proto=6,tos=0,ttl=64,frag=no),tcp(src=8,dst=9)";
    let sum = |octets: &[u8], at: usize| u16::from_be_bytes([octets[at], octets[at + 1]]);
    for (flags, length, expected) in
        [("syn", 54, 0x2e7e), ("rst|urg", 54, 0x2e5c), ("ack", 118, 0x4a2c), ("0", 118, 0x4a3c)]
    {
        let octets = frame(&read(&format!("{ipv4},tcp_flags({flags})")), None);
        assert_eq!((octets.len(), sum(&octets, 50)), (length, expected), "{flags}");
    }
    let udp = frame(
        &read(
            "in_port(1),eth(src=50:54:00:00:00:09,dst=50:54:00:00:00:0a),eth_type(0x0800),ipv4(src=10.1.1.1,\
             dst=10.1.1.2,proto=17,tos=0,ttl=64,frag=no),udp(src=1,dst=2)",
        ),
        None,
    );
    assert_eq!((udp.len(), sum(&udp, 40)), (106, 0x553));
    // Protocols that nobody knows carry nothing, and a stack of labels ends with itself.
    let other = "in_port(1),eth(src=50:54:00:00:00:09,dst=50:54:00:00:00:0a),eth_type(0x0800),ipv4(proto=16)";
    assert_eq!(frame(&read(other), None).len(), 34);
    let labels = "eth(),eth_type(0x8847),mpls(label=7,tc=0,ttl=9,bos=0,label=8,tc=1,ttl=3,bos=1)";
    let octets = frame(&read(labels), None);
    assert_eq!(octets[14..], [0, 0, 0x70, 9, 0, 0, 0x83, 3]);
    // Without an EtherType the length stands in its place, and the header named says which one it is.
    assert_eq!(frame(&read("in_port(1)"), None), [[0; 13].as_slice(), &[14]].concat());
    assert_eq!(read("eth(),ipv4(proto=1)").get(Field::ETH_TYPE), 0x0800);
    assert_eq!(read("ufid:01-02 in_port(3),eth()").get(Field::IN_PORT), 3);
}

#[test]
fn flows_are_printed_as_they_are_read() {
    let mut exact = Mask::default();
    Field::ALL.iter().for_each(|field| exact.add(*field));
    for text in PACKETS {
        let key = read(text);
        let style =
            Style { verbose: false, port: &|port| if port == 7 { "p7".to_owned() } else { number(port) } };
        let printed = flow(&key, &exact, &style);
        let again = read(&printed);
        for field in Field::ALL {
            assert_eq!(again.get(*field), key.get(*field), "{field:?} of {text}\n{printed}");
        }
    }
}

#[test]
fn what_matters_is_printed_and_nothing_else() {
    let key = read(PACKETS[1]);
    let mut mask = Mask::default();
    for field in
        [Field::IN_PORT, Field::ETH_SRC, Field::ETH_DST, Field::ETH_TYPE, Field::VLAN_TPID, Field::VLAN_TCI]
    {
        mask.add(field);
    }
    let style = Style { verbose: false, port: &number };
    // As Open vSwitch prints the flow of a packet that was switched by its addresses.
    assert_eq!(
        flow(&key, &mask, &style),
        "recirc_id(0),in_port(7),packet_type(ns=0,id=0),eth(src=50:54:00:00:00:06,dst=50:54:00:00:00:05),\
         eth_type(0x0800),ipv4(frag=no)"
    );
    mask.add_bits(Field::IP4_SRC, 0xff00_0000);
    mask.add(Field::TP_DST);
    assert!(flow(&key, &mask, &style).ends_with("ipv4(src=192.168.0.1/255.0.0.0,frag=no),tcp(dst=9)"));
}

#[test]
fn actions_in_the_words_of_the_data_path() {
    let program =
        |steps: Vec<Action>| print_program(&Program::new(steps, Reason::NoPorts), &Key::default(), &number);
    assert_eq!(program(vec![]), "drop");
    assert_eq!(
        program(vec![
            Action::Output(1),
            Action::PopVlan,
            Action::PushVlan { tpid: 0x8100, tci: 0x600a },
            Action::Output(2),
            Action::Recirculate(3),
        ]),
        "1,pop_vlan,push_vlan(vid=10,pcp=3),2,recirc(0x3)"
    );
}

#[test]
fn what_can_not_be_read_is_said() {
    let error = |text: &str| parse(text, &|_| None).unwrap_err();
    assert_eq!(error("zz"), "syntax error at zz");
    assert_eq!(error("in_port(1),eth(src=50:54)"), "syntax error at eth(src=50:54)");
    assert_eq!(error("in_port(nobody)"), "syntax error at in_port(nobody)");
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,60}", inside in "[a-z0-9=/:.,()x]{0,30}") {
        let _ = parse(&text, &|_| None);
        for name in ["eth", "vlan", "ipv4", "encap", "mpls", "tcp_flags", "ct_state"] {
            if let Ok(key) = parse(&format!("{name}({inside})"), &|_| None) {
                let _ = frame(&key, Some(inside.len()));
            }
        }
    }
}
