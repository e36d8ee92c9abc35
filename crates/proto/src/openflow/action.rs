//! What a flow does with a packet: every action of ovs-actions(7), and the instructions of OpenFlow 1.1 and later.
//!
//! What: a flow has one list of [`Action`]s in every version. From version 1.1 on the wire has instructions; here they are
//! actions at the end of the list, in the order in which they are carried out: `meter`, the actions to apply,
//! `clear_actions`, `write_actions`, `write_metadata`, `goto_table`.
//!
//! An action that came in one of several forms that mean the same keeps its form, so that it is shown and sent as
//! its sender wrote it (OVS, topics/design: action reproduction).
//!
//! Invariants: [`Action`] is at most 32 octets. What is larger is on the heap.

mod check;
mod ct;
mod encap;
mod instruction;
mod learn;
mod raw;
mod read;
mod tlv;
mod verify;
mod write;
mod write_field;

pub use check::{Limits, check};
pub use instruction::{
    Context, put_actions, put_instructions, take_action_set, take_actions, take_instructions,
};
pub use tlv::fit_tun_metadata;
pub use verify::verify;

use super::field::FieldId;
use super::port::OfPort;
use super::value::{Subfield, Value};
use netloom_wire::MacAddr;
use std::net::{IpAddr, Ipv4Addr};

