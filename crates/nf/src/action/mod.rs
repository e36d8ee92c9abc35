//! The action language: what happens to a packet, one step after the other.
//!
//! What: a [`Program`] is a list of [`Action`]s, complete in itself; whoever carries it out decides nothing. It can say
//! what the data path of Open vSwitch can say (ovs-actions(7), `enum ovs_action_attr` of linux/openvswitch.h).
//!
//! Invariants: an action is 16 octets and cheap to clone; what is large lies behind an `Arc`. Programs inside programs
//! are finite, because they are values.

mod connection;
mod parts;

pub use connection::{Connect, Nat, NatRange};
pub use parts::{Branch, Hashing, Punt, Sample};

use crate::tunnel::Encapsulation;
use crate::{NshHeader, Reason, Rewrite};
use netloom_mem::PortNumber;
use std::sync::Arc;

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Action {
    /// Sends the packet as it is now. The number may be that of a bond, or of a tunnel: then the packet leaves in headers
    /// that are made of the tunnel's settings and of the packet's `tun_*` fields.
    Output(PortNumber),
    /// Puts a VLAN tag in front of the others.
    PushVlan {
        /// EtherType of the tag: 0x8100 or 0x88a8.
        tpid: u16,
        /// Priority, drop eligibility and VLAN.
        tci: u16,
    },
    /// Takes the outer VLAN tag.
    PopVlan,
    /// Writes the outer VLAN tag.
    SetVlan(u16),
    /// Gives a copy to the brain, which speaks a protocol on this port.
    Brain,
    /// Asks a token bucket of the worker; the program ends here for a packet that is one too many. A number without a
    /// bucket lets everything pass.
    Meter(u32),
    /// Sends a copy of the packet as it is now to a collector ([`crate::remote`]), by a stream of the worker. A number
    /// without a stream sends nothing.
    Remote {
        /// The stream.
        number: u32,
        /// The VLAN that the packet is in; 0 for none.
        vlan: u16,
    },
    /// Counts the packet as lost, though copies of it were sent.
    Lose(Reason),
    /// Writes fields, of the packet and of what travels beside it (`pkt_mark`, `tun_*`, `metadata`, registers). Fields of
    /// a layer that the packet does not have stay as they are.
    Set(Arc<Rewrite>),
    /// Puts an MPLS label stack entry in front of the network layer, behind VLAN tags.
    PushMpls {
        /// EtherType of the packet from now on: 0x8847 or 0x8848.
        ethertype: u16,
        /// Label (20), traffic class (3), bottom of stack (1), time to live (8).
        entry: u32,
    },
    /// Takes the outer label stack entry; nothing happens to a packet that has none.
    PopMpls {
        /// EtherType of the packet from now on.
        ethertype: u16,
    },
    /// Puts an Ethernet header before a packet that has none (`packet_type` names its EtherType).
    PushEthernet {
        /// Destination.
        destination: [u8; 6],
        /// Source.
        source: [u8; 6],
    },
    /// Takes the Ethernet header, which may have no VLAN tags; `packet_type` names the EtherType from now on.
    PopEthernet,
    /// Puts a network service header before the packet (RFC 8300): the EtherType or `packet_type` becomes 0x894f.
    PushNsh(Arc<NshHeader>),
    /// Takes the network service header.
    PopNsh,
    /// Puts the headers of a tunnel before the packet. From then on it is the outer packet. Fields of the tunnel and the
    /// inner packet's are forgotten.
    Encapsulate(Arc<Encapsulation>),
    /// Takes the headers of a tunnel, and has the packet looked up again as one that came in through this port, with the
    /// tunnel's fields in its key. The program ends here for the packet.
    Decapsulate(PortNumber),
    /// Sends the packet through connection tracking: from here on its `ct_*` fields tell what is known of its connection
    /// for those who look it up again ([`Action::Recirculate`]).
    Connect(Arc<Connect>),
    /// Forgets what connection tracking said about the packet.
    Disconnect,
    /// Has the packet, as it is now, looked up again, with this recirculation number in its key, and `ct_*`, `tun_*`,
    /// `pkt_mark`, `dp_hash`, `metadata`, registers as they are now. What follows is done with a copy.
    Recirculate(u32),
    /// Computes `dp_hash`.
    Hash(Hashing),
    /// Carries out a program on a copy of some packets, chosen by chance.
    Sample(Arc<Sample>),
    /// Carries out a program on a copy; the packet and what travels beside it stay as they are.
    Clone(Arc<Program>),
    /// The next [`Action::Output`], [`Action::Brain`] or [`Action::Punt`] sends no more than so many octets.
    Truncate(u32),
    /// Goes on with one of two programs, by the length of the packet. What follows is done too, with the packet as it was
    /// before.
    Branch(Arc<Branch>),
    /// From here on the packet is for this queue of the ports that it leaves by ([`crate::shaper`]); 0 for none.
    Queue(u32),
    /// Asks a meter that all workers share ([`crate::SharedMeter`]); the program ends here for a packet that one of its
    /// bands drops. A number without a meter lets everything pass.
    Police(u32),
    /// Gives a copy to the brain, with what it wants to know about it.
    Punt(Arc<Punt>),
    /// Ends the program: the packet is lost, for this reason.
    Drop {
        /// Why.
        reason: Reason,
        /// Who decided, for those who watch: the number of a rule; 0 for none.
        origin: u64,
    },
}

