//! Captures with interfaces, directions and comments: the pcapng format (draft-ietf-opsawg-pcapng), written.
//!
//! Invariants: a block is written whole; after each the file is one that readers take.
//!
//! Deliberately absent: reading it (tests do, with other programs).

use std::io::{self, Write};

const SECTION: u32 = 0x0a0d_0d0a;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
const INTERFACE: u32 = 1;
const STATISTICS: u32 = 5;
const PACKET: u32 = 6;
/// `LINKTYPE_ETHERNET`.
const ETHERNET: u16 = 1;

const END: u16 = 0;
const COMMENT: u16 = 1;
const SECTION_PROGRAM: u16 = 4;
const INTERFACE_NAME: u16 = 2;
const INTERFACE_RESOLUTION: u16 = 9;
const PACKET_FLAGS: u16 = 2;
const STATISTICS_DROPPED: u16 = 5;
/// Longest text of an option.
const TEXT: usize = 4000;

/// Which way a packet went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// It came in.
    In,
    /// It went out.
    Out,
}

/// A packet to be written.
#[derive(Debug, Clone, Copy)]
pub struct Captured<'a> {
    /// Number of its interface, as [`Writer::interface`] gave it.
    pub interface: u32,
    /// Nanoseconds since 1970.
    pub time: u64,
    /// Which way it went.
    pub direction: Direction,
    /// Its first octets.
    pub octets: &'a [u8],
    /// Octets of all of it.
    pub length: usize,
    /// What is to be said about it.
    pub comment: &'a str,
}

/// Writes one section.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    block: Vec<u8>,
    interfaces: u32,
}

