//! Whether actions make sense for the packets that a match lets through (OVS: `ofpacts_check_consistency`).

use super::{Action, Bundle, Ct, CtZone, Learn, LearnSource, LearnTarget};
use crate::openflow::error::OfError;
use crate::openflow::field::{FieldId, Prerequisite, flags};
use crate::openflow::matching::Match;
use crate::openflow::port::OfPort;
use crate::openflow::value::Subfield;
use std::net::IpAddr;

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const MPLS: u16 = 0x8847;
const MPLS_UPSTREAM: u16 = 0x8848;
const NSH: u16 = 0x894f;
const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;
const FTP: u16 = 21;
const TFTP: u16 = 69;
/// The largest number of a meter (`OFPM13_MAX`).
const MAX_METER: u32 = 0xffff_0000;
/// As a number of a table: any; as a count: no limit.
const ANY_TABLE: u8 = 0xff;
/// How many VLAN tags a packet's description has room for (OVS: `FLOW_MAX_VLAN_HEADERS`).
const MAX_TAGS: u8 = 2;

/// What of a packet is known, and changes from action to action.
#[derive(Debug, Clone, Default)]
pub(super) struct Flow {
    packet_type: u32,
    ether_type: u16,
    /// IP protocol, or zero.
    pub(super) protocol: u8,
    tags: u8,
}

/// `packet_type` of a header whose type is an EtherType.
const fn by_ether_type(ether_type: u16) -> u32 {
    1 << 16 | ether_type as u32
}

/// `packet_type` of which nothing is known (OVS: `PT_UNKNOWN`).
const UNKNOWN: u32 = 0xffff;

impl Flow {
    pub(super) fn of(packet: &Match) -> Self {
        // Each of these is kept under itself.
        let number = |field| packet.number(field);
        let tagged = number(FieldId::VLAN_TCI) & u128::from(flags::VLAN_PRESENT) != 0;
        Self {
            packet_type: number(FieldId::PACKET_TYPE) as u32,
            ether_type: number(FieldId::ETH_TYPE) as u16,
            protocol: number(FieldId::IP_PROTO) as u8,
            tags: u8::from(tagged),
        }
    }

    pub(super) const fn is_tagged(&self) -> bool {
        self.tags > 0
    }

    /// The EtherType of what the packet begins with or carries.
    const fn kind(&self) -> u16 {
        match self.packet_type >> 16 {
            0 if self.packet_type == 0 => self.ether_type,
            1 => self.packet_type as u16,
            _ => 0,
        }
    }

    const fn is_ip(&self) -> bool {
        matches!(self.kind(), IPV4 | IPV6)
    }

    const fn is_mpls(&self) -> bool {
        matches!(self.kind(), MPLS | MPLS_UPSTREAM)
    }

    /// What is known after an action.
    pub(super) fn after(&mut self, action: &Action) {
        match action {
            Action::SetVlanVid { .. } | Action::SetVlanPcp { .. } => self.tags = self.tags.max(1),
            Action::StripVlan | Action::PopVlan => self.tags = self.tags.saturating_sub(1),
            Action::PushVlan(_) => self.tags = (self.tags + 1).min(MAX_TAGS),
            Action::SetField(set) if set.field == FieldId::VLAN_TCI => {
                self.set_first_tag(set.value.to_u64() as u16);
            }
            Action::Load { target, value } if target.field == FieldId::VLAN_TCI => {
                self.set_first_tag(value.checked_shl(u32::from(target.offset)).unwrap_or(0) as u16);
            }
            Action::PushMpls(ether_type) => (self.ether_type, self.protocol) = (*ether_type, 0),
            Action::PopMpls(ether_type) => self.ether_type = *ether_type,
            Action::Encap(encap) => {
                self.packet_type = encap.packet_type;
                if self.packet_type >> 16 == 1 {
                    self.ether_type = self.packet_type as u16;
                }
                if !self.is_ip() {
                    self.protocol = 0;
                }
            }
            Action::Decap { .. } if self.packet_type == 0 => {
                self.packet_type = by_ether_type(self.ether_type)
            }
            Action::Decap { .. } => (self.packet_type, self.ether_type) = (UNKNOWN, 0xffff),
            _ => {}
        }
    }

    fn set_first_tag(&mut self, tci: u16) {
        let tagged = tci & flags::VLAN_PRESENT != 0;
        self.tags = if tagged { self.tags.max(1) } else { self.tags.saturating_sub(1) };
    }
}

/// What a bridge allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The first number that no port has.
    pub ports: OfPort,
    /// How many tables there are; 255 for no limit.
    pub tables: u8,
    /// The table of the flow; 255 if it has none.
    pub table: u8,
}

impl Limits {
    /// As much as there can be.
    pub const NONE: Self = Self { ports: OfPort::MAX, tables: ANY_TABLE, table: ANY_TABLE };
}

