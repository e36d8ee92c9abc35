//! What is told to collectors: steps of programs, and flows that are summed.

use super::*;
use crate::openflow::{Exports, PacketSampling, Sampled, SumSampling, TunnelEnds};
use netloom_proto::export::netflow::{FLOODED, NOWHERE, SEVERAL};

fn telling(exports: Exports) -> Room {
    let mut room = Room::new();
    let options = PipelineOptions { exports, ..room.tables().options().clone() };
    room.tables().set_options(options);
    room
}

fn summed() -> Room {
    telling(Exports { flows: true, ..Exports::default() })
}

/// What the samples of a program say.
fn samples(program: &Program) -> Vec<(BridgeNumber, Sampled)> {
    let of = |step: &Step| match step {
        Step::Punt(punt) => Sampled::decode(&punt.data),
        Step::Sample(sample) => match sample.program.actions() {
            [Step::Punt(punt)] => Sampled::decode(&punt.data),
            _ => None,
        },
        _ => None,
    };
    program.actions().iter().filter_map(of).collect()
}

/// Where packets of a flow go, as its sum says.
fn output(translation: &Translation) -> Option<u16> {
    translation.credit.flows_told.first().map(|(_, flow)| flow.output)
}

#[test]
fn flows_that_are_summed_are_told_apart() {
    let mut room = summed();
    room.flows(
        "in_port=1 actions=output:2
         in_port=2 actions=output:3,output:4
         in_port=3 actions=drop
         in_port=4 actions=FLOOD
         in_port=5 actions=output:6,ALL
         in_port=6 actions=mod_nw_dst:9.9.9.9,output:3,output:3",
    );
    let web = room
        .send("in_port=1,tcp,nw_src=1.2.3.4,nw_dst=5.6.7.8,nw_tos=0xb8,tp_src=5,tp_dst=80,tcp_flags=0x12");
    let [(1, flow)] = &web.credit.flows_told[..] else { panic!("{:?}", web.credit.flows_told) };
    assert_eq!((flow.output, flow.flags, flow.key.input, flow.key.tos), (2, 0x12, 1, 0xb8));
    assert_eq!((flow.key.source_port, flow.key.destination_port), (5, 80));
    for field in [Field::IP4_SRC, Field::IP4_DST, Field::TP_SRC, Field::TP_DST, Field::IP_PROTO] {
        assert_eq!(web.mask.get(field), field.ones(), "{}", field.name());
    }
    assert_eq!((web.mask.get(Field::IP_TOS), web.mask.get(Field::TCP_FLAGS)), (0xfc, 0xff));
    for (port, to) in [(2, SEVERAL), (3, NOWHERE), (4, FLOODED), (5, FLOODED), (6, 3)] {
        assert_eq!(output(&room.send(&format!("in_port={port},icmp"))), Some(to), "{port}");
    }
    // As it came in, whatever becomes of it.
    let written = room.send("in_port=6,ip,nw_dst=1.1.1.1");
    assert_eq!(written.credit.flows_told[0].1.key.destination, std::net::Ipv4Addr::new(1, 1, 1, 1));
    // Only IPv4 is.
    assert!(room.send("in_port=1,ipv6").credit.flows_told.is_empty());
    assert!(room.send("in_port=1,arp").credit.flows_told.is_empty());
    assert!(Room::new().send("in_port=1,tcp").credit.flows_told.is_empty());
}

#[test]
fn a_bridge_that_tells_is_no_ordinary_one() {
    let mut room = Room::new();
    room.flows("priority=0 actions=NORMAL");
    assert!(room.tables().ordinary().is_some());
    let mut told = summed();
    told.flows("priority=0 actions=NORMAL");
    assert!(told.tables().ordinary().is_none());
    assert_eq!(
        output(&told.send("in_port=1,tcp,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02")),
        Some(FLOODED)
    );
    assert_eq!(
        output(&told.send("in_port=2,tcp,dl_src=02:00:00:00:00:02,dl_dst=02:00:00:00:00:01")),
        Some(1)
    );
}

