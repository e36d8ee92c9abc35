//! The kernel's description of itself (BTF), as far as needed to call one of its functions by name.
//!
//! What: reads `/sys/kernel/btf/vmlinux` (linux/btf.h, Documentation/bpf/btf.rst): a header, types of varying length that
//! are numbered from one, and their names.
//!
//! Invariants: whatever the file says, nothing out of its range is read, and the search ends.
//!
//! Costs: some milliseconds and the file's size in memory, when a port is opened.

const MAGIC: u16 = 0xeb9f;
const KIND_FUNCTION: u32 = 12;

/// The number of the kernel's function of this name; `None` if the kernel has none or does not tell.
pub(super) fn function(name: &str) -> Option<i32> {
    find(&std::fs::read("/sys/kernel/btf/vmlinux").ok()?, name)
}

fn word(octets: &[u8], at: usize) -> Option<u32> {
    let word = octets.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes([word[0], word[1], word[2], word[3]]))
}

/// How many octets follow the twelve that every type has.
fn more(kind: u32, members: usize) -> Option<usize> {
    Some(match kind {
        // An integer, a variable, a tag of a declaration.
        1 | 14 | 17 => 4,
        // An array.
        3 => 12,
        // A structure, a union, a section, an enumeration of 64 bits.
        4 | 5 | 15 | 19 => members * 12,
        // An enumeration, parameters.
        6 | 13 => members * 8,
        2 | 7..=12 | 16 | 18 => 0,
        // A later kernel's: its length is not known.
        _ => return None,
    })
}

fn find(file: &[u8], name: &str) -> Option<i32> {
    let magic = file.get(..2)?;
    if u16::from_ne_bytes([magic[0], magic[1]]) != MAGIC {
        return None;
    }
    let header = word(file, 4)? as usize;
    let part = |at: usize| {
        let from = header.checked_add(word(file, at)? as usize)?;
        file.get(from..from.checked_add(word(file, at + 4)? as usize)?)
    };
    let (types, names) = (part(8)?, part(16)?);
    let is_named = |at: usize| {
        let end = at.checked_add(name.len())?;
        Some(names.get(at..end)? == name.as_bytes() && names.get(end) == Some(&0))
    };
    let (mut at, mut number) = (0, 1);
    while at < types.len() {
        let (name, info) = (word(types, at)? as usize, word(types, at + 4)?);
        let kind = info >> 24 & 31;
        if kind == KIND_FUNCTION && is_named(name) == Some(true) {
            return Some(number);
        }
        at = at.checked_add(12 + more(kind, (info & 0xffff) as usize)?)?;
        number += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(types: &[&[u32]], names: &str) -> Vec<u8> {
        let types: Vec<u8> = types.concat().iter().flat_map(|word| word.to_ne_bytes()).collect();
        let mut file: Vec<u8> = MAGIC.to_ne_bytes().into();
        file.extend([1, 0]);
        for word in [24, 0, types.len() as u32, types.len() as u32, names.len() as u32] {
            file.extend(u32::to_ne_bytes(word));
        }
        file.extend(types);
        file.extend(names.bytes());
        file
    }

    #[test]
    fn functions_are_found_behind_types_of_every_length() {
        let kind = |kind: u32, members: u32| kind << 24 | members;
        let types: &[&[u32]] = &[
            &[1, kind(1, 0), 4, 32],
            &[1, kind(4, 2), 8, 1, 1, 0, 1, 1, 32],
            &[5, kind(13, 1), 1, 1, 1],
            &[5, kind(12, 1), 3],
            &[1, kind(12, 1), 3],
        ];
        let names = "\0abc\0ab\0";
        assert_eq!(find(&file(types, names), "ab"), Some(4));
        assert_eq!(find(&file(types, names), "abc"), Some(5));
        assert_eq!(find(&file(types, names), "a"), None);
        assert_eq!(find(&file(&[&[1, kind(31, 0), 0]], names), "ab"), None);
    }

    proptest! {
        #[test]
        fn no_file_is_too_strange(
            types in proptest::collection::vec(any::<u32>(), 0..60),
            cut in 0_usize..300,
            damage in proptest::collection::vec((0_usize..300, any::<u8>()), 0..4),
        ) {
            let mut file = file(&[&types], "\0ab\0");
            for (at, octet) in damage {
                if let Some(place) = file.get_mut(at) {
                    *place = octet;
                }
            }
            file.truncate(cut);
            find(&file, "ab");
        }
    }
}