const _: () = assert!(size_of::<Action>() == 16);

impl Action {
    /// Whether the packet is another one after it, so that what was staged before must leave first.
    #[must_use]
    pub const fn changes(&self) -> bool {
        matches!(
            self,
            Self::PushVlan { .. }
                | Self::PopVlan
                | Self::SetVlan(_)
                | Self::Set(_)
                | Self::PushMpls { .. }
                | Self::PopMpls { .. }
                | Self::PushEthernet { .. }
                | Self::PopEthernet
                | Self::PushNsh(_)
                | Self::PopNsh
                | Self::Encapsulate(_)
                | Self::Decapsulate(_)
                | Self::Connect(_)
                | Self::Recirculate(_)
                | Self::Police(_)
        )
    }

    /// Whether it is one of the few that need nothing beside the packet.
    #[must_use]
    pub const fn is_plain(&self) -> bool {
        matches!(
            self,
            Self::Output(_)
                | Self::PushVlan { .. }
                | Self::PopVlan
                | Self::SetVlan(_)
                | Self::Brain
                | Self::Meter(_)
                | Self::Remote { .. }
                | Self::Lose(_)
                | Self::Queue(_)
        )
    }

    /// Whether something other than this packet sees it done: a packet leaves, is heard, is counted, is remembered.
    #[must_use]
    fn has_effect(&self) -> bool {
        match self {
            Self::Output(_)
            | Self::Brain
            | Self::Remote { .. }
            | Self::Decapsulate(_)
            | Self::Connect(_)
            | Self::Recirculate(_)
            | Self::Police(_)
            | Self::Punt(_)
            | Self::Drop { .. } => true,
            Self::Sample(sample) => sample.program.has_effect(),
            Self::Clone(program) => program.has_effect(),
            Self::Branch(branch) => branch.longer.has_effect() || branch.otherwise.has_effect(),
            _ => false,
        }
    }
}

/// What a program amounts to, so that the common ones need no loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shape {
    /// The packet is dropped.
    Drop(Reason),
    /// The packet leaves unchanged through one port.
    Output(PortNumber),
    /// The packet leaves in the headers of a tunnel through one port: [`Action::Encapsulate`] and [`Action::Output`].
    Tunnel(PortNumber),
    /// Any other program of [plain](Action::is_plain) actions, of copies for the brain, and of [`Action::Set`] of the packet's
    /// fields before anything moves its headers.
    Steps {
        /// How many steps come before the packet is changed no more: what is sent from there on can wait for the
        /// rest of the batch.
        changing: u16,
    },
    /// Anything else.
    Composed {
        /// As in [`Shape::Steps`].
        changing: u16,
    },
}

/// Whether the actions are those of [`Shape::Steps`].
fn are_plain(actions: &[Action]) -> bool {
    let mut moved = false;
    actions.iter().all(|action| {
        moved |= matches!(action, Action::PushVlan { .. } | Action::PopVlan);
        match action {
            Action::Set(rewrite) => !moved && rewrite.beside().is_empty(),
            // Copies of packets as they are, of all or of some.
            Action::Sample(sample) => {
                sample.program.actions().iter().all(|action| matches!(action, Action::Punt(_)))
            }
            Action::Punt(_) => true,
            _ => action.is_plain(),
        }
    })
}

/// What happens to the packets of a flow.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Program {
    actions: Vec<Action>,
    shape: Shape,
    otherwise: Reason,
}

impl Program {
    /// A program that drops.
    #[must_use]
    pub const fn lose(reason: Reason) -> Self {
        Self { actions: Vec::new(), shape: Shape::Drop(reason), otherwise: Reason::NoPorts }
    }

