//! The octets of matches and actions, held against those that Open vSwitch's `ovs-ofctl` sends.
//!
//! A socket plays the switch: `ovs-ofctl` sends it flows in each version, and what it sends must be read without
//! an error and written again octet for octet. Skipped where `ovs-ofctl` is missing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

mod mutations;
mod switch;

use netloom_proto::openflow::action::{Context, put_instructions, take_instructions};
use netloom_proto::openflow::codec::{Reader, Writer};
use netloom_proto::openflow::matching::{Match, Rules};
use netloom_proto::openflow::{OfError, Version};
use switch::{is_missing, sent};

/// Flows, each with the versions that can say them, first and last, as on the wire.
const FLOWS: &[(u8, u8, &str)] = include!("flows.in");

/// Reads the match and the actions of a message that changes a flow, and writes them again.
fn again(message: &[u8], version: Version) -> Result<(Vec<u8>, Vec<u8>, String), OfError> {
    let mut from = Reader::new(message);
    let mut out = Writer::new();
    let (packet, start) = if message[1] == 4 {
        from.skip(16 + 24)?;
        let length = usize::from(from.u16()?);
        from.skip(6)?;
        let rules = Rules { cookie: true, ..Rules::STRICT };
        let (packet, cookie) = Match::take_nxm(&mut from, length, rules)?;
        packet.put_nxm(cookie, &mut out);
        (packet, 48)
    } else if version == Version::V10 {
        from.skip(8)?;
        let packet = Match::take_v10(&mut from)?;
        packet.put_v10(&mut out);
        out.bytes(from.take(24)?);
        (packet, 8)
    } else {
        from.skip(48)?;
        let packet = Match::take_v11(&mut from)?;
        match version {
            Version::V11 => packet.put_v11(&mut out),
            _ => packet.put_oxm(version, &mut out),
        }
        (packet, 48)
    };
    let context = Context::of(version, &packet);
    let actions = take_instructions(&mut from.clone(), from.len(), &context)?;
    put_instructions(&actions, &context, &mut out)?;
    Ok((message[start..].to_vec(), out.finish(), format!("{packet:?} {actions:?}")))
}

fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn check(version: Version, format: Option<&str>, flows: &[&str]) {
    let messages = sent(version, format, flows);
    assert_eq!(messages.len(), flows.len(), "{version}");
    let mut wrong = Vec::new();
    for (message, flow) in messages.iter().zip(flows) {
        match again(message, version) {
            Ok((expected, written, _)) if expected == written => {}
            Ok((expected, written, read)) => wrong.push(format!(
                "{flow}\n  read     {read}\n  expected {}\n  written  {}",
                hexadecimal(&expected),
                hexadecimal(&written)
            )),
            Err(error) => wrong.push(format!("{flow}\n  {error} in {}", hexadecimal(message))),
        }
    }
    assert!(wrong.is_empty(), "{version}, {} of {}:\n{}", wrong.len(), flows.len(), wrong.join("\n"));
}

fn flows_of(version: Version) -> Vec<&'static str> {
    let wire = version.wire();
    FLOWS
        .iter()
        .filter(|(first, last, _)| (*first..=*last).contains(&wire))
        .map(|(_, _, flow)| *flow)
        .collect()
}

#[test]
fn octets_of_1_0_with_nxm_are_those_of_ovs() {
    if !is_missing() {
        check(Version::V10, Some("NXM+table_id"), &flows_of(Version::V10));
    }
}

#[test]
fn octets_of_1_0_and_1_1_are_those_of_ovs() {
    let plain = [
        "in_port=3,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02 actions=output:1",
        "dl_vlan=5,dl_vlan_pcp=3 actions=strip_vlan,output:1",
        "dl_vlan_pcp=3 actions=drop",
        "dl_vlan=0xffff actions=mod_vlan_vid:7,mod_vlan_pcp:2,2",
        "arp,arp_spa=10.0.0.0/8,arp_tpa=10.1.2.3,arp_op=2 actions=NORMAL",
        "tcp,nw_src=10.0.0.0/24,nw_dst=192.168.1.7,tp_src=1000,tp_dst=80,nw_tos=32 actions=mod_tp_dst:90,FLOOD",
        "udp,tp_dst=53 actions=mod_nw_src:1.2.3.4,mod_nw_dst:4.3.2.1,mod_tp_src:7,ALL",
        "icmp,icmp_type=8,icmp_code=0 actions=mod_nw_tos:12,mod_dl_src:02:00:00:00:00:09,LOCAL",
        "ip,nw_proto=47 actions=IN_PORT",
        "actions=controller(max_len=100)",
    ];
    if !is_missing() {
        check(Version::V10, Some("OpenFlow10+table_id"), &plain);
        let mut more = plain.to_vec();
        more.extend([
            "ip,dl_src=02:00:00:00:00:01/ff:00:00:00:00:ff actions=mod_nw_ecn:1,mod_nw_ttl:9,output:1",
            "metadata=0x12/0xff actions=write_metadata:0x5/0xf,goto_table:3",
            "mpls,mpls_label=5,mpls_tc=3 actions=set_mpls_label:10,set_mpls_tc:2,set_mpls_ttl:30,dec_mpls_ttl,1",
            "mpls actions=pop_mpls:0x0800,push_mpls:0x8847,push_vlan:0x8100,1",
            "sctp,nw_src=10.0.0.1/255.0.0.255 actions=set_queue:3,group:5,clear_actions,write_actions(output:1)",
            "ip,dl_vlan=5 actions=pop_vlan,dec_ttl,output:3",
        ]);
        check(Version::V11, None, &more);
    }
}

#[test]
fn octets_of_1_2_are_those_of_ovs() {
    if !is_missing() {
        check(Version::V12, None, &flows_of(Version::V12));
    }
}

#[test]
fn octets_of_1_3_are_those_of_ovs() {
    if !is_missing() {
        check(Version::V13, None, &flows_of(Version::V13));
    }
}

#[test]
fn octets_of_1_4_are_those_of_ovs() {
    if !is_missing() {
        check(Version::V14, None, &flows_of(Version::V14));
    }
}

#[test]
fn octets_of_1_5_are_those_of_ovs() {
    if !is_missing() {
        check(Version::V15, None, &flows_of(Version::V15));
    }
}
