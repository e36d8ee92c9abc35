//! Meters: how many packets may pass. The workers count and drop; here is what they are told.

use super::change::Removal;
use super::{Event, Failure, Pipeline, bridge_tag};
use netloom_proto::openflow::OfError;

/// First number that is not an ordinary meter's (`OFPM13_MAX` + 1).
pub const MOST_METER: u32 = 0xffff_0001;
/// The meter of packets that go to the switch itself.
pub const SLOW_PATH_METER: u32 = 0xffff_fffd;
/// The meter of packets to controllers.
pub const CONTROLLER_METER: u32 = 0xffff_fffe;
/// All meters.
pub const ALL_METERS: u32 = 0xffff_ffff;
/// Most meters of a bridge.
pub(super) const MOST_METERS: u32 = 1 << 16;

/// A band of a meter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Band {
    /// It drops; else it raises the drop precedence by so much.
    pub remark: Option<u8>,
    /// Packets or kilobits a second.
    pub rate: u32,
    /// Packets or kilobits at once.
    pub burst: u32,
    /// Packets that it met.
    pub packets: u64,
    /// Their octets.
    pub octets: u64,
}

/// A meter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meter {
    /// Its number.
    pub number: u32,
    /// Flags (`OFPMF13_*`): 1 kilobits, 2 packets, 4 burst sizes count, 8 statistics.
    pub flags: u16,
    /// Its bands.
    pub bands: Vec<Band>,
    /// Packets that came.
    pub packets: u64,
    /// Their octets.
    pub octets: u64,
    /// Nanoseconds when it was made.
    pub created: u64,
    /// Its number in programs.
    pub slot: u32,
}

/// What a request does with meters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MeterCommand {
    /// Adds one.
    Add,
    /// Changes one.
    Modify,
    /// Deletes one, or all.
    Delete,
}

/// A request to change meters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeterMod {
    /// What it does.
    pub command: MeterCommand,
    /// The meter's number, or [`ALL_METERS`].
    pub number: u32,
    /// As in [`Meter`].
    pub flags: u16,
    /// Its bands.
    pub bands: Vec<Band>,
}

impl Pipeline {
    /// Makes one change of meters.
    ///
    /// # Errors
    /// Why it can't be made.
    pub fn meter_mod(&mut self, request: &MeterMod, now: u64) -> Result<(), Failure> {
        self.now = now;
        self.change_meter(request).map_err(|error| Failure { index: 0, error })
    }

    fn change_meter(&mut self, request: &MeterMod) -> Result<(), OfError> {
        let number = request.number;
        if request.command == MeterCommand::Delete {
            let numbers: Vec<u32> = if number == ALL_METERS {
                self.meters.keys().copied().collect()
            } else {
                self.meters.contains_key(&number).then_some(number).into_iter().collect()
            };
            let version = self.version + 1;
            let mut done = Vec::new();
            for number in numbers {
                self.hide_users(|flow| flow.uses_meter(number), Removal::MeterDelete, version, &mut done);
                if let Some(meter) = self.meters.remove(&number) {
                    self.events.push(Event::Meter { number: meter.slot, meter: None });
                }
            }
            self.commit(done, version);
            self.touch(bridge_tag(self.number));
            return Ok(());
        }
        let virtual_meter = matches!(number, SLOW_PATH_METER | CONTROLLER_METER);
        if number == 0 || number >= MOST_METER && !virtual_meter {
            return Err(OfError::OFPMMFC_INVALID_METER);
        }
        let known = self.meters.get(&number);
        let slot = match (request.command, known) {
            (MeterCommand::Add, Some(_)) => return Err(OfError::OFPMMFC_METER_EXISTS),
            (MeterCommand::Add, None) => self.free_slot().ok_or(OfError::OFPMMFC_OUT_OF_METERS)?,
            (_, None) => return Err(OfError::OFPMMFC_UNKNOWN_METER),
            (_, Some(known)) => known.slot,
        };
        let created = known.map_or(self.now, |known| known.created);
        let meter = Meter {
            number,
            flags: request.flags,
            bands: request.bands.clone(),
            packets: 0,
            octets: 0,
            created,
            slot,
        };
        self.events.push(Event::Meter { number: slot, meter: Some(Box::new(meter.clone())) });
        self.meters.insert(number, meter);
        self.touch(bridge_tag(self.number));
        Ok(())
    }

    /// A number for programs that no other meter has: the bridge's own are next to each other.
    fn free_slot(&self) -> Option<u32> {
        let taken: std::collections::BTreeSet<u32> = self.meters.values().map(|meter| meter.slot).collect();
        let base = self.number.wrapping_mul(MOST_METERS);
        (base..base + (MOST_METERS - 1)).find(|slot| !taken.contains(slot))
    }

    /// Writes what the workers counted for a meter: packets and octets, and those of each band.
    pub fn count_meter(&mut self, slot: u32, packets: u64, octets: u64, bands: &[(u64, u64)]) {
        if let Some(meter) = self.meters.values_mut().find(|meter| meter.slot == slot) {
            (meter.packets, meter.octets) = (packets, octets);
            for (band, (packets, octets)) in meter.bands.iter_mut().zip(bands) {
                (band.packets, band.octets) = (*packets, *octets);
            }
        }
    }
}
