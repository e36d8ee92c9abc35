//! Peers that say what makes no sense, say half of it, say too much, or do not listen.

use super::{Peer, Rig, until};
use netloom_proto::openflow::Version;
use netloom_proto::openflow::message::{
    BundleAdd, BundleFlags, FlowSelection, Message, MultipartRequest, Request, encode,
};
use netloom_proto::openflow::text::{Names, parse_flow};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Whether somebody polite is answered at once.
fn is_served(rig: &Rig) {
    let began = Instant::now();
    let mut peer = rig.peer(Version::V13);
    assert_eq!(peer.flow("table=0,in_port=1,actions=output:2"), None);
    assert_eq!(peer.ask(Message::BarrierRequest), Message::BarrierReply);
    assert!(began.elapsed() < Duration::from_secs(5), "others have to wait for {:?}", began.elapsed());
}

/// Writes until the switch takes no more; how many octets it took.
fn pour(stream: &mut UnixStream, piece: &[u8], most: usize) -> usize {
    stream.set_nonblocking(true).unwrap();
    let (mut count, mut idle, mut at) = (0, 0, 0);
    while count < most && idle < 200 {
        match stream.write(&piece[at..]) {
            Ok(0) => break,
            Ok(written) => {
                count += written;
                at = (at + written) % piece.len();
                idle = 0;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                idle += 1;
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(_) => break,
        }
    }
    count
}

#[test]
fn garbage_ends_the_connection_and_nothing_else() {
    let rig = Rig::new();
    let mut seed = 88_172_645_463_325_252_u64;
    for length in [1_usize, 7, 8, 9, 64, 4096, 70_000] {
        let mut stream = UnixStream::connect(rig.socket()).unwrap();
        let octets: Vec<u8> = (0..length)
            .map(|_| {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                seed as u8
            })
            .collect();
        let _ = stream.write_all(&octets);
        is_served(&rig);
    }
    // After a proper hello, too.
    let mut peer = rig.peer(Version::V13);
    peer.stream.write_all(&[4, 14, 0, 3, 0, 0, 0, 1]).unwrap();
    let mut rest = Vec::new();
    until("it is cut off", || !matches!(peer.stream.read(&mut [0; 64]), Ok(count) if count > 0));
    let _ = peer.stream.read_to_end(&mut rest);
    is_served(&rig);
}

#[test]
fn who_says_half_is_waited_for_without_harm() {
    let rig = Rig::new();
    let mut halves: Vec<Peer> = (0..50).map(|_| rig.peer(Version::V13)).collect();
    for peer in &mut halves {
        peer.stream.write_all(&[4, 14, 0xff, 0xff, 0, 0, 0, 1, 0]).unwrap();
    }
    let mut silent: Vec<UnixStream> = (0..50).map(|_| UnixStream::connect(rig.socket()).unwrap()).collect();
    is_served(&rig);
    // Those that never said hello are left when their time is over.
    rig.pass(Duration::from_secs(200));
    for stream in &mut silent {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
    }
    is_served(&rig);
}

#[test]
fn who_does_not_read_is_not_heard() {
    let rig = Rig::new();
    let mut peer = rig.peer(Version::V13);
    let echo = encode(Version::V13, 1, &Message::EchoRequest(vec![7; 8000])).unwrap();
    // What is between us, what the switch read, and what it has to say: not what was poured.
    let taken = pour(&mut peer.stream, &echo, 64 << 20);
    assert!(taken < 8 << 20, "{taken} octets were taken");
    is_served(&rig);
}

#[test]
fn errors_for_a_million_wrong_flows_wait_for_their_reader() {
    let rig = Rig::new();
    let mut peer = rig.peer(Version::V13);
    let (flow, _) = parse_flow("table=0,actions=group:9", None, &Names::default()).unwrap();
    let one = encode(Version::V13, 1, &Message::FlowMod(flow)).unwrap();
    let taken = pour(&mut peer.stream, &one.repeat(1000), one.len() * 1_000_000);
    assert!(taken < 16 << 20, "{taken} octets were taken");
    is_served(&rig);
    assert!(rig.flows() <= 2);
}

#[test]
fn who_asks_for_much_and_reads_nothing_holds_no_one_up() {
    let rig = Rig::new();
    let mut peer = rig.peer(Version::V13);
    for number in 0..5000 {
        let text = format!("table=0,priority={number},in_port=1,actions=output:2");
        let (flow, _) = parse_flow(&text, None, &Names::default()).unwrap();
        peer.session.send(0, &Message::FlowMod(flow)).unwrap();
    }
    assert_eq!(peer.ask(Message::BarrierRequest), Message::BarrierReply);
    let request = MultipartRequest::from(Request::Flows(FlowSelection::default()));
    let dump = encode(Version::V13, 1, &Message::MultipartRequest(request)).unwrap();
    let mut greedy: Vec<Peer> = (0..8).map(|_| rig.peer(Version::V13)).collect();
    for peer in &mut greedy {
        let taken = pour(&mut peer.stream, &dump, 8 << 20);
        assert!(taken < 2 << 20, "{taken} octets were taken");
    }
    is_served(&rig);
}

#[test]
fn bundles_are_bounded_and_forgotten() {
    let rig = Rig::new();
    let mut peer = rig.peer(Version::V14);
    let (flow, _) = parse_flow("table=0,actions=drop", None, &Names::default()).unwrap();
    let add = |bundle| {
        Message::BundleAdd(BundleAdd {
            bundle,
            flags: BundleFlags::ATOMIC,
            message: Box::new(Message::FlowMod(flow.clone())),
        })
    };
    for bundle in 0..300 {
        peer.say(add(bundle));
    }
    let barrier = peer.say(Message::BarrierRequest);
    let mut refused = 0;
    loop {
        match peer.event() {
            netloom_proto::openflow::session::Event::Message { message: Message::Error(_), .. } => {
                refused += 1
            }
            netloom_proto::openflow::session::Event::Message { xid, .. } if xid == barrier => break,
            _ => {}
        }
    }
    assert_eq!(refused, 300 - 256);
    // Nobody adds to them.
    rig.pass(Duration::from_secs(30));
    for _ in 0..256 {
        assert!(matches!(peer.told(), Message::Error(_)));
    }
    assert_eq!(rig.flows(), 0);
}
