//! Actions off the wire.

use super::raw::{self, Raw};
use super::{
    Action, Bundle, BundleAlgorithm, Controller, HashFields, MAX_DEPTH, Multipath, MultipathAlgorithm,
    Sample, SampleDirection, SetField,
};
use crate::openflow::codec::Reader;
use crate::openflow::error::OfError;
use crate::openflow::field::{FieldId, WireHeader, flags};
use crate::openflow::matching::apart_from_exact;
use crate::openflow::port::OfPort;
use crate::openflow::value::{Subfield, Value};
use crate::openflow::version::Version;
use netloom_wire::MacAddr;
use std::net::Ipv4Addr;

/// EtherTypes of tags and labels.
const VLAN: u16 = 0x8100;
const SERVICE_VLAN: u16 = 0x88a8;
const MPLS: u16 = 0x8847;
const MPLS_UPSTREAM: u16 = 0x8848;
/// Octets of an Ethernet header.
const ETHERNET_HEADER: u32 = 14;
/// The most ports of a bundle.
const MAX_MEMBERS: usize = 2048;
/// Header of NXM's `in_port`, which a bundle says its members are.
pub(super) const MEMBER_TYPE: u32 = 2;

/// How actions are read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub(super) version: Version,
    /// Whether actions for tests are known.
    pub(super) debug: bool,
    /// How deep in other actions.
    pub(super) depth: usize,
}

impl Reading {
    /// Reads actions up to the end.
    pub(super) fn actions(self, octets: &[u8]) -> Result<Vec<Action>, OfError> {
        let mut from = Reader::with_error(octets, OfError::OFPBAC_BAD_LEN);
        let mut actions = Vec::new();
        while !from.is_empty() {
            let (raw, mut body) = raw::take(&mut from, self.version)?;
            actions.push(self.action(raw, &mut body)?);
        }
        Ok(actions)
    }

    /// Reads the actions within an action.
    pub(super) fn nested(self, body: &mut Reader<'_>) -> Result<Vec<Action>, OfError> {
        if self.depth >= MAX_DEPTH {
            return Err(OfError::OFPBAC_TOO_MANY);
        }
        let octets = body.take(body.len())?;
        if !octets.len().is_multiple_of(8) {
            return Err(OfError::OFPBRC_BAD_LEN);
        }
        Self { depth: self.depth + 1, ..self }.actions(octets)
    }

