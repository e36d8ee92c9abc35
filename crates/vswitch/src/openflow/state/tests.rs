//! What is written is read.

use super::super::{Command, PipelineOptions};
use super::super::{
    FlowFilter, FlowMod, GroupCommand, GroupMod, MeterCommand, MeterMod, OfPortEntry, TlvMap,
};
use super::*;
use netloom_proto::openflow::text::parse_flow;

#[test]
fn a_successor_holds_what_was_held() {
    let lines = [
        "cookie=0x1,table=0,priority=100,idle_timeout=10,send_flow_rem,tcp,in_port=1,nw_dst=10.0.0.0/8,\
         actions=mod_dl_dst:02:00:00:00:00:01,load:0x5->NXM_NX_REG3[4..9],resubmit(,2)",
        "cookie=0x2,table=2,priority=1,ip,actions=learn(table=3,hard_timeout=4,delete_learned,cookie=0x77,\
         NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[]),ct(commit,zone=5,nat(src=10.1.1.1),table=4)",
        "cookie=0x3,table=4,ipv6,ct_state=+est-new,actions=write_actions(output:3,set_field:5->metadata),goto_table:9",
        "cookie=0x4,table=5,actions=group:7,controller(max_len=77,userdata=01.02,pause)",
        "cookie=0x5,table=6,dl_vlan=9,actions=strip_vlan,move:NXM_OF_VLAN_TCI[]->NXM_NX_REG0[0..15],bundle(eth_src,0,hrw,ofport,members:1,2)",
        "cookie=0x6,table=7,actions=conjunction(3,1/2)",
        "cookie=0x7,table=8,hard_timeout=60,importance=4,no_packet_counts,ip,actions=note:01.02.03,dec_ttl(1,2),set_queue:4,NORMAL",
        "cookie=0x8,table=9,actions=clone(push_mpls:0x8847,output:2),check_pkt_larger(100)->NXM_NX_REG0[0],output(port=2,max_len=100)",
    ];
    let second = 1_000_000_000;
    let mut first = Pipeline::new(3, PipelineOptions::default(), 0);
    first.set_port(OfPortEntry { config: 32, ..OfPortEntry::new(OfPort(1), 1, "p1") });
    let group = GroupMod {
        command: GroupCommand::Add,
        number: 7,
        kind: GroupKind::FastFailover,
        selection: Selection {
            fields: vec![(FieldId::TCP_SRC, Value::ones(2))],
            parameter: 5,
            ..Selection::default()
        },
        buckets: vec![Bucket { watch_port: OfPort(1), ..Bucket::new(4, Arc::new([Action::Group(9)])) }],
        bucket: 0,
    };
    first.group_mod(&group, second).unwrap();
    let bands = vec![Band { remark: Some(1), rate: 5, burst: 6, packets: 0, octets: 0 }];
    first.meter_mod(&MeterMod { command: MeterCommand::Add, number: 9, flags: 6, bands }, second).unwrap();
    let mut map = TlvMap::default();
    map.add(3, 0xffff, 1, 4).unwrap();
    map.add(0, 0xffff, 2, 8).unwrap();
    map.remove(3).unwrap();
    first.set_tlv_map(map);
    for line in lines {
        let told =
            parse_flow(line, None, &Names::default()).unwrap_or_else(|error| panic!("{line}: {error:?}")).0;
        if let Err(error) = first.flow_mod(&FlowMod::from(&told), 2 * second) {
            panic!("{line}: {error}");
        }
    }
    let all = first.select(&FlowFilter::default()).unwrap();
    for (place, id) in all.iter().enumerate() {
        first.credit_flow(*id, place as u64 + 1, 100, 3 * second);
    }
    let text = serde_json::to_string(&first.state()).unwrap();
    let mut other = Pipeline::new(8, PipelineOptions::default(), 0);
    other.set_port(OfPortEntry::new(OfPort(1), 1, "p1"));
    let normal = FlowMod {
        actions: Arc::new([Action::Output { port: OfPort::NORMAL, max_len: 0 }]),
        ..FlowMod::new(Command::Add)
    };
    other.flow_mod(&normal, 0).unwrap();
    other.restore(serde_json::from_str(&text).unwrap(), 4 * second).unwrap();
    assert_eq!(
        serde_json::to_string(&other.state())
            .unwrap()
            .replace(&(8_u32 << 16).to_string(), &(3_u32 << 16).to_string()),
        text
    );
    let shown = |pipeline: &Pipeline| -> Vec<String> {
        let all = pipeline.select(&FlowFilter::default()).unwrap();
        all.into_iter()
            .map(|id| {
                let view = pipeline.view(id).unwrap();
                let Flow { cookie, actions, created, modified, used, packets, octets, .. } = view.flow;
                format!(
                    "{} {} {:?} {cookie} {actions:?} {created} {modified} {used} {packets} {octets}",
                    view.table, view.priority, view.matching
                )
            })
            .collect()
    };
    assert_eq!(shown(&other), shown(&first));
    assert_eq!(other.port(OfPort(1)).unwrap().config, 32);
    // What ends, ends when it would have.
    other.tick(13 * second + second / 2);
    assert_eq!(other.select(&FlowFilter::default()).unwrap().len(), lines.len() - 1);
    // Who teaches takes what it taught along.
    assert!(other.teachers.contains_key(&(0x77, 3)));
}
