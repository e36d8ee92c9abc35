//! Simulated links as a user meets them: delays, losses and rates between real TAP interfaces, and the commands.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod daemon;

use daemon::{Daemon, sockets, until};
use netloom_mem::{Batch, Offload};
use netloom_port::packet::PacketSocket;
use netloom_testkit::rig;
use std::path::Path;
use std::time::{Duration, Instant};

/// The n-th frame from interface 1 to interface 2, or back.
fn frame(back: bool, number: u32, octets: usize) -> Vec<u8> {
    let (to, from) = if back { (1, 2) } else { (2, 1) };
    let mut frame = vec![2, 0, 0, 0, 9, to, 2, 0, 0, 0, 9, from, 0x88, 0xb5];
    frame.extend(number.to_be_bytes());
    frame.resize(octets, 0);
    frame
}

fn send(socket: &mut PacketSocket, frame: &[u8]) {
    let mut batch = Batch::new();
    assert!(batch.push(1, frame, Offload::NONE));
    assert_eq!(socket.send.send(&batch, &[0]).unwrap(), 1);
    socket.send.flush();
}

/// Numbers of the test's frames that wait.
fn come(socket: &mut PacketSocket, back: bool) -> Vec<u32> {
    let mut numbers = Vec::new();
    let mut batch = Batch::new();
    // A queue that was found empty is looked at less often, unless somebody waits for it.
    socket.receive.wake(true);
    while socket.receive.receive(&mut batch).unwrap() > 0 {
        for index in 0..batch.len() {
            let octets = batch.octets(index);
            if octets.starts_with(&frame(back, 0, 14)) {
                numbers.push(u32::from_be_bytes(octets[14..18].try_into().unwrap()));
            }
        }
        batch.clear();
    }
    numbers
}

/// Time from sending a frame until it has come.
fn trip(sockets: &mut [PacketSocket], back: bool, number: u32) -> Duration {
    let (from, to) = if back { (1, 0) } else { (0, 1) };
    let began = Instant::now();
    send(&mut sockets[from], &frame(back, number, 100));
    until("the frame comes", || come(&mut sockets[to], back).contains(&number));
    began.elapsed()
}

#[test]
fn delays_losses_and_rates() {
    rig::isolated(|rig| {
        if !Path::new("/dev/net/tun").exists() || rig.run("ip", &["-V"]).is_none() {
            netloom_testkit::skip!("no /dev/net/tun or no ip");
            return;
        }
        let directory = rig.state_dir.join("switch");
        let daemon = Daemon::start(&directory);
        daemon.ask(&["switch", "add", "br0"]).unwrap();
        let names = ["nl1", "nl2"];
        for name in names {
            if daemon.ask(&["port", "add", "br0", name, "type=tap"]).is_none() {
                netloom_testkit::skip!("this user can't make TAP interfaces");
                return;
            }
        }
        let mut sockets = sockets(rig, &names);
        // Both stations are learned.
        trip(&mut sockets, false, 0);
        trip(&mut sockets, true, 0);
        for wrong in [
            &["link", "set", "nl1", "colour=red"][..],
            &["link", "set", "nl1", "delay=long"],
            &["link", "set", "nl9", "delay=1ms"],
            &["link", "set", "nl1", "duplex=half"],
            &["link", "set", "nl1", "vlan=5"],
        ] {
            assert_eq!(daemon.ask(wrong), None, "{wrong:?}");
        }
        assert_eq!(daemon.ask(&["link", "list"]).unwrap().lines().count(), 1);

        // A round takes twice the delay, since it is that of both directions.
        daemon.ask(&["port", "set", "nl1", "delay=40ms"]).unwrap();
        let late = Duration::from_millis(25);
        for number in 1..6 {
            let (there, back) = (trip(&mut sockets, false, number), trip(&mut sockets, true, number));
            for way in [there, back] {
                assert!(
                    way >= Duration::from_millis(40) && way < Duration::from_millis(40) + late,
                    "{way:?}"
                );
            }
        }
        daemon.ask(&["link", "set", "nl1", "delay-out=5ms"]).unwrap();
        assert!(trip(&mut sockets, false, 7) >= Duration::from_millis(40));
        let back = trip(&mut sockets, true, 7);
        assert!(back >= Duration::from_millis(5) && back < Duration::from_millis(5) + late, "{back:?}");
        daemon.ask(&["link", "del", "nl1"]).unwrap();
        // The host's own frames may still be under way, and none overtakes them.
        let mut number = 8;
        until("frames go straight on", || {
            number += 1;
            trip(&mut sockets, false, number) < Duration::from_millis(5)
        });
        assert!(daemon.ask(&["link", "show", "nl1"]).unwrap().contains("no simulated link"));

        // A fifth is lost: of 3000 frames 600, and within six standard deviations of 22.
        daemon.ask(&["link", "set", "nl2", "loss-out=20%", "seed=5"]).unwrap();
        let mut numbers = Vec::new();
        for number in 0..3000 {
            send(&mut sockets[0], &frame(false, number, 60));
            if number % 100 == 99 {
                std::thread::sleep(Duration::from_millis(2));
                numbers.extend(come(&mut sockets[1], false));
            }
        }
        let count = || {
            let text = daemon.ask(&["link", "list", "-o", "json"]).unwrap();
            let links: serde_json::Value = serde_json::from_str(&text).unwrap();
            let way = &links[0]["directions"][1];
            assert_eq!((&links[0]["port"], &way["direction"]), (&"nl2".into(), &"out".into()));
            (way["packets"].as_u64().unwrap(), way["lost"].as_u64().unwrap())
        };
        until("all frames have been counted", || count().0 >= 3000);
        let lost = count().1;
        assert!(lost.abs_diff(600) < 6 * 22, "{lost}");
        until("what is not lost has come", || {
            numbers.extend(come(&mut sockets[1], false));
            numbers.len() as u64 + lost == 3000
        });
        assert!(numbers.is_sorted());

        // 16 Mbit/s: 2000 frames of 1000 octets in a second, in order, never faster.
        daemon.ask(&["link", "del", "nl2"]).unwrap();
        daemon.ask(&["link", "add", "nl2", "rate=16mbit", "packets=5000"]).unwrap();
        let began = Instant::now();
        let mut numbers = Vec::new();
        for number in 0..500 {
            send(&mut sockets[0], &frame(false, number, 1000));
            numbers.extend(come(&mut sockets[1], false));
        }
        until("all have come", || {
            numbers.extend(come(&mut sockets[1], false));
            numbers.len() == 500
        });
        let took = began.elapsed();
        assert!(numbers.is_sorted());
        assert!(took >= Duration::from_millis(249) && took < Duration::from_millis(350), "{took:?}");
        let shown = daemon.ask(&["port", "show", "nl2"]).unwrap();
        assert!(shown.contains(&format!("{lost} lost")) && shown.contains("link-rate=16mbit"), "{shown}");
    });
}
