//! Sets of named bits: `+trk-new`, `syn|ack`, `0x2/0x12`.
//!
//! `+a-b` names the bits that are matched, set and unset; `a|b` and a number name all bits, those not named being
//! unset.

use super::error::{Parsed, Problem, TextError};
use super::number;
use super::piece::Piece;

/// The names of the bits of one field.
#[derive(Debug)]
pub(super) struct FlagNames {
    /// What the flags are called in errors.
    pub kind: &'static str,
    /// The bits with their names.
    pub names: &'static [(u32, &'static str)],
    /// The bits that a text may name.
    pub legal: u32,
}

/// State of a connection.
pub(super) const CT_STATE: FlagNames = FlagNames {
    kind: "ct_state",
    names: &[
        (0x01, "new"),
        (0x02, "est"),
        (0x04, "rel"),
        (0x08, "rpl"),
        (0x10, "inv"),
        (0x20, "trk"),
        (0x40, "snat"),
        (0x80, "dnat"),
    ],
    legal: 0xff,
};

/// Flags of TCP (RFC 9293, RFC 3540).
pub(super) const TCP: FlagNames = FlagNames {
    kind: "TCP",
    names: &[
        (0x001, "fin"),
        (0x002, "syn"),
        (0x004, "rst"),
        (0x008, "psh"),
        (0x010, "ack"),
        (0x020, "urg"),
        (0x040, "ece"),
        (0x080, "cwr"),
        (0x100, "ns"),
        (0x200, "[200]"),
        (0x400, "[400]"),
        (0x800, "[800]"),
    ],
    legal: 0xfff,
};

/// Flags of a tunnel; a flow may name but the first.
pub(super) const TUNNEL: FlagNames = FlagNames {
    kind: "tunnel",
    names: &[(0x01, "oam"), (0x02, "df"), (0x04, "csum"), (0x08, "key")],
    legal: 0x01,
};

impl FlagNames {
    fn name(&self, bit: u32) -> Option<&'static str> {
        self.names.iter().find(|(known, _)| *known == bit).map(|(_, name)| *name)
    }

    /// The bit whose name stands at the front of `text`, followed by one of `ends` or by nothing.
    fn leading(&self, text: &str, ends: &str) -> Option<(u32, usize)> {
        self.names
            .iter()
            .find(|(_, name)| {
                text.strip_prefix(name)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(|c| ends.contains(c)))
            })
            .map(|(bit, name)| (*bit, name.len()))
    }

    /// Reads flags and the mask of those that count; all 32 bits of the mask are set if all count.
    pub(super) fn parse(&self, piece: Piece<'_>) -> Parsed<(u32, u32)> {
        let text = piece.text();
        let unknown = |rest: &str| {
            let wording = format!("{rest}: unknown {} flag(s)", self.kind);
            TextError::new(piece, Problem::UnknownWord, wording)
                .expecting("flags as +syn-ack, syn|ack or 0x2/0x12")
                .meaning(self.names.iter().map(|(_, name)| *name))
        };
        let value = number::leading(text, 0);
        if value.length > 0 && text[value.length..].starts_with('/') {
            let mask = number::leading(&text[value.length + 1..], 0);
            if mask.length > 0 {
                let (value, mask) = (value.value as u32, mask.value as u32);
                return if (value | mask) & !self.legal != 0 {
                    Err(unknown(text))
                } else {
                    Ok((value, mask))
                };
            }
        }
        if text.starts_with(['+', '-']) && value.length == 0 {
            return self.parse_signed(piece, unknown);
        }
        let mut rest = text;
        let mut flags = 0;
        while !rest.is_empty() {
            let number = number::leading(rest, 0);
            let (bits, length) = match number.length {
                0 => self.leading(rest, "|").ok_or_else(|| unknown(text))?,
                length => (u32::try_from(number.value).unwrap_or(u32::MAX), length),
            };
            if bits & !self.legal != 0 {
                return Err(unknown(text));
            }
            flags |= bits;
            rest = &rest[length..];
            rest = rest.strip_prefix('|').unwrap_or(rest);
        }
        Ok((flags, u32::MAX))
    }

    fn parse_signed(&self, piece: Piece<'_>, unknown: impl Fn(&str) -> TextError) -> Parsed<(u32, u32)> {
        let (mut flags, mut mask) = (0, 0);
        let mut rest = piece.text();
        while !rest.is_empty() {
            let set = rest.starts_with('+');
            if !set && !rest.starts_with('-') {
                let wording =
                    format!("{rest}: {} must be preceded by '+' (for SET) or '-' (NOT SET)", self.kind);
                return Err(TextError::new(piece, Problem::BadForm, wording));
            }
            rest = &rest[1..];
            let (bit, length) = self.leading(rest, "+-").ok_or_else(|| unknown(rest))?;
            if bit & !self.legal != 0 {
                return Err(unknown(rest));
            }
            if mask & bit != 0 {
                let wording = format!("{rest}: Each {} flag can be specified only once", self.kind);
                return Err(TextError::new(piece, Problem::NotAllowed, wording));
            }
            mask |= bit;
            flags |= if set { bit } else { 0 };
            rest = &rest[length..];
        }
        Ok((flags, mask))
    }

    /// Flags as `a|b`, `0` if none is set; bits without names as one number behind them.
    pub(super) fn print_plain(&self, flags: u32) -> String {
        let mut words = Vec::new();
        let mut nameless = 0;
        for bit in (0..32).map(|shift| 1 << shift).filter(|bit| flags & bit != 0) {
            match self.name(bit) {
                Some(name) => words.push(name.to_string()),
                None => nameless |= bit,
            }
        }
        if nameless != 0 {
            words.push(format!("{nameless:#x}"));
        }
        if words.is_empty() { "0".to_string() } else { words.join("|") }
    }

    /// Flags under a mask as `+a-b`, or plain if the mask is `all`.
    pub(super) fn print_masked(&self, flags: u32, mask: u32, all: u32) -> String {
        if mask == all {
            return self.print_plain(flags);
        }
        if mask == 0 {
            return "0/0".to_string();
        }
        (0..32)
            .map(|shift| 1u32 << shift)
            .filter(|bit| mask & bit != 0)
            .map(|bit| {
                let sign = if flags & bit != 0 { '+' } else { '-' };
                format!("{sign}{}", self.name(bit).unwrap_or("[Unknown]"))
            })
            .collect()
    }
}

