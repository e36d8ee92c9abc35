//! What is said about the connection itself, and what is left: roles, asynchronous messages, formats, bundles, options of
//! tunnels, exporters, connections that are tracked.

use super::flow::removed_reason;
use super::packet::reason_word;
use super::{Printer, bits, counter, print_message};
use crate::openflow::message::{
    AsyncConfig, AsyncMasks, BundleAdd, BundleCommand, BundleControl, BundleFeatures, BundleFlags,
    ConntrackFlush, ConntrackTuple, ControllerStatus, FlowFormat, IpfixStatistics, PacketInFormat, Role,
    RoleMessage, RoleReason, RoleStatus, TlvMap, TlvTable, TlvTableCommand, TlvTableMod, encode,
};
use std::fmt::Write;
use std::net::Ipv6Addr;

const ICMP: u8 = 1;
const ICMP6: u8 = 58;

const fn role_word(role: Role) -> &'static str {
    match role {
        Role::NoChange => "nochange",
        Role::Equal => "equal",
        Role::Primary => "primary",
        Role::Secondary => "secondary",
    }
}

fn port_reason(number: u8) -> String {
    ["add", "delete", "modify"]
        .get(usize::from(number))
        .map_or_else(|| number.to_string(), ToString::to_string)
}

fn role_reason(number: u8) -> String {
    let words = ["primary_request", "configuration_changed", "experimenter_data_changed"];
    words.get(usize::from(number)).map_or_else(|| number.to_string(), ToString::to_string)
}

fn table_reason(number: u8) -> String {
    match number {
        3 => "vacancy_down".to_owned(),
        4 => "vacancy_up".to_owned(),
        _ => number.to_string(),
    }
}

fn forward_reason(number: u8) -> String {
    let words = ["group_mod_request", "meter_mod_request"];
    words.get(usize::from(number)).map_or_else(|| number.to_string(), ToString::to_string)
}

