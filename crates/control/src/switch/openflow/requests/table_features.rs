//! What tables can do, by the table of fields and that of actions; and what they are to do, of which only names can change.

use super::super::ground::Ground;
use super::Turn;
use super::tables::{ROOM, VISIBLE, room};
use netloom_proto::openflow::field::{Maskable, header::WireHeader};
use netloom_proto::openflow::message::{
    FieldNumber, KindNumber, Reply, TableCapabilities, TableFeatures, TableFeaturesCommand, TableProperty,
    TablePropertyValue,
};
use netloom_proto::openflow::{FieldId, OfError, Version};
use netloom_vswitch::openflow::field::has;
use netloom_vswitch::openflow::{TableSettings, TlvMap};
use std::collections::BTreeMap;

/// Actions from OpenFlow 1.2 on: output, those on TTL, labels and tags, set_queue, group and set_field.
const ACTIONS: [u16; 12] = [0, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25];
/// Instructions: goto_table, write_metadata, write, apply and clear actions, meter (which is an action from 1.5 on).
const GOTO: u16 = 1;
const METER: u16 = 6;
/// Octets of the longest option: what a field for options can have before one is mapped.
const OPTION: usize = 124;

/// Whether the tables can tell packets apart by a field.
fn is_known(field: FieldId) -> bool {
    field.as_tun_metadata().is_some() || has(field, &TlvMap::default())
}

fn number(field: FieldId, version: Version, masked: bool) -> Option<FieldNumber> {
    let octets = if field.get().is_variable() { OPTION } else { usize::from(field.get().octets) };
    let header = WireHeader::of(field, Some(version), masked, octets)?;
    let experimenter = if header.experimenter == 0 { 0 } else { 4 };
    let length = u32::from(header.payload) + experimenter;
    let class = u32::from(header.class) << 16;
    let header_bits = class | u32::from(header.field) << 9 | u32::from(masked) << 8 | length;
    Some(FieldNumber { header: header_bits, experimenter: header.experimenter })
}

/// What flows of any table can be, but for the tables that they can go to.
fn common(version: Version) -> Vec<TablePropertyValue> {
    let fields = || FieldId::all().filter(|field| is_known(*field));
    let is_maskable = |field: &FieldId| field.get().maskable == Maskable::Bitwise;
    let writable: Vec<_> = fields()
        .filter(|field| field.get().is_writable())
        .filter_map(|field| number(field, version, false))
        .collect();
    let matched = fields().filter_map(|field| number(field, version, is_maskable(&field))).collect();
    let wild = fields().filter_map(|field| number(field, version, false)).collect();
    let actions: Vec<KindNumber> = ACTIONS.into_iter().map(KindNumber::Standard).collect();
    vec![
        TablePropertyValue::WriteActions(actions.clone()),
        TablePropertyValue::WriteSetField(writable.clone()),
        TablePropertyValue::ApplyActions(actions),
        TablePropertyValue::ApplySetField(writable),
        TablePropertyValue::Match(matched),
        TablePropertyValue::Wildcards(wild),
    ]
}

fn describe(
    version: Version,
    number: u8,
    settings: &TableSettings,
    common: &[TablePropertyValue],
) -> TableFeatures {
    let next: Vec<u8> = (number + 1..VISIBLE).collect();
    let last = if version >= Version::V15 { METER - 1 } else { METER };
    let instructions: Vec<KindNumber> = (GOTO..=last)
        .filter(|instruction| *instruction != GOTO || !next.is_empty())
        .map(KindNumber::Standard)
        .collect();
    let mut properties = Vec::new();
    for miss in [false, true] {
        let mut add = |value| properties.push(TableProperty { miss, value });
        add(TablePropertyValue::Instructions(instructions.clone()));
        add(TablePropertyValue::NextTables(next.clone()));
        common.iter().take(4).cloned().for_each(&mut add);
    }
    properties.extend(common.iter().skip(4).cloned().map(|value| TableProperty { miss: false, value }));
    TableFeatures {
        command: TableFeaturesCommand::Replace,
        table: number,
        name: settings.name.clone().unwrap_or_default(),
        metadata_match: u64::MAX,
        metadata_write: u64::MAX,
        capabilities: TableCapabilities::NONE,
        maximum: room(settings),
        properties,
    }
}

/// The names that tables are to get.
fn names(
    told: Vec<TableFeatures>,
    now: &BTreeMap<u8, TableSettings>,
) -> Result<BTreeMap<u8, String>, OfError> {
    let command = told.first().map_or(TableFeaturesCommand::Replace, |table| table.command);
    let mut names = BTreeMap::new();
    for table in told {
        if table.table >= VISIBLE {
            return Err(OfError::OFPTFFC_EPERM);
        }
        let limit = now.get(&table.table).map_or(ROOM, room);
        // How much a table holds is the switch's to say.
        if table.maximum != limit {
            return Err(OfError::OFPTFFC_EPERM);
        }
        if names.insert(table.table, table.name).is_some() {
            return Err(OfError::NXTFFC_DUP_TABLE);
        }
    }
    match command {
        TableFeaturesCommand::Modify => Ok(names),
        // All tables are there, and none can be taken away.
        TableFeaturesCommand::Replace if names.len() == usize::from(VISIBLE) => Ok(names),
        _ => Err(OfError::OFPTFFC_EPERM),
    }
}

impl<G: Ground> Turn<'_, G> {
    pub(super) fn table_features(&mut self, told: Vec<TableFeatures>) -> Result<Reply, OfError> {
        let version = self.version();
        let settings = |pipeline: &netloom_vswitch::openflow::Pipeline| {
            let of = |number: u8| Some((number, pipeline.table_settings(number)?.clone()));
            (0..VISIBLE).filter_map(of).collect::<BTreeMap<_, _>>()
        };
        let mut now = self.look(|pipeline, _| settings(pipeline))?;
        if !told.is_empty() {
            let names = names(told, &now)?;
            // A name that the database gave stays.
            let taken = |number: &u8, name: &String| {
                now.get(number).is_some_and(|known| known.is_named && known.name.as_ref() != Some(name))
            };
            if names.iter().any(|(number, name)| taken(number, name)) {
                return Err(OfError::OFPTFFC_EPERM);
            }
            now = self.work(|pipeline, _| {
                for (number, name) in names {
                    let Some(before) = pipeline.table_settings(number) else { continue };
                    let name = Some(name).filter(|name| !name.is_empty());
                    if before.name != name {
                        let after = TableSettings { name, ..before.clone() };
                        pipeline.set_table(number, after);
                    }
                }
                settings(pipeline)
            })?;
        }
        let common = common(version);
        let tell = |(number, settings): (&u8, &TableSettings)| describe(version, *number, settings, &common);
        Ok(Reply::TableFeatures(now.iter().map(tell).collect()))
    }
}
