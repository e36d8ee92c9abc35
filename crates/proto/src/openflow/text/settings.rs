//! How tables and ports are set, in the words of `mod-table` and `mod-port`.

use super::super::Version;
use super::super::message::PortConfig;
use super::error::{Parsed, Problem, TextError};
use super::names::Names;
use super::number;
use super::piece::Piece;

/// How a table is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableSetting {
    /// What misses goes to the controllers; versions 1.1 and 1.2.
    MissToController,
    /// What misses goes to the next table; versions 1.1 and 1.2.
    MissContinues,
    /// What misses is dropped; versions 1.1 and 1.2.
    MissIsDropped,
    /// Flows may be evicted; from version 1.4 on.
    Evict,
    /// No flows are evicted; from version 1.4 on.
    NoEvict,
    /// Events tell when free space falls below or rises above these percentages; from version 1.4 on.
    Vacancy {
        /// The lower.
        down: u8,
        /// The upper.
        up: u8,
    },
    /// No such events; from version 1.4 on.
    NoVacancy,
    /// The table has this name; from version 1.3 on.
    Name(String),
}

impl TableSetting {
    const WORDS: [(&'static str, Self); 6] = [
        ("controller", Self::MissToController),
        ("continue", Self::MissContinues),
        ("drop", Self::MissIsDropped),
        ("evict", Self::Evict),
        ("noevict", Self::NoEvict),
        ("novacancy", Self::NoVacancy),
    ];

    /// The versions that can carry it.
    #[must_use]
    pub const fn versions(&self) -> &'static [Version] {
        match self {
            Self::MissToController | Self::MissContinues | Self::MissIsDropped => {
                &[Version::V11, Version::V12]
            }
            Self::Evict | Self::NoEvict | Self::Vacancy { .. } | Self::NoVacancy => {
                &[Version::V14, Version::V15]
            }
            Self::Name(_) => &[Version::V13, Version::V14, Version::V15],
        }
    }
}

/// Number that stands for all tables.
const ALL: u8 = 255;
/// The last table that flows can be in.
const LAST: u8 = 254;

/// Reads the arguments of `mod-table`: a table or `all`, and how it is to be.
pub(super) fn parse_table(table: Piece<'_>, setting: Piece<'_>, names: &Names) -> Parsed<(u8, TableSetting)> {
    let table = if table.text().eq_ignore_ascii_case("all") {
        ALL
    } else {
        names.table_or(table, |text| format!("unknown table \"{text}\""))?
    };
    let text = setting.text();
    let word = TableSetting::WORDS.into_iter().find(|(word, _)| *word == text);
    let parsed = match (word, setting.split_once(":")) {
        (Some((_, setting)), _) => setting,
        (None, Some((word, range))) if "vacancy".starts_with(word.text()) => vacancy(range)?,
        (None, None) if "vacancy".starts_with(text) => {
            return Err(TextError::new(setting, Problem::Missing, "Vacancy down value missing")
                .expecting("vacancy:DOWN,UP"));
        }
        (None, Some((word, name))) if word.text() == "name" && table != ALL => {
            TableSetting::Name(name.text().to_string())
        }
        _ => {
            let wording = format!("invalid table_mod setting {text}");
            return Err(TextError::new(setting, Problem::UnknownWord, wording)
                .expecting(
                    "controller, continue, drop, evict, noevict, vacancy:DOWN,UP, novacancy or name:NAME",
                )
                .meaning(TableSetting::WORDS.map(|(word, _)| word)));
        }
    };
    if table == LAST && parsed == TableSetting::MissContinues {
        let wording = "last table's flow miss handling can not be continue";
        return Err(TextError::new(setting, Problem::NotAllowed, wording));
    }
    Ok((table, parsed))
}

