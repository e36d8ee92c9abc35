//! TAP interfaces of several queues: the host spreads flows over them, all ways out lead into the host.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod interfaces;

use interfaces::{frame, octets_of, until};
use netloom_mem::{Batch, Offload};
use netloom_port::packet::open_packet;
use netloom_port::tap::open_tap;
use netloom_testkit::rig;
use std::net::UdpSocket;

#[test]
fn flows_are_spread_over_queues_and_every_way_out_works() {
    rig::isolated(|rig| {
        if rig.run("ip", &["-V"]).is_none() {
            return netloom_testkit::skip!("no ip");
        }
        let mut tap = match open_tap(6, "nxt", 4, 3) {
            Ok(tap) => tap,
            Err(error) => return netloom_testkit::skip!("a TAP interface: {error}"),
        };
        assert!(tap.receive.len() == 4 && tap.send.len() >= 3 && tap.presence.holds());
        for words in [
            "link set nxt addrgenmode none up",
            "addr add 10.1.1.1/24 dev nxt",
            "neigh add 10.1.1.2 lladdr 02:00:00:00:00:99 dev nxt",
        ] {
            let words: Vec<&str> = words.split(' ').collect();
            assert!(rig.run("ip", &words).unwrap().status.success(), "{words:?}");
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
            for (queue, came) in tap.receive.iter_mut().zip(&mut came) {
                batch.clear();
                for index in 0..queue.receive(&mut batch).unwrap() {
                    let frame = batch.octets(index);
                    if frame.len() == 62 {
                        came.push((u16::from_be_bytes([frame[34], frame[35]]), frame[61]));
                    }
                }
                queue.complete();
            }
            came.iter().map(Vec::len).sum::<usize>() == 200
        });
        assert!(came.iter().filter(|came| !came.is_empty()).count() > 1, "all flows came by one queue");
        for socket in &sockets {
            let flow = socket.local_addr().unwrap().port();
            let rounds: Vec<Vec<u8>> = came
                .iter()
                .map(|came| came.iter().filter(|(port, _)| *port == flow).map(|(_, round)| *round).collect())
                .filter(|rounds: &Vec<u8>| !rounds.is_empty())
                .collect();
            assert_eq!(rounds, [[0, 1, 2, 3, 4]], "a flow stays in its queue, in order");
        }
        let shown = rig.run("ip", &["-o", "link", "show", "nxt"]).unwrap();
        let text = String::from_utf8(shown.stdout).unwrap();
        let mut host = open_packet(1, text.split(':').next().unwrap().trim().parse().unwrap()).unwrap();
        for (number, queue) in tap.send.iter_mut().enumerate() {
            let sent = frame(number, 100 + number);
            batch.clear();
            assert!(batch.push(1, &sent, Offload::NONE));
            assert_eq!(queue.send(&batch, &[0]).unwrap(), 1);
            queue.flush();
            let mut came = Vec::new();
            until("the host has it", || {
                batch.clear();
                for index in 0..host.receive.receive(&mut batch).unwrap() {
                    came.extend(Some(batch.octets(index)).filter(|frame| octets_of(frame)));
                }
                !came.is_empty()
            });
            assert_eq!(came, [sent]);
        }
        assert!(rig.run("ip", &["link", "del", "nxt"]).unwrap().status.success());
        assert!(!tap.presence.holds());
    });
}
