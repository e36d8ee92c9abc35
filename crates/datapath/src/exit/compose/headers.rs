//! Headers put before packets and taken from them.

use super::{Rest, Step, Walk};
use crate::exit::connect::Tracked;
use crate::exit::{Exit, Outcome};
use netloom_mem::{Batch, PortNumber};
use netloom_nf::conntrack;
use netloom_nf::rewrite::Layout;
use netloom_nf::tunnel::{Encapsulation, Tunnels, decapsulate};
use netloom_nf::{Action, Hashing, Reason};
use netloom_nf::{
    dp_hash, packet_type, pop_ethernet, pop_mpls, pop_nsh, pop_vlan, push_ethernet, push_mpls, push_nsh,
    push_vlan, set_vlan,
};
use netloom_table::{Field, Key};

impl Exit {
    /// Puts headers before the packet.
    pub(super) fn push(
        &mut self,
        batch: &mut Batch,
        index: usize,
        action: &Action,
        walk: &mut Walk,
        rest: Rest<'_>,
    ) -> Step {
        let (mut size, mut kind) = (4, None);
        let done = match action {
            Action::PushVlan { tpid, tci } => push_vlan(batch, index, *tpid, *tci),
            Action::PushMpls { ethertype, entry } => {
                let layout = self.layout(batch, index, walk);
                kind = (!layout.ethernet).then(|| packet_type(*ethertype));
                push_mpls(batch, index, &layout, *ethertype, *entry)
            }
            Action::PushEthernet { destination, source } => {
                (size, kind) = (14, Some(0));
                let ethertype = walk.key.get(Field::PACKET_TYPE) as u16;
                push_ethernet(batch, index, *destination, *source, ethertype)
            }
            Action::PushNsh(header) => {
                (size, kind) = (256, Some(packet_type(0x894f)));
                push_nsh(batch, index, header)
            }
            Action::Encapsulate(encapsulation) => {
                (size, kind) = (encapsulation.size(), Some(0));
                self.encapsulate(batch, index, encapsulation, walk, rest.now)
            }
            _ => false,
        };
        if !done {
            return self.walk_roomy(batch, index, size, walk, rest);
        }
        if let Some(kind) = kind {
            walk.key.set(Field::PACKET_TYPE, kind);
        }
        walk.moved = true;
        Step::On
    }

    pub(super) fn encapsulate(
        &mut self,
        batch: &mut Batch,
        index: usize,
        encapsulation: &Encapsulation,
        walk: &mut Walk,
        now: u64,
    ) -> bool {
        let entropy = dp_hash(Hashing::default(), &walk.key);
        let octets = batch.length(index);
        let done = encapsulation.put(batch, index, entropy, now);
        if done {
            self.count_out(encapsulation.tunnel(), octets);
            forget_tunnel(&mut walk.key);
            conntrack::clear(&mut walk.key, &mut walk.tracked);
        }
        done
    }

    /// Takes headers from the packet, or writes the outer tag.
    pub(super) fn pop(&mut self, batch: &mut Batch, index: usize, action: &Action, walk: &mut Walk) -> Step {
        let done = match action {
            Action::PopVlan => pop_vlan(batch, index),
            Action::SetVlan(tci) => set_vlan(batch, index, *tci),
            Action::PopMpls { ethertype } => {
                let layout = self.layout(batch, index, walk);
                if matches!(layout.kind, 0x8847 | 0x8848) && !layout.ethernet {
                    walk.key.set(Field::PACKET_TYPE, packet_type(*ethertype));
                }
                pop_mpls(batch, index, &layout, *ethertype);
                true
            }
            Action::PopEthernet => {
                let layout = self.layout(batch, index, walk);
                let kind = packet_type(walk.key.get(Field::ETH_TYPE) as u16);
                let done = pop_ethernet(batch, index, &layout);
                if done {
                    walk.key.set(Field::PACKET_TYPE, kind);
                }
                done
            }
            _ => {
                let kind = if walk.key.get(Field::PACKET_TYPE) == packet_type(0x894f) {
                    pop_nsh(batch, index)
                } else {
                    None
                };
                if let Some(kind) = kind {
                    walk.key.set(Field::PACKET_TYPE, kind.into());
                }
                kind.is_some()
            }
        };
        walk.moved = true;
        if done { Step::On } else { walk.drop(Reason::Malformed) }
    }

    /// Takes the headers of a tunnel off the packet, which comes in once more.
    pub(super) fn decapsulate(
        &mut self,
        batch: &mut Batch,
        index: usize,
        port: PortNumber,
        walk: &mut Walk,
        rest: Rest<'_>,
    ) {
        let Some(kind) = self.tunnels.get(port).map(|tunnel| tunnel.kind) else {
            walk.outcome = Outcome::Dropped(Reason::PortGone);
            return;
        };
        self.refresh(batch, index, walk);
        let layout = Layout::of(&walk.key, walk.layers);
        let Some(place) = self.place_later(batch, index, walk, rest.tail) else { return };
        let mut length = 0;
        let mut take = |frames: &mut Batch, index: usize, tunnels: &Tunnels| {
            let taken = decapsulate(frames, index, kind, tunnels, &layout, &mut walk.key);
            length = frames.length(index) as u64;
            taken
        };
        let taken = if place.batch == self.current && walk.stays && rest.tail {
            take(batch, index, &self.tunnels)
        } else {
            let frames = self.copied.get_mut(place.batch.wrapping_sub(1));
            frames.and_then(|frames| take(frames, place.index.into(), &self.tunnels))
        };
        let Some(port) = taken else {
            if walk.outcome != Outcome::Sent {
                walk.outcome = Outcome::Dropped(Reason::BadTunnel);
            }
            return;
        };
        if let Some(counters) = self.tunnel_counters(port) {
            counters.received.add(1);
            counters.received_octets.add(length);
        }
        walk.tracked = Tracked::default();
        walk.moved = true;
        self.push_again(place, walk, true);
    }
}

/// Forgets what a packet's tunnel said, or what it was given for one.
fn forget_tunnel(key: &mut Key) {
    for word in (13..=19).chain(48..netloom_table::key::WORDS) {
        if key.word(word) != 0 {
            key.set_word(word, 0);
        }
    }
    for field in [Field::TUN_OPTIONS, Field::TUN_ERSPAN_IDX] {
        if key.get(field) != 0 {
            key.set(field, 0);
        }
    }
}
