//! What is in the tables, for those who ask.

use super::flow::{Flow, FlowFilter, FlowView};
use super::group::Group;
use super::meter::Meter;
use super::recirculation::Frozen;
use super::table::{Miss, TableSettings};
use super::translate::Hit;
use super::{FlowId, Pipeline, TABLES, bridge_tag, field, table_tag};
use netloom_proto::openflow::action::fit_tun_metadata;
use netloom_proto::openflow::{Action, FieldId, OfError};
use netloom_table::{Key, Mask};

/// Figures of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TableCounts {
    /// Flows.
    pub flows: usize,
    /// Packets that looked for a flow.
    pub looked_up: u64,
    /// Packets that found one.
    pub matched: u64,
}

/// Sums over some flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Aggregate {
    /// Flows.
    pub flows: u64,
    /// Their packets.
    pub packets: u64,
    /// Their octets.
    pub octets: u64,
}

/// Whether a flow of this priority is the switch's own.
pub(super) fn is_own(priority: Option<u32>) -> bool {
    priority.is_none_or(|priority| priority > u32::from(u16::MAX))
}

impl Pipeline {
    /// A flow.
    #[must_use]
    pub fn flow(&self, id: FlowId) -> Option<&Flow> {
        self.tables.get(usize::from(id.table))?.rules.get(id.rule).map(|flow| &**flow)
    }

    /// A flow with what it matches.
    #[must_use]
    pub fn view(&self, id: FlowId) -> Option<FlowView> {
        let table = self.tables.get(usize::from(id.table))?;
        let (priority, key, mask) = table.rules.describe(id.rule)?;
        let flow = Flow::clone(table.rules.get(id.rule)?);
        Some(FlowView {
            table: id.table,
            priority,
            matching: field::to_match(&key, mask, &self.tlv),
            duration: self.now.saturating_sub(flow.created),
            idle: self.now.saturating_sub(flow.used),
            age: self.now.saturating_sub(flow.modified),
            flow,
        })
    }

    /// The flows that somebody asks for, by table, and in it by descending priority.
    ///
    /// # Errors
    /// The field that the tables can't have.
    pub fn select(&self, filter: &FlowFilter) -> Result<Vec<FlowId>, FieldId> {
        let (key, mask) = field::to_key(&filter.matching, &self.tlv)?;
        let mut found = Vec::new();
        for (number, table) in self.tables.iter().enumerate() {
            if filter.table.is_some_and(|wanted| usize::from(wanted) != number) || table.rules.is_empty() {
                continue;
            }
            let rules = match filter.strict {
                Some(priority) => {
                    table.rules.exact(u32::from(priority), &key, &mask, self.version).into_iter().collect()
                }
                None => table.rules.within(&key, &mask, self.version),
            };
            let fits = |flow: &Flow| {
                (flow.cookie ^ filter.cookie.0) & filter.cookie.1 == 0
                    && flow.sends_to(filter.out_port)
                    && flow.uses_group(filter.out_group)
            };
            let mut rules: Vec<_> = rules
                .into_iter()
                .filter(|rule| table.rules.get(*rule).is_some_and(|flow| fits(flow)))
                .filter(|rule| filter.own || !is_own(table.rules.priority(*rule)))
                .collect();
            rules.sort_by_key(|rule| (std::cmp::Reverse(table.rules.priority(*rule)), *rule));
            found.extend(rules.into_iter().map(|rule| FlowId { table: number as u8, rule }));
        }
        Ok(found)
    }

    /// Sums over the flows that somebody asks for.
    ///
    /// # Errors
    /// As [`Pipeline::select`].
    pub fn aggregate(&self, filter: &FlowFilter) -> Result<Aggregate, FieldId> {
        let mut sums = Aggregate::default();
        for flow in self.select(filter)?.into_iter().filter_map(|id| self.flow(id)) {
            sums.flows += 1;
            sums.packets += flow.packets;
            sums.octets += flow.octets;
        }
        Ok(sums)
    }

    /// Figures of a table.
    #[must_use]
    pub fn table_counts(&self, number: u8) -> TableCounts {
        self.tables.get(usize::from(number)).map_or_else(TableCounts::default, |table| TableCounts {
            flows: table.flows,
            looked_up: table.matched + table.missed,
            matched: table.matched,
        })
    }

    /// Whether the actions of a packet-out name only groups and meters that are there.
    ///
    /// # Errors
    /// What the controller is told if not.
    pub fn check_packet_out(&self, actions: &[Action]) -> Result<(), OfError> {
        self.check_actions(0, actions)
    }

