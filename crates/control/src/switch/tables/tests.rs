//! Packets between ports of memory through the switch with its workers' threads.

use super::super::configuration::Options;
use super::super::news::{News, PortChange};
use super::super::protocol::Request;
use super::super::start::{Keeping, Start};
use super::super::state::Switch;
use super::super::{Doors, OpenPort};
use super::*;
use netloom_mem::{Batch, Offload, PortError, ReceiveQueue, SendQueue};
use netloom_proto::openflow::text::{Names, parse_actions, parse_flow};
use netloom_vswitch::openflow::{Band, Bucket, FlowView, Removal, Selection};
use netloom_vswitch::openflow::{
    Event, FlowFilter, GroupCommand, GroupKind, GroupMod, MeterCommand, MeterMod,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

type Line = Arc<Mutex<VecDeque<Vec<u8>>>>;

struct From(u32, Line);
struct To(Line);

impl ReceiveQueue for From {
    fn receive(&mut self, batch: &mut Batch) -> Result<usize, PortError> {
        let mut line = self.1.lock().unwrap();
        while batch.room() > 0 {
            let Some(frame) = line.pop_front() else { break };
            assert!(batch.push(self.0, &frame, Offload::NONE));
        }
        Ok(batch.len())
    }
}

impl SendQueue for To {
    fn send(&mut self, batch: &Batch, frames: &[u8]) -> Result<usize, PortError> {
        let mut line = self.0.lock().unwrap();
        line.extend(frames.iter().map(|index| batch.octets(usize::from(*index))));
        Ok(frames.len())
    }
}

/// What comes in and what went out, by port.
type Lines = Arc<Mutex<BTreeMap<String, (Line, Line)>>>;

struct Memory(Lines);

impl Doors for Memory {
    fn open(&mut self, number: u32, name: &str, _: &Options) -> Result<OpenPort, String> {
        let (inward, outward) = (Line::default(), Line::default());
        self.0.lock().unwrap().insert(name.to_owned(), (inward.clone(), outward.clone()));
        Ok(OpenPort {
            receive: vec![Box::new(From(number, inward))],
            send: vec![Box::new(To(outward))],
            state: Box::new(|| "up".to_owned()),
            keep: Box::new(()),
        })
    }
}

pub(in super::super) struct Rig {
    pub(in super::super) switch: Switch,
    lines: Lines,
}

fn options(words: &str) -> Options {
    let pairs = words.split_whitespace().filter_map(|word| word.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

impl Rig {
    /// A switch `br0` with ports `p1` to `p3`, whose time stands still.
    pub(in super::super) fn new() -> Self {
        let lines = Lines::default();
        let start = Start { keeping: Keeping::Nothing, ..Start::default() };
        let switch =
            Switch::start(&start, Box::new(Memory(lines.clone())), |error| panic!("{error}")).unwrap();
        switch.stop_time();
        let mut rig = Self { switch, lines };
        rig.switch_add("br0");
        for port in ["p1", "p2", "p3"] {
            rig.port_add("br0", port, "type=system");
        }
        rig
    }

    fn switch_add(&mut self, name: &str) {
        let request = Request::SwitchAdd { name: name.to_owned(), options: Options::new() };
        self.switch.carry_out(request).unwrap();
    }

    fn port_add(&mut self, switch: &str, name: &str, words: &str) {
        let (switch, name, options) = (switch.to_owned(), name.to_owned(), options(words));
        self.switch.carry_out(Request::PortAdd { switch, name, options }).unwrap();
    }

    fn number(&self, name: &str) -> BridgeNumber {
        self.switch.bridges.lock().number_of(name).unwrap()
    }

    /// Adds a flow, deletes some, or changes them, in the words of `ovs-ofctl`.
    fn flow_in(&self, bridge: &str, text: &str) {
        let (told, _) = parse_flow(text, None, &Names::default()).unwrap();
        self.modify(bridge, &FlowMod::from(&told));
    }

    fn modify(&self, bridge: &str, change: &FlowMod) {
        let number = self.number(bridge);
        let desk = self.switch.desk();
        let now = desk.now();
        desk.lock().pipelines.get_mut(&number).unwrap().flow_mod(change, now).unwrap();
        desk.publish();
    }

    pub(in super::super) fn flow(&self, text: &str) {
        self.flow_in("br0", text);
    }

    pub(in super::super) fn clear(&self) {
        self.modify("br0", &FlowMod { table: None, ..FlowMod::new(Command::Delete) });
    }

    /// Has frames come in and waits until they have gone their way.
    fn send(&mut self, port: &str, frames: &[Vec<u8>]) {
        // What changed before concerns them: a turn that has begun does not know of it.
        self.switch.crew.turn().unwrap();
        let line = self.lines.lock().unwrap()[port].0.clone();
        line.lock().unwrap().extend(frames.iter().cloned());
        while !line.lock().unwrap().is_empty() {
            self.switch.crew.turn().unwrap();
        }
        self.settle();
    }

    fn settle(&mut self) {
        (0..3).for_each(|_| self.switch.crew.turn().unwrap());
    }

    /// What left by a port since this was asked last.
    fn sent(&self, port: &str) -> Vec<Vec<u8>> {
        self.lines.lock().unwrap()[port].1.lock().unwrap().drain(..).collect()
    }

    fn later(&mut self, milliseconds: u64) {
        self.switch.clock.advance(milliseconds * 1_000_000);
        self.settle();
        self.switch.tick();
    }

    /// The flows of a bridge after everything was counted.
    fn flows(&mut self, bridge: &str) -> Vec<FlowView> {
        let number = self.number(bridge);
        let desk = self.switch.desk();
        desk.count().unwrap();
        let bridges = desk.lock();
        let pipeline = &bridges.pipelines[&number];
        let found = pipeline.select(&FlowFilter::default()).unwrap();
        found.into_iter().filter_map(|id| pipeline.view(id)).collect()
    }

    /// Packets and octets of the flow with a cookie.
    fn counts(&mut self, cookie: u64) -> Option<(u64, u64)> {
        let flows = self.flows("br0");
        let found = flows.iter().find(|view| view.flow.cookie == cookie);
        found.map(|view| (view.flow.packets, view.flow.octets))
    }

    fn news(&self) -> Vec<News> {
        let number = self.number("br0");
        self.switch.desk().lock().take_news(number).into()
    }
}

/// An IPv4 packet of UDP between two stations, or a fragment of one: identification, flags and offset as in the header.
fn packet(from: u8, to: u8, fragment: [u8; 4], carried: &[u8]) -> Vec<u8> {
    let [high, low] = (20 + carried.len() as u16).to_be_bytes();
    let mut header = vec![0x45, 0, high, low];
    header.extend(fragment);
    header.extend([64, 17, 0, 0, 10, 0, 0, from, 10, 0, 0, to]);
    let sum: u32 = header.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut frame = vec![2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from, 8, 0];
    frame.extend(header);
    frame.extend(carried);
    frame
}

/// An UDP packet between two stations: 60 octets.
fn udp(from: u8, to: u8, port: u16) -> Vec<u8> {
    let mut carried = vec![0x10, 0];
    carried.extend(port.to_be_bytes());
    carried.extend([0, 26, 0, 0]);
    carried.resize(26, 0);
    packet(from, to, [0; 4], &carried)
}

#[test]
fn a_new_bridge_is_an_ordinary_switch_whose_one_flow_counts() {
    let mut rig = Rig::new();
    rig.send("p1", &[udp(1, 2, 7), udp(1, 2, 8), udp(1, 2, 7)]);
    assert_eq!((rig.sent("p2").len(), rig.sent("p3").len()), (3, 3));
    rig.send("p2", &[udp(2, 1, 7)]);
    assert_eq!((rig.sent("p1").len(), rig.sent("p3").len()), (1, 0));
    let flows = rig.flows("br0");
    assert_eq!(flows.len(), 1);
    assert_eq!((flows[0].priority, flows[0].flow.packets, flows[0].flow.octets), (0, 4, 240));
    // The data path looks at what the ordinary switch looked at, and at nothing else.
    let number = rig.switch.configuration.ports["p2"].number;
    let mut key = Key::default();
    netloom_table::key::extract(&udp(2, 1, 7), 60, number, &mut key);
    let decision = {
        let mut bridges = rig.switch.bridges.lock();
        bridges.by_name.get_mut("br0").unwrap().consider(&key, 0)
    };
    let found: Vec<_> = rig.switch.crew.flows().unwrap().into_iter().flatten().collect();
    let same = found.iter().find(|flow| flow.port == number).unwrap();
    assert_eq!(same.mask, decision.mask);
    assert!(!same.counted);
}

#[test]
fn packets_follow_flows_and_each_is_counted() {
    let mut rig = Rig::new();
    rig.clear();
    rig.send("p1", &[udp(1, 2, 7)]);
    assert!(rig.sent("p2").is_empty() && rig.sent("p3").is_empty());
    rig.flow("cookie=1,priority=5,udp,in_port=1,tp_dst=7,actions=output:2");
    rig.flow("cookie=2,priority=1,in_port=1,actions=output:3");
    for _ in 0..10 {
        rig.send("p1", &[udp(1, 2, 7), udp(1, 2, 8), udp(1, 2, 7)]);
    }
    assert_eq!((rig.sent("p2").len(), rig.sent("p3").len()), (20, 10));
    assert_eq!((rig.counts(1), rig.counts(2)), (Some((20, 1200)), Some((10, 600))));
    // Asking twice counts nothing twice.
    assert_eq!(rig.counts(1), Some((20, 1200)));
    // A flow that is replaced keeps what it counted, and gets what comes late.
    rig.send("p1", &[udp(1, 2, 7)]);
    rig.flow("cookie=1,priority=5,udp,in_port=1,tp_dst=7,actions=drop");
    rig.send("p1", &[udp(1, 2, 7)]);
    assert_eq!(rig.sent("p2").len(), 1);
    assert_eq!(rig.counts(1), Some((22, 1320)));
    // And back to an ordinary switch.
    rig.clear();
    rig.flow("cookie=3,priority=0,actions=NORMAL");
    rig.send("p1", &[udp(1, 2, 7)]);
    assert_eq!((rig.sent("p2").len(), rig.sent("p3").len()), (1, 1));
    assert_eq!(rig.counts(3), Some((1, 60)));
    rig.flow("cookie=4,priority=9,udp,actions=drop");
    rig.send("p1", &[udp(1, 2, 7)]);
    assert!(rig.sent("p2").is_empty());
    assert_eq!((rig.counts(3), rig.counts(4)), (Some((1, 60)), Some((1, 60))));
}

#[test]
fn flows_end_when_no_packet_comes() {
    let mut rig = Rig::new();
    rig.switch.desk().listen().unwrap();
    rig.clear();
    rig.flow("send_flow_rem,cookie=1,idle_timeout=2,in_port=1,actions=output:2");
    rig.flow("send_flow_rem,cookie=2,hard_timeout=5,in_port=2,actions=output:1");
    for _ in 0..4 {
        rig.later(900);
        rig.send("p1", &[udp(1, 2, 7)]);
        rig.send("p2", &[udp(1, 2, 7)]);
    }
    assert_eq!((rig.counts(1), rig.counts(2)), (Some((4, 240)), Some((4, 240))));
    for _ in 0..30 {
        rig.later(100);
    }
    assert_eq!((rig.counts(1), rig.counts(2)), (None, None));
    let mut gone: Vec<(u64, Removal, u64)> = rig
        .news()
        .into_iter()
        .filter_map(|news| match news {
            News::Tables(event) => match *event {
                Event::Removed(gone) => Some((gone.flow.flow.cookie, gone.reason, gone.flow.flow.packets)),
                _ => None,
            },
            _ => None,
        })
        .collect();
    gone.sort_by_key(|(cookie, ..)| *cookie);
    assert_eq!(gone, [(1, Removal::IdleTimeout, 4), (2, Removal::HardTimeout, 4)]);
    rig.send("p1", &[udp(1, 2, 7)]);
    assert_eq!(rig.sent("p2").len(), 4);
}

#[test]
fn what_packets_teach_concerns_the_next_one() {
    let mut rig = Rig::new();
    rig.clear();
    rig.flow(
        "cookie=1,actions=learn(table=1,cookie=9,idle_timeout=3,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],\
         output:NXM_OF_IN_PORT[]),resubmit(,1)",
    );
    rig.flow("cookie=2,table=1,priority=0,actions=flood");
    rig.send("p1", &[udp(1, 2, 7)]);
    assert_eq!((rig.sent("p2").len(), rig.sent("p3").len()), (1, 1));
    rig.send("p2", &[udp(2, 1, 7), udp(2, 1, 7)]);
    assert_eq!((rig.sent("p1").len(), rig.sent("p3").len()), (2, 0));
    // What is taught again and again does not end, though nobody needs it.
    for _ in 0..8 {
        rig.later(1000);
        rig.send("p1", &[udp(1, 3, 7)]);
    }
    let learned: Vec<_> = rig.flows("br0").into_iter().filter(|view| view.flow.cookie == 9).collect();
    assert_eq!(learned.len(), 1, "{learned:?}");
    assert_eq!(rig.counts(1), Some((11, 660)));
    for _ in 0..5 {
        rig.later(1000);
    }
    assert_eq!(rig.counts(9), None);
}

#[test]
fn groups_and_meters() {
    let mut rig = Rig::new();
    rig.clear();
    let bridge = rig.number("br0");
    let desk = rig.switch.desk();
    let bucket =
        |id: u32, port: u16| Bucket::new(id, Arc::new([Action::Output { port: OfPort(port), max_len: 0 }]));
    let group = GroupMod {
        command: GroupCommand::Add,
        number: 7,
        kind: GroupKind::Select,
        selection: Selection::default(),
        buckets: vec![bucket(0, 2), bucket(1, 3)],
        bucket: 0,
    };
    let meter = MeterMod {
        command: MeterCommand::Add,
        number: 3,
        flags: 2 | 4,
        bands: vec![Band { remark: None, rate: 10, burst: 5, packets: 0, octets: 0 }],
    };
    {
        let mut bridges = desk.lock();
        let pipeline = bridges.pipelines.get_mut(&bridge).unwrap();
        pipeline.group_mod(&group, 0).unwrap();
        pipeline.meter_mod(&meter, 0).unwrap();
    }
    desk.publish();
    rig.flow("cookie=1,in_port=1,actions=group:7");
    rig.flow("cookie=2,in_port=2,actions=meter:3,output:1");
    let frames: Vec<Vec<u8>> = (0..200).map(|port| udp(1, 2, port)).collect();
    rig.send("p1", &frames);
    let (two, three) = (rig.sent("p2").len(), rig.sent("p3").len());
    assert_eq!(two + three, 200);
    assert!(two > 40 && three > 40, "{two} {three}");
    // Packets of a flow take the same way.
    rig.send("p1", &frames);
    assert_eq!((rig.sent("p2").len(), rig.sent("p3").len()), (two, three));
    desk.count().unwrap();
    {
        let bridges = desk.lock();
        let group = bridges.pipelines[&bridge].group(7).unwrap();
        assert_eq!((group.packets, group.octets), (400, 24_000));
        assert_eq!(
            group.buckets.iter().map(|bucket| bucket.packets).collect::<Vec<_>>(),
            [2 * two as u64, 2 * three as u64]
        );
    }
    rig.send("p2", &frames[..20]);
    assert_eq!(rig.sent("p1").len(), 5);
    rig.later(1000);
    rig.send("p2", &frames[..20]);
    assert_eq!(rig.sent("p1").len(), 5);
    desk.count().unwrap();
    let bridges = desk.lock();
    let meter = bridges.pipelines[&bridge].meters().next().unwrap().clone();
    assert_eq!((meter.packets, meter.octets), (40, 2400));
    assert_eq!((meter.bands[0].packets, meter.bands[0].octets), (30, 1800));
}

#[test]
fn connections_are_tracked() {
    let mut rig = Rig::new();
    rig.clear();
    rig.flow("table=0,udp,actions=ct(table=1)");
    rig.flow("cookie=1,table=1,in_port=1,ct_state=+trk+new,udp,actions=ct(commit),output:2");
    rig.flow("cookie=2,table=1,in_port=1,ct_state=+trk+est,udp,actions=output:2");
    rig.flow("cookie=3,table=1,in_port=2,ct_state=+trk+est,udp,actions=output:1");
    rig.flow("cookie=4,table=1,in_port=2,ct_state=+trk+new,udp,actions=drop");
    let mut back = udp(2, 1, 0x1000);
    back[34..36].copy_from_slice(&7_u16.to_be_bytes());
    rig.send("p2", &[back.clone()]);
    assert!(rig.sent("p1").is_empty());
    rig.send("p1", &[udp(1, 2, 7)]);
    assert_eq!(rig.sent("p2").len(), 1);
    rig.send("p2", &[back]);
    assert_eq!(rig.sent("p1").len(), 1);
    rig.send("p1", &[udp(1, 2, 7)]);
    assert_eq!(rig.sent("p2").len(), 1);
    let counts: Vec<u64> = (1..=4).map(|cookie| rig.counts(cookie).unwrap().0).collect();
    assert_eq!(counts, [1, 1, 1, 1]);
    assert_eq!(rig.switch.tracker.dump(None, rig.switch.now()).count(), 1);
}

#[test]
fn fragments_belong_to_the_connection_of_their_packet() {
    let mut rig = Rig::new();
    rig.clear();
    rig.flow("table=0,udp,actions=ct(table=1)");
    rig.flow("cookie=1,table=1,in_port=1,ct_state=+trk+new,udp,actions=ct(commit),output:2");
    rig.flow("cookie=2,table=1,in_port=1,ct_state=+trk+est,udp,actions=output:2");
    rig.flow("cookie=3,table=1,ct_state=+inv,actions=drop");
    rig.send("p1", &[udp(1, 2, 7)]);
    let mut back = udp(2, 1, 0x1000);
    back[34..36].copy_from_slice(&7_u16.to_be_bytes());
    rig.flow("table=1,in_port=2,ct_state=+trk+est,udp,actions=output:1");
    rig.send("p2", &[back]);
    assert_eq!((rig.sent("p1").len(), rig.sent("p2").len()), (1, 1));
    // 1,608 octets of UDP in two fragments, the last one first.
    let mut whole = vec![0x10, 0, 0, 7];
    whole.extend(1608_u16.to_be_bytes());
    whole.extend([0, 0]);
    whole.extend((0..1600).map(|octet| octet as u8));
    let first = packet(1, 2, [0, 9, 0x20, 0], &whole[..1400]);
    let last = packet(1, 2, [0, 9, 0, 175], &whole[1400..]);
    rig.send("p1", std::slice::from_ref(&last));
    assert!(rig.sent("p2").is_empty());
    rig.send("p1", std::slice::from_ref(&first));
    assert_eq!(rig.sent("p2"), [first, last]);
    assert_eq!((rig.counts(2).map(|(packets, _)| packets), rig.counts(3)), (Some(2), Some((0, 0))));
}

#[test]
fn packets_for_controllers_and_from_them() {
    let mut rig = Rig::new();
    let desk = rig.switch.desk();
    desk.listen().unwrap();
    rig.clear();
    rig.flow(
        "cookie=5,table=0,in_port=1,actions=load:0x1234->NXM_NX_REG0[],controller(max_len=20,userdata=01.02)",
    );
    rig.flow("cookie=6,table=0,in_port=2,actions=controller(pause),output:3");
    rig.send("p1", &[udp(1, 2, 7)]);
    rig.send("p2", &[udp(2, 1, 7)]);
    let packets: Vec<_> = rig
        .news()
        .into_iter()
        .filter_map(|news| match news {
            News::Packet(packet) => Some(packet),
            _ => None,
        })
        .collect();
    let [first, second] = packets.as_slice() else { panic!("{packets:?}") };
    assert_eq!((first.punt.cookie, first.punt.table, first.in_port), (5, 0, OfPort(1)));
    // Whole: what is cut off would be lost.
    assert_eq!((first.octets.len(), first.length, &*first.punt.data), (60, 60, &[1, 2][..]));
    let state = first.state.as_ref().unwrap();
    let mut key = Key::default();
    state.restore(&mut key);
    assert_eq!(key.get(Field::XREG0), 0x1234 << 32);
    // Where it stopped, it goes on.
    assert!(rig.sent("p3").is_empty());
    let state = second.state.clone().unwrap();
    desk.resume(rig.number("br0"), state, &second.key, second.octets.clone()).unwrap();
    rig.settle();
    assert_eq!(rig.sent("p3"), [udp(2, 1, 7)]);
    // Packets of controllers, through actions and through tables.
    let out = |text: &str| parse_actions(text, &Names::default()).unwrap().0.into();
    let (bridge, none) = (rig.number("br0"), Key::default());
    desk.packet_out(bridge, OfPort::CONTROLLER, out("mod_vlan_vid:9,output:2"), &none, udp(1, 2, 7)).unwrap();
    rig.flow("cookie=7,table=0,in_port=3,actions=output:1");
    desk.packet_out(bridge, OfPort(3), out("table"), &none, udp(1, 2, 7)).unwrap();
    rig.settle();
    assert_eq!(rig.sent("p2")[0][12..16], [0x81, 0, 0, 9]);
    assert_eq!(rig.sent("p1"), [udp(1, 2, 7)]);
    assert_eq!(rig.counts(7), Some((1, 60)));
}

#[test]
fn ports_come_and_go() {
    let mut rig = Rig::new();
    rig.switch.desk().listen().unwrap();
    rig.port_add("br0", "p4", "type=system");
    assert_eq!(rig.switch.ofport("p4"), Some(4));
    rig.switch.carry_out(Request::PortDelete { name: "p2".to_owned() }).unwrap();
    let news: Vec<(PortChange, String)> = rig
        .news()
        .into_iter()
        .filter_map(|news| match news {
            News::Port(change, entry) => Some((change, entry.name)),
            _ => None,
        })
        .collect();
    assert_eq!(news, [(PortChange::Added, "p4".to_owned()), (PortChange::Deleted, "p2".to_owned())]);
    assert_eq!((rig.switch.ofport("p2"), rig.switch.ofport("p3")), (None, Some(3)));
    // A port that sends nothing makes the bridge no ordinary switch.
    let number = rig.number("br0");
    let desk = rig.switch.desk();
    {
        let mut bridges = desk.lock();
        let entry = bridges.pipelines[&number].port(OfPort(3)).unwrap().clone();
        bridges.set_port(number, OfPortEntry { config: OfPortEntry::NO_FORWARD, ..entry });
    }
    rig.switch.desk().publish();
    rig.send("p1", &[udp(1, 2, 7)]);
    assert_eq!((rig.sent("p3").len(), rig.sent("p4").len()), (0, 1));
}

#[test]
fn cables_lead_from_tables_to_tables() {
    let mut rig = Rig::new();
    rig.switch_add("br1");
    rig.port_add("br1", "q1", "type=system");
    rig.port_add("br0", "to1", "type=patch peer=to0");
    rig.port_add("br1", "to0", "type=patch peer=to1");
    let (of0, of1) = (rig.switch.ofport("to1").unwrap(), rig.switch.ofport("to0").unwrap());
    rig.clear();
    rig.flow(&format!("cookie=1,in_port=1,actions=output:{of0}"));
    rig.flow_in("br1", &format!("cookie=2,priority=3,in_port={of1},actions=mod_tp_dst:99,NORMAL"));
    rig.flow_in("br1", "cookie=3,priority=3,udp,actions=mod_tp_dst:98,NORMAL");
    rig.send("p1", &[udp(1, 2, 7)]);
    assert_eq!(rig.sent("q1").len(), 1);
    rig.send("p1", &[udp(1, 2, 7)]);
    assert_eq!(rig.counts(1), Some((2, 120)));
    let other = rig.flows("br1");
    let packets = |cookie: u64| other.iter().find(|view| view.flow.cookie == cookie).unwrap().flow.packets;
    assert_eq!((packets(2), packets(3)), (2, 0));
    let ports = rig.switch.port_list(&|_, _| true);
    let port = |name: &str| ports.iter().find(|port| port.name == name).unwrap();
    assert_eq!((port("to1").sent, port("to0").received), (2, 2));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever happens to flows between packets, every packet is counted once by a flow of table 0.
    #[test]
    fn no_packet_is_forgotten(steps in proptest::collection::vec((0_u8..6, 0_u16..4, 1_usize..20), 1..25)) {
        let mut rig = Rig::new();
        let mut sent = 0_u64;
        for (step, number, count) in steps {
            match step {
                0 => rig.flow(&format!("priority=5,udp,tp_dst={number},actions=output:2")),
                1 => rig.flow(&format!("priority=7,in_port={},actions=NORMAL", 1 + number % 3)),
                2 => rig.flow(&format!("priority=5,udp,tp_dst={number},actions=resubmit(,1)")),
                3 => {
                    rig.flow("priority=0,actions=NORMAL");
                    rig.later(300);
                }
                _ => {
                    let frames: Vec<Vec<u8>> = (0..count).map(|at| udp(1, 2, (at % 5) as u16)).collect();
                    sent += frames.len() as u64;
                    rig.send(["p1", "p2", "p3"][usize::from(number % 3)], &frames);
                }
            }
        }
        let counted: u64 = rig.flows("br0").iter().filter(|view| view.table == 0).map(|view| view.flow.packets).sum();
        prop_assert_eq!(counted, sent);
        let bridge = rig.number("br0");
        let table = rig.switch.bridges.lock().pipelines[&bridge].table_counts(0);
        prop_assert_eq!((table.looked_up, table.matched), (sent, sent));
    }
}
