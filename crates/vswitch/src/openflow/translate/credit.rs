//! Who is credited when packets follow a program.

use super::super::expire;
use super::super::flow::FlowMod;
use super::super::{BridgeNumber, FlowId, ToldFlow};
use super::World;
use crate::fdb::Tag;
use netloom_mem::PortNumber;

/// Who is credited for each packet that follows a program, and what is done again while packets come.
#[derive(Debug, Clone, Default)]
pub struct Credit {
    /// Flows, each as often as its actions were carried out, with how many octets longer than when it came in the packet was to
    /// it (headers of tunnels).
    pub flows: Vec<(BridgeNumber, FlowId, u16)>,
    /// Tables, with whether a rule was found.
    pub tables: Vec<(BridgeNumber, u8, bool)>,
    /// Groups, with the bucket.
    pub groups: Vec<(BridgeNumber, u32, u32)>,
    /// Flows to be learned again, so that they don't end.
    pub learned: Vec<(BridgeNumber, Box<FlowMod>)>,
    /// States that must be kept.
    pub states: Vec<(BridgeNumber, u32)>,
    /// Cables to other bridges that were gone through: out of a port, into another.
    pub cables: Vec<(PortNumber, PortNumber)>,
    /// Stations that were heard: tag and port, as [`crate::Bridge::refresh`] wants them.
    pub stations: Vec<(BridgeNumber, Tag, PortNumber)>,
    /// Flows of the bridge that is told about.
    pub flows_told: Vec<(BridgeNumber, Box<ToldFlow>)>,
}

/// Credits packets that followed a program. `used` is the time of the last one.
pub fn credit(world: &mut dyn World, credit: &Credit, packets: u64, octets: u64, used: u64) {
    for (bridge, number) in &credit.states {
        if let Some(pipeline) = world.pipeline(*bridge) {
            pipeline.frozen.keep(*number, used);
        }
    }
    if packets == 0 {
        return;
    }
    for (bridge, flow, longer) in &credit.flows {
        if let Some(pipeline) = world.pipeline(*bridge) {
            let octets = octets.saturating_add(packets.saturating_mul(u64::from(*longer)));
            pipeline.credit_flow(*flow, packets, octets, used);
        }
    }
    for (bridge, table, matched) in &credit.tables {
        if let Some(pipeline) = world.pipeline(*bridge) {
            let (hits, misses) = if *matched { (packets, 0) } else { (0, packets) };
            pipeline.credit_table(*table, hits, misses);
        }
    }
    for (bridge, group, bucket) in &credit.groups {
        if let Some(pipeline) = world.pipeline(*bridge) {
            pipeline.credit_group(*group, *bucket, packets, octets);
        }
    }
    for (bridge, lesson) in &credit.learned {
        if let Some(pipeline) = world.pipeline(*bridge) {
            expire::learn(pipeline, lesson, used);
        }
    }
}
