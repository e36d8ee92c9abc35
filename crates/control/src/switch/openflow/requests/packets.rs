//! Packets that controllers send, and those that waited for them.

use super::super::continuation;
use super::super::ground::Ground;
use super::{Handled, Turn};
use netloom_proto::openflow::action::{Limits, check, fit_tun_metadata};
use netloom_proto::openflow::field::flags::VLAN_PRESENT;
use netloom_proto::openflow::message::{PacketIn, PacketOut};
use netloom_proto::openflow::{FieldId, Match, OfError, OfPort, Version};
use netloom_table::key::extract;
use netloom_table::{Field, Key};
use netloom_vswitch::openflow::Frozen;
use netloom_vswitch::openflow::field::to_key;

impl<G: Ground> Turn<'_, G> {
    /// Checks a packet and its actions, as those of flows are, but for what they name in the tables.
    pub(super) fn prepare_packet(&self, mut told: PacketOut) -> Result<PacketOut, OfError> {
        if told.buffer.is_some() {
            return Err(OfError::OFPBRC_BUFFER_UNKNOWN);
        }
        fit_tun_metadata(&mut told.actions, &self.side.lengths)?;
        let packet = Self::described(&told.metadata, &told.packet);
        let limits = Limits { ports: OfPort::MAX, tables: u8::MAX, table: 0 };
        if !check(&told.actions, &packet, limits)? && self.version() > Version::V10 {
            return Err(OfError::OFPBAC_MATCH_INCONSISTENT);
        }
        Ok(told)
    }

    /// Checks that everything is there that the actions of a packet name.
    pub(super) fn check_packet(&self, told: &PacketOut) -> Handled {
        self.look(|pipeline, _| pipeline.check_packet_out(&told.actions))?
    }

    /// What is known of a packet by its octets and beside them, as far as actions depend on it.
    fn described(beside: &Match, octets: &[u8]) -> Match {
        let mut key = Box::<Key>::default();
        extract(octets, octets.len(), 0, &mut key);
        let mut packet = beside.clone();
        let mut say = |field, number: u64| packet.set_number(field, number.into());
        say(FieldId::PACKET_TYPE, 0);
        say(FieldId::ETH_TYPE, key.get(Field::ETH_TYPE));
        if key.get(Field::VLAN_TPID) != 0 {
            say(FieldId::VLAN_TCI, key.get(Field::VLAN_TCI) | u64::from(VLAN_PRESENT));
        }
        say(FieldId::IP_PROTO, key.get(Field::IP_PROTO));
        say(FieldId::TCP_SRC, key.get(Field::TP_SRC));
        say(FieldId::TCP_DST, key.get(Field::TP_DST));
        packet
    }

    pub(super) fn packet_out(&mut self, told: PacketOut) -> Handled {
        let told = self.prepare_packet(told)?;
        self.check_packet(&told)?;
        self.send_packet(told)
    }

    pub(super) fn send_packet(&mut self, told: PacketOut) -> Handled {
        let port = told.port();
        let beside = self.key_beside(&told.metadata)?;
        self.ground.packet_out(&self.side.name, port, told.actions.into(), &beside, told.packet)?;
        self.tell_others();
        Ok(())
    }

    /// Registers, metadata and tunnel of a packet as a key.
    fn key_beside(&self, metadata: &Match) -> Result<Key, OfError> {
        let mut metadata = metadata.clone();
        // The port is told apart, and the octets tell the type.
        metadata.clear(FieldId::IN_PORT);
        metadata.clear(FieldId::PACKET_TYPE);
        let key = self.look(|pipeline, _| to_key(&metadata, pipeline.tlv_map()))?;
        key.map(|(key, _)| key).map_err(|_| OfError::OFPBMC_BAD_FIELD)
    }

    pub(super) fn resume(&mut self, told: PacketIn) -> Handled {
        let octets = told.continuation.as_deref().ok_or(OfError::NXR_NOT_SUPPORTED)?;
        let kept = continuation::read(octets)?;
        let state = self.look(|pipeline, _| pipeline.frozen_state(kept))?.ok_or(OfError::NXR_STALE)?;
        let beside = self.key_beside(&told.metadata)?;
        // Controllers may have written registers meanwhile.
        let registers = Frozen::registers_of(&beside);
        let state = Frozen { registers, ..(*state).clone() };
        self.ground.resume(&self.side.name, state, &beside, told.packet)?;
        self.tell_others();
        Ok(())
    }
}
