//! Fields: set, copied, pushed on the stack and popped from it.

use super::context::{Context, is_ip};
use crate::openflow::field;
use crate::openflow::field::TlvMap;
use netloom_proto::openflow::field::Prerequisite;
use netloom_proto::openflow::{FieldId, Subfield, Value};
use netloom_table::Field;

const PRESENT: u64 = 0x1000;

/// Some bits of a field.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target(Subfield);

impl Target {
    pub(super) const fn of(part: Subfield) -> Self {
        Self(part)
    }
}

/// Whether a field is of the network layer or of ARP.
const fn is_of_network(id: FieldId) -> bool {
    matches!(
        id,
        FieldId::IPV4_SRC
            | FieldId::IPV4_DST
            | FieldId::IPV6_SRC
            | FieldId::IPV6_DST
            | FieldId::IPV6_LABEL
            | FieldId::IP_DSCP
            | FieldId::IP_ECN
            | FieldId::IP_TTL
            | FieldId::ARP_OP
            | FieldId::ARP_SPA
            | FieldId::ARP_TPA
            | FieldId::ARP_SHA
            | FieldId::ARP_THA
    )
}

impl Context<'_> {
    pub(super) fn tlv(&mut self) -> TlvMap {
        self.pipeline().map_or_else(TlvMap::default, |pipeline| pipeline.tlv_map().clone())
    }

    /// The map, for fields that need it.
    fn map_for(&mut self, id: FieldId) -> TlvMap {
        if id.as_tun_metadata().is_some() { self.tlv() } else { TlvMap::default() }
    }

    /// Whether the packet has what a field needs; what tells is looked at.
    fn meets(&mut self, id: FieldId) -> bool {
        let kind = self.flow.get(Field::ETH_TYPE);
        let first = self.flow.get(Field::IP_FRAG) & 2 == 0;
        match id.get().prerequisite {
            Prerequisite::Nothing => true,
            Prerequisite::Ethernet => self.flow.get(Field::PACKET_TYPE) == 0,
            Prerequisite::Arp => matches!(kind, 0x0806 | 0x8035),
            Prerequisite::Vlan => {
                self.mask.add_bits(Field::VLAN_TCI, PRESENT);
                self.flow.get(Field::VLAN_TCI) & PRESENT != 0
            }
            Prerequisite::Ipv4 => kind == 0x0800,
            Prerequisite::Ipv6 => kind == 0x86dd,
            Prerequisite::Ip => is_ip(&self.flow),
            Prerequisite::Nsh => kind == 0x894f,
            Prerequisite::Mpls => self.is_mpls(),
            Prerequisite::Tcp => is_ip(&self.flow) && self.look(Field::IP_PROTO) == 6 && first,
            Prerequisite::Udp => is_ip(&self.flow) && self.look(Field::IP_PROTO) == 17 && first,
            Prerequisite::Sctp => is_ip(&self.flow) && self.look(Field::IP_PROTO) == 132 && first,
            Prerequisite::Icmp => kind == 0x0800 && self.look(Field::IP_PROTO) == 1 && first,
            Prerequisite::Icmpv6 => kind == 0x86dd && self.look(Field::IP_PROTO) == 58 && first,
            Prerequisite::Ct => is_ip(&self.flow),
            Prerequisite::Neighbour => self.is_neighbour(&[135, 136]),
            Prerequisite::Solicitation => self.is_neighbour(&[135]),
            Prerequisite::Advertisement => self.is_neighbour(&[136]),
        }
    }

    fn is_neighbour(&mut self, kinds: &[u64]) -> bool {
        self.flow.get(Field::ETH_TYPE) == 0x86dd
            && self.look(Field::IP_PROTO) == 58
            && self.flow.get(Field::IP_FRAG) & 2 == 0
            && kinds.contains(&self.look(Field::TP_SRC))
            && self.look(Field::TP_DST) == 0
    }

    pub(super) fn is_mpls(&self) -> bool {
        matches!(self.flow.get(Field::ETH_TYPE), 0x8847 | 0x8848)
    }

    /// Writes the bits of a mask, if the packet has the field.
    pub(super) fn set_field(&mut self, id: FieldId, value: &Value, mask: &Value) {
        if !self.meets(id) {
            self.warn(|| format!("unmet prerequisites for {id}, set_field ignored"));
            return;
        }
        if is_of_network(id)
            && (is_ip(&self.flow) || matches!(self.flow.get(Field::ETH_TYPE), 0x0806 | 0x8035))
        {
            // The protocol is looked at too, as Open vSwitch does: it says there whether the layer is there.
            self.mask.add(Field::IP_PROTO);
        }
        let map = self.map_for(id);
        field::look(&mut self.mask, id, mask, &map);
        self.put(id, value, mask, &map);
    }

    fn put(&mut self, id: FieldId, value: &Value, mask: &Value, map: &TlvMap) {
        field::write(&mut self.flow, id, value, mask, map);
        match id {
            FieldId::VLAN_TCI | FieldId::VLAN_VID => self.settle_tag(false),
            FieldId::DL_VLAN | FieldId::DL_VLAN_PCP | FieldId::VLAN_PCP => self.settle_tag(true),
            _ => {}
        }
    }

    /// Makes the tag's EtherType agree with the bit that says that there is one.
    fn settle_tag(&mut self, present: bool) {
        self.tags_matter = true;
        let tci = self.flow.get(Field::VLAN_TCI);
        if present || tci & PRESENT != 0 {
            self.flow.set(Field::VLAN_TCI, tci | PRESENT);
            if self.flow.get(Field::VLAN_TPID) == 0 {
                self.flow.set(Field::VLAN_TPID, 0x8100);
            }
        } else if self.flow.get(Field::VLAN_TPID) != 0 {
            self.pop_tag();
        } else {
            self.flow.set(Field::VLAN_TCI, 0);
        }
    }

    /// Some bits of a field; they are looked at.
    pub(super) fn read_bits(&mut self, part: Subfield) -> Value {
        let map = self.map_for(part.field);
        let mut mask = field::read(&self.flow, part.field, &map);
        mask.octets_mut().fill(0);
        part.write(&mut mask, &Value::ones(netloom_proto::openflow::value::MAX_OCTETS));
        field::look(&mut self.mask, part.field, &mask, &map);
        part.read(&field::read(&self.flow, part.field, &map))
    }

    /// Writes some bits of a field, whether or not the packet has it.
    pub(super) fn write(&mut self, target: Target, value: &Value) {
        let part = target.0;
        let map = self.map_for(part.field);
        let mut wide = field::read(&self.flow, part.field, &map);
        let mut mask = wide.clone();
        mask.octets_mut().fill(0);
        part.write(&mut wide, value);
        part.write(&mut mask, &Value::ones(netloom_proto::openflow::value::MAX_OCTETS));
        field::look(&mut self.mask, part.field, &mask, &map);
        self.put(part.field, &wide, &mask, &map);
    }

    pub(super) fn move_bits(&mut self, source: Subfield, target: Subfield) {
        if !self.meets(target.field) || !self.meets(source.field) {
            let (from, to) = (source.field, target.field);
            self.warn(|| format!("unmet prerequisites for move from {from} to {to}, ignored"));
            return;
        }
        let value = self.read_bits(source);
        self.write(Target(target), &value);
    }

    pub(super) fn push(&mut self, source: Subfield) {
        let value = self.read_bits(source);
        // Lengths do not matter: what is popped takes the low bits.
        self.stack.push(value);
    }

    pub(super) fn pop(&mut self, target: Subfield) {
        match self.stack.pop() {
            Some(value) => self.write(Target(target), &value),
            None => self.warn(|| "attempted to pop from an empty stack".into()),
        }
    }

    /// Writes bits of the outer tag, or makes one.
    pub(super) fn set_tag(&mut self, bits: u64, value: u64, push: bool) {
        self.mask.add_bits(Field::VLAN_TCI, bits);
        self.tags_matter = true;
        let tci = self.flow.get(Field::VLAN_TCI);
        if tci & PRESENT == 0 && !push {
            return;
        }
        self.flow.set(Field::VLAN_TCI, tci & !bits | value & bits | PRESENT);
        if self.flow.get(Field::VLAN_TPID) == 0 {
            self.flow.set(Field::VLAN_TPID, 0x8100);
        }
    }

    pub(super) fn pop_tag(&mut self) {
        self.tags_matter = true;
        if self.flow.get(Field::VLAN_TPID) == 0 {
            return;
        }
        self.mask.add(Field::INNER_TPID);
        if self.flow.get(Field::INNER_TPID) != 0 {
            self.mask.add(Field::INNER_TCI);
        }
        let word = self.flow.word(Field::VLAN_TPID.word());
        // The second tag becomes the first.
        self.flow.set_word(Field::VLAN_TPID.word(), word << 32);
    }

    pub(super) fn push_tag(&mut self, tpid: u16) {
        self.tags_matter = true;
        let word = self.flow.word(Field::VLAN_TPID.word());
        let full = self.flow.get(Field::INNER_TPID) != 0;
        if full {
            // The innermost tag gets out of sight: what was changed is written before.
            self.mask.add(Field::INNER_TCI);
            self.commit();
            self.out.push(netloom_nf::Action::PushVlan { tpid, tci: 0 });
        }
        let word = word >> 32 | (u64::from(tpid) << 16 | PRESENT) << 32;
        self.flow.set_word(Field::VLAN_TPID.word(), word);
        if full {
            self.base.set_word(Field::VLAN_TPID.word(), word);
        }
    }

    pub(super) fn set_mpls(&mut self, shift: u32, ones: u64, value: u64) {
        if self.is_mpls() {
            self.mask.add_bits(Field::MPLS_OUTER, ones << shift);
            let entry = self.flow.get(Field::MPLS_OUTER) & !(ones << shift) | (value & ones) << shift;
            self.flow.set(Field::MPLS_OUTER, entry);
        }
    }
}
