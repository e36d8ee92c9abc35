//! Actions onto the wire: for each version in the form that Open vSwitch chooses.
//!
//! What: an action that a version lacks is written as one that means the same: `mod_vlan_vid` as a tag that is pushed
//! where there is none and a field that is set, `set_field` with a mask as loads of its bits. What no form can say
//! in a version is left out, as Open vSwitch leaves it out.

use super::check::Flow;
use super::raw::{self, Raw};
use super::read::{MEMBER_TYPE, REASON_ACTION, property};
use super::{Action, Bundle, Controller, MAX_DEPTH, Multipath, Sample, SampleDirection};
use crate::openflow::codec::Writer;
use crate::openflow::error::OfError;
use crate::openflow::field::{FieldId, WireHeader};
use crate::openflow::port::OfPort;
use crate::openflow::value::Subfield;
use crate::openflow::version::Version;

/// Actions are padded to multiples of this.
const ALIGNMENT: usize = 8;
/// Number of a table that says "the current one".
const SAME_TABLE: u8 = 0xff;

/// How actions are written.
#[derive(Debug, Clone)]
pub(super) struct Writing<'a> {
    pub(super) version: Version,
    /// What the packet is known to be before the next action.
    pub(super) flow: Flow,
    /// Octets of each tunnel option, zero for those that have none.
    pub(super) lengths: Option<&'a [u8; 64]>,
    /// How deep in other actions.
    pub(super) depth: usize,
}

/// Bits in NXM's 16: ten bits of offset, six bits of the number less one.
pub(super) const fn pack(bits: Subfield) -> u16 {
    bits.offset << 6 | (bits.bits.saturating_sub(1) & 0x3f)
}

/// Octets of a field, as the bridge that writes it has it.
pub(super) fn octets_of(writing: &Writing<'_>, field: FieldId) -> usize {
    let mapped = field
        .as_tun_metadata()
        .zip(writing.lengths)
        .map(|(number, lengths)| lengths[usize::from(number) & 63]);
    usize::from(mapped.filter(|octets| *octets != 0).unwrap_or(field.get().octets))
}

/// Writes the header of a field, by NXM's name without a version.
pub(super) fn long_header(writing: &Writing<'_>, field: FieldId, version: Option<Version>, out: &mut Writer) {
    if let Some(header) = WireHeader::of(field, version, false, octets_of(writing, field)) {
        header.put(out);
    }
}

/// Writes NXM's header of 32 bits; zero for a field that has none so short.
pub(super) fn short_header(writing: &Writing<'_>, field: FieldId, out: &mut Writer) {
    if has_short_header(field) {
        long_header(writing, field, None, out);
    } else {
        out.u32(0);
    }
}

pub(super) fn has_short_header(field: FieldId) -> bool {
    field.get().header(None).is_some_and(|header| header.class.experimenter() == 0)
}

