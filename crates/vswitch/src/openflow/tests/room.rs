//! The world of the tests: bridges with tables, and tunnels.

use super::*;

/// Bridges with tables.
#[derive(Default)]
pub(crate) struct Room {
    pub(crate) bridges: BTreeMap<BridgeNumber, (Pipeline, Bridge)>,
    /// Ports that are tunnels, and the ways to their ends.
    pub(crate) tunnels: Tunnels,
    /// Who answered behind which port.
    pub(crate) neighbours: Vec<(u32, IpAddr, MacAddr)>,
}

impl World for Room {
    fn pipeline(&mut self, bridge: BridgeNumber) -> Option<&mut Pipeline> {
        self.bridges.get_mut(&bridge).map(|(pipeline, _)| pipeline)
    }

    fn normal(&mut self, bridge: BridgeNumber, key: &Key, learn: bool, now: u64) -> Option<Decision> {
        let (_, bridge) = self.bridges.get_mut(&bridge)?;
        Some(bridge.forward(key, learn, now))
    }

    fn has_mirrors(&mut self, bridge: BridgeNumber) -> bool {
        self.bridges.get(&bridge).is_some_and(|(_, bridge)| bridge.has_mirrors())
    }

    fn is_for_copies(&mut self, bridge: BridgeNumber, port: u32) -> bool {
        self.bridges.get(&bridge).is_some_and(|(_, bridge)| bridge.is_for_copies(port))
    }

    fn copies(
        &mut self,
        bridge: BridgeNumber,
        key: &Key,
        gate: Gate,
        done: &mut BTreeSet<u16>,
        mask: &mut Mask,
    ) -> Vec<MirrorCopy> {
        let of = self.bridges.get(&bridge);
        of.map_or_else(Vec::new, |(_, bridge)| bridge.copies(key, gate, done, mask))
    }

    fn headers(&mut self, tunnel: u32, key: &Key, mask: &mut Mask) -> Option<(Encapsulation, Hop)> {
        self.tunnels.headers(tunnel, key, mask).ok()
    }

    fn neighbour(&mut self, own: u32, address: IpAddr, mac: MacAddr) {
        self.neighbours.push((own, address, mac));
    }

    fn bridge_of(&mut self, port: u32) -> Option<BridgeNumber> {
        let of = self.bridges.iter().find(|(_, (pipeline, _))| pipeline.port_of(port).is_some());
        of.map(|(number, _)| *number)
    }
}
