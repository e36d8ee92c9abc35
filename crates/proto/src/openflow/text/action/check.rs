//! Whether actions fit the match of their flow, and which forms of OpenFlow can carry both.
//!
//! Plain OpenFlow 1.0 skips what a packet does not have; later versions want a flow to match what it changes. So an
//! action that lacks its prerequisite leaves the forms of version 1.0, and some actions leave none.

use super::super::super::action::{Action, CtZone, Learn, LearnSource, LearnTarget};
use super::super::super::field::{FieldId, Prerequisite, flags};
use super::super::super::matching::Match;
use super::super::super::{OfError, OfPort, Subfield};
use super::super::protocols::Protocols;
use super::connection::HELPERS;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const PACKET_TYPE_UNKNOWN: u128 = 0xffff_ffff;
const PROTOCOL_TCP: u64 = 6;
const PROTOCOL_UDP: u64 = 17;
const PROTOCOL_SCTP: u64 = 132;
const LAST_METER: u32 = 0xffff_0000;

/// What is known of the packet while the actions are carried out.
struct State {
    fields: Match,
    tags: u8,
    protocols: Protocols,
    table: u8,
}

/// Checks `actions` of a flow in `table` (255 if no table is named) that matches `fields`.
///
/// # Errors
///
/// The error that a switch would answer with, `OFPBAC_MATCH_INCONSISTENT` mostly.
pub(in super::super) fn check(actions: &[Action], fields: &Match, table: u8) -> Result<Protocols, OfError> {
    let tags = u8::from(fields.meets(Prerequisite::Vlan) || has_tag(fields));
    let mut state = State { fields: fields.clone(), tags, protocols: Protocols::ANY, table };
    state.all(actions)?;
    Ok(state.protocols)
}

fn has_tag(fields: &Match) -> bool {
    fields.get(FieldId::VLAN_TCI).is_some_and(|(tci, _)| tci.to_u64() as u16 & flags::VLAN_PRESENT != 0)
}

impl State {
    fn all(&mut self, actions: &[Action]) -> Result<(), OfError> {
        actions.iter().try_for_each(|action| self.one(action))
    }

    /// Checks actions within one, which change nothing for those behind it.
    fn nested(&mut self, actions: &[Action]) -> Result<(), OfError> {
        let protocols = check(actions, &self.fields, self.table)?;
        self.protocols &= protocols;
        Ok(())
    }

    fn old_only(&mut self, consistent: bool) {
        if !consistent {
            self.protocols &= Protocols::V10_ANY;
        }
    }

    fn ether_type(&self) -> u16 {
        self.fields.ether_type()
    }

    fn is_ip(&self) -> bool {
        matches!(self.ether_type(), ETHERTYPE_IPV4 | ETHERTYPE_IPV6)
    }

    fn protocol(&self) -> u64 {
        self.fields.get(FieldId::IP_PROTO).map_or(0, |(protocol, _)| protocol.to_u64())
    }

    fn is_ethernet(&self) -> bool {
        self.fields.meets(Prerequisite::Ethernet)
    }

    fn one(&mut self, action: &Action) -> Result<(), OfError> {
        self.flat(action)?;
        // What lies within stands apart, so that deep nesting takes little of the stack.
        match action {
            Action::Ct(ct) if matches!(ct.zone, CtZone::Immediate(_)) => self.nested(&ct.actions),
            Action::Clone(actions) => self.nested(actions),
            // What an action set meets cannot be known.
            Action::WriteActions(actions) => check(actions, &self.fields, self.table).map(|_| ()),
            _ => Ok(()),
        }
    }