#[test]
fn packets_are_sampled_as_they_come_in() {
    let packets = Some(PacketSampling { probability: 1 << 30, most: 64 });
    let mut room = telling(Exports { packets, ..Exports::default() });
    room.flows(
        "in_port=1 actions=mod_vlan_vid:9,output:2
         in_port=2 actions=output:3,output:4
         in_port=3 actions=drop",
    );
    let sampled = |outputs, port, tci| Sampled::Packet { outputs, port, tci, tunnel: None };
    let one = room.send("in_port=1,ip");
    // The sample is the first step, so that it is of the packet as it came.
    assert!(matches!(one.program.actions()[0], Step::Sample(_)));
    assert_eq!(samples(&one.program), [(1, sampled(1, 102, 9))]);
    // A sample is of one tag, though tables look at none.
    let tagged = room.send("in_port=2,dl_vlan=7");
    let Sampled::Packet { tci, .. } = samples(&tagged.program)[0].1 else { panic!() };
    assert_eq!((tci, tagged.mask.get(Field::VLAN_TCI) & 0xfff), (7, 0xfff));
    let Sampled::Packet { outputs, .. } = samples(&room.send("in_port=2").program)[0].1 else { panic!() };
    assert_eq!(outputs, 2);
    let lost = room.send("in_port=3").program;
    assert_eq!(samples(&lost), [(1, sampled(0, 0, 0))]);
    // Though somebody may get a sample, the packet is lost.
    assert!(matches!(lost.actions().last(), Some(Step::Lose(_))));
    assert_eq!(Room::new().way("in_port=3"), "drop");
}

#[test]
fn sums_sample_what_comes_and_what_goes() {
    let sums = |input, output| Some(SumSampling { probability: u32::MAX, input, output, tunnels: true });
    let flows = "in_port=1 actions=mod_nw_tos:32,output:2,output:3";
    let expected = [Sampled::Sum { output: None, tunnel: None }]
        .into_iter()
        .chain([102, 103].map(|port| Sampled::Sum { output: Some(port), tunnel: None }));
    let expected: Vec<_> = expected.map(|sampled| (1, sampled)).collect();
    for (input, output, range) in [(true, true, 0..3), (true, false, 0..1), (false, true, 1..3)] {
        let mut room = telling(Exports { sums: sums(input, output), ..Exports::default() });
        room.flows(flows);
        assert_eq!(samples(&room.send("in_port=1,ip").program), expected[range]);
    }
    // Flows sample for those who are there.
    let mut room = telling(Exports { sets: [(7, true)].into(), ..Exports::default() });
    room.flows(
        "in_port=1 actions=sample(probability=30000,collector_set_id=7,obs_domain_id=1,obs_point_id=2,sampling_port=3)
         in_port=2 actions=sample(probability=30000,collector_set_id=8),output:1",
    );
    let sampled =
        Sampled::Flow { set: 7, domain: 1, point: 2, probability: 30000, output: Some(103), direction: 0 };
    assert_eq!(samples(&room.send("in_port=1").program), [(1, sampled)]);
    assert_eq!(room.way("in_port=2"), "1");
}

#[test]
fn samples_say_by_which_tunnel_a_packet_leaves() {
    let packets = Some(PacketSampling { probability: u32::MAX, most: 64 });
    let sums = Some(SumSampling { probability: u32::MAX, input: false, output: true, tunnels: true });
    let mut room = telling(Exports { packets, sums, ..Exports::default() });
    let form = crate::openflow::port::TunnelForm {
        out_key: Some(5),
        remote: Some("1.1.1.1".parse().unwrap()),
        local: Some("2.2.2.2".parse().unwrap()),
        ..Default::default()
    };
    let entry = OfPortEntry { form: PortForm::Tunnel(form), ..OfPortEntry::new(OfPort(8), 108, "t") };
    room.tables().set_port(entry);
    room.flows("in_port=1 actions=output:8");
    let tunnel = Some(TunnelEnds { source: 0x0202_0202, destination: 0x0101_0101, key: 5 });
    let told = samples(&room.send("in_port=1,ip").program);
    assert_eq!(
        told,
        [
            (1, Sampled::Packet { outputs: 1, port: 108, tci: 0, tunnel }),
            (1, Sampled::Sum { output: Some(108), tunnel })
        ]
    );
}
