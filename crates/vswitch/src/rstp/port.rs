//! A port of the tree: its variables (IEEE 802.1D-2004, 17.19) and what concerns it alone.

use super::{Priority, Times, TreeOptions, UNITS};
use netloom_mem::PortNumber;
use netloom_wire::header::stp::{Repr, Role as SaidRole, Vector};
use serde::{Deserialize, Serialize};

/// Seconds in which a port that hears nothing may be an edge, and in which a version of the protocol is kept.
pub(super) const MIGRATE: u16 = 3;

/// Options of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortOptions {
    /// Cost of the path through it (table 17-3).
    pub cost: u32,
    /// The first 4 bits of its name: smaller is better. Legal values: 0 to 240 in steps of 16.
    pub priority: u8,
    /// Nobody but stations is behind it.
    pub edge: bool,
    /// It becomes an edge when it hears no bridge.
    pub auto_edge: bool,
    /// It is shut when it hears a bridge.
    pub guard: bool,
}

impl Default for PortOptions {
    fn default() -> Self {
        Self { cost: 2000, priority: 128, edge: false, auto_edge: true, guard: false }
    }
}

/// What a port is in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Down.
    Disabled,
    /// The way to the root.
    Root,
    /// The segment's way to the root.
    Designated,
    /// Another way to the root.
    Alternate,
    /// Another way to a segment that this bridge serves already.
    Backup,
}

/// Whose information a port has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Info {
    Disabled,
    Aged,
    Mine,
    Received,
}

/// States of the topology change machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Change {
    Inactive,
    Learning,
    Active,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "the standard's variables")]
pub(super) struct Port {
    pub(super) number: PortNumber,
    pub(super) options: PortOptions,
    pub(super) up: bool,
    pub(super) guarded: bool,
    pub(super) role: Role,
    pub(super) selected_role: Role,
    pub(super) info: Info,
    pub(super) change: Change,
    pub(super) priority: Priority,
    pub(super) times: Times,
    pub(super) designated: Priority,
    pub(super) designated_times: Times,
    /// What was received and not looked at yet.
    #[serde(skip)]
    pub(super) heard: Option<Repr>,
    pub(super) agree: bool,
    pub(super) agreed: bool,
    pub(super) disputed: bool,
    pub(super) proposed: bool,
    pub(super) proposing: bool,
    pub(super) sync: bool,
    pub(super) synced: bool,
    pub(super) re_root: bool,
    pub(super) reselect: bool,
    pub(super) selected: bool,
    pub(super) update: bool,
    pub(super) learn: bool,
    pub(super) forward: bool,
    pub(super) learning: bool,
    pub(super) forwarding: bool,
    pub(super) oper_edge: bool,
    pub(super) new_info: bool,
    pub(super) rapid: bool,
    pub(super) tc_prop: bool,
    pub(super) tc_ack: bool,
    pub(super) heard_tc: bool,
    pub(super) heard_tcn: bool,
    pub(super) heard_tc_ack: bool,
    pub(super) flush: bool,
    pub(super) sent: u8,
    pub(super) edge_delay: u16,
    pub(super) fd_while: u16,
    pub(super) hello_when: u16,
    pub(super) migrate_delay: u16,
    pub(super) rb_while: u16,
    pub(super) info_while: u16,
    pub(super) rr_while: u16,
    pub(super) tc_while: u16,
}

