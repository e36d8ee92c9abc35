//! Files that are to be replayed: any octets behind a good or bad header.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netloom_mem::{Batch, ReceiveQueue};
use netloom_port::pcap::Replay;
use std::io::Write;
use std::os::fd::AsRawFd;

fuzz_target!(|octets: &[u8]| {
    let file = rustix::fs::memfd_create("pcap", rustix::fs::MemfdFlags::CLOEXEC).expect("a file in memory");
    let mut file = std::fs::File::from(file);
    file.write_all(octets).expect("room");
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let Ok(mut replay) = Replay::open(1, path.as_ref(), false) else { return };
    let mut batch = Batch::new();
    for _ in 0..64 {
        let Ok(count @ 1..) = replay.receive(&mut batch) else { break };
        for index in 0..count {
            assert!(batch.octets(index).len() <= octets.len());
        }
        replay.complete();
        batch.clear();
        batch.release();
    }
});