/// One thing that is done with a packet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Action {
    /// Send it out of a port.
    Output {
        /// The port.
        port: OfPort,
        /// How much of it goes to a controller at most, in octets; [`NO_BUFFER`] for all. Other ports ignore it.
        max_len: u16,
    },
    /// Send it out of the port whose number is in a field.
    OutputField {
        /// Where the number is.
        source: Subfield,
        /// As in [`Action::Output`].
        max_len: u16,
    },
    /// Send at most so many octets of it out of a port (`output(port=, max_len=)`).
    OutputTruncated {
        /// The port.
        port: OfPort,
        /// Octets, at least 14.
        max_len: u32,
    },
    /// Process it by a group.
    Group(u32),
    /// Send it to controllers, by Nicira's action.
    Controller(Box<Controller>),
    /// Send it out of a port through a queue (OpenFlow 1.0).
    Enqueue {
        /// The port.
        port: OfPort,
        /// The queue of the port.
        queue: u32,
    },
    /// Send it out of one of several ports, or load that port's number.
    Bundle(Box<Bundle>),

    /// Change a field, or some bits of it.
    SetField(Box<SetField>),
    /// Change up to 64 bits (`load`, Nicira's action of OpenFlow 1.0 to 1.4).
    Load {
        /// What is changed: at most 64 bits.
        target: Subfield,
        /// The new bits, at the low end.
        value: u64,
    },
    /// Copy bits from one field to another.
    Move {
        /// What is copied.
        source: Subfield,
        /// What is changed: as many bits.
        target: Subfield,
        /// Whether it came as the ONF's extension and is not written as Nicira's (OpenFlow 1.3 and 1.4).
        onf: bool,
    },
    /// Push bits onto the stack.
    Push(Subfield),
    /// Pop bits off the stack.
    Pop(Subfield),
    /// Set the VLAN identifier.
    SetVlanVid {
        /// The identifier, 0 to 4095.
        vid: u16,
        /// Whether a tag is pushed if there is none: so in OpenFlow 1.0 (`mod_vlan_vid`), not later (`set_vlan_vid`).
        push: bool,
    },
    /// Set the VLAN priority.
    SetVlanPcp {
        /// The priority, 0 to 7.
        pcp: u8,
        /// Whether a tag is pushed if there is none, as with the identifier.
        push: bool,
    },
    /// Remove the outer VLAN tag if there is one (OpenFlow 1.0).
    StripVlan,
    /// Remove the outer VLAN tag (OpenFlow 1.1 and later).
    PopVlan,
    /// Add a VLAN tag of an EtherType, 0x8100 or 0x88a8.
    PushVlan(u16),
    /// Set the Ethernet source.
    SetEthSrc(MacAddr),
    /// Set the Ethernet destination.
    SetEthDst(MacAddr),
    /// Set the IPv4 source.
    SetIpv4Src(Ipv4Addr),
    /// Set the IPv4 destination.
    SetIpv4Dst(Ipv4Addr),
    /// Set the differentiated services, in the upper six bits.
    SetIpTos(u8),
    /// Set the congestion notification, 0 to 3.
    SetIpEcn(u8),
    /// Set the time to live.
    SetIpTtl(u8),
    /// Set the source port of TCP, UDP or SCTP.
    SetTpSrc(u16),
    /// Set the destination port of TCP, UDP or SCTP.
    SetTpDst(u16),
    /// Decrement the time to live; a packet whose is 0 or 1 goes to the controllers.
    DecTtl,
    /// As [`Action::DecTtl`], but to the controllers of these numbers.
    DecTtlIds(Vec<u16>),
    /// Set the MPLS label, 20 bits.
    SetMplsLabel(u32),
    /// Set the MPLS traffic class, 0 to 7.
    SetMplsTc(u8),
    /// Set the MPLS time to live.
    SetMplsTtl(u8),
    /// Decrement the MPLS time to live.
    DecMplsTtl,
    /// Add an MPLS label of an EtherType, 0x8847 or 0x8848.
    PushMpls(u16),
    /// Remove the outermost MPLS label; the EtherType of what is behind it.
    PopMpls(u16),
    /// Decrement the time to live of the network service header.
    DecNshTtl,
    /// Add a header.
    Encap(Box<Encap>),
    /// Remove the outermost header.
    Decap {
        /// `packet_type` of what is behind it, or [`USE_NEXT_PROTOCOL`].
        packet_type: u32,
    },
    /// Remove a tunnel's option.
    DeleteField(FieldId),

    /// Set the tunnel's key, 32 bits.
    SetTunnel(u32),
    /// Set the tunnel's key, 64 bits.
    SetTunnel64(u64),
    /// Choose the queue for later outputs.
    SetQueue(u32),
    /// Choose the queue that was chosen when the packet came.
    PopQueue,
    /// Shorten the flow's timeouts after a FIN or RST.
    FinTimeout {
        /// Idle timeout in seconds, or 0 for no change.
        idle: u16,
        /// Hard timeout in seconds, or 0 for no change.
        hard: u16,
    },

    /// Look the packet up again.
    Resubmit {
        /// The port that it is to have come by; [`OfPort::IN_PORT`] for the one it has.
        port: OfPort,
        /// The table. `None` and 255 are the current one; they differ in form only.
        table: Option<u8>,
        /// Whether the addresses and ports are those of the connection's original direction.
        ct: bool,
    },
    /// Add a flow.
    Learn(Box<Learn>),
    /// The flow is one of a conjunction's dimensions.
    Conjunction {
        /// The conjunction.
        id: u32,
        /// The dimension, from 0 on; printed from 1 on.
        clause: u8,
        /// How many dimensions there are, 2 to 64.
        count: u8,
    },

    /// Hash, and write a number made of the hash into a field.
    Multipath(Box<Multipath>),
    /// Do nothing; octets to be remembered, 6 and a multiple of 8 of them.
    Note(Vec<u8>),
    /// End the processing.
    Exit,
    /// Sample it for IPFIX.
    Sample(Box<Sample>),
    /// Send it through the connection tracker.
    Ct(Box<Ct>),
    /// Forget the connection tracker's verdict.
    CtClear,
    /// Translate addresses; within [`Action::Ct`] only.
    Nat(Box<Nat>),
    /// Do these with a copy.
    Clone(Vec<Action>),
    /// Write into one bit whether the packet is longer than so many octets.
    CheckPacketLarger {
        /// The bit.
        target: Subfield,
        /// Octets, Ethernet header included.
        length: u16,
    },
    /// Make the packet be looked up again; for tests.
    DebugRecirc,
    /// Make the packet take the slow path; for tests.
    DebugSlow,

    /// Count it by a meter. An instruction in 1.3 and 1.4, an action in 1.5.
    Meter(u32),
    /// Empty the action set. An instruction.
    ClearActions,
    /// Add to the action set. An instruction.
    WriteActions(Vec<Action>),
    /// Change the metadata. An instruction.
    WriteMetadata {
        /// The new bits.
        value: u64,
        /// Which bits.
        mask: u64,
    },
    /// Go on in a later table. An instruction.
    GotoTable(u8),
}

/// Value of `max_len` for all of a packet (`OFPCML_NO_BUFFER`).
pub const NO_BUFFER: u16 = 0xffff;
/// `packet_type` for [`Action::Decap`] that asks the header what comes behind it.
pub const USE_NEXT_PROTOCOL: u32 = 0xfffe;
/// The most octets that the actions of one flow have on the wire.
pub const MAX_ACTIONS_OCTETS: usize = 65_535;
/// How deep actions may lie within actions (OVS: `MAX_OFPACT_PARSE_DEPTH`).
pub const MAX_DEPTH: usize = 100;

