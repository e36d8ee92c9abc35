//! What was decided about a packet, and why.

use crate::fdb::{Learned, Tag};
use netloom_mem::PortNumber;
use netloom_nf::{Program, Reason};
use netloom_table::Mask;
use netloom_wire::MacAddr;

/// Why a packet goes where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// Its destination is behind one port.
    Known {
        /// The port.
        port: PortNumber,
    },
    /// Nobody knows where its destination is, so it goes everywhere.
    Unknown,
    /// It is for a group.
    Group,
    /// It is dropped.
    Dropped(Reason),
}

/// One thing that was looked at, for those who ask for an explanation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It came in through a port and is in a VLAN.
    Vlan(PortNumber, u16),
    /// Its sender was heard.
    Heard(MacAddr, Learned),
    /// A mirror copies it.
    Mirrored(String),
    /// Its way out.
    Out(Why),
}

/// What happens to a packet and to all that are equal to it under the mask.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// What is done.
    pub program: Program,
    /// What was looked at.
    pub mask: Mask,
    /// The stations it rests on.
    pub rests: Vec<Tag>,
    /// Stations that changed by this packet.
    pub changed: Vec<Tag>,
    /// The sender's station, to be refreshed while packets like this come; zero for none.
    pub sender: Tag,
    /// Whether this holds until what it rests on changes; else it is for this packet only.
    pub keep: bool,
    /// The steps.
    pub steps: Vec<Step>,
}

/// What a packet of a protocol, or time, brought about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Effects {
    /// What changed: flows that rest on it are to be taken back.
    pub changed: Vec<Tag>,
    /// All flows are to be taken back.
    pub changed_all: bool,
    /// Frames to send, as they are.
    pub send: Vec<(PortNumber, Vec<u8>)>,
    /// Bonds by their number, with the members that send now. Only time brings these: [`crate::Bridge::heard`] never does.
    pub bonds: Vec<(PortNumber, Vec<PortNumber>)>,
}
