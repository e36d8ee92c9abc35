//! What tables can do and what they counted: a table that is like the one before it is told in few words.

use super::super::number::alt_hex;
use super::Printer;
use super::switch::{action_names, actions_of};
use super::table::miss;
use crate::openflow::field::header::{Class, WireHeader};
use crate::openflow::message::{
    FieldNumber, KindNumber, TableAbilities, TableCapabilities, TableConfig, TableFeatures,
    TableFeaturesCommand, TablePropertyValue, TableStatistics,
};
use crate::openflow::{FieldId, Version};
use std::collections::BTreeSet;
use std::fmt::Write;

type Fields = BTreeSet<FieldId>;

/// Instructions in the order in which they are told, with their numbers on the wire.
const INSTRUCTIONS: [(&str, u16); 6] = [
    ("meter", 6),
    ("apply_actions", 4),
    ("clear_actions", 5),
    ("write_actions", 3),
    ("write_metadata", 2),
    ("goto_table", 1),
];

/// Fields by the bits that wildcards have in version 1.0.
const WILDCARDS_10: [(u64, FieldId); 12] = [
    (1 << 0, FieldId::IN_PORT),
    (1 << 1, FieldId::VLAN_VID),
    (1 << 2, FieldId::ETH_SRC),
    (1 << 3, FieldId::ETH_DST),
    (1 << 4, FieldId::ETH_TYPE),
    (1 << 5, FieldId::IP_PROTO),
    (1 << 6, FieldId::TCP_SRC),
    (1 << 7, FieldId::TCP_DST),
    (0x3f << 8, FieldId::IPV4_SRC),
    (0x3f << 14, FieldId::IPV4_DST),
    (1 << 20, FieldId::VLAN_PCP),
    (1 << 21, FieldId::IP_DSCP),
];
/// The same of version 1.1.
const WILDCARDS_11: [(u64, FieldId); 15] = [
    (1 << 0, FieldId::IN_PORT),
    (1 << 1, FieldId::VLAN_VID),
    (1 << 2, FieldId::VLAN_PCP),
    (1 << 3, FieldId::ETH_TYPE),
    (1 << 4, FieldId::IP_DSCP),
    (1 << 5, FieldId::IP_PROTO),
    (1 << 6, FieldId::TCP_SRC),
    (1 << 7, FieldId::TCP_DST),
    (1 << 8, FieldId::MPLS_LABEL),
    (1 << 9, FieldId::MPLS_TC),
    (1 << 11, FieldId::ETH_SRC),
    (1 << 12, FieldId::ETH_DST),
    (1 << 13, FieldId::IPV4_SRC),
    (1 << 14, FieldId::IPV4_DST),
    (1 << 15, FieldId::METADATA),
];

#[derive(Clone, Default, PartialEq, Eq)]
struct Actions {
    known: u32,
    fields: Fields,
}

impl Actions {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What flows of a table can do.
#[derive(Clone, Default, PartialEq, Eq)]
struct Flows {
    next: BTreeSet<u8>,
    instructions: u8,
    write: Actions,
    apply: Actions,
}

impl Flows {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the flows of two tables can do the same. A table cannot go to itself, so that tables in a row differ in one
    /// number that does not count.
    fn is_like(&self, table: u8, other: &Self, other_table: u8) -> bool {
        let exempt = if other_table == table.wrapping_add(1) {
            Some(other_table).filter(|number| self.next.contains(number) && !other.next.contains(number))
        } else if table == other_table.wrapping_add(1) {
            Some(table).filter(|number| other.next.contains(number) && !self.next.contains(number))
        } else {
            None
        };
        self.next.symmetric_difference(&other.next).all(|number| Some(*number) == exempt)
            && self.instructions == other.instructions
            && self.write == other.write
            && self.apply == other.apply
    }
}

/// A table, whichever message told of it.
#[derive(Clone, Default)]
struct Table {
    number: u8,
    name: String,
    metadata: (u64, u64),
    miss: Option<&'static str>,
    capabilities: Option<TableCapabilities>,
    maximum: u32,
    flows: Flows,
    misses: Flows,
    matches: Fields,
    masks: Fields,
    wildcards: Fields,
}

fn known(numbers: &[FieldNumber]) -> impl Iterator<Item = (FieldId, bool)> + '_ {
    numbers.iter().filter_map(|number| {
        let wire = WireHeader {
            class: (number.header >> 16) as u16,
            field: (number.header >> 9 & 0x7f) as u8,
            masked: number.has_mask(),
            payload: 0,
            experimenter: number.experimenter,
        };
        Some((wire.known()?, number.has_mask()))
    })
}

