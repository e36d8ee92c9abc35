//! Who decides: the interface to a bridge, a router, a test.

use netloom_mem::PortNumber;
use netloom_nf::{Program, Punt};
use netloom_table::key::Layers;
use netloom_table::{Key, Mask};
use std::sync::Arc;

/// Something that an answer rests on: when it changes, the flows that carry its tag are taken back.
pub type Tag = u64;

/// A packet that no flow knows.
#[derive(Debug)]
pub struct Question<'a> {
    /// Its key.
    pub key: &'a Key,
    /// Where its layers begin.
    pub layers: Layers,
    /// Its first octets.
    pub head: &'a [u8],
    /// Octets of all of it.
    pub length: usize,
    /// Nanoseconds since some beginning.
    pub now: u64,
}

/// What happens to the packet, and to which others too.
#[derive(Debug)]
pub struct Answer {
    /// What to do.
    pub program: Program,
    /// What the decision looked at: every packet that equals this one there gets the same program.
    pub mask: Mask,
    /// What the decision rests on.
    pub rests: Vec<Tag>,
    /// What changed while deciding (a station was learned): flows that rest on it are taken back.
    pub changed: Vec<Tag>,
    /// A number that [`Brain::used`] gets back while the flow carries packets; zero for none.
    pub token: u64,
    /// Each packet is reported with the token, and the flow's end as well. Without, packets are reported in a sum for each
    /// port, which costs nothing for each flow.
    pub counted: bool,
    /// Whether later packets may follow without asking.
    pub keep: bool,
}

/// What packets did since it was told last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Used {
    /// A flow that is not counted by itself carried some.
    Lately {
        /// As in the answer.
        token: u64,
        /// The port through which they came.
        port: PortNumber,
    },
    /// All flows of a port that are not counted by themselves carried so many, or packets without a flow did that would
    /// have had one.
    Port {
        /// The port through which they came.
        port: PortNumber,
        /// Packets.
        packets: u64,
        /// Their octets.
        octets: u64,
        /// When the last one came, or a little later.
        last: u64,
    },
    /// A flow that is [counted](Answer::counted) carried so many, which may be none.
    Flow {
        /// As in the answer.
        token: u64,
        /// Packets.
        packets: u64,
        /// Their octets.
        octets: u64,
        /// When the last one came.
        last: u64,
        /// It is gone: nobody comes with this token any more.
        ended: bool,
    },
}

/// A packet that a program gave to the brain ([`netloom_nf::Action::Punt`]), as it was when the program came to that
/// action.
#[derive(Debug, Clone)]
pub struct Heard {
    /// What the program said about it.
    pub punt: Arc<Punt>,
    /// What was extracted of it when it was looked up, and what travelled beside it when it was given: port, recirculation
    /// number, connection, tunnel, marks, metadata. Of its headers only the octets tell the truth.
    pub key: Box<Key>,
    /// Its octets, as many as were asked for.
    pub octets: Vec<u8>,
    /// Octets of all of it.
    pub length: usize,
}

/// A packet of the brain's own that goes through a program: a packet-out of OpenFlow.
#[derive(Debug, Clone)]
pub struct Execution {
    /// Its octets.
    pub octets: Vec<u8>,
    /// What is done with it.
    pub program: Program,
    /// What travels beside it, with the port through which it counts as having come; the rest is extracted.
    pub key: Box<Key>,
}

/// What the brain wants after it heard something or some time has passed.
#[derive(Debug, Default)]
pub struct Wishes {
    /// What changed: flows that rest on it are taken back.
    pub changed: Vec<Tag>,
    /// All flows are taken back.
    pub changed_all: bool,
    /// Frames to send.
    pub send: Vec<(PortNumber, Vec<u8>)>,
    /// Packets that go through programs.
    pub execute: Vec<Execution>,
}

/// Who decides. Each worker has one; those of one bridge share their tables behind it.
pub trait Brain: Send {
    /// Decides about a packet. Must not block for longer than a translation takes.
    fn translate(&mut self, question: &Question<'_>) -> Answer;

    /// What flows carried lately, at least twice a second, so that what they rest on is not forgotten and all packets are
    /// counted. Of each packet it is told once.
    fn used(&mut self, used: &[Used], now: u64) {
        let _ = (used, now);
    }

    /// A packet for the brain itself ([`netloom_nf::Action::Brain`]), as it was when the program came to that action.
    fn heard(&mut self, port: PortNumber, octets: Vec<u8>, now: u64) -> Wishes {
        let _ = (port, octets, now);
        Wishes::default()
    }

    /// Packets that programs gave to the brain.
    fn punted(&mut self, heard: Vec<Heard>, now: u64) -> Wishes {
        let _ = (heard, now);
        Wishes::default()
    }
}
