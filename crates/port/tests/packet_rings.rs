//! Packet sockets, one frame at a time and by rings, on veth pairs. Skipped where the user may not open any.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod interfaces;

use interfaces::{frame, octets_of, until, veth};
use netloom_mem::{Batch, Offload, ReceiveQueue, SendQueue, Wake};
use netloom_port::packet::open_rings;
use netloom_testkit::rig;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::net::{TcpListener, TcpStream, UdpSocket};

fn send(queue: &mut dyn SendQueue, frames: &[Vec<u8>]) {
    let mut batch = Batch::new();
    for part in frames.chunks(netloom_mem::BATCH) {
        batch.clear();
        for frame in part {
            assert!(batch.push(1, frame, Offload::NONE));
        }
        let all: Vec<u8> = (0..part.len() as u8).collect();
        assert_eq!(queue.send(&batch, &all).unwrap(), part.len());
        queue.flush();
    }
}

fn take(queue: &mut dyn ReceiveQueue, batch: &mut Batch, came: &mut Vec<Vec<u8>>) {
    batch.clear();
    let count = queue.receive(batch).unwrap();
    came.extend((0..count).map(|index| batch.octets(index)).filter(|frame| octets_of(frame)));
    queue.complete();
}

#[test]
fn frames_come_by_blocks_in_order_and_wake_a_sleeper() {
    rig::isolated(|rig| {
        let Some(veth) = veth(rig, "", 9000) else { return };
        let mut peer = veth.peer();
        let mut ring = match open_rings(3, veth.index_of_ours(rig), 1) {
            Ok(ring) => ring,
            Err(error) => return netloom_testkit::skip!("a packet socket with a ring: {error}"),
        };
        let frames: Vec<Vec<u8>> = (0..3000).map(|number| frame(number, 60 + number * 3 % 8900)).collect();
        let (mut batch, mut came) = (Batch::new(), Vec::new());
        for part in frames.chunks(300) {
            send(&mut *peer.send, part);
            came.clear();
            until("all frames came", || {
                take(&mut *ring.receive[0], &mut batch, &mut came);
                came.len() >= part.len()
            });
            assert!(came == part, "what came differs");
        }
        // And back.
        came.clear();
        send(&mut *ring.send[0], &frames[..100]);
        until("all frames went out", || {
            take(&mut *peer.receive, &mut batch, &mut came);
            came.len() >= 100
        });
        assert!(came == frames[..100]);
        let queue = &mut ring.receive[0];
        let Wake::Readable(socket) = queue.wake(true) else { panic!("no descriptor") };
        let silent = [PollFd::from_borrowed_fd(socket, PollFlags::IN)];
        assert_eq!(poll(&mut silent.clone(), Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(0));
        send(&mut *peer.send, &frames[..1]);
        assert_eq!(poll(&mut silent.clone(), Some(&Timespec { tv_sec: 10, tv_nsec: 0 })), Ok(1));
        came.clear();
        take(&mut **queue, &mut batch, &mut came);
        assert_eq!(came, frames[..1]);
    });
}

#[test]
fn flows_are_spread_over_rings() {
    rig::isolated(|rig| {
        let Some(veth) = veth(rig, "", 1500) else { return };
        let mut rings = match open_rings(3, veth.index_of_ours(rig), 4) {
            Ok(rings) => rings,
            Err(error) => return netloom_testkit::skip!("a group of packet sockets: {error}"),
        };
        for words in [
            format!("addr add 10.1.1.1/24 dev {}", veth.theirs),
            format!("neigh add 10.1.1.2 lladdr 02:00:00:00:00:99 dev {}", veth.theirs),
        ] {
            let words: Vec<&str> = words.split(' ').collect();
            assert!(rig.run("ip", &words).unwrap().status.success());
        }
        let sockets: Vec<UdpSocket> = (0..40).map(|_| UdpSocket::bind("10.1.1.1:0").unwrap()).collect();
        for round in 0..5_u8 {
            for socket in &sockets {
                socket.send_to(&[round; 20], "10.1.1.2:9").unwrap();
            }
        }
        let mut batch = Batch::new();
        let mut came: Vec<Vec<(u16, u8)>> = vec![Vec::new(); 4];
        until("all datagrams came", || {
            for (queue, came) in rings.receive.iter_mut().zip(&mut came) {
                batch.clear();
                for index in 0..queue.receive(&mut batch).unwrap() {
                    let frame = batch.octets(index);
                    if frame.len() == 62 {
                        assert!(batch.offload(index).partial, "the sender leaves the checksum open");
                        came.push((u16::from_be_bytes([frame[34], frame[35]]), frame[61]));
                    }
                }
                queue.complete();
            }
            came.iter().map(Vec::len).sum::<usize>() == 200
        });
        assert!(came.iter().filter(|came| !came.is_empty()).count() > 1, "all flows came by one ring");
        for came in &came {
            for socket in &sockets {
                let flow = socket.local_addr().unwrap().port();
                let rounds: Vec<u8> =
                    came.iter().filter(|(port, _)| *port == flow).map(|(_, round)| *round).collect();
                assert!(rounds.is_empty() || rounds == [0, 1, 2, 3, 4], "{rounds:?}");
            }
        }
    });
}

/// Loopback hands over segments of 64 KiB: they come as they are, and say how they are to be cut.
#[test]
fn large_segments_come_uncut() {
    rig::isolated(|rig| {
        if !rig
            .run("ip", &["link", "set", "lo", "mtu", "1500", "up"])
            .is_some_and(|done| done.status.success())
        {
            return netloom_testkit::skip!("no ip");
        }
        let mut ring = match open_rings(3, 1, 1) {
            Ok(ring) => ring,
            Err(error) => return netloom_testkit::skip!("a packet socket with a ring: {error}"),
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut other, _) = listener.accept().unwrap();
        let reader = std::thread::spawn(move || {
            std::io::copy(&mut other, &mut std::io::sink()).unwrap();
        });
        std::io::Write::write_all(&mut stream, &vec![5; 2 << 20]).unwrap();
        let mut batch = Batch::new();
        let mut large = 0;
        until("large segments came", || {
            batch.clear();
            for index in 0..ring.receive[0].receive(&mut batch).unwrap() {
                let offload = batch.offload(index);
                if offload.size > 0 && batch.length(index) > 60_000 {
                    assert!(batch.octets(index).ends_with(&[5; 1000]));
                    large += 1;
                }
            }
            ring.receive[0].complete();
            large > 3
        });
        drop(stream);
        reader.join().unwrap();
    });
}