fn numbers(kinds: &[KindNumber]) -> impl Iterator<Item = u16> + '_ {
    kinds.iter().filter_map(|kind| match kind {
        KindNumber::Standard(number) => Some(*number),
        KindNumber::Experimenter(_) => None,
    })
}

fn instructions_of(number: impl Fn(u16) -> bool) -> u8 {
    let rows = INSTRUCTIONS.iter().enumerate().filter(|(_, (_, wire))| number(*wire));
    rows.fold(0, |set, (at, _)| set | 1 << at)
}

fn action_set(version: Version, kinds: &[KindNumber]) -> u32 {
    let all = numbers(kinds).filter(|number| *number < 32).fold(0, |set, number| set | 1 << number);
    actions_of(version, all)
}

impl Table {
    fn of_features(version: Version, features: &TableFeatures) -> Self {
        let mut table = Self {
            number: features.table,
            name: features.name.clone(),
            metadata: (features.metadata_match, features.metadata_write),
            capabilities: (version >= Version::V14).then_some(features.capabilities),
            maximum: features.maximum,
            ..Self::default()
        };
        // What is not said of the flow that takes what misses is as for the others.
        for miss in [false, true] {
            for property in features.properties.iter().filter(|property| property.miss == miss) {
                table.take(version, &property.value, miss);
                if !miss {
                    table.take(version, &property.value, true);
                }
            }
        }
        table.matches.extend(&table.masks);
        table.wildcards.extend(&table.masks);
        table.wildcards.retain(|field| table.matches.contains(field));
        table
    }

    fn take(&mut self, version: Version, value: &TablePropertyValue, miss: bool) {
        let flows = if miss { &mut self.misses } else { &mut self.flows };
        let set = |list: &[FieldNumber]| known(list).map(|(field, _)| field).collect();
        match value {
            TablePropertyValue::Instructions(kinds) => {
                flows.instructions = instructions_of(|wire| numbers(kinds).any(|number| number == wire));
            }
            TablePropertyValue::NextTables(tables) => flows.next = tables.iter().copied().collect(),
            TablePropertyValue::WriteActions(kinds) => flows.write.known = action_set(version, kinds),
            TablePropertyValue::ApplyActions(kinds) => flows.apply.known = action_set(version, kinds),
            TablePropertyValue::WriteSetField(list) => flows.write.fields = set(list),
            TablePropertyValue::ApplySetField(list) => flows.apply.fields = set(list),
            TablePropertyValue::Match(list) => {
                let (masks, exact) = known(list).partition::<Vec<_>, _>(|(_, masked)| *masked);
                self.matches = exact.into_iter().map(|(field, _)| field).collect();
                self.masks = masks.into_iter().map(|(field, _)| field).collect();
            }
            TablePropertyValue::Wildcards(list) => self.wildcards = set(list),
        }
    }

