//! Datagrams of two stations, to see which of them arrive, and how often.

use super::until;
use netloom_mem::{Batch, Offload};
use netloom_port::packet::PacketSocket;
use std::collections::BTreeSet;
use std::time::Duration;

/// A datagram from one station to the other, with a transport port that tells flows apart.
fn datagram(back: bool, number: u16) -> Vec<u8> {
    let (to, from) = if back { (1, 2) } else { (2, 1) };
    let mut frame = vec![2, 0, 0, 0, 8, to, 2, 0, 0, 0, 8, from, 8, 0];
    frame.extend([0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, from, 10, 0, 0, to]);
    frame.extend(number.to_be_bytes());
    frame.extend([0, 9, 0, 26, 0, 0]);
    frame.resize(60, 0);
    frame
}

/// Sends one.
pub fn send(socket: &mut PacketSocket, back: bool, number: u16) {
    let mut batch = Batch::new();
    assert!(batch.push(1, &datagram(back, number), Offload::NONE));
    assert_eq!(socket.send.send(&batch, &[0]).unwrap(), 1);
    socket.send.flush();
}

/// The numbers of those that came.
pub fn come(socket: &mut PacketSocket, back: bool) -> Vec<u16> {
    let mut numbers = Vec::new();
    let mut batch = Batch::new();
    socket.receive.wake(true);
    while socket.receive.receive(&mut batch).unwrap() > 0 {
        for index in 0..batch.len() {
            let octets = batch.octets(index);
            if octets.starts_with(&datagram(back, 0)[..14]) {
                numbers.push(u16::from_be_bytes([octets[34], octets[35]]));
            }
        }
        batch.clear();
    }
    numbers
}

/// Sends flows one way; all must come, once each.
pub fn exchange(sockets: &mut [PacketSocket], back: bool, numbers: std::ops::Range<u16>) {
    let (from, to) = if back { (1, 0) } else { (0, 1) };
    for number in numbers.clone() {
        send(&mut sockets[from], back, number);
    }
    let mut came: Vec<u16> = Vec::new();
    until("all flows come", || {
        came.extend(come(&mut sockets[to], back));
        came.len() >= numbers.len()
    });
    std::thread::sleep(Duration::from_millis(50));
    came.extend(come(&mut sockets[to], back));
    assert_eq!(came.len(), numbers.len(), "none comes twice");
    assert_eq!(came.into_iter().collect::<BTreeSet<_>>(), numbers.collect());
}
