//! Queues.

use super::super::number::duration;
use super::{Printer, counter};
use crate::openflow::OfPort;
use crate::openflow::message::{ALL_QUEUES, QueueConfig, QueueSelection, QueueStatistics};
use std::fmt::Write;

fn queue(number: u32) -> String {
    if number == ALL_QUEUES { "ALL".to_owned() } else { number.to_string() }
}

/// A rate in tenths of a percent; one above 1000 means that it does not hold.
fn rate(name: &str, rate: Option<u16>) -> String {
    match rate {
        Some(rate @ 0..=1000) => format!(" {name}:{}.{}%", rate / 10, rate % 10),
        Some(rate) if rate < u16::MAX => format!(" {name}:(disabled)"),
        _ => String::new(),
    }
}

impl Printer<'_> {
    pub(super) fn queue_config_request(&mut self, queues: QueueSelection) {
        let _ = write!(self.out, " port={}", self.names.print_port(queues.port));
        if queues.queue != ALL_QUEUES {
            let _ = write!(self.out, " queue={}", queues.queue);
        }
    }

    pub(super) fn queue_configs(&mut self, mut queues: Vec<QueueConfig>) {
        queues.sort_by_key(|queue| (queue.port, queue.queue));
        self.out.push(' ');
        let mut port = OfPort(0);
        for config in &queues {
            if config.port != port {
                port = config.port;
                let _ = writeln!(self.out, "port={}", self.names.print_port(port));
            }
            let _ = writeln!(
                self.out,
                "queue {}:{}{}",
                config.queue,
                rate("min_rate", config.minimum_rate),
                rate("max_rate", config.maximum_rate)
            );
        }
        if self.out.ends_with(' ') {
            self.out.pop();
        }
    }

    pub(super) fn queue_selection(&mut self, queues: QueueSelection) {
        let _ =
            write!(self.out, " port={} queue={}", self.names.print_port(queues.port), queue(queues.queue));
    }

    pub(super) fn queue_statistics(&mut self, queues: &[QueueStatistics]) {
        let _ = writeln!(self.out, " {} queues", queues.len());
        if self.detail < 1 {
            return;
        }
        for statistics in queues {
            let age = statistics.age.filter(|age| age.seconds != u32::MAX);
            let _ = writeln!(
                self.out,
                "  port {} queue {}: bytes={}, pkts={}, errors={}, duration={}",
                self.names.print_port(statistics.port),
                queue(statistics.queue),
                counter(statistics.sent_bytes),
                counter(statistics.sent_packets),
                counter(statistics.sent_errors),
                age.map_or_else(|| "?".to_owned(), |age| duration(age.seconds, age.nanoseconds)),
            );
        }
    }
}
