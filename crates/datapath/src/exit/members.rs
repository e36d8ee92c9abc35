//! Ways out that are more than a port: bonds of several ports, and collectors of copies.

use super::{Exit, Outcome, network};
use netloom_mem::{Batch, Offload, PortNumber, Segmentation};
use netloom_nf::remote::Remote;
use netloom_nf::{Balance, HashBy, Segmenter, complete_checksum};
use netloom_table::Key;

impl Exit {
    /// Makes, changes or ends a bond: what is sent to its number leaves by one of the members.
    pub(crate) fn bond(&mut self, number: PortNumber, members: Option<(HashBy, Vec<PortNumber>)>) {
        let Some((by, members)) = members else { return drop(self.bonds.remove(&number)) };
        let balance = self.bonds.entry(number).or_insert_with(|| Balance::new(by));
        balance.set_by(by);
        balance.set(&members);
    }

    /// Makes, changes or ends a stream of copies for a collector.
    pub(crate) fn remote(&mut self, number: u32, remote: Option<Remote>) {
        match remote {
            Some(remote) => drop(self.remotes.insert(number, remote)),
            None => drop(self.remotes.remove(&number)),
        }
    }

    /// The port itself, or the member of a bond that carries packets like this one.
    pub(super) fn resolve(&self, port: PortNumber, key: &Key) -> PortNumber {
        if matches!(self.outputs.get(port as usize), Some(Some(_))) {
            return port;
        }
        self.bonds.get(&port).and_then(|bond| bond.pick(key)).unwrap_or(port)
    }

    /// Stages a frame for a number that is no port: perhaps it is that of a bond, or of a tunnel.
    #[cold]
    pub(super) fn stage_member(
        &mut self,
        batch: &mut Batch,
        index: usize,
        bond: PortNumber,
        key: &Key,
        now: u64,
    ) -> Outcome {
        match self.resolve(bond, key) {
            none if none == bond => self.stage_tunnel(batch, index, bond, key, (true, now)),
            member => self.stage(batch, index, member, now),
        }
    }

    /// Sends a copy of a frame to a collector; large frames as the packets that they stand for.
    #[cold]
    pub(super) fn copy_out(
        &mut self,
        batch: &mut Batch,
        index: usize,
        (number, vlan): (u32, u16),
        key: &Key,
        now: u64,
    ) {
        let Some(port) = self.remotes.get(&number).map(|remote| remote.settings().port) else { return };
        let port = self.resolve(port, key);
        let offload = *batch.offload(index);
        // What the port has of this batch goes first: the copy is in another one.
        self.send_port(batch, port);
        if offload.segmentation == Segmentation::None {
            if offload.partial {
                complete_checksum(batch, index);
            }
            return self.wrap_out(&batch.octets(index), (number, vlan), port, now);
        }
        let network = network(batch.head(index));
        let Some(mut segmenter) = Segmenter::new(batch, index, network) else { return };
        let mut pieces = Batch::new();
        let mut more = true;
        while more {
            more = segmenter.fill(batch, index, &mut pieces);
            for piece in 0..pieces.len() {
                self.wrap_out(&pieces.octets(piece), (number, vlan), port, now);
            }
            pieces.clear();
        }
    }

    fn wrap_out(&mut self, frame: &[u8], (number, vlan): (u32, u16), port: PortNumber, now: u64) {
        let Some(remote) = self.remotes.get(&number) else { return };
        if remote.wrap(frame, vlan, now, &mut self.wrapped) {
            let mut own = std::mem::take(&mut self.own);
            if own.push(0, &self.wrapped, Offload::NONE) {
                self.stage(&mut own, 0, port, now);
                self.send_port(&mut own, port);
            }
            own.clear();
            self.own = own;
        }
    }
}
