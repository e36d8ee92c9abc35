//! Actions on tunnel metadata, and the lengths that a bridge has given to the options.

use super::{Action, CtZone, LearnSource, LearnTarget, SetField};
use crate::openflow::error::OfError;
use crate::openflow::field::FieldId;
use crate::openflow::value::{Subfield, Value};

/// Checks actions on tunnel metadata against the options that a bridge knows (`lengths` in octets, zero for none), and
/// gives values the options' lengths. Actions come off the wire without it, since a reader of a switch's messages does
/// not know its options.
///
/// # Errors
///
/// `NXFMFC_INVALID_TLV_FIELD` for an option that the bridge does not know, `OFPBAC_BAD_SET_LEN` for bits beyond
/// its end.
pub fn fit_tun_metadata(actions: &mut [Action], lengths: &[u8; 64]) -> Result<(), OfError> {
    actions.iter_mut().try_for_each(|action| fit(action, lengths))
}

fn length(field: FieldId, lengths: &[u8; 64]) -> Result<Option<usize>, OfError> {
    let Some(number) = field.as_tun_metadata() else { return Ok(None) };
    match lengths[usize::from(number) & 63] {
        0 => Err(OfError::NXFMFC_INVALID_TLV_FIELD),
        octets => Ok(Some(usize::from(octets))),
    }
}

fn fits(bits: Subfield, lengths: &[u8; 64]) -> Result<(), OfError> {
    match length(bits.field, lengths)? {
        Some(octets) if usize::from(bits.offset) + usize::from(bits.bits) > octets * 8 => {
            Err(OfError::OFPBAC_BAD_SET_LEN)
        }
        _ => Ok(()),
    }
}

fn fit_set(set: &mut SetField, lengths: &[u8; 64]) -> Result<(), OfError> {
    let Some(octets) = length(set.field, lengths)? else { return Ok(()) };
    let exact = set.mask.is_all_ones();
    set.mask = if exact { Value::ones(octets) } else { set.mask.resized(octets) };
    set.value = set.value.resized(octets).and(&set.mask);
    Ok(())
}

fn fit(action: &mut Action, lengths: &[u8; 64]) -> Result<(), OfError> {
    match action {
        Action::SetField(set) => fit_set(set, lengths),
        Action::OutputField { source: bits, .. }
        | Action::Load { target: bits, .. }
        | Action::Push(bits)
        | Action::Pop(bits)
        | Action::CheckPacketLarger { target: bits, .. } => fits(*bits, lengths),
        Action::Move { source, target, .. } => fits(*source, lengths).and_then(|()| fits(*target, lengths)),
        Action::DeleteField(field) => length(*field, lengths).map(|_| ()),
        Action::Bundle(bundle) => bundle.target.map_or(Ok(()), |bits| fits(bits, lengths)),
        Action::Multipath(multipath) => fits(multipath.target, lengths),
        Action::Clone(actions) | Action::WriteActions(actions) => fit_tun_metadata(actions, lengths),
        Action::Ct(ct) => {
            if let CtZone::Field(bits) = ct.zone {
                fits(bits, lengths)?;
            }
            fit_tun_metadata(&mut ct.actions, lengths)
        }
        Action::Learn(learn) => {
            if let Some(bits) = learn.result {
                fits(bits, lengths)?;
            }
            learn.specs.iter().try_for_each(|spec| {
                if let LearnSource::Field(bits) = spec.source {
                    fits(bits, lengths)?;
                }
                match spec.target {
                    LearnTarget::Match(bits) | LearnTarget::Load(bits) => fits(bits, lengths),
                    LearnTarget::Output => Ok(()),
                }
            })
        }
        _ => Ok(()),
    }
}