    fn action(self, raw: Raw, body: &mut Reader<'_>) -> Result<Action, OfError> {
        Ok(match raw {
            Raw::Output10 => {
                let port = output_port(OfPort(body.u16()?))?;
                Action::Output { port, max_len: body.u16()? }
            }
            Raw::Output11 => {
                let port = OfPort::from_wide(body.u32()?).ok_or(OfError::OFPBAC_BAD_OUT_PORT)?;
                Action::Output { port: output_port(port)?, max_len: body.u16()? }
            }
            Raw::SetVlanVid10 | Raw::SetVlanVid11 => {
                let vid = at_most(body.u16()?, 0xfff)?;
                Action::SetVlanVid { vid, push: raw == Raw::SetVlanVid10 }
            }
            Raw::SetVlanPcp10 | Raw::SetVlanPcp11 => {
                let pcp = at_most(body.u8()?, 7)?;
                Action::SetVlanPcp { pcp, push: raw == Raw::SetVlanPcp10 }
            }
            Raw::PushVlan => Action::PushVlan(one_of(body.u16()?, [VLAN, SERVICE_VLAN])?),
            Raw::StripVlan => Action::StripVlan,
            Raw::PopVlan => Action::PopVlan,
            Raw::SetEthSrc => Action::SetEthSrc(MacAddr::new(body.array()?)),
            Raw::SetEthDst => Action::SetEthDst(MacAddr::new(body.array()?)),
            Raw::SetIpv4Src => Action::SetIpv4Src(Ipv4Addr::from(body.u32()?)),
            Raw::SetIpv4Dst => Action::SetIpv4Dst(Ipv4Addr::from(body.u32()?)),
            Raw::SetIpTos => {
                let tos = body.u8()?;
                if tos & 3 != 0 {
                    return Err(OfError::OFPBAC_BAD_ARGUMENT);
                }
                Action::SetIpTos(tos)
            }
            Raw::SetIpEcn => Action::SetIpEcn(at_most(body.u8()?, 3)?),
            Raw::SetTpSrc => Action::SetTpSrc(body.u16()?),
            Raw::SetTpDst => Action::SetTpDst(body.u16()?),
            Raw::Enqueue => {
                let port = OfPort(body.u16()?);
                if port.is_reserved() && port != OfPort::IN_PORT && port != OfPort::LOCAL {
                    return Err(OfError::OFPBAC_BAD_OUT_PORT);
                }
                body.skip(6)?;
                Action::Enqueue { port, queue: body.u32()? }
            }
            Raw::SetMplsLabel => Action::SetMplsLabel(body.u32()?),
            Raw::SetMplsLabelNicira => Action::SetMplsLabel(aligned(body)?.u32()?),
            Raw::SetMplsTc | Raw::SetMplsTcNicira => Action::SetMplsTc(body.u8()?),
            Raw::SetMplsTtl | Raw::SetMplsTtlNicira => Action::SetMplsTtl(body.u8()?),
            Raw::DecMplsTtl | Raw::DecMplsTtlNicira => Action::DecMplsTtl,
            Raw::PushMpls | Raw::PushMplsNicira => {
                Action::PushMpls(one_of(body.u16()?, [MPLS, MPLS_UPSTREAM])?)
            }
            Raw::PopMpls | Raw::PopMplsNicira => Action::PopMpls(body.u16()?),
            Raw::SetQueue => Action::SetQueue(body.u32()?),
            Raw::SetQueueNicira => Action::SetQueue(aligned(body)?.u32()?),
            Raw::Group => Action::Group(body.u32()?),
            Raw::GroupNicira => Action::Group(aligned(body)?.u32()?),
            Raw::SetIpTtl => Action::SetIpTtl(body.u8()?),
            Raw::DecTtl | Raw::DecTtlNicira => Action::DecTtl,
            Raw::DecTtlIds => Action::DecTtlIds(ids(body)?),
            Raw::SetField12 => set_field(body, false)?,
            Raw::SetField15 => set_field(body, true)?,
            Raw::RegLoad => reg_load(body)?,
            Raw::RegLoad2 => reg_load2(body)?,
            Raw::CopyField | Raw::CopyFieldOnf | Raw::RegMove => moved(raw, body)?,
            Raw::Meter => Action::Meter(body.u32()?),
            Raw::Resubmit => Action::Resubmit { port: OfPort(body.u16()?), table: None, ct: false },
            Raw::ResubmitTable | Raw::ResubmitTableCt => {
                let (port, table) = (OfPort(body.u16()?), body.u8()?);
                body.zeros(3, OfError::OFPBAC_BAD_ARGUMENT)?;
                Action::Resubmit { port, table: Some(table), ct: raw == Raw::ResubmitTableCt }
            }
            Raw::SetTunnel => Action::SetTunnel(aligned(body)?.u32()?),
            Raw::SetTunnel64 => {
                body.skip(6)?;
                Action::SetTunnel64(body.u64()?)
            }
            Raw::PopQueue => Action::PopQueue,
            Raw::Note => Action::Note(body.take(body.len())?.to_vec()),
            Raw::Multipath => multipath(body)?,
            Raw::Bundle => bundle(body, false)?,
            Raw::BundleLoad => bundle(body, true)?,
            Raw::OutputReg => {
                let (offset, bits) = packed(body.u16()?);
                let source = body.u32()?;
                let max_len = body.u16()?;
                body.zeros(6, OfError::OFPBAC_BAD_ARGUMENT)?;
                let source = source_of(Subfield { field: nxm_field(source)?, offset, bits })?;
                Action::OutputField { source, max_len }
            }
            Raw::OutputReg2 => {
                let (offset, bits) = packed(body.u16()?);
                let max_len = body.u16()?;
                let source = Subfield { field: header_field(body)?, offset, bits };
                rest_zero(body)?;
                Action::OutputField { source: source_of(source)?, max_len }
            }
            Raw::Learn => super::learn::read(body, false)?,
            Raw::Learn2 => super::learn::read(body, true)?,
            Raw::Exit => Action::Exit,
            Raw::FinTimeout => Action::FinTimeout { idle: body.u16()?, hard: body.u16()? },
            Raw::Controller => Action::Controller(Box::new(Controller {
                max_len: body.u16()?,
                controller_id: body.u16()?,
                reason: body.u8()?,
                userdata: Vec::new(),
                pause: false,
                meter_id: 0,
                extended: false,
            })),
            Raw::Controller2 => controller2(body)?,
            Raw::WriteMetadata => {
                body.zeros(6, OfError::NXBRC_MUST_BE_ZERO)?;
                Action::WriteMetadata { value: body.u64()?, mask: body.u64()? }
            }
            Raw::StackPush => Action::Push(source_of(stack(body)?)?),
            Raw::StackPop => Action::Pop(target_of(stack(body)?)?),
            Raw::Sample => sample(body, 1)?,
            Raw::Sample2 => sample(body, 2)?,
            Raw::Sample3 => sample(body, 3)?,
            Raw::Conjunction => {
                let (clause, count, id) = (body.u8()?, body.u8()?, body.u32()?);
                if !(2..=64).contains(&count) || clause >= count {
                    return Err(OfError::NXBAC_BAD_CONJUNCTION);
                }
                Action::Conjunction { id, clause, count }
            }
            Raw::Ct => super::ct::read_ct(self, body)?,
            Raw::Nat => super::ct::read_nat(body)?,
            Raw::OutputTruncated => {
                let (port, max_len) = (OfPort(body.u16()?), body.u32()?);
                if max_len < ETHERNET_HEADER {
                    return Err(OfError::OFPBAC_BAD_ARGUMENT);
                }
                Action::OutputTruncated { port, max_len }
            }
            Raw::Clone => {
                body.skip(6)?;
                Action::Clone(self.nested(body)?)
            }
            Raw::CtClear => Action::CtClear,
            Raw::Encap => super::encap::read(body)?,
            Raw::Decap => {
                if body.len() > 6 {
                    return Err(OfError::NXBAC_UNKNOWN_ED_PROP);
                }
                Action::Decap { packet_type: aligned(body)?.u32()? }
            }
            Raw::DecNshTtl => Action::DecNshTtl,
            Raw::CheckPacketLarger => {
                let (length, offset) = (body.u16()?, body.u16()?);
                let target = Subfield { field: header_field(body)?, offset, bits: 1 };
                rest_zero(body)?;
                Action::CheckPacketLarger { target: target_of(target)?, length }
            }
            Raw::DeleteField => Action::DeleteField(header_field(body)?),
            Raw::DebugSlow | Raw::DebugRecirc if !self.debug => return Err(OfError::OFPBAC_BAD_VENDOR_TYPE),
            Raw::DebugSlow => Action::DebugSlow,
            Raw::DebugRecirc => Action::DebugRecirc,
        })
    }
}

