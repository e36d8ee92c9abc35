//! Tunnels: the headers that a packet leaves in, and what the bridge on the way does with it then.
//!
//! What: a tunnel's settings and the packet's `tun_*` fields say the headers ([`super::World::headers`]). With them the packet is
//! another one, which comes from the own interface of the bridge that the way to the other end leads through, and is asked of that
//! bridge's tables like any other. All of it is one program: packets are looked up once.
//!
//! Costs: one translation more for each flow.
//!
//! Deliberately absent: looking at what is only known of each packet (the outer source port, which is zero to tables).

use super::super::{BridgeNumber, field};
use super::context::Context;
use crate::mirror::Gate;
use crate::openflow::port::{OfPortEntry, TunnelForm};
use netloom_mem::PortNumber;
use netloom_nf::tunnel::Encapsulation;
use netloom_nf::{Action as Step, Program, Reason, Rewrite, Shape};
use netloom_proto::openflow::OfPort;
use netloom_table::key::{WORDS, extract};
use netloom_table::{Field, Key, Mask};
use netloom_wire::MacAddr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// EtherType of ARP, and the opcode of its answers (RFC 826).
const ARP: u64 = 0x0806;
const REPLY: u64 = 2;
/// Neighbour advertisements (RFC 4861, 4.4).
const ICMPV6: u64 = 58;
const ADVERTISEMENT: u64 = 136;
/// Octets of the shortest frame.
const SHORTEST: u16 = 60;

