//! AF_XDP ports on veth pairs: whatever is sent at one end comes out at the other, in every way that frames can take, and
//! nothing stays on the interface. Skipped, with a word, where the kernel or the user's rights do not allow it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod interfaces;

use interfaces::{Veth, frame, octets_of, until, veth};
use netloom_mem::{Batch, Offload, ReceiveQueue, SendQueue, Wake};
use netloom_port::packet::PacketSocket;
use netloom_port::xdp::{Config, Mode, OpenError, Pair, Port, Presence, Way};
use netloom_testkit::rig::{self, Rig};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::net::UdpSocket;

/// Opens a port, or says why this machine can't.
fn open(config: &Config) -> Option<(Port, Vec<Pair>)> {
    match Port::open(7, config) {
        Ok(opened) => Some(opened),
        Err(error @ (OpenError::Forbidden(_) | OpenError::System { .. })) => {
            netloom_testkit::skip!("{error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Whether the interface has an XDP program, by somebody else's eyes.
fn has_program(rig: &Rig, name: &str) -> bool {
    let shown = rig.run("ip", &["-d", "link", "show", name]).unwrap();
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(text.contains(name), "{text}");
    text.contains("prog/xdp")
}

/// Sends frames by one end's queue in batches, as far as it takes them.
fn send(queue: &mut dyn SendQueue, frames: &[Vec<u8>]) -> usize {
    let (mut batch, mut sent) = (Batch::new(), 0);
    for part in frames.chunks(netloom_mem::BATCH) {
        batch.clear();
        for frame in part {
            assert!(batch.push(1, frame, Offload::NONE));
        }
        let all: Vec<u8> = (0..part.len() as u8).collect();
        sent += queue.send(&batch, &all).unwrap();
        queue.flush();
    }
    sent
}

/// The frames of ours that came, in order.
fn take(queue: &mut dyn ReceiveQueue, batch: &mut Batch, came: &mut Vec<Vec<u8>>) {
    batch.clear();
    let count = queue.receive(batch).unwrap();
    came.extend((0..count).map(|index| batch.octets(index)).filter(|frame| octets_of(frame)));
    queue.complete();
    batch.clear();
}

fn same(came: &[Vec<u8>], wanted: &[Vec<u8>], what: &str) {
    let lengths = |frames: &[Vec<u8>]| frames.iter().map(Vec::len).collect::<Vec<_>>();
    assert_eq!(lengths(came), lengths(wanted), "what {what} differs in length or order");
    for (came, wanted) in came.iter().zip(wanted) {
        assert!(came == wanted, "what {what} differs: {came:x?}, not {wanted:x?}");
    }
}

/// Frames of these lengths go through, both ways, unchanged and in order.
fn both_ways(pair: &mut Pair, peer: &mut PacketSocket, lengths: impl Iterator<Item = usize> + Clone) {
    let frames: Vec<Vec<u8>> = lengths.enumerate().map(|(number, length)| frame(number, length)).collect();
    let mut batch = Batch::new();
    for part in frames.chunks(64) {
        let mut came = Vec::new();
        assert_eq!(send(&mut *peer.send, part), part.len());
        until("all frames came in", || {
            take(&mut pair.from_interface, &mut batch, &mut came);
            came.len() >= part.len()
        });
        same(&came, part, "came in");
        let mut came = Vec::new();
        assert_eq!(send(&mut pair.to_interface, part), part.len());
        until("all frames went out", || {
            take(&mut *peer.receive, &mut batch, &mut came);
            came.len() >= part.len()
        });
        same(&came, part, "went out");
    }
    let counters = &pair.counters;
    assert_eq!((counters.invalid.get(), counters.invalid_completions.get()), (0, 0));
    assert_eq!((counters.unfit.get(), counters.unsendable.get()), (0, 0));
    assert!(counters.sent.get() >= frames.len() as u64 && counters.received.get() >= frames.len() as u64);
}

/// The host can send to 10.1.1.2, behind the other end.
fn addresses(rig: &Rig, veth: &Veth) {
    for words in [
        format!("addr add 10.1.1.1/24 dev {}", veth.theirs),
        format!("neigh add 10.1.1.2 lladdr 02:00:00:00:00:99 dev {}", veth.theirs),
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        assert!(rig.run("ip", &words).unwrap().status.success());
    }
}

fn with(veth: &Veth, mode: Mode) -> Config {
    Config { mode, ..Config::new(&veth.ours) }
}

#[test]
fn frames_of_every_length_in_every_way() {
    rig::isolated(|rig| {
        let Some(veth) = veth(rig, "", 1500) else { return };
        let mut peer = veth.peer();
        // 256 octets are the batch's head.
        let lengths = (60..70).chain(240..280).chain(1500..=1514).chain((60..1514).step_by(7));
        for (mode, way) in [(Mode::Auto, Way::Copy), (Mode::Copy, Way::Copy), (Mode::Generic, Way::Generic)] {
            let Some((port, mut pairs)) = open(&with(&veth, mode)) else { return };
            let status = port.status();
            assert_eq!((status.way, status.presence, status.queues), (way, Presence::Up, 1));
            // Nobody expects zero-copy of veth, and it is said.
            assert_eq!(status.refused.len(), usize::from(mode == Mode::Auto), "{status:?}");
            assert!(status.refused.iter().all(|text| text.starts_with("zero-copy: queue 0")), "{status:?}");
            assert!(has_program(rig, &veth.ours));
            both_ways(&mut pairs[0], &mut peer, lengths.clone());
            let told = port.status().statistics;
            assert_eq!((told.dropped, told.ring_full, told.invalid_fill, told.invalid_send), (0, 0, 0, 0));
            // Frames that can't be sent are counted, and do not hold up others.
            let odd = [frame(1, 13), frame(2, 2000), frame(3, 60)];
            assert_eq!(send(&mut pairs[0].to_interface, &odd), 3);
            assert_eq!(pairs[0].counters.unsendable.get(), 2);
            let (mut batch, mut came) = (Batch::new(), Vec::new());
            until("the third one came", || {
                take(&mut *peer.receive, &mut batch, &mut came);
                !came.is_empty()
            });
            same(&came, &odd[2..], "went out");
            // The interface belongs to one port only.
            match Port::open(8, &with(&veth, mode)) {
                Err(OpenError::Occupied(name)) => assert_eq!(name, veth.ours),
                other => panic!("{other:?}"),
            }
            drop((port, pairs));
            assert!(!has_program(rig, &veth.ours));
        }
        match Port::open(7, &with(&veth, Mode::ZeroCopy)) {
            Err(OpenError::NoWay { refused, .. }) => assert!(refused.starts_with("zero-copy"), "{refused}"),
            other => panic!("{other:?}"),
        }
        assert!(!has_program(rig, &veth.ours));
    });
}

#[test]
fn more_frames_than_descriptors_in_a_row() {
    rig::isolated(|rig| {
        let Some(veth) = veth(rig, "", 1500) else { return };
        let mut peer = veth.peer();
        let config = Config { descriptors: 64, ..with(&veth, Mode::Copy) };
        let Some((port, mut pairs)) = open(&config) else { return };
        let pair = &mut pairs[0];
        for _ in 0..5 {
            both_ways(pair, &mut peer, (0..64).map(|number| 60 + number * 20));
        }
        // Nobody looks at what comes in: the ring runs over, the kernel says so, and later all is well again.
        let frames: Vec<Vec<u8>> = (0..300).map(|number| frame(number, 100)).collect();
        send(&mut *peer.send, &frames);
        let (mut batch, mut came) = (Batch::new(), Vec::new());
        until("the ring is full", || {
            let told = port.status().statistics;
            told.ring_full + told.fill_ring_empty + told.dropped > 0
        });
        until("the first ones are there", || {
            take(&mut pair.from_interface, &mut batch, &mut came);
            came.len() >= 64
        });
        assert_eq!(came[..64], frames[..64]);
        until("nothing more comes", || {
            came.clear();
            take(&mut pair.from_interface, &mut batch, &mut came);
            came.is_empty()
        });
        both_ways(pair, &mut peer, 60..160);
        // The other end goes down: nothing goes out, nothing gets stuck for ever.
        rig.run("ip", &["link", "set", &veth.theirs, "down"]).unwrap();
        until("the interface is down", || port.presence() == Presence::Down);
        send(&mut pair.to_interface, &frames);
        rig.run("ip", &["link", "set", &veth.theirs, "up"]).unwrap();
        until("the interface is up", || port.presence() == Presence::Up);
        let mut peer = veth.peer();
        until("what was left over has gone", || {
            came.clear();
            send(&mut pair.to_interface, &frames[..1]);
            take(&mut *peer.receive, &mut batch, &mut came);
            !came.is_empty()
        });
        until("the line is silent", || {
            came.clear();
            take(&mut *peer.receive, &mut batch, &mut came);
            take(&mut pair.from_interface, &mut batch, &mut came);
            came.is_empty()
        });
        both_ways(pair, &mut peer, 60..100);
    });
}

#[test]
fn flows_are_spread_over_queues_that_share_one_memory() {
    rig::isolated(|rig| {
        let Some(veth) = veth(rig, "numrxqueues 4 numtxqueues 4", 1500) else { return };
        let mut peer = veth.peer();
        match Port::open(7, &Config { queues: Some(5), ..with(&veth, Mode::Copy) }) {
            Err(OpenError::Queues { wanted: 5, there: 4, .. }) => {}
            other => panic!("{other:?}"),
        }
        let Some((port, mut pairs)) = open(&with(&veth, Mode::Auto)) else { return };
        assert_eq!((port.status().queues, port.status().of, pairs.len()), (4, 4, 4));
        // The host chooses a queue for each flow.
        addresses(rig, &veth);
        let sockets: Vec<UdpSocket> = (0..40).map(|_| UdpSocket::bind("10.1.1.1:0").unwrap()).collect();
        for round in 0..10_u8 {
            for socket in &sockets {
                socket.send_to(&[round; 20], "10.1.1.2:9").unwrap();
            }
        }
        let mut batch = Batch::new();
        // By queue: the flow's port, and the round.
        let mut came: Vec<Vec<(u16, u8)>> = vec![Vec::new(); 4];
        until("all frames came", || {
            for (pair, came) in pairs.iter_mut().zip(&mut came) {
                batch.clear();
                for index in 0..pair.from_interface.receive(&mut batch).unwrap() {
                    let frame = batch.octets(index);
                    if frame.len() == 62 {
                        came.push((u16::from_be_bytes([frame[34], frame[35]]), frame[61]));
                    }
                }
            }
            came.iter().map(Vec::len).sum::<usize>() == 400
        });
        let used = came.iter().filter(|came| !came.is_empty()).count();
        assert!(used > 1, "all flows came by one queue");
        for socket in &sockets {
            let port = socket.local_addr().unwrap().port();
            let rounds = |came: &Vec<(u16, u8)>| {
                came.iter().filter(|(flow, _)| *flow == port).map(|(_, round)| *round).collect::<Vec<_>>()
            };
            let of_flow: Vec<Vec<u8>> = came.iter().map(rounds).filter(|rounds| !rounds.is_empty()).collect();
            assert_eq!(of_flow, [(0..10).collect::<Vec<u8>>()], "a flow stays in its queue, in order");
        }
        // Each queue sends.
        for (number, pair) in pairs.iter_mut().enumerate() {
            let sent = frame(1000 + number, 200);
            assert_eq!(send(&mut pair.to_interface, std::slice::from_ref(&sent)), 1);
            let mut came = Vec::new();
            until("it went out", || {
                take(&mut *peer.receive, &mut batch, &mut came);
                !came.is_empty()
            });
            assert_eq!(came, [sent]);
        }
        drop((port, pairs));
        // A port of fewer queues leaves the others to the host.
        let Some((port, _pairs)) = open(&Config { queues: Some(2), ..with(&veth, Mode::Copy) }) else {
            return;
        };
        assert_eq!((port.status().queues, port.status().of), (2, 4));
    });
}

#[test]
fn jumbo_frames_go_in_several_chunks_or_are_refused() {
    rig::isolated(|rig| {
        let Some(veth) = veth(rig, "", 9000) else { return };
        match Port::open(7, &Config { multi_buffer: false, ..with(&veth, Mode::Copy) }) {
            Err(error @ OpenError::Mtu { mtu: 9000, most: 3818, .. }) => {
                assert!(error.to_string().contains("multi-buffer"), "{error}");
            }
            Err(error @ OpenError::Forbidden(_)) => return netloom_testkit::skip!("{error}"),
            other => panic!("{other:?}"),
        }
        assert!(!has_program(rig, &veth.ours));
        for mode in [Mode::Auto, Mode::Generic] {
            let mut peer = veth.peer();
            let Some((port, mut pairs)) = open(&with(&veth, mode)) else { return };
            assert!(port.status().multi_buffer);
            let lengths = (9000..=9014).chain(3830..3850).chain((60..9014).step_by(211));
            both_ways(&mut pairs[0], &mut peer, lengths);
            assert!(pairs[0].counters.joined.get() > 10);
        }
    });
}

#[test]
fn a_sleeping_worker_is_woken_and_a_lost_interface_is_noticed() {
    rig::isolated(|rig| {
        let Some(veth) = veth(rig, "", 1500) else { return };
        let mut peer = veth.peer();
        let Some((port, mut pairs)) = open(&with(&veth, Mode::Auto)) else { return };
        let queue = &mut pairs[0].from_interface;
        let (mut batch, mut came) = (Batch::new(), Vec::new());
        // The host greets its neighbours when an interface comes up.
        let readable = |queue: &mut dyn ReceiveQueue, seconds| {
            let Wake::Readable(descriptor) = queue.wake(true) else { panic!("not readable") };
            let timeout = Timespec { tv_sec: seconds, tv_nsec: 0 };
            poll(&mut [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)], Some(&timeout)).unwrap() == 1
        };
        until("the line is silent", || {
            take(queue, &mut batch, &mut came);
            !readable(queue, 0)
        });
        came.clear();
        let sent = frame(5, 300);
        let sender = std::thread::spawn({
            let sent = sent.clone();
            move || {
                send(&mut *peer.send, &[sent]);
            }
        });
        until("the frame came", || {
            assert!(readable(queue, 10), "nothing wakes the worker");
            queue.wake(false);
            take(queue, &mut batch, &mut came);
            !came.is_empty()
        });
        sender.join().unwrap();
        assert_eq!(came, [sent]);
        rig.run("ip", &["link", "del", &veth.ours]).unwrap();
        assert_eq!(port.presence(), Presence::Gone);
        until("the queue has noticed", || matches!(queue.wake(true), Wake::Never));
        assert_eq!(queue.receive(&mut batch).unwrap(), 0);
        send(&mut pairs[0].to_interface, &[frame(6, 300)]);
    });
}

#[test]
fn checksums_that_the_host_left_open_are_known() {
    rig::isolated(|rig| {
        let Some(veth) = veth(rig, "", 1500) else { return };
        addresses(rig, &veth);
        let Some((_port, mut pairs)) = open(&with(&veth, Mode::Auto)) else { return };
        let socket = UdpSocket::bind("10.1.1.1:0").unwrap();
        let payload = [7; 33];
        socket.send_to(&payload, "10.1.1.2:9").unwrap();
        let (mut batch, mut came) = (Batch::new(), None);
        until("the datagram came", || {
            batch.clear();
            let queue = &mut pairs[0].from_interface;
            for index in 0..queue.receive(&mut batch).unwrap() {
                if batch.octets(index).ends_with(&payload) {
                    came = Some((*batch.offload(index), batch.octets(index)));
                }
            }
            came.is_some()
        });
        let (offload, frame) = came.unwrap();
        assert!(offload.partial, "the kernel completed it: {offload:?}");
        assert_eq!((offload.start, offload.offset), (34, 6));
        assert_eq!(pairs[0].counters.open_checksums.get(), 1);
        assert_eq!(frame.len(), 42 + payload.len());
    });
}

#[test]
fn tags_that_the_kernel_keeps_beside_frames_are_put_back() {
    rig::isolated(|rig| {
        let Some(veth) = veth(rig, "", 1500) else { return };
        let Some((port, mut pairs)) = open(&with(&veth, Mode::Auto)) else { return };
        if !port.status().tags {
            netloom_testkit::skip!("this kernel does not tell XDP programs the tags (Linux 6.8 does)");
            return;
        }
        let Some(_tagging) = interfaces::tag_on_the_way_out(&veth.theirs, 0x2005) else { return };
        addresses(rig, &veth);
        let (socket, mut batch) = (UdpSocket::bind("10.1.1.1:0").unwrap(), Batch::new());
        for length in [18, 200, 300, 1472] {
            let payload: Vec<u8> = (0..length).map(|octet| octet as u8).collect();
            socket.send_to(&payload, "10.1.1.2:9").unwrap();
            let mut came = None;
            until("the datagram came", || {
                batch.clear();
                let queue = &mut pairs[0].from_interface;
                for index in 0..queue.receive(&mut batch).unwrap() {
                    if batch.octets(index).ends_with(&payload) {
                        came = Some((*batch.offload(index), batch.octets(index)));
                    }
                }
                came.is_some()
            });
            let (offload, frame) = came.unwrap();
            assert_eq!(frame.len(), 46 + length);
            assert_eq!(frame[..6], [2, 0, 0, 0, 0, 0x99]);
            assert_eq!(frame[12..18], [0x81, 0, 0x20, 5, 8, 0]);
            assert!(offload.partial && offload.start == 38, "{offload:?}");
        }
    });
}