fn at_most<T: PartialOrd>(value: T, limit: T) -> Result<T, OfError> {
    if value <= limit { Ok(value) } else { Err(OfError::OFPBAC_BAD_ARGUMENT) }
}

fn one_of<const N: usize>(value: u16, legal: [u16; N]) -> Result<u16, OfError> {
    if legal.contains(&value) { Ok(value) } else { Err(OfError::OFPBAC_BAD_ARGUMENT) }
}

/// Passes over the two octets that put 32 bits behind a vendor's header onto their boundary.
fn aligned<'a, 'b>(body: &'a mut Reader<'b>) -> Result<&'a mut Reader<'b>, OfError> {
    body.skip(2)?;
    Ok(body)
}

fn rest_zero(body: &mut Reader<'_>) -> Result<(), OfError> {
    body.zeros(body.len(), OfError::NXBRC_MUST_BE_ZERO)
}

/// Whether a packet can be sent to the port.
///
/// # Errors
///
/// `OFPBAC_BAD_OUT_PORT`.
pub(super) fn output_port(port: OfPort) -> Result<OfPort, OfError> {
    if !port.is_reserved() || (port >= OfPort::IN_PORT && port != OfPort::NONE) {
        Ok(port)
    } else {
        Err(OfError::OFPBAC_BAD_OUT_PORT)
    }
}

/// Offset and number of bits out of NXM's 16: ten bits, and six bits of the number less one.
pub(super) const fn packed(word: u16) -> (u16, u16) {
    (word >> 6, (word & 0x3f) + 1)
}

/// The field of NXM's short header of 32 bits.
pub(super) fn nxm_field(header: u32) -> Result<FieldId, OfError> {
    let octets = header.to_be_bytes();
    let mut reader = Reader::new(&octets);
    let header = WireHeader::take(&mut reader).map_err(|_| OfError::OFPBAC_BAD_SET_TYPE)?;
    known(header).ok_or(OfError::OFPBAC_BAD_SET_TYPE)
}