fn vacancy(mut range: Piece<'_>) -> Parsed<TableSetting> {
    let whole = range;
    let mut percentage = |which: &str| {
        let Some(token) = range.next_token(",") else {
            let wording = format!("Vacancy {which} value missing");
            return Err(TextError::new(whole, Problem::Missing, wording).expecting("vacancy:DOWN,UP"));
        };
        number::signed(token.text(), 0)
            .filter(|value| (0..=100).contains(value))
            .map(|value| value as u8)
            .ok_or_else(|| {
                let wording = format!("Invalid vacancy {which} value \"{}\"", token.text());
                TextError::new(token, Problem::OutOfRange, wording).expecting("a number from 0 to 100")
            })
    };
    let (down, up) = (percentage("down")?, percentage("up")?);
    if down > up {
        let wording =
            "Invalid vacancy range, vacancy up should be greater than vacancy down (OFPBPC_BAD_VALUE)";
        return Err(TextError::new(whole, Problem::OutOfRange, wording));
    }
    Ok(TableSetting::Vacancy { down, up })
}

/// The words of `mod-port`, each with the bit that it clears; `down` sets what `up` clears.
const PORT_WORDS: [(&str, PortConfig); 7] = [
    ("up", PortConfig::DOWN),
    ("stp", PortConfig::NO_SPANNING_TREE),
    ("receive", PortConfig::NO_RECEIVE),
    ("receive-stp", PortConfig::NO_RECEIVE_SPANNING_TREE),
    ("flood", PortConfig::NO_FLOOD),
    ("forward", PortConfig::NO_FORWARD),
    ("packet-in", PortConfig::NO_PACKET_IN),
];

/// Reads the last argument of `mod-port`: how the bits are to be, and which of them are to change.
pub(super) fn parse_port(piece: Piece<'_>) -> Parsed<(PortConfig, PortConfig)> {
    let word = piece.text().to_ascii_lowercase();
    let (negated, rest) = match word.strip_prefix("no-").or_else(|| word.strip_prefix("no")) {
        Some(rest) => (true, rest),
        None => (false, word.as_str()),
    };
    let (set, rest) = if rest == "down" { (!negated, "up") } else { (negated, rest) };
    let found = PORT_WORDS.iter().find(|(known, _)| *known == rest);
    let (_, bit) = found.ok_or_else(|| {
        let wording = format!("unknown mod-port command '{}'", piece.text());
        TextError::new(piece, Problem::UnknownWord, wording)
            .expecting(
                "up, down, stp, receive, receive-stp, flood, forward or packet-in, or one of them behind no-",
            )
            .meaning(PORT_WORDS.map(|(known, _)| known))
    })?;
    Ok((bit.when(set), *bit))
}

#[cfg(test)]
mod tests {
    use super::super::names::NUMBERS;
    use super::*;

    fn table(table: &str, setting: &str) -> Result<(u8, TableSetting), String> {
        parse_table(Piece::whole(table), Piece::whole(setting), &NUMBERS)
            .map_err(|error| error.ovs().to_string())
    }

    #[test]
    fn tables_are_set_by_words() {
        assert_eq!(table("all", "evict"), Ok((255, TableSetting::Evict)));
        assert_eq!(table("3", "vacancy:20,80"), Ok((3, TableSetting::Vacancy { down: 20, up: 80 })));
        assert_eq!(table("3", "name:nat"), Ok((3, TableSetting::Name("nat".to_string()))));
        assert_eq!(table("3", "vacancy:80"), Err("Vacancy up value missing".to_string()));
        assert_eq!(table("3", "vacancy:101,2"), Err("Invalid vacancy down value \"101\"".to_string()));
        assert_eq!(table("x", "evict"), Err("unknown table \"x\"".to_string()));
        assert_eq!(table("3", "evit"), Err("invalid table_mod setting evit".to_string()));
        assert_eq!(
            table("254", "continue"),
            Err("last table's flow miss handling can not be continue".to_string())
        );
    }

    #[test]
    fn ports_are_set_by_words() {
        let set = |word| parse_port(Piece::whole(word)).map_err(|error| error.ovs().to_string());
        assert_eq!(set("up"), Ok((PortConfig::NONE, PortConfig::DOWN)));
        assert_eq!(set("down"), Ok((PortConfig::DOWN, PortConfig::DOWN)));
        assert_eq!(set("no-flood"), Ok((PortConfig::NO_FLOOD, PortConfig::NO_FLOOD)));
        assert_eq!(set("Packet-In"), Ok((PortConfig::NONE, PortConfig::NO_PACKET_IN)));
        assert_eq!(set("flod"), Err("unknown mod-port command 'flod'".to_string()));
    }
}
