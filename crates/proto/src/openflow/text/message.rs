//! Whole messages as text, in the words of `ovs-ofctl`: what it prints of an answer, of what a monitor hears, and of the
//! octets that `ofp-print` is given.
//!
//! What: [`print_message`] takes the octets of a message, since what cannot be read is shown as octets. Each kind of
//! message has its printer in a file of its own. How much is told is a number, as with `-m`: 1 the entries of statistics
//! and the headers of packets, 3 the octets of packets, 5 those of the message.
//!
//! Invariants: no octets panic. The text ends with a newline.
//!
//! Absent: entries of an answer before the one that cannot be read; Open vSwitch prints those that it has read by then.

mod control;
mod features;
mod flow;
mod group;
mod packet;
mod port;
mod queue;
mod switch;
mod table;

pub use features::TableFeaturesPrinter;

use super::names::Names;
use crate::openflow::message::{
    self, Context, Header, Message, MultipartReply, MultipartRequest, Reply, Request, decode_with,
};
use crate::openflow::{OfError, Version};
use std::fmt::Write;

/// A message that is being printed.
struct Printer<'a> {
    out: String,
    names: &'a Names,
    detail: u8,
    version: Version,
    octets: &'a [u8],
}

/// Prints a message: a name, what it says, and from `detail` on as much more. Names of ports and tables are written instead
/// of their numbers where they are known.
#[must_use]
pub fn print_message(octets: &[u8], names: &Names, detail: u8) -> String {
    let header = match Header::parse(octets) {
        Some(header) => header,
        None if octets.is_empty() => return "OpenFlow message is empty\n".to_owned(),
        None => {
            let length = octets.len();
            return format!("OpenFlow packet too short (only {length} bytes):\n{}", hex_dump(octets, true));
        }
    };
    let (said, length) = (usize::from(header.length), octets.len());
    if said == length {
        return print_whole(header, octets, names, detail);
    }
    let mut out = String::new();
    if said > length {
        if let Ok(title) = message::title(octets) {
            let _ = writeln!(out, "{title}{}", version_and_number(header));
        }
        let _ = writeln!(out, "(***truncated to {length} bytes from {said}***)");
    } else {
        let _ = writeln!(out, "(***only uses {said} bytes out of {length}***)");
    }
    out + &hex_dump(octets, true)
}

fn print_whole(header: Header, octets: &[u8], names: &Names, detail: u8) -> String {
    let version = Version::from_wire(header.version).unwrap_or(Version::V10);
    let mut printer = Printer { out: String::new(), names, detail, version, octets };
    let printed = match message::title_of_whole(octets) {
        Ok(title) => {
            let _ = write!(printer.out, "{title}{}", version_and_number(header));
            let begin = printer.out.len();
            let printed = printer.print();
            if printer.out.ends_with(' ') {
                printer.out.pop();
            }
            if printed.is_err() {
                if printer.out.len() > begin {
                    printer.end_line();
                } else {
                    printer.out.push(' ');
                }
            }
            printed
        }
        // A version that nobody knows has no messages.
        Err(OfError::OFPBRC_BAD_VERSION) => Err(OfError::OFPBRC_BAD_TYPE),
        Err(error) => Err(error),
    };
    if let Err(error) = printed {
        let _ = writeln!(printer.out, "***decode error: {}***", error.name());
    }
    if detail >= 5 || printed.is_err() {
        printer.end_line();
        printer.out.push_str(&hex_dump(octets, true));
    }
    printer.end_line();
    printer.out
}

fn version_and_number(header: Header) -> String {
    let version = match Version::from_wire(header.version) {
        Some(Version::V10) => String::new(),
        Some(version) => format!(" (OF{})", version.number()),
        None => format!(" (OF {:#04x})", header.version),
    };
    format!("{version} (xid={:#x}):", header.xid)
}

/// Octets in lines of 16 with their offsets, and as characters if asked for.
#[must_use]
pub fn hex_dump(octets: &[u8], characters: bool) -> String {
    let mut out = String::new();
    for (line, octets) in octets.chunks(16).enumerate() {
        let _ = write!(out, "{:08x}  ", line * 16);
        for (at, octet) in octets.iter().enumerate() {
            let _ = write!(out, "{octet:02x}{}", if at == 7 { '-' } else { ' ' });
        }
        if characters {
            let shown =
                octets.iter().map(|octet| if (32..127).contains(octet) { *octet as char } else { '.' });
            let shown: String = shown.collect();
            let _ = write!(out, "{:width$}|{shown:16}|", "", width = 3 * (16 - octets.len()));
        } else if out.ends_with(' ') {
            out.pop();
        }
        out.push('\n');
    }
    out
}

