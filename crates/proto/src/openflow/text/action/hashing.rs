//! `bundle`, `multipath` and `conjunction`, whose arguments stand in a fixed order.

use super::super::super::action::{
    Action, Bundle, BundleAlgorithm, HashFields, Multipath, MultipathAlgorithm,
};
use super::super::error::{Parsed, Problem, TextError};
use super::super::piece::Piece;
use super::super::{number, value};
use super::ActionReader;

/// The most ports of a bundle.
const MOST_MEMBERS: usize = 2048;

/// The algorithms of `multipath`, by name.
pub(in super::super) const MULTIPATH: [(&str, MultipathAlgorithm); 4] = [
    ("modulo_n", MultipathAlgorithm::ModuloN),
    ("hash_threshold", MultipathAlgorithm::HashThreshold),
    ("hrw", MultipathAlgorithm::HighestWeight),
    ("iter_hash", MultipathAlgorithm::IterativeHash),
];

fn unknown(whole: Piece<'_>, token: Piece<'_>, what: &str) -> TextError {
    let wording = format!("{}: unknown {what} `{}'", whole.text(), token.text());
    TextError::new(token, Problem::UnknownWord, wording)
}

fn hash_fields(whole: Piece<'_>, token: Piece<'_>) -> Parsed<HashFields> {
    HashFields::ALL.into_iter().find(|fields| fields.name().eq_ignore_ascii_case(token.text())).ok_or_else(
        || {
            unknown(whole, token, "fields")
                .expecting("what is hashed")
                .meaning(HashFields::ALL.map(HashFields::name))
        },
    )
}

fn short_field(whole: Piece<'_>, piece: Piece<'_>) -> Parsed<super::super::super::Subfield> {
    let subfield = value::subfield(piece)?;
    if value::has_short_name(subfield.field) {
        return Ok(subfield);
    }
    let wording = format!("{}: experimenter OXM field '{}' not supported", whole.text(), piece.text());
    Err(TextError::new(piece, Problem::NotAllowed, wording))
}

impl ActionReader<'_> {
    pub(super) fn bundle(&self, whole: Piece<'_>, load: bool) -> Parsed<Action> {
        let mut rest = whole;
        let mut tokens = Vec::new();
        while tokens.len() < if load { 5 } else { 4 } {
            tokens.extend(rest.next_token(", "));
            if rest.is_empty() {
                break;
            }
        }
        let delimiter = rest.next_token(": ");
        let ([fields, basis, algorithm, kind, target @ ..], Some(delimiter)) = (tokens.as_slice(), delimiter)
        else {
            let wording = format!("{}: not enough arguments to bundle action", whole.text());
            return Err(TextError::new(whole, Problem::Missing, wording)
                .expecting("bundle(FIELDS,BASIS,ALGORITHM,ofport,members:PORT,...)"));
        };
        if !["members", "slaves"].iter().any(|word| word.eq_ignore_ascii_case(delimiter.text())) {
            let wording = format!(
                "{}: missing member delimiter, expected `members', got `{}'",
                whole.text(),
                delimiter.text()
            );
            return Err(TextError::new(delimiter, Problem::BadForm, wording).expecting("members:"));
        }
        let mut members = Vec::new();
        while let Some(token) = rest.next_token(", []") {
            if members.len() >= MOST_MEMBERS {
                break;
            }
            members.push(self.names.port_or(token, |text| format!("{text}: bad port number"))?);
        }
        let fields = hash_fields(whole, *fields)?;
        let algorithm = match algorithm.text().to_ascii_lowercase().as_str() {
            "active_backup" => BundleAlgorithm::ActiveBackup,
            "hrw" => BundleAlgorithm::HighestWeight,
            _ => return Err(unknown(whole, *algorithm, "algorithm").meaning(["active_backup", "hrw"])),
        };
        if !kind.text().eq_ignore_ascii_case("ofport") {
            return Err(unknown(whole, *kind, "member_type").expecting("ofport"));
        }
        let target = target.first().map(|target| short_field(whole, *target)).transpose()?;
        let basis = number::lenient(basis.text()) as u16;
        Ok(Action::Bundle(Box::new(Bundle { algorithm, fields, basis, target, members })))
    }
}

pub(super) fn multipath(whole: Piece<'_>) -> Parsed<Action> {
    let mut rest = whole;
    let tokens: Vec<_> = std::iter::from_fn(|| rest.next_token(", ")).take(6).collect();
    let [fields, basis, algorithm, links, argument, target] = tokens.as_slice() else {
        let wording = format!("{}: not enough arguments to multipath action", whole.text());
        return Err(TextError::new(whole, Problem::Missing, wording)
            .expecting("multipath(FIELDS,BASIS,ALGORITHM,LINKS,ARGUMENT,FIELD)"));
    };
    let fields = hash_fields(whole, *fields)?;
    let found = MULTIPATH.iter().find(|(name, _)| name.eq_ignore_ascii_case(algorithm.text()));
    let Some((_, algorithm)) = found else {
        return Err(unknown(whole, *algorithm, "algorithm").meaning(MULTIPATH.map(|(name, _)| name)));
    };
    let count = number::lenient(links.text());
    if !(1..=65_536).contains(&count) {
        let wording = format!("{}: n_links {count} is not in valid range 1 to 65536", whole.text());
        return Err(TextError::new(*links, Problem::OutOfRange, wording));
    }
    let target = short_field(whole, *target)?;
    if target.bits < 16 && count > 1 << target.bits {
        let wording = format!(
            "{}: {}-bit destination field has {} possible values, less than specified n_links {count}",
            whole.text(),
            target.bits,
            1u32 << target.bits
        );
        return Err(TextError::new(*links, Problem::OutOfRange, wording));
    }
    Ok(Action::Multipath(Box::new(Multipath {
        fields,
        basis: number::lenient(basis.text()) as u16,
        algorithm: *algorithm,
        max_link: (count - 1) as u16,
        argument: number::lenient(argument.text()) as u32,
        target,
    })))
}

pub(super) fn conjunction(whole: Piece<'_>) -> Parsed<Action> {
    let read = || {
        let text = whole.text().trim_start();
        let id = number::leading(text, 0);
        let text = text[id.length..].trim_start().strip_prefix(',')?.trim_start();
        let clause = number::leading(text, 10);
        let text = text[clause.length..].trim_start().strip_prefix('/')?.trim_start();
        let count = number::leading(text, 10);
        let complete = id.length > 0 && clause.length > 0 && count.length > 0;
        let end = text[count.length..].trim_start().is_empty();
        let (clause, count) = (u8::try_from(clause.value).ok()?, u8::try_from(count.value).ok()?);
        (complete && end).then_some((id.value as u32, clause, count))
    };
    let (id, clause, count) = read().ok_or_else(|| {
        let wording = "\"conjunction\" syntax is \"conjunction(id,i/n)\"";
        TextError::new(whole, Problem::BadForm, wording)
    })?;
    let wording = if count < 2 {
        "conjunction must have at least 2 clauses"
    } else if count > 64 {
        "conjunction must have at most 64 clauses"
    } else if clause < 1 {
        "clause index must be positive"
    } else if clause > count {
        "clause index must be less than or equal to number of clauses"
    } else {
        return Ok(Action::Conjunction { id, clause: clause - 1, count });
    };
    Err(TextError::new(whole, Problem::OutOfRange, wording))
}
