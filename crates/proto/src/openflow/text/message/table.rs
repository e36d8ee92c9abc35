//! Tables: how they are set, and how they are to be set.

use super::{Printer, bits};
use crate::openflow::Version;
use crate::openflow::message::{
    EvictionFlags, TableConfig, TableDescription, TableMod, TableReason, TableStatus, Vacancy,
};
use std::fmt::Write;

/// What becomes of a miss, where the version says it.
pub(super) fn miss(version: Version, config: TableConfig) -> Option<&'static str> {
    if !matches!(version, Version::V11 | Version::V12) {
        return None;
    }
    match (config.contains(TableConfig::MISS_CONTINUE), config.contains(TableConfig::MISS_DROP)) {
        (true, false) => Some("continue"),
        (false, true) => Some("drop"),
        // Open vSwitch takes what means nothing as the default.
        (false, false) | (true, true) => Some("controller"),
    }
}

const fn switch(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

fn eviction_flags(flags: EvictionFlags) -> String {
    bits(flags.words(), flags.without(EvictionFlags::ALL).bits(), "|")
}

impl Printer<'_> {
    pub(super) fn table_mod(&mut self, table: &TableMod) {
        if table.table == 255 {
            self.put(" table_id: ALL_TABLES");
        } else {
            let _ = write!(self.out, " table_id={}", self.names.print_table(table.table));
        }
        if let Some(miss) = miss(self.version, table.config) {
            let _ = write!(self.out, ", flow_miss_config={miss}");
        }
        let modern = self.version >= Version::V14;
        if modern {
            // Open vSwitch reads what is to be evicted as whether anything is; other numbers than those are an error to it.
            match table.eviction.map(EvictionFlags::bits) {
                Some(0) => {}
                Some(1) => self.put(", eviction=on"),
                Some(2) => self.put(", eviction=off"),
                Some(_) => self.put(", eviction=***error***"),
                None => {
                    let on = table.config.contains(TableConfig::EVICTION);
                    let _ = write!(self.out, ", eviction={}", switch(on));
                }
            }
        }
        if modern {
            let events = table.config.contains(TableConfig::VACANCY_EVENTS);
            let _ = write!(self.out, ", vacancy={}", switch(events));
            if events {
                let Vacancy { down, up, .. } = table.vacancy.unwrap_or(Vacancy { down: 0, up: 0, now: 0 });
                let _ = write!(self.out, " vacancy:{down},{up}");
            }
        }
    }

    pub(super) fn table_description(&mut self, table: &TableDescription) {
        let _ = writeln!(self.out, "\n  table {}:", self.names.print_table(table.table));
        let flags = table.eviction.map_or_else(|| "(default)".to_owned(), eviction_flags);
        let eviction = switch(table.config.contains(TableConfig::EVICTION));
        let _ = writeln!(self.out, "   eviction={eviction} eviction_flags={flags}");
        let events = table.config.contains(TableConfig::VACANCY_EVENTS);
        let _ = write!(self.out, "   vacancy={}", switch(events));
        if events {
            let Vacancy { down, up, now } = table.vacancy.unwrap_or(Vacancy { down: 0, up: 0, now: 0 });
            let _ = write!(self.out, " vacancy_down={down}% vacancy_up={up}% vacancy={now}%");
        }
        self.out.push('\n');
    }

    pub(super) fn table_status(&mut self, status: &TableStatus) {
        self.put(match status.reason {
            TableReason::VacancyDown => " reason=VACANCY_DOWN",
            TableReason::VacancyUp => " reason=VACANCY_UP",
        });
        self.put("\ntable_desc:-");
        self.table_description(&status.table);
    }
}
