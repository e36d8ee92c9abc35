//! What the generator sends: frames that differ as wanted, each with a number and the time at which it was due.
//!
//! ```text
//! Ethernet 14 | IPv4 20 | UDP 8 | magic 2 | number 8 | time 8 | padding
//! ```
//!
//! Costs: some ten nanoseconds for a frame; the checksum of the IPv4 header is right, that of UDP is absent (zero).

use crate::cli::Traffic;
use netloom_mem::{Batch, HEAD, Offload, PortNumber};
use netloom_nf::link::Random;
use netloom_wire::checksum::internet;

/// Where the mark begins.
const MARK: usize = 42;
/// Octets with the mark, and the shortest frame.
pub const SHORTEST: usize = 60;
/// The longest frame.
pub const LONGEST: usize = 9000;
const MAGIC: [u8; 2] = *b"nl";
/// The station behind the sink.
pub const SINK: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// The station behind the generator.
const SOURCE: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// Lengths of frames, one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sizes(Vec<u16>);

impl std::str::FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "imix" {
            // Spread evenly, so that each batch has some of each.
            return Ok(Self(vec![64, 594, 64, 64, 594, 64, 1514, 64, 594, 64, 64, 594]));
        }
        match text.parse() {
            Ok(size) if (SHORTEST..=LONGEST).contains(&usize::from(size)) => Ok(Self(vec![size])),
            _ => Err(format!("`{text}`: a number of octets from {SHORTEST} to {LONGEST}, or imix")),
        }
    }
}

impl Sizes {
    /// Octets of a frame on average.
    pub fn mean(&self) -> f64 {
        self.0.iter().map(|size| f64::from(*size)).sum::<f64>() / self.0.len().max(1) as f64
    }
}

/// The mark of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Its number.
    pub number: u64,
    /// When it was due, in nanoseconds.
    pub due: u64,
}

impl Mark {
    /// The mark of a frame that a stream made.
    #[inline]
    pub fn read(head: &[u8]) -> Option<Self> {
        let mark = head.get(MARK..SHORTEST)?;
        let (magic, rest) = mark.split_first_chunk::<2>()?;
        let (number, rest) = rest.split_first_chunk::<8>()?;
        let (due, _) = rest.split_first_chunk::<8>()?;
        (*magic == MAGIC)
            .then_some(Self { number: u64::from_be_bytes(*number), due: u64::from_be_bytes(*due) })
    }
}

/// An endless row of frames.
#[derive(Debug, Clone)]
pub struct Stream {
    traffic: Traffic,
    flows: u64,
    sizes: Sizes,
    random: Random,
    /// Frames so far.
    made: u64,
    frame: Vec<u8>,
}

impl Stream {
    /// Frames of a kind. The first `flows` frames are one of each flow.
    pub fn new(traffic: Traffic, flows: u32, sizes: Sizes, seed: u64) -> Self {
        let mut frame = vec![0; LONGEST];
        frame[..6].copy_from_slice(&SINK);
        frame[6..12].copy_from_slice(&SOURCE);
        frame[12..14].copy_from_slice(&[8, 0]);
        frame[14] = 0x45;
        frame[22] = 64;
        frame[23] = 17;
        frame[MARK..MARK + 2].copy_from_slice(&MAGIC);
        Self { traffic, flows: u64::from(flows.max(1)), sizes, random: Random::new(seed), made: 0, frame }
    }

    /// Its frames come from another station than those of others.
    pub fn with_station(mut self, last: u8) -> Self {
        self.frame[11] = last;
        self
    }

    /// Frames so far.
    pub const fn made(&self) -> u64 {
        self.made
    }

    /// Puts the next frame into a batch; false when the batch is full.
    #[inline]
    pub fn put(&mut self, batch: &mut Batch, port: PortNumber, due: u64) -> bool {
        let size = usize::from(self.sizes.0[self.made as usize % self.sizes.0.len()]);
        self.header(size, due);
        let done = if size <= HEAD {
            let Some(slot) = batch.slot() else { return false };
            slot.head[..size].copy_from_slice(&self.frame[..size]);
            batch.commit(port, size, Offload::NONE);
            true
        } else {
            batch.push(port, &self.frame[..size], Offload::NONE)
        };
        self.made += u64::from(done);
        done
    }

