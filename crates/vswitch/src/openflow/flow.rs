//! Flows, and requests to change them.

use netloom_proto::openflow::message;
use netloom_proto::openflow::{Action, Match, OfPort};
use netloom_table::wheel::Timer;
use std::sync::Arc;

/// Any group, where one is asked for (`OFPG_ANY`).
pub const ANY_GROUP: u32 = 0xffff_ffff;
/// Priority of flows that say none.
pub const DEFAULT_PRIORITY: u16 = 0x8000;

/// Flags of a flow and of a request, as OpenFlow 1.5 numbers them (`OFPFF_*`), with two of our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Flags(pub u16);

impl Flags {
    /// Controllers hear of the flow's end.
    pub const SEND_FLOW_REM: Self = Self(1);
    /// The request fails if a flow of the same priority overlaps.
    pub const CHECK_OVERLAP: Self = Self(2);
    /// Counters of the flow that is replaced or changed begin anew.
    pub const RESET_COUNTS: Self = Self(4);
    /// Packets are not counted.
    pub const NO_PACKET_COUNTS: Self = Self(8);
    /// Octets are not counted.
    pub const NO_OCTET_COUNTS: Self = Self(16);
    /// Those that stay with a flow.
    const KEPT: u16 = 1 | 2 | 4 | 8 | 16;

    /// Whether it has all of another's.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Those that stay with a flow.
    #[must_use]
    pub const fn kept(self) -> Self {
        Self(self.0 & Self::KEPT)
    }
}

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Command {
    /// Adds a flow; one of the same match and priority is replaced.
    Add,
    /// Changes flows within the match.
    Modify,
    /// Changes the flow of exactly this match and priority.
    ModifyStrict,
    /// Deletes flows within the match.
    Delete,
    /// Deletes the flow of exactly this match and priority.
    DeleteStrict,
}

/// A request to add, change or delete flows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowMod {
    /// What it does.
    pub command: Command,
    /// The table; without, all tables for changes and deletions, and table 0 for additions.
    pub table: Option<u8>,
    /// What the flow matches, or the flows that are meant.
    pub matching: Match,
    /// The priority of the flow, or of the flow that is meant strictly.
    pub priority: u16,
    /// The flow's cookie; without, changed flows keep theirs.
    pub cookie: Option<u64>,
    /// The cookie of a flow that a change adds.
    pub new_cookie: u64,
    /// A change adds the flow if it finds none, unless the cookie is filtered (OpenFlow 1.0).
    pub may_add: bool,
    /// Only flows are changed or deleted whose cookie has this value under this mask.
    pub cookie_filter: (u64, u64),
    /// Seconds without packets after which it goes; 0 for never.
    pub idle_timeout: u16,
    /// Seconds after which it goes; 0 for never.
    pub hard_timeout: u16,
    /// The less important goes first when a table is full.
    pub importance: u16,
    /// Flags.
    pub flags: Flags,
    /// Only flows are deleted that send there; [`OfPort::NONE`] for all.
    pub out_port: OfPort,
    /// Only flows are deleted that use this group; [`ANY_GROUP`] for all.
    pub out_group: u32,
    /// What it does.
    pub actions: Arc<[Action]>,
    /// Which connection asked, for flow monitors; 0 for none.
    pub origin: u64,
}

impl FlowMod {
    /// A request of a command, for every packet and all flows.
    #[must_use]
    pub fn new(command: Command) -> Self {
        Self {
            command,
            table: Some(0),
            matching: Match::any(),
            priority: DEFAULT_PRIORITY,
            cookie: (command == Command::Add).then_some(0),
            new_cookie: 0,
            may_add: false,
            cookie_filter: (0, 0),
            idle_timeout: 0,
            hard_timeout: 0,
            importance: 0,
            flags: Flags::default(),
            out_port: OfPort::NONE,
            out_group: ANY_GROUP,
            actions: Arc::new([]),
            origin: 0,
        }
    }
}

/// What a message or the text of a flow says.
impl From<&message::FlowMod> for FlowMod {
    fn from(told: &message::FlowMod) -> Self {
        told.clone().into()
    }
}

/// As from a reference, without copies of the match and the actions.
impl From<message::FlowMod> for FlowMod {
    fn from(mut told: message::FlowMod) -> Self {
        let actions = std::mem::take(&mut told.actions);
        Self::with_actions(told, actions.into())
    }
}

