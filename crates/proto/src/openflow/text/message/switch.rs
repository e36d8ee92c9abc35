//! What a switch is and how it is set, hello, echo and errors.

use super::{Printer, bits, hex_dump, print_message};
use crate::openflow::message::{
    Capabilities, ErrorCode, ErrorMessage, Features, FragmentHandling, Hello, SwitchConfig,
    multipart::SwitchDescription,
};
use crate::openflow::{OfError, Version};
use std::fmt::Write;

/// Actions in the order in which sets of them are told: the name, and the numbers in version 1.0, in version 1.1, and later.
const ACTIONS: [(&str, [Option<u8>; 3]); 25] = [
    ("output", [Some(0), Some(0), Some(0)]),
    ("group", [None, Some(22), Some(22)]),
    ("enqueue", [Some(11), None, None]),
    ("set_field", [None, None, Some(25)]),
    ("set_vlan_vid", [Some(1), Some(1), None]),
    ("set_vlan_pcp", [Some(2), Some(2), None]),
    ("strip_vlan", [Some(3), Some(18), Some(18)]),
    ("push_vlan", [None, Some(17), Some(17)]),
    ("mod_dl_src", [Some(4), Some(3), None]),
    ("mod_dl_dst", [Some(5), Some(4), None]),
    ("mod_nw_src", [Some(6), Some(5), None]),
    ("mod_nw_dst", [Some(7), Some(6), None]),
    ("mod_nw_tos", [Some(8), Some(7), None]),
    ("mod_nw_ecn", [None, Some(8), None]),
    ("mod_nw_ttl", [None, Some(23), Some(23)]),
    ("mod_tp_src", [Some(9), Some(9), None]),
    ("mod_tp_dst", [Some(10), Some(10), None]),
    ("dec_ttl", [None, Some(24), Some(24)]),
    ("set_mpls_label", [None, Some(13), None]),
    ("set_mpls_tc", [None, Some(14), None]),
    ("set_mpls_ttl", [None, Some(15), Some(15)]),
    ("dec_mpls_ttl", [None, Some(16), Some(16)]),
    ("push_mpls", [None, Some(19), Some(19)]),
    ("pop_mpls", [None, Some(20), Some(20)]),
    ("set_queue", [None, Some(21), Some(21)]),
];

/// The set of known actions among the numbers of a version, as bits in the order in which they are told.
pub(super) fn actions_of(version: Version, numbers: u32) -> u32 {
    let column = match version {
        Version::V10 => 0,
        Version::V11 => 1,
        _ => 2,
    };
    let has = |row: &[Option<u8>; 3]| row[column].is_some_and(|number| numbers >> number & 1 != 0);
    let rows = ACTIONS.iter().enumerate().filter(|(_, (_, row))| has(row));
    rows.fold(0, |set, (at, _)| set | 1 << at)
}

/// The names of a set that [`actions_of`] made.
pub(super) fn action_names(set: u32) -> String {
    let names = ACTIONS.iter().enumerate().filter(|(at, _)| set >> at & 1 != 0);
    let names: Vec<&str> = names.map(|(_, (name, _))| *name).collect();
    if names.is_empty() { "<none>".to_owned() } else { names.join(" ") }
}

/// The word for how fragments are dealt with.
#[must_use]
pub(super) const fn fragments(handling: FragmentHandling) -> &'static str {
    match handling {
        FragmentHandling::Normal => "normal",
        FragmentHandling::Drop => "drop",
        FragmentHandling::Reassemble => "reassemble",
        FragmentHandling::MatchFirst => "nx-match",
    }
}

/// Whether the elements of a hello are understood, each and all.
fn is_understood(mut elements: &[u8]) -> bool {
    let mut all = true;
    while !elements.is_empty() {
        let &[kind_high, kind, length_high, length, ..] = elements else { return false };
        let length = usize::from(u16::from_be_bytes([length_high, length]));
        let Some(rest) = elements.get(length.next_multiple_of(8)..).filter(|_| length >= 4) else {
            return false;
        };
        let bitmap = elements.get(4..8).is_some_and(|bitmap| bitmap[..3] != [0; 3] || bitmap[3] & !1 != 0);
        all &= (kind_high, kind) == (0, 1) && length >= 8 && length.is_multiple_of(4) && bitmap;
        elements = rest;
    }
    all
}