/// Arguments of `controller(...)`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Controller {
    /// How much of the packet is sent at most, in octets.
    pub max_len: u16,
    /// To which controllers: those with this number.
    pub controller_id: u16,
    /// Why, as the message says (`OFPR_*`): 0 no match, 1 action, 2 invalid time to live, 3 action set, 4 group,
    /// 5 packet-out.
    pub reason: u8,
    /// Octets that the message carries.
    pub userdata: Vec<u8>,
    /// Whether processing stops until a controller resumes it.
    pub pause: bool,
    /// The meter that counts it in place of the one for all; 0 for none.
    pub meter_id: u32,
    /// Whether it came as the newer of two forms though the older could say it.
    pub extended: bool,
}

/// What is hashed (`NX_HASH_FIELDS_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum HashFields {
    /// Ethernet source.
    EthSrc = 0,
    /// Everything up to transport, the same both ways.
    SymmetricL4 = 1,
    /// IP addresses and TCP and SCTP ports, the same both ways.
    SymmetricL3L4 = 2,
    /// As before, and UDP ports.
    SymmetricL3L4Udp = 3,
    /// IP source.
    IpSrc = 4,
    /// IP destination.
    IpDst = 5,
    /// IP addresses, the same both ways.
    SymmetricL3 = 6,
}

impl HashFields {
    /// All, by number.
    pub const ALL: [Self; 7] = [
        Self::EthSrc,
        Self::SymmetricL4,
        Self::SymmetricL3L4,
        Self::SymmetricL3L4Udp,
        Self::IpSrc,
        Self::IpDst,
        Self::SymmetricL3,
    ];

    /// By the number on the wire.
    #[must_use]
    pub fn from_wire(number: u16) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The name in text.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::EthSrc => "eth_src",
            Self::SymmetricL4 => "symmetric_l4",
            Self::SymmetricL3L4 => "symmetric_l3l4",
            Self::SymmetricL3L4Udp => "symmetric_l3l4+udp",
            Self::IpSrc => "nw_src",
            Self::IpDst => "nw_dst",
            Self::SymmetricL3 => "symmetric_l3",
        }
    }
}

/// Arguments of `bundle` and `bundle_load`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Bundle {
    /// How a port is chosen.
    pub algorithm: BundleAlgorithm,
    /// What is hashed.
    pub fields: HashFields,
    /// What the hash begins with.
    pub basis: u16,
    /// Where the port's number goes; without, the packet goes out of it.
    pub target: Option<Subfield>,
    /// The ports, at most 2048.
    pub members: Vec<OfPort>,
}

/// How [`Bundle`] chooses a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BundleAlgorithm {
    /// The first that is up.
    ActiveBackup = 0,
    /// By the highest random weight of those that are up.
    HighestWeight = 1,
}

/// Arguments of `multipath`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Multipath {
    /// What is hashed.
    pub fields: HashFields,
    /// What the hash begins with.
    pub basis: u16,
    /// How the number is made of the hash.
    pub algorithm: MultipathAlgorithm,
    /// The largest number.
    pub max_link: u16,
    /// The algorithm's argument.
    pub argument: u32,
    /// Where the number goes.
    pub target: Subfield,
}

/// How [`Multipath`] makes a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MultipathAlgorithm {
    /// Remainder.
    ModuloN = 0,
    /// Equal parts of the hash's range.
    HashThreshold = 1,
    /// Highest random weight.
    HighestWeight = 2,
    /// Hash again until the number fits.
    IterativeHash = 3,
}

/// Arguments of `set_field`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SetField {
    /// The field.
    pub field: FieldId,
    /// The new bits.
    pub value: Value,
    /// Which bits, as long as the value.
    pub mask: Value,
    /// Whether it came as Nicira's `NXAST_REG_LOAD2` and not as the standard's action.
    pub nicira: bool,
}

/// Arguments of `encap`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Encap {
    /// `packet_type` of the header: name space in the upper half, type in the lower.
    pub packet_type: u32,
    /// Octets of the header; 0 for as many as it needs.
    pub header_size: u16,
    /// What the header is filled with.
    pub properties: Vec<EncapProperty>,
}

/// What a new header is filled with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum EncapProperty {
    /// Type of NSH's metadata, 1 or 2.
    NshMdType(u8),
    /// A variable piece of NSH's metadata.
    NshTlv {
        /// Its class.
        class: u16,
        /// Its type.
        kind: u8,
        /// Its octets, at most 127.
        data: Vec<u8>,
    },
}

