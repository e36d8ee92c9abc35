//! Meters: changes, and answers about them.

use super::super::ground::Ground;
use super::{Handled, Turn};
use netloom_proto::openflow::OfError;
use netloom_proto::openflow::message::{
    self, ALL_METERS, Age, BandKind, BandStatistics, CONTROLLER_METER, GREATEST_METER, Message, MeterConfig,
    MeterFeatures, MeterFlags, MeterStatistics, Reply, SLOW_PATH_METER,
};
use netloom_vswitch::openflow::{Band, Meter, MeterCommand, MeterMod};
use std::time::Duration;

/// Most meters of a bridge (as Open vSwitch's user-space data path has for all).
const METERS: u32 = 1 << 18;
/// Most bands of a meter.
const BANDS: u8 = 8;
/// Types of bands, as bits by their numbers: drop.
const KINDS: u32 = 1 << 1;

/// What meters can do.
pub(super) const fn features() -> Reply {
    Reply::MeterFeatures(MeterFeatures {
        maximum: METERS,
        bands: KINDS,
        capabilities: MeterFlags::ALL,
        maximum_bands: BANDS,
        maximum_color: 0,
    })
}

fn prepare(told: &message::MeterMod) -> Result<MeterMod, OfError> {
    let (number, bands) = (told.meter.meter, &told.meter.bands);
    let command = match told.command {
        message::MeterCommand::Add => MeterCommand::Add,
        message::MeterCommand::Modify => MeterCommand::Modify,
        message::MeterCommand::Delete => MeterCommand::Delete,
    };
    if command != MeterCommand::Delete {
        let special = matches!(number, SLOW_PATH_METER | CONTROLLER_METER);
        if number == 0 || number > GREATEST_METER && !special {
            return Err(OfError::OFPMMFC_INVALID_METER);
        }
        if bands.len() > usize::from(BANDS) {
            return Err(OfError::OFPMMFC_OUT_OF_BANDS);
        }
    }
    let band = |band: &message::Band| Band {
        remark: match band.kind {
            BandKind::Drop => None,
            BandKind::RemarkDscp { levels } => Some(levels),
        },
        rate: band.rate,
        burst: band.burst,
        packets: 0,
        octets: 0,
    };
    Ok(MeterMod { command, number, flags: told.meter.flags.bits(), bands: bands.iter().map(band).collect() })
}

fn config(meter: &Meter) -> MeterConfig {
    let band = |band: &Band| message::Band {
        kind: band.remark.map_or(BandKind::Drop, |levels| BandKind::RemarkDscp { levels }),
        rate: band.rate,
        burst: band.burst,
    };
    MeterConfig {
        meter: meter.number,
        flags: MeterFlags::from_bits(meter.flags),
        bands: meter.bands.iter().map(band).collect(),
    }
}

fn statistics(meter: &Meter, users: usize, now: u64) -> MeterStatistics {
    let count = |band: &Band| BandStatistics { packets: band.packets, bytes: band.octets };
    MeterStatistics {
        meter: meter.number,
        flows: u32::try_from(users).unwrap_or(u32::MAX),
        packets: meter.packets,
        bytes: meter.octets,
        age: Age::of(Duration::from_nanos(now.saturating_sub(meter.created))),
        bands: meter.bands.iter().map(count).collect(),
    }
}

impl<G: Ground> Turn<'_, G> {
    pub(super) fn meter_mod(&mut self, xid: u32, told: message::MeterMod) -> Handled {
        let request = prepare(&told)?;
        // There is no meter 0 to be deleted.
        if request.number != 0 {
            self.work(|pipeline, now| pipeline.meter_mod(&request, now))?.map_err(|failure| failure.error)?;
        }
        self.forward(xid, Message::MeterMod(told));
        self.tell_others();
        Ok(())
    }

    fn meters<T>(
        &self,
        number: u32,
        tell: impl Fn(&Meter, u64, &dyn Fn() -> usize) -> T,
    ) -> Result<Vec<T>, OfError> {
        let told = self.look(|pipeline, now| {
            let all = pipeline.meters().filter(|meter| number == ALL_METERS || meter.number == number);
            let tell = |meter: &Meter| tell(meter, now, &|| pipeline.meter_users(meter.number));
            all.map(tell).collect::<Vec<_>>()
        })?;
        if told.is_empty() && number != ALL_METERS { Err(OfError::OFPMMFC_UNKNOWN_METER) } else { Ok(told) }
    }

    pub(super) fn meter_statistics(&self, number: u32) -> Result<Reply, OfError> {
        self.meters(number, |meter, now, users| statistics(meter, users(), now)).map(Reply::Meters)
    }

    pub(super) fn meter_configs(&self, number: u32) -> Result<Reply, OfError> {
        self.meters(number, |meter, _, _| config(meter)).map(Reply::MeterConfigs)
    }
}
