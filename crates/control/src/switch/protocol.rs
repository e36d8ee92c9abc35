//! Requests and replies on the control socket: one JSON object per line.

use super::capture::CaptureRequest;
use super::configuration::Options;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Request {
    /// Makes a switch.
    SwitchAdd {
        /// Its name.
        name: String,
        /// Its options.
        #[serde(default)]
        options: Options,
    },
    /// Changes options of a switch; an empty value takes one away.
    SwitchSet {
        /// Its name.
        name: String,
        /// The options.
        options: Options,
    },
    /// Adds a mirror to a switch, or changes it; an empty value takes an option away.
    MirrorSet {
        /// The switch.
        switch: String,
        /// The mirror.
        name: String,
        /// Its options.
        #[serde(default)]
        options: Options,
    },
    /// Takes a mirror away.
    MirrorDelete {
        /// The switch.
        switch: String,
        /// The mirror.
        name: String,
    },
    /// Lists mirrors.
    MirrorList,
    /// Takes a switch and its ports away.
    SwitchDelete {
        /// Its name.
        name: String,
    },
    /// Lists switches.
    SwitchList,
    /// Adds a port to a switch.
    PortAdd {
        /// The switch.
        switch: String,
        /// The port.
        name: String,
        /// Its options.
        #[serde(default)]
        options: Options,
    },
    /// Changes options of a port that the bridge understands; an empty value takes one away.
    PortSet {
        /// The port.
        name: String,
        /// The options.
        options: Options,
    },
    /// Takes a port away.
    PortDelete {
        /// The port.
        name: String,
    },
    /// Lists ports with what they counted.
    PortList {
        /// Of this switch only.
        #[serde(default)]
        switch: Option<String>,
    },
    /// Lists bonds.
    BondList {
        /// Of this switch only.
        #[serde(default)]
        switch: Option<String>,
    },
    /// Tells what changes, as it does, until the client goes: after the reply each is a line ([`Event`]).
    Watch {
        /// Of these kinds only; all if there are none.
        #[serde(default)]
        kinds: Vec<EventKind>,
        /// Of this switch only.
        #[serde(default)]
        switch: Option<String>,
    },
    /// Lists stations.
    FdbList {
        /// Of this switch.
        switch: String,
    },
    /// Lists members of multicast groups and ports of multicast routers.
    GroupList {
        /// Of this switch.
        switch: String,
    },
    /// Fixes a station to a port.
    FdbAdd {
        /// The switch.
        switch: String,
        /// The station.
        mac: String,
        /// Its VLAN.
        #[serde(default)]
        vlan: u16,
        /// The port.
        port: String,
    },
    /// Forgets a station, or all that were learned.
    FdbDelete {
        /// The switch.
        switch: String,
        /// The station; all without.
        #[serde(default)]
        mac: Option<String>,
        /// Its VLAN.
        #[serde(default)]
        vlan: u16,
    },
    /// What would become of a frame that came in through a port; nothing is learned, counted or sent.
    Consider {
        /// The port.
        port: String,
        /// The frame, in hexadecimal digits.
        octets: String,
    },
    /// Lists the flows that workers know.
    FlowList,
    /// What the workers did.
    Workers,
    /// Sends packets that are seen, as they come, until the client goes: after the reply, each is a line
    /// ([`super::CapturedPacket`]) and its octets.
    Capture(CaptureRequest),
    /// Ends the daemon.
    Stop,
    /// Ends the daemon if it was started on demand and nothing demands it.
    StopUnused,
    /// Hands everything over to the client, which is the daemon's successor. What follows is no reply (see
    /// `succession`).
    TakeOver {
        /// The version that the successor speaks.
        version: u32,
    },
    /// Starts a successor and waits until it has taken over.
    Upgrade {
        /// The program; that of the daemon itself without.
        #[serde(default)]
        program: Option<PathBuf>,
    },
}