/// The field of a header whose length fits it.
fn known(header: WireHeader) -> Option<FieldId> {
    let field = header.known()?;
    let row = field.get();
    // OVS looks at seven bits of the length where a field has none of its own.
    let octets = header.octets();
    (if row.is_variable() { octets < 128 } else { octets == usize::from(row.octets) }).then_some(field)
}

/// Reads a header that names a field, without a mask.
pub(super) fn header_field(body: &mut Reader<'_>) -> Result<FieldId, OfError> {
    let header = WireHeader::take(body)?;
    let field = known(header).ok_or(OfError::OFPBMC_BAD_FIELD)?;
    if header.masked { Err(OfError::OFPBMC_BAD_MASK) } else { Ok(field) }
}

/// Bits that are read.
pub(super) fn source_of(subfield: Subfield) -> Result<Subfield, OfError> {
    if subfield.fits() { Ok(subfield) } else { Err(OfError::OFPBAC_BAD_SET_LEN) }
}

/// Bits that are written.
pub(super) fn target_of(subfield: Subfield) -> Result<Subfield, OfError> {
    let subfield = source_of(subfield)?;
    if subfield.field.get().is_writable() { Ok(subfield) } else { Err(OfError::OFPBAC_BAD_SET_ARGUMENT) }
}

fn ids(body: &mut Reader<'_>) -> Result<Vec<u16>, OfError> {
    let count = body.u16()?;
    body.zeros(4, OfError::NXBRC_MUST_BE_ZERO)?;
    (0..count).map(|_| body.u16()).collect()
}

/// A field with value and mask within an action.
fn entry(body: &mut Reader<'_>) -> Result<(FieldId, Value, Option<Value>), OfError> {
    let header = WireHeader::take(body)?;
    let field = header.known().ok_or(OfError::OFPBAC_BAD_SET_TYPE)?;
    if known(header).is_none() {
        return Err(if header.payload == 0 {
            OfError::OFPBAC_BAD_SET_TYPE
        } else {
            OfError::OFPBAC_BAD_SET_LEN
        });
    }
    let short = |_| OfError::OFPBMC_BAD_LEN;
    let octets = header.octets();
    let payload = body.take(usize::from(header.payload)).map_err(short)?;
    let (value, rest) = payload.split_at_checked(octets).ok_or(OfError::OFPBMC_BAD_LEN)?;
    let value = Value::from_octets(value).ok_or(OfError::OFPBAC_BAD_SET_LEN)?;
    let mask = if header.masked { Value::from_octets(rest.get(..octets).unwrap_or_default()) } else { None };
    if mask.as_ref().is_some_and(|mask| !value.and_not(mask).is_zero()) {
        return Err(OfError::OFPBMC_BAD_WILDCARDS);
    }
    if let Some((value, mask)) = mask.as_ref().and_then(|mask| apart_from_exact(field, &value, mask)) {
        return Ok((field, value, Some(mask)));
    }
    Ok((field, value, mask))
}

fn set_field(body: &mut Reader<'_>, may_mask: bool) -> Result<Action, OfError> {
    let (field, value, mask) = entry(body)?;
    if mask.is_some() && !may_mask {
        return Err(OfError::OFPBAC_BAD_SET_MASK);
    }
    body.zeros(body.len(), OfError::OFPBAC_BAD_SET_ARGUMENT)?;
    let row = field.get();
    let mask = mask.unwrap_or_else(|| Value::ones(value.len()));
    let present = u128::from(flags::VLAN_PRESENT);
    let untagged = field == FieldId::VLAN_VID && value.to_u128() & mask.to_u128() & present == 0;
    if field == FieldId::IN_PORT_OXM || !row.is_writable() || !row.is_legal(&value) || untagged {
        return Err(OfError::OFPBAC_BAD_SET_ARGUMENT);
    }
    Ok(Action::SetField(Box::new(SetField { field, value, mask, nicira: false })))
}

fn reg_load(body: &mut Reader<'_>) -> Result<Action, OfError> {
    let (offset, bits) = packed(body.u16()?);
    let target = target_of(Subfield { field: nxm_field(body.u32()?)?, offset, bits })?;
    let value = body.u64()?;
    if bits < 64 && value >> bits != 0 {
        return Err(OfError::OFPBAC_BAD_ARGUMENT);
    }
    Ok(Action::Load { target, value })
}