    /// Checks an action by itself.
    fn flat(&mut self, action: &Action) -> Result<(), OfError> {
        match action {
            Action::Output { port, .. } | Action::OutputTruncated { port, .. } => output_port(*port)?,
            Action::Enqueue { port, .. }
                if *port >= OfPort::MAX && !matches!(*port, OfPort::IN_PORT | OfPort::LOCAL) =>
            {
                return Err(OfError::OFPBAC_BAD_OUT_PORT);
            }
            Action::OutputField { source, .. } => readable(*source, &self.fields)?,
            Action::Bundle(bundle) => {
                bundle.target.map_or(Ok(()), |target| writable(target, &self.fields))?;
                for port in &bundle.members {
                    match *port {
                        OfPort::NONE => {}
                        OfPort::CONTROLLER => return Err(OfError::OFPBAC_BAD_OUT_PORT),
                        port => output_port(port)?,
                    }
                }
            }
            Action::SetField(set) => {
                let tagless = set.field == FieldId::VLAN_VID && self.tags == 0;
                // A tag that an action pushed is there as well as one that is matched.
                let tagged =
                    set.field.get().prerequisite == Prerequisite::Vlan && self.tags > 0 && self.is_ethernet();
                if tagless || !tagged && !self.fields.allows(set.field) {
                    return Err(OfError::OFPBAC_MATCH_INCONSISTENT);
                }
                if set.field == FieldId::VLAN_TCI {
                    self.tags = u8::from(set.value.to_u64() as u16 & flags::VLAN_PRESENT != 0);
                }
            }
            Action::Load { target, .. } => {
                let tagged = target.field.get().prerequisite == Prerequisite::Vlan
                    && self.tags > 0
                    && self.is_ethernet();
                if !tagged && !self.fields.allows(target.field) {
                    return Err(OfError::OFPBAC_MATCH_INCONSISTENT);
                }
                if !target.field.get().is_writable() {
                    return Err(OfError::OFPBAC_BAD_SET_ARGUMENT);
                }
            }
            Action::Move { source, target, .. } => {
                readable(*source, &self.fields)?;
                writable(*target, &self.fields)?;
            }
            Action::Push(source) => readable(*source, &self.fields)?,
            Action::Pop(target) => writable(*target, &self.fields)?,
            Action::Multipath(multipath) => writable(multipath.target, &self.fields)?,
            Action::Learn(learn) => check_learn(learn, &self.fields)?,
            Action::SetVlanVid { push, .. } | Action::SetVlanPcp { push, .. } => {
                self.old_only(self.tags > 0 || *push);
                self.tags = self.tags.max(1);
            }
            Action::StripVlan | Action::PopVlan => {
                self.old_only(self.tags > 0);
                self.tags = self.tags.saturating_sub(1);
            }
            Action::PushVlan(_) => {
                if self.tags >= 2 {
                    return Err(OfError::OFPBAC_BAD_TAG);
                }
                self.tags += 1;
            }
            Action::SetIpv4Src(_) | Action::SetIpv4Dst(_) => {
                self.old_only(self.ether_type() == ETHERTYPE_IPV4)
            }
            Action::SetIpTos(_)
            | Action::SetIpEcn(_)
            | Action::SetIpTtl(_)
            | Action::DecTtl
            | Action::DecTtlIds(_) => self.old_only(self.is_ip()),
            Action::SetTpSrc(_) | Action::SetTpDst(_) => {
                let later = self
                    .fields
                    .get(FieldId::IP_FRAG)
                    .is_some_and(|(bits, _)| bits.to_u64() as u8 & flags::FRAGMENT_LATER != 0);
                let known = matches!(self.protocol(), PROTOCOL_TCP | PROTOCOL_UDP | PROTOCOL_SCTP);
                self.old_only(self.is_ip() && !later && known);
            }
            Action::SetMplsLabel(_) | Action::SetMplsTc(_) | Action::SetMplsTtl(_) | Action::DecMplsTtl => {
                self.old_only(self.fields.meets(Prerequisite::Mpls));
            }
            Action::PushMpls(ethertype) => {
                self.old_only(self.is_ethernet());
                self.becomes(*ethertype);
                self.fields.clear(FieldId::IP_PROTO);
            }
            Action::PopMpls(ethertype) => {
                self.old_only(self.is_ethernet() && self.fields.meets(Prerequisite::Mpls));
                self.becomes(*ethertype);
            }
            Action::DecNshTtl => self.old_only(self.fields.meets(Prerequisite::Nsh)),
            Action::FinTimeout { .. } => self.old_only(self.protocol() == PROTOCOL_TCP),
            Action::Encap(encap) => {
                self.fields.set_number(FieldId::PACKET_TYPE, encap.packet_type.into());
                if encap.packet_type >> 16 == 1 {
                    self.becomes(encap.packet_type as u16);
                }
                if !self.is_ip() {
                    self.fields.clear(FieldId::IP_PROTO);
                }
            }
            Action::Decap { .. } => {
                let inner = match (self.is_ethernet(), self.fields.get(FieldId::ETH_TYPE)) {
                    (true, ethertype) => 1 << 16 | ethertype.map_or(0, |(ethertype, _)| ethertype.to_u128()),
                    (false, _) => PACKET_TYPE_UNKNOWN,
                };
                self.fields.set_number(FieldId::PACKET_TYPE, inner);
            }
            Action::DeleteField(field) if field.as_tun_metadata().is_none() => {
                return Err(OfError::OFPBAC_BAD_ARGUMENT);
            }
            Action::Resubmit { ct: true, .. } if !self.fields.meets(Prerequisite::Ct) => {
                return Err(OfError::OFPBAC_MATCH_INCONSISTENT);
            }
            Action::Ct(ct) => {
                let [(_, ftp), (_, tftp)] = HELPERS;
                let state = self.fields.get(FieldId::CT_STATE).map_or(0, |(state, _)| state.to_u64() as u16);
                if !self.is_ip()
                    || ct.commit && state & flags::CT_INVALID != 0
                    || ct.alg == ftp && self.protocol() != PROTOCOL_TCP
                    || ct.alg == tftp && self.protocol() != PROTOCOL_UDP
                {
                    return Err(OfError::OFPBAC_MATCH_INCONSISTENT);
                }
                if let CtZone::Field(zone) = ct.zone {
                    readable(zone, &self.fields)?;
                }
            }
            Action::Nat(nat) => {
                let family = nat
                    .addresses
                    .map(|(first, _)| if first.is_ipv4() { ETHERTYPE_IPV4 } else { ETHERTYPE_IPV6 });
                if !self.is_ip() || family.is_some_and(|family| family != self.ether_type()) {
                    return Err(OfError::OFPBAC_MATCH_INCONSISTENT);
                }
            }
            Action::Meter(meter) if (*meter == 0 || *meter > LAST_METER) => {
                return Err(OfError::OFPMMFC_INVALID_METER);
            }
            Action::GotoTable(table) if (self.table != 255 && *table <= self.table || *table == 255) => {
                return Err(OfError::OFPBIC_BAD_TABLE_ID);
            }
            _ => {}
        }
        Ok(())
    }

