//! Ports: what they are, what they counted, and how they are to change.

use super::super::number::duration;
use super::{Printer, bits, counter};
use crate::openflow::OfPort;
use crate::openflow::message::{
    PortConfig, PortDescription, PortFeatures, PortMod, PortReason, PortState, PortStatistics, PortStatus,
};
use std::fmt::Write;

/// Names of the counters of the histogram: those of packets that came in, and those that went out, each with its place.
const RECEIVED: [(&str, usize); 12] = [
    ("1_to_64_packets", 0),
    ("65_to_127_packets", 1),
    ("128_to_255_packets", 2),
    ("256_to_511_packets", 3),
    ("512_to_1023_packets", 4),
    ("1024_to_1522_packets", 5),
    ("1523_to_max_packets", 6),
    ("broadcast_packets", 15),
    ("undersized_errors", 17),
    ("oversize_errors", 18),
    ("rx_fragmented_errors", 19),
    ("rx_jabber_errors", 20),
];
const SENT: [(&str, usize); 9] = [
    ("1_to_64_packets", 7),
    ("65_to_127_packets", 8),
    ("128_to_255_packets", 9),
    ("256_to_511_packets", 10),
    ("512_to_1023_packets", 11),
    ("1024_to_1522_packets", 12),
    ("1523_to_max_packets", 13),
    ("multicast_packets", 14),
    ("broadcast_packets", 16),
];

fn config(config: PortConfig) -> String {
    bits(config.words(), config.without(PortConfig::ALL).bits(), " ")
}

fn features(features: PortFeatures) -> String {
    bits(features.words(), features.without(PortFeatures::ALL).bits(), " ")
}

fn state(state: PortState) -> String {
    let tree = state.and(PortState::SPANNING_TREE_BLOCKS);
    let rest = state.without(PortState::SPANNING_TREE_BLOCKS);
    let rest_text = bits(rest.words(), rest.without(PortState::ALL).bits(), " ");
    let word = if tree == PortState::SPANNING_TREE_BLOCKS {
        "STP_BLOCK"
    } else if tree == PortState::LEARNING {
        "STP_LEARN"
    } else if tree == PortState::FORWARDING {
        "STP_FORWARD"
    } else {
        return rest_text;
    };
    // There is no blank between the two.
    if rest.is_empty() { word.to_owned() } else { format!("{word}{rest_text}") }
}

impl Printer<'_> {
    /// Ports in the order of their numbers.
    pub(super) fn ports(&mut self, ports: &[PortDescription]) {
        let mut ports: Vec<&PortDescription> = ports.iter().collect();
        ports.sort_by_key(|port| port.number);
        ports.into_iter().for_each(|port| self.port(port));
    }

    fn port(&mut self, port: &PortDescription) {
        let shown = |c: &char| matches!(c, ' '..='~');
        let name: String = port.name.chars().take_while(shown).collect();
        let number = OfPort::name(port.number).map_or_else(|| port.number.0.to_string(), str::to_owned);
        let _ = writeln!(self.out, " {number}({name}): addr:{}", port.address);
        let _ = writeln!(self.out, "     config:     {}", config(port.config));
        let _ = writeln!(self.out, "     state:      {}", state(port.state));
        let all = [
            ("current:    ", port.current),
            ("advertised: ", port.advertised),
            ("supported:  ", port.supported),
            ("peer:       ", port.peer),
        ];
        for (word, set) in all.into_iter().filter(|(_, set)| !set.is_empty()) {
            let _ = writeln!(self.out, "     {word}{}", features(set));
        }
        let (now, most) = (port.current_speed / 1000, port.maximum_speed / 1000);
        let _ = writeln!(self.out, "     speed: {now} Mbps now, {most} Mbps max");
    }

    pub(super) fn port_status(&mut self, status: &PortStatus) {
        self.put(match status.reason {
            PortReason::Add => " ADD:",
            PortReason::Delete => " DEL:",
            PortReason::Modify => " MOD:",
        });
        self.port(&status.port);
    }

    pub(super) fn port_mod(&mut self, port: &PortMod) {
        let _ = writeln!(self.out, " port: {}: addr:{}", self.names.print_port(port.number), port.address);
        let _ = writeln!(self.out, "     config: {}", config(port.config));
        let _ = writeln!(self.out, "     mask:   {}", config(port.mask));
        let advertise =
            if port.advertise.is_empty() { "UNCHANGED".to_owned() } else { features(port.advertise) };
        let _ = writeln!(self.out, "     advertise: {advertise}");
    }

    pub(super) fn port_statistics(&mut self, ports: &[PortStatistics]) {
        let _ = writeln!(self.out, " {} ports", ports.len());
        if self.detail >= 1 {
            ports.iter().for_each(|port| self.port_counters(port));
        }
    }

    fn port_counters(&mut self, port: &PortStatistics) {
        let pad = if port.port.0 < 10 { " " } else { "" };
        let _ = writeln!(
            self.out,
            "  port {pad}{}: rx pkts={}, bytes={}, drop={}, errs={}, frame={}, over={}, crc={}",
            self.names.print_port(port.port),
            counter(port.received_packets),
            counter(port.received_bytes),
            counter(port.received_dropped),
            counter(port.received_errors),
            counter(port.frame_errors),
            counter(port.overrun_errors),
            counter(port.checksum_errors),
        );
        let _ = writeln!(
            self.out,
            "           tx pkts={}, bytes={}, drop={}, errs={}, coll={}",
            counter(port.sent_packets),
            counter(port.sent_bytes),
            counter(port.sent_dropped),
            counter(port.sent_errors),
            counter(port.collisions),
        );
        if let Some(age) = port.age.filter(|age| age.seconds != u32::MAX) {
            let _ = writeln!(self.out, "           duration={}", duration(age.seconds, age.nanoseconds));
        }
        if let Some(histogram) = &port.histogram {
            self.histogram("rx", &RECEIVED, histogram.as_ref());
            self.histogram("tx", &SENT, histogram.as_ref());
        }
        if !port.custom.is_empty() {
            self.put("           CUSTOM Statistics");
            for (at, (name, value)) in
                port.custom.iter().enumerate().filter(|(_, (name, _))| !name.is_empty())
            {
                self.put(if at % 3 == 0 { "\n                      " } else { " " });
                let _ = write!(self.out, "{name}={value},");
            }
            self.out.push('\n');
        }
    }

    fn histogram(&mut self, way: &str, names: &[(&str, usize)], counters: &[u64]) {
        let kept = names.iter().filter_map(|(name, at)| Some((name, counters.get(*at)?)));
        let kept = kept.filter(|(_, value)| **value != u64::MAX);
        let told: String = kept.map(|(name, value)| format!("{name}={value}, ")).collect();
        if !told.is_empty() {
            let _ = writeln!(self.out, "           {way} rfc2819 {told}");
        }
    }
}