impl Printer<'_> {
    pub(super) fn hello(&mut self, hello: Hello) {
        let versions = hello.versions().bits();
        let numbers = (0..32_u8).filter(|number| versions >> number & 1 != 0);
        let numbers: Vec<String> = numbers.map(|number| format!("{number:#04x}")).collect();
        let _ = write!(self.out, "\n version bitmap: {}", numbers.join(", "));
        if !is_understood(self.octets.get(8..).unwrap_or_default()) {
            self.put("\n unknown data in hello:\n");
            self.put(&hex_dump(self.octets, true));
        }
    }

    pub(super) fn error(&mut self, error: &ErrorMessage) -> Result<(), OfError> {
        let ErrorCode::Known(known) = error.error else { return Err(OfError::OFPBRC_BAD_LEN) };
        let _ = writeln!(self.out, " {}", known.name());
        if matches!(known, OfError::OFPHFC_INCOMPATIBLE | OfError::OFPHFC_EPERM) {
            for octet in &error.data {
                match octet {
                    b'\\' | b'"' => {
                        let _ = write!(self.out, "\\{octet:03o}");
                    }
                    0x20..=0x7e => self.out.push(*octet as char),
                    _ => {
                        let _ = write!(self.out, "\\{octet:03o}");
                    }
                }
            }
        } else {
            let request = print_message(&error.data, self.names, 1);
            self.put(&request);
        }
        Ok(())
    }

    pub(super) fn echo(&mut self, octets: &[u8]) {
        let _ = writeln!(self.out, " {} bytes of payload", octets.len());
        if self.detail > 1 {
            self.put(&hex_dump(octets, true));
        }
    }

    pub(super) fn features(&mut self, features: &Features) {
        let Features { datapath, buffers, tables, auxiliary, capabilities, actions, ports } = features;
        let _ = write!(self.out, " dpid:{datapath:016x}\nn_tables:{tables}, n_buffers:{buffers}");
        if *auxiliary != 0 {
            let _ = write!(self.out, ", auxiliary_id:{auxiliary}");
        }
        // Open vSwitch has these two in another place than the wire.
        let moved = Capabilities::SPANNING_TREE.or(Capabilities::GROUP_STATISTICS);
        let first = Capabilities::FLOW_STATISTICS
            .or(Capabilities::TABLE_STATISTICS)
            .or(Capabilities::PORT_STATISTICS);
        let words = capabilities.and(first).words();
        let words = words.chain(capabilities.and(Capabilities::SPANNING_TREE).words());
        let words = words.chain(capabilities.and(Capabilities::GROUP_STATISTICS).words());
        let words = words.chain(capabilities.without(first).without(moved).words());
        let unknown = capabilities.without(Capabilities::ALL).bits();
        let _ = writeln!(self.out, "\ncapabilities: {}", bits(words, unknown, " "));
        let actions = if self.version == Version::V10 { actions_of(self.version, *actions) } else { 0 };
        if actions != 0 {
            let _ = writeln!(self.out, "actions: {}", action_names(actions));
        }
        self.ports(ports);
    }

    pub(super) fn config(&mut self, config: SwitchConfig) {
        let _ = write!(self.out, " frags={}", fragments(config.fragments));
        if config.invalid_ttl_to_controller {
            self.put(" invalid_ttl_to_controller");
        }
        let _ = writeln!(self.out, " miss_send_len={}", config.miss_send_length);
    }

    pub(super) fn description(&mut self, description: &SwitchDescription) {
        let SwitchDescription { manufacturer, hardware, software, serial_number, datapath } = description;
        let _ = writeln!(self.out, "\nManufacturer: {manufacturer}\nHardware: {hardware}");
        let _ = writeln!(self.out, "Software: {software}\nSerial Num: {serial_number}");
        let _ = writeln!(self.out, "DP Description: {datapath}");
    }
}
