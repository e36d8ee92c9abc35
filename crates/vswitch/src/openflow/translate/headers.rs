//! Headers that come and go: MPLS labels, Ethernet, network service headers.
//!
//! They are pushed and taken at once, so that `base` and `flow` have the same layers. What lies behind a label that was
//! taken is unknown until the packet comes back.

use super::Problem;
use super::context::{Context, is_ip};
use netloom_nf::{Action as Step, NshHeader, NshMetadata};
use netloom_proto::openflow::action::{Encap, EncapProperty, USE_NEXT_PROTOCOL};
use netloom_table::{Field, Key};
use std::sync::Arc;

const MPLS: u64 = 0x8847;
const BOTTOM: u64 = 1 << 8;
/// `packet_type` of a network service header.
const PACKET_NSH: u64 = 0x1_894f;

/// Words of the network and transport layers.
const NETWORK: [usize; 16] = [4, 5, 8, 9, 10, 11, 12, 20, 21, 22, 23, 25, 26, 27, 28, 24];

/// Forgets everything from the network layer on, but for MPLS labels if they are to stay.
fn clear_network(key: &mut Key, mpls: bool) {
    for word in NETWORK {
        let labels = matches!(word, 24 | 25);
        if key.word(word) != 0 && (mpls || !labels) {
            key.set_word(word, 0);
        }
    }
    key.set(Field::IP_PROTO, 0);
    key.set(Field::IP_FRAG, 0);
}