fn reg_load2(body: &mut Reader<'_>) -> Result<Action, OfError> {
    // The field begins where the padding of the header would be.
    let (field, value, mask) = entry(body)?;
    body.zeros(body.len(), OfError::OFPBAC_BAD_SET_ARGUMENT)?;
    if !field.get().is_writable() {
        return Err(OfError::OFPBAC_BAD_SET_ARGUMENT);
    }
    let mask = mask.unwrap_or_else(|| Value::ones(value.len()));
    Ok(Action::SetField(Box::new(SetField { field, value, mask, nicira: true })))
}

fn moved(raw: Raw, body: &mut Reader<'_>) -> Result<Action, OfError> {
    if raw == Raw::CopyFieldOnf {
        body.skip(2)?;
    }
    let (bits, from, to) = (body.u16()?, body.u16()?, body.u16()?);
    if raw != Raw::RegMove {
        body.skip(2)?;
    }
    let source = Subfield { field: header_field(body)?, offset: from, bits };
    let target = Subfield { field: header_field(body)?, offset: to, bits };
    rest_zero(body)?;
    let onf = raw != Raw::RegMove;
    Ok(Action::Move { source: source_of(source)?, target: target_of(target)?, onf })
}

fn stack(body: &mut Reader<'_>) -> Result<Subfield, OfError> {
    let offset = body.u16()?;
    let field = header_field(body)?;
    let bits = body.u16()?;
    rest_zero(body)?;
    Ok(Subfield { field, offset, bits })
}

fn hash_fields(number: u16) -> Result<HashFields, OfError> {
    HashFields::from_wire(number).ok_or(OfError::OFPBAC_BAD_ARGUMENT)
}

fn multipath(body: &mut Reader<'_>) -> Result<Action, OfError> {
    let (fields, basis) = (body.u16()?, body.u16()?);
    body.skip(2)?;
    let (algorithm, max_link, argument) = (body.u16()?, body.u16()?, body.u32()?);
    body.skip(2)?;
    let (offset, bits) = packed(body.u16()?);
    let target = Subfield { field: nxm_field(body.u32()?)?, offset, bits };
    let fields = hash_fields(fields)?;
    let algorithm = match algorithm {
        0 => MultipathAlgorithm::ModuloN,
        1 => MultipathAlgorithm::HashThreshold,
        2 => MultipathAlgorithm::HighestWeight,
        3 => MultipathAlgorithm::IterativeHash,
        _ => return Err(OfError::OFPBAC_BAD_ARGUMENT),
    };
    let needed = (u32::from(max_link) + 1).next_power_of_two().trailing_zeros();
    if u32::from(bits) < needed {
        return Err(OfError::OFPBAC_BAD_ARGUMENT);
    }
    let target = target_of(target)?;
    Ok(Action::Multipath(Box::new(Multipath { fields, basis, algorithm, max_link, argument, target })))
}

fn bundle(body: &mut Reader<'_>, load: bool) -> Result<Action, OfError> {
    let bad = OfError::OFPBAC_BAD_ARGUMENT;
    let (algorithm, fields, basis) = (body.u16()?, body.u16()?, body.u16()?);
    let (kind, count, place, field) = (body.u32()?, usize::from(body.u16()?), body.u16()?, body.u32()?);
    let reserved = body.take(4)?;
    let target = if load {
        let (offset, bits) = packed(place);
        Some(Subfield { field: nxm_field(field)?, offset, bits })
    } else {
        None
    };
    if count * 2 > body.len() {
        return Err(OfError::OFPBAC_BAD_LEN);
    }
    // OVS lets `bundle_load` pass with what it refuses in `bundle`.
    let nonsense =
        if load { target.is_some_and(|target| target.bits < 16) } else { place != 0 || field != 0 };
    if nonsense || reserved != [0; 4] {
        return Err(bad);
    }
    let fields = hash_fields(fields)?;
    let algorithm = match algorithm {
        0 => BundleAlgorithm::ActiveBackup,
        1 => BundleAlgorithm::HighestWeight,
        _ => return Err(bad),
    };
    if count > MAX_MEMBERS || kind != MEMBER_TYPE {
        return Err(bad);
    }
    let members = (0..count).map(|_| body.u16().map(OfPort)).collect::<Result<Vec<_>, _>>()?;
    let target = target.map(target_of).transpose()?;
    for member in &members {
        check_member(*member)?;
    }
    Ok(Action::Bundle(Box::new(Bundle { algorithm, fields, basis, target, members })))
}

