//! A port goes on in another process: frozen by one, adopted by the other, or thawed by the first when the other gives up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod guest;

use guest::front::{
    EVENT_IDX, Front, Guest, MQ, MRG_RXBUF, Options, P_INFLIGHT, P_MQ, PACKED, PROTOCOL, Place, VERSION_1,
    wait,
};
use netloom_mem::{Batch, Offload, ReceiveQueue, SendQueue};
use netloom_port::vhost::{Config, Facts, Mode, Pair, Passed, Port};
use std::os::unix::net::UnixListener;

/// What went through another process: facts as text, descriptors as copies.
fn pass(passed: Passed) -> Passed {
    let text = serde_json::to_string(&passed.facts).unwrap();
    let facts: Facts = serde_json::from_str(&text).unwrap();
    Passed { facts, files: passed.files }
}

fn receive(pair: &mut Pair, batch: &mut Batch) -> Vec<u8> {
    let count = pair.from_guest.receive(batch).unwrap();
    let frames = (0..count).map(|index| batch.head(index)[1]).collect();
    pair.from_guest.complete();
    batch.clear();
    frames
}

fn send(pair: &mut Pair, batch: &mut Batch, number: u8) -> bool {
    assert!(batch.push(1, &[9, number, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], Offload::NONE));
    let sent = pair.to_guest.send(batch, &[0]);
    pair.to_guest.flush();
    batch.clear();
    matches!(sent, Ok(1))
}

/// Rounds of frames both ways with a change of process in the middle of each: none is lost, none comes twice, whatever kind
/// of ring there is and whoever goes on.
#[test]
fn frames_in_rings_wait_for_the_successor() {
    for (features, protocol) in [
        (VERSION_1 | MRG_RXBUF | PROTOCOL, P_MQ),
        (VERSION_1 | MRG_RXBUF | PROTOCOL | EVENT_IDX, P_MQ | P_INFLIGHT),
        (VERSION_1 | MRG_RXBUF | PROTOCOL | PACKED, P_MQ),
        (VERSION_1 | MRG_RXBUF | PROTOCOL | PACKED | EVENT_IDX, P_MQ | P_INFLIGHT),
    ] {
        let options = Options { features: features | MQ, protocol, pairs: 2, size: 64 };
        let mut guest = Guest::new(options);
        if protocol & P_INFLIGHT != 0 {
            let body =
                [[0; 16].to_vec(), 4_u16.to_ne_bytes().to_vec(), 64_u16.to_ne_bytes().to_vec(), vec![0; 4]];
            guest.front.send(31, 0, &body.concat(), &[]);
            let (body, file) = guest.front.answer(31).unwrap();
            assert!(guest.front.tell(32, &body, &[&file.unwrap()]));
        }
        let socket = guest.place.socket();
        let config = || Config { pairs: 2, ..Config::new(&socket, Mode::Server) };
        let mut batch = Batch::new();
        for round in 0..20 {
            for pair in 0..2 {
                for number in 0..40 {
                    assert!(guest.transmit(
                        pair,
                        &[],
                        &[3, number, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                        2000,
                        false
                    ));
                }
                for _ in 0..20 {
                    assert!(guest.give(pair, &[500], false));
                }
                assert_eq!(receive(&mut guest.pairs[pair], &mut batch), (0..32).collect::<Vec<_>>());
                for number in 0..7 {
                    assert!(send(&mut guest.pairs[pair], &mut batch, number));
                }
            }
            let passed = pass(guest.port.freeze().unwrap());
            let (port, pairs) = Port::adopt(7, config(), passed).unwrap();
            if round % 3 == 2 {
                // The successor dies before it begins.
                drop((port, pairs));
                guest.port.thaw();
            } else {
                // The predecessor goes without a word to the guest.
                guest.pairs = pairs;
                drop(std::mem::replace(&mut guest.port, port));
                guest.port.thaw();
                wait("the rings are there", || {
                    let status = guest.port.status();
                    status.connected && status.rings == [true; 4]
                });
            }
            assert!(guest.place.socket().exists());
            for pair in 0..2 {
                assert_eq!(receive(&mut guest.pairs[pair], &mut batch), (32..40).collect::<Vec<_>>());
                for number in 7..20 {
                    assert!(send(&mut guest.pairs[pair], &mut batch, number));
                }
                assert_eq!(guest.reclaim(pair), 40);
                for number in 0..20 {
                    assert_eq!(guest.received(pair).unwrap().1[..2], [9, number]);
                }
                assert_eq!(guest.received(pair), None);
            }
        }
        // The conversation goes on, too.
        let base = guest.front.stop(1);
        guest.front.start(1, &guest.rings[1].layout, base, &guest.kicks[1], &guest.calls[1]);
        assert!(guest.transmit(0, &[], &[3, 77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 2000, false));
        assert_eq!(receive(&mut guest.pairs[0], &mut batch), [77]);
    }
}

#[test]
fn a_port_without_a_guest_and_one_that_connects() {
    let place = Place::new();
    let config = || Config::new(place.socket(), Mode::Server);
    let (port, _) = Port::open(1, config()).unwrap();
    let passed = pass(port.freeze().unwrap());
    // Who comes meanwhile waits.
    let early = Front::connect(&place.socket());
    assert!(Port::adopt(1, Config { mode: Mode::Client, ..config() }, pass(port.freeze().unwrap())).is_err());
    let (next, _) = Port::adopt(1, config(), passed).unwrap();
    drop(port);
    next.thaw();
    assert_ne!(early.ask(1), 0);
    drop(early);
    drop(next);
    assert!(!place.socket().exists());

    let listener = UnixListener::bind(place.socket()).unwrap();
    let config = || Config::new(place.socket(), Mode::Client);
    let (port, _) = Port::open(1, config()).unwrap();
    let front = Front::accept(&listener);
    assert_ne!(front.ask(1), 0);
    let (next, _) = Port::adopt(1, config(), pass(port.freeze().unwrap())).unwrap();
    drop(port);
    // A message that came in between is not lost.
    front.send(1, 0, &[], &[]);
    next.thaw();
    assert!(front.answer(1).is_some());
    // And it connects again when this one goes.
    drop(front);
    assert_ne!(Front::accept(&listener).ask(1), 0);
}

#[test]
fn a_guest_in_the_middle_of_a_message_keeps_the_port() {
    let place = Place::new();
    let (port, _) = Port::open(1, Config::new(place.socket(), Mode::Server)).unwrap();
    let front = Front::connect(&place.socket());
    assert_ne!(front.ask(1), 0);
    // A header that promises eight octets.
    use std::io::Write;
    (&front.socket).write_all(&[3, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0]).unwrap();
    wait("the header is read", || {
        let frozen = port.freeze();
        port.thaw();
        frozen.is_err()
    });
    (&front.socket).write_all(&[0; 8]).unwrap();
    assert_ne!(front.ask(1), 0);
    assert!(port.freeze().is_ok());
}
