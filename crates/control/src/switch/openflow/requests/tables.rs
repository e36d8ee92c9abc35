//! Tables: how they are set, what they counted.

use super::super::ground::Ground;
use super::{Handled, Turn};
use netloom_proto::openflow::message::{
    EvictionFlags, Reply, TableAbilities, TableConfig, TableDescription, TableMod, TableReason,
    TableStatistics, TableStatus, Vacancy,
};
use netloom_proto::openflow::{OfError, Version};
use netloom_vswitch::openflow::{Miss, Pipeline, TableSettings};

/// Tables that controllers see.
pub(super) const VISIBLE: u8 = 254;
/// All tables.
const ALL: u8 = 255;
/// Flows that a table without a limit is said to have room for.
pub(super) const ROOM: u32 = 1_000_000;
/// What an eviction looks at; it can't be changed.
const EVICTION: EvictionFlags =
    EvictionFlags::OTHER.or(EvictionFlags::IMPORTANCE).or(EvictionFlags::LIFETIME);
/// Matches of OpenFlow 1.0: everything can be left out.
const WILDCARDS_10: u64 = 0x3f_ffff;
/// Fields of OpenFlow 1.1, by their bits: all but what SCTP has of its own.
const FIELDS_11: u64 = 0xfbff;
/// Fields of OpenFlow 1.2, by their bits: all but the physical port.
const FIELDS_12: u64 = 0xf_ffff_fffd;
/// Those that actions can set: without the packet's type, protocol, ICMP and the target of neighbour discovery.
const SET_FIELDS_12: u64 = 0xf_ffff_fbdd;
/// Actions of OpenFlow 1.1.
const ACTIONS_11: u32 = 0x01ff_e7ff;
/// Actions of OpenFlow 1.2.
const ACTIONS_12: u32 = 0x03ff_8001;
/// Instructions: all; the last table has none to go to.
const INSTRUCTIONS: u32 = 0x3e;
const GOTO: u32 = 1 << 1;

pub(super) fn room(settings: &TableSettings) -> u32 {
    settings.limit.map_or(ROOM, |limit| u32::try_from(limit).unwrap_or(u32::MAX).min(ROOM))
}

const fn miss_bits(miss: Miss) -> u32 {
    match miss {
        Miss::Default | Miss::Controller => 0,
        Miss::Continue => 1,
        Miss::Drop => 2,
    }
}

fn abilities(version: Version, number: u8, settings: &TableSettings) -> TableAbilities {
    let maximum = room(settings);
    let name = settings.name.clone().unwrap_or_default();
    let base = TableAbilities { name, maximum, ..TableAbilities::default() };
    let instructions = if number + 1 < VISIBLE { INSTRUCTIONS } else { INSTRUCTIONS & !GOTO };
    let config = miss_bits(settings.miss);
    match version {
        Version::V10 => TableAbilities { wildcards: WILDCARDS_10, ..base },
        Version::V11 => TableAbilities {
            wildcards: FIELDS_11,
            matches: FIELDS_11,
            write_actions: ACTIONS_11,
            apply_actions: ACTIONS_11,
            instructions,
            config,
            ..base
        },
        _ => TableAbilities {
            wildcards: FIELDS_12,
            matches: FIELDS_12,
            write_actions: ACTIONS_12,
            apply_actions: ACTIONS_12,
            write_set_fields: SET_FIELDS_12,
            apply_set_fields: SET_FIELDS_12,
            metadata_match: u64::MAX,
            metadata_write: u64::MAX,
            instructions,
            config,
            ..base
        },
    }
}

/// How a table is set, in the words of messages.
fn describe(pipeline: &Pipeline, number: u8) -> TableDescription {
    let settings = pipeline.table_settings(number);
    let evicts = settings.is_some_and(|settings| settings.eviction);
    let vacancy = settings.and_then(|settings| settings.vacancy);
    let flows = pipeline.table_counts(number).flows;
    let now = match settings.and_then(|settings| settings.limit) {
        Some(limit) if limit > 0 => (limit.saturating_sub(flows) * 100 / limit) as u8,
        _ => 100,
    };
    let (down, up) = vacancy.unwrap_or_default();
    TableDescription {
        table: number,
        config: TableConfig::EVICTION.when(evicts).or(TableConfig::VACANCY_EVENTS.when(vacancy.is_some())),
        eviction: Some(EVICTION),
        vacancy: vacancy.map(|_| Vacancy { down, up, now }),
    }
}

/// What is told of a table that has little room, or enough again.
pub(in super::super) fn status(pipeline: &Pipeline, number: u8, reason: TableReason) -> TableStatus {
    TableStatus { reason, table: describe(pipeline, number) }
}

fn change(settings: &TableSettings, told: &TableMod, version: Version) -> TableSettings {
    let mut settings = settings.clone();
    if matches!(version, Version::V11 | Version::V12) {
        settings.miss = if told.config.contains(TableConfig::MISS_CONTINUE) {
            Miss::Continue
        } else if told.config.contains(TableConfig::MISS_DROP) {
            Miss::Drop
        } else {
            Miss::Controller
        };
    }
    if version >= Version::V14 {
        settings.eviction = told.config.contains(TableConfig::EVICTION);
        settings.vacancy = told
            .config
            .contains(TableConfig::VACANCY_EVENTS)
            .then(|| told.vacancy.map_or((0, 0), |vacancy| (vacancy.down, vacancy.up)));
    }
    settings
}

impl<G: Ground> Turn<'_, G> {
    pub(super) fn table_statistics(&self) -> Reply {
        let version = self.version();
        let tables = self.look(|pipeline, _| {
            let table = |number: u8| {
                let counts = pipeline.table_counts(number);
                let settings = pipeline.table_settings(number).filter(|_| version < Version::V13);
                let named = |settings: &TableSettings| Box::new(abilities(version, number, settings));
                TableStatistics {
                    table: number,
                    active: u32::try_from(counts.flows).unwrap_or(u32::MAX),
                    lookups: counts.looked_up,
                    matched: counts.matched,
                    abilities: settings.map(named),
                }
            };
            (0..VISIBLE).map(table).collect()
        });
        Reply::Tables(tables.unwrap_or_default())
    }

    pub(super) fn table_descriptions(&self) -> Reply {
        let tables = self.look(|pipeline, _| (0..VISIBLE).map(|number| describe(pipeline, number)).collect());
        Reply::TableDescriptions(tables.unwrap_or_default())
    }

    pub(super) fn table_mod(&mut self, told: &TableMod) -> Handled {
        if told.eviction.is_some_and(|flags| flags != EVICTION) {
            return Err(OfError::OFPTMFC_BAD_CONFIG);
        }
        if told.table == VISIBLE {
            return Err(OfError::OFPTMFC_EPERM);
        }
        let version = self.version();
        self.work(|pipeline, _| {
            let numbers = if told.table == ALL { 0..VISIBLE } else { told.table..told.table + 1 };
            for number in numbers {
                let Some(before) = pipeline.table_settings(number) else { continue };
                let after = change(before, told, version);
                if after != *before {
                    pipeline.set_table(number, after);
                }
            }
        })?;
        self.tell_others();
        Ok(())
    }
}
