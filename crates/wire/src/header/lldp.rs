//! LLDP data units (IEEE 802.1AB-2016, clause 8).
//!
//! Invariants: after `new_checked` the unit begins with chassis, port and time to live, ends with its end mark, and can
//! be walked. What follows the end mark is the padding of the frame.

use super::field::{Field, view};
use super::{HeaderKind, Malformed, blank, fits, illegal, put, span, truncated};
use crate::MacAddr;
use crate::number::named;

/// Where stations send their units, which no bridge forwards (IEEE 802.1AB-2016, table 7-1).
pub const NEAREST_BRIDGE: MacAddr = MacAddr::new([0x01, 0x80, 0xc2, 0, 0, 0x0e]);

named! {
    /// What a part of a unit is (IEEE 802.1AB-2016, table 8-1).
    Kind(u8) {
        /// Ends the unit.
        END = 0, "end";
        /// Who sends.
        CHASSIS_ID = 1, "chassis ID";
        /// From which port.
        PORT_ID = 2, "port ID";
        /// How long it counts, in seconds.
        TIME_TO_LIVE = 3, "time to live";
        /// The port in words.
        PORT_DESCRIPTION = 4, "port description";
        /// Name of the sender.
        SYSTEM_NAME = 5, "system name";
        /// The sender in words.
        SYSTEM_DESCRIPTION = 6, "system description";
        /// What the sender can do.
        SYSTEM_CAPABILITIES = 7, "system capabilities";
        /// Where the sender can be managed.
        MANAGEMENT_ADDRESS = 8, "management address";
        /// What an organisation defines.
        ORGANISATION = 127, "organisation specific";
    }
}

/// Subtype of a chassis ID that is a MAC address (IEEE 802.1AB-2016, table 8-2).
pub const CHASSIS_MAC: u8 = 4;
/// Subtype of a port ID that is a MAC address (IEEE 802.1AB-2016, table 8-3).
pub const PORT_MAC: u8 = 3;
/// Subtype of a port ID that is an interface name (IEEE 802.1AB-2016, table 8-3).
pub const PORT_INTERFACE_NAME: u8 = 5;

view! {
    /// An LLDP data unit.
    Lldp, 4 bytes, check;
    /// Kind of the first part: [`Kind::CHASSIS_ID`].
    first_kind: u8 [0, u8, 1, 0x7f];
}

fn check(bytes: &[u8]) -> Result<(), Malformed> {
    Unit::read(bytes).map(|_| ())
}

/// One part of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item<'a> {
    /// What it is. Legal values: 0 to 127.
    pub kind: Kind,
    /// What it says. Legal lengths: 0 to 511 bytes.
    pub data: &'a [u8],
}

impl Item<'_> {
    /// Length in bytes that [`Item::emit`] writes.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        2 + self.data.len()
    }

    /// Writes the part to the front of `buffer`; returns its length in bytes.
    ///
    /// # Errors
    /// [`Malformed`] when `buffer` is too short or a value does not fit its field.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Malformed> {
        fits(HeaderKind::Lldp, "kind", self.kind.0, 127)?;
        fits(HeaderKind::Lldp, "length", self.data.len() as u64, 511)?;
        let bytes = blank(HeaderKind::Lldp, buffer, self.buffer_len())?;
        (u16::from(self.kind.0) << 9 | self.data.len() as u16).write(bytes, 0);
        put(bytes, 2, self.data);
        Ok(self.buffer_len())
    }
}

/// Walks the parts of a unit up to its end mark; stops after the first malformed one.
#[derive(Debug, Clone, Copy)]
pub struct Items<'a>(&'a [u8]);

impl<'a> Items<'a> {
    /// Over the bytes of [`Repr::others`].
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<Item<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let whole = std::mem::take(&mut self.0);
        if whole.is_empty() {
            return None;
        }
        let head = u16::read(whole, 0);
        let length = 2 + usize::from(head & 0x1ff);
        if whole.len() < length {
            return Some(Err(truncated(HeaderKind::Lldp, length, whole.len())));
        }
        if head >> 9 == 0 {
            return None;
        }
        self.0 = span(whole, length, usize::MAX);
        Some(Ok(Item { kind: Kind((head >> 9) as u8), data: span(whole, 2, length) }))
    }
}

/// The parts of a unit by their places.
struct Unit<'a> {
    chassis: Id<'a>,
    port: Id<'a>,
    time_to_live: u16,
    others: &'a [u8],
}