impl Printer<'_> {
    pub(super) fn role(&mut self, message: &RoleMessage) {
        let _ = write!(self.out, " role={}", role_word(message.role));
        self.generation(message.generation);
    }

    fn generation(&mut self, generation: Option<u64>) {
        if let Some(generation) = generation.filter(|generation| *generation != u64::MAX) {
            let _ = write!(self.out, " generation_id={generation}");
        }
    }

    pub(super) fn role_status(&mut self, status: RoleStatus) {
        let _ = write!(self.out, " role={}", role_word(status.role));
        self.generation(status.generation);
        self.put(" reason=");
        self.put(match RoleReason::from_number(status.reason) {
            Some(RoleReason::PrimaryRequest) => "primary_request",
            Some(RoleReason::Config) => "configuration_changed",
            Some(RoleReason::Experimenter) => "experimenter_data_changed",
            None => "(unknown)",
        });
    }

    pub(super) fn asynchronous(&mut self, config: &AsyncConfig) {
        for (role, masks) in [("primary", &config.primary), ("secondary", &config.secondary)] {
            let _ = writeln!(self.out, "\n {role}:");
            self.asynchronous_masks(masks);
        }
    }

    fn asynchronous_masks(&mut self, masks: &AsyncMasks) {
        type Word = fn(u8) -> String;
        let rows: [(&str, Option<u32>, Word); 6] = [
            ("PACKET_IN", masks.packet_in, reason_word),
            ("PORT_STATUS", masks.port_status, port_reason),
            ("FLOW_REMOVED", masks.flow_removed, removed_reason),
            ("ROLE_STATUS", masks.role_status, role_reason),
            ("TABLE_STATUS", masks.table_status, table_reason),
            ("REQUESTFORWARD", masks.request_forward, forward_reason),
        ];
        for (name, mask, word) in rows {
            let mask = mask.unwrap_or(0);
            let reasons = (0..32_u8).filter(|bit| mask >> bit & 1 != 0).map(word);
            let told: String =
                reasons.filter(|reason| !reason.is_empty()).map(|reason| format!(" {reason}")).collect();
            let _ = writeln!(self.out, "{name:>16}:{}", if mask == 0 { " (off)" } else { &told });
        }
    }

    pub(super) fn flow_format(&mut self, format: FlowFormat) {
        self.put(match format {
            FlowFormat::OpenFlow10 => " format=openflow10",
            FlowFormat::Nxm => " format=nxm",
        });
    }

    pub(super) fn packet_in_format(&mut self, format: PacketInFormat) {
        self.put(match format {
            PacketInFormat::Standard => " format=standard",
            PacketInFormat::Nicira => " format=nxt_packet_in",
            PacketInFormat::Nicira2 => " format=nxt_packet_in2",
        });
    }

    pub(super) fn bundle_control(&mut self, control: &BundleControl) {
        let _ = write!(self.out, "\n bundle_id={} type=", alternate(control.bundle));
        self.put(match BundleCommand::from_number(control.command) {
            Some(BundleCommand::OpenRequest) => "OPEN_REQUEST",
            Some(BundleCommand::OpenReply) => "OPEN_REPLY",
            Some(BundleCommand::CloseRequest) => "CLOSE_REQUEST",
            Some(BundleCommand::CloseReply) => "CLOSE_REPLY",
            Some(BundleCommand::CommitRequest) => "COMMIT_REQUEST",
            Some(BundleCommand::CommitReply) => "COMMIT_REPLY",
            Some(BundleCommand::DiscardRequest) => "DISCARD_REQUEST",
            Some(BundleCommand::DiscardReply) => "DISCARD_REPLY",
            None => "",
        });
        let _ = write!(self.out, " flags={}", bundle_flags(control.flags));
    }

    pub(super) fn bundle_add(&mut self, add: &BundleAdd) {
        let (bundle, flags) = (alternate(add.bundle), bundle_flags(add.flags));
        let _ = writeln!(self.out, "\n bundle_id={bundle} flags={flags}");
        // The message within follows its bundle's number and flags; in version 1.3 an experimenter's header comes first.
        let at = if self.octets.get(1) == Some(&4) { 24 } else { 16 };
        let within = self.octets.get(at..).unwrap_or_default();
        let length = within
            .get(2..4)
            .map_or(0, |length| usize::from(u16::from(length[0]) << 8 | u16::from(length[1])));
        let text = match within.get(..length) {
            Some(octets) if length >= 8 => print_message(octets, self.names, self.detail),
            _ => {
                let octets = encode(self.version, 0, &add.message).unwrap_or_default();
                print_message(&octets, self.names, self.detail)
            }
        };
        self.put(&text);
    }

    /// Open vSwitch 3.1 does not know what this says.
    pub(super) fn bundle_features(&mut self, features: &BundleFeatures) {
        let _ = write!(self.out, " capabilities={}", bundle_flags(features.capabilities));
    }

    /// Open vSwitch 3.1 does not know what this says.
    pub(super) fn controllers(&mut self, controllers: &[ControllerStatus]) {
        for status in controllers {
            let _ = write!(
                self.out,
                "\n id={} role={} {} uri={}",
                status.controller,
                role_word(status.role),
                if status.up { "up" } else { "down" },
                status.uri
            );
        }
    }

    pub(super) fn tlv_table_mod(&mut self, change: &TlvTableMod) {
        let word = match change.command {
            TlvTableCommand::Add => "ADD",
            TlvTableCommand::Delete => "DEL",
            TlvTableCommand::Clear => "CLEAR",
        };
        let _ = write!(self.out, "\n {word}");
        if change.command != TlvTableCommand::Clear {
            self.tlv_maps(&change.maps);
        }
    }

    pub(super) fn tlv_table(&mut self, table: &TlvTable) {
        let allocated: u32 = table.maps.iter().map(|map| u32::from(map.length)).sum();
        let _ = writeln!(self.out, "\n max option space={} max fields={}", table.space, table.fields);
        let _ = writeln!(self.out, " allocated option space={allocated}\n");
        self.tlv_maps(&table.maps);
    }

    fn tlv_maps(&mut self, maps: &[TlvMap]) {
        self.put(
            " mapping table:\n  class  type  length  match field\n ------  ----  ------  --------------",
        );
        for map in maps {
            let (class, kind) = (alternate(map.class.into()), alternate(map.kind.into()));
            let _ =
                write!(self.out, "\n {class:>6}  {kind:>4}  {:>6}  tun_metadata{}", map.length, map.field);
        }
    }

    pub(super) fn ipfix_bridge(&mut self, statistics: &IpfixStatistics) {
        self.put("\n  bridge ipfix: ");
        self.ipfix(statistics, 16);
    }

    pub(super) fn ipfix_flows(&mut self, all: &[IpfixStatistics]) {
        let _ = writeln!(self.out, " {} ids", all.len());
        for statistics in all {
            let _ = write!(self.out, "  id {:>3}: ", statistics.collector_set);
            self.ipfix(statistics, 10);
        }
    }

    fn ipfix(&mut self, statistics: &IpfixStatistics, indent: usize) {
        let _ = writeln!(
            self.out,
            "flows={}, current flows={}, sampled pkts={}, ipv4 ok={}, ipv6 ok={}, tx pkts={}",
            counter(statistics.total_flows),
            counter(statistics.current_flows),
            counter(statistics.packets),
            counter(statistics.ipv4_packets),
            counter(statistics.ipv6_packets),
            counter(statistics.sent_packets),
        );
        let _ = writeln!(
            self.out,
            "{:indent$}pkts errs={}, ipv4 errs={}, ipv6 errs={}, tx errs={}",
            "",
            counter(statistics.error_packets),
            counter(statistics.ipv4_error_packets),
            counter(statistics.ipv6_error_packets),
            counter(statistics.sent_errors),
        );
    }

    pub(super) fn conntrack_flush(&mut self, flush: &ConntrackFlush) {
        let original = tuple(&flush.original, flush);
        let reply = tuple(&flush.reply, flush);
        let (zone, protocol) = (flush.zone.unwrap_or(0), flush.protocol);
        let _ = write!(self.out, " zone={zone} '{original},ct_nw_proto={protocol}' '{reply}'");
    }
}