    fn of_statistics(version: Version, statistics: &TableStatistics) -> Self {
        let mut table = Self { number: statistics.table, ..Self::default() };
        let Some(abilities) = statistics.abilities.as_deref().filter(|_| version < Version::V13) else {
            return table;
        };
        table.name.clone_from(&abilities.name);
        table.maximum = abilities.maximum;
        let by_bits = |rows: &[(u64, FieldId)], bits: u64| -> Fields {
            rows.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, field)| *field).collect()
        };
        match version {
            Version::V10 => {
                table.wildcards = by_bits(&WILDCARDS_10, abilities.wildcards);
                table.matches = table.wildcards.clone();
                return table;
            }
            Version::V11 => {
                table.wildcards = by_bits(&WILDCARDS_11, abilities.wildcards);
                table.matches = by_bits(&WILDCARDS_11, abilities.matches);
                // Open vSwitch takes the written ones for the applied ones here too.
                table.abilities(version, abilities, abilities.write_actions);
                table.maximum = abilities.maximum;
            }
            _ => {
                table.metadata = (abilities.metadata_match, abilities.metadata_write);
                table.wildcards = basic_fields(abilities.wildcards);
                table.matches = basic_fields(abilities.matches);
                table.abilities(version, abilities, abilities.apply_actions);
                table.flows.write.fields = basic_fields(abilities.write_set_fields);
                table.flows.apply.fields = basic_fields(abilities.apply_set_fields);
            }
        }
        table.misses = table.flows.clone();
        table.matches.extend(&table.wildcards);
        table
    }

    fn abilities(&mut self, version: Version, abilities: &TableAbilities, applied: u32) {
        self.miss = miss(version, TableConfig::from_bits(abilities.config));
        self.flows.instructions = instructions_of(|wire| abilities.instructions >> wire & 1 != 0);
        self.flows.write.known = actions_of(version, abilities.write_actions);
        self.flows.apply.known = actions_of(version, applied);
    }

    fn is_like(&self, other: &Self) -> bool {
        self.metadata == other.metadata
            && self.miss == other.miss
            && self.capabilities == other.capabilities
            && self.maximum == other.maximum
            && self.flows.is_like(self.number, &other.flows, other.number)
            && self.misses.is_like(self.number, &other.misses, other.number)
            && self.matches == other.matches
    }

    fn says_nothing(&self) -> bool {
        self.metadata == (0, 0)
            && self.miss.is_none()
            && self.capabilities.is_none()
            && self.maximum == 0
            && self.flows.is_empty()
            && self.misses.is_empty()
            && self.matches.is_empty()
    }
}

/// Fields by the bits of the class of the standard, in version 1.2.
fn basic_fields(bits: u64) -> Fields {
    let named = |field: &FieldId| {
        field.get().headers.iter().any(|header| {
            let known = header.first <= Version::V12.wire() && header.field < 64;
            header.class == Class::Basic && known && bits >> header.field & 1 != 0
        })
    };
    FieldId::all().filter(named).collect()
}

/// Names, shortened: `eth_{src,dst,type}`, `reg0...reg15`.
fn short_names(names: &[&str], cut: usize) -> String {
    let mut out = Vec::new();
    let mut rest = names;
    while let Some(first) = rest.first() {
        let tail = first.get(cut..).unwrap_or_default();
        let (common, length) = common_run(rest, cut);
        let row = sequence_run(rest);
        let run = common.max(row);
        if row >= common {
            let last = rest.get(run - 1).and_then(|last| last.get(cut..)).unwrap_or_default();
            out.push(if run > 1 { format!("{tail}...{last}") } else { tail.to_owned() });
        } else {
            let inside = short_names(rest.get(..run).unwrap_or_default(), cut + length);
            out.push(format!("{}{{{inside}}}", tail.get(..length).unwrap_or_default()));
        }
        rest = rest.get(run..).unwrap_or_default();
    }
    out.join(if cut == 0 { " " } else { "," })
}

/// How many names at the front begin alike, up to an underscore, and how many octets that is.
fn common_run(names: &[&str], cut: usize) -> (usize, usize) {
    let tail = |name: &str| name.as_bytes().get(cut..).unwrap_or_default().to_vec();
    let common = |a: &[u8], b: &[u8]| {
        let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
        a[..same].iter().rposition(|octet| *octet == b'_').map_or(0, |at| at + 1)
    };
    let Some(first) = names.first().map(|name| tail(name)) else { return (0, 0) };
    let length = names.get(1).map_or(0, |second| common(&first, &tail(second)));
    if length == 0 {
        return (1, 0);
    }
    let more = names.iter().skip(2).take_while(|name| common(&first, &tail(name)) != 0).count();
    (2 + more, length)
}

/// How many names at the front end in numbers that follow one another; two are not worth it.
fn sequence_run(names: &[&str]) -> usize {
    let follows = |a: &str, b: &str| {
        let same = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
        let number = |text: &str| -> Option<u64> {
            let digits = text.get(same..)?;
            digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok())?
        };
        number(a).zip(number(b)).is_some_and(|(a, b)| a + 1 == b)
    };
    let pairs = names.windows(2).take_while(|pair| matches!(pair, [a, b] if follows(a, b))).count();
    if pairs == 1 { 1 } else { pairs + 1 }
}

fn field_names(fields: &Fields) -> String {
    let names: Vec<&str> = fields.iter().map(|field| field.name()).collect();
    short_names(&names, 0)
}

/// Prints tables one after the other, however many messages they come in.
#[derive(Default)]
pub struct TableFeaturesPrinter {
    out: String,
    previous: Option<(Table, Option<TableStatistics>)>,
    /// The first and last of the tables that are as the one before.
    alike: Option<(u8, u8)>,
}