    /// A program of some steps; `otherwise` is why the packet is dropped if they send it nowhere.
    #[must_use]
    pub fn new(mut actions: Vec<Action>, otherwise: Reason) -> Self {
        if !actions.iter().any(Action::has_effect) {
            return Self::lose(otherwise);
        }
        // Behind the last step nobody needs the packet as it was: it leaves in the tunnel itself, not a copy.
        if let Some(Action::Clone(copy)) = actions.last()
            && let Some(Action::Encapsulate(_)) = copy.actions.first()
        {
            let copy = copy.clone();
            actions.pop();
            actions.extend_from_slice(&copy.actions);
        }
        let changing = actions.iter().rposition(Action::changes).map_or(0, |last| last + 1);
        let changing = u16::try_from(changing).unwrap_or(u16::MAX);
        let shape = match actions[..] {
            [Action::Output(port)] => Shape::Output(port),
            [Action::Drop { reason, origin: 0 }] => Shape::Drop(reason),
            [Action::Encapsulate(_), Action::Output(port)] => Shape::Tunnel(port),
            _ if are_plain(&actions) => Shape::Steps { changing },
            _ => Shape::Composed { changing },
        };
        // Other shapes always send; two of them that do the same are equal.
        let otherwise = if matches!(shape, Shape::Composed { .. }) { otherwise } else { Reason::NoPorts };
        // It is kept for each of many flows, and most have one step.
        actions.shrink_to_fit();
        Self { actions, shape, otherwise }
    }

    /// The steps; none for a program that drops.
    #[must_use]
    pub fn actions(&self) -> &[Action] {
        &self.actions
    }

    /// What it amounts to.
    #[inline]
    #[must_use]
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// How many steps come before the packet is changed no more.
    #[must_use]
    pub const fn changing(&self) -> usize {
        match self.shape {
            Shape::Drop(_) | Shape::Output(_) => 0,
            Shape::Tunnel(_) => 1,
            Shape::Steps { changing } | Shape::Composed { changing } => changing as usize,
        }
    }

    /// Why a packet is lost that the steps of a [composed](Shape::Composed) program sent nowhere.
    #[must_use]
    pub const fn otherwise(&self) -> Reason {
        self.otherwise
    }

    fn has_effect(&self) -> bool {
        !self.actions.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tunnel::{Outer, Shim};

    #[test]
    fn shapes() {
        let new = |actions: &[Action]| Program::new(actions.to_vec(), Reason::NoPorts);
        assert_eq!(new(&[]).shape(), Shape::Drop(Reason::NoPorts));
        assert_eq!(new(&[Action::PopVlan]).shape(), Shape::Drop(Reason::NoPorts));
        assert_eq!(new(&[Action::Output(3)]).shape(), Shape::Output(3));
        let program = new(&[Action::PopVlan, Action::Output(3)]);
        assert_eq!((program.shape(), program.actions().len()), (Shape::Steps { changing: 1 }, 2));
        let headers = Encapsulation::new(
            Outer {
                to_mac: netloom_wire::MacAddr::new([2; 6]),
                from_mac: netloom_wire::MacAddr::new([4; 6]),
                tag: None,
                to: [192, 0, 2, 1].into(),
                from: [192, 0, 2, 2].into(),
                tos: 0,
                ttl: 64,
                dont_fragment: true,
                label: 0,
            },
            Shim::Vxlan { port: 4789, vni: 7, gbp: None, checksum: false },
        );
        let push = Action::Encapsulate(Arc::new(headers.unwrap()));
        let tunnel = new(&[push.clone(), Action::Output(3)]);
        assert_eq!((tunnel.shape(), tunnel.changing()), (Shape::Tunnel(3), 1));
        let copy = Action::Clone(Arc::new(tunnel.clone()));
        assert_eq!(new(std::slice::from_ref(&copy)), tunnel);
        let both = new(&[copy.clone(), Action::Output(4)]);
        assert_eq!((both.actions().len(), both.changing()), (2, 0));
        assert_eq!(new(&[Action::Output(4), copy]).actions(), [Action::Output(4), push, Action::Output(3)]);
        let program = new(&[Action::Output(2), Action::PopMpls { ethertype: 0x800 }, Action::Output(3)]);
        assert_eq!(program.shape(), Shape::Composed { changing: 2 });
    }

    #[test]
    fn a_program_without_any_effect_is_a_drop() {
        let nothing = Arc::new(Program::new(vec![Action::PopEthernet], Reason::Rule));
        let program =
            Program::new(vec![Action::Clone(nothing), Action::Hash(Hashing::default())], Reason::Rule);
        assert_eq!(program, Program::lose(Reason::Rule));
        let something = Arc::new(Program::new(vec![Action::Police(3)], Reason::Rule));
        let program = Program::new(vec![Action::Clone(something)], Reason::Rule);
        assert_eq!(program.shape(), Shape::Composed { changing: 0 });
        let drop = Program::new(vec![Action::Drop { reason: Reason::Rule, origin: 0 }], Reason::NoPorts);
        assert_eq!(drop.shape(), Shape::Drop(Reason::Rule));
    }
}