impl Context<'_> {
    /// Sends the packet to the bridge's own interface, or takes the headers of a tunnel off it that ends here.
    pub(super) fn arrive(&mut self, port: PortNumber, truncate: Option<u32>) {
        let key = self.data_path_key();
        let mut mask = self.mask.clone();
        let tunnel = self.world.arrival(&key, &mut mask);
        self.mask = mask;
        self.hear_neighbour(port);
        match tunnel {
            Some(number) => {
                self.detail(|| "terminating native tunnel".into());
                self.commit();
                self.out.push(Step::Decapsulate(number));
            }
            None => self.send(port, truncate),
        }
    }

    /// Learns the address of a neighbour from its answer to the system. All answers of a flow say the same.
    fn hear_neighbour(&mut self, own: PortNumber) {
        if !self.pipeline().is_some_and(|pipeline| pipeline.terminates()) {
            return;
        }
        let heard = match self.flow.get(Field::ETH_TYPE) {
            ARP if self.look(Field::IP_PROTO) == REPLY => {
                let address = IpAddr::V4(Ipv4Addr::from_bits(self.look(Field::IP4_SRC) as u32));
                Some((address, self.look(Field::ARP_SHA)))
            }
            0x86dd
                if self.look(Field::IP_PROTO) == ICMPV6
                    && self.look(Field::TP_SRC) == ADVERTISEMENT
                    && self.look(Field::TP_DST) == 0 =>
            {
                let words = [Field::ND_TARGET_HIGH, Field::ND_TARGET_LOW].map(|field| self.look(field));
                let address = Ipv6Addr::from_bits(u128::from(words[0]) << 64 | u128::from(words[1]));
                Some((IpAddr::V6(address), self.look(Field::ARP_THA)))
            }
            _ => None,
        };
        let Some((address, mac)) = heard.filter(|(_, mac)| self.effects && *mac != 0) else { return };
        let [_, _, mac @ ..] = mac.to_be_bytes();
        self.world.neighbour(own, address, MacAddr::new(mac));
    }

    /// Sends the packet through a tunnel. What the tunnel itself writes into `tun_*` is not seen later.
    pub(super) fn tunnel(&mut self, form: &TunnelForm, port: PortNumber, truncate: Option<u32>) {
        let before = self.flow.clone();
        if let Some(key) = form.out_key {
            self.flow.set(Field::TUN_ID, key);
        }
        self.set_ends(form);
        // Nothing of the headers that the packet came in is left but what flows can write (Open vSwitch's `tnl_port_send`).
        let control = self.flow.get(Field::TUN_FLAGS) & netloom_nf::tunnel::FLAG_CONTROL;
        self.flow.set(Field::TUN_FLAGS, control);
        let ip = super::context::is_ip(&self.flow);
        let tos = if form.inherit_tos && ip { self.look(Field::IP_TOS) } else { 0 };
        self.flow.set(Field::TUN_TOS, tos);
        let ttl = if form.inherit_ttl && ip { self.look(Field::IP_TTL) } else { 0 };
        self.flow.set(Field::TUN_TTL, ttl);
        if has_end(&self.flow) {
            self.tell_tunnel();
            self.detail(|| "output to native tunnel".into());
            if truncate.is_some() || !self.encapsulate(port, &before) {
                let rewrite = self.ends(form);
                self.commit_with(rewrite);
                self.send(port, truncate);
            }
        } else {
            self.warn(|| "Tunneling decided against output".into());
        }
        self.flow = before;
    }

    /// Puts the headers of a tunnel before a copy of the packet and sends it, if there is a way now: flows are taken back when
    /// tunnels or ways change. `before` is the packet without what the tunnel writes.
    fn encapsulate(&mut self, port: PortNumber, before: &Key) -> bool {
        let key = self.data_path_key();
        let mut looked = Mask::default();
        let Some((headers, hop)) = self.world.headers(port, &key, &mut looked) else { return false };
        // All packets that come in here for the first time, and by no tunnel, have no fields of one.
        let alike = self.flow.get(Field::RECIRCULATION) == 0 && !has_end(&self.base);
        for (word, bits) in looked.words().iter().enumerate() {
            if !(alike && is_of_tunnel(word)) {
                self.mask.add_word(word, *bits);
            }
        }
        // The headers say all that `tun_*` fields do: the program need not write them.
        for word in (0..WORDS).filter(|word| is_of_tunnel(*word)) {
            self.flow.set_word(word, self.base.word(word));
        }
        let options = self.base.get(Field::TUN_OPTIONS);
        self.flow.set(Field::TUN_OPTIONS, options);
        self.commit();
        self.flow = before.clone();
        self.tell_departure(port);
        let mut steps = match hop.own.and_then(|own| Some((own, self.world.bridge_of(own)?))) {
            Some((own, bridge)) => self.leave_by(own, bridge, &headers),
            None => vec![Step::Output(hop.port)],
        };
        steps.insert(0, Step::Encapsulate(Arc::new(headers)));
        let program = Program::new(steps, Reason::Rule);
        // What the bridge on the way drops need not be made.
        if !matches!(program.shape(), Shape::Drop(_)) {
            self.out.push(Step::Clone(Arc::new(program)));
        }
        true
    }

    /// What the tables of a bridge do with a tunnelled packet, which comes from the bridge's own interface as if the system had
    /// sent it.
    fn leave_by(&mut self, own: PortNumber, bridge: BridgeNumber, headers: &Encapsulation) -> Vec<Step> {
        let outer = headers.outer();
        let found = self
            .world
            .pipeline(bridge)
            .and_then(|pipeline| Some((pipeline.port_of(own)?, pipeline.options().name.clone())));
        let Some((port, name)) = found else {
            self.warn(|| "native tunnel routing failed".into());
            return Vec::new();
        };
        self.detail(|| format!("tunneling to {} via {name}", outer.to));
        self.detail(|| {
            format!("tunneling from {} {} to {} {}", outer.from_mac, outer.from, outer.to_mac, outer.to)
        });
        if !self.may_go_on() {
            return Vec::new();
        }
        let frame = headers.example(SHORTEST);
        let mut flow = Key::default();
        extract(&frame, frame.len() + usize::from(SHORTEST), own, &mut flow);
        field::normalise(&mut flow, port);
        flow.set(Field::ACTSET_OUTPUT, u64::from(OfPort::UNSET.0));
        let there = self.begin_elsewhere(bridge, name);
        self.base = flow.clone();
        self.flow = flow;
        // What is looked at there is known: the headers are ours.
        let mask = std::mem::take(&mut self.mask);
        let (tags_matter, longer, telling) = (self.tags_matter, self.longer, self.telling);
        self.longer = longer.saturating_add(headers.size() as u16);
        let last = std::mem::replace(&mut self.last, true);
        (self.tracked, self.was_mpls) = (false, false);
        if let Some(entry) = self.entry(port)
            && entry.forwards
            && !entry.is(OfPortEntry::NO_RECEIVE | OfPortEntry::DOWN)
        {
            self.mirror(Gate::In(own));
            self.table(port, 0, true, true, false);
            self.end();
        }
        (self.mask, self.tags_matter, self.last, self.longer) = (mask, tags_matter, last, longer);
        self.telling = telling;
        let (steps, saved) = self.end_elsewhere(bridge, there);
        self.restore_all(&saved);
        steps
    }

    fn set_ends(&mut self, form: &TunnelForm) {
        let any = form.local.is_none() && !form.local_by_flow;
        let local = if any { Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) } else { form.local };
        let ends = [
            (form.remote, Field::TUN_DST, Field::TUN6_DST_HIGH, Field::TUN6_DST_LOW),
            (local, Field::TUN_SRC, Field::TUN6_SRC_HIGH, Field::TUN6_SRC_LOW),
        ];
        for (end, four, high, low) in ends {
            let (short, wide) = match end {
                Some(IpAddr::V4(address)) => (address.to_bits(), 0),
                Some(IpAddr::V6(address)) => (0, address.to_bits()),
                None => continue,
            };
            self.flow.set(four, u64::from(short));
            for (field, part) in [(high, (wide >> 64) as u64), (low, wide as u64)] {
                if self.flow.get(field) != part {
                    self.flow.set(field, part);
                }
            }
        }
    }

    /// What the tunnel alone decides, written whole: packets that came by a tunnel bring other values, which nobody has
    /// looked at.
    fn ends(&mut self, form: &TunnelForm) -> Rewrite {
        let four = self.flow.get(Field::TUN_DST) != 0;
        let came = has_end(&self.base);
        let local: &[Field] = match (form.local.is_some() || !form.local_by_flow, four) {
            (false, _) => &[],
            (true, true) => &[Field::TUN_SRC],
            (true, false) => &[Field::TUN6_SRC_HIGH, Field::TUN6_SRC_LOW],
        };
        let remote: &[Field] = match (form.remote.is_some(), four) {
            (false, _) => &[],
            (true, true) => &[Field::TUN_DST],
            (true, false) => &[Field::TUN_DST, Field::TUN6_DST_HIGH, Field::TUN6_DST_LOW],
        };
        let key: &[Field] = if form.out_key.is_some() { &[Field::TUN_ID] } else { &[] };
        let fields = [local, remote, key, &[Field::TUN_TOS, Field::TUN_TTL]];
        let mut rewrite = Rewrite::default();
        for field in fields.into_iter().flatten() {
            let value = self.flow.get(*field);
            if came || self.base.get(*field) != value {
                // Fields of tunnels can be written.
                let _ = rewrite.add(*field, value, field.ones());
                self.base.set(*field, value);
            }
        }
        if came {
            let private = Field::TUN_FLAGS.ones() & !netloom_nf::tunnel::FLAG_CONTROL;
            let _ = rewrite.add(Field::TUN_FLAGS, 0, private);
            let control = self.base.get(Field::TUN_FLAGS) & !private;
            self.base.set(Field::TUN_FLAGS, control);
        }
        rewrite
    }
}

/// Whether a word of keys has fields of tunnels and nothing else.
const fn is_of_tunnel(word: usize) -> bool {
    matches!(word, 13..=19 | 48..WORDS)
}

/// Whether a packet came by a tunnel or is to leave by one.
fn has_end(key: &Key) -> bool {
    key.get(Field::TUN_DST) != 0 || key.word(18) != 0 || key.word(19) != 0
}