impl TableFeaturesPrinter {
    /// Prints the next table of an answer in this version.
    pub fn table(&mut self, version: Version, features: &TableFeatures) {
        if self.previous.is_none() && features.command != TableFeaturesCommand::Replace {
            let command = match features.command {
                TableFeaturesCommand::Replace => "replace",
                TableFeaturesCommand::Modify => "modify",
                TableFeaturesCommand::Enable => "enable",
                TableFeaturesCommand::Disable => "disable",
            };
            let _ = write!(self.out, "\n  command: {command}");
        }
        self.next(Table::of_features(version, features), None);
    }

    /// Prints what the next table counted, and what it can do where the version tells it.
    fn statistics(&mut self, version: Version, statistics: &TableStatistics) {
        self.next(Table::of_statistics(version, statistics), Some(statistics.clone()));
    }

    /// The text. It begins with a newline if there is any.
    #[must_use]
    pub fn finish(mut self) -> String {
        self.say_alike();
        self.out
    }

    fn say_alike(&mut self) {
        match self.alike.take() {
            None => {}
            Some((first, last)) if first == last => {
                let _ = writeln!(self.out, "\n  table {first}: ditto");
            }
            Some((first, last)) => {
                let _ = writeln!(self.out, "\n  tables {first}...{last}: ditto");
            }
        }
    }

    fn next(&mut self, table: Table, counts: Option<TableStatistics>) {
        let counted = |a: &TableStatistics, b: &TableStatistics| {
            (a.active, a.lookups, a.matched) == (b.active, b.lookups, b.matched)
        };
        let previous = self.previous.take();
        let same_counts = match (&counts, &previous) {
            (None, _) => true,
            (Some(counts), Some((_, Some(previous)))) => counted(counts, previous),
            _ => false,
        };
        let same = previous.as_ref().is_some_and(|(previous, _)| table.is_like(previous));
        if same_counts && same && table.name.is_empty() {
            self.alike = Some((self.alike.map_or(table.number, |(first, _)| first), table.number));
        } else {
            self.say_alike();
            let _ = write!(self.out, "\n  table {}", table.number);
            if !table.name.is_empty() {
                let _ = write!(self.out, " (\"{}\")", table.name);
            }
            self.out.push(':');
            if same_counts && same {
                self.out.push_str(" ditto");
            } else {
                self.out.push('\n');
                if let Some(counts) = &counts {
                    let TableStatistics { active, lookups, matched, .. } = counts;
                    let _ = writeln!(self.out, "    active={active}, lookup={lookups}, matched={matched}");
                }
                if !same {
                    self.describe(&table, previous.as_ref().map(|(previous, _)| previous));
                } else if !table.says_nothing() {
                    self.out.push_str("    (same features)\n");
                }
            }
        }
        self.previous = Some((table, counts));
    }

    fn describe(&mut self, table: &Table, previous: Option<&Table>) {
        if table.metadata != (0, 0) {
            let (matched, written) = (alt_hex(table.metadata.0), alt_hex(table.metadata.1));
            let _ = writeln!(self.out, "    metadata: match={matched} write={written}");
        }
        if let Some(miss) = table.miss {
            let _ = writeln!(self.out, "    config={miss}");
        }
        if let Some(capabilities) = table.capabilities {
            let not = |bit| if capabilities.contains(bit) { "" } else { "not " };
            let _ = writeln!(self.out, "    eviction: {}supported", not(TableCapabilities::EVICTION));
            let events = not(TableCapabilities::VACANCY_EVENTS);
            let _ = writeln!(self.out, "    vacancy events: {events}supported");
        }
        if table.maximum != 0 {
            let _ = writeln!(self.out, "    max_entries={}", table.maximum);
        }
        let like = previous.is_some_and(|previous| {
            table.flows.is_like(table.number, &previous.flows, previous.number)
                && table.misses.is_like(table.number, &previous.misses, previous.number)
        });
        let (flows, misses) =
            (previous.map(|previous| &previous.flows), previous.map(|previous| &previous.misses));
        if like {
            if !table.flows.is_empty() {
                self.out.push_str("    (same instructions)\n");
            }
        } else if !table.flows.is_like(table.number, &table.misses, table.number) {
            self.out.push_str("    instructions (other than table miss):\n");
            self.flows(&table.flows, flows);
            self.out.push_str("    instructions (table miss):\n");
            self.flows(&table.misses, misses);
        } else if !table.flows.is_empty() {
            self.out.push_str("    instructions (table miss and others):\n");
            self.flows(&table.flows, flows);
        }
        if table.matches.is_empty() {
            return;
        }
        if previous.is_some_and(|previous| previous.matches == table.matches) {
            self.out.push_str("    (same matching)\n");
            return;
        }
        self.out.push_str("    matching:\n");
        for (masks, wildcards, words) in [
            (true, true, "arbitrary mask"),
            (false, true, "exact match or wildcard"),
            (false, false, "must exact match"),
        ] {
            let fits = |field: &&FieldId| {
                table.masks.contains(field) == masks && table.wildcards.contains(field) == wildcards
            };
            let fields: Fields = table.matches.iter().filter(fits).copied().collect();
            if !fields.is_empty() {
                let _ = writeln!(self.out, "      {words}: {}", field_names(&fields));
            }
        }
    }

