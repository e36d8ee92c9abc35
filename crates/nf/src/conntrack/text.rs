//! What `dpctl` prints beside the list of connections.

use super::list::Entry;
use super::tcp::TcpState;
use super::tracker::Tracker;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Protocols that are counted by name, in this order. ICMPv6 counts in the total only, as in Open vSwitch 3.1.
const NAMED: [(u8, &str); 7] =
    [(6, "TCP"), (17, "UDP"), (136, "UDPLITE"), (132, "SCTP"), (1, "ICMP"), (33, "DCCP"), (2, "IGMP")];
const ICMP6: u8 = 58;

impl Tracker {
    /// How many connections there are of each protocol, and in which TCP state (`dpctl/ct-stats-show`).
    #[must_use]
    pub fn statistics_text(&self, zone: Option<u16>, verbose: bool, now: u64) -> String {
        let (mut total, mut other) = (0_usize, 0_usize);
        let (mut protocols, mut states) = (BTreeMap::<u8, usize>::new(), BTreeMap::<TcpState, usize>::new());
        for entry in self.dump(zone, now) {
            total += 1;
            let protocol = entry.original.protocol();
            if NAMED.iter().any(|(number, _)| *number == protocol) {
                *protocols.entry(protocol).or_default() += 1;
            } else if protocol != ICMP6 {
                other += 1;
            }
            if let Some(state) = Entry::state(&entry) {
                *states.entry(state).or_default() += 1;
            }
        }
        let mut text = format!("Connections Stats:\n    Total: {total}\n");
        for (number, name) in NAMED {
            let Some(count) = protocols.get(&number) else { continue };
            let _ = writeln!(text, "  {name}: {count}");
            if number == 6 && verbose {
                text.push_str("    Conn per TCP states:\n");
                for (state, count) in &states {
                    let _ = writeln!(text, "\t  [{}]={count}", state.name());
                }
            }
        }
        if other > 0 {
            let _ = writeln!(text, "  Other: {other}");
        }
        text
    }

    /// The common limit and those of some zones, or of all that have one (`dpctl/ct-get-limits`).
    #[must_use]
    pub fn limits_text(&self, zones: &[u16]) -> String {
        let limits = self.zone_limits();
        let common = limits.iter().find(|limit| limit.zone.is_none());
        let (most, count) = common.map_or((0, 0), |limit| (limit.limit, limit.count));
        let mut text = format!("default limit={most}");
        if zones.is_empty() {
            for limit in &limits {
                if let Some(zone) = limit.zone {
                    let _ = write!(text, "\nzone={zone},limit={},count={}", limit.limit, limit.count);
                }
            }
        }
        for zone in zones {
            let own = limits.iter().find(|limit| limit.zone == Some(*zone));
            let (most, count) = own.map_or((most, count), |limit| (limit.limit, limit.count));
            let _ = write!(text, "\nzone={zone},limit={most},count={count}");
        }
        text
    }
}