impl Writing<'_> {
    /// Writes actions one after the other.
    pub(super) fn actions(&mut self, actions: &[Action], out: &mut Writer) -> Result<(), OfError> {
        for action in actions {
            self.action(action, out)?;
            self.flow.after(action);
        }
        Ok(())
    }

    /// Writes the actions within an action.
    pub(super) fn nested(&mut self, actions: &[Action], out: &mut Writer) -> Result<(), OfError> {
        if self.depth >= MAX_DEPTH {
            return Err(OfError::OFPBAC_TOO_MANY);
        }
        let mut inner = Self { depth: self.depth + 1, ..self.clone() };
        inner.actions(actions, out)
    }

    /// Writes an action's header, what `body` writes, its padding, and its length.
    pub(super) fn put(
        &mut self,
        raw: Raw,
        out: &mut Writer,
        body: impl FnOnce(&mut Self, &mut Writer) -> Result<(), OfError>,
    ) -> Result<(), OfError> {
        let start = out.len();
        raw::put(raw, self.version, out);
        body(self, out)?;
        out.pad(start, ALIGNMENT);
        if out.len() - start > usize::from(u16::MAX) {
            return Err(OfError::OFPBAC_BAD_LEN);
        }
        out.patch_length(start, start + 2);
        Ok(())
    }

    /// Writes an action that is a header and nothing else.
    fn bare(&mut self, raw: Raw, out: &mut Writer) -> Result<(), OfError> {
        self.put(raw, out, |_, _| Ok(()))
    }

    pub(super) fn put_u8(&mut self, raw: Raw, value: u8, out: &mut Writer) -> Result<(), OfError> {
        self.put(raw, out, |_, out| {
            out.u8(value);
            Ok(())
        })
    }

    pub(super) fn put_u16(&mut self, raw: Raw, value: u16, out: &mut Writer) -> Result<(), OfError> {
        self.put(raw, out, |_, out| {
            out.u16(value);
            Ok(())
        })
    }

    /// 32 bits, of the standard's action or, in OpenFlow 1.0, on their boundary in Nicira's.
    fn put_u32(
        &mut self,
        (standard, nicira): (Raw, Raw),
        value: u32,
        out: &mut Writer,
    ) -> Result<(), OfError> {
        let old = self.version == Version::V10;
        self.put(if old { nicira } else { standard }, out, |_, out| {
            out.zeros(if old { 2 } else { 0 });
            out.u32(value);
            Ok(())
        })
    }

    const fn either(&self, standard: Raw, nicira: Raw) -> Raw {
        if matches!(self.version, Version::V10) { nicira } else { standard }
    }

    pub(super) fn action(&mut self, action: &Action, out: &mut Writer) -> Result<(), OfError> {
        match action {
            Action::Output { port, max_len } => self.output(*port, *max_len, out),
            Action::OutputField { source, max_len } => self.output_field(*source, *max_len, out),
            Action::OutputTruncated { port, max_len } => self.put(Raw::OutputTruncated, out, |_, out| {
                out.u16(port.0);
                out.u32(*max_len);
                Ok(())
            }),
            Action::Group(group) => self.put_u32((Raw::Group, Raw::GroupNicira), *group, out),
            Action::Controller(controller) => self.controller(controller, out),
            Action::Enqueue { port, queue } => self.enqueue(*port, *queue, out),
            Action::Bundle(bundle) => self.bundle(bundle, out),
            Action::SetField(set) => self.set_field(set, out),
            Action::Load { target, value } => self.load(*target, *value, out),
            Action::Move { source, target, onf } => self.moved(*source, *target, *onf, out),
            Action::Push(bits) => self.stack(Raw::StackPush, *bits, out),
            Action::Pop(bits) => self.stack(Raw::StackPop, *bits, out),
            Action::SetVlanVid { vid, push } => self.set_vlan_vid(*vid, *push, out),
            Action::SetVlanPcp { pcp, push } => self.set_vlan_pcp(*pcp, *push, out),
            Action::StripVlan | Action::PopVlan => self.bare(self.either(Raw::PopVlan, Raw::StripVlan), out),
            // OpenFlow 1.0 pushes a tag when one is set.
            Action::PushVlan(_) if self.version == Version::V10 => Ok(()),
            Action::PushVlan(ether_type) => self.put_u16(Raw::PushVlan, *ether_type, out),
            Action::SetEthSrc(mac) => self.legacy(Raw::SetEthSrc, FieldId::ETH_SRC, &mac.octets(), out),
            Action::SetEthDst(mac) => self.legacy(Raw::SetEthDst, FieldId::ETH_DST, &mac.octets(), out),
            Action::SetIpv4Src(address) => {
                self.legacy(Raw::SetIpv4Src, FieldId::IPV4_SRC, &address.octets(), out)
            }
            Action::SetIpv4Dst(address) => {
                self.legacy(Raw::SetIpv4Dst, FieldId::IPV4_DST, &address.octets(), out)
            }
            Action::SetIpTos(tos) if self.version >= Version::V12 => {
                self.put_field(FieldId::IP_DSCP_SHIFTED, u128::from(tos >> 2), out)
            }
            Action::SetIpTos(tos) => self.put_u8(Raw::SetIpTos, *tos, out),
            Action::SetIpEcn(ecn) => self.set_ecn(*ecn, out),
            Action::SetIpTtl(ttl) if self.version == Version::V10 => {
                self.load(Subfield::whole(FieldId::IP_TTL), u64::from(*ttl), out)
            }
            Action::SetIpTtl(ttl) => self.put_u8(Raw::SetIpTtl, *ttl, out),
            Action::SetTpSrc(port) => {
                let fields = [FieldId::TCP_SRC, FieldId::UDP_SRC, FieldId::SCTP_SRC];
                self.set_transport(Raw::SetTpSrc, fields, *port, out)
            }
            Action::SetTpDst(port) => {
                let fields = [FieldId::TCP_DST, FieldId::UDP_DST, FieldId::SCTP_DST];
                self.set_transport(Raw::SetTpDst, fields, *port, out)
            }
            Action::DecTtl => self.bare(self.either(Raw::DecTtl, Raw::DecTtlNicira), out),
            Action::DecTtlIds(ids) => self.put(Raw::DecTtlIds, out, |_, out| {
                out.u16(u16::try_from(ids.len()).map_err(|_| OfError::OFPBAC_BAD_LEN)?);
                out.zeros(4);
                ids.iter().for_each(|id| out.u16(*id));
                Ok(())
            }),
            Action::SetMplsLabel(label) if self.version >= Version::V12 => {
                self.put_field(FieldId::MPLS_LABEL, u128::from(label & 0xf_ffff), out)
            }
            Action::SetMplsLabel(label) => {
                self.put_u32((Raw::SetMplsLabel, Raw::SetMplsLabelNicira), *label, out)
            }
            Action::SetMplsTc(class) if self.version >= Version::V12 => {
                self.put_field(FieldId::MPLS_TC, u128::from(class & 7), out)
            }
            Action::SetMplsTc(class) => {
                self.put_u8(self.either(Raw::SetMplsTc, Raw::SetMplsTcNicira), *class, out)
            }
            Action::SetMplsTtl(ttl) => {
                self.put_u8(self.either(Raw::SetMplsTtl, Raw::SetMplsTtlNicira), *ttl, out)
            }
            Action::DecMplsTtl => self.bare(self.either(Raw::DecMplsTtl, Raw::DecMplsTtlNicira), out),
            Action::PushMpls(kind) => {
                self.put_u16(self.either(Raw::PushMpls, Raw::PushMplsNicira), *kind, out)
            }
            Action::PopMpls(kind) => self.put_u16(self.either(Raw::PopMpls, Raw::PopMplsNicira), *kind, out),
            Action::DecNshTtl => self.bare(Raw::DecNshTtl, out),
            Action::Encap(encap) => self.put(Raw::Encap, out, |_, out| super::encap::write(encap, out)),
            Action::Decap { packet_type } => self.put(Raw::Decap, out, |_, out| {
                out.zeros(2);
                out.u32(*packet_type);
                Ok(())
            }),
            Action::DeleteField(field) => self.put(Raw::DeleteField, out, |writing, out| {
                let start = out.len();
                long_header(writing, *field, None, out);
                // The action is as long as with the longest header.
                out.zeros(14 - (out.len() - start).min(14));
                Ok(())
            }),
            Action::SetTunnel(id) => self.set_tunnel(u64::from(*id), false, out),
            Action::SetTunnel64(id) => self.set_tunnel(*id, true, out),
            Action::SetQueue(queue) => self.put_u32((Raw::SetQueue, Raw::SetQueueNicira), *queue, out),
            Action::PopQueue => self.bare(Raw::PopQueue, out),
            Action::FinTimeout { idle, hard } => self.put(Raw::FinTimeout, out, |_, out| {
                out.u16(*idle);
                out.u16(*hard);
                Ok(())
            }),
            Action::Resubmit { port, table: None, ct: false } => self.put_u16(Raw::Resubmit, port.0, out),
            Action::Resubmit { port, table, ct } => {
                self.resubmit(*port, table.unwrap_or(SAME_TABLE), *ct, out)
            }
            Action::Learn(learn) => {
                let raw = if super::learn::is_extended(learn) { Raw::Learn2 } else { Raw::Learn };
                self.put(raw, out, |writing, out| {
                    super::learn::write(writing, learn, out);
                    Ok(())
                })
            }
            Action::Conjunction { id, clause, count } => self.put(Raw::Conjunction, out, |_, out| {
                out.u8(*clause);
                out.u8(*count);
                out.u32(*id);
                Ok(())
            }),
            Action::Multipath(multipath) => self.multipath(multipath, out),
            Action::Note(octets) => self.put(Raw::Note, out, |_, out| {
                out.bytes(octets);
                Ok(())
            }),
            Action::Exit => self.bare(Raw::Exit, out),
            Action::Sample(sample) => self.sample(sample, out),
            Action::Ct(ct) => self.put(Raw::Ct, out, |writing, out| super::ct::write_ct(writing, ct, out)),
            Action::CtClear => self.bare(Raw::CtClear, out),
            Action::Nat(nat) => self.put(Raw::Nat, out, |_, out| {
                super::ct::write_nat(nat, out);
                Ok(())
            }),
            Action::Clone(actions) => self.put(Raw::Clone, out, |writing, out| {
                out.zeros(6);
                writing.nested(actions, out)
            }),
            Action::CheckPacketLarger { target, length } => {
                self.put(Raw::CheckPacketLarger, out, |writing, out| {
                    out.u16(*length);
                    out.u16(target.offset);
                    long_header(writing, target.field, None, out);
                    Ok(())
                })
            }
            Action::DebugRecirc => self.bare(Raw::DebugRecirc, out),
            Action::DebugSlow => self.bare(Raw::DebugSlow, out),
            Action::Meter(meter) if self.version >= Version::V15 => {
                self.put_u32((Raw::Meter, Raw::Meter), *meter, out)
            }
            Action::WriteMetadata { value, mask } if self.version == Version::V10 => {
                self.put(Raw::WriteMetadata, out, |_, out| {
                    out.zeros(6);
                    out.u64(*value);
                    out.u64(*mask);
                    Ok(())
                })
            }
            Action::GotoTable(table) if self.version == Version::V10 => {
                self.resubmit(OfPort::IN_PORT, *table, false, out)
            }
            // Instructions are written by whoever writes instructions.
            Action::Meter(_)
            | Action::ClearActions
            | Action::WriteActions(_)
            | Action::WriteMetadata { .. }
            | Action::GotoTable(_) => Ok(()),
        }
    }

    fn output(&mut self, port: OfPort, max_len: u16, out: &mut Writer) -> Result<(), OfError> {
        if self.version == Version::V10 {
            self.put(Raw::Output10, out, |_, out| {
                out.u16(port.0);
                out.u16(max_len);
                Ok(())
            })
        } else {
            self.put(Raw::Output11, out, |_, out| {
                out.u32(port.wide());
                out.u16(max_len);
                Ok(())
            })
        }
    }

    fn output_field(&mut self, source: Subfield, max_len: u16, out: &mut Writer) -> Result<(), OfError> {
        if has_short_header(source.field) {
            self.put(Raw::OutputReg, out, |writing, out| {
                out.u16(pack(source));
                short_header(writing, source.field, out);
                out.u16(max_len);
                out.zeros(6);
                Ok(())
            })
        } else {
            self.put(Raw::OutputReg2, out, |writing, out| {
                out.u16(pack(source));
                out.u16(max_len);
                long_header(writing, source.field, None, out);
                Ok(())
            })
        }
    }

    fn enqueue(&mut self, port: OfPort, queue: u32, out: &mut Writer) -> Result<(), OfError> {
        if self.version == Version::V10 {
            return self.put(Raw::Enqueue, out, |_, out| {
                out.u16(port.0);
                out.zeros(6);
                out.u32(queue);
                Ok(())
            });
        }
        self.put_u32((Raw::SetQueue, Raw::SetQueueNicira), queue, out)?;
        self.output(port, super::NO_BUFFER, out)?;
        self.bare(Raw::PopQueue, out)
    }

    fn controller(&mut self, controller: &Controller, out: &mut Writer) -> Result<(), OfError> {
        let extended = controller.extended
            || controller.pause
            || controller.meter_id != 0
            || !controller.userdata.is_empty();
        if !extended {
            return self.put(Raw::Controller, out, |_, out| {
                out.u16(controller.max_len);
                out.u16(controller.controller_id);
                out.u8(controller.reason);
                Ok(())
            });
        }
        self.put(Raw::Controller2, out, |_, out| {
            out.zeros(6);
            let mut put = |kind: u16, octets: &[u8]| {
                let start = out.len();
                out.u16(kind);
                out.u16(0);
                out.bytes(octets);
                out.patch_length(start, start + 2);
                out.pad(start, ALIGNMENT);
            };
            // Properties of 16 bits are written with their padding.
            let padded = |value: u16| [value.to_be_bytes(), [0; 2]].concat();
            if controller.max_len != u16::MAX {
                put(property::MAX_LEN, &padded(controller.max_len));
            }
            if controller.controller_id != 0 {
                put(property::CONTROLLER_ID, &padded(controller.controller_id));
            }
            if controller.reason != REASON_ACTION {
                put(property::REASON, &[controller.reason]);
            }
            if !controller.userdata.is_empty() {
                put(property::USERDATA, &controller.userdata);
            }
            if controller.pause {
                put(property::PAUSE, &[]);
            }
            if controller.meter_id != 0 {
                put(property::METER_ID, &controller.meter_id.to_be_bytes());
            }
            Ok(())
        })
    }

    fn bundle(&mut self, bundle: &Bundle, out: &mut Writer) -> Result<(), OfError> {
        let raw = if bundle.target.is_some() { Raw::BundleLoad } else { Raw::Bundle };
        self.put(raw, out, |writing, out| {
            out.u16(bundle.algorithm as u16);
            out.u16(bundle.fields as u16);
            out.u16(bundle.basis);
            out.u32(MEMBER_TYPE);
            out.u16(u16::try_from(bundle.members.len()).map_err(|_| OfError::OFPBAC_BAD_LEN)?);
            match bundle.target {
                Some(target) => {
                    out.u16(pack(target));
                    short_header(writing, target.field, out);
                }
                None => out.zeros(6),
            }
            out.zeros(4);
            bundle.members.iter().for_each(|port| out.u16(port.0));
            Ok(())
        })
    }

    fn multipath(&mut self, multipath: &Multipath, out: &mut Writer) -> Result<(), OfError> {
        self.put(Raw::Multipath, out, |writing, out| {
            out.u16(multipath.fields as u16);
            out.u16(multipath.basis);
            out.zeros(2);
            out.u16(multipath.algorithm as u16);
            out.u16(multipath.max_link);
            out.u32(multipath.argument);
            out.zeros(2);
            out.u16(pack(multipath.target));
            short_header(writing, multipath.target.field, out);
            Ok(())
        })
    }

    fn sample(&mut self, sample: &Sample, out: &mut Writer) -> Result<(), OfError> {
        let form = if sample.direction != SampleDirection::Default {
            3
        } else if sample.sampling_port != OfPort::NONE {
            sample.form.max(2)
        } else {
            sample.form
        };
        let raw = match form {
            3 => Raw::Sample3,
            2 => Raw::Sample2,
            _ => Raw::Sample,
        };
        self.put(raw, out, |_, out| {
            out.u16(sample.probability);
            out.u32(sample.collector_set_id);
            out.u32(sample.obs_domain_id);
            out.u32(sample.obs_point_id);
            if raw != Raw::Sample {
                out.u16(sample.sampling_port.0);
                out.u8(sample.direction as u8);
                out.zeros(5);
            }
            Ok(())
        })
    }

    fn resubmit(&mut self, port: OfPort, table: u8, ct: bool, out: &mut Writer) -> Result<(), OfError> {
        self.put(if ct { Raw::ResubmitTableCt } else { Raw::ResubmitTable }, out, |_, out| {
            out.u16(port.0);
            out.u8(table);
            Ok(())
        })
    }

    fn stack(&mut self, raw: Raw, bits: Subfield, out: &mut Writer) -> Result<(), OfError> {
        self.put(raw, out, |writing, out| {
            let start = out.len();
            out.u16(bits.offset);
            long_header(writing, bits.field, None, out);
            out.u16(bits.bits);
            // The action is as long as with the longest header.
            out.zeros(14 - (out.len() - start).min(14));
            Ok(())
        })
    }

    fn moved(
        &mut self,
        source: Subfield,
        target: Subfield,
        onf: bool,
        out: &mut Writer,
    ) -> Result<(), OfError> {
        let raw = match self.version {
            Version::V15 => Raw::CopyField,
            Version::V13 if onf => Raw::CopyFieldOnf,
            _ => Raw::RegMove,
        };
        self.put(raw, out, |writing, out| {
            out.zeros(if raw == Raw::CopyFieldOnf { 2 } else { 0 });
            out.u16(target.bits);
            out.u16(source.offset);
            out.u16(target.offset);
            out.zeros(if raw == Raw::RegMove { 0 } else { 2 });
            let version = (raw != Raw::RegMove).then_some(writing.version);
            long_header(writing, source.field, version, out);
            long_header(writing, target.field, version, out);
            Ok(())
        })
    }
}