    fn flows(&mut self, flows: &Flows, previous: Option<&Flows>) {
        if !flows.next.is_empty() {
            let _ = writeln!(self.out, "      next tables: {}", ranges(&flows.next));
        }
        if flows.instructions != 0 {
            if previous.is_some_and(|previous| previous.instructions == flows.instructions) {
                self.out.push_str("      (same instructions)\n");
            } else {
                let rows = INSTRUCTIONS.iter().enumerate();
                let told = rows.filter(|(at, _)| flows.instructions >> at & 1 != 0);
                let told: Vec<&str> = told.map(|(_, (name, _))| *name).collect();
                let _ = writeln!(self.out, "      instructions: {}", told.join(" "));
            }
        }
        let same = previous.is_some_and(|previous| {
            previous.write == flows.write && previous.apply == flows.apply && !flows.write.fields.is_empty()
        });
        if same {
            self.out.push_str("      (same actions)\n");
        } else if flows.write != flows.apply {
            self.out.push_str("      Write-Actions features:\n");
            self.actions(&flows.write);
            self.out.push_str("      Apply-Actions features:\n");
            self.actions(&flows.apply);
        } else if !flows.write.is_empty() {
            self.out.push_str("      Write-Actions and Apply-Actions features:\n");
            self.actions(&flows.write);
        }
    }

    fn actions(&mut self, actions: &Actions) {
        if actions.known != 0 {
            let _ = writeln!(self.out, "        actions: {}", action_names(actions.known));
        }
        if !actions.fields.is_empty() {
            let _ = writeln!(self.out, "        supported on Set-Field: {}", field_names(&actions.fields));
        }
    }
}

/// Numbers with those that follow one another as ranges. Table 255 is none.
fn ranges(numbers: &BTreeSet<u8>) -> String {
    let mut ranges: Vec<(u8, u8)> = Vec::new();
    for number in numbers.iter().copied().filter(|number| *number < 255) {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let text = |(first, last): (u8, u8)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    if ranges.is_empty() {
        return "none".to_owned();
    }
    ranges.into_iter().map(text).collect::<Vec<_>>().join(",")
}

impl Printer<'_> {
    pub(super) fn table_features(&mut self, tables: &[TableFeatures]) {
        let mut printer = TableFeaturesPrinter::default();
        tables.iter().for_each(|table| printer.table(self.version, table));
        self.put(&printer.finish());
    }

    pub(super) fn table_statistics(&mut self, tables: &[TableStatistics]) {
        let mut printer = TableFeaturesPrinter::default();
        tables.iter().for_each(|table| printer.statistics(self.version, table));
        self.put(&printer.finish());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shortened() {
        let short = |names: &[&str]| short_names(names, 0);
        assert_eq!(short(&["eth_src", "eth_dst", "eth_type"]), "eth_{src,dst,type}");
        assert_eq!(short(&["reg0", "reg1", "reg2", "metadata"]), "reg0...reg2 metadata");
        assert_eq!(short(&["reg0", "reg1"]), "reg0 reg1");
        assert_eq!(
            short(&["tun_id", "tun_src", "tun_gbp_id", "tun_gbp_flags"]),
            "tun_{id,src,gbp_{id,flags}}"
        );
        assert_eq!(ranges(&[1, 2, 3, 9].into_iter().collect()), "1-3,9");
    }
}