/// What a client gets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// It is done.
    Done,
    /// Switches.
    Switches(Vec<SwitchStatus>),
    /// Ports.
    Ports(Vec<PortStatus>),
    /// Mirrors.
    Mirrors(Vec<MirrorStatus>),
    /// Bonds.
    Bonds(Vec<BondStatus>),
    /// Changes follow.
    Watching,
    /// Stations.
    Stations(Vec<StationStatus>),
    /// Members of multicast groups.
    Groups(Vec<GroupStatus>),
    /// What would become of a frame.
    Considered {
        /// The ports by which it would leave.
        outputs: Vec<ConsideredPort>,
        /// Why it would be dropped, as a sentence about it.
        dropped: Option<String>,
        /// The switch has no tables of flows, or only the flow that makes it an ordinary one.
        ordinary: bool,
        /// The flows that decided, with their cookies.
        deciders: Vec<String>,
        /// Table by table, in Open vSwitch's words.
        trace: String,
    },
    /// Flows.
    Flows(Vec<Row>),
    /// Workers.
    Workers(Vec<WorkerStatus>),
    /// A capture runs at these ports.
    Capturing {
        /// Their names.
        ports: Vec<String>,
    },
    /// Another daemon is there now: ask again.
    Moved,
    /// It was not done.
    Failed {
        /// Why.
        message: String,
    },
}

/// A switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchStatus {
    /// Its name.
    pub name: String,
    /// Its options.
    pub options: Options,
    /// Its ports.
    pub ports: Vec<String>,
    /// How many stations it knows.
    pub stations: usize,
    /// The root of its spanning tree and the cost of the path to it; none without a tree.
    #[serde(default)]
    pub root: Option<String>,
}

/// A mirror.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MirrorStatus {
    /// Its switch.
    pub switch: String,
    /// Its name.
    pub name: String,
    /// Its options.
    pub options: Options,
}

/// A port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortStatus {
    /// Its name.
    pub name: String,
    /// Its switch.
    pub switch: String,
    /// Its number.
    pub number: u32,
    /// Its options.
    pub options: Options,
    /// How it is: `up`, or what keeps it from that.
    pub state: String,
    /// What its driver tells beside that, by name.
    #[serde(default)]
    pub details: BTreeMap<String, String>,
    /// What it is in the spanning tree; empty without one.
    #[serde(default)]
    pub tree: String,
    /// Who named itself behind it: name or address, and its port.
    #[serde(default)]
    pub neighbours: Vec<String>,
    /// Packets received.
    pub received: u64,
    /// Octets received.
    pub received_octets: u64,
    /// Packets sent.
    pub sent: u64,
    /// Octets sent.
    pub sent_octets: u64,
    /// Packets that could not be sent.
    pub unsent: u64,
    /// Packets received and dropped, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// What its simulated link counted, inwards and outwards; empty without one.
    #[serde(default)]
    pub links: Vec<LinkStatus>,
    /// The queues that it receives from.
    #[serde(default)]
    pub queues: Vec<QueueStatus>,
}

/// A queue that a port receives from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueStatus {
    /// The worker that serves it.
    pub worker: usize,
    /// Packets that came.
    pub packets: u64,
    /// Nanoseconds that were spent on them, estimated.
    pub busy_ns: u64,
}

/// One direction of a simulated link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkStatus {
    /// `in` or `out`.
    pub direction: String,
    /// Packets that were sent on it.
    pub packets: u64,
    /// Lost by its nature.
    pub lost: u64,
    /// Lost since it was full.
    pub full: u64,
    /// Arrived twice.
    pub duplicated: u64,
    /// Arrived with a wrong bit.
    pub corrupted: u64,
    /// Overtook others.
    pub overtaken: u64,
    /// Under way, as of the last second.
    pub under_way: u64,
}

/// A station.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StationStatus {
    /// Its VLAN.
    pub vlan: u16,
    /// Its address.
    pub mac: String,
    /// The port behind which it is.
    pub port: String,
    /// Seconds since it was heard; none for a fixed one.
    pub age: Option<u64>,
}