    /// Whether a flow matches on, or does something with, a field that stands for an option of tunnels.
    #[must_use]
    pub fn uses_tunnel_option(&self, number: u8) -> bool {
        let Some(field) = FieldId::tun_metadata(number) else { return false };
        let all = self.select(&FlowFilter { own: true, ..FlowFilter::default() }).unwrap_or_default();
        all.into_iter().filter_map(|id| self.view(id)).any(|view| {
            // As if all options were there but this one.
            let mut lengths = [124; 64];
            if let Some(length) = lengths.get_mut(usize::from(number)) {
                *length = 0;
            }
            let mut actions = view.flow.actions.to_vec();
            view.matching.get(field).is_some() || fit_tun_metadata(&mut actions, &lengths).is_err()
        })
    }

    /// Settings of a table.
    #[must_use]
    pub fn table_settings(&self, number: u8) -> Option<&TableSettings> {
        self.tables.get(usize::from(number)).map(|table| &table.settings)
    }

    /// Changes the settings of a table. Flows beyond a lower limit stay.
    pub fn set_table(&mut self, number: u8, settings: TableSettings) {
        let Some(table) = self.tables.get_mut(usize::from(number)) else { return };
        if settings.prefixes != table.settings.prefixes {
            use netloom_table::classifier::Prefix;
            let usual = vec![Prefix::Ip4Destination, Prefix::Ip4Source];
            table.rules.set_prefixes(settings.prefixes.as_ref().unwrap_or(&usual));
        }
        table.settings = settings;
        self.touch(table_tag(self.number, number));
        self.touch(bridge_tag(self.number));
        self.evict(number);
    }

    /// The number of a table of a name.
    #[must_use]
    pub fn table_named(&self, name: &str) -> Option<u8> {
        (0..TABLES as u8).find(|number| {
            self.table_settings(*number).is_some_and(|settings| settings.name.as_deref() == Some(name))
        })
    }

    /// Groups, by number.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.values()
    }

    /// A group.
    #[must_use]
    pub fn group(&self, number: u32) -> Option<&Group> {
        self.groups.get(&number)
    }

    /// How many flows and buckets use a group.
    #[must_use]
    pub fn group_users(&self, number: u32) -> usize {
        self.users(|flow| flow.uses_group(number))
    }

    /// Meters, by number.
    pub fn meters(&self) -> impl Iterator<Item = &Meter> {
        self.meters.values()
    }

    /// How many flows use a meter.
    #[must_use]
    pub fn meter_users(&self, number: u32) -> usize {
        self.users(|flow| flow.uses_meter(number))
    }

    fn users(&self, uses: impl Fn(&Flow) -> bool) -> usize {
        let of = |table: &super::table::Table| {
            let rules = table.rules.iter(self.version);
            rules.filter(|rule| table.rules.get(*rule).is_some_and(|flow| uses(flow))).count()
        };
        self.tables.iter().map(of).sum()
    }

    /// Octets that tables, flows and their actions take.
    #[must_use]
    pub fn memory(&self) -> usize {
        let of = |table: &super::table::Table| {
            let flows = table.rules.iter(self.version).filter_map(|rule| table.rules.get(rule));
            let actions = |flow: &Flow| 16 + size_of_val(&*flow.actions);
            table.rules.memory() + flows.map(|flow| size_of::<Flow>() + actions(flow)).sum::<usize>()
        };
        self.tables.iter().map(of).sum()
    }

    /// The rule for a packet in normal form; what was looked at goes into the mask.
    pub(super) fn lookup(&self, number: u8, key: &Key, mask: &mut Mask) -> Option<(Hit, Option<u32>)> {
        let table = self.tables.get(usize::from(number))?;
        let found = table.rules.find(key, mask, self.version)?;
        let flow = table.rules.get(found.rule)?;
        let hit = Hit {
            flow: FlowId { table: number, rule: found.rule },
            cookie: flow.cookie,
            actions: flow.actions.clone(),
        };
        Some((hit, found.conjunction))
    }

    /// Whether packets that no flow of a table wants go on in the next one.
    pub(super) fn continues(&self, number: u8) -> bool {
        self.table_settings(number).is_some_and(|settings| settings.miss == Miss::Continue)
    }

    /// Whether packets that no flow of a table wants go to the controllers.
    pub(super) fn asks_controller(&self, number: u8) -> bool {
        match self.table_settings(number).map(|settings| settings.miss) {
            Some(Miss::Controller) => true,
            Some(Miss::Default) => self.options.old_controllers,
            _ => false,
        }
    }

    /// A meter's number in programs.
    pub(super) fn meter_slot(&self, number: u32) -> Option<u32> {
        self.meters.get(&number).map(|meter| meter.slot)
    }

    /// The state of a recirculation number, or of a packet that went to a controller: registers, what is left to do.
    #[must_use]
    pub fn frozen_state(&self, number: u32) -> Option<std::sync::Arc<Frozen>> {
        self.frozen.get(number)
    }
}