impl Port {
    pub(super) fn new(number: PortNumber, options: PortOptions, tree: &TreeOptions) -> Self {
        let own = tree.bridge;
        let priority = Priority { root: own, cost: 0, bridge: own, port: 0 };
        let times = super::own_times(tree);
        Self {
            number,
            options,
            up: false,
            guarded: false,
            role: Role::Disabled,
            selected_role: Role::Disabled,
            info: Info::Disabled,
            change: Change::Inactive,
            priority,
            times,
            designated: priority,
            designated_times: times,
            heard: None,
            agree: false,
            agreed: false,
            disputed: false,
            proposed: false,
            proposing: false,
            sync: false,
            synced: true,
            re_root: false,
            reselect: true,
            selected: false,
            update: false,
            learn: false,
            forward: false,
            learning: false,
            forwarding: false,
            oper_edge: options.edge,
            new_info: true,
            rapid: true,
            tc_prop: false,
            tc_ack: false,
            heard_tc: false,
            heard_tcn: false,
            heard_tc_ack: false,
            flush: false,
            sent: 0,
            edge_delay: MIGRATE,
            fd_while: tree.max_age,
            hello_when: 0,
            migrate_delay: MIGRATE,
            rb_while: 0,
            info_while: 0,
            rr_while: 0,
            tc_while: 0,
        }
    }

    pub(super) const fn enabled(&self) -> bool {
        self.up && !self.guarded
    }

    /// Its name in units: 4 bits of priority, 12 of number.
    pub(super) const fn id(&self) -> u16 {
        (self.options.priority as u16 & 0xf0) << 8 | (self.number & 0xfff) as u16
    }

    /// How long it waits on the way to forwarding (17.20.5).
    pub(super) const fn forward_delay(&self) -> u16 {
        if self.rapid { self.designated_times.hello } else { self.designated_times.forward_delay }
    }

    /// Port receive machine (17.23): a unit is kept until the information machine takes it.
    pub(super) fn message(&mut self, unit: &Repr) {
        let rapid = matches!(unit, Repr::Rapid { .. });
        // Port protocol migration machine (17.24).
        if self.migrate_delay == 0 && self.rapid != rapid {
            (self.rapid, self.migrate_delay) = (rapid, MIGRATE);
        }
        self.oper_edge = false;
        self.edge_delay = MIGRATE;
        self.heard = Some(*unit);
    }

    /// Port timers machine (17.22).
    pub(super) fn second(&mut self) {
        for timer in [
            &mut self.edge_delay,
            &mut self.fd_while,
            &mut self.hello_when,
            &mut self.migrate_delay,
            &mut self.rb_while,
            &mut self.info_while,
            &mut self.rr_while,
            &mut self.tc_while,
        ] {
            *timer = timer.saturating_sub(1);
        }
        self.sent = self.sent.saturating_sub(1);
    }

    /// Longer as long as the topology changes (17.21.7).
    pub(super) fn new_tc_while(&mut self) {
        if self.tc_while == 0 {
            self.tc_while = if self.rapid {
                self.new_info = true;
                self.designated_times.hello + 1
            } else {
                self.designated_times.max_age + self.designated_times.forward_delay
            };
        }
    }

    /// The unit that it would send now (17.21.19 to 17.21.21); none for a role that has nothing to say.
    pub(super) fn unit(&self) -> Option<Repr> {
        let said = |value: &Priority, times: &Times| Vector {
            root: value.root,
            root_path_cost: value.cost,
            bridge: value.bridge,
            port: value.port,
            message_age: times.age * UNITS,
            max_age: times.max_age * UNITS,
            hello_time: times.hello * UNITS,
            forward_delay: times.forward_delay * UNITS,
        };
        let vector = said(&self.designated, &self.designated_times);
        match (self.rapid, self.role) {
            (_, Role::Disabled) => None,
            (true, role) => Some(Repr::Rapid {
                topology_change: self.tc_while != 0,
                proposal: self.proposing,
                role: match role {
                    Role::Root => SaidRole::Root,
                    Role::Designated => SaidRole::Designated,
                    _ => SaidRole::AlternateOrBackup,
                },
                learning: self.learning,
                forwarding: self.forwarding,
                agreement: self.agree,
                vector,
            }),
            (false, Role::Designated) => Some(Repr::Configuration {
                topology_change: self.tc_while != 0,
                topology_change_acknowledged: self.tc_ack,
                vector,
            }),
            (false, Role::Root) => Some(Repr::TopologyChangeNotification),
            (false, _) => None,
        }
    }
}