/// The words for fragments, with the value and the mask that they stand for (bit 0: a fragment; bit 1: not the first).
const FRAGMENTS: [(&str, u8, u8); 7] = [
    ("no", 0, 3),
    ("first", 1, 3),
    ("later", 3, 3),
    ("no", 0, 1),
    ("yes", 1, 1),
    ("not_later", 0, 2),
    ("later", 2, 2),
];

/// Reads `nw_frag`: value and mask of its two bits.
pub(super) fn parse_fragment(piece: Piece<'_>) -> Parsed<(u8, u8)> {
    FRAGMENTS
        .iter()
        .find(|(name, _, _)| name.eq_ignore_ascii_case(piece.text()))
        .map(|(_, value, mask)| (*value, *mask))
        .ok_or_else(|| {
            let wording = format!(
                "{}: unknown fragment type (valid types are \"no\", \"yes\", \"first\", \"later\", \"not_later\"",
                piece.text()
            );
            TextError::new(piece, Problem::UnknownWord, wording).meaning(FRAGMENTS.iter().map(|(name, _, _)| *name))
        })
}

/// Prints `nw_frag`.
pub(super) fn print_fragment(value: u8, mask: u8) -> &'static str {
    let (value, mask) = (value & mask & 3, mask & 3);
    FRAGMENTS.iter().find(|(_, v, m)| *v == value && *m == mask).map_or("<error>", |(name, _, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(names: &FlagNames, text: &str) -> Result<(u32, u32), String> {
        names.parse(Piece::whole(text)).map_err(|error| error.ovs().to_string())
    }

    #[test]
    fn flags_in_all_their_forms() {
        assert_eq!(read(&CT_STATE, "+trk-new"), Ok((0x20, 0x21)));
        assert_eq!(read(&CT_STATE, "trk|est"), Ok((0x22, u32::MAX)));
        assert_eq!(read(&TCP, "0x2/0x12"), Ok((2, 0x12)));
        assert_eq!(read(&TCP, "18"), Ok((18, u32::MAX)));
        assert_eq!(read(&TCP, "+syn-[800]"), Ok((2, 0x802)));
        assert_eq!(read(&CT_STATE, "+trk+tkr"), Err("tkr: unknown ct_state flag(s)".to_string()));
        assert_eq!(
            read(&CT_STATE, "+trk-trk"),
            Err("trk: Each ct_state flag can be specified only once".to_string())
        );
        assert_eq!(read(&TUNNEL, "+oam"), Ok((1, 1)));
        assert_eq!(read(&TUNNEL, "+df"), Err("df: unknown tunnel flag(s)".to_string()));
        assert_eq!(read(&TCP, "0x1000"), Err("0x1000: unknown TCP flag(s)".to_string()));
    }

    #[test]
    fn flags_are_printed_as_they_are_read() {
        assert_eq!(CT_STATE.print_masked(0x20, 0x21, 0xff), "-new+trk");
        assert_eq!(TCP.print_masked(0x12, 0xfff, 0xfff), "syn|ack");
        assert_eq!(TCP.print_masked(0, 0, 0xfff), "0/0");
        assert_eq!(CT_STATE.print_plain(0x120), "trk|0x100");
        for (name, value, mask) in FRAGMENTS {
            assert_eq!(print_fragment(value, mask), name);
        }
    }
}