    fn header(&mut self, size: usize, due: u64) {
        let number = self.made;
        let flow = match self.traffic {
            Traffic::New | Traffic::NewStations => number,
            _ if self.flows == 1 => 0,
            _ if number < self.flows => number,
            _ => self.random.below(self.flows),
        };
        let frame = &mut self.frame;
        frame[16..18].copy_from_slice(&((size - 14) as u16).to_be_bytes());
        frame[38..40].copy_from_slice(&((size - 34) as u16).to_be_bytes());
        match self.traffic {
            Traffic::Flows | Traffic::New => {
                let flow = flow.to_be_bytes();
                // 10.0.0.0/8 and, for more flows than that, the port.
                frame[26] = 10;
                frame[27..30].copy_from_slice(&flow[5..8]);
                frame[30..34].copy_from_slice(&[172, 16, flow[7] & 15, flow[6]]);
                frame[34..36].copy_from_slice(&[flow[4] | 0x40, flow[6] ^ flow[7]]);
                frame[36..38].copy_from_slice(&[0, flow[7] & 31]);
            }
            Traffic::Stations | Traffic::NewStations => {
                frame[6..12]
                    .copy_from_slice(&((flow & 0x00ff_ffff_ffff) | 0x0210_0000_0000).to_be_bytes()[2..]);
            }
            Traffic::Random => {
                let (first, second, third) =
                    (self.random.number(), self.random.number(), self.random.number());
                frame[..6].copy_from_slice(&(first & !(1 << 40)).to_be_bytes()[2..]);
                frame[6..12].copy_from_slice(&(second & !(1 << 40)).to_be_bytes()[2..]);
                frame[26..34].copy_from_slice(&third.to_be_bytes());
                let rest = (first ^ second).to_be_bytes();
                frame[15] = rest[0];
                frame[23] = [6, 17, 132, 17][usize::from(rest[1] & 3)];
                frame[34..38].copy_from_slice(&rest[2..6]);
            }
        }
        frame[24..26].fill(0);
        let sum = internet(&frame[14..34]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
        frame[MARK + 2..MARK + 10].copy_from_slice(&number.to_be_bytes());
        frame[MARK + 10..MARK + 18].copy_from_slice(&due.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use netloom_wire::checksum::is_intact;
    use std::collections::HashSet;

    fn stream(traffic: Traffic, flows: u32, size: &str) -> Stream {
        Stream::new(traffic, flows, size.parse().unwrap(), 7)
    }

    fn frames(stream: &mut Stream, count: usize) -> Vec<Vec<u8>> {
        let mut batch = Batch::new();
        let put = |_| {
            batch.clear();
            assert!(stream.put(&mut batch, 1, 99));
            batch.octets(0)
        };
        (0..count).map(put).collect()
    }

    #[test]
    fn frames_are_marked_and_their_headers_are_right() {
        let kinds = [Traffic::Flows, Traffic::Stations, Traffic::New, Traffic::NewStations, Traffic::Random];
        for traffic in kinds {
            for (number, frame) in frames(&mut stream(traffic, 10, "imix"), 50).iter().enumerate() {
                assert_eq!(Mark::read(frame), Some(Mark { number: number as u64, due: 99 }));
                assert!(is_intact(&frame[14..34]));
                assert_eq!(usize::from(u16::from_be_bytes([frame[16], frame[17]])), frame.len() - 14);
                assert_eq!(frame[0] & 1 | frame[6] & 1, 0, "a group address");
            }
        }
        assert_eq!(Mark::read(&[0; 64]), None);
    }

    #[test]
    fn there_are_as_many_flows_as_wanted() {
        let headers = |traffic, flows, count| {
            let all = frames(&mut stream(traffic, flows, "64"), count);
            all.into_iter().map(|frame| frame[..42].to_vec()).collect::<HashSet<_>>().len()
        };
        assert_eq!(headers(Traffic::Flows, 100, 1000), 100);
        assert_eq!(headers(Traffic::Stations, 100, 1000), 100);
        assert_eq!(headers(Traffic::New, 1, 1000), 1000);
        assert_eq!(headers(Traffic::NewStations, 1, 1000), 1000);
        assert_eq!(headers(Traffic::Random, 1, 1000), 1000);
        assert_eq!(headers(Traffic::Flows, 100_000, 100_000), 100_000);
    }

    #[test]
    fn sizes() {
        let imix: Sizes = "imix".parse().unwrap();
        assert_eq!(imix.0.iter().filter(|size| **size == 64).count(), 7);
        assert_eq!(imix.0.iter().filter(|size| **size == 594).count(), 4);
        assert!((imix.mean() - (7.0 * 64.0 + 4.0 * 594.0 + 1514.0) / 12.0).abs() < 1e-9);
        assert!("59".parse::<Sizes>().is_err() && "9001".parse::<Sizes>().is_err());
        assert_eq!(frames(&mut stream(Traffic::Flows, 1, "1514"), 1)[0].len(), 1514);
    }
}