/// A port by which a frame would leave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsideredPort {
    /// The port.
    pub port: String,
    /// The VLAN tags that it has then, the outer one first.
    pub tags: Vec<u16>,
}

/// A member of a multicast group, or a multicast router.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupStatus {
    /// Its VLAN.
    pub vlan: u16,
    /// The group, or `router`.
    pub group: String,
    /// The port behind which it is.
    pub port: String,
    /// Seconds until it is forgotten; none for a router.
    pub seconds_left: Option<u64>,
}

/// A flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// What packets it is for.
    pub packets_like: String,
    /// What is done with them.
    pub actions: String,
    /// How many there were.
    pub packets: u64,
    /// Their octets.
    pub octets: u64,
    /// Milliseconds since the last.
    pub idle_ms: u64,
    /// The worker that knows it.
    #[serde(default)]
    pub worker: usize,
}

/// A worker.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkerStatus {
    /// The processor it is bound to.
    pub core: Option<usize>,
    /// Turns of its loop.
    pub turns: u64,
    /// Turns that found packets.
    pub busy_turns: u64,
    /// How often it slept.
    pub sleeps: u64,
    /// Nanoseconds it slept.
    pub asleep_ns: u64,
    /// Nanoseconds it spent on packets, estimated.
    pub busy_ns: u64,
    /// Nanoseconds since it was started.
    pub alive_ns: u64,
    /// Packets found by the signature cache.
    pub signature_hits: u64,
    /// Packets found by a subtable.
    pub subtable_hits: u64,
    /// Packets without a flow.
    pub misses: u64,
    /// Flows in its cache.
    pub flows: u64,
    /// Masks in its cache.
    pub masks: u64,
    /// Packets that it brought to others to be sent.
    pub crossed: u64,
    /// Packets for a port that is gone, that others brought from one that is gone too, or that a link held.
    pub lost: u64,
}

/// A bond.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BondStatus {
    /// Its name.
    pub name: String,
    /// Its switch.
    pub switch: String,
    /// How its members share the work.
    pub mode: String,
    /// A member sends.
    pub up: bool,
    /// Its members.
    pub members: Vec<MemberStatus>,
    /// Its options.
    pub options: Options,
}

/// A member of a bond.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberStatus {
    /// The port.
    pub name: String,
    /// How its link is: `up`, or what keeps it from that.
    pub state: String,
    /// What it does: `works`, `takes`, `waits`, `down`, or `no member` if it could not be made one.
    pub work: String,
    /// Frames that come through it are taken.
    pub takes: bool,
    /// Frames leave by it.
    pub sends: bool,
    /// What the protocol knows.
    pub lacp: Option<LacpStatus>,
}

/// What LACP knows of a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LacpStatus {
    /// State of the receive machine.
    pub receive: String,
    /// State of the mux machine.
    pub mux: String,
    /// Who we are: priority and system, key, priority and port.
    pub actor: String,
    /// Our state.
    pub actor_state: String,
    /// Who the partner is.
    pub partner: String,
    /// Its state.
    pub partner_state: String,
}

/// Kinds of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// A switch came, changed or went.
    Switch,
    /// A port came, changed or went, or is up or not.
    Port,
    /// A port's part in the spanning tree.
    Tree,
    /// A station was learned, has moved, or was forgotten.
    Fdb,
    /// A bond's member works or not.
    Bond,
    /// A mirror came, changed or went.
    Mirror,
    /// A simulated link came, changed or went.
    Link,
    /// So many changes were too many to tell.
    Missed,
}

/// A change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    /// Of which kind.
    pub kind: EventKind,
    /// At which switch.
    pub switch: String,
    /// What it is about: a port, a station, a mirror.
    pub subject: String,
    /// One word: `added`, `changed`, `removed`, `up`, `down`, `learned`, `moved`, `aged`, `forgotten`, `fixed`, a role, ...
    pub change: String,
    /// The rest, for people.
    pub detail: String,
}