impl<W: Write> Writer<W> {
    /// Begins a section.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn new(out: W, program: &str) -> io::Result<Self> {
        let mut writer = Self { out, block: Vec::new(), interfaces: 0 };
        writer.word(BYTE_ORDER);
        writer.halves(1, 0);
        // The section's length is not known.
        writer.block.extend([0xff; 8]);
        writer.option(SECTION_PROGRAM, program.as_bytes());
        writer.end(SECTION)?;
        Ok(writer)
    }

    /// Tells of an interface; gives its number. `most` octets of a packet are kept.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn interface(&mut self, name: &str, most: u32) -> io::Result<u32> {
        self.halves(ETHERNET, 0);
        self.word(most);
        self.option(INTERFACE_NAME, name.as_bytes());
        // Units of 10^-9 s.
        self.option(INTERFACE_RESOLUTION, &[9]);
        self.end(INTERFACE)?;
        self.interfaces += 1;
        Ok(self.interfaces - 1)
    }

    /// Writes a packet.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn packet(&mut self, packet: &Captured<'_>) -> io::Result<()> {
        self.word(packet.interface);
        self.time(packet.time);
        self.word(packet.octets.len() as u32);
        self.word(packet.length as u32);
        self.block.extend(packet.octets);
        self.pad();
        if !packet.comment.is_empty() {
            self.option(COMMENT, packet.comment.as_bytes());
        }
        let flags: u32 = if packet.direction == Direction::In { 1 } else { 2 };
        self.option(PACKET_FLAGS, &flags.to_ne_bytes());
        self.end(PACKET)
    }

    /// Says at the end of a capture how many packets it has missed.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn missed(&mut self, interface: u32, time: u64, packets: u64) -> io::Result<()> {
        self.word(interface);
        self.time(time);
        self.option(STATISTICS_DROPPED, &packets.to_ne_bytes());
        self.end(STATISTICS)
    }

    /// Makes everything visible to readers.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn word(&mut self, word: u32) {
        self.block.extend(word.to_ne_bytes());
    }

    fn halves(&mut self, one: u16, other: u16) {
        self.block.extend(one.to_ne_bytes());
        self.block.extend(other.to_ne_bytes());
    }

    fn time(&mut self, time: u64) {
        self.word((time >> 32) as u32);
        self.word(time as u32);
    }

    fn pad(&mut self) {
        self.block.resize(self.block.len().next_multiple_of(4), 0);
    }

    fn option(&mut self, kind: u16, value: &[u8]) {
        let value = value.get(..TEXT).unwrap_or(value);
        self.halves(kind, value.len() as u16);
        self.block.extend(value);
        self.pad();
    }

    /// Writes what was gathered, between its two lengths.
    fn end(&mut self, kind: u32) -> io::Result<()> {
        self.halves(END, 0);
        let length = self.block.len() as u32 + 12;
        self.out.write_all(&kind.to_ne_bytes())?;
        self.out.write_all(&length.to_ne_bytes())?;
        self.out.write_all(&self.block)?;
        self.out.write_all(&length.to_ne_bytes())?;
        self.block.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::{Command, Stdio};

    fn word(octets: &[u8], at: usize) -> u32 {
        u32::from_ne_bytes(octets[at..at + 4].try_into().unwrap())
    }

    proptest! {
        /// Whoever reads by lengths alone comes to the end, and finds each packet's octets.
        #[test]
        fn blocks_follow_each_other(
            packets in proptest::collection::vec((any::<u64>(), proptest::collection::vec(any::<u8>(), 0..90), ".*"), 0..20),
        ) {
            let mut file = Vec::new();
            let mut writer = Writer::new(&mut file, "netloom").unwrap();
            let interface = writer.interface("br0/p0", 262_144).unwrap();
            for (time, octets, comment) in &packets {
                let (direction, length) = (Direction::Out, octets.len() + 7);
                writer.packet(&Captured { interface, time: *time, direction, octets, length, comment }).unwrap();
            }
            writer.missed(interface, 5, 3).unwrap();
            let (mut at, mut kinds, mut found) = (0, Vec::new(), Vec::new());
            while at < file.len() {
                let length = word(&file, at + 4) as usize;
                prop_assert!(length.is_multiple_of(4) && word(&file, at + length - 4) as usize == length);
                kinds.push(word(&file, at));
                if word(&file, at) == PACKET {
                    let time = u64::from(word(&file, at + 12)) << 32 | u64::from(word(&file, at + 16));
                    let count = word(&file, at + 20) as usize;
                    prop_assert_eq!(word(&file, at + 24) as usize, count + 7);
                    found.push((time, file[at + 28..at + 28 + count].to_vec()));
                }
                at += length;
            }
            prop_assert_eq!(kinds.len(), packets.len() + 3);
            prop_assert_eq!((kinds[0], kinds[1], kinds[kinds.len() - 1]), (SECTION, INTERFACE, STATISTICS));
            let wanted: Vec<_> = packets.into_iter().map(|(time, octets, _)| (time, octets)).collect();
            prop_assert_eq!(found, wanted);
        }
    }

    /// Python with Scapy, or tcpdump alone, reads it.
    #[test]
    fn another_program_reads_it() {
        let path = std::env::temp_dir().join(format!("netloom-{}.pcapng", std::process::id()));
        let mut writer = Writer::new(std::fs::File::create(&path).unwrap(), "netloom").unwrap();
        for name in ["br0/p0", "br0/p1"] {
            writer.interface(name, 262_144).unwrap();
        }
        let mut arp = vec![0xff; 6];
        arp.extend([
            2, 0, 0, 0, 0, 9, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 9, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0,
        ]);
        arp.extend([10, 0, 0, 2]);
        let time = 1_700_000_000_123_456_789;
        for (interface, direction) in [(0, Direction::In), (1, Direction::Out)] {
            let comment = "to br0/p1: nobody knows 10.0.0.2 yet";
            let (octets, length) = (&arp[..], arp.len());
            writer.packet(&Captured { interface, time, direction, octets, length, comment }).unwrap();
        }
        writer.flush().unwrap();
        match Command::new("tcpdump").args(["-n", "-tt", "-r"]).arg(&path).stderr(Stdio::null()).output() {
            Err(error) => eprintln!("skipped: tcpdump: {error}"),
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stdout);
                let asked = text.lines().filter(|line| line.contains("who-has 10.0.0.2 tell 10.0.0.1"));
                assert_eq!(asked.filter(|line| line.contains("1700000000.12345")).count(), 2, "{text}");
            }
        }
        std::fs::remove_file(&path).unwrap();
    }
}