/// Arguments of `learn`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Learn {
    /// Idle timeout of the new flow in seconds.
    pub idle_timeout: u16,
    /// Hard timeout of the new flow in seconds.
    pub hard_timeout: u16,
    /// Priority of the new flow.
    pub priority: u16,
    /// Cookie of the new flow.
    pub cookie: u64,
    /// Whether controllers hear of the new flow's end.
    pub send_flow_rem: bool,
    /// Whether flows with the cookie in the table go when the last such action goes.
    pub delete_learned: bool,
    /// Table of the new flow.
    pub table: u8,
    /// As the idle timeout of [`Action::FinTimeout`] in the new flow.
    pub fin_idle_timeout: u16,
    /// As the hard timeout of [`Action::FinTimeout`] in the new flow.
    pub fin_hard_timeout: u16,
    /// How many flows with the cookie the table may have; 0 for no limit.
    pub limit: u32,
    /// The bit that tells whether the flow could be added.
    pub result: Option<Subfield>,
    /// What the new flow matches and does.
    pub specs: Vec<LearnSpec>,
    /// Whether it came as the newer of two forms though the older could say it.
    pub extended: bool,
}

/// One thing that a learned flow matches or does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LearnSpec {
    /// How many bits.
    pub bits: u16,
    /// Where they come from.
    pub source: LearnSource,
    /// What they are for.
    pub target: LearnTarget,
}

/// Where a learned flow's bits come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LearnSource {
    /// From the packet.
    Field(Subfield),
    /// They are these: as few octets as the bits need.
    Immediate(Value),
}

/// What a learned flow's bits are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LearnTarget {
    /// The flow matches them.
    Match(Subfield),
    /// The flow loads them.
    Load(Subfield),
    /// The flow sends to the port of this number.
    Output,
}

/// Arguments of `sample`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sample {
    /// Out of 65,535 packets so many are sampled, at least 1.
    pub probability: u16,
    /// To whom the samples go: the id in the database's table Flow_Sample_Collector_Set.
    pub collector_set_id: u32,
    /// Observation domain of IPFIX.
    pub obs_domain_id: u32,
    /// Observation point of IPFIX.
    pub obs_point_id: u32,
    /// The port whose traffic is sampled, or [`OfPort::NONE`].
    pub sampling_port: OfPort,
    /// The direction that the sample tells.
    pub direction: SampleDirection,
    /// Which of the three forms it came as, 1 to 3. A later one is written if what it says asks for it.
    pub form: u8,
}

/// The direction that a sample tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SampleDirection {
    /// As the port and the output say.
    Default = 0,
    /// Coming in.
    Ingress = 1,
    /// Going out.
    Egress = 2,
}

/// Arguments of `ct`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ct {
    /// Whether the connection is remembered.
    pub commit: bool,
    /// Whether a connection of the other direction gives way. Needs `commit`.
    pub force: bool,
    /// The zone.
    pub zone: CtZone,
    /// The table in which a copy with the verdict goes on.
    pub table: Option<u8>,
    /// The port of the protocol whose helper looks at the connection: 21 FTP, 69 TFTP, 0 none.
    pub alg: u16,
    /// What is done in the connection: [`Action::SetField`], [`Action::Load`] and [`Action::Move`] on `ct_mark` and
    /// `ct_label` (`exec`), and [`Action::Nat`].
    pub actions: Vec<Action>,
}

/// A zone of the connection tracker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CtZone {
    /// By number.
    Immediate(u16),
    /// By a field.
    Field(Subfield),
}

/// Arguments of `nat`. Without a direction the connection's own translation is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Nat {
    /// Whether sources are translated. Not together with `destination`.
    pub source: bool,
    /// Whether destinations are translated.
    pub destination: bool,
    /// Whether a client keeps its translation after a reboot.
    pub persistent: bool,
    /// Whether ports are chosen by a hash. Not together with `random`.
    pub hash: bool,
    /// Whether ports are chosen at random.
    pub random: bool,
    /// The first and last address.
    pub addresses: Option<(IpAddr, Option<IpAddr>)>,
    /// The first and last port.
    pub ports: Option<(u16, Option<u16>)>,
}

impl Action {
    /// Whether this is an instruction of OpenFlow 1.1 and later. `meter` is one in 1.3 and 1.4.
    #[must_use]
    pub const fn is_instruction(&self) -> bool {
        matches!(
            self,
            Self::Meter(_)
                | Self::ClearActions
                | Self::WriteActions(_)
                | Self::WriteMetadata { .. }
                | Self::GotoTable(_)
        )
    }

    /// The actions within this one.
    #[must_use]
    pub fn nested(&self) -> &[Self] {
        match self {
            Self::Clone(actions) | Self::WriteActions(actions) => actions,
            Self::Ct(ct) => &ct.actions,
            _ => &[],
        }
    }
}

const _: () = assert!(size_of::<Action>() <= 32);
