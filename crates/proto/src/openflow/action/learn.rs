//! `learn` on the wire.

use super::read::{header_field, nxm_field};
use super::write::{Writing, long_header, short_header};
use super::{Action, Learn, LearnSource, LearnSpec, LearnTarget};
use crate::openflow::codec::{Reader, Writer, flag};
use crate::openflow::error::OfError;
use crate::openflow::value::{Subfield, Value};

const SEND_FLOW_REM: u16 = 1;
const DELETE_LEARNED: u16 = 2;
const WRITE_RESULT: u16 = 4;
/// No table: a flow cannot be added to all of them.
const ALL_TABLES: u8 = 0xff;

/// Parts of a specification's first 16 bits (`NX_LEARN_*`).
const BITS: u16 = 0x3ff;
const IMMEDIATE: u16 = 1 << 13;
const TARGET: u16 = 3 << 11;
const TARGET_LOAD: u16 = 1 << 11;
const TARGET_OUTPUT: u16 = 2 << 11;
/// Octets of a field and an offset.
const SUBFIELD: usize = 6;

pub(super) fn read(body: &mut Reader<'_>, extended: bool) -> Result<Action, OfError> {
    let bad = OfError::OFPBAC_BAD_ARGUMENT;
    if extended && body.rest().get(28..30).is_some_and(|padding| padding != [0, 0]) {
        return Err(OfError::NXBAC_MUST_BE_ZERO);
    }
    let (idle_timeout, hard_timeout, priority) = (body.u16()?, body.u16()?, body.u16()?);
    let (cookie, flags, table) = (body.u64()?, body.u16()?, body.u8()?);
    body.zeros(1, bad)?;
    let (fin_idle_timeout, fin_hard_timeout) = (body.u16()?, body.u16()?);
    let known = SEND_FLOW_REM | DELETE_LEARNED | if extended { WRITE_RESULT } else { 0 };
    if table == ALL_TABLES || flags & !known != 0 {
        return Err(bad);
    }
    let (mut limit, mut result) = (0, None);
    if extended {
        limit = body.u32()?;
        let offset = body.u16()?;
        body.skip(2)?;
        if flags & WRITE_RESULT != 0 {
            let field = header_field(body)?;
            if !field.get().is_writable() {
                return Err(OfError::OFPBAC_BAD_SET_ARGUMENT);
            }
            let bit = Subfield { field, offset, bits: 1 };
            result = Some(bit).filter(|bit| bit.fits());
            if result.is_none() {
                return Err(OfError::OFPBAC_BAD_SET_LEN);
            }
        } else if offset != 0 {
            return Err(bad);
        }
    }
    let mut specs = Vec::new();
    while body.len() >= 2 {
        let header = body.u16()?;
        if header == 0 {
            break;
        }
        specs.push(spec(header, body)?);
    }
    body.zeros(body.len(), bad)?;
    Ok(Action::Learn(Box::new(Learn {
        idle_timeout,
        hard_timeout,
        priority,
        cookie,
        send_flow_rem: flags & SEND_FLOW_REM != 0,
        delete_learned: flags & DELETE_LEARNED != 0,
        table,
        fin_idle_timeout,
        fin_hard_timeout,
        limit,
        result,
        specs,
        extended,
    })))
}

/// Whether the bits lie within their fields is not looked at here but in [`super::check`], as in OVS.
fn spec(header: u16, body: &mut Reader<'_>) -> Result<LearnSpec, OfError> {
    let bad = OfError::OFPBAC_BAD_ARGUMENT;
    let bits = header & BITS;
    let subfield = |body: &mut Reader<'_>| -> Result<Subfield, OfError> {
        let field = nxm_field(body.u32()?)?;
        Ok(Subfield { field, offset: body.u16()?, bits })
    };
    let immediate = header & IMMEDIATE != 0;
    let target = header & TARGET;
    if target == TARGET || target == TARGET_OUTPUT && immediate {
        return Err(bad);
    }
    let of_source = if immediate { usize::from(bits).div_ceil(16) * 2 } else { SUBFIELD };
    let of_target = if target == TARGET_OUTPUT { 0 } else { SUBFIELD };
    if body.len() < of_source + of_target {
        return Err(OfError::OFPBAC_BAD_LEN);
    }
    let source = if immediate {
        let octets = usize::from(bits).div_ceil(8);
        body.skip(usize::from(bits).div_ceil(16) * 2 - octets)?;
        LearnSource::Immediate(Value::from_octets(body.take(octets)?).ok_or(bad)?)
    } else {
        LearnSource::Field(subfield(body)?)
    };
    let target = match target {
        TARGET_LOAD => LearnTarget::Load(subfield(body)?),
        TARGET_OUTPUT => LearnTarget::Output,
        _ => LearnTarget::Match(subfield(body)?),
    };
    // Without bits it could be the end as well.
    if bits == 0 {
        return Err(OfError::OFPBAC_BAD_SET_LEN);
    }
    Ok(LearnSpec { bits, source, target })
}

/// Whether the newer of the two forms is needed or was asked for.
pub(super) fn is_extended(learn: &Learn) -> bool {
    learn.extended || learn.limit != 0 || learn.result.is_some()
}

pub(super) fn write(writing: &Writing<'_>, learn: &Learn, out: &mut Writer) {
    out.u16(learn.idle_timeout);
    out.u16(learn.hard_timeout);
    out.u16(learn.priority);
    out.u64(learn.cookie);
    out.u16(
        flag(learn.send_flow_rem, SEND_FLOW_REM)
            | flag(learn.delete_learned, DELETE_LEARNED)
            | flag(learn.result.is_some(), WRITE_RESULT),
    );
    out.u8(learn.table);
    out.zeros(1);
    out.u16(learn.fin_idle_timeout);
    out.u16(learn.fin_hard_timeout);
    if is_extended(learn) {
        out.u32(learn.limit);
        out.u16(learn.result.map_or(0, |bit| bit.offset));
        out.zeros(2);
        if let Some(bit) = learn.result {
            long_header(writing, bit.field, None, out);
        }
    }
    for spec in &learn.specs {
        let (target, place) = match spec.target {
            LearnTarget::Match(place) => (0, Some(place)),
            LearnTarget::Load(place) => (TARGET_LOAD, Some(place)),
            LearnTarget::Output => (TARGET_OUTPUT, None),
        };
        let immediate = matches!(spec.source, LearnSource::Immediate(_));
        out.u16(spec.bits & BITS | flag(immediate, IMMEDIATE) | target);
        match &spec.source {
            LearnSource::Field(source) => {
                short_header(writing, source.field, out);
                out.u16(source.offset);
            }
            LearnSource::Immediate(value) => {
                let octets = usize::from(spec.bits).div_ceil(16) * 2;
                out.bytes(value.resized(octets).octets());
            }
        }
        if let Some(place) = place {
            short_header(writing, place.field, out);
            out.u16(place.offset);
        }
    }
}