impl Context<'_> {
    /// How many labels the packet has, as far as they are read; they are looked at as far as that tells.
    fn labels(&mut self) -> usize {
        if !self.is_mpls() {
            return 0;
        }
        let mut count = 0;
        for field in [Field::MPLS_OUTER, Field::MPLS_SECOND, Field::MPLS_THIRD] {
            count += 1;
            self.mask.add_bits(field, BOTTOM);
            if self.flow.get(field) & BOTTOM != 0 {
                break;
            }
        }
        count
    }

    pub(super) fn push_mpls(&mut self, kind: u16) {
        let labels = self.labels();
        if labels >= 3 {
            self.warn(|| "bridge: dropping packet on which an MPLS push action can't be performed".into());
            self.fail(Problem::TooManyLabels);
            return;
        }
        self.commit();
        let entry = if labels > 0 {
            self.mask.add(Field::MPLS_OUTER);
            self.flow.get(Field::MPLS_OUTER) & !BOTTOM
        } else {
            // Label 0 or 2 is the explicit null of IPv4 or IPv6; class and time to live are the packet's.
            let label = if self.flow.get(Field::ETH_TYPE) == 0x86dd { 2 } else { 0 };
            let (mut class, mut ttl) = (0, 64);
            if is_ip(&self.flow) {
                class = self.look(Field::IP_TOS) >> 2 & 7;
                let own = self.look(Field::IP_TTL);
                ttl = if own == 0 { 64 } else { own };
            }
            label << 12 | class << 9 | BOTTOM | ttl
        };
        let all: Vec<u64> =
            [Field::MPLS_OUTER, Field::MPLS_SECOND].iter().map(|field| self.flow.get(*field)).collect();
        self.out.push(Step::PushMpls { ethertype: kind, entry: entry as u32 });
        for key in [&mut self.flow, &mut self.base] {
            if labels == 0 {
                clear_network(key, true);
            }
            key.set(Field::ETH_TYPE, u64::from(kind));
            key.set(Field::MPLS_OUTER, entry);
            if labels > 0 {
                key.set(Field::MPLS_SECOND, all[0]);
                key.set(Field::MPLS_THIRD, all[1]);
            }
        }
    }

    pub(super) fn pop_mpls(&mut self, kind: u16) {
        let labels = self.labels();
        if labels == 0 {
            return;
        }
        let bottom = [Field::MPLS_OUTER, Field::MPLS_SECOND, Field::MPLS_THIRD][labels - 1];
        if self.flow.get(bottom) & BOTTOM == 0 && labels >= 3 {
            self.fail(Problem::TooManyLabels);
            return;
        }
        self.commit();
        self.out.push(Step::PopMpls { ethertype: kind });
        for key in [&mut self.flow, &mut self.base] {
            let (second, third) = (key.get(Field::MPLS_SECOND), key.get(Field::MPLS_THIRD));
            key.set(Field::MPLS_OUTER, second);
            key.set(Field::MPLS_SECOND, third);
            key.set(Field::MPLS_THIRD, 0);
            key.set(Field::ETH_TYPE, u64::from(kind));
        }
        if labels == 1 || !matches!(u64::from(kind), MPLS | 0x8848) {
            self.was_mpls = true;
        }
    }

    pub(super) fn encap(&mut self, encap: &Encap) {
        let kind = u64::from(encap.packet_type);
        let packet = self.look(Field::PACKET_TYPE);
        match kind {
            0 if packet != 0 => {
                self.commit();
                self.out.push(Step::PushEthernet { destination: [0; 6], source: [0; 6] });
                for key in [&mut self.flow, &mut self.base] {
                    key.set(Field::PACKET_TYPE, 0);
                    key.set(Field::ETH_DST, 0);
                    key.set(Field::ETH_SRC, 0);
                    key.set(Field::ETH_TYPE, packet & 0xffff);
                    key.set_word(Field::VLAN_TPID.word(), 0);
                }
            }
            PACKET_NSH => self.encap_nsh(encap, packet),
            _ => {
                self.warn(|| "unsupported encap".into());
                self.fail(Problem::BadHeader);
            }
        }
    }

    fn encap_nsh(&mut self, encap: &Encap, packet: u64) {
        let next = match packet {
            0 => 3,
            0x1_0800 => 1,
            0x1_86dd => 2,
            PACKET_NSH => 4,
            _ => {
                self.fail(Problem::BadHeader);
                return;
            }
        };
        self.commit();
        let mut metadata = NshMetadata::Fixed([0; 4]);
        let mut options = Vec::new();
        for property in &encap.properties {
            match property {
                EncapProperty::NshMdType(2) => metadata = NshMetadata::Variable(Box::default()),
                EncapProperty::NshMdType(_) => {}
                EncapProperty::NshTlv { class, kind, data } => {
                    options.extend(class.to_be_bytes());
                    options.extend([*kind, data.len() as u8]);
                    options.extend(data);
                    options.resize(options.len().next_multiple_of(4), 0);
                }
            }
        }
        options.truncate(248);
        let mut mdtype = 1;
        if let NshMetadata::Variable(place) = &mut metadata {
            *place = options.into();
            mdtype = 2;
        }
        self.out.push(Step::PushNsh(Arc::new(NshHeader { flags: 0, ttl: 63, next, path: 255, metadata })));
        for key in [&mut self.flow, &mut self.base] {
            clear_network(key, true);
            key.set(Field::PACKET_TYPE, PACKET_NSH);
            key.set(Field::ETH_TYPE, 0x894f);
            key.set(Field::ETH_DST, 0);
            key.set(Field::ETH_SRC, 0);
            key.set_word(Field::VLAN_TPID.word(), 0);
            key.set(Field::NSH_TTL, 63);
            key.set(Field::NSH_NP, u64::from(next));
            key.set(Field::NSH_PATH, 255);
            key.set(Field::NSH_MDTYPE, mdtype);
        }
    }

    pub(super) fn decap(&mut self, packet_type: u32) {
        let packet = self.look(Field::PACKET_TYPE);
        let network = self.flow.get(Field::ETH_TYPE);
        match packet {
            0 if self.flow.get(Field::VLAN_TPID) != 0 => {
                self.mask.add_bits(Field::VLAN_TCI, 0x1000);
                self.detail(|| "vlan header present, cannot decap Ethernet".into());
                self.fail(Problem::BadHeader);
            }
            0 => {
                self.mask.add_bits(Field::VLAN_TCI, 0x1000);
                self.commit();
                self.out.push(Step::PopEthernet);
                for key in [&mut self.flow, &mut self.base] {
                    key.set(Field::PACKET_TYPE, 1 << 16 | network);
                    key.set(Field::ETH_DST, 0);
                    key.set(Field::ETH_SRC, 0);
                }
            }
            PACKET_NSH => {
                let next = self.look(Field::NSH_NP);
                let inner = match next {
                    1 => 0x1_0800,
                    2 => 0x1_86dd,
                    3 => 0,
                    4 => PACKET_NSH,
                    _ => {
                        self.fail(Problem::BadHeader);
                        return;
                    }
                };
                if packet_type != USE_NEXT_PROTOCOL && u64::from(packet_type) != inner {
                    self.fail(Problem::BadHeader);
                    return;
                }
                self.commit();
                self.out.push(Step::PopNsh);
                for key in [&mut self.flow, &mut self.base] {
                    key.set(Field::PACKET_TYPE, inner);
                    key.set(Field::ETH_TYPE, inner & 0xffff);
                }
                // What is inside is known when the packet comes back.
                self.trigger_freeze();
                self.repeats = false;
            }
            _ => {
                self.detail(|| "unsupported decap".into());
                self.fail(Problem::BadHeader);
            }
        }
    }
}
