//! Which Geneve options are which `tun_metadata` fields: the TLV table of a bridge (ovs-ofctl(8), `add-tlv-map`).
//!
//! What: each mapped option has a number (0 to 63) and a place in the key's option space. Extraction writes the data of
//! the options that a packet has to their places, and a bit for each that it has; encapsulation writes them as options
//! again, in the order of their numbers.
//!
//! Invariants: places do not overlap and begin at four octets; an option has the length that the table says, or it counts
//! as absent. The space has 128 octets (Open vSwitch has 256): an option that does not fit any more is refused.

use netloom_table::{Field, Key};

/// Octets of all mapped options together.
pub const SPACE: usize = 128;
/// Most options.
pub const OPTIONS: usize = 64;
/// Octets of an option's header.
const HEADER: usize = 4;
/// First word of the space in the key.
const FIRST: usize = 48;

/// Why an option can't be mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// Legal numbers: 0 to 63.
    #[error("tun_metadata{0} does not exist: the numbers are 0 to 63")]
    Number(u8),
    /// Legal lengths: 4 to 124, in steps of 4.
    #[error("an option has 4 to 124 octets in steps of 4, not {0}")]
    Length(u8),
    /// The number or the kind has another meaning already.
    #[error("tun_metadata{number} is taken, or the option {class:#x}/{kind:#x} is another one already")]
    Taken {
        /// The number.
        number: u8,
        /// Class of the option.
        class: u16,
        /// Its type.
        kind: u8,
    },
    /// All options together have more than 128 octets.
    #[error("no room for {wanted} octets of options: {left} are left")]
    Full {
        /// Octets of the option.
        wanted: u8,
        /// Octets that are left in one piece.
        left: u8,
    },
}

/// One mapped option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MappedOption {
    /// Number of the `tun_metadata` field.
    pub number: u8,
    /// Class of the option.
    pub class: u16,
    /// Its type.
    pub kind: u8,
    /// Octets of its data.
    pub length: u8,
    /// Where they begin in the space.
    at: u8,
}

impl MappedOption {
    /// The octets of the space that it has, first and number: `tun_metadata` fields are cut out of the key by it.
    #[must_use]
    pub const fn place(&self) -> (usize, usize) {
        (self.at as usize, self.length as usize)
    }

    /// The bit of [`Field::TUN_OPTIONS`] that says that a packet has it.
    #[must_use]
    pub const fn bit(&self) -> u64 {
        1 << (self.at / 4)
    }
}

/// The table, in the order of the numbers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct OptionMap(Vec<MappedOption>);

impl OptionMap {
    /// All options.
    #[must_use]
    pub fn options(&self) -> &[MappedOption] {
        &self.0
    }

    /// The option of a number.
    #[must_use]
    pub fn get(&self, number: u8) -> Option<&MappedOption> {
        self.0.iter().find(|option| option.number == number)
    }

    /// Maps one more option.
    ///
    /// # Errors
    /// [`OptionError`]: nothing was changed.
    pub fn add(&mut self, number: u8, class: u16, kind: u8, length: u8) -> Result<(), OptionError> {
        if usize::from(number) >= OPTIONS {
            return Err(OptionError::Number(number));
        }
        if length == 0 || length > 124 || !length.is_multiple_of(4) {
            return Err(OptionError::Length(length));
        }
        let same =
            |known: &MappedOption| known.number == number || (known.class, known.kind) == (class, kind);
        if self.0.iter().any(same) {
            return Err(OptionError::Taken { number, class, kind });
        }
        // The first gap that is large enough.
        let mut taken: Vec<(u8, u8)> = self.0.iter().map(|known| (known.at, known.length)).collect();
        taken.sort_unstable();
        let (mut at, mut largest) = (0, 0);
        let mut place = None;
        for (begin, size) in taken.into_iter().chain([(SPACE as u8, 0)]) {
            let gap = begin - at;
            largest = gap.max(largest);
            if gap >= length && place.is_none() {
                place = Some(at);
            }
            at = begin + size;
        }
        let Some(at) = place else { return Err(OptionError::Full { wanted: length, left: largest }) };
        self.0.push(MappedOption { number, class, kind, length, at });
        self.0.sort_unstable_by_key(|option| option.number);
        Ok(())
    }

    /// Takes an option out.
    pub fn remove(&mut self, number: u8) -> Option<MappedOption> {
        let place = self.0.iter().position(|option| option.number == number)?;
        Some(self.0.remove(place))
    }

