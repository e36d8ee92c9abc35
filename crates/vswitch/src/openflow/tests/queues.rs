//! Queues that packets are for (`set_queue`, `pop_queue`, `enqueue`).

use super::{Room, text};
use crate::openflow::OfPortEntry;
use netloom_nf::Shape;
use netloom_proto::openflow::OfPort;
use netloom_table::Field;

#[test]
fn a_program_names_the_queue_of_what_leaves() {
    let mut room = Room::new();
    room.flows(
        "in_port=1 actions=set_queue:7,output:2,output:3,pop_queue,output:4
         in_port=2 actions=enqueue:1:5,output:3,enqueue:4:5
         in_port=3 actions=set_queue:1,clone(set_queue:2,output:1),output:2
         in_port=4,ip actions=set_queue:3,dec_ttl,ct(table=1)
         table=1 actions=output:1
         in_port=5 actions=set_queue:9,NORMAL
         in_port=6 actions=set_queue:9
         in_port=7 actions=set_queue:4,resubmit(,2),output:3
         table=2,in_port=7 actions=output:1,set_queue:6",
    );
    assert_eq!(room.way("in_port=1"), "Queue(7),2,3,Queue(0),4");
    assert_eq!(room.way("in_port=2"), "Queue(5),1,Queue(0),3,Queue(5),4");
    assert_eq!(room.way("in_port=3"), "Queue(2),1,Queue(1),2");
    assert_eq!(room.way("in_port=7"), "Queue(4),1,Queue(6),3");
    assert_eq!(room.way("in_port=6"), "drop");
    let flood = room.send("in_port=5");
    assert!(text(&flood.program).starts_with("Queue(9),") && flood.queues);
    // Nothing beside the packet is needed for it.
    assert!(matches!(flood.program.shape(), Shape::Steps { changing: 0 }));
    // Whoever comes back from connection tracking is for the same queue.
    let tracked = room.send("in_port=4,ip,nw_ttl=9");
    let number = tracked.credit.states[0].1;
    assert!(text(&tracked.program).ends_with("recirc"), "{}", text(&tracked.program));
    assert_eq!(room.way(&format!("in_port=4,ip,recirc_id={number},ct_state=trk|new")), "Queue(3),1");
}

#[test]
fn a_queue_may_have_a_class() {
    let mut room = Room::new();
    room.flows(
        "in_port=1 actions=set_queue:1,output:2,set_queue:2,output:2,output:3
         in_port=2 actions=output:2,in_port",
    );
    let (pipeline, _) = room.bridges.get_mut(&1).unwrap();
    let entry = pipeline.port(OfPort(2)).unwrap().clone();
    pipeline.set_port(OfPortEntry { classes: vec![(1, 10), (0, 46)], ..entry });
    let marked = room.send("in_port=1,udp,nw_tos=3");
    // 10 << 2, and the ECN bits as they were; what follows has its own class again.
    assert_eq!(text(&marked.program), "set(ip_tos=0x28),Queue(1),2,set(ip_tos=0x0),Queue(2),2,3");
    assert_eq!(marked.mask.get(Field::IP_TOS) & 0xfc, 0xfc);
    assert_eq!(room.way("in_port=1,arp"), "Queue(1),2,Queue(2),2,3");
    // The queue 0 counts only where it was named.
    assert_eq!(room.way("in_port=2,udp"), "2");
}
