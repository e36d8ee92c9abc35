//! The switch itself: features, configuration, words, options of tunnels.

use super::super::ground::Ground;
use super::ports::describe;
use super::{Handled, Turn};
use netloom_proto::openflow::message::multipart::SwitchDescription;
use netloom_proto::openflow::message::{
    Capabilities, Features, FragmentHandling, Message, Reply, Role, SwitchConfig, TlvMap, TlvTable,
    TlvTableCommand, TlvTableMod,
};
use netloom_proto::openflow::{OfError, Version};
use netloom_vswitch::openflow::field::TlvError;
use netloom_vswitch::openflow::{Fragments, PipelineOptions};

/// The version of Open vSwitch whose answers these are.
const OVS_VERSION: &str = "3.1.0";
/// Tables that controllers see.
const TABLES: u8 = 254;
/// Actions of OpenFlow 1.0, as bits by their numbers: all.
const ACTIONS: u32 = 0xfff;
/// Octets that options with fields may have together.
const OPTION_SPACE: u32 = 128;
/// Number of the reason for packets whose time to live is over.
const INVALID_TTL: u8 = 2;

impl<G: Ground> Turn<'_, G> {
    pub(super) fn features(&mut self, xid: u32) -> Handled {
        let capabilities = Capabilities::FLOW_STATISTICS
            .or(Capabilities::TABLE_STATISTICS)
            .or(Capabilities::PORT_STATISTICS)
            .or(Capabilities::QUEUE_STATISTICS)
            .or(Capabilities::GROUP_STATISTICS)
            .or(Capabilities::BUNDLES)
            .or(Capabilities::ARP_ADDRESSES);
        let ports = match self.version() {
            Version::V10 | Version::V11 | Version::V12 => {
                self.look(|pipeline, _| pipeline.ports().map(describe).collect())?
            }
            _ => Vec::new(),
        };
        let features = Features {
            datapath: self.side.settings.datapath,
            buffers: 0,
            tables: TABLES,
            auxiliary: 0,
            capabilities,
            actions: ACTIONS,
            ports,
        };
        self.connection.reply(xid, &Message::FeaturesReply(features))
    }

    pub(super) fn get_config(&mut self, xid: u32) -> Handled {
        let fragments = self.look(|pipeline, _| pipeline.options().fragments)?;
        let session = &self.connection.session;
        let config = SwitchConfig {
            fragments: match fragments {
                Fragments::Normal => FragmentHandling::Normal,
                Fragments::Drop => FragmentHandling::Drop,
                Fragments::NxMatch => FragmentHandling::MatchFirst,
            },
            invalid_ttl_to_controller: session.wanted().primary.packet_in.unwrap_or(0) & 1 << INVALID_TTL
                != 0,
            miss_send_length: session.miss_send_length(),
        };
        self.connection.reply(xid, &Message::GetConfigReply(config))
    }

    pub(super) fn set_config(&mut self, config: &SwitchConfig) -> Handled {
        let secondary = !self.connection.service && self.connection.session.role() == Role::Secondary;
        if !secondary {
            let fragments = match config.fragments {
                FragmentHandling::Normal => Some(Fragments::Normal),
                FragmentHandling::Drop => Some(Fragments::Drop),
                FragmentHandling::MatchFirst => Some(Fragments::NxMatch),
                // Nothing is put together here before the tables are asked.
                FragmentHandling::Reassemble => None,
            };
            self.work(|pipeline, _| {
                let options = pipeline.options();
                if let Some(fragments) = fragments.filter(|fragments| *fragments != options.fragments) {
                    let options = PipelineOptions { fragments, ..options.clone() };
                    pipeline.set_options(options);
                }
            })?;
        }
        if self.version() < Version::V13 {
            self.connection.session.want_packets(INVALID_TTL, config.invalid_ttl_to_controller);
        }
        Ok(())
    }

    pub(super) fn description(&self) -> Reply {
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "None".to_owned());
        Reply::Description(SwitchDescription {
            // Controllers know by these words which extensions they may use.
            manufacturer: "Nicira, Inc.".to_owned(),
            hardware: "Open vSwitch".to_owned(),
            software: OVS_VERSION.to_owned(),
            serial_number: or_none(&self.side.settings.serial),
            datapath: or_none(&self.side.settings.description),
        })
    }

    pub(super) fn tlv_mod(&mut self, told: &TlvTableMod) -> Handled {
        self.work(|pipeline, _| {
            let mut map = pipeline.tlv_map().clone();
            let is_used = |field: u16| pipeline.uses_tunnel_option(field as u8);
            match told.command {
                TlvTableCommand::Clear => {
                    if map.iter().any(|(field, _)| is_used(field.into())) {
                        return Err(OfError::NXTTMFC_INVALID_TLV_DEL);
                    }
                    map.clear();
                }
                TlvTableCommand::Delete => {
                    for entry in &told.maps {
                        if is_used(entry.field) {
                            return Err(OfError::NXTTMFC_INVALID_TLV_DEL);
                        }
                        // One that is not there is gone already.
                        let _ = map.remove(entry.field as u8);
                    }
                }
                TlvTableCommand::Add => {
                    for entry in &told.maps {
                        add(&mut map, entry)?;
                    }
                }
            }
            pipeline.set_tlv_map(map);
            Ok(())
        })??;
        self.refresh_lengths();
        Ok(())
    }

    /// All connections of the bridge write values of options as long as they are now.
    fn refresh_lengths(&mut self) {
        self.side.read_lengths(self.ground);
        let lengths = self.side.lengths;
        self.connection.session.set_tun_metadata(Some(lengths));
        for token in &self.side.connections {
            if let Some(other) = self.others.get_mut(token) {
                other.session.set_tun_metadata(Some(lengths));
            }
        }
    }

    pub(super) fn tlv_table(&mut self, xid: u32) -> Handled {
        let maps = self.look(|pipeline, _| {
            let entry = |(field, entry): (u8, netloom_vswitch::openflow::field::TlvEntry)| TlvMap {
                class: entry.class,
                kind: entry.kind,
                length: entry.octets,
                field: field.into(),
            };
            pipeline.tlv_map().iter().map(entry).collect()
        })?;
        let table = TlvTable { space: OPTION_SPACE, fields: TlvTable::FIELDS, maps };
        self.connection.reply(xid, &Message::TlvTableReply(table))
    }
}

fn add(map: &mut netloom_vswitch::openflow::TlvMap, entry: &TlvMap) -> Result<(), OfError> {
    let field = u8::try_from(entry.field).map_err(|_| OfError::NXTTMFC_BAD_FIELD_IDX)?;
    let known = map.get(field).is_some();
    map.add(field, entry.class, entry.kind, entry.length).map_err(|error| match error {
        TlvError::BadLength(_) => OfError::NXTTMFC_BAD_OPT_LEN,
        TlvError::Duplicate(_) if known => OfError::NXTTMFC_ALREADY_MAPPED,
        TlvError::Duplicate(_) => OfError::NXTTMFC_DUP_ENTRY,
        TlvError::Full(_) => OfError::NXTTMFC_TABLE_FULL,
        TlvError::Missing(_) => OfError::NXTTMFC_BAD_FIELD_IDX,
    })
}
