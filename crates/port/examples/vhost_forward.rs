//! Forwards between two vhost-user ports as they come, like testpmd's `io` mode: the ceiling of the port.
//!
//! `vhost_forward SOCKET SOCKET`: connects to both (the front ends listen) and forwards until it is interrupted.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measuring tool")]

use netloom_mem::{Batch, ReceiveQueue, SendQueue};
use netloom_port::vhost::{Config, Mode, Pair, Port};

fn main() {
    let paths: Vec<String> = std::env::args().skip(1).take(2).collect();
    assert_eq!(paths.len(), 2, "vhost_forward SOCKET SOCKET");
    let mut ports = Vec::new();
    let mut pairs: Vec<Pair> = Vec::new();
    for (number, path) in paths.iter().enumerate() {
        let (port, mut queues) =
            Port::open(number as u32 + 1, Config { offloads: true, ..Config::new(path, Mode::Client) })
                .unwrap();
        ports.push(port);
        pairs.push(queues.remove(0));
    }
    let [mut a, mut b]: [Pair; 2] = pairs.try_into().ok().unwrap();
    let mut batch = Batch::new();
    let all: Vec<u8> = (0..32).collect();
    loop {
        turn(&mut batch, &all, &mut a, &mut b);
        turn(&mut batch, &all, &mut b, &mut a);
    }
}

#[inline(always)]
fn turn(batch: &mut Batch, all: &[u8], from: &mut Pair, to: &mut Pair) {
    let count = from.from_guest.receive(batch).unwrap();
    if count == 0 {
        return;
    }
    if to.to_guest.send(batch, &all[..count]).is_ok() {
        to.to_guest.flush();
    }
    from.from_guest.complete();
    batch.clear();
}
