//! Packets that go to a controller, and those that it sends.

use super::super::number::{dotted, hex};
use super::super::{DEFAULT_PRIORITY, print_actions, print_frame, print_match};
use super::{Printer, hex_dump};
use crate::openflow::action::{self, Action};
use crate::openflow::codec::Reader;
use crate::openflow::message::{PacketIn, PacketInReason, PacketOut};
use crate::openflow::{FieldId, Match, OfError, Version};
use std::fmt::Write;

/// Reasons that are no reason of a message: that no flow matched, by a flow for that or without.
const MISSES: [u8; 2] = [6, 7];

/// The word for why a packet goes to a controller.
pub(super) fn reason_word(number: u8) -> String {
    match PacketInReason::from_number(number) {
        Some(PacketInReason::NoMatch) => "no_match".to_owned(),
        Some(PacketInReason::Action) => "action".to_owned(),
        Some(PacketInReason::InvalidTtl) => "invalid_ttl".to_owned(),
        Some(PacketInReason::ActionSet) => "action_set".to_owned(),
        Some(PacketInReason::Group) => "group".to_owned(),
        Some(PacketInReason::PacketOut) => "packet_out".to_owned(),
        None if MISSES.contains(&number) => String::new(),
        None => number.to_string(),
    }
}

/// Name space and type of a packet; Ethernet unless it is said.
fn packet_type(metadata: &Match) -> u32 {
    metadata.get(FieldId::PACKET_TYPE).map_or(0, |(value, _)| value.to_u64() as u32)
}

/// What a switch noted about a packet that it holds back, as Open vSwitch writes it.
#[derive(Default)]
struct Continuation {
    bridge: [u8; 16],
    stack: Vec<Vec<u8>>,
    mirrors: u32,
    tracked: bool,
    actions: Vec<(u8, u64, Vec<Action>)>,
    action_set: Vec<Action>,
    port: u32,
}

impl Continuation {
    fn read(version: Version, octets: &[u8]) -> Result<Self, OfError> {
        let mut held = Self::default();
        let mut properties = Reader::with_error(octets, OfError::OFPBPC_BAD_LEN);
        let (mut table, mut cookie) = (0, 0);
        while !properties.is_empty() {
            let mut ahead = Reader::with_error(properties.rest(), OfError::OFPBPC_BAD_LEN);
            let (kind, length) = (ahead.u16()?, usize::from(ahead.u16()?));
            let mut value = ahead.sub(length.checked_sub(4).ok_or(OfError::OFPBPC_BAD_LEN)?)?;
            properties.skip(length.next_multiple_of(8))?;
            match kind {
                0x8000 => held.bridge = value.take(16)?.try_into().map_err(|_| OfError::OFPBPC_BAD_LEN)?,
                0x8001 => held.stack.push(value.rest().to_vec()),
                0x8002 => held.mirrors = value.u32()?,
                0x8003 => held.tracked = true,
                0x8004 => table = value.u8()?,
                0x8005 => {
                    value.skip(4)?;
                    cookie = value.u64()?;
                }
                0x8006 => held.actions.push((table, cookie, take_actions(version, value)?)),
                0x8007 => held.action_set = take_actions(version, value)?,
                0x8008 => held.port = value.u32()?,
                _ => {}
            }
        }
        Ok(held)
    }
}

fn take_actions(version: Version, mut value: Reader<'_>) -> Result<Vec<Action>, OfError> {
    value.skip(4)?;
    let length = value.len();
    action::take_actions(&mut value, length, &action::Context::new(version))
}

impl Printer<'_> {
    pub(super) fn packet_in(&mut self, packet: &PacketIn) -> Result<(), OfError> {
        let continuation = match &packet.continuation {
            Some(octets) => Continuation::read(self.version, octets)?,
            None => Continuation::default(),
        };
        if packet.table != 0 || self.names.has_table(packet.table) {
            let _ = write!(self.out, " table_id={}", self.names.print_table(packet.table));
        }
        if let Some(cookie) = packet.cookie {
            let _ = write!(self.out, " cookie={cookie:#x}");
        }
        let fields = print_match(&packet.metadata, DEFAULT_PRIORITY, self.names);
        let (total, length) = (packet.total_length, packet.packet.len());
        let reason = reason_word(packet.reason);
        let _ = write!(self.out, " total_len={total} {fields} (via {reason}) data_len={length}");
        match packet.buffer {
            None => {
                self.put(" (unbuffered)");
                if total as usize != length {
                    self.put(" (***total_len != data_len***)");
                }
            }
            Some(buffer) => {
                let _ = write!(self.out, " buffer={buffer:#010x}");
                if (total as usize) < length {
                    self.put(" (***total_len < data_len***)");
                }
            }
        }
        self.out.push('\n');
        if !packet.userdata.is_empty() {
            let _ = writeln!(self.out, " userdata={}", dotted(&packet.userdata));
        }
        self.continuation(&continuation);
        if self.detail > 0 {
            self.put(&print_frame(&packet.packet, packet_type(&packet.metadata)));
        }
        if self.detail > 2 {
            self.put(&hex_dump(&packet.packet, false));
        }
        Ok(())
    }

    fn continuation(&mut self, held: &Continuation) {
        if held.bridge != [0; 16] {
            // The words of the number are as its host has them.
            let octets = held.bridge.chunks(4).flat_map(|word| word.iter().rev());
            let text: String = octets.map(|octet| format!("{octet:02x}")).collect();
            let groups =
                [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| text.get(range).unwrap_or_default());
            let _ = writeln!(self.out, " continuation.bridge={}", groups.join("-"));
        }
        if !held.stack.is_empty() {
            let values: String = held.stack.iter().map(|value| format!(" {}", hex(value))).collect();
            let _ = writeln!(self.out, " continuation.stack=(top){values} (bottom)");
        }
        if held.mirrors != 0 {
            let _ = writeln!(self.out, " continuation.mirrors={:#x}", held.mirrors);
        }
        if held.tracked {
            self.put(" continuation.conntracked=true\n");
        }
        if !held.actions.is_empty() {
            let all = held.actions.iter().map(|(table, cookie, actions)| {
                let unroll = format!("unroll_xlate(table={table}, cookie={cookie})");
                if actions.is_empty() {
                    return unroll;
                }
                format!("{unroll},{}", print_actions(actions, self.names))
            });
            let all: Vec<String> = all.collect();
            let _ = writeln!(self.out, " continuation.actions={}", all.join(","));
        }
        if !held.action_set.is_empty() {
            let actions = print_actions(&held.action_set, self.names);
            let _ = writeln!(self.out, " continuation.action_set={actions}");
        }
        if held.port != 0 {
            let _ = writeln!(self.out, " continuation.odp_port={}", held.port);
        }
    }

    pub(super) fn packet_out(&mut self, packet: &PacketOut) {
        let fields = print_match(&packet.metadata, DEFAULT_PRIORITY, self.names);
        let actions = print_actions(&packet.actions, self.names);
        let _ = write!(self.out, " {fields} actions={actions}");
        if let Some(buffer) = packet.buffer {
            let _ = write!(self.out, " buffer={buffer:#010x}");
            return;
        }
        let _ = write!(self.out, " data_len={}", packet.packet.len());
        if self.detail > 0 && !packet.packet.is_empty() {
            self.out.push('\n');
            self.put(&print_frame(&packet.packet, packet_type(&packet.metadata)));
        }
        if self.detail > 2 {
            self.put(&hex_dump(&packet.packet, false));
        }
    }
}
