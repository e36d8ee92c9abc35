//! The action language: what happens to a packet, one step after the other.

use crate::Reason;
use netloom_mem::PortNumber;

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Sends the packet as it is now.
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
}

impl Action {
    /// Whether the packet is another one after it.
    #[must_use]
    pub const fn changes(self) -> bool {
        matches!(self, Self::PushVlan { .. } | Self::PopVlan | Self::SetVlan(_))
    }
}

/// What a program amounts to, so that the common ones need no loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shape {
    /// The packet is dropped.
    Drop(Reason),
    /// The packet leaves unchanged through one port.
    Output(PortNumber),
    /// Anything else.
    Steps {
        /// How many steps come before the packet is changed no more: what is sent from there on can wait for the
        /// rest of the batch.
        changing: u16,
    },
}

/// What happens to the packets of a flow.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Program {
    actions: Vec<Action>,
    shape: Shape,
}

impl Program {
    /// A program that drops.
    #[must_use]
    pub const fn lose(reason: Reason) -> Self {
        Self { actions: Vec::new(), shape: Shape::Drop(reason) }
    }

    /// A program of some steps; `otherwise` is why the packet is dropped if they send it nowhere.
    #[must_use]
    pub fn new(actions: Vec<Action>, otherwise: Reason) -> Self {
        let leaves = actions
            .iter()
            .any(|action| matches!(action, Action::Output(_) | Action::Brain | Action::Remote { .. }));
        if !leaves {
            return Self::lose(otherwise);
        }
        let shape = match actions[..] {
            [Action::Output(port)] => Shape::Output(port),
            _ => {
                let changing = actions.iter().rposition(|action| action.changes()).map_or(0, |last| last + 1);
                Shape::Steps { changing: u16::try_from(changing).unwrap_or(u16::MAX) }
            }
        };
        Self { actions, shape }
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        assert_eq!(Program::new(vec![], Reason::NoPorts).shape(), Shape::Drop(Reason::NoPorts));
        assert_eq!(
            Program::new(vec![Action::PopVlan], Reason::NoPorts).shape(),
            Shape::Drop(Reason::NoPorts)
        );
        assert_eq!(Program::new(vec![Action::Output(3)], Reason::NoPorts).shape(), Shape::Output(3));
        let program = Program::new(vec![Action::PopVlan, Action::Output(3)], Reason::NoPorts);
        assert_eq!((program.shape(), program.actions().len()), (Shape::Steps { changing: 1 }, 2));
    }
}
