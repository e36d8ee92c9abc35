//! Sends small frames out of an interface by AF_XDP as fast as it takes them, and says how many it took.
//!
//!     cargo run --release -p netloom-port --example blast -- DEVICE SECONDS OCTETS FLOWS
//!
//! For measurements of what is behind the interface: `bench/interfaces.py` starts it inside a namespace.

use netloom_mem::{BATCH, Batch, Offload, SendQueue};
use netloom_port::xdp::{Config, Port};
use std::error::Error;
use std::time::{Duration, Instant};

/// Pause when nothing more fits: who hammers a full ring takes its lines from the other side.
const BREATH: Duration = Duration::from_micros(5);

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [device, seconds, octets, flows] = words.as_slice() else {
        return Err("blast DEVICE SECONDS OCTETS FLOWS".into());
    };
    let (seconds, octets): (f64, usize) = (seconds.parse()?, octets.parse()?);
    let flows: u32 = flows.parse()?;
    let (_port, mut pairs) = Port::open(1, &Config::new(device))?;
    let queue = &mut pairs.first_mut().ok_or("no queue")?.to_interface;
    // UDP from many ports to one: the checksum is "none".
    let mut frame = vec![0_u8; octets.max(60)];
    let length = frame.len();
    frame[..14].copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]);
    frame[14..34].copy_from_slice(&[0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 99, 0, 1, 10, 99, 0, 2]);
    frame[16..18].copy_from_slice(&u16::try_from(length - 14)?.to_be_bytes());
    frame[38..40].copy_from_slice(&u16::try_from(length - 34)?.to_be_bytes());
    let mut sum: u32 =
        frame[14..34].chunks_exact(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    frame[24..26].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    frame[36..38].copy_from_slice(&9_u16.to_be_bytes());
    let all: Vec<u8> = (0..BATCH as u8).collect();
    let (mut batch, mut sent, mut flow) = (Batch::new(), 0_u64, 0);
    let began = Instant::now();
    while began.elapsed().as_secs_f64() < seconds {
        batch.clear();
        for _ in 0..BATCH {
            flow = (flow + 1) % flows.max(1);
            let port = 1024 + (flow % 60_000) as u16;
            frame[34..36].copy_from_slice(&port.to_be_bytes());
            batch.push(1, &frame, Offload::NONE);
        }
        let taken = queue.send(&batch, &all)?;
        queue.flush();
        sent += taken as u64;
        if taken < BATCH {
            std::thread::sleep(BREATH);
        }
    }
    println!("{{\"sent\": {sent}, \"seconds\": {}}}", began.elapsed().as_secs_f64());
    Ok(())
}
