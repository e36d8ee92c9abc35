//! What a front end says: any messages, well or badly framed, with descriptors or without; the port lives and takes the next
//! one who connects.
#![no_main]

#[path = "../../crates/port/tests/guest/mod.rs"]
mod guest;

use guest::front::{Front, PROTOCOL, Place, VERSION_1, event};
use guest::{GUEST, Memory};
use libfuzzer_sys::arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use netloom_mem::{Batch, ReceiveQueue, SendQueue};
use netloom_port::vhost::{Config, Mode, Pair, Port};
use std::sync::atomic::{AtomicBool, Ordering};

fuzz_target!(|octets: &[u8]| {
    let mut input = Unstructured::new(octets);
    let place = Place::new();
    let Ok((port, pairs)) = Port::open(1, Config::new(place.socket(), Mode::Server)) else { return };
    // A worker that looks at its queues, for which the port waits before it lets go of memory.
    let done = std::sync::Arc::new(AtomicBool::new(false));
    let worker = {
        let done = done.clone();
        std::thread::spawn(move || turn(pairs, &done))
    };
    let front = Front::connect(&place.socket());
    let memory = Memory::new(1 << 16);
    if input.arbitrary().unwrap_or(true) {
        front.negotiate(VERSION_1 | PROTOCOL, 0);
        front.memory(&memory, &[(GUEST, 0, 1 << 16)]);
    }
    let file = event();
    for _ in 0..20 {
        let Ok(number) = input.int_in_range(0..=45_u32) else { break };
        let (Ok(flags), Ok(files)) = (input.arbitrary::<u8>(), input.int_in_range(0..=3_usize)) else { break };
        let length = input.int_in_range(0..=120_usize).unwrap_or(0).min(input.len());
        let Ok(body) = input.bytes(length) else { break };
        let given = [&file, &memory.file, &file];
        front.send(number, u32::from(flags), body, &given[..files]);
    }
    drop(front);
    let again = Front::connect(&place.socket());
    again.negotiate(VERSION_1 | PROTOCOL, 0);
    drop((again, port));
    done.store(true, Ordering::Release);
    worker.join().expect("the worker lives");
});

fn turn(mut pairs: Vec<Pair>, done: &AtomicBool) {
    let mut batch = Batch::new();
    while !done.load(Ordering::Acquire) {
        for pair in &mut pairs {
            let _ = pair.from_guest.receive(&mut batch);
            let all: Vec<u8> = (0..batch.len() as u8).collect();
            let _ = pair.to_guest.send(&batch, &all);
            pair.to_guest.flush();
            pair.from_guest.complete();
            batch.clear();
            batch.release();
        }
        std::thread::sleep(std::time::Duration::from_micros(50));
    }
}
