//! What a successor goes on with.

use super::super::brain::Bridges;
use super::ExportSettings;
use netloom_proto::export::{ipfix, sflow};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What exporters of a bridge have told until now.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(in super::super) struct ExportState {
    pub(in super::super) settings: ExportSettings,
    /// When it began, and how many records it told.
    pub(super) netflow: Option<(u64, u32)>,
    #[serde(with = "position")]
    pub(super) sflow: Option<sflow::Position>,
    pub(super) sums: Option<IpfixPosition>,
    pub(super) sets: BTreeMap<u32, IpfixPosition>,
}

/// What an exporter of sums counted, and sequence numbers by domain.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct IpfixPosition {
    counts: [u64; 7],
    domains: Vec<(u32, u32)>,
}

impl From<IpfixPosition> for (ipfix::Counts, Vec<(u32, u32)>) {
    fn from(position: IpfixPosition) -> Self {
        let [flows, packets, ipv4, ipv6, errors, ipv4_errors, ipv6_errors] = position.counts;
        let counts = ipfix::Counts { flows, packets, ipv4, ipv6, errors, ipv4_errors, ipv6_errors };
        (counts, position.domains)
    }
}

impl From<(ipfix::Counts, Vec<(u32, u32)>)> for IpfixPosition {
    fn from((counts, domains): (ipfix::Counts, Vec<(u32, u32)>)) -> Self {
        let ipfix::Counts { flows, packets, ipv4, ipv6, errors, ipv4_errors, ipv6_errors } = counts;
        Self { counts: [flows, packets, ipv4, ipv6, errors, ipv4_errors, ipv6_errors], domains }
    }
}

/// The position of an agent as numbers.
mod position {
    use netloom_proto::export::sflow::Position;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    type Numbers = (u64, u32, u32, u32, u32);

    pub(super) fn serialize<S: Serializer>(
        position: &Option<Position>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let numbers = |it: &Position| (it.boot, it.sequence, it.flow_sequence, it.pool, it.drops);
        position.as_ref().map(numbers).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Position>, D::Error> {
        let numbers = Option::<Numbers>::deserialize(deserializer)?;
        Ok(numbers.map(|(boot, sequence, flow_sequence, pool, drops)| Position {
            boot,
            sequence,
            flow_sequence,
            pool,
            drops,
        }))
    }
}

impl Bridges {
    /// What exporters have told until now, by bridge.
    pub(in super::super) fn export_states(&self) -> BTreeMap<String, ExportState> {
        let all = self.exports.bridges.iter().filter_map(|(number, of)| {
            let state = ExportState {
                settings: of.settings.clone(),
                netflow: of.netflow.as_ref().map(|teller| teller.machine.position()),
                sflow: of.sflow.as_ref().map(|teller| teller.machine.position()),
                sums: of.sums.as_ref().map(|teller| teller.machine.position().into()),
                sets: of.sets.iter().map(|(set, teller)| (*set, teller.machine.position().into())).collect(),
            };
            Some((self.name_of(*number)?.to_owned(), state))
        });
        all.collect()
    }
}
