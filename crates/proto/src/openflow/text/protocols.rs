//! Which forms of OpenFlow can carry what a text says.
//!
//! A flow that matches a register cannot be told to a switch in plain OpenFlow 1.0. The parser therefore keeps the set of
//! forms that remain, and whoever sends the flow chooses one of them, as `ovs-ofctl` does with `-O` and `-F`.

use super::super::field::{Field, FieldId, Maskable, Support};
use super::super::{Value, Version};
use std::fmt;
use std::ops::{BitAnd, BitAndAssign, BitOr};

/// A set of forms of OpenFlow: version 1.0 plain or with Nicira's extended match, each with or without the table in a
/// change of flows, and the later versions.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Protocols(u16);

impl Protocols {
    /// OpenFlow 1.0 that cannot name tables.
    pub const PLAIN: Self = Self(1);
    /// OpenFlow 1.0 that names tables.
    pub const PLAIN_TABLES: Self = Self(2);
    /// OpenFlow 1.0 with Nicira's extended match.
    pub const NXM: Self = Self(4);
    /// OpenFlow 1.0 with Nicira's extended match that names tables.
    pub const NXM_TABLES: Self = Self(8);
    /// OpenFlow 1.1.
    pub const V11: Self = Self(0x10);
    /// OpenFlow 1.2.
    pub const V12: Self = Self(0x20);
    /// OpenFlow 1.3.
    pub const V13: Self = Self(0x40);
    /// OpenFlow 1.4.
    pub const V14: Self = Self(0x80);
    /// OpenFlow 1.5.
    pub const V15: Self = Self(0x100);

    /// None of them.
    pub const NONE: Self = Self(0);
    /// All of them.
    pub const ANY: Self = Self(0x1ff);
    /// Both plain forms of OpenFlow 1.0.
    pub const PLAIN_ANY: Self = Self(0x003);
    /// Both forms with Nicira's extended match.
    pub const NXM_ANY: Self = Self(0x00c);
    /// All forms of OpenFlow 1.0.
    pub const V10_ANY: Self = Self(0x00f);
    /// OpenFlow 1.2 and later.
    pub const V12_UP: Self = Self(0x1e0);
    /// OpenFlow 1.1 and later.
    pub const V11_UP: Self = Self(0x1f0);
    /// All forms of OpenFlow 1.0, whose messages for groups are Nicira's, and OpenFlow 1.5.
    pub const V10_OR_15: Self = Self(0x10f);
    /// OpenFlow 1.3 and later.
    pub const V13_UP: Self = Self(0x1c0);
    /// All that have an extensible match.
    pub const EXTENSIBLE: Self = Self(0x1ec);
    /// All but plain OpenFlow 1.0.
    pub const NOT_PLAIN: Self = Self(0x1fc);
    /// All that name tables.
    pub const TABLES: Self = Self(0x1fa);

    /// The forms in the order in which they are chosen.
    pub const EACH: [Self; 9] = [
        Self::PLAIN,
        Self::PLAIN_TABLES,
        Self::NXM,
        Self::NXM_TABLES,
        Self::V11,
        Self::V12,
        Self::V13,
        Self::V14,
        Self::V15,
    ];

    /// The forms of a version.
    pub const fn of_version(version: Version) -> Self {
        match version {
            Version::V10 => Self::V10_ANY,
            Version::V11 => Self::V11,
            Version::V12 => Self::V12,
            Version::V13 => Self::V13,
            Version::V14 => Self::V14,
            Version::V15 => Self::V15,
        }
    }

    /// Whether all of `other` are in it.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether nothing is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The forms that can match `field` under `mask`.
    pub(super) fn of_match(field: FieldId, mask: &Value) -> Self {
        let row = field.get();
        if mask.is_all_ones() {
            return Self::of_field(row, Support::Exact);
        }
        if mask.is_zero() && !row.is_variable() {
            return Self::ANY;
        }
        if row.maskable == Maskable::Whole {
            return Self::NONE;
        }
        // The first 32 bits decide, whatever the width is: so it is done, and so scripts expect it.
        let first =
            mask.octets().iter().chain([&0; 4]).take(4).fold(0u32, |sum, octet| sum << 8 | u32::from(*octet));
        let prefix = first.leading_ones() == first.count_ones();
        Self::of_field(row, if prefix { Support::Prefix } else { Support::Bitwise })
    }

    /// The forms that can match all of `field`.
    pub(super) fn of_whole(field: FieldId) -> Self {
        Self::of_field(field.get(), Support::Exact)
    }

    fn of_field(row: &Field, wanted: Support) -> Self {
        let suffices = |support: Support| support != Support::Absent && support as u8 >= wanted as u8;
        let named = !row.headers.is_empty() || matches!(row.id, FieldId::DL_VLAN | FieldId::DL_VLAN_PCP);
        let mut forms = Self::NONE;
        if named {
            forms = forms | Self::EXTENSIBLE;
        }
        if suffices(row.v10) {
            forms = forms | Self::PLAIN_ANY;
        }
        if suffices(row.v11) {
            forms = forms | Self::V11;
        }
        forms
    }

    /// The name of one form.
    fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::PLAIN => "OpenFlow10-table_id",
            Self::PLAIN_TABLES => "OpenFlow10+table_id",
            Self::NXM => "NXM-table_id",
            Self::NXM_TABLES => "NXM+table_id",
            Self::V11 => "OpenFlow11",
            Self::V12 => "OXM-OpenFlow12",
            Self::V13 => "OXM-OpenFlow13",
            Self::V14 => "OXM-OpenFlow14",
            Self::V15 => "OXM-OpenFlow15",
            _ => return None,
        })
    }
}

impl BitAnd for Protocols {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl BitOr for Protocols {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAndAssign for Protocols {
    fn bitand_assign(&mut self, other: Self) {
        self.0 &= other.0;
    }
}

impl fmt::Display for Protocols {
    /// The set as `ovs-ofctl` names it: `any`, `NXM,OXM`, `OpenFlow10-table_id`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const GROUPS: [(Protocols, &str); 4] = [
            (Protocols::ANY, "any"),
            (Protocols::PLAIN_ANY, "OpenFlow10"),
            (Protocols::NXM_ANY, "NXM"),
            (Protocols::V12_UP, "OXM"),
        ];
        if self.is_empty() {
            return f.write_str("none");
        }
        let mut rest = *self;
        let mut words = Vec::new();
        while !rest.is_empty() {
            let group = GROUPS.into_iter().find(|(group, _)| rest.contains(*group));
            let (taken, word) = group
                .or_else(|| {
                    Self::EACH
                        .into_iter()
                        .find(|one| rest.contains(*one))
                        .and_then(|one| Some((one, one.name()?)))
                })
                .unwrap_or((rest, ""));
            words.push(word);
            rest.0 &= !taken.0;
        }
        f.write_str(&words.join(","))
    }
}

impl fmt::Debug for Protocols {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_have_the_names_of_the_tools() {
        assert_eq!(Protocols::ANY.to_string(), "any");
        assert_eq!(Protocols::EXTENSIBLE.to_string(), "NXM,OXM");
        assert_eq!(Protocols::NOT_PLAIN.to_string(), "NXM,OXM,OpenFlow11");
        assert_eq!(Protocols::V10_ANY.to_string(), "OpenFlow10,NXM");
        assert_eq!(Protocols::NONE.to_string(), "none");
        assert_eq!(Protocols::PLAIN.to_string(), "OpenFlow10-table_id");
    }
}