/// Words of bits, and what has no word as a number; `0` if there is nothing.
fn bits(words: impl Iterator<Item = &'static str>, rest: u32, separator: &str) -> String {
    let mut all: Vec<String> = words.map(str::to_owned).collect();
    if rest != 0 {
        all.push(format!("{rest:#x}"));
    }
    if all.is_empty() { "0".to_owned() } else { all.join(separator) }
}

/// A counter, or a question mark if it is not kept.
fn counter(value: u64) -> String {
    if value == u64::MAX { "?".to_owned() } else { value.to_string() }
}

impl Printer<'_> {
    fn end_line(&mut self) {
        if !self.out.is_empty() && !self.out.ends_with('\n') {
            self.out.push('\n');
        }
    }

    fn put(&mut self, text: &str) {
        self.out.push_str(text);
    }

    /// What follows the name.
    fn print(&mut self) -> Result<(), OfError> {
        let context = Context { table_ids: true, debug: true, ..Context::new(self.version) };
        if let Some(flags) = self.multipart_flags() {
            self.statistics_flags(flags);
        }
        let (_, message) = decode_with(context, self.octets)?;
        self.body(&message)
    }

    /// The flags of a multipart message, and whether it is a request.
    fn multipart_flags(&self) -> Option<(u16, bool)> {
        let kind = message::Kind::of(self.octets).ok()?;
        let request = match kind {
            message::Kind::MultipartRequest => true,
            message::Kind::MultipartReply => false,
            _ => return None,
        };
        let &[high, low] = self.octets.get(10..12)? else { return None };
        Some((u16::from_be_bytes([high, low]), request))
    }

    fn statistics_flags(&mut self, (flags, request): (u16, bool)) {
        if flags == 0 {
            return;
        }
        self.put(" flags=");
        let mut rest = flags;
        if (!request || self.version >= Version::V13) && flags & 1 != 0 {
            self.put("[more]");
            rest &= !1;
        }
        if rest != 0 {
            let _ = write!(self.out, "[***unknown flags {rest:#06x}***]");
        }
    }

    fn body(&mut self, message: &Message) -> Result<(), OfError> {
        match message {
            Message::Hello(hello) => self.hello(*hello),
            Message::Error(error) => return self.error(error),
            Message::EchoRequest(octets) | Message::EchoReply(octets) => self.echo(octets),
            Message::FeaturesReply(features) => self.features(features),
            Message::GetConfigReply(config) | Message::SetConfig(config) => self.config(*config),
            Message::PacketIn(packet) | Message::Resume(packet) => return self.packet_in(packet),
            Message::PacketOut(packet) => self.packet_out(packet),
            Message::FlowRemoved(flow) => self.flow_removed(flow),
            Message::FlowMod(flow) => self.flow_mod(flow),
            Message::GroupMod(group) => self.group_mod(group),
            Message::PortStatus(status) => self.port_status(status),
            Message::PortMod(port) => self.port_mod(port),
            Message::TableMod(table) => self.table_mod(table),
            Message::MultipartRequest(MultipartRequest { request, .. }) => self.request(request),
            Message::MultipartReply(MultipartReply { reply, .. }) => self.reply(reply),
            Message::QueueConfigRequest(queues) => self.queue_config_request(*queues),
            Message::QueueConfigReply(reply) => self.queue_configs(reply.queues.clone()),
            Message::RoleRequest(role) | Message::RoleReply(role) => self.role(role),
            Message::GetAsyncReply(config) | Message::SetAsync(config) => self.asynchronous(&config.config),
            Message::MeterMod(meter) => self.meter_mod(meter),
            Message::RoleStatus(status) => self.role_status(*status),
            Message::TableStatus(status) => self.table_status(status),
            Message::RequestForward(forward) => self.forward(&forward.request),
            Message::BundleControl(control) => self.bundle_control(control),
            Message::BundleAdd(add) => self.bundle_add(add),
            Message::ControllerStatus(controllers) => self.controllers(controllers),
            Message::SetFlowFormat(format) => self.flow_format(*format),
            Message::FlowModTableId(on) => self.put(if *on { " enable" } else { " disable" }),
            Message::SetPacketInFormat(format) => self.packet_in_format(*format),
            Message::SetControllerId(number) => self.put(&format!(" id={number}")),
            Message::FlowMonitorCancel(number) => self.put(&format!(" id={number}")),
            Message::TlvTableMod(change) => self.tlv_table_mod(change),
            Message::TlvTableReply(table) => self.tlv_table(table),
            Message::ConntrackFlushZone(zone) => self.put(&format!(" zone_id={zone}")),
            Message::ConntrackFlush(flush) => self.conntrack_flush(flush),
            Message::FeaturesRequest
            | Message::GetConfigRequest
            | Message::BarrierRequest
            | Message::BarrierReply
            | Message::GetAsyncRequest
            | Message::FlowAge
            | Message::FlowMonitorPaused
            | Message::FlowMonitorResumed
            | Message::TlvTableRequest => {}
        }
        Ok(())
    }

    fn request(&mut self, request: &Request) {
        match request {
            Request::Flows(selection) | Request::Aggregate(selection) | Request::FlowCounters(selection) => {
                self.flow_selection(selection);
            }
            Request::FlowMonitors(monitors) => {
                monitors.iter().for_each(|monitor| self.monitor(monitor));
            }
            Request::Ports(port) => self.put(&format!(" port_no={}", self.names.print_port(*port))),
            Request::Queues(queues) => self.queue_selection(*queues),
            Request::Groups(group) | Request::GroupDescriptions(group) => self.group_number(*group),
            Request::Meters(meter) | Request::MeterConfigs(meter) => self.meter_number(*meter),
            Request::TableFeatures(tables) => self.table_features(tables),
            Request::PortDescriptions(port) => self.put(&format!(" port={}", self.names.print_port(*port))),
            Request::QueueDescriptions(queues) => self.queue_config_request(*queues),
            Request::Description
            | Request::Tables
            | Request::GroupFeatures
            | Request::MeterFeatures
            | Request::TableDescriptions
            | Request::BundleFeatures(_)
            | Request::ControllerStatus
            | Request::IpfixBridge
            | Request::IpfixFlow => {}
        }
    }

    fn reply(&mut self, reply: &Reply) {
        match reply {
            Reply::Description(description) => self.description(description),
            Reply::Flows(_, flows) => self.flows(flows),
            Reply::Aggregate(sums) => self.aggregate(sums),
            Reply::FlowCounters(flows) => self.flow_counters(flows),
            Reply::FlowMonitors(updates) => updates.iter().for_each(|update| self.flow_update(update)),
            Reply::Groups(groups) => groups.iter().for_each(|group| self.group_statistics(group)),
            Reply::GroupDescriptions(groups) => groups.iter().for_each(|group| self.group(group)),
            Reply::GroupFeatures(features) => self.group_features(features),
            Reply::Tables(tables) => self.table_statistics(tables),
            Reply::Ports(ports) => self.port_statistics(ports),
            Reply::Queues(queues) => self.queue_statistics(queues),
            Reply::Meters(meters) => self.meter_statistics(meters),
            Reply::MeterConfigs(meters) => self.meter_configs(meters),
            Reply::MeterFeatures(features) => self.meter_features(features),
            Reply::TableFeatures(tables) => self.table_features(tables),
            Reply::PortDescriptions(ports) => {
                self.out.push('\n');
                self.ports(ports);
            }
            Reply::TableDescriptions(tables) => tables.iter().for_each(|table| self.table_description(table)),
            Reply::QueueDescriptions(queues) => self.queue_configs(queues.clone()),
            Reply::BundleFeatures(features) => self.bundle_features(features),
            Reply::ControllerStatus(controllers) => self.controllers(controllers),
            Reply::IpfixBridge(statistics) => self.ipfix_bridge(statistics),
            Reply::IpfixFlow(statistics) => self.ipfix_flows(statistics),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_are_shown_in_lines() {
        let octets: Vec<u8> = (0..18).map(|at| at + 0x30).collect();
        assert_eq!(
            hex_dump(&octets, true),
            "00000000  30 31 32 33 34 35 36 37-38 39 3a 3b 3c 3d 3e 3f |0123456789:;<=>?|\n\
             00000010  40 41                                           |@A              |\n"
        );
        assert_eq!(hex_dump(&octets[..2], false), "00000000  30 31\n");
    }

    #[test]
    fn what_is_cut_is_said() {
        let names = Names::new();
        assert_eq!(print_message(&[], &names, 2), "OpenFlow message is empty\n");
        assert_eq!(
            print_message(&[1, 2, 0, 16, 0, 0, 0, 1], &names, 2),
            "OFPT_ECHO_REQUEST (xid=0x1):\n(***truncated to 8 bytes from 16***)\n\
             00000000  01 02 00 10 00 00 00 01-                        |........        |\n"
        );
        assert_eq!(
            print_message(&[4, 2, 0, 8, 0, 0, 0, 0], &names, 2),
            "OFPT_ECHO_REQUEST (OF1.3) (xid=0x0): 0 bytes of payload\n"
        );
    }
}