impl<'a> Unit<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut rest = bytes;
        let mut next = |kind: Kind| {
            let item = Items(rest).next().unwrap_or(Ok(Item { kind: Kind::END, data: &[] }))?;
            if item.kind != kind {
                return Err(illegal(HeaderKind::Lldp, "order of parts", item.kind.0));
            }
            rest = span(rest, item.buffer_len(), usize::MAX);
            Ok(item.data)
        };
        let chassis = Id::read(next(Kind::CHASSIS_ID)?)?;
        let port = Id::read(next(Kind::PORT_ID)?)?;
        let time_to_live = match next(Kind::TIME_TO_LIVE)? {
            data if data.len() >= 2 => u16::read(data, 0),
            data => return Err(illegal(HeaderKind::Lldp, "time to live length", data.len() as u64)),
        };
        let mut others = 0;
        for item in Items(rest) {
            let item = item?;
            if matches!(item.kind, Kind::CHASSIS_ID | Kind::PORT_ID | Kind::TIME_TO_LIVE) {
                return Err(illegal(HeaderKind::Lldp, "order of parts", item.kind.0));
            }
            others += item.buffer_len();
        }
        // Without the end mark the unit was cut.
        if rest.len() < others + 2 {
            return Err(truncated(HeaderKind::Lldp, bytes.len() + 2, bytes.len()));
        }
        Ok(Self { chassis, port, time_to_live, others: span(rest, 0, others) })
    }
}

/// Who a chassis or a port is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Id<'a> {
    /// What the value is: see [`CHASSIS_MAC`], [`PORT_MAC`] and the like.
    pub subtype: u8,
    /// The value. Legal lengths: 1 to 255 bytes.
    pub value: &'a [u8],
}

impl<'a> Id<'a> {
    fn read(data: &'a [u8]) -> Result<Self, Malformed> {
        match data.split_first() {
            Some((&subtype, value)) if (1..=255).contains(&value.len()) => Ok(Self { subtype, value }),
            _ => Err(illegal(HeaderKind::Lldp, "ID length", data.len() as u64)),
        }
    }

    fn write(&self, kind: Kind, bytes: &mut [u8], at: usize) -> Result<usize, Malformed> {
        if !(1..=255).contains(&self.value.len()) {
            return Err(illegal(HeaderKind::Lldp, "ID length", self.value.len() as u64));
        }
        (u16::from(kind.0) << 9 | (self.value.len() + 1) as u16).write(bytes, at);
        self.subtype.write(bytes, at + 2);
        put(bytes, at + 3, self.value);
        Ok(at + 3 + self.value.len())
    }
}

/// The meaning of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Repr<'a> {
    /// Who sends.
    pub chassis: Id<'a>,
    /// From which port.
    pub port: Id<'a>,
    /// How long it counts, in seconds; 0 takes it back at once.
    pub time_to_live: u16,
    /// The other parts as they travel, without the end mark; [`Items`] walks them.
    pub others: &'a [u8],
}

impl<'a> Repr<'a> {
    /// Reads a unit.
    ///
    /// # Errors
    /// [`Malformed`] when the view was not checked and the unit cannot be walked.
    pub fn parse<T: AsRef<[u8]> + ?Sized>(view: &View<&'a T>) -> Result<Self, Malformed> {
        let Unit { chassis, port, time_to_live, others } = Unit::read(view.into_inner().as_ref())?;
        Ok(Self { chassis, port, time_to_live, others })
    }

    /// Length in bytes that [`Repr::emit`] writes.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        3 + self.chassis.value.len() + 3 + self.port.value.len() + 4 + self.others.len() + 2
    }

    /// Writes the unit, with its end mark, to the front of `buffer`; returns its length in bytes.
    ///
    /// # Errors
    /// [`Malformed`] when `buffer` is too short, an ID has an illegal length, or the other parts cannot be walked to
    /// their end.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Malformed> {
        let length = self.buffer_len();
        let bytes = blank(HeaderKind::Lldp, buffer, length)?;
        let at = self.chassis.write(Kind::CHASSIS_ID, bytes, 0)?;
        let at = self.port.write(Kind::PORT_ID, bytes, at)?;
        (u16::from(Kind::TIME_TO_LIVE.0) << 9 | 2).write(bytes, at);
        self.time_to_live.write(bytes, at + 2);
        put(bytes, at + 4, self.others);
        // An end mark or a mandatory part among the others would be read back as something else.
        match Unit::read(bytes)?.others.len() {
            read if read == self.others.len() => Ok(length),
            read => Err(illegal(HeaderKind::Lldp, "end mark at", read as u64)),
        }
    }
}