    /// The packet has another EtherType from here on.
    fn becomes(&mut self, ethertype: u16) {
        if self.is_ethernet() {
            self.fields.set_number(FieldId::ETH_TYPE, ethertype.into());
        }
    }
}

fn output_port(port: OfPort) -> Result<(), OfError> {
    match port {
        OfPort::IN_PORT
        | OfPort::TABLE
        | OfPort::NORMAL
        | OfPort::FLOOD
        | OfPort::ALL
        | OfPort::CONTROLLER
        | OfPort::LOCAL => Ok(()),
        port if port < OfPort::MAX => Ok(()),
        _ => Err(OfError::OFPBAC_BAD_OUT_PORT),
    }
}

fn readable(part: Subfield, fields: &Match) -> Result<(), OfError> {
    if !part.fits() {
        return Err(OfError::OFPBAC_BAD_SET_LEN);
    }
    if fields.allows(part.field) { Ok(()) } else { Err(OfError::OFPBAC_MATCH_INCONSISTENT) }
}

fn writable(part: Subfield, fields: &Match) -> Result<(), OfError> {
    readable(part, fields)?;
    if part.field.get().is_writable() { Ok(()) } else { Err(OfError::OFPBAC_BAD_SET_ARGUMENT) }
}

/// The new flow must match what it names, in the order in which it is told.
fn check_learn(learn: &Learn, fields: &Match) -> Result<(), OfError> {
    let mut learned = Match::any();
    for spec in &learn.specs {
        if let LearnSource::Field(source) = spec.source {
            readable(source, fields)?;
        }
        match spec.target {
            LearnTarget::Match(target) => {
                readable(target, &learned)?;
                if let LearnSource::Immediate(value) = &spec.source {
                    let octets = usize::from(target.field.get().octets);
                    let zero = super::super::super::Value::zero(octets);
                    let (mut bits, mut mask) = learned.get(target.field).unwrap_or((zero.clone(), zero));
                    target.write(&mut bits, value);
                    target.write(&mut mask, &super::super::super::Value::ones(octets));
                    learned.set_masked(target.field, &bits, &mask);
                }
            }
            LearnTarget::Load(target) => writable(target, &learned)?,
            LearnTarget::Output => {}
        }
    }
    Ok(())
}