/// A number as `%#x` prints it.
fn alternate(number: u32) -> String {
    if number == 0 { "0".to_owned() } else { format!("{number:#x}") }
}

fn bundle_flags(flags: BundleFlags) -> String {
    let known = BundleFlags::ATOMIC.or(BundleFlags::ORDERED);
    bits(flags.and(known).words(), flags.without(known).bits().into(), " ")
}

/// One direction of a connection. Addresses that nobody named are those of no host.
fn tuple(tuple: &ConntrackTuple, flush: &ConntrackFlush) -> String {
    let named =
        [flush.original.source, flush.original.destination, flush.reply.source, flush.reply.destination];
    let ipv4 = named.iter().flatten().any(|address| address.to_ipv4_mapped().is_some());
    let (source, destination) =
        if ipv4 { ("ct_nw_src", "ct_nw_dst") } else { ("ct_ipv6_src", "ct_ipv6_dst") };
    let address = |address: Option<Ipv6Addr>| {
        let address = address.unwrap_or(Ipv6Addr::UNSPECIFIED);
        address.to_ipv4_mapped().map_or_else(|| address.to_string(), |ipv4| ipv4.to_string())
    };
    let mut out = format!("{source}={},{destination}={}", address(tuple.source), address(tuple.destination));
    if matches!(flush.protocol, ICMP | ICMP6) {
        let _ = write!(
            out,
            ",icmp_id={},icmp_type={},icmp_code={}",
            tuple.icmp_identifier.unwrap_or(0),
            tuple.icmp_kind.unwrap_or(0),
            tuple.icmp_code.unwrap_or(0)
        );
    } else {
        let (from, to) = (tuple.source_port.unwrap_or(0), tuple.destination_port.unwrap_or(0));
        let _ = write!(out, ",ct_tp_src={from},ct_tp_dst={to}");
    }
    out
}