    /// Writes the mapped ones of a packet's options into its key.
    pub fn read(&self, options: &[u8], key: &mut Key) {
        let mut rest = options;
        while let Some(&[high, low, kind, size]) = rest.first_chunk() {
            let (class, length) = (u16::from_be_bytes([high, low]), usize::from(size & 31) * 4);
            let Some(data) = rest.get(HEADER..HEADER + length) else { return };
            rest = rest.get(HEADER + length..).unwrap_or_default();
            let option = self.0.iter().find(|option| (option.class, option.kind) == (class, kind));
            if let Some(option) = option.filter(|option| usize::from(option.length) == length) {
                write_space(key, option, data);
            }
        }
    }

    /// The options that a key has, as they stand in a header.
    #[must_use]
    pub fn write(&self, key: &Key) -> Vec<u8> {
        let (mut options, present) = (Vec::new(), key.get(Field::TUN_OPTIONS));
        for option in self.0.iter().filter(|option| present & option.bit() != 0) {
            if options.len() + HEADER + usize::from(option.length) > 252 {
                break;
            }
            options.extend(option.class.to_be_bytes());
            options.extend([option.kind, option.length / 4]);
            options.extend(read_space(key, option));
        }
        options
    }
}

/// Writes the data of an option into a key, and that it is there.
pub fn write_space(key: &mut Key, option: &MappedOption, data: &[u8]) {
    let (at, length) = option.place();
    for (place, four) in data.chunks_exact(4).take(length / 4).enumerate() {
        let (word, shift) = place_of(at / 4 + place);
        let value = u64::from(u32::from_be_bytes([four[0], four[1], four[2], four[3]]));
        key.set_word(word, key.word(word) & !(u64::from(u32::MAX) << shift) | value << shift);
    }
    key.set(Field::TUN_OPTIONS, key.get(Field::TUN_OPTIONS) | option.bit());
}

/// The data of an option in a key.
fn read_space<'a>(key: &'a Key, option: &MappedOption) -> impl Iterator<Item = u8> + use<'a> {
    let (at, length) = option.place();
    (at / 4..(at + length) / 4).flat_map(move |place| {
        let (word, shift) = place_of(place);
        ((key.word(word) >> shift) as u32).to_be_bytes()
    })
}

/// The word and the shift of four octets of the space.
const fn place_of(place: usize) -> (usize, u32) {
    (FIRST + place / 2, if place.is_multiple_of(2) { 32 } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Any changes of the table, and any options in a packet: what is mapped comes out as it went in.
        #[test]
        fn options_come_out_as_they_went_in(
            changes in proptest::collection::vec((0..70_u8, 0..3_u16, 0..40_u8, 0..130_u8, 0..4_u8), 0..40),
            packet in proptest::collection::vec((0..3_u16, 0..40_u8, proptest::collection::vec(any::<u32>(), 0..4)), 0..10),
        ) {
            let mut map = OptionMap::default();
            for (number, class, kind, length, what) in changes {
                if what == 0 {
                    map.remove(number);
                    continue;
                }
                let before = map.clone();
                if map.add(number, class, kind, length & !3).is_err() {
                    prop_assert_eq!(&map, &before);
                }
                let mut space = [false; SPACE];
                for option in map.options() {
                    let (at, length) = option.place();
                    prop_assert!(space[at..at + length].iter().all(|taken| !taken));
                    space[at..at + length].fill(true);
                }
            }
            let (mut octets, mut wanted) = (Vec::new(), std::collections::BTreeMap::new());
            for (class, kind, data) in packet {
                let data: Vec<u8> = data.iter().flat_map(|word| word.to_be_bytes()).collect();
                octets.extend(class.to_be_bytes());
                octets.extend([kind, (data.len() / 4) as u8]);
                octets.extend(&data);
                let option = map.options().iter().find(|option| (option.class, option.kind) == (class, kind));
                if let Some(option) = option.filter(|option| usize::from(option.length) == data.len()) {
                    wanted.insert(option.number, (class, kind, data));
                }
            }
            let mut key = Key::default();
            map.read(&octets, &mut key);
            let oracle: Vec<u8> = wanted.into_values().flat_map(|(class, kind, data)| {
                let [high, low] = class.to_be_bytes();
                [vec![high, low, kind, (data.len() / 4) as u8], data].concat()
            }).collect();
            prop_assert_eq!(map.write(&key), oracle);
        }

        #[test]
        fn any_octets_are_read(octets in proptest::collection::vec(any::<u8>(), 0..260)) {
            let mut map = OptionMap::default();
            map.add(0, 0x102, 0x80, 4).unwrap();
            map.read(&octets, &mut Key::default());
        }
    }
}
