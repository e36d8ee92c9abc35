//! Bridge protocol data units of STP and RSTP (IEEE 802.1D-2004, 9.3). They travel behind
//! [`super::llc::Repr::SPANNING_TREE`] to [`GROUP_ADDRESS`].
//!
//! Deliberately absent: the per-instance part of MSTP; such a unit is read as RSTP, as a bridge without MSTP does
//! (IEEE 802.1Q-2022, 14.4).

use super::field::{Field, view};
use super::{HeaderKind, Malformed, blank, illegal, truncated};
use crate::MacAddr;

/// Where bridges send their units (IEEE 802.1D-2004, table 7-10).
pub const GROUP_ADDRESS: MacAddr = MacAddr::new([0x01, 0x80, 0xc2, 0, 0, 0]);

const NOTIFICATION_LEN: usize = 4;
const CONFIGURATION_LEN: usize = 35;
const RAPID_LEN: usize = 36;

const KIND_CONFIGURATION: u8 = 0;
const KIND_RAPID: u8 = 2;
const KIND_NOTIFICATION: u8 = 0x80;

view! {
    /// A bridge protocol data unit, without LLC.
    Stp, 4 bytes, check;
    /// 0 for STP, 2 for RSTP, 3 for MSTP.
    version: u8 [2];
    /// 0x00 configuration, 0x02 rapid, 0x80 topology change notification.
    kind: u8 [3];
    /// The flags of a configuration or rapid unit.
    flags / set_flags: u8 [4];
}

fn check(bytes: &[u8]) -> Result<(), Malformed> {
    let protocol = u16::read(bytes, 0);
    if protocol != 0 {
        return Err(illegal(HeaderKind::Stp, "protocol", protocol));
    }
    let (version, kind) = (u8::read(bytes, 2), u8::read(bytes, 3));
    let length = match (kind, version) {
        (KIND_CONFIGURATION, _) => CONFIGURATION_LEN,
        (KIND_NOTIFICATION, _) => NOTIFICATION_LEN,
        (KIND_RAPID, 2..) => RAPID_LEN,
        (KIND_RAPID, _) => return Err(illegal(HeaderKind::Stp, "version", version)),
        _ => return Err(illegal(HeaderKind::Stp, "kind", kind)),
    };
    if length > bytes.len() { Err(truncated(HeaderKind::Stp, length, bytes.len())) } else { Ok(()) }
}

/// Names a bridge; the smaller one is the better root (IEEE 802.1D-2004, 9.2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct BridgeId {
    /// Priority in the 4 highest bits, system ID extension in the other 12.
    pub priority: u16,
    /// Address of the bridge.
    pub address: MacAddr,
}

impl Field for BridgeId {
    fn read(bytes: &[u8], at: usize) -> Self {
        Self { priority: u16::read(bytes, at), address: MacAddr::read(bytes, at + 2) }
    }
    fn write(self, bytes: &mut [u8], at: usize) {
        self.priority.write(bytes, at);
        self.address.write(bytes, at + 2);
    }
}

/// What a configuration unit and a rapid one both say. Times are in units of 1/256 s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Vector {
    /// The bridge taken for the root.
    pub root: BridgeId,
    /// Cost of the path to the root.
    pub root_path_cost: u32,
    /// The bridge that sends.
    pub bridge: BridgeId,
    /// The port that sends: priority in the 4 highest bits, number in the other 12.
    pub port: u16,
    /// Age of what is said.
    pub message_age: u16,
    /// At which age it counts no more.
    pub max_age: u16,
    /// Time between units of the root.
    pub hello_time: u16,
    /// Time in each state on the way to forwarding.
    pub forward_delay: u16,
}

impl Vector {
    fn read(bytes: &[u8]) -> Self {
        Self {
            root: BridgeId::read(bytes, 5),
            root_path_cost: u32::read(bytes, 13),
            bridge: BridgeId::read(bytes, 17),
            port: u16::read(bytes, 25),
            message_age: u16::read(bytes, 27),
            max_age: u16::read(bytes, 29),
            hello_time: u16::read(bytes, 31),
            forward_delay: u16::read(bytes, 33),
        }
    }