/// Whether a port can be a member of a bundle: one that a packet can be sent to, or none, but no controller.
pub(super) fn check_member(port: OfPort) -> Result<(), OfError> {
    if port != OfPort::NONE {
        output_port(port)?;
    }
    if port == OfPort::CONTROLLER { Err(OfError::OFPBAC_BAD_OUT_PORT) } else { Ok(()) }
}

/// Properties of the newer form of `controller` (`NXAC2PT_*`).
pub(super) mod property {
    pub(in super::super) const MAX_LEN: u16 = 0;
    pub(in super::super) const CONTROLLER_ID: u16 = 1;
    pub(in super::super) const REASON: u16 = 2;
    pub(in super::super) const USERDATA: u16 = 3;
    pub(in super::super) const PAUSE: u16 = 4;
    pub(in super::super) const METER_ID: u16 = 5;
    /// From here on properties name an experimenter.
    pub(in super::super) const EXPERIMENTERS: u16 = 0xffff;
}

/// Reason of a packet that an action sent (`OFPR_ACTION`).
pub(super) const REASON_ACTION: u8 = 1;

fn controller2(body: &mut Reader<'_>) -> Result<Action, OfError> {
    body.zeros(6, OfError::NXBRC_MUST_BE_ZERO)?;
    let mut read = Controller {
        max_len: u16::MAX,
        controller_id: 0,
        reason: REASON_ACTION,
        userdata: Vec::new(),
        pause: false,
        meter_id: 0,
        extended: true,
    };
    while !body.is_empty() {
        let bad = OfError::OFPBPC_BAD_LEN;
        let mut ahead = Reader::with_error(body.rest(), bad);
        let (kind, length) = (ahead.u16()?, usize::from(ahead.u16()?));
        let padded = body.take(length.next_multiple_of(8)).map_err(|_| bad)?;
        let mut value = Reader::with_error(padded.get(4..length).ok_or(bad)?, bad);
        match kind {
            // Some write more octets than the number has: OVS lets them.
            property::MAX_LEN => read.max_len = value.u16()?,
            property::CONTROLLER_ID => read.controller_id = value.u16()?,
            property::REASON => read.reason = value.u8()?,
            property::USERDATA => read.userdata = value.rest().to_vec(),
            property::PAUSE => read.pause = true,
            property::METER_ID if value.len() == 4 => read.meter_id = value.u32()?,
            property::METER_ID => return Err(bad),
            property::EXPERIMENTERS => {
                let (experimenter, _) = (value.u32()?, value.u32()?);
                let none = experimenter == 0;
                return Err(if none {
                    OfError::OFPBPC_BAD_EXPERIMENTER
                } else {
                    OfError::OFPBPC_BAD_EXP_TYPE
                });
            }
            _ => return Err(OfError::OFPBPC_BAD_TYPE),
        }
    }
    Ok(Action::Controller(Box::new(read)))
}

fn sample(body: &mut Reader<'_>, form: u8) -> Result<Action, OfError> {
    let (probability, collector_set_id) = (body.u16()?, body.u32()?);
    let (obs_domain_id, obs_point_id) = (body.u32()?, body.u32()?);
    let sampling_port = if form == 1 { OfPort::NONE } else { OfPort(body.u16()?) };
    let direction = if form == 3 {
        let direction = match body.u8()? {
            0 => Some(SampleDirection::Default),
            1 => Some(SampleDirection::Ingress),
            2 => Some(SampleDirection::Egress),
            _ => None,
        };
        body.zeros(5, OfError::NXBRC_MUST_BE_ZERO)?;
        direction.ok_or(OfError::OFPBAC_BAD_ARGUMENT)?
    } else {
        SampleDirection::Default
    };
    if probability == 0 {
        return Err(OfError::OFPBAC_BAD_ARGUMENT);
    }
    Ok(Action::Sample(Box::new(Sample {
        probability,
        collector_set_id,
        obs_domain_id,
        obs_point_id,
        sampling_port,
        direction,
        form,
    })))
}
