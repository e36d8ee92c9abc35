//! How many connections there may be, in all and in each zone.
//!
//! Costs: nothing for packets of known connections; a new one takes a lock only when some zone has a limit.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Most connections, as in Open vSwitch.
pub(super) const MOST: u32 = 3_000_000;

/// The limit of a zone as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZoneLimit {
    /// The zone; `None` for all zones without a limit of their own.
    pub zone: Option<u16>,
    /// Most connections.
    pub limit: u32,
    /// Connections that it counts now: those that came after it was set.
    pub count: u32,
}

#[derive(Debug, Clone, Copy)]
struct Limit {
    number: u32,
    limit: u32,
    count: u32,
}

#[derive(Debug, Default)]
struct Zones {
    /// Numbers are never used again, so that connections of a limit that was taken away count for no other.
    last: u32,
    limits: HashMap<Option<u16>, Limit>,
    zones: HashMap<u32, Option<u16>>,
}

/// The limits and what counts against them.
#[derive(Debug)]
pub(super) struct Limits {
    pub(super) connections: AtomicU32,
    pub(super) most: AtomicU32,
    any: AtomicBool,
    zones: Mutex<Zones>,
}

/// Which limit said no.
pub(super) enum Full {
    All,
    Zone,
}

impl Limits {
    pub(super) fn new() -> Self {
        Self {
            connections: AtomicU32::new(0),
            most: AtomicU32::new(MOST),
            any: AtomicBool::new(false),
            zones: Mutex::default(),
        }
    }

    fn zones(&self) -> MutexGuard<'_, Zones> {
        self.zones.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a new connection; gives the number of its limit, 0 for none. Atomics are relaxed: a count is all they carry.
    pub(super) fn admit(&self, zone: u16) -> Result<u32, Full> {
        let mut number = 0;
        if self.any.load(Relaxed) {
            let mut zones = self.zones();
            let key = if zones.limits.contains_key(&Some(zone)) { Some(zone) } else { None };
            if let Some(limit) = zones.limits.get_mut(&key) {
                if limit.count >= limit.limit {
                    return Err(Full::Zone);
                }
                limit.count += 1;
                number = limit.number;
            }
        }
        if self.connections.fetch_add(1, Relaxed) >= self.most.load(Relaxed) {
            self.dismiss(number);
            return Err(Full::All);
        }
        Ok(number)
    }

    /// Counts a connection less.
    pub(super) fn dismiss(&self, number: u32) {
        self.connections.fetch_sub(1, Relaxed);
        if number == 0 {
            return;
        }
        let mut zones = self.zones();
        if let Some(zone) = zones.zones.get(&number).copied()
            && let Some(limit) = zones.limits.get_mut(&zone)
        {
            limit.count = limit.count.saturating_sub(1);
        }
    }

    /// Sets, changes or takes away the limit of a zone, or of all zones without one.
    pub(super) fn set(&self, zone: Option<u16>, most: Option<u32>) {
        let mut zones = self.zones();
        match (zones.limits.get_mut(&zone), most) {
            (Some(limit), Some(most)) => limit.limit = most,
            (None, Some(limit)) => {
                zones.last += 1;
                let number = zones.last;
                zones.limits.insert(zone, Limit { number, limit, count: 0 });
                zones.zones.insert(number, zone);
            }
            (Some(limit), None) => {
                let number = limit.number;
                zones.limits.remove(&zone);
                zones.zones.remove(&number);
            }
            (None, None) => {}
        }
        self.any.store(!zones.limits.is_empty(), Relaxed);
    }

    /// All limits, the common one first.
    pub(super) fn list(&self) -> Vec<ZoneLimit> {
        let zones = self.zones();
        let mut list: Vec<ZoneLimit> = zones
            .limits
            .iter()
            .map(|(zone, limit)| ZoneLimit { zone: *zone, limit: limit.limit, count: limit.count })
            .collect();
        list.sort_by_key(|limit| limit.zone);
        list
    }
}