    fn write(&self, bytes: &mut [u8]) {
        self.root.write(bytes, 5);
        self.root_path_cost.write(bytes, 13);
        self.bridge.write(bytes, 17);
        self.port.write(bytes, 25);
        self.message_age.write(bytes, 27);
        self.max_age.write(bytes, 29);
        self.hello_time.write(bytes, 31);
        self.forward_delay.write(bytes, 33);
    }
}

/// What a port is, as a rapid unit says (IEEE 802.1D-2004, 9.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Not said.
    Unknown,
    /// Another path to the root, or to the same segment.
    AlternateOrBackup,
    /// The best path to the root.
    Root,
    /// The segment's path to the root.
    Designated,
}

/// The meaning of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Repr {
    /// STP: what the sender knows.
    Configuration {
        /// The topology changes.
        topology_change: bool,
        /// A notification was heard.
        topology_change_acknowledged: bool,
        /// What the sender knows.
        vector: Vector,
    },
    /// STP: the topology changed, says a bridge to its root.
    TopologyChangeNotification,
    /// RSTP: what the sender knows, and what it offers.
    Rapid {
        /// The topology changes.
        topology_change: bool,
        /// The sender wants to forward at once.
        proposal: bool,
        /// What the sending port is.
        role: Role,
        /// The sending port learns.
        learning: bool,
        /// The sending port forwards.
        forwarding: bool,
        /// The receiver may forward at once.
        agreement: bool,
        /// What the sender knows.
        vector: Vector,
    },
}

impl Repr {
    /// Reads a unit.
    ///
    /// # Errors
    /// None: every checked unit is legal.
    pub fn parse<T: AsRef<[u8]>>(view: &View<T>) -> Result<Self, Malformed> {
        let flags = view.flags();
        let flag = |bit: u8| flags >> bit & 1 == 1;
        Ok(match view.kind() {
            KIND_CONFIGURATION => Self::Configuration {
                topology_change: flag(0),
                topology_change_acknowledged: flag(7),
                vector: Vector::read(view.as_bytes()),
            },
            KIND_RAPID => Self::Rapid {
                topology_change: flag(0),
                proposal: flag(1),
                role: match flags >> 2 & 3 {
                    0 => Role::Unknown,
                    1 => Role::AlternateOrBackup,
                    2 => Role::Root,
                    _ => Role::Designated,
                },
                learning: flag(4),
                forwarding: flag(5),
                agreement: flag(6),
                vector: Vector::read(view.as_bytes()),
            },
            _ => Self::TopologyChangeNotification,
        })
    }

    /// Length in bytes that [`Repr::emit`] writes.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        match self {
            Self::Configuration { .. } => CONFIGURATION_LEN,
            Self::TopologyChangeNotification => NOTIFICATION_LEN,
            Self::Rapid { .. } => RAPID_LEN,
        }
    }

    /// Writes the unit, without LLC, to the front of `buffer`; returns its length in bytes.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] when `buffer` is too short.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Malformed> {
        let length = self.buffer_len();
        let bytes = blank(HeaderKind::Stp, buffer, length)?;
        match self {
            Self::Configuration { topology_change, topology_change_acknowledged, vector } => {
                let flags = u8::from(*topology_change) | u8::from(*topology_change_acknowledged) << 7;
                [0, KIND_CONFIGURATION, flags].write(bytes, 2);
                vector.write(bytes);
            }
            Self::TopologyChangeNotification => KIND_NOTIFICATION.write(bytes, 3),
            Self::Rapid { topology_change, proposal, role, learning, forwarding, agreement, vector } => {
                let flags = u8::from(*topology_change)
                    | u8::from(*proposal) << 1
                    | (*role as u8) << 2
                    | u8::from(*learning) << 4
                    | u8::from(*forwarding) << 5
                    | u8::from(*agreement) << 6;
                [2, KIND_RAPID, flags].write(bytes, 2);
                vector.write(bytes);
            }
        }
        Ok(length)
    }
}
