//! Groups and meters.

use super::super::meter::meter_name;
use super::super::number::{alt_hex, duration};
use super::super::{print_group, print_group_mod, print_meter, print_meter_mod, print_meter_statistics};
use super::switch::{action_names, actions_of};
use super::{Printer, bits};
use crate::openflow::message::{
    ALL_GROUPS, ANY_GROUP, GroupDescription, GroupFeatures, GroupMod, GroupStatistics, Message, MeterConfig,
    MeterFeatures, MeterFlags, MeterMod, MeterStatistics,
};
use std::fmt::Write;

/// Names of the kinds of groups, in the order of their numbers.
const KINDS: [&str; 4] = ["all", "select", "indirect", "fast failover"];
/// Names of the kinds of bands, in the order of their numbers.
const BANDS: [(u32, &str); 2] = [(1 << 1, "drop"), (1 << 2, "dscp_remark")];

impl Printer<'_> {
    pub(super) fn group_number(&mut self, group: u32) {
        self.put(" group_id=");
        match group {
            ALL_GROUPS => self.put("ALL"),
            ANY_GROUP => self.put("ANY"),
            number => self.put(&number.to_string()),
        }
    }

    pub(super) fn group(&mut self, group: &GroupDescription) {
        let _ = write!(self.out, "\n {}", print_group(group, self.version, self.names));
    }

    pub(super) fn group_mod(&mut self, group: &GroupMod) {
        let _ = write!(self.out, "\n {}", print_group_mod(group, self.version, self.names));
    }

    pub(super) fn group_statistics(&mut self, group: &GroupStatistics) {
        let _ = write!(self.out, "\n group_id={},", group.group);
        if let Some(age) = group.age.filter(|age| age.seconds != u32::MAX) {
            let _ = write!(self.out, "duration={},", duration(age.seconds, age.nanoseconds));
        }
        let GroupStatistics { references, packets, bytes, .. } = group;
        let _ = write!(self.out, "ref_count={references},packet_count={packets},byte_count={bytes}");
        for (at, bucket) in group.buckets.iter().enumerate().filter(|(_, bucket)| bucket.packets != u64::MAX)
        {
            let _ =
                write!(self.out, ",bucket{at}:packet_count={},byte_count={}", bucket.packets, bucket.bytes);
        }
    }

    pub(super) fn group_features(&mut self, features: &GroupFeatures) {
        self.put("\n Group table:\n");
        let _ = writeln!(self.out, "    Types:  {:#x}", features.kinds);
        let _ = writeln!(self.out, "    Capabilities:  {:#x}", features.capabilities.bits());
        let limits = features.maximum.iter().zip(&features.actions);
        for (at, (name, (maximum, actions))) in KINDS.iter().zip(limits).enumerate() {
            if features.kinds >> at & 1 != 0 {
                let _ = writeln!(self.out, "    {name} group:");
                let _ = writeln!(self.out, "       max_groups={}", alt_hex((*maximum).into()));
                let actions = action_names(actions_of(self.version, *actions));
                let _ = writeln!(self.out, "       actions: {actions}");
            }
        }
    }

    pub(super) fn meter_number(&mut self, meter: u32) {
        let _ = write!(self.out, " meter={}", meter_name(meter));
    }

    pub(super) fn meter_mod(&mut self, meter: &MeterMod) {
        let _ = write!(self.out, " {}", print_meter_mod(meter));
    }

    pub(super) fn meter_configs(&mut self, meters: &[MeterConfig]) {
        for meter in meters {
            let _ = write!(self.out, "\n{}", print_meter(meter));
        }
    }

    pub(super) fn meter_statistics(&mut self, meters: &[MeterStatistics]) {
        for meter in meters {
            let _ = write!(self.out, "\n{}", print_meter_statistics(meter));
        }
    }

    pub(super) fn meter_features(&mut self, features: &MeterFeatures) {
        let MeterFeatures { maximum, maximum_bands, maximum_color, .. } = features;
        let _ =
            writeln!(self.out, "\nmax_meter:{maximum} max_bands:{maximum_bands} max_color:{maximum_color}");
        let known = BANDS.iter().fold(0, |set, (bit, _)| set | bit);
        let words = BANDS.iter().filter(|(bit, _)| features.bands & bit != 0).map(|(_, word)| *word);
        let _ = writeln!(self.out, "band_types: {}", bits(words, features.bands & !known, " "));
        let capabilities = features.capabilities;
        let rest = capabilities.without(MeterFlags::ALL).bits();
        let _ = writeln!(self.out, "capabilities: {}", bits(capabilities.words(), rest.into(), " "));
    }

    /// A change of groups or meters that another controller made.
    pub(super) fn forward(&mut self, request: &Message) {
        match request {
            Message::GroupMod(group) => {
                self.put(" reason=group_mod");
                self.group_mod(group);
            }
            Message::MeterMod(meter) => {
                self.put(" reason=meter_mod");
                self.meter_mod(meter);
            }
            _ => {}
        }
    }
}
