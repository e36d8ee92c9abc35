//! Whether actions may stand where they stand, whatever the packet is (OVS: `ofpacts_verify`).

use super::Action;
use crate::openflow::error::OfError;
use crate::openflow::field::FieldId;
use crate::openflow::version::Version;

/// The place of an action among the instructions of OpenFlow 1.1 and later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Meter,
    Apply,
    Clear,
    Write,
    Metadata,
    Goto,
}

const fn place(action: &Action, version: Version) -> Place {
    match action {
        Action::Meter(_) if (version as u8) < Version::V15 as u8 => Place::Meter,
        Action::ClearActions => Place::Clear,
        Action::WriteActions(_) => Place::Write,
        Action::WriteMetadata { .. } => Place::Metadata,
        Action::GotoTable(_) => Place::Goto,
        _ => Place::Apply,
    }
}

/// Whether the action is applied, and no instruction.
pub(super) fn is_applied(action: &Action, version: Version) -> bool {
    place(action, version) == Place::Apply
}

/// The field that an action changes, of those that set or copy fields.
const fn changed(action: &Action) -> Option<FieldId> {
    match action {
        Action::SetField(set) => Some(set.field),
        Action::Load { target, .. } | Action::Move { target, .. } => Some(target.field),
        _ => None,
    }
}

fn of_connection(field: FieldId) -> bool {
    field == FieldId::CT_MARK || field == FieldId::CT_LABEL
}

/// Whether a list of actions may be a flow's (`instructions`), or one of a packet-out, a bucket, or within `clone`.
///
/// # Errors
///
/// `NXBAC_BAD_CONJUNCTION`, `OFPBAC_BAD_SET_ARGUMENT`, `_UNSUPPORTED_ORDER`, `_BAD_TYPE`, `OFPBIC_UNSUP_INST`.
pub fn verify(actions: &[Action], version: Version, instructions: bool) -> Result<(), OfError> {
    let mut last = None;
    for action in actions {
        if matches!(action, Action::Conjunction { .. }) {
            let alone =
                actions.iter().all(|action| matches!(action, Action::Conjunction { .. } | Action::Note(_)));
            return if alone { Ok(()) } else { Err(OfError::NXBAC_BAD_CONJUNCTION) };
        }
        // What belongs to a connection is set within `ct`.
        if changed(action).is_some_and(of_connection) || matches!(action, Action::Nat(_)) {
            return Err(OfError::OFPBAC_BAD_SET_ARGUMENT);
        }
        let next = place(action, version);
        if last.is_some_and(|last| if last == Place::Apply { next < last } else { next <= last }) {
            return Err(OfError::OFPBAC_UNSUPPORTED_ORDER);
        }
        if !instructions && next != Place::Apply {
            return Err(OfError::OFPBIC_UNSUP_INST);
        }
        last = Some(next);
    }
    Ok(())
}

/// Whether the actions may be within `ct`: `nat`, and what changes the connection's mark and labels.
pub(super) fn verify_within_ct(actions: &[Action]) -> Result<(), OfError> {
    for action in actions {
        match (action, changed(action)) {
            (Action::Conjunction { .. }, _) => return Err(OfError::NXBAC_BAD_CONJUNCTION),
            (Action::Nat(_), _) => {}
            (_, Some(field)) if of_connection(field) => {}
            _ => return Err(OfError::OFPBAC_BAD_ARGUMENT),
        }
    }
    Ok(())
}

impl Action {
    /// Whether the action may be in an action set (OVS: `ofpact_is_allowed_in_actions_set`).
    #[must_use]
    pub const fn is_for_action_set(&self) -> bool {
        match self {
            Self::StripVlan
            | Self::PopVlan
            | Self::PopMpls(_)
            | Self::Decap { .. }
            | Self::Encap(_)
            | Self::PushMpls(_)
            | Self::PushVlan(_)
            | Self::DecTtl
            | Self::DecTtlIds(_)
            | Self::DecMplsTtl
            | Self::DecNshTtl
            | Self::Ct(_)
            | Self::CtClear
            | Self::Resubmit { .. }
            | Self::Output { .. }
            | Self::Group(_)
            | Self::SetField(_)
            | Self::Load { .. }
            | Self::Move { .. }
            | Self::SetEthDst(_)
            | Self::SetEthSrc(_)
            | Self::SetIpTos(_)
            | Self::SetIpEcn(_)
            | Self::SetIpTtl(_)
            | Self::SetIpv4Dst(_)
            | Self::SetIpv4Src(_)
            | Self::SetTpDst(_)
            | Self::SetTpSrc(_)
            | Self::SetMplsLabel(_)
            | Self::SetMplsTc(_)
            | Self::SetMplsTtl(_)
            | Self::SetQueue(_)
            | Self::SetTunnel(_)
            | Self::SetTunnel64(_)
            | Self::SetVlanPcp { .. }
            | Self::SetVlanVid { .. } => true,
            Self::OutputField { .. }
            | Self::OutputTruncated { .. }
            | Self::Controller(_)
            | Self::Enqueue { .. }
            | Self::Bundle(_)
            | Self::Push(_)
            | Self::Pop(_)
            | Self::DeleteField(_)
            | Self::PopQueue
            | Self::FinTimeout { .. }
            | Self::Learn(_)
            | Self::Conjunction { .. }
            | Self::Multipath(_)
            | Self::Note(_)
            | Self::Exit
            | Self::Sample(_)
            | Self::Nat(_)
            | Self::Clone(_)
            | Self::CheckPacketLarger { .. }
            | Self::DebugRecirc
            | Self::DebugSlow
            | Self::Meter(_)
            | Self::ClearActions
            | Self::WriteActions(_)
            | Self::WriteMetadata { .. }
            | Self::GotoTable(_) => false,
        }
    }
}