impl FlowMod {
    /// What a message says, but for its actions: those of flows that do the same may be the same.
    #[must_use]
    pub fn with_actions(told: message::FlowMod, actions: Arc<[Action]>) -> Self {
        let command = match told.command {
            message::FlowCommand::Add => Command::Add,
            message::FlowCommand::Modify => Command::Modify,
            message::FlowCommand::ModifyStrict => Command::ModifyStrict,
            message::FlowCommand::Delete => Command::Delete,
            message::FlowCommand::DeleteStrict => Command::DeleteStrict,
        };
        let add = command == Command::Add;
        let flags = [
            (told.flags.contains(message::FlowFlags::SEND_REMOVED), Flags::SEND_FLOW_REM),
            (told.flags.contains(message::FlowFlags::CHECK_OVERLAP), Flags::CHECK_OVERLAP),
            (told.flags.contains(message::FlowFlags::RESET_COUNTS), Flags::RESET_COUNTS),
            (told.flags.contains(message::FlowFlags::NO_PACKET_COUNTS), Flags::NO_PACKET_COUNTS),
            (told.flags.contains(message::FlowFlags::NO_BYTE_COUNTS), Flags::NO_OCTET_COUNTS),
        ];
        let mut matching = told.matching;
        matching.normalise();
        Self {
            command,
            table: told.table.filter(|table| *table != message::ALL_TABLES),
            matching,
            priority: told.priority,
            cookie: if add {
                Some(told.cookie.unwrap_or(0))
            } else {
                told.cookie.filter(|_| told.modifies_cookie)
            },
            new_cookie: told.cookie.unwrap_or(0),
            // Versions from 1.2 on give changes no cookie, and add nothing.
            may_add: told.cookie.is_some(),
            cookie_filter: told.cookie_filter.unwrap_or((0, 0)),
            idle_timeout: told.idle_timeout,
            hard_timeout: told.hard_timeout,
            importance: told.importance,
            flags: Flags(flags.iter().filter(|(set, _)| *set).fold(0, |all, (_, flag)| all | flag.0)),
            out_port: told.out_port,
            out_group: told.out_group,
            actions,
            origin: 0,
        }
    }
}

/// A flow, but for what it matches.
#[derive(Debug, Clone)]
pub struct Flow {
    /// Its cookie.
    pub cookie: u64,
    /// What it does.
    pub actions: Arc<[Action]>,
    /// Nanoseconds when it was made.
    pub created: u64,
    /// When it was changed last.
    pub modified: u64,
    /// When a packet came last, or it was made.
    pub used: u64,
    /// Packets.
    pub packets: u64,
    /// Their octets.
    pub octets: u64,
    /// Seconds without packets after which it goes; 0 for never.
    pub idle_timeout: u16,
    /// Seconds after which it goes; 0 for never.
    pub hard_timeout: u16,
    /// The less important goes first when a table is full.
    pub importance: u16,
    /// Flags that stay.
    pub flags: Flags,
    pub(super) timer: Option<Timer>,
}

impl Flow {
    /// A flow without timeouts, that was just made.
    pub(super) fn new(actions: Arc<[Action]>, now: u64) -> Self {
        Self {
            cookie: 0,
            actions,
            created: now,
            modified: now,
            used: now,
            packets: 0,
            octets: 0,
            idle_timeout: 0,
            hard_timeout: 0,
            importance: 0,
            flags: Flags::default(),
            timer: None,
        }
    }

    /// Whether it sends to a port, as `out_port` of OpenFlow asks.
    #[must_use]
    pub fn sends_to(&self, port: OfPort) -> bool {
        Self::actions_send_to(&self.actions, port)
    }

    /// Whether actions send to a port, as [`Flow::sends_to`].
    #[must_use]
    pub fn actions_send_to(actions: &[Action], port: OfPort) -> bool {
        port == OfPort::NONE || any(actions, &|action| outputs_to(action, port))
    }

    /// Whether it uses a group.
    #[must_use]
    pub fn uses_group(&self, group: u32) -> bool {
        group == ANY_GROUP || any(&self.actions, &|action| *action == Action::Group(group))
    }

    /// Whether it uses a meter.
    #[must_use]
    pub fn uses_meter(&self, meter: u32) -> bool {
        any(&self.actions, &|action| match action {
            Action::Meter(other) => *other == meter,
            Action::Controller(controller) => controller.meter_id == meter,
            _ => false,
        })
    }
}

/// Whether one of some actions, or of those within them, is so.
pub(crate) fn any(actions: &[Action], is: &dyn Fn(&Action) -> bool) -> bool {
    actions.iter().any(|action| is(action) || any(action.nested(), is))
}

/// Whether an action sends to a port.
pub(crate) fn outputs_to(action: &Action, port: OfPort) -> bool {
    match action {
        Action::Output { port: to, .. }
        | Action::OutputTruncated { port: to, .. }
        | Action::Enqueue { port: to, .. } => *to == port,
        Action::Controller(_) => port == OfPort::CONTROLLER,
        _ => false,
    }
}

/// Which flows somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowFilter {
    /// Flows within this match.
    pub matching: Match,
    /// Of this priority only, and exactly of this match.
    pub strict: Option<u16>,
    /// Of this table only.
    pub table: Option<u8>,
    /// Whose cookie has this value under this mask.
    pub cookie: (u64, u64),
    /// That send there; [`OfPort::NONE`] for all.
    pub out_port: OfPort,
    /// That use this group; [`ANY_GROUP`] for all.
    pub out_group: u32,
    /// The switch's own flows, too.
    pub own: bool,
}

impl Default for FlowFilter {
    fn default() -> Self {
        Self {
            matching: Match::any(),
            strict: None,
            table: None,
            cookie: (0, 0),
            out_port: OfPort::NONE,
            out_group: ANY_GROUP,
            own: false,
        }
    }
}

/// A flow with what it matches, for those who list them.
#[derive(Debug, Clone)]
pub struct FlowView {
    /// Its table.
    pub table: u8,
    /// Its priority. Above 65,535 are the switch's own flows.
    pub priority: u32,
    /// What it matches.
    pub matching: Match,
    /// The rest.
    pub flow: Flow,
    /// Nanoseconds since it was made.
    pub duration: u64,
    /// Nanoseconds since the last packet.
    pub idle: u64,
    /// Nanoseconds since it was changed.
    pub age: u64,
}