/// Checks actions against what the match says of the packet. The answer is whether all makes sense: what does not is let
/// through in OpenFlow 1.0, and is `OFPBAC_MATCH_INCONSISTENT` from 1.1 on.
///
/// # Errors
///
/// `OFPBAC_MATCH_INCONSISTENT`, `_BAD_OUT_PORT`, `_BAD_TAG`, `_BAD_ARGUMENT`, `_BAD_SET_LEN`, `_BAD_SET_ARGUMENT`,
/// `OFPMMFC_INVALID_METER`, `OFPBIC_BAD_TABLE_ID`.
pub fn check(actions: &[Action], packet: &Match, limits: Limits) -> Result<bool, OfError> {
    let mut check = Check { flow: Flow::of(packet), packet, limits, consistent: true };
    check.all(actions)?;
    Ok(check.consistent)
}

struct Check<'a> {
    flow: Flow,
    packet: &'a Match,
    limits: Limits,
    consistent: bool,
}

impl Check<'_> {
    fn all(&mut self, actions: &[Action]) -> Result<(), OfError> {
        let before = self.flow.clone();
        for action in actions {
            self.one(action)?;
            self.flow.after(action);
        }
        self.flow = before;
        Ok(())
    }

    fn expect(&mut self, met: bool) {
        self.consistent &= met;
    }

    fn output(&self, port: OfPort) -> Result<(), OfError> {
        super::read::output_port(port)?;
        if port.is_reserved() || port < self.limits.ports {
            Ok(())
        } else {
            Err(OfError::OFPBAC_BAD_OUT_PORT)
        }
    }

    /// Whether the packet, as it is now, meets a prerequisite.
    fn meets(&self, prerequisite: Prerequisite) -> bool {
        let first = self
            .packet
            .get(FieldId::IP_FRAG)
            .is_none_or(|(value, _)| value.to_u64() & u64::from(flags::FRAGMENT_LATER) == 0);
        let ip = self.flow.is_ip();
        match prerequisite {
            Prerequisite::Nothing => true,
            Prerequisite::Ethernet => self.flow.packet_type == 0,
            Prerequisite::Vlan => self.flow.packet_type == 0 && self.flow.is_tagged(),
            Prerequisite::Ipv4 => self.flow.kind() == IPV4,
            Prerequisite::Ipv6 => self.flow.kind() == IPV6,
            Prerequisite::Ip => ip,
            Prerequisite::Mpls => self.flow.is_mpls(),
            Prerequisite::Nsh => self.flow.kind() == NSH,
            Prerequisite::Tcp => ip && first && self.flow.protocol == TCP,
            Prerequisite::Udp => ip && first && self.flow.protocol == UDP,
            Prerequisite::Sctp => ip && first && self.flow.protocol == SCTP,
            // What actions do not change, the match says.
            other => self.packet.meets(other),
        }
    }

    fn source(&self, bits: Subfield) -> Result<(), OfError> {
        super::read::source_of(bits)?;
        let met = self.meets(bits.field.get().prerequisite);
        if met { Ok(()) } else { Err(OfError::OFPBAC_MATCH_INCONSISTENT) }
    }

    fn target(&self, bits: Subfield) -> Result<(), OfError> {
        self.source(bits)?;
        super::read::target_of(bits).map(|_| ())
    }

    fn one(&mut self, action: &Action) -> Result<(), OfError> {
        match action {
            Action::Output { port, .. } | Action::OutputTruncated { port, .. } => self.output(*port)?,
            Action::Enqueue { port, .. }
                if *port >= self.limits.ports && *port != OfPort::IN_PORT && *port != OfPort::LOCAL =>
            {
                return Err(OfError::OFPBAC_BAD_OUT_PORT);
            }
            Action::OutputField { source, .. } | Action::Push(source) => self.source(*source)?,
            Action::Pop(target) => self.target(*target)?,
            Action::Move { source, target, .. } => {
                self.source(*source)?;
                self.target(*target)?;
            }
            Action::Bundle(bundle) => self.bundle(bundle)?,
            Action::Multipath(multipath) => self.target(multipath.target)?,
            Action::SetVlanVid { push, .. } | Action::SetVlanPcp { push, .. } => {
                self.expect(*push || self.flow.is_tagged());
            }
            Action::StripVlan | Action::PopVlan => self.expect(self.flow.is_tagged()),
            Action::PushVlan(_) if self.flow.tags >= MAX_TAGS => return Err(OfError::OFPBAC_BAD_TAG),
            Action::SetIpv4Src(_) | Action::SetIpv4Dst(_) => self.expect(self.flow.kind() == IPV4),
            Action::SetIpTos(_)
            | Action::SetIpEcn(_)
            | Action::SetIpTtl(_)
            | Action::DecTtl
            | Action::DecTtlIds(_) => self.expect(self.flow.is_ip()),
            Action::SetTpSrc(_) | Action::SetTpDst(_) => {
                let met = [Prerequisite::Tcp, Prerequisite::Udp, Prerequisite::Sctp];
                self.expect(met.into_iter().any(|prerequisite| self.meets(prerequisite)));
            }
            Action::SetField(set) => self.set(set.field)?,
            Action::Load { target, .. } => self.set(target.field)?,
            Action::SetMplsLabel(_) | Action::SetMplsTc(_) | Action::SetMplsTtl(_) | Action::DecMplsTtl => {
                self.expect(self.flow.is_mpls());
            }
            Action::PushMpls(_) => self.expect(self.flow.packet_type == 0),
            Action::PopMpls(_) => self.expect(self.flow.packet_type == 0 && self.flow.is_mpls()),
            Action::DeleteField(field) if field.as_tun_metadata().is_none() => {
                return Err(OfError::OFPBAC_BAD_ARGUMENT);
            }
            Action::FinTimeout { .. } => self.expect(self.flow.protocol == TCP),
            Action::DecNshTtl => {
                self.expect(self.flow.packet_type == by_ether_type(NSH) || self.flow.ether_type == NSH);
            }
            Action::Resubmit { ct: true, .. } if !self.packet.meets(Prerequisite::Ct) => {
                return Err(OfError::OFPBAC_MATCH_INCONSISTENT);
            }
            Action::Learn(learn) => self.learn(learn)?,
            Action::Clone(actions) => self.all(actions)?,
            Action::WriteActions(actions) => {
                // What the packet will be when they are carried out is not known here: OVS lets them be.
                let consistent = self.consistent;
                self.all(actions)?;
                self.consistent = consistent;
            }
            Action::Ct(ct) => self.ct(ct)?,
            Action::Nat(nat) => {
                let kind = self.flow.kind();
                let fits = match nat.addresses {
                    Some((IpAddr::V4(_), _)) => kind == IPV4,
                    Some((IpAddr::V6(_), _)) => kind == IPV6,
                    None => self.flow.is_ip(),
                };
                if !fits {
                    return Err(OfError::OFPBAC_MATCH_INCONSISTENT);
                }
            }
            Action::Meter(0) => return Err(OfError::OFPMMFC_INVALID_METER),
            Action::Meter(meter) if *meter > MAX_METER => return Err(OfError::OFPMMFC_INVALID_METER),
            Action::GotoTable(table) => {
                let Limits { tables, table: from, .. } = self.limits;
                if from != ANY_TABLE && *table <= from || tables != ANY_TABLE && *table >= tables {
                    return Err(OfError::OFPBIC_BAD_TABLE_ID);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn set(&self, field: FieldId) -> Result<(), OfError> {
        let tag = field != FieldId::VLAN_VID || self.flow.is_tagged();
        if tag && self.meets(field.get().prerequisite) {
            Ok(())
        } else {
            Err(OfError::OFPBAC_MATCH_INCONSISTENT)
        }
    }

    fn bundle(&self, bundle: &Bundle) -> Result<(), OfError> {
        if let Some(target) = bundle.target {
            self.target(target)?;
        }
        bundle.members.iter().try_for_each(|member| {
            super::read::check_member(*member)?;
            if *member == OfPort::NONE { Ok(()) } else { self.output(*member) }
        })
    }

    fn ct(&mut self, ct: &Ct) -> Result<(), OfError> {
        let invalid = self
            .packet
            .get(FieldId::CT_STATE)
            .is_some_and(|(value, _)| value.to_u64() & u64::from(flags::CT_INVALID) != 0);
        let helped = match ct.alg {
            FTP => self.flow.protocol == TCP,
            TFTP => self.flow.protocol == UDP,
            _ => true,
        };
        if !self.flow.is_ip() || invalid && ct.commit || !helped {
            return Err(OfError::OFPBAC_MATCH_INCONSISTENT);
        }
        match ct.zone {
            CtZone::Field(source) => self.source(source),
            CtZone::Immediate(_) => self.all(&ct.actions),
        }
    }

    fn learn(&self, learn: &Learn) -> Result<(), OfError> {
        let mut learned = Match::any();
        for spec in &learn.specs {
            if let LearnSource::Field(source) = &spec.source {
                self.source(*source)?;
            }
            match spec.target {
                LearnTarget::Match(bits) => {
                    super::read::source_of(bits)?;
                    if !learned.allows(bits.field) {
                        return Err(OfError::OFPBAC_MATCH_INCONSISTENT);
                    }
                    if let LearnSource::Immediate(value) = &spec.source {
                        learned.add_bits(bits, value);
                    }
                }
                LearnTarget::Load(bits) => {
                    super::read::target_of(bits)?;
                    if !learned.allows(bits.field) {
                        return Err(OfError::OFPBAC_MATCH_INCONSISTENT);
                    }
                }
                LearnTarget::Output => {}
            }
        }
        Ok(())
    }
}
